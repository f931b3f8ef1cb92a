//! Deterministic simulator of the router core: data shards, registry and clients in one thread, virtual time, and one seed
//! that decides everything, faults included. Checkers hold what crosses the router's edge against the specification and
//! against a naive router without shards.

#![forbid(unsafe_code)]

pub mod bug;
pub mod checkers;
pub mod client;
pub mod clock;
pub mod host;
pub mod judge;
pub mod model;
pub mod observation;
pub mod options;
pub mod postbox;
pub mod realm;
pub mod rng;
pub mod simulation;
pub mod tag;
pub mod trace;
pub mod wire;
pub mod workload;

pub use judge::Violation;
pub use options::Request;
pub use simulation::{Outcome, run};
