//! Drives transports in memory.

use std::sync::Arc;

use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::transport::{
    Framing, Incoming, RawSocketClientOptions, RawSocketServerOptions, Transport, TransportErrorKind,
    WebSocketLimits, WebSocketServerOptions, WebSocketUrl,
};

/// [`Incoming`], owned; an error ends the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened(Serializer),
    Message(Vec<u8>),
    Reply(Vec<u8>),
    Pong(Vec<u8>),
    PeerClosing(u16),
    Failed(TransportErrorKind),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Event {
        match incoming {
            Incoming::Opened { serializer } => Event::Opened(serializer),
            Incoming::Message(bytes) => Event::Message(bytes.to_vec()),
            Incoming::Reply(bytes) => Event::Reply(bytes.to_vec()),
            Incoming::Pong(bytes) => Event::Pong(bytes.to_vec()),
            Incoming::PeerClosing { code } => Event::PeerClosing(code),
        }
    }
}

/// Everything `transport` finds in `chunks`, until it fails.
pub(crate) fn feed<'a>(transport: &mut Transport, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
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

/// A client and a server that have shaken hands.
pub(crate) struct Pair {
    pub(crate) client: Transport,
    pub(crate) server: Transport,
}

impl Pair {
    pub(crate) fn rawsocket(id: SerializerId) -> Pair {
        let mut request = Vec::new();
        let client = Transport::dial_rawsocket(id, &RawSocketClientOptions::default(), &mut request);
        let server = Transport::accept_rawsocket(&RawSocketServerOptions::default());
        Pair { client, server }.open(&request, Serializer::plain(id))
    }

    pub(crate) fn websocket(serializer: Serializer) -> Pair {
        Pair::websocket_within(serializer, WebSocketLimits::default())
    }

    pub(crate) fn websocket_within(serializer: Serializer, limits: WebSocketLimits) -> Pair {
        let mut request = Vec::new();
        let url = WebSocketUrl::parse("ws://localhost:8080/ws").unwrap();
        let client = Transport::dial_websocket(&url, &[serializer], &limits, 1, &mut request);
        let options = WebSocketServerOptions { limits, ..Default::default() };
        let server = Transport::accept_websocket(&Arc::new(options));
        Pair { client, server }.open(&request, serializer)
    }

    fn open(mut self, request: &[u8], serializer: Serializer) -> Pair {
        let events = feed(&mut self.server, [request]);
        let [Event::Reply(reply), Event::Opened(opened)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(*opened, serializer);
        assert_eq!(feed(&mut self.client, [reply.as_slice()]), [Event::Opened(serializer)]);
        self
    }
}

/// Appends `message` as `sender` frames it.
pub(crate) fn send(sender: &mut Transport, message: &[u8], out: &mut Vec<u8>) {
    let framing: Framing = sender.framing().unwrap();
    let mark = framing.begin(out);
    out.extend_from_slice(message);
    assert_eq!(framing.finish(out, mark, sender.mask_key()), Ok(message.len()));
}

/// `bytes` in pieces whose sizes go round in `sizes`.
pub(crate) fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap_or(&rest.len())).clamp(1, rest.len());
        let (piece, next) = rest.split_at(size);
        pieces.push(piece);
        rest = next;
    }
    pieces
}
