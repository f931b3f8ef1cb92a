//! The node of docs/guide/running.md, as it is there.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::support::{Address, Program, Router, free_port};

const PROCEDURE: &str = "com.example.time";

/// A client command; its output or its complaint.
fn run(arguments: &[&str], url: &str, ticket: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.args(arguments).args(["--authmethod", "ticket", "--authid", "joe", "--url", url]);
    let output = command.env("CROSSRING_TICKET", ticket).output().expect("the binary starts");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_member_logs_in_and_calls_a_program_of_the_host() {
    let directory = TempDir::new().expect("a temporary directory");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/examples/node.yaml");
    std::fs::copy(example, directory.path().join("config.yaml")).expect("copied");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let socket = directory.path().join("wamp.sock");
    let mut start = super::start_command(&directory, "config.yaml");
    start.env("PORT", at.port().to_string()).env("JOE_TICKET", "s3cret");
    let places = [Address::Tcp(at), Address::Unix(socket.clone())];
    let router = Router::start(start, directory.path().join("log"), &places);

    let mut register = Command::new(env!("CARGO_BIN_EXE_crossring"));
    register.args(["register", PROCEDURE, "--result", "\"noon\"", "--url"]);
    let mut callee = Program::start({
        register.arg(format!("rs+unix:{}", socket.display()));
        register
    });
    let url = format!("ws://{at}/ws");
    let call = ["call", PROCEDURE];
    let is_answered = || run(&call, &url, "s3cret").contains(r#""args":["noon"]"#);
    assert!(super::support::wait_until(is_answered), "{}", router.log());
    assert!(callee.line().contains(PROCEDURE));
    assert!(run(&call, &url, "wrong").contains("wamp.error.not_authorized"));
    let publish = ["pub", PROCEDURE, "1", "--acknowledge"];
    assert!(run(&publish, &url, "s3cret").contains("not authorized to publish"));
    assert!(router.stop().success());
}
