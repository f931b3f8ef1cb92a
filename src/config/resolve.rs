//! From the document as written to [`NodeConfig`]: defaults, environment references, generated ids, and the faults
//! that only show across objects (names used twice, variables that are not set).

mod auth;
mod cookie;
mod realm;
mod roles;
mod site;
mod transport;
mod upstream;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::{fmt, io};

use crossring_router::config::{MANAGEMENT, TransportAuthentication};
use crossring_router::limits::{FailureLimits, SessionLimits};
use serde_json::Value;

use super::cursor::Cursor;
use super::fault::Faults;
use super::node::{EngineChoice, NodeConfig, NodeLimits, SlowConsumer, TransportConfig, TransportKind};
use super::requisite::Requisite;
use super::syntax;
use roles::GivenRoles;

/// What a configuration may refer to.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// Reads a variable of the process.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file; relative paths are relative to the node directory.
    pub file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// What resolution carries along.
pub(super) struct Resolver<'a> {
    pub(super) environment: Environment<'a>,
    pub(super) faults: &'a mut Faults,
    /// Remarks that stop nothing.
    pub(super) warnings: &'a mut Vec<String>,
    /// What start makes out of files, each with its place.
    pub(super) requisites: Vec<(String, Requisite)>,
    given_roles: GivenRoles,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        environment: Environment<'a>,
        faults: &'a mut Faults,
        warnings: &'a mut Vec<String>,
    ) -> Self {
        let given_roles = GivenRoles::default();
        Resolver { environment, faults, warnings, requisites: Vec::new(), given_roles }
    }

    /// Takes note of a transport that may let in anybody because it says nothing of authentication.
    fn note_open_door(&mut self, written: &Cursor<'_>, auth: Option<&TransportAuthentication>) {
        if auth.is_none() {
            let place = format_args!("{} (without 'auth')", written.path);
            self.given_roles.give(place, ANONYMOUS, None);
        }
    }
}

/// Role of those who need no proof, where the configuration says nothing.
const ANONYMOUS: &str = "anonymous";

/// Resolves the whole document. With faults in the document the result is incomplete and must not be used.
pub(super) fn node(document: &Value, resolver: &mut Resolver<'_>) -> NodeConfig {
    let root = Cursor::root(document);
    let controller = root.key("controller");
    let options = controller.key("options");
    let mut node = NodeConfig {
        controller_id: controller.key("id").string(),
        node_key: None,
        own_files: Vec::new(),
        shards: options.key("shards").integer(),
        engine: engine(options.key("engine").text()),
        limits: limits(&options),
        realms: Vec::new(),
        transports: Vec::new(),
    };
    let mut names = Names::default();
    for worker in root.key("workers").items() {
        names.claim("worker id", worker.key("id").text(), worker.key("id").path, resolver.faults);
        let id = names.id("worker", worker.key("id").text());
        if is_disabled(&worker, resolver.environment) {
            continue;
        }
        match worker.key("type").text() {
            Some("router") => router(&worker, &id, &mut node, &mut names, resolver),
            Some("websocket-testee") => testee(&worker, &id, &mut node, &mut names, resolver),
            _ => {}
        }
    }
    resolver.warnings.extend(resolver.given_roles.remarks(&node.realms));
    let has_management = node.realms.iter().any(|realm| realm.name == MANAGEMENT);
    for realm in node.realms.iter().filter(|realm| realm.options.bridge_meta_api && !has_management) {
        let name = &realm.name;
        resolver.warnings.push(format!(
            "realm {name:?}: bridge_meta_api has no effect, there is no realm {MANAGEMENT:?} to bridge to"
        ));
    }
    node
}

fn router(
    worker: &Cursor<'_>,
    worker_id: &str,
    node: &mut NodeConfig,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) {
    for written in worker.key("realms").items() {
        names.claim("realm", written.key("name").text(), written.key("name").path, resolver.faults);
        names.claim("realm id", written.key("id").text(), written.key("id").path, resolver.faults);
        node.realms.push(realm::realm(&written, worker_id, names, resolver));
    }
    for written in worker.key("transports").items() {
        names.claim("transport id", written.key("id").text(), written.key("id").path, resolver.faults);
        if matches!(written.key("type").text(), Some("web" | "universal")) {
            site::shared(&written, worker_id, node, names, resolver);
            continue;
        }
        if let Some(transport) = transport::transport(&written, worker_id, names, resolver) {
            if matches!(transport.kind, TransportKind::WebSocket(_) | TransportKind::RawSocket(_)) {
                resolver.note_open_door(&written, transport.auth.as_ref());
            }
            listen(transport, &written, node, names, resolver);
        }
    }
}

/// A worker with nothing but an echo server for WebSocket messages.
fn testee(
    worker: &Cursor<'_>,
    worker_id: &str,
    node: &mut NodeConfig,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) {
    let written = worker.key("transport");
    names.claim("transport id", written.key("id").text(), written.key("id").path, resolver.faults);
    if let Some(mut transport) = transport::transport(&written, worker_id, names, resolver) {
        if let TransportKind::WebSocket(options) = transport.kind {
            transport.kind = TransportKind::WebSocketTestee(options);
        }
        listen(transport, &written, node, names, resolver);
    }
}

fn listen(
    transport: TransportConfig,
    written: &Cursor<'_>,
    node: &mut NodeConfig,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) {
    let place = transport.endpoint.place();
    names.claim("endpoint", Some(&place), written.key("endpoint").path, resolver.faults);
    node.transports.push(transport);
}

/// Whether `options.disabled` takes a worker out.
pub(super) fn is_disabled(worker: &Cursor<'_>, environment: Environment<'_>) -> bool {
    let options = worker.key("options");
    match options.key("disabled").value {
        Value::Bool(flag) => *flag,
        Value::String(text) => syntax::braced_reference(text)
            .and_then(environment.variable)
            .is_some_and(|value| !value.is_empty()),
        _ => false,
    }
}

fn engine(text: Option<&str>) -> EngineChoice {
    match text {
        Some("io_uring") => EngineChoice::IoUring,
        Some("epoll") => EngineChoice::Epoll,
        _ => EngineChoice::Auto,
    }
}

fn limits(options: &Cursor<'_>) -> NodeLimits {
    let default = NodeLimits::default();
    NodeLimits {
        slow_consumer: match options.key("slow_consumer").text() {
            Some("close_session") => SlowConsumer::CloseSession,
            _ => SlowConsumer::DropEvents,
        },
        strict_request_ids: options.key("strict_request_ids").flag(false),
        outbound_bytes_max: options.key("outbound_bytes_max").integer().unwrap_or(default.outbound_bytes_max),
        auth_timeout: match options.key("auth_timeout").is_present() {
            true => options.key("auth_timeout").milliseconds(),
            false => default.auth_timeout,
        },
        unauthenticated_max: options
            .key("max_unauthenticated")
            .integer()
            .unwrap_or(default.unauthenticated_max),
        unauthenticated_bytes_max: options
            .key("max_unauthenticated_bytes")
            .integer()
            .unwrap_or(default.unauthenticated_bytes_max),
        session: session_limits(&options.key("session_limits")),
        failures: failures(&options.key("auth_failures")),
        authorizer_timeout_ms: options
            .key("authorizer_timeout")
            .integer()
            .unwrap_or(default.authorizer_timeout_ms),
        shutdown_timeout: match options.key("shutdown_timeout").is_present() {
            true => options.key("shutdown_timeout").milliseconds().unwrap_or_default(),
            false => default.shutdown_timeout,
        },
    }
}

fn session_limits(written: &Cursor<'_>) -> SessionLimits {
    let default = SessionLimits::default();
    let number = |name: &str, default: u32| written.key(name).integer().unwrap_or(default);
    SessionLimits {
        subscriptions_max: number("max_subscriptions", default.subscriptions_max),
        registrations_max: number("max_registrations", default.registrations_max),
        calls_max: number("max_calls", default.calls_max),
        invocations_max: number("max_invocations", default.invocations_max),
        requests_max: number("max_requests", default.requests_max),
        payload_octets_max: written.key("max_payload").nonzero().unwrap_or(default.payload_octets_max),
    }
}

fn failures(written: &Cursor<'_>) -> FailureLimits {
    let default = FailureLimits::default();
    let number = |name: &str, default: u32| written.key(name).integer().unwrap_or(default);
    let exempt = written.key("exempt");
    FailureLimits {
        pair_max: number("max_per_client", default.pair_max),
        address_max: number("max_per_address", default.address_max),
        authid_max: number("max_per_authid", default.authid_max),
        window_ms: number("window", default.window_ms),
        delay_ms: number("delay", default.delay_ms),
        delay_ms_max: number("max_delay", default.delay_ms_max),
        authid_delay_ms_max: number("max_authid_delay", default.authid_delay_ms_max),
        exempt: networks(&exempt, default.exempt),
    }
}

fn networks(written: &Cursor<'_>, default: Vec<(IpAddr, u8)>) -> Vec<(IpAddr, u8)> {
    match written.is_present() {
        true => written.items().filter_map(|item| syntax::network(item.text()?)).collect(),
        false => default,
    }
}

/// Names already taken, per sort of name, and the counters of generated ids.
#[derive(Default)]
pub(super) struct Names {
    taken: BTreeMap<(&'static str, String), String>,
    counters: BTreeMap<&'static str, usize>,
}

impl Names {
    /// Takes a name; a second taking is a fault.
    pub(super) fn claim(
        &mut self,
        sort: &'static str,
        name: Option<&str>,
        path: impl fmt::Display,
        faults: &mut Faults,
    ) {
        let Some(name) = name else { return };
        let path = path.to_string();
        match self.taken.get(&(sort, name.to_string())) {
            Some(first) => faults.add(path, format!("{sort} {name:?} is already taken by {first}")),
            None => {
                self.taken.insert((sort, name.to_string()), path);
            }
        }
    }

    /// The written id, or the next generated one: `realm001`, `role002`.
    pub(super) fn id(&mut self, sort: &'static str, written: Option<&str>) -> String {
        if let Some(written) = written {
            return written.to_string();
        }
        let counter = self.counters.entry(sort).or_default();
        *counter += 1;
        format!("{sort}{counter:03}")
    }
}
