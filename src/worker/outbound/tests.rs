//! The sending half over the simulated engine: what leaves, in which pieces, and what is held back.

use std::borrow::Cow;

use crossring_codec::id::{PublicationId, RequestId, SubscriptionId};
use crossring_codec::message::EventDetails;
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::Value;
use crossring_io::sim::{SimEngine, SimFaults, SimNetwork, SimPeer};
use crossring_io::{Doorbell, EngineOptions, Event, Wait};
use crossring_router::outbox::EndCause;
use proptest::prelude::*;

use super::*;
use crate::worker::mail::post_offices;
use crate::worker::{connection_of, key_of};

const MESSAGE_PACK: Framing = Framing::rawsocket(SerializerId::MessagePack);
const JSON: Framing = Framing::websocket_server(Serializer::JSON);

/// The sending half, its engine and the peers.
struct Stage {
    network: SimNetwork,
    engine: SimEngine,
    outbound: Outbound,
    peers: Vec<SimPeer>,
    /// Every send that has left, as its receiver and how it was put together.
    left: Vec<(u32, Pieces)>,
    /// Octets of these sends, by slot.
    size_left: [usize; 16],
    closed: Vec<u32>,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Pieces {
    One,
    Many(usize),
    Copied,
}

impl Stage {
    fn new(queue_size_max: u32) -> Stage {
        Stage::with(
            OutboundLimits { queue_size_max, slow_consumer: SlowConsumer::Drop },
            0,
            SimFaults::default(),
        )
    }

    fn with(limits: OutboundLimits, seed: u64, faults: SimFaults) -> Stage {
        let network = SimNetwork::new(seed, faults);
        let engine = network.engine(EngineOptions { connections_max: 16, ..EngineOptions::default() });
        let doorbells: Vec<Doorbell> = vec![engine.doorbell(), engine.doorbell()];
        let outbound = Outbound::new(limits, post_offices(doorbells).remove(0));
        Stage {
            network,
            engine,
            outbound,
            peers: Vec::new(),
            left: Vec::new(),
            size_left: [0; 16],
            closed: Vec::new(),
        }
    }

    /// A new connection.
    fn open(&mut self, framing: Framing) -> SessionKey {
        let (connection, peer) = self.engine.adopt_simulated().expect("room for a connection");
        let key = key_of(connection);
        assert!(key.slot as usize <= self.peers.len());
        self.peers.truncate(key.slot as usize);
        self.peers.push(peer);
        self.outbound.open(key);
        self.outbound.set_framing(key, framing, Framing::MESSAGE_SIZE_MAX as u32);
        key
    }

    /// A new connection whose peer reads nothing.
    fn open_stuck(&mut self, framing: Framing) -> SessionKey {
        let key = self.open(framing);
        self.network.set_window(self.peers[key.slot as usize], 0);
        key
    }

    /// Ends the turn and lets the engine progress a little.
    fn turn(&mut self) {
        self.outbound.flush(&mut self.engine);
        let mut events = Vec::new();
        self.engine.poll(&mut events, Wait::NOW).expect("a simulated engine does not fail");
        for event in events {
            match event {
                Event::Sent { connection, returned } => self.sent(key_of(connection), returned),
                Event::Closed { connection, .. } => {
                    self.closed.push(connection.slot);
                    self.outbound.close(key_of(connection));
                }
                event => panic!("unexpected: {event:?}"),
            }
        }
    }

    fn sent(&mut self, key: SessionKey, returned: Outgoing) {
        self.size_left[key.slot as usize] += returned.len();
        let pieces = match &returned {
            Outgoing::One(_) => Pieces::One,
            Outgoing::Many(segments) => Pieces::Many(segments.len()),
            Outgoing::Owned(_) => Pieces::Copied,
        };
        self.left.push((key.slot, pieces));
        self.outbound.sent(key, returned);
    }

    fn read(&mut self, key: SessionKey) -> Vec<u8> {
        self.network.read(self.peers[key.slot as usize], usize::MAX)
    }

    /// Lets the peer read everything from now on.
    fn unstick(&mut self, key: SessionKey) {
        self.network.set_window(self.peers[key.slot as usize], usize::MAX);
        self.turn();
        self.turn();
        self.turn();
    }

    /// What waits for the connection, as the queue counts it.
    fn queued(&self, key: SessionKey) -> u32 {
        self.outbound.lanes[key.slot as usize].queued
    }

    fn overflowed(&self) -> Vec<SessionKey> {
        let overflows = self.outbound.endings.iter().filter(|(_, ending)| *ending == Ending::Overflow);
        overflows.map(|(key, _)| *key).collect()
    }
}

/// An EVENT with this many octets of text.
fn event(publication: u64, size: usize) -> Message<'static> {
    let arguments = [Value::String("x".repeat(size))];
    Message::Event {
        subscription: SubscriptionId::new(1).expect("an id"),
        publication: PublicationId::new(publication + 1).expect("an id"),
        details: EventDetails::default(),
        payload: Payload::from_values(SerializerId::MessagePack, &arguments, &Vec::new()),
    }
}

/// A RESULT with this many octets of text.
fn result(request: u64, size: usize) -> Message<'static> {
    let arguments = [Value::String("y".repeat(size))];
    Message::Result {
        request: RequestId::new(request + 1).expect("an id"),
        details: Default::default(),
        payload: Payload::from_values(SerializerId::MessagePack, &arguments, &Vec::new()),
    }
}

/// A payload that no serializer but MessagePack carries.
fn event_with_extension() -> Message<'static> {
    let Message::Event { subscription, publication, details, .. } = event(0, 0) else { unreachable!() };
    let octets = Cow::Borrowed(&[0x91, 0xd4, 0x05, 0x01][..]);
    let serializer = SerializerId::MessagePack;
    let payload = Payload { serializer, shape: Shape::Arguments, octets, arguments_size: 4 };
    Message::Event { subscription, publication, details, payload }
}

/// The octets of a message on the wire.
fn frame(framing: Framing, message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = framing.begin(&mut out);
    encode(framing.serializer().id, message, &mut out).expect("an encodable message");
    framing.finish(&mut out, mark, 0).expect("a message of usual size");
    out
}

fn frames(framing: Framing, messages: &[Message<'_>]) -> Vec<u8> {
    messages.iter().flat_map(|message| frame(framing, message)).collect()
}

#[test]
fn events_of_a_turn_leave_as_one_range() {
    let mut stage = Stage::new(1 << 20);
    let keys = [stage.open(MESSAGE_PACK), stage.open(MESSAGE_PACK), stage.open(MESSAGE_PACK)];
    let events: Vec<_> = (0..5).map(|number| event(number, 100)).collect();
    for event in &events {
        stage.outbound.fan_out(event, &keys, None);
    }
    stage.turn();
    assert_eq!(stage.left, [(0, Pieces::One), (1, Pieces::One), (2, Pieces::One)]);
    for key in keys {
        assert_eq!(stage.read(key), frames(MESSAGE_PACK, &events));
        assert_eq!(stage.queued(key), 0);
    }
    assert_eq!(stage.outbound.counters.events, 15);
    assert_eq!(stage.outbound.counters.sends, 3);
}

#[test]
fn messages_and_events_interleave_in_the_order_they_were_sent() {
    for size in [10, 10_000] {
        let mut stage = Stage::new(1 << 20);
        let keys = [stage.open(MESSAGE_PACK), stage.open(JSON)];
        let messages = [event(0, size), result(0, size), event(1, size), event(2, size), result(1, size)];
        for message in &messages {
            match message {
                Message::Event { .. } => stage.outbound.fan_out(message, &keys, None),
                _ => keys.iter().for_each(|key| stage.outbound.send(*key, message).expect("taken")),
            }
        }
        stage.turn();
        assert_eq!(stage.read(keys[0]), frames(MESSAGE_PACK, &messages));
        assert_eq!(stage.read(keys[1]), frames(JSON, &messages));
        // The results of both connections alternate in the common chunk, the two middle events adjoin.
        let pieces = if size < GATHER_SIZE_MIN { Pieces::Copied } else { Pieces::Many(4) };
        assert_eq!(stage.left, [(0, pieces), (1, pieces)]);
    }
}

#[test]
fn raw_octets_keep_their_place() {
    let mut stage = Stage::new(1 << 20);
    let key = stage.open(JSON);
    stage.outbound.raw(key, b"before");
    stage.outbound.send(key, &result(0, 5)).expect("taken");
    stage.outbound.raw(key, b"");
    stage.outbound.raw(key, b"behind");
    stage.turn();
    assert_eq!(stage.left, [(0, Pieces::One)]);
    assert_eq!(stage.read(key), [&b"before"[..], &frame(JSON, &result(0, 5)), b"behind"].concat());
}

#[test]
fn events_skip_the_publisher_and_those_who_are_gone() {
    let mut stage = Stage::new(1 << 20);
    let [publisher, subscriber, closed, finished] = [(); 4].map(|()| stage.open(MESSAGE_PACK));
    let former = SessionKey { slot: subscriber.slot, generation: subscriber.generation + 1 };
    let unknown = SessionKey { slot: 99, generation: 0 };
    stage.outbound.close(closed);
    stage.outbound.finish(finished);
    let receivers = [publisher, former, closed, finished, unknown, subscriber];
    stage.outbound.fan_out(&event(0, 9), &receivers, Some(publisher));
    stage.turn();
    assert_eq!(stage.outbound.counters.events, 1);
    assert_eq!(stage.read(subscriber), frame(MESSAGE_PACK, &event(0, 9)));
    for key in [publisher, closed, finished] {
        assert!(stage.read(key).is_empty());
    }
    for key in [former, closed, finished, unknown] {
        assert_eq!(stage.outbound.send(key, &result(0, 9)), Err(Refused::Gone));
    }
}

#[test]
fn a_reused_slot_gets_nothing_of_its_former_user() {
    let mut stage = Stage::new(1 << 20);
    let former = stage.open(MESSAGE_PACK);
    stage.engine.close(connection_of(former), Close::Now);
    stage.turn();
    assert_eq!(stage.closed, [former.slot]);
    stage.outbound.fan_out(&event(0, 9), &[former], None);
    let latter = stage.open(MESSAGE_PACK);
    assert_eq!(latter.slot, former.slot);
    stage.outbound.send(latter, &result(0, 9)).expect("taken");
    stage.turn();
    assert_eq!(stage.read(latter), frame(MESSAGE_PACK, &result(0, 9)));
}

#[test]
fn what_is_queued_when_a_connection_ends_is_dropped() {
    let mut stage = Stage::new(1 << 20);
    let former = stage.open(MESSAGE_PACK);
    stage.outbound.send(former, &result(0, 9)).expect("taken");
    stage.outbound.close(former);
    stage.turn();
    assert_eq!(stage.outbound.counters.sends, 0);
    assert_eq!(stage.queued(former), 0);
}

#[test]
fn a_full_queue_drops_events_in_one_episode() {
    let size = frame(MESSAGE_PACK, &event(0, 100)).len() as u32;
    let mut stage = Stage::new(3 * size);
    let (stuck, fine) = (stage.open_stuck(MESSAGE_PACK), stage.open(MESSAGE_PACK));
    let events: Vec<_> = (0..10).map(|number| event(number, 100)).collect();
    for event in &events {
        stage.outbound.fan_out(event, &[stuck, fine], None);
        stage.turn();
    }
    assert_eq!(stage.read(fine), frames(MESSAGE_PACK, &events), "others are undisturbed");
    assert_eq!(stage.queued(stuck), 3 * size);
    assert_eq!((stage.outbound.counters.events_dropped, stage.outbound.counters.slow_episodes), (7, 1));
    assert!(stage.outbound.endings.is_empty());
    stage.unstick(stuck);
    assert_eq!(stage.read(stuck), frames(MESSAGE_PACK, &events[..3]));
    stage.outbound.fan_out(&events[9], &[stuck], None);
    stage.turn();
    assert_eq!(stage.read(stuck), frame(MESSAGE_PACK, &events[9]), "it is served again");
    stage.network.set_window(stage.peers[0], 0);
    for event in &events {
        stage.outbound.fan_out(event, &[stuck], None);
    }
    assert_eq!((stage.outbound.counters.events_dropped, stage.outbound.counters.slow_episodes), (14, 2));
    stage.outbound.close(stuck);
    let slow = Pace::Slow { queued: 3 * size };
    let paces = [slow, Pace::Even { dropped: 7 }, slow, Pace::Gone { dropped: 7 }];
    assert_eq!(stage.outbound.paces, paces.map(|pace| (stuck, pace)));
}

#[test]
fn a_full_queue_ends_the_session_where_so_configured() {
    let limits = OutboundLimits { queue_size_max: 300, slow_consumer: SlowConsumer::End };
    let mut stage = Stage::with(limits, 0, SimFaults::default());
    let stuck = stage.open_stuck(MESSAGE_PACK);
    for number in 0..10 {
        stage.outbound.fan_out(&event(number, 100), &[stuck], None);
    }
    assert_eq!(stage.overflowed(), [stuck], "told once");
    assert_eq!(stage.outbound.counters.events_dropped, 1);
}

#[test]
fn other_messages_never_vanish_from_a_full_queue() {
    for message in [result(1, 100), event(1, 100)] {
        let mut stage = Stage::new(200);
        let stuck = stage.open_stuck(MESSAGE_PACK);
        stage.outbound.send(stuck, &result(0, 100)).expect("taken");
        assert_eq!(stage.outbound.send(stuck, &message), Ok(()), "looks like success");
        let is_event = matches!(message, Message::Event { .. });
        assert_eq!(stage.overflowed().len(), usize::from(!is_event));
        assert_eq!(stage.outbound.counters.overflows, u64::from(!is_event));
        assert_eq!(stage.outbound.counters.events_dropped, u64::from(is_event));
        let then = stage.outbound.send(stuck, &message);
        assert_eq!(then, if is_event { Ok(()) } else { Err(Refused::Gone) });
        stage.turn();
        assert_eq!(stage.outbound.counters.sends, u64::from(is_event), "a doomed queue sends nothing");
    }
}

/// A peer that pings and does not read the answers must not fill the memory.
#[test]
fn raw_octets_are_bounded_too() {
    let mut stage = Stage::new(1000);
    let stuck = stage.open_stuck(JSON);
    for _ in 0..100 {
        stage.outbound.raw(stuck, &[b'.'; 127]);
        stage.turn();
    }
    assert_eq!(stage.overflowed(), [stuck]);
    assert!(stage.queued(stuck) <= 1000);
}

#[test]
fn a_message_longer_than_the_queue_is_taken_when_nothing_waits() {
    let mut stage = Stage::new(1000);
    let key = stage.open(MESSAGE_PACK);
    for message in [result(0, 5000), event(0, 5000)] {
        match message {
            Message::Event { .. } => stage.outbound.fan_out(&message, &[key], None),
            _ => stage.outbound.send(key, &message).expect("taken"),
        }
        stage.turn();
        assert_eq!(stage.read(key), frame(MESSAGE_PACK, &message));
    }
    assert!(stage.outbound.endings.is_empty());
}

#[test]
fn a_backlog_waits_for_the_send_in_flight_and_follows_in_order() {
    let mut stage = Stage::new(1 << 20);
    let key = stage.open_stuck(MESSAGE_PACK);
    let messages: Vec<_> = (0..20).map(|number| result(number, 50)).collect();
    for message in &messages {
        stage.outbound.send(key, message).expect("taken");
        stage.turn();
    }
    assert_eq!(stage.outbound.counters.sends, 1);
    assert_eq!(stage.queued(key) as usize, frames(MESSAGE_PACK, &messages).len());
    stage.unstick(key);
    assert_eq!(stage.read(key), frames(MESSAGE_PACK, &messages));
    assert_eq!(stage.left, [(0, Pieces::One), (0, Pieces::Copied)]);
    assert_eq!(stage.queued(key), 0);
}

#[test]
fn finish_closes_after_the_last_octet() {
    for stuck_first in [false, true] {
        let mut stage = Stage::new(1 << 20);
        let key = stage.open_stuck(MESSAGE_PACK);
        stage.outbound.send(key, &result(0, 10)).expect("taken");
        if stuck_first {
            stage.turn();
        }
        stage.outbound.send(key, &result(1, 10)).expect("taken");
        stage.outbound.finish(key);
        assert_eq!(stage.outbound.send(key, &result(2, 10)), Err(Refused::Gone));
        stage.turn();
        assert!(!stage.network.has_ended(stage.peers[0]));
        stage.unstick(key);
        assert_eq!(stage.read(key), frames(MESSAGE_PACK, &[result(0, 10), result(1, 10)]));
        assert!(stage.network.has_ended(stage.peers[0]));
    }
}

#[test]
fn finish_of_an_idle_connection_closes_at_once() {
    let mut stage = Stage::new(1 << 20);
    let key = stage.open(MESSAGE_PACK);
    stage.outbound.finish(key);
    stage.turn();
    assert!(stage.network.has_ended(stage.peers[0]));
    assert_eq!(stage.outbound.counters.sends, 0);
}

#[test]
fn refusals_leave_no_trace() {
    let mut stage = Stage::new(1 << 20);
    let (narrow, json) = (stage.open(MESSAGE_PACK), stage.open(JSON));
    stage.outbound.set_framing(narrow, MESSAGE_PACK, 100);
    stage.outbound.send(narrow, &result(0, 10)).expect("taken");
    assert_eq!(stage.outbound.send(narrow, &result(1, 100)), Err(Refused::TooLarge));
    assert_eq!(stage.outbound.send(json, &event_with_extension()), Err(Refused::Unrepresentable));
    stage.outbound.fan_out(&event(1, 100), &[narrow, json], None);
    stage.outbound.fan_out(&event_with_extension(), &[narrow, json], None);
    stage.outbound.send(narrow, &result(2, 10)).expect("taken");
    stage.turn();
    assert_eq!(stage.outbound.counters.events_refused, 2);
    let expected = [result(0, 10), event_with_extension(), result(2, 10)];
    assert_eq!(stage.read(narrow), frames(MESSAGE_PACK, &expected));
    assert_eq!(stage.read(json), frame(JSON, &event(1, 100)));
    assert!(stage.outbound.endings.is_empty());
}

#[test]
fn a_message_beyond_every_framing_is_refused() {
    let mut stage = Stage::new(1 << 30);
    let key = stage.open(MESSAGE_PACK);
    let Message::Result { request, details, .. } = result(0, 0) else { unreachable!() };
    let octets: Vec<u8> = vec![0xc0; Framing::MESSAGE_SIZE_MAX];
    let payload = Payload {
        serializer: SerializerId::MessagePack,
        shape: Shape::Arguments,
        arguments_size: octets.len() as u32,
        octets: Cow::Owned(octets),
    };
    let message = Message::Result { request, details, payload };
    assert!(stage.outbound.send(key, &message).is_err());
    stage.outbound.send(key, &result(1, 10)).expect("taken");
    stage.turn();
    assert_eq!(stage.read(key), frame(MESSAGE_PACK, &result(1, 10)));
}

#[test]
fn chunks_roll_over() {
    let mut stage = Stage::new(1 << 30);
    let keys = [stage.open(MESSAGE_PACK), stage.open(MESSAGE_PACK)];
    for key in keys {
        stage.network.set_window(stage.peers[key.slot as usize], usize::MAX);
    }
    let events: Vec<_> = (0..100).map(|number| event(number, 4000)).collect();
    for event in &events {
        stage.outbound.fan_out(event, &keys, None);
    }
    let sizes: Vec<_> = stage.outbound.turn.chunks.iter().map(ChunkBuilder::len).collect();
    assert!(sizes.iter().all(|size| *size <= CHUNK_SIZE + 5000), "{sizes:?}");
    assert!(sizes.len() > 4);
    stage.turn();
    assert_eq!(stage.left, keys.map(|key| (key.slot, Pieces::Many(sizes.len()))));
    assert_eq!(stage.read(keys[0]), frames(MESSAGE_PACK, &events));
}

#[test]
fn a_stuck_connection_pins_the_chunks_of_one_turn() {
    const QUEUE_SIZE_MAX: u32 = 100_000;
    let mut stage = Stage::new(QUEUE_SIZE_MAX);
    let (stuck, fine) = (stage.open_stuck(MESSAGE_PACK), stage.open(MESSAGE_PACK));
    let mut delivered = 0;
    for number in 0..2000 {
        stage.outbound.fan_out(&event(number, 500), &[stuck, fine], None);
        stage.turn();
        delivered += stage.read(fine).len();
    }
    assert!(delivered > 1_000_000);
    assert_eq!(stage.outbound.counters.sends, 2001, "one of them to the stuck connection");
    let lane = &stage.outbound.lanes[stuck.slot as usize];
    assert!(lane.queued <= QUEUE_SIZE_MAX);
    let backlog: usize = lane.backlog.iter().map(Vec::capacity).sum();
    assert!(backlog <= QUEUE_SIZE_MAX as usize + 2 * BLOCK_SIZE, "{backlog}");
    assert!(lane.earlier.capacity() <= RANGES_KEPT_MAX);
}

/// A hostile client may make one publication match thousands of its own subscriptions, and read no event.
#[test]
fn events_that_nobody_takes_use_no_memory() {
    let mut stage = Stage::new(10_000);
    let (stuck, other) = (stage.open_stuck(MESSAGE_PACK), stage.open_stuck(JSON));
    for number in 0..5000 {
        stage.outbound.fan_out(&event(number, 500), &[stuck, other], None);
    }
    let size: usize = stage.outbound.turn.chunks.iter().map(ChunkBuilder::len).sum();
    assert!(size <= 3 * 10_000, "{size}");
    let (taken, expected) = (stage.outbound.counters.events, stage.queued(stuck) as usize);
    stage.unstick(stuck);
    assert_eq!(stage.read(stuck).len(), expected);
    assert_eq!(taken + stage.outbound.counters.events_dropped, 10_000);
}

#[test]
fn endings_keep_their_order() {
    let mut stage = Stage::new(1000);
    let (one, two) = (stage.open(MESSAGE_PACK), stage.open_stuck(MESSAGE_PACK));
    stage.outbound.end(one, EndCause::Goodbye);
    stage.outbound.send(two, &result(0, 900)).expect("taken");
    stage.outbound.send(two, &result(1, 900)).expect("looks taken");
    stage.outbound.end(two, EndCause::Aborted);
    let expected = [
        (one, Ending::Core(EndCause::Goodbye)),
        (two, Ending::Overflow),
        (two, Ending::Core(EndCause::Aborted)),
    ];
    assert_eq!(stage.outbound.endings, expected);
}

/// What a random run does.
#[derive(Clone, Debug)]
enum Step {
    Send { to: usize, size: usize },
    Raw { to: usize, size: usize },
    FanOut { receivers: u8, except: Option<usize>, size: usize },
    Read { from: usize, size: usize },
    Finish { of: usize },
    Turn,
}

const CONNECTIONS: usize = 4;
const FRAMINGS: [Framing; CONNECTIONS] =
    [MESSAGE_PACK, MESSAGE_PACK, JSON, Framing::websocket_server(Serializer::CBOR_BATCHED)];

fn step() -> impl Strategy<Value = Step> {
    let connection = 0..CONNECTIONS;
    let size = prop_oneof![8 => 0..200usize, 2 => 200..5000usize, 1 => 60_000..70_000usize];
    prop_oneof![
        4 => (connection.clone(), size.clone()).prop_map(|(to, size)| Step::Send { to, size }),
        1 => (connection.clone(), 0..200usize).prop_map(|(to, size)| Step::Raw { to, size }),
        8 => (any::<u8>(), proptest::option::of(connection.clone()), size)
            .prop_map(|(receivers, except, size)| Step::FanOut { receivers, except, size }),
        4 => (connection.clone(), 0..100_000usize).prop_map(|(from, size)| Step::Read { from, size }),
        1 => connection.prop_map(|of| Step::Finish { of }),
        8 => Just(Step::Turn),
    ]
}

/// What each peer must have got, by the plainest reckoning.
struct Model {
    stage: Stage,
    keys: Vec<SessionKey>,
    accepted: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    /// Whether messages are still taken.
    is_open: [bool; CONNECTIONS],
    number: u64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let faults = SimFaults { receive_errors: 0, send_errors: 0, ..SimFaults::swarm(seed) };
        let limits = OutboundLimits { queue_size_max: 100_000, slow_consumer: SlowConsumer::Drop };
        let mut stage = Stage::with(limits, seed, faults);
        let keys: Vec<_> = FRAMINGS.iter().map(|framing| stage.open(*framing)).collect();
        for peer in &stage.peers {
            stage.network.set_window(*peer, 20_000);
        }
        let none = vec![Vec::new(); CONNECTIONS];
        Model { stage, keys, accepted: none.clone(), received: none, is_open: [true; CONNECTIONS], number: 0 }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.number += 1;
            match *step {
                Step::Send { to, size } => self.send(to, &result(self.number, size)),
                Step::Raw { to, size } => self.raw(to, &vec![b'.'; size]),
                Step::FanOut { receivers, except, size } => self.fan_out(receivers, except, size),
                Step::Read { from, size } => self.read(from, size),
                Step::Finish { of } => {
                    self.stage.outbound.finish(self.keys[of]);
                    self.is_open[of] = false;
                }
                Step::Turn => self.turn(),
            }
        }
    }

    /// Appends to what the peer must get, if there is room.
    fn accept(&mut self, to: usize, octets: &[u8]) -> bool {
        let queued = self.accepted[to].len() - self.stage.size_left[to];
        let fits = queued == 0 || queued + octets.len() <= 100_000;
        if fits {
            self.accepted[to].extend_from_slice(octets);
        }
        fits
    }

    fn send(&mut self, to: usize, message: &Message<'_>) {
        let taken = self.is_open[to];
        if taken {
            self.is_open[to] = self.accept(to, &frame(FRAMINGS[to], message));
        }
        let sent = self.stage.outbound.send(self.keys[to], message);
        assert_eq!(sent.is_ok(), taken);
    }

    fn raw(&mut self, to: usize, octets: &[u8]) {
        if self.is_open[to] {
            self.is_open[to] = octets.is_empty() || self.accept(to, octets);
        }
        self.stage.outbound.raw(self.keys[to], octets);
    }

    fn fan_out(&mut self, receivers: u8, except: Option<usize>, size: usize) {
        let event = event(self.number, size);
        let to: Vec<_> = (0..CONNECTIONS).filter(|index| receivers & (1 << index) != 0).collect();
        for index in to.iter().copied() {
            if Some(index) != except && self.is_open[index] {
                self.accept(index, &frame(FRAMINGS[index], &event));
            }
        }
        let receivers: Vec<_> = to.iter().map(|index| self.keys[*index]).collect();
        self.stage.outbound.fan_out(&event, &receivers, except.map(|index| self.keys[index]));
    }

    fn read(&mut self, from: usize, size: usize) {
        let octets = self.stage.network.read(self.stage.peers[from], size);
        self.received[from].extend(octets);
    }

    /// As the worker does it: sessions that overflowed are closed by force.
    fn turn(&mut self) {
        for (key, ending) in std::mem::take(&mut self.stage.outbound.endings) {
            assert_eq!(ending, Ending::Overflow);
            self.stage.engine.close(connection_of(key), Close::Now);
        }
        self.stage.turn();
    }

    fn check(&mut self, overflowed: &[SessionKey]) {
        for index in 0..CONNECTIONS {
            let (accepted, received) = (&self.accepted[index], &self.received[index]);
            if overflowed.contains(&self.keys[index]) {
                assert!(accepted.starts_with(received), "connection {index}");
            } else {
                assert!(accepted == received, "connection {index}: {} {}", accepted.len(), received.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each peer gets exactly what was accepted for it, in order, whatever the engine does meanwhile.
    #[test]
    fn peers_get_what_was_accepted_in_order(seed: u64, steps in proptest::collection::vec(step(), 0..120)) {
        let mut model = Model::new(seed);
        let mut overflowed = Vec::new();
        for step in steps {
            model.run(&[step]);
            overflowed.extend(model.stage.overflowed());
        }
        model.stage.network.set_faults(SimFaults::default());
        for _ in 0..64 {
            model.turn();
            (0..CONNECTIONS).for_each(|index| model.read(index, usize::MAX));
        }
        model.check(&overflowed);
        for (index, key) in model.keys.iter().enumerate() {
            prop_assert!(model.stage.queued(*key) == 0 || !model.is_open[index]);
        }
    }
}
