//! YIELD and ERROR of callees, and answers from other shards.

use std::num::NonZeroU64;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{
    ErrorDetails, Feature, Message, MessageType, Passthru, ResultDetails, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, Strictness, is_valid, well_known};

use super::{Call, Invocation};
use crate::address::{CallAddress, CallKey, SessionAddress, SessionKey};
use crate::letter::{Letter, Parcel};
use crate::outbox::{Outbox, Refused};
use crate::owned;
use crate::passthru::Demands;
use crate::session::Session;
use crate::shard::{Shard, Violation, refuse};

impl Shard {
    /// YIELD (wamp.md 12.6).
    pub(crate) fn yielded<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: YieldOptions<'_>,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        check_watermark(session, request)?;
        Demands::of(options.passthru.as_deref(), payload.shape).check_sender(session)?;
        let Some(callee) = &mut session.callee else { return Ok(()) };
        let invocation = if options.progress {
            callee.invocations.get(&request.get()).copied()
        } else {
            callee.invocations.remove(&request.get())
        };
        let Some(invocation) = invocation else {
            self.counters.answers_ignored += 1;
            if options.progress {
                self.stop_progress(key, request, out);
            }
            return Ok(());
        };
        if options.progress && !invocation.receive_progress {
            self.counters.answers_ignored += 1;
            return Ok(());
        }
        callee.take_kept(request);
        if !options.progress {
            self.invocation_over(key, &invocation);
        }
        let details = ResultDetails {
            progress: options.progress,
            forward_for: options.forward_for.and_then(|list| self.hops(key, &list)),
            passthru: options.passthru,
            ..ResultDetails::default()
        };
        if invocation.origin.shard == self.id {
            self.result(invocation.origin.key, details, payload, out);
        } else {
            let letter = Letter::Result {
                call: invocation.origin.key,
                details: Box::new(owned::result(details)),
                parcel: Parcel::pack(payload),
            };
            self.post(invocation.origin.shard, letter, out);
        }
        Ok(())
    }

    /// ERROR for an INVOCATION (wamp.md 12.6).
    pub(crate) fn failed<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        details: ErrorDetails<'_>,
        error: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        check_watermark(session, request)?;
        if !is_valid(error, Match::Exact, Strictness::Loose) {
            return Err(Violation("invalid URI in ERROR"));
        }
        Demands::of(details.passthru.as_deref(), payload.shape).check_sender(session)?;
        let is_passed_on = error == well_known::UNAVAILABLE && session.callee_has(Feature::CallReroute);
        let Some(callee) = &mut session.callee else { return Ok(()) };
        let Some(invocation) = callee.invocations.remove(&request.get()) else {
            self.counters.answers_ignored += 1;
            return Ok(());
        };
        let kept = callee.take_kept(request);
        self.invocation_over(key, &invocation);
        if is_passed_on {
            self.pass_call_on(&invocation, kept, out);
            return Ok(());
        }
        let forward_for = details.forward_for.and_then(|list| self.hops(key, &list));
        let details = ErrorDetails { passthru: details.passthru, forward_for, ..ErrorDetails::default() };
        if invocation.origin.shard == self.id {
            self.error(invocation.origin.key, details, error, payload, out);
        } else {
            let letter = Letter::Error {
                call: invocation.origin.key,
                details: Box::new(owned::error(details)),
                error: error.into(),
                parcel: Parcel::pack(payload),
            };
            self.post(invocation.origin.shard, letter, out);
        }
        Ok(())
    }

    /// RESULT for a local caller.
    pub(crate) fn result<O: Outbox>(
        &mut self,
        key: CallKey,
        details: ResultDetails<'_>,
        payload: &Payload<'_>,
        out: &mut O,
    ) {
        let Some(call) = self.dealer.calls.get(key.index, key.generation) else {
            self.counters.answers_ignored += 1;
            return;
        };
        let (caller, request, progress) = (call.caller, call.request, details.progress);
        let refused = match self.sessions.get(caller) {
            Some(session) if !is_taken_by(session, details.passthru.as_deref(), payload) => {
                Some(well_known::FEATURE_NOT_SUPPORTED)
            }
            Some(_) => {
                let message = Message::Result { request, details, payload: payload.borrowed() };
                refusal(out.send(caller, &message))
            }
            None => None,
        };
        self.counters.results_progressive += u64::from(progress);
        if let Some(error) = refused {
            let call = self.take_call(key);
            if let (Some(call), true) = (call, progress) {
                self.abandon_later(key, &call);
            }
            refuse(&mut self.counters, caller, MessageType::Call, request, error, out);
        } else if progress {
            self.restart_timeout(key);
        } else {
            self.counters.results += 1;
            self.take_call(key);
        }
    }

    /// ERROR for a local caller.
    pub(crate) fn error<O: Outbox>(
        &mut self,
        key: CallKey,
        details: ErrorDetails<'_>,
        error: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) {
        let Some(call) = self.take_call(key) else {
            self.counters.answers_ignored += 1;
            return;
        };
        let session = self.sessions.get(call.caller);
        let is_taken =
            session.is_none_or(|session| is_taken_by(session, details.passthru.as_deref(), payload));
        let message = Message::Error {
            request_type: MessageType::Call,
            request: call.request,
            // What went wrong is told in any case.
            details: if is_taken { details } else { ErrorDetails { passthru: None, ..details } },
            error: error.into(),
            payload: if is_taken { payload.borrowed() } else { Payload::EMPTY },
        };
        self.counters.errors += 1;
        if let Some(error) = refusal(out.send(call.caller, &message)) {
            refuse(&mut self.counters, call.caller, MessageType::Call, call.request, error, out);
        }
    }

    /// Ends a call with an error of the router's own.
    pub(crate) fn fail<O: Outbox>(&mut self, call: CallAddress, error: &'static str, out: &mut O) {
        if call.shard == self.id {
            // A session that calls itself and leaves is not told.
            if let Some(call) = self.take_call(call.key)
                && self.sessions.get(call.caller).is_some()
            {
                refuse(&mut self.counters, call.caller, MessageType::Call, call.request, error, out);
            }
            return;
        }
        let letter = Letter::Error {
            call: call.key,
            details: Box::default(),
            error: error.into(),
            parcel: Parcel::pack(&Payload::EMPTY),
        };
        self.post(call.shard, letter, out);
    }

    /// Forgets a call of a local caller.
    pub(crate) fn take_call(&mut self, key: CallKey) -> Option<Call> {
        let call = self.dealer.calls.remove(key.index, key.generation)?;
        self.dealer.forget_deadline(&call);
        if let Some(caller) = self.sessions.get_mut(call.caller).and_then(|session| session.caller.as_mut()) {
            caller.calls.remove(&call.request.get());
            if call.is_open() {
                caller.note_late(call.request);
            }
        }
        if let (Some(callee), Some(ticket)) = (call.callee, call.slot) {
            self.dealer.release(call.registration, callee, ticket.get());
        }
        if let Some(queued) = call.rare.as_ref().and_then(|rare| rare.queued.as_ref()) {
            self.give_up_waiting(key, &call, queued);
        }
        Some(call)
    }

    /// What an invocation that has been taken out of its callee leaves behind.
    pub(crate) fn invocation_over(&mut self, callee: SessionKey, invocation: &Invocation) {
        if invocation.origin.shard != self.id {
            self.dealer.foreign.remove(&invocation.origin);
        }
        self.release(invocation.slot, invocation.registration, callee);
    }

    /// A local callee, added under the ticket `slot`, has one invocation less.
    pub(super) fn release(
        &mut self,
        slot: Option<NonZeroU64>,
        registration: RegistrationId,
        callee: SessionKey,
    ) {
        if let Some(ticket) = slot {
            self.dealer.release(registration, SessionAddress { shard: self.id, key: callee }, ticket.get());
            self.defer_offer(registration, callee);
        }
    }
}

/// An id that was never sent is a violation; one that is not pending any more is not.
fn check_watermark(session: &Session, request: RequestId) -> Result<(), Violation> {
    let last = session.callee.as_ref().map_or(0, |callee| callee.invocation_last);
    if request.get() > last {
        return Err(Violation("answer to an INVOCATION that was never sent"));
    }
    Ok(())
}

/// Whether the caller takes a payload of the callee's.
fn is_taken_by(caller: &Session, keys: Option<&Passthru<'_>>, payload: &Payload<'_>) -> bool {
    Demands::of(keys, payload.shape).are_met(|feature| caller.has(feature))
}

/// What the caller is told when its transport refused the answer.
fn refusal(sent: Result<(), Refused>) -> Option<&'static str> {
    match sent {
        Ok(()) | Err(Refused::Gone) => None,
        Err(Refused::TooLarge) => Some(well_known::PAYLOAD_SIZE_EXCEEDED),
        Err(Refused::Unrepresentable) => Some(well_known::INVALID_ARGUMENT),
    }
}
