//! CALL: matching, the choice of a callee, INVOCATION; and calls from other shards.

use std::borrow::Cow;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{
    CallOptions, Feature, InvocationDetails, InvocationExtra, Message, MessageType,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, is_valid, well_known};

use super::choose::Choice;
use super::{Call, Caller, Invocation};
use crate::address::{CallAddress, CallKey, SessionAddress, SessionKey};
use crate::broker::check_passthru;
use crate::letter::{self, Disclosure, Letter, Parcel};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::{Outbox, Refused};
use crate::owned;
use crate::session::Sessions;
use crate::shard::{Deferred, Shard, Violation, refuse};

/// Where a session's calls of one procedure go. Saves the URI check, the authorization and the match of the next call of
/// the same procedure.
#[derive(Debug, Default)]
pub(crate) struct CallRoute {
    procedure: String,
    /// The version of the realm's tables this was made from; 0: never.
    version: u64,
    target: Target,
    disclose: bool,
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
    pub(crate) payload: &'a Payload<'a>,
}

/// Why a callee was not invoked.
enum Obstacle {
    /// It is no callee any more.
    Gone,
    /// It is at a limit.
    Busy,
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
        self.check_call(key, request, options)?;
        let (target, disclose) = self.call_route(key, procedure);
        let question = Question { procedure, options, disclose: disclose || options.disclose_me, payload };
        let outcome = match target {
            Target::Registration(id) => self.start_call(key, request, id, &question, out),
            Target::Refused(error) => Err(error),
            Target::Nothing => Err(well_known::NO_SUCH_PROCEDURE),
        };
        if let Err(error) = outcome {
            refuse(&mut self.counters, key, MessageType::Call, request, error, out);
        }
        Ok(())
    }

    fn check_call(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &CallOptions<'_>,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        let is_new = request.get() > session.request_last;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        let active = session.caller.as_ref().is_some_and(|caller| caller.calls.contains_key(&request.get()));
        if !is_new && active {
            return Err(Violation::REQUEST_ID);
        }
        if options.progress
            && !session.roles.caller.is_some_and(|roles| roles.contains(Feature::ProgressiveCallInvocations))
        {
            return Err(Violation("CALL.progress used without announcing progressive_call_invocations"));
        }
        match &options.extra {
            Some(extra) => check_passthru(&extra.passthru, session),
            None => Ok(()),
        }
    }

    /// The target of the session's call, and whether a rule discloses the caller.
    fn call_route(&mut self, key: SessionKey, procedure: &str) -> (Target, bool) {
        let Some(session) = self.sessions.get_mut(key) else { return (Target::Nothing, false) };
        let realm = session.realm;
        let procedures = &self.dealer.realms[usize::from(realm.0)];
        let route = session.call_route.get_or_insert_with(Box::default);
        if route.version != procedures.version || route.procedure != procedure {
            let strictness = self.config.realms[usize::from(realm.0)].strictness;
            let decision = self.authorization.decide(realm, session.role, procedure, Match::Exact);
            route.procedure.clear();
            route.procedure.push_str(procedure);
            route.version = procedures.version;
            route.disclose = decision.disclose_caller;
            route.target = if procedure.len() > self.limits.uri_size_max as usize
                || !is_valid(procedure, Match::Exact, strictness)
            {
                Target::Refused(well_known::INVALID_URI)
            } else if !decision.allow.call {
                Target::Refused(well_known::NOT_AUTHORIZED)
            } else {
                procedures.patterns.best(procedure).map_or(Target::Nothing, Target::Registration)
            };
        }
        (route.target, route.disclose)
    }

    fn start_call<O: Outbox>(
        &mut self,
        caller: SessionKey,
        request: RequestId,
        registration: u64,
        question: &Question<'_>,
        out: &mut O,
    ) -> Result<(), &'static str> {
        if question.options.progress {
            return Err(well_known::FEATURE_NOT_SUPPORTED);
        }
        let registration = RegistrationId::new(registration).ok_or(well_known::NO_SUCH_PROCEDURE)?;
        let session = self.sessions.get_mut(caller).ok_or(well_known::CANCELED)?;
        let integers = self.integers;
        let state = session.caller.get_or_insert_with(|| Box::new(Caller { calls: integers.map() }));
        if state.calls.len() >= self.limits.calls_per_session_max as usize {
            return Err(LIMIT_EXCEEDED);
        }
        let call = Call {
            caller,
            request,
            registration,
            callee: None,
            invocation: None,
            is_counted: false,
            is_killed: false,
        };
        let (index, generation) = self.dealer.calls.insert(call);
        let key = CallKey { index, generation };
        state.calls.insert(request.get(), key);
        self.counters.calls += 1;
        let placed = self.place_call(key, question, Vec::new(), false, out);
        if placed.is_err() {
            self.take_call(key);
        }
        placed
    }

    /// Finds a callee for a call. `refused`: callees that are not asked (again).
    pub(crate) fn place_call<O: Outbox>(
        &mut self,
        key: CallKey,
        question: &Question<'_>,
        mut refused: Vec<SessionAddress>,
        mut found_busy: bool,
        out: &mut O,
    ) -> Result<(), &'static str> {
        let call = self.dealer.calls.get(key.index, key.generation).ok_or(well_known::CANCELED)?;
        let (mut id, caller) = (call.registration, call.caller);
        loop {
            let Some(registration) = self.dealer.registrations.get_mut(id.get()) else {
                id = self.match_again(key, question.procedure)?;
                refused.clear();
                found_busy = false;
                continue;
            };
            let candidate = match registration.choose(&refused, &mut self.random) {
                Choice::Candidate(index) => &mut registration.candidates[index],
                Choice::Nobody if !found_busy => return Err(well_known::NO_SUCH_PROCEDURE),
                Choice::Nobody | Choice::Busy => return Err(well_known::MAX_CONCURRENCY_REACHED),
            };
            let is_counted = candidate.callee.concurrency.is_some();
            let (address, ticket) = (candidate.callee.address, candidate.ticket);
            let must_wait = address.shard == self.id && must_wait(&self.sessions, address.key, id);
            candidate.outstanding += u64::from(is_counted && !must_wait);
            let disclose = question.disclose || candidate.callee.disclose_caller;
            let disclosure = if disclose { self.disclosure(caller) } else { None };
            if let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) {
                call.callee = Some(address);
                call.is_counted = is_counted && address.shard != self.id;
            }
            let origin = CallAddress { shard: self.id, key };
            if address.shard != self.id {
                let asked = (id, address.key, ticket);
                let letter = question.letter(origin, asked, disclosure, refused, found_busy);
                self.post(address.shard, Letter::Call(letter), out);
                return Ok(());
            }
            if must_wait {
                let asked = (id, address.key, ticket);
                let letter = question.letter(origin, asked, disclosure, refused, found_busy);
                self.let_wait(address.key, letter);
                return Ok(());
            }
            match self.invoke(address.key, id, origin, is_counted, disclosure.as_ref(), question, out) {
                Ok(invocation) => {
                    if let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) {
                        call.invocation = Some(invocation);
                    }
                    return Ok(());
                }
                Err(obstacle) => {
                    if is_counted {
                        self.dealer.release(id, address);
                    }
                    match obstacle {
                        Obstacle::Error(error) => return Err(error),
                        Obstacle::Gone => refused.push(address),
                        Obstacle::Busy => {
                            found_busy = true;
                            refused.push(address);
                        }
                    }
                }
            }
        }
    }

    /// The registration has vanished under the call: the next best one gets it.
    fn match_again(&mut self, key: CallKey, procedure: &str) -> Result<RegistrationId, &'static str> {
        let call = self.dealer.calls.get_mut(key.index, key.generation).ok_or(well_known::CANCELED)?;
        let session = self.sessions.get(call.caller).ok_or(well_known::CANCELED)?;
        let patterns = &self.dealer.realms[usize::from(session.realm.0)].patterns;
        let best = patterns.best(procedure).and_then(RegistrationId::new);
        call.registration = best.ok_or(well_known::NO_SUCH_PROCEDURE)?;
        Ok(call.registration)
    }

    /// Who the caller is, for the callee.
    fn disclosure(&self, caller: SessionKey) -> Option<Disclosure> {
        let session = self.sessions.get(caller)?;
        Some(Disclosure {
            session: session.id,
            authid: session.authid.clone(),
            authrole: self.role_name(session).into(),
        })
    }

    /// A call of another shard.
    pub(crate) fn take_foreign_call<O: Outbox>(&mut self, call: Box<letter::Call>, out: &mut O) {
        if let Some((call, busy)) = self.try_letter(call, false, out) {
            self.counters.calls_returned += 1;
            self.post(call.origin.shard, Letter::Returned { call, busy }, out);
        }
    }

    /// Invokes the callee that a letter names; gives the letter back if that callee cannot take it.
    /// `is_first`: nothing waits before it.
    fn try_letter<O: Outbox>(
        &mut self,
        call: Box<letter::Call>,
        is_first: bool,
        out: &mut O,
    ) -> Option<(Box<letter::Call>, bool)> {
        let address = SessionAddress { shard: self.id, key: call.callee };
        if !is_first && must_wait(&self.sessions, address.key, call.registration) {
            self.let_wait(address.key, call);
            return None;
        }
        let callee = self.sessions.get(call.callee).and_then(|session| session.callee.as_ref());
        let Some(callee) = callee else { return Some((call, false)) };
        let Some(held) = callee.registrations.get(&call.registration.get()).copied() else {
            return Some((call, false));
        };
        if held.is_limited && !self.dealer.acquire(call.registration, address) {
            return Some((call, true));
        }
        let payload = call.parcel.payload();
        let question = Question {
            procedure: &call.procedure,
            options: &call.options,
            disclose: false,
            payload: &payload,
        };
        let disclosure = call.disclosure.as_ref();
        let invoked = self.invoke(
            address.key,
            call.registration,
            call.origin,
            held.is_limited,
            disclosure,
            &question,
            out,
        );
        let obstacle = match invoked {
            Ok(invocation) => {
                self.note_invocation(call.origin, invocation);
                return None;
            }
            Err(obstacle) => obstacle,
        };
        if held.is_limited {
            self.dealer.release(call.registration, address);
        }
        match obstacle {
            Obstacle::Gone => return Some((call, false)),
            Obstacle::Busy => return Some((call, true)),
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
    #[expect(clippy::too_many_arguments, reason = "a plain record would be built for every call")]
    fn invoke<O: Outbox>(
        &mut self,
        key: SessionKey,
        registration: RegistrationId,
        origin: CallAddress,
        is_counted: bool,
        disclosure: Option<&Disclosure>,
        question: &Question<'_>,
        out: &mut O,
    ) -> Result<RequestId, Obstacle> {
        let Some(session) = self.sessions.get_mut(key) else { return Err(Obstacle::Gone) };
        let progress_announced = session.callee_has(Feature::ProgressiveCallResults);
        let passthru_announced = session.callee_has(Feature::PayloadPassthruMode);
        let Some(callee) = &mut session.callee else { return Err(Obstacle::Gone) };
        if callee.invocations.len() >= self.limits.invocations_per_session_max as usize {
            return Err(Obstacle::Busy);
        }
        if question.uses_passthru() && !passthru_announced {
            return Err(Obstacle::Error(well_known::FEATURE_NOT_SUPPORTED));
        }
        let Some(entry) = self.dealer.registrations.get(registration.get()) else {
            return Err(Obstacle::Gone);
        };
        let previous = callee.invocation_last;
        let request = RequestId::new(previous).map_or(FIRST_INVOCATION, RequestId::next);
        let receive_progress = question.options.receive_progress && progress_announced;
        let details = question.details(entry.match_policy, receive_progress, disclosure);
        let payload = question.payload.borrowed();
        match out.send(key, &Message::Invocation { request, registration, details, payload }) {
            Ok(()) => {}
            Err(Refused::TooLarge) => return Err(Obstacle::Error(well_known::PAYLOAD_SIZE_EXCEEDED)),
            Err(Refused::Unrepresentable) => return Err(Obstacle::Error(well_known::INVALID_ARGUMENT)),
            Err(Refused::Gone) => return Err(Obstacle::Gone),
        }
        callee.invocation_last = request.get();
        let invocation = Invocation { origin, registration, receive_progress, is_counted };
        callee.invocations.insert(request.get(), invocation);
        self.counters.invocations += 1;
        Ok(request)
    }

    /// Queues a call behind others of a callee that has not got its REGISTERED.
    fn let_wait(&mut self, callee: SessionKey, call: Box<letter::Call>) {
        let most = self.limits.invocations_per_session_max as usize;
        let state = self.sessions.get_mut(callee).and_then(|session| session.callee.as_mut());
        match state {
            Some(state) if state.waiting.len() < most => state.waiting.push_back(call),
            busy => {
                let busy = busy.is_some();
                self.deferred.push_back(Deferred::Return { call, busy });
            }
        }
    }

    /// REGISTERED has been sent: calls that waited for it go on, in their order.
    pub(crate) fn flush_waiting<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        while let Some(call) = self.next_waiting(key) {
            if call.origin.shard == self.id && self.is_over(call.origin.key) {
                continue;
            }
            if let Some((call, busy)) = self.try_letter(call, true, out) {
                self.give_back(call, busy, out);
            }
        }
    }

    fn next_waiting(&mut self, key: SessionKey) -> Option<Box<letter::Call>> {
        let callee = self.sessions.get_mut(key)?.callee.as_mut()?;
        let front = callee.waiting.front()?;
        let held = callee.registrations.get(&front.registration.get());
        if held.is_some_and(|held| !held.is_confirmed) {
            return None;
        }
        callee.waiting.pop_front()
    }

    fn is_over(&self, key: CallKey) -> bool {
        self.dealer.calls.get(key.index, key.generation).is_none()
    }

    /// A call that its callee did not take goes back to the caller's shard, which tries the next one.
    pub(crate) fn give_back<O: Outbox>(&mut self, call: Box<letter::Call>, busy: bool, out: &mut O) {
        if call.origin.shard == self.id {
            self.retry(&call, busy, out);
        } else {
            self.counters.calls_returned += 1;
            self.post(call.origin.shard, Letter::Returned { call, busy }, out);
        }
    }

    /// A call came back from the callee it was sent to: the next one gets it.
    pub(crate) fn retry<O: Outbox>(&mut self, call: &letter::Call, busy: bool, out: &mut O) {
        let key = call.origin.key;
        let Some(record) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        let tried = record.callee.take();
        let counted = std::mem::take(&mut record.is_counted);
        let (registration, is_killed) = (record.registration, record.is_killed);
        if let (Some(tried), true) = (tried, counted) {
            self.dealer.release(registration, tried);
        }
        if let (Some(tried), false) = (tried, busy) {
            self.dealer.forget_callee(registration, tried, call.ticket);
        }
        if is_killed {
            return self.fail(call.origin, well_known::CANCELED, out);
        }
        let payload = call.parcel.payload();
        let question = Question {
            procedure: &call.procedure,
            options: &call.options,
            disclose: call.disclosure.is_some(),
            payload: &payload,
        };
        let mut refused = call.refused_by.clone();
        refused.extend(tried);
        let placed = self.place_call(key, &question, refused, busy || call.found_busy, out);
        if let Err(error) = placed {
            self.fail(call.origin, error, out);
        }
    }
}

impl Question<'_> {
    fn letter(
        &self,
        origin: CallAddress,
        (registration, callee, ticket): (RegistrationId, SessionKey, u64),
        disclosure: Option<Disclosure>,
        refused_by: Vec<SessionAddress>,
        found_busy: bool,
    ) -> Box<letter::Call> {
        Box::new(letter::Call {
            origin,
            registration,
            callee,
            ticket,
            procedure: self.procedure.into(),
            options: owned::call_options(self.options.clone()),
            disclosure,
            parcel: Parcel::pack(self.payload),
            refused_by,
            found_busy,
        })
    }

    fn uses_passthru(&self) -> bool {
        self.options.extra.as_ref().is_some_and(|extra| extra.passthru.ppt_scheme.is_some())
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
                forward_for: None,
            })
        });
        InvocationDetails {
            procedure: (policy != Match::Exact).then_some(Cow::Borrowed(self.procedure)),
            caller: disclosure.map(|caller| caller.session),
            caller_authid: disclosure.map(|caller| Cow::Borrowed(&*caller.authid)),
            caller_authrole: disclosure.map(|caller| Cow::Borrowed(&*caller.authrole)),
            trustlevel: None,
            receive_progress,
            progress: false,
            timeout_ms: 0,
            extra,
        }
    }
}

/// Whether a call has to queue because the callee has not got its REGISTERED, or because others queue already.
fn must_wait(sessions: &Sessions, callee: SessionKey, registration: RegistrationId) -> bool {
    let Some(callee) = sessions.get(callee).and_then(|session| session.callee.as_ref()) else { return false };
    let held = || callee.registrations.get(&registration.get());
    !callee.waiting.is_empty() || callee.unconfirmed > 0 && held().is_some_and(|held| !held.is_confirmed)
}

/// Invocation ids of a session count from 1.
const FIRST_INVOCATION: RequestId = match RequestId::new(1) {
    Some(first) => first,
    None => unreachable!(),
};
