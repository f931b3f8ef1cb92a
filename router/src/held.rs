//! Messages that wait for an authorizer.
//!
//! A message whose permission is not known is kept, the authorizer is asked (see [`crate::control`]), and what the session
//! sends meanwhile is kept behind it; nobody else waits. With the answer they go on in their order, from the start: so
//! everything about the message is looked at with the eyes of that moment, and only the permission is taken from the answer.
//! If that has become void in between, the authorizer is asked anew.
//!
//! An authorizer that is slow is waited for with each message. While it is silent, the time that a message has waited already counts:
//! so none waits longer than the time an answer may take, and neither does what needs no permission behind it, such as the
//! answers to calls.
//!
//! What is so kept when the session ends, or loses its transport and may be resumed, counts as never received. Whoever
//! resumes cannot know anyway which of its last messages have arrived, and these are the last.

use std::borrow::Cow;
use std::collections::VecDeque;

use crossring_codec::id::RequestId;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use crate::address::{Now, RealmId, RoleId, SessionKey, ShardId};
use crate::authz::{Action, InHand, Ruling};
use crate::letter::{Letter, Petition};
use crate::lifecycle::NS_PER_MS;
use crate::limits::{HELD_MESSAGES_PAUSE, HELD_OCTETS_PAUSE, LIMIT_EXCEEDED};
use crate::outbox::Outbox;
use crate::session::{Session, State};
use crate::shard::{Deferred, Shard};

/// A session whose messages wait.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) session: Box<Session>,
    /// The petition that is under way. Tells its answer from those to others.
    number: u64,
    /// The answer, until the next turn.
    ruling: Option<Ruling>,
    /// What it is about.
    first: Message<'static>,
    others: VecDeque<Waiting>,
    /// Of the others.
    octets: usize,
    /// The host has been asked to read no further.
    is_paused: bool,
}

/// A message behind others.
#[derive(Debug)]
struct Waiting {
    message: Message<'static>,
    since_ns: u64,
}

impl Held {
    /// Messages that wait, the one that is decided about among them.
    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    fn subject(&self) -> Option<Subject<'_>> {
        subject(&self.first)
    }
}

/// What a message does to what.
type Subject<'a> = (Action, &'a str, Match);

impl Shard {
    /// Keeps a message of a joined session until its authorizer has said whether it may be acted on. The message has been
    /// looked at, and will be again.
    #[cold]
    pub(crate) fn ask_authorizer<O: Outbox>(
        &mut self,
        key: SessionKey,
        first: Message<'static>,
        out: &mut O,
    ) {
        let Some(petition) = self.petition(&first) else { return };
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        let mut session = match std::mem::take(&mut slot.state) {
            State::Established(session) => session,
            other => {
                slot.state = other;
                return;
            }
        };
        session.forget_request(petition.1, self.limits.strict_request_ids);
        let petition = Box::new(petition.0);
        let (number, others) = (petition.number, VecDeque::new());
        let held = Held { session, number, ruling: None, first, others, octets: 0, is_paused: false };
        slot.state = State::Held(Box::new(held));
        self.counters.permissions_asked += 1;
        self.post(ShardId::CONTROL, Letter::Authorize { key, petition }, out);
    }

    fn petition(&mut self, message: &Message<'_>) -> Option<(Petition, RequestId)> {
        let (action, uri, match_policy) = subject(message)?;
        let (options, request) = read_options(message)?;
        self.petition_last += 1;
        let number = self.petition_last;
        let timeout_ms = self.patience_ms.unwrap_or(self.limits.authorizer_timeout_ms);
        Some((Petition { number, action, uri: uri.into(), match_policy, options, timeout_ms }, request))
    }

    /// A message of a session whose earlier ones wait.
    pub(crate) fn hold<O: Outbox>(&mut self, now: Now, key: SessionKey, message: Message<'_>, out: &mut O) {
        if self.answers_the_router(key, &message) {
            self.take_again(now, key, message, out);
            return self.pause_if_due(key, out);
        }
        let Some(held) = self.sessions.held_mut(key) else { return };
        held.octets += size(&message);
        held.others.push_back(Waiting { message: message.into_owned(), since_ns: now.monotonic_ns });
        let is_too_much = held.len() > self.limits.held_messages_per_session_max as usize
            || held.octets > self.limits.held_octets_per_session_max as usize;
        self.counters.messages_held += 1;
        if is_too_much {
            self.leave(key, State::Ended, out);
            return self.abort(key, LIMIT_EXCEEDED, "too many messages while an authorizer is asked", out);
        }
        self.pause_if_due(key, out);
    }

    /// Who sends on is read no further, unless the router waits for an answer of the session, which is behind: then it is as long
    /// as there is plenty of room.
    fn pause_if_due<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        let State::Held(held) = self.sessions.state(key) else { return };
        let is_due = !held.is_paused && (held.len() > HELD_MESSAGES_PAUSE || held.octets > HELD_OCTETS_PAUSE);
        if !is_due || self.has_room(held) && is_asked(&held.session) {
            return;
        }
        if let Some(held) = self.sessions.held_mut(key) {
            held.is_paused = true;
            out.pause_input(key);
        }
    }

    /// A session has been called by the router itself: the answer has to be read.
    pub(crate) fn read_answer<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        let State::Held(held) = self.sessions.state(key) else { return };
        if !held.is_paused || !self.has_room(held) {
            return;
        }
        if let Some(held) = self.sessions.held_mut(key) {
            held.is_paused = false;
            out.resume_input(key);
        }
    }

    fn has_room(&self, held: &Held) -> bool {
        held.len() <= self.limits.held_messages_per_session_max as usize / 2
            && held.octets <= self.limits.held_octets_per_session_max as usize / 2
    }

    /// Whether a message is the answer to a question of the router. Such answers do not wait: the session may be the authorizer
    /// that it waits for.
    fn answers_the_router(&self, key: SessionKey, message: &Message<'_>) -> bool {
        let request = match message {
            Message::Yield { request, .. }
            | Message::Error { request_type: MessageType::Invocation, request, .. } => request,
            _ => return false,
        };
        let callee = self.sessions.get(key).and_then(|session| session.callee.as_ref());
        let invocation = callee.and_then(|callee| callee.invocations.get(&request.get()));
        invocation.is_some_and(|invocation| invocation.is_inquiry)
    }

    /// The registry: what the authorizer says. Acted upon in the next turn.
    pub(crate) fn authorized(&mut self, key: SessionKey, number: u64, ruling: Ruling) {
        let Some(held) = self.sessions.held_mut(key) else { return };
        if held.number != number {
            return;
        }
        self.counters.permissions_failed += u64::from(matches!(ruling, Ruling::Failed { .. }));
        held.ruling = Some(ruling.clone());
        if let (Ruling::Lasting(decision), Some((action, uri, policy))) = (ruling, held.subject()) {
            let (realm, role) = (held.session.realm, held.session.role);
            self.authorization.remember(realm, role, action, uri, policy, decision);
        }
        self.deferred.push_back(Deferred::Authorized { key, number });
    }

    /// The registrations under a pattern have changed: what authorizers among them have said is void.
    pub(crate) fn authorizer_changed(&mut self, realm: RealmId, pattern: &str, policy: Match) {
        let roles = self.authorization.roles_under(realm, pattern, policy);
        if !roles.is_empty() {
            self.forget_decisions(realm, &roles);
        }
    }

    /// What authorizers have said of some roles is void, also where it has not been acted upon.
    pub(crate) fn forget_decisions(&mut self, realm: RealmId, roles: &[RoleId]) {
        for role in roles {
            self.authorization.forget(realm, *role);
        }
        self.broker.forget_routes(realm);
        self.dealer.forget_routes(realm);
        for deferred in &self.deferred {
            let Deferred::Authorized { key, number } = *deferred else { continue };
            let Some(held) = self.sessions.held_mut(key) else { continue };
            if held.number == number && held.session.realm == realm && roles.contains(&held.session.role) {
                held.ruling = None;
            }
        }
    }

    /// Goes on with the messages of a session, up to the next one that an authorizer has to be asked about.
    pub(crate) fn take_ruling<O: Outbox>(&mut self, now: Now, key: SessionKey, number: u64, out: &mut O) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        let held = match std::mem::take(&mut slot.state) {
            State::Held(held) if held.number == number => held,
            other => {
                slot.state = other;
                return;
            }
        };
        let about = held.subject().map(|(action, uri, policy)| (action, Box::from(uri), policy));
        let Held { session, ruling, first, mut others, is_paused, .. } = *held;
        slot.state = State::Established(session);
        let is_silent = matches!(ruling, Some(Ruling::Failed { is_silence: true, .. }));
        let mut in_hand = about.zip(ruling).map(|((action, uri, match_policy), ruling)| InHand {
            action,
            uri,
            match_policy,
            ruling,
        });
        let mut next = Some(first);
        while let Some(message) = next {
            self.authorization.take_in_hand(in_hand.take());
            out.takes_up(key, &message);
            self.take_again(now, key, message, out);
            self.authorization.take_in_hand(None);
            if let Some(held) = self.sessions.held_mut(key) {
                held.octets = others.iter().map(|waiting| size(&waiting.message)).sum();
                held.others.append(&mut others);
                held.is_paused = is_paused;
                self.patience_ms = None;
                return self.pause_if_due(key, out);
            }
            let waiting = others.pop_front();
            self.patience_ms =
                waiting.as_ref().filter(|_| is_silent).map(|waiting| self.patience(now, waiting));
            next = waiting.map(|waiting| waiting.message);
        }
        if is_paused {
            out.resume_input(key);
        }
    }

    /// Milliseconds that are left to a message until it has waited as long as an answer may take.
    fn patience(&self, now: Now, waiting: &Waiting) -> u32 {
        let waited_ms = now.monotonic_ns.saturating_sub(waiting.since_ns) / NS_PER_MS;
        self.limits.authorizer_timeout_ms.saturating_sub(u32::try_from(waited_ms).unwrap_or(u32::MAX))
    }

    /// A message that was kept; it has been counted.
    fn take_again<O: Outbox>(&mut self, now: Now, key: SessionKey, message: Message<'_>, out: &mut O) {
        if self.sessions.get(key).is_none() {
            return self.unjoined_message(now, key, message, out);
        }
        if let Err(violation) = self.joined_message(now, key, message, out) {
            self.violate(key, violation.0, out);
        }
    }

    /// The session of a transport that is over, and what has waited with it.
    pub(crate) fn release_held<O: Outbox>(
        &mut self,
        key: SessionKey,
        held: Held,
        out: &mut O,
    ) -> Box<Session> {
        self.counters.messages_dropped += held.len() as u64;
        if held.is_paused {
            out.resume_input(key);
        }
        held.session
    }
}

/// Whether the router waits for an answer of the session.
fn is_asked(session: &Session) -> bool {
    let Some(callee) = &session.callee else { return false };
    callee.invocations.values().any(|invocation| invocation.is_inquiry)
}

fn subject<'a>(message: &'a Message<'_>) -> Option<Subject<'a>> {
    match message {
        Message::Publish { topic, .. } => Some((Action::Publish, topic, Match::Exact)),
        Message::Call { procedure, .. } => Some((Action::Call, procedure, Match::Exact)),
        Message::Subscribe { topic, options, .. } => Some((Action::Subscribe, topic, options.match_policy)),
        Message::Register { procedure, options, .. } => {
            Some((Action::Register, procedure, options.match_policy))
        }
        _ => None,
    }
}

/// The options of a message as they are on the wire, and its request. The payload, which may be long, is left alone.
fn read_options(message: &Message<'_>) -> Option<(Dict, RequestId)> {
    let payload = Payload::EMPTY;
    let (bare, request) = match message {
        Message::Publish { request, options, topic, .. } => {
            let (request, options, topic) = (*request, options.clone(), Cow::Borrowed(&**topic));
            (Message::Publish { request, options, topic, payload }, request)
        }
        Message::Call { request, options, procedure, .. } => {
            let (request, options, procedure) = (*request, options.clone(), Cow::Borrowed(&**procedure));
            (Message::Call { request, options, procedure, payload }, request)
        }
        Message::Subscribe { request, .. } | Message::Register { request, .. } => (message.clone(), *request),
        _ => return None,
    };
    Some((wire_options(&bare), request))
}

/// The third element of a message: options or details.
pub(crate) fn wire_options(message: &Message<'_>) -> Dict {
    let mut octets = Vec::new();
    let encoded = encode(SerializerId::MessagePack, message, &mut octets);
    let elements = encoded.ok().and_then(|()| Value::decode(SerializerId::MessagePack, &octets).ok());
    match elements {
        Some(Value::List(elements)) => match elements.into_iter().nth(2) {
            Some(Value::Dict(options)) => options,
            _ => Dict::new(),
        },
        _ => Dict::new(),
    }
}

/// About how many octets a message takes while it is kept.
fn size(message: &Message<'_>) -> usize {
    let variable = match message {
        Message::Publish { topic, payload, options, .. } => {
            let listed = options.extra.as_ref().map_or(0, |extra| {
                let ids =
                    [&extra.exclude, &extra.eligible].into_iter().flatten().map(Vec::len).sum::<usize>();
                let texts = [
                    &extra.exclude_authid,
                    &extra.exclude_authrole,
                    &extra.eligible_authid,
                    &extra.eligible_authrole,
                ];
                let texts = texts.into_iter().flatten().flatten();
                ids * size_of::<u64>() + texts.map(|text| text.len() + size_of::<String>()).sum::<usize>()
            });
            topic.len() + payload.octets.len() + listed
        }
        Message::Call { procedure, payload, .. } => procedure.len() + payload.octets.len(),
        Message::Yield { payload, .. } | Message::Error { payload, .. } => payload.octets.len(),
        Message::Subscribe { topic: uri, .. } | Message::Register { procedure: uri, .. } => uri.len(),
        _ => 0,
    };
    variable + size_of::<Message<'_>>()
}
