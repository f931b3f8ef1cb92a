//! Handshakes: what opens a transport, and how every refusal looks on the wire.

use std::sync::Arc;

use crossring_codec::serializer::{Serializer, SerializerId, SerializerSet};
use crossring_codec::transport::fuzzing::{Event, feed};
use crossring_codec::transport::{
    RawSocketClientOptions, RawSocketServerOptions, TrackingCookie, Transport, TransportErrorKind,
    WebSocketClientOptions, WebSocketLimits, WebSocketServerOptions, WebSocketUrl,
};

/// What a listener answers to `request`: its reply, or the failure and what the peer is told.
fn answer(
    mut server: Transport,
    request: &[u8],
) -> Result<(Vec<u8>, Serializer), (TransportErrorKind, Vec<u8>)> {
    let events = feed(&mut server, [request]);
    match events.as_slice() {
        [Event::Reply(reply), Event::Opened(serializer)] => Ok((reply.clone(), *serializer)),
        [Event::Failed(kind)] => {
            let mut told = Vec::new();
            server.fail(*kind, &mut told);
            Err((*kind, told))
        }
        _ => panic!("{events:?}"),
    }
}

fn rawsocket(
    options: RawSocketServerOptions,
    request: &[u8],
) -> Result<Vec<u8>, (TransportErrorKind, Vec<u8>)> {
    answer(Transport::accept_rawsocket(&options), request).map(|(reply, _)| reply)
}

#[test]
fn rawsocket_servers_echo_the_serializer_and_say_their_own_limit() {
    let options = RawSocketServerOptions { message_size_max: 4096, ..Default::default() };
    assert_eq!(rawsocket(options, &[0x7F, 0xF1, 0, 0]), Ok(vec![0x7F, 0x31, 0, 0]));
    assert_eq!(rawsocket(options, &[0x7F, 0x03, 0, 0]), Ok(vec![0x7F, 0x33, 0, 0]));
}

#[test]
fn rawsocket_servers_refuse_with_the_error_of_the_specification() {
    use TransportErrorKind::*;
    let json_only = SerializerSet::NONE.with(Serializer::JSON);
    let options =
        RawSocketServerOptions { serializers: json_only, peer_message_size_min: 1024, ..Default::default() };
    for (request, kind, told) in [
        ([0x47, 0x45, 0x54, 0x20], MagicMissing, &[][..]),
        ([0x7F, 0xF1, 0, 1], ReservedOctets, &[0x7F, 0x30, 0, 0]),
        ([0x7F, 0xF1, 1, 0], ReservedOctets, &[0x7F, 0x30, 0, 0]),
        ([0x7F, 0xF0, 0, 0], SerializerUnsupported, &[0x7F, 0x10, 0, 0]),
        ([0x7F, 0xF2, 0, 0], SerializerUnsupported, &[0x7F, 0x10, 0, 0]),
        ([0x7F, 0xFF, 0, 0], SerializerUnsupported, &[0x7F, 0x10, 0, 0]),
        ([0x7F, 0x01, 0, 0], LengthUnacceptable, &[0x7F, 0x20, 0, 0]),
    ] {
        assert_eq!(rawsocket(options, &request), Err((kind, told.to_vec())), "{request:x?}");
    }
}

#[test]
fn a_full_listener_says_so() {
    let mut told = Vec::new();
    let mut server = Transport::accept_rawsocket(&RawSocketServerOptions::default());
    server.fail(TransportErrorKind::TooManyConnections, &mut told);
    assert_eq!(told, [0x7F, 0x40, 0, 0]);
    told.clear();
    let mut server = Transport::accept_websocket(&Arc::new(WebSocketServerOptions::default()));
    server.fail(TransportErrorKind::TooManyConnections, &mut told);
    assert!(told.starts_with(b"HTTP/1.1 503 "));
}

#[test]
fn rawsocket_clients_check_the_reply() {
    let options = RawSocketClientOptions { message_size_max: 512 };
    for (reply, found) in [
        ([0x7F, 0xF3, 0, 0], Event::Opened(Serializer::CBOR)),
        ([0x7F, 0xF1, 0, 0], Event::Failed(TransportErrorKind::SerializerMismatch)),
        ([0x7F, 0x40, 0, 0], Event::Failed(TransportErrorKind::Refused(4))),
        ([0x7F, 0xF3, 0, 9], Event::Failed(TransportErrorKind::ReservedOctets)),
        ([0x48, 0x54, 0x54, 0x50], Event::Failed(TransportErrorKind::MagicMissing)),
    ] {
        let mut request = Vec::new();
        let mut client = Transport::dial_rawsocket(SerializerId::Cbor, &options, &mut request);
        assert_eq!(request, [0x7F, 0x03, 0, 0]);
        assert_eq!(feed(&mut client, [reply.as_slice()]), [found], "{reply:x?}");
    }
}

#[test]
fn rawsocket_limits_are_independent_of_each_other() {
    let mut client =
        Transport::dial_rawsocket(SerializerId::Json, &RawSocketClientOptions::default(), &mut Vec::new());
    assert_eq!(feed(&mut client, [&[0x7F, 0x01, 0, 0][..]]), [Event::Opened(Serializer::JSON)]);
    assert_eq!(client.peer_limit(), 512);
    let sent_to_us = [&[0, 0, 4, 0][..], &[b' '; 1024]].concat();
    assert_eq!(feed(&mut client, [sent_to_us.as_slice()]), [Event::Message(vec![b' '; 1024])]);
}

/// The request of RFC 6455 §1.3, with a WAMP subprotocol, some lines replaced or left out.
fn request(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut lines = vec![
        ("GET", "GET /ws?x=1 HTTP/1.1"),
        ("Host", "Host: server.example.com"),
        ("Upgrade", "upgrade: h2c, WebSocket"),
        ("Connection", "connection: keep-alive, UPGRADE"),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        ("Version", "Sec-WebSocket-Version: 13"),
        ("Protocol", "Sec-WebSocket-Protocol: chat, wamp.2.msgpack,wamp.2.json"),
        ("Extensions", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        ("Origin", "Origin: http://example.com"),
    ];
    for (name, line) in changes {
        lines.iter_mut().filter(|(known, _)| known == name).for_each(|known| known.1 = line);
    }
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).filter(|line| !line.is_empty()).collect();
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn websocket(
    options: WebSocketServerOptions,
    request: &[u8],
) -> Result<(String, Serializer), (TransportErrorKind, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    answer(Transport::accept_websocket(&Arc::new(options)), request)
        .map(|(reply, serializer)| (text(reply), serializer))
        .map_err(|(kind, told)| (kind, text(told)))
}

fn served() -> WebSocketServerOptions {
    WebSocketServerOptions { path: Some("/ws".to_owned()), ..Default::default() }
}

#[test]
fn websocket_servers_answer_as_in_rfc_6455_section_1_3() {
    let (reply, serializer) = websocket(served(), &request(&[])).unwrap();
    assert_eq!(serializer, Serializer::MESSAGE_PACK);
    assert_eq!(
        reply,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: wamp.2.msgpack\r\n\r\n"
    );
}

#[test]
fn a_browser_is_shown_a_page() {
    let options = WebSocketServerOptions {
        status_page: true,
        server_name: Some("crossring/1.2".into()),
        serializers: SerializerSet::NONE.with(Serializer::CBOR),
        ..served()
    };
    let (kind, told) = websocket(options, &request(&[("Upgrade", "")])).unwrap_err();
    assert_eq!(kind, TransportErrorKind::UpgradeMissing);
    assert!(told.starts_with("HTTP/1.1 200 OK\r\nServer: crossring/1.2\r\n"), "{told}");
    assert!(told.contains("Content-Type: text/html") && told.contains("wamp.2.cbor"), "{told}");
    let (_, told) = websocket(served(), &request(&[("Upgrade", "")])).unwrap_err();
    assert!(told.starts_with("HTTP/1.1 426 ") && told.contains("Sec-WebSocket-Version: 13, 8\r\n"), "{told}");
}

#[test]
fn versions_and_ports_are_as_configured() {
    let hybi10 = [("Version", "Sec-WebSocket-Version: 8"), ("Origin", "Sec-WebSocket-Origin: http://a.b")];
    let origins = vec!["http://a.b".to_owned()];
    let only_hybi10 =
        WebSocketServerOptions { rfc6455_accepted: false, origins: origins.clone(), ..served() };
    let only_rfc6455 = WebSocketServerOptions { hybi10_accepted: false, ..served() };
    assert!(websocket(only_hybi10.clone(), &request(&hybi10)).is_ok());
    for (options, changes) in [(only_hybi10, &[][..]), (only_rfc6455, &hybi10)] {
        let (kind, _) = websocket(options, &request(changes)).unwrap_err();
        assert_eq!(kind, TransportErrorKind::VersionUnsupported);
    }
    let other = [hybi10[0], ("Origin", "Sec-WebSocket-Origin: http://c.d")];
    let (kind, _) = websocket(WebSocketServerOptions { origins, ..served() }, &request(&other)).unwrap_err();
    assert_eq!(kind, TransportErrorKind::OriginRefused);
    for (port, host, is_accepted) in [
        (8080, "Host: a:8080", true),
        (8080, "Host: a:8081", false),
        (8080, "Host: a", false),
        (443, "Host: a", true),
        (8080, "Host: [::1]:8080", true),
    ] {
        let options = WebSocketServerOptions { host_port: Some(port), ..served() };
        assert_eq!(websocket(options, &request(&[("Host", host)])).is_ok(), is_accepted, "{port} {host}");
    }
}

#[test]
fn the_first_of_the_clients_subprotocols_that_is_spoken_is_taken() {
    let two_fields =
        ("Protocol", "Sec-WebSocket-Protocol: wamp.2.cbor\r\nSec-WebSocket-Protocol: wamp.2.json");
    let options = |serializer| WebSocketServerOptions {
        serializers: SerializerSet::NONE.with(serializer).with(Serializer::JSON),
        ..served()
    };
    for (changes, spoken, chosen) in [
        (&[][..], Serializer::CBOR, Serializer::JSON),
        (&[], Serializer::MESSAGE_PACK, Serializer::MESSAGE_PACK),
        (&[two_fields], Serializer::CBOR, Serializer::CBOR),
        (&[two_fields], Serializer::CBOR_BATCHED, Serializer::JSON),
    ] {
        assert_eq!(websocket(options(spoken), &request(changes)).unwrap().1, chosen);
    }
}

#[test]
fn without_subprotocol_json_is_assumed_only_if_allowed() {
    let silent = request(&[("Protocol", "")]);
    let (kind, told) = websocket(served(), &silent).unwrap_err();
    assert_eq!(kind, TransportErrorKind::SubprotocolUnsupported);
    assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
    assert!(told.contains("This server only speaks WebSocket subprotocols wamp.2.cbor.batched, "), "{told}");
    let lenient = WebSocketServerOptions { subprotocol_required: false, ..served() };
    let (reply, serializer) = websocket(lenient, &silent).unwrap();
    assert_eq!(serializer, Serializer::JSON);
    assert!(!reply.contains("Sec-WebSocket-Protocol"));
}

#[test]
fn websocket_servers_refuse_with_a_status_that_says_why() {
    use TransportErrorKind::*;
    let options = || WebSocketServerOptions {
        origins: vec!["http://example.com:80".to_owned()],
        null_origin_allowed: false,
        ..served()
    };
    assert!(websocket(options(), &request(&[])).is_ok());
    for (name, line, kind, status) in [
        ("GET", "POST /ws HTTP/1.1", HttpMethod, 405),
        ("GET", "GET /other HTTP/1.1", PathUnknown, 404),
        ("GET", "GET /ws HTTP/1.0", HttpVersion, 505),
        ("GET", "GET /ws HTTP/2.0", HttpVersion, 505),
        ("GET", "GET /ws", HttpMalformed, 400),
        ("GET", "\u{16}\u{3}\u{1}", HttpMalformed, 400),
        ("Host", "", HttpMalformed, 400),
        ("Host", "Host: a\r\nHost: b", HttpMalformed, 400),
        ("Host", "Host : a", HttpMalformed, 400),
        ("Upgrade", "", UpgradeMissing, 426),
        ("Upgrade", "Upgrade: websockets", UpgradeMissing, 426),
        ("Connection", "Connection: close", UpgradeMissing, 426),
        ("Version", "Sec-WebSocket-Version: 7", VersionUnsupported, 426),
        ("Version", "", VersionUnsupported, 426),
        ("Key", "", KeyInvalid, 400),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", KeyInvalid, 400),
        ("Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy", KeyInvalid, 400),
        ("Origin", "Origin: https://example.com", OriginRefused, 403),
        ("Origin", "Origin: null", OriginRefused, 403),
        ("Protocol", "Sec-WebSocket-Protocol: wamp.2.JSON", SubprotocolUnsupported, 400),
    ] {
        let (found, told) = websocket(options(), &request(&[(name, line)])).unwrap_err();
        assert_eq!(found, kind, "{line}");
        let start = format!("HTTP/1.1 {status} ");
        assert!(told.starts_with(&start), "{line}: {told}");
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{told}");
        assert_eq!(head.contains("Sec-WebSocket-Version: 13"), status == 426, "{told}");
    }
}

#[test]
fn a_head_may_not_exceed_its_limit() {
    let limits = WebSocketLimits { head_size_max: 1000, ..Default::default() };
    let options = WebSocketServerOptions { limits, ..served() };
    let long = request(&[("Origin", &format!("Cookie: {}", "x".repeat(1000)))]);
    let (kind, told) = websocket(options, &long).unwrap_err();
    assert_eq!(kind, TransportErrorKind::HttpHeadTooLong);
    assert!(told.starts_with("HTTP/1.1 431 "));
    let many = request(&[("Origin", "A: b\r\n".repeat(65).trim_end())]);
    assert_eq!(websocket(served(), &many).unwrap_err().0, TransportErrorKind::HttpHeadTooLong);
}

fn dial(serializers: &[Serializer]) -> (Transport, String) {
    let url = WebSocketUrl::parse("ws://[::1]:8080/ws?x").unwrap();
    let mut request = Vec::new();
    let client =
        Transport::dial_websocket(&url, serializers, &WebSocketClientOptions::default(), 42, &mut request);
    (client, String::from_utf8(request).unwrap())
}

#[test]
fn websocket_clients_ask_as_rfc_6455_section_4_1_says() {
    let (_, request) = dial(&[Serializer::CBOR_BATCHED, Serializer::JSON]);
    assert!(request.starts_with("GET /ws?x HTTP/1.1\r\nHost: [::1]:8080\r\n"), "{request}");
    for line in ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
    assert!(request.ends_with("\r\nSec-WebSocket-Protocol: wamp.2.cbor.batched, wamp.2.json\r\n\r\n"));
}

#[test]
fn websocket_clients_check_the_response() {
    use TransportErrorKind::*;
    let good = {
        let (_, request) = dial(&[Serializer::JSON]);
        websocket(served(), request.as_bytes()).unwrap().0
    };
    for (from, to, found) in [
        ("", "", Event::Opened(Serializer::JSON)),
        ("101 Switching Protocols", "503 Service Unavailable", Event::Failed(StatusUnexpected(503))),
        ("HTTP/1.1", "HTTP/1.0", Event::Failed(HttpVersion)),
        ("Upgrade: websocket", "Upgrade: h2c", Event::Failed(UpgradeMissing)),
        ("Connection: Upgrade", "Connection: close", Event::Failed(UpgradeMissing)),
        ("Accept: ", "Accept: x", Event::Failed(AcceptMismatch)),
        ("Accept: ", "Other: ", Event::Failed(AcceptMismatch)),
        ("wamp.2.json", "wamp.2.cbor", Event::Failed(SubprotocolUnsupported)),
        ("Sec-WebSocket-Protocol", "X-Protocol", Event::Failed(SubprotocolUnsupported)),
        ("Upgrade: w", "Sec-WebSocket-Extensions: x\r\nUpgrade: w", Event::Failed(ExtensionUnexpected)),
    ] {
        let (mut client, _) = dial(&[Serializer::JSON]);
        assert_eq!(feed(&mut client, [good.replacen(from, to, 1).as_bytes()]), [found], "{from} → {to}");
        let mut told = Vec::new();
        if client.framing().is_none() {
            client.fail(AcceptMismatch, &mut told);
        }
        assert!(told.is_empty(), "a client that was not let in has nothing to say");
    }
}

#[test]
fn frames_may_follow_the_handshake_at_once() {
    let mut server = Transport::accept_rawsocket(&RawSocketServerOptions::default());
    let events = feed(&mut server, [&b"\x7f\xf1\0\0\0\0\0\x02[]"[..]]);
    assert_eq!(events[1..], [Event::Opened(Serializer::JSON), Event::Message(b"[]".to_vec())]);
    let mut server = Transport::accept_websocket(&Arc::new(served()));
    let early = [request(&[]).as_slice(), b"\x82\x81\0\0\0\0\x90"].concat();
    let events = feed(&mut server, [early.as_slice()]);
    assert_eq!(events[1..], [Event::Opened(Serializer::MESSAGE_PACK), Event::Message(vec![0x90])]);
}

#[test]
fn the_header_fields_of_the_request_are_handed_out_once() {
    let request = b"GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Two: a\r\n\
        Sec-WebSocket-Protocol: wamp.2.json\r\nx-two: b\r\n\r\n";
    let mut server = Transport::accept_websocket(&Arc::default());
    assert_eq!(server.take_request_headers(), []);
    feed(&mut server, [&request[..]]);
    let headers = server.take_request_headers();
    let names: Vec<&str> = headers.iter().map(|(name, _)| &**name).collect();
    let expected =
        "host upgrade connection sec-websocket-version sec-websocket-key x-two sec-websocket-protocol";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(&*headers[5].1, "a, b");
    assert_eq!(server.take_request_headers(), []);
}

/// A server that tracks its clients, after a request with this Cookie field.
fn requested(field: &str, attributes: &str) -> Transport {
    let cookie = TrackingCookie { name: "cbtid".to_owned(), attributes: attributes.to_owned() };
    let options = WebSocketServerOptions { cookie: Some(cookie), ..served() };
    let mut server = Transport::accept_websocket(&Arc::new(options));
    let head = request(&[("Origin", field)]);
    assert_eq!(feed(&mut server, [head.as_slice()]), [Event::Requested]);
    server
}

#[test]
fn a_tracked_request_waits_to_be_accepted() {
    let mut server = requested("Cookie: a=b; cbtid=abc+/123", ";max-age=604800;Secure");
    assert_eq!(server.requested_cookie(), Some("abc+/123"));
    let (mut consumed, mut scratch) = (0, Vec::new());
    let frame = b"\x82\x81\0\0\0\0\x90";
    assert_eq!(server.next(frame, &mut consumed, &mut scratch), Ok(None));
    assert_eq!((consumed, server.framing()), (0, None), "nothing is read before");
    let mut reply = Vec::new();
    server.accept_request(None, &mut reply);
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 101 ") && !reply.contains("Set-Cookie"), "{reply}");
    let events = feed(&mut server, [frame.as_slice()]);
    assert_eq!(events, [Event::Opened(Serializer::MESSAGE_PACK), Event::Message(vec![0x90])]);
    server.accept_request(Some("again"), &mut Vec::new());
    assert_eq!(server.requested_cookie(), None);
    assert!(!server.take_request_headers().is_empty());
}

#[test]
fn a_new_cookie_is_set_with_its_attributes() {
    let mut server = requested("Cookie: other=1", ";max-age=10;Secure;HttpOnly;SameSite=Lax");
    assert_eq!(server.requested_cookie(), None);
    let mut reply = Vec::new();
    server.accept_request(Some("xyz"), &mut reply);
    let reply = String::from_utf8(reply).unwrap();
    let line = "\r\nSet-Cookie: cbtid=xyz;max-age=10;Secure;HttpOnly;SameSite=Lax\r\n";
    assert!(reply.contains(line) && reply.ends_with("\r\n\r\n"), "{reply}");
}

#[test]
fn a_request_that_waits_can_be_refused() {
    let mut server = requested("", "");
    let mut told = Vec::new();
    server.fail(TransportErrorKind::TooManyConnections, &mut told);
    assert!(told.starts_with(b"HTTP/1.1 503 "));
    server.accept_request(None, &mut told);
    assert_eq!(server.framing(), None);
}
