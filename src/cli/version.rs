//! `crossring version`.

use super::{SUCCESS, say};

pub(super) fn run() -> u8 {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let lines = [
        ("crossring", env!("CARGO_PKG_VERSION")),
        ("Serializers", "json, msgpack, cbor, ubjson, flatbuffers (each also batched)"),
        ("Transports", "WebSocket, RawSocket (TCP, Unix)"),
        ("Operating system", &format!("{} {}", std::env::consts::OS, kernel.trim())),
        ("Host machine", std::env::consts::ARCH),
    ];
    lines.iter().for_each(|(label, value)| say!(" {label:<18}: {value}"));
    SUCCESS
}
