//! The life of a session: who is admitted as what, one answer to each request and the right one, unique ids, nothing
//! after GOODBYE and ABORT.

use std::collections::BTreeMap;

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{Message, MessageType, Text, WelcomeDetails};
use crossring_codec::uri::well_known;

use crate::clock::ticks;
use crate::model::{Expected, Identity, Key, Kill, Model, PeerRecord, Pending, PendingKind, Session};
use crate::observation::{Observation, Peer};
use crate::realm::{
    PRINCIPALS, TRANSPORT_CLERKS, TRANSPORT_GUESTS, TRANSPORT_LINKS, TRANSPORT_MEMBERS, TRANSPORT_STRANGERS,
};
use crate::tag::Tag;

/// Remembers every id there has been.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionId, Peer>,
    /// Subscription → realm and key.
    subscriptions: BTreeMap<SubscriptionId, (usize, Key)>,
    registrations: BTreeMap<RegistrationId, (usize, Key)>,
    /// Publication → tag.
    publications: BTreeMap<PublicationId, usize>,
}

impl Sessions {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Emitted { peer, message } => self.emitted(model, *peer, message),
            _ => Ok(()),
        }
    }

    /// Every request of a living session has been answered.
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for session in model.live.iter().map(|index| &model.sessions[*index]) {
            if let Some(pending) = session.requests.first() {
                let (peer, kind) = (session.peer.0, pending.kind.message_type().name());
                return Err(format!("{kind} {} of p{peer} is never answered", pending.request));
            }
        }
        Ok(())
    }

    fn emitted(&mut self, model: &Model, peer: Peer, message: &Message<'static>) -> Result<(), String> {
        let name = message.message_type().name();
        let Some(record) = model.peer(peer).filter(|record| !record.over) else {
            return Err(format!("{name} for p{} after its end", peer.0));
        };
        match record.session {
            None => self.outside_session(model, peer, record, message),
            Some(index) => self.in_session(model, &model.sessions[index], message),
        }
    }

    fn outside_session(
        &mut self,
        model: &Model,
        peer: Peer,
        record: &PeerRecord,
        message: &Message<'_>,
    ) -> Result<(), String> {
        match message {
            Message::Abort { .. } => {
                in_time(model, record).map_err(|text| format!("ABORT for p{}: {text}", peer.0))
            }
            Message::Goodbye { .. } if record.owed_goodbye => Ok(()),
            Message::Challenge { .. } if record.hello.is_some() => Ok(()),
            Message::Welcome { session, details } if details.resumed => {
                resumption(model, record, *session, details)
                    .map_err(|text| format!("WELCOME for p{}: {text}", peer.0))
            }
            Message::Welcome { session, details } => {
                if let Some(other) = self.sessions.insert(*session, peer) {
                    return Err(format!("session id of p{} is that of p{}", peer.0, other.0));
                }
                let admitted = match record.transport.0 {
                    TRANSPORT_STRANGERS => stranger(model, *session, details),
                    _ => admission(model, record, details),
                };
                admitted
                    .and_then(|()| in_time(model, record))
                    .map_err(|text| format!("WELCOME for p{}: {text}", peer.0))
            }
            other => Err(format!("{} for p{}, which has no session", other.message_type().name(), peer.0)),
        }
    }

    fn in_session(&mut self, model: &Model, session: &Session, message: &Message<'_>) -> Result<(), String> {
        let peer = session.peer.0;
        match message {
            Message::Welcome { .. } | Message::Challenge { .. } => {
                Err(format!("{} for p{peer}, which has joined", message.message_type().name()))
            }
            Message::Abort { reason, details } if session.honest => {
                Err(format!("ABORT {reason} {:?} for p{peer}, which keeps to the protocol", details.message))
            }
            Message::Goodbye { reason, .. } if session.honest && !model.shut_down => {
                let wanted = |kill: &Kill| *kill.reason == **reason && model.is_victim(kill, session);
                let wanted = model.kills.iter().any(wanted);
                if wanted { Ok(()) } else { Err(format!("GOODBYE {reason} for p{peer}, without a reason")) }
            }
            Message::Unsubscribed { request: None, revocation } => {
                let id = revocation.as_ref().and_then(|revocation| revocation.id);
                let wanted = id.is_some_and(|id| session.may_be_revoked(id.get()));
                if wanted {
                    Ok(())
                } else {
                    Err(format!("p{peer} loses subscription {id:?} without a reason"))
                }
            }
            Message::Unregistered { request: None, revocation } => {
                let held = revocation.as_ref().and_then(|revocation| session.registration(revocation.id?));
                let wanted = held.is_some_and(|held| {
                    session.may_be_revoked(held.id.get()) || model.may_be_evicted(session.realm, &held.key)
                });
                if wanted { Ok(()) } else { Err(format!("p{peer} loses {held:?} without a reason")) }
            }
            Message::Subscribed { request, subscription } => {
                let pending = answered(session, MessageType::Subscribe, *request, None)?;
                let PendingKind::Subscribe(key) = &pending.kind else { return Ok(()) };
                agree(&mut self.subscriptions, *subscription, session.realm, key)?;
                one_id_for_all(model, session, *subscription, key)
            }
            Message::Registered { request, registration } => {
                let pending = answered(session, MessageType::Register, *request, None)?;
                let PendingKind::Register(wanted) = &pending.kind else { return Ok(()) };
                agree(&mut self.registrations, *registration, session.realm, &wanted.key)
            }
            Message::Unsubscribed { request: Some(request), .. } => {
                answered(session, MessageType::Unsubscribe, *request, None).map(drop)
            }
            Message::Unregistered { request: Some(request), .. } => {
                answered(session, MessageType::Unregister, *request, None).map(drop)
            }
            Message::Published { request, publication } => {
                let pending = answered(session, MessageType::Publish, *request, None)?;
                let PendingKind::Publish(number) = pending.kind else { return Ok(()) };
                self.publication(model, number, *publication)
            }
            Message::Event { payload, publication, .. } => match Tag::read(payload) {
                Some(tag) => self.publication(model, tag.number, *publication),
                None => Ok(()),
            },
            Message::Error { request_type, request, error, .. } => {
                answered(session, *request_type, *request, Some(error)).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn publication(&mut self, model: &Model, number: usize, id: PublicationId) -> Result<(), String> {
        let known = *self.publications.entry(id).or_insert(number);
        if known != number {
            return Err(format!("publication id {id} is that of #{known} and of #{number}"));
        }
        match model.publication(number).and_then(|publication| publication.id) {
            Some(other) if other != id => Err(format!("publication #{number} has the ids {other} and {id}")),
            _ => Ok(()),
        }
    }
}

/// The request that an answer is for; the answer has to be the expected one.
fn answered<'a>(
    session: &'a Session,
    kind: MessageType,
    request: RequestId,
    error: Option<&str>,
) -> Result<&'a Pending, String> {
    let peer = session.peer.0;
    let Some(pending) = session.pending(kind, request) else {
        return Err(format!("answer to {} {request} of p{peer}, which is not pending", kind.name()));
    };
    match (pending.expected, error) {
        (Expected::Either, _) | (Expected::Success, None) => Ok(pending),
        (Expected::Error(wanted), Some(given)) if wanted == given => Ok(pending),
        (Expected::Error(wanted), given) => {
            Err(format!("{} {request} of p{peer} gets {given:?} instead of {wanted}", kind.name()))
        }
        (Expected::Success, Some(given)) if may_fail(&pending.kind, given) => Ok(pending),
        (Expected::Success, Some(given)) => Err(format!("{} {request} of p{peer} gets {given}", kind.name())),
    }
}

/// Errors that do not follow from URI and rights alone; calls have a checker of their own.
fn may_fail(kind: &PendingKind, error: &str) -> bool {
    match kind {
        PendingKind::Meta(_) => true,
        PendingKind::Call(_) => error != well_known::INVALID_URI && error != well_known::NOT_AUTHORIZED,
        PendingKind::Register(_) => {
            matches!(error, well_known::PROCEDURE_ALREADY_EXISTS | well_known::UNREGISTERED)
        }
        _ => false,
    }
}

/// An id names one thing for ever.
fn agree<Id: Copy + Ord + std::fmt::Display>(
    known: &mut BTreeMap<Id, (usize, Key)>,
    id: Id,
    realm: usize,
    key: &Key,
) -> Result<(), String> {
    let first = known.entry(id).or_insert_with(|| (realm, key.clone()));
    if *first == (realm, key.clone()) {
        Ok(())
    } else {
        Err(format!("id {id} stands for {key:?} and {first:?}"))
    }
}

/// All subscribers of one thing hold it under one id.
fn one_id_for_all(model: &Model, session: &Session, id: SubscriptionId, key: &Key) -> Result<(), String> {
    let mut histories = model.histories(session.realm);
    if let Some(history) = histories.find(|history| history.key == *key && history.id != id.get()) {
        return Err(format!("{key:?} is {id} for p{}, and {} for the router", session.peer.0, history.id));
    }
    let others = model.live.iter().map(|index| &model.sessions[*index]);
    for other in others.filter(|other| other.realm == session.realm) {
        let held =
            other.subscriptions.iter().find(|held| held.key == *key && !held.leaving && !held.revoking);
        if let Some(held) = held.filter(|held| held.id != id) {
            return Err(format!(
                "{key:?} is {id} for p{} and {} for p{}",
                session.peer.0, held.id, other.peer.0
            ));
        }
    }
    Ok(())
}

/// Who has the token goes on with the session, as whom it was.
fn resumption(
    model: &Model,
    record: &PeerRecord,
    id: SessionId,
    details: &WelcomeDetails<'_>,
) -> Result<(), String> {
    let asked = record.hello.as_ref().and_then(|hello| hello.resume.as_ref());
    let Some((session, token)) = asked else { return Err("resumed without being asked to".into()) };
    let Some(known) = model.resumable(id).filter(|_| *session == id).map(|index| &model.sessions[index])
    else {
        return Err(format!("resumed {id}, which has ended"));
    };
    if known.resumption.token.as_ref() != Some(token) {
        return Err("resumed with a token that is not its own".into());
    }
    let realm = details.realm.as_deref().and_then(|name| model.realm_index(name));
    let role = &*model.role(known).name;
    if realm != Some(known.realm) || details.authrole.as_deref() != Some(role) {
        return Err(format!("resumed in {:?} as {:?}", details.realm, details.authrole));
    }
    Ok(())
}

/// HELLO is answered within the time for it, and what letters and stalls may take.
fn in_time(model: &Model, record: &PeerRecord) -> Result<(), String> {
    let Some(hello) = &record.hello else { return Ok(()) };
    let due_tick = hello.tick + ticks(u64::from(model.limits.join_timeout_ms)) + ANSWER_TICKS;
    if model.tick <= due_tick { Ok(()) } else { Err(format!("HELLO was at {}", hello.tick)) }
}

/// Ticks that letters about an attempt to join, and stalls of who handles them, may take.
const ANSWER_TICKS: u64 = 1_000;

/// A stranger is who an authenticator has said, and joins only if one has.
fn stranger(model: &Model, session: SessionId, details: &WelcomeDetails<'_>) -> Result<(), String> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(ToString::to_string);
    let told = Identity {
        realm: text(&details.realm),
        authid: text(&details.authid),
        role: text(&details.authrole),
    };
    match model.identified(session) {
        Some(identity) if *identity == told => Ok(()),
        identity => Err(format!("{told:?}, and the authenticator has said {identity:?}")),
    }
}

/// WELCOME says what the configuration allows, and nothing else was admitted.
fn admission(model: &Model, record: &PeerRecord, details: &WelcomeDetails<'_>) -> Result<(), String> {
    let Some(hello) = &record.hello else { return Err("without HELLO".into()) };
    let realm = details.realm.as_deref();
    let principal = PRINCIPALS.iter().find(|known| Some(known.authid) == hello.authid.as_deref());
    let wanted = principal.and_then(|known| known.realm).or(hello.realm.as_deref());
    if realm.is_none() || realm != wanted || model.realm_index(realm.unwrap_or("")).is_none() {
        return Err(format!("realm {realm:?} instead of {wanted:?}"));
    }
    let role = details.authrole.as_deref();
    let wanted = match record.transport.0 {
        TRANSPORT_MEMBERS => "member",
        TRANSPORT_GUESTS => "guest",
        TRANSPORT_LINKS => "link",
        TRANSPORT_CLERKS => "clerk",
        _ => {
            let known = principal.filter(|known| Some(known.ticket) == record.ticket.as_deref());
            let Some(known) = known else { return Err("without a valid ticket".into()) };
            if details.authid.as_deref() != Some(known.authid) {
                return Err(format!("authid {:?} instead of {}", details.authid, known.authid));
            }
            known.role
        }
    };
    if role == Some(wanted) { Ok(()) } else { Err(format!("role {role:?} instead of {wanted}")) }
}
