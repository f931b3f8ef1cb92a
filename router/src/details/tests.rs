use super::*;

fn example() -> TransportDetails {
    let extra = TransportExtra {
        own: Some("tcp4:127.0.0.1:8080".into()),
        channel_id: vec![("tls-unique".into(), [0x5A; 32].into())],
        websocket_extensions_in_use: vec![Value::Dict(vec![(
            "extension".into(),
            "permessage-deflate".into(),
        )])],
        http_headers_received: vec![("user-agent".into(), "test".into())],
        ..TransportExtra::default()
    };
    TransportDetails {
        channel_type: Some(ChannelType::Tls),
        channel_framing: Some(ChannelFraming::WebSocket),
        serializer: Some(Serializer::CBOR_BATCHED),
        is_server: true,
        peer: Peer::tcp("[::1]:37894".parse().unwrap()),
        own_pid: 17,
        own_tid: 18,
        own_fd: 19,
        extra: Some(Box::new(extra)),
    }
}

#[test]
fn details_survive_the_way_to_a_dict_and_back() {
    for details in [example(), TransportDetails::in_process(), TransportDetails::default()] {
        assert_eq!(TransportDetails::from_value(&Value::Dict(details.to_dict())), details);
    }
}

#[test]
fn the_dict_has_autobahns_names_and_words() {
    let dict = Value::Dict(example().to_dict());
    let names = "channel_type channel_framing channel_serializer own peer is_server own_pid own_tid own_fd is_secure \
                 channel_id peer_cert websocket_protocol websocket_extensions_in_use http_headers_received \
                 http_headers_sent http_cbtid";
    let Value::Dict(entries) = &dict else { unreachable!() };
    let found: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, names.split_whitespace().collect::<Vec<_>>());
    for (name, expected) in [
        ("channel_type", "tls"),
        ("channel_framing", "websocket"),
        ("channel_serializer", "cbor"),
        ("peer", "tcp6:::1:37894"),
        ("websocket_protocol", "wamp.2.cbor.batched"),
    ] {
        assert_eq!(dict.get(name).and_then(Value::as_str), Some(expected), "{name}");
    }
    let binding = dict.get("channel_id").and_then(|ids| ids.get("tls-unique")).and_then(Value::as_str);
    assert_eq!(binding, Some("5a".repeat(32).as_str()));
}

#[test]
fn the_tracking_cookie_is_kept_but_never_shown() {
    let read = TransportDetails::from_value(&Value::Dict(vec![("http_cbtid".into(), "secret".into())]));
    assert_eq!(read.extra.as_ref().unwrap().http_cbtid, Some(Secret::new("secret")));
    assert!(!format!("{:?}", read.to_dict()).contains("secret"));
}

#[test]
fn peers_are_read_as_they_are_written() {
    for (address, peer) in [
        ("127.0.0.1:1", "tcp4:127.0.0.1:1"),
        ("[::ffff:10.0.0.1]:65535", "tcp4:10.0.0.1:65535"),
        ("[2001:db8::1]:2", "tcp6:2001:db8::1:2"),
    ] {
        let written = Peer::tcp(address.parse().unwrap());
        assert_eq!(written.to_text().as_deref(), Some(peer));
        assert_eq!(Peer::from_text(peer), written);
    }
    for other in ["unix", "process:17", "tcp4:nonsense", "tcp6:::1:70000"] {
        assert_eq!(Peer::from_text(other).to_text().as_deref(), Some(other));
    }
}

#[test]
fn values_of_other_types_count_as_unknown() {
    let names = ["channel_type", "peer", "own_pid", "own_fd", "channel_id", "http_headers_received"];
    for value in [Value::Null, Value::Float(1.0), Value::List(vec![Value::Null]), Value::Integer(-5)] {
        let dict = names.map(|name| (name.to_owned(), value.clone())).to_vec();
        let mut read = TransportDetails::from_value(&Value::Dict(dict));
        read.own_fd = -1;
        assert_eq!(read, TransportDetails::default());
    }
}
