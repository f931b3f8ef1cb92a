//! The life of sessions: HELLO, WELCOME, ABORT, GOODBYE, and what a session that leaves leaves behind (wamp.md 7).

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_codec::message::{CloseDetails, HelloDetails, Message};
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use crate::address::{Now, SessionKey, ShardId, TransportId};
use crate::config::Secret;
use crate::details::TransportDetails;
use crate::letter::{Admission, Letter};
use crate::outbox::{EndCause, Outbox};
use crate::owned;
use crate::session::{Session, Sessions, State};
use crate::shard::Shard;

/// What is due when. All transports have the same time for a step, so entries are in the order of their deadlines.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    opened: VecDeque<(u64, SessionKey)>,
    closing: VecDeque<(u64, SessionKey)>,
}

impl Deadlines {
    /// The earliest deadline, in monotonic nanoseconds; it may have been met already.
    pub(crate) fn next(&self) -> Option<u64> {
        let earliest = |queue: &VecDeque<(u64, SessionKey)>| queue.front().map(|entry| entry.0);
        earliest(&self.opened).into_iter().chain(earliest(&self.closing)).min()
    }

    /// Forgets entries at the front that have been met.
    fn prune(&mut self, sessions: &Sessions) {
        let met = |entry: &(u64, SessionKey)| match *sessions.state(entry.1) {
            State::Opened { deadline_ns, .. } | State::Closing { deadline_ns } => deadline_ns != entry.0,
            _ => true,
        };
        for queue in [&mut self.opened, &mut self.closing] {
            while queue.front().is_some_and(met) {
                queue.pop_front();
            }
        }
    }
}

/// Nanoseconds of a millisecond.
pub(crate) const NS_PER_MS: u64 = 1_000_000;

impl Shard {
    /// Does what is due at `now`.
    pub fn expire<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.now = now;
        self.expire_calls(out);
        self.deadlines.prune(&self.sessions);
        while let Some((_, key)) = self.next_due(now) {
            let cause = match *self.sessions.state(key) {
                State::Opened { again: true, .. } => EndCause::Goodbye,
                State::Opened { .. } => EndCause::JoinTimeout,
                _ => EndCause::GoodbyeTimeout,
            };
            self.end(key, cause, out);
        }
    }

    fn next_due(&self, now: Now) -> Option<(u64, SessionKey)> {
        let fronts = [self.deadlines.opened.front(), self.deadlines.closing.front()];
        fronts.into_iter().flatten().copied().find(|entry| entry.0 <= now.monotonic_ns)
    }

    pub(crate) fn opened(
        &mut self,
        now: Now,
        key: SessionKey,
        transport: TransportId,
        details: Arc<TransportDetails>,
    ) {
        let state = self.opened_state(now, key, false);
        self.sessions.open(key, transport, details, state);
        self.deadlines.prune(&self.sessions);
    }

    fn opened_state(&mut self, now: Now, key: SessionKey, again: bool) -> State {
        let deadline_ns = now.monotonic_ns + u64::from(self.limits.join_timeout_ms) * NS_PER_MS;
        self.deadlines.opened.push_back((deadline_ns, key));
        State::Opened { deadline_ns, again }
    }

    /// A message of a transport without a joined session.
    pub(crate) fn unjoined_message<O: Outbox>(
        &mut self,
        now: Now,
        key: SessionKey,
        message: Message<'_>,
        out: &mut O,
    ) {
        match (self.sessions.state(key), message) {
            (State::Vacant | State::Ended, _) => {}
            (_, Message::Abort { .. }) => self.peer_aborted(key, out),
            (State::Held(_), message) => self.hold(now, key, message, out),
            (State::Opened { .. }, Message::Hello { realm, details }) => {
                self.hello(key, realm.as_deref(), *details, out);
            }
            (State::Challenged(_), Message::Authenticate { signature, extra }) => {
                self.authenticate(key, &signature, extra, out);
            }
            (State::Closing { .. }, Message::Goodbye { .. }) if self.is_shutting_down => {
                self.end(key, EndCause::Goodbye, out);
            }
            (State::Closing { .. }, Message::Goodbye { .. }) => {
                let state = self.opened_state(now, key, true);
                self.set_state(key, state);
            }
            (State::Closing { .. }, _) => {}
            _ => self.violate(key, "message not allowed before the session is established", out),
        }
    }

    fn hello<O: Outbox>(
        &mut self,
        key: SessionKey,
        realm: Option<&str>,
        details: HelloDetails<'_>,
        out: &mut O,
    ) {
        if details.roles.is_empty() && details.resume_session.is_none() {
            return self.violate(key, "HELLO without roles", out);
        }
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        slot.state = State::Joining(Box::new(details.roles));
        let letter = Letter::Hello {
            key,
            transport: slot.transport,
            transport_details: slot.details.clone().unwrap_or_default(),
            realm: realm.map(Box::from),
            details: Box::new(owned::hello(details)),
        };
        self.deadlines.prune(&self.sessions);
        self.post(ShardId::CONTROL, letter, out);
    }

    fn authenticate<O: Outbox>(&mut self, key: SessionKey, signature: &str, extra: Dict, out: &mut O) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        slot.state = match std::mem::take(&mut slot.state) {
            State::Challenged(roles) => State::Joining(roles),
            other => other,
        };
        let signature = Secret::new(signature);
        self.post(ShardId::CONTROL, Letter::Authenticate { key, signature, extra }, out);
    }

    /// The registry: the peer has to authenticate.
    pub(crate) fn challenged<O: Outbox>(&mut self, key: SessionKey, method: &str, extra: Dict, out: &mut O) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        match std::mem::take(&mut slot.state) {
            State::Joining(roles) => slot.state = State::Challenged(roles),
            other => {
                slot.state = other;
                return;
            }
        }
        let _ = out.send(key, &Message::Challenge { method: method.into(), extra });
    }

    /// The registry: the session is admitted.
    pub(crate) fn admitted<O: Outbox>(
        &mut self,
        now: Now,
        key: SessionKey,
        admission: Admission,
        out: &mut O,
    ) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        let roles = match std::mem::take(&mut slot.state) {
            State::Joining(roles) => *roles,
            other => {
                slot.state = other;
                return;
            }
        };
        let is_own = slot.details.as_ref().is_some_and(|details| details.is_in_process());
        let session = Session { is_own, ..Session::new(&admission, roles) };
        slot.state = State::Established(Box::new(session));
        self.sessions.joined += 1;
        self.counters.sessions_joined += 1;
        self.begin_statistics(now, key, out);
        let details = Box::new(admission.details);
        let _ = out.send(key, &Message::Welcome { session: admission.session, details });
    }

    /// The registry: the session is not admitted.
    pub(crate) fn refused<O: Outbox>(&mut self, key: SessionKey, reason: &str, message: &str, out: &mut O) {
        if matches!(self.sessions.state(key), State::Joining(_) | State::Challenged(_)) {
            self.set_state(key, State::Ended);
            self.abort(key, reason, message, out);
        }
    }

    /// The peer broke the protocol.
    pub(crate) fn violate<O: Outbox>(&mut self, key: SessionKey, text: &str, out: &mut O) {
        match self.sessions.state(key) {
            State::Vacant | State::Ended => {}
            State::Closing { .. } => self.end(key, EndCause::Aborted, out),
            _ => {
                self.leave(key, State::Ended, out);
                self.abort(key, well_known::PROTOCOL_VIOLATION, text, out);
            }
        }
    }

    /// ABORT from the peer.
    pub(crate) fn peer_aborted<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        self.leave(key, State::Ended, out);
        out.end(key, EndCause::PeerAborted);
    }

    /// GOODBYE from a joined peer: answered, and a new HELLO may come. `resumable`: the session shall be kept, if it can be;
    /// the transport is ended then.
    pub(crate) fn peer_left<O: Outbox>(&mut self, now: Now, key: SessionKey, resumable: bool, out: &mut O) {
        if resumable && self.freeze(key, State::Ended, out) {
            let details = CloseDetails { resumable: true, ..CloseDetails::default() };
            let _ = out.send(key, &Message::Goodbye { details, reason: well_known::GOODBYE_AND_OUT.into() });
            return out.end(key, EndCause::Goodbye);
        }
        let state = self.opened_state(now, key, true);
        let reason = well_known::GOODBYE_AND_OUT.into();
        let _ = out.send(key, &Message::Goodbye { details: CloseDetails::default(), reason });
        self.leave(key, state, out);
    }

    /// GOODBYE from us, if the session is joined.
    pub(crate) fn say_goodbye<O: Outbox>(
        &mut self,
        now: Now,
        key: SessionKey,
        reason: &str,
        message: Option<&str>,
        out: &mut O,
    ) {
        if self.sessions.get(key).is_none() {
            return;
        }
        let details = message.map(CloseDetails::with_message).unwrap_or_default();
        let _ = out.send(key, &Message::Goodbye { details, reason: reason.into() });
        let deadline_ns = now.monotonic_ns + u64::from(self.limits.goodbye_timeout_ms) * NS_PER_MS;
        self.deadlines.closing.push_back((deadline_ns, key));
        self.leave(key, State::Closing { deadline_ns }, out);
    }

    /// GOODBYE for joined sessions, ABORT for those that try to join. The router's own sessions stay to the end.
    pub(crate) fn shut_down<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.is_shutting_down = true;
        let keys: Vec<SessionKey> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.sessions.state(key) {
                State::Established(_) if self.is_trusted(key) => {}
                State::Established(_) | State::Held(_) => {
                    self.say_goodbye(now, key, well_known::SYSTEM_SHUTDOWN, None, out);
                }
                State::Opened { again: true, .. } => self.end(key, EndCause::Goodbye, out),
                State::Opened { .. } | State::Joining(_) | State::Challenged(_) => {
                    self.leave(key, State::Ended, out);
                    self.abort(key, well_known::SYSTEM_SHUTDOWN, "the router shuts down", out);
                }
                State::Vacant | State::Closing { .. } | State::Ended => {}
            }
        }
        self.end_all_parked(out);
    }

    /// The transport is gone.
    pub(crate) fn closed<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        if matches!(self.sessions.state(key), State::Vacant) {
            return;
        }
        if !self.freeze(key, State::Vacant, out) {
            self.leave(key, State::Vacant, out);
        }
        self.sessions.close(key);
    }

    pub(crate) fn abort<O: Outbox>(&mut self, key: SessionKey, reason: &str, message: &str, out: &mut O) {
        self.counters.aborts += 1;
        let details = CloseDetails::with_message(message);
        let _ = out.send(key, &Message::Abort { details, reason: reason.into() });
        out.end(key, EndCause::Aborted);
    }

    /// Ends a transport.
    pub(crate) fn end<O: Outbox>(&mut self, key: SessionKey, cause: EndCause, out: &mut O) {
        self.set_state(key, State::Ended);
        out.end(key, cause);
    }

    /// Puts a transport into another state; returns the former one.
    pub(crate) fn set_state(&mut self, key: SessionKey, state: State) -> State {
        let Some(slot) = self.sessions.slot_mut(key) else { return State::Vacant };
        let former = std::mem::replace(&mut slot.state, state);
        self.deadlines.prune(&self.sessions);
        former
    }

    /// Takes a session, or an attempt to join, out of everything (wamp.md 7.3). From here on nothing is sent to it.
    pub(crate) fn leave<O: Outbox>(&mut self, key: SessionKey, next: State, out: &mut O) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        let previous = std::mem::replace(&mut slot.state, next);
        self.deadlines.prune(&self.sessions);
        let previous = match previous {
            State::Held(held) => State::Established(self.release_held(key, *held, out)),
            other => other,
        };
        match previous {
            State::Established(mut session) => {
                self.sessions.joined -= 1;
                self.counters.sessions_left += 1;
                self.end_statistics(key, &mut session, out);
                self.drop_callee(key, &mut session, out);
                self.drop_caller(&mut session, out);
                self.drop_registrations(key, &session);
                self.drop_subscriptions(key, &session);
            }
            State::Joining(_) | State::Challenged(_) => {}
            _ => return,
        }
        self.post(ShardId::CONTROL, Letter::Leave { key }, out);
    }
}
