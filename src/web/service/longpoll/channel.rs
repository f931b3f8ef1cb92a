//! One transport of a long-poll client: what waits for it, and how long it lives without a request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use crossring_codec::limits::NestingDepth;
use crossring_codec::message::decode::{decode, decode_within};
use crossring_codec::message::{Message, MessageType};
use crossring_codec::serializer::Serializer;
use crossring_codec::transport::Batching;
use crossring_router::address::SessionKey;
use crossring_router::control::GuestOutput;
use hyper::body::Incoming;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::Fault;
use super::tally::Counted;
use crate::web::bridge::Wish;
use crate::web::service::body::{self, BodyError};
use crate::web::{Demand, Demands};
use crate::worker::Refusal;

/// Octets that a client may send before it has joined, as over any other transport.
const UNJOINED_SIZE_MAX: usize = 64 * 1024;

/// Octets of a batch, unless its first message is longer.
const BATCH_SIZE_MAX: usize = 1 << 20;

/// How long the last messages of a session wait to be fetched.
const LINGER: Duration = Duration::from_secs(10);

/// Bounds of a service's transports.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Bounds {
    /// How long `receive` waits.
    pub(crate) request_timeout: Duration,
    /// How long a transport lives without a request; `None`: for ever.
    pub(crate) session_timeout: Option<Duration>,
    /// Messages that may wait before events are dropped.
    pub(crate) queue_count_max: usize,
    /// Octets that may wait before events are dropped.
    pub(crate) queue_size_max: usize,
    /// Octets that may wait at all; what may not be dropped ends the session when it comes to more.
    pub(crate) queue_size_hard: usize,
    /// An event that finds no room ends the session too.
    pub(crate) ends_slow: bool,
    /// Octets of the body of `send`.
    pub(crate) body_size_max: usize,
    /// How deep messages may be nested.
    pub(crate) nesting_max: NestingDepth,
}

/// The places that a transport takes.
#[derive(Debug)]
pub(super) struct Places {
    /// Among all that are open.
    pub(super) open: Counted,
    /// Among those that have not joined.
    pub(super) joining: Counted,
}

/// A transport.
#[derive(Debug)]
pub(crate) struct Channel {
    key: SessionKey,
    /// Of who has opened it.
    address: Option<IpAddr>,
    serializer: Serializer,
    bounds: Bounds,
    demands: Demands,
    state: RefCell<State>,
    /// Those who wait for messages, or to send some, look again.
    changed: Notify,
    closed: Notify,
    /// Who sends. One at a time: messages keep their order, and little waits in memory.
    sending: Mutex<()>,
    _open: Counted,
}

#[derive(Debug)]
struct State {
    batching: Batching,
    /// Messages that wait, oldest first.
    queue: VecDeque<Vec<u8>>,
    /// Octets of them.
    queued_size: usize,
    joining: Option<Counted>,
    unjoined_size: usize,
    session: Option<u64>,
    /// The session waits for its authorizer.
    is_paused: bool,
    /// Nothing more will come.
    is_over: bool,
    /// The number of the latest `receive`.
    receive_last: u64,
    /// Requests being answered.
    active_count: usize,
    /// When there was a request last.
    heard: Instant,
    /// Events dropped since the queue became full.
    dropped_count: u64,
}

/// A request of the transport is being answered.
pub(super) struct Active<'a>(&'a Channel);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.active_count -= 1;
        state.heard = Instant::now();
    }
}

/// What `receive` gets.
enum Found {
    Body(Vec<u8>),
    /// Somebody else waits now.
    Displaced,
    Over,
    Nothing,
}

impl Channel {
    /// The transport of a guest, opened from this address if it has one.
    pub(super) fn new(
        key: SessionKey,
        address: Option<IpAddr>,
        serializer: Serializer,
        bounds: Bounds,
        demands: Demands,
        places: Places,
    ) -> Rc<Self> {
        let state = State {
            batching: Batching::new(serializer),
            queue: VecDeque::new(),
            queued_size: 0,
            joining: Some(places.joining),
            unjoined_size: 0,
            session: None,
            is_paused: false,
            is_over: false,
            receive_last: 0,
            active_count: 0,
            heard: Instant::now(),
            dropped_count: 0,
        };
        let (changed, closed) = (Notify::new(), Notify::new());
        let (state, sending) = (RefCell::new(state), Mutex::new(()));
        Rc::new(Self {
            key,
            address,
            serializer,
            bounds,
            demands,
            state,
            changed,
            closed,
            sending,
            _open: places.open,
        })
    }

    pub(super) fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// The session's id, once it has joined.
    pub(super) fn session(&self) -> Option<u64> {
        self.state.borrow().session
    }

    /// Keeps the transport alive while a request is answered.
    pub(super) fn active(&self) -> Active<'_> {
        self.state.borrow_mut().active_count += 1;
        Active(self)
    }

    /// Ends the transport; nobody fetches what waits.
    pub(super) fn close(&self) {
        self.finish();
        self.state.borrow_mut().clear();
        self.closed.notify_one();
    }

    /// Takes what comes for the guest until the transport has no further use.
    pub(super) async fn live(&self, mut outputs: mpsc::UnboundedReceiver<GuestOutput>) {
        loop {
            let idle_at = self.idle_at();
            tokio::select! {
                output = outputs.recv() => {
                    if output.is_none_or(|output| self.take(output).is_break()) {
                        break;
                    }
                }
                () = sleep_until(idle_at) => {
                    if self.idle_at().is_some_and(|at| at <= Instant::now()) {
                        tracing::debug!(session = self.session(), "long-poll: no request for too long");
                        self.close();
                    }
                }
                () = self.closed.notified() => break,
            }
        }
        self.finish();
        let is_waiting = !self.state.borrow().queue.is_empty();
        if is_waiting {
            // Those who go are told why.
            let _ = tokio::time::timeout(LINGER, self.closed.notified()).await;
        }
    }

    /// When there has been no request for too long, if none comes until then.
    fn idle_at(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let since = if state.active_count > 0 { Instant::now() } else { state.heard };
        self.bounds.session_timeout.and_then(|timeout| since.checked_add(timeout))
    }

    /// The core hears no more of the guest.
    fn finish(&self) {
        let mut state = self.state.borrow_mut();
        state.joining = None;
        if !std::mem::replace(&mut state.is_over, true) {
            self.wish(Wish::Close(self.key));
        }
        self.changed.notify_waiters();
    }

    fn wish(&self, wish: Wish) {
        // Without a control shard nobody is served either.
        let _ = self.demands.send(Demand::Guest(wish));
    }

    fn take(&self, output: GuestOutput) -> ControlFlow<()> {
        match output {
            GuestOutput::Octets(kind, octets) => return self.queue(kind, octets),
            GuestOutput::Pause => self.state.borrow_mut().is_paused = true,
            GuestOutput::Resume => {
                self.state.borrow_mut().is_paused = false;
                self.changed.notify_waiters();
            }
            GuestOutput::End(_) => return ControlFlow::Break(()),
            GuestOutput::Message(_) => debug_assert!(false, "this guest has a serializer"),
        }
        ControlFlow::Continue(())
    }

    /// A message for the client. Events beyond the bounds are dropped; anything else beyond the hard one ends the session.
    fn queue(&self, kind: MessageType, octets: Vec<u8>) -> ControlFlow<()> {
        if kind == MessageType::Welcome {
            self.joined(&octets);
        }
        let mut state = self.state.borrow_mut();
        let is_event = kind == MessageType::Event;
        if !state.has_room(is_event, octets.len(), &self.bounds) {
            if is_event && !self.bounds.ends_slow {
                if state.dropped_count == 0 {
                    tracing::warn!(session = state.session, "long-poll: slow client, events are dropped");
                }
                state.dropped_count += 1;
                return ControlFlow::Continue(());
            }
            tracing::warn!(session = state.session, "long-poll: session ended, its client is too slow");
            state.clear();
            return ControlFlow::Break(());
        }
        state.queued_size += octets.len();
        state.queue.push_back(octets);
        self.changed.notify_waiters();
        ControlFlow::Continue(())
    }

    fn joined(&self, octets: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.joining = None;
        if let Ok(Message::Welcome { session, .. }) = decode(self.serializer.id, octets) {
            state.session = Some(session.get());
        }
    }

    /// The next messages, as a body; `None`: there were none for long enough, or another request waits instead.
    pub(super) async fn receive(&self) -> Result<Option<Vec<u8>>, Fault> {
        let number = {
            let mut state = self.state.borrow_mut();
            if state.is_over && state.queue.is_empty() {
                return Err(Fault::gone());
            }
            state.receive_last += 1;
            state.receive_last
        };
        self.changed.notify_waiters();
        let deadline = Instant::now() + self.bounds.request_timeout;
        loop {
            let changed = self.changed.notified();
            let found = self.state.borrow_mut().find(number);
            match found {
                Found::Body(body) => return Ok(Some(body)),
                Found::Displaced | Found::Over => return Ok(None),
                Found::Nothing => {}
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Gives the messages of a body to the router. Returns when it has dealt with them.
    pub(super) async fn send(&self, body: Incoming) -> Result<(), Fault> {
        let _turn = self.sending.lock().await;
        self.may_send().await?;
        let (size_max, why, text) = self.sendable();
        let body = match body::read(body, size_max).await {
            Err(error @ BodyError::TooLong(_)) => {
                self.refuse(why, text);
                return Err(error.into());
            }
            body => body?,
        };
        // The session may have ended meanwhile.
        self.may_send().await?;
        self.count_unjoined(body.len());
        let messages = self.state.borrow_mut().batching.split(&body);
        let messages = messages.map_err(|error| self.refuse(Refusal::Message, &error.to_string()))?;
        for octets in messages {
            let message = decode_within(self.serializer.id, octets, self.bounds.nesting_max);
            let message =
                message.map_err(|error| self.refuse(Refusal::of_message(&error), &error.to_string()))?;
            self.wish(Wish::Say(self.key, message.into_owned()));
        }
        let (told, dealt_with) = oneshot::channel();
        self.wish(Wish::Tell(told));
        dealt_with.await.map_err(|_| Fault::gone())
    }

    /// Waits until messages are taken.
    async fn may_send(&self) -> Result<(), Fault> {
        loop {
            let changed = self.changed.notified();
            match &*self.state.borrow() {
                State { is_over: true, .. } => return Err(Fault::gone()),
                State { is_paused: false, .. } => return Ok(()),
                _ => {}
            }
            changed.await;
        }
    }

    /// Octets that the next body may have, and what is wrong with more.
    fn sendable(&self) -> (usize, Refusal, &'static str) {
        let state = self.state.borrow();
        let unjoined_max = UNJOINED_SIZE_MAX - state.unjoined_size;
        if state.joining.is_some() && unjoined_max <= self.bounds.body_size_max {
            return (unjoined_max, Refusal::UnjoinedOctets, "too many octets before joining");
        }
        (self.bounds.body_size_max, Refusal::Size, "too many octets in one request")
    }

    /// Takes note of a body within [`Channel::sendable`] that came before there was a session.
    fn count_unjoined(&self, size: usize) {
        let mut state = self.state.borrow_mut();
        if state.joining.is_some() {
            state.unjoined_size += size;
        }
    }

    /// The client has broken the protocol.
    fn refuse(&self, why: Refusal, text: &str) -> Fault {
        self.wish(Wish::Count(why, self.address));
        self.wish(Wish::Violate(self.key, text.to_owned()));
        Fault::bad(format!("could not unserialize WAMP message: {text}"))
    }
}

impl State {
    /// Whether a message may wait. One longer than the whole queue is taken when nothing else waits.
    fn has_room(&self, is_event: bool, size: usize, bounds: &Bounds) -> bool {
        let size_max = if is_event { bounds.queue_size_max } else { bounds.queue_size_hard };
        let is_crowded = is_event && self.queue.len() >= bounds.queue_count_max;
        self.queue.is_empty() || !is_crowded && self.queued_size.saturating_add(size) <= size_max
    }

    /// What there is for the `receive` of this number.
    fn find(&mut self, number: u64) -> Found {
        if self.receive_last != number {
            return Found::Displaced;
        }
        match self.next_body() {
            Some(body) => Found::Body(body),
            None if self.is_over => Found::Over,
            None => Found::Nothing,
        }
    }

    fn next_body(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(message) = self.queue.front() {
            let is_next =
                body.is_empty() || self.batching.is_batched() && body.len() + message.len() <= BATCH_SIZE_MAX;
            if !is_next {
                break;
            }
            self.queued_size -= message.len();
            self.batching.append(message, &mut body);
            self.queue.pop_front();
        }
        if self.queue.is_empty() && self.dropped_count > 0 {
            let dropped = std::mem::take(&mut self.dropped_count);
            tracing::info!(session = self.session, dropped, "long-poll: the client has caught up");
        }
        (!body.is_empty()).then_some(body)
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.queued_size = 0;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
