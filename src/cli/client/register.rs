//! `crossring register`.

use std::time::Duration;

use clap::Args;
use crossring_codec::message::RegisterOptions;

use super::Connection;
use super::values::{COUNT_MAX, Invoke, JsonArgument, Match, wire_value};
use crate::client::commands::{Answer, Arguments, Registering};

/// `crossring register`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Register {
    /// Procedure, prefix or pattern.
    pub procedure: String,
    /// How the procedure is matched.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    pub matching: Match,
    /// How calls are shared with other callees of the same procedure.
    #[arg(long, value_enum, default_value_t = Invoke::Single)]
    pub invoke: Invoke,
    /// Most calls that are under way here at once [default: no limit].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub concurrency: Option<u64>,
    /// Remove present callees of the procedure first.
    #[arg(long)]
    pub force_reregister: bool,
    /// Be told who calls, whether callers want it or not.
    #[arg(long)]
    pub disclose_caller: bool,
    /// Mind the timeouts of calls here instead of in the router.
    #[arg(long)]
    pub forward_timeout: bool,
    /// What calls are answered with, as JSON; what is no JSON counts as a string [default: their own arguments].
    #[arg(long, value_name = "VALUE", conflicts_with = "error")]
    pub result: Option<JsonArgument>,
    /// Answer calls with this error and their own arguments.
    #[arg(long, value_name = "URI")]
    pub error: Option<String>,
    /// How many progressive results to send before the final one, to callers who want them.
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=COUNT_MAX))]
    pub progress: u64,
    /// Milliseconds that a call takes.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    pub delay: u64,
    /// Topic of an event that the router publishes when this session ends without a goodbye.
    #[arg(long, value_name = "TOPIC")]
    pub testament: Option<String>,
    /// End after so many calls.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

impl Register {
    pub(super) fn registering(&self) -> Registering {
        let options = RegisterOptions {
            match_policy: self.matching.into(),
            invoke: self.invoke.into(),
            disclose_caller: self.disclose_caller,
            forward_timeout: self.forward_timeout,
            concurrency: self.concurrency,
            force_reregister: self.force_reregister,
            ..RegisterOptions::default()
        };
        Registering {
            options,
            answer: self.answer(),
            progress: self.progress,
            delay: Duration::from_millis(self.delay),
            count: self.count,
            testament: self.testament.clone(),
        }
    }

    fn answer(&self) -> Answer {
        match (&self.error, &self.result) {
            (Some(error), _) => Answer::Error(error.clone()),
            (None, Some(JsonArgument(value))) => {
                Answer::Fixed(Arguments { positional: vec![wire_value(value)], keywords: Vec::new() })
            }
            (None, None) => Answer::Echo,
        }
    }
}
