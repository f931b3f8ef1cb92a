//! A headless Chromium: AutobahnJS over WebSocket and over long-poll in a page that the router serves, with TLS and
//! without, and every web service with the means of a page. The checks are in `tests/clients/browser.js` and
//! `tests/clients/services.js`.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::site::{HOOK_SECRET, KEY, SECRET, Site};
use super::support::Program;
use super::{clients, program};

/// How long all checks together may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Checks that there are.
const CHECKS: usize = 29;

#[test]
fn a_browser_is_served() {
    let Some(chromium) = program(&["chromium", "chromium-browser", "google-chrome"]) else { return };
    let Some(clients) = clients() else { return };
    let site = Site::start(&clients, "auto");
    let mut checks = Command::new("node");
    checks.arg(clients.join("browser.js")).arg("--chromium").arg(chromium);
    checks.arg("--profile").arg(site.directory.path().join("profile"));
    checks.args(["--port", &site.at.port().to_string(), "--secured", &site.secured.port().to_string()]);
    checks.args(["--pin", &site.pin, "--key", KEY, "--secret", SECRET, "--hook-secret", HOOK_SECRET]);
    let ended = Program::start(checks).finish(LIMIT);
    let is_passed =
        |line: &&String| serde_json::from_str::<Value>(line).is_ok_and(|check| check["ok"] == true);
    let passed = ended.lines.iter().filter(is_passed).count();
    let report = ended.lines.join("\n");
    assert!(
        ended.status.success() && passed == CHECKS,
        "{passed} of {CHECKS} passed\n{report}\n{}\nrouter:\n{}",
        ended.errors,
        site.router.log()
    );
    println!("{report}");
    site.stop();
}
