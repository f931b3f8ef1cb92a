//! Sessions that change transports while everything else goes on: letters are handed over in random order (first-in
//! first-out only within a lane), shards take their turns at random, transports break at any moment.
//!
//! Whatever happens, the client of a resumable session gets every event once, in the order of each publisher.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossring_codec::message::{self, Message};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::Value;
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    Allow, AnonymousConfig, Permission, RealmConfig, ResumptionConfig, RoleConfig, RouterConfig, Source,
    TransportAuthentication,
};
use crossring_router::control::Control;
use crossring_router::details::TransportDetails;
use crossring_router::input::Input;
use crossring_router::inspect::{RegistrySizes, ShardSizes};
use crossring_router::letter::{Lane, Letter};
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::shard::Shard;

const SEEDS: u64 = 400;
const STEPS: usize = 400;
const PUBLISHERS: usize = 3;

#[test]
fn no_event_is_lost_or_doubled() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.run(None);
        world.resume_at_last();
        world.check_events();
        world.check_call();
        world.check_empty();
    }
}

#[test]
fn a_killed_session_is_gone_whenever_that_happens() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let when = world.random.below(STEPS);
        world.run(Some(when));
        world.check_killed();
        world.check_empty();
    }
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Integer(number) => *number as u64,
        other => panic!("no number: {other:?}"),
    }
}

/// A router, and what is between its parts.
struct World {
    seed: u64,
    random: Random,
    shards: Vec<Shard>,
    control: Control,
    baseline: (RegistrySizes, Vec<ShardSizes>),
    lanes: Lanes,
    transports: Vec<Transport>,
    now: Now,
    /// Transports of the publishers, and what each has published.
    publishers: Vec<(usize, u64)>,
    /// The session that changes transports: its id, its token, its transports and what came through them.
    session: u64,
    token: String,
    attempts: Vec<usize>,
    events: BTreeMap<(u64, u64), Vec<u64>>,
    welcomes: usize,
}

type Lanes = BTreeMap<(ShardId, Lane, ShardId), VecDeque<Letter>>;

struct Transport {
    shard: ShardId,
    key: SessionKey,
    serializer: SerializerId,
    is_open: bool,
    is_ended: bool,
    received: VecDeque<Value>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 29)) % bound as u64) as usize
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 1 + random.below(4);
        let config = Arc::new(config().with_trusted_role());
        let limits = Limits::default();
        let shard = |index: usize| {
            let id = ShardId(index as u8);
            Shard::new(id, count + 1, Arc::clone(&config), limits.clone(), seed ^ index as u64)
        };
        let mut world = Self {
            seed,
            random,
            shards: (0..count).map(shard).collect(),
            control: Control::new(count, Arc::clone(&config), limits.clone(), seed),
            baseline: Default::default(),
            lanes: BTreeMap::new(),
            transports: Vec::new(),
            now: Now::default(),
            publishers: Vec::new(),
            session: 0,
            token: String::new(),
            attempts: Vec::new(),
            events: BTreeMap::new(),
            welcomes: 0,
        };
        world
            .control
            .start(world.now, &mut Wire::new(ShardId::CONTROL, &mut world.lanes, &mut world.transports));
        world.settle();
        world.baseline = world.sizes();
        world.populate();
        world
    }

    /// The publishers, another subscriber and callee of the same things, and the session that is resumed.
    fn populate(&mut self) {
        for _ in 0..PUBLISHERS {
            let transport = self.join("{}");
            self.publishers.push((transport, 0));
        }
        let beside = self.join("{}");
        self.send(beside, r#"[32,1,{},"com.x"]"#);
        self.settle();
        let first = self.join(r#"{"resumable":true}"#);
        self.attempts.push(first);
        self.settle();
        self.read_all();
        for request in [
            r#"[32,1,{},"com.x"]"#,
            r#"[32,2,{"match":"prefix"},"com."]"#,
            r#"[64,3,{"invoke":"first"},"com.y"]"#,
        ] {
            self.send(first, request);
            self.settle();
        }
        self.send(beside, r#"[64,2,{"invoke":"first"},"com.y"]"#);
        self.settle();
    }

    fn join(&mut self, details: &str) -> usize {
        let transport = self.open();
        let roles = r#""roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}"#;
        let comma = if details.len() > 2 { "," } else { "" };
        let details = &details[1..];
        self.send(transport, &format!("[1,\"realm1\",{{{roles}{comma}{details}]"));
        self.settle();
        transport
    }

    fn open(&mut self) -> usize {
        let shard = ShardId(self.random.below(self.shards.len()) as u8);
        // Few slots, which are used again at once.
        let used = |slot: u32| {
            self.transports
                .iter()
                .any(|known| known.shard == shard && known.key.slot == slot && known.is_open)
        };
        let slot = (0..).find(|slot| !used(*slot)).unwrap_or_default();
        let key = SessionKey { slot, generation: self.transports.len() as u32 + 1 };
        let serializers = [SerializerId::Json, SerializerId::MessagePack, SerializerId::Cbor];
        let serializer = serializers[self.random.below(3)];
        self.transports.push(Transport {
            shard,
            key,
            serializer,
            is_open: true,
            is_ended: false,
            received: VecDeque::new(),
        });
        let details = Arc::new(TransportDetails::default());
        self.input(shard, Input::Opened { key, transport: TransportId(0), details });
        self.transports.len() - 1
    }

    fn close(&mut self, transport: usize) {
        let known = &mut self.transports[transport];
        if std::mem::take(&mut known.is_open) {
            let (shard, key) = (known.shard, known.key);
            self.input(shard, Input::Closed { key });
        }
    }

    fn send(&mut self, transport: usize, message: &str) {
        let Transport { shard, key, is_open, is_ended, .. } = self.transports[transport];
        if is_open && !is_ended {
            let message = message::decode::decode(SerializerId::Json, message.as_bytes()).expect(message);
            self.input(shard, Input::Message { key, message });
        }
    }

    fn input(&mut self, shard: ShardId, input: Input<'_>) {
        let mut out = Wire::new(shard, &mut self.lanes, &mut self.transports);
        self.shards[shard.index()].handle(self.now, input, &mut out);
    }

    fn turn(&mut self, index: usize) {
        let mut out = Wire::new(ShardId(index as u8), &mut self.lanes, &mut self.transports);
        self.shards[index].resume(self.now, &mut out);
    }

    /// Hands over the next letter of a lane chosen at random; `false`: there is none.
    fn hand_over(&mut self) -> bool {
        let lanes: Vec<_> = self.lanes.keys().copied().collect();
        if lanes.is_empty() {
            return false;
        }
        let lane = lanes[self.random.below(lanes.len())];
        let letters = self.lanes.get_mut(&lane).expect("just seen");
        let letter = letters.pop_front().expect("empty lanes are removed");
        if letters.is_empty() {
            self.lanes.remove(&lane);
        }
        let (from, _, to) = lane;
        if to.index() < self.shards.len() {
            self.input(to, Input::Letter { from, letter });
        } else {
            let mut out = Wire::new(ShardId::CONTROL, &mut self.lanes, &mut self.transports);
            self.control.handle(self.now, from, letter, &mut out);
        }
        true
    }

    fn settle(&mut self) {
        while self.hand_over() || self.shards.iter().any(Shard::has_deferred) {
            (0..self.shards.len()).for_each(|index| self.turn(index));
        }
    }

    /// Lets everything happen at once. `kill`: at this step the session is killed.
    fn run(&mut self, kill: Option<usize>) {
        let killer = kill.map(|_| self.join("{}"));
        for step in 0..STEPS {
            if kill == Some(step) {
                let message = format!("[48,1,{{}},\"wamp.session.kill\",[{}]]", self.session);
                self.send(killer.expect("there is one"), &message);
            }
            match self.random.below(100) {
                0..64 => drop(self.hand_over()),
                64..80 => {
                    let index = self.random.below(self.shards.len());
                    self.turn(index);
                }
                80..95 => self.publish(),
                95..97 => self.lose_one(),
                _ => self.try_to_resume(),
            }
            self.read_all();
        }
        self.settle();
        self.read_all();
    }

    fn publish(&mut self) {
        let index = self.random.below(PUBLISHERS);
        self.publishers[index].1 += 1;
        let (transport, number) = self.publishers[index];
        self.send(transport, &format!("[16,{number},{{}},\"com.x\",[{index},{number}]]"));
    }

    fn lose_one(&mut self) {
        let open: Vec<usize> =
            self.attempts.iter().copied().filter(|attempt| self.transports[*attempt].is_open).collect();
        if !open.is_empty() {
            let index = self.random.below(open.len());
            self.close(open[index]);
        }
    }

    fn try_to_resume(&mut self) {
        let transport = self.open();
        self.attempts.push(transport);
        let (session, token) = (self.session, self.token.clone());
        self.send(transport, &format!(r#"[1,null,{{"resume-session":{session},"resume-token":"{token}"}}]"#));
    }

    /// What the client has received on all its transports, in the order in which it came.
    fn read_all(&mut self) {
        for attempt in self.attempts.clone() {
            while let Some(message) = self.transports[attempt].received.pop_front() {
                self.read(&message);
            }
            if self.transports[attempt].is_ended {
                self.close(attempt);
            }
        }
    }

    fn read(&mut self, message: &Value) {
        let Value::List(elements) = message else { panic!("{message:?}") };
        match number(&elements[0]) {
            2 => {
                self.welcomes += 1;
                self.session = number(&elements[1]);
                let token = elements[2].get("resume_token").and_then(Value::as_str);
                self.token = token.expect("every session is resumable").to_owned();
            }
            36 => {
                let Value::List(arguments) = &elements[4] else { panic!("{message:?}") };
                let stream = (number(&elements[1]), number(&arguments[0]));
                self.events.entry(stream).or_default().push(number(&arguments[1]));
            }
            _ => {}
        }
    }

    /// However it ended: the session is there, and can be resumed.
    fn resume_at_last(&mut self) {
        for attempt in self.attempts.clone() {
            self.close(attempt);
        }
        self.settle();
        let before = self.welcomes;
        self.try_to_resume();
        self.settle();
        self.read_all();
        assert_eq!(self.welcomes, before + 1, "seed {}: not resumed", self.seed);
        self.publish();
        self.settle();
        self.read_all();
    }

    fn check_events(&self) {
        let published: Vec<Vec<u64>> = self
            .publishers
            .iter()
            .map(|(_, count)| (1..=*count).collect())
            .filter(|all: &Vec<u64>| !all.is_empty())
            .collect();
        let subscriptions: std::collections::BTreeSet<u64> =
            self.events.keys().map(|stream| stream.0).collect();
        assert_eq!(subscriptions.len(), 2, "seed {}", self.seed);
        assert_eq!(self.events.len(), 2 * published.len(), "seed {}", self.seed);
        for ((subscription, publisher), received) in &self.events {
            let expected: Vec<u64> = (1..=self.publishers[*publisher as usize].1).collect();
            assert_eq!(*received, expected, "seed {} publisher {publisher} to {subscription}", self.seed);
        }
    }

    /// The session is still the first callee.
    fn check_call(&mut self) {
        let caller = self.publishers[0].0;
        self.send(caller, r#"[48,1000000,{},"com.y"]"#);
        self.settle();
        let last = *self.attempts.last().expect("just resumed");
        let received = self.transports[last].received.pop_front();
        let Some(Value::List(invocation)) = received else { panic!("seed {}: no INVOCATION", self.seed) };
        assert_eq!(number(&invocation[0]), 68, "seed {}", self.seed);
    }

    fn check_killed(&mut self) {
        self.try_to_resume();
        let before = self.welcomes;
        self.settle();
        self.read_all();
        assert_eq!(self.welcomes, before, "seed {}: resumed although killed", self.seed);
        let parked: usize = self.shards.iter().map(|shard| shard.inspect().sizes().parked).sum();
        assert_eq!(parked, 0, "seed {}", self.seed);
        assert_eq!(self.control.registry().inspect().sizes().parked, 0, "seed {}", self.seed);
    }

    /// When everybody has left and the time of frozen sessions is over, nothing is left.
    fn check_empty(&mut self) {
        (0..self.transports.len()).for_each(|transport| self.close(transport));
        self.settle();
        self.now.monotonic_ns += u64::from(resumption().timeout_ms) * 1_000_000;
        let mut out = Wire::new(ShardId::CONTROL, &mut self.lanes, &mut self.transports);
        self.control.expire(self.now, &mut out);
        self.settle();
        assert_eq!(self.sizes(), self.baseline, "seed {}", self.seed);
    }

    fn sizes(&self) -> (RegistrySizes, Vec<ShardSizes>) {
        let shards = self.shards.iter().map(|shard| shard.inspect().sizes()).collect();
        (self.control.registry().inspect().sizes(), shards)
    }
}

struct Wire<'a> {
    from: ShardId,
    lanes: &'a mut Lanes,
    transports: &'a mut Vec<Transport>,
}

impl<'a> Wire<'a> {
    fn new(from: ShardId, lanes: &'a mut Lanes, transports: &'a mut Vec<Transport>) -> Self {
        Self { from, lanes, transports }
    }

    fn transport(&mut self, key: SessionKey) -> Option<&mut Transport> {
        let from = self.from;
        self.transports.iter_mut().find(|known| known.shard == from && known.key == key && known.is_open)
    }
}

impl Post for Wire<'_> {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.lanes.entry((self.from, letter.lane(), to)).or_default().push_back(letter);
    }
}

impl Outbox for Wire<'_> {
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let transport = self.transport(session).ok_or(Refused::Gone)?;
        assert!(!transport.is_ended, "{message:?} behind the end");
        let mut octets = Vec::new();
        message::encode::encode(transport.serializer, message, &mut octets)
            .map_err(|_| Refused::Unrepresentable)?;
        let value = Value::decode(transport.serializer, &octets).expect("what was encoded");
        transport.received.push_back(value);
        Ok(())
    }

    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], except: Option<SessionKey>) {
        for receiver in receivers.iter().filter(|receiver| Some(**receiver) != except) {
            self.send(*receiver, event).expect("members have a transport");
        }
    }

    fn end(&mut self, session: SessionKey, _: EndCause) {
        if let Some(transport) = self.transport(session) {
            transport.is_ended = true;
        }
    }
}

fn resumption() -> ResumptionConfig {
    ResumptionConfig { events_max: 1 << 20, octets_max: 1 << 30, ..ResumptionConfig::default() }
}

fn config() -> RouterConfig {
    let everything = Permission {
        uri: "".into(),
        match_policy: Match::Prefix,
        allow: Allow::ALL,
        disclose_caller: false,
        disclose_publisher: false,
        refuse_disclose_me: false,
    };
    let role =
        RoleConfig { name: "anonymous".into(), permissions: vec![everything], ..RoleConfig::default() };
    RouterConfig {
        realms: vec![RealmConfig {
            roles: vec![role],
            resumption: Some(resumption()),
            ..RealmConfig::default()
        }],
        transports: vec![TransportAuthentication {
            anonymous: Some(Source::Static(AnonymousConfig { role: "anonymous".into(), authid: None })),
            ..TransportAuthentication::default()
        }],
        ..RouterConfig::default()
    }
}
