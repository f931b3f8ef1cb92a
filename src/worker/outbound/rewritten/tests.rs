//! Compressing connections: what their peers find, what is shared, and what is forgotten.

use std::sync::Arc;

use crossring_codec::id::{PublicationId, SubscriptionId};
use crossring_codec::message::EventDetails;
use crossring_codec::payload::Payload;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::fuzzing::{Event as Found, feed};
use crossring_codec::transport::{
    DeflateOptions, Transport, WebSocketClientOptions, WebSocketServerOptions, WebSocketUrl,
};
use crossring_codec::value::Value;
use crossring_io::sim::{SimFaults, SimNetwork};
use crossring_io::{Engine, EngineOptions};
use crossring_router::outbox::Outbox;

use super::*;
use crate::worker::mail::post_offices;
use crate::worker::outbound::{OutboundLimits, SlowConsumer};

/// A sending half without engine, and the peers of its connections.
struct Stage {
    outbound: Outbound,
    peers: Vec<Transport>,
}

impl Stage {
    fn new(queue_size_max: u32) -> Stage {
        let engine = SimNetwork::new(0, SimFaults::default()).engine(EngineOptions::default());
        let mail = post_offices(vec![engine.doorbell(), engine.doorbell()]).remove(0);
        let limits = OutboundLimits { queue_size_max, slow_consumer: SlowConsumer::Drop };
        Stage { outbound: Outbound::new(limits, mail), peers: Vec::new() }
    }

    fn open(&mut self, deflate: DeflateOptions) -> SessionKey {
        let url = WebSocketUrl::parse("ws://localhost").expect("a URL");
        let client = WebSocketClientOptions { deflate: Some(deflate), ..Default::default() };
        let server = WebSocketServerOptions { deflate: Some(deflate), ..Default::default() };
        let mut request = Vec::new();
        let mut peer = Transport::dial_websocket(&url, &[Serializer::JSON], &client, 1, &mut request);
        let mut transport = Transport::accept_websocket(&Arc::new(server));
        let found = feed(&mut transport, [request.as_slice()]);
        let Some(Found::Reply(reply)) = found.first() else { panic!("{found:?}") };
        feed(&mut peer, [reply.as_slice()]);
        let key = SessionKey { slot: self.peers.len() as u32, generation: 1 };
        self.peers.push(peer);
        self.outbound.open(key);
        let framing = transport.framing().expect("an open transport");
        self.outbound.set_framing(key, framing, transport.peer_limit() as u32);
        self.outbound.set_writer(key, transport.take_writer().expect("a compressing transport"));
        key
    }

    fn fan_out(&mut self, text: &str, receivers: &[SessionKey]) {
        let arguments = [Value::String(text.into())];
        let event = Message::Event {
            subscription: SubscriptionId::new(1).expect("an id"),
            publication: PublicationId::new(1).expect("an id"),
            details: EventDetails::default(),
            payload: Payload::from_values(SerializerId::Json, &arguments, &Vec::new()),
        };
        self.outbound.fan_out(&event, receivers, None);
    }

    /// The ranges that wait for a connection, and the messages its peer finds in them.
    fn take(&mut self, key: SessionKey) -> (Vec<(u16, u32)>, Vec<String>) {
        let lane = &mut self.outbound.lanes[key.slot as usize];
        let ranges: Vec<Range> = lane.ranges().collect();
        lane.queued = 0;
        let mut octets = Vec::new();
        for range in &ranges {
            let chunk = self.outbound.turn.chunks[range.chunk as usize].bytes_mut();
            octets.extend_from_slice(&chunk[range.start as usize..range.end as usize]);
        }
        let found = feed(&mut self.peers[key.slot as usize], [octets.as_slice()]);
        let text = |found| match found {
            Found::Message(message) => String::from_utf8(message).expect("JSON"),
            other => panic!("{other:?}"),
        };
        (
            ranges.iter().map(|range| (range.chunk, range.start)).collect(),
            found.into_iter().map(text).collect(),
        )
    }
}

fn expected(text: &str) -> Vec<String> {
    vec![format!("[36,1,1,{{}},[\"{text}\"]]")]
}

#[test]
fn connections_without_takeover_share_one_compressed_event() {
    let mut stage = Stage::new(1 << 20);
    let alone = DeflateOptions { no_context_takeover: true, ..Default::default() };
    let receivers = [stage.open(alone), stage.open(alone), stage.open(DeflateOptions::default())];
    let text = "abcdefgh".repeat(100);
    for _ in 0..5 {
        stage.fan_out(&text, &receivers);
        let [one, other, own] = receivers.map(|key| stage.take(key));
        assert_eq!((&one.0, &one.1), (&other.0, &expected(&text)));
        assert_ne!(own.0, one.0);
        assert_eq!(own.1, expected(&text));
    }
    assert_eq!(stage.outbound.counters.events, 15);
    assert_eq!(stage.outbound.writers.remembering_count, 1);
    stage.outbound.close(receivers[2]);
    assert_eq!(stage.outbound.writers.remembering_count, 0);
}

#[test]
fn what_was_dropped_is_not_referred_to() {
    let mut stage = Stage::new(140);
    let key = stage.open(DeflateOptions { size_min: 0, ..Default::default() });
    for text in ["one", "two", "three", "four", "five"] {
        stage.fan_out(text, &[key]);
        assert_eq!(stage.take(key).1, expected(text));
    }
    assert_eq!(stage.outbound.writers.remembering_count, 1);
    let first = "the first, which fits, since nothing else waits: QWERTZUIOPASDFGHJKLYXCVBNM";
    let second = "0123456789, and the second, for which there is no room: abcdefghijklmnopqrstuvwxyz";
    stage.fan_out(first, &[key]);
    stage.fan_out(second, &[key]);
    assert_eq!(stage.outbound.counters.events_dropped, 1);
    assert_eq!(stage.outbound.writers.remembering_count, 0);
    assert_eq!(stage.take(key).1, expected(first));
    stage.fan_out(second, &[key]);
    assert_eq!(stage.take(key).1, expected(second));
}

#[test]
fn the_first_messages_are_compressed_once_for_all() {
    let mut stage = Stage::new(1 << 20);
    let deflate = DeflateOptions { size_min: 0, ..Default::default() };
    let receivers = [stage.open(deflate), stage.open(deflate)];
    for count in 1..=6 {
        stage.fan_out("the same for both", &receivers);
        let [one, other] = receivers.map(|key| stage.take(key));
        assert_eq!((&one.1, &other.1), (&expected("the same for both"), &expected("the same for both")));
        assert_eq!(one.0 == other.0, count <= 4, "{count}");
    }
}

#[test]
fn only_so_many_writers_remember() {
    let mut stage = Stage::new(1 << 20);
    let deflate = DeflateOptions { size_min: 0, window_bits_max: 9, memory_level: 1, ..Default::default() };
    let receivers: Vec<_> = (0..REMEMBERING_MAX + 3).map(|_| stage.open(deflate)).collect();
    for round in 0..7 {
        let text = format!("round {round}");
        stage.fan_out(&text, &receivers);
        for key in [receivers[0], receivers[REMEMBERING_MAX + 2]] {
            assert_eq!(stage.take(key).1, expected(&text));
        }
        // The first four messages are compressed by themselves.
        let count = if round < 4 { 0 } else { REMEMBERING_MAX };
        assert_eq!(stage.outbound.writers.remembering_count, count, "{text}");
    }
}
