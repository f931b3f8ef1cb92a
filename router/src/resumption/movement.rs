//! The move of a session to its new transport: see the steps in the parent module.

use std::sync::Arc;

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::{ClientRoles, Message};

use super::{Parked, Phase, Queue};
use crate::address::{SessionAddress, SessionKey, ShardId, ShardSet};
use crate::letter::{Admission, Handover, Kept, Letter, Move, NodeKeys};
use crate::outbox::Outbox;
use crate::session::{Session, State};
use crate::shard::Shard;

impl Shard {
    /// The registry: a session is about to move.
    pub(crate) fn prepare_move<O: Outbox>(&mut self, movement: Move, ticket: u64, out: &mut O) {
        self.ticket_seen = ticket;
        for id in &movement.holdings.registrations {
            self.dealer.move_callee(*id, movement.from, movement.to, ticket, self.id);
        }
        if movement.to.shard == self.id {
            self.expect_arrival(movement);
        }
        self.post(ShardId::CONTROL, Letter::Acknowledge { ticket }, out);
    }

    fn expect_arrival(&mut self, movement: Move) {
        let Move { to, holdings, node_keys, admission, from: _ } = movement;
        let mut session = Session::new(&admission, ClientRoles::default());
        let mut held = self.integers.map();
        held.extend(holdings.subscriptions.iter().map(|id| (id.get(), 0)));
        session.subscriptions = (!held.is_empty()).then(|| Box::new(held));
        session.callee = self.dealer.callee_at(to, &holdings.registrations, self.integers);
        let queue = self.empty_queue(session.realm);
        let parked = Parked::arriving(Box::new(session), queue, Box::new(admission));
        self.broker.park(to.key, parked, node_keys);
    }

    /// The registry: all shards are prepared.
    pub(crate) fn depart<O: Outbox>(&mut self, from: SessionAddress, to: SessionAddress, out: &mut O) {
        let id = self.id;
        for shard in ShardSet::all(self.shards).iter().filter(|shard| *shard != id) {
            self.post(shard, Letter::Cut { from, to }, out);
        }
        self.cut(from, to, out);
    }

    /// The old home: whatever the session has done there has come before this.
    pub(crate) fn cut<O: Outbox>(&mut self, from: SessionAddress, to: SessionAddress, out: &mut O) {
        let mut homes = ShardSet::EMPTY;
        homes.insert(from.shard);
        homes.insert(to.shard);
        for shard in homes.iter() {
            if shard == self.id {
                self.fenced(self.id, from, to, out);
            } else {
                self.post(shard, Letter::Fence { from, to }, out);
            }
        }
    }

    /// What `source` publishes from here on is the new home's.
    pub(crate) fn fenced<O: Outbox>(
        &mut self,
        source: ShardId,
        from: SessionAddress,
        to: SessionAddress,
        out: &mut O,
    ) {
        let all = ShardSet::all(self.shards);
        if to.shard == self.id
            && let Some(Phase::Arriving { opened, .. }) = self.phase_mut(to.key)
        {
            opened.insert(source);
        }
        if from.shard == self.id
            && let Some(Phase::Frozen { cut }) = self.phase_mut(from.key)
        {
            cut.insert(source);
            if *cut == all {
                self.hand_over(from.key, to, out);
            }
        }
        if to.shard == self.id {
            self.arrive(to.key, out);
        }
    }

    fn phase_mut(&mut self, key: SessionKey) -> Option<&mut Phase> {
        self.broker.parked.get_mut(&key).map(|parked| &mut parked.phase)
    }

    fn hand_over<O: Outbox>(&mut self, key: SessionKey, to: SessionAddress, out: &mut O) {
        let Some(Parked { session, mut queue, .. }) = self.broker.unpark(key) else { return };
        let (kept, events_lost) = queue.take();
        let invocation_last = session.callee.as_ref().map_or(0, |callee| callee.invocation_last());
        let handover = Box::new(Handover { kept, events_lost, roles: session.roles, invocation_last });
        if to.shard == self.id {
            self.take_handover(to.key, handover, out);
        } else {
            self.post(to.shard, Letter::Handover { to: to.key, handover }, out);
        }
    }

    /// The old home: this is all of it.
    pub(crate) fn take_handover<O: Outbox>(&mut self, key: SessionKey, given: Box<Handover>, out: &mut O) {
        if let Some(Phase::Arriving { handover, .. }) = self.phase_mut(key) {
            *handover = Some(given);
            self.arrive(key, out);
        }
    }

    /// Ends the move, if nothing is missing any more.
    fn arrive<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        let all = ShardSet::all(self.shards);
        match self.phase_mut(key) {
            Some(Phase::Arriving { opened, handover: Some(_), .. }) if *opened == all => {}
            _ => return,
        }
        let Some(parked) = self.broker.parked.get(&key) else { return };
        let node_keys = self.broker.node_keys(key, &parked.session);
        let Some(Parked { mut session, mut queue, phase }) = self.broker.unpark(key) else { return };
        let Phase::Arriving { admission, handover: Some(handover), .. } = phase else { return };
        let revoked = revoked_in(&handover.kept);
        queue.forget(&revoked);
        queue.prepend(handover.kept, handover.events_lost);
        session.go_on_after(handover.invocation_last, self.integers);
        session.roles = handover.roles;
        let is_joined = matches!(self.sessions.state(key), State::Joining(_));
        self.post(ShardId::CONTROL, Letter::Arrived { key, is_joined }, out);
        let realm = session.realm;
        for id in revoked.into_iter().filter(|id| session.forget_subscription(*id)) {
            self.post(ShardId::CONTROL, Letter::Detach { realm, key, subscription: id }, out);
        }
        if is_joined {
            self.join_again(key, session, node_keys, *admission, out);
            self.send_kept(key, queue, out);
        } else {
            self.broker.park(key, Parked::frozen(session, queue), node_keys);
        }
    }

    fn join_again<O: Outbox>(
        &mut self,
        key: SessionKey,
        mut session: Box<Session>,
        node_keys: NodeKeys,
        admission: Admission,
        out: &mut O,
    ) {
        let held = session.subscriptions_sorted();
        session.subscriptions = None;
        let State::Joining(roles) = self.set_state(key, State::Ended) else { return };
        if !roles.is_empty() {
            session.roles = *roles;
        }
        self.set_state(key, State::Established(session));
        self.sessions.joined += 1;
        self.counters.sessions_resumed += 1;
        for id in held {
            let node = node_keys.binary_search_by_key(&id, |node| node.0);
            let nkey = node.ok().map(|index| Arc::clone(&node_keys[index].1));
            self.broker.attach(&mut self.sessions, key, id.get(), nkey, self.integers);
        }
        self.begin_statistics(self.now, key, out);
        let (session, details) = (admission.session, Box::new(admission.details));
        let _ = out.send(key, &Message::Welcome { session, details });
    }

    /// Sends what has been kept for a session that has joined again.
    fn send_kept<O: Outbox>(&mut self, key: SessionKey, mut queue: Queue, out: &mut O) {
        let Some(session) = self.sessions.get(key) else { return };
        let (kept, lost) = queue.take();
        self.counters.events_lost += lost;
        for kept in kept {
            let message = match &kept {
                Kept::Event(event) => event.message(),
                Kept::Revocation(message) if session.is_told_of(message) => (**message).clone(),
                Kept::Revocation(_) => continue,
            };
            let _ = out.send(key, &message);
        }
    }
}

/// Subscriptions that were revoked at the old home when the registry had ordered the move already.
fn revoked_in(kept: &[Kept]) -> Vec<SubscriptionId> {
    let revoked = |kept: &Kept| match kept {
        Kept::Revocation(message) => match &**message {
            Message::Unsubscribed { revocation: Some(revocation), .. } => revocation.id,
            _ => None,
        },
        Kept::Event(_) => None,
    };
    kept.iter().filter_map(revoked).collect()
}
