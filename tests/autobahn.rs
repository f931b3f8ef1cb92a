//! The Autobahn WebSocket testsuite (cases 1–7, 9, 10, 12 and 13) against the `websocket.testee` transport of the real binary,
//! with either engine: no failure, and no outcome that is not strict.
//!
//! It is the original suite, as published, in its mode `fuzzingclient`; it needs Python 2.7. By default some cases of the long
//! families 9, 12 and 13 stand for all of them; `AUTOBAHN_CASES=all cargo test --test autobahn` runs the whole (about half
//! an hour). Without the packages, which `bash .ci/test` installs where it finds a Python 2.7, nothing is run.

#![forbid(unsafe_code)]

mod support;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Address, Program, Router, free_port};
use tempfile::TempDir;

/// The families that are run whole: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, auto-fragment.
const SHORT: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

/// Of long messages and compression: each kind once or twice.
const EXCERPT: &[&str] = &[
    "9.1.1", "9.2.2", "9.3.5", "9.4.6", "9.5.3", "9.6.4", "9.7.2", "9.8.1", "12.1.3", "12.2.2", "12.3.1",
    "12.5.4", "13.1.3", "13.2.2", "13.3.4", "13.4.1", "13.5.3", "13.6.2", "13.7.3",
];

/// Outcomes that fail nothing: as expected, and those the suite only tells.
const ACCEPTED: &[&str] = &["OK", "INFORMATIONAL"];

#[test]
fn no_failure_and_nothing_not_strict_with_epoll() {
    run("epoll");
}

#[test]
fn no_failure_and_nothing_not_strict_with_io_uring() {
    run("io_uring");
}

fn run(engine: &str) {
    let Some(python) = Python::find() else { return };
    let directory = TempDir::new().expect("the temporary directory is writable");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let router = start(engine, address, directory.path());
    let whole = env::var_os("AUTOBAHN_CASES").is_some_and(|value| value == "all");
    let cases = match whole {
        true => [SHORT, &["9.*", "12.*", "13.*"]].concat(),
        false => [SHORT, EXCERPT].concat(),
    };
    let outcomes = python.outcomes(address, &cases, directory.path());
    let count = outcomes.as_object().map_or(0, serde_json::Map::len);
    let refused: Vec<_> = outcomes
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, outcome)| !["behavior", "behaviorClose"].iter().all(|key| is_accepted(&outcome[key])))
        .map(|(case, outcome)| format!("{case}: {outcome}"))
        .collect();
    println!("{engine}: {count} cases, {} failed", refused.len());
    let expected = if whole { 517 } else { 247 + EXCERPT.len() };
    assert!(refused.is_empty() && count == expected, "{count} cases\n{}", refused.join("\n"));
    assert!(router.stop().success(), "the router ends in good order");
}

fn is_accepted(outcome: &Value) -> bool {
    outcome.as_str().is_some_and(|outcome| ACCEPTED.contains(&outcome))
}

fn start(engine: &str, address: SocketAddr, directory: &Path) -> Router {
    let node = json!({
        "version": 2,
        "controller": {"options": {"engine": engine, "shards": 1}},
        "workers": [{"type": "router", "transports": [{
            "type": "websocket.testee",
            "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": address.port()},
            "options": {"compression": {"deflate": {}}}
        }]}]
    });
    let config = directory.join("config.json");
    fs::write(&config, node.to_string()).expect("the configuration is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.arg("start").arg("--cbdir").arg(directory).arg("--config").arg(&config);
    Router::start(command, directory.join("log"), &[Address::Tcp(address)])
}

/// A Python 2.7 with the suite.
struct Python {
    packages: PathBuf,
}

impl Python {
    fn find() -> Option<Self> {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/autobahn");
        let python = Self { packages };
        let mut command = python.command();
        command.args(["-c", "import autobahntestsuite"]);
        if command.output().is_ok_and(|output| output.status.success()) {
            return Some(python);
        }
        println!("skipped: no Python 2.7 with the Autobahn testsuite; `bash .ci/test` installs the suite");
        None
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.packages.join("python"));
        command.env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs the cases; their outcomes by number.
    fn outcomes(&self, address: SocketAddr, cases: &[&str], directory: &Path) -> Value {
        let reports = directory.join("reports");
        let specification = json!({
            "outdir": reports,
            "servers": [{"url": format!("ws://{address}"), "agent": "crossring"}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {}
        });
        let file = directory.join("specification.json");
        fs::write(&file, specification.to_string()).expect("the specification is writable");
        let mut command = self.command();
        command.args(["-c", "from autobahntestsuite import wstest; wstest.run()"]);
        command.args(["--mode", "fuzzingclient", "--spec"]).arg(&file).current_dir(directory);
        let ended = Program::start(command).finish(SUITE_LIMIT);
        let index = fs::read_to_string(reports.join("index.json"))
            .unwrap_or_else(|error| panic!("no report ({error}): {}", ended.errors));
        let index: Value = serde_json::from_str(&index).expect("the report is JSON");
        index["crossring"].clone()
    }
}

/// How long the suite may take on a busy machine.
const SUITE_LIMIT: Duration = Duration::from_secs(3600);
