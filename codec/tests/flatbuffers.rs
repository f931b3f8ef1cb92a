//! WAMP-FlatBuffers: octets that Autobahn|Python 26 wrote, what the tables cannot say, and lists that refer to the same octets.

#![forbid(unsafe_code)]

use crossring_codec::error::{EncodeError, Expected, Fault, Unrepresentable};
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::serializer::SerializerId::{Cbor, FlatBuffers, Json};
use crossring_flatbuffers as table;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).expect("hex") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The message in JSON.
fn shown(octets: &[u8]) -> String {
    let message = decode(FlatBuffers, octets).expect("well formed");
    let mut json = Vec::new();
    encode(Json, &message, &mut json).expect("has a form");
    String::from_utf8(json).expect("JSON is text")
}

fn in_tables(json: &str) -> Result<Vec<u8>, EncodeError> {
    let message = decode(Json, json.as_bytes()).expect(json);
    let mut octets = Vec::new();
    encode(FlatBuffers, &message, &mut octets).map(|()| octets)
}

#[test]
fn what_autobahn_writes_is_read() {
    for (hex, json) in [
        (
            "0c00000008000c000b000400080000002800000000000024200028000000200018001400100000000000000000000000080000\
             000000040020000000240000000900000000000000240000002c00000008000000000000000700000000000000050000006\
             36f6d2e6100000005000000a1616b41010000000400000082016161",
            r#"[36,7,8,{"topic":"com.a","publisher":9},[1,"a"],{"k":"\u0000AQ=="}]"#,
        ),
        (
            "100000000000000008000c000b00040008000000100000000000003108000c00000004000800000003000000000000\
             00",
            "[49,3,{}]",
        ),
        (
            "0c00000008000c000b0004000800000014000000000000200c00180000000c00080007000c000000000000011000000001000000\
             000000000000000005000000636f6d2e78000000",
            r#"[32,1,{"match":"prefix"},"com.x"]"#,
        ),
        (
            "100000000000000008000c000b00040008000000200000000000001018002000000014001000000000000c000b000a00000004001\
             80000001c000000000001012800000018000000010000000000000000000000010000006b00000005000000636f6d2e78000000030\
             0000061626300",
            r#"[16,1,{"enc_algo":"cryptobox","enc_key":"k","enc_serializer":"json"},"com.x","\u0000YWJj"]"#,
        ),
    ] {
        let hex: String = hex.split_whitespace().collect();
        assert_eq!(shown(&octets(&hex)), json);
    }
}

/// Autobahn tells neither roles nor authmethods.
#[test]
fn a_client_that_tells_no_roles_has_them_all() {
    let hello = octets(
        "0c00000008000a0009000400080000001400000000010e000c00000000000800000004000e000000080000000c000000030000006a\
         6f6500060000007265616c6d310000",
    );
    let Ok(Message::Hello { realm, details }) = decode(FlatBuffers, &hello) else { panic!("a HELLO") };
    assert_eq!((realm.as_deref(), details.authid.as_deref()), (Some("realm1"), Some("joe")));
    let roles = details.roles;
    assert!([roles.publisher, roles.subscriber, roles.caller, roles.callee].iter().all(Option::is_some));
}

#[test]
fn payloads_pass_from_and_to_other_serializers() {
    for json in [
        r#"[48,1,{},"com.x"]"#,
        r#"[48,1,{},"com.x",[1,-1,1.5,"a",null,true,"\u0000AQ==",[],{}]]"#,
        r#"[48,1,{},"com.x",[],{"k":[1]}]"#,
        r#"[48,1,{"receive_progress":true,"timeout":5},"com.x",[2],{"k":{"l":1}}]"#,
        r#"[16,1,{"acknowledge":true,"exclude_me":false,"exclude":[1,2],"eligible_authid":["a","b"]},"com.x"]"#,
        r#"[8,48,1,{},"com.error",["text"]]"#,
        r#"[50,1,{"progress":true},["\u0000AQ=="]]"#,
        r#"[68,1,2,{"procedure":"com.x","caller":3,"caller_authid":"joe"},[1]]"#,
        r#"[35,0,{"subscription":5,"reason":"com.reason"}]"#,
        r#"[64,1,{"match":"wildcard","invoke":"roundrobin","concurrency":3},"com..x"]"#,
        r#"[3,{"message":"no"},"wamp.error.no_such_realm"]"#,
        r#"[4,"ticket",{}]"#,
        r#"[4,"wampcra",{"challenge":"{}"}]"#,
        r#"[5,"secret",{}]"#,
        "[337,9]",
    ] {
        assert_eq!(shown(&in_tables(json).expect("has a form")), json);
    }
}

#[test]
fn what_has_no_number_is_refused() {
    for json in [
        r#"[16,1,{"enc_algo":"x_mine"},"com.x","\u0000AQ=="]"#,
        r#"[16,1,{"ppt_scheme":"x_mine"},"com.x",["\u0000AQ=="]]"#,
        r#"[16,1,{"enc_algo":"mqtt","enc_serializer":"x_mine"},"com.x","\u0000AQ=="]"#,
    ] {
        assert_eq!(
            in_tables(json),
            Err(EncodeError::Unrepresentable(Unrepresentable::PassthruKey)),
            "{json}"
        );
    }
}

/// A PUBLISH with these Arguments and this text so many times in `exclude_authid`.
fn publish(arguments: Option<&[u8]>, shared: Option<(&str, usize)>) -> Vec<u8> {
    let mut builder = table::Builder::new();
    let shared = shared.map(|(text, count)| vec![builder.create_string(text); count]);
    let (body, topic) = (&mut builder, "com.x");
    let body = table::Publish::create(
        body,
        0,
        1,
        topic,
        arguments,
        (),
        (),
        0,
        0,
        0,
        (),
        false,
        true,
        (),
        shared,
        (),
        (),
        (),
        (),
        false,
        (),
        (),
    );
    let code = MessageType::Publish.code() as u8;
    let root = table::PublishMessage::create(&mut builder, code, body);
    builder.finish(root, None).to_vec()
}

/// A few octets must not stand for any amount of text.
#[test]
fn lists_that_share_their_texts_are_refused() {
    let shared = |count: usize| publish(None, Some((&"x".repeat(1000), count)));
    assert!(decode(FlatBuffers, &shared(2)).is_ok());
    for count in [100, 16_000, 17_000, 1_000_000] {
        let error = decode(FlatBuffers, &shared(count)).expect_err("a bomb");
        assert_eq!((error.fault, error.element), (Fault::TooManyEntries, "exclude_authid"), "{count}");
    }
}

#[test]
fn arguments_must_be_a_list_in_cbor() {
    let with = |arguments: &[u8]| publish(Some(arguments), None);
    assert!(decode(FlatBuffers, &with(&[0x81, 1])).is_ok());
    for (arguments, fault) in [
        (&[0xa0][..], Fault::Expected(Expected::List)),
        (&[0x01], Fault::Expected(Expected::List)),
        (&[0x81], Fault::Truncated),
        (&[0x81, 1, 1], Fault::TrailingOctets),
        (&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Fault::Truncated),
        (&[0x81; 200], Fault::TooDeep),
    ] {
        let error = decode(FlatBuffers, &with(arguments)).expect_err("no list");
        assert_eq!((error.fault, error.element), (fault, "Arguments"), "{arguments:?}");
    }
    let mut cbor = Vec::new();
    encode(Cbor, &decode(FlatBuffers, &with(&[0x81, 1])).expect("a list"), &mut cbor).expect("as it was");
    assert!(cbor.ends_with(&[0x81, 1]));
}

#[test]
fn unknown_and_empty_messages_are_refused() {
    for octets in [&b""[..], &[0; 4], &[0; 64], &[4, 0, 0, 0, 4, 0, 4, 0]] {
        assert!(decode(FlatBuffers, octets).is_err(), "{octets:?}");
    }
    let mut builder = table::Builder::new();
    let root = table::Message::create(&mut builder, 7);
    let error = decode(FlatBuffers, builder.finish(root, None)).expect_err("no such message");
    assert_eq!(error.fault, Fault::UnknownMessageType);
}
