//! The complete key space of a node configuration, version 2, as tables. Data only: one file per area.

pub(crate) mod auth;
pub(crate) mod container;
pub(crate) mod controller;
pub(crate) mod endpoint;
pub(crate) mod proxy;
pub(crate) mod router;
pub(crate) mod transport;
pub(crate) mod web;
pub(crate) mod websocket;
pub(crate) mod worker;

use super::schema::{Key, Kind, key};
use super::syntax::ID;

pub(super) static ID_KIND: Kind = Kind::Word(&ID);
pub(super) static TEXTS: Kind = Kind::List(&Kind::Text);

/// The key `id` of everything that the management API can name.
pub(super) static ID_KEY: Key =
    key("id", &ID_KIND, "Name in logs and in the management API.").default("generated");

/// Why a flag for tracing inside Crossbar does nothing.
pub(super) static DEBUG_KEY: Key = key("debug", &Kind::Flag, "Extra tracing of this item.")
    .default("false")
    .no_effect("tracing is set by the log level");

/// Why keys of Python processes do nothing.
pub(super) const NO_PROCESS: &str = "workers are threads of one process here";
