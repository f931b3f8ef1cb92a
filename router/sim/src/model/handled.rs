//! What messages of clients change.

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::{Message, MessageType, RegisterOptions, Text};
use crossring_codec::uri::well_known;

use super::meta::is_meta_procedure;
use super::{Expected, Hello, Key, Kind, Model, Pending, PendingKind, Registration, SessionIndex};
use crate::observation::Peer;
use crate::realm::{AUTHORIZER, Action};

impl Model {
    pub(super) fn handled(&mut self, peer: Peer, message: &Message<'static>) {
        match message {
            Message::Hello { realm, details } => {
                let realm = realm.as_ref().map(ToString::to_string);
                let authid = details.authid.as_ref().map(ToString::to_string);
                details.resume_session.into_iter().for_each(|id| self.wanted(id));
                let token = details.resume_token.as_ref().map(ToString::to_string);
                let resume = details.resume_session.zip(token);
                let tick = self.tick;
                self.peer_mut(peer, |record| {
                    if record.session.is_none() {
                        record.hello = Some(Hello { realm, authid, roles: details.roles, resume, tick });
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
                if let Some(nkey) = &options.nkey {
                    self.sessions[index].nkey = Some(nkey.to_string());
                }
                self.wait(index, *request, PendingKind::Subscribe(key), expected);
                if let Some(pending) = self.sessions[index].requests.last_mut() {
                    pending.get_retained = options.get_retained;
                }
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
            Message::Call { request, procedure, payload, .. } if is_meta_procedure(procedure) => {
                self.meta_call(index, *request, procedure, payload);
            }
            Message::Call { request, options, procedure, payload } => {
                self.call_begins(index, *request, options, procedure, payload);
            }
            Message::EventReceived { .. } => self.deliveries_acknowledged += 1,
            Message::Cancel { request, options } => self.cancel(index, *request, options.mode),
            Message::Yield { request, options, payload } => {
                self.authorizer_answers(index, *request, Some(payload));
                self.authenticator_answers(index, *request, Some(payload));
                self.answer(index, *request, options.progress, None);
            }
            Message::Error { request_type: MessageType::Invocation, request, error, .. } => {
                self.authorizer_answers(index, *request, None);
                self.authenticator_answers(index, *request, None);
                self.answer(index, *request, false, Some(error));
            }
            _ => {}
        }
    }

    pub(super) fn wait(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        kind: PendingKind,
        expected: Expected,
    ) {
        self.sessions[index].requests.push(Pending {
            request,
            kind,
            expected,
            tick: self.tick,
            order: self.order,
            get_retained: false,
        });
    }

    fn unsubscribe(&mut self, index: SessionIndex, request: RequestId, id: SubscriptionId) {
        self.let_go(index, Some((Kind::Subscription, id.get())));
        let held = self.sessions[index].subscriptions.iter_mut().find(|held| held.id == id && !held.leaving);
        let expected = match held {
            Some(held) => {
                held.leaving = true;
                if held.revoking { Expected::Either } else { Expected::Success }
            }
            None => Expected::Error(well_known::NO_SUCH_SUBSCRIPTION),
        };
        self.wait(index, request, PendingKind::Unsubscribe(id), expected);
    }

    fn unregister(&mut self, index: SessionIndex, request: RequestId, id: RegistrationId) {
        self.let_go(index, Some((Kind::Registration, id.get())));
        let held = self.sessions[index].registrations.iter_mut().find(|held| held.id == id && !held.leaving);
        let ended = held.map(|held| {
            held.leaving = true;
            (held.key.clone(), held.forced, held.revoking)
        });
        let expected = match ended {
            Some((key, forced, revoking)) => {
                let realm = self.sessions[index].realm;
                if key.uri == AUTHORIZER {
                    self.authorizer_departs(realm);
                }
                self.depart(realm, key, forced);
                if revoking { Expected::Either } else { Expected::Success }
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
        if options.force_reregister && !matches!(expected, Expected::Error(_)) {
            self.evict_absent(self.sessions[index].realm, &key);
        }
        let registration = Registration {
            id: RegistrationId::from_random(0),
            key,
            invoke: options.invoke,
            disclose_caller: options.disclose_caller,
            forward_timeout: options.forward_timeout,
            concurrency: options.concurrency,
            forced: options.force_reregister,
            instance: 0,
            leaving: false,
            revoking: false,
        };
        self.wait(index, request, PendingKind::Register(registration), expected);
    }
}
