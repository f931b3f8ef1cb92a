//! Reports of traffic: in sequence, of living sessions, not too often, and with no more and no less than crossed the
//! session's transport.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::uri::is_reserved;
use crossring_codec::value::Value;

use crate::model::{Key, Model, PendingKind, Session, SessionIndex};
use crate::observation::{Observation, Peer};

const ON_STATS: &str = "wamp.session.on_stats";

/// GOODBYE and its answer may be counted or not, whoever says it first.
const FAREWELLS: u64 = 2;

const NS_PER_MS: u64 = 1_000_000;

/// What watchers have been told.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    watchers: BTreeMap<(SessionIndex, SubscriptionId), Watcher>,
}

/// A subscription to reports.
#[derive(Debug)]
struct Watcher {
    since: u64,
    key: Key,
    /// By session.
    told: BTreeMap<u64, Told>,
    /// Sessions whose first report has come, and those whose last one has.
    begun: BTreeSet<u64>,
    ended: BTreeSet<u64>,
}

/// The reports of one session on one transport.
#[derive(Copy, Clone, Debug, Default)]
struct Told {
    cycle: u64,
    /// Of all reports; absent: the first has been missed.
    messages: Option<u64>,
    is_over: bool,
}

/// One report.
struct Report<'a> {
    whose: &'a Value,
    what: &'a Value,
}

impl Report<'_> {
    fn number(&self, name: &str) -> u64 {
        self.what.get(name).and_then(Value::as_integer).unwrap_or_default() as u64
    }

    fn flag(&self, name: &str) -> bool {
        self.what.get(name) == Some(&Value::Bool(true))
    }

    fn session(&self) -> u64 {
        self.whose.get("session").and_then(Value::as_integer).unwrap_or_default() as u64
    }
}

impl Statistics {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        let Some(index) = model.peer(*peer).and_then(|record| record.session) else { return Ok(()) };
        match message {
            Message::Subscribed { request, subscription } => {
                let pending = model.sessions[index].pending(MessageType::Subscribe, *request);
                if let Some(PendingKind::Subscribe(key)) = pending.map(|known| &known.kind) {
                    self.watch(model, index, *subscription, key);
                }
                Ok(())
            }
            Message::Event { subscription, details, payload, .. } => {
                self.event(model, *peer, (index, *subscription), details.topic.as_deref(), payload)
            }
            _ => Ok(()),
        }
    }

    fn watch(&mut self, model: &Model, index: SessionIndex, subscription: SubscriptionId, key: &Key) {
        let is_watched = is_reserved(&key.uri) && key.matches(ON_STATS);
        if is_watched && model.sessions[index].subscription(subscription).is_none() {
            self.watchers.insert((index, subscription), Watcher::new(model.tick, key.clone()));
        }
    }

    fn event(
        &mut self,
        model: &Model,
        peer: Peer,
        place: (SessionIndex, SubscriptionId),
        topic: Option<&str>,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let Some(watcher) = self.watchers.get_mut(&place) else { return Ok(()) };
        if topic.unwrap_or(&watcher.key.uri) != ON_STATS {
            return Ok(());
        }
        let arguments = payload.arguments().map_err(|error| error.to_string())?;
        let watching = &model.sessions[place.0];
        let checked = match &arguments[..] {
            [whose, what] => watcher.told(model, watching, &Report { whose, what }),
            _ => Err("with other arguments".into()),
        };
        checked.map_err(|text| format!("on_stats {arguments:?} for p{}: {text}", peer.0))
    }

    /// Who has stayed has been told of the beginning and of the end of all others.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for ((index, subscription), watcher) in &self.watchers {
            let own = &model.sessions[*index];
            let stays = own.live && own.subscription(*subscription).is_some();
            if stays && !model.shut_down && !model.may_lose_events(own) {
                watcher.missed(model, own).map_err(|text| format!("p{}: {text}", own.peer.0))?;
            }
        }
        Ok(())
    }
}

impl Watcher {
    const fn new(since: u64, key: Key) -> Self {
        Self { since, key, told: BTreeMap::new(), begun: BTreeSet::new(), ended: BTreeSet::new() }
    }

    fn told(&mut self, model: &Model, watching: &Session, report: &Report<'_>) -> Result<(), String> {
        let Some(config) = &model.realm(watching).statistics else { return Err("which nobody wants".into()) };
        let id = report.session();
        let (cycle, is_first, is_last) = (report.number("cycle"), report.flag("first"), report.flag("last"));
        if is_first != (cycle == 1) {
            return Err("which is the first, or not".into());
        }
        let pause_ns = u64::from(model.limits.statistics_pause_ms) * NS_PER_MS;
        let is_asked_for = is_first && config.on_join || is_last && config.on_leave;
        if !is_asked_for && report.number("duration") < pause_ns {
            return Err("too soon".into());
        }
        if !model.may_lose_events(watching) {
            self.sequence(id, cycle, is_last)?;
        }
        let told = self.told.entry(id).or_default();
        let before = told.messages.filter(|_| told.cycle + 1 == cycle);
        told.messages = if is_first { Some(0) } else { before };
        told.messages = told.messages.map(|messages| messages + report.number("messages"));
        (told.cycle, told.is_over) = (cycle, is_last);
        let told = *told;
        self.begun.extend(is_first.then_some(id));
        self.ended.extend(is_last.then_some(id));
        consistent(report, config.rated_size)?;
        match model.sessions.iter().find(|known| known.id.get() == id) {
            Some(session) => identified(model, session, report).and_then(|()| complete(session, told)),
            None => Ok(()), // not told of its WELCOME yet
        }
    }

    fn sequence(&self, id: u64, cycle: u64, is_last: bool) -> Result<(), String> {
        let Some(before) = self.told.get(&id) else { return Ok(()) };
        // Who resumes a session without reports of its end begins anew.
        let follows = if before.is_over { cycle == 1 } else { cycle == before.cycle + 1 || cycle == 1 };
        if follows { Ok(()) } else { Err(format!("follows {}, last: {is_last}", before.cycle)) }
    }

    fn missed(&self, model: &Model, own: &Session) -> Result<(), String> {
        let Some(config) = &model.realm(own).statistics else { return Ok(()) };
        let is_new = |session: &&Session| {
            let admitted = model.admitted.get(&session.id.get());
            session.realm == own.realm
                && !model.is_of_router(session)
                && !model.may_be_killed(session)
                && session.resumption.token.is_none()
                && admitted.is_some_and(|(_, tick)| *tick > self.since)
        };
        for session in model.sessions.iter().filter(is_new) {
            let id = session.id.get();
            if config.on_join && !self.begun.contains(&id) {
                return Err(format!("not told of the first report of session {id}"));
            }
            if config.on_leave && !session.live && !self.ended.contains(&id) {
                return Err(format!("not told of the last report of session {id}"));
            }
        }
        Ok(())
    }
}

/// Every message is counted in every way.
fn consistent(report: &Report<'_>, rated_size: u32) -> Result<(), String> {
    let (octets, messages) = (report.number("bytes"), report.number("messages"));
    let rated = report.number("rated_messages");
    let most = messages + octets / u64::from(rated_size);
    if rated < messages || rated > most || octets < messages {
        return Err(format!("{rated} rated messages of {messages} with {octets} octets"));
    }
    Ok(())
}

fn identified(model: &Model, session: &Session, report: &Report<'_>) -> Result<(), String> {
    let text = |name: &str| report.whose.get(name).and_then(Value::as_str).unwrap_or_default();
    let told = [text("realm"), text("authid"), text("authrole")];
    let wanted = [&*model.realm(session).name, &*session.authid, &*model.role(session).name];
    if told == wanted { Ok(()) } else { Err(format!("of {told:?} instead of {wanted:?}")) }
}

/// What has been reported is what has been sent and received.
fn complete(session: &Session, told: Told) -> Result<(), String> {
    if session.resumption.resumed.is_some() {
        return Ok(()); // of which transport, the report does not say
    }
    let Some(messages) = told.messages else { return Ok(()) };
    let counted = session.traffic;
    // The answer to GOODBYE is sent when the session is over.
    if messages > counted + u64::from(told.is_over) || told.is_over && messages + FAREWELLS < counted {
        return Err(format!("{messages} messages of {counted}"));
    }
    Ok(())
}
