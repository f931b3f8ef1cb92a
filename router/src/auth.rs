//! Authentication: one step machine per method. They run in the registry.
//!
//! The client's order of methods decides; the first that the transport is configured for gets the attempt, and there is no
//! second chance with the next one. An unknown identity takes the same steps and gets the same answer as a wrong secret.
//! What the proofs are is in [`crate::credentials`].

use std::borrow::Cow;

use crossring_codec::id::SessionId;
use crossring_codec::message::HelloDetails;
use crossring_codec::uri::{Match, Strictness, is_valid, well_known};
use crossring_codec::value::{Dict, Value};

use crate::address::{Now, RealmId, RoleId, TransportId};
use crate::config::{
    AnonymousConfig, Principal, RouterConfig, Secret, Source, TRUSTED, TransportAuthentication,
};
use crate::credentials::cra::Derivation;
use crate::details::TransportDetails;
use crate::inquiry::{Answer, Question};
use crate::limits::LIMIT_EXCEEDED;
use crate::rng::SecretGenerator;

pub(crate) mod cookie;
mod cra;
mod cryptosign;
mod dynamic;
mod failures;
mod scram;
mod ticket;

pub use failures::FailureReport;
pub(crate) use failures::{Claimant, Failures};
pub(crate) use ticket::is_same_secret;

/// What happens next in an attempt to join.
#[derive(Debug)]
pub(crate) enum Step {
    /// The peer has to answer a challenge.
    Challenge(Box<Pending>, Dict),
    /// A procedure has to be asked.
    Ask(Box<Pending>, Question),
    /// A key has to be derived from a password.
    Derive(Box<Pending>, Secret, Derivation),
    /// The peer is who it says.
    Accept(Identity),
    /// ABORT.
    Deny(Denial),
}

/// Why an attempt was denied.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Denial {
    /// `ABORT.Reason`
    pub(crate) reason: Cow<'static, str>,
    /// `ABORT.Details.message`
    pub(crate) message: String,
}

impl Denial {
    /// The proof is wrong, or there is nobody of that name: nobody outside shall tell which.
    fn not_authorized(message: impl Into<String>) -> Self {
        Self { reason: well_known::NOT_AUTHORIZED.into(), message: message.into() }
    }

    /// More keys wait to be derived than may.
    pub(crate) fn busy() -> Self {
        let message = "too many attempts to join at the same time: try again later".to_owned();
        Self { reason: well_known::AUTHENTICATION_FAILED.into(), message }
    }

    /// Whether the peer may have guessed: everything but what is wrong with the router, its authenticator or the realm.
    fn is_failure(&self) -> bool {
        ![
            well_known::INVALID_URI,
            well_known::NO_SUCH_REALM,
            well_known::NO_SUCH_ROLE,
            well_known::NO_MATCHING_AUTH_METHOD,
            well_known::AUTHENTICATION_FAILED,
            well_known::NO_SUCH_PROCEDURE,
            well_known::NO_AVAILABLE_CALLEE,
            well_known::CANCELED,
            well_known::TIMEOUT,
            well_known::SYSTEM_SHUTDOWN,
            LIMIT_EXCEEDED,
        ]
        .contains(&&*self.reason)
    }
}

/// An established identity.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    pub(crate) authid: Box<str>,
    pub(crate) method: Method,
    pub(crate) provider: Provider,
    /// `WELCOME.Details.authextra`, beyond what every session is told.
    pub(crate) authextra: Option<Box<Dict>>,
}

/// Where an identity is from: `authprovider`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Provider {
    /// The configuration.
    Static,
    /// An earlier login, by a cookie.
    Cookie,
}

impl Provider {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Provider::Static => "static",
            Provider::Cookie => "cookie",
        }
    }
}

/// The methods the router speaks.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    Anonymous,
    Ticket,
    Cra,
    Scram,
    /// SCRAM in Autobahn's dialect.
    AutobahnScram,
    Cryptosign,
    /// The router's own sessions.
    Trusted,
}

impl Method {
    /// What clients may ask for.
    const OFFERED: [Method; 6] = [
        Method::Anonymous,
        Method::Ticket,
        Method::Cra,
        Method::Scram,
        Method::AutobahnScram,
        Method::Cryptosign,
    ];

    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Method::Anonymous => "anonymous",
            Method::Ticket => "ticket",
            Method::Cra => "wampcra",
            Method::Scram => "wamp-scram",
            Method::AutobahnScram => "scram",
            Method::Cryptosign => "cryptosign",
            Method::Trusted => "trusted",
        }
    }

    fn from_wire(word: &str) -> Option<Self> {
        Self::OFFERED.into_iter().find(|method| method.as_str() == word)
    }
}

/// HELLO, and what an attempt needs to know beside it.
pub(crate) struct Attempt<'a> {
    pub(crate) config: &'a RouterConfig,
    pub(crate) transport: TransportId,
    /// What is known of the transport.
    pub(crate) channel: &'a TransportDetails,
    /// The realm asked for.
    pub(crate) realm: Option<&'a str>,
    pub(crate) details: &'a HelloDetails<'a>,
    /// The session's id, if it is admitted.
    pub(crate) session: SessionId,
    pub(crate) now: Now,
    pub(crate) random: &'a mut SecretGenerator,
}

impl Attempt<'_> {
    fn authid(&self) -> Option<&str> {
        self.details.authid.as_deref()
    }

    /// A text of `HELLO.Details.authextra`; null is as good as absent.
    fn extra(&self, key: &str) -> Option<&Value> {
        let entry = self.details.authextra.iter().find(|(name, _)| name == key);
        entry.map(|(_, value)| value).filter(|value| **value != Value::Null)
    }

    fn random_octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next_u64().to_le_bytes()[..chunk.len()]);
        }
        octets
    }
}

/// What a principal gets when its proof is right.
#[derive(Debug)]
struct Grant {
    authid: Box<str>,
    role: Box<str>,
    /// The realm asked for; absent: the principal's.
    requested: Option<RealmId>,
    /// The only realm of the principal.
    only: Option<Box<str>>,
}

impl Grant {
    fn of(principal: &impl Principal, requested: Option<RealmId>) -> Self {
        Self {
            authid: principal.authid().into(),
            role: principal.role().into(),
            requested,
            only: principal.realm().map(Into::into),
        }
    }
}

/// An attempt that waits for AUTHENTICATE.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) session: SessionId,
    /// Whose failure it is, if it fails.
    pub(crate) claimant: Claimant,
    method: Method,
    proof: Proof,
    /// Absent: there is nobody of that name, so no proof is right.
    grant: Option<Grant>,
}

#[derive(Debug)]
enum Proof {
    Ticket(ticket::Proof),
    Cra(cra::Proof),
    Scram(scram::Proof),
    Cryptosign(cryptosign::Proof),
    /// A procedure decides about the ticket.
    DynamicTicket(dynamic::Asking),
}

impl Pending {
    /// The method of the challenge.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }
}

/// Who the router's own sessions are.
const SERVICE_AUTHID: &str = "crossring-service-agent";

/// HELLO.
pub(crate) fn begin(mut attempt: Attempt<'_>) -> Step {
    let config = attempt.config;
    let realm = match attempt.realm.map(|name| find_realm(config, name)).transpose() {
        Ok(realm) => realm,
        Err(denial) => return Step::Deny(denial),
    };
    if attempt.transport == TransportId::SERVICE {
        let identity = Claim { role: TRUSTED, authid: SERVICE_AUTHID.into(), method: Method::Trusted };
        return accept(config, realm, identity, Dict::new());
    }
    let Some(methods) = config.transports.get(usize::from(attempt.transport.0)) else { return no_method() };
    let details = attempt.details;
    let offered = details.authmethods.iter().map(|method| &**method);
    let default = details.authmethods.is_empty().then_some("anonymous");
    for method in offered.chain(default).filter_map(Method::from_wire) {
        if let Some(step) = try_method(method, methods, realm, &mut attempt) {
            return step;
        }
    }
    no_method()
}

/// Begins with one method; `None` where the transport is not configured for it.
fn try_method(
    method: Method,
    methods: &TransportAuthentication,
    realm: Option<RealmId>,
    attempt: &mut Attempt<'_>,
) -> Option<Step> {
    let challenged = match method {
        Method::Anonymous => {
            return methods.anonymous.as_ref().map(|anonymous| accept_anonymous(anonymous, realm, attempt));
        }
        Method::Ticket => match methods.ticket.as_ref()? {
            Source::Static(principals) => Ok(ticket::begin(principals, realm, attempt)),
            Source::Dynamic(authenticator) => dynamic::begin(authenticator, method, realm, attempt),
        },
        Method::Cra if !methods.cra.is_empty() => cra::begin(&methods.cra, realm, attempt),
        Method::Scram | Method::AutobahnScram if !methods.scram.is_empty() => {
            scram::begin(method, &methods.scram, realm, attempt)
        }
        Method::Cryptosign if !methods.cryptosign.is_empty() => {
            cryptosign::begin(&methods.cryptosign, realm, attempt)
        }
        _ => return None,
    };
    Some(match challenged {
        Ok(Challenged { proof, grant, extra }) => {
            let (session, claimant) = (attempt.session, Claimant::default());
            Step::Challenge(Box::new(Pending { session, claimant, method, proof, grant }), extra)
        }
        Err(denial) => Step::Deny(denial),
    })
}

/// A challenge: what will be a right answer to it, who has then proved to be who, and what the peer is told.
struct Challenged {
    proof: Proof,
    grant: Option<Grant>,
    extra: Dict,
}

/// AUTHENTICATE.
pub(crate) fn proceed(
    config: &RouterConfig,
    channel: &TransportDetails,
    mut pending: Pending,
    signature: &str,
    extra: &Dict,
) -> Step {
    let proved = match &mut pending.proof {
        Proof::Ticket(proof) => proof.check(signature),
        Proof::Cra(proof) => match proof.derivation(signature) {
            Some((password, derivation)) => return Step::Derive(Box::new(pending), password, derivation),
            None => proof.check(signature),
        },
        Proof::Scram(proof) => proof.check(signature, extra),
        Proof::Cryptosign(proof) => proof.check(signature),
        Proof::DynamicTicket(asking) => {
            let question = asking.ask(config, channel, pending.session, vec![entry("ticket", signature)]);
            return match question {
                Ok(question) => Step::Ask(Box::new(pending), question),
                Err(denial) => Step::Deny(denial),
            };
        }
    };
    conclude(config, pending, proved)
}

fn conclude(config: &RouterConfig, pending: Pending, proved: Result<Dict, Denial>) -> Step {
    let (authextra, grant) = match (proved, pending.grant) {
        (Ok(authextra), Some(grant)) => (authextra, grant),
        (Ok(_), None) => return Step::Deny(Denial::not_authorized(pending.proof.failure())),
        (Err(denial), _) => return Step::Deny(denial),
    };
    accept_granted(config, pending.method, grant, authextra)
}

/// The key of [`Step::Derive`] has been derived; `None`: it cannot be.
pub(crate) fn derived(config: &RouterConfig, pending: Pending, key: Option<&Secret>) -> Step {
    let Proof::Cra(proof) = &pending.proof else { return no_method() };
    let proved = proof.derived(key);
    conclude(config, pending, proved)
}

/// The procedure asked by [`Step::Ask`] has answered.
pub(crate) fn answered(config: &RouterConfig, pending: Pending, answer: Answer) -> Step {
    let Proof::DynamicTicket(asking) = &pending.proof else { return no_method() };
    match asking.read(config, answer) {
        Ok((grant, authextra)) => accept_granted(config, pending.method, grant, authextra),
        Err(denial) => Step::Deny(denial),
    }
}

fn accept_granted(config: &RouterConfig, method: Method, grant: Grant, authextra: Dict) -> Step {
    let only = match grant.only.as_deref().map(|name| find_realm(config, name)).transpose() {
        Ok(only) => only,
        Err(denial) => return Step::Deny(denial),
    };
    // The principal's own realm wins over the one asked for, as it does in Crossbar.io.
    let realm = only.or(grant.requested);
    accept(config, realm, Claim { role: &grant.role, authid: grant.authid, method }, authextra)
}

impl Proof {
    /// What the peer is told when its proof is wrong, in Crossbar.io's words.
    fn failure(&self) -> &'static str {
        match self {
            Proof::Ticket(_) | Proof::DynamicTicket(_) => ticket::FAILURE,
            Proof::Cra(_) => cra::FAILURE,
            Proof::Scram(_) => scram::FAILURE,
            Proof::Cryptosign(_) => cryptosign::FAILURE,
        }
    }
}

fn accept_anonymous(anonymous: &AnonymousConfig, realm: Option<RealmId>, attempt: &mut Attempt<'_>) -> Step {
    let authid = anonymous.authid.clone().or_else(|| cookie::anonymous_authid(attempt));
    let authid = authid.unwrap_or_else(|| serial_number(attempt.random));
    let claim = Claim { role: &anonymous.role, authid, method: Method::Anonymous };
    accept(attempt.config, realm, claim, attempt.details.authextra.clone())
}

/// Who somebody has proved to be.
struct Claim<'a> {
    role: &'a str,
    authid: Box<str>,
    method: Method,
}

fn accept(config: &RouterConfig, realm: Option<RealmId>, claim: Claim<'_>, authextra: Dict) -> Step {
    let Some(realm) = realm else {
        return deny(well_known::NO_SUCH_REALM, "no realm requested".to_owned());
    };
    let Claim { role, authid, method } = claim;
    if role.is_empty() {
        return deny(well_known::NO_SUCH_ROLE, "no authrole assigned".to_owned());
    }
    let realm_config = &config.realms[usize::from(realm.0)];
    match realm_config.roles.iter().position(|known| &*known.name == role) {
        Some(index) => {
            let role = RoleId(index as u16);
            let authextra = (!authextra.is_empty()).then(|| Box::new(authextra));
            Step::Accept(Identity { realm, role, authid, method, provider: Provider::Static, authextra })
        }
        None => {
            deny(well_known::NO_SUCH_ROLE, format!("realm \"{}\" has no role \"{role}\"", realm_config.name))
        }
    }
}

fn find_realm(config: &RouterConfig, name: &str) -> Result<RealmId, Denial> {
    if !is_valid(name, Match::Exact, Strictness::Loose) {
        return Err(Denial {
            reason: well_known::INVALID_URI.into(),
            message: "invalid realm URI".to_owned(),
        });
    }
    match config.realms.iter().position(|realm| &*realm.name == name) {
        Some(index) => Ok(RealmId(index as u16)),
        None => Err(Denial {
            reason: well_known::NO_SUCH_REALM.into(),
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
    Step::Deny(Denial { reason: reason.into(), message })
}

/// An entry of a dict.
fn entry(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
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
mod tests;
