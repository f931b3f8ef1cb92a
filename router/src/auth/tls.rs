//! `tls`: the certificate with which the peer has opened its transport. That it has the key was proved there.

use crossring_codec::value::{Dict, Value};

use super::dynamic::{Asking, Join};
use super::{Context, Denial, Grant, Hello, Method, Step, entry, value_of};
use crate::config::{Principals, Source, TlsPrincipal};

pub(super) fn hello(
    source: &Source<Principals<TlsPrincipal>>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    let certificate = context.channel.peer_cert();
    if certificate.is_empty() {
        return Err(Denial::not_authorized("client did not send a TLS client certificate"));
    }
    match source {
        Source::Static(principals) => {
            let (sha1, sha256) = (fingerprint(certificate, "sha1"), fingerprint(certificate, "sha256"));
            let Some(principal) = principals.iter().find(|known| known.is(sha1, sha256)) else {
                return Err(Denial::not_authorized(format!("no principal with authid \"{sha1}\" exists")));
            };
            Grant::of(principal, hello).accept(Method::Tls, Dict::new(), context)
        }
        Source::Dynamic(authenticator) => {
            let more = vec![entry("client_cert", Value::Dict(certificate.clone()))];
            Asking::new(authenticator, Method::Tls, hello).ask(more, Join, context)
        }
    }
}

/// Octets in upper case hexadecimal digits, joined by colons.
fn fingerprint<'a>(certificate: &'a Dict, digest: &str) -> &'a str {
    value_of(certificate, digest).and_then(Value::as_str).unwrap_or_default()
}
