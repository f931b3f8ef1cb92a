//! Node configuration, in two stages: the document as written (JSON or YAML, version 2, the key space of Crossbar.io)
//! is checked against the schema, then resolved into a [`NodeConfig`]. All faults are reported, each with its path.
//!
//! Invariant: no key is ignored in silence. A key takes effect, or is unknown (a fault), or belongs to a feature this
//! version does not build (refused at start), or has no effect by design (said so by `check`).

mod cursor;
mod fault;
mod node;
mod position;
mod reference;
mod requisite;
mod resolve;
mod routes;
mod schema;
mod site;
mod source;
mod syntax;
mod tables;
mod tls;
mod upstream;

use std::path::Path as FilePath;

use serde_json::Value;

pub use fault::{Fault, Position};
pub use node::*;
pub use reference::{all_config_keys, reference_markdown};
pub use requisite::Requisite;
pub use resolve::Environment;
pub use routes::Routes;
pub use schema::{Refusal, Support};
pub use site::{
    ArchiveConfig, CgiConfig, JsonConfig, LongPollConfig, RestConfig, RestDeed, ReverseProxyConfig, Scheme,
    ServiceConfig, SharedOptions, SiteConfig, StaticConfig, UploadConfig, WebSocketProxyConfig,
};
pub use source::{FILE_BYTES_MAX, FILE_NAMES, Format, SourceError, find, format_of, parse};
pub use tls::{CertificateFiles, ClientCertificates, TlsEndpoint, TlsVersion};
pub use upstream::{UpstreamConfig, UpstreamPlace, UpstreamTls};

use cursor::Cursor;
use fault::{Faults, Path};

/// A document without faults.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The resolved configuration. It lacks what `support.refused` names: start it only when that list is empty.
    pub node: NodeConfig,
    /// What this version refuses, and what has no effect.
    pub support: Support,
    /// Remarks that stop nothing, such as secrets whose environment variable is not set.
    pub warnings: Vec<String>,
    /// What start makes out of files, each with its place in the document. Their paths are as written.
    pub requisites: Vec<(String, Requisite)>,
}

/// Why a file gives no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// There is no document.
    Source(SourceError),
    /// The document has faults: all of them, in document order per walk.
    Faults(Vec<Fault>),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigError::Source(error) => error.fmt(f),
            ConfigError::Faults(faults) => {
                let plural = if faults.len() == 1 { "" } else { "s" };
                write!(f, "{} fault{plural} in the node configuration", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads, checks and resolves a configuration file; environment references are read from this process, files from the node directory.
///
/// # Errors
/// When the file gives no document, or with all faults of the document.
pub fn load(path: &FilePath, node_directory: &FilePath) -> Result<Checked, ConfigError> {
    let format = format_of(path).map_err(ConfigError::Source)?;
    let text = source::read(path).map_err(ConfigError::Source)?;
    let environment = Environment {
        variable: &|name| std::env::var(name).ok(),
        file: &|path| source::read_octets(&node_directory.join(path)),
    };
    load_text(&text, format, environment)
}

/// Checks and resolves a configuration text.
///
/// # Errors
/// When the text gives no document, or with all faults of the document, those of JSON with line and column.
pub fn load_text(text: &str, format: Format, environment: Environment<'_>) -> Result<Checked, ConfigError> {
    let document = parse(text, format).map_err(ConfigError::Source)?;
    check(&document, environment).map_err(|mut faults| {
        if format == Format::Json {
            position::locate(text, &mut faults);
        }
        ConfigError::Faults(faults)
    })
}

/// Checks and resolves a document.
///
/// # Errors
/// All faults; the list is not empty.
pub fn check(document: &Value, environment: Environment<'_>) -> Result<Checked, Vec<Fault>> {
    let (mut faults, mut warnings) = (Faults::default(), Vec::new());
    schema::check(&tables::controller::NODE, document, &Path::Root, &mut faults);
    let mut resolver = resolve::Resolver::new(environment, &mut faults, &mut warnings);
    let node = resolve::node(document, &mut resolver);
    let requisites = resolver.requisites;
    match faults.into_vec() {
        faults if faults.is_empty() => {
            Ok(Checked { node, support: survey(document, environment), warnings, requisites })
        }
        faults => Err(faults),
    }
}

/// Lists what the document asks for beyond this version; disabled workers ask for nothing.
fn survey(document: &Value, environment: Environment<'_>) -> Support {
    let mut document = document.clone();
    if let Some(workers) = document.get_mut("workers").and_then(Value::as_array_mut) {
        for worker in workers {
            if resolve::is_disabled(&Cursor::root(worker), environment) {
                *worker = Value::Null;
            }
        }
    }
    let mut support = Support::default();
    schema::survey(&tables::controller::NODE, &document, &Path::Root, &mut support);
    support
}

/// Fuzz body: any text in any format, and any document it parses to, gives a result whose faults all carry a path.
pub fn fuzz(text: &str, format: Format) {
    let environment = Environment {
        variable: &|name| name.starts_with('A').then(|| "1".to_string()),
        file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    if let Err(ConfigError::Faults(faults)) = load_text(text, format, environment) {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|fault| !fault.path.is_empty() && !fault.message.is_empty()));
    }
}
