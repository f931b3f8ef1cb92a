//! The control shard's half of the core: the registry, and the *service shard* with the router's own sessions.
//!
//! The service shard is a [`Shard`] like any other, behind the data shards in number, but its sessions have no transport:
//! one *service session* for each realm with a meta API joins, registers procedures, is called and publishes, by the
//! same messages as any client. So nothing in the data path knows of the meta API.
//!
//! Registry and service shard share a thread. Letters between them do not leave this module; letters of data shards are
//! told apart by their lane: [`Lane::Control`] is the registry's, the others are the service shard's.

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_codec::id::{RequestId, SessionId};
use crossring_codec::message::{
    ClientRoles, Feature, Features, HelloDetails, Message, MessageType, PublishOptions, RegisterOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use crate::address::{Now, RealmId, SessionAddress, SessionKey, ShardId, TransportId};
use crate::agent::testament::Testament;
use crate::agent::{self, Schemas};
pub use crate::auth::FailureReport;
use crate::auth::Identity;
use crate::broker::Publisher;
use crate::config::{RealmConfig, RouterConfig, Secret};
use crate::cookies::{CookieChange, CookieRecord};
use crate::counters::Counters;
use crate::derivation::{DerivedKey, Job};
use crate::details::TransportDetails;
use crate::input::Input;
use crate::inquiry::{Answer as Finding, Asker};
use crate::letter::{Lane, Letter};
use crate::limits::Limits;
use crate::outbox::{EndCause, Outbox, Post, Refused};
use crate::registry::{Departed, Notice, Registry, bridged_topic};
use crate::shard::Shard;
use crate::store::{MemoryStore, RealmStore, SessionRecord};
use crate::table::{IntegerMap, IntegerState};

#[cfg(test)]
mod fixture;
mod guests;
mod inquiries;
mod meta_calls;
pub(crate) mod permissions;
mod records;

pub use guests::GuestOutput;
use guests::Guests;
use meta_calls::{Invocation, Undecided};
use permissions::Will;

/// The registry and the service shard of a node.
#[derive(Debug)]
pub struct Control {
    registry: Registry,
    shard: Shard,
    /// By realm.
    services: Vec<Service>,
    /// By realm.
    stores: Vec<Box<dyn RealmStore>>,
    /// By shard: the number of its latest publication to be retained that has come here.
    retained_known: Vec<u64>,
    /// Publications that a store had no room for.
    retained_declined: u64,
    /// Testaments that authorizers are asked about, by session.
    wills: IntegerMap<u64, Will>,
    /// Calls of meta procedures that wait for an authorizer, by caller.
    undecided: IntegerMap<u64, Undecided>,
    /// What is answered when all shards have acknowledged a ticket.
    voiding: IntegerMap<u64, Invocation>,
    exchange: Exchange,
}

/// The service session of a realm.
#[derive(Debug)]
struct Service {
    realm: RealmId,
    key: SessionKey,
    request_next: RequestId,
    /// What it has asked to register, in the order of its REGISTERs: the realm that is told about, and the index into
    /// [`agent::PROCEDURES`].
    offers: Vec<(RealmId, usize)>,
    /// Index into `offers` by registration.
    procedures: IntegerMap<u64, usize>,
    /// Index into the realm's history rules by subscription.
    histories: IntegerMap<u64, usize>,
    /// The SUBSCRIBE of each history rule.
    history_requests: Vec<RequestId>,
    /// Who has made the calls that wait for an authorizer, by invocation.
    waiting: IntegerMap<u64, SessionId>,
    /// What peers have declared.
    schemas: Schemas,
    /// Who waits for the answer of a CALL, by its request.
    inquiries: IntegerMap<u64, Asker>,
}

/// What has been posted or sent on this thread and not been seen to.
#[derive(Debug, Default)]
struct Exchange {
    letters: VecDeque<(ShardId, Letter)>,
    messages: VecDeque<(SessionKey, Message<'static>)>,
    guests: Guests,
}

/// Takes what registry and service shard emit: what is for this thread stays, the rest goes to the host.
struct Emission<'a, P> {
    service_shard: ShardId,
    exchange: &'a mut Exchange,
    out: &'a mut P,
}

impl<P: Post> Post for Emission<'_, P> {
    fn post(&mut self, to: ShardId, letter: Letter) {
        if to == ShardId::CONTROL || to == self.service_shard {
            self.exchange.letters.push_back((to, letter));
        } else {
            self.out.post(to, letter);
        }
    }
}

impl<P: Post> Outbox for Emission<'_, P> {
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        if self.exchange.guests.is_guest(session) {
            return self.exchange.guests.send(session, message);
        }
        if !matches!(message, Message::Event { .. }) {
            self.exchange.messages.push_back((session, message.clone().into_owned()));
        }
        Ok(())
    }

    /// Service sessions subscribe only for the sake of the event history, which takes publications as they arrive.
    fn fan_out(&mut self, message: &Message<'_>, sessions: &[SessionKey], except: Option<SessionKey>) {
        for key in sessions.iter().filter(|key| Some(**key) != except) {
            // An event that a guest cannot take is lost for it, as it would be on any other transport.
            let _ = self.send(*key, message);
        }
    }

    fn end(&mut self, session: SessionKey, cause: EndCause) {
        self.exchange.guests.push(session, GuestOutput::End(cause));
    }

    fn pause_input(&mut self, session: SessionKey) {
        self.exchange.guests.push(session, GuestOutput::Pause);
    }

    fn resume_input(&mut self, session: SessionKey) {
        self.exchange.guests.push(session, GuestOutput::Resume);
    }
}

impl Control {
    /// The control half of a node with `data_shards` data shards. `seed` decides every random choice it makes. The
    /// configuration must have gone through [`RouterConfig::with_trusted_role`]; that of all shards is the same.
    pub fn new(data_shards: usize, config: Arc<RouterConfig>, limits: Limits, seed: u64) -> Self {
        let shards = data_shards + 1;
        let services = config.realms.len();
        let id = ShardId(data_shards as u8);
        let service = |index: usize| Service {
            realm: RealmId(index as u16),
            key: SessionKey { slot: index as u32, generation: 1 },
            request_next: RequestId::from_random(0),
            offers: Vec::new(),
            procedures: IntegerState::new(seed).map(),
            histories: IntegerState::new(seed).map(),
            history_requests: Vec::new(),
            waiting: IntegerState::new(seed).map(),
            schemas: Schemas::default(),
            inquiries: IntegerState::new(seed).map(),
        };
        let store = |realm: &RealmConfig| -> Box<dyn RealmStore> { Box::new(MemoryStore::new(&realm.store)) };
        Self {
            retained_known: vec![0; shards],
            retained_declined: 0,
            stores: config.realms.iter().map(store).collect(),
            services: (0..services).map(service).collect(),
            registry: Registry::new(shards, Arc::clone(&config), limits.clone(), seed),
            shard: Shard::new(id, shards, config, limits, seed.rotate_left(32)),
            exchange: Exchange { guests: Guests::new(services), ..Exchange::default() },
            wills: IntegerState::new(seed).map(),
            undecided: IntegerState::new(seed).map(),
            voiding: IntegerState::new(seed).map(),
        }
    }

    /// Lets the service sessions join and register. Their procedures are known on every data shard before the first
    /// session is welcome there.
    pub fn start<P: Post>(&mut self, now: Now, out: &mut P) {
        for index in 0..self.services.len() {
            let (key, transport) = (self.services[index].key, TransportId::SERVICE);
            let details = Arc::new(TransportDetails::in_process());
            self.input(now, Input::Opened { key, transport, details }, out);
            let realm = &self.shard.config.realms[index];
            let message = Message::Hello { realm: Some(realm.name.to_string().into()), details: hello() };
            self.input(now, Input::Message { key, message }, out);
        }
        self.settle(now, out);
    }

    /// Takes one letter of a data shard.
    pub fn handle<P: Post>(&mut self, now: Now, from: ShardId, letter: Letter, out: &mut P) {
        if letter.lane() == Lane::Control {
            self.registry_letter(now, from, letter, out);
        } else {
            if let Letter::Publication(publication) = &letter {
                self.record(now, publication);
            }
            self.input(now, Input::Letter { from, letter }, out);
        }
        self.settle(now, out);
    }

    /// Publications to be retained that the stores had no room for.
    pub fn retained_declined(&self) -> u64 {
        self.retained_declined
    }

    /// Attempts to join that have failed, or been refused because others had, since this was last asked; `None`: none.
    pub fn take_failures(&mut self) -> Option<FailureReport> {
        self.registry.take_failures()
    }

    /// Keys that have to be derived since this was last asked. The host runs each where it delays no session, and gives the
    /// result to [`Control::derived`].
    pub fn take_derivations(&mut self) -> Vec<Job> {
        self.registry.take_derivations()
    }

    /// Runs all jobs at once: for hosts on which nobody minds the time.
    pub fn derive_all<P: Post>(&mut self, now: Now, out: &mut P) {
        for job in self.take_derivations() {
            self.derived(now, job.run(), out);
        }
    }

    /// Takes the result of a job.
    pub fn derived<P: Post>(&mut self, now: Now, derived: DerivedKey, out: &mut P) {
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        self.registry.attempt_derived(now, derived, &mut emission);
        self.settle(now, out);
    }

    /// Says GOODBYE `wamp.close.system_shutdown` to every session; new ones are refused from now on.
    pub fn shutdown<P: Post>(&mut self, now: Now, out: &mut P) {
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        self.registry.shutdown(now, &mut emission);
        self.settle(now, out);
    }

    /// What the sessions of this shard have done: the router's own, and those of guests.
    pub fn counters(&self) -> &Counters {
        self.shard.counters()
    }

    /// When [`Control::expire`] is next due, in monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.registry.deadline().into_iter().chain(self.shard.deadline()).min()
    }

    /// Does what is due at `now`.
    pub fn expire<P: Post>(&mut self, now: Now, out: &mut P) {
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        self.registry.expire(now, &mut emission);
        self.shard.expire(now, &mut emission);
        self.settle(now, out);
    }

    /// Takes the cookies that a store has kept, before anybody joins.
    pub fn load_cookies(&mut self, now: Now, store: u16, records: Vec<CookieRecord>) {
        self.registry.load_cookies(now, store, records);
    }

    /// A tracking cookie has been set at a transport.
    pub fn cookie_issued(&mut self, now: Now, transport: TransportId, value: Secret) {
        self.registry.cookie_issued(now, transport, value);
    }

    /// Whether the tracking cookie that a connection brings has been set here and is still good.
    pub fn is_known_cookie(&self, now: Now, transport: TransportId, value: &Secret) -> bool {
        self.registry.is_known_cookie(now, transport, value)
    }

    /// What has become of cookies that have to outlive the process, since the last time, in the order of events.
    pub fn take_cookie_changes(&mut self) -> Vec<CookieChange> {
        self.registry.take_cookie_changes()
    }

    /// All cookies of a store that have to outlive the process.
    pub fn kept_cookies(&self, store: u16) -> impl Iterator<Item = &CookieRecord> {
        self.registry.kept_cookies(store)
    }

    /// What waits for answers of authorizers, or until something is forgotten that they have said: calls of meta procedures,
    /// testaments and questions; for checkers.
    pub fn undecided(&self) -> usize {
        let waiting: usize =
            self.services.iter().map(|service| service.waiting.len() + service.inquiries.len()).sum();
        waiting + self.undecided.len() + self.voiding.len() + self.wills.len()
    }

    /// The registry, for checkers.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The service shard, for checkers.
    pub fn service_shard(&self) -> &Shard {
        &self.shard
    }

    fn registry_letter<P: Post>(&mut self, now: Now, from: ShardId, letter: Letter, out: &mut P) {
        if let Letter::Retain { publication, publisher } = letter {
            return self.retain(now, from, *publication, publisher, out);
        }
        if let Letter::Authorize { key, petition } = letter {
            return self.take_petition(now, SessionAddress { shard: from, key }, *petition, out);
        }
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        self.registry.handle(now, from, letter, &mut emission);
        for wish in self.registry.take_snapshot_wishes() {
            self.answer_with_snapshot(now, &wish, out);
        }
    }

    fn input<P: Post>(&mut self, now: Now, input: Input<'_>, out: &mut P) {
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        self.shard.handle(now, input, &mut emission);
    }

    /// Sees to everything that stays on this thread until nothing is left.
    fn settle<P: Post>(&mut self, now: Now, out: &mut P) {
        loop {
            for notice in self.registry.take_notices() {
                self.publish(now, notice, out);
            }
            for inquiry in self.registry.take_inquiries() {
                self.inquire(now, inquiry, out);
            }
            for ticket in self.registry.take_voided() {
                self.voided(now, ticket, out);
            }
            if let Some((to, letter)) = self.exchange.letters.pop_front() {
                if to == ShardId::CONTROL {
                    self.registry_letter(now, self.shard.id(), letter, out);
                } else {
                    self.input(now, Input::Letter { from: ShardId::CONTROL, letter }, out);
                }
            } else if let Some((key, message)) = self.exchange.messages.pop_front() {
                self.serve(now, key, message, out);
            } else if self.shard.has_deferred() {
                let service_shard = self.shard.id();
                let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
                self.shard.resume(now, &mut emission);
            } else {
                return;
            }
        }
    }

    /// A message for a service session.
    fn serve<P: Post>(&mut self, now: Now, key: SessionKey, message: Message<'static>, out: &mut P) {
        let Some(service) = self.services.get_mut(key.slot as usize) else { return };
        match message {
            Message::Welcome { .. } => {
                self.register(now, key, out);
                self.subscribe_to_histories(now, key, out);
            }
            Message::Subscribed { request, subscription } => {
                let rule = service.history_requests.iter().position(|asked| *asked == request);
                service.histories.extend(rule.map(|rule| (subscription.get(), rule)));
            }
            Message::Registered { request, registration } => {
                service.procedures.insert(registration.get(), request.get() as usize - 1);
            }
            Message::Invocation { request, registration, details, payload } => {
                let offer = service.procedures.get(&registration.get());
                let offer = offer.and_then(|index| service.offers.get(*index)).copied();
                self.invoked(now, (key, request), offer, &details, payload, out);
            }
            Message::Interrupt { request, options } => {
                self.interrupted(now, key, request, options.mode, out);
            }
            Message::Result { request, payload, .. } => {
                self.inquiry_result(now, key, request, &payload, out);
            }
            Message::Error { request_type: MessageType::Call, request, error, payload, .. } => {
                let arguments = payload.arguments().unwrap_or_default();
                let answer = Finding::Error((*error).into(), arguments);
                self.inquiry_answered(now, key, request, answer, out);
            }
            Message::Error { request_type, error, .. } => {
                debug_assert!(false, "a service session was refused {request_type:?}: {error}");
            }
            _ => {}
        }
    }

    fn publish<P: Post>(&mut self, now: Now, notice: Notice, out: &mut P) {
        match notice {
            Notice::Event { realm, topic, arguments } => {
                self.publish_event(now, realm, topic, &arguments, out);
            }
            Notice::Joined { realm, session, authid, details } => {
                let (joined_unix_ms, left_unix_ms) = (now.unix_ms, None);
                let record = SessionRecord { session, authid, details, joined_unix_ms, left_unix_ms };
                self.stores[usize::from(realm.0)].session_joined(record);
            }
            Notice::Left { realm, session } => {
                self.stores[usize::from(realm.0)].session_left(session, now.unix_ms);
            }
            Notice::Testament { departed, testament } => self.execute(now, departed, *testament, out),
        }
    }

    /// A meta event of a realm, there and on the management realm.
    fn publish_event<P: Post>(
        &mut self,
        now: Now,
        realm: RealmId,
        topic: &'static str,
        arguments: &[Value],
        out: &mut P,
    ) {
        self.publish_on(now, realm, topic, arguments, out);
        let bridged = self.registry.bridge(realm);
        if let Some((management, topic)) = bridged.map(|(to, prefix)| (to, bridged_topic(prefix, topic))) {
            self.publish_on(now, management, &topic, arguments, out);
        }
    }

    fn publish_on<P: Post>(
        &mut self,
        now: Now,
        realm: RealmId,
        topic: &str,
        arguments: &[Value],
        out: &mut P,
    ) {
        let key = self.services[usize::from(realm.0)].key;
        let address = SessionAddress { shard: self.shard.id(), key };
        let Some(session) = self.registry.session(address) else { return };
        let Identity { realm, role, ref authid, .. } = session.identity;
        let (session, authid) = (session.id, authid.clone());
        let publisher = Publisher { realm, role, session, authid: &authid };
        let payload = Payload::from_values(SerializerId::MessagePack, arguments, &Dict::new());
        self.publish_as(now, &publisher, &PublishOptions::default(), topic, &payload, out);
    }

    /// Publishes a testament, if its session may still do so.
    fn publish_testament<P: Post>(
        &mut self,
        now: Now,
        departed: &Departed,
        testament: &Testament,
        out: &mut P,
    ) {
        let Departed { realm, role, session, authid, .. } = departed;
        let Testament { options, topic, parcel, .. } = testament;
        let publisher = Publisher { realm: *realm, role: *role, session: *session, authid };
        self.publish_as(now, &publisher, options, topic, &parcel.payload(), out);
    }

    /// Publishes in the name of a session. What it may not publish is dropped.
    fn publish_as<P: Post>(
        &mut self,
        now: Now,
        publisher: &Publisher<'_>,
        options: &PublishOptions<'_>,
        topic: &str,
        payload: &Payload<'_>,
        out: &mut P,
    ) {
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        if let Ok(publication) = self.shard.publish_as(publisher, options, topic, payload, &mut emission) {
            self.record(now, &publication);
        }
    }

    fn register<P: Post>(&mut self, now: Now, key: SessionKey, out: &mut P) {
        let own = self.services[key.slot as usize].realm;
        self.offer(now, key, own, "", out);
        for index in 0..self.services.len() {
            let realm = RealmId(index as u16);
            let bridged = self.registry.bridge(realm).filter(|(management, _)| *management == own);
            if let Some(prefix) = bridged.map(|(_, prefix)| prefix.to_owned()) {
                self.offer(now, key, realm, &prefix, out);
            }
        }
    }

    /// Registers the procedures that tell about a realm.
    fn offer<P: Post>(&mut self, now: Now, key: SessionKey, realm: RealmId, prefix: &str, out: &mut P) {
        for (index, procedure) in agent::PROCEDURES.iter().enumerate() {
            if !self.is_offered(realm, procedure) {
                continue;
            }
            self.services[key.slot as usize].offers.push((realm, index));
            let request = self.next_request(key);
            let options = RegisterOptions { disclose_caller: true, ..RegisterOptions::default() };
            let procedure = format!("{prefix}{}", procedure.uri).into();
            self.input(
                now,
                Input::Message { key, message: Message::Register { request, options, procedure } },
                out,
            );
        }
    }

    fn is_offered(&self, realm: RealmId, procedure: &agent::Procedure) -> bool {
        let realm_config = &self.shard.config.realms[usize::from(realm.0)];
        match procedure.uri {
            agent::INVALIDATE => realm_config.roles.iter().any(|role| role.authorizer.is_some()),
            _ => realm_config.meta_api,
        }
    }

    /// Takes what the halves on this thread emit.
    fn emission<'a, P>(&'a mut self, out: &'a mut P) -> Emission<'a, P> {
        Emission { service_shard: self.shard.id(), exchange: &mut self.exchange, out }
    }

    fn next_request(&mut self, key: SessionKey) -> RequestId {
        let service = &mut self.services[key.slot as usize];
        let request = service.request_next;
        service.request_next = request.next();
        request
    }
}

/// What a service session announces: everything, so that it is asked and told everything.
fn hello() -> Box<HelloDetails<'static>> {
    Box::new(HelloDetails { roles: ClientRoles::all(Features::of(Feature::ALL)), ..HelloDetails::default() })
}
