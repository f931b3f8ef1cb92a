//! Framing of outgoing messages, in place, around bytes that an encoder appends.

use std::fmt;

use super::mask::{self, MaskKey};
use crate::serializer::{Serializer, SerializerId};
use crate::ubjson::dialect::dialect;

/// How one connection wants its messages: carrier, serializer and batch separator.
///
/// Connections of equal framing (RawSocket or server side) can share the very same bytes, so
/// [`Framing::index`] is the key of the encode-once tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framing {
    carrier: Carrier,
    serializer: Serializer,
    separator: Separator,
}

/// Where a frame begins in the output: between [`Framing::begin`] and [`Framing::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Mark {
    start: usize,
}

/// A message too long for the framing; the output was cut back to where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Size of the message in octets.
    pub size: usize,
}

/// What carries the frames, and from which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// RawSocket: both sides frame alike.
    RawSocket,
    /// WebSocket, frames from the server: not masked.
    WebSocketServer,
    /// WebSocket, frames from the client: masked.
    WebSocketClient,
}

/// What follows each message of a `json.batched` batch. Neither octet occurs raw in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Separator {
    /// 0x1E, as the specification says.
    Record,
    /// 0x18, as Autobahn and Crossbar.io send and expect.
    Cancel,
}

/// How messages are packed into the payload of the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// The message is the payload.
    Single,
    /// Each message follows its length, 4 octets big-endian.
    Lengths,
    /// Each message is followed by a [`Separator`].
    Separators,
}

impl Framing {
    /// Number of framings; [`Framing::index`] is below it.
    pub const COUNT: usize = SerializerId::COUNT + 2 * WEBSOCKET_VARIANTS;

    /// Longest message any framing carries, in octets: what a RawSocket prefix can say.
    pub const MESSAGE_SIZE_MAX: usize = 1 << 24;

    /// The framing of `serializer` on RawSocket, which has no batches.
    pub const fn rawsocket(id: SerializerId) -> Framing {
        Framing::new(Carrier::RawSocket, Serializer::plain(id))
    }

    /// The framing of `serializer` from a WebSocket server.
    pub const fn websocket_server(serializer: Serializer) -> Framing {
        Framing::new(Carrier::WebSocketServer, serializer)
    }

    /// The framing of `serializer` from a WebSocket client.
    pub const fn websocket_client(serializer: Serializer) -> Framing {
        Framing::new(Carrier::WebSocketClient, serializer)
    }

    const fn new(carrier: Carrier, serializer: Serializer) -> Framing {
        Framing { carrier, serializer, separator: Separator::Record }
    }

    pub(crate) const fn with_separator(self, separator: Separator) -> Framing {
        Framing { separator, ..self }
    }

    /// How many of the peer's first messages may still change the framing.
    pub(crate) const fn unsettled_messages(self) -> u8 {
        match (self.serializer.id, self.packing()) {
            (SerializerId::Ubjson | SerializerId::Bjdata, _) => DIALECT_MESSAGES_MAX,
            (_, Packing::Separators) => 1,
            _ => 0,
        }
    }

    /// The same framing in the dialect of this message, if it tells which of two it is in.
    pub(crate) fn told_by(self, message: &[u8]) -> Option<Framing> {
        if !matches!(self.serializer.id, SerializerId::Ubjson | SerializerId::Bjdata) {
            return None;
        }
        dialect(message).map(|id| Framing { serializer: Serializer { id, ..self.serializer }, ..self })
    }

    /// The serializer of the messages.
    pub const fn serializer(self) -> Serializer {
        self.serializer
    }

    /// What carries the frames.
    pub const fn carrier(self) -> Carrier {
        self.carrier
    }

    /// A dense number, unique among framings, below [`Framing::COUNT`].
    pub const fn index(self) -> usize {
        let variant = self.variant();
        match self.carrier {
            Carrier::RawSocket => variant,
            Carrier::WebSocketServer => SerializerId::COUNT + variant,
            Carrier::WebSocketClient => SerializerId::COUNT + WEBSOCKET_VARIANTS + variant,
        }
    }

    const fn variant(self) -> usize {
        match (self.packing(), self.separator) {
            (Packing::Separators, Separator::Cancel) => 2 * SerializerId::COUNT,
            (Packing::Single, _) => self.serializer.id as usize,
            _ => SerializerId::COUNT + self.serializer.id as usize,
        }
    }

    pub(crate) const fn packing(self) -> Packing {
        match (self.serializer.batched, self.serializer.id) {
            (false, _) => Packing::Single,
            (true, SerializerId::Json) => Packing::Separators,
            (true, _) => Packing::Lengths,
        }
    }

    /// Starts a frame at the end of `out`: append one message, then call [`Framing::finish`].
    pub fn begin(self, out: &mut Vec<u8>) -> Mark {
        let mark = Mark { start: out.len() };
        out.extend_from_slice(&[0; HEAD_RESERVED_MAX][..self.head_reserved()]);
        mark
    }

    /// Completes the frame begun at `mark` and returns the size of its message in octets.
    ///
    /// Compare the size with [`Transport::peer_limit`](super::Transport::peer_limit) before sending
    /// the frame. `mask_key` matters to client framings only, which want a fresh one per frame.
    pub fn finish(self, out: &mut Vec<u8>, mark: Mark, mask_key: u32) -> Result<usize, TooLong> {
        let body = mark.start + self.head_reserved();
        assert!(body <= out.len(), "the encoder must only append");
        let size = out.len() - body;
        if size > Framing::MESSAGE_SIZE_MAX {
            out.truncate(mark.start);
            return Err(TooLong { size });
        }
        match self.packing() {
            Packing::Single => {}
            Packing::Lengths => out[body - 4..body].copy_from_slice(&(size as u32).to_be_bytes()),
            Packing::Separators => out.push(self.separator.octet()),
        }
        match self.carrier {
            Carrier::RawSocket => put_rawsocket_prefix(&mut out[mark.start..], MESSAGE_FRAME, size),
            Carrier::WebSocketServer => self.finish_websocket(out, mark.start, None),
            Carrier::WebSocketClient => {
                self.finish_websocket(out, mark.start, Some(mask_key.to_be_bytes()));
            }
        }
        Ok(size)
    }

    fn finish_websocket(self, out: &mut Vec<u8>, start: usize, key: Option<MaskKey>) {
        let opcode = if self.serializer.is_text() { OPCODE_TEXT } else { OPCODE_BINARY };
        let payload = start + HEADER_RESERVED + if key.is_some() { 4 } else { 0 };
        if let Some(key) = key {
            mask::apply(&mut out[payload..], key);
        }
        let header = WebSocketHeader::new(opcode, out.len() - payload, key);
        move_tail(out, payload, start + header.size);
        out[start..start + header.size].copy_from_slice(header.as_bytes());
    }

    const fn head_reserved(self) -> usize {
        let carrier = match self.carrier {
            Carrier::RawSocket => 4,
            Carrier::WebSocketServer => HEADER_RESERVED,
            Carrier::WebSocketClient => HEADER_RESERVED + 4,
        };
        match self.packing() {
            Packing::Lengths => carrier + 4,
            Packing::Single | Packing::Separators => carrier,
        }
    }
}

impl Separator {
    pub(crate) const fn octet(self) -> u8 {
        match self {
            Separator::Record => 0x1E,
            Separator::Cancel => 0x18,
        }
    }

    /// The separator that `octet`, found by [`Separator::find`], is.
    pub(crate) fn from_octet(octet: u8) -> Separator {
        if octet == Separator::Cancel.octet() { Separator::Cancel } else { Separator::Record }
    }

    /// Where the first separator of either kind is.
    pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
        memchr::memchr2(Separator::Record.octet(), Separator::Cancel.octet(), bytes)
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "message of {} octets is too long for its framing", self.size)
    }
}

impl std::error::Error for TooLong {}

/// The header of one WebSocket frame with FIN set (RFC 6455 §5.2).
pub(crate) struct WebSocketHeader {
    bytes: [u8; WebSocketHeader::SIZE_MAX],
    size: usize,
}

impl WebSocketHeader {
    /// Two octets, a length of eight and a mask key.
    pub(crate) const SIZE_MAX: usize = 14;

    pub(crate) fn new(opcode: u8, length: usize, key: Option<MaskKey>) -> WebSocketHeader {
        let masked = if key.is_some() { 0x80 } else { 0 };
        let mut header = WebSocketHeader { bytes: [0; WebSocketHeader::SIZE_MAX], size: 0 };
        match length {
            0..126 => header.push(&[0x80 | opcode, masked | length as u8]),
            126..=0xFFFF => {
                header.push(&[0x80 | opcode, masked | 126]);
                header.push(&(length as u16).to_be_bytes());
            }
            _ => {
                header.push(&[0x80 | opcode, masked | 127]);
                header.push(&(length as u64).to_be_bytes());
            }
        }
        if let Some(key) = key {
            header.push(&key);
        }
        header
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    /// The size of the header that `frame` begins with.
    pub(crate) fn size_of(frame: &[u8]) -> usize {
        let extended = match frame[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if frame[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.size..self.size + bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len();
    }
}

/// Writes the RawSocket prefix of a frame of `length` octets; 2^24 is written as 0 with the X bit.
pub(crate) fn put_rawsocket_prefix(frame: &mut [u8], frame_type: u8, length: usize) {
    debug_assert!(length <= Framing::MESSAGE_SIZE_MAX);
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    frame[0] = (frame[0] << 3) | frame_type;
}

/// Moves everything from `from` on so that it begins at `to`.
fn move_tail(out: &mut Vec<u8>, from: usize, to: usize) {
    let size = out.len();
    if to > from {
        out.resize(size + (to - from), 0);
    }
    if to != from {
        out.copy_within(from..size, to);
        out.truncate(to + size - from);
    }
}

/// RawSocket frame type of a WAMP message.
pub(crate) const MESSAGE_FRAME: u8 = 0;
/// RawSocket frame type PING.
pub(crate) const PING_FRAME: u8 = 1;
/// RawSocket frame type PONG.
pub(crate) const PONG_FRAME: u8 = 2;

/// WebSocket opcode of a text message.
pub(crate) const OPCODE_TEXT: u8 = 1;
/// WebSocket opcode of a binary message.
pub(crate) const OPCODE_BINARY: u8 = 2;

/// WebSocket header octets reserved before the message is known: right for 126..=65535 octets of
/// payload, the usual EVENT; shorter ones move down by 2, longer ones up by 6.
const HEADER_RESERVED: usize = 4;

/// Header, mask key and length prefix.
const HEAD_RESERVED_MAX: usize = HEADER_RESERVED + 4 + 4;

/// Messages that are looked at for their dialect. A peer that goes on that long understands what we assumed.
const DIALECT_MESSAGES_MAX: u8 = 16;

/// Plain and batched, and JSON batches with the other separator.
const WEBSOCKET_VARIANTS: usize = 2 * SerializerId::COUNT + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(framing: Framing, message: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let mark = framing.begin(&mut out);
        out.extend_from_slice(message);
        assert_eq!(framing.finish(&mut out, mark, 0x37fa213d), Ok(message.len()));
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    #[test]
    fn rawsocket_prefixes() {
        let framing = Framing::rawsocket(SerializerId::Json);
        assert_eq!(frame(framing, b""), [0, 0, 0, 0]);
        assert_eq!(frame(framing, b"abc"), b"\0\0\0\x03abc");
        assert_eq!(frame(framing, &vec![7; (1 << 24) - 1])[..4], [0, 0xFF, 0xFF, 0xFF]);
        assert_eq!(frame(framing, &vec![7; 1 << 24])[..4], [8, 0, 0, 0]);
    }

    #[test]
    fn a_message_too_long_leaves_the_output_as_it_was() {
        for framing in [
            Framing::rawsocket(SerializerId::Cbor),
            Framing::websocket_server(Serializer::CBOR_BATCHED),
            Framing::websocket_client(Serializer::JSON),
        ] {
            let mut out = b"before".to_vec();
            let mark = framing.begin(&mut out);
            out.resize(out.len() + Framing::MESSAGE_SIZE_MAX + 1, 0);
            assert_eq!(framing.finish(&mut out, mark, 0), Err(TooLong { size: (1 << 24) + 1 }));
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn websocket_frames_of_rfc_6455_section_5_7() {
        let server = Framing::websocket_server(Serializer::JSON);
        assert_eq!(frame(server, b"Hello"), b"\x81\x05Hello");
        let client = Framing::websocket_client(Serializer::JSON);
        assert_eq!(frame(client, b"Hello"), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        let binary = Framing::websocket_server(Serializer::CBOR);
        assert_eq!(frame(binary, &[9; 256])[..5], [0x82, 0x7E, 1, 0, 9]);
        assert_eq!(frame(binary, &[9; 65536])[..11], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0, 9]);
        assert_eq!(frame(binary, &[9; 65536]).len(), 65546);
    }

    #[test]
    fn batches_of_one() {
        let cbor = Framing::websocket_server(Serializer::CBOR_BATCHED);
        assert_eq!(frame(cbor, b"ab"), b"\x82\x06\0\0\0\x02ab");
        let json = Framing::websocket_server(Serializer::JSON_BATCHED);
        assert_eq!(frame(json, b"[]"), b"\x81\x03[]\x1e");
        assert_eq!(frame(json.with_separator(Separator::Cancel), b"[]"), b"\x81\x03[]\x18");
    }

    #[test]
    fn indices_are_dense_and_unique() {
        let mut seen = [false; Framing::COUNT];
        let framings = SerializerId::ALL.map(Framing::rawsocket).into_iter().chain(
            Serializer::ALL.into_iter().flat_map(|serializer| {
                [Framing::websocket_server(serializer), Framing::websocket_client(serializer)]
            }),
        );
        let mirrored = [Framing::websocket_server, Framing::websocket_client]
            .map(|new| new(Serializer::JSON_BATCHED).with_separator(Separator::Cancel));
        for framing in framings.chain(mirrored) {
            assert!(!std::mem::replace(&mut seen[framing.index()], true), "{framing:?}");
        }
        assert_eq!(seen, [true; Framing::COUNT]);
    }
}
