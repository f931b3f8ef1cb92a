//! Attempts to join: from HELLO to WELCOME or ABORT.
//!
//! The methods decide each step; how many there may be, until when, and whether earlier failures forbid them, is decided here.

use crossring_codec::id::SessionId;
use crossring_codec::message::HelloDetails;
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use super::places::Member;
use super::{Channel, Registry, Session};
use crate::address::{Now, SessionAddress, TransportId};
use crate::auth::{self, Claimant, Context, Denial, FailureReport, Hello, Identity, Pending, Step};
use crate::config::{RouterConfig, TransportAuthentication};
use crate::derivation::{DerivedKey, Job, Outcome};
use crate::inquiry::{Answer, Asker, Inquiry};
use crate::letter::Letter;
use crate::lifecycle::NS_PER_MS;
use crate::outbox::Post;
use crate::rng::SecretGenerator;

/// Challenges, questions and keys to derive of one attempt. No method needs more than one of each.
const STEPS_MAX: u32 = 4;

/// An attempt to join.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The session's id, if it is admitted.
    session: SessionId,
    /// It is denied then.
    pub(super) deadline_ns: u64,
    channel: Channel,
    /// Whose failure it is, if it fails.
    claimant: Claimant,
    /// Steps so far.
    steps: u32,
    /// AUTHENTICATE has come.
    is_answered: bool,
}

impl Attempt {
    fn context<'a>(
        &'a self,
        now: Now,
        config: &'a RouterConfig,
        random: &'a mut SecretGenerator,
    ) -> Context<'a> {
        let channel = &*self.channel.details;
        let pseudonym = auth::cookie::pseudonym(config, self.channel.transport, channel);
        Context { realms: config, channel, session: self.session, pseudonym, now, random }
    }
}

impl Registry {
    pub(super) fn hello<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        channel: Channel,
        realm: Option<&str>,
        details: &HelloDetails<'_>,
        out: &mut P,
    ) {
        if details.resume_session.is_some() && !self.is_shutting_down {
            return self.resume(address, channel, realm, details, out);
        }
        let attempt = Attempt {
            session: self.new_session_id(),
            deadline_ns: now.monotonic_ns + u64::from(self.limits.join_timeout_ms) * NS_PER_MS,
            claimant: self.failures.claimant(&channel.details, details.authid.as_deref()),
            channel,
            steps: 0,
            is_answered: false,
        };
        let step = self.first_step(now, address, &attempt, &Hello { realm, details });
        if matches!(step, Step::Challenge(..) | Step::Ask(..) | Step::Derive(..)) {
            self.deadlines.push_back((attempt.deadline_ns, address));
        }
        self.take_step(now, address, Box::new(attempt), step, out);
    }

    fn first_step(
        &mut self,
        now: Now,
        address: SessionAddress,
        attempt: &Attempt,
        hello: &Hello<'_>,
    ) -> Step {
        if self.is_shutting_down {
            return Step::Deny(Denial::new(well_known::SYSTEM_SHUTDOWN, "the router shuts down"));
        }
        if attempt.channel.transport == TransportId::SERVICE && self.is_service(address) {
            return auth::trusted(hello.realm, &*self.config);
        }
        if let Some(step) = self.cookie_login(now, &attempt.channel, hello.details) {
            return step;
        }
        let none = TransportAuthentication::default();
        let methods = self.config.transports.get(usize::from(attempt.channel.transport.0));
        let mut context = attempt.context(now, &self.config, &mut self.random);
        let step = auth::hello(methods.unwrap_or(&none), hello, &mut context);
        self.failures.after_hello(now.monotonic_ns, &attempt.claimant, step)
    }

    /// Whether a service session has this place: one for each realm, the first ones of the last shard.
    fn is_service(&self, address: SessionAddress) -> bool {
        usize::from(address.shard.0) + 1 == self.shards && (address.key.slot as usize) < self.realms.len()
    }

    pub(super) fn authenticate<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        signature: &str,
        extra: &Dict,
        out: &mut P,
    ) {
        let step =
            |pending: Pending, context: &mut Context<'_>| pending.authenticate(signature, extra, context);
        self.next_step(now, address, None, step, out);
    }

    /// A procedure that had to be asked about an attempt to join has answered.
    pub(crate) fn attempt_answered<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        session: SessionId,
        answer: Answer,
        out: &mut P,
    ) {
        let step = |pending: Pending, context: &mut Context<'_>| pending.answered(answer, context);
        self.next_step(now, address, Some(session), step, out);
    }

    /// A key that had to be derived for an attempt to join is there.
    pub(crate) fn attempt_derived<P: Post>(&mut self, now: Now, derived: DerivedKey, out: &mut P) {
        self.derivations_open = self.derivations_open.saturating_sub(1);
        let DerivedKey { address, session, outcome, .. } = derived;
        let key = match outcome {
            Outcome::Derived(key) => Some(key),
            Outcome::OutOfBounds => None,
            // It ends by its deadline, if it has not yet: no failure of who wanted to join.
            Outcome::Late => return,
        };
        let step = |pending: Pending, context: &mut Context<'_>| pending.derived(key, context);
        self.next_step(now, address, Some(session), step, out);
    }

    /// Keys to derive since the last time.
    pub(crate) fn take_derivations(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.derivations)
    }

    /// Whoever attempted to join has left. While its proof is being looked at, which takes others' time, that is a failure: it could go on
    /// like this for ever.
    pub(super) fn abandoned(&mut self, now: Now, attempt: &Attempt) {
        if attempt.is_answered {
            self.failures.failed(now.monotonic_ns, &attempt.claimant);
        }
        self.prune_deadlines();
    }

    /// The next step of an attempt, if it is still the one of `session`, which only AUTHENTICATE does not know.
    fn next_step<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        session: Option<SessionId>,
        step: impl FnOnce(Pending, &mut Context<'_>) -> Step,
        out: &mut P,
    ) {
        let is_same = matches!(self.places.member(address), Member::Pending(attempt, _)
            if session.is_none_or(|session| session == attempt.session));
        if !is_same {
            return;
        }
        let Member::Pending(mut attempt, pending) = self.places.take(address) else { return };
        attempt.steps += 1;
        attempt.is_answered |= session.is_none();
        let mut context = attempt.context(now, &self.config, &mut self.random);
        let step = || step(pending, &mut context);
        let step = self.failures.after_proof(now.monotonic_ns, &attempt.claimant, step);
        self.take_step(now, address, attempt, step, out);
    }

    fn take_step<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        attempt: Box<Attempt>,
        step: Step,
        out: &mut P,
    ) {
        match step {
            Step::Accept(identity) => {
                self.admit(address, *attempt, identity, out);
                self.note_cookie(now, address);
            }
            Step::Deny(denial) => self.refuse(address, &denial, out),
            Step::Challenge(..) | Step::Ask(..) | Step::Derive(..) if attempt.steps >= STEPS_MAX => {
                let denial = Denial::new(well_known::AUTHENTICATION_FAILED, "too many steps");
                self.refuse(address, &denial, out);
            }
            Step::Challenge(pending, challenge) => {
                *self.places.make(address) = Member::Pending(attempt, pending);
                let method = challenge.method.as_str().into();
                out.post(
                    address.shard,
                    Letter::Challenge { key: address.key, method, extra: challenge.extra },
                );
            }
            Step::Derive(_, _, _) if self.derivations_open >= self.limits.derivations_max => {
                self.refuse(address, &Denial::busy(), out);
            }
            Step::Derive(pending, password, derivation) => {
                self.derivations_open += 1;
                let (session, deadline_ns) = (attempt.session, attempt.deadline_ns);
                let asked_ns = now.monotonic_ns;
                self.derivations.push(Job { address, session, asked_ns, deadline_ns, password, derivation });
                *self.places.make(address) = Member::Pending(attempt, pending);
            }
            Step::Ask(pending, question) => {
                // The attempt ends before the call does: then its deadline is what the peer is told.
                let left_ms = attempt.deadline_ns.saturating_sub(now.monotonic_ns) / NS_PER_MS + 1;
                let timeout_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
                let asker = Asker::Attempt { address, session: attempt.session };
                *self.places.make(address) = Member::Pending(attempt, pending);
                self.inquiries.push(Inquiry { asker, question, timeout_ms });
            }
        }
    }

    /// Attempts to join that have failed, or been refused because others had, since the last time; `None`: none.
    pub(crate) fn take_failures(&mut self) -> Option<FailureReport> {
        self.failures.take_report()
    }

    /// What has to be asked since the last time.
    pub(crate) fn take_inquiries(&mut self) -> Vec<Inquiry> {
        std::mem::take(&mut self.inquiries)
    }

    pub(super) fn refuse<P: Post>(&mut self, address: SessionAddress, denial: &Denial, out: &mut P) {
        *self.places.make(address) = Member::Nobody;
        self.prune_deadlines();
        let (reason, message) = ((*denial.reason).into(), denial.message.as_str().into());
        out.post(address.shard, Letter::Refuse { key: address.key, reason, message });
    }

    fn admit<P: Post>(&mut self, address: SessionAddress, attempt: Attempt, identity: Identity, out: &mut P) {
        let mut joined = Session::new(attempt.session, identity, attempt.channel);
        let mut admission = self.admission(&joined);
        joined.resumption = self.make_resumable(&joined, &mut admission.details);
        self.settle_in(address, joined);
        self.prune_deadlines();
        out.post(address.shard, Letter::Admit { key: address.key, admission: Box::new(admission) });
        self.note_joined(address);
    }

    /// Denies the attempts whose time is over.
    pub(super) fn expire_attempts<P: Post>(&mut self, now: Now, out: &mut P) {
        self.prune_deadlines();
        while let Some((_, address)) =
            self.deadlines.front().copied().filter(|entry| entry.0 <= now.monotonic_ns)
        {
            let denial = Denial::new(well_known::AUTHENTICATION_FAILED, "authentication timeout");
            self.refuse(address, &denial, out);
        }
    }

    /// Forgets deadlines at the front that have been met.
    pub(super) fn prune_deadlines(&mut self) {
        while let Some(&(deadline_ns, address)) = self.deadlines.front() {
            if matches!(self.places.member(address), Member::Pending(attempt, _) if attempt.deadline_ns == deadline_ns)
            {
                return;
            }
            self.deadlines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
