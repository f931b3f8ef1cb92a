//! What the worker knows of a connection, in the core's terms.

use crossring_codec::transport::{Carrier, Transport};
use crossring_io::{Engine, PeerAddress};
use crossring_router::address::SessionKey;
use crossring_router::details::{ChannelFraming, ChannelType, Peer, TransportDetails};

use super::connection_of;

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

/// Adds what the handshake has settled.
pub(super) fn settled(socket: TransportDetails, transport: &Transport) -> TransportDetails {
    let framing = transport.framing();
    TransportDetails {
        channel_framing: framing.map(|framing| match framing.carrier() {
            Carrier::RawSocket => ChannelFraming::RawSocket,
            Carrier::WebSocketServer | Carrier::WebSocketClient => ChannelFraming::WebSocket,
        }),
        serializer: framing.map(|framing| framing.serializer()),
        ..socket
    }
}
