//! Cryptosign by certificate chain: a router that trusts a root, and clients with good and bad chains.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use super::support::{Address, Program, Router, free_port};
use super::{Kind, SUITE_LIMIT, Tools, clients_directory, root_directory, start_command};

#[test]
fn autobahn_joins_by_certificate_chain() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let certificates = root_directory().join("router/tests/certificates");
    fs::copy(certificates.join("root.cbor"), directory.path().join("root.cbor"))
        .expect("root.cbor is tracked");
    let ports = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    let config = directory.path().join("config.json");
    fs::write(&config, node_config(&ports).to_string()).expect("the configuration is writable");
    let command = start_command(&Kind::Crossring { shards: 2 }, directory.path(), &config);
    let router = Router::start(command, directory.path().join("log"), &ports.map(Address::Tcp));

    let mut script = Command::new(&tools.python);
    script.arg(clients_directory().join("certified.py"));
    script.arg("--chains").arg(certificates.join("chains.json"));
    script.args([format!("--route=ws://{}/ws", ports[0]), format!("--route=tcp://{}", ports[1])]);
    let ended = Program::start(script).finish(SUITE_LIMIT);
    let is_passed =
        |line: &&String| serde_json::from_str::<Value>(line).is_ok_and(|check| check["ok"] == true);
    assert!(
        ended.lines.iter().filter(is_passed).count() == 36 && ended.status.success(),
        "{}\n{}\nrouter:\n{}",
        ended.lines.join("\n"),
        ended.errors,
        router.log(),
    );
    assert!(router.stop().success());
}

fn node_config(ports: &[SocketAddr; 2]) -> Value {
    let all = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let edge = json!({"name": "edge", "permissions": [{"uri": "", "match": "prefix", "allow": all}]});
    let account = "0xf766Dc789CF04CD18aE75af2c5fAf2DA6650Ff57";
    let trustroots = json!({
        "realm1": {"certificate": "root.cbor", "role": "edge", "block": 20_000_000},
        "entrance": {"trustroot": account, "realm": "realm1", "role": "edge"},
    });
    let transport = |transport: &str, at: SocketAddr| {
        json!({
            "type": transport,
            "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": at.port()},
            "auth": {"cryptosign": {"type": "static", "trustroots": trustroots}},
        })
    };
    json!({
        "version": 2,
        "controller": {"options": {"shards": 2}},
        "workers": [{
            "type": "router",
            "realms": [{"name": "realm1", "roles": [edge]}],
            "transports": [transport("websocket", ports[0]), transport("rawsocket", ports[1])],
        }],
    })
}
