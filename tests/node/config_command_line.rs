//! The commands of the real binary on real node directories: what they print and their exit codes.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crossring::cli::{all_command_words, reference_markdown};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::support::wait_until;

/// Runs a command in a directory, away from the environment of the tester.
fn crossring(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossring"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("CROSSRING_DIR")
        .env_remove("CROSSBAR_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// Runs a command and checks its exit code and parts of its output (both streams, in this order).
fn check(directory: &Path, arguments: &[&str], code: i32, expected: &[&str]) {
    let output = crossring(directory, arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for part in expected {
        assert!(text.contains(part), "{arguments:?}: no {part:?} in {text}");
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A foreign process that looks like a node by its name. It ends with the value.
struct FakeNode(Child);

impl FakeNode {
    fn start(name: &str) -> FakeNode {
        FakeNode(Command::new("sleep").arg0(name).arg("60").spawn().expect("sleep starts"))
    }

    fn write_pid_file(&self, node_directory: &Path) {
        let text = format!("{{\"pid\": {}, \"argv\": [], \"options\": {{}}}}\n", self.0.id());
        std::fs::write(node_directory.join("node.pid"), text).expect("written");
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn init_makes_a_node_directory_that_checks_well_and_is_kept() {
    let directory = directory();
    check(directory.path(), &["init"], 0, &["Created", "config.json", "key.priv", "crossring start --cbdir"]);
    let file = directory.path().join(".crossring/config.json");
    check(directory.path(), &["check"], 0, &["Checking local node", "Ok, node configuration looks good!"]);
    std::fs::write(&file, "{}").expect("written");
    check(directory.path(), &["init"], 0, &["exists already and is left as it is"]);
    assert_eq!(std::fs::read_to_string(&file).expect("text"), "{}");
}

#[test]
fn check_names_all_faults_and_all_that_is_not_supported() {
    let configs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/configs"));
    let check = |file: &str, code, expected: &[&str]| {
        check(configs, &["check", "--cbdir", ".", "--config", file], code, expected)
    };
    check("minimal.yaml", 0, &["Ok, node configuration looks good!"]);
    check("five_faults.json", 1, &["Error: 5 faults", "controller.option: ", "transports[1].type: "]);
    check(
        "processes.json",
        0,
        &[
            "refuses to start with it",
            "not supported yet: workers[0].realms[0].inventory\n",
            "not supported yet: workers[4] (type \"proxy\")",
            "no effect: controller.manhole (",
        ],
    );
    check("absent.json", 1, &["Error: cannot read configuration file"]);
    check("../config.rs", 1, &["invalid configuration file extension '.rs'"]);
}

#[test]
fn check_looks_at_the_files_that_the_node_is_made_of() {
    let directory = directory();
    let node_directory = directory.path().join(".crossring");
    std::fs::create_dir_all(node_directory.join("web")).expect("created");
    let node = |tls: &str, web: &str| {
        format!(
            "version: 2\nworkers:\n- type: router\n  realms: [{{name: realm1, roles: [{{name: anonymous}}]}}]\n  \
             transports:\n  - type: web\n    endpoint: {{type: tcp, port: 1{tls}}}\n    paths:\n      \
             /: {{type: static, directory: {web}}}\n"
        )
    };
    let write =
        |tls, web| std::fs::write(node_directory.join("config.yaml"), node(tls, web)).expect("written");
    write("", "web");
    check(directory.path(), &["check"], 0, &["Ok, node configuration looks good!"]);
    write(", tls: {certificate: a.pem, key: b.pem}", "absent");
    let faults = [
        "Error: 2 faults in the node configuration",
        "workers[0].transports[0].endpoint.tls: ",
        ".crossring/a.pem: No such file",
        "workers[0].transports[0].paths[\"/\"]: directory ",
        ".crossring/absent: No such file",
    ];
    check(directory.path(), &["check"], 1, &faults);
}

#[test]
fn check_without_a_configuration_fails() {
    let directory = directory();
    check(directory.path(), &["check"], 1, &["Error: no config.yaml or config.json in node directory"]);
    assert!(!directory.path().join(".crossring").exists());
}

#[test]
fn yaml_comes_before_json() {
    let directory = directory();
    let node_directory = directory.path().join(".crossbar");
    std::fs::create_dir(&node_directory).expect("created");
    std::fs::write(node_directory.join("config.json"), "{}").expect("written");
    check(directory.path(), &["check"], 1, &["config.json", "Configuration too old: version 1"]);
    std::fs::write(node_directory.join("config.yaml"), "version: 2\n").expect("written");
    check(directory.path(), &["check"], 0, &["config.yaml", "looks good"]);
}

#[test]
fn start_refuses_faults_and_what_is_not_supported() {
    let directory = directory();
    let start = ["start", "--cbdir", ".", "--config", "config.json"];
    std::fs::write(directory.path().join("config.json"), "{\"version\": 2, \"a\": 1, \"b\": 1}")
        .expect("written");
    check(
        directory.path(),
        &start,
        1,
        &["Invalid node configuration ", "config.json: 2 faults", "unknown key 'a'", "unknown key 'b'"],
    );
    let guests = "{\"version\": 2, \"workers\": [{\"type\": \"guest\", \"executable\": \"a\"}, {\"type\": \"proxy\"}]}";
    std::fs::write(directory.path().join("config.json"), guests).expect("written");
    let expected = [
        "not supported: workers[0] (type \"guest\"): other programs",
        "not supported yet: workers[1] (type \"proxy\")\n",
    ];
    check(directory.path(), &start, 1, &expected);
    assert!(!directory.path().join("node.pid").exists());
}

#[test]
fn a_running_node_is_known_and_stopped() {
    let directory = directory();
    let mut node = FakeNode::start("crossring");
    node.write_pid_file(directory.path());
    check(directory.path(), &["status", "--cbdir", "."], 0, &["Status is RUNNING"]);
    check(
        directory.path(),
        &["start", "--cbdir", "."],
        1,
        &["crossring is already running from node directory"],
    );
    check(
        directory.path(),
        &["stop", "--cbdir", "."],
        0,
        &["Stopping crossring", "SIGTERM sent", "exited gracefully"],
    );
    assert!(!node.0.wait().expect("it ended").success());
    check(directory.path(), &["status", "--cbdir", "."], 0, &["Stale", "Status is STOPPED"]);
    assert!(!directory.path().join("node.pid").exists());
}

#[test]
fn a_foreign_process_is_neither_a_node_nor_stopped() {
    let directory = directory();
    let mut foreign = FakeNode::start("something-else");
    foreign.write_pid_file(directory.path());
    check(directory.path(), &["status", "--cbdir", "."], 0, &["no crossring node", "Status is STOPPED"]);
    check(directory.path(), &["stop", "--cbdir", "."], 69, &["No crossring is currently running"]);
    assert!(foreign.0.try_wait().expect("state").is_none());
    assert!(directory.path().join("node.pid").exists());
}

#[test]
fn status_can_be_asserted() {
    let directory = directory();
    std::fs::write(directory.path().join("node.pid"), "garbage").expect("written");
    let assert = |state| ["status", "--cbdir", ".", "--assert", state];
    check(directory.path(), &assert("stopped"), 0, &["Assert status STOPPED succeeded: status is STOPPED"]);
    check(directory.path(), &assert("running"), 69, &["Assert status RUNNING failed: status is STOPPED"]);
    check(directory.path(), &["stop", "--cbdir", "."], 69, &["No crossring is currently running"]);
}

#[test]
fn damaged_and_open_keys_are_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, node) = (directory(), ["--cbdir", "."]);
    let run = |command: &'static str| [&[command][..], &node].concat();
    check(directory.path(), &run("init"), 0, &[]);
    check(directory.path(), &run("keys"), 0, &[]);
    let private = directory.path().join("key.priv");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).expect("set");
    let remark = "key.priv has mode 0644";
    check(directory.path(), &run("check"), 0, &["looks good!", remark]);
    std::fs::write(&private, "damaged").expect("written");
    check(directory.path(), &run("check"), 1, &["Corrupt node key file"]);
    check(directory.path(), &run("start"), 1, &["Corrupt node key file"]);
}

#[test]
fn keys_are_shown_and_the_private_one_only_when_asked_for() {
    let directory = directory();
    check(directory.path(), &["keys", "--cbdir", "."], 0, &["Created node key", "public-key-ed25519: "]);
    let shown = crossring(directory.path(), &["keys", "--cbdir", "."]).stdout;
    assert!(!String::from_utf8_lossy(&shown).contains("private"));
    check(directory.path(), &["keys", "--cbdir", ".", "--private"], 0, &["private-key-ed25519: "]);
}

#[test]
fn small_commands_print_something_useful() {
    let directory = directory();
    check(directory.path(), &["version"], 0, &[env!("CARGO_PKG_VERSION")]);
    check(directory.path(), &["completions", "bash"], 0, &["_crossring()"]);
    check(directory.path(), &["man"], 0, &[".TH crossring"]);
    check(directory.path(), &["man", "--dir", "pages"], 0, &[]);
    assert!(directory.path().join("pages/crossring-start.1").exists());
    check(directory.path(), &["strat"], 2, &["start"]);
    check(directory.path(), &["start", "--shards", "0"], 2, &["--shards"]);
}

/// Run with `UPDATE_DOCS=1` after changing a command.
#[test]
fn the_guide_holds_the_reference_of_all_commands() {
    const BEGIN: &str = "<!-- reference: written from the definitions in src/cli -->\n\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/command-line.md");
    let guide = std::fs::read_to_string(path).expect("the guide is readable");
    let (prose, written) = guide.split_once(BEGIN).expect("the guide has a reference");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{prose}{BEGIN}{}", reference_markdown()))
            .expect("the guide is writable");
    } else {
        assert!(
            written == reference_markdown(),
            "the reference is out of date: run this test with UPDATE_DOCS=1"
        );
    }
    for word in all_command_words() {
        assert!(reference_markdown().contains(&word), "{word}");
    }
}

/// A node with one Unix socket, so that no port of the host is needed.
const UNIX_NODE: &str = "version: 2\nworkers:\n  - type: router\n    realms: [{name: realm1}]\n    transports:\n      \
                         - {type: rawsocket, endpoint: {type: unix, path: s}}\n";

#[test]
fn a_node_starts_once_and_stops_cleanly() {
    let directory = directory();
    std::fs::write(directory.path().join("config.yaml"), UNIX_NODE).expect("written");
    let mut node = Command::new(env!("CARGO_BIN_EXE_crossring"))
        .args(["start", "--cbdir", ".", "--shards", "1", "--logformat", "none"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut log = BufReader::new(node.stderr.take().expect("a pipe")).lines();
    let is_listening = |line: Result<String, _>| line.is_ok_and(|line: String| line.contains("listening on"));
    assert!(log.any(is_listening), "the node ended early");
    let pid_file = std::fs::read_to_string(directory.path().join("node.pid")).expect("the file is there");
    let document: serde_json::Value = serde_json::from_str(&pid_file).expect("JSON");
    assert_eq!(document["pid"], node.id());
    assert_eq!(document["options"]["command"], "start");
    check(directory.path(), &["status", "--cbdir", "."], 0, &["Status is RUNNING"]);
    check(directory.path(), &["start", "--cbdir", "."], 1, &["already running"]);
    check(directory.path(), &["stop", "--cbdir", "."], 0, &["exited gracefully"]);
    assert_eq!(node.wait().expect("it ended").code(), Some(0));
    assert!(!directory.path().join("node.pid").exists());
}

#[test]
fn the_default_node_is_not_taken_for_a_configured_one() {
    let directory = directory();
    let start = ["start", "--cbdir", "elsewhere"];
    check(directory.path(), &start, 1, &["elsewhere does not exist", "crossring init"]);
    assert!(!directory.path().join("elsewhere").exists());
    std::fs::create_dir(directory.path().join("elsewhere")).expect("made");
    std::fs::write(directory.path().join("elsewhere/config.yml"), UNIX_NODE).expect("written");
    check(directory.path(), &start, 1, &["config.yml is not read", "config.yaml"]);
    std::fs::create_dir(directory.path().join("elsewhere/config.yaml")).expect("made");
    check(directory.path(), &start, 1, &["elsewhere/config.yaml", "directory"]);
}

#[test]
fn a_moved_log_begins_anew_and_signals_are_survived() {
    let directory = directory();
    std::fs::write(directory.path().join("config.yaml"), UNIX_NODE).expect("written");
    let mut node = Command::new(env!("CARGO_BIN_EXE_crossring"))
        .args(["start", "--cbdir", ".", "--shards", "1", "--logtofile"])
        .current_dir(directory.path())
        .spawn()
        .expect("the binary starts");
    let (log, moved) = (directory.path().join("node.log"), directory.path().join("node.log.1"));
    let wait_for = |file: &Path, text: &str| {
        let is_there = || std::fs::read_to_string(file).is_ok_and(|log| log.contains(text));
        assert!(wait_until(is_there), "no {text:?} in {}", file.display());
    };
    wait_for(&log, "listening on");
    std::fs::rename(&log, &moved).expect("moved");
    let pid = Pid::from_child(&node);
    for (signal, text) in [
        (Signal::USR1, "SIGUSR1: the log goes on"),
        (Signal::USR2, "SIGUSR2: nothing"),
        (Signal::HUP, "SIGHUP: certificates are read again; the configuration"),
    ] {
        kill_process(pid, signal).expect("it runs");
        wait_for(&log, text);
    }
    wait_for(&moved, "listening on");
    check(directory.path(), &["stop", "--cbdir", "."], 0, &["exited gracefully"]);
    assert_eq!(node.wait().expect("it ended").code(), Some(0));
}

#[test]
fn a_node_stops_by_itself_and_logs_to_a_file() {
    let directory = directory();
    std::fs::write(directory.path().join("config.yaml"), UNIX_NODE).expect("written");
    let start = [
        "start",
        "--cbdir",
        ".",
        "--shards",
        "1",
        "--shutdownafter",
        "1",
        "--logtofile",
        "--logformat",
        "json",
    ];
    check(directory.path(), &start, 0, &[]);
    let log = std::fs::read_to_string(directory.path().join("node.log")).expect("a log");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(log.contains("listening on"), "{log}");
}
