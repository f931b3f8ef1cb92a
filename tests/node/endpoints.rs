//! Where a node listens: sockets passed by a service manager, Unix sockets and their files, port ranges, IPv6.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crossring::client::{Client, ClientError, Destination};
use crossring::tls::ClientSettings;
use crossring_codec::serializer::{Serializer, SerializerId};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::start_command;
use super::support::{PATIENCE, Router, free_port, wait_until};

/// A directory with a node that listens at `endpoints` and speaks RawSocket.
fn directory_of(endpoints: &[Value]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let transport = |endpoint: &Value| json!({"type": "rawsocket", "endpoint": endpoint});
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let transports: Vec<Value> = endpoints.iter().map(transport).collect();
    let document = json!({
        "version": 2,
        "controller": {"options": {"shards": 2}},
        "workers": [{"type": "router", "realms": [{"name": "realm1", "roles": [role]}], "transports": transports}]
    });
    std::fs::write(directory.path().join("config.json"), document.to_string()).expect("writable");
    directory
}

fn start(directory: &TempDir, command: Command) -> Router {
    let router = Router::start(command, directory.path().join("log"), &[]);
    assert!(wait_until(|| router.log().contains("realms: realm1")), "{}", router.log());
    router
}

fn join(url: &str) -> Result<Client, ClientError> {
    Client::join(&Destination {
        url: url.parse().expect("a URL"),
        tls: ClientSettings::default(),
        realm: "realm1".into(),
        serializer: Serializer::plain(SerializerId::Cbor),
        identity: None,
        timeout: PATIENCE,
    })
}

#[test]
fn a_service_manager_passes_sockets() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let directory = directory_of(&[json!({"type": "inherited", "name": "wamp"})]);
    let node = start_command(&directory, "config.json");
    let mut shell = Command::new("sh");
    let environment = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=wamp";
    shell.args(["-c", &format!("exec 3<&0 0</dev/null; {environment} exec \"$@\""), "sh"]);
    shell.arg(node.get_program()).args(node.get_args());
    let child = shell.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let log = std::fs::File::create(directory.path().join("log")).expect("writable");
    let mut child = child.stderr(log).spawn().expect("a shell");
    let clients: Vec<_> = (0..8).map(|_| join(&format!("rs://127.0.0.1:{port}"))).collect();
    let _ = child.kill();
    let _ = child.wait();
    let log = std::fs::read_to_string(directory.path().join("log")).expect("readable");
    assert!(clients.iter().all(Result::is_ok), "{log}");
    assert!(log.contains("inherited socket \"wamp\""), "{log}");
}

#[test]
fn sockets_that_were_not_passed_are_missed() {
    let directory = directory_of(&[json!({"type": "inherited"})]);
    let output = start_command(&directory, "config.json").output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("without sockets (LISTEN_FDS)"), "{said}");
}

#[test]
fn unix_sockets_have_mode_and_owner_and_replace_what_is_left_of_others() {
    let own = std::fs::metadata("/proc/self").expect("a process");
    let endpoint =
        json!({"type": "unix", "path": "node.sock", "mode": "0640", "user": own.uid(), "group": own.gid()});
    let directory = directory_of(&[endpoint]);
    let path = directory.path().join("node.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that nobody listens on"));
    let router = start(&directory, start_command(&directory, "config.json"));
    let file = std::fs::metadata(&path).expect("the socket");
    assert_eq!((file.permissions().mode() & 0o777, file.uid(), file.gid()), (0o640, own.uid(), own.gid()));
    let client = join(&format!("rs+unix:{}", path.display())).expect("everybody may join");
    client.leave().expect("an orderly end");
    assert!(router.stop().success());
    assert!(!path.exists());
}

#[test]
fn abstract_names_need_no_file() {
    let name = format!("@crossring-test-{}", std::process::id());
    let directory = directory_of(&[json!({"type": "unix", "path": name})]);
    let router = start(&directory, start_command(&directory, "config.json"));
    join(&format!("rs+unix:{name}")).expect("everybody may join");
    assert!(!directory.path().join(&name).exists() && !Path::new(&name).exists());
    drop(router);
}

#[test]
fn the_first_free_port_of_a_range_is_taken() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let first = taken.local_addr().expect("bound").port();
    let last = first.saturating_add(20);
    let endpoint = json!({"type": "tcp", "interface": "127.0.0.1", "portrange": [first, last]});
    let directory = directory_of(&[endpoint]);
    let router = start(&directory, start_command(&directory, "config.json"));
    let log = router.log();
    let port = log.split_once("listening on 127.0.0.1:").and_then(|(_, rest)| rest.split_once('\n'));
    let port: u16 = port.and_then(|(port, _)| port.trim().parse().ok()).unwrap_or_else(|| panic!("{log}"));
    assert!((first + 1..=last).contains(&port));
    join(&format!("rs://127.0.0.1:{port}")).expect("everybody may join");
}

#[test]
fn version_6_environment_and_socket_options() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let port = free_port();
    let directory = directory_of(&[json!({
        "type": "tcp", "version": 6, "interface": "${HERE}", "port": "${PORT}",
        "user_timeout": 5000, "shared": true, "backlog": 16
    })]);
    let mut command = start_command(&directory, "config.json");
    command.env("HERE", "::1").env("PORT", port.to_string());
    let router = start(&directory, command);
    join(&format!("rs://[::1]:{port}")).expect("everybody may join");
    drop(router);
}
