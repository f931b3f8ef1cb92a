//! SCRAM: a password is proved without being told, in both directions (WAMP specification, "Salted Challenge Response
//! Authentication Mechanism"; RFC 5802), and Autobahn's dialect of it.

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{from_base64, to_base64};

/// Which of the two forms is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// `wamp-scram`
    Specification,
    /// `scram`, as Autobahn|Python and Crossbar.io speak it: the salted password is the base64 text of the derived octets
    /// (without padding), the identity is not escaped, and there is no channel binding.
    Autobahn,
}

/// How a password becomes a salted password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kdf {
    /// Argon2id 1.3 with one lane.
    Argon2id {
        /// Passes.
        iterations: u32,
        /// Memory in KiB.
        memory_kib: u32,
    },
    /// PBKDF2-HMAC-SHA256.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
    },
}

/// Bounds of what a peer may ask to be computed. They protect clients from a hostile challenge.
pub const ARGON2_ITERATIONS_MAX: u32 = 4096;
/// See [`ARGON2_ITERATIONS_MAX`].
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
/// See [`ARGON2_ITERATIONS_MAX`].
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;
/// Longest salt, in octets.
pub const SALT_LENGTH_MAX: usize = 1024;

/// Why a password cannot be salted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The parameters are out of bounds.
    Parameters,
    /// The text holds code points that SASLprep (RFC 4013) forbids.
    Text,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Parameters => "the cost parameters or the salt are out of bounds",
            Fault::Text => "the text holds characters that are not allowed in passwords and identities",
        })
    }
}

/// What a client proves that it knows.
#[derive(Clone, Eq)]
pub struct SaltedPassword(Vec<u8>);

impl PartialEq for SaltedPassword {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for SaltedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SaltedPassword(…)")
    }
}

/// What a router stores: it can check a proof, and prove that it can, but not log in elsewhere.
#[derive(Clone, Eq)]
pub struct StoredKeys {
    /// Hash of the client key.
    pub stored: [u8; 32],
    /// Key of the server's signature.
    pub server: [u8; 32],
}

impl PartialEq for StoredKeys {
    fn eq(&self, other: &Self) -> bool {
        (self.stored.ct_eq(&other.stored) & self.server.ct_eq(&other.server)).into()
    }
}

impl std::fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredKeys(…)")
    }
}

impl SaltedPassword {
    /// Derives it. Expensive on purpose: up to seconds and [`ARGON2_MEMORY_KIB_MAX`].
    ///
    /// # Errors
    /// Parameters out of bounds, or a password that cannot be normalized.
    pub fn derive(dialect: Dialect, kdf: Kdf, password: &str, salt: &[u8]) -> Result<Self, Fault> {
        let password = stringprep::saslprep(password).map_err(|_| Fault::Text)?;
        let octets = kdf.derive(password.as_bytes(), salt)?;
        Ok(Self(match dialect {
            Dialect::Specification => octets.to_vec(),
            Dialect::Autobahn => to_base64(&octets).trim_end_matches('=').into(),
        }))
    }

    fn client_key(&self) -> [u8; 32] {
        mac(&self.0, b"Client Key")
    }

    /// What a router is to store for it.
    pub fn keys(&self) -> StoredKeys {
        StoredKeys { stored: Sha256::digest(self.client_key()).into(), server: mac(&self.0, b"Server Key") }
    }

    /// The proof, base64.
    pub fn proof(&self, auth_message: &str) -> String {
        let signature = mac(&self.keys().stored, auth_message.as_bytes());
        to_base64(&xor(&self.client_key(), &signature))
    }
}

impl Kdf {
    fn derive(self, password: &[u8], salt: &[u8]) -> Result<[u8; 32], Fault> {
        let mut octets = [0; 32];
        match self {
            _ if salt.len() > SALT_LENGTH_MAX => Err(Fault::Parameters),
            Kdf::Pbkdf2 { iterations } if (1..=PBKDF2_ITERATIONS_MAX).contains(&iterations) => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut octets);
                Ok(octets)
            }
            Kdf::Argon2id { iterations, memory_kib }
                if iterations <= ARGON2_ITERATIONS_MAX && memory_kib <= ARGON2_MEMORY_KIB_MAX =>
            {
                let params = Params::new(memory_kib, iterations, 1, Some(octets.len()));
                let argon2 = params.map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params));
                argon2
                    .and_then(|argon2| argon2.hash_password_into(password, salt, &mut octets))
                    .map_err(|_| Fault::Parameters)?;
                Ok(octets)
            }
            Kdf::Argon2id { .. } | Kdf::Pbkdf2 { .. } => Err(Fault::Parameters),
        }
    }

    /// Passes or rounds.
    pub const fn iterations(self) -> u32 {
        match self {
            Kdf::Argon2id { iterations, .. } | Kdf::Pbkdf2 { iterations } => iterations,
        }
    }
}

impl StoredKeys {
    /// Whether `proof` (base64) is that of somebody who knows the password.
    pub fn verify(&self, auth_message: &str, proof: &str) -> bool {
        let Some(proof) = from_base64(proof).and_then(|octets| <[u8; 32]>::try_from(octets).ok()) else {
            return false;
        };
        let client_key = xor(&proof, &mac(&self.stored, auth_message.as_bytes()));
        let stored: [u8; 32] = Sha256::digest(client_key).into();
        stored.ct_eq(&self.stored).into()
    }

    /// The router's own proof, base64.
    pub fn server_signature(&self, auth_message: &str) -> String {
        to_base64(&mac(&self.server, auth_message.as_bytes()))
    }
}

/// A channel binding as it is proved: its type and the transport's data.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// `tls-unique`, `tls-exporter`, …
    pub name: &'a str,
    /// The data of that type.
    pub data: &'a [u8],
}

/// What both sides sign.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The dialect spoken.
    pub dialect: Dialect,
    /// The identity as requested.
    pub authid: &'a str,
    /// The client's nonce, as text.
    pub client_nonce: &'a str,
    /// The whole nonce, as text.
    pub nonce: &'a str,
    /// The salt, base64 as in the challenge.
    pub salt: &'a str,
    /// Passes or rounds.
    pub iterations: u32,
    /// The channel binding in use.
    pub binding: Option<Binding<'a>>,
}

impl Exchange<'_> {
    /// The text that is signed.
    ///
    /// # Errors
    /// The identity cannot be normalized.
    pub fn auth_message(&self) -> Result<String, Fault> {
        let Exchange { client_nonce, nonce, salt, iterations, .. } = self;
        let authid = stringprep::saslprep(self.authid).map_err(|_| Fault::Text)?;
        let (authid, binding) = match self.dialect {
            Dialect::Specification => (authid.replace('=', "=3D").replace(',', "=2C"), self.binding_text()),
            Dialect::Autobahn => (authid.into_owned(), String::new()),
        };
        Ok(format!("n={authid},r={client_nonce},r={nonce},s={salt},i={iterations},c={binding},r={nonce}"))
    }

    fn binding_text(&self) -> String {
        match self.binding {
            None => to_base64(b"n,,"),
            Some(Binding { name, data }) => {
                let mut octets = format!("p={name},,").into_bytes();
                octets.extend_from_slice(data);
                to_base64(&octets)
            }
        }
    }
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length is a key");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn xor(one: &[u8; 32], other: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| one[index] ^ other[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{from_hex, to_hex};

    struct Vector {
        kdf: Kdf,
        password: &'static str,
        client_nonce: &'static str,
        nonce: &'static str,
        salt: &'static str,
        binding: Option<Binding<'static>>,
        proof: &'static str,
        signature: &'static str,
    }

    const RFC_NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    const A: Vector = Vector {
        kdf: Kdf::Pbkdf2 { iterations: 4096 },
        password: "pencil",
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        nonce: RFC_NONCE,
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        binding: None,
        proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    };

    const C: Vector = Vector {
        client_nonce: "egVDf3DMJh0=",
        nonce: "egVDf3DMJh0=SBmkFIh7sSo=",
        salt: "aBc+fx0NAVA=",
        proof: "L1uwjEEL7BdbtlWMKxNcQ1A/CmNjct+7xdAguB/rpnA=",
        signature: "AyTAljdPHv74Zx+gn+6DqiFnl4XOZUXpC7k/pSkjBOg=",
        ..A
    };

    fn check(vector: &Vector) -> SaltedPassword {
        let salt = from_base64(vector.salt).expect("base64");
        let salted = SaltedPassword::derive(Dialect::Specification, vector.kdf, vector.password, &salt)
            .expect("in bounds");
        let exchange = Exchange {
            dialect: Dialect::Specification,
            authid: "user",
            client_nonce: vector.client_nonce,
            nonce: vector.nonce,
            salt: vector.salt,
            iterations: vector.kdf.iterations(),
            binding: vector.binding,
        };
        let message = exchange.auth_message().expect("plain text");
        assert_eq!(salted.proof(&message), vector.proof);
        if !vector.signature.is_empty() {
            assert_eq!(salted.keys().server_signature(&message), vector.signature);
        }
        assert!(salted.keys().verify(&message, vector.proof));
        assert!(!salted.keys().verify(&message, &to_base64(&[0; 32])));
        assert!(!salted.keys().verify(&message, "no base64"));
        assert!(!salted.keys().verify(&format!("{message} "), vector.proof));
        salted
    }

    /// The example of RFC 7677, with its intermediate values.
    #[test]
    fn pbkdf2_as_in_the_rfc() {
        let salted = check(&A);
        assert_eq!(to_hex(&salted.0), "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        assert_eq!(
            to_hex(&salted.keys().stored),
            "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"
        );
        assert_eq!(
            to_hex(&salted.keys().server),
            "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"
        );
        check(&C);
    }

    #[test]
    fn a_bound_channel_is_part_of_the_proof() {
        let data: Vec<u8> = (0..32).collect();
        let binding = Some(Binding { name: "tls-unique", data: data.leak() });
        check(&Vector {
            binding,
            proof: "ZoKa7jDHFNEo+2DTV3KtBX1m7/s3y3/3+g0GOu+uZac=",
            signature: "dyoomVFA3mSZUCdCfMM144QU0GeouG/XoDXsvE/vBpU=",
            ..C
        });
    }

    #[test]
    fn argon2id() {
        let kdf = Kdf::Argon2id { iterations: 2, memory_kib: 1024 };
        let salted = check(&Vector {
            kdf,
            proof: "M4bKEgbFLBmMKNkrBv1MmrJGHO1bbY1UtJC+7FzYc7k=",
            signature: "eyIzcyAOtu91VLr+3c5pGcMJn7+7j6CWCd3XAanicsc=",
            ..C
        });
        assert_eq!(to_hex(&salted.0), "e9babbc8f2cbc53ca1b09b72e535509f8df4afd80bddb92c07b94afbb1f2d30f");
        let kdf = Kdf::Argon2id { iterations: 32, memory_kib: 512 };
        let octets = kdf.derive(b"p4ssw0rd", b"1234567890abcdef").expect("in bounds");
        assert_eq!(to_hex(&octets), "ee4a8acf9d5958354fb79a95ae20692d05e42591ba49fae85eb6700e8b0ed293");
    }

    #[test]
    fn passwords_beyond_ascii() {
        check(&Vector {
            password: "Straße",
            proof: "TZVudO0htKotRan67S3g8mpR+2+TfH3wLC4CZ7DidWo=",
            signature: "",
            ..A
        });
    }

    #[test]
    fn autobahns_dialect() {
        let salt = from_hex("ae1f0d2f422757809077785e660b62c6").expect("digits");
        let kdf = Kdf::Argon2id { iterations: 4096, memory_kib: 512 };
        let salted = SaltedPassword::derive(Dialect::Autobahn, kdf, "secret123", &salt).expect("in bounds");
        assert_eq!(salted.0, b"b7BgP2B/b1njDcJH6zXGyESitZnBzfL+ZRkkM/A2Mb0");
        assert_eq!(
            to_hex(&salted.keys().stored),
            "5f19358ff6f38e267b6ef1ea1d862514ec4e8745a84682259fd3894be09febb5"
        );
        assert_eq!(
            to_hex(&salted.keys().server),
            "0d8e7e9222a7c0e54c9e979aa342115699ff5696c45dc379b5ee241338a5861d"
        );
        let exchange = Exchange {
            dialect: Dialect::Autobahn,
            authid: "a,b",
            client_nonce: "cn",
            nonce: "whole",
            salt: "c2FsdA==",
            iterations: 4096,
            binding: None,
        };
        let message = exchange.auth_message().expect("plain text");
        assert_eq!(message, "n=a,b,r=cn,r=whole,s=c2FsdA==,i=4096,c=,r=whole");
    }

    #[test]
    fn identities_are_escaped() {
        let exchange = Exchange {
            dialect: Dialect::Specification,
            authid: "a=b,c",
            client_nonce: "x",
            nonce: "xy",
            salt: "s",
            iterations: 1,
            binding: None,
        };
        let message = exchange.auth_message().expect("plain text");
        assert_eq!(message, "n=a=3Db=2Cc,r=x,r=xy,s=s,i=1,c=biws,r=xy");
    }

    #[test]
    fn absurd_parameters_are_refused() {
        let derive = |kdf: Kdf, salt: &[u8]| kdf.derive(b"p", salt);
        let bad = [
            Kdf::Pbkdf2 { iterations: 0 },
            Kdf::Pbkdf2 { iterations: PBKDF2_ITERATIONS_MAX + 1 },
            Kdf::Argon2id { iterations: 0, memory_kib: 64 },
            Kdf::Argon2id { iterations: 1, memory_kib: 0 },
            Kdf::Argon2id { iterations: 1, memory_kib: ARGON2_MEMORY_KIB_MAX + 1 },
            Kdf::Argon2id { iterations: ARGON2_ITERATIONS_MAX + 1, memory_kib: 64 },
        ];
        for kdf in bad {
            assert_eq!(derive(kdf, b"saltsalt"), Err(Fault::Parameters), "{kdf:?}");
        }
        assert_eq!(derive(Kdf::Pbkdf2 { iterations: 1 }, &[0; SALT_LENGTH_MAX + 1]), Err(Fault::Parameters));
    }
}
