//! YIELD and ERROR: what callees do with invocations.

use crossring_codec::message::{Feature, Message, YieldOptions};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;

use super::{World, marks};
use crate::client::{OpenInvocation, SimClient};
use crate::tag::{Marks, Tag, forwarders_of, passthru_of};

/// The error that simulated callees give.
pub const CALLEE_ERROR: &str = "com.error.of.callee";

/// Works on some of the open invocations, unless the client is silent.
pub fn answer_some(client: &mut SimClient, world: &mut World<'_>) {
    if client.profile.silent {
        return;
    }
    let mut index = 0;
    while index < client.invocations.len() {
        let open = client.invocations[index];
        if open.due_tick.is_some_and(|due| due <= world.tick) {
            fail(client, world, index, well_known::TIMEOUT);
            client.invocations.swap_remove(index);
            continue;
        }
        if open.more && world.rng.chance(900) {
            index += 1;
            continue;
        }
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
    let parts_left = client.invocations[index].parts_left;
    if parts_left == 0 && world.rng.chance(200) {
        let reroutes = client.calls_with(Feature::CallReroute) && world.rng.chance(500);
        fail(client, world, index, if reroutes { well_known::UNAVAILABLE } else { CALLEE_ERROR });
        return true;
    }
    let marks = Marks { transaction_hash: false, ..marks(client, world) };
    let open = &mut client.invocations[index];
    let (request, payload) = (open.request, next_payload(open, marks));
    open.parts_left = parts_left.saturating_sub(1);
    let passthru = passthru_of(&payload).map(Box::new);
    let forward_for = forwarders_of(&payload);
    let options = YieldOptions { progress: parts_left > 0, passthru, forward_for, ..YieldOptions::default() };
    if let Ok(message) = client.session.yield_result(request, options, payload) {
        client.send(world, message);
    }
    parts_left == 0
}

/// Gives an error as the answer.
fn fail(client: &mut SimClient, world: &mut World<'_>, index: usize, error: &'static str) {
    let open = &mut client.invocations[index];
    let (request, payload) = (open.request, next_payload(open, Marks::default()));
    if let Ok(message) = client.session.yield_error(request, error, payload) {
        client.send(world, message);
    }
}

/// A progressive result, whether the caller wants it or not.
fn send_unwanted_part(client: &mut SimClient, world: &mut World<'_>, index: usize) {
    let open = &mut client.invocations[index];
    let options = YieldOptions { progress: true, ..YieldOptions::default() };
    let message =
        Message::Yield { request: open.request, options, payload: next_payload(open, Marks::default()) };
    client.send(world, message);
}

fn next_payload(open: &mut OpenInvocation, marks: Marks) -> Payload<'static> {
    let Some(call) = open.tag else { return Payload::EMPTY };
    let tag = Tag { number: call.number, part: open.parts };
    open.parts += 1;
    tag.marked_payload(marks, open.padding)
}
