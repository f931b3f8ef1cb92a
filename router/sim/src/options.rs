//! What one run does: drawn from its seed, so that each seed leaves some features and faults out ("swarm").

use crossring_codec::uri::Match;
use crossring_router::config::{HistoryRule, QueueRule, ResumptionConfig, StatisticsConfig, StoreConfig};
use crossring_router::limits::Limits;

use crate::bug::Bug;
use crate::model::resumption::EVENTS_MAX;
use crate::rng::SeededRng;

/// Ticks of the safety phase unless asked otherwise.
pub const STEPS_DEFAULT: u64 = 1_500;

/// Ticks within which a healed node must come to rest. Covers every timeout of `limits` several times: whoever decides about a
/// role of its own and does not answer waits one for every few of its messages.
pub const REST_TICKS_MAX: u64 = 10_000;

/// What the caller of the simulator decides.
#[derive(Copy, Clone, Debug)]
pub struct Request {
    /// Decides everything else.
    pub seed: u64,
    /// Data shards.
    pub shards: usize,
    /// Ticks of the safety phase.
    pub steps: u64,
    /// A bug to put in, to see whether it is found.
    pub bug: Option<Bug>,
    /// Prints one line for every change.
    pub log: bool,
}

impl Request {
    /// A run of the usual length.
    pub const fn new(seed: u64, shards: usize) -> Self {
        Self { seed, shards, steps: STEPS_DEFAULT, bug: None, log: false }
    }
}

/// How often an idle client does what, as weights.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the names are those of the operations
pub struct Weights {
    pub publish: u32,
    pub subscribe: u32,
    pub unsubscribe: u32,
    pub call: u32,
    pub cancel: u32,
    pub register: u32,
    pub unregister: u32,
    pub goodbye: u32,
    pub disconnect: u32,
    pub meta: u32,
}

/// What goes wrong, and how often.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Longest delay of a letter.
    pub letter_delay_ticks_max: u64,
    /// Of 1000 letters, how many are delayed.
    pub letter_delay_per_mille: u32,
    /// Letters that a Data lane takes before its sender reads its clients no further.
    pub lane_credit: usize,
    /// Of 1000 ticks, in how many a shard stalls.
    pub stall_per_mille: u32,
    /// Longest stall.
    pub stall_ticks_max: u64,
    /// Of 1000 clients, how many read slowly.
    pub slow_reader_per_mille: u32,
    /// Of 1000 clients, how many stop reading altogether for a while.
    pub stuck_reader_per_mille: u32,
    /// Of 1000 clients, how many leave invocations unanswered.
    pub silent_callee_per_mille: u32,
    /// Of 1000 clients, how many send whatever they like.
    pub hostile_per_mille: u32,
    /// Of 1000 clients, how many take only short messages.
    pub short_message_per_mille: u32,
    /// Messages queued for a session before EVENTs are dropped; anything else may take up the same again.
    pub queue_length_max: usize,
    /// The tick in which the node is told to shut down.
    pub shutdown_tick: Option<u64>,
}

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients at any time.
    pub clients: usize,
    /// Of 1000 ticks, in how many a joined client does something.
    pub activity_per_mille: u32,
    /// Operations.
    pub weights: Weights,
    /// Faults.
    pub faults: Faults,
    /// Of 1000 SUBSCRIBEs and REGISTERs, how many use patterns.
    pub pattern_per_mille: u32,
    /// Of 1000 clients, how many join the second realm.
    pub second_realm_per_mille: u32,
    /// Of 1000 clients, how many are not `member`s.
    pub restricted_per_mille: u32,
    /// Of 1000 clients, how many are links of other routers.
    pub link_per_mille: u32,
    /// Of 1000 clients, how many may do what an authorizer allows.
    pub clerk_per_mille: u32,
    /// Of 1000 clients, how many are who an authenticator says.
    pub stranger_per_mille: u32,
    /// Clients use serializers, and not the same ones.
    pub serializers: bool,
    /// Topics and procedures in use, of those there are.
    pub names: usize,
    /// Messages of one client, and letters of one lane, handled in one turn.
    pub batch_max: usize,
    /// Of 1000 clients, how many lack some features.
    pub plain_per_mille: u32,
    /// Of 1000 CALLs, how many have a timeout.
    pub timeout_per_mille: u32,
    /// Of 1000 messages with payload, how many use rare options.
    pub rare_per_mille: u32,
    /// Clients end the sessions of others, and take away what they hold.
    pub kills: bool,
    /// What the realms have.
    pub realm: RealmOptions,
    /// Bounds given to the router.
    pub limits: Limits,
}

/// What the realms of a run have.
#[derive(Clone, Debug)]
pub struct RealmOptions {
    /// Procedures and events under `wamp.`.
    pub meta_api: bool,
    /// `rkey` and `nkey` count.
    pub sharding: bool,
    /// Roles have trust levels.
    pub trustlevels: bool,
    /// Sessions survive their transport.
    pub resumption: Option<ResumptionConfig>,
    /// What is kept.
    pub store: StoreConfig,
    /// Whether and when traffic is reported.
    pub statistics: Option<StatisticsConfig>,
}

impl Options {
    /// Some clients decide about others.
    pub const fn has_officials(&self) -> bool {
        self.clerk_per_mille > 0 || self.stranger_per_mille > 0
    }

    /// Draws the options of a run.
    pub fn draw(rng: &mut SeededRng, steps: u64) -> Self {
        let mut options = Self {
            clients: rng.between(2, 12) as usize,
            activity_per_mille: rng.between(20, 500) as u32,
            weights: weights(rng),
            faults: faults(rng, steps),
            pattern_per_mille: *rng.pick(&[0, 200, 600]),
            second_realm_per_mille: *rng.pick(&[0, 0, 300]),
            restricted_per_mille: *rng.pick(&[0, 0, 300]),
            link_per_mille: *rng.pick(&[0, 0, 250]),
            clerk_per_mille: *rng.pick(&[0, 0, 0, 300, 700]),
            stranger_per_mille: *rng.pick(&[0, 0, 0, 300, 600]),
            serializers: rng.chance(300),
            names: rng.between(1, 10) as usize,
            batch_max: rng.between(1, 16) as usize,
            limits: limits(rng),
            plain_per_mille: sometimes(rng, 500),
            timeout_per_mille: sometimes(rng, 400),
            rare_per_mille: sometimes(rng, 200),
            kills: rng.chance(500),
            realm: realm(rng),
        };
        if options.faults.shutdown_tick.is_some() {
            options.realm.resumption = None;
        }
        if options.realm.resumption.is_some() {
            // What is sent to a transport that the host has broken is lost, and nobody knows how much it was.
            options.faults.queue_length_max = 4096;
        }
        options
    }
}

/// Timeouts short enough to happen within a run.
fn limits(rng: &mut SeededRng) -> Limits {
    Limits {
        join_timeout_ms: 60,
        goodbye_timeout_ms: 30,
        detail_octets_per_session_max: *rng.pick(&[16_384, 16_384, 30]),
        schemas_per_realm_max: *rng.pick(&[10_000, 10_000, 2]),
        statistics_pause_ms: rng.between(5, 20) as u32,
        meta_calls_per_session_max: *rng.pick(&[1_024, 1_024, 1]),
        authorizer_timeout_ms: *rng.pick(&[5, 20, 100, 100]),
        kill_timeout_ms: *rng.pick(&[0, 3, 20, Limits::default().kill_timeout_ms]),
        strict_request_ids: rng.chance(500),
        ..Limits::default()
    }
}

fn realm(rng: &mut SeededRng) -> RealmOptions {
    RealmOptions {
        meta_api: rng.chance(800),
        sharding: rng.chance(300),
        trustlevels: rng.chance(500),
        resumption: rng.chance(400).then(|| resumption(rng)),
        store: store(rng),
        statistics: rng.chance(300).then(|| statistics(rng)),
    }
}

fn statistics(rng: &mut SeededRng) -> StatisticsConfig {
    StatisticsConfig {
        rated_size: *rng.pick(&[8, 64, 1_000]),
        after_messages: rng.chance(500).then(|| rng.between(1, 20)),
        after_ms: rng.chance(500).then(|| rng.between(1, 30)),
        on_join: rng.chance(700),
        on_leave: rng.chance(700),
    }
}

/// Short enough to end within a run; now and then with room for few events only.
fn resumption(rng: &mut SeededRng) -> ResumptionConfig {
    let events_max = *rng.pick(&[EVENTS_MAX, EVENTS_MAX, EVENTS_MAX, 8]);
    let timeout_ms = rng.between(5, 60) as u32;
    ResumptionConfig { timeout_ms, events_max, octets_max: u32::MAX, ..ResumptionConfig::default() }
}

/// Sometimes calls may wait, a few or many.
fn store(rng: &mut SeededRng) -> StoreConfig {
    let limit = *rng.pick(&[1, 3, 100]);
    let rule = QueueRule { uri: "com.".into(), match_policy: Match::Prefix, limit };
    StoreConfig {
        history: if rng.chance(400) { histories(rng) } else { Vec::new() },
        call_queue: rng.chance(500).then_some(rule).into_iter().collect(),
        retained_topics_max: *rng.pick(&[2, 100_000, 100_000]),
        retained_lifetime_ms: rng.chance(300).then(|| rng.between(5, 60)),
        ..StoreConfig::default()
    }
}

/// Of each kind one, or none; with room for few publications or for many.
fn histories(rng: &mut SeededRng) -> Vec<HistoryRule> {
    let patterns = [
        ("com.public.a", Match::Exact),
        ("com.", Match::Prefix),
        ("com.public.", Match::Prefix),
        ("com..a", Match::Wildcard),
    ];
    let mut rules = Vec::new();
    for (uri, match_policy) in patterns {
        if rng.chance(500) {
            rules.push(HistoryRule { uri: uri.into(), match_policy, limit: *rng.pick(&[1, 4, 20]) });
        }
    }
    rules
}

fn weights(rng: &mut SeededRng) -> Weights {
    let mut weight =
        |usual: u32| if rng.chance(150) { 0 } else { rng.between(1, u64::from(usual) * 2) as u32 };
    Weights {
        publish: weight(40),
        subscribe: weight(10),
        unsubscribe: weight(6),
        call: weight(30),
        cancel: weight(3),
        register: weight(8),
        unregister: weight(4),
        goodbye: weight(1),
        disconnect: weight(1),
        meta: weight(14),
    }
}

fn faults(rng: &mut SeededRng, steps: u64) -> Faults {
    Faults {
        letter_delay_ticks_max: rng.between(1, 40),
        letter_delay_per_mille: often(rng, 600),
        lane_credit: *rng.pick(&[1, 4, 64, 1024]),
        stall_per_mille: sometimes(rng, 20),
        stall_ticks_max: rng.between(1, 80),
        slow_reader_per_mille: sometimes(rng, 400),
        stuck_reader_per_mille: sometimes(rng, 200),
        silent_callee_per_mille: sometimes(rng, 300),
        hostile_per_mille: sometimes(rng, 250),
        short_message_per_mille: sometimes(rng, 200),
        queue_length_max: *rng.pick(&[4, 16, 256, 4096]),
        shutdown_tick: rng.chance(60).then(|| rng.between(steps / 2, steps)),
    }
}

fn sometimes(rng: &mut SeededRng, per_mille_max: u64) -> u32 {
    if rng.chance(500) { 0 } else { rng.between(1, per_mille_max) as u32 }
}

fn often(rng: &mut SeededRng, per_mille_max: u64) -> u32 {
    if rng.chance(200) { 0 } else { rng.between(1, per_mille_max) as u32 }
}
