//! Fuzz bodies: plain functions over arbitrary bytes, for cargo-fuzz and for seeded tests alike.
//!
//! Each claims the same of one kind of transport: nothing panics, and the pieces in which a stream
//! arrives do not change what is found in it.

use std::sync::Arc;

use super::mask::MaskKeys;
use super::websocket::{Agreement, Direction, WebSocket, WebSocketLimits, WebSocketUrl};
use super::{
    Compressors, DeflateOptions, Framing, Incoming, RawSocketClientOptions, RawSocketServerOptions, State,
    Transport, TransportErrorKind, WebSocketClientOptions, WebSocketServerOptions,
};
use crate::serializer::{Serializer, SerializerId};

/// [`Incoming`], owned; an error ends the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// [`Incoming::Requested`].
    Requested,
    /// [`Incoming::Opened`].
    Opened(Serializer),
    /// [`Incoming::Message`].
    Message(Vec<u8>),
    /// [`Incoming::Reply`].
    Reply(Vec<u8>),
    /// [`Incoming::Pong`].
    Pong(Vec<u8>),
    /// [`Incoming::PeerClosing`].
    PeerClosing(u16),
    /// The transport failed.
    Failed(TransportErrorKind),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Event {
        match incoming {
            Incoming::Requested => Event::Requested,
            Incoming::Opened { serializer } => Event::Opened(serializer),
            Incoming::Message(bytes) => Event::Message(bytes.to_vec()),
            Incoming::Reply(bytes) => Event::Reply(bytes.to_vec()),
            Incoming::Pong(bytes) => Event::Pong(bytes.to_vec()),
            Incoming::PeerClosing { code } => Event::PeerClosing(code),
        }
    }
}

/// Everything `transport` finds in `chunks`, until it fails.
pub fn feed<'a>(transport: &mut Transport, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut scratch = Vec::new();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut consumed = 0;
        loop {
            match transport.next(chunk, &mut consumed, &mut scratch) {
                Ok(Some(incoming)) => events.push(incoming.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.offset, consumed);
                    events.push(Event::Failed(error.kind));
                    return events;
                }
            }
        }
        assert_eq!(consumed, chunk.len(), "a transport that wants more has taken all there is");
    }
    events
}

/// `bytes` in pieces whose sizes go round in `sizes`.
pub fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).clamp(1, rest.len()));
        let (piece, next) = rest.split_at(size);
        pieces.push(piece);
        rest = next;
    }
    pieces
}

/// A RawSocket, from its handshake on: either side.
pub fn fuzz_rawsocket(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let id = serializer_of(choice).id;
    check_pieces(data, || {
        if choice & CLIENT == 0 {
            let options = RawSocketServerOptions { message_size_max: 1024, ..Default::default() };
            return Transport::accept_rawsocket(&options);
        }
        let options = RawSocketClientOptions { message_size_max: 1024 };
        Transport::dial_rawsocket(id, &options, &mut Vec::new())
    });
}

/// Frames from a client, read by an open WebSocket server.
pub fn fuzz_websocket_server(data: &[u8]) {
    fuzz_websocket(data, Framing::websocket_server);
}

/// Frames from a server, read by an open WebSocket client.
pub fn fuzz_websocket_client(data: &[u8]) {
    fuzz_websocket(data, Framing::websocket_client);
}

/// Frames from a client that may compress, read by an open WebSocket server.
pub fn fuzz_websocket_deflate_server(data: &[u8]) {
    fuzz_deflate(data, Framing::websocket_server);
}

/// Frames from a server that may compress, read by an open WebSocket client.
pub fn fuzz_websocket_deflate_client(data: &[u8]) {
    fuzz_deflate(data, Framing::websocket_client);
}

/// Messages that one side compresses and fragments as the first octets say: the other finds them again.
pub fn fuzz_deflate_roundtrip(data: &[u8]) {
    let Some(([choice, bits, fragment, length], rest)) = data.split_first_chunk::<4>() else { return };
    let deflate = DeflateOptions {
        no_context_takeover: choice & 1 != 0,
        window_bits_max: bits & 0xF,
        level: 1 + (choice >> 1 & 7),
        memory_level: 1 + (bits >> 4 & 7),
        size_min: usize::from(choice >> 6),
        inflate_ratio_max: u32::MAX,
        ..Default::default()
    };
    let serializer = Serializer::CBOR;
    let server = WebSocketServerOptions { deflate: Some(deflate), ..Default::default() };
    let client = WebSocketClientOptions {
        deflate: Some(deflate),
        fragment_size_max: usize::from(*fragment),
        ..Default::default()
    };
    let Ok(url) = WebSocketUrl::parse("ws://localhost") else { return };
    let mut request = Vec::new();
    let mut client = Transport::dial_websocket(&url, &[serializer], &client, 1, &mut request);
    let mut server = Transport::accept_websocket(&Arc::new(server));
    if let [Event::Reply(reply), ..] = feed(&mut server, [request.as_slice()]).as_slice() {
        feed(&mut client, [reply.as_slice()]);
    }
    let (Some(mut writer), mut compressors) = (client.take_writer(), Compressors::default()) else { return };
    let (mut stream, mut sent) = (Vec::new(), Vec::new());
    for message in rest.chunks(1 + usize::from(*length) * 16) {
        let framing = Framing::websocket_client(serializer);
        let mut frame = Vec::new();
        let mark = framing.begin(&mut frame);
        frame.extend_from_slice(message);
        if framing.finish(&mut frame, mark, 0).is_ok() {
            writer.write(&frame, &mut compressors, &mut stream);
            sent.push(Event::Message(message.to_vec()));
        }
    }
    assert_eq!(feed(&mut server, pieces(&stream, &[usize::from(*length) + 1])), sent);
}

fn fuzz_deflate(data: &[u8], framing: fn(Serializer) -> Framing) {
    let Some(([choice, bits], data)) = data.split_first_chunk::<2>() else { return };
    let direction = Direction { takeover: bits & 0x10 != 0, window_bits: (bits & 0xF).clamp(8, 15) };
    let agreement = Agreement { outgoing: direction, incoming: direction };
    let options = DeflateOptions { inflate_ratio_max: 8, ..Default::default() };
    check_pieces(data, || {
        let open = WebSocket::new(framing(serializer_of(*choice)), &small_limits(), MaskKeys::new(1))
            .with_extensions(Some((agreement, &options)), 0);
        let mut transport = Transport { state: State::WebSocket(open) };
        feed(&mut transport, [[].as_slice()]);
        transport.take_writer();
        transport
    });
}

/// The WebSocket handshake, either side, and what follows it.
pub fn fuzz_websocket_handshake(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let limits = WebSocketLimits { head_size_max: 512, ..small_limits() };
    let options = Arc::new(WebSocketServerOptions {
        path: (choice & 1 != 0).then(|| "/ws".to_owned()),
        origins: vec!["http*://*.example.com:*".to_owned()],
        subprotocol_required: choice & 2 != 0,
        deflate: Some(DeflateOptions::default()),
        limits,
        ..Default::default()
    });
    check_pieces(data, || match WebSocketUrl::parse("ws://localhost:8080/ws") {
        Ok(url) if choice & CLIENT != 0 => {
            let deflate = Some(DeflateOptions::default());
            let options = WebSocketClientOptions { limits, deflate, ..Default::default() };
            Transport::dial_websocket(&url, &Serializer::ALL, &options, 1, &mut Vec::new())
        }
        _ => Transport::accept_websocket(&options),
    });
}

fn fuzz_websocket(data: &[u8], framing: fn(Serializer) -> Framing) {
    let Some((&choice, data)) = data.split_first() else { return };
    check_pieces(data, || {
        let open = WebSocket::new(framing(serializer_of(choice)), &small_limits(), MaskKeys::new(1));
        let mut transport = Transport { state: State::WebSocket(open) };
        feed(&mut transport, [[].as_slice()]);
        transport
    });
}

/// The first octets of `data` say in which pieces the rest arrives.
fn check_pieces(data: &[u8], new: impl Fn() -> Transport) {
    let Some((sizes, stream)) = data.split_first_chunk::<3>() else { return };
    let sizes = sizes.map(usize::from);
    let mut transport = new();
    let whole = feed(&mut transport, [stream]);
    assert_eq!(whole, feed(&mut new(), pieces(stream, &sizes)), "pieces of {sizes:?}");
    assert_eq!(whole, feed(&mut new(), pieces(stream, &[1])), "pieces of one octet");
    if let Some(Event::Failed(kind)) = whole.last() {
        transport.fail(*kind, &mut Vec::new());
        assert!(feed(&mut transport, [stream]).is_empty(), "nothing is found after a failure");
    }
}

fn serializer_of(choice: u8) -> Serializer {
    let id = SerializerId::ALL[usize::from(choice >> 1) % SerializerId::COUNT];
    if choice & 1 == 0 { Serializer::plain(id) } else { Serializer::batched(id) }
}

/// Small enough for a fuzzer to run into.
fn small_limits() -> WebSocketLimits {
    WebSocketLimits { frame_size_max: 300, message_size_max: 500, ..Default::default() }
}

/// The bit of the first octet that chooses the client's side.
const CLIENT: u8 = 0x80;
