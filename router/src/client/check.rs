//! What an option may say. Routers end a session for less, so a wrong one is refused before it is sent.

use crossring_codec::id::ID_MAX;
use crossring_codec::limits::OPTION_LIST_MAX;
use crossring_codec::message::{
    CallExtra, CallOptions, Passthru, PublishExtra, PublishOptions, RegisterOptions, YieldOptions,
};
use crossring_codec::payload::{Payload, Shape};

/// An option with a value that it cannot have.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct OptionFault {
    /// The key on the wire.
    pub option: &'static str,
    /// What its value has to be.
    pub rule: &'static str,
}

impl std::fmt::Display for OptionFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "option {}: {}", self.option, self.rule)
    }
}

impl std::error::Error for OptionFault {}

type Check = Result<(), OptionFault>;

const fn require(holds: bool, option: &'static str, rule: &'static str) -> Check {
    if holds { Ok(()) } else { Err(OptionFault { option, rule }) }
}

/// CALL.
pub(super) fn call(options: &CallOptions<'_>, payload: &Payload<'_>) -> Check {
    require(options.timeout_ms <= ID_MAX, "timeout", "at most 2^53 milliseconds")?;
    match options.extra.as_deref() {
        Some(extra) => call_extra(extra, payload),
        None => encoding(None, payload),
    }
}

fn call_extra(extra: &CallExtra<'_>, payload: &Payload<'_>) -> Check {
    let runmode = extra.runmode.as_deref();
    require(matches!(runmode, None | Some("all" | "partition")), "runmode", "all or partition")?;
    require(runmode != Some("partition") || extra.rkey.is_some(), "rkey", "needed with runmode=partition")?;
    list("forward_for", extra.forward_for.as_deref())?;
    encoding(Some(&extra.passthru), payload)
}

/// PUBLISH.
pub(super) fn publish(options: &PublishOptions<'_>, payload: &Payload<'_>) -> Check {
    match options.extra.as_deref() {
        Some(extra) => publish_extra(extra, payload),
        None => encoding(None, payload),
    }
}

fn publish_extra(extra: &PublishExtra<'_>, payload: &Payload<'_>) -> Check {
    list("exclude", extra.exclude.as_deref())?;
    list("exclude_authid", extra.exclude_authid.as_deref())?;
    list("exclude_authrole", extra.exclude_authrole.as_deref())?;
    list("eligible", extra.eligible.as_deref())?;
    list("eligible_authid", extra.eligible_authid.as_deref())?;
    list("eligible_authrole", extra.eligible_authrole.as_deref())?;
    list("forward_for", extra.forward_for.as_deref())?;
    encoding(Some(&extra.passthru), payload)
}

/// REGISTER.
pub(super) fn register(options: &RegisterOptions<'_>) -> Check {
    let in_range = options.concurrency.is_none_or(|limit| (1..=ID_MAX).contains(&limit));
    require(in_range, "concurrency", "1 to 2^53")?;
    list("forward_for", options.forward_for.as_deref())
}

/// YIELD and ERROR.
pub(super) fn answer(passthru: Option<&Passthru<'_>>, payload: &Payload<'_>) -> Check {
    encoding(passthru, payload)
}

/// YIELD.
pub(super) fn yielded(options: &YieldOptions<'_>, payload: &Payload<'_>) -> Check {
    answer(options.passthru.as_deref(), payload)
}

fn list<T>(option: &'static str, entries: Option<&[T]>) -> Check {
    require(entries.is_none_or(|entries| entries.len() <= OPTION_LIST_MAX), option, "too long a list")
}

/// The keys that say how the payload is encoded, and whether it looks like that.
#[inline]
fn encoding(keys: Option<&Passthru<'_>>, payload: &Payload<'_>) -> Check {
    match keys {
        Some(keys) if *keys != Passthru::default() => passthru(keys, payload),
        _ => require(payload.shape != Shape::Transparent, "enc_algo", "needed for an encoded payload"),
    }
}

fn passthru(keys: &Passthru<'_>, payload: &Payload<'_>) -> Check {
    transparency(keys)?;
    passthru_mode(keys)?;
    require(keys.enc_algo.is_none() || keys.ppt_scheme.is_none(), "enc_algo", "not along with ppt_scheme")?;
    let is_transparent = payload.shape == Shape::Transparent;
    require(keys.enc_algo.is_some() == is_transparent, "enc_algo", "belongs to an encoded payload")?;
    let is_arguments = payload.shape == Shape::Arguments;
    require(keys.ppt_scheme.is_none() || is_arguments, "ppt_scheme", "belongs to one binary argument")
}

/// Autobahn's keys (`autobahn.wamp.message`).
pub(super) fn transparency(keys: &Passthru<'_>) -> Check {
    let algorithm = keys.enc_algo.as_deref();
    let listed = |name: &str| matches!(name, "cryptobox" | "mqtt" | "xbr") || is_private(name);
    require(algorithm.is_none_or(listed), "enc_algo", "cryptobox, mqtt, xbr or x_…")?;
    let alone = algorithm.is_none() && (keys.enc_key.is_some() || keys.enc_serializer.is_some());
    require(!alone, "enc_algo", "needed with enc_key and enc_serializer")?;
    let serializer = keys.enc_serializer.as_deref();
    require(
        serializer.is_none_or(is_serializer),
        "enc_serializer",
        "json, msgpack, cbor, ubjson, flatbuffers or x_…",
    )
}

/// The specification's keys ("Payload Passthru Mode").
pub(super) fn passthru_mode(keys: &Passthru<'_>) -> Check {
    let (scheme, serializer) = (keys.ppt_scheme.as_deref(), keys.ppt_serializer.as_deref());
    let cipher = keys.ppt_cipher.as_deref();
    let listed = |name: &str| matches!(name, "wamp" | "mqtt") || is_private(name);
    require(scheme.is_none_or(listed), "ppt_scheme", "wamp, mqtt or x_…")?;
    let others = serializer.is_some() || cipher.is_some() || keys.ppt_keyid.is_some();
    require(scheme.is_some() || !others, "ppt_scheme", "needed with the other ppt options")?;
    let known = serializer.is_none_or(|name| name == "native" || is_serializer(name));
    require(known, "ppt_serializer", "native, json, msgpack, cbor, ubjson, flatbuffers or x_…")?;
    let known = |name: &str| matches!(name, "xsalsa20poly1305" | "aes256gcm") || is_private(name);
    require(cipher.is_none_or(known), "ppt_cipher", "xsalsa20poly1305, aes256gcm or x_…")?;
    match scheme {
        Some("wamp") => {
            let end_to_end = matches!(serializer, Some("cbor" | "flatbuffers"));
            require(end_to_end, "ppt_serializer", "cbor or flatbuffers with scheme wamp")
        }
        Some("mqtt") => require(cipher.is_none(), "ppt_cipher", "none with scheme mqtt"),
        _ => Ok(()),
    }
}

fn is_serializer(name: &str) -> bool {
    matches!(name, "json" | "msgpack" | "cbor" | "ubjson" | "flatbuffers") || is_private(name)
}

fn is_private(name: &str) -> bool {
    name.len() > "x_".len() && name.starts_with("x_")
}
