//! The resolved configuration: plain typed data that the node starts from. No serde, no text left to interpret.

mod cookie;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::site::SharedOptions;
use crossring_codec::limits::NestingDepth;
use crossring_codec::transport::DeflateOptions;
use crossring_router::config::{PrivateKey, TransportAuthentication};
use crossring_router::limits::{FailureLimits, SessionLimits, loopback};

pub use self::cookie::{CookieConfig, CookieStoreConfig};
use super::TlsEndpoint;

/// Everything a node needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// `controller.id`: the name sent to clients as `x_cb_node`; `None` = made from host name and process id.
    pub controller_id: Option<String>,
    /// The node's private key, with which it proves to clients who it is; `None` = it has none.
    pub node_key: Option<PrivateKey>,
    /// Files of the node directory that no web service may give away; those that the configuration names come to them.
    pub own_files: Vec<PathBuf>,
    /// Number of data threads; `None` = one per available core.
    pub shards: Option<u16>,
    /// Kernel interface for sockets.
    pub engine: EngineChoice,
    /// Limits that hold for every session.
    pub limits: NodeLimits,
    /// Realms of all router workers, names are distinct.
    pub realms: Vec<RealmConfig>,
    /// Listening transports of all router workers, ids are distinct.
    pub transports: Vec<TransportConfig>,
}

/// Which engine drives sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// io_uring where the kernel allows it, else epoll with one warning.
    #[default]
    Auto,
    /// io_uring or no start.
    IoUring,
    /// epoll.
    Epoll,
}

/// Limits of every session of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLimits {
    /// What happens to a session that does not read.
    pub slow_consumer: SlowConsumer,
    /// Bytes that may wait for one session before `slow_consumer` applies.
    pub outbound_bytes_max: usize,
    /// Time from accept to WELCOME; `None` = no limit.
    pub auth_timeout: Option<Duration>,
    /// Connections without a session at once.
    pub unauthenticated_max: u32,
    /// Bytes that each of them may send before it joins.
    pub unauthenticated_bytes_max: u32,
    /// What one session may hold that came by a transport.
    pub session: SessionLimits,
    /// How many attempts to join may fail.
    pub failures: FailureLimits,
    /// Time until an authorizer that has not answered has failed, in milliseconds.
    pub authorizer_timeout_ms: u32,
    /// Time that sessions get to leave at shutdown.
    pub shutdown_timeout: Duration,
    /// Whether request ids must count up from 1.
    pub strict_request_ids: bool,
}

impl Default for NodeLimits {
    fn default() -> Self {
        NodeLimits {
            slow_consumer: SlowConsumer::DropEvents,
            outbound_bytes_max: 16 << 20,
            auth_timeout: Some(Duration::from_secs(10)),
            unauthenticated_max: 10_000,
            unauthenticated_bytes_max: 64 * 1024,
            session: SessionLimits::default(),
            failures: FailureLimits::default(),
            authorizer_timeout_ms: 10_000,
            shutdown_timeout: Duration::from_secs(5),
            strict_request_ids: false,
        }
    }
}

/// What happens to a session whose outbound queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowConsumer {
    /// Its EVENTs are dropped and counted.
    #[default]
    DropEvents,
    /// It is closed.
    CloseSession,
}

/// One realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmConfig {
    /// The worker that it is configured in.
    pub worker: String,
    /// Name in the management API.
    pub id: String,
    /// URI of the realm.
    pub name: String,
    /// What each role may do; names are distinct.
    pub roles: Vec<RoleConfig>,
    /// Settings of the realm.
    pub options: RealmOptions,
    /// What the realm keeps.
    pub store: Store,
    /// When the traffic of sessions is told; `None` = never.
    pub stats: Option<Stats>,
}

/// `realms[].stats`: when the traffic of a session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that count as one rated message, at least 2.
    pub rated_message_size: u32,
    /// Rated messages after which to report; `None` = does not matter.
    pub after_rated_messages: Option<u64>,
    /// Time after which to report; `None` = does not matter.
    pub after_duration: Option<Duration>,
    /// Report when it joins.
    pub on_join: bool,
    /// Report when it leaves.
    pub on_leave: bool,
}

/// `realms[].store`, type memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Topics and patterns whose events are kept; no two are the same.
    pub event_history: Vec<StoreRule>,
    /// Bytes of payload kept for all of them.
    pub event_history_bytes_max: u64,
    /// Sessions remembered, joined or left; the one that joined first gives way.
    pub sessions_max: u32,
    /// Procedures and patterns whose calls may wait; no two are the same.
    pub call_queue: Vec<StoreRule>,
    /// Topics that may have a retained event.
    pub retained_topics_max: u32,
    /// Bytes of payload of all retained events.
    pub retained_bytes_max: u32,
    /// Time that an event is retained; `None` = for ever.
    pub retained_lifetime: Option<Duration>,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            event_history: Vec::new(),
            event_history_bytes_max: 256 << 20,
            sessions_max: 0,
            call_queue: Vec::new(),
            retained_topics_max: 100_000,
            retained_bytes_max: 256 << 20,
            retained_lifetime: None,
        }
    }
}

/// What is kept for one URI or pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRule {
    /// The URI or pattern; valid under `matching`.
    pub uri: String,
    /// How `uri` is matched.
    pub matching: Match,
    /// Entries kept, at least 1.
    pub limit: u32,
}

/// `realms[].options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmOptions {
    /// Which URIs clients may use.
    pub uri_check: UriCheck,
    /// Whether procedures and events below `wamp.` describe the realm.
    pub enable_meta_api: bool,
    /// Whether the same is offered on the management realm.
    pub bridge_meta_api: bool,
    /// Whether sharded registrations and subscriptions are served.
    pub sharding: bool,
    /// How sessions survive their transport; `None` = not at all.
    pub resumption: Option<Resumption>,
}

/// `realms[].options.resumption`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumption {
    /// Time from the loss of the transport to the end of the session.
    pub timeout: Duration,
    /// Events kept for a session.
    pub events_max: u32,
    /// Bytes of payload of those events.
    pub bytes_max: u32,
    /// Sessions of the realm without transport at a time.
    pub sessions_max: u32,
}

impl Default for Resumption {
    fn default() -> Self {
        Resumption {
            timeout: Duration::from_secs(60),
            events_max: 1_000,
            bytes_max: 1 << 20,
            sessions_max: 1_000,
        }
    }
}

impl Default for RealmOptions {
    fn default() -> Self {
        RealmOptions {
            uri_check: UriCheck::Loose,
            enable_meta_api: true,
            bridge_meta_api: false,
            sharding: false,
            resumption: None,
        }
    }
}

/// How URIs of clients are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UriCheck {
    /// No white space, no `#`.
    #[default]
    Loose,
    /// Lower case letters, digits and `_` only.
    Strict,
}

/// One role of a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleConfig {
    /// Name in the management API.
    pub id: String,
    /// The authrole.
    pub name: String,
    /// Rules; what no rule matches is denied.
    pub permissions: Vec<Permission>,
    /// The procedure that decides instead of rules.
    pub authorizer: Option<String>,
    /// Whether a role without rules may do everything.
    pub allow_by_default: bool,
    /// Trust level told with its publications and calls; `None` = none is told.
    pub trustlevel: Option<u64>,
}

/// One rule of a role, already normalised: `uri` holds no stars any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// URI, prefix, or pattern with empty components.
    pub uri: String,
    /// How `uri` is matched.
    pub matching: Match,
    /// Permitted actions.
    pub allow: Allow,
    /// Whose identity is disclosed.
    pub disclose: Disclose,
    /// Whether a decision may be remembered for the session.
    pub cache: bool,
}

/// Matching policy of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The URI itself.
    Exact,
    /// Every URI that begins with the text, characters not components.
    Prefix,
    /// Empty components match any component.
    Wildcard,
}

/// Actions that a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allow {
    /// CALL.
    pub call: bool,
    /// REGISTER.
    pub register: bool,
    /// PUBLISH.
    pub publish: bool,
    /// SUBSCRIBE.
    pub subscribe: bool,
}

impl Allow {
    /// All four actions.
    pub const ALL: Allow = Allow { call: true, register: true, publish: true, subscribe: true };
}

/// Identities that a permission discloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disclose {
    /// The caller, to callees.
    pub caller: bool,
    /// The publisher, to subscribers.
    pub publisher: bool,
    /// `disclose_me` is refused.
    pub refuse: bool,
}

/// One listening transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// Name in logs and in the management API.
    pub id: String,
    /// The worker that it is configured in: told to clients as `x_cb_worker`.
    pub worker: String,
    /// Framing and its settings.
    pub kind: TransportKind,
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Serializers offered; `None` = all. Never an empty list.
    pub serializers: Option<Vec<SerializerName>>,
    /// How clients prove who they are; `None` = anybody joins with role `anonymous`.
    pub auth: Option<TransportAuthentication>,
    /// Connections held at once over all shards; more are aborted at accept.
    pub max_connections: u64,
    /// What it takes of one address, and how fast.
    pub limits: ConnectionLimits,
}

/// How many connections a transport takes from one address, and how fast new ones may come. 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of one address at once, over all shards.
    pub per_address_max: u32,
    /// New connections in a second.
    pub rate_max: u32,
    /// New connections of one address in a second.
    pub rate_per_address_max: u32,
    /// Networks whose addresses have no limits of their own.
    pub exempt: Vec<(IpAddr, u8)>,
    /// Time for the opening handshake where the protocol has no setting of its own; `None` = no limit.
    pub handshake_timeout: Option<Duration>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            per_address_max: 10_000,
            rate_max: 10_000,
            rate_per_address_max: 1_000,
            exempt: loopback(),
            handshake_timeout: Some(Duration::from_secs(5)),
        }
    }
}

/// Framing of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportKind {
    /// WAMP over WebSocket.
    WebSocket(WebSocketOptions),
    /// WAMP over RawSocket.
    RawSocket(RawSocketOptions),
    /// What the first octets of a connection say.
    Shared(SharedOptions),
    /// Nothing on a socket: a session of a web service.
    Service,
    /// Messages over WebSocket, which go back as they come.
    WebSocketTestee(WebSocketOptions),
    /// Octets, which go back as they come.
    StreamTestee,
}

impl TransportKind {
    /// Whether small segments are sent at once.
    pub fn nodelay(&self) -> bool {
        match self {
            TransportKind::WebSocket(options) | TransportKind::WebSocketTestee(options) => {
                options.tcp_nodelay
            }
            TransportKind::RawSocket(_)
            | TransportKind::Shared(_)
            | TransportKind::StreamTestee
            | TransportKind::Service => true,
        }
    }
}

/// Settings of a WebSocket transport. Times are `None` when off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// URL clients use, for messages only: any request path is accepted.
    pub url: Option<String>,
    /// Origin patterns; `*` in a pattern matches any text.
    pub allowed_origins: Vec<String>,
    /// Accept `Origin: null`.
    pub allow_null_origin: bool,
    /// The port that `Host` must name; `None` = any.
    pub external_port: Option<u16>,
    /// Speak protocol version 8.
    pub enable_hybi10: bool,
    /// Speak protocol version 13.
    pub enable_rfc6455: bool,
    /// Largest HTTP head of a request, in bytes.
    pub max_header_size: usize,
    /// Answer a plain GET with a page.
    pub enable_webstatus: bool,
    /// Tell our version in the `Server` header; otherwise there is no such header.
    pub show_server_version: bool,
    /// Time for the opening handshake.
    pub open_handshake_timeout: Option<Duration>,
    /// Time for the closing handshake.
    pub close_handshake_timeout: Option<Duration>,
    /// Check text messages for valid UTF-8.
    pub validate_utf8: bool,
    /// Mask the frames we send.
    pub mask_server_frames: bool,
    /// Refuse unmasked frames.
    pub require_masked_client_frames: bool,
    /// Undo the masking of frames.
    pub apply_mask: bool,
    /// Largest frame taken, in bytes; `None` = bounded by `max_message_size` only.
    pub max_frame_size: Option<usize>,
    /// Largest message taken, in bytes.
    pub max_message_size: usize,
    /// Deepest nesting of lists and dicts in a message.
    pub max_nesting_depth: NestingDepth,
    /// Send longer messages in fragments of this size, in bytes; 0 = never.
    pub auto_fragment_size: usize,
    /// Compression; `None` = off.
    pub deflate: Option<DeflateOptions>,
    /// Answer a close frame with its own code and reason, otherwise with code 1000.
    pub echo_close_codereason: bool,
    /// Send small segments at once.
    pub tcp_nodelay: bool,
    /// Drop the connection at a violation, without a closing handshake.
    pub fail_by_drop: bool,
    /// Time between pings.
    pub auto_ping_interval: Option<Duration>,
    /// Time to answer a ping.
    pub auto_ping_timeout: Option<Duration>,
    /// Bytes in a ping, 12..=125.
    pub auto_ping_size: u8,
    /// Whatever is received counts as the answer to a ping.
    pub auto_ping_restart_on_any_traffic: bool,
    /// Refuse clients that name no WAMP subprotocol; otherwise they speak JSON.
    pub require_websocket_subprotocol: bool,
    /// The cookie by which clients are recognised; `None` = they are not.
    pub cookie: Option<Box<CookieConfig>>,
}

/// Largest message that may be configured, in bytes: 64 MiB, as with Crossbar.io. More than 16 MiB counts as 16 MiB.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Largest message where nothing is configured, in bytes: 16 MiB.
pub const MESSAGE_BYTES_DEFAULT: usize = 16 << 20;
/// Connections of one transport where nothing is configured.
pub const CONNECTIONS_DEFAULT: u64 = 50_000;
/// Listen backlog where nothing is configured.
pub const BACKLOG_DEFAULT: u16 = 1024;

const _: () = assert!(MESSAGE_BYTES_DEFAULT <= MESSAGE_BYTES_MAX);

impl Default for WebSocketOptions {
    fn default() -> Self {
        WebSocketOptions {
            url: None,
            allowed_origins: vec!["*".into()],
            allow_null_origin: true,
            external_port: None,
            enable_hybi10: true,
            enable_rfc6455: true,
            max_header_size: 8 << 10,
            enable_webstatus: true,
            show_server_version: false,
            open_handshake_timeout: Some(Duration::from_secs(5)),
            close_handshake_timeout: Some(Duration::from_secs(5)),
            validate_utf8: true,
            mask_server_frames: false,
            require_masked_client_frames: true,
            apply_mask: true,
            max_frame_size: None,
            max_message_size: MESSAGE_BYTES_DEFAULT,
            max_nesting_depth: NestingDepth::MAX,
            auto_fragment_size: 0,
            deflate: None,
            echo_close_codereason: false,
            tcp_nodelay: true,
            fail_by_drop: false,
            auto_ping_interval: Some(Duration::from_secs(30)),
            auto_ping_timeout: Some(Duration::from_secs(20)),
            auto_ping_size: 12,
            auto_ping_restart_on_any_traffic: true,
            require_websocket_subprotocol: true,
            cookie: None,
        }
    }
}

/// Settings of a RawSocket transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSocketOptions {
    /// Largest message taken, in bytes, 512..=16 MiB; announced as the next power of two.
    pub max_message_size: usize,
    /// Deepest nesting of lists and dicts in a message.
    pub max_nesting_depth: NestingDepth,
}

impl Default for RawSocketOptions {
    fn default() -> Self {
        RawSocketOptions { max_message_size: MESSAGE_BYTES_DEFAULT, max_nesting_depth: NestingDepth::MAX }
    }
}

/// Where a transport listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp(TcpEndpoint),
    /// A Unix socket.
    Unix(UnixEndpoint),
    /// A socket that the process was started with.
    Inherited(InheritedEndpoint),
    /// Where another transport of the node listens, which it is a part of: its index.
    Within(usize),
}

/// A listening TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpEndpoint {
    /// Address to bind; unspecified (`0.0.0.0` or `::`) for all.
    pub address: IpAddr,
    /// Port; 0 (never from a file) lets the kernel choose.
    pub port: u16,
    /// The last port to try when those before it are taken; `port` for none but that.
    pub port_last: u16,
    /// Whether other processes of the same user may listen there as well.
    pub is_shared: bool,
    /// Milliseconds that what was sent may stay unacknowledged; 0 = as the kernel sees fit.
    pub user_timeout_ms: u16,
    /// Connections the kernel holds until they are accepted.
    pub backlog: u16,
    /// Encryption; `None` = octets go as they are.
    pub tls: Option<Box<TlsEndpoint>>,
}

/// A listening Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixEndpoint {
    /// Path with environment references expanded, relative to the node directory; or an abstract name, `@name`.
    pub path: PathBuf,
    /// Permissions of the socket file; `None` = by the umask.
    pub mode: Option<u32>,
    /// Owner of the socket file; `None` = the process's user.
    pub user: Option<SocketOwner>,
    /// Group of the socket file; `None` = the process's.
    pub group: Option<SocketOwner>,
    /// Connections the kernel holds until they are accepted.
    pub backlog: u16,
}

/// A user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketOwner {
    /// By its number.
    Number(u32),
    /// By its name.
    Name(String),
}

/// A listening socket that a service manager has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedEndpoint {
    /// Its name; `None` = `index` counts.
    pub name: Option<String>,
    /// Its place in the order passed, from 0.
    pub index: u16,
    /// Encryption; `None` = octets go as they are.
    pub tls: Option<Box<TlsEndpoint>>,
}

impl std::fmt::Display for InheritedEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "inherited socket {name:?}"),
            None => write!(f, "inherited socket {}", self.index),
        }
    }
}

/// A serializer, plain and batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerializerName {
    /// JSON.
    Json,
    /// MessagePack.
    MsgPack,
    /// CBOR.
    Cbor,
    /// BJData or UBJSON, as the peer's messages tell; BJData until they do.
    Ubjson,
    /// The same, but UBJSON until they tell.
    UbjsonDraft12,
    /// WAMP-FlatBuffers.
    FlatBuffers,
}

impl NodeConfig {
    /// The node that starts without any configuration file: realm `realm1`, role `anonymous` may do everything,
    /// WebSocket on `ws://127.0.0.1:8080/ws`, RawSocket on `127.0.0.1:8081`. Loopback only.
    pub fn default_node() -> Self {
        let url = Some("ws://127.0.0.1:8080/ws".to_string());
        let websocket = TransportKind::WebSocket(WebSocketOptions { url, ..WebSocketOptions::default() });
        let rawsocket = TransportKind::RawSocket(RawSocketOptions::default());
        NodeConfig {
            controller_id: None,
            node_key: None,
            own_files: Vec::new(),
            shards: None,
            engine: EngineChoice::Auto,
            limits: NodeLimits::default(),
            realms: vec![RealmConfig {
                worker: "worker001".into(),
                id: "realm001".into(),
                name: "realm1".into(),
                roles: vec![RoleConfig::allow_all("role001", "anonymous")],
                options: RealmOptions::default(),
                store: Store::default(),
                stats: None,
            }],
            transports: vec![
                TransportConfig::on_loopback("transport001", websocket, 8080),
                TransportConfig::on_loopback("transport002", rawsocket, 8081),
            ],
        }
    }
}

impl NodeConfig {
    /// Makes relative paths absolute: they are relative to the node directory.
    pub fn resolve_paths(&mut self, node_directory: &Path) {
        for transport in &mut self.transports {
            if let TransportKind::Shared(shared) = &mut transport.kind {
                for service in shared.site.routes.services_mut() {
                    service.resolve_paths(node_directory);
                }
            }
            match &mut transport.endpoint {
                Endpoint::Unix(unix) if unix.is_abstract() => {}
                Endpoint::Unix(unix) => unix.path = node_directory.join(&unix.path),
                Endpoint::Tcp(TcpEndpoint { tls, .. })
                | Endpoint::Inherited(InheritedEndpoint { tls, .. }) => {
                    tls.iter_mut().for_each(|tls| tls.resolve_paths(node_directory));
                }
                Endpoint::Within(_) => {}
            }
            if let TransportKind::WebSocket(WebSocketOptions { cookie: Some(cookie), .. }) =
                &mut transport.kind
            {
                cookie.store.resolve_path(node_directory);
            }
        }
    }
}

impl RoleConfig {
    /// A role that may do everything.
    pub fn allow_all(id: &str, name: &str) -> Self {
        let everything = Permission {
            uri: String::new(),
            matching: Match::Prefix,
            allow: Allow::ALL,
            disclose: Disclose::default(),
            cache: true,
        };
        RoleConfig {
            id: id.into(),
            name: name.into(),
            permissions: vec![everything],
            authorizer: None,
            allow_by_default: false,
            trustlevel: None,
        }
    }
}

impl TransportConfig {
    /// A transport on a loopback port with default settings and no authentication.
    pub fn on_loopback(id: &str, kind: TransportKind, port: u16) -> Self {
        let address = IpAddr::from([127, 0, 0, 1]);
        TransportConfig {
            id: id.into(),
            worker: "worker001".into(),
            kind,
            endpoint: Endpoint::Tcp(TcpEndpoint::new(address, port)),
            serializers: None,
            auth: None,
            max_connections: CONNECTIONS_DEFAULT,
            limits: ConnectionLimits::default(),
        }
    }
}

impl TcpEndpoint {
    /// An endpoint with default settings.
    pub fn new(address: IpAddr, port: u16) -> Self {
        TcpEndpoint {
            address,
            port,
            port_last: port,
            is_shared: false,
            user_timeout_ms: 0,
            backlog: BACKLOG_DEFAULT,
            tls: None,
        }
    }
}

impl UnixEndpoint {
    fn is_abstract(&self) -> bool {
        self.path.as_os_str().as_encoded_bytes().starts_with(b"@")
    }
}

impl Endpoint {
    /// Its encryption, if it has any.
    pub fn tls(&self) -> Option<&TlsEndpoint> {
        match self {
            Endpoint::Tcp(tcp) => tcp.tls.as_deref(),
            Endpoint::Inherited(inherited) => inherited.tls.as_deref(),
            Endpoint::Unix(_) | Endpoint::Within(_) => None,
        }
    }

    /// What no two transports may share.
    pub(super) fn place(&self) -> String {
        match self {
            Endpoint::Tcp(tcp) => std::net::SocketAddr::new(tcp.address, tcp.port).to_string(),
            Endpoint::Unix(unix) => unix.path.display().to_string(),
            Endpoint::Inherited(inherited) => inherited.to_string(),
            Endpoint::Within(index) => format!("within transport {index}"),
        }
    }
}
