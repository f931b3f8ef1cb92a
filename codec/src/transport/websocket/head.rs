//! The head of one WebSocket frame (RFC 6455 §5.2) and everything it can get wrong.

use crate::transport::error::TransportErrorKind;
use crate::transport::framing::{OPCODE_BINARY, OPCODE_TEXT};
use crate::transport::mask::MaskKey;

/// A frame head that passed every check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// The frame begins a compressed message.
    pub(crate) compressed: bool,
    /// The frame begins a text message.
    pub(crate) text: bool,
    /// Octets of payload.
    pub(crate) length: usize,
    /// The mask key; zero, which masks nothing, where frames are not masked.
    pub(crate) mask: MaskKey,
    /// Octets of the head itself.
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// Text, binary or continuation: which of them was expected is checked already.
    Data,
    Close,
    Ping,
    Pong,
}

/// What the next frame may look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// Whether frames are masked.
    pub(crate) mask: MaskRule,
    /// What messages are.
    pub(crate) kind: KindRule,
    /// Within a fragmented message: a data frame must be a continuation.
    pub(crate) fragmented: bool,
    /// Messages may be compressed.
    pub(crate) compressible: bool,
    /// Longest data frame, in octets.
    pub(crate) frame_size_max: usize,
    /// What the current message may still grow by, in octets.
    pub(crate) message_size_left: usize,
}

/// Whether frames are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaskRule {
    /// They come from a client.
    Required,
    /// They come from a server.
    Forbidden,
    /// Either will do.
    Optional,
    /// They come from a client, and are not to be unmasked.
    Kept,
}

/// Whether messages are text or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KindRule {
    Text,
    Binary,
    Either,
}

/// How far a head has been read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// This many octets, counted from the frame's beginning, are needed to say more.
    Needs(usize),
    /// The head is whole; of a control frame, the payload too.
    Complete(Head),
}

impl Head {
    /// Octets that must be at hand before the frame is acted on: control frames are taken whole.
    pub(crate) fn size_at_once(&self) -> usize {
        if self.opcode == Opcode::Data { self.size } else { self.size + self.length }
    }
}

impl Expectation {
    /// Reads the head that `bytes` begins with.
    ///
    /// Checks go from the first octet to the last, so the verdict does not depend on how many
    /// octets have arrived.
    #[inline]
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<Progress, TransportErrorKind> {
        let Some(&[first, second]) = bytes.first_chunk::<2>() else { return Ok(Progress::Needs(2)) };
        let fin = first & FIN != 0;
        let opcode = self.opcode(first)?;
        self.check_second(opcode, fin, second)?;
        let mask_size = usize::from(second & MASKED) >> 5;
        let size = 2 + length_size(second) + mask_size;
        let Some(head) = bytes.get(..size) else { return Ok(Progress::Needs(size)) };
        let length = read_length(second, &head[2..])?;
        if opcode == Opcode::Data {
            self.check_length(length)?;
        }
        let mask = match head.last_chunk() {
            Some(mask) if mask_size > 0 && self.mask != MaskRule::Kept => *mask,
            _ => [0; 4],
        };
        let (compressed, text) = (first & RSV1 != 0, first & 0x0F == OPCODE_TEXT);
        let head = Head { opcode, fin, compressed, text, length, mask, size };
        if bytes.len() < head.size_at_once() {
            return Ok(Progress::Needs(head.size_at_once()));
        }
        Ok(Progress::Complete(head))
    }

    fn opcode(&self, first: u8) -> Result<Opcode, TransportErrorKind> {
        if first & RESERVED_BITS != 0 && !self.begins_compressed(first) {
            return Err(TransportErrorKind::ReservedBits);
        }
        let kind = match first & 0x0F {
            OPCODE_CONTINUATION if self.fragmented => return Ok(Opcode::Data),
            OPCODE_CONTINUATION => return Err(TransportErrorKind::ContinuationUnexpected),
            OPCODE_TEXT => KindRule::Text,
            OPCODE_BINARY => KindRule::Binary,
            OPCODE_CLOSE => return Ok(Opcode::Close),
            OPCODE_PING => return Ok(Opcode::Ping),
            OPCODE_PONG => return Ok(Opcode::Pong),
            _ => return Err(TransportErrorKind::OpcodeReserved),
        };
        if self.fragmented {
            return Err(TransportErrorKind::ContinuationExpected);
        }
        if kind != self.kind && self.kind != KindRule::Either {
            return Err(TransportErrorKind::OpcodeUnexpected);
        }
        Ok(Opcode::Data)
    }

    /// Whether the reserved bits say what they may say: compressed, in the first frame of a message (RFC 7692 §6).
    fn begins_compressed(&self, first: u8) -> bool {
        self.compressible
            && first & RESERVED_BITS == RSV1
            && matches!(first & 0x0F, OPCODE_TEXT | OPCODE_BINARY)
    }

    fn check_second(&self, opcode: Opcode, fin: bool, second: u8) -> Result<(), TransportErrorKind> {
        if opcode != Opcode::Data && (!fin || second & LENGTH > CONTROL_LENGTH_MAX) {
            return Err(TransportErrorKind::ControlInvalid);
        }
        match (second & MASKED != 0, self.mask) {
            (false, MaskRule::Required | MaskRule::Kept) => Err(TransportErrorKind::MaskMissing),
            (true, MaskRule::Forbidden) => Err(TransportErrorKind::MaskUnexpected),
            _ => Ok(()),
        }
    }

    fn check_length(&self, length: usize) -> Result<(), TransportErrorKind> {
        if length > self.frame_size_max {
            return Err(TransportErrorKind::FrameTooLong);
        }
        if length > self.message_size_left {
            return Err(TransportErrorKind::MessageTooLong);
        }
        Ok(())
    }
}

/// Octets of the extended length.
const fn length_size(second: u8) -> usize {
    match second & LENGTH {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

fn read_length(second: u8, extended: &[u8]) -> Result<usize, TransportErrorKind> {
    let (length, shortest) = match (second & LENGTH, extended) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 126),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 1 << 16)
        }
        (short, _) => (u64::from(short), 0),
    };
    if length < shortest || length >> 63 != 0 {
        return Err(TransportErrorKind::LengthInvalid);
    }
    usize::try_from(length).map_err(|_| TransportErrorKind::FrameTooLong)
}

/// Longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const CONTROL_LENGTH_MAX: u8 = 125;

/// Opcode of a close frame.
pub(crate) const OPCODE_CLOSE: u8 = 8;
/// Opcode of a ping frame.
pub(crate) const OPCODE_PING: u8 = 9;
/// Opcode of a pong frame.
pub(crate) const OPCODE_PONG: u8 = 10;

const OPCODE_CONTINUATION: u8 = 0;
const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Expectation = Expectation {
        mask: MaskRule::Required,
        kind: KindRule::Text,
        fragmented: false,
        compressible: false,
        frame_size_max: 1 << 20,
        message_size_left: 1 << 19,
    };
    const CLIENT: Expectation = Expectation { mask: MaskRule::Forbidden, ..SERVER };

    fn fault(expectation: Expectation, bytes: &[u8]) -> Option<TransportErrorKind> {
        expectation.read(bytes).err()
    }

    #[test]
    fn every_fault_of_a_head_is_named() {
        use TransportErrorKind::*;
        let binary = Expectation { kind: KindRule::Binary, ..CLIENT };
        let fragmented = Expectation { fragmented: true, ..CLIENT };
        let compressible = Expectation { compressible: true, ..CLIENT };
        let compressible_fragmented = Expectation { compressible: true, ..fragmented };
        for (expectation, bytes, kind) in [
            (CLIENT, &[0xC1, 0][..], ReservedBits),
            (CLIENT, &[0x91, 0], ReservedBits),
            (compressible, &[0xE1, 0], ReservedBits),
            (compressible, &[0xC9, 0], ReservedBits),
            (compressible_fragmented, &[0xC0, 0], ReservedBits),
            (CLIENT, &[0x83, 0], OpcodeReserved),
            (CLIENT, &[0x8F, 0], OpcodeReserved),
            (CLIENT, &[0x82, 0], OpcodeUnexpected),
            (binary, &[0x81, 0], OpcodeUnexpected),
            (CLIENT, &[0x80, 0], ContinuationUnexpected),
            (fragmented, &[0x81, 0], ContinuationExpected),
            (SERVER, &[0x81, 5], MaskMissing),
            (CLIENT, &[0x81, 0x85], MaskUnexpected),
            (CLIENT, &[0x09, 0], ControlInvalid),
            (CLIENT, &[0x89, 126], ControlInvalid),
            (CLIENT, &[0x81, 126, 0, 125], LengthInvalid),
            (CLIENT, &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], LengthInvalid),
            (CLIENT, &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthInvalid),
            (CLIENT, &[0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 1], FrameTooLong),
            (CLIENT, &[0x81, 127, 0, 0, 0, 0, 0, 0x08, 0, 1], MessageTooLong),
        ] {
            assert_eq!(fault(expectation, bytes), Some(kind), "{bytes:x?}");
        }
    }

    #[test]
    fn asks_for_what_is_missing() {
        for (bytes, needs) in [
            (&[][..], 2),
            (&[0x81], 2),
            (&[0x81, 0x85], 6),
            (&[0x81, 0xFE], 8),
            (&[0x81, 0xFF], 14),
            (&[0x89, 0x83, 1, 2, 3, 4], 9),
        ] {
            assert!(matches!(SERVER.read(bytes), Ok(Progress::Needs(size)) if size == needs), "{bytes:x?}");
        }
    }
}
