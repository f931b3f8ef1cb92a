//! WAMP over HTTP requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crossring_codec::id::RequestId;
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{
    ClientRoles, EventDetails, Features, HelloDetails, Message, SubscribeOptions,
};
use crossring_codec::serializer::{Serializer, SerializerId};
use serde_json::{Value, json};

use super::support::{PATIENCE, wait_until};
use super::web::{Answer, Site, read_answer};

const HELLO: &str = r#"[1,"realm1",{"roles":{"subscriber":{},"publisher":{},"caller":{}}}]"#;

fn site(options: Value) -> Site {
    let anonymous = json!({"anonymous": {"type": "static", "role": "rest"}});
    let ticket =
        json!({"ticket": {"type": "static", "principals": {"joe": {"ticket": "secret", "role": "rest"}}}});
    let poll = |auth: &Value, options: &Value| json!({"type": "longpoll", "auth": auth, "options": options});
    let paths = json!({
        "/": {"type": "nodeinfo"},
        "push": {"type": "publisher", "realm": "realm1", "role": "rest"},
        "lp": poll(&anonymous, &options),
        "tickets": poll(&ticket, &json!({})),
        "json": {"type": "longpoll", "serializers": ["json"]},
    });
    Site::start(&paths, &json!({"access_log": true}), |_| {})
}

/// A client with one connection for what it sends and another for what it waits for.
struct Client<'a> {
    site: &'a Site,
    path: String,
    sending: TcpStream,
    receiving: TcpStream,
}

impl<'a> Client<'a> {
    fn open(site: &'a Site, path: &str, protocol: &str) -> Self {
        let opened =
            site.post(&format!("{path}/open"), &json!({"protocols": ["wamp.2.none", protocol]}).to_string());
        assert_eq!(opened.status, 200, "{}", opened.text());
        let told: Value = serde_json::from_slice(&opened.body).expect("JSON");
        assert_eq!(told["protocol"], protocol);
        let path = format!("{path}/{}", told["transport"].as_str().expect("an id"));
        Self { site, path, sending: site.connect(), receiving: site.connect() }
    }

    fn join(site: &'a Site) -> Self {
        let mut client = Self::open(site, "/lp", "wamp.2.json");
        assert_eq!(client.send(HELLO), 204);
        assert_eq!(client.next()[0], 2);
        client
    }

    fn send(&mut self, body: impl AsRef<[u8]>) -> u16 {
        let line = format!("POST {}/send", self.path);
        request(&mut self.sending, &line, body.as_ref()).status
    }

    fn receive(&mut self) -> Answer {
        let line = format!("POST {}/receive", self.path);
        request(&mut self.receiving, &line, b"")
    }

    /// One message.
    fn next(&mut self) -> Value {
        let received = self.receive();
        assert_eq!(received.status, 200, "{}", received.head);
        serde_json::from_slice(&received.body).expect("a message")
    }

    fn subscribe(&mut self) {
        assert_eq!(self.send(r#"[32,1,{},"com.rest.a"]"#), 204);
        assert_eq!(self.next()[0], 33);
    }

    fn described(&self) -> (u16, Value) {
        let described = self.site.ask(&format!("GET {}", self.path), "");
        (described.status, serde_json::from_slice(&described.body).unwrap_or_default())
    }
}

fn request(stream: &mut TcpStream, line: &str, body: &[u8]) -> Answer {
    begin(stream, line, body);
    read_answer(stream, line)
}

fn begin(stream: &mut TcpStream, line: &str, body: &[u8]) {
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())
        .expect("sent");
    stream.write_all(body).expect("sent");
}

fn publish(site: &Site, number: u64) {
    let body = json!({"topic": "com.rest.a", "args": [number]}).to_string();
    assert_eq!(site.post("/push", &body).status, 200);
}

#[test]
fn a_session_by_requests() {
    let site = site(json!({}));
    let mut client = Client::open(&site, "/lp", "wamp.2.json");
    assert_eq!(client.described().1["session"], Value::Null);
    assert_eq!(client.send(HELLO), 204);
    let welcome = client.next();
    assert_eq!((&welcome[0], &welcome[2]["authrole"]), (&json!(2), &json!("rest")));
    assert_eq!(client.described().1["session"], welcome[1]);
    client.subscribe();
    // The wait begins before there is anything.
    let line = format!("POST {}/receive", client.path);
    begin(&mut client.receiving, &line, b"");
    publish(&site, 7);
    let event: Value =
        serde_json::from_slice(&read_answer(&mut client.receiving, &line).body).expect("an event");
    assert_eq!((&event[0], &event[4]), (&json!(36), &json!([7])));
    assert_eq!(client.send(r#"[6,{},"wamp.close.normal"]"#), 204);
    assert_eq!(client.next()[0], 6);
    let close = format!("POST {}/close", client.path);
    assert_eq!(request(&mut client.sending, &close, b"").status, 204);
    assert_eq!(client.described().0, 404);
    assert_eq!(client.send(HELLO), 404);
    let (log, id) = (site.router.log(), client.path.trim_start_matches("/lp/"));
    assert!(log.contains("POST /lp/***/receive") && log.contains("POST /lp/open"), "{log}");
    assert!(!log.contains(id), "who knows the id is the client");
}

#[test]
fn batches_and_other_serializers() {
    let site = site(json!({}));
    let mut json_client = Client::open(&site, "/lp", "wamp.2.json.batched");
    assert_eq!(json_client.send(format!("{HELLO}\x18[32,1,{{}},\"com.rest.a\"]\x18")), 204);
    let mut received = String::new();
    assert!(wait_until(|| {
        received.push_str(&json_client.receive().text());
        received.matches('\x18').count() == 2
    }));
    let mut cbor_client = Client::open(&site, "/lp", "wamp.2.cbor.batched");
    let details = HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
    let request = RequestId::from_random(0);
    let mut batch = Vec::new();
    for message in [
        Message::Hello { realm: Some("realm1".into()), details: Box::new(details) },
        Message::Subscribe { request, options: SubscribeOptions::default(), topic: "com.rest.a".into() },
    ] {
        let mut octets = Vec::new();
        encode(SerializerId::Cbor, &message, &mut octets).expect("encoded");
        batch.extend_from_slice(&(octets.len() as u32).to_be_bytes());
        batch.extend_from_slice(&octets);
    }
    assert_eq!(cbor_client.send(&batch), 204);
    let mut received = Vec::new();
    assert!(wait_until(|| {
        received.append(&mut cbor_client.receive().body);
        messages(&received).len() == 2
    }));
    publish(&site, 3);
    assert!(json_client.receive().text().ends_with(",[3]]\x18"));
    let event = cbor_client.receive();
    assert_eq!(event.field("content-type"), Some("application/cbor"));
    let octets = messages(&event.body)[0];
    let event = decode(Serializer::CBOR.id, octets).expect("a message");
    assert!(
        matches!(&event, Message::Event { details, payload, .. }
        if *details == EventDetails::default() && payload.arguments().expect("arguments") == [3_u64.into()]),
        "{event:?}"
    );
}

/// The messages of a batch with lengths.
fn messages(mut batch: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = batch.split_first_chunk::<4>() {
        let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message);
        batch = rest;
    }
    messages
}

#[test]
fn clients_prove_who_they_are() {
    let site = site(json!({}));
    let mut client = Client::open(&site, "/tickets", "wamp.2.json");
    let hello = r#"[1,"realm1",{"roles":{"caller":{}},"authmethods":["ticket"],"authid":"joe"}]"#;
    assert_eq!(client.send(hello), 204);
    assert_eq!(client.next()[0], 4);
    assert_eq!(client.send(r#"[5,"secret",{}]"#), 204);
    let welcome = client.next();
    assert_eq!((&welcome[0], &welcome[2]["authid"]), (&json!(2), &json!("joe")));
    let mut stranger = Client::open(&site, "/tickets", "wamp.2.json");
    assert_eq!(stranger.send(HELLO), 204);
    assert_eq!(stranger.next()[0], 3);
    assert_eq!(stranger.receive().status, 404);
}

#[test]
fn what_is_wrong_is_refused() {
    let site = site(json!({"max_message_size": 100_000, "max_nesting_depth": 6}));
    let check = |line: &str, body: &str, status: u16, text: &str| {
        let answer = request(&mut site.connect(), line, body.as_bytes());
        assert!(answer.status == status && answer.text().contains(text), "{line} {body}: {}", answer.text());
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"), "{line}");
    };
    check("POST /lp/open", "{", 400, "could not parse WAMP session open request body");
    check("POST /lp/open", "[]", 400, "invalid type for WAMP session open request");
    check("POST /lp/open", "{\"protocols\": 1}", 400, "invalid type for WAMP session open request");
    check("POST /lp/open", "{\"protocols\": [1, \"x\"]}", 400, "no common protocol");
    check("POST /json/open", "{\"protocols\": [\"wamp.2.cbor\"]}", 400, "only wamp.2.json");
    check("POST /lp/open", &"x".repeat(20_000), 413, "");
    check("GET /lp/open", "", 405, "");
    check("POST /lp/nobody/send", HELLO, 404, "no such transport");
    check("POST /lp/nobody/receive", "", 404, "no such transport");
    check("GET /lp/nobody/receive", "", 405, "");
    check("POST /lp", "", 404, "");
    let preflight = site
        .ask("OPTIONS /lp/open", "Origin: http://page\r\nAccess-Control-Request-Headers: content-type\r\n");
    assert_eq!(
        (preflight.status, preflight.field("access-control-allow-origin")),
        (200, Some("http://page"))
    );
    assert_eq!(preflight.field("access-control-allow-headers"), Some("content-type"));
    assert_eq!(preflight.field("access-control-allow-credentials"), Some("true"));

    let mut garbled = Client::join(&site);
    assert_eq!(garbled.send("[1,"), 400);
    assert_eq!(garbled.next()[0], 3);
    assert_eq!(garbled.receive().status, 404);
    let mut deep = Client::join(&site);
    assert_eq!(deep.send(r#"[16,1,{"acknowledge":true},"com.rest.deep",[[[[[]]]]]]"#), 204);
    assert_eq!(deep.next()[0], 17);
    assert_eq!(deep.send(r#"[16,2,{},"com.rest.deep",[[[[[[]]]]]]]"#), 400);
    assert_eq!(deep.next()[0], 3);
    let mut long = Client::join(&site);
    assert_eq!(long.send("x".repeat(100_001)), 413);
    long.sending = site.connect();
    assert_eq!(long.next()[0], 3);
}

#[test]
fn who_has_not_joined_sends_little_and_the_log_says_who_it_was() {
    let site = site(json!({"max_message_size": 100_000}));
    let mut unjoined = Client::open(&site, "/lp", "wamp.2.json");
    assert_eq!(unjoined.send("x".repeat(66_000)), 413);
    let line =
        "refused over long-poll: 1 × too much sent before joining; the last known address is 127.0.0.1";
    assert!(wait_until(|| site.router.log().contains(line)), "{}", site.router.log());
}

#[test]
fn a_session_holds_as_much_as_is_configured() {
    let auth = json!({"anonymous": {"type": "static", "role": "rest"}});
    let paths = json!({"/": {"type": "nodeinfo"}, "lp": {"type": "longpoll", "auth": auth},
        "push": {"type": "publisher", "realm": "realm1", "role": "rest"}});
    let site = Site::start_limited(&paths, &json!({"max_subscriptions": 1, "max_payload": 100}));
    let mut client = Client::join(&site);
    for (request, expected) in [(1, "[33,1,"), (2, "[8,32,2,{},\"crossring.error.limit_exceeded\"")] {
        assert_eq!(client.send(format!("[32,{request},{{}},\"com.rest.{request}\"]")), 204);
        let answer = client.next().to_string();
        assert!(answer.starts_with(expected), "{answer}");
    }
    let long = "x".repeat(100);
    assert_eq!(client.send(format!("[16,3,{{\"acknowledge\":true}},\"com.rest.a\",[\"{long}\"]]")), 204);
    let answer = client.next();
    assert_eq!((&answer[0], &answer[4]), (&json!(8), &json!("wamp.error.payload_size_exceeded")));
    // The sessions of web services are the router's own.
    let published = site.post("/push", &json!({"topic": "com.rest.1", "args": [long]}).to_string());
    assert!(published.text().contains("\"id\""), "{}", published.text());
    assert_eq!(client.next()[4], json!([long]));
    let text = "refused over long-poll: 1 × too many subscriptions of a session";
    assert!(wait_until(|| site.router.log().contains(text)), "{}", site.router.log());
    assert_eq!(client.send("[1]"), 400);
    let Site { router, directory, .. } = site;
    assert!(router.stop().success());
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let summary = "since the start: 1 × not a WAMP message, or none that may come, 1 × too many subscriptions of a session, \
        1 × payload too long";
    assert!(log.contains(summary), "{log}");
}

#[test]
fn one_request_waits_at_a_time_and_not_for_ever() {
    let site = site(json!({"request_timeout": 1}));
    let mut client = Client::join(&site);
    let began = Instant::now();
    assert_eq!(client.receive().status, 204);
    assert!(began.elapsed().as_millis() >= 900 && began.elapsed() < PATIENCE);
    let line = format!("POST {}/receive", client.path);
    let mut second = site.connect();
    begin(&mut client.receiving, &line, b"");
    // Whichever comes second displaces the other.
    begin(&mut second, &line, b"");
    client.subscribe_by_another(&mut second, &line);
}

impl Client<'_> {
    /// Of two that wait, one gets nothing and the other the answer.
    fn subscribe_by_another(&mut self, second: &mut TcpStream, line: &str) {
        assert_eq!(self.send(r#"[32,1,{},"com.rest.a"]"#), 204);
        let mut bodies =
            vec![read_answer(&mut self.receiving, line).text(), read_answer(second, line).text()];
        bodies.sort();
        assert!(bodies[0].is_empty() && bodies[1].starts_with("[33,"), "{bodies:?}");
    }
}

#[test]
fn who_says_nothing_is_forgotten_and_who_closes_waits_no_longer() {
    let site = site(json!({"session_timeout": 1}));
    let client = Client::join(&site);
    assert!(wait_until(|| client.described().0 == 404));
    let mut closing = Client::join(&site);
    let receive = format!("POST {}/receive", closing.path);
    begin(&mut closing.receiving, &receive, b"");
    let close = format!("POST {}/close", closing.path);
    assert_eq!(request(&mut closing.sending, &close, b"").status, 204);
    assert!(matches!(read_answer(&mut closing.receiving, &receive).status, 204 | 404));
}

#[test]
fn events_for_a_slow_client_are_dropped() {
    let site = site(json!({"queue_limit_messages": 2}));
    let mut client = Client::join(&site);
    client.subscribe();
    (0..5).for_each(|number| publish(&site, number));
    assert_eq!(client.send(r#"[48,2,{},"com.rest.none"]"#), 204);
    let received: Vec<Value> = (0..3).map(|_| client.next()).collect();
    assert_eq!((&received[0][4], &received[1][4]), (&json!([0]), &json!([1])));
    assert_eq!(received[2][0], 8, "what is no event is not dropped");
    assert!(site.router.log().contains("events are dropped"));
}

#[test]
fn a_node_stops_while_clients_wait() {
    let site = site(json!({"request_timeout": 100}));
    let client = Client::join(&site);
    let mut idle = site.connect();
    assert_eq!(request(&mut idle, "GET /", b"").status, 200);
    let line = format!("POST {}/receive", client.path);
    let mut two = [site.connect(), site.connect()];
    two.iter_mut().for_each(|stream| begin(stream, &line, b""));
    // When one has been displaced the other waits.
    let mut displaced = None;
    assert!(wait_until(|| {
        displaced = two.iter().position(has_answer);
        displaced.is_some()
    }));
    let mut receiving = &two[1 - displaced.expect("one of two")];
    assert!(site.router.stop().success());
    let mut answer = String::new();
    receiving.read_to_string(&mut answer).expect("an answer, and the end");
    assert!(answer.contains("[6,{") && answer.contains("wamp.close.system_shutdown"), "{answer}");
    assert_eq!(idle.read(&mut [0; 1]).expect("the end"), 0);
}

fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let is_there = stream.peek(&mut [0; 1]).is_ok();
    stream.set_nonblocking(false).expect("set");
    is_there
}
