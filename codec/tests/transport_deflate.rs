//! permessage-deflate between a client and a server: every serializer, negotiation, fragments, pieces, bombs.

#[path = "transport/support.rs"]
mod support;

use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::fuzzing::{Event, feed, fuzz_websocket_deflate_server, pieces};
use crossring_codec::transport::{
    Compressors, DeflateOptions, FrameWriter, Framing, Transport, TransportErrorKind, WebSocketClientOptions,
    WebSocketLimits, WebSocketServerOptions,
};

use self::support::{Pair, send};
use proptest::prelude::*;

/// One side and its writer.
struct Side {
    transport: Transport,
    writer: Box<FrameWriter>,
    compressors: Compressors,
}

impl Side {
    fn new(mut transport: Transport) -> Side {
        let writer = transport.take_writer().expect("frames of its own");
        Side { transport, writer, compressors: Compressors::default() }
    }

    fn wire(&mut self, messages: &[&[u8]]) -> Vec<u8> {
        let framing: Framing = self.transport.framing().unwrap();
        let mut out = Vec::new();
        for message in messages {
            let mut frame = Vec::new();
            let mark = framing.begin(&mut frame);
            frame.extend_from_slice(message);
            framing.finish(&mut frame, mark, 0).unwrap();
            self.writer.write(&frame, &mut self.compressors, &mut out);
        }
        out
    }
}

fn pair(serializer: Serializer, deflate: DeflateOptions, fragment_size_max: usize) -> (Side, Side) {
    let limits = WebSocketLimits::default();
    let client = WebSocketClientOptions { limits, deflate: Some(deflate), fragment_size_max };
    let server = WebSocketServerOptions { deflate: Some(deflate), fragment_size_max, ..Default::default() };
    let pair = Pair::websocket_with(serializer, &client, server);
    (Side::new(pair.client), Side::new(pair.server))
}

fn messages(events: Vec<Event>) -> Vec<Vec<u8>> {
    let message = |event| match event {
        Event::Message(message) => message,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(message).collect()
}

/// Both ways, whatever the options, the fragments and the pieces.
#[test]
fn what_is_compressed_is_inflated() {
    let text = r#"[36,5512315355,4429313566,{},["temperature",{"room":17,"unit":"°C"}]]"#.repeat(30);
    let sent: Vec<&[u8]> = vec![text.as_bytes(), b"[]", &text.as_bytes()[..900], b"", text.as_bytes()];
    let default = DeflateOptions { size_min: 1, ..Default::default() };
    for deflate in [
        default,
        DeflateOptions { no_context_takeover: true, ..default },
        DeflateOptions { peer_no_context_takeover: true, ..default },
        DeflateOptions { window_bits_max: 9, memory_level: 1, level: 9, ..default },
        DeflateOptions { peer_window_bits_max: Some(9), level: 1, ..default },
        DeflateOptions { size_min: 100, ..default },
    ] {
        for serializer in Serializer::ALL {
            for fragment_size in [0, 1, 7, 200] {
                let (mut client, mut server) = pair(serializer, deflate, fragment_size);
                for chunk in [usize::MAX, 1, 3, 100] {
                    let wire = client.wire(&sent);
                    let found = messages(feed(&mut server.transport, pieces(&wire, &[chunk])));
                    assert_eq!(found, sent, "{serializer} {deflate:?} {fragment_size} {chunk}");
                    let wire = server.wire(&sent);
                    let found = messages(feed(&mut client.transport, pieces(&wire, &[chunk])));
                    assert_eq!(found, sent, "{serializer} {deflate:?} {fragment_size} {chunk}");
                }
            }
        }
    }
}

#[test]
fn memory_of_earlier_messages_makes_later_ones_short() {
    let (mut client, _) = pair(Serializer::JSON, DeflateOptions::default(), 0);
    let text = r#"[36,5512315355,4429313566,{},["temperature",{"room":17,"unit":"°C"}]]"#;
    // The first ones are for those who join and then say nothing: they need no memory.
    let lengths = [(); 6].map(|()| client.wire(&[text.as_bytes()]).len());
    let (first, last) = (lengths[0], lengths[5]);
    assert_eq!(lengths[..5], [first; 5]);
    assert!(2 * last < first, "{lengths:?}");
    assert!(client.writer.remembers() && client.writer.shared_kind().is_none());
    client.writer.forget();
    assert_eq!(client.wire(&[text.as_bytes()]).len(), first);
}

#[test]
fn without_memory_equal_kinds_write_equal_octets() {
    let deflate = DeflateOptions { no_context_takeover: true, ..Default::default() };
    let (_, mut one) = pair(Serializer::JSON, deflate, 0);
    let (_, mut other) = pair(Serializer::JSON, deflate, 0);
    let text = r#"[36,5512315355,4429313566,{},["temperature",{"room":17,"unit":"°C"}]]"#;
    one.wire(&[b"[1,\"something else, which is to leave no trace ................................\"]"]);
    assert_eq!(one.wire(&[text.as_bytes()]), other.wire(&[text.as_bytes()]));
    assert_eq!(one.writer.shared_kind(), other.writer.shared_kind());
    assert!(one.writer.shared_kind().is_some() && !one.writer.remembers());
}

#[test]
fn fragments_need_no_compression() {
    let server = WebSocketServerOptions { fragment_size_max: 3, ..Default::default() };
    let pair = Pair::websocket_with(Serializer::JSON, &WebSocketClientOptions::default(), server);
    let mut server = Side::new(pair.server);
    assert_eq!(server.wire(&[b"[1,2,3]"]), b"\x01\x03[1,\x00\x032,3\x80\x01]");
    let mut client = pair.client;
    assert!(client.take_writer().is_none(), "a client has nothing to add");
    assert!(Pair::rawsocket(SerializerId::Json).server.take_writer().is_none());
}

#[test]
fn either_side_may_decline() {
    let offering = WebSocketClientOptions { deflate: Some(DeflateOptions::default()), ..Default::default() };
    let accepting =
        || WebSocketServerOptions { deflate: Some(DeflateOptions::default()), ..Default::default() };
    for (client, server) in
        [(WebSocketClientOptions::default(), accepting()), (offering, WebSocketServerOptions::default())]
    {
        let mut pair = Pair::websocket_with(Serializer::JSON, &client, server);
        assert!(pair.client.take_writer().is_none() && pair.server.take_writer().is_none());
        let compressed = feed(&mut pair.client, [&b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"[..]]);
        assert_eq!(compressed, [Event::Failed(TransportErrorKind::ReservedBits)]);
    }
}

#[test]
fn a_batch_is_handed_out_message_by_message() {
    for serializer in [Serializer::JSON_BATCHED, Serializer::CBOR_BATCHED] {
        let (client, mut server) = pair(serializer, DeflateOptions { size_min: 0, ..Default::default() }, 0);
        let mut plain = Pair::websocket(serializer).client;
        let mut frame = Vec::new();
        send(&mut plain, b"[1]", &mut frame);
        let payload: Vec<u8> =
            frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
        let batch = payload.repeat(3);
        let mut frame = vec![frame[0], batch.len() as u8];
        frame.extend_from_slice(&batch);
        let (mut writer, mut wire) = (client.writer, Vec::new());
        writer.write(&frame, &mut Compressors::default(), &mut wire);
        let (mut consumed, mut scratch, mut held) = (0, Vec::new(), Vec::new());
        while server.transport.next(&wire, &mut consumed, &mut scratch).unwrap().is_some() {
            held.push((consumed == wire.len(), server.transport.is_holding()));
        }
        assert_eq!(held, [(true, true), (true, true), (true, false)], "{serializer}");
        // A batch that ends within a message.
        frame.truncate(frame.len() - 1);
        frame[1] -= 1;
        wire.clear();
        writer.write(&frame, &mut Compressors::default(), &mut wire);
        let found = feed(&mut server.transport, [wire.as_slice()]);
        assert_eq!(found.last(), Some(&Event::Failed(TransportErrorKind::BatchTruncated)), "{serializer}");
    }
}

/// A message is held as it came until it is whole: what it would inflate to takes no memory before.
#[test]
fn a_bomb_is_told_1009() {
    let (mut client, mut server) = pair(Serializer::JSON, DeflateOptions::default(), 1000);
    let wire = client.wire(&[&vec![b' '; 8 << 20]]);
    assert!(wire.len() < 16 << 10);
    let found = feed(&mut server.transport, pieces(&wire, &[64]));
    assert_eq!(found, [Event::Failed(TransportErrorKind::InflateRatio)]);
    let mut told = Vec::new();
    server.transport.fail(TransportErrorKind::InflateRatio, &mut told);
    assert_eq!(told[..4], [0x88, told.len() as u8 - 2, 0x03, 0xF1]);
}

#[test]
fn inflated_text_is_checked() {
    let (mut client, mut server) =
        pair(Serializer::JSON, DeflateOptions { size_min: 0, ..Default::default() }, 0);
    let wire = client.wire(&[b"\xff"]);
    assert_eq!(
        feed(&mut server.transport, [wire.as_slice()]),
        [Event::Failed(TransportErrorKind::TextInvalid)]
    );
}

#[test]
fn control_frames_may_come_between_compressed_fragments() {
    let (mut client, mut server) =
        pair(Serializer::JSON, DeflateOptions { size_min: 0, ..Default::default() }, 4);
    let wire = client.wire(&[b"[1,2,3]"]);
    let ping = b"\x89\x81\0\0\0\0!";
    let stream = [&wire[..10], ping, &wire[10..]].concat();
    let expected = [Event::Reply(b"\x8a\x01!".to_vec()), Event::Message(b"[1,2,3]".to_vec())];
    assert_eq!(feed(&mut server.transport, [stream.as_slice()]), expected);
    // Once more in pieces, on the same connection.
    let wire = client.wire(&[b"[1,2,3]"]);
    let stream = [&wire[..10], ping, &wire[10..]].concat();
    assert_eq!(feed(&mut server.transport, pieces(&stream, &[1])), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_spoilt_compressed_stream_fails_alike_in_any_pieces(
        sent in prop::collection::vec("[a-c ]{0,300}", 1..5),
        fragment_size in 0..100usize,
        spoils in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        sizes in any::<[u8; 3]>(),
    ) {
        for (choice, serializer) in [(0, Serializer::JSON), (1, Serializer::JSON_BATCHED), (5, Serializer::CBOR_BATCHED)] {
            let (mut client, _) = pair(serializer, DeflateOptions { size_min: 9, ..Default::default() }, fragment_size);
            let sent: Vec<&[u8]> = sent.iter().map(String::as_bytes).collect();
            let mut wire = client.wire(&sent);
            for (at, bit) in &spoils {
                let at = at.index(wire.len());
                wire[at] ^= 1 << bit;
            }
            fuzz_websocket_deflate_server(&[&[choice, 0x1F], sizes.as_slice(), &wire].concat());
        }
    }
}
