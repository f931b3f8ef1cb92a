//! Joining: choosing a shard, a realm and an identity.

use std::borrow::Cow;

use crossring_codec::message::{ClientRoles, Feature, Features, HelloDetails};
use crossring_router::address::TransportId;

use super::{Phase, Profile, SHORT_MESSAGE, World};
use crate::client::{Link, SimClient};
use crate::host::Dial;
use crate::realm::{
    PRINCIPALS, REALMS, STRANGERS, TRANSPORT_CLERKS, TRANSPORT_GUESTS, TRANSPORT_LINKS, TRANSPORT_MEMBERS,
    TRANSPORT_STRANGERS, TRANSPORT_TICKETS,
};
use crate::wire::SERIALIZERS;

const FEATURES: Features = Features::of(&[
    Feature::CallerIdentification,
    Feature::PublisherIdentification,
    Feature::PatternBasedRegistration,
    Feature::PatternBasedSubscription,
    Feature::SharedRegistration,
    Feature::RegistrationRevocation,
    Feature::SubscriptionRevocation,
    Feature::SessionMetaApi,
    Feature::RegistrationMetaApi,
    Feature::SubscriptionMetaApi,
    Feature::TestamentMetaApi,
    Feature::AcknowledgedEventDelivery,
    Feature::ShardedSubscription,
    Feature::ShardedRegistration,
    Feature::EventRetention,
    Feature::EventHistory,
]);

/// Shares of sharded subscriptions.
const NODES: [&str; 3] = ["north", "south", "west"];

/// What some clients lack.
const RARE_FEATURES: [Feature; 7] = [
    Feature::CallCanceling,
    Feature::ProgressiveCallResults,
    Feature::ProgressiveCallInvocations,
    Feature::CallTimeout,
    Feature::CallReroute,
    Feature::PayloadPassthruMode,
    Feature::PayloadTransparency,
];

/// A client without a transport opens one, sooner or later.
pub fn maybe_join(client: &mut SimClient, world: &mut World<'_>) {
    if world.phase != Phase::Safety || !world.rng.chance(100) {
        return;
    }
    client.profile = draw_profile(world);
    open_transport(client, world);
    if !world.rng.chance(20) {
        say_hello(client, world);
    }
}

fn open_transport(client: &mut SimClient, world: &mut World<'_>) {
    let shard = world.rng.below(world.hosts.len());
    let peer = world.take_peer();
    let size_max = if client.profile.short { SHORT_MESSAGE } else { usize::MAX };
    let transport = TransportId(client.profile.transport);
    let Profile { honest, serializer, .. } = client.profile;
    let dial = Dial { peer, transport, honest, size_max, serializer };
    let key = world.hosts[shard].dial(dial);
    client.link = Some(Link { peer, shard, key });
    client.stuck_until = 0;
}

/// A client whose session can be resumed does so, sooner or later or never.
pub fn maybe_resume(client: &mut SimClient, world: &mut World<'_>) {
    if world.phase != Phase::Safety || world.rng.chance(3) {
        return client.give_up();
    }
    if !world.rng.chance(60) {
        return;
    }
    open_transport(client, world);
    let details =
        HelloDetails { roles: ClientRoles::all(client.profile.features), ..HelloDetails::default() };
    if let Ok(hello) = client.session.resume(details) {
        client.send(world, hello);
    }
}

/// HELLO on a transport without a session.
pub fn say_hello(client: &mut SimClient, world: &mut World<'_>) {
    let realm = if world.rng.chance(20) { "no.such.realm" } else { REALMS[client.profile.realm] };
    let principal = client.profile.principal.map(|index| PRINCIPALS[index].authid);
    let authid = principal.or(client.profile.stranger);
    let method = if authid.is_some() { "ticket" } else { "anonymous" };
    let details = HelloDetails {
        roles: ClientRoles::all(client.profile.features),
        authmethods: vec![Cow::Borrowed(method)],
        authid: authid.map(Cow::Borrowed),
        resumable: client.profile.honest && client.profile.resumable,
        ..HelloDetails::default()
    };
    if let Ok(hello) = client.session.hello(Some(Cow::Borrowed(realm)), details) {
        client.send(world, hello);
    }
}

/// AUTHENTICATE. Some clients never do.
pub fn answer_challenge(client: &mut SimClient, world: &mut World<'_>) {
    if world.phase == Phase::Safety && world.rng.chance(50) {
        return;
    }
    let known = client.profile.principal.map_or("", |index| PRINCIPALS[index].ticket);
    let ticket = if client.profile.wrong_ticket { "wrong" } else { known };
    if let Ok(authenticate) = client.session.authenticate(ticket, Vec::new()) {
        client.send(world, authenticate);
    }
}

fn draw_profile(world: &mut World<'_>) -> Profile {
    let faults = &world.options.faults;
    let restricted = world.rng.chance(world.options.restricted_per_mille);
    let link = world.rng.chance(world.options.link_per_mille);
    let clerk = world.rng.chance(world.options.clerk_per_mille);
    let stranger = world.rng.chance(world.options.stranger_per_mille);
    let official = world.options.has_officials() && world.rng.chance(250);
    let transport = match world.rng.below(4) {
        _ if official => {
            if clerk && world.rng.chance(200) {
                TRANSPORT_CLERKS
            } else {
                TRANSPORT_MEMBERS
            }
        }
        _ if stranger => TRANSPORT_STRANGERS,
        _ if clerk => TRANSPORT_CLERKS,
        _ if link => TRANSPORT_LINKS,
        0 => TRANSPORT_TICKETS,
        1 if restricted => TRANSPORT_GUESTS,
        _ if restricted => TRANSPORT_TICKETS,
        _ => TRANSPORT_MEMBERS,
    };
    let principals = if restricted { PRINCIPALS.len() } else { 1 };
    let link = link && transport == TRANSPORT_LINKS;
    let honest = official || !world.rng.chance(faults.hostile_per_mille);
    Profile {
        honest,
        realm: usize::from(world.rng.chance(world.options.second_realm_per_mille)),
        transport,
        principal: (transport == TRANSPORT_TICKETS).then(|| world.rng.below(principals)),
        stranger: (transport == TRANSPORT_STRANGERS).then(|| *world.rng.pick(&STRANGERS)),
        official,
        link,
        serializer: world.options.serializers.then(|| *world.rng.pick(&SERIALIZERS)),
        wrong_ticket: world.rng.chance(50),
        slow: world.rng.chance(faults.slow_reader_per_mille),
        stuck: world.rng.chance(faults.stuck_reader_per_mille),
        silent: world.rng.chance(faults.silent_callee_per_mille),
        short: world.rng.chance(faults.short_message_per_mille),
        features: draw_features(world),
        resumable: !link && world.rng.chance(600),
        nkey: (honest && world.rng.chance(500)).then(|| *world.rng.pick(&NODES)),
    }
}

/// All of them, as a rule.
fn draw_features(world: &mut World<'_>) -> Features {
    let is_plain = world.rng.chance(world.options.plain_per_mille);
    let mut features = FEATURES;
    for feature in RARE_FEATURES {
        if !is_plain || world.rng.chance(700) {
            features.insert(feature);
        }
    }
    features
}
