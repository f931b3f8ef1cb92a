//! `wamp-scram` and Autobahn's `scram`: the peer proves that it knows a password, and the router that it knows its keys.

use crossring_codec::value::{Dict, Value};

use super::{Attempt, Challenged, Denial, Grant, Method, entry};
use crate::address::RealmId;
use crate::config::{Principals, ScramPrincipal};
use crate::credentials::scram::{Dialect, Exchange, Kdf, StoredKeys};
use crate::credentials::{cra, from_base64, to_base64};

/// `ABORT.Details.message` for a wrong proof.
pub(super) const FAILURE: &str = "SCRAM authentication failed";

/// Longest nonce of a client, in octets of text.
const NONCE_LENGTH_MAX: usize = 512;

/// What will be a right proof.
#[derive(Debug)]
pub(super) struct Proof {
    dialect: Dialect,
    keys: StoredKeys,
    nonce: String,
    auth_message: String,
}

pub(super) fn begin(
    method: Method,
    principals: &Principals<ScramPrincipal>,
    realm: Option<RealmId>,
    attempt: &mut Attempt<'_>,
) -> Result<Challenged, Denial> {
    let dialect = if method == Method::Scram { Dialect::Specification } else { Dialect::Autobahn };
    let Some(authid) = attempt.authid().map(str::to_owned) else {
        return Err(Denial::not_authorized("cannot identify client: no authid requested"));
    };
    let client_nonce = client_nonce(attempt)?;
    no_binding(attempt)?;
    let principal = principals.find(&authid);
    let Some(like) = principal.or(principals.first()) else {
        return Err(Denial::not_authorized(FAILURE));
    };
    let salt = match principal {
        Some(principal) => to_base64(&principal.salt),
        None => mock_salt(attempt, &authid, like.salt.len()),
    };
    let keys = match principal.and_then(|principal| principal.keys(dialect)) {
        Some(keys) => keys.clone(),
        None => StoredKeys { stored: attempt.random_octets(), server: attempt.random_octets() },
    };
    let grant = principal
        .filter(|principal| principal.keys(dialect).is_some())
        .map(|principal| Grant::of(principal, realm));
    let nonce = whole_nonce(dialect, &client_nonce, attempt.random_octets());
    let exchange = Exchange {
        dialect,
        authid: &authid,
        client_nonce: &client_nonce,
        nonce: &nonce,
        salt: &salt,
        iterations: like.kdf.iterations(),
        binding: None,
    };
    let auth_message = exchange.auth_message().map_err(|_| Denial::not_authorized(FAILURE))?;
    let extra = challenge(dialect, like.kdf, &nonce, &salt);
    let proof = super::Proof::Scram(Proof { dialect, keys, nonce, auth_message });
    Ok(Challenged { proof, grant, extra })
}

fn client_nonce(attempt: &Attempt<'_>) -> Result<String, Denial> {
    let nonce = attempt.extra("nonce").and_then(Value::as_str);
    let Some(nonce) = nonce.filter(|nonce| nonce.len() <= NONCE_LENGTH_MAX) else {
        return Err(Denial::not_authorized("client must send a nonce"));
    };
    match from_base64(nonce) {
        Some(octets) if !octets.is_empty() => Ok(nonce.to_owned()),
        _ => Err(Denial::not_authorized("client nonce must be base64")),
    }
}

fn no_binding(attempt: &Attempt<'_>) -> Result<(), Denial> {
    match attempt.extra("channel_binding") {
        None => Ok(()),
        Some(Value::String(name)) => Err(Denial::not_authorized(format!(
            "channel binding \"{name}\" requested, but the transport has no TLS channel ID"
        ))),
        Some(_) => Err(Denial::not_authorized("invalid channel binding type requested")),
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

/// The same salt for the same unknown name, as long as the router runs.
fn mock_salt(attempt: &Attempt<'_>, authid: &str, length: usize) -> String {
    let octets = from_base64(&cra::sign(attempt.config.entropy.expose(), authid)).unwrap_or_default();
    to_base64(&octets[..length.min(octets.len())])
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

impl Proof {
    pub(super) fn check(&self, signature: &str, extra: &Dict) -> Result<Dict, Denial> {
        let told = |key: &str| extra.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let same_nonce = match told("nonce") {
            Some(Value::String(nonce)) => *nonce == self.nonce,
            Some(_) => false,
            None => self.dialect == Dialect::Autobahn,
        };
        if !same_nonce || !self.keys.verify(&self.auth_message, signature) {
            return Err(Denial::not_authorized(FAILURE));
        }
        let signature = self.keys.server_signature(&self.auth_message);
        let key = match self.dialect {
            Dialect::Specification => "verifier",
            Dialect::Autobahn => "scram_server_signature",
        };
        Ok(vec![entry(key, signature.as_str())])
    }
}
