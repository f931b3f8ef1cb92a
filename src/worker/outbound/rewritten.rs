//! Messages for connections whose frames are not everybody's: compressed, fragmented, masked.
//!
//! A message is encoded as for everybody, then rewritten by the connection's own writer. Writers that make equal octets
//! of equal messages share one rewritten event.

use std::collections::VecDeque;

use crossring_codec::message::{Message, MessageType};
use crossring_codec::transport::{Compressors, FrameKind, FrameWriter, Framing};
use crossring_router::address::SessionKey;
use crossring_router::outbox::Refused;

use crate::thrift::{trim_buffer, trim_slots};

use super::{LaneState, Outbound, Range, encode_message};

/// Writers of one shard that may remember earlier messages, about 350 KiB each; beyond that the one that began longest
/// ago forgets and goes on without for a while, which its peer does not notice. Protects the router's memory from many compressing
/// connections.
const REMEMBERING_MAX: usize = 512;

/// Rewritten events remembered within one fan-out; further kinds are written for each connection.
const SHARED_MAX: usize = 16;

/// The writers of the connections that have one.
#[derive(Default)]
pub(super) struct Writers {
    slots: Vec<Option<Box<FrameWriter>>>,
    compressors: Compressors,
    /// The message to be rewritten, as framed for everybody.
    plain: Vec<u8>,
    /// The fan-out and framing of the event in `plain`, and its size; none if it cannot be encoded.
    plain_event: Option<(u64, Framing, Option<u32>)>,
    shared: Vec<Shared>,
    /// Slots whose writers remember messages, oldest first; some may do so no more.
    remembering: VecDeque<u32>,
    remembering_count: usize,
}

/// An event as rewritten by all writers of a kind.
struct Shared {
    fan_out: u64,
    framing: Framing,
    kind: FrameKind,
    range: Range,
}

impl Writers {
    pub(super) fn close(&mut self, slot: u32) {
        if let Some(writer) = self.slots.get_mut(slot as usize).and_then(Option::take)
            && writer.remembers()
        {
            self.remembering_count -= 1;
            self.remembering.retain(|other| *other != slot);
        }
    }

    /// Appends the message in `plain` to `out` as `slot` wants it.
    fn write(&mut self, slot: u32, out: &mut Vec<u8>) {
        let Some(writer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let remembered = writer.remembers();
        writer.write(&self.plain, &mut self.compressors, out);
        if writer.remembers() && !remembered {
            self.remembering.push_back(slot);
            self.remembering_count += 1;
            self.forget_oldest();
        }
    }

    /// Gives back memory that is not needed any more.
    pub(super) fn trim(&mut self) {
        trim_slots(&mut self.slots, Option::is_some);
        trim_buffer(&mut self.plain);
        self.compressors.trim();
        self.plain_event = None;
    }

    fn forget_oldest(&mut self) {
        while self.remembering_count > REMEMBERING_MAX {
            let Some(slot) = self.remembering.pop_front() else { return };
            self.forget(slot);
        }
    }

    /// Lets the writer begin anew, because what it wrote last was not sent, or because it takes too much memory.
    fn forget(&mut self, slot: u32) {
        if let Some(writer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut)
            && writer.remembers()
        {
            writer.forget();
            self.remembering_count -= 1;
            self.remembering.retain(|other| *other != slot);
        }
    }

    fn shared_kind(&self, slot: u32) -> Option<FrameKind> {
        self.slots.get(slot as usize)?.as_ref()?.shared_kind()
    }

    /// What a writer of this kind has made of the event already.
    fn shared(&self, fan_out: u64, framing: Framing, kind: FrameKind) -> Option<Range> {
        let same = |it: &&Shared| it.fan_out == fan_out && it.framing == framing && it.kind == kind;
        self.shared.iter().find(same).map(|shared| shared.range)
    }

    /// The connection gets what another's writer made of a message of so many octets.
    fn note_shared(&mut self, slot: u32, message_size: u32) {
        if let Some(Some(writer)) = self.slots.get_mut(slot as usize) {
            writer.share(message_size as usize);
        }
    }

    fn share(&mut self, shared: Shared) {
        self.shared.retain(|other| other.fan_out == shared.fan_out);
        if self.shared.len() < SHARED_MAX {
            self.shared.push(shared);
        }
    }
}

impl Outbound {
    /// Settles that the connection's messages are rewritten by `writer`.
    pub(in crate::worker) fn set_writer(&mut self, key: SessionKey, writer: Box<FrameWriter>) {
        let Some(lane) = self.lane(key) else { return };
        lane.is_rewritten = true;
        let index = key.slot as usize;
        let slots = &mut self.writers.slots;
        if slots.len() <= index {
            slots.resize_with(index + 1, || None);
        }
        slots[index] = Some(writer);
    }

    /// As `send`, for a connection with a writer.
    pub(super) fn send_rewritten(&mut self, key: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let lane = &self.lanes[key.slot as usize];
        let (framing, message_size_max) = (lane.framing, lane.message_size_max);
        self.writers.plain_event = None;
        self.writers.plain.clear();
        let message_size = encode_message(framing, message, &mut self.writers.plain)?;
        if message_size > message_size_max {
            return Err(Refused::TooLarge);
        }
        let range = self.write(key.slot);
        if !self.take_rewritten(key, range) {
            match message.message_type() {
                MessageType::Event => self.event_overflows(key),
                _ => self.overflow(key),
            }
            return Ok(());
        }
        self.counters.messages += 1;
        if self.lanes[key.slot as usize].is_counted {
            self.counts.add(key, message_size.into());
        }
        Ok(())
    }

    /// As `deliver_event`, for a connection with a writer.
    pub(super) fn deliver_rewritten(&mut self, event: &Message<'_>, receiver: SessionKey) {
        let lane = &self.lanes[receiver.slot as usize];
        debug_assert!(lane.generation == receiver.generation && lane.state == LaneState::Open);
        let (framing, message_size_max) = (lane.framing, lane.message_size_max);
        if lane.queued >= self.limits.queue_size_max {
            return self.event_overflows(receiver);
        }
        let Some(message_size) = self.plain_event(framing, event).filter(|size| *size <= message_size_max)
        else {
            self.counters.events_refused += 1;
            return;
        };
        let kind = self.writers.shared_kind(receiver.slot);
        let known = kind.and_then(|kind| self.writers.shared(self.fan_out, framing, kind));
        let is_taken = match known {
            Some(range) => {
                self.writers.note_shared(receiver.slot, message_size);
                self.take_shared(receiver, range)
            }
            None => {
                let range = self.write(receiver.slot);
                let is_taken = self.take_rewritten(receiver, range);
                if let Some(kind) = kind.filter(|_| is_taken) {
                    self.writers.share(Shared { fan_out: self.fan_out, framing, kind, range });
                }
                is_taken
            }
        };
        if !is_taken {
            return self.event_overflows(receiver);
        }
        self.counters.events += 1;
        if self.lanes[receiver.slot as usize].is_counted {
            self.counts.add(receiver, message_size.into());
        }
    }

    /// Sends a message back, as framed by `framing`.
    pub(in crate::worker) fn echo(&mut self, key: SessionKey, framing: Framing, message: &[u8]) {
        let Some(is_rewritten) = self.lane(key).map(|lane| lane.is_rewritten) else { return };
        let chunk = self.turn.common(&mut self.pool, message.len());
        let out = match is_rewritten {
            true => &mut self.writers.plain,
            false => self.turn.chunks[chunk as usize].bytes_mut(),
        };
        if is_rewritten {
            self.writers.plain_event = None;
            out.clear();
        }
        let start = out.len() as u32;
        let mark = framing.begin(out);
        out.extend_from_slice(message);
        if framing.finish(out, mark, 0).is_err() {
            return self.overflow(key);
        }
        let range = match is_rewritten {
            true => self.write(key.slot),
            false => Range { chunk, start, end: out.len() as u32 },
        };
        if self.take_rewritten(key, range) {
            self.counters.messages += 1;
        } else {
            self.overflow(key);
        }
    }

    /// Encodes the event of this fan-out for everybody of a framing, unless it is; its size, if it can be encoded.
    fn plain_event(&mut self, framing: Framing, event: &Message<'_>) -> Option<u32> {
        if let Some((fan_out, known, size)) = self.writers.plain_event
            && (fan_out, known) == (self.fan_out, framing)
        {
            return size;
        }
        self.writers.plain.clear();
        let size = encode_message(framing, event, &mut self.writers.plain).ok();
        self.writers.plain_event = Some((self.fan_out, framing, size));
        size
    }

    /// Rewrites the message in `plain` at the end of a chunk.
    fn write(&mut self, slot: u32) -> Range {
        let chunk = self.turn.common(&mut self.pool, 0);
        let out = self.turn.chunks[chunk as usize].bytes_mut();
        let start = out.len() as u32;
        self.writers.write(slot, out);
        Range { chunk, start, end: out.len() as u32 }
    }

    fn take_shared(&mut self, key: SessionKey, range: Range) -> bool {
        let has_room = self.lanes[key.slot as usize].has_room(range.len(), self.limits.queue_size_max);
        if has_room {
            self.push(key.slot, range);
        }
        has_room
    }

    /// Queues what was written for a connection, or takes it back.
    fn take_rewritten(&mut self, key: SessionKey, range: Range) -> bool {
        let is_taken = self.take_shared(key, range);
        if !is_taken {
            self.turn.chunks[range.chunk as usize].bytes_mut().truncate(range.start as usize);
            self.writers.forget(key.slot);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests;
