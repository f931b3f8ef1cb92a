//! Authentication: one step machine per method. They run in the registry.
//!
//! HELLO leads to the first step: [`Step::Accept`], [`Step::Deny`], or a [`PendingAuthentication`] that waits for
//! AUTHENTICATE ([`Step::Challenge`]), for a procedure ([`Step::Ask`]) or for a key ([`Step::Derive`]) and then takes the next one. How many steps there may
//! be, and until when, is up to the registry. What a method knows of the node it knows from the [`RealmContainer`].
//!
//! The client's order of methods decides; the first that the transport is configured for gets the attempt, and there is no
//! second chance with the next one. An unknown identity of the configuration takes the same steps and gets the same answer as
//! a wrong secret. What the proofs are is in [`crate::credentials`].

use std::borrow::Cow;
use std::fmt;

use crossring_codec::id::SessionId;
use crossring_codec::message::HelloDetails;
use crossring_codec::uri::{Match, Strictness, is_valid, well_known};
use crossring_codec::value::{Dict, Value};

use crate::address::{Now, RealmId, RoleId};
use crate::config::{Principal, Secret, TransportAuthentication};
use crate::credentials::cra::Derivation;
use crate::details::TransportDetails;
use crate::inquiry::{Answer, Question};
use crate::rng::SecretGenerator;

mod anonymous;
mod binding;
mod chain;
pub(crate) mod cookie;
mod cra;
mod cryptosign;
mod dynamic;
mod failures;
mod proxy;
mod realms;
mod scram;
mod stand_in;
mod ticket;
mod tls;

pub use failures::FailureReport;
pub(crate) use failures::{Claimant, Failures};
pub(crate) use realms::RealmContainer;
pub(crate) use ticket::is_same_secret;

/// What happens next in an attempt to join.
#[derive(Debug)]
pub(crate) enum Step {
    /// The peer has to answer a challenge.
    Challenge(Pending, Challenge),
    /// A procedure has to be asked.
    Ask(Pending, Question),
    /// A key has to be derived from a password.
    Derive(Pending, Secret, Derivation),
    /// The peer is who it says.
    Accept(Identity),
    /// ABORT.
    Deny(Denial),
}

/// An attempt between two steps.
pub(crate) type Pending = Box<dyn PendingAuthentication>;

/// An attempt that waits. Each step consumes it: no challenge is answered twice.
pub(crate) trait PendingAuthentication: fmt::Debug + Send {
    /// AUTHENTICATE has come.
    fn authenticate(self: Box<Self>, signature: &str, extra: &Dict, context: &mut Context<'_>) -> Step {
        let _ = (signature, extra, context);
        Step::Deny(Denial::not_authorized("no pending authentication"))
    }

    /// The procedure asked by [`Step::Ask`] has answered.
    fn answered(self: Box<Self>, answer: Answer, context: &mut Context<'_>) -> Step {
        let _ = (answer, context);
        Step::Deny(Denial::not_authorized("no pending authentication"))
    }

    /// The key of [`Step::Derive`] has been derived; `None`: it cannot be.
    fn derived(self: Box<Self>, key: Option<Secret>, context: &mut Context<'_>) -> Step {
        let _ = (key, context);
        Step::Deny(Denial::not_authorized("no pending authentication"))
    }
}

/// CHALLENGE
#[derive(Debug, PartialEq)]
pub(crate) struct Challenge {
    pub(crate) method: Method,
    pub(crate) extra: Dict,
}

impl Step {
    fn challenge(method: Method, extra: Dict, pending: impl PendingAuthentication + 'static) -> Self {
        Step::Challenge(Box::new(pending), Challenge { method, extra })
    }
}

/// Why an attempt was denied.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Denial {
    /// `ABORT.Reason`
    pub(crate) reason: Cow<'static, str>,
    /// `ABORT.Details.message`
    pub(crate) message: String,
    /// Whether the peer may have guessed: not where something is wrong with the router, its authenticator or the realm.
    is_failure: bool,
}

impl Denial {
    /// Something is wrong, but not with what the peer has proved.
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), is_failure: false }
    }

    /// The proof is wrong, or there is nobody of that name: nobody outside shall tell which.
    fn not_authorized(message: impl Into<String>) -> Self {
        Self { is_failure: true, ..Self::new(well_known::NOT_AUTHORIZED, message) }
    }

    /// More keys wait to be derived than may.
    pub(crate) fn busy() -> Self {
        Self::new(
            well_known::AUTHENTICATION_FAILED,
            "too many attempts to join at the same time: try again later",
        )
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
    /// A procedure.
    Dynamic,
    /// An earlier login, by a cookie.
    Cookie,
}

impl Provider {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Provider::Static => "static",
            Provider::Dynamic => "dynamic",
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
    Tls,
    /// An earlier login; a session has the method of that time.
    Cookie,
    AnonymousProxy,
    CryptosignProxy,
    /// The router's own sessions.
    Trusted,
}

impl Method {
    /// What clients may ask for.
    const OFFERED: [Method; 10] = [
        Method::Anonymous,
        Method::Ticket,
        Method::Cra,
        Method::Scram,
        Method::AutobahnScram,
        Method::Cryptosign,
        Method::Tls,
        Method::Cookie,
        Method::AnonymousProxy,
        Method::CryptosignProxy,
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
            Method::Tls => "tls",
            Method::Cookie => "cookie",
            Method::AnonymousProxy => "anonymous-proxy",
            Method::CryptosignProxy => "cryptosign-proxy",
            Method::Trusted => "trusted",
        }
    }

    fn from_wire(word: &str) -> Option<Self> {
        Self::OFFERED.into_iter().find(|method| method.as_str() == word)
    }
}

/// HELLO.
pub(crate) struct Hello<'a> {
    /// The realm asked for.
    pub(crate) realm: Option<&'a str>,
    pub(crate) details: &'a HelloDetails<'a>,
}

impl Hello<'_> {
    fn authid(&self) -> Option<&str> {
        self.details.authid.as_deref()
    }

    /// An entry of `HELLO.Details.authextra`.
    fn extra(&self, key: &str) -> Option<&Value> {
        value_of(&self.details.authextra, key)
    }
}

/// What every step may use.
pub(crate) struct Context<'a> {
    pub(crate) realms: &'a dyn RealmContainer,
    /// What is known of the peer's transport.
    pub(crate) channel: &'a TransportDetails,
    /// The session's id, if it is admitted.
    pub(crate) session: SessionId,
    /// What the peer is called as long as it says nothing of itself: its tracking cookie, where nobody can log in with that.
    pub(crate) pseudonym: Option<Box<str>>,
    pub(crate) now: Now,
    pub(crate) random: &'a mut SecretGenerator,
}

impl Context<'_> {
    fn random_octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next_u64().to_le_bytes()[..chunk.len()]);
        }
        octets
    }
}

/// HELLO of a client: the first step. `methods`: those that its transport is configured for.
pub(crate) fn hello(methods: &TransportAuthentication, hello: &Hello<'_>, context: &mut Context<'_>) -> Step {
    if hello.realm.is_some_and(|realm| !is_valid(realm, Match::Exact, Strictness::Loose)) {
        return Step::Deny(Denial::new(well_known::INVALID_URI, "invalid realm URI"));
    }
    let offered = hello.details.authmethods.iter().map(|method| &**method);
    let default = hello.details.authmethods.is_empty().then_some(Method::Anonymous.as_str());
    let mut known = offered.chain(default).filter_map(Method::from_wire);
    known.find_map(|method| first_step(method, methods, hello, context)).unwrap_or_else(no_method)
}

/// Begins with one method; `None` where the transport is not configured for it.
fn first_step(
    method: Method,
    methods: &TransportAuthentication,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Option<Step> {
    let step = match method {
        Method::Anonymous => anonymous::hello(methods.anonymous.as_ref()?, hello, context),
        Method::Ticket => Ok(ticket::hello(methods.ticket.as_ref()?, hello)),
        Method::Cra => cra::hello(methods.cra.as_ref()?, hello, context),
        Method::Scram | Method::AutobahnScram => {
            scram::hello(method, methods.scram.as_ref()?, hello, context)
        }
        Method::Cryptosign => cryptosign::hello(methods.cryptosign.as_ref()?, hello, context),
        Method::Tls => tls::hello(methods.tls.as_ref()?, hello, context),
        Method::AnonymousProxy if methods.anonymous_proxy => proxy::hello(hello, context),
        Method::CryptosignProxy => proxy::hello_with_key(methods.cryptosign_proxy.as_ref()?, hello, context),
        // Somebody whose cookie is good is not asked for more than that: the registry has seen to it.
        Method::Cookie | Method::AnonymousProxy | Method::Trusted => return None,
    };
    Some(step.unwrap_or_else(Step::Deny))
}

fn no_method() -> Step {
    let message = "cannot authenticate using any of the offered authmethods";
    Step::Deny(Denial::new(well_known::NO_MATCHING_AUTH_METHOD, message))
}

/// HELLO of one of the router's own sessions.
pub(crate) fn trusted(realm: Option<&str>, realms: &dyn RealmContainer) -> Step {
    const AUTHID: &str = "crossring-service-agent";
    let place = realm
        .and_then(|name| realms.find_realm(name))
        .and_then(|realm| Some((realm, realms.service_role(realm)?)));
    let Some((realm, role)) = place else { return no_method() };
    let (method, provider) = (Method::Trusted, Provider::Static);
    Step::Accept(Identity { realm, role, authid: AUTHID.into(), method, provider, authextra: None })
}

/// Who somebody has proved to be.
#[derive(Debug)]
struct Grant {
    /// The principal's own realm wins over the one asked for, as it does in Crossbar.io.
    realm: Option<Box<str>>,
    authid: Option<Box<str>>,
    role: Option<Box<str>>,
    provider: Provider,
}

impl Grant {
    /// What a principal of the configuration gets.
    fn of(principal: &impl Principal, hello: &Hello<'_>) -> Self {
        Self {
            realm: principal.realm().or(hello.realm).map(Into::into),
            authid: Some(principal.authid().into()),
            role: Some(principal.role()).filter(|role| !role.is_empty()).map(Into::into),
            provider: Provider::Static,
        }
    }

    /// Everything that a session needs has to be assigned, and to be there.
    fn accept(self, method: Method, authextra: Dict, context: &Context<'_>) -> Result<Step, Denial> {
        let name = self.realm.ok_or_else(|| Denial::new(well_known::NO_SUCH_REALM, "no realm assigned"))?;
        let authid =
            self.authid.ok_or_else(|| Denial::new(well_known::NO_SUCH_PRINCIPAL, "no authid assigned"))?;
        let role = self.role.ok_or_else(|| Denial::new(well_known::NO_SUCH_ROLE, "no authrole assigned"))?;
        let realm = context.realms.find_realm(&name).ok_or_else(|| no_realm(&name))?;
        let role = context.realms.find_role(realm, &role).ok_or_else(|| {
            Denial::new(well_known::NO_SUCH_ROLE, format!("realm \"{name}\" has no role \"{role}\""))
        })?;
        let authextra = (!authextra.is_empty()).then(|| Box::new(authextra));
        Ok(Step::Accept(Identity { realm, role, authid, method, provider: self.provider, authextra }))
    }
}

fn no_realm(name: &str) -> Denial {
    Denial::new(well_known::NO_SUCH_REALM, format!("no realm \"{name}\" exists on this router"))
}

/// The value of an entry; null is as good as absent.
fn value_of<'a>(dict: &'a Dict, key: &str) -> Option<&'a Value> {
    let entry = dict.iter().find(|(name, _)| name == key);
    entry.map(|(_, value)| value).filter(|value| **value != Value::Null)
}

/// A text, or null where there is none.
fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

/// An entry of a dict.
fn entry(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

#[cfg(test)]
mod tests;
