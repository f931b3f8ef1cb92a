//! Programs that answer requests.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use super::support::wait_until;
use super::web::{Site, again_with_epoll, ask};

/// Scripts for the shell, by name.
const SCRIPTS: [(&str, &str); 9] = [
    ("env", "printf 'Content-Type: text/plain\\n\\n'; env; ls -l /proc/$$/fd"),
    ("echo", "printf 'Content-Type: text/plain\\r\\nX-Own: 1\\r\\n\\r\\n'; cat"),
    ("there", "printf 'Location: /elsewhere\\n\\n'"),
    ("status", "printf 'Status: 418 Teapot\\nContent-Type: text/plain\\n\\nshort'; echo complaint >&2"),
    ("none", "echo what"),
    ("silent", "sleep 1000"),
    ("stuck", "printf 'Content-Type: text/plain\\n\\n'; sleep 1000"),
    (
        "much",
        "echo $$ > pid; sleep 1000 & echo $! > child; printf 'Content-Type: a/b\\n\\n'; while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done",
    ),
    ("held", "printf 'Content-Type: a/b\\n\\n'; echo $$ > running; cat fifo"),
];

fn site(change: impl FnOnce(&mut Value)) -> Site {
    let mut service = json!({"type": "cgi", "directory": "cgi", "processor": "sh", "timeout": 1});
    change(&mut service);
    Site::start(&json!({"/": {"type": "nodeinfo"}, "cgi": service}), &json!({}), |directory| {
        let scripts = directory.join("cgi/sub");
        std::fs::create_dir_all(&scripts).expect("a directory");
        for (name, text) in SCRIPTS {
            std::fs::write(scripts.join(name), text).expect("a file");
        }
    })
}

#[test]
fn scripts_know_their_request_and_nothing_of_the_router() {
    let site = site(|_| {});
    let fields = "Cookie: a=1\r\nX_Hidden: 1\r\nProxy: evil\r\nAuthorization: secret\r\n";
    let told = site.ask("GET /cgi/sub/env/more%20path?q=1&r", fields);
    assert_eq!(told.status, 200);
    let text = told.text();
    let file = site.directory.path().canonicalize().expect("a path").join("cgi/sub/env");
    for line in [
        "GATEWAY_INTERFACE=CGI/1.1",
        "PATH_INFO=/more path",
        "QUERY_STRING=q=1&r",
        "REMOTE_ADDR=127.0.0.1",
        "REQUEST_METHOD=GET",
        "SCRIPT_NAME=/cgi/sub/env",
        "SERVER_NAME=localhost",
        "SERVER_PROTOCOL=HTTP/1.1",
        "HTTP_COOKIE=a=1",
        &format!("SCRIPT_FILENAME={}", file.display()),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    for gone in ["HTTP_PROXY", "HTTP_X_HIDDEN", "HTTP_AUTHORIZATION", "HOME=", "CARGO"] {
        assert!(!text.lines().any(|line| line.starts_with(gone)), "{gone} in {text}");
    }
    let open = text.lines().filter_map(|line| line.split_once(" -> ").map(|(_, to)| to));
    let own = ["/dev/null".to_owned(), file.display().to_string()];
    let foreign = open.filter(|to| !to.starts_with("pipe:") && !own.iter().any(|own| own == to));
    assert_eq!(foreign.collect::<Vec<_>>(), [""; 0], "{text}");
}

#[test]
fn scripts_answer_with_heads_and_bodies() {
    let site = site(|service| service["post_body_limit"] = json!(100_000));
    let large = "y".repeat(100_000);
    let echoed = site.post("/cgi/sub/echo", &large);
    assert!(echoed.status == 200 && echoed.text() == large, "{} octets", echoed.body.len());
    assert_eq!(echoed.field("x-own"), Some("1"));
    assert_eq!(site.post("/cgi/sub/echo", &"y".repeat(100_001)).status, 413);
    let there = site.ask("GET /cgi/sub/there", "");
    assert_eq!((there.status, there.field("location")), (302, Some("/elsewhere")));
    let teapot = site.ask("GET /cgi/sub/status", "");
    assert_eq!((teapot.status, teapot.text().as_str()), (418, "short"));
    assert!(wait_until(|| site.router.log().contains("complaint")), "what scripts complain of is in the log");
    for (path, status) in
        [("none", 502), ("silent", 504), ("nothing", 404), ("", 404), ("..%2f..%2flog", 404)]
    {
        assert_eq!(site.ask(&format!("GET /cgi/sub/{path}"), "").status, status, "{path}");
    }
}

#[test]
fn a_script_ends_with_all_it_has_started_when_nobody_listens() {
    let site = site(|service| service["timeout"] = json!(60));
    let pid = |name: &str| {
        let text = std::fs::read_to_string(site.directory.path().join("cgi/sub").join(name)).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    };
    let mut stream = site.connect();
    write!(stream, "GET /cgi/sub/much HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    stream.read_exact(&mut [0; 100_000]).expect("an endless body");
    let started = [pid("pid").expect("it runs"), pid("child").expect("it runs")];
    assert!(started.iter().all(|pid| test_kill_process(*pid).is_ok()));
    drop(stream);
    assert!(wait_until(|| started.iter().all(|pid| test_kill_process(*pid).is_err())), "all are gone");
}

#[test]
fn a_script_that_says_no_more_is_ended() {
    let site = site(|_| {});
    let mut stream = site.connect();
    write!(stream, "GET /cgi/sub/stuck HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    // The body has no end, so the connection has to have one, of whatever kind.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200") && !answer.ends_with(b"0\r\n\r\n"));
}

#[test]
fn only_so_many_scripts_run_at_once() {
    let site = site(|service| {
        service["max_processes"] = json!(1);
        service["timeout"] = json!(60);
    });
    make_fifo(&site.directory.path().join("cgi/sub/fifo"));
    let mut held: Vec<_> = (0..2).map(|_| site.connect()).collect();
    for stream in &mut held {
        write!(stream, "GET /cgi/sub/held HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    }
    let running = site.directory.path().join("cgi/sub/running");
    assert!(wait_until(|| running.exists()));
    // One runs, one waits, and the rest is turned away.
    assert!(wait_until(|| {
        let mut stream = site.connect();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a timeout");
        write!(stream, "GET /cgi/sub/echo HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut octets = [0; 12];
        stream.read_exact(&mut octets).is_ok() && &octets == b"HTTP/1.1 503"
    }));
    drop(held);
    assert!(wait_until(|| ask(&mut site.connect(), "GET /cgi/sub/there", "").status == 302));
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

#[test]
fn scripts_work_with_epoll_too() {
    again_with_epoll(&[
        scripts_know_their_request_and_nothing_of_the_router,
        scripts_answer_with_heads_and_bodies,
        a_script_ends_with_all_it_has_started_when_nobody_listens,
        a_script_that_says_no_more_is_ended,
        only_so_many_scripts_run_at_once,
    ]);
}
