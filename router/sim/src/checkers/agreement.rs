//! What shards, registry and model know of the same thing is the same, once nothing is on its way.

use crossring_router::inspect::{RegistrySizes, ShardSizes};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

use crate::model::Model;

/// Checks the tables of a node at rest.
pub fn at_rest(shards: &[Shard], registry: &Registry, model: &Model) -> Result<(), String> {
    let sizes = registry.inspect().sizes();
    let joined = model.live.len();
    if sizes.sessions != joined {
        return Err(format!("{} sessions in the registry, {joined} joined", sizes.sessions));
    }
    let local: usize = shards.iter().map(|shard| shard.inspect().sizes().sessions).sum();
    if local != joined {
        return Err(format!("{local} sessions on the shards, {joined} joined"));
    }
    let held: usize = model.live.iter().map(|index| model.sessions[*index].subscriptions.len()).sum();
    let subscribers: usize = shards.iter().map(|shard| shard.inspect().sizes().subscribers).sum();
    if sizes.subscribers != held || subscribers != held {
        let registry = sizes.subscribers;
        return Err(format!(
            "{held} subscriptions held, {registry} in the registry, {subscribers} on shards"
        ));
    }
    let held: usize = model.live.iter().map(|index| model.sessions[*index].registrations.len()).sum();
    if sizes.callees != held {
        return Err(format!("{held} registrations held, {} callees in the registry", sizes.callees));
    }
    for shard in shards {
        replica(shard, &sizes)?;
    }
    Ok(())
}

/// Checks that nothing is left after everybody has gone.
pub fn when_empty(shards: &[Shard], registry: &Registry) -> Result<(), String> {
    let sizes = registry.inspect().sizes();
    if sizes != RegistrySizes::default() {
        return Err(format!("all have left, and the registry holds {sizes:?}"));
    }
    for shard in shards {
        let sizes = shard.inspect().sizes();
        if sizes != ShardSizes::default() {
            return Err(format!("all have left, and shard {} holds {sizes:?}", shard.id().0));
        }
    }
    Ok(())
}

/// A shard knows what the registry knows, and waits for nothing.
fn replica(shard: &Shard, registry: &RegistrySizes) -> Result<(), String> {
    let sizes = shard.inspect().sizes();
    let known = [sizes.subscriptions, sizes.registrations, sizes.callees];
    let wanted = [registry.subscriptions, registry.registrations, registry.callees];
    if known != wanted {
        return Err(format!(
            "shard {} knows {known:?} subscriptions, registrations, callees; the registry {wanted:?}",
            shard.id().0
        ));
    }
    let open = [sizes.calls, sizes.invocations, sizes.deferred, sizes.requests, registry.tickets];
    if open != [0; 5] {
        return Err(format!(
            "shard {} at rest has {open:?} calls, invocations, deferred, requests, tickets",
            shard.id().0
        ));
    }
    Ok(())
}
