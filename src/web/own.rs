//! Files of the node itself: services give none of them away, run none and make none, wherever their directories are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{CookieStoreConfig, NodeConfig, ServiceConfig, TransportConfig, TransportKind};

/// Files, and directories with all that is in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnFiles(Arc<[PathBuf]>);

impl OwnFiles {
    /// What lies in the node directory, and what the configuration names: keys of TLS and stores of cookies.
    pub(super) fn of(config: &NodeConfig, stores: &[CookieStoreConfig]) -> Self {
        let tls = config.transports.iter().filter_map(|transport| transport.endpoint.tls());
        let keys = tls.flat_map(|tls| &tls.certificates).map(|certificate| &certificate.key);
        let keys = keys.chain(config.transports.iter().flat_map(client_keys)).cloned();
        let stores = stores.iter().filter_map(CookieStoreConfig::path);
        // A file of cookies is written anew beside the old one.
        let stores = stores.flat_map(|path| [path.to_owned(), path.with_added_extension("new")]);
        Self::new(config.own_files.iter().cloned().chain(keys).chain(stores))
    }

    fn new(named: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut paths: Vec<PathBuf> = named.into_iter().flat_map(|path| real_paths(&path)).collect();
        paths.sort();
        paths.dedup();
        Self(paths.into())
    }

    /// All of them if any is below a directory, or it below them; else none, for no path that stays in the directory leads to
    /// one.
    pub(crate) fn within(&self, root: &Path) -> Self {
        let touches = |own: &PathBuf| own.starts_with(root) || root.starts_with(own);
        if self.0.iter().any(touches) { self.clone() } else { Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is at a path without symbolic links, or would be if it were there. Does not ask the disk.
    pub(crate) fn claim(&self, path: &Path) -> bool {
        self.0.iter().any(|own| path.starts_with(own))
    }

    /// Whether one of them is at a path, by that name or another.
    pub(crate) fn have(&self, path: &Path) -> bool {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        let is_another_name = || {
            let found = identity(path);
            found.is_some() && self.0.iter().any(|own| identity(own) == found)
        };
        !self.is_empty() && (self.claim(path) || is_another_name())
    }
}

/// The keys that a transport's services show to other servers.
fn client_keys(transport: &TransportConfig) -> Vec<&PathBuf> {
    let TransportKind::Shared(shared) = &transport.kind else { return Vec::new() };
    let upstreams = shared.site.routes.services().into_iter().filter_map(|service| match service {
        ServiceConfig::ReverseProxy(proxy) => Some(&proxy.upstream),
        ServiceConfig::WebSocketProxy(proxy) => Some(&proxy.upstream),
        _ => None,
    });
    let shown = upstreams.filter_map(|upstream| upstream.tls.as_ref()?.certificate.as_ref());
    shown.map(|(_, key)| key).collect()
}

/// A path as it is named and as it leads on, both in directories without symbolic links.
fn real_paths(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let named =
        || -> Option<PathBuf> { Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?)) };
    [named(), fs::canonicalize(path).ok()].into_iter().flatten()
}

/// A directory without symbolic links.
///
/// # Errors
/// A text that names it.
pub(super) fn directory(path: &Path) -> Result<PathBuf, String> {
    let fault = |error: io::Error| format!("directory {}: {error}", path.display());
    let root = fs::canonicalize(path).map_err(fault)?;
    if root.is_dir() { Ok(root) } else { Err(format!("{} is no directory", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_all_their_names() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let root = fs::canonicalize(directory.path()).expect("a path");
        fs::create_dir_all(root.join("web")).expect("a directory");
        fs::create_dir_all(root.join("store")).expect("a directory");
        for name in ["key", "store/data", "web/page"] {
            fs::write(root.join(name), "").expect("a file");
        }
        std::os::unix::fs::symlink("key", root.join("link")).expect("a link");
        fs::hard_link(root.join("key"), root.join("twin")).expect("a link");
        let own = OwnFiles::new(["link", "store", "later"].map(|name| root.join("web/..").join(name)));
        let is_own = |name: &str| own.within(&root).have(&root.join(name));
        assert!(own.claim(&root.join("later")) && !own.claim(&root.join("twin")));
        for name in ["key", "link", "twin", "store", "store/data", "store/none", "later"] {
            assert!(is_own(name), "{name}");
        }
        assert!(!is_own("web") && !is_own("web/page") && !is_own("none") && !is_own("keys"));
        assert!(own.within(&root.join("web")).is_empty());
        assert!(!own.within(&root.join("store")).is_empty());
    }
}
