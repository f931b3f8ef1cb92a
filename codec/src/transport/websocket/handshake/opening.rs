//! What a connection begins with, where one port serves several protocols.

use super::server::path_of;
use super::{FIELDS_MAX, Fields, end_of_head};
use crate::transport::error::TransportErrorKind;

/// The protocol that a peer has chosen by its first octets.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Opening<'a> {
    /// WAMP over RawSocket: magic octet 0x7F.
    RawSocket,
    /// An MQTT CONNECT packet.
    Mqtt,
    /// HTTP/1 asking for a WebSocket: the path, without query.
    WebSocket(&'a str),
    /// HTTP/1 asking for something else, or HTTP/2 with prior knowledge.
    Http,
}

impl<'a> Opening<'a> {
    /// Reads `octets`, everything that has come so far; none until they say enough. Nothing is consumed.
    ///
    /// # Errors
    /// `HttpMalformed` for none of these protocols; `HttpHeadTooLong` for a head longer than `head_size_max` octets.
    pub fn read(octets: &'a [u8], head_size_max: usize) -> Result<Option<Opening<'a>>, TransportErrorKind> {
        match octets.first() {
            None => return Ok(None),
            Some(0x7F) => return Ok(Some(Opening::RawSocket)),
            Some(0x10) => return Ok(Some(Opening::Mqtt)),
            Some(first) if !first.is_ascii_uppercase() => return Err(TransportErrorKind::HttpMalformed),
            Some(_) => {}
        }
        let Some(size) = end_of_head(&octets[..octets.len().min(head_size_max)]) else {
            let is_too_long = octets.len() >= head_size_max;
            return if is_too_long { Err(TransportErrorKind::HttpHeadTooLong) } else { Ok(None) };
        };
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        // Whatever is wrong with a request, the HTTP server can tell the peer best.
        if request.parse(&octets[..size]).is_err() {
            return Ok(Some(Opening::Http));
        }
        let fields = Fields(request.headers);
        let wants_websocket = request.method == Some("GET") && fields.has_token("upgrade", "websocket");
        Ok(Some(match request.path {
            Some(target) if wants_websocket => Opening::WebSocket(path_of(target)),
            _ => Opening::Http,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: Result<Option<Opening<'_>>, TransportErrorKind>) {
        assert_eq!(Opening::read(octets, 100), expected);
    }

    #[test]
    fn the_first_octet_tells_what_is_no_http() {
        check(b"", Ok(None));
        check(b"\x7F", Ok(Some(Opening::RawSocket)));
        check(b"\x10\x20", Ok(Some(Opening::Mqtt)));
        check(b"\x16\x03\x01", Err(TransportErrorKind::HttpMalformed));
        check(b"get /", Err(TransportErrorKind::HttpMalformed));
    }

    #[test]
    fn the_head_tells_who_wants_a_websocket() {
        let upgrade = b"GET /a/ws?x=1 HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, WebSocket\r\n\r\n\x81";
        for size in 1..upgrade.len() - 1 {
            check(&upgrade[..size], Ok(None));
        }
        check(upgrade, Ok(Some(Opening::WebSocket("/a/ws"))));
        check(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", Ok(Some(Opening::Http)));
        check(b"POST / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", Ok(Some(Opening::Http)));
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Ok(Some(Opening::Http)));
        check(b"G\x01 / HTTP/1.1\r\n\r\n", Ok(Some(Opening::Http)));
    }

    #[test]
    fn a_head_has_a_longest_size() {
        let mut head = b"GET /".to_vec();
        head.resize(99, b'a');
        check(&head, Ok(None));
        head.push(b'a');
        check(&head, Err(TransportErrorKind::HttpHeadTooLong));
    }
}
