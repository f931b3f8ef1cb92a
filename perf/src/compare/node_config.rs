//! Node configurations for crossring and Crossbar.io: one realm, one transport, clients anonymous or with one identity.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};

use super::certificate::Certificate;
use crate::{
    identity,
    protocol::wamp::{Carrier, Compression, Wire},
    target::REALM_DEFAULT,
};

/// What only crossring has.
pub(super) struct CrossringOptions {
    /// Data shards.
    pub(super) shards: usize,
    /// `auto`, `io_uring` or `epoll`.
    pub(super) engine: String,
}

/// The version 2 node configuration. Both routers read the same one, except for the options that
/// only crossring knows.
pub(super) fn node(transport: Value, crossring: Option<CrossringOptions>) -> Value {
    let options = crossring.map(|options| json!({"shards": options.shards, "engine": options.engine}));
    json!({
        "version": 2,
        "controller": {"options": options.unwrap_or_else(|| json!({}))},
        "workers": [{
            "type": "router",
            "realms": [{"name": REALM_DEFAULT, "roles": [everything_for_anonymous()]}],
            "transports": [transport],
        }],
    })
}

fn everything_for_anonymous() -> Value {
    let allow = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": allow}]})
}

/// Every serializer is on by default; batched ones cannot even be named in Crossbar.io's list.
pub(super) fn transport(address: SocketAddr, wire: Wire, certificate: &Certificate) -> Value {
    let kind = match wire.carrier {
        Carrier::RawSocket => "rawsocket",
        Carrier::WebSocket => "websocket",
    };
    let mut transport = json!({
        "type": kind,
        "endpoint": endpoint(address, wire.is_secured.then_some(certificate)),
        "auth": identity::auth(),
    });
    if wire.compression != Compression::None {
        transport["options"] = json!({"compression": {"deflate": {}}});
    }
    transport
}

/// Nothing but the files of `directory`.
pub(super) fn web_transport(
    address: SocketAddr,
    directory: &Path,
    certificate: Option<&Certificate>,
) -> Value {
    json!({
        "type": "web",
        "endpoint": endpoint(address, certificate),
        "paths": {"/": {"type": "static", "directory": directory}},
    })
}

fn endpoint(address: SocketAddr, certificate: Option<&Certificate>) -> Value {
    let mut endpoint = json!({"type": "tcp", "interface": address.ip().to_string(), "port": address.port()});
    if let Some(Certificate { certificate, key }) = certificate {
        endpoint["tls"] = json!({"certificate": certificate, "key": key});
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_what_is_measured() {
        let certificate = Certificate { certificate: "/c.pem".into(), key: "/k.pem".into() };
        let address = "127.0.0.1:4000".parse().expect("an address");
        let options = CrossringOptions { shards: 2, engine: "epoll".to_owned() };
        let crossring = node(transport(address, Wire::DEFAULT, &certificate), Some(options));
        assert_eq!(crossring["controller"]["options"], json!({"shards": 2, "engine": "epoll"}));
        let made = &crossring["workers"][0]["transports"][0];
        assert_eq!(made["type"], "rawsocket");
        assert_eq!(made["endpoint"]["port"], 4000);
        let wire = "ws.cbor.batched+deflate+tls".parse().expect("a wire");
        let crossbar = node(transport(address, wire, &certificate), None);
        assert_eq!(crossbar["controller"]["options"], json!({}));
        let made = &crossbar["workers"][0]["transports"][0];
        assert_eq!(made["type"], "websocket");
        assert_eq!(made["endpoint"]["tls"], json!({"certificate": "/c.pem", "key": "/k.pem"}));
        assert_eq!(made["options"], json!({"compression": {"deflate": {}}}));
        let web = web_transport(address, Path::new("/files"), None);
        assert_eq!(web["paths"]["/"]["directory"], "/files");
        assert!(web["endpoint"].get("tls").is_none());
    }
}
