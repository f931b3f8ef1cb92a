//! Frames: taking received octets apart and framing what is sent.
//!
//! `receive` is a server that gets sixteen messages in one piece, WebSocket with unmasking and, for text, the check of UTF-8;
//! `receive_split` gets the same in pieces of 1460 octets. `frame` is a server that frames one message.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Throughput, criterion_group, criterion_main};
use crossring_benches::payload::{Content, SIZES, encoded, payload, publish};
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::{
    Framing, Incoming, RawSocketClientOptions, RawSocketServerOptions, Transport, WebSocketClientOptions,
    WebSocketServerOptions, WebSocketUrl,
};

const MESSAGES: usize = 16;
const SEGMENT_SIZE: usize = 1460;

const CARRIERS: [(&str, Carrier, Serializer); 4] = [
    ("rawsocket_msgpack", Carrier::RawSocket, Serializer::MESSAGE_PACK),
    ("websocket_msgpack", Carrier::WebSocket, Serializer::MESSAGE_PACK),
    ("websocket_json", Carrier::WebSocket, Serializer::JSON),
    ("websocket_cbor_batched", Carrier::WebSocket, Serializer::CBOR_BATCHED),
];

#[derive(Copy, Clone)]
enum Carrier {
    RawSocket,
    WebSocket,
}

impl Carrier {
    /// A client, with its request, and the server it speaks to.
    fn pair(self, serializer: Serializer) -> (Transport, Transport, Vec<u8>) {
        let mut request = Vec::new();
        match self {
            Carrier::RawSocket => {
                let options = RawSocketClientOptions::default();
                let client = Transport::dial_rawsocket(serializer.id, &options, &mut request);
                let server = Transport::accept_rawsocket(&RawSocketServerOptions::default());
                (client, server, request)
            }
            Carrier::WebSocket => {
                let url = WebSocketUrl::parse("ws://localhost:8080/ws").expect("a URL");
                let options = WebSocketClientOptions::default();
                let client = Transport::dial_websocket(&url, &[serializer], &options, 1, &mut request);
                let options = Arc::new(WebSocketServerOptions::default());
                (client, Transport::accept_websocket(&options), request)
            }
        }
    }

    /// A client and a server that have shaken hands.
    fn open(self, serializer: Serializer) -> (Transport, Transport) {
        let (mut client, mut server, request) = self.pair(serializer);
        let mut reply = Vec::new();
        shake_hands(&mut server, &request, &mut reply);
        shake_hands(&mut client, &reply, &mut Vec::new());
        assert!(client.framing().is_some() && server.framing().is_some());
        (client, server)
    }
}

fn shake_hands(transport: &mut Transport, input: &[u8], reply: &mut Vec<u8>) {
    let (mut consumed, mut scratch) = (0, Vec::new());
    while let Some(incoming) = transport.next(input, &mut consumed, &mut scratch).expect("our own peer") {
        if let Incoming::Reply(octets) = incoming {
            reply.extend_from_slice(octets);
        }
    }
}

/// A message of about `size` octets of payload.
fn message(serializer: SerializerId, size: usize) -> Vec<u8> {
    encoded(serializer, &publish(1, "com.example.topic", payload(serializer, Content::Text, size)))
}

fn frame(framing: Framing, message: &[u8], mask_key: u32, out: &mut Vec<u8>) {
    let mark = framing.begin(out);
    out.extend_from_slice(message);
    framing.finish(out, mark, mask_key).expect("a message of usual size");
}

/// Takes `input` in; returns how many messages were in it.
fn receive(transport: &mut Transport, input: &[u8], scratch: &mut Vec<u8>) -> usize {
    let (mut consumed, mut count) = (0, 0);
    while let Some(incoming) = transport.next(input, &mut consumed, scratch).expect("our own frames") {
        count += usize::from(matches!(black_box(incoming), Incoming::Message(_)));
    }
    count
}

fn receiving(criterion: &mut Criterion) {
    for (name, piece_size) in [("receive", usize::MAX), ("receive_split", SEGMENT_SIZE)] {
        let mut group = criterion.benchmark_group(format!("transport/{name}"));
        for (carrier_name, carrier, serializer) in CARRIERS {
            for &size in inputs(&SIZES[..3]) {
                let (mut client, mut server) = carrier.open(serializer);
                let (message, mut input) = (message(serializer.id, size), Vec::new());
                for _ in 0..MESSAGES {
                    let framing = client.framing().expect("open");
                    frame(framing, &message, client.mask_key(), &mut input);
                }
                let mut scratch = Vec::new();
                group.throughput(Throughput::Elements(MESSAGES as u64));
                group.bench_function(BenchmarkId::new(carrier_name, size), |bencher| {
                    bencher.iter(|| {
                        let pieces = black_box(&input).chunks(piece_size);
                        let count: usize =
                            pieces.map(|piece| receive(&mut server, piece, &mut scratch)).sum();
                        assert_eq!(count, MESSAGES);
                    });
                });
            }
        }
    }
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transport/frame");
    for (name, carrier, serializer) in CARRIERS {
        for &size in inputs(&SIZES[..3]) {
            let (_, server) = carrier.open(serializer);
            let framing = server.framing().expect("open");
            let (message, mut out) = (message(serializer.id, size), Vec::new());
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    frame(framing, black_box(&message), 0, &mut out);
                    black_box(out.len())
                });
            });
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transport/handshake");
    for (name, carrier, serializer) in [CARRIERS[0], CARRIERS[1]] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (_, mut server, request) = carrier.pair(serializer);
                let mut reply = Vec::new();
                shake_hands(&mut server, black_box(&request), &mut reply);
                reply
            });
        });
    }
}

criterion_group! {
    name = transports;
    config = criterion();
    targets = receiving, framing, handshakes
}
criterion_main!(transports);
