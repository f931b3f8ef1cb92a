//! Signed requests: the sender proves that it knows a secret, and no request is taken twice.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use crossring_router::config::Secret;
use crossring_router::rfc3339;
use hmac::{Hmac, KeyInit, Mac};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use percent_encoding::percent_decode_str;
use sha2::Sha256;

use super::rest::Fault;

/// Signatures remembered; beyond, the oldest may be used again.
const SIGNATURES_MAX: usize = 100_000;

const NS_PER_S: i128 = 1_000_000_000;

/// What signatures have to be.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    /// Absent: requests need none.
    pub(crate) secret: Option<Secret>,
    /// The name of the secret.
    pub(crate) key: Option<String>,
    /// Seconds that a request may be older or newer than now; 0: any.
    pub(crate) age_max_s: u32,
    /// Those that were good.
    used: RefCell<Used>,
}

/// Signatures that must not come again.
#[derive(Debug, Default)]
struct Used {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Used {
    /// Whether the signature is new; it is not afterwards.
    fn note(&mut self, signature: [u8; 32]) -> bool {
        if !self.known.insert(signature) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > SIGNATURES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Signatures {
    /// `age_max_s`: see the field.
    pub(crate) fn new(key: Option<String>, secret: Option<Secret>, age_max_s: u32) -> Self {
        Self { secret, key, age_max_s, used: RefCell::default() }
    }

    /// Checks what the query says of itself (crossbar.io: signed requests).
    pub(super) fn check(&self, query: &str, body: &[u8]) -> Result<(), Fault> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let key = required(query, "key")?;
        let timestamp = required(query, "timestamp")?;
        let seq = required(query, "seq")?;
        let nonce = required(query, "nonce")?;
        let signature = required(query, "signature")?;
        if self.key.as_deref() != Some(&*key) {
            return Err(unauthorized("REST bridge signature key not valid."));
        }
        self.check_time(&timestamp)?;
        check_integer(&seq, "sequence number")?;
        check_integer(&nonce, "nonce")?;
        let text = [key.as_bytes(), timestamp.as_bytes(), seq.as_bytes(), nonce.as_bytes(), body];
        let given =
            URL_SAFE.decode(&signature).or_else(|_| URL_SAFE_NO_PAD.decode(&signature)).unwrap_or_default();
        if !verify::<Hmac<Sha256>>(secret, &text, &given) {
            return Err(unauthorized("REST bridge signature secret not valid."));
        }
        let is_new = <[u8; 32]>::try_from(given).is_ok_and(|given| self.used.borrow_mut().note(given));
        if is_new { Ok(()) } else { Err(unauthorized("Request was used before.")) }
    }

    fn check_time(&self, timestamp: &str) -> Result<(), Fault> {
        let at = Some(timestamp).filter(|text| text.contains('.')).and_then(rfc3339::parse);
        let at_ns = at.ok_or_else(|| {
            invalid(&format!(
                "invalid timestamp '{timestamp}' (must be UTC/ISO-8601, e.g. '2011-10-14T16:59:51.123Z')"
            ))
        })?;
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        let is_near = (now_ns - at_ns).abs() <= i128::from(self.age_max_s) * NS_PER_S;
        if self.age_max_s == 0 || is_near {
            return Ok(());
        }
        Err(Fault(StatusCode::BAD_REQUEST, "Request expired, too old timestamp.".to_owned()))
    }
}

/// Checks GitHub's signature of a body: `X-Hub-Signature-256`, or else `X-Hub-Signature`.
pub(super) fn check_github(secret: &Secret, headers: &HeaderMap, body: &[u8]) -> Result<(), Fault> {
    let given = |name: &str, prefix: &str| {
        let digits = headers.get(name)?.to_str().ok()?.strip_prefix(prefix)?;
        crossring_router::credentials::from_hex(digits)
    };
    let is_right = match given("x-hub-signature-256", "sha256=") {
        Some(signature) => verify::<Hmac<Sha256>>(secret, &[body], &signature),
        None => given("x-hub-signature", "sha1=")
            .is_some_and(|signature| verify::<Hmac<sha1::Sha1>>(secret, &[body], &signature)),
    };
    let text = "GitHub signature missing or invalid.".to_owned();
    if is_right { Ok(()) } else { Err(Fault(StatusCode::BAD_REQUEST, text)) }
}

/// Takes the same time for every signature of the right length.
fn verify<M: Mac + KeyInit>(secret: &Secret, text: &[&[u8]], signature: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret.expose().as_bytes()) else { return false };
    text.iter().for_each(|part| mac.update(part));
    mac.verify_slice(signature).is_ok()
}

fn required(query: &str, name: &str) -> Result<String, Fault> {
    let mut entries = query.split('&').filter_map(|entry| entry.split_once('='));
    let value = entries.find(|(key, _)| *key == name).map(|(_, value)| value);
    let missing = || invalid(&format!("missing mandatory field - '{name}' field missing"));
    let value = value.ok_or_else(missing)?;
    Ok(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn check_integer(text: &str, what: &str) -> Result<(), Fault> {
    let is_integer = text.parse::<i128>().is_ok();
    if is_integer { Ok(()) } else { Err(invalid(&format!("invalid {what} '{text}' (must be an integer)"))) }
}

fn invalid(why: &str) -> Fault {
    Fault(StatusCode::BAD_REQUEST, format!("REST bridge signature was invalid ({why})."))
}

fn unauthorized(text: &str) -> Fault {
    Fault(StatusCode::UNAUTHORIZED, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        rfc3339::format(since.as_millis() as u64)
    }

    /// The query of a signed request.
    fn query(secret: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any length");
        [b"k", timestamp.as_bytes(), b"1", b"2", body].iter().for_each(|part| mac.update(part));
        let signature = URL_SAFE.encode(mac.finalize().into_bytes());
        format!("key=k&timestamp={timestamp}&seq=1&nonce=2&signature={}", signature.replace('=', "%3D"))
    }

    #[track_caller]
    fn check(signatures: &Signatures, query: &str, body: &[u8], expected: Option<(u16, &str)>) {
        let fault = signatures.check(query, body).err().map(|Fault(status, text)| (status.as_u16(), text));
        let same = match (&fault, expected) {
            (Some((status, text)), Some((wanted, part))) => *status == wanted && text.contains(part),
            (None, None) => true,
            _ => false,
        };
        assert!(same, "{fault:?} {expected:?}");
    }

    #[test]
    fn a_signed_request_is_taken_once() {
        let signatures = Signatures::new(Some("k".into()), Some(Secret::new("s")), 300);
        let good = query("s", &now(), b"{}");
        check(&signatures, &good, b"{}", None);
        check(&signatures, &good, b"{}", Some((401, "used before")));
    }

    #[test]
    fn who_does_not_know_the_secret_is_refused() {
        let signatures = Signatures::new(Some("k".into()), Some(Secret::new("s")), 300);
        let not_valid = Some((401, "secret not valid"));
        check(&signatures, &query("t", &now(), b"{}"), b"{}", not_valid);
        check(&signatures, &query("s", &now(), b"{}"), b"{1}", not_valid);
        check(&signatures, &query("s", "2020-01-01T00:00:00.000Z", b"{}"), b"{}", Some((400, "expired")));
        check(
            &signatures,
            &query("s", "yesterday", b"{}"),
            b"{}",
            Some((400, "invalid timestamp 'yesterday'")),
        );
        check(&signatures, "key=k", b"{}", Some((400, "'timestamp' field missing")));
        check(
            &signatures,
            &query("s", &now(), b"{}").replace("key=k", "key=j"),
            b"{}",
            Some((401, "key not valid")),
        );
        check(
            &signatures,
            &query("s", &now(), b"{}").replace("seq=1", "seq=x"),
            b"{}",
            Some((400, "sequence number")),
        );
    }

    #[test]
    fn without_a_secret_nothing_is_asked() {
        check(&Signatures::default(), "", b"{}", None);
    }

    #[test]
    fn github_signs_bodies() {
        let secret = Secret::new("It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = |value: &'static str| {
            let name = hyper::header::HeaderName::from_static("x-hub-signature-256");
            HeaderMap::from_iter([(name, hyper::header::HeaderValue::from_static(value))])
        };
        assert!(check_github(&secret, &headers(signature), b"Hello, World!").is_ok());
        assert!(check_github(&secret, &headers(signature), b"Hello, World?").is_err());
        assert!(check_github(&secret, &HeaderMap::new(), b"Hello, World!").is_err());
    }
}
