//! The floor: a server without a protocol on the router's own I/O engine, with the router's own
//! batching. What it costs is what the kernel costs; no router on this engine can cost less.
//!
//! Frames are those of [`crate::protocol::floor`]. Whole frames of publishers are appended to one
//! shared buffer per turn, which every subscriber gets with one send; a caller's frames go to the
//! callee the same way, and the callee's to the caller. It does nothing else.

use std::{
    io::{self, Write},
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
};

use crossring_io::{
    AnyEngine, BufferLease, Chunk, ChunkBuilder, ChunkPool, Close, ConnectionId, Engine, EngineKind,
    EngineOptions, Event, Outgoing, Segment, Wait, listener, open,
};

use crate::{
    fault::Fault,
    protocol::{
        FRAME_BYTES_MAX,
        floor::{LENGTH_BYTES, hello},
    },
    tls::{ServerSession, server_config},
};
use rustls::ServerConfig;

/// A receiver that lets more than this queue up is disconnected.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A hello: the length 1 and the role.
const HELLO_BYTES: usize = LENGTH_BYTES + 1;

/// Answers a hello.
const ACKNOWLEDGEMENT: [u8; LENGTH_BYTES] = [0; LENGTH_BYTES];

/// Where the frames of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its hello has not come yet.
    New,
    /// To nobody: subscribers and idle sessions.
    Silent,
    /// To one of the groups.
    Sender(Group),
}

/// The receivers of one turn's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Subscribers,
    Callees,
    Callers,
}

const GROUPS: [Group; 3] = [Group::Subscribers, Group::Callees, Group::Callers];

struct Connection {
    id: ConnectionId,
    role: Role,
    /// Start of a frame whose end has not come yet.
    partial: Vec<u8>,
    queue: Vec<Segment>,
    queue_bytes: usize,
    is_sending: bool,
    tls: Option<Box<ServerSession>>,
}

/// Members of a group, and what they all get at the end of the turn.
struct Channel {
    slots: Vec<u32>,
    batch: ChunkBuilder,
}

/// The pump.
pub struct Pump<E> {
    engine: E,
    pool: ChunkPool,
    connections: Vec<Option<Connection>>,
    channels: [Channel; GROUPS.len()],
    acknowledgement: Chunk,
    events: Vec<Event>,
    /// Of all connections, if they are encrypted.
    security: Option<Arc<ServerConfig>>,
    /// As received, to be decrypted in place.
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

/// Serves on `address` until the process ends. Prints the address, for whoever asked for port 0.
pub fn serve(address: SocketAddr, wanted: EngineKind, is_secured: bool) -> Result<(), Fault> {
    // Huge pages would make memory per session a matter of 2 MiB steps. Where they cannot be
    // refused, the memory column is that much coarser.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let socket = listener::tcp(address, &listener::TcpOptions::default()).map_err(Fault::io("listen"))?;
    let bound = listener::tcp_address(&socket).map_err(Fault::io("listen"))?;
    let mut pump = Pump::open(wanted, socket, is_secured)?;
    println!("floor{}://{bound}", if is_secured { "+tls" } else { "" });
    io::stdout().flush().map_err(Fault::io("standard output"))?;
    loop {
        pump.turn(Wait::FOREVER)?;
    }
}

impl Pump<AnyEngine> {
    /// Opens the engine on this thread, where the pump must stay.
    pub fn open(wanted: EngineKind, socket: OwnedFd, is_secured: bool) -> Result<Self, Fault> {
        let (engine, report) =
            open(wanted, EngineOptions::default()).map_err(|error| Fault::Setup(error.to_string()))?;
        if let Some(refusal) = report.refusal {
            eprintln!("crossring-perf floor: {refusal}");
        }
        let security = is_secured.then(server_config).transpose()?;
        Ok(Pump::new(engine, socket, security))
    }
}

impl<E: Engine> Pump<E> {
    fn new(mut engine: E, socket: OwnedFd, security: Option<Arc<ServerConfig>>) -> Self {
        engine.listen(socket);
        let mut pool = ChunkPool::default();
        let channels = GROUPS.map(|_| Channel { slots: Vec::new(), batch: pool.chunk() });
        let acknowledgement = Chunk::from(ACKNOWLEDGEMENT.to_vec());
        let (connections, events) = (Vec::new(), Vec::new());
        let (sealed, plain) = (Vec::new(), Vec::new());
        Pump { engine, pool, connections, channels, acknowledgement, events, security, sealed, plain }
    }

    /// The engine, to be woken from another thread.
    #[cfg(test)]
    fn engine(&self) -> &E {
        &self.engine
    }

    /// One turn: poll, sort all received frames into batches, send each batch to its group.
    pub fn turn(&mut self, wait: Wait) -> Result<(), Fault> {
        let mut events = std::mem::take(&mut self.events);
        let polled = self.engine.poll(&mut events, wait);
        polled.map_err(|fault| Fault::Setup(fault.to_string()))?;
        for event in events.drain(..) {
            self.handle(event);
        }
        self.events = events;
        for group in GROUPS {
            self.send_batch(group);
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted { connection, .. } => self.accepted(connection),
            Event::Received { connection, buffer } => {
                let is_valid = self.decrypted(connection, &buffer) && self.received(connection, &buffer);
                self.engine.release(buffer);
                if !is_valid {
                    self.engine.close(connection, Close::Now);
                }
            }
            Event::Sent { connection, returned } => self.sent(connection, returned),
            Event::Closed { connection, .. } => self.closed(connection),
            Event::Doorbell | Event::AcceptFailed { .. } => (),
        }
    }

    fn accepted(&mut self, id: ConnectionId) {
        let slot = id.slot as usize;
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        self.connections[slot] = Some(Connection {
            id,
            role: Role::New,
            partial: Vec::new(),
            queue: Vec::new(),
            queue_bytes: 0,
            is_sending: false,
            tls: self.security.clone().and_then(|config| ServerSession::accept(config).ok()).map(Box::new),
        });
    }

    /// Leaves the data of an encrypted connection in `plain`; `false` when the peer does not speak TLS.
    fn decrypted(&mut self, id: ConnectionId, buffer: &BufferLease) -> bool {
        self.plain.clear();
        let slot = id.slot as usize;
        let connection = self.connections.get_mut(slot).and_then(Option::as_mut);
        let Some(session) = connection.and_then(|connection| connection.tls.as_mut()) else { return true };
        self.sealed.clear();
        self.sealed.extend_from_slice(self.engine.bytes(buffer));
        let is_valid = session.receive(&mut self.sealed, &mut self.plain).is_ok();
        let pending = session.take_pending();
        if !pending.is_empty() {
            self.post_sealed(slot, Chunk::from(pending).whole());
        }
        is_valid
    }

    /// `false` when the peer does not speak the protocol.
    fn received(&mut self, id: ConnectionId, buffer: &BufferLease) -> bool {
        let slot = id.slot as usize;
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return true };
        let arrived = match &connection.tls {
            Some(_) => self.plain.as_slice(),
            None => self.engine.bytes(buffer),
        };
        let mut carried = std::mem::take(&mut connection.partial);
        let bytes = if carried.is_empty() {
            arrived
        } else {
            carried.extend_from_slice(arrived);
            carried.as_slice()
        };
        let joining = connection.role == Role::New && bytes.len() >= HELLO_BYTES;
        let start = if joining { HELLO_BYTES } else { 0 };
        if joining {
            let Some(role) = join(bytes, id.slot, &mut self.channels) else { return false };
            connection.role = role;
        }
        let Some(length) = whole_frames(&bytes[start..]) else { return false };
        let end = start + if connection.role == Role::New { 0 } else { length };
        if let Role::Sender(group) = connection.role {
            self.channels[group as usize].batch.bytes_mut().extend_from_slice(&bytes[start..end]);
        }
        connection.partial = bytes[end..].to_vec();
        if joining {
            let acknowledgement = self.acknowledgement.whole();
            self.post(slot, acknowledgement);
        }
        true
    }

    fn sent(&mut self, id: ConnectionId, returned: Outgoing) {
        self.pool.recycle(returned);
        let Some(connection) = self.connections.get_mut(id.slot as usize).and_then(Option::as_mut) else {
            return;
        };
        connection.is_sending = false;
        if connection.queue.is_empty() {
            return;
        }
        let queue = std::mem::replace(&mut connection.queue, self.pool.list());
        (connection.queue_bytes, connection.is_sending) = (0, true);
        self.engine.send(id, Outgoing::Many(queue));
    }

    fn closed(&mut self, id: ConnectionId) {
        self.connections[id.slot as usize] = None;
        for channel in &mut self.channels {
            channel.slots.retain(|&slot| slot != id.slot);
        }
    }

    fn send_batch(&mut self, group: Group) {
        let channel = &mut self.channels[group as usize];
        if channel.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut channel.batch, self.pool.chunk()).freeze();
        let slots = std::mem::take(&mut channel.slots);
        for &slot in &slots {
            self.post(slot as usize, batch.whole());
        }
        self.channels[group as usize].slots = slots;
        self.pool.recycle_chunk(batch);
    }

    /// Encrypts what is for an encrypted connection.
    fn post(&mut self, slot: usize, segment: Segment) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(session) = &mut connection.tls else { return self.post_sealed(slot, segment) };
        let mut records = self.pool.chunk();
        match session.seal(segment.bytes(), records.bytes_mut()) {
            Ok(()) => {
                let records = records.freeze();
                self.post_sealed(slot, records.whole());
                self.pool.recycle_chunk(records);
            }
            Err(_) => self.engine.close(connection.id, Close::Now),
        }
    }

    /// Sends now, or when the send in flight is done: at most one per connection.
    fn post_sealed(&mut self, slot: usize, segment: Segment) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        if !connection.is_sending {
            connection.is_sending = true;
            return self.engine.send(connection.id, Outgoing::One(segment));
        }
        connection.queue_bytes += segment.len();
        connection.queue.push(segment);
        if connection.queue_bytes > QUEUE_BYTES_MAX {
            self.engine.close(connection.id, Close::Now);
        }
    }
}

/// Reads the hello at the start of `bytes` and enters the connection into its group.
fn join(bytes: &[u8], slot: u32, channels: &mut [Channel; GROUPS.len()]) -> Option<Role> {
    let (role, group) = match bytes.get(..HELLO_BYTES)? {
        [1, 0, 0, 0, hello::PUBLISHER] => (Role::Sender(Group::Subscribers), None),
        [1, 0, 0, 0, hello::SUBSCRIBER] => (Role::Silent, Some(Group::Subscribers)),
        [1, 0, 0, 0, hello::CALLER] => (Role::Sender(Group::Callees), Some(Group::Callers)),
        [1, 0, 0, 0, hello::CALLEE] => (Role::Sender(Group::Callers), Some(Group::Callees)),
        [1, 0, 0, 0, hello::IDLE] => (Role::Silent, None),
        _ => return None,
    };
    if let Some(group) = group {
        channels[group as usize].slots.push(slot);
    }
    Some(role)
}

/// Length of all complete frames at the start of `bytes`; `None` if one announces too much.
fn whole_frames(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(length) = bytes[at..].first_chunk::<LENGTH_BYTES>() {
        let size = u32::from_le_bytes(*length) as usize;
        if size > FRAME_BYTES_MAX {
            return None;
        }
        if bytes.len() - at < LENGTH_BYTES + size {
            break;
        }
        at += LENGTH_BYTES + size;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    use super::*;
    use crate::{
        clock::Clock,
        link::Address,
        progress::Progress,
        recorder::Measurement,
        runtime::Generator,
        target::{self, Dialect, Settings, Target},
    };

    /// Runs the pump on a thread and one short scenario after the other against it.
    fn measure(kind: EngineKind, is_secured: bool, scenarios: &[&str]) -> Vec<Measurement> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let stopped = stop.clone();
        let pumping = thread::spawn(move || {
            let address = "127.0.0.1:0".parse().expect("an address");
            let socket = listener::tcp(address, &listener::TcpOptions::default()).expect("listen");
            let bound = listener::tcp_address(&socket).expect("bound");
            let mut pump = Pump::open(kind, socket, is_secured).expect("an engine");
            tell.send((bound, pump.engine().doorbell())).expect("the test waits");
            while !stopped.load(Ordering::Acquire) {
                pump.turn(Wait::FOREVER).expect("a turn");
            }
        });
        let (address, doorbell) = told.recv().expect("the pump tells");
        let target = Target {
            dialect: Dialect::Floor { is_secured },
            address: Address::Tcp(address),
            resource: String::new(),
        };
        let mut generator = Generator::new().expect("a runtime");
        let clock = Clock::start();
        // On a busy machine nobody may have run in so short a window.
        let run = |name: &&str| {
            let scenario = name.parse().expect("a scenario");
            let mut once =
                || target::measure(&mut generator, clock, &target, &scenario, settings()).expect(name);
            (1..ATTEMPTS).map(|_| once()).find(|measured| measured.units > 0).unwrap_or_default()
        };
        let measured = scenarios.iter().map(run).collect();
        stop.store(true, Ordering::Release);
        doorbell.ring();
        pumping.join().expect("the pump ends");
        measured
    }

    const ATTEMPTS: u32 = 50;

    fn settings() -> Settings {
        Settings {
            warm_up: Duration::from_millis(10),
            window: Duration::from_millis(60),
            server: None,
            server_processors: Vec::new(),
            progress: Progress::new(false, String::new()),
            realm: String::new(),
        }
    }

    const SCENARIOS: [&str; 6] =
        ["fan-out-3-w1", "fan-out-2-w64-16384b", "mesh-2x3-w4", "rpc-1", "rpc-8-16b", "rate-2000x2"];

    #[test]
    fn every_scenario_works_on_the_ring_engine() {
        // Where the host refuses io_uring, `Auto` tests epoll a second time.
        for (name, measured) in SCENARIOS.iter().zip(measure(EngineKind::Auto, false, &SCENARIOS)) {
            assert!(measured.units > 0, "{name}: {measured:?}");
            assert!(measured.latencies.summary().is_some(), "{name}");
        }
    }

    #[test]
    fn every_scenario_works_on_the_epoll_engine() {
        for (name, measured) in SCENARIOS.iter().zip(measure(EngineKind::Epoll, false, &SCENARIOS)) {
            assert!(measured.units > 0, "{name}: {measured:?}");
        }
    }

    #[test]
    fn every_scenario_works_encrypted() {
        let scenarios = [&SCENARIOS[..], &["join-2", "handshakes-500x2-2"]].concat();
        for (name, measured) in scenarios.iter().zip(measure(EngineKind::Auto, true, &scenarios)) {
            assert!(measured.units > 0, "{name}: {measured:?}");
            let knocks = measured.extra.iter().find(|extra| extra.name == "handshakes per second");
            assert!(knocks.is_none_or(|knocks| knocks.value > 0.0), "{name}: {measured:?}");
        }
    }

    #[test]
    fn clients_come_and_go() {
        let measured = measure(EngineKind::Auto, false, &["join-4", "fan-out-2-w2"]);
        assert!(measured.iter().all(|measurement| measurement.units > 0));
    }

    #[test]
    fn only_whole_frames_are_forwarded() {
        assert_eq!(whole_frames(&[]), Some(0));
        assert_eq!(whole_frames(&[2, 0, 0, 0, 1]), Some(0));
        assert_eq!(whole_frames(&[2, 0, 0, 0, 1, 2, 9, 0]), Some(6));
        assert_eq!(whole_frames(&[0, 0, 0, 255]), None);
    }
}
