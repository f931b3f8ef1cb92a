//! What messages of clients change.

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, Message, MessageType, PublishExtra, PublishOptions, RegisterOptions, Text,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, well_known};

use super::{
    Call, Expected, Hello, Key, Model, Pending, PendingKind, Publication, Registration, SessionIndex,
};
use crate::observation::Peer;
use crate::realm::Action;
use crate::tag::Tag;

impl Model {
    pub(super) fn handled(&mut self, peer: Peer, message: &Message<'static>) {
        match message {
            Message::Hello { realm, details } => {
                let realm = realm.as_ref().map(ToString::to_string);
                let authid = details.authid.as_ref().map(ToString::to_string);
                self.peer_mut(peer, |record| {
                    if record.session.is_none() {
                        record.hello = Some(Hello { realm, authid });
                    }
                });
            }
            Message::Authenticate { signature, .. } => {
                let ticket = signature.to_string();
                self.peer_mut(peer, |record| record.ticket = Some(ticket));
            }
            Message::Goodbye { .. } => {
                self.peer_mut(peer, |record| record.owed_goodbye = record.session.is_some());
                self.end_session(peer);
            }
            Message::Abort { .. } => self.end_session(peer),
            _ => {
                if let Some(index) = self.peer(peer).and_then(|record| record.session) {
                    self.handled_in_session(index, message);
                }
            }
        }
    }

    fn handled_in_session(&mut self, index: SessionIndex, message: &Message<'static>) {
        match message {
            Message::Subscribe { request, options, topic } => {
                let key = Key { uri: topic.to_string(), policy: options.match_policy };
                let expected = self.expected(&self.sessions[index], Action::Subscribe, &key);
                self.wait(index, *request, PendingKind::Subscribe(key), expected);
            }
            Message::Unsubscribe { request, subscription } => {
                self.unsubscribe(index, *request, *subscription)
            }
            Message::Register { request, options, procedure } => {
                self.register(index, *request, options, procedure);
            }
            Message::Unregister { request, registration } => self.unregister(index, *request, *registration),
            Message::Publish { request, options, topic, payload } => {
                self.publish(index, *request, options, topic, payload);
            }
            Message::Call { request, options, procedure, payload } => {
                self.call_begins(index, *request, options, procedure, payload);
            }
            Message::Cancel { request, .. } => self.cancel(index, *request),
            Message::Yield { request, options, .. } => self.answer(index, *request, options.progress),
            Message::Error { request_type: MessageType::Invocation, request, .. } => {
                self.answer(index, *request, false);
            }
            _ => {}
        }
    }

    fn wait(&mut self, index: SessionIndex, request: RequestId, kind: PendingKind, expected: Expected) {
        self.sessions[index].requests.push(Pending { request, kind, expected });
    }

    fn unsubscribe(&mut self, index: SessionIndex, request: RequestId, id: SubscriptionId) {
        let held = self.sessions[index].subscriptions.iter_mut().find(|held| held.id == id && !held.leaving);
        let expected = match held {
            Some(held) => {
                held.leaving = true;
                Expected::Success
            }
            None => Expected::Error(well_known::NO_SUCH_SUBSCRIPTION),
        };
        self.wait(index, request, PendingKind::Unsubscribe(id), expected);
    }

    fn unregister(&mut self, index: SessionIndex, request: RequestId, id: RegistrationId) {
        let held = self.sessions[index].registrations.iter_mut().find(|held| held.id == id && !held.leaving);
        let ended = held.map(|held| {
            held.leaving = true;
            (held.key.clone(), held.forced)
        });
        let expected = match ended {
            Some((key, forced)) => {
                self.depart(self.sessions[index].realm, key, forced);
                Expected::Success
            }
            None => Expected::Error(well_known::NO_SUCH_REGISTRATION),
        };
        self.wait(index, request, PendingKind::Unregister(id), expected);
    }

    fn register(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        options: &RegisterOptions<'_>,
        procedure: &Text<'_>,
    ) {
        let key = Key { uri: procedure.to_string(), policy: options.match_policy };
        let expected = self.expected(&self.sessions[index], Action::Register, &key);
        let limited = (self.sessions[index].realm, key.clone());
        if options.concurrency.is_some() && !self.limited.contains(&limited) {
            self.limited.push(limited);
        }
        let registration = Registration {
            id: RegistrationId::from_random(0),
            key,
            invoke: options.invoke,
            disclose_caller: options.disclose_caller,
            concurrency: options.concurrency,
            forced: options.force_reregister,
            instance: 0,
            leaving: false,
        };
        self.wait(index, request, PendingKind::Register(registration), expected);
    }

    fn publish(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        options: &PublishOptions<'static>,
        topic: &Text<'_>,
        payload: &Payload<'_>,
    ) {
        let Some(tag) = Tag::read(payload) else { return };
        let session = &self.sessions[index];
        let key = Key { uri: topic.to_string(), policy: Match::Exact };
        let expected = self.expected(session, Action::Publish, &key);
        let disclosed = options.disclose_me || self.forced_disclosure(session, Action::Publish, &key.uri);
        let mut publication = Publication {
            publisher: index,
            order: self.next_order(),
            topic: key.uri,
            expected,
            exclude_me: options.exclude_me,
            disclosed,
            extra: options.extra.as_ref().map(|extra| Box::new(PublishExtra::clone(extra))),
            owed: Vec::new(),
            id: None,
            size: payload.octets.len(),
        };
        publication.owed = self.owed(&publication);
        put(&mut self.publications, tag.number, publication);
        if options.acknowledge {
            self.wait(index, request, PendingKind::Publish(tag.number), expected);
        }
    }

    fn call_begins(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        options: &CallOptions<'_>,
        procedure: &Text<'_>,
        payload: &Payload<'_>,
    ) {
        let Some(tag) = Tag::read(payload) else { return };
        let session = &self.sessions[index];
        let key = Key { uri: procedure.to_string(), policy: Match::Exact };
        let expected = self.expected(session, Action::Call, &key);
        let disclosed = options.disclose_me || self.forced_disclosure(session, Action::Call, &key.uri);
        let call = Call {
            caller: index,
            tick: self.tick,
            order: self.next_order(),
            candidates: self.candidates(index, &key.uri),
            procedure: key.uri,
            receive_progress: options.receive_progress,
            disclosed,
            invoked: None,
            cancelled: false,
            returned: false,
            answered: false,
            callee_left: false,
            done: false,
            parts_given: 0,
            size: payload.octets.len(),
        };
        put(&mut self.calls, tag.number, call);
        self.wait(index, request, PendingKind::Call(tag.number), expected);
    }

    /// The best registrations that match, of all that every shard knows.
    fn candidates(&self, caller: SessionIndex, procedure: &str) -> Vec<(SessionIndex, u64)> {
        let realm = self.sessions[caller].realm;
        let mut best = None;
        let mut candidates = Vec::new();
        for (index, session) in self.live.iter().map(|index| (*index, &self.sessions[*index])) {
            for held in session.registrations.iter().filter(|held| !held.leaving) {
                if session.realm != realm || !held.key.matches(procedure) {
                    continue;
                }
                let precedence = Some(held.key.precedence());
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
        if self.in_transit(realm).any(displaces) {
            candidates.clear();
        }
        candidates
    }

    fn cancel(&mut self, index: SessionIndex, request: RequestId) {
        let numbers = self.sessions[index].requests.iter().filter(|pending| pending.request == request);
        let mut number = None;
        for pending in numbers {
            if let PendingKind::Call(call) = pending.kind {
                number = Some(call);
            }
        }
        if let Some(call) = number.and_then(|number| self.call_mut(number)) {
            call.cancelled = true;
        }
    }

    fn answer(&mut self, index: SessionIndex, request: RequestId, progress: bool) {
        let open = &mut self.sessions[index].invocations;
        let Some(position) = open.iter().position(|(id, _)| *id == request.get()) else { return };
        let call = open[position].1;
        if !progress {
            open.swap_remove(position);
        }
        let Some(call) = self.call_mut(call) else { return };
        if progress {
            call.parts_given += 1;
        } else {
            call.answered = true;
        }
    }
}

/// Stores under a number that may be beyond the end.
fn put<T>(table: &mut Vec<Option<T>>, number: usize, entry: T) {
    if table.len() <= number {
        table.resize_with(number + 1, || None);
    }
    table[number] = Some(entry);
}
