//! One client connection: big reads into a carried buffer, whole writes.

use std::{fmt, net::SocketAddr, path::PathBuf};

use monoio::{
    buf::SliceMut,
    io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable},
    net::{TcpStream, UnixStream},
};

use crate::fault::Fault;

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
        let reader = Reader { half: from, buffer: Vec::with_capacity(buffer_bytes) };
        Ok(Link { reader, writer: Writer { half: to } })
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
}

enum FromServer {
    Tcp(OwnedReadHalf<TcpStream>),
    Unix(OwnedReadHalf<UnixStream>),
}

impl Reader {
    /// Reads once, as much as fits. Returns the number of new bytes, 0 at the end of the stream.
    pub async fn fill(&mut self) -> Result<usize, Fault> {
        let buffer = std::mem::take(&mut self.buffer);
        let (carried, capacity) = (buffer.len(), buffer.capacity());
        assert!(carried < capacity, "a frame larger than the read buffer must be refused by the skimmer");
        let slice = SliceMut::new(buffer, carried, capacity);
        let (result, slice) = match &mut self.half {
            FromServer::Tcp(half) => half.read(slice).await,
            FromServer::Unix(half) => half.read(slice).await,
        };
        self.buffer = slice.into_inner();
        result.map_err(Fault::io("receive"))
    }

    /// Everything received and not yet consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// True when not one more byte fits: the frame at the front is larger than the buffer.
    pub fn is_full(&self) -> bool {
        self.buffer.len() == self.buffer.capacity()
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
}

enum ToServer {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

impl Writer {
    /// Sends all of `bytes` and gives the emptied vector back for the next turn.
    pub async fn send(&mut self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
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
        // A peer that is gone already is just as finished.
        let _ = match &mut self.half {
            ToServer::Tcp(half) => half.shutdown().await,
            ToServer::Unix(half) => half.shutdown().await,
        };
    }
}
