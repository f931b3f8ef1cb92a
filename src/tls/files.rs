//! What TLS reads from files: certificates and keys in PEM, OCSP responses in DER.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Largest file read, in octets; the bundles of all public authorities have a few hundred KiB.
const FILE_SIZE_MAX: u64 = 4 << 20;

/// Why a file cannot be used.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum FileProblem {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is larger than any such file.
    TooLarge,
    /// It is no PEM.
    NotPem(pem::Error),
    /// It holds no certificate.
    NoCertificate,
    /// It holds no private key, or one that is encrypted.
    NoKey,
    /// It is empty.
    Empty,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.problem {
            FileProblem::Unreadable(error) => error.fmt(f),
            FileProblem::TooLarge => write!(f, "larger than {FILE_SIZE_MAX} octets"),
            FileProblem::NotPem(error) => write!(f, "no valid PEM: {error}"),
            FileProblem::NoCertificate => f.write_str("holds no certificate in PEM"),
            FileProblem::NoKey => f.write_str("holds no private key in PEM (encrypted keys are not read)"),
            FileProblem::Empty => f.write_str("is empty"),
        }
    }
}

fn fault(path: &Path, problem: FileProblem) -> FileError {
    FileError { path: path.to_path_buf(), problem }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut octets = Vec::new();
    let file = fs::File::open(path).map_err(|error| fault(path, FileProblem::Unreadable(error)))?;
    file.take(FILE_SIZE_MAX + 1)
        .read_to_end(&mut octets)
        .map_err(|error| fault(path, FileProblem::Unreadable(error)))?;
    if octets.len() as u64 > FILE_SIZE_MAX {
        return Err(fault(path, FileProblem::TooLarge));
    }
    Ok(octets)
}

/// All certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let octets = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&octets).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| fault(path, FileProblem::NotPem(error)))?;
    if certificates.is_empty() { Err(fault(path, FileProblem::NoCertificate)) } else { Ok(certificates) }
}

/// The first private key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => fault(path, FileProblem::NoKey),
        error => fault(path, FileProblem::NotPem(error)),
    })
}

/// An OCSP response. It is passed on as it is; clients judge it.
pub(super) fn ocsp_response(path: &Path) -> Result<Vec<u8>, FileError> {
    let octets = read(path)?;
    if octets.is_empty() { Err(fault(path, FileProblem::Empty)) } else { Ok(octets) }
}
