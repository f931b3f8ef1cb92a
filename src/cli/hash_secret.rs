//! `crossring hash-secret`: entries for the configuration made from a password, which is read from standard input and
//! never from the command line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crossring_router::credentials::scram::{Dialect, Kdf, SaltedPassword};
use crossring_router::credentials::to_hex;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use super::{outcome, say};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Method the entry is for.
    #[arg(long, value_enum, default_value_t = Method::Scram)]
    method: Method,
    /// authid of the entry.
    #[arg(long)]
    authid: String,
    /// authrole of the entry.
    #[arg(long, default_value = "user")]
    role: String,
    /// Passes of Argon2id (scram), or rounds of PBKDF2 (wampcra) [default: 2, or 10000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    iterations: Option<u32>,
    /// Memory of Argon2id in KiB.
    #[arg(long, default_value_t = 19_456, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    memory: u32,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Method {
    /// `auth.scram.principals`: keys from which nobody gets the password, for `scram` and `wamp-scram`.
    Scram,
    /// `auth.wampcra.users`: the password itself and a salt, as Crossbar.io wants it.
    Wampcra,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    outcome(read_password().and_then(|password| {
        let entry = match arguments.method {
            Method::Scram => scram(arguments, &password)?,
            Method::Wampcra => wampcra(arguments, &password)?,
        };
        let entry = json!({ &arguments.authid: entry });
        let text = serde_json::to_string_pretty(&entry).map_err(|error| error.to_string())?;
        say!("{text}");
        Ok(())
    }))
}

fn scram(arguments: &Arguments, password: &str) -> Result<Value, String> {
    let salt = random_octets()?;
    let kdf = Kdf::Argon2id { iterations: arguments.iterations.unwrap_or(2), memory_kib: arguments.memory };
    let keys = |dialect| {
        let salted = SaltedPassword::derive(dialect, kdf, password, &salt);
        salted.map(|salted| salted.keys()).map_err(|fault| fault.to_string())
    };
    let (autobahn, specification) = (keys(Dialect::Autobahn)?, keys(Dialect::Specification)?);
    Ok(json!({
        "kdf": "argon2id-13",
        "iterations": kdf.iterations(),
        "memory": arguments.memory,
        "salt": to_hex(&salt),
        "stored-key": to_hex(&autobahn.stored),
        "server-key": to_hex(&autobahn.server),
        "wamp-scram-stored-key": to_hex(&specification.stored),
        "wamp-scram-server-key": to_hex(&specification.server),
        "role": arguments.role,
    }))
}

fn wampcra(arguments: &Arguments, password: &str) -> Result<Value, String> {
    Ok(json!({
        "secret": password,
        "salt": to_hex(&random_octets()?),
        "iterations": arguments.iterations.unwrap_or(10_000),
        "keylen": 32,
        "role": arguments.role,
    }))
}

fn random_octets() -> Result<[u8; 16], String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}

/// One line; from a terminal it is asked for and not shown.
fn read_password() -> Result<String, String> {
    let input = std::io::stdin();
    let shown = input.is_terminal().then(|| hide(&input)).transpose()?;
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(shown) = shown {
        let _ = tcsetattr(&input, OptionalActions::Now, &shown);
        let _ = writeln!(std::io::stderr());
    }
    read.map_err(|error| format!("cannot read the password: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        Err("no password on standard input".to_owned())
    } else {
        Ok(password.to_owned())
    }
}

/// Asks, and stops the echo; returns how the terminal was.
fn hide(input: &std::io::Stdin) -> Result<rustix::termios::Termios, String> {
    let failed = |error: rustix::io::Errno| format!("cannot hide the password: {error}");
    let shown = tcgetattr(input).map_err(failed)?;
    let mut hidden = shown.clone();
    hidden.local_modes -= LocalModes::ECHO;
    tcsetattr(input, OptionalActions::Now, &hidden).map_err(failed)?;
    let _ = write!(std::io::stderr(), "Password: ");
    Ok(shown)
}
