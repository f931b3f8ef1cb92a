//! The settings of a listening endpoint: certificates chosen by the name that the client asks for, the authorities of
//! client certificates, tickets that every shard can read.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::binding::{ExporterSecret, provider};
use super::{Summary, TlsError, files};
use crate::config::{CertificateFiles, ClientCertificates, TlsEndpoint, TlsVersion};

/// What a listening endpoint serves at a time, for all shards: immutable, replaced as a whole.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// For [`super::Session::accept`].
    pub config: Arc<ServerConfig>,
    /// Each certificate file and what is known of it; those that cannot be taken apart are left out.
    pub certificates: Vec<(PathBuf, Summary)>,
}

/// Tickets given to a client for a session. Connections live long: one is enough to come back.
const TICKETS: usize = 1;

impl ServerSettings {
    /// Reads all files of an endpoint. `protocols`: what may be agreed on by ALPN; empty: whatever the client offers is
    /// ignored. `before`: the settings to be replaced, whose tickets stay valid unless they stand for client certificates.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn load(
        endpoint: &TlsEndpoint,
        protocols: &[&str],
        before: Option<&ServerSettings>,
    ) -> Result<ServerSettings, TlsError> {
        let loaded = endpoint.certificates.iter().map(certificate).collect::<Result<Vec<_>, _>>()?;
        let summarised = endpoint.certificates.iter().zip(&loaded);
        let certificates = summarised
            .filter_map(|(files, it)| Some((files.certificate.clone(), it.summary.clone()?)))
            .collect();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(endpoint.minimum_version))
            .map_err(TlsError::Library)?
            .with_client_cert_verifier(verifier(endpoint.client_certificates.as_ref())?)
            .with_cert_resolver(Arc::new(Certificates(loaded)));
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.ticketer = match before {
            Some(before) if endpoint.client_certificates.is_none() => before.config.ticketer.clone(),
            _ => tickets()?,
        };
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = TICKETS;
        // Without it the channel ids of TLS 1.2 could be forged.
        config.require_ems = true;
        config.key_log = Arc::new(ExporterSecret);
        Ok(ServerSettings { config: Arc::new(config), certificates })
    }
}

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match minimum {
        TlsVersion::Tls12 => &FROM_TLS12,
        TlsVersion::Tls13 => &FROM_TLS12[..1],
    }
}

fn tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    Ticketer::new().map_err(TlsError::Library)
}

/// Who may show a client certificate.
fn verifier(clients: Option<&ClientCertificates>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(clients) = clients else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let mut roots = RootCertStore::empty();
    for path in &clients.authorities {
        for certificate in files::certificates(path)? {
            roots.add(certificate).map_err(|error| TlsError::Refused(path.clone(), error))?;
        }
    }
    let first = clients.authorities.first().cloned().unwrap_or_default();
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if clients.is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::Authorities(first, error.to_string()))
}

/// A certificate with its key.
#[derive(Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    summary: Option<Summary>,
}

fn certificate(paths: &CertificateFiles) -> Result<Certificate, TlsError> {
    let mut chain = files::certificates(&paths.certificate)?;
    for path in &paths.chain {
        chain.extend(files::certificates(path)?);
    }
    let summary = chain.first().and_then(Summary::of);
    let key = files::private_key(&paths.key)?;
    let mut key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch(paths.key.clone()),
        error => TlsError::Refused(paths.key.clone(), error),
    })?;
    key.ocsp = paths.ocsp_response.as_deref().map(files::ocsp_response).transpose()?;
    Ok(Certificate { key: Arc::new(key), summary })
}

/// The certificates of an endpoint; the first is for clients that name no host, or one that none is for.
#[derive(Debug)]
struct Certificates(Vec<Certificate>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let can_sign = |it: &&Certificate| it.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = self.0.iter().filter(|it| name.as_deref().is_some_and(|name| it.is_for(name)));
        let chosen = named.chain(&self.0).find(can_sign).or(self.0.first())?;
        Some(chosen.key.clone())
    }
}

impl Certificate {
    fn is_for(&self, name: &str) -> bool {
        let names = self.summary.iter().flat_map(|summary| &summary.names);
        names.into_iter().any(|pattern| covers(pattern, name))
    }
}

/// RFC 6125: `*` stands for exactly one first label.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == parent),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(covers("example.com", "example.com"));
        assert!(covers("*.example.com", "www.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", ".example.com"));
    }
}
