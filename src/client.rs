//! A blocking WAMP client over one connection: what the client commands are made of.
//!
//! All protocol lives in `ClientSession` and `Transport`; here are only the socket and the waiting.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossring_codec::error::{DecodeError, EncodeError};
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{ClientRoles, Feature, Features, HelloDetails, Message};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::{
    Framing, Incoming, RawSocketClientOptions, TooLong, Transport, TransportError, WebSocketLimits,
    WebSocketUrl,
};
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;
use crossring_router::client::{ClientEvent, ClientRefusal, ClientSession, ClientViolation};

pub mod commands;
mod url;

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
    /// The serializer; RawSocket knows no batched ones.
    pub serializer: Serializer,
    /// `authid` and ticket; absent: anonymous.
    pub ticket: Option<(String, String)>,
    /// For connecting and joining, and for every answer.
    pub timeout: Duration,
}

/// Why a client command failed.
#[derive(Debug)]
pub enum ClientError {
    /// The host name or path has no place in a WebSocket URL.
    Url(String),
    /// The socket failed.
    Socket(io::Error),
    /// The transport failed.
    Transport(TransportError),
    /// The router sent what cannot be read.
    Decode(DecodeError),
    /// A value that the serializer cannot carry.
    Encode(EncodeError),
    /// A message longer than the router takes.
    TooLong(TooLong),
    /// The router broke the protocol.
    Violation(ClientViolation),
    /// We would break the protocol.
    Refusal(ClientRefusal),
    /// The router ended the session: reason and text.
    Ended(String, Option<String>),
    /// The router answered with ERROR: URI and its arguments as JSON.
    Error(String, String),
    /// No answer in time.
    Timeout,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientError::Url(url) => write!(f, "{url:?} is no WebSocket URL"),
            ClientError::Socket(error) => write!(f, "connection: {error}"),
            ClientError::Transport(error) => write!(f, "transport: {error}"),
            ClientError::Decode(error) => write!(f, "message of the router: {error}"),
            ClientError::Encode(error) => write!(f, "message to the router: {error}"),
            ClientError::TooLong(error) => write!(f, "message to the router: {error}"),
            ClientError::Violation(error) => write!(f, "the router broke the protocol: {error}"),
            ClientError::Refusal(error) => write!(f, "{error}"),
            ClientError::Ended(reason, None) => write!(f, "the router ended the session: {reason}"),
            ClientError::Ended(reason, Some(text)) => {
                write!(f, "the router ended the session: {reason} ({text})")
            }
            ClientError::Error(error, arguments) => write!(f, "{error} {arguments}"),
            ClientError::Timeout => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for ClientError {}

macro_rules! from {
    ($($source:ty => $variant:ident),+) => {$(
        impl From<$source> for ClientError {
            fn from(error: $source) -> Self {
                ClientError::$variant(error)
            }
        }
    )+};
}
from!(
    TransportError => Transport, DecodeError => Decode, EncodeError => Encode, TooLong => TooLong,
    ClientViolation => Violation, ClientRefusal => Refusal
);

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout,
            _ => ClientError::Socket(error),
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_read_timeout(timeout),
            Socket::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(into),
            Socket::Unix(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.write_all(octets),
            Socket::Unix(stream) => stream.write_all(octets),
        }
    }
}

/// A joined session.
pub struct Client {
    socket: Socket,
    transport: Transport,
    framing: Option<Framing>,
    /// The protocol state; make requests with it, then [`Client::send`] them.
    pub session: ClientSession,
    events: VecDeque<ClientEvent<'static>>,
    input: Vec<u8>,
    scratch: Vec<u8>,
    timeout: Duration,
}

impl Client {
    /// Connects and joins.
    pub fn join(to: &Destination) -> Result<Client, ClientError> {
        let mut request = Vec::new();
        let (socket, transport) = dial(to, &mut request)?;
        let mut client = Client {
            socket,
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
        client.hello(to)?;
        Ok(client)
    }

    fn hello(&mut self, to: &Destination) -> Result<(), ClientError> {
        let mut details = HelloDetails {
            roles: ClientRoles::all(Features::of(FEATURES)),
            agent: Some(concat!("crossring-", env!("CARGO_PKG_VERSION")).into()),
            ..HelloDetails::default()
        };
        if let Some((authid, _)) = &to.ticket {
            details.authmethods = vec!["ticket".into()];
            details.authid = Some(authid.clone().into());
        }
        let hello = self.session.hello(Some(to.realm.clone().into()), details)?;
        self.send(&hello)?;
        loop {
            match self.next(Some(self.timeout))? {
                ClientEvent::Welcome { .. } => return Ok(()),
                ClientEvent::Challenged { .. } => {
                    let ticket = to.ticket.as_ref().map_or("", |(_, ticket)| ticket).to_owned();
                    let answer = self.session.authenticate(ticket, Dict::new())?;
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

    /// The serializer in use.
    pub fn serializer(&self) -> SerializerId {
        self.framing.map_or(SerializerId::Json, |framing| framing.serializer().id)
    }

    /// Waits for the next event; for ever without a timeout. The end of the session is an error.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<ClientEvent<'static>, ClientError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match self.events.pop_front() {
                Some(ClientEvent::Ignored) => {}
                Some(ClientEvent::Aborted { reason, message }) => {
                    return Err(ended(&reason, message.as_deref()));
                }
                Some(ClientEvent::Goodbye { reason, message, reply }) => {
                    if let Some(reply) = reply {
                        self.send(&reply)?;
                    }
                    return Err(ended(&reason, message.as_deref()));
                }
                Some(event) => return Ok(event),
                None => self.read(deadline)?,
            }
        }
    }

    /// Leaves the realm in the way both sides agree on.
    pub fn leave(mut self) -> Result<(), ClientError> {
        let goodbye = self.session.goodbye(well_known::CLOSE_REALM)?;
        self.send(&goodbye)?;
        loop {
            match self.next(Some(self.timeout)) {
                Ok(_) => {}
                Err(ClientError::Ended(..)) => return Ok(()),
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
                    let Some(framing) = self.framing else { continue };
                    let message = decode(framing.serializer().id, message)?.into_owned();
                    self.events.push_back(self.session.receive(message)?);
                }
                Incoming::Reply(reply) => self.socket.write_all(reply)?,
                Incoming::Pong(_) => {}
                Incoming::PeerClosing { .. } => return Ok(()),
            }
        }
        Ok(())
    }
}

/// What this client can do.
const FEATURES: &[Feature] = &[
    Feature::ProgressiveCallResults,
    Feature::CallCanceling,
    Feature::CallerIdentification,
    Feature::PatternBasedRegistration,
    Feature::SharedRegistration,
    Feature::RegistrationRevocation,
    Feature::SubscriberBlackwhiteListing,
    Feature::PublisherExclusion,
    Feature::PublisherIdentification,
    Feature::PatternBasedSubscription,
    Feature::SubscriptionRevocation,
];

fn ended(reason: &str, text: Option<&str>) -> ClientError {
    ClientError::Ended(reason.to_owned(), text.map(str::to_owned))
}

fn dial(to: &Destination, request: &mut Vec<u8>) -> Result<(Socket, Transport), ClientError> {
    match &to.url {
        RouterUrl::WebSocket { host, port, path } => {
            let text = format!("ws://{}{path}", place(host, *port));
            let url = WebSocketUrl::parse(&text).map_err(|_| ClientError::Url(text))?;
            let seed = RandomState::new().hash_one(host);
            let limits = WebSocketLimits::default();
            let transport = Transport::dial_websocket(&url, &[to.serializer], &limits, seed, request);
            Ok((connect(host, *port)?, transport))
        }
        RouterUrl::RawSocket { host, port } => Ok((connect(host, *port)?, dial_rawsocket(to, request))),
        RouterUrl::RawSocketUnix { path } => {
            Ok((Socket::Unix(UnixStream::connect(path)?), dial_rawsocket(to, request)))
        }
    }
}

fn dial_rawsocket(to: &Destination, request: &mut Vec<u8>) -> Transport {
    Transport::dial_rawsocket(to.serializer.id, &RawSocketClientOptions::default(), request)
}

fn connect(host: &str, port: u16) -> Result<Socket, ClientError> {
    let stream = TcpStream::connect((host, port))?;
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
