//! What is known of a session's transport and of the session itself, in the words of Autobahn|Python: the field names of
//! `TransportDetails.marshal()` and `SessionDetails.marshal()`, so that its clients parse them.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crossring_codec::serializer::{Serializer, SerializerSet};
use crossring_codec::value::{Dict, Value};

use crate::address::TransportId;
use crate::config::{RouterConfig, Secret};
use crate::registry;

/// The transport of a session. Shared between the shard and the registry; small, because there is one per connection.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportDetails {
    /// `channel_type`: what carries the octets. Unix sockets count as TCP, as they do with Autobahn.
    pub channel_type: Option<ChannelType>,
    /// `channel_framing`: what carries the messages.
    pub channel_framing: Option<ChannelFraming>,
    /// `channel_serializer` and, where the framing has one, `websocket_protocol`.
    pub serializer: Option<Serializer>,
    /// `is_server`: the router accepted the connection.
    pub is_server: bool,
    /// `peer`
    pub peer: Peer,
    /// `own_pid`: the router's process id; 0: unknown.
    pub own_pid: u32,
    /// `own_tid`: id of the thread that serves the connection; 0: unknown.
    pub own_tid: u32,
    /// `own_fd`: descriptor of the socket; -1: none.
    pub own_fd: i32,
    /// What few transports have.
    pub extra: Option<Box<TransportExtra>>,
}

const _: () = assert!(size_of::<TransportDetails>() <= 56, "one for each connection");

/// What only HTTP, WebSocket or TLS know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransportExtra {
    /// `own`: our own address.
    pub own: Option<Box<str>>,
    /// `channel_id`: by binding type, such as `tls-unique`.
    pub channel_id: Vec<(Box<str>, Box<[u8]>)>,
    /// `peer_cert`: the peer's certificate, taken apart.
    pub peer_cert: Dict,
    /// The peer's certificate as it was shown, DER; empty: none. Not told to others.
    pub peer_certificate: Box<[u8]>,
    /// `websocket_extensions_in_use`
    pub websocket_extensions_in_use: Vec<Value>,
    /// `http_headers_received`: names in lower case, in the order received; equal names joined by a comma. Without
    /// fields that carry secrets.
    pub http_headers_received: Vec<(Box<str>, Box<str>)>,
    /// `http_headers_sent`
    pub http_headers_sent: Vec<(Box<str>, Box<str>)>,
    /// `http_cbtid`: the value of the tracking cookie. It may log somebody in: [`TransportDetails::to_dict`] hides it.
    pub http_cbtid: Option<Secret>,
}

/// The other end of a transport.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Peer {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A TCP peer: `tcp4:127.0.0.1:37894`, `tcp6:::1:37894`.
    Tcp(IpAddr, u16),
    /// A process on this host: `unix`.
    Unix,
    /// Another router's words.
    Named(Box<str>),
}

/// Words of Autobahn for one property.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant,)+
        }

        impl $name {
            /// Autobahn's word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// What carries the octets.
    ChannelType {
        Function = "function", Memory = "memory", Serial = "serial", Tcp = "tcp", Tls = "tls", Udp = "udp", Dtls = "dtls",
    }
}

words! {
    /// What carries the messages.
    ChannelFraming { Native = "native", WebSocket = "websocket", RawSocket = "rawsocket" }
}

impl Default for TransportDetails {
    fn default() -> Self {
        Self {
            channel_type: None,
            channel_framing: None,
            serializer: None,
            is_server: false,
            peer: Peer::Unknown,
            own_pid: 0,
            own_tid: 0,
            own_fd: -1,
            extra: None,
        }
    }
}

impl TransportDetails {
    /// The value of the tracking cookie.
    pub(crate) fn cookie(&self) -> Option<&Secret> {
        self.extra.as_deref()?.http_cbtid.as_ref()
    }

    /// What is known of the peer's certificate; empty: it has shown none.
    pub(crate) fn peer_cert(&self) -> &Dict {
        const NONE: &Dict = &Dict::new();
        self.extra.as_deref().map_or(NONE, |extra| &extra.peer_cert)
    }

    /// The channel id of a binding type.
    pub(crate) fn channel_id(&self, binding: &str) -> Option<&[u8]> {
        let (_, id) = self.extra.as_deref()?.channel_id.iter().find(|(name, _)| **name == *binding)?;
        Some(id)
    }

    /// The transport of a session inside the router: no octets, no serializer.
    pub fn in_process() -> Self {
        let (channel_type, channel_framing) = (Some(ChannelType::Function), Some(ChannelFraming::Native));
        Self { channel_type, channel_framing, is_server: true, ..Self::default() }
    }

    /// Whether there is no peer but the router itself.
    pub(crate) fn is_in_process(&self) -> bool {
        self.channel_type == Some(ChannelType::Function)
    }

    /// `is_secure`: nobody on the way can read or change what is sent.
    pub fn is_secure(&self) -> bool {
        matches!(self.channel_type, Some(ChannelType::Tls | ChannelType::Dtls))
    }

    /// Autobahn's dict. What would let a reader log in as the peer is left out: `http_cbtid` is null.
    pub fn to_dict(&self) -> Dict {
        let none = TransportExtra::default();
        let extra = self.extra.as_deref().unwrap_or(&none);
        let is_http = self.channel_framing == Some(ChannelFraming::WebSocket);
        let id = |id: u32| (id != 0).then(|| u64::from(id));
        let entries = [
            ("channel_type", text(self.channel_type.map(ChannelType::as_str))),
            ("channel_framing", text(self.channel_framing.map(ChannelFraming::as_str))),
            ("channel_serializer", text(self.serializer.map(|it| Serializer::plain(it.id).wire_name()))),
            ("own", text(extra.own.as_deref())),
            ("peer", self.peer.to_text().map_or(Value::Null, Value::String)),
            ("is_server", self.is_server.into()),
            ("own_pid", id(self.own_pid).map_or(Value::Null, Value::from)),
            ("own_tid", id(self.own_tid).map_or(Value::Null, Value::from)),
            ("own_fd", Value::Integer(self.own_fd.into())),
            ("is_secure", self.is_secure().into()),
            ("channel_id", Value::Dict(extra.channel_id.iter().map(binding).collect())),
            ("peer_cert", dict_or_null(extra.peer_cert.clone())),
            ("websocket_protocol", text(self.serializer.map(Serializer::subprotocol))),
            (
                "websocket_extensions_in_use",
                if is_http { Value::List(extra.websocket_extensions_in_use.clone()) } else { Value::Null },
            ),
            ("http_headers_received", dict_or_null(headers(&extra.http_headers_received))),
            ("http_headers_sent", dict_or_null(headers(&extra.http_headers_sent))),
            ("http_cbtid", Value::Null),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads Autobahn's dict. Entries that are absent, null or of another type count as unknown.
    pub fn from_value(value: &Value) -> Self {
        let word = |name: &str| value.get(name).and_then(Value::as_str);
        let number = |name: &str| value.get(name).and_then(Value::as_integer);
        let id = |name: &str| number(name).and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
        let protocol = word("websocket_protocol").and_then(|name| SerializerSet::ALL.by_subprotocol(name));
        let extra = TransportExtra {
            own: word("own").map(Box::from),
            channel_id: entries(value.get("channel_id")).filter_map(binding_of).collect(),
            peer_cert: entries(value.get("peer_cert")).cloned().collect(),
            peer_certificate: Box::default(),
            websocket_extensions_in_use: match value.get("websocket_extensions_in_use") {
                Some(Value::List(extensions)) => extensions.clone(),
                _ => Vec::new(),
            },
            http_headers_received: headers_of(value.get("http_headers_received")),
            http_headers_sent: headers_of(value.get("http_headers_sent")),
            http_cbtid: word("http_cbtid").map(Secret::new),
        };
        Self {
            channel_type: word("channel_type").and_then(ChannelType::from_word),
            channel_framing: word("channel_framing").and_then(ChannelFraming::from_word),
            serializer: protocol.or_else(|| word("channel_serializer").and_then(Serializer::from_name)),
            is_server: value.get("is_server") == Some(&Value::Bool(true)),
            peer: word("peer").map_or(Peer::Unknown, Peer::from_text),
            own_pid: id("own_pid"),
            own_tid: id("own_tid"),
            own_fd: number("own_fd").and_then(|fd| i32::try_from(fd).ok()).unwrap_or(-1),
            extra: (extra != TransportExtra::default()).then(|| Box::new(extra)),
        }
    }
}

impl Peer {
    /// The TCP peer at this address; an IPv4 address in IPv6's form is taken for what it is.
    pub fn tcp(address: SocketAddr) -> Self {
        Peer::Tcp(address.ip().to_canonical(), address.port())
    }

    /// The address of a TCP peer.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address, _) => Some(*address),
            _ => None,
        }
    }

    /// Autobahn's text; none when nothing is known.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Peer::Unknown => None,
            Peer::Tcp(IpAddr::V4(address), port) => Some(format!("tcp4:{address}:{port}")),
            Peer::Tcp(IpAddr::V6(address), port) => Some(format!("tcp6:{address}:{port}")),
            Peer::Unix => Some("unix".to_owned()),
            Peer::Named(name) => Some(name.to_string()),
        }
    }

    fn from_text(text: &str) -> Self {
        let tcp = || {
            let (address, port) =
                text.strip_prefix("tcp4:").or(text.strip_prefix("tcp6:"))?.rsplit_once(':')?;
            let port = port.parse().ok()?;
            let address = match text.starts_with("tcp6:") {
                true => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
                false => IpAddr::V4(address.parse().ok()?),
            };
            Some(Peer::Tcp(address, port))
        };
        if text == "unix" { Peer::Unix } else { tcp().unwrap_or_else(|| Peer::Named(text.into())) }
    }
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn dict_or_null(dict: Dict) -> Value {
    if dict.is_empty() { Value::Null } else { Value::Dict(dict) }
}

fn headers(headers: &[(Box<str>, Box<str>)]) -> Dict {
    headers.iter().map(|(name, value)| (name.to_string(), Value::from(&**value))).collect()
}

fn headers_of(value: Option<&Value>) -> Vec<(Box<str>, Box<str>)> {
    let header = |(name, value): &(String, Value)| Some((name.as_str().into(), value.as_str()?.into()));
    entries(value).filter_map(header).collect()
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = &(String, Value)> {
    match value {
        Some(Value::Dict(entries)) => &entries[..],
        _ => &[],
    }
    .iter()
}

/// A channel binding: octets in hexadecimal digits, which is what Autobahn parses.
fn binding((name, octets): &(Box<str>, Box<[u8]>)) -> (String, Value) {
    (name.to_string(), Value::String(octets.iter().map(|octet| format!("{octet:02x}")).collect()))
}

fn binding_of((name, value): &(String, Value)) -> Option<(Box<str>, Box<[u8]>)> {
    let octets = match value {
        Value::Binary(octets) => octets.clone(),
        Value::String(digits) => octets_of(digits)?,
        _ => return None,
    };
    Some((name.as_str().into(), octets.into()))
}

fn octets_of(digits: &str) -> Option<Vec<u8>> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Where a session is connected, in Crossbar.io's names: entries of `WELCOME.Details` and of `authextra`.
pub(crate) fn whereabouts(config: &RouterConfig, transport: TransportId, details: &TransportDetails) -> Dict {
    let node = (!config.node.is_empty()).then(|| Value::from(&*config.node));
    let worker = config.workers.get(usize::from(transport.0)).map(|name| Value::from(&**name));
    let pid = (details.own_pid != 0).then(|| Value::from(u64::from(details.own_pid)));
    let entries = [
        ("x_cb_node", node),
        ("x_cb_worker", worker),
        ("x_cb_peer", details.peer.to_text().map(Value::String)),
        ("x_cb_pid", pid),
    ];
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What `wamp.session.on_join` and `wamp.session.get` tell of a session. Tokens for resumption are never told.
pub(crate) fn session_details(config: &RouterConfig, session: &registry::Session) -> Dict {
    let (identity, transport) = (&session.identity, &*session.channel.details);
    let realm = &config.realms[usize::from(identity.realm.0)];
    let authextra = whereabouts(config, session.channel.transport, transport);
    let entries = [
        ("realm", Value::from(&*realm.name)),
        ("session", session.id.get().into()),
        ("authid", Value::from(&*identity.authid)),
        ("authrole", Value::from(&*realm.roles[usize::from(identity.role.0)].name)),
        ("authmethod", identity.method.as_str().into()),
        ("authprovider", identity.provider.as_str().into()),
        ("authextra", Value::Dict(authextra)),
        ("serializer", text(transport.serializer.map(Serializer::wire_name))),
        ("transport", Value::Dict(told_transport(config, session.channel.transport, transport))),
        ("resumed", session.is_resumed().into()),
        ("resumable", session.is_resumable().into()),
        ("resume_token", Value::Null),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// [`TransportDetails::to_dict`], with the tracking cookie where it can log nobody in.
fn told_transport(config: &RouterConfig, id: TransportId, transport: &TransportDetails) -> Dict {
    let mut dict = transport.to_dict();
    let tracking = config.tracking(id).filter(|tracking| !config.is_secret(tracking));
    if let Some(cookie) = transport.cookie().filter(|_| tracking.is_some())
        && let Some((_, told)) = dict.iter_mut().find(|(name, _)| name == "http_cbtid")
    {
        *told = cookie.expose().into();
    }
    dict
}

/// What an authorizer is told of a session: Crossbar.io's keys, and the realm.
pub(crate) fn for_authorizer(config: &RouterConfig, session: &registry::Session) -> Dict {
    const TOLD: [&str; 8] =
        ["realm", "session", "authid", "authrole", "authmethod", "authprovider", "authextra", "transport"];
    let mut details = session_details(config, session);
    details.retain(|(name, _)| TOLD.contains(&name.as_str()));
    let authextra = details.iter_mut().find(|(name, _)| name == "authextra");
    if let (Some((_, Value::Dict(told))), Some(given)) = (authextra, &session.identity.authextra) {
        told.splice(0..0, given.iter().cloned());
    }
    details
}

#[cfg(test)]
mod tests;
