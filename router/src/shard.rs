//! A data shard: sessions, their place in the routing tables, and the replica of the realm's routing tables.

use std::sync::Arc;

use crate::address::{Now, ShardId};
use crate::config::RouterConfig;
use crate::counters::Counters;
use crate::input::Input;
use crate::inspect::ShardView;
use crate::limits::Limits;
use crate::outbox::Outbox;

/// One data shard of the router: inputs and the time go in, messages and letters come out.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    counters: Counters,
}

impl Shard {
    /// Shard `id` of `shards`. `seed` decides every random choice the shard makes.
    pub fn new(id: ShardId, _shards: usize, _config: Arc<RouterConfig>, _limits: Limits, _seed: u64) -> Self {
        Self { id, counters: Counters::default() }
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Takes one input.
    pub fn handle<O: Outbox>(&mut self, _now: Now, _input: Input<'_>, _out: &mut O) {}

    /// When [`Shard::expire`] is next due, in monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        None
    }

    /// Does what is due at `now`.
    pub fn expire<O: Outbox>(&mut self, _now: Now, _out: &mut O) {}

    /// Whether [`Shard::resume`] has anything to do: the host does not sleep while it has.
    pub fn has_deferred(&self) -> bool {
        false
    }

    /// Does what letters of the last turn left for this one; called at the start of a turn.
    pub fn resume<O: Outbox>(&mut self, _now: Now, _out: &mut O) {}

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A read-only view for checkers and the meta API.
    pub fn inspect(&self) -> ShardView<'_> {
        ShardView::new(self)
    }
}
