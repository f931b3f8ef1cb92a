//! A connection that is no HTTP any more: octets of a client and of another server, passed on as they come.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy, split};

use super::slots::Slot;
use super::stream::Stream;

/// How long a server may take to let itself be told the end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// The server's end, and what the client is to be told first.
pub(crate) struct Tunnel {
    /// The answer to the client's request.
    pub(crate) head: Vec<u8>,
    pub(crate) server: Upgraded,
    /// Taken as long as the tunnel is there.
    pub(crate) slot: Slot,
}

impl Tunnel {
    /// Passes octets on until one side has ended. `read`: what the client has sent already. Each direction holds a few KiB, and
    /// reads no further while they are not taken.
    pub(crate) async fn run(self, client: Stream, read: &[u8]) {
        let _slot = self.slot;
        let (mut from_client, mut to_client) = split(TokioIo::new(client));
        let (mut from_server, mut to_server) = split(TokioIo::new(self.server));
        let outward = async {
            to_server.write_all(read).await?;
            copy(&mut from_client, &mut to_server).await
        };
        let inward = async {
            to_client.write_all(&self.head).await?;
            to_client.flush().await?;
            copy(&mut from_server, &mut to_client).await
        };
        // Clients cannot close one half: the end of one direction is that of both.
        tokio::select! {
            out = outward => tracing::debug!(?out, "tunnel: the client has ended"),
            inn = inward => tracing::debug!(?inn, "tunnel: the server has ended"),
        }
        let farewell = async { (to_client.shutdown().await, to_server.shutdown().await) };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
    }
}
