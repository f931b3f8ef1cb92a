//! Transport framings: received bytes in, WAMP messages (as bytes) out, and the reverse.
//!
//! Sans-IO and ignorant of WAMP message types. One [`Transport`] per connection reads; a [`Framing`]
//! writes, shared by all connections that want the same bytes. A message that lies whole in the
//! input is handed out without an allocation, and without a copy unless it has to be unmasked.
//! An idle connection holds nothing but the [`Transport`] itself.

mod batch;
mod error;
mod framing;
pub mod fuzzing;
mod gather;
mod mask;
mod rawsocket;
mod websocket;

use std::sync::Arc;

pub use self::batch::Batching;
pub use self::error::{TransportError, TransportErrorKind, close_code};
pub use self::framing::{Carrier, Framing, Mark, TooLong};
pub use self::rawsocket::{RawSocketClientOptions, RawSocketServerOptions};
use self::websocket::Handshaken;
pub use self::websocket::{
    Compressors, DeflateOptions, FrameKind, FrameWriter, InvalidUrl, Opening, TrackingCookie,
    WebSocketClientOptions, WebSocketLimits, WebSocketServerOptions, WebSocketUrl,
};
use crate::serializer::{Serializer, SerializerId};

/// The receiving half of one connection and what it negotiated.
#[derive(Debug)]
pub struct Transport {
    state: State,
}

/// What [`Transport::next`] found. The bytes are valid until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A WebSocket client asks to be let in; nothing else is read before [`Transport::accept_request`]. Comes once, and
    /// only where [`WebSocketServerOptions::cookie`] is set.
    Requested,
    /// The handshake is complete: messages can flow both ways. Comes once.
    Opened {
        /// The serializer agreed on.
        serializer: Serializer,
    },
    /// One WAMP message; of a batch, one after the other.
    Message(&'a [u8]),
    /// Bytes to send to the peer as they are: handshake, pong or close.
    Reply(&'a [u8]),
    /// The payload of a pong, asked for by [`Transport::ping`] or unsolicited.
    Pong(&'a [u8]),
    /// The peer closes (WebSocket). Send what is pending, then close; nothing further will be read.
    PeerClosing {
        /// The peer's close code, [`close_code::NONE`] without one.
        code: u16,
    },
}

#[derive(Debug)]
enum State {
    RawSocketHandshake(rawsocket::Handshake),
    RawSocket(rawsocket::RawSocket),
    WebSocketServerHandshake(Box<websocket::ServerHandshake>),
    WebSocketClientHandshake(Box<websocket::ClientHandshake>),
    WebSocket(websocket::WebSocket),
    /// Failed: whatever the peer still sends is dropped.
    Finished,
}

impl Transport {
    /// The server side of a new RawSocket connection.
    pub fn accept_rawsocket(options: &RawSocketServerOptions) -> Transport {
        Transport { state: State::RawSocketHandshake(rawsocket::Handshake::accept(options)) }
    }

    /// The client side of a new RawSocket connection; appends the handshake request to `out`.
    pub fn dial_rawsocket(
        serializer: SerializerId,
        options: &RawSocketClientOptions,
        out: &mut Vec<u8>,
    ) -> Transport {
        Transport { state: State::RawSocketHandshake(rawsocket::Handshake::dial(serializer, options, out)) }
    }

    /// The server side of a new WebSocket connection, handshake included.
    pub fn accept_websocket(options: &Arc<WebSocketServerOptions>) -> Transport {
        let handshake = websocket::ServerHandshake::new(options);
        Transport { state: State::WebSocketServerHandshake(Box::new(handshake)) }
    }

    /// The client side of a new WebSocket connection; appends the handshake request to `out`.
    ///
    /// `serializers` are offered in this order. `seed` feeds nonce and mask keys: take it from a
    /// good random source where proxies between here and the server could be attacked.
    pub fn dial_websocket(
        url: &WebSocketUrl,
        serializers: &[Serializer],
        options: &WebSocketClientOptions,
        seed: u64,
        out: &mut Vec<u8>,
    ) -> Transport {
        let handshake = websocket::ClientHandshake::new(url, serializers, options, seed, out);
        Transport { state: State::WebSocketClientHandshake(Box::new(handshake)) }
    }

    /// Takes the next thing out of `input`, received bytes, from `*consumed` on, and advances
    /// `*consumed`.
    ///
    /// Call it until it returns none: then the whole input is consumed, and an incomplete rest is
    /// kept inside. Whoever stops earlier must present the unconsumed input again. `scratch` is
    /// room for what cannot be borrowed from the input; one per thread will do, its contents never
    /// matter between calls.
    ///
    /// After an error call [`Transport::fail`]; calling this again finds the same error.
    pub fn next<'a>(
        &mut self,
        input: &'a [u8],
        consumed: &mut usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Incoming<'a>>, TransportError> {
        self.step(input, consumed, scratch).map_err(|kind| TransportError { kind, offset: *consumed })
    }

    #[inline]
    fn step<'a>(
        &mut self,
        input: &'a [u8],
        consumed: &mut usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Incoming<'a>>, TransportErrorKind> {
        match &mut self.state {
            State::RawSocket(open) => open.next(input, consumed, scratch).inspect(|it| open.settle(it)),
            State::WebSocket(open) => open.next(input, consumed, scratch).inspect(|it| open.settle(it)),
            State::Finished => {
                *consumed = input.len();
                Ok(None)
            }
            _ => self.shake_hands(input, consumed, scratch),
        }
    }

    fn shake_hands<'a>(
        &mut self,
        input: &'a [u8],
        consumed: &mut usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Incoming<'a>>, TransportErrorKind> {
        let replies = self.is_server_handshake();
        let open = match &mut self.state {
            State::RawSocketHandshake(handshake) => {
                handshake.next(input, consumed, scratch)?.map(State::RawSocket)
            }
            State::WebSocketServerHandshake(handshake) => match handshake.next(input, consumed, scratch)? {
                Handshaken::Pending => None,
                Handshaken::Requested => return Ok(Some(Incoming::Requested)),
                Handshaken::Open(open) => Some(State::WebSocket(open)),
            },
            State::WebSocketClientHandshake(handshake) => {
                handshake.next(input, consumed)?.map(State::WebSocket)
            }
            State::RawSocket(_) | State::WebSocket(_) | State::Finished => None,
        };
        let Some(open) = open else { return Ok(None) };
        self.state = open;
        if replies { Ok(Some(Incoming::Reply(scratch))) } else { self.step(input, consumed, scratch) }
    }

    fn is_server_handshake(&self) -> bool {
        match &self.state {
            State::RawSocketHandshake(handshake) => handshake.is_server(),
            State::WebSocketServerHandshake(_) => true,
            _ => false,
        }
    }

    /// The value of the tracking cookie that came with a request, after [`Incoming::Requested`].
    pub fn requested_cookie(&self) -> Option<&str> {
        match &self.state {
            State::WebSocketServerHandshake(handshake) => handshake.cookie(),
            _ => None,
        }
    }

    /// Lets the client in, after [`Incoming::Requested`]; appends the HTTP response to `out`, which sets the tracking
    /// cookie to `new_cookie` if there is one. [`Incoming::Opened`] comes next.
    pub fn accept_request(&mut self, new_cookie: Option<&str>, out: &mut Vec<u8>) {
        if let State::WebSocketServerHandshake(handshake) = &mut self.state
            && let Some(open) = handshake.accept(new_cookie, out)
        {
            self.state = State::WebSocket(open);
        }
    }

    /// How the peer wants its messages; none before [`Incoming::Opened`].
    ///
    /// The first messages of the peer may still change it, until [`Transport::is_settled`]: a WebSocket peer chooses the
    /// separator of JSON batches, and messages in UBJSON or BJData tell which of the two they are in.
    pub fn framing(&self) -> Option<Framing> {
        match &self.state {
            State::RawSocket(open) => Some(open.framing()),
            State::WebSocket(open) => Some(open.framing()),
            _ => None,
        }
    }

    /// Whether [`Transport::framing`] stays as it is.
    pub fn is_settled(&self) -> bool {
        match &self.state {
            State::RawSocket(open) => open.is_settled(),
            State::WebSocket(open) => open.is_settled(),
            _ => false,
        }
    }

    /// The header fields of the HTTP request that opened a WebSocket here: names in lower case, in the order of the
    /// request, equal names joined by a comma. Hands them out once, right after [`Incoming::Opened`]; else empty.
    pub fn take_request_headers(&mut self) -> Vec<(Box<str>, Box<str>)> {
        match &mut self.state {
            State::WebSocket(open) => open.take_request_headers(),
            _ => Vec::new(),
        }
    }

    /// What writes this connection's messages, where [`Framing`] alone does not: the message [`Framing::finish`] leaves
    /// has to be given to it. Hands it out once, right after [`Incoming::Opened`]; none where there is no need of it.
    pub fn take_writer(&mut self) -> Option<Box<FrameWriter>> {
        match &mut self.state {
            State::WebSocket(open) => open.take_writer(),
            _ => None,
        }
    }

    /// Lets compressed messages inflate to so many octets at most, until this is called again: of a peer that nobody knows yet.
    /// None is no limit beside those of the options. Without effect before [`Incoming::Opened`].
    pub fn limit_inflation(&mut self, size_max: Option<usize>) {
        if let State::WebSocket(open) = &mut self.state {
            open.limit_inflation(size_max);
        }
    }

    /// Whether messages wait inside, so that [`Transport::next`] finds something though the input is used up.
    pub fn is_holding(&self) -> bool {
        matches!(&self.state, State::WebSocket(open) if open.is_holding())
    }

    /// The longest message the peer accepts, in octets.
    ///
    /// A WebSocket peer cannot say: then it is what every framing is limited to.
    pub fn peer_limit(&self) -> usize {
        match &self.state {
            State::RawSocket(open) => open.peer_limit(),
            _ => Framing::MESSAGE_SIZE_MAX,
        }
    }

    /// A fresh key for [`Framing::finish`]; zero where nothing is masked.
    pub fn mask_key(&mut self) -> u32 {
        match &mut self.state {
            State::WebSocket(open) => open.next_mask_key(),
            _ => 0,
        }
    }

    /// Appends a ping with `payload` to `out`; the peer answers with the same payload.
    ///
    /// WebSocket pings are limited to 125 octets. Do not ping RawSocket peers that might be
    /// Autobahn|Python or Crossbar.io: they drop the connection. Nothing is appended to a
    /// connection that is not open.
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        match &mut self.state {
            State::RawSocket(_) => rawsocket::ping(payload, out),
            State::WebSocket(open) => open.ping(payload, out),
            _ => Ok(()),
        }
    }

    /// Appends what announces an orderly close to `out`: on WebSocket a close frame, after which
    /// no frame may be sent and [`Incoming::PeerClosing`] is the peer's answer; else nothing.
    ///
    /// `reason` is for people, and cut to 123 octets.
    pub fn close(&mut self, code: u16, reason: &str, out: &mut Vec<u8>) {
        if let State::WebSocket(open) = &mut self.state {
            open.close(code, reason, out);
        }
    }

    /// Ends a connection that broke with `kind`: appends what the peer is to be told to `out`.
    ///
    /// The caller sends it, closes the connection, and reads no more.
    pub fn fail(&mut self, kind: TransportErrorKind, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::RawSocketHandshake(handshake) if handshake.is_server() => {
                if let Some(number) = kind.rawsocket_error() {
                    out.extend_from_slice(&rawsocket::refusal(number));
                }
            }
            State::WebSocketServerHandshake(handshake) => handshake.refuse(kind, out),
            State::WebSocket(mut open) => open.close(kind.close_code(), kind.description(), out),
            _ => {}
        }
    }
}

const _: () = assert!(size_of::<Transport>() <= 64, "an idle connection must stay small");
