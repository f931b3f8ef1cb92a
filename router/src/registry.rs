//! The registry on the control shard: the truth about sessions, subscriptions and registrations.

use std::sync::Arc;

use crate::address::{Now, ShardId};
use crate::config::RouterConfig;
use crate::inspect::RegistryView;
use crate::letter::Letter;
use crate::limits::Limits;
use crate::outbox::Post;

/// The registry of a node: admits sessions, assigns ids, and tells every shard what it has to know.
#[derive(Debug)]
pub struct Registry {}

impl Registry {
    /// The registry of a node with `shards` data shards. `seed` decides every random choice it makes.
    pub fn new(_shards: usize, _config: Arc<RouterConfig>, _limits: Limits, _seed: u64) -> Self {
        Self {}
    }

    /// Takes one letter of a data shard.
    pub fn handle<P: Post>(&mut self, _now: Now, _from: ShardId, _letter: Letter, _out: &mut P) {}

    /// Says GOODBYE `wamp.close.system_shutdown` to every session; new ones are refused from now on.
    pub fn shutdown<P: Post>(&mut self, _now: Now, _out: &mut P) {}

    /// When [`Registry::expire`] is next due, in monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        None
    }

    /// Does what is due at `now`.
    pub fn expire<P: Post>(&mut self, _now: Now, _out: &mut P) {}

    /// A read-only view for checkers and the meta API.
    pub fn inspect(&self) -> RegistryView<'_> {
        RegistryView::new(self)
    }
}
