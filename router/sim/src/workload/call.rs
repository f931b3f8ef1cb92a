//! CALL and CANCEL.

use crossring_codec::message::{CallOptions, CancelMode};

use super::{World, names, padding};
use crate::client::SimClient;
use crate::tag::Tag;

const MODES: [CancelMode; 3] = [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];

/// Calls.
pub fn call(client: &mut SimClient, world: &mut World<'_>) {
    let procedure = names::name(world);
    let payload = Tag { number: world.take_tag(), part: 0 }.payload(padding(world));
    let options = CallOptions {
        receive_progress: world.rng.chance(300),
        disclose_me: world.rng.chance(100),
        ..CallOptions::default()
    };
    if let Ok(request) = client.session.call(procedure, options, payload) {
        client.calls.push(request.id);
        client.send(world, request.message);
    }
}

/// Cancels one of the calls under way.
pub fn cancel(client: &mut SimClient, world: &mut World<'_>) {
    if client.calls.is_empty() {
        return;
    }
    let request = *world.rng.pick(&client.calls);
    let mode = *world.rng.pick(&MODES);
    if let Ok(cancel) = client.session.cancel(request, mode) {
        client.send(world, cancel);
    }
}
