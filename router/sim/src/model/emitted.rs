//! What messages of the router change.

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{Message, MessageType, WelcomeDetails};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;

use super::resumption::Resumption;
use super::{Kill, Kind, Model, PendingKind, Session, Subscription, Victims};
use crate::observation::Peer;
use crate::realm::AUTHORIZER;
use crate::tag::Tag;

impl Model {
    pub(super) fn emitted(&mut self, peer: Peer, message: &Message<'static>) {
        match message {
            Message::Welcome { session, details } => self.welcome(peer, *session, details),
            Message::Goodbye { reason, .. } => {
                self.note_silence(peer, reason);
                self.end_session(peer);
                self.peer_mut(peer, |record| {
                    record.owed_goodbye = false;
                    record.hello = None;
                });
            }
            Message::Abort { .. } => {
                self.end_session(peer);
                self.peer_mut(peer, |record| record.over = true);
            }
            Message::Subscribed { request, subscription } => self.subscribed(peer, *request, *subscription),
            Message::Registered { request, registration } => self.registered(peer, *request, *registration),
            Message::Unsubscribed { request: Some(request), .. } => self.unsubscribed(peer, *request),
            Message::Unregistered { request: Some(request), .. } => self.unregistered(peer, *request),
            Message::Published { request, publication } => self.published(peer, *request, *publication),
            Message::Event { payload, publication, .. } => {
                let number = Tag::read(payload).map(|tag| tag.number);
                self.note_publication(number, *publication);
            }
            Message::Invocation { request, registration, details, payload } => {
                let number = Tag::read(payload).map(|tag| tag.number);
                self.invoked(peer, *request, *registration, details.timeout_ms, number);
                self.questioned(peer, *request, *registration, payload);
                self.asked_who(peer, *request, *registration, payload);
            }
            Message::Interrupt { request, options } => self.interrupted(peer, *request, options.mode),
            Message::Result { request, details, .. } if details.progress => self.progressed(peer, *request),
            Message::Result { request, payload, .. } => self.call_ended(peer, *request, Ok(payload)),
            Message::Error { request_type: MessageType::Call, request, error, .. } => {
                self.call_ended(peer, *request, Err(error));
            }
            Message::Error { request_type, request, error, .. } => {
                self.refused(peer, *request_type, *request, error);
            }
            _ => self.revoked(peer, message),
        }
    }

    /// The publication has its id, whoever could not take the EVENT; nothing else was lost silently.
    pub(super) fn dropped(&mut self, _peer: Peer, message: &Message<'static>) {
        if let Message::Invocation { payload, .. } = message
            && let Some(call) = Tag::read(payload).and_then(|tag| self.call_mut(tag.number))
        {
            call.not_taken = true;
        }
        if let Message::Event { payload, publication, .. } = message {
            let number = Tag::read(payload).map(|tag| tag.number);
            self.note_publication(number, *publication);
        }
    }

    fn welcome(&mut self, peer: Peer, id: SessionId, details: &WelcomeDetails<'_>) {
        let realm = details.realm.as_deref().and_then(|name| self.realm_index(name));
        let role = details.authrole.as_deref().and_then(|name| self.role_index(name));
        let index = self.sessions.len();
        let Some(record) = self.peers.get_mut(peer.index()).and_then(Option::as_mut) else { return };
        let hello = record.hello.take();
        record.ticket = None;
        let resumed = self.resumed(peer, id, details, hello.as_ref());
        let Some(record) = self.peers.get_mut(peer.index()).and_then(Option::as_mut) else { return };
        record.session = Some(resumed.unwrap_or(index));
        if resumed.is_some() {
            return;
        }
        self.sessions.push(Session {
            peer,
            shard: record.shard,
            realm: realm.unwrap_or_default(),
            role: role.unwrap_or_default(),
            authid: details.authid.as_ref().map(ToString::to_string).unwrap_or_default(),
            id,
            honest: record.honest,
            client: hello.map(|hello| hello.roles).unwrap_or_default(),
            router: details.roles,
            live: true,
            subscriptions: Vec::new(),
            registrations: Vec::new(),
            requests: Vec::new(),
            invocations: Vec::new(),
            invocations_count: 0,
            call_last: 0,
            traffic: 1,
            resumption: Resumption {
                token: details.resume_token.as_ref().filter(|_| details.resumable).map(ToString::to_string),
                ..Resumption::default()
            },
            nkey: None,
            since: self.tick,
            until: None,
            silenced: false,
            testaments: Vec::new(),
            revocations: Vec::new(),
        });
        self.live.push(index);
    }

    fn subscribed(&mut self, peer: Peer, request: RequestId, id: SubscriptionId) {
        let instance = self.next_order();
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let session = &mut self.sessions[index];
        let Some(pending) = session.take_pending(MessageType::Subscribe, request) else { return };
        let PendingKind::Subscribe(key) = pending.kind else { return };
        if session.subscription(id).is_none() {
            let held = Subscription { id, key: key.clone(), instance, leaving: false, revoking: false };
            session.subscriptions.push(held);
            self.hold(Kind::Subscription, index, id.get(), key);
        }
    }

    fn registered(&mut self, peer: Peer, request: RequestId, id: RegistrationId) {
        let instance = self.next_order();
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let session = &mut self.sessions[index];
        let Some(pending) = session.take_pending(MessageType::Register, request) else { return };
        let PendingKind::Register(mut registration) = pending.kind else { return };
        if session.registration(id).is_none() {
            registration.id = id;
            registration.instance = instance;
            let key = registration.key.clone();
            if key.uri == AUTHORIZER {
                let realm = self.sessions[index].realm;
                self.void_decisions(realm, pending.order, true);
            }
            let session = &mut self.sessions[index];
            session.registrations.push(registration);
            self.hold(Kind::Registration, index, id.get(), key);
        }
    }

    fn unsubscribed(&mut self, peer: Peer, request: RequestId) {
        let Some(session) = self.session_mut(peer) else { return };
        let Some(pending) = session.take_pending(MessageType::Unsubscribe, request) else { return };
        let PendingKind::Unsubscribe(id) = pending.kind else { return };
        session.subscriptions.retain(|held| held.id != id);
    }

    fn unregistered(&mut self, peer: Peer, request: RequestId) {
        let Some(session) = self.session_mut(peer) else { return };
        let Some(pending) = session.take_pending(MessageType::Unregister, request) else { return };
        let PendingKind::Unregister(id) = pending.kind else { return };
        session.registrations.retain(|held| held.id != id);
    }

    fn revoked(&mut self, peer: Peer, message: &Message<'_>) {
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let ended = match message {
            Message::Unsubscribed { request: None, revocation: Some(revocation) } => {
                revocation.id.map(|id| (Kind::Subscription, id.get()))
            }
            Message::Unregistered { request: None, revocation: Some(revocation) } => {
                revocation.id.map(|id| (Kind::Registration, id.get()))
            }
            _ => return,
        };
        self.let_go(index, ended);
        let session = &mut self.sessions[index];
        match message {
            Message::Unsubscribed { request: None, revocation: Some(revocation) } => {
                session.subscriptions.retain(|held| Some(held.id) != revocation.id);
            }
            Message::Unregistered { request: None, revocation: Some(revocation) } => {
                let realm = session.realm;
                let revoked = session.registrations.iter().position(|held| Some(held.id) == revocation.id);
                if let Some(held) = revoked.map(|index| session.registrations.swap_remove(index)) {
                    if held.key.uri == AUTHORIZER {
                        self.authorizer_departs(realm);
                    }
                    self.depart(realm, held.key, held.forced);
                }
            }
            _ => {}
        }
    }

    fn published(&mut self, peer: Peer, request: RequestId, id: PublicationId) {
        let Some(session) = self.session_mut(peer) else { return };
        let Some(pending) = session.take_pending(MessageType::Publish, request) else { return };
        let PendingKind::Publish(number) = pending.kind else { return };
        self.note_publication(Some(number), id);
    }

    fn refused(&mut self, peer: Peer, kind: MessageType, request: RequestId, error: &str) {
        let Some(session) = self.session_mut(peer) else { return };
        let realm = session.realm;
        let Some(pending) = session.take_pending(kind, request) else { return };
        if let (Some(wanted), well_known::UNREGISTERED) = (pending.registration(), error) {
            self.depart(realm, wanted.key.clone(), wanted.forced);
        }
    }

    fn note_publication(&mut self, number: Option<usize>, id: PublicationId) {
        let publication =
            number.and_then(|number| self.publications.get_mut(number)).and_then(Option::as_mut);
        if let Some(publication) = publication {
            publication.id.get_or_insert(id);
        }
    }

    /// GOODBYE because of an order to end all sessions.
    fn note_silence(&mut self, peer: Peer, reason: &str) {
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return };
        let session = &self.sessions[index];
        let silences = |kill: &Kill| kill.victims == Victims::All && kill.reason == reason;
        let silenced = self.kills.iter().any(|kill| silences(kill) && self.is_victim(kill, session));
        self.sessions[index].silenced = silenced;
    }

    fn call_ended(&mut self, peer: Peer, request: RequestId, answer: Result<&Payload<'_>, &str>) {
        let Some(session) = self.session_mut(peer) else { return };
        let Some(pending) = session.take_pending(MessageType::Call, request) else { return };
        match pending.kind {
            PendingKind::Meta(number) => self.meta_answered(number, answer),
            PendingKind::Call(number) => {
                if let Some(call) = self.call_mut(number) {
                    call.done = true;
                }
            }
            _ => {}
        }
    }
}
