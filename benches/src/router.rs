//! One shard and the registry in one thread, with a host that throws away what is sent.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, ClientRoles, Features, HelloDetails, InvocationPolicy, Message, RegisterOptions,
    SubscribeOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::Match;
use crossring_router::address::{Now, RealmId, SessionAddress, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    Allow, AnonymousConfig, Permission, RealmConfig, RoleConfig, RouterConfig, Source,
    TransportAuthentication,
};
use crossring_router::input::Input;
use crossring_router::letter::{Callee, Letter};
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

use crate::payload::publish;

const HERE: ShardId = ShardId(0);
/// A shard that exists only in the tables.
const ELSEWHERE: ShardId = ShardId(1);
const REALM: RealmId = RealmId(0);

/// A router of which one shard lives.
#[derive(Debug)]
pub struct Router {
    shard: Shard,
    registry: Registry,
    sink: Sink,
    now: Now,
    request: u64,
    sessions: u32,
}

/// Counts what is sent and keeps what the next step needs; letters wait here.
#[derive(Debug, Default)]
pub struct Sink {
    /// EVENTs delivered.
    pub events: u64,
    /// Other messages.
    pub messages: u64,
    /// Letters to other shards.
    pub letters: u64,
    invocation: Option<RequestId>,
    to_registry: VecDeque<Letter>,
    to_shard: VecDeque<Letter>,
}

impl Post for Sink {
    fn post(&mut self, to: ShardId, letter: Letter) {
        match to {
            ShardId::CONTROL => self.to_registry.push_back(letter),
            HERE => self.to_shard.push_back(letter),
            _ => self.letters += 1,
        }
    }
}

impl Outbox for Sink {
    fn send(&mut self, _session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        self.messages += 1;
        match message {
            Message::Invocation { request, .. } => self.invocation = Some(*request),
            Message::Abort { .. } | Message::Error { .. } => panic!("refused: {message:?}"),
            _ => {}
        }
        Ok(())
    }

    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], _except: Option<SessionKey>) {
        self.events += receivers.len() as u64;
        black_box((event, receivers));
    }

    fn end(&mut self, session: SessionKey, cause: EndCause) {
        panic!("session {session:?} ended: {cause:?}");
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// A router with one realm in which anonymous sessions may do everything.
    pub fn new() -> Router {
        let config = Arc::new(config());
        Router {
            shard: Shard::new(HERE, 2, Arc::clone(&config), Limits::default(), 1),
            registry: Registry::new(1, config, Limits::default(), 2),
            sink: Sink::default(),
            now: Now { monotonic_ns: 1, unix_ms: 1 },
            request: 0,
            sessions: 0,
        }
    }

    /// What has been sent so far.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// A session that has joined.
    pub fn join(&mut self) -> SessionKey {
        let key = SessionKey { slot: self.sessions, generation: 0 };
        self.sessions += 1;
        self.input(Input::Opened { key, transport: TransportId(0), details: Arc::default() });
        let roles = ClientRoles::all(Features::default());
        let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
        self.message(key, Message::Hello { realm: Some("realm1".into()), details });
        self.settle();
        key
    }

    /// Subscribes a session.
    pub fn subscribe(&mut self, key: SessionKey, topic: &str, match_policy: Match) {
        let request = self.next_request();
        let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
        self.message(key, Message::Subscribe { request, options, topic: topic.into() });
        self.settle();
    }

    /// Registers a callee.
    pub fn register(&mut self, key: SessionKey, procedure: &str) {
        let request = self.next_request();
        let options = RegisterOptions::default();
        self.message(key, Message::Register { request, options, procedure: procedure.into() });
        self.settle();
    }

    /// Lets another shard have a subscriber.
    pub fn add_interest_elsewhere(&mut self, number: u64, uri: &str, match_policy: Match) {
        let letter = Letter::AddInterest {
            realm: REALM,
            subscription: SubscriptionId::new(FIRST_ELSEWHERE + number).expect("an id"),
            uri: uri.into(),
            match_policy,
            shard: ELSEWHERE,
            ticket: number,
        };
        self.input(Input::Letter { from: ShardId::CONTROL, letter });
        self.sink.to_registry.clear();
    }

    /// Lets another shard have a callee.
    pub fn add_callee_elsewhere(&mut self, number: u64, uri: &str, match_policy: Match) {
        let address = SessionAddress { shard: ELSEWHERE, key: SessionKey { slot: 0, generation: 0 } };
        let callee = Callee { address, disclose_caller: false, forward_timeout: false, concurrency: None };
        let letter = Letter::AddCallee {
            realm: REALM,
            registration: RegistrationId::new(FIRST_ELSEWHERE + number).expect("an id"),
            uri: uri.into(),
            match_policy,
            invoke: InvocationPolicy::Single,
            callee: Box::new(callee),
            ticket: number,
        };
        self.input(Input::Letter { from: ShardId::CONTROL, letter });
        self.sink.to_registry.clear();
    }

    /// One PUBLISH; returns how many EVENTs it made.
    #[inline]
    pub fn publish(&mut self, key: SessionKey, topic: &str, payload: &Payload<'_>) -> u64 {
        let before = self.sink.events;
        let request = self.next_request().get();
        self.message(key, publish(request, topic, payload.borrowed()));
        self.sink.events - before
    }

    /// One CALL and the YIELD that answers it; returns how many messages they made.
    #[inline]
    pub fn call(
        &mut self,
        caller: SessionKey,
        callee: SessionKey,
        procedure: &str,
        payload: &Payload<'_>,
    ) -> u64 {
        let before = self.sink.messages;
        let request = self.next_request();
        let (options, procedure) = (CallOptions::default(), procedure.into());
        self.message(caller, Message::Call { request, options, procedure, payload: payload.borrowed() });
        if let Some(request) = self.sink.invocation.take() {
            let options = YieldOptions::default();
            self.message(callee, Message::Yield { request, options, payload: payload.borrowed() });
        }
        self.sink.messages - before
    }

    #[inline]
    fn message(&mut self, key: SessionKey, message: Message<'_>) {
        self.input(Input::Message { key, message });
    }

    #[inline]
    fn input(&mut self, input: Input<'_>) {
        self.shard.handle(self.now, input, &mut self.sink);
    }

    /// Carries letters between shard and registry until there are none.
    fn settle(&mut self) {
        loop {
            while let Some(letter) = self.sink.to_registry.pop_front() {
                self.registry.handle(self.now, HERE, letter, &mut self.sink);
            }
            let Some(letter) = self.sink.to_shard.pop_front() else { break };
            self.input(Input::Letter { from: ShardId::CONTROL, letter });
        }
        if self.shard.has_deferred() {
            self.shard.resume(self.now, &mut self.sink);
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.request += 1;
        RequestId::new(self.request).expect("requests count from 1")
    }
}

/// Ids above what the registry, which counts from 1, gives to the subscriptions of a benchmark.
const FIRST_ELSEWHERE: u64 = 8192;

/// One realm in which anonymous sessions may do everything.
pub(crate) fn config() -> RouterConfig {
    let everything = Permission {
        uri: "".into(),
        match_policy: Match::Prefix,
        allow: Allow::ALL,
        ..Permission::default()
    };
    let role =
        RoleConfig { name: "anonymous".into(), permissions: vec![everything], ..RoleConfig::default() };
    let anonymous = AnonymousConfig { role: "anonymous".into(), authid: None };
    RouterConfig {
        realms: vec![RealmConfig { roles: vec![role], ..RealmConfig::default() }],
        transports: vec![TransportAuthentication {
            anonymous: Some(Source::Static(anonymous)),
            ..TransportAuthentication::default()
        }],
        agent: "crossring".into(),
        ..RouterConfig::default()
    }
}
