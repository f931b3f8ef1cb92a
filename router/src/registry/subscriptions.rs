//! Who is subscribed to what, and which shards have to know.

use std::sync::Arc;

use crossring_codec::id::{RequestId, SubscriptionId};
use crossring_codec::uri::Match;

use super::{Interest, Registry, Subject, Subscription, tell_all};
use crate::address::{RealmId, SessionAddress, ShardId};
use crate::letter::Letter;
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Post;

impl Registry {
    pub(super) fn subscribe<P: Post>(
        &mut self,
        address: SessionAddress,
        realm: RealmId,
        request: RequestId,
        uri: &str,
        match_policy: Match,
        out: &mut P,
    ) {
        if self.session_mut(address).is_none() {
            return;
        }
        let key = address.key;
        let Some(id) = self.find_or_create(realm, uri, match_policy) else {
            let error = LIMIT_EXCEEDED.into();
            out.post(address.shard, Letter::SubscribeRefused { key, request, error });
            return;
        };
        self.spread_interest(id, address.shard, out);
        self.add_member(address, id);
        let Some(interest) = self.interest_mut(id, address.shard) else { return };
        if interest.ticket.is_some() {
            interest.waiting.push((key, request));
        } else {
            out.post(address.shard, Letter::Subscribed { key, request, subscription: id });
        }
    }

    fn find_or_create(&mut self, realm: RealmId, uri: &str, match_policy: Match) -> Option<SubscriptionId> {
        let topics = &mut self.realms.get_mut(usize::from(realm.0))?.topics;
        if let Some(id) = topics.get(uri, match_policy) {
            return SubscriptionId::new(id);
        }
        let id = SubscriptionId::new(self.subscriptions.next_id()?)?;
        let uri: Arc<str> = uri.into();
        topics.insert(&uri, match_policy, id.get());
        self.subscriptions.insert(Subscription { realm, uri, match_policy, interests: Vec::new() });
        Some(id)
    }

    /// Tells all shards that `shard` has subscribers, unless they were told.
    fn spread_interest<P: Post>(&mut self, id: SubscriptionId, shard: ShardId, out: &mut P) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        if subscription.interests.iter().any(|interest| interest.shard == shard) {
            return;
        }
        subscription.interests.push(Interest { shard, members: 0, ticket: None, waiting: Vec::new() });
        let (realm, match_policy) = (subscription.realm, subscription.match_policy);
        let uri = Arc::clone(&subscription.uri);
        let letter = |ticket| Letter::AddInterest {
            realm,
            subscription: id,
            uri: (&*uri).into(),
            match_policy,
            shard,
            ticket,
        };
        let ticket = self.broadcast(Subject::Interest(id, shard), letter, out);
        if let Some(interest) = self.interest_mut(id, shard) {
            interest.ticket = Some(ticket);
        }
    }

    /// All shards know that `shard` has subscribers.
    pub(super) fn interest_known<P: Post>(&mut self, id: SubscriptionId, shard: ShardId, out: &mut P) {
        let Some(interest) = self.interest_mut(id, shard) else { return };
        interest.ticket = None;
        for (key, request) in std::mem::take(&mut interest.waiting) {
            out.post(shard, Letter::Subscribed { key, request, subscription: id });
        }
    }

    pub(super) fn attach(&mut self, address: SessionAddress, id: SubscriptionId) {
        if self.interest_mut(id, address.shard).is_some() {
            self.add_member(address, id);
        }
    }

    pub(super) fn detach<P: Post>(&mut self, address: SessionAddress, id: SubscriptionId, out: &mut P) {
        let Some(session) = self.session_mut(address) else { return };
        let Some(held) = &mut session.subscriptions else { return };
        if !held.remove(&id.get()) {
            return;
        }
        if held.is_empty() {
            session.subscriptions = None;
        }
        self.remove_member(address, id, out);
    }

    fn add_member(&mut self, address: SessionAddress, id: SubscriptionId) {
        let integers = self.integers;
        let Some(session) = self.session_mut(address) else { return };
        let held =
            session.subscriptions.get_or_insert_with(|| Box::new(hashbrown::HashSet::with_hasher(integers)));
        if held.insert(id.get())
            && let Some(interest) = self.interest_mut(id, address.shard)
        {
            interest.members += 1;
        }
    }

    /// Counts a member out; the interest of a shard without members is withdrawn.
    pub(super) fn remove_member<P: Post>(
        &mut self,
        address: SessionAddress,
        id: SubscriptionId,
        out: &mut P,
    ) {
        let Some(interest) = self.interest_mut(id, address.shard) else { return };
        interest.waiting.retain(|(key, _)| *key != address.key);
        interest.members = interest.members.saturating_sub(1);
        if interest.members > 0 {
            return;
        }
        if let Some(ticket) = interest.ticket {
            self.tickets.remove(&ticket);
        }
        let shard = address.shard;
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        subscription.interests.retain(|interest| interest.shard != shard);
        let realm = subscription.realm;
        if subscription.interests.is_empty() {
            let topics = &mut self.realms[usize::from(realm.0)].topics;
            topics.remove(&subscription.uri, subscription.match_policy);
            self.subscriptions.remove(id.get());
        }
        tell_all(self.shards, &Letter::RemoveInterest { realm, subscription: id, shard }, out);
    }

    fn interest_mut(&mut self, id: SubscriptionId, shard: ShardId) -> Option<&mut Interest> {
        let subscription = self.subscriptions.get_mut(id.get())?;
        subscription.interests.iter_mut().find(|interest| interest.shard == shard)
    }
}
