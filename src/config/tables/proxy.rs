//! Worker type `proxy`.

use super::super::schema::{Kind, Rule, Table, Union, key, variant};
use super::super::syntax::{ANY_NAME, REALM};
use super::{TEXTS, transport, worker};

pub(super) static PROXY: Table = Table {
    name: "workers[], type proxy",
    keys: &[
        worker::WORKER_ID_KEY,
        key("options", &worker::OPTIONS, "As for every worker.").default("{}"),
        key("connections", &Kind::Map(&ANY_NAME, &Kind::Object(&CONNECTION)), "Backend routers by name.")
            .default("{}"),
        key("routes", &Kind::Map(&REALM, &ROLES), "Connections per realm and role.").default("{}"),
        key("transports", &Kind::List(&transport::LISTENING), "Where clients connect.").default("[]"),
    ],
    rules: &[Rule::Check("routes", unknown_connection)],
};

static ROLES: Kind = Kind::Map(&ANY_NAME, &Kind::Either(&[&Kind::Text, &TEXTS]));

/// Names the first route to a connection that does not exist.
fn unknown_connection(proxy: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    let connections = proxy.get("connections").and_then(|value| value.as_object());
    for (realm, roles) in proxy.get("routes")?.as_object()? {
        for (role, target) in roles.as_object()? {
            let names = target.as_array().map_or(std::slice::from_ref(target), Vec::as_slice);
            let is_unknown = |name: &&str| !connections.is_some_and(|known| known.contains_key(*name));
            if let Some(name) = names.iter().filter_map(|name| name.as_str()).find(is_unknown) {
                return Some(format!("no connection {name:?} found for realm {realm:?} and role {role:?}"));
            }
        }
    }
    None
}

static CONNECTION: Table = Table {
    name: "connections.* of a proxy",
    keys: &[
        key("transport", &transport::CONNECTING, "How to reach the backend.").required(),
        key("auth", &Kind::Object(&AUTH), "How the proxy logs in.")
            .default("anonymous-proxy over a Unix socket"),
    ],
    rules: &[],
};

static AUTH: Table = Table {
    name: "connections.*.auth of a proxy",
    keys: &[
        key("anonymous-proxy", &Kind::Tagged(&STATIC), "Without proof, over a Unix socket only."),
        key("cryptosign-proxy", &Kind::Tagged(&STATIC), "With the node key."),
    ],
    rules: &[],
};

static STATIC: Union = Union {
    what: "a proxy login",
    tag: "type",
    default: None,
    variants: &[variant(
        "static",
        &Table { name: "connections.*.auth.* of a proxy, type static", keys: &[], rules: &[] },
    )],
};
