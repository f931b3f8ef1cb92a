//! A whole node in one thread: a data shard and the control half, with a host that throws away what is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_codec::id::{RequestId, SessionId};
use crossring_codec::message::{CallOptions, ClientRoles, Features, HelloDetails, Message};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::control::Control;
use crossring_router::details::TransportDetails;
use crossring_router::input::Input;
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;
use crossring_router::outbox::{EndCause, Outbox, Post, Refused};
use crossring_router::shard::Shard;

use crate::router::config;

const HERE: ShardId = ShardId(0);

/// A node with one data shard.
#[derive(Debug)]
pub struct Node {
    shard: Shard,
    control: Control,
    sink: Sink,
    now: Now,
    sessions: u32,
    request: RequestId,
    transport: Arc<TransportDetails>,
}

#[derive(Debug, Default)]
struct Sink {
    to_control: VecDeque<Letter>,
    to_shard: VecDeque<Letter>,
    welcomed: Option<SessionId>,
    /// Octets of payload of the last RESULT.
    result: Option<usize>,
}

impl Post for Sink {
    fn post(&mut self, to: ShardId, letter: Letter) {
        let queue = if to == HERE { &mut self.to_shard } else { &mut self.to_control };
        queue.push_back(letter);
    }
}

impl Outbox for Sink {
    fn send(&mut self, _session: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        match message {
            Message::Welcome { session, .. } => self.welcomed = Some(*session),
            Message::Result { payload, .. } => self.result = Some(payload.octets.len()),
            other => panic!("unexpected: {other:?}"),
        }
        Ok(())
    }

    fn fan_out(&mut self, event: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {
        panic!("unexpected: {event:?}");
    }

    fn end(&mut self, session: SessionKey, cause: EndCause) {
        panic!("session {session:?} ended: {cause:?}");
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// A node with one realm in which anonymous sessions may do everything.
    pub fn new() -> Self {
        let config = Arc::new(config().with_trusted_role());
        let mut node = Self {
            shard: Shard::new(HERE, 2, Arc::clone(&config), Limits::default(), 1),
            control: Control::new(1, config, Limits::default(), 2),
            sink: Sink::default(),
            now: Now { monotonic_ns: 1, unix_ms: 1 },
            sessions: 0,
            request: RequestId::from_random(0),
            transport: Arc::default(),
        };
        node.control.start(node.now, &mut node.sink);
        node.settle();
        node
    }

    /// Another session that has joined.
    pub fn join(&mut self) -> (SessionKey, SessionId) {
        let key = SessionKey { slot: self.sessions, generation: 0 };
        self.sessions += 1;
        let details = Arc::clone(&self.transport);
        self.input(Input::Opened { key, transport: TransportId(0), details });
        let roles = ClientRoles::all(Features::default());
        let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
        self.input(Input::Message { key, message: Message::Hello { realm: Some("realm1".into()), details } });
        self.settle();
        (key, self.sink.welcomed.take().expect("admitted"))
    }

    /// One CALL until its RESULT is sent; octets of the result's payload.
    pub fn call(&mut self, caller: SessionKey, procedure: &str, arguments: &[Value]) -> usize {
        let request = self.request;
        self.request = request.next();
        let (options, procedure) = (CallOptions::default(), procedure.into());
        let payload = Payload::from_values(SerializerId::MessagePack, arguments, &Dict::new());
        let message = Message::Call { request, options, procedure, payload };
        self.input(Input::Message { key: caller, message });
        self.settle();
        self.sink.result.take().expect("answered")
    }

    fn input(&mut self, input: Input<'_>) {
        self.shard.handle(self.now, input, &mut self.sink);
    }

    /// Carries letters between shard and control until there are none.
    fn settle(&mut self) {
        loop {
            if let Some(letter) = self.sink.to_control.pop_front() {
                self.control.handle(self.now, HERE, letter, &mut self.sink);
            } else if let Some(letter) = self.sink.to_shard.pop_front() {
                self.input(Input::Letter { from: ShardId::CONTROL, letter });
            } else if self.shard.has_deferred() {
                self.shard.resume(self.now, &mut self.sink);
            } else {
                return;
            }
        }
    }
}
