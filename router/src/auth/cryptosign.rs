//! `cryptosign`: the peer signs a challenge with its Ed25519 key; on request the router signs one with its own.

use crossring_codec::value::{Dict, Value};

use super::binding::{self, Binding};
use super::dynamic::{Asking, Finding, Told, failed};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Step, entry};
use crate::config::{CryptosignPrincipal, Principals, Source};
use crate::credentials::cryptosign::{self, Octets32, octets};
use crate::credentials::to_hex;

/// `ABORT.Details.message` for a signature of somebody unknown.
const FAILURE: &str = "signed message has invalid signature";

/// `ABORT.Details.message` for a channel id that is no 32 octets.
const UNUSABLE_CHANNEL: &str = "the channel ID of the transport cannot be signed";

pub(super) fn hello(
    source: &Source<Principals<CryptosignPrincipal>>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let request = Request::read(Method::Cryptosign, hello, context)?;
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

/// Somebody for whom a proxy speaks.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) grant: Grant,
    pub(super) authextra: Dict,
}

/// HELLO of a proxy: the key is the proxy's, the session is its client's.
pub(super) fn hello_of_proxy(
    source: &Source<Principals<CryptosignPrincipal>>,
    hello: &Hello<'_>,
    client: Client,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let (method, public_key) = (Method::CryptosignProxy, public_key(hello)?);
    let request = Request::read(method, hello, context)?;
    match source {
        Source::Static(principals) => {
            let is_known = principals.iter().any(|proxy| proxy.authorized_keys.contains(&public_key));
            let Client { grant, authextra } = client;
            Ok(request.challenge(public_key, is_known.then_some(grant), authextra, context))
        }
        Source::Dynamic(authenticator) => {
            let request = Request { client: Some(client), ..request };
            Asking::new(authenticator, method, hello).ask(Dict::new(), request, context)
        }
    }
}

/// What the peer has asked for. With a dynamic authenticator, it waits for the key.
#[derive(Debug)]
struct Request {
    method: Method,
    /// The router's signature, if the peer wants one.
    own_proof: Dict,
    binding: Option<Bound>,
    /// For whom a proxy speaks that a procedure has to know.
    client: Option<Client>,
}

/// The channel that both sides sign for.
#[derive(Debug)]
struct Bound {
    name: &'static str,
    id: Octets32,
}

impl Request {
    fn read(method: Method, hello: &Hello<'_>, context: &Context<'_>) -> Result<Self, Denial> {
        let binding = match binding::requested(hello, context)? {
            None => None,
            Some(Binding { name, data }) => {
                let id = (*data).try_into().map_err(|_| Denial::not_authorized(UNUSABLE_CHANNEL))?;
                Some(Bound { name, id })
            }
        };
        let own_proof = own_proof(hello, binding.as_ref().map(|it| &it.id), context)?;
        Ok(Self { method, own_proof, binding, client: None })
    }

    fn challenge(
        self,
        public_key: Octets32,
        grant: Option<Grant>,
        authextra: Dict,
        context: &mut Context<'_>,
    ) -> Step {
        let challenge: Octets32 = context.random_octets();
        let mut extra = vec![entry("challenge", to_hex(&challenge).as_str())];
        extra.extend(self.binding.as_ref().map(|binding| entry("channel_binding", binding.name)));
        extra.extend(self.own_proof);
        let message = cryptosign::message(&challenge, self.binding.as_ref().map(|binding| &binding.id));
        let pending = Signature { method: self.method, public_key, message, grant, authextra };
        Step::challenge(self.method, extra, pending)
    }
}

impl Finding for Request {
    fn found(mut self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        let public_key = octets(told.required("pubkey")?)
            .ok_or_else(|| failed("\"pubkey\" is not 64 hexadecimal digits"))?;
        let Told { grant, authextra, .. } = told;
        let Client { grant, authextra } = self.client.take().unwrap_or(Client { grant, authextra });
        Ok(self.challenge(public_key, Some(grant), authextra, context))
    }
}

/// Waits for a signature.
#[derive(Debug)]
struct Signature {
    method: Method,
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
                grant.accept(self.method, self.authextra, context).unwrap_or_else(Step::Deny)
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

/// The router's signature of the peer's challenge, if there is one and the router has a key.
fn own_proof(
    hello: &Hello<'_>,
    channel_id: Option<&Octets32>,
    context: &Context<'_>,
) -> Result<Dict, Denial> {
    let Some(challenge) = hello.extra("challenge") else { return Ok(Dict::new()) };
    let Some(challenge) = challenge.as_str().and_then(octets) else {
        return Err(Denial::not_authorized("invalid extra.challenge: 64 hexadecimal digits expected"));
    };
    Ok(context.realms.node_proof(&cryptosign::message(&challenge, channel_id)).unwrap_or_default())
}
