//! CALL: matching, the choice of a callee, INVOCATION; and calls from other shards.

use std::borrow::Cow;
use std::num::NonZeroU64;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{
    CallOptions, Feature, InvocationDetails, InvocationExtra, InvocationPolicy, Message, MessageType,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, is_restricted, is_valid, well_known};

use super::choose::Choice;
use super::progressive::Earlier;
use super::queue::queue_limit;
use super::{Call, Caller, Dealer, Invocation, Rare};
use crate::address::{CallAddress, CallKey, RealmId, SessionAddress, SessionKey, TransportId};
use crate::authz::{Action, Decision, Ruling};
use crate::forwarding::origin;
use crate::letter::{self, Declined, Disclosure, Letter, Parcel, Turn};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::{Outbox, Refused};
use crate::owned;
use crate::passthru::Demands;
use crate::rendezvous::ResourceKey;
use crate::session::Session;
use crate::shard::{Detour, Shard, Violation};

/// Where a session's calls of one procedure go. Saves the URI check, the authorization and the match of the next call of
/// the same procedure.
#[derive(Debug, Default)]
pub(crate) struct CallRoute {
    procedure: String,
    /// The version of the realm's tables this was made from; 0: never.
    version: u64,
    target: Target,
    disclose: bool,
    refuse_disclose_me: bool,
    /// Of the caller's role.
    trustlevel: Option<u64>,
}

#[derive(Copy, Clone, Debug, Default)]
enum Target {
    #[default]
    Nothing,
    Refused(&'static str),
    Registration(u64),
}

/// What a callee is to be asked.
pub(crate) struct Question<'a> {
    pub(crate) procedure: &'a str,
    pub(crate) options: &'a CallOptions<'a>,
    /// The caller wants to be, or has to be, disclosed.
    pub(crate) disclose: bool,
    /// Of the caller's role.
    pub(crate) trustlevel: Option<u64>,
    /// It is for the callee that serves this resource key.
    pub(crate) rkey: Option<ResourceKey>,
    /// The router itself asks.
    pub(crate) is_inquiry: bool,
    /// Its number, if it has waited for a free slot.
    pub(crate) arrival: Option<u64>,
    pub(crate) payload: &'a Payload<'a>,
}

/// What has been tried for a call.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// Callees that are not asked again.
    refused: Vec<SessionAddress>,
    /// One of them because it was busy.
    found_busy: bool,
    /// One of them although it stays registered.
    pub(super) found_unavailable: bool,
}

/// A callee chosen for a call.
#[derive(Debug)]
struct Pick {
    registration: RegistrationId,
    address: SessionAddress,
    ticket: u64,
    disclose_caller: bool,
    /// Counted against its concurrency: under which ticket it was added.
    slot: Option<NonZeroU64>,
    /// The callee has refused calls of this shard, which have been seen to.
    is_resumption: bool,
}

/// A local callee about to be invoked.
#[derive(Debug)]
struct Asked {
    callee: SessionKey,
    registration: RegistrationId,
    origin: CallAddress,
    /// Counted against its concurrency: under which ticket it was added.
    slot: Option<NonZeroU64>,
}

/// An INVOCATION has been sent.
struct Invoked {
    request: RequestId,
    /// The callee may pass the call on.
    is_kept: bool,
}

/// Why a callee was not invoked.
enum Obstacle {
    /// The next one may take the call.
    Declined(Declined),
    /// The call fails.
    Error(&'static str),
}

impl Shard {
    /// CALL (wamp.md 12.5).
    pub(crate) fn call<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &CallOptions<'_>,
        procedure: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        match self.earlier_call(key, request, options.progress) {
            Some(Earlier::Active(call)) => {
                return self.continue_call(call, options.progress, procedure, payload, out);
            }
            Some(Earlier::Over) => return Ok(()),
            None => self.check_call(key, request, options, payload)?,
        }
        let Ok(route) = self.call_route(key, procedure) else {
            if self.is_too_long(key, payload) {
                let error = well_known::PAYLOAD_SIZE_EXCEEDED;
                self.refuse_call(key, request, options, error, procedure, out);
                return Ok(());
            }
            let (options, procedure) = (options.clone(), procedure.into());
            let message = Message::Call { request, options, procedure, payload: payload.borrowed() };
            self.ask_authorizer(key, message.into_owned(), out);
            return Ok(());
        };
        let (target, trustlevel) = (route.target, route.trustlevel);
        let disclose = route.disclose || options.disclose_me;
        let is_refused = options.disclose_me && route.refuse_disclose_me;
        let options = &*self.continued(key, options);
        let outcome = match target {
            Target::Refused(error) => Err(error),
            _ if is_refused => Err(well_known::DISCLOSE_ME_DISALLOWED),
            _ if self.is_too_long(key, payload) => Err(well_known::PAYLOAD_SIZE_EXCEEDED),
            Target::Registration(id) => self.partition_key(key, options).and_then(|rkey| {
                let (is_inquiry, arrival) = (self.is_inquirer(key), None);
                let question =
                    Question { procedure, options, disclose, trustlevel, rkey, is_inquiry, arrival, payload };
                self.start_call(key, request, id, &question, out)
            }),
            Target::Nothing => Err(well_known::NO_SUCH_PROCEDURE),
        };
        if let Err(error) = outcome {
            self.refuse_call(key, request, options, error, procedure, out);
        }
        Ok(())
    }

    fn refuse_call<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &CallOptions<'_>,
        error: &'static str,
        procedure: &str,
        out: &mut O,
    ) {
        if options.progress {
            self.note_late(key, request);
        }
        self.refuse_about(key, MessageType::Call, request, error, procedure, out);
    }

    fn check_call(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &CallOptions<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        if options.progress
            && !session.roles.caller.is_some_and(|roles| roles.contains(Feature::ProgressiveCallInvocations))
        {
            return Err(Violation("CALL.progress used without announcing progressive_call_invocations"));
        }
        demands(options, payload).check_sender(session)
    }

    /// The route of the session's call, made anew if the last one does not fit. [`Detour::Ask`]: the authorizer of its role has
    /// to be asked before.
    fn call_route(&mut self, key: SessionKey, procedure: &str) -> Result<&CallRoute, Detour> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        let realm = session.realm;
        let procedures = &self.dealer.realms[usize::from(realm.0)];
        let route = session.call_route.get_or_insert_with(Box::default);
        if route.version != procedures.version || route.procedure != procedure {
            let config = &self.config.realms[usize::from(realm.0)];
            let strictness = config.strictness;
            route.trustlevel = config.roles[usize::from(session.role.0)].trustlevel;
            route.procedure.clear();
            route.procedure.push_str(procedure);
            route.version = 0;
            if procedure.len() > self.limits.uri_size_max as usize
                || !is_valid(procedure, Match::Exact, strictness)
            {
                route.target = Target::Refused(well_known::INVALID_URI);
            } else {
                let (role, action) = (session.role, Action::Call);
                let ruling = self.authorization.decide(realm, role, action, procedure, Match::Exact);
                let decision = match ruling.ok_or(Detour::Ask)? {
                    Ruling::Lasting(decision) => {
                        route.version = procedures.version;
                        Ok(decision)
                    }
                    Ruling::Once(decision) => Ok(decision),
                    Ruling::Failed { .. } => Err(well_known::AUTHORIZATION_FAILED),
                };
                route.target = match decision {
                    Ok(decision) => {
                        route.disclose = decision.disclose_caller;
                        route.refuse_disclose_me = decision.refuse_disclose_me;
                        self.dealer.target(realm, procedure, decision)
                    }
                    Err(error) => Target::Refused(error),
                };
            }
        }
        Ok(route)
    }

    /// The resource key of a call with `runmode: partition`, where the realm minds it.
    fn partition_key(
        &self,
        caller: SessionKey,
        options: &CallOptions<'_>,
    ) -> Result<Option<ResourceKey>, &'static str> {
        let Some(extra) = &options.extra else { return Ok(None) };
        let sharding = |session: &Session| self.config.realms[usize::from(session.realm.0)].sharding;
        if !self.sessions.get(caller).is_some_and(sharding) {
            return Ok(None);
        }
        match (extra.runmode.as_deref(), &extra.rkey) {
            (None, _) => Ok(None),
            (Some("partition"), Some(rkey)) => Ok(Some(ResourceKey::new(rkey))),
            (Some("partition"), None) => Err(well_known::INVALID_ARGUMENT),
            (Some(_), _) => Err(well_known::FEATURE_NOT_SUPPORTED),
        }
    }

    fn start_call<O: Outbox>(
        &mut self,
        caller: SessionKey,
        request: RequestId,
        registration: u64,
        question: &Question<'_>,
        out: &mut O,
    ) -> Result<(), &'static str> {
        let registration = RegistrationId::new(registration).ok_or(well_known::NO_SUCH_PROCEDURE)?;
        let session = self.sessions.get_mut(caller).ok_or(well_known::CANCELED)?;
        let integers = self.integers;
        let calls_max = session.limits(&self.limits).calls_max as usize;
        let state = session.caller.get_or_insert_with(|| Box::new(Caller::new(integers)));
        if state.calls.len() >= calls_max {
            self.counters.calls_refused += 1;
            return Err(LIMIT_EXCEEDED);
        }
        let call = Call {
            caller,
            request,
            registration,
            callee: None,
            invocation: None,
            slot: None,
            is_killed: false,
            rare: question.options.progress.then(|| Rare::progressive(question.procedure)),
        };
        let (index, generation) = self.dealer.calls.insert(call);
        let key = CallKey { index, generation };
        state.calls.insert(request.get(), key);
        self.counters.calls += 1;
        let placed = self.place_call(key, question, Attempt::default(), out);
        if placed.is_err() {
            self.take_call(key);
        }
        placed
    }

    /// Whether the router itself asks with the calls of a session: service sessions call nothing but authenticators and
    /// authorizers. Guests live on their shard, too.
    fn is_inquirer(&mut self, key: SessionKey) -> bool {
        self.id.index() + 1 == self.shards
            && self.sessions.slot_mut(key).is_some_and(|slot| slot.transport == TransportId::SERVICE)
    }

    /// Finds a callee for a call, and asks it.
    pub(crate) fn place_call<O: Outbox>(
        &mut self,
        key: CallKey,
        question: &Question<'_>,
        mut attempt: Attempt,
        out: &mut O,
    ) -> Result<(), &'static str> {
        let origin = CallAddress { shard: self.id, key };
        loop {
            let pick = match self.pick(key, question, &mut attempt) {
                Ok(pick) => pick,
                Err(well_known::MAX_CONCURRENCY_REACHED) if self.enqueue(key, question, &attempt, out) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Pick { registration, address, slot, .. } = pick;
            let disclosure = if question.disclose || pick.disclose_caller {
                self.disclosure(key, question.options)
            } else {
                None
            };
            if address.shard != self.id {
                let letter = question.letter(origin, &pick, disclosure, attempt);
                self.post(address.shard, Letter::Call(letter), out);
                return Ok(());
            }
            if self.must_wait(address.key, registration, pick.ticket) {
                self.release(slot, registration, address.key);
                self.let_wait(address.key, question.letter(origin, &pick, disclosure, attempt));
                return Ok(());
            }
            let asked = Asked { callee: address.key, registration, origin, slot };
            match self.invoke(&asked, disclosure.as_ref(), question, out) {
                Ok(Invoked { request, is_kept }) => {
                    self.note_invocation(origin, request);
                    if is_kept {
                        let letter = question.letter(origin, &pick, disclosure, attempt);
                        self.keep(address.key, request, letter);
                    }
                    return Ok(());
                }
                Err(Obstacle::Error(error)) => {
                    self.release(slot, registration, address.key);
                    return Err(error);
                }
                Err(Obstacle::Declined(why)) => {
                    self.release(slot, registration, address.key);
                    attempt.note(address, why);
                }
            }
        }
    }

    /// Chooses a callee and counts the call against its concurrency.
    fn pick(
        &mut self,
        key: CallKey,
        question: &Question<'_>,
        attempt: &mut Attempt,
    ) -> Result<Pick, &'static str> {
        let call = self.dealer.calls.get(key.index, key.generation).ok_or(well_known::CANCELED)?;
        let mut id = call.registration;
        if self.dealer.registrations.get(id.get()).is_none() {
            id = self.match_again(key, question.procedure)?;
            *attempt = Attempt::default();
        }
        let Dealer { registrations, queue_rules, .. } = &mut self.dealer;
        let registration = registrations.get_mut(id.get()).ok_or(well_known::NO_SUCH_PROCEDURE)?;
        let may_wait = |realm| queue_limit(queue_rules, realm, question, attempt).is_some();
        if registration.queued > 0 && question.rkey.is_none() && may_wait(registration.realm) {
            return Err(well_known::MAX_CONCURRENCY_REACHED);
        }
        let candidate = match registration.choose(question.rkey, &attempt.refused, &mut self.random) {
            Choice::Candidate(index) => &mut registration.candidates[index],
            Choice::Nobody => return Err(attempt.error()),
            Choice::Busy => return Err(well_known::MAX_CONCURRENCY_REACHED),
        };
        if candidate.is_full() && may_wait(registration.realm) {
            return Err(well_known::MAX_CONCURRENCY_REACHED);
        }
        let forward_timeout = candidate.callee.forward_timeout;
        let slot = candidate.callee.concurrency.and_then(|_| NonZeroU64::new(candidate.ticket));
        candidate.outstanding += u64::from(slot.is_some());
        let pick = Pick {
            registration: id,
            address: candidate.callee.address,
            ticket: candidate.ticket,
            disclose_caller: candidate.callee.disclose_caller,
            slot,
            is_resumption: candidate.take_refusal(),
        };
        if let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) {
            call.callee = Some(pick.address);
            call.slot = slot.filter(|_| pick.address.shard != self.id);
        }
        if question.options.timeout_ms > 0 {
            self.start_timeout(key, question.options.timeout_ms, forward_timeout);
        }
        Ok(pick)
    }

    /// The registration has vanished under the call: the next best one gets it.
    fn match_again(&mut self, key: CallKey, procedure: &str) -> Result<RegistrationId, &'static str> {
        let call = self.dealer.calls.get(key.index, key.generation).ok_or(well_known::CANCELED)?;
        let session = self.sessions.get(call.caller).ok_or(well_known::CANCELED)?;
        let best = self.dealer.best(session.realm, procedure).and_then(RegistrationId::new);
        let call = self.dealer.calls.get_mut(key.index, key.generation).ok_or(well_known::CANCELED)?;
        call.registration = best.ok_or(well_known::NO_SUCH_PROCEDURE)?;
        Ok(call.registration)
    }

    /// Who the caller is, for the callee.
    pub(super) fn disclosure(&self, key: CallKey, options: &CallOptions<'_>) -> Option<Disclosure> {
        let hops = options.extra.as_ref().and_then(|extra| extra.forward_for.as_deref());
        if let Some((session, authid, authrole)) = hops.and_then(origin) {
            return Some(Disclosure { session, authid: authid.into(), authrole: authrole.into() });
        }
        let call = self.dealer.calls.get(key.index, key.generation)?;
        let session = self.sessions.get(call.caller)?;
        Some(Disclosure {
            session: session.id,
            authid: session.authid.clone(),
            authrole: self.role_name(session).into(),
        })
    }

    /// A call of another shard.
    pub(crate) fn take_foreign_call<O: Outbox>(&mut self, call: Box<letter::Call>, out: &mut O) {
        if let Some((call, why)) = self.try_letter(call, false, out) {
            self.counters.calls_returned += 1;
            self.post(call.origin.shard, Letter::Returned { call, why }, out);
        }
    }

    /// Invokes the callee that a letter names; gives the letter back if that callee cannot take it.
    /// `is_first`: nothing waits before it.
    pub(super) fn try_letter<O: Outbox>(
        &mut self,
        call: Box<letter::Call>,
        is_first: bool,
        out: &mut O,
    ) -> Option<(Box<letter::Call>, Declined)> {
        let address = SessionAddress { shard: self.id, key: call.callee };
        if !is_first && self.must_wait(address.key, call.registration, call.ticket) {
            self.let_wait(address.key, call);
            return None;
        }
        let callee = self.sessions.get(call.callee).and_then(|session| session.callee.as_ref());
        let Some(callee) = callee else {
            let why = self.decline_for(&call);
            return Some((call, why));
        };
        let Some(held) = callee.registrations.get(&call.registration.get()).copied() else {
            return Some((call, Declined::Gone));
        };
        let admitted = if held.is_limited { self.admit(&call, address) } else { Ok(None) };
        let slot = match admitted {
            Ok(slot) => slot,
            Err(why) => return Some((call, why)),
        };
        let payload = call.parcel.payload();
        let question = Question {
            procedure: &call.procedure,
            options: &call.options,
            disclose: false,
            trustlevel: call.trustlevel,
            rkey: None,
            is_inquiry: call.is_inquiry,
            arrival: None,
            payload: &payload,
        };
        let asked = Asked { callee: address.key, registration: call.registration, origin: call.origin, slot };
        let invoked = self.invoke(&asked, call.disclosure.as_ref(), &question, out);
        let obstacle = match invoked {
            Ok(Invoked { request, is_kept }) => {
                self.note_invocation(call.origin, request);
                if is_kept {
                    self.keep(call.callee, request, call);
                }
                return None;
            }
            Err(obstacle) => obstacle,
        };
        self.release(slot, call.registration, address.key);
        match obstacle {
            Obstacle::Declined(why) => return Some((call, why)),
            Obstacle::Error(error) => self.fail(call.origin, error, out),
        }
        None
    }

    /// Remembers under which invocation id a call is at its callee.
    fn note_invocation(&mut self, origin: CallAddress, invocation: RequestId) {
        if origin.shard != self.id {
            self.dealer.foreign.insert(origin, invocation);
        } else if let Some(call) = self.dealer.calls.get_mut(origin.key.index, origin.key.generation) {
            call.invocation = Some(invocation);
        }
    }

    /// INVOCATION.
    fn invoke<O: Outbox>(
        &mut self,
        asked: &Asked,
        disclosure: Option<&Disclosure>,
        question: &Question<'_>,
        out: &mut O,
    ) -> Result<Invoked, Obstacle> {
        let Asked { callee: key, registration, origin, slot } = *asked;
        let Some(session) = self.sessions.get_mut(key) else {
            return Err(Obstacle::Declined(self.absence(registration, key, 0)));
        };
        let progress_announced = session.callee_has(Feature::ProgressiveCallResults);
        let reroute_announced = session.callee_has(Feature::CallReroute);
        let takes_payload =
            demands(question.options, question.payload).are_met(|feature| session.callee_has(feature));
        let is_incapable = !takes_payload || question.options.progress && !session.takes_continuations();
        let invocations_max = session.limits(&self.limits).invocations_max as usize;
        let Some(callee) = &mut session.callee else { return Err(Obstacle::Declined(Declined::Gone)) };
        if callee.invocations.len() >= invocations_max {
            return Err(Obstacle::Declined(Declined::Busy));
        }
        if is_incapable {
            return Err(Obstacle::Error(well_known::FEATURE_NOT_SUPPORTED));
        }
        let Some(entry) = self.dealer.registrations.get(registration.get()) else {
            return Err(Obstacle::Declined(Declined::Gone));
        };
        let previous = callee.invocation_last;
        let request = RequestId::new(previous).map_or(FIRST_INVOCATION, RequestId::next);
        let receive_progress = question.options.receive_progress && progress_announced;
        let mut details = question.details(entry.match_policy, receive_progress, disclosure);
        if question.options.timeout_ms > 0
            && callee.registrations.get(&registration.get()).is_some_and(|held| held.forward_timeout)
        {
            details.timeout_ms = question.options.timeout_ms;
        }
        let payload = question.payload.borrowed();
        match out.send(key, &Message::Invocation { request, registration, details, payload }) {
            Ok(()) => {}
            Err(Refused::TooLarge) => return Err(Obstacle::Error(well_known::PAYLOAD_SIZE_EXCEEDED)),
            Err(Refused::Unrepresentable) => return Err(Obstacle::Error(well_known::INVALID_ARGUMENT)),
            Err(Refused::Gone) => return Err(Obstacle::Declined(Declined::Gone)),
        }
        callee.invocation_last = request.get();
        let is_inquiry = question.is_inquiry;
        let invocation = Invocation { origin, registration, receive_progress, is_inquiry, slot };
        callee.invocations.insert(request.get(), invocation);
        self.counters.invocations += 1;
        let is_kept = reroute_announced && entry.invoke != InvocationPolicy::Single;
        if is_inquiry {
            self.read_answer(key, out);
        }
        Ok(Invoked { request, is_kept })
    }

    /// A call that its callee did not take goes back to the caller's shard, which tries the next one.
    pub(crate) fn give_back<O: Outbox>(&mut self, call: Box<letter::Call>, why: Declined, out: &mut O) {
        let why = if why == Declined::Gone { self.decline_for(&call) } else { why };
        if call.origin.shard == self.id {
            self.retry(&call, why, out);
        } else {
            self.counters.calls_returned += 1;
            self.post(call.origin.shard, Letter::Returned { call, why }, out);
        }
    }

    /// A call came back from the callee it was sent to: the next one gets it.
    pub(crate) fn retry<O: Outbox>(&mut self, call: &letter::Call, why: Declined, out: &mut O) {
        let key = call.origin.key;
        let Some(record) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        let tried = record.callee.take();
        record.invocation = None;
        let slot = record.slot.take();
        let (registration, is_killed) = (record.registration, record.is_killed);
        let is_continued = record.is_continued();
        if let (Some(tried), Some(ticket)) = (tried, slot) {
            self.dealer.release(registration, tried, ticket.get());
        }
        match (tried, why) {
            (Some(tried), Declined::Gone) => self.dealer.forget_callee(registration, tried, call.ticket),
            (Some(tried), Declined::Busy) => self.dealer.note_refusal(registration, tried, call.ticket),
            (_, Declined::Unavailable) | (None, _) => {}
        }
        if is_killed {
            return self.fail(call.origin, well_known::CANCELED, out);
        }
        if is_continued {
            return self.fail(call.origin, well_known::NO_AVAILABLE_CALLEE, out);
        }
        if call.turn.is_reserved && why == Declined::Busy {
            // Another turn would end as this one has.
            return self.fail(call.origin, well_known::MAX_CONCURRENCY_REACHED, out);
        }
        let mut attempt = Attempt {
            refused: call.refused_by.clone(),
            found_busy: call.found_busy,
            found_unavailable: call.found_unavailable,
        };
        if let Some(tried) = tried {
            attempt.note(tried, why);
        }
        self.place_letter(call, attempt, out);
    }

    /// Finds a callee for a call that has been put in a letter.
    pub(super) fn place_letter<O: Outbox>(&mut self, call: &letter::Call, attempt: Attempt, out: &mut O) {
        let payload = call.parcel.payload();
        let question = Question {
            procedure: &call.procedure,
            options: &call.options,
            disclose: call.disclose,
            trustlevel: call.trustlevel,
            rkey: call.rkey,
            is_inquiry: call.is_inquiry,
            arrival: call.turn.arrival,
            payload: &payload,
        };
        if let Err(error) = self.place_call(call.origin.key, &question, attempt, out) {
            self.fail(call.origin, error, out);
        }
    }
}

impl Dealer {
    /// Where calls of a procedure go.
    fn target(&self, realm: RealmId, procedure: &str, decision: Decision) -> Target {
        if !decision.allow.call {
            return Target::Refused(well_known::NOT_AUTHORIZED);
        }
        self.best(realm, procedure).map_or(Target::Nothing, Target::Registration)
    }

    /// The registration that a call of a procedure goes to. Patterns that say nothing of the router's own name space do not
    /// reach into it.
    fn best(&self, realm: RealmId, procedure: &str) -> Option<u64> {
        let id = self.realms[usize::from(realm.0)].patterns.best(procedure)?;
        let known = self.registrations.get(id)?;
        (!is_restricted(procedure) || is_restricted(&known.uri)).then_some(id)
    }
}

impl Attempt {
    fn note(&mut self, callee: SessionAddress, why: Declined) {
        self.refused.push(callee);
        self.found_busy |= why == Declined::Busy;
        self.found_unavailable |= why == Declined::Unavailable;
    }

    /// What the caller is told when nobody is left.
    fn error(&self) -> &'static str {
        match self {
            Attempt { found_busy: true, .. } => well_known::MAX_CONCURRENCY_REACHED,
            Attempt { found_unavailable: true, .. } => well_known::NO_AVAILABLE_CALLEE,
            _ => well_known::NO_SUCH_PROCEDURE,
        }
    }
}

impl Question<'_> {
    fn letter(
        &self,
        origin: CallAddress,
        pick: &Pick,
        disclosure: Option<Disclosure>,
        attempt: Attempt,
    ) -> Box<letter::Call> {
        let mut letter = self.unaddressed(origin, pick.registration, attempt);
        letter.callee = pick.address.key;
        letter.ticket = pick.ticket;
        letter.disclosure = disclosure;
        letter.turn.is_resumption = pick.is_resumption;
        letter
    }

    /// A letter for nobody yet.
    pub(super) fn unaddressed(
        &self,
        origin: CallAddress,
        registration: RegistrationId,
        attempt: Attempt,
    ) -> Box<letter::Call> {
        Box::new(letter::Call {
            origin,
            registration,
            callee: SessionKey { slot: u32::MAX, generation: 0 },
            ticket: 0,
            procedure: self.procedure.into(),
            options: owned::call_options(self.options.clone()),
            disclose: self.disclose,
            disclosure: None,
            trustlevel: self.trustlevel,
            rkey: self.rkey,
            is_inquiry: self.is_inquiry,
            turn: Turn { arrival: self.arrival, ..Turn::default() },
            parcel: Parcel::pack(self.payload),
            refused_by: attempt.refused,
            found_busy: attempt.found_busy,
            found_unavailable: attempt.found_unavailable,
        })
    }

    fn details<'s>(
        &'s self,
        policy: Match,
        receive_progress: bool,
        disclosure: Option<&'s Disclosure>,
    ) -> InvocationDetails<'s> {
        let extra = self.options.extra.as_ref().map(|extra| {
            Box::new(InvocationExtra {
                passthru: extra.passthru.clone(),
                transaction_hash: extra.transaction_hash.clone(),
                forward_for: extra.forward_for.clone(),
            })
        });
        InvocationDetails {
            procedure: (policy != Match::Exact).then_some(Cow::Borrowed(self.procedure)),
            caller: disclosure.map(|caller| caller.session),
            caller_authid: disclosure.map(|caller| Cow::Borrowed(&*caller.authid)),
            caller_authrole: disclosure.map(|caller| Cow::Borrowed(&*caller.authrole)),
            trustlevel: self.trustlevel,
            receive_progress,
            progress: self.options.progress,
            timeout_ms: 0,
            extra,
        }
    }
}

/// What the payload of a CALL asks of caller and callee.
#[inline]
fn demands(options: &CallOptions<'_>, payload: &Payload<'_>) -> Demands {
    Demands::of(options.extra.as_ref().map(|extra| &extra.passthru), payload.shape)
}

/// Invocation ids of a session count from 1.
const FIRST_INVOCATION: RequestId = match RequestId::new(1) {
    Some(first) => first,
    None => unreachable!(),
};
