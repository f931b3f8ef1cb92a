//! Attacks over real sockets on a router that serves others meanwhile. They must not notice: nothing is lost, what the attack
//! takes of memory is given back, attackers are cut off, and the router says why.
//!
//! `CROSSRING_ABUSE_SECONDS` makes each attack last so long: with 10 or more, an optimized build and a calm machine the table
//! that is printed is a measurement (docs/security.md).

#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
mod support;

#[path = "abuse/attacks.rs"]
mod attacks;
#[path = "abuse/bystanders.rs"]
mod bystanders;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use support::{Address, Router, free_port, wait_until};
use tempfile::TempDir;

use attacks::{ATTACKS, Siege};
use bystanders::{Bystanders, Delays};

/// Where the router can be attacked.
struct Field {
    router: Router,
    bystanders: SocketAddr,
    rawsocket: SocketAddr,
    websocket: SocketAddr,
    web: SocketAddr,
    tls: SocketAddr,
    /// A RawSocket transport that takes few new connections in a second.
    besieged: SocketAddr,
    tls_client: Arc<ClientConfig>,
    directory: TempDir,
}

impl Field {
    fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let certificate = write_certificate(directory.path());
        let places = [(); 6].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let document = configuration(places);
        std::fs::write(directory.path().join("config.json"), document.to_string()).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
        command.arg("start").arg("--cbdir").arg(directory.path()).args(["--config", "config.json"]);
        let router = Router::start(command, directory.path().join("log"), &places.map(Address::Tcp));
        let [bystanders, rawsocket, websocket, web, tls, besieged] = places;
        let tls_client = trusting(certificate);
        Self { router, bystanders, rawsocket, websocket, web, tls, besieged, tls_client, directory }
    }

    /// Resident memory of the router in KiB.
    fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.router.pid());
        let status = std::fs::read_to_string(path).expect("the router runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

fn configuration(places: [SocketAddr; 6]) -> Value {
    let tcp = |at: SocketAddr| json!({"type": "tcp", "interface": "127.0.0.1", "port": at.port()});
    let mut secure = tcp(places[4]);
    secure["tls"] = json!({"certificate": "localhost.crt", "key": "localhost.key"});
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let slow = json!({"handshake_timeout": 1_000});
    let websocket_options = json!({
        "open_handshake_timeout": 1_000, "close_handshake_timeout": 1_000, "max_message_size": 8_388_608,
        "auto_ping_interval": 1_000, "auto_ping_timeout": 1_000, "compression": {"deflate": {"max_inflate_ratio": 100}}
    });
    json!({
        "version": 2,
        "controller": {"options": {"shards": 2, "auth_timeout": 1_000}},
        "workers": [{"type": "router", "realms": [{"name": "realm1", "roles": [role]}], "transports": [
            {"type": "rawsocket", "endpoint": tcp(places[0])},
            {"type": "rawsocket", "endpoint": tcp(places[1]), "limits": slow, "options": {"max_message_size": 1_048_576}},
            {"type": "websocket", "endpoint": tcp(places[2]), "options": websocket_options},
            {
                "type": "web", "endpoint": tcp(places[3]), "limits": slow, "options": {"client_timeout": 1},
                "paths": {"/": {"type": "nodeinfo"}}
            },
            {"type": "rawsocket", "endpoint": secure, "limits": slow},
            {"type": "rawsocket", "endpoint": tcp(places[5]), "limits": {"max_rate": 10}}
        ]}]
    })
}

fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("localhost.crt"), made.cert.pem()).expect("writable");
    std::fs::write(directory.join("localhost.key"), made.signing_key.serialize_pem()).expect("writable");
    made.cert.der().clone()
}

fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("known versions").with_root_certificates(roots).with_no_client_auth())
}

/// A rest within an attack or a measurement; nothing is waited for.
fn pause(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the pace of those who attack, publish or only look on")]
    std::thread::sleep(duration);
}

fn print(name: &str, delays: Delays, idle: Delays, rest: &str) {
    let Delays { events, p50_us, p99_us, max_us } = delays;
    let ratio = p99_us as f64 / idle.p99_us.max(1) as f64;
    println!("{name:<26} {events:>6} {p50_us:>8} {p99_us:>8} {ratio:>6.2} {max_us:>8} {rest}");
}

#[test]
fn attackers_are_cut_off_and_nobody_else_notices() {
    let seconds = std::env::var("CROSSRING_ABUSE_SECONDS").ok().and_then(|text| text.parse().ok());
    let duration = seconds.map_or(Duration::from_millis(1_000), Duration::from_secs);
    let field = Field::start();
    let bystanders = Bystanders::start(&field);
    // Everything is in memory that the router needs for those it serves.
    bystanders.during(|| pause(duration));
    let memory_before_kib = field.memory_kib();
    let ((), idle) = bystanders.during(|| pause(duration));
    println!(
        "attack                     events   p50/µs   p99/µs  ratio   max/µs  connections, ended, memory/MiB"
    );
    print("none", idle, idle, "");
    for attack in ATTACKS {
        let mut siege = Siege::new(&field, duration);
        let ((), delays) = bystanders.during(|| (attack.act)(&mut siege));
        let Siege { made, ended, .. } = siege;
        print(attack.name, delays, idle, &format!("{made}, {ended}, {}", field.memory_kib() / 1024));
        assert!(ended > 0, "{}: nobody was cut off", attack.name);
        // Machines that test share their processors: only what no noise explains is a failure.
        assert!(delays.p99_us < 5_000_000, "{}: {delays:?}", attack.name);
    }
    assert!(bystanders.stop() > 0);
    assert_memory_returns(&field, memory_before_kib);
    assert_reasons(field);
}

/// Once the attackers are gone the router needs about as much memory as before.
fn assert_memory_returns(field: &Field, before_kib: u64) {
    const SLACK_KIB: u64 = 64 * 1024;
    let mut after_kib = 0;
    let returns = wait_until(|| {
        after_kib = field.memory_kib();
        after_kib <= before_kib + SLACK_KIB
    });
    println!("memory: {before_kib} KiB before, {after_kib} KiB after");
    assert!(returns, "{before_kib} KiB before, {after_kib} KiB after");
}

/// The router has counted why it refused whom, and has not filled its log with that.
fn assert_reasons(field: Field) {
    let Field { router, directory, .. } = field;
    assert!(router.stop().success(), "the router has come through");
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let summaries: Vec<&str> = log.lines().filter(|line| line.contains("refused since the start")).collect();
    println!("{}", summaries.join("\n"));
    for attack in ATTACKS {
        for reason in attack.reasons {
            let is_counted = summaries.iter().any(|line| line.contains(reason));
            assert!(is_counted, "{}: {reason:?} is not in {summaries:?}", attack.name);
        }
    }
    assert!(!log.contains("panicked"), "{log}");
    let lines = log.lines().count();
    assert!(lines < 400, "{lines} lines of log:\n{log}");
}
