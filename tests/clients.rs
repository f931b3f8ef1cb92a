//! Foreign clients against the real binary: Autobahn|Python over WebSocket, RawSocket and a Unix socket in
//! every serializer, AutobahnJS over WebSocket, each with the other; against one shard WebSocket messages are
//! compressed. The checks themselves are in `tests/clients/`; Crossbar.io passes them too, but for the deviations that they list.

#![forbid(unsafe_code)]

#[path = "clients/authenticators.rs"]
mod authenticators;
#[path = "clients/certified.rs"]
mod certified;
mod support;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Address, Program, Router, free_port};
use tempfile::TempDir;

/// How long one suite may take on a busy machine.
const SUITE_LIMIT: Duration = Duration::from_secs(400);

#[test]
fn python_checks_on_one_shard() {
    python_checks(Kind::Crossring { shards: 1 });
}

#[test]
fn python_checks_on_two_shards() {
    python_checks(Kind::Crossring { shards: 2 });
}

#[test]
fn python_across_serializers_on_one_shard() {
    python_across_serializers(Kind::Crossring { shards: 1 });
}

#[test]
fn python_across_serializers_on_two_shards() {
    python_across_serializers(Kind::Crossring { shards: 2 });
}

#[test]
fn python_advanced_on_one_shard() {
    python_advanced(Kind::Crossring { shards: 1 });
}

#[test]
fn python_advanced_on_two_shards() {
    python_advanced(Kind::Crossring { shards: 2 });
}

#[test]
fn python_authorizer_on_one_shard() {
    python_authorizer(Kind::Crossring { shards: 1 });
}

#[test]
fn python_authorizer_on_two_shards() {
    python_authorizer(Kind::Crossring { shards: 2 });
}

#[test]
fn javascript_with_python_on_one_shard() {
    javascript_with_python(Kind::Crossring { shards: 1 });
}

#[test]
fn javascript_with_python_on_two_shards() {
    javascript_with_python(Kind::Crossring { shards: 2 });
}

#[test]
fn the_tour_of_the_guide_works() {
    tour(Kind::Crossring { shards: 2 });
}

/// A browser that has logged in is known again, also by the next process, until it logs out.
#[test]
fn cookies_outlive_the_router() {
    let Some(tools) = Tools::find() else { return };
    let before = CookieNode::start(tempfile::tempdir().expect("the temporary directory is writable"));
    before.judge(before.python(&tools, "before"), 7);
    let CookieNode { router, directory, .. } = before;
    assert!(router.stop().success());
    let after = CookieNode::start(directory);
    after.judge(after.python(&tools, "after"), 3);
    let mut javascript = Command::new("node");
    javascript.arg(clients_directory().join("cookies.js")).args(["--route", &after.routes[0]]);
    after.judge(javascript, 2);
    assert!(after.router.stop().success());
}

/// A router with two transports that set cookies: one where they log in, one of a web server without authentication.
struct CookieNode {
    router: Router,
    routes: [String; 2],
    directory: TempDir,
}

impl CookieNode {
    fn start(directory: TempDir) -> Self {
        let ports = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
        let role =
            |name| json!({"name": name, "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
        let tcp = |at: SocketAddr| json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port()});
        let ticket =
            json!({"type": "static", "principals": {"joe": {"ticket": "secret!!!", "role": "member"}}});
        let node = json!({
            "version": 2,
            "controller": {"options": {"shards": 2}},
            "workers": [{
                "type": "router",
                "realms": [{"name": "realm1", "roles": [role("anonymous"), role("member")]}],
                "transports": [
                    {
                        "type": "websocket",
                        "endpoint": tcp(ports[0]),
                        "auth": {"anonymous": {"type": "static"}, "ticket": ticket, "cookie": {}},
                        "cookie": {"store": {"type": "file", "filename": "cookies.json"}},
                    },
                    {
                        "type": "web",
                        "endpoint": tcp(ports[1]),
                        "paths": {"/": {"type": "nodeinfo"}, "ws": {"type": "websocket", "cookie": {
                            "max_age": 60,
                            "http_strict": true,
                            "same_site": "Strict",
                            "store": {"type": "memory"},
                        }}},
                    },
                ],
            }],
        });
        let config = directory.path().join("config.json");
        fs::write(&config, node.to_string()).expect("the configuration is writable");
        let command = start_command(&Kind::Crossring { shards: 2 }, directory.path(), &config);
        let log = directory.path().join("log");
        let router = Router::start(command, log, &ports.map(Address::Tcp));
        Self { router, routes: ports.map(|port| format!("ws://{port}/ws")), directory }
    }

    fn python(&self, tools: &Tools, phase: &str) -> Command {
        let mut command = Command::new(&tools.python);
        command.arg(clients_directory().join("cookies.py")).args(["--phase", phase]);
        command.args(["--route", &self.routes[0], "--open", &self.routes[1]]);
        command.arg("--jar").arg(self.directory.path().join("jar"));
        command
    }

    fn judge(&self, script: Command, checks: usize) {
        let ended = Program::start(script).finish(SUITE_LIMIT);
        let passed = ended
            .lines
            .iter()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|check| check["ok"] == true));
        assert!(
            passed.count() == checks && ended.status.success(),
            "{}\n{}\nrouter:\n{}",
            ended.lines.join("\n"),
            ended.errors,
            self.router.log(),
        );
    }
}

/// Shows that the suites test WAMP and not this router. Needs a Python environment with Crossbar.io.
#[test]
fn crossbar_passes_the_same_suites() {
    let Some(environment) = env::var_os("CROSSBAR_VENV").map(PathBuf::from) else {
        println!("skipped: CROSSBAR_VENV names no Python environment with Crossbar.io");
        return;
    };
    let program = environment.join("bin/crossbar");
    python_checks(Kind::Crossbar { program: program.clone() });
    python_across_serializers(Kind::Crossbar { program: program.clone() });
    javascript_with_python(Kind::Crossbar { program: program.clone() });
    tour(Kind::Crossbar { program });
}

fn python_checks(kind: Kind) {
    if let Some(tools) = Tools::find() {
        let node = Node::start(kind);
        let suite = tools.python("suite.py", &["--part", "each"], &node.routes(), &node);
        node.judge(Program::start(suite), 900);
    }
}

fn python_across_serializers(kind: Kind) {
    if let Some(tools) = Tools::find() {
        let node = Node::start(kind);
        let suite = tools.python("suite.py", &["--part", "across"], &node.routes(), &node);
        node.judge(Program::start(suite), 723);
    }
}

fn python_advanced(kind: Kind) {
    if let Some(tools) = Tools::find() {
        let node = Node::start(kind);
        let suite = tools.python("suite.py", &["--part", "mixed"], &node.routes(), &node);
        node.judge(Program::start(suite), 400);
    }
}

/// The Unix socket is part of the other runs.
#[test]
fn python_checks_with_tls() {
    if let Some(tools) = Tools::find() {
        let node = Node::start(Kind::Secured);
        let [websocket, rawsocket, _] = node.routes();
        let suite = tools.python("suite.py", &["--part", "each"], &[websocket, rawsocket], &node);
        node.judge(Program::start(suite), 780);
    }
}

#[test]
fn python_across_serializers_with_tls() {
    python_across_serializers(Kind::Secured);
}

/// What both call `ubjson` is BJData for the one and UBJSON for the other. On RawSocket only the configuration tells.
#[test]
fn two_generations_of_python() {
    let Some(tools) = Tools::find() else { return };
    let packages = root_directory().join(".venv/earlier");
    if !packages.exists() {
        assert!(env::var_os("CI").is_none(), "the packages of the earlier generation are missing");
        println!(
            "skipped: the packages of the earlier generation are missing; `bash .ci/test` installs them"
        );
        return;
    }
    let node = Node::start(Kind::Generations);
    let [websocket, rawsocket, unix] = node.routes();
    let mut earlier =
        tools.python("generations.py", &["--attend"], &[websocket.clone(), unix.clone()], &node);
    earlier.env("PYTHONPATH", packages);
    let mut earlier = Program::start(earlier);
    let ready = earlier.line();
    assert!(ready.starts_with(r#"{"ready": "25."#), "{ready}");
    let asked = ["--earlier", &websocket, "--earlier", &unix];
    let later = tools.python("generations.py", &asked, &[websocket.clone(), rawsocket], &node);
    node.judge(Program::start(later), 98);
}

/// A client that decides what other clients may do.
fn python_authorizer(kind: Kind) {
    if let Some(tools) = Tools::find() {
        let node = Node::start(kind);
        let [websocket, rawsocket, _] = node.routes();
        let suite = tools.python("authorized.py", &[], &[websocket, rawsocket], &node);
        node.judge(Program::start(suite), 28);
    }
}

fn javascript_with_python(kind: Kind) {
    let Some(tools) = Tools::find() else { return };
    let node = Node::start(kind);
    let [websocket, rawsocket, _] = node.routes();
    let mut companion = Command::new(&tools.python);
    companion.arg(clients_directory().join("companion.py"));
    companion.args(["--route", &rawsocket, "--serializer", "msgpack"]);
    let mut companion = Program::start(companion);
    assert_eq!(companion.line(), r#"{"ready": "msgpack"}"#);
    let mut suite = Command::new("node");
    suite.arg(clients_directory().join("suite.js"));
    suite.args(["--route", &websocket, "--router", node.kind.name()]);
    node.judge(Program::start(suite), 60);
}

fn tour(kind: Kind) {
    let Some(tools) = Tools::find() else { return };
    let node = Node::start(kind);
    let [websocket, _, _] = node.routes();
    let examples = root_directory().join("docs/guide/examples");
    let mut python = Command::new(&tools.python);
    python.arg(examples.join("tour.py")).arg(&websocket);
    let mut python = Program::start(python);
    assert!(python.line().starts_with("joined realm1 as session "));
    let mut javascript = Command::new("node");
    javascript.env("NODE_PATH", clients_directory().join("node_modules"));
    javascript.arg(examples.join("tour.js")).arg(&websocket);
    let javascript = Program::start(javascript).finish(SUITE_LIMIT);
    assert_eq!(python.line(), "JavaScript said hello, and shouts as JAVASCRIPT");
    let said: Vec<&str> = javascript.lines.iter().map(String::as_str).collect();
    assert!(
        matches!(said[..], [joined, "2 + 3 = 5", "answer: Hello JAVASCRIPT, this is Python", ..]
            if joined.starts_with("joined realm1 as session ")),
        "{said:?} {}",
        javascript.errors,
    );
}

/// Which router is tested.
enum Kind {
    Crossring {
        shards: u32,
    },
    /// Two shards; the ports speak TLS.
    Secured,
    /// Two shards; on the Unix socket `ubjson` is UBJSON.
    Generations,
    Crossbar {
        program: PathBuf,
    },
}

impl Kind {
    /// Whether WebSocket messages are compressed; both clients offer it.
    fn compresses(&self) -> bool {
        matches!(self, Self::Crossring { shards: 1 })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Crossring { .. } | Self::Secured | Self::Generations => "crossring",
            Self::Crossbar { .. } => "crossbar",
        }
    }
}

/// A router that runs `tests/clients/node.json` on ports of its own.
struct Node {
    kind: Kind,
    router: Router,
    websocket: SocketAddr,
    rawsocket: SocketAddr,
    directory: TempDir,
}

impl Node {
    fn start(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (websocket, rawsocket) = (local(), local());
        let socket = directory.path().join(SOCKET);
        let config = directory.path().join("config.json");
        let node = node_config(&kind, websocket, rawsocket, &socket);
        fs::write(&config, node.to_string()).expect("the configuration is writable");
        write_certificate(directory.path());
        let addresses = [Address::Tcp(websocket), Address::Tcp(rawsocket), Address::Unix(socket)];
        let command = start_command(&kind, directory.path(), &config);
        let router = Router::start(command, directory.path().join("log"), &addresses);
        Self { kind, router, websocket, rawsocket, directory }
    }

    /// WebSocket, RawSocket and Unix socket, as the scripts take them.
    fn routes(&self) -> [String; 3] {
        let (websocket, tcp) = match self.kind {
            Kind::Secured => ("wss://localhost", "tls://localhost"),
            _ => ("ws://127.0.0.1", "tcp://127.0.0.1"),
        };
        let deflate = if self.kind.compresses() { "?deflate" } else { "" };
        [
            format!("{websocket}:{}/ws{deflate}", self.websocket.port()),
            format!("{tcp}:{}", self.rawsocket.port()),
            format!("unix:{}", self.directory.path().join(SOCKET).display()),
        ]
    }

    /// Waits for a suite and fails with every check that failed; then the router has to end in good order.
    fn judge(self, suite: Program, checks_min: usize) {
        let ended = suite.finish(SUITE_LIMIT);
        let checks: Vec<Value> =
            ended.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let failed: Vec<String> = checks
            .iter()
            .filter(|check| check["ok"] != true && check.get("deviation").is_none())
            .map(Value::to_string)
            .collect();
        let skipped = checks.iter().filter(|check| check.get("skipped").is_some()).count();
        println!("{} checks, {} failed, {skipped} skipped", checks.len(), failed.len());
        assert!(
            failed.is_empty() && ended.status.success() && checks.len() >= checks_min,
            "{} of {} checks failed (at least {checks_min} expected), {}\n{}\n{}\nrouter:\n{}",
            failed.len(),
            checks.len(),
            ended.status,
            failed.join("\n"),
            ended.errors,
            self.router.log(),
        );
        let by_config = !matches!(self.kind, Kind::Crossbar { .. });
        let status = self.router.stop();
        assert!(!by_config || status.success(), "the router ended with {status}");
    }
}

const SOCKET: &str = "rawsocket.sock";
const CERTIFICATE: &str = "node.crt";
const KEY: &str = "node.key";

/// A certificate for `localhost` that clients can trust by itself.
fn write_certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(directory.join(CERTIFICATE), made.cert.pem()).expect("the directory is writable");
    fs::write(directory.join(KEY), made.signing_key.serialize_pem()).expect("the directory is writable");
}

fn node_config(kind: &Kind, websocket: SocketAddr, rawsocket: SocketAddr, socket: &Path) -> Value {
    let template = fs::read_to_string(clients_directory().join("node.json")).expect("node.json is tracked");
    let mut node: Value = serde_json::from_str(&template).expect("node.json is JSON");
    match kind {
        Kind::Crossring { .. } | Kind::Secured | Kind::Generations => {
            let shards = if let Kind::Crossring { shards } = kind { *shards } else { 2 };
            node["controller"]["options"]["shards"] = json!(shards);
            let guarded = json!({"ticket": "secret!!!", "role": "guarded"});
            for transport in node["workers"][0]["transports"].as_array_mut().into_iter().flatten() {
                if let Some(Value::Object(principals)) = transport.pointer_mut("/auth/ticket/principals") {
                    principals.insert("guarded".to_owned(), guarded.clone());
                }
            }
            let realm = &mut node["workers"][0]["realms"][0];
            let roles = realm["roles"].as_array_mut().expect("roles are a list");
            roles.push(json!({"name": "guarded", "authorizer": "com.authorizer.decide"}));
            realm["options"] = json!({"resumption": {}});
            realm["store"] = json!({
                "type": "memory",
                "event-history": [{"uri": "com.history.", "match": "prefix", "limit": 1000}],
                "call-queue": [{"uri": "com.queued.", "match": "prefix", "limit": 100}],
            });
        }
        Kind::Crossbar { .. } => node["controller"] = json!({}),
    }
    let transports = &mut node["workers"][0]["transports"];
    transports[0]["endpoint"]["port"] = json!(websocket.port());
    if kind.compresses() {
        transports[0]["options"] = json!({"compression": {"deflate": {}}});
    }
    transports[1]["endpoint"]["port"] = json!(rawsocket.port());
    transports[2]["endpoint"]["path"] = json!(socket);
    if let Kind::Generations = kind {
        transports[2]["serializers"] = json!(["json", "msgpack", "ubjson-draft12"]);
    }
    if let Kind::Secured = kind {
        for transport in 0..2 {
            transports[transport]["endpoint"]["tls"] = json!({"certificate": CERTIFICATE, "key": KEY});
        }
    }
    node
}

fn start_command(kind: &Kind, directory: &Path, config: &Path) -> Command {
    let mut command = match kind {
        Kind::Crossring { .. } | Kind::Secured | Kind::Generations => {
            Command::new(env!("CARGO_BIN_EXE_crossring"))
        }
        Kind::Crossbar { program } => Command::new(program),
    };
    command.arg("start").arg("--cbdir").arg(directory).arg("--config").arg(config);
    command
}

/// The interpreters with the clients' packages.
struct Tools {
    python: PathBuf,
}

impl Tools {
    /// None when packages are missing; that fails in continuous integration and is said elsewhere.
    fn find() -> Option<Self> {
        let python = root_directory().join(".venv/bin/python");
        let has_python = succeeds(
            Command::new(&python).args(["-c", "import autobahn, msgpack, cbor2, argon2, passlib, nacl"]),
        );
        let node_script = "require('autobahn'); require('ws')";
        let has_node =
            succeeds(Command::new("node").args(["-e", node_script]).current_dir(clients_directory()));
        if has_python && has_node {
            return Some(Self { python });
        }
        let reason = format!(
            "packages of the foreign clients are missing (python: {has_python}, node: {has_node}); \
             `bash .ci/test` installs them"
        );
        assert!(env::var_os("CI").is_none(), "{reason}");
        println!("skipped: {reason}");
        None
    }

    fn python(&self, script: &str, arguments: &[&str], routes: &[String], node: &Node) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(clients_directory().join(script)).args(arguments);
        command.args(["--router", node.kind.name()]);
        command.env("SUITE_CA", node.directory.path().join(CERTIFICATE));
        command.args(routes.iter().flat_map(|route| ["--route", route]));
        command
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn clients_directory() -> PathBuf {
    root_directory().join("tests/clients")
}

fn root_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
