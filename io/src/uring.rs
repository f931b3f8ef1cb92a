//! The io_uring engine.
//!
//! One ring per thread. Receiving is multishot; all receives of a ring share one set of
//! provided buffers, so an idle connection holds none. At most one send per connection is with the
//! kernel; it owns its buffers until its completion was reaped.
//!
//! Invariant: a slot is vacated only when no operation of its connection is left, so a completion
//! always finds its connection; one that does not is ignored.

mod buffer_ring;
mod connection;
mod gather;
mod probe;
mod queue;
mod token;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::buffer::Outgoing;
use crate::doorbell::Doorbell;
use crate::engine::{Engine, EngineCounters, EngineOptions, accepts_per_poll};
use crate::event::{AdoptError, Close, CloseReason, ConnectionId, EngineFault, Event, ListenerId};
use crate::event::{Monotonic, Operation, PeerAddress, Wait};
use crate::lease::BufferLease;
use crate::slots::Slots;
use crate::socket;

use connection::{Connection, Life, Receive};
use gather::Gathers;
use queue::{Completion, Patience, Queue};
use token::{Kind, Token};

pub(crate) use probe::probe;

/// An engine on one io_uring. Stays on the thread that opened it.
pub struct Ring {
    queue: Queue,
    connections: Slots<Connection>,
    gathers: Gathers,
    listeners: Vec<Option<Listener>>,
    /// Connections that wait for a receive buffer, in order.
    starving: VecDeque<ConnectionId>,
    /// Connections whose peer ended its side in the last poll: one turn remains for an answer.
    ended: Vec<ConnectionId>,
    /// Closing connections with no operation left, to be told with the next poll.
    finished: Vec<ConnectionId>,
    /// Connections closed with `Close::AfterSend`, by deadline.
    lingering: VecDeque<(Monotonic, ConnectionId)>,
    /// When to accept again after the kernel ran out of something.
    accept_again: Option<Monotonic>,
    /// Doorbells rung so far. Held, so that their descriptors outlive the submission.
    rung: Vec<Doorbell>,
    doorbell: Doorbell,
    doorbell_rung: bool,
    options: EngineOptions,
    now: Monotonic,
    counters: EngineCounters,
}

struct Listener {
    socket: OwnedFd,
    state: ListenerState,
    /// Accepts under way. Each ends with one connection, so no poll brings more than these; who comes beyond waits in the kernel.
    accepts: usize,
}

#[derive(Copy, Clone, Eq, PartialEq)]
enum ListenerState {
    Accepting,
    /// Backing off until `Ring::accept_again`.
    Resting,
    Stopping,
}

impl Ring {
    /// Opens a ring on this thread. The error is what the kernel said; [`crate::open`] explains it.
    pub fn open(options: EngineOptions) -> io::Result<Ring> {
        options.check();
        let mut queue = Queue::open(&options)?;
        let doorbell = Doorbell::of_ring(rustix::io::fcntl_dupfd_cloexec(queue.ring(), 0)?)?;
        if let Some(eventfd) = doorbell.as_fd() {
            queue.watch(eventfd);
        }
        Ok(Ring {
            queue,
            connections: Slots::new(options.connections_max),
            gathers: Gathers::default(),
            listeners: Vec::new(),
            starving: VecDeque::new(),
            ended: Vec::new(),
            finished: Vec::new(),
            lingering: VecDeque::new(),
            accept_again: None,
            rung: Vec::new(),
            doorbell,
            doorbell_rung: false,
            options,
            now: Monotonic::read(),
            counters: EngineCounters::default(),
        })
    }

    /// What needs no completion: ends that are due and receives that can go on.
    fn before_wait(&mut self, events: &mut Vec<Event>) {
        while let Some(id) = self.ended.pop() {
            self.close_ended(id);
        }
        self.tell_finished(events);
        if !self.starving.is_empty() {
            self.feed_starving();
        }
        if !self.lingering.is_empty() {
            self.end_lingering();
        }
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
            self.finish(id, events);
        }
    }

    /// Restarts at most as many receives as there are buffers, so that few of them fail again.
    fn feed_starving(&mut self) {
        for _ in 0..self.queue.buffers().free_count() {
            let Some(id) = self.starving.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(id) {
                if connection.receive == Receive::Starving {
                    connection.receive = Receive::Idle;
                }
                self.start_receive(id);
            }
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

    fn accept_resting(&mut self) {
        self.accept_again = None;
        for index in 0..self.listeners.len() as u32 {
            if let Some(Some(listener)) = self.listeners.get_mut(index as usize)
                && listener.state == ListenerState::Resting
            {
                listener.state = ListenerState::Accepting;
                self.accept(index);
            }
        }
    }

    /// Lets the kernel accept as many connections as one poll may bring.
    fn accept(&mut self, index: u32) {
        let most = accepts_per_poll(self.listeners.len());
        let Some(Some(listener)) = self.listeners.get_mut(index as usize) else { return };
        while listener.accepts < most {
            listener.accepts += 1;
            self.queue.accept(listener.socket.as_fd(), Token::index(Kind::Accept, index));
        }
    }

    /// How long the kernel may keep us.
    fn patience(&mut self, wait: Wait, may_block: bool) -> Patience {
        const NONE: Patience = Patience { want: 0, timeout_ns: None, min_wait_us: 0 };
        if !may_block || self.queue.completions_ready() > 0 {
            return NONE;
        }
        let own = self.lingering.front().map(|(deadline, _)| *deadline);
        let deadline = [wait.until, own, self.accept_again].into_iter().flatten().min();
        let timeout_ns = match deadline {
            None => None,
            Some(Monotonic::ZERO) => return NONE,
            Some(deadline) => match deadline.since_ns(Monotonic::read()) {
                0 => return NONE,
                timeout_ns => Some(timeout_ns),
            },
        };
        match wait.batch {
            Some(batch) if self.queue.min_wait && batch.for_ns >= 1000 => {
                // Completed sends count too, so they are added to what is wanted.
                let want = batch.events.max(1).saturating_add(self.queue.sends_pushed());
                let want = want.min(self.options.completion_count / 2);
                Patience { want, timeout_ns, min_wait_us: batch.for_ns / 1000 }
            }
            _ => Patience { want: 1, timeout_ns, min_wait_us: 0 },
        }
    }

    fn reap(&mut self, events: &mut Vec<Event>) {
        // Only what is there now: handling may submit, and that may complete more.
        for _ in 0..self.queue.completions_ready() {
            let Some(completion) = self.queue.next() else { return };
            match completion.token.kind() {
                Some(Kind::Receive) => self.received(completion, events),
                Some(Kind::Send) => self.sent(completion, events),
                Some(Kind::Accept) => self.accepted(completion, events),
                Some(Kind::Eventfd) => self.eventfd_written(completion),
                Some(Kind::Doorbell) => self.doorbell_rung = true,
                Some(Kind::Ring) => self.ring_failed(completion),
                Some(Kind::Cancel) | None => {}
            }
        }
        self.tell_finished(events);
        if std::mem::take(&mut self.doorbell_rung) {
            self.counters.doorbells += 1;
            events.push(Event::Doorbell);
        }
    }

    fn received(&mut self, completion: Completion, events: &mut Vec<Event>) {
        let id = completion.token.id();
        let more = completion.more();
        if !more {
            self.queue.finished();
        }
        let lease = match completion.buffer() {
            Some(index) if completion.result > 0 => {
                Some(self.queue.buffers_mut().lend(index, completion.result as u32))
            }
            Some(index) => {
                let lease = self.queue.buffers_mut().lend(index, 0);
                self.queue.buffers_mut().release(lease);
                None
            }
            None => None,
        };
        let Some(connection) = self.connections.get_mut(id) else {
            debug_assert!(false, "a receive completed without its connection");
            lease.into_iter().for_each(|lease| self.queue.buffers_mut().release(lease));
            return;
        };
        if !more {
            connection.receive = Receive::Idle;
        }
        match lease {
            Some(buffer) if connection.life == Life::Open => {
                self.counters.receives += 1;
                self.counters.received_bytes += buffer.len() as u64;
                events.push(Event::Received { connection: id, buffer });
            }
            Some(buffer) => self.queue.buffers_mut().release(buffer),
            None => {}
        }
        if !more {
            self.receive_ended(id, completion.result, events);
        }
    }

    /// A multishot receive ended: by the peer, by us, for want of buffers, or for the kernel's comfort.
    fn receive_ended(&mut self, id: ConnectionId, result: i32, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.life == Life::Closing {
            return self.finish_if_idle(id, events);
        }
        match -result {
            0 => self.stream_ended(id),
            libc::ENOBUFS => {
                self.counters.receive_buffers_exhausted += 1;
                connection.receive = Receive::Starving;
                self.starving.push_back(id);
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN | ..0 => {
                self.counters.receive_restarts += u64::from(connection.receive_wanted);
                self.start_receive(id);
            }
            errno => {
                let operation = Operation::Receive;
                self.begin_close(id, CloseReason::Error { operation, errno });
            }
        }
    }

    fn stream_ended(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.at_end = true;
        match connection.life {
            Life::Open => self.ended.push(id),
            Life::Lingering => self.begin_close(id, CloseReason::Local),
            Life::Draining | Life::Closing => {}
        }
    }

    fn start_receive(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let wanted = connection.receive_wanted && !connection.at_end && connection.life != Life::Closing;
        if wanted && connection.receive == Receive::Idle {
            connection.receive = Receive::Armed;
            self.queue.receive(connection.socket.as_fd(), Token::connection(Kind::Receive, id));
        }
    }

    fn sent(&mut self, completion: Completion, events: &mut Vec<Event>) {
        self.queue.finished();
        let id = completion.token.id();
        let Some(connection) = self.connections.get_mut(id) else {
            debug_assert!(false, "a send completed without its connection");
            return;
        };
        connection.send_armed = false;
        if completion.result >= 0 {
            connection.sent += completion.result as usize;
        }
        if connection.sent == connection.send_total {
            self.send_complete(id, events);
        } else if connection.life == Life::Closing {
            self.finish_if_idle(id, events);
        } else if completion.result > 0 || matches!(-completion.result, libc::EINTR | libc::EAGAIN) {
            self.counters.short_sends += 1;
            self.push_send(id);
        } else {
            let errno = if completion.result == 0 { libc::EPIPE } else { -completion.result };
            self.begin_close(id, CloseReason::Error { operation: Operation::Send, errno });
        }
    }

    fn send_complete(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.counters.sends += 1;
        self.counters.sent_bytes += connection.send_total as u64;
        let returned = connection.end_send(&mut self.gathers);
        let life = connection.life;
        events.extend(returned.map(|returned| Event::Sent { connection: id, returned }));
        match life {
            Life::Open | Life::Lingering => {}
            Life::Draining => self.linger(id),
            Life::Closing => self.finish_if_idle(id, events),
        }
    }

    /// Gives the rest of the connection's outgoing data to the kernel.
    fn push_send(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(outgoing) = &connection.sending else { return };
        connection.send_armed = true;
        let token = Token::connection(Kind::Send, id);
        let socket = connection.socket.as_fd();
        if let Some(bytes) = outgoing.contiguous(connection.sent) {
            // SAFETY: `connection.sending` owns the bytes and is neither changed nor dropped while
            // `send_armed`: `end_send` runs only after the completion, the slot is vacated only when
            // idle, and `Drop` leaks both if the kernel does not let go. Moving it does not move them.
            unsafe { self.queue.send(socket, bytes, token) };
            return;
        }
        let gather = *connection.gather.get_or_insert_with(|| self.gathers.take());
        let message = self.gathers.fill(gather, outgoing, connection.sent);
        // SAFETY: as above for the bytes; the boxed header is this connection's own until `end_send`
        // and refilled only here, with no send in flight.
        unsafe { self.queue.send_message(socket, message, token) };
    }

    fn accepted(&mut self, completion: Completion, events: &mut Vec<Event>) {
        let index = completion.token.id().slot;
        let socket = completion.accepted();
        let Some(Some(listener)) = self.listeners.get_mut(index as usize) else { return };
        listener.accepts -= 1;
        if listener.state == ListenerState::Stopping {
            self.counters.refused += u64::from(socket.is_some());
            if listener.accepts == 0 {
                self.listeners[index as usize] = None;
            }
            return;
        }
        match socket {
            Some(socket) => self.welcome(ListenerId(index), socket, events),
            None => self.accept_failed(index, -completion.result, events),
        }
        if let Some(Some(Listener { state: ListenerState::Accepting, .. })) =
            self.listeners.get(index as usize)
        {
            self.accept(index);
        }
    }

    fn welcome(&mut self, listener: ListenerId, socket: OwnedFd, events: &mut Vec<Event>) {
        match self.connections.insert(Connection::new(socket)) {
            Ok(connection) => {
                self.counters.accepted += 1;
                self.start_receive(connection);
                events.push(Event::Accepted { listener, connection });
            }
            Err(_closed_here) => self.counters.refused += 1,
        }
    }

    fn accept_failed(&mut self, index: u32, errno: i32, events: &mut Vec<Event>) {
        let Some(Some(listener)) = self.listeners.get_mut(index as usize) else { return };
        if socket::accept_error_passes(errno) || listener.state == ListenerState::Resting {
            return;
        }
        listener.state = ListenerState::Resting;
        self.counters.accept_failures += 1;
        events.push(Event::AcceptFailed { listener: ListenerId(index), errno });
        let again = self.now.after_ns(self.options.accept_pause_ns);
        self.accept_again = Some(self.accept_again.map_or(again, |earlier| earlier.min(again)));
    }

    fn eventfd_written(&mut self, completion: Completion) {
        self.doorbell_rung = true;
        if completion.more() {
            return;
        }
        // The counter is never read while the poll is armed: each write completes it once more.
        self.doorbell.answer();
        if let Some(eventfd) = self.doorbell.as_fd() {
            self.queue.watch(eventfd);
        }
    }

    /// The other ring took no message: its eventfd always works.
    fn ring_failed(&mut self, completion: Completion) {
        if let Some(other) = self.rung.get(completion.token.id().slot as usize) {
            other.ring();
        }
    }

    /// The first reason counts. Cancels what is in flight; the last completion closes.
    fn begin_close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.life == Life::Closing {
            return;
        }
        if connection.life == Life::Open {
            connection.reason = reason;
        }
        connection.life = Life::Closing;
        if connection.is_idle() {
            self.finished.push(id);
        } else {
            self.queue.cancel_all(connection.socket.as_fd());
        }
    }

    /// All is sent: ends our side and discards the peer's bytes for a while.
    fn linger(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.life = Life::Lingering;
        connection.receive_wanted = true;
        let ended = socket::end_sending(connection.socket.as_fd());
        if !ended || connection.at_end {
            return self.begin_close(id, CloseReason::Local);
        }
        self.start_receive(id);
    }

    fn finish_if_idle(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        if self.connections.get(id).is_some_and(Connection::is_idle) {
            self.finish(id, events);
        }
    }

    fn finish(&mut self, id: ConnectionId, events: &mut Vec<Event>) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        drop(connection.end_send(&mut self.gathers));
        let reason = connection.reason;
        drop(connection);
        self.counters.closed += 1;
        if self.accept_again.is_some() {
            // A descriptor was freed just now.
            self.accept_again = Some(self.now);
        }
        events.push(Event::Closed { connection: id, reason });
    }

    fn rung_index(&mut self, other: &Doorbell) -> u32 {
        let known = self.rung.iter().position(|rung| rung.is_same(other));
        known.unwrap_or_else(|| {
            self.rung.push(other.clone());
            self.rung.len() - 1
        }) as u32
    }
}

impl Engine for Ring {
    fn now(&self) -> Monotonic {
        self.now
    }

    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> Result<(), EngineFault> {
        self.counters.polls += 1;
        let count_before = events.len();
        self.before_wait(events);
        self.queue.buffers().publish();
        let may_block = events.len() == count_before && self.ended.is_empty();
        let patience = self.patience(wait, may_block);
        let entered = self.queue.enter(patience);
        self.now = Monotonic::read();
        entered.map_err(|error| EngineFault {
            operation: Operation::Wait,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })?;
        self.reap(events);
        self.counters.waits = self.queue.enter_count;
        self.counters.submission_queue_full = self.queue.full_count;
        self.counters.leases_outstanding = u64::from(self.queue.buffers().leased_count());
        Ok(())
    }

    #[inline]
    fn bytes(&self, lease: &BufferLease) -> &[u8] {
        self.queue.buffers().bytes(lease)
    }

    #[inline]
    fn release(&mut self, lease: BufferLease) {
        self.queue.buffers_mut().release(lease);
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
        self.push_send(connection);
    }

    fn pause_receive(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        if state.life != Life::Open {
            return;
        }
        state.receive_wanted = false;
        if state.receive == Receive::Armed {
            state.receive = Receive::Cancelling;
            self.queue.cancel(Token::connection(Kind::Receive, connection));
        }
    }

    fn resume_receive(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(connection) else { return };
        state.receive_wanted = true;
        self.start_receive(connection);
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
        socket::prepare_listener(socket.as_fd(), socket::Blocking::Yes);
        let index = self.listeners.len() as u32;
        self.listeners.push(Some(Listener { socket, state: ListenerState::Accepting, accepts: 0 }));
        self.accept(index);
        ListenerId(index)
    }

    fn stop_listening(&mut self, ListenerId(index): ListenerId) {
        let Some(entry) = self.listeners.get_mut(index as usize) else { return };
        let Some(listener) = entry else { return };
        if listener.accepts == 0 {
            *entry = None;
        } else {
            listener.state = ListenerState::Stopping;
            self.queue.cancel_all(listener.socket.as_fd());
        }
    }

    fn adopt(&mut self, stream: OwnedFd) -> Result<ConnectionId, AdoptError> {
        socket::prepare_stream(stream.as_fd(), socket::Blocking::Yes)?;
        let id = self.connections.insert(Connection::new(stream)).map_err(|_| AdoptError::Full)?;
        self.counters.adopted += 1;
        self.start_receive(id);
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
        match other.ring_fd() {
            Some(ring) => {
                let token = Token::index(Kind::Ring, self.rung_index(other));
                self.queue.post_doorbell(ring.as_raw_fd(), token);
            }
            None => other.ring(),
        }
    }

    fn trim(&mut self) {
        self.queue.trim();
        self.connections.trim();
    }

    fn counters(&self) -> &EngineCounters {
        &self.counters
    }
}

impl Drop for Ring {
    /// Lets the kernel finish with our memory first; what it does not let go of is leaked.
    fn drop(&mut self) {
        for id in self.connections.ids().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get(id) {
                socket::end_both(connection.socket.as_fd());
            }
        }
        if !self.queue.quiesce() {
            std::mem::forget(std::mem::replace(&mut self.connections, Slots::new(0)));
            std::mem::forget(std::mem::take(&mut self.gathers));
        }
    }
}
