//! The server's side of the WebSocket handshake (RFC 6455 §4.2).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cookie::TrackingCookie;
use super::{FIELDS_MAX, Fields, HeadReader, accept_of, refused_head};
use crate::serializer::{Serializer, SerializerId, SerializerSet};
use crate::transport::error::TransportErrorKind;
use crate::transport::framing::Framing;
use crate::transport::mask::MaskKeys;
use crate::transport::websocket::deflate::{self, Agreement};
use crate::transport::websocket::{DeflateOptions, WebSocket, WebSocketLimits};

/// What a WebSocket listener accepts.
#[derive(Clone, Debug)]
pub struct WebSocketServerOptions {
    /// The serializers spoken. The first one in the *client's* list that is in here is taken.
    pub serializers: SerializerSet,
    /// The path served, without query; any path if none.
    pub path: Option<String>,
    /// Origins of web pages that may connect, where `*` stands for anything. They are compared
    /// with the `Origin` as sent, and with its port made explicit (`https://example.com:443`).
    /// Whoever sends no `Origin` is no web page, and may connect.
    pub origins: Vec<String>,
    /// Whether `Origin: null` (local files, sandboxed pages) may connect.
    pub null_origin_allowed: bool,
    /// Whether a client must name a subprotocol we speak; otherwise `wamp.2.json` is assumed, and
    /// not announced.
    pub subprotocol_required: bool,
    /// The cookie that tells peers apart; if none, no cookie is read or set. With one, a request waits for
    /// [`Transport::accept_request`](crate::transport::Transport::accept_request).
    pub cookie: Option<TrackingCookie>,
    /// Messages are not WAMP: text or binary, each with the framing of a serializer of that kind. No subprotocol is spoken.
    pub any_messages: bool,
    /// Whether protocol version 13, RFC 6455, is spoken.
    pub rfc6455_accepted: bool,
    /// Whether protocol version 8, the draft hybi-10, is spoken; it differs in the name of one header field.
    pub hybi10_accepted: bool,
    /// The port that the request's `Host` must name; any if none.
    pub host_port: Option<u16>,
    /// The value of the `Server` field of responses; no such field if none.
    pub server_name: Option<String>,
    /// Whether a plain GET is answered with a page that says what this is, else with status 426.
    pub status_page: bool,
    /// Whether frames of clients need no mask, against RFC 6455 §5.1.
    pub unmasked_accepted: bool,
    /// Whether masked payloads are taken as they are, for tests.
    pub masks_kept: bool,
    /// Whether frames sent are masked, against RFC 6455 §5.1.
    pub masks_frames: bool,
    /// Whether a close frame is answered with the code and the reason in it, else with code 1000.
    pub close_echoed: bool,
    /// Accepts offers of compression.
    pub deflate: Option<DeflateOptions>,
    /// Longer messages are sent in fragments of this many octets; 0 for never.
    pub fragment_size_max: usize,
    /// What is taken at most.
    pub limits: WebSocketLimits,
}

impl Default for WebSocketServerOptions {
    fn default() -> WebSocketServerOptions {
        WebSocketServerOptions {
            serializers: SerializerSet::ALL,
            path: None,
            origins: vec!["*".to_owned()],
            null_origin_allowed: true,
            subprotocol_required: true,
            cookie: None,
            any_messages: false,
            rfc6455_accepted: true,
            hybi10_accepted: true,
            host_port: None,
            server_name: None,
            status_page: false,
            unmasked_accepted: false,
            masks_kept: false,
            masks_frames: false,
            close_echoed: false,
            deflate: None,
            fragment_size_max: 0,
            limits: WebSocketLimits::default(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct ServerHandshake {
    options: Arc<WebSocketServerOptions>,
    reader: HeadReader,
    /// Waits to be accepted.
    upgrade: Option<Upgrade>,
}

/// A request that passed every check.
#[derive(Debug)]
struct Upgrade {
    headers: Vec<(Box<str>, Box<str>)>,
    accept: String,
    serializer: Serializer,
    announced: bool,
    /// The value of the tracking cookie.
    cookie: Option<Box<str>>,
    deflate: Option<(Agreement, String)>,
}

/// What a server's handshake has come to.
pub(crate) enum Handshaken {
    /// More has to arrive.
    Pending,
    /// The request is fine, and waits to be accepted.
    Requested,
    /// The response is in the reply.
    Open(WebSocket),
}

impl ServerHandshake {
    pub(crate) fn new(options: &Arc<WebSocketServerOptions>) -> ServerHandshake {
        let reader = HeadReader::new(options.limits.head_size_max);
        ServerHandshake { options: Arc::clone(options), reader, upgrade: None }
    }

    /// Reads the request. The response, if there is one, replaces `reply`. Behind a request that waits nothing is read.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
        reply: &mut Vec<u8>,
    ) -> Result<Handshaken, TransportErrorKind> {
        if self.upgrade.is_some() {
            return Ok(Handshaken::Pending);
        }
        let Some(head) = self.reader.next(input, consumed)? else { return Ok(Handshaken::Pending) };
        let upgrade = read_request(head, &self.options)?;
        if self.options.cookie.is_some() {
            self.upgrade = Some(upgrade);
            return Ok(Handshaken::Requested);
        }
        reply.clear();
        Ok(Handshaken::Open(self.open(upgrade, None, reply)))
    }

    /// The value of the tracking cookie that came with the request that waits.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.upgrade.as_ref()?.cookie.as_deref()
    }

    /// Accepts the request that waits, if there is one; appends the response, which sets the tracking cookie to
    /// `new_cookie`.
    pub(crate) fn accept(&mut self, new_cookie: Option<&str>, reply: &mut Vec<u8>) -> Option<WebSocket> {
        let upgrade = self.upgrade.take()?;
        Some(self.open(upgrade, new_cookie, reply))
    }

    fn open(&self, upgrade: Upgrade, new_cookie: Option<&str>, reply: &mut Vec<u8>) -> WebSocket {
        let set = self.options.cookie.as_ref().zip(new_cookie);
        put_response(&upgrade, set, self.options.server_name.as_deref(), reply);
        let framing = Framing::websocket_server(upgrade.serializer);
        let agreement = upgrade.deflate.map(|(agreement, _)| agreement);
        WebSocket::new(framing, &self.options.limits, MaskKeys::new(0))
            .with_liberties(&self.options)
            .with_extensions(agreement.zip(self.options.deflate.as_ref()), self.options.fragment_size_max)
            .with_request_headers(upgrade.headers)
    }

    /// Appends the HTTP response that says what is wrong.
    pub(crate) fn refuse(&self, kind: TransportErrorKind, out: &mut Vec<u8>) {
        let (status, fields) = match kind {
            TransportErrorKind::HttpHeadTooLong => ("431 Request Header Fields Too Large", CLOSE),
            TransportErrorKind::HttpMethod => ("405 Method Not Allowed", ALLOW),
            TransportErrorKind::HttpVersion => ("505 HTTP Version Not Supported", CLOSE),
            TransportErrorKind::PathUnknown => ("404 Not Found", CLOSE),
            TransportErrorKind::UpgradeMissing | TransportErrorKind::VersionUnsupported => {
                ("426 Upgrade Required", UPGRADE)
            }
            TransportErrorKind::OriginRefused => ("403 Forbidden", CLOSE),
            TransportErrorKind::TooManyConnections => ("503 Service Unavailable", CLOSE),
            _ => ("400 Bad Request", CLOSE),
        };
        let names: Vec<_> = self.options.serializers.subprotocols().collect();
        let names = names.join(", ");
        let (status, fields, media, text) = match kind {
            TransportErrorKind::UpgradeMissing if self.options.status_page => {
                ("200 OK", PAGE, "html", STATUS_PAGE.replace("{subprotocols}", &names))
            }
            TransportErrorKind::SubprotocolUnsupported => {
                let text = format!("This server only speaks WebSocket subprotocols {names}\n");
                (status, fields, "plain", text)
            }
            _ => (status, fields, "plain", format!("{kind}\n")),
        };
        let versions = match kind {
            TransportErrorKind::UpgradeMissing | TransportErrorKind::VersionUnsupported => self.versions(),
            _ => "",
        };
        let server = self.options.server_name.as_deref().map_or_else(String::new, server_field);
        let response = format!(
            "HTTP/1.1 {status}\r\n{server}{fields}{versions}Content-Type: text/{media}; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        out.extend_from_slice(response.as_bytes());
    }

    fn versions(&self) -> &'static str {
        match (self.options.rfc6455_accepted, self.options.hybi10_accepted) {
            (true, true) => "Sec-WebSocket-Version: 13, 8\r\n",
            (false, true) => "Sec-WebSocket-Version: 8\r\n",
            _ => "Sec-WebSocket-Version: 13\r\n",
        }
    }
}

fn server_field(name: &str) -> String {
    format!("Server: {name}\r\n")
}

fn read_request(head: &[u8], options: &WebSocketServerOptions) -> Result<Upgrade, TransportErrorKind> {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).map_err(refused_head)?;
    if request.method != Some("GET") {
        return Err(TransportErrorKind::HttpMethod);
    }
    let path = path_of(request.path.unwrap_or_default());
    if options.path.as_deref().is_some_and(|served| served != path) {
        return Err(TransportErrorKind::PathUnknown);
    }
    let fields = Fields(request.headers);
    if !fields.has_token("upgrade", "websocket") || !fields.has_token("connection", "upgrade") {
        return Err(TransportErrorKind::UpgradeMissing);
    }
    if request.version != Some(1) {
        return Err(TransportErrorKind::HttpVersion);
    }
    read_fields(fields, options)
}

fn read_fields(fields: Fields<'_>, options: &WebSocketServerOptions) -> Result<Upgrade, TransportErrorKind> {
    let host = fields.one("host")?.ok_or(TransportErrorKind::HttpMalformed)?;
    if options.host_port.is_some_and(|port| !names_port(host, port)) {
        return Err(TransportErrorKind::HostRefused);
    }
    let origin_field = match fields.one("sec-websocket-version")? {
        Some("13") if options.rfc6455_accepted => "origin",
        Some("8") if options.hybi10_accepted => "sec-websocket-origin",
        _ => return Err(TransportErrorKind::VersionUnsupported),
    };
    let key = fields.one("sec-websocket-key")?.filter(|key| is_key(key));
    let key = key.ok_or(TransportErrorKind::KeyInvalid)?;
    if let Some(origin) = fields.one(origin_field)?
        && !options.allows_origin(origin)
    {
        return Err(TransportErrorKind::OriginRefused);
    }
    let chosen = fields
        .list("sec-websocket-protocol")
        .find_map(|subprotocol| options.serializers.by_subprotocol(subprotocol))
        .filter(|_| !options.any_messages);
    let serializer = match chosen {
        None if !options.subprotocol_required || options.any_messages => Serializer::JSON,
        Some(Serializer { id: SerializerId::Bjdata, batched }) if speaks_draft12(fields) => {
            Serializer { id: SerializerId::Ubjson, batched }
        }
        chosen => chosen.ok_or(TransportErrorKind::SubprotocolUnsupported)?,
    };
    let deflate = options
        .deflate
        .as_ref()
        .and_then(|options| deflate::accept(fields.list("sec-websocket-extensions"), options));
    Ok(Upgrade {
        headers: fields.owned(),
        accept: accept_of(key),
        serializer,
        announced: chosen.is_some(),
        cookie: options.cookie.as_ref().and_then(|cookie| cookie.find(fields)),
        deflate,
    })
}

/// Whether this client is Autobahn|Python before 26.6, which speaks the old dialect but does not say so in its HELLO.
fn speaks_draft12(fields: Fields<'_>) -> bool {
    is_old_autobahn(fields.one("user-agent").ok().flatten().unwrap_or_default())
}

fn is_old_autobahn(agent: &str) -> bool {
    let version = agent.strip_prefix("AutobahnPython/").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(Some(year)), Some(Some(month))) if (year, month) < (26, 6))
}

fn put_response(
    upgrade: &Upgrade,
    set: Option<(&TrackingCookie, &str)>,
    server_name: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    if let Some(name) = server_name {
        out.extend_from_slice(server_field(name).as_bytes());
    }
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.extend_from_slice(upgrade.accept.as_bytes());
    if upgrade.announced {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(upgrade.serializer.subprotocol().as_bytes());
    }
    if let Some((cookie, value)) = set {
        let TrackingCookie { name, attributes } = cookie;
        out.extend_from_slice(format!("\r\nSet-Cookie: {name}={value}{attributes}").as_bytes());
    }
    if let Some((_, text)) = &upgrade.deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// The path of a request target, in origin form or absolute form, without its query.
pub(super) fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// Whether `Host` names the port; one that names none names the port of HTTP or of HTTPS.
fn names_port(host: &str, port: u16) -> bool {
    match host.rsplit_once(':').filter(|_| has_port(host)) {
        Some((_, named)) => named.parse() == Ok(port),
        None => port == 80 || port == 443,
    }
}

fn is_key(key: &str) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

impl WebSocketServerOptions {
    /// Whether pages of this origin may connect.
    pub fn allows_origin(&self, origin: &str) -> bool {
        if origin == "null" {
            return self.null_origin_allowed;
        }
        let port = match origin.split_once("://") {
            Some(("http", host)) if !has_port(host) => ":80",
            Some(("https", host)) if !has_port(host) => ":443",
            _ => "",
        };
        let explicit = format!("{origin}{port}");
        self.origins.iter().any(|pattern| matches(pattern, origin) || matches(pattern, &explicit))
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()))
}

/// Whether `text` is `pattern`, in which `*` stands for any text. Letters compare without case.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        // The leftmost place is the best one: it leaves most text for the parts that follow.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

const CLOSE: &str = "Connection: close\r\n";
const ALLOW: &str = "Allow: GET\r\nConnection: close\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade, close\r\n";
const PAGE: &str = "Connection: close\r\nX-Content-Type-Options: nosniff\r\n";

/// What a browser shows.
const STATUS_PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>WAMP over WebSocket</title></head>
<body>
<h1>WAMP over WebSocket</h1>
<p>This is a WebSocket endpoint. It is not for browsing: connect with a WAMP client.</p>
<p>Subprotocols: {subprotocols}</p>
</body>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_patterns() {
        for (pattern, origin, expected) in [
            ("*", "https://example.com", true),
            ("https://example.com", "https://example.com", true),
            ("https://example.com:443", "https://example.com", true),
            ("https://example.com:443", "https://example.com:8443", false),
            ("http://*.example.com:*", "http://a.b.example.com", true),
            ("http://*.example.com:*", "http://example.com", false),
            ("http://*.example.com", "http://a.example.com.evil.org", false),
            ("*example*", "http://EXAMPLE.org", true),
            ("a*a", "a", false),
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://[::1]:80", "http://[::1]", true),
        ] {
            let options = WebSocketServerOptions { origins: vec![pattern.to_owned()], ..Default::default() };
            assert_eq!(options.allows_origin(origin), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn old_autobahn_is_known_by_its_name() {
        for (agent, expected) in [
            ("AutobahnPython/25.12.2", true),
            ("AutobahnPython/0.10.4", true),
            ("AutobahnPython/26.5.1", true),
            ("AutobahnPython/26.6.1", false),
            ("AutobahnPython/27.1.1", false),
            ("AutobahnPython/26", false),
            ("Mozilla/5.0", false),
        ] {
            assert_eq!(is_old_autobahn(agent), expected, "{agent}");
        }
    }

    #[test]
    fn paths_lose_query_and_authority() {
        for (target, path) in [
            ("/ws", "/ws"),
            ("/ws?a=b://c", "/ws"),
            ("http://host:80/ws?x", "/ws"),
            ("http://host", "/"),
            ("*", "*"),
        ] {
            assert_eq!(path_of(target), path);
        }
    }
}
