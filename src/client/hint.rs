//! What is most likely wrong when no connection comes about, for those who read the error.

use std::io;

use crossring_codec::transport::TransportErrorKind;
use rustls::{CertificateError, Error as TlsFault};

use super::{ClientError, RouterUrl};
use crate::tls::TlsError;

const UNTRUSTED: &str =
    "to trust the router's certificate, or the authority that signed it, name its file with --ca FILE";
const NO_TLS: &str = "does the port speak TLS? Without it the URL begins with ws:// or rs://";

/// The error of an attempt to connect, with what there is to say to it.
pub(super) fn explained(error: ClientError, url: &RouterUrl) -> ClientError {
    match hint(&error, url) {
        Some(hint) => ClientError::Explained(Box::new(error), hint),
        None => error,
    }
}

fn hint(error: &ClientError, url: &RouterUrl) -> Option<&'static str> {
    match error {
        ClientError::Tls(TlsError::Authorities(..)) => Some(UNTRUSTED),
        ClientError::Socket(error) => match (tls_fault(error), error.kind()) {
            (Some(TlsFault::InvalidCertificate(fault)), _) => is_about_trust(fault).then_some(UNTRUSTED),
            (Some(TlsFault::InvalidMessage(_)), _) => Some(NO_TLS),
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => other_protocol(url),
            _ => None,
        },
        ClientError::Transport(error) => match error.kind {
            TransportErrorKind::HttpMalformed
            | TransportErrorKind::HttpVersion
            | TransportErrorKind::MagicMissing => other_protocol(url),
            _ => None,
        },
        _ => None,
    }
}

fn tls_fault(error: &io::Error) -> Option<&TlsFault> {
    error.get_ref()?.downcast_ref()
}

/// A certificate that is an authority's, too, is what tools make for trying things out.
fn is_about_trust(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::UnknownIssuer | CertificateError::Other(_))
}

/// What the port may speak instead.
fn other_protocol(url: &RouterUrl) -> Option<&'static str> {
    match url {
        RouterUrl::WebSocket { is_secure: false, .. } => {
            Some("does the port speak TLS (wss://) or RawSocket (rs://)?")
        }
        RouterUrl::WebSocket { is_secure: true, .. } => {
            Some("does the port speak RawSocket (rss://), or no TLS (ws://, rs://)?")
        }
        RouterUrl::RawSocket { is_secure: false, .. } => {
            Some("does the port speak TLS (rss://) or WebSocket (ws://)?")
        }
        RouterUrl::RawSocket { is_secure: true, .. } => {
            Some("does the port speak WebSocket (wss://), or no TLS (rs://, ws://)?")
        }
        RouterUrl::RawSocketUnix { .. } => None,
    }
}
