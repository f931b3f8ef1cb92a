//! `wampcra`: the challenge is a JSON text that names who asks, signed with a key that both sides have.

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::dynamic::{Asking, Finding, Told, failed};
use super::{Context, Denial, Grant, Hello, Method, PendingAuthentication, Provider, Step, entry, stand_in};
use crate::config::{CraPrincipal, Principals, Secret, Source};
use crate::credentials::cra::{self, Derivation};
use crate::credentials::to_base64;
use crate::rfc3339;

/// `ABORT.Details.message` for a wrong signature.
const FAILURE: &str = "WAMP-CRA client signature is invalid";

pub(super) fn hello(
    source: &Source<Principals<CraPrincipal>>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    match source {
        Source::Static(users) => Ok(challenge_known(users, hello, context)),
        Source::Dynamic(authenticator) => {
            Asking::new(authenticator, Method::Cra, hello).ask_with_names(hello, Secrets, context)
        }
    }
}

fn challenge_known(users: &Principals<CraPrincipal>, hello: &Hello<'_>, context: &mut Context<'_>) -> Step {
    let name = hello.authid().unwrap_or_default();
    let user = users.find(name);
    // Nobody of that name: a user like another one, with a key that nobody has. All of it is made up for users, too.
    let other = stand_in::like(context.realms, users, name);
    let like = user.or(other);
    let derivation = like.and_then(|user| user.derivation.clone()).map(|own| {
        let salt = stand_in::text_salt(context.realms, name, &own.salt);
        if user.is_some() { own } else { Derivation { salt, ..own } }
    });
    let nobodys_key = Secret::new(to_base64(&context.random_octets::<32>()));
    let key = user.and_then(|user| user.key.clone()).unwrap_or(nobodys_key);
    let challenge = Text {
        authid: name,
        authrole: like.map(|user| &*user.role).unwrap_or_default(),
        authprovider: Provider::Static,
    };
    let grant = like.map(|like| Grant::of(like, hello)).filter(|_| user.is_some());
    let pending = Signature { key, challenge: challenge.write(context), grant, authextra: Dict::new() };
    pending.challenge(derivation)
}

/// Waits for the secret of a user.
#[derive(Debug)]
struct Secrets;

impl Finding for Secrets {
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        let secret = Secret::new(told.required("secret")?);
        let parameters = (told.text("salt")?, told.number("iterations")?, told.number("keylen")?);
        let derivation = match parameters {
            (Some(salt), Some(iterations), Some(key_length)) => {
                Some(Derivation { salt: salt.into(), iterations, key_length })
            }
            _ => None,
        };
        let challenge = Text {
            authid: told.grant.authid.as_deref().unwrap_or_default(),
            authrole: told.grant.role.as_deref().unwrap_or_default(),
            authprovider: Provider::Dynamic,
        };
        let challenge = challenge.write(context);
        let Told { grant, authextra, .. } = told;
        let pending = Signature { key: secret, challenge, grant: Some(grant), authextra };
        Ok(match derivation {
            None => pending.challenge(None),
            Some(derivation) => {
                let extra = pending.challenge_extra(Some(&derivation));
                Step::challenge(Method::Cra, extra, Salted { derivation, pending })
            }
        })
    }
}

/// Waits for a signature.
#[derive(Debug)]
struct Signature {
    key: Secret,
    challenge: String,
    /// Absent: there is nobody of that name.
    grant: Option<Grant>,
    authextra: Dict,
}

impl Signature {
    fn challenge(self, derivation: Option<Derivation>) -> Step {
        let extra = self.challenge_extra(derivation.as_ref());
        Step::challenge(Method::Cra, extra, self)
    }

    fn challenge_extra(&self, derivation: Option<&Derivation>) -> Dict {
        let mut extra = vec![entry("challenge", self.challenge.as_str())];
        if let Some(Derivation { salt, iterations, key_length }) = derivation {
            extra.push(entry("salt", &**salt));
            extra.push(entry("iterations", u64::from(*iterations)));
            extra.push(entry("keylen", u64::from(*key_length)));
        }
        extra
    }

    fn check(self, signature: &str, context: &Context<'_>) -> Step {
        let is_right = cra::verify(self.key.expose(), &self.challenge, signature);
        match self.grant.filter(|_| is_right) {
            Some(grant) => grant.accept(Method::Cra, self.authextra, context).unwrap_or_else(Step::Deny),
            None => Step::Deny(Denial::not_authorized(FAILURE)),
        }
    }
}

impl PendingAuthentication for Signature {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, context: &mut Context<'_>) -> Step {
        self.check(signature, context)
    }
}

/// Waits for a signature whose key follows from the password, with much work: it is done only for who answers.
#[derive(Debug)]
struct Salted {
    derivation: Derivation,
    /// With the password for a key.
    pending: Signature,
}

impl PendingAuthentication for Salted {
    fn authenticate(self: Box<Self>, signature: &str, _: &Dict, _: &mut Context<'_>) -> Step {
        let Self { derivation, mut pending } = *self;
        let password = std::mem::take(&mut pending.key);
        Step::Derive(Box::new(Derived { signature: signature.to_owned(), pending }), password, derivation)
    }
}

/// Waits for the key with which a signature can be checked.
#[derive(Debug)]
struct Derived {
    signature: String,
    /// Without key.
    pending: Signature,
}

impl PendingAuthentication for Derived {
    fn derived(self: Box<Self>, key: Option<Secret>, context: &mut Context<'_>) -> Step {
        let Self { signature, pending } = *self;
        match key {
            Some(key) => Signature { key, ..pending }.check(&signature, context),
            None => Step::Deny(failed("\"iterations\" or \"keylen\" is out of bounds")),
        }
    }
}

/// The challenge, in Crossbar.io's form.
struct Text<'a> {
    authid: &'a str,
    authrole: &'a str,
    authprovider: Provider,
}

impl Text<'_> {
    fn write(&self, context: &mut Context<'_>) -> String {
        let nonce = to_base64(&context.random_octets::<48>());
        let (authid, authrole) = (quoted(self.authid), quoted(self.authrole));
        let (method, provider) = (Method::Cra.as_str(), self.authprovider.as_str());
        let (session, timestamp) = (context.session.get(), rfc3339::format(context.now.unix_ms));
        format!(
            r#"{{"authid": {authid}, "authrole": {authrole}, "authmethod": "{method}", "authprovider": "{provider}", "session": {session}, "nonce": "{nonce}", "timestamp": "{timestamp}"}}"#
        )
    }
}

/// A JSON text.
fn quoted(value: &str) -> String {
    let mut out = Vec::new();
    let encoded = Value::from(value).encode(SerializerId::Json, &mut out);
    encoded.ok().and_then(|()| String::from_utf8(out).ok()).unwrap_or_else(|| "\"\"".to_owned())
}
