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

/// A program on the search path, by the first of its names that is there. None may be missing where `.ci/test` could install it.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places =
        env::split_paths(&path).flat_map(|directory| names.iter().map(move |name| directory.join(name)));
    let program = places.find(|program| program.is_file());
    if program.is_none() {
        assert!(env::var_os("FOREIGN_PROGRAMS").is_none(), "{} is missing", names[0]);
        println!("skipped: there is no {}; `bash .ci/test` installs it where it may", names[0]);
    }
    program
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
