//! CALL, further parts of it, and CANCEL.

use std::borrow::Cow;

use crossring_codec::message::{CallOptions, CancelMode, Feature};

use super::publish::RESOURCES;
use super::{World, marks, names, padding};
use crate::client::{Progressive, SimClient};
use crate::tag::{Tag, forwarders_of, passthru_of, transaction_hash_of};

const MODES: [CancelMode; 3] = [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];

/// Longest timeout of a call.
const TIMEOUT_MS_MAX: u64 = 40;

/// Calls.
pub fn call(client: &mut SimClient, world: &mut World<'_>) {
    let procedure = names::name(world);
    let tag = Tag { number: world.take_tag(), part: 0 };
    let marks = marks(client, world);
    let payload = tag.marked_payload(marks, padding(world));
    let mut options = CallOptions {
        receive_progress: world.rng.chance(300),
        progress: client.calls_with(Feature::ProgressiveCallInvocations) && world.rng.chance(150),
        disclose_me: world.rng.chance(100),
        timeout_ms: timeout_ms(client, world),
        extra: None,
    };
    if let Some(keys) = passthru_of(&payload) {
        options.extra_mut().passthru = keys;
    }
    if let Some(hash) = transaction_hash_of(&payload) {
        options.extra_mut().transaction_hash = Some(hash);
    }
    if let Some(hops) = forwarders_of(&payload) {
        options.extra_mut().forward_for = Some(hops);
    }
    if client.calls_with(Feature::ShardedRegistration) && world.rng.chance(300) {
        let extra = options.extra_mut();
        extra.runmode = Some(Cow::Borrowed("partition"));
        extra.rkey = Some(Cow::Borrowed(*world.rng.pick(&RESOURCES)));
    }
    let is_progressive = options.progress;
    if let Ok(request) = client.session.call(procedure, options, payload) {
        client.calls.push(request.id);
        if is_progressive {
            let (request, number) = (request.id, tag.number);
            client.progressive.push(Progressive { request, procedure, number, parts: 1 });
        }
        client.send(world, request.message);
    }
}

/// Sends the next part of a progressive invocation, if there is one.
pub fn call_more(client: &mut SimClient, world: &mut World<'_>) {
    if client.progressive.is_empty() {
        return;
    }
    let index = world.rng.below(client.progressive.len());
    let is_last = world.rng.chance(300);
    let Progressive { request, procedure, number, parts } = client.progressive[index];
    let payload = Tag { number, part: parts }.payload(padding(world));
    client.progressive[index].parts += 1;
    match client.session.call_more(request, procedure, !is_last, payload) {
        Ok(message) => client.send(world, message),
        Err(_) => _ = client.progressive.swap_remove(index),
    }
    if is_last {
        client.progressive.retain(|open| open.request != request);
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

fn timeout_ms(client: &SimClient, world: &mut World<'_>) -> u64 {
    if client.calls_with(Feature::CallTimeout) && world.rng.chance(world.options.timeout_per_mille) {
        world.rng.between(1, TIMEOUT_MS_MAX)
    } else {
        0
    }
}
