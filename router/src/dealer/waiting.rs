//! Calls that came before their callee has got its REGISTERED, or behind one that did: they wait for it, in their order.

use crossring_codec::id::RegistrationId;

use super::Callee;
use super::progressive::Waiting;
use crate::address::{CallKey, SessionKey};
use crate::letter::{self, Declined};
use crate::outbox::Outbox;
use crate::shard::{Deferred, Shard};

impl Shard {
    /// Whether a call has to queue: because this shard has not been told of the callee although the caller's was, because
    /// the callee has not got its REGISTERED, or because others queue already.
    pub(super) fn must_wait(&self, callee: SessionKey, registration: RegistrationId, ticket: u64) -> bool {
        let Some(session) = self.sessions.get(callee) else { return false };
        let Some(callee) = &session.callee else { return ticket > self.ticket_seen };
        let held = || callee.registrations.get(&registration.get());
        !callee.waiting.is_empty()
            || ticket > self.ticket_seen
            || callee.unconfirmed > 0 && held().is_some_and(|held| !held.is_confirmed)
    }

    /// Queues a call behind others of a callee that has not got its REGISTERED.
    pub(super) fn let_wait(&mut self, callee: SessionKey, call: Box<letter::Call>) {
        let Some(session) = self.sessions.get_mut(callee) else {
            return self.deferred.push_back(Deferred::Return { call, why: Declined::Gone });
        };
        let most = session.limits(&self.limits).invocations_max as usize;
        let state = session.callee.get_or_insert_with(|| Box::new(Callee::new(self.integers)));
        if state.waiting.len() < most {
            state.waiting.push_back(Waiting::Call(call));
        } else {
            self.unreserve(&call);
            self.deferred.push_back(Deferred::Return { call, why: Declined::Busy });
        }
    }

    /// REGISTERED has been sent: calls that waited for it go on, in their order.
    pub(crate) fn flush_waiting<O: Outbox>(&mut self, key: SessionKey, out: &mut O) {
        while let Some(waiting) = self.next_waiting(key) {
            let call = match waiting {
                Waiting::Call(call) => call,
                Waiting::More(more) => {
                    self.pass_on(&more, out);
                    continue;
                }
            };
            if call.origin.shard == self.id && self.is_over(call.origin.key) {
                self.unreserve(&call);
                continue;
            }
            if let Some((call, why)) = self.try_letter(call, true, out) {
                self.give_back(call, why, out);
            }
        }
    }

    fn next_waiting(&mut self, key: SessionKey) -> Option<Waiting> {
        let callee = self.sessions.get_mut(key)?.callee.as_mut()?;
        if let Waiting::Call(front) = callee.waiting.front()? {
            let held = callee.registrations.get(&front.registration.get());
            if front.ticket > self.ticket_seen || held.is_some_and(|held| !held.is_confirmed) {
                return None;
            }
        }
        callee.waiting.pop_front()
    }

    fn is_over(&self, key: CallKey) -> bool {
        self.dealer.calls.get(key.index, key.generation).is_none()
    }
}
