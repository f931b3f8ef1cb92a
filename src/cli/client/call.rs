//! `crossring call`.

use std::time::Duration;

use clap::Args;
use crossring_codec::message::{CallExtra, CallOptions};

use super::Connection;
use super::values::{COUNT_MAX, Mode, Payload, RunMode};
use crate::client::commands::Calling;

/// `crossring call`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Call {
    /// Procedure.
    pub procedure: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub payload: Payload,
    /// Ask for progressive results, and print each.
    #[arg(long)]
    pub progress: bool,
    /// Send each line of standard input as a further part of the call, until it ends: a list is all arguments, an object the
    /// keyword arguments, anything else one argument.
    #[arg(long, conflicts_with = "count")]
    pub stream: bool,
    /// Milliseconds after which the router gives up; a progressive result or a further part starts them anew.
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub call_timeout: Option<u64>,
    /// Milliseconds after which to cancel.
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(..=COUNT_MAX))]
    pub cancel_after: Option<u64>,
    /// How to cancel.
    #[arg(long, value_enum, default_value_t = Mode::Killnowait, requires = "cancel_after")]
    pub mode: Mode,
    /// Let the callee know who calls.
    #[arg(long)]
    pub disclose_me: bool,
    /// Resource key of a sharded registration.
    #[arg(long, value_name = "KEY")]
    pub rkey: Option<String>,
    /// How the call is spread over the callees of a sharded registration.
    #[arg(long, value_enum, requires = "rkey")]
    pub runmode: Option<RunMode>,
    /// How many times to call, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

impl Call {
    pub(super) fn calling(&self) -> Calling {
        let extra = CallExtra {
            rkey: self.rkey.clone().map(Into::into),
            runmode: self.runmode.map(|RunMode::Partition| "partition".into()),
            transaction_hash: self.payload.transaction_hash.clone().map(Into::into),
            ..CallExtra::default()
        };
        let options = CallOptions {
            receive_progress: self.progress,
            timeout_ms: self.call_timeout.unwrap_or_default(),
            disclose_me: self.disclose_me,
            extra: (extra != CallExtra::default()).then(|| Box::new(extra)),
            ..CallOptions::default()
        };
        let cancel = self.cancel_after.map(|after| (Duration::from_millis(after), self.mode.into()));
        let packing = self.payload.packing();
        Calling { options, packing, count: self.count, cancel, stream: self.stream }
    }
}
