//! What attackers do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{HelloDetails, MessageType};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_router::client::{ClientSession, ROLES};
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::SockRef;

use super::support::{PATIENCE, bomb};
use super::{Field, pause};

/// How an attack goes.
pub(super) struct Siege<'a> {
    pub(super) field: &'a Field,
    until: Instant,
    due: Instant,
    random: u64,
    /// Connections made.
    pub(super) made: u64,
    /// Those that the router has ended.
    pub(super) ended: u64,
}

/// An attack: its name, what it does, and what the router must have counted because of it.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) act: fn(&mut Siege<'_>),
    pub(super) reasons: &'static [&'static str],
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "slow handshakes", act: slow_handshakes, reasons: &["handshake not in time"] },
    Attack {
        name: "half-open peers",
        act: half_open,
        reasons: &["not joined in time", "no answer to a ping"],
    },
    Attack {
        name: "long and cut frames",
        act: long_and_cut,
        reasons: &["message too long", "too much sent"],
    },
    Attack { name: "frames against the rules", act: forbidden_frames, reasons: &["not the transport"] },
    Attack { name: "zip bombs", act: bombs, reasons: &["inflates to too much"] },
    Attack { name: "garbage", act: garbage, reasons: &["not a WAMP message"] },
    Attack { name: "nesting 100,000 deep", act: deep, reasons: &["nested too deep"] },
    Attack { name: "TLS handshakes", act: tls_handshakes, reasons: &["not TLS"] },
    Attack { name: "5,000 connects a second", act: connects, reasons: &["come too fast"] },
];

/// How much attackers give way to the router and to those it serves: they would have machines of their own. They find the
/// processors of this one idle nearly always, and attack as fast as they mean to.
const NICENESS: i32 = 10;

impl Attack {
    /// Attacks for a while; returns when everybody who has to be cut off is.
    pub(super) fn run<'a>(&self, field: &'a Field, duration: Duration) -> Siege<'a> {
        let act = || {
            let own = Some(gettid());
            let niceness = getpriority_process(own).expect("a thread has one");
            setpriority_process(own, (niceness + NICENESS).min(19)).expect("one may always give way");
            let mut siege = Siege::new(field, duration);
            (self.act)(&mut siege);
            siege
        };
        thread::scope(|scope| {
            scope.spawn(act).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl<'a> Siege<'a> {
    fn new(field: &'a Field, duration: Duration) -> Self {
        let now = Instant::now();
        Self { field, until: now + duration, due: now, random: 0x9E37_79B9_7F4A_7C15, made: 0, ended: 0 }
    }

    /// Waits for the next step at this pace; `false`: it is over, unless the machine was too slow for an attack.
    fn goes_on(&mut self, per_second: u32) -> bool {
        const LEAST: u64 = 100;
        self.due += Duration::from_secs(1) / per_second;
        let now = Instant::now();
        pause(self.due.saturating_duration_since(now));
        now < self.until || self.made < LEAST
    }

    fn connect(&mut self, to: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(to).expect("the router listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        self.made += 1;
        stream
    }

    /// Sends, then waits for the router to end the connection.
    fn is_ended_after(&mut self, mut stream: TcpStream, octets: &[u8]) {
        let _ = stream.write_all(octets);
        assert!(is_ended(&mut stream), "an attacker was not cut off");
        self.ended += 1;
    }

    /// A RawSocket connection behind its handshake.
    fn rawsocket(&mut self, serializer: SerializerId) -> Option<TcpStream> {
        let mut stream = self.connect(self.field.rawsocket);
        let id = Serializer::plain(serializer).rawsocket_id();
        let mut answer = [0; 4];
        let shaken = stream.write_all(&[0x7f, 0xf0 | id, 0, 0]).and_then(|()| stream.read_exact(&mut answer));
        shaken.is_ok().then_some(stream)
    }

    /// A session on a RawSocket.
    fn session(&mut self, serializer: SerializerId) -> Option<TcpStream> {
        let mut stream = self.rawsocket(serializer)?;
        stream.write_all(&framed(&hello(serializer))).ok()?;
        let mut header = [0; 4];
        stream.read_exact(&mut header).ok()?;
        let mut welcome = vec![0; u32::from_be_bytes(header) as usize];
        stream.read_exact(&mut welcome).ok()?;
        // HELLO is the same in both, and BJData is what the router takes it for.
        let answered = if serializer == SerializerId::Ubjson { SerializerId::Bjdata } else { serializer };
        let welcome = decode(answered, &welcome).expect("a message");
        assert_eq!(welcome.message_type(), MessageType::Welcome, "everybody may join");
        Some(stream)
    }

    /// A WebSocket connection behind its handshake.
    fn websocket(&mut self) -> Option<TcpStream> {
        let mut stream = self.connect(self.field.websocket);
        stream.write_all(UPGRADE.as_bytes()).ok()?;
        let mut head = Vec::new();
        let mut octets = [0; 1_024];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut octets) {
                Ok(0) | Err(_) => return None,
                Ok(count) => head.extend_from_slice(&octets[..count]),
            }
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Some(stream)
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut next = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random as u8
        };
        (0..count).map(|_| next()).collect()
    }
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: wamp.2.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// Reads until the router has closed or reset the connection.
fn is_ended(stream: &mut TcpStream) -> bool {
    let mut octets = [0; 4096];
    loop {
        match stream.read(&mut octets) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

fn hello(serializer: SerializerId) -> Vec<u8> {
    let mut session = ClientSession::new();
    let details = HelloDetails { roles: ROLES, ..HelloDetails::default() };
    let hello = session.hello(Some("realm1".into()), details).expect("a new session");
    let mut octets = Vec::new();
    encode(serializer, &hello, &mut octets).expect("it can be said");
    octets
}

/// A RawSocket frame.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

/// A frame of a WebSocket client, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Many connections send their first octets one by one. Whoever is cut off comes again.
fn slow_handshakes(siege: &mut Siege<'_>) {
    const EACH: usize = 40;
    const AT_ONCE: usize = 10;
    let field = siege.field;
    let mut client_hello = Vec::new();
    connection(field).write_tls(&mut client_hello).expect("a vector takes it");
    // The last line of an HTTP head never ends.
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(1_000)).into_bytes();
    let places = [
        (field.rawsocket, vec![0x7f, 0xf1, 0], 0),
        (field.websocket, UPGRADE.as_bytes().to_vec(), 0),
        (field.web, request.clone(), 0),
        (field.web, request, 16),
        (field.tls, client_hello, 0),
    ];
    let mut slow: Vec<Option<(TcpStream, &[u8])>> = (0..EACH * places.len()).map(|_| None).collect();
    let given_up = siege.until + PATIENCE;
    let mut index = 0;
    // An octet of each in 50 ms, ten connections at a time.
    loop {
        let comes_again = siege.goes_on(400);
        for _ in 0..AT_ONCE {
            index = (index + 1) % slow.len();
            match &mut slow[index] {
                Some((stream, octets)) => {
                    let next = octets.split_off(..1.min(octets.len() - 1)).unwrap_or_default();
                    let _ = stream.write_all(next);
                    if is_ended(stream) {
                        siege.ended += 1;
                        slow[index] = None;
                    }
                }
                None if comes_again => {
                    let (to, octets, at_once) = &places[index % places.len()];
                    let mut stream = siege.connect(*to);
                    stream.write_all(&octets[..*at_once]).expect("just connected");
                    stream.set_nonblocking(true).expect("a socket");
                    slow[index] = Some((stream, &octets[*at_once..]));
                }
                None => {}
            }
        }
        let left = slow.iter().flatten().count();
        if left == 0 && !comes_again {
            return;
        }
        assert!(Instant::now() < given_up, "{left} slow peers were not cut off");
    }
}

/// Peers that come and say nothing, do not read, or do not answer.
fn half_open(siege: &mut Siege<'_>) {
    let mut open = Vec::new();
    while siege.goes_on(600) {
        match siege.made % 3 {
            0 => open.extend(siege.rawsocket(SerializerId::Json)),
            // It has closed its half: nothing will come.
            1 => {
                if let Some(stream) = siege.session(SerializerId::Cbor) {
                    stream.shutdown(Shutdown::Write).expect("connected");
                    open.push(stream);
                }
            }
            // It will not answer pings.
            _ => {
                if let Some(mut stream) = siege.websocket() {
                    let _ = stream.write_all(&masked(0x81, &hello(SerializerId::Json)));
                    open.push(stream);
                }
            }
        }
    }
    for mut stream in open {
        assert!(is_ended(&mut stream), "a half-open peer was not cut off");
        siege.ended += 1;
    }
}

fn long_and_cut(siege: &mut Siege<'_>) {
    const TOO_LONG: &[u8] = &[0, 0xff, 0xff, 0xff, 1, 2, 3];
    while siege.goes_on(500) {
        let (stream, octets) = match siege.made % 5 {
            // Longer than the transport takes, without and with a session.
            0 => (siege.rawsocket(SerializerId::Json), TOO_LONG.to_vec()),
            1 => (siege.session(SerializerId::MessagePack), TOO_LONG.to_vec()),
            2 => (siege.websocket(), vec![0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            // Longer than who has not joined may say.
            3 => (siege.rawsocket(SerializerId::Json), framed(&[b' '; 100_000])),
            // Cut off in the middle.
            _ => {
                let stream = siege.session(SerializerId::Json);
                if let Some(mut stream) = stream.as_ref() {
                    let _ = stream.write_all(&[0, 0, 0x10, 0, b'[']);
                    stream.shutdown(Shutdown::Write).expect("connected");
                }
                (stream, Vec::new())
            }
        };
        if let Some(stream) = stream {
            siege.is_ended_after(stream, &octets);
        }
    }
}

fn forbidden_frames(siege: &mut Siege<'_>) {
    let hello = hello(SerializerId::Json);
    let websocket = [
        [&[0x81, hello.len() as u8][..], &hello].concat(), // not masked
        masked(0xa1, &hello),                              // a reserved bit
        masked(0x83, &hello),                              // a reserved opcode
        masked(0x8b, &[]),                                 // a reserved control opcode
        masked(0x80, &hello),                              // continues nothing
        masked(0x09, b"ping"),                             // a ping in pieces
        masked(0x89, &[b'.'; 126]),                        // a ping too long
        [masked(0x01, b"["), masked(0x81, &hello)].concat(), // a message in another
        masked(0x81, &[0xff; 10]),                         // not UTF-8
        masked(0x82, &hello),                              // not text
        vec![0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x'],          // a length longer than it need be
        masked(0x88, &[3]),                                // half a code
    ];
    let rawsocket = [[0x07, 0, 0, 0], [0x80, 0, 0, 0], [0x08, 0, 0, 1]];
    let count = websocket.len() + rawsocket.len() + 1;
    while siege.goes_on(320) {
        let index = siege.made as usize % count;
        let (stream, octets) = if let Some(frame) = websocket.get(index) {
            (siege.websocket(), frame.as_slice())
        } else if let Some(frame) = rawsocket.get(index - websocket.len()) {
            (siege.rawsocket(SerializerId::Cbor), frame.as_slice())
        } else {
            let neither = &b"\x16\x03\x01 neither RawSocket nor HTTP\r\n\r\n"[..];
            (Some(siege.connect(siege.field.web)), neither)
        };
        if let Some(stream) = stream {
            siege.is_ended_after(stream, octets);
        }
    }
}

fn bombs(siege: &mut Siege<'_>) {
    let bomb = masked(0xc1, &bomb());
    let hello = masked(0x81, &hello(SerializerId::Json));
    while siege.goes_on(100) {
        let joins = siege.made.is_multiple_of(2);
        let Some(mut stream) = siege.websocket() else { continue };
        if joins {
            // WELCOME is longer than ABORT; it is compressed.
            let welcomed = stream.write_all(&hello).and_then(|()| stream.read_exact(&mut [0; 200]));
            assert!(welcomed.is_ok(), "everybody may join");
        }
        siege.is_ended_after(stream, &bomb);
    }
}

fn garbage(siege: &mut Siege<'_>) {
    let serializers = SerializerId::ALL.len();
    while siege.goes_on(650) {
        let garbage = siege.octets(300);
        let index = siege.made as usize % (2 * serializers + 1);
        let (stream, octets) = match SerializerId::ALL.get(index / 2) {
            Some(serializer) if index.is_multiple_of(2) => (siege.session(*serializer), framed(&garbage)),
            Some(serializer) => (siege.rawsocket(*serializer), framed(&garbage)),
            None => (Some(siege.connect(siege.field.websocket)), [&garbage, &b"\r\n\r\n"[..]].concat()),
        };
        if let Some(stream) = stream {
            siege.is_ended_after(stream, &octets);
        }
    }
}

/// The beginning of PUBLISH with arguments nested too deeply.
fn nested(serializer: SerializerId) -> Vec<u8> {
    const DEPTH: usize = 100_000;
    let (begin, list): (&[u8], u8) = match serializer {
        SerializerId::Json => (b"[16,1,{},\"a.b\",", b'['),
        SerializerId::MessagePack => (b"\x95\x10\x01\x80\xa3a.b", 0x91),
        SerializerId::Cbor => (b"\x85\x10\x01\xa0\x63a.b", 0x81),
        SerializerId::Ubjson | SerializerId::Bjdata => (b"[U\x10U\x01{}SU\x03a.b", b'['),
        SerializerId::FlatBuffers => (&[], 0x81),
    };
    [begin, &vec![list; DEPTH]].concat()
}

fn deep(siege: &mut Siege<'_>) {
    let messages = SerializerId::ALL.map(|serializer| (serializer, framed(&nested(serializer))));
    while siege.goes_on(300) {
        let (serializer, message) = &messages[siege.made as usize % messages.len()];
        if let Some(stream) = siege.session(*serializer) {
            siege.is_ended_after(stream, message);
        }
    }
}

fn connection(field: &Field) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(field.tls_client.clone(), name).expect("valid settings")
}

/// Makes the router compute, and goes away without a word.
fn tls_handshakes(siege: &mut Siege<'_>) {
    while siege.goes_on(1_000) {
        let mut client_hello = Vec::new();
        connection(siege.field).write_tls(&mut client_hello).expect("a vector takes it");
        let stream = siege.connect(siege.field.tls);
        if siege.made.is_multiple_of(4) {
            // What comes after it is none of TLS.
            client_hello.extend_from_slice(&[0x17, 3, 3, 0, 32]);
            client_hello.extend_from_slice(&[7; 32]);
            siege.is_ended_after(stream, &client_hello);
        } else {
            let _ = (&stream).write_all(&client_hello);
        }
    }
}

/// Connects and resets, so that no port of this host stays taken.
fn connects(siege: &mut Siege<'_>) {
    while siege.goes_on(5_000) {
        let mut stream = siege.connect(siege.field.besieged);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
        if siege.made.is_multiple_of(16) {
            let mut answer = [0; 4];
            let _ = stream.write_all(&[0x7f, 0xf1, 0, 0]);
            siege.ended += u64::from(stream.read_exact(&mut answer).is_err());
        }
    }
}
