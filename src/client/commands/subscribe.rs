//! `crossring sub`.

use std::io::Write as _;

use crossring_codec::message::SubscribeOptions;
use crossring_codec::payload::Payload;
use crossring_router::client::ClientEvent;
use crossring_router::client::types::{EventDetails, Passthru, Subscription};

use super::line::Line;
use super::{add_testament, fail_on_error, leave, wait};
use crate::client::{Client, ClientError, Destination};

/// How events are received.
#[derive(Clone, Debug, Default)]
pub struct Subscribing {
    /// Options of SUBSCRIBE.
    pub options: SubscribeOptions<'static>,
    /// End after so many events; absent: never.
    pub count: Option<u64>,
    /// Connect again when the transport is lost, if the router has kept the session.
    pub resumable: bool,
    /// Topic of the session's testament.
    pub testament: Option<String>,
}

/// Subscribes and prints events.
pub fn subscribe(to: &Destination, topic: &str, how: &Subscribing) -> Result<(), ClientError> {
    let mut client = if how.resumable { Client::join_resumable(to)? } else { Client::join(to)? };
    let testament = how.testament.as_deref();
    if let Some(testament) = testament {
        add_testament(&mut client, to, testament)?;
    }
    let request = client.session.subscribe(topic, how.options.clone())?;
    client.send(&request.message)?;
    let id = request.id;
    let subscription = wait(&mut client, to.timeout, |event| match event {
        ClientEvent::Subscribed { request, subscription } if *request == id => Some(*subscription),
        _ => None,
    })?;
    let subscription = Subscription { id: subscription, topic: topic.to_owned() };
    let mut seen = 0;
    while how.count.is_none_or(|count| seen < count) {
        match client.next(None) {
            Ok(ClientEvent::Event { subscription: id, publication, mut details, payload }) => {
                let passthru = details.extra.as_mut().map(|extra| std::mem::take(&mut extra.passthru));
                let details = EventDetails::new(id, publication, details);
                print_event(&subscription, &details, passthru.as_ref(), &payload)?;
                seen += 1;
            }
            Ok(event) => fail_on_error(event)?,
            Err(ClientError::Socket(_)) if client.session.is_resumable() => {
                client = client.resume(to)?;
                // A standard error that is gone is no reason to stop.
                let _ = writeln!(std::io::stderr(), "transport lost, session resumed");
            }
            Err(error) => return Err(error),
        }
    }
    leave(client, to, testament)
}

fn print_event(
    subscription: &Subscription,
    details: &EventDetails<'_>,
    passthru: Option<&Passthru<'_>>,
    payload: &Payload<'_>,
) -> Result<(), ClientError> {
    Line::default()
        .with("topic", subscription.topic_of(details))
        .with("publication", details.publication.get())
        .session("publisher", details.publisher)
        .text("publisher_authid", details.publisher_authid.as_ref())
        .text("publisher_authrole", details.publisher_authrole.as_ref())
        .maybe("trustlevel", details.trustlevel)
        .flag("retained", details.retained)
        .text("transaction_hash", details.transaction_hash.as_ref())
        .forwarders(details.forward_for.as_deref())
        .payload(passthru, payload)
        .print()
}
