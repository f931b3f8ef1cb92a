//! Sharded registrations and subscriptions: every resource key has one server, the same for everybody.

#![forbid(unsafe_code)]

#[path = "transcripts/node.rs"]
#[allow(dead_code, reason = "the transcripts use the rest")]
mod node;
#[path = "transcripts/script.rs"]
#[allow(dead_code, reason = "the transcripts use the rest")]
mod script;

use std::collections::BTreeMap;

use node::Node;
use script::Driver;

const KEYS: usize = 60;
const SHARDS: usize = 3;

/// Servers and two clients, spread over the shards.
struct Cast {
    node: Node,
    requests: BTreeMap<&'static str, usize>,
}

const SERVERS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

impl Cast {
    fn new() -> Self {
        let names = SERVERS.into_iter().chain(["c0", "c1"]);
        let node = Node::new(SHARDS, names.clone().enumerate().map(|(index, name)| (name, index % SHARDS)));
        let mut cast = Self { node, requests: names.clone().map(|name| (name, 0)).collect() };
        for name in names {
            let roles = r#"{"publisher":{},"subscriber":{},"caller":{},"callee":{}}"#;
            cast.send(name, &format!(r#"[1,"advanced",{{"roles":{roles}}}]"#));
            cast.expect(name, "[2,");
        }
        cast
    }

    fn send(&mut self, name: &str, message: &str) {
        self.node.send(name, message, false);
    }

    /// Sends a request: its type, and what follows the request id.
    fn request(&mut self, name: &'static str, kind: u64, rest: &str) {
        let request = self.requests.get_mut(name).expect("one of the cast");
        *request += 1;
        let message = format!("[{kind},{request},{rest}]");
        self.send(name, &message);
    }

    #[track_caller]
    fn expect(&mut self, name: &str, start: &str) {
        let message = self.node.receive(name).unwrap_or_default();
        assert!(message.starts_with(start), "{name} receives {message:?} instead of {start}…");
    }

    /// Who receives something; nobody receives two things.
    fn receivers(&mut self) -> Vec<&'static str> {
        let receivers: Vec<&'static str> =
            SERVERS.into_iter().filter(|name| self.node.receive(name).is_some()).collect();
        assert!(SERVERS.iter().all(|name| self.node.receive(name).is_none()));
        receivers
    }

    /// The server of each key: the same for both clients.
    fn servers(&mut self, kind: u64, options: &str) -> Vec<&'static str> {
        let mut server = |client, key: usize| {
            self.request(client, kind, &format!(r#"{{{options}"rkey":"key{key}"}},"com.x""#));
            let receivers = self.receivers();
            assert_eq!(receivers.len(), 1, "key{key} of {client} goes to {receivers:?}");
            receivers[0]
        };
        let first: Vec<&str> = (0..KEYS).map(|key| server("c0", key)).collect();
        let second: Vec<&str> = (0..KEYS).map(|key| server("c1", key)).collect();
        assert_eq!(first, second);
        first
    }
}

#[track_caller]
fn check_spread(servers: &[&str], names: &[&str]) {
    for name in names {
        assert!(servers.iter().filter(|server| *server == name).count() >= 3, "{name} in {servers:?}");
    }
}

#[track_caller]
fn check_moves(before: &[&str], after: &[&str], gone: &str) {
    for (before, after) in before.iter().zip(after) {
        assert!(before == after || *before == gone, "{before} → {after}");
        assert_ne!(*after, gone);
    }
}

#[test]
fn calls_go_to_the_server_of_their_key() {
    for policy in ["roundrobin", "random", "first", "last"] {
        let mut cast = Cast::new();
        for name in SERVERS {
            cast.request(name, 64, &format!(r#"{{"invoke":"{policy}"}},"com.x""#));
            cast.expect(name, "[65,1,");
        }
        let before = cast.servers(48, r#""runmode":"partition","#);
        check_spread(&before, &SERVERS);
        cast.node.lose("s2");
        let lost = |cast: &mut Cast, client| while cast.node.receive(client).is_some() {};
        lost(&mut cast, "c0");
        lost(&mut cast, "c1");
        check_moves(&before, &cast.servers(48, r#""runmode":"partition","#), "s2");
    }
}

#[test]
fn events_go_to_the_node_of_their_key() {
    let mut cast = Cast::new();
    for name in SERVERS {
        cast.request(name, 32, &format!(r#"{{"nkey":"node of {name}"}},"com.x""#));
        cast.expect(name, "[33,1,");
    }
    let before = cast.servers(16, "");
    check_spread(&before, &SERVERS);
    cast.request("c0", 16, r#"{},"com.x""#);
    assert_eq!(cast.receivers(), SERVERS);
    cast.node.lose("s2");
    let after = cast.servers(16, "");
    check_moves(&before, &after, "s2");
}

#[test]
fn a_node_on_several_shards_is_one_node() {
    let mut cast = Cast::new();
    for (index, name) in SERVERS.into_iter().enumerate() {
        cast.request(name, 32, &format!(r#"{{"nkey":"{}"}},"com.x""#, index % 2));
        cast.expect(name, "[33,1,");
    }
    for key in 0..KEYS {
        cast.request("c0", 16, &format!(r#"{{"rkey":"{key}"}},"com.x""#));
        let receivers = cast.receivers();
        assert!(receivers == ["s0", "s2", "s4"] || receivers == ["s1", "s3"], "{receivers:?}");
    }
}

#[test]
fn calls_wait_for_the_server_of_their_key_only() {
    let mut cast = Cast::new();
    for name in SERVERS {
        cast.request(name, 64, r#"{"invoke":"roundrobin","concurrency":1},"com.queue.x""#);
        cast.expect(name, "[65,1,");
    }
    let call = |cast: &mut Cast, client, key: &str| {
        let options = format!(r#"{{"runmode":"partition","rkey":"{key}"}},"com.queue.x",["{key}"]"#);
        cast.request(client, 48, &options);
    };
    call(&mut cast, "c0", "a");
    let [busy] = cast.receivers()[..] else { panic!("one callee serves the key") };
    call(&mut cast, "c0", "a");
    call(&mut cast, "c1", "a");
    assert!(cast.receivers().is_empty());
    for _ in 1..SERVERS.len() {
        cast.request("c0", 48, r#"{},"com.queue.x""#);
        assert_ne!(cast.receivers(), [busy], "the others are free");
    }
    for (answered, caller) in [(1, "c0"), (2, "c0"), (3, "c1")] {
        cast.send(busy, &format!("[70,{answered},{{}}]"));
        cast.expect(caller, "[50,");
        let next = cast.node.receive(busy);
        assert_eq!(next.is_some_and(|next| next.contains(r#"["a"]"#)), answered < 3);
    }
}
