//! What listeners serve whose connections begin with RawSocket, a WebSocket handshake or HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::routes::Routes;

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
    /// Nothing: only paths below may have services.
    Nothing,
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
