//! The transcripts of the router core over real sockets: every script with every client on another combination of
//! transport and serializer, on one and on two shards.

#![forbid(unsafe_code)]

#[path = "transcripts/flatbuffers.rs"]
mod flatbuffers;
#[path = "../router/tests/transcripts/script.rs"]
mod script;
mod support;

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::{
    Incoming, RawSocketClientOptions, Transport, WebSocketClientOptions, WebSocketUrl,
};
use crossring_codec::value::Value;
use script::{Driver, Script};
use serde_json::json;
use support::{Address, PATIENCE, Router, free_port};
use tempfile::TempDir;

/// How long clients that should receive nothing more are listened to, all at the same time.
const SILENCE: Duration = Duration::from_millis(20);

/// Routers that share the scripts: most of the time is spent listening to silence.
const ROUTERS: usize = 4;

/// Time that a script may take to wait.
const WAIT_MS_MAX: u64 = 200;

#[test]
fn over_sockets_on_one_shard() {
    run_all(1);
}

#[test]
fn over_sockets_on_two_shards() {
    run_all(2);
}

/// What one run leaves in the history is there in the next.
const ONLY_IN_MEMORY: &str = "history.wamp";

/// A file that nobody runs shows nothing.
#[test]
fn every_file_is_run() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/router/tests/transcripts");
    for entry in std::fs::read_dir(directory).expect("the transcripts are there") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "wamp") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let is_elsewhere = path.file_name().is_some_and(|name| name == ONLY_IN_MEMORY);
            assert!(is_elsewhere || FILES.contains(&&*text), "{} is not run", path.display());
        }
    }
}

const FILES: &[&str] = &[
    include_str!("../router/tests/transcripts/traces.wamp"),
    include_str!("../router/tests/transcripts/establishment.wamp"),
    include_str!("../router/tests/transcripts/authentication.wamp"),
    include_str!("../router/tests/transcripts/authentication_dynamic.wamp"),
    include_str!("../router/tests/transcripts/authentication_methods.wamp"),
    include_str!("../router/tests/transcripts/authorization.wamp"),
    include_str!("../router/tests/transcripts/authorizer.wamp"),
    include_str!("../router/tests/transcripts/authorizer_loss.wamp"),
    include_str!("../router/tests/transcripts/identifiers.wamp"),
    include_str!("../router/tests/transcripts/publish.wamp"),
    include_str!("../router/tests/transcripts/patterns.wamp"),
    include_str!("../router/tests/transcripts/retained.wamp"),
    include_str!("../router/tests/transcripts/calls.wamp"),
    include_str!("../router/tests/transcripts/leaving.wamp"),
    include_str!("../router/tests/transcripts/timeouts.wamp"),
    include_str!("../router/tests/transcripts/progressive_invocations.wamp"),
    include_str!("../router/tests/transcripts/reroute.wamp"),
    include_str!("../router/tests/transcripts/passthru.wamp"),
    include_str!("../router/tests/transcripts/answers.wamp"),
    include_str!("../router/tests/transcripts/race_cancel_vs_result.wamp"),
    include_str!("../router/tests/transcripts/race_callee_loss_vs_timeout.wamp"),
    include_str!("../router/tests/transcripts/resumption.wamp"),
    include_str!("../router/tests/transcripts/race_resume_vs_kill.wamp"),
    include_str!("../router/tests/transcripts/resumption_ends.wamp"),
    include_str!("../router/tests/transcripts/meta_bridge.wamp"),
    include_str!("../router/tests/transcripts/meta_session.wamp"),
    include_str!("../router/tests/transcripts/meta_kill.wamp"),
    include_str!("../router/tests/transcripts/meta_subscription.wamp"),
    include_str!("../router/tests/transcripts/meta_registration.wamp"),
    include_str!("../router/tests/transcripts/meta_order.wamp"),
    include_str!("../router/tests/transcripts/meta_schema.wamp"),
    include_str!("../router/tests/transcripts/testaments.wamp"),
    include_str!("../router/tests/transcripts/session_details.wamp"),
    include_str!("../router/tests/transcripts/trust.wamp"),
    include_str!("../router/tests/transcripts/sharding.wamp"),
    include_str!("../router/tests/transcripts/disclosure.wamp"),
    include_str!("../router/tests/transcripts/queue.wamp"),
    include_str!("../router/tests/transcripts/retained_expiry.wamp"),
];

fn run_all(shards: usize) {
    let parsed =
        FILES.iter().flat_map(|text| Script::parse(text).into_iter().map(move |script| (*text, script)));
    let scripts: Vec<Script<'_>> = parsed
        .filter(|(text, script)| match not_over_sockets(text, script, shards) {
            Some(reason) => {
                println!("left to the run in memory: {}: {reason}", script.title);
                false
            }
            None => true,
        })
        .map(|(_, script)| script)
        .collect();
    let taken = AtomicUsize::new(0);
    let runs: [usize; WAYS.len()] = thread::scope(|scope| {
        let runners = [(); ROUTERS].map(|()| scope.spawn(|| run_some(shards, &scripts, &taken)));
        runners.into_iter().fold([0; WAYS.len()], |mut sum, runner| {
            let runs = runner.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault));
            sum.iter_mut().zip(runs).for_each(|(sum, runs)| *sum += runs);
            sum
        })
    });
    println!("{} scripts; runs by the way of the first client: {runs:?}", scripts.len());
    assert!(runs.iter().all(|count| 2 * count > scripts.len()), "most scripts can be told in every way");
}

/// Takes scripts and runs them until there are none left; says how often a first client came by each way.
fn run_some(shards: usize, scripts: &[Script<'_>], taken: &AtomicUsize) -> [usize; WAYS.len()] {
    let node = Node::start(shards);
    let mut runs = [0; WAYS.len()];
    while let Some(script) = scripts.get(taken.fetch_add(1, Ordering::Relaxed)) {
        for (first, way) in WAYS.iter().enumerate() {
            let Some(mut clients) = Clients::new(&node, script, first) else { continue };
            if let Err(fault) = script.run(&mut clients) {
                panic!(
                    "{} ({shards} shards, first client {way:?})\n{fault}\n{}",
                    script.title,
                    node.router.log()
                );
            }
            clients.leave();
            runs[first] += 1;
        }
    }
    assert!(node.router.stop().success());
    runs
}

/// Why a script cannot run here, or not on several shards.
fn not_over_sockets(file: &str, script: &Script<'_>, shards: usize) -> Option<&'static str> {
    let start = file.find(script.title)?;
    let body = &file[start..];
    let body = &body[..body.find("\n## ").unwrap_or(body.len())];
    if body.lines().any(|line| line.contains(" limit ")) {
        return Some("a size limit is settled before the session begins");
    }
    if body.contains("\"bound\"") {
        return Some("no configuration binds a principal to a realm");
    }
    if body.contains("\"link\"") {
        return Some("no configuration makes a role trusted");
    }
    if script.waits_ms() > WAIT_MS_MAX {
        return Some("it takes long, and nothing of it depends on sockets");
    }
    if body.contains("resumable") && body.lines().any(|line| line.ends_with(" lost")) {
        return Some("what is sent before a loss is noticed is lost with the transport");
    }
    let has_others = shards > 1 || body.contains("\"wamp.");
    if has_others && body.lines().any(|line| line.ends_with(" lost")) {
        return Some("other shards and the meta API may act before a loss is noticed");
    }
    if shards > 1 && body.contains("\"com.queue.") {
        return Some("on several shards, nobody knows which of two calls comes first");
    }
    None
}

/// What a client connects by.
#[derive(Copy, Clone, Debug)]
enum Carrier {
    Tcp,
    Unix,
    WebSocket,
}

const WAYS: [(Carrier, Serializer); 11] = [
    (Carrier::WebSocket, Serializer::JSON),
    (Carrier::Tcp, Serializer::MESSAGE_PACK),
    (Carrier::WebSocket, Serializer::CBOR_BATCHED),
    (Carrier::Unix, Serializer::JSON),
    (Carrier::WebSocket, Serializer::JSON_BATCHED),
    (Carrier::Tcp, Serializer::CBOR),
    (Carrier::WebSocket, Serializer::BJDATA_BATCHED),
    (Carrier::Unix, Serializer::UBJSON),
    (Carrier::Tcp, Serializer::BJDATA),
    (Carrier::WebSocket, Serializer::FLATBUFFERS_BATCHED),
    (Carrier::Tcp, Serializer::FLATBUFFERS),
];

/// The router, configured as the one in memory.
struct Node {
    router: Router,
    doors: BTreeMap<&'static str, Door>,
    _directory: TempDir,
}

/// What the router in memory has as one listening transport.
struct Door {
    websocket: SocketAddr,
    rawsocket: SocketAddr,
    unix: PathBuf,
}

impl Door {
    fn new(directory: &Path, name: &str) -> Self {
        let [websocket, rawsocket] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        Self { websocket, rawsocket, unix: directory.join(format!("{name}.sock")) }
    }

    fn transports(&self, auth: &serde_json::Value) -> [serde_json::Value; 3] {
        let tcp =
            |address: SocketAddr| json!({"type": "tcp", "interface": "127.0.0.1", "port": address.port()});
        [
            json!({"type": "websocket", "endpoint": tcp(self.websocket), "auth": auth}),
            json!({"type": "rawsocket", "endpoint": tcp(self.rawsocket), "auth": auth}),
            json!({"type": "rawsocket", "endpoint": {"type": "unix", "path": self.unix}, "auth": auth,
                "serializers": ["json", "ubjson-draft12"]}),
        ]
    }

    fn addresses(&self) -> [Address; 3] {
        [Address::Tcp(self.websocket), Address::Tcp(self.rawsocket), Address::Unix(self.unix.clone())]
    }
}

impl Node {
    fn start(shards: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let config = directory.path().join("config.json");
        let known = json!({
            "anonymous": {"type": "static", "role": "anonymous"},
            "ticket": {"type": "static", "principals": {
                "joe": {"ticket": "secret", "role": "limited"},
                "boss": {"ticket": "secret", "role": "anonymous"},
                "guest": {"ticket": "secret", "role": "guest"},
                "lost": {"ticket": "secret", "role": "no_such_role"},
                "never": {"ticket": "${CROSSRING_TEST_NOT_SET}", "role": "limited"}
            }}
        });
        let auths = [
            ("static", known),
            ("dynamic", dynamic(None)),
            ("elsewhere", dynamic(Some("advanced"))),
            ("nowhere", dynamic(Some("nowhere"))),
        ];
        let mut transports = Vec::new();
        let doors: BTreeMap<_, _> = auths
            .into_iter()
            .map(|(name, auth)| {
                let door = Door::new(directory.path(), name);
                transports.extend(door.transports(&auth));
                (name, door)
            })
            .collect();
        let document = json!({
            "version": 2,
            "controller": {"options": {"shards": shards}},
            "workers": [{"type": "router", "realms": [realm("realm1", "loose"), realm("strict", "strict"), advanced(), realm("crossbar", "loose")], "transports": transports}]
        });
        std::fs::write(&config, document.to_string()).expect("the configuration is writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg("start").arg("--cbdir").arg(directory.path()).arg("--config").arg(&config);
        let addresses: Vec<Address> = doors.values().flat_map(Door::addresses).collect();
        let router = Router::start(command, directory.path().join("log"), &addresses);
        Self { router, doors, _directory: directory }
    }
}

/// A procedure knows who may join.
fn dynamic(elsewhere: Option<&str>) -> serde_json::Value {
    let mut method = json!({"type": "dynamic", "authenticator": "com.open.authenticate"});
    if let Some(realm) = elsewhere {
        method["authenticator-realm"] = realm.into();
        method["default-role"] = "limited".into();
        return json!({"ticket": method});
    }
    ["anonymous", "ticket", "wampcra", "scram", "cryptosign"]
        .map(|name| (name, method.clone()))
        .into_iter()
        .collect()
}

fn realm(name: &str, uri_check: &str) -> serde_json::Value {
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let rule = |uri: &str, matching: &str, allow: &serde_json::Value, told: bool| json!({"uri": uri, "match": matching, "allow": allow, "disclose": {"caller": told, "publisher": told}});
    json!({
        "name": name,
        "options": {"uri_check": uri_check},
        "roles": [
            {"name": "anonymous", "permissions": [rule("", "prefix", &all, false)]},
            {"name": "limited", "permissions": [
                rule("com.open.", "prefix", &all, false),
                rule("com.told.", "prefix", &all, true),
                rule("com.open.secret", "exact", &json!({}), false),
                rule("com..read", "wildcard", &json!({"subscribe": true}), false)
            ]}
        ]
    })
}

/// A realm with everything that has to be configured.
fn advanced() -> serde_json::Value {
    let mut realm = realm("advanced", "loose");
    realm["id"] = "advanced".into();
    realm["options"]["bridge_meta_api"] = true.into();
    realm["options"]["sharding"] = true.into();
    realm["options"]["resumption"] = json!({"timeout": 3_000, "max_events": 3, "max_sessions": 2});
    realm["roles"][1]["trustlevel"] = 3.into();
    realm["stats"] = json!({"trigger_on_join": true});
    let roles = realm["roles"].as_array_mut().expect("a list");
    roles.push(json!({"name": "guest", "authorizer": "com.authorize"}));
    let queue = json!([{"uri": "com.queue.", "match": "prefix", "limit": 3}]);
    realm["store"] = json!({"type": "memory", "call-queue": queue, "retained": {"lifetime": 10_000}});
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let permissions = realm["roles"][0]["permissions"].as_array_mut().expect("a list");
    permissions
        .push(json!({"uri": "com.quiet.", "match": "prefix", "allow": all, "disclose": {"refuse": true}}));
    realm
}

trait Stream: Read + Write {
    /// No time: only what is there is read.
    fn wait_at_most(&self, time: Duration);
}

impl Stream for TcpStream {
    fn wait_at_most(&self, time: Duration) {
        self.set_nonblocking(time.is_zero()).expect("an option of every socket");
        self.set_read_timeout(Some(time).filter(|time| !time.is_zero())).expect("a timeout is settable");
    }
}

impl Stream for UnixStream {
    fn wait_at_most(&self, time: Duration) {
        self.set_nonblocking(time.is_zero()).expect("an option of every socket");
        self.set_read_timeout(Some(time).filter(|time| !time.is_zero())).expect("a timeout is settable");
    }
}

/// One client of a script.
struct Client {
    stream: Option<Box<dyn Stream>>,
    transport: Transport,
    serializer: SerializerId,
    received: VecDeque<String>,
    unsent: Vec<u8>,
    is_ended: bool,
    /// Between WELCOME and ABORT or GOODBYE.
    is_joined: bool,
}

struct Clients {
    by_name: BTreeMap<String, Client>,
    /// Until when it is listened to what should not come; from the last deed on.
    silent_until: Option<Instant>,
}

impl Clients {
    /// `first`: the way of the first client, others come by the following ones. None: its serializer cannot tell its part.
    fn new(node: &Node, script: &Script<'_>, first: usize) -> Option<Self> {
        let mut by_name = BTreeMap::new();
        for (index, name) in script.clients().into_iter().enumerate() {
            let (carrier, mut serializer) = WAYS[(first + index) % WAYS.len()];
            if serializer.id == SerializerId::FlatBuffers && !flatbuffers::can_tell(script, name) {
                if index == 0 {
                    return None;
                }
                serializer = Serializer::CBOR;
            }
            let client = Client::connect(&node.doors[script.door(name)], carrier, serializer);
            by_name.insert(name.to_owned(), client);
        }
        Some(Self { by_name, silent_until: None })
    }

    /// Ends all sessions, and waits for it: the next script finds nothing of this one.
    fn leave(mut self) {
        let joined = self.by_name.iter().filter(|(_, client)| client.is_joined && client.stream.is_some());
        let names: Vec<String> = joined.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.send(&name, "[6,{},\"wamp.close.close_realm\"]", false);
            let client = self.client(&name);
            while client.is_joined && client.stream.is_some() && client.read(PATIENCE) {}
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.silent_until = None;
        self.by_name.get_mut(name).expect("scripts name their clients")
    }
}

impl Client {
    fn connect(door: &Door, carrier: Carrier, serializer: Serializer) -> Self {
        let mut request = Vec::new();
        let options = RawSocketClientOptions::default();
        let (stream, transport): (Box<dyn Stream>, _) = match carrier {
            Carrier::Tcp => (
                Box::new(tcp(door.rawsocket)),
                Transport::dial_rawsocket(serializer.id, &options, &mut request),
            ),
            Carrier::Unix => {
                let stream = UnixStream::connect(&door.unix).expect("the router listens");
                (Box::new(stream), Transport::dial_rawsocket(serializer.id, &options, &mut request))
            }
            Carrier::WebSocket => {
                let url = WebSocketUrl::parse(&format!("ws://{}/ws", door.websocket)).expect("a URL");
                let options = WebSocketClientOptions::default();
                let transport = Transport::dial_websocket(&url, &[serializer], &options, 7, &mut request);
                (Box::new(tcp(door.websocket)), transport)
            }
        };
        let mut client = Self {
            stream: Some(stream),
            transport,
            serializer: serializer.id,
            received: VecDeque::new(),
            unsent: request,
            is_ended: false,
            is_joined: false,
        };
        client.flush();
        while client.transport.framing().is_none() {
            assert!(client.read(PATIENCE), "no handshake on {carrier:?}");
        }
        client
    }

    fn flush(&mut self) {
        if let Some(stream) = &mut self.stream {
            // A router that has ended the session may have closed the socket: what it said is what counts.
            stream.wait_at_most(PATIENCE);
            let _ = stream.write_all(&self.unsent);
        }
        self.unsent.clear();
    }

    /// Reads once; `false`: nothing came.
    fn read(&mut self, patience: Duration) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        stream.wait_at_most(patience);
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => self.end(),
            Ok(size) => self.take_apart(&buffer[..size]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => self.end(),
        }
        true
    }

    fn end(&mut self) {
        self.is_ended = true;
        self.stream = None;
    }

    fn take_apart(&mut self, octets: &[u8]) {
        let (mut consumed, mut scratch) = (0, Vec::new());
        while let Some(incoming) =
            self.transport.next(octets, &mut consumed, &mut scratch).expect("our framing")
        {
            match incoming {
                Incoming::Message(message) => {
                    let json = self.in_json(message);
                    self.note(&Value::decode(SerializerId::Json, json.as_bytes()).expect("JSON"));
                    self.received.push_back(json);
                }
                Incoming::Reply(reply) => self.unsent.extend_from_slice(reply),
                Incoming::PeerClosing { .. } => self.is_ended = true,
                Incoming::Requested | Incoming::Opened { .. } | Incoming::Pong(_) => {}
            }
        }
        self.flush();
    }

    fn note(&mut self, message: &Value) {
        let Value::List(elements) = message else { return };
        match elements.first().and_then(Value::as_integer) {
            Some(2) => self.is_joined = true,
            Some(3 | 6) => self.is_joined = false,
            _ => {}
        }
    }

    fn next(&mut self, patience: Duration) -> Option<String> {
        while self.received.is_empty() && self.stream.is_some() && self.read(patience) {}
        self.received.pop_front()
    }

    fn in_json(&self, message: &[u8]) -> String {
        if self.serializer == SerializerId::FlatBuffers {
            return flatbuffers::to_json(message).expect("the router sends what can be read");
        }
        let value = Value::decode(self.serializer, message).expect("the router sends what can be read");
        let mut octets = Vec::new();
        value.encode(SerializerId::Json, &mut octets).expect("scripts keep to what JSON has");
        String::from_utf8(octets).expect("JSON is UTF-8")
    }

    /// Appends a message to what has not been sent.
    fn write(&mut self, message: &str) {
        if self.serializer == SerializerId::FlatBuffers {
            let octets = flatbuffers::to_flatbuffers(message).expect("it was looked at before");
            self.unsent.extend_from_slice(&octets);
            return;
        }
        match Value::decode(SerializerId::Json, message.as_bytes()) {
            Ok(value) => {
                value.encode(self.serializer, &mut self.unsent).expect("scripts keep to plain values")
            }
            // What is no JSON is sent as it stands: it is no value in any other serializer either.
            Err(_) => self.unsent.extend_from_slice(message.as_bytes()),
        }
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the router listens");
    stream.set_nodelay(true).expect("an option of every TCP socket");
    stream
}

impl Driver for Clients {
    fn send(&mut self, client: &str, message: &str, is_pipelined: bool) {
        let client = self.client(client);
        let framing = client.transport.framing().expect("the handshake is over");
        let mark = framing.begin(&mut client.unsent);
        client.write(message);
        let key = client.transport.mask_key();
        framing.finish(&mut client.unsent, mark, key).expect("scripts are short");
        if !is_pipelined {
            client.flush();
        }
    }

    fn receive(&mut self, client: &str) -> Option<String> {
        self.client(client).next(PATIENCE)
    }

    fn receive_unexpected(&mut self, client: &str) -> Option<String> {
        let until = *self.silent_until.get_or_insert_with(|| Instant::now() + SILENCE);
        let left = until.saturating_duration_since(Instant::now());
        self.by_name.get_mut(client).expect("scripts name their clients").next(left)
    }

    fn lose(&mut self, client: &str) {
        self.client(client).stream = None;
    }

    fn is_ended(&mut self, client: &str) -> bool {
        let client = self.client(client);
        while client.received.is_empty()
            && client.stream.is_some()
            && !client.is_ended
            && client.read(PATIENCE)
        {}
        client.is_ended
    }

    fn wait(&mut self, ms: u64) {
        #[expect(clippy::disallowed_methods, reason = "the passing of time is what the transcript is about")]
        thread::sleep(Duration::from_millis(ms));
    }

    fn limit(&mut self, _client: &str, _octets: usize) {
        unreachable!("scripts with limits do not run here");
    }
}
