//! Why a client failed.

use std::io;

use crossring_codec::error::{DecodeError, EncodeError};
use crossring_codec::transport::{TooLong, TransportError};
use crossring_router::client::types::{CloseDetails, PayloadFault};
use crossring_router::client::{ClientRefusal, ClientViolation, ProofFault};

use crate::tls::TlsError;

/// Why a client command failed.
#[derive(Debug)]
pub enum ClientError {
    /// The host name or path has no place in a WebSocket URL.
    Url(String),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// The socket failed.
    Socket(io::Error),
    /// The transport failed.
    Transport(TransportError),
    /// The router sent what cannot be read.
    Decode(DecodeError),
    /// A value that the serializer cannot carry.
    Encode(EncodeError),
    /// A message longer than the router takes.
    TooLong(TooLong),
    /// The router broke the protocol.
    Violation(ClientViolation),
    /// We would break the protocol.
    Refusal(ClientRefusal),
    /// The router ended the session.
    Ended(CloseDetails),
    /// The router took back a subscription or registration: what and why.
    Revoked(&'static str, Option<String>),
    /// The application's payload cannot be made or read.
    Payload(PayloadFault),
    /// The router answered with ERROR: URI and its arguments as JSON.
    Error(String, String),
    /// The router challenges us, and we have nothing to prove.
    Challenged(String),
    /// The challenge, or the router's own proof, is wrong.
    Proof(ProofFault),
    /// No answer in time.
    Timeout,
    /// Another error, and what is most likely wrong.
    Explained(Box<ClientError>, &'static str),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientError::Url(url) => write!(f, "{url:?} is no WebSocket URL"),
            ClientError::Tls(error) => error.fmt(f),
            ClientError::Socket(error) => write!(f, "connection: {error}"),
            ClientError::Transport(error) => write!(f, "transport: {error}"),
            ClientError::Decode(error) => write!(f, "message of the router: {error}"),
            ClientError::Encode(error) => write!(f, "message to the router: {error}"),
            ClientError::TooLong(error) => write!(f, "message to the router: {error}"),
            ClientError::Violation(error) => write!(f, "the router broke the protocol: {error}"),
            ClientError::Refusal(error) => write!(f, "{error}"),
            ClientError::Ended(details) => write!(f, "the router ended the session: {details}"),
            ClientError::Revoked(what, None) => write!(f, "the router has revoked the {what}"),
            ClientError::Revoked(what, Some(reason)) => {
                write!(f, "the router has revoked the {what}: {reason}")
            }
            ClientError::Payload(fault) => write!(f, "{fault}"),
            ClientError::Challenged(method) => write!(f, "the router wants a proof by method {method:?}"),
            ClientError::Proof(fault) => write!(f, "{fault}"),
            ClientError::Error(error, arguments) => write!(f, "{error} {arguments}"),
            ClientError::Timeout => f.write_str("no answer in time"),
            ClientError::Explained(error, hint) => write!(f, "{error} ({hint})"),
        }
    }
}

impl std::error::Error for ClientError {}

macro_rules! from {
    ($($source:ty => $variant:ident),+) => {$(
        impl From<$source> for ClientError {
            fn from(error: $source) -> Self {
                ClientError::$variant(error)
            }
        }
    )+};
}
from!(
    TransportError => Transport, DecodeError => Decode, EncodeError => Encode, TooLong => TooLong,
    ClientViolation => Violation, ClientRefusal => Refusal, PayloadFault => Payload,
    ProofFault => Proof
);

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout,
            _ => ClientError::Socket(error),
        }
    }
}
