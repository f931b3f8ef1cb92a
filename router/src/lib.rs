//! All WAMP logic of crossring, sans-IO: the router half and the client half.
//!
//! Inputs and the time go in, messages and letters come out. No socket, no thread, no clock, no environment, no ambient
//! randomness: the same seed and the same inputs give the same outputs.

#![forbid(unsafe_code)]

pub mod address;
pub mod client;
pub mod config;
pub mod counters;
pub mod input;
pub mod inspect;
pub mod letter;
pub mod limits;
pub mod outbox;
pub mod registry;
pub mod shard;
