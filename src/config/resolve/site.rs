//! Transports that serve HTTP: `web` and `universal`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crossring_router::config::{AnonymousConfig, Secret, Source, TransportAuthentication};

use super::super::cursor::Cursor;
use super::super::node::{CONNECTIONS_DEFAULT, Endpoint, NodeConfig, TransportConfig, TransportKind};
use super::super::requisite::Requisite;
use super::super::routes::Routes;
use super::super::site::{
    ArchiveConfig, JsonConfig, LongPollConfig, RestConfig, RestDeed, ServiceConfig, SharedOptions,
    SiteConfig, StaticConfig, UploadConfig,
};
use super::{Names, Resolver, auth, transport, upstream};

/// Seconds of `hsts_max_age` where it is not given: a year.
const HSTS_MAX_AGE_DEFAULT: u64 = 31_536_000;

/// Longest time of a long-poll service: a week.
const LONG_POLL_TIME_MAX_S: u64 = 7 * 86_400;

/// Octets of an uploaded file where `max_file_size` is not given.
const FILE_SIZE_DEFAULT: u64 = 10 << 20;

/// What resolving a listener's parts needs.
struct Parts<'a, 'r> {
    node: &'a mut NodeConfig,
    /// Index of the listener.
    parent: usize,
    worker: &'a str,
    names: &'a mut Names,
    resolver: &'a mut Resolver<'r>,
}

/// Appends a `web` or `universal` transport, and behind it the transports that are parts of it.
pub(super) fn shared(
    written: &Cursor<'_>,
    worker: &str,
    node: &mut NodeConfig,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) {
    let id = names.id("transport", written.key("id").text());
    let Some(endpoint) = transport::endpoint(&written.key("endpoint"), resolver) else { return };
    let place = endpoint.place();
    names.claim("endpoint", Some(&place), written.key("endpoint").path, resolver.faults);
    let parent = node.transports.len();
    node.transports.push(TransportConfig {
        id,
        worker: worker.to_owned(),
        kind: TransportKind::Shared(SharedOptions::default()),
        endpoint,
        serializers: None,
        auth: None,
        max_connections: written.key("max_connections").integer().unwrap_or(CONNECTIONS_DEFAULT),
        limits: transport::connection_limits(&written.key("limits")),
    });
    let mut parts = Parts { node, parent, worker, names, resolver };
    let options = match written.key("type").text() {
        Some("web") => SharedOptions { rawsocket: None, site: parts.site(written) },
        _ => parts.universal(written),
    };
    parts.node.transports[parent].kind = TransportKind::Shared(options);
}

impl Parts<'_, '_> {
    fn universal(&mut self, written: &Cursor<'_>) -> SharedOptions {
        let rawsocket = written.key("rawsocket");
        let rawsocket = rawsocket.is_present().then(|| {
            let kind = TransportKind::RawSocket(transport::rawsocket(&rawsocket.key("options")));
            self.open_part(&rawsocket, kind)
        });
        let mut site = self.site(&written.key("web"));
        for (path, service) in written.key("websocket").members() {
            let service = self.websocket(&service);
            site.routes.insert(path, service);
        }
        SharedOptions { rawsocket, site }
    }

    fn site(&mut self, written: &Cursor<'_>) -> SiteConfig {
        let options = written.key("options");
        let mut routes = Routes::default();
        self.paths(&written.key("paths"), "", &mut routes);
        let hsts_max_age = options.key("hsts_max_age").integer().unwrap_or(HSTS_MAX_AGE_DEFAULT);
        SiteConfig {
            routes,
            access_log: options.key("access_log").flag(false),
            hsts_max_age: options.key("hsts").flag(false).then_some(hsts_max_age),
            client_timeout: options.key("client_timeout").nonzero().map(Duration::from_secs),
        }
    }

    fn paths(&mut self, written: &Cursor<'_>, above: &str, routes: &mut Routes<ServiceConfig>) {
        for (name, service) in written.members() {
            let path = format!("{above}/{name}");
            if service.key("type").text() == Some("path") {
                self.paths(&service.key("paths"), &path, routes);
            } else if let Some(config) = self.service(&service) {
                let place = service.path.to_string();
                self.resolver.requisites.push((place, Requisite::Service(config.clone())));
                routes.insert(&path, config);
            }
        }
    }

    /// `None` for services this version does not build; the survey names them.
    fn service(&mut self, written: &Cursor<'_>) -> Option<ServiceConfig> {
        Some(match written.key("type").text()? {
            "websocket" => self.websocket(written),
            "json" => ServiceConfig::Json(json(written)),
            "redirect" => ServiceConfig::Redirect(written.key("url").string()?),
            "static" => ServiceConfig::Static(files(written)?),
            "nodeinfo" => ServiceConfig::NodeInfo,
            "publisher" => self.rest(written, RestDeed::Publish),
            "caller" => self.rest(written, RestDeed::Call),
            "webhook" => self.rest(written, hook(&written.key("options"))?),
            "archive" => ServiceConfig::Archive(Box::new(archive(written)?)),
            "upload" => self.upload(written)?,
            "longpoll" => self.long_poll(written),
            "reverseproxy" => ServiceConfig::ReverseProxy(Box::new(upstream::reverse_proxy(written)?)),
            "websocket-reverseproxy" => {
                ServiceConfig::WebSocketProxy(Box::new(upstream::websocket_proxy(written)?))
            }
            "cgi" => ServiceConfig::Cgi(upstream::cgi(written)?),
            "none" => ServiceConfig::Nothing,
            _ => return None,
        })
    }

    fn rest(&mut self, written: &Cursor<'_>, deed: RestDeed) -> ServiceConfig {
        let options = written.key("options");
        let transport = self.session(written);
        let networks = options.key("require_ip");
        for network in networks.items().filter(|it| it.text().is_some_and(|text| !is_network(text))) {
            self.resolver.faults.add(network.path, "expected an IP address, or a network such as 10.0.0.0/8");
        }
        ServiceConfig::Rest(Box::new(RestConfig {
            deed,
            transport,
            realm: written.key("realm").string().unwrap_or_default(),
            key: options.key("key").string(),
            secret: options.key("secret").text().map(Secret::new),
            timestamp_delta_limit: options.key("timestamp_delta_limit").integer().unwrap_or(300),
            require_tls: options.key("require_tls").flag(false),
            require_ip: networks.items().filter_map(|it| it.string()).collect(),
            post_body_limit: options.key("post_body_limit").integer().unwrap_or(0),
        }))
    }

    /// Appends a transport for the session of a service, whose role is its anonymous one; its index.
    fn session(&mut self, written: &Cursor<'_>) -> usize {
        let transport = self.part(written, TransportKind::Service);
        let (role, realm) = (written.key("role"), written.key("realm"));
        self.resolver.given_roles.give(role.path, role.text().unwrap_or_default(), realm.text());
        let role = role.text().unwrap_or_default().into();
        let anonymous = Some(Source::Static(AnonymousConfig { role, authid: None }));
        self.node.transports[transport].auth =
            Some(TransportAuthentication { anonymous, ..TransportAuthentication::default() });
        transport
    }

    fn upload(&mut self, written: &Cursor<'_>) -> Option<ServiceConfig> {
        let options = written.key("options");
        let directory = written.key("directory").text()?;
        let fields = written.key("form_fields");
        let fields =
            fields.members().filter_map(|(meaning, name)| Some((meaning.to_owned(), name.string()?)));
        let mode = options.key("file_permissions");
        let mode = mode.text().and_then(|digits| u32::from_str_radix(digits, 8).ok());
        let size = options.key("max_file_size");
        Some(ServiceConfig::Upload(Box::new(UploadConfig {
            transport: self.session(written),
            realm: written.key("realm").string().unwrap_or_default(),
            directory: directory.into(),
            temp_directory: written.key("temp_directory").text().unwrap_or(directory).into(),
            form_fields: fields.collect(),
            max_file_size: if size.is_present() { size.nonzero() } else { Some(FILE_SIZE_DEFAULT) },
            file_types: options.key("file_types").items().filter_map(|kind| kind.string()).collect(),
            file_permissions: mode.unwrap_or(0o644) & 0o777,
        })))
    }

    fn long_poll(&mut self, written: &Cursor<'_>) -> ServiceConfig {
        let auth = written.key("auth");
        for method in ["tls", "cookie"].map(|name| auth.key(name)) {
            if method.is_present() {
                let why =
                    "has no effect: clients of a long-poll service show neither certificates nor cookies";
                self.resolver.warnings.push(format!("{}: {why}", method.path));
            }
        }
        let options = written.key("options");
        let number = |name: &str, default: u64| options.key(name).integer().unwrap_or(default);
        let session_timeout_s = number("session_timeout", 30).min(LONG_POLL_TIME_MAX_S);
        ServiceConfig::LongPoll(LongPollConfig {
            transport: self.open_part(written, TransportKind::Service),
            request_timeout: Duration::from_secs(number("request_timeout", 10).min(LONG_POLL_TIME_MAX_S)),
            session_timeout: (session_timeout_s > 0).then_some(Duration::from_secs(session_timeout_s)),
            queue_limit_bytes: number("queue_limit_bytes", 128 << 10) as usize,
            queue_limit_messages: number("queue_limit_messages", 100).max(1) as usize,
            max_message_size: number("max_message_size", 1 << 20) as usize,
            max_nesting_depth: transport::nesting(&options),
        })
    }

    fn websocket(&mut self, written: &Cursor<'_>) -> ServiceConfig {
        let options = transport::tracked_websocket(written);
        ServiceConfig::WebSocket(self.open_part(written, TransportKind::WebSocket(options)))
    }

    /// Appends a transport that clients join by; its index.
    fn open_part(&mut self, written: &Cursor<'_>, kind: TransportKind) -> usize {
        let index = self.part(written, kind);
        self.resolver.note_open_door(written, self.node.transports[index].auth.as_ref());
        index
    }

    /// Appends a transport that is a part of the listener; its index.
    fn part(&mut self, written: &Cursor<'_>, kind: TransportKind) -> usize {
        let id = written.key("id");
        self.names.claim("transport id", id.text(), id.path, self.resolver.faults);
        let auth = auth::auth(&written.key("auth"), self.resolver);
        self.node.transports.push(TransportConfig {
            id: self.names.id("transport", id.text()),
            worker: self.worker.to_owned(),
            kind,
            endpoint: Endpoint::Within(self.parent),
            serializers: transport::serializers(&written.key("serializers")),
            auth,
            max_connections: self.node.transports[self.parent].max_connections,
            limits: self.node.transports[self.parent].limits.clone(),
        });
        self.node.transports.len() - 1
    }
}

/// Seconds that browsers may keep a file where nothing is configured: half a day.
const CACHE_TIMEOUT_DEFAULT: u64 = 43_200;

/// `None` for files of a Python package; the survey names them.
fn files(written: &Cursor<'_>) -> Option<StaticConfig> {
    let options = written.key("options");
    let cache = options.value.get("cache_timeout");
    Some(StaticConfig {
        directory: written.key("directory").text()?.into(),
        enable_directory_listing: options.key("enable_directory_listing").flag(false),
        mime_types: mime_types(&options),
        cache_timeout: cache.map_or(Some(CACHE_TIMEOUT_DEFAULT), serde_json::Value::as_u64),
        default_file: options.key("default_file").string(),
    })
}

fn mime_types(written: &Cursor<'_>) -> BTreeMap<String, String> {
    let types = written.key("mime_types");
    types.members().filter_map(|(extension, kind)| Some((extension.to_owned(), kind.string()?))).collect()
}

fn archive(written: &Cursor<'_>) -> Option<ArchiveConfig> {
    Some(ArchiveConfig {
        archive: written.key("archive").text()?.into(),
        hashes: written.key("hashes").items().filter_map(|hash| hash.string()).collect(),
        cache: written.key("cache").flag(false),
        default_object: written.key("default_object").string(),
        object_prefix: written.key("object_prefix").string().unwrap_or_default(),
        mime_types: mime_types(written),
        default_file: written.key("options").key("default_file").string(),
    })
}

fn hook(options: &Cursor<'_>) -> Option<RestDeed> {
    let text = |key: &str, default: &str| options.key(key).text().unwrap_or(default).to_owned();
    Some(RestDeed::Hook {
        topic: options.key("topic").string()?,
        success: text("success_response", "OK"),
        failure: text("error_response", "NOT OK"),
        github_secret: options.key("github_secret").text().map(Secret::new),
    })
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let most = address.parse::<IpAddr>().ok().map(|address| if address.is_ipv4() { 32 } else { 128 });
    most.zip(bits.parse::<u8>().ok()).is_some_and(|(most, bits)| bits <= most)
}

fn json(written: &Cursor<'_>) -> JsonConfig {
    let options = written.key("options");
    let document = written.key("value").value;
    JsonConfig {
        document: match options.key("prettify").flag(false) {
            true => format!("{document:#}"),
            false => document.to_string(),
        },
        allow_cross_origin: options.key("allow_cross_origin").flag(true),
        discourage_caching: options.key("discourage_caching").flag(false),
    }
}
