//! REGISTER and UNREGISTER.

use crossring_codec::message::{Feature, InvocationPolicy, RegisterOptions};

use crossring_codec::uri::is_reserved;

use super::{World, names};
use crate::client::SimClient;

const POLICIES: [InvocationPolicy; 6] = [
    InvocationPolicy::Single,
    InvocationPolicy::Single,
    InvocationPolicy::First,
    InvocationPolicy::Last,
    InvocationPolicy::RoundRobin,
    InvocationPolicy::Random,
];

/// Registers, alone or sharing with others.
pub fn register(client: &mut SimClient, world: &mut World<'_>) {
    let (procedure, match_policy) = names::pattern(world);
    if client.profile.link && is_reserved(procedure) {
        return;
    }
    let has_queue = !world.options.realm.store.call_queue.is_empty();
    let options = RegisterOptions {
        match_policy,
        invoke: *world.rng.pick(&POLICIES),
        disclose_caller: world.rng.chance(100),
        force_reregister: world.rng.chance(30),
        forward_timeout: client.calls_with(Feature::CallTimeout) && world.rng.chance(200),
        concurrency: world.rng.chance(if has_queue { 500 } else { 100 }).then(|| world.rng.between(1, 2)),
        ..RegisterOptions::default()
    };
    if let Ok(request) = client.session.register(procedure, options) {
        client.send(world, request.message);
    }
}

/// Gives up one registration.
pub fn unregister(client: &mut SimClient, world: &mut World<'_>) {
    if client.registrations.is_empty() {
        return;
    }
    let index = world.rng.below(client.registrations.len());
    let registration = client.registrations.swap_remove(index);
    if let Ok(request) = client.session.unregister(registration) {
        client.send(world, request.message);
    }
}
