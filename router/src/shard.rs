//! A data shard: sessions, their place in the routing tables, and the replica of the realms' routing tables.
//!
//! Dispatch only. What the messages mean is in `lifecycle`, `broker` and `dealer`.

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId, SessionId};
use crossring_codec::message::{ErrorDetails, Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::{Match, is_restricted, is_valid, well_known};
use crossring_codec::value::{Dict, Value};

use crate::address::{CallAddress, CallKey, Now, SessionAddress, SessionKey, ShardId};
use crate::authz::{Action, Authorization, Ruling};
use crate::broker::Broker;
use crate::config::RouterConfig;
use crate::cookies::CookieGenerator;
use crate::counters::Counters;
use crate::dealer::{AddedCallee, Dealer, Granted};
use crate::input::Input;
use crate::inspect::ShardView;
use crate::letter::{self, Declined, Letter};
use crate::lifecycle::Deadlines;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::pattern::COMPONENTS_MAX;
use crate::rng::FastGenerator;
use crate::session::{Session, Sessions, State};
use crate::table::IntegerState;

/// One data shard of the router: inputs and the time go in, messages and letters come out.
#[derive(Debug)]
pub struct Shard {
    pub(crate) id: ShardId,
    /// The time of the input in hand.
    pub(crate) now: Now,
    /// Of the node, that of the services included.
    pub(crate) shards: usize,
    pub(crate) config: Arc<RouterConfig>,
    pub(crate) limits: Limits,
    pub(crate) authorization: Authorization,
    /// Questions that have been put to authorizers.
    pub(crate) petition_last: u64,
    /// What the next question to an authorizer may take, in milliseconds; absent: as the limits say.
    pub(crate) patience_ms: Option<u32>,
    pub(crate) sessions: Sessions,
    pub(crate) deadlines: Deadlines,
    pub(crate) broker: Broker,
    pub(crate) dealer: Dealer,
    pub(crate) deferred: VecDeque<Deferred>,
    /// The last ticket of the registry: tickets count up, and every shard gets all of them in that order.
    pub(crate) ticket_seen: u64,
    pub(crate) random: FastGenerator,
    pub(crate) integers: IntegerState,
    pub(crate) hash_seed: u64,
    pub(crate) is_shutting_down: bool,
    pub(crate) counters: Counters,
}

/// What handling a letter leaves for the next turn, because it posts to lanes that letters of its kind must not post to.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// A call came back: try the next callee.
    Retry { call: Box<letter::Call>, why: Declined },
    /// A call cannot be taken: give it back.
    Return { call: Box<letter::Call>, why: Declined },
    /// The turn of a call has come.
    Granted(Granted),
    /// A call cannot wait.
    Dismissed { call: CallKey, is_full: bool },
    /// A call that waited is over.
    Dequeue { call: CallKey, registration: RegistrationId },
    /// A call is over that its callee still works on.
    Abandon { call: CallAddress, callee: SessionAddress, invocation: Option<RequestId> },
    /// Free slots of a callee are for those who wait.
    Offer { registration: RegistrationId, callee: SessionKey },
    /// REGISTERED has been sent: invoke what waited.
    Waiting(SessionKey),
    /// A REGISTER has been answered: see to the next one for the same pattern.
    Registering { key: SessionKey, session: SessionId, pattern: (Match, Arc<str>) },
    /// The authorizer has answered.
    Authorized { key: SessionKey, number: u64 },
    /// GOODBYE.
    Kill { key: SessionKey, session: SessionId, reason: Box<str>, message: Option<Box<str>> },
    /// The session of this transport is resumed over another one.
    Freeze(SessionKey),
    /// Cuts between what a session has done at its old home and what it will do at the new one.
    Depart { from: SessionAddress, to: SessionAddress },
    /// Fences between what is published before and behind the move of a session.
    Cut { from: SessionAddress, to: SessionAddress },
    /// GOODBYE for everybody.
    Shutdown,
}

/// The peer broke the protocol: ABORT with this text.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation(pub(crate) &'static str);

impl Violation {
    pub(crate) const NOT_JOINED: Violation = Violation("no session");
    pub(crate) const REQUEST_ID: Violation = Violation("request id out of order or in use");
}

impl Shard {
    /// Shard `id` of `shards`. `seed` decides every random choice the shard makes.
    pub fn new(id: ShardId, shards: usize, config: Arc<RouterConfig>, limits: Limits, seed: u64) -> Self {
        assert!(id.index() < shards, "a shard is one of the node's");
        let mut random = FastGenerator::new(seed ^ u64::from(id.0).rotate_left(56));
        let hash_seed = random.next_u64();
        Self {
            id,
            now: Now::default(),
            shards,
            authorization: Authorization::new(&config, limits.decision_octets_per_role_max, hash_seed),
            limits,
            petition_last: 0,
            patience_ms: None,
            sessions: Sessions::default(),
            deadlines: Deadlines::default(),
            broker: Broker::new(config.realms.len(), hash_seed),
            dealer: Dealer::new(&config.realms, hash_seed),
            deferred: VecDeque::new(),
            ticket_seen: 0,
            integers: IntegerState::new(random.next_u64()),
            random,
            hash_seed,
            is_shutting_down: false,
            counters: Counters::default(),
            config,
        }
    }

    /// Makes the tracking cookies of the shard's connections.
    pub fn cookie_generator(&self) -> CookieGenerator {
        CookieGenerator::new(self.id.0, &self.config.entropy)
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Takes one input.
    pub fn handle<O: Outbox>(&mut self, now: Now, input: Input<'_>, out: &mut O) {
        self.now = now;
        match input {
            Input::Message { key, message } => self.message(now, key, message, out),
            Input::Letter { from, letter } => self.letter(now, from, letter, out),
            Input::Opened { key, transport, details } => self.opened(now, key, transport, details),
            Input::Violation { key, text } => self.violate(key, text, out),
            Input::Closed { key } => self.closed(key, out),
            Input::Counted { key, total } => self.counted(now, key, total, out),
        }
    }

    /// When [`Shard::expire`] is next due, in monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.next().into_iter().chain(self.dealer.next_deadline()).min()
    }

    /// Whether [`Shard::resume`] has anything to do: the host does not sleep while it has.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Gives up memory for transports that are gone, for a calm moment.
    pub fn trim(&mut self) {
        self.sessions.trim();
    }

    /// Does what letters of the last turn left for this one; called at the start of a turn.
    pub fn resume<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.now = now;
        for _ in 0..self.deferred.len() {
            match self.deferred.pop_front() {
                Some(Deferred::Retry { call, why }) => self.retry(&call, why, out),
                Some(Deferred::Return { call, why }) => self.give_back(call, why, out),
                Some(Deferred::Granted(granted)) => self.granted(&granted, out),
                Some(Deferred::Dismissed { call, is_full }) => self.dismissed(call, is_full, out),
                Some(Deferred::Dequeue { call, registration }) => {
                    self.post(ShardId::CONTROL, Letter::Dequeue { registration, call }, out);
                }
                Some(Deferred::Abandon { call, callee, invocation }) => {
                    self.abandon(call, callee, invocation, out);
                }
                Some(Deferred::Offer { registration, callee }) => self.offer(registration, callee, out),
                Some(Deferred::Waiting(key)) => self.flush_waiting(key, out),
                Some(Deferred::Registering { key, session, pattern }) => {
                    if self.sessions.get(key).is_some_and(|joined| joined.id == session) {
                        self.next_registering(key, &pattern, out);
                    }
                }
                Some(Deferred::Authorized { key, number }) => self.take_ruling(now, key, number, out),
                Some(Deferred::Kill { key, session, reason, message }) => {
                    self.kill_session(now, key, session, &reason, message.as_deref(), out);
                }
                Some(Deferred::Freeze(key)) => self.displace(key, out),
                Some(Deferred::Depart { from, to }) => self.depart(from, to, out),
                Some(Deferred::Cut { from, to }) => self.cut(from, to, out),
                Some(Deferred::Shutdown) => self.shut_down(now, out),
                None => return,
            }
        }
    }

    /// Whether a transport has no session yet, or no longer one: its peer is nobody.
    pub fn is_unjoined(&self, key: SessionKey) -> bool {
        let state = self.sessions.state(key);
        matches!(state, State::Vacant | State::Opened { .. } | State::Joining(_) | State::Challenged(_))
    }

    /// Transports with a joined session.
    pub fn joined(&self) -> usize {
        self.sessions.joined
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A read-only view for checkers and the meta API.
    pub fn inspect(&self) -> ShardView<'_> {
        ShardView::new(self)
    }

    #[inline(always)] // a message is moved, not copied, only within one function
    fn message<O: Outbox>(&mut self, now: Now, key: SessionKey, message: Message<'_>, out: &mut O) {
        self.counters.messages += 1;
        if !matches!(self.sessions.state(key), State::Established(_)) {
            return self.unjoined_message(now, key, message, out);
        }
        if let Err(Violation(text)) = self.joined_message(now, key, message, out) {
            self.violate(key, text, out);
        }
    }

    /// A message of a joined session.
    #[inline(always)]
    pub(crate) fn joined_message<O: Outbox>(
        &mut self,
        now: Now,
        key: SessionKey,
        message: Message<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        match message {
            Message::Publish { request, options, topic, payload } => {
                self.publish(key, request, &options, &topic, &payload, out)
            }
            Message::Call { request, options, procedure, payload } => {
                self.call(key, request, &options, &procedure, &payload, out)
            }
            Message::Yield { request, payload, .. } if self.is_too_long(key, &payload) => {
                self.answer_is_too_long(key, request, out)
            }
            Message::Yield { request, options, payload } => {
                self.yielded(key, request, options, &payload, out)
            }
            Message::Error { request_type: MessageType::Invocation, request, payload, .. }
                if self.is_too_long(key, &payload) =>
            {
                self.answer_is_too_long(key, request, out)
            }
            Message::Error { request_type: MessageType::Invocation, request, details, error, payload } => {
                self.failed(key, request, details, &error, &payload, out)
            }
            Message::Subscribe { request, options, topic } => {
                self.subscribe(key, request, &options, &topic, out)
            }
            Message::Unsubscribe { request, subscription } => {
                self.unsubscribe(key, request, subscription, out)
            }
            Message::Register { request, options, procedure } => {
                self.register(key, request, &options, &procedure, out)
            }
            Message::Unregister { request, registration } => self.unregister(key, request, registration, out),
            Message::Cancel { request, options } => self.cancel(key, request, options.mode, out),
            Message::EventReceived { .. } => {
                self.counters.deliveries_acknowledged += 1;
                Ok(())
            }
            Message::Goodbye { details, reason } => {
                let logs_out = reason == well_known::CLOSE_LOGOUT;
                if logs_out {
                    self.post(ShardId::CONTROL, Letter::LogOut { key }, out);
                }
                self.peer_left(now, key, details.resumable && !logs_out, out);
                Ok(())
            }
            Message::Abort { .. } => {
                self.peer_aborted(key, out);
                Ok(())
            }
            Message::Error { .. } => Err(Violation("ERROR for something else than INVOCATION")),
            _ => Err(Violation("message not allowed in a joined session")),
        }
    }

    /// Whether a payload is longer than this session may send; one that is is counted.
    #[inline]
    pub(crate) fn is_too_long(&mut self, key: SessionKey, payload: &Payload<'_>) -> bool {
        let is_long = payload.octets.len() > self.limits.session.payload_octets_max as usize;
        is_long && self.is_too_long_for(key, payload)
    }

    /// The router's own sessions have limits of their own.
    #[cold]
    fn is_too_long_for(&mut self, key: SessionKey, payload: &Payload<'_>) -> bool {
        let limits = self.sessions.get(key).map(|session| session.limits(&self.limits));
        let is_too_long =
            limits.is_some_and(|limits| payload.octets.len() > limits.payload_octets_max as usize);
        self.counters.payloads_refused += u64::from(is_too_long);
        is_too_long
    }

    /// The caller is told in place of the answer.
    #[cold]
    fn answer_is_too_long<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        out: &mut O,
    ) -> Result<(), Violation> {
        let error = well_known::PAYLOAD_SIZE_EXCEEDED;
        self.failed(key, request, ErrorDetails::default(), error, &Payload::default(), out)
    }

    fn letter<O: Outbox>(&mut self, now: Now, from: ShardId, letter: Letter, out: &mut O) {
        self.counters.letters_received += 1;
        match letter {
            Letter::Publication(publication) => self.take_publication(self.source(from), &publication, out),
            Letter::Call(call) => self.take_foreign_call(call, out),
            Letter::Result { call, details, parcel } => self.result(call, *details, &parcel.payload(), out),
            Letter::Error { call, details, error, parcel } => {
                self.error(call, *details, &error, &parcel.payload(), out);
            }
            Letter::Returned { call, why } => self.deferred.push_back(Deferred::Retry { call, why }),
            Letter::Continue(more) => self.take_continuation(more, out),
            Letter::Cancel { call, callee } => self.kill_foreign(call, callee, out),
            Letter::Abandon { call, callee, timed_out } => {
                self.abandon_foreign(call, callee, timed_out, out);
            }
            Letter::Cut { from, to } => self.deferred.push_back(Deferred::Cut { from, to }),
            Letter::Fence { from: old, to } => self.fenced(self.source(from), old, to, out),
            Letter::Handover { to, handover } => self.take_handover(to, handover, out),
            letter => self.registry_letter(now, letter, out),
        }
    }

    /// The shard that posted a letter on [`crate::letter::Lane::Data`]: on the control thread that is the service shard.
    fn source(&self, from: ShardId) -> ShardId {
        if from == ShardId::CONTROL { ShardId(self.shards as u8 - 1) } else { from }
    }

    /// A letter of the registry.
    fn registry_letter<O: Outbox>(&mut self, now: Now, letter: Letter, out: &mut O) {
        match letter {
            Letter::Challenge { key, method, extra } => self.challenged(key, &method, extra, out),
            Letter::Admit { key, admission } => self.admitted(now, key, *admission, out),
            Letter::Refuse { key, reason, message } => self.refused(key, &reason, &message, out),
            Letter::AddInterest { realm, subscription, uri, match_policy, shard, ticket } => {
                self.add_interest(realm, subscription, &uri, match_policy, shard, ticket, out);
            }
            Letter::RemoveInterest { realm: _, subscription, shard } => {
                self.broker.remove_interest(subscription, shard);
            }
            Letter::AddNode { subscription, nkey, ticket } => self.add_node(subscription, nkey, ticket, out),
            Letter::Confirm { ticket } => self.acknowledge(ticket, out),
            Letter::RemoveNode { subscription, nkey } => self.broker.remove_node(subscription, &nkey),
            Letter::AddCallee { realm, registration, uri, match_policy, invoke, callee, ticket } => {
                let (uri, callee) = (&*uri, *callee);
                let added = AddedCallee { realm, registration, uri, match_policy, invoke, callee, ticket };
                self.add_callee(added, out);
            }
            Letter::RemoveCallee { realm, registration, uri, match_policy, callee, revoked } => {
                self.authorizer_changed(realm, &uri, match_policy);
                self.remove_callee(registration, callee, revoked.as_deref(), out);
            }
            Letter::Subscribed { key, request, subscription, nkey } => {
                self.subscribed(key, request, subscription, nkey, out);
            }
            Letter::SubscribedWithSnapshot { key, snapshot } => self.take_snapshot(key, &snapshot, out),
            Letter::Retained { key, request, publication } => {
                self.retained(key, request, publication, out);
            }
            Letter::RevokeSubscription { key, subscription, reason } => {
                self.revoke_subscription(key, subscription, &reason, out);
            }
            Letter::SubscribeRefused { key, request, error } => {
                self.subscribe_refused(key, request, &error, out);
            }
            Letter::Registered { key, request, registration } => {
                self.registered(key, request, registration, out);
            }
            Letter::RegisterRefused { key, request, error } => {
                self.register_refused(key, request, &error, out);
            }
            Letter::Want { registration, callee } => self.want(registration, callee, true),
            Letter::Unwant { registration, callee } => self.want(registration, callee, false),
            Letter::Release { registration, callee, ticket } => {
                self.void_reservation(registration, callee, ticket);
            }
            Letter::Grant { call, registration, callee, ticket, arrival } => {
                let granted = Granted { call, registration, callee, ticket, arrival };
                self.deferred.push_back(Deferred::Granted(granted));
            }
            Letter::Dismiss { call, is_full } => {
                self.deferred.push_back(Deferred::Dismissed { call, is_full });
            }
            Letter::Authorized { key, number, ruling } => self.authorized(key, number, ruling),
            Letter::ForgetDecisions { realm, roles, ticket } => {
                self.forget_decisions(realm, &roles);
                self.acknowledge(ticket, out);
            }
            Letter::Kill { key, session, reason, message } => {
                self.deferred.push_back(Deferred::Kill { key, session, reason, message });
            }
            Letter::Freeze { key } => self.deferred.push_back(Deferred::Freeze(key)),
            Letter::Prepare { movement, ticket } => self.prepare_move(*movement, ticket, out),
            Letter::Depart { from, to } => self.deferred.push_back(Deferred::Depart { from, to }),
            Letter::Shutdown => self.deferred.push_back(Deferred::Shutdown),
            _ => debug_assert!(false, "a letter for the registry at shard {:?}, {now:?}", self.id),
        }
    }

    fn acknowledge<O: Outbox>(&mut self, ticket: u64, out: &mut O) {
        self.ticket_seen = ticket;
        self.post(ShardId::CONTROL, Letter::Acknowledge { ticket }, out);
    }

    /// Posts a letter, and counts it.
    #[inline]
    pub(crate) fn post<O: Outbox>(&mut self, to: ShardId, letter: Letter, out: &mut O) {
        self.counters.letters_sent += 1;
        out.post(to, letter);
    }

    /// The name of a session's role.
    pub(crate) fn role_name(&self, session: &Session) -> &str {
        &self.config.realms[usize::from(session.realm.0)].roles[usize::from(session.role.0)].name
    }

    /// Whether the session is one of the router's own.
    pub(crate) fn is_trusted(&self, key: SessionKey) -> bool {
        self.sessions.get(key).is_some_and(|session| {
            self.config.realms[usize::from(session.realm.0)].roles[usize::from(session.role.0)].is_trusted
        })
    }

    /// Checks a URI or pattern of SUBSCRIBE or REGISTER, and whether the session may do that.
    pub(crate) fn check_pattern(
        &self,
        key: SessionKey,
        action: Action,
        uri: &str,
        policy: Match,
    ) -> Result<(), Detour> {
        let session = self.sessions.get(key).ok_or(well_known::NOT_AUTHORIZED)?;
        let strictness = self.config.realms[usize::from(session.realm.0)].strictness;
        let too_deep = policy == Match::Wildcard && uri.split('.').count() > COMPONENTS_MAX;
        if uri.len() > self.limits.uri_size_max as usize || too_deep || !is_valid(uri, policy, strictness) {
            return Err(well_known::INVALID_URI.into());
        }
        if action == Action::Register && is_restricted(uri) && !self.is_trusted(key) {
            return Err(well_known::INVALID_URI.into());
        }
        let wanted = action.alone();
        match self.authorization.decide(session.realm, session.role, action, uri, policy) {
            None => Err(Detour::Ask),
            Some(Ruling::Lasting(decision) | Ruling::Once(decision)) if decision.allow.has(wanted) => Ok(()),
            Some(Ruling::Lasting(_) | Ruling::Once(_)) => Err(well_known::NOT_AUTHORIZED.into()),
            Some(Ruling::Failed { .. }) => Err(well_known::AUTHORIZATION_FAILED.into()),
        }
    }

    /// ERROR for a request about a URI, with the words that tell why.
    #[cold]
    pub(crate) fn refuse_about<O: Outbox>(
        &mut self,
        key: SessionKey,
        request_type: MessageType,
        request: RequestId,
        error: &str,
        uri: &str,
        out: &mut O,
    ) {
        if let Some(text) = self.words(key, request_type, error, uri) {
            let payload = Payload::from_values(SerializerId::Json, &[Value::String(text)], &Dict::new());
            let error = error.into();
            let details = ErrorDetails::default();
            if out.send(key, &Message::Error { request_type, request, details, error, payload }).is_ok() {
                self.counters.errors += 1;
                return;
            }
        }
        // Who takes no words is told at least that.
        refuse(&mut self.counters, key, request_type, request, error, out);
    }

    /// Crossbar.io's words for what is not allowed.
    fn words(&self, key: SessionKey, request: MessageType, error: &str, uri: &str) -> Option<String> {
        let doing = match (error, request) {
            (well_known::AUTHORIZATION_FAILED, _) => return self.authorization.failure().map(str::to_owned),
            (well_known::INVALID_URI, MessageType::Register) if is_restricted(uri) => {
                return Some(format!("register for restricted procedure URI '{uri}'"));
            }
            (well_known::INVALID_URI, MessageType::Publish) if is_restricted(uri) => {
                return Some(format!("publish with restricted topic URI '{uri}'"));
            }
            (well_known::NOT_AUTHORIZED, MessageType::Publish) => {
                return Some(format!("session not authorized to publish to topic '{uri}'"));
            }
            (well_known::NOT_AUTHORIZED, MessageType::Call) => "call procedure",
            (well_known::NOT_AUTHORIZED, MessageType::Register) => "register procedure",
            (well_known::NOT_AUTHORIZED, MessageType::Subscribe) => "subscribe to topic",
            _ => return None,
        };
        let session = self.sessions.get(key)?;
        let (id, authid, authrole) = (session.id, &session.authid, self.role_name(session));
        let realm = &self.config.realms[usize::from(session.realm.0)].name;
        Some(format!(
            "session (session_id={id}, authid=\"{authid}\", authrole=\"{authrole}\") \
             is not authorized to {doing} \"{uri}\" on realm \"{realm}\""
        ))
    }
}

/// Why a message is not acted on as usual.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Detour {
    /// The authorizer of the role has to be asked.
    Ask,
    /// ERROR
    Error(&'static str),
    /// ABORT
    Violation(Violation),
}

impl From<&'static str> for Detour {
    fn from(error: &'static str) -> Self {
        Self::Error(error)
    }
}

impl From<Violation> for Detour {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// ERROR for a request of a peer.
pub(crate) fn refuse<O: Outbox>(
    counters: &mut Counters,
    key: SessionKey,
    request_type: MessageType,
    request: RequestId,
    error: &str,
    out: &mut O,
) {
    counters.errors += 1;
    let message = Message::Error {
        request_type,
        request,
        details: ErrorDetails::default(),
        error: error.into(),
        payload: Payload::EMPTY,
    };
    let _ = out.send(key, &message);
}
