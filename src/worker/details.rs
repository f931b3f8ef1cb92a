//! What the worker knows of a connection, in the core's terms.

use std::time::SystemTime;

use crossring_codec::transport::{Carrier, Transport};
use crossring_io::{Engine, PeerAddress};
use crossring_router::address::SessionKey;
use crossring_router::config::Secret;
use crossring_router::details::{ChannelFraming, ChannelType, Peer, TransportDetails, TransportExtra};

use super::connection_of;
use crate::tls::{Established, peer_certificate};

/// The thread that serves a worker's connections.
#[derive(Copy, Clone, Debug)]
pub(super) struct Own {
    pid: u32,
    tid: u32,
}

impl Own {
    /// The calling thread.
    pub(super) fn read() -> Self {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        Self { pid: std::process::id(), tid }
    }

    /// The details of a connection as far as its socket knows them.
    pub(super) fn socket<E: Engine>(self, engine: &E, key: SessionKey) -> TransportDetails {
        let connection = connection_of(key);
        TransportDetails {
            channel_type: Some(ChannelType::Tcp),
            is_server: true,
            peer: match engine.peer(connection) {
                PeerAddress::Internet(address) => Peer::tcp(address),
                PeerAddress::Process { .. } => Peer::Unix,
                _ => Peer::Unknown,
            },
            own_pid: self.pid,
            own_tid: self.tid,
            own_fd: engine.descriptor(connection).unwrap_or(-1),
            ..TransportDetails::default()
        }
    }
}

/// Octets of header fields kept for one connection; fields beyond are left out.
const HEADERS_SIZE_MAX: usize = 4 * 1024;

/// Header fields that let whoever reads them act as the peer.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization", "sec-websocket-key"];

/// Adds what the handshakes of the transport and of TLS have settled.
pub(super) fn settled(
    socket: TransportDetails,
    transport: &mut Transport,
    tls: Option<&Established>,
    http_cbtid: Option<Secret>,
) -> TransportDetails {
    let http_headers_received = presentable(transport.take_request_headers());
    let certificate = tls.and_then(|tls| tls.peer_certificate.as_deref());
    let channel_ids = tls.iter().flat_map(|tls| &tls.channel_ids);
    let extra = TransportExtra {
        http_headers_received,
        http_cbtid,
        channel_id: channel_ids.map(|(name, id)| ((*name).into(), (*id).into())).collect(),
        peer_cert: certificate.map_or_else(Vec::new, |der| peer_certificate(der, SystemTime::now())),
        peer_certificate: certificate.unwrap_or_default().into(),
        ..TransportExtra::default()
    };
    let framing = transport.framing();
    TransportDetails {
        channel_type: if tls.is_some() { Some(ChannelType::Tls) } else { socket.channel_type },
        channel_framing: framing.map(|framing| match framing.carrier() {
            Carrier::RawSocket => ChannelFraming::RawSocket,
            Carrier::WebSocketServer | Carrier::WebSocketClient => ChannelFraming::WebSocket,
        }),
        serializer: framing.map(|framing| framing.serializer()),
        extra: (extra != TransportExtra::default()).then(|| Box::new(extra)),
        ..socket
    }
}

/// The header fields that may be shown to others, as many as are kept.
pub(crate) fn presentable(mut headers: Vec<(Box<str>, Box<str>)>) -> Vec<(Box<str>, Box<str>)> {
    let mut size = 0;
    headers.retain(|(name, value)| {
        let is_secret = SECRET_HEADERS.contains(&&**name);
        size += if is_secret { 0 } else { name.len() + value.len() };
        !is_secret && size <= HEADERS_SIZE_MAX
    });
    headers.shrink_to_fit();
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[(&str, usize)]) -> Vec<(Box<str>, Box<str>)> {
        names.iter().map(|(name, size)| ((*name).into(), "x".repeat(*size).into())).collect()
    }

    #[test]
    fn secrets_are_not_kept() {
        let kept = presentable(headers(&[("host", 1), ("cookie", 1), ("authorization", 1), ("origin", 1)]));
        assert_eq!(kept, headers(&[("host", 1), ("origin", 1)]));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let kept = presentable(headers(&[("a", HEADERS_SIZE_MAX - 2), ("b", 1), ("c", 1)]));
        assert_eq!(kept.len(), 1);
    }
}
