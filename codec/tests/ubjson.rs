//! UBJSON and BJData against what the Python packages `py-ubjson` 0.16 and `bjdata` 0.6 write and read, and against bombs.

#![forbid(unsafe_code)]

#[path = "transport/support.rs"]
mod support;

use std::sync::Arc;

use crossring_codec::error::{DecodeError, EncodeError, Fault, Unrepresentable};
use crossring_codec::limits::DEPTH_MAX;
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{HelloDetails, Message, WelcomeDetails};
use crossring_codec::serializer::SerializerId::{self, Bjdata, Cbor, Json, MessagePack, Ubjson};
use crossring_codec::serializer::{Serializer, SerializerSet};
use crossring_codec::transport::fuzzing::{Event, feed};
use crossring_codec::transport::{
    RawSocketClientOptions, RawSocketServerOptions, Transport, WebSocketServerOptions,
};
use crossring_codec::value::Value;

use self::support::{Pair, send};

const DIALECTS: [SerializerId; 2] = [Ubjson, Bjdata];

fn read(dialect: SerializerId, octets: &[u8]) -> Result<Value, Fault> {
    Value::decode(dialect, octets).map_err(|error: DecodeError| error.fault)
}

fn written(dialect: SerializerId, value: &Value) -> Vec<u8> {
    let mut octets = Vec::new();
    value.encode(dialect, &mut octets).expect("has a form");
    octets
}

fn json(text: &str) -> Value {
    Value::decode(Json, text.as_bytes()).expect(text)
}

#[test]
fn values_are_written_as_the_python_packages_write_them() {
    let binary = Value::Binary(b"abc".to_vec());
    for (value, ubjson, bjdata) in [
        (json("null"), &b"Z"[..], &b"Z"[..]),
        (json("true"), b"T", b"T"),
        (json("[false]"), b"[F]", b"[F]"),
        (json("\"a\""), b"Ca", b"Ca"),
        (json("\"\""), b"SU\0", b"SU\0"),
        (json("\"é\""), "SU\x02é".as_bytes(), "SU\x02é".as_bytes()),
        (json(r#"{"":1,"a":{}}"#), b"{U\0U\x01U\x01a{}}", b"{U\0U\x01U\x01a{}}"),
        (json("-1"), b"i\xff", b"i\xff"),
        (json("-129"), b"I\xff\x7f", b"I\x7f\xff"),
        (json("200"), b"U\xc8", b"U\xc8"),
        (json("256"), b"I\x01\0", b"u\0\x01"),
        (json("40000"), b"l\0\0\x9c\x40", b"u\x40\x9c"),
        (json("70000"), b"l\0\x01\x11\x70", b"m\x70\x11\x01\0"),
        (json("2147483648"), b"L\0\0\0\0\x80\0\0\0", b"m\0\0\0\x80"),
        (json("4294967296"), b"L\0\0\0\x01\0\0\0\0", b"M\0\0\0\0\x01\0\0\0"),
        (json("9223372036854775808"), b"HU\x139223372036854775808", b"M\0\0\0\0\0\0\0\x80"),
        (Value::Integer(-(1 << 63) - 1), b"HU\x14-9223372036854775809", b"HU\x14-9223372036854775809"),
        (json("1.5"), b"D\x3f\xf8\0\0\0\0\0\0", b"D\0\0\0\0\0\0\xf8\x3f"),
        (binary, b"[$U#U\x03abc", b"[$B#U\x03abc"),
    ] {
        for (dialect, octets) in [(Ubjson, ubjson), (Bjdata, bjdata)] {
            assert_eq!(written(dialect, &value), octets, "{dialect:?} {value:?}");
            assert_eq!(read(dialect, octets), Ok(value.clone()), "{dialect:?}");
        }
    }
    let long = json(&format!("\"{}\"", "x".repeat(300)));
    assert_eq!(written(Ubjson, &long)[..4], *b"SI\x01\x2c");
    assert_eq!(written(Bjdata, &long)[..4], *b"Su\x2c\x01");
}

#[test]
fn every_form_is_read() {
    for (octets, wanted) in [
        (&b"[$i#U\x03\x01\x02\xff"[..], "[1,2,-1]"),
        (b"[$Z#U\x03", "[null,null,null]"),
        (b"[$T#U\x03", "[true,true,true]"),
        (b"[#U\x02TF", "[true,false]"),
        (b"[#U\0", "[]"),
        (b"{#U\0", "{}"),
        (b"{$Z#U\x01U\x01a", r#"{"a":null}"#),
        (b"{$U#U\x02U\x01a\x05Ni\x01b\x06", r#"{"a":5,"b":6}"#),
        (b"{#U\x01NU\x01aT", r#"{"a":true}"#),
        (b"{NNU\x01aTN}", r#"{"a":true}"#),
        (b"[NTNN]", "[true]"),
        (b"[#U\x01NT", "[true]"),
        (b"NN[]", "[]"),
        (b"[$[#U\x02]T]", "[[],[true]]"),
        (b"[$[#U\x02#U\x01TT]", "[[true],[true]]"),
        (b"[${#U\x02}U\x01aT}", r#"[{},{"a":true}]"#),
        (b"[$S#U\x02U\x01aU\x01b", r#"["a","b"]"#),
        (b"[$C#U\x02ab", r#"["a","b"]"#),
        (b"[$H#U\x01U\x015", "[5]"),
        (b"[$F#U\x05", "[false,false,false,false,false]"),
        (b"Si\x01a", r#""a""#),
        (b"HU\x0512345", "12345"),
        (b"HU\x031.5", "1.5"),
        (b"HU\x041e-2", "0.01"),
        (b"d\0\0\0\0", "0.0"),
    ] {
        for dialect in DIALECTS {
            assert_eq!(read(dialect, octets), Ok(json(wanted)), "{dialect:?} {octets:?}");
        }
    }
    assert_eq!(read(Bjdata, b"[$U#U\x02\x01\x02"), Ok(json("[1,2]")));
    assert_eq!(read(Bjdata, b"[$B#[U\x02]\x01\x02"), Ok(json("[1,2]")), "one dimension");
    assert_eq!(read(Bjdata, b"B\x80"), Ok(json("128")));
    assert_eq!(read(Bjdata, b"h\0\x3c"), Ok(json("1.0")));
    assert_eq!(read(Bjdata, b"[$u#u\x01\0\x02\x01"), Ok(json("[258]")));
    assert_eq!(read(Ubjson, b"[$I#I\0\x01\x02\x01"), Ok(json("[513]")));
}

#[test]
fn malformed_values_are_refused() {
    for octets in [
        &b""[..],
        b"N",
        b"]",
        b"x",
        b"[$#U\x02",
        b"[$B]abc",
        b"[$T]",
        b"[$N#U\x01",
        b"[$]#U\x01",
        b"[#N\x01T",
        b"[#i\xffT",
        b"[#d\0\0\0\0",
        b"{U\x01aNT}",
        b"{SU\x01aT}",
        b"{#[U\x01]U\x01aT",
        b"[#[]",
        b"[${U\x01aU}#U\x01\x05",
        b"Si\xffa",
        b"C\x80",
        b"SU\x02\xc3\x28",
        b"HU\x03 12",
        b"HU\x03nan",
        b"HU\0",
        b"HU\x021_",
        b"U",
        b"[T",
        b"[#U\x02T",
        b"{U\x01a",
    ] {
        for dialect in DIALECTS {
            let fault = read(dialect, octets).expect_err("malformed");
            assert!(DecodeError { fault, ..no_error() }.is_undecodable(), "{dialect:?} {octets:?}: {fault}");
        }
    }
    for octets in [&b"u\0\x01"[..], b"B\x01", b"h\0\0", b"[$u#U\x01\0\0", b"[$U#[U\x01U\x01]\0"] {
        assert_eq!(read(Ubjson, octets), Err(Fault::InvalidSyntax), "{octets:?}");
    }
    assert_eq!(read(Bjdata, b"TN"), Err(Fault::TrailingOctets));
}

fn no_error() -> DecodeError {
    decode(Json, b"").expect_err("nothing")
}

/// What a few octets claim to hold must be there, or take no octets and be few.
#[test]
fn length_bombs_are_refused() {
    const MILLIARD: [u8; 4] = [0x3f; 4];
    for dialect in DIALECTS {
        for head in [
            &b"[#l"[..],
            b"{#l",
            b"Sl",
            b"Hl",
            b"{l",
            b"[$T#l",
            b"[$Z#l",
            b"[$F#l",
            b"{$T#l",
            b"[$U#l",
            b"[$B#l",
            b"[$i#l",
            b"[$D#l",
            b"[$S#l",
            b"[$[#l",
            b"[[$[#U\x05$T#l",
        ] {
            let bomb = [head, &MILLIARD].concat();
            assert!(read(dialect, &bomb).is_err(), "{dialect:?} {head:?}");
            let call = [b"[U\x30U\x01{}Ca[", &bomb[..], b"]]"].concat();
            assert!(decode(dialect, &call).is_err_and(|error| error.is_undecodable()), "{head:?}");
        }
        assert_eq!(read(dialect, b"[$T#U\x06"), Err(Fault::InvalidSyntax));
    }
    let square = b"[$d#[l\xff\xff\xff\x7fl\xff\xff\xff\x7fl\xff\xff\xff\x7f]";
    assert_eq!(read(Bjdata, square), Err(Fault::Truncated));
    assert_eq!(read(Bjdata, b"[$T#[U\x02U\x02]"), Err(Fault::InvalidSyntax));
    assert_eq!(read(Bjdata, b"[#[U\x02U\x02]TTTT"), Err(Fault::InvalidSyntax));
}

#[test]
fn nesting_is_limited() {
    for dialect in DIALECTS {
        for (open, close) in
            [(&b"["[..], &b"]"[..]), (b"[#U\x01", b""), (b"{U\x01a", b"}"), (b"{#U\x01U\0", b"")]
        {
            let nested = |levels| [&open.repeat(levels)[..], b"T", &close.repeat(levels)].concat();
            let call = |levels| [b"[U\x30U\x01{}Ca[", &nested(levels)[..], b"]]"].concat();
            assert!(decode(dialect, &call(DEPTH_MAX - 2)).is_ok());
            let fault = decode(dialect, &call(DEPTH_MAX - 1)).expect_err("too deep").fault;
            assert_eq!(fault, Fault::TooDeep);
            assert!(decode(dialect, &call(100_000)).is_err());
        }
        let typed = [b"[$[".to_vec(), b"#U\x01$[".repeat(100_000)].concat();
        assert!(read(dialect, &typed).is_err());
    }
}

/// Arrays of several dimensions pass between peers that know them, and nowhere else.
#[test]
fn arrays_of_several_dimensions_stay_in_their_dialect() {
    let call = b"[U\x30U\x01{}Ca[[$U#[U\x02U\x02]abcd]]";
    let message = decode(Bjdata, call).expect("well formed");
    let mut same = Vec::new();
    encode(Bjdata, &message, &mut same).expect("as it was");
    assert_eq!(same, call);
    for other in [Json, MessagePack, Cbor, Ubjson] {
        let refused = encode(other, &message, &mut Vec::new());
        assert_eq!(refused, Err(EncodeError::Unrepresentable(Unrepresentable::Extension)), "{other:?}");
    }
}

#[test]
fn keys_of_other_serializers_must_be_text() {
    let call = decode(Cbor, b"\x85\x18\x30\x01\xa0\x61a\x81\xa1\x01\x02").expect("an integer key");
    for dialect in DIALECTS {
        let refused = encode(dialect, &call, &mut Vec::new());
        assert_eq!(refused, Err(EncodeError::Unrepresentable(Unrepresentable::NonTextKey)));
    }
    let nul = decode(Cbor, b"\x85\x18\x30\x01\xa0\x61a\x81\x61\x00").expect("text U+0000");
    for dialect in DIALECTS {
        let mut octets = Vec::new();
        encode(dialect, &nul, &mut octets).expect("is text here");
        assert_eq!(octets, b"[U\x30U\x01{}Ca[C\0]]");
    }
}

fn hello() -> Message<'static> {
    Message::Hello { realm: Some("realm1".into()), details: Box::<HelloDetails<'_>>::default() }
}

fn welcome(session: u64) -> Message<'static> {
    let session = crossring_codec::id::SessionId::new(session).expect("an id");
    Message::Welcome { session, details: Box::<WelcomeDetails<'_>>::default() }
}

fn encoded(serializer: SerializerId, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(serializer, message, &mut octets).expect("has a form");
    octets
}

/// The dialect of the transport after it has received the message.
fn dialect_after(transport: &mut Transport, from: &mut Transport, message: &[u8]) -> SerializerId {
    let mut octets = Vec::new();
    send(from, message, &mut octets);
    assert_eq!(feed(transport, [octets.as_slice()]), [Event::Message(message.to_vec())]);
    transport.framing().expect("open").serializer().id
}

#[test]
fn the_first_message_that_tells_decides_the_dialect() {
    let told = encoded(
        Ubjson,
        &Message::Hello {
            realm: Some("realm1".into()),
            details: Box::new(HelloDetails {
                authid: Some("x".repeat(300).into()),
                ..HelloDetails::default()
            }),
        },
    );
    for mut pair in [
        Pair::rawsocket(Bjdata),
        Pair::websocket(Serializer::BJDATA),
        Pair::websocket(Serializer::BJDATA_BATCHED),
    ] {
        assert!(!pair.server.is_settled());
        assert_eq!(dialect_after(&mut pair.server, &mut pair.client, &encoded(Bjdata, &hello())), Bjdata);
        assert!(!pair.server.is_settled(), "this HELLO is the same in both");
        assert_eq!(dialect_after(&mut pair.server, &mut pair.client, &told), Ubjson);
        assert!(pair.server.is_settled());
        let other = encoded(Bjdata, &welcome(1 << 52));
        assert_eq!(
            dialect_after(&mut pair.server, &mut pair.client, &other),
            Ubjson,
            "settled once and for all"
        );
    }
}

#[test]
fn a_client_follows_the_router() {
    for session in [0x1234_5678_9abc, (1 << 53) - 1] {
        for (ours, theirs) in [(Bjdata, Ubjson), (Ubjson, Bjdata), (Bjdata, Bjdata), (Ubjson, Ubjson)] {
            let mut pair = Pair::rawsocket(ours);
            let welcome = encoded(theirs, &welcome(session));
            assert_eq!(dialect_after(&mut pair.client, &mut pair.server, &welcome), theirs, "{session:x}");
            assert!(pair.client.is_settled());
        }
    }
}

#[test]
fn a_peer_that_never_tells_is_believed_after_a_while() {
    let mut pair = Pair::rawsocket(Bjdata);
    for _ in 0..16 {
        assert!(!pair.server.is_settled());
        dialect_after(&mut pair.server, &mut pair.client, &encoded(Bjdata, &hello()));
    }
    assert!(pair.server.is_settled());
}

#[test]
fn a_listener_may_assume_the_old_dialect() {
    let mut request = Vec::new();
    Transport::dial_rawsocket(Bjdata, &RawSocketClientOptions::default(), &mut request);
    let serializers = SerializerSet::NONE.with(Serializer::UBJSON);
    let options = RawSocketServerOptions { serializers, ..Default::default() };
    let mut server = Transport::accept_rawsocket(&options);
    let events = feed(&mut server, [request.as_slice()]);
    assert!(matches!(events.as_slice(), [_, Event::Opened(Serializer::UBJSON)]), "{events:?}");
}

#[test]
fn old_autobahn_is_known_by_its_user_agent() {
    for (agent, expected) in [("AutobahnPython/25.12.2", Ubjson), ("AutobahnPython/26.10.2", Bjdata)] {
        let request = format!(
            "GET /ws HTTP/1.1\r\nUser-Agent: {agent}\r\nHost: localhost\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: wamp.2.ubjson\r\n\r\n"
        );
        let mut server = Transport::accept_websocket(&Arc::new(WebSocketServerOptions::default()));
        let events = feed(&mut server, [request.as_bytes()]);
        assert_eq!(events.last(), Some(&Event::Opened(Serializer::plain(expected))), "{agent}");
    }
}
