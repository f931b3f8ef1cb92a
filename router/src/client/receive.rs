//! What comes in: each message of the router is an event, or a violation.

use crossring_codec::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CancelMode, CloseDetails, InterruptOptions, InvocationDetails, Message, MessageType, ResultDetails,
    Revocation, Text, WelcomeDetails,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;

use super::event::{ClientEvent, ClientViolation};
use super::pending::{Invocation, RequestKind, Standing};
use super::session::{ClientSession, ClientState};

impl ClientSession {
    /// Takes a message of the router. After a violation the session is over.
    pub fn receive<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        let event = match self.state {
            ClientState::Joined => self.receive_joined(message),
            ClientState::Joining => self.receive_joining(message),
            ClientState::Leaving => self.receive_leaving(message),
            ClientState::Closed | ClientState::Challenged | ClientState::Suspended => {
                self.receive_waiting(message)
            }
        };
        if event.is_err() {
            self.forget();
        }
        event
    }

    fn receive_joined<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        match message {
            Message::Event { subscription, publication, details, payload } => {
                self.event(subscription, ClientEvent::Event { subscription, publication, details, payload })
            }
            Message::Result { request, details, payload } => self.result(request, details, payload),
            Message::Invocation { request, registration, details, payload } => {
                self.invocation(request, registration, details, payload)
            }
            Message::Interrupt { request, options } => Ok(self.interrupt(request, options)),
            Message::Error { request_type, request, details, error, payload } => {
                let awaited = self.failed(request_type, request)?;
                let event = ClientEvent::Error { kind: request_type, request, details, error, payload };
                Ok(if awaited { event } else { ClientEvent::Ignored })
            }
            Message::Published { request, publication } => {
                let event = ClientEvent::Published { request, publication };
                self.settle(request, MessageType::Published, RequestKind::Publish, event)
            }
            Message::Subscribed { request, subscription } => {
                let event = ClientEvent::Subscribed { request, subscription };
                let event = self.settle(request, MessageType::Subscribed, RequestKind::Subscribe, event)?;
                if !matches!(event, ClientEvent::Ignored) {
                    self.subscriptions.want(subscription);
                }
                Ok(event)
            }
            Message::Registered { request, registration } => {
                let event = ClientEvent::Registered { request, registration };
                let event = self.settle(request, MessageType::Registered, RequestKind::Register, event)?;
                if !matches!(event, ClientEvent::Ignored) {
                    self.registrations.want(registration);
                }
                Ok(event)
            }
            Message::Unsubscribed { request, revocation } => self.unsubscribed(request, revocation),
            Message::Unregistered { request, revocation } => self.unregistered(request, revocation),
            Message::Goodbye { details, reason } => {
                let reply = goodbye_and_out();
                self.forget();
                Ok(ClientEvent::Goodbye { reason, message: details.message, reply: Some(reply) })
            }
            Message::Abort { details, reason } => Ok(self.aborted(details, reason)),
            other => Err(self.unexpected(&other)),
        }
    }

    fn receive_joining<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        match message {
            Message::Welcome { session, details } => Ok(self.welcome(session, details)),
            Message::Challenge { method, extra } => {
                self.state = ClientState::Challenged;
                Ok(ClientEvent::Challenged { method, extra })
            }
            Message::Abort { details, reason } => Ok(self.aborted(details, reason)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Between our GOODBYE and the router's, whatever a joined session may receive is on its way.
    fn receive_leaving<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        match message {
            Message::Goodbye { details, reason } => {
                self.forget();
                Ok(ClientEvent::Goodbye { reason, message: details.message, reply: None })
            }
            Message::Abort { details, reason } => Ok(self.aborted(details, reason)),
            Message::Welcome { .. } | Message::Challenge { .. } => Err(self.unexpected(&message)),
            other if is_sent_by_routers(other.message_type()) => Ok(ClientEvent::Ignored),
            other => Err(self.unexpected(&other)),
        }
    }

    /// No session, or our AUTHENTICATE is due: only ABORT makes sense.
    fn receive_waiting<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        match message {
            Message::Abort { details, reason } => Ok(self.aborted(details, reason)),
            other => Err(self.unexpected(&other)),
        }
    }

    fn welcome<'a>(&mut self, session: SessionId, details: Box<WelcomeDetails<'a>>) -> ClientEvent<'a> {
        self.begin(session, &details);
        ClientEvent::Welcome { session, details }
    }

    fn aborted<'a>(&mut self, details: CloseDetails<'a>, reason: Text<'a>) -> ClientEvent<'a> {
        self.forget();
        ClientEvent::Aborted { reason, message: details.message }
    }

    fn event<'a>(
        &self,
        subscription: SubscriptionId,
        event: ClientEvent<'a>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        match self.subscriptions.standing(subscription) {
            Some(Standing::Wanted) => Ok(event),
            Some(Standing::Leaving | Standing::Past) => Ok(ClientEvent::Ignored),
            None if self.resumption.is_resumed => Ok(ClientEvent::Ignored),
            None => Err(ClientViolation::UnknownSubscription { subscription: Some(subscription) }),
        }
    }

    fn result<'a>(
        &mut self,
        request: RequestId,
        details: ResultDetails<'a>,
        payload: Payload<'a>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        match self.requests.get(request) {
            Some(RequestKind::Call { .. }) if details.progress => {}
            Some(RequestKind::Call { .. }) => self.requests.settle(request),
            None if self.comes_late(request) => return Ok(ClientEvent::Ignored),
            _ => return Err(ClientViolation::UnknownRequest { message: MessageType::Result, request }),
        }
        Ok(ClientEvent::Result { request, details, payload })
    }

    fn invocation<'a>(
        &mut self,
        request: RequestId,
        registration: RegistrationId,
        details: InvocationDetails<'a>,
        payload: Payload<'a>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        let event = |details| Ok(ClientEvent::Invocation { request, registration, details, payload });
        let more = details.progress;
        match self.invocations.get_mut(&request) {
            Some(running) if !running.more && self.resumption.is_resumed => Ok(ClientEvent::Ignored),
            Some(running) if !running.more => Err(ClientViolation::InvocationRunning { request }),
            Some(running) => {
                running.more = more;
                event(details)
            }
            None if self.invocation_highest >= Some(request) => Ok(ClientEvent::Ignored),
            None if self.resumption.is_resumed || self.registrations.standing(registration).is_some() => {
                let receive_progress = details.receive_progress;
                self.invocation_highest = Some(request);
                self.invocations.insert(request, Invocation { receive_progress, more });
                event(details)
            }
            None => Err(ClientViolation::UnknownRegistration { registration: Some(registration) }),
        }
    }

    fn interrupt<'a>(&mut self, request: RequestId, options: InterruptOptions<'a>) -> ClientEvent<'a> {
        if self.running(request).is_err() {
            return ClientEvent::Ignored;
        }
        if options.mode != CancelMode::Kill {
            self.invocations.remove(&request);
        }
        ClientEvent::Interrupt { request, mode: options.mode, reason: options.reason }
    }

    fn unsubscribed<'a>(
        &mut self,
        request: Option<RequestId>,
        revocation: Option<Box<Revocation<'a, SubscriptionId>>>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        if let Some(request) = request {
            let Some(RequestKind::Unsubscribe(subscription)) = self.requests.get(request) else {
                return self.unknown(MessageType::Unsubscribed, request);
            };
            self.requests.settle(request);
            self.subscriptions.end(subscription);
            return Ok(ClientEvent::Unsubscribed { request, subscription });
        }
        let (id, reason) = revocation.map_or((None, None), |revoked| (revoked.id, revoked.reason));
        let unknown = ClientViolation::UnknownSubscription { subscription: id };
        let subscription = id.ok_or(unknown)?;
        match self.subscriptions.standing(subscription) {
            Some(Standing::Wanted | Standing::Leaving) => {}
            Some(Standing::Past) => return Ok(ClientEvent::Ignored),
            None if self.resumption.is_resumed => return Ok(ClientEvent::Ignored),
            None => return Err(unknown),
        }
        self.subscriptions.end(subscription);
        Ok(ClientEvent::SubscriptionRevoked { subscription, reason })
    }

    fn unregistered<'a>(
        &mut self,
        request: Option<RequestId>,
        revocation: Option<Box<Revocation<'a, RegistrationId>>>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        if let Some(request) = request {
            let Some(RequestKind::Unregister(registration)) = self.requests.get(request) else {
                return self.unknown(MessageType::Unregistered, request);
            };
            self.requests.settle(request);
            self.registrations.end(registration);
            return Ok(ClientEvent::Unregistered { request, registration });
        }
        let (id, reason) = revocation.map_or((None, None), |revoked| (revoked.id, revoked.reason));
        let unknown = ClientViolation::UnknownRegistration { registration: id };
        let registration = id.ok_or(unknown)?;
        match self.registrations.standing(registration) {
            Some(Standing::Wanted | Standing::Leaving) => {}
            Some(Standing::Past) => return Ok(ClientEvent::Ignored),
            None if self.resumption.is_resumed => return Ok(ClientEvent::Ignored),
            None => return Err(unknown),
        }
        self.registrations.end(registration);
        Ok(ClientEvent::RegistrationRevoked { registration, reason })
    }

    /// Settles the request that ERROR is about. `false`: it was settled before, as a cancelled call may be.
    fn failed(&mut self, kind: MessageType, request: RequestId) -> Result<bool, ClientViolation> {
        if !is_request(kind) {
            return Err(ClientViolation::ErrorOfNoRequest { kind });
        }
        match self.requests.get(request) {
            Some(pending) if pending.message_type() == kind => {
                match pending {
                    RequestKind::Unsubscribe(subscription) => self.subscriptions.end(subscription),
                    RequestKind::Unregister(registration) => self.registrations.end(registration),
                    _ => {}
                }
                self.requests.settle(request);
                Ok(true)
            }
            None if kind == MessageType::Call && self.comes_late(request) => Ok(false),
            None if self.requests.was_lost(request) => Ok(false),
            _ => Err(ClientViolation::UnknownRequest { message: MessageType::Error, request }),
        }
    }

    /// Settles a request that succeeded.
    fn settle<'a>(
        &mut self,
        request: RequestId,
        message: MessageType,
        kind: RequestKind,
        event: ClientEvent<'a>,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        if self.requests.get(request) != Some(kind) {
            return self.unknown(message, request);
        }
        self.requests.settle(request);
        Ok(event)
    }

    /// An answer to what is not outstanding.
    #[cold]
    fn unknown<'a>(
        &self,
        message: MessageType,
        request: RequestId,
    ) -> Result<ClientEvent<'a>, ClientViolation> {
        match self.requests.get(request) {
            None if self.requests.was_lost(request) => Ok(ClientEvent::Ignored),
            _ => Err(ClientViolation::UnknownRequest { message, request }),
        }
    }

    /// Whether an answer to the call may still come that nobody waits for.
    fn comes_late(&self, request: RequestId) -> bool {
        self.requests.was_lost(request) || self.requests.was_cancelled(request)
    }

    fn unexpected(&self, message: &Message<'_>) -> ClientViolation {
        ClientViolation::Unexpected { state: self.state, message: message.message_type() }
    }
}

fn goodbye_and_out() -> Message<'static> {
    Message::Goodbye { details: CloseDetails::default(), reason: well_known::GOODBYE_AND_OUT.into() }
}

/// What a joined session may receive.
const fn is_sent_by_routers(message: MessageType) -> bool {
    matches!(
        message,
        MessageType::Event
            | MessageType::Invocation
            | MessageType::Interrupt
            | MessageType::Result
            | MessageType::Error
            | MessageType::Published
            | MessageType::Subscribed
            | MessageType::Unsubscribed
            | MessageType::Registered
            | MessageType::Unregistered
    )
}

/// What ERROR may be about when a router sends it.
const fn is_request(message: MessageType) -> bool {
    matches!(
        message,
        MessageType::Publish
            | MessageType::Subscribe
            | MessageType::Unsubscribe
            | MessageType::Call
            | MessageType::Register
            | MessageType::Unregister
    )
}
