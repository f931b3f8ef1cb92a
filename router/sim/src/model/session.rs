//! Transports, sessions, and what sessions hold and wait for.

use crossring_codec::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{ClientRoles, Feature, InvocationPolicy, MessageType, RouterRoles};
use crossring_codec::uri::{self, Match};
use crossring_router::address::{ShardId, TransportId};

use super::SessionIndex;
use super::held::Held;
use super::meta::Testament;
use super::resumption::Resumption;
use crate::observation::Peer;

/// A transport.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// Where.
    pub shard: ShardId,
    /// Its listener.
    pub transport: TransportId,
    /// Its client keeps to the protocol.
    pub honest: bool,
    /// Realm and authid of a HELLO that waits for its answer.
    pub hello: Option<Hello>,
    /// The last AUTHENTICATE.
    pub ticket: Option<String>,
    /// The session, between WELCOME and its end, as the router sees it.
    pub session: Option<SessionIndex>,
    /// The same as the client sees it.
    pub seen: Option<SessionIndex>,
    /// GOODBYE of the peer, which the router has to answer.
    pub owed_goodbye: bool,
    /// Messages that wait for an authorizer.
    pub held: Option<Held>,
    /// ABORT has been sent, or the transport is broken or closed.
    pub over: bool,
}

/// A HELLO.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The realm asked for.
    pub realm: Option<String>,
    /// The identity asked for.
    pub authid: Option<String>,
    /// What the client announced.
    pub roles: ClientRoles,
    /// The session to be resumed, and the token.
    pub resume: Option<(SessionId, String)>,
    /// When it was handled.
    pub tick: u64,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Its transport.
    pub peer: Peer,
    /// Where.
    pub shard: ShardId,
    /// Index of its realm.
    pub realm: usize,
    /// Index of its role.
    pub role: usize,
    /// Its identity.
    pub authid: String,
    /// Its id.
    pub id: SessionId,
    /// Its client keeps to the protocol.
    pub honest: bool,
    /// What its client announced.
    pub client: ClientRoles,
    /// What the router announced.
    pub router: RouterRoles,
    /// It has not ended.
    pub live: bool,
    /// What it is subscribed to.
    pub subscriptions: Vec<Subscription>,
    /// What it has registered.
    pub registrations: Vec<Registration>,
    /// Requests that wait for an answer.
    pub requests: Vec<Pending>,
    /// Invocations that wait for an answer.
    pub invocations: Vec<OpenInvocation>,
    /// What it can be resumed with.
    pub resumption: Resumption,
    /// Its share of sharded subscriptions.
    pub nkey: Option<String>,
    /// When WELCOME was sent.
    pub since: u64,
    /// When it ended.
    pub until: Option<u64>,
    /// It was ended without testaments and `on_leave`.
    pub silenced: bool,
    /// What it wants published when it is gone.
    pub testaments: Vec<Testament>,
    /// Ids that somebody has asked the router to take away.
    pub revocations: Vec<u64>,
    /// The last id of its invocations.
    pub invocations_count: u64,
    /// The last id of its CALLs.
    pub call_last: u64,
    /// Messages sent and received since WELCOME.
    pub traffic: u64,
}

/// An invocation that waits for an answer of its callee.
#[derive(Copy, Clone, Debug)]
pub struct OpenInvocation {
    /// Its id.
    pub id: u64,
    /// The call.
    pub call: usize,
    /// What was called.
    pub registration: RegistrationId,
    /// Tells it from an earlier or later registration with the same id.
    pub instance: u64,
    /// The callee has been interrupted, and is to answer nevertheless.
    pub interrupted: bool,
}

/// A subscription a session holds.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What it is on.
    pub key: Key,
    /// Tells it from an earlier one with the same id.
    pub instance: u64,
    /// UNSUBSCRIBE has been handled.
    pub leaving: bool,
    /// Somebody has asked the router to take it away.
    pub revoking: bool,
}

/// A registration a session holds.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub id: RegistrationId,
    /// What it is on.
    pub key: Key,
    /// Its policy.
    pub invoke: InvocationPolicy,
    /// Callers are always disclosed.
    pub disclose_caller: bool,
    /// The callee minds timeouts itself.
    pub forward_timeout: bool,
    /// How many calls the callee takes at once.
    pub concurrency: Option<u64>,
    /// It took the place of others.
    pub forced: bool,
    /// Tells it from an earlier one with the same id.
    pub instance: u64,
    /// UNREGISTER has been handled.
    pub leaving: bool,
    /// Somebody has asked the router to take it away.
    pub revoking: bool,
}

/// A URI with the way it is matched.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Key {
    /// The URI or pattern.
    pub uri: String,
    /// How it is matched.
    pub policy: Match,
}

/// A request that waits for an answer.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its id.
    pub request: RequestId,
    /// What it asks for.
    pub kind: PendingKind,
    /// What the answer must be.
    pub expected: Expected,
    /// When it was handled.
    pub tick: u64,
    /// When, beside what else is ordered.
    pub order: u64,
    /// SUBSCRIBE that asks for retained events.
    pub get_retained: bool,
}

/// What a request asks for.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the names are those of the messages
pub enum PendingKind {
    Subscribe(Key),
    Unsubscribe(SubscriptionId),
    Publish(usize),
    Register(Registration),
    Unregister(RegistrationId),
    Call(usize),
    /// A CALL of a procedure of the router, by its number.
    Meta(usize),
}

/// What the answer to a request must be.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Anything but an ERROR of those below.
    Success,
    /// An ERROR with this URI.
    Error(&'static str),
    /// The rules do not say.
    Either,
}

impl PeerRecord {
    pub(super) const fn new(shard: ShardId, transport: TransportId, honest: bool) -> Self {
        Self {
            shard,
            transport,
            honest,
            hello: None,
            ticket: None,
            session: None,
            seen: None,
            owed_goodbye: false,
            held: None,
            over: false,
        }
    }
}

impl Session {
    /// Whether the client announced a feature as callee.
    pub fn callee_has(&self, feature: Feature) -> bool {
        self.client.callee.is_some_and(|features| features.contains(feature))
    }

    /// Whether the client announced a feature as caller.
    pub fn caller_has(&self, feature: Feature) -> bool {
        self.client.caller.is_some_and(|features| features.contains(feature))
    }

    /// Whether the router's dealer announced a feature.
    pub fn dealer_has(&self, feature: Feature) -> bool {
        self.router.dealer.is_some_and(|features| features.contains(feature))
    }

    /// Whether the router's broker announced a feature.
    pub fn broker_has(&self, feature: Feature) -> bool {
        self.router.broker.is_some_and(|features| features.contains(feature))
    }

    /// The subscription with this id, if it is held.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|held| held.id == id)
    }

    /// The registration with this id, if it is held.
    pub fn registration(&self, id: RegistrationId) -> Option<&Registration> {
        self.registrations.iter().find(|held| held.id == id)
    }

    /// The request with this id that an answer of `kind` is for.
    pub fn pending(&self, kind: MessageType, request: RequestId) -> Option<&Pending> {
        self.requests.iter().find(|pending| pending.request == request && pending.kind.message_type() == kind)
    }

    pub(super) fn take_pending(&mut self, kind: MessageType, request: RequestId) -> Option<Pending> {
        let found = |pending: &Pending| pending.request == request && pending.kind.message_type() == kind;
        let index = self.requests.iter().position(found)?;
        Some(self.requests.swap_remove(index))
    }
}

impl Pending {
    pub(super) const fn registration(&self) -> Option<&Registration> {
        match &self.kind {
            PendingKind::Register(wanted) => Some(wanted),
            _ => None,
        }
    }
}

impl PendingKind {
    /// The type of the request.
    pub const fn message_type(&self) -> MessageType {
        match self {
            PendingKind::Subscribe(_) => MessageType::Subscribe,
            PendingKind::Unsubscribe(_) => MessageType::Unsubscribe,
            PendingKind::Publish(_) => MessageType::Publish,
            PendingKind::Register(_) => MessageType::Register,
            PendingKind::Unregister(_) => MessageType::Unregister,
            PendingKind::Call(_) | PendingKind::Meta(_) => MessageType::Call,
        }
    }
}

impl Key {
    /// Whether a URI matches.
    pub fn matches(&self, uri: &str) -> bool {
        uri::matches(&self.uri, self.policy, uri)
    }

    /// Which of two registrations that match a procedure is to be called: the greater one.
    pub fn precedence(&self) -> Precedence {
        match self.policy {
            Match::Exact => Precedence::Exact,
            Match::Prefix => Precedence::Prefix(self.uri.len()),
            Match::Wildcard => {
                Precedence::Wildcard(self.uri.split('.').map(|part| !part.is_empty()).collect())
            }
        }
    }
}

/// Order of registrations that match the same procedure: exact before prefix, longest prefix first, wildcards by the
/// first component in which one is literal and the other is not.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[allow(missing_docs)] // the names are those of the policies
pub enum Precedence {
    Wildcard(Vec<bool>),
    Prefix(usize),
    Exact,
}
