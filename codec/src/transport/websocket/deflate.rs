//! permessage-deflate (RFC 7692): what is agreed on in the handshake.

mod inflate;
mod writer;

use std::fmt::Write as _;

pub(super) use self::inflate::Inflater;
pub use self::writer::{Compressors, FrameKind, FrameWriter};
use crate::transport::error::TransportErrorKind;

/// How a WebSocket side compresses and what it asks of its peer.
///
/// Numbers out of range count as the nearest one in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// This side compresses every message by itself. Then it needs no memory between messages, and a message that many
    /// peers get is compressed once; messages that resemble each other take more octets.
    pub no_context_takeover: bool,
    /// Binary logarithm of the longest window this side compresses with, 9..=15.
    pub window_bits_max: u8,
    /// The peer is asked to compress every message by itself. Then this side needs no memory between its messages.
    pub peer_no_context_takeover: bool,
    /// Binary logarithm of the longest window the peer is asked to keep to, 9..=15; none asks for nothing. A server that
    /// is to ask a client that cannot be asked declines its offer.
    pub peer_window_bits_max: Option<u8>,
    /// Effort of the compression, 1 (fast) ..=9 (small).
    pub level: u8,
    /// Memory of the compression, 1..=9.
    pub memory_level: u8,
    /// Messages of fewer octets are sent as they are.
    pub size_min: usize,
    /// A message may inflate to this many times its octets. Protects against bombs: no text is 1:1000.
    pub inflate_ratio_max: u32,
}

impl Default for DeflateOptions {
    fn default() -> DeflateOptions {
        DeflateOptions {
            no_context_takeover: false,
            window_bits_max: WINDOW_BITS_MAX,
            peer_no_context_takeover: false,
            peer_window_bits_max: None,
            level: 6,
            memory_level: 8,
            size_min: 64,
            inflate_ratio_max: 200,
        }
    }
}

/// How one direction is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) takeover: bool,
    pub(crate) window_bits: u8,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// What this side compresses.
    pub(crate) outgoing: Direction,
    /// What the peer compresses.
    pub(crate) incoming: Direction,
}

/// The parameters of one element of `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner one is none where a client only says that it can be asked.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads an element of the list; none if it is not permessage-deflate, or not in its form (RFC 7692 §7).
    fn read(element: &str) -> Option<Parameters> {
        let mut parts = element.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut parameters = Parameters::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(read_window_bits(value.trim_start())?)),
                None => (part, None),
            };
            parameters.set(name, value)?;
        }
        Some(parameters)
    }

    /// None for a parameter that is unknown, comes twice, or has a value where none belongs.
    fn set(&mut self, name: &str, value: Option<u8>) -> Option<()> {
        match (name, value) {
            (SERVER_TAKEOVER, None) => first(!std::mem::replace(&mut self.server_no_context_takeover, true)),
            (CLIENT_TAKEOVER, None) => first(!std::mem::replace(&mut self.client_no_context_takeover, true)),
            (SERVER_WINDOW, Some(_)) => {
                first(std::mem::replace(&mut self.server_max_window_bits, value).is_none())
            }
            (CLIENT_WINDOW, value) => first(self.client_max_window_bits.replace(value).is_none()),
            _ => None,
        }
    }

    fn append_to(&self, out: &mut String) {
        out.push_str(NAME);
        for (is_set, name) in [
            (self.server_no_context_takeover, SERVER_TAKEOVER),
            (self.client_no_context_takeover, CLIENT_TAKEOVER),
        ] {
            if is_set {
                let _ = write!(out, "; {name}");
            }
        }
        let server = self.server_max_window_bits.map(Some);
        for (value, name) in [(server, SERVER_WINDOW), (self.client_max_window_bits, CLIENT_WINDOW)] {
            let _ = match value {
                Some(Some(bits)) => write!(out, "; {name}={bits}"),
                Some(None) => write!(out, "; {name}"),
                None => Ok(()),
            };
        }
    }
}

fn first(is_first: bool) -> Option<()> {
    is_first.then_some(())
}

/// A value of 8 to 15 without leading zeros, quoted or not.
fn read_window_bits(value: &str) -> Option<u8> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (8..=15).find(|bits: &u8| bits.to_string() == value)
}

/// The server's answer to the first offer among `elements` that can be met, and its text; none if no offer can.
pub(super) fn accept<'a>(
    elements: impl Iterator<Item = &'a str>,
    options: &DeflateOptions,
) -> Option<(Agreement, String)> {
    let response = elements.filter_map(Parameters::read).find_map(|offer| answer(&offer, options))?;
    let mut text = String::new();
    response.append_to(&mut text);
    let incoming = Direction {
        takeover: !response.client_no_context_takeover,
        window_bits: response.client_max_window_bits.flatten().unwrap_or(WINDOW_BITS_MAX),
    };
    let outgoing = Direction {
        takeover: !response.server_no_context_takeover,
        window_bits: response.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
    };
    Some((Agreement { outgoing, incoming }, text))
}

fn answer(offer: &Parameters, options: &DeflateOptions) -> Option<Parameters> {
    let own = options.window_bits_max.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    let window = own.min(offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX));
    if window < WINDOW_BITS_MIN {
        return None;
    }
    let client_window = match (options.peer_window_bits_max, offer.client_max_window_bits) {
        (None, _) => None,
        (Some(_), None) => return None,
        (Some(wanted), Some(offered)) => {
            let wanted = wanted.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
            Some(Some(wanted.min(offered.unwrap_or(WINDOW_BITS_MAX))))
        }
    };
    Some(Parameters {
        server_no_context_takeover: options.no_context_takeover || offer.server_no_context_takeover,
        client_no_context_takeover: options.peer_no_context_takeover || offer.client_no_context_takeover,
        server_max_window_bits: (window < WINDOW_BITS_MAX || offer.server_max_window_bits.is_some())
            .then_some(window),
        client_max_window_bits: client_window,
    })
}

/// The client's offer, as an element of `Sec-WebSocket-Extensions`.
pub(super) fn offer(options: &DeflateOptions) -> String {
    let own = options.window_bits_max.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    let asked = options.peer_window_bits_max.map(|bits| bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX));
    let parameters = Parameters {
        server_no_context_takeover: options.peer_no_context_takeover,
        client_no_context_takeover: options.no_context_takeover,
        server_max_window_bits: asked,
        client_max_window_bits: Some((own < WINDOW_BITS_MAX).then_some(own)),
    };
    let mut text = String::new();
    parameters.append_to(&mut text);
    text
}

/// What the server agreed to; none where it compresses nothing. It must have answered what was offered, once.
pub(super) fn confirm<'a>(
    mut elements: impl Iterator<Item = &'a str>,
    offered: Option<&DeflateOptions>,
) -> Result<Option<Agreement>, TransportErrorKind> {
    let Some(element) = elements.next() else { return Ok(None) };
    let agreement = offered
        .zip(Parameters::read(element))
        .and_then(|(options, response)| agreed(&response, options))
        .filter(|_| elements.next().is_none());
    agreement.map(Some).ok_or(TransportErrorKind::ExtensionUnexpected)
}

fn agreed(response: &Parameters, options: &DeflateOptions) -> Option<Agreement> {
    let own = options.window_bits_max.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    let asked = options.peer_window_bits_max.map_or(WINDOW_BITS_MAX, |bits| bits.max(WINDOW_BITS_MIN));
    let incoming = Direction {
        takeover: !response.server_no_context_takeover,
        window_bits: response.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
    };
    let outgoing = Direction {
        takeover: !(response.client_no_context_takeover || options.no_context_takeover),
        window_bits: match response.client_max_window_bits {
            // Only an offer may leave the value out.
            Some(None) => return None,
            Some(Some(bits)) => bits.min(own),
            None => own,
        },
    };
    let is_met = incoming.window_bits <= asked
        && !(incoming.takeover && options.peer_no_context_takeover)
        && outgoing.window_bits >= WINDOW_BITS_MIN;
    is_met.then_some(Agreement { outgoing, incoming })
}

/// The shortest window zlib compresses with; one of 8 bits is declined.
const WINDOW_BITS_MIN: u8 = 9;

/// The longest window of DEFLATE.
const WINDOW_BITS_MAX: u8 = 15;

const NAME: &str = "permessage-deflate";
const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// What a flush ends with, and what the wire leaves out (RFC 7692 §7.2.1).
const FLUSH_TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

#[cfg(test)]
mod tests;
