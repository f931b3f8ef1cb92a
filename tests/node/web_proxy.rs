//! Requests and WebSockets that another server answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossring::client::{Client, Destination};
use crossring::tls::ClientSettings;
use crossring_codec::serializer::{Serializer, SerializerId};
use serde_json::{Value, json};

use super::support::{PATIENCE, free_port, wait_until};
use super::web::{Answer, Site, UPGRADE, again_with_epoll, ask, read_answer};

/// A server that does what a test says with each of its connections.
struct Upstream {
    at: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let at = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
        // They end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { at, connections }
    }

    /// Answers each request with its head and its body.
    fn echo() -> Self {
        Self::start(|mut stream| {
            while let Some((head, body)) = read_request(&mut stream) {
                let size = head.len() + body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nX-Own: 1\r\nContent-Length: {size}\r\n\r\n{head}"
                );
                if stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers each request with these octets and closes.
    fn saying(answer: &'static str) -> Self {
        Self::start(move |mut stream| {
            read_request(&mut stream);
            // The proxy may have gone.
            let _ = stream.write_all(answer.as_bytes());
        })
    }

    fn service(&self) -> Value {
        json!({"type": "reverseproxy", "host": "127.0.0.1", "port": self.at.port()})
    }
}

/// The head, and the body without what frames it.
fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let head = read_head(stream)?;
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        line.split_once(": ").map(|(_, value)| value.to_owned())
    };
    let mut body = Vec::new();
    if let Some(size) = field("content-length") {
        body.resize(size.parse().ok()?, 0);
        stream.read_exact(&mut body).ok()?;
    } else if field("transfer-encoding").is_some() {
        loop {
            let line = read_until(stream, b"\r\n")?;
            let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Some((head, body))
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    read_until(stream, b"\r\n\r\n")
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Option<String> {
    let mut octets = Vec::new();
    while !octets.ends_with(end) {
        let mut octet = [0];
        stream.read_exact(&mut octet).ok()?;
        octets.push(octet[0]);
    }
    String::from_utf8(octets).ok()
}

fn site(paths: &Value) -> Site {
    Site::start(paths, &json!({}), |_| {})
}

#[test]
fn the_server_is_told_what_it_needs_and_nothing_of_neighbours() {
    let upstream = Upstream::echo();
    let mut below = upstream.service();
    below["path"] = json!("/inner/");
    below["forwarded_proto"] = json!("https");
    below["forwarded_port"] = json!(443);
    let site = site(&json!({"/": upstream.service(), "app": below}));
    let fields = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nTE: trailers\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n";
    let told = site.ask("GET /a%20b?x=1", fields);
    assert_eq!((told.status, told.field("x-own"), told.field("keep-alive")), (200, Some("1"), None));
    let text = told.text().to_ascii_lowercase();
    let port = site.at.port();
    for line in [
        "get /a%20b?x=1 http/1.1".to_owned(),
        format!("host: {}", upstream.at),
        "x-forwarded-host: localhost".to_owned(),
        "x-forwarded-for: 10.0.0.1, 127.0.0.1".to_owned(),
        "x-real-ip: 127.0.0.1".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        "x-forwarded-port: 80".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text} (port {port})");
    }
    for gone in ["te:", "connection:", "x-hop:"] {
        assert!(!text.lines().any(|line| line.starts_with(gone)), "{gone} in {text}");
    }
    let below = site.ask("GET /app/x?y", "").text();
    assert!(below.starts_with("GET /inner/x?y HTTP/1.1"), "{below}");
    assert!(below.contains("x-forwarded-proto: https") && below.contains("x-forwarded-port: 443"), "{below}");
    assert!(site.ask("GET /app", "").text().starts_with("GET /inner HTTP/1.1"));
    assert_eq!(site.ask("GET /app/%2e%2e/secret", "").status, 400);
    assert_eq!(site.ask("CONNECT elsewhere:80", "").status, 405);
    assert_eq!(site.ask("DELETE /app/x", "").text().split(' ').next(), Some("DELETE"));
}

#[test]
fn connections_are_kept_for_the_next_request() {
    let upstream = Upstream::echo();
    let site = site(&json!({"/": upstream.service()}));
    let mut stream = site.connect();
    for _ in 0..20 {
        assert_eq!(ask(&mut stream, "GET /", "").status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::Relaxed), 1);
    // Servers close connections when they like.
    let fickle = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let site = self::site(&json!({"/": fickle.service()}));
    for _ in 0..20 {
        assert_eq!(site.ask("GET /", "").text(), "ok");
    }
}

#[test]
fn bodies_stream_both_ways() {
    let upstream = Upstream::echo();
    let site = site(&json!({"/": upstream.service()}));
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let mut stream = site.connect();
    let mut sender = stream.try_clone().expect("a clone");
    let chunks = large.clone();
    let sending = thread::spawn(move || {
        write!(sender, "PUT /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("sent");
        for chunk in chunks.chunks(70_000) {
            write!(sender, "{:x}\r\n", chunk.len()).expect("sent");
            sender.write_all(chunk).expect("sent");
            sender.write_all(b"\r\n").expect("sent");
        }
        sender.write_all(b"0\r\n\r\n").expect("sent");
    });
    let answer = read_answer(&mut stream, "PUT");
    sending.join().expect("it was sent");
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with(&large), "{} octets", answer.body.len());
}

#[test]
fn a_slow_reader_slows_the_server_down() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let upstream = Upstream::start(move |mut stream| {
        read_request(&mut stream);
        let mut octets = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
        let chunk = [b'x'; 64 * 1024];
        while stream.write_all(octets).is_ok() {
            count.fetch_add(octets.len(), Ordering::Relaxed);
            octets = &chunk;
        }
    });
    let site = site(&json!({"/": upstream.service(), "info": {"type": "nodeinfo"}}));
    let mut stream = site.connect();
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut last = (0, Instant::now());
    let has_stopped = wait_until(|| {
        let count = written.load(Ordering::Relaxed);
        if count != last.0 {
            last = (count, Instant::now());
        }
        count > 0 && last.1.elapsed() > Duration::from_millis(300)
    });
    // Buffers of two connections, and a window between.
    assert!(has_stopped && last.0 < 64 << 20, "{} octets", last.0);
    drop(stream);
    assert_eq!(site.ask("GET /info", "").status, 200);
}

#[test]
fn servers_that_fail_are_told_from_those_that_are_silent() {
    let garbage = Upstream::saying("what?\r\n\r\n");
    let short = Upstream::saying("");
    let silent = Upstream::start(|mut stream| while read_request(&mut stream).is_some() {});
    let mut hushed = silent.service();
    hushed["timeout"] = json!(1);
    let nobody = json!({"type": "reverseproxy", "host": "127.0.0.1", "port": free_port()});
    let site = site(
        &json!({"none": nobody, "garbage": garbage.service(), "short": short.service(), "silent": hushed}),
    );
    for (path, status) in [("none", 502), ("garbage", 502), ("short", 502), ("silent", 504)] {
        let answer = site.ask(&format!("GET /{path}"), "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{path}");
    }
    assert!(site.router.log().contains("does not answer"), "said in the log");
}

#[test]
fn requests_beyond_the_connections_are_turned_away() {
    let silent = Upstream::start(|mut stream| while read_request(&mut stream).is_some() {});
    let mut service = silent.service();
    service["max_connections"] = json!(1);
    let site = site(&json!({"/": service}));
    let mut held: Vec<TcpStream> = (0..2).map(|_| site.connect()).collect();
    for stream in &mut held {
        write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    }
    // One is asked for, one waits.
    let mut answer = None;
    assert!(wait_until(|| {
        let mut stream = site.connect();
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut octets = [0; 12];
        answer = stream.read_exact(&mut octets).is_ok().then_some(octets);
        // It may have come before the second one and waits in its place.
        held.push(stream);
        answer.is_some()
    }));
    assert_eq!(answer.as_ref(), Some(b"HTTP/1.1 503"));
    // The server may not have looked yet.
    assert!(wait_until(|| silent.connections.load(Ordering::Relaxed) > 0));
    assert_eq!(silent.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn redirections_of_the_server_lead_back() {
    let port = free_port();
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/inner/x\r\nContent-Length: 0\r\n\r\n"
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            read_request(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let site =
        site(&json!({"app": {"type": "reverseproxy", "host": "127.0.0.1", "port": port, "path": "/inner"}}));
    assert_eq!(site.ask("GET /app/y", "").field("location"), Some("/app/x"));
}

#[test]
fn websockets_are_relayed_octet_by_octet() {
    let upstream = Upstream::start(|mut stream| {
        let Some(head) = read_head(&mut stream) else { return };
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("sent");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut reader = stream.try_clone().expect("a clone");
        let _ = std::io::copy(&mut reader, &mut stream);
    });
    let backend = json!({
        "type": "websocket",
        "url": "ws://inner/chat?x=1",
        "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": upstream.at.port()}
    });
    let only = json!({"type": "websocket-reverseproxy", "backend": backend, "options": {"allowed_origins": ["http://good"]}});
    let site = site(&json!({"/": upstream.service(), "only": only}));
    for (path, line) in [("/chat?y", "GET /chat?y HTTP/1.1"), ("/only", "GET /chat?x=1 HTTP/1.1")] {
        let mut stream = site.connect();
        // What follows the handshake at once is not lost.
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\nearly").expect("sent");
        let opened = read_answer(&mut stream, "GET");
        assert_eq!((opened.status, opened.field("upgrade")), (101, Some("websocket")), "{path}");
        assert_eq!(opened.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let told = read_head(&mut stream).expect("the head");
        assert!(told.starts_with(line), "{told}");
        assert!(
            told.contains("sec-websocket-protocol: wamp.2.json") && told.contains("upgrade: websocket"),
            "{told}"
        );
        let mut early = [0; 5];
        stream.read_exact(&mut early).expect("an echo");
        assert_eq!(&early, b"early");
        echo_much(&stream);
    }
    assert_eq!(site.ask("GET /only", "").status, 426);
    assert_eq!(site.ask("GET /only", &format!("Origin: http://bad\r\n{UPGRADE}")).status, 403);
    assert_eq!(site.ask("GET /only", &format!("Origin: http://good\r\n{UPGRADE}")).status, 101);
}

/// More than all windows hold, there and back.
fn echo_much(stream: &TcpStream) {
    let large: Vec<u8> = (0..4_000_000_u32).map(|index| (index % 249) as u8).collect();
    let (mut reader, mut writer) =
        (stream.try_clone().expect("a clone"), stream.try_clone().expect("a clone"));
    let octets = large.clone();
    let sending = thread::spawn(move || writer.write_all(&octets).expect("sent"));
    let mut back = vec![0; large.len()];
    reader.read_exact(&mut back).expect("an echo");
    sending.join().expect("it was sent");
    assert!(back == large);
}

#[test]
fn a_tunnel_through_which_nothing_passes_is_closed() {
    let upstream = Upstream::start(|mut stream| {
        read_head(&mut stream);
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("sent");
        let mut reader = stream.try_clone().expect("a clone");
        let _ = std::io::copy(&mut reader, &mut stream);
    });
    let with = |idle_timeout: u32| {
        let mut service = upstream.service();
        service["idle_timeout"] = json!(idle_timeout);
        service
    };
    let backend = json!({"type": "websocket", "url": "ws://inner/",
        "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": upstream.at.port()}});
    let only = json!({"type": "websocket-reverseproxy", "backend": backend, "idle_timeout": 3});
    let site = site(&json!({"/": with(3), "only": only, "patient": with(0)}));
    let mut patient = site.connect();
    assert_eq!(ask(&mut patient, "GET /patient", UPGRADE).status, 101);
    for path in ["/", "/only"] {
        let mut stream = site.connect();
        assert_eq!(ask(&mut stream, &format!("GET {path}"), UPGRADE).status, 101);
        // What passes keeps it open beyond its time.
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        assert!(stream.read(&mut [0; 1]).is_err(), "open, and nothing comes");
        let last = Instant::now();
        stream.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0]).expect("an echo");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0);
        assert!(last.elapsed() >= Duration::from_millis(2_900), "{:?}", last.elapsed());
    }
    let notice = format!(
        "server {}: a WebSocket is closed through which nothing has passed for 3 s (idle_timeout)",
        upstream.at
    );
    assert!(wait_until(|| site.router.log().matches(&notice).count() == 2), "{}", site.router.log());
    patient.write_all(b"x").expect("sent");
    patient.read_exact(&mut [0]).expect("an echo");
}

#[test]
fn the_end_of_one_side_of_a_tunnel_is_that_of_the_other() {
    let (sender, ended) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |mut stream| {
        read_head(&mut stream);
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("sent");
        let mut octets = [0; 1];
        match stream.read(&mut octets) {
            Ok(1) => {}
            _ => sender.send(()).expect("the test listens"),
        }
    });
    let site = site(&json!({"/": upstream.service()}));
    let mut stream = site.connect();
    assert_eq!(ask(&mut stream, "GET /", UPGRADE).status, 101);
    drop(stream);
    ended.recv_timeout(PATIENCE).expect("the server hears of the end");
    let mut stream = site.connect();
    assert_eq!(ask(&mut stream, "GET /", UPGRADE).status, 101);
    stream.write_all(b"x").expect("sent");
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0);
}

#[test]
fn wamp_goes_through_proxies_with_and_without_tls() {
    let port = free_port();
    let secured = free_port();
    let tls = json!({"hostname": "localhost", "ca_certificates": ["cert.pem"]});
    let paths = json!({
        "ws": {"type": "websocket"},
        "info": {"type": "nodeinfo"},
        "back": {"type": "reverseproxy", "host": "127.0.0.1", "port": port},
        "safe": {"type": "reverseproxy", "host": "127.0.0.1", "port": secured, "tls": tls},
        "only": {"type": "websocket-reverseproxy", "backend": {
            "type": "websocket", "url": "wss://localhost/ws",
            "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": secured, "tls": tls}
        }}
    });
    let behind = json!({
        "type": "web",
        "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": secured, "tls": {"key": "key.pem", "certificate": "cert.pem"}},
        "paths": {"ws": {"type": "websocket"}, "info": {"type": "nodeinfo"}}
    });
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let site = Site::start_at(at, &paths, &json!({}), &[behind], |directory| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(directory.join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    });
    for path in ["back/info/a.json", "safe/info/a.json"] {
        let told: Value = serde_json::from_slice(&site.ask(&format!("GET /{path}"), "").body).expect("JSON");
        assert_eq!(told["software"], "crossring", "{path}");
    }
    for path in ["ws", "back/ws", "safe/ws", "only"] {
        let to = Destination {
            url: format!("ws://{at}/{path}").parse().expect("a URL"),
            tls: ClientSettings::default(),
            realm: "realm1".into(),
            serializer: Serializer::plain(SerializerId::Json),
            identity: None,
            timeout: PATIENCE,
        };
        assert!(Client::join(&to).is_ok(), "{path}");
    }
}

#[test]
fn http2_clients_reach_servers_that_do_not_speak_it() {
    let upstream = Upstream::echo();
    let site = site(&json!({"/": upstream.service()}));
    let answer = ask_http2(site.at, vec![b'x'; 300_000]);
    let text = answer.text();
    assert!(answer.status == 200 && text.starts_with("POST /h2?q HTTP/1.1"), "{}", answer.head);
    assert!(text.contains("x-forwarded-host: outer:81\r\n") && text.contains("x-forwarded-port: 81\r\n"));
    assert!(text.contains("cookie: a=1; b=2\r\n") && answer.body.ends_with(&[b'x'; 300_000]));
}

#[test]
fn http2_connections_that_stand_still_are_closed() {
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let paths = json!({"/": {"type": "static", "directory": "."}});
    let site = Site::start(&paths, &json!({"client_timeout": 1}), |directory| {
        std::fs::write(directory.join("large.bin"), vec![0; 400_000]).expect("a file");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // One that asks for nothing, and one that asks for much and takes an octet of each.
    for count in [0, 50] {
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(site.at).await.expect("it listens");
            let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(1);
            let handshake = builder.handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.expect("HTTP/2");
            let connection = tokio::spawn(connection);
            let mut answers = Vec::new();
            for _ in 0..count {
                let request = hyper::Request::get("http://localhost/large.bin");
                let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
                answers.push(sender.send_request(request).await.expect("an answer"));
            }
            let ended = tokio::time::timeout(PATIENCE, connection).await;
            // How it ends is not the point.
            let _ = ended.expect("the server closes it").expect("no panic");
        });
    }
}

/// One request over HTTP/2 by prior knowledge.
fn ask_http2(at: SocketAddr, body: Vec<u8>) -> Answer {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(at).await.expect("it listens");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let request =
            hyper::Request::post("http://outer:81/h2?q").header("cookie", "a=1").header("cookie", "b=2");
        let request = request.body(Full::new(bytes::Bytes::from(body))).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let (status, head) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let body = answer.into_body().collect().await.expect("a body").to_bytes().to_vec();
        Answer { status, head, body }
    })
}

#[test]
fn proxies_work_with_epoll_too() {
    again_with_epoll(&[
        the_server_is_told_what_it_needs_and_nothing_of_neighbours,
        connections_are_kept_for_the_next_request,
        bodies_stream_both_ways,
        a_slow_reader_slows_the_server_down,
        servers_that_fail_are_told_from_those_that_are_silent,
        requests_beyond_the_connections_are_turned_away,
        redirections_of_the_server_lead_back,
        websockets_are_relayed_octet_by_octet,
        a_tunnel_through_which_nothing_passes_is_closed,
        the_end_of_one_side_of_a_tunnel_is_that_of_the_other,
        wamp_goes_through_proxies_with_and_without_tls,
        http2_clients_reach_servers_that_do_not_speak_it,
        http2_connections_that_stand_still_are_closed,
    ]);
}
