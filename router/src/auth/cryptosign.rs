//! `cryptosign`: the peer signs a challenge with its Ed25519 key; on request the router signs one with its own.

use crossring_codec::value::{Dict, Value};

use super::{Attempt, Challenged, Denial, Grant, entry};
use crate::address::RealmId;
use crate::config::{CryptosignPrincipal, Principals};
use crate::credentials::cryptosign::{self, Octets32, octets};
use crate::credentials::to_hex;

/// `ABORT.Details.message` for a signature of somebody unknown.
pub(super) const FAILURE: &str = "signed message has invalid signature";

/// What will be a right signature.
#[derive(Debug)]
pub(super) struct Proof {
    public_key: Octets32,
    message: Octets32,
}

pub(super) fn begin(
    principals: &Principals<CryptosignPrincipal>,
    realm: Option<RealmId>,
    attempt: &mut Attempt<'_>,
) -> Result<Challenged, Denial> {
    no_binding(attempt)?;
    let public_key = public_key(attempt)?;
    let principal = match attempt.authid() {
        Some(authid) => {
            principals.find(authid).filter(|principal| principal.authorized_keys.contains(&public_key))
        }
        None => infer(principals, &public_key)?,
    };
    let challenge: Octets32 = attempt.random_octets();
    let mut extra = vec![entry("challenge", to_hex(&challenge).as_str())];
    extra.extend(own_proof(attempt)?);
    Ok(Challenged {
        proof: super::Proof::Cryptosign(Proof { public_key, message: challenge }),
        grant: principal.map(|principal| Grant::of(principal, realm)),
        extra,
    })
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

fn public_key(attempt: &Attempt<'_>) -> Result<Octets32, Denial> {
    match attempt.extra("pubkey") {
        Some(Value::String(text)) => octets(text)
            .ok_or_else(|| Denial::not_authorized("invalid extra.pubkey: 64 hexadecimal digits expected")),
        Some(_) => Err(Denial::not_authorized("invalid extra.pubkey: 64 hexadecimal digits expected")),
        None => Err(Denial::not_authorized("cannot identify client: no extra.pubkey provided")),
    }
}

fn no_binding(attempt: &Attempt<'_>) -> Result<(), Denial> {
    match attempt.extra("channel_binding") {
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
fn own_proof(attempt: &Attempt<'_>) -> Result<Dict, Denial> {
    let Some(challenge) = attempt.extra("challenge") else { return Ok(Dict::new()) };
    let Some(challenge) = challenge.as_str().and_then(octets) else {
        return Err(Denial::not_authorized("invalid extra.challenge: 64 hexadecimal digits expected"));
    };
    let Some(seed) = &attempt.config.node_key else { return Ok(Dict::new()) };
    Ok(vec![
        entry("signature", cryptosign::sign(seed.octets(), &challenge).as_str()),
        entry("pubkey", cryptosign::public_key(seed.octets()).as_str()),
    ])
}

impl Proof {
    pub(super) fn check(&self, signature: &str) -> Result<Dict, Denial> {
        match cryptosign::verify(&self.public_key, &self.message, signature) {
            Ok(()) => Ok(Dict::new()),
            Err(fault) => Err(Denial::not_authorized(fault.to_string())),
        }
    }
}
