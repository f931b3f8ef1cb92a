//! Invocations: one callee at a time, the right one and never more than it takes, the parts of a progressive one in
//! order, and nothing that the callee has not announced.

use std::collections::BTreeMap;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{Feature, InvocationDetails, Message};
use crossring_codec::payload::Payload;

use super::calls::staying;
use crate::model::{Call, Model, Registration, Session, SessionIndex};
use crate::observation::Observation;
use crate::tag::{Marks, Tag, passthru_of, transaction_hash_of};

/// Remembers who served a resource key, and among which callees.
#[derive(Debug, Default)]
pub(super) struct Invocations {
    servers: BTreeMap<(RegistrationId, String), Server>,
}

impl Invocations {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Emitted { peer, message } = observation else { return Ok(()) };
        let Some(index) = model.peer(*peer).and_then(|record| record.session) else { return Ok(()) };
        match message {
            Message::Invocation { request, registration, details, payload } => {
                self.partition(model, index, *registration, payload)?;
                let invocation =
                    Invocation { request: *request, registration: *registration, details, payload };
                invoked(model, index, &invocation)
                    .map_err(|text| format!("INVOCATION {request} for p{}: {text}", peer.0))
            }
            _ => Ok(()),
        }
    }
}

/// Who serves a resource key.
#[derive(Debug)]
struct Server {
    candidates: Vec<(SessionIndex, u64)>,
    callee: SessionIndex,
}

impl Invocations {
    /// As long as the callees stay the same, a resource key stays with one of them.
    fn partition(
        &mut self,
        model: &Model,
        callee: SessionIndex,
        registration: RegistrationId,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let call = Tag::read(payload).and_then(|tag| model.call(tag.number));
        let Some(call) = call.filter(|call| !call.returned && call.invocations.is_empty()) else {
            return Ok(());
        };
        let extra = call.extra.as_ref().filter(|extra| extra.runmode.is_some());
        let Some(rkey) = extra.and_then(|extra| extra.rkey.as_ref()) else { return Ok(()) };
        if call.in_flux
            || call.candidates.is_empty()
            || model.may_be_rerouted(call)
            || model.is_in_transit(model.sessions[callee].realm)
        {
            return Ok(());
        }
        let mut candidates = call.candidates.clone();
        candidates.sort_unstable();
        let key = (registration, rkey.to_string());
        let server = Server { candidates: candidates.clone(), callee };
        match self.servers.insert(key, server) {
            Some(before) if before.candidates == candidates && before.callee != callee => {
                let (this, other) = (model.sessions[callee].peer.0, model.sessions[before.callee].peer.0);
                Err(format!("{rkey} moves from p{other} to p{this}, although both stay"))
            }
            _ => Ok(()),
        }
    }
}

struct Invocation<'a> {
    request: RequestId,
    registration: RegistrationId,
    details: &'a InvocationDetails<'static>,
    payload: &'a Payload<'static>,
}

fn invoked(model: &Model, callee: SessionIndex, invocation: &Invocation<'_>) -> Result<(), String> {
    let session = &model.sessions[callee];
    let id = invocation.request.get();
    let tag = Tag::read(invocation.payload);
    let known = tag.and_then(|tag| Some((tag, model.call(tag.number)?)));
    let open = session.invocations.iter().find(|open| open.id == id);
    if open.and_then(|open| model.call(open.call)).is_some_and(|call| !model.sessions[call.caller].honest) {
        return Ok(()); // who knows what the caller takes for a part of what
    }
    if id <= session.invocations_count {
        let Some((tag, call)) = known else { return Err("repeats an id".into()) };
        return continued(model, session, tag, call, invocation);
    }
    if id != session.invocations_count + 1 {
        return Err(format!("follows {}", session.invocations_count));
    }
    let Some((tag, call)) = known else { return Ok(()) };
    let Some(held) = session.registration(invocation.registration) else { return Ok(()) };
    if tag.part != 0 {
        let honest = model.sessions[call.caller].honest; // others may have used the id of their own call for another
        return if honest { Err(format!("begins with part {}", tag.part)) } else { Ok(()) };
    }
    placed(model, callee, tag, call, held)?;
    capacity(model, session, held)?;
    announced(session, call, held, invocation)
}

/// A further INVOCATION of a progressive one: the next part, to the callee that has the others.
fn continued(
    model: &Model,
    session: &Session,
    tag: Tag,
    call: &Call,
    invocation: &Invocation<'_>,
) -> Result<(), String> {
    if !model.sessions[call.caller].honest {
        return Ok(()); // it may have guessed the id of its own open call
    }
    let id = invocation.request.get();
    let open = session.invocations.iter().find(|open| open.id == id);
    if open.is_none_or(|open| open.call != tag.number || open.registration != invocation.registration) {
        return Err(format!("continues #{}, which is not open under this id", tag.number));
    }
    let parts = call.invocations.last().map_or(0, |known| known.parts);
    if tag.part as usize != parts {
        return Err(format!("part {} of #{} instead of {parts}", tag.part, tag.number));
    }
    progress(call, tag, invocation)
}

/// The flag `progress` is that of the CALL.
fn progress(call: &Call, tag: Tag, invocation: &Invocation<'_>) -> Result<(), String> {
    let told = invocation.details.progress;
    match call.parts.get(tag.part as usize) {
        Some(part) if part.progress == told => Ok(()),
        part => Err(format!("progress {told}, but of the CALL {part:?}")),
    }
}

/// A call goes to one callee, to another one only if asked to, and not to one that has to stand back behind a better
/// registration.
fn placed(
    model: &Model,
    callee: SessionIndex,
    tag: Tag,
    call: &Call,
    held: &Registration,
) -> Result<(), String> {
    let number = tag.number;
    if let Some(other) = call.invoked() {
        return Err(format!("call #{number} is with p{} already", model.sessions[other.callee].peer.0));
    }
    // Who has refused and goes on over another transport is taken for somebody new.
    let is_new = model.sessions[callee].was_away(call.tick);
    let again = !is_new
        && call.invocations.iter().any(|known| known.callee == callee && known.registration == held.id);
    if again {
        return Err(format!("call #{number}, which the callee has refused"));
    }
    if call.was_refused() && call.parts_given > 0 {
        return Err(format!("call #{number}, of which the caller has got results"));
    }
    let better = staying(model, call).find(|better| better.key.precedence() > held.key.precedence());
    match better {
        Some(better) => Err(format!("call #{number} under {:?} instead of {:?}", held.key, better.key)),
        None => Ok(()),
    }
}

/// No more at once than the callee takes.
fn capacity(model: &Model, session: &Session, held: &Registration) -> Result<(), String> {
    let Some(most) = held.concurrency else { return Ok(()) };
    let open = session.invocations.iter().filter(|open| open.instance == held.instance);
    let open = open.filter(|open| !model.is_given_up(open)).count() as u64;
    if open < most { Ok(()) } else { Err(format!("{open} are open, and {most} is the limit")) }
}

/// What the callee is told: only what it announced, and what the caller, its role and the registration ask for.
fn announced(
    session: &Session,
    call: &Call,
    held: &Registration,
    invocation: &Invocation<'_>,
) -> Result<(), String> {
    let details = invocation.details;
    let asks = [
        (details.receive_progress, Feature::ProgressiveCallResults),
        (details.progress, Feature::ProgressiveCallInvocations),
        (Marks::read(invocation.payload).passthru, Feature::PayloadPassthruMode),
        (Marks::read(invocation.payload).encoded, Feature::PayloadTransparency),
        (details.timeout_ms > 0, Feature::CallTimeout),
    ];
    if let Some((_, feature)) =
        asks.into_iter().find(|(asks, feature)| *asks && !session.callee_has(*feature))
    {
        return Err(format!("asks for {}, which the callee did not announce", feature.name()));
    }
    let minds = held.forward_timeout && session.callee_has(Feature::CallTimeout);
    let timeout_ms = if minds && session.dealer_has(Feature::CallTimeout) { call.timeout_ms } else { 0 };
    if details.timeout_ms != timeout_ms {
        return Err(format!("timeout {} instead of {timeout_ms}", details.timeout_ms));
    }
    let keys = details.extra.as_ref().map(|extra| extra.passthru.clone()).unwrap_or_default();
    if keys != passthru_of(invocation.payload).unwrap_or_default() {
        return Err(format!("passthru {keys:?}"));
    }
    let hash = details.extra.as_ref().and_then(|extra| extra.transaction_hash.clone());
    if hash != transaction_hash_of(invocation.payload) {
        return Err(format!("transaction hash {hash:?}"));
    }
    progress(call, Tag { number: 0, part: 0 }, invocation)
}
