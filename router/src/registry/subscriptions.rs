//! Who is subscribed to what, and which shards have to know.

use std::sync::Arc;

use crossring_codec::id::{SessionId, SubscriptionId};

use super::{Asked, Interest, Registry, Subject, Subscription, Wanted, tell_all};
use crate::address::{Now, SessionAddress, ShardId};
use crate::letter::Letter;
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Post;

/// What a member was that has left.
struct Left {
    /// It has been told of as a member.
    was_told: bool,
    /// Its shard has no other.
    is_last: bool,
}

impl Registry {
    pub(super) fn subscribe<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        wanted: &Wanted<'_>,
        out: &mut P,
    ) {
        if self.session(address).is_none() {
            return;
        }
        let (key, request) = (address.key, wanted.request);
        let asked = Asked { request, get_retained: wanted.get_retained };
        let Some(id) = self.find_or_create(now, wanted) else {
            let error = LIMIT_EXCEEDED.into();
            out.post(address.shard, Letter::SubscribeRefused { key, request, error });
            return;
        };
        self.spread_interest(id, address.shard, out);
        let is_new = self.add_member(address, id);
        if let (Some(nkey), true) = (wanted.nkey, is_new) {
            self.join_node(id, address, nkey, out);
        }
        let waits_for_node = self.wait_for_node(id, address, asked);
        let Some(interest) = self.interest_mut(id, address.shard) else { return };
        let is_known = interest.ticket.is_none();
        if !waits_for_node && !is_known {
            interest.waiting.push((key, asked));
        } else if !waits_for_node && asked.get_retained {
            self.await_snapshot(id, address, request, out);
        } else if !waits_for_node {
            self.answer_subscriber(id, address, asked, out);
        }
        if is_known && is_new && !waits_for_node {
            self.note_subscribed(address, id);
        }
    }

    /// SUBSCRIBED; whoever has the store sees to it, if retained events have to follow.
    pub(super) fn answer_subscriber<P: Post>(
        &mut self,
        id: SubscriptionId,
        address: SessionAddress,
        Asked { request, get_retained }: Asked,
        out: &mut P,
    ) {
        if get_retained {
            return self.make_snapshot(id, address, request);
        }
        let nkey = self.node_key(id, address);
        let letter = Letter::Subscribed { key: address.key, request, subscription: id, nkey };
        out.post(address.shard, letter);
    }

    fn find_or_create(&mut self, now: Now, wanted: &Wanted<'_>) -> Option<SubscriptionId> {
        let Wanted { realm, uri, match_policy, .. } = *wanted;
        let topics = &mut self.realms.get_mut(usize::from(realm.0))?.topics;
        if let Some(id) = topics.get(uri, match_policy) {
            return SubscriptionId::new(id);
        }
        let id = SubscriptionId::new(self.subscriptions.next_id()?)?;
        let uri: Arc<str> = uri.into();
        topics.insert(&uri, match_policy, id.get());
        let created_ms = now.unix_ms;
        let (is_announced, interests, nodes) = (false, Vec::new(), None);
        let new = Subscription { realm, uri, match_policy, created_ms, is_announced, interests, nodes };
        self.subscriptions.insert(new);
        Some(id)
    }

    /// Tells all shards that `shard` has subscribers, unless they were told.
    fn spread_interest<P: Post>(&mut self, id: SubscriptionId, shard: ShardId, out: &mut P) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        if subscription.interests.iter().any(|interest| interest.shard == shard) {
            return;
        }
        subscription.interests.push(Interest {
            shard,
            members: Vec::new(),
            ticket: None,
            waiting: Vec::new(),
        });
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
        let members = interest.members.clone();
        for (key, asked) in std::mem::take(&mut interest.waiting) {
            self.answer_subscriber(id, SessionAddress { shard, key }, asked, out);
        }
        for address in members.into_iter().map(|key| SessionAddress { shard, key }) {
            if !self.is_waiting_for_node(id, address) && !self.is_moving_to(address) {
                self.note_subscribed(address, id);
            }
        }
    }

    pub(super) fn attach(&mut self, address: SessionAddress, id: SubscriptionId) {
        if self.interest_mut(id, address.shard).is_some() && self.add_member(address, id) {
            self.note_subscribed(address, id);
        }
    }

    pub(super) fn detach<P: Post>(&mut self, address: SessionAddress, id: SubscriptionId, out: &mut P) {
        let Some(session) = self.session_mut(address) else { return };
        let Some(held) = &mut session.subscriptions else { return };
        let Some(place) = held.remove(&id.get()) else { return };
        if held.is_empty() {
            session.subscriptions = None;
        }
        let told = self.session(address).and_then(|session| self.told_id(session));
        self.remove_member(address, told, id, place, out);
    }

    /// Ends a session's subscription, because somebody else wants it to; `false`: it has none, or has not been told of it
    /// yet.
    ///
    /// The membership ends here only when the home shard reports that it has ended there: until then others may attach beside
    /// it, relying on the interest that it keeps alive. Nobody attaches beside a session without transport.
    pub(crate) fn revoke_subscription(
        &mut self,
        address: SessionAddress,
        id: SubscriptionId,
        reason: &str,
        out: &mut dyn Post,
    ) -> bool {
        let held = self.session_mut(address).and_then(|session| session.subscriptions.as_ref());
        let is_member = held.is_some_and(|held| held.contains_key(&id.get()));
        if !is_member || self.is_waiting(id, address) {
            return false;
        }
        let (key, reason) = (address.key, reason.into());
        out.post(address.shard, Letter::RevokeSubscription { key, subscription: id, reason });
        if self.is_frozen_at(address) {
            self.detach(address, id, &mut { out });
        }
        true
    }

    /// Whether a member has not got SUBSCRIBED yet.
    fn is_waiting(&mut self, id: SubscriptionId, address: SessionAddress) -> bool {
        let is_it = |interest: &mut Interest| interest.waiting.iter().any(|(key, _)| *key == address.key);
        self.interest_mut(id, address.shard).is_some_and(is_it) || self.is_waiting_for_node(id, address)
    }

    /// `false`: it was one.
    fn add_member(&mut self, address: SessionAddress, id: SubscriptionId) -> bool {
        let Some(interest) = self.interest_mut(id, address.shard) else { return false };
        let place = interest.members.len() as u32;
        let integers = self.integers;
        let Some(session) = self.session_mut(address) else { return false };
        let held = session.subscriptions.get_or_insert_with(|| Box::new(integers.map()));
        if held.contains_key(&id.get()) {
            return false;
        }
        held.insert(id.get(), place);
        if let Some(interest) = self.interest_mut(id, address.shard) {
            interest.members.push(address.key);
        }
        true
    }

    /// Ends a membership; the interest of a shard without members is withdrawn.
    pub(super) fn remove_member<P: Post>(
        &mut self,
        address: SessionAddress,
        told: Option<SessionId>,
        id: SubscriptionId,
        place: u32,
        out: &mut P,
    ) {
        let Some(left) = self.take_member(address, id, place, out) else { return };
        if let Some(session) = told.filter(|_| left.was_told) {
            self.note_unsubscribed(session, id);
        }
        if left.is_last {
            self.withdraw_interest(told, id, address.shard, out);
        }
    }

    /// Takes a member out of its place.
    fn take_member<P: Post>(
        &mut self,
        address: SessionAddress,
        id: SubscriptionId,
        place: u32,
        out: &mut P,
    ) -> Option<Left> {
        let waits_for_node = self.is_waiting_for_node(id, address);
        self.forget_snapshots(id, address);
        self.leave_node(id, address, out);
        let interest = self.interest_mut(id, address.shard)?;
        // Who waits for nothing although some shard does not know of the interest has moved here.
        let is_waiting = interest.waiting.iter().any(|(key, _)| *key == address.key);
        interest.waiting.retain(|(key, _)| *key != address.key);
        interest.members.swap_remove(place as usize);
        let moved = interest.members.get(place as usize).copied();
        let is_last = interest.members.is_empty();
        if let Some(key) = moved {
            self.move_member(SessionAddress { key, ..address }, id, place);
        }
        Some(Left { was_told: !is_waiting && !waits_for_node, is_last })
    }

    /// A member has got another place.
    fn move_member(&mut self, address: SessionAddress, id: SubscriptionId, place: u32) {
        let held = self.session_mut(address).and_then(|session| session.subscriptions.as_mut());
        if let Some(known) = held.and_then(|held| held.get_mut(&id.get())) {
            *known = place;
        }
    }

    /// Tells all shards that `shard` has no members; a subscription without any is forgotten.
    fn withdraw_interest<P: Post>(
        &mut self,
        told: Option<SessionId>,
        id: SubscriptionId,
        shard: ShardId,
        out: &mut P,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        let ticket = subscription.interests.iter().find(|interest| interest.shard == shard);
        if let Some(ticket) = ticket.and_then(|interest| interest.ticket) {
            self.tickets.remove(&ticket);
        }
        subscription.interests.retain(|interest| interest.shard != shard);
        let realm = subscription.realm;
        if subscription.interests.is_empty() {
            let topics = &mut self.realms[usize::from(realm.0)].topics;
            topics.remove(&subscription.uri, subscription.match_policy);
            let was_announced = subscription.is_announced;
            self.subscriptions.remove(id.get());
            if let Some(session) = told.filter(|_| was_announced) {
                self.note_subscription_deleted(realm, session, id);
            }
        }
        tell_all(self.shards, &Letter::RemoveInterest { realm, subscription: id, shard }, out);
    }

    /// A member of the subscription moves to another place: it is counted there too.
    pub(super) fn add_home<P: Post>(
        &mut self,
        id: SubscriptionId,
        from: SessionAddress,
        to: SessionAddress,
        out: &mut P,
    ) {
        self.move_node(id, from, to);
        self.spread_interest(id, to.shard, out);
        self.add_member(to, id);
    }

    /// A member of the subscription has moved: it is counted here no more. If its subscription has ended where it is now, and nobody
    /// else has one, that is told of `told`.
    pub(super) fn remove_home<P: Post>(
        &mut self,
        id: SubscriptionId,
        from: SessionAddress,
        told: Option<SessionId>,
        out: &mut P,
    ) {
        let interest = self.interest_mut(id, from.shard);
        let place = interest.and_then(|interest| interest.members.iter().position(|key| *key == from.key));
        let left = place.and_then(|place| self.take_member(from, id, place as u32, out));
        if left.is_some_and(|left| left.is_last) {
            self.withdraw_interest(told, id, from.shard, out);
        }
    }

    pub(super) fn interest_mut(&mut self, id: SubscriptionId, shard: ShardId) -> Option<&mut Interest> {
        let subscription = self.subscriptions.get_mut(id.get())?;
        subscription.interests.iter_mut().find(|interest| interest.shard == shard)
    }
}
