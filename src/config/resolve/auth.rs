//! Authentication methods that this version builds, as the router core wants them; the survey names the others.

use std::path::Path;

use crossring_router::config::{
    AnonymousConfig, Authenticator, CraPrincipal, CryptosignPrincipal, KeyHolders, Principals,
    ScramPrincipal, Secret, Source, TicketPrincipal, TlsPrincipal, TransportAuthentication, Trustroot,
};
use crossring_router::credentials::certificates::{Address, Authority, Root};
use crossring_router::credentials::cra::Derivation;
use crossring_router::credentials::scram::{Kdf, StoredKeys};
use crossring_router::credentials::{cryptosign, from_hex};

use super::super::cursor::Cursor;
use super::super::syntax;
use super::{ANONYMOUS, Resolver};

/// Role of who joins by a certificate chain, where the configuration says nothing: the one that Crossbar.io always gives.
const CERTIFIED: &str = "user";

/// `None` where nothing is configured: an absent or empty `auth` lets anybody in as `anonymous`.
pub(super) fn auth(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<TransportAuthentication> {
    let mut methods = TransportAuthentication::default();
    for (name, method) in written.members() {
        match name {
            "anonymous" => methods.anonymous = Some(source(&method, |it| anonymous(it, resolver))),
            "ticket" => {
                methods.ticket = Some(source(&method, |it| principals(it, "principals", resolver, ticket)));
            }
            "wampcra" => methods.cra = Some(source(&method, |it| principals(it, "users", resolver, wampcra))),
            "scram" => {
                methods.scram = Some(source(&method, |it| principals(it, "principals", resolver, scram)));
            }
            "cryptosign" => {
                methods.cryptosign = Some(source(&method, |it| key_holders(it, resolver)));
            }
            "tls" => methods.tls = Some(source(&method, |it| principals(it, "principals", resolver, tls))),
            "anonymous-proxy" => methods.anonymous_proxy = true,
            "cryptosign-proxy" => {
                methods.cryptosign_proxy = Some(source(&method, |it| key_holders(it, resolver)));
            }
            "cookie" => methods.cookie = true,
            _ => {}
        }
    }
    (methods != TransportAuthentication::default()).then_some(methods)
}

fn anonymous(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> AnonymousConfig {
    let role = role(written, ANONYMOUS, None, resolver);
    AnonymousConfig { role, authid: written.key("authid").text().map(Into::into) }
}

/// One principal, as far as all methods have it.
struct Named<'a> {
    authid: Box<str>,
    role: Box<str>,
    realm: Option<Box<str>>,
    written: Cursor<'a>,
}

/// The role written at a place, else the default one. `realm`: where sessions with it are put.
fn role(written: &Cursor<'_>, default: &str, realm: Option<&str>, resolver: &mut Resolver<'_>) -> Box<str> {
    let own = written.key("role");
    let (place, role) = match own.text() {
        Some(role) => (own.path.to_string(), role),
        None => (written.path.to_string(), default),
    };
    resolver.given_roles.give(place, role, realm);
    role.into()
}

/// Who knows the identities of a method.
fn source<S>(method: &Cursor<'_>, known: impl FnOnce(&Cursor<'_>) -> S) -> Source<S> {
    if method.key("type").text() != Some("dynamic") {
        return Source::Static(known(method));
    }
    let text = |key: &str| method.key(key).text().map(Into::into);
    Source::Dynamic(Authenticator {
        procedure: text("authenticator").unwrap_or_default(),
        realm: text("authenticator-realm"),
        role: text("authenticator-role"),
        default_role: text("default-role"),
    })
}

fn principals<P: crossring_router::config::Principal>(
    method: &Cursor<'_>,
    list: &str,
    resolver: &mut Resolver<'_>,
    read: impl Fn(Named<'_>, &mut Resolver<'_>) -> Option<P>,
) -> Principals<P> {
    let default_role = method.key("default-role").text().unwrap_or_default();
    let written = method.key(list);
    let named = |(authid, written): (&str, Cursor<'_>)| {
        let realm = written.key("realm").text();
        let role = role(&written, default_role, realm, resolver);
        let realm = realm.map(Into::into);
        read(Named { authid: authid.into(), role, realm, written }, resolver)
    };
    Principals::new(written.members().filter_map(named).collect())
}

fn ticket(named: Named<'_>, resolver: &mut Resolver<'_>) -> Option<TicketPrincipal> {
    let Named { authid, role, realm, written } = named;
    let ticket = secret(&written.key("ticket"), resolver).map(Secret::new);
    Some(TicketPrincipal { authid, ticket, role, realm })
}

/// With salt, iterations and length the key is derived from the secret, as Crossbar.io does it: the secret in the
/// configuration is the password itself.
fn wampcra(named: Named<'_>, resolver: &mut Resolver<'_>) -> Option<CraPrincipal> {
    let Named { authid, role, realm, written } = named;
    let secret = secret(&written.key("secret"), resolver);
    let derivation = match (
        written.key("salt").text(),
        written.key("iterations").integer(),
        written.key("keylen").integer(),
    ) {
        (Some(salt), Some(iterations), Some(key_length)) => {
            Some(Derivation { salt: salt.into(), iterations, key_length })
        }
        _ => None,
    };
    let key = match (&derivation, secret) {
        (Some(derivation), Some(secret)) => {
            if looks_derived(&secret, derivation.key_length) {
                resolver.warnings.push(format!(
                    "{}: this looks like a derived key; the password itself is expected",
                    written.key("secret").path
                ));
            }
            derivation.derive(&secret)
        }
        (None, secret) => secret,
        (Some(_), None) => None,
    };
    Some(CraPrincipal { authid, key: key.map(Secret::new), derivation, role, realm })
}

/// Base64 of exactly the length of the derived key: what Crossbar.io's guide tells people to write, and its code rejects.
fn looks_derived(secret: &str, key_length: u32) -> bool {
    let digits = secret.trim_end_matches('=');
    let is_digit = |digit: char| digit.is_ascii_alphanumeric() || digit == '+' || digit == '/';
    secret.len().is_multiple_of(4)
        && digits.chars().all(is_digit)
        && digits.len() * 3 / 4 == key_length as usize
}

fn scram(named: Named<'_>, _: &mut Resolver<'_>) -> Option<ScramPrincipal> {
    let Named { authid, role, realm, written } = named;
    let iterations = written.key("iterations").integer()?;
    let kdf = match written.key("kdf").text()? {
        "pbkdf2" => Kdf::Pbkdf2 { iterations },
        _ => Kdf::Argon2id { iterations, memory_kib: written.key("memory").integer()? },
    };
    let octets = |key: &str| written.key(key).text().and_then(cryptosign::octets);
    let keys = |stored, server| Some(StoredKeys { stored: octets(stored)?, server: octets(server)? });
    Some(ScramPrincipal {
        authid,
        kdf,
        salt: from_hex(written.key("salt").text()?)?.into(),
        autobahn: keys("stored-key", "server-key"),
        specification: keys("wamp-scram-stored-key", "wamp-scram-server-key"),
        role,
        realm,
    })
}

fn key_holders(method: &Cursor<'_>, resolver: &mut Resolver<'_>) -> KeyHolders {
    let trustroots = method.key("trustroots");
    if !trustroots.is_present() {
        return KeyHolders::Principals(principals(method, "principals", resolver, cryptosign));
    }
    let default_role = method.key("default-role").text().unwrap_or(CERTIFIED);
    let trustroot = |(realm, written): (&str, Cursor<'_>)| {
        let role = role(&written, default_role, written.key("realm").text(), resolver);
        Some(Trustroot {
            requested_realm: realm.into(),
            root: root(&written, resolver)?,
            block: written.key("block").integer(),
            role,
            realm: written.key("realm").text().map(Into::into),
        })
    };
    KeyHolders::Trustroots(trustroots.members().filter_map(trustroot).collect())
}

/// Where chains have to lead; `None`: a fault, reported.
fn root(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<Root> {
    let account = written.key("trustroot").text().and_then(Address::parse);
    let certificate = written.key("certificate");
    let Some(path) = certificate.text() else { return account.map(Root::Account) };
    match (root_certificate(path, resolver), account) {
        (Ok(authority), Some(account)) if authority.subject() != account => {
            let message = format!("the certificate is that of {}, not of this account", authority.subject());
            resolver.faults.add(written.key("trustroot").path, message);
            None
        }
        (Ok(authority), _) => Some(Root::Certificate(Box::new(authority))),
        (Err(message), _) => {
            resolver.faults.add(certificate.path, message);
            None
        }
    }
}

fn root_certificate(path: &str, resolver: &Resolver<'_>) -> Result<Authority, String> {
    let octets = (resolver.environment.file)(Path::new(path))
        .map_err(|error| format!("cannot read root certificate {path:?}: {error}"))?;
    Authority::root_from_file(&octets).map_err(|flaw| format!("no root certificate, {path:?}: {flaw}"))
}

fn cryptosign(named: Named<'_>, _: &mut Resolver<'_>) -> Option<CryptosignPrincipal> {
    let Named { authid, role, realm, written } = named;
    let keys = written.key("authorized_keys");
    let authorized_keys = keys.items().filter_map(|key| key.text().and_then(cryptosign::octets)).collect();
    Some(CryptosignPrincipal { authid, authorized_keys, role, realm })
}

fn tls(named: Named<'_>, _: &mut Resolver<'_>) -> Option<TlsPrincipal> {
    let Named { authid, role, realm, written } = named;
    let fingerprint = |key: &str| written.key(key).text().map(Into::into);
    let (sha1, sha256) = (fingerprint("certificate-sha1"), fingerprint("certificate-sha256"));
    Some(TlsPrincipal { authid, sha1, sha256, role, realm })
}

/// A secret, or that of `${NAME}`. A variable that is not set leaves no secret, so no login can succeed.
fn secret(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<String> {
    let text = written.text()?;
    let Some(name) = syntax::braced_reference(text) else { return Some(text.to_owned()) };
    let value = (resolver.environment.variable)(name);
    if value.is_none() {
        resolver
            .warnings
            .push(format!("{}: environment variable '{name}' not set: no login can succeed", written.path));
    }
    value
}
