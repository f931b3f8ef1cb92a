//! The peers' side of all simulated streams, the clock and the dice.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use super::SimEngine;
use crate::buffer::Outgoing;
use crate::engine::EngineOptions;
use crate::event::{ConnectionId, ListenerId, Monotonic, Operation};

/// Names a peer of a [`SimNetwork`]: the other end of one stream.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, PartialOrd, Ord)]
pub struct SimPeer(pub u32);

/// How often each fault strikes, in 1/256 per occasion; zero is never.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SimFaults {
    /// A receive returns one byte of more.
    pub one_byte_reads: u8,
    /// A receive returns some of the bytes there are. Without, all writes so far come merged.
    pub short_reads: u8,
    /// The kernel takes only some of the bytes offered.
    pub short_sends: u8,
    /// What is ready is told one poll later.
    pub late_completions: u8,
    /// Connections are told in another order than the last time.
    pub reordered_completions: u8,
    /// A receive finds no free buffer.
    pub buffers_run_out: u8,
    /// The kernel ends a receive, which the engine then starts again.
    pub receives_end: u8,
    /// A receive fails with `ECONNRESET`; the stream is lost.
    pub receive_errors: u8,
    /// A send fails with `EPIPE`; the stream is lost.
    pub send_errors: u8,
    /// An accept fails with `EMFILE`.
    pub accept_errors: u8,
    /// Waking from a wait is late, by up to 10 ms.
    pub late_wakes: u8,
}

impl SimFaults {
    /// Each fault off or on at a rate of its own, as the seed says.
    pub fn swarm(seed: u64) -> SimFaults {
        let mut dice = Dice(seed);
        let mut rate = |rate_max: u64| if dice.below(2) == 0 { 0 } else { dice.below(rate_max) as u8 };
        SimFaults {
            one_byte_reads: rate(256),
            short_reads: rate(256),
            short_sends: rate(256),
            late_completions: rate(200),
            reordered_completions: rate(256),
            buffers_run_out: rate(128),
            receives_end: rate(128),
            receive_errors: rate(8),
            send_errors: rate(8),
            accept_errors: rate(128),
            late_wakes: rate(256),
        }
    }

    /// The same faults, but none that ends a stream.
    #[must_use]
    pub fn harmless(self) -> SimFaults {
        SimFaults { receive_errors: 0, send_errors: 0, ..self }
    }
}

/// A network in one thread: make engines with [`SimNetwork::engine`], then play their peers. Clones
/// are the same network.
#[derive(Clone)]
pub struct SimNetwork(Rc<RefCell<World>>);

impl SimNetwork {
    /// A network whose dice start with `seed`. Time starts at one second.
    pub fn new(seed: u64, faults: SimFaults) -> SimNetwork {
        SimNetwork(Rc::new(RefCell::new(World {
            dice: Dice(seed),
            faults,
            now: Monotonic(1_000_000_000),
            peers: Vec::new(),
            listening: Vec::new(),
            deadlines: Vec::new(),
        })))
    }

    /// One more engine, for one more shard.
    pub fn engine(&self, options: EngineOptions) -> SimEngine {
        let index = self.world().deadlines.len();
        self.world().deadlines.push(None);
        SimEngine::new(self.clone(), index, options)
    }

    /// Replaces the faults, as for healing.
    pub fn set_faults(&self, faults: SimFaults) {
        self.world().faults = faults;
    }

    /// The virtual time.
    pub fn now(&self) -> Monotonic {
        self.world().now
    }

    /// Lets time pass.
    pub fn advance_ns(&self, duration_ns: u64) {
        let mut world = self.world();
        world.now = world.now.after_ns(duration_ns);
    }

    /// Lets time pass to the next deadline any engine waits for; `false` if none does.
    pub fn advance(&self) -> bool {
        let mut world = self.world();
        let Some(deadline) = world.deadlines.iter().flatten().min().copied() else { return false };
        let rate = world.faults.late_wakes;
        let late_ns = if world.strikes(rate) { world.dice.below(LATE_WAKE_MAX_NS) } else { 0 };
        world.now = world.now.max(deadline.after_ns(late_ns));
        let now = world.now;
        for deadline in &mut world.deadlines {
            *deadline = deadline.filter(|deadline| *deadline > now);
        }
        true
    }

    /// Connects to a listener of an engine. A listener that is closed resets the peer.
    pub fn connect(&self, engine: usize, listener: ListenerId) -> SimPeer {
        let mut world = self.world();
        let peer = world.new_peer();
        let refused = !world.listening.contains(&(engine, listener));
        let state = world.peer_mut(peer);
        if refused {
            state.output_end = Some(End::Reset);
        } else {
            state.waits_at = Some((engine, listener));
        }
        peer
    }

    /// The peer writes.
    pub fn write(&self, peer: SimPeer, bytes: &[u8]) {
        self.world().peer_mut(peer).input.extend(bytes);
    }

    /// The peer reads up to `length_max` bytes of what arrived.
    pub fn read(&self, peer: SimPeer, length_max: usize) -> Vec<u8> {
        let mut world = self.world();
        let output = &mut world.peer_mut(peer).output;
        let length = output.len().min(length_max);
        output.drain(..length).collect()
    }

    /// Bounds the bytes which the peer leaves unread, with what lies between; 256 KiB at first.
    pub fn set_window(&self, peer: SimPeer, size: usize) {
        self.world().peer_mut(peer).window_size = size;
    }

    /// The peer closes after what it wrote.
    pub fn close(&self, peer: SimPeer) {
        self.world().peer_mut(peer).input_end.get_or_insert(End::Orderly);
    }

    /// The peer resets: what is on the way, both ways, is lost.
    pub fn reset(&self, peer: SimPeer) {
        self.world().peer_mut(peer).reset();
    }

    /// Lets the engine's next operation of this kind, `Receive` or `Send`, fail with `errno`; the stream
    /// is lost.
    pub fn fail(&self, peer: SimPeer, operation: Operation, errno: i32) {
        self.world().peer_mut(peer).failures.push((operation, errno));
    }

    /// Whether the engine's side ended or was lost, and nothing is left to read.
    pub fn has_ended(&self, peer: SimPeer) -> bool {
        let world = self.world();
        let peer = &world.peers[peer.0 as usize];
        peer.output_end.is_some() && peer.output.is_empty()
    }

    /// Panics unless each stream that an engine took was closed by it exactly once.
    pub fn check_closed_once(&self) {
        for (index, peer) in self.world().peers.iter().enumerate() {
            let expected = u32::from(peer.taken);
            assert_eq!(peer.engine_close_count, expected, "closes of peer {index}");
        }
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }
}

pub(super) struct World {
    dice: Dice,
    faults: SimFaults,
    now: Monotonic,
    peers: Vec<Peer>,
    pub(super) listening: Vec<(usize, ListenerId)>,
    /// By engine: what its last poll waits for.
    pub(super) deadlines: Vec<Option<Monotonic>>,
}

pub(super) enum Arrival {
    None,
    Peer(SimPeer),
    Failed(i32),
}

struct Peer {
    /// Peer → engine.
    input: VecDeque<u8>,
    input_end: Option<End>,
    /// Engine → peer.
    output: VecDeque<u8>,
    output_end: Option<End>,
    window_size: usize,
    /// Scripted failures of the engine's operations.
    failures: Vec<(Operation, i32)>,
    /// In the queue of this listener.
    waits_at: Option<(usize, ListenerId)>,
    /// Whether an engine owns the other end.
    taken: bool,
    engine_close_count: u32,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum End {
    Orderly,
    Reset,
}

impl Peer {
    fn reset(&mut self) {
        self.input.clear();
        self.output.clear();
        self.input_end = Some(End::Reset);
        self.output_end = Some(End::Reset);
    }

    /// The scripted failure of `operation`, if there is one; it loses the stream.
    fn take_failure(&mut self, operation: Operation) -> Option<i32> {
        let index = self.failures.iter().position(|(failing, _)| *failing == operation)?;
        self.reset();
        Some(self.failures.remove(index).1)
    }
}

impl World {
    pub(super) fn new_peer(&mut self) -> SimPeer {
        self.peers.push(Peer {
            input: VecDeque::new(),
            input_end: None,
            output: VecDeque::new(),
            output_end: None,
            window_size: WINDOW_SIZE,
            failures: Vec::new(),
            waits_at: None,
            taken: false,
            engine_close_count: 0,
        });
        SimPeer(self.peers.len() as u32 - 1)
    }

    /// An engine got the other end.
    pub(super) fn take(&mut self, peer: SimPeer) {
        self.peer_mut(peer).taken = true;
    }

    fn peer_mut(&mut self, peer: SimPeer) -> &mut Peer {
        &mut self.peers[peer.0 as usize]
    }

    pub(super) fn is_waiting(&self, engine: usize, listener: ListenerId) -> bool {
        self.peers.iter().any(|peer| peer.waits_at == Some((engine, listener)))
    }

    pub(super) fn accept(&mut self, engine: usize, listener: ListenerId) -> Arrival {
        let at = Some((engine, listener));
        let Some(index) = self.peers.iter().position(|peer| peer.waits_at == at) else {
            return Arrival::None;
        };
        if self.strikes(self.faults.accept_errors) {
            return Arrival::Failed(libc::EMFILE);
        }
        self.peers[index].waits_at = None;
        self.peers[index].taken = true;
        Arrival::Peer(SimPeer(index as u32))
    }

    /// Resets who still waits to be accepted.
    pub(super) fn stop_listening(&mut self, engine: usize, listener: ListenerId) {
        self.listening.retain(|entry| *entry != (engine, listener));
        for peer in &mut self.peers {
            if peer.waits_at.take_if(|at| *at == (engine, listener)).is_some() {
                peer.reset();
            }
        }
    }

    pub(super) fn has_input(&self, peer: SimPeer) -> bool {
        let peer = &self.peers[peer.0 as usize];
        let fails = peer.failures.iter().any(|(operation, _)| *operation == Operation::Receive);
        !peer.input.is_empty() || peer.input_end.is_some() || fails
    }

    pub(super) fn takes_output(&self, peer: SimPeer) -> bool {
        let peer = &self.peers[peer.0 as usize];
        peer.output_end.is_some() || peer.output.len() < peer.window_size
    }

    /// Empty at the end of the stream.
    pub(super) fn receive(&mut self, peer: SimPeer, size_max: usize) -> Result<Vec<u8>, i32> {
        let fails = self.strikes(self.faults.receive_errors);
        let one_byte = self.strikes(self.faults.one_byte_reads);
        let short = self.strikes(self.faults.short_reads);
        let available = self.peer_mut(peer).input.len().min(size_max);
        let some = 1 + self.dice.below(available.max(1) as u64) as usize;
        let state = self.peer_mut(peer);
        if fails {
            state.reset();
        }
        if let Some(errno) = state.take_failure(Operation::Receive) {
            return Err(errno);
        }
        if state.input_end == Some(End::Reset) && state.input.is_empty() {
            return Err(libc::ECONNRESET);
        }
        let length = if one_byte {
            1
        } else if short {
            some
        } else {
            available
        };
        Ok(state.input.drain(..length.min(available)).collect())
    }

    pub(super) fn send(&mut self, peer: SimPeer, outgoing: &Outgoing, sent: usize) -> Result<usize, i32> {
        let short = self.strikes(self.faults.short_sends);
        let fails = self.strikes(self.faults.send_errors);
        let state = self.peer_mut(peer);
        if fails {
            state.reset();
        }
        if let Some(errno) = state.take_failure(Operation::Send) {
            return Err(errno);
        }
        if state.output_end.is_some() {
            return Err(libc::EPIPE);
        }
        let room = state.window_size.saturating_sub(state.output.len());
        let offered = outgoing.len() - sent;
        let taken = room.min(offered);
        let taken = if short && taken > 1 { 1 + self.dice.below(taken as u64 - 1) as usize } else { taken };
        let mut left = taken;
        let state = self.peer_mut(peer);
        for piece in outgoing.pieces(sent) {
            let length = piece.len().min(left);
            state.output.extend(&piece[..length]);
            left -= length;
        }
        Ok(taken)
    }

    pub(super) fn end_engine_side(&mut self, peer: SimPeer) {
        self.peer_mut(peer).output_end.get_or_insert(End::Orderly);
    }

    /// Closes the descriptor. Unread input turns it into a reset, as in TCP.
    pub(super) fn close_engine_side(&mut self, peer: SimPeer) {
        let state = self.peer_mut(peer);
        state.engine_close_count += 1;
        if state.input.is_empty() {
            state.output_end.get_or_insert(End::Orderly);
        } else {
            state.reset();
        }
    }

    pub(super) fn is_late(&mut self) -> bool {
        self.strikes(self.faults.late_completions)
    }

    pub(super) fn buffers_run_out(&mut self) -> bool {
        self.strikes(self.faults.buffers_run_out)
    }

    pub(super) fn receive_ends(&mut self) -> bool {
        self.strikes(self.faults.receives_end)
    }

    pub(super) fn shuffle(&mut self, order: &mut [ConnectionId]) {
        if !self.strikes(self.faults.reordered_completions) {
            return;
        }
        for index in (1..order.len()).rev() {
            let other = self.dice.below(index as u64 + 1) as usize;
            order.swap(index, other);
        }
    }

    fn strikes(&mut self, rate: u8) -> bool {
        rate > 0 && self.dice.below(256) < u64::from(rate)
    }
}

/// SplitMix64: small, seeded, good enough for faults.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0);
        self.next() % bound
    }
}

/// The latest that a wake-up may be, in nanoseconds.
const LATE_WAKE_MAX_NS: u64 = 10_000_000;
/// About what loopback sockets hold.
const WINDOW_SIZE: usize = 256 * 1024;
