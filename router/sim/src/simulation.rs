//! One run: a safety phase full of faults, then a healed node that has to come to rest, then everybody leaves and nothing
//! may be left.

use std::sync::Arc;

use crossring_router::address::ShardId;
use crossring_router::control::Control;
use crossring_router::input::Input;
use crossring_router::shard::Shard;

use crate::bug::{Bug, LATE_TICKS, Saboteur};
use crate::checkers::agreement::{self, Baseline};
use crate::client::SimClient;
use crate::clock::Clock;
use crate::host::{Arrival, Emission, Host, Mail};
use crate::judge::{Judge, Violation};
use crate::model::Key;
use crate::observation::Observation;
use crate::options::{Options, REST_TICKS_MAX, Request};
use crate::postbox::{LANES, Postbox};
use crate::realm::router_config;
use crate::rng::SeededRng;
use crate::workload::{Common, Phase, World};

/// A shard gives up memory in every so many ticks.
const TRIM_TICKS: u64 = 61;

/// What came of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The first broken rule.
    pub violation: Option<Violation>,
    /// Hash of everything that happened; equal for equal requests.
    pub hash: u64,
    /// Messages that shards took or sent.
    pub messages: u64,
    /// Letters that shards and control shard posted.
    pub letters: u64,
    /// Ticks of virtual time.
    pub ticks: u64,
}

/// Runs one seed.
pub fn run(request: &Request) -> Outcome {
    let mut simulation = Simulation::new(request);
    simulation.safety();
    simulation.heal();
    simulation.leave();
    Outcome {
        violation: simulation.judge.violation().cloned(),
        hash: simulation.judge.trace().hash(),
        messages: simulation.judge.trace().messages(),
        letters: simulation.postbox.posted(),
        ticks: simulation.clock.tick(),
    }
}

#[derive(Debug)]
struct Simulation {
    options: Options,
    steps: u64,
    phase: Phase,
    clock: Clock,
    shards: Vec<Shard>,
    control: Control,
    /// What is known before the first client comes.
    baseline: Baseline,
    hosts: Vec<Host>,
    postbox: Postbox,
    clients: Vec<SimClient>,
    common: Common,
    judge: Judge,
    /// Decides in which order and when things are done.
    scheduler: SeededRng,
    /// Decides what clients do.
    workload: SeededRng,
    /// Per shard, the control shard last: stands still until this tick.
    stalled_until: Vec<u64>,
}

impl Simulation {
    fn new(request: &Request) -> Self {
        let mut rng = SeededRng::new(request.seed);
        let options = Options::draw(&mut rng.fork(), request.steps);
        let config = Arc::new(router_config(&options.realm).with_trusted_role());
        let count = request.shards;
        let shard = |index: usize| {
            let id = ShardId(index as u8);
            Shard::new(
                id,
                count + 1,
                Arc::clone(&config),
                options.limits.clone(),
                request.seed ^ index as u64,
            )
        };
        let saboteur = Saboteur::new(request.bug, rng.fork(), ShardId(count as u8));
        let postbox = Postbox::new(count, options.faults.clone(), rng.fork(), saboteur);
        let mut simulation = Self {
            steps: request.steps,
            phase: Phase::Safety,
            clock: Clock::default(),
            shards: (0..count).map(shard).collect(),
            control: Control::new(count, Arc::clone(&config), options.limits.clone(), !request.seed),
            baseline: Baseline::default(),
            hosts: (0..count).map(|_| Host::new(options.faults.queue_length_max)).collect(),
            postbox,
            clients: (0..options.clients).map(|_| SimClient::default()).collect(),
            common: Common::default(),
            judge: Judge::new(Arc::clone(&config), options.limits.clone(), request.log),
            scheduler: rng.fork(),
            workload: rng.fork(),
            stalled_until: vec![0; count + 1],
            options,
        };
        simulation.start();
        simulation
    }

    /// The router's own sessions join and register, undisturbed: clients are let in only then.
    fn start(&mut self) {
        let (now, mut mail) = (self.clock.now(), self.control_mail());
        mail.0.start(now, &mut mail.1);
        while self.postbox.waiting() > 0 {
            self.clock.advance();
            (0..self.shards.len()).for_each(|index| self.shard_turn(index));
            self.control_turn();
        }
        self.baseline = Baseline::of(&self.shards, &self.control);
        self.begin_histories();
    }

    /// Before any client, only the router itself is subscribed to anything.
    fn begin_histories(&mut self) {
        let model = &mut self.judge.model;
        let mut begun = Ok(());
        for known in self.shards[0].inspect().subscriptions() {
            let key = Key { uri: known.uri.to_owned(), policy: known.match_policy };
            begun = begun.and(model.begin_history(usize::from(known.realm.0), known.id.get(), key));
            self.common.histories.push(known.id.get());
        }
        let (found, wanted) = (model.histories.len(), model.histories_configured());
        if found != wanted {
            begun = begun.and(Err(format!("{found} histories instead of {wanted}")));
        }
        self.report("history", begun);
    }

    fn safety(&mut self) {
        for _ in 0..self.steps {
            if self.judge.violation().is_some() {
                return;
            }
            if self.options.faults.shutdown_tick == Some(self.clock.tick()) {
                self.shut_down();
            }
            self.stall_somebody();
            self.tick();
        }
    }

    /// No more faults: everything under way has to end, and all tables have to agree.
    fn heal(&mut self) {
        self.phase = Phase::Heal;
        self.postbox.heal();
        self.hosts.iter_mut().for_each(Host::heal);
        self.stalled_until.fill(0);
        if !self.comes_to_rest() {
            return;
        }
        self.judge.rest(self.clock.tick());
        let agreement = agreement::at_rest(&self.shards, &self.control, &self.judge.model, &self.baseline);
        self.report("agreement", agreement);
    }

    fn leave(&mut self) {
        self.phase = Phase::Leave;
        if !self.comes_to_rest() {
            return;
        }
        let empty = agreement::when_empty(&self.shards, &self.control, &self.baseline);
        self.report("agreement", empty);
    }

    fn report(&mut self, checker: &'static str, result: Result<(), String>) {
        if let Err(text) = result {
            self.judge.fail(checker, text);
        }
    }

    fn comes_to_rest(&mut self) -> bool {
        for _ in 0..REST_TICKS_MAX {
            if self.judge.violation().is_some() {
                return false;
            }
            self.tick();
            if self.is_at_rest() {
                return true;
            }
        }
        let restless = self.restless();
        self.judge.rest(self.clock.tick());
        self.judge.fail("rest", restless);
        false
    }

    fn is_at_rest(&self) -> bool {
        let gone = self.phase != Phase::Leave || self.hosts.iter().all(|host| host.open() == 0);
        gone && self.postbox.waiting() == 0
            && self.hosts.iter().all(Host::is_quiet)
            && self.shards.iter().all(is_idle)
            && self.control.registry().inspect().sizes().parked == 0
            && self.clients.iter().all(SimClient::is_settled)
    }

    /// What keeps the node from coming to rest.
    fn restless(&self) -> String {
        let unsettled = self.clients.iter().filter(|client| !client.is_settled());
        let unsettled: Vec<String> = unsettled
            .map(|client| {
                let peer = client.link.map_or(0, |link| link.peer.0);
                format!(
                    "p{peer} {} with {} requests",
                    client.session.state().as_str(),
                    client.session.pending()
                )
            })
            .collect();
        let transports: usize = self.hosts.iter().map(Host::open).sum();
        let letters = self.postbox.waiting();
        format!("no rest: {letters} letters, {transports} transports, unsettled: {unsettled:?}")
    }

    fn shut_down(&mut self) {
        let tick = self.clock.tick();
        self.judge.observe(tick, &Observation::ShutDown);
        let Self { control, postbox, judge, .. } = self;
        control.shutdown(self.clock.now(), &mut Mail { tick, from: ShardId::CONTROL, postbox, judge });
    }

    fn stall_somebody(&mut self) {
        if self.scheduler.chance(self.options.faults.stall_per_mille) {
            let victim = self.scheduler.below(self.stalled_until.len());
            let ticks = self.scheduler.between(1, self.options.faults.stall_ticks_max);
            self.stalled_until[victim] = self.clock.tick() + ticks;
        }
    }

    /// Everybody has one turn, in an order that differs each time.
    fn tick(&mut self) {
        self.clock.advance();
        let count = self.stalled_until.len();
        let first = self.scheduler.below(count);
        for index in (0..count).map(|offset| (first + offset) % count) {
            if self.stalled_until[index] <= self.clock.tick() {
                if index < self.shards.len() { self.shard_turn(index) } else { self.control_turn() }
            }
        }
        let first = self.scheduler.below(self.clients.len());
        for offset in 0..self.clients.len() {
            self.client_turn((first + offset) % self.clients.len());
        }
    }

    fn client_turn(&mut self, index: usize) {
        let mut world = World {
            tick: self.clock.tick(),
            phase: self.phase,
            options: &self.options,
            rng: &mut self.workload,
            hosts: &mut self.hosts,
            judge: &mut self.judge,
            common: &mut self.common,
        };
        self.clients[index].turn(&mut world);
    }

    fn control_turn(&mut self) {
        let (tick, now) = (self.clock.tick(), self.clock.now());
        for from in self.postbox.everybody() {
            for lane in LANES {
                for _ in 0..self.options.batch_max {
                    let Some(letter) = self.postbox.take(tick, from, ShardId::CONTROL, lane) else { break };
                    let mut mail = self.control_mail();
                    mail.0.handle(now, from, letter, &mut mail.1);
                }
            }
        }
        if self.control.deadline().is_some_and(|deadline| deadline <= now.monotonic_ns) {
            let mut mail = self.control_mail();
            mail.0.expire(now, &mut mail.1);
        }
        let mut mail = self.control_mail();
        mail.0.derive_all(now, &mut mail.1);
        self.judge.model.horizon = self.postbox.horizon(tick);
    }

    const fn control_mail(&mut self) -> (&mut Control, Mail<'_>) {
        let mail = Mail {
            tick: self.clock.tick(),
            from: ShardId::CONTROL,
            postbox: &mut self.postbox,
            judge: &mut self.judge,
        };
        (&mut self.control, mail)
    }

    /// What one turn of the real worker does: what was put off, letters, clients, timers.
    fn shard_turn(&mut self, index: usize) {
        let now = self.clock.now();
        if self.shards[index].has_deferred() {
            let (shard, mut out) = self.emission(index);
            shard.resume(now, &mut out);
            self.judge.settle();
        }
        self.shard_letters(index);
        for offset in 0..self.hosts[index].slots() {
            let slots = self.hosts[index].slots();
            self.shard_arrivals(index, (offset + self.clock.tick() as usize) % slots);
        }
        self.tell_counts(index);
        let is_late = self.postbox.saboteur().bug() == Some(Bug::LateTimeout);
        let is_due = self.shards[index].deadline().is_some_and(|deadline| deadline <= now.monotonic_ns);
        if is_due && (!is_late || self.clock.tick().is_multiple_of(LATE_TICKS)) {
            let (shard, mut out) = self.emission(index);
            shard.expire(now, &mut out);
        }
        if self.clock.tick().is_multiple_of(TRIM_TICKS) {
            self.shards[index].trim();
        }
        self.judge.model.turned(index, self.clock.tick());
    }

    /// Tells the shard of the messages that were counted in this turn.
    fn tell_counts(&mut self, index: usize) {
        if self.options.realm.statistics.is_none() {
            return;
        }
        let now = self.clock.now();
        for slot in 0..self.hosts[index].slots() {
            let Some((key, total)) = self.hosts[index].take_counted(slot) else { continue };
            let (shard, mut out) = self.emission(index);
            shard.handle(now, Input::Counted { key, total }, &mut out);
        }
    }

    fn shard_letters(&mut self, index: usize) {
        let (tick, now) = (self.clock.tick(), self.clock.now());
        let to = ShardId(index as u8);
        for lane in LANES {
            for from in self.postbox.everybody() {
                for _ in 0..self.options.batch_max {
                    let Some(letter) = self.postbox.take(tick, from, to, lane) else { break };
                    let (shard, mut out) = self.emission(index);
                    shard.handle(now, Input::Letter { from, letter }, &mut out);
                }
            }
        }
    }

    fn shard_arrivals(&mut self, index: usize, slot: usize) {
        let (tick, now) = (self.clock.tick(), self.clock.now());
        for _ in 0..self.options.batch_max {
            let credit = self.postbox.has_credit(ShardId(index as u8));
            let Some(arrival) = self.hosts[index].arrival(slot, tick, credit) else { return };
            self.observe_arrival(index, &arrival);
            if self.loses(&arrival) {
                continue;
            }
            let arrival = self.tampered(arrival);
            let (shard, mut out) = self.emission(index);
            let input = match arrival {
                Arrival::Opened { key, transport, .. } => {
                    Input::Opened { key, transport, details: Arc::default() }
                }
                Arrival::Message { key, message, .. } => Input::Message { key, message },
                Arrival::Closed { key, .. } => Input::Closed { key },
            };
            shard.handle(now, input, &mut out);
            self.judge.settle();
        }
    }

    /// With [`Bug::LoseHeld`], a message that would have to wait for an authorizer is lost.
    fn loses(&mut self, arrival: &Arrival) -> bool {
        let Arrival::Message { peer, .. } = arrival else { return false };
        let held = self.judge.model.peer(*peer).and_then(|record| record.held.as_ref());
        held.is_some_and(|held| held.messages.len() > 1)
            && self.postbox.saboteur().strikes(Bug::LoseHeld, 100)
    }

    fn tampered(&mut self, arrival: Arrival) -> Arrival {
        match arrival {
            Arrival::Message { key, peer, message } => {
                Arrival::Message { key, peer, message: self.postbox.saboteur().tamper(message) }
            }
            other => other,
        }
    }

    fn observe_arrival(&mut self, index: usize, arrival: &Arrival) {
        let shard = ShardId(index as u8);
        let observation = match arrival {
            Arrival::Opened { peer, transport, honest, .. } => {
                Observation::Opened { peer: *peer, shard, transport: *transport, honest: *honest }
            }
            Arrival::Message { peer, message, .. } => Observation::Arrived { peer: *peer, message },
            Arrival::Closed { peer, unread, .. } => Observation::Closed { peer: *peer, unread: *unread },
        };
        self.judge.observe(self.clock.tick(), &observation);
    }

    fn emission(&mut self, index: usize) -> (&mut Shard, Emission<'_>) {
        let mail = Mail {
            tick: self.clock.tick(),
            from: ShardId(index as u8),
            postbox: &mut self.postbox,
            judge: &mut self.judge,
        };
        (&mut self.shards[index], Emission { mail, host: &mut self.hosts[index] })
    }
}

/// Whether nothing waits on a shard.
fn is_idle(shard: &Shard) -> bool {
    let sizes = shard.inspect().sizes();
    !shard.has_deferred() && sizes.parked == 0 && sizes.messages_held == 0
}
