//! Payloads that say whose they are: every PUBLISH, CALL and answer carries a number that is unique in the run, so that a
//! checker knows which message caused the one it sees.

use std::borrow::Cow;

use crossring_codec::id::SessionId;
use crossring_codec::message::{Forwarder, Passthru, Text};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;

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
        let passthru = if marks.passthru { "p" } else { "" };
        let hash = if marks.transaction_hash { "h" } else { "" };
        let acknowledged = if marks.acknowledged { "a" } else { "" };
        let forwarded = if marks.forwarded { "f" } else { "" };
        let marks = [passthru, hash, acknowledged, forwarded].concat();
        let text = format!("[{},{},\"{marks}{:x<padding$}\"]", self.number, self.part, "");
        Payload {
            serializer: SerializerId::Json,
            shape: Shape::Arguments,
            arguments_size: text.len() as u32,
            octets: Cow::Owned(text.into_bytes()),
        }
    }

    /// Reads a payload; `None` if it was not written by [`Tag::payload`].
    pub fn read(payload: &Payload<'_>) -> Option<Tag> {
        if payload.serializer != SerializerId::Json {
            return Self::from_values(&payload.arguments().ok()?);
        }
        let text = std::str::from_utf8(&payload.octets).ok()?;
        let mut parts = text.strip_prefix('[')?.split(',');
        let tag = Tag { number: parts.next()?.parse().ok()?, part: parts.next()?.parse().ok()? };
        parts.next()?.starts_with('"').then_some(tag)
    }

    /// The arguments of a message that the router makes for a client.
    pub fn values(self) -> Vec<Value> {
        vec![(self.number as u64).into(), u64::from(self.part).into(), "x".into()]
    }

    /// Reads what the router tells of a payload in a value.
    pub fn from_value(value: &Value) -> Option<Tag> {
        match value {
            Value::List(values) => Self::from_values(values),
            _ => None,
        }
    }

    fn from_values(values: &[Value]) -> Option<Tag> {
        let [Value::Integer(number), Value::Integer(part), Value::String(_)] = values else { return None };
        Some(Tag { number: usize::try_from(*number).ok()?, part: u32::try_from(*part).ok()? })
    }
}

/// The rare options of a message, as its payload tells: so a checker knows what has to be copied to its receiver.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// Keys of payload passthru mode.
    pub passthru: bool,
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
        let text = std::str::from_utf8(&payload.octets).unwrap_or_default();
        let marks = text.split('"').nth(1).unwrap_or_default();
        Self {
            passthru: marks.starts_with('p'),
            transaction_hash: marks.contains('h'),
            acknowledged: marks.contains('a'),
            forwarded: marks.contains('f'),
        }
    }
}

/// The passthru keys of a message with this payload.
pub fn passthru_of(payload: &Payload<'_>) -> Option<Passthru<'static>> {
    let keyid = Tag::read(payload)?.number.to_string();
    let keys =
        Passthru { ppt_scheme: Some("x_sim".into()), ppt_keyid: Some(keyid.into()), ..Passthru::default() };
    Marks::read(payload).passthru.then_some(keys)
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
    }
}
