//! `cryptosign`: the peer signs a challenge with its Ed25519 key; on request the router signs one with its own.

use crossring_codec::value::Dict;

use super::binding::{self, Binding};
use super::chain::Certified;
use super::dynamic::{Asking, Finding, Told, failed};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Step, entry};
use crate::config::{CryptosignPrincipal, KeyHolders, Principals, Source, Trustroot};
use crate::credentials::cryptosign::{self, Octets32, octets};
use crate::credentials::to_hex;

/// `ABORT.Details.message` for a signature of somebody unknown.
const FAILURE: &str = "signed message has invalid signature";

/// `ABORT.Details.message` for a channel id that is no 32 octets.
const UNUSABLE_CHANNEL: &str = "the channel ID of the transport cannot be signed";

pub(super) fn hello(
    source: &Source<KeyHolders>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let request = Request::read(Method::Cryptosign, None, hello, context)?;
    match source {
        Source::Static(holders) => {
            let public_key = public_key(hello)?;
            let holder = match holders {
                KeyHolders::Principals(principals) => {
                    Holder::of(find(principals, hello, &public_key)?, hello)
                }
                KeyHolders::Trustroots(trustroots) => Holder::certified(trustroots, hello)?,
            };
            Ok(request.challenge(public_key, holder, Dict::new(), context))
        }
        Source::Dynamic(authenticator) => {
            Asking::new(authenticator, Method::Cryptosign, hello).ask_with_names(hello, request, context)
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
    source: &Source<KeyHolders>,
    hello: &Hello<'_>,
    client: Client,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let (method, public_key) = (Method::CryptosignProxy, public_key(hello)?);
    let request = Request::read(method, Some(client), hello, context)?;
    match source {
        Source::Static(holders) => {
            let holder = match holders {
                KeyHolders::Principals(principals) => {
                    Holder::of(principals.iter().find(|proxy| proxy.has(&public_key)), hello)
                }
                KeyHolders::Trustroots(trustroots) => Holder::certified(trustroots, hello)?,
            };
            Ok(request.challenge(public_key, holder, Dict::new(), context))
        }
        Source::Dynamic(authenticator) => {
            Asking::new(authenticator, method, hello).ask(Dict::new(), request, context)
        }
    }
}

/// Who has the key, if the signature is right.
#[derive(Debug)]
enum Holder {
    Known(Grant),
    /// There is nobody of that name, or the key is not his.
    Nobody,
    /// Whoever the certificates say.
    Certified(Box<Certified>),
}

impl Holder {
    fn of(principal: Option<&CryptosignPrincipal>, hello: &Hello<'_>) -> Self {
        principal.map_or(Holder::Nobody, |principal| Holder::Known(Grant::of(principal, hello)))
    }

    fn certified(trustroots: &[Trustroot], hello: &Hello<'_>) -> Result<Self, Denial> {
        Certified::read(trustroots, hello).map(Box::new).map(Holder::Certified)
    }

    fn grant(self, public_key: &Octets32) -> Result<Grant, Denial> {
        let grant = match self {
            Holder::Known(grant) => Some(grant),
            Holder::Nobody => None,
            Holder::Certified(certified) => certified.grant(public_key)?,
        };
        grant.ok_or_else(|| Denial::not_authorized(FAILURE))
    }
}

/// What the peer has asked for. With a dynamic authenticator, it waits for the key.
#[derive(Debug)]
struct Request {
    method: Method,
    /// The router's signature, if the peer wants one.
    own_proof: Dict,
    binding: Option<Bound>,
    /// For whom the peer speaks, if it is a proxy.
    client: Option<Client>,
}

/// The channel that both sides sign for.
#[derive(Debug)]
struct Bound {
    name: &'static str,
    id: Octets32,
}

impl Request {
    fn read(
        method: Method,
        client: Option<Client>,
        hello: &Hello<'_>,
        context: &Context<'_>,
    ) -> Result<Self, Denial> {
        let binding = match binding::requested(hello, context)? {
            None => None,
            Some(Binding { name, data }) => {
                let id = (*data).try_into().map_err(|_| Denial::not_authorized(UNUSABLE_CHANNEL))?;
                Some(Bound { name, id })
            }
        };
        let own_proof = own_proof(hello, binding.as_ref().map(|it| &it.id), context)?;
        Ok(Self { method, own_proof, binding, client })
    }

    fn challenge(
        self,
        public_key: Octets32,
        holder: Holder,
        authextra: Dict,
        context: &mut Context<'_>,
    ) -> Step {
        let challenge: Octets32 = context.random_octets();
        let mut extra = vec![entry("challenge", to_hex(&challenge).as_str())];
        extra.extend(self.binding.as_ref().map(|binding| entry("channel_binding", binding.name)));
        extra.extend(self.own_proof);
        let message = cryptosign::message(&challenge, self.binding.as_ref().map(|binding| &binding.id));
        let Request { method, client, .. } = self;
        Step::challenge(method, extra, Signature { method, public_key, message, holder, authextra, client })
    }
}

impl Finding for Request {
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        let public_key = octets(told.required("pubkey")?)
            .ok_or_else(|| failed("\"pubkey\" is not 64 hexadecimal digits"))?;
        let Told { grant, authextra, .. } = told;
        Ok(self.challenge(public_key, Holder::Known(grant), authextra, context))
    }
}

/// Waits for a signature.
#[derive(Debug)]
struct Signature {
    method: Method,
    public_key: Octets32,
    message: Octets32,
    holder: Holder,
    /// What the holder of the key is told.
    authextra: Dict,
    /// Who joins instead of the holder of the key.
    client: Option<Client>,
}

impl Signature {
    fn accept(self, signature: &str, context: &Context<'_>) -> Result<Step, Denial> {
        cryptosign::verify(&self.public_key, &self.message, signature)
            .map_err(|fault| Denial::not_authorized(fault.to_string()))?;
        let grant = self.holder.grant(&self.public_key)?;
        let Client { grant, authextra } = self.client.unwrap_or(Client { grant, authextra: self.authextra });
        grant.accept(self.method, authextra, context)
    }
}

impl PendingAuthentication for Signature {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, context: &mut Context<'_>) -> Step {
        self.accept(signature, context).unwrap_or_else(Step::Deny)
    }
}

/// Who has this key and the name asked for, if any; `None`: nobody.
fn find<'a>(
    principals: &'a Principals<CryptosignPrincipal>,
    hello: &Hello<'_>,
    public_key: &Octets32,
) -> Result<Option<&'a CryptosignPrincipal>, Denial> {
    match hello.authid() {
        Some(authid) => Ok(principals.find(authid).filter(|principal| principal.has(public_key))),
        None => infer(principals, public_key),
    }
}

/// Who has this key; `None`: nobody.
fn infer<'a>(
    principals: &'a Principals<CryptosignPrincipal>,
    public_key: &Octets32,
) -> Result<Option<&'a CryptosignPrincipal>, Denial> {
    let mut holders = principals.iter().filter(|principal| principal.has(public_key));
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
