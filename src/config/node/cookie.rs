//! The tracking cookie of a WebSocket transport, resolved.

use std::path::{Path, PathBuf};

/// How browsers are recognised by a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieConfig {
    /// Its name.
    pub name: String,
    /// Characters of its value, 6..=64.
    pub length: usize,
    /// Seconds that it lasts.
    pub max_age: u32,
    /// Where cookies are kept that somebody has logged in with.
    pub store: CookieStoreConfig,
    /// Attribute `Secure`: sent over TLS only.
    pub secure: bool,
    /// Attribute `HttpOnly`: hidden from scripts.
    pub http_strict: bool,
    /// Attribute `SameSite`.
    pub same_site: Option<String>,
}

/// Where cookies are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieStoreConfig {
    /// In memory: they end with the process.
    Memory,
    /// In a file.
    File {
        /// The file; relative to the node directory.
        path: PathBuf,
        /// Begin empty.
        purge_on_startup: bool,
    },
    /// In a database.
    Database {
        /// Its directory; relative to the node directory.
        path: PathBuf,
        /// Begin empty.
        purge_on_startup: bool,
        /// Never write.
        is_readonly: bool,
    },
}

impl CookieConfig {
    /// What follows the value in `Set-Cookie`.
    pub fn attributes(&self) -> String {
        let mut attributes = format!(";max-age={}", self.max_age);
        let flags = [(self.secure, ";Secure"), (self.http_strict, ";HttpOnly")];
        attributes.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word));
        if let Some(same_site) = &self.same_site {
            attributes.push_str(";SameSite=");
            attributes.push_str(same_site);
        }
        attributes
    }
}

impl CookieStoreConfig {
    /// Where it is on the disk, if it is there.
    pub fn path(&self) -> Option<&Path> {
        match self {
            CookieStoreConfig::Memory => None,
            CookieStoreConfig::File { path, .. } | CookieStoreConfig::Database { path, .. } => Some(path),
        }
    }

    pub(super) fn resolve_path(&mut self, node_directory: &Path) {
        if let CookieStoreConfig::File { path, .. } | CookieStoreConfig::Database { path, .. } = self {
            *path = node_directory.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_crossbars() {
        let mut cookie = CookieConfig {
            name: "cbtid".into(),
            length: 24,
            max_age: 604_800,
            store: CookieStoreConfig::Memory,
            secure: false,
            http_strict: false,
            same_site: None,
        };
        assert_eq!(cookie.attributes(), ";max-age=604800");
        cookie = CookieConfig { secure: true, http_strict: true, same_site: Some("Lax".into()), ..cookie };
        assert_eq!(cookie.attributes(), ";max-age=604800;Secure;HttpOnly;SameSite=Lax");
    }
}
