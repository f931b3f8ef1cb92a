//! `wamp-scram` and Autobahn's `scram`: the peer proves that it knows a password, and the router that it knows its keys.

use crossring_codec::value::{Dict, Value};

use super::binding::{self, Binding};
use super::dynamic::{Asking, Finding, Told, failed};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Step, entry, stand_in, value_of};
use crate::config::{Principals, ScramPrincipal, Source};
use crate::credentials::cryptosign::octets;
use crate::credentials::scram::{self, Dialect, Exchange, Kdf, StoredKeys};
use crate::credentials::{from_base64, from_hex, to_base64};

/// `ABORT.Details.message` for a wrong proof.
const FAILURE: &str = "SCRAM authentication failed";

/// Longest nonce of a client, in octets of text.
const NONCE_LENGTH_MAX: usize = 512;

pub(super) fn hello(
    method: Method,
    source: &Source<Principals<ScramPrincipal>>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let Some(authid) = hello.authid() else {
        return Err(Denial::not_authorized("cannot identify client: no authid requested"));
    };
    let client_nonce = client_nonce(hello)?;
    let binding = binding(method, hello, context)?;
    let request = Request { method, authid: authid.into(), client_nonce, binding };
    match source {
        Source::Static(principals) => request.challenge_known(principals, hello, context),
        Source::Dynamic(authenticator) => {
            Asking::new(authenticator, method, hello).ask(Dict::new(), request, context)
        }
    }
}

/// What the peer has asked for. With a dynamic authenticator, it waits for the keys.
#[derive(Debug)]
struct Request {
    method: Method,
    authid: Box<str>,
    client_nonce: String,
    /// The channel for which the peer proves itself.
    binding: Option<Binding>,
}

/// What is on record of somebody, or looks so.
struct Record {
    kdf: Kdf,
    salt: Vec<u8>,
    keys: StoredKeys,
    /// Absent: there is nobody of that name.
    grant: Option<Grant>,
    authextra: Dict,
}

impl Request {
    fn dialect(&self) -> Dialect {
        if self.method == Method::Scram { Dialect::Specification } else { Dialect::Autobahn }
    }

    fn challenge_known(
        self,
        principals: &Principals<ScramPrincipal>,
        hello: &Hello<'_>,
        context: &mut Context<'_>,
    ) -> Result<Step, Denial> {
        let principal = principals.find(&self.authid);
        // Nobody of that name: somebody like another one, with keys that nobody has. All of it is made up for principals, too.
        let other = stand_in::like(context.realms, principals, &self.authid);
        let Some(like) = principal.or(other) else {
            return Err(Denial::not_authorized(FAILURE));
        };
        let nobodys_salt = stand_in::salt(context.realms, &self.authid, like.salt.len());
        let salt = principal.map_or(nobodys_salt, |principal| principal.salt.to_vec());
        let nobodys_keys = StoredKeys { stored: context.random_octets(), server: context.random_octets() };
        let keys = principal.and_then(|principal| principal.keys(self.dialect()));
        let grant = Some(Grant::of(like, hello)).filter(|_| keys.is_some());
        let keys = keys.cloned().unwrap_or(nobodys_keys);
        self.challenge(Record { kdf: like.kdf, salt, keys, grant, authextra: Dict::new() }, context)
    }

    fn challenge(self, record: Record, context: &mut Context<'_>) -> Result<Step, Denial> {
        let dialect = self.dialect();
        let Record { kdf, salt, keys, grant, authextra } = record;
        let salt = to_base64(&salt);
        let nonce = whole_nonce(dialect, &self.client_nonce, context.random_octets());
        let exchange = Exchange {
            dialect,
            authid: &self.authid,
            client_nonce: &self.client_nonce,
            nonce: &nonce,
            salt: &salt,
            iterations: kdf.iterations(),
            binding: self.binding.as_ref().map(|it| scram::Binding { name: it.name, data: &it.data }),
        };
        let auth_message = exchange.auth_message().map_err(|_| Denial::not_authorized(FAILURE))?;
        let extra = challenge(dialect, kdf, &nonce, &salt);
        let Self { method, binding, .. } = self;
        let pending = Proof { method, dialect, keys, nonce, binding, auth_message, grant, authextra };
        Ok(Step::challenge(method, extra, pending))
    }
}

impl Finding for Request {
    /// The entries are those of a principal in the configuration.
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        let iterations = told.number("iterations")?.ok_or_else(|| failed("\"iterations\" is missing"))?;
        let kdf = match told.required("kdf")? {
            "pbkdf2" => Kdf::Pbkdf2 { iterations },
            "argon2id-13" | "argon2id13" => {
                let memory_kib = told.number("memory")?.ok_or_else(|| failed("\"memory\" is missing"))?;
                Kdf::Argon2id { iterations, memory_kib }
            }
            _ => return Err(failed("\"kdf\" is neither \"argon2id-13\" nor \"pbkdf2\"")),
        };
        let salt = from_hex(told.required("salt")?).ok_or_else(|| failed("\"salt\" is not hexadecimal"))?;
        let key = |name: &str| -> Result<_, Denial> {
            let key = octets(told.required(name)?);
            key.ok_or_else(|| failed(&format!("\"{name}\" is not 64 hexadecimal digits")))
        };
        let keys = match self.dialect() {
            Dialect::Autobahn => StoredKeys { stored: key("stored-key")?, server: key("server-key")? },
            Dialect::Specification => {
                StoredKeys { stored: key("wamp-scram-stored-key")?, server: key("wamp-scram-server-key")? }
            }
        };
        let Told { grant, authextra, .. } = told;
        self.challenge(Record { kdf, salt, keys, grant: Some(grant), authextra }, context)
    }
}

fn client_nonce(hello: &Hello<'_>) -> Result<String, Denial> {
    let nonce = hello.extra("nonce").and_then(Value::as_str);
    let Some(nonce) = nonce.filter(|nonce| nonce.len() <= NONCE_LENGTH_MAX) else {
        return Err(Denial::not_authorized("client must send a nonce"));
    };
    match from_base64(nonce) {
        Some(octets) if !octets.is_empty() => Ok(nonce.to_owned()),
        _ => Err(Denial::not_authorized("client nonce must be base64")),
    }
}

/// Only the specification's dialect has channel bindings.
fn binding(method: Method, hello: &Hello<'_>, context: &Context<'_>) -> Result<Option<Binding>, Denial> {
    let binding = binding::requested(hello, context)?;
    match method {
        Method::Scram => Ok(binding),
        _ if binding.is_none() => Ok(None),
        _ => Err(Denial::not_authorized("channel bindings are for \"wamp-scram\" only")),
    }
}

/// Sixteen octets of the router's behind those of the client.
fn whole_nonce(dialect: Dialect, client_nonce: &str, own: [u8; 16]) -> String {
    match dialect {
        Dialect::Specification => client_nonce.to_owned() + &to_base64(&own),
        Dialect::Autobahn => {
            let mut octets = from_base64(client_nonce).unwrap_or_default();
            octets.extend_from_slice(&own);
            to_base64(&octets)
        }
    }
}

fn challenge(dialect: Dialect, kdf: Kdf, nonce: &str, salt: &str) -> Dict {
    let (name, iterations, memory) = match (kdf, dialect) {
        (Kdf::Pbkdf2 { iterations }, _) => ("pbkdf2", iterations, None),
        (Kdf::Argon2id { iterations, memory_kib }, Dialect::Specification) => {
            ("argon2id13", iterations, Some(memory_kib))
        }
        (Kdf::Argon2id { iterations, memory_kib }, Dialect::Autobahn) => {
            ("argon2id-13", iterations, Some(memory_kib))
        }
    };
    let mut extra = vec![
        entry("nonce", nonce),
        entry("kdf", name),
        entry("salt", salt),
        entry("iterations", u64::from(iterations)),
    ];
    // Autobahn wants the key in any case.
    if let Some(memory) = memory.or((dialect == Dialect::Autobahn).then_some(0)) {
        extra.push(entry("memory", u64::from(memory)));
    }
    extra
}

/// Waits for a proof.
#[derive(Debug)]
struct Proof {
    method: Method,
    dialect: Dialect,
    keys: StoredKeys,
    nonce: String,
    binding: Option<Binding>,
    auth_message: String,
    /// Absent: there is nobody of that name.
    grant: Option<Grant>,
    authextra: Dict,
}

impl Proof {
    fn is_right(&self, signature: &str, extra: &Dict) -> bool {
        let same_nonce = match value_of(extra, "nonce") {
            Some(Value::String(nonce)) => *nonce == self.nonce,
            Some(_) => false,
            None => self.dialect == Dialect::Autobahn,
        };
        same_nonce && self.is_same_channel(extra) && self.keys.verify(&self.auth_message, signature)
    }

    /// The peer names the channel that it has proved itself for.
    fn is_same_channel(&self, extra: &Dict) -> bool {
        let name = self.binding.as_ref().map(|binding| Value::from(binding.name));
        let data = self.binding.as_ref().map(|binding| Value::String(to_base64(&binding.data)));
        value_of(extra, "channel_binding") == name.as_ref() && value_of(extra, "cbind_data") == data.as_ref()
    }

    /// That the router knows the keys.
    fn own_proof(&self) -> (String, Value) {
        let signature = self.keys.server_signature(&self.auth_message);
        let key = match self.dialect {
            Dialect::Specification => "verifier",
            Dialect::Autobahn => "scram_server_signature",
        };
        entry(key, signature.as_str())
    }
}

impl PendingAuthentication for Proof {
    fn authenticate(mut self: Box<Self>, signature: &str, extra: &Dict, context: &mut Context<'_>) -> Step {
        let is_right = self.is_right(signature, extra);
        let Some(grant) = self.grant.take().filter(|_| is_right) else {
            return Step::Deny(Denial::not_authorized(FAILURE));
        };
        let own_proof = self.own_proof();
        let mut authextra = self.authextra;
        authextra.retain(|(key, _)| *key != own_proof.0);
        authextra.push(own_proof);
        grant.accept(self.method, authextra, context).unwrap_or_else(Step::Deny)
    }
}
