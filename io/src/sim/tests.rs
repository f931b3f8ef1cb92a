use super::*;
use crate::buffer::Chunk;

const SEED_COUNT: u64 = 150;

fn options() -> EngineOptions {
    EngineOptions { receive_buffer_count: 4, receive_buffer_size: 64, ..EngineOptions::default() }
}

/// An echoing worker: small, but it obeys every rule of the engine.
struct Echo {
    engine: SimEngine,
    /// By slot: bytes to send once the send in flight is done, and whether one is.
    queues: Vec<(Vec<u8>, bool)>,
    closed: Vec<(ConnectionId, CloseReason)>,
    trace: Vec<String>,
}

impl Echo {
    fn new(network: &SimNetwork) -> (Echo, ListenerId) {
        let mut engine = network.engine(options());
        let listener = engine.listen_simulated();
        (Echo { engine, queues: Vec::new(), closed: Vec::new(), trace: Vec::new() }, listener)
    }

    fn turn(&mut self) {
        let mut events = Vec::new();
        self.engine.poll(&mut events, Wait::FOREVER).unwrap();
        for event in events {
            self.trace.push(format!("{event:?}"));
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted { connection, .. } => {
                let slot = connection.slot as usize;
                self.queues.resize(self.queues.len().max(slot + 1), (Vec::new(), false));
                self.queues[slot] = (Vec::new(), false);
            }
            Event::Received { connection, buffer } => {
                let bytes = self.engine.bytes(&buffer).to_vec();
                self.engine.release(buffer);
                self.queues[connection.slot as usize].0.extend(bytes);
                self.send(connection);
            }
            Event::Sent { connection, .. } => {
                self.queues[connection.slot as usize].1 = false;
                self.send(connection);
            }
            Event::Closed { connection, reason } => self.closed.push((connection, reason)),
            Event::Doorbell | Event::AcceptFailed { .. } => {}
        }
    }

    fn send(&mut self, connection: ConnectionId) {
        let (queue, busy) = &mut self.queues[connection.slot as usize];
        if !*busy && !queue.is_empty() {
            *busy = true;
            let chunk = Chunk::from(std::mem::take(queue));
            let (half, end) = (chunk.bytes().len() / 2, chunk.bytes().len());
            let segments = [0..half, half..end].into_iter().filter(|range| !range.is_empty());
            let segments = segments.map(|range| chunk.segment(range)).collect();
            self.engine.send(connection, Outgoing::Many(segments));
        }
    }

    fn settle(&mut self, network: &SimNetwork) {
        while self.engine.has_work() || network.advance() {
            self.turn();
        }
    }
}

fn text(peer: u32, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + peer as usize) as u8).collect()
}

/// Echoes for five peers under faults that lose nothing; returns the trace.
fn echo_everything(seed: u64) -> Vec<String> {
    let network = SimNetwork::new(seed, SimFaults::swarm(seed).harmless());
    let (mut echo, listener) = Echo::new(&network);
    let peers: Vec<SimPeer> = (0..5).map(|_| network.connect(echo.engine.index(), listener)).collect();
    let mut received = vec![Vec::new(); peers.len()];
    for peer in &peers {
        network.set_window(*peer, 100);
        network.write(*peer, &text(peer.0, 1000));
    }
    while received.iter().any(|bytes| bytes.len() < 1000) {
        echo.turn();
        for (peer, received) in peers.iter().zip(&mut received) {
            received.extend(network.read(*peer, 77));
        }
        if !echo.engine.has_work() {
            network.advance();
        }
    }
    for (peer, received) in peers.iter().zip(received) {
        assert_eq!(received, text(peer.0, 1000), "seed {seed}");
        network.close(*peer);
    }
    echo.settle(&network);
    assert!(echo.closed.iter().all(|(_, reason)| *reason == CloseReason::EndOfStream), "seed {seed}");
    echo.engine.check_empty();
    network.check_closed_once();
    echo.trace
}

#[test]
fn harmless_faults_lose_nothing_and_replay_exactly() {
    for seed in 0..SEED_COUNT {
        let trace = echo_everything(seed);
        if seed % 10 == 0 {
            assert_eq!(trace, echo_everything(seed), "seed {seed}");
        }
    }
}

#[test]
fn every_fault_leaves_the_engine_empty_in_the_end() {
    for seed in 0..SEED_COUNT {
        let faults = SimFaults { receive_errors: 5, send_errors: 5, ..SimFaults::swarm(seed) };
        let network = SimNetwork::new(seed, faults);
        let (mut echo, listener) = Echo::new(&network);
        let mut dice = seed;
        for round in 0..40_u64 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
            let peer = network.connect(echo.engine.index(), listener);
            network.write(peer, &text(peer.0, (dice >> 40) as usize % 300));
            match (dice >> 33) % 3 {
                0 => network.close(peer),
                1 => network.reset(peer),
                _ => {}
            }
            echo.turn();
        }
        for id in echo.engine.links.ids().collect::<Vec<_>>() {
            let how = if id.slot % 2 == 0 { Close::Now } else { Close::AfterSend };
            echo.engine.close(id, how);
        }
        echo.engine.stop_listening(listener);
        echo.settle(&network);
        echo.engine.check_empty();
        network.check_closed_once();
    }
}

#[test]
fn a_slow_reader_holds_its_send_and_nobody_elses() {
    let network = SimNetwork::new(1, SimFaults::default());
    let (mut echo, listener) = Echo::new(&network);
    let slow = network.connect(echo.engine.index(), listener);
    let fast = network.connect(echo.engine.index(), listener);
    network.set_window(slow, 10);
    network.write(slow, &text(0, 50));
    network.write(fast, &text(1, 50));
    echo.settle(&network);
    assert_eq!(network.read(fast, 100), text(1, 50));
    let mut received = Vec::new();
    for _ in 0..5 {
        received.extend(network.read(slow, 10));
        echo.settle(&network);
    }
    assert_eq!(received, text(0, 50));
}

#[test]
fn pause_holds_bytes_back_and_leases_bound_them() {
    let network = SimNetwork::new(2, SimFaults::default());
    let mut engine = network.engine(options());
    let (id, peer) = engine.adopt_simulated().unwrap();
    engine.pause_receive(id);
    network.write(peer, &text(3, 1000));
    let mut events = Vec::new();
    engine.poll(&mut events, Wait::FOREVER).unwrap();
    assert!(events.is_empty() && !engine.has_work());
    engine.resume_receive(id);
    for _ in 0..10 {
        engine.poll(&mut events, Wait::FOREVER).unwrap();
    }
    assert_eq!(events.len(), 4);
    assert!(!engine.has_work());
    assert_eq!(engine.counters().leases_outstanding, 4);
}

#[test]
fn closing_after_the_send_ends_orderly_or_by_the_clock() {
    let network = SimNetwork::new(3, SimFaults::default());
    let mut engine = network.engine(options());
    let (id, peer) = engine.adopt_simulated().unwrap();
    engine.send(id, Outgoing::Owned(text(0, 100)));
    engine.close(id, Close::AfterSend);
    network.write(peer, b"unread");
    let mut events = Vec::new();
    for _ in 0..3 {
        engine.poll(&mut events, Wait::FOREVER).unwrap();
    }
    assert!(matches!(events[..], [Event::Sent { .. }]));
    assert_eq!(network.read(peer, 1000), text(0, 100));
    assert!(network.has_ended(peer));
    let before = network.now();
    assert!(network.advance());
    assert_eq!(network.now().since_ns(before), options().linger_ns);
    engine.poll(&mut events, Wait::FOREVER).unwrap();
    assert!(matches!(events[1..], [Event::Closed { reason: CloseReason::Local, .. }]));
    engine.check_empty();
}

#[test]
fn scripted_failures_name_their_operation() {
    for (operation, errno) in [(Operation::Receive, libc::ETIMEDOUT), (Operation::Send, libc::EPIPE)] {
        let network = SimNetwork::new(5, SimFaults::default());
        let mut engine = network.engine(options());
        let (id, peer) = engine.adopt_simulated().unwrap();
        engine.send(id, Outgoing::Owned(text(0, 10)));
        network.fail(peer, operation, errno);
        let mut events = Vec::new();
        while engine.has_work() {
            engine.poll(&mut events, Wait::FOREVER).unwrap();
        }
        let expected = CloseReason::Error { operation, errno };
        assert!(matches!(events.last(), Some(Event::Closed { reason, .. }) if *reason == expected));
        engine.check_empty();
    }
}

#[test]
fn doorbells_reach_other_engines_of_the_network() {
    let network = SimNetwork::new(4, SimFaults::default());
    let (mut one, mut two) = (network.engine(options()), network.engine(options()));
    one.ring(&two.doorbell());
    one.ring(&two.doorbell());
    assert!(two.has_work() && !one.has_work());
    let mut events = Vec::new();
    two.poll(&mut events, Wait::FOREVER).unwrap();
    assert!(matches!(events[..], [Event::Doorbell]));
    assert!(!two.has_work());
}
