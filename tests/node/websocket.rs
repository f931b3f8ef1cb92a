//! WebSocket and stream transports of a running node as bare sockets see them: bombs, long messages, keep-alive, echoes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::support::{Address, PATIENCE, Router, bomb, free_port};
use super::{Node, raw, start_command};

const HELLO: &[u8] = br#"[1,"realm1",{"roles":{"caller":{}}}]"#;

/// The bit of compressed messages.
const COMPRESSED: u8 = 0x40;

/// A WebSocket connection behind its handshake.
fn upgraded(node: &Node) -> TcpStream {
    let mut stream = raw(node.websocket);
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: wamp.2.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("connected");
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).expect("connected");
        head.extend_from_slice(&octet);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Sends a frame of at most 65,535 octets, masked with zeros.
fn send(stream: &mut TcpStream, first: u8, payload: &[u8]) {
    let mut frame = vec![first, 0x80 | 126];
    frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    if payload.len() < 126 {
        frame = vec![first, 0x80 | payload.len() as u8];
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    stream.write_all(&frame).expect("connected");
}

/// The next frame: its first octet and its payload.
fn receive(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).expect("a length");
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).expect("a payload");
    (head[0], payload)
}

/// The code of the close frame that comes next but for WAMP messages, after which the connection ends.
fn closing_code(mut stream: TcpStream) -> u16 {
    loop {
        let (first, payload) = receive(&mut stream);
        if first == 0x88 {
            send(&mut stream, 0x88, &payload[..2]);
            assert_eq!(stream.read_to_end(&mut Vec::new()).expect("an orderly end"), 0);
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
        assert_eq!(first & !COMPRESSED, 0x81);
    }
}

#[test]
fn a_bomb_is_answered_with_code_1009_before_and_after_joining() {
    let deflate = json!({"compression": {"deflate": {"max_inflate_ratio": 100}}});
    let node = Node::start(json!({"shards": 1}), deflate);
    let mut stream = upgraded(&node);
    send(&mut stream, 0xc1, &bomb());
    assert_eq!(closing_code(stream), 1009);
    let mut stream = upgraded(&node);
    send(&mut stream, 0x81, HELLO);
    assert_eq!(receive(&mut stream).0, 0x81 | COMPRESSED, "WELCOME");
    send(&mut stream, 0xc1, &bomb());
    assert_eq!(closing_code(stream), 1009);
    assert!(node.router.stop().success());
}

#[test]
fn a_long_message_is_answered_with_code_1009() {
    let limits = json!({"max_message_size": 1_000, "max_frame_size": 500});
    let node = Node::start(json!({"shards": 1}), limits);
    for (first, count) in [(0x81, 501), (0x01, 499)] {
        let mut stream = upgraded(&node);
        send(&mut stream, 0x81, HELLO);
        assert!(receive(&mut stream).1.starts_with(b"[2,"));
        send(&mut stream, first, &vec![b' '; count]);
        if first == 0x01 {
            // The message is too long, none of its frames is.
            (0..2).for_each(|_| send(&mut stream, 0, &vec![b' '; count]));
        }
        assert_eq!(closing_code(stream), 1009);
    }
    assert!(node.router.stop().success());
}

#[test]
fn a_message_nested_too_deep_is_answered_with_code_1002() {
    let node = Node::start(json!({"shards": 1}), json!({"max_nesting_depth": 6}));
    let mut stream = upgraded(&node);
    send(&mut stream, 0x81, HELLO);
    assert!(receive(&mut stream).1.starts_with(b"[2,"));
    send(&mut stream, 0x81, br#"[48,1,{},"com.example.deep",[[[[[]]]]]]"#);
    assert!(receive(&mut stream).1.starts_with(b"[8,48,1,"), "as deep as it may be");
    send(&mut stream, 0x81, br#"[48,2,{},"com.example.deep",[],{"a":[[[[{}]]]]}]"#);
    let (_, abort) = receive(&mut stream);
    let abort = String::from_utf8_lossy(&abort);
    assert!(abort.starts_with("[3,") && abort.contains("nested too deep"), "{abort}");
    assert_eq!(closing_code(stream), 1002);
    assert!(node.router.stop().success());
}

#[test]
fn keep_alive_asks_who_is_silent_and_keeps_who_answers() {
    let options = json!({"auto_ping_interval": 1_000, "auto_ping_timeout": 1_000, "auto_ping_size": 16});
    let node = Node::start(json!({"shards": 1}), options);
    let mut stream = upgraded(&node);
    send(&mut stream, 0x81, HELLO);
    assert!(receive(&mut stream).1.starts_with(b"[2,"));
    let begun = Instant::now();
    for _ in 0..3 {
        let (first, payload) = receive(&mut stream);
        assert_eq!((first, payload.len()), (0x89, 16));
        send(&mut stream, 0x8a, &payload);
    }
    // Whoever had not answered would be gone by now.
    assert!(begun.elapsed() >= Duration::from_millis(2_500), "{:?}", begun.elapsed());
    assert!(node.router.stop().success());
}

#[test]
fn a_stream_testee_sends_everything_back() {
    let directory = TempDir::new().expect("a directory");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let document = json!({"version": 2, "controller": {"options": {"shards": 2}}, "workers": [{
        "type": "router", "realms": [], "transports": [
            {"type": "stream.testee", "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": at.port()}}
        ]
    }]});
    std::fs::write(directory.path().join("config.json"), document.to_string()).expect("a file");
    let log = directory.path().join("log");
    let router = Router::start(start_command(&directory, "config.json"), log, &[Address::Tcp(at)]);
    let sent: Vec<u8> = (0..300_000_u32).map(|index| ((index * 7) >> 3) as u8).collect();
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut writer = stream.try_clone().expect("a socket");
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).expect("connected");
        sent
    });
    let mut received = vec![0; 300_000];
    stream.read_exact(&mut received).expect("an echo");
    assert!(received == sender.join().expect("no panic"), "not what was sent");
    stream.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(stream.read_to_end(&mut Vec::new()).expect("an orderly end"), 0);
    assert!(router.stop().success());
}
