//! Finds messages in received bytes and payloads in messages, without decoding either.

use crossring_codec::{
    message::{Message, MessageType, decode::decode},
    payload::Payload,
    serializer::{Serializer, SerializerId},
};

use super::super::{FRAME_BYTES_MAX, Incoming, ReplyTo};
use crate::fault::Fault;

/// What messages look like.
#[derive(Clone, Copy)]
pub(super) struct Messages {
    pub(super) serializer: Serializer,
    pub(super) payload_bytes: usize,
}

/// What follows the payload text at the end of a message: JSON closes a string and two lists, UBJSON two lists.
const fn trailer_bytes(serializer: SerializerId) -> usize {
    match serializer {
        SerializerId::Json => 3,
        SerializerId::MessagePack | SerializerId::Cbor | SerializerId::FlatBuffers => 0,
        SerializerId::Ubjson | SerializerId::Bjdata => 2,
    }
}

const RAWSOCKET_HEAD_BYTES: usize = 4;

/// Skims RawSocket frames; pings and pongs are passed over.
pub(super) fn rawsocket(
    bytes: &[u8],
    messages: Messages,
    on: &mut impl FnMut(Incoming<'_>),
) -> Result<usize, Fault> {
    let mut at = 0;
    while let Some(head) = bytes[at..].first_chunk::<RAWSOCKET_HEAD_BYTES>() {
        let size = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        if head[0] & 0xf8 != 0 || size > FRAME_BYTES_MAX {
            return Err(Fault::malformed("RawSocket", &bytes[at..]));
        }
        let body = at + RAWSOCKET_HEAD_BYTES;
        let Some(message) = bytes.get(body..body + size) else { break };
        if head[0] == 0 {
            messages.find(message, on)?;
        }
        at = body + size;
    }
    Ok(at)
}

const OPCODE_TEXT: u8 = 1;
const OPCODE_BINARY: u8 = 2;
const OPCODE_CLOSE: u8 = 8;

/// Skims unfragmented WebSocket frames from a server; pings and pongs are passed over.
pub(super) fn websocket(
    bytes: &[u8],
    messages: Messages,
    on: &mut impl FnMut(Incoming<'_>),
) -> Result<usize, Fault> {
    let mut at = 0;
    while let Some((head, size)) = websocket_head(&bytes[at..])? {
        let Some(body) = bytes.get(at + head..at + head + size) else { break };
        match bytes[at] & 0x0f {
            OPCODE_TEXT | OPCODE_BINARY => messages.find_all(body, on)?,
            OPCODE_CLOSE => return Err(Fault::refused("WebSocket close", body)),
            _ => (),
        }
        at += head + size;
    }
    Ok(at)
}

/// Sizes of head and body of the frame at the start; `None` when the head is incomplete.
fn websocket_head(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let (head, size) = match second {
        0..126 => (2, u64::from(second)),
        126 => match rest.first_chunk::<2>() {
            Some(size) => (4, u64::from(u16::from_be_bytes(*size))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(size) => (10, u64::from_be_bytes(*size)),
            None => return Ok(None),
        },
        // Servers must not mask.
        128.. => (2, u64::MAX),
    };
    match first & 0xf0 == 0x80 && size <= FRAME_BYTES_MAX as u64 {
        true => Ok(Some((head, size as usize))),
        false => Err(Fault::malformed("a plain WebSocket frame", bytes)),
    }
}

impl Messages {
    /// The messages of one WebSocket message, which may be a batch.
    fn find_all(self, body: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<(), Fault> {
        match (self.serializer.batched, self.serializer.id) {
            (false, _) => self.find(body, on),
            (true, SerializerId::Json) => {
                let each = body.split(|&octet| octet == 0x18 || octet == 0x1e);
                each.filter(|message| !message.is_empty()).try_for_each(|message| self.find(message, on))
            }
            (true, _) => self.find_with_lengths(body, on),
        }
    }

    fn find_with_lengths(self, mut body: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<(), Fault> {
        while let Some((length, rest)) = body.split_first_chunk::<4>() {
            let Some((message, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else {
                return Err(Fault::malformed("a batch", body));
            };
            self.find(message, on)?;
            body = rest;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn find(self, message: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<(), Fault> {
        const EVENT: u64 = MessageType::Event.code() as u64;
        const RESULT: u64 = MessageType::Result.code() as u64;
        const INVOCATION: u64 = MessageType::Invocation.code() as u64;
        const ERROR: u64 = MessageType::Error.code() as u64;
        const ABORT: u64 = MessageType::Abort.code() as u64;
        const GOODBYE: u64 = MessageType::Goodbye.code() as u64;
        if self.serializer.id == SerializerId::FlatBuffers {
            return self.find_in_table(message, on);
        }
        let Some((code, rest)) = self.open(message) else {
            return Err(Fault::malformed("a WAMP message", message));
        };
        match code {
            EVENT | RESULT => on(Incoming::Payload(self.payload(message)?)),
            INVOCATION => {
                let id = self.second(rest).ok_or_else(|| Fault::malformed("an INVOCATION", message))?;
                on(Incoming::Request { reply_to: ReplyTo::Request(id), payload: self.payload(message)? });
            }
            ERROR | ABORT | GOODBYE => return Err(Fault::refused("WAMP", message)),
            _ => (),
        }
        Ok(())
    }

    /// Tables are not skimmed: where anything is depends on what wrote them.
    fn find_in_table(self, octets: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<(), Fault> {
        let malformed = || Fault::malformed("a WAMP message", octets);
        match decode(self.serializer.id, octets).map_err(|_| malformed())? {
            Message::Event { payload, .. } | Message::Result { payload, .. } => {
                on(Incoming::Payload(self.text(&payload)?));
            }
            Message::Invocation { request, payload, .. } => {
                let reply_to = ReplyTo::Request(request.get());
                on(Incoming::Request { reply_to, payload: self.text(&payload)? });
            }
            Message::Error { .. } | Message::Abort { .. } | Message::Goodbye { .. } => {
                return Err(Fault::refused("WAMP", octets));
            }
            _ => (),
        }
        Ok(())
    }

    /// The one argument, without its head.
    fn text<'a>(self, payload: &'a Payload<'_>) -> Result<&'a [u8], Fault> {
        let arguments = payload.arguments_octets();
        let start = arguments.len().checked_sub(self.payload_bytes);
        start.map(|start| &arguments[start..]).ok_or_else(|| Fault::malformed("a full payload", arguments))
    }

    /// The payload is the last thing in the message.
    fn payload(self, message: &[u8]) -> Result<&[u8], Fault> {
        let end = message.len().saturating_sub(trailer_bytes(self.serializer.id));
        let start = end.checked_sub(self.payload_bytes);
        start.map(|start| &message[start..end]).ok_or_else(|| Fault::malformed("a full payload", message))
    }

    /// Enters the list and reads the message type.
    #[inline]
    fn open(self, message: &[u8]) -> Option<(u64, &[u8])> {
        let (&list, rest) = message.split_first()?;
        let is_list = match self.serializer.id {
            SerializerId::Json | SerializerId::Ubjson | SerializerId::Bjdata => list == b'[',
            SerializerId::MessagePack => (0x90..=0x9f).contains(&list),
            SerializerId::Cbor => (0x80..=0x97).contains(&list) || list == 0x9f,
            SerializerId::FlatBuffers => false,
        };
        if is_list { self.integer(rest) } else { None }
    }

    /// The second element.
    fn second(self, rest: &[u8]) -> Option<u64> {
        let rest = match self.serializer.id {
            SerializerId::Json => rest.trim_ascii_start().strip_prefix(b",")?,
            _ => rest,
        };
        self.integer(rest).map(|(id, _)| id)
    }

    /// The unsigned integer at the start.
    #[inline]
    fn integer(self, bytes: &[u8]) -> Option<(u64, &[u8])> {
        let (&code, rest) = bytes.split_first()?;
        let width = match (self.serializer.id, code) {
            (SerializerId::Json, _) => return decimal(bytes.trim_ascii_start()),
            (SerializerId::MessagePack, 0..=0x7f) | (SerializerId::Cbor, 0..=0x17) => {
                return Some((u64::from(code), rest));
            }
            (SerializerId::MessagePack, 0xcc..=0xcf) => 1 << (code - 0xcc),
            (SerializerId::Cbor, 0x18..=0x1b) => 1 << (code - 0x18),
            (SerializerId::Ubjson | SerializerId::Bjdata, b'U' | b'i') => 1,
            (SerializerId::Ubjson, b'I') | (SerializerId::Bjdata, b'u' | b'I') => 2,
            (SerializerId::Ubjson, b'l') | (SerializerId::Bjdata, b'm' | b'l') => 4,
            (SerializerId::Ubjson, b'L') | (SerializerId::Bjdata, b'M' | b'L') => 8,
            _ => return None,
        };
        let (digits, rest) = rest.split_at_checked(width)?;
        if self.serializer.id == SerializerId::Bjdata {
            return Some((digits.iter().rev().fold(0, |value, &digit| value << 8 | u64::from(digit)), rest));
        }
        Some((digits.iter().fold(0, |value, &digit| value << 8 | u64::from(digit)), rest))
    }
}

fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let count = bytes.iter().take(18).take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(count);
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    (count > 0).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skim(serializer: Serializer, bytes: &[u8]) -> Result<usize, Fault> {
        rawsocket(bytes, Messages { serializer, payload_bytes: 16 }, &mut |_| ())
    }

    #[test]
    fn refusals_are_faults() {
        for (serializer, message) in [
            (Serializer::JSON, b"[3,{},\"wamp.error.no_such_realm\"]".as_slice()),
            (Serializer::MESSAGE_PACK, &[0x93, 8, 16, 1]),
            (Serializer::CBOR, &[0x83, 6, 0xa0, 0x61, b'x']),
        ] {
            let frame = [&(message.len() as u32).to_be_bytes(), message].concat();
            assert!(matches!(skim(serializer, &frame), Err(Fault::Refused { .. })), "{serializer}");
        }
    }

    #[test]
    fn noise_is_malformed() {
        for bytes in
            [b"HTTP/1.1 400".as_slice(), &[0, 0, 0, 1, 0xc0], &[0, 0xff, 0xff, 0xff], &[0, 0, 0, 2, 0x92, 36]]
        {
            assert!(
                matches!(skim(Serializer::MESSAGE_PACK, bytes), Err(Fault::Malformed { .. })),
                "{bytes:?}"
            );
        }
        let messages = Messages { serializer: Serializer::JSON, payload_bytes: 16 };
        assert!(websocket(&[0x81, 0x80, 0, 0], messages, &mut |_| ()).is_err(), "masked");
        assert!(websocket(&[0x01, 0x02, 0, 0], messages, &mut |_| ()).is_err(), "fragmented");
        assert!(websocket(&[0x88, 0x02, 3, 232], messages, &mut |_| ()).is_err(), "closed");
    }

    #[test]
    fn pings_are_passed_over() {
        assert_eq!(skim(Serializer::JSON, &[1, 0, 0, 2, b'h', b'i']).ok(), Some(6));
        let messages = Messages { serializer: Serializer::JSON, payload_bytes: 16 };
        assert_eq!(websocket(&[0x89, 0x01, b'p'], messages, &mut |_| ()).ok(), Some(3));
    }
}
