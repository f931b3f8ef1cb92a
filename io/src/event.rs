//! The vocabulary of the engines: what a worker names, what it asks for and what it is told.
//!
//! Everything here is plain data. Both directions are closed enums, so that a turn can be logged,
//! replayed and simulated.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use crate::buffer::Outgoing;
use crate::lease::BufferLease;

/// Names one connection of one engine.
///
/// Slots are dense: a new connection takes the lowest free one, so a worker can keep its own state
/// in a vector. The generation changes each time a slot is vacated, so a stale id is recognised.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, PartialOrd, Ord)]
pub struct ConnectionId {
    /// Index into the engine's connection table; below `EngineOptions::connections_max`.
    pub slot: u32,
    /// How many connections used this slot before (wrapping).
    pub generation: u32,
}

/// Names one listening socket of one engine; never reused.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// A point of time on `CLOCK_MONOTONIC`, in nanoseconds since the process first asked for the time.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, PartialOrd, Ord, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The earliest point of time: a deadline that has always passed.
    pub const ZERO: Monotonic = Monotonic(0);

    /// Reads the clock. All threads of the process share one origin.
    pub fn read() -> Monotonic {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let elapsed = ORIGIN.get_or_init(Instant::now).elapsed();
        Monotonic(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// This point of time plus `duration_ns`, saturating.
    #[must_use]
    pub fn after_ns(self, duration_ns: u64) -> Monotonic {
        Monotonic(self.0.saturating_add(duration_ns))
    }

    /// Nanoseconds from `earlier` to here, zero if `earlier` is later.
    pub fn since_ns(self, earlier: Monotonic) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What an engine tells its worker.
#[derive(Debug)]
pub enum Event {
    /// A peer connected. The engine receives from it already.
    Accepted {
        /// The listener it came through.
        listener: ListenerId,
        /// The new connection.
        connection: ConnectionId,
    },
    /// Bytes arrived. Read them with `Engine::bytes`, then give the lease to `Engine::release`.
    Received {
        /// The connection they came from.
        connection: ConnectionId,
        /// The buffer that holds them, lent to the worker.
        buffer: BufferLease,
    },
    /// Everything given to `Engine::send` was handed to the kernel; the next send may follow.
    Sent {
        /// The connection it went to.
        connection: ConnectionId,
        /// The buffers, back in the worker's ownership.
        returned: Outgoing,
    },
    /// The connection is gone: no operation is left, its descriptor is closed. Told exactly once per
    /// connection, as its last event.
    Closed {
        /// The connection; from here on its id is stale.
        connection: ConnectionId,
        /// Why it ended.
        reason: CloseReason,
    },
    /// Somebody rang the engine's doorbell, once or several times.
    Doorbell,
    /// Accepting failed. The engine backs off and tries again by itself.
    AcceptFailed {
        /// The listener concerned.
        listener: ListenerId,
        /// The kernel's error number.
        errno: i32,
    },
}

/// Why a connection ended; the one reason for logs and counters alike.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed its sending side. What the worker sends in answer to the last bytes, in the same
    /// turn, is still delivered; a peer that only half-closes is not served further.
    EndOfStream,
    /// `Engine::close` was called.
    Local,
    /// An operation on the connection failed.
    Error {
        /// The operation that failed.
        operation: Operation,
        /// The kernel's error number.
        errno: i32,
    },
}

/// The kernel operations that can fail visibly.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Operation {
    /// Creating the ring or the epoll instance.
    Setup,
    /// Submitting operations and waiting for completions.
    Wait,
    /// Taking a connection from a listening socket.
    Accept,
    /// Receiving bytes.
    Receive,
    /// Sending bytes.
    Send,
    /// Preparing a socket: options, registration.
    Configure,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Setup => "setup",
            Operation::Wait => "wait",
            Operation::Accept => "accept",
            Operation::Receive => "receive",
            Operation::Send => "send",
            Operation::Configure => "configure",
        })
    }
}

/// The engine itself can not go on; the blast radius is the shard.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct EngineFault {
    /// The operation that failed.
    pub operation: Operation,
    /// The kernel's error number.
    pub errno: i32,
}

impl fmt::Display for EngineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = std::io::Error::from_raw_os_error(self.errno);
        write!(f, "I/O engine: {} failed: {cause}", self.operation)
    }
}

impl std::error::Error for EngineFault {}

/// Why a connected stream was not adopted. The stream is closed in either case.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum AdoptError {
    /// `EngineOptions::connections_max` is reached; recovers when a connection closes.
    Full,
    /// The socket could not be prepared.
    Socket {
        /// The kernel's error number.
        errno: i32,
    },
}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdoptError::Full => f.write_str("the connection table is full"),
            AdoptError::Socket { errno } => {
                write!(f, "adopt stream: {}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for AdoptError {}

/// How `Engine::close` ends a connection.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Close {
    /// Finish the send in flight, end our side of the stream, then discard what the peer still sends
    /// until it closes too or `EngineOptions::linger_ns` passed. So the last bytes are not destroyed
    /// by a reset.
    AfterSend,
    /// Cancel everything and close.
    Now,
}

/// How long one `Engine::poll` may wait.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Wait {
    /// Latest return; `None` waits until something happens, a past point of time does not block.
    pub until: Option<Monotonic>,
    /// Wait for more than one event, for a while. Only a hint.
    pub batch: Option<Batch>,
}

impl Wait {
    /// Do not block.
    pub const NOW: Wait = Wait { until: Some(Monotonic::ZERO), batch: None };
    /// Block until something happens.
    pub const FOREVER: Wait = Wait { until: None, batch: None };

    /// Block until something happens or `deadline` passes.
    pub const fn until(deadline: Monotonic) -> Wait {
        Wait { until: Some(deadline), batch: None }
    }
}

/// Adaptive batching: return when `events` are there, or when `for_ns` passed and one is there.
///
/// Trades latency for fewer turns; worth it only after a busy turn.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Batch {
    /// How many events, beside completed sends, are worth a turn.
    pub events: u32,
    /// How long to wait for them, in nanoseconds; the kernel counts whole microseconds.
    pub for_ns: u32,
}

/// Who is at the other end of a connection.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum PeerAddress {
    /// A TCP peer.
    Internet(SocketAddr),
    /// A process on this host, connected by a Unix socket.
    Process {
        /// Its process id when it connected; may be gone by now.
        pid: u32,
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
    /// The id is stale or the kernel does not say.
    Unknown,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Internet(address) => write!(f, "{address}"),
            PeerAddress::Process { pid, uid, gid } => write!(f, "unix:pid={pid},uid={uid},gid={gid}"),
            PeerAddress::Unknown => f.write_str("unknown"),
        }
    }
}

const _: () = assert!(size_of::<ConnectionId>() == 8);
const _: () = assert!(size_of::<Event>() <= 48);
