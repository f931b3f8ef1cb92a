//! Node configurations for crossring and Crossbar.io: one realm, one transport, clients anonymous or with one identity.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    identity,
    protocol::wamp::{Carrier, Wire},
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
pub(super) fn node(address: SocketAddr, wire: Wire, crossring: Option<CrossringOptions>) -> Value {
    let options = crossring.map(|options| json!({"shards": options.shards, "engine": options.engine}));
    json!({
        "version": 2,
        "controller": {"options": options.unwrap_or_else(|| json!({}))},
        "workers": [{
            "type": "router",
            "realms": [{"name": REALM_DEFAULT, "roles": [everything_for_anonymous()]}],
            "transports": [transport(address, wire)],
        }],
    })
}

fn everything_for_anonymous() -> Value {
    let allow = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": allow}]})
}

/// Every serializer is on by default; batched ones cannot even be named in Crossbar.io's list.
fn transport(address: SocketAddr, wire: Wire) -> Value {
    let kind = match wire.carrier {
        Carrier::RawSocket => "rawsocket",
        Carrier::WebSocket => "websocket",
    };
    json!({
        "type": kind,
        "endpoint": {"type": "tcp", "interface": address.ip().to_string(), "port": address.port()},
        "auth": identity::auth(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_what_is_measured() {
        let address = "127.0.0.1:4000".parse().expect("an address");
        let options = CrossringOptions { shards: 2, engine: "epoll".to_owned() };
        let crossring = node(address, Wire::DEFAULT, Some(options));
        assert_eq!(crossring["controller"]["options"], json!({"shards": 2, "engine": "epoll"}));
        let transport = &crossring["workers"][0]["transports"][0];
        assert_eq!(transport["type"], "rawsocket");
        assert_eq!(transport["endpoint"]["port"], 4000);
        let crossbar = node(address, "ws.cbor.batched".parse().expect("a wire"), None);
        assert_eq!(crossbar["controller"]["options"], json!({}));
        assert_eq!(crossbar["workers"][0]["transports"][0]["type"], "websocket");
    }
}
