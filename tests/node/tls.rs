//! TLS of a running node: both transports, names, client certificates, versions, resumption, channel ids, peers that
//! break the rules or do nothing.

#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crossring::client::{Client, ClientError, Destination};
use crossring::tls::{ClientSettings, TLS_EXPORTER, TLS_UNIQUE, peer_certificate};
use crossring_codec::message::CallOptions;
use crossring_codec::payload::Payload;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::Value as CodecValue;
use crossring_router::client::ClientEvent;
use crossring_router::credentials::cryptosign;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, RootCertStore};
use rustls::{SignatureScheme, StreamOwned};
use serde_json::{Value, json};
use support::{Address, PATIENCE, Router, free_port, wait_until};
use tempfile::TempDir;

type Authority = CertifiedIssuer<'static, KeyPair>;
type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An authority that signs for anybody.
fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate for `host` and its key.
fn certificate(authority: &Authority, host: &str) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, host);
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, authority).expect("a certificate"), key)
}

/// Writes a certificate for `host` and its key into files of that name.
fn write_certificate(directory: &Path, authority: &Authority, host: &str) {
    let (certificate, key) = certificate(authority, host);
    std::fs::write(directory.join(format!("{host}.crt")), certificate.pem()).expect("writable");
    std::fs::write(directory.join(format!("{host}.key")), key.serialize_pem()).expect("writable");
}

struct Node {
    router: Router,
    websocket: SocketAddr,
    rawsocket: SocketAddr,
    directory: TempDir,
    authority: Authority,
}

impl Node {
    /// `tls`: settings beside a certificate for `localhost`. The files of `other.example` are there too.
    fn start(tls: Value) -> Self {
        Self::start_with("auto", tls)
    }

    fn start_with(engine: &str, tls: Value) -> Self {
        Self::start_for(authority("Servers"), engine, tls, Value::Null)
    }

    /// `auth`: of the RawSocket transport.
    fn start_for(authority: Authority, engine: &str, tls: Value, auth: Value) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for host in ["localhost", "other.example"] {
            write_certificate(directory.path(), &authority, host);
        }
        let authorities = directory.path().join("authority.crt");
        std::fs::write(authorities, authority.pem()).expect("writable");
        let [websocket, rawsocket] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let mut settings = json!({"certificate": "localhost.crt", "key": "localhost.key"});
        for (name, value) in tls.as_object().expect("an object") {
            settings[name] = value.clone();
        }
        let endpoint = |at: SocketAddr| json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port(), "tls": settings});
        let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
        let role =
            json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
        let mut document = json!({
            "version": 2,
            "controller": {"options": {"shards": 2, "engine": engine}},
            "workers": [{"type": "router", "realms": [{"name": "realm1", "roles": [role]}], "transports": [
                {"type": "websocket", "endpoint": endpoint(websocket), "options": {"open_handshake_timeout": 1000}},
                {"type": "rawsocket", "endpoint": endpoint(rawsocket)}
            ]}]
        });
        if !auth.is_null() {
            document["workers"][0]["transports"][1]["auth"] = auth;
        }
        std::fs::write(directory.path().join("config.json"), document.to_string()).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg("start").arg("--cbdir").arg(directory.path()).args(["--config", "config.json"]);
        let addresses = [Address::Tcp(websocket), Address::Tcp(rawsocket)];
        let router = Router::start(command, directory.path().join("log"), &addresses);
        Self { router, websocket, rawsocket, directory, authority }
    }

    fn client(&self) -> ClientConfig {
        client(&self.authority, &[&TLS13])
    }
}

fn builder(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    builder.with_protocol_versions(versions).expect("known versions").with_root_certificates(roots)
}

fn client(authority: &Authority, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    builder(authority, versions).with_no_client_auth()
}

fn client_with(authority: &Authority, (certificate, key): (rcgen::Certificate, KeyPair)) -> ClientConfig {
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    builder(authority, &[&TLS13]).with_client_auth_cert(chain, key).expect("they belong together")
}

fn dial(at: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let connection = ClientConnection::new(config.clone(), name).expect("valid settings");
    let socket = TcpStream::connect(at).expect("the router listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.set_nodelay(true).expect("a socket");
    StreamOwned::new(connection, socket)
}

/// RawSocket with JSON, then HELLO; returns WELCOME.
fn join(stream: &mut Stream) -> io::Result<Value> {
    hello(stream, &json!({}))
}

/// RawSocket with JSON, then HELLO with these details besides; returns the answer.
fn hello(stream: &mut Stream, more: &Value) -> io::Result<Value> {
    stream.write_all(&[0x7f, 0xf1, 0, 0])?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer[..2], [0x7f, 0xf1]);
    let mut details = json!({"roles": {"caller": {}, "publisher": {}, "subscriber": {}}});
    for (name, value) in more.as_object().expect("an object") {
        details[name] = value.clone();
    }
    send(stream, &json!([1, "realm1", details]))?;
    receive(stream)
}

fn send(stream: &mut Stream, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    stream.write_all(&(text.len() as u32).to_be_bytes())?;
    stream.write_all(text.as_bytes())
}

fn receive(stream: &mut Stream) -> io::Result<Value> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut text = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text).expect("JSON"))
}

/// What the router tells of the transport of a session that has just joined.
fn transport_of(stream: &mut Stream, welcome: &Value) -> Value {
    send(stream, &json!([48, 1, {}, "wamp.session.get", [welcome[1]]])).expect("connected");
    let mut result = receive(stream).expect("an answer");
    assert_eq!(result[0], 50, "{result}");
    result[3][0]["transport"].take()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn sessions_know_their_channel() {
    for versions in [&[&TLS13], &[&TLS12]] {
        let node = Node::start(json!({"minimum_version": "1.2"}));
        let config = Arc::new(client(&node.authority, versions));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = dial(node.rawsocket, "localhost", &config);
            let welcome = join(&mut stream).expect("everybody may join");
            let transport = transport_of(&mut stream, &welcome);
            assert_eq!(stream.conn.handshake_kind(), Some(kind), "{versions:?}");
            assert_eq!(transport["channel_type"], "tls");
            assert_eq!(transport["is_secure"], true);
            let label = b"EXPORTER-Channel-Binding";
            let exported = stream.conn.export_keying_material([0; 32], label, Some(b"")).expect("exported");
            assert_eq!(transport["channel_id"]["tls-exporter"], hexadecimal(&exported));
            assert_eq!(transport["channel_id"]["tls-unique"].as_str().expect("text").len(), 64);
            assert_ne!(transport["channel_id"]["tls-unique"], transport["channel_id"]["tls-exporter"]);
        }
    }
}

#[test]
fn large_messages_both_ways_and_an_orderly_end() {
    for engine in ["auto", "epoll"] {
        large_messages_and_an_orderly_end(&Node::start_with(engine, json!({})));
    }
}

fn large_messages_and_an_orderly_end(node: &Node) {
    let mut stream = dial(node.rawsocket, "localhost", &Arc::new(node.client()));
    join(&mut stream).expect("everybody may join");
    send(&mut stream, &json!([32, 1, {}, "com.example.large"])).expect("connected");
    assert_eq!(receive(&mut stream).expect("an answer")[0], 33);
    let text = "x".repeat(3_000_000);
    for request in 2..5 {
        let options = json!({"exclude_me": false});
        send(&mut stream, &json!([16, request, options, "com.example.large", [text]])).expect("connected");
    }
    for _ in 2..5 {
        let event = receive(&mut stream).expect("an event");
        assert_eq!((&event[0], event[4][0].as_str()), (&json!(36), Some(&*text)));
    }
    send(&mut stream, &json!([6, {}, "wamp.close.close_realm"])).expect("connected");
    assert_eq!(receive(&mut stream).expect("an answer")[0], 6);
    // Without the peer's words this would be an error, not an end.
    assert_eq!(stream.read(&mut [0; 16]).expect("an orderly end"), 0);
}

#[test]
fn the_certificate_is_for_the_host_asked_for() {
    let other = json!([{"certificate": "other.example.crt", "key": "other.example.key"}]);
    let node = Node::start(json!({"additional_certificates": other}));
    let config = Arc::new(node.client());
    for host in ["localhost", "other.example", "LOCALHOST"] {
        assert_eq!(join(&mut dial(node.rawsocket, host, &config)).expect("a certificate for it")[0], 2);
    }
    let error = join(&mut dial(node.rawsocket, "third.example", &config)).expect_err("no certificate for it");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn clients_at_the_wrong_port_are_told_what_to_try() {
    let node = Node::start(json!({}));
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let plain_port = plain.local_addr().expect("bound").port();
    // Answers whatever comes as a web server would, once.
    let server = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().expect("a client");
        assert!(stream.read(&mut [0; 1024]).expect("a greeting") > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("connected");
    });
    let authority = node.directory.path().join("authority.crt").display().to_string();
    let (tls_websocket, tls_rawsocket) = (node.websocket.port(), node.rawsocket.port());
    for (url, ca, advice) in [
        (format!("wss://localhost:{tls_websocket}/"), "", "with --ca FILE"),
        (
            format!("ws://127.0.0.1:{tls_websocket}/"),
            "",
            "(does the port speak TLS (wss://) or RawSocket (rs://)?)",
        ),
        (
            format!("rs://127.0.0.1:{tls_rawsocket}"),
            "",
            "(does the port speak TLS (rss://) or WebSocket (ws://)?)",
        ),
        (format!("wss://localhost:{plain_port}/"), &*authority, "(does the port speak TLS? Without it"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.args(["call", "com.example.procedure", "--url", &url]);
        if !ca.is_empty() {
            command.args(["--ca", ca]);
        }
        let output = command.output().expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && text.contains(advice), "{url}: {text}");
    }
    server.join().expect("no panic");
}

#[test]
fn clients_show_certificates() {
    let node = Node::start(json!({"ca_certificates": ["authority.crt"]}));
    let own = client_with(&node.authority, certificate(&node.authority, "client.example"));
    let mut stream = dial(node.rawsocket, "localhost", &Arc::new(own));
    let welcome = join(&mut stream).expect("the certificate is good");
    let shown = transport_of(&mut stream, &welcome)["peer_cert"].take();
    assert_eq!(shown["subject"]["cn"], "client.example");
    assert_eq!(shown["subject"]["o"], "Example");
    assert_eq!(shown["issuer"]["cn"], "Servers");
    assert_eq!(shown["expired"], false);
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["sha1"].as_str().expect("text").len(), 59);
    let extensions = shown["extensions"].as_array().expect("a list");
    let names = extensions.iter().find(|it| it["name"] == "subjectAltName").expect("alternative names");
    assert_eq!(names["value"], "DNS:client.example");

    let strangers = authority("Strangers");
    let foreign = client_with(&node.authority, certificate(&strangers, "client.example"));
    for config in [node.client(), foreign] {
        let error = join(&mut dial(node.rawsocket, "localhost", &Arc::new(config))).expect_err("turned away");
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    }
}

#[test]
fn client_certificates_may_be_optional() {
    let node = Node::start(json!({"ca_certificates": ["authority.crt"], "client_certificates": "optional"}));
    let mut stream = dial(node.rawsocket, "localhost", &Arc::new(node.client()));
    let welcome = join(&mut stream).expect("no certificate is needed");
    assert_eq!(transport_of(&mut stream, &welcome)["peer_cert"], Value::Null);
}

#[test]
fn a_certificate_logs_in() {
    let authority = authority("Servers");
    let own = certificate(&authority, "client.example");
    let known = peer_certificate(own.0.der(), SystemTime::now());
    let sha256 = known.iter().find(|(name, _)| name == "sha256").and_then(|(_, value)| value.as_str());
    let joe = json!({"certificate-sha256": sha256, "role": "anonymous"});
    let auth = json!({"tls": {"type": "static", "principals": {"joe": joe}}});
    let tls = json!({"ca_certificates": ["authority.crt"], "client_certificates": "optional"});
    let node = Node::start_for(authority, "auto", tls, auth);
    let own = client_with(&node.authority, own);
    let other = client_with(&node.authority, certificate(&node.authority, "client.example"));
    let asked = json!({"authmethods": ["tls"]});
    let mut answers = [own, other, node.client()].map(|config| {
        hello(&mut dial(node.rawsocket, "localhost", &Arc::new(config)), &asked).expect("an answer")
    });
    assert_eq!(answers[0][0], 2, "{}", answers[0]);
    let details = answers[0][2].take();
    assert_eq!((&details["authid"], &details["authmethod"]), (&json!("joe"), &json!("tls")));
    let refused = answers[1..].iter().map(|answer| answer[1]["message"].as_str().expect("ABORT"));
    let refused: Vec<_> = refused.collect();
    assert!(refused[0].starts_with("no principal with authid"), "{refused:?}");
    assert_eq!(refused[1], "client did not send a TLS client certificate");
}

#[test]
fn a_signature_is_for_one_channel() {
    let seed = [1; 32];
    let joe = json!({"authorized_keys": [cryptosign::public_key(&seed)], "role": "anonymous"});
    let auth = json!({"cryptosign": {"type": "static", "principals": {"joe": joe}}});
    let node = Node::start_for(authority("Servers"), "auto", json!({}), auth);
    let config = Arc::new(node.client());
    let extra = json!({"pubkey": cryptosign::public_key(&seed), "channel_binding": TLS_EXPORTER});
    let asked = json!({"authmethods": ["cryptosign"], "authextra": extra});
    for is_bound in [true, false] {
        let mut stream = dial(node.rawsocket, "localhost", &config);
        let challenge = hello(&mut stream, &asked).expect("an answer");
        assert_eq!((&challenge[0], &challenge[2]["channel_binding"]), (&json!(4), &json!(TLS_EXPORTER)));
        let digits = challenge[2]["challenge"].as_str().expect("digits");
        let id = stream.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        let id = id.expect("the handshake is over");
        let octets = cryptosign::octets(digits).expect("32 octets");
        let message = cryptosign::message(&octets, is_bound.then_some(&id));
        let signature = cryptosign::sign(&seed, &message);
        send(&mut stream, &json!([5, signature, {}])).expect("connected");
        let answer = receive(&mut stream).expect("an answer");
        assert_eq!(answer[0], if is_bound { 2 } else { 3 }, "{answer}");
    }
}

#[test]
fn websocket_clients_may_ask_for_http() {
    let node = Node::start(json!({}));
    let mut config = node.client();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut stream = dial(node.websocket, "localhost", &Arc::new(config));
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("connected");
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101 Switching Protocols");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn old_versions_are_refused_unless_allowed() {
    let node = Node::start(json!({}));
    let config = Arc::new(client(&node.authority, &[&TLS12]));
    let error = join(&mut dial(node.rawsocket, "localhost", &config)).expect_err("too old");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

/// Everything that comes before the end of a connection.
fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    if let Err(error) = socket.read_to_end(&mut octets) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    octets
}

#[test]
fn garbage_is_answered_with_an_alert() {
    let node = Node::start(json!({}));
    let hello: &[u8] = &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let oversize: &[u8] = &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3];
    for garbage in [hello, oversize, b"GET / HTTP/1.1\r\n\r\n", &[0x7f, 0xf1, 0, 0, 0, 0], &[0xff; 64]] {
        let mut socket = TcpStream::connect(node.rawsocket).expect("the router listens");
        socket.write_all(garbage).expect("connected");
        let answer = read_to_end(&mut socket);
        assert!(answer.is_empty() || answer[0] == 0x15, "{garbage:x?}: {answer:x?}");
    }
    assert_eq!(join(&mut dial(node.rawsocket, "localhost", &Arc::new(node.client()))).expect("alive")[0], 2);
}

#[test]
fn corrupt_records_end_the_session() {
    let node = Node::start(json!({}));
    let mut stream = dial(node.rawsocket, "localhost", &Arc::new(node.client()));
    join(&mut stream).expect("everybody may join");
    stream.sock.write_all(&[0x17, 3, 3, 0, 32]).expect("connected");
    stream.sock.write_all(&[0; 32]).expect("connected");
    let error = receive(&mut stream).expect_err("the end");
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
fn who_never_finishes_the_handshake_is_cut_off() {
    let node = Node::start(json!({}));
    let mut silent = TcpStream::connect(node.websocket).expect("the router listens");
    let mut slow = TcpStream::connect(node.websocket).expect("the router listens");
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    slow.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let mut sent = hello.iter().chain(std::iter::repeat(&0));
    let is_cut_off = wait_until(|| {
        let octet = *sent.next().expect("endless");
        slow.write_all(&[octet]).is_err() || matches!(slow.read(&mut [0; 64]), Ok(0))
    });
    assert!(is_cut_off);
    read_to_end(&mut silent);
}

#[test]
fn a_flood_of_handshakes_is_served_in_the_end() {
    let node = Node::start(json!({}));
    let config = Arc::new(node.client());
    let mut streams: Vec<Stream> = (0..50).map(|_| dial(node.rawsocket, "localhost", &config)).collect();
    // All first flights before any answer is read.
    for stream in &mut streams {
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut stream.sock).expect("connected");
        }
    }
    for stream in &mut streams {
        assert_eq!(join(stream).expect("everybody may join")[0], 2);
    }
}

#[test]
fn new_certificates_come_without_a_client_being_dropped() {
    const CLIENTS: usize = 1_000;
    let node = Node::start(json!({}));
    let old = Arc::new(node.client());
    let mut streams: Vec<Stream> = Vec::new();
    while streams.len() < CLIENTS {
        let mut stream = dial(node.rawsocket, "localhost", &old);
        join(&mut stream).expect("everybody may join");
        send(&mut stream, &json!([32, 1, {}, "com.example.news"])).expect("connected");
        assert_eq!(receive(&mut stream).expect("an answer")[0], 33);
        streams.push(stream);
    }
    let successor = authority("Successors");
    let new = Arc::new(client(&successor, &[&TLS13]));
    let path = |name: &str| node.directory.path().join(name);
    // A key that does not belong to the certificate must not do harm.
    std::fs::copy(path("other.example.key"), path("localhost.key")).expect("writable");
    assert!(wait_until(|| node.router.log().contains("the certificates stay as they are")));
    assert_eq!(join(&mut dial(node.rawsocket, "localhost", &old)).expect("the old certificate")[0], 2);
    write_certificate(node.directory.path(), &successor, "localhost");
    assert!(wait_until(|| join(&mut dial(node.rawsocket, "localhost", &new)).is_ok()));
    let mut publisher = dial(node.websocket, "localhost", &new);
    publisher.flush().expect("the other transport has it as well");
    let mut publisher = dial(node.rawsocket, "localhost", &new);
    join(&mut publisher).expect("everybody may join");
    send(&mut publisher, &json!([16, 2, {}, "com.example.news", ["hello"]])).expect("connected");
    for stream in &mut streams {
        assert_eq!(receive(stream).expect("still connected")[0], 36);
    }
}

/// Joins with our own client and compares what both sides know of the channel.
fn join_with_client(url: &str, tls: ClientSettings) -> Result<Client, ClientError> {
    let to = Destination {
        url: url.parse().expect("a URL"),
        tls,
        realm: "realm1".into(),
        serializer: Serializer::plain(SerializerId::Json),
        identity: None,
        timeout: PATIENCE,
    };
    let mut client = Client::join(&to)?;
    let shown = |(name, id): &(&str, [u8; 32])| ((*name).to_owned(), CodecValue::String(hexadecimal(id)));
    let ours = CodecValue::Dict(client.channel_ids().iter().map(shown).collect());
    let Some(CodecValue::List(sessions)) = call(&mut client, "wamp.session.list", &[]) else { panic!() };
    let mut told = sessions.iter().filter_map(|session| {
        let details = call(&mut client, "wamp.session.get", std::slice::from_ref(session))?;
        details.get("transport")?.get("channel_id").cloned()
    });
    assert!(told.any(|theirs| theirs == ours), "{ours:?}");
    drop(told);
    assert!(ours.get(TLS_EXPORTER).is_some() && ours.get(TLS_UNIQUE).is_some());
    Ok(client)
}

/// The first argument of a procedure's result; none when it fails.
fn call(client: &mut Client, procedure: &str, arguments: &[CodecValue]) -> Option<CodecValue> {
    let payload = Payload::from_values(SerializerId::Json, arguments, &Vec::new());
    let request = client.session.call(procedure, CallOptions::default(), payload).expect("joined");
    client.send(&request.message).expect("connected");
    match client.next(Some(PATIENCE)).expect("an answer") {
        ClientEvent::Result { payload, .. } => payload.arguments().expect("a list").into_iter().next(),
        _ => None,
    }
}

#[test]
fn the_client_trusts_whom_it_is_told_to() {
    let node = Node::start(json!({"ca_certificates": ["authority.crt"], "client_certificates": "optional"}));
    let path = |name: &str| node.directory.path().join(name);
    let [wss, rss] = [("wss", node.websocket, "/ws"), ("rss", node.rawsocket, "")]
        .map(|(scheme, at, path)| format!("{scheme}://localhost:{}{path}", at.port()));
    let trusting = ClientSettings { authorities: vec![path("authority.crt")], certificate: None };
    let showing = ClientSettings {
        certificate: Some((path("other.example.crt"), path("other.example.key"))),
        ..trusting.clone()
    };
    for url in [&wss, &rss] {
        for tls in [&trusting, &showing] {
            let client = join_with_client(url, tls.clone()).expect("it trusts the authority");
            client.leave().expect("an orderly end");
        }
        let strangers = ClientSettings { authorities: vec![path("other.example.crt")], certificate: None };
        let refused = join_with_client(url, strangers).err().expect("it must not trust");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}

#[test]
fn a_certificate_may_be_its_own_authority() {
    let node = Node::start(json!({}));
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let path = |name: &str| node.directory.path().join(name);
    std::fs::write(path("localhost.crt"), own.pem()).expect("writable");
    std::fs::write(path("localhost.key"), own.key().serialize_pem()).expect("writable");
    assert!(wait_until(|| node.router.log().contains("new certificates from now on")));
    let url = |host: &str| format!("rss://{host}:{}", node.rawsocket.port());
    let trusting = ClientSettings { authorities: vec![path("localhost.crt")], certificate: None };
    assert!(wait_until(|| join_with_client(&url("localhost"), trusting.clone()).is_ok()));
    let refused = join_with_client(&url("127.0.0.1"), trusting).err().expect("another name");
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
}

#[test]
fn commands_reach_a_router_with_tls() {
    let node = Node::start(json!({}));
    let command = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg(name).arg("--url").arg(format!("rss://localhost:{}", node.rawsocket.port()));
        command.arg("--ca").arg(node.directory.path().join("authority.crt"));
        command
    };
    let output = command("call").arg("wamp.session.count").output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["args"], json!([1]));
}

/// Keeps the OCSP response that the server sends along.
#[derive(Debug)]
struct Stapled {
    chains: Arc<WebPkiServerVerifier>,
    response: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.response.lock().expect("nobody panicked") = ocsp_response.to_vec();
        self.chains.verify_server_cert(certificate, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[test]
fn ocsp_responses_are_sent_along_and_read_again_at_a_signal() {
    let directory = TempDir::new().expect("a temporary directory");
    let response = directory.path().join("response.der");
    std::fs::write(&response, b"first").expect("writable");
    let node = Node::start(json!({"ocsp_response": response}));
    let stapled = || {
        let mut config = node.client();
        let mut roots = RootCertStore::empty();
        roots.add(node.authority.der().clone()).expect("an authority");
        let provider = config.crypto_provider().clone();
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let chains = chains.expect("an authority");
        let verifier = Arc::new(Stapled { chains, response: Mutex::default() });
        config.dangerous().set_certificate_verifier(verifier.clone());
        join(&mut dial(node.rawsocket, "localhost", &Arc::new(config))).expect("everybody may join");
        verifier.response.lock().expect("nobody panicked").clone()
    };
    assert_eq!(stapled(), b"first");
    std::fs::write(&response, b"second").expect("writable");
    node.router.signal(Signal::HUP);
    assert!(wait_until(|| node.router.log().contains("SIGHUP")));
    assert!(wait_until(|| stapled() == b"second"));
}

#[test]
fn expiry_is_announced() {
    let node = Node::start(json!({}));
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let mut write = |days: u64| {
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 24 * 3600 + 3600)).into();
        let certificate = params.signed_by(&key, &node.authority).expect("a certificate");
        std::fs::write(node.directory.path().join("localhost.crt"), certificate.pem()).expect("writable");
        std::fs::write(node.directory.path().join("localhost.key"), key.serialize_pem()).expect("writable");
    };
    write(12);
    assert!(wait_until(|| node.router.log().contains("localhost.crt expires in 12 days")));
}

#[test]
fn files_that_do_not_fit_are_told_at_start() {
    let Node { router, directory, .. } = Node::start(json!({}));
    drop(router);
    let config = directory.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("readable");
    for (key, fault) in [("other.example.key", "does not belong"), ("absent.key", "No such file")] {
        std::fs::write(&config, text.replace("localhost.key", key)).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg("start").arg("--cbdir").arg(directory.path()).args(["--config", "config.json"]);
        let output = command.output().expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains(fault) && said.contains(key), "{said}");
    }
}

/// Runs `openssl s_client` with `input` on its standard input until `is_enough` of its output; `None`: there is no such program.
fn openssl(
    node: &Node,
    at: SocketAddr,
    arguments: &[&str],
    input: &[u8],
    is_enough: fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &at.to_string(), "-servername", "localhost", "-CAfile"]);
    command.arg(node.directory.path().join("authority.crt")).arg("-verify_return_error").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        child => child.expect("a process"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input).expect("it reads");
    let mut stdout = child.stdout.take().expect("piped");
    let mut output = Vec::new();
    let mut piece = [0; 4096];
    while !is_enough(&output) {
        match stdout.read(&mut piece).expect("piped") {
            0 => break,
            count => output.extend_from_slice(&piece[..count]),
        }
    }
    drop(stdin);
    let _ = child.kill();
    child.wait().expect("our child");
    Some(output)
}

#[test]
fn openssl_speaks_with_both_transports() {
    let node = Node::start(json!({"minimum_version": "1.2"}));
    for version in ["-tls1_3", "-tls1_2"] {
        let handshake = [0x7f, 0xf1, 0, 0];
        let quiet = ["-quiet", version];
        let Some(answer) = openssl(&node, node.rawsocket, &quiet, &handshake, |it| it.len() >= 4) else {
            return println!("skipped: there is no program openssl");
        };
        assert_eq!(answer[..2], handshake[..2], "{version}: {}", String::from_utf8_lossy(&answer));
        let told = |it: &[u8]| String::from_utf8_lossy(it).contains("Verify return code");
        let alpn = ["-alpn", "http/1.1", version];
        let text = openssl(&node, node.websocket, &alpn, b"", told).expect("there was one");
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("ALPN protocol: http/1.1"), "{version}: {text}");
        assert!(text.contains("Verify return code: 0 (ok)"), "{version}: {text}");
    }
}
