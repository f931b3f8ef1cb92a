//! What is no message: each rule once, with the words by which the error tells.

#![forbid(unsafe_code)]

use crossring_codec::error::{Expected, Fault};
use crossring_codec::id::RequestId;
use crossring_codec::limits::{DEPTH_MAX, NestingDepth, OPTION_LIST_MAX};
use crossring_codec::message::decode::{decode, decode_within};
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, YieldOptions};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

/// Checks that the text (JSON) is a violation of WAMP, in all serializers that can carry it, and what the error says.
#[track_caller]
fn violation(text: &str, wanted: &str) {
    let error = decode(SerializerId::Json, text.as_bytes()).expect_err(text);
    assert!(!error.is_undecodable(), "{text}: {error}");
    assert_eq!(error.to_string(), wanted, "{text}");
    let value = Value::decode(SerializerId::Json, text.as_bytes()).expect("well formed JSON");
    for serializer in [SerializerId::MessagePack, SerializerId::Cbor] {
        let mut octets = Vec::new();
        value.encode(serializer, &mut octets).expect("encodable");
        let other = decode(serializer, &octets).expect_err(text);
        assert_eq!(
            (other.fault, other.element, other.key),
            (error.fault, error.element, error.key),
            "{text}"
        );
    }
}

/// Checks that the octets are no value of the serializer.
#[track_caller]
fn undecodable(serializer: SerializerId, octets: &[u8], fault: Fault, offset: usize) {
    let error = decode(serializer, octets).expect_err("undecodable");
    assert!(error.is_undecodable(), "{error}");
    assert_eq!((error.fault, error.offset), (fault, offset), "{error}");
}

#[track_caller]
fn accepted(text: &str) -> Message<'_> {
    decode(SerializerId::Json, text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_message_is_a_list_that_starts_with_a_known_code() {
    violation("[]", "message.Type: element missing at octet 2");
    violation("{}", "message: expected list at octet 0");
    violation("16", "message: expected list at octet 0");
    violation("null", "message: expected list at octet 0");
    violation("[\"16\"]", "message.Type: expected integer at octet 1");
    violation("[true]", "message.Type: expected integer at octet 1");
    violation("[16.5]", "message.Type: expected integer at octet 1");
    violation("[-1]", "message.Type: expected integer at octet 1");
    violation("[7]", "message.Type: unknown message type at octet 2");
    violation("[65552,1,{},\"a\"]", "message.Type: unknown message type at octet 6");
}

#[test]
fn every_layout_has_its_number_of_elements() {
    violation("[16,1,{}]", "PUBLISH.Topic: element missing at octet 9");
    violation("[16,1,{},\"a\",[],{},1]", "PUBLISH.ArgumentsKw: too many elements at octet 19");
    violation("[1,\"realm1\"]", "HELLO.Details: element missing at octet 12");
    violation("[6,{},\"a.b\",[]]", "GOODBYE.Reason: too many elements at octet 12");
    violation("[32,1,{},\"a\",[]]", "SUBSCRIBE.Topic: too many elements at octet 13");
    violation("[17,1]", "PUBLISHED.Publication: element missing at octet 6");
    violation("[34,1,2,{},3]", "UNSUBSCRIBE.Options: too many elements at octet 11");
    violation("[35,0]", "UNSUBSCRIBED.Details: element missing at octet 6");
    violation("[337]", "EVENT_RECEIVED.Publication: element missing at octet 5");
    violation("[70,1,{},[],{},1]", "YIELD.ArgumentsKw: too many elements at octet 15");
    violation("[3,{},\"a.b\",[],{},1]", "ABORT.ArgumentsKw: too many elements at octet 18");
}

#[test]
fn every_element_has_its_type() {
    violation("[16,\"1\",{},\"a\"]", "PUBLISH.Request: expected id (1..=2^53) at octet 4");
    violation("[16,1,[],\"a\"]", "PUBLISH.Options: expected dict at octet 6");
    violation("[16,1,null,\"a\"]", "PUBLISH.Options: expected dict at octet 6");
    violation("[16,1,{},5]", "PUBLISH.Topic: expected string at octet 9");
    violation("[16,1,{},\"\\u0000YQ==\"]", "PUBLISH.Topic: expected string at octet 9");
    violation("[16,1,{},\"a\",{}]", "PUBLISH.Arguments: expected list at octet 13");
    violation("[16,1,{},\"a\",5]", "PUBLISH.Arguments: expected list at octet 13");
    violation("[16,1,{},\"a\",[],[]]", "PUBLISH.ArgumentsKw: expected dict at octet 16");
    violation("[5,null,{}]", "AUTHENTICATE.Signature: expected string at octet 3");
    violation("[1,5,{}]", "HELLO.Realm: expected string at octet 3");
    violation("[34,1,2,5]", "UNSUBSCRIBE.Options: expected dict at octet 8");
}

#[test]
fn a_binary_is_no_text() {
    let topic_as_binary = [0x94, 16, 1, 0x80, 0xc4, 1, b'a'];
    let error = decode(SerializerId::MessagePack, &topic_as_binary).expect_err("binary topic");
    assert_eq!(error.to_string(), "PUBLISH.Topic: expected string at octet 4");
    // What JSON would take for binary is refused everywhere: it could not be forwarded.
    let topic_like_binary = [0x94, 16, 1, 0x80, 0xa1, 0];
    let error = decode(SerializerId::MessagePack, &topic_like_binary).expect_err("topic with U+0000");
    assert_eq!(error.to_string(), "PUBLISH.Topic: expected string at octet 4");
}

#[test]
fn ids_are_integers_from_1_to_2_to_the_53() {
    for bad in ["0", "-1", "9007199254740993", "1.5", "true", "null", "18446744073709551616", "1e300"] {
        violation(
            &format!("[17,{bad},1]"),
            &format!("PUBLISHED.Request: expected id (1..=2^53) at octet {}", {
                // The position is behind integers that are out of range, in front of values of other types.
                let in_range = bad.parse::<u64>().is_ok();
                if in_range { 4 + bad.len() } else { 4 }
            }),
        );
    }
    violation("[33,1,0]", "SUBSCRIBED.Subscription: expected id (1..=2^53) at octet 7");
    violation(
        "[16,1,{\"exclude\":[1,0]},\"a\"]",
        "PUBLISH.Options.exclude: expected id (1..=2^53) at octet 21",
    );
    accepted("[17,9007199254740992,1.0]");
    accepted("[17,9007199254740992.0,1e3]");
}

#[test]
fn integral_floats_are_integers_in_binary_serializers() {
    for octets in [
        &[0x93, 17, 0xca, 0x3f, 0x80, 0, 0, 0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0][..],
        &[0x93, 17, 0xd0, 1, 0xd3, 0, 0, 0, 0, 0, 0, 0, 2],
    ] {
        let published = decode(SerializerId::MessagePack, octets).expect("integral");
        assert_eq!(published, accepted("[17,1,2]"));
    }
    let halves = [0x83, 17, 0xf9, 0x3c, 0, 0xfa, 0x40, 0, 0, 0];
    assert_eq!(decode(SerializerId::Cbor, &halves), Ok(accepted("[17,1,2]")));
}

#[test]
fn known_keys_have_their_type() {
    violation("[16,1,{\"acknowledge\":1},\"a\"]", "PUBLISH.Options.acknowledge: expected bool at octet 21");
    violation("[48,1,{\"timeout\":-1},\"a\"]", "CALL.Options.timeout: expected integer at octet 17");
    violation("[48,1,{\"progress\":\"yes\"},\"a\"]", "CALL.Options.progress: expected bool at octet 18");
    violation("[36,1,1,{\"topic\":5}]", "EVENT.Details.topic: expected string at octet 17");
    violation("[50,1,{\"progress\":0}]", "RESULT.Details.progress: expected bool at octet 18");
    violation(
        "[1,\"a\",{\"authmethods\":\"ticket\"}]",
        "HELLO.Details.authmethods: expected list at octet 22",
    );
    violation("[1,\"a\",{\"authextra\":[]}]", "HELLO.Details.authextra: expected dict at octet 20");
    violation("[1,\"a\",{\"roles\":[]}]", "HELLO.Details.roles: expected dict at octet 16");
    violation(
        "[1,\"a\",{\"roles\":{\"caller\":{\"features\":{\"call_timeout\":1}}}}]",
        "HELLO.Details.call_timeout: expected bool at octet 54",
    );
    violation(
        "[64,1,{\"concurrency\":0},\"a\"]",
        "REGISTER.Options.concurrency: expected integer >= 1 at octet 22",
    );
    violation(
        "[16,1,{\"forward_for\":[{\"session\":1}]},\"a\"]",
        "PUBLISH.Options.forward_for: required key missing at octet 35",
    );
}

#[test]
fn words_are_those_of_the_specification() {
    let unlisted = "value is not one of those allowed";
    violation(
        "[32,1,{\"match\":\"exactly\"},\"a\"]",
        &format!("SUBSCRIBE.Options.match: {unlisted} at octet 24"),
    );
    violation(
        "[64,1,{\"invoke\":\"any\"},\"a\"]",
        &format!("REGISTER.Options.invoke: {unlisted} at octet 21"),
    );
    violation("[49,1,{\"mode\":\"abort\"}]", &format!("CANCEL.Options.mode: {unlisted} at octet 21"));
    violation("[69,1,{\"mode\":\"skip\"}]", &format!("INTERRUPT.Options.mode: {unlisted} at octet 20"));
    violation(
        "[16,1,{\"enc_algo\":\"rot13\"},\"a\"]",
        &format!("PUBLISH.Options.enc_algo: {unlisted} at octet 25"),
    );
    violation("[8,17,1,{},\"a\"]", &format!("ERROR.RequestType: {unlisted} at octet 5"));
    accepted("[16,1,{\"enc_algo\":\"x_own\"},\"a\"]");
}

#[test]
fn null_and_unknown_keys_are_absent() {
    assert_eq!(
        accepted("[16,1,{\"acknowledge\":null,\"_own\":[1,{}],\"x\":null},\"a\"]"),
        accepted("[16,1,{},\"a\"]")
    );
    assert_eq!(
        accepted("[5,\"s\",{\"nonce\":\"n\",\"channel_binding\":null}]"),
        accepted("[5,\"s\",{\"nonce\":\"n\"}]")
    );
}

#[test]
fn the_last_of_equal_keys_wins() {
    assert_eq!(
        accepted("[16,1,{\"acknowledge\":true,\"acknowledge\":false},\"a\"]"),
        accepted("[16,1,{},\"a\"]")
    );
}

#[test]
fn empty_payload_elements_are_left_out() {
    for text in
        ["[16,1,{},\"a\",[]]", "[16,1,{},\"a\",null]", "[16,1,{},\"a\",null,null]", "[16,1,{},\"a\",[],{}]"]
    {
        assert_eq!(accepted(text), accepted("[16,1,{},\"a\"]"), "{text}");
    }
    assert_eq!(accepted("[16,1,{},\"a\",[1],{}]"), accepted("[16,1,{},\"a\",[1]]"));
    assert_eq!(accepted("[16,1,{},\"a\",null,{\"b\":1}]"), accepted("[16,1,{},\"a\",[],{\"b\":1}]"));
}

#[test]
fn opaque_payloads_stand_in_the_place_of_arguments() {
    for text in [
        "[16,1,{},\"a\",\"\\u0000YWI=\"]",
        "[36,1,1,{},\"opaque\"]",
        "[48,1,{},\"a\",\"opaque\"]",
        "[50,1,{},\"opaque\"]",
        "[68,1,1,{},\"opaque\"]",
        "[70,1,{},\"opaque\"]",
        "[8,68,1,{},\"a\",\"opaque\"]",
    ] {
        let mut octets = Vec::new();
        encode(SerializerId::Json, &accepted(text), &mut octets).expect("as it was");
        assert_eq!(String::from_utf8(octets).as_deref(), Ok(text));
    }
    violation("[16,1,{},\"a\",\"opaque\",{}]", "PUBLISH.Arguments: too many elements at octet 22");
}

#[test]
fn octets_behind_a_message_are_an_error() {
    undecodable(SerializerId::Json, b"[17,1,1] x", Fault::TrailingOctets, 9);
    undecodable(SerializerId::Json, b"[17,1,1][17,1,1]", Fault::TrailingOctets, 8);
    undecodable(SerializerId::MessagePack, &[0x93, 17, 1, 1, 0xc0], Fault::TrailingOctets, 4);
    undecodable(SerializerId::Cbor, &[0x9f, 17, 1, 1, 0xff, 0xff], Fault::TrailingOctets, 5);
    accepted(" \n[ 17 , 1 , 1 ]\r\n\t");
}

#[test]
fn json_has_a_grammar() {
    let json = |text: &str, fault, offset: usize| {
        undecodable(SerializerId::Json, format!("[16,1,{{}},\"a\",[{text}]]").as_bytes(), fault, 14 + offset);
    };
    json("1,", Fault::InvalidSyntax, 2);
    json("01", Fault::InvalidSyntax, 1);
    json("1.", Fault::InvalidNumber, 2);
    json("-", Fault::InvalidNumber, 1);
    json("1e+", Fault::InvalidNumber, 3);
    json("+1", Fault::InvalidSyntax, 0);
    json("tru", Fault::InvalidSyntax, 0);
    json("NaN", Fault::InvalidSyntax, 0);
    json("'a'", Fault::InvalidSyntax, 0);
    json("{a:1}", Fault::InvalidSyntax, 1);
    json("{\"a\"}", Fault::InvalidSyntax, 4);
    json("{\"a\":1,}", Fault::InvalidSyntax, 7);
    json("[}", Fault::InvalidSyntax, 1);
    json("\"\n\"", Fault::InvalidSyntax, 1);
    json("\"\\x\"", Fault::InvalidEscape, 1);
    json("\"\\ud800\"", Fault::InvalidEscape, 1);
    json("\"\\udc00\\ud800\"", Fault::InvalidEscape, 1);
    json("\"\\ud800\\u0041\"", Fault::InvalidEscape, 7);
    json("\"\\u00g0\"", Fault::InvalidEscape, 3);
    json("\"\\u0000not base64!\"", Fault::InvalidBase64, 1);
    undecodable(SerializerId::Json, b"[16,1,{},\"a\",[\"\xc3\x28\"]]", Fault::InvalidUtf8, 15);
    undecodable(SerializerId::Json, b"[16,1,{},\"\xff\"]", Fault::InvalidUtf8, 10);
}

#[test]
fn binary_serializers_have_a_grammar() {
    let publish = |tail: &[u8]| [&[0x95, 16, 1, 0x80, 0xa1, b'a', 0x91], tail].concat();
    undecodable(SerializerId::MessagePack, &publish(&[0xc1]), Fault::InvalidSyntax, 8);
    undecodable(SerializerId::MessagePack, &publish(&[0xa2, 0xc3, 0x28]), Fault::InvalidUtf8, 10);
    undecodable(SerializerId::MessagePack, &publish(&[0xdb, 0xff, 0xff, 0xff, 0xff]), Fault::Truncated, 12);
    undecodable(SerializerId::MessagePack, &publish(&[0xdd, 0xff, 0xff, 0xff, 0xff]), Fault::Truncated, 12);
    let publish = |tail: &[u8]| [&[0x85, 16, 1, 0xa0, 0x61, b'a', 0x81], tail].concat();
    undecodable(SerializerId::Cbor, &publish(&[0x1c]), Fault::InvalidSyntax, 8);
    undecodable(SerializerId::Cbor, &publish(&[0x1f]), Fault::InvalidSyntax, 7);
    undecodable(SerializerId::Cbor, &publish(&[0xff]), Fault::InvalidSyntax, 8);
    undecodable(SerializerId::Cbor, &publish(&[0xf8, 0x10]), Fault::InvalidSyntax, 9);
    undecodable(SerializerId::Cbor, &publish(&[0x7f, 0x41, b'a', 0xff]), Fault::InvalidSyntax, 8);
    undecodable(SerializerId::Cbor, &publish(&[0xbf, 0x01, 0xff]), Fault::InvalidSyntax, 10);
    undecodable(SerializerId::Cbor, &publish(&[0x62, 0xc3, 0x28]), Fault::InvalidUtf8, 10);
    undecodable(SerializerId::Cbor, &publish(&[0x9b, 0, 0, 0, 1, 0, 0, 0, 0]), Fault::Truncated, 16);
}

#[test]
fn nesting_ends_at_the_limit() {
    // The message is one level, Arguments the second.
    for (depth, is_fine) in [(DEPTH_MAX - 1, true), (DEPTH_MAX, false), (100 * DEPTH_MAX, false)] {
        let json = format!("[16,1,{{}},\"a\",{}{}]", "[".repeat(depth), "]".repeat(depth));
        let dicts = format!("[16,1,{{}},\"a\",[{}1{}]]", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
        let msgpack = [&[0x95, 16, 1, 0x80, 0xa1, b'a'], &vec![0x91; depth - 1][..], &[0x90]].concat();
        let cbor = [&[0x85, 16, 1, 0xa0, 0x61, b'a'], &vec![0x81; depth - 1][..], &[0x80]].concat();
        let open = [&[0x85, 16, 1, 0xa0, 0x61, b'a'], &vec![0x9f; depth][..], &vec![0xff; depth]].concat();
        let tags = [&[0x85, 16, 1, 0xa0, 0x61, b'a', 0x81], &vec![0xc6; depth - 1][..], &[0]].concat();
        for (serializer, octets) in [
            (SerializerId::Json, json.as_bytes()),
            (SerializerId::Json, dicts.as_bytes()),
            (SerializerId::MessagePack, &msgpack),
            (SerializerId::Cbor, &cbor),
            (SerializerId::Cbor, &open),
            (SerializerId::Cbor, &tags),
        ] {
            let decoded = decode(serializer, octets);
            assert_eq!(decoded.as_ref().err().map(|error| error.fault), (!is_fine).then_some(Fault::TooDeep));
            let Ok(message) = decoded else { continue };
            for other in SerializerId::ALL {
                let mut out = Vec::new();
                encode(other, &message, &mut out).expect("no deeper than before");
                assert!(decode(other, &out).is_ok());
            }
        }
    }
}

/// Arguments of `[1,[1,…[]…]]`, or of the same in dicts: this many lists or dicts, themselves included.
fn nested(depth: usize, in_dicts: bool) -> Vec<Value> {
    let mut value = Value::List(Vec::new());
    for _ in 2..depth {
        value = match in_dicts {
            true => Value::Dict(vec![("a".into(), value)]),
            false => Value::List(vec![1.into(), value]),
        };
    }
    vec![value]
}

#[test]
fn every_serializer_keeps_the_nesting_that_is_asked_for() {
    let nesting = |levels| NestingDepth::new(levels).expect("a depth");
    for (serializer, in_dicts) in SerializerId::ALL.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        for depth in [5, 20, DEPTH_MAX as u8] {
            // The message is one level, Arguments the second.
            let payload =
                Payload::from_values(serializer, &nested(usize::from(depth) - 1, in_dicts), &Dict::new());
            let message = Message::Yield {
                request: RequestId::from_random(0),
                options: YieldOptions::default(),
                payload,
            };
            let mut octets = Vec::new();
            encode(serializer, &message, &mut octets).expect("a message");
            assert!(decode_within(serializer, &octets, nesting(depth)).is_ok(), "{serializer:?} {depth}");
            let error = decode_within(serializer, &octets, nesting(depth - 1)).expect_err("too deep");
            assert_eq!((error.fault, error.element), (Fault::TooDeep, "Arguments"), "{serializer:?} {depth}");
        }
    }
    assert_eq!([0, 129].map(NestingDepth::new), [None, None]);
}

#[test]
fn options_and_tags_count_as_nesting() {
    let depth = |serializer, octets: &[u8]| {
        let is_enough = |levels: &u8| {
            let nesting_max = NestingDepth::new(*levels).expect("a depth");
            let decoded = decode_within(serializer, octets, nesting_max);
            assert!(decoded.is_ok() || decoded.is_err_and(|error| error.fault == Fault::TooDeep));
            decode_within(serializer, octets, nesting_max).is_ok()
        };
        (1..=DEPTH_MAX as u8).find(is_enough)
    };
    for (text, levels) in [
        ("[70,1,{}]", 2),
        ("[70,1,{\"progress\":true,\"x\":1}]", 2),
        ("[70,1,{\"x\":[[]]},[]]", 4),
        ("[70,1,{\"x\":[[]]},[[[[]]]]]", 5),
        ("[70,1,{},[],{\"a\":{\"b\":[]}}]", 4),
        ("[16,1,{\"exclude\":[1]},\"a\"]", 3),
        ("[16,1,{\"forward_for\":[{\"session\":1,\"authrole\":\"a\"}]},\"a\"]", 4),
        ("[1,\"a\",{\"roles\":{\"caller\":{}}}]", 4),
        ("[1,\"a\",{\"roles\":{\"caller\":{\"features\":{\"call_timeout\":true}}}}]", 5),
        ("[1,\"a\",{\"roles\":{\"caller\":{}},\"authextra\":{\"a\":[[]]}}]", 5),
        ("[5,\"a\",{\"a\":{}}]", 3),
        ("[35,0,{\"subscription\":1,\"x\":[]}]", 3),
    ] {
        assert_eq!(depth(SerializerId::Json, text.as_bytes()), Some(levels), "{text}");
    }
    for (tags, levels) in [(0, 3), (1, 4), (125, 128)] {
        let octets = [&[0x84, 0x18, 70, 1, 0xa0, 0x81], &vec![0xc6; tags][..], &[0x80]].concat();
        assert_eq!(depth(SerializerId::Cbor, &octets), Some(levels));
        // What is passed over and what is read count alike: an extra is read.
        let octets = [&[0x83, 5, 0x61, b'a', 0xa1, 0x61, b'a'], &vec![0xc6; tags][..], &[0x80]].concat();
        assert_eq!(depth(SerializerId::Cbor, &octets), Some(levels));
    }
}

#[test]
fn lists_of_options_end_at_the_limit() {
    let publish = |count| format!("[16,1,{{\"exclude\":[{}1]}},\"a\"]", "1,".repeat(count - 1));
    accepted(&publish(OPTION_LIST_MAX));
    let error = decode(SerializerId::Json, publish(OPTION_LIST_MAX + 1).as_bytes()).expect_err("too many");
    assert_eq!((error.fault, error.key), (Fault::TooManyEntries, "exclude"));
}

#[test]
fn cbor_reads_whatever_form_was_chosen() {
    let open = [
        0x9f, 16, 0x1b, 0, 0, 0, 0, 0, 0, 0, 1, 0xbf, 0x6b, b'a', b'c', b'k', b'n', b'o', b'w', b'l', b'e',
        b'd', b'g', b'e', 0xf5, 0xff, 0x7f, 0x61, b'a', 0x62, b'.', b'b', 0xff, 0x9f, 0xf9, 0x3e, 0, 0xc1,
        0x01, 0xf7, 0xff, 0xff,
    ];
    let message = decode(SerializerId::Cbor, &open).expect("indefinite lengths");
    let mut json = Vec::new();
    encode(SerializerId::Json, &message, &mut json).expect("has a form");
    assert_eq!(String::from_utf8(json).as_deref(), Ok("[16,1,{\"acknowledge\":true},\"a.b\",[1.5,1,null]]"));
}

#[test]
fn entries_are_counted_in_keys_too() {
    // {_ [_ ]: 1} in a list without a length: the key's own entries count.
    let head = [0x9f, 16, 1, 0xa0, 0x61, b'a', 0x9f, 0xbf, 0x9f, 0xff, 1, 0xff, 2, 0xff, 0xff];
    let message = decode(SerializerId::Cbor, &head).expect("well formed");
    let mut octets = Vec::new();
    encode(SerializerId::MessagePack, &message, &mut octets).expect("has a form");
    assert_eq!(octets[4..], [0xa1, b'a', 0x92, 0x81, 0x90, 1, 2][..], "{octets:x?}");
}

#[test]
fn payloads_say_what_another_serializer_lacks() {
    use SerializerId::{Cbor, Json, MessagePack};
    let lacking = |serializer, tail: &[u8], to| {
        let head: &[u8] = match serializer {
            MessagePack => &[0x95, 16, 1, 0x80, 0xa1, b'a', 0x91],
            _ => &[0x85, 16, 1, 0xa0, 0x61, b'a', 0x81],
        };
        let octets = [head, tail].concat();
        let message = decode(serializer, &octets).expect("well formed");
        let mut out = b"before".to_vec();
        let error = encode(to, &message, &mut out).expect_err("lacks the value");
        assert_eq!(out, b"before");
        encode(serializer, &message, &mut Vec::new()).expect("passes between equals");
        error.to_string()
    };
    let lacks = |what| format!("{what} cannot be represented in this serializer");
    assert_eq!(lacking(Cbor, &[0xf9, 0x7e, 0], Json), lacks("a float that is not finite"));
    assert_eq!(lacking(Cbor, &[0xa1, 1, 2], Json), lacks("a dict key that is not text"));
    assert_eq!(lacking(MessagePack, &[0xa1, 0], Json), lacks("text that starts with U+0000"));
    assert_eq!(lacking(MessagePack, &[0xd4, 1, 0], Json), lacks("a MessagePack extension type"));
    assert_eq!(lacking(MessagePack, &[0xd4, 1, 0], Cbor), lacks("a MessagePack extension type"));
}

#[test]
fn numbers_keep_their_kind() {
    let json = "[16,1,{},\"a\",[18446744073709551615,-9223372036854775808,9007199254740993,1.0,-0.0,1e308,5e-324,\
                18446744073709551616,-0]]";
    let message = accepted(json);
    for serializer in [SerializerId::MessagePack, SerializerId::Cbor] {
        let mut octets = Vec::new();
        encode(serializer, &message, &mut octets).expect("has a form");
        let mut back = Vec::new();
        let other = decode(serializer, &octets).expect("was encoded");
        encode(SerializerId::Json, &other, &mut back).expect("has a form");
        assert_eq!(
            String::from_utf8(back).as_deref(),
            Ok(
                "[16,1,{},\"a\",[18446744073709551615,-9223372036854775808,9007199254740993,1.0,-0.0,1e308,5e-324,\
                1.8446744073709552e19,-0.0]]"
            )
        );
    }
}

#[test]
fn bignums_of_cbor_become_numbers() {
    let octets = [
        0x85, 16, 1, 0xa0, 0x61, b'a', 0x83, 0xc2, 0x42, 1, 0, 0xc3, 0x41, 0, 0xc2, 0x49, 1, 0, 0, 0, 0, 0,
        0, 0, 0,
    ];
    let message = decode(SerializerId::Cbor, &octets).expect("tags");
    let mut json = Vec::new();
    encode(SerializerId::Json, &message, &mut json).expect("has a form");
    assert_eq!(String::from_utf8(json).as_deref(), Ok("[16,1,{},\"a\",[256,-1,1.8446744073709552e19]]"));
}

#[test]
fn a_payload_made_by_hand_is_checked_when_it_is_transcoded() {
    let payload = Payload {
        serializer: SerializerId::Json,
        shape: Shape::Arguments,
        octets: b"[1,".into(),
        arguments_size: 3,
    };
    assert!(payload.arguments().is_err());
    assert!(crossring_codec::transcode::transcode(&payload, SerializerId::Cbor).is_err());
    let error = payload.arguments().expect_err("truncated");
    assert_eq!(error.fault, Fault::Truncated);
    assert_ne!(error.fault, Fault::Expected(Expected::List));
}
