//! Inflating received messages, bounded before memory is taken.

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{DeflateOptions, Direction, FLUSH_TAIL, WINDOW_BITS_MIN};
use crate::transport::error::TransportErrorKind;
use crate::transport::mask::{self, MaskKey};

/// The receiving half of an agreement. Holds about 50 KiB once a message came that others may refer to, else next to nothing.
pub(crate) struct Inflater {
    direction: Direction,
    ratio_max: u32,
    /// Octets that a message may inflate to at most, beside the limit of messages.
    size_max: usize,
    state: Option<Inflate>,
    /// A batch of messages that is being handed out, and how much of it has been.
    batch: Vec<u8>,
    taken: usize,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inflater").field("direction", &self.direction).finish_non_exhaustive()
    }
}

impl Inflater {
    pub(crate) fn new(incoming: Direction, options: &DeflateOptions) -> Inflater {
        Inflater {
            direction: incoming,
            ratio_max: options.inflate_ratio_max,
            size_max: usize::MAX,
            state: None,
            batch: Vec::new(),
            taken: 0,
        }
    }

    /// Lets messages inflate to so many octets at most; none is no limit beside that of messages.
    pub(crate) fn limit(&mut self, size_max: Option<usize>) {
        self.size_max = size_max.unwrap_or(usize::MAX);
    }

    /// Inflates a whole message, masked with `key`, which replaces the contents of `out`.
    pub(crate) fn inflate(
        &mut self,
        compressed: &[u8],
        key: MaskKey,
        size_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TransportErrorKind> {
        out.clear();
        let by_ratio = compressed.len().saturating_mul(self.ratio_max as usize).max(SIZE_FREE);
        let bits = self.direction.window_bits.max(WINDOW_BITS_MIN);
        let mut run = Run {
            state: self.state.take().unwrap_or_else(|| Inflate::new(false, bits)),
            out,
            size_max,
            inflated_max: by_ratio.min(self.size_max),
            ratio_max: self.ratio_max as usize,
            taken: 0,
            ends: 0,
        };
        let mut block = [0; BLOCK];
        for masked in compressed.chunks(BLOCK) {
            let plain = &mut block[..masked.len()];
            plain.copy_from_slice(masked);
            mask::apply(plain, key);
            run.feed(plain)?;
        }
        run.feed(&FLUSH_TAIL)?;
        if self.direction.takeover {
            self.state = Some(run.state);
        }
        Ok(())
    }

    /// Begins to hand out the messages of a batch.
    pub(crate) fn hold(&mut self, batch: Vec<u8>) {
        debug_assert!(!self.is_holding());
        (self.batch, self.taken) = (batch, 0);
    }

    /// Whether there are messages to be handed out.
    pub(crate) fn is_holding(&self) -> bool {
        !self.batch.is_empty()
    }

    /// What has not been handed out yet.
    pub(crate) fn held(&self) -> &[u8] {
        &self.batch[self.taken..]
    }

    /// Octets have been handed out; after the last one nothing is held.
    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.batch.len() {
            (self.batch, self.taken) = (Vec::new(), 0);
        }
    }
}

/// One message being inflated.
struct Run<'a> {
    state: Inflate,
    out: &'a mut Vec<u8>,
    /// Octets that a message may have.
    size_max: usize,
    /// Octets that a compressed one may inflate to.
    inflated_max: usize,
    ratio_max: usize,
    /// Octets of the message that were handed to `feed`.
    taken: usize,
    /// Final blocks met so far.
    ends: u32,
}

impl Run<'_> {
    fn feed(&mut self, mut input: &[u8]) -> Result<(), TransportErrorKind> {
        self.taken += input.len();
        loop {
            let (start, room) = (self.out.len(), self.room(input.len())?);
            self.out.resize(start + room, 0);
            let (read_before, written_before) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, &mut self.out[start..], InflateFlush::SyncFlush)
                .map_err(|_| TransportErrorKind::DeflateInvalid)?;
            let read = (self.state.total_in() - read_before) as usize;
            let written = (self.state.total_out() - written_before) as usize;
            self.out.truncate(start + written);
            input = &input[read..];
            match status {
                Status::StreamEnd => self.begin_again()?,
                _ if written == room => continue,
                _ if read == 0 && !input.is_empty() => return Err(TransportErrorKind::DeflateInvalid),
                _ => {}
            }
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// How much more output to expect: never more than twice what there is, and one octet beyond the limit at most. A
    /// bomb is not inflated up to what all its octets would allow: those taken so far count.
    fn room(&self, input_size: usize) -> Result<usize, TransportErrorKind> {
        let by_ratio = self.taken.saturating_mul(self.ratio_max).saturating_add(SIZE_FREE);
        let inflated_max = by_ratio.min(self.inflated_max);
        let left = (inflated_max.min(self.size_max) + 1).saturating_sub(self.out.len());
        match left {
            0 if inflated_max < self.size_max => Err(TransportErrorKind::InflateRatio),
            0 => Err(TransportErrorKind::MessageTooLong),
            _ => Ok(left.min(self.out.len().max(4 * input_size).clamp(ROOM_MIN, ROOM_MAX))),
        }
    }

    /// After a final block the message may go on with another stream (RFC 7692 §7.2.3.4). Which refers to what this
    /// message has inflated to, at most: whoever ends a stream has ended its window too.
    fn begin_again(&mut self) -> Result<(), TransportErrorKind> {
        self.ends += 1;
        if self.ends > ENDS_MAX {
            return Err(TransportErrorKind::DeflateInvalid);
        }
        self.state.reset(false);
        let window = &self.out[self.out.len().saturating_sub(1 << 15)..];
        if !window.is_empty() && self.state.set_dictionary(window).is_err() {
            return Err(TransportErrorKind::DeflateInvalid);
        }
        Ok(())
    }
}

/// Octets any message may inflate to, whatever the ratio: a short one is no bomb, and text that says the same again and again
/// is easily a four-hundredth.
const SIZE_FREE: usize = 1 << 20;

/// Octets unmasked at once; a multiple of 4 leaves the key unrotated.
const BLOCK: usize = 4096;

/// Octets of output expected at least.
const ROOM_MIN: usize = 1024;

/// Octets of output made room for at once: they are cleared first, and stay in the cache until they are written.
const ROOM_MAX: usize = 128 << 10;

/// Final blocks in one message; each costs far more time than octets.
const ENDS_MAX: u32 = 64;

const _: () = assert!(BLOCK.is_multiple_of(4));
