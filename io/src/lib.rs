//! The I/O engines of crossring: io_uring, epoll and simulated, behind one trait.
//!
//! An [`Engine`] belongs to one thread. A worker's turn is: [`Engine::poll`], handle all events, note
//! all sends; the next poll hands them to the kernel in one system call. Beside the engines live what
//! threads need around them: [`mailbox`] between shards, [`listener`] and [`affinity`] helpers.
//!
//! This crate knows no WAMP. It is the only one with `unsafe`, confined to `uring/`.

mod any;
mod buffer;
mod doorbell;
mod engine;
mod epoll;
mod event;
mod lease;
mod probe;
mod slots;
mod socket;
mod uring;

pub mod affinity;
pub mod listener;
pub mod mailbox;
pub mod sim;

pub use any::AnyEngine;
pub use buffer::{Chunk, ChunkBuilder, ChunkPool, Outgoing, Segment};
pub use doorbell::Doorbell;
pub use engine::{Engine, EngineCounters, EngineOptions};
pub use epoll::Epoll;
pub use event::{
    AdoptError, Batch, Close, CloseReason, ConnectionId, EngineFault, Event, ListenerId, Monotonic,
    Operation, PeerAddress, Wait,
};
pub use lease::BufferLease;
pub use probe::{EngineKind, Feature, OpenError, ProbeReport, Refusal, open, open_probed, probe};
pub use uring::Ring;
