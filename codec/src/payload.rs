//! The application payload of a message: validated octets that the router forwards without decoding them.

use std::borrow::Cow;

use crate::cbor::CborWriter;
use crate::error::{DecodeError, Expected, Fault, Unrepresentable};
use crate::json::JsonWriter;
use crate::msgpack::MessagePackWriter;
use crate::serializer::SerializerId;
use crate::ubjson::{BjdataWriter, Draft12Writer};
use crate::value::{Dict, Value};
use crate::wire::Writer;
use crate::wire::value::{write_dict, write_list};

/// `Arguments` and `ArgumentsKw` as they stood at the end of the received message.
///
/// `octets` is one contiguous span in the encoding of `serializer`: from the first octet of Arguments to the last of
/// ArgumentsKw (JSON: the separating comma and white space included). The decoder has checked that the span is well formed,
/// that text is UTF-8 and that nesting stays within [`crate::limits::DEPTH_MAX`]; so a payload may be copied into a message
/// of the same serializer as it is, and has to be transcoded ([`crate::transcode`]) for any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payload<'a> {
    /// The encoding of `octets`.
    pub serializer: SerializerId,
    /// What is present.
    pub shape: Shape,
    /// The span.
    pub octets: Cow<'a, [u8]>,
    /// Length of the Arguments element in octets; what follows (after a JSON comma) is ArgumentsKw.
    pub arguments_size: u32,
}

/// Which payload elements a message has.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Shape {
    /// Neither Arguments nor ArgumentsKw.
    #[default]
    Empty,
    /// Arguments.
    Arguments,
    /// Arguments (possibly empty) and ArgumentsKw.
    ArgumentsAndKeywords,
    /// One binary (JSON also: text) in the place of Arguments: payload transparency.
    Transparent,
}

impl Payload<'static> {
    /// No payload. It is the same in every serializer.
    pub const EMPTY: Payload<'static> = Payload {
        serializer: SerializerId::Json,
        shape: Shape::Empty,
        octets: Cow::Borrowed(&[]),
        arguments_size: 0,
    };
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Payload::EMPTY
    }
}

impl<'a> Payload<'a> {
    /// A view that borrows from this payload.
    pub fn borrowed(&self) -> Payload<'_> {
        Payload { octets: Cow::Borrowed(&self.octets), ..*self }
    }

    /// Detaches the payload from the received octets.
    pub fn into_owned(self) -> Payload<'static> {
        Payload { octets: Cow::Owned(self.octets.into_owned()), ..self }
    }

    /// How many elements of a message the payload is.
    pub const fn element_count(&self) -> usize {
        match self.shape {
            Shape::Empty => 0,
            Shape::Arguments | Shape::Transparent => 1,
            Shape::ArgumentsAndKeywords => 2,
        }
    }

    /// The encoded Arguments (or what stands in their place); empty if there are none.
    pub fn arguments_octets(&self) -> &[u8] {
        &self.octets[..self.arguments_end()]
    }

    /// The encoded ArgumentsKw; empty if there are none.
    pub fn keywords_octets(&self) -> &[u8] {
        let rest = &self.octets[self.arguments_end()..];
        match self.serializer {
            SerializerId::Json => {
                let comma = rest.iter().position(|&octet| octet == b',');
                rest[comma.map_or(rest.len(), |comma| comma + 1)..].trim_ascii_start()
            }
            _ => rest,
        }
    }

    fn arguments_end(&self) -> usize {
        (self.arguments_size as usize).min(self.octets.len())
    }

    /// The payload of the given values; empty Arguments and ArgumentsKw are left out.
    ///
    /// Values that JSON lacks (NaN, text that starts with U+0000) leave the payload in CBOR: encoding it for JSON then tells.
    pub fn from_values(serializer: SerializerId, arguments: &[Value], keywords: &Dict) -> Payload<'static> {
        if arguments.is_empty() && keywords.is_empty() {
            return Payload::EMPTY;
        }
        let serializer = serializer.of_payloads();
        let mut octets = Vec::new();
        let arguments_size = match serializer {
            SerializerId::Json => write_elements(&mut JsonWriter::new(&mut octets), arguments, keywords),
            SerializerId::MessagePack => {
                write_elements(&mut MessagePackWriter(&mut octets), arguments, keywords)
            }
            SerializerId::Cbor | SerializerId::FlatBuffers => {
                write_elements(&mut CborWriter(&mut octets), arguments, keywords)
            }
            SerializerId::Ubjson => write_elements(&mut Draft12Writer::new(&mut octets), arguments, keywords),
            SerializerId::Bjdata => write_elements(&mut BjdataWriter::new(&mut octets), arguments, keywords),
        };
        let Ok(arguments_size) = arguments_size else {
            return Payload::from_values(SerializerId::Cbor, arguments, keywords);
        };
        let shape = if keywords.is_empty() { Shape::Arguments } else { Shape::ArgumentsAndKeywords };
        Payload { serializer, shape, octets: Cow::Owned(octets), arguments_size }
    }

    /// The Arguments as values; none if the payload is empty or transparent.
    ///
    /// # Errors
    /// A MessagePack extension, or a dict key that is not text. Offsets count from the start of the payload.
    pub fn arguments(&self) -> Result<Vec<Value>, DecodeError> {
        match self.shape {
            Shape::Empty | Shape::Transparent => Ok(Vec::new()),
            Shape::Arguments | Shape::ArgumentsAndKeywords => {
                match Value::decode(self.serializer, self.arguments_octets())? {
                    Value::List(arguments) => Ok(arguments),
                    _ => Err(DecodeError::without_context(Fault::Expected(Expected::List), 0)),
                }
            }
        }
    }

    /// The ArgumentsKw as values; none if there are none.
    ///
    /// # Errors
    /// A MessagePack extension, or a dict key that is not text. Offsets count from the start of ArgumentsKw.
    pub fn keywords(&self) -> Result<Dict, DecodeError> {
        if self.shape != Shape::ArgumentsAndKeywords {
            return Ok(Dict::new());
        }
        match Value::decode(self.serializer, self.keywords_octets())? {
            Value::Dict(keywords) => Ok(keywords),
            _ => Err(DecodeError::without_context(Fault::Expected(Expected::Dict), 0)),
        }
    }

    /// The value in the place of Arguments of a transparent payload.
    ///
    /// # Errors
    /// As [`Payload::arguments`].
    pub fn transparent(&self) -> Result<Option<Value>, DecodeError> {
        match self.shape {
            Shape::Transparent => Value::decode(self.serializer, self.arguments_octets()).map(Some),
            _ => Ok(None),
        }
    }
}

fn write_elements(
    writer: &mut impl Writer,
    arguments: &[Value],
    keywords: &Dict,
) -> Result<u32, Unrepresentable> {
    write_list(writer, arguments)?;
    let arguments_size = writer.size();
    if !keywords.is_empty() {
        write_dict(writer, keywords)?;
    }
    Ok(u32::try_from(arguments_size).unwrap_or(u32::MAX))
}
