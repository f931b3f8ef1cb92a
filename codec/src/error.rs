//! What can be wrong with received octets, and with a message that is to be sent.

use std::fmt;

use crate::message::MessageType;

/// Why octets are no WAMP message, and where.
///
/// Every one of them ends the session with ABORT `wamp.error.protocol_violation`; when the octets could not even be decoded
/// ([`DecodeError::is_undecodable`]) the transport is closed too.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct DecodeError {
    /// What is wrong.
    pub fault: Fault,
    /// Octets from the start of the input.
    pub offset: usize,
    /// The message, once its type is known.
    pub message: Option<MessageType>,
    /// The element of the message as the specification names it; empty when not within one.
    pub element: &'static str,
    /// The key within Options or Details; empty when not within one.
    pub key: &'static str,
}

impl DecodeError {
    /// Whether the octets break the rules of the serializer, not just those of WAMP.
    pub const fn is_undecodable(&self) -> bool {
        self.fault.is_undecodable()
    }

    pub(crate) const fn without_context(fault: Fault, offset: usize) -> Self {
        Self { fault, offset, message: None, element: "", key: "" }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.map_or("message", MessageType::name))?;
        for part in [self.element, self.key] {
            if !part.is_empty() {
                write!(f, ".{part}")?;
            }
        }
        write!(f, ": {} at octet {}", self.fault, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with received octets.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The octets end within a value.
    Truncated,
    /// Octets follow after the message.
    TrailingOctets,
    /// Text is not UTF-8.
    InvalidUtf8,
    /// The octets break the grammar of the serializer.
    InvalidSyntax,
    /// JSON: a number breaks the grammar.
    InvalidNumber,
    /// JSON: an escape sequence is unknown, or a surrogate stands alone.
    InvalidEscape,
    /// JSON: text that starts with U+0000 does not continue with base64.
    InvalidBase64,
    /// Lists and dicts, in CBOR tags too, are nested deeper than they may be, at most [`crate::limits::DEPTH_MAX`].
    TooDeep,
    /// A value has another type.
    Expected(Expected),
    /// The type code of the message is unknown.
    UnknownMessageType,
    /// The message ends before this element.
    MissingElement,
    /// The message has more elements than its layout.
    ExcessElement,
    /// A dict lacks a key that it must have.
    MissingKey,
    /// The value is none of those that the specification lists.
    UnlistedValue,
    /// A list has more entries than [`crate::limits::OPTION_LIST_MAX`].
    TooManyEntries,
}

impl Fault {
    const fn is_undecodable(self) -> bool {
        matches!(
            self,
            Fault::Truncated
                | Fault::TrailingOctets
                | Fault::InvalidUtf8
                | Fault::InvalidSyntax
                | Fault::InvalidNumber
                | Fault::InvalidEscape
                | Fault::InvalidBase64
                | Fault::TooDeep
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Truncated => "unexpected end",
            Fault::TrailingOctets => "octets after the message",
            Fault::InvalidUtf8 => "text is not UTF-8",
            Fault::InvalidSyntax => "malformed value",
            Fault::InvalidNumber => "malformed number",
            Fault::InvalidEscape => "malformed escape sequence",
            Fault::InvalidBase64 => "malformed base64 in binary value",
            Fault::TooDeep => "nested too deep",
            Fault::Expected(expected) => return write!(f, "expected {expected}"),
            Fault::UnknownMessageType => "unknown message type",
            Fault::MissingElement => "element missing",
            Fault::ExcessElement => "too many elements",
            Fault::MissingKey => "required key missing",
            Fault::UnlistedValue => "value is not one of those allowed",
            Fault::TooManyEntries => "too many entries",
        })
    }
}

/// The type that the specification demands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // the names are those of the specification
pub enum Expected {
    List,
    Dict,
    Text,
    Bool,
    Integer,
    /// An integer in `1..=2^53`.
    Id,
    /// Anything but an extension type.
    Value,
    /// An integer of at least 1.
    PositiveInteger,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::List => "list",
            Expected::Dict => "dict",
            Expected::Text => "string",
            Expected::Bool => "bool",
            Expected::Integer => "integer",
            Expected::Id => "id (1..=2^53)",
            Expected::Value => "value of a common type",
            Expected::PositiveInteger => "integer >= 1",
        })
    }
}

/// Why a message cannot be encoded. Nothing was written.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The payload holds a value that the serializer of the receiver lacks.
    Unrepresentable(Unrepresentable),
    /// The message would be longer than [`crate::limits::MESSAGE_SIZE_MAX`].
    TooLarge,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::Unrepresentable(what) => {
                write!(f, "{what} cannot be represented in this serializer")
            }
            EncodeError::TooLarge => f.write_str("message is too large"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// A value that some serializer lacks.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unrepresentable {
    /// NaN or an infinity (JSON).
    NonFiniteFloat,
    /// A dict key that is not text (JSON).
    NonTextKey,
    /// Text that starts with U+0000 (JSON: it would read as binary).
    TextLikeBinary,
    /// An extension type of MessagePack, or an array of several dimensions of BJData.
    Extension,
    /// A passthru key or its value, for which WAMP-FlatBuffers has no number.
    PassthruKey,
    /// Octets that are not well formed; payloads that were decoded never are.
    Malformed(Fault),
}

impl fmt::Display for Unrepresentable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unrepresentable::NonFiniteFloat => f.write_str("a float that is not finite"),
            Unrepresentable::NonTextKey => f.write_str("a dict key that is not text"),
            Unrepresentable::TextLikeBinary => f.write_str("text that starts with U+0000"),
            Unrepresentable::Extension => f.write_str("a MessagePack extension type"),
            Unrepresentable::PassthruKey => f.write_str("a passthru key"),
            Unrepresentable::Malformed(fault) => write!(f, "a malformed payload ({fault})"),
        }
    }
}

impl From<Unrepresentable> for EncodeError {
    fn from(what: Unrepresentable) -> Self {
        EncodeError::Unrepresentable(what)
    }
}
