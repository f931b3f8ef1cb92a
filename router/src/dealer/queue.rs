//! Calls that wait for a free slot: the shards' part (the protocol is in `registry/queue.rs`).
//!
//! On the caller's shard the call itself waits, among the calls. While one of this shard waits, all others that would go
//! the same way go behind it. On the callee's shard, who has been told that calls wait reserves its free slots for them.

use std::num::NonZeroU64;
use std::sync::Arc;

use crossring_codec::id::RegistrationId;
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;

use super::call::{Attempt, Question};
use super::{Call, Caller, Candidate, Dealer, Registration};
use crate::address::{CallAddress, CallKey, RealmId, SessionAddress, SessionKey, ShardId, ShardSet};
use crate::config::RealmConfig;
use crate::letter::{self, Declined, Letter, Parcel, Turn, Wait};
use crate::limits::{LIMIT_EXCEEDED, Limits};
use crate::outbox::Outbox;
use crate::pattern::PatternTable;
use crate::rendezvous::ResourceKey;
use crate::shard::{Deferred, Shard};

/// CALLs kept with the one they continue. Protects the caller's shard.
const MORE_MAX: usize = 1024;

/// Slots of a callee that are offered to the queue at a time. Protects the registry.
const OFFERS_MAX: u64 = 8;

/// How a callee stands to the queue of its registration.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Of a local callee: calls wait, so free slots are for the queue only.
    is_wanted: bool,
    /// Of a local callee: slots reserved, among those that count as outstanding.
    reserved: u64,
    /// Of a local callee: shards whose calls it has refused. What they have sent meanwhile must not overtake.
    refused: ShardSet,
    /// Calls of this shard that wait for this callee because it serves their resource key.
    awaited: u32,
    /// Of a callee elsewhere: it has refused a call of this shard, and waits to hear that the others may come.
    has_refused: bool,
}

/// A call of a local caller that waits.
#[derive(Debug)]
pub(super) struct Queued {
    call: Box<letter::Call>,
    /// The callee that serves its resource key, and the ticket under which it was added; absent: the policy decides.
    server: Option<(SessionAddress, u64)>,
    /// What the caller has said beyond its first CALL; `true`: more follows.
    more: Vec<(bool, Parcel)>,
    /// Of the payloads.
    octets: usize,
}

/// The turn of a call has come.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) call: CallKey,
    pub(crate) registration: RegistrationId,
    pub(crate) callee: SessionAddress,
    pub(crate) ticket: u64,
    pub(crate) arrival: u64,
}

impl Candidate {
    /// Whether it takes no more calls, as far as this shard knows.
    pub(super) fn is_full(&self) -> bool {
        let Slots { is_wanted, awaited, .. } = self.slots;
        self.callee.concurrency.is_some_and(|limit| self.outstanding >= limit || is_wanted || awaited > 0)
    }

    /// Reserves a free slot for the queue, if there is one and calls wait.
    fn reserve(&mut self) -> bool {
        let has_room = self.callee.concurrency.is_some_and(|limit| self.outstanding < limit);
        let reserves = has_room && self.slots.is_wanted && self.slots.reserved < OFFERS_MAX;
        self.outstanding += u64::from(reserves);
        self.slots.reserved += u64::from(reserves);
        reserves
    }

    /// Gives a reservation up: the slot is free, or the invocation's that it was made for.
    fn end_reservation(&mut self, is_used: bool) {
        if self.slots.reserved > 0 {
            self.slots.reserved -= 1;
            self.outstanding -= u64::from(!is_used && self.outstanding > 0);
        }
    }

    /// Whether it has refused calls of this shard since this was asked last.
    pub(super) fn take_refusal(&mut self) -> bool {
        std::mem::take(&mut self.slots.has_refused)
    }
}

impl Caller {
    /// Counts octets of payload that wait; `false`: they would be too many.
    fn may_keep(&mut self, octets: usize, limits: &Limits) -> bool {
        let has_room = self.queued_octets + octets <= limits.queued_octets_per_session_max as usize;
        self.queued_octets += if has_room { octets } else { 0 };
        has_room
    }
}

impl Registration {
    /// Counts a call that waits: for the callee returned, which serves its resource key, or for whomever the policy chooses.
    fn wait(&mut self, rkey: Option<ResourceKey>) -> Option<(SessionAddress, u64)> {
        let Some(index) = rkey.and_then(|rkey| self.server(rkey, |_| true)) else {
            self.queued += 1;
            return None;
        };
        let candidate = &mut self.candidates[index];
        candidate.slots.awaited += 1;
        Some((candidate.callee.address, candidate.ticket))
    }
}

impl Dealer {
    /// The reverse of [`Registration::wait`].
    fn end_wait(&mut self, id: RegistrationId, server: Option<(SessionAddress, u64)>) {
        if let Some((callee, ticket)) = server {
            let candidate = self.candidate_mut(id, callee).filter(|candidate| candidate.ticket == ticket);
            if let Some(candidate) = candidate {
                candidate.slots.awaited -= 1;
            }
        } else if let Some(registration) = self.registrations.get_mut(id.get()) {
            registration.queued = registration.queued.saturating_sub(1);
        }
    }

    /// The rules of all realms.
    pub(super) fn queue_rules(realms: &[RealmConfig], seed: u64) -> Vec<PatternTable<u32>> {
        let table = |realm: &RealmConfig| {
            let mut table = PatternTable::new(seed);
            for rule in &realm.store.call_queue {
                table.insert(&Arc::from(&*rule.uri), rule.match_policy, rule.limit);
            }
            table
        };
        realms.iter().map(table).collect()
    }

    /// A callee of another shard has refused a call.
    pub(super) fn note_refusal(&mut self, id: RegistrationId, callee: SessionAddress, ticket: u64) {
        let candidate = self.candidate_mut(id, callee).filter(|candidate| candidate.ticket == ticket);
        if let Some(candidate) = candidate {
            candidate.slots.has_refused = !candidate.is_local;
        }
    }

    fn local_candidate(
        &mut self,
        registration: RegistrationId,
        callee: SessionAddress,
        ticket: Option<u64>,
    ) -> Option<&mut Candidate> {
        let candidate = self.candidate_mut(registration, callee)?;
        (candidate.is_local && ticket.is_none_or(|ticket| candidate.ticket == ticket)).then_some(candidate)
    }
}

/// How many calls of a procedure may wait for one registration; `None`: none.
fn rule(rules: &[PatternTable<u32>], realm: RealmId, procedure: &str) -> Option<u32> {
    rules.get(usize::from(realm.0))?.best(procedure).filter(|limit| *limit > 0)
}

/// How many calls may wait where this one may. One that a callee declines although it is free may not.
pub(super) fn queue_limit(
    rules: &[PatternTable<u32>],
    realm: RealmId,
    question: &Question<'_>,
    attempt: &Attempt,
) -> Option<u32> {
    rule(rules, realm, question.procedure).filter(|_| !attempt.found_unavailable)
}

// ---- The caller's shard.
impl Shard {
    /// Lets a call wait, if a rule says that it may.
    pub(super) fn enqueue<O: Outbox>(
        &mut self,
        key: CallKey,
        question: &Question<'_>,
        attempt: &Attempt,
        out: &mut O,
    ) -> bool {
        let Some(call) = self.dealer.calls.get(key.index, key.generation) else { return false };
        let id = call.registration;
        let Some(registration) = self.dealer.registrations.get_mut(id.get()) else { return false };
        let limit = queue_limit(&self.dealer.queue_rules, registration.realm, question, attempt);
        let Some(limit) = limit else { return false };
        let caller = self.sessions.get_mut(call.caller).and_then(|session| session.caller.as_mut());
        let octets = question.payload.octets.len();
        if !caller.is_some_and(|caller| caller.may_keep(octets, &self.limits)) {
            return false;
        }
        let server = registration.wait(question.rkey);
        if question.options.timeout_ms > 0 {
            self.start_timeout(key, question.options.timeout_ms, false);
        }
        if let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) {
            call.callee = None;
            let origin = CallAddress { shard: self.id, key };
            let call_letter = question.unaddressed(origin, id, Attempt::default());
            let queued = Queued { call: call_letter, server, more: Vec::new(), octets };
            call.rare_mut().queued = Some(Box::new(queued));
        }
        self.counters.calls_queued += 1;
        let wait = Wait { call: key, rkey: question.rkey, arrival: question.arrival, limit };
        self.post(ShardId::CONTROL, Letter::Enqueue { registration: id, wait }, out);
        true
    }

    /// The registry: it is a call's turn.
    pub(crate) fn granted<O: Outbox>(&mut self, granted: &Granted, out: &mut O) {
        let &Granted { call: key, registration, callee, ticket, arrival } = granted;
        let Some(Queued { mut call, more, .. }) = self.take_queued(key) else {
            return self.post(ShardId::CONTROL, Letter::SlotFree { registration, callee, ticket }, out);
        };
        call.turn = Turn { arrival: Some(arrival), is_reserved: true, is_resumption: true };
        if !self.aim(&mut call, registration, callee, ticket) {
            self.place_letter(&call, Attempt::default(), out);
        } else if callee.shard != self.id {
            self.post(callee.shard, Letter::Call(call), out);
        } else if let Some((call, why)) = self.try_letter(call, false, out) {
            self.give_back(call, why, out);
        }
        self.go_on(key, &more, out);
    }

    /// What the caller has said meanwhile goes where its call has gone.
    fn go_on<O: Outbox>(&mut self, key: CallKey, more: &[(bool, Parcel)], out: &mut O) {
        for (progress, parcel) in more {
            let payload = parcel.payload();
            if !self.let_more_queue(key, *progress, &payload, out) {
                self.send_more(key, *progress, &payload, out);
            }
        }
    }

    /// Keeps more of a call that waits; `false`: it does not.
    pub(super) fn let_more_queue<O: Outbox>(
        &mut self,
        key: CallKey,
        progress: bool,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> bool {
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return false };
        let queued = call.rare.as_mut().and_then(|rare| rare.queued.as_mut());
        let Some(queued) = queued else { return false };
        let caller = self.sessions.get_mut(call.caller).and_then(|session| session.caller.as_mut());
        let octets = payload.octets.len();
        let may_keep = || caller.is_some_and(|caller| caller.may_keep(octets, &self.limits));
        if queued.more.len() < MORE_MAX && may_keep() {
            queued.octets += octets;
            queued.more.push((progress, Parcel::pack(payload)));
        } else {
            self.fail(CallAddress { shard: self.id, key }, LIMIT_EXCEEDED, out);
        }
        true
    }

    /// Addresses a call to the callee it has been granted; `false`: that callee has left.
    fn aim(
        &mut self,
        call: &mut letter::Call,
        registration: RegistrationId,
        callee: SessionAddress,
        ticket: u64,
    ) -> bool {
        let key = call.origin.key;
        let Some(candidate) = self.dealer.candidate_mut(registration, callee) else { return false };
        if candidate.ticket != ticket {
            return false;
        }
        candidate.slots.has_refused = false;
        let is_counted = candidate.callee.concurrency.is_some() && !candidate.is_local;
        candidate.outstanding += u64::from(is_counted);
        let (disclose_caller, forward_timeout) =
            (candidate.callee.disclose_caller, candidate.callee.forward_timeout);
        (call.registration, call.callee, call.ticket) = (registration, callee.key, ticket);
        if let Some(record) = self.dealer.calls.get_mut(key.index, key.generation) {
            record.registration = registration;
            record.callee = Some(callee);
            record.slot = NonZeroU64::new(ticket).filter(|_| is_counted);
        }
        if call.disclose || disclose_caller {
            call.disclosure = self.disclosure(key, &call.options);
        }
        if call.options.timeout_ms > 0 {
            self.start_timeout(key, call.options.timeout_ms, forward_timeout);
        }
        true
    }

    /// The registry: a call cannot wait.
    pub(crate) fn dismissed<O: Outbox>(&mut self, key: CallKey, is_full: bool, out: &mut O) {
        let Some(Queued { mut call, more, .. }) = self.take_queued(key) else { return };
        if is_full {
            return self.fail(call.origin, well_known::MAX_CONCURRENCY_REACHED, out);
        }
        call.turn = Turn::default();
        self.place_letter(&call, Attempt::default(), out);
        self.go_on(key, &more, out);
    }

    /// Ends the waiting of a call.
    fn take_queued(&mut self, key: CallKey) -> Option<Queued> {
        let call = self.dealer.calls.get_mut(key.index, key.generation)?;
        let queued = call.rare.as_mut()?.queued.take()?;
        let (caller, registration) = (call.caller, call.registration);
        self.end_wait(caller, registration, &queued);
        Some(*queued)
    }

    fn end_wait(&mut self, caller: SessionKey, registration: RegistrationId, queued: &Queued) {
        self.dealer.end_wait(registration, queued.server);
        if let Some(caller) = self.sessions.get_mut(caller).and_then(|session| session.caller.as_mut()) {
            caller.queued_octets = caller.queued_octets.saturating_sub(queued.octets);
        }
    }

    /// A call is over that has been waiting.
    pub(super) fn give_up_waiting(&mut self, key: CallKey, call: &Call, queued: &Queued) {
        self.end_wait(call.caller, call.registration, queued);
        self.deferred.push_back(Deferred::Dequeue { call: key, registration: call.registration });
    }
}

// ---- The callee's shard.
impl Shard {
    /// Takes a slot of a local callee for a call that a letter brings: of the callee added under the ticket returned.
    pub(super) fn admit(
        &mut self,
        call: &letter::Call,
        callee: SessionAddress,
    ) -> Result<Option<NonZeroU64>, Declined> {
        let from = call.origin.shard;
        let is_foreign = from != self.id;
        let candidate = self.dealer.local_candidate(call.registration, callee, None);
        let Some(candidate) = candidate else { return Ok(None) };
        let ticket = candidate.ticket;
        if is_foreign && call.turn.is_resumption {
            candidate.slots.refused.remove(from);
        }
        if call.turn.is_reserved && ticket == call.ticket && candidate.slots.reserved > 0 {
            candidate.end_reservation(true);
            self.defer_offer(call.registration, callee.key);
            return Ok(NonZeroU64::new(ticket));
        }
        let must_stand_back = is_foreign && candidate.slots.refused.contains(from);
        if !candidate.is_full() && !must_stand_back {
            candidate.outstanding += 1;
            return Ok(NonZeroU64::new(ticket));
        }
        if is_foreign {
            self.note_refused(call, callee);
        }
        Err(Declined::Busy)
    }

    /// A call of another shard is refused that may wait.
    fn note_refused(&mut self, call: &letter::Call, callee: SessionAddress) {
        let Some(realm) = self.sessions.get(callee.key).map(|session| session.realm) else { return };
        if rule(&self.dealer.queue_rules, realm, &call.procedure).is_some()
            && let Some(candidate) = self.dealer.local_candidate(call.registration, callee, None)
        {
            candidate.slots.refused.insert(call.origin.shard);
        }
    }

    /// A call with a reserved slot is over before it has come to its callee.
    pub(super) fn unreserve(&mut self, call: &letter::Call) {
        let callee = SessionAddress { shard: self.id, key: call.callee };
        let candidate = self.dealer.local_candidate(call.registration, callee, Some(call.ticket));
        if let (Some(candidate), true) = (candidate, call.turn.is_reserved) {
            candidate.end_reservation(false);
            self.defer_offer(call.registration, callee.key);
        }
    }

    /// The registry: calls wait for a local callee, or do not any more.
    pub(crate) fn want(&mut self, registration: RegistrationId, callee: SessionKey, is_wanted: bool) {
        let address = SessionAddress { shard: self.id, key: callee };
        if let Some(candidate) = self.dealer.local_candidate(registration, address, None) {
            candidate.slots.is_wanted = is_wanted;
            self.defer_offer(registration, callee);
        }
    }

    /// The registry: nobody waits for a slot that has been reserved.
    pub(crate) fn void_reservation(&mut self, registration: RegistrationId, callee: SessionKey, ticket: u64) {
        let address = SessionAddress { shard: self.id, key: callee };
        if let Some(candidate) = self.dealer.local_candidate(registration, address, Some(ticket)) {
            candidate.end_reservation(false);
            self.defer_offer(registration, callee);
        }
    }

    /// A slot of a callee may have become free.
    pub(super) fn defer_offer(&mut self, registration: RegistrationId, callee: SessionKey) {
        let address = SessionAddress { shard: self.id, key: callee };
        let candidate = self.dealer.local_candidate(registration, address, None);
        if candidate.is_some_and(|candidate| candidate.slots.is_wanted) {
            self.deferred.push_back(Deferred::Offer { registration, callee });
        }
    }

    /// Offers the free slots of a wanted callee to the queue, while it has a transport.
    pub(crate) fn offer<O: Outbox>(&mut self, registration: RegistrationId, callee: SessionKey, out: &mut O) {
        let address = SessionAddress { shard: self.id, key: callee };
        if self.sessions.get(callee).is_none() {
            return;
        }
        while let Some(candidate) = self.dealer.local_candidate(registration, address, None)
            && candidate.reserve()
        {
            let ticket = candidate.ticket;
            let letter = Letter::SlotFree { registration, callee: address, ticket };
            self.post(ShardId::CONTROL, letter, out);
        }
    }
}
