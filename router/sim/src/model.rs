//! A naive router without shards: what every session holds and waits for, told by what crosses the router's edge.
//!
//! It never decides what the router does; it knows what the router may do. Checkers ask it before it takes in each
//! observation, so they see the state that the observation meets.

mod emitted;
mod handled;
mod receivers;

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{InvocationPolicy, Message, MessageType, PublishExtra};
use crossring_codec::uri::{self, Match, Strictness};
use crossring_router::address::{ShardId, TransportId};
use crossring_router::config::{RoleConfig, RouterConfig};
use crossring_router::letter::Letter;

use crate::observation::{Observation, Peer};
use crate::realm::{Action, Verdict, authorize, router_config};
use crate::tag::Tag;

/// Index of a session in [`Model::sessions`].
pub type SessionIndex = usize;

/// All that is known.
#[derive(Debug)]
pub struct Model {
    config: RouterConfig,
    /// Transports, by [`Peer`].
    pub peers: Vec<Option<PeerRecord>>,
    /// Every session there has been.
    pub sessions: Vec<Session>,
    /// Those that are joined.
    pub live: Vec<SessionIndex>,
    /// Publications, by tag.
    pub publications: Vec<Option<Publication>>,
    /// Calls, by tag.
    pub calls: Vec<Option<Call>>,
    /// Procedures that somebody registered, or tried to, with a limit of calls at once: realm and key.
    limited: Vec<(usize, Key)>,
    /// Registrations that have ended and that some shard may still take for alive.
    departed: Vec<Departed>,
    /// The time.
    tick: u64,
    /// The node has been told to shut down.
    pub shut_down: bool,
    /// Counts what is ordered: publications, calls, subscriptions, registrations.
    pub order: u64,
}

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
    /// It has not ended.
    pub live: bool,
    /// What it is subscribed to.
    pub subscriptions: Vec<Subscription>,
    /// What it has registered.
    pub registrations: Vec<Registration>,
    /// Requests that wait for an answer.
    pub requests: Vec<Pending>,
    /// Invocations that wait for an answer: id and call.
    pub invocations: Vec<(u64, usize)>,
    /// How many INVOCATIONs it got.
    pub invocations_count: u64,
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
    /// How many calls the callee takes at once.
    pub concurrency: Option<u64>,
    /// It took the place of others.
    pub forced: bool,
    /// Tells it from an earlier one with the same id.
    pub instance: u64,
    /// UNREGISTER has been handled.
    pub leaving: bool,
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

/// A PUBLISH that was handled.
#[derive(Debug)]
pub struct Publication {
    /// Who published.
    pub publisher: SessionIndex,
    /// When, beside other publications.
    pub order: u64,
    /// Where.
    pub topic: String,
    /// Whether it leads to EVENTs.
    pub expected: Expected,
    /// The publisher gets no EVENT.
    pub exclude_me: bool,
    /// The publisher is to be disclosed.
    pub disclosed: bool,
    /// Receiver lists.
    pub extra: Option<Box<PublishExtra<'static>>>,
    /// Who has to get it, of those whose SUBSCRIBED was sent before.
    pub owed: Vec<Owed>,
    /// The id the router gave it.
    pub id: Option<PublicationId>,
    /// Octets of its payload.
    pub size: usize,
}

/// A registration that has ended.
#[derive(Debug)]
struct Departed {
    realm: usize,
    key: Key,
    forced: bool,
    tick: u64,
}

/// Ticks for which a shard may not know that a registration has ended: longer than letters and stalls last.
const DEPARTURE_TICKS: u64 = 500;

/// A subscription that has to get an EVENT.
#[derive(Debug)]
pub struct Owed {
    /// Whose.
    pub session: SessionIndex,
    /// Which.
    pub subscription: SubscriptionId,
    /// Tells it from a later one with the same id.
    pub instance: u64,
}

/// A CALL that was handled.
#[derive(Debug)]
pub struct Call {
    /// Who called.
    pub caller: SessionIndex,
    /// When.
    pub tick: u64,
    /// When, beside other calls.
    pub order: u64,
    /// What.
    pub procedure: String,
    /// The caller takes progressive results.
    pub receive_progress: bool,
    /// The caller is to be disclosed, whatever the callee wants.
    pub disclosed: bool,
    /// Callees that every shard knew when the call was handled: session and instance of the registration. Nobody, if a
    /// better registration was coming or going.
    pub candidates: Vec<(SessionIndex, u64)>,
    /// Who got the INVOCATION, and its id.
    pub invoked: Option<(SessionIndex, u64)>,
    /// CANCEL has been handled.
    pub cancelled: bool,
    /// A callee's shard has sent it back.
    pub returned: bool,
    /// The callee has given its final answer.
    pub answered: bool,
    /// The callee left without an answer.
    pub callee_left: bool,
    /// The caller got its final answer.
    pub done: bool,
    /// Progressive results given by the callee.
    pub parts_given: u32,
    /// Octets of its payload.
    pub size: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            config: router_config(),
            peers: Vec::new(),
            sessions: Vec::new(),
            live: Vec::new(),
            publications: Vec::new(),
            calls: Vec::new(),
            limited: Vec::new(),
            departed: Vec::new(),
            tick: 0,
            shut_down: false,
            order: 0,
        }
    }
}

impl Model {
    /// Takes in what happened.
    pub fn apply(&mut self, tick: u64, observation: &Observation<'_>) {
        self.tick = tick;
        match observation {
            Observation::Opened { peer, shard, transport, honest } => {
                self.opened(*peer, PeerRecord::new(*shard, *transport, *honest));
            }
            Observation::Handled { peer, message } => self.handled(*peer, message),
            Observation::Emitted { peer, message } => self.emitted(*peer, message),
            Observation::Dropped { peer, message } => self.dropped(*peer, message),
            Observation::Received { peer, message } => self.received(*peer, message),
            Observation::Broken { peer } | Observation::Closed { peer, .. } => {
                self.end_session(*peer);
                self.peer_mut(*peer, |record| record.over = true);
            }
            Observation::Posted { letter: Letter::Returned { call, .. }, .. } => {
                let call = Tag::read(&call.parcel.payload()).and_then(|tag| self.call_mut(tag.number));
                if let Some(call) = call {
                    call.returned = true;
                }
            }
            Observation::ShutDown => self.shut_down = true,
            Observation::Ended { .. } | Observation::Posted { .. } => {}
        }
    }

    /// The record of a transport, if the router knows it.
    pub fn peer(&self, peer: Peer) -> Option<&PeerRecord> {
        self.peers.get(peer.index())?.as_ref()
    }

    /// The session of a transport, as the router sees it.
    pub fn session_of(&self, peer: Peer) -> Option<&Session> {
        self.peer(peer)?.session.map(|index| &self.sessions[index])
    }

    /// A publication by its tag.
    pub fn publication(&self, number: usize) -> Option<&Publication> {
        self.publications.get(number)?.as_ref()
    }

    /// A call by its tag.
    pub fn call(&self, number: usize) -> Option<&Call> {
        self.calls.get(number)?.as_ref()
    }

    /// The role of a session.
    pub fn role(&self, session: &Session) -> &RoleConfig {
        &self.config.realms[session.realm].roles[session.role]
    }

    /// Index of a realm by its name.
    pub fn realm_index(&self, name: &str) -> Option<usize> {
        self.config.realms.iter().position(|realm| *realm.name == *name)
    }

    /// Index of a role by its name.
    pub fn role_index(&self, name: &str) -> Option<usize> {
        self.config.realms[0].roles.iter().position(|role| *role.name == *name)
    }

    /// What the answer to a request must be, by its URI and the rights of the session.
    pub fn expected(&self, session: &Session, action: Action, key: &Key) -> Expected {
        let strictness: Strictness = self.config.realms[session.realm].strictness;
        if !uri::is_valid(&key.uri, key.policy, strictness) {
            return Expected::Error(uri::well_known::INVALID_URI);
        }
        let for_routers = matches!(action, Action::Publish | Action::Register);
        if for_routers && uri::is_reserved(&key.uri) {
            return Expected::Error(uri::well_known::INVALID_URI);
        }
        match authorize(self.role(session), action, &key.uri, key.policy) {
            Verdict::Allowed { .. } => Expected::Success,
            Verdict::Denied => Expected::Error(uri::well_known::NOT_AUTHORIZED),
            Verdict::Unclear => Expected::Either,
        }
    }

    /// Whether the configuration discloses a session that does `action` on `uri` without being asked to.
    pub fn forced_disclosure(&self, session: &Session, action: Action, uri: &str) -> bool {
        let verdict = authorize(self.role(session), action, uri, Match::Exact);
        verdict == Verdict::Allowed { disclosed: true }
    }

    fn opened(&mut self, peer: Peer, record: PeerRecord) {
        if self.peers.len() <= peer.index() {
            self.peers.resize(peer.index() + 1, None);
        }
        self.peers[peer.index()] = Some(record);
    }

    fn received(&mut self, peer: Peer, message: &Message<'_>) {
        match message {
            Message::Welcome { session, .. } => {
                let seen = self.sessions.iter().rposition(|known| known.id == *session);
                self.peer_mut(peer, |record| record.seen = seen);
            }
            Message::Goodbye { .. } | Message::Abort { .. } => {
                self.peer_mut(peer, |record| record.seen = None);
            }
            _ => {}
        }
    }

    /// What ends with a session, whoever ends it.
    fn end_session(&mut self, peer: Peer) {
        let record = self.peers.get_mut(peer.index()).and_then(Option::as_mut);
        let Some(index) = record.and_then(|record| record.session.take()) else { return };
        self.live.retain(|live| *live != index);
        self.registrations_depart(index);
        let session = &mut self.sessions[index];
        session.live = false;
        for (_, call) in std::mem::take(&mut session.invocations) {
            if let Some(call) = self.call_mut(call).filter(|call| !call.answered) {
                call.callee_left = true;
            }
        }
    }

    /// The registrations of a session, and those it asked for, may be known to some shard for a while.
    fn registrations_depart(&mut self, index: SessionIndex) {
        let session = &self.sessions[index];
        let wanted = session.requests.iter().filter_map(Pending::registration);
        let departing = session.registrations.iter().chain(wanted);
        let keys: Vec<(Key, bool)> = departing.map(|held| (held.key.clone(), held.forced)).collect();
        let realm = session.realm;
        keys.into_iter().for_each(|(key, forced)| self.depart(realm, key, forced));
    }

    fn depart(&mut self, realm: usize, key: Key, forced: bool) {
        let tick = self.tick;
        self.departed.retain(|departed| departed.tick + DEPARTURE_TICKS > tick);
        self.departed.push(Departed { realm, key, forced, tick });
    }

    /// Registrations that may attract calls on some shard although nobody holds them: asked for and not confirmed, or
    /// ended. With each, whether it takes the place of others under the same key.
    fn in_transit(&self, realm: usize) -> impl Iterator<Item = (&Key, bool)> {
        let fresh = move |departed: &&Departed| {
            departed.realm == realm && departed.tick + DEPARTURE_TICKS > self.tick
        };
        let departed = self.departed.iter().filter(fresh).map(|departed| (&departed.key, departed.forced));
        let sessions = self.live.iter().map(|index| &self.sessions[*index]);
        let requests =
            sessions.filter(move |session| session.realm == realm).flat_map(|session| &session.requests);
        departed.chain(requests.filter_map(Pending::registration).map(|wanted| (&wanted.key, wanted.forced)))
    }

    /// Whether a call may have been with a callee that did not take it, before the one that did.
    pub fn may_be_rerouted(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        let left = |departed: &Departed| {
            departed.realm == realm && departed.tick >= call.tick && departed.key.matches(&call.procedure)
        };
        let evicts = |(key, forced): (&Key, bool)| forced && key.matches(&call.procedure);
        call.returned
            || self.is_limited(call)
            || self.departed.iter().any(left)
            || self.in_transit(realm).any(evicts)
    }

    /// Whether the callees of a registration may have been evicted on some shard, and have not been told yet.
    pub fn may_be_evicted(&self, realm: usize, key: &Key) -> bool {
        self.in_transit(realm).any(|(other, forced)| forced && other == key)
    }

    /// Whether a callee may be busy with another call than this one, or was not long ago.
    pub fn has_work(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        let is_open = |other: &Call| {
            let caller = &self.sessions[other.caller];
            let invoked = other
                .invoked
                .map(|(callee, id)| self.sessions[callee].invocations.iter().any(|(open, _)| *open == id));
            caller.realm == realm
                && other.order != call.order
                && invoked.unwrap_or(caller.live && !other.done)
        };
        self.in_transit(realm).next().is_some() || self.calls.iter().flatten().any(is_open)
    }

    /// Whether somebody who may get the call set a limit of calls at once.
    pub fn is_limited(&self, call: &Call) -> bool {
        let realm = self.sessions[call.caller].realm;
        self.limited.iter().any(|(other, key)| *other == realm && key.matches(&call.procedure))
    }

    fn peer_mut(&mut self, peer: Peer, change: impl FnOnce(&mut PeerRecord)) {
        if let Some(record) = self.peers.get_mut(peer.index()).and_then(Option::as_mut) {
            change(record);
        }
    }

    fn session_mut(&mut self, peer: Peer) -> Option<&mut Session> {
        let index = self.peer(peer)?.session?;
        Some(&mut self.sessions[index])
    }

    fn call_mut(&mut self, number: usize) -> Option<&mut Call> {
        self.calls.get_mut(number)?.as_mut()
    }

    const fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}

impl PeerRecord {
    const fn new(shard: ShardId, transport: TransportId, honest: bool) -> Self {
        Self {
            shard,
            transport,
            honest,
            hello: None,
            ticket: None,
            session: None,
            seen: None,
            owed_goodbye: false,
            over: false,
        }
    }
}

impl Session {
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

    fn take_pending(&mut self, kind: MessageType, request: RequestId) -> Option<Pending> {
        let found = |pending: &Pending| pending.request == request && pending.kind.message_type() == kind;
        let index = self.requests.iter().position(found)?;
        Some(self.requests.swap_remove(index))
    }
}

impl Pending {
    const fn registration(&self) -> Option<&Registration> {
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
            PendingKind::Call(_) => MessageType::Call,
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
