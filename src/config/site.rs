//! What listeners serve whose connections begin with RawSocket, a WebSocket handshake or HTTP.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossring_codec::limits::NestingDepth;
use crossring_router::config::Secret;

use super::routes::Routes;
use super::upstream::UpstreamConfig;

/// A listener whose connections speak what their first octets say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedOptions {
    /// The transport of connections that speak RawSocket, as an index into the node's transports; `None` = refused.
    pub rawsocket: Option<usize>,
    /// What HTTP requests get.
    pub site: SiteConfig,
}

/// A web server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteConfig {
    /// The service of each path.
    pub routes: Routes<ServiceConfig>,
    /// Each request is logged.
    pub access_log: bool,
    /// Seconds told in `Strict-Transport-Security`; `None` = nothing told.
    pub hsts_max_age: Option<u64>,
    /// How long a connection may be idle.
    pub client_timeout: Option<Duration>,
}

/// What answers the requests of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceConfig {
    /// WAMP over WebSocket: the transport, as an index into the node's transports.
    WebSocket(usize),
    /// A JSON document.
    Json(JsonConfig),
    /// The place redirected to.
    Redirect(String),
    /// The files of a directory.
    Static(StaticConfig),
    /// What the node is.
    NodeInfo,
    /// Calls and publications for those who only speak HTTP.
    Rest(Box<RestConfig>),
    /// The files in a ZIP archive.
    Archive(Box<ArchiveConfig>),
    /// Files that browsers send in chunks.
    Upload(Box<UploadConfig>),
    /// WAMP by HTTP requests.
    LongPoll(LongPollConfig),
    /// Another server.
    ReverseProxy(Box<ReverseProxyConfig>),
    /// Another server, for WebSockets alone.
    WebSocketProxy(Box<WebSocketProxyConfig>),
    /// Programs.
    Cgi(CgiConfig),
    /// Nothing: only paths below may have services.
    Nothing,
}

impl ServiceConfig {
    /// Makes relative paths absolute: they are relative to the node directory.
    pub(super) fn resolve_paths(&mut self, node_directory: &Path) {
        match self {
            ServiceConfig::Static(files) => files.directory = node_directory.join(&files.directory),
            ServiceConfig::Archive(archive) => archive.archive = node_directory.join(&archive.archive),
            ServiceConfig::Upload(upload) => {
                for directory in [&mut upload.directory, &mut upload.temp_directory] {
                    *directory = node_directory.join(&*directory);
                }
            }
            ServiceConfig::ReverseProxy(proxy) => proxy.upstream.resolve_paths(node_directory),
            ServiceConfig::WebSocketProxy(proxy) => proxy.upstream.resolve_paths(node_directory),
            ServiceConfig::Cgi(cgi) => cgi.resolve_paths(node_directory),
            _ => {}
        }
    }
}

/// A `static` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    /// Relative to the node directory.
    pub directory: PathBuf,
    /// Directories without `index.html` are listed.
    pub enable_directory_listing: bool,
    /// Content type by extension.
    pub mime_types: BTreeMap<String, String>,
    /// Seconds that browsers may keep a file; `None` = nothing told.
    pub cache_timeout: Option<u64>,
    /// Served for paths that do not exist.
    pub default_file: Option<String>,
}

/// A `publisher`, `caller` or `webhook` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestConfig {
    /// What it does.
    pub deed: RestDeed,
    /// The transport whose anonymous role is the service's, as an index into the node's transports.
    pub transport: usize,
    /// The realm it joins.
    pub realm: String,
    /// Name of the secret of signed requests.
    pub key: Option<String>,
    /// The secret; `None` = requests need no signature.
    pub secret: Option<Secret>,
    /// Seconds that a signed request may be older or newer than now; 0 = any.
    pub timestamp_delta_limit: u32,
    /// Only over TLS.
    pub require_tls: bool,
    /// Addresses and networks that may ask; empty = all.
    pub require_ip: Vec<String>,
    /// Octets of a body; 0 = 1 MiB.
    pub post_body_limit: usize,
}

/// What a REST service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestDeed {
    /// `publisher`
    Publish,
    /// `caller`
    Call,
    /// `webhook`
    Hook {
        /// Where it publishes.
        topic: String,
        /// Body of the answer when that has been done.
        success: String,
        /// Body of the answer when not.
        failure: String,
        /// Secret of GitHub's signature.
        github_secret: Option<Secret>,
    },
}

/// A `json` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonConfig {
    /// The document, as text.
    pub document: String,
    /// Other sites may read it.
    pub allow_cross_origin: bool,
    /// Browsers are asked not to keep it.
    pub discourage_caching: bool,
}

/// A `longpoll` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongPollConfig {
    /// The transport whose authentication and serializers are the service's, as an index into the node's transports.
    pub transport: usize,
    /// How long a request for messages waits for some.
    pub request_timeout: Duration,
    /// How long a client may be silent; `None` = as long as it likes.
    pub session_timeout: Option<Duration>,
    /// Octets that may wait for a client before events are dropped.
    pub queue_limit_bytes: usize,
    /// Messages that may wait for a client before events are dropped.
    pub queue_limit_messages: usize,
    /// Octets of messages sent in one request.
    pub max_message_size: usize,
    /// Deepest nesting of lists and dicts in a message.
    pub max_nesting_depth: NestingDepth,
}

/// An `archive` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Relative to the node directory.
    pub archive: PathBuf,
    /// Permitted SHA-256 fingerprints, in hexadecimal digits; empty = any.
    pub hashes: Vec<String>,
    /// Files are kept unpacked.
    pub cache: bool,
    /// Appended to paths that end with a slash.
    pub default_object: Option<String>,
    /// Directory inside the archive that is served.
    pub object_prefix: String,
    /// Content type by extension.
    pub mime_types: BTreeMap<String, String>,
    /// Served for paths that do not exist.
    pub default_file: Option<String>,
}

/// An `upload` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadConfig {
    /// The transport whose anonymous role is the service's, as an index into the node's transports.
    pub transport: usize,
    /// The realm in which progress is published.
    pub realm: String,
    /// Where complete files are, relative to the node directory.
    pub directory: PathBuf,
    /// Where files are until they are complete, relative to the node directory.
    pub temp_directory: PathBuf,
    /// What the fields of the form are called, by what they mean.
    pub form_fields: BTreeMap<String, String>,
    /// Octets of a file; `None` = any.
    pub max_file_size: Option<u64>,
    /// Extensions of files that are taken; empty = any.
    pub file_types: Vec<String>,
    /// Permissions of complete files.
    pub file_permissions: u32,
}

/// A `reverseproxy` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseProxyConfig {
    /// The server.
    pub upstream: UpstreamConfig,
    /// Path on the server that the service's own path stands for.
    pub path: String,
    /// `X-Forwarded-Port`; `None` = what the client has used.
    pub forwarded_port: Option<u16>,
    /// `X-Forwarded-Proto`; `None` = what the client has used.
    pub forwarded_proto: Option<Scheme>,
    /// How long the server may be silent.
    pub timeout: Duration,
}

/// How the client has reached the outermost server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

/// A `websocket-reverseproxy` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketProxyConfig {
    /// The server.
    pub upstream: UpstreamConfig,
    /// What its handshake asks for.
    pub url: String,
    /// Origins of pages that may connect; `*` matches any text.
    pub allowed_origins: Vec<String>,
    /// Whether `Origin: null` may.
    pub allow_null_origin: bool,
}

/// A `cgi` service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgiConfig {
    /// Of the scripts, relative to the node directory.
    pub directory: PathBuf,
    /// What runs them: a path, relative to the node directory, or a name that is looked up.
    pub processor: PathBuf,
    /// How long a script may be silent.
    pub timeout: Duration,
    /// Scripts that run at once.
    pub processes_max: usize,
    /// Octets of a body.
    pub body_size_max: usize,
}

impl CgiConfig {
    fn resolve_paths(&mut self, directory: &Path) {
        self.directory = directory.join(&self.directory);
        if self.processor.components().count() > 1 {
            self.processor = directory.join(&self.processor);
        }
    }
}
