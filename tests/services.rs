//! The web services of one node as foreign programs see them: curl, and a headless Chromium with AutobahnJS.

#![forbid(unsafe_code)]

#[path = "services/browser.rs"]
mod browser;
#[path = "services/curl.rs"]
mod curl;
#[path = "services/site.rs"]
mod site;
mod support;

use std::env;
use std::path::{Path, PathBuf};

/// A program on the search path.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut places =
        env::split_paths(&path).flat_map(|directory| names.iter().map(move |name| directory.join(name)));
    places.find(|program| program.is_file())
}

/// The directory of the foreign clients, if their packages are there. Without them continuous integration fails.
fn clients() -> Option<PathBuf> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if clients.join("node_modules/autobahn-browser").exists() {
        return Some(clients);
    }
    assert!(env::var_os("CI").is_none(), "packages of the clients are missing");
    println!("skipped: packages of the clients are missing; `bash .ci/test` installs them");
    None
}
