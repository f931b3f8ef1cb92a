//! What a handler is told about an event or a call.

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{self, Forwarder, Text};

/// Details of an event (`EventDetails`; specification, "EVENT").
#[derive(Clone, Debug, PartialEq)]
pub struct EventDetails<'a> {
    /// `subscription`: the one that matched.
    pub subscription: SubscriptionId,
    /// `publication`: the same for all receivers and, if several match, for all subscriptions.
    pub publication: PublicationId,
    /// `publisher`: the publishing session, if disclosed.
    pub publisher: Option<SessionId>,
    /// `publisher_authid`, if disclosed.
    pub publisher_authid: Option<Text<'a>>,
    /// `publisher_authrole`, if disclosed.
    pub publisher_authrole: Option<Text<'a>>,
    /// `topic`: where it was published; only for prefix and wildcard subscriptions.
    pub topic: Option<Text<'a>>,
    /// `retained`: kept by the router, not just published. Default: false.
    pub retained: bool,
    /// `transaction_hash`: given by the publisher.
    pub transaction_hash: Option<Text<'a>>,
    /// `enc_algo`: how the payload is encoded; absent: it is not.
    pub enc_algo: Option<Text<'a>>,
    /// `forward_for`: whom it was forwarded for, the publisher first.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
    /// `trustlevel` of the publisher, 0 is the lowest; absent: the router tells none. Autobahn drops it.
    pub trustlevel: Option<u64>,
}

impl<'a> EventDetails<'a> {
    /// The details of [`super::super::ClientEvent::Event`].
    pub fn new(
        subscription: SubscriptionId,
        publication: PublicationId,
        details: message::EventDetails<'a>,
    ) -> Self {
        let extra = details.extra.map(|extra| *extra).unwrap_or_default();
        Self {
            subscription,
            publication,
            publisher: details.publisher,
            publisher_authid: details.publisher_authid,
            publisher_authrole: details.publisher_authrole,
            topic: details.topic,
            retained: details.retained,
            transaction_hash: extra.transaction_hash,
            enc_algo: extra.passthru.enc_algo,
            forward_for: extra.forward_for,
            trustlevel: details.trustlevel,
        }
    }
}

/// Details of a call (`CallDetails`; specification, "INVOCATION").
#[derive(Clone, Debug, PartialEq)]
pub struct CallDetails<'a> {
    /// `registration`: the one that was called.
    pub registration: RegistrationId,
    /// `progress`: what progressive results are sent with; absent: the caller takes none.
    pub progress: Option<ProgressHandle>,
    /// `caller`: the calling session, if disclosed.
    pub caller: Option<SessionId>,
    /// `caller_authid`, if disclosed.
    pub caller_authid: Option<Text<'a>>,
    /// `caller_authrole`, if disclosed.
    pub caller_authrole: Option<Text<'a>>,
    /// `procedure`: what was called; only for prefix and wildcard registrations.
    pub procedure: Option<Text<'a>>,
    /// `transaction_hash`: given by the caller.
    pub transaction_hash: Option<Text<'a>>,
    /// `enc_algo`: how the payload is encoded; absent: it is not.
    pub enc_algo: Option<Text<'a>>,
    /// `forward_for`: whom it was forwarded for, the caller first.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
    /// `trustlevel` of the caller, 0 is the lowest; absent: the router tells none. Autobahn drops it.
    pub trustlevel: Option<u64>,
    /// Whether more parts of a progressive invocation follow under the same request. Default: false. Autobahn knows none.
    pub more: bool,
    /// Milliseconds until the caller gives up, if the callee registered with `forward_timeout`; 0 = never.
    pub timeout_ms: u64,
}

impl<'a> CallDetails<'a> {
    /// The details of [`super::super::ClientEvent::Invocation`].
    pub fn new(
        request: RequestId,
        registration: RegistrationId,
        details: message::InvocationDetails<'a>,
    ) -> Self {
        let extra = details.extra.map(|extra| *extra).unwrap_or_default();
        Self {
            registration,
            progress: details.receive_progress.then_some(ProgressHandle(request)),
            caller: details.caller,
            caller_authid: details.caller_authid,
            caller_authrole: details.caller_authrole,
            procedure: details.procedure,
            transaction_hash: extra.transaction_hash,
            enc_algo: extra.passthru.enc_algo,
            forward_for: extra.forward_for,
            trustlevel: details.trustlevel,
            more: details.progress,
            timeout_ms: details.timeout_ms,
        }
    }
}

/// The right to send progressive results of one invocation. Only [`CallDetails::new`] gives it, so a callee cannot send what
/// the caller has not asked for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ProgressHandle(RequestId);

impl ProgressHandle {
    /// The invocation.
    pub const fn request(self) -> RequestId {
        self.0
    }
}
