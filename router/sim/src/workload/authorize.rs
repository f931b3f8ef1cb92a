//! Officials: ordinary clients that decide, sooner or later or never, what clerks may do and who strangers are, and change
//! their mind.

use crossring_codec::id::RequestId;
use crossring_codec::message::{InvocationPolicy, RegisterOptions, YieldOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::{World, leave, meta};
use crate::client::SimClient;
use crate::realm::{AUTHENTICATOR, AUTHORIZER, Action, authorizer_discloses};

/// Ticks that officials think about a question.
const PATIENCE_TICKS_MAX: u64 = 60;

/// A question to an official.
#[derive(Clone, Debug)]
pub struct Question {
    /// The INVOCATION.
    pub request: RequestId,
    /// When it is to be answered.
    due_tick: u64,
    subject: Subject,
}

/// What is asked.
#[derive(Clone, Debug)]
enum Subject {
    /// Whether a clerk may do something.
    Permission { action: Action, uri: String },
    /// Who a stranger is.
    Identity { authid: String },
}

/// Reads what an INVOCATION asks; `None`: nothing of this kind.
pub fn read(request: RequestId, payload: &Payload<'_>, world: &mut World<'_>) -> Option<Question> {
    if !world.options.has_officials() {
        return None;
    }
    let subject = match &payload.arguments().ok()?[..] {
        [Value::Dict(_), Value::String(uri), Value::String(action), Value::Dict(_)] => {
            Subject::Permission { action: Action::from_word(action)?, uri: uri.clone() }
        }
        [_, Value::String(authid), Value::Dict(_)] => Subject::Identity { authid: authid.clone() },
        _ => return None,
    };
    let thinking = if world.rng.chance(500) { 0 } else { world.rng.between(0, PATIENCE_TICKS_MAX) };
    Some(Question { request, due_tick: world.tick + thinking, subject })
}

/// What an official does in one tick.
pub fn attend(client: &mut SimClient, world: &mut World<'_>) {
    if world.rng.chance(if client.in_office { 10 } else { 300 }) {
        client.in_office = true;
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
        // Never, as long as that counts.
        1 | 2 => client.questions.push(Question { due_tick: u64::MAX, ..question }),
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
    let has_both = world.options.clerk_per_mille > 0 && world.options.stranger_per_mille > 0;
    let is_for_clerks = if has_both { world.rng.chance(500) } else { world.options.clerk_per_mille > 0 };
    let procedure = if is_for_clerks { AUTHORIZER } else { AUTHENTICATOR };
    if let Ok(request) = client.session.register(procedure, options) {
        client.send(world, request.message);
    }
}

/// As a rule, it is told that what was said before does not count.
fn change_mind(client: &mut SimClient, world: &mut World<'_>) {
    client.opinion += 1;
    if world.options.clerk_per_mille > 0 && world.rng.chance(800) {
        meta::invalidate(client, world);
    }
}

fn decide(client: &mut SimClient, question: &Question, world: &mut World<'_>) {
    let answer = match &question.subject {
        Subject::Permission { action, uri } => permission(*action, uri, client.opinion, world),
        Subject::Identity { authid } => match identity(authid, client.opinion) {
            Some(identity) => identity,
            None => return refuse(client, question, world),
        },
    };
    say(client, question, answer, world);
}

fn permission(action: Action, uri: &str, opinion: u64, world: &mut World<'_>) -> Value {
    let allow = !(letters(uri) + opinion + action as u64).is_multiple_of(3);
    let disclose = authorizer_discloses(uri);
    let cache = world.rng.chance(600);
    if !disclose && !cache && world.rng.chance(500) {
        return allow.into();
    }
    let mut entries = vec![("allow".to_owned(), allow.into())];
    let flags = [("disclose", disclose), ("cache", cache)];
    let is_told = |(_, flag): &(&str, bool)| *flag || world.rng.chance(500);
    entries.extend(flags.into_iter().filter(is_told).map(|(name, flag)| (name.to_owned(), flag.into())));
    Value::Dict(entries)
}

/// A role, in one form or the other; `None`: nobody.
fn identity(authid: &str, opinion: u64) -> Option<Value> {
    let entry = |name: &str, text: &str| (name.to_owned(), Value::from(text));
    match (letters(authid) + opinion) % 6 {
        0 | 1 => Some("guest".into()),
        2 => Some(Value::Dict(vec![entry("role", "member")])),
        3 => Some(Value::Dict(vec![entry("role", "observer"), entry("authid", "somebody")])),
        4 => Some("nobody".into()), // no role of the realm
        _ => None,
    }
}

fn letters(text: &str) -> u64 {
    text.bytes().map(u64::from).sum()
}

/// ERROR, or an answer that is none.
fn fail(client: &mut SimClient, question: &Question, world: &mut World<'_>) {
    if world.rng.chance(500) {
        say(client, question, 7.into(), world)
    } else {
        refuse(client, question, world)
    }
}

fn refuse(client: &mut SimClient, question: &Question, world: &mut World<'_>) {
    let error = client.session.yield_error(question.request, "com.error.of.official", Payload::EMPTY);
    if let Ok(message) = error {
        client.send(world, message);
    }
}

fn say(client: &mut SimClient, question: &Question, answer: Value, world: &mut World<'_>) {
    let payload = Payload::from_values(SerializerId::Json, &[answer], &Dict::new());
    if let Ok(message) = client.session.yield_result(question.request, YieldOptions::default(), payload) {
        client.send(world, message);
    }
}
