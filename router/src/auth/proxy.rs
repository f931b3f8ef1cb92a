//! `anonymous-proxy` and `cryptosign-proxy`: a proxy on this host has found out who its client is, and says so.
//!
//! Nothing that it says is checked, so it must come over a Unix socket, which only who may open its file can reach. A proxy by
//! `cryptosign-proxy` has to prove its own key besides.

use crossring_codec::value::{Dict, Value};

use super::cryptosign::{self, Client};
use super::{Context, Denial, Grant, Hello, Method, Provider, Step};
use crate::config::{KeyHolders, Source};
use crate::details::Peer;

/// `anonymous-proxy`
pub(super) fn hello(hello: &Hello<'_>, context: &Context<'_>) -> Result<Step, Denial> {
    check_place(context)?;
    let grant = client(hello, "")?;
    grant.accept(Method::AnonymousProxy, authextra(hello), context)
}

/// `cryptosign-proxy`: Crossbar.io does not wait for the signature.
pub(super) fn hello_with_key(
    source: &Source<KeyHolders>,
    hello: &Hello<'_>,
    context: &mut Context<'_>,
) -> Result<Step, Denial> {
    check_place(context)?;
    if hello.details.authextra.is_empty() {
        return Err(Denial::not_authorized("missing required details.authextra"));
    }
    let grant = client(hello, " in details.authextra")?;
    cryptosign::hello_of_proxy(source, hello, Client { grant, authextra: authextra(hello) }, context)
}

/// Whoever can reach a port could say anything.
fn check_place(context: &Context<'_>) -> Result<(), Denial> {
    match context.channel.peer {
        Peer::Unix => Ok(()),
        _ => Err(Denial::not_authorized("a proxy must connect over a Unix socket")),
    }
}

/// Who the proxy's client is.
fn client(hello: &Hello<'_>, place: &str) -> Result<Grant, Denial> {
    let required = |name: &str| {
        let text = hello.extra(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let missing = || Denial::not_authorized(format!("missing required attribute {name}{place}"));
        text.map(Box::from).ok_or_else(missing)
    };
    Ok(Grant {
        realm: Some(required("proxy_realm")?),
        authid: Some(required("proxy_authid")?),
        role: Some(required("proxy_authrole")?),
        provider: Provider::Static,
    })
}

/// What the proxy's client is told.
fn authextra(hello: &Hello<'_>) -> Dict {
    match hello.extra("proxy_authextra") {
        Some(Value::Dict(extra)) => extra.clone(),
        _ => Dict::new(),
    }
}
