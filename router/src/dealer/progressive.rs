//! Progressive call invocations (wamp.md 2.2.2): further CALLs with the id of an active one go to the callee that has it.
//! The options of the first are those of the whole call; what is left of a call that is over is ignored.

use crossring_codec::id::RequestId;
use crossring_codec::message::{Feature, InvocationDetails, Message};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;

use super::{Call, Caller, Rare, Withdrawal};
use crate::address::{CallAddress, CallKey, SessionKey};
use crate::letter::{self, Continuation, Letter, Parcel};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::{Outbox, Refused};
use crate::passthru::Demands;
use crate::session::Session;
use crate::shard::{Shard, Violation};
use crate::table::IntegerState;

/// Calls remembered for each caller that were over before all of them had been sent. Protects the caller's shard.
const LATE_MAX: usize = 1024;

/// A call of which more may follow.
#[derive(Debug)]
pub(super) struct Progressive {
    /// Called by the first CALL.
    procedure: Box<str>,
    /// The last CALL said that more follows.
    is_open: bool,
    /// More has followed: another callee could not be told all of it.
    is_continued: bool,
}

/// What waits for a callee's REGISTERED.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A call.
    Call(Box<letter::Call>),
    /// More of one.
    More(Box<Continuation>),
}

/// What a CALL with an id that has been used continues.
pub(super) enum Earlier {
    /// A call that waits for its answer.
    Active(CallKey),
    /// One that is over.
    Over,
}

impl Shard {
    /// The call that a CALL continues, if its id is not a fresh one.
    pub(super) fn earlier_call(
        &mut self,
        key: SessionKey,
        request: RequestId,
        progress: bool,
    ) -> Option<Earlier> {
        let session = self.sessions.get_mut(key)?;
        if request.get() > session.request_last {
            return None;
        }
        let caller = session.caller.as_mut()?;
        match caller.calls.get(&request.get()) {
            Some(call) => Some(Earlier::Active(*call)),
            None => caller.is_late(request, progress).then_some(Earlier::Over),
        }
    }

    /// More of a call.
    pub(super) fn continue_call<O: Outbox>(
        &mut self,
        key: CallKey,
        progress: bool,
        procedure: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return Ok(()) };
        let progressive = call.rare.as_mut().and_then(|rare| rare.progressive.as_mut());
        let Some(open) = progressive.filter(|call| call.is_open && *call.procedure == *procedure) else {
            return Err(Violation::REQUEST_ID);
        };
        open.is_open = progress;
        let (caller, is_killed) = (call.caller, call.is_killed);
        if let Some(session) = self.sessions.get(caller) {
            Demands::of(None, payload.shape).check_sender(session)?;
        }
        if !is_killed && self.is_too_long(caller, payload) {
            self.withdraw(key, Withdrawal::Canceled, out);
            self.fail(CallAddress { shard: self.id, key }, well_known::PAYLOAD_SIZE_EXCEEDED, out);
            return Ok(());
        }
        self.restart_timeout(key);
        if !is_killed && !self.let_more_queue(key, progress, payload, out) {
            self.send_more(key, progress, payload, out);
        }
        Ok(())
    }

    /// Sends more of a call where the call has been sent.
    pub(super) fn send_more<O: Outbox>(
        &mut self,
        key: CallKey,
        progress: bool,
        payload: &Payload<'_>,
        out: &mut O,
    ) {
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        if let Some(progressive) = call.rare.as_mut().and_then(|rare| rare.progressive.as_mut()) {
            progressive.is_continued = true;
        }
        let (Some(callee), invocation) = (call.callee, call.invocation) else { return };
        let call = CallAddress { shard: self.id, key };
        match invocation.filter(|_| !self.has_waiting(callee.key)) {
            Some(invocation) if callee.shard == self.id => {
                self.invoke_more(call, callee.key, invocation, progress, payload, out);
            }
            _ => {
                let parcel = Parcel::pack(payload);
                let more = Continuation { call, callee: callee.key, progress, parcel };
                if callee.shard == self.id {
                    self.let_more_wait(more, out);
                } else {
                    self.post(callee.shard, Letter::Continue(more), out);
                }
            }
        }
    }

    /// More of a call of another shard.
    pub(crate) fn take_continuation<O: Outbox>(&mut self, more: Continuation, out: &mut O) {
        if self.has_waiting(more.callee) {
            self.let_more_wait(more, out);
        } else {
            self.pass_on(&more, out);
        }
    }

    fn has_waiting(&self, callee: SessionKey) -> bool {
        let session = self.sessions.get(callee);
        session.and_then(|session| session.callee.as_ref()).is_some_and(|callee| !callee.waiting.is_empty())
    }

    /// Queues more of a call behind it, or behind other calls of the same callee.
    fn let_more_wait<O: Outbox>(&mut self, more: Continuation, out: &mut O) {
        let call = more.call;
        let Some(session) = self.sessions.get_mut(more.callee) else { return };
        let most = session.limits(&self.limits).invocations_max as usize;
        let Some(callee) = &mut session.callee else { return };
        if callee.waiting.len() < most {
            callee.waiting.push_back(Waiting::More(Box::new(more)));
            return;
        }
        if !self.take_waiting(more.callee, call)
            && let Some(invocation) = self.invocation_of(call)
        {
            self.drop_invocation(more.callee, invocation, Withdrawal::Canceled, out);
        }
        self.fail(call, LIMIT_EXCEEDED, out);
    }

    /// More of a call whose turn has come.
    pub(super) fn pass_on<O: Outbox>(&mut self, more: &Continuation, out: &mut O) {
        if let Some(invocation) = self.invocation_of(more.call) {
            let payload = more.parcel.payload();
            self.invoke_more(more.call, more.callee, invocation, more.progress, &payload, out);
        }
    }

    /// The id of a call at its local callee.
    fn invocation_of(&self, call: CallAddress) -> Option<RequestId> {
        if call.shard == self.id {
            return self.dealer.calls.get(call.key.index, call.key.generation)?.invocation;
        }
        self.dealer.foreign.get(&call).copied()
    }

    /// A further INVOCATION. The callee remembers the details of the first.
    fn invoke_more<O: Outbox>(
        &mut self,
        call: CallAddress,
        callee: SessionKey,
        request: RequestId,
        progress: bool,
        payload: &Payload<'_>,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(callee) else { return };
        let takes_payload = Demands::of(None, payload.shape).are_met(|feature| session.callee_has(feature));
        let Some(state) = &mut session.callee else { return };
        let Some(invocation) = state.invocations.get(&request.get()) else { return };
        let registration = invocation.registration;
        state.take_kept(request);
        let details = InvocationDetails { progress, ..InvocationDetails::default() };
        let payload = payload.borrowed();
        let message = Message::Invocation { request, registration, details, payload };
        let error = match takes_payload.then(|| out.send(callee, &message)).transpose() {
            Ok(None) => well_known::FEATURE_NOT_SUPPORTED,
            Ok(Some(())) => {
                self.counters.invocations += 1;
                return;
            }
            Err(Refused::Gone) => return,
            Err(Refused::TooLarge) => well_known::PAYLOAD_SIZE_EXCEEDED,
            Err(Refused::Unrepresentable) => well_known::INVALID_ARGUMENT,
        };
        self.drop_invocation(callee, request, Withdrawal::Canceled, out);
        self.fail(call, error, out);
    }

    /// What the caller still sends of a call that has been refused is ignored.
    pub(super) fn note_late(&mut self, caller: SessionKey, request: RequestId) {
        let integers = self.integers;
        if let Some(session) = self.sessions.get_mut(caller) {
            session.caller.get_or_insert_with(|| Box::new(Caller::new(integers))).note_late(request);
        }
    }
}

impl Session {
    /// Whether a callee takes calls of which more may follow, and can be told that it does not.
    pub(super) fn takes_continuations(&self) -> bool {
        self.callee_has(Feature::ProgressiveCallInvocations) && self.callee_has(Feature::CallCanceling)
    }
}

impl Rare {
    /// Of a call of which more may follow.
    pub(super) fn progressive(procedure: &str) -> Box<Self> {
        let progressive = Progressive { procedure: procedure.into(), is_open: true, is_continued: false };
        Box::new(Self { progressive: Some(progressive), ..Self::default() })
    }
}

impl Call {
    fn progressive(&self) -> Option<&Progressive> {
        self.rare.as_ref()?.progressive.as_ref()
    }

    /// The caller has not sent all of it.
    pub(super) fn is_open(&self) -> bool {
        self.progressive().is_some_and(|call| call.is_open)
    }

    /// The payload of the first CALL is not all of it.
    pub(super) fn is_continued(&self) -> bool {
        self.progressive().is_some_and(|call| call.is_continued)
    }
}

impl Caller {
    pub(super) fn new(integers: IntegerState) -> Self {
        Self { calls: integers.map(), queued_octets: 0, late: Default::default() }
    }

    /// More of this call may come, for nothing.
    pub(super) fn note_late(&mut self, request: RequestId) {
        if self.late.contains(&request.get()) {
            return;
        }
        if self.late.len() >= LATE_MAX {
            self.late.pop_front();
        }
        self.late.push_back(request.get());
    }

    /// Whether this is more of a call that is over; the last of it is forgotten.
    fn is_late(&mut self, request: RequestId, progress: bool) -> bool {
        let Some(index) = self.late.iter().position(|late| *late == request.get()) else { return false };
        if !progress {
            self.late.remove(index);
        }
        true
    }
}

impl Waiting {
    /// The call it is, or belongs to.
    pub(super) fn call(&self) -> CallAddress {
        match self {
            Waiting::Call(call) => call.origin,
            Waiting::More(more) => more.call,
        }
    }
}
