//! Services that stand before another server, or start programs.

use std::time::Duration;

use super::super::cursor::Cursor;
use super::super::node::WebSocketOptions;
use super::super::site::{CgiConfig, ReverseProxyConfig, Scheme, WebSocketProxyConfig};
use super::super::upstream::{UpstreamConfig, UpstreamPlace, UpstreamTls};
use super::transport;

/// Seconds to connect where nothing is configured.
const CONNECT_TIMEOUT_DEFAULT: u64 = 10;

/// Seconds that a server or a program may be silent where nothing is configured.
const TIMEOUT_DEFAULT: u64 = 60;

/// Seconds that nothing may pass through a WebSocket where nothing is configured.
const IDLE_TIMEOUT_DEFAULT: u64 = 600;

/// Connections to one server where nothing is configured.
const CONNECTIONS_DEFAULT: usize = 256;

/// Programs that run at once where nothing is configured.
const PROCESSES_DEFAULT: usize = 16;

/// Octets of a body for a program where nothing is configured.
const BODY_LIMIT_DEFAULT: usize = 1 << 20;

pub(super) fn reverse_proxy(written: &Cursor<'_>) -> Option<ReverseProxyConfig> {
    let place = UpstreamPlace::Tcp {
        host: written.key("host").string()?,
        port: written.key("port").integer().unwrap_or(80),
        version: None,
    };
    Some(ReverseProxyConfig {
        upstream: UpstreamConfig {
            place,
            tls: tls(&written.key("tls")),
            connect_timeout: seconds(&written.key("connect_timeout"), CONNECT_TIMEOUT_DEFAULT),
            connections_max: written.key("max_connections").integer().unwrap_or(CONNECTIONS_DEFAULT),
            idle_timeout: idle_timeout(written),
        },
        path: written.key("path").string().unwrap_or_default(),
        forwarded_port: written.key("forwarded_port").integer(),
        forwarded_proto: match written.key("forwarded_proto").text() {
            Some("http") => Some(Scheme::Http),
            Some("https") => Some(Scheme::Https),
            _ => None,
        },
        timeout: seconds(&written.key("timeout"), TIMEOUT_DEFAULT),
    })
}

/// `None` when the backend has an endpoint that this version does not build; the survey names it.
pub(super) fn websocket_proxy(written: &Cursor<'_>) -> Option<WebSocketProxyConfig> {
    let backend = written.key("backend");
    let WebSocketOptions { allowed_origins, allow_null_origin, .. } = transport::tracked_websocket(written);
    Some(WebSocketProxyConfig {
        upstream: UpstreamConfig {
            connections_max: written.key("max_connections").integer().unwrap_or(CONNECTIONS_DEFAULT),
            idle_timeout: idle_timeout(written),
            ..endpoint(&backend.key("endpoint"))?
        },
        url: backend.key("url").string()?,
        allowed_origins,
        allow_null_origin,
    })
}

fn endpoint(written: &Cursor<'_>) -> Option<UpstreamConfig> {
    let place = match written.key("type").text()? {
        "tcp" => UpstreamPlace::Tcp {
            host: written.key("host").string()?,
            port: written.key("port").integer()?,
            version: written.key("version").integer(),
        },
        "unix" => UpstreamPlace::Unix(written.key("path").text()?.into()),
        _ => return None,
    };
    Some(UpstreamConfig {
        place,
        tls: tls(&written.key("tls")),
        connect_timeout: seconds(&written.key("timeout"), CONNECT_TIMEOUT_DEFAULT),
        connections_max: CONNECTIONS_DEFAULT,
        idle_timeout: None,
    })
}

fn idle_timeout(written: &Cursor<'_>) -> Option<Duration> {
    let timeout_s = written.key("idle_timeout").integer().unwrap_or(IDLE_TIMEOUT_DEFAULT);
    (timeout_s > 0).then_some(Duration::from_secs(timeout_s))
}

fn tls(written: &Cursor<'_>) -> Option<UpstreamTls> {
    let path = |name: &str| written.key(name).text().map(Into::into);
    Some(UpstreamTls {
        hostname: written.key("hostname").string()?,
        authorities: written
            .key("ca_certificates")
            .items()
            .filter_map(|it| it.text().map(Into::into))
            .collect(),
        certificate: path("certificate").zip(path("key")),
    })
}

pub(super) fn cgi(written: &Cursor<'_>) -> Option<CgiConfig> {
    Some(CgiConfig {
        directory: written.key("directory").text()?.into(),
        processor: written.key("processor").text()?.into(),
        timeout: seconds(&written.key("timeout"), TIMEOUT_DEFAULT),
        processes_max: written.key("max_processes").integer().unwrap_or(PROCESSES_DEFAULT),
        body_size_max: written.key("post_body_limit").nonzero().unwrap_or(BODY_LIMIT_DEFAULT),
    })
}

fn seconds(written: &Cursor<'_>, default: u64) -> Duration {
    Duration::from_secs(written.integer().unwrap_or(default).max(1))
}
