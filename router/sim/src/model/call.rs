//! Calls: where they may go, where they went, and what came of them.

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{CallExtra, CallOptions, CancelMode, Feature, MessageType, Passthru, Text};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{self, Match, well_known};

use super::holding::SLACK_TICKS;
use super::{Expected, Key, Model, OpenInvocation, PendingKind, SessionIndex, put};
use crossring_router::config::QueueRule;

use crate::clock::ticks;
use crate::observation::Peer;
use crate::realm::Action;
use crate::tag::{Tag, size_of};

/// A CALL that was handled.
#[derive(Debug)]
pub struct Call {
    /// Who called.
    pub caller: SessionIndex,
    /// When.
    pub tick: u64,
    /// When, beside other calls.
    pub order: u64,
    /// What.
    pub procedure: String,
    /// What it is to get.
    pub expected: Expected,
    /// The caller takes progressive results.
    pub receive_progress: bool,
    /// The caller is to be disclosed, whatever the callee wants.
    pub disclosed: bool,
    /// `CALL.Options.timeout`; 0: never.
    pub timeout_ms: u64,
    /// When the time for the next answer began.
    pub clock_tick: u64,
    /// Rare options.
    pub extra: Option<Box<CallExtra<'static>>>,
    /// The CALLs of a progressive invocation; of others the only one.
    pub parts: Vec<Part>,
    /// Callees that every shard knew when the call was handled: session and instance of the registration. Nobody, if a
    /// better registration was coming or going.
    pub candidates: Vec<(SessionIndex, u64)>,
    /// Registrations were coming or going when the call was handled.
    pub in_flux: bool,
    /// Who got an INVOCATION; several only if all but the last refused it.
    pub invocations: Vec<Invoked>,
    /// CANCEL has been handled.
    pub cancelled: bool,
    /// CANCEL `kill` has been handled: when.
    pub killed_tick: Option<u64>,
    /// A callee's shard has sent it back.
    pub returned: bool,
    /// The caller has lost its transport.
    pub abandoned: bool,
    /// The callee has given its final answer.
    pub answered: bool,
    /// The callee left without an answer.
    pub callee_left: bool,
    /// A callee could not take a part of it.
    pub not_taken: bool,
    /// The caller got its final answer.
    pub done: bool,
    /// Progressive results given by the callee, if they were asked for.
    pub parts_given: u32,
    /// The error given by the callee.
    pub error: Option<String>,
}

/// One CALL of a progressive invocation.
#[derive(Copy, Clone, Debug)]
pub struct Part {
    /// When, beside other calls.
    pub order: u64,
    /// More are to come.
    pub progress: bool,
    /// Octets of its payload.
    pub size: usize,
}

/// An INVOCATION of a call.
#[derive(Copy, Clone, Debug)]
pub struct Invoked {
    /// Whom.
    pub callee: SessionIndex,
    /// Its id.
    pub id: u64,
    /// What was called.
    pub registration: RegistrationId,
    /// INVOCATIONs sent: more than one if it is progressive.
    pub parts: usize,
    /// The callee minds the timeout itself.
    pub forwarded_timeout: bool,
    /// The callee asked for another one to be called.
    pub refused: bool,
}

impl Call {
    /// Who is to answer.
    pub fn invoked(&self) -> Option<&Invoked> {
        self.invocations.last().filter(|invoked| !invoked.refused)
    }

    /// Whether somebody asked for another callee.
    pub fn was_refused(&self) -> bool {
        self.invocations.iter().any(|invoked| invoked.refused)
    }

    /// When the call times out, if the router minds that.
    pub fn due_tick(&self) -> Option<u64> {
        (self.timeout_ms > 0).then(|| self.clock_tick + ticks(self.timeout_ms))
    }

    /// Whether the caller has said that more CALLs follow.
    pub fn is_open(&self) -> bool {
        self.parts.last().is_some_and(|part| part.progress)
    }

    /// Whether a resource key decides about its callee.
    pub fn is_partitioned(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.runmode.is_some())
    }

    /// The passthru keys of the call.
    pub fn passthru(&self) -> Option<&Passthru<'static>> {
        self.extra.as_ref().map(|extra| &extra.passthru)
    }
}

impl Model {
    /// Whether the caller's shard ought to have ended the call in its last turn.
    pub fn is_overdue(&self, call: &Call) -> bool {
        let caller = &self.sessions[call.caller];
        let minds = caller.dealer_has(Feature::CallTimeout);
        let last_turn = self.turns.get(caller.shard.index()).copied().unwrap_or_default();
        let is_forwarded = self.is_minded_by_callee(call);
        let late = |due: u64| due <= last_turn;
        // Somebody who minds the time himself may have had it first.
        let was_elsewhere = call.returned || call.was_refused();
        minds && !is_forwarded && !was_elsewhere && call.due_tick().is_some_and(late)
    }

    /// Whether the callee alone minds the timeout: not that of a router, which asks for others.
    pub fn is_minded_by_callee(&self, call: &Call) -> bool {
        let is_forwarded = call.invoked().is_some_and(|invoked| invoked.forwarded_timeout);
        is_forwarded && !self.is_of_router(&self.sessions[call.caller])
    }

    /// Whether a call may have been with a callee that did not take it, before the one that did.
    pub fn may_be_rerouted(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        let left = |departed: &super::Departed| {
            departed.realm == realm && departed.tick >= call.tick && departed.key.matches(&call.procedure)
        };
        let evicts = |(key, forced): (&Key, bool)| forced && key.matches(&call.procedure);
        call.returned
            || call.was_refused()
            || self.is_limited(call)
            || self.departed.iter().any(left)
            || self.in_transit(realm).any(evicts)
    }

    /// Whether a callee may be busy with another call than this one, or was not long ago.
    pub fn has_work(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        let is_open = |other: &Call| {
            let caller = &self.sessions[other.caller];
            let invoked = other.invoked().map(|invoked| {
                self.sessions[invoked.callee].invocations.iter().any(|open| open.id == invoked.id)
            });
            caller.realm == realm
                && other.order != call.order
                && invoked.unwrap_or(caller.live && !other.done && !other.abandoned)
        };
        self.in_transit(realm).next().is_some() || self.calls.iter().flatten().any(is_open)
    }

    /// The rule that lets a call wait for a free slot.
    pub fn queue_rule(&self, call: &Call) -> Option<&QueueRule> {
        let rules = &self.config.realms[self.sessions[call.caller].realm].store.call_queue;
        rules.iter().find(|rule| uri::matches(&rule.uri, rule.match_policy, &call.procedure))
    }

    /// Whether the call may not wait for a free slot, or as many wait as may.
    pub fn has_no_place(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        // Who has found a callee that is there and takes no calls does not wait for others.
        let may_wait = !call.was_refused() && !self.is_somebody_away(realm);
        let rule = self.queue_rule(call).filter(|_| may_wait);
        let Some(rule) = rule else { return true };
        let waiting = self.calls.iter().flatten().filter(|other| {
            let caller = &self.sessions[other.caller];
            let is_meant = caller.realm == realm && other.order != call.order;
            let is_late = !other.done && caller.live || other.tick + 2 * SLACK_TICKS >= call.tick;
            is_meant && is_late && uri::matches(&rule.uri, rule.match_policy, &other.procedure)
        });
        waiting.count() >= rule.limit as usize
    }

    /// Whether somebody who may get the call set a limit of calls at once.
    pub fn is_limited(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        self.limited.iter().any(|(other, key)| *other == realm && key.matches(&call.procedure))
    }

    pub(super) fn call_begins(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        options: &CallOptions<'static>,
        procedure: &Text<'_>,
        payload: &Payload<'_>,
    ) {
        let Some(tag) = Tag::read(payload) else { return };
        let part = Part { order: self.next_order(), progress: options.progress, size: size_of(payload) };
        if self.continues(index, request, tag, part) {
            return;
        }
        if let Some(call) = self.call_mut(tag.number) {
            call.parts.push(part); // of a client that does not keep to the protocol
            return;
        }
        let session = &self.sessions[index];
        let key = Key { uri: procedure.to_string(), policy: Match::Exact };
        let expected = self.expected(session, Action::Call, &key);
        let disclosed = options.disclose_me || self.forced_disclosure(session, Action::Call, &key.uri);
        let call = Call {
            caller: index,
            tick: self.tick,
            order: part.order,
            candidates: self.candidates(index, &key.uri),
            procedure: key.uri,
            expected,
            receive_progress: options.receive_progress,
            disclosed,
            timeout_ms: options.timeout_ms,
            clock_tick: self.tick,
            extra: options.extra.clone(),
            parts: vec![part],
            in_flux: self.is_in_transit(self.sessions[index].realm),
            invocations: Vec::new(),
            cancelled: false,
            killed_tick: None,
            returned: false,
            abandoned: false,
            answered: false,
            callee_left: false,
            not_taken: false,
            done: false,
            parts_given: 0,
            error: None,
        };
        put(&mut self.calls, tag.number, call);
        self.wait(index, request, PendingKind::Call(tag.number), expected);
    }

    /// Whether a CALL is a further part of a progressive invocation, or comes too late to be one.
    fn continues(&mut self, index: SessionIndex, request: RequestId, tag: Tag, part: Part) -> bool {
        let tick = self.tick;
        let session = &self.sessions[index];
        if (session.honest || tag.part > 0) && request.get() <= session.call_last {
            let number = self.pending_call(index, request).filter(|number| *number == tag.number);
            if let Some(call) = number.and_then(|number| self.call_mut(number)) {
                call.parts.push(part);
                call.clock_tick = tick;
            }
            return true;
        }
        let session = &mut self.sessions[index];
        session.call_last = session.call_last.max(request.get());
        false
    }

    /// The best registrations that match, of all that every shard knows.
    fn candidates(&self, caller: SessionIndex, procedure: &str) -> Vec<(SessionIndex, u64)> {
        let realm = self.sessions[caller].realm;
        let mut best = None;
        // The best of those that may have been taken away, or not.
        let mut doubtful = None;
        let mut candidates = Vec::new();
        for (index, session) in self.live.iter().map(|index| (*index, &self.sessions[*index])) {
            for held in session.registrations.iter().filter(|held| !held.leaving) {
                if session.realm != realm || session.was_away(self.tick) || !held.key.matches(procedure) {
                    continue;
                }
                let precedence = Some(held.key.precedence());
                if held.revoking {
                    doubtful = doubtful.max(precedence);
                    continue;
                }
                if precedence > best {
                    candidates.clear();
                    best = precedence.clone();
                }
                if precedence == best {
                    candidates.push((index, held.instance));
                }
            }
        }
        let displaces = |(key, forced): (&Key, bool)| {
            let precedence = Some(key.precedence());
            key.matches(procedure) && (precedence > best || forced && precedence == best)
        };
        if doubtful > best || self.in_transit(realm).any(displaces) {
            candidates.clear();
        }
        candidates
    }

    pub(super) fn cancel(&mut self, index: SessionIndex, request: RequestId, mode: CancelMode) {
        let (tick, number) = (self.tick, self.pending_call(index, request));
        if let Some(call) = number.and_then(|number| self.call_mut(number)) {
            call.cancelled = true;
            if mode == CancelMode::Kill {
                call.killed_tick.get_or_insert(tick);
            }
        }
        let pending = self.sessions[index].pending(MessageType::Call, request);
        if let Some(PendingKind::Meta(number)) = pending.map(|pending| &pending.kind) {
            let number = *number;
            self.meta_calls[number].cancelled = true;
        }
    }

    fn pending_call(&self, index: SessionIndex, request: RequestId) -> Option<usize> {
        let pending = self.sessions[index].requests.iter().filter(|pending| pending.request == request);
        let number = |kind: &PendingKind| match kind {
            PendingKind::Call(number) => Some(*number),
            _ => None,
        };
        pending.filter_map(|pending| number(&pending.kind)).next_back()
    }

    pub(super) fn invoked(
        &mut self,
        peer: Peer,
        request: RequestId,
        registration: RegistrationId,
        timeout_ms: u64,
        call: Option<usize>,
    ) {
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let session = &mut self.sessions[index];
        let id = request.get();
        let is_first = id > session.invocations_count;
        session.invocations_count = session.invocations_count.max(id);
        let Some(number) = call else { return };
        if is_first {
            let instance = session.registration(registration).map_or(0, |held| held.instance);
            session.invocations.push(OpenInvocation {
                id,
                call: number,
                registration,
                instance,
                interrupted: false,
            });
        }
        let Some(call) = self.call_mut(number) else { return };
        match call.invocations.iter_mut().find(|invoked| invoked.callee == index && invoked.id == id) {
            Some(invoked) => invoked.parts += 1,
            None => call.invocations.push(Invoked {
                callee: index,
                id,
                registration,
                parts: 1,
                forwarded_timeout: timeout_ms > 0,
                refused: false,
            }),
        }
    }

    pub(super) fn interrupted(&mut self, peer: Peer, request: RequestId, mode: CancelMode) {
        let Some(session) = self.session_mut(peer) else { return };
        if mode == CancelMode::Kill {
            let open = session.invocations.iter_mut().find(|open| open.id == request.get());
            open.into_iter().for_each(|open| open.interrupted = true);
        } else {
            session.invocations.retain(|open| open.id != request.get());
        }
    }

    /// Whether the router may wait for an answer no longer, without having told the callee so: it was interrupted before, and
    /// nobody waits.
    pub fn is_given_up(&self, open: &OpenInvocation) -> bool {
        let Some(call) = self.call(open.call) else { return true };
        let caller = &self.sessions[call.caller];
        open.interrupted && (call.done || call.abandoned || !caller.live || caller.resumption.is_wanted)
    }

    /// Whether a caller who has cancelled a call and waits for its callee ought to have been answered without it.
    pub fn is_kill_overdue(&self, call: &Call) -> bool {
        let shard = self.sessions[call.caller].shard;
        let last_turn = self.turns.get(shard.index()).copied().unwrap_or_default();
        let timeout = ticks(u64::from(self.limits.kill_timeout_ms));
        call.killed_tick.is_some_and(|killed| killed + timeout <= last_turn)
    }

    /// YIELD or ERROR of a callee.
    pub(super) fn answer(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        progress: bool,
        error: Option<&str>,
    ) {
        let session = &mut self.sessions[index];
        let reroutes = error == Some(well_known::UNAVAILABLE)
            && session.callee_has(Feature::CallReroute)
            && session.dealer_has(Feature::CallReroute);
        let announced = session.callee_has(Feature::ProgressiveCallResults);
        let open = &mut session.invocations;
        let Some(position) = open.iter().position(|open| open.id == request.get()) else { return };
        let call = open[position].call;
        if !progress {
            open.swap_remove(position);
        }
        let Some(call) = self.call_mut(call) else { return };
        if progress {
            call.parts_given += u32::from(announced && call.receive_progress);
        } else if reroutes {
            let refusing = |invoked: &&mut Invoked| invoked.callee == index && invoked.id == request.get();
            call.invocations.iter_mut().filter(refusing).for_each(|invoked| invoked.refused = true);
        } else {
            call.answered = true;
            call.error = error.map(str::to_owned);
        }
    }

    /// A progressive RESULT has left: the next one has all the time again.
    pub(super) fn progressed(&mut self, peer: Peer, request: RequestId) {
        let tick = self.tick;
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let number = self.pending_call(index, request);
        if let Some(call) = number.and_then(|number| self.call_mut(number)) {
            call.clock_tick = tick;
        }
    }

    pub(super) fn call_mut(&mut self, number: usize) -> Option<&mut Call> {
        self.calls.get_mut(number)?.as_mut()
    }
}
