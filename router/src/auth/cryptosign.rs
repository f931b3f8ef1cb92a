//! `cryptosign`: the peer signs a challenge with its Ed25519 key; on request the router signs one with its own.

use crossring_codec::value::{Dict, Value};

use super::dynamic::{Asking, Finding, Told, failed};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Step, entry};
use crate::config::{CryptosignPrincipal, Principals, Source};
use crate::credentials::cryptosign::{self, Octets32, octets};
use crate::credentials::to_hex;

/// `ABORT.Details.message` for a signature of somebody unknown.
const FAILURE: &str = "signed message has invalid signature";

pub(super) fn hello(
    source: &Source<Principals<CryptosignPrincipal>>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    no_binding(hello)?;
    let request = Request { own_proof: own_proof(hello, context)? };
    match source {
        Source::Static(principals) => {
            let public_key = public_key(hello)?;
            let principal = match hello.authid() {
                Some(authid) => principals
                    .find(authid)
                    .filter(|principal| principal.authorized_keys.contains(&public_key)),
                None => infer(principals, &public_key)?,
            };
            let grant = principal.map(|principal| Grant::of(principal, hello));
            Ok(request.challenge(public_key, grant, Dict::new(), context))
        }
        Source::Dynamic(authenticator) => {
            let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
            let authrole = hello.details.authrole.as_deref();
            let more = vec![entry("authid", text(hello.authid())), entry("authrole", text(authrole))];
            Asking::new(authenticator, Method::Cryptosign, hello).ask(more, request, context)
        }
    }
}

/// What the peer has asked for. With a dynamic authenticator, it waits for the key.
#[derive(Debug)]
struct Request {
    /// The router's signature, if the peer wants one.
    own_proof: Dict,
}

impl Request {
    fn challenge(
        self,
        public_key: Octets32,
        grant: Option<Grant>,
        authextra: Dict,
        context: &mut Context<'_>,
    ) -> Step {
        let challenge: Octets32 = context.random_octets();
        let mut extra = vec![entry("challenge", to_hex(&challenge).as_str())];
        extra.extend(self.own_proof);
        let pending = Signature { public_key, message: challenge, grant, authextra };
        Step::challenge(Method::Cryptosign, extra, pending)
    }
}

impl Finding for Request {
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        let public_key = octets(told.required("pubkey")?)
            .ok_or_else(|| failed("\"pubkey\" is not 64 hexadecimal digits"))?;
        Ok(self.challenge(public_key, Some(told.grant), told.authextra, context))
    }
}

/// Waits for a signature.
#[derive(Debug)]
struct Signature {
    public_key: Octets32,
    message: Octets32,
    /// Absent: there is nobody of that name, or the key is not his.
    grant: Option<Grant>,
    authextra: Dict,
}

impl PendingAuthentication for Signature {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, context: &mut Context<'_>) -> Step {
        match (cryptosign::verify(&self.public_key, &self.message, signature), self.grant) {
            (Ok(()), Some(grant)) => {
                grant.accept(Method::Cryptosign, self.authextra, context).unwrap_or_else(Step::Deny)
            }
            (Ok(()), None) => Step::Deny(Denial::not_authorized(FAILURE)),
            (Err(fault), _) => Step::Deny(Denial::not_authorized(fault.to_string())),
        }
    }
}

/// Who has this key; `None`: nobody.
fn infer<'a>(
    principals: &'a Principals<CryptosignPrincipal>,
    public_key: &Octets32,
) -> Result<Option<&'a CryptosignPrincipal>, Denial> {
    let mut holders = principals.iter().filter(|principal| principal.authorized_keys.contains(public_key));
    let first = holders.next();
    if holders.next().is_some() {
        return Err(Denial::not_authorized(
            "cannot infer client identity from pubkey: multiple authids in principal database have this pubkey",
        ));
    }
    Ok(first)
}

fn public_key(hello: &Hello<'_>) -> Result<Octets32, Denial> {
    match hello.extra("pubkey") {
        Some(key) => key
            .as_str()
            .and_then(octets)
            .ok_or_else(|| Denial::not_authorized("invalid extra.pubkey: 64 hexadecimal digits expected")),
        None => Err(Denial::not_authorized(
            "cannot identify client: no authid requested and no extra.pubkey provided",
        )),
    }
}

fn no_binding(hello: &Hello<'_>) -> Result<(), Denial> {
    match hello.extra("channel_binding") {
        None => Ok(()),
        Some(Value::String(name)) if name == "tls-unique" || name == "tls-exporter" => {
            Err(Denial::not_authorized(format!(
                "channel binding \"{name}\" requested, but the transport has no TLS channel ID"
            )))
        }
        Some(_) => Err(Denial::not_authorized("invalid channel binding type requested")),
    }
}

/// The router's signature of the peer's challenge, if there is one and the router has a key.
fn own_proof(hello: &Hello<'_>, context: &Context<'_>) -> Result<Dict, Denial> {
    let Some(challenge) = hello.extra("challenge") else { return Ok(Dict::new()) };
    let Some(challenge) = challenge.as_str().and_then(octets) else {
        return Err(Denial::not_authorized("invalid extra.challenge: 64 hexadecimal digits expected"));
    };
    Ok(context.realms.node_proof(&challenge).unwrap_or_default())
}
