//! Messages out of the payload of data frames: whole, in pieces, or several in a batch.

use std::ops::Range;

use super::{FrameWriter, WebSocket};
use crate::transport::batch::{LENGTH_SIZE, split_batch};
use crate::transport::error::TransportErrorKind;
use crate::transport::framing::{Packing, Separator};
use crate::transport::gather::{hand_over, reserve};
use crate::transport::mask::{self, MaskKey};

/// What a look at the current data frame brought.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// Nothing, and the input is used up.
    Pending,
    /// Nothing yet: look again, the input has more.
    Again,
    /// A message, as it lies in the input.
    Input(Range<usize>),
    /// A message, in scratch from this octet on.
    Scratch(usize),
}

/// The pieces of what is not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// A frame head that is not whole; of a control frame, with its payload.
    pub(crate) head: Vec<u8>,
    /// A message that is not whole, unmasked; of a batch, with its length prefix.
    message: Vec<u8>,
    /// Octets at the end of `message` that begin a UTF-8 sequence but do not end it.
    text_tail: u8,
    /// Header fields of the client's request, until somebody takes them.
    pub(super) request_headers: Vec<(Box<str>, Box<str>)>,
    /// Of a connection whose frames are not everybody's, until somebody takes it.
    pub(super) writer: Option<Box<FrameWriter>>,
}

impl Rare {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
            && self.message.is_empty()
            && self.request_headers.is_empty()
            && self.writer.is_none()
    }

    #[cfg(test)]
    pub(crate) fn message_capacity(&self) -> usize {
        self.message.capacity()
    }
}

impl WebSocket {
    /// Takes a message, or what there is of it, out of the current data frame.
    pub(super) fn payload(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        debug_assert!(self.in_frame);
        if self.compressed {
            return self.compressed(input, consumed, scratch);
        }
        match self.framing.packing() {
            Packing::Single => self.single(input, consumed, scratch),
            _ if self.remaining == 0 => self.end_batch_frame(),
            Packing::Lengths => self.lengths(input, consumed, scratch),
            Packing::Separators => self.separators(input, consumed, scratch),
        }
    }

    fn single(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let available = self.available(input, *consumed);
        if self.fin && available == self.remaining() && self.partial().is_empty() {
            let found = self.expose(*consumed..*consumed + available, input, scratch)?;
            self.advance(available, consumed);
            self.end_message();
            return Ok(found);
        }
        self.absorb(available, self.partial().len() + self.remaining(), input, consumed)?;
        if self.remaining > 0 {
            return Ok(Found::Pending);
        }
        if !self.fin {
            self.end_frame();
            return Ok(Found::Again);
        }
        self.end_message();
        self.yield_partial(scratch)?;
        Ok(Found::Scratch(0))
    }

    /// A compressed message, which is inflated once it is whole: until then it takes the memory of its octets, not of
    /// what they stand for.
    fn compressed(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        if self.is_holding() {
            return self.next_of_batch(scratch);
        }
        let available = self.available(input, *consumed);
        if self.fin && available == self.remaining() && self.partial().is_empty() {
            let (start, key) = (*consumed, self.mask);
            self.advance(available, consumed);
            return self.inflate(&input[start..start + available], key, scratch);
        }
        self.absorb(available, self.partial().len() + self.remaining(), input, consumed)?;
        if self.remaining > 0 {
            return Ok(Found::Pending);
        }
        if !self.fin {
            self.end_frame();
            return Ok(Found::Again);
        }
        let whole = self.rare.take().map(|rare| rare.message).unwrap_or_default();
        self.inflate(&whole, [0; 4], scratch)
    }

    fn inflate(
        &mut self,
        compressed: &[u8],
        key: MaskKey,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let size_max = self.message_size_max as usize;
        let Some(inflater) = &mut self.inflater else { return Err(TransportErrorKind::ReservedBits) };
        if self.framing.packing() == Packing::Single {
            inflater.inflate(compressed, key, size_max, scratch)?;
            self.check_text(scratch)?;
            self.end_message();
            return Ok(Found::Scratch(0));
        }
        let mut batch = Vec::new();
        inflater.inflate(compressed, key, size_max, &mut batch)?;
        if batch.is_empty() {
            return Err(TransportErrorKind::BatchEmpty);
        }
        inflater.hold(batch);
        self.next_of_batch(scratch)
    }

    /// The next message of an inflated batch, which must end with its last one.
    fn next_of_batch(&mut self, scratch: &mut Vec<u8>) -> Result<Found, TransportErrorKind> {
        let Some(inflater) = &mut self.inflater else { return Ok(Found::Again) };
        let held = inflater.held();
        let (message, size, separator) = split_batch(held, self.framing.packing())?;
        scratch.clear();
        scratch.extend_from_slice(message);
        inflater.take(size);
        let is_last = !inflater.is_holding();
        self.check_text(scratch)?;
        if let Some(octet) = separator {
            self.settle_separator(octet);
        }
        if is_last {
            self.end_message();
        }
        Ok(Found::Scratch(0))
    }

    fn lengths(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let available = self.available(input, *consumed);
        let rest = &input[*consumed..*consumed + available];
        if self.partial().is_empty()
            && let Some(&(mut prefix)) = rest.first_chunk::<LENGTH_SIZE>()
        {
            mask::apply(&mut prefix, self.mask);
            let size = LENGTH_SIZE + u32::from_be_bytes(prefix) as usize;
            self.check_batched(size, size)?;
            if size <= available {
                self.advance(LENGTH_SIZE, consumed);
                let length = size - LENGTH_SIZE;
                let found = self.expose(*consumed..*consumed + length, input, scratch)?;
                self.advance(length, consumed);
                return Ok(found);
            }
        }
        self.gather_length_prefixed(input, consumed, scratch)
    }

    fn gather_length_prefixed(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        self.absorb_up_to(LENGTH_SIZE, input, consumed)?;
        let Some(&prefix) = self.partial().first_chunk::<LENGTH_SIZE>() else {
            return Ok(self.pending());
        };
        let size = LENGTH_SIZE + u32::from_be_bytes(prefix) as usize;
        self.check_batched(size, size - self.partial().len())?;
        self.absorb_up_to(size, input, consumed)?;
        if self.partial().len() < size {
            return Ok(self.pending());
        }
        self.yield_partial(scratch)?;
        Ok(Found::Scratch(LENGTH_SIZE))
    }

    /// Checks a batched message of `size` octets, of which `missing` are still to come.
    fn check_batched(&self, size: usize, missing: usize) -> Result<(), TransportErrorKind> {
        if self.fin && missing > self.remaining() {
            return Err(TransportErrorKind::BatchTruncated);
        }
        if size - LENGTH_SIZE > self.message_size_max as usize {
            return Err(TransportErrorKind::MessageTooLong);
        }
        Ok(())
    }

    fn separators(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let available = self.available(input, *consumed);
        if available == 0 {
            return Ok(Found::Pending);
        }
        let rest = &input[*consumed..*consumed + available];
        if !self.partial().is_empty() {
            return self.gather_separated(rest, consumed, scratch);
        }
        let (found, length, octet) = match self.input_key() {
            None => {
                let Some(length) = Separator::find(rest) else {
                    return self.gather_separated(rest, consumed, scratch);
                };
                self.check_text(&rest[..length])?;
                (Found::Input(*consumed..*consumed + length), length, rest[length])
            }
            key => {
                scratch.clear();
                let Some(octet) = append_to_separator(scratch, rest, key) else {
                    return self.gather_separated(rest, consumed, scratch);
                };
                self.check_text(scratch)?;
                (Found::Scratch(0), scratch.len(), octet)
            }
        };
        self.settle_separator(octet);
        self.advance(length + 1, consumed);
        Ok(found)
    }

    fn gather_separated(
        &mut self,
        rest: &[u8],
        consumed: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let key = self.input_key();
        let partial = &mut self.rare.get_or_insert_default().message;
        let held = partial.len();
        reserve(partial, rest.len(), usize::MAX);
        let octet = append_to_separator(partial, rest, key);
        let appended = partial.len() - held;
        self.check_partial_text(appended)?;
        self.advance(appended + usize::from(octet.is_some()), consumed);
        let Some(octet) = octet else { return Ok(self.pending()) };
        self.settle_separator(octet);
        self.yield_partial(scratch)?;
        Ok(Found::Scratch(0))
    }

    /// The first batch decides which separator we use ourselves.
    fn settle_separator(&mut self, octet: u8) {
        if self.unsettled > 0 {
            self.unsettled = 0;
            self.framing = self.framing.with_separator(Separator::from_octet(octet));
        }
    }

    /// The end of a frame of a batched message, which must fall between messages if it is the last.
    fn end_batch_frame(&mut self) -> Result<Found, TransportErrorKind> {
        if !self.fin {
            self.end_frame();
        } else if self.message_size == 0 {
            return Err(TransportErrorKind::BatchEmpty);
        } else if !self.partial().is_empty() {
            return Err(TransportErrorKind::BatchTruncated);
        } else {
            self.end_message();
        }
        Ok(Found::Again)
    }

    /// After a part of a batched message: go on with the next frame, or wait.
    fn pending(&self) -> Found {
        if self.remaining == 0 { Found::Again } else { Found::Pending }
    }

    /// Shows payload that holds a whole message: in the input, or in scratch if it is masked.
    fn expose(
        &self,
        range: Range<usize>,
        input: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Found, TransportErrorKind> {
        let Some(key) = self.input_key() else {
            self.check_text(&input[range.clone()])?;
            return Ok(Found::Input(range));
        };
        scratch.clear();
        mask::append_unmasked(scratch, &input[range], key);
        self.check_text(scratch)?;
        Ok(Found::Scratch(0))
    }

    fn absorb_up_to(
        &mut self,
        size: usize,
        input: &[u8],
        consumed: &mut usize,
    ) -> Result<(), TransportErrorKind> {
        let missing = size.saturating_sub(self.partial().len());
        self.absorb(missing.min(self.available(input, *consumed)), size, input, consumed)
    }

    /// Appends `count` octets of payload to the message in pieces, which is going to have `size`.
    fn absorb(
        &mut self,
        count: usize,
        size: usize,
        input: &[u8],
        consumed: &mut usize,
    ) -> Result<(), TransportErrorKind> {
        if count == 0 {
            return Ok(());
        }
        let piece = &input[*consumed..*consumed + count];
        let key = self.input_key();
        let message = &mut self.rare.get_or_insert_default().message;
        reserve(message, count, size);
        match key {
            Some(key) => mask::append_unmasked(message, piece, key),
            None => message.extend_from_slice(piece),
        }
        self.advance(count, consumed);
        self.check_partial_text(count)
    }

    /// Moves the completed message into scratch and lets go of all memory.
    fn yield_partial(&mut self, scratch: &mut Vec<u8>) -> Result<(), TransportErrorKind> {
        let Some(rare) = self.rare.take() else {
            scratch.clear();
            return Ok(());
        };
        debug_assert!(rare.head.is_empty(), "a head is read before its payload");
        hand_over(rare.message, scratch);
        if rare.text_tail > 0 { Err(TransportErrorKind::TextInvalid) } else { Ok(()) }
    }

    fn check_text(&self, text: &[u8]) -> Result<(), TransportErrorKind> {
        if self.checks_text && simdutf8::basic::from_utf8(text).is_err() {
            return Err(TransportErrorKind::TextInvalid);
        }
        Ok(())
    }

    /// Checks the last `appended` octets of the message in pieces, so that bad text fails at once.
    fn check_partial_text(&mut self, appended: usize) -> Result<(), TransportErrorKind> {
        let checked = self.checks_text && !self.compressed;
        let Some(rare) = self.rare.as_mut().filter(|_| checked) else { return Ok(()) };
        let start = rare.message.len() - appended - usize::from(rare.text_tail);
        let unchecked = &rare.message[start..];
        rare.text_tail = match simdutf8::compat::from_utf8(unchecked) {
            Ok(_) => 0,
            // At most three octets: a longer incomplete sequence does not exist.
            Err(fault) if fault.error_len().is_none() => (unchecked.len() - fault.valid_up_to()) as u8,
            Err(_) => return Err(TransportErrorKind::TextInvalid),
        };
        Ok(())
    }

    fn partial(&self) -> &[u8] {
        self.rare.as_ref().map_or(&[], |rare| &rare.message)
    }

    /// The key of the payload still to come; none where frames are not masked.
    fn input_key(&self) -> Option<MaskKey> {
        self.is_server().then_some(self.mask)
    }

    fn remaining(&self) -> usize {
        self.remaining as usize
    }

    fn available(&self, input: &[u8], consumed: usize) -> usize {
        self.remaining().min(input.len() - consumed)
    }

    fn advance(&mut self, count: usize, consumed: &mut usize) {
        debug_assert!(count <= self.remaining());
        *consumed += count;
        self.remaining -= count as u32;
        self.mask = mask::advanced(self.mask, count);
    }

    fn end_frame(&mut self) {
        self.in_frame = false;
        self.fragmented = true;
    }

    fn end_message(&mut self) {
        self.in_frame = false;
        self.fragmented = false;
        self.compressed = false;
        self.message_size = 0;
    }
}

/// Appends `source`, unmasked, to `out` up to the first separator, which is returned.
///
/// Works block by block: a batch of many short messages must not be unmasked whole for each of them.
fn append_to_separator(out: &mut Vec<u8>, source: &[u8], key: Option<MaskKey>) -> Option<u8> {
    let mut start = out.len();
    for block in source.chunks(BLOCK) {
        match key {
            Some(key) => mask::append_unmasked(out, block, key),
            None => out.extend_from_slice(block),
        }
        if let Some(at) = Separator::find(&out[start..]) {
            let octet = out[start + at];
            out.truncate(start + at);
            return Some(octet);
        }
        start = out.len();
    }
    None
}

/// Octets searched for a separator at once; a multiple of 4 leaves the key unrotated.
const BLOCK: usize = 512;

const _: () = assert!(BLOCK.is_multiple_of(4));
