//! What happens when time passes, and when the router shuts down.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crossring_codec::id::RequestId;
use crossring_codec::message::{
    CallOptions, ClientRoles, Feature, Features, HelloDetails, Message, RegisterOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::Match;
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    Allow, AnonymousConfig, Permission, Principals, RealmConfig, RoleConfig, RouterConfig, Secret, Source,
    TicketPrincipal, TransportAuthentication,
};
use crossring_router::input::Input;
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

const KEY: SessionKey = SessionKey { slot: 0, generation: 3 };
const MS: u64 = 1_000_000;

/// One shard, its registry, and one transport.
struct Pair {
    shard: Shard,
    registry: Registry,
    log: Log,
}

#[derive(Default)]
struct Log {
    letters: Vec<(ShardId, Letter)>,
    /// What the peer received, and how its transport ended.
    seen: Vec<String>,
}

impl Post for Log {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.letters.push((to, letter));
    }
}

impl Outbox for Log {
    fn send(&mut self, _: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        self.seen.push(match message {
            Message::Abort { reason, .. } => format!("ABORT {reason}"),
            Message::Goodbye { reason, .. } => format!("GOODBYE {reason}"),
            other => other.message_type().name().to_owned(),
        });
        Ok(())
    }

    fn fan_out(&mut self, _: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {}

    fn end(&mut self, _: SessionKey, cause: EndCause) {
        self.seen.push(format!("{cause:?}"));
    }
}

impl Pair {
    fn new() -> Self {
        let everything = Permission {
            uri: "".into(),
            match_policy: Match::Prefix,
            allow: Allow::ALL,
            ..Permission::default()
        };
        let role =
            RoleConfig { name: "anonymous".into(), permissions: vec![everything], ..RoleConfig::default() };
        let principal = TicketPrincipal {
            authid: "joe".into(),
            ticket: Some(Secret::new("secret")),
            role: "anonymous".into(),
            realm: None,
        };
        let config = Arc::new(RouterConfig {
            realms: vec![RealmConfig { name: "realm1".into(), roles: vec![role], ..RealmConfig::default() }],
            transports: vec![TransportAuthentication {
                anonymous: Some(Source::Static(AnonymousConfig { role: "anonymous".into(), authid: None })),
                ticket: Some(Source::Static(Principals::new(vec![principal]))),
                ..TransportAuthentication::default()
            }],
            agent: "".into(),
            ..RouterConfig::default()
        });
        let mut pair = Self {
            shard: Shard::new(ShardId(0), 1, Arc::clone(&config), Limits::default(), 1),
            registry: Registry::new(1, config, Limits::default(), 1),
            log: Log::default(),
        };
        pair.input(0, Input::Opened { key: KEY, transport: TransportId(0), details: Arc::default() });
        pair
    }

    fn input(&mut self, ms: u64, input: Input<'_>) {
        self.shard.handle(at(ms), input, &mut self.log);
        self.settle(ms);
    }

    fn settle(&mut self, ms: u64) {
        while !self.log.letters.is_empty() || self.shard.has_deferred() {
            for (to, letter) in std::mem::take(&mut self.log.letters) {
                if to == ShardId::CONTROL {
                    self.registry.handle(at(ms), ShardId(0), letter, &mut self.log);
                } else {
                    let input = Input::Letter { from: ShardId::CONTROL, letter };
                    self.shard.handle(at(ms), input, &mut self.log);
                }
            }
            self.shard.resume(at(ms), &mut self.log);
        }
    }

    fn hello(&mut self, ms: u64, method: &'static str) {
        let details = HelloDetails {
            roles: ClientRoles::all(Features::of(&[Feature::CallCanceling])),
            authmethods: vec![method.into()],
            authid: Some("joe".into()),
            ..HelloDetails::default()
        };
        let message = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
        self.input(ms, Input::Message { key: KEY, message });
    }

    fn goodbye(&mut self, ms: u64) {
        let message = Message::Goodbye { details: Default::default(), reason: "wamp.close.normal".into() };
        self.input(ms, Input::Message { key: KEY, message });
    }

    fn register(&mut self) {
        let options = RegisterOptions::default();
        let message = Message::Register { request: id(1), options, procedure: "com.x".into() };
        self.input(0, Input::Message { key: KEY, message });
    }

    fn call(&mut self, ms: u64, request: u64, timeout_ms: u64) {
        let options = CallOptions { timeout_ms, ..CallOptions::default() };
        let message = Message::Call {
            request: id(request),
            options,
            procedure: "com.x".into(),
            payload: Payload::EMPTY,
        };
        self.input(ms, Input::Message { key: KEY, message });
    }

    fn answer(&mut self, ms: u64, invocation: u64) {
        let options = YieldOptions::default();
        let message = Message::Yield { request: id(invocation), options, payload: Payload::EMPTY };
        self.input(ms, Input::Message { key: KEY, message });
    }

    /// Lets time pass.
    fn until(&mut self, ms: u64) {
        self.shard.expire(at(ms), &mut self.log);
        self.registry.expire(at(ms), &mut self.log);
        self.settle(ms);
    }

    #[track_caller]
    fn check(&mut self, seen: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log.seen), seen);
    }
}

fn id(number: u64) -> RequestId {
    RequestId::new(number).expect("a valid id")
}

fn at(ms: u64) -> Now {
    Now { monotonic_ns: ms * MS, unix_ms: ms }
}

#[test]
fn hello_has_to_come() {
    let mut pair = Pair::new();
    assert_eq!(pair.shard.deadline(), Some(10_000 * MS));
    pair.until(9_999);
    pair.check(&[]);
    pair.until(10_000);
    pair.check(&["JoinTimeout"]);
    pair.hello(10_001, "anonymous");
    pair.check(&[]);
}

#[test]
fn a_joined_session_has_no_deadline() {
    let mut pair = Pair::new();
    pair.hello(5, "anonymous");
    assert_eq!((pair.shard.deadline(), pair.registry.deadline()), (None, None));
    pair.until(1_000_000);
    pair.check(&["WELCOME"]);
}

#[test]
fn authenticate_has_to_come() {
    let mut pair = Pair::new();
    pair.hello(100, "ticket");
    assert_eq!((pair.shard.deadline(), pair.registry.deadline()), (None, Some(10_100 * MS)));
    pair.until(10_100);
    pair.check(&["CHALLENGE", "ABORT wamp.error.authentication_failed", "Aborted"]);
    assert_eq!(pair.registry.deadline(), None);
}

#[test]
fn after_goodbye_the_transport_waits_for_another_hello() {
    let mut pair = Pair::new();
    pair.hello(0, "anonymous");
    pair.goodbye(50);
    pair.until(10_050);
    pair.check(&["WELCOME", "GOODBYE wamp.close.goodbye_and_out", "Goodbye"]);
}

#[test]
fn a_shutdown_says_goodbye_and_waits_for_the_answer() {
    let mut pair = Pair::new();
    pair.hello(0, "anonymous");
    pair.registry.shutdown(at(1), &mut pair.log);
    pair.settle(1);
    pair.check(&["WELCOME", "GOODBYE wamp.close.system_shutdown"]);
    pair.goodbye(2);
    pair.check(&["Goodbye"]);
}

#[test]
fn a_peer_that_does_not_answer_goodbye_is_cut_off() {
    let mut pair = Pair::new();
    pair.hello(0, "anonymous");
    pair.registry.shutdown(at(1), &mut pair.log);
    pair.settle(1);
    pair.until(5_001);
    pair.check(&["WELCOME", "GOODBYE wamp.close.system_shutdown", "GoodbyeTimeout"]);
}

#[test]
fn who_wants_to_join_while_the_router_shuts_down_is_refused() {
    let mut pair = Pair::new();
    pair.registry.shutdown(at(1), &mut pair.log);
    pair.settle(1);
    pair.check(&["ABORT wamp.close.system_shutdown", "Aborted"]);
    let key = SessionKey { slot: 1, generation: 1 };
    pair.input(2, Input::Opened { key, transport: TransportId(0), details: Arc::default() });
    let details = HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
    let message = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
    pair.input(2, Input::Message { key, message });
    pair.check(&["ABORT wamp.close.system_shutdown", "Aborted"]);
}

#[test]
fn a_hundred_thousand_answered_calls_leave_no_deadline() {
    const CALLS: u64 = 100_000;
    const OPEN: u64 = 10;
    const HOUR_MS: u64 = 3_600_000;
    let mut pair = Pair::new();
    pair.hello(0, "anonymous");
    pair.register();
    for call in 1..=OPEN {
        pair.call(0, 1 + call, HOUR_MS);
    }
    for call in OPEN + 1..=OPEN + CALLS {
        pair.call(call, 1 + call, HOUR_MS);
        pair.answer(call, call);
        pair.log.seen.clear();
        let sizes = pair.shard.inspect().sizes();
        assert_eq!(sizes.calls as u64, OPEN);
        assert!(sizes.call_deadlines <= 100, "{} after {call} calls", sizes.call_deadlines);
    }
    for call in 1..=OPEN {
        pair.answer(CALLS, call);
    }
    assert_eq!(pair.shard.inspect().sizes().call_deadlines, 0);
    assert_eq!(pair.shard.deadline(), None);
}

#[test]
fn the_earliest_call_decides_when_the_shard_wakes() {
    let mut pair = Pair::new();
    pair.hello(0, "anonymous");
    pair.register();
    pair.call(100, 2, 50);
    assert_eq!(pair.shard.deadline(), Some(150 * MS));
    pair.call(100, 3, 20);
    assert_eq!(pair.shard.deadline(), Some(120 * MS));
    pair.answer(110, 1);
    pair.log.seen.clear();
    pair.until(120);
    pair.check(&["INTERRUPT", "ERROR"]);
    assert_eq!(pair.shard.counters().calls_timed_out, 1);
    assert_eq!(pair.shard.deadline(), None);
}
