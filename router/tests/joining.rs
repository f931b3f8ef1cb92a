//! What attempts to join may not do: guess on and on, find out who exists, use a challenge twice.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::sync::Arc;

use crossring_codec::message::{ClientRoles, Features, HelloDetails, Message};
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    AnonymousConfig, CraPrincipal, KeyHolders, Principals, RealmConfig, RoleConfig, RouterConfig, Secret,
    Source, TicketPrincipal, TransportAuthentication, Trustroot,
};
use crossring_router::credentials::certificates::{Address, Root};
use crossring_router::credentials::cra;
use crossring_router::credentials::cryptosign::{octets, sign};
use crossring_router::details::{Peer, TransportDetails};
use crossring_router::input::Input;
use crossring_router::letter::Letter;
use crossring_router::limits::{FailureLimits, Limits};
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

const MS: u64 = 1_000_000;

/// The account of the root of the chains in `certificates`, and the key that they certify.
const ROOT: &str = "0xf766Dc789CF04CD18aE75af2c5fAf2DA6650Ff57";
const SEED: &str = "53d1c94c83e7e78f607bb79e79e3c850b4a6f59cf27c9aba91b44346ea329893";

/// One shard, its registry, and what its peers have received.
struct Router {
    shard: Shard,
    registry: Registry,
    log: Log,
    transports: u32,
    now_ms: u64,
}

#[derive(Default)]
struct Log {
    letters: Vec<(ShardId, Letter)>,
    sent: Vec<Message<'static>>,
    ended: Vec<SessionKey>,
}

impl Post for Log {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.letters.push((to, letter));
    }
}

impl Outbox for Log {
    fn send(&mut self, _: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        self.sent.push(message.clone().into_owned());
        Ok(())
    }

    fn fan_out(&mut self, _: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {}

    fn end(&mut self, key: SessionKey, _: EndCause) {
        self.ended.push(key);
    }
}

fn config() -> RouterConfig {
    let member = || RoleConfig { name: "member".into(), ..RoleConfig::default() };
    let ticket = TicketPrincipal {
        authid: "joe".into(),
        ticket: Some(Secret::new("right")),
        role: "member".into(),
        realm: None,
    };
    let cra = CraPrincipal {
        authid: "joe".into(),
        key: Some(Secret::new("right")),
        derivation: None,
        role: "member".into(),
        realm: None,
    };
    let trustroot = Trustroot {
        requested_realm: "realm1".into(),
        root: Root::Account(Address::parse(ROOT).expect("an address")),
        block: None,
        role: "member".into(),
        realm: None,
    };
    let transport = TransportAuthentication {
        anonymous: Some(Source::Static(AnonymousConfig { role: "member".into(), authid: None })),
        ticket: Some(Source::Static(Principals::new(vec![ticket]))),
        cra: Some(Source::Static(Principals::new(vec![cra]))),
        cryptosign: Some(Source::Static(KeyHolders::Trustroots(vec![trustroot]))),
        ..TransportAuthentication::default()
    };
    RouterConfig {
        realms: vec![RealmConfig { roles: vec![member()], ..RealmConfig::default() }],
        transports: vec![transport],
        entropy: Secret::new("entropy"),
        ..RouterConfig::default()
    }
}

impl Router {
    fn new() -> Self {
        let failures = FailureLimits { pair_max: 3, address_max: 8, ..FailureLimits::default() };
        let limits = Limits { failures, ..Limits::default() };
        let config = Arc::new(config());
        Self {
            shard: Shard::new(ShardId(0), 1, Arc::clone(&config), limits.clone(), 1),
            registry: Registry::new(1, config, limits, 1),
            log: Log::default(),
            transports: 0,
            now_ms: 0,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let now = Now { monotonic_ns: self.now_ms * MS, unix_ms: self.now_ms };
        self.shard.handle(now, input, &mut self.log);
        while !self.log.letters.is_empty() {
            for (to, letter) in std::mem::take(&mut self.log.letters) {
                if to == ShardId::CONTROL {
                    self.registry.handle(now, ShardId(0), letter, &mut self.log);
                } else {
                    self.shard.handle(now, Input::Letter { from: ShardId::CONTROL, letter }, &mut self.log);
                }
            }
        }
    }

    fn open(&mut self, address: &str) -> SessionKey {
        let key = SessionKey { slot: self.transports, generation: 1 };
        self.transports += 1;
        let address: IpAddr = address.parse().expect("an address");
        let details = TransportDetails { peer: Peer::Tcp(address, 4000), ..TransportDetails::default() };
        self.input(Input::Opened { key, transport: TransportId(0), details: Arc::new(details) });
        key
    }

    fn hello(&mut self, key: SessionKey, method: &str, authid: &str) -> Message<'static> {
        self.hello_with(key, method, authid, Dict::new())
    }

    fn hello_with(
        &mut self,
        key: SessionKey,
        method: &str,
        authid: &str,
        authextra: Dict,
    ) -> Message<'static> {
        let details = HelloDetails {
            roles: ClientRoles::all(Features::default()),
            authmethods: vec![method.to_owned().into()],
            authid: Some(authid.to_owned().into()),
            authextra,
            ..HelloDetails::default()
        };
        let message = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
        self.input(Input::Message { key, message });
        self.log.sent.pop().expect("an answer")
    }

    fn authenticate(&mut self, key: SessionKey, signature: &str) -> Message<'static> {
        let message = Message::Authenticate { signature: signature.to_owned().into(), extra: Vec::new() };
        self.input(Input::Message { key, message });
        self.log.sent.pop().expect("an answer")
    }

    /// A whole attempt, over a transport of its own; `WELCOME`, or the reason and message of ABORT.
    fn attempt(&mut self, address: &str, authid: &str, ticket: &str) -> String {
        let key = self.open(address);
        let answer = match self.hello(key, "ticket", authid) {
            Message::Challenge { .. } => self.authenticate(key, ticket),
            other => other,
        };
        assert_eq!(self.log.ended.contains(&key), !matches!(answer, Message::Welcome { .. }));
        told(&answer)
    }
}

/// What HELLO has of a chain in `certificates`.
fn chain(name: &str) -> Dict {
    let file = include_str!("certificates/chains.json").as_bytes();
    let file = Value::decode(SerializerId::Json, file).expect("JSON");
    let Some(Value::List(chains)) = file.get("chains") else { panic!("chains") };
    let is_named = |chain: &&Value| chain.get("name").and_then(Value::as_str) == Some(name);
    let chain = chains.iter().find(is_named).expect("a chain of that name");
    let entry = |key: &str| (key.to_owned(), chain.get(key).expect(key).clone());
    ["pubkey", "trustroot", "certificates"].map(entry).into()
}

fn told(message: &Message<'_>) -> String {
    match message {
        Message::Abort { reason, details } => {
            format!("{reason}: {}", details.message.as_deref().unwrap_or_default())
        }
        other => other.message_type().name().to_owned(),
    }
}

const WRONG: &str = "wamp.error.not_authorized: ticket in static WAMP-Ticket authentication is invalid";
const TOO_MANY: &str = "wamp.error.authentication_denied: too many failed attempts: try again later";

#[test]
fn who_guesses_has_to_wait_longer_and_longer() {
    let mut router = Router::new();
    for _ in 0..3 {
        assert_eq!(router.attempt("10.0.0.1", "joe", "wrong"), WRONG);
    }
    assert_eq!(router.attempt("10.0.0.1", "joe", "right"), TOO_MANY, "the right one is not looked at");
    assert_eq!(router.attempt("10.0.0.2", "joe", "right"), "WELCOME", "nobody else has to wait");
    router.now_ms = 1_000;
    assert_eq!(router.attempt("10.0.0.1", "joe", "wrong"), WRONG);
    router.now_ms = 2_999;
    assert_eq!(router.attempt("10.0.0.1", "joe", "right"), TOO_MANY);
    router.now_ms = 3_000;
    assert_eq!(router.attempt("10.0.0.1", "joe", "right"), "WELCOME");
    assert_eq!(router.attempt("10.0.0.1", "joe", "wrong"), WRONG, "a success forgives");
}

#[test]
fn limits_are_the_same_whether_or_not_somebody_of_that_name_exists() {
    let answers = ["joe", "nobody"].map(|authid| {
        let mut router = Router::new();
        let tries = [0, 0, 0, 0, 1_000, 1_000, 3_000, 3_000];
        tries.map(|now_ms| {
            router.now_ms = now_ms;
            router.attempt("10.0.0.1", authid, "wrong")
        })
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].iter().filter(|answer| *answer == TOO_MANY).count(), 3);
}

#[test]
fn an_address_that_tries_many_names_has_to_wait_but_not_for_anonymous_sessions() {
    let mut router = Router::new();
    assert_eq!(router.attempt("10.0.0.1", "joe", "right"), "WELCOME");
    for index in 0..8 {
        assert_eq!(router.attempt("10.0.0.1", &format!("name{index}"), "wrong"), WRONG);
    }
    assert_eq!(router.attempt("10.0.0.1", "other", "wrong"), TOO_MANY);
    assert_eq!(router.attempt("10.0.0.1", "joe", "right"), "WELCOME", "it has joined from there before");
    let key = router.open("10.0.0.1");
    assert_eq!(told(&router.hello(key, "anonymous", "")), "WELCOME");
}

#[test]
fn many_challenges_at_once_are_no_way_around_the_limit() {
    let mut router = Router::new();
    let keys: Vec<SessionKey> = (0..50).map(|_| router.open("10.0.0.1")).collect();
    for key in &keys {
        assert_eq!(told(&router.hello(*key, "ticket", "joe")), "CHALLENGE");
    }
    let answers: Vec<String> = keys.iter().map(|key| told(&router.authenticate(*key, "wrong"))).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == WRONG).count(), 3);
    assert_eq!(answers.iter().filter(|answer| *answer == TOO_MANY).count(), 47);
}

#[test]
fn a_fleet_behind_one_address_may_come_back_all_at_once() {
    let mut router = Router::new();
    for _ in 0..1_000 {
        assert_eq!(router.attempt("10.0.0.1", "joe", "right"), "WELCOME");
    }
}

#[test]
fn a_denied_attempt_ends_its_transport() {
    let mut router = Router::new();
    let key = router.open("10.0.0.1");
    router.hello(key, "ticket", "joe");
    assert_eq!(told(&router.authenticate(key, "wrong")), WRONG);
    assert_eq!(router.log.ended, [key]);
    let details = HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
    let message = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
    router.input(Input::Message { key, message });
    assert_eq!(router.log.sent, [], "there is no second attempt on it");
}

/// The dear part is done for those who have proved their key, and not often for those who present wrong chains.
#[test]
fn a_wrong_chain_is_a_failure() {
    let mut router = Router::new();
    let mut attempt = |now_ms: u64, name: &str| {
        router.now_ms = now_ms;
        let key = router.open("10.0.0.1");
        let answer = router.hello_with(key, "cryptosign", "delegate", chain(name));
        let Message::Challenge { .. } = answer else { return told(&answer) };
        let text = octets(&challenge(&answer)).expect("32 octets");
        let signature = sign(&octets(SEED).expect("32 octets"), &text);
        told(&router.authenticate(key, &signature))
    };
    let own = "root, authority, delegate";
    assert_eq!(attempt(0, own), "WELCOME");
    let unread = "invalid client certificates: certificate 0: invalid primaryType";
    for _ in 0..5 {
        assert_eq!(attempt(0, "an authority comes first"), format!("wamp.error.not_authorized: {unread}"));
    }
    let wrong = "wamp.error.not_authorized: invalid client certificates: certificate 1: invalid signature";
    for _ in 0..3 {
        assert_eq!(attempt(0, "authority signed by a stranger"), wrong);
    }
    assert_eq!(attempt(999, own), TOO_MANY);
    assert_eq!(attempt(1_000, own), "WELCOME");
}

#[test]
fn a_challenge_is_good_for_one_answer() {
    let mut router = Router::new();
    let key = router.open("10.0.0.1");
    let first = challenge(&router.hello(key, "wampcra", "joe"));
    assert_eq!(told(&router.authenticate(key, "wrong")).split(':').next(), Some("wamp.error.not_authorized"));
    let signature = cra::sign("right", &first);
    let message = Message::Authenticate { signature: signature.clone().into(), extra: Vec::new() };
    router.input(Input::Message { key, message });
    assert_eq!(router.log.sent, [], "not the right answer after a wrong one");

    let key = router.open("10.0.0.1");
    let second = challenge(&router.hello(key, "wampcra", "joe"));
    assert_ne!(first, second);
    let answer = told(&router.authenticate(key, &signature));
    assert_eq!(answer, "wamp.error.not_authorized: WAMP-CRA client signature is invalid", "not a replay");

    let key = router.open("10.0.0.1");
    let third = challenge(&router.hello(key, "wampcra", "joe"));
    assert_eq!(told(&router.authenticate(key, &cra::sign("right", &third))), "WELCOME");
}

fn challenge(message: &Message<'_>) -> String {
    let Message::Challenge { extra, .. } = message else { panic!("{message:?}") };
    let text = extra.iter().find(|(name, _)| name == "challenge").and_then(|(_, value)| value.as_str());
    text.map(str::to_owned).unwrap_or_else(|| panic!("{:?}", Value::Dict(extra.clone())))
}
