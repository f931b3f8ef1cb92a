//! Trees of application values, for what is not on the hot path: `authextra`, arguments of the router's own procedures,
//! the command line client.

use crate::cbor::{CborReader, CborWriter};
use crate::error::{DecodeError, EncodeError};
use crate::json::{JsonReader, JsonWriter};
use crate::msgpack::{MessagePackReader, MessagePackWriter};
use crate::serializer::SerializerId;
use crate::ubjson::{BjdataReader, BjdataWriter, Draft12Reader, Draft12Writer};
use crate::wire::value::{read, write};
use crate::wire::{LEVELS_MAX, Reader};

/// Any value that a serializer can carry.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; the range covers `i64` and `u64`.
    Integer(i128),
    /// A floating point number.
    Float(f64),
    /// Text.
    String(String),
    /// Octets (JSON: text `"\0"` followed by base64).
    Binary(Vec<u8>),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping with text keys.
    Dict(Dict),
}

/// A mapping in the order it was written or received.
pub type Dict = Vec<(String, Value)>;

impl Value {
    /// The entry `key` of a dict.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl Value {
    /// Reads one value that fills `octets` completely.
    ///
    /// # Errors
    /// Malformed octets, a MessagePack extension, or a dict key that is not text.
    pub fn decode(serializer: SerializerId, octets: &[u8]) -> Result<Value, DecodeError> {
        match serializer {
            SerializerId::Json => read_whole::<JsonReader<'_>>(octets),
            SerializerId::MessagePack => read_whole::<MessagePackReader<'_>>(octets),
            SerializerId::Cbor | SerializerId::FlatBuffers => read_whole::<CborReader<'_>>(octets),
            SerializerId::Ubjson => read_whole::<Draft12Reader<'_>>(octets),
            SerializerId::Bjdata => read_whole::<BjdataReader<'_>>(octets),
        }
    }

    /// Appends the encoded value to `out`.
    ///
    /// # Errors
    /// JSON lacks the value; `out` is then as it was.
    pub fn encode(&self, serializer: SerializerId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let written = match serializer {
            SerializerId::Json => write(&mut JsonWriter::new(out), self),
            SerializerId::MessagePack => write(&mut MessagePackWriter(out), self),
            SerializerId::Cbor | SerializerId::FlatBuffers => write(&mut CborWriter(out), self),
            SerializerId::Ubjson => write(&mut Draft12Writer::new(out), self),
            SerializerId::Bjdata => write(&mut BjdataWriter::new(out), self),
        };
        written.map_err(|what| {
            out.truncate(start);
            EncodeError::Unrepresentable(what)
        })
    }
}

fn read_whole<'a, R: Reader<'a>>(octets: &'a [u8]) -> Result<Value, DecodeError> {
    let at = DecodeError::without_context;
    let mut reader = R::new(octets).map_err(|(fault, offset)| at(fault, offset))?;
    let value = read(&mut reader, LEVELS_MAX).and_then(|value| reader.end().map(|()| value));
    value.map_err(|fault| at(fault, reader.offset()))
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}
