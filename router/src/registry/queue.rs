//! Calls that wait until a callee has a free slot: one queue for each registration, over all shards.
//!
//! The queue holds tokens, in the order of arrival; the calls stay on their callers' shards.
//!
//! * A caller's shard finds all callees busy and sends `Enqueue`. The registry sends `Want` to the shards of the callees
//!   that may serve the token, and `Unwant` when they may serve none any more.
//! * A wanted callee takes calls of the queue only: its shard reserves each slot that becomes free, and sends `SlotFree`.
//! * The registry answers that by `Grant` for the oldest token that the callee may serve, to the caller's shard, which
//!   sends the call (or `SlotFree` again, when the call is over); or by `Release`, when there is none any more.
//!
//! So the oldest call is always the next, and nobody who comes later passes it. A callee without a limit is not asked.

use std::collections::BTreeMap;
use std::ops::Range;

use crossring_codec::id::RegistrationId;
use crossring_codec::message::InvocationPolicy;

use super::{Registration, Registry};
use crate::address::{CallAddress, SessionAddress, ShardId};
use crate::letter::{Letter, ResourceKey, Wait};
use crate::outbox::Post;
use crate::table::IntegerState;

/// The calls that wait for one registration.
#[derive(Debug)]
pub(super) struct Queue {
    /// By line and arrival.
    tokens: BTreeMap<Place, Token>,
    places: hashbrown::HashMap<CallAddress, Place, IntegerState>,
}

type Place = (Line, u64);

/// For whom a call waits.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Line {
    /// Whom the policy chooses.
    Policy,
    /// The one who serves its resource key.
    Callee(SessionAddress),
}

/// A call that waits.
#[derive(Copy, Clone, Debug)]
struct Token {
    call: CallAddress,
    rkey: Option<ResourceKey>,
}

impl Queue {
    fn new(integers: IntegerState) -> Self {
        Self { tokens: BTreeMap::new(), places: hashbrown::HashMap::with_hasher(integers) }
    }

    fn insert(&mut self, place: Place, token: Token) {
        self.tokens.insert(place, token);
        self.places.insert(token.call, place);
    }

    /// Takes a token out of its line.
    fn remove(&mut self, call: CallAddress) -> Option<Line> {
        let place = self.places.remove(&call)?;
        self.tokens.remove(&place);
        Some(place.0)
    }

    fn first_of(&self, line: Line) -> Option<(u64, CallAddress)> {
        let (place, token) = self.tokens.range((line, 0)..=(line, u64::MAX)).next()?;
        Some((place.1, token.call))
    }

    /// All tokens, the oldest first.
    fn drain(&mut self) -> Vec<(u64, Token)> {
        self.places.clear();
        let tokens = std::mem::take(&mut self.tokens).into_iter();
        let mut tokens: Vec<(u64, Token)> = tokens.map(|(place, token)| (place.1, token)).collect();
        tokens.sort_unstable_by_key(|(arrival, _)| *arrival);
        tokens
    }
}

impl Registration {
    /// Calls that wait.
    pub(crate) fn calls_queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.tokens.len())
    }

    fn line(&self, rkey: Option<ResourceKey>) -> Line {
        let server = rkey.and_then(|rkey| rkey.server(self.callees.iter().map(|callee| callee.address)));
        server.map_or(Line::Policy, Line::Callee)
    }

    /// The callees that the policy chooses among when all are busy.
    fn chosen(&self) -> Range<usize> {
        let count = self.callees.len();
        match self.invoke {
            InvocationPolicy::Single | InvocationPolicy::First => 0..count.min(1),
            InvocationPolicy::Last => count.saturating_sub(1)..count,
            InvocationPolicy::RoundRobin | InvocationPolicy::Random => 0..count,
        }
    }

    /// The oldest call that a callee may serve.
    fn next_for(&self, index: usize) -> Option<(u64, CallAddress)> {
        let queue = self.queue.as_ref()?;
        let own = Line::Callee(self.callees[index].address);
        let policy = queue.first_of(Line::Policy).filter(|_| self.chosen().contains(&index));
        policy.into_iter().chain(queue.first_of(own)).min()
    }

    /// Takes a call out of the queue; `true`: it was the last of its line.
    fn take(&mut self, call: CallAddress) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        let Some(line) = queue.remove(call) else { return false };
        let was_last = queue.first_of(line).is_none();
        if queue.tokens.is_empty() {
            self.queue = None;
        }
        was_last
    }

    /// Puts everybody in the line that is theirs, now that there are other callees than before.
    fn line_up(&mut self) {
        let Some(mut queue) = self.queue.take() else { return };
        for (arrival, token) in queue.drain() {
            queue.insert((self.line(token.rkey), arrival), token);
        }
        self.queue = Some(queue);
    }
}

impl Registry {
    /// A call has found all callees busy.
    pub(super) fn enqueue<P: Post>(&mut self, from: ShardId, id: RegistrationId, wait: &Wait, out: &mut P) {
        let integers = self.integers;
        let Some(registration) = self.registrations.get_mut(id.get()) else {
            return out.post(from, Letter::Dismiss { call: wait.call, is_full: false });
        };
        if wait.arrival.is_none() && registration.calls_queued() >= wait.limit as usize {
            return out.post(from, Letter::Dismiss { call: wait.call, is_full: true });
        }
        self.arrival_last += u64::from(wait.arrival.is_none());
        let arrival = wait.arrival.unwrap_or(self.arrival_last);
        let token = Token { call: CallAddress { shard: from, key: wait.call }, rkey: wait.rkey };
        let line = registration.line(wait.rkey);
        let queue = registration.queue.get_or_insert_with(|| Box::new(Queue::new(integers)));
        let is_first = queue.first_of(line).is_none();
        queue.insert((line, arrival), token);
        if is_first {
            self.review(id, out);
        }
    }

    /// A call does not wait any more.
    pub(super) fn dequeue<P: Post>(&mut self, id: RegistrationId, call: CallAddress, out: &mut P) {
        if self.registrations.get_mut(id.get()).is_some_and(|registration| registration.take(call)) {
            self.review(id, out);
        }
    }

    /// A slot of a callee is reserved for the next call.
    pub(super) fn slot_free<P: Post>(
        &mut self,
        id: RegistrationId,
        address: SessionAddress,
        ticket: u64,
        out: &mut P,
    ) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        let at = |callee: &super::Callee| callee.address == address && callee.added == ticket;
        let Some(index) = registration.callees.iter().position(at) else { return };
        let is_here = !registration.callees[index].is_away;
        match is_here.then(|| self.grant_next(id, index, out)).flatten() {
            Some(true) => self.review(id, out),
            Some(false) => {}
            None => {
                let release = Letter::Release { registration: id, callee: address.key, ticket };
                out.post(address.shard, release);
            }
        }
    }

    /// The callees are others than before.
    pub(super) fn callees_changed<P: Post>(&mut self, id: RegistrationId, out: &mut P) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        registration.line_up();
        self.review(id, out);
    }

    /// The registration is gone, and has left this queue.
    pub(super) fn dismiss<P: Post>(&mut self, queue: Option<Box<Queue>>, out: &mut P) {
        let tokens = queue.map(|mut queue| queue.drain()).unwrap_or_default();
        for (_, Token { call, .. }) in tokens {
            out.post(call.shard, Letter::Dismiss { call: call.key, is_full: false });
        }
    }

    /// Sees to it that exactly those callees tell when they have a free slot who may serve somebody that waits.
    fn review<P: Post>(&mut self, id: RegistrationId, out: &mut P) {
        let count = self.registrations.get(id.get()).map_or(0, |registration| registration.callees.len());
        for index in 0..count {
            while self.is_unlimited(id, index) && self.grant_next(id, index, out).is_some() {}
        }
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        for index in 0..count {
            let is_due = registration.next_for(index).is_some();
            let callee = &mut registration.callees[index];
            let (shard, key) = (callee.address.shard, callee.address.key);
            let is_present = callee.ticket.is_none() && !callee.is_away;
            if is_due && !callee.is_wanted && callee.is_limited && is_present {
                callee.is_wanted = true;
                out.post(shard, Letter::Want { registration: id, callee: key });
            } else if !is_due && callee.is_wanted {
                callee.is_wanted = false;
                out.post(shard, Letter::Unwant { registration: id, callee: key });
            }
        }
    }

    /// Whether a callee takes whatever comes: all shards know it, and it can be reached.
    fn is_unlimited(&self, id: RegistrationId, index: usize) -> bool {
        let callee = self.registrations.get(id.get()).and_then(|known| known.callees.get(index));
        callee.is_some_and(|callee| !callee.is_limited && callee.ticket.is_none() && !callee.is_away)
    }

    /// Gives a slot of a callee to the oldest call that it may serve; `None`: there is none. `true`: it was the last of
    /// its line.
    fn grant_next<P: Post>(&mut self, id: RegistrationId, index: usize, out: &mut P) -> Option<bool> {
        let registration = self.registrations.get_mut(id.get())?;
        let (arrival, call) = registration.next_for(index)?;
        let was_last = registration.take(call);
        let callee = &registration.callees[index];
        let (address, ticket) = (callee.address, callee.added);
        let grant = Letter::Grant { call: call.key, registration: id, callee: address, ticket, arrival };
        out.post(call.shard, grant);
        Some(was_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{CallKey, SessionKey};

    fn call(index: u32) -> CallAddress {
        CallAddress { shard: ShardId(0), key: CallKey { index, generation: 0 } }
    }

    fn callee(slot: u32) -> Line {
        Line::Callee(SessionAddress { shard: ShardId(0), key: SessionKey { slot, generation: 0 } })
    }

    fn queue(places: &[Place]) -> Queue {
        let mut queue = Queue::new(IntegerState::new(1));
        for (index, place) in places.iter().enumerate() {
            queue.insert(*place, Token { call: call(index as u32), rkey: None });
        }
        queue
    }

    #[test]
    fn each_line_is_first_in_first_out() {
        let mut queue = queue(&[(callee(1), 3), (Line::Policy, 2), (callee(1), 1), (Line::Policy, 4)]);
        assert_eq!(queue.first_of(Line::Policy), Some((2, call(1))));
        assert_eq!(queue.first_of(callee(1)), Some((1, call(2))));
        assert_eq!((queue.remove(call(2)), queue.remove(call(2))), (Some(callee(1)), None));
        assert_eq!(queue.first_of(callee(1)), Some((3, call(0))));
        assert_eq!(queue.first_of(callee(2)), None);
        let arrivals: Vec<u64> = queue.drain().into_iter().map(|(arrival, _)| arrival).collect();
        assert_eq!(arrivals, [2, 3, 4]);
        assert_eq!(queue.first_of(Line::Policy), None);
    }
}
