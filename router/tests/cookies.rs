//! Tracking cookies between shards and the registry: who is known by one, and what ends with one.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crossring_codec::message::{ClientRoles, CloseDetails, Features, HelloDetails, Message};
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    AnonymousConfig, CookieTracking, Principals, RealmConfig, ResumptionConfig, RoleConfig, RouterConfig,
    Secret, Source, TicketPrincipal, TransportAuthentication,
};
use crossring_router::control::Control;
use crossring_router::cookies::{ChangeKind, CookieRecord};
use crossring_router::details::{TransportDetails, TransportExtra};
use crossring_router::input::Input;
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::shard::Shard;

const SHARDS: usize = 2;
const MAX_AGE_MS: u64 = 1_000_000;

/// A node, and what its peers have received.
struct Node {
    shards: Vec<Shard>,
    control: Control,
    log: Log,
    transports: u32,
    unix_ms: u64,
}

#[derive(Default)]
struct Log {
    /// Who emits.
    from: Option<ShardId>,
    letters: Vec<(Option<ShardId>, ShardId, Letter)>,
    sent: Vec<((ShardId, SessionKey), Message<'static>)>,
    ended: Vec<(ShardId, SessionKey)>,
}

impl Post for Log {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.letters.push((self.from, to, letter));
    }
}

impl Outbox for Log {
    fn send(&mut self, key: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let from = self.from.expect("only data shards have peers");
        self.sent.push(((from, key), message.clone().into_owned()));
        Ok(())
    }

    fn fan_out(&mut self, _: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {}

    fn end(&mut self, key: SessionKey, _: EndCause) {
        self.ended.push((self.from.expect("only data shards have peers"), key));
    }
}

/// A transport of the node, and the cookie that it came with.
type Place = (ShardId, SessionKey);

fn config() -> RouterConfig {
    let ticket = TicketPrincipal {
        authid: "joe".into(),
        ticket: Some(Secret::new("right")),
        role: "member".into(),
        realm: None,
    };
    let transport = |cookie, names_anonymous| TransportAuthentication {
        anonymous: Some(Source::Static(AnonymousConfig { role: "member".into(), authid: None })),
        ticket: Some(Source::Static(Principals::new(vec![ticket.clone()]))),
        cookie,
        tracking: Some(CookieTracking {
            store: u16::from(names_anonymous),
            max_age_s: (MAX_AGE_MS / 1_000) as u32,
            names_anonymous,
        }),
        ..TransportAuthentication::default()
    };
    let realm = RealmConfig {
        roles: vec![RoleConfig { name: "member".into(), ..RoleConfig::default() }],
        resumption: Some(ResumptionConfig::default()),
        ..RealmConfig::default()
    };
    RouterConfig {
        realms: vec![realm],
        transports: vec![transport(true, false), transport(false, true)],
        entropy: Secret::new("entropy"),
        ..RouterConfig::default()
    }
    .with_trusted_role()
}

impl Node {
    fn new() -> Self {
        let (config, limits) = (Arc::new(config()), Limits::default());
        let shard =
            |id| Shard::new(ShardId(id as u8), SHARDS + 1, config.clone(), limits.clone(), 7 + id as u64);
        let mut node = Self {
            shards: (0..SHARDS).map(shard).collect(),
            control: Control::new(SHARDS, config.clone(), limits.clone(), 1),
            log: Log::default(),
            transports: 0,
            unix_ms: 1_000,
        };
        let now = node.now();
        node.control.start(now, &mut node.log);
        node.settle();
        node
    }

    fn now(&self) -> Now {
        Now { monotonic_ns: self.unix_ms * 1_000_000, unix_ms: self.unix_ms }
    }

    fn input(&mut self, shard: ShardId, input: Input<'_>) {
        let now = self.now();
        self.log.from = Some(shard);
        self.shards[shard.index()].handle(now, input, &mut self.log);
        self.settle();
    }

    /// Until no letter is under way.
    fn settle(&mut self) {
        let now = self.now();
        loop {
            let letters = std::mem::take(&mut self.log.letters);
            let is_idle = letters.is_empty() && !self.shards.iter().any(Shard::has_deferred);
            for (from, to, letter) in letters {
                if to.index() < SHARDS {
                    self.log.from = Some(to);
                    let input = Input::Letter { from: from.unwrap_or(ShardId::CONTROL), letter };
                    self.shards[to.index()].handle(now, input, &mut self.log);
                } else {
                    self.log.from = None;
                    self.control.handle(now, from.expect("a data shard"), letter, &mut self.log);
                }
            }
            for shard in &mut self.shards {
                self.log.from = Some(shard.id());
                shard.resume(now, &mut self.log);
            }
            if is_idle {
                return;
            }
        }
    }

    fn open(&mut self, transport: u16, cookie: &str) -> Place {
        let place =
            (ShardId((self.transports % 2) as u8), SessionKey { slot: self.transports, generation: 1 });
        self.transports += 1;
        let extra = TransportExtra { http_cbtid: Some(Secret::new(cookie)), ..TransportExtra::default() };
        let details = TransportDetails { extra: Some(Box::new(extra)), ..TransportDetails::default() };
        let transport = TransportId(transport);
        self.input(place.0, Input::Opened { key: place.1, transport, details: Arc::new(details) });
        place
    }

    fn message(&mut self, place: Place, message: Message<'static>) {
        self.input(place.0, Input::Message { key: place.1, message });
    }

    /// What the peer got last.
    fn got(&self, place: Place) -> &Message<'static> {
        let found = self.log.sent.iter().rev().find(|(at, _)| *at == place);
        &found.expect("something was sent").1
    }

    fn hello(&mut self, place: Place, methods: &[&str]) {
        let details = HelloDetails {
            roles: ClientRoles::all(Features::default()),
            authmethods: methods.iter().map(|method| (*method).to_owned().into()).collect(),
            authid: Some("joe".into()),
            resumable: true,
            ..HelloDetails::default()
        };
        self.message(place, Message::Hello { realm: Some("realm1".into()), details: Box::new(details) });
    }

    /// Joins with a ticket.
    fn log_in(&mut self, cookie: &str) -> Place {
        let place = self.open(0, cookie);
        self.hello(place, &["ticket"]);
        self.message(place, Message::Authenticate { signature: "right".into(), extra: Vec::new() });
        assert_eq!(self.who(place), Some(("joe".to_owned(), "static".to_owned())));
        place
    }

    /// Joins with the cookie alone; whether that is enough.
    fn come_back(&mut self, cookie: &str) -> Option<Place> {
        let place = self.open(0, cookie);
        self.hello(place, &["cookie"]);
        let who = self.who(place);
        assert!(who.as_ref().is_none_or(|(_, provider)| provider == "cookie"), "{who:?}");
        who.map(|_| place)
    }

    /// `authid` and `authprovider` of WELCOME.
    fn who(&self, place: Place) -> Option<(String, String)> {
        let Message::Welcome { details, .. } = self.got(place) else { return None };
        Some((details.authid.as_deref()?.to_owned(), details.authprovider.as_deref()?.to_owned()))
    }

    fn leave(&mut self, place: Place, reason: &'static str) {
        self.message(place, Message::Goodbye { details: CloseDetails::default(), reason: reason.into() });
    }

    fn issue(&mut self, cookie: &str) {
        let now = self.now();
        self.control.cookie_issued(now, TransportId(0), Secret::new(cookie));
    }

    fn is_known(&self, cookie: &str) -> bool {
        self.control.is_known_cookie(self.now(), TransportId(0), &Secret::new(cookie))
    }

    fn changes(&mut self) -> Vec<(ChangeKind, Option<String>)> {
        let changes = self.control.take_cookie_changes().into_iter();
        changes.map(|it| (it.kind, it.record.login.map(|login| login.authid.into_string()))).collect()
    }
}

#[test]
fn a_login_is_kept_with_its_cookie_until_it_is_taken_back() {
    let mut node = Node::new();
    node.issue("a");
    assert_eq!(node.come_back("a"), None);
    node.log_in("a");
    let joe = || Some("joe".to_owned());
    assert_eq!(node.changes(), [(ChangeKind::Created, joe())]);
    assert!(node.come_back("a").is_some());
    assert_eq!(node.changes(), []);
    let other = node.open(0, "a");
    node.hello(other, &["smoke"]);
    assert_eq!(node.changes(), [(ChangeKind::Modified, None)]);
    assert_eq!(node.come_back("a"), None);
}

#[test]
fn a_cookie_that_was_not_set_here_keeps_nothing() {
    let mut node = Node::new();
    node.log_in("a");
    assert_eq!((node.changes(), node.is_known("a")), (vec![], false));
    assert_eq!(node.come_back("a"), None);
}

#[test]
fn a_login_ends_with_the_age_of_its_cookie() {
    let mut node = Node::new();
    node.issue("a");
    node.log_in("a");
    node.unix_ms += MAX_AGE_MS - 1;
    assert!(node.is_known("a") && node.come_back("a").is_some());
    node.unix_ms += 1;
    assert!(!node.is_known("a") && node.come_back("a").is_none());
}

#[test]
fn what_was_kept_is_good_after_a_restart() {
    let mut before = Node::new();
    before.issue("a");
    before.log_in("a");
    let kept: Vec<CookieRecord> = before.control.kept_cookies(0).cloned().collect();
    let mut after = Node::new();
    let now = after.now();
    after.control.load_cookies(now, 0, kept);
    assert!(after.is_known("a") && after.come_back("a").is_some());
}

#[test]
fn a_logout_ends_all_sessions_with_the_cookie_wherever_they_are() {
    let mut node = Node::new();
    node.issue("a");
    node.issue("b");
    let first = node.log_in("a");
    let others: Vec<Place> = (0..4).map(|_| node.come_back("a").expect("known")).collect();
    let frozen = node.come_back("a").expect("known");
    node.input(frozen.0, Input::Closed { key: frozen.1 });
    let stranger = node.log_in("b");
    node.leave(first, "wamp.close.logout");
    assert!(
        matches!(node.got(first), Message::Goodbye { reason, .. } if reason == "wamp.close.goodbye_and_out")
    );
    for other in others {
        assert!(matches!(node.got(other), Message::Goodbye { reason, .. } if reason == "wamp.close.logout"));
        assert!(node.log.ended.contains(&other), "{other:?} is still connected");
    }
    assert!(matches!(node.got(stranger), Message::Welcome { .. }));
    let joined = node.control.registry().inspect().sessions().count();
    assert_eq!(joined, 1, "the session without transport has ended, too");
    assert!(!node.is_known("a") && node.come_back("a").is_none());
}

#[test]
fn an_ordinary_goodbye_leaves_the_login() {
    let mut node = Node::new();
    node.issue("a");
    let first = node.log_in("a");
    let second = node.come_back("a").expect("known");
    node.leave(first, "wamp.close.normal");
    assert!(matches!(node.got(second), Message::Welcome { .. }));
    assert!(node.come_back("a").is_some());
}

#[test]
fn anonymous_sessions_have_the_cookies_name_where_it_logs_nobody_in() {
    let mut node = Node::new();
    for (transport, is_named) in [(0, false), (1, true)] {
        let place = node.open(transport, "a-cookie");
        node.hello(place, &["anonymous"]);
        let (authid, _) = node.who(place).expect("anybody may join");
        assert_eq!(authid == "a-cookie", is_named, "transport {transport}");
    }
}
