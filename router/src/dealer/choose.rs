//! Which callee of a registration gets a call (wamp.md 2.2.9, 2.2.10).

use crossring_codec::id::RegistrationId;
use crossring_codec::message::InvocationPolicy;

use super::{Candidate, Dealer, Registration};
use crate::address::SessionAddress;
use crate::rendezvous::ResourceKey;
use crate::rng::FastGenerator;

/// The outcome of a choice.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// The candidate at this index.
    Candidate(usize),
    /// There are some, but all are at their concurrency limit.
    Busy,
    /// There is none (left).
    Nobody,
}

impl Registration {
    /// Chooses among the candidates that have not refused. Only `roundrobin` and `random` pass over busy ones. Callees of
    /// other shards that seem busy are the last resort: whether they are, their shard knows.
    ///
    /// A resource key overrules the policy: only the callee that serves it will do.
    pub(crate) fn choose(
        &mut self,
        rkey: Option<ResourceKey>,
        refused: &[SessionAddress],
        random: &mut FastGenerator,
    ) -> Choice {
        let asked = |candidate: &Candidate| !refused.contains(&candidate.callee.address);
        if let Some(rkey) = rkey {
            return self.unless_full(self.server(rkey, asked));
        }
        match self.invoke {
            InvocationPolicy::Single | InvocationPolicy::First => {
                self.unless_full(self.candidates.iter().position(asked))
            }
            InvocationPolicy::Last => self.unless_full(self.candidates.iter().rposition(asked)),
            InvocationPolicy::RoundRobin => self.next_in_turn(asked),
            InvocationPolicy::Random => self.by_chance(asked, random),
        }
    }

    pub(super) fn server(&self, rkey: ResourceKey, asked: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let address = |candidate: &Candidate| candidate.callee.address;
        let server = rkey.server(self.candidates.iter().filter(|known| asked(known)).map(address))?;
        self.candidates.iter().position(|candidate| candidate.callee.address == server)
    }

    fn unless_full(&self, index: Option<usize>) -> Choice {
        match index.map(|index| (index, &self.candidates[index])) {
            Some((_, candidate)) if candidate.is_local && candidate.is_full() => Choice::Busy,
            Some((index, _)) => Choice::Candidate(index),
            None => Choice::Nobody,
        }
    }

    fn next_in_turn(&mut self, asked: impl Fn(&Candidate) -> bool) -> Choice {
        let count = self.candidates.len();
        let turn = |step| (self.cursor + step) % count;
        let mut last_resort = Choice::Nobody;
        for index in (0..count).map(turn) {
            let candidate = &self.candidates[index];
            if !asked(candidate) {
                continue;
            }
            if !candidate.is_full() {
                last_resort = Choice::Candidate(index);
                break;
            }
            match last_resort {
                Choice::Nobody | Choice::Busy if !candidate.is_local => {
                    last_resort = Choice::Candidate(index)
                }
                Choice::Nobody => last_resort = Choice::Busy,
                Choice::Busy | Choice::Candidate(_) => {}
            }
        }
        if let Choice::Candidate(index) = last_resort {
            self.cursor = (index + 1) % count;
        }
        last_resort
    }

    fn by_chance(&self, asked: impl Fn(&Candidate) -> bool, random: &mut FastGenerator) -> Choice {
        let free = |candidate: &Candidate| asked(candidate) && !candidate.is_full();
        let elsewhere = |candidate: &Candidate| asked(candidate) && !candidate.is_local;
        if let Some(index) = self.draw(free, random).or_else(|| self.draw(elsewhere, random)) {
            return Choice::Candidate(index);
        }
        if self.candidates.iter().any(asked) { Choice::Busy } else { Choice::Nobody }
    }

    fn draw(&self, among: impl Fn(&Candidate) -> bool, random: &mut FastGenerator) -> Option<usize> {
        let count = self.candidates.iter().filter(|candidate| among(candidate)).count();
        let wanted = random.below(count as u64) as usize;
        (0..self.candidates.len()).filter(|index| among(&self.candidates[*index])).nth(wanted)
    }

    /// Takes a candidate out; the turn of the others stays.
    pub(crate) fn take_candidate(&mut self, address: SessionAddress) -> Option<Candidate> {
        let index = self.candidates.iter().position(|candidate| candidate.callee.address == address)?;
        let candidate = self.candidates.remove(index);
        if index < self.cursor {
            self.cursor -= 1;
        }
        if self.cursor >= self.candidates.len() {
            self.cursor = 0;
        }
        Some(candidate)
    }
}

impl Dealer {
    /// An invocation of a callee that was added under `ticket` is over: its slot is free.
    pub(crate) fn release(&mut self, registration: RegistrationId, callee: SessionAddress, ticket: u64) {
        if let Some(candidate) = self.candidate_mut(registration, callee)
            && candidate.ticket == ticket
        {
            candidate.outstanding = candidate.outstanding.saturating_sub(1);
        }
    }

    pub(super) fn candidate_mut(
        &mut self,
        registration: RegistrationId,
        callee: SessionAddress,
    ) -> Option<&mut Candidate> {
        let registration = self.registrations.get_mut(registration.get())?;
        registration.candidates.iter_mut().find(|candidate| candidate.callee.address == callee)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossring_codec::uri::Match;

    use super::*;
    use crate::address::{RealmId, SessionKey, ShardId};
    use crate::dealer::Slots;
    use crate::letter::Callee;

    fn address(slot: u32) -> SessionAddress {
        SessionAddress { shard: ShardId(0), key: SessionKey { slot, generation: 0 } }
    }

    fn registration(invoke: InvocationPolicy, count: u32, concurrency: Option<u64>) -> Registration {
        let candidate = |slot| Candidate {
            callee: Callee {
                address: address(slot),
                disclose_caller: false,
                forward_timeout: false,
                concurrency,
            },
            ticket: 0,
            is_local: true,
            outstanding: 0,
            slots: Slots::default(),
        };
        Registration {
            id: RegistrationId::from_random(0),
            realm: RealmId(0),
            uri: Arc::from("com.x"),
            match_policy: Match::Exact,
            invoke,
            candidates: (0..count).map(candidate).collect(),
            cursor: 0,
            queued: 0,
        }
    }

    fn slots(registration: &mut Registration, calls: usize) -> Vec<u32> {
        let mut random = FastGenerator::new(1);
        (0..calls)
            .filter_map(|_| match registration.choose(None, &[], &mut random) {
                Choice::Candidate(index) => Some(registration.candidates[index].callee.address.key.slot),
                Choice::Busy | Choice::Nobody => None,
            })
            .collect()
    }

    #[test]
    fn the_turn_survives_leaving_callees() {
        let mut registration = registration(InvocationPolicy::RoundRobin, 3, None);
        assert_eq!(slots(&mut registration, 4), [0, 1, 2, 0]);
        registration.take_candidate(address(0));
        assert_eq!(slots(&mut registration, 3), [1, 2, 1]);
        registration.take_candidate(address(2));
        assert_eq!(slots(&mut registration, 2), [1, 1]);
    }

    #[test]
    fn first_last_and_random() {
        assert_eq!(slots(&mut registration(InvocationPolicy::First, 3, None), 2), [0, 0]);
        assert_eq!(slots(&mut registration(InvocationPolicy::Last, 3, None), 2), [2, 2]);
        let drawn = slots(&mut registration(InvocationPolicy::Random, 3, None), 300);
        assert!((0..3).all(|slot| drawn.iter().filter(|&&drawn| drawn == slot).count() > 60), "{drawn:?}");
    }

    #[test]
    fn busy_callees_are_passed_over_in_turn_only() {
        let mut random = FastGenerator::new(1);
        let mut turn = registration(InvocationPolicy::RoundRobin, 2, Some(1));
        turn.candidates[0].outstanding = 1;
        assert_eq!(turn.choose(None, &[], &mut random), Choice::Candidate(1));
        assert_eq!(turn.choose(None, &[address(1)], &mut random), Choice::Busy);
        assert_eq!(turn.choose(None, &[address(0), address(1)], &mut random), Choice::Nobody);
        let mut first = registration(InvocationPolicy::First, 2, Some(1));
        first.candidates[0].outstanding = 1;
        assert_eq!(first.choose(None, &[], &mut random), Choice::Busy);
        first.candidates[0].is_local = false;
        assert_eq!(first.choose(None, &[], &mut random), Choice::Candidate(0), "its shard decides");
        let mut chance = registration(InvocationPolicy::Random, 2, Some(1));
        chance.candidates[0].outstanding = 1;
        assert_eq!(chance.choose(None, &[], &mut random), Choice::Candidate(1));
    }
}
