//! A blocking WAMP client over one connection: what the client commands are made of.
//!
//! All protocol lives in `ClientSession` and `Transport`; here are only the socket and the waiting.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{ClientRoles, Feature, HelloDetails, Message};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::{
    Framing, Incoming, RawSocketClientOptions, TooLong, Transport, WebSocketClientOptions, WebSocketUrl,
};
use crossring_codec::uri::well_known;
use crossring_router::client::types::CloseDetails;
use crossring_router::client::{ClientEvent, ClientSession, Credentials, Proof, ROLES};
use rustls::{ClientConnection, StreamOwned};

use crate::tls::{self, ChannelIds, ClientSettings};

pub mod commands;
mod error;
mod hint;
mod url;

pub use error::ClientError;
pub use url::RouterUrl;

/// Octets read from the socket at once.
const READ_SIZE: usize = 64 * 1024;

/// Where and how to join.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Where the router listens.
    pub url: RouterUrl,
    /// The realm.
    pub realm: String,
    /// Whom to trust and what to show where the router speaks TLS.
    pub tls: ClientSettings,
    /// The serializer; RawSocket knows no batched ones.
    pub serializer: Serializer,
    /// `authid` and what proves it; absent: anonymous.
    pub identity: Option<(Option<String>, Credentials)>,
    /// For connecting and joining, and for every answer.
    pub timeout: Duration,
}

enum Socket {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Tls(stream) => stream.sock.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Socket {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_read_timeout(timeout),
            Socket::Tls(stream) => stream.sock.set_read_timeout(timeout),
            Socket::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(into),
            Socket::Tls(stream) => stream.read(into),
            Socket::Unix(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.write_all(octets),
            Socket::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
            Socket::Unix(stream) => stream.write_all(octets),
        }
    }

    /// Says what there is to say before the end.
    fn close(&mut self) {
        if let Socket::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}

/// A joined session.
pub struct Client {
    socket: Socket,
    channel_ids: ChannelIds,
    transport: Transport,
    framing: Option<Framing>,
    /// The protocol state; make requests with it, then [`Client::send`] them.
    pub session: ClientSession,
    events: VecDeque<ClientEvent<'static>>,
    input: Vec<u8>,
    scratch: Vec<u8>,
    timeout: Duration,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    /// Connects and joins.
    pub fn join(to: &Destination) -> Result<Client, ClientError> {
        let mut client = Self::connect(to).map_err(|error| hint::explained(error, &to.url))?;
        let proof = to.proof()?;
        let hello = client.session.hello(Some(to.realm.clone().into()), hello_details(proof.as_ref()))?;
        client.enter(&hello, proof)?;
        Ok(client)
    }

    /// Connects and joins, asking the router to keep the session when the transport is lost. It may decline.
    pub fn join_resumable(to: &Destination) -> Result<Client, ClientError> {
        let mut client = Self::connect(to).map_err(|error| hint::explained(error, &to.url))?;
        let proof = to.proof()?;
        let details = HelloDetails { resumable: true, ..hello_details(proof.as_ref()) };
        let hello = client.session.hello(Some(to.realm.clone().into()), details)?;
        client.enter(&hello, proof)?;
        Ok(client)
    }

    /// After a lost transport: connects again, trying until the timeout is over, and goes on with the session. Fails if
    /// the session cannot be resumed.
    pub fn resume(mut self, to: &Destination) -> Result<Client, ClientError> {
        self.session.suspend();
        let proof = to.proof()?;
        let hello = self.session.resume(hello_details(proof.as_ref()))?;
        let deadline = Instant::now() + to.timeout;
        let mut client = loop {
            match Self::connect(to) {
                Err(ClientError::Socket(_)) if Instant::now() < deadline => pause(),
                connected => break connected?,
            }
        };
        std::mem::swap(&mut client.session, &mut self.session);
        client.enter(&hello, proof)?;
        Ok(client)
    }

    /// A transport without a session.
    fn connect(to: &Destination) -> Result<Client, ClientError> {
        let mut request = Vec::new();
        let (Connected { socket, channel_ids }, transport) = dial(to, &mut request)?;
        let mut client = Client {
            socket,
            channel_ids,
            transport,
            framing: None,
            session: ClientSession::new(),
            events: VecDeque::new(),
            input: vec![0; READ_SIZE],
            scratch: Vec::new(),
            timeout: to.timeout,
        };
        client.socket.write_all(&request)?;
        let deadline = Instant::now() + to.timeout;
        while client.framing.is_none() {
            client.read(Some(deadline))?;
        }
        Ok(client)
    }

    /// Sends HELLO and answers what the router asks until it says WELCOME.
    fn enter(&mut self, hello: &Message<'_>, mut proof: Option<Proof>) -> Result<(), ClientError> {
        self.send(hello)?;
        loop {
            match self.next(Some(self.timeout))? {
                ClientEvent::Welcome { details, .. } => {
                    return Ok(proof.map_or(Ok(()), |proof| proof.check_welcome(&details.authextra))?);
                }
                ClientEvent::Challenged { method, extra } => {
                    let Some(proof) = &mut proof else { return Err(ClientError::Challenged(method.into())) };
                    let (signature, extra) = proof.answer(&method, &extra)?;
                    let answer = self.session.authenticate(signature, extra)?;
                    self.send(&answer)?;
                }
                _ => {}
            }
        }
    }

    /// Sends a message that the session has made.
    pub fn send(&mut self, message: &Message<'_>) -> Result<(), ClientError> {
        let Some(framing) = self.framing else { return Err(ClientError::Timeout) };
        let mut out = Vec::new();
        let mark = framing.begin(&mut out);
        encode(framing.serializer().id, message, &mut out)?;
        let size = framing.finish(&mut out, mark, self.transport.mask_key())?;
        if size > self.transport.peer_limit() {
            return Err(ClientError::TooLong(TooLong { size }));
        }
        Ok(self.socket.write_all(&out)?)
    }

    /// The channel ids of the TLS session by the name of their binding type; empty without TLS.
    pub fn channel_ids(&self) -> &ChannelIds {
        &self.channel_ids
    }

    /// The serializer in use.
    pub fn serializer(&self) -> SerializerId {
        self.framing.map_or(SerializerId::Json, |framing| framing.serializer().id)
    }

    /// Waits for the next event; for ever without a timeout. The end of the session is an error.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<ClientEvent<'static>, ClientError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match self.next_ready()? {
                Some(event) => return Ok(event),
                None => self.read(deadline)?,
            }
        }
    }

    /// The next event that has come already. The end of the session is an error. An event that the publisher wants to be
    /// acknowledged is acknowledged by being taken.
    pub fn next_ready(&mut self) -> Result<Option<ClientEvent<'static>>, ClientError> {
        while let Some(event) = self.events.pop_front() {
            match &event {
                ClientEvent::Ignored => continue,
                ClientEvent::Goodbye { reply: Some(reply), .. } => self.send(reply)?,
                ClientEvent::Event { publication, details, .. } => {
                    if let Some(received) = self.session.event_received(*publication, details) {
                        self.send(&received)?;
                    }
                }
                _ => {}
            }
            return match CloseDetails::from_event(&event) {
                Some(end) => Err(ClientError::Ended(end)),
                None => Ok(Some(event)),
            };
        }
        Ok(None)
    }

    /// Reads once from the socket, which may bring any number of events or none.
    pub fn receive(&mut self) -> Result<(), ClientError> {
        self.read(None)
    }

    /// Leaves the realm in the way both sides agree on.
    pub fn leave(mut self) -> Result<(), ClientError> {
        let goodbye = self.session.goodbye(well_known::CLOSE_REALM)?;
        self.send(&goodbye)?;
        loop {
            match self.next(Some(self.timeout)) {
                Ok(_) => {}
                Err(ClientError::Ended(_)) => {
                    self.socket.close();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ClientError::Timeout);
        }
        self.socket.set_read_timeout(left)?;
        let size = self.socket.read(&mut self.input)?;
        if size == 0 {
            return Err(ClientError::Socket(io::ErrorKind::UnexpectedEof.into()));
        }
        let input = std::mem::take(&mut self.input);
        let result = self.take_apart(&input[..size]);
        self.input = input;
        result
    }

    fn take_apart(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        let mut consumed = 0;
        while let Some(incoming) = self.transport.next(octets, &mut consumed, &mut self.scratch)? {
            match incoming {
                Incoming::Opened { .. } => self.framing = self.transport.framing(),
                Incoming::Message(message) => {
                    self.framing = self.transport.framing();
                    let Some(framing) = self.framing else { continue };
                    let message = decode(framing.serializer().id, message)?.into_owned();
                    match self.session.receive(message) {
                        Ok(event) => self.events.push_back(event),
                        Err(violation) => {
                            self.send(&violation.abort())?;
                            return Err(violation.into());
                        }
                    }
                }
                Incoming::Reply(reply) => self.socket.write_all(reply)?,
                Incoming::Requested | Incoming::Pong(_) => {}
                Incoming::PeerClosing { .. } => return Ok(()),
            }
        }
        Ok(())
    }
}

/// The client commands mind the timeouts of the calls they answer.
fn roles() -> ClientRoles {
    let mut roles = ROLES;
    if let Some(features) = &mut roles.callee {
        features.insert(Feature::CallTimeout);
    }
    roles
}

fn hello_details(proof: Option<&Proof>) -> HelloDetails<'static> {
    let agent = Some(concat!("crossring-", env!("CARGO_PKG_VERSION")).into());
    let mut details = HelloDetails { roles: roles(), agent, ..HelloDetails::default() };
    if let Some(proof) = proof {
        proof.ask(&mut details);
    }
    details
}

impl Destination {
    /// A fresh attempt to prove the identity.
    fn proof(&self) -> Result<Option<Proof>, ClientError> {
        let Some((authid, credentials)) = &self.identity else { return Ok(None) };
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| ClientError::Socket(io::Error::other(error)))?;
        Ok(Some(Proof::new(authid.clone(), credentials.clone(), nonce)))
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when a router listens again")]
fn pause() {
    const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);
    std::thread::sleep(BETWEEN_ATTEMPTS);
}

/// A connected socket and what TLS knows of it.
struct Connected {
    socket: Socket,
    channel_ids: ChannelIds,
}

impl From<Socket> for Connected {
    fn from(socket: Socket) -> Self {
        Connected { socket, channel_ids: ChannelIds::new() }
    }
}

fn dial(to: &Destination, request: &mut Vec<u8>) -> Result<(Connected, Transport), ClientError> {
    match &to.url {
        RouterUrl::WebSocket { host, port, path, is_secure } => {
            let text = format!("ws://{}{path}", place(host, *port));
            let url = WebSocketUrl::parse(&text).map_err(|_| ClientError::Url(text))?;
            let seed = RandomState::new().hash_one(host);
            let options = WebSocketClientOptions::default();
            let transport = Transport::dial_websocket(&url, &[to.serializer], &options, seed, request);
            Ok((connect(to, host, *port, *is_secure)?, transport))
        }
        RouterUrl::RawSocket { host, port, is_secure } => {
            Ok((connect(to, host, *port, *is_secure)?, dial_rawsocket(to, request)))
        }
        RouterUrl::RawSocketUnix { path } => {
            Ok((Socket::Unix(connect_unix(path)?).into(), dial_rawsocket(to, request)))
        }
    }
}

fn dial_rawsocket(to: &Destination, request: &mut Vec<u8>) -> Transport {
    Transport::dial_rawsocket(to.serializer.id, &RawSocketClientOptions::default(), request)
}

fn connect(to: &Destination, host: &str, port: u16, is_secure: bool) -> Result<Connected, ClientError> {
    let stream = TcpStream::connect((host, port))?;
    stream.set_nodelay(true)?;
    if !is_secure {
        return Ok(Socket::Tcp(stream).into());
    }
    let config = to.tls.load().map_err(ClientError::Tls)?;
    stream.set_read_timeout(Some(to.timeout))?;
    let (stream, channel_ids) = tls::connect(config, host, stream)?;
    Ok(Connected { socket: Socket::Tls(Box::new(stream)), channel_ids })
}

/// `@name` is an abstract name.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    match path.as_os_str().as_bytes() {
        [b'@', name @ ..] => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        _ => UnixStream::connect(path),
    }
}

fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
