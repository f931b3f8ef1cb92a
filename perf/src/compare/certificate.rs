//! The one certificate of a comparison: every server has the same, so every handshake is the same work.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::fault::Fault;

/// Files of a certificate that is its own authority, and of its key (ECDSA on P-256), PEM.
pub(super) struct Certificate {
    /// The certificate.
    pub(super) certificate: PathBuf,
    /// The private key.
    pub(super) key: PathBuf,
}

impl Certificate {
    /// Makes one and writes it into `directory`.
    pub(super) fn make(directory: &Path) -> Result<Certificate, Fault> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.map_err(|error| Fault::Setup(format!("make a certificate: {error}")))?;
        let files =
            Certificate { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
        for (path, text) in
            [(&files.certificate, made.cert.pem()), (&files.key, made.signing_key.serialize_pem())]
        {
            fs::write(path, text).map_err(Fault::io("write a certificate"))?;
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_pem() {
        let directory = tempfile::tempdir().expect("a directory");
        let made = Certificate::make(directory.path()).expect("a certificate");
        let read = |path| fs::read_to_string(path).expect("a file");
        assert!(read(&made.certificate).starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(read(&made.key).starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
