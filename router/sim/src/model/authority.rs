//! What authorizers have been asked and have said, and until when it counts.
//!
//! Told by what crosses the router's edge: INVOCATIONs of the authorizer's procedure, and their answers. What it has said to be
//! remembered is void when `wamp.authorization.invalidate` returns, when REGISTERED tells that another callee is there, and some
//! time after one has gone.

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, well_known};
use crossring_codec::value::Value;
use crossring_router::letter::Ruling;

use super::held::Held;
use super::{Expected, Key, Model, Session, SessionIndex};
use crate::observation::Peer;
use crate::realm::{AUTHORIZER, Action};

/// The procedure by which an authorizer takes back what it has said.
pub const INVALIDATE: &str = "wamp.authorization.invalidate";

/// What a request gets that was acted upon although nobody had decided about it: no ERROR has this URI.
pub const UNDECIDED: &str = "(nobody has decided)";

/// Ticks after which a shard surely knows that an authorizer has gone.
const DEPARTURE_TICKS: u64 = 500;

/// What somebody wants to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// What.
    pub action: Action,
    /// To what.
    pub key: Key,
}

/// Questions and answers.
#[derive(Debug, Default)]
pub struct Authority {
    open: Vec<Question>,
    said: Vec<Said>,
    voids: Vec<Void>,
}

/// An INVOCATION of an authorizer.
#[derive(Clone, Debug)]
struct Question {
    callee: SessionIndex,
    invocation: u64,
    about: About,
}

/// What an authorizer is asked.
#[derive(Clone, Debug)]
struct About {
    session: u64,
    realm: usize,
    role: String,
    wanted: Wanted,
    /// When the INVOCATION was sent, beside what else is ordered.
    asked: u64,
}

/// An answer of an authorizer.
#[derive(Clone, Debug)]
struct Said {
    about: About,
    answer: Option<Answer>,
}

/// What an authorizer answers, if that is a decision.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Answer {
    allow: bool,
    cache: bool,
}

/// Answers to questions of before do not count from some time on.
#[derive(Debug)]
struct Void {
    realm: usize,
    before: u64,
    /// When it became known, beside what else is ordered.
    noted: u64,
    due_tick: u64,
}

impl Model {
    /// INVOCATION: is it a question to an authorizer?
    pub(super) fn questioned(
        &mut self,
        peer: Peer,
        request: RequestId,
        registration: RegistrationId,
        payload: &Payload<'_>,
    ) {
        let Some(callee) = self.peer(peer).and_then(|record| record.session) else { return };
        let session = &self.sessions[callee];
        let realm = session.realm;
        if session.registration(registration).is_none_or(|held| held.key.uri != AUTHORIZER) {
            return;
        }
        let asked = self.next_order();
        let arguments = payload.arguments().unwrap_or_default();
        if let Some(about) = read_question(&arguments, realm, asked) {
            self.authority.open.push(Question { callee, invocation: request.get(), about });
        }
    }

    /// The answer to an INVOCATION: is it one of an authorizer?
    pub(super) fn authorizer_answers(
        &mut self,
        callee: SessionIndex,
        request: RequestId,
        payload: Option<&Payload<'_>>,
    ) {
        let open = &mut self.authority.open;
        let is_it = |question: &Question| question.callee == callee && question.invocation == request.get();
        let Some(position) = open.iter().position(is_it) else { return };
        let about = open.swap_remove(position).about;
        let arguments = payload.and_then(|payload| payload.arguments().ok()).unwrap_or_default();
        self.authority.said.push(Said { about, answer: read_answer(arguments.first()) });
    }

    /// Whether an INVOCATION is a question of the router.
    pub(super) fn is_question(&self, callee: SessionIndex, request: RequestId) -> bool {
        let id = request.get();
        let mut open = self.authority.open.iter();
        open.any(|question| question.callee == callee && question.invocation == id)
            || self.attempts.iter().any(|attempt| attempt.is(callee, id))
    }

    /// What was said in answer to questions put before `before` is void, at once or by the time all shards must know.
    pub(super) fn void_decisions(&mut self, realm: usize, before: u64, at_once: bool) {
        let due_tick = if at_once { self.tick } else { self.tick + DEPARTURE_TICKS };
        let noted = self.next_order();
        self.authority.voids.push(Void { realm, before, noted, due_tick });
    }

    /// An authorizer has gone.
    pub(super) fn authorizer_departs(&mut self, realm: usize) {
        let before = self.next_order();
        self.void_decisions(realm, before, false);
    }

    /// Whether the router waits for an answer of a session.
    pub fn is_asked(&self, callee: SessionIndex) -> bool {
        self.authority.open.iter().any(|question| question.callee == callee)
            || self.attempts.iter().any(|attempt| attempt.is_open(callee))
    }

    /// What answers a session of a role with an authorizer may get to what it wants, by the ruling that was given to its shard
    /// for it, and by what is remembered.
    pub(super) fn ruled(&self, session: &Session, wanted: &Wanted, held: Option<&Held>) -> Expected {
        let since_void = self.void_before(session.realm);
        let ruling = held.and_then(|held| held.ruling.as_ref());
        let ruling =
            ruling.filter(|(_, order)| *order > since_void).map(|(ruling, _)| outcome(ruling, wanted));
        let remembered = self.answers(session, wanted).filter(|(_, answer)| answer.cache);
        let mut possible = remembered.map(|(_, answer)| expected(answer.allow)).chain(ruling);
        let Some(first) = possible.next() else { return Expected::Error(UNDECIDED) };
        if possible.all(|other| other == first) { first } else { Expected::Either }
    }

    /// Whether somebody has ever allowed it.
    pub fn was_ever_allowed(&self, session: &Session, wanted: &Wanted) -> bool {
        let role = &*self.role(session).name;
        let mut said = self.authority.said.iter().filter(|said| said.about.is(session.realm, role, wanted));
        said.any(|said| said.answer.is_some_and(|answer| answer.allow))
    }

    /// Whether what is posted to a shard is what an authorizer has said.
    pub fn check_ruling(&self, session: &Session, held: &Held, ruling: &Ruling) -> Result<(), String> {
        let wanted = &held.wanted;
        let is_fresh = |about: &About| about.session == session.id.get() && about.asked > held.since;
        let is_lasting = matches!(ruling, Ruling::Lasting(_));
        if let Ruling::Failed { text, .. } = ruling {
            return self.check_failure(session, held, text);
        }
        let allow = outcome(ruling, wanted) == Expected::Success;
        let is_said = self.answers(session, wanted).any(|(about, answer)| {
            answer.allow == allow && answer.cache == is_lasting && (answer.cache || is_fresh(about))
        });
        if is_said { Ok(()) } else { Err(format!("{ruling:?} about {wanted:?}, which nobody has said")) }
    }

    /// There may be no decision although the last question about a message has been answered, if that came too late, or if
    /// authorizers have come and gone meanwhile: then another question has been put, maybe to nobody.
    fn check_failure(&self, session: &Session, held: &Held, text: &str) -> Result<(), String> {
        let role = &*self.role(session).name;
        let is_it = |about: &About| {
            about.session == session.id.get()
                && about.asked > held.since
                && about.is(session.realm, role, &held.wanted)
        };
        let open = self.authority.open.iter().map(|question| (&question.about, None));
        let said = self.authority.said.iter().map(|said| (&said.about, said.answer));
        let asked = open.chain(said).filter(|(about, _)| is_it(about));
        let last = asked.max_by_key(|(about, _)| about.asked).and_then(|(_, answer)| answer);
        if last.is_none() || self.tick >= held.due_tick || self.is_authority_changing(session.realm, held) {
            return Ok(());
        }
        Err(format!("{:?} fails although the authorizer has answered: {text}", held.wanted))
    }

    /// Whether authorizers have come, gone or taken something back since something is held, or may just do so.
    fn is_authority_changing(&self, realm: usize, held: &Held) -> bool {
        let mut voids = self.authority.voids.iter().filter(|void| void.realm == realm);
        let is_taken_back = || {
            let mut calls = self.meta_calls.iter().filter(|call| call.procedure == INVALIDATE);
            calls.any(|call| call.answered_tick.is_none_or(|tick| tick >= held.tick))
        };
        voids.any(|void| void.noted > held.since)
            || self.in_transit(realm).any(|(key, _)| key.uri == AUTHORIZER)
            || is_taken_back()
    }

    /// Decisions about what somebody wants that are not void for sure.
    fn answers(&self, session: &Session, wanted: &Wanted) -> impl Iterator<Item = (&About, Answer)> {
        let role = &*self.role(session).name;
        let (realm, before) = (session.realm, self.void_before(session.realm));
        let counts = move |said: &&Said| said.about.asked > before && said.about.is(realm, role, wanted);
        let said = self.authority.said.iter().filter(counts);
        said.filter_map(|said| Some((&said.about, said.answer?)))
    }

    /// Answers to questions put before do not count.
    fn void_before(&self, realm: usize) -> u64 {
        let due = |void: &&Void| void.realm == realm && void.due_tick <= self.tick;
        self.authority.voids.iter().filter(due).map(|void| void.before).max().unwrap_or_default()
    }
}

impl About {
    fn is(&self, realm: usize, role: &str, wanted: &Wanted) -> bool {
        self.realm == realm && self.role == role && self.wanted == *wanted
    }
}

/// `authorize(session, uri, action, options)`
fn read_question(arguments: &[Value], realm: usize, asked: u64) -> Option<About> {
    let [details, uri, action, options] = arguments else { return None };
    let policy = match options.get("match").and_then(Value::as_str) {
        Some("prefix") => Match::Prefix,
        Some("wildcard") => Match::Wildcard,
        _ => Match::Exact,
    };
    let session = details.get("session").and_then(Value::as_integer)? as u64;
    let role = details.get("authrole").and_then(Value::as_str)?.to_owned();
    let wanted = Wanted {
        action: Action::from_word(action.as_str()?)?,
        key: Key { uri: uri.as_str()?.to_owned(), policy },
    };
    Some(About { session, realm, role, wanted, asked })
}

/// A boolean, or a dict of known entries.
fn read_answer(result: Option<&Value>) -> Option<Answer> {
    let flag = |result: &Value, name: &str| match result.get(name) {
        None => Some(false),
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => None,
    };
    match result? {
        Value::Bool(allow) => Some(Answer { allow: *allow, cache: false }),
        result @ Value::Dict(entries) => {
            let is_known =
                |(name, _): &(String, Value)| ["allow", "cache", "disclose"].contains(&name.as_str());
            result.get("allow").filter(|_| entries.iter().all(is_known))?;
            Some(Answer { allow: flag(result, "allow")?, cache: flag(result, "cache")? })
        }
        _ => None,
    }
}

/// What a ruling leads to.
fn outcome(ruling: &Ruling, wanted: &Wanted) -> Expected {
    match ruling {
        Ruling::Lasting(decision) | Ruling::Once(decision) => expected(wanted.action.is_in(decision.allow)),
        Ruling::Failed { .. } => Expected::Error(well_known::AUTHORIZATION_FAILED),
    }
}

const fn expected(allow: bool) -> Expected {
    if allow { Expected::Success } else { Expected::Error(well_known::NOT_AUTHORIZED) }
}
