//! Load generator, floor pump and side-by-side comparison: everything behind the `crossring-perf` binary.
//!
//! A measurement is a [`scenario::Scenario`] driven by [`driver`] against a [`target::Target`]; the
//! same code drives every [`protocol`]. [`compare`] starts the systems, [`report`] sets them side by side.
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod compare;
pub mod driver;
pub mod fault;
pub mod identity;
pub mod link;
pub mod machine;
pub mod placement;
pub mod progress;
pub mod protocol;
pub mod pump;
pub mod recorder;
pub mod report;
pub mod run;
pub mod runtime;
pub mod scenario;
pub mod schedule;
pub mod server_process;
pub mod target;
mod tls;
