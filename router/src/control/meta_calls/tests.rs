use std::sync::Arc;

use crossring_codec::message::{
    CallOptions, CancelOptions, ClientRoles, Features, HelloDetails, RegisterOptions,
};
use crossring_codec::uri::Match;

use super::*;
use crate::address::{ShardId, TransportId};
use crate::config::{
    Allow, AnonymousConfig, Permission as Rule, RealmConfig, RoleConfig, RouterConfig, Source,
    TransportAuthentication,
};
use crate::control::GuestOutput;
use crate::details::TransportDetails;
use crate::letter::Letter;

/// A node of nothing but the control shard.
struct Nobody;

impl Post for Nobody {
    fn post(&mut self, to: ShardId, letter: Letter) {
        panic!("{letter:?} for {to:?}");
    }
}

/// A client whose role has an authorizer, and the authorizer, which lets it call anything.
struct Fixture {
    control: Control,
    now: Now,
    client: SessionKey,
    request: RequestId,
    authorizer: SessionKey,
    /// What the client has received.
    seen: Vec<String>,
    /// Questions to the authorizer that it has not answered.
    questions: Vec<(RequestId, String)>,
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let rule = Rule { match_policy: Match::Prefix, allow: Allow::ALL, ..Rule::default() };
        let official =
            RoleConfig { name: "official".into(), permissions: vec![rule], ..RoleConfig::default() };
        let authorizer = Some("com.authorize".into());
        let guest = RoleConfig { name: "guest".into(), authorizer, ..RoleConfig::default() };
        let door = |role: &str| TransportAuthentication {
            anonymous: Some(Source::Static(AnonymousConfig { role: role.into(), authid: None })),
            ..TransportAuthentication::default()
        };
        let config = RouterConfig {
            realms: vec![RealmConfig { roles: vec![official, guest], ..RealmConfig::default() }],
            transports: vec![door("official"), door("guest")],
            ..RouterConfig::default()
        };
        let mut control = Control::new(0, Arc::new(config.with_trusted_role()), limits, 1);
        control.start(Now::default(), &mut Nobody);
        let mut open = |door: u16| {
            let details = Arc::new(TransportDetails::in_process());
            let key = control.guest_open(Now::default(), TransportId(door), details, &mut Nobody);
            key.expect("a place")
        };
        let (authorizer, client) = (open(0), open(1));
        let mut fixture = Self {
            control,
            now: Now::default(),
            client,
            request: FIRST,
            authorizer,
            seen: Vec::new(),
            questions: Vec::new(),
        };
        for key in [authorizer, client] {
            let roles = ClientRoles::all(Features::default());
            let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
            fixture.send(key, Message::Hello { realm: Some("realm1".into()), details });
        }
        let options = RegisterOptions::default();
        fixture.send(
            authorizer,
            Message::Register { request: FIRST, options, procedure: "com.authorize".into() },
        );
        fixture.expect(&["WELCOME"]);
        fixture
    }

    fn send(&mut self, key: SessionKey, message: Message<'_>) {
        self.control.guest_message(self.now, key, message, &mut Nobody);
        self.look();
    }

    /// Sees what has come. What the client may call is decided here; the rest are questions.
    fn look(&mut self) {
        for (key, output) in self.control.take_guest_outputs() {
            let GuestOutput::Message(message) = output else { continue };
            match message {
                Message::Invocation { request, payload, .. } => {
                    let arguments = payload.arguments().expect("arguments");
                    let text = |index: usize| arguments[index].as_str().expect("text").to_owned();
                    if text(2) == "call" {
                        let lasting = [("allow", true), ("cache", true)];
                        let lasting = lasting.map(|(key, flag)| (key.to_owned(), flag.into()));
                        self.say(request, Value::Dict(lasting.into()));
                    } else {
                        self.questions.push((request, text(1)));
                    }
                }
                message if key == self.client => self.seen.push(match message {
                    Message::Result { request, payload, .. } => {
                        format!("RESULT {request} {:?}", payload.arguments().expect("arguments"))
                    }
                    Message::Error { request, error, .. } => format!("ERROR {request} {error}"),
                    other => other.message_type().name().to_owned(),
                }),
                _ => {}
            }
        }
    }

    fn say(&mut self, request: RequestId, answer: Value) {
        let payload = Payload::from_values(SerializerId::MessagePack, &[answer], &Dict::new());
        self.send(self.authorizer, Message::Yield { request, options: YieldOptions::default(), payload });
    }

    fn call(&mut self, procedure: &'static str, arguments: &[Value], timeout_ms: u64) -> RequestId {
        let request = self.request;
        self.request = request.next();
        let options = CallOptions { timeout_ms, ..CallOptions::default() };
        let payload = Payload::from_values(SerializerId::MessagePack, arguments, &Dict::new());
        self.send(self.client, Message::Call { request, options, procedure: procedure.into(), payload });
        request
    }

    fn add_testament(&mut self, topic: &str, size: usize) -> RequestId {
        let arguments = [topic.into(), Value::List(vec!["x".repeat(size).as_str().into()])];
        let arguments = [&arguments[..], &[Value::Dict(Dict::new())]].concat();
        self.call("wamp.session.add_testament", &arguments, 0)
    }

    fn cancel(&mut self, request: RequestId, mode: CancelMode) {
        let options = CancelOptions { mode, ..CancelOptions::default() };
        self.send(self.client, Message::Cancel { request, options });
    }

    /// Answers the one question there is.
    #[track_caller]
    fn decide(&mut self, topic: &str, allow: bool) {
        let questions = std::mem::take(&mut self.questions);
        let [(request, about)] = &questions[..] else { panic!("{questions:?}") };
        assert_eq!(about, topic);
        self.say(*request, allow.into());
    }

    #[track_caller]
    fn expect(&mut self, seen: &[&str]) {
        assert_eq!(std::mem::take(&mut self.seen), seen);
    }

    /// Calls that wait, and octets of those behind the first one.
    fn waiting(&self) -> (usize, usize) {
        let octets = self.control.undecided.values().map(|undecided| undecided.octets).sum();
        (self.control.services[0].waiting.len(), octets)
    }

    /// Invocations of the service session that are not answered.
    fn invocations(&self) -> usize {
        let view = self.control.service_shard().inspect();
        let service = view.sessions().find(|session| session.key == self.control.services[0].key);
        service.expect("joined").invocations
    }
}

const FIRST: RequestId = RequestId::from_random(0);

#[test]
fn calls_go_on_in_their_order() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.add_testament("com.b", 1);
    fixture.call("wamp.session.add_testament", &[], 0);
    fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.expect(&[]);
    fixture.decide("com.a", true);
    fixture.expect(&["RESULT 1 []"]);
    fixture.decide("com.b", false);
    fixture.expect(&[
        "ERROR 2 wamp.error.not_authorized",
        "ERROR 3 wamp.error.invalid_argument",
        "RESULT 4 [Integer(1)]",
    ]);
    assert_eq!(fixture.control.undecided(), 0);
}

#[test]
fn what_is_cancelled_is_forgotten_and_never_carried_out() {
    let mut fixture = Fixture::new(Limits::default());
    let first = fixture.add_testament("com.a", 1);
    for mode in [CancelMode::KillNoWait, CancelMode::Kill].repeat(50) {
        let request = fixture.add_testament("com.b", 1 << 20);
        assert!(fixture.waiting() > (1, 1 << 20));
        fixture.cancel(request, mode);
        fixture.expect(&[&format!("ERROR {request} wamp.error.canceled")]);
        assert_eq!((fixture.waiting(), fixture.invocations()), ((1, 0), 1));
    }
    let last = fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.cancel(first, CancelMode::Kill);
    fixture.expect(&[&format!("ERROR {first} wamp.error.canceled")]);
    assert_eq!(fixture.invocations(), 1);
    fixture.decide("com.a", true);
    fixture.expect(&[&format!("RESULT {last} [Integer(0)]")]);
    assert_eq!((fixture.control.undecided(), fixture.invocations()), (0, 0));
}

#[test]
fn whose_time_is_over_is_forgotten() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.call("wamp.session.flush_testaments", &[], 5);
    assert_eq!(fixture.waiting().0, 2);
    fixture.now.monotonic_ns = 5_000_000;
    fixture.control.expire(fixture.now, &mut Nobody);
    fixture.look();
    fixture.expect(&["ERROR 2 wamp.error.timeout"]);
    assert_eq!((fixture.waiting(), fixture.invocations()), ((1, 0), 1));
}

#[test]
fn the_calls_of_who_has_left_are_forgotten() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1 << 20);
    fixture.add_testament("com.b", 1 << 20);
    fixture.control.guest_close(fixture.now, fixture.client, &mut Nobody);
    assert_eq!((fixture.waiting(), fixture.invocations()), ((0, 0), 0));
    fixture.decide("com.a", true);
    assert_eq!((fixture.control.undecided(), fixture.questions.len()), (0, 0));
}

#[test]
fn too_many_calls_are_refused() {
    let mut fixture = Fixture::new(Limits { meta_calls_per_session_max: 2, ..Limits::default() });
    fixture.add_testament("com.a", 1);
    let skipped = fixture.add_testament("com.b", 1);
    fixture.cancel(skipped, CancelMode::Skip);
    fixture.expect(&["ERROR 2 wamp.error.canceled"]);
    fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.call("wamp.session.count", &[], 0);
    fixture.expect(&[&format!("ERROR 4 {LIMIT_EXCEEDED}")]);
    assert_eq!(fixture.invocations(), 3);
    fixture.decide("com.a", true);
    fixture.decide("com.b", true);
    // nobody has told the router that the second one is not wanted
    fixture.expect(&["RESULT 1 []", "RESULT 3 [Integer(2)]"]);
    assert_eq!((fixture.control.undecided(), fixture.invocations()), (0, 0));
}

#[test]
fn calls_that_are_too_long_together_are_refused() {
    let limits = Limits { meta_call_octets_per_session_max: 3_000, ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    fixture.add_testament("com.a", 10_000);
    fixture.add_testament("com.b", 2_000);
    fixture.add_testament("com.c", 1_000);
    fixture.add_testament("com.d", 500);
    fixture.expect(&[&format!("ERROR 3 {LIMIT_EXCEEDED}")]);
    fixture.decide("com.a", true);
    // the one that is asked about does not count any more
    fixture.add_testament("com.e", 2_000);
    fixture.expect(&["RESULT 1 []"]);
    assert!((2_500..3_000).contains(&fixture.waiting().1));
    for topic in ["com.b", "com.d", "com.e"] {
        fixture.decide(topic, true);
    }
    fixture.expect(&["RESULT 2 []", "RESULT 4 []", "RESULT 5 []"]);
    assert_eq!(fixture.control.undecided(), 0);
}
