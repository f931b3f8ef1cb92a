//! `ticket`: a shared secret, sent in clear.

use crossring_codec::value::Dict;
use subtle::{Choice, ConstantTimeEq};

use super::{Attempt, Challenged, Denial, Grant};
use crate::address::RealmId;
use crate::config::{Principals, Secret, TicketPrincipal};

/// `ABORT.Details.message` for a wrong ticket.
pub(super) const FAILURE: &str = "ticket in static WAMP-Ticket authentication is invalid";

/// What will be a right answer.
#[derive(Debug)]
pub(super) struct Proof {
    /// Absent: none is right.
    ticket: Option<Secret>,
    /// What the peer sent along, and is told again.
    authextra: Dict,
}

pub(super) fn begin(
    principals: &Principals<TicketPrincipal>,
    realm: Option<RealmId>,
    attempt: &Attempt<'_>,
) -> Challenged {
    let principal = attempt.authid().and_then(|authid| principals.find(authid));
    Challenged {
        proof: super::Proof::Ticket(Proof {
            ticket: principal.and_then(|principal| principal.ticket.clone()),
            authextra: attempt.details.authextra.clone(),
        }),
        grant: principal.map(|principal| Grant::of(principal, realm)),
        extra: Dict::new(),
    }
}

impl Proof {
    pub(super) fn check(&self, signature: &str) -> Result<Dict, Denial> {
        let secret = self.ticket.as_ref().map(Secret::expose).unwrap_or_default();
        let same = is_same_secret(signature.as_bytes(), secret.as_bytes());
        let right = same & Choice::from(u8::from(self.ticket.is_some()));
        if bool::from(right) { Ok(self.authextra.clone()) } else { Err(Denial::not_authorized(FAILURE)) }
    }
}

/// Takes time in the length of what the peer sent, whatever the secret is.
pub(crate) fn is_same_secret(given: &[u8], secret: &[u8]) -> Choice {
    let same_length = (given.len() as u64).ct_eq(&(secret.len() as u64));
    given.iter().enumerate().fold(same_length, |same, (index, octet)| {
        same & octet.ct_eq(&secret.get(index).copied().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_only_when_all_octets_are() {
        assert!(bool::from(is_same_secret(b"secret", b"secret")));
        for wrong in [&b"secre"[..], b"secrets", b"secreT", b"", b"secret\0"] {
            assert!(!bool::from(is_same_secret(wrong, b"secret")));
        }
    }
}
