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

/// A key to derive. Every job has to be run, and its result given back.
pub struct Job {
    /// Whose attempt to join waits.
    pub(crate) address: SessionAddress,
    pub(crate) session: SessionId,
    pub(crate) password: Secret,
    pub(crate) derivation: Derivation,
}

impl Job {
    /// Derives the key. Takes up to seconds of processor time.
    pub fn run(self) -> DerivedKey {
        let key = self.derivation.derive(self.password.expose()).map(Secret::new);
        DerivedKey { address: self.address, session: self.session, key }
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
    /// Absent: the parameters are out of bounds.
    pub(crate) key: Option<Secret>,
}
