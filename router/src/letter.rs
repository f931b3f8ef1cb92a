//! Letters between shards: closed enums, owned data, never closures.
//!
//! Every ordered pair of shards has three lanes, each first-in first-out. Handling a letter posts only to a lane of higher
//! priority (`Data` → `Reply` → `Control`); whatever else it causes becomes an input of the sender's next turn, so full lanes
//! cannot dead-lock. Letters are never lost while both shards live; a letter for a session that has left is answered or
//! dropped as its variant says.

use std::sync::Arc;

use bytes::Bytes;
use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, ClientRoles, ErrorDetails, EventDetails, HelloDetails, InvocationPolicy, Message,
    PublishExtra, ResultDetails, WelcomeDetails,
};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::Dict;

use crate::address::{
    CallAddress, CallKey, RealmId, RoleId, SessionAddress, SessionKey, ShardId, TransportId,
};
pub use crate::authz::{Action, Decision, Ruling};
use crate::broker::Filter;
use crate::config::Secret;
use crate::details::TransportDetails;
pub use crate::rendezvous::ResourceKey;
use crate::statistics::Report;
use crate::store::{EventRecord, Reader};

/// Priority classes of letters, most urgent first.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Lane {
    /// Joining, interest, registry.
    Control,
    /// Answers to calls.
    Reply,
    /// Publications and calls.
    Data,
}

/// A payload that crosses shards: the octets are shared, not copied, between receivers.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    serializer: SerializerId,
    shape: Shape,
    arguments_size: u32,
    octets: Bytes,
}

impl Parcel {
    /// Copies a payload out of the received frame.
    pub fn pack(payload: &Payload<'_>) -> Self {
        Self {
            serializer: payload.serializer,
            shape: payload.shape,
            arguments_size: payload.arguments_size,
            octets: Bytes::copy_from_slice(&payload.octets),
        }
    }

    /// Octets of the payload.
    pub fn size(&self) -> usize {
        self.octets.len()
    }

    /// The payload, borrowed.
    pub fn payload(&self) -> Payload<'_> {
        Payload {
            serializer: self.serializer,
            shape: self.shape,
            octets: (&self.octets[..]).into(),
            arguments_size: self.arguments_size,
        }
    }
}

/// Who is disclosed to the receiver of an event or invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Disclosure {
    /// The publisher or caller.
    pub session: SessionId,
    /// Its identity.
    pub authid: Box<str>,
    /// Its role.
    pub authrole: Box<str>,
}

/// An event on its way to the subscribers of another shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Realm of publisher and subscribers.
    pub realm: RealmId,
    /// Its id.
    pub publication: PublicationId,
    /// Where it was published.
    pub topic: Box<str>,
    /// The subscriptions that matched on the publisher's shard and that the receiving shard is interested in.
    pub subscriptions: Vec<SubscriptionId>,
    /// The node keys (`nkey`) that serve the publication's resource key, by subscription; empty: it has none.
    pub servers: Vec<Option<Arc<str>>>,
    /// The publisher, when disclosed.
    pub publisher: Option<Disclosure>,
    /// Trust level of its role.
    pub trustlevel: Option<u64>,
    /// Receiver lists and everything else rare.
    pub extra: Option<Box<PublishExtra<'static>>>,
    /// It is to be retained.
    pub retention: Option<Retention>,
    /// Arguments.
    pub parcel: Parcel,
}

impl Publication {
    /// Whether the reader is among the receivers (wamp.md 2.1.3).
    pub fn is_for(&self, reader: &Reader<'_>) -> bool {
        let excluded = self.retention.as_ref().and_then(|retention| retention.excluded);
        let filter = self.extra.as_deref().and_then(Filter::new);
        excluded != Some(reader.session)
            && filter.is_none_or(|filter| filter.admits(reader.session, reader.authid, reader.authrole))
    }
}

/// What a publication that is to be retained carries besides.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Retention {
    /// The publisher's shard.
    pub shard: ShardId,
    /// The shard's number of the publication: 1, 2, 3, …
    pub sequence: u64,
    /// The publisher, when it is no receiver (`exclude_me`).
    pub excluded: Option<SessionId>,
}

/// Retained events for a new subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The SUBSCRIBE that asked for them.
    pub request: RequestId,
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// The session's node key.
    pub nkey: Option<Arc<str>>,
    /// The newest event of each topic, in the order of publication.
    pub events: Vec<Arc<EventRecord>>,
    /// By shard: the number of its latest publication that the store had seen.
    pub known: Vec<u64>,
}

/// A call on its way to a callee of another shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The call on its caller's shard; answers name it.
    pub origin: CallAddress,
    /// The registration chosen.
    pub registration: RegistrationId,
    /// The callee chosen.
    pub callee: SessionKey,
    /// The ticket under which that callee was added to the registration.
    pub ticket: u64,
    /// The procedure called.
    pub procedure: Box<str>,
    /// Options of the CALL.
    pub options: CallOptions<'static>,
    /// The caller has to be disclosed to whatever callee.
    pub disclose: bool,
    /// The caller, when disclosed to this callee.
    pub disclosure: Option<Disclosure>,
    /// Trust level of the caller's role.
    pub trustlevel: Option<u64>,
    /// It is for the callee that serves this resource key.
    pub rkey: Option<ResourceKey>,
    /// The router itself asks: an authenticator, or an authorizer.
    pub is_inquiry: bool,
    /// Its standing in the queue.
    pub turn: Turn,
    /// Arguments.
    pub parcel: Parcel,
    /// Callees that have refused this call already; they are not asked again.
    pub refused_by: Vec<SessionAddress>,
    /// One of them because it was busy.
    pub found_busy: bool,
    /// One of them although it stays registered.
    pub found_unavailable: bool,
}

/// Why a callee did not take a call.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Declined {
    /// It is no callee any more.
    Gone,
    /// It is at a limit.
    Busy,
    /// It stays registered, but takes no calls now.
    Unavailable,
}

/// What a caller says beyond its first CALL, on its way to a callee of another shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// The call on its caller's shard.
    pub call: CallAddress,
    /// The callee that has it.
    pub callee: SessionKey,
    /// More follows.
    pub progress: bool,
    /// Arguments.
    pub parcel: Parcel,
}

/// How a call stands to the queue of its registration.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    /// Its number among all calls that have waited, once it has.
    pub arrival: Option<u64>,
    /// A slot of the callee is reserved for it.
    pub is_reserved: bool,
    /// Its shard has seen to all calls that this callee has refused before: it may be taken in spite of them.
    pub is_resumption: bool,
}

/// A call that is to wait.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Wait {
    /// The call on its caller's shard.
    pub call: CallKey,
    /// It is for the callee that serves this resource key.
    pub rkey: Option<ResourceKey>,
    /// Its number, if it has waited before: that is its place again.
    pub arrival: Option<u64>,
    /// Calls that may wait for the registration.
    pub limit: u32,
}

/// A callee of a registration, as every shard knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Callee {
    /// Where it lives.
    pub address: SessionAddress,
    /// `REGISTER.Options.disclose_caller`
    pub disclose_caller: bool,
    /// It minds the timeout of calls itself: announced `call_timeout`, and `REGISTER.Options.forward_timeout`.
    pub forward_timeout: bool,
    /// `REGISTER.Options.concurrency`; enforced by the callee's shard, a hint to others.
    pub concurrency: Option<u64>,
}

/// How a session is admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The realm.
    pub realm: RealmId,
    /// The role in force.
    pub role: RoleId,
    /// The new session.
    pub session: SessionId,
    /// What WELCOME says.
    pub details: WelcomeDetails<'static>,
}

/// What a session without transport will be sent when it is resumed.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// An event; shared by all sessions that keep it.
    Event(Arc<KeptEvent>),
    /// It has lost a subscription or registration.
    Revocation(Box<Message<'static>>),
}

/// An event for sessions without transport, to be encoded once there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptEvent {
    /// The subscription it matched.
    pub subscription: SubscriptionId,
    /// Its id.
    pub publication: PublicationId,
    /// Everything else but the arguments.
    pub details: EventDetails<'static>,
    /// Arguments.
    pub parcel: Parcel,
}

impl KeptEvent {
    /// The EVENT.
    pub fn message(&self) -> Message<'_> {
        let (subscription, publication, details) =
            (self.subscription, self.publication, self.details.clone());
        Message::Event { subscription, publication, details, payload: self.parcel.payload() }
    }
}

/// A session that goes to another transport (see `resumption`).
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// Where it was frozen.
    pub from: SessionAddress,
    /// Where it will live.
    pub to: SessionAddress,
    /// What it holds.
    pub holdings: Holdings,
    /// Node keys of its subscriptions.
    pub node_keys: NodeKeys,
    /// Identity, and what WELCOME says.
    pub admission: Admission,
}

/// Node keys (`nkey`) of a session's subscriptions, where it has given any.
pub type NodeKeys = Vec<(SubscriptionId, Arc<str>)>;

/// The subscriptions and registrations a client knows to have, lowest id first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// SUBSCRIBED has been sent.
    pub subscriptions: Vec<SubscriptionId>,
    /// REGISTERED has been sent.
    pub registrations: Vec<RegistrationId>,
}

/// What the old home of a resumed session leaves to the new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    /// What was kept for it, in order.
    pub kept: Vec<Kept>,
    /// Events that were not kept for lack of room.
    pub events_lost: u64,
    /// Roles announced when it joined.
    pub roles: ClientRoles,
    /// The last invocation id it was sent; 0 before the first.
    pub invocation_last: u64,
}

/// What a session wants to do, for the authorizer of its role.
#[derive(Clone, Debug, PartialEq)]
pub struct Petition {
    /// The shard's number of it, never used twice; the answer names it.
    pub number: u64,
    /// What it wants to do.
    pub action: Action,
    /// To what.
    pub uri: Box<str>,
    /// How `uri` is read.
    pub match_policy: Match,
    /// Options of the message.
    pub options: Dict,
    /// Milliseconds that the answer may take. 0: there is no time left to ask.
    pub timeout_ms: u32,
}

/// A letter. `→ registry` means from a data shard to the control shard, `registry →` the reverse.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the fields are those of the WAMP messages and of the types they name
pub enum Letter {
    // ---- Lane::Control, → registry
    /// HELLO of `key`. Answer: `Challenge`, `Admit` or `Refuse`, unless `Leave` overtakes it.
    Hello {
        key: SessionKey,
        transport: TransportId,
        transport_details: Arc<TransportDetails>,
        realm: Option<Box<str>>,
        details: Box<HelloDetails<'static>>,
    },
    /// AUTHENTICATE of `key`. Answer as for `Hello`.
    Authenticate { key: SessionKey, signature: Secret, extra: Dict },
    /// Traffic of a session, to be told to whoever subscribes to such reports. No answer.
    Statistics { key: SessionKey, report: Box<Report> },
    /// The session, or the attempt to join, has ended. The registry forgets everything about it. No answer.
    Leave { key: SessionKey },
    /// The session has said GOODBYE `wamp.close.logout`; `Leave` follows. No answer.
    LogOut { key: SessionKey },
    /// A subscriber of (uri, policy) where this shard has none attached, or one that wants retained events. Answer: `Subscribed`
    /// or `SubscribedWithSnapshot`, after every shard has acknowledged, or `SubscribeRefused`.
    Subscribe {
        realm: RealmId,
        key: SessionKey,
        request: RequestId,
        uri: Box<str>,
        match_policy: Match,
        nkey: Option<Box<str>>,
        get_retained: bool,
    },
    /// A further subscriber has been attached beside a local one (whose presence keeps the interest alive). No answer.
    Attach { realm: RealmId, key: SessionKey, subscription: SubscriptionId },
    /// A local subscriber has been detached. No answer; the registry withdraws the interest of a shard without members.
    Detach { realm: RealmId, key: SessionKey, subscription: SubscriptionId },
    /// REGISTER. Answer: `Registered`, after every shard has acknowledged, or `RegisterRefused`.
    Register {
        realm: RealmId,
        callee: Box<Callee>,
        request: RequestId,
        uri: Box<str>,
        match_policy: Match,
        invoke: InvocationPolicy,
        force_reregister: bool,
    },
    /// A publication that is to be retained, for the store; on this lane, so that the store sees it before the sender's
    /// acknowledgement of any interest that it did not know when it published. Answer: `Retained`, if a publisher waits.
    Retain { publication: Box<Publication>, publisher: Option<(SessionKey, RequestId)> },
    /// UNREGISTER, already done on the home shard. No answer.
    Unregister { realm: RealmId, key: SessionKey, registration: RegistrationId },
    /// All callees are at their concurrency limit, and the call may wait. Answer: `Grant` or `Dismiss`, unless `Dequeue`
    /// overtakes it.
    Enqueue { registration: RegistrationId, wait: Wait },
    /// A call that waits is over. No answer.
    Dequeue { registration: RegistrationId, call: CallKey },
    /// A slot of a wanted callee has been reserved, or the call that it was granted to is over. Answer: `Grant` to somebody,
    /// or `Release`, unless the callee leaves.
    SlotFree { registration: RegistrationId, callee: SessionAddress, ticket: u64 },
    /// The sender has applied the interest, callee or move with this ticket.
    Acknowledge { ticket: u64 },
    /// The transport of a resumable session is lost; it is kept, with what its client knows it has. Whatever else it asked
    /// for is to be forgotten. No answer.
    Frozen { key: SessionKey, holdings: Box<Holdings> },
    /// A move is done. `is_joined`: WELCOME has been sent; else the new transport is gone too, and the session is frozen.
    Arrived { key: SessionKey, is_joined: bool },

    /// The authorizer of the session's role has to be asked. Answer: `Authorized`, unless the session leaves.
    Authorize { key: SessionKey, petition: Box<Petition> },

    // ---- Lane::Control, registry →
    /// CHALLENGE for `key`.
    Challenge { key: SessionKey, method: Box<str>, extra: Dict },
    /// WELCOME for `key`.
    Admit { key: SessionKey, admission: Box<Admission> },
    /// ABORT for `key`.
    Refuse { key: SessionKey, reason: Box<str>, message: Box<str> },
    /// `shard` has subscribers of the subscription. Answer: `Acknowledge`.
    AddInterest {
        realm: RealmId,
        subscription: SubscriptionId,
        uri: Box<str>,
        match_policy: Match,
        shard: ShardId,
        ticket: u64,
    },
    /// `shard` has none any more; a subscription without shards is forgotten. No answer.
    RemoveInterest { realm: RealmId, subscription: SubscriptionId, shard: ShardId },
    /// The subscription has members with this node key. Answer: `Acknowledge`.
    AddNode { subscription: SubscriptionId, nkey: Arc<str>, ticket: u64 },
    /// It has none any more. No answer.
    RemoveNode { subscription: SubscriptionId, nkey: Arc<str> },
    /// Asks for an acknowledgement that everything posted before is on its way. Answer: `Acknowledge`.
    Confirm { ticket: u64 },
    /// A callee joins a registration (which it may create), at the end of its list. Answer: `Acknowledge`.
    AddCallee {
        realm: RealmId,
        registration: RegistrationId,
        uri: Box<str>,
        match_policy: Match,
        invoke: InvocationPolicy,
        callee: Box<Callee>,
        ticket: u64,
    },
    /// A callee leaves; a registration without callees is forgotten. No answer. `revoked`: the callee is told by its home shard.
    RemoveCallee {
        realm: RealmId,
        registration: RegistrationId,
        uri: Arc<str>,
        match_policy: Match,
        callee: SessionAddress,
        revoked: Option<Box<str>>,
    },
    /// All shards know the interest (and the node key): SUBSCRIBED may leave.
    Subscribed { key: SessionKey, request: RequestId, subscription: SubscriptionId, nkey: Option<Arc<str>> },
    /// As `Subscribed`; retained events follow SUBSCRIBED.
    SubscribedWithSnapshot { key: SessionKey, snapshot: Box<Snapshot> },
    /// The store has seen the publication: PUBLISHED may leave.
    Retained { key: SessionKey, request: RequestId, publication: PublicationId },
    /// All shards know the callee: REGISTERED may leave.
    Registered { key: SessionKey, request: RequestId, registration: RegistrationId },
    /// The subscription of `key` is revoked: the home shard detaches it, tells it, and posts `Detach`.
    RevokeSubscription { key: SessionKey, subscription: SubscriptionId, reason: Box<str> },
    /// ERROR for the SUBSCRIBE request.
    SubscribeRefused { key: SessionKey, request: RequestId, error: Box<str> },
    /// ERROR for the REGISTER request.
    RegisterRefused { key: SessionKey, request: RequestId, error: Box<str> },
    /// Calls wait for this callee: each free slot is to be reserved and told by `SlotFree`, until `Unwant`.
    Want { registration: RegistrationId, callee: SessionKey },
    /// Nobody waits for this callee any more.
    Unwant { registration: RegistrationId, callee: SessionKey },
    /// Nobody waits for the slot: its reservation is void.
    Release { registration: RegistrationId, callee: SessionKey, ticket: u64 },
    /// The turn of a call has come: a slot of the callee is reserved for it. Answer: `Call` to the callee's shard, or
    /// `SlotFree`.
    Grant { call: CallKey, registration: RegistrationId, callee: SessionAddress, ticket: u64, arrival: u64 },
    /// A call does not wait: because too many do, or because the registration is gone.
    Dismiss { call: CallKey, is_full: bool },
    /// GOODBYE for `session` with this reason, if it is still the one of `key`; without transport it just ends.
    Kill { key: SessionKey, session: SessionId, reason: Box<str>, message: Option<Box<str>> },
    /// Somebody who knows its token resumes the session over another transport: freeze it, or what has become of its move,
    /// and end this transport. Answer: `Frozen` or `Arrived`, unless `Leave` or `Frozen` is under way.
    Freeze { key: SessionKey },
    /// A frozen session is about to move. Answer: `Acknowledge`.
    Prepare { movement: Box<Move>, ticket: u64 },
    /// To the old home of a frozen session: all shards are prepared, post `Cut` in the next turn. No answer.
    Depart { from: SessionAddress, to: SessionAddress },
    /// The authorizer's answer to the petition `number`, or why there is none.
    Authorized { key: SessionKey, number: u64, ruling: Ruling },
    /// What authorizers have said of these roles is void, also in answers that have come before. Answer: `Acknowledge`.
    ForgetDecisions { realm: RealmId, roles: Vec<RoleId>, ticket: u64 },
    /// GOODBYE `wamp.close.system_shutdown` for every session; new ones are refused.
    Shutdown,

    // ---- Lane::Data, shard → shard
    /// An event; dropped where nobody is subscribed any more.
    Publication(Box<Publication>),
    /// A call. Answer: `Result`, `Error` or `Returned`, unless `Abandon` overtakes it.
    Call(Box<Call>),
    /// More of a `Call`, behind it. Dropped when the call is over, or has not been taken: then its caller's shard sees to it.
    Continue(Continuation),
    /// CANCEL `kill` by the caller, behind its `Call`. Answer: that of the call; at once if the callee cannot be interrupted.
    Cancel { call: CallAddress, callee: SessionKey },
    /// Nobody waits for the answer of a `Call` any more: interrupt the callee, answer nobody.
    Abandon { call: CallAddress, callee: SessionKey, timed_out: bool },

    /// From the old home of a moving session, behind all that it has published and called there: post `Fence` to both homes in the
    /// next turn. So nothing of it is under way any more when its new home has all fences.
    Cut { from: SessionAddress, to: SessionAddress },
    /// Events of the sender before this one are for the old home of a moving session, those behind it for the new one.
    Fence { from: SessionAddress, to: SessionAddress },

    // ---- Lane::Reply, shard → shard
    /// From the old home of a moving session to the new one.
    Handover { to: SessionKey, handover: Box<Handover> },
    /// RESULT for the caller.
    Result { call: CallKey, details: Box<ResultDetails<'static>>, parcel: Parcel },
    /// ERROR for the caller.
    Error { call: CallKey, details: Box<ErrorDetails<'static>>, error: Box<str>, parcel: Parcel },
    /// The callee did not take the call: the caller's shard tries the next one in its next turn.
    Returned { call: Box<Call>, why: Declined },
}

impl Letter {
    /// The lane the letter travels on.
    pub const fn lane(&self) -> Lane {
        match self {
            Letter::Publication(_)
            | Letter::Call(_)
            | Letter::Continue(_)
            | Letter::Cancel { .. }
            | Letter::Abandon { .. }
            | Letter::Cut { .. }
            | Letter::Fence { .. } => Lane::Data,
            Letter::Result { .. }
            | Letter::Error { .. }
            | Letter::Returned { .. }
            | Letter::Handover { .. } => Lane::Reply,
            _ => Lane::Control,
        }
    }
}

const _: () = assert!(size_of::<Letter>() <= 128, "letters are moved by value through the lanes");
