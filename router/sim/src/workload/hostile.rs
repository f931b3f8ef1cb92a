//! Any message in any state, with ids of others and of nobody.

use std::borrow::Cow;

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, CloseDetails, ErrorDetails, HelloDetails, Message, MessageType,
    RegisterOptions, SubscribeOptions, YieldOptions,
};

use super::{World, names, padding, publish};
use crate::client::SimClient;
use crate::tag::Tag;

/// Ids of SUBSCRIBE and REGISTER start here, so that none is used twice at a time.
const REQUESTS_OF_THEIR_OWN: u64 = 1 << 40;

/// Sends a message that makes sense or none.
pub fn send_anything(client: &SimClient, world: &mut World<'_>) {
    let message = match world.rng.below(12) {
        0 => establishing(world),
        1 => router_message(world),
        2..=4 => subscribing(world),
        5..=7 => registering(world),
        8 => Message::EventReceived { publication: PublicationId::from_random(world.rng.bits()) },
        9 => ending(world),
        _ => exchanging(world),
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

fn subscribing(world: &mut World<'_>) -> Message<'static> {
    if world.rng.chance(300) {
        let subscription = any_subscription(world);
        return Message::Unsubscribe { request: own_request(world), subscription };
    }
    let (topic, match_policy) = names::pattern(world);
    let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
    Message::Subscribe { request: own_request(world), options, topic: Cow::Borrowed(topic) }
}

fn registering(world: &mut World<'_>) -> Message<'static> {
    if world.rng.chance(300) {
        let registration = any_registration(world);
        return Message::Unregister { request: own_request(world), registration };
    }
    let (procedure, match_policy) = names::pattern(world);
    let options = RegisterOptions { match_policy, ..RegisterOptions::default() };
    Message::Register { request: own_request(world), options, procedure: Cow::Borrowed(procedure) }
}

fn exchanging(world: &mut World<'_>) -> Message<'static> {
    let request = any_request(world);
    let name = Cow::Borrowed(names::name(world));
    let tag = Tag { number: world.take_tag(), part: 0 };
    let payload = tag.payload(padding(world));
    match world.rng.below(5) {
        0 => Message::Publish { request, options: publish::options(world), topic: name, payload },
        1 => Message::Call { request, options: CallOptions::default(), procedure: name, payload },
        2 => {
            let options = CancelOptions { mode: CancelMode::Kill, forward_for: None };
            Message::Cancel { request, options }
        }
        3 => Message::Yield {
            request,
            options: YieldOptions { progress: world.rng.chance(500), ..YieldOptions::default() },
            payload,
        },
        _ => {
            let (details, error) = (ErrorDetails::default(), Cow::Borrowed("com.error.hostile"));
            let kinds = [MessageType::Invocation, MessageType::Call];
            Message::Error { request_type: *world.rng.pick(&kinds), request, details, error, payload }
        }
    }
}

fn own_request(world: &mut World<'_>) -> RequestId {
    let request = REQUESTS_OF_THEIR_OWN + world.take_tag() as u64;
    RequestId::new(request).unwrap_or(RequestId::from_random(0))
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
