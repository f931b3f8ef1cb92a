//! The loss of a transport that its session survives, and the end of sessions without transport.

use crossring_codec::id::SessionId;
use crossring_codec::uri::well_known;

use super::{Parked, Phase, Queue};
use crate::address::{Now, RealmId, SessionKey, ShardId};
use crate::letter::{Holdings, Letter};
use crate::outbox::{EndCause, Outbox};
use crate::session::{Session, State};
use crate::shard::Shard;

impl Shard {
    /// Keeps a resumable session whose transport is lost or ends; `false`: there is none. Its slot is in state `next` then.
    pub(crate) fn freeze<O: Outbox>(&mut self, key: SessionKey, next: State, out: &mut O) -> bool {
        let Some(mut session) = self.take_resumable(key, next, out) else { return false };
        self.end_statistics(key, &mut session, out);
        self.drop_callee(key, &mut session, out);
        self.drop_caller(&mut session, out);
        let node_keys = self.broker.node_keys(key, &session);
        self.drop_subscriptions(key, &session);
        session.forget_requests();
        let queue = self.empty_queue(session.realm);
        let parked = Parked::frozen(session, queue);
        let callee = parked.session.callee.as_ref();
        let registrations = callee.map(|callee| callee.registrations()).unwrap_or_default();
        let holdings = Box::new(Holdings { subscriptions: parked.subscriptions(), registrations });
        self.broker.park(key, parked, node_keys);
        self.counters.sessions_frozen += 1;
        self.post(ShardId::CONTROL, Letter::Frozen { key, holdings }, out);
        true
    }

    fn take_resumable<O: Outbox>(
        &mut self,
        key: SessionKey,
        next: State,
        out: &mut O,
    ) -> Option<Box<Session>> {
        if self.is_shutting_down || !self.sessions.get(key)?.is_resumable {
            return None;
        }
        let session = match self.set_state(key, next) {
            State::Established(session) => session,
            State::Held(held) => self.release_held(key, *held, out),
            _ => return None,
        };
        self.sessions.joined -= 1;
        Some(session)
    }

    pub(super) fn empty_queue(&self, realm: RealmId) -> Queue {
        Queue::new(&self.config.realms[usize::from(realm.0)].resumption.clone().unwrap_or_default())
    }

    /// The registry: the session goes on over another transport.
    pub(crate) fn displace<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        if self.freeze(key, State::Ended, out) {
            out.end(key, EndCause::Displaced);
        } else if self.is_arriving(key) {
            self.abort_arrival(key, well_known::AUTHENTICATION_DENIED, "resumed over another transport", out);
        }
    }

    /// The registry: the session ends, with or without transport.
    pub(crate) fn kill_session<O: Outbox>(
        &mut self,
        now: Now,
        key: SessionKey,
        session: SessionId,
        reason: &str,
        message: Option<&str>,
        out: &mut O,
    ) {
        if self.sessions.get(key).is_some_and(|joined| joined.id == session) {
            self.say_goodbye(now, key, reason, message, out);
            if reason == well_known::CLOSE_LOGOUT {
                self.end(key, EndCause::Goodbye, out);
            }
        } else if self.broker.parked.get(&key).is_some_and(|parked| parked.session.id == session) {
            self.end_parked(key, reason, message.unwrap_or_default(), out);
        }
    }

    /// Ends a session without transport, or on its way to a new one.
    fn end_parked<O: Outbox>(&mut self, key: SessionKey, reason: &str, message: &str, out: &mut O) {
        let Some(mut parked) = self.broker.unpark(key) else { return };
        self.drop_registrations(key, &parked.session);
        let (_, lost) = parked.queue.take();
        self.counters.events_lost += lost;
        match parked.phase {
            Phase::Frozen { .. } => self.counters.sessions_left += 1,
            Phase::Arriving { .. } => self.abort_arrival(key, reason, message, out),
        }
        self.post(ShardId::CONTROL, Letter::Leave { key }, out);
    }

    fn is_arriving(&self, key: SessionKey) -> bool {
        self.broker.parked.get(&key).is_some_and(|parked| matches!(parked.phase, Phase::Arriving { .. }))
    }

    /// ABORT for the new transport of a session, if it waits for WELCOME.
    fn abort_arrival<O: Outbox>(&mut self, key: SessionKey, reason: &str, message: &str, out: &mut O) {
        if matches!(self.sessions.state(key), State::Joining(_)) {
            self.set_state(key, State::Ended);
            self.abort(key, reason, message, out);
        }
    }

    /// The end of all sessions without transport.
    pub(crate) fn end_all_parked<O: Outbox>(&mut self, out: &mut O) {
        let keys: Vec<SessionKey> = self.broker.parked.keys().copied().collect();
        for key in keys {
            self.end_parked(key, well_known::SYSTEM_SHUTDOWN, "the router shuts down", out);
        }
    }
}
