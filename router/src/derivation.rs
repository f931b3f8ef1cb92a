//! Keys that take long to derive from a password: work for threads that serve nobody.
//!
//! The core never derives such a key itself. It hands out a [`Job`], the host runs it where it delays no session, and gives
//! the [`DerivedKey`] back to [`crate::control::Control::derived`]. How many may be under way is bounded by
//! [`crate::limits::Limits::derivations_max`].

use std::fmt;

use crossring_codec::id::SessionId;

use crate::address::SessionAddress;
use crate::config::Secret;
use crate::credentials::cra::Derivation;

/// A key to derive. Every job has to be run, or given up through a [`Backlog`], and its result given back.
pub struct Job {
    /// Whose attempt to join waits.
    pub(crate) address: SessionAddress,
    pub(crate) session: SessionId,
    /// Since when, in monotonic nanoseconds.
    pub(crate) asked_ns: u64,
    /// Until when, in monotonic nanoseconds.
    pub(crate) deadline_ns: u64,
    pub(crate) password: Secret,
    pub(crate) derivation: Derivation,
}

impl Job {
    /// Derives the key. Takes up to seconds of processor time.
    pub fn run(self) -> DerivedKey {
        let outcome = match self.derivation.derive(self.password.expose()) {
            Some(key) => Outcome::Derived(Secret::new(key)),
            None => Outcome::OutOfBounds,
        };
        self.end(outcome)
    }

    fn end(self, outcome: Outcome) -> DerivedKey {
        DerivedKey { address: self.address, session: self.session, asked_ns: self.asked_ns, outcome }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What a job has derived.
#[derive(Debug)]
pub struct DerivedKey {
    pub(crate) address: SessionAddress,
    pub(crate) session: SessionId,
    asked_ns: u64,
    pub(crate) outcome: Outcome,
}

impl DerivedKey {
    /// When the core handed out the job, in monotonic nanoseconds.
    pub fn asked_ns(&self) -> u64 {
        self.asked_ns
    }
}

/// What has become of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The key.
    Derived(Secret),
    /// The parameters are out of bounds.
    OutOfBounds,
    /// It was not run: the attempt was over.
    Late,
}

/// Jobs that wait for one thread.
///
/// The newest is run first. When more come than can be run, the oldest first would mean that each is run when its attempt is
/// about to end, and hardly anybody joins; like this as many join as there are keys.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Oldest first.
    jobs: Vec<Job>,
}

impl Backlog {
    /// One more job waits.
    pub fn add(&mut self, job: Job) {
        self.jobs.push(job);
    }

    /// The next result at this time in monotonic nanoseconds; `None`: no job waits. First come those whose attempts are over,
    /// which takes no time. Then the newest job is run, which takes up to seconds of processor time.
    pub fn run_next(&mut self, now_ns: u64) -> Option<DerivedKey> {
        match self.jobs.iter().position(|job| job.deadline_ns <= now_ns) {
            Some(late) => Some(self.jobs.remove(late).end(Outcome::Late)),
            None => self.jobs.pop().map(Job::run),
        }
    }
}
