//! From the resolved configuration to what the layers below are told.

use std::sync::Arc;
use std::time::Duration;

use crossring_codec::serializer::{Serializer, SerializerId, SerializerSet};
use crossring_codec::transport::{
    RawSocketServerOptions, TrackingCookie, WebSocketLimits, WebSocketServerOptions,
};
use crossring_codec::uri;
use crossring_router::address::TransportId;
use crossring_router::config as core;
use crossring_router::limits::Limits;

use crate::config::{
    CookieConfig, CookieStoreConfig, Endpoint, Match, NodeConfig, Permission, RealmConfig, RoleConfig,
    SerializerName, ServiceConfig, SharedOptions, SlowConsumer, Store, StoreRule, TransportConfig,
    TransportKind, UriCheck, WebSocketOptions,
};
use crate::worker::outbound::{self, OutboundLimits, QUEUE_SIZE_MAX};
use crate::worker::{
    AutoPing, ListenerKind, ListenerLimits, RawSocketListener, SharedListener, WebSocketListener,
    WorkerLimits,
};

/// What the router core is told.
///
/// `entropy`: 32 random octets as text.
pub(super) fn router_config(config: &NodeConfig, entropy: &str) -> core::RouterConfig {
    core::RouterConfig {
        realms: config.realms.iter().map(realm).collect(),
        transports: authentications(config),
        agent: concat!("crossring-", env!("CARGO_PKG_VERSION")).into(),
        node: node_name(config).into(),
        workers: config.transports.iter().map(|transport| transport.worker.as_str().into()).collect(),
        node_key: config.node_key.clone(),
        entropy: core::Secret::new(entropy),
    }
}

/// The configured name, or one that is this process's only: `<host>-<process id>`.
pub(super) fn node_name(config: &NodeConfig) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let made = || format!("{}-{}", host().trim().to_lowercase(), std::process::id());
    config.controller_id.clone().unwrap_or_else(made)
}

fn realm(realm: &RealmConfig) -> core::RealmConfig {
    core::RealmConfig {
        name: realm.name.as_str().into(),
        strictness: match realm.options.uri_check {
            UriCheck::Loose => uri::Strictness::Loose,
            UriCheck::Strict => uri::Strictness::Strict,
        },
        roles: realm.roles.iter().map(role).collect(),
        meta_api: realm.options.enable_meta_api,
        bridge: realm.options.bridge_meta_api.then(|| bridge(realm)),
        sharding: realm.options.sharding,
        resumption: realm.options.resumption.as_ref().map(|resumption| core::ResumptionConfig {
            timeout_ms: milliseconds(resumption.timeout),
            events_max: resumption.events_max,
            octets_max: resumption.bytes_max,
            sessions_max: resumption.sessions_max,
        }),
        store: store(&realm.store),
        statistics: realm.stats.as_ref().map(|stats| core::StatisticsConfig {
            rated_size: stats.rated_message_size,
            after_messages: stats.after_rated_messages,
            after_ms: stats.after_duration.map(|duration| duration.as_millis() as u64),
            on_join: stats.on_join,
            on_leave: stats.on_leave,
        }),
    }
}

fn store(store: &Store) -> core::StoreConfig {
    let history = |rule: &StoreRule| core::HistoryRule {
        uri: rule.uri.as_str().into(),
        match_policy: match_policy(rule.matching),
        limit: rule.limit,
    };
    let queue = |rule: &StoreRule| core::QueueRule {
        uri: rule.uri.as_str().into(),
        match_policy: match_policy(rule.matching),
        limit: rule.limit,
    };
    core::StoreConfig {
        history: store.event_history.iter().map(history).collect(),
        sessions_max: store.sessions_max,
        history_octets_max: store.event_history_bytes_max,
        call_queue: store.call_queue.iter().map(queue).collect(),
        retained_topics_max: store.retained_topics_max,
        retained_octets_max: store.retained_bytes_max,
        retained_lifetime_ms: store.retained_lifetime.map(|lifetime| lifetime.as_millis() as u64),
    }
}

fn match_policy(matching: Match) -> uri::Match {
    match matching {
        Match::Exact => uri::Match::Exact,
        Match::Prefix => uri::Match::Prefix,
        Match::Wildcard => uri::Match::Wildcard,
    }
}

/// What the URIs of a realm's meta API begin with on the management realm, as in Crossbar.io.
fn bridge(realm: &RealmConfig) -> Box<str> {
    format!("crossbar.worker.{}.realm.{}.root.", realm.worker, realm.id).into()
}

fn role(role: &RoleConfig) -> core::RoleConfig {
    let mut permissions: Vec<_> = role.permissions.iter().map(permission).collect();
    if permissions.is_empty() && role.allow_by_default {
        permissions.push(core::Permission {
            uri: "".into(),
            match_policy: uri::Match::Prefix,
            allow: core::Allow::ALL,
            ..core::Permission::default()
        });
    }
    core::RoleConfig {
        name: role.name.as_str().into(),
        permissions,
        authorizer: role.authorizer.as_deref().map(Into::into),
        trustlevel: role.trustlevel,
        ..core::RoleConfig::default()
    }
}

fn permission(permission: &Permission) -> core::Permission {
    let allow = permission.allow;
    core::Permission {
        uri: permission.uri.as_str().into(),
        match_policy: match_policy(permission.matching),
        allow: core::Allow {
            call: allow.call,
            register: allow.register,
            publish: allow.publish,
            subscribe: allow.subscribe,
        },
        disclose_caller: permission.disclose.caller,
        disclose_publisher: permission.disclose.publisher,
        refuse_disclose_me: permission.disclose.refuse,
    }
}

fn authentications(config: &NodeConfig) -> Vec<core::TransportAuthentication> {
    let (_, stores) = cookie_stores(config);
    let all = config.transports.iter().zip(stores);
    all.map(|(transport, store)| authentication(transport, store)).collect()
}

fn authentication(transport: &TransportConfig, store: Option<u16>) -> core::TransportAuthentication {
    let tracking = cookie(transport).zip(store).map(|(cookie, store)| core::CookieTracking {
        store,
        max_age_s: cookie.max_age,
        names_anonymous: transport.auth.is_none(),
    });
    let methods = transport.auth.clone().unwrap_or_else(|| {
        let anonymous = core::AnonymousConfig { role: "anonymous".into(), authid: None };
        core::TransportAuthentication {
            anonymous: Some(core::Source::Static(anonymous)),
            ..Default::default()
        }
    });
    core::TransportAuthentication { tracking, ..methods }
}

fn cookie(transport: &TransportConfig) -> Option<&CookieConfig> {
    match &transport.kind {
        TransportKind::WebSocket(options) => options.cookie.as_deref(),
        TransportKind::RawSocket(_)
        | TransportKind::Shared(_)
        | TransportKind::Service
        | TransportKind::WebSocketTestee(_)
        | TransportKind::StreamTestee => None,
    }
}

/// The cookie stores, and the one of each transport by number. What is in the same place on the disk is one store.
pub(crate) fn cookie_stores(config: &NodeConfig) -> (Vec<CookieStoreConfig>, Vec<Option<u16>>) {
    let mut stores: Vec<CookieStoreConfig> = Vec::new();
    let mut number = |store: &CookieStoreConfig| {
        let is_same = |known: &CookieStoreConfig| known.path().is_some() && known.path() == store.path();
        let known = stores.iter().position(is_same);
        known.unwrap_or_else(|| {
            stores.push(store.clone());
            stores.len() - 1
        }) as u16
    };
    let of_transport = |transport| cookie(transport).map(|cookie| number(&cookie.store));
    let numbers = config.transports.iter().map(of_transport).collect();
    (stores, numbers)
}

/// Bounds of the core.
pub(super) fn limits(config: &NodeConfig) -> Limits {
    let join_timeout_ms = config.limits.auth_timeout.map_or(u32::MAX, milliseconds);
    let strict_request_ids = config.limits.strict_request_ids;
    let failures = config.limits.failures.clone();
    Limits {
        session: config.limits.session,
        join_timeout_ms,
        strict_request_ids,
        failures,
        authorizer_timeout_ms: config.limits.authorizer_timeout_ms,
        ..Limits::default()
    }
}

/// Bounds of a worker.
pub(super) fn worker_limits(config: &NodeConfig, shards: usize) -> WorkerLimits {
    WorkerLimits {
        outbound: outbound_limits(config),
        unjoined_max: share(config.limits.unauthenticated_max.into(), shards),
        unjoined_octets_max: config.limits.unauthenticated_bytes_max,
    }
}

/// What a shard lets in of a transport's connections.
pub(super) fn listener_limits(transport: &TransportConfig, shards: usize) -> ListenerLimits {
    let limits = &transport.limits;
    let connections_max = connections_share(transport, shards);
    // Out of one queue for all shards, one may take all that comes from an address.
    let shards = if matches!(transport.endpoint, Endpoint::Tcp(_)) { shards } else { 1 };
    ListenerLimits {
        connections_max,
        connections_per_address_max: share(limits.per_address_max.into(), shards),
        rate_max: share(limits.rate_max.into(), shards),
        rate_per_address_max: share(limits.rate_per_address_max.into(), shards),
        exempt: limits.exempt.clone(),
        handshake_timeout_ms: milliseconds(limits.handshake_timeout.unwrap_or_default()),
    }
}

/// Bounds of the outgoing queues.
pub(crate) fn outbound_limits(config: &NodeConfig) -> OutboundLimits {
    OutboundLimits {
        queue_size_max: config.limits.outbound_bytes_max.min(QUEUE_SIZE_MAX as usize) as u32,
        slow_consumer: match config.limits.slow_consumer {
            SlowConsumer::DropEvents => outbound::SlowConsumer::Drop,
            SlowConsumer::CloseSession => outbound::SlowConsumer::End,
        },
    }
}

/// Most connections of a shard: all that its listeners admit, and some being refused.
pub(super) fn connections_max(config: &NodeConfig, shards: usize) -> u32 {
    let total: u64 = config
        .transports
        .iter()
        .filter(|it| !matches!(it.endpoint, Endpoint::Within(_)))
        .map(|it| u64::from(connections_share(it, shards)))
        .sum();
    total.saturating_add(1024).min(1 << 24) as u32
}

fn connections_share(transport: &TransportConfig, shards: usize) -> u32 {
    share(transport.max_connections, shards)
}

/// A shard's share of something that the kernel spreads about evenly over the shards. Twice the even share, and somewhat more of
/// few, leaves room for chance without letting one transport or peer take the whole process.
fn share(all: u64, shards: usize) -> u32 {
    let even = all.div_ceil(shards as u64);
    let share = even.saturating_mul(2).max(even.saturating_add(4 * even.isqrt() + 4));
    let share = if shards == 1 { even } else { share.min(all) };
    share.min(1 << 24) as u32
}

/// How the connections of a transport speak.
pub(super) fn listener_kind(config: &NodeConfig, transport: &TransportConfig) -> ListenerKind {
    let serializers = serializers(transport);
    match &transport.kind {
        TransportKind::RawSocket(options) => ListenerKind::RawSocket(RawSocketListener {
            options: RawSocketServerOptions {
                serializers,
                message_size_max: options.max_message_size,
                ..RawSocketServerOptions::default()
            },
            nesting_max: options.max_nesting_depth,
        }),
        TransportKind::WebSocket(options) => {
            ListenerKind::WebSocket(Arc::new(websocket(options, serializers)))
        }
        TransportKind::Shared(options) => ListenerKind::Shared(Arc::new(shared(config, options))),
        // It never listens.
        TransportKind::Service => ListenerKind::Shared(Arc::default()),
        TransportKind::WebSocketTestee(options) => ListenerKind::WebSocket(Arc::new(testee(options))),
        TransportKind::StreamTestee => ListenerKind::StreamEcho,
    }
}

fn shared(config: &NodeConfig, options: &SharedOptions) -> SharedListener {
    let part = |index: usize| (TransportId(index as u16), listener_kind(config, &config.transports[index]));
    let rawsocket = options.rawsocket.map(part).and_then(|(id, kind)| match kind {
        ListenerKind::RawSocket(listener) => Some((id, listener)),
        _ => None,
    });
    let websockets = options.site.routes.map(&mut |service| match service {
        ServiceConfig::WebSocket(index) => match part(*index) {
            (id, ListenerKind::WebSocket(listener)) => Some((id, listener)),
            _ => None,
        },
        _ => None,
    });
    SharedListener { rawsocket, websockets }
}

fn testee(options: &WebSocketOptions) -> WebSocketListener {
    let listener = websocket(options, SerializerSet::NONE);
    let options = WebSocketServerOptions { any_messages: true, ..(*listener.options).clone() };
    WebSocketListener { options: Arc::new(options), echoes: true, ..listener }
}

fn websocket(options: &WebSocketOptions, serializers: SerializerSet) -> WebSocketListener {
    let auto_ping = options.auto_ping_interval.map(|interval| AutoPing {
        interval_ms: milliseconds(interval),
        timeout_ms: options.auto_ping_timeout.map_or(0, milliseconds),
        size: options.auto_ping_size.into(),
        restarts_on_traffic: options.auto_ping_restart_on_any_traffic,
    });
    let limits = WebSocketLimits {
        frame_size_max: options.max_frame_size.unwrap_or(options.max_message_size),
        message_size_max: options.max_message_size,
        checks_text: options.validate_utf8,
        head_size_max: options.max_header_size,
    };
    WebSocketListener {
        options: Arc::new(WebSocketServerOptions {
            serializers,
            path: None,
            origins: options.allowed_origins.clone(),
            null_origin_allowed: options.allow_null_origin,
            subprotocol_required: options.require_websocket_subprotocol,
            cookie: options
                .cookie
                .as_ref()
                .map(|cookie| TrackingCookie { name: cookie.name.clone(), attributes: cookie.attributes() }),
            any_messages: false,
            rfc6455_accepted: options.enable_rfc6455,
            hybi10_accepted: options.enable_hybi10,
            host_port: options.external_port,
            server_name: options
                .show_server_version
                .then(|| concat!("crossring/", env!("CARGO_PKG_VERSION")).to_owned()),
            status_page: options.enable_webstatus,
            unmasked_accepted: !options.require_masked_client_frames,
            masks_kept: !options.apply_mask,
            masks_frames: options.mask_server_frames,
            close_echoed: options.echo_close_codereason,
            deflate: options.deflate,
            fragment_size_max: options.auto_fragment_size,
            limits,
        }),
        nesting_max: options.max_nesting_depth,
        cookie_length: options.cookie.as_ref().map_or(0, |cookie| cookie.length),
        auto_ping,
        open_handshake_timeout_ms: options.open_handshake_timeout.map_or(0, milliseconds),
        close_handshake_timeout_ms: options.close_handshake_timeout.map_or(0, milliseconds),
        fails_by_drop: options.fail_by_drop,
        echoes: false,
    }
}

/// What the sessions of a transport may speak.
pub(crate) fn serializers(transport: &TransportConfig) -> SerializerSet {
    let Some(names) = &transport.serializers else { return SerializerSet::ALL };
    let ids = names.iter().map(|name| match name {
        SerializerName::Json => SerializerId::Json,
        SerializerName::MsgPack => SerializerId::MessagePack,
        SerializerName::Cbor => SerializerId::Cbor,
        SerializerName::Ubjson => SerializerId::Bjdata,
        SerializerName::UbjsonDraft12 => SerializerId::Ubjson,
        SerializerName::FlatBuffers => SerializerId::FlatBuffers,
    });
    ids.flat_map(|id| [Serializer::plain(id), Serializer::batched(id)]).collect()
}

/// What the clients of a transport may agree on by ALPN.
pub(super) fn application_protocols(transport: &TransportConfig) -> &'static [&'static str] {
    match transport.kind {
        TransportKind::WebSocket(_) | TransportKind::WebSocketTestee(_) => &["http/1.1"],
        TransportKind::RawSocket(_) | TransportKind::StreamTestee | TransportKind::Service => &[],
        TransportKind::Shared(_) => &["h2", "http/1.1"],
    }
}

/// The word for logs.
pub(super) fn kind_name(transport: &TransportConfig) -> &'static str {
    match transport.kind {
        TransportKind::WebSocket(_) => "WebSocket",
        TransportKind::RawSocket(_) => "RawSocket",
        TransportKind::Shared(_) | TransportKind::Service => "HTTP",
        TransportKind::WebSocketTestee(_) => "WebSocket testee",
        TransportKind::StreamTestee => "stream testee",
    }
}

/// A command that a user can paste to see an event arrive, if anybody may join without a secret.
pub(super) fn try_it(config: &NodeConfig) -> Option<String> {
    let realm = &config.realms.first()?.name;
    let is_open = |it: &&TransportConfig| {
        let is_testee = matches!(it.kind, TransportKind::WebSocketTestee(_) | TransportKind::StreamTestee);
        it.auth.is_none() && it.endpoint.tls().is_none() && !is_testee
    };
    let transport = config.transports.iter().find(is_open)?;
    let url = match (&transport.kind, &transport.endpoint) {
        (TransportKind::WebSocket(options), Endpoint::Tcp(tcp)) => {
            options.url.clone().unwrap_or_else(|| format!("ws://{}:{}/ws", loopback(tcp.address), tcp.port))
        }
        (TransportKind::RawSocket(_), Endpoint::Tcp(tcp)) => {
            format!("rs://{}:{}", loopback(tcp.address), tcp.port)
        }
        (TransportKind::WebSocket(options), Endpoint::Within(_)) => options.url.clone()?,
        _ => return None,
    };
    let program = std::env::current_exe().map_or("crossring".into(), |path| path.display().to_string());
    let there = format!("--url {url} --realm {realm}");
    Some(format!(
        "{program} sub {there} --count 1 com.example.hello & sleep 1; {program} pub {there} com.example.hello '\"world\"'"
    ))
}

fn loopback(address: std::net::IpAddr) -> std::net::IpAddr {
    match address {
        any if !any.is_unspecified() => any,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}

fn milliseconds(duration: Duration) -> u32 {
    duration.as_millis().min(u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_room_for_chance_and_are_never_more_than_all() {
        assert_eq!([0, 1, 8, 1_000].map(|all| share(all, 1)), [0, 1, 8, 1_000]);
        assert_eq!([0, 1, 8, 9, 1_000].map(|all| share(all, 8)), [0, 1, 8, 9, 250]);
        assert_eq!(share(u64::MAX, 8), 1 << 24);
    }
}
