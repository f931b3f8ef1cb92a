//! Configuration files: which one is read, and its text as a document.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Largest configuration file read; protects the start from a file given by mistake.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// The two forms of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, extension `.json`.
    Json,
    /// YAML, extension `.yaml` or `.yml`.
    Yaml,
}

/// Why a file gave no document. Nothing recovers these but another file.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The file is larger than [`FILE_BYTES_MAX`].
    TooLarge(PathBuf, u64),
    /// The file name has another extension than `.json`, `.yaml` or `.yml`.
    Extension(PathBuf),
    /// The text is not JSON; the parser's words.
    NotJson(String),
    /// The text is not YAML; the parser's words.
    NotYaml(String),
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceError::Unreadable(path, error) => {
                write!(f, "cannot read configuration file {}: {error}", path.display())
            }
            SourceError::TooLarge(path, size) => {
                write!(
                    f,
                    "configuration file {} has {size} bytes, the limit is {FILE_BYTES_MAX}",
                    path.display()
                )
            }
            SourceError::Extension(path) => {
                let extension = path.extension().unwrap_or_default().to_string_lossy();
                write!(f, "invalid configuration file extension '.{extension}' (expected .json or .yaml)")
            }
            SourceError::NotJson(parser) => {
                write!(f, "configuration file does not seem to be proper JSON ('{parser}')")
            }
            SourceError::NotYaml(parser) => {
                write!(f, "configuration file does not seem to be proper YAML ('{parser}')")
            }
        }
    }
}

impl std::error::Error for SourceError {}

/// What the configuration file of a node directory may be called, the preferred name first.
pub const FILE_NAMES: [&str; 2] = ["config.yaml", "config.json"];

/// The configuration file of a node directory: `config.yaml` if it is there, else `config.json` if that is there, whatever it is.
pub fn find(node_directory: &Path) -> Option<PathBuf> {
    FILE_NAMES.iter().map(|name| node_directory.join(name)).find(|path| path.exists())
}

/// The format that the extension of a file name stands for.
///
/// # Errors
/// [`SourceError::Extension`] for any other extension.
pub fn format_of(path: &Path) -> Result<Format, SourceError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Ok(Format::Json),
        Some("yaml" | "yml") => Ok(Format::Yaml),
        _ => Err(SourceError::Extension(path.into())),
    }
}

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read, is no UTF-8, or is too large.
pub(super) fn read(path: &Path) -> Result<String, SourceError> {
    let unreadable = |error| SourceError::Unreadable(path.into(), error);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(SourceError::TooLarge(path.into(), size));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads a file that a configuration refers to.
///
/// # Errors
/// When it cannot be read, or has more than [`FILE_BYTES_MAX`].
pub(super) fn read_octets(path: &Path) -> std::io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.len() {
        0..=FILE_BYTES_MAX => std::fs::read(path),
        _ => Err(std::io::ErrorKind::FileTooLarge.into()),
    }
}

/// Parses a text. In JSON the last of several equal keys wins; in YAML equal keys are an error.
///
/// # Errors
/// When the text is not of the format.
pub fn parse(text: &str, format: Format) -> Result<Value, SourceError> {
    match format {
        Format::Json => serde_json::from_str(text).map_err(|error| SourceError::NotJson(error.to_string())),
        Format::Yaml => {
            // The parser would quote the lines around a fault, and with them any secret that stands there.
            let options = serde_saphyr::options! { with_snippet: false };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| SourceError::NotYaml(error.to_string()))
        }
    }
}
