//! Calls of the router's own procedures, and subscriptions to its events.

use crossring_codec::message::{CallOptions, Feature, SubscribeOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use super::{World, history, names};
use crate::client::SimClient;
use crate::model::authority::INVALIDATE;
use crate::tag::Tag;

const AUTHIDS: [&str; 5] = ["alice", "bob", "carol", "dora", "emil"];
/// What sessions are told to have beside their own details.
pub const DETAILS: [&str; 2] = ["x_color", "x_size"];

const ROLES: [&str; 4] = ["member", "guest", "observer", "clerk"];

/// Topics of meta events, the ones in front most often.
const TOPICS: [(&str, Match); 11] = [
    ("wamp.", Match::Prefix),
    ("wamp.", Match::Prefix),
    ("wamp.session.", Match::Prefix),
    ("wamp.subscription.", Match::Prefix),
    ("wamp.session.on_join", Match::Exact),
    ("wamp.session.on_stats", Match::Exact),
    ("wamp.session.on_leave", Match::Exact),
    ("wamp.registration.on_register", Match::Exact),
    ("wamp.subscription..", Match::Wildcard),
    ("wamp.schema.", Match::Prefix),
    ("wamp.schema.on_define", Match::Exact),
];

/// The reason of `kill_all`: told apart from that of all other orders.
const REASON_OF_ALL: &str = "com.killed.all";

/// Calls one of the procedures that the router announces, or watches its events.
pub fn meta(client: &mut SimClient, world: &mut World<'_>) {
    let has = |feature| client.calls_with(feature);
    let (sessions, testaments) = (has(Feature::SessionMetaApi), has(Feature::TestamentMetaApi));
    let registrations = has(Feature::RegistrationMetaApi);
    let subscriptions = client.publishes_with(Feature::SubscriptionMetaApi);
    match world.rng.below(100) {
        0..20 if sessions => watch(client, world),
        20..30 if sessions => schemas(client, world),
        30..40 if sessions => about_sessions(client, world),
        40..45 if sessions && world.options.kills => kill(client, world),
        45..60 if testaments => about_testaments(client, world),
        60..75 if registrations => about_registrations(client, world),
        75..85 if subscriptions => history::get_events(client, world),
        85..100 if subscriptions => about_subscriptions(client, world),
        _ => {}
    }
}

fn watch(client: &mut SimClient, world: &mut World<'_>) {
    let (topic, match_policy) = *world.rng.pick(&TOPICS);
    let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
    if let Ok(request) = client.session.subscribe(topic, options) {
        client.send(world, request.message);
    }
}

fn about_sessions(client: &mut SimClient, world: &mut World<'_>) {
    let roles = || Value::List(vec!["member".into(), "guest".into()]);
    match world.rng.below(8) {
        5..8 => modify_details(client, world),
        0 => ask(client, world, "wamp.session.count", Vec::new(), Dict::new()),
        1 => ask(client, world, "wamp.session.count", vec![roles()], Dict::new()),
        2 => ask(client, world, "wamp.session.list", Vec::new(), Dict::new()),
        3 => ask(client, world, "wamp.session.list", vec![roles()], Dict::new()),
        _ => {
            let session = session(world);
            ask(client, world, "wamp.session.get", session, Dict::new());
        }
    }
}

fn modify_details(client: &mut SimClient, world: &mut World<'_>) {
    let mut session = session(world);
    let key = if world.rng.chance(30) { "authrole" } else { *world.rng.pick(&DETAILS) };
    let value = if world.rng.chance(200) { Value::Null } else { (world.take_tag() as u64).into() };
    session.push(Value::Dict(vec![(key.to_owned(), value)]));
    ask(client, world, "wamp.session.modify_details", session, Dict::new());
}

/// Declares something, or asks what is declared.
fn schemas(client: &mut SimClient, world: &mut World<'_>) {
    let uri = names::name(world);
    if world.rng.chance(400) {
        let arguments = if world.rng.chance(200) { Vec::new() } else { vec![uri.into()] };
        return ask(client, world, "wamp.schema.describe", arguments, Dict::new());
    }
    let kind = vec![("version".to_owned(), world.rng.between(1, 3).into())];
    let schema = match world.rng.below(6) {
        0 => Value::Null,
        1 => Value::Dict(Dict::new()),
        _ => Value::Dict(kind),
    };
    ask(client, world, "wamp.schema.define", vec![uri.into(), schema], Dict::new());
}

fn kill(client: &mut SimClient, world: &mut World<'_>) {
    let reason = match world.rng.below(4) {
        0 => "com.killed.one",
        1 => "no good reason",
        _ => "com.killed.some",
    };
    let keywords = |reason: &str| vec![("reason".to_owned(), reason.into())];
    match world.rng.below(20) {
        0 => ask(client, world, "wamp.session.kill_all", Vec::new(), keywords(REASON_OF_ALL)),
        1..4 => {
            let authid = (*world.rng.pick(&AUTHIDS)).into();
            ask(client, world, "wamp.session.kill_by_authid", vec![authid], keywords(reason));
        }
        4..6 => {
            let role = (*world.rng.pick(&ROLES)).into();
            ask(client, world, "wamp.session.kill_by_authrole", vec![role], keywords(reason));
        }
        6..8 => {
            let session = session(world);
            ask(client, world, "wamp.session.kill", session, Dict::new());
        }
        _ => {
            let session = session(world);
            ask(client, world, "wamp.session.kill", session, keywords(reason));
        }
    }
}

fn about_testaments(client: &mut SimClient, world: &mut World<'_>) {
    let scope = if world.rng.chance(300) { "detached" } else { "destroyed" };
    let scope = vec![("scope".to_owned(), scope.into())];
    if world.rng.chance(200) {
        return ask(client, world, "wamp.session.flush_testaments", Vec::new(), scope);
    }
    let payload = Tag { number: world.take_tag(), part: 0 }.values();
    let topic = names::name(world).into();
    let arguments = vec![topic, Value::List(payload), Value::Dict(Dict::new())];
    ask(client, world, "wamp.session.add_testament", arguments, scope);
}

fn about_registrations(client: &mut SimClient, world: &mut World<'_>) {
    let (uri, policy) = names::pattern(world);
    let procedure = match world.rng.below(9) {
        0 => return ask(client, world, "wamp.registration.list", Vec::new(), Dict::new()),
        1 => {
            return ask(client, world, "wamp.registration.lookup", lookup(uri, policy), Dict::new());
        }
        2 => return ask(client, world, "wamp.registration.match", vec![uri.into()], Dict::new()),
        3 => "wamp.registration.get",
        4 => "wamp.registration.list_callees",
        5 => "wamp.registration.count_callees",
        _ => "wamp.registration.remove_callee",
    };
    let Some((id, session)) = known(world, false) else { return };
    let is_removal = procedure.ends_with("remove_callee");
    if is_removal && !(world.options.kills && world.rng.chance(700)) {
        return;
    }
    let arguments = if is_removal { vec![id, session] } else { vec![id] };
    ask(client, world, procedure, arguments, Dict::new());
}

fn about_subscriptions(client: &mut SimClient, world: &mut World<'_>) {
    let (uri, policy) = names::pattern(world);
    let procedure = match world.rng.below(9) {
        0 => return ask(client, world, "wamp.subscription.list", Vec::new(), Dict::new()),
        1 => {
            return ask(client, world, "wamp.subscription.lookup", lookup(uri, policy), Dict::new());
        }
        2 => return ask(client, world, "wamp.subscription.match", vec![uri.into()], Dict::new()),
        3 => "wamp.subscription.get",
        4 => "wamp.subscription.list_subscribers",
        5 => "wamp.subscription.count_subscribers",
        _ => "wamp.subscription.remove_subscriber",
    };
    let Some((id, session)) = known(world, true) else { return };
    let is_removal = procedure.ends_with("remove_subscriber");
    let may_remove = client.publishes_with(Feature::SubscriptionRevocation) && world.options.kills;
    if is_removal && !(may_remove && world.rng.chance(700)) {
        return;
    }
    let arguments = if is_removal { vec![id, session] } else { vec![id] };
    ask(client, world, procedure, arguments, Dict::new());
}

/// Takes back what it has said as an authorizer.
pub(super) fn invalidate(client: &mut SimClient, world: &mut World<'_>) {
    ask(client, world, INVALIDATE, Vec::new(), Dict::new());
}

pub(super) fn ask(
    client: &mut SimClient,
    world: &mut World<'_>,
    procedure: &'static str,
    arguments: Vec<Value>,
    keywords: Dict,
) {
    let payload = Payload::from_values(SerializerId::Json, &arguments, &keywords);
    if let Ok(request) = client.session.call(procedure, CallOptions::default(), payload) {
        if world.rng.chance(100) {
            client.calls.push(request.id); // may be cancelled
        }
        client.send(world, request.message);
    }
}

fn lookup(uri: &str, policy: Match) -> Vec<Value> {
    vec![uri.into(), Value::Dict(vec![("match".to_owned(), policy.as_str().into())])]
}

/// A session that somebody has heard of, or none at all.
fn session(world: &mut World<'_>) -> Vec<Value> {
    let known = &world.common.sessions;
    if known.is_empty() || world.rng.chance(50) {
        return if world.rng.chance(500) { Vec::new() } else { vec![4711u64.into()] };
    }
    vec![world.rng.pick(known).get().into()]
}

/// A subscription or registration that somebody has got, and who.
fn known(world: &mut World<'_>, is_subscription: bool) -> Option<(Value, Value)> {
    let known = if is_subscription { &world.common.subscriptions } else { &world.common.registrations };
    if known.is_empty() {
        return None;
    }
    // The latest are the most likely to be there still.
    let index = known.len() - 1 - world.rng.below(known.len().min(8));
    let (id, session) = known[index];
    Some((id.into(), session.into()))
}
