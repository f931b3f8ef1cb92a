//! `wampcra`: the challenge is a JSON text that names who asks, signed with a key that both sides have.

use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
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
    key: Key,
    challenge: String,
}

/// The key of the right signature.
#[derive(Debug)]
enum Key {
    Known(Secret),
    /// It follows from a password, with much work.
    Password(Secret, Derivation),
    /// It is being derived; this signature waits for it.
    Awaited(String),
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
    let key = Key::Known(key);
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
    /// From here on the key is what follows from this password, as the peer has been told to derive it.
    #[cfg_attr(not(test), expect(dead_code, reason = "the keys of static principals are known"))]
    pub(super) fn set_password(&mut self, password: Secret, derivation: Derivation) {
        self.key = Key::Password(password, derivation);
    }

    /// What has to be derived before the signature can be checked, by [`Proof::derived`] then.
    pub(super) fn derivation(&mut self, signature: &str) -> Option<(Secret, Derivation)> {
        if !matches!(self.key, Key::Password(..)) {
            return None;
        }
        match std::mem::replace(&mut self.key, Key::Awaited(signature.to_owned())) {
            Key::Password(password, derivation) => Some((password, derivation)),
            _ => None,
        }
    }

    /// Checks the signature that waited for the key.
    pub(super) fn derived(&self, key: Option<&Secret>) -> Result<Dict, Denial> {
        match (&self.key, key) {
            (Key::Awaited(signature), Some(key)) => self.check_with(key, signature),
            _ => Err(Denial {
                reason: well_known::AUTHENTICATION_FAILED.into(),
                message: "no key can be derived with these parameters".to_owned(),
            }),
        }
    }

    pub(super) fn check(&self, signature: &str) -> Result<Dict, Denial> {
        match &self.key {
            Key::Known(key) => self.check_with(key, signature),
            Key::Password(..) | Key::Awaited(_) => Err(Denial::not_authorized(FAILURE)),
        }
    }

    fn check_with(&self, key: &Secret, signature: &str) -> Result<Dict, Denial> {
        let is_right = cra::verify(key.expose(), &self.challenge, signature);
        if is_right { Ok(Dict::new()) } else { Err(Denial::not_authorized(FAILURE)) }
    }
}
