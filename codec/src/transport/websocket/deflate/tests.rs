use super::*;

fn elements(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim)
}

fn answered(header: &str, options: &DeflateOptions) -> Option<String> {
    accept(elements(header), options).map(|(_, text)| text)
}

#[test]
fn offers_are_answered_as_the_rfc_says() {
    let plain = DeflateOptions::default();
    let alone = DeflateOptions { no_context_takeover: true, peer_no_context_takeover: true, ..plain };
    let narrow = DeflateOptions { window_bits_max: 10, ..plain };
    let asking = DeflateOptions { peer_window_bits_max: Some(11), ..plain };
    for (options, offer, answer) in [
        (plain, "permessage-deflate", Some("permessage-deflate")),
        (plain, "Permessage-Deflate; client_max_window_bits", Some("permessage-deflate")),
        (plain, "foo; bar, permessage-deflate", Some("permessage-deflate")),
        (plain, "x-webkit-deflate-frame", None),
        (
            plain,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        ),
        (
            plain,
            "permessage-deflate; server_max_window_bits=\"12\"",
            Some("permessage-deflate; server_max_window_bits=12"),
        ),
        (plain, "permessage-deflate; server_max_window_bits=8", None),
        (
            plain,
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9",
            Some("permessage-deflate; server_max_window_bits=9"),
        ),
        (plain, "permessage-deflate; server_max_window_bits", None),
        (plain, "permessage-deflate; server_max_window_bits=16", None),
        (plain, "permessage-deflate; server_max_window_bits=09", None),
        (plain, "permessage-deflate; client_max_window_bits=7", None),
        (plain, "permessage-deflate; client_max_window_bits=1a", None),
        (plain, "permessage-deflate; unknown", None),
        (plain, "permessage-deflate; server_no_context_takeover=1", None),
        (plain, "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        (plain, "permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
        (
            alone,
            "permessage-deflate",
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        ),
        (narrow, "permessage-deflate", Some("permessage-deflate; server_max_window_bits=10")),
        (
            narrow,
            "permessage-deflate; server_max_window_bits=9",
            Some("permessage-deflate; server_max_window_bits=9"),
        ),
        (asking, "permessage-deflate", None),
        (
            asking,
            "permessage-deflate; client_max_window_bits",
            Some("permessage-deflate; client_max_window_bits=11"),
        ),
        (
            asking,
            "permessage-deflate; client_max_window_bits=10",
            Some("permessage-deflate; client_max_window_bits=10"),
        ),
    ] {
        assert_eq!(answered(offer, &options).as_deref(), answer, "{offer}");
    }
}

#[test]
fn clients_check_the_answer() {
    let plain = DeflateOptions::default();
    let asking = DeflateOptions { peer_no_context_takeover: true, peer_window_bits_max: Some(10), ..plain };
    let narrow = DeflateOptions { window_bits_max: 10, ..plain };
    assert_eq!(offer(&plain), "permessage-deflate; client_max_window_bits");
    assert_eq!(offer(&narrow), "permessage-deflate; client_max_window_bits=10");
    assert_eq!(
        offer(&asking),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits"
    );
    let window = |response: &str, options| {
        confirm(elements(response), Some(options)).map(|agreed| agreed.unwrap().outgoing.window_bits)
    };
    assert_eq!(window("permessage-deflate", &plain), Ok(15));
    assert_eq!(window("permessage-deflate; client_max_window_bits=9", &plain), Ok(9));
    assert_eq!(window("permessage-deflate", &narrow), Ok(10));
    let unexpected = Err(TransportErrorKind::ExtensionUnexpected);
    for response in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; other",
        "other",
    ] {
        assert_eq!(confirm(elements(response), Some(&plain)), unexpected, "{response}");
    }
    assert_eq!(confirm(elements("permessage-deflate"), Some(&asking)), unexpected);
    assert_eq!(confirm(elements("permessage-deflate"), None), unexpected);
    assert_eq!(confirm(std::iter::empty(), Some(&asking)), Ok(None));
}

const BOTH: Direction = Direction { takeover: true, window_bits: 15 };

fn inflated(wire: &[u8], size_max: usize) -> Result<Vec<u8>, TransportErrorKind> {
    let mut out = b"before".to_vec();
    let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
    inflater.inflate(wire, [0; 4], size_max, &mut out).map(|()| out)
}

#[test]
fn messages_of_rfc_7692_section_7_2_3() {
    for (wire, plain) in [
        (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "Hello"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
        // After a final block, with and without the octet that goes on.
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", "HelloHello"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"),
        (b"\x00", ""),
    ] {
        assert_eq!(inflated(wire, 100).as_deref(), Ok(plain.as_bytes()), "{wire:x?}");
    }
    let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
    let mut out = Vec::new();
    for wire in [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xf2\x00\x11\x00\x00"] {
        inflater.inflate(wire, [0; 4], 100, &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }
    let alone = Direction { takeover: false, ..BOTH };
    let mut inflater = Inflater::new(alone, &DeflateOptions::default());
    inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", [0; 4], 100, &mut out).unwrap();
    let refused = inflater.inflate(b"\xf2\x00\x11\x00\x00", [0; 4], 100, &mut out);
    assert_eq!(refused, Err(TransportErrorKind::DeflateInvalid), "there is nothing to refer to");
}

#[test]
fn garbage_and_endless_ends_are_refused() {
    assert_eq!(inflated(b"\xff\xff\xff", 100), Err(TransportErrorKind::DeflateInvalid));
    assert_eq!(inflated(&b"\x03\x00".repeat(64), 100), Ok(Vec::new()));
    assert_eq!(inflated(&b"\x03\x00".repeat(65), 100), Err(TransportErrorKind::DeflateInvalid));
}

/// A message of this many zeros.
fn bomb(size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let kind = DeflateOptions { size_min: 0, ..Default::default() };
    let mut writer = FrameWriter::new(Some((BOTH, &kind)), 0, None, true).unwrap();
    let mut frame = WebSocketHeader::new(OPCODE_BINARY, size, None).as_bytes().to_vec();
    frame.resize(frame.len() + size, 0);
    writer.write(&frame, &mut Compressors::default(), &mut wire);
    assert_eq!(wire[0], 0xC2);
    wire.split_off(WebSocketHeader::size_of(&wire))
}

#[test]
fn bombs_end_before_memory_is_taken() {
    for (size, size_max, verdict) in [
        (1 << 20, 1 << 24, Ok(())),
        (2 << 20, 1 << 24, Err(TransportErrorKind::InflateRatio)),
        (1 << 24, 1 << 24, Err(TransportErrorKind::InflateRatio)),
        (101, 100, Err(TransportErrorKind::MessageTooLong)),
        (100, 100, Ok(())),
    ] {
        let wire = bomb(size);
        let mut out = Vec::new();
        let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
        let found = inflater.inflate(&wire, [0; 4], size_max, &mut out);
        assert_eq!(found, verdict, "{size}");
        let limit = size_max.min((200 * wire.len()).max(1 << 20));
        assert!(out.capacity() <= 2 * (limit + 1), "{} octets for {size}", out.capacity());
    }
}

#[test]
fn what_begins_as_a_bomb_ends_at_once() {
    // As a whole it would be within the ratio.
    let wire = [bomb(4 << 20), incompressible(100 << 10)].concat();
    assert!(200 * wire.len() > 4 << 20);
    let mut out = Vec::new();
    let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
    let found = inflater.inflate(&wire, [0; 4], 1 << 24, &mut out);
    assert_eq!(found, Err(TransportErrorKind::InflateRatio));
    assert!(out.len() <= 2 << 20, "{}", out.len());
}

/// Blocks that are not compressed, as the rest of a message.
fn incompressible(size: usize) -> Vec<u8> {
    const BLOCK_SIZE: usize = 1 << 14;
    let [low, high] = (BLOCK_SIZE as u16).to_le_bytes();
    let mut wire = vec![0, 0, 0xFF, 0xFF]; // the end of what came before
    for _ in 0..size / BLOCK_SIZE {
        wire.extend_from_slice(&[0, low, high, !low, !high]);
        wire.extend_from_slice(&[b'.'; BLOCK_SIZE]);
    }
    wire.push(0);
    wire
}

#[test]
fn a_message_that_is_compressed_less_goes_on_after_what_is_compressed_much() {
    let wire = [bomb(3 << 19), incompressible(100 << 10)].concat();
    let mut out = Vec::new();
    let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
    assert_eq!(inflater.inflate(&wire, [0; 4], 1 << 24, &mut out), Ok(()));
    assert_eq!(out.len(), (3 << 19) + (96 << 10));
}

#[test]
fn writers_own_nothing_at_first_and_when_they_had_to_forget() {
    let kind = DeflateOptions { size_min: 0, ..Default::default() };
    let mut writer = FrameWriter::new(Some((BOTH, &kind)), 0, None, true).unwrap();
    let mut inflater = Inflater::new(BOTH, &kind);
    let (mut shared, mut wire, mut out) = (Compressors::default(), Vec::new(), Vec::new());
    let mut is_remembering = |writer: &mut FrameWriter| {
        let mut frame = WebSocketHeader::new(OPCODE_BINARY, 1_000, None).as_bytes().to_vec();
        frame.resize(frame.len() + 1_000, b'.');
        wire.clear();
        writer.write(&frame, &mut shared, &mut wire);
        let found = inflater.inflate(&wire[WebSocketHeader::size_of(&wire)..], [0; 4], 1_000, &mut out);
        assert_eq!((found, out.len()), (Ok(()), 1_000));
        writer.remembers()
    };
    assert_eq!((0..10).filter(|_| is_remembering(&mut writer)).count(), 6);
    writer.forget();
    assert_eq!((0..1030).filter(|_| is_remembering(&mut writer)).count(), 6);
}

#[test]
fn a_stranger_may_inflate_less() {
    let mut inflater = Inflater::new(BOTH, &DeflateOptions::default());
    let mut inflate = |limit, size| {
        inflater.limit(limit);
        inflater.inflate(&bomb(size), [0; 4], 1 << 24, &mut Vec::new())
    };
    assert_eq!(inflate(Some(1_000), 1_000), Ok(()));
    assert_eq!(inflate(Some(1_000), 1_001), Err(TransportErrorKind::InflateRatio));
    assert_eq!(inflate(None, 1_001), Ok(()));
}

use crate::transport::framing::{OPCODE_BINARY, WebSocketHeader};
