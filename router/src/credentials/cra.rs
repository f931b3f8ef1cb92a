//! WAMP-CRA: a challenge is signed with a shared secret (WAMP specification, "Challenge Response Authentication").

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::to_base64;

/// How a key is derived from a password. Both sides know it; the salt is used as the text it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Derivation {
    /// Salt, as text.
    pub salt: Box<str>,
    /// Rounds of PBKDF2-HMAC-SHA256.
    pub iterations: u32,
    /// Length of the derived key in octets, before base64.
    pub key_length: u32,
}

/// Most rounds that a peer may ask for. Protects clients from a hostile challenge.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Longest derived key in octets.
pub const KEY_LENGTH_MAX: u32 = 1024;

impl Derivation {
    /// Rounds where a challenge names none.
    pub const ITERATIONS_DEFAULT: u32 = 1000;
    /// Length where a challenge names none, in octets.
    pub const KEY_LENGTH_DEFAULT: u32 = 32;

    /// The key of a password: base64 text, and that text is the key. `None`: the parameters are out of bounds.
    pub fn derive(&self, password: &str) -> Option<String> {
        let in_bounds = (1..=ITERATIONS_MAX).contains(&self.iterations)
            && (1..=KEY_LENGTH_MAX).contains(&self.key_length);
        if !in_bounds {
            return None;
        }
        let mut key = vec![0; self.key_length as usize];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), self.salt.as_bytes(), self.iterations, &mut key);
        Some(to_base64(&key))
    }
}

/// The signature of a challenge: base64 of its HMAC-SHA256. The challenge is signed as the text it is.
pub fn sign(key: &str, challenge: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes()).expect("any length is a key");
    mac.update(challenge.as_bytes());
    to_base64(&mac.finalize().into_bytes())
}

/// Whether `signature` is that of the challenge. Takes the same time for all wrong ones of the same length.
pub fn verify(key: &str, challenge: &str, signature: &str) -> bool {
    sign(key, challenge).as_bytes().ct_eq(signature.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: &str = r#"{ "nonce":"LHRTC9zeOIrt_9U3", "authprovider":"userdb", "authid":"peter", "timestamp":"2014-06-22T16:36:25.448Z", "authrole":"user", "authmethod":"wampcra", "session":3251278072152162 }"#;
    const T2: &str = r#"{"authid":"11111111","authrole":"client","authmethod":"wampcra","authprovider":"mssql","nonce":"1280303478343404","timestamp":"2015-10-27T14:28Z","session":586844620777222}"#;

    fn derivation(salt: &str, iterations: u32, key_length: u32) -> Derivation {
        Derivation { salt: salt.into(), iterations, key_length }
    }

    /// Values that Nexus, Autobahn and Connectanum test themselves with.
    #[test]
    fn signatures_of_other_implementations() {
        assert_eq!(sign("secret", T1), "NWktSrMd4ItBSAKYEwvu1bTY7G/sSyjKbz+pNP9c04A=");
        let key = derivation("salt123", 1000, 32).derive("password").expect("in bounds");
        assert_eq!(key, "XX9AIwVx2pYcnIAm+U69vjdUImcvNehHD5atN4rwDb0=");
        assert_eq!(sign(&key, T1), "hk/2riA2JqydfL5wLoicrYfAt8uNeP6nikk9kqDhsnM=");
        let key = derivation("salt123", 1000, 32).derive("L3L1YUE8Txlw").expect("in bounds");
        assert_eq!(key, "qzcdsr9uu/L5hnss3kjNTRe490ETgA70ZBaB5rvnJ5Y=");
        assert_eq!(sign("L3L1YUE8Txlw", "[1, 2, 3]"), "1njQtmmeYO41N5EWEzD2kAjjEKRZ5kPZt/TzpYXOzR0=");
        let key = derivation("gbnk5ji1b0dgoeavu31er567nb", 1000, 32).derive("3614").expect("in bounds");
        assert_eq!(key, "pjyujtcFkRES8z9jUqvPjokWp2G6xBh7QhtB0tMV6YA=");
        assert_eq!(sign(&key, T2), "APO4Z6Z0sfpJ8DStwj+XgwJkHkeSw+eD9URKSHf+FKQ=");
        assert_eq!(sign("3614", T2), "fbXzyztKc6Sh5/7lBIKPUUgrCQ3p3K71ol3TTpYYKLU=");
    }

    #[test]
    fn only_the_right_signature_passes() {
        let right = sign("secret", T1);
        assert!(verify("secret", T1, &right));
        for wrong in ["", "x", &right[1..], &sign("Secret", T1), &sign("secret", T2)] {
            assert!(!verify("secret", T1, wrong), "{wrong}");
        }
    }

    #[test]
    fn absurd_parameters_are_refused() {
        for (iterations, key_length) in [(0, 32), (ITERATIONS_MAX + 1, 32), (1, 0), (1, KEY_LENGTH_MAX + 1)] {
            assert_eq!(derivation("s", iterations, key_length).derive("p"), None);
        }
    }
}
