//! Calls of the router's own procedures, and what they cause: sessions killed, subscriptions and registrations revoked,
//! testaments to be published.

use crossring_codec::id::RequestId;
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, well_known};
use crossring_codec::value::{Dict, Value};

use super::authority::INVALIDATE;
use super::{Expected, Key, Model, PendingKind, Publication, Session, SessionIndex, put};
use crate::realm::Action;

/// A CALL of a procedure under `wamp.`.
#[derive(Debug)]
pub struct MetaCall {
    /// Who called.
    pub caller: SessionIndex,
    /// When.
    pub tick: u64,
    /// When, beside publications.
    pub order: u64,
    /// What was posted to the control shard before this tick, it had handled then.
    pub horizon: u64,
    /// What.
    pub procedure: String,
    /// Arguments.
    pub arguments: Vec<Value>,
    /// ArgumentsKw.
    pub keywords: Dict,
    /// CANCEL has been handled.
    pub cancelled: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// When it was done; absent: nobody knows whether it is.
    pub answered_tick: Option<u64>,
    /// The first argument of RESULT.
    pub result: Option<Value>,
}

/// What came of a call.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The caller has not been told.
    Unknown,
    /// RESULT
    Done,
    /// ERROR: it had no effect.
    Refused,
}

/// Who is to be ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Victims {
    /// One session.
    Session(u64),
    /// All of an identity.
    Authid(String),
    /// All of a role.
    Authrole(String),
    /// All.
    All,
}

/// An order to end sessions.
#[derive(Debug)]
pub struct Kill {
    /// Index of the call.
    pub call: usize,
    /// Whom.
    pub victims: Victims,
    /// Reason of GOODBYE.
    pub reason: String,
}

/// A publication that a session wants when it is gone.
#[derive(Debug)]
pub struct Testament {
    /// Index of the call.
    pub call: usize,
    /// Its number, as of any publication.
    pub number: usize,
    /// Where.
    pub topic: String,
    /// Published when the transport is lost, not when the session is gone.
    pub detached: bool,
    /// The call that takes it back.
    pub flushed_by: Option<usize>,
}

impl MetaCall {
    /// An argument that is a number.
    pub fn number(&self, index: usize) -> u64 {
        self.arguments.get(index).and_then(Value::as_integer).map_or(0, |number| number as u64)
    }

    /// An argument that is text.
    pub fn text(&self, index: usize) -> &str {
        self.arguments.get(index).and_then(Value::as_str).unwrap_or_default()
    }

    /// A keyword that is text.
    pub fn keyword(&self, name: &str) -> Option<&str> {
        self.keywords.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_str())
    }
}

impl Model {
    /// CALL of a procedure of the router.
    pub(super) fn meta_call(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        procedure: &str,
        payload: &Payload<'_>,
    ) {
        let key = Key { uri: procedure.to_owned(), policy: Match::Exact };
        let expected = self.expected(&self.sessions[index], Action::Call, &key);
        let number = self.meta_calls.len();
        let order = self.next_order();
        self.meta_calls.push(MetaCall {
            caller: index,
            tick: self.tick,
            order,
            horizon: self.horizon,
            procedure: key.uri,
            arguments: payload.arguments().unwrap_or_default(),
            keywords: payload.keywords().unwrap_or_default(),
            cancelled: false,
            outcome: Outcome::Unknown,
            answered_tick: None,
            result: None,
        });
        self.sessions[index].call_last = request.get();
        self.wait(index, request, PendingKind::Meta(number), expected);
        if !matches!(expected, Expected::Error(_)) {
            self.meta_effect(number);
        }
    }

    /// What the call may cause from now on.
    fn meta_effect(&mut self, number: usize) {
        let call = &self.meta_calls[number];
        let (first, second) = (call.number(0), call.number(1));
        match call.procedure.as_str() {
            "wamp.session.kill" => self.kill(number, Victims::Session(first)),
            "wamp.session.kill_by_authid" => self.kill(number, Victims::Authid(call.text(0).to_owned())),
            "wamp.session.kill_by_authrole" => self.kill(number, Victims::Authrole(call.text(0).to_owned())),
            "wamp.session.kill_all" => self.kill(number, Victims::All),
            "wamp.session.add_testament" => self.add_testament(number),
            "wamp.session.flush_testaments" => self.flush_testaments(number),
            "wamp.subscription.remove_subscriber" => self.revoke_subscription(number, first, second),
            "wamp.registration.remove_callee" => self.revoke_registration(number, first, second),
            _ => {}
        }
    }

    fn kill(&mut self, call: usize, victims: Victims) {
        let reason = self.meta_calls[call].keyword("reason").unwrap_or(well_known::KILLED).to_owned();
        self.kills.push(Kill { call, victims, reason });
    }

    fn add_testament(&mut self, number: usize) {
        let call = &self.meta_calls[number];
        let tag = match call.arguments.get(1) {
            Some(Value::List(values)) => values.first().and_then(Value::as_integer),
            _ => None,
        };
        let Some(tag) = tag else { return };
        let testament = Testament {
            call: number,
            number: tag as usize,
            topic: call.text(0).to_owned(),
            detached: call.keyword("scope") == Some("detached"),
            flushed_by: None,
        };
        let caller = call.caller;
        self.sessions[caller].testaments.push(testament);
    }

    fn flush_testaments(&mut self, number: usize) {
        let call = &self.meta_calls[number];
        let detached = call.keyword("scope") == Some("detached");
        let meant = |testament: &&mut Testament| testament.detached == detached;
        let caller = call.caller;
        for testament in self.sessions[caller].testaments.iter_mut().filter(meant) {
            testament.flushed_by.get_or_insert(number);
        }
    }

    fn revoke_subscription(&mut self, call: usize, id: u64, session: u64) {
        let Some(session) = self.victim(call, session) else { return };
        let held = session.subscriptions.iter_mut().filter(|held| held.id.get() == id);
        held.for_each(|held| held.revoking = true);
        let is_meant = |kind: &PendingKind| match kind {
            PendingKind::Unsubscribe(other) => other.get() == id,
            PendingKind::Subscribe(_) => true,
            _ => false,
        };
        session.revocations.push(id);
        session.make_uncertain(is_meant);
    }

    fn revoke_registration(&mut self, call: usize, id: u64, session: u64) {
        let Some(session) = self.victim(call, session) else { return };
        let held = session.registrations.iter_mut().filter(|held| held.id.get() == id);
        let departing: Vec<Key> = held
            .map(|held| {
                held.revoking = true;
                held.key.clone()
            })
            .collect();
        let is_meant = |kind: &PendingKind| match kind {
            PendingKind::Unregister(other) => other.get() == id,
            PendingKind::Register(_) => true,
            _ => false,
        };
        session.revocations.push(id);
        session.make_uncertain(is_meant);
        let realm = session.realm;
        departing.into_iter().for_each(|key| self.depart(realm, key, false));
    }

    fn victim(&mut self, call: usize, id: u64) -> Option<&mut Session> {
        let realm = self.sessions[self.meta_calls[call].caller].realm;
        let live = self.live.iter().copied().find(|index| {
            let session = &self.sessions[*index];
            session.id.get() == id && session.realm == realm && !self.is_of_router(session)
        });
        live.map(|index| &mut self.sessions[index])
    }

    /// The caller is told what came of a call.
    pub(super) fn meta_answered(&mut self, number: usize, answer: Result<&Payload<'_>, &str>) {
        let tick = self.tick;
        let call = &mut self.meta_calls[number];
        call.outcome = match answer {
            Ok(_) => Outcome::Done,
            Err(well_known::CANCELED | well_known::PAYLOAD_SIZE_EXCEEDED) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        if let Ok(payload) = answer {
            call.answered_tick = Some(tick);
            let voids = (call.procedure == INVALIDATE).then_some((call.caller, call.order));
            if let Some((caller, order)) = voids {
                self.void_decisions(self.sessions[caller].realm, order, true);
            }
            let call = &mut self.meta_calls[number];
            let arguments = payload.arguments().unwrap_or_default();
            call.result = Some(arguments.into_iter().next().unwrap_or_default());
        }
    }

    /// Whether a session is among those that an order is about.
    pub fn is_victim(&self, kill: &Kill, session: &Session) -> bool {
        let call = &self.meta_calls[kill.call];
        let caller = &self.sessions[call.caller];
        caller.realm == session.realm
            && caller.id != session.id
            && !self.is_of_router(session)
            && call.outcome != Outcome::Refused
            && match &kill.victims {
                Victims::Session(id) => session.id.get() == *id,
                Victims::Authid(authid) => session.authid == *authid,
                Victims::Authrole(role) => *self.role(session).name == **role,
                Victims::All => true,
            }
    }

    /// Whether somebody wants the session ended.
    pub fn may_be_killed(&self, session: &Session) -> bool {
        self.kills.iter().any(|kill| self.is_victim(kill, session))
    }

    /// Whether the ends of sessions may be kept quiet.
    pub fn may_be_silent(&self) -> bool {
        self.shut_down || self.kills.iter().any(|kill| kill.victims == Victims::All)
    }

    /// The session is gone, or only its transport (`scope`: `detached`): its testaments become publications, those of a lost transport first.
    pub(super) fn publish_testaments(&mut self, index: SessionIndex, scope: Option<bool>) {
        let all = std::mem::take(&mut self.sessions[index].testaments);
        let is_due = |testament: &Testament| scope.is_none_or(|detached| testament.detached == detached);
        let (testaments, kept) = all.into_iter().partition::<Vec<_>, _>(is_due);
        self.sessions[index].testaments = kept;
        if self.sessions[index].silenced {
            return;
        }
        let in_order = [true, false]
            .into_iter()
            .flat_map(|detached| testaments.iter().filter(move |testament| testament.detached == detached));
        for testament in in_order {
            self.publish_testament(index, testament);
        }
    }

    fn publish_testament(&mut self, index: SessionIndex, testament: &Testament) {
        let outcome = |call: usize| self.meta_calls[call].outcome;
        let flushed = testament.flushed_by.map(outcome);
        if outcome(testament.call) == Outcome::Refused || flushed == Some(Outcome::Done) {
            return;
        }
        let session = &self.sessions[index];
        let certain = self.role(session).authorizer.is_none()
            && outcome(testament.call) == Outcome::Done
            && flushed.is_none_or(|flushed| flushed == Outcome::Refused)
            && !self.may_be_silent();
        let key = Key { uri: testament.topic.clone(), policy: Match::Exact };
        let expected = self.expected(session, Action::Publish, &key);
        let disclosed = self.forced_disclosure(session, Action::Publish, &key.uri);
        let mut publication = Publication {
            publisher: index,
            order: self.next_order(),
            topic: key.uri,
            expected,
            exclude_me: false,
            disclosed,
            is_retained: false,
            tick: self.tick,
            is_testament: true,
            is_certain: certain,
            horizon: self.horizon,
            extra: None,
            owed: Vec::new(),
            shared: Vec::new(),
            id: None,
            size: 0,
        };
        if certain {
            publication.owed = self.owed(&publication);
        }
        put(&mut self.publications, testament.number, publication);
        self.record(testament.number);
    }
}

impl Session {
    /// Whether the router may take this away without being asked by the client.
    pub fn may_be_revoked(&self, id: u64) -> bool {
        self.revocations.contains(&id)
    }

    fn make_uncertain(&mut self, is_meant: impl Fn(&PendingKind) -> bool) {
        for pending in self.requests.iter_mut().filter(|pending| is_meant(&pending.kind)) {
            pending.expected = Expected::Either;
        }
    }
}

/// Whether a procedure is one of those the router has.
pub fn is_meta_procedure(uri: &str) -> bool {
    ["wamp.session.", "wamp.registration.", "wamp.subscription.", "wamp.schema.", "wamp.authorization."]
        .iter()
        .any(|api| uri.starts_with(api))
}
