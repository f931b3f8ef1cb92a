//! A connection that is no HTTP any more: octets of a client and of another server, passed on as they come.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, copy, split};
use tokio::time::Instant;

use super::complaints::Complaints;
use super::slots::Slot;
use super::stream::Stream;

/// How long a server may take to let itself be told the end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines of the log, in ten seconds, about tunnels of one service that were idle.
const NOTICES_MAX: u32 = 2;

/// How long nothing may pass through the tunnels of a service.
#[derive(Debug)]
pub(crate) struct Patience {
    /// None: for ever.
    timeout: Option<Duration>,
    /// Where the tunnels lead, for the log.
    server: String,
    notices: Complaints,
}

impl Patience {
    /// `server`: where the tunnels lead, for the log.
    pub(crate) fn new(timeout: Option<Duration>, server: String) -> Self {
        Self { timeout, server, notices: Complaints::new(NOTICES_MAX) }
    }

    /// Waits until nothing has passed for too long.
    async fn lose(&self, passed: &Cell<Instant>) {
        let Some(timeout) = self.timeout else { return std::future::pending().await };
        while passed.get().elapsed() < timeout {
            tokio::time::sleep_until(passed.get() + timeout).await;
        }
        if self.notices.permit() {
            let timeout_s = timeout.as_secs();
            tracing::info!(
                "{}: a WebSocket is closed through which nothing has passed for {timeout_s} s (idle_timeout)",
                self.server
            );
        }
    }
}

/// The server's end, and what the client is to be told first.
pub(crate) struct Tunnel {
    /// The answer to the client's request.
    pub(crate) head: Vec<u8>,
    pub(crate) server: Upgraded,
    /// Taken as long as the tunnel is there.
    pub(crate) slot: Slot,
    /// How long nothing may pass.
    pub(crate) patience: Rc<Patience>,
}

impl Tunnel {
    /// Passes octets on until one side has ended, or nothing has passed for too long. `read`: what the client has sent
    /// already. Each direction holds a few KiB, and reads no further while they are not taken.
    pub(crate) async fn run(self, client: Stream, read: &[u8]) {
        let _slot = self.slot;
        let passed = Cell::new(Instant::now());
        let (from_client, mut to_client) = split(TokioIo::new(client));
        let (from_server, mut to_server) = split(TokioIo::new(self.server));
        let mut from_client = Watched { reader: from_client, passed: &passed };
        let mut from_server = Watched { reader: from_server, passed: &passed };
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
            () = self.patience.lose(&passed) => {}
        }
        let farewell = async { (to_client.shutdown().await, to_server.shutdown().await) };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
    }
}

/// Notes when something was read.
struct Watched<'a, R> {
    reader: R,
    passed: &'a Cell<Instant>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.reader).poll_read(context, buffer);
        if read.is_ready() {
            self.passed.set(Instant::now());
        }
        read
    }
}
