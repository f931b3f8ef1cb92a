//! What one address, one peer without a session and one session may take, and that each refusal is counted and told.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crossring::client::Client;
use crossring_codec::message::{
    CallOptions, Message, PublishOptions, RegisterOptions, SubscribeOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;
use crossring_router::client::ClientEvent;
use serde_json::{Value as Json, json};
use socket2::{Domain, Socket, Type};

use super::support::{PATIENCE, wait_until};
use super::{Node, raw};

const HANDSHAKE: [u8; 4] = [0x7f, 0xf1, 0, 0];

/// A node of one shard whose RawSocket transport has these limits.
fn node_with(limits: Json) -> Node {
    let edit = |document: &mut Json| document["workers"][0]["transports"][1]["limits"] = limits;
    Node::start_edited(json!({"shards": 1}), json!({}), json!({}), edit, |_, _| {})
}

/// A RawSocket connection from 127.0.0.`host`; `None`: the router has turned it away.
fn connect_from(host: u8, to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&from.into()).expect("an address of this host");
    socket.connect(&to.into()).expect("the router listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is settable");
    let mut answer = [0; 4];
    stream.write_all(&HANDSHAKE).and_then(|()| stream.read_exact(&mut answer)).ok()?;
    Some(stream)
}

fn assert_told(node: &Node, text: &str) {
    assert!(wait_until(|| node.router.log().contains(text)), "{text:?} is not in {}", node.router.log());
}

#[test]
fn an_address_has_so_many_connections_and_others_have_their_own() {
    let node = node_with(json!({"max_per_address": 2, "exempt": ["127.0.0.9"]}));
    let mut held = Vec::new();
    // The connection that asked whether the router listens may still be closing.
    assert!(wait_until(|| {
        held.extend(connect_from(1, node.rawsocket));
        held.len() == 2
    }));
    assert!(connect_from(1, node.rawsocket).is_none(), "one too many");
    assert!(connect_from(2, node.rawsocket).is_some(), "another address");
    let exempt: Vec<_> = (0..10).map(|_| connect_from(9, node.rawsocket)).collect();
    assert!(exempt.iter().all(Option::is_some));
    assert_told(&node, "too many connections from one address; the last known address is 127.0.0.1");
    held.pop();
    assert!(wait_until(|| connect_from(1, node.rawsocket).is_some()), "there is room again");
    let log = node.router.log();
    assert_eq!(log.matches("too many connections from one address").count(), 1, "{log}");
}

#[test]
fn who_connects_too_fast_is_turned_away_for_a_while() {
    let node = node_with(json!({"max_rate_per_address": 2, "exempt": []}));
    let admitted = (0..40).filter(|_| connect_from(1, node.rawsocket).is_some()).count();
    assert!((5..40).contains(&admitted), "{admitted}");
    assert!(connect_from(2, node.rawsocket).is_some(), "another address");
    assert!(wait_until(|| connect_from(1, node.rawsocket).is_some()), "half a second later");
    assert_told(&node, "new connections from one address come too fast");
    let node = node_with(json!({"max_rate": 2}));
    assert!((0..40).any(|_| connect_from(1, node.rawsocket).is_none()));
    assert_told(&node, "new connections of the transport come too fast");
}

#[test]
fn a_fleet_from_this_host_is_not_limited_by_default() {
    let node = Node::start(json!({"shards": 2}), json!({}));
    let fleet: Vec<_> = (0..500).map(|_| TcpStream::connect(node.rawsocket).expect("it listens")).collect();
    let mut all = fleet.into_iter();
    assert!(all.all(|mut stream| {
        let mut answer = [0; 4];
        stream.write_all(&HANDSHAKE).and_then(|()| stream.read_exact(&mut answer)).is_ok()
    }));
}

#[test]
fn who_does_not_shake_hands_in_time_is_cut_off_and_counted() {
    let node = node_with(json!({"handshake_timeout": 1_000}));
    let begun = Instant::now();
    let mut stream = raw(node.rawsocket);
    stream.write_all(&HANDSHAKE[..3]).expect("connected");
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() >= Duration::from_millis(900), "not before its time: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_told(&node, "1 × handshake not in time");
    let Node { router, directory, .. } = node;
    assert!(router.stop().success());
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    assert!(log.contains("refused since the start: 1 × handshake not in time"), "{log}");
}

#[test]
fn a_peer_without_session_sends_as_much_as_is_configured() {
    let node = Node::start(json!({"shards": 1, "max_unauthenticated_bytes": 2_048}), json!({}));
    let mut stream = raw(node.rawsocket);
    stream.write_all(&HANDSHAKE).expect("connected");
    stream.write_all(&[0, 0, 0x10, 0]).expect("connected");
    let _ = stream.write_all(&[b' '; 4_096]);
    let _ = stream.read_to_end(&mut Vec::new());
    assert_told(&node, "too much sent before joining");
    let _ = node.join();
}

/// Whether the router refuses a request because of a limit.
fn is_refused(client: &mut Client, what: &str, uri: &str) -> bool {
    let request = match what {
        "subscribe" => client.session.subscribe(uri, SubscribeOptions::default()),
        "register" => client.session.register(uri, RegisterOptions::default()),
        _ => client.session.call(uri, CallOptions::default(), Payload::default()),
    };
    client.send(&request.expect("joined").message).expect("connected");
    loop {
        match client.next(Some(PATIENCE)).expect("an answer") {
            ClientEvent::Error { error, .. } => {
                assert_eq!(error, "crossring.error.limit_exceeded");
                return true;
            }
            ClientEvent::Subscribed { .. } | ClientEvent::Registered { .. } => return false,
            _ => {}
        }
    }
}

#[test]
fn a_session_holds_as_much_as_is_configured() {
    let limits = json!({"max_subscriptions": 2, "max_registrations": 1, "max_calls": 3});
    let node = Node::start(json!({"shards": 2, "session_limits": limits}), json!({}));
    let [mut first, mut second, mut caller] = [node.join(), node.join(), node.join()];
    for client in [&mut first, &mut second] {
        let refused = ["com.a", "com.b", "com.c"].map(|topic| is_refused(client, "subscribe", topic));
        assert_eq!(refused, [false, false, true]);
    }
    assert_eq!(["com.a", "com.b"].map(|uri| is_refused(&mut first, "register", uri)), [false, true]);
    // Nobody answers these.
    for _ in 0..3 {
        let call = caller.session.call("com.a", CallOptions::default(), Payload::default()).expect("joined");
        caller.send(&call.message).expect("connected");
    }
    assert!(is_refused(&mut caller, "call", "com.a"));
    drop((first, second, caller));
    let Node { router, directory, .. } = node;
    assert!(router.stop().success());
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    for text in ["subscriptions of a session", "registrations of a session", "pending calls of a session"] {
        assert!(log.contains(text), "{text:?} is not in {log}");
    }
}

#[test]
fn a_payload_that_is_too_long_is_an_error_of_its_request() {
    let node = Node::start(json!({"shards": 2, "session_limits": {"max_payload": 1_000}}), json!({}));
    let [mut callee, mut caller] = [node.join(), node.join()];
    assert!(!is_refused(&mut callee, "register", "com.example.long"));
    let payload = |size| super::numbered(1, size);
    let answer_to = |message: &Message<'_>, client: &mut Client| {
        client.send(message).expect("connected");
        client.next(Some(PATIENCE)).expect("an answer")
    };
    let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
    for (size, is_fine) in [(900, true), (1_100, false)] {
        let publish = caller.session.publish("com.example.topic", options.clone(), payload(size));
        let answer = answer_to(&publish.expect("joined").message, &mut caller);
        assert_eq!(matches!(answer, ClientEvent::Published { .. }), is_fine);
        assert_eq!(is_payload_refused(&answer), !is_fine, "{answer:?}");
    }
    let call = caller.session.call("com.example.long", CallOptions::default(), payload(1_100));
    assert!(is_payload_refused(&answer_to(&call.expect("joined").message, &mut caller)));
    // The question is short, the answer is not.
    let call = caller.session.call("com.example.long", CallOptions::default(), payload(10));
    caller.send(&call.expect("joined").message).expect("connected");
    let invocation = callee.next(Some(PATIENCE)).expect("a call");
    let ClientEvent::Invocation { request, .. } = invocation else { panic!("{invocation:?}") };
    let answer = callee.session.yield_result(request, YieldOptions::default(), payload(1_100));
    callee.send(&answer.expect("a call")).expect("connected");
    assert!(is_payload_refused(&caller.next(Some(PATIENCE)).expect("an answer")));
    assert_told(&node, "payload too long");
}

/// A call whose message is nested so deep.
fn call_nested(depth: u8, client: &mut Client) -> Message<'static> {
    // The message and Arguments are two levels.
    let value = (2..depth).fold(Value::Null, |value, _| Value::List(vec![value]));
    let payload = Payload::from_values(SerializerId::MessagePack, &[value], &Vec::new());
    client.session.call("com.example.deep", CallOptions::default(), payload).expect("joined").message
}

#[test]
fn a_message_nested_too_deep_ends_its_session() {
    let options = json!({"max_nesting_depth": 10});
    let edit = |document: &mut Json| document["workers"][0]["transports"][1]["options"] = options;
    let node = Node::start_edited(json!({"shards": 1}), json!({}), json!({}), edit, |_, _| {});
    let mut client = node.join();
    let call = call_nested(10, &mut client);
    client.send(&call).expect("connected");
    let answer = client.next(Some(PATIENCE)).expect("an answer");
    assert!(matches!(answer, ClientEvent::Error { .. }), "nobody has registered it: {answer:?}");
    let call = call_nested(11, &mut client);
    client.send(&call).expect("connected");
    let end = client.next(Some(PATIENCE)).expect_err("an ABORT").to_string();
    assert!(end.contains("wamp.error.protocol_violation") && end.contains("nested too deep"), "{end}");
    assert_told(&node, "1 × message nested too deep");
}

fn is_payload_refused(event: &ClientEvent<'_>) -> bool {
    matches!(event, ClientEvent::Error { error, .. } if error == "wamp.error.payload_size_exceeded")
}
