//! A running node: shutdown, slow readers, keep-alive, limits, ports, and events across shards.

#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod authentication;
mod commands;
mod endpoints;
mod guide;
mod limits;
mod longpoll;
mod security;
mod upload;
mod web;
mod web_cgi;
mod web_proxy;
mod websocket;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crossring::client::{Client, ClientError, Destination, RouterUrl};
use crossring::tls::ClientSettings;
use crossring_codec::message::{PublishOptions, SubscribeOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::Value;
use crossring_router::client::ClientEvent;
use serde_json::json;
use support::{Address, PATIENCE, Router, free_port, wait_until};
use tempfile::TempDir;

struct Node {
    router: Router,
    websocket: SocketAddr,
    rawsocket: SocketAddr,
    directory: TempDir,
}

impl Node {
    /// `options`: of the controller; `websocket`: of the WebSocket transport.
    fn start(options: serde_json::Value, websocket_options: serde_json::Value) -> Self {
        Self::start_with(options, websocket_options, json!({}))
    }

    /// `auth`: of the RawSocket transport; all roles that it names may do everything.
    fn start_with(
        options: serde_json::Value,
        websocket_options: serde_json::Value,
        auth: serde_json::Value,
    ) -> Self {
        Self::start_changed(options, websocket_options, auth, |_, _| {})
    }

    /// `change`: what else the command that starts it needs.
    fn start_changed(
        options: serde_json::Value,
        websocket_options: serde_json::Value,
        auth: serde_json::Value,
        change: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        Self::start_edited(options, websocket_options, auth, |_| {}, change)
    }

    /// `edit`: what else the configuration needs.
    fn start_edited(
        options: serde_json::Value,
        websocket_options: serde_json::Value,
        auth: serde_json::Value,
        edit: impl FnOnce(&mut serde_json::Value),
        change: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let [websocket, rawsocket] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let config = directory.path().join("config.json");
        let tcp = |at: SocketAddr| json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port()});
        let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
        let role =
            |name| json!({"name": name, "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
        let roles = [role("anonymous"), role("user")];
        let mut document = json!({
            "version": 2,
            "controller": {"options": options},
            "workers": [{"type": "router", "realms": [{"name": "realm1", "roles": roles}], "transports": [
                {"type": "websocket", "endpoint": tcp(websocket), "options": websocket_options},
                {"type": "rawsocket", "endpoint": tcp(rawsocket), "auth": auth}
            ]}]
        });
        edit(&mut document);
        std::fs::write(&config, document.to_string()).expect("the configuration is writable");
        let addresses = [Address::Tcp(websocket), Address::Tcp(rawsocket)];
        let log = directory.path().join("log");
        let mut command = start_command(&directory, "config.json");
        change(&mut command, directory.path());
        let router = Router::start(command, log, &addresses);
        Self { router, websocket, rawsocket, directory }
    }

    fn join(&self) -> Client {
        let port = self.rawsocket.port();
        let to = Destination {
            url: RouterUrl::RawSocket { host: "127.0.0.1".into(), port, is_secure: false },
            tls: ClientSettings::default(),
            realm: "realm1".into(),
            serializer: Serializer::plain(SerializerId::MessagePack),
            identity: None,
            timeout: PATIENCE,
        };
        Client::join(&to).expect("everybody may join")
    }
}

fn start_command(directory: &TempDir, config: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.arg("start").arg("--cbdir").arg(directory.path()).args(["--config", config]);
    command
}

fn subscribe(client: &mut Client, topic: &str) {
    let request = client.session.subscribe(topic, SubscribeOptions::default()).expect("joined");
    client.send(&request.message).expect("connected");
    let event = client.next(Some(PATIENCE)).expect("an answer");
    assert!(matches!(event, ClientEvent::Subscribed { .. }), "{event:?}");
}

fn publish(client: &mut Client, topic: &str, payload: &Payload<'_>, acknowledge: bool) {
    let options = PublishOptions { acknowledge, ..PublishOptions::default() };
    let request = client.session.publish(topic, options, payload.borrowed()).expect("joined");
    client.send(&request.message).expect("connected");
    if acknowledge {
        let event = client.next(Some(PATIENCE)).expect("an answer");
        assert!(matches!(event, ClientEvent::Published { .. }), "{event:?}");
    }
}

fn number(event: &ClientEvent<'_>) -> i128 {
    let ClientEvent::Event { payload, .. } = event else { panic!("{event:?}") };
    payload.arguments().expect("a list")[0].as_integer().expect("a number")
}

fn numbered(number: u64, filler: usize) -> Payload<'static> {
    let filler = Value::Binary(vec![0; filler]);
    Payload::from_values(SerializerId::MessagePack, &[number.into(), filler], &Vec::new())
}

#[test]
fn events_reach_subscribers_on_every_shard_in_order() {
    let node = Node::start(json!({"shards": 3}), json!({}));
    let mut subscribers: Vec<Client> = (0..12).map(|_| node.join()).collect();
    subscribers.iter_mut().for_each(|client| subscribe(client, "com.example.many"));
    let mut publisher = node.join();
    (0..200).for_each(|index| publish(&mut publisher, "com.example.many", &numbered(index, 10), false));
    for client in &mut subscribers {
        for index in 0..200 {
            assert_eq!(number(&client.next(Some(PATIENCE)).expect("an event")), index);
        }
    }
    assert!(node.router.stop().success());
}

#[test]
fn a_stop_says_goodbye_to_every_session() {
    let node = Node::start(json!({"shards": 2}), json!({}));
    let mut clients: Vec<Client> = (0..5).map(|_| node.join()).collect();
    let Node { router, directory: _directory, .. } = node;
    let stopped = std::thread::spawn(move || router.stop());
    for client in &mut clients {
        match client.next(Some(PATIENCE)) {
            Err(ClientError::Ended(end)) => assert_eq!(end.reason, "wamp.close.system_shutdown"),
            other => panic!("{other:?}"),
        }
    }
    assert!(stopped.join().expect("no panic").success());
}

#[test]
fn a_reader_that_stops_loses_events_and_hurts_nobody() {
    let node = Node::start(json!({"shards": 1, "outbound_bytes_max": 65_536}), json!({}));
    let [mut stuck, mut reader, mut publisher] = [node.join(), node.join(), node.join()];
    subscribe(&mut stuck, "com.example.flood");
    subscribe(&mut reader, "com.example.flood");
    // More than the socket buffers of the reader that stops can take; each is seen by the other before the next leaves.
    const EVENTS: u64 = 600;
    for index in 0..EVENTS {
        publish(&mut publisher, "com.example.flood", &numbered(index, 32 * 1024), true);
        assert_eq!(number(&reader.next(Some(PATIENCE)).expect("an event")), i128::from(index));
    }
    let who = "authid \"";
    let log = node.router.log();
    let line = log.lines().find(|line| line.contains("reads too slowly")).expect("a line");
    assert!(
        line.contains(" session ") && line.contains(who) && line.contains("peer tcp4:127.0.0.1:"),
        "{line}"
    );
    assert!(line.contains("realm \"realm1\""), "{line}");
    let mut last = -1;
    let mut seen = 0;
    while let Ok(event) = stuck.next(Some(Duration::from_millis(300))) {
        assert!(number(&event) > last, "order is kept");
        last = number(&event);
        seen += 1;
    }
    assert!((1..EVENTS).contains(&seen), "{seen} events were not dropped");
    assert!(node.router.stop().success());
}

fn raw(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the router listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is settable");
    stream
}

#[test]
fn a_connection_that_never_joins_is_closed() {
    let node = Node::start(json!({"shards": 1, "auth_timeout": 1_000}), json!({}));
    let mut stream = raw(node.rawsocket);
    stream.write_all(&[0x7f, 0xf1, 0, 0]).expect("connected");
    let begun = Instant::now();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("an orderly end");
    assert!(begun.elapsed() >= Duration::from_millis(900), "not before its time: {:?}", begun.elapsed());
    assert_eq!(received[..4], [0x7f, 0xf1, 0, 0]);
}

#[test]
fn a_websocket_that_does_not_answer_pings_is_dropped() {
    let node =
        Node::start(json!({"shards": 1}), json!({"auto_ping_interval": 1_000, "auto_ping_timeout": 1_000}));
    let mut stream = raw(node.websocket);
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("connected");
    let hello = br#"[1,"realm1",{"roles":{"caller":{}}}]"#;
    let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(hello);
    stream.write_all(&frame).expect("connected");
    let mut received = Vec::new();
    // Dropped by reset or by an orderly end: what counts is that it ends.
    let _ = stream.read_to_end(&mut received);
    let pings = received.windows(2).filter(|octets| octets == b"\x89\x0c").count();
    assert_eq!(pings, 1, "one ping, no answer, the end");
    assert!(node.router.stop().success());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let node = Node::start(json!({"shards": 2}), json!({}));
    let other = TempDir::new().expect("a temporary directory");
    std::fs::copy(node.directory.path().join("config.json"), other.path().join("config.json"))
        .expect("copied");
    let output = start_command(&other, "config.json").output().expect("the router starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    for part in [&node.websocket.to_string(), "in use", "ss -lptn"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// The kernel gives back what a ring held some milliseconds after its process is gone.
#[test]
fn a_node_that_was_killed_starts_again_at_once() {
    let Node { mut router, websocket, rawsocket, directory } = Node::start(json!({"shards": 2}), json!({}));
    for count in 0..3 {
        drop(router);
        let addresses = [Address::Tcp(websocket), Address::Tcp(rawsocket)];
        let log = directory.path().join(format!("log{count}"));
        router = Router::start(start_command(&directory, "config.json"), log, &addresses);
        // The sockets of the one that was killed answer for a while, too.
        assert!(wait_until(|| router.log().contains("realms: ")), "{}", router.log());
    }
    let node = Node { router, websocket, rawsocket, directory };
    node.join();
    assert!(node.router.stop().success());
}
