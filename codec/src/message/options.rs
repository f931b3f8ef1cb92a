//! Options and details of the messages (WAMP specification, Basic and Advanced Profile).
//!
//! Reading: unknown keys are ignored, a known key with a wrong type is a protocol violation, `null` counts as absent.
//! Writing: a field with its default value is not written.

use super::{ClientRoles, RouterRoles, Text};
use crate::id::SessionId;
use crate::uri::Match;
use crate::value::Dict;

/// `HELLO.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HelloDetails<'a> {
    /// Announced roles; at least one.
    pub roles: ClientRoles,
    /// Name of the implementation.
    pub agent: Option<Text<'a>>,
    /// Authentication methods in the order of preference.
    pub authmethods: Vec<Text<'a>>,
    /// Identity asked for.
    pub authid: Option<Text<'a>>,
    /// Role asked for.
    pub authrole: Option<Text<'a>>,
    /// Method specific.
    pub authextra: Dict,
    /// The session shall survive a lost transport.
    pub resumable: bool,
    /// The session to resume.
    pub resume_session: Option<SessionId>,
    /// The token that proves the right to resume it.
    pub resume_token: Option<Text<'a>>,
}

/// `WELCOME.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WelcomeDetails<'a> {
    /// What the router is and can do.
    pub roles: RouterRoles,
    /// The realm joined.
    pub realm: Option<Text<'a>>,
    /// The identity in force.
    pub authid: Option<Text<'a>>,
    /// The role in force.
    pub authrole: Option<Text<'a>>,
    /// The method that was used.
    pub authmethod: Option<Text<'a>>,
    /// Who vouched for the identity.
    pub authprovider: Option<Text<'a>>,
    /// Method specific.
    pub authextra: Dict,
    /// Name of the implementation.
    pub agent: Option<Text<'a>>,
    /// The session was resumed.
    pub resumed: bool,
    /// The session can be resumed.
    pub resumable: bool,
    /// With what it can be resumed; written under both spellings, `resume_token` and `resume-token`.
    pub resume_token: Option<Text<'a>>,
    /// Entries whose names begin with `x_`: extensions of the router at hand.
    pub custom: Dict,
}

/// Keys of payload passthru mode (`ppt_*`) and of Autobahn's payload transparency (`enc_*`): copied, never interpreted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passthru<'a> {
    /// `ppt_scheme`
    pub ppt_scheme: Option<Text<'a>>,
    /// `ppt_serializer`
    pub ppt_serializer: Option<Text<'a>>,
    /// `ppt_cipher`
    pub ppt_cipher: Option<Text<'a>>,
    /// `ppt_keyid`
    pub ppt_keyid: Option<Text<'a>>,
    /// `enc_algo`: `cryptobox`, `mqtt`, `xbr` or `x_…`; anything else is a violation.
    pub enc_algo: Option<Text<'a>>,
    /// `enc_key`
    pub enc_key: Option<Text<'a>>,
    /// `enc_serializer`
    pub enc_serializer: Option<Text<'a>>,
}

/// One hop of `forward_for`.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarder<'a> {
    /// The session whose message was forwarded.
    pub session: SessionId,
    /// Its `authid`.
    pub authid: Option<Text<'a>>,
    /// Its `authrole`.
    pub authrole: Text<'a>,
}

/// `PUBLISH.Options`.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishOptions<'a> {
    /// The publisher wants PUBLISHED or ERROR.
    pub acknowledge: bool,
    /// The publisher is no receiver (default true).
    pub exclude_me: bool,
    /// The publisher wants to be disclosed.
    pub disclose_me: bool,
    /// The event shall be retained.
    pub retain: bool,
    /// Everything rare.
    pub extra: Option<Box<PublishExtra<'a>>>,
}

impl<'a> PublishOptions<'a> {
    /// The rare keys, to be filled.
    pub fn extra_mut(&mut self) -> &mut PublishExtra<'a> {
        self.extra.get_or_insert_default()
    }
}

impl Default for PublishOptions<'_> {
    fn default() -> Self {
        Self { acknowledge: false, exclude_me: true, disclose_me: false, retain: false, extra: None }
    }
}

/// The rare keys of `PUBLISH.Options`. A list that is present and empty is not the same as an absent one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishExtra<'a> {
    /// `exclude`: sessions that do not receive the event.
    pub exclude: Option<Vec<SessionId>>,
    /// `exclude_authid`
    pub exclude_authid: Option<Vec<Text<'a>>>,
    /// `exclude_authrole`
    pub exclude_authrole: Option<Vec<Text<'a>>>,
    /// `eligible`: the only sessions that receive the event.
    pub eligible: Option<Vec<SessionId>>,
    /// `eligible_authid`
    pub eligible_authid: Option<Vec<Text<'a>>>,
    /// `eligible_authrole`
    pub eligible_authrole: Option<Vec<Text<'a>>>,
    /// Resource key of sharded subscriptions.
    pub rkey: Option<Text<'a>>,
    /// Passthru keys.
    pub passthru: Passthru<'a>,
    /// Autobahn: copied to the event.
    pub transaction_hash: Option<Text<'a>>,
    /// Subscribers shall answer EVENT_RECEIVED: copied to the event.
    pub x_acknowledged_delivery: bool,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `SUBSCRIBE.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscribeOptions<'a> {
    /// `match`
    pub match_policy: Match,
    /// Send the retained event after SUBSCRIBED.
    pub get_retained: bool,
    /// Node key of sharded subscriptions.
    pub nkey: Option<Text<'a>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `EVENT.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventDetails<'a> {
    /// The topic published to; present for prefix and wildcard subscriptions.
    pub topic: Option<Text<'a>>,
    /// The publisher, if disclosed.
    pub publisher: Option<SessionId>,
    /// Its `authid`.
    pub publisher_authid: Option<Text<'a>>,
    /// Its `authrole`.
    pub publisher_authrole: Option<Text<'a>>,
    /// Trust level from the configuration, 0 is the lowest.
    pub trustlevel: Option<u64>,
    /// This is a retained event.
    pub retained: bool,
    /// Everything rare.
    pub extra: Option<Box<EventExtra<'a>>>,
}

impl<'a> EventDetails<'a> {
    /// The rare keys, to be filled.
    pub fn extra_mut(&mut self) -> &mut EventExtra<'a> {
        self.extra.get_or_insert_default()
    }
}

/// The rare keys of `EVENT.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventExtra<'a> {
    /// Passthru keys.
    pub passthru: Passthru<'a>,
    /// Autobahn: copied from the publication.
    pub transaction_hash: Option<Text<'a>>,
    /// Autobahn: the subscriber shall answer EVENT_RECEIVED.
    pub x_acknowledged_delivery: bool,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `CALL.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions<'a> {
    /// The caller takes progressive results.
    pub receive_progress: bool,
    /// More CALLs with this request id follow.
    pub progress: bool,
    /// Milliseconds until the call times out; 0 = never.
    pub timeout_ms: u64,
    /// The caller wants to be disclosed.
    pub disclose_me: bool,
    /// Everything rare.
    pub extra: Option<Box<CallExtra<'a>>>,
}

impl<'a> CallOptions<'a> {
    /// The rare keys, to be filled.
    pub fn extra_mut(&mut self) -> &mut CallExtra<'a> {
        self.extra.get_or_insert_default()
    }
}

/// The rare keys of `CALL.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallExtra<'a> {
    /// Resource key of sharded registrations.
    pub rkey: Option<Text<'a>>,
    /// `all` or `partition`.
    pub runmode: Option<Text<'a>>,
    /// Passthru keys.
    pub passthru: Passthru<'a>,
    /// Autobahn: copied to the invocation.
    pub transaction_hash: Option<Text<'a>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
    /// Router links: the original caller.
    pub caller: Option<SessionId>,
    /// Router links: its `authid`.
    pub caller_authid: Option<Text<'a>>,
    /// Router links: its `authrole`.
    pub caller_authrole: Option<Text<'a>>,
}

/// `INVOCATION.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvocationDetails<'a> {
    /// The procedure called; present for prefix and wildcard registrations.
    pub procedure: Option<Text<'a>>,
    /// The caller, if disclosed.
    pub caller: Option<SessionId>,
    /// Its `authid`.
    pub caller_authid: Option<Text<'a>>,
    /// Its `authrole`.
    pub caller_authrole: Option<Text<'a>>,
    /// Trust level from the configuration, 0 is the lowest.
    pub trustlevel: Option<u64>,
    /// The callee may send progressive results.
    pub receive_progress: bool,
    /// More INVOCATIONs with this request id follow.
    pub progress: bool,
    /// Milliseconds, when the callee itself minds the timeout.
    pub timeout_ms: u64,
    /// Everything rare.
    pub extra: Option<Box<InvocationExtra<'a>>>,
}

impl<'a> InvocationDetails<'a> {
    /// The rare keys, to be filled.
    pub fn extra_mut(&mut self) -> &mut InvocationExtra<'a> {
        self.extra.get_or_insert_default()
    }
}

/// The rare keys of `INVOCATION.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvocationExtra<'a> {
    /// Passthru keys.
    pub passthru: Passthru<'a>,
    /// Autobahn: copied from the call.
    pub transaction_hash: Option<Text<'a>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// How a call is cancelled.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum CancelMode {
    /// The caller is answered at once, the callee learns nothing.
    Skip,
    /// The callee is interrupted, its answer goes to the caller.
    Kill,
    /// The callee is interrupted and the caller is answered at once.
    #[default]
    KillNoWait,
}

impl CancelMode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            CancelMode::Skip => "skip",
            CancelMode::Kill => "kill",
            CancelMode::KillNoWait => "killnowait",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        match word {
            "skip" => Some(CancelMode::Skip),
            "kill" => Some(CancelMode::Kill),
            "killnowait" => Some(CancelMode::KillNoWait),
            _ => None,
        }
    }
}

/// `CANCEL.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CancelOptions<'a> {
    /// `mode`
    pub mode: CancelMode,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `INTERRUPT.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterruptOptions<'a> {
    /// `mode`: kill or killnowait.
    pub mode: CancelMode,
    /// Why: `wamp.error.canceled` or `wamp.error.timeout`.
    pub reason: Option<Text<'a>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `RESULT.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultDetails<'a> {
    /// More results follow.
    pub progress: bool,
    /// Autobahn: the callee, if disclosed.
    pub callee: Option<SessionId>,
    /// Its `authid`.
    pub callee_authid: Option<Text<'a>>,
    /// Its `authrole`.
    pub callee_authrole: Option<Text<'a>>,
    /// Passthru keys.
    pub passthru: Option<Box<Passthru<'a>>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// `YIELD.Options`: the same keys as `RESULT.Details`.
pub type YieldOptions<'a> = ResultDetails<'a>;

/// `ERROR.Details`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorDetails<'a> {
    /// Text for people.
    pub message: Option<Text<'a>>,
    /// Passthru keys.
    pub passthru: Option<Box<Passthru<'a>>>,
    /// Autobahn: the callee, if disclosed.
    pub callee: Option<SessionId>,
    /// Its `authid`.
    pub callee_authid: Option<Text<'a>>,
    /// Its `authrole`.
    pub callee_authrole: Option<Text<'a>>,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// Invocation policy of a shared registration (`invoke` option).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum InvocationPolicy {
    /// One callee only.
    #[default]
    Single,
    /// The earliest that is still registered.
    First,
    /// The latest.
    Last,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
}

impl InvocationPolicy {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvocationPolicy::Single => "single",
            InvocationPolicy::First => "first",
            InvocationPolicy::Last => "last",
            InvocationPolicy::RoundRobin => "roundrobin",
            InvocationPolicy::Random => "random",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        match word {
            "single" => Some(InvocationPolicy::Single),
            "first" => Some(InvocationPolicy::First),
            "last" => Some(InvocationPolicy::Last),
            "roundrobin" => Some(InvocationPolicy::RoundRobin),
            "random" => Some(InvocationPolicy::Random),
            _ => None,
        }
    }
}

/// `REGISTER.Options`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterOptions<'a> {
    /// `match`
    pub match_policy: Match,
    /// `invoke`
    pub invoke: InvocationPolicy,
    /// Callers are always disclosed.
    pub disclose_caller: bool,
    /// The callee minds `CALL.Options.timeout` itself.
    pub forward_timeout: bool,
    /// Autobahn: most outstanding invocations of this callee; absent = unlimited. At least 1.
    pub concurrency: Option<u64>,
    /// Autobahn: present callees are removed first.
    pub force_reregister: bool,
    /// Router links.
    pub forward_for: Option<Vec<Forwarder<'a>>>,
}

/// Details of UNSUBSCRIBED and UNREGISTERED when the router revokes.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation<'a, Id> {
    /// What is revoked (`subscription` or `registration`).
    pub id: Option<Id>,
    /// Why.
    pub reason: Option<Text<'a>>,
}
