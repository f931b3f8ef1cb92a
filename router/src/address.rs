//! Where things live: shards, and session slots on a shard.

/// Most shards of a node, its service shard included: a set of shards is one word.
pub const SHARDS_MAX: usize = 64;

/// A data shard (`0..shards`), the service shard behind them (see [`crate::control`]), or [`ShardId::CONTROL`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ShardId(pub u8);

impl ShardId {
    /// The control shard.
    pub const CONTROL: ShardId = ShardId(u8::MAX);

    /// The shard as an index of per-shard tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of data shards.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ShardSet(u64);

impl ShardSet {
    /// No shard.
    pub const EMPTY: ShardSet = ShardSet(0);

    /// All shards of a node with `count` data shards.
    pub const fn all(count: usize) -> Self {
        assert!(count <= SHARDS_MAX);
        if count == SHARDS_MAX { Self(u64::MAX) } else { Self((1 << count) - 1) }
    }

    /// Whether the shard is in the set.
    pub const fn contains(self, shard: ShardId) -> bool {
        self.0 & (1 << shard.0) != 0
    }

    /// Adds a shard.
    pub const fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard.0;
    }

    /// Takes a shard out.
    pub const fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << shard.0);
    }

    /// The shards of either set.
    #[must_use]
    pub const fn union(self, other: ShardSet) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether no shard is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The shards, lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let shard = rest.trailing_zeros() as u8;
                rest &= rest - 1;
                ShardId(shard)
            })
        })
    }
}

/// A session slot of one shard. The host gives one to each transport; the generation tells re-used slots apart.
///
/// A transport carries at most one session at a time, so the key names the session too, while it lasts.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct SessionKey {
    /// Index into tables, dense from 0.
    pub slot: u32,
    /// Distinguishes successive users of the slot.
    pub generation: u32,
}

/// A session slot anywhere on the node.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct SessionAddress {
    /// The home shard.
    pub shard: ShardId,
    /// The slot there.
    pub key: SessionKey,
}

/// A call that waits for its answer, on the shard of its caller.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CallKey {
    /// Index into that shard's table of calls.
    pub index: u32,
    /// Distinguishes successive users of the index.
    pub generation: u32,
}

/// A call anywhere on the node. Unlike (caller, request id) it is never used twice, also when a transport joins again.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CallAddress {
    /// The caller's shard.
    pub shard: ShardId,
    /// The call there.
    pub key: CallKey,
}

/// A realm of the node: index into the list of configured realms.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct RealmId(pub u16);

/// A role of a realm: index into [`crate::config::RealmConfig::roles`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct RoleId(pub u16);

/// A configured listening transport: index into the list of transports; decides which authentication applies.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct TransportId(pub u16);

impl TransportId {
    /// Where the router's own sessions come from: no listener, and no client.
    pub(crate) const SERVICE: TransportId = TransportId(u16::MAX);
}

/// The time, read once a turn by the host.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub struct Now {
    /// Nanoseconds on a clock that never goes back; its zero means nothing.
    pub monotonic_ns: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}
