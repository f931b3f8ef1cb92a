//! PUBLISH, with every option that decides who gets the EVENT.

use std::borrow::Cow;

use crossring_codec::id::SessionId;
use crossring_codec::message::{Feature, PublishExtra, PublishOptions};

use super::{World, marks, names, padding};
use crate::client::SimClient;
use crate::tag::{Marks, Tag, forwarders_of, passthru_of, transaction_hash_of};
use crate::wire::LOSSY;

/// Resource keys of sharded subscriptions and registrations.
pub const RESOURCES: [&str; 4] = ["red", "green", "blue", "white"];

const AUTHIDS: [&str; 3] = ["alice", "bob", "nobody"];
const ROLES: [&str; 4] = ["member", "guest", "observer", "clerk"];

/// Publishes.
pub fn publish(client: &mut SimClient, world: &mut World<'_>) {
    let topic = names::own_name(client, world);
    let is_acknowledged = client.publishes_with(Feature::AcknowledgedEventDelivery);
    let marks = Marks {
        acknowledged: is_acknowledged && client.profile.serializer != Some(LOSSY) && world.rng.chance(50),
        ..marks(client, world)
    };
    let payload = Tag { number: world.take_tag(), part: 0 }.marked_payload(marks, padding(world));
    let mut options = options(world);
    if let Some(keys) = passthru_of(&payload) {
        options.extra_mut().passthru = keys;
    }
    if let Some(hash) = transaction_hash_of(&payload) {
        options.extra_mut().transaction_hash = Some(hash);
    }
    options.retain = client.publishes_with(Feature::EventRetention) && world.rng.chance(100);
    if let Some(hops) = forwarders_of(&payload) {
        options.extra_mut().forward_for = Some(hops);
    }
    if marks.acknowledged {
        options.extra_mut().x_acknowledged_delivery = true;
    }
    if client.publishes_with(Feature::ShardedSubscription) && world.rng.chance(300) {
        options.extra_mut().rkey = Some(Cow::Borrowed(*world.rng.pick(&RESOURCES)));
    }
    if let Ok(request) = client.session.publish(topic, options, payload) {
        client.send(world, request.message);
    }
}

/// Options, the common ones most often.
pub fn options(world: &mut World<'_>) -> PublishOptions<'static> {
    PublishOptions {
        acknowledge: world.rng.chance(300),
        exclude_me: !world.rng.chance(300),
        disclose_me: world.rng.chance(100),
        retain: false,
        extra: world.rng.chance(100).then(|| Box::new(receiver_lists(world))),
    }
}

fn receiver_lists(world: &mut World<'_>) -> PublishExtra<'static> {
    let mut extra = PublishExtra::default();
    match world.rng.below(6) {
        0 => extra.exclude = Some(sessions(world)),
        1 => extra.eligible = Some(sessions(world)),
        2 => extra.exclude_authid = Some(words(world, &AUTHIDS)),
        3 => extra.eligible_authid = Some(words(world, &AUTHIDS)),
        4 => extra.exclude_authrole = Some(words(world, &ROLES)),
        _ => extra.eligible_authrole = Some(words(world, &ROLES)),
    }
    if world.rng.chance(200) {
        extra.exclude = Some(sessions(world));
    }
    extra
}

fn sessions(world: &mut World<'_>) -> Vec<SessionId> {
    let count = world.rng.below(6);
    let known = &world.common.sessions;
    if known.is_empty() {
        return Vec::new();
    }
    (0..count).map(|_| *world.rng.pick(known)).collect()
}

fn words(world: &mut World<'_>, words: &[&'static str]) -> Vec<Cow<'static, str>> {
    let count = world.rng.below(3);
    (0..count).map(|_| Cow::Borrowed(*world.rng.pick(words))).collect()
}
