//! Channel bindings: a proof that is worth nothing on any other transport than the one it is made for.

use crossring_codec::value::Value;

use super::{Context, Denial, Hello};

/// Types that a peer may ask for.
const TYPES: [&str; 3] = ["tls-exporter", "tls-unique", "tls-server-end-point"];

/// Longest unknown type that is told back, in octets.
const NAME_LENGTH_MAX: usize = 64;

/// The binding of a transport.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) name: &'static str,
    /// The channel id.
    pub(super) data: Box<[u8]>,
}

/// What HELLO asks for in `authextra.channel_binding`. A router that cannot do it refuses: who wants to be bound would not go
/// on without.
pub(super) fn requested(hello: &Hello<'_>, context: &Context<'_>) -> Result<Option<Binding>, Denial> {
    let Some(requested) = hello.extra("channel_binding") else { return Ok(None) };
    let Some(name) = requested.as_str().and_then(|name| TYPES.into_iter().find(|known| *known == name))
    else {
        return Err(invalid(requested));
    };
    match context.channel.channel_id(name) {
        Some(data) => Ok(Some(Binding { name, data: data.into() })),
        None => Err(Denial::not_authorized(format!(
            "channel binding \"{name}\" requested, but the transport has no TLS channel ID"
        ))),
    }
}

fn invalid(requested: &Value) -> Denial {
    let name = requested.as_str().filter(|name| name.len() <= NAME_LENGTH_MAX);
    let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
    Denial::not_authorized(format!("invalid channel binding type{name} requested"))
}
