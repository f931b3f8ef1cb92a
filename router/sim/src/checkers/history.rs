//! The history of events: each publication once, in the order of arrival, as it was published, only to those who may see
//! it; and of what is asked for, all that must be there and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::message::Message;
use crossring_codec::payload::Payload;
use crossring_codec::uri::{is_reserved, well_known};
use crossring_codec::value::Value;

use super::meta::{answer_to, context};
use crate::clock::{from_rfc3339, milliseconds};
use crate::model::{Expected, History, MetaCall, Model, Publication, Session};
use crate::observation::Observation;
use crate::realm::Action;
use crate::tag::{Tag, from_value, passthru_of, size_of};

/// The procedure that reads a history.
const GET_EVENTS: &str = "wamp.subscription.get_events";

/// What answers have told.
#[derive(Debug, Default)]
pub(super) struct Histories {
    /// When publications have come, by tag; in milliseconds since the start.
    times: BTreeMap<usize, u64>,
    /// Neighbours in a history: its id, the earlier and the later one.
    neighbours: BTreeSet<(u64, usize, usize)>,
}

/// An event of an answer.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Told {
    number: usize,
    /// When it has come.
    ms: u64,
}

impl Histories {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Emitted { peer, message } = observation else { return Ok(()) };
        let Some(number) = answer_to(model, *peer, message) else { return Ok(()) };
        let call = &model.meta_calls[number];
        if call.procedure != GET_EVENTS {
            return Ok(());
        }
        let checked = match message {
            Message::Error { error, .. } => refused(model, call, error),
            Message::Result { payload, .. } => self.answered(model, call, payload),
            _ => Ok(()),
        };
        checked.map_err(|text| context(model, number, &text))
    }

    fn answered(&mut self, model: &Model, call: &MetaCall, payload: &Payload<'_>) -> Result<(), String> {
        let query = Query::read(model, call)?;
        let arguments = payload.arguments().map_err(|error| error.to_string())?;
        let keywords = Value::Dict(payload.keywords().map_err(|error| error.to_string())?);
        let is_limit_reached = keywords.get("is_limit_reached") == Some(&Value::Bool(true));
        let mut told = Vec::new();
        for event in &arguments {
            told.push(self.event(&query, event)?);
        }
        self.enough(&query, &told, is_limit_reached)?;
        if query.reverse {
            told.reverse();
        }
        self.order(&query, &told)?;
        self.complete(&query, &told, is_limit_reached)
    }

    /// One event: what was published, told as EVENT would tell it, and within all conditions.
    fn event(&mut self, query: &Query<'_>, event: &Value) -> Result<Told, String> {
        let payload = from_value(event.get("args").unwrap_or(&Value::Null));
        let Some(number) = Tag::read(&payload).map(|tag| tag.number) else {
            return Err(format!("{event:?} without tag"));
        };
        let about = |text: &str| format!("publication #{number}: {text}");
        let publication =
            query.model.publication(number).filter(|_| query.history.candidates.contains(&number));
        let Some(publication) = publication else { return Err(about("is none of this history")) };
        let ms = event.get("timestamp").and_then(Value::as_str).and_then(from_rfc3339);
        let Some(ms) = ms else { return Err(about("without time")) };
        if *self.times.entry(number).or_insert(ms) != ms {
            return Err(about("has come at another time, it was said"));
        }
        query.described(publication, event, &payload).map_err(|text| about(&text))?;
        query.admitted(number, publication, ms).map_err(|text| about(&text))?;
        Ok(Told { number, ms })
    }

    fn enough(&self, query: &Query<'_>, told: &[Told], is_limit_reached: bool) -> Result<(), String> {
        let distinct: BTreeSet<usize> = told.iter().map(|told| told.number).collect();
        if distinct.len() != told.len() {
            return Err("a publication twice".into());
        }
        let most = query.limit.unwrap_or(usize::MAX).min(query.history.limit);
        if told.len() > most {
            return Err(format!("{} events, and {most} is the limit", told.len()));
        }
        if is_limit_reached && query.limit != Some(told.len()) {
            return Err(format!("{} events are said to be the limit {:?}", told.len(), query.limit));
        }
        Ok(())
    }

    /// `told` from the oldest to the newest.
    fn order(&mut self, query: &Query<'_>, told: &[Told]) -> Result<(), String> {
        for pair in told.windows(2) {
            let [first, second] = pair else { continue };
            let (one, other) = (first.number, second.number);
            if first.ms > second.ms || self.precedes(query, other, one) {
                return Err(format!("#{one} before #{other}"));
            }
            self.neighbours.insert((query.history.id, one, other));
        }
        Ok(())
    }

    /// Whether one publication of a history has surely come before another.
    fn precedes(&self, query: &Query<'_>, first: usize, second: usize) -> bool {
        let by_time = self.times.get(&first).zip(self.times.get(&second)).is_some_and(|(one, two)| one < two);
        by_time
            || self.neighbours.contains(&(query.history.id, first, second))
            || query.precedes(first, second)
    }

    /// What is surely kept and surely meant is told, or the limit was reached before.
    fn complete(&self, query: &Query<'_>, told: &[Told], is_limit_reached: bool) -> Result<(), String> {
        let end = if query.reverse { told.first() } else { told.last() };
        let is_beyond = |number: usize| {
            let Some(end) = end else { return true };
            let comes_before_end = if query.reverse {
                self.precedes(query, end.number, number)
            } else {
                self.precedes(query, number, end.number)
            };
            is_limit_reached && !comes_before_end
        };
        for number in query.due() {
            let is_told = told.iter().any(|told| told.number == number);
            if !is_told && self.is_meant(query, number) && !is_beyond(number) {
                return Err(format!("without #{number}, which is kept"));
            }
        }
        Ok(())
    }

    /// Whether a publication surely meets all conditions.
    fn is_meant(&self, query: &Query<'_>, number: usize) -> bool {
        let Some(publication) = query.model.publication(number) else { return false };
        let earliest = self.times.get(&number).copied().unwrap_or(milliseconds(publication.tick));
        let latest = self.times.get(&number).copied().unwrap_or(milliseconds(query.call.tick));
        let is_timed = query.has_times() && (publication.is_testament || earliest != latest);
        query.is_readable(publication)
            && query.topic.is_none_or(|topic| topic == publication.topic)
            && (!is_timed || query.times_admit(earliest) && query.times_admit(latest))
            && query.times_admit(latest)
            && query.bounds.iter().all(|bound| {
                let (at, is_same) = (bound.number, bound.number == number);
                match bound.side {
                    Side::From => is_same || self.precedes(query, at, number),
                    Side::After => !is_same && self.precedes(query, at, number),
                    Side::Before => !is_same && self.precedes(query, number, at),
                    Side::Until => is_same || self.precedes(query, number, at),
                }
            })
    }
}

/// What a call asks for.
struct Query<'a> {
    model: &'a Model,
    call: &'a MetaCall,
    caller: &'a Session,
    history: &'a History,
    reverse: bool,
    limit: Option<usize>,
    topic: Option<&'a str>,
    /// In milliseconds.
    times: Vec<(Side, u64)>,
    bounds: Vec<Bound>,
}

/// A publication that bounds the answer.
#[derive(Copy, Clone, Debug)]
struct Bound {
    side: Side,
    number: usize,
}

#[derive(Copy, Clone, Debug)]
enum Side {
    From,
    After,
    Before,
    Until,
}

const SIDES: [(&str, Side); 4] =
    [("from", Side::From), ("after", Side::After), ("before", Side::Before), ("until", Side::Until)];

impl<'a> Query<'a> {
    /// What was asked for, if the answer may be anything but an error.
    fn read(model: &'a Model, call: &'a MetaCall) -> Result<Self, String> {
        let caller = &model.sessions[call.caller];
        let Some(history) = model.history(caller.realm, call.number(0)) else {
            return Err("events of what has no history".into());
        };
        if matches!(model.expected(caller, Action::Subscribe, &history.key), Expected::Error(_)) {
            return Err(format!("events of {:?} without permission", history.key));
        }
        let keyword =
            |name: &str| call.keywords.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let mut query = Self {
            model,
            call,
            caller,
            history,
            reverse: keyword("reverse") == Some(&Value::Bool(true)),
            limit: keyword("limit").and_then(Value::as_integer).map(|limit| limit as usize),
            topic: keyword("topic").and_then(Value::as_str),
            times: Vec::new(),
            bounds: Vec::new(),
        };
        if query.limit == Some(0) {
            return Err("a limit of nothing".into());
        }
        for (name, side) in SIDES {
            let time = keyword(&format!("{name}_time")).and_then(Value::as_str).and_then(from_rfc3339);
            query.times.extend(time.map(|time| (side, time)));
            let id = keyword(&format!("{name}_publication")).and_then(Value::as_integer);
            let Some(id) = id else { continue };
            let Some(number) = query.number_of(id) else {
                return Err(format!("events around publication {id}, which is none of them"));
            };
            query.bounds.push(Bound { side, number });
        }
        Ok(query)
    }

    /// The tag of a publication that may be in the history.
    fn number_of(&self, id: i128) -> Option<usize> {
        let is_it = |number: &&usize| {
            let publication = self.model.publication(**number);
            publication.and_then(|known| known.id).is_some_and(|known| i128::from(known.get()) == id)
        };
        let number = self.history.candidates.iter().find(is_it).copied()?;
        (!self.is_gone(number)).then_some(number)
    }

    fn precedes(&self, first: usize, second: usize) -> bool {
        let known = self.model.publication(first).zip(self.model.publication(second));
        known.is_some_and(|(first, second)| self.model.precedes(first, second))
    }

    /// Whether so many others have surely come later that nothing is left of a publication.
    fn is_gone(&self, number: usize) -> bool {
        let later = self.history.candidates.iter().filter(|other| {
            let arrived =
                self.model.publication(**other).is_some_and(|known| self.model.has_arrived(known, self.call));
            arrived && self.precedes(number, **other)
        });
        later.take(self.history.limit).count() == self.history.limit
    }

    /// What has surely come, and has surely not given way to others.
    fn due(&self) -> impl Iterator<Item = usize> {
        let newest_first = self.history.candidates.iter().rev().copied();
        // Each of these may have come later than those behind it, and so on: more than that cannot be kept.
        let within = newest_first.take(2 * self.history.limit + RECENT);
        within.filter(|number| {
            let arrived =
                self.model.publication(*number).is_some_and(|known| self.model.has_arrived(known, self.call));
            arrived && self.is_kept(*number)
        })
    }

    fn is_kept(&self, number: usize) -> bool {
        let may_follow = |other: &&usize| **other != number && !self.precedes(**other, number);
        let followers = self.history.candidates.iter().rev().filter(may_follow);
        followers.take(self.history.limit).count() < self.history.limit
    }

    fn is_readable(&self, publication: &Publication) -> bool {
        self.model.may_read(publication, self.caller)
    }

    fn has_times(&self) -> bool {
        !self.times.is_empty()
    }

    fn times_admit(&self, ms: u64) -> bool {
        self.times.iter().all(|(side, bound)| match side {
            Side::From => ms >= *bound,
            Side::After => ms > *bound,
            Side::Before => ms < *bound,
            Side::Until => ms <= *bound,
        })
    }

    /// Whether an event that is told may be.
    fn admitted(&self, number: usize, publication: &Publication, ms: u64) -> Result<(), String> {
        if !self.is_readable(publication) {
            return Err("is not for this caller".into());
        }
        if self.is_gone(number) {
            return Err(format!("although {} others have come later", self.history.limit));
        }
        if self.topic.is_some_and(|topic| topic != publication.topic) {
            return Err(format!("is on {}", publication.topic));
        }
        let is_early = ms < milliseconds(publication.tick) && !publication.is_testament;
        if is_early || ms > milliseconds(self.model.tick) || !self.times_admit(ms) {
            return Err(format!("of millisecond {ms}"));
        }
        let outside = |bound: &&Bound| {
            let (at, is_same) = (bound.number, bound.number == number);
            match bound.side {
                Side::From => self.precedes(number, at),
                Side::After => is_same || self.precedes(number, at),
                Side::Before => is_same || self.precedes(at, number),
                Side::Until => self.precedes(at, number),
            }
        };
        match self.bounds.iter().find(outside) {
            Some(bound) => Err(format!("outside {bound:?}")),
            None => Ok(()),
        }
    }

    /// Whether an event is told as it was published.
    fn described(
        &self,
        publication: &Publication,
        event: &Value,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let number = |name: &str| event.get(name).and_then(Value::as_integer).unwrap_or(-1);
        if number("subscription") != i128::from(self.history.id) {
            return Err("of another subscription".into());
        }
        if publication.id.is_some_and(|id| i128::from(id.get()) != number("publication")) {
            return Err("under another id".into());
        }
        let details = event.get("details").unwrap_or(&Value::Null);
        let publisher = &self.model.sessions[publication.publisher];
        let told = details.get("publisher").and_then(Value::as_integer);
        let origin = self.model.origin(publisher, payload).get();
        if told != publication.disclosed.then_some(i128::from(origin)) {
            return Err(format!("publisher {told:?}, disclosed: {}", publication.disclosed));
        }
        let is_pattern = self.history.key.policy != crossring_codec::uri::Match::Exact;
        let told = details.get("topic").and_then(Value::as_str);
        if told != is_pattern.then_some(publication.topic.as_str()) {
            return Err(format!("topic {told:?}"));
        }
        if publication.is_testament {
            return Ok(()); // made anew by the router
        }
        let keys = passthru_of(payload).unwrap_or_default();
        let wanted =
            [("ppt_scheme", keys.ppt_scheme), ("enc_algo", keys.enc_algo), ("enc_key", keys.enc_key)];
        for (name, wanted) in wanted {
            if details.get(name).and_then(Value::as_str) != wanted.as_deref() {
                return Err(format!("{name} instead of {wanted:?}"));
            }
        }
        let size = size_of(payload);
        if size == publication.size { Ok(()) } else { Err(format!("{size} octets")) }
    }
}

/// Publications that may be under way at a time, and a few more.
const RECENT: usize = 200;

fn refused(model: &Model, call: &MetaCall, error: &str) -> Result<(), String> {
    let caller = &model.sessions[call.caller];
    let history = model.history(caller.realm, call.number(0));
    let key = history.map(|history| &history.key);
    let may = |key| model.expected(caller, Action::Subscribe, key) == Expected::Success;
    let excused = match error {
        well_known::CANCELED => call.cancelled,
        well_known::PAYLOAD_SIZE_EXCEEDED => true,
        HISTORY_UNAVAILABLE => history.is_none(),
        well_known::NO_SUCH_SUBSCRIPTION => history.is_none(),
        well_known::NOT_AUTHORIZED => {
            key.is_none_or(|key| !may(key) || is_reserved(&key.uri)) || is_denied(model, call)
        }
        well_known::INVALID_ARGUMENT => call.arguments.is_empty() || is_unanswerable(model, call),
        _ => is_denied(model, call),
    };
    if excused { Ok(()) } else { Err(format!("{error} without a reason")) }
}

/// ERROR of `get_events` for a subscription without history.
const HISTORY_UNAVAILABLE: &str = "wamp.error.history_unavailable";

fn is_denied(model: &Model, call: &MetaCall) -> bool {
    let key = crate::model::Key { uri: call.procedure.clone(), policy: crossring_codec::uri::Match::Exact };
    model.expected(&model.sessions[call.caller], Action::Call, &key) != Expected::Success
}

/// A limit of nothing, or a publication that may not be in the history.
fn is_unanswerable(model: &Model, call: &MetaCall) -> bool {
    let Ok(query) = Query::read(model, call) else { return true };
    let due: BTreeSet<usize> = query.due().collect();
    query.bounds.iter().any(|bound| !due.contains(&bound.number))
}
