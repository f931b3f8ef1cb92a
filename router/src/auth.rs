//! Authentication: step machines, one per method. They run in the registry.
//!
//! The client's order of methods decides; the first that the transport is configured for gets the attempt, and there is no
//! second chance with the next one. An unknown identity takes the same steps and gets the same answer as a wrong secret.

use crossring_codec::message::HelloDetails;
use crossring_codec::uri::{Match, Strictness, is_valid, well_known};
use crossring_codec::value::Dict;
use subtle::{Choice, ConstantTimeEq};

use crate::address::{RealmId, RoleId, TransportId};
use crate::config::{AnonymousConfig, RouterConfig, TRUSTED, TicketPrincipal};
use crate::rng::SecretGenerator;

/// What happens next in an attempt to join.
#[derive(Debug)]
pub(crate) enum Step {
    /// The peer has to answer a challenge.
    Challenge(Pending, Dict),
    /// The peer is who it says.
    Accept(Identity),
    /// ABORT.
    Deny(Denial),
}

/// Why an attempt was denied.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Denial {
    /// `ABORT.Reason`
    pub(crate) reason: &'static str,
    /// `ABORT.Details.message`
    pub(crate) message: String,
}

/// An established identity.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    pub(crate) authid: Box<str>,
    pub(crate) method: Method,
}

/// The methods the router speaks.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    Anonymous,
    Ticket,
    /// The router's own sessions.
    Trusted,
}

impl Method {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Method::Anonymous => "anonymous",
            Method::Ticket => "ticket",
            Method::Trusted => "trusted",
        }
    }

    fn from_wire(word: &str) -> Option<Self> {
        [Method::Anonymous, Method::Ticket].into_iter().find(|method| method.as_str() == word)
    }
}

/// An attempt that waits for AUTHENTICATE.
#[derive(Debug)]
pub(crate) enum Pending {
    /// The principal asked for, if there is one; the transport it came through; the realm asked for.
    Ticket { transport: TransportId, principal: Option<usize>, realm: Option<RealmId> },
}

impl Pending {
    /// The method of the challenge.
    pub(crate) const fn method(&self) -> Method {
        match self {
            Pending::Ticket { .. } => Method::Ticket,
        }
    }
}

/// Who the router's own sessions are.
const SERVICE_AUTHID: &str = "crossring-service-agent";

/// HELLO.
pub(crate) fn begin(
    config: &RouterConfig,
    transport: TransportId,
    realm: Option<&str>,
    details: &HelloDetails<'_>,
    random: &mut SecretGenerator,
) -> Step {
    let realm = match realm.map(|name| find_realm(config, name)).transpose() {
        Ok(realm) => realm,
        Err(denial) => return Step::Deny(denial),
    };
    if transport == TransportId::SERVICE {
        return accept(config, realm, TRUSTED, SERVICE_AUTHID.into(), Method::Trusted);
    }
    let Some(methods) = config.transports.get(usize::from(transport.0)) else { return no_method() };
    let offered = details.authmethods.iter().map(|method| &**method);
    let default = details.authmethods.is_empty().then_some("anonymous");
    for method in offered.chain(default).filter_map(Method::from_wire) {
        match (method, &methods.anonymous) {
            (Method::Anonymous, Some(anonymous)) => {
                return accept_anonymous(config, anonymous, realm, random);
            }
            (Method::Ticket, _) if !methods.ticket.is_empty() => {
                let authid = details.authid.as_deref();
                let principal = methods.ticket.iter().position(|known| Some(&*known.authid) == authid);
                return Step::Challenge(Pending::Ticket { transport, principal, realm }, Dict::new());
            }
            _ => {}
        }
    }
    no_method()
}

/// AUTHENTICATE.
pub(crate) fn proceed(config: &RouterConfig, pending: &Pending, signature: &str) -> Step {
    match *pending {
        Pending::Ticket { transport, principal, realm } => {
            let principals = config.transports.get(usize::from(transport.0)).map(|methods| &methods.ticket);
            let known = principal.and_then(|index| principals?.get(index));
            check_ticket(config, known, realm, signature)
        }
    }
}

fn accept_anonymous(
    config: &RouterConfig,
    anonymous: &AnonymousConfig,
    realm: Option<RealmId>,
    random: &mut SecretGenerator,
) -> Step {
    let authid = anonymous.authid.clone().unwrap_or_else(|| serial_number(random));
    accept(config, realm, &anonymous.role, authid, Method::Anonymous)
}

fn check_ticket(
    config: &RouterConfig,
    principal: Option<&TicketPrincipal>,
    realm: Option<RealmId>,
    signature: &str,
) -> Step {
    let ticket = principal.and_then(|principal| principal.ticket.as_deref());
    let same = is_same_secret(signature.as_bytes(), ticket.unwrap_or_default().as_bytes());
    let (Some(principal), true) = (principal, bool::from(same) && ticket.is_some()) else {
        return deny(well_known::AUTHENTICATION_DENIED, "ticket authentication failed".to_owned());
    };
    let only = match principal.realm.as_deref().map(|name| find_realm(config, name)).transpose() {
        Ok(only) => only,
        Err(denial) => return Step::Deny(denial),
    };
    if only.is_some() && realm.is_some() && only != realm {
        let message = format!("\"{}\" may join another realm only", principal.authid);
        return deny(well_known::NOT_AUTHORIZED, message);
    }
    let realm = realm.or(only);
    accept(config, realm, &principal.role, principal.authid.clone(), Method::Ticket)
}

fn accept(
    config: &RouterConfig,
    realm: Option<RealmId>,
    role: &str,
    authid: Box<str>,
    method: Method,
) -> Step {
    let Some(realm) = realm else {
        return deny(well_known::NO_SUCH_REALM, "no realm requested".to_owned());
    };
    let realm_config = &config.realms[usize::from(realm.0)];
    match realm_config.roles.iter().position(|known| &*known.name == role) {
        Some(index) => Step::Accept(Identity { realm, role: RoleId(index as u16), authid, method }),
        None => {
            deny(well_known::NO_SUCH_ROLE, format!("realm \"{}\" has no role \"{role}\"", realm_config.name))
        }
    }
}

fn find_realm(config: &RouterConfig, name: &str) -> Result<RealmId, Denial> {
    if !is_valid(name, Match::Exact, Strictness::Loose) {
        return Err(Denial { reason: well_known::INVALID_URI, message: "invalid realm URI".to_owned() });
    }
    match config.realms.iter().position(|realm| &*realm.name == name) {
        Some(index) => Ok(RealmId(index as u16)),
        None => Err(Denial {
            reason: well_known::NO_SUCH_REALM,
            message: format!("no realm \"{name}\" exists on this router"),
        }),
    }
}

fn no_method() -> Step {
    deny(
        well_known::NO_MATCHING_AUTH_METHOD,
        "cannot authenticate using any of the offered authmethods".to_owned(),
    )
}

fn deny(reason: &'static str, message: String) -> Step {
    Step::Deny(Denial { reason, message })
}

/// Takes time in the length of what the peer sent, whatever the secret is.
fn is_same_secret(given: &[u8], secret: &[u8]) -> Choice {
    let same_length = (given.len() as u64).ct_eq(&(secret.len() as u64));
    given.iter().enumerate().fold(same_length, |same, (index, octet)| {
        same & octet.ct_eq(&secret.get(index).copied().unwrap_or_default())
    })
}

/// A random identity in Crossbar.io's form: `3MVW-P45R-WXRW-7USX-9EKU-7QPF`.
fn serial_number(random: &mut SecretGenerator) -> Box<str> {
    const ALPHABET: &[u8] = b"345679ACEFGHJKLMNPQRSTUVWXY";
    const GROUPS: usize = 6;
    let group = |random: &mut SecretGenerator| -> String {
        (0..4).map(|_| char::from(ALPHABET[random.below(ALPHABET.len() as u64) as usize])).collect()
    };
    let groups: Vec<String> = (0..GROUPS).map(|_| group(random)).collect();
    groups.join("-").into()
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

    #[test]
    fn serial_numbers_have_crossbars_form() {
        let serial = serial_number(&mut SecretGenerator::new(1));
        assert_eq!((serial.len(), serial.split('-').count()), (29, 6));
    }
}
