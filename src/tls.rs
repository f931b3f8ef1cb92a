//! TLS for both sides: settings from files, sessions that turn octets into records and back without any I/O, and what a
//! session knows of its peer and of itself.
//!
//! rustls does the protocol and *ring* the cryptography: it needs a C compiler and nothing else to be built.

mod binding;
mod certificate;
mod client;
mod files;
pub mod fuzzing;
mod server;
mod session;

pub use binding::{ChannelIds, TLS_EXPORTER, TLS_UNIQUE};
pub use certificate::{Summary, peer_certificate};
pub use client::{ClientSettings, connect};
pub use files::FileError;
pub use server::ServerSettings;
pub use session::{Established, Failure, Session};

use std::path::PathBuf;

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be used.
    File(FileError),
    /// The key does not belong to the certificate.
    KeyMismatch(PathBuf),
    /// The library refuses what the files hold.
    Refused(PathBuf, rustls::Error),
    /// None of the authorities' certificates can be used.
    Authorities(PathBuf, String),
    /// The library does not start.
    Library(rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::File(error) => error.fmt(f),
            TlsError::KeyMismatch(key) => {
                write!(f, "{}: the key does not belong to the certificate", key.display())
            }
            TlsError::Refused(path, error) => write!(f, "{}: {error}", path.display()),
            TlsError::Authorities(path, text) => write!(f, "{}: {text}", path.display()),
            TlsError::Library(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<FileError> for TlsError {
    fn from(error: FileError) -> Self {
        TlsError::File(error)
    }
}
