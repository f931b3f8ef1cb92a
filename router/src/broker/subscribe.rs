//! SUBSCRIBE and UNSUBSCRIBE, and the interest of shards as the registry tells it.

use std::sync::Arc;

use crossring_codec::id::{RequestId, SubscriptionId};
use crossring_codec::message::{Message, MessageType, Revocation, SubscribeOptions};
use crossring_codec::uri::{Match, well_known};
use foldhash::fast::FixedState;

use super::{Broker, Subscription};
use crate::address::{RealmId, SessionKey, ShardId, ShardSet};
use crate::authz::Action;
use crate::letter::Letter;
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Outbox;
use crate::session::{Session, Sessions};
use crate::shard::{Detour, Shard, Violation, refuse};
use crate::table::IntegerState;

impl Shard {
    /// SUBSCRIBE (wamp.md 12.2).
    pub(crate) fn subscribe<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &SubscribeOptions<'_>,
        topic: &str,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        let policy = options.match_policy;
        let sharding = self.config.realms[usize::from(session.realm.0)].sharding;
        let nkey = options.nkey.as_deref().filter(|_| sharding);
        match self.may_subscribe(key, topic, policy, nkey) {
            Ok(()) => {}
            Err(Detour::Ask) => {
                let (options, topic) = (options.clone(), topic.into());
                let message = Message::Subscribe { request, options, topic };
                self.ask_authorizer(key, message.into_owned(), out);
                return Ok(());
            }
            Err(Detour::Error(error)) => {
                self.refuse_about(key, MessageType::Subscribe, request, error, topic, out);
                return Ok(());
            }
            Err(Detour::Violation(violation)) => return Err(violation),
        }
        if options.get_retained {
            self.ask_for_snapshot(key, request, (policy, topic), nkey, out);
        } else if let Some(id) = self.join_local_members(key, topic, policy, nkey, out) {
            let _ = out.send(key, &Message::Subscribed { request, subscription: id });
        } else {
            self.ask_for_subscription(key, request, topic, policy, nkey, out);
        }
        Ok(())
    }

    fn may_subscribe(
        &self,
        key: SessionKey,
        topic: &str,
        policy: Match,
        nkey: Option<&str>,
    ) -> Result<(), Detour> {
        self.check_pattern(key, Action::Subscribe, topic, policy)?;
        if nkey.is_some_and(|nkey| nkey.len() > self.limits.uri_size_max as usize) {
            return Err(well_known::INVALID_ARGUMENT.into());
        }
        Ok(())
    }

    /// Attaches beside a member that is already here, whose presence keeps the interest of this shard alive; or finds
    /// the session attached already.
    fn join_local_members<O: Outbox>(
        &mut self,
        key: SessionKey,
        topic: &str,
        policy: Match,
        nkey: Option<&str>,
        out: &mut O,
    ) -> Option<SubscriptionId> {
        let session = self.sessions.get(key)?;
        let realm = session.realm;
        let id = self.broker.realms[usize::from(realm.0)].patterns.get(topic, policy)?;
        let subscription = self.broker.subscriptions.get(id).filter(|known| !known.members.is_empty())?;
        let subscription_id = subscription.id;
        if session.subscriptions.as_ref().is_some_and(|held| held.contains_key(&id)) {
            return Some(subscription_id);
        }
        let room = session.limits(&self.limits).subscriptions_max as usize > session.subscriptions_held();
        if !room || nkey.is_some() || is_asking(session, topic, policy) {
            return None;
        }
        self.broker.attach(&mut self.sessions, key, id, None, self.integers);
        self.post(ShardId::CONTROL, Letter::Attach { realm, key, subscription: subscription_id }, out);
        Some(subscription_id)
    }

    /// Asks the registry, unless this session already waits for the same subscription.
    fn ask_for_subscription<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        topic: &str,
        policy: Match,
        nkey: Option<&str>,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let asking = session.subscribing.as_ref().map_or(0, |asking| asking.len());
        let limits = session.limits(&self.limits);
        if session.subscriptions_held() + asking >= limits.subscriptions_max as usize
            || session.requests_pending >= limits.requests_max
        {
            self.counters.subscriptions_refused += 1;
            refuse(&mut self.counters, key, MessageType::Subscribe, request, LIMIT_EXCEEDED, out);
            return;
        }
        session.requests_pending += 1;
        let uri: Arc<str> = topic.into();
        let asking = session.subscribing.get_or_insert_with(|| {
            Box::new(hashbrown::HashMap::with_hasher(FixedState::with_seed(self.hash_seed)))
        });
        let requests = asking.entry((policy, uri)).or_default();
        requests.push(request);
        if requests.len() == 1 {
            let realm = session.realm;
            let (uri, nkey) = (topic.into(), nkey.map(Box::from));
            let (match_policy, get_retained) = (policy, false);
            let letter = Letter::Subscribe { realm, key, request, uri, match_policy, nkey, get_retained };
            self.post(ShardId::CONTROL, letter, out);
        }
    }

    /// The registry: all shards know the interest.
    pub(crate) fn subscribed<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        id: SubscriptionId,
        nkey: Option<Arc<str>>,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(subscription) = self.broker.subscriptions.get(id.get()) else { return };
        let pattern = (subscription.match_policy, Arc::clone(&subscription.uri));
        if session.subscribing.as_ref().and_then(|asking| asking.get(&pattern)?.first()) != Some(&request) {
            return; // an UNSUBSCRIBE has overtaken the answer
        }
        let requests = take_asking(session, &pattern);
        self.broker.attach(&mut self.sessions, key, id.get(), nkey, self.integers);
        for request in requests {
            let _ = out.send(key, &Message::Subscribed { request, subscription: id });
        }
    }

    /// The registry: there will be no subscription.
    pub(crate) fn subscribe_refused<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        error: &str,
        out: &mut O,
    ) {
        if self.refuse_snapshot(key, request, error, out) {
            return;
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        let pattern = session.subscribing.as_ref().and_then(|asking| {
            asking.iter().find(|(_, requests)| requests.first() == Some(&request)).map(|(key, _)| key.clone())
        });
        let Some(pattern) = pattern else { return };
        for request in take_asking(session, &pattern) {
            refuse(&mut self.counters, key, MessageType::Subscribe, request, error, out);
        }
    }

    /// UNSUBSCRIBE (wamp.md 12.8).
    pub(crate) fn unsubscribe<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        id: SubscriptionId,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        if self.end_membership(key, id, out) {
            let _ = out.send(key, &Message::Unsubscribed { request: Some(request), revocation: None });
        } else {
            let error = well_known::NO_SUCH_SUBSCRIPTION;
            refuse(&mut self.counters, key, MessageType::Unsubscribe, request, error, out);
        }
        Ok(())
    }

    /// The registry: the subscription is revoked (wamp.md 2.1.9). Who has given it up meanwhile is not told.
    pub(crate) fn revoke_subscription<O: Outbox>(
        &mut self,
        key: SessionKey,
        id: SubscriptionId,
        reason: &str,
        out: &mut O,
    ) {
        let revocation = Revocation { id: Some(id), reason: Some(reason.to_owned().into()) };
        let message = Message::Unsubscribed { request: None, revocation: Some(Box::new(revocation)) };
        let Some(session) = self.sessions.get(key) else {
            return self.end_parked_membership(key, id, message, out);
        };
        let is_told = session.is_told_of(&message);
        if self.end_membership(key, id, out) && is_told {
            let _ = out.send(key, &message);
        }
    }

    /// Detaches a session, and reports it. `false`: it was not attached.
    fn end_membership<O: Outbox>(&mut self, key: SessionKey, id: SubscriptionId, out: &mut O) -> bool {
        let Some(realm) = self.sessions.get(key).map(|session| session.realm) else { return false };
        let is_member = self.broker.detach(&mut self.sessions, key, id.get());
        if is_member {
            self.forgo_snapshots(key, id, out);
            self.forgo_answers(key, id, out);
            self.post(ShardId::CONTROL, Letter::Detach { realm, key, subscription: id }, out);
        }
        is_member
    }

    /// A membership has ended: requests for the same subscription are answered now, as that of the registry would attach the
    /// session anew.
    fn forgo_answers<O: Outbox>(&mut self, key: SessionKey, id: SubscriptionId, out: &mut O) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.subscribing.is_some()) else {
            return;
        };
        let Some(known) = self.broker.subscriptions.get(id.get()) else { return };
        for request in take_asking(session, &(known.match_policy, Arc::clone(&known.uri))) {
            let _ = out.send(key, &Message::Subscribed { request, subscription: id });
        }
    }

    /// The subscriptions of a session that has left. The registry learns it by `Leave`.
    pub(crate) fn drop_subscriptions(&mut self, key: SessionKey, session: &Session) {
        self.drop_snapshots(key);
        let mut held: Vec<(u64, u32)> = session
            .subscriptions
            .iter()
            .flat_map(|held| held.iter())
            .map(|(id, place)| (*id, *place))
            .collect();
        held.sort_unstable();
        for (id, place) in held {
            self.broker.take_member(&mut self.sessions, key, id, place);
        }
    }

    /// The registry: `shard` has subscribers.
    #[expect(clippy::too_many_arguments, reason = "the fields of the letter")]
    pub(crate) fn add_interest<O: Outbox>(
        &mut self,
        realm: RealmId,
        id: SubscriptionId,
        uri: &str,
        match_policy: Match,
        shard: ShardId,
        ticket: u64,
        out: &mut O,
    ) {
        self.ticket_seen = ticket;
        self.broker.add_interest(realm, id, uri, match_policy, shard);
        self.post(ShardId::CONTROL, Letter::Acknowledge { ticket }, out);
    }
}

impl Broker {
    /// Routes that sessions have kept are to be made anew.
    pub(crate) fn forget_routes(&mut self, realm: RealmId) {
        if let Some(topics) = self.realms.get_mut(usize::from(realm.0)) {
            topics.version += 1;
        }
    }

    fn add_interest(
        &mut self,
        realm: RealmId,
        id: SubscriptionId,
        uri: &str,
        match_policy: Match,
        shard: ShardId,
    ) {
        let Some(topics) = self.realms.get_mut(usize::from(realm.0)) else { return };
        topics.version += 1;
        if let Some(subscription) = self.subscriptions.get_mut(id.get()) {
            subscription.interest.insert(shard);
            return;
        }
        let uri: Arc<str> = uri.into();
        topics.patterns.insert(&uri, match_policy, id.get());
        let mut interest = ShardSet::EMPTY;
        interest.insert(shard);
        let subscription = Subscription {
            id,
            realm,
            uri,
            match_policy,
            interest,
            members: Vec::new(),
            nodes: None,
            parked: None,
        };
        self.subscriptions.insert(id.get(), subscription);
    }

    /// `shard` has no subscribers any more.
    pub(crate) fn remove_interest(&mut self, id: SubscriptionId, shard: ShardId) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        subscription.interest.remove(shard);
        let topics = &mut self.realms[usize::from(subscription.realm.0)];
        topics.version += 1;
        if subscription.interest.is_empty() {
            topics.patterns.remove(&subscription.uri, subscription.match_policy);
            self.subscriptions.remove(id.get());
        }
    }

    /// Makes a session a member, if it is not one yet.
    pub(crate) fn attach(
        &mut self,
        sessions: &mut Sessions,
        key: SessionKey,
        id: u64,
        nkey: Option<Arc<str>>,
        integers: IntegerState,
    ) {
        let (Some(session), Some(subscription)) = (sessions.get_mut(key), self.subscriptions.get_mut(id))
        else {
            return;
        };
        let held = session.subscriptions.get_or_insert_with(|| Box::new(integers.map()));
        if let hashbrown::hash_map::Entry::Vacant(entry) = held.entry(id) {
            entry.insert(subscription.members.len() as u32);
            subscription.members.push(key);
            self.members += 1;
            if let Some(nkey) = nkey {
                subscription.nodes.get_or_insert_default().attach(key, nkey);
            }
        }
    }

    /// Ends a membership; `false`: there was none.
    fn detach(&mut self, sessions: &mut Sessions, key: SessionKey, id: u64) -> bool {
        let Some(session) = sessions.get_mut(key) else { return false };
        let Some(held) = &mut session.subscriptions else { return false };
        let Some(place) = held.remove(&id) else { return false };
        if held.is_empty() {
            session.subscriptions = None;
        }
        self.take_member(sessions, key, id, place);
        true
    }

    /// Takes `key` out of its place among the members; the last member moves there.
    fn take_member(&mut self, sessions: &mut Sessions, key: SessionKey, id: u64, place: u32) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if subscription.members.get(place as usize) != Some(&key) {
            return;
        }
        subscription.members.swap_remove(place as usize);
        self.members -= 1;
        if let Some(nodes) = &mut subscription.nodes {
            nodes.detach(key);
        }
        let Some(&moved) = subscription.members.get(place as usize) else {
            if subscription.members.is_empty() {
                subscription.members = Vec::new();
                self.retaining.forget(id);
            }
            return;
        };
        let held = sessions.get_mut(moved).and_then(|session| session.subscriptions.as_mut());
        if let Some(their_place) = held.and_then(|held| held.get_mut(&id)) {
            *their_place = place;
        }
    }
}

/// Whether the session waits for this subscription.
fn is_asking(session: &Session, topic: &str, policy: Match) -> bool {
    let Some(asking) = &session.subscribing else { return false };
    asking.contains_key(&(policy, Arc::from(topic)))
}

/// The requests that waited for a subscription.
fn take_asking(session: &mut Session, pattern: &(Match, Arc<str>)) -> Vec<RequestId> {
    let Some(asking) = &mut session.subscribing else { return Vec::new() };
    let requests = asking.remove(pattern).unwrap_or_default();
    if asking.is_empty() {
        session.subscribing = None;
    }
    session.requests_pending -= requests.len() as u32;
    requests
}
