//! Authorizers: ordinary clients that decide what clerks may do, sooner or later or never, and change their mind.

use crossring_codec::id::RequestId;
use crossring_codec::message::{InvocationPolicy, RegisterOptions, YieldOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::{World, leave, meta};
use crate::client::SimClient;
use crate::realm::{AUTHORIZER, Action, authorizer_discloses};

/// Ticks that authorizers think about a question.
const PATIENCE_TICKS_MAX: u64 = 60;

/// A question to an authorizer.
#[derive(Clone, Debug)]
pub struct Question {
    /// The INVOCATION.
    pub request: RequestId,
    /// When it is to be answered.
    due_tick: u64,
    uri: String,
    action: Action,
}

/// Reads what an INVOCATION asks; `None`: nothing of this kind.
pub fn read(request: RequestId, payload: &Payload<'_>, world: &mut World<'_>) -> Option<Question> {
    if world.options.clerk_per_mille == 0 {
        return None;
    }
    let arguments = payload.arguments().ok()?;
    let [Value::Dict(_), Value::String(uri), Value::String(action), ..] = &arguments[..] else { return None };
    let thinking = if world.rng.chance(500) { 0 } else { world.rng.below(PATIENCE_TICKS_MAX as usize) };
    let due_tick = world.tick + thinking as u64;
    Some(Question { request, due_tick, uri: uri.clone(), action: Action::from_word(action)? })
}

/// What an authorizer does in one tick.
pub fn attend(client: &mut SimClient, world: &mut World<'_>) {
    if world.rng.chance(if client.registrations.is_empty() { 60 } else { 10 }) {
        register(client, world);
    }
    if world.rng.chance(5) {
        change_mind(client, world);
    }
    let (tick, silent) = (world.tick, client.profile.silent);
    let due = client.questions.iter().position(|question| question.due_tick <= tick && !silent);
    let Some(question) = due.map(|index| client.questions.remove(index)) else { return };
    match world.rng.below(100) {
        0 => {
            client.questions.push(question);
            leave::disconnect(client, world);
        }
        1 | 2 => client.questions.push(Question { due_tick: u64::MAX, ..question }), // never, as long as that counts
        3 | 4 => fail(client, &question, world),
        _ => decide(client, &question, world),
    }
}

/// Answers everything there is.
pub fn decide_all(client: &mut SimClient, world: &mut World<'_>) {
    for question in std::mem::take(&mut client.questions) {
        decide(client, &question, world);
    }
}

fn register(client: &mut SimClient, world: &mut World<'_>) {
    let policies = [InvocationPolicy::Single, InvocationPolicy::RoundRobin, InvocationPolicy::RoundRobin];
    let options = RegisterOptions { invoke: *world.rng.pick(&policies), ..RegisterOptions::default() };
    if let Ok(request) = client.session.register(AUTHORIZER, options) {
        client.send(world, request.message);
    }
}

/// As a rule, it is told that what was said before does not count.
fn change_mind(client: &mut SimClient, world: &mut World<'_>) {
    client.opinion += 1;
    if world.rng.chance(800) {
        meta::invalidate(client, world);
    }
}

fn decide(client: &mut SimClient, question: &Question, world: &mut World<'_>) {
    let letters = question.uri.bytes().map(u64::from).sum::<u64>();
    let allow = !(letters + client.opinion + question.action as u64).is_multiple_of(3);
    let disclose = authorizer_discloses(&question.uri);
    let cache = world.rng.chance(600);
    let answer = if disclose || cache || world.rng.chance(500) {
        let entry = |name: &str, flag: bool| (name.to_owned(), Value::Bool(flag));
        let entries = [entry("allow", allow), entry("disclose", disclose), entry("cache", cache)];
        Value::Dict(
            entries
                .into_iter()
                .filter(|(name, value)| name == "allow" || *value != Value::Bool(false))
                .collect(),
        )
    } else {
        Value::Bool(allow)
    };
    say(client, question, answer, world);
}

/// ERROR, or an answer that is no decision.
fn fail(client: &mut SimClient, question: &Question, world: &mut World<'_>) {
    if world.rng.chance(500) {
        return say(client, question, "perhaps".into(), world);
    }
    if let Ok(message) =
        client.session.yield_error(question.request, "com.error.of.authorizer", Payload::EMPTY)
    {
        client.send(world, message);
    }
}

fn say(client: &mut SimClient, question: &Question, answer: Value, world: &mut World<'_>) {
    let payload = Payload::from_values(SerializerId::Json, &[answer], &Dict::new());
    if let Ok(message) = client.session.yield_result(question.request, YieldOptions::default(), payload) {
        client.send(world, message);
    }
}
