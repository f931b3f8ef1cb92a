//! RawSocket: a handshake of four octets each way, then length-prefixed frames.
//!
//! Never sends a PING on its own: Autobahn|Python and Crossbar.io read its type as part of the
//! length and drop the connection.

use std::mem;

use super::Incoming;
use super::error::TransportErrorKind;
use super::framing::{Framing, MESSAGE_FRAME, PING_FRAME, PONG_FRAME, TooLong, put_rawsocket_prefix};
use super::gather::{fill, hand_over};
use crate::serializer::{Serializer, SerializerId, SerializerSet};

/// What a RawSocket listener accepts.
#[derive(Clone, Copy, Debug)]
pub struct RawSocketServerOptions {
    /// The serializers spoken; batched ones do not exist here and are ignored.
    pub serializers: SerializerSet,
    /// The longest message accepted. Only powers of two from 512 to 2^24 octets can be announced:
    /// rounded up to the next one, and that is what is enforced.
    pub message_size_max: usize,
    /// Clients that accept only shorter messages are refused with error 2.
    pub peer_message_size_min: usize,
}

/// What a RawSocket client asks for.
#[derive(Clone, Copy, Debug)]
pub struct RawSocketClientOptions {
    /// The longest message accepted; rounded as in [`RawSocketServerOptions::message_size_max`].
    pub message_size_max: usize,
}

impl Default for RawSocketServerOptions {
    fn default() -> RawSocketServerOptions {
        RawSocketServerOptions {
            serializers: SerializerSet::ALL,
            message_size_max: Framing::MESSAGE_SIZE_MAX,
            peer_message_size_min: LIMIT_MIN,
        }
    }
}

impl Default for RawSocketClientOptions {
    fn default() -> RawSocketClientOptions {
        RawSocketClientOptions { message_size_max: Framing::MESSAGE_SIZE_MAX }
    }
}

/// A handshake whose four octets from the peer are not complete yet.
#[derive(Debug)]
pub(crate) struct Handshake {
    octets: [u8; HANDSHAKE_SIZE],
    filled: u8,
    own_exponent: u8,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Server { serializers: SerializerSet, peer_exponent_min: u8 },
    Client { serializer: SerializerId },
}

impl Handshake {
    pub(crate) fn accept(options: &RawSocketServerOptions) -> Handshake {
        let role = Role::Server {
            serializers: options.serializers,
            peer_exponent_min: exponent(options.peer_message_size_min),
        };
        Handshake::new(role, options.message_size_max)
    }

    /// Appends the request to `out`.
    pub(crate) fn dial(
        serializer: SerializerId,
        options: &RawSocketClientOptions,
        out: &mut Vec<u8>,
    ) -> Handshake {
        let handshake = Handshake::new(Role::Client { serializer }, options.message_size_max);
        out.extend_from_slice(&handshake_octets(handshake.own_exponent, Serializer::plain(serializer)));
        handshake
    }

    fn new(role: Role, message_size_max: usize) -> Handshake {
        let own_exponent = exponent(message_size_max);
        Handshake { octets: [0; HANDSHAKE_SIZE], filled: 0, own_exponent, role }
    }

    pub(crate) const fn is_server(&self) -> bool {
        matches!(self.role, Role::Server { .. })
    }

    /// Reads the peer's octets; none until all are here. A server's reply replaces `reply`.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        reply: &mut Vec<u8>,
    ) -> Result<Option<RawSocket>, TransportErrorKind> {
        while usize::from(self.filled) < HANDSHAKE_SIZE {
            let Some(&octet) = input.get(*consumed) else { return Ok(None) };
            if self.filled == 0 && octet != MAGIC {
                return Err(TransportErrorKind::MagicMissing);
            }
            self.octets[usize::from(self.filled)] = octet;
            self.filled += 1;
            *consumed += 1;
        }
        let [_, parameters, reserved @ ..] = self.octets;
        if reserved != [0, 0] {
            return Err(TransportErrorKind::ReservedOctets);
        }
        self.agree(parameters >> 4, parameters & 0x0F, reply).map(Some)
    }

    fn agree(
        &self,
        peer_exponent: u8,
        serializer_id: u8,
        reply: &mut Vec<u8>,
    ) -> Result<RawSocket, TransportErrorKind> {
        let serializer = match self.role {
            Role::Server { serializers, peer_exponent_min } => {
                let serializer = serializers
                    .by_rawsocket_id(serializer_id)
                    .ok_or(TransportErrorKind::SerializerUnsupported)?;
                if peer_exponent < peer_exponent_min {
                    return Err(TransportErrorKind::LengthUnacceptable);
                }
                reply.clear();
                reply.extend_from_slice(&handshake_octets(self.own_exponent, serializer));
                serializer.id
            }
            Role::Client { .. } if serializer_id == 0 => {
                return Err(TransportErrorKind::Refused(peer_exponent));
            }
            Role::Client { serializer } => {
                if serializer_id != Serializer::plain(serializer).rawsocket_id() {
                    return Err(TransportErrorKind::SerializerMismatch);
                }
                serializer
            }
        };
        Ok(RawSocket::new(serializer, self.own_exponent, peer_exponent))
    }
}

/// The octets that refuse a handshake with error `number`.
pub(crate) const fn refusal(number: u8) -> [u8; HANDSHAKE_SIZE] {
    [MAGIC, number << 4, 0, 0]
}

/// An open RawSocket.
#[derive(Debug)]
pub(crate) struct RawSocket {
    /// The beginning of a frame that is not whole yet, prefix included; else empty, unallocated.
    partial: Vec<u8>,
    framing: Framing,
    own_exponent: u8,
    peer_exponent: u8,
    opened: bool,
    /// Messages that may still change the framing.
    unsettled: u8,
}

impl RawSocket {
    fn new(serializer: SerializerId, own_exponent: u8, peer_exponent: u8) -> RawSocket {
        let framing = Framing::rawsocket(serializer);
        let unsettled = framing.unsettled_messages();
        RawSocket { partial: Vec::new(), framing, own_exponent, peer_exponent, opened: false, unsettled }
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the framing stays as it is from now on.
    pub(crate) const fn is_settled(&self) -> bool {
        self.unsettled == 0
    }

    /// Takes over the dialect of the peer as soon as a message tells it.
    #[inline]
    pub(crate) fn settle(&mut self, incoming: &Option<Incoming<'_>>) {
        let Some(Incoming::Message(message)) = incoming else { return };
        if self.unsettled == 0 {
            return;
        }
        self.unsettled -= 1;
        if let Some(framing) = self.framing.told_by(message) {
            (self.framing, self.unsettled) = (framing, 0);
        }
    }

    /// The longest message the peer accepts, in octets.
    pub(crate) const fn peer_limit(&self) -> usize {
        limit(self.peer_exponent)
    }

    pub(crate) fn next<'a>(
        &mut self,
        input: &'a [u8],
        consumed: &mut usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Incoming<'a>>, TransportErrorKind> {
        if !self.opened {
            self.opened = true;
            return Ok(Some(Incoming::Opened { serializer: self.framing.serializer() }));
        }
        if self.partial.is_empty()
            && let Some(frame) = self.whole(&input[*consumed..])?
        {
            *consumed += frame.len();
            return Ok(Some(deliver(frame, scratch)));
        }
        if !self.gather(input, consumed)? {
            return Ok(None);
        }
        hand_over(mem::take(&mut self.partial), scratch);
        Ok(Some(deliver_gathered(scratch)))
    }

    /// The frame, prefix included, that `rest` begins with; none if it is not whole.
    fn whole<'a>(&self, rest: &'a [u8]) -> Result<Option<&'a [u8]>, TransportErrorKind> {
        match rest.first_chunk::<PREFIX_SIZE>() {
            Some(prefix) => Ok(rest.get(..PREFIX_SIZE + self.frame_length(*prefix)?)),
            None => Ok(None),
        }
    }

    /// Takes octets of the current frame out of the input; true once it is whole.
    fn gather(&mut self, input: &[u8], consumed: &mut usize) -> Result<bool, TransportErrorKind> {
        fill(&mut self.partial, PREFIX_SIZE, input, consumed);
        let Some(prefix) = self.partial.first_chunk::<PREFIX_SIZE>() else { return Ok(false) };
        let size = PREFIX_SIZE + self.frame_length(*prefix)?;
        fill(&mut self.partial, size, input, consumed);
        Ok(self.partial.len() == size)
    }

    /// The length a prefix announces, without the prefix.
    fn frame_length(&self, prefix: [u8; PREFIX_SIZE]) -> Result<usize, TransportErrorKind> {
        let word = u32::from_be_bytes(prefix);
        let (head, length) = ((word >> 24) as u8, word as usize & 0x00FF_FFFF);
        if head & !EXTENDED > PONG_FRAME {
            return Err(TransportErrorKind::FrameReserved);
        }
        let length = match (head & EXTENDED != 0, length) {
            (false, length) => length,
            (true, 0) => 1 << 24,
            (true, _) => return Err(TransportErrorKind::FrameLengthInvalid),
        };
        if length > limit(self.own_exponent) {
            return Err(TransportErrorKind::MessageTooLong);
        }
        Ok(length)
    }
}

/// Appends a PING with `payload`, whose peer will answer with the same payload.
pub(crate) fn ping(payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    if payload.len() > Framing::MESSAGE_SIZE_MAX {
        return Err(TooLong { size: payload.len() });
    }
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_SIZE]);
    put_rawsocket_prefix(&mut out[start..], PING_FRAME, payload.len());
    out.extend_from_slice(payload);
    Ok(())
}

/// Hands out a frame that lies whole in the input; `scratch` is used for the answer to a PING only.
fn deliver<'a>(frame: &'a [u8], scratch: &'a mut Vec<u8>) -> Incoming<'a> {
    match frame[0] & FRAME_TYPE {
        MESSAGE_FRAME => Incoming::Message(&frame[PREFIX_SIZE..]),
        PING_FRAME => {
            scratch.clear();
            scratch.extend_from_slice(frame);
            deliver_gathered(scratch)
        }
        _ => Incoming::Pong(&frame[PREFIX_SIZE..]),
    }
}

/// As [`deliver`], of a frame of our own: a PING becomes its PONG in place.
fn deliver_gathered(frame: &mut [u8]) -> Incoming<'_> {
    match frame[0] & FRAME_TYPE {
        MESSAGE_FRAME => Incoming::Message(&frame[PREFIX_SIZE..]),
        PING_FRAME => {
            frame[0] = (frame[0] & !FRAME_TYPE) | PONG_FRAME;
            Incoming::Reply(frame)
        }
        _ => Incoming::Pong(&frame[PREFIX_SIZE..]),
    }
}

const fn handshake_octets(exponent: u8, serializer: Serializer) -> [u8; HANDSHAKE_SIZE] {
    [MAGIC, exponent << 4 | serializer.rawsocket_id(), 0, 0]
}

/// The smallest announceable exponent whose limit is at least `size` octets.
fn exponent(size: usize) -> u8 {
    let size = size.clamp(LIMIT_MIN, Framing::MESSAGE_SIZE_MAX);
    (size.next_power_of_two().trailing_zeros() - LIMIT_MIN.trailing_zeros()) as u8
}

const fn limit(exponent: u8) -> usize {
    LIMIT_MIN << exponent
}

/// First octet of a handshake.
const MAGIC: u8 = 0x7F;

const HANDSHAKE_SIZE: usize = 4;

const PREFIX_SIZE: usize = 4;

/// The type bits of a frame's first octet.
const FRAME_TYPE: u8 = 0x07;

/// The bit of a frame's first octet that turns a length of 0 into 2^24.
const EXTENDED: u8 = 0x08;

/// The shortest limit that can be announced, in octets.
const LIMIT_MIN: usize = 512;

const _: () = assert!(limit(15) == Framing::MESSAGE_SIZE_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_round_up_to_what_can_be_announced() {
        for (size, announced) in [
            (0, 512),
            (512, 512),
            (513, 1024),
            (1_000_000, 1 << 20),
            (1 << 24, 1 << 24),
            (usize::MAX, 1 << 24),
        ] {
            assert_eq!(limit(exponent(size)), announced, "{size}");
        }
    }

    #[test]
    fn an_open_rawsocket_is_small() {
        assert!(size_of::<RawSocket>() <= 40);
    }
}
