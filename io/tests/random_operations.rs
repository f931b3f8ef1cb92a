//! Random operations on real engines, judged by a small model.
//!
//! The hazard: completions, cancellations and closes cross each other in ways nobody would write down.
//! Whatever happens, bytes keep their order, each connection is closed once and last, and nothing leaks.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use crossring_io::*;

const SEED_COUNT: u64 = 30;
const STEP_COUNT: u32 = 1500;
const CONNECTION_COUNT: usize = 12;
const OUTPUT_SIZE_MAX: u64 = 400_000;

#[test]
fn any_order_of_operations_keeps_the_rules() {
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        for seed in 0..SEED_COUNT {
            match open(kind, options()) {
                Ok((engine, _)) => run(engine, seed),
                Err(error) => {
                    println!("{kind} is not covered: {error}");
                    break;
                }
            }
        }
    }
}

fn options() -> EngineOptions {
    EngineOptions {
        receive_buffer_count: 8,
        receive_buffer_size: 512,
        submission_count: 4,
        completion_count: 64,
        linger_ns: 1_000_000,
        ..EngineOptions::default()
    }
}

/// One stream as both ends should see it.
struct Stream {
    id: ConnectionId,
    /// The peer's end, `None` once it closed.
    peer: Option<UnixStream>,
    /// Bytes written by the peer, received by us, sent by us, read by the peer.
    written: u64,
    received: u64,
    sent: u64,
    read: u64,
    sending: bool,
    /// Whether we asked to close; then the peer may miss bytes, but sees no wrong ones.
    closing: bool,
    closed: bool,
}

struct World {
    engine: AnyEngine,
    dice: Dice,
    streams: Vec<Stream>,
    leases: Vec<BufferLease>,
    closed_count: u64,
    opened_count: u64,
}

fn run(engine: AnyEngine, seed: u64) {
    let mut world = World {
        engine,
        dice: Dice(seed),
        streams: Vec::new(),
        leases: Vec::new(),
        closed_count: 0,
        opened_count: 0,
    };
    for _ in 0..STEP_COUNT {
        world.step();
    }
    world.settle(seed);
}

impl World {
    fn step(&mut self) {
        if self.streams.len() < CONNECTION_COUNT {
            return self.open();
        }
        let index = self.dice.below(self.streams.len() as u64) as usize;
        match self.dice.below(40) {
            0..10 => self.peer_writes(index),
            10..18 => self.peer_reads(index),
            18..24 => self.send(index),
            24..28 => self.pause_or_resume(index),
            28 => self.peer_closes(index),
            29 => self.close(index),
            30..32 => self.release_leases(),
            _ => self.poll(Wait::NOW),
        }
    }

    fn open(&mut self) {
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let id = self.engine.adopt(OwnedFd::from(ours)).unwrap();
        assert!(self.streams.iter().all(|stream| stream.id != id));
        self.opened_count += 1;
        self.streams.push(Stream {
            id,
            peer: Some(peer),
            written: 0,
            received: 0,
            sent: 0,
            read: 0,
            sending: false,
            closing: false,
            closed: false,
        });
    }

    fn peer_writes(&mut self, index: usize) {
        let length = 1 + self.dice.below(2000);
        let stream = &mut self.streams[index];
        let Some(peer) = &mut stream.peer else { return };
        let bytes = pattern(stream.written, length);
        match peer.write(bytes) {
            Ok(length) => stream.written += length as u64,
            Err(error) => assert!(stream.closing || error.kind() == ErrorKind::WouldBlock, "{error}"),
        }
    }

    fn peer_reads(&mut self, index: usize) {
        let length = 1 + self.dice.below(100_000);
        let stream = &mut self.streams[index];
        let Some(peer) = &mut stream.peer else { return };
        let mut bytes = vec![0; length as usize];
        match peer.read(&mut bytes) {
            Ok(length) => {
                assert!(bytes[..length] == *pattern(stream.read, length as u64));
                stream.read += length as u64;
                assert!(stream.read <= stream.sent);
                assert!(length > 0 || stream.closing);
            }
            Err(error) => assert!(stream.closing || error.kind() == ErrorKind::WouldBlock, "{error}"),
        }
    }

    fn send(&mut self, index: usize) {
        let length = 1 + self.dice.below(OUTPUT_SIZE_MAX);
        let cut = self.dice.below(length) as usize;
        let stream = &mut self.streams[index];
        if stream.sending || stream.closing {
            return;
        }
        let bytes = pattern(stream.sent, length).to_vec();
        stream.sent += length;
        stream.sending = true;
        let outgoing = match cut % 3 {
            0 => Outgoing::Owned(bytes),
            1 => Outgoing::One(Chunk::from(bytes).whole()),
            _ => {
                let chunk = Chunk::from(bytes);
                let (head, tail) = (chunk.segment(0..cut), chunk.segment(cut..length as usize));
                Outgoing::Many(vec![head, tail])
            }
        };
        self.engine.send(stream.id, outgoing);
    }

    fn pause_or_resume(&mut self, index: usize) {
        let id = self.streams[index].id;
        if self.dice.below(2) == 0 { self.engine.pause_receive(id) } else { self.engine.resume_receive(id) }
    }

    /// Orderly or, with bytes unread, as a reset.
    fn peer_closes(&mut self, index: usize) {
        self.streams[index].peer = None;
    }

    fn close(&mut self, index: usize) {
        let how = if self.dice.below(2) == 0 { Close::Now } else { Close::AfterSend };
        self.streams[index].closing = true;
        self.engine.close(self.streams[index].id, how);
    }

    fn release_leases(&mut self) {
        for lease in self.leases.drain(..) {
            self.engine.release(lease);
        }
    }

    fn poll(&mut self, wait: Wait) {
        let mut events = Vec::new();
        self.engine.poll(&mut events, wait).unwrap();
        for event in events {
            self.handle(event);
        }
        self.streams.retain(|stream| !stream.closed);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Received { connection, buffer } => self.received(connection, buffer),
            Event::Sent { connection, returned } => {
                assert!(!returned.is_empty());
                let stream = self.stream(connection);
                assert!(stream.sending);
                stream.sending = false;
            }
            Event::Closed { connection, reason } => self.closed(connection, reason),
            Event::Accepted { .. } | Event::AcceptFailed { .. } | Event::Doorbell => panic!("{event:?}"),
        }
    }

    fn received(&mut self, connection: ConnectionId, buffer: BufferLease) {
        let bytes = self.engine.bytes(&buffer).to_vec();
        let stream = self.stream(connection);
        assert!(!bytes.is_empty());
        assert!(bytes == pattern(stream.received, bytes.len() as u64));
        stream.received += bytes.len() as u64;
        assert!(stream.received <= stream.written);
        if self.dice.below(4) == 0 {
            self.leases.push(buffer);
        } else {
            self.engine.release(buffer);
        }
    }

    fn closed(&mut self, connection: ConnectionId, reason: CloseReason) {
        let stream = self.stream(connection);
        match reason {
            CloseReason::Local => assert!(stream.closing),
            CloseReason::EndOfStream => {
                assert!(stream.peer.is_none());
                assert_eq!(stream.received, stream.written);
            }
            CloseReason::Error { .. } => assert!(stream.peer.is_none()),
            _ => panic!("{reason:?}"),
        }
        stream.closed = true;
        self.closed_count += 1;
    }

    /// No event may name a connection that is closed or was never opened.
    fn stream(&mut self, id: ConnectionId) -> &mut Stream {
        let found = self.streams.iter_mut().find(|stream| stream.id == id && !stream.closed);
        found.expect("an event of an open connection")
    }

    /// Everybody leaves; nothing may stay.
    fn settle(&mut self, seed: u64) {
        self.release_leases();
        for stream in &mut self.streams {
            self.engine.resume_receive(stream.id);
            stream.peer = None;
        }
        let deadline = Monotonic::read().after_ns(10_000_000_000);
        while !self.streams.is_empty() {
            assert!(Monotonic::read() < deadline, "seed {seed}: {} are left", self.streams.len());
            self.poll(Wait::until(deadline));
            self.release_leases();
        }
        self.poll(Wait::NOW);
        assert_eq!(self.closed_count, self.opened_count, "seed {seed}");
        assert_eq!(self.engine.counters().closed, self.closed_count);
        assert_eq!(self.engine.counters().leases_outstanding, 0);
    }
}

/// The bytes at `offset` of every stream: any loss, repetition or reordering shows.
fn pattern(offset: u64, length: u64) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut dice = Dice(0);
        let mut bytes: Vec<u8> = (0..PATTERN_PERIOD).map(|_| dice.below(256) as u8).collect();
        while (bytes.len() as u64) < PATTERN_PERIOD + OUTPUT_SIZE_MAX {
            bytes.extend_from_within(..PATTERN_PERIOD as usize);
        }
        bytes
    });
    let start = (offset % PATTERN_PERIOD) as usize;
    &bytes[start..start + length as usize]
}

const PATTERN_PERIOD: u64 = 65_521;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
