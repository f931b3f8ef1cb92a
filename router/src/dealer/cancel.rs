//! The early end of calls: CANCEL, and callers or callees that leave (wamp.md 2.2.4, 2.2.5).

use std::borrow::Cow;
use std::collections::VecDeque;

use crossring_codec::id::RequestId;
use crossring_codec::message::{CancelMode, Feature, InterruptOptions, Message};
use crossring_codec::uri::well_known;

use super::{Call, Callee, Invocation, Waiting};
use crate::address::{CallAddress, CallKey, SessionAddress, SessionKey};
use crate::letter::{Declined, Letter};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::shard::{Deferred, Shard, Violation};

impl Shard {
    /// CANCEL (wamp.md 12.7).
    pub(crate) fn cancel<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        mode: CancelMode,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get(key).ok_or(Violation::NOT_JOINED)?;
        if request.get() > session.request_last {
            return Err(Violation("CANCEL of a CALL that was never made"));
        }
        let calls = session.caller.as_ref().map(|caller| &caller.calls);
        let Some(&call_key) = calls.and_then(|calls| calls.get(&request.get())) else { return Ok(()) };
        match mode {
            CancelMode::Kill => self.kill(call_key, out),
            CancelMode::KillNoWait | CancelMode::Skip => {
                if mode == CancelMode::KillNoWait {
                    self.withdraw(call_key, Withdrawal::Canceled, out);
                }
                self.fail(CallAddress { shard: self.id, key: call_key }, well_known::CANCELED, out);
            }
        }
        Ok(())
    }

    /// Nobody waits for the answer of a call any more: the callee is told, if it can be.
    pub(super) fn withdraw<O: Outbox>(&mut self, key: CallKey, why: Withdrawal, out: &mut O) {
        let Some(call) = self.dealer.calls.get(key.index, key.generation) else { return };
        let Some(callee) = call.callee else { return };
        let invocation = call.invocation;
        let address = CallAddress { shard: self.id, key };
        if callee.shard != self.id {
            let timed_out = why == Withdrawal::TimedOut;
            let letter = Letter::Abandon { call: address, callee: callee.key, timed_out };
            self.post(callee.shard, letter, out);
        } else if let Some(invocation) = invocation {
            self.drop_invocation(callee.key, invocation, why, out);
        } else {
            self.take_waiting(callee.key, address);
        }
    }

    /// A call is over that its callee still works on. Its answer may have come by a letter, which must not cause this one.
    pub(super) fn abandon_later(&mut self, key: CallKey, call: &Call) {
        let Some(callee) = call.callee else { return };
        let address = CallAddress { shard: self.id, key };
        self.deferred.push_back(Deferred::Abandon { call: address, callee, invocation: call.invocation });
    }

    /// What [`Shard::abandon_later`] has put off.
    pub(crate) fn abandon<O: Outbox>(
        &mut self,
        call: CallAddress,
        callee: SessionAddress,
        invocation: Option<RequestId>,
        out: &mut O,
    ) {
        if callee.shard != self.id {
            let letter = Letter::Abandon { call, callee: callee.key, timed_out: false };
            self.post(callee.shard, letter, out);
        } else if let Some(invocation) = invocation {
            self.drop_invocation(callee.key, invocation, Withdrawal::Canceled, out);
        }
    }

    /// CANCEL `kill`: the callee's answer goes to the caller, unless the callee cannot be interrupted.
    fn kill<O: Outbox>(&mut self, key: CallKey, out: &mut O) {
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        if std::mem::replace(&mut call.is_killed, true) {
            return;
        }
        let address = CallAddress { shard: self.id, key };
        let (callee, invocation) = (call.callee, call.invocation);
        match (callee, invocation) {
            (Some(callee), None) if callee.shard != self.id => {
                self.post(callee.shard, Letter::Cancel { call: address, callee: callee.key }, out);
                self.guard_killed(key);
            }
            (Some(callee), Some(invocation))
                if self.interrupt(callee.key, invocation, CancelMode::Kill, None, out) =>
            {
                self.guard_killed(key);
            }
            _ => self.fail(address, well_known::CANCELED, out),
        }
    }

    /// CANCEL `kill` of a caller on another shard.
    pub(crate) fn kill_foreign<O: Outbox>(&mut self, call: CallAddress, callee: SessionKey, out: &mut O) {
        if self.take_waiting(callee, call) {
            return self.fail(call, well_known::CANCELED, out);
        }
        let Some(&invocation) = self.dealer.foreign.get(&call) else { return };
        if !self.interrupt(callee, invocation, CancelMode::Kill, None, out) {
            self.fail(call, well_known::CANCELED, out);
        }
    }

    /// A caller on another shard does not wait any more.
    pub(crate) fn abandon_foreign<O: Outbox>(
        &mut self,
        call: CallAddress,
        callee: SessionKey,
        timed_out: bool,
        out: &mut O,
    ) {
        let why = if timed_out { Withdrawal::TimedOut } else { Withdrawal::Canceled };
        if !self.take_waiting(callee, call)
            && let Some(&invocation) = self.dealer.foreign.get(&call)
        {
            self.drop_invocation(callee, invocation, why, out);
        }
    }

    /// Takes a call out of those that wait for REGISTERED.
    pub(super) fn take_waiting(&mut self, callee: SessionKey, call: CallAddress) -> bool {
        let session = self.sessions.get_mut(callee);
        let Some(callee) = session.and_then(|session| session.callee.as_mut()) else { return false };
        let waiting = std::mem::take(&mut callee.waiting);
        let (taken, kept): (VecDeque<_>, _) = waiting.into_iter().partition(|waiting| waiting.call() == call);
        callee.waiting = kept;
        for waiting in &taken {
            if let Waiting::Call(call) = waiting {
                self.unreserve(call);
            }
        }
        !taken.is_empty()
    }

    /// Nobody waits for the answer of an invocation any more: a callee that can be interrupted is, and is rid of it.
    /// Of another one the answer is still expected, and ignored.
    pub(super) fn drop_invocation<O: Outbox>(
        &mut self,
        callee: SessionKey,
        request: RequestId,
        why: Withdrawal,
        out: &mut O,
    ) {
        if !self.interrupt(callee, request, CancelMode::KillNoWait, why.reason(), out) {
            return;
        }
        let session = self.sessions.get_mut(callee);
        let Some(state) = session.and_then(|session| session.callee.as_mut()) else { return };
        state.note_interrupted(request);
        state.take_kept(request);
        if let Some(invocation) = state.invocations.remove(&request.get()) {
            self.invocation_over(callee, &invocation);
        }
    }

    /// A callee goes on with what nobody waits for: it is told, once.
    pub(super) fn stop_progress<O: Outbox>(&mut self, callee: SessionKey, request: RequestId, out: &mut O) {
        let session = self.sessions.get_mut(callee);
        let Some(state) = session.and_then(|session| session.callee.as_mut()) else { return };
        if state.note_interrupted(request) {
            self.interrupt(callee, request, CancelMode::KillNoWait, None, out);
        }
    }

    /// INTERRUPT, to callees that announced `call_canceling`.
    fn interrupt<O: Outbox>(
        &mut self,
        callee: SessionKey,
        request: RequestId,
        mode: CancelMode,
        reason: Option<&'static str>,
        out: &mut O,
    ) -> bool {
        let Some(session) = self.sessions.get(callee) else { return false };
        if !session.callee_has(Feature::CallCanceling) {
            return false;
        }
        let options =
            InterruptOptions { mode, reason: reason.map(Cow::Borrowed), ..InterruptOptions::default() };
        let _ = out.send(callee, &Message::Interrupt { request, options });
        true
    }

    /// What a session that has left owes as a callee: each caller gets ERROR `wamp.error.canceled`.
    pub(crate) fn drop_callee<O: Outbox>(&mut self, key: SessionKey, session: &mut Session, out: &mut O) {
        let Some(callee) = &mut session.callee else { return };
        let mut invocations: Vec<(u64, Invocation)> = callee.invocations.drain().collect();
        let waiting = std::mem::take(&mut callee.waiting);
        invocations.sort_unstable_by_key(|(request, _)| *request);
        for (_, invocation) in invocations {
            self.invocation_over(key, &invocation);
            self.fail(invocation.origin, well_known::CANCELED, out);
        }
        for waiting in waiting {
            if let Waiting::Call(call) = waiting {
                self.deferred.push_back(Deferred::Return { call, why: Declined::Gone });
            }
        }
    }

    /// What a session that has left does not want any more as a caller.
    pub(crate) fn drop_caller<O: Outbox>(&mut self, session: &mut Session, out: &mut O) {
        let Some(caller) = &mut session.caller else { return };
        let mut calls: Vec<(u64, CallKey)> = caller.calls.drain().collect();
        calls.sort_unstable();
        for (_, key) in calls {
            self.withdraw(key, Withdrawal::Canceled, out);
            self.take_call(key);
        }
    }
}

/// Invocations remembered for each callee as interrupted. Protects the callee's shard; a forgotten one may be interrupted again.
const INTERRUPTED_MAX: usize = 256;

impl Callee {
    /// The callee is being told that nobody waits for this answer; `false`: it has been told before.
    fn note_interrupted(&mut self, request: RequestId) -> bool {
        if self.interrupted.contains(&request.get()) {
            return false;
        }
        if self.interrupted.len() >= INTERRUPTED_MAX {
            self.interrupted.pop_front();
        }
        self.interrupted.push_back(request.get());
        true
    }
}

/// Why nobody waits for the answer of a call any more.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Withdrawal {
    /// The caller has cancelled it, or has left.
    Canceled,
    /// Its time is over.
    TimedOut,
}

impl Withdrawal {
    /// What INTERRUPT says; nothing for what INTERRUPT is for anyway.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Withdrawal::Canceled => None,
            Withdrawal::TimedOut => Some(well_known::TIMEOUT),
        }
    }
}
