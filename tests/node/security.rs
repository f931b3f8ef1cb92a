//! What attackers may not do to a running node, and what nobody may read in its log. See docs/security.md.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crossring::client::{Client, Destination, RouterUrl};
use crossring::tls::ClientSettings;
use crossring_codec::message::CallOptions;
use crossring_codec::payload::Payload;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::Value;
use crossring_router::client::{ClientEvent, Credentials};
use crossring_router::config::Secret;
use crossring_router::credentials::cra::Derivation;
use crossring_router::credentials::scram::Dialect;
use serde_json::{Value as Json, json};

use super::support::{PATIENCE, wait_until};
use super::{Node, raw};

const HANDSHAKE: [u8; 4] = [0x7f, 0xf1, 0, 0];

/// A RawSocket connection that has not sent HELLO; `None`: the router has turned it away.
fn unauthenticated(node: &Node) -> Option<TcpStream> {
    let mut stream = raw(node.rawsocket);
    let mut answer = [0; 4];
    stream.write_all(&HANDSHAKE).and_then(|()| stream.read_exact(&mut answer)).ok()?;
    (answer == HANDSHAKE).then_some(stream)
}

fn join(node: &Node, authid: Option<&str>, credentials: Credentials) -> Result<Client, String> {
    let port = node.rawsocket.port();
    let to = Destination {
        url: RouterUrl::RawSocket { host: "127.0.0.1".into(), port, is_secure: false },
        tls: ClientSettings::default(),
        realm: "realm1".into(),
        serializer: Serializer::plain(SerializerId::MessagePack),
        identity: Some((authid.map(str::to_owned), credentials)),
        timeout: PATIENCE,
    };
    Client::join(&to).map_err(|error| error.to_string())
}

fn join_by_ticket(node: &Node, authid: &str, ticket: &str) -> Result<Client, String> {
    join(node, Some(authid), Credentials::Ticket(Secret::new(ticket)))
}

#[test]
fn connections_that_never_join_are_few_and_the_newest_are_closed() {
    let node = Node::start(json!({"shards": 1, "max_unauthenticated": 3}), json!({}));
    let joined: Vec<Client> = (0..5).map(|_| node.join()).collect();
    // The connections that asked whether the router listens may still be closing.
    let mut held = Vec::new();
    assert!(wait_until(|| {
        held.extend(unauthenticated(&node));
        held.len() == 3
    }));
    assert!(unauthenticated(&node).is_none(), "one too many");
    let log = node.router.log();
    assert!(log.contains("have not joined yet"), "{log}");
    assert!(log.matches("have not joined yet").count() <= 1, "{log}");
    held.pop();
    assert!(wait_until(|| unauthenticated(&node).is_some()), "there is room again");
    drop((joined, held));
    assert!(node.router.stop().success());
}

#[test]
fn a_transport_has_no_more_connections_than_it_may() {
    let limited = |document: &mut Json| {
        document["workers"][0]["transports"][1]["max_connections"] = 2.into();
    };
    let node = Node::start_edited(json!({"shards": 1}), json!({}), json!({}), limited, |_, _| {});
    let mut held = Vec::new();
    assert!(wait_until(|| {
        held.extend(unauthenticated(&node));
        held.len() == 2
    }));
    assert!(unauthenticated(&node).is_none(), "one too many");
    held.pop();
    assert!(wait_until(|| unauthenticated(&node).is_some()), "there is room again");
}

#[test]
fn who_has_not_joined_cannot_make_the_router_keep_much() {
    let node = Node::start(json!({"shards": 1}), json!({}));
    let mut stream = unauthenticated(&node).expect("there is room");
    // A HELLO of 16 MB is announced, and begins.
    stream.write_all(&[0, 0xff, 0xff, 0xff]).expect("connected");
    let _ = stream.write_all(&[b' '; 80_000]);
    let mut told = Vec::new();
    match stream.read_to_end(&mut told) {
        Ok(_) => assert!(String::from_utf8_lossy(&told).contains("wamp.error.protocol_violation")),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "cut off"),
    }
    // Who has joined may send as much.
    let mut client = node.join();
    super::publish(&mut client, "com.example.large", &super::numbered(1, 200_000), true);
    assert!(node.router.stop().success());
}

#[test]
fn failed_logins_make_an_authid_wait_and_are_logged_without_names() {
    let auth =
        json!({"ticket": {"type": "static", "principals": {"joe": {"ticket": "right", "role": "user"}}}});
    let options = json!({"shards": 2, "auth_failures": {"max_per_client": 2, "delay": 86_400_000, "max_delay": 86_400_000, "exempt": []}});
    let node = Node::start_with(options, json!({}), auth);
    for (authid, first) in [("joe", "joe's password"), ("nobody", "x")] {
        for _ in 0..2 {
            let refused = join_by_ticket(&node, authid, first).err().expect("refused");
            assert!(refused.contains("wamp.error.not_authorized"), "{refused}");
        }
        let refused = join_by_ticket(&node, authid, "right").err().expect("refused, though it may be right");
        assert!(refused.contains("wamp.error.authentication_denied"), "{refused}");
    }
    let is_logged = wait_until(|| node.router.log().contains("attempts to join: 1 failed"));
    let log = node.router.log();
    assert!(is_logged && log.contains("the last from 127.0.0.1"), "{log}");
    assert!(!log.contains("joe"), "{log}");
    assert_eq!(log.matches("attempts to join").count(), 1, "{log}");
}

const TICKET: &str = "tick-7731-ticket";
const PASSWORD: &str = "cra-5512-password";
const SCRAM_PASSWORD: &str = "scram-9921-password";
const ENVIRONMENT_TICKET: &str = "env-4410-ticket";

/// What `crossring hash-secret` makes of a password.
fn entry(password: &str, arguments: &[&str]) -> Json {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.args(["hash-secret", "--authid", "joe"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    writeln!(child.stdin.take().expect("piped"), "{password}").expect("read");
    let output = child.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("an entry")
}

#[test]
fn no_secret_is_ever_logged_or_told() {
    let (node, secrets) = node_with_every_secret();
    let ticket = |text: &str| Credentials::Ticket(Secret::new(text));
    let cra = |text: &str| Credentials::Cra(Secret::new(text));
    let scram = |dialect, text: &str| Credentials::Scram(dialect, Secret::new(text));
    let attempts = [
        ("joe", ticket(TICKET)),
        ("jim", ticket(ENVIRONMENT_TICKET)),
        ("joe", cra(PASSWORD)),
        ("joe", scram(Dialect::Specification, SCRAM_PASSWORD)),
        ("joe", scram(Dialect::Autobahn, SCRAM_PASSWORD)),
    ];
    let mut told = String::new();
    let mut joined = Vec::new();
    for (authid, credentials) in attempts {
        joined.push(join(&node, Some(authid), credentials.clone()).expect("the right secret"));
        // The right secret of somebody else, and one in the place of a name.
        for authid in ["nobody", TICKET] {
            told += &join(&node, Some(authid), credentials.clone()).err().expect("nobody of that name");
        }
    }
    for credentials in [ticket("x"), cra("x"), scram(Dialect::Specification, "x")] {
        told += &join(&node, Some("joe"), credentials).err().expect("a wrong secret");
    }
    for client in &mut joined {
        told += &everything_told(client);
    }
    assert!(told.contains("authmethod") && told.contains("wampcra"), "the meta API tells something: {told}");
    for command in ["check", "status", "keys"] {
        let output =
            crossring(node.directory.path(), &[command, "--cbdir"]).output().expect("the binary starts");
        told += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    let Node { router, .. } = node;
    assert!(router.log().contains("session ends"), "the log is as detailed as can be: {}", router.log());
    for secret in &secrets {
        // What is tried as a name is a name, and an ABORT may repeat it to who has sent it; a log may not.
        assert!(!router.log().contains(secret), "{secret} is in the log");
        assert!(!told.contains(secret), "{secret} was told");
    }
    assert!(router.stop().success());
}

/// A node that logs as much as it can, and all its secrets, in every form in which it knows them.
fn node_with_every_secret() -> (Node, Vec<String>) {
    let cra = entry(PASSWORD, &["--method", "wampcra", "--iterations", "10"]);
    let scram = entry(SCRAM_PASSWORD, &["--memory", "64", "--iterations", "1"]);
    let mut secrets = [TICKET, PASSWORD, SCRAM_PASSWORD, ENVIRONMENT_TICKET].map(str::to_owned).to_vec();
    let stored = ["stored-key", "server-key", "wamp-scram-stored-key", "wamp-scram-server-key"];
    secrets.extend(stored.map(|key| scram["joe"][key].as_str().expect("an entry").to_owned()));
    let cra_key = Derivation {
        salt: cra["joe"]["salt"].as_str().expect("a salt").into(),
        iterations: 10,
        key_length: cra["joe"]["keylen"].as_u64().expect("a length") as u32,
    };
    secrets.push(cra_key.derive(PASSWORD).expect("in bounds"));
    let principals = json!({
        "joe": {"ticket": TICKET, "role": "user"},
        "jim": {"ticket": "${CROSSRING_TEST_TICKET}", "role": "user"},
    });
    let auth = json!({
        "ticket": {"type": "static", "principals": principals},
        "wampcra": {"type": "static", "users": cra},
        "scram": {"type": "static", "principals": scram},
    });
    let change = |command: &mut Command, directory: &Path| {
        let _ = crossring(directory, &["keys", "--cbdir"]).output().expect("the binary starts");
        command.args(["--loglevel", "trace"]).env("CROSSRING_TEST_TICKET", ENVIRONMENT_TICKET);
    };
    let node = Node::start_changed(json!({"shards": 2}), json!({}), auth, change);
    let key = std::fs::read_to_string(node.directory.path().join("key.priv")).expect("a key");
    let private = key.lines().find_map(|line| line.strip_prefix("private-key-ed25519: "));
    secrets.push(private.expect("a private key").to_owned());
    (node, secrets)
}

fn crossring(directory: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.args(line).arg(directory);
    command
}

/// What the meta API tells a session about all sessions.
fn everything_told(client: &mut Client) -> String {
    let list = ask(client, "wamp.session.list", &[]);
    let Some(Value::List(ids)) = list.into_iter().next() else { panic!("no list of sessions") };
    ids.into_iter().map(|id| format!("{:?}", ask(client, "wamp.session.get", &[id]))).collect()
}

fn ask(client: &mut Client, procedure: &'static str, arguments: &[Value]) -> Vec<Value> {
    let payload = Payload::from_values(client.serializer(), arguments, &Vec::new());
    let request = client.session.call(procedure, CallOptions::default(), payload).expect("joined");
    client.send(&request.message).expect("connected");
    match client.next(Some(PATIENCE)).expect("an answer") {
        ClientEvent::Result { payload, .. } => payload.arguments().expect("a list"),
        other => panic!("{other:?}"),
    }
}
