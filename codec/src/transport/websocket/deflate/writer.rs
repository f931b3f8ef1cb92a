//! Frames made for one connection: compressed, fragmented, or masked by a server.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::{DeflateOptions, Direction, FLUSH_TAIL};
use crate::transport::framing::{OPCODE_BINARY, OPCODE_TEXT, WebSocketHeader};
use crate::transport::mask::{self, MaskKeys};

/// Makes the frames of a WebSocket whose peer does not get what [`Framing`](crate::transport::Framing) makes for everybody.
#[derive(Debug)]
pub struct FrameWriter {
    kind: FrameKind,
    /// Of a compressing connection that refers to earlier messages, as soon as `alone_left` is 0.
    own: Option<Compressor>,
    /// Messages still to be compressed by themselves, which the peer need not know: most of those who come and go
    /// again get no more, and own nothing.
    alone_left: u16,
    mask_keys: Option<MaskKeys>,
}

/// What decides the octets that a [`FrameWriter`] makes, apart from what it wrote before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameKind {
    deflate: Option<Deflation>,
    fragment_size_max: usize,
    masked: bool,
}

/// How messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deflation {
    direction: Direction,
    level: u8,
    memory_level: u8,
    size_min: usize,
}

/// What the writers of one thread share: compressors without memory of earlier messages, and room.
#[derive(Debug, Default)]
pub struct Compressors {
    idle: Vec<Compressor>,
    compressed: Vec<u8>,
}

struct Compressor {
    deflation: Deflation,
    state: Deflate,
}

impl FrameWriter {
    /// A writer for what was agreed; none if everybody's frames will do. Fragments of 0 octets are no fragments.
    pub(crate) fn new(
        outgoing: Option<(Direction, &DeflateOptions)>,
        fragment_size_max: usize,
        mask_keys: Option<MaskKeys>,
        is_server: bool,
    ) -> Option<FrameWriter> {
        let deflate = outgoing.map(|(direction, options)| Deflation {
            direction,
            level: options.level.clamp(1, 9),
            memory_level: options.memory_level.clamp(1, 9),
            size_min: options.size_min,
        });
        let masked = mask_keys.is_some();
        let fragment_size_max = if fragment_size_max == 0 { usize::MAX } else { fragment_size_max };
        let kind = FrameKind { deflate, fragment_size_max, masked };
        let is_plain = deflate.is_none() && fragment_size_max == usize::MAX && masked != is_server;
        (!is_plain).then_some(FrameWriter { kind, own: None, alone_left: ALONE_AT_FIRST, mask_keys })
    }

    /// What tells writers apart that make the same octets of the same frame; none if what this one makes depends on what it made before.
    pub fn shared_kind(&self) -> Option<FrameKind> {
        let takes_over = self.kind.deflate.is_some_and(|deflate| deflate.direction.takeover);
        let refers_back = takes_over && self.alone_left == 0;
        (!refers_back && !self.kind.masked).then_some(self.kind)
    }

    /// The connection gets what another writer of the same kind made of a message of so many octets.
    pub fn share(&mut self, payload_size: usize) {
        if self.kind.deflate.is_some_and(|deflate| payload_size >= deflate.size_min) {
            self.alone_left = self.alone_left.saturating_sub(1);
        }
    }

    /// Appends the message in `frame` to `out`, as this connection's peer gets it.
    ///
    /// `frame` is one whole message as [`Framing::finish`](crate::transport::Framing::finish) leaves it, of a client's
    /// framing with mask key 0.
    pub fn write(&mut self, frame: &[u8], compressors: &mut Compressors, out: &mut Vec<u8>) {
        let opcode = frame[0] & 0x0F;
        debug_assert!(matches!(opcode, OPCODE_TEXT | OPCODE_BINARY));
        let payload = &frame[WebSocketHeader::size_of(frame)..];
        match self.kind.deflate.filter(|deflate| payload.len() >= deflate.size_min) {
            None => self.put_frames(opcode, payload, out),
            Some(deflation) => {
                let mut compressed = std::mem::take(&mut compressors.compressed);
                compressed.clear();
                self.compress(deflation, payload, compressors, &mut compressed);
                self.put_frames(RSV1 | opcode, &compressed, out);
                compressors.compressed = compressed;
            }
        }
    }

    fn compress(
        &mut self,
        deflation: Deflation,
        payload: &[u8],
        shared: &mut Compressors,
        out: &mut Vec<u8>,
    ) {
        if deflation.direction.takeover && self.alone_left == 0 {
            self.own.get_or_insert_with(|| Compressor::new(deflation)).compress(payload, out);
        } else {
            self.alone_left = self.alone_left.saturating_sub(1);
            shared.compress_alone(deflation, payload, out);
        }
    }

    fn put_frames(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
        let mut opcode = opcode;
        let mut rest = payload;
        loop {
            let (fragment, later) = rest.split_at(rest.len().min(self.kind.fragment_size_max));
            let key = self.mask_keys.as_mut().map(MaskKeys::next);
            let start = out.len();
            out.extend_from_slice(WebSocketHeader::new(opcode, fragment.len(), key).as_bytes());
            if !later.is_empty() {
                out[start] &= !FIN;
            }
            let start = out.len();
            out.extend_from_slice(fragment);
            if let Some(key) = key {
                mask::apply(&mut out[start..], key);
            }
            if later.is_empty() {
                return;
            }
            (opcode, rest) = (OPCODE_CONTINUATION, later);
        }
    }

    /// Forgets the messages written so far, and gives back the memory that took, for a while. The peer need not know.
    pub fn forget(&mut self) {
        self.own = None;
        self.alone_left = ALONE_AFTER_FORGETTING;
    }

    /// Whether earlier messages are remembered, which takes about 350 KiB.
    pub fn remembers(&self) -> bool {
        self.own.is_some()
    }
}

impl Compressors {
    /// Compresses a message that refers to no other one.
    fn compress_alone(&mut self, deflation: Deflation, payload: &[u8], out: &mut Vec<u8>) {
        let direction = Direction { takeover: false, ..deflation.direction };
        let compressor = self.shared(Deflation { direction, ..deflation });
        compressor.compress(payload, out);
        compressor.state.reset();
    }

    /// Gives back room that only a long message needed.
    pub fn trim(&mut self) {
        if self.compressed.capacity() > ROOM_MAX {
            self.compressed = Vec::new();
        }
    }

    /// The compressor of this kind, which is the first from now on.
    fn shared(&mut self, deflation: Deflation) -> &mut Compressor {
        match self.idle.iter().position(|compressor| compressor.deflation == deflation) {
            Some(at) => self.idle[..=at].rotate_right(1),
            None => {
                self.idle.truncate(IDLE_MAX - 1);
                self.idle.insert(0, Compressor::new(deflation));
            }
        }
        &mut self.idle[0]
    }
}

impl Compressor {
    fn new(deflation: Deflation) -> Compressor {
        let config = DeflateConfig {
            level: deflation.level.into(),
            // Negative: without header.
            window_bits: -i32::from(deflation.direction.window_bits),
            mem_level: deflation.memory_level.into(),
            ..DeflateConfig::default()
        };
        Compressor { deflation, state: Deflate::new_with_config(config) }
    }

    /// Appends `payload`, flushed, without the tail of the flush.
    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let mut rest = payload;
        loop {
            let start = out.len();
            let room = (rest.len() + ROOM_SPARE).min(ROOM_MAX);
            out.resize(start + room, 0);
            let (read_before, written_before) = (self.state.total_in(), self.state.total_out());
            let status = self.state.compress(rest, &mut out[start..], DeflateFlush::SyncFlush);
            let written = (self.state.total_out() - written_before) as usize;
            rest = &rest[(self.state.total_in() - read_before) as usize..];
            out.truncate(start + written);
            assert!(status.is_ok(), "a stream that is never finished is always in a state to go on");
            if written < room {
                break;
            }
        }
        debug_assert!(rest.is_empty());
        if out.ends_with(&FLUSH_TAIL) {
            out.truncate(out.len() - FLUSH_TAIL.len());
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Compressor").field("deflation", &self.deflation).finish_non_exhaustive()
    }
}

/// Set in the first frame of a compressed message.
const RSV1: u8 = 0x40;

const FIN: u8 = 0x80;

const OPCODE_CONTINUATION: u8 = 0;

/// Messages that a new connection gets compressed by themselves: what is said while it joins, and a farewell.
const ALONE_AT_FIRST: u16 = 4;

/// The same after a writer had to forget: memory that too many want goes round seldom, since whoever gets it has to have it made, and what
/// is compressed by itself is compressed once for all.
const ALONE_AFTER_FORGETTING: u16 = 1024;

/// Kinds of compressors kept, those used last: one per listener that compresses, and per window that its clients ask for.
const IDLE_MAX: usize = 8;

/// What a flush may add to incompressible octets, at the least.
const ROOM_SPARE: usize = 64;

/// Octets of output made room for at once.
const ROOM_MAX: usize = 64 << 10;
