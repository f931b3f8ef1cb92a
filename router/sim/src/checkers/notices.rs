//! Meta events: each tells of something that has happened, once, and in the documented order: a session joins before all
//! else and leaves last, what it held begins to exist before its first member and is deleted after its last. Who watches
//! everything misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::payload::Payload;
use crossring_codec::uri::{Match, is_reserved};
use crossring_codec::value::Value;

use crate::clock::{from_rfc3339, ticks};
use crate::model::{Kind, Model, PendingKind, Session, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::Tag;

/// What watchers have been told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    watchers: BTreeMap<(SessionIndex, SubscriptionId), Watcher>,
    /// Sessions that have been told that they hold something (kind, id, session), and when they asked for it first.
    acknowledged: BTreeMap<(bool, u64, SessionIndex), u64>,
}

/// A subscription to meta events.
#[derive(Debug)]
struct Watcher {
    since: u64,
    /// It gets all of them.
    sees_all: bool,
    joined: BTreeSet<u64>,
    left: BTreeSet<u64>,
    /// Sessions that any event was about.
    named: BTreeSet<u64>,
    subscriptions: Entries,
    registrations: Entries,
}

/// What a watcher knows of subscriptions or registrations.
#[derive(Debug, Default)]
struct Entries {
    created: BTreeSet<u64>,
    /// Of those, what was created after the watcher came: of older ones it may have been told late and not of all.
    complete: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    /// Id and session.
    members: BTreeSet<(u64, u64)>,
    members_ever: BTreeSet<(u64, u64)>,
}

impl Notices {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        match message {
            Message::Event { subscription, details, payload, .. } => {
                self.event(model, *peer, *subscription, details.topic.as_deref(), payload)
            }
            Message::Subscribed { .. } | Message::Registered { .. } => {
                self.acknowledge(model, *peer, message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn acknowledge(&mut self, model: &Model, peer: Peer, message: &Message<'_>) {
        let Some(index) = model.peer(peer).and_then(|record| record.session) else { return };
        let session = &model.sessions[index];
        match message {
            Message::Registered { request, registration } => {
                let pending = session.pending(MessageType::Register, *request);
                let tick = pending.map_or(0, |pending| pending.tick);
                self.acknowledged.entry((false, registration.get(), index)).or_insert(tick);
            }
            Message::Subscribed { request, subscription } => {
                let Some(pending) = session.pending(MessageType::Subscribe, *request) else { return };
                let PendingKind::Subscribe(key) = &pending.kind else { return };
                if !is_reserved(&key.uri) {
                    // Of several requests, any may be the one that the registry has been told of.
                    let asked = session.requests.iter().filter(
                        |other| matches!(&other.kind, PendingKind::Subscribe(wanted) if wanted == key),
                    );
                    let tick = asked.map(|other| other.tick).min().unwrap_or_default();
                    self.acknowledged.entry((true, subscription.get(), index)).or_insert(tick);
                } else if session.subscription(*subscription).is_none() {
                    let sees_all = key.uri == "wamp." && key.policy == Match::Prefix;
                    self.watchers.insert((index, *subscription), Watcher::new(model.tick, sees_all));
                }
            }
            _ => {}
        }
    }

    fn event(
        &mut self,
        model: &Model,
        peer: Peer,
        subscription: SubscriptionId,
        topic: Option<&str>,
        payload: &Payload<'_>,
    ) -> Result<(), String> {
        let Some(index) = model.peer(peer).and_then(|record| record.session) else { return Ok(()) };
        let Some(held) = model.sessions[index].subscription(subscription) else { return Ok(()) };
        let topic = topic.unwrap_or(&held.key.uri);
        if !is_reserved(topic) {
            return self.testament(model, index, payload);
        }
        if topic.starts_with("wamp.schema.") || topic.starts_with("wamp.reflect.") {
            return Ok(()); // of no session
        }
        let Some(watcher) = self.watchers.get_mut(&(index, subscription)) else { return Ok(()) };
        watcher.sees_all &= !model.may_lose_events(&model.sessions[index]);
        let arguments = payload.arguments().map_err(|error| error.to_string())?;
        let told = watcher.told(model, model.sessions[index].realm, topic, &arguments);
        told.map_err(|text| format!("{topic} {arguments:?} for p{}: {text}", peer.0))
    }

    /// A testament comes before the news of the end of its session.
    fn testament(&self, model: &Model, index: SessionIndex, payload: &Payload<'_>) -> Result<(), String> {
        let publication = Tag::read(payload).and_then(|tag| model.publication(tag.number));
        let Some(publication) = publication.filter(|publication| publication.is_testament) else {
            return Ok(());
        };
        let publisher = &model.sessions[publication.publisher];
        if model.role(publisher).authorizer.is_some() {
            return Ok(()); // the authorizer is asked again
        }
        let publisher = publisher.id.get();
        let own = self.watchers.iter().filter(|((watching, _), _)| *watching == index);
        for (_, watcher) in own {
            if watcher.left.contains(&publisher) {
                return Err(format!("a testament on {} follows on_leave", publication.topic));
            }
        }
        Ok(())
    }

    /// Nobody has been told of what was not so, and who sees all has been told of all.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for ((index, subscription), watcher) in &self.watchers {
            let session = &model.sessions[*index];
            if !session.live || session.subscription(*subscription).is_none() || model.shut_down {
                continue;
            }
            let missing = self.untrue(model, watcher).or_else(|| self.missing(model, session, watcher));
            if let Some(text) = missing {
                return Err(format!("p{} since tick {}: {text}", session.peer.0, watcher.since));
            }
        }
        Ok(())
    }

    fn untrue(&self, model: &Model, watcher: &Watcher) -> Option<String> {
        for (entries, is_subscription) in [(&watcher.subscriptions, true), (&watcher.registrations, false)] {
            for (id, session) in &entries.members_ever {
                let known = model.live.iter().find(|index| model.sessions[**index].id.get() == *session);
                // Who loses its transport is not told of what it has got, and does not keep it.
                let Some(index) = known.filter(|index| !model.sessions[**index].was_away(0)) else {
                    continue;
                };
                if !self.acknowledged.contains_key(&(is_subscription, *id, *index)) {
                    return Some(format!("session {session} was said to hold {id}"));
                }
            }
        }
        None
    }

    fn missing(&self, model: &Model, own: &Session, watcher: &Watcher) -> Option<String> {
        if !watcher.sees_all || model.may_lose_events(own) {
            return None;
        }
        let silence = model.may_be_silent();
        let is_new = |session: &&Session| {
            let admitted = model.admitted.get(&session.id.get());
            session.realm == own.realm
                && !model.is_of_router(session)
                && admitted.is_some_and(|(_, tick)| *tick > watcher.since)
        };
        for session in model.sessions.iter().filter(is_new) {
            let id = session.id.get();
            if !watcher.joined.contains(&id) {
                return Some(format!("not told that session {id} has joined"));
            }
            if !session.live && !silence && !watcher.left.contains(&id) {
                return Some(format!("not told that session {id} has left"));
            }
        }
        for ((is_subscription, id, index), tick) in &self.acknowledged {
            let session = &model.sessions[*index];
            if session.realm != own.realm || *tick <= watcher.since || model.is_of_router(session) {
                continue;
            }
            let entries = if *is_subscription { &watcher.subscriptions } else { &watcher.registrations };
            if !entries.members_ever.contains(&(*id, session.id.get())) {
                return Some(format!("not told that session {} holds {id}", session.id.get()));
            }
        }
        if silence { None } else { watcher.unfinished(model, own.realm) }
    }
}

impl Watcher {
    fn new(since: u64, sees_all: bool) -> Self {
        Self {
            since,
            sees_all,
            joined: BTreeSet::new(),
            left: BTreeSet::new(),
            named: BTreeSet::new(),
            subscriptions: Entries::default(),
            registrations: Entries::default(),
        }
    }

    fn told(&mut self, model: &Model, realm: usize, topic: &str, arguments: &[Value]) -> Result<(), String> {
        let first = arguments.first().unwrap_or(&Value::Null);
        let session = first.as_integer().or_else(|| first.get("session")?.as_integer()).unwrap_or(-1) as u64;
        if model.admitted.get(&session).is_none_or(|(other, _)| *other != realm) {
            return Err("of a session that is not of this realm".into());
        }
        let known = model.sessions.iter().find(|known| known.id.get() == session);
        if known.is_some_and(|known| model.is_of_router(known)) {
            return Err("of a session of a router".into());
        }
        if self.left.contains(&session) {
            return Err("after the session has left".into());
        }
        let is_first = self.named.insert(session);
        match topic {
            "wamp.session.on_join" if is_first => {
                self.joined.insert(session);
                identity(model, session, [text(first, "authid"), text(first, "authrole")])
            }
            "wamp.session.on_join" => Err("after something else of the session".into()),
            "wamp.session.on_stats" => Ok(()), // has a checker of its own
            "wamp.session.on_leave" => self.leave(model, session, arguments),
            _ => {
                let Some((kind, rest)) = topic.trim_start_matches("wamp.").split_once('.') else {
                    return Err("of no topic that there is".into());
                };
                let (kind, entries) = match kind {
                    "registration" => (Kind::Registration, &mut self.registrations),
                    _ => (Kind::Subscription, &mut self.subscriptions),
                };
                entries.told(model, self.sees_all.then_some(self.since), kind, rest, session, arguments)
            }
        }
    }

    fn leave(&mut self, model: &Model, session: u64, arguments: &[Value]) -> Result<(), String> {
        self.left.insert(session);
        let known = model.sessions.iter().find(|known| known.id.get() == session);
        if known.is_some_and(|known| known.live) {
            return Err("of a session that lives".into());
        }
        if known.is_some_and(|known| known.silenced) {
            return Err("of a session that was killed with all others".into());
        }
        let is_new = model.admitted.get(&session).is_some_and(|(_, tick)| *tick > self.since);
        if self.sees_all && is_new && !self.joined.contains(&session) {
            return Err("of a session that has never joined".into());
        }
        let word = |index: usize| arguments.get(index).and_then(Value::as_str).unwrap_or_default();
        identity(model, session, [word(1), word(2)])
    }

    /// What has ended without this watcher being told.
    fn unfinished(&self, model: &Model, realm: usize) -> Option<String> {
        let live = || model.live.iter().map(|index| &model.sessions[*index]);
        for (entries, is_subscription) in [(&self.subscriptions, true), (&self.registrations, false)] {
            let holds = |session: &Session, id: u64| {
                let subscription = session.subscriptions.iter().any(|held| held.id.get() == id);
                let registration = session.registrations.iter().any(|held| held.id.get() == id);
                session.realm == realm && if is_subscription { subscription } else { registration }
            };
            for (id, member) in entries.members.iter().filter(|(id, _)| entries.complete.contains(id)) {
                if !live().any(|session| session.id.get() == *member && holds(session, *id)) {
                    return Some(format!("not told that session {member} holds {id} no more"));
                }
            }
            // What a link held last is deleted silently.
            let kind = if is_subscription { Kind::Subscription } else { Kind::Registration };
            let of_link = |id: u64| {
                let mut held = model.holdings.iter().filter(|held| held.kind == kind && held.id == id);
                held.any(|held| {
                    model.is_of_router(&model.sessions[held.session])
                        || model.was_wanted_by_link(held.realm, &held.key)
                })
            };
            for id in entries.complete.difference(&entries.deleted).filter(|id| !of_link(**id)) {
                if !live().any(|session| holds(session, *id)) {
                    return Some(format!("not told that {id} is deleted"));
                }
            }
        }
        None
    }
}

impl Entries {
    fn told(
        &mut self,
        model: &Model,
        sees_all_since: Option<u64>,
        kind: Kind,
        event: &str,
        session: u64,
        arguments: &[Value],
    ) -> Result<(), String> {
        let second = arguments.get(1).unwrap_or(&Value::Null);
        let id = second.as_integer().or_else(|| second.get("id")?.as_integer()).unwrap_or(-1) as u64;
        if self.deleted.contains(&id) {
            return Err("after it was deleted".into());
        }
        if event == "on_create" && sees_all_since.is_some_and(|since| created_tick(second) > since) {
            self.complete.insert(id);
        }
        let knows_all = sees_all_since.is_some() && self.complete.contains(&id);
        match event {
            "on_create" if !self.created.insert(id) => Err("a second time".into()),
            "on_create" => described(model, kind, id, second),
            "on_subscribe" | "on_register" => {
                self.members_ever.insert((id, session));
                let is_new = self.members.insert((id, session));
                if is_new || !knows_all { Ok(()) } else { Err("a second time".into()) }
            }
            "on_unsubscribe" | "on_unregister" => {
                let was_member = self.members.remove(&(id, session));
                if was_member || !knows_all { Ok(()) } else { Err("of no member".into()) }
            }
            "on_delete" => {
                self.deleted.insert(id);
                let left = self.members.range((id, 0)..=(id, u64::MAX)).next();
                if left.is_none() || !knows_all { Ok(()) } else { Err("while it has members".into()) }
            }
            _ => Err("of no topic that there is".into()),
        }
    }
}

/// When something was created, as its details tell.
fn created_tick(details: &Value) -> u64 {
    ticks(from_rfc3339(text(details, "created")).unwrap_or_default())
}

/// What is told of an id is what its holders know.
fn described(model: &Model, kind: Kind, id: u64, details: &Value) -> Result<(), String> {
    let uri = text(details, "uri");
    if is_reserved(uri) {
        return Err("of a URI of the router".into());
    }
    let known = model.holdings.iter().find(|held| held.kind == kind && held.id == id);
    match known {
        Some(held) if held.key.uri != uri || held.key.policy.as_str() != text(details, "match") => {
            Err(format!("which is {:?}", held.key))
        }
        _ => Ok(()),
    }
}

fn identity(model: &Model, session: u64, told: [&str; 2]) -> Result<(), String> {
    let Some(known) = model.sessions.iter().find(|known| known.id.get() == session) else { return Ok(()) };
    let wanted = [known.authid.as_str(), &*model.role(known).name];
    if told == wanted { Ok(()) } else { Err(format!("which is {wanted:?}")) }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
