//! Payloads that say whose they are: every PUBLISH, CALL and answer carries a number that is unique in the run, so that a
//! checker knows which message caused the one it sees.

use std::borrow::Cow;

use crossring_codec::id::SessionId;
use crossring_codec::message::{Forwarder, Passthru, Text};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

/// What a payload says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Tag {
    /// The publication or call, counted over the whole run.
    pub number: usize,
    /// For answers: 0, 1, 2, … in the order in which the callee gave them.
    pub part: u32,
}

impl Tag {
    /// The tag as `Arguments`, made longer by `padding` octets.
    pub fn payload(self, padding: usize) -> Payload<'static> {
        self.marked_payload(Marks::default(), padding)
    }

    /// The same for a message that carries rare options.
    pub fn marked_payload(self, marks: Marks, padding: usize) -> Payload<'static> {
        let letters = marks.letters();
        let text = format!("[{},{},\"{letters}{:x<padding$}\"]", self.number, self.part, "");
        if marks.encoded { encoded(text.into_bytes()) } else { plain(text.into_bytes()) }
    }

    /// Reads a payload; `None` if it was not written by [`Tag::payload`].
    pub fn read(payload: &Payload<'_>) -> Option<Tag> {
        let text = text_of(payload)?;
        let mut parts = text.strip_prefix('[')?.split(',');
        let tag = Tag { number: parts.next()?.parse().ok()?, part: parts.next()?.parse().ok()? };
        parts.next()?.starts_with('"').then_some(tag)
    }

    /// The arguments of a message that the router makes for a client.
    pub fn values(self) -> Vec<Value> {
        vec![(self.number as u64).into(), u64::from(self.part).into(), "x".into()]
    }
}

/// The payload that the router tells as a value.
pub fn from_value(value: &Value) -> Payload<'static> {
    match value {
        Value::List(arguments) => Payload::from_values(SerializerId::Json, arguments, &Dict::new()),
        Value::Binary(octets) => encoded(octets.clone()),
        _ => Payload::EMPTY,
    }
}

/// Octets of a payload, whatever serializer has carried it.
pub fn size_of(payload: &Payload<'_>) -> usize {
    text_of(payload).map_or(payload.octets.len(), |text| text.len())
}

fn plain(octets: Vec<u8>) -> Payload<'static> {
    let arguments_size = octets.len() as u32;
    let octets = Cow::Owned(octets);
    Payload { serializer: SerializerId::Json, shape: Shape::Arguments, arguments_size, octets }
}

/// One binary in the place of Arguments.
fn encoded(content: Vec<u8>) -> Payload<'static> {
    let mut octets = Vec::new();
    let written = Value::Binary(content).encode(SerializerId::Json, &mut octets);
    debug_assert!(written.is_ok(), "every serializer carries octets");
    let shape = if written.is_ok() { Shape::Transparent } else { Shape::Empty };
    let arguments_size = octets.len() as u32;
    Payload { serializer: SerializerId::Json, shape, arguments_size, octets: Cow::Owned(octets) }
}

/// What a payload says, as JSON.
fn text_of<'p>(payload: &'p Payload<'_>) -> Option<Cow<'p, str>> {
    match (payload.shape, payload.serializer) {
        (Shape::Transparent, _) => match payload.transparent().ok()?? {
            Value::Binary(octets) => String::from_utf8(octets).ok().map(Cow::Owned),
            _ => None,
        },
        (_, SerializerId::Json) => std::str::from_utf8(&payload.octets).ok().map(Cow::Borrowed),
        (..) => match &payload.arguments().ok()?[..] {
            [Value::Integer(number), Value::Integer(part), Value::String(text)] => {
                Some(Cow::Owned(format!("[{number},{part},\"{text}\"]")))
            }
            _ => None,
        },
    }
}

/// The rare options of a message, as its payload tells: so a checker knows what has to be copied to its receiver.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// Keys of payload passthru mode.
    pub passthru: bool,
    /// Keys of payload transparency, and one binary in the place of Arguments; not along with the former.
    pub encoded: bool,
    /// `transaction_hash`
    pub transaction_hash: bool,
    /// `x_acknowledged_delivery`
    pub acknowledged: bool,
    /// `forward_for`
    pub forwarded: bool,
}

impl Marks {
    /// What the payload tells.
    pub fn read(payload: &Payload<'_>) -> Self {
        let text = text_of(payload).unwrap_or_default();
        let letters = text.split('"').nth(1).unwrap_or_default();
        Self {
            passthru: letters.starts_with('p'),
            encoded: letters.starts_with('e'),
            transaction_hash: letters.contains('h'),
            acknowledged: letters.contains('a'),
            forwarded: letters.contains('f'),
        }
    }

    fn letters(self) -> String {
        let marks = [
            (self.passthru, 'p'),
            (self.encoded, 'e'),
            (self.transaction_hash, 'h'),
            (self.acknowledged, 'a'),
            (self.forwarded, 'f'),
        ];
        marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| letter).collect()
    }
}

/// The keys of a message with this payload that say how to read it.
pub fn passthru_of(payload: &Payload<'_>) -> Option<Passthru<'static>> {
    let key = Tag::read(payload)?.number.to_string();
    let marks = Marks::read(payload);
    if marks.passthru {
        let (ppt_scheme, ppt_keyid) = (Some("x_sim".into()), Some(key.into()));
        return Some(Passthru { ppt_scheme, ppt_keyid, ..Passthru::default() });
    }
    let (enc_algo, enc_serializer) = (Some("x_sim".into()), Some("json".into()));
    let keys = || Passthru { enc_algo, enc_key: Some(key.into()), enc_serializer, ..Passthru::default() };
    marks.encoded.then(keys)
}

/// The `transaction_hash` of a message with this payload.
pub fn transaction_hash_of(payload: &Payload<'_>) -> Option<Text<'static>> {
    let number = Tag::read(payload)?.number;
    Marks::read(payload).transaction_hash.then(|| format!("0x{number:x}").into())
}

/// The `forward_for` that the sender of a message with this payload gives.
pub fn forwarders_of(payload: &Payload<'_>) -> Option<Vec<Forwarder<'static>>> {
    let session = SessionId::new(Tag::read(payload)?.number as u64 + 1)?;
    let origin = Forwarder { session, authid: Some("origin".into()), authrole: "remote".into() };
    Marks::read(payload).forwarded.then(|| vec![origin])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_the_journey() {
        let tag = Tag { number: 4711, part: 3 };
        assert_eq!(Tag::read(&tag.payload(10)), Some(tag));
        assert_eq!(Tag::read(&Payload::EMPTY), None);
        let marks = Marks { encoded: true, forwarded: true, ..Marks::default() };
        let payload = tag.marked_payload(marks, 2);
        assert_eq!((Tag::read(&payload), Marks::read(&payload)), (Some(tag), marks));
        assert_eq!(size_of(&payload), size_of(&tag.marked_payload(marks, 0)) + 2);
    }
}
