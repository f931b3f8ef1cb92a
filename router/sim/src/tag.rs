//! Payloads that say whose they are: every PUBLISH, CALL and answer carries a number that is unique in the run, so that a
//! checker knows which message caused the one it sees.

use std::borrow::Cow;

use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;

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
        let text = format!("[{},{},\"{:x<padding$}\"]", self.number, self.part, "");
        Payload {
            serializer: SerializerId::Json,
            shape: Shape::Arguments,
            arguments_size: text.len() as u32,
            octets: Cow::Owned(text.into_bytes()),
        }
    }

    /// Reads a payload; `None` if it was not written by [`Tag::payload`].
    pub fn read(payload: &Payload<'_>) -> Option<Tag> {
        let text = std::str::from_utf8(&payload.octets).ok()?;
        let mut parts = text.strip_prefix('[')?.split(',');
        Some(Tag { number: parts.next()?.parse().ok()?, part: parts.next()?.parse().ok()? })
    }
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
