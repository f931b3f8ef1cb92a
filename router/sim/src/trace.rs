//! The trace of a run: a hash that two runs of a seed must share, and lines for people.

use std::io::Write as _;

use crossring_codec::message::Message;
use crossring_codec::payload::Payload;

use crate::observation::Observation;
use crate::tag::Tag;

/// Hashes what happens, and prints it if asked to.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    messages: u64,
    log: bool,
}

impl Trace {
    /// An empty trace.
    pub const fn new(log: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, messages: 0, log }
    }

    /// The hash so far.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Messages handled and sent by shards so far.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes in what happened.
    pub fn record(&mut self, tick: u64, observation: &Observation<'_>) {
        self.mix(tick);
        match observation {
            Observation::Opened { peer, shard, .. } => self.words(1, peer.0, u64::from(shard.0)),
            Observation::Arrived { peer, message } => self.message(2, peer.0, message),
            Observation::Emitted { peer, message } => self.message(3, peer.0, message),
            Observation::Dropped { peer, message } => self.message(4, peer.0, message),
            Observation::Received { peer, message } => self.message(5, peer.0, message),
            Observation::Ended { peer, cause } => self.words(6, peer.0, *cause as u64),
            Observation::Broken { peer } => self.words(7, peer.0, 0),
            Observation::Closed { peer, unread } => self.words(8, peer.0, *unread),
            Observation::Posted { from, to, letter } => {
                self.words(9, u32::from(from.0), u64::from(to.0) << 8 | letter.lane() as u64);
            }
            Observation::ShutDown => self.words(10, 0, 0),
            Observation::TakenUp { peer, message } => self.message(11, peer.0, message),
            Observation::Paused { peer } => self.words(12, peer.0, 0),
            Observation::Unpaused { peer } => self.words(13, peer.0, 0),
            Observation::Handled { .. } => return,
        }
        if self.log {
            _ = writeln!(std::io::stdout(), "{tick:>6} {}", line(observation));
        }
    }

    fn words(&mut self, kind: u64, peer: u32, word: u64) {
        self.mix(kind << 32 | u64::from(peer));
        self.mix(word);
    }

    fn message(&mut self, kind: u64, peer: u32, message: &Message<'_>) {
        self.messages += u64::from(matches!(kind, 2..=4));
        self.words(kind, peer, u64::from(message.message_type().code()));
        let (first, second) = ids(message);
        self.mix(first);
        self.mix(second);
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

/// The ids of a message, in the order of the specification; 0 where there is none.
pub(crate) fn ids(message: &Message<'_>) -> (u64, u64) {
    match message {
        Message::Welcome { session, .. } => (session.get(), 0),
        Message::Error { request_type, request, .. } => (u64::from(request_type.code()), request.get()),
        Message::Publish { request, .. }
        | Message::Subscribe { request, .. }
        | Message::Call { request, .. }
        | Message::Cancel { request, .. }
        | Message::Result { request, .. }
        | Message::Register { request, .. }
        | Message::Interrupt { request, .. }
        | Message::Yield { request, .. } => (request.get(), 0),
        Message::Published { request, publication } => (request.get(), publication.get()),
        Message::Subscribed { request, subscription } | Message::Unsubscribe { request, subscription } => {
            (request.get(), subscription.get())
        }
        Message::Registered { request, registration }
        | Message::Unregister { request, registration }
        | Message::Invocation { request, registration, .. } => (request.get(), registration.get()),
        Message::Unsubscribed { request, .. } | Message::Unregistered { request, .. } => {
            (request.map_or(0, |id| id.get()), 0)
        }
        Message::Event { subscription, publication, .. } => (subscription.get(), publication.get()),
        Message::EventReceived { publication } => (publication.get(), 0),
        _ => (0, 0),
    }
}

/// What happened, in one line.
fn line(observation: &Observation<'_>) -> String {
    match observation {
        Observation::Opened { peer, shard, transport, honest } => {
            let kind = if *honest { "" } else { " hostile" };
            format!("p{:<3} opened on shard {} transport {}{kind}", peer.0, shard.0, transport.0)
        }
        Observation::Arrived { peer, message } | Observation::Handled { peer, message } => {
            format!("p{:<3} >  {}", peer.0, shown(message))
        }
        Observation::TakenUp { peer, message } => format!("p{:<3} >> {}", peer.0, shown(message)),
        Observation::Paused { peer } => format!("p{:<3} paused", peer.0),
        Observation::Unpaused { peer } => format!("p{:<3} goes on", peer.0),
        Observation::Emitted { peer, message } => format!("p{:<3} <  {}", peer.0, shown(message)),
        Observation::Dropped { peer, message } => format!("p{:<3} <x {}", peer.0, shown(message)),
        Observation::Received { peer, message } => format!("p{:<3} << {}", peer.0, shown(message)),
        Observation::Ended { peer, cause } => format!("p{:<3} ended: {cause:?}", peer.0),
        Observation::Broken { peer } => format!("p{:<3} broken", peer.0),
        Observation::Closed { peer, unread } => format!("p{:<3} closed, {unread} unread", peer.0),
        Observation::Posted { from, to, letter } => format!("s{} → s{} {letter:?}", from.0, to.0),
        Observation::ShutDown => "shutdown".into(),
    }
}

/// A message in one line.
pub fn shown(message: &Message<'_>) -> String {
    let name = message.message_type().name();
    let (first, second) = ids(message);
    let rest = match message {
        Message::Hello { realm, details } => {
            format!("{realm:?} {:?} {:?}", details.authmethods, details.authid)
        }
        Message::Abort { reason, details } | Message::Goodbye { reason, details } => {
            format!("{reason} {:?}", details.message)
        }
        Message::Error { error, payload, .. } => format!("{error}{}", shown_tag(Tag::read(payload))),
        Message::Publish { topic, options, payload, .. } => {
            format!("{topic}{} {options:?}", shown_tag(Tag::read(payload)))
        }
        Message::Subscribe { topic, options, .. } => format!("{topic} {}", options.match_policy.as_str()),
        Message::Register { procedure, options, .. } => {
            format!("{procedure} {} {}", options.match_policy.as_str(), options.invoke.as_str())
        }
        Message::Event { payload, details, .. } => {
            let retained = if details.retained { " retained" } else { "" };
            format!("{} {}{retained}", shown_payload(payload), details.topic.as_deref().unwrap_or_default())
        }
        Message::Call { procedure, options, payload, .. } => {
            format!("{procedure}{} {options:?}", shown_payload(payload))
        }
        Message::Cancel { options, .. } => options.mode.as_str().into(),
        Message::Interrupt { options, .. } => options.mode.as_str().into(),
        Message::Invocation { payload, .. } => shown_tag(Tag::read(payload)),
        Message::Result { payload, details, .. } | Message::Yield { payload, options: details, .. } => {
            let progress = if details.progress { " progress" } else { "" };
            format!("{}{progress}", shown_payload(payload))
        }
        _ => String::new(),
    };
    format!("{name} {first} {second} {rest}")
}

/// The tag, or else the values.
fn shown_payload(payload: &Payload<'_>) -> String {
    match (Tag::read(payload), payload.arguments(), payload.keywords()) {
        (None, Ok(arguments), Ok(keywords)) => format!(" {arguments:?} {keywords:?}"),
        (tag, ..) => shown_tag(tag),
    }
}

fn shown_tag(tag: Option<Tag>) -> String {
    tag.map_or_else(|| " untagged".into(), |tag| format!(" #{}.{}", tag.number, tag.part))
}
