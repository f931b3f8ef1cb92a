//! Messages that wait for an authorizer, and the order in which they are acted upon.
//!
//! A message of a session whose role has an authorizer is taken in hand when it arrives. Whether it is acted upon or kept shows
//! in what the shard does next: it posts a question, or something else, or nothing.

use std::collections::VecDeque;

use crossring_codec::id::RequestId;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::uri::Match;
use crossring_router::address::ShardId;
use crossring_router::letter::{self, Petition, Ruling};

use super::authority::Wanted;
use super::{Key, Model, Session};
use crate::clock::ticks;
use crate::observation::Peer;
use crate::realm::Action;
use crate::tag::Tag;
use crate::trace::ids;

/// Messages of a session that wait.
#[derive(Clone, Debug)]
pub struct Held {
    /// The shard's number of the question; absent: there is none just now.
    pub number: Option<u64>,
    /// What is asked for.
    pub wanted: Wanted,
    /// When it was asked, beside what else is ordered.
    pub since: u64,
    /// The same as a tick.
    pub tick: u64,
    /// Until when the answer may take.
    pub due_tick: u64,
    /// What the shard has been told, and when.
    pub ruling: Option<(Ruling, u64)>,
    /// In the order of their arrival.
    pub messages: VecDeque<Message<'static>>,
}

/// A message that is kept or acted upon, nobody knows yet.
#[derive(Debug)]
pub struct InHand {
    /// Whose.
    pub peer: Peer,
    /// The message.
    pub message: Message<'static>,
    /// What has been decided about it.
    decided: Option<Held>,
}

/// What becomes of a message.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Course {
    /// The shard acts upon it.
    Now,
    /// It shows in what the shard does next.
    Open,
    /// It waits behind others.
    Waits,
}

impl Model {
    /// A message has come.
    pub fn arrived(&mut self, peer: Peer, message: &Message<'static>) -> Course {
        let waits = !matches!(message, Message::Abort { .. }) && !self.answers_the_router(peer, message);
        let held = self.held_mut(peer).filter(|held| held.number.is_some() && waits);
        if let Some(held) = held {
            held.messages.push_back(message.clone());
            return Course::Waits;
        }
        self.take_in_hand(peer, message, None)
    }

    /// A message that has waited is acted upon, or asked about.
    ///
    /// # Errors
    /// It is not the one whose turn it is.
    pub fn taken_up(&mut self, peer: Peer, message: &Message<'static>) -> Result<Course, String> {
        let answer = answered(message).map(|request| (peer, request));
        if answer.is_some_and(|answer| self.answers_early.contains(&answer)) {
            return Ok(Course::Now);
        }
        let Some(held) = self.held_mut(peer) else {
            // Its session has ended by the message before, or has lost its transport, of which the shard does not know.
            if self.peer(peer).is_some_and(|record| record.over) {
                self.posthumous.extend(number(message));
                let is_gone = self.session_of(peer).is_none();
                self.deliveries_doubtful +=
                    u64::from(is_gone && matches!(message, Message::EventReceived { .. }));
            }
            return Ok(self.take_in_hand(peer, message, None));
        };
        let decided = held.number.take().map(|_| held.clone());
        let first = held.messages.pop_front();
        self.peer_mut(peer, |record| _ = record.held.take_if(|held| held.messages.is_empty()));
        let is_it = |first: &Message<'_>| {
            first.message_type() == message.message_type() && ids(first) == ids(message)
        };
        match first {
            Some(first) if is_it(&first) => Ok(self.take_in_hand(peer, &first, decided)),
            first => Err(format!(
                "{} of p{} is acted upon instead of {:?}",
                message.message_type().name(),
                peer.0,
                first.map(|first| first.message_type().name())
            )),
        }
    }

    /// Whether a message answers a question of the router. Such answers do not wait: their session may be the one that is asked
    /// about itself. They do if the router has given the question up, which nobody sees.
    fn answers_the_router(&mut self, peer: Peer, message: &Message<'_>) -> bool {
        let Some(index) = self.peer(peer).and_then(|record| record.session) else { return false };
        let is_it = answered(message).filter(|request| self.is_question(index, *request));
        self.answers_early.extend(is_it.map(|request| (peer, request)));
        is_it.is_some()
    }

    fn take_in_hand(&mut self, peer: Peer, message: &Message<'static>, decided: Option<Held>) -> Course {
        let asks = |session: &Session| self.role(session).authorizer.is_some();
        if subject(message).is_none() || !self.session_of(peer).is_none_or(asks) {
            return Course::Now;
        }
        self.in_hand = Some(InHand { peer, message: message.clone(), decided });
        Course::Open
    }

    /// A shard asks about the message in hand, which it keeps.
    ///
    /// # Errors
    /// There is none, or the shard asks about something else.
    pub fn asked(&mut self, petition: &Petition) -> Result<(), String> {
        let Some(in_hand) = self.in_hand.take() else {
            return Err(format!("{} {} is asked for by nobody", petition.action.as_str(), petition.uri));
        };
        if self.session_of(in_hand.peer).is_none() {
            return Ok(());
        }
        let (since, tick) = (self.next_order(), self.tick);
        let due_tick = tick + ticks(u64::from(petition.timeout_ms));
        let asked = Wanted {
            action: petition.action.into(),
            key: Key { uri: petition.uri.to_string(), policy: petition.match_policy },
        };
        let wanted = subject(&in_hand.message).filter(|wanted| *wanted == asked);
        let Some(wanted) = wanted else {
            return Err(format!("{asked:?} is asked for instead of {:?}", in_hand.message));
        };
        self.peer_mut(in_hand.peer, |record| {
            let mut messages = record.held.take().map(|held| held.messages).unwrap_or_default();
            messages.push_front(in_hand.message);
            let number = Some(petition.number);
            record.held = Some(Held { number, wanted, since, tick, due_tick, ruling: None, messages });
        });
        Ok(())
    }

    /// The message in hand is acted upon; what it is to get is known until [`Model::has_acted`].
    pub fn act_upon(&mut self) -> Option<(Peer, Message<'static>)> {
        let in_hand = self.in_hand.take()?;
        if let (Some(session), Some(wanted)) = (self.session_of(in_hand.peer), subject(&in_hand.message)) {
            self.verdict = Some(self.ruled(session, &wanted, in_hand.decided.as_ref()));
        }
        Some((in_hand.peer, in_hand.message))
    }

    /// The message in hand has been acted upon.
    pub const fn has_acted(&mut self) {
        self.verdict = None;
    }

    /// The messages of a session on a shard that wait for the answer to a question, and the session.
    pub fn held_by(&self, shard: ShardId, number: u64) -> Option<(&Session, &Held)> {
        self.live.iter().find_map(|index| {
            let session = &self.sessions[*index];
            let held = self.peer(session.peer)?.held.as_ref()?;
            (session.shard == shard && held.number == Some(number)).then_some((session, held))
        })
    }

    /// A shard is told what an authorizer has said.
    pub(super) fn note_ruling(&mut self, shard: ShardId, number: u64, ruling: &Ruling) {
        let order = self.next_order();
        let Some(peer) = self.held_by(shard, number).map(|(session, _)| session.peer) else { return };
        if let Some(held) = self.held_mut(peer) {
            held.ruling = Some((ruling.clone(), order));
        }
    }

    /// Whether a payload is that of a message that may have been acted upon, but whose session had lost its transport.
    pub fn is_posthumous(&self, payload: &Payload<'_>) -> bool {
        Tag::read(payload).is_some_and(|tag| self.posthumous.contains(&tag.number))
    }

    fn held_mut(&mut self, peer: Peer) -> Option<&mut Held> {
        self.peers.get_mut(peer.index())?.as_mut()?.held.as_mut()
    }
}

impl From<letter::Action> for Action {
    fn from(action: letter::Action) -> Self {
        match action {
            letter::Action::Call => Action::Call,
            letter::Action::Register => Action::Register,
            letter::Action::Publish => Action::Publish,
            letter::Action::Subscribe => Action::Subscribe,
        }
    }
}

/// The invocation that a message answers.
const fn answered(message: &Message<'_>) -> Option<RequestId> {
    match message {
        Message::Yield { request, .. }
        | Message::Error { request_type: MessageType::Invocation, request, .. } => Some(*request),
        _ => None,
    }
}

/// The number of a publication or call.
fn number(message: &Message<'_>) -> Option<usize> {
    match message {
        Message::Publish { payload, .. } | Message::Call { payload, .. } => Some(Tag::read(payload)?.number),
        _ => None,
    }
}

/// What a message needs permission for.
fn subject(message: &Message<'_>) -> Option<Wanted> {
    let (action, uri, policy) = match message {
        Message::Publish { topic, .. } => (Action::Publish, topic, Match::Exact),
        Message::Call { procedure, .. } => (Action::Call, procedure, Match::Exact),
        Message::Subscribe { topic, options, .. } => (Action::Subscribe, topic, options.match_policy),
        Message::Register { procedure, options, .. } => (Action::Register, procedure, options.match_policy),
        _ => return None,
    };
    Some(Wanted { action, key: Key { uri: uri.to_string(), policy } })
}
