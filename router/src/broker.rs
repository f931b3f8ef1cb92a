//! The broker half of a shard: the replica of all subscriptions, and who of this shard is subscribed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossring_codec::id::SubscriptionId;
use crossring_codec::uri::Match;

use crate::address::{RealmId, SessionKey, ShardSet};
use crate::dense::Replica;
use crate::pattern::PatternTable;
use crate::resumption::Parked;

mod filter;
mod nodes;
mod parked;
mod publish;
mod retained;
mod subscribe;

pub(crate) use filter::Filter;
pub(crate) use nodes::Nodes;
pub(crate) use publish::{PublishRoute, Publisher};
use retained::Retaining;

/// The tables of the broker.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) subscriptions: Replica<Subscription>,
    realms: Vec<Topics>,
    /// Receivers of the event in hand, when lists decide about them. Kept for its memory.
    receivers: Vec<SessionKey>,
    pub(crate) retaining: Retaining,
    /// Local members of all subscriptions.
    pub(crate) members: usize,
    /// Sessions of this shard without transport; they are no members.
    pub(crate) parked: BTreeMap<SessionKey, Parked>,
}

/// The patterns of one realm.
#[derive(Debug)]
struct Topics {
    patterns: PatternTable<u64>,
    /// Changes whenever a publication might have to go elsewhere than before. Never 0.
    version: u64,
}

/// A subscription: (realm, uri, policy), known on all shards.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) realm: RealmId,
    pub(crate) uri: Arc<str>,
    pub(crate) match_policy: Match,
    /// Shards with members, as the registry says; this one included.
    pub(crate) interest: ShardSet,
    /// Members on this shard.
    pub(crate) members: Vec<SessionKey>,
    /// Node keys, if there are any.
    pub(crate) nodes: Option<Box<Nodes>>,
    /// Sessions of this shard without transport that are subscribed.
    parked: Option<Box<parked::ParkedMembers>>,
}

impl Broker {
    pub(crate) fn new(realms: usize, seed: u64) -> Self {
        let topics = |_| Topics { patterns: PatternTable::new(seed), version: 1 };
        Self {
            subscriptions: Replica::default(),
            realms: (0..realms).map(topics).collect(),
            receivers: Vec::new(),
            retaining: Retaining::default(),
            members: 0,
            parked: BTreeMap::new(),
        }
    }
}
