//! The sending half of a worker: every message of a turn is encoded once, every connection gets one send.
//!
//! Messages are appended to chunks that belong to the turn: EVENTs to one chunk per framing, so that the events of a turn lie
//! side by side and a subscriber's share of them is one range; everything else to one common chunk. A connection only
//! collects ranges. `Outbound::flush` freezes the chunks and hands each connection its ranges in one send. While a send
//! is in flight, what follows is copied to the connection's own backlog: a slow reader keeps no shared chunk alive beyond
//! the one in flight, and the bytes counted against it are the bytes it costs. The backlog grows by blocks: no turn ever
//! copies what waits already.

mod rewritten;

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::transport::Framing;
use crossring_io::{Chunk, ChunkBuilder, ChunkPool, Close, ConnectionId, Engine, Outgoing, Segment};
use crossring_router::address::{SessionKey, ShardId};
use crossring_router::letter::Letter;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::statistics::Traffic;
use rustls::ServerConfig;

use crate::thrift::trim_slots;

use super::counts::Counts;
use super::mail::PostOffice;
use super::secured::{Received, Secured};
use super::slow::Pace;
use rewritten::Writers;

/// A chunk of a turn is followed by another one above this size, in octets.
const CHUNK_SIZE: usize = 64 * 1024;

/// A block of a backlog, in octets; one send takes one block.
const BLOCK_SIZE: usize = 64 * 1024;

/// Room for ranges that a connection keeps from turn to turn; more is given back.
const RANGES_KEPT_MAX: usize = 64;

/// Ranges of fewer octets on average are copied together instead of being gathered by the kernel.
const GATHER_SIZE_MIN: usize = 2 * 1024;

/// What becomes of an EVENT for a session whose outgoing queue is full.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum SlowConsumer {
    /// The event is dropped for that session and counted.
    #[default]
    Drop,
    /// The session is ended.
    End,
}

/// Bounds of the outgoing queues.
#[derive(Copy, Clone, Debug)]
pub struct OutboundLimits {
    /// Octets that may wait for one connection; a connection that has nothing waiting takes one message of any size.
    /// Protects the router's memory from slow readers.
    pub queue_size_max: u32,
    /// What happens to events beyond that. Anything else beyond it, pongs included, ends the session.
    pub slow_consumer: SlowConsumer,
}

/// Hardest bound of [`OutboundLimits::queue_size_max`].
pub const QUEUE_SIZE_MAX: u32 = 1 << 30;

impl Default for OutboundLimits {
    fn default() -> Self {
        Self { queue_size_max: 4 << 20, slow_consumer: SlowConsumer::Drop }
    }
}

/// What the sending half has done, since start. Plain counts.
#[derive(Clone, Debug, Default)]
pub struct OutboundCounters {
    /// Messages to one session.
    pub messages: u64,
    /// Deliveries of EVENTs.
    pub events: u64,
    /// EVENTs dropped because the receiver's queue was full.
    pub events_dropped: u64,
    /// Times a receiver's queue became full.
    pub slow_episodes: u64,
    /// EVENTs not delivered because the receiver cannot take them (size or serializer).
    pub events_refused: u64,
    /// Sessions ended because a message other than an EVENT found the queue full.
    pub overflows: u64,
    /// Sends given to the engine.
    pub sends: u64,
}

/// Whether input of a session may be taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum MayRead {
    Yes,
    /// Another shard is behind.
    NoCredit,
    /// The session waits for its authorizer.
    Held,
}

/// Why the worker must act on a connection after routing.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The core ends it.
    Core(EndCause),
    /// Its queue is full and the message may not be dropped.
    Overflow,
}

/// Octets of one chunk of the current turn.
#[derive(Copy, Clone, Debug)]
struct Range {
    chunk: u16,
    start: u32,
    end: u32,
}

/// Marks a lane without a range in this turn.
const NO_CHUNK: u16 = u16::MAX;

impl Range {
    const NONE: Range = Range { chunk: NO_CHUNK, start: 0, end: 0 };

    fn len(self) -> u32 {
        self.end - self.start
    }
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum LaneState {
    /// Nobody is connected.
    Vacant,
    /// Messages are taken.
    Open,
    /// What is queued leaves, then the connection is closed; nothing more is taken.
    Ending,
    /// Given up.
    Doomed,
}

/// The outgoing queue of one connection.
struct Lane {
    generation: u32,
    state: LaneState,
    in_flight: bool,
    is_dirty: bool,
    is_slow: bool,
    /// Its messages are counted, in `Outbound::counts`.
    is_counted: bool,
    /// It sends records of TLS, made in `Outbound::secured`.
    is_secured: bool,
    /// Its messages are rewritten, in `Outbound::writers`.
    is_rewritten: bool,
    framing: Framing,
    message_size_max: u32,
    /// Octets of this turn, of the backlog and in flight.
    queued: u32,
    /// EVENTs dropped since it became slow.
    dropped: u32,
    latest: Range,
    earlier: Vec<Range>,
    /// Blocks that wait, oldest first; none is empty, all but the last are full.
    backlog: VecDeque<Vec<u8>>,
}

const _: () = assert!(size_of::<Lane>() <= 96, "one per connection");

impl Lane {
    const VACANT: Lane = Lane {
        generation: 0,
        state: LaneState::Vacant,
        in_flight: false,
        is_dirty: false,
        is_slow: false,
        is_counted: false,
        is_secured: false,
        is_rewritten: false,
        framing: Framing::rawsocket(crossring_codec::serializer::SerializerId::Json),
        message_size_max: 0,
        queued: 0,
        dropped: 0,
        latest: Range::NONE,
        earlier: Vec::new(),
        backlog: VecDeque::new(),
    };

    fn push(&mut self, range: Range) {
        self.queued += range.len();
        if self.latest.chunk == range.chunk && self.latest.end == range.start {
            self.latest.end = range.end;
            return;
        }
        if self.latest.chunk != NO_CHUNK {
            self.earlier.push(self.latest);
        }
        self.latest = range;
    }

    /// Whether `size` more octets may wait. A message longer than the whole queue is taken when nothing else waits: else no
    /// retry could ever succeed.
    #[inline]
    fn has_room(&self, size: u32, queue_size_max: u32) -> bool {
        self.queued == 0 || self.queued + size <= queue_size_max
    }

    fn ranges(&mut self) -> impl Iterator<Item = Range> {
        let latest = std::mem::replace(&mut self.latest, Range::NONE);
        self.earlier.drain(..).chain((latest.chunk != NO_CHUNK).then_some(latest))
    }
}

/// The chunks of the current turn.
#[derive(Default)]
struct Turn {
    chunks: Vec<ChunkBuilder>,
    frozen: Vec<Chunk>,
    common: Option<u16>,
    events: [Option<u16>; Framing::COUNT],
}

/// The outgoing queues of all connections of a worker, and its outgoing mail.
pub struct Outbound {
    lanes: Vec<Lane>,
    dirty: Vec<u32>,
    turn: Turn,
    pool: ChunkPool,
    /// Sessions to end, in the order the core said so.
    pub(super) endings: Vec<(SessionKey, Ending)>,
    pub(super) mail: PostOffice,
    /// Sessions whose input the core wants paused (`true`) or resumed, in its order.
    pub(super) pauses: Vec<(SessionKey, bool)>,
    pub(super) counters: OutboundCounters,
    /// Sessions that have become slow, or are not any more, in order.
    pub(super) paces: Vec<(SessionKey, Pace)>,
    limits: OutboundLimits,
    counts: Counts,
    pub(super) secured: Secured,
    writers: Writers,
    /// Counts the fan-outs; tells which entries of `encoded` are of the current one.
    fan_out: u64,
    encoded: [Encoded; Framing::COUNT],
}

/// An EVENT as encoded for one framing.
#[derive(Copy, Clone)]
struct Encoded {
    fan_out: u64,
    /// Empty when the serializer cannot carry the payload.
    range: Range,
    message_size: u32,
}

impl Encoded {
    const NONE: Encoded = Encoded { fan_out: 0, range: Range::NONE, message_size: 0 };
}

impl Outbound {
    pub(super) fn new(limits: OutboundLimits, mail: PostOffice) -> Self {
        assert!(limits.queue_size_max <= QUEUE_SIZE_MAX);
        Self {
            lanes: Vec::new(),
            dirty: Vec::new(),
            turn: Turn::default(),
            pool: ChunkPool::default(),
            endings: Vec::new(),
            mail,
            pauses: Vec::new(),
            counters: OutboundCounters::default(),
            paces: Vec::new(),
            limits,
            counts: Counts::default(),
            secured: Secured::default(),
            writers: Writers::default(),
            fan_out: 0,
            encoded: [Encoded::NONE; Framing::COUNT],
        }
    }

    /// Starts the queue of a new connection. Messages need [`Outbound::set_framing`] first; raw octets do not.
    pub(super) fn open(&mut self, key: SessionKey) {
        let slot = key.slot as usize;
        if self.lanes.len() <= slot {
            self.lanes.resize_with(slot + 1, || Lane::VACANT);
        }
        let is_dirty = self.lanes[slot].is_dirty;
        self.lanes[slot] =
            Lane { generation: key.generation, state: LaneState::Open, is_dirty, ..Lane::VACANT };
    }

    /// Lets the new connection speak TLS; `false`: it cannot.
    pub(super) fn secure(&mut self, key: SessionKey, config: &Arc<ServerConfig>) -> bool {
        let is_secured = self.secured.open(key, config);
        if let Some(lane) = self.lane(key) {
            lane.is_secured = is_secured;
        }
        is_secured
    }

    /// Takes octets of a connection that speaks TLS; see [`Secured::receive`].
    pub(super) fn receive_secured(&mut self, key: SessionKey, octets: &[u8]) -> Received {
        let received = self.secured.receive(key, octets);
        if received != Received::Nothing {
            self.mark_dirty(key.slot);
        }
        received
    }

    /// Octets that wait or are in flight.
    pub(super) fn queued(&self, key: SessionKey) -> u32 {
        let lane = self.lanes.get(key.slot as usize).filter(|lane| lane.generation == key.generation);
        lane.map_or(0, |lane| lane.queued)
    }

    /// Settles how messages are framed and the longest one the peer takes, in octets.
    pub(super) fn set_framing(&mut self, key: SessionKey, framing: Framing, message_size_max: u32) {
        if let Some(lane) = self.lane(key) {
            lane.framing = framing;
            lane.message_size_max = message_size_max;
        }
    }

    /// A message of `size` octets has been received.
    #[inline]
    pub(super) fn received(&mut self, key: SessionKey, size: usize) {
        if self.counts.is_counting() {
            self.counts.add(key, size as u64);
        }
    }

    /// Whether the next message of a session may be taken. Costs a comparison while it may.
    #[inline]
    pub(super) fn may_read(&mut self, key: SessionKey) -> MayRead {
        if self.mail.is_credit_known() { MayRead::Yes } else { self.look_up_reading(key) }
    }

    #[cold]
    fn look_up_reading(&mut self, key: SessionKey) -> MayRead {
        let latest = self.pauses.iter().rev().find(|(session, _)| *session == key);
        match latest {
            Some((_, true)) => MayRead::Held,
            _ if self.mail.has_credit() => MayRead::Yes,
            _ => MayRead::NoCredit,
        }
    }

    /// Takes a session whose messages have been counted in this turn, and what has been counted of it so far.
    pub(super) fn pop_counted(&mut self) -> Option<(SessionKey, Traffic)> {
        self.counts.pop()
    }

    /// Forgets the queue of a connection that is gone.
    pub(super) fn close(&mut self, key: SessionKey) {
        if let Some(lane) =
            self.lanes.get_mut(key.slot as usize).filter(|lane| lane.generation == key.generation)
        {
            if lane.is_secured {
                self.secured.close(key.slot);
            }
            if lane.is_rewritten {
                self.writers.close(key.slot);
            }
            if lane.is_slow {
                self.paces.push((key, Pace::Gone { dropped: lane.dropped.into() }));
            }
            *lane = Lane { generation: lane.generation, is_dirty: lane.is_dirty, ..Lane::VACANT };
        }
    }

    /// Gives back memory that only a burst needed. To be called between turns.
    pub(super) fn trim(&mut self) {
        debug_assert!(self.dirty.is_empty());
        trim_slots(&mut self.lanes, |lane| lane.state != LaneState::Vacant || lane.is_dirty);
        self.pool.trim();
        self.secured.trim();
        self.writers.trim();
    }

    /// Queues octets that are no message: handshakes, pongs, close frames.
    pub(super) fn raw(&mut self, key: SessionKey, octets: &[u8]) {
        let queue_size_max = self.limits.queue_size_max;
        let Some(lane) = self.lane(key) else { return };
        if octets.is_empty() {
            return;
        }
        if !lane.has_room(octets.len() as u32, queue_size_max) {
            return self.overflow(key);
        }
        let chunk = self.turn.common(&mut self.pool, octets.len());
        let out = self.turn.chunks[chunk as usize].bytes_mut();
        let start = out.len() as u32;
        out.extend_from_slice(octets);
        self.push(key.slot, Range { chunk, start, end: start + octets.len() as u32 });
    }

    /// Takes nothing more for the connection; it is closed once its queue has left.
    pub(super) fn finish(&mut self, key: SessionKey) {
        if let Some(lane) = self.lane(key) {
            lane.state = LaneState::Ending;
            self.mark_dirty(key.slot);
        }
    }

    /// A send has left: its buffers come back.
    pub(super) fn sent(&mut self, key: SessionKey, returned: Outgoing) {
        let size = returned.len() as u32;
        self.pool.recycle(returned);
        let Some(lane) =
            self.lanes.get_mut(key.slot as usize).filter(|lane| lane.generation == key.generation)
        else {
            return;
        };
        debug_assert!(lane.in_flight);
        lane.in_flight = false;
        lane.queued -= size;
        if lane.is_slow && lane.queued <= self.limits.queue_size_max / 2 {
            lane.is_slow = false;
            let dropped = std::mem::take(&mut lane.dropped).into();
            self.paces.push((key, Pace::Even { dropped }));
        }
        let has_records = lane.is_secured && self.secured.has_pending(key.slot);
        if !lane.backlog.is_empty() || lane.state == LaneState::Ending || has_records {
            self.mark_dirty(key.slot);
        }
    }

    /// Ends the turn: one send for each connection that got something.
    pub(super) fn flush<E: Engine>(&mut self, engine: &mut E) {
        self.turn.freeze();
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            self.flush_lane(engine, slot);
        }
        self.dirty = dirty;
        for chunk in self.turn.frozen.drain(..) {
            self.pool.recycle_chunk(chunk);
        }
    }

    fn flush_lane<E: Engine>(&mut self, engine: &mut E, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        lane.is_dirty = false;
        let connection = ConnectionId { slot, generation: lane.generation };
        if matches!(lane.state, LaneState::Vacant | LaneState::Doomed) {
            lane.ranges().for_each(drop);
            return;
        }
        if lane.in_flight || !lane.backlog.is_empty() {
            append_to_backlog(lane, &self.turn.frozen, &mut self.pool);
        }
        if lane.is_secured {
            return self.flush_secured(engine, slot);
        }
        if !lane.in_flight && lane.queued > 0 {
            let outgoing = match lane.backlog.pop_front() {
                Some(block) => Outgoing::Owned(block),
                None => gather(lane, &self.turn.frozen, &mut self.pool),
            };
            lane.in_flight = true;
            self.counters.sends += 1;
            engine.send(connection, outgoing);
        }
        if lane.state == LaneState::Ending && lane.backlog.is_empty() {
            lane.state = LaneState::Doomed;
            engine.close(connection, Close::AfterSend);
        }
        if lane.earlier.capacity() > RANGES_KEPT_MAX {
            lane.earlier = Vec::new();
        }
    }

    /// As for other lanes, but what leaves is made of records. They are made only when they can be sent, and the words
    /// that end the session are the last of them.
    fn flush_secured<E: Engine>(&mut self, engine: &mut E, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        let Some(session) = self.secured.session(slot) else { return };
        if lane.in_flight {
            return;
        }
        let connection = ConnectionId { slot, generation: lane.generation };
        let mut records = self.pool.owned();
        session.take_pending(&mut records);
        let mut is_over = false;
        if !session.is_open() {
            lane.ranges().for_each(drop);
            lane.backlog.clear();
            lane.queued = 0;
        } else if lane.queued > 0 {
            let plain = match lane.backlog.pop_front() {
                Some(block) => Outgoing::Owned(block),
                None => gather(lane, &self.turn.frozen, &mut self.pool),
            };
            is_over = plain.pieces(0).any(|piece| session.send(piece, &mut records).is_err());
            lane.queued -= plain.len() as u32;
            self.pool.recycle(plain);
        }
        is_over |= lane.state == LaneState::Ending && lane.backlog.is_empty();
        if is_over {
            session.close(&mut records);
            lane.state = LaneState::Doomed;
        }
        if records.is_empty() {
            self.pool.recycle(Outgoing::Owned(records));
        } else {
            lane.queued += records.len() as u32;
            lane.in_flight = true;
            self.counters.sends += 1;
            engine.send(connection, Outgoing::Owned(records));
        }
        if is_over {
            engine.close(connection, Close::AfterSend);
        }
    }

    fn lane(&mut self, key: SessionKey) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(key.slot as usize)?;
        (lane.generation == key.generation && lane.state == LaneState::Open).then_some(lane)
    }

    fn push(&mut self, slot: u32, range: Range) {
        self.lanes[slot as usize].push(range);
        self.mark_dirty(slot);
    }

    fn mark_dirty(&mut self, slot: u32) {
        let lane = &mut self.lanes[slot as usize];
        if !lane.is_dirty {
            lane.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Encodes `message` at the end of `chunk`; on refusal the chunk is as it was.
    fn encode(
        &mut self,
        chunk: u16,
        framing: Framing,
        message: &Message<'_>,
    ) -> Result<(Range, u32), Refused> {
        let out = self.turn.chunks[chunk as usize].bytes_mut();
        let start = out.len() as u32;
        let message_size = encode_message(framing, message, out)?;
        Ok((Range { chunk, start, end: out.len() as u32 }, message_size))
    }

    fn deliver_event(&mut self, event: &Message<'_>, receiver: SessionKey) {
        let Some(lane) = self.lanes.get(receiver.slot as usize) else { return };
        if lane.generation != receiver.generation || lane.state != LaneState::Open {
            return;
        }
        if lane.is_rewritten {
            return self.deliver_rewritten(event, receiver);
        }
        let framing = lane.framing;
        let mut encoded = self.encoded[framing.index()];
        if encoded.fan_out != self.fan_out {
            encoded = self.encode_event(framing, event);
        }
        let lane = &mut self.lanes[receiver.slot as usize];
        if encoded.range.chunk == NO_CHUNK || encoded.message_size > lane.message_size_max {
            self.counters.events_refused += 1;
            return;
        }
        if !lane.has_room(encoded.range.len(), self.limits.queue_size_max) {
            return self.event_overflows(receiver);
        }
        lane.push(encoded.range);
        if lane.is_counted {
            self.counts.add(receiver, encoded.message_size.into());
        }
        self.counters.events += 1;
        if !lane.is_dirty {
            lane.is_dirty = true;
            self.dirty.push(receiver.slot);
        }
    }

    fn encode_event(&mut self, framing: Framing, event: &Message<'_>) -> Encoded {
        let chunk = self.turn.events(&mut self.pool, framing);
        let (range, message_size) = self.encode(chunk, framing, event).unwrap_or((Range::NONE, 0));
        let encoded = Encoded { fan_out: self.fan_out, range, message_size };
        self.encoded[framing.index()] = encoded;
        encoded
    }

    /// Nobody took the event: its octets leave the chunks, so that a turn holds no more than its receivers may have waiting.
    #[cold]
    fn withdraw_event(&mut self) {
        let fan_out = self.fan_out;
        for encoded in self.encoded.iter().filter(|encoded| encoded.fan_out == fan_out) {
            if encoded.range.chunk != NO_CHUNK {
                let chunk = &mut self.turn.chunks[encoded.range.chunk as usize];
                chunk.bytes_mut().truncate(encoded.range.start as usize);
            }
        }
    }

    #[cold]
    fn event_overflows(&mut self, receiver: SessionKey) {
        self.counters.events_dropped += 1;
        let lane = &mut self.lanes[receiver.slot as usize];
        lane.dropped = lane.dropped.saturating_add(1);
        if !std::mem::replace(&mut lane.is_slow, true) {
            self.counters.slow_episodes += 1;
            self.paces.push((receiver, Pace::Slow { queued: lane.queued }));
        }
        if self.limits.slow_consumer == SlowConsumer::End {
            self.overflow(receiver);
        }
    }

    fn overflow(&mut self, key: SessionKey) {
        let lane = &mut self.lanes[key.slot as usize];
        lane.state = LaneState::Doomed;
        self.counters.overflows += 1;
        self.endings.push((key, Ending::Overflow));
    }
}

impl Turn {
    /// The chunk for everything but events.
    fn common(&mut self, pool: &mut ChunkPool, expected: usize) -> u16 {
        let current = self.common.filter(|index| self.has_room(*index, expected));
        let index = current.unwrap_or_else(|| self.add(pool));
        self.common = Some(index);
        index
    }

    /// The chunk for events of a framing.
    fn events(&mut self, pool: &mut ChunkPool, framing: Framing) -> u16 {
        let current = self.events[framing.index()].filter(|index| self.has_room(*index, 0));
        let index = current.unwrap_or_else(|| self.add(pool));
        self.events[framing.index()] = Some(index);
        index
    }

    fn has_room(&self, index: u16, expected: usize) -> bool {
        let size = self.chunks[index as usize].len();
        size == 0 || size + expected <= CHUNK_SIZE || index == NO_CHUNK - 1
    }

    fn add(&mut self, pool: &mut ChunkPool) -> u16 {
        self.chunks.push(pool.chunk());
        (self.chunks.len() - 1) as u16
    }

    fn freeze(&mut self) {
        self.frozen.extend(self.chunks.drain(..).map(ChunkBuilder::freeze));
        self.common = None;
        self.events = [None; Framing::COUNT];
    }
}

/// Appends `message`, framed, to `out`, and returns its size without frame; on refusal `out` is as it was.
#[inline]
fn encode_message(framing: Framing, message: &Message<'_>, out: &mut Vec<u8>) -> Result<u32, Refused> {
    let start = out.len();
    let mark = framing.begin(out);
    if encode(framing.serializer().id, message, out).is_err() {
        out.truncate(start);
        return Err(Refused::Unrepresentable);
    }
    framing.finish(out, mark, 0).map(|size| size as u32).map_err(|_| Refused::TooLarge)
}

fn append_to_backlog(lane: &mut Lane, chunks: &[Chunk], pool: &mut ChunkPool) {
    let mut backlog = std::mem::take(&mut lane.backlog);
    for range in lane.ranges() {
        let mut octets = &chunks[range.chunk as usize].bytes()[range.start as usize..range.end as usize];
        while !octets.is_empty() {
            if backlog.back().is_none_or(|block| block.len() >= BLOCK_SIZE) {
                backlog.push_back(pool.owned());
            }
            let block = backlog.back_mut().expect("pushed above");
            let (now, later) = octets.split_at(octets.len().min(BLOCK_SIZE - block.len()));
            block.extend_from_slice(now);
            octets = later;
        }
    }
    lane.backlog = backlog;
}

/// The ranges of a turn as one send.
fn gather(lane: &mut Lane, chunks: &[Chunk], pool: &mut ChunkPool) -> Outgoing {
    let segment =
        |range: Range| chunks[range.chunk as usize].segment(range.start as usize..range.end as usize);
    if lane.earlier.is_empty() {
        return Outgoing::One(segment(std::mem::replace(&mut lane.latest, Range::NONE)));
    }
    let count = lane.earlier.len() + 1;
    if (lane.queued as usize) < count * GATHER_SIZE_MIN {
        let mut octets = pool.owned();
        octets.reserve(lane.queued as usize);
        for range in lane.ranges() {
            octets.extend_from_slice(
                &chunks[range.chunk as usize].bytes()[range.start as usize..range.end as usize],
            );
        }
        return Outgoing::Owned(octets);
    }
    let mut segments: Vec<Segment> = pool.list();
    segments.extend(lane.ranges().map(segment));
    Outgoing::Many(segments)
}

impl Post for Outbound {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.mail.post(to, letter);
    }
}

impl Outbox for Outbound {
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let Some(lane) = self.lane(session) else { return Err(Refused::Gone) };
        if lane.is_rewritten {
            return self.send_rewritten(session, message);
        }
        let (framing, message_size_max) = (lane.framing, lane.message_size_max);
        let chunk = self.turn.common(&mut self.pool, 0);
        let (range, message_size) = self.encode(chunk, framing, message)?;
        let lane = &mut self.lanes[session.slot as usize];
        if message_size > message_size_max {
            self.turn.chunks[chunk as usize].bytes_mut().truncate(range.start as usize);
            return Err(Refused::TooLarge);
        }
        if !lane.has_room(range.len(), self.limits.queue_size_max) {
            self.turn.chunks[chunk as usize].bytes_mut().truncate(range.start as usize);
            match message.message_type() {
                MessageType::Event => self.event_overflows(session),
                _ => self.overflow(session),
            }
            return Ok(());
        }
        self.counters.messages += 1;
        if lane.is_counted {
            self.counts.add(session, message_size.into());
        }
        self.push(session.slot, range);
        Ok(())
    }

    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], except: Option<SessionKey>) {
        self.fan_out += 1;
        let delivered = self.counters.events;
        for receiver in receivers {
            if Some(*receiver) != except {
                self.deliver_event(event, *receiver);
            }
        }
        if self.counters.events == delivered {
            self.withdraw_event();
        }
    }

    fn pause_input(&mut self, session: SessionKey) {
        self.pauses.push((session, true));
        self.mail.interrupt_reading();
    }

    fn resume_input(&mut self, session: SessionKey) {
        self.pauses.push((session, false));
    }

    fn end(&mut self, session: SessionKey, cause: EndCause) {
        self.endings.push((session, Ending::Core(cause)));
    }

    fn count(&mut self, session: SessionKey, rated_size: u32) {
        if let Some(lane) = self.lane(session) {
            lane.is_counted = true;
            self.counts.begin(session, rated_size);
        }
    }

    fn traffic(&self, session: SessionKey) -> Traffic {
        self.counts.total(session)
    }
}

#[cfg(test)]
mod tests;
