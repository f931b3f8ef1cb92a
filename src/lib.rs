//! crossring as a library: a node that can be embedded.

#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod cookies;
pub mod logging;
pub mod node;
mod thrift;
pub mod tls;
mod web;
pub mod worker;
