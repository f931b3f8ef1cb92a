//! The I/O engines of crossring: io_uring, epoll and simulated, behind one trait.
//!
//! An [`Engine`] belongs to one thread. A worker's turn is: [`Engine::poll`], handle all events, note
//! all sends; the next poll hands them to the kernel in one system call. Beside the engines live what
//! threads need around them: [`mailbox`] between shards, [`listener`] and [`affinity`] helpers.
//!
//! ```
//! use std::io::{Read, Write};
//! use crossring_io::{EngineKind, EngineOptions, Engine, Event, Outgoing, Wait, open};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut engine, report) = open(EngineKind::Auto, EngineOptions::default())?;
//! println!("{report}");
//! let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
//! engine.adopt(ours.into())?;
//! theirs.write_all(b"echo")?;
//! let mut events = Vec::new();
//! let mut sent = false;
//! while !sent {
//!     engine.poll(&mut events, Wait::FOREVER)?;
//!     for event in events.drain(..) {
//!         match event {
//!             Event::Received { connection, buffer } => {
//!                 let answer = engine.bytes(&buffer).to_vec();
//!                 engine.release(buffer);
//!                 engine.send(connection, Outgoing::Owned(answer));
//!             }
//!             Event::Sent { .. } => sent = true,
//!             event => panic!("{event:?}"),
//!         }
//!     }
//! }
//! let mut answer = [0; 4];
//! theirs.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"echo");
//! # Ok(())
//! # }
//! ```
//!
//! This crate knows no WAMP. It is the only one with `unsafe`: for the ring and its memory, and for calls of the system that no safe crate has.

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
pub mod descriptors;
pub mod listener;
pub mod mailbox;
pub mod memory;
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
