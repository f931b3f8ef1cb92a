//! The simulated engine: a seeded fake kernel with virtual time, for tests of whole workers.
//!
//! A [`SimNetwork`] holds the clock, the dice and the peers' side of every stream; a test scripts it.
//! Its [`SimEngine`]s behave like the kernel engines, with faults that real kernels show rarely: reads
//! of one byte, merged reads, short sends, late and reordered completions, exhausted buffers, ended
//! receives, failing operations, no descriptors, late wake-ups. The same seed and the same calls give
//! the same events. Nothing here blocks, sleeps or opens a descriptor.

mod link;
mod network;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::buffer::Outgoing;
use crate::doorbell::Doorbell;
use crate::engine::{Engine, EngineCounters, EngineOptions};
use crate::event::{AdoptError, Close, CloseReason, ConnectionId, EngineFault, Event, ListenerId};
use crate::event::{Monotonic, Operation, PeerAddress, Wait};
use crate::lease::BufferLease;
use crate::slots::Slots;

use link::{Life, Link};
use network::Arrival;
pub use network::{SimFaults, SimNetwork, SimPeer};

/// One simulated engine of a [`SimNetwork`].
pub struct SimEngine {
    network: SimNetwork,
    /// Which engine of the network this is.
    index: usize,
    buffers: Vec<Buffer>,
    links: Slots<Link>,
    listeners: Vec<Option<SimListener>>,
    /// Connections closed with `Close::AfterSend`, by deadline.
    lingering: VecDeque<(Monotonic, ConnectionId)>,
    doorbell: Doorbell,
    options: EngineOptions,
    now: Monotonic,
    counters: EngineCounters,
}

struct Buffer {
    bytes: Vec<u8>,
    leased: bool,
}

struct SimListener {
    rest_until: Option<Monotonic>,
}

impl SimEngine {
    fn new(network: SimNetwork, index: usize, options: EngineOptions) -> SimEngine {
        options.check();
        SimEngine {
            now: network.now(),
            network,
            index,
            buffers: Vec::new(),
            links: Slots::new(options.connections_max),
            listeners: Vec::new(),
            lingering: VecDeque::new(),
            doorbell: Doorbell::of_simulation(),
            options,
            counters: EngineCounters::default(),
        }
    }

    /// Which engine of its network this is, for [`SimNetwork::connect`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Listens without a socket.
    pub fn listen_simulated(&mut self) -> ListenerId {
        self.listeners.push(Some(SimListener { rest_until: None }));
        let id = ListenerId(self.listeners.len() as u32 - 1);
        self.network.world().listening.push((self.index, id));
        id
    }

    /// Adopts a stream without a socket; the peer's side is returned too.
    pub fn adopt_simulated(&mut self) -> Result<(ConnectionId, SimPeer), AdoptError> {
        let peer = self.network.world().new_peer();
        let id = self.links.insert(Link::new(peer)).map_err(|_| AdoptError::Full)?;
        self.network.world().take(peer);
        self.counters.adopted += 1;
        Ok((id, peer))
    }

    /// Whether a poll may tell something now, without time passing or a peer acting.
    pub fn has_work(&self) -> bool {
        self.doorbell.is_rung() || self.has_arrivals() || self.links.ids().any(|id| self.can_step(id))
    }

    fn has_arrivals(&self) -> bool {
        let listeners = self.listeners.iter().enumerate();
        let mut accepting = listeners
            .filter(|(_, listener)| listener.as_ref().is_some_and(|listener| listener.rest_until.is_none()));
        accepting.any(|(index, _)| self.network.world().is_waiting(self.index, ListenerId(index as u32)))
    }

    fn can_step(&self, id: ConnectionId) -> bool {
        let has_free = self.free_buffer().is_some();
        self.links.get(id).is_some_and(|link| link.has_work(&self.network.world(), has_free))
    }

    /// Panics unless every lease came back and every stream was closed once.
    pub fn check_empty(&self) {
        assert_eq!(self.links.len(), 0, "connections left");
        assert_eq!(self.buffers.iter().filter(|buffer| buffer.leased).count(), 0, "leases left");
        assert_eq!(self.counters.accepted + self.counters.adopted, self.counters.closed);
    }

    fn deadline(&self, wait: Wait) -> Option<Monotonic> {
        let linger = self.lingering.front().map(|(deadline, _)| *deadline);
        let rests = self.listeners.iter().flatten().filter_map(|listener| listener.rest_until);
        rests.chain(linger).chain(wait.until).filter(|deadline| *deadline > self.now).min()
    }

    fn expire(&mut self) {
        while let Some((deadline, id)) = self.lingering.front().copied() {
            if deadline > self.now && self.links.get(id).is_some() {
                break;
            }
            self.lingering.pop_front();
            self.begin_close(id, CloseReason::Local);
        }
        for listener in self.listeners.iter_mut().flatten() {
            listener.rest_until = listener.rest_until.filter(|until| *until > self.now);
        }
    }

    fn accept_all(&mut self, events: &mut Vec<Event>) {
        for index in 0..self.listeners.len() {
            let listener = ListenerId(index as u32);
            while self.listeners[index].as_ref().is_some_and(|state| state.rest_until.is_none()) {
                let arrival = self.network.world().accept(self.index, listener);
                match arrival {
                    Arrival::None => break,
                    Arrival::Peer(peer) => self.welcome(listener, peer, events),
                    Arrival::Failed(errno) => self.accept_failed(listener, errno, events),
                }
            }
        }
    }

    fn welcome(&mut self, listener: ListenerId, peer: SimPeer, events: &mut Vec<Event>) {
        match self.links.insert(Link::new(peer)) {
            Ok(connection) => {
                self.counters.accepted += 1;
                events.push(Event::Accepted { listener, connection });
            }
            Err(link) => {
                self.counters.refused += 1;
                self.network.world().close_engine_side(link.peer);
            }
        }
    }

    fn accept_failed(&mut self, listener: ListenerId, errno: i32, events: &mut Vec<Event>) {
        self.counters.accept_failures += 1;
        events.push(Event::AcceptFailed { listener, errno });
        if let Some(state) = &mut self.listeners[listener.0 as usize] {
            state.rest_until = Some(self.now.after_ns(self.options.accept_pause_ns));
        }
    }

    /// Lets one connection progress a little: order within a connection holds, order between them
    /// does not.
    fn step(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(link) = self.links.get(id) else { return };
        match link.life {
            Life::Closing => return self.finish(id, events),
            Life::Open if link.at_end => self.close_ended(id),
            _ => {}
        }
        self.step_send(id, events);
        self.step_receive(id, events);
    }

    /// The peer ended its side and the worker had its turn: what it answered is still sent.
    fn close_ended(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.sending.is_none() {
            return self.begin_close(id, CloseReason::EndOfStream);
        }
        link.reason = CloseReason::EndOfStream;
        link.life = Life::Draining;
        self.lingering.push_back((self.now.after_ns(self.options.linger_ns), id));
    }

    fn stream_ended(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.at_end = true;
        if link.life == Life::Lingering {
            self.begin_close(id, CloseReason::Local);
        }
    }

    fn step_send(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(link) = self.links.get_mut(id) else { return };
        let Some(outgoing) = &link.sending else { return };
        let mut world = self.network.world();
        match world.send(link.peer, outgoing, link.sent) {
            Ok(length) => link.sent += length,
            Err(errno) => {
                drop(world);
                return self.begin_close(id, CloseReason::Error { operation: Operation::Send, errno });
            }
        }
        if link.sent < link.send_total {
            self.counters.short_sends += 1;
            return;
        }
        self.counters.sends += 1;
        self.counters.sent_bytes += link.send_total as u64;
        let draining = link.life == Life::Draining;
        events.extend(link.sending.take().map(|returned| Event::Sent { connection: id, returned }));
        drop(world);
        if draining {
            self.linger(id);
        }
    }

    fn step_receive(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let free = self.free_buffer();
        let Some(link) = self.links.get(id) else { return };
        if !link.receive_wanted || link.at_end || link.life == Life::Closing {
            return;
        }
        let mut world = self.network.world();
        if !world.has_input(link.peer) {
            return;
        }
        if free.is_none() || world.buffers_run_out() {
            self.counters.receive_buffers_exhausted += 1;
            return;
        }
        if world.receive_ends() {
            self.counters.receive_restarts += 1;
            return;
        }
        let received = world.receive(link.peer, self.options.receive_buffer_size as usize);
        drop(world);
        match received {
            Ok(bytes) if bytes.is_empty() => self.stream_ended(id),
            Ok(bytes) => self.deliver(id, bytes, events),
            Err(errno) => {
                self.begin_close(id, CloseReason::Error { operation: Operation::Receive, errno });
            }
        }
    }

    fn deliver(&mut self, id: ConnectionId, bytes: Vec<u8>, events: &mut Vec<Event>) {
        if self.links.get(id).is_none_or(|link| link.life != Life::Open) {
            return;
        }
        let Some(index) = self.free_buffer() else { return };
        self.counters.receives += 1;
        self.counters.received_bytes += bytes.len() as u64;
        let lease = BufferLease { index, length: bytes.len() as u32 };
        let buffer = Buffer { bytes, leased: true };
        match self.buffers.get_mut(index as usize) {
            Some(free) => *free = buffer,
            None => self.buffers.push(buffer),
        }
        events.push(Event::Received { connection: id, buffer: lease });
    }

    fn free_buffer(&self) -> Option<u32> {
        let free = self.buffers.iter().position(|buffer| !buffer.leased).unwrap_or(self.buffers.len());
        (free < self.options.receive_buffer_count as usize).then_some(free as u32)
    }

    fn begin_close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.life == Life::Closing {
            return;
        }
        if link.life == Life::Open {
            link.reason = reason;
        }
        link.life = Life::Closing;
    }

    fn linger(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.life = Life::Lingering;
        link.receive_wanted = true;
        self.network.world().end_engine_side(link.peer);
        if link.at_end {
            self.begin_close(id, CloseReason::Local);
        }
    }

    fn finish(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(link) = self.links.remove(id) else { return };
        self.network.world().close_engine_side(link.peer);
        self.counters.closed += 1;
        events.push(Event::Closed { connection: id, reason: link.reason });
    }
}

impl Engine for SimEngine {
    fn now(&self) -> Monotonic {
        self.now
    }

    /// Never waits: the network's clock advances by [`SimNetwork::advance`].
    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> Result<(), EngineFault> {
        self.counters.polls += 1;
        self.now = self.network.now();
        self.expire();
        self.accept_all(events);
        let mut order: Vec<ConnectionId> = self.links.ids().collect();
        self.network.world().shuffle(&mut order);
        for id in order {
            if !self.network.world().is_late() {
                self.step(id, events);
            }
        }
        if !self.network.world().is_late() && self.doorbell.answer() {
            self.counters.doorbells += 1;
            events.push(Event::Doorbell);
        }
        let leased = self.buffers.iter().filter(|buffer| buffer.leased).count();
        self.counters.leases_outstanding = leased as u64;
        let deadline = self.deadline(wait);
        self.network.world().deadlines[self.index] = deadline;
        Ok(())
    }

    fn bytes(&self, lease: &BufferLease) -> &[u8] {
        let buffer = &self.buffers[lease.index as usize];
        assert!(buffer.leased, "lease of another engine");
        assert_eq!(buffer.bytes.len(), lease.len());
        &buffer.bytes
    }

    fn release(&mut self, lease: BufferLease) {
        let buffer = &mut self.buffers[lease.index as usize];
        assert!(buffer.leased, "lease of another engine");
        buffer.leased = false;
        // Whoever still looks sees what a real kernel would do to it.
        buffer.bytes.fill(0xDD);
    }

    fn send(&mut self, connection: ConnectionId, data: Outgoing) {
        let Some(link) = self.links.get_mut(connection) else { return };
        if link.life != Life::Open {
            return;
        }
        assert!(link.sending.is_none(), "one send per connection");
        link.send_total = data.len();
        assert!(link.send_total > 0, "nothing to send");
        link.sent = 0;
        link.sending = Some(data);
    }

    fn pause_receive(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(connection) else { return };
        if link.life == Life::Open {
            link.receive_wanted = false;
        }
    }

    fn resume_receive(&mut self, connection: ConnectionId) {
        if let Some(link) = self.links.get_mut(connection) {
            link.receive_wanted = true;
        }
    }

    fn close(&mut self, connection: ConnectionId, how: Close) {
        let Some(link) = self.links.get_mut(connection) else { return };
        if how == Close::Now {
            return self.begin_close(connection, CloseReason::Local);
        }
        if link.life != Life::Open {
            return;
        }
        self.lingering.push_back((self.now.after_ns(self.options.linger_ns), connection));
        if link.sending.is_some() {
            link.life = Life::Draining;
        } else {
            self.linger(connection);
        }
    }

    /// Listens as [`SimEngine::listen_simulated`] does; the socket is closed.
    fn listen(&mut self, _socket: OwnedFd) -> ListenerId {
        self.listen_simulated()
    }

    fn stop_listening(&mut self, listener: ListenerId) {
        if let Some(state) = self.listeners.get_mut(listener.0 as usize) {
            *state = None;
            self.network.world().stop_listening(self.index, listener);
        }
    }

    /// Adopts as [`SimEngine::adopt_simulated`] does; the stream is closed and nobody is its peer.
    fn adopt(&mut self, _stream: OwnedFd) -> Result<ConnectionId, AdoptError> {
        Ok(self.adopt_simulated()?.0)
    }

    fn peer(&self, connection: ConnectionId) -> PeerAddress {
        let Some(link) = self.links.get(connection) else { return PeerAddress::Unknown };
        PeerAddress::Internet(SocketAddr::from(([127, 0, 0, 1], link.peer.0 as u16)))
    }

    fn descriptor(&self, _connection: ConnectionId) -> Option<i32> {
        None
    }

    fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }

    fn ring(&mut self, other: &Doorbell) {
        self.counters.rings += 1;
        other.ring();
    }

    fn trim(&mut self) {
        self.links.trim();
    }

    fn counters(&self) -> &EngineCounters {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
