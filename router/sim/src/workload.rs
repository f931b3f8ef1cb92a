//! What clients do: one file for each operation.

pub mod answer;
pub mod authorize;
pub mod call;
pub mod history;
pub mod hostile;
pub mod join;
pub mod leave;
pub mod meta;
pub mod names;
pub mod publish;
pub mod register;
pub mod subscribe;

use crossring_codec::id::SessionId;
use crossring_codec::message::{Feature, Features};
use crossring_codec::serializer::SerializerId;
use crossring_router::client::ClientState;

use crate::client::SimClient;
use crate::host::Host;
use crate::judge::Judge;
use crate::observation::Peer;
use crate::options::Options;
use crate::rng::SeededRng;
use crate::tag::Marks;
use crate::wire::LOSSY;

/// Sessions, subscriptions and registrations remembered each.
const KNOWN_MAX: usize = 32;

/// Octets of payload that a client for short messages takes.
pub const SHORT_MESSAGE: usize = 64;

/// Where the run stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Everything may happen.
    Safety,
    /// Faults are over, nothing new is begun, everything has to come to rest.
    Heal,
    /// All clients leave.
    Leave,
}

/// What clients see of the world in their turn.
#[derive(Debug)]
pub struct World<'a> {
    /// The time.
    pub tick: u64,
    /// Where the run stands.
    pub phase: Phase,
    /// What this run does.
    pub options: &'a Options,
    /// Decides what clients do.
    pub rng: &'a mut SeededRng,
    /// The other ends of their transports.
    pub hosts: &'a mut [Host],
    /// Watches.
    pub judge: &'a mut Judge,
    /// What all of them know.
    pub common: &'a mut Common,
}

/// What is counted or known over all clients.
#[derive(Debug, Default)]
pub struct Common {
    /// The next publication or call.
    pub next_tag: usize,
    /// The next transport.
    pub next_peer: u32,
    /// Sessions heard of.
    pub sessions: Vec<SessionId>,
    /// Subscriptions heard of, and whose.
    pub subscriptions: Vec<(u64, u64)>,
    /// Subscriptions of the router itself, for the sake of histories.
    pub histories: Vec<u64>,
    /// Publications heard of.
    pub publications: Vec<u64>,
    /// Registrations heard of, and whose.
    pub registrations: Vec<(u64, u64)>,
}

impl World<'_> {
    /// The number of a publication or call that begins.
    pub const fn take_tag(&mut self) -> usize {
        self.common.next_tag += 1;
        self.common.next_tag - 1
    }

    /// The name of a transport that is opened.
    pub const fn take_peer(&mut self) -> Peer {
        self.common.next_peer += 1;
        Peer(self.common.next_peer - 1)
    }

    /// A session that others may name from now on.
    pub fn remember_session(&mut self, session: SessionId) {
        remember(&mut self.common.sessions, session);
    }

    /// A subscription that others may name from now on.
    pub fn remember_subscription(&mut self, id: u64, session: Option<SessionId>) {
        if let Some(session) = session {
            remember(&mut self.common.subscriptions, (id, session.get()));
        }
    }

    /// A publication that others may name from now on.
    pub fn remember_publication(&mut self, id: u64) {
        remember(&mut self.common.publications, id);
    }

    /// A registration that others may name from now on.
    pub fn remember_registration(&mut self, id: u64, session: Option<SessionId>) {
        if let Some(session) = session {
            remember(&mut self.common.registrations, (id, session.get()));
        }
    }
}

/// The oldest gives way.
fn remember<T>(known: &mut Vec<T>, new: T) {
    if known.len() >= KNOWN_MAX {
        known.remove(0);
    }
    known.push(new);
}

/// The habits of a client.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Keeps to the protocol.
    pub honest: bool,
    /// Index of its realm.
    pub realm: usize,
    /// The listener it uses.
    pub transport: u16,
    /// Index of the principal it claims to be.
    pub principal: Option<usize>,
    /// Whom it says it is, to an authenticator.
    pub stranger: Option<&'static str>,
    /// Its ticket is wrong.
    pub wrong_ticket: bool,
    /// Decides what clerks may do, and who strangers are.
    pub official: bool,
    /// Belongs to another router, which forwards messages.
    pub link: bool,
    /// What its messages are encoded in; absent: they are not.
    pub serializer: Option<SerializerId>,
    /// Reads now and then.
    pub slow: bool,
    /// Stops reading for a while.
    pub stuck: bool,
    /// Answers no invocation.
    pub silent: bool,
    /// Takes short messages only.
    pub short: bool,
    /// What it announces.
    pub features: Features,
    /// Its sessions shall survive their transport.
    pub resumable: bool,
    /// Its share of sharded subscriptions.
    pub nkey: Option<&'static str>,
}

impl Profile {
    /// How many messages the client reads in this tick.
    pub fn reads_per_tick(&self, world: &mut World<'_>, stuck_until: &mut u64) -> usize {
        if world.phase != Phase::Safety {
            return usize::MAX;
        }
        if self.stuck && *stuck_until <= world.tick && world.rng.chance(10) {
            *stuck_until = world.tick + world.rng.between(20, 300);
        }
        if *stuck_until > world.tick || self.slow && world.rng.chance(800) {
            return 0;
        }
        world.rng.between(1, world.options.batch_max as u64) as usize
    }
}

/// What a client with a transport does in one tick.
pub fn act(client: &mut SimClient, world: &mut World<'_>) {
    if world.phase != Phase::Safety {
        return act_in_good_health(client, world);
    }
    let restraint = if client.session.state() == ClientState::Joined { 4 } else { 50 };
    if !client.profile.honest && world.rng.chance(world.options.activity_per_mille / restraint) {
        hostile::send_anything(client, world);
    }
    if world.rng.chance(2) {
        return leave::disconnect(client, world);
    }
    if client.session.state() == ClientState::Joined {
        answer::answer_some(client, world);
        if client.profile.official {
            authorize::attend(client, world);
        }
        if world.rng.chance(world.options.activity_per_mille) {
            begin(client, world);
        }
    }
}

/// After the faults: debts are paid, nothing is begun.
fn act_in_good_health(client: &mut SimClient, world: &mut World<'_>) {
    if !client.profile.honest {
        return leave::disconnect(client, world);
    }
    if client.session.state() != ClientState::Joined {
        return;
    }
    answer::answer_all(client, world);
    authorize::decide_all(client, world);
    if world.phase == Phase::Leave {
        leave::leave(client, world);
    }
}

fn begin(client: &mut SimClient, world: &mut World<'_>) {
    let weights = &world.options.weights;
    let weights = [
        weights.publish,
        weights.subscribe,
        weights.unsubscribe,
        weights.call,
        weights.cancel,
        weights.register,
        weights.unregister,
        weights.goodbye,
        weights.disconnect,
        weights.meta,
    ];
    if world.rng.chance(100) {
        call::call_more(client, world);
    }
    match world.rng.weighted(&weights) {
        Some(0) => publish::publish(client, world),
        Some(1) => subscribe::subscribe(client, world),
        Some(2) => subscribe::unsubscribe(client, world),
        Some(3) => call::call(client, world),
        Some(4) => call::cancel(client, world),
        Some(5) => register::register(client, world),
        Some(6) => register::unregister(client, world),
        Some(7) => leave::goodbye(client, world),
        Some(8) => leave::disconnect(client, world),
        Some(9) if !client.profile.link => meta::meta(client, world),
        _ => {}
    }
}

/// Which rare options a message has.
pub fn marks(client: &SimClient, world: &mut World<'_>) -> Marks {
    let has = |feature| client.profile.features.contains(feature);
    if client.profile.serializer == Some(LOSSY) || !world.rng.chance(world.options.rare_per_mille) {
        return Marks::default();
    }
    let how = world.rng.below(10);
    Marks {
        passthru: has(Feature::PayloadPassthruMode) && how < 3,
        encoded: has(Feature::PayloadTransparency) && (3..6).contains(&how),
        transaction_hash: world.rng.chance(500),
        acknowledged: false,
        forwarded: world.rng.chance(300),
    }
}

/// Octets to make a payload longer by: now and then too many for a client that takes short messages only.
pub fn padding(world: &mut World<'_>) -> usize {
    if world.rng.chance(100) { SHORT_MESSAGE } else { world.rng.below(16) }
}
