//! The tracking cookie of a transport.

use super::super::cursor::Cursor;
use super::super::node::{CookieConfig, CookieStoreConfig};

/// Name of the cookie where nothing is configured.
const NAME_DEFAULT: &str = "cbtid";
/// Characters of its value where nothing is configured.
const LENGTH_DEFAULT: usize = 24;
/// Seconds that it lasts where nothing is configured: a week.
const MAX_AGE_DEFAULT: u32 = 604_800;

/// `None` where nothing is configured: then no cookie is set.
pub(super) fn cookie(written: &Cursor<'_>) -> Option<CookieConfig> {
    written.is_present().then(|| CookieConfig {
        name: written.key("name").string().unwrap_or_else(|| NAME_DEFAULT.to_owned()),
        length: written.key("length").integer().unwrap_or(LENGTH_DEFAULT),
        max_age: written.key("max_age").integer().unwrap_or(MAX_AGE_DEFAULT),
        store: store(&written.key("store")),
        secure: written.key("secure").flag(false),
        http_strict: written.key("http_strict").flag(false),
        same_site: written.key("same_site").string(),
    })
}

fn store(written: &Cursor<'_>) -> CookieStoreConfig {
    let purge_on_startup = written.key("purge_on_startup").flag(false);
    match written.key("type").text() {
        Some("file") => CookieStoreConfig::File {
            path: written.key("filename").text().unwrap_or_default().into(),
            purge_on_startup,
        },
        Some("database") => CookieStoreConfig::Database {
            path: written.key("path").text().unwrap_or_default().into(),
            purge_on_startup,
            is_readonly: written.key("readonly").flag(false),
        },
        _ => CookieStoreConfig::Memory,
    }
}
