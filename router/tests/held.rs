//! Messages that wait for an authorizer, on one shard.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crossring_codec::id::RequestId;
use crossring_codec::message::{
    CallOptions, ClientRoles, Features, HelloDetails, Message, PublishOptions, SubscribeOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Dict;
use crossring_router::address::{Now, RealmId, RoleId, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    Allow, AnonymousConfig, RealmConfig, RoleConfig, RouterConfig, Source, TransportAuthentication,
};
use crossring_router::input::Input;
use crossring_router::letter::{Action, Decision, Letter, Petition, Ruling};
use crossring_router::limits::{LIMIT_EXCEEDED, Limits};
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

const KEY: SessionKey = SessionKey { slot: 0, generation: 1 };
const NOW: Now = Now { monotonic_ns: 0, unix_ms: 0 };

/// One shard with one session, whose role has an authorizer: the test.
struct Fixture {
    now: Now,
    shard: Shard,
    log: Log,
}

#[derive(Default)]
struct Log {
    letters: Vec<Letter>,
    petitions: Vec<Petition>,
    /// What the peer received, and what became of its transport.
    seen: Vec<String>,
}

impl Post for Log {
    fn post(&mut self, _: ShardId, letter: Letter) {
        match letter {
            Letter::Authorize { petition, .. } => self.petitions.push(*petition),
            letter => self.letters.push(letter),
        }
    }
}

impl Outbox for Log {
    fn send(&mut self, _: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        self.seen.push(match message {
            Message::Abort { reason, .. } => format!("ABORT {reason}"),
            Message::Goodbye { reason, .. } => format!("GOODBYE {reason}"),
            Message::Published { request, .. } => format!("PUBLISHED {request}"),
            Message::Error { request, error, .. } => format!("ERROR {request} {error}"),
            other => other.message_type().name().to_owned(),
        });
        Ok(())
    }

    fn fan_out(&mut self, _: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {}

    fn end(&mut self, _: SessionKey, _: EndCause) {
        self.seen.push("end".to_owned());
    }

    fn pause_input(&mut self, _: SessionKey) {
        self.seen.push("pause".to_owned());
    }

    fn resume_input(&mut self, _: SessionKey) {
        self.seen.push("resume".to_owned());
    }
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let authorizer = Some("com.authorize".into());
        let role = RoleConfig { name: "guest".into(), authorizer, ..RoleConfig::default() };
        let config = Arc::new(RouterConfig {
            realms: vec![RealmConfig { roles: vec![role], ..RealmConfig::default() }],
            transports: vec![TransportAuthentication {
                anonymous: Some(Source::Static(AnonymousConfig { role: "guest".into(), authid: None })),
                ..TransportAuthentication::default()
            }],
            ..RouterConfig::default()
        });
        let mut registry = Registry::new(1, Arc::clone(&config), limits.clone(), 1);
        let mut fixture =
            Self { now: NOW, shard: Shard::new(ShardId(0), 1, config, limits, 1), log: Log::default() };
        let (transport, details) = (TransportId(0), Arc::default());
        fixture.shard.handle(NOW, Input::Opened { key: KEY, transport, details }, &mut fixture.log);
        let roles = ClientRoles::all(Features::default());
        let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
        fixture.send(Message::Hello { realm: Some("realm1".into()), details });
        let hello = fixture.log.letters.pop().expect("a letter");
        registry.handle(NOW, ShardId(0), hello, &mut fixture.log);
        let admit = fixture.log.letters.pop().expect("a letter");
        fixture.letter(admit);
        fixture.expect(&["WELCOME"]);
        fixture
    }

    fn send(&mut self, message: Message<'_>) {
        self.shard.handle(self.now, Input::Message { key: KEY, message }, &mut self.log);
    }

    fn publish(&mut self, request: u64, topic: &'static str) {
        self.publish_sized(request, topic, 0);
    }

    fn publish_sized(&mut self, request: u64, topic: &'static str, size: usize) {
        let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
        let text = "x".repeat(size);
        let payload = Payload::from_values(SerializerId::Json, &[text.as_str().into()], &Dict::new());
        self.send(Message::Publish { request: id(request), options, topic: topic.into(), payload });
    }

    fn call(&mut self, request: u64) {
        let options = CallOptions::default();
        let procedure = "com.x".into();
        self.send(Message::Call { request: id(request), options, procedure, payload: Payload::EMPTY });
    }

    fn letter(&mut self, letter: Letter) {
        self.shard.handle(self.now, Input::Letter { from: ShardId::CONTROL, letter }, &mut self.log);
    }

    /// The authorizer says something, which is acted upon in the next turn.
    fn answer(&mut self, number: u64, ruling: Ruling) {
        self.letter(Letter::Authorized { key: KEY, number, ruling });
    }

    fn turn(&mut self) {
        self.shard.resume(self.now, &mut self.log);
    }

    fn forget(&mut self) {
        let (realm, roles) = (RealmId(0), vec![RoleId(0)]);
        self.letter(Letter::ForgetDecisions { realm, roles, ticket: 1 });
    }

    #[track_caller]
    fn expect(&mut self, seen: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log.seen), seen);
    }

    /// The one petition that has been posted since the last time.
    #[track_caller]
    fn asked(&mut self, action: Action, uri: &str) -> u64 {
        let petitions = std::mem::take(&mut self.log.petitions);
        let [petition] = &petitions[..] else { panic!("{petitions:?}") };
        assert_eq!((petition.action, &*petition.uri), (action, uri));
        petition.number
    }

    /// The same, and how long the answer may take.
    #[track_caller]
    fn asked_within(&mut self, timeout_ms: u32) -> u64 {
        let petitions = std::mem::take(&mut self.log.petitions);
        let [petition] = &petitions[..] else { panic!("{petitions:?}") };
        assert_eq!(petition.timeout_ms, timeout_ms);
        petition.number
    }

    fn after_ms(&mut self, elapsed: u64) {
        self.now.monotonic_ns += elapsed * 1_000_000;
    }

    #[track_caller]
    fn expect_no_question(&self) {
        assert_eq!(self.log.petitions, []);
    }

    fn held(&self) -> usize {
        self.shard.inspect().sizes().messages_held
    }
}

fn id(request: u64) -> RequestId {
    RequestId::new(request).expect("an id")
}

fn yes() -> Decision {
    Decision { allow: Allow::ALL, ..Decision::default() }
}

fn broken() -> Ruling {
    Ruling::Failed { text: "broken".into(), is_silence: false }
}

fn silence() -> Ruling {
    Ruling::Failed { text: "wamp.error.timeout".into(), is_silence: true }
}

fn no() -> Decision {
    Decision::default()
}

#[test]
fn messages_go_on_in_their_order() {
    let mut fixture = Fixture::new(Limits { strict_request_ids: true, ..Limits::default() });
    fixture.publish(1, "com.a");
    fixture.publish(2, "com.b");
    fixture.publish(3, "com.a");
    let number = fixture.asked(Action::Publish, "com.a");
    assert_eq!(fixture.held(), 3);
    fixture.answer(number, Ruling::Lasting(yes()));
    fixture.expect(&[]);
    fixture.turn();
    fixture.expect(&["PUBLISHED 1"]);
    let number = fixture.asked(Action::Publish, "com.b");
    fixture.publish(4, "com.a");
    fixture.answer(number, Ruling::Once(no()));
    fixture.turn();
    fixture.expect(&["ERROR 2 wamp.error.not_authorized", "PUBLISHED 3", "PUBLISHED 4"]);
    assert_eq!(fixture.held(), 0);
    fixture.expect_no_question();
}

#[test]
fn a_decision_for_once_is_not_kept_in_a_route() {
    let mut fixture = Fixture::new(Limits::default());
    for request in 1..4 {
        fixture.publish(2 * request, "com.x");
        let number = fixture.asked(Action::Publish, "com.x");
        fixture.answer(number, Ruling::Once(if request % 2 == 0 { no() } else { yes() }));
        fixture.turn();
        fixture.call(2 * request + 1);
        let number = fixture.asked(Action::Call, "com.x");
        fixture.answer(number, Ruling::Once(if request % 2 == 0 { no() } else { yes() }));
        fixture.turn();
    }
    fixture.expect(&[
        "PUBLISHED 2",
        "ERROR 3 wamp.error.no_such_procedure",
        "ERROR 4 wamp.error.not_authorized",
        "ERROR 5 wamp.error.not_authorized",
        "PUBLISHED 6",
        "ERROR 7 wamp.error.no_such_procedure",
    ]);
}

#[test]
fn a_void_decision_is_not_kept_in_a_route() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.publish(1, "com.x");
    let number = fixture.asked(Action::Publish, "com.x");
    fixture.answer(number, Ruling::Lasting(yes()));
    fixture.turn();
    fixture.call(2);
    let number = fixture.asked(Action::Call, "com.x");
    fixture.answer(number, Ruling::Lasting(yes()));
    fixture.turn();
    fixture.publish(3, "com.x");
    fixture.call(4);
    fixture.expect_no_question();
    assert_eq!(fixture.shard.inspect().sizes().decisions, 2);
    fixture.forget();
    assert_eq!(fixture.shard.inspect().sizes().decisions, 0);
    fixture.publish(5, "com.x");
    let number = fixture.asked(Action::Publish, "com.x");
    fixture.answer(number, Ruling::Once(no()));
    fixture.turn();
    fixture.call(6);
    fixture.asked(Action::Call, "com.x");
}

#[test]
fn a_decision_that_becomes_void_before_it_is_acted_upon_is_asked_for_again() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.publish(1, "com.x");
    let number = fixture.asked(Action::Publish, "com.x");
    fixture.answer(number, Ruling::Lasting(yes()));
    fixture.forget();
    fixture.turn();
    fixture.expect(&[]);
    let again = fixture.asked(Action::Publish, "com.x");
    fixture.answer(number, Ruling::Once(yes()));
    fixture.turn();
    fixture.expect(&[]);
    fixture.answer(again, Ruling::Once(no()));
    fixture.turn();
    fixture.expect(&["ERROR 1 wamp.error.not_authorized"]);
}

#[test]
fn a_failure_is_for_one_message() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.publish(1, "com.x");
    let options = SubscribeOptions::default();
    fixture.send(Message::Subscribe { request: id(2), options, topic: "com.x".into() });
    let number = fixture.asked(Action::Publish, "com.x");
    fixture.answer(number, broken());
    fixture.turn();
    let number = fixture.asked(Action::Subscribe, "com.x");
    fixture.answer(number, broken());
    fixture.turn();
    fixture.publish(3, "com.x");
    fixture.asked(Action::Publish, "com.x");
    fixture.expect(&["ERROR 1 wamp.error.authorization_failed", "ERROR 2 wamp.error.authorization_failed"]);
    assert_eq!(fixture.shard.counters().permissions_failed, 2);
}

#[test]
fn behind_a_silent_authorizer_the_time_that_was_waited_counts() {
    let mut fixture = Fixture::new(Limits { authorizer_timeout_ms: 1_000, ..Limits::default() });
    fixture.publish(1, "com.a");
    for request in 2..=4 {
        fixture.after_ms(300);
        fixture.publish(request, "com.a");
    }
    let mut number = fixture.asked_within(1_000);
    for (elapsed, left_ms) in [(100, 300), (300, 300), (301, 299)] {
        fixture.after_ms(elapsed);
        fixture.answer(number, silence());
        fixture.turn();
        number = fixture.asked_within(left_ms);
    }
    fixture.publish(5, "com.a");
    fixture.after_ms(2_000);
    fixture.publish(6, "com.a");
    fixture.answer(number, silence());
    fixture.turn();
    number = fixture.asked_within(0);
    fixture.answer(number, silence());
    fixture.turn();
    number = fixture.asked_within(1_000);
    fixture.log.seen.clear();
    fixture.answer(number, Ruling::Once(yes()));
    fixture.turn();
    fixture.expect(&["PUBLISHED 6"]);
}

#[test]
fn for_a_slow_authorizer_each_message_waits_as_long_as_it_takes() {
    let mut fixture = Fixture::new(Limits { authorizer_timeout_ms: 1_000, ..Limits::default() });
    for request in 1..=3 {
        fixture.publish(request, "com.a");
    }
    for ruling in [Ruling::Once(yes()), broken()] {
        let number = fixture.asked_within(1_000);
        fixture.after_ms(900);
        fixture.answer(number, ruling);
        fixture.turn();
    }
    fixture.asked_within(1_000);
    fixture.expect(&["PUBLISHED 1", "ERROR 2 wamp.error.authorization_failed"]);
}

#[test]
fn the_host_is_asked_to_read_no_further_and_then_to_go_on() {
    let mut fixture = Fixture::new(Limits::default());
    for request in 1..=9 {
        fixture.publish(request, "com.a");
    }
    fixture.expect(&["pause"]);
    let number = fixture.asked(Action::Publish, "com.a");
    fixture.answer(number, Ruling::Once(yes()));
    fixture.turn();
    fixture.expect(&["PUBLISHED 1"]);
    let number = fixture.asked(Action::Publish, "com.a");
    fixture.answer(number, Ruling::Lasting(yes()));
    fixture.turn();
    let mut seen: Vec<String> = (2..=9).map(|request| format!("PUBLISHED {request}")).collect();
    seen.push("resume".to_owned());
    assert_eq!(fixture.log.seen, seen);
}

#[test]
fn long_messages_make_it_stop_sooner() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.publish_sized(1, "com.a", 1 << 20);
    fixture.expect(&[]);
    fixture.publish_sized(2, "com.a", 100 << 10);
    fixture.expect(&["pause"]);
}

#[test]
fn who_sends_on_regardless_is_aborted() {
    for limits in [
        Limits { held_messages_per_session_max: 20, ..Limits::default() },
        Limits { held_octets_per_session_max: 20 << 10, ..Limits::default() },
    ] {
        let mut fixture = Fixture::new(limits);
        let mut request = 0;
        while !fixture.log.seen.iter().any(|seen| seen == "end") {
            request += 1;
            fixture.publish_sized(request, "com.a", 1_000);
            assert!(request <= 21, "no end");
        }
        assert!(fixture.log.seen.ends_with(&[
            "resume".to_owned(),
            format!("ABORT {LIMIT_EXCEEDED}"),
            "end".to_owned()
        ]));
        assert_eq!(fixture.held(), 0);
        let number = fixture.asked(Action::Publish, "com.a");
        fixture.log.seen.clear();
        fixture.answer(number, Ruling::Lasting(yes()));
        fixture.turn();
        fixture.expect(&[]);
        assert_eq!(fixture.shard.inspect().sizes().decisions, 0);
        assert_eq!(fixture.shard.counters().messages_dropped, request);
    }
}

#[test]
fn at_shutdown_nobody_waits() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.publish(1, "com.a");
    fixture.letter(Letter::Shutdown);
    fixture.turn();
    fixture.expect(&["GOODBYE wamp.close.system_shutdown"]);
    assert_eq!(fixture.held(), 0);
}

#[test]
fn an_unacknowledged_publication_that_is_denied_is_counted() {
    let mut fixture = Fixture::new(Limits::default());
    let (options, topic) = (PublishOptions::default(), "com.a".into());
    fixture.send(Message::Publish { request: id(1), options, topic, payload: Payload::EMPTY });
    let number = fixture.asked(Action::Publish, "com.a");
    fixture.answer(number, Ruling::Once(no()));
    fixture.turn();
    fixture.expect(&[]);
    let counters = fixture.shard.counters();
    assert_eq!((counters.publications_refused, counters.publications), (1, 0));
}
