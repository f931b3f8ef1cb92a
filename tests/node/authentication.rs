//! Every authentication method from `crossring hash-secret` and `crossring keys` to WELCOME, with the client commands.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Node;
use super::support::{Address, PATIENCE, Router};

const PASSWORD: &str = "päßword";

/// What `crossring hash-secret` makes of the password.
fn entry(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.args(["hash-secret", "--authid", "joe"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    writeln!(child.stdin.take().expect("piped"), "{PASSWORD}").expect("read");
    let output = child.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("an entry")
}

/// A key of `crossring keys` in a directory of its own: the file, and the public key.
fn key(directory: &Path) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crossring"))
        .args(["keys", "--cbdir"])
        .arg(directory)
        .output()
        .expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let public = text.lines().find_map(|line| line.trim().strip_prefix("public-key-ed25519: "));
    (directory.join("key.priv").display().to_string(), public.expect("a key").to_owned())
}

/// Joins with these arguments, and lets the router say how many sessions of role `user` there are; or why not.
fn users(node: &Node, arguments: &[&str]) -> Result<Value, String> {
    let mut line = vec!["call", "wamp.session.count", "[\"user\"]"];
    line.extend(arguments);
    let output = node.run(&line);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["args"].clone())
}

#[test]
fn each_method_admits_its_principal_and_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, public) = key(directory.path());
    let signer = json!({"joe": {"authorized_keys": [public], "role": "user"}});
    let auth = json!({
        "ticket": {"type": "static", "principals": {"joe": {"ticket": PASSWORD, "role": "user"}}},
        "wampcra": {"type": "static", "users": entry(&["--method", "wampcra", "--iterations", "10"])},
        "scram": {"type": "static", "principals": entry(&["--memory", "64", "--iterations", "1"])},
        "cryptosign": {"type": "static", "principals": signer},
    });
    let node = Node::start_with(json!({"shards": 2}), json!({}), auth);
    for (method, secret) in
        [("ticket", "--ticket"), ("wampcra", "--secret"), ("wamp-scram", "--secret"), ("scram", "--secret")]
    {
        let arguments = |authid, password| ["--authmethod", method, "--authid", authid, secret, password];
        assert_eq!(users(&node, &arguments("joe", PASSWORD)), Ok(json!([1])), "{method}");
        for (authid, password) in [("joe", "wrong"), ("jane", PASSWORD)] {
            let refused = users(&node, &arguments(authid, password)).expect_err("refused");
            assert!(refused.contains("wamp.error.not_authorized"), "{method} {authid}: {refused}");
        }
    }
    assert_eq!(users(&node, &["--authmethod", "cryptosign", "--private-key", &file]), Ok(json!([1])));
    let (stranger, _) = key(tempfile::tempdir().expect("a directory").keep().as_path());
    let refused = users(&node, &["--authmethod", "cryptosign", "--private-key", &stranger]);
    assert!(refused.expect_err("refused").contains("wamp.error.not_authorized"));
    let nothing = users(&node, &["--authmethod", "anonymous"]).expect_err("refused");
    assert!(nothing.contains("wamp.error.no_matching_auth_method"), "{nothing}");
}

#[test]
fn who_joins_and_who_is_refused_is_told_at_level_debug() {
    let auth =
        json!({"ticket": {"type": "static", "principals": {"joe": {"ticket": PASSWORD, "role": "user"}}}});
    let debug = |command: &mut Command, _: &Path| {
        command.args(["--loglevel", "debug"]);
    };
    let node = Node::start_changed(json!({"shards": 2}), json!({}), auth, debug);
    let arguments = |password| ["--authmethod", "ticket", "--authid", "joe", "--ticket", password];
    users(&node, &arguments(PASSWORD)).expect("joined");
    users(&node, &arguments("wr0ng")).expect_err("refused");
    users(&node, &["--authmethod", "ticket", "--authid", "a-slip", "--ticket", "wr0ng"])
        .expect_err("refused");
    let log = node.router.log();
    for part in [
        " joined realm \"realm1\" as \"joe\", role \"user\", by ticket, peer tcp4:127.0.0.1:",
        "join refused: wamp.error.not_authorized (",
        ", realm \"realm1\", authid \"joe\", peer tcp4:127.0.0.1:",
        ", realm \"realm1\", authid not one of the configuration, peer tcp4:127.0.0.1:",
    ] {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
    assert!([PASSWORD, "wr0ng", "a-slip"].iter().all(|secret| !log.contains(secret)), "{log}");
}

/// RawSocket with JSON over a Unix socket, then HELLO; returns the answer.
fn hello(socket: &Path, details: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).expect("the router listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let text = json!([1, "realm1", details]).to_string();
    let mut octets = vec![0x7f, 0xf1, 0, 0];
    octets.extend_from_slice(&(text.len() as u32).to_be_bytes());
    octets.extend_from_slice(text.as_bytes());
    stream.write_all(&octets).expect("connected");
    let mut head = [0; 8];
    stream.read_exact(&mut head).expect("an answer");
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).expect("an answer");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_proxy_on_this_host_says_who_its_clients_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("proxy.sock");
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = json!({"name": "user", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let document = json!({
        "version": 2,
        "workers": [{"type": "router", "realms": [{"name": "realm1", "roles": [role]}], "transports": [{
            "type": "rawsocket",
            "endpoint": {"type": "unix", "path": "proxy.sock"},
            "auth": {"anonymous-proxy": {"type": "static"}}
        }]}]
    });
    std::fs::write(directory.path().join("config.json"), document.to_string()).expect("writable");
    let command = super::start_command(&directory, "config.json");
    let address = [Address::Unix(socket.clone())];
    let _router = Router::start(command, directory.path().join("log"), &address);
    let mut client = json!({"proxy_realm": "realm1", "proxy_authid": "ann", "proxy_authrole": "user"});
    let details = |client: &Value| {
        let roles = json!({"caller": {}});
        json!({"roles": roles, "authmethods": ["anonymous-proxy"], "authextra": client})
    };
    let welcome = hello(&socket, &details(&client));
    assert_eq!(welcome[0], 2, "{welcome}");
    let found = ["authid", "authrole", "authmethod"].map(|name| welcome[2][name].clone());
    assert_eq!(found, ["ann", "user", "anonymous-proxy"].map(Value::from));
    client["proxy_authid"].take();
    let abort = hello(&socket, &details(&client));
    assert_eq!(abort[1]["message"], "missing required attribute proxy_authid");
}
