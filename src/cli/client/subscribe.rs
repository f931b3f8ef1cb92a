//! `crossring sub`.

use clap::Args;
use crossring_codec::message::SubscribeOptions;

use super::Connection;
use super::values::{COUNT_MAX, Match};
use crate::client::commands::Subscribing;

/// `crossring sub`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Subscribe {
    /// Topic, prefix or pattern.
    pub topic: String,
    /// How the topic is matched.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    pub matching: Match,
    /// Begin with the event that the router has kept, if any.
    #[arg(long)]
    pub get_retained: bool,
    /// Node key of a sharded subscription: events with a resource key go to one of its nodes.
    #[arg(long, value_name = "KEY")]
    pub nkey: Option<String>,
    /// Ask the router to keep the session when the transport is lost, and connect again.
    #[arg(long)]
    pub resumable: bool,
    /// Topic of an event that the router publishes when this session ends without a goodbye.
    #[arg(long, value_name = "TOPIC")]
    pub testament: Option<String>,
    /// End after so many events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

impl Subscribe {
    pub(super) fn subscribing(&self) -> Subscribing {
        let options = SubscribeOptions {
            match_policy: self.matching.into(),
            get_retained: self.get_retained,
            nkey: self.nkey.clone().map(Into::into),
            ..SubscribeOptions::default()
        };
        let (resumable, testament) = (self.resumable, self.testament.clone());
        Subscribing { options, count: self.count, resumable, testament }
    }
}
