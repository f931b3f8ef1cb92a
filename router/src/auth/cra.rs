//! `wampcra`: the challenge is a JSON text that names who asks, signed with a key that both sides have.

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::{Attempt, Challenged, Denial, Grant, Method, entry};
use crate::address::RealmId;
use crate::config::{CraPrincipal, Principals, Secret};
use crate::credentials::cra::{self, Derivation};
use crate::credentials::to_base64;
use crate::rfc3339;

/// `ABORT.Details.message` for a wrong signature.
pub(super) const FAILURE: &str = "WAMP-CRA client signature is invalid";

/// What will be a right signature.
#[derive(Debug)]
pub(super) struct Proof {
    key: Secret,
    challenge: String,
}

pub(super) fn begin(
    principals: &Principals<CraPrincipal>,
    realm: Option<RealmId>,
    attempt: &mut Attempt<'_>,
) -> Result<Challenged, Denial> {
    let principal = attempt.authid().and_then(|authid| principals.find(authid));
    // Nobody of that name: a principal like the first one, with a key that nobody has.
    let like = principal.or(principals.first());
    let role = like.map(|principal| &*principal.role).unwrap_or_default().to_owned();
    let derivation = like.and_then(|principal| principal.derivation.clone());
    let salt = derivation.as_ref().map(|derivation| match principal {
        Some(_) => derivation.salt.to_string(),
        None => mock_salt(attempt, &derivation.salt),
    });
    let key = match principal.and_then(|principal| principal.key.clone()) {
        Some(key) => key,
        None => Secret::new(to_base64(&attempt.random_octets::<32>())),
    };
    let challenge = challenge(&role, attempt);
    let mut extra = vec![entry("challenge", challenge.as_str())];
    if let (Some(Derivation { iterations, key_length, .. }), Some(salt)) = (derivation, salt) {
        extra.push(entry("salt", salt.as_str()));
        extra.push(entry("iterations", u64::from(iterations)));
        extra.push(entry("keylen", u64::from(key_length)));
    }
    let grant = principal.map(|principal| Grant::of(principal, realm));
    Ok(Challenged { proof: super::Proof::Cra(Proof { key, challenge }), grant, extra })
}

/// The same salt for the same unknown name, as long as the router runs: an attacker must not tell it from a real one.
fn mock_salt(attempt: &Attempt<'_>, like: &str) -> String {
    let name = attempt.authid().unwrap_or_default();
    let text = cra::sign(attempt.config.entropy.expose(), name);
    text.chars().filter(char::is_ascii_alphanumeric).take(like.chars().count()).collect()
}

/// The challenge, in Crossbar.io's form.
fn challenge(role: &str, attempt: &mut Attempt<'_>) -> String {
    let nonce = to_base64(&attempt.random_octets::<48>());
    let authid = attempt.authid().unwrap_or_default();
    let text = |value: &str| {
        let mut out = Vec::new();
        let encoded = Value::from(value).encode(SerializerId::Json, &mut out);
        encoded.ok().and_then(|()| String::from_utf8(out).ok()).unwrap_or_else(|| "\"\"".to_owned())
    };
    let (authid, role, method) = (text(authid), text(role), text(Method::Cra.as_str()));
    let (session, timestamp) = (attempt.session.get(), rfc3339::format(attempt.now.unix_ms));
    format!(
        r#"{{"authid": {authid}, "authrole": {role}, "authmethod": {method}, "authprovider": "static", "session": {session}, "nonce": "{nonce}", "timestamp": "{timestamp}"}}"#
    )
}

impl Proof {
    pub(super) fn check(&self, signature: &str) -> Result<Dict, Denial> {
        if cra::verify(self.key.expose(), &self.challenge, signature) {
            Ok(Dict::new())
        } else {
            Err(Denial::not_authorized(FAILURE))
        }
    }
}
