//! Where services that stand before another server find it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Another server, and what it may take to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where it listens.
    pub place: UpstreamPlace,
    /// Encryption; `None` = plain.
    pub tls: Option<UpstreamTls>,
    /// Time to connect, with the name looked up and TLS.
    pub connect_timeout: Duration,
    /// Connections to it at once.
    pub connections_max: usize,
    /// How long nothing may pass through a WebSocket to it; `None` = for ever.
    pub idle_timeout: Option<Duration>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamPlace {
    /// On TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// 4 or 6; `None` = both.
        version: Option<u8>,
    },
    /// On a Unix socket, relative to the node directory.
    Unix(PathBuf),
}

/// TLS to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that its certificate must carry.
    pub hostname: String,
    /// Certificates of authorities; none = those of the system.
    pub authorities: Vec<PathBuf>,
    /// What to show: certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl UpstreamConfig {
    /// Makes relative paths absolute.
    pub(super) fn resolve_paths(&mut self, directory: &Path) {
        let socket = match &mut self.place {
            UpstreamPlace::Unix(path) => Some(path),
            UpstreamPlace::Tcp { .. } => None,
        };
        let tls = self.tls.iter_mut().flat_map(|tls| {
            let own = tls.certificate.iter_mut().flat_map(|(certificate, key)| [certificate, key]);
            tls.authorities.iter_mut().chain(own)
        });
        for path in socket.into_iter().chain(tls) {
            *path = directory.join(&*path);
        }
    }
}
