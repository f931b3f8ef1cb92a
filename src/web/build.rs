//! From the resolved configuration to sites.

use std::collections::HashMap;
use std::rc::Rc;

use crossring_codec::transport::WebSocketServerOptions;
use crossring_router::address::TransportId;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::bridge::Bridge;
use super::own::{self, OwnFiles};
use super::service::{
    Admission, Archive, ArchiveRules, Backend, Cgi, Deed, FieldNames, Files, Forwarded, Hook, Json, LongPoll,
    Network, NodeInfo, PollAdmission, PollBounds, PollChannels, Proxy, Redirect, Rest, Service, Signatures,
    Store, StoreRules, Tree, Upload, WebSocketProxy,
};
use super::tunnel::Patience;
use super::upstream::Upstream;
use super::{Demands, Site, Sites};
use crate::config::{
    ArchiveConfig, LongPollConfig, NodeConfig, RestConfig, RestDeed, ReverseProxyConfig, ServiceConfig,
    SiteConfig, StaticConfig, TransportKind, UploadConfig, UpstreamPlace, WebSocketProxyConfig,
};
use crate::node::{cookie_stores, outbound_limits, serializers};
use crate::worker::outbound::SlowConsumer;

/// Transports of one long-poll service. Leaves places for the sessions of other services.
const POLL_CHANNELS_MAX: usize = 8 * 1024;

/// What sites need to know of their node.
#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    /// RFC 3339
    pub(crate) started: String,
    pub(crate) name: String,
    pub(crate) shards: usize,
    /// In hexadecimal digits.
    pub(crate) public_key: Option<String>,
}

/// The sites of a node, by listening transport.
///
/// # Errors
/// A text that names what a service cannot be made of.
pub(crate) fn sites(config: &NodeConfig, facts: &NodeFacts, demands: &Demands) -> Result<Sites, String> {
    let mut sites = HashMap::new();
    let own = &OwnFiles::of(config, &cookie_stores(config).0);
    for (index, transport) in config.transports.iter().enumerate() {
        if let TransportKind::Shared(shared) = &transport.kind {
            let site = site(&shared.site, &Surroundings { config, facts, demands, own })
                .map_err(|text| format!("transport {:?}: {text}", transport.id))?;
            sites.insert(TransportId(index as u16), Rc::new(site));
        }
    }
    Ok(sites)
}

/// What services are made in.
struct Surroundings<'a> {
    config: &'a NodeConfig,
    facts: &'a NodeFacts,
    demands: &'a Demands,
    own: &'a OwnFiles,
}

fn site(config: &SiteConfig, surroundings: &Surroundings<'_>) -> Result<Site, String> {
    let mut fault = None;
    let routes = config.routes.map(&mut |written| {
        service(written, surroundings).unwrap_or_else(|text| {
            fault.get_or_insert(text);
            Service::Nothing
        })
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(Site {
            routes,
            hsts: config.hsts_max_age.and_then(|age| HeaderValue::try_from(format!("max-age={age}")).ok()),
            has_access_log: config.access_log,
            client_timeout: config.client_timeout,
        }),
    }
}

fn service(written: &ServiceConfig, surroundings: &Surroundings<'_>) -> Result<Service, String> {
    let Surroundings { facts, demands, own, .. } = *surroundings;
    Ok(match written {
        ServiceConfig::WebSocket(_) => Service::WebSocket,
        ServiceConfig::Static(written) => Service::Static(files(written, own)?),
        ServiceConfig::Json(json) => Service::Json(Json {
            document: json.document.clone().into(),
            allows_cross_origin: json.allow_cross_origin,
            discourages_caching: json.discourage_caching,
        }),
        ServiceConfig::Redirect(url) => Service::Redirect(Redirect {
            url: HeaderValue::try_from(url).map_err(|_| format!("{url:?} cannot be redirected to"))?,
        }),
        ServiceConfig::Rest(written) => Service::Rest(Box::new(rest(written, demands)?)),
        ServiceConfig::Archive(written) => Service::Archive(Box::new(archive(written)?)),
        ServiceConfig::Upload(written) => Service::Upload(Box::new(upload(written, demands, own)?)),
        ServiceConfig::LongPoll(written) => Service::LongPoll(Box::new(long_poll(written, surroundings))),
        ServiceConfig::ReverseProxy(written) => Service::Proxy(Box::new(proxy(written)?)),
        ServiceConfig::WebSocketProxy(written) => {
            Service::WebSocketProxy(Box::new(websocket_proxy(written)?))
        }
        ServiceConfig::Cgi(written) => Service::Cgi(Box::new(Cgi::new(written, own)?)),
        ServiceConfig::NodeInfo => Service::NodeInfo(NodeInfo { facts: facts.clone() }),
        ServiceConfig::Nothing => Service::Nothing,
    })
}

/// Whether the files that a service is made of can be used. Changes nothing.
///
/// # Errors
/// A text that names what cannot.
pub(crate) fn try_service(written: &ServiceConfig) -> Result<(), String> {
    match written {
        ServiceConfig::Static(written) => own::directory(&written.directory).map(drop),
        ServiceConfig::Archive(written) => archive(written).map(drop),
        ServiceConfig::Upload(written) => {
            store_rules(written, &OwnFiles::default()).open_directories().map(drop)
        }
        ServiceConfig::ReverseProxy(written) => proxy(written).map(drop),
        ServiceConfig::WebSocketProxy(written) => websocket_proxy(written).map(drop),
        ServiceConfig::Cgi(written) => Cgi::new(written, &OwnFiles::default()).map(drop),
        _ => Ok(()),
    }
}

fn files(written: &StaticConfig, own: &OwnFiles) -> Result<Files, String> {
    let root = own::directory(&written.directory)?;
    let own = own.within(&root);
    if !own.is_empty() {
        let root = root.display();
        tracing::warn!("static: the node's own files are in {root}; they are not served, all else there is");
    }
    Ok(Files {
        tree: Tree { root, own },
        lists_directories: written.enable_directory_listing,
        types: written.mime_types.clone(),
        cache_s: written.cache_timeout,
        fallback: written.default_file.clone(),
    })
}

fn archive(written: &ArchiveConfig) -> Result<Archive, String> {
    let rules = ArchiveRules {
        prefix: written.object_prefix.clone(),
        index: written.default_object.clone(),
        fallback: written.default_file.clone(),
        types: written.mime_types.clone(),
        keeps: written.cache,
    };
    Archive::open(&written.archive, &written.hashes, rules)
}

fn upload(written: &UploadConfig, demands: &Demands, own: &OwnFiles) -> Result<Upload, String> {
    let field = |meaning: &str| written.form_fields.get(meaning).cloned();
    let needed = |meaning: &str| field(meaning).ok_or_else(|| format!("form field {meaning:?} has no name"));
    Ok(Upload {
        names: FieldNames {
            file_name: needed("file_name")?,
            mime_type: needed("mime_type")?,
            total_size: needed("total_size")?,
            chunk_number: needed("chunk_number")?,
            chunk_size: needed("chunk_size")?,
            total_chunks: needed("total_chunks")?,
            content: needed("content")?,
            on_progress: field("on_progress"),
            session: field("session"),
            chunk_extra: field("chunk_extra"),
            finish_extra: field("finish_extra"),
        },
        store: Store::open(store_rules(written, own))?,
        bridge: Bridge::new(TransportId(written.transport as u16), &written.realm, demands.clone()),
    })
}

fn store_rules(written: &UploadConfig, own: &OwnFiles) -> StoreRules {
    StoreRules {
        directory: written.directory.clone(),
        temporary: written.temp_directory.clone(),
        file_size_max: written.max_file_size,
        extensions: written.file_types.clone(),
        mode: written.file_permissions,
        own: own.clone(),
    }
}

fn long_poll(written: &LongPollConfig, surroundings: &Surroundings<'_>) -> LongPoll {
    let Surroundings { config, demands, .. } = *surroundings;
    let transport = &config.transports[written.transport];
    let outbound = outbound_limits(config);
    let channels_max =
        usize::try_from(transport.max_connections).unwrap_or(usize::MAX).min(POLL_CHANNELS_MAX);
    LongPoll {
        transport: TransportId(written.transport as u16),
        serializers: serializers(transport),
        bounds: PollBounds {
            request_timeout: written.request_timeout,
            session_timeout: written.session_timeout,
            queue_count_max: written.queue_limit_messages,
            queue_size_max: written.queue_limit_bytes,
            queue_size_hard: written.queue_limit_bytes.max(outbound.queue_size_max as usize),
            ends_slow: outbound.slow_consumer == SlowConsumer::End,
            body_size_max: written.max_message_size,
            nesting_max: written.max_nesting_depth,
        },
        admission: PollAdmission {
            channels_max,
            channels_per_address_max: (transport.limits.per_address_max as usize)
                .min(channels_max.div_ceil(4)),
            exempt: transport.limits.exempt.clone(),
        },
        demands: demands.clone(),
        channels: Rc::new(PollChannels::default()),
    }
}

fn proxy(written: &ReverseProxyConfig) -> Result<Proxy, String> {
    let upstream = Upstream::new(&written.upstream)?;
    let host = host_of(&written.upstream.place, if upstream.is_secure() { 443 } else { 80 });
    Ok(Proxy {
        backend: Backend {
            host: HeaderValue::try_from(&host).map_err(|_| format!("{host:?} is no host"))?,
            patience: Rc::new(Patience::new(written.upstream.idle_timeout, upstream.name())),
            upstream,
            forwarded: Forwarded { port: written.forwarded_port, scheme: written.forwarded_proto },
            timeout: written.timeout,
        },
        path: written.path.trim_end_matches('/').to_owned(),
    })
}

/// What a server is called in requests.
fn host_of(place: &UpstreamPlace, default_port: u16) -> String {
    match place {
        UpstreamPlace::Unix(_) => "localhost".to_owned(),
        UpstreamPlace::Tcp { host, port, .. } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            if *port == default_port { host } else { format!("{host}:{port}") }
        }
    }
}

fn websocket_proxy(written: &WebSocketProxyConfig) -> Result<WebSocketProxy, String> {
    let wrong = || format!("{:?} cannot be asked for", written.url);
    // Of the URL only what the handshake says; where the server is, the endpoint says.
    let (_, rest) = written.url.split_once("://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let upstream = Upstream::new(&written.upstream)?;
    Ok(WebSocketProxy {
        backend: Backend {
            patience: Rc::new(Patience::new(written.upstream.idle_timeout, upstream.name())),
            upstream,
            host: HeaderValue::try_from(authority).map_err(|_| wrong())?,
            forwarded: Forwarded::default(),
            timeout: written.upstream.connect_timeout,
        },
        target: PathAndQuery::try_from(format!("{slash}{path}")).map_err(|_| wrong())?,
        origins: WebSocketServerOptions {
            origins: written.allowed_origins.clone(),
            null_origin_allowed: written.allow_null_origin,
            ..WebSocketServerOptions::default()
        },
    })
}

fn rest(written: &RestConfig, demands: &Demands) -> Result<Rest, String> {
    let network = |text: &String| Network::parse(text).ok_or_else(|| format!("{text:?} is no network"));
    Ok(Rest {
        deed: match &written.deed {
            RestDeed::Publish => Deed::Publish,
            RestDeed::Call => Deed::Call,
            RestDeed::Hook { topic, success, failure, github_secret } => Deed::Hook(Hook {
                topic: topic.clone(),
                success: success.clone(),
                failure: failure.clone(),
                github_secret: github_secret.clone(),
            }),
        },
        bridge: Bridge::new(TransportId(written.transport as u16), &written.realm, demands.clone()),
        admission: Admission {
            requires_tls: written.require_tls,
            networks: written.require_ip.iter().map(network).collect::<Result<_, _>>()?,
            body_size_max: written.post_body_limit,
            signatures: Signatures::new(
                written.key.clone(),
                written.secret.clone(),
                written.timestamp_delta_limit,
            ),
        },
    })
}
