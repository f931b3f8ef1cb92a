//! One client connection: big reads into a carried buffer, whole writes, TLS and WebSocket in between where wanted.

mod tunnel;

use std::{cell::RefCell, fmt, net::SocketAddr, path::PathBuf, rc::Rc};

use monoio::{
    buf::SliceMut,
    io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable},
    net::{TcpStream, UnixStream},
};

use self::tunnel::{Deframer, frame};
use crate::{
    fault::Fault,
    tls::{self, Session},
};

/// Longest HTTP head a server may send, octets.
pub const HEAD_BYTES_MAX: usize = 2048;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Loopback or remote TCP.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An open connection, both directions.
pub struct Link {
    /// Bytes from the server.
    pub reader: Reader,
    /// Bytes to the server.
    pub writer: Writer,
}

impl Link {
    /// Connects. `buffer_bytes` is the largest single read and bounds the largest frame.
    pub async fn open(address: &Address, buffer_bytes: usize) -> Result<Link, Fault> {
        let (from, to) = match address {
            Address::Tcp(address) => open_tcp(*address).await?,
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Fault::io("connect"))?;
                let (from, to) = stream.into_split();
                (FromServer::Unix(from), ToServer::Unix(to))
            }
        };
        let buffer = Vec::with_capacity(buffer_bytes);
        let reader = Reader { half: from, limit: buffer.capacity(), buffer, layers: Layers::default() };
        let writer =
            Writer { half: to, tls: None, is_tunnelled: false, framed: Vec::new(), sealed: Vec::new() };
        Ok(Link { reader, writer })
    }

    /// Makes a TLS handshake; everything from here on is encrypted. Whatever certificate the server has will do.
    pub async fn start_tls(&mut self) -> Result<(), Fault> {
        let mut session = Session::new()?;
        loop {
            let flight = session.take_pending();
            if !flight.is_empty() {
                self.writer.write(flight).await.map_err(Fault::io("TLS handshake"))?;
            }
            if !session.is_handshaking() {
                break;
            }
            if self.reader.read_raw().await? == 0 {
                return Err(Fault::Closed { during: "TLS handshake" });
            }
            session.receive(&mut self.reader.layers.raw, &mut self.reader.buffer)?;
        }
        let session = Rc::new(RefCell::new(session));
        self.writer.tls = Some(session.clone());
        self.reader.layers.tls = Some(session);
        Ok(())
    }

    /// Asks for a WebSocket; everything from here on is a stream of octets in binary frames, cut anyhow.
    pub async fn start_websocket(&mut self, resource: &str) -> Result<(), Fault> {
        let request = format!(
            "GET {resource} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        let status = self.ask("WebSocket handshake", request.into_bytes(), |bytes| {
            Ok(head_bytes("HTTP", bytes)?.map(|head| (head, bytes[..head].starts_with(b"HTTP/1.1 101 "))))
        });
        if !status.await? {
            return Err(Fault::refused("WebSocket handshake", b"not 101"));
        }
        let mut deframer = Deframer::default();
        let early = std::mem::take(&mut self.reader.buffer);
        self.reader.buffer = Vec::with_capacity(self.reader.limit);
        deframer.take(&early, &mut self.reader.buffer)?;
        self.reader.layers.tunnel = Some(deframer);
        self.writer.is_tunnelled = true;
        Ok(())
    }

    /// Sends the beginning of a TLS handshake and waits until the server has answered it, which is all of the work that a
    /// handshake is for a server, and next to none for us: the same greeting serves every time.
    pub async fn knock(&mut self) -> Result<(), Fault> {
        let greeting = tls::greeting()?;
        self.ask("ClientHello", greeting, |bytes| match bytes.first() {
            None => Ok(None),
            Some(&tls::HANDSHAKE_RECORD) => Ok(Some((bytes.len(), ()))),
            Some(_) => Err(Fault::refused("ClientHello", bytes)),
        })
        .await
    }

    /// Sends `bytes` and waits until `parse` recognizes an answer. `parse` gets all bytes not yet
    /// consumed and returns how many the answer took, or `None` to wait for more.
    pub async fn ask<T>(
        &mut self,
        during: &'static str,
        bytes: Vec<u8>,
        parse: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, Fault>,
    ) -> Result<T, Fault> {
        self.writer.send(bytes).await.map_err(Fault::io(during))?;
        self.reader.expect(during, parse).await
    }
}

/// Length of the HTTP head at the start of `bytes`, its empty line included; `None` when it is not complete.
pub fn head_bytes(protocol: &'static str, bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let searched = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    match searched.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if searched.len() == HEAD_BYTES_MAX => Err(Fault::malformed(protocol, bytes)),
        None => Ok(None),
    }
}

async fn open_tcp(address: SocketAddr) -> Result<(FromServer, ToServer), Fault> {
    let stream = TcpStream::connect_addr(address).await.map_err(Fault::io("connect"))?;
    stream.set_nodelay(true).map_err(Fault::io("TCP_NODELAY"))?;
    let (from, to) = stream.into_split();
    Ok((FromServer::Tcp(from), ToServer::Tcp(to)))
}

/// The receiving half. Unconsumed bytes are carried to the front, so a frame is always contiguous.
pub struct Reader {
    half: FromServer,
    buffer: Vec<u8>,
    /// Octets from which on the buffer counts as full.
    limit: usize,
    layers: Layers,
}

/// What lies between the socket and the octets of the protocol.
#[derive(Default)]
struct Layers {
    tls: Option<Rc<RefCell<Session>>>,
    tunnel: Option<Deframer>,
    /// As read from the socket.
    raw: Vec<u8>,
    /// Decrypted, but still in frames.
    opened: Vec<u8>,
}

impl Layers {
    fn is_bare(&self) -> bool {
        self.tls.is_none() && self.tunnel.is_none()
    }

    fn has_ended(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.borrow().has_ended())
    }

    /// Appends what the octets just read contain to `out`.
    fn unwrap_raw(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match (&self.tls, &mut self.tunnel) {
            (Some(session), None) => session.borrow_mut().receive(&mut self.raw, out),
            (Some(session), Some(tunnel)) => {
                session.borrow_mut().receive(&mut self.raw, &mut self.opened)?;
                let taken = tunnel.take(&self.opened, out);
                self.opened.clear();
                taken
            }
            (None, Some(tunnel)) => tunnel.take(&self.raw, out),
            (None, None) => {
                out.extend_from_slice(&self.raw);
                Ok(())
            }
        }
    }
}

enum FromServer {
    Tcp(OwnedReadHalf<TcpStream>),
    Unix(OwnedReadHalf<UnixStream>),
}

impl Reader {
    /// Reads once, as much as fits. Returns the number of new bytes, 0 at the end of the stream.
    pub async fn fill(&mut self) -> Result<usize, Fault> {
        assert!(!self.is_full(), "a frame larger than the read buffer must be refused by the skimmer");
        if self.layers.is_bare() {
            return self.fill_bare().await;
        }
        let carried = self.buffer.len();
        while self.buffer.len() == carried {
            if self.layers.has_ended() || self.read_raw().await? == 0 {
                return Ok(0);
            }
            self.layers.unwrap_raw(&mut self.buffer)?;
        }
        Ok(self.buffer.len() - carried)
    }

    async fn fill_bare(&mut self) -> Result<usize, Fault> {
        let buffer = std::mem::take(&mut self.buffer);
        let (carried, capacity) = (buffer.len(), buffer.capacity());
        let slice = SliceMut::new(buffer, carried, capacity);
        let (result, slice) = match &mut self.half {
            FromServer::Tcp(half) => half.read(slice).await,
            FromServer::Unix(half) => half.read(slice).await,
        };
        self.buffer = slice.into_inner();
        result.map_err(Fault::io("receive"))
    }

    /// Reads from the socket into `layers.raw`, which is overwritten.
    async fn read_raw(&mut self) -> Result<usize, Fault> {
        let mut raw = std::mem::take(&mut self.layers.raw);
        raw.clear();
        raw.reserve_exact(self.limit);
        let (result, raw) = match &mut self.half {
            FromServer::Tcp(half) => half.read(raw).await,
            FromServer::Unix(half) => half.read(raw).await,
        };
        self.layers.raw = raw;
        result.map_err(Fault::io("receive"))
    }

    /// Everything received and not yet consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// True when not one more byte fits: the frame at the front is larger than the buffer.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= self.limit
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.buffer.drain(..count);
    }

    /// Reads until `parse` recognizes an answer; see [`Link::ask`].
    pub async fn expect<T>(
        &mut self,
        during: &'static str,
        mut parse: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, Fault>,
    ) -> Result<T, Fault> {
        loop {
            if let Some((consumed, answer)) = parse(self.bytes())? {
                self.consume(consumed);
                return Ok(answer);
            }
            self.fill_more(during).await?;
        }
    }

    /// Reads until `take` says that it has what it wants. Whatever `take` counts as consumed is
    /// dropped each time, so it may keep an unfinished rest itself.
    pub async fn expect_from(
        &mut self,
        during: &'static str,
        mut take: impl FnMut(&[u8], &mut usize) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        loop {
            let mut consumed = 0;
            let is_done = take(self.bytes(), &mut consumed)?;
            self.consume(consumed);
            if is_done {
                return Ok(());
            }
            self.fill_more(during).await?;
        }
    }

    async fn fill_more(&mut self, during: &'static str) -> Result<(), Fault> {
        if self.is_full() {
            return Err(Fault::malformed(during, self.bytes()));
        }
        match self.fill().await? {
            0 => Err(Fault::Closed { during }),
            _ => Ok(()),
        }
    }
}

/// The sending half.
pub struct Writer {
    half: ToServer,
    tls: Option<Rc<RefCell<Session>>>,
    is_tunnelled: bool,
    framed: Vec<u8>,
    sealed: Vec<u8>,
}

enum ToServer {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

impl Writer {
    /// Sends all of `bytes` and gives the emptied vector back for the next turn.
    pub async fn send(&mut self, mut bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let mut sealed = std::mem::take(&mut self.sealed);
        match (&self.tls, self.is_tunnelled) {
            (None, false) => return self.write(bytes).await,
            (None, true) => frame(&bytes, &mut sealed),
            (Some(session), false) => session.borrow_mut().seal(&bytes, &mut sealed)?,
            (Some(session), true) => {
                frame(&bytes, &mut self.framed);
                session.borrow_mut().seal(&self.framed, &mut sealed)?;
                self.framed.clear();
            }
        }
        self.sealed = self.write(sealed).await?;
        bytes.clear();
        Ok(bytes)
    }

    async fn write(&mut self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let (result, mut bytes) = match &mut self.half {
            ToServer::Tcp(half) => half.write_all(bytes).await,
            ToServer::Unix(half) => half.write_all(bytes).await,
        };
        result?;
        bytes.clear();
        Ok(bytes)
    }

    /// Ends the sending direction; a server answers by closing, which ends our reader too.
    pub async fn finish(&mut self) {
        let farewell = self.tls.as_ref().map(|session| session.borrow_mut().close());
        // A peer that is gone already is just as finished.
        if let Some(farewell) = farewell {
            let _ = self.write(farewell).await;
        }
        let _ = match &mut self.half {
            ToServer::Tcp(half) => half.shutdown().await,
            ToServer::Unix(half) => half.shutdown().await,
        };
    }
}
