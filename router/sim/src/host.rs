//! The transports of one shard, with the policy of the real worker: one bounded outgoing queue for each session, EVENTs
//! dropped and counted when it is full, the transport broken when anything else does not fit.

use std::collections::VecDeque;
use std::rc::Rc;

use crossring_codec::message::Message;
use crossring_codec::serializer::SerializerId;
use crossring_router::address::{SessionKey, ShardId, TransportId};
use crossring_router::letter::Letter;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::statistics::Traffic;

use crate::bug::Bug;
use crate::judge::Judge;
use crate::observation::{Observation, Peer};
use crate::postbox::Postbox;
use crate::wire::{LOSSY, carried};

/// Ticks that an ended transport is kept for its client to read the rest.
const LINGER_TICKS: u64 = 200;

/// Octets of a message beside its payload.
const HEAD_SIZE: u64 = 8;

/// Messages of a client that wait for the shard before the client is made to wait.
const INBOUND_MAX: usize = 64;

/// The transports of one shard.
#[derive(Debug)]
pub struct Host {
    slots: Vec<Option<Connection>>,
    generations: Vec<u32>,
    /// Beyond it EVENTs are dropped; beyond twice of it the transport is broken.
    queue_length_max: usize,
    /// What was counted of the transport that was closed last.
    gone: (SessionKey, Traffic),
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    key: SessionKey,
    transport: TransportId,
    honest: bool,
    stage: Stage,
    /// The client has gone.
    abandoned: bool,
    /// The shard wants no more messages.
    is_paused: bool,
    inbound: VecDeque<Message<'static>>,
    outbound: VecDeque<Rc<Message<'static>>>,
    unread: u64,
    /// Octets of payload that the client takes in one message.
    size_max: usize,
    serializer: Option<SerializerId>,
    last_event: Option<Rc<Message<'static>>>,
    late_event: Option<Rc<Message<'static>>>,
    counted: Option<Counted>,
}

/// What is counted of a transport.
#[derive(Copy, Clone, Debug)]
struct Counted {
    total: Traffic,
    rated_size: u32,
    /// There is more than the shard has been told.
    is_fresh: bool,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Stage {
    /// The shard has not been told of it.
    Fresh,
    Open,
    /// The shard wants it ended; since when.
    Ending(u64),
    /// A queue was over its limit.
    Broken,
}

/// What a shard is told next about a transport.
#[derive(Debug)]
pub enum Arrival {
    /// It is there.
    Opened {
        /// Its slot.
        key: SessionKey,
        /// Its name.
        peer: Peer,
        /// Its listener.
        transport: TransportId,
        /// Its client keeps to the protocol.
        honest: bool,
    },
    /// A message.
    Message {
        /// Its slot.
        key: SessionKey,
        /// Its name.
        peer: Peer,
        /// The message.
        message: Message<'static>,
    },
    /// It is gone.
    Closed {
        /// Its slot.
        key: SessionKey,
        /// Its name.
        peer: Peer,
        /// Messages that were sent to it and never read.
        unread: u64,
    },
}

/// A transport as its client asks for it.
#[derive(Copy, Clone, Debug)]
pub struct Dial {
    /// Its name.
    pub peer: Peer,
    /// Its listener.
    pub transport: TransportId,
    /// The client keeps to the protocol.
    pub honest: bool,
    /// Octets of payload that the client takes in one message.
    pub size_max: usize,
    /// What messages are encoded in, both ways; absent: they are not.
    pub serializer: Option<SerializerId>,
}

impl Host {
    /// No transport.
    pub const fn new(queue_length_max: usize) -> Self {
        let nobody = SessionKey { slot: u32::MAX, generation: 0 };
        let gone = (nobody, Traffic { octets: 0, messages: 0, rated_messages: 0 });
        Self { slots: Vec::new(), generations: Vec::new(), queue_length_max, gone }
    }

    /// Opens a transport for a client.
    pub fn dial(&mut self, dial: Dial) -> SessionKey {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            self.slots.len() - 1
        });
        self.generations[slot] += 1;
        let key = SessionKey { slot: slot as u32, generation: self.generations[slot] };
        self.slots[slot] = Some(Connection::new(key, dial));
        key
    }

    /// A client sends a message.
    pub fn send(&mut self, key: SessionKey, message: Message<'static>) {
        if let Some(connection) = self.connection_mut(key) {
            let carried = connection.serializer.map(|serializer| carried(serializer, &message));
            // What cannot be sent at all is sent as it is: only clients that do not keep to the protocol try to.
            connection.inbound.push_back(carried.and_then(Result::ok).unwrap_or(message));
        }
    }

    /// Whether a client may send: its transport takes more.
    pub fn takes_more(&self, key: SessionKey) -> bool {
        self.connection(key).is_some_and(|connection| connection.inbound.len() < INBOUND_MAX)
    }

    /// A client reads a message.
    pub fn read(&mut self, key: SessionKey) -> Option<Rc<Message<'static>>> {
        let message = self.connection_mut(key)?.outbound.pop_front()?;
        Some(message)
    }

    /// Whether a client finds its transport closed, having read all there was.
    pub fn is_closed(&self, key: SessionKey) -> bool {
        self.connection(key).is_none_or(|connection| match connection.stage {
            Stage::Fresh | Stage::Open => false,
            Stage::Ending(_) => connection.outbound.is_empty(),
            Stage::Broken => true,
        })
    }

    /// A client goes away; with `reset`, what it sent last is lost.
    pub fn hang_up(&mut self, key: SessionKey, reset: bool) {
        if let Some(connection) = self.connection_mut(key) {
            connection.abandoned = true;
            if reset {
                let kept = connection.inbound.len() / 2;
                connection.inbound.truncate(kept);
            }
        }
    }

    /// How many slots there are to ask for arrivals.
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What the shard is told next about a slot; messages only with `credit`.
    pub fn arrival(&mut self, slot: usize, tick: u64, credit: bool) -> Option<Arrival> {
        let connection = self.slots.get_mut(slot)?.as_mut()?;
        let (key, peer) = (connection.key, connection.peer);
        match connection.stage {
            Stage::Fresh => {
                connection.stage = Stage::Open;
                let Connection { transport, honest, .. } = *connection;
                return Some(Arrival::Opened { key, peer, transport, honest });
            }
            Stage::Open if !connection.inbound.is_empty() => {
                let message =
                    (credit && !connection.is_paused).then(|| connection.inbound.pop_front()).flatten()?;
                connection.count(&message);
                connection.note_unsubscribe(&message);
                return Some(Arrival::Message { key, peer, message });
            }
            _ => {}
        }
        if !connection.is_over(tick) {
            return None;
        }
        let unread = connection.unread + connection.outbound.len() as u64;
        self.gone = (key, connection.counted.map_or_else(Traffic::default, |counted| counted.total));
        self.slots[slot] = None;
        Some(Arrival::Closed { key, peer, unread })
    }

    /// What has been counted of a transport, if anything has since it was asked last.
    pub fn take_counted(&mut self, slot: usize) -> Option<(SessionKey, Traffic)> {
        let connection = self.slots.get_mut(slot)?.as_mut()?;
        let counted = connection.counted.as_mut().filter(|counted| counted.is_fresh)?;
        counted.is_fresh = false;
        Some((connection.key, counted.total))
    }

    /// Nothing waits in any queue.
    pub fn is_quiet(&self) -> bool {
        self.slots.iter().flatten().all(|connection| {
            connection.stage == Stage::Open
                && !connection.abandoned
                && connection.inbound.is_empty()
                && connection.outbound.is_empty()
        })
    }

    /// Transports there are.
    pub fn open(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Queues take what the policy of a healthy node does.
    pub const fn heal(&mut self) {
        self.queue_length_max = usize::MAX >> 1;
    }

    fn connection(&self, key: SessionKey) -> Option<&Connection> {
        self.slots.get(key.slot as usize)?.as_ref().filter(|connection| connection.key == key)
    }

    fn connection_mut(&mut self, key: SessionKey) -> Option<&mut Connection> {
        self.slots.get_mut(key.slot as usize)?.as_mut().filter(|connection| connection.key == key)
    }
}

impl Connection {
    fn new(key: SessionKey, dial: Dial) -> Self {
        Self {
            peer: dial.peer,
            key,
            transport: dial.transport,
            honest: dial.honest,
            stage: Stage::Fresh,
            abandoned: false,
            is_paused: false,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
            unread: 0,
            size_max: dial.size_max,
            serializer: dial.serializer,
            last_event: None,
            late_event: None,
            counted: None,
        }
    }

    fn is_over(&self, tick: u64) -> bool {
        match self.stage {
            Stage::Fresh => false,
            Stage::Open => self.abandoned,
            Stage::Broken => true,
            Stage::Ending(since) => self.abandoned || self.outbound.is_empty() || tick > since + LINGER_TICKS,
        }
    }

    /// Keeps the last EVENT of a subscription that is given up, for [`Bug::LateEvent`].
    fn note_unsubscribe(&mut self, message: &Message<'_>) {
        let Message::Unsubscribe { subscription: ended, .. } = message else { return };
        self.late_event = self.last_event.take_if(
            |event| matches!(&**event, Message::Event { subscription, .. } if subscription == ended),
        );
    }

    fn count(&mut self, message: &Message<'_>) {
        if let Some(counted) = &mut self.counted {
            counted.total.add(HEAD_SIZE + payload_size(message) as u64, counted.rated_size);
            counted.is_fresh = true;
        }
    }

    fn enqueue(&mut self, message: Rc<Message<'static>>) {
        if self.abandoned {
            self.unread += 1;
        } else {
            self.outbound.push_back(message);
        }
    }
}

/// Takes the letters of a shard or of the registry.
#[derive(Debug)]
pub struct Mail<'a> {
    /// The time.
    pub tick: u64,
    /// The sender.
    pub from: ShardId,
    /// The lanes.
    pub postbox: &'a mut Postbox,
    /// Watches.
    pub judge: &'a mut Judge,
}

impl Post for Mail<'_> {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.judge.observe(self.tick, &Observation::Posted { from: self.from, to, letter: &letter });
        self.postbox.post(self.tick, self.from, to, letter);
    }
}

/// Takes everything a shard emits.
#[derive(Debug)]
pub struct Emission<'a> {
    /// Its letters.
    pub mail: Mail<'a>,
    /// Its transports.
    pub host: &'a mut Host,
}

impl Post for Emission<'_> {
    fn post(&mut self, to: ShardId, letter: Letter) {
        self.mail.post(to, letter);
    }
}

impl Outbox for Emission<'_> {
    fn send(&mut self, session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        self.deliver(session, &Rc::new(message.clone().into_owned()))
    }

    fn fan_out(&mut self, event: &Message<'_>, receivers: &[SessionKey], except: Option<SessionKey>) {
        let shared = Rc::new(event.clone().into_owned());
        for receiver in receivers.iter().filter(|receiver| Some(**receiver) != except) {
            _ = self.deliver(*receiver, &shared);
        }
    }

    fn count(&mut self, session: SessionKey, rated_size: u32) {
        if let Some(connection) = self.host.connection_mut(session) {
            connection.counted = Some(Counted { total: Traffic::default(), rated_size, is_fresh: false });
        }
    }

    fn traffic(&self, session: SessionKey) -> Traffic {
        let counted = self.host.connection(session).and_then(|connection| connection.counted);
        match counted {
            Some(counted) => counted.total,
            None if self.host.gone.0 == session => self.host.gone.1,
            None => Traffic::default(),
        }
    }

    fn pause_input(&mut self, session: SessionKey) {
        let ignored = self.mail.postbox.saboteur().bug() == Some(Bug::IgnoredPause);
        if let Some(connection) = self.host.connection_mut(session) {
            let peer = connection.peer;
            connection.is_paused = !ignored;
            self.mail.judge.observe(self.mail.tick, &Observation::Paused { peer });
        }
    }

    fn resume_input(&mut self, session: SessionKey) {
        if let Some(connection) = self.host.connection_mut(session) {
            let peer = connection.peer;
            connection.is_paused = false;
            self.mail.judge.observe(self.mail.tick, &Observation::Unpaused { peer });
        }
    }

    fn takes_up(&mut self, session: SessionKey, message: &Message<'_>) {
        if let Some(connection) = self.host.connection(session) {
            let (peer, message) = (connection.peer, &message.clone().into_owned());
            self.mail.judge.observe(self.mail.tick, &Observation::TakenUp { peer, message });
        }
    }

    fn end(&mut self, session: SessionKey, cause: EndCause) {
        let Some(connection) = self.host.connection_mut(session) else {
            self.mail.judge.fail("sessions", format!("end of {session:?}, which is closed"));
            return;
        };
        let peer = connection.peer;
        if connection.stage != Stage::Broken {
            connection.stage = Stage::Ending(self.mail.tick);
        }
        self.mail.judge.observe(self.mail.tick, &Observation::Ended { peer, cause });
    }
}

impl Emission<'_> {
    fn deliver(&mut self, session: SessionKey, message: &Rc<Message<'static>>) -> Result<(), Refused> {
        let is_event = matches!(**message, Message::Event { .. });
        let limit = self.host.queue_length_max << u32::from(!is_event);
        let Some(connection) = self.host.connection_mut(session) else {
            let name = message.message_type().name();
            self.mail.judge.fail("sessions", format!("{name} for {session:?}, which is closed"));
            return Err(Refused::Gone);
        };
        let peer = connection.peer;
        if connection.stage == Stage::Broken {
            return Err(Refused::Gone);
        }
        let is_lossy = connection.serializer == Some(LOSSY);
        let carried = match connection.serializer.map(|serializer| carried(serializer, message)) {
            None => Rc::clone(message),
            Some(Ok(message)) => Rc::new(message),
            Some(Err(_)) if is_lossy => {
                self.mail.judge.observe(self.mail.tick, &Observation::Dropped { peer, message });
                return Err(Refused::Unrepresentable);
            }
            Some(Err(text)) => {
                self.mail.judge.fail("serializers", format!("{text}: {message:?}"));
                return Err(Refused::Unrepresentable);
            }
        };
        let message = if is_lossy { message } else { &carried };
        if payload_size(message) > connection.size_max {
            self.mail.judge.observe(self.mail.tick, &Observation::Dropped { peer, message });
            return Err(Refused::TooLarge);
        }
        if connection.outbound.len() >= limit {
            return self.overflow(session, message, is_event);
        }
        connection.count(message);
        if self.mail.postbox.saboteur().strikes(Bug::MiscountedTraffic, 50) {
            connection.count(message);
        }
        self.mail.judge.observe(self.mail.tick, &Observation::Emitted { peer, message });
        self.enqueue(session, &carried);
        Ok(())
    }

    fn overflow(
        &mut self,
        session: SessionKey,
        message: &Rc<Message<'static>>,
        is_event: bool,
    ) -> Result<(), Refused> {
        let Some(connection) = self.host.connection_mut(session) else { return Err(Refused::Gone) };
        let peer = connection.peer;
        if is_event {
            self.mail.judge.observe(self.mail.tick, &Observation::Dropped { peer, message });
        } else {
            connection.stage = Stage::Broken;
            connection.unread += connection.outbound.drain(..).count() as u64 + 1;
            self.mail.judge.observe(self.mail.tick, &Observation::Emitted { peer, message });
            self.mail.judge.observe(self.mail.tick, &Observation::Broken { peer });
        }
        Ok(())
    }

    /// Puts a message into the queue of its reader, or does what the bug of the run demands.
    fn enqueue(&mut self, session: SessionKey, message: &Rc<Message<'static>>) {
        let saboteur = self.mail.postbox.saboteur();
        let is_event = matches!(**message, Message::Event { .. });
        if is_event && saboteur.strikes(Bug::UncountedDrop, 20) {
            return;
        }
        let is_interrupt = matches!(**message, Message::Interrupt { .. });
        let twice = is_event && saboteur.strikes(Bug::DuplicateEvent, 20)
            || is_interrupt && saboteur.strikes(Bug::DuplicateInterrupt, 500);
        let astray = is_event && saboteur.strikes(Bug::MisdirectedEvent, 50);
        let late = saboteur.bug() == Some(Bug::LateEvent);
        let target = if astray { self.host.neighbour(session) } else { session };
        let Some(connection) = self.host.connection_mut(target) else { return };
        connection.enqueue(Rc::clone(message));
        if twice {
            self.emit_again(target, message);
        } else if late && is_event {
            connection.last_event = Some(Rc::clone(message));
        } else if let Message::Unsubscribed { request: Some(_), .. } = **message
            && let Some(event) = connection.late_event.take()
        {
            self.emit_again(target, &event);
        }
    }

    fn emit_again(&mut self, session: SessionKey, message: &Rc<Message<'static>>) {
        if let Some(connection) = self.host.connection_mut(session) {
            let peer = connection.peer;
            connection.enqueue(Rc::clone(message));
            self.mail.judge.observe(self.mail.tick, &Observation::Emitted { peer, message });
        }
    }
}

impl Host {
    /// Another transport, if there is one.
    fn neighbour(&self, session: SessionKey) -> SessionKey {
        let mut others = self.slots.iter().flatten().map(|connection| connection.key);
        others.rfind(|key| *key != session).unwrap_or(session)
    }
}

fn payload_size(message: &Message<'_>) -> usize {
    match message {
        Message::Event { payload, .. }
        | Message::Invocation { payload, .. }
        | Message::Result { payload, .. }
        | Message::Publish { payload, .. }
        | Message::Call { payload, .. }
        | Message::Yield { payload, .. }
        | Message::Error { payload, .. } => payload.octets.len(),
        _ => 0,
    }
}
