//! The files of TLS while the node runs: read again when they have changed or when SIGHUP asks for it, and their expiry
//! announced. Sessions go on as they are; connections accepted later get the new certificates. What cannot be used leaves the
//! old ones in place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crossring_io::Monotonic;
use crossring_router::address::TransportId;
use rustls::ServerConfig;

use crate::config::TlsEndpoint;
use crate::tls::{ServerSettings, TlsError};

/// Time between two looks at the files, in nanoseconds. A change is taken up at the second look that finds it the same, so
/// that half-written files are not read.
const LOOK_NS: u64 = 1_000_000_000;

/// Time between two reminders of a certificate that is about to expire, in nanoseconds.
const REMIND_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Days before its end from which a certificate is warned about.
const WARNING_DAYS: u64 = 30;

const DAY_SECONDS: u64 = 24 * 3600;

/// The certificates of all transports.
#[derive(Debug, Default)]
pub struct Certificates {
    endpoints: Vec<Watched>,
    look_at: Monotonic,
    remind_at: Monotonic,
}

/// What one transport is to serve from now on.
pub(super) type Renewal = (TransportId, Arc<ServerConfig>);

/// What tells two versions of a file apart; none: there is no file.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

#[derive(Debug)]
struct Watched {
    transport: TransportId,
    name: String,
    endpoint: TlsEndpoint,
    protocols: &'static [&'static str],
    settings: ServerSettings,
    /// The files as they were when they were last read, and when they were last looked at.
    used: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl Certificates {
    /// Reads the files of a transport and watches them from now on. `protocols`: see [`ServerSettings::load`].
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn add(
        &mut self,
        transport: TransportId,
        name: &str,
        endpoint: &TlsEndpoint,
        protocols: &'static [&'static str],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let used = stamps(endpoint);
        let settings = ServerSettings::load(endpoint, protocols, None)?;
        let config = settings.config.clone();
        let (name, endpoint, seen) = (name.to_owned(), endpoint.clone(), used.clone());
        self.endpoints.push(Watched { transport, name, endpoint, protocols, settings, used, seen });
        Ok(config)
    }

    /// When to call [`Certificates::look`] again; none: never.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        (!self.endpoints.is_empty()).then_some(self.look_at)
    }

    /// Looks at the files if it is time; returns what has changed.
    pub(super) fn look(&mut self, now: Monotonic) -> Vec<Renewal> {
        if self.endpoints.is_empty() || now < self.look_at {
            return Vec::new();
        }
        self.look_at = now.after_ns(LOOK_NS);
        let renewed = self.endpoints.iter_mut().filter_map(Watched::look).collect();
        if now >= self.remind_at {
            self.remind_at = now.after_ns(REMIND_NS);
            self.endpoints.iter().for_each(Watched::remind);
        }
        renewed
    }

    /// Reads all files again.
    pub(super) fn read_again(&mut self) -> Vec<Renewal> {
        self.endpoints.iter_mut().filter_map(|it| it.read_again(stamps(&it.endpoint))).collect()
    }
}

impl Watched {
    fn look(&mut self) -> Option<Renewal> {
        let seen = stamps(&self.endpoint);
        let is_stable = seen == self.seen;
        self.seen.clone_from(&seen);
        if seen == self.used || !is_stable { None } else { self.read_again(seen) }
    }

    fn read_again(&mut self, seen: Vec<Stamp>) -> Option<Renewal> {
        self.used = seen;
        match ServerSettings::load(&self.endpoint, self.protocols, Some(&self.settings)) {
            Ok(settings) => {
                tracing::info!("transport {:?}: new certificates from now on", self.name);
                self.settings = settings;
                self.remind();
                Some((self.transport, self.settings.config.clone()))
            }
            Err(error) => {
                tracing::error!("transport {:?}: the certificates stay as they are: {error}", self.name);
                None
            }
        }
    }

    /// Warns of certificates that are about to expire.
    fn remind(&self) {
        let now = SystemTime::now();
        for (path, summary) in &self.settings.certificates {
            let (name, path) = (&self.name, path.display());
            match summary.left(now).map(|left| left.as_secs() / DAY_SECONDS) {
                None => tracing::error!("transport {name:?}: the certificate {path} has expired"),
                Some(days @ 0..WARNING_DAYS) => {
                    tracing::warn!("transport {name:?}: the certificate {path} expires in {days} days");
                }
                Some(_) => {}
            }
        }
    }
}

fn stamps(endpoint: &TlsEndpoint) -> Vec<Stamp> {
    endpoint.files().map(stamp).collect()
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
}
