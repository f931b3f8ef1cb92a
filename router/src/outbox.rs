//! What the core asks its host to do. The host is a worker of the real node, or the simulator.

use crossring_codec::message::Message;

use crate::address::{SessionKey, ShardId};
use crate::letter::Letter;
use crate::statistics::Traffic;

/// Why a message was not taken for a session. The session itself lives on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Longer than the peer said it accepts.
    TooLarge,
    /// The receiver's serializer cannot carry a value of the payload.
    Unrepresentable,
    /// The transport is gone or being closed; its [`crate::input::Input::Closed`] is on the way.
    Gone,
}

/// Why the core ends a transport. One enum for log, counter and metrics.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum EndCause {
    /// Both sides said GOODBYE and the transport is not used for another session.
    Goodbye,
    /// We sent ABORT.
    Aborted,
    /// The peer sent ABORT.
    PeerAborted,
    /// No WELCOME within the time allowed.
    JoinTimeout,
    /// The peer did not answer our GOODBYE in time.
    GoodbyeTimeout,
    /// The session goes on over another transport.
    Displaced,
}

/// Carries letters between shards.
pub trait Post {
    /// Hands a letter over, to be delivered in order per (sender, receiver, lane). Never refuses: the host bounds the lanes
    /// by reading its sources no further while [`crate::letter::Lane::Data`] has no credit.
    fn post(&mut self, to: ShardId, letter: Letter);
}

impl<P: Post + ?Sized> Post for &mut P {
    fn post(&mut self, to: ShardId, letter: Letter) {
        (**self).post(to, letter);
    }
}

/// Takes everything a shard emits. Handlers run to completion and append; nothing but counts is read back.
pub trait Outbox: Post {
    /// Encodes `message` into the outgoing queue of `session`, behind everything sent before.
    ///
    /// When the queue is over its limit the host drops an EVENT (and counts it) or ends the session for anything else;
    /// both look like success here.
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused>;

    /// Sends one EVENT to many: encoded once per group of equal serializer and framing, shared by its receivers.
    /// `except` is skipped. Receivers that cannot take it are counted by the host.
    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], except: Option<SessionKey>);

    /// Ends the transport of `session` once everything sent to it has left.
    fn end(&mut self, session: SessionKey, cause: EndCause);

    /// Hands over no more messages of `session` until [`Outbox::resume_input`]: what comes would only be kept. A host
    /// without this may have the session aborted.
    fn pause_input(&mut self, _session: SessionKey) {}

    /// Ends what `pause_input` began, of whatever the transport carries by now.
    fn resume_input(&mut self, _session: SessionKey) {}

    /// Tells that a message of `session` that has waited for an authorizer is acted upon now, or asked about in its turn. For
    /// hosts that watch; nothing follows from it.
    fn takes_up(&mut self, _session: SessionKey, _message: &Message<'_>) {}

    /// Counts the messages of `session`, both ways, from now on and tells of them as [`crate::input::Input::Counted`], at most
    /// once a turn. A host without this counts nothing.
    fn count(&mut self, _session: SessionKey, _rated_size: u32) {}

    /// What has been counted, also just after the transport is gone. The one thing that is read back: what a session that
    /// leaves has sent last is in its last report.
    fn traffic(&self, _session: SessionKey) -> Traffic {
        Traffic::default()
    }
}
