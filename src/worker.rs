//! A data shard at work: one engine, its connections, one router shard.
//!
//! One turn: poll → decode → route → encode → submit. A turn never blocks and never awaits; what it causes for other shards
//! leaves in batches at its end.

mod connection;
mod cookies;
mod counts;
mod details;
mod door;
mod echo;
pub mod mail;
pub mod outbound;
mod refusals;
mod relay;
mod secured;
mod slow;
mod timers;

pub(crate) use details::presentable;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossring_codec::limits::NestingDepth;
use crossring_codec::transport::{
    RawSocketServerOptions, Transport, TransportErrorKind, WebSocketServerOptions,
};
use crossring_io::{
    BufferLease, Close, CloseReason, ConnectionId, Engine, EngineFault, Event, ListenerId, Monotonic,
    PeerAddress, Wait,
};
use crossring_router::address::{SessionKey, ShardId, TransportId};
use crossring_router::cookies::CookieGenerator;
use crossring_router::input::Input;
use crossring_router::outbox::EndCause;
use crossring_router::shard::Shard;

use crate::clock::Clock;
use crate::thrift::{KEPT_SIZE_MAX, MOSTLY, Thrift, trim_buffer, trim_slots};
use connection::{Connection, Pumped, Routing};
use details::Own;
use door::{Arrival, Door};
pub use door::{BURST_S, ListenerLimits};
use mail::{Mail, Order, PostOffice};
use outbound::{Ending, Outbound, OutboundCounters, OutboundLimits};
pub(crate) use refusals::Refusals;
pub use refusals::{Refusal, RefusalCounts};
pub use relay::SharedListener;
use rustls::ServerConfig;
use secured::Received;
use slow::SlowReaders;
use timers::{Timer, TimerKind, Timers};

/// How the connections of a listener speak.
#[derive(Clone, Debug)]
pub enum ListenerKind {
    /// RawSocket.
    RawSocket(RawSocketListener),
    /// WebSocket.
    WebSocket(Arc<WebSocketListener>),
    /// Each connection's first octets decide.
    Shared(Arc<SharedListener>),
    /// Octets go back as they come.
    StreamEcho,
}

impl ListenerKind {
    /// How deep the messages of its connections may be nested.
    fn nesting_max(&self) -> NestingDepth {
        match self {
            ListenerKind::RawSocket(rawsocket) => rawsocket.nesting_max,
            ListenerKind::WebSocket(websocket) => websocket.nesting_max,
            ListenerKind::Shared(_) | ListenerKind::StreamEcho => NestingDepth::MAX,
        }
    }
}

/// A RawSocket listener.
#[derive(Copy, Clone, Debug)]
pub struct RawSocketListener {
    /// What the handshake and the frames must look like.
    pub options: RawSocketServerOptions,
    /// How deep messages may be nested.
    pub nesting_max: NestingDepth,
}

/// A WebSocket listener.
#[derive(Clone, Debug)]
pub struct WebSocketListener {
    /// What the handshake and the frames must look like.
    pub options: Arc<WebSocketServerOptions>,
    /// How deep messages may be nested.
    pub nesting_max: NestingDepth,
    /// Octets of the ping payload and the two times; absent: never pings.
    pub auto_ping: Option<AutoPing>,
    /// Milliseconds for the opening handshake.
    pub open_handshake_timeout_ms: u32,
    /// Milliseconds for the closing handshake, what is still queued included.
    pub close_handshake_timeout_ms: u32,
    /// A peer that breaks the rules is dropped without a word.
    pub fails_by_drop: bool,
    /// Messages go back as they come.
    pub echoes: bool,
    /// Characters of a tracking cookie, where `options` have one.
    pub cookie_length: usize,
}

/// Keep-alive of WebSocket connections.
#[derive(Copy, Clone, Debug)]
pub struct AutoPing {
    /// Milliseconds of silence before a ping.
    pub interval_ms: u32,
    /// Milliseconds for the answer; 0: unlimited.
    pub timeout_ms: u32,
    /// Octets of the ping.
    pub size: u32,
    /// Whatever is received counts as the answer; else pings come at each interval and want their own.
    pub restarts_on_traffic: bool,
}

/// A bound socket for one shard.
#[derive(Debug)]
pub struct Listener {
    /// The listening socket.
    pub socket: OwnedFd,
    /// What it is in the configuration.
    pub transport: TransportId,
    /// How its connections speak.
    pub kind: ListenerKind,
    /// How many connections it takes through this socket.
    pub limits: ListenerLimits,
    /// Settings of TLS; absent: octets go as they are.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Bounds of a worker.
#[derive(Copy, Clone, Debug)]
pub struct WorkerLimits {
    /// Its outgoing queues.
    pub outbound: OutboundLimits,
    /// Connections without a session at once; further ones are not let in.
    pub unjoined_max: u32,
    /// Octets that a peer without a session may send, handshake, HELLO and AUTHENTICATE in all. Protects the router's memory:
    /// messages are kept until they are whole.
    pub unjoined_octets_max: u32,
}

/// Milliseconds a connection that is being closed may take to take its last octets.
const DRAIN_TIMEOUT_MS: u32 = 5_000;

/// Batches of mail taken in one turn, so that a busy neighbour does not starve this shard's own clients.
const BATCHES_PER_TURN_MAX: usize = 64;

/// What a worker has done, for the log and for metrics.
#[derive(Clone, Debug, Default)]
pub struct WorkerCounters {
    /// Turns.
    pub turns: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections gone.
    pub closed: u64,
    /// What peers were refused for. Who is turned away at the door is not among those accepted.
    pub refusals: RefusalCounts,
    /// The sending half.
    pub outbound: OutboundCounters,
}

/// One data shard.
pub struct Worker<E> {
    id: ShardId,
    own: Own,
    engine: E,
    shard: Shard,
    connections: Vec<Connection>,
    connection_count: u32,
    /// Connections that speak HTTP.
    relayed_count: u32,
    door: Door,
    slow_readers: SlowReaders,
    unjoined_octets_max: u32,
    outbound: Outbound,
    listeners: Vec<(ListenerId, Listen)>,
    timers: Timers,
    clock: Clock,
    cookies: CookieGenerator,
    events: Vec<Event>,
    scratch: Vec<u8>,
    paused: Vec<SessionKey>,
    thrift: Thrift,
    /// Connections that went since memory was given back last.
    gone_count: u32,
    /// Octets received and sent until then.
    saved_at: u64,
    stopping: Option<Monotonic>,
    counters: WorkerCounters,
}

/// What accepted connections inherit.
#[derive(Clone, Debug)]
struct Listen {
    transport: TransportId,
    kind: ListenerKind,
    tls: Option<Arc<ServerConfig>>,
    limits: Arc<ListenerLimits>,
    connection_count: u32,
}

impl<E: Engine> Worker<E> {
    /// A worker over an opened engine, to be run on this thread. Connections are accepted from the first [`Worker::turn`] on.
    pub fn new(
        engine: E,
        shard: Shard,
        listeners: Vec<Listener>,
        mail: PostOffice,
        limits: WorkerLimits,
    ) -> Self {
        let mut worker = Self {
            id: shard.id(),
            cookies: shard.cookie_generator(),
            own: Own::read(),
            engine,
            shard,
            connections: Vec::new(),
            connection_count: 0,
            relayed_count: 0,
            door: Door::new(limits.unjoined_max),
            slow_readers: SlowReaders::default(),
            unjoined_octets_max: limits.unjoined_octets_max,
            outbound: Outbound::new(limits.outbound, mail),
            listeners: Vec::new(),
            timers: Timers::default(),
            clock: Clock::new(),
            events: Vec::new(),
            scratch: Vec::new(),
            paused: Vec::new(),
            thrift: Thrift::of_shard(),
            gone_count: 0,
            saved_at: 0,
            stopping: None,
            counters: WorkerCounters::default(),
        };
        for Listener { socket, transport, kind, limits, tls } in listeners {
            let id = worker.engine.listen(socket);
            let listen = Listen { transport, kind, tls, limits: Arc::new(limits), connection_count: 0 };
            worker.listeners.push((id, listen));
        }
        worker
    }

    /// Turns until told to stop and drained, or until the engine fails.
    pub fn run(&mut self) -> Result<(), EngineFault> {
        while !self.is_finished() {
            let wait = self.wait();
            self.turn(wait)?;
        }
        if let Some(summary) = self.door.refusals.summary() {
            tracing::info!(shard = self.id.0, "refused since the start: {summary}");
        }
        Ok(())
    }

    /// Whether the worker was told to stop and nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.stopping.is_some_and(|deadline| self.connection_count == 0 || self.engine.now() >= deadline)
    }

    /// What the worker has done so far.
    pub fn counters(&self) -> WorkerCounters {
        let outbound = self.outbound.counters.clone();
        WorkerCounters { refusals: self.door.refusals.counts(), outbound, ..self.counters.clone() }
    }

    /// How long the next turn may sleep.
    fn wait(&mut self) -> Wait {
        if self.shard.has_deferred() || self.outbound.secured.has_waiting() {
            return Wait::NOW;
        }
        if !self.paused.is_empty() {
            self.outbound.mail.wait_for_credit();
        }
        if !self.outbound.mail.prepare_sleep() {
            return Wait::NOW;
        }
        let deadlines = [
            self.shard.deadline(),
            self.timers.deadline(),
            self.stopping.map(|at| at.0),
            self.door.refusals.deadline().map(|at| at.0),
            self.slow_readers.deadline().map(|at| at.0),
            self.thrift.deadline().map(|at| at.0),
        ];
        match deadlines.into_iter().flatten().min() {
            Some(deadline) => Wait::until(Monotonic(deadline)),
            None => Wait::FOREVER,
        }
    }

    /// One turn.
    pub fn turn(&mut self, wait: Wait) -> Result<(), EngineFault> {
        let mut events = std::mem::take(&mut self.events);
        self.engine.poll(&mut events, wait)?;
        self.outbound.mail.woke();
        self.counters.turns += 1;
        let has_events = !events.is_empty();
        self.continue_handshakes();
        for event in events.drain(..) {
            self.event(event);
        }
        self.events = events;
        let has_mail = self.read_mail();
        self.resume();
        self.tell_counts();
        self.end_sessions();
        self.tell_refusals();
        self.tell_paces();
        self.outbound.flush(&mut self.engine);
        self.outbound.mail.deliver(|doorbell| self.engine.ring(doorbell));
        self.save(has_events || has_mail);
        Ok(())
    }

    /// Gives memory back when that is due and nothing else is to be done.
    fn save(&mut self, is_busy: bool) {
        let work = self.work();
        if work - self.saved_at > KEPT_SIZE_MAX as u64 {
            // More than any buffer keeps has come through one, and some part of those that the kernel fills.
            self.thrift.note(self.engine.now(), work);
        }
        let has_more = || self.shard.has_deferred() || self.outbound.secured.has_waiting();
        if is_busy || !self.thrift.is_due(self.engine.now(), work) || has_more() {
            return;
        }
        trim_buffer(&mut self.scratch);
        trim_slots(&mut self.connections, Connection::is_taken);
        let is_there = |key: SessionKey| self.connections.get(key.slot as usize).is_some_and(|it| it.is(key));
        self.timers.trim(self.connection_count, is_there);
        (self.gone_count, self.saved_at) = (0, work);
        self.door.trim(self.engine.now());
        self.shard.trim();
        self.outbound.trim();
        self.engine.trim();
        crossring_io::memory::hand_over();
    }

    /// Octets received and sent so far.
    fn work(&self) -> u64 {
        let counters = self.engine.counters();
        counters.received_bytes + counters.sent_bytes
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Received { connection, buffer } => self.received(connection, buffer),
            Event::Sent { connection, returned } => {
                let key = key_of(connection);
                self.outbound.sent(key, returned);
                self.relay_sent(key);
            }
            Event::Accepted { listener, connection } => self.accepted(listener, connection),
            Event::Closed { connection, reason } => self.closed(connection, reason),
            Event::AcceptFailed { errno, .. } => self.door.refusals.add_unaccepted(errno),
            Event::Doorbell => {}
        }
    }

    fn accepted(&mut self, listener: ListenerId, connection: ConnectionId) {
        let Some(index) = self.listeners.iter().position(|(id, _)| *id == listener) else {
            return self.engine.close(connection, Close::Now);
        };
        let key = key_of(connection);
        let limits = self.listeners[index].1.limits.clone();
        if !self.is_let_in(key, index as u16, &limits) {
            return self.engine.close(connection, Close::Now);
        }
        let listen = &mut self.listeners[index].1;
        let shared_ms = limits.handshake_timeout_ms;
        let (mut transport, timeout_ms) = match &listen.kind {
            ListenerKind::RawSocket(rawsocket) => {
                (Some(Transport::accept_rawsocket(&rawsocket.options)), shared_ms)
            }
            ListenerKind::WebSocket(websocket) => {
                (Some(Transport::accept_websocket(&websocket.options)), websocket.open_handshake_timeout_ms)
            }
            ListenerKind::Shared(_) | ListenerKind::StreamEcho => (None, shared_ms),
        };
        let echoes = match &listen.kind {
            ListenerKind::WebSocket(websocket) => websocket.echoes,
            ListenerKind::StreamEcho => true,
            ListenerKind::RawSocket(_) | ListenerKind::Shared(_) => false,
        };
        let slot = key.slot as usize;
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, Connection::vacant);
        }
        self.outbound.open(key);
        let is_secured = listen.tls.as_ref().is_some_and(|config| self.outbound.secure(key, config));
        self.connection_count += 1;
        self.counters.opened += 1;
        listen.connection_count += 1;
        let is_full = listen.connection_count > limits.connections_max;
        if is_full {
            self.door.refusals.add(Refusal::ListenerFull);
            self.scratch.clear();
            if let Some(transport) = &mut transport {
                transport.fail(TransportErrorKind::TooManyConnections, &mut self.scratch);
            }
            self.outbound.raw(key, &self.scratch);
        }
        let is_refused = is_full || listen.tls.is_some() != is_secured;
        self.connections[slot] = Connection::new(key, index as u16, listen.transport, transport, is_secured);
        self.connections[slot].limit_nesting(listen.kind.nesting_max());
        if echoes {
            self.connections[slot].make_echo();
        }
        if is_refused {
            return self.finish(key);
        }
        self.timers.add(self.engine.now(), timeout_ms, Timer { key, kind: TimerKind::Handshake });
    }

    /// Whether a new connection may stay.
    fn is_let_in(&mut self, key: SessionKey, listener: u16, limits: &ListenerLimits) -> bool {
        let known = self.shard.joined() as u32 + self.relayed_count;
        let unjoined = self.connection_count.saturating_sub(known);
        let arrival = Arrival { slot: key.slot, listener, unjoined };
        let engine = &self.engine;
        self.door.admits(engine.now(), &arrival, limits, || match engine.peer(connection_of(key)) {
            PeerAddress::Internet(address) => Some(address.ip()),
            _ => None,
        })
    }

    fn received(&mut self, connection: ConnectionId, buffer: BufferLease) {
        let key = key_of(connection);
        if let Some(connection) = find(&mut self.connections, key) {
            let octets = self.engine.bytes(&buffer);
            if connection.is_secured() {
                let received = self.outbound.receive_secured(key, octets);
                self.engine.release(buffer);
                return self.received_secured(key, received);
            }
            if connection.is_shared() {
                let octets = octets.to_vec();
                self.engine.release(buffer);
                return self.take_shared(key, octets);
            }
            if connection.is_paused() {
                connection.hold(octets);
            } else {
                let now = self.clock.now(self.engine.now());
                let mut routing = Routing {
                    shard: &mut self.shard,
                    outbound: &mut self.outbound,
                    refusals: &mut self.door.refusals,
                    unjoined_octets_max: self.unjoined_octets_max,
                    scratch: &mut self.scratch,
                    now,
                    socket: &|| self.own.socket(&self.engine, key),
                };
                let pumped = connection.pump(octets, &mut routing);
                self.engine.release(buffer);
                self.pumped(key, pumped);
                return self.apply_pauses();
            }
        }
        self.engine.release(buffer);
    }

    /// Goes on with handshakes of TLS that were put off.
    fn continue_handshakes(&mut self) {
        self.outbound.secured.begin_turn();
        while let Some(key) = self.outbound.secured.pop_waiting() {
            let received = self.outbound.receive_secured(key, &[]);
            self.received_secured(key, received);
        }
    }

    /// Takes the data that TLS has brought, then does what TLS asks for.
    fn received_secured(&mut self, key: SessionKey, received: Received) {
        let plain = self.outbound.secured.take_plain();
        if !plain.is_empty() {
            self.take_data(key, &plain);
        }
        self.outbound.secured.recycle(plain);
        match received {
            Received::Nothing | Received::Pending => {}
            Received::PeerClosed => self.finish(key),
            Received::Failed => {
                self.door.refusals.add(Refusal::Tls);
                self.finish(key);
            }
        }
    }

    fn take_data(&mut self, key: SessionKey, octets: &[u8]) {
        let Some(connection) = find(&mut self.connections, key) else { return };
        if connection.is_shared() {
            return self.take_shared(key, octets.to_vec());
        }
        if connection.is_paused() {
            return connection.hold(octets);
        }
        let pumped = self.pump(key, octets);
        self.pumped(key, pumped);
        self.apply_pauses();
    }

    /// Routes input that is not in a buffer of the engine.
    fn pump(&mut self, key: SessionKey, octets: &[u8]) -> Pumped {
        let Some(connection) = find(&mut self.connections, key) else { return Pumped::Done };
        let now = self.clock.now(self.engine.now());
        let mut routing = Routing {
            shard: &mut self.shard,
            outbound: &mut self.outbound,
            refusals: &mut self.door.refusals,
            unjoined_octets_max: self.unjoined_octets_max,
            scratch: &mut self.scratch,
            now,
            socket: &|| self.own.socket(&self.engine, key),
        };
        connection.pump(octets, &mut routing)
    }

    /// Does what a connection's input asks of the worker.
    fn pumped(&mut self, key: SessionKey, pumped: Pumped) {
        match pumped {
            Pumped::Done | Pumped::Held => {}
            Pumped::Opened => self.opened(key),
            Pumped::Requested => self.requested(key),
            Pumped::Paused => {
                self.engine.pause_receive(connection_of(key));
                self.paused.push(key);
            }
            Pumped::Failed => match self.kind_of(key) {
                Some(ListenerKind::WebSocket(it)) if it.fails_by_drop && !self.is_handshaking(key) => {
                    self.engine.close(connection_of(key), Close::Now);
                }
                _ => self.finish(key),
            },
            Pumped::Ended => self.finish(key),
        }
    }

    fn opened(&mut self, key: SessionKey) {
        if let Some(ListenerKind::WebSocket(websocket)) = self.kind_of(key)
            && let Some(ping) = websocket.auto_ping
        {
            self.timers.add(self.engine.now(), ping.interval_ms, Timer { key, kind: TimerKind::Ping });
        }
    }

    fn listen_of(&self, key: SessionKey) -> Option<Listen> {
        let listener = self.connections.get(key.slot as usize).filter(|it| it.is(key))?.listener();
        self.listeners.get(usize::from(listener)).map(|(_, listen)| listen.clone())
    }

    /// How a connection speaks, once that is decided.
    fn kind_of(&self, key: SessionKey) -> Option<ListenerKind> {
        match self.listen_of(key)?.kind {
            ListenerKind::Shared(shared) => {
                let transport = self.connections.get(key.slot as usize)?.transport_id();
                shared.kind_of(transport)
            }
            kind => Some(kind),
        }
    }

    fn is_handshaking(&self, key: SessionKey) -> bool {
        self.connections.get(key.slot as usize).is_some_and(|it| it.is(key) && it.is_handshaking())
    }

    /// Lets what is queued leave, then closes; by force when the peer does not take it.
    fn finish(&mut self, key: SessionKey) {
        let timeout_ms = match self.kind_of(key) {
            Some(ListenerKind::WebSocket(it)) => it.close_handshake_timeout_ms,
            _ => DRAIN_TIMEOUT_MS,
        };
        self.outbound.finish(key);
        self.timers.add(self.engine.now(), timeout_ms, Timer { key, kind: TimerKind::Drain });
    }

    fn closed(&mut self, connection: ConnectionId, reason: CloseReason) {
        let key = key_of(connection);
        let Some(connection) = find(&mut self.connections, key) else { return };
        tracing::debug!(shard = self.id.0, slot = key.slot, ?reason, "connection closed");
        let was_known = connection.is_known_to_shard();
        let listener = usize::from(connection.listener());
        let was_relayed = connection.is_relayed();
        *connection = Connection::vacant();
        if let Some((_, listen)) = self.listeners.get_mut(listener) {
            listen.connection_count -= 1;
        }
        self.connection_count -= 1;
        self.counters.closed += 1;
        self.door.left(self.engine.now(), key.slot);
        self.outbound.close(key);
        self.gone_count = self.gone_count.saturating_add(1);
        if u64::from(self.gone_count) * MOSTLY as u64 > u64::from(self.connection_count) {
            self.thrift.note(self.engine.now(), self.work());
        }
        if was_relayed {
            self.end_relay(key);
        }
        if was_known {
            let now = self.clock.now(self.engine.now());
            self.shard.handle(now, Input::Closed { key }, &mut self.outbound);
        }
    }

    /// Whether there was any.
    fn read_mail(&mut self) -> bool {
        for count in 0..BATCHES_PER_TURN_MAX {
            let taken = self.outbound.mail.take(|doorbell| self.engine.ring(doorbell));
            let Some((from, mut delivery)) = taken else { return count > 0 };
            let now = self.clock.now(self.engine.now());
            for mail in delivery.letters.drain(..) {
                match mail {
                    Mail::Letter(letter) => {
                        self.shard.handle(now, Input::Letter { from, letter }, &mut self.outbound);
                    }
                    Mail::Order(Order::Stop { deadline }) => self.stop(deadline),
                    Mail::Order(Order::Secure { transport, config }) => self.secure(transport, &config),
                    Mail::Cookie(mail) => self.cookie_answered(mail),
                    Mail::Relay(relay) => self.relayed(relay),
                }
            }
            self.outbound.mail.recycle(delivery);
        }
        true
    }

    /// Gives the listeners of a transport other settings of TLS.
    fn secure(&mut self, transport: TransportId, config: &Arc<ServerConfig>) {
        let listeners = self.listeners.iter_mut().map(|(_, listen)| listen);
        for listen in listeners.filter(|listen| listen.transport == transport) {
            listen.tls = Some(config.clone());
        }
    }

    fn stop(&mut self, deadline: Monotonic) {
        for (id, _) in &self.listeners {
            self.engine.stop_listening(*id);
        }
        self.stopping = Some(deadline);
        // Relayed ones are ended by the control shard, with the requests that they are at.
        let idle: Vec<_> =
            self.connections.iter().filter(|it| it.is_handshaking()).map(Connection::key).collect();
        for key in idle {
            self.engine.close(connection_of(key), Close::Now);
        }
    }

    /// What is due beside the events: deferred calls, timers, connections that may be read again.
    fn resume(&mut self) {
        let now = self.clock.now(self.engine.now());
        if self.shard.has_deferred() {
            self.shard.resume(now, &mut self.outbound);
        }
        if self.shard.deadline().is_some_and(|deadline| deadline <= now.monotonic_ns) {
            self.shard.expire(now, &mut self.outbound);
        }
        while let Some(timer) = self.timers.pop_due(self.engine.now()) {
            self.timer(timer);
        }
        if !self.paused.is_empty() && self.outbound.mail.has_credit() {
            for key in std::mem::take(&mut self.paused) {
                if find(&mut self.connections, key).is_some_and(Connection::has_credit) {
                    self.read_on(key);
                }
            }
        }
        self.apply_pauses();
    }

    /// Reads the connections no further whose sessions wait for their authorizers, and those on that do not any more.
    fn apply_pauses(&mut self) {
        while !self.outbound.pauses.is_empty() {
            for (key, is_held) in std::mem::take(&mut self.outbound.pauses) {
                let Some(connection) = find(&mut self.connections, key) else { continue };
                let may_go_on = connection.set_held(is_held);
                if is_held {
                    self.engine.pause_receive(connection_of(key));
                } else if may_go_on {
                    self.read_on(key);
                }
            }
        }
    }

    /// Tells the core of the messages that were counted in this turn.
    fn tell_counts(&mut self) {
        while let Some((key, total)) = self.outbound.pop_counted() {
            let now = self.clock.now(self.engine.now());
            self.shard.handle(now, Input::Counted { key, total }, &mut self.outbound);
        }
    }

    /// Writes what was refused to the log, if that is due.
    fn tell_refusals(&mut self) {
        let refusals = &mut self.door.refusals;
        refusals.take_over(self.shard.counters());
        if let Some(line) = refusals.line(self.engine.now()) {
            tracing::warn!(shard = self.id.0, "refused: {line}");
        }
    }

    fn read_on(&mut self, key: SessionKey) {
        let Some(connection) = find(&mut self.connections, key) else { return };
        let held = connection.take_held();
        match self.pump(key, &held) {
            Pumped::Paused => self.paused.push(key),
            Pumped::Held => {}
            pumped => {
                self.engine.resume_receive(connection_of(key));
                self.pumped(key, pumped);
            }
        }
    }

    fn timer(&mut self, timer: Timer) {
        let key = timer.key;
        let Some(connection) = find(&mut self.connections, key) else { return };
        match timer.kind {
            TimerKind::Handshake if connection.is_handshaking() => {
                self.door.refusals.add(Refusal::HandshakeTimeout);
                self.engine.close(connection_of(key), Close::Now);
            }
            TimerKind::Handshake => {}
            TimerKind::Drain => self.engine.close(connection_of(key), Close::Now),
            TimerKind::Ping => self.ping(key),
        }
    }

    fn ping(&mut self, key: SessionKey) {
        let Some(ListenerKind::WebSocket(websocket)) = self.kind_of(key) else { return };
        let Some(ping) = websocket.auto_ping else { return };
        let now = self.engine.now();
        let Some(connection) = find(&mut self.connections, key) else { return };
        match connection.ping(now, ping, &mut self.outbound) {
            Ok(next) => self.timers.add_at(next, Timer { key, kind: TimerKind::Ping }),
            Err(()) => {
                tracing::debug!(
                    shard = self.id.0,
                    slot = key.slot,
                    "no answer to a ping: connection dropped"
                );
                self.door.refusals.add(Refusal::Silence);
                self.engine.close(connection_of(key), Close::Now);
            }
        }
    }

    /// Ends the sessions that the core or a full queue gave up.
    fn end_sessions(&mut self) {
        // A farewell may itself find the queue full: then there is one more ending, and it is the last for that session.
        while !self.outbound.endings.is_empty() {
            for (key, ending) in std::mem::take(&mut self.outbound.endings) {
                match ending {
                    Ending::Overflow => self.engine.close(connection_of(key), Close::Now),
                    Ending::Core(cause) => self.end(key, cause),
                }
            }
        }
    }

    fn end(&mut self, key: SessionKey, cause: EndCause) {
        tracing::debug!(shard = self.id.0, slot = key.slot, ?cause, "session ends");
        if cause == EndCause::JoinTimeout {
            self.door.refusals.add(Refusal::JoinTimeout);
        }
        if let Some(connection) = find(&mut self.connections, key) {
            connection.close(cause, &mut self.outbound, &mut self.scratch);
            self.finish(key);
        }
    }
}

fn find(connections: &mut [Connection], key: SessionKey) -> Option<&mut Connection> {
    connections.get_mut(key.slot as usize).filter(|connection| connection.is(key))
}

/// The session slot of a connection: the same numbers.
pub(crate) fn key_of(connection: ConnectionId) -> SessionKey {
    SessionKey { slot: connection.slot, generation: connection.generation }
}

/// The connection of a session slot.
pub(crate) fn connection_of(key: SessionKey) -> ConnectionId {
    ConnectionId { slot: key.slot, generation: key.generation }
}
