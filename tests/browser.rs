//! A headless Chromium against the real binary: AutobahnJS over WebSocket and over long-poll in a page that the router
//! serves, and a look at the other web services. The checks are in `tests/clients/browser.js`.

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

/// How long all checks together may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Checks that there are.
const CHECKS: usize = 14;

#[test]
fn a_browser_is_served() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let Some(chromium) = chromium() else {
        println!("skipped: there is no Chromium; `bash .ci/test` installs it where it may");
        return;
    };
    if !clients.join("node_modules/autobahn-browser").exists() {
        assert!(env::var_os("CI").is_none(), "packages of the clients are missing");
        println!("skipped: packages of the clients are missing; `bash .ci/test` installs them");
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let config = directory.path().join("config.json");
    fs::write(&config, node(at, &clients).to_string()).expect("a file");
    fs::create_dir(directory.path().join("files")).expect("a directory");
    fs::write(directory.path().join("files/a <b>.txt"), "what is in it").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossring"));
    command.arg("start").arg("--cbdir").arg(directory.path()).arg("--config").arg(&config);
    let router = Router::start(command, directory.path().join("log"), &[Address::Tcp(at)]);

    let mut checks = Command::new("node");
    checks.arg(clients.join("browser.js")).arg("--chromium").arg(chromium);
    checks.arg("--profile").arg(directory.path().join("profile"));
    checks.args(["--port", &at.port().to_string()]);
    let ended = Program::start(checks).finish(LIMIT);
    let is_passed =
        |line: &&String| serde_json::from_str::<Value>(line).is_ok_and(|check| check["ok"] == true);
    let passed = ended.lines.iter().filter(is_passed).count();
    let report = ended.lines.join("\n");
    assert!(
        ended.status.success() && passed == CHECKS,
        "{report}\n{}\nrouter:\n{}",
        ended.errors,
        router.log()
    );
    println!("{report}");
    assert!(router.stop().success());
}

fn node(at: SocketAddr, clients: &Path) -> Value {
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let role = json!({"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let files = |directory: PathBuf| json!({"type": "static", "directory": directory, "options": {"cache_timeout": null}});
    let joe = json!({"joe": {"ticket": "secret", "role": "anonymous"}});
    let rest = |kind: &str| json!({"type": kind, "realm": "realm1", "role": "anonymous"});
    json!({
        "version": 2,
        "controller": {"options": {"shards": 2}},
        "workers": [{
            "type": "router",
            "realms": [{"name": "realm1", "roles": [role]}],
            "transports": [{
                "type": "web",
                "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": at.port()},
                "paths": {
                    "/": files(clients.join("browser")),
                    "autobahn": files(clients.join("node_modules/autobahn-browser")),
                    "files": {"type": "static", "directory": "files", "options": {"enable_directory_listing": true}},
                    "ws": {"type": "websocket"},
                    "lp": {"type": "longpoll"},
                    "tickets": {"type": "longpoll", "auth": {"ticket": {"type": "static", "principals": joe}}},
                    "info": {"type": "nodeinfo"},
                    "doc": {"type": "json", "value": {"a": ["ü"]}},
                    "to": {"type": "redirect", "url": "/info"},
                    "deep": {"type": "path", "paths": {"er": {"type": "path", "paths": {"doc": {"type": "json", "value": 1}}}}},
                    "push": rest("publisher"),
                    "call": rest("caller"),
                },
            }],
        }],
    })
}

/// The browser's program, if there is one.
fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places = env::split_paths(&path).flat_map(|directory| {
        ["chromium", "chromium-browser", "google-chrome"].map(|name| directory.join(name))
    });
    places.into_iter().find(|program| program.is_file())
}
