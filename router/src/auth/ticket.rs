//! `ticket`: a shared secret, sent in clear.

use crossring_codec::value::Dict;
use subtle::{Choice, ConstantTimeEq};

use super::dynamic::{Asking, Join};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Step, entry};
use crate::config::{Principals, Secret, Source, TicketPrincipal};

/// `ABORT.Details.message` for a wrong ticket.
const FAILURE: &str = "ticket in static WAMP-Ticket authentication is invalid";

/// Whether there is somebody of that name is not told before the ticket is there.
pub(super) fn hello(source: &Source<Principals<TicketPrincipal>>, hello: &Hello<'_>) -> Step {
    let (method, extra) = (Method::Ticket, Dict::new());
    match source {
        Source::Static(principals) => {
            let principal = hello.authid().and_then(|authid| principals.find(authid));
            let pending = Known {
                ticket: principal.and_then(|principal| principal.ticket.clone()),
                grant: principal.map(|principal| Grant::of(principal, hello)),
                authextra: hello.details.authextra.clone(),
            };
            Step::challenge(method, extra, pending)
        }
        Source::Dynamic(authenticator) => {
            Step::challenge(method, extra, Asked(Asking::new(authenticator, method, hello)))
        }
    }
}

/// Waits for a ticket that is known.
#[derive(Debug)]
struct Known {
    /// Absent: none is right.
    ticket: Option<Secret>,
    /// Absent: there is nobody of that name.
    grant: Option<Grant>,
    /// What the peer sent along, and is told again.
    authextra: Dict,
}

impl PendingAuthentication for Known {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, context: &mut Context<'_>) -> Step {
        let secret = self.ticket.as_ref().map(Secret::expose).unwrap_or_default();
        let same = is_same_secret(signature.as_bytes(), secret.as_bytes());
        let right = same & Choice::from(u8::from(self.ticket.is_some()));
        match self.grant.filter(|_| bool::from(right)) {
            Some(grant) => grant.accept(Method::Ticket, self.authextra, context).unwrap_or_else(Step::Deny),
            None => Step::Deny(Denial::not_authorized(FAILURE)),
        }
    }
}

/// Waits for a ticket about which a procedure decides.
#[derive(Debug)]
struct Asked(Asking);

impl PendingAuthentication for Asked {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, context: &mut Context<'_>) -> Step {
        self.0.ask(vec![entry("ticket", signature)], Join, context).unwrap_or_else(Step::Deny)
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
