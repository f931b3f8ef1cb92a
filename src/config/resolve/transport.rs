//! Transports and endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crossring_codec::limits::NestingDepth;
use crossring_codec::transport::DeflateOptions;
use crossring_router::config::TransportAuthentication;
use serde_json::Value;

use super::super::cursor::Cursor;
use super::super::node::{
    BACKLOG_DEFAULT, CONNECTIONS_DEFAULT, ConnectionLimits, Endpoint, InheritedEndpoint,
    MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_MAX, RawSocketOptions, SerializerName, SocketOwner, TcpEndpoint,
    TransportConfig, TransportKind, UnixEndpoint, WebSocketOptions,
};
use super::super::requisite::Requisite;
use super::super::tls::{CertificateFiles, ClientCertificates, TlsEndpoint, TlsVersion};
use super::super::{schema, syntax};
use super::{Names, Resolver, auth, cookie, networks};

/// `None` for transports this version does not build; the survey names them.
pub(super) fn transport(
    written: &Cursor<'_>,
    worker: &str,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) -> Option<TransportConfig> {
    let id = names.id("transport", written.key("id").text());
    let auth = auth::auth(&written.key("auth"), resolver);
    let endpoint = endpoint(&written.key("endpoint"), resolver);
    warn_of_methods(written, auth.as_ref(), resolver);
    let options = written.key("options");
    let kind = match written.key("type").text()? {
        "websocket" => TransportKind::WebSocket(tracked_websocket(written)),
        "rawsocket" => TransportKind::RawSocket(rawsocket(&options)),
        "websocket.testee" => TransportKind::WebSocketTestee(tracked_websocket(written)),
        "stream.testee" => TransportKind::StreamTestee,
        _ => return None,
    };
    Some(TransportConfig {
        id,
        worker: worker.to_string(),
        kind,
        endpoint: endpoint?,
        serializers: serializers(&written.key("serializers")),
        auth,
        max_connections: written.key("max_connections").integer().unwrap_or(CONNECTIONS_DEFAULT),
        limits: connection_limits(&written.key("limits")),
    })
}

pub(super) fn connection_limits(written: &Cursor<'_>) -> ConnectionLimits {
    let default = ConnectionLimits::default();
    let number = |name: &str, default: u32| written.key(name).integer().unwrap_or(default);
    let handshake_timeout = written.key("handshake_timeout");
    ConnectionLimits {
        per_address_max: number("max_per_address", default.per_address_max),
        rate_max: number("max_rate", default.rate_max),
        rate_per_address_max: number("max_rate_per_address", default.rate_per_address_max),
        exempt: networks(&written.key("exempt"), default.exempt),
        handshake_timeout: match handshake_timeout.is_present() {
            true => handshake_timeout.milliseconds(),
            false => default.handshake_timeout,
        },
    }
}

/// Methods by which nobody can log in.
fn warn_of_methods(
    written: &Cursor<'_>,
    auth: Option<&TransportAuthentication>,
    resolver: &mut Resolver<'_>,
) {
    let Some(auth) = auth else { return };
    let place = written.key("auth");
    let has_authorities = written.key("endpoint").key("tls").key("ca_certificates").is_present();
    if auth.tls.is_some() && !has_authorities {
        let why =
            "has no effect without 'ca_certificates' in 'endpoint.tls': clients are asked for no certificate";
        resolver.warnings.push(format!("{}: {why}", place.key("tls").path));
    }
    if auth.cookie && !written.key("cookie").is_present() {
        let why = "has no effect without 'cookie' of the transport: no cookie is set";
        resolver.warnings.push(format!("{}: {why}", place.key("cookie").path));
    }
}

pub(super) fn serializers(written: &Cursor<'_>) -> Option<Vec<SerializerName>> {
    let mut names = Vec::new();
    for name in written.items().filter_map(|item| item.text().and_then(serializer)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    written.is_present().then_some(names)
}

fn serializer(name: &str) -> Option<SerializerName> {
    match name {
        "json" => Some(SerializerName::Json),
        "msgpack" => Some(SerializerName::MsgPack),
        "cbor" => Some(SerializerName::Cbor),
        "ubjson" => Some(SerializerName::Ubjson),
        "flatbuffers" => Some(SerializerName::FlatBuffers),
        "ubjson-draft12" => Some(SerializerName::UbjsonDraft12),
        _ => None,
    }
}

pub(super) fn rawsocket(written: &Cursor<'_>) -> RawSocketOptions {
    RawSocketOptions {
        max_message_size: written.key("max_message_size").integer().unwrap_or(MESSAGE_BYTES_DEFAULT),
        max_nesting_depth: nesting(written),
    }
}

/// How deep messages may be nested, beside their greatest length.
pub(super) fn nesting(options: &Cursor<'_>) -> NestingDepth {
    options.key("max_nesting_depth").integer().and_then(NestingDepth::new).unwrap_or_default()
}

/// A WebSocket transport or service: its options and its cookie.
pub(super) fn tracked_websocket(written: &Cursor<'_>) -> WebSocketOptions {
    WebSocketOptions {
        cookie: cookie::cookie(&written.key("cookie")).map(Box::new),
        ..websocket(&written.key("options"), written.key("url").string())
    }
}

fn websocket(written: &Cursor<'_>, url: Option<String>) -> WebSocketOptions {
    let default = WebSocketOptions::default();
    let flag = |name: &str, default: bool| written.key(name).flag(default);
    let time = |name: &str, default| match written.key(name).is_present() {
        true => written.key(name).milliseconds(),
        false => default,
    };
    WebSocketOptions {
        url,
        allowed_origins: match written.key("allowed_origins").value {
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            _ => default.allowed_origins,
        },
        allow_null_origin: flag("allow_null_origin", default.allow_null_origin),
        external_port: written.key("external_port").integer(),
        enable_hybi10: flag("enable_hybi10", default.enable_hybi10),
        enable_rfc6455: flag("enable_rfc6455", default.enable_rfc6455),
        max_header_size: written.key("max_header_size").integer().unwrap_or(default.max_header_size),
        enable_webstatus: flag("enable_webstatus", default.enable_webstatus),
        show_server_version: flag("show_server_version", default.show_server_version),
        open_handshake_timeout: time("open_handshake_timeout", default.open_handshake_timeout),
        close_handshake_timeout: time("close_handshake_timeout", default.close_handshake_timeout),
        validate_utf8: flag("validate_utf8", default.validate_utf8),
        mask_server_frames: flag("mask_server_frames", default.mask_server_frames),
        require_masked_client_frames: flag(
            "require_masked_client_frames",
            default.require_masked_client_frames,
        ),
        apply_mask: flag("apply_mask", default.apply_mask),
        max_frame_size: written.key("max_frame_size").nonzero(),
        max_message_size: match written.key("max_message_size").is_present() {
            true => written.key("max_message_size").nonzero().unwrap_or(MESSAGE_BYTES_MAX),
            false => default.max_message_size,
        },
        max_nesting_depth: nesting(written),
        auto_fragment_size: written.key("auto_fragment_size").integer().unwrap_or_default(),
        deflate: deflate(&written.key("compression").key("deflate")),
        echo_close_codereason: flag("echo_close_codereason", default.echo_close_codereason),
        tcp_nodelay: flag("tcp_nodelay", default.tcp_nodelay),
        fail_by_drop: flag("fail_by_drop", default.fail_by_drop),
        auto_ping_interval: time("auto_ping_interval", default.auto_ping_interval),
        auto_ping_timeout: time("auto_ping_timeout", default.auto_ping_timeout),
        auto_ping_size: written.key("auto_ping_size").integer().unwrap_or(default.auto_ping_size),
        auto_ping_restart_on_any_traffic: flag(
            "auto_ping_restart_on_any_traffic",
            default.auto_ping_restart_on_any_traffic,
        ),
        require_websocket_subprotocol: flag(
            "require_websocket_subprotocol",
            default.require_websocket_subprotocol,
        ),
        cookie: None,
    }
}

/// Present is on, also without any setting.
fn deflate(written: &Cursor<'_>) -> Option<DeflateOptions> {
    let default = DeflateOptions::default();
    written.is_present().then(|| DeflateOptions {
        no_context_takeover: written.key("no_context_takeover").flag(default.no_context_takeover),
        window_bits_max: written.key("max_window_bits").integer().unwrap_or(default.window_bits_max),
        peer_no_context_takeover: written
            .key("request_no_context_takeover")
            .flag(default.peer_no_context_takeover),
        peer_window_bits_max: written.key("request_max_window_bits").nonzero(),
        level: written.key("level").integer().unwrap_or(default.level),
        memory_level: written.key("memory_level").integer().unwrap_or(default.memory_level),
        size_min: written.key("min_message_size").integer().unwrap_or(default.size_min),
        inflate_ratio_max: written.key("max_inflate_ratio").integer().unwrap_or(default.inflate_ratio_max),
    })
}

pub(super) fn endpoint(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<Endpoint> {
    match written.key("type").text()? {
        "tcp" => tcp(written, resolver).map(Endpoint::Tcp),
        "unix" => Some(Endpoint::Unix(unix(written, resolver))),
        "inherited" => Some(Endpoint::Inherited(InheritedEndpoint {
            name: written.key("name").string(),
            index: written.key("index").integer().unwrap_or_default(),
            tls: tls(&written.key("tls"), resolver).map(Box::new),
        })),
        _ => None,
    }
}

fn tcp(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<TcpEndpoint> {
    let address = address(written, resolver);
    let port = || port(&written.key("port"), resolver).map(|port| (port, port));
    let (port, port_last) = schema::port_range(written.key("portrange").value).or_else(port)?;
    let default = TcpEndpoint::new(address?, port);
    Some(TcpEndpoint {
        port_last,
        is_shared: written.key("shared").flag(false),
        user_timeout_ms: written.key("user_timeout").integer().unwrap_or_default(),
        backlog: written.key("backlog").integer().unwrap_or(BACKLOG_DEFAULT),
        tls: tls(&written.key("tls"), resolver).map(Box::new),
        ..default
    })
}

fn tls(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<TlsEndpoint> {
    if !written.is_present() {
        return None;
    }
    let additional = written.key("additional_certificates");
    let certificates = std::iter::once(certificate(written))
        .chain(additional.items().map(|item| certificate(&item)))
        .collect();
    let authorities = paths(&written.key("ca_certificates"));
    let client_certificates = (!authorities.is_empty()).then(|| ClientCertificates {
        authorities,
        is_required: written.key("client_certificates").text() != Some("optional"),
    });
    let minimum_version = match written.key("minimum_version").text() {
        Some("1.2") => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    };
    let endpoint = TlsEndpoint { certificates, client_certificates, minimum_version };
    resolver.requisites.push((written.path.to_string(), Requisite::Tls(endpoint.clone())));
    Some(endpoint)
}

fn certificate(written: &Cursor<'_>) -> CertificateFiles {
    let path = |name: &str| PathBuf::from(written.key(name).text().unwrap_or_default());
    CertificateFiles {
        certificate: path("certificate"),
        key: path("key"),
        chain: paths(&written.key("chain_certificates")),
        ocsp_response: written.key("ocsp_response").text().map(PathBuf::from),
    }
}

fn paths(written: &Cursor<'_>) -> Vec<PathBuf> {
    written.items().filter_map(|item| item.text().map(PathBuf::from)).collect()
}

/// The text itself, or what the variable holds that it refers to. A variable that is not set is a fault.
fn dereferenced(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<String> {
    let text = written.text()?;
    let Some(name) = syntax::reference(text) else { return Some(text.to_owned()) };
    let value = (resolver.environment.variable)(name);
    if value.is_none() {
        resolver.faults.add(written.path, format!("environment variable '{text}' not set"));
    }
    value
}

/// The port itself or that of a variable. A variable that holds no port is a fault.
fn port(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<u16> {
    let Some(name) = written.text() else { return written.nonzero() };
    let value = dereferenced(written, resolver)?;
    let port = value.trim().parse().ok().filter(|port| *port > 0);
    if port.is_none() && syntax::reference(name).is_some() {
        resolver.faults.add(
            written.path,
            format!("expected integer 1..65535 in environment variable '{name}', got {value:?}"),
        );
    }
    port
}

/// The address to bind: that of `interface`, else all addresses of the IP version.
fn address(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<IpAddr> {
    let version = written.key("version").integer::<u8>();
    let interface = written.key("interface");
    let text = if interface.is_present() { dereferenced(&interface, resolver)? } else { String::new() };
    let address = match text.trim() {
        "" if version == Some(6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" if version == Some(6) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        literal => match literal.parse() {
            Ok(address) => address,
            Err(_) => {
                if let Some(name) = interface.text().filter(|text| syntax::reference(text).is_some()) {
                    let message =
                        format!("expected an address in environment variable '{name}', got {literal:?}");
                    resolver.faults.add(interface.path, message);
                }
                return None;
            }
        },
    };
    let is_of_version = version.is_none_or(|version| (version == 6) == address.is_ipv6());
    if !is_of_version {
        resolver
            .faults
            .add(interface.path, format!("{address} is no address of the IP version given by 'version'"));
    }
    is_of_version.then_some(address)
}

fn unix(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> UnixEndpoint {
    let text = written.key("path").text();
    let path = syntax::expand(text.unwrap_or_default(), resolver.environment.variable);
    if text.is_some() && path.is_empty() {
        resolver.faults.add(written.key("path").path, "the path of a Unix socket must not be empty");
    }
    UnixEndpoint {
        path: PathBuf::from(path),
        mode: written.key("mode").text().and_then(|text| u32::from_str_radix(text, 8).ok()),
        user: owner(&written.key("user")),
        group: owner(&written.key("group")),
        backlog: written.key("backlog").integer().unwrap_or(BACKLOG_DEFAULT),
    }
}

fn owner(written: &Cursor<'_>) -> Option<SocketOwner> {
    let number = written.integer().map(SocketOwner::Number);
    number.or_else(|| written.string().map(SocketOwner::Name))
}
