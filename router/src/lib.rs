//! All WAMP logic of crossring, sans-IO: the router half and the client half.
//!
//! Inputs and the time go in, messages and letters come out. No socket, no thread, no clock, no environment, no ambient
//! randomness: the same seed and the same inputs give the same outputs.

#![forbid(unsafe_code)]

pub mod address;
mod agent;
mod auth;
mod authz;
mod broker;
pub mod client;
pub mod config;
pub mod control;
pub mod cookies;
pub mod counters;
pub mod credentials;
mod dealer;
mod dense;
pub mod derivation;
pub mod details;
mod forwarding;
mod held;
pub mod input;
mod inquiry;
pub mod inspect;
pub mod letter;
mod lifecycle;
pub mod limits;
pub mod outbox;
mod owned;
mod passthru;
mod pattern;
pub mod registry;
mod rendezvous;
mod resumption;
pub mod rfc3339;
mod rng;
mod session;
pub mod shard;
pub mod statistics;
pub mod store;
mod table;
mod timers;
