//! Why a transport failed, and what the peer is told about it.

use std::fmt;

/// A transport that cannot go on: the peer broke the framing, or no common ground was found.
///
/// Blast radius: the connection. Tell the peer with [`Transport::fail`](super::Transport::fail), then close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// What is wrong.
    pub kind: TransportErrorKind,
    /// Octets of the input consumed when it was noticed.
    pub offset: usize,
}

/// What is wrong with the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// RawSocket: the first octet is not 0x7F.
    MagicMissing,
    /// RawSocket handshake: octets 3 and 4 are not zero (server replies error 3).
    ReservedOctets,
    /// RawSocket handshake: no such serializer, or not offered here (server replies error 1).
    SerializerUnsupported,
    /// RawSocket handshake: the peer takes too short messages (server replies error 2).
    LengthUnacceptable,
    /// The listener is full (RawSocket error 4, HTTP 503). Given by the caller, never found here.
    TooManyConnections,
    /// RawSocket client: the server refused with this error number.
    Refused(u8),
    /// RawSocket client: the reply names another serializer than the request.
    SerializerMismatch,
    /// RawSocket frame: a reserved bit or a reserved frame type.
    FrameReserved,
    /// RawSocket frame: the extension bit together with a length other than zero.
    FrameLengthInvalid,
    /// A message beyond this side's limit (WebSocket close 1009).
    MessageTooLong,

    /// The HTTP head cannot be parsed, or a mandatory header is missing or doubled (400).
    HttpMalformed,
    /// The HTTP head is larger than allowed (431).
    HttpHeadTooLong,
    /// Not a GET (405).
    HttpMethod,
    /// Not HTTP/1.1 (505).
    HttpVersion,
    /// Nothing is served at this path (404).
    PathUnknown,
    /// A plain HTTP request (426).
    UpgradeMissing,
    /// A WebSocket version that is not spoken (426 with those that are).
    VersionUnsupported,
    /// `Sec-WebSocket-Key` is not the Base64 of 16 octets (400).
    KeyInvalid,
    /// The web page's origin is not allowed (403).
    OriginRefused,
    /// `Host` names another port than the public one (400).
    HostRefused,
    /// No WAMP subprotocol in common (400).
    SubprotocolUnsupported,
    /// WebSocket client: the server answered with this HTTP status instead of 101.
    StatusUnexpected(u16),
    /// WebSocket client: `Sec-WebSocket-Accept` does not prove that our key was read.
    AcceptMismatch,
    /// WebSocket client: the server turned on an extension that was not offered.
    ExtensionUnexpected,

    /// A reserved bit of a frame is set (1002).
    ReservedBits,
    /// A reserved opcode (1002).
    OpcodeReserved,
    /// A text message for a binary serializer, or the reverse (1003).
    OpcodeUnexpected,
    /// A frame of a client without mask (1002).
    MaskMissing,
    /// A frame of a server with mask (1002).
    MaskUnexpected,
    /// A control frame that is fragmented or longer than 125 octets (1002).
    ControlInvalid,
    /// A continuation with nothing to continue (1002).
    ContinuationUnexpected,
    /// A new message inside a fragmented one (1002).
    ContinuationExpected,
    /// A frame length not in its shortest form, or beyond 2^63 (1002).
    LengthInvalid,
    /// A frame beyond this side's limit (1009).
    FrameTooLong,
    /// Text that is not UTF-8 (1007).
    TextInvalid,
    /// A close frame with one octet, or with a code that must not be sent (1002).
    CloseInvalid,
    /// A compressed message that does not inflate (1007).
    DeflateInvalid,
    /// A compressed message that inflates to more than its octets may stand for (1009).
    InflateRatio,
    /// A batch without any message (1002).
    BatchEmpty,
    /// A batch that ends within a message (1002).
    BatchTruncated,
}

impl TransportErrorKind {
    /// The WebSocket close code the peer is told (RFC 6455 §7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            TransportErrorKind::OpcodeUnexpected => close_code::UNSUPPORTED_DATA,
            TransportErrorKind::TextInvalid | TransportErrorKind::DeflateInvalid => close_code::INVALID_DATA,
            TransportErrorKind::FrameTooLong
            | TransportErrorKind::MessageTooLong
            | TransportErrorKind::InflateRatio => close_code::MESSAGE_TOO_BIG,
            TransportErrorKind::TooManyConnections => close_code::TRY_AGAIN_LATER,
            _ => close_code::PROTOCOL_ERROR,
        }
    }

    /// The RawSocket error number of a refused handshake; none if the connection is just closed.
    pub(crate) const fn rawsocket_error(self) -> Option<u8> {
        match self {
            TransportErrorKind::SerializerUnsupported => Some(1),
            TransportErrorKind::LengthUnacceptable => Some(2),
            TransportErrorKind::ReservedOctets => Some(3),
            TransportErrorKind::TooManyConnections => Some(4),
            _ => None,
        }
    }

    /// One line that tells a person what is wrong.
    pub const fn description(self) -> &'static str {
        match self {
            TransportErrorKind::MagicMissing => "not a RawSocket handshake",
            TransportErrorKind::ReservedOctets => "reserved octets used in the RawSocket handshake",
            TransportErrorKind::SerializerUnsupported => "serializer not supported",
            TransportErrorKind::LengthUnacceptable => "maximum message length not acceptable",
            TransportErrorKind::TooManyConnections => "too many connections",
            TransportErrorKind::Refused(_) => "RawSocket handshake refused",
            TransportErrorKind::SerializerMismatch => "the reply names another serializer",
            TransportErrorKind::FrameReserved => "reserved RawSocket frame type or bit",
            TransportErrorKind::FrameLengthInvalid => "invalid RawSocket frame length",
            TransportErrorKind::MessageTooLong => "message too long",
            TransportErrorKind::HttpMalformed => "malformed HTTP head",
            TransportErrorKind::HttpHeadTooLong => "HTTP head too long",
            TransportErrorKind::HttpMethod => "HTTP method not allowed",
            TransportErrorKind::HttpVersion => "HTTP version not supported",
            TransportErrorKind::PathUnknown => "nothing is served at this path",
            TransportErrorKind::UpgradeMissing => "this is a WebSocket endpoint: HTTP Upgrade header missing",
            TransportErrorKind::VersionUnsupported => "WebSocket version not supported",
            TransportErrorKind::KeyInvalid => "invalid Sec-WebSocket-Key",
            TransportErrorKind::OriginRefused => "origin not allowed",
            TransportErrorKind::HostRefused => "Host names another port",
            TransportErrorKind::SubprotocolUnsupported => "no WAMP subprotocol in common",
            TransportErrorKind::StatusUnexpected(_) => "WebSocket handshake refused",
            TransportErrorKind::AcceptMismatch => "invalid Sec-WebSocket-Accept",
            TransportErrorKind::ExtensionUnexpected => "WebSocket extension that was not offered",
            TransportErrorKind::ReservedBits => "reserved frame bit set",
            TransportErrorKind::OpcodeReserved => "reserved opcode",
            TransportErrorKind::OpcodeUnexpected => "message type does not fit the serializer",
            TransportErrorKind::MaskMissing => "client frame without mask",
            TransportErrorKind::MaskUnexpected => "server frame with mask",
            TransportErrorKind::ControlInvalid => "control frame fragmented or too long",
            TransportErrorKind::ContinuationUnexpected => "nothing to continue",
            TransportErrorKind::ContinuationExpected => "new message inside a fragmented one",
            TransportErrorKind::LengthInvalid => "invalid frame length",
            TransportErrorKind::FrameTooLong => "frame too long",
            TransportErrorKind::TextInvalid => "text is not UTF-8",
            TransportErrorKind::CloseInvalid => "invalid close frame",
            TransportErrorKind::DeflateInvalid => "message does not inflate",
            TransportErrorKind::InflateRatio => "message inflates too much",
            TransportErrorKind::BatchEmpty => "batch without messages",
            TransportErrorKind::BatchTruncated => "batch ends within a message",
        }
    }
}

impl fmt::Display for TransportErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.description())?;
        match self {
            TransportErrorKind::Refused(number) => write!(formatter, " (error {number})"),
            TransportErrorKind::StatusUnexpected(status) => write!(formatter, " (status {status})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at octet {}", self.kind, self.offset)
    }
}

impl std::error::Error for TransportError {}

/// WebSocket close codes (RFC 6455 §7.4.1 and the IANA registry).
pub mod close_code {
    /// The purpose of the connection is fulfilled: after GOODBYE was exchanged.
    pub const NORMAL: u16 = 1000;
    /// The endpoint is going down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// A kind of data that cannot be accepted.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// Never sent: stands for a close frame without code.
    pub const NONE: u16 = 1005;
    /// Data inconsistent with its type, such as text that is not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// The peer broke a policy.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// A message too big to process.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// The server met an unexpected condition.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The server is overloaded.
    pub const TRY_AGAIN_LATER: u16 = 1013;

    /// Whether a peer may send `code` in a close frame.
    pub(crate) const fn is_sendable(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}
