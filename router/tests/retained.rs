//! Retained events against live ones: whatever the lanes do, a subscriber that asked for retained events gets the newest
//! publication of a publisher last, none twice, and none out of order.

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

const SEEDS: u64 = 600;
const STEPS: usize = 60;
const PUBLISHERS: [&str; 2] = ["p0", "p1"];
const SUBSCRIBERS: [&str; 3] = ["s0", "s1", "s2"];

/// A small generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What the test knows of a client.
#[derive(Default)]
struct Client {
    request: u64,
    /// Publications made.
    published: u64,
    subscription: Option<u64>,
    asking: bool,
    leaving: bool,
    /// By publisher, the last number received under the present subscription.
    seen: BTreeMap<u64, u64>,
}

struct World {
    node: Node,
    clients: BTreeMap<&'static str, Client>,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let names = PUBLISHERS.into_iter().chain(SUBSCRIBERS);
        let shards = 2 + seed as usize % 2;
        let place = |(index, name)| (name, (index + seed as usize) % shards);
        let mut node = Node::new(shards, names.clone().enumerate().map(place));
        for name in names.clone() {
            node.send(name, r#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{}}}]"#, false);
            assert!(node.receive(name).is_some_and(|welcome| welcome.starts_with("[2,")));
        }
        Self { node, clients: names.map(|name| (name, Client::default())).collect(), seed }
    }

    fn request(&mut self, name: &'static str, kind: u64, rest: &str) {
        let client = self.clients.get_mut(name).expect("one of the cast");
        client.request += 1;
        let message = format!("[{kind},{},{rest}]", client.request);
        self.node.send(name, &message, true);
    }

    fn publish(&mut self, publisher: usize) {
        let name = PUBLISHERS[publisher];
        let client = self.clients.get_mut(name).expect("one of the cast");
        client.published += 1;
        let payload = format!("[{publisher},{}]", client.published);
        self.request(name, 16, &format!(r#"{{"retain":true}},"com.x.{publisher}",{payload}"#));
    }

    /// Subscribes or unsubscribes.
    fn turn(&mut self, name: &'static str) {
        let client = self.clients.get_mut(name).expect("one of the cast");
        if client.asking || client.leaving {
            return;
        }
        match client.subscription {
            None => {
                client.asking = true;
                self.request(name, 32, r#"{"match":"prefix","get_retained":true},"com.x.""#);
            }
            Some(subscription) => {
                client.leaving = true;
                self.request(name, 34, &subscription.to_string());
            }
        }
    }

    /// Takes what a subscriber has received.
    fn read(&mut self, name: &'static str) {
        while let Some(message) = self.node.receive(name) {
            let client = self.clients.get_mut(name).expect("one of the cast");
            let seed = self.seed;
            let numbers: Vec<u64> =
                message.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
            match numbers[0] {
                33 => (client.asking, client.subscription) = (false, Some(numbers[2])),
                35 => {
                    (client.leaving, client.subscription) = (false, None);
                    client.seen.clear();
                }
                36 => {
                    assert_eq!(client.subscription, Some(numbers[1]), "seed {seed}: {name}: {message}");
                    let (publisher, number) = (numbers[numbers.len() - 2], numbers[numbers.len() - 1]);
                    let before = client.seen.insert(publisher, number);
                    assert!(before < Some(number), "seed {seed}: {name}: {message} after {before:?}");
                }
                _ => panic!("seed {seed}: {name}: {message}"),
            }
        }
    }

    /// Everybody who is subscribed has got the newest publication of each publisher.
    fn check_newest(&self) {
        for name in SUBSCRIBERS {
            let client = &self.clients[name];
            assert!(client.subscription.is_some(), "seed {}: {name} waits", self.seed);
            for (publisher, publisher_name) in PUBLISHERS.iter().enumerate() {
                let newest = self.clients[publisher_name].published;
                let seen = client.seen.get(&(publisher as u64)).copied().unwrap_or_default();
                assert_eq!(seen, newest, "seed {}: {name} of {publisher_name}", self.seed);
            }
        }
    }

    fn quiesce(&mut self) {
        while self.node.step(0) {}
        SUBSCRIBERS.into_iter().for_each(|name| self.read(name));
    }
}

#[test]
fn the_newest_publication_is_received_last_and_once() {
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..STEPS {
            match random.below(12) {
                0 => world.publish(0),
                1 => world.publish(1),
                2 => world.turn(SUBSCRIBERS[random.below(SUBSCRIBERS.len())]),
                _ => drop(world.node.step(random.below(64))),
            }
            SUBSCRIBERS.into_iter().for_each(|name| world.read(name));
        }
        world.quiesce();
        for name in SUBSCRIBERS {
            if world.clients[name].subscription.is_none() {
                world.turn(name);
                world.quiesce();
            }
        }
        world.check_newest();
        world.node.check_empty_after_all_left().expect("nothing stays");
    }
}
