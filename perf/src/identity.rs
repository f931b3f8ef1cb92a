//! The one identity of the generator, in every method: what a router is configured with, and what the sessions prove.
//!
//! SCRAM salts its password once: what is measured is the router, not how long a client derives a key.

use std::{fmt, str::FromStr, sync::OnceLock};

use crossring_router::{
    client::Credentials,
    config::{PrivateKey, Secret},
    credentials::{
        cryptosign,
        scram::{Dialect, Kdf, SaltedPassword},
        to_hex,
    },
};
use serde_json::{Value, json};

/// How a session joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Without proof.
    #[default]
    Anonymous,
    /// `ticket`
    Ticket,
    /// `wampcra`, the secret not salted.
    Cra,
    /// `scram` in Autobahn's dialect, the password salted with argon2id.
    Scram,
    /// `cryptosign`
    Cryptosign,
}

/// Every method.
pub const METHODS: [Method; 5] =
    [Method::Anonymous, Method::Ticket, Method::Cra, Method::Scram, Method::Cryptosign];

const AUTHID: &str = "perf";
const ROLE: &str = "anonymous";
const TICKET: &str = "perf-ticket";
const SECRET: &str = "perf-secret";
const SALT: &[u8] = b"0123456789abcdef";
const PRIVATE_KEY: [u8; 32] = [7; 32];
const ITERATIONS: u32 = 2;
const MEMORY_KIB: u32 = 64 * 1024;

impl Method {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Anonymous => "anonymous",
            Method::Ticket => "ticket",
            Method::Cra => "wampcra",
            Method::Scram => "scram",
            Method::Cryptosign => "cryptosign",
        }
    }

    /// `authid` and what proves it; `None` where nothing has to be proved.
    pub fn identity(self) -> Option<(Option<String>, Credentials)> {
        let credentials = match self {
            Method::Anonymous => return None,
            Method::Ticket => Credentials::Ticket(Secret::new(TICKET)),
            Method::Cra => Credentials::Cra(Secret::new(SECRET)),
            Method::Scram => Credentials::Salted(Dialect::Autobahn, salted()),
            Method::Cryptosign => Credentials::Cryptosign(PrivateKey::new(PRIVATE_KEY)),
        };
        Some((Some(AUTHID.to_owned()), credentials))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(word: &str) -> Result<Method, ()> {
        METHODS.into_iter().find(|method| method.as_str() == word).ok_or(())
    }
}

/// `auth` of a transport that takes every method.
pub fn auth() -> Value {
    let keys = salted().keys();
    let principals = |principal: Value| json!({"type": "static", "principals": {AUTHID: principal}});
    json!({
        "anonymous": {"type": "static", "role": ROLE},
        "ticket": principals(json!({"ticket": TICKET, "role": ROLE})),
        "wampcra": {"type": "static", "users": {AUTHID: {"secret": SECRET, "role": ROLE}}},
        "scram": principals(json!({
            "kdf": "argon2id-13",
            "iterations": ITERATIONS,
            "memory": MEMORY_KIB,
            "salt": to_hex(SALT),
            "stored-key": to_hex(&keys.stored),
            "server-key": to_hex(&keys.server),
            "role": ROLE,
        })),
        "cryptosign": principals(json!({
            "authorized_keys": [cryptosign::public_key(&PRIVATE_KEY)],
            "role": ROLE,
        })),
    })
}

fn salted() -> SaltedPassword {
    static SALTED: OnceLock<SaltedPassword> = OnceLock::new();
    let kdf = Kdf::Argon2id { iterations: ITERATIONS, memory_kib: MEMORY_KIB };
    let derive = || SaltedPassword::derive(Dialect::Autobahn, kdf, SECRET, SALT);
    SALTED.get_or_init(|| derive().expect("the parameters are in bounds")).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_configured_and_can_be_proved() {
        let auth = auth();
        for method in METHODS {
            assert!(auth[method.as_str()].is_object(), "{method}");
            assert_eq!(method.to_string().parse(), Ok(method));
            assert_eq!(method.identity().is_none(), method == Method::Anonymous);
        }
    }
}
