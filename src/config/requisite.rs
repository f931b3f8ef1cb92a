//! What the files of the host must give before a node can start, as far as a configuration names them.

use std::path::Path;

use super::site::ServiceConfig;
use super::tls::TlsEndpoint;

/// A part of a configuration that start makes out of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requisite {
    /// TLS of a listening endpoint.
    Tls(TlsEndpoint),
    /// A web service.
    Service(ServiceConfig),
}

impl Requisite {
    /// Makes relative paths absolute: they are relative to the node directory.
    pub(crate) fn resolve_paths(&mut self, node_directory: &Path) {
        match self {
            Requisite::Tls(tls) => tls.resolve_paths(node_directory),
            Requisite::Service(service) => service.resolve_paths(node_directory),
        }
    }
}
