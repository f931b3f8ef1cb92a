//! Dynamic authenticators: a router, clients that decide who may join it, and clients that want to.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Address, Program, Router, free_port};
use super::{Kind, SUITE_LIMIT, Tools, clients_directory, root_directory, start_command};

/// Milliseconds that the router gives to join.
const JOIN_TIMEOUT_MS: u32 = 5_000;

#[test]
fn authenticators_written_with_autobahn() {
    let Some(tools) = Tools::find() else { return };
    let node = Node::start(&Kind::Crossring { shards: 2 });
    node.judge(node.python(&tools, &["--router", "crossring"]), 10);
    let mut authenticator = Program::start(node.function(&tools));
    assert_eq!(authenticator.line(), "serving com.example.authenticate");
    node.judge(node.javascript(&node.guarded[0], "dynamic"), 4);
    node.judge(node.javascript(&node.known, "static"), 4);
    drop(authenticator);
    assert!(node.router.stop().success());
}

/// The node, the authenticator and the client that the guide shows, on other ports.
#[test]
fn the_authenticator_of_the_guide_works() {
    let Some(tools) = Tools::find() else { return };
    let examples = root_directory().join("docs/guide/examples");
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let [own, all] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    let written = fs::read_to_string(examples.join("authenticator.yaml")).expect("it is there");
    let port = |number: &str, at: SocketAddr| (format!("port: {number} "), format!("port: {} ", at.port()));
    let ports = [port("8081", own), port("8080", all)];
    let written = ports.iter().fold(written, |text, (from, to)| text.replace(from, to));
    let config = directory.path().join("authenticator.yaml");
    fs::write(&config, written).expect("the configuration is writable");
    let mut command = start_command(&Kind::Crossring { shards: 2 }, directory.path(), &config);
    command.env("AUTHENTICATOR_TICKET", "of this test");
    let router = Router::start(command, directory.path().join("log"), &[own, all].map(Address::Tcp));
    let python = |name: &str| {
        let mut command = Command::new(&tools.python);
        command.arg(examples.join(name)).env("AUTHENTICATOR_TICKET", "of this test");
        command
    };
    let mut authenticator = python("authenticator.py");
    authenticator.arg(format!("ws://{own}/ws"));
    let mut authenticator = Program::start(authenticator);
    assert_eq!(authenticator.line(), "ready");
    let client = |method: &str, secret: &str| {
        let mut client = python("authenticator_client.py");
        client.args([method, "joe", secret, &format!("ws://{all}/ws")]);
        Program::start(client).finish(SUITE_LIMIT).lines.concat()
    };
    for (method, refusal) in [("wampcra", "wamp.error.not_authorized"), ("ticket", "com.example.denied")] {
        assert_eq!(client(method, "joes-secret"), "joined as joe, role member", "{}", router.log());
        assert_eq!(client(method, "wrong"), format!("refused: {refusal}"));
    }
    drop(authenticator);
    assert!(router.stop().success());
}

/// Shows that the suite tests Crossbar.io's protocol between router and authenticator. Needs a Python environment with it.
#[test]
fn crossbar_asks_authenticators_the_same() {
    let Some(environment) = std::env::var_os("CROSSBAR_VENV").map(std::path::PathBuf::from) else {
        println!("skipped: CROSSBAR_VENV names no Python environment with Crossbar.io");
        return;
    };
    let Some(tools) = Tools::find() else { return };
    let node = Node::start(&Kind::Crossbar { program: environment.join("bin/crossbar") });
    node.judge(node.python(&tools, &["--router", "crossbar"]), 7);
}

/// A router with transports on which anybody joins, the configuration decides, or a procedure.
struct Node {
    router: Router,
    open: String,
    known: String,
    guarded: [String; 2],
    elsewhere: String,
    _directory: TempDir,
}

impl Node {
    fn start(kind: &Kind) -> Self {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let ports = [(); 5].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let config = directory.path().join("config.json");
        fs::write(&config, node_config(kind, &ports).to_string()).expect("the configuration is writable");
        let command = start_command(kind, directory.path(), &config);
        let router = Router::start(command, directory.path().join("log"), &ports.map(Address::Tcp));
        let websocket = |index: usize| format!("ws://{}/ws", ports[index]);
        Self {
            router,
            open: websocket(0),
            known: websocket(1),
            guarded: [websocket(2), format!("tcp://{}", ports[3])],
            elsewhere: websocket(4),
            _directory: directory,
        }
    }

    fn python(&self, tools: &Tools, more: &[&str]) -> Command {
        let mut command = Command::new(&tools.python);
        command.arg(clients_directory().join("authenticators.py")).args(["--open", &self.open]);
        command.args(self.guarded.iter().flat_map(|route| ["--guarded", route]));
        command.args(["--elsewhere", &self.elsewhere]).args(more);
        command
    }

    /// The program of the guide for authenticators that were functions inside Crossbar.io.
    fn function(&self, tools: &Tools) -> Command {
        let program = root_directory().join("docs/guide/examples/function_authenticators.py");
        let config = json!({"com.example.authenticate": {"are": ["as", "they", "were"]}});
        let mut command = Command::new(&tools.python);
        command.arg(program).env("PYTHONPATH", clients_directory()).args(["--url", &self.open]);
        command.arg(format!("--config={config}")).arg("com.example.authenticate=authenticators.create");
        command
    }

    fn javascript(&self, route: &str, provider: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(clients_directory().join("guarded.js"));
        command.args(["--route", route, "--provider", provider]);
        command
    }

    fn judge(&self, script: Command, checks: usize) {
        let ended = Program::start(script).finish(SUITE_LIMIT);
        let is_passed =
            |line: &&String| serde_json::from_str::<Value>(line).is_ok_and(|check| check["ok"] == true);
        assert!(
            ended.lines.iter().filter(is_passed).count() == checks && ended.status.success(),
            "{}\n{}\nrouter:\n{}",
            ended.lines.join("\n"),
            ended.errors,
            self.router.log(),
        );
    }
}

fn node_config(kind: &Kind, ports: &[SocketAddr; 5]) -> Value {
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = |name| json!({"name": name, "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let realm = |name| json!({"name": name, "roles": [role("anonymous"), role("member")]});
    let transport = |transport: &str, at: SocketAddr, auth: Value| {
        let endpoint = json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port()});
        json!({"type": transport, "endpoint": endpoint, "auth": auth})
    };
    let dynamic = || {
        let method = json!({"type": "dynamic", "authenticator": "com.example.authenticate"});
        let methods = ["anonymous", "ticket", "wampcra", "scram", "cryptosign"];
        methods.map(|name| (name, method.clone())).into_iter().collect::<Value>()
    };
    let elsewhere = json!({"ticket": {
        "type": "dynamic", "authenticator": "com.example.authenticate",
        "authenticator-realm": "authority", "default-role": "member",
    }});
    let open = json!({"anonymous": {"type": "static"}});
    let controller = match kind {
        Kind::Crossring { shards } => {
            json!({"options": {"shards": shards, "auth_timeout": JOIN_TIMEOUT_MS}})
        }
        _ => json!({}),
    };
    json!({
        "version": 2,
        "controller": controller,
        "workers": [{
            "type": "router",
            "realms": [realm("realm1"), realm("authority")],
            "transports": [
                transport("websocket", ports[0], open),
                transport("websocket", ports[1], known()),
                transport("websocket", ports[2], dynamic()),
                transport("rawsocket", ports[3], dynamic()),
                transport("websocket", ports[4], elsewhere),
            ],
        }],
    })
}

/// The same people as the authenticator knows.
fn known() -> Value {
    let key = "1adfc8bfe1d35616e64dffbd900096f23b066f914c8c2ffbb66f6075b96e116d";
    json!({
        "ticket": {"type": "static", "principals": {"jim": {"ticket": "p4ssw0rd", "role": "member"}}},
        "wampcra": {"type": "static", "users": {"jim": {"secret": "p4ssw0rd", "role": "member"}}},
        "cryptosign": {"type": "static", "principals": {
            "signer": {"authorized_keys": [key], "role": "member", "realm": "realm1"}
        }},
    })
}
