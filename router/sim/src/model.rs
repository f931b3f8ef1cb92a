//! A naive router without shards: what every session holds and waits for, told by what crosses the router's edge.
//!
//! It never decides what the router does; it knows what the router may do. Checkers ask it before it takes in each
//! observation, so they see the state that the observation meets.

pub mod authority;
mod call;
mod emitted;
mod handled;
pub mod held;
mod history;
pub mod holding;
mod identity;
pub mod meta;
mod publication;
pub mod resumption;
mod session;
pub mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossring_codec::id::{RequestId, SessionId};
use crossring_codec::message::{Forwarder, Message};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{self, Match, Strictness};
use crossring_router::config::{RealmConfig, RoleConfig, RouterConfig};
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;
use crossring_router::outbox::EndCause;

use crate::observation::{Observation, Peer};
use crate::realm::{AUTHORIZER, Action, Verdict, authorize, authorizer_discloses};
use crate::tag::{Tag, forwarders_of};

pub use authority::Authority;
pub use call::{Call, Invoked};
pub use held::{Held, InHand};
pub use history::History;
pub use holding::{Holding, Kind};
pub use identity::Identity;
pub use meta::{Kill, MetaCall, Outcome, Victims};
pub use publication::{Owed, Publication};
pub use session::{
    Expected, Hello, Key, OpenInvocation, PeerRecord, Pending, PendingKind, Precedence, Registration,
    Session, Subscription,
};

/// Index of a session in [`Model::sessions`].
pub type SessionIndex = usize;

/// All that is known.
#[derive(Debug)]
pub struct Model {
    config: Arc<RouterConfig>,
    /// Bounds of the router.
    pub limits: Limits,
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
    /// Calls of the router's own procedures.
    pub meta_calls: Vec<MetaCall>,
    /// Orders to end sessions.
    pub kills: Vec<Kill>,
    /// What the router keeps of publications.
    pub histories: Vec<History>,
    /// The control shard has handled everything that was posted before this tick.
    pub horizon: u64,
    /// Who held what.
    pub holdings: Vec<Holding>,
    /// Sessions admitted by the registry, welcome or not: id and realm, when.
    pub admitted: BTreeMap<u64, (usize, u64)>,
    /// Procedures that somebody registered, or tried to, with a limit of calls at once: realm and key.
    limited: Vec<(usize, Key)>,
    /// Registrations that have ended and that some shard may still take for alive.
    departed: Vec<Departed>,
    /// The time.
    pub tick: u64,
    /// EVENT_RECEIVEDs that were handled.
    pub deliveries_acknowledged: u64,
    /// Those that waited behind a lost transport: the shard may have known of the loss, or not.
    pub deliveries_doubtful: u64,
    /// When each shard has had its last turn.
    pub turns: Vec<u64>,
    /// The node has been told to shut down.
    pub shut_down: bool,
    /// Counts what is ordered: publications, calls, subscriptions, registrations.
    pub order: u64,
    /// What authorizers say.
    authority: Authority,
    /// What authenticators say.
    attempts: Vec<identity::Attempt>,
    /// Answers to the router that did not wait behind other messages, as far as anybody sees.
    answers_early: Vec<(Peer, RequestId)>,
    /// Numbers of messages that waited while their transport was lost, of which their shard did not know yet.
    posthumous: BTreeSet<usize>,
    /// A message that a shard has just been given, or has just taken up.
    in_hand: Option<InHand>,
    /// What the message that is acted upon is to get.
    verdict: Option<Expected>,
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

impl Model {
    /// A node without sessions.
    pub fn new(config: Arc<RouterConfig>, limits: Limits) -> Self {
        Self {
            config,
            limits,
            peers: Vec::new(),
            sessions: Vec::new(),
            live: Vec::new(),
            publications: Vec::new(),
            calls: Vec::new(),
            meta_calls: Vec::new(),
            kills: Vec::new(),
            histories: Vec::new(),
            horizon: 0,
            holdings: Vec::new(),
            admitted: BTreeMap::new(),
            limited: Vec::new(),
            departed: Vec::new(),
            tick: 0,
            deliveries_acknowledged: 0,
            deliveries_doubtful: 0,
            turns: Vec::new(),
            shut_down: false,
            order: 0,
            authority: Authority::default(),
            attempts: Vec::new(),
            answers_early: Vec::new(),
            posthumous: BTreeSet::new(),
            in_hand: None,
            verdict: None,
        }
    }

    /// A shard has done all that was due.
    pub fn turned(&mut self, shard: usize, tick: u64) {
        if self.turns.len() <= shard {
            self.turns.resize(shard + 1, 0);
        }
        self.turns[shard] = tick;
    }

    /// Takes in what happened.
    pub fn apply(&mut self, observation: &Observation<'_>) {
        match observation {
            Observation::Opened { peer, shard, transport, honest } => {
                self.opened(*peer, PeerRecord::new(*shard, *transport, *honest));
            }
            Observation::Arrived { peer, .. } => self.count(*peer),
            Observation::Handled { peer, message } => self.handled(*peer, message),
            Observation::Emitted { peer, message } => {
                self.count(*peer);
                self.emitted(*peer, message);
            }
            Observation::Dropped { peer, message } => self.dropped(*peer, message),
            Observation::Received { peer, message } => self.received(*peer, message),
            Observation::Broken { peer } | Observation::Closed { peer, .. } => {
                self.transport_lost(*peer);
                self.peer_mut(*peer, |record| record.over = true);
            }
            Observation::Ended { peer, cause: EndCause::Displaced } => self.transport_lost(*peer),
            Observation::Posted { letter: Letter::Kill { session, .. }, .. } => self.killed(*session),
            Observation::Posted { letter: Letter::Returned { call, .. }, .. } => {
                let call = Tag::read(&call.parcel.payload()).and_then(|tag| self.call_mut(tag.number));
                if let Some(call) = call {
                    call.returned = true;
                }
            }
            Observation::Posted { letter: Letter::Admit { admission, .. }, .. } => {
                let realm = usize::from(admission.realm.0);
                self.admitted.insert(admission.session.get(), (realm, self.tick));
            }
            Observation::Posted { to, letter: Letter::Authorized { number, ruling, .. }, .. } => {
                self.note_ruling(*to, *number, ruling);
            }
            Observation::ShutDown => self.shut_down = true,
            Observation::Ended { .. }
            | Observation::Posted { .. }
            | Observation::TakenUp { .. }
            | Observation::Paused { .. }
            | Observation::Unpaused { .. } => {}
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

    /// Whether the session is one of a router: trusted, and not told of.
    pub fn is_of_router(&self, session: &Session) -> bool {
        self.role(session).is_trusted
    }

    /// Whom a message with `forward_for` has been forwarded for, its sender last; nobody, if the sender is not trusted.
    pub fn hops(&self, sender: &Session, payload: &Payload<'_>) -> Option<Vec<Forwarder<'static>>> {
        let mut hops = forwarders_of(payload).filter(|_| self.is_of_router(sender))?;
        let authrole = self.role(sender).name.to_string().into();
        hops.push(Forwarder { session: sender.id, authid: Some(sender.authid.clone().into()), authrole });
        Some(hops)
    }

    /// Who is disclosed as the sender of a message.
    pub fn origin(&self, sender: &Session, payload: &Payload<'_>) -> SessionId {
        self.hops(sender, payload).and_then(|hops| hops.first().map(|hop| hop.session)).unwrap_or(sender.id)
    }

    /// The configuration of the realm of a session.
    pub fn realm(&self, session: &Session) -> &RealmConfig {
        &self.config.realms[session.realm]
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
        let for_routers = matches!(action, Action::Publish | Action::Register) && !self.is_of_router(session);
        if for_routers && uri::is_reserved(&key.uri) {
            return Expected::Error(uri::well_known::INVALID_URI);
        }
        if self.role(session).authorizer.is_some() {
            return self.verdict.unwrap_or(Expected::Either);
        }
        match authorize(self.role(session), action, &key.uri, key.policy) {
            Verdict::Allowed { .. } => Expected::Success,
            Verdict::Denied => Expected::Error(uri::well_known::NOT_AUTHORIZED),
            Verdict::Unclear => Expected::Either,
        }
    }

    /// Whether the configuration discloses a session that does `action` on `uri` without being asked to.
    pub fn forced_disclosure(&self, session: &Session, action: Action, uri: &str) -> bool {
        if self.role(session).authorizer.is_some() {
            return authorizer_discloses(uri);
        }
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

    /// A message of a session, or for it.
    fn count(&mut self, peer: Peer) {
        if let Some(session) = self.session_mut(peer) {
            session.traffic += 1;
        }
    }

    /// What ends with a session, whoever ends it.
    fn end_session(&mut self, peer: Peer) {
        let record = self.peers.get_mut(peer.index()).and_then(Option::as_mut);
        let Some(index) = record.and_then(|record| {
            record.held = None;
            record.session.take()
        }) else {
            return;
        };
        self.end(index);
    }

    fn end(&mut self, index: SessionIndex) {
        self.live.retain(|live| *live != index);
        self.registrations_depart(index);
        let session = &mut self.sessions[index];
        session.live = false;
        session.until = Some(self.tick);
        for open in std::mem::take(&mut session.invocations) {
            if let Some(call) = self.call_mut(open.call).filter(|call| !call.answered) {
                call.callee_left = true;
            }
        }
        self.let_go(index, None);
        self.publish_testaments(index, None);
    }

    /// The registrations of a session, and those it asked for, may be known to some shard for a while.
    fn registrations_depart(&mut self, index: SessionIndex) {
        let session = &self.sessions[index];
        let wanted = session.requests.iter().filter_map(Pending::registration);
        let is_authorizer = session.registrations.iter().any(|held| held.key.uri == AUTHORIZER);
        let departing = session.registrations.iter().chain(wanted);
        let keys: Vec<(Key, bool)> = departing.map(|held| (held.key.clone(), held.forced)).collect();
        let realm = session.realm;
        if is_authorizer {
            self.authorizer_departs(realm);
        }
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

    /// Whether the registrations of a realm are changing.
    pub fn is_in_transit(&self, realm: usize) -> bool {
        self.in_transit(realm).next().is_some()
    }

    /// Whether the callees of a registration may have been evicted on some shard, and have not been told yet.
    pub fn may_be_evicted(&self, realm: usize, key: &Key) -> bool {
        self.in_transit(realm).any(|(other, forced)| forced && other == key)
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

    const fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}

/// Stores under a number that may be beyond the end.
fn put<T>(table: &mut Vec<Option<T>>, number: usize, entry: T) {
    if table.len() <= number {
        table.resize_with(number + 1, || None);
    }
    table[number] = Some(entry);
}
