//! The state machine of a client session.

use crossring_codec::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, CloseDetails, ErrorDetails, HelloDetails, InterruptOptions,
    InvocationDetails, Message, MessageType, PublishOptions, RegisterOptions, ResultDetails, Revocation,
    SubscribeOptions, Text, WelcomeDetails, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use super::event::{ClientEvent, ClientRefusal, ClientViolation};
use super::pending::{Held, Invocation, RequestKind, Requests, Standing, Table};

/// Where a client session stands.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum ClientState {
    /// No session: HELLO may be sent, if the transport is fresh or both sides said GOODBYE.
    #[default]
    Closed,
    /// HELLO or AUTHENTICATE is sent.
    Joining,
    /// CHALLENGE has come.
    Challenged,
    /// WELCOME has come.
    Joined,
    /// GOODBYE is sent.
    Leaving,
}

impl ClientState {
    /// The state as a word of a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientState::Closed => "closed",
            ClientState::Joining => "joining",
            ClientState::Challenged => "challenged",
            ClientState::Joined => "joined",
            ClientState::Leaving => "leaving",
        }
    }
}

/// A request to send, and the id under which its answer will come.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// The id.
    pub id: RequestId,
    /// The message.
    pub message: Message<'a>,
}

/// One WAMP session seen from the client; after it has ended, the next one on the same transport or another.
#[derive(Debug)]
pub struct ClientSession {
    state: ClientState,
    session: Option<SessionId>,
    requests: Requests,
    subscriptions: Held<SubscriptionId>,
    registrations: Held<RegistrationId>,
    invocations: Table<RequestId, Invocation>,
}

impl Default for ClientSession {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientSession {
    /// A session that has not begun.
    pub fn new() -> Self {
        Self {
            state: ClientState::Closed,
            session: None,
            requests: Requests::new(),
            subscriptions: Held::new(),
            registrations: Held::new(),
            invocations: Table::default(),
        }
    }

    /// Where the session stands.
    pub const fn state(&self) -> ClientState {
        self.state
    }

    /// The id of the session, from WELCOME to its end.
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// How many requests wait for their answer.
    pub fn pending(&self) -> usize {
        self.requests.len()
    }

    /// How many invocations wait for ours.
    pub fn invocations(&self) -> usize {
        self.invocations.values().filter(|invocation| !invocation.answered).count()
    }

    /// Subscriptions held and not being given up, in no order.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionId> {
        self.subscriptions.wanted()
    }

    /// Registrations held and not being given up, in no order.
    pub fn registrations(&self) -> impl Iterator<Item = RegistrationId> {
        self.registrations.wanted()
    }

    /// HELLO. A realm of `None` leaves the choice to the router.
    pub fn hello<'a>(
        &mut self,
        realm: Option<Text<'a>>,
        details: HelloDetails<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.require(ClientState::Closed)?;
        self.state = ClientState::Joining;
        Ok(Message::Hello { realm, details: Box::new(details) })
    }

    /// AUTHENTICATE, as answer to [`ClientEvent::Challenged`].
    pub fn authenticate<'a>(
        &mut self,
        signature: impl Into<Text<'a>>,
        extra: Dict,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.require(ClientState::Challenged)?;
        self.state = ClientState::Joining;
        Ok(Message::Authenticate { signature: signature.into(), extra })
    }

    /// GOODBYE. The session ends with the answer of the router, or with the transport.
    pub fn goodbye<'a>(&mut self, reason: impl Into<Text<'a>>) -> Result<Message<'a>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        self.state = ClientState::Leaving;
        Ok(Message::Goodbye { details: CloseDetails::default(), reason: reason.into() })
    }

    /// ABORT of a session that is being joined.
    pub fn abort<'a>(&mut self, reason: impl Into<Text<'a>>) -> Result<Message<'a>, ClientRefusal> {
        match self.state {
            ClientState::Joining | ClientState::Challenged => {
                self.forget();
                Ok(Message::Abort { details: CloseDetails::default(), reason: reason.into() })
            }
            state => Err(ClientRefusal::State(state)),
        }
    }

    /// SUBSCRIBE. Answer: [`ClientEvent::Subscribed`] or [`ClientEvent::Error`].
    pub fn subscribe<'a>(
        &mut self,
        topic: impl Into<Text<'a>>,
        options: SubscribeOptions<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        let id = self.request(RequestKind::Subscribe)?;
        Ok(Request { id, message: Message::Subscribe { request: id, options, topic: topic.into() } })
    }

    /// UNSUBSCRIBE. Answer: [`ClientEvent::Unsubscribed`] or [`ClientEvent::Error`]. Events are ignored from now on.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) -> Result<Request<'static>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        if self.subscriptions.standing(subscription) != Some(Standing::Wanted) {
            return Err(ClientRefusal::NotSubscribed(subscription));
        }
        let id = self.request(RequestKind::Unsubscribe(subscription))?;
        self.subscriptions.leave(subscription);
        Ok(Request { id, message: Message::Unsubscribe { request: id, subscription } })
    }

    /// PUBLISH. Answer, only with `options.acknowledge`: [`ClientEvent::Published`] or [`ClientEvent::Error`].
    pub fn publish<'a>(
        &mut self,
        topic: impl Into<Text<'a>>,
        options: PublishOptions<'a>,
        payload: Payload<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        let id = if options.acknowledge {
            self.request(RequestKind::Publish)?
        } else {
            self.require(ClientState::Joined)?;
            self.requests.take()
        };
        Ok(Request { id, message: Message::Publish { request: id, options, topic: topic.into(), payload } })
    }

    /// REGISTER. Answer: [`ClientEvent::Registered`] or [`ClientEvent::Error`].
    pub fn register<'a>(
        &mut self,
        procedure: impl Into<Text<'a>>,
        options: RegisterOptions<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        let id = self.request(RequestKind::Register)?;
        Ok(Request { id, message: Message::Register { request: id, options, procedure: procedure.into() } })
    }

    /// UNREGISTER. Answer: [`ClientEvent::Unregistered`] or [`ClientEvent::Error`]. Running invocations stay to be answered.
    pub fn unregister(&mut self, registration: RegistrationId) -> Result<Request<'static>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        if self.registrations.standing(registration) != Some(Standing::Wanted) {
            return Err(ClientRefusal::NotRegistered(registration));
        }
        let id = self.request(RequestKind::Unregister(registration))?;
        self.registrations.leave(registration);
        Ok(Request { id, message: Message::Unregister { request: id, registration } })
    }

    /// CALL. Answer: any number of progressive [`ClientEvent::Result`]s, if asked for, then a final one or
    /// [`ClientEvent::Error`].
    pub fn call<'a>(
        &mut self,
        procedure: impl Into<Text<'a>>,
        options: CallOptions<'a>,
        payload: Payload<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        let id = self.request(RequestKind::Call { cancelled: false, more: options.progress })?;
        Ok(Request {
            id,
            message: Message::Call { request: id, options, procedure: procedure.into(), payload },
        })
    }

    /// A further CALL of a progressive invocation, the last one unless `progress` is set. Refused once the call is answered.
    pub fn call_more<'a>(
        &mut self,
        request: RequestId,
        procedure: impl Into<Text<'a>>,
        progress: bool,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        let Some(RequestKind::Call { cancelled: false, more: true }) = self.requests.get(request) else {
            return Err(ClientRefusal::NotOutstanding(request));
        };
        self.requests.insert(request, RequestKind::Call { cancelled: false, more: progress });
        let options = CallOptions { progress, ..CallOptions::default() };
        Ok(Message::Call { request, options, procedure: procedure.into(), payload })
    }

    /// CANCEL of an outstanding call, once. Its answer comes as for any call.
    pub fn cancel(
        &mut self,
        request: RequestId,
        mode: CancelMode,
    ) -> Result<Message<'static>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        let Some(RequestKind::Call { cancelled: false, more }) = self.requests.get(request) else {
            return Err(ClientRefusal::NotOutstanding(request));
        };
        self.requests.insert(request, RequestKind::Call { cancelled: true, more });
        Ok(Message::Cancel { request, options: CancelOptions { mode, forward_for: None } })
    }

    /// YIELD: a result of an invocation, the final one unless `options.progress` is set.
    pub fn yield_result<'a>(
        &mut self,
        request: RequestId,
        options: YieldOptions<'a>,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        let invocation = self.running(request)?;
        if !options.progress {
            self.answered(request);
        } else if !invocation.receive_progress {
            return Err(ClientRefusal::ProgressNotWanted(request));
        }
        Ok(Message::Yield { request, options, payload })
    }

    /// ERROR: an invocation has failed.
    pub fn yield_error<'a>(
        &mut self,
        request: RequestId,
        error: impl Into<Text<'a>>,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.running(request)?;
        self.answered(request);
        let (request_type, details) = (MessageType::Invocation, ErrorDetails::default());
        Ok(Message::Error { request_type, request, details, error: error.into(), payload })
    }

    /// The transport is gone: the session is over. Returns the requests that will not be answered, oldest first.
    pub fn transport_lost(&mut self) -> Vec<(RequestId, RequestKind)> {
        self.forget()
    }

    /// Takes a message of the router. After a violation the session is over.
    pub fn receive<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientViolation> {
        let event = match self.state {
            ClientState::Joined => self.receive_joined(message),
            ClientState::Joining => self.receive_joining(message),
            ClientState::Leaving => self.receive_leaving(message),
            ClientState::Closed | ClientState::Challenged => self.receive_waiting(message),
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
                self.settle(request, MessageType::Published, RequestKind::Publish)?;
                Ok(ClientEvent::Published { request, publication })
            }
            Message::Subscribed { request, subscription } => {
                self.settle(request, MessageType::Subscribed, RequestKind::Subscribe)?;
                self.subscriptions.want(subscription);
                Ok(ClientEvent::Subscribed { request, subscription })
            }
            Message::Registered { request, registration } => {
                self.settle(request, MessageType::Registered, RequestKind::Register)?;
                self.registrations.want(registration);
                Ok(ClientEvent::Registered { request, registration })
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
        self.state = ClientState::Joined;
        self.session = Some(session);
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
            None if self.requests.was_cancelled(request) => return Ok(ClientEvent::Ignored),
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
            Some(running) if !running.more => Err(ClientViolation::InvocationRunning { request }),
            Some(running) if running.answered => {
                if !more {
                    self.invocations.remove(&request);
                }
                Ok(ClientEvent::Ignored)
            }
            Some(running) => {
                running.more = more;
                event(details)
            }
            None if self.registrations.standing(registration).is_some() => {
                let receive_progress = details.receive_progress;
                self.invocations.insert(request, Invocation { receive_progress, more, answered: false });
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
            self.answered(request);
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
                return Err(ClientViolation::UnknownRequest { message: MessageType::Unsubscribed, request });
            };
            self.requests.settle(request);
            self.subscriptions.end(subscription);
            return Ok(ClientEvent::Unsubscribed { request, subscription });
        }
        let (id, reason) = revocation.map_or((None, None), |revoked| (revoked.id, revoked.reason));
        let unknown = ClientViolation::UnknownSubscription { subscription: id };
        let subscription = id.ok_or(unknown)?;
        self.subscriptions.standing(subscription).ok_or(unknown)?;
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
                return Err(ClientViolation::UnknownRequest { message: MessageType::Unregistered, request });
            };
            self.requests.settle(request);
            self.registrations.end(registration);
            return Ok(ClientEvent::Unregistered { request, registration });
        }
        let (id, reason) = revocation.map_or((None, None), |revoked| (revoked.id, revoked.reason));
        let unknown = ClientViolation::UnknownRegistration { registration: id };
        let registration = id.ok_or(unknown)?;
        self.registrations.standing(registration).ok_or(unknown)?;
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
            None if kind == MessageType::Call && self.requests.was_cancelled(request) => Ok(false),
            _ => Err(ClientViolation::UnknownRequest { message: MessageType::Error, request }),
        }
    }

    /// Settles a request that succeeded.
    fn settle(
        &mut self,
        request: RequestId,
        message: MessageType,
        kind: RequestKind,
    ) -> Result<(), ClientViolation> {
        if self.requests.get(request) != Some(kind) {
            return Err(ClientViolation::UnknownRequest { message, request });
        }
        self.requests.settle(request);
        Ok(())
    }

    fn require(&self, state: ClientState) -> Result<(), ClientRefusal> {
        if self.state == state { Ok(()) } else { Err(ClientRefusal::State(self.state)) }
    }

    fn request(&mut self, kind: RequestKind) -> Result<RequestId, ClientRefusal> {
        self.require(ClientState::Joined)?;
        if self.requests.is_full() {
            return Err(ClientRefusal::TooManyRequests);
        }
        let request = self.requests.take();
        self.requests.insert(request, kind);
        Ok(request)
    }

    fn running(&self, request: RequestId) -> Result<Invocation, ClientRefusal> {
        self.require(ClientState::Joined)?;
        let running = self.invocations.get(&request).filter(|invocation| !invocation.answered);
        running.copied().ok_or(ClientRefusal::NotOutstanding(request))
    }

    /// Nothing more is owed for the invocation; one that is to be continued stays on the books to be ignored.
    fn answered(&mut self, request: RequestId) {
        match self.invocations.get_mut(&request) {
            Some(invocation) if invocation.more => invocation.answered = true,
            _ => _ = self.invocations.remove(&request),
        }
    }

    fn unexpected(&self, message: &Message<'_>) -> ClientViolation {
        ClientViolation::Unexpected { state: self.state, message: message.message_type() }
    }

    fn forget(&mut self) -> Vec<(RequestId, RequestKind)> {
        self.state = ClientState::Closed;
        self.session = None;
        self.subscriptions.clear();
        self.registrations.clear();
        self.invocations.clear();
        self.requests.drain()
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
