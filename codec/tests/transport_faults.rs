//! Open transports: control frames, closing, limits, and peers that break the rules.

#[path = "transport/support.rs"]
mod support;

use std::sync::Arc;

use crossring_codec::limits::MESSAGE_SIZE_MAX;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::fuzzing::{Event, feed, pieces};
use crossring_codec::transport::{
    Framing, TooLong, Transport, TransportErrorKind, WebSocketLimits, WebSocketServerOptions, close_code,
};

use self::support::{Pair, send};

/// A frame without mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![short as u8],
        medium @ 126..=0xFFFF => [&[126][..], &(medium as u16).to_be_bytes()].concat(),
        long => [&[127][..], &(long as u64).to_be_bytes()].concat(),
    };
    [&[first], length.as_slice(), payload].concat()
}

/// What an open client of `serializer` finds in frames without mask.
fn client_finds(serializer: Serializer, stream: &[u8]) -> Vec<Event> {
    feed(&mut Pair::websocket(serializer).client, [stream])
}

/// The code and reason in the close frame with which a server fails.
fn told_by(server: &mut Transport, kind: TransportErrorKind) -> (u16, String) {
    let mut told = Vec::new();
    server.fail(kind, &mut told);
    assert_eq!((told[0], usize::from(told[1])), (0x88, told.len() - 2));
    (u16::from_be_bytes([told[2], told[3]]), String::from_utf8(told.split_off(4)).unwrap())
}

#[test]
fn frames_of_rfc_6455_section_5_7() {
    let hello = [Event::Message(b"Hello".to_vec())];
    let mut server = Pair::websocket(Serializer::JSON).server;
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(feed(&mut server, [&masked[..]]), hello);
    let masked_ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(feed(&mut server, [&masked_ping[..]]), [Event::Reply(b"\x8a\x05Hello".to_vec())]);
    assert_eq!(client_finds(Serializer::JSON, b"\x81\x05Hello"), hello);
    assert_eq!(client_finds(Serializer::JSON, b"\x01\x03Hel\x80\x02lo"), hello);
    let long = frame(0x82, &[7; 65536]);
    assert_eq!(long[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(client_finds(Serializer::CBOR, &long), [Event::Message(vec![7; 65536])]);
}

#[test]
fn rule_breakers_are_told_which_rule() {
    use TransportErrorKind::*;
    for (stream, kind, code) in [
        (&b"\xc1\x80\0\0\0\0"[..], ReservedBits, 1002),
        (b"\x83\x80\0\0\0\0", OpcodeReserved, 1002),
        (b"\x81\x00", MaskMissing, 1002),
        (b"\x82\x80\0\0\0\0", OpcodeUnexpected, 1003),
        (b"\x80\x80\0\0\0\0", ContinuationUnexpected, 1002),
        (b"\x01\x80\0\0\0\0\x01\x80\0\0\0\0", ContinuationExpected, 1002),
        (b"\x09\x80\0\0\0\0", ControlInvalid, 1002),
        (b"\x89\xfe\0\x7e", ControlInvalid, 1002),
        (b"\x81\x81\0\0\0\0\xff", TextInvalid, 1007),
        (b"\x88\x81\0\0\0\0\0", CloseInvalid, 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", CloseInvalid, 1002),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", TextInvalid, 1007),
        (b"\x81\xff\0\0\0\0\x01\0\0\x01\0\0\0\0", FrameTooLong, 1009),
    ] {
        let mut server = Pair::websocket(Serializer::JSON).server;
        assert_eq!(feed(&mut server, [stream]).last(), Some(&Event::Failed(kind)), "{stream:x?}");
        assert_eq!(told_by(&mut server, kind), (code, kind.description().to_owned()));
    }
    assert_eq!(client_finds(Serializer::JSON, b"\x81\x80\0\0\0\0"), [Event::Failed(MaskUnexpected)]);
}

#[test]
fn close_codes_that_must_not_be_sent_are_refused() {
    let refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let accepted = [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999];
    for code in refused.into_iter().chain(accepted) {
        let found = client_finds(Serializer::JSON, &frame(0x88, &u16::to_be_bytes(code)));
        let last = found.last().unwrap().clone();
        match accepted.contains(&code) {
            true => assert_eq!(last, Event::PeerClosing(code)),
            false => assert_eq!(last, Event::Failed(TransportErrorKind::CloseInvalid), "{code}"),
        }
    }
}

#[test]
fn text_fails_as_soon_as_it_is_wrong() {
    // Autobahn testsuite 6.4: the fault is in the second of three fragments, or pieces.
    let mut client = Pair::websocket(Serializer::JSON).client;
    let events = feed(&mut client, [&b"\x01\x03\xce\xba\xe1"[..], b"\x00\x02\xf4\x90"]);
    assert_eq!(events, [Event::Failed(TransportErrorKind::TextInvalid)]);
    // A sequence that never ends is wrong when the message does.
    let found = client_finds(Serializer::JSON, b"\x01\x01\xe2\x80\x01\x82");
    assert_eq!(found, [Event::Failed(TransportErrorKind::TextInvalid)]);
    assert_eq!(
        client_finds(Serializer::JSON, b"\x01\x01\xe2\x80\x02\x82\xac"),
        [Event::Message("€".as_bytes().to_vec())]
    );
    // Binary serializers are not text.
    assert_eq!(client_finds(Serializer::CBOR, b"\x82\x01\xff"), [Event::Message(vec![0xFF])]);
}

#[test]
fn control_frames_pass_between_fragments() {
    let stream = [frame(0x01, b"a"), frame(0x8A, b"late"), frame(0x00, b"b"), frame(0x80, b"c")].concat();
    let expected = [Event::Pong(b"late".to_vec()), Event::Message(b"abc".to_vec())];
    assert_eq!(client_finds(Serializer::JSON, &stream), expected);
}

#[test]
fn a_close_is_echoed_once_and_ends_the_reading() {
    let Pair { mut client, mut server } = Pair::websocket(Serializer::JSON);
    let mut closing = Vec::new();
    client.close(close_code::NORMAL, "bye", &mut closing);
    send(&mut server, b"[]", &mut Vec::new());
    let events = feed(&mut server, [closing.as_slice(), b"garbage"]);
    let echo = b"\x88\x02\x03\xe8".to_vec();
    assert_eq!(events, [Event::Reply(echo.clone()), Event::PeerClosing(1000)]);
    // Messages that were under way still arrive; pings are not answered any more.
    let under_way = [frame(0x81, b"[]"), frame(0x89, b""), echo].concat();
    assert_eq!(
        feed(&mut client, [under_way.as_slice()]),
        [Event::Message(b"[]".to_vec()), Event::PeerClosing(1000)]
    );
    let mut more = Vec::new();
    client.close(close_code::NORMAL, "", &mut more);
    assert_eq!(client.ping(b"", &mut more), Ok(()));
    assert!(more.is_empty(), "nothing follows a close frame");
}

#[test]
fn a_close_is_answered_with_1000_or_with_its_like() {
    for (close, close_echoed, answer) in [
        (&b"\x88\x80\0\0\0\0"[..], false, &b"\x88\x02\x03\xe8"[..]),
        (b"\x88\x80\0\0\0\0", true, b"\x88\x00"),
        (b"\x88\x85\0\0\0\0\x0f\xa0bye", false, b"\x88\x02\x03\xe8"),
        (b"\x88\x85\0\0\0\0\x0f\xa0bye", true, b"\x88\x05\x0f\xa0bye"),
    ] {
        let options = WebSocketServerOptions { close_echoed, ..Default::default() };
        let mut server = Pair::websocket_with(Serializer::JSON, &Default::default(), options).server;
        let events = feed(&mut server, [close]);
        assert_eq!(events[0], Event::Reply(answer.to_vec()));
    }
    assert_eq!(client_finds(Serializer::JSON, b"\x88\x00")[1], Event::PeerClosing(close_code::NONE));
}

#[test]
fn masks_can_be_left_out_or_left_on() {
    let plain = &b"\x81\x02[]"[..];
    let masked = &b"\x81\x82\x01\x02\x03\x04Z_"[..];
    let message = |bytes: &[u8]| vec![Event::Message(bytes.to_vec())];
    let default = WebSocketServerOptions::default;
    for (options, stream, found) in [
        (WebSocketServerOptions { unmasked_accepted: true, ..default() }, plain, message(b"[]")),
        (WebSocketServerOptions { unmasked_accepted: true, ..default() }, masked, message(b"[]")),
        (WebSocketServerOptions { masks_kept: true, ..default() }, masked, message(b"Z_")),
        (default(), plain, vec![Event::Failed(TransportErrorKind::MaskMissing)]),
    ] {
        let mut server = Pair::websocket_with(Serializer::JSON, &Default::default(), options).server;
        assert_eq!(feed(&mut server, [stream]), found);
    }
    let options = WebSocketServerOptions { masks_frames: true, ..default() };
    let mut server = Pair::websocket_with(Serializer::JSON, &Default::default(), options).server;
    let mut out = Vec::new();
    server.ping(b"", &mut out).unwrap();
    assert_eq!(out[..2], [0x89, 0x80]);
    let mut writer = server.take_writer().expect("masked frames are the connection's own");
    out.clear();
    writer.write(plain, &mut Default::default(), &mut out);
    assert_eq!((&out[..2], out.len()), (&[0x81, 0x82][..], 8));
    assert!(writer.shared_kind().is_none());
}

#[test]
fn any_message_is_taken_as_the_kind_it_has() {
    let options = WebSocketServerOptions { any_messages: true, ..Default::default() };
    let mut server = Transport::accept_websocket(&Arc::new(options));
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert!(matches!(feed(&mut server, [&request[..]])[..], [Event::Reply(_), Event::Opened(_)]));
    for (stream, found, is_text) in [
        (&b"\x82\x81\0\0\0\0\xff"[..], Event::Message(b"\xff".to_vec()), false),
        (b"\x81\x81\0\0\0\0a", Event::Message(b"a".to_vec()), true),
        (b"\x02\x81\0\0\0\0\xff\x80\x81\0\0\0\0\xfe", Event::Message(b"\xff\xfe".to_vec()), false),
        (b"\x81\x81\0\0\0\0\xff", Event::Failed(TransportErrorKind::TextInvalid), true),
    ] {
        assert_eq!(feed(&mut server, [stream]), [found]);
        assert_eq!(server.framing().unwrap().serializer().is_text(), is_text);
    }
}

#[test]
fn close_reasons_are_cut_between_characters() {
    let mut server = Pair::websocket(Serializer::JSON).server;
    let mut out = Vec::new();
    server.close(close_code::GOING_AWAY, &"ö".repeat(100), &mut out);
    assert_eq!(out, frame(0x88, &[&[0x03, 0xE9], "ö".repeat(61).as_bytes()].concat()));
}

#[test]
fn pings_come_back_as_pongs() {
    for Pair { mut client, mut server } in
        [Pair::websocket(Serializer::CBOR), Pair::rawsocket(SerializerId::Cbor)]
    {
        let mut ping = Vec::new();
        server.ping(b"12345678", &mut ping).unwrap();
        let [Event::Reply(pong)] = &feed(&mut client, [ping.as_slice()])[..] else { panic!() };
        assert_eq!(feed(&mut server, [pong.as_slice()]), [Event::Pong(b"12345678".to_vec())]);
    }
    let mut server = Pair::websocket(Serializer::CBOR).server;
    assert_eq!(server.ping(&[0; 126], &mut Vec::new()), Err(TooLong { size: 126 }));
}

#[test]
fn limits_hold_from_the_head_on() {
    use TransportErrorKind::*;
    let limits = WebSocketLimits { frame_size_max: 100, message_size_max: 150, ..Default::default() };
    for (stream, last) in [
        (frame(0x82, &[0; 100]), Event::Message(vec![0; 100])),
        (frame(0x82, &[0; 101])[..2].to_vec(), Event::Failed(FrameTooLong)),
        ([frame(0x02, &[0; 100]), frame(0x80, &[0; 50])].concat(), Event::Message(vec![0; 150])),
        (
            [frame(0x02, &[0; 100]), frame(0x80, &[0; 51])[..2].to_vec()].concat(),
            Event::Failed(MessageTooLong),
        ),
    ] {
        let mut client = Pair::websocket_within(Serializer::CBOR, limits).client;
        assert_eq!(feed(&mut client, [stream.as_slice()]).last(), Some(&last));
    }
    // Whatever is configured: no longer than what could be sent on.
    let limits =
        WebSocketLimits { frame_size_max: 64 << 20, message_size_max: 64 << 20, ..Default::default() };
    let mut client = Pair::websocket_within(Serializer::CBOR, limits).client;
    let head = [&[0x82, 127][..], &(MESSAGE_SIZE_MAX as u64 + 1).to_be_bytes()].concat();
    assert_eq!(feed(&mut client, [head.as_slice()]), [Event::Failed(FrameTooLong)]);
    assert_eq!(FrameTooLong.close_code(), close_code::MESSAGE_TOO_BIG);
    assert_eq!(MessageTooLong.close_code(), close_code::MESSAGE_TOO_BIG);
}

#[test]
fn batches_come_apart() {
    let message = |text: &str| Event::Message(text.as_bytes().to_vec());
    for (serializer, payload, expected) in [
        (Serializer::JSON_BATCHED, &b"[1]\x1e[2]\x1e"[..], [message("[1]"), message("[2]")]),
        (Serializer::JSON_BATCHED, b"[1]\x18[2]\x18", [message("[1]"), message("[2]")]),
        (Serializer::CBOR_BATCHED, b"\0\0\0\x01a\0\0\0\x02bc", [message("a"), message("bc")]),
        (Serializer::MESSAGE_PACK_BATCHED, b"\0\0\0\x00\0\0\0\x02bc", [message(""), message("bc")]),
    ] {
        let first = if serializer.is_text() { 0x81 } else { 0x82 };
        assert_eq!(client_finds(serializer, &frame(first, payload)), expected, "{serializer}");
    }
}

#[test]
fn broken_batches_fail() {
    use TransportErrorKind::*;
    for (serializer, payload, kind) in [
        (Serializer::JSON_BATCHED, &b""[..], BatchEmpty),
        (Serializer::CBOR_BATCHED, b"", BatchEmpty),
        (Serializer::JSON_BATCHED, b"[1]", BatchTruncated),
        (Serializer::JSON_BATCHED, b"[1]\x1e[2]", BatchTruncated),
        (Serializer::JSON_BATCHED, b"\xff\x1e", TextInvalid),
        (Serializer::CBOR_BATCHED, b"\0\0\0", BatchTruncated),
        (Serializer::CBOR_BATCHED, b"\0\0\0\x02a", BatchTruncated),
        (Serializer::CBOR_BATCHED, b"\xff\xff\xff\xffa", BatchTruncated),
    ] {
        let first = if serializer.is_text() { 0x81 } else { 0x82 };
        for sizes in [usize::MAX, 1] {
            let mut client = Pair::websocket(serializer).client;
            let found = feed(&mut client, pieces(&frame(first, payload), &[sizes]));
            assert_eq!(found.last(), Some(&Event::Failed(kind)), "{serializer} {payload:x?}");
        }
    }
    // An announced length beyond the limit fails before its octets come.
    let found = client_finds(Serializer::CBOR_BATCHED, &frame(0x02, b"\x7f\xff\xff\xff"));
    assert_eq!(found, [Event::Failed(MessageTooLong)]);
}

#[test]
fn the_first_batch_settles_the_separator_we_use() {
    for (batch, sent) in [(&b"[1]\x18"[..], &b"\x81\x03[]\x18"[..]), (b"[1]\x1e[2]\x18", b"\x81\x03[]\x1e")] {
        let mut pair = Pair::websocket(Serializer::JSON_BATCHED);
        // The server reads what a client would send: mask with zero.
        let mut frame = frame(0x81, batch);
        frame[1] |= 0x80;
        frame.splice(2..2, [0; 4]);
        feed(&mut pair.server, [frame.as_slice()]);
        let mut out = Vec::new();
        send(&mut pair.server, b"[]", &mut out);
        assert_eq!(out, sent);
        assert!(pair.server.framing().unwrap().index() < Framing::COUNT);
    }
}

#[test]
fn rawsocket_rule_breakers_fail() {
    use TransportErrorKind::*;
    for (prefix, kind) in [
        ([0x03, 0, 0, 0], FrameReserved),
        ([0x07, 0, 0, 0], FrameReserved),
        ([0x10, 0, 0, 0], FrameReserved),
        ([0x80, 0, 0, 1], FrameReserved),
        ([0x08, 0, 0, 1], FrameLengthInvalid),
    ] {
        let mut server = Pair::rawsocket(SerializerId::Json).server;
        assert_eq!(feed(&mut server, [prefix.as_slice()]), [Event::Failed(kind)], "{prefix:x?}");
        let mut told = Vec::new();
        server.fail(kind, &mut told);
        assert!(told.is_empty(), "an open RawSocket has no words for failure");
    }
}

#[test]
fn rawsocket_frames_of_every_size_arrive() {
    for size in [0, 1, (1 << 24) - 1, 1 << 24] {
        let Pair { mut client, mut server } = Pair::rawsocket(SerializerId::Cbor);
        let message = vec![7; size];
        let mut stream = Vec::new();
        send(&mut client, &message, &mut stream);
        for sizes in [usize::MAX, 1_000_000] {
            let found = feed(&mut server, pieces(&stream, &[sizes]));
            assert!(found == [Event::Message(message.clone())], "{size}");
        }
    }
}

#[test]
fn rawsocket_pings_of_any_size_are_answered() {
    for size in [0, 1000, 1 << 24] {
        let Pair { mut client, mut server } = Pair::rawsocket(SerializerId::Cbor);
        let payload = vec![7; size];
        let mut ping = Vec::new();
        client.ping(&payload, &mut ping).unwrap();
        for sizes in [usize::MAX, 1_000_000] {
            let [Event::Reply(pong)] = &feed(&mut server, pieces(&ping, &[sizes]))[..] else { panic!() };
            assert!(feed(&mut client, [pong.as_slice()]) == [Event::Pong(payload.clone())], "{size}");
        }
    }
}
