//! Which clients may speak FlatBuffers: its tables lack some of what messages in other serializers hold.

use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::serializer::SerializerId;

use super::script::{Script, is_like, with_variables};

/// A message in JSON as one in FlatBuffers.
pub(super) fn to_flatbuffers(json: &str) -> Option<Vec<u8>> {
    between(SerializerId::Json, SerializerId::FlatBuffers, json.as_bytes())
}

/// A message in FlatBuffers as one in JSON.
pub(super) fn to_json(octets: &[u8]) -> Option<String> {
    let json = between(SerializerId::FlatBuffers, SerializerId::Json, octets)?;
    String::from_utf8(json).ok()
}

fn between(from: SerializerId, to: SerializerId, octets: &[u8]) -> Option<Vec<u8>> {
    let message = decode(from, octets).ok()?;
    let mut out = Vec::new();
    encode(to, &message, &mut out).ok()?;
    Some(out)
}

/// What a callee may answer that has announced `call_reroute`, for which HELLO has no place.
const UNAVAILABLE: &str = "wamp.error.unavailable";

/// Whether FlatBuffers has a place for all that the client sends and for all that it expects.
pub(super) fn can_tell(script: &Script<'_>, client: &str) -> bool {
    let passes_on = script.sent(client).any(|text| text.contains(UNAVAILABLE));
    !passes_on && script.sent(client).all(can_send) && script.expected(client).all(can_receive)
}

/// It is the same there and back.
fn can_send(text: &str) -> bool {
    stand_ins(text).any(|json| {
        let plain = between(SerializerId::Json, SerializerId::Json, json.as_bytes());
        let told = to_flatbuffers(&json).and_then(|octets| to_json(&octets));
        plain.is_some() && plain == told.map(String::into_bytes)
    })
}

/// There and back it is still what is expected.
fn can_receive(expected: &str) -> bool {
    stand_ins(expected).any(|json| {
        let told = to_flatbuffers(&json).and_then(|octets| to_json(&octets));
        told.is_some_and(|told| is_like(expected, &told))
    })
}

/// The message with something in place of its variables: mostly they are numbers.
fn stand_ins(text: &str) -> impl Iterator<Item = String> {
    ["1", "\"x\""].into_iter().map(|value| with_variables(text, value))
}
