//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692): an open connection, either side.

mod deflate;
mod handshake;
mod head;
mod payload;
mod url;

use self::deflate::Inflater;
pub(super) use self::deflate::{Agreement, Direction};
pub use self::deflate::{Compressors, DeflateOptions, FrameKind, FrameWriter};
pub(crate) use self::handshake::{ClientHandshake, Handshaken, ServerHandshake};
pub use self::handshake::{Opening, TrackingCookie, WebSocketClientOptions, WebSocketServerOptions};
use self::head::{
    CONTROL_LENGTH_MAX, Expectation, Head, KindRule, MaskRule, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG,
    Opcode, Progress,
};
use self::payload::{Found, Rare};
pub use self::url::{InvalidUrl, WebSocketUrl};
use super::Incoming;
use super::error::{TransportErrorKind, close_code};
use super::framing::{Carrier, Framing, TooLong, WebSocketHeader};
use super::gather::fill;
use super::mask::{self, MaskKey, MaskKeys};
use crate::limits::MESSAGE_SIZE_MAX;
use crate::serializer::Serializer;

/// What a WebSocket side takes at most. Values beyond [`WebSocketLimits::SIZE_MAX`] count as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Longest HTTP head of the handshake, in octets: what a stranger can make us hold.
    pub head_size_max: usize,
    /// Longest frame, in octets.
    pub frame_size_max: usize,
    /// Longest message, in octets, over all its frames; of a batch, all of it.
    pub message_size_max: usize,
    /// Whether text is checked to be UTF-8. Only to be turned off if the decoder checks it.
    pub checks_text: bool,
}

impl WebSocketLimits {
    /// Hard maximum of every size: 16 MiB. A longer message could not be sent on to anybody.
    pub const SIZE_MAX: usize = MESSAGE_SIZE_MAX;
}

impl Default for WebSocketLimits {
    fn default() -> WebSocketLimits {
        WebSocketLimits {
            head_size_max: 8 << 10,
            frame_size_max: WebSocketLimits::SIZE_MAX,
            message_size_max: WebSocketLimits::SIZE_MAX,
            checks_text: true,
        }
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// Allocated only while something is in pieces, or what the handshake left has not been taken.
    rare: Option<Box<Rare>>,
    /// Where the peer may compress.
    inflater: Option<Box<Inflater>>,
    /// Keys of the frames a client sends.
    mask_keys: MaskKeys,
    /// Octets of the current data frame's payload still to come.
    remaining: u32,
    /// The key they are masked with; zero on the client side.
    mask: MaskKey,
    /// Payload octets of the current message, as its frame heads announced them.
    message_size: u32,
    frame_size_max: u32,
    message_size_max: u32,
    framing: Framing,
    phase: Phase,
    /// Between the head of a data frame and its end.
    in_frame: bool,
    /// The current data frame ends its message.
    fin: bool,
    /// Between the frames of a message.
    fragmented: bool,
    /// The current message is compressed.
    compressed: bool,
    checks_text: bool,
    /// Messages that may still change the framing.
    unsettled: u8,
    liberties: Liberties,
}

/// What deviates from RFC 6455, or from WAMP, because it was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Liberties {
    /// Frames of the client need no mask.
    unmasked_accepted: bool,
    /// The client's masks are not undone.
    masks_kept: bool,
    /// The server's control frames are masked.
    masks_frames: bool,
    /// The client's close frame is answered with its like; else with code 1000.
    close_echoed: bool,
    /// Messages are not WAMP: text or binary, as they come; is text checked?
    any_kind: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The handshake is over, which nobody has been told yet.
    Opening,
    Open,
    /// Our close frame is sent: no frame may follow it.
    Closing,
    /// The peer closed with this code, which nobody has been told yet.
    PeerClosing(u16),
    /// Whatever still arrives is dropped.
    Closed,
}

impl WebSocket {
    pub(crate) fn new(framing: Framing, limits: &WebSocketLimits, mask_keys: MaskKeys) -> WebSocket {
        let clamp = |size: usize| size.min(WebSocketLimits::SIZE_MAX) as u32;
        WebSocket {
            rare: None,
            inflater: None,
            mask_keys,
            remaining: 0,
            mask: [0; 4],
            message_size: 0,
            frame_size_max: clamp(limits.frame_size_max),
            message_size_max: clamp(limits.message_size_max),
            framing,
            phase: Phase::Opening,
            in_frame: false,
            fin: false,
            fragmented: false,
            compressed: false,
            checks_text: limits.checks_text && framing.serializer().is_text(),
            unsettled: framing.unsettled_messages(),
            liberties: Liberties::default(),
        }
    }

    /// Takes what deviates from the RFC into use, on the server's side.
    pub(crate) fn with_liberties(mut self, options: &WebSocketServerOptions) -> WebSocket {
        self.liberties = Liberties {
            unmasked_accepted: options.unmasked_accepted,
            masks_kept: options.masks_kept,
            masks_frames: options.masks_frames,
            close_echoed: options.close_echoed,
            any_kind: options.any_messages.then_some(options.limits.checks_text),
        };
        self
    }

    /// Keeps the header fields of the client's request for [`WebSocket::take_request_headers`].
    pub(crate) fn with_request_headers(mut self, headers: Vec<(Box<str>, Box<str>)>) -> WebSocket {
        self.rare.get_or_insert_default().request_headers = headers;
        self
    }

    /// Takes what was agreed on compression into use. `fragment_size_max`: 0 is no limit.
    pub(crate) fn with_extensions(
        mut self,
        deflate: Option<(Agreement, &DeflateOptions)>,
        fragment_size_max: usize,
    ) -> WebSocket {
        self.inflater =
            deflate.map(|(agreement, options)| Box::new(Inflater::new(agreement.incoming, options)));
        let is_server = self.is_server();
        let mask_keys = self.masks_frames().then(|| MaskKeys::new(self.mask_keys.next_u64()));
        let outgoing = deflate.map(|(agreement, options)| (agreement.outgoing, options));
        if let Some(writer) = FrameWriter::new(outgoing, fragment_size_max, mask_keys, is_server) {
            self.rare.get_or_insert_default().writer = Some(Box::new(writer));
        }
        self
    }

    /// Hands the header fields out; afterwards there are none.
    pub(crate) fn take_request_headers(&mut self) -> Vec<(Box<str>, Box<str>)> {
        self.take_rare(|rare| std::mem::take(&mut rare.request_headers))
    }

    /// Hands the writer out; afterwards there is none.
    pub(crate) fn take_writer(&mut self) -> Option<Box<FrameWriter>> {
        self.take_rare(|rare| rare.writer.take())
    }

    fn take_rare<T: Default>(&mut self, take: impl FnOnce(&mut Rare) -> T) -> T {
        let Some(rare) = &mut self.rare else { return T::default() };
        let taken = take(rare);
        if rare.is_empty() {
            self.rare = None;
        }
        taken
    }

    /// Lets compressed messages inflate to so many octets at most.
    pub(crate) fn limit_inflation(&mut self, size_max: Option<usize>) {
        if let Some(inflater) = &mut self.inflater {
            inflater.limit(size_max);
        }
    }

    /// Whether messages that were received wait inside.
    pub(crate) fn is_holding(&self) -> bool {
        self.inflater.as_ref().is_some_and(|inflater| inflater.is_holding())
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

    pub(crate) fn next_mask_key(&mut self) -> u32 {
        u32::from_be_bytes(self.mask_keys.next())
    }

    pub(crate) fn next<'a>(
        &mut self,
        input: &'a [u8],
        consumed: &mut usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Incoming<'a>>, TransportErrorKind> {
        loop {
            match self.phase {
                Phase::Open | Phase::Closing => {}
                _ => return Ok(self.announce(input, consumed)),
            }
            if !self.in_frame {
                let Some(head) = self.read_head(input, consumed, scratch)? else { return Ok(None) };
                match head.opcode {
                    Opcode::Data => self.enter(head),
                    Opcode::Pong => return Ok(Some(Incoming::Pong(scratch))),
                    _ if self.answer(head.opcode, scratch)? => {
                        return Ok(Some(Incoming::Reply(scratch)));
                    }
                    _ => continue,
                }
            }
            match self.payload(input, consumed, scratch)? {
                Found::Pending => return Ok(None),
                Found::Again => {}
                Found::Input(range) => return Ok(Some(Incoming::Message(&input[range]))),
                Found::Scratch(start) => return Ok(Some(Incoming::Message(&scratch[start..]))),
            }
        }
    }

    /// What is to be said outside the phases in which frames are read.
    fn announce(&mut self, input: &[u8], consumed: &mut usize) -> Option<Incoming<'static>> {
        match self.phase {
            Phase::Opening => {
                self.phase = Phase::Open;
                Some(Incoming::Opened { serializer: self.framing.serializer() })
            }
            Phase::PeerClosing(code) => {
                self.phase = Phase::Closed;
                Some(Incoming::PeerClosing { code })
            }
            Phase::Open | Phase::Closing | Phase::Closed => {
                *consumed = input.len();
                None
            }
        }
    }

    /// Reads the next head; of a control frame, its payload into `scratch`.
    fn read_head(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Head>, TransportErrorKind> {
        let expectation = self.expectation();
        if self.rare.as_ref().is_none_or(|rare| rare.head.is_empty()) {
            let rest = &input[*consumed..];
            if let Progress::Complete(head) = expectation.read(rest)? {
                *consumed += head.size_at_once();
                expose_control(&head, rest, scratch);
                return Ok(Some(head));
            }
            if rest.is_empty() {
                return Ok(None);
            }
        }
        let Some(head) = self.gather_head(&expectation, input, consumed)? else { return Ok(None) };
        let Some(rare) = &mut self.rare else { return Ok(None) };
        expose_control(&head, &rare.head, scratch);
        rare.head = Vec::new();
        if rare.is_empty() {
            self.rare = None;
        }
        Ok(Some(head))
    }

    fn gather_head(
        &mut self,
        expectation: &Expectation,
        input: &[u8],
        consumed: &mut usize,
    ) -> Result<Option<Head>, TransportErrorKind> {
        let rare = self.rare.get_or_insert_default();
        loop {
            match expectation.read(&rare.head)? {
                Progress::Complete(head) => return Ok(Some(head)),
                Progress::Needs(size) => {
                    fill(&mut rare.head, size, input, consumed);
                    if rare.head.len() < size {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn expectation(&self) -> Expectation {
        Expectation {
            mask: self.mask_rule(),
            kind: match self.framing.serializer().is_text() {
                _ if self.liberties.any_kind.is_some() => KindRule::Either,
                true => KindRule::Text,
                false => KindRule::Binary,
            },
            fragmented: self.fragmented,
            compressible: self.inflater.is_some(),
            frame_size_max: self.frame_size_max as usize,
            message_size_left: (self.message_size_max - self.message_size) as usize,
        }
    }

    fn mask_rule(&self) -> MaskRule {
        match self.liberties {
            _ if !self.is_server() => MaskRule::Forbidden,
            Liberties { unmasked_accepted: true, .. } => MaskRule::Optional,
            Liberties { masks_kept: true, .. } => MaskRule::Kept,
            _ => MaskRule::Required,
        }
    }

    fn enter(&mut self, head: Head) {
        if let Some(checks_text) = self.liberties.any_kind
            && !self.fragmented
        {
            // What is sent next is of the kind that came last.
            self.framing =
                Framing::websocket_server(if head.text { Serializer::JSON } else { Serializer::CBOR });
            self.checks_text = checks_text && head.text;
        }
        // Both fit: the head was checked against limits of 32 bits.
        self.remaining = head.length as u32;
        self.message_size += head.length as u32;
        self.mask = head.mask;
        self.fin = head.fin;
        self.compressed |= head.compressed;
        self.in_frame = true;
    }

    /// Acts on a ping or close frame whose payload is in `scratch`; true if it now holds an answer.
    fn answer(&mut self, opcode: Opcode, scratch: &mut Vec<u8>) -> Result<bool, TransportErrorKind> {
        let answers = self.phase == Phase::Open;
        if opcode == Opcode::Close {
            let code = read_close(scratch)?;
            self.phase = Phase::PeerClosing(code);
            if !self.is_server() {
                // The echo is the code alone: the reason was not ours.
                scratch.truncate(2);
            } else if !self.liberties.close_echoed {
                scratch.clear();
                scratch.extend_from_slice(&close_code::NORMAL.to_be_bytes());
            }
        }
        if answers {
            let opcode = if opcode == Opcode::Close { OPCODE_CLOSE } else { OPCODE_PONG };
            self.wrap_control(opcode, scratch);
        }
        Ok(answers)
    }

    /// Appends a ping with `payload`; nothing once the connection is closing.
    pub(crate) fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        if payload.len() > usize::from(CONTROL_LENGTH_MAX) {
            return Err(TooLong { size: payload.len() });
        }
        if matches!(self.phase, Phase::Opening | Phase::Open) {
            self.put_control(OPCODE_PING, payload, out);
        }
        Ok(())
    }

    /// Appends a close frame, unless one was sent. `reason` is cut to what fits.
    pub(crate) fn close(&mut self, code: u16, reason: &str, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Opening | Phase::Open) {
            return;
        }
        self.phase = Phase::Closing;
        let reason = &reason[..reason.floor_char_boundary(usize::from(CONTROL_LENGTH_MAX) - 2)];
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        self.put_control(OPCODE_CLOSE, &payload, out);
    }

    /// Makes the payload in `frame` a control frame.
    fn wrap_control(&mut self, opcode: u8, frame: &mut Vec<u8>) {
        let mut payload = [0; CONTROL_LENGTH_MAX as usize];
        let length = frame.len();
        payload[..length].copy_from_slice(frame);
        frame.clear();
        self.put_control(opcode, &payload[..length], frame);
    }

    fn put_control(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
        let key = self.masks_frames().then(|| self.mask_keys.next());
        out.extend_from_slice(WebSocketHeader::new(opcode, payload.len(), key).as_bytes());
        let start = out.len();
        out.extend_from_slice(payload);
        mask::apply(&mut out[start..], key.unwrap_or_default());
    }

    fn masks_frames(&self) -> bool {
        !self.is_server() || self.liberties.masks_frames
    }

    fn is_server(&self) -> bool {
        self.framing.carrier() == Carrier::WebSocketServer
    }
}

/// Unmasks the payload of a control frame, which `frame` holds whole, into `scratch`.
fn expose_control(head: &Head, frame: &[u8], scratch: &mut Vec<u8>) {
    if head.opcode != Opcode::Data {
        scratch.clear();
        mask::append_unmasked(scratch, &frame[head.size..head.size_at_once()], head.mask);
    }
}

/// The code of a close frame's payload (RFC 6455 §5.5.1, §7.4).
fn read_close(payload: &[u8]) -> Result<u16, TransportErrorKind> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(close_code::NONE) } else { Err(TransportErrorKind::CloseInvalid) };
    };
    let code = u16::from_be_bytes(*code);
    if !close_code::is_sendable(code) {
        return Err(TransportErrorKind::CloseInvalid);
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(TransportErrorKind::TextInvalid);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(socket: &mut WebSocket, chunk: &[u8]) {
        let (mut consumed, mut scratch) = (0, Vec::new());
        while socket.next(chunk, &mut consumed, &mut scratch).unwrap().is_some() {}
    }

    #[test]
    fn nothing_is_held_between_messages() {
        for (serializer, stream) in [
            (Serializer::JSON, &b"\x01\x02[1\x89\x03abc\x00\x00\x80\x01]"[..]),
            (Serializer::JSON_BATCHED, b"\x01\x02[1\x80\x05]\x1e[]\x1e"),
            (Serializer::CBOR_BATCHED, b"\x02\x03\0\0\0\x80\x0a\x03abc\0\0\0\x02de"),
        ] {
            let framing = Framing::websocket_client(serializer);
            let mut socket = WebSocket::new(framing, &WebSocketLimits::default(), MaskKeys::new(1));
            feed(&mut socket, &[]);
            stream.iter().for_each(|octet| feed(&mut socket, &[*octet]));
            assert!(socket.rare.is_none(), "{serializer}");
        }
    }

    #[test]
    fn memory_follows_what_was_received_not_what_was_announced() {
        let framing = Framing::websocket_client(Serializer::CBOR);
        let mut socket = WebSocket::new(framing, &WebSocketLimits::default(), MaskKeys::new(1));
        feed(&mut socket, b"\x82\x7f\0\0\0\0\x01\0\0\0abc");
        assert!(socket.rare.unwrap().message_capacity() <= 6);
    }
}
