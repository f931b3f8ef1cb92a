//! A router in memory: shards, registry and lanes, run until nothing moves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossring_codec::message::{self, Message};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_router::address::{Now, SessionKey, ShardId};
use crossring_router::control::Control;
use crossring_router::details::{ChannelFraming, ChannelType, Peer, TransportDetails};
use crossring_router::input::Input;
use crossring_router::inspect::{RegistrySizes, ShardSizes};
use crossring_router::letter::{Lane, Letter};
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::shard::Shard;
use crossring_router::statistics::Traffic;

use self::config::{RESUMPTION_MS, config, door};
use crate::script::Driver;

#[path = "config.rs"]
mod config;

/// See the module.
pub(crate) struct Node {
    shards: Vec<Shard>,
    control: Control,
    /// What the node holds without any client.
    baseline: (RegistrySizes, ShardSizes),
    lanes: Lanes,
    clients: BTreeMap<String, Client>,
    now: Now,
}

type Lanes = BTreeMap<(ShardId, Lane, ShardId), VecDeque<Letter>>;

struct Client {
    shard: ShardId,
    key: SessionKey,
    is_open: bool,
    is_ended: bool,
    limit: usize,
    received: VecDeque<String>,
    /// What it has sent and received, and the size of a rated message; if that is counted.
    traffic: Option<(Traffic, u32)>,
}

impl Client {
    fn count(&mut self, size: usize) {
        if let Some((traffic, rated_size)) = &mut self.traffic {
            traffic.add(size as u64, *rated_size);
        }
    }
}

impl Node {
    /// A node whose clients live on the given shards.
    pub(crate) fn new<'a>(shards: usize, places: impl Iterator<Item = (&'a str, usize)>) -> Self {
        Self::with_doors(shards, places.map(|(name, place)| (name, place, "static")))
    }

    /// A node whose clients live on the given shards, and come by the listening transports of the given names.
    pub(crate) fn with_doors<'a>(
        shards: usize,
        places: impl Iterator<Item = (&'a str, usize, &'a str)>,
    ) -> Self {
        let config = Arc::new(config().with_trusted_role());
        let limits = Limits::default();
        let shard = |index: usize| {
            let id = ShardId(index as u8);
            Shard::new(id, shards + 1, Arc::clone(&config), limits.clone(), 7 + index as u64)
        };
        let mut node = Self {
            shards: (0..shards).map(shard).collect(),
            control: Control::new(shards, Arc::clone(&config), limits.clone(), 7),
            baseline: Default::default(),
            lanes: BTreeMap::new(),
            clients: BTreeMap::new(),
            now: Now::default(),
        };
        let from = ShardId::CONTROL;
        let mut out = Wire { from, lanes: &mut node.lanes, clients: &mut node.clients };
        node.control.start(Now::default(), &mut out);
        node.settle();
        node.baseline = (node.control.registry().inspect().sizes(), node.shards[0].inspect().sizes());
        for (slot, (name, place, by)) in places.enumerate() {
            let key = SessionKey { slot: slot as u32, generation: 1 };
            let shard = ShardId(place as u8);
            let client = Client {
                shard,
                key,
                is_open: true,
                is_ended: false,
                limit: usize::MAX,
                received: VecDeque::new(),
                traffic: None,
            };
            node.clients.insert(name.to_owned(), client);
            node.input(shard, Input::Opened { key, transport: door(by), details: transport() });
        }
        node
    }

    /// Breaks all transports; nothing may stay.
    pub(crate) fn check_empty_after_all_left(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in names {
            self.lose(&name);
        }
        self.wait(RESUMPTION_MS);
        for shard in &self.shards {
            let sizes = shard.inspect().sizes();
            if sizes != self.baseline.1 {
                return Err(format!("left on shard {:?}: {sizes:?}", shard.id()));
            }
        }
        if self.control.undecided() > 0 {
            return Err(format!("left: {} that wait for authorizers", self.control.undecided()));
        }
        let sizes = self.control.registry().inspect().sizes();
        if sizes == self.baseline.0 { Ok(()) } else { Err(format!("left: {sizes:?}")) }
    }

    fn input(&mut self, shard: ShardId, input: Input<'_>) {
        let mut out = Wire { from: shard, lanes: &mut self.lanes, clients: &mut self.clients };
        self.shards[shard.index()].handle(self.now, input, &mut out);
    }

    /// The next time at which anything is due.
    fn deadline(&self) -> Option<u64> {
        let shards = self.shards.iter().filter_map(Shard::deadline);
        shards.chain(self.control.deadline()).min()
    }

    fn expire(&mut self) {
        for shard in &mut self.shards {
            let mut out = Wire { from: shard.id(), lanes: &mut self.lanes, clients: &mut self.clients };
            shard.expire(self.now, &mut out);
        }
        let from = ShardId::CONTROL;
        let mut out = Wire { from, lanes: &mut self.lanes, clients: &mut self.clients };
        self.control.expire(self.now, &mut out);
        self.settle();
    }

    /// Hands letters over, the urgent ones first, until there is nothing left to do.
    fn settle(&mut self) {
        while self.step(0) || self.shards.iter().any(Shard::has_deferred) {}
    }

    /// Hands over the first letter of one of the lanes that have any; `false`: none has. `choice` decides which: 0 is the
    /// most urgent.
    pub(crate) fn step(&mut self, choice: usize) -> bool {
        for shard in &mut self.shards {
            let mut out = Wire { from: shard.id(), lanes: &mut self.lanes, clients: &mut self.clients };
            shard.resume(self.now, &mut out);
        }
        let mut waiting: Vec<_> = self.lanes.iter_mut().filter(|(_, letters)| !letters.is_empty()).collect();
        let count = waiting.len().max(1);
        let Some((lane, letters)) = waiting.get_mut(choice % count) else { return false };
        let ((from, _, to), letter) = (**lane, letters.pop_front().expect("not empty"));
        if to.index() < self.shards.len() {
            self.input(to, Input::Letter { from, letter });
        } else {
            let control = ShardId::CONTROL;
            let mut out = Wire { from: control, lanes: &mut self.lanes, clients: &mut self.clients };
            self.control.handle(self.now, from, letter, &mut out);
            self.control.derive_all(self.now, &mut out);
        }
        true
    }
}

impl Driver for Node {
    fn send(&mut self, client: &str, message: &str, is_pipelined: bool) {
        let (shard, key) = (self.clients[client].shard, self.clients[client].key);
        self.clients.get_mut(client).expect("a known client").count(message.len());
        match message::decode::decode(SerializerId::Json, message.as_bytes()) {
            Ok(message) => self.input(shard, Input::Message { key, message }),
            Err(error) => self.input(shard, Input::Violation { key, text: &format!("{error:?}") }),
        }
        if !is_pipelined {
            self.settle();
        }
    }

    fn receive(&mut self, client: &str) -> Option<String> {
        self.clients.get_mut(client)?.received.pop_front()
    }

    fn lose(&mut self, client: &str) {
        let Some(client) = self.clients.get_mut(client) else { return };
        if std::mem::take(&mut client.is_open) {
            let (shard, key) = (client.shard, client.key);
            self.input(shard, Input::Closed { key });
            self.settle();
        }
    }

    fn is_ended(&mut self, client: &str) -> bool {
        self.clients[client].is_ended
    }

    fn limit(&mut self, client: &str, octets: usize) {
        if let Some(client) = self.clients.get_mut(client) {
            client.limit = octets;
        }
    }

    fn wait(&mut self, ms: u64) {
        let until_ns = self.now.monotonic_ns + ms * NS_PER_MS;
        while let Some(due_ns) = self.deadline().filter(|due_ns| *due_ns <= until_ns) {
            self.now.monotonic_ns = due_ns.max(self.now.monotonic_ns);
            self.expire();
        }
        self.now.monotonic_ns = until_ns;
        self.now.unix_ms += ms;
    }
}

const NS_PER_MS: u64 = 1_000_000;

struct Wire<'a> {
    from: ShardId,
    lanes: &'a mut Lanes,
    clients: &'a mut BTreeMap<String, Client>,
}

impl Post for Wire<'_> {
    fn post(&mut self, to: ShardId, letter: Letter) {
        assert_ne!(self.from, to, "a shard does not write to itself");
        self.lanes.entry((self.from, letter.lane(), to)).or_default().push_back(letter);
    }
}

impl Outbox for Wire<'_> {
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let mut octets = Vec::new();
        message::encode::encode(SerializerId::Json, message, &mut octets)
            .map_err(|_| Refused::Unrepresentable)?;
        let client = self.clients.values_mut().find(|client| client.key == session);
        let Some(client) = client.filter(|client| client.is_open) else { return Err(Refused::Gone) };
        assert_eq!(client.shard, self.from, "a message from the wrong shard");
        assert!(!client.is_ended, "{message:?} behind the end");
        if octets.len() > client.limit {
            return Err(Refused::TooLarge);
        }
        client.count(octets.len());
        client.received.push_back(String::from_utf8(octets).expect("JSON is UTF-8"));
        Ok(())
    }

    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], except: Option<SessionKey>) {
        for receiver in receivers.iter().filter(|receiver| Some(**receiver) != except) {
            let _ = self.send(*receiver, event);
        }
    }

    fn end(&mut self, session: SessionKey, _cause: EndCause) {
        for client in self.clients.values_mut().filter(|client| client.key == session) {
            client.is_ended = true;
        }
    }

    fn count(&mut self, session: SessionKey, rated_size: u32) {
        for client in self.clients.values_mut().filter(|client| client.key == session) {
            client.traffic = Some((Traffic::default(), rated_size));
        }
    }

    fn traffic(&self, session: SessionKey) -> Traffic {
        let client = self.clients.values().find(|client| client.key == session);
        client.and_then(|client| client.traffic).map(|(traffic, _)| traffic).unwrap_or_default()
    }
}

/// What the workers of a real node would say of a RawSocket connection.
fn transport() -> Arc<TransportDetails> {
    Arc::new(TransportDetails {
        channel_type: Some(ChannelType::Tcp),
        channel_framing: Some(ChannelFraming::RawSocket),
        serializer: Some(Serializer::JSON),
        is_server: true,
        peer: Peer::tcp(([127, 0, 0, 1], 50_000).into()),
        own_pid: 17,
        own_tid: 18,
        ..TransportDetails::default()
    })
}
