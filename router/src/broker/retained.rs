//! Retained events on their way to new subscribers, and live copies of the same events (wamp.md 2.1.7).
//!
//! A publication that is to be retained goes to its subscribers, and, numbered by its shard, to the store on the control
//! shard. A SUBSCRIBE that wants retained events is answered with a *snapshot* of the store: the newest event of each topic,
//! and how far the store had got with each shard's numbers. Publications that the snapshot covers must not follow it live; those
//! that it does not cover, but that came here before the session was attached, must not be lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossring_codec::id::{PublicationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{Message, MessageType};
use crossring_codec::uri::Match;

use super::nodes::Share;
use super::publish::Event;
use crate::address::{SessionKey, ShardId};
use crate::letter::{Letter, Publication, Retention, Snapshot};
use crate::limits::{LIMIT_EXCEEDED, RECENT_OCTETS_MAX, RECENT_PUBLICATIONS_MAX, SNAPSHOT_MARKS_MAX};
use crate::outbox::Outbox;
use crate::shard::{Shard, refuse};
use crate::store::Reader;

/// What a shard has to remember about retained events.
#[derive(Debug, Default)]
pub(crate) struct Retaining {
    /// Number of the latest publication of this shard that was to be retained.
    sequence_last: u64,
    requests: Vec<Request>,
    /// Publications to be retained that have come here while there are requests.
    recent: VecDeque<Arc<Publication>>,
    recent_octets: usize,
    /// Up to which number publications of a shard have been covered by the snapshot of a member.
    marks: BTreeMap<(u64, ShardId), VecDeque<(SessionKey, u64)>>,
}

/// A SUBSCRIBE that waits for its snapshot.
#[derive(Debug)]
struct Request {
    key: SessionKey,
    request: RequestId,
    match_policy: Match,
    uri: Arc<str>,
}

impl Retaining {
    /// What is remembered for others than the publishers.
    pub(crate) fn len(&self) -> usize {
        self.requests.len() + self.recent.len() + self.marks.len()
    }

    /// Numbers a publication of this shard.
    pub(super) fn next(&mut self, shard: ShardId, excluded: Option<SessionId>) -> Retention {
        self.sequence_last += 1;
        Retention { shard, sequence: self.sequence_last, excluded }
    }

    /// Remembers a publication for the requests under way. `false`: an older one had to give way.
    pub(super) fn remember(&mut self, publication: &Publication) -> bool {
        if self.requests.is_empty() {
            return true;
        }
        self.recent_octets += publication.parcel.size();
        self.recent.push_back(Arc::new(publication.clone()));
        let mut has_room = true;
        while self.recent.len() > RECENT_PUBLICATIONS_MAX || self.recent_octets > RECENT_OCTETS_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_octets -= oldest.parcel.size();
            has_room = false;
        }
        has_room
    }

    /// Members of a subscription whose snapshot covers a publication. Marks that this publication is behind are forgotten.
    pub(super) fn covered(&mut self, subscription: u64, retention: &Retention) -> Vec<SessionKey> {
        let place = (subscription, retention.shard);
        let Some(marks) = self.marks.get_mut(&place) else { return Vec::new() };
        marks.retain(|(_, covered)| *covered >= retention.sequence);
        if marks.is_empty() {
            self.marks.remove(&place);
            return Vec::new();
        }
        marks.iter().map(|(key, _)| *key).collect()
    }

    /// Forgets the marks of a subscription that has no members here.
    pub(super) fn forget(&mut self, subscription: u64) {
        let shards = (subscription, ShardId(0))..=(subscription, ShardId(u8::MAX));
        self.marks.extract_if(shards, |_, _| true).for_each(drop);
    }

    fn mark(&mut self, subscription: u64, key: SessionKey, known: &[u64], here: ShardId) {
        for (shard, covered) in known.iter().enumerate() {
            let shard = ShardId(shard as u8);
            if *covered > 0 && shard != here {
                let marks = self.marks.entry((subscription, shard)).or_default();
                marks.push_back((key, *covered));
                if marks.len() > SNAPSHOT_MARKS_MAX {
                    marks.pop_front();
                }
            }
        }
    }

    fn take(&mut self, is_it: impl Fn(&Request) -> bool) -> Vec<Request> {
        let taken = self.requests.extract_if(.., |request| is_it(request)).collect();
        if self.requests.is_empty() {
            self.recent = VecDeque::new();
            self.recent_octets = 0;
        }
        taken
    }
}

impl Shard {
    /// SUBSCRIBE with `get_retained`: always by the registry, behind which the store is.
    pub(super) fn ask_for_snapshot<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        (match_policy, topic): (Match, &str),
        nkey: Option<&str>,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let limits = session.limits(&self.limits);
        if session.subscriptions_held() >= limits.subscriptions_max as usize
            || session.requests_pending >= limits.requests_max
        {
            self.counters.subscriptions_refused += 1;
            refuse(&mut self.counters, key, MessageType::Subscribe, request, LIMIT_EXCEEDED, out);
            return;
        }
        session.requests_pending += 1;
        let realm = session.realm;
        self.broker.retaining.requests.push(Request { key, request, match_policy, uri: topic.into() });
        let (uri, nkey) = (topic.into(), nkey.map(Box::from));
        let letter = Letter::Subscribe { realm, key, request, uri, match_policy, nkey, get_retained: true };
        self.post(ShardId::CONTROL, letter, out);
    }

    /// The registry: SUBSCRIBED may leave, and the snapshot behind it.
    pub(crate) fn take_snapshot<O: Outbox>(&mut self, key: SessionKey, snapshot: &Snapshot, out: &mut O) {
        let is_it = |request: &Request| request.key == key && request.request == snapshot.request;
        // Recent publications go with the last request.
        let recent = self.broker.retaining.recent.clone();
        if self.broker.retaining.take(is_it).is_empty() {
            return;
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.requests_pending -= 1;
        let (request, subscription) = (snapshot.request, snapshot.subscription);
        let (id, nkey) = (subscription.get(), snapshot.nkey.clone());
        // Who is subscribed already gets all of what is live, no more and no less.
        let was_subscribed = session.subscriptions.as_ref().is_some_and(|held| held.contains_key(&id));
        self.broker.attach(&mut self.sessions, key, id, nkey, self.integers);
        let _ = out.send(key, &Message::Subscribed { request, subscription });
        for event in &snapshot.events {
            self.send_retained(key, subscription, &event.publication, true, out);
        }
        if was_subscribed {
            return;
        }
        self.broker.retaining.mark(id, key, &snapshot.known, self.id);
        for publication in recent.iter().filter(|recent| snapshot.lacks(recent)) {
            self.send_retained(key, subscription, publication, false, out);
        }
    }

    /// One event for one subscriber, if it may have it.
    fn send_retained<O: Outbox>(
        &mut self,
        key: SessionKey,
        subscription: SubscriptionId,
        publication: &Publication,
        is_retained: bool,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get(key) else { return };
        let authrole = self.role_name(session);
        let reader = Reader { session: session.id, authid: &session.authid, authrole };
        let rkey = self.resource_key(session.realm, publication.extra.as_deref());
        let server = rkey.map(|rkey| self.broker.server(subscription.get(), rkey));
        let Some(known) = self.broker.subscriptions.get(subscription.get()) else { return };
        let nodes = Share::of(server.as_ref()).among(known.nodes.as_deref());
        let is_server = nodes.is_none_or(|(nodes, server)| nodes.admits(key, server));
        if is_server && publication.is_for(&reader) {
            let payload = publication.parcel.payload();
            let mut event = Event::of(self.id, publication, &payload);
            event.is_retained = is_retained;
            let message = event.message(known.id, known.match_policy);
            out.fan_out(&message, &[key], None);
        }
    }

    /// The store has seen a publication whose publisher waits for that.
    pub(crate) fn retained<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        publication: PublicationId,
        out: &mut O,
    ) {
        if self.sessions.get(key).is_some() {
            let _ = out.send(key, &Message::Published { request, publication });
        }
    }

    /// A membership has ended: requests for the same subscription are answered without a snapshot, which would attach the
    /// session anew.
    pub(super) fn forgo_snapshots<O: Outbox>(&mut self, key: SessionKey, id: SubscriptionId, out: &mut O) {
        if self.broker.retaining.requests.is_empty() {
            return;
        }
        let Some(known) = self.broker.subscriptions.get(id.get()) else { return };
        let is_it = |request: &Request| {
            request.key == key && request.match_policy == known.match_policy && request.uri == known.uri
        };
        for Request { request, .. } in self.broker.retaining.take(is_it) {
            if let Some(session) = self.sessions.get_mut(key) {
                session.requests_pending -= 1;
            }
            let _ = out.send(key, &Message::Subscribed { request, subscription: id });
        }
    }

    /// The registry: there will be no subscription. `false`: the request is none of these.
    pub(super) fn refuse_snapshot<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        error: &str,
        out: &mut O,
    ) -> bool {
        let is_it = |waiting: &Request| waiting.key == key && waiting.request == request;
        if self.broker.retaining.take(is_it).is_empty() {
            return false;
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.requests_pending -= 1;
        }
        refuse(&mut self.counters, key, MessageType::Subscribe, request, error, out);
        true
    }

    /// The session has left.
    pub(super) fn drop_snapshots(&mut self, key: SessionKey) {
        if !self.broker.retaining.requests.is_empty() {
            self.broker.retaining.take(|request| request.key == key);
        }
    }
}

impl Snapshot {
    /// Whether a publication that names the subscription came too late for the snapshot.
    fn lacks(&self, publication: &Publication) -> bool {
        let known = |retention: &Retention| {
            self.known.get(retention.shard.index()).copied().unwrap_or_default() >= retention.sequence
        };
        publication.subscriptions.contains(&self.subscription)
            && publication.retention.as_ref().is_some_and(|retention| !known(retention))
    }
}
