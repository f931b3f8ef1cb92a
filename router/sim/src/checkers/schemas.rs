//! Schemas: what is declared is told, to everybody who asks and to everybody who watches, once.

use std::collections::BTreeMap;

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, is_reserved, is_valid, well_known};
use crossring_codec::value::Value;
use crossring_router::limits::LIMIT_EXCEEDED;

use super::meta::{answer_to, context};
use crate::model::writes::{Write, possible};
use crate::model::{Expected, Key, MetaCall, Model, PendingKind, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::realm::Action;

const DEFINE: &str = "wamp.schema.define";
const DESCRIBE: &str = "wamp.schema.describe";
const ON_DEFINE: &str = "wamp.schema.on_define";
const ON_UNDEFINE: &str = "wamp.schema.on_undefine";

/// What watchers have been told.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    watchers: BTreeMap<(SessionIndex, SubscriptionId), Watcher>,
}

/// A subscription to events of schemas.
#[derive(Debug)]
struct Watcher {
    since: u64,
    key: Key,
    /// Whether there is a schema, by URI; absent: it has not been told.
    defined: BTreeMap<String, bool>,
    /// Every event: arguments as text, how often.
    told: BTreeMap<String, usize>,
}

impl Schemas {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        match message {
            Message::Subscribed { request, subscription } => {
                let index = model.peer(*peer).and_then(|record| record.session);
                let pending =
                    index.and_then(|index| model.sessions[index].pending(MessageType::Subscribe, *request));
                if let (Some(index), Some(PendingKind::Subscribe(key))) =
                    (index, pending.map(|known| &known.kind))
                {
                    self.watch(model, index, *subscription, key);
                }
                Ok(())
            }
            Message::Event { subscription, details, payload, .. } => {
                self.event(model, *peer, *subscription, details.topic.as_deref(), payload)
            }
            _ => answered(model, *peer, message),
        }
    }

    fn watch(&mut self, model: &Model, index: SessionIndex, subscription: SubscriptionId, key: &Key) {
        let is_watched = is_reserved(&key.uri) && (key.matches(ON_DEFINE) || key.matches(ON_UNDEFINE));
        if is_watched && model.sessions[index].subscription(subscription).is_none() {
            let (since, key) = (model.tick, key.clone());
            let watcher = Watcher { since, key, defined: BTreeMap::new(), told: BTreeMap::new() };
            self.watchers.insert((index, subscription), watcher);
        }
    }

    fn event(
        &mut self,
        model: &Model,
        peer: Peer,
        subscription: SubscriptionId,
        topic: Option<&str>,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let Some(index) = model.peer(peer).and_then(|record| record.session) else { return Ok(()) };
        let Some(watcher) = self.watchers.get_mut(&(index, subscription)) else { return Ok(()) };
        let topic = topic.unwrap_or(&watcher.key.uri).to_owned();
        if ![ON_DEFINE, ON_UNDEFINE].contains(&&*topic) {
            return Ok(());
        }
        let arguments = payload.arguments().map_err(|error| error.to_string())?;
        let session = &model.sessions[index];
        let is_lossy = model.may_lose_events(session);
        let told = watcher.told(model, session.realm, &topic, &arguments, is_lossy);
        told.map_err(|text| format!("{topic} {arguments:?} for p{}: {text}", peer.0))
    }

    /// Who has stayed has been told of everything.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for ((index, subscription), watcher) in &self.watchers {
            let session = &model.sessions[*index];
            let stays = session.live && session.subscription(*subscription).is_some();
            if !stays || model.shut_down || model.may_lose_events(session) {
                continue;
            }
            for (event, least) in caused(model, session.realm, Some(watcher)) {
                let told = watcher.told.get(&event).copied().unwrap_or_default();
                if told < least {
                    return Err(format!("p{} was told {told} times of {event}, not {least}", session.peer.0));
                }
            }
        }
        Ok(())
    }
}

impl Watcher {
    fn told(
        &mut self,
        model: &Model,
        realm: usize,
        topic: &str,
        arguments: &[Value],
        is_lossy: bool,
    ) -> Result<(), String> {
        let uri = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let (was_defined, is_defined) = match arguments {
            [_, _, Value::Bool(is_new)] if topic == ON_DEFINE => (!is_new, true),
            [_] if topic == ON_UNDEFINE => (true, false),
            _ => return Err("with other arguments".into()),
        };
        // Where only one of the two is watched, the other may have happened.
        let sees_both = self.key.policy != Match::Exact && !is_lossy;
        let before = self.defined.insert(uri.to_owned(), is_defined);
        if sees_both && before.is_some_and(|before| before != was_defined) {
            return Err(format!("there was a schema: {before:?}"));
        }
        let event = shown(topic, arguments);
        let told = self.told.entry(event.clone()).or_default();
        *told += 1;
        let most = caused(model, realm, None).get(&event).copied().unwrap_or_default();
        if *told <= most { Ok(()) } else { Err(format!("{told} times, and was declared {most} times")) }
    }
}

fn shown(topic: &str, arguments: &[Value]) -> String {
    format!("{topic} {arguments:?}")
}

/// The events that calls cause, and how many: all that a watcher must have been told of, or all there may be.
fn caused(model: &Model, realm: usize, watcher: Option<&Watcher>) -> BTreeMap<String, usize> {
    let mut events = BTreeMap::new();
    let calls = model.effective_calls(realm, DEFINE).map(|(_, call)| call);
    for call in calls.filter(|call| watcher.is_none_or(|watcher| call.tick > watcher.since)) {
        for (topic, arguments) in events_of(call, watcher.is_none()) {
            if watcher.is_none_or(|watcher| watcher.key.matches(topic)) {
                *events.entry(shown(topic, &arguments)).or_default() += 1;
            }
        }
    }
    events
}

/// The events of a call; of one without answer those that it may cause, if they are wanted.
fn events_of(call: &MetaCall, with_possible: bool) -> Vec<(&'static str, Vec<Value>)> {
    let uri = Value::from(call.text(0));
    let defined = |is_new: bool| {
        (ON_DEFINE, vec![uri.clone(), schema(call).cloned().unwrap_or_default(), is_new.into()])
    };
    match (schema(call), &call.result) {
        (Some(_), Some(Value::Bool(is_new))) => vec![defined(*is_new)],
        (Some(_), None) if with_possible => vec![defined(true), defined(false)],
        (None, Some(Value::String(_))) => vec![(ON_UNDEFINE, vec![uri])],
        (None, None) if with_possible => vec![(ON_UNDEFINE, vec![uri])],
        _ => Vec::new(),
    }
}

/// What a call declares; nothing takes a schema away.
fn schema(call: &MetaCall) -> Option<&Value> {
    let is_something = |value: &&Value| match value {
        Value::Dict(entries) => !entries.is_empty(),
        value => **value != Value::Null,
    };
    call.arguments.get(1).filter(is_something)
}

fn answered(model: &Model, peer: Peer, message: &Message<'_>) -> Result<(), String> {
    let Some(number) = answer_to(model, peer, message) else { return Ok(()) };
    let call = &model.meta_calls[number];
    if ![DEFINE, DESCRIBE].contains(&call.procedure.as_str()) {
        return Ok(());
    }
    let checked = match message {
        Message::Error { error, .. } => refused(model, call, error),
        Message::Result { payload, .. } => {
            let arguments = payload.arguments().map_err(|error| error.to_string())?;
            let answer = arguments.first().unwrap_or(&Value::Null);
            match call.procedure.as_str() {
                DEFINE => defined(model, number, call, answer),
                _ => described(model, call, answer),
            }
        }
        _ => Ok(()),
    };
    checked.map_err(|text| context(model, number, &text))
}

/// What may have been declared for a URI when a call came to it.
fn candidates<'a>(
    model: &'a Model,
    asking: &MetaCall,
    own: Option<usize>,
    uri: &str,
) -> Vec<Option<&'a Value>> {
    let realm = model.sessions[asking.caller].realm;
    let others = model.effective_calls(realm, DEFINE).filter(|(number, _)| Some(*number) != own);
    let writes =
        others.filter(|(_, call)| call.text(0) == uri).map(|(_, call)| Write::of(call, schema(call)));
    possible(&writes.collect::<Vec<_>>(), asking.tick)
}

fn defined(model: &Model, number: usize, call: &MetaCall, answer: &Value) -> Result<(), String> {
    if let Some(error) = refusal(model, call) {
        return Err(format!("{answer:?} instead of {error}"));
    }
    let before = candidates(model, call, Some(number), call.text(0));
    let is_right = match (schema(call), answer) {
        (Some(_), Value::Bool(true)) => before.contains(&None),
        (Some(new), Value::Bool(false)) => before.iter().flatten().any(|known| *known != new),
        (Some(new), Value::Null) => before.contains(&Some(new)),
        (None, Value::Null) => before.contains(&None),
        (None, Value::String(uri)) => uri == call.text(0) && before.iter().any(Option::is_some),
        _ => false,
    };
    if is_right { Ok(()) } else { Err(format!("{answer:?}, and there was one of {before:?}")) }
}

fn described(model: &Model, call: &MetaCall, answer: &Value) -> Result<(), String> {
    if !call.arguments.is_empty() {
        return described_as(model, call, call.text(0), Some(answer).filter(|value| **value != Value::Null));
    }
    let realm = model.sessions[call.caller].realm;
    for (_, write) in model.effective_calls(realm, DEFINE) {
        described_as(model, call, write.text(0), answer.get(write.text(0)))?;
    }
    Ok(())
}

fn described_as(model: &Model, call: &MetaCall, uri: &str, told: Option<&Value>) -> Result<(), String> {
    let possible = candidates(model, call, None, uri);
    if possible.contains(&told) { Ok(()) } else { Err(format!("{uri} is {told:?}, none of {possible:?}")) }
}

/// The error that a declaration must get.
fn refusal(model: &Model, call: &MetaCall) -> Option<&'static str> {
    let strictness = model.realm(&model.sessions[call.caller]).strictness;
    if !is_valid(call.text(0), Match::Exact, strictness) {
        return Some(well_known::INVALID_URI);
    }
    is_reserved(call.text(0)).then_some(well_known::NOT_AUTHORIZED)
}

fn refused(model: &Model, call: &MetaCall, error: &str) -> Result<(), String> {
    let key = Key { uri: call.procedure.clone(), policy: Match::Exact };
    let may_call = model.expected(&model.sessions[call.caller], Action::Call, &key) == Expected::Success;
    let excused = match error {
        well_known::CANCELED => call.cancelled,
        well_known::PAYLOAD_SIZE_EXCEEDED => true,
        LIMIT_EXCEEDED => model.limits.schemas_per_realm_max < MANY,
        error => !may_call || call.procedure == DEFINE && refusal(model, call) == Some(error),
    };
    if excused { Ok(()) } else { Err(format!("{error} without a reason")) }
}

/// More schemas than a run has.
const MANY: u32 = 100;
