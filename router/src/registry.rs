//! The registry on the control shard: the truth about sessions, subscriptions and registrations.
//!
//! Data shards hold replicas. The registry assigns ids, tells every shard what it has to know, and lets an
//! acknowledgement (SUBSCRIBED, REGISTERED) go only after all shards know it. It posts nothing for a session whose `Leave`
//! it has seen, so a key may carry a new session at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{Feature, Features, InvocationPolicy, RouterRoles, WelcomeDetails};
use crossring_codec::uri::Match;

use crate::address::{
    CallAddress, Now, RealmId, RoleId, SessionAddress, SessionKey, ShardId, ShardSet, TransportId,
};
use crate::auth::{Failures, Identity, Method};
use crate::config::{RealmConfig, RouterConfig};
use crate::cookies::CookieTable;
use crate::dense::Assigner;
use crate::derivation::Job;
use crate::details::{self, TransportDetails};
use crate::inquiry::Inquiry;
use crate::inspect::RegistryView;
use crate::letter::{self, Admission, Letter};
use crate::limits::Limits;
use crate::outbox::Post;
use crate::pattern::PatternTable;
use crate::rng::SecretGenerator;
use crate::table::{IntegerMap, IntegerState};

mod attempts;
mod cookies;
mod nodes;
mod notice;
mod places;
mod query;
mod queue;
mod registrations;
mod resumption;
mod sessions;
mod snapshots;
mod subscriptions;

use attempts::Attempt;
use nodes::Nodes;
pub(crate) use notice::{Departed, Notice};
use places::{Member, Places};
pub(crate) use query::{Entry, bridged_topic, reaches};
use queue::Queue;
use resumption::Resumption;
pub(crate) use sessions::SessionExtras;
use sessions::SessionIndex;
pub(crate) use snapshots::SnapshotWish;
use snapshots::Snapshots;

/// The registry of a node: admits sessions, assigns ids, and tells every shard what it has to know.
#[derive(Debug)]
pub struct Registry {
    shards: usize,
    config: Arc<RouterConfig>,
    limits: Limits,
    random: SecretGenerator,
    integers: IntegerState,
    places: Places,
    /// Joined sessions by id.
    index: SessionIndex,
    /// Frozen sessions by the end of their time.
    frozen: BTreeSet<(u64, SessionAddress)>,
    /// Attempts to join, in the order of their deadlines.
    deadlines: VecDeque<(u64, SessionAddress)>,
    /// Attempts that have failed.
    failures: Failures,
    realms: Vec<Realm>,
    pub(crate) subscriptions: Assigner<Subscription>,
    pub(crate) registrations: Assigner<Registration>,
    /// Letters to all shards that some have not acknowledged.
    pub(crate) tickets: IntegerMap<u64, Ticket>,
    ticket_last: u64,
    /// Calls that have waited in any queue.
    arrival_last: u64,
    /// What has to be published.
    notices: Vec<Notice>,
    /// What has to be asked before somebody may join.
    inquiries: Vec<Inquiry>,
    /// Keys to derive before somebody may join.
    derivations: Vec<Job>,
    /// These, and those that are being derived.
    derivations_open: u32,
    /// Tickets of voided decisions that all shards have acknowledged.
    voided: Vec<u64>,
    snapshots: Snapshots,
    /// By store.
    cookies: Vec<CookieTable>,
    is_shutting_down: bool,
}

/// The patterns of a realm, and how many have joined it.
#[derive(Debug)]
struct Realm {
    topics: PatternTable<u64>,
    procedures: PatternTable<u64>,
    /// Sessions of each role.
    joined: Vec<u32>,
    /// Sessions without transport.
    parked: u32,
}

/// How a session reaches the router.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) transport: TransportId,
    pub(crate) details: Arc<TransportDetails>,
    /// HELLO asked for a session that survives it.
    wants_resumption: bool,
}

/// A joined session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) identity: Identity,
    pub(crate) channel: Channel,
    /// Subscriptions held, and the session's place among the members of its shard.
    subscriptions: Option<Box<IntegerMap<u64, u32>>>,
    /// Registrations held.
    registrations: Option<Box<hashbrown::HashSet<u64, IntegerState>>>,
    /// What few sessions have.
    pub(crate) extras: Option<Box<SessionExtras>>,
    /// It may be resumed.
    resumption: Option<Box<Resumption>>,
    /// Killed with all others: nothing is told of its end.
    is_silenced: bool,
}

/// A subscription: (realm, uri, policy).
#[derive(Debug)]
pub(crate) struct Subscription {
    realm: RealmId,
    uri: Arc<str>,
    match_policy: Match,
    created_ms: u64,
    /// Its creation has been told.
    is_announced: bool,
    /// Shards with members.
    interests: Vec<Interest>,
    /// Node keys of members, if there are any.
    nodes: Option<Box<Nodes>>,
}

/// Members of one shard.
#[derive(Debug)]
struct Interest {
    shard: ShardId,
    members: Vec<SessionKey>,
    /// Not all shards know of the interest yet.
    ticket: Option<u64>,
    /// Who waits for that.
    waiting: Vec<(SessionKey, Asked)>,
}

/// A registration: (realm, uri, policy).
#[derive(Debug)]
pub(crate) struct Registration {
    realm: RealmId,
    uri: Arc<str>,
    match_policy: Match,
    invoke: InvocationPolicy,
    created_ms: u64,
    /// Its creation has been told.
    is_announced: bool,
    callees: Vec<Callee>,
    /// Calls that wait for a free slot, if there are any.
    queue: Option<Box<Queue>>,
}

/// A callee of a registration.
#[derive(Debug)]
struct Callee {
    address: SessionAddress,
    /// The ticket under which it was added.
    added: u64,
    /// There is a concurrency limit.
    is_limited: bool,
    /// Its shard has been told to reserve free slots for the queue.
    is_wanted: bool,
    /// Its session has no transport.
    is_away: bool,
    /// Not all shards know of it yet.
    ticket: Option<u64>,
    /// Requests that wait for that.
    waiting: Vec<RequestId>,
}

/// What all shards have to acknowledge.
#[derive(Debug)]
pub(crate) struct Ticket {
    missing: ShardSet,
    subject: Subject,
}

#[derive(Copy, Clone, Debug)]
enum Subject {
    Interest(SubscriptionId, ShardId),
    Node(SubscriptionId),
    Snapshots,
    /// Decisions of authorizers that are void.
    Decisions,
    Callee(RegistrationId, SessionAddress),
    /// The move of a session to this place.
    Move(SessionAddress),
}

impl Registry {
    /// The registry of a node with `shards` data shards. `seed` decides every random choice it makes.
    pub fn new(shards: usize, config: Arc<RouterConfig>, limits: Limits, seed: u64) -> Self {
        let mut random = SecretGenerator::new(seed, config.entropy.expose());
        let hash_seed = random.next_u64();
        let integers = IntegerState::new(random.next_u64());
        let realm = |realm: &RealmConfig| Realm {
            topics: PatternTable::new(hash_seed),
            procedures: PatternTable::new(hash_seed),
            joined: vec![0; realm.roles.len()],
            parked: 0,
        };
        Self {
            shards,
            failures: Failures::new(limits.failures.clone(), config.entropy.clone()),
            limits,
            random,
            integers,
            places: Places::new(shards),
            frozen: BTreeSet::new(),
            deadlines: VecDeque::new(),
            realms: config.realms.iter().map(realm).collect(),
            index: SessionIndex::new(integers),
            cookies: (0..config.cookie_stores()).map(|_| CookieTable::default()).collect(),
            config,
            subscriptions: Assigner::default(),
            registrations: Assigner::default(),
            tickets: integers.map(),
            ticket_last: 0,
            arrival_last: 0,
            notices: Vec::new(),
            inquiries: Vec::new(),
            derivations: Vec::new(),
            derivations_open: 0,
            voided: Vec::new(),
            snapshots: Snapshots::default(),
            is_shutting_down: false,
        }
    }

    /// Takes one letter of a data shard.
    pub fn handle<P: Post>(&mut self, now: Now, from: ShardId, letter: Letter, out: &mut P) {
        let at = |key: SessionKey| SessionAddress { shard: from, key };
        match letter {
            Letter::Hello { key, transport, transport_details, realm, details } => {
                let wants_resumption = details.resumable;
                let channel = Channel { transport, details: transport_details, wants_resumption };
                self.hello(now, at(key), channel, realm.as_deref(), &details, out);
            }
            Letter::Authenticate { key, signature, extra } => {
                self.authenticate(now, at(key), signature.expose(), &extra, out);
            }
            Letter::Statistics { key, report } => self.note_statistics(now, at(key), &report),
            Letter::Leave { key } => self.leave(now, at(key), out),
            Letter::LogOut { key } => self.log_out(at(key), out),
            Letter::Subscribe { realm, key, request, uri, match_policy, nkey, get_retained } => {
                let (uri, nkey) = (&*uri, nkey.as_deref());
                let wanted = Wanted { realm, request, uri, match_policy, nkey, get_retained };
                self.subscribe(now, at(key), &wanted, out);
            }
            Letter::Attach { realm: _, key, subscription } => self.attach(at(key), subscription),
            Letter::Detach { realm: _, key, subscription } => self.detach(at(key), subscription, out),
            Letter::Register { realm, callee, request, uri, match_policy, invoke, force_reregister } => {
                let wish = Wish { realm, request, uri: &uri, match_policy, invoke, force_reregister };
                self.register(now, *callee, &wish, out);
            }
            Letter::Unregister { realm: _, key, registration } => {
                self.unregister(at(key), registration, None, out);
            }
            Letter::Enqueue { registration, wait } => self.enqueue(from, registration, &wait, out),
            Letter::Dequeue { registration, call } => {
                self.dequeue(registration, CallAddress { shard: from, key: call }, out);
            }
            Letter::SlotFree { registration, callee, ticket } => {
                self.slot_free(registration, callee, ticket, out);
            }
            Letter::Frozen { key, holdings } => self.session_frozen(now, at(key), &holdings, out),
            Letter::Arrived { key, is_joined } => self.session_arrived(now, at(key), is_joined, out),
            Letter::Acknowledge { ticket } => self.acknowledged(from, ticket, out),
            _ => debug_assert!(false, "a letter for a shard at the registry"),
        }
    }

    /// Says GOODBYE `wamp.close.system_shutdown` to every session; new ones are refused from now on.
    pub fn shutdown<P: Post>(&mut self, _now: Now, out: &mut P) {
        self.is_shutting_down = true;
        for shard in ShardSet::all(self.shards).iter() {
            out.post(shard, Letter::Shutdown);
        }
    }

    /// When [`Registry::expire`] is next due, in monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        let frozen = self.frozen.first().map(|entry| entry.0);
        self.deadlines.front().map(|entry| entry.0).into_iter().chain(frozen).min()
    }

    /// Does what is due at `now`.
    pub fn expire<P: Post>(&mut self, now: Now, out: &mut P) {
        self.expire_attempts(now, out);
        self.expire_frozen(now, out);
    }

    /// A read-only view for checkers and the meta API.
    pub fn inspect(&self) -> RegistryView<'_> {
        RegistryView::new(self)
    }

    /// How a session is told that it has joined.
    fn admission(&self, session: &Session) -> Admission {
        Admission {
            realm: session.identity.realm,
            role: session.identity.role,
            session: session.id,
            details: welcome(&self.config, &session.identity, &session.channel),
        }
    }

    /// The session, or the attempt, is over: nothing of it stays.
    fn leave<P: Post>(&mut self, now: Now, address: SessionAddress, out: &mut P) {
        match self.places.take(address) {
            Member::Joined(session) => self.bury(address, session, out),
            Member::Resuming(id) => self.successor_left(id, address),
            Member::Pending(attempt, _) => self.abandoned(now, &attempt),
            Member::Nobody => self.parked_left(address, out),
        }
    }

    /// What a session that has been taken out of its place leaves behind.
    fn bury<P: Post>(&mut self, address: SessionAddress, mut session: Box<Session>, out: &mut P) {
        self.count_out(address, &session);
        self.forget_cookie(&session);
        if let Some(resumption) = session.resumption.take() {
            self.refuse_successor(*resumption, out);
        }
        let told = self.told_id(&session);
        for id in sorted(session.registrations.iter().flat_map(|held| held.iter().copied())) {
            if let Some(id) = RegistrationId::new(id) {
                self.remove_callee(address, told, id, None, out);
            }
        }
        for (id, place) in sorted(session.subscriptions.iter().flat_map(|held| held.iter()).map(copied)) {
            if let Some(id) = SubscriptionId::new(id) {
                self.remove_member(address, told, id, place, out);
            }
        }
        self.note_left(*session);
    }

    pub(crate) fn session_mut(&mut self, address: SessionAddress) -> Option<&mut Session> {
        self.places.session_mut(address)
    }

    /// Posts what all shards have to acknowledge.
    fn broadcast<P: Post>(&mut self, subject: Subject, letter: impl Fn(u64) -> Letter, out: &mut P) -> u64 {
        self.ticket_last += 1;
        let all = ShardSet::all(self.shards);
        self.tickets.insert(self.ticket_last, Ticket { missing: all, subject });
        for shard in all.iter() {
            out.post(shard, letter(self.ticket_last));
        }
        self.ticket_last
    }

    /// What authorizers have said of some roles is void; the ticket is told by [`Registry::take_voided`] when all shards know.
    pub(crate) fn void_decisions<P: Post>(&mut self, realm: RealmId, roles: &[RoleId], out: &mut P) -> u64 {
        let letter = |ticket| Letter::ForgetDecisions { realm, roles: roles.to_vec(), ticket };
        self.broadcast(Subject::Decisions, letter, out)
    }

    /// Tickets that have been acknowledged since the last time.
    pub(crate) fn take_voided(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.voided)
    }

    fn acknowledged<P: Post>(&mut self, from: ShardId, ticket: u64, out: &mut P) {
        let Some(open) = self.tickets.get_mut(&ticket) else { return };
        open.missing.remove(from);
        if !open.missing.is_empty() {
            return;
        }
        let subject = open.subject;
        self.tickets.remove(&ticket);
        match subject {
            Subject::Interest(id, shard) => self.interest_known(id, shard, out),
            Subject::Snapshots => self.snapshots_known(out),
            Subject::Decisions => self.voided.push(ticket),
            Subject::Node(id) => self.node_known(id, ticket, out),
            Subject::Callee(id, address) => self.callee_known(id, address, out),
            Subject::Move(to) => self.move_known(to, out),
        }
    }

    pub(crate) fn members_joined(&self) -> usize {
        self.sessions().count()
    }

    pub(crate) fn members_pending(&self) -> usize {
        self.places.pending()
    }

    /// The sessions, by shard and slot, then those without transport; the router's own left out.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (SessionAddress, &Session)> {
        self.places.sessions().filter(|(_, session)| session.identity.method != Method::Trusted)
    }
}

impl Subscription {
    /// Members on all shards.
    pub(crate) fn members(&self) -> usize {
        self.interests.iter().map(|interest| interest.members.len()).sum()
    }
}

impl Registration {
    /// Callees on all shards.
    pub(crate) fn callees(&self) -> usize {
        self.callees.len()
    }
}

/// The elements of a REGISTER.
struct Wish<'a> {
    realm: RealmId,
    request: RequestId,
    uri: &'a str,
    match_policy: Match,
    invoke: InvocationPolicy,
    force_reregister: bool,
}

/// The elements of a SUBSCRIBE.
struct Wanted<'a> {
    realm: RealmId,
    request: RequestId,
    uri: &'a str,
    match_policy: Match,
    nkey: Option<&'a str>,
    get_retained: bool,
}

/// A SUBSCRIBE on its way to its answer.
#[derive(Copy, Clone, Debug)]
struct Asked {
    request: RequestId,
    get_retained: bool,
}

/// Hash tables have no order that may be shown.
fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

fn copied((id, place): (&u64, &u32)) -> (u64, u32) {
    (*id, *place)
}

/// `WELCOME.Details`: the identity in force, and exactly what this router does.
fn welcome(config: &RouterConfig, identity: &Identity, channel: &Channel) -> WelcomeDetails<'static> {
    let realm = &config.realms[usize::from(identity.realm.0)];
    let role = &realm.roles[usize::from(identity.role.0)];
    let own = |text: &str| Some(text.to_owned().into());
    let whereabouts = details::whereabouts(config, channel.transport, &channel.details);
    WelcomeDetails {
        roles: roles(realm),
        realm: own(&realm.name),
        authid: own(&identity.authid),
        authrole: own(&role.name),
        authmethod: own(identity.method.as_str()),
        authprovider: own(identity.provider.as_str()),
        agent: (!config.agent.is_empty()).then(|| config.agent.to_string().into()),
        authextra: identity.authextra.as_deref().into_iter().flatten().chain(&whereabouts).cloned().collect(),
        custom: whereabouts,
        ..WelcomeDetails::default()
    }
}

/// The features of a realm.
fn roles(realm: &RealmConfig) -> RouterRoles {
    const BROKER: [Feature; 2] = [Feature::SessionMetaApi, Feature::SubscriptionMetaApi];
    const DEALER: [Feature; 3] =
        [Feature::SessionMetaApi, Feature::RegistrationMetaApi, Feature::TestamentMetaApi];
    let mut roles = ROLES;
    let sides = [(&mut roles.broker, &BROKER[..]), (&mut roles.dealer, &DEALER[..])];
    for (side, features) in sides {
        if let Some(side) = side.as_mut().filter(|_| realm.meta_api) {
            features.iter().for_each(|feature| side.insert(*feature));
        }
    }
    if realm.sharding {
        roles.broker.get_or_insert_default().insert(Feature::ShardedSubscription);
        roles.dealer.get_or_insert_default().insert(Feature::ShardedRegistration);
    }
    roles
}

/// The features of every realm.
const ROLES: RouterRoles = RouterRoles {
    broker: Some(Features::of(&[
        Feature::PublisherIdentification,
        Feature::PublicationTrustlevels,
        Feature::PublisherExclusion,
        Feature::SubscriberBlackwhiteListing,
        Feature::PatternBasedSubscription,
        Feature::AcknowledgedEventDelivery,
        Feature::EventRetention,
        Feature::EventHistory,
        Feature::SubscriptionRevocation,
        Feature::PayloadPassthruMode,
        Feature::PayloadTransparency,
    ])),
    dealer: Some(Features::of(&[
        Feature::ProgressiveCallResults,
        Feature::ProgressiveCallInvocations,
        Feature::CallTimeout,
        Feature::CallCanceling,
        Feature::CallerIdentification,
        Feature::CallTrustlevels,
        Feature::PatternBasedRegistration,
        Feature::SharedRegistration,
        Feature::RegistrationRevocation,
        Feature::CallReroute,
        Feature::PayloadPassthruMode,
        Feature::PayloadTransparency,
    ])),
};

/// A letter to all shards that needs no acknowledgement.
fn tell_all<P: Post>(shards: usize, letter: &Letter, out: &mut P) {
    for shard in ShardSet::all(shards).iter() {
        out.post(shard, letter.clone());
    }
}

impl From<&letter::Callee> for Callee {
    fn from(callee: &letter::Callee) -> Self {
        Self {
            address: callee.address,
            added: 0,
            is_limited: callee.concurrency.is_some(),
            is_wanted: false,
            is_away: false,
            ticket: None,
            waiting: Vec::new(),
        }
    }
}
