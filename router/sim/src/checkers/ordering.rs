//! Who sees what in which order: events of one publisher, invocations of one caller, acknowledgements before what they
//! announce and after what they end.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;

use crate::model::{Model, Session, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::Tag;

/// Holds what clients have seen.
#[derive(Debug, Default)]
pub(super) struct Ordering {
    /// Publisher, whether in its name only, and subscriber → order of the last publication.
    events: BTreeMap<(SessionIndex, bool, SessionIndex), u64>,
    /// Events of before the subscription: subscriber, subscription, order of the publication.
    overtaken: BTreeSet<(SessionIndex, SubscriptionId, u64)>,
    /// Caller and callee → order of the last call.
    invocations: BTreeMap<(SessionIndex, SessionIndex), u64>,
    /// What sessions go on with.
    held: BTreeMap<Peer, Seen>,
    /// What each client knows to hold.
    seen: BTreeMap<Peer, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    subscriptions: Vec<SubscriptionId>,
    registrations: Vec<RegistrationId>,
    /// UNSUBSCRIBE requests that the router has handled, by id.
    unsubscribes: Vec<(RequestId, SubscriptionId)>,
    unregisters: Vec<(RequestId, RegistrationId)>,
    /// Highest id of an INVOCATION; the rest of a progressive one comes after UNREGISTERED too.
    invocation_last: u64,
}

impl Seen {
    /// What a session holds when it begins or goes on.
    fn of(session: &Session) -> Self {
        Self {
            subscriptions: session.subscriptions.iter().map(|held| held.id).collect(),
            registrations: session.registrations.iter().map(|held| held.id).collect(),
            ..Self::default()
        }
    }
}

impl Ordering {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Handled { peer, message } => self.handled(*peer, message),
            Observation::Emitted { peer, message } => {
                if let Message::Welcome { session, .. } = message
                    && let Some(index) = model.resumable(*session)
                {
                    self.held.insert(*peer, Seen::of(&model.sessions[index]));
                }
                self.note_overtaken(model, *peer, message);
                return emitted(model, *peer, message);
            }
            Observation::Received { peer, message } => return self.received(model, *peer, message),
            _ => {}
        }
        Ok(())
    }

    fn note_overtaken(&mut self, model: &Model, peer: Peer, message: &Message<'_>) {
        let Message::Event { subscription, payload, .. } = message else { return };
        let publication = Tag::read(payload).and_then(|tag| model.publication(tag.number));
        let subscriber = model.peer(peer).and_then(|record| record.session);
        let (Some(publication), Some(subscriber)) = (publication, subscriber) else { return };
        let held = model.sessions[subscriber].subscription(*subscription);
        if held.is_some_and(|held| publication.order < held.instance) {
            self.overtaken.insert((subscriber, *subscription, publication.order));
        }
    }

    fn handled(&mut self, peer: Peer, message: &Message<'_>) {
        let seen = self.seen.entry(peer).or_default();
        match message {
            Message::Unsubscribe { request, subscription } => {
                seen.unsubscribes.push((*request, *subscription));
            }
            Message::Unregister { request, registration } => {
                seen.unregisters.push((*request, *registration));
            }
            _ => {}
        }
    }

    fn received(&mut self, model: &Model, peer: Peer, message: &Message<'_>) -> Result<(), String> {
        let seen = self.seen.entry(peer).or_default();
        match message {
            Message::Welcome { .. } => *seen = self.held.remove(&peer).unwrap_or_default(),
            Message::Subscribed { subscription, .. } => seen.subscriptions.push(*subscription),
            Message::Registered { registration, .. } => seen.registrations.push(*registration),
            Message::Unsubscribed { request: Some(request), .. } => {
                let ended = seen.unsubscribes.iter().find(|(known, _)| known == request);
                if let Some((_, ended)) = ended.copied() {
                    seen.subscriptions.retain(|held| *held != ended);
                }
            }
            Message::Unregistered { request: Some(request), .. } => {
                let ended = seen.unregisters.iter().find(|(known, _)| known == request);
                if let Some((_, ended)) = ended.copied() {
                    seen.registrations.retain(|held| *held != ended);
                }
            }
            Message::Event { subscription, payload, details, .. } => {
                if !seen.subscriptions.contains(subscription) {
                    return Err(format!(
                        "p{} read an EVENT of {subscription} outside its subscription",
                        peer.0
                    ));
                }
                if details.retained {
                    return Ok(()); // as old as may be
                }
                return self.event(model, peer, *subscription, payload);
            }
            Message::Invocation { request, registration, payload, .. } => {
                let is_new = request.get() > seen.invocation_last;
                seen.invocation_last = seen.invocation_last.max(request.get());
                if is_new && !seen.registrations.contains(registration) {
                    return Err(format!("p{} read an INVOCATION outside its registration", peer.0));
                }
                return self.invocation(model, peer, payload);
            }
            _ => {}
        }
        Ok(())
    }

    fn event(
        &mut self,
        model: &Model,
        peer: Peer,
        subscription: SubscriptionId,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let publication = Tag::read(payload).and_then(|tag| model.publication(tag.number));
        let subscriber = model.peer(peer).and_then(|record| record.seen);
        let (Some(publication), Some(subscriber)) = (publication, subscriber) else { return Ok(()) };
        if self.overtaken.contains(&(subscriber, subscription, publication.order)) {
            return Ok(()); // what came while the subscriber asked for retained events follows them
        }
        let last =
            self.events.entry((publication.publisher, publication.is_testament, subscriber)).or_default();
        if publication.order < *last {
            return Err(format!(
                "p{} read publication {} of session {} after {last}",
                peer.0, publication.order, publication.publisher
            ));
        }
        *last = publication.order;
        Ok(())
    }

    fn invocation(&mut self, model: &Model, peer: Peer, payload: &Payload<'_>) -> Result<(), String> {
        let tag = Tag::read(payload);
        let call = tag.and_then(|tag| model.call(tag.number));
        let callee = model.peer(peer).and_then(|record| record.seen);
        let (Some(tag), Some(call), Some(callee)) = (tag, call, callee) else { return Ok(()) };
        let Some(part) = call.parts.get(tag.part as usize) else { return Ok(()) };
        if model.may_be_rerouted(call) {
            return Ok(()); // another callee was asked before: its place in the order is lost
        }
        let last = self.invocations.entry((call.caller, callee)).or_default();
        if part.order <= *last {
            return Err(format!(
                "p{} read the INVOCATION of call {} of session {} after {last}",
                peer.0, part.order, call.caller
            ));
        }
        *last = part.order;
        Ok(())
    }
}

/// The same rules at the edge of the router, where they hold for sessions whose client never reads.
fn emitted(model: &Model, peer: Peer, message: &Message<'_>) -> Result<(), String> {
    let Some(session) = model.session_of(peer) else { return Ok(()) };
    match message {
        Message::Event { subscription, .. } if session.subscription(*subscription).is_none() => {
            Err(format!("EVENT of {subscription} for p{}, which does not hold it", peer.0))
        }
        Message::Invocation { request, registration, .. }
            if request.get() > session.invocations_count && session.registration(*registration).is_none() =>
        {
            Err(format!("INVOCATION of {registration} for p{}, which does not hold it", peer.0))
        }
        Message::Result { request, .. } if session.pending(MessageType::Call, *request).is_none() => {
            Err(format!("RESULT for p{}, whose call {request} is over or was never made", peer.0))
        }
        _ => Ok(()),
    }
}
