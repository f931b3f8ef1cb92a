//! WAMP over RawSocket or WebSocket, in every serializer.
//!
//! Joining goes through the shared client half and the shared codec. The hot loop does not: it
//! copies frames that the codec encoded once, puts in the next request id, and skims what comes
//! back by length and message type.

mod compressed;
mod dialogue;
mod skim;

use std::{fmt, str::FromStr, sync::Arc};

use crossring_codec::{
    id::RequestId,
    message::{CallOptions, Message, PublishOptions, YieldOptions, encode::encode},
    payload::Payload,
    serializer::{Serializer, SerializerId},
    transport::{DeflateOptions, Framing},
    value::{Dict, Value},
};

use self::compressed::Compressed;
use super::{Incoming, Protocol, ReplyTo, Role};
use crate::{clock::write_stamp, fault::Fault, identity::Method, link::Link};

const PROCEDURE: &str = "perf.echo";
/// Any mask will do on a trusted loopback, but not zero: a server may skip unmasking then.
const MASK_KEY: u32 = 0x9e37_79b9;
/// Stands in for request ids while a template is encoded. Takes a full-width integer in every
/// serializer and occurs nowhere else in the message.
const MARKER: u64 = 0x0001_f0e1_d2c3_b4a5;

fn topic_uri(topic: u32) -> String {
    format!("perf.topic.{topic}")
}

/// How a WAMP connection is spoken: `rs.msgpack`, `ws.cbor.batched`, `ws.json+deflate`, `rs.msgpack+tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// RawSocket or WebSocket.
    pub carrier: Carrier,
    /// Never batched on RawSocket.
    pub serializer: Serializer,
    /// Never on RawSocket.
    pub compression: Compression,
    /// Whether it is encrypted.
    pub is_secured: bool,
}

/// permessage-deflate, as the client asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not asked for.
    None,
    /// As browsers do: each direction refers to earlier messages.
    Deflate,
    /// The server compresses every message by itself, so that many receivers can get the same octets.
    DeflateAlone,
}

impl Compression {
    const ALL: [Compression; 3] = [Compression::None, Compression::Deflate, Compression::DeflateAlone];

    fn options(self) -> Option<DeflateOptions> {
        let peer_no_context_takeover = self == Compression::DeflateAlone;
        (self != Compression::None)
            .then(|| DeflateOptions { peer_no_context_takeover, ..DeflateOptions::default() })
    }

    /// What names of wires and schemes say behind the serializer.
    pub const fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Deflate => "+deflate",
            Compression::DeflateAlone => "+deflate-alone",
        }
    }
}

/// What carries WAMP messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// RawSocket.
    RawSocket,
    /// WebSocket.
    WebSocket,
}

impl Wire {
    /// RawSocket with MessagePack: what comparisons use unless told otherwise.
    pub const DEFAULT: Wire = Wire::plain(Carrier::RawSocket, Serializer::MESSAGE_PACK);

    /// Neither compressed nor encrypted.
    pub const fn plain(carrier: Carrier, serializer: Serializer) -> Wire {
        Wire { carrier, serializer, compression: Compression::None, is_secured: false }
    }

    /// All combinations that this generator speaks, but for encryption.
    pub fn all() -> impl Iterator<Item = Wire> {
        Wire::all_plain().flat_map(|wire| {
            let compressions =
                if wire.carrier == Carrier::WebSocket { &Compression::ALL[..] } else { &[Compression::None] };
            compressions.iter().map(move |&compression| Wire { compression, ..wire })
        })
    }

    fn all_plain() -> impl Iterator<Item = Wire> {
        let carriers = [Carrier::RawSocket, Carrier::WebSocket].into_iter();
        let wires =
            carriers.flat_map(|carrier| Serializer::ALL.map(|serializer| Wire::plain(carrier, serializer)));
        wires.filter(|wire| wire.carrier == Carrier::WebSocket || !wire.serializer.batched)
    }

    fn framing(self) -> Framing {
        match self.carrier {
            Carrier::RawSocket => Framing::rawsocket(self.serializer.id),
            Carrier::WebSocket => Framing::websocket_client(self.serializer),
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carrier = match self.carrier {
            Carrier::RawSocket => "rs",
            Carrier::WebSocket => "ws",
        };
        let tls = if self.is_secured { "+tls" } else { "" };
        write!(f, "{carrier}.{}{}{tls}", self.serializer, self.compression.suffix())
    }
}

impl FromStr for Wire {
    type Err = String;

    fn from_str(name: &str) -> Result<Wire, String> {
        let (plain, is_secured) = name.strip_suffix("+tls").map_or((name, false), |plain| (plain, true));
        let wire = Wire::all().find(|wire| wire.to_string() == plain);
        let known = || Wire::all_plain().map(|wire| wire.to_string()).collect::<Vec<_>>().join(", ");
        let wire = wire.ok_or_else(|| {
            format!(
                "one of {}, with +deflate or +deflate-alone (ws only) and +tls appended if wanted",
                known()
            )
        });
        wire.map(|wire| Wire { is_secured, ..wire })
    }
}

/// Client side of WAMP.
#[derive(Clone, Debug)]
pub struct Wamp {
    shared: Arc<Shared>,
    next_request: u64,
    /// How idle sessions join; all others are anonymous.
    method: Method,
    /// Of a joined session whose wire is compressed.
    compressed: Option<Arc<Compressed>>,
}

/// What all sessions of a measurement have in common.
#[derive(Debug)]
struct Shared {
    wire: Wire,
    framing: Framing,
    realm: String,
    /// Request target of the WebSocket handshake.
    resource: String,
    payload_bytes: usize,
    publish: Request,
    call: Request,
    answer: Request,
}

impl Wamp {
    /// Sessions on `realm` whose payloads have `payload_bytes`.
    pub fn new(wire: Wire, realm: &str, resource: &str, payload_bytes: usize) -> Result<Wamp, Fault> {
        let serializer = wire.serializer.id;
        let text = Value::String("x".repeat(payload_bytes));
        let payload = Payload::from_values(serializer.of_payloads(), &[text], &Dict::default());
        let request = RequestId::new(MARKER).ok_or(Fault::Unsupported { operation: "marker" })?;
        let publish = Message::Publish {
            request,
            options: PublishOptions::default(),
            topic: topic_uri(0).into(),
            payload: payload.borrowed(),
        };
        let call = Message::Call {
            request,
            options: CallOptions::default(),
            procedure: PROCEDURE.into(),
            payload: payload.borrowed(),
        };
        let answer =
            Message::Yield { request, options: YieldOptions::default(), payload: payload.borrowed() };
        let template = |message| Request::new(serializer, message, payload_bytes);
        let shared = Shared {
            wire,
            framing: wire.framing(),
            realm: realm.to_owned(),
            resource: resource.to_owned(),
            payload_bytes,
            publish: template(&publish)?,
            call: template(&call)?,
            answer: template(&answer)?,
        };
        Ok(Wamp { shared: Arc::new(shared), next_request: 1, method: Method::Anonymous, compressed: None })
    }

    /// Idle sessions join by this method.
    pub fn proving(self, method: Method) -> Wamp {
        // What takes long is done before anything is measured.
        drop(method.identity());
        Wamp { method, ..self }
    }

    fn take_request(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request - 1
    }

    fn put(&self, request: &Request, id: u64, out: &mut Vec<u8>, fill: impl FnOnce(&mut [u8])) {
        match &self.compressed {
            None => self.shared.put_frame(request, id, MASK_KEY, out, fill),
            Some(compressed) => compressed.put(out, |out| self.shared.put_frame(request, id, 0, out, fill)),
        }
    }
}

impl Shared {
    fn put_frame(
        &self,
        request: &Request,
        id: u64,
        mask_key: u32,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let mark = self.framing.begin(out);
        let payload_at = request.put(self.wire.serializer.id, id, out);
        fill(&mut out[payload_at..payload_at + self.payload_bytes]);
        let framed = self.framing.finish(out, mark, mask_key);
        assert!(framed.is_ok(), "payloads are at most 64 KiB, far below every framing's limit");
    }
}

/// A message encoded once, without its request id.
#[derive(Debug)]
struct Request {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Where in `tail` the payload begins.
    payload_at: usize,
}

impl Request {
    fn new(serializer: SerializerId, message: &Message<'_>, payload_bytes: usize) -> Result<Request, Fault> {
        let failed = |what: String| Fault::Setup(format!("encode {:?}: {what}", message.message_type()));
        let mut encoded = Vec::new();
        encode(serializer, message, &mut encoded).map_err(|error| failed(error.to_string()))?;
        let mut marker = Vec::new();
        put_integer(serializer, MARKER, &mut marker);
        let at = encoded.windows(marker.len()).position(|window| window == marker);
        let at = at.ok_or_else(|| failed("no request id found".to_owned()))?;
        let tail = encoded[at + marker.len()..].to_vec();
        let is_payload = |octets: &[u8]| octets.iter().all(|&octet| octet == b'x');
        let payload_at = tail.windows(payload_bytes).position(is_payload);
        let payload_at = payload_at.ok_or_else(|| failed("no payload found".to_owned()))?;
        Ok(Request { head: encoded[..at].to_vec(), tail, payload_at })
    }

    /// Appends the message with `id` and returns where its payload begins.
    fn put(&self, serializer: SerializerId, id: u64, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(&self.head);
        put_integer(serializer, id, out);
        let tail_at = out.len();
        out.extend_from_slice(&self.tail);
        tail_at + self.payload_at
    }
}

/// Appends an integer in the shortest form, as encoders do; FlatBuffers knows one form only.
fn put_integer(serializer: SerializerId, value: u64, out: &mut Vec<u8>) {
    // Codes of the 1, 2, 4 and 8 octet forms, and the end of the range that needs none.
    let (codes, direct) = match serializer {
        SerializerId::Json => return put_decimal(value, out),
        SerializerId::MessagePack => ([0xcc, 0xcd, 0xce, 0xcf], 128),
        SerializerId::Cbor => ([0x18, 0x19, 0x1a, 0x1b], 24),
        SerializerId::Ubjson => return put_ubjson(value, out),
        SerializerId::Bjdata => return put_bjdata(value, out),
        SerializerId::FlatBuffers => return out.extend_from_slice(&value.to_le_bytes()),
    };
    match value {
        value if value < direct => out.push(value as u8),
        0..=0xff => out.extend_from_slice(&[codes[0], value as u8]),
        0x100..=0xffff => {
            out.push(codes[1]);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(codes[2]);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(codes[3]);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn put_ubjson(value: u64, out: &mut Vec<u8>) {
    let (code, width) = match value {
        0..=0xff => (b'U', 1),
        0x100..=0x7fff => (b'I', 2),
        0x8000..=0x7fff_ffff => (b'l', 4),
        _ => (b'L', 8),
    };
    out.push(code);
    out.extend_from_slice(&value.to_be_bytes()[8 - width..]);
}

fn put_bjdata(value: u64, out: &mut Vec<u8>) {
    let (code, width) = match value {
        0..=0xff => (b'U', 1),
        0x100..=0xffff => (b'u', 2),
        0x1_0000..=0xffff_ffff => (b'm', 4),
        _ => (b'M', 8),
    };
    out.push(code);
    out.extend_from_slice(&value.to_le_bytes()[..width]);
}

fn put_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

impl Protocol for Wamp {
    async fn join(&mut self, link: &mut Link, role: Role) -> Result<(), Fault> {
        let method = if role == Role::Idle { self.method } else { Method::Anonymous };
        if self.shared.wire.is_secured {
            link.start_tls().await?;
        }
        self.compressed = dialogue::join(&self.shared, link, role, method).await?.map(Arc::new);
        Ok(())
    }

    async fn knock(&self, link: &mut Link) -> Result<(), Fault> {
        link.knock().await
    }

    async fn leave(&mut self, link: &mut Link) -> Result<(), Fault> {
        dialogue::leave(&self.shared, link).await
    }

    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        let id = self.take_request();
        self.put(&self.shared.publish, id, out, |payload| write_stamp(payload, stamp_ns));
    }

    fn call(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        let id = self.take_request();
        self.put(&self.shared.call, id, out, |payload| write_stamp(payload, stamp_ns));
    }

    fn answer(&mut self, reply_to: ReplyTo<'_>, payload: &[u8], out: &mut Vec<u8>) {
        let ReplyTo::Request(id) = reply_to else { return };
        self.put(&self.shared.answer, id, out, |echo| echo.copy_from_slice(payload));
    }

    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault> {
        let messages = skim::Messages {
            serializer: self.shared.wire.serializer,
            payload_bytes: self.shared.payload_bytes,
        };
        if let Some(compressed) = &self.compressed {
            return compressed.skim(bytes, messages, on);
        }
        match self.shared.wire.carrier {
            Carrier::RawSocket => skim::rawsocket(bytes, messages, on),
            Carrier::WebSocket => skim::websocket(bytes, messages, on),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossring_codec::{
        id::{PublicationId, RegistrationId, SubscriptionId},
        message::{EventDetails, InvocationDetails, ResultDetails, decode::decode},
        transport::{Incoming as Transported, RawSocketServerOptions, Transport, WebSocketServerOptions},
    };

    use super::*;
    use crate::protocol::testing::skim_every_cut;

    const PAYLOAD_BYTES: usize = 20;

    fn wamp(wire: Wire) -> Wamp {
        Wamp::new(wire, "realm1", "/ws", PAYLOAD_BYTES).expect("encodable")
    }

    /// A server that has shaken hands with `wire`, and how it frames.
    fn server(wire: Wire) -> (Transport, Framing) {
        let mut request = Vec::new();
        let (mut server, framing) = match wire.carrier {
            Carrier::RawSocket => (
                Transport::accept_rawsocket(&RawSocketServerOptions::default()),
                Framing::rawsocket(wire.serializer.id),
            ),
            Carrier::WebSocket => (
                Transport::accept_websocket(&Arc::new(WebSocketServerOptions::default())),
                Framing::websocket_server(wire.serializer),
            ),
        };
        drop(dialogue::dial(&wamp(wire).shared, &mut request).expect("a client"));
        let (mut consumed, mut scratch) = (0, Vec::new());
        while server.next(&request, &mut consumed, &mut scratch).expect("a handshake").is_some() {}
        assert_eq!(consumed, request.len());
        (server, framing)
    }

    fn received(wire: Wire, bytes: &[u8]) -> Vec<Message<'static>> {
        let (mut server, _) = server(wire);
        let (mut consumed, mut scratch, mut messages) = (0, Vec::new(), Vec::new());
        while let Some(incoming) = server.next(bytes, &mut consumed, &mut scratch).expect("valid frames") {
            if let Transported::Message(octets) = incoming {
                messages.push(decode(wire.serializer.id, octets).expect("valid messages").into_owned());
            }
        }
        messages
    }

    #[test]
    fn publishes_and_calls_are_what_the_codec_reads() {
        for wire in Wire::all() {
            let mut wamp = wamp(wire);
            let mut out = Vec::new();
            (0..300).for_each(|stamp_ns| wamp.publish(stamp_ns, &mut out));
            wamp.call(300, &mut out);
            let messages = received(wire, &out);
            assert_eq!(messages.len(), 301, "{wire}");
            for (index, message) in messages.iter().enumerate() {
                let (Message::Publish { request, payload, .. } | Message::Call { request, payload, .. }) =
                    message
                else {
                    panic!("{wire}: {message:?}");
                };
                assert_eq!(request.get(), index as u64 + 1);
                let text = format!("{index:016x}xxxx");
                assert_eq!(payload.arguments().expect("a list"), [Value::String(text)], "{wire}");
            }
        }
    }

    #[test]
    fn answers_carry_id_and_payload_of_the_invocation() {
        for wire in Wire::all() {
            let mut out = Vec::new();
            wamp(wire).answer(ReplyTo::Request(70_000), &[b'e'; PAYLOAD_BYTES], &mut out);
            let messages = received(wire, &out);
            let [Message::Yield { request, payload, .. }] = messages.as_slice() else {
                panic!("{messages:?}")
            };
            assert_eq!(request.get(), 70_000);
            assert_eq!(payload.arguments().expect("a list"), [Value::String("e".repeat(PAYLOAD_BYTES))]);
        }
    }

    #[test]
    fn compressed_sessions_write_and_read() {
        let options =
            WebSocketServerOptions { deflate: Some(DeflateOptions::default()), ..Default::default() };
        for name in ["ws.json+deflate", "ws.cbor.batched+deflate-alone"] {
            let mut wamp = wamp(name.parse().expect("a wire"));
            let mut server = Transport::accept_websocket(&Arc::new(options.clone()));
            let (mut to_server, mut to_client, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
            let mut client = dialogue::dial(&wamp.shared, &mut to_server).expect("a client");
            let mut consumed = 0;
            while let Some(found) = server.next(&to_server, &mut consumed, &mut scratch).expect("a request") {
                if let Transported::Reply(octets) = found {
                    to_client.extend_from_slice(octets);
                }
            }
            let opened = client.next(&to_client, &mut 0, &mut scratch).expect("a response");
            assert!(matches!(opened, Some(Transported::Opened { .. })));
            let compressed = Compressed::default();
            compressed.set_writer(client.take_writer().expect("compression"));
            wamp.compressed = Some(Arc::new(compressed.reading_with(client)));

            let mut frames = Vec::new();
            wamp.publish(3, &mut frames);
            let found = server.next(&frames, &mut 0, &mut scratch).expect("a frame");
            assert!(matches!(found, Some(Transported::Message(_))), "{found:?}");

            let serializer = wamp.shared.wire.serializer;
            let (mut plain, mut frame) = (Vec::new(), Vec::new());
            let framing = Framing::websocket_server(serializer);
            let mark = framing.begin(&mut plain);
            encode(serializer.id, &sent_by_a_router(serializer.id)[0], &mut plain).expect("encodable");
            framing.finish(&mut plain, mark, 0).expect("short");
            let mut writer = server.take_writer().expect("compression");
            writer.write(&plain, &mut Default::default(), &mut frame);
            for part in frame.chunks(3) {
                let mut payloads = 0;
                let consumed = wamp.skim(part, &mut |_| payloads += 1).expect("a piece of a frame");
                assert_eq!(consumed, part.len());
                assert_eq!(payloads, usize::from(part.as_ptr_range().end == frame.as_ptr_range().end));
            }
        }
    }

    fn sent_by_a_router(serializer: SerializerId) -> Vec<Message<'static>> {
        let text = |letter: &str| {
            let text = Value::String(letter.repeat(PAYLOAD_BYTES));
            Payload::from_values(serializer.of_payloads(), &[text], &Dict::default())
        };
        let id = |value| RequestId::new(value).expect("an id");
        vec![
            Message::Event {
                subscription: SubscriptionId::new(7).expect("an id"),
                publication: PublicationId::new(1 << 52).expect("an id"),
                details: EventDetails::default(),
                payload: text("a"),
            },
            Message::Published { request: id(3), publication: PublicationId::new(9).expect("an id") },
            Message::Result { request: id(200), details: ResultDetails::default(), payload: text("b") },
            Message::Invocation {
                request: id(65_536),
                registration: RegistrationId::new(5).expect("an id"),
                details: InvocationDetails::default(),
                payload: text("c"),
            },
        ]
    }

    #[test]
    fn incoming_messages_survive_every_cut() {
        for wire in Wire::all() {
            let (_, framing) = server(wire);
            let mut stream = Vec::new();
            for message in sent_by_a_router(wire.serializer.id) {
                let mark = framing.begin(&mut stream);
                encode(wire.serializer.id, &message, &mut stream).expect("encodable");
                framing.finish(&mut stream, mark, 0).expect("short");
            }
            let found = skim_every_cut(&wamp(wire), &stream);
            let found: Vec<_> = found.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
            let payload = |letter: &str| letter.repeat(PAYLOAD_BYTES);
            let request = format!("Request(65536) {}", payload("c"));
            assert_eq!(found, [payload("a"), payload("b"), request], "{wire}");
        }
    }

    #[test]
    fn wires_round_trip_by_name() {
        assert_eq!(Wire::all().count(), 42);
        for wire in Wire::all() {
            for wire in [wire, Wire { is_secured: true, ..wire }] {
                assert_eq!(wire.to_string().parse(), Ok(wire));
            }
        }
        for name in ["rs.json.batched", "rs.json+deflate", "ws.json+tls+deflate"] {
            assert!(name.parse::<Wire>().is_err(), "{name}");
        }
    }
}
