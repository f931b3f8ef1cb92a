//! What `wamp.registration.match` and `wamp.subscription.match` say is what happens to a CALL and a PUBLISH.

use std::collections::BTreeSet;

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;

use crate::node::Node;
use crate::script::Driver;

const POLICIES: [&str; 3] = ["exact", "prefix", "wildcard"];

/// A linear congruential generator (Knuth's MMIX): the same patterns every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// One to four components of few kinds; empty ones for wildcards.
    fn uri(&mut self, has_gaps: bool) -> String {
        let count = 1 + self.below(4);
        let component = |random: &mut Self| match random.below(if has_gaps { 5 } else { 3 }) {
            0 => "a",
            1 => "b",
            2 => "bb",
            _ => "",
        };
        let components: Vec<&str> = (0..count).map(|_| component(self)).collect();
        components.join(".")
    }
}

struct World {
    node: Node,
    request: u64,
}

impl World {
    fn new() -> Self {
        let clients = ["caller", "callee", "subscriber"];
        let mut node = Node::new(2, clients.into_iter().zip([0, 1, 0]));
        for client in clients {
            let roles = r#"{"caller":{},"callee":{},"publisher":{},"subscriber":{}}"#;
            node.send(client, &format!(r#"[1,"realm1",{{"roles":{roles}}}]"#), false);
            node.receive(client).expect("WELCOME");
        }
        Self { node, request: 0 }
    }

    /// Sends a request whose elements behind the request id are given; the answer.
    fn ask(&mut self, client: &str, kind: u64, elements: &str) -> Vec<Value> {
        self.request += 1;
        let request = self.request;
        self.node.send(client, &format!("[{kind},{request},{{}},{elements}]"), false);
        self.receive(client).expect("an answer")
    }

    fn add(&mut self, client: &str, kind: u64, uri: &str, policy: &str) {
        self.request += 1;
        let message = format!("[{kind},{},{{\"match\":\"{policy}\"}},\"{uri}\"]", self.request);
        self.node.send(client, &message, false);
        self.receive(client).expect("an answer");
    }

    fn receive(&mut self, client: &str) -> Option<Vec<Value>> {
        let message = self.node.receive(client)?;
        match Value::decode(SerializerId::Json, message.as_bytes()) {
            Ok(Value::List(elements)) => Some(elements),
            other => panic!("{message}: {other:?}"),
        }
    }

    /// The result of a meta procedure.
    fn said(&mut self, procedure: &str, uri: &str) -> Value {
        let answer = self.ask("caller", 48, &format!("\"{procedure}\",[\"{uri}\"]"));
        match answer.into_iter().nth(3) {
            Some(Value::List(mut arguments)) => arguments.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// The registration a call goes to.
    fn called(&mut self, uri: &str) -> Value {
        self.request += 1;
        self.node.send("caller", &format!("[48,{},{{}},\"{uri}\"]", self.request), false);
        let Some(invocation) = self.receive("callee") else {
            let error = self.receive("caller").expect("an error");
            assert_eq!(error[4], Value::from("wamp.error.no_such_procedure"));
            return Value::Null;
        };
        let invocation_id = invocation[1].as_integer().expect("an id");
        self.node.send("callee", &format!("[70,{invocation_id},{{}}]"), false);
        self.receive("caller").expect("a result");
        invocation[2].clone()
    }

    /// The subscriptions an event comes for.
    fn published(&mut self, uri: &str) -> BTreeSet<i128> {
        self.request += 1;
        self.node.send("caller", &format!("[16,{},{{}},\"{uri}\"]", self.request), false);
        let mut ids = BTreeSet::new();
        while let Some(event) = self.receive("subscriber") {
            assert!(ids.insert(event[1].as_integer().expect("an id")), "twice");
        }
        ids
    }
}

fn set(value: &Value) -> BTreeSet<i128> {
    match value {
        Value::List(ids) => ids.iter().filter_map(Value::as_integer).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn matching_agrees_with_routing() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut world = World::new();
        for _ in 0..12 {
            let policy = POLICIES[random.below(3) as usize];
            let uri = random.uri(policy == "wildcard");
            world.add("callee", 64, &uri, policy);
            world.add("subscriber", 32, &uri, policy);
        }
        for _ in 0..20 {
            let uri = random.uri(false);
            assert_eq!(world.said("wamp.registration.match", &uri), world.called(&uri), "{seed} {uri}");
            let said = set(&world.said("wamp.subscription.match", &uri));
            assert_eq!(said, world.published(&uri), "{seed} {uri}");
        }
    }
}
