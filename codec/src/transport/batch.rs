//! Messages side by side: the content of a batch, in a WebSocket message or in an HTTP body.

use super::error::TransportErrorKind;
use super::framing::{Packing, Separator};
use crate::serializer::{Serializer, SerializerId};

/// Octets of the length before each message of a binary batch.
pub(crate) const LENGTH_SIZE: usize = 4;

/// How one peer of HTTP long-poll wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    packing: Packing,
    separator: Separator,
}

impl Batching {
    /// That of a serializer; batches of JSON with the separator of the specification.
    pub const fn new(serializer: Serializer) -> Self {
        let packing = match (serializer.batched, serializer.id) {
            (false, _) => Packing::Single,
            (true, SerializerId::Json) => Packing::Separators,
            (true, _) => Packing::Lengths,
        };
        Self { packing, separator: Separator::Record }
    }

    /// Whether a body may hold more than one message.
    pub fn is_batched(self) -> bool {
        self.packing != Packing::Single
    }

    /// The messages of a body. The separator that the peer uses is used for it from then on.
    ///
    /// # Errors
    /// The body is empty, or ends within a message.
    pub fn split<'a>(&mut self, body: &'a [u8]) -> Result<Vec<&'a [u8]>, TransportErrorKind> {
        if body.is_empty() {
            return Err(TransportErrorKind::BatchEmpty);
        }
        if self.packing == Packing::Single {
            return Ok(vec![body]);
        }
        let mut messages = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (message, size, separator) = split_batch(rest, self.packing)?;
            if let Some(octet) = separator {
                self.separator = Separator::from_octet(octet);
            }
            messages.push(message);
            rest = &rest[size..];
        }
        Ok(messages)
    }

    /// Appends a message to a body. The first one only, where there are no batches.
    pub fn append(self, message: &[u8], body: &mut Vec<u8>) {
        match self.packing {
            Packing::Single => body.extend_from_slice(message),
            Packing::Lengths => {
                body.extend_from_slice(&(message.len() as u32).to_be_bytes());
                body.extend_from_slice(message);
            }
            Packing::Separators => {
                body.extend_from_slice(message);
                body.push(self.separator.octet());
            }
        }
    }
}

/// The first message of `batch`, which is not empty, the octets it takes there, and its separator.
pub(crate) fn split_batch(
    batch: &[u8],
    packing: Packing,
) -> Result<(&[u8], usize, Option<u8>), TransportErrorKind> {
    let truncated = TransportErrorKind::BatchTruncated;
    if packing == Packing::Separators {
        let at = Separator::find(batch).ok_or(truncated)?;
        return Ok((&batch[..at], at + 1, Some(batch[at])));
    }
    let (prefix, rest) = batch.split_first_chunk::<LENGTH_SIZE>().ok_or(truncated)?;
    let length = u32::from_be_bytes(*prefix) as usize;
    let message = rest.get(..length).ok_or(truncated)?;
    Ok((message, LENGTH_SIZE + length, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_back() {
        for serializer in [Serializer::JSON, Serializer::JSON_BATCHED, Serializer::CBOR_BATCHED] {
            let mut batching = Batching::new(serializer);
            let messages: &[&[u8]] = if batching.is_batched() { &[b"[1]", b"[2,3]"] } else { &[b"[1]"] };
            let mut body = Vec::new();
            messages.iter().for_each(|message| batching.append(message, &mut body));
            assert_eq!(batching.split(&body).as_deref(), Ok(messages), "{serializer}");
            assert_eq!(batching.split(b""), Err(TransportErrorKind::BatchEmpty));
        }
    }

    #[test]
    fn the_separator_of_the_peer_is_used() {
        let mut batching = Batching::new(Serializer::JSON_BATCHED);
        assert_eq!(batching.split(b"[1]\x18[2]\x18"), Ok(vec![&b"[1]"[..], b"[2]"]));
        let mut body = Vec::new();
        batching.append(b"[3]", &mut body);
        assert_eq!(body, b"[3]\x18");
    }

    #[test]
    fn what_ends_within_a_message_is_refused() {
        let mut json = Batching::new(Serializer::JSON_BATCHED);
        assert_eq!(json.split(b"[1]\x1e[2]"), Err(TransportErrorKind::BatchTruncated));
        let mut cbor = Batching::new(Serializer::CBOR_BATCHED);
        for body in [&b"\0\0\0"[..], b"\0\0\0\x02a", b"\xff\xff\xff\xffa"] {
            assert_eq!(cbor.split(body), Err(TransportErrorKind::BatchTruncated), "{body:?}");
        }
    }
}
