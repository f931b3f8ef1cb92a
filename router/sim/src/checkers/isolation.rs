//! Nobody gets what is not for him: realms, permissions, black- and whitelists, disclosure, payloads.

use crossring_codec::id::SessionId;
use crossring_codec::message::{EventDetails, Feature, Forwarder, InvocationDetails, Message};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, is_reserved};

use crate::model::{Call, Expected, Model, Publication, Registration, Session};
use crate::observation::Observation;
use crate::realm::{AUTHENTICATOR, AUTHORIZER, Action};
use crate::tag::{Marks, Tag, passthru_of, size_of, transaction_hash_of};

/// Holds nothing: the model knows all.
#[derive(Debug, Default)]
pub(super) struct Isolation;

impl Isolation {
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn check(&self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        let Some(session) = model.session_of(*peer) else { return Ok(()) };
        match message {
            Message::Event { payload, .. } | Message::Invocation { payload, .. }
                if model.is_posthumous(payload) =>
            {
                Ok(())
            }
            Message::Event { subscription, details, payload, .. } => {
                let Some(held) = session.subscription(*subscription) else { return Ok(()) };
                if is_reserved(details.topic.as_deref().unwrap_or(&held.key.uri)) {
                    return Ok(()); // of the router itself
                }
                let publication = published(model, payload)?;
                if !held.key.matches(&publication.topic) {
                    return Err(format!("p{} gets {} under {:?}", peer.0, publication.topic, held.key));
                }
                if matches!(model.expected(session, Action::Subscribe, &held.key), Expected::Error(_)) {
                    return Err(format!("p{} gets events of {:?} without permission", peer.0, held.key));
                }
                event(model, session, publication, details, held.key.policy, payload)
                    .map_err(|text| format!("EVENT for p{}: {text}", peer.0))
            }
            Message::Invocation { request, registration, details, payload } => {
                let Some(held) = session.registration(*registration) else { return Ok(()) };
                if [AUTHORIZER, AUTHENTICATOR].contains(&held.key.uri.as_str()) {
                    return Ok(()); // of the router itself
                }
                let call = called(model, payload)?;
                if !held.key.matches(&call.procedure) {
                    return Err(format!("p{} gets {} under {:?}", peer.0, call.procedure, held.key));
                }
                let is_first = request.get() > session.invocations_count;
                invocation(model, session, call, held, details, payload, is_first)
                    .map_err(|text| format!("INVOCATION for p{}: {text}", peer.0))
            }
            _ => Ok(()),
        }
    }
}

fn published<'a>(model: &'a Model, payload: &Payload<'_>) -> Result<&'a Publication, String> {
    let publication = Tag::read(payload).and_then(|tag| model.publication(tag.number));
    publication.ok_or_else(|| format!("EVENT that nobody published: {payload:?}"))
}

fn called<'a>(model: &'a Model, payload: &Payload<'_>) -> Result<&'a Call, String> {
    let call = Tag::read(payload).and_then(|tag| model.call(tag.number));
    call.ok_or_else(|| format!("INVOCATION that nobody called: {payload:?}"))
}

fn event(
    model: &Model,
    session: &Session,
    publication: &Publication,
    details: &EventDetails<'_>,
    policy: Match,
    payload: &Payload<'_>,
) -> Result<(), String> {
    let publisher = &model.sessions[publication.publisher];
    if publisher.realm != session.realm {
        return Err("from another realm".into());
    }
    if let Expected::Error(error) = publication.expected {
        return Err(format!("of a publication that gets {error}"));
    }
    if !model.is_receiver(publication, session) {
        return Err("although it is no receiver".into());
    }
    let origin = model.origin(publisher, payload);
    if details.publisher != publication.disclosed.then_some(origin) {
        return Err(format!("publisher {:?}, disclosed: {}", details.publisher, publication.disclosed));
    }
    topic(policy, details.topic.as_deref(), &publication.topic)?;
    if publication.is_testament {
        return Ok(()); // made anew by the router
    }
    trust(model, publisher, Feature::PublicationTrustlevels, details.trustlevel)?;
    let hops = details.extra.as_ref().and_then(|extra| extra.forward_for.clone());
    forwarded(hops, model.hops(publisher, payload))?;
    rare(details, payload)?;
    size(payload, publication.size)
}

fn invocation(
    model: &Model,
    session: &Session,
    call: &Call,
    held: &Registration,
    details: &InvocationDetails<'_>,
    payload: &Payload<'_>,
    is_first: bool,
) -> Result<(), String> {
    let caller = &model.sessions[call.caller];
    if caller.realm != session.realm {
        return Err("from another realm".into());
    }
    if let Expected::Error(error) = call.expected {
        return Err(format!("of a call that gets {error}"));
    }
    let part = Tag::read(payload).map_or(0, |tag| tag.part as usize);
    if is_first {
        disclosure(model.origin(caller, payload), call, held, details)?;
        let hops = details.extra.as_ref().and_then(|extra| extra.forward_for.clone());
        forwarded(hops, model.hops(caller, payload))?;
        topic(held.key.policy, details.procedure.as_deref(), &call.procedure)?;
        trust(model, caller, Feature::CallTrustlevels, details.trustlevel)?;
    }
    if details.receive_progress && !call.receive_progress {
        return Err("asks for progress that the caller did not ask for".into());
    }
    match call.parts.get(part) {
        Some(part) => size(payload, part.size),
        None if !caller.honest => Ok(()), // it may have used the id of its own call for another
        None => Err(format!("part {part}, which was not called")),
    }
}

/// Receivers are told how much the sender is trusted, if that is configured and announced.
fn trust(model: &Model, sender: &Session, feature: Feature, told: Option<u64>) -> Result<(), String> {
    let announced = sender.dealer_has(feature) || sender.broker_has(feature);
    let wanted = if announced { model.role(sender).trustlevel } else { None };
    if told == wanted { Ok(()) } else { Err(format!("trust level {told:?} instead of {wanted:?}")) }
}

/// The caller is disclosed if it, a rule or the callee wants it. A callee that has registered anew may get calls of before,
/// with the disclosure it wanted then.
fn disclosure(
    origin: SessionId,
    call: &Call,
    held: &Registration,
    details: &InvocationDetails<'_>,
) -> Result<(), String> {
    let disclosed = call.disclosed || held.disclose_caller;
    let wanted = disclosed.then_some(origin);
    let from_before = !call.disclosed && call.order < held.instance;
    match details.caller {
        None if from_before => Ok(()),
        Some(told) if from_before && told == origin => Ok(()),
        told if told == wanted => Ok(()),
        told => Err(format!("caller {told:?}, disclosed: {disclosed}")),
    }
}

/// Receivers are told for whom a message has been forwarded, if a trusted session says so.
pub(super) fn forwarded(
    told: Option<Vec<Forwarder<'_>>>,
    wanted: Option<Vec<Forwarder<'_>>>,
) -> Result<(), String> {
    if told == wanted { Ok(()) } else { Err(format!("forwarded for {told:?} instead of {wanted:?}")) }
}

/// Rare options are copied.
fn rare(details: &EventDetails<'_>, payload: &Payload<'_>) -> Result<(), String> {
    let extra = details.extra.as_ref();
    let keys = extra.map(|extra| extra.passthru.clone()).unwrap_or_default();
    if keys != passthru_of(payload).unwrap_or_default() {
        return Err(format!("passthru {keys:?}"));
    }
    let hash = extra.and_then(|extra| extra.transaction_hash.clone());
    if hash != transaction_hash_of(payload) {
        return Err(format!("transaction hash {hash:?}"));
    }
    let wanted = extra.is_some_and(|extra| extra.x_acknowledged_delivery);
    if wanted != Marks::read(payload).acknowledged {
        return Err(format!("acknowledgement wanted: {wanted}"));
    }
    Ok(())
}

/// Patterns are told what matched, others are not.
fn topic(policy: Match, told: Option<&str>, used: &str) -> Result<(), String> {
    let wanted = (policy != Match::Exact).then_some(used);
    if told == wanted { Ok(()) } else { Err(format!("names {told:?} instead of {wanted:?}")) }
}

fn size(payload: &Payload<'_>, size: usize) -> Result<(), String> {
    let found = size_of(payload);
    if found == size { Ok(()) } else { Err(format!("{found} octets of payload instead of {size}")) }
}
