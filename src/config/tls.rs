//! The resolved settings of TLS.

use std::path::{Path, PathBuf};

/// TLS of a listening endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsEndpoint {
    /// Certificates, the default one first; never empty.
    pub certificates: Vec<CertificateFiles>,
    /// Who may show a certificate; `None` = clients are not asked for one.
    pub client_certificates: Option<ClientCertificates>,
    /// The oldest version spoken.
    pub minimum_version: TlsVersion,
}

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, perhaps followed by intermediate ones.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Intermediate certificates.
    pub chain: Vec<PathBuf>,
    /// An OCSP response in DER, sent to clients that ask for one.
    pub ocsp_response: Option<PathBuf>,
}

/// Which clients may show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Certificates of the authorities that sign them; never empty.
    pub authorities: Vec<PathBuf>,
    /// Whether clients without certificate are turned away.
    pub is_required: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

impl TlsEndpoint {
    /// All files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let certificates = self.certificates.iter().flat_map(CertificateFiles::files);
        let authorities = self.client_certificates.iter().flat_map(|clients| &clients.authorities);
        certificates.chain(authorities.map(PathBuf::as_path))
    }

    /// Makes relative paths absolute.
    pub(super) fn resolve_paths(&mut self, directory: &Path) {
        let authorities = self.client_certificates.iter_mut().flat_map(|clients| &mut clients.authorities);
        let certificates = self.certificates.iter_mut().flat_map(CertificateFiles::files_mut);
        for path in certificates.chain(authorities) {
            *path = directory.join(&*path);
        }
    }
}

impl CertificateFiles {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let single = [Some(&self.certificate), Some(&self.key), self.ocsp_response.as_ref()];
        single.into_iter().flatten().chain(&self.chain).map(PathBuf::as_path)
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let single = [Some(&mut self.certificate), Some(&mut self.key), self.ocsp_response.as_mut()];
        single.into_iter().flatten().chain(&mut self.chain)
    }
}
