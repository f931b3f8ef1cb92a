//! `crossring pub`.

use clap::{ArgAction, Args};
use crossring_codec::message::{PublishExtra, PublishOptions};

use super::Connection;
use super::values::{COUNT_MAX, Payload, Session};
use crate::client::commands::Publishing;

/// `crossring pub`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Publish {
    /// Topic.
    pub topic: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub payload: Payload,
    /// Wait until the router confirms each publication.
    #[arg(long)]
    pub acknowledge: bool,
    /// Ask the router to keep the event for later subscribers.
    #[arg(long)]
    pub retain: bool,
    /// Ask subscribers to acknowledge the event to the router.
    #[arg(long)]
    pub acknowledged_delivery: bool,
    /// Whether the publisher gets no event itself.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub exclude_me: bool,
    /// Let subscribers know who publishes.
    #[arg(long)]
    pub disclose_me: bool,
    /// Sessions that get no event; commas or several options.
    #[arg(long, value_name = "SESSION", value_delimiter = ',')]
    pub exclude: Option<Vec<Session>>,
    /// Identities that get no event; commas or several options.
    #[arg(long, value_name = "AUTHID", value_delimiter = ',')]
    pub exclude_authid: Option<Vec<String>>,
    /// Roles that get no event; commas or several options.
    #[arg(long, value_name = "AUTHROLE", value_delimiter = ',')]
    pub exclude_authrole: Option<Vec<String>>,
    /// The only sessions that get the event; commas or several options.
    #[arg(long, value_name = "SESSION", value_delimiter = ',')]
    pub eligible: Option<Vec<Session>>,
    /// The only identities that get the event; commas or several options.
    #[arg(long, value_name = "AUTHID", value_delimiter = ',')]
    pub eligible_authid: Option<Vec<String>>,
    /// The only roles that get the event; commas or several options.
    #[arg(long, value_name = "AUTHROLE", value_delimiter = ',')]
    pub eligible_authrole: Option<Vec<String>>,
    /// Resource key of sharded subscriptions: one node of each gets the event.
    #[arg(long, value_name = "KEY")]
    pub rkey: Option<String>,
    /// How many times to publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

impl Publish {
    pub(super) fn publishing(&self) -> Publishing {
        let extra = self.extra();
        let options = PublishOptions {
            acknowledge: self.acknowledge,
            exclude_me: self.exclude_me,
            disclose_me: self.disclose_me,
            retain: self.retain,
            extra: (extra != PublishExtra::default()).then(|| Box::new(extra)),
        };
        Publishing { options, packing: self.payload.packing(), count: self.count }
    }

    fn extra(&self) -> PublishExtra<'static> {
        let sessions = |list: &Option<Vec<Session>>| {
            list.as_deref().map(|list| list.iter().map(|session| session.0).collect())
        };
        let texts = |list: &Option<Vec<String>>| {
            list.as_deref().map(|list| list.iter().map(|text| text.clone().into()).collect())
        };
        PublishExtra {
            exclude: sessions(&self.exclude),
            exclude_authid: texts(&self.exclude_authid),
            exclude_authrole: texts(&self.exclude_authrole),
            eligible: sessions(&self.eligible),
            eligible_authid: texts(&self.eligible_authid),
            eligible_authrole: texts(&self.eligible_authrole),
            rkey: self.rkey.clone().map(Into::into),
            x_acknowledged_delivery: self.acknowledged_delivery,
            transaction_hash: self.payload.transaction_hash.clone().map(Into::into),
            ..PublishExtra::default()
        }
    }
}
