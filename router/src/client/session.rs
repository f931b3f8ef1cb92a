//! The state machine of a client session, and what it is asked for. What comes in is in [`super::receive`].

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, ClientRoles, CloseDetails, ErrorDetails, EventDetails, Feature,
    Features, HelloDetails, Message, MessageType, Passthru, PublishOptions, RegisterOptions, RouterRoles,
    SubscribeOptions, Text, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::Match;
use crossring_codec::value::Dict;

use super::check;
use super::event::ClientRefusal;
use super::pending::{Held, Invocation, RequestKind, Requests, Standing, Table};
use super::resumption::Resumption;
use super::types::ProgressHandle;

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
    /// The transport was lost, but the router keeps the session for a while.
    Suspended,
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
            ClientState::Suspended => "suspended",
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
    pub(super) state: ClientState,
    pub(super) session: Option<SessionId>,
    /// What HELLO announced.
    pub(super) roles: ClientRoles,
    /// What WELCOME announced.
    pub(super) router: RouterRoles,
    pub(super) requests: Requests,
    pub(super) subscriptions: Held<SubscriptionId>,
    pub(super) registrations: Held<RegistrationId>,
    pub(super) invocations: Table<RequestId, Invocation>,
    /// The highest id of an INVOCATION so far: they count from 1, so what comes below it again continues something.
    pub(super) invocation_highest: Option<RequestId>,
    pub(super) resumption: Resumption,
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
            roles: ClientRoles::default(),
            router: RouterRoles::default(),
            requests: Requests::new(),
            subscriptions: Held::new(),
            registrations: Held::new(),
            invocations: Table::default(),
            invocation_highest: None,
            resumption: Resumption::default(),
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

    /// What the router announced, from WELCOME to the end of the session.
    pub const fn router_roles(&self) -> RouterRoles {
        self.router
    }

    /// How many requests wait for their answer.
    pub fn pending(&self) -> usize {
        self.requests.len()
    }

    /// How many invocations wait for ours.
    pub fn invocations(&self) -> usize {
        self.invocations.len()
    }

    /// Subscriptions held and not being given up, in no order.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionId> {
        self.subscriptions.wanted()
    }

    /// Whether the subscription is held and not being given up.
    pub fn holds_subscription(&self, subscription: SubscriptionId) -> bool {
        self.subscriptions.standing(subscription) == Some(Standing::Wanted)
    }

    /// Whether the registration is held and not being given up.
    pub fn holds_registration(&self, registration: RegistrationId) -> bool {
        self.registrations.standing(registration) == Some(Standing::Wanted)
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
        self.roles = details.roles;
        Ok(Message::Hello { realm, details: Box::new(details) })
    }

    /// AUTHENTICATE, as answer to [`super::ClientEvent::Challenged`].
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

    /// SUBSCRIBE. Answer: [`super::ClientEvent::Subscribed`] or [`super::ClientEvent::Error`].
    pub fn subscribe<'a>(
        &mut self,
        topic: impl Into<Text<'a>>,
        options: SubscribeOptions<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        if options.match_policy != Match::Exact {
            self.needs_broker(Feature::PatternBasedSubscription)?;
        }
        if options.nkey.is_some() {
            self.needs_broker(Feature::ShardedSubscription)?;
        }
        let id = self.request(RequestKind::Subscribe)?;
        Ok(Request { id, message: Message::Subscribe { request: id, options, topic: topic.into() } })
    }

    /// UNSUBSCRIBE. Answer: [`super::ClientEvent::Unsubscribed`] or [`super::ClientEvent::Error`]. Events are ignored from now on.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) -> Result<Request<'static>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        if !self.holds_subscription(subscription) {
            return Err(ClientRefusal::NotSubscribed(subscription));
        }
        let id = self.request(RequestKind::Unsubscribe(subscription))?;
        self.subscriptions.leave(subscription);
        Ok(Request { id, message: Message::Unsubscribe { request: id, subscription } })
    }

    /// PUBLISH. Answer, only with `options.acknowledge`: [`super::ClientEvent::Published`] or [`super::ClientEvent::Error`].
    pub fn publish<'a>(
        &mut self,
        topic: impl Into<Text<'a>>,
        options: PublishOptions<'a>,
        payload: Payload<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        check::publish(&options, &payload)?;
        if let Some(extra) = &options.extra {
            self.needs_passthru(self.router.broker, &extra.passthru)?;
        }
        let id = if options.acknowledge {
            self.request(RequestKind::Publish)?
        } else {
            self.require(ClientState::Joined)?;
            self.requests.take()
        };
        Ok(Request { id, message: Message::Publish { request: id, options, topic: topic.into(), payload } })
    }

    /// REGISTER. Answer: [`super::ClientEvent::Registered`] or [`super::ClientEvent::Error`].
    pub fn register<'a>(
        &mut self,
        procedure: impl Into<Text<'a>>,
        options: RegisterOptions<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        check::register(&options)?;
        if options.match_policy != Match::Exact {
            self.needs_dealer(Feature::PatternBasedRegistration)?;
        }
        let id = self.request(RequestKind::Register)?;
        Ok(Request { id, message: Message::Register { request: id, options, procedure: procedure.into() } })
    }

    /// UNREGISTER. Answer: [`super::ClientEvent::Unregistered`] or [`super::ClientEvent::Error`]. Running invocations stay to be answered.
    pub fn unregister(&mut self, registration: RegistrationId) -> Result<Request<'static>, ClientRefusal> {
        self.require(ClientState::Joined)?;
        if !self.holds_registration(registration) {
            return Err(ClientRefusal::NotRegistered(registration));
        }
        let id = self.request(RequestKind::Unregister(registration))?;
        self.registrations.leave(registration);
        Ok(Request { id, message: Message::Unregister { request: id, registration } })
    }

    /// CALL. Answer: any number of progressive [`super::ClientEvent::Result`]s, if asked for, then a final one or
    /// [`super::ClientEvent::Error`]. With `options.progress` it is the first part of a progressive invocation:
    /// [`ClientSession::call_more`] sends the others.
    pub fn call<'a>(
        &mut self,
        procedure: impl Into<Text<'a>>,
        options: CallOptions<'a>,
        payload: Payload<'a>,
    ) -> Result<Request<'a>, ClientRefusal> {
        check::call(&options, &payload)?;
        if options.progress || options.extra.is_some() {
            self.needs_for_call(&options)?;
        }
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
        self.needs_dealer(Feature::CallCanceling)?;
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
        check::yielded(&options, &payload)?;
        if !options.progress {
            self.invocations.remove(&request);
        } else if !invocation.receive_progress {
            return Err(ClientRefusal::ProgressNotWanted(request));
        }
        Ok(Message::Yield { request, options, payload })
    }

    /// YIELD of a progressive result; the final one is still due.
    pub fn progress<'a>(
        &mut self,
        handle: ProgressHandle,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        let options = YieldOptions { progress: true, ..YieldOptions::default() };
        self.yield_result(handle.request(), options, payload)
    }

    /// ERROR: an invocation has failed. The answer to an interrupted one is `wamp.error.canceled`; `wamp.error.unavailable`
    /// asks the router to try another callee.
    pub fn yield_error<'a>(
        &mut self,
        request: RequestId,
        error: impl Into<Text<'a>>,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.yield_error_with(request, error, ErrorDetails::default(), payload)
    }

    /// ERROR with details: a text for people, passthru keys.
    pub fn yield_error_with<'a>(
        &mut self,
        request: RequestId,
        error: impl Into<Text<'a>>,
        details: ErrorDetails<'a>,
        payload: Payload<'a>,
    ) -> Result<Message<'a>, ClientRefusal> {
        self.running(request)?;
        check::answer(details.passthru.as_deref(), &payload)?;
        self.invocations.remove(&request);
        let request_type = MessageType::Invocation;
        Ok(Message::Error { request_type, request, details, error: error.into(), payload })
    }

    /// EVENT_RECEIVED, once the application has taken the event; nothing if the publisher does not want it, or one side has
    /// not announced acknowledged delivery.
    pub fn event_received(
        &self,
        publication: PublicationId,
        details: &EventDetails<'_>,
    ) -> Option<Message<'static>> {
        let is_wanted = details.extra.as_deref().is_some_and(|extra| extra.x_acknowledged_delivery);
        (is_wanted && self.acknowledges_events()).then_some(Message::EventReceived { publication })
    }

    fn acknowledges_events(&self) -> bool {
        let feature = Feature::AcknowledgedEventDelivery;
        self.state == ClientState::Joined
            && offers(self.roles.subscriber, feature)
            && offers(self.router.broker, feature)
    }

    /// The transport is gone: the session is over. Returns the requests that will not be answered, oldest first.
    pub fn transport_lost(&mut self) -> Vec<(RequestId, RequestKind)> {
        self.forget()
    }

    pub(super) fn require(&self, state: ClientState) -> Result<(), ClientRefusal> {
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

    pub(super) fn running(&self, request: RequestId) -> Result<Invocation, ClientRefusal> {
        self.require(ClientState::Joined)?;
        self.invocations.get(&request).copied().ok_or(ClientRefusal::NotOutstanding(request))
    }

    #[cold]
    fn needs_for_call(&self, options: &CallOptions<'_>) -> Result<(), ClientRefusal> {
        if options.progress {
            self.needs_dealer(Feature::ProgressiveCallInvocations)?;
        }
        let Some(extra) = options.extra.as_deref() else { return Ok(()) };
        if extra.runmode.as_deref() == Some("partition") {
            self.needs_dealer(Feature::ShardedRegistration)?;
        }
        self.needs_passthru(self.router.dealer, &extra.passthru)
    }

    fn needs_passthru(&self, role: Option<Features>, keys: &Passthru<'_>) -> Result<(), ClientRefusal> {
        match keys.ppt_scheme {
            Some(_) => self.needs(role, Feature::PayloadPassthruMode),
            None => Ok(()),
        }
    }

    fn needs_broker(&self, feature: Feature) -> Result<(), ClientRefusal> {
        self.needs(self.router.broker, feature)
    }

    fn needs_dealer(&self, feature: Feature) -> Result<(), ClientRefusal> {
        self.needs(self.router.dealer, feature)
    }

    /// What a router without the feature would take for something else, or for a violation, is not sent.
    fn needs(&self, role: Option<Features>, feature: Feature) -> Result<(), ClientRefusal> {
        self.require(ClientState::Joined)?;
        if offers(role, feature) { Ok(()) } else { Err(ClientRefusal::NotOffered(feature)) }
    }

    pub(super) fn forget(&mut self) -> Vec<(RequestId, RequestKind)> {
        self.state = ClientState::Closed;
        self.session = None;
        self.router = RouterRoles::default();
        self.invocation_highest = None;
        self.resumption = Resumption::default();
        self.subscriptions.clear();
        self.registrations.clear();
        self.invocations.clear();
        let lost = self.requests.drain();
        self.requests.restart();
        lost
    }
}

fn offers(role: Option<Features>, feature: Feature) -> bool {
    role.is_some_and(|features| features.contains(feature))
}
