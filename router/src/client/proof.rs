//! How a client proves who it is: one [`Proof`] per attempt to join (wamp.md 4).

use crossring_codec::message::HelloDetails;
use crossring_codec::value::{Dict, Value};

use crate::config::{PrivateKey, Secret};
use crate::credentials::cra::{self, Derivation};
use crate::credentials::cryptosign::{self, Octets32};
use crate::credentials::scram::{self, Binding, Dialect, Exchange, Kdf, SaltedPassword};
use crate::credentials::{from_base64, to_base64};

/// What a client knows that proves who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credentials {
    /// `ticket`
    Ticket(Secret),
    /// `wampcra`
    Cra(Secret),
    /// `wamp-scram` or Autobahn's `scram`
    Scram(Dialect, Secret),
    /// The same with a password that has been salted before, for routers whose parameters have not changed since: it saves the
    /// client the derivation.
    Salted(Dialect, SaltedPassword),
    /// `cryptosign`
    Cryptosign(PrivateKey),
}

/// Why a challenge or a WELCOME is not answered: the client ends the attempt with ABORT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProofFault {
    /// Another method than the one asked for.
    Method(String),
    /// The challenge lacks something or asks for something absurd.
    Challenge(&'static str),
    /// The router did not prove that it knows the client.
    Router,
}

impl std::fmt::Display for ProofFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProofFault::Method(method) => write!(f, "the router challenges by method {method:?}"),
            ProofFault::Challenge(what) => write!(f, "bad challenge: {what}"),
            ProofFault::Router => f.write_str("the router could not prove that it knows this identity"),
        }
    }
}

impl std::error::Error for ProofFault {}

/// An attempt to prove an identity.
#[derive(Debug)]
pub struct Proof {
    authid: Option<String>,
    credentials: Credentials,
    /// The client's nonce or challenge.
    nonce: [u8; 32],
    /// SCRAM: what the router has to answer.
    expected: Option<String>,
    /// The transport that the proof is worth something on; absent: any.
    channel: Option<Channel>,
}

/// A channel binding: what both ends of one TLS connection know, and nobody between them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Its type, such as `tls-exporter`.
    pub binding: Box<str>,
    /// The channel id of that type.
    pub id: Octets32,
}

impl Proof {
    /// An attempt of `authid`, which only `cryptosign` can do without. `nonce`: 32 fresh random octets.
    pub fn new(authid: Option<String>, credentials: Credentials, nonce: [u8; 32]) -> Self {
        Self { authid, credentials, nonce, expected: None, channel: None }
    }

    /// Makes the proof worth nothing on any other channel. For `wamp-scram` and `cryptosign`; the router must agree.
    #[must_use]
    pub fn bound_to(self, channel: Channel) -> Self {
        Self { channel: Some(channel), ..self }
    }

    /// The binding, where the method has one.
    fn channel(&self) -> Option<&Channel> {
        let can_bind = matches!(
            self.credentials,
            Credentials::Scram(Dialect::Specification, _) | Credentials::Cryptosign(_)
        );
        self.channel.as_ref().filter(|_| can_bind)
    }

    /// The method, as HELLO names it.
    pub const fn method(&self) -> &'static str {
        match &self.credentials {
            Credentials::Ticket(_) => "ticket",
            Credentials::Cra(_) => "wampcra",
            Credentials::Scram(Dialect::Specification, _)
            | Credentials::Salted(Dialect::Specification, _) => "wamp-scram",
            Credentials::Scram(Dialect::Autobahn, _) | Credentials::Salted(Dialect::Autobahn, _) => "scram",
            Credentials::Cryptosign(_) => "cryptosign",
        }
    }

    /// Fills in `authmethods`, `authid` and `authextra` of HELLO.
    pub fn ask(&self, hello: &mut HelloDetails<'_>) {
        hello.authmethods = vec![self.method().into()];
        hello.authid = self.authid.clone().map(Into::into);
        match &self.credentials {
            Credentials::Ticket(_) | Credentials::Cra(_) => {}
            Credentials::Scram(..) | Credentials::Salted(..) => {
                hello.authextra.push(entry("nonce", to_base64(&self.nonce)))
            }
            Credentials::Cryptosign(key) => {
                hello.authextra.push(entry("pubkey", cryptosign::public_key(key.octets())));
            }
        }
        if let Some(channel) = self.channel() {
            hello.authextra.push(entry("channel_binding", channel.binding.to_string()));
        }
    }

    /// Signature and extra of AUTHENTICATE. Deriving a key may take as long as the router's parameters demand, within
    /// the bounds of [`crate::credentials`].
    ///
    /// # Errors
    /// The challenge is not what was asked for.
    pub fn answer(&mut self, method: &str, challenge: &Dict) -> Result<(String, Dict), ProofFault> {
        if method != self.method() {
            return Err(ProofFault::Method(method.to_owned()));
        }
        match &self.credentials {
            Credentials::Ticket(ticket) => Ok((ticket.expose().to_owned(), Dict::new())),
            Credentials::Cra(secret) => Ok((sign_cra(secret.expose(), challenge)?, Dict::new())),
            Credentials::Scram(dialect, password) => {
                let (dialect, password) = (*dialect, password.clone());
                let salted = |kdf, salt: &[u8]| SaltedPassword::derive(dialect, kdf, password.expose(), salt);
                self.answer_scram(dialect, salted, challenge)
            }
            Credentials::Salted(dialect, salted) => {
                let (dialect, salted) = (*dialect, salted.clone());
                self.answer_scram(dialect, |_, _| Ok(salted), challenge)
            }
            Credentials::Cryptosign(key) => {
                let asked = cryptosign::octets(text(challenge, "challenge")?);
                let asked = asked.ok_or(ProofFault::Challenge("no 32 octets"))?;
                let channel = self.channel();
                if text(challenge, "channel_binding").ok() != channel.map(|channel| &*channel.binding) {
                    return Err(ProofFault::Challenge("another channel binding than asked for"));
                }
                let message = cryptosign::message(&asked, channel.map(|channel| &channel.id));
                Ok((cryptosign::sign(key.octets(), &message), Dict::new()))
            }
        }
    }

    /// Checks what WELCOME says of the router.
    ///
    /// # Errors
    /// The router did not prove that it knows the client: not to be trusted.
    pub fn check_welcome(&self, authextra: &Dict) -> Result<(), ProofFault> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let told =
            ["verifier", "scram_server_signature"].into_iter().find_map(|key| text(authextra, key).ok());
        let told = told.map(|told| told.strip_prefix("v=").unwrap_or(told));
        if told == Some(expected) { Ok(()) } else { Err(ProofFault::Router) }
    }

    fn answer_scram(
        &mut self,
        dialect: Dialect,
        salted: impl FnOnce(Kdf, &[u8]) -> Result<SaltedPassword, scram::Fault>,
        challenge: &Dict,
    ) -> Result<(String, Dict), ProofFault> {
        let absurd = |_: scram::Fault| ProofFault::Challenge("parameters out of bounds");
        let (nonce, salt) = (text(challenge, "nonce")?, text(challenge, "salt")?);
        let own = to_base64(&self.nonce);
        let is_ours = match dialect {
            Dialect::Specification => nonce.starts_with(&own) && nonce.len() > own.len(),
            Dialect::Autobahn => from_base64(nonce).is_some_and(|octets| octets.starts_with(&self.nonce)),
        };
        if !is_ours {
            return Err(ProofFault::Challenge("the nonce does not start with ours"));
        }
        let kdf = kdf(challenge)?;
        let octets = from_base64(salt).ok_or(ProofFault::Challenge("the salt is no base64"))?;
        let salted = salted(kdf, &octets).map_err(absurd)?;
        let exchange = Exchange {
            dialect,
            authid: self.authid.as_deref().unwrap_or_default(),
            client_nonce: &own,
            nonce,
            salt,
            iterations: kdf.iterations(),
            binding: self.channel().map(|it| Binding { name: &it.binding, data: &it.id }),
        };
        let message = exchange.auth_message().map_err(absurd)?;
        let extra = match dialect {
            Dialect::Specification => scram_extra(nonce, self.channel()),
            Dialect::Autobahn => Dict::new(),
        };
        self.expected = Some(salted.keys().server_signature(&message));
        Ok((salted.proof(&message), extra))
    }
}

/// `AUTHENTICATE.Extra` of `wamp-scram`.
fn scram_extra(nonce: &str, channel: Option<&Channel>) -> Dict {
    let mut extra = vec![entry("nonce", nonce.to_owned())];
    if let Some(Channel { binding, id }) = channel {
        extra.push(entry("channel_binding", binding.to_string()));
        extra.push(entry("cbind_data", to_base64(id)));
    }
    extra
}

fn kdf(challenge: &Dict) -> Result<Kdf, ProofFault> {
    let iterations = integer(challenge, "iterations").ok_or(ProofFault::Challenge("no iterations"))?;
    match text(challenge, "kdf")? {
        "pbkdf2" => Ok(Kdf::Pbkdf2 { iterations }),
        "argon2id13" | "argon2id-13" => {
            let memory_kib = integer(challenge, "memory").ok_or(ProofFault::Challenge("no memory"))?;
            Ok(Kdf::Argon2id { iterations, memory_kib })
        }
        _ => Err(ProofFault::Challenge("unknown kdf")),
    }
}

fn sign_cra(secret: &str, challenge: &Dict) -> Result<String, ProofFault> {
    let asked = text(challenge, "challenge")?;
    let Ok(salt) = text(challenge, "salt") else { return Ok(cra::sign(secret, asked)) };
    let derivation = Derivation {
        salt: salt.into(),
        iterations: integer(challenge, "iterations").unwrap_or(Derivation::ITERATIONS_DEFAULT),
        key_length: integer(challenge, "keylen").unwrap_or(Derivation::KEY_LENGTH_DEFAULT),
    };
    let key = derivation.derive(secret).ok_or(ProofFault::Challenge("parameters out of bounds"))?;
    Ok(cra::sign(&key, asked))
}

fn entry(key: &str, value: String) -> (String, Value) {
    (key.to_owned(), Value::String(value))
}

fn text<'a>(dict: &'a Dict, key: &'static str) -> Result<&'a str, ProofFault> {
    let found = dict.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_str());
    found.ok_or(ProofFault::Challenge("a text is missing"))
}

fn integer(dict: &Dict, key: &str) -> Option<u32> {
    let found = dict.iter().find(|(name, _)| name == key)?.1.as_integer()?;
    u32::try_from(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(credentials: Credentials) -> Proof {
        Proof::new(Some("joe".to_owned()), credentials, [1; 32])
    }

    #[test]
    fn another_method_is_not_answered() {
        let mut proof = proof(Credentials::Cra(Secret::new("x")));
        assert_eq!(proof.answer("ticket", &Dict::new()), Err(ProofFault::Method("ticket".to_owned())));
    }

    /// The specification's example, which Autobahn tests itself with (`tls-unique`).
    #[test]
    fn bound_proofs_are_those_of_others() {
        let octets = |digits| cryptosign::octets(digits).expect("64 digits");
        let seed = octets("4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510");
        let id = octets("62e935ae755f3d48f80d4d59f6121358c435722a67e859cc0caa8b539027f2ff");
        let channel = |id| Channel { binding: "tls-unique".into(), id };
        let mut signer = proof(Credentials::Cryptosign(PrivateKey::new(seed))).bound_to(channel(id));
        let mut challenge =
            vec![entry("challenge", "ff".repeat(32)), entry("channel_binding", "tls-unique".to_owned())];
        let (signature, _) = signer.answer("cryptosign", &challenge).expect("a fine challenge");
        assert_eq!(
            signature,
            "9b6f41540c9b95b4b7b281c3042fa9c54cef43c842d62ea3fd6030fcb66e70b3e80d49d44c29d1635da9348d02ec93f3\
             ed1ef227dfb59a07b580095c2b82f80f9d16ca518aa0c2b707f2b2a609edeca73bca8dd59817a633f35574ac6fd80d00"
        );
        challenge.pop();
        let answer = signer.answer("cryptosign", &challenge);
        assert_eq!(answer, Err(ProofFault::Challenge("another channel binding than asked for")));
    }

    #[test]
    fn scram_says_what_it_is_bound_to() {
        let id: Octets32 = std::array::from_fn(|index| index as u8);
        let scram = proof(Credentials::Scram(Dialect::Specification, Secret::new("x")));
        let mut scram = scram.bound_to(Channel { binding: "tls-exporter".into(), id });
        let mut hello = HelloDetails::default();
        scram.ask(&mut hello);
        assert_eq!(text(&hello.authextra, "channel_binding"), Ok("tls-exporter"));
        let challenge = vec![
            entry("nonce", to_base64(&[1; 32]) + "more"),
            entry("salt", "AAAA".to_owned()),
            entry("kdf", "pbkdf2".to_owned()),
            ("iterations".to_owned(), Value::from(1_u64)),
        ];
        let (bound, extra) = scram.answer("wamp-scram", &challenge).expect("a fine challenge");
        assert_eq!(text(&extra, "channel_binding"), Ok("tls-exporter"));
        assert_eq!(text(&extra, "cbind_data"), Ok(&*to_base64(&id)));
        let mut free = proof(Credentials::Scram(Dialect::Specification, Secret::new("x")));
        assert_ne!(free.answer("wamp-scram", &challenge).expect("a fine challenge").0, bound);
    }

    #[test]
    fn hello_says_how_and_who() {
        let mut hello = HelloDetails::default();
        proof(Credentials::Cryptosign(PrivateKey::new([2; 32]))).ask(&mut hello);
        assert_eq!((hello.authmethods, hello.authid), (vec!["cryptosign".into()], Some("joe".into())));
        assert_eq!(text(&hello.authextra, "pubkey").map(str::len), Ok(64));
    }

    #[test]
    fn absurd_challenges_are_refused() {
        let scram = || Credentials::Scram(Dialect::Specification, Secret::new("x"));
        let own = to_base64(&[1; 32]);
        let challenge = |nonce: String, kdf: &str, memory: u64| {
            vec![
                entry("nonce", nonce),
                entry("salt", "AAAA".to_owned()),
                entry("kdf", kdf.to_owned()),
                ("iterations".to_owned(), Value::from(1_000_000_000_u64)),
                ("memory".to_owned(), Value::from(memory)),
            ]
        };
        let cases = [
            (challenge("other".to_owned(), "pbkdf2", 0), "the nonce does not start with ours"),
            (challenge(own.clone(), "pbkdf2", 0), "the nonce does not start with ours"),
            (challenge(own.clone() + "more", "md5", 0), "unknown kdf"),
            (challenge(own.clone() + "more", "pbkdf2", 0), "parameters out of bounds"),
            (challenge(own + "more", "argon2id13", 1 << 31), "parameters out of bounds"),
        ];
        for (challenge, fault) in cases {
            let answer = proof(scram()).answer("wamp-scram", &challenge);
            assert_eq!(answer, Err(ProofFault::Challenge(fault)));
        }
    }

    #[test]
    fn a_password_may_have_been_salted_before() {
        let challenge = vec![
            entry("nonce", to_base64(&[1; 32]) + "more"),
            entry("salt", to_base64(b"salt")),
            entry("kdf", "pbkdf2".to_owned()),
            ("iterations".to_owned(), Value::from(2_u64)),
        ];
        let (dialect, kdf) = (Dialect::Specification, Kdf::Pbkdf2 { iterations: 2 });
        let salted = SaltedPassword::derive(dialect, kdf, "x", b"salt").expect("in bounds");
        let answers = [Credentials::Scram(dialect, Secret::new("x")), Credentials::Salted(dialect, salted)]
            .map(|credentials| proof(credentials).answer("wamp-scram", &challenge));
        assert_eq!(answers[0], answers[1]);
    }

    #[test]
    fn a_router_without_proof_is_not_trusted() {
        let mut proof = proof(Credentials::Scram(Dialect::Specification, Secret::new("x")));
        let challenge = vec![
            entry("nonce", to_base64(&[1; 32]) + "more"),
            entry("salt", "AAAA".to_owned()),
            entry("kdf", "pbkdf2".to_owned()),
            ("iterations".to_owned(), Value::from(1_u64)),
        ];
        proof.answer("wamp-scram", &challenge).expect("a fine challenge");
        assert_eq!(proof.check_welcome(&Dict::new()), Err(ProofFault::Router));
        let expected = proof.expected.clone().expect("SCRAM");
        assert_eq!(proof.check_welcome(&vec![entry("verifier", format!("v={expected}"))]), Ok(()));
    }
}
