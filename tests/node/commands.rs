//! `pub`, `sub`, `call` and `register` of the real binary against a running node, with a client of ours at the other end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use crossring_codec::id::{PublicationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallOptions, CancelMode, Features, Message, RegisterOptions, RouterRoles, SubscribeOptions,
    WelcomeDetails, YieldOptions, decode::decode, encode::encode,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;
use crossring_router::client::ClientEvent;
use serde_json::json;

use super::support::{PATIENCE, Program};
use super::{Client, Node};

const PROCEDURE: &str = "com.example.procedure";
const TOPIC: &str = "com.example.topic";

impl Node {
    /// A client command on this node.
    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        let url = format!("rs://127.0.0.1:{}", self.rawsocket.port());
        command.args(line).args(["--url", &url, "--serializer", "cbor"]);
        command
    }

    pub(super) fn run(&self, line: &[&str]) -> Output {
        self.command(line).stdin(Stdio::null()).output().expect("the binary starts")
    }
}

fn node() -> Node {
    Node::start(json!({"shards": 2}), json!({}))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn parsed(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("JSON")
}

fn values(values: &[Value]) -> Payload<'static> {
    Payload::from_values(SerializerId::MessagePack, values, &Vec::new())
}

fn next(client: &mut Client) -> ClientEvent<'static> {
    client.next(Some(PATIENCE)).expect("an event")
}

/// A callee of [`PROCEDURE`].
fn callee(node: &Node) -> Client {
    let mut client = node.join();
    let request = client.session.register(PROCEDURE, RegisterOptions::default()).expect("joined");
    client.send(&request.message).expect("connected");
    assert!(matches!(next(&mut client), ClientEvent::Registered { .. }));
    client
}

fn subscriber(node: &Node) -> Client {
    let mut client = node.join();
    let request = client.session.subscribe(TOPIC, SubscribeOptions::default()).expect("joined");
    client.send(&request.message).expect("connected");
    assert!(matches!(next(&mut client), ClientEvent::Subscribed { .. }));
    client
}

fn invoked(callee: &mut Client) -> RequestId {
    match next(callee) {
        ClientEvent::Invocation { request, .. } => request,
        event => panic!("{event:?}"),
    }
}

/// Calls until somebody has registered.
fn call_when_registered(client: &mut Client, options: &CallOptions<'static>) -> Vec<ClientEvent<'static>> {
    let mut events = Vec::new();
    loop {
        let request = client.session.call(PROCEDURE, options.clone(), values(&["a".into()])).expect("joined");
        client.send(&request.message).expect("connected");
        loop {
            events.push(next(client));
            match events.last() {
                Some(ClientEvent::Result { details, .. }) if details.progress => {}
                Some(ClientEvent::Error { error, .. }) if error == "wamp.error.no_such_procedure" => break,
                _ => return events.split_off(events.iter().position(is_answer).unwrap_or_default()),
            }
        }
    }
}

fn is_answer(event: &ClientEvent<'_>) -> bool {
    !matches!(event, ClientEvent::Error { error, .. } if error == "wamp.error.no_such_procedure")
}

#[test]
fn a_call_asks_for_what_its_options_say_and_prints_every_result() {
    let node = node();
    let mut callee = callee(&node);
    let line = ["call", PROCEDURE, "7", "--progress", "--disclose-me", "--transaction-hash", "0x1"];
    let mut program = Program::start(node.command(&line));
    let ClientEvent::Invocation { request, details, payload, .. } = next(&mut callee) else {
        panic!("no call")
    };
    assert!(details.receive_progress && details.caller.is_some());
    assert_eq!(details.extra.and_then(|extra| extra.transaction_hash).as_deref(), Some("0x1"));
    assert_eq!(payload.arguments(), Ok(vec![Value::Integer(7)]));
    for (progress, word) in [(true, "partial"), (false, "final")] {
        let options = YieldOptions { progress, ..YieldOptions::default() };
        let message = callee.session.yield_result(request, options, values(&[word.into()])).expect("running");
        callee.send(&message).expect("connected");
        let line = parsed(&program.line());
        assert_eq!((&line["progress"], &line["args"]), (&json!(progress), &json!([word])));
    }
    assert!(program.finish(PATIENCE).status.success());
}

#[test]
fn a_call_is_cancelled_when_its_time_is_over() {
    let node = node();
    let mut callee = callee(&node);
    let program = Program::start(node.command(&["call", PROCEDURE, "--cancel-after", "1", "--mode", "kill"]));
    let request = invoked(&mut callee);
    let interrupt = next(&mut callee);
    assert!(matches!(interrupt, ClientEvent::Interrupt { mode: CancelMode::Kill, .. }), "{interrupt:?}");
    let message = callee.session.yield_error(request, "com.example.stopped", Payload::EMPTY).expect("owed");
    callee.send(&message).expect("connected");
    let ended = program.finish(PATIENCE);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.errors.contains("com.example.stopped"), "{}", ended.errors);

    let program = Program::start(node.command(&["call", PROCEDURE, "--call-timeout", "1"]));
    invoked(&mut callee);
    let ended = program.finish(PATIENCE);
    assert!(ended.errors.contains("wamp.error.timeout"), "{}", ended.errors);
    assert!(matches!(next(&mut callee), ClientEvent::Interrupt { mode: CancelMode::KillNoWait, .. }));
}

#[test]
fn what_the_router_does_not_offer_is_an_error() {
    let node = node();
    let output = node.run(&["call", PROCEDURE, "--rkey", "a", "--runmode", "partition"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("does not offer sharded_registration"), "{}", errors(&output));
    let output = node.run(&["pub", TOPIC, "--ppt-scheme", "unlisted"]);
    assert!(errors(&output).contains("option ppt_scheme: wamp, mqtt or x_"), "{}", errors(&output));
}

#[test]
fn an_event_goes_to_whom_its_lists_name() {
    let node = node();
    let [mut one, mut other] = [subscriber(&node), subscriber(&node)];
    let [one_id, other_id] = [&one, &other].map(|client| client.session.session().expect("joined"));
    let only = ["pub", TOPIC, "1", "--acknowledge", "--disclose-me", "--eligible", &one_id.to_string()];
    let output = node.run(&only);
    let line = parsed(&String::from_utf8_lossy(&output.stdout));
    assert!(line["publication"].is_u64(), "{line}");
    let both = format!("{other_id},{one_id}");
    assert!(node.run(&["pub", TOPIC, "2", "--exclude", &both]).status.success());
    assert!(node.run(&["pub", TOPIC, "3", "--exclude-authrole", "nobody"]).status.success());
    let ClientEvent::Event { details, payload, .. } = next(&mut one) else { panic!("no event") };
    assert!(details.publisher.is_some());
    assert_eq!(payload.arguments(), Ok(vec![Value::Integer(1)]));
    for client in [&mut one, &mut other] {
        let ClientEvent::Event { details, payload, .. } = next(client) else { panic!("no event") };
        assert_eq!(details.publisher, None);
        assert_eq!(payload.arguments(), Ok(vec![Value::Integer(3)]));
    }
}

#[test]
fn a_callee_sends_progress_to_those_who_want_it() {
    let node = node();
    let line = ["register", PROCEDURE, "--progress", "2", "--count", "2", "--disclose-caller"];
    let mut program = Program::start(node.command(&line));
    let mut caller = node.join();
    let wanting = CallOptions { receive_progress: true, ..CallOptions::default() };
    let events = call_when_registered(&mut caller, &wanting);
    assert_eq!(events.len(), 3, "{events:?}");
    let line = parsed(&program.line());
    assert_eq!(line["caller"].as_u64(), caller.session.session().map(|session| session.get()));
    assert_eq!(line["args"], json!(["a"]));
    assert_eq!(call_when_registered(&mut caller, &CallOptions::default()).len(), 1);
    assert!(program.finish(PATIENCE).status.success());
}

#[test]
fn a_callee_answers_with_errors_and_minds_timeouts() {
    let node = node();
    let mut caller = node.join();
    let program =
        Program::start(node.command(&["register", PROCEDURE, "--error", "com.example.no", "--count", "1"]));
    let events = call_when_registered(&mut caller, &CallOptions::default());
    let [ClientEvent::Error { error, payload, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&**error, payload.arguments()), ("com.example.no", Ok(vec!["a".into()])));
    assert!(program.finish(PATIENCE).status.success());

    let line = ["register", PROCEDURE, "--forward-timeout", "--delay", "60000", "--count", "1"];
    let mut program = Program::start(node.command(&line));
    // Long enough for a call that has to wait for REGISTERED: while it waits, the router minds the time.
    let impatient = CallOptions { timeout_ms: 500, ..CallOptions::default() };
    let events = call_when_registered(&mut caller, &impatient);
    assert!(
        matches!(&events[..], [ClientEvent::Error { error, .. }] if error == "wamp.error.timeout"),
        "{events:?}"
    );
    assert_eq!(parsed(&program.line())["timeout"], 500, "the callee was told");
    assert!(program.finish(PATIENCE).status.success());
}

#[test]
fn an_interrupted_callee_says_so() {
    let node = node();
    let line = ["register", PROCEDURE, "--progress", "1", "--delay", "60000", "--count", "1"];
    let mut program = Program::start(node.command(&line));
    let mut caller = node.join();
    let request = loop {
        let options = CallOptions { receive_progress: true, ..CallOptions::default() };
        let request = caller.session.call(PROCEDURE, options, Payload::EMPTY).expect("joined");
        caller.send(&request.message).expect("connected");
        if matches!(next(&mut caller), ClientEvent::Result { .. }) {
            break request.id;
        }
    };
    let cancel = caller.session.cancel(request, CancelMode::KillNoWait).expect("outstanding");
    caller.send(&cancel).expect("connected");
    assert_eq!(parsed(&program.line())["procedure"], PROCEDURE);
    let line = parsed(&program.line());
    assert_eq!((&line["interrupt"], &line["reason"]), (&json!("killnowait"), &json!("wamp.error.canceled")));
    assert!(program.finish(PATIENCE).status.success());
}

#[test]
fn wrapped_arguments_are_unwrapped_at_the_other_end() {
    let node = node();
    let mut subscriber = subscriber(&node);
    let wrapped = ["--ppt-scheme", "x_example", "--ppt-serializer", "json"];
    assert!(
        node.run(&[&["pub", TOPIC, "1", "--kwargs", "{\"b\": 2}"], &wrapped[..]].concat()).status.success()
    );
    let ClientEvent::Event { details, payload, .. } = next(&mut subscriber) else { panic!("no event") };
    let keys = details.extra.expect("passthru keys").passthru;
    assert_eq!(keys.ppt_scheme.as_deref(), Some("x_example"));
    let octets = br#"{"args":[1],"kwargs":{"b":2}}"#.to_vec();
    assert_eq!(payload.arguments(), Ok(vec![Value::Binary(octets)]));

    let mut echo = Program::start(node.command(&["register", PROCEDURE, "--count", "1"]));
    let line = [&["call", PROCEDURE, "1"], &wrapped[..]].concat();
    let mut output = node.run(&line);
    while errors(&output).contains("no_such_procedure") {
        output = node.run(&line);
    }
    for line in [parsed(&echo.line()), parsed(&String::from_utf8_lossy(&output.stdout))] {
        assert_eq!((&line["ppt_scheme"], &line["args"]), (&json!("x_example"), &json!([1])), "{line}");
    }
    assert!(echo.finish(PATIENCE).status.success());
}

#[test]
fn a_call_has_as_many_parts_as_the_input_has_lines() {
    let node = node();
    let mut callee = callee(&node);
    let mut command = node.command(&["call", PROCEDURE, "0", "--stream", "--progress"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().expect("the binary starts");
    let mut input = program.stdin.take().expect("a pipe");
    input.write_all(b"1\n[2, 3]\nfour").expect("the program reads");
    drop(input);
    let mut parts = Vec::new();
    let request = loop {
        let ClientEvent::Invocation { request, details, payload, .. } = next(&mut callee) else {
            panic!("no part")
        };
        parts.push(payload.arguments().expect("a list"));
        if !details.progress {
            break request;
        }
        let options = YieldOptions { progress: true, ..YieldOptions::default() };
        let message = callee.session.yield_result(request, options, payload).expect("running");
        callee.send(&message).expect("connected");
    };
    let integer = |number| Value::Integer(number);
    assert_eq!(
        parts,
        [vec![integer(0)], vec![integer(1)], vec![integer(2), integer(3)], vec!["four".into()], vec![]]
    );
    let message = callee.session.yield_result(request, YieldOptions::default(), Payload::EMPTY);
    callee.send(&message.expect("running")).expect("connected");
    let output = program.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", errors(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let args: Vec<_> = printed.lines().map(|line| parsed(line)["args"].clone()).collect();
    assert_eq!(args, [json!([0]), json!([1]), json!([2, 3]), json!(["four"]), json!([])]);
}

#[test]
fn a_testament_is_published_when_the_program_is_killed() {
    let node = node();
    let mut subscriber = subscriber(&node);
    let mut caller = node.join();
    let line = ["register", PROCEDURE, "--testament", TOPIC];
    let mut left = Program::start(node.command(&[&line[..], &["--count", "1"]].concat()));
    assert_eq!(call_when_registered(&mut caller, &CallOptions::default()).len(), 1);
    left.line();
    assert!(left.finish(PATIENCE).status.success(), "it takes its testament back");
    let mut killed = Program::start(node.command(&line));
    assert_eq!(call_when_registered(&mut caller, &CallOptions::default()).len(), 1);
    killed.line();
    drop(killed);
    assert!(matches!(next(&mut subscriber), ClientEvent::Event { .. }));
    assert!(node.run(&["pub", TOPIC, "last"]).status.success());
    let ClientEvent::Event { payload, .. } = next(&mut subscriber) else { panic!("no event") };
    assert_eq!(payload.arguments(), Ok(vec!["last".into()]), "only one testament was published");
}

/// A router that says what a test tells it to, over RawSocket in CBOR.
struct Scripted(TcpStream);

impl Scripted {
    fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is settable");
        let mut handshake = [0; 4];
        stream.read_exact(&mut handshake).expect("a handshake");
        assert_eq!((handshake[0], handshake[1] & 0x0f), (0x7f, 3), "RawSocket in CBOR");
        stream.write_all(&[0x7f, 0xf3, 0, 0]).expect("connected");
        Scripted(stream)
    }

    fn receive(&mut self) -> Message<'static> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).expect("a frame");
        let mut octets = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut octets).expect("a frame");
        decode(SerializerId::Cbor, &octets).expect("a message").into_owned()
    }

    fn send(&mut self, message: &Message<'_>) {
        let mut octets = Vec::new();
        encode(SerializerId::Cbor, message, &mut octets).expect("encodable");
        let header = u32::try_from(octets.len()).expect("short").to_be_bytes();
        self.0.write_all(&[&header[..], &octets].concat()).expect("connected");
    }

    fn welcome(&mut self, resumed: bool, token: &'static str) {
        let details = WelcomeDetails {
            roles: RouterRoles { broker: Some(Features::default()), dealer: None },
            resumed,
            resumable: true,
            resume_token: Some(token.into()),
            ..WelcomeDetails::default()
        };
        self.send(&Message::Welcome { session: SessionId::from_random(5), details: Box::new(details) });
    }

    fn event(&mut self, number: u64) {
        let (subscription, details) = (SubscriptionId::from_random(9), Default::default());
        let payload = Payload::from_values(SerializerId::Cbor, &[number.into()], &Vec::new());
        let publication = PublicationId::from_random(number);
        self.send(&Message::Event { subscription, publication, details, payload });
    }
}

#[test]
fn a_subscriber_goes_on_after_a_lost_transport() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    let url = format!("rs://{}", listener.local_addr().expect("bound"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.args(["sub", TOPIC, "--resumable", "--count", "2", "--serializer", "cbor", "--url", &url]);
    let mut program = Program::start(command);
    let mut router = Scripted::accept(&listener);
    let Message::Hello { details, .. } = router.receive() else { panic!("no HELLO") };
    assert!(details.resumable);
    router.welcome(false, "token1");
    let Message::Subscribe { request, .. } = router.receive() else { panic!("no SUBSCRIBE") };
    router.send(&Message::Subscribed { request, subscription: SubscriptionId::from_random(9) });
    router.event(1);
    assert_eq!(parsed(&program.line())["args"], json!([1]));
    drop(router);
    let mut router = Scripted::accept(&listener);
    let Message::Hello { realm: None, details } = router.receive() else { panic!("no HELLO") };
    assert_eq!(details.resume_session, Some(SessionId::from_random(5)));
    assert_eq!(details.resume_token.as_deref(), Some("token1"));
    router.welcome(true, "token2");
    router.event(2);
    assert_eq!(parsed(&program.line())["args"], json!([2]));
    assert!(matches!(router.receive(), Message::Goodbye { .. }));
    let (details, reason) = (Default::default(), "wamp.close.goodbye_and_out".into());
    router.send(&Message::Goodbye { details, reason });
    let ended = program.finish(PATIENCE);
    assert!(ended.status.success() && ended.errors.contains("session resumed"), "{}", ended.errors);
}
