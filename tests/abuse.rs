//! Attacks over real sockets on a router that serves others meanwhile. They must not notice: nothing is lost, what the attack
//! takes of memory is given back, attackers are cut off, and the router says why.
//!
//! `CROSSRING_ABUSE_SECONDS`, a number, makes each attack last so long, three times, with a control: with 2 or more, an optimized
//! build and a calm machine the table that is printed is a measurement (docs/security.md). `CROSSRING_ABUSE_ONLY` is part of the
//! names of the attacks that are made.

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
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use support::{Address, Router, free_port, wait_until};
use tempfile::TempDir;

use attacks::{ATTACKS, Attack};
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

    /// Resident memory of the router in KiB: `VmRSS:`, or the most it has been, `VmHWM:`.
    fn memory_kib(&self, which: &str) -> u64 {
        let path = format!("/proc/{}/status", self.router.pid());
        let status = std::fs::read_to_string(path).expect("the router runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Lets the most memory be that of now.
    fn forget_peak(&self) {
        // Where the kernel does not offer it the figure that is printed is that of the whole run.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.router.pid()), "5");
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

/// How the attacks are made: in test runs shortly, to measure for longer, several times and with a control.
struct Plan {
    duration: Duration,
    rounds: usize,
    /// Attacked in the same way while the bystanders are measured, whose router is left alone: what they feel then is
    /// that attackers, and those who are attacked, take processor time of the same machine.
    control: Option<Field>,
    /// Attacks with another name are left out.
    only: String,
}

impl Plan {
    fn read() -> Self {
        let only = std::env::var("CROSSRING_ABUSE_ONLY").unwrap_or_default();
        assert!(ATTACKS.iter().any(|attack| attack.name.contains(&only)), "no attack is named {only:?}");
        let Ok(seconds) = std::env::var("CROSSRING_ABUSE_SECONDS") else {
            return Self { duration: Duration::from_millis(1_000), rounds: 1, control: None, only };
        };
        let seconds = seconds.parse().expect("CROSSRING_ABUSE_SECONDS is a whole number");
        Self { duration: Duration::from_secs(seconds), rounds: 3, control: Some(Field::start()), only }
    }

    fn attacks(&self) -> impl Iterator<Item = &'static Attack> {
        ATTACKS.iter().filter(|attack| attack.name.contains(&self.only))
    }
}

/// What an attack did, by round.
#[derive(Default)]
struct Findings {
    idle: Vec<Delays>,
    attacked: Vec<Delays>,
    control: Vec<Delays>,
    made: u64,
    ended: u64,
    memory_kib: [u64; 3],
}

impl Findings {
    /// Looks at the idle router, the control and the attacked router in turn, so that what changes on the machine changes
    /// for all of them.
    fn of(attack: &Attack, field: &Field, plan: &Plan, bystanders: &Bystanders) -> Self {
        let mut findings = Self::default();
        let idle_for = if plan.control.is_some() { plan.duration } else { plan.duration / 4 };
        findings.memory_kib[0] = field.memory_kib("VmRSS:");
        field.forget_peak();
        for _ in 0..plan.rounds {
            findings.idle.push(bystanders.during(|| pause(idle_for)).1);
            if let Some(control) = &plan.control {
                let ((), delays) = bystanders.during(|| _ = attack.run(control, plan.duration));
                findings.control.push(delays);
            }
            let ((made, ended), delays) = bystanders.during(|| {
                let siege = attack.run(field, plan.duration);
                (siege.made, siege.ended)
            });
            findings.attacked.push(delays);
            findings.made += made;
            findings.ended += ended;
        }
        findings.memory_kib[1] = field.memory_kib("VmHWM:");
        findings.memory_kib[2] = field.memory_kib("VmRSS:");
        findings
    }

    fn print(&self, name: &str) {
        let idle = median(self.idle.iter().map(|delays| delays.p99_us as f64));
        let p99 = median(self.attacked.iter().map(|delays| delays.p99_us as f64));
        let p50 = median(self.attacked.iter().map(|delays| delays.p50_us as f64));
        let max = median(self.attacked.iter().map(|delays| delays.max_us as f64));
        let [ratio, control] = [&self.attacked, &self.control].map(|them| {
            median(them.iter().zip(&self.idle).map(|(it, idle)| it.p99_us as f64 / idle.p99_us.max(1) as f64))
        });
        let control = if control.is_nan() { "-".to_owned() } else { format!("{control:.2}") };
        let Self { made, ended, memory_kib, .. } = self;
        let [before, peak, after] = memory_kib.map(|kib| kib / 1024);
        println!(
            "{name:<25} {idle:>9.0} {p50:>7.0} {p99:>7.0} {max:>7.0} {ratio:>6.2} {control:>8} {made:>6} {ended:>6} \
             {before:>7} {peak:>5} {after:>6}"
        );
    }
}

/// The middle one; not a number if there are none.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

#[test]
fn attackers_are_cut_off_and_nobody_else_notices() {
    let plan = Plan::read();
    let field = Field::start();
    let bystanders = Bystanders::start(&field);
    // Everything is in memory that the router needs for those it serves.
    bystanders.during(|| pause(Duration::from_secs(1)));
    let memory_before_kib = field.memory_kib("VmRSS:");
    println!(
        "attack                     idle/p99     p50     p99     max  ratio  control   made  ended  MiB:was  peak     is"
    );
    for attack in plan.attacks() {
        let findings = Findings::of(attack, &field, &plan, &bystanders);
        findings.print(attack.name);
        assert!(findings.ended > 0, "{}: nobody was cut off", attack.name);
        // Machines that test share their processors: only what no noise explains is a failure.
        for delays in findings.attacked {
            assert!(delays.events > 0 && delays.p99_us < 5_000_000, "{}: {delays:?}", attack.name);
        }
    }
    assert_memory_returns(&field, memory_before_kib);
    assert!(bystanders.stop() > 0);
    assert_reasons(field, plan.attacks());
}

/// Once the attackers are gone the router soon needs about as much memory as before.
fn assert_memory_returns(field: &Field, before_kib: u64) {
    const SLACK_KIB: u64 = 4 * 1024;
    let limit_kib = before_kib + before_kib / 10 + SLACK_KIB;
    let begun = Instant::now();
    let mut after_kib = 0;
    let returns = wait_until(|| {
        after_kib = field.memory_kib("VmRSS:");
        after_kib <= limit_kib
    });
    println!("memory: {before_kib} KiB before, {after_kib} KiB after another {:?}", begun.elapsed());
    assert!(returns, "{before_kib} KiB before, {after_kib} KiB after");
}

/// The router has counted why it refused whom, and has not filled its log with that.
fn assert_reasons<'a>(field: Field, attacks: impl Iterator<Item = &'a Attack>) {
    let Field { router, directory, .. } = field;
    assert!(router.stop().success(), "the router has come through");
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let summaries: Vec<&str> = log.lines().filter(|line| line.contains("refused since the start")).collect();
    println!("{}", summaries.join("\n"));
    for attack in attacks {
        for reason in attack.reasons {
            let is_counted = summaries.iter().any(|line| line.contains(reason));
            assert!(is_counted, "{}: {reason:?} is not in {summaries:?}", attack.name);
        }
    }
    assert!(!log.contains("panicked"), "{log}");
    let lines = log.lines().count();
    assert!(lines < 400, "{lines} lines of log:\n{log}");
}
