//! `options` of WebSocket transports and the cookie block.

use super::super::schema::{Key, Kind, Off, Table, Union, choice, key, variant};
use super::super::syntax::COOKIE_NAME;
use super::TEXTS;
use super::endpoint::PORT;
use super::transport::MAX_NESTING_DEPTH;

pub(super) static OPTIONS: Kind = Kind::Object(&OPTIONS_TABLE);

/// Largest message or frame a transport may be set to take: 64 MiB.
const LIMIT_BYTES_MAX: i64 = 67_108_864;

static OPTIONS_TABLE: Table =
    Table { name: "options of a websocket transport", keys: &OPTION_KEYS, rules: &[] };

/// Of WebSockets that are passed on as they are.
pub(super) static PROXIED_OPTIONS: Kind = Kind::Object(&PROXIED_OPTIONS_TABLE);

/// Why most options of such a WebSocket have no effect.
pub(super) const RELAYED: &str = "client and backend agree on it, and frames are passed on as they are";

static PROXIED_OPTIONS_TABLE: Table =
    Table { name: "options of a websocket-reverseproxy", keys: &PROXIED_OPTION_KEYS, rules: &[] };

static PROXIED_OPTION_KEYS: [Key; OPTION_COUNT] = {
    let mut keys = OPTION_KEYS;
    let mut index = ORIGIN_KEYS;
    while index < OPTION_COUNT {
        keys[index] = keys[index].no_effect(RELAYED);
        index += 1;
    }
    keys
};

const OPTION_COUNT: usize = 29;

/// Of the keys, so many at the beginning say which pages may connect.
const ORIGIN_KEYS: usize = 2;

static OPTION_KEYS: [Key; OPTION_COUNT] = [
    key("allowed_origins", &TEXTS, "Origins of web pages that may connect; `*` matches any text.")
        .default("[\"*\"]"),
    key("allow_null_origin", &Kind::Flag, "Accept `Origin: null`.").default("true"),
    key(
        "external_port",
        &Kind::Either(&[&PORT, &Kind::Null]),
        "Public port, behind a proxy: the `Host` of a request must name it.",
    )
    .default("any"),
    key("enable_hybi10", &Kind::Flag, "Protocol version 8.").default("true"),
    key("enable_rfc6455", &Kind::Flag, "Protocol version 13.").default("true"),
    key("max_header_size", &Kind::Integer(512, 65_536), "Largest HTTP head of a request, in bytes.")
        .default("8192"),
    key("open_handshake_timeout", &Kind::Milliseconds, "Time for the opening handshake; 0 = off.")
        .default("5000"),
    key("close_handshake_timeout", &Kind::Milliseconds, "Time for the closing handshake; 0 = off.")
        .default("5000"),
    key("enable_webstatus", &Kind::Flag, "Answer a plain GET with a status page instead of 426.")
        .default("true"),
    key("validate_utf8", &Kind::Flag, "Check text messages for valid UTF-8.").default("true"),
    key("mask_server_frames", &Kind::Flag, "Mask frames sent by the router, which RFC 6455 forbids.")
        .default("false"),
    key("require_masked_client_frames", &Kind::Flag, "Refuse unmasked frames.").default("true"),
    key("apply_mask", &Kind::Flag, "Undo the masking of frames; false serves tests only.").default("true"),
    key(
        "max_frame_size",
        &Kind::Integer(0, LIMIT_BYTES_MAX),
        "Largest frame taken, in bytes; 0 = no limit of its own.",
    )
    .default("0"),
    key(
        "max_message_size",
        &Kind::Integer(0, LIMIT_BYTES_MAX),
        "Largest message, or batch of messages, taken, in bytes; 0, and more than 16 MiB, = 16 MiB.",
    )
    .default("16777216"),
    MAX_NESTING_DEPTH,
    key(
        "auto_fragment_size",
        &Kind::Integer(0, LIMIT_BYTES_MAX),
        "Send longer messages in fragments of this size; 0 = off.",
    )
    .default("0"),
    key(
        "fail_by_drop",
        &Kind::Flag,
        "At a protocol violation drop the connection without a closing handshake.",
    )
    .default("false"),
    key(
        "echo_close_codereason",
        &Kind::Flag,
        "Answer a close frame with its own code and reason instead of code 1000.",
    )
    .default("false"),
    key("tcp_nodelay", &Kind::Flag, "Send small segments at once.").default("true"),
    key("auto_ping_interval", &Kind::Milliseconds, "Time of silence before a ping; 0 = off.")
        .default("30000"),
    key("auto_ping_timeout", &Kind::Milliseconds, "Time to answer a ping; 0 = off.").default("20000"),
    key("auto_ping_size", &Kind::Integer(12, 125), "Bytes in a ping.").default("12"),
    key("auto_ping_restart_on_any_traffic", &Kind::Flag, "Any received data counts as an answer.")
        .default("true"),
    key("enable_flash_policy", &Kind::Flag, "Flash socket policy.").no_effect("Flash is gone"),
    key("flash_policy", &Kind::Any, "Flash socket policy file.").no_effect("Flash is gone"),
    key("compression", &Kind::Object(&COMPRESSION), "Compression of messages.").default("off"),
    key(
        "require_websocket_subprotocol",
        &Kind::Flag,
        "Refuse clients that name no WAMP subprotocol; false = they speak JSON.",
    )
    .default("true"),
    key("show_server_version", &Kind::Flag, "Send the version in the `Server` header.").default("false"),
];

static COMPRESSION: Table = Table {
    name: "options.compression",
    keys: &[key("deflate", &Kind::Object(&DEFLATE), "permessage-deflate.")],
    rules: &[],
};

static DEFLATE: Table = Table {
    name: "options.compression.deflate",
    keys: &[
        key("request_no_context_takeover", &Kind::Flag, "Ask clients for no context takeover.")
            .default("false"),
        key(
            "request_max_window_bits",
            &Kind::IntegerOf(&[0, 9, 10, 11, 12, 13, 14, 15]),
            "Ask clients for a window.",
        )
        .default("0"),
        key("no_context_takeover", &Kind::Flag, "No context takeover by the router.").default("false"),
        key("max_window_bits", &Kind::IntegerOf(&[9, 10, 11, 12, 13, 14, 15]), "Window of the router.")
            .default("15"),
        key("memory_level", &Kind::Integer(1, 9), "Memory of the compressor.").default("8"),
        key("level", &Kind::Integer(1, 9), "Effort of the compressor: 1 is fast, 9 small.").default("6"),
        key(
            "min_message_size",
            &Kind::Integer(0, LIMIT_BYTES_MAX),
            "Smaller messages are sent uncompressed, in bytes.",
        )
        .default("64"),
        key(
            "max_inflate_ratio",
            &Kind::Integer(1, 1_100),
            "A message that inflates to more times its size, and to more than 1 MiB, ends the connection with code 1009; so does one whose beginning is more than 1 MiB beyond the ratio.",
        )
        .default("200"),
    ],
    rules: &[],
};

pub(super) static COOKIE: Kind = Kind::Object(&COOKIE_TABLE);

static COOKIE_TABLE: Table = Table {
    name: "cookie",
    keys: &[
        key("name", &Kind::Word(&COOKIE_NAME), "Name of the cookie.").default("cbtid"),
        key("length", &Kind::Integer(6, 64), "Characters of the value.").default("24"),
        key("max_age", &Kind::Integer(1, 311_040_000), "Lifetime in seconds.").default("604800"),
        key("store", &Kind::Tagged(&STORE), "Where cookies are kept.").default("memory"),
        key("secure", &Kind::Flag, "Only over TLS.").default("false"),
        key("http_strict", &Kind::Flag, "Hidden from scripts.").default("false"),
        key(
            "same_site",
            &Kind::Choice(&[choice("Strict"), choice("Lax"), choice("None")]),
            "Attribute SameSite.",
        ),
    ],
    rules: &[],
};

static STORE: Union = Union {
    what: "a cookie store",
    tag: "type",
    default: None,
    variants: &[variant("memory", &MEMORY), variant("file", &FILE), variant("database", &DATABASE)],
};

static MEMORY: Table = Table { name: "cookie.store, type memory", keys: &[], rules: &[] };

static FILE: Table = Table {
    name: "cookie.store, type file",
    keys: &[
        key("filename", &Kind::Text, "File, relative to the node directory.").required(),
        key("purge_on_startup", &Kind::Flag, "Begin empty.").default("false"),
    ],
    rules: &[],
};

static DATABASE: Table = Table {
    name: "cookie.store, type database",
    keys: &[
        key("path", &Kind::Text, "Directory of the database; Crossbar.io's own there is left alone.")
            .required(),
        key("purge_on_startup", &Kind::Flag, "Begin empty.").default("false"),
        key("maxsize", &Kind::Integer(131_072, 137_438_953_472), "Size limit in bytes.")
            .default("1073741824")
            .no_effect("the number of cookies and the size of each are bounded"),
        key("readonly", &Kind::Flag, "Never write.").default("false"),
        key("sync", &Kind::Flag, "Flush to disk after each change.")
            .default("true")
            .fixed(Off::True, "it always is, by a thread of its own"),
    ],
    rules: &[],
};
