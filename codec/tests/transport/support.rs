//! Drives transports in memory.

use std::sync::Arc;

use crossring_codec::serializer::{Serializer, SerializerId, SerializerSet};
use crossring_codec::transport::fuzzing::{Event, feed};
use crossring_codec::transport::{
    Framing, RawSocketClientOptions, RawSocketServerOptions, Transport, WebSocketClientOptions,
    WebSocketLimits, WebSocketServerOptions, WebSocketUrl,
};

/// A client and a server that have shaken hands.
pub(crate) struct Pair {
    pub(crate) client: Transport,
    pub(crate) server: Transport,
}

impl Pair {
    pub(crate) fn rawsocket(id: SerializerId) -> Pair {
        let mut request = Vec::new();
        let client = Transport::dial_rawsocket(id, &RawSocketClientOptions::default(), &mut request);
        let serializers = SerializerSet::NONE.with(Serializer::plain(id));
        let options = RawSocketServerOptions { serializers, ..Default::default() };
        let server = Transport::accept_rawsocket(&options);
        Pair { client, server }.open(&request, Serializer::plain(id))
    }

    pub(crate) fn websocket(serializer: Serializer) -> Pair {
        Pair::websocket_within(serializer, WebSocketLimits::default())
    }

    pub(crate) fn websocket_within(serializer: Serializer, limits: WebSocketLimits) -> Pair {
        let client = WebSocketClientOptions { limits, ..Default::default() };
        Pair::websocket_with(serializer, &client, WebSocketServerOptions { limits, ..Default::default() })
    }

    pub(crate) fn websocket_with(
        serializer: Serializer,
        client: &WebSocketClientOptions,
        server: WebSocketServerOptions,
    ) -> Pair {
        let mut request = Vec::new();
        let url = WebSocketUrl::parse("ws://localhost:8080/ws").unwrap();
        let client = Transport::dial_websocket(&url, &[serializer], client, 1, &mut request);
        let serializers = SerializerSet::NONE.with(serializer);
        let server = WebSocketServerOptions { serializers, ..server };
        let server = Transport::accept_websocket(&Arc::new(server));
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
