//! What other implementations read, we read, and the same; what they refuse, we refuse.

#![forbid(unsafe_code)]

use ciborium::Value as Cbor;
use crossring_codec::fuzzing::Generator;
use crossring_codec::message::Message;
use crossring_codec::message::decode::decode;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

/// Pieces that JSON is made of, and some that it must not be made of.
const JSON_PIECES: [&str; 36] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"a\"",
    "\"b c\"",
    "\"",
    "\\",
    "\\n",
    "\\u00e9",
    "\\ud834\\udd1e",
    "\\ud834",
    "\\udd1e",
    "\\x",
    "0",
    "1",
    "12",
    "-",
    "+",
    ".",
    ".5",
    "e",
    "E-2",
    "1e5",
    "-0",
    "true",
    "false",
    "null",
    "nul",
    " ",
    "\n",
    "\u{1}",
    "é",
    "\u{b}",
];

/// Pieces that form whole values more often.
const JSON_VALUES: [&str; 16] = [
    "[1,2]",
    "{\"a\":1}",
    "[]",
    "{}",
    "[ 1 , 2 ]",
    "{ \"a\" : [ ] }",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "-1.5e+3",
    "0.1",
    "18446744073709551615",
    "-9223372036854775808",
    "18446744073709551616",
    "\"grüße\"",
    "[[[[]]]]",
    "true",
    "1E400",
];

fn json_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![3 => select(&JSON_PIECES[..]), 2 => select(&JSON_VALUES[..]), 1 => Just(",")];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn json_in_publish(text: &str) -> Option<Vec<Value>> {
    let frame = format!("[16,1,{{}},\"a\",[{text}]]");
    arguments(decode(SerializerId::Json, frame.as_bytes()).ok()?)
}

fn arguments(message: Message<'_>) -> Option<Vec<Value>> {
    match message {
        Message::Publish { payload, .. } => Some(payload.arguments().expect("validated")),
        _ => None,
    }
}

/// Numbers beyond the range of a double are infinite to us (as in Python and JavaScript) and errors to serde_json.
fn has_infinity(value: &Value) -> bool {
    match value {
        Value::Float(float) => float.is_infinite(),
        Value::List(list) => list.iter().any(has_infinity),
        Value::Dict(dict) => dict.iter().any(|(_, value)| has_infinity(value)),
        _ => false,
    }
}

fn of_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => u64::try_from(*value).map_or_else(|_| (*value as i64).into(), Json::from),
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::Binary(_) => panic!("no binary was written"),
        Value::List(list) => list.iter().map(of_json).collect(),
        Value::Dict(dict) => dict.iter().map(|(key, value)| (key.clone(), of_json(value))).collect(),
    }
}

/// Equality but for the last digit of floats: without its feature `float_roundtrip`, serde_json rounds in haste.
fn agree(ours: &Value, theirs: Option<&Json>) -> bool {
    match (ours, theirs) {
        (Value::Float(ours), Some(Json::Number(theirs))) => {
            theirs.as_f64().is_some_and(|theirs| (ours - theirs).abs() <= 4.0 * f64::EPSILON * ours.abs())
        }
        (Value::List(ours), Some(Json::Array(theirs))) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| agree(ours, Some(theirs)))
        }
        // Later entries replace earlier ones of the same key.
        (Value::Dict(ours), Some(Json::Object(theirs))) => theirs.iter().all(|(key, theirs)| {
            let last = ours.iter().rfind(|(name, _)| name == key);
            last.is_some_and(|(_, ours)| agree(ours, Some(theirs)))
        }),
        (ours, theirs) => Some(&of_json(ours)) == theirs,
    }
}

fn of_cbor(value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => Cbor::Bool(*value),
        Value::Integer(value) => Cbor::Integer((*value).try_into().expect("64 bits")),
        Value::Float(value) => Cbor::Float(*value),
        Value::String(value) => Cbor::Text(value.clone()),
        Value::Binary(value) => Cbor::Bytes(value.clone()),
        Value::List(list) => Cbor::Array(list.iter().map(of_cbor).collect()),
        Value::Dict(dict) => {
            Cbor::Map(dict.iter().map(|(key, value)| (Cbor::Text(key.clone()), of_cbor(value))).collect())
        }
    }
}

fn ciborium_reads(octets: &[u8]) -> Option<Cbor> {
    let mut rest = octets;
    let value = ciborium::from_reader(&mut rest).ok()?;
    rest.is_empty().then_some(value)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn json_agrees_with_serde_json(text in json_text()) {
        let ours = json_in_publish(&text);
        let theirs: Option<Vec<Json>> = serde_json::from_str(&format!("[{text}]")).ok();
        match ours {
            Some(values) if values.iter().any(has_infinity) => prop_assert!(theirs.is_none()),
            Some(values) => {
                let theirs = theirs.map(Json::Array);
                prop_assert!(agree(&Value::List(values.clone()), theirs.as_ref()), "{values:?} {theirs:?}");
            }
            None => prop_assert!(theirs.is_none()),
        }
    }

    /// Not the other way round: simd-json refuses integers beyond 64 bits.
    #[test]
    fn what_simd_json_reads_we_read(text in json_text()) {
        if simd_json::to_tape(&mut format!("[{text}]").into_bytes()).is_ok() {
            prop_assert!(json_in_publish(&text).is_some());
        }
    }

    #[test]
    fn what_we_write_as_cbor_ciborium_reads(seed in vec(any::<u8>(), 0..200)) {
        let value = Generator::new(&seed).value(5);
        let mut octets = Vec::new();
        value.encode(SerializerId::Cbor, &mut octets).expect("CBOR has everything");
        prop_assert_eq!(ciborium_reads(&octets), Some(of_cbor(&value)));
    }

    #[test]
    fn what_ciborium_writes_we_read(seed in vec(any::<u8>(), 0..200)) {
        let value = Generator::new(&seed).value(5);
        let mut octets = Vec::new();
        ciborium::into_writer(&of_cbor(&value), &mut octets).expect("memory");
        prop_assert_eq!(Value::decode(SerializerId::Cbor, &octets), Ok(value));
    }

    #[test]
    fn what_ciborium_reads_we_read(octets in vec(cbor_octet(), 0..16)) {
        // ciborium takes simple values below 32 in two octets, which RFC 8949 says are not well formed.
        prop_assume!(!octets.contains(&0xf8));
        let Some(theirs) = ciborium_reads(&octets) else { return Ok(()) };
        let frame = [&[0x85, 16, 1, 0xa0, 0x61, b'a', 0x81], &octets[..]].concat();
        prop_assert!(decode(SerializerId::Cbor, &frame).is_ok(), "{theirs:?}");
    }

    #[test]
    fn what_serde_json_writes_we_read(seed in vec(any::<u8>(), 0..200)) {
        let value = without_binary(Generator::new(&seed).value(5));
        let text = of_json(&value).to_string();
        prop_assert_eq!(Value::decode(SerializerId::Json, text.as_bytes()), Ok(value));
    }
}

/// Octets that start something more often than chance has it.
fn cbor_octet() -> impl Strategy<Value = u8> {
    let heads =
        [0x00, 0x18, 0x20, 0x40, 0x41, 0x5f, 0x60, 0x61, 0x7f, 0x80, 0x81, 0x9f, 0xa0, 0xa1, 0xbf, 0xc1];
    let simple = [0xc2, 0xd8, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xff];
    prop_oneof![3 => select([&heads[..], &simple[..]].concat()), 1 => any::<u8>()]
}

fn without_binary(value: Value) -> Value {
    match value {
        Value::Binary(_) => Value::Null,
        Value::List(list) => Value::List(list.into_iter().map(without_binary).collect()),
        Value::Dict(dict) => {
            Value::Dict(dict.into_iter().map(|(key, value)| (key, without_binary(value))).collect())
        }
        value => value,
    }
}
