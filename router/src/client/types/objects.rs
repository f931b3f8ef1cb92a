//! What a client holds: subscriptions, registrations, and the ids of its publications.

use crossring_codec::id::{PublicationId, RegistrationId, SubscriptionId};

use super::super::ClientSession;
use super::{CallDetails, EventDetails};

/// An acknowledged publication (`Publication`).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    /// `id`: what all its events carry.
    pub id: PublicationId,
    /// `was_encrypted`: its payload was encoded by the application.
    pub was_encrypted: bool,
}

/// A subscription (`Subscription`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// `id`: what its events carry.
    pub id: SubscriptionId,
    /// `topic`: the topic, prefix or pattern subscribed to.
    pub topic: String,
}

impl Subscription {
    /// `active`: it is held, not being given up and not revoked.
    pub fn is_active(&self, session: &ClientSession) -> bool {
        session.holds_subscription(self.id)
    }

    /// Where an event of this subscription was published.
    pub fn topic_of<'a>(&'a self, details: &'a EventDetails<'_>) -> &'a str {
        details.topic.as_deref().unwrap_or(&self.topic)
    }
}

/// A registration (`Registration`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// `id`: what its invocations carry.
    pub id: RegistrationId,
    /// `procedure`: the procedure, prefix or pattern registered.
    pub procedure: String,
}

impl Registration {
    /// `active`: it is held, not being given up and not revoked.
    pub fn is_active(&self, session: &ClientSession) -> bool {
        session.holds_registration(self.id)
    }

    /// What a caller of this registration has called.
    pub fn procedure_of<'a>(&'a self, details: &'a CallDetails<'_>) -> &'a str {
        details.procedure.as_deref().unwrap_or(&self.procedure)
    }
}
