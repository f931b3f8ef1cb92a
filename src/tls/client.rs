//! The client's side: whom to trust, what to show, and the handshake over a blocking socket.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::binding::{ChannelIds, ExporterSecret, Observed, observe, provider};
use super::{Summary, TlsError, files};

/// What a client trusts and shows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientSettings {
    /// Certificates of authorities, or of servers themselves; none: the authorities that this system trusts.
    pub authorities: Vec<PathBuf>,
    /// Files of the client's own certificate, with what chain it needs, and of its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl ClientSettings {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used, or nobody would be trusted.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Library)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier()?));
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(files::certificates(certificate)?, files::private_key(key)?)
                .map_err(|error| TlsError::Refused(key.clone(), error))?,
        };
        config.key_log = Arc::new(ExporterSecret);
        config.require_ems = true;
        Ok(Arc::new(config))
    }

    fn verifier(&self) -> Result<Verifier, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        for path in &self.authorities {
            for certificate in files::certificates(path)? {
                let added = roots.add(certificate.clone());
                added.map_err(|error| TlsError::Refused(path.clone(), error))?;
                named.push(certificate);
            }
        }
        if self.authorities.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let path = self.authorities.first().cloned().unwrap_or_else(|| "the system's authorities".into());
        let chains = verifier.map_err(|error| TlsError::Authorities(path, error.to_string()))?;
        Ok(Verifier { chains, named })
    }
}

/// Verifies chains, as the library does, and accepts a server's certificate that is named itself: those made for trying things
/// out are their own authorities, and nothing in the standards lets an authority be a server.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.named.iter().any(|it| it == certificate) {
            return self.chains.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        let summary = Summary::of(certificate).ok_or(CertificateError::BadEncoding)?;
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
        match summary.left(now) {
            Some(_) => Ok(ServerCertVerified::assertion()),
            None => Err(CertificateError::Expired.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Shakes hands with the server `host` over a connected blocking socket.
///
/// # Errors
/// When the socket fails, or the server cannot show that it is `host`.
pub fn connect<S: Read + Write>(
    config: Arc<ClientConfig>,
    host: &str,
    mut socket: S,
) -> Result<(StreamOwned<ClientConnection, S>, ChannelIds), std::io::Error> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
    let mut observed = Observed::default();
    while connection.is_handshaking() {
        observe(&mut observed, || connection.complete_io(&mut socket))?;
    }
    let channel_ids = observed.channel_ids(&connection);
    Ok((StreamOwned::new(connection, socket), channel_ids))
}
