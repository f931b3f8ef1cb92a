//! The epoll engine, for hosts that refuse io_uring.
//!
//! Edge-triggered: each socket is registered once, readiness is remembered here, and pausing or a full
//! send buffer costs no system call. All sends noted in a turn are tried at the start of the next poll.
//! Receive buffers are shared as in the ring engine.

mod connection;
mod pool;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

use crate::buffer::Outgoing;
use crate::doorbell::Doorbell;
use crate::engine::{Engine, EngineCounters, EngineOptions, accepts_per_poll};
use crate::event::{AdoptError, Close, CloseReason, ConnectionId, EngineFault, Event, ListenerId};
use crate::event::{Monotonic, Operation, PeerAddress, Wait};
use crate::lease::BufferLease;
use crate::slots::Slots;
use crate::socket;

use connection::{Connection, Life};
use pool::BufferPool;

/// An engine on one epoll instance.
pub struct Epoll {
    epoll: OwnedFd,
    buffers: BufferPool,
    connections: Slots<Connection>,
    listeners: Vec<Option<Listener>>,
    /// Connections that may have bytes for us; each at most once.
    readable: VecDeque<ConnectionId>,
    /// Connections with data to try to send; each at most once.
    sending: Vec<ConnectionId>,
    /// Connections whose peer ended its side in the last poll: one turn remains for an answer.
    ended: Vec<ConnectionId>,
    /// Closing connections, to be told with the next poll.
    finished: Vec<ConnectionId>,
    /// Connections closed with `Close::AfterSend`, by deadline.
    lingering: VecDeque<(Monotonic, ConnectionId)>,
    /// When to accept again after the kernel ran out of something.
    accept_again: Option<Monotonic>,
    ready: Vec<epoll::Event>,
    doorbell: Doorbell,
    options: EngineOptions,
    now: Monotonic,
    counters: EngineCounters,
}

struct Listener {
    socket: OwnedFd,
    resting: bool,
}

impl Epoll {
    /// Opens an engine.
    pub fn open(options: EngineOptions) -> io::Result<Epoll> {
        options.check();
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let doorbell = Doorbell::eventfd()?;
        if let Some(eventfd) = doorbell.as_fd() {
            epoll::add(&epoll, eventfd, EventData::new_u64(DOORBELL), EventFlags::IN)?;
        }
        Ok(Epoll {
            epoll,
            buffers: BufferPool::new(options.receive_buffer_count, options.receive_buffer_size),
            connections: Slots::new(options.connections_max),
            listeners: Vec::new(),
            readable: VecDeque::new(),
            sending: Vec::new(),
            ended: Vec::new(),
            finished: Vec::new(),
            lingering: VecDeque::new(),
            accept_again: None,
            ready: Vec::with_capacity(READY_COUNT_MAX),
            doorbell,
            options,
            now: Monotonic::read(),
            counters: EngineCounters::default(),
        })
    }

    fn before_wait(&mut self, events: &mut Vec<Event>) {
        while let Some(id) = self.ended.pop() {
            self.close_ended(id);
        }
        let mut sending = std::mem::take(&mut self.sending);
        for id in sending.drain(..) {
            self.try_send(id, events);
        }
        self.sending = sending;
        if !self.lingering.is_empty() {
            self.end_lingering();
        }
        self.tell_finished(events);
        if self.accept_again.is_some_and(|again| again <= self.now) {
            self.accept_resting();
        }
    }

    /// The peer ended its side and the worker had its turn: what it answered is still sent.
    fn close_ended(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.life != Life::Open {
            return;
        }
        if connection.sending.is_none() {
            return self.begin_close(id, CloseReason::EndOfStream);
        }
        connection.reason = CloseReason::EndOfStream;
        connection.life = Life::Draining;
        self.lingering.push_back((self.now.after_ns(self.options.linger_ns), id));
    }

    fn tell_finished(&mut self, events: &mut Vec<Event>) {
        while let Some(id) = self.finished.pop() {
            let Some(connection) = self.connections.remove(id) else { continue };
            let reason = connection.reason;
            drop(connection);
            self.counters.closed += 1;
            if self.accept_again.is_some() {
                // A descriptor was freed just now.
                self.accept_again = Some(self.now);
            }
            events.push(Event::Closed { connection: id, reason });
        }
    }

    /// Ends what waited long enough and forgets what ended before.
    fn end_lingering(&mut self) {
        while let Some((deadline, id)) = self.lingering.front().copied() {
            if deadline > self.now && self.connections.get(id).is_some() {
                return;
            }
            self.lingering.pop_front();
            self.begin_close(id, CloseReason::Local);
        }
    }

    /// `None` waits for ever, zero does not block.
    fn patience(&self, wait: Wait, may_block: bool) -> Option<u64> {
        let can_receive = !self.readable.is_empty() && self.buffers.has_free();
        if !may_block || can_receive || !self.finished.is_empty() || !self.ended.is_empty() {
            return Some(0);
        }
        let own = self.lingering.front().map(|(deadline, _)| *deadline);
        let deadline = [wait.until, own, self.accept_again].into_iter().flatten().min()?;
        match deadline {
            Monotonic::ZERO => Some(0),
            deadline => Some(deadline.since_ns(Monotonic::read())),
        }
    }

    fn wait(&mut self, timeout_ns: Option<u64>) -> Result<(), EngineFault> {
        let timeout = timeout_ns.map(|timeout_ns| Timespec {
            tv_sec: (timeout_ns / NS_PER_S) as i64,
            tv_nsec: (timeout_ns % NS_PER_S) as i64,
        });
        self.ready.clear();
        self.counters.waits += 1;
        let spare = rustix::buffer::spare_capacity(&mut self.ready);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(EngineFault { operation: Operation::Wait, errno: errno.raw_os_error() }),
        }
    }

    fn handle_ready(&mut self, events: &mut Vec<Event>) {
        let mut ready = std::mem::take(&mut self.ready);
        for event in ready.drain(..) {
            let token = event.data.u64();
            if token == DOORBELL {
                self.doorbell.answer();
                self.counters.doorbells += 1;
                events.push(Event::Doorbell);
            } else if token & LISTENER != 0 {
                self.accept(token as u32, events);
            } else {
                let id = ConnectionId { slot: (token >> 32) as u32, generation: token as u32 };
                self.became_ready(id, event.flags, events);
            }
        }
        self.ready = ready;
    }

    fn became_ready(&mut self, id: ConnectionId, flags: EventFlags, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(EventFlags::IN | ended) {
            connection.readable = true;
            connection.ending |= flags.intersects(ended);
            self.note_readable(id);
        }
        if flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            self.became_writable(id, events);
        }
    }

    fn became_writable(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.blocked {
            connection.blocked = false;
            self.try_send(id, events);
        }
    }

    fn note_readable(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let wanted = connection.receive_wanted && !connection.at_end && connection.life != Life::Closing;
        if connection.readable && wanted && !connection.queued {
            connection.queued = true;
            self.readable.push_back(id);
        }
    }

    /// Receives once or a few times from each readable connection; what is left keeps its turn.
    fn receive_all(&mut self, events: &mut Vec<Event>) {
        for _ in 0..self.readable.len() {
            if !self.buffers.has_free() {
                self.counters.receive_buffers_exhausted += 1;
                return;
            }
            let Some(id) = self.readable.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(id) {
                connection.queued = false;
                self.receive(id, events);
                self.note_readable(id);
            }
        }
    }

    fn receive(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        for _ in 0..RECEIVES_PER_TURN_MAX {
            let Some(connection) = self.connections.get_mut(id) else { return };
            if !connection.receive_wanted || connection.life == Life::Closing {
                return;
            }
            let Some(buffer) = self.buffers.next_free() else { return };
            let size = buffer.len();
            let received = rustix::net::recv(&connection.socket, &mut *buffer, RecvFlags::empty());
            match received.map(|(_, length)| length) {
                Ok(0) => return self.stream_ended(id),
                Ok(length) => {
                    // A short read drained the socket, unless its end is behind it.
                    connection.readable = length == size || connection.ending;
                    let more = connection.readable;
                    self.deliver(id, length, events);
                    if !more {
                        return;
                    }
                }
                Err(Errno::AGAIN) => {
                    connection.readable = false;
                    return;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return self.failed(id, Operation::Receive, errno),
            }
        }
    }

    fn deliver(&mut self, id: ConnectionId, length: usize, events: &mut Vec<Event>) {
        let open = self.connections.get(id).is_some_and(|connection| connection.life == Life::Open);
        if !open {
            return;
        }
        self.counters.receives += 1;
        self.counters.received_bytes += length as u64;
        events.push(Event::Received { connection: id, buffer: self.buffers.lend(length) });
    }

    fn stream_ended(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.at_end = true;
        connection.readable = false;
        match connection.life {
            Life::Open => self.ended.push(id),
            Life::Lingering => self.begin_close(id, CloseReason::Local),
            Life::Draining | Life::Closing => {}
        }
    }

    fn failed(&mut self, id: ConnectionId, operation: Operation, errno: Errno) {
        self.begin_close(id, CloseReason::Error { operation, errno: errno.raw_os_error() });
    }

    /// Sends until all is gone or the kernel takes no more.
    fn try_send(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        while let Some(connection) = self.connections.get_mut(id) {
            if connection.life == Life::Closing || connection.blocked {
                return;
            }
            let Some(outgoing) = &connection.sending else { return };
            match send_once(&connection.socket, outgoing, connection.sent) {
                Ok(length) => {
                    connection.sent += length;
                    if connection.sent == connection.send_total {
                        return self.send_complete(id, events);
                    }
                    self.counters.short_sends += 1;
                }
                Err(Errno::AGAIN) => connection.blocked = true,
                Err(Errno::INTR) => {}
                Err(errno) => return self.failed(id, Operation::Send, errno),
            }
        }
    }

    fn send_complete(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.counters.sends += 1;
        self.counters.sent_bytes += connection.send_total as u64;
        let draining = connection.life == Life::Draining;
        let returned = connection.sending.take();
        events.extend(returned.map(|returned| Event::Sent { connection: id, returned }));
        if draining {
            self.linger(id);
        }
    }

    fn accept(&mut self, index: u32, events: &mut Vec<Event>) {
        for _ in 0..accepts_per_poll(self.listeners.len()) {
            let Some(Some(listener)) = self.listeners.get(index as usize) else { return };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::accept_with(&listener.socket, flags) {
                Ok(socket) => self.welcome(ListenerId(index), socket, events),
                Err(Errno::AGAIN) => return,
                Err(errno) if socket::accept_error_passes(errno.raw_os_error()) => {}
                Err(errno) => return self.accept_failed(index, errno, events),
            }
        }
    }

    fn welcome(&mut self, listener: ListenerId, socket: OwnedFd, events: &mut Vec<Event>) {
        match self.register(socket) {
            Ok(connection) => {
                self.counters.accepted += 1;
                events.push(Event::Accepted { listener, connection });
            }
            Err(_closed_here) => self.counters.refused += 1,
        }
    }

    fn register(&mut self, socket: OwnedFd) -> Result<ConnectionId, AdoptError> {
        let id = self.connections.insert(Connection::new(socket)).map_err(|_| AdoptError::Full)?;
        let Some(connection) = self.connections.get(id) else { return Err(AdoptError::Full) };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let token = u64::from(id.slot) << 32 | u64::from(id.generation);
        let added = epoll::add(&self.epoll, &connection.socket, EventData::new_u64(token), flags);
        added.map_err(|errno| {
            self.connections.remove(id);
            AdoptError::Socket { errno: errno.raw_os_error() }
        })?;
        Ok(id)
    }

    fn accept_failed(&mut self, index: u32, errno: Errno, events: &mut Vec<Event>) {
        self.counters.accept_failures += 1;
        let listener = ListenerId(index);
        events.push(Event::AcceptFailed { listener, errno: errno.raw_os_error() });
        if let Some(Some(listener)) = self.listeners.get_mut(index as usize) {
            listener.resting = true;
            let _ = epoll::delete(&self.epoll, &listener.socket);
            let again = self.now.after_ns(self.options.accept_pause_ns);
            self.accept_again = Some(self.accept_again.map_or(again, |earlier| earlier.min(again)));
        }
    }

    fn accept_resting(&mut self) {
        self.accept_again = None;
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            if std::mem::take(&mut listener.resting) {
                watch_listener(&self.epoll, &listener.socket, index as u32);
            }
        }
    }

    fn begin_close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.life == Life::Closing {
            return;
        }
        if connection.life == Life::Open {
            connection.reason = reason;
        }
        connection.life = Life::Closing;
        self.finished.push(id);
    }

    /// All is sent: ends our side and discards the peer's bytes for a while.
    fn linger(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.life = Life::Lingering;
        connection.receive_wanted = true;
        if !socket::end_sending(connection.socket.as_fd()) || connection.at_end {
            return self.begin_close(id, CloseReason::Local);
        }
        self.note_readable(id);
    }
}

impl Engine for Epoll {
    fn now(&self) -> Monotonic {
        self.now
    }

    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> Result<(), EngineFault> {
        self.counters.polls += 1;
        let count_before = events.len();
        self.before_wait(events);
        let patience = self.patience(wait, events.len() == count_before);
        let waited = self.wait(patience);
        self.now = Monotonic::read();
        waited?;
        self.handle_ready(events);
        self.receive_all(events);
        self.tell_finished(events);
        self.counters.leases_outstanding = u64::from(self.buffers.leased_count());
        Ok(())
    }

    fn bytes(&self, lease: &BufferLease) -> &[u8] {
        self.buffers.bytes(lease)
    }

    fn release(&mut self, lease: BufferLease) {
        self.buffers.release(lease);
    }

    fn send(&mut self, connection: ConnectionId, data: Outgoing) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        if state.life != Life::Open {
            return;
        }
        assert!(state.sending.is_none(), "one send per connection");
        state.send_total = data.len();
        assert!(state.send_total > 0, "nothing to send");
        state.sending = Some(data);
        state.sent = 0;
        self.sending.push(connection);
    }

    fn pause_receive(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        if state.life == Life::Open {
            state.receive_wanted = false;
        }
    }

    fn resume_receive(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        state.receive_wanted = true;
        self.note_readable(connection);
    }

    fn close(&mut self, connection: ConnectionId, how: Close) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        if how == Close::Now {
            return self.begin_close(connection, CloseReason::Local);
        }
        if state.life != Life::Open {
            return;
        }
        self.lingering.push_back((self.now.after_ns(self.options.linger_ns), connection));
        if state.sending.is_some() {
            state.life = Life::Draining;
        } else {
            self.linger(connection);
        }
    }

    fn listen(&mut self, socket: OwnedFd) -> ListenerId {
        socket::prepare_listener(socket.as_fd(), socket::Blocking::No);
        let index = self.listeners.len() as u32;
        watch_listener(&self.epoll, &socket, index);
        self.listeners.push(Some(Listener { socket, resting: false }));
        ListenerId(index)
    }

    fn stop_listening(&mut self, ListenerId(index): ListenerId) {
        if let Some(listener) = self.listeners.get_mut(index as usize) {
            // A shared listener has other descriptors, so closing ours would not end its registration.
            if let Some(listener) = listener.take().filter(|listener| !listener.resting) {
                let _ = epoll::delete(&self.epoll, &listener.socket);
            }
        }
    }

    fn adopt(&mut self, stream: OwnedFd) -> Result<ConnectionId, AdoptError> {
        socket::prepare_stream(stream.as_fd(), socket::Blocking::No)?;
        let id = self.register(stream)?;
        self.counters.adopted += 1;
        Ok(id)
    }

    fn peer(&self, connection: ConnectionId) -> PeerAddress {
        let state = self.connections.get(connection);
        state.map_or(PeerAddress::Unknown, |state| socket::peer(state.socket.as_fd()))
    }

    fn descriptor(&self, connection: ConnectionId) -> Option<i32> {
        self.connections.get(connection).map(|state| state.socket.as_raw_fd())
    }

    fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }

    fn ring(&mut self, other: &Doorbell) {
        self.counters.rings += 1;
        other.ring();
    }

    fn trim(&mut self) {
        self.buffers.trim();
        self.connections.trim();
    }

    fn counters(&self) -> &EngineCounters {
        &self.counters
    }
}

fn send_once(socket: &OwnedFd, outgoing: &Outgoing, sent: usize) -> Result<usize, Errno> {
    if let Some(bytes) = outgoing.contiguous(sent) {
        return rustix::net::send(socket, bytes, SendFlags::NOSIGNAL);
    }
    // Several segments are the exception, and their copy costs more than this list.
    let pieces: Vec<IoSlice<'_>> = outgoing.pieces(sent).take(VECTOR_COUNT_MAX).map(IoSlice::new).collect();
    rustix::net::sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}

/// Level-triggered, and exclusive so that a connection on a shared listener wakes one shard.
fn watch_listener(epoll: &OwnedFd, socket: &OwnedFd, index: u32) {
    let token = EventData::new_u64(LISTENER | u64::from(index));
    // Fails only for descriptors that cannot be polled, which are no listeners.
    let _ = epoll::add(epoll, socket, token, EventFlags::IN | EventFlags::EXCLUSIVE);
}

/// Slots have 28 bits, so the upper bits of a token tell connections from the rest.
const DOORBELL: u64 = u64::MAX;
const LISTENER: u64 = 1 << 63;
/// Most readiness events taken by one wait.
const READY_COUNT_MAX: usize = 1024;
/// Keeps one flooding peer from starving others.
const RECEIVES_PER_TURN_MAX: u32 = 4;
/// `IOV_MAX` of Linux.
const VECTOR_COUNT_MAX: usize = 1024;
const NS_PER_S: u64 = 1_000_000_000;
