//! Any message in any state, with ids of others and of nobody.

use std::borrow::Cow;

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, CloseDetails, ErrorDetails, HelloDetails, Message, MessageType,
    PublishOptions, RegisterOptions, SubscribeOptions, YieldOptions,
};
use crossring_codec::payload::Payload;

use super::{World, names, padding, publish};
use crate::client::SimClient;
use crate::tag::Tag;

/// Request ids of clients that have no session start here.
const REQUESTS_APART: u64 = 1 << 40;

/// Sends a message that makes sense or none.
pub fn send_anything(client: &mut SimClient, world: &mut World<'_>) {
    let message = match world.rng.below(100) {
        0..=2 => establishing(world),
        3..=5 => router_message(world),
        6..=8 => ending(world),
        9..=20 => guessing(world),
        21..=30 => Message::EventReceived { publication: PublicationId::from_random(world.rng.bits()) },
        31..=55 => subscribing(client, world),
        56..=80 => registering(client, world),
        _ => exchanging(client, world),
    };
    client.send(world, message);
}

fn establishing(world: &mut World<'_>) -> Message<'static> {
    if world.rng.chance(500) {
        let details = Box::<HelloDetails<'_>>::default();
        Message::Hello { realm: Some(Cow::Borrowed("realm1")), details }
    } else {
        Message::Authenticate { signature: Cow::Borrowed("guess"), extra: Vec::new() }
    }
}

fn ending(world: &mut World<'_>) -> Message<'static> {
    let (details, reason) = (CloseDetails::default(), Cow::Borrowed("com.whatever"));
    if world.rng.chance(500) {
        Message::Goodbye { details, reason }
    } else {
        Message::Abort { details, reason }
    }
}

fn router_message(world: &mut World<'_>) -> Message<'static> {
    let request = any_request(world);
    match world.rng.below(4) {
        0 => Message::Welcome { session: SessionId::from_random(1), details: Box::default() },
        1 => Message::Challenge { method: Cow::Borrowed("ticket"), extra: Vec::new() },
        2 => Message::Subscribed { request, subscription: any_subscription(world) },
        _ => Message::Registered { request, registration: any_registration(world) },
    }
}

fn subscribing(client: &mut SimClient, world: &mut World<'_>) -> Message<'static> {
    let request = next_request(client, world);
    if world.rng.chance(500) {
        return Message::Unsubscribe { request, subscription: any_subscription(world) };
    }
    let (topic, match_policy) = names::pattern(world);
    let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
    Message::Subscribe { request, options, topic: Cow::Borrowed(topic) }
}

fn registering(client: &mut SimClient, world: &mut World<'_>) -> Message<'static> {
    let request = next_request(client, world);
    if world.rng.chance(500) {
        return Message::Unregister { request, registration: any_registration(world) };
    }
    let (procedure, match_policy) = names::pattern(world);
    let options = RegisterOptions { match_policy, ..RegisterOptions::default() };
    Message::Register { request, options, procedure: Cow::Borrowed(procedure) }
}

/// Requests with ids that follow.
fn exchanging(client: &mut SimClient, world: &mut World<'_>) -> Message<'static> {
    let request = next_request(client, world);
    let name = Cow::Borrowed(names::own_name(client, world));
    let payload = Tag { number: world.take_tag(), part: 0 }.payload(padding(world));
    if world.rng.chance(500) {
        Message::Publish { request, options: publish::options(world), topic: name, payload }
    } else {
        Message::Call { request, options: CallOptions::default(), procedure: name, payload }
    }
}

/// Messages about calls and invocations that may exist.
fn guessing(world: &mut World<'_>) -> Message<'static> {
    let request = any_request(world);
    let payload = Tag { number: world.take_tag(), part: 0 }.payload(padding(world));
    match world.rng.below(4) {
        0 => {
            Message::Cancel { request, options: CancelOptions { mode: CancelMode::Kill, forward_for: None } }
        }
        1 => {
            let procedure = Cow::Borrowed(names::name(world));
            Message::Call { request, options: CallOptions::default(), procedure, payload }
        }
        2 => {
            let options = YieldOptions { progress: world.rng.chance(500), ..YieldOptions::default() };
            Message::Yield { request, options, payload }
        }
        _ => {
            let (details, error) = (ErrorDetails::default(), Cow::Borrowed("com.error.hostile"));
            let kinds = [MessageType::Invocation, MessageType::Invocation, MessageType::Call];
            Message::Error { request_type: *world.rng.pick(&kinds), request, details, error, payload }
        }
    }
}

/// The id that follows in the sequence of the session, so that the request is not refused for its id alone. Its answer is
/// not for the session to see.
fn next_request(client: &mut SimClient, world: &mut World<'_>) -> RequestId {
    let next = client.session.publish("", PublishOptions::default(), Payload::EMPTY);
    // Without a session any id will do, but no two requests share one: their answers could not be told apart.
    let apart = RequestId::from_random((REQUESTS_APART + world.take_tag() as u64) << 11);
    let id = next.map_or(apart, |next| next.id);
    client.requests_apart.push(id);
    id
}

/// Small, so that it is likely to mean something.
fn any_request(world: &mut World<'_>) -> RequestId {
    let request = if world.rng.chance(100) { world.rng.bits() >> 12 } else { world.rng.between(1, 20) };
    RequestId::new(request).unwrap_or(RequestId::from_random(0))
}

fn any_subscription(world: &mut World<'_>) -> SubscriptionId {
    SubscriptionId::from_random(world.rng.between(0, 12) << 11)
}

fn any_registration(world: &mut World<'_>) -> RegistrationId {
    RegistrationId::from_random(world.rng.between(0, 12) << 11)
}
