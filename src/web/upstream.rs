//! Another server that requests are passed to: how it is reached, and the connections to it that are kept for the next request.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NoKeyLog};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::complaints::Complaints;
use super::service::RequestBody;
use super::slots::{Slot, Slots};
use crate::config::{UpstreamConfig, UpstreamPlace, UpstreamTls};
use crate::tls::ClientSettings;

/// How long a connection is kept without a request. Common servers close theirs after five seconds.
const KEEP_TIME: Duration = Duration::from_secs(4);

/// Connections kept without a request.
const KEPT_MAX: usize = 32;

/// Octets of an answer that are held before they are passed on, and most octets of its head.
const BUFFER_SIZE: usize = 64 * 1024;

/// Complaints about a server that fails, in ten seconds.
const COMPLAINTS_MAX: u32 = 2;

/// Why a server cannot be asked.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// All connections are taken.
    Busy,
    /// It does not let itself be connected to in time.
    ConnectTimeout,
    /// It cannot be connected to.
    Unreachable(io::Error),
}

/// Another server.
pub(crate) struct Upstream {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    slots: Slots,
    kept: Rc<RefCell<Vec<Kept>>>,
    complaints: Complaints,
}

#[derive(Debug)]
enum Place {
    Tcp { host: String, port: u16, version: Option<u8> },
    Unix(PathBuf),
}

/// A connection without a request.
struct Kept {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A connection for one request, and after it perhaps for the next.
pub(crate) struct Lease {
    pub(crate) sender: http1::SendRequest<RequestBody>,
    /// It has been used before, so the server may be about to close it.
    pub(crate) is_used: bool,
    slot: Slot,
    kept: Rc<RefCell<Vec<Kept>>>,
}

/// What a connection runs on.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Upstream {
    /// # Errors
    /// A text that names what of TLS cannot be used.
    pub(crate) fn new(config: &UpstreamConfig) -> Result<Self, String> {
        let place = match &config.place {
            UpstreamPlace::Tcp { host, port, version } => {
                Place::Tcp { host: host.clone(), port: *port, version: *version }
            }
            UpstreamPlace::Unix(path) => Place::Unix(path.clone()),
        };
        Ok(Self {
            place,
            tls: config.tls.as_ref().map(connector).transpose()?,
            connect_timeout: config.connect_timeout,
            slots: Slots::new(config.connections_max),
            kept: Rc::default(),
            complaints: Complaints::new(COMPLAINTS_MAX),
        })
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// What it is called in the log.
    pub(crate) fn name(&self) -> String {
        self.place.to_string()
    }

    /// Says in the log that it fails, now and then.
    pub(crate) fn complain(&self, text: &str) {
        if self.complaints.permit() {
            tracing::warn!("{}: {text}", self.place);
        }
    }

    /// A kept connection, or a new one.
    pub(crate) async fn lease(&self) -> Result<Lease, UpstreamError> {
        let slot = self.slots.take().await.ok_or(UpstreamError::Busy)?;
        match self.take_kept() {
            Some(sender) => Ok(Lease { sender, is_used: true, slot, kept: Rc::clone(&self.kept) }),
            None => self.connected(slot).await,
        }
    }

    /// A new connection.
    pub(crate) async fn lease_new(&self) -> Result<Lease, UpstreamError> {
        let slot = self.slots.take().await.ok_or(UpstreamError::Busy)?;
        self.connected(slot).await
    }

    /// The connection kept last that is still good.
    fn take_kept(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut kept = self.kept.borrow_mut();
        purge(&mut kept);
        std::iter::from_fn(|| kept.pop()).map(|it| it.sender).find(http1::SendRequest::is_ready)
    }

    async fn connected(&self, slot: Slot) -> Result<Lease, UpstreamError> {
        let socket = tokio::time::timeout(self.connect_timeout, self.connect());
        let socket =
            socket.await.map_err(|_| UpstreamError::ConnectTimeout)?.map_err(UpstreamError::Unreachable)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_SIZE);
        let (sender, connection) = builder
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| UpstreamError::Unreachable(io::Error::other(error)))?;
        // Bounded by the slots, and by those kept. Ends with the sender.
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("connection to a server: {error}");
            }
        });
        Ok(Lease { sender, is_used: false, slot, kept: Rc::clone(&self.kept) })
    }

    async fn connect(&self) -> io::Result<Box<dyn Socket>> {
        match &self.place {
            Place::Unix(path) => self.secure(UnixStream::connect(path).await?).await,
            Place::Tcp { host, port, version } => {
                let socket = reach(host, *port, *version).await?;
                socket.set_nodelay(true)?;
                // Tunnels may be silent for ever; a server that is gone without a word must not be.
                rustix::net::sockopt::set_socket_keepalive(&socket, true)?;
                self.secure(socket).await
            }
        }
    }

    async fn secure(&self, socket: impl Socket + 'static) -> io::Result<Box<dyn Socket>> {
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), socket).await?)),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp { host, port, .. } => write!(f, "server {host}:{port}"),
            Place::Unix(path) => write!(f, "server {}", path.display()),
        }
    }
}

impl Lease {
    /// The request has been answered in whole.
    fn keep(self) {
        let mut kept = self.kept.borrow_mut();
        if self.sender.is_closed() || kept.len() >= KEPT_MAX {
            return;
        }
        if kept.is_empty() {
            tokio::task::spawn_local(purge_later(Rc::clone(&self.kept)));
        }
        kept.push(Kept { sender: self.sender, since: Instant::now() });
    }

    /// Keeps the connection once `answered` says so, and closes it when that is dropped.
    pub(crate) fn keep_after(self, answered: tokio::sync::oneshot::Receiver<()>) {
        tokio::task::spawn_local(async move {
            if answered.await.is_ok() {
                self.keep();
            }
        });
    }

    /// The slot of a connection that is no HTTP any more.
    pub(crate) fn into_slot(self) -> Slot {
        self.slot
    }
}

fn purge(kept: &mut Vec<Kept>) {
    kept.retain(|it| !it.sender.is_closed() && it.since.elapsed() < KEEP_TIME);
}

/// Closes connections that nobody uses, as long as some are kept.
async fn purge_later(kept: Rc<RefCell<Vec<Kept>>>) {
    loop {
        tokio::time::sleep(KEEP_TIME).await;
        let mut kept = kept.borrow_mut();
        purge(&mut kept);
        if kept.is_empty() {
            return;
        }
    }
}

async fn reach(host: &str, port: u16, version: Option<u8>) -> io::Result<TcpStream> {
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        if version.is_some_and(|version| (version == 4) != address.is_ipv4()) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

fn connector(config: &UpstreamTls) -> Result<(TlsConnector, ServerName<'static>), String> {
    let settings =
        ClientSettings { authorities: config.authorities.clone(), certificate: config.certificate.clone() };
    let settings = settings.load().map_err(|error| error.to_string())?;
    let mut settings = ClientConfig::clone(&settings);
    settings.key_log = Arc::new(NoKeyLog);
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(config.hostname.clone());
    let name = name.map_err(|_| format!("{:?} is no host name", config.hostname))?;
    Ok((TlsConnector::from(Arc::new(settings)), name))
}
