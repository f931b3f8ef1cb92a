//! Words of the protocol that are numbers here.

use crate::message::{CancelMode, InvocationPolicy};
use crate::uri::Match;

/// `ppt_scheme`, which Autobahn takes for `enc_algo`; 0 is none.
pub(super) const ALGORITHMS: &[&str] = &["", "cryptobox", "mqtt", "xbr"];

/// `ppt_serializer`, which Autobahn takes for `enc_serializer`; 0 is none.
pub(super) const SERIALIZERS: &[&str] =
    &["", "json", "msgpack", "cbor", "ubjson", "opaque", "flatbuffers", "flexbuffers"];

/// `ppt_cipher`; 0 is none.
pub(super) const CIPHERS: &[&str] = &["", "xsalsa20poly1305", "aes256gcm"];

/// Authentication methods.
pub(super) const METHODS: &[&str] = &["anonymous", "ticket", "wampcra", "wamp-scram", "cryptosign"];

pub(super) const MATCHES: [Match; 3] = [Match::Exact, Match::Prefix, Match::Wildcard];

pub(super) const POLICIES: [InvocationPolicy; 5] = [
    InvocationPolicy::Single,
    InvocationPolicy::First,
    InvocationPolicy::Last,
    InvocationPolicy::RoundRobin,
    InvocationPolicy::Random,
];

pub(super) const MODES: [CancelMode; 3] = [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];

/// The number of a value in its list.
pub(super) fn number<T: PartialEq + ?Sized, U: std::borrow::Borrow<T>>(list: &[U], value: &T) -> Option<u8> {
    list.iter().position(|entry| entry.borrow() == value).and_then(|at| u8::try_from(at).ok())
}
