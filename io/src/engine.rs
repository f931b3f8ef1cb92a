//! The seam between a worker and the kernel.

use std::os::fd::OwnedFd;

use crate::buffer::Outgoing;
use crate::doorbell::Doorbell;
use crate::event::{AdoptError, Close, ConnectionId, EngineFault, Event, ListenerId, Monotonic};
use crate::event::{PeerAddress, Wait};
use crate::lease::BufferLease;

/// A completion-driven view of the sockets of one thread.
///
/// An engine stays on the thread that opened it. Operations are only noted; the next [`poll`]
/// hands them to the kernel together. Calls that name a stale connection are ignored, because its
/// end may cross them.
///
/// [`poll`]: Engine::poll
pub trait Engine {
    /// The time of the last poll, without asking the clock.
    fn now(&self) -> Monotonic;

    /// Hands everything noted to the kernel, waits as `wait` says and appends what happened to
    /// `events`. Returns early, also without an event, when a signal arrives.
    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> Result<(), EngineFault>;

    /// The bytes of a lease. Panics if this engine did not lend it.
    fn bytes(&self, lease: &BufferLease) -> &[u8];

    /// Takes a lease back. Panics if this engine did not lend it.
    fn release(&mut self, lease: BufferLease);

    /// Sends `data`, which must not be empty, and returns it with `Event::Sent` when all of it is
    /// with the kernel. Panics if the connection is still sending. Dropped when the connection ends.
    fn send(&mut self, connection: ConnectionId, data: Outgoing);

    /// Stops receiving, so that the peer is slowed down by its window. Bytes which the kernel already
    /// handed over may still arrive as events, as may the connection's end.
    fn pause_receive(&mut self, connection: ConnectionId);

    /// Receives again after `pause_receive`.
    fn resume_receive(&mut self, connection: ConnectionId);

    /// Ends the connection; `Event::Closed` follows once.
    fn close(&mut self, connection: ConnectionId, how: Close);

    /// Accepts from a listening socket until `stop_listening`.
    fn listen(&mut self, socket: OwnedFd) -> ListenerId;

    /// Closes a listening socket. Connections accepted before stay.
    fn stop_listening(&mut self, listener: ListenerId);

    /// Takes over a connected stream and receives from it.
    fn adopt(&mut self, stream: OwnedFd) -> Result<ConnectionId, AdoptError>;

    /// Who is at the other end, asked from the kernel at each call.
    fn peer(&self, connection: ConnectionId) -> PeerAddress;

    /// The descriptor of a connection's socket, for people; none if the id is stale or there is no socket.
    fn descriptor(&self, connection: ConnectionId) -> Option<i32>;

    /// What wakes this engine, from any thread.
    fn doorbell(&self) -> Doorbell;

    /// Rings `other` from this engine's thread in the cheapest way; takes effect with the next poll
    /// at the latest.
    fn ring(&mut self, other: &Doorbell);

    /// Gives memory back that only a burst needed: of receive buffers and of connections that are gone. Takes up to a
    /// millisecond, so it is for calm moments.
    fn trim(&mut self);

    /// What the engine did so far.
    fn counters(&self) -> &EngineCounters;
}

/// What an engine may use. One per shard.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Most connections at once; further ones are closed as soon as they are accepted and counted.
    /// At most 2^28. One costs less than 200 bytes.
    pub connections_max: u32,
    /// Number of receive buffers of the shard; a power of two, at most 32768.
    pub receive_buffer_count: u32,
    /// Size of one receive buffer in bytes.
    pub receive_buffer_size: u32,
    /// Entries of the submission queue (io_uring only); a power of two. A turn with more operations
    /// submits in between.
    pub submission_count: u32,
    /// Entries of the completion queue (io_uring only); a power of two, at least eight times
    /// `submission_count`.
    pub completion_count: u32,
    /// How long `Close::AfterSend` waits for the peer to close, in nanoseconds.
    pub linger_ns: u64,
    /// How long accepting rests after the kernel ran out of descriptors or memory, in nanoseconds.
    pub accept_pause_ns: u64,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            connections_max: 1 << 20,
            receive_buffer_count: 512,
            receive_buffer_size: 16 * 1024,
            submission_count: 1024,
            completion_count: 8192,
            linger_ns: 1_000_000_000,
            accept_pause_ns: 100_000_000,
        }
    }
}

impl EngineOptions {
    /// Panics on options outside the documented bounds: they come from our own code.
    pub(crate) fn check(&self) {
        assert!(self.connections_max <= crate::slots::SLOT_COUNT_MAX);
        assert!(self.receive_buffer_count.is_power_of_two());
        assert!(self.receive_buffer_count <= 32_768);
        assert!(self.receive_buffer_size > 0);
        assert!(self.receive_buffer_size <= RECEIVE_BUFFER_SIZE_MAX);
        assert!(self.submission_count.is_power_of_two());
        assert!(self.completion_count.is_power_of_two());
        assert!(self.completion_count / 8 >= self.submission_count);
    }
}

/// Keeps the receive memory of a shard countable in 32 bits per buffer.
const RECEIVE_BUFFER_SIZE_MAX: u32 = 1 << 24;

/// Connections that one poll lets in by one of so many listeners: four by all of them, but each has its turn. Each costs its turn tens of
/// microseconds, and those there are wait for the turn's end.
pub(crate) fn accepts_per_poll(listeners: usize) -> usize {
    (4 / listeners.max(1)).max(1)
}

/// Plain counters of one engine, since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Calls of `poll`.
    pub polls: u64,
    /// System calls that submitted or waited (`io_uring_enter`, `epoll_pwait2`).
    pub waits: u64,
    /// Early submissions because the submission queue was full.
    pub submission_queue_full: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Streams handed in by `adopt`.
    pub adopted: u64,
    /// Failed accepts, each told as `Event::AcceptFailed`.
    pub accept_failures: u64,
    /// Connections closed at once because the table was full or their listener had stopped.
    pub refused: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Buffers filled.
    pub receives: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Times a connection waited because no receive buffer was free.
    pub receive_buffers_exhausted: u64,
    /// Times receiving was started again after the kernel had ended it.
    pub receive_restarts: u64,
    /// `Event::Sent` told.
    pub sends: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Sends which the kernel took only in part.
    pub short_sends: u64,
    /// `Event::Doorbell` told.
    pub doorbells: u64,
    /// Doorbells rung at others.
    pub rings: u64,
    /// Receive buffers lent and not yet given back.
    pub leases_outstanding: u64,
}
