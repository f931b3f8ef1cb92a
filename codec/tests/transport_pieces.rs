//! Streams of everything a peer may send: found as meant, and the same whatever the pieces.

use std::sync::Arc;

use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::fuzzing::{
    Event, feed, fuzz_deflate_roundtrip, fuzz_rawsocket, fuzz_websocket_client,
    fuzz_websocket_deflate_client, fuzz_websocket_deflate_server, fuzz_websocket_handshake,
    fuzz_websocket_server, pieces,
};
use crossring_codec::transport::{Transport, WebSocketClientOptions, WebSocketServerOptions, WebSocketUrl};
use proptest::prelude::*;

/// One thing a WebSocket peer does.
#[derive(Clone, Debug)]
enum Deed {
    /// Messages (one unless batched) in fragments of these sizes, with pings between them.
    Send {
        messages: Vec<String>,
        fragments: Vec<usize>,
        ping: Option<Vec<u8>>,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let text = prop_oneof![6 => "\\PC{0,30}", 1 => "\\PC{120,140}", 1 => "[a-zö]{700,900}"];
    let control = || prop::collection::vec(any::<u8>(), 0..126);
    let send = (
        prop::collection::vec(text, 1..4),
        prop::collection::vec(0..200usize, 0..4),
        prop::option::of(control()),
    )
        .prop_map(|(messages, fragments, ping)| Deed::Send { messages, fragments, ping });
    let deed =
        prop_oneof![6 => send, 1 => control().prop_map(Deed::Ping), 1 => control().prop_map(Deed::Pong)];
    prop::collection::vec(deed, 1..8)
}

/// Writes frames as the RFC describes them, and what they mean.
struct Script {
    serializer: Serializer,
    masked: bool,
    separator: u8,
    stream: Vec<u8>,
    expected: Vec<Event>,
}

impl Script {
    fn perform(&mut self, deed: &Deed) {
        match deed {
            Deed::Ping(payload) => self.ping(payload),
            Deed::Pong(payload) => {
                self.frame(true, 10, payload);
                self.expected.push(Event::Pong(payload.clone()));
            }
            Deed::Send { messages, fragments, ping } => self.send(messages, fragments, ping.as_deref()),
        }
    }

    fn ping(&mut self, payload: &[u8]) {
        self.frame(true, 9, payload);
        let pong = [&[0x8A, payload.len() as u8], payload].concat();
        self.expected.push(Event::Reply(pong));
    }

    /// Of a batch, messages are found as soon as they are whole: before a ping that follows them.
    fn send(&mut self, messages: &[String], fragments: &[usize], ping: Option<&[u8]>) {
        let messages = if self.serializer.batched { messages } else { &messages[..1] };
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for message in messages {
            payload.extend_from_slice(&self.packed(message.as_bytes()));
            ends.push(payload.len());
        }
        let (mut opcode, mut sent, mut found) = (if self.serializer.is_text() { 1 } else { 2 }, 0, 0);
        for size in fragments {
            let end = payload.len().min(sent + size);
            self.frame(false, opcode, &payload[sent..end]);
            (opcode, sent) = (0, end);
            let whole =
                if self.serializer.batched { ends.iter().filter(|at| **at <= end).count() } else { 0 };
            self.find(&messages[found..whole]);
            found = whole;
            if let Some(ping) = ping {
                self.ping(ping);
            }
        }
        self.frame(true, opcode, &payload[sent..]);
        self.find(&messages[found..]);
    }

    fn find(&mut self, messages: &[String]) {
        self.expected.extend(messages.iter().map(|message| Event::Message(message.clone().into_bytes())));
    }

    fn packed(&self, message: &[u8]) -> Vec<u8> {
        match (self.serializer.batched, self.serializer.id) {
            (false, _) => message.to_vec(),
            (true, SerializerId::Json) => [message, &[self.separator]].concat(),
            (true, _) => [&(message.len() as u32).to_be_bytes(), message].concat(),
        }
    }

    fn frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let masked = if self.masked { 0x80 } else { 0 };
        self.stream.push(if fin { 0x80 } else { 0 } | opcode);
        match payload.len() {
            length @ 0..=125 => self.stream.push(masked | length as u8),
            length @ 126..=0xFFFF => {
                self.stream.push(masked | 126);
                self.stream.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                self.stream.push(masked | 127);
                self.stream.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let key = if self.masked {
            (self.stream.len() as u32).wrapping_mul(0x0103_0507).to_be_bytes()
        } else {
            [0; 4]
        };
        if self.masked {
            self.stream.extend_from_slice(&key);
        }
        self.stream.extend(payload.iter().zip(key.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    }
}

fn open_websocket(serializer: Serializer, server: bool) -> Transport {
    let options = WebSocketClientOptions::default();
    let url = WebSocketUrl::parse("ws://localhost/").unwrap();
    let mut request = Vec::new();
    let mut client = Transport::dial_websocket(&url, &[serializer], &options, 1, &mut request);
    let mut accepted = Transport::accept_websocket(&Arc::new(WebSocketServerOptions::default()));
    let events = feed(&mut accepted, [request.as_slice()]);
    if server {
        return accepted;
    }
    let Event::Reply(reply) = &events[0] else { panic!("{events:?}") };
    feed(&mut client, [reply.as_slice()]);
    client
}

/// A client masks its pongs with keys of its own: compare what is under the mask.
fn unmasked(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Event::Reply(frame) = event {
            let payload: Vec<_> =
                frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(octet, mask)| octet ^ mask).collect();
            *frame = [&[frame[0], frame[1] & 0x7F], payload.as_slice()].concat();
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_websocket_stream_means_what_was_meant(
        deeds in deeds(),
        sizes in prop::collection::vec(1..300usize, 1..6),
        cancel in any::<bool>(),
    ) {
        for (serializer, server) in Serializer::ALL.into_iter().flat_map(|s| [(s, true), (s, false)]) {
            let separator = if cancel { 0x18 } else { 0x1E };
            let mut script =
                Script { serializer, masked: server, separator, stream: Vec::new(), expected: Vec::new() };
            deeds.iter().for_each(|deed| script.perform(deed));
            for sizes in [&[usize::MAX][..], &sizes, &[1]] {
                let mut transport = open_websocket(serializer, server);
                let found = feed(&mut transport, pieces(&script.stream, sizes));
                let found = if server { found } else { unmasked(found) };
                prop_assert_eq!(&found, &script.expected, "{} server={}", serializer, server);
            }
        }
    }

    #[test]
    fn a_spoilt_websocket_stream_fails_alike_in_any_pieces(
        deeds in deeds(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        sizes in any::<[u8; 3]>(),
    ) {
        for serializer in Serializer::ALL {
            let choice = (serializer.id as u8) << 1 | u8::from(serializer.batched);
            for server in [true, false] {
                let mut script =
                    Script { serializer, masked: server, separator: 0x1E, stream: Vec::new(), expected: Vec::new() };
                deeds.iter().for_each(|deed| script.perform(deed));
                for (at, bit) in &spoils {
                    let at = at.index(script.stream.len());
                    script.stream[at] ^= 1 << bit;
                }
                let fuzz = if server { fuzz_websocket_server } else { fuzz_websocket_client };
                fuzz(&[&[choice], sizes.as_slice(), &script.stream].concat());
            }
        }
    }

    #[test]
    fn a_spoilt_rawsocket_stream_fails_alike_in_any_pieces(
        frames in prop::collection::vec((0..3u8, prop::collection::vec(any::<u8>(), 0..40)), 1..6),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 0..3),
        sizes in any::<[u8; 3]>(),
        client in any::<bool>(),
    ) {
        let choice = if client { 0x80 } else { 0 };
        let mut stream = vec![choice, sizes[0], sizes[1], sizes[2], 0x7F, 0xF1, 0, 0];
        for (kind, payload) in &frames {
            stream.extend_from_slice(&[*kind, 0, 0, payload.len() as u8]);
            stream.extend_from_slice(payload);
        }
        for (at, bit) in &spoils {
            let at = 4 + at.index(stream.len() - 4);
            stream[at] ^= 1 << bit;
        }
        fuzz_rawsocket(&stream);
    }

    #[test]
    fn a_spoilt_handshake_fails_alike_in_any_pieces(
        choice in any::<u8>(),
        sizes in any::<[u8; 3]>(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut head = if choice & 0x80 == 0 { REQUEST.to_vec() } else { response() };
        for (at, octet) in &spoils {
            let at = at.index(head.len());
            head[at] = *octet;
        }
        fuzz_websocket_handshake(&[&[choice], sizes.as_slice(), &head, b"\x81\x80abcd\x89\x00"].concat());
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for fuzz in [
            fuzz_rawsocket,
            fuzz_websocket_server,
            fuzz_websocket_client,
            fuzz_websocket_handshake,
            fuzz_websocket_deflate_server,
            fuzz_websocket_deflate_client,
            fuzz_deflate_roundtrip,
        ] {
            fuzz(&data);
        }
    }
}

const REQUEST: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";

/// What a server answers to the request that the fuzz body dials with.
fn response() -> Vec<u8> {
    let mut request = Vec::new();
    let url = WebSocketUrl::parse("ws://localhost:8080/ws").unwrap();
    let _ = Transport::dial_websocket(
        &url,
        &Serializer::ALL,
        &WebSocketClientOptions::default(),
        1,
        &mut request,
    );
    let mut server = Transport::accept_websocket(&Arc::new(WebSocketServerOptions::default()));
    match feed(&mut server, [request.as_slice()]).swap_remove(0) {
        Event::Reply(reply) => reply,
        event => panic!("{event:?}"),
    }
}
