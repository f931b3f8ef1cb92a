//! A node with every web service that there is, on a port without and on one with TLS.

use std::fs;
use std::io::{Cursor, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::support::{Address, Program, Router, free_port};

/// Who signs requests, and with what.
pub(super) const KEY: &str = "key-of-the-page";
pub(super) const SECRET: &str = "secret of the page";

/// What signs the bodies of a webhook.
pub(super) const HOOK_SECRET: &str = "secret of the hook";

/// A script for the shell: what it knows of its request, and the body.
const SCRIPT: &str = r#"printf 'Content-Type: text/plain\nX-Script: sh\n\n'
echo "$REQUEST_METHOD $PATH_INFO ?$QUERY_STRING"
cat
"#;

const PACKED_PAGE: &str =
    "<!DOCTYPE html><title>packed</title><h1>Packed</h1><script src=\"app.js\"></script>";
const PACKED_SCRIPT: &str = "document.querySelector('h1').innerText += ' and run';";

/// The node, and the server behind its proxies.
pub(super) struct Site {
    pub(super) router: Router,
    pub(super) at: SocketAddr,
    pub(super) secured: SocketAddr,
    pub(super) directory: TempDir,
    /// SHA-256 of the public key of the certificate, in base64.
    pub(super) pin: String,
    upstream: Program,
}

impl Site {
    /// `clients`: the directory of the foreign clients; `engine`: as in the configuration.
    pub(super) fn start(clients: &Path, engine: &str) -> Self {
        let mut server = Command::new("node");
        server.arg(clients.join("upstream.js"));
        let mut upstream = Program::start(server);
        let told: Value = serde_json::from_str(&upstream.line()).expect("the server tells its port");
        let behind = u16::try_from(told["port"].as_u64().expect("a number")).expect("a port");

        let directory = TempDir::new().expect("a directory");
        let pin = fill(directory.path());
        let [at, secured] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let config = directory.path().join("config.json");
        fs::write(&config, node(engine, at, secured, behind, clients).to_string()).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg("start").arg("--cbdir").arg(directory.path()).arg("--config").arg(&config);
        let addresses = [at, secured].map(Address::Tcp);
        let router = Router::start(command, directory.path().join("log"), &addresses);
        Self { router, at, secured, directory, pin, upstream }
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(super) fn stop(self) {
        let Self { router, upstream, directory, .. } = self;
        assert!(router.stop().success());
        drop((upstream, directory));
    }
}

/// Writes what the services serve; the pin of the certificate.
fn fill(directory: &Path) -> String {
    for name in ["files", "cgi", "up"] {
        fs::create_dir(directory.join(name)).expect("a directory");
    }
    fs::write(directory.join("files/a <b>.txt"), "what is in it").expect("a file");
    fs::write(directory.join("cgi/tell"), SCRIPT).expect("a file");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("index.html", PACKED_PAGE), ("app.js", PACKED_SCRIPT)] {
        archive.start_file(name, SimpleFileOptions::default()).expect("a file");
        archive.write_all(content.as_bytes()).expect("content");
    }
    let octets = archive.finish().expect("an archive").into_inner();
    fs::write(directory.join("packed.zip"), octets).expect("a file");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(directory.join("cert.pem"), made.cert.pem()).expect("a file");
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    STANDARD.encode(Sha256::digest(made.signing_key.subject_public_key_info()))
}

fn node(engine: &str, at: SocketAddr, secured: SocketAddr, behind: u16, clients: &Path) -> Value {
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let paths = paths(at, behind, clients);
    // The same, but for what has files of its own.
    let mut again = paths.clone();
    again.remove("up");
    let transport = |at: SocketAddr, paths: &Map<String, Value>| {
        let endpoint = json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port()});
        json!({"type": "web", "endpoint": endpoint, "paths": paths})
    };
    let mut encrypted = transport(secured, &again);
    encrypted["endpoint"]["tls"] = json!({"key": "key.pem", "certificate": "cert.pem"});
    json!({
        "version": 2,
        "controller": {"options": {"shards": 2, "engine": engine}},
        "workers": [{
            "type": "router",
            "realms": [{"name": "realm1", "roles": [role]}],
            "transports": [transport(at, &paths), encrypted],
        }],
    })
}

fn paths(at: SocketAddr, behind: u16, clients: &Path) -> Map<String, Value> {
    let files = |directory: PathBuf| json!({"type": "static", "directory": directory, "options": {"cache_timeout": null}});
    let listed = |directory: &str| json!({"type": "static", "directory": directory, "options": {"enable_directory_listing": true}});
    let joe = json!({"joe": {"ticket": "secret", "role": "anonymous"}});
    let rest = |kind: &str, options: Value| json!({"type": kind, "realm": "realm1", "role": "anonymous", "options": options});
    let signed = json!({"key": KEY, "secret": SECRET, "timestamp_delta_limit": 300});
    let below = json!({"type": "path", "paths": {"doc": {"type": "json", "value": 1}}});
    let websocket = |port: u16, path: &str| {
        json!({"type": "websocket-reverseproxy", "backend": {
            "type": "websocket",
            "url": format!("ws://127.0.0.1:{port}{path}"),
            "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": port},
        }})
    };
    let fields = json!({
        "file_name": "name", "mime_type": "type", "total_size": "total", "chunk_number": "number",
        "chunk_size": "size", "total_chunks": "count", "content": "content", "on_progress": "topic",
    });
    let upload = json!({"type": "upload", "realm": "realm1", "role": "anonymous", "directory": "up", "form_fields": fields});
    let Value::Object(paths) = json!({
        "/": files(clients.join("browser")),
        "autobahn": files(clients.join("node_modules/autobahn-browser")),
        "files": listed("files"),
        "ws": {"type": "websocket"},
        "lp": {"type": "longpoll"},
        "tickets": {"type": "longpoll", "auth": {"ticket": {"type": "static", "principals": joe}}},
        "info": {"type": "nodeinfo"},
        "doc": {"type": "json", "value": {"a": ["ü"]}},
        "to": {"type": "redirect", "url": "/info"},
        "deep": {"type": "path", "paths": {"er": below}},
        "push": rest("publisher", json!({})),
        "call": rest("caller", json!({})),
        "safe": rest("caller", json!({"require_tls": true})),
        "signed": rest("publisher", signed),
        "hook": rest("webhook", json!({"topic": "com.browser.hook", "github_secret": HOOK_SECRET})),
        "back": {"type": "reverseproxy", "host": "127.0.0.1", "port": behind, "path": "/inner"},
        "echo": websocket(behind, "/chat"),
        "wamp": websocket(at.port(), "/ws"),
        "cgi": {"type": "cgi", "directory": "cgi", "processor": "sh"},
        "packed": {"type": "archive", "archive": "packed.zip", "default_object": "index.html"},
        "up": upload,
        "stored": listed("up"),
    }) else {
        unreachable!("it is an object");
    };
    paths
}
