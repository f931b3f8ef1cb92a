//! One port for RawSocket, WebSocket and HTTP, and what the web services answer.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::start_command;
use super::support::{Address, PATIENCE, Router, free_port, wait_until};

thread_local! {
    /// The engine of the sites that a test starts.
    static ENGINE: Cell<&'static str> = const { Cell::new("auto") };
}

/// Runs tests again, with sockets by epoll.
pub(super) fn again_with_epoll(tests: &[fn()]) {
    ENGINE.set("epoll");
    tests.iter().for_each(|test| test());
    ENGINE.set("auto");
}

pub(super) struct Site {
    pub(super) router: Router,
    pub(super) at: SocketAddr,
    pub(super) directory: TempDir,
}

impl Site {
    /// `paths`: of the web server; `shards`: of the node.
    pub(super) fn start(paths: &Value, options: &Value, fill: impl FnOnce(&Path)) -> Self {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self::start_at(at, paths, options, &[], fill)
    }

    /// `more`: further transports.
    pub(super) fn start_at(
        at: SocketAddr,
        paths: &Value,
        options: &Value,
        more: &[Value],
        fill: impl FnOnce(&Path),
    ) -> Self {
        Self::start_document(at, &document(at, paths, options, more), fill)
    }

    /// `session_limits`: of the controller.
    pub(super) fn start_limited(paths: &Value, session_limits: &Value) -> Self {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut document = document(at, paths, &json!({}), &[]);
        document["controller"]["options"]["session_limits"] = session_limits.clone();
        Self::start_document(at, &document, |_| {})
    }

    fn start_document(at: SocketAddr, document: &Value, fill: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::new().expect("a directory");
        fill(directory.path());
        std::fs::write(directory.path().join("config.json"), document.to_string()).expect("a file");
        let log = directory.path().join("log");
        let router = Router::start(start_command(&directory, "config.json"), log, &[Address::Tcp(at)]);
        let told = format!("engine {}", ENGINE.get());
        assert!(ENGINE.get() == "auto" || wait_until(|| router.log().contains(&told)), "{told}");
        Self { router, at, directory }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, line: &str, fields: &str) -> Answer {
        ask(&mut self.connect(), line, fields)
    }
}

/// A node whose one listener is a web server.
fn document(at: SocketAddr, paths: &Value, options: &Value, more: &[Value]) -> Value {
    let mut document = json!({
        "version": 2,
        "controller": {"options": {"shards": 2, "engine": ENGINE.get()}},
        "workers": [{
            "type": "router",
            "realms": [{"name": "realm1", "roles": [{"name": "anonymous", "permissions": []}, {"name": "rest", "permissions": [
                {"uri": "com.rest.*", "allow": {"call": true, "publish": true, "subscribe": true}},
                {"uri": "wamp.*", "allow": {"call": true}}
            ]}]}],
            "transports": [{
                "type": "universal",
                "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": at.port()},
                "rawsocket": {"serializers": ["json"]},
                "websocket": {"ws": {"type": "websocket"}},
                "web": {"paths": paths, "options": options}
            }]
        }]
    });
    if let Some(transports) = document["workers"][0]["transports"].as_array_mut() {
        transports.extend_from_slice(more);
    }
    document
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            line.split_once(": ")
                .filter(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        })
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) fn ask(stream: &mut TcpStream, line: &str, fields: &str) -> Answer {
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").expect("sent");
    read_answer(stream, line)
}

/// The answer to the request that begins with `line`.
pub(super) fn read_answer(stream: &mut TcpStream, line: &str) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a head");
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut answer = Answer { status, head, body: Vec::new() };
    let has_body = !line.starts_with("HEAD") && !matches!(status, 101 | 204 | 304);
    if let Some(size) = answer.field("content-length").filter(|_| has_body) {
        answer.body.resize(size.parse().expect("a number"), 0);
        stream.read_exact(&mut answer.body).expect("a body");
    }
    while has_body && answer.field("transfer-encoding") == Some("chunked") {
        let size = read_chunk(stream, &mut answer.body);
        if size == 0 {
            break;
        }
    }
    answer
}

/// Appends a chunk; its size.
fn read_chunk(stream: &mut TcpStream, body: &mut Vec<u8>) -> usize {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a size");
        line.push(octet[0]);
    }
    let line = String::from_utf8(line).expect("text");
    let size = usize::from_str_radix(line.trim_end(), 16).expect("a number");
    let start = body.len();
    body.resize(start + size + 2, 0);
    stream.read_exact(&mut body[start..]).expect("a chunk");
    body.truncate(start + size);
    size
}

/// A WebSocket handshake; the nonce is that of RFC 6455.
pub(super) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp.2.json\r\n";

#[test]
fn one_port_serves_rawsocket_websocket_and_http() {
    let paths = json!({
        "/": {"type": "nodeinfo"},
        "doc": {"type": "json", "value": {"a": [1, 2]}},
        "to": {"type": "redirect", "url": "/doc"},
        "deep": {"type": "path", "paths": {"ws": {"type": "websocket"}}}
    });
    let site = Site::start(&paths, &json!({"access_log": true, "hsts": true}), |_| {});
    let info = site.ask("GET /", "Accept: application/json\r\n");
    let told: Value = serde_json::from_slice(&info.body).expect("JSON");
    assert_eq!((info.status, &told["shards"]), (200, &json!(2)));
    assert!(site.ask("GET /any/where", "").text().contains("<h1>crossring</h1>"));
    let document = site.ask("GET /doc", "Origin: http://page\r\n");
    assert_eq!((document.status, document.text().as_str()), (200, "{\"a\":[1,2]}"));
    assert_eq!(document.field("access-control-allow-origin"), Some("http://page"));
    assert_eq!(document.field("strict-transport-security"), Some("max-age=31536000"));
    let there = site.ask("GET /to/x", "");
    assert_eq!((there.status, there.field("location")), (302, Some("/doc")));
    assert_eq!(site.ask("POST /doc", "Content-Length: 0\r\n").status, 405);
    assert_eq!(site.ask("GET /ws", "").status, 426);
    for path in ["/ws", "/deep/ws"] {
        let opened = site.ask(&format!("GET {path}"), UPGRADE);
        assert_eq!(opened.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{path}");
    }
    let mut raw = site.connect();
    raw.write_all(b"\x7F\xF1\0\0").expect("sent");
    let mut reply = [0; 4];
    raw.read_exact(&mut reply).expect("a reply");
    assert_eq!((reply[0], reply[1] & 0x0F), (0x7F, 1));
    assert!(site.router.log().contains("GET /to/x"), "the access log");
}

#[test]
fn a_connection_that_spoke_http_may_become_a_websocket() {
    let site = Site::start(&json!({"/": {"type": "nodeinfo"}}), &json!({}), |_| {});
    let mut stream = site.connect();
    assert_eq!(ask(&mut stream, "GET /", "").status, 200);
    assert_eq!(ask(&mut stream, "GET /ws", UPGRADE).status, 101);
    // A ping, masked with zeros, and its pong.
    stream.write_all(b"\x89\x82\0\0\0\0hi").expect("sent");
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).expect("a pong");
    assert_eq!(&pong, b"\x8A\x02hi");
}

#[test]
fn what_is_no_protocol_is_closed() {
    let site = Site::start(&json!({"/": {"type": "nodeinfo"}}), &json!({}), |_| {});
    for octets in [&b"\x10\x0C\0\x04MQTT"[..], b"\x16\x03\x01\x02", b"\0\0\0\0", b"get / http/1.1\r\n\r\n"] {
        let mut stream = site.connect();
        stream.write_all(octets).expect("sent");
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)), "{octets:?}");
    }
    assert!(site.router.log().contains("MQTT"), "said in the log");
    assert_eq!(site.ask("GET /", "").status, 200);
}

#[test]
fn files_are_served_in_parts_in_encodings_and_only_when_they_have_changed() {
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let paths = json!({"/": {"type": "static", "directory": "web"}});
    let site = Site::start(&paths, &json!({}), |directory| {
        let web = directory.join("web");
        std::fs::create_dir_all(web.join("sub")).expect("a directory");
        std::fs::write(web.join("index.html"), "<p>hello").expect("a file");
        std::fs::write(web.join("app.js"), "let a;").expect("a file");
        std::fs::write(web.join("app.js.gz"), "packed").expect("a file");
        std::fs::write(web.join("large.bin"), &large).expect("a file");
        std::fs::write(directory.join("secret"), "secret").expect("a file");
    });
    assert!(site.directory.path().join("secret").exists());
    let index = site.ask("GET /", "");
    assert_eq!((index.status, index.text().as_str()), (200, "<p>hello"));
    assert_eq!(index.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.field("cache-control"), Some("max-age=43200, public"));
    let tag = format!("If-None-Match: {}\r\n", index.field("etag").expect("a tag"));
    assert_eq!(site.ask("GET /", &tag).status, 304);
    assert_eq!(site.ask("GET /app.js", "").text(), "let a;");
    let packed = site.ask("GET /app.js", "Accept-Encoding: gzip\r\n");
    assert_eq!((packed.field("content-encoding"), packed.text().as_str()), (Some("gzip"), "packed"));
    let whole = site.ask("GET /large.bin", "");
    assert!(whole.status == 200 && whole.body == large, "{} octets", whole.body.len());
    let part = site.ask("GET /large.bin", "Range: bytes=1000000-1999999\r\n");
    assert!(part.status == 206 && part.body == large[1_000_000..2_000_000]);
    assert_eq!(part.field("content-range"), Some("bytes 1000000-1999999/3000000"));
    assert_eq!(site.ask("GET /large.bin", "Range: bytes=3000000-\r\n").status, 416);
    let head = site.ask("HEAD /large.bin", "");
    assert_eq!((head.status, head.field("content-length")), (200, Some("3000000")));
    assert_eq!(site.ask("GET /sub", "").field("location"), Some("/sub/"));
    for nothing in ["/sub/", "/../secret", "/%2e%2e/secret", "/none", "/index.html/", "/.hidden"] {
        assert_eq!(site.ask(&format!("GET {nothing}"), "").status, 404, "{nothing}");
    }
}

#[test]
fn the_nodes_own_files_are_not_served() {
    let listed = json!({"type": "static", "directory": ".", "options": {"enable_directory_listing": true}});
    let script = json!({"type": "cgi", "directory": ".", "processor": "/bin/cat"});
    let fallback = json!({"type": "static", "directory": ".", "options": {"default_file": "config.json"}});
    let cookie = json!({"store": {"type": "file", "filename": "cookies.json"}});
    let more = json!({
        "type": "websocket", "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": free_port()}, "cookie": cookie
    });
    let paths = json!({"/": listed, "script": script, "fallback": fallback, "info": {"type": "nodeinfo"}});
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let site = Site::start_at(at, &paths, &json!({}), &[more], |directory| {
        for name in ["page.txt", "config.yaml", "node.log"] {
            std::fs::write(directory.join(name), "text").expect("a file");
        }
        let keys = std::process::Command::new(env!("CARGO_BIN_EXE_crossring"))
            .args(["keys", "--cbdir"])
            .arg(directory)
            .output()
            .expect("it runs");
        assert!(keys.status.success());
        std::fs::create_dir(directory.join("sub")).expect("a directory");
        std::os::unix::fs::symlink("../key.priv", directory.join("sub/link")).expect("a link");
        std::os::unix::fs::symlink("key.priv", directory.join("page.txt.gz")).expect("a link");
        std::fs::hard_link(directory.join("key.priv"), directory.join("sub/twin")).expect("a link");
    });
    assert!(wait_until(|| site.directory.path().join("cookies.json").exists()));
    let told = std::fs::read_to_string(site.directory.path().join("key.pub")).expect("a text");
    let info: Value =
        serde_json::from_slice(&site.ask("GET /info", "Accept: application/json\r\n").body).expect("JSON");
    let key = info["public_key"].as_str().expect("a node with a key tells it");
    assert!(told.contains(key), "{told}");
    let own = ["key.priv", "key.pub", "config.json", "config.yaml", "node.pid", "node.log", "cookies.json"];
    for name in own.into_iter().chain(["sub/link", "sub/twin", "sub/../key.priv", "key.priv/"]) {
        assert_eq!(site.ask(&format!("GET /{name}"), "").status, 404, "{name}");
        assert_eq!(site.ask(&format!("GET /script/{name}"), "").status, 404, "script {name}");
    }
    assert_eq!(site.ask("GET /fallback/none", "").status, 404);
    let page = site.ask("GET /page.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((page.status, page.text().as_str()), (200, "text"));
    let listing = site.ask("GET /", "").text();
    assert!(listing.contains("page.txt") && !own.iter().any(|name| listing.contains(name)), "{listing}");
    assert!(!site.ask("GET /sub/", "").text().contains("twin"));
    assert!(site.router.log().contains("the node's own files are in"));
}

impl Site {
    pub(super) fn post(&self, path: &str, body: &str) -> Answer {
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let mut stream = self.connect();
        let line = format!("POST {path}");
        write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").expect("sent");
        read_answer(&mut stream, &line)
    }
}

/// What the REST services of these tests may do, and what they are.
fn rest_site() -> Site {
    let of = |kind: &str, options: Value| json!({"type": kind, "realm": "realm1", "role": "rest", "options": options});
    let paths = json!({
        "/": {"type": "nodeinfo"},
        "push": of("publisher", json!({})),
        "call": of("caller", json!({"post_body_limit": 200})),
        "signed": of("publisher", json!({"key": "k", "secret": "s"})),
        "far": of("caller", json!({"require_ip": ["10.0.0.0/8"]})),
        "tls": of("caller", json!({"require_tls": true})),
        "hook": of("webhook", json!({"topic": "com.hook", "github_secret": "s"})),
        "nobody": {"type": "caller", "realm": "realm1", "role": "none"}
    });
    Site::start(&paths, &json!({}), |_| {})
}

#[test]
fn calls_and_publications_over_http() {
    let site = rest_site();
    let told = |answer: Answer| (answer.status, serde_json::from_slice::<Value>(&answer.body).expect("JSON"));
    let (status, published) = told(site.post("/push", r#"{"topic": "com.rest.a", "args": [1]}"#));
    assert!(status == 200 && published["id"].is_u64(), "{published}");
    let (status, refused) = told(site.post("/push", r#"{"topic": "com.other"}"#));
    assert_eq!((status, &refused["error"]), (200, &json!("wamp.error.not_authorized")));
    let (status, count) = told(site.post("/call", r#"{"procedure": "wamp.session.count"}"#));
    assert!(status == 200 && count["args"][0].is_u64(), "{count}");
    let (_, missing) = told(site.post("/call", r#"{"procedure": "com.rest.none"}"#));
    assert_eq!(missing["error"], "wamp.error.no_such_procedure");
    let (_, nobody) = told(site.post("/nobody", r#"{"procedure": "com.rest.none"}"#));
    assert_eq!(nobody["error"], "wamp.error.not_authorized");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let site = rest_site();
    let check = |path: &str, body: &str, status: u16, text: &str| {
        let answer = site.post(path, body);
        assert!(answer.status == status && answer.text().contains(text), "{path} {body}: {}", answer.text());
    };
    check("/push", "[1]", 400, "(must be a dict)");
    check("/push", "{", 400, "invalid JSON");
    check("/push", "{}", 400, "(missing key 'topic')");
    check("/push", r#"{"topic": "com.rest.a", "args": {}}"#, 400, "'args' must be a list");
    check("/push", r#"{"topic": "com.rest.a", "options": {"no": 1}}"#, 400, "Unknown publish option 'no'");
    check("/call", &format!(r#"{{"procedure": "{}"}}"#, "x".repeat(300)), 413, "Request too long.");
    check("/far", "{}", 400, "Request denied based on IP address.");
    check("/tls", "{}", 400, "Malformed request to the REST bridge.");
    check("/hook", "{}", 400, "GitHub signature missing or invalid.");
    check("/signed", "{}", 400, "'key' field missing");
    let get = site.ask("GET /push", "");
    assert_eq!((get.status, get.field("allow")), (405, Some("POST,PUT,OPTIONS")));
    let other = site.ask("POST /push", "Content-Type: text/plain\r\nContent-Length: 0\r\n");
    assert!(other.status == 400 && other.text().contains("Non-accepted content type."));
    let options = site.ask("OPTIONS /push", "Access-Control-Request-Headers: x-a\r\nOrigin: http://page\r\n");
    assert_eq!((options.status, options.field("access-control-allow-headers")), (200, Some("x-a")));
}
