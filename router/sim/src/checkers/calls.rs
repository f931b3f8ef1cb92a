//! Calls: one final answer each, parts only before it and only if asked for, the right callee, the answer it gave, and no
//! error without a reason.

use std::collections::BTreeMap;

use crossring_codec::id::RequestId;
use crossring_codec::message::{
    ErrorDetails, Feature, InvocationPolicy, Message, MessageType, ResultDetails,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{self, well_known};

use super::isolation::forwarded;
use crate::model::{Call, Expected, Model, PendingKind, Registration, Session, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::{Tag, passthru_of};

/// Counts the parts that callers have seen, by the tag of the call.
#[derive(Debug, Default)]
pub(super) struct Calls {
    parts_sent: BTreeMap<usize, u32>,
    /// Callees whose answer was too large, or whose INVOCATION was: the router answers in their place.
    refused: BTreeMap<usize, ()>,
}

impl Calls {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Emitted { peer, message } => self.emitted(model, *peer, message),
            Observation::Dropped { message, .. } => {
                self.dropped(message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// No call of a session that has stayed waits for an answer.
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for session in model.live.iter().map(|index| &model.sessions[*index]).filter(|session| session.honest)
        {
            for pending in &session.requests {
                if let PendingKind::Call(number) | PendingKind::Meta(number) = pending.kind {
                    return Err(format!(
                        "call #{number} ({}) of p{} is never answered",
                        pending.request, session.peer.0
                    ));
                }
            }
        }
        Ok(())
    }

    fn dropped(&mut self, message: &Message<'_>) {
        let (Message::Invocation { payload, .. }
        | Message::Result { payload, .. }
        | Message::Error { payload, .. }) = message
        else {
            return;
        };
        if let Some(tag) = Tag::read(payload) {
            self.refused.insert(tag.number, ());
        }
    }

    fn emitted(&mut self, model: &Model, peer: Peer, message: &Message<'_>) -> Result<(), String> {
        let Some(index) = model.peer(peer).and_then(|record| record.session) else { return Ok(()) };
        let session = &model.sessions[index];
        match message {
            Message::Registered { request, .. } => registered(model, index, *request),
            Message::Result { request, details, payload } if session.honest => {
                self.result(model, session, *request, details, payload)
            }
            Message::Error { request_type: MessageType::Call, request, error, payload, details }
                if session.honest =>
            {
                self.error(model, session, *request, error, payload, details)
            }
            _ => Ok(()),
        }
    }

    fn result(
        &mut self,
        model: &Model,
        session: &Session,
        request: RequestId,
        details: &ResultDetails<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let Some((number, call)) = pending_call(model, session, request) else { return Ok(()) };
        let context = || format!("RESULT of call #{number} for p{}", session.peer.0);
        // Partial results may be on their way while their callee gives the call up.
        let invoked = call.invoked().or_else(|| call.invocations.last().filter(|_| details.progress));
        let Some(invoked) = invoked else { return Err(format!("{} without INVOCATION", context())) };
        if model.is_overdue(call) || model.is_kill_overdue(call) {
            return Err(format!("{} after its time", context()));
        }
        if details.progress && !call.receive_progress {
            return Err(format!("{}: progress that nobody asked for", context()));
        }
        if !model.sessions[invoked.callee].honest {
            return Ok(());
        }
        if details.passthru.as_deref() != passthru_of(payload).as_ref() {
            return Err(format!("{}: passthru {:?}", context(), details.passthru));
        }
        let wanted = model.hops(&model.sessions[invoked.callee], payload);
        forwarded(details.forward_for.clone(), wanted).map_err(|text| format!("{}: {text}", context()))?;
        let tag = Tag::read(payload).filter(|tag| tag.number == number);
        let Some(tag) = tag else { return Err(format!("{} that the callee did not give", context())) };
        if details.progress {
            let sent = self.parts_sent.entry(number).or_default();
            if tag.part != *sent || *sent >= call.parts_given {
                return Err(format!("{}: part {} instead of {sent}", context(), tag.part));
            }
            *sent += 1;
        } else if !call.answered {
            return Err(format!("{} before the callee answered", context()));
        }
        Ok(())
    }

    fn error(
        &self,
        model: &Model,
        session: &Session,
        request: RequestId,
        error: &str,
        payload: &Payload<'_>,
        details: &ErrorDetails<'_>,
    ) -> Result<(), String> {
        let Some((number, call)) = pending_call(model, session, request) else { return Ok(()) };
        if model.call(number).is_none() || matches!(expected(session, request), Expected::Error(_)) {
            return Ok(()); // the right one, says the checker of sessions
        }
        let by_callee = call.invoked().is_some_and(|invoked| {
            let given = call.error.as_deref() == Some(error) && is_of(payload, number);
            !model.sessions[invoked.callee].honest || call.answered && given && !model.is_kill_overdue(call)
        });
        if by_callee || self.is_due(model, number, call, error) {
            return Ok(());
        }
        Err(format!(
            "call #{number} ({}) of p{} gets {error} without a reason ({:?})",
            call.procedure, session.peer.0, details.message
        ))
    }

    /// Whether the router has a reason to answer in the place of a callee.
    fn is_due(&self, model: &Model, number: usize, call: &Call, error: &str) -> bool {
        let is_nowhere = call.invoked().is_none();
        let caller = &model.sessions[call.caller];
        let is_displaced =
            call.invoked().is_some_and(|invoked| model.sessions[invoked.callee].resumption.is_wanted);
        match error {
            well_known::NO_SUCH_PROCEDURE => {
                is_nowhere && (call.returned || staying(model, call).next().is_none())
            }
            well_known::CANCELED => call.cancelled || call.callee_left || is_displaced,
            well_known::TIMEOUT => {
                !model.is_minded_by_callee(call) && call.due_tick().is_some_and(|due| due <= model.tick)
            }
            well_known::NOT_AUTHORIZED | well_known::AUTHORIZATION_FAILED => {
                call.expected == Expected::Either
            }
            well_known::PAYLOAD_SIZE_EXCEEDED | well_known::INVALID_ARGUMENT => {
                self.refused.contains_key(&number)
            }
            well_known::MAX_CONCURRENCY_REACHED => {
                let may_be_full =
                    call.returned || may_be_busy(model, call) || model.queue_rule(call).is_some();
                is_nowhere && may_be_full && model.has_no_place(call)
            }
            well_known::NO_AVAILABLE_CALLEE => {
                let was_away = model.is_somebody_away(caller.realm);
                is_nowhere && (call.was_refused() || call.returned || call.parts.len() > 1 || was_away)
            }
            well_known::FEATURE_NOT_SUPPORTED => {
                let has_keys =
                    call.passthru().is_some_and(|keys| keys.ppt_scheme.is_some() || keys.enc_algo.is_some());
                let not_by_callee = is_nowhere && (call.parts[0].progress || has_keys);
                let was_asked = !call.invocations.is_empty();
                let takes_all = caller.caller_has(Feature::PayloadPassthruMode)
                    && caller.caller_has(Feature::PayloadTransparency);
                not_by_callee || was_asked && !takes_all
            }
            _ => false,
        }
    }
}

fn expected(session: &Session, request: RequestId) -> Expected {
    session.pending(MessageType::Call, request).map_or(Expected::Either, |pending| pending.expected)
}

fn is_of(payload: &Payload<'_>, number: usize) -> bool {
    Tag::read(payload).is_some_and(|tag| tag.number == number)
}

fn pending_call<'a>(model: &'a Model, session: &Session, request: RequestId) -> Option<(usize, &'a Call)> {
    let PendingKind::Call(number) = session.pending(MessageType::Call, request)?.kind else { return None };
    Some((number, model.call(number)?))
}

/// A registration that is not shared has one callee, a shared one has one policy.
fn registered(model: &Model, callee: SessionIndex, request: RequestId) -> Result<(), String> {
    let session = &model.sessions[callee];
    let Some(pending) = session.pending(MessageType::Register, request) else { return Ok(()) };
    let PendingKind::Register(wanted) = &pending.kind else { return Ok(()) };
    let others = model.live.iter().map(|index| &model.sessions[*index]);
    for other in others.filter(|other| other.realm == session.realm && other.id != session.id) {
        let same =
            other.registrations.iter().find(|held| held.key == wanted.key && !held.leaving && !held.revoking);
        let Some(same) = same else { continue };
        if same.invoke != wanted.invoke || wanted.invoke == InvocationPolicy::Single {
            let (peer, other) = (session.peer.0, other.peer.0);
            return Err(format!("p{peer} shares {:?} with p{other}", wanted.key));
        }
    }
    Ok(())
}

/// The registrations that were there when the call came and are there still.
pub(super) fn staying<'a>(model: &'a Model, call: &'a Call) -> impl Iterator<Item = &'a Registration> {
    call.candidates.iter().filter_map(|(session, instance)| {
        let session = &model.sessions[*session];
        let held = session.registrations.iter().find(|held| held.instance == *instance);
        held.filter(|held| {
            session.live
                && !session.was_away(call.tick)
                && !held.leaving
                && !held.revoking
                && !model.may_be_evicted(session.realm, &held.key)
        })
    })
}

/// Whether a callee that takes the call may have been busy: somebody set a limit and has something to do, and nobody who
/// may be passed over to has none, or he has refused.
fn may_be_busy(model: &Model, call: &Call) -> bool {
    let passes_over =
        |held: &Registration| matches!(held.invoke, InvocationPolicy::RoundRobin | InvocationPolicy::Random);
    // Whose callee is on its way to another transport, a better registration may decide.
    let has_other = !call.is_partitioned()
        && !model.is_somebody_away(model.sessions[call.caller].realm)
        && staying(model, call).any(|held| held.concurrency.is_none() && passes_over(held));
    let is_late = may_wait(model, call); // it was refused where the queue was full, some time ago
    model.is_limited(call) && (!has_other || call.was_refused()) && (is_late || model.has_work(call))
}

/// Whether the configuration lets a call wait.
fn may_wait(model: &Model, call: &Call) -> bool {
    let rules = &model.realm(&model.sessions[call.caller]).store.call_queue;
    rules.iter().any(|rule| uri::matches(&rule.uri, rule.match_policy, &call.procedure))
}
