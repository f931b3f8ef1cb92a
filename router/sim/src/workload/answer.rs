//! YIELD and ERROR: what callees do with invocations.

use crossring_codec::message::{Message, YieldOptions};
use crossring_codec::payload::Payload;

use super::World;
use crate::client::{OpenInvocation, SimClient};
use crate::tag::Tag;

/// The error that simulated callees give.
pub const CALLEE_ERROR: &str = "com.error.of.callee";

/// Works on some of the open invocations, unless the client is silent.
pub fn answer_some(client: &mut SimClient, world: &mut World<'_>) {
    if client.profile.silent {
        return;
    }
    let mut index = 0;
    while index < client.invocations.len() {
        if !client.profile.honest && world.rng.chance(300) {
            send_unwanted_part(client, world, index);
        }
        if world.rng.chance(500) && answer(client, world, index) {
            client.invocations.swap_remove(index);
        } else {
            index += 1;
        }
    }
}

/// Answers everything there is.
pub fn answer_all(client: &mut SimClient, world: &mut World<'_>) {
    for index in (0..client.invocations.len()).rev() {
        client.invocations[index].parts_left = 0;
        answer(client, world, index);
    }
    client.invocations.clear();
}

/// Gives the next part of an answer; `true` when it was the last.
fn answer(client: &mut SimClient, world: &mut World<'_>, index: usize) -> bool {
    let open = &mut client.invocations[index];
    let payload = next_payload(open);
    let OpenInvocation { request, parts_left, .. } = *open;
    let message = if parts_left > 0 {
        open.parts_left -= 1;
        let options = YieldOptions { progress: true, ..YieldOptions::default() };
        client.session.yield_result(request, options, payload)
    } else if world.rng.chance(200) {
        client.session.yield_error(request, CALLEE_ERROR, payload)
    } else {
        client.session.yield_result(request, YieldOptions::default(), payload)
    };
    if let Ok(message) = message {
        client.send(world, message);
    }
    parts_left == 0
}

/// A progressive result, whether the caller wants it or not.
fn send_unwanted_part(client: &mut SimClient, world: &mut World<'_>, index: usize) {
    let open = &mut client.invocations[index];
    let options = YieldOptions { progress: true, ..YieldOptions::default() };
    let message = Message::Yield { request: open.request, options, payload: next_payload(open) };
    client.send(world, message);
}

fn next_payload(open: &mut OpenInvocation) -> Payload<'static> {
    let Some(call) = open.tag else { return Payload::EMPTY };
    let tag = Tag { number: call.number, part: open.parts };
    open.parts += 1;
    tag.payload(open.padding)
}
