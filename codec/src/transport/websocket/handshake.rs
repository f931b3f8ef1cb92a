//! The HTTP handshake that opens a WebSocket (RFC 6455 §4): what both sides share.

mod client;
mod cookie;
mod opening;
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

pub(crate) use self::client::ClientHandshake;
pub use self::client::WebSocketClientOptions;
pub use self::cookie::TrackingCookie;
pub use self::opening::Opening;
pub use self::server::WebSocketServerOptions;
pub(crate) use self::server::{Handshaken, ServerHandshake};
use crate::transport::error::TransportErrorKind;
use crate::transport::gather::reserve;

/// An HTTP head that arrives, in pieces or at once.
#[derive(Debug)]
struct HeadReader {
    partial: Vec<u8>,
    size_max: usize,
}

impl HeadReader {
    fn new(size_max: usize) -> HeadReader {
        HeadReader { partial: Vec::new(), size_max }
    }

    /// The head, with the empty line that ends it, once it is whole.
    fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        consumed: &mut usize,
    ) -> Result<Option<&'a [u8]>, TransportErrorKind> {
        let rest = &input[*consumed..];
        if self.partial.is_empty() {
            if rest.first().is_some_and(|first| !first.is_ascii_uppercase()) {
                return Err(TransportErrorKind::HttpMalformed);
            }
            if let Some(size) = end_of_head(&rest[..rest.len().min(self.size_max)]) {
                *consumed += size;
                return Ok(Some(&rest[..size]));
            }
        }
        self.gather(rest, consumed)
    }

    fn gather(&mut self, rest: &[u8], consumed: &mut usize) -> Result<Option<&[u8]>, TransportErrorKind> {
        let held = self.partial.len();
        let count = rest.len().min(self.size_max - held);
        reserve(&mut self.partial, count, self.size_max);
        self.partial.extend_from_slice(&rest[..count]);
        let searched = held.saturating_sub(END_OF_HEAD.len() - 1);
        if let Some(size) = end_of_head(&self.partial[searched..]) {
            self.partial.truncate(searched + size);
            *consumed += searched + size - held;
            return Ok(Some(&self.partial));
        }
        *consumed += count;
        if self.partial.len() == self.size_max {
            return Err(TransportErrorKind::HttpHeadTooLong);
        }
        Ok(None)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, END_OF_HEAD).map(|at| at + END_OF_HEAD.len())
}

/// The header fields of a head.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    }

    /// The value of a field that may come once only.
    fn one(self, name: &str) -> Result<Option<&'a str>, TransportErrorKind> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(TransportErrorKind::HttpMalformed) } else { Ok(value) }
    }

    /// All fields: names in lower case, in the order of the head, equal names joined by a comma.
    fn owned(self) -> Vec<(Box<str>, Box<str>)> {
        let mut owned: Vec<(Box<str>, Box<str>)> = Vec::new();
        for header in self.0 {
            let name = header.name.to_ascii_lowercase();
            if owned.iter().all(|(known, _)| **known != *name) {
                let values: Vec<&str> = self.all(&name).collect();
                owned.push((name.into(), values.join(", ").into()));
            }
        }
        owned
    }

    /// The elements of a comma-separated list, which may be spread over several fields.
    fn list(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
    }

    fn has_token(self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token))
    }
}

/// Why httparse refused a head.
fn refused_head(fault: httparse::Error) -> TransportErrorKind {
    match fault {
        httparse::Error::TooManyHeaders => TransportErrorKind::HttpHeadTooLong,
        httparse::Error::Version => TransportErrorKind::HttpVersion,
        _ => TransportErrorKind::HttpMalformed,
    }
}

/// The proof that a server has read the client's key (RFC 6455 §4.2.2).
fn accept_of(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    STANDARD.encode(digest)
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Header fields a head may have.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_of_rfc_6455_section_1_3() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn heads_are_found_whatever_the_pieces() {
        let stream = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        for piece in 1..=stream.len() {
            let mut reader = HeadReader::new(64);
            let mut fed = 0;
            let head = loop {
                let mut consumed = 0;
                let chunk = &stream[fed..stream.len().min(fed + piece)];
                let head = reader.next(chunk, &mut consumed).unwrap().map(<[u8]>::to_vec);
                fed += consumed;
                if let Some(head) = head {
                    break head;
                }
            };
            assert_eq!((head.as_slice(), fed), (&stream[..24], 24), "{piece}");
        }
    }

    #[test]
    fn heads_are_limited_to_the_octet() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        assert!(HeadReader::new(head.len()).next(head, &mut 0).unwrap().is_some());
        let mut reader = HeadReader::new(head.len() - 1);
        assert_eq!(reader.next(head, &mut 0), Err(TransportErrorKind::HttpHeadTooLong));
        assert!(reader.partial.capacity() < head.len());
    }
}
