//! The client's side of the WebSocket handshake (RFC 6455 §4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FIELDS_MAX, Fields, HeadReader, accept_of, refused_head};
use crate::serializer::{Serializer, SerializerSet};
use crate::transport::error::TransportErrorKind;
use crate::transport::framing::Framing;
use crate::transport::mask::MaskKeys;
use crate::transport::websocket::deflate::{self, Agreement};
use crate::transport::websocket::{DeflateOptions, WebSocket, WebSocketLimits, WebSocketUrl};

/// What a WebSocket client offers and accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSocketClientOptions {
    /// What is taken at most.
    pub limits: WebSocketLimits,
    /// Offers compression.
    pub deflate: Option<DeflateOptions>,
    /// Longer messages are sent in fragments of this many octets; 0 for never.
    pub fragment_size_max: usize,
}

#[derive(Debug)]
pub(crate) struct ClientHandshake {
    reader: HeadReader,
    accept: String,
    offered: SerializerSet,
    options: WebSocketClientOptions,
    mask_keys: MaskKeys,
}

impl ClientHandshake {
    /// Appends the request to `out`. `serializers` are offered in this order.
    pub(crate) fn new(
        url: &WebSocketUrl,
        serializers: &[Serializer],
        options: &WebSocketClientOptions,
        seed: u64,
        out: &mut Vec<u8>,
    ) -> ClientHandshake {
        let mut mask_keys = MaskKeys::new(seed);
        let nonce = [mask_keys.next_u64().to_be_bytes(), mask_keys.next_u64().to_be_bytes()].concat();
        let key = STANDARD.encode(nonce);
        let subprotocols: Vec<_> = serializers.iter().map(|serializer| serializer.subprotocol()).collect();
        let extensions = options.deflate.as_ref().map_or_else(String::new, |options| {
            format!("Sec-WebSocket-Extensions: {}\r\n", deflate::offer(options))
        });
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {}\r\n\
             {extensions}\r\n",
            url.resource(),
            url.authority(),
            subprotocols.join(", ")
        );
        out.extend_from_slice(request.as_bytes());
        ClientHandshake {
            reader: HeadReader::new(options.limits.head_size_max),
            accept: accept_of(&key),
            offered: serializers.iter().copied().collect(),
            options: *options,
            mask_keys,
        }
    }

    /// Reads the response; none until it is whole.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        consumed: &mut usize,
    ) -> Result<Option<WebSocket>, TransportErrorKind> {
        let Some(head) = self.reader.next(input, consumed)? else { return Ok(None) };
        let offered = self.options.deflate.as_ref();
        let (serializer, agreement) = read_response(head, &self.accept, self.offered, offered)?;
        let framing = Framing::websocket_client(serializer);
        let socket = WebSocket::new(framing, &self.options.limits, self.mask_keys);
        Ok(Some(socket.with_extensions(agreement.zip(offered), self.options.fragment_size_max)))
    }
}

fn read_response(
    head: &[u8],
    accept: &str,
    offered: SerializerSet,
    deflate: Option<&DeflateOptions>,
) -> Result<(Serializer, Option<Agreement>), TransportErrorKind> {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(refused_head)?;
    if response.version != Some(1) {
        return Err(TransportErrorKind::HttpVersion);
    }
    match response.code.unwrap_or_default() {
        101 => {}
        status => return Err(TransportErrorKind::StatusUnexpected(status)),
    }
    let fields = Fields(response.headers);
    if !fields.has_token("upgrade", "websocket") || !fields.has_token("connection", "upgrade") {
        return Err(TransportErrorKind::UpgradeMissing);
    }
    if fields.one("sec-websocket-accept")? != Some(accept) {
        return Err(TransportErrorKind::AcceptMismatch);
    }
    let agreement = deflate::confirm(fields.list("sec-websocket-extensions"), deflate)?;
    let serializer = fields
        .one("sec-websocket-protocol")?
        .and_then(|subprotocol| offered.by_subprotocol(subprotocol))
        .ok_or(TransportErrorKind::SubprotocolUnsupported)?;
    Ok((serializer, agreement))
}
