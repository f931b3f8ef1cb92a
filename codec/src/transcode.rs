//! Payloads from one serializer to another, value by value, without a tree in between.
//!
//! * Integers of 64 bits stay integers, with or without sign. JSON integers beyond are floats; so are CBOR's below -2^63 for
//!   MessagePack. Floats stay floats. High-precision numbers of UBJSON are integers if 64 bits and a sign suffice, else floats.
//! * Binary is `"\0"` + base64 in JSON. Text that starts with U+0000, NaN and infinities cannot be told in JSON, dict keys that
//!   are not text neither in JSON nor in UBJSON; MessagePack extensions and BJData arrays of several dimensions not in any
//!   other serializer.
//! * CBOR: tags are dropped (bignums become numbers), `undefined` and unassigned simple values become null.

use std::borrow::Cow;

use crate::cbor::{CborReader, CborWriter};
use crate::error::{Expected, Fault, Unrepresentable};
use crate::json::{JsonReader, JsonWriter};
use crate::msgpack::{MessagePackReader, MessagePackWriter};
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::ubjson::{BjdataReader, BjdataWriter, Draft12Reader, Draft12Writer};
use crate::wire::value::write_text;
use crate::wire::{DecodeStart, Items, Kind, LEVELS_MAX, Reader, Token, Writer};

/// The payload in the encoding of `serializer`; borrowed if it is that already.
///
/// # Errors
/// The payload holds a value that `serializer` lacks.
pub fn transcode<'p>(
    payload: &'p Payload<'_>,
    serializer: SerializerId,
) -> Result<Payload<'p>, Unrepresentable> {
    let serializer = serializer.of_payloads();
    if payload.serializer == serializer || payload.shape == Shape::Empty {
        return Ok(payload.borrowed());
    }
    let mut octets = Vec::with_capacity(payload.octets.len() + payload.octets.len() / 2);
    let arguments_size = match serializer {
        SerializerId::Json => transcode_into(payload, &mut JsonWriter::new(&mut octets)),
        SerializerId::MessagePack => transcode_into(payload, &mut MessagePackWriter(&mut octets)),
        SerializerId::Cbor | SerializerId::FlatBuffers => {
            transcode_into(payload, &mut CborWriter(&mut octets))
        }
        SerializerId::Ubjson => transcode_into(payload, &mut Draft12Writer::new(&mut octets)),
        SerializerId::Bjdata => transcode_into(payload, &mut BjdataWriter::new(&mut octets)),
    }?;
    Ok(Payload { serializer, shape: payload.shape, octets: Cow::Owned(octets), arguments_size })
}

/// Writes the elements of the payload; returns the size of the first, provided that the writer started empty.
pub(crate) fn transcode_into<W: Writer>(
    payload: &Payload<'_>,
    writer: &mut W,
) -> Result<u32, Unrepresentable> {
    let start = writer.size();
    transcode_value(payload.serializer, payload.arguments_octets(), writer)?;
    let arguments_size = writer.size() - start;
    if payload.shape == Shape::ArgumentsAndKeywords {
        transcode_value(payload.serializer, payload.keywords_octets(), writer)?;
    }
    Ok(u32::try_from(arguments_size).unwrap_or(u32::MAX))
}

fn transcode_value<W: Writer>(
    serializer: SerializerId,
    octets: &[u8],
    writer: &mut W,
) -> Result<(), Unrepresentable> {
    match serializer {
        SerializerId::Json => Transcoder::run(JsonReader::new(octets), writer),
        SerializerId::MessagePack => Transcoder::run(MessagePackReader::new(octets), writer),
        SerializerId::Cbor | SerializerId::FlatBuffers => Transcoder::run(CborReader::new(octets), writer),
        SerializerId::Ubjson => Transcoder::run(Draft12Reader::new(octets), writer),
        SerializerId::Bjdata => Transcoder::run(BjdataReader::new(octets), writer),
    }
}

struct Transcoder<'w, R, W> {
    reader: R,
    writer: &'w mut W,
    /// Numbers of entries of the coming lists and dicts that do not tell it themselves, in the order in which they start.
    counts: std::vec::IntoIter<u32>,
}

impl<'a, R: Reader<'a>, W: Writer> Transcoder<'_, R, W> {
    fn run(reader: Result<R, DecodeStart>, writer: &mut W) -> Result<(), Unrepresentable> {
        let reader = reader.map_err(|(fault, _)| Unrepresentable::Malformed(fault))?;
        let mut transcoder = Transcoder { reader, writer, counts: Vec::new().into_iter() };
        transcoder.value(LEVELS_MAX)?;
        transcoder.reader.end().map_err(Unrepresentable::Malformed)
    }

    /// The token is matched where it is returned: moving it costs more than writing it.
    fn value(&mut self, levels: usize) -> Result<(), Unrepresentable> {
        match self.reader.token() {
            Ok(Token::Null) => self.writer.null(),
            Ok(Token::Bool(value)) => self.writer.boolean(value),
            Ok(Token::Unsigned(value)) => self.writer.unsigned(value),
            Ok(Token::Negative(value)) => self.writer.negative(value),
            Ok(Token::Float(value)) => self.writer.float(value)?,
            Ok(Token::Text(ref value)) => write_text(self.writer, value)?,
            Ok(Token::Binary(ref value)) => self.writer.binary(value),
            Ok(Token::List(items)) => self.list(items, levels)?,
            Ok(Token::Dict(items)) => self.dict(items, levels)?,
            Ok(Token::Extension) => return Err(Unrepresentable::Extension),
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    fn list(&mut self, mut items: Items, levels: usize) -> Result<(), Unrepresentable> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        let count = self.count(items, false)?;
        self.writer.list(count);
        while self.reader.next(&mut items)? {
            self.value(levels)?;
        }
        self.writer.end_list();
        Ok(())
    }

    fn dict(&mut self, mut items: Items, levels: usize) -> Result<(), Unrepresentable> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        let count = self.count(items, true)?;
        self.writer.dict(count);
        while self.reader.next_entry(&mut items)? {
            self.key(levels)?;
            self.reader.between_key_and_value()?;
            self.value(levels)?;
        }
        self.writer.end_dict();
        Ok(())
    }

    fn key(&mut self, levels: usize) -> Result<(), Unrepresentable> {
        if !W::TEXT_KEYS && !R::TEXT_KEYS {
            return self.value(levels);
        }
        match self.reader.token_of_key() {
            Ok(Token::Text(ref key)) => self.writer.key(key),
            Ok(_) => return Err(Unrepresentable::NonTextKey),
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// The number of entries of the list or dict just entered. Where the encoding does not tell, the outermost such value
    /// is gone through once in advance, so that nesting costs no more than one further pass.
    fn count(&mut self, items: Items, is_dict: bool) -> Result<usize, Unrepresentable> {
        if let Some(count) = self.reader.count(items) {
            return Ok(count);
        }
        if !W::COUNTED {
            return Ok(0);
        }
        if self.counts.len() == 0 {
            let mut counts = Vec::new();
            count_entries(&mut self.reader.clone(), items, is_dict, &mut counts)?;
            self.counts = counts.into_iter();
        }
        Ok(self.counts.next().unwrap_or_default() as usize)
    }
}

/// Counts the entries of a list or dict just entered and of all within. Recursion is bounded: the octets were skimmed.
fn count_entries<'a, R: Reader<'a>>(
    reader: &mut R,
    mut items: Items,
    is_dict: bool,
    counts: &mut Vec<u32>,
) -> Result<(), Fault> {
    let slot = counts.len();
    let is_wanted = reader.count(items).is_none();
    if is_wanted {
        counts.push(0);
    }
    let mut count = 0u32;
    while if is_dict { reader.next_entry(&mut items)? } else { reader.next(&mut items)? } {
        count += 1;
        if is_dict {
            // A key may be a list or dict too, and is written as one.
            if R::TEXT_KEYS {
                reader.skip_key()?
            } else {
                count_within(reader, counts)?
            }
            reader.between_key_and_value()?;
        }
        count_within(reader, counts)?;
    }
    if is_wanted {
        counts[slot] = count;
    }
    Ok(())
}

/// Passes over a value and counts the entries of all lists and dicts in it.
fn count_within<'a, R: Reader<'a>>(reader: &mut R, counts: &mut Vec<u32>) -> Result<(), Fault> {
    match reader.kind()? {
        Kind::List | Kind::Dict | Kind::Other => match reader.token()? {
            Token::List(items) => count_entries(reader, items, false, counts),
            Token::Dict(items) => count_entries(reader, items, true, counts),
            _ => Ok(()),
        },
        _ => reader.skip(LEVELS_MAX),
    }
}

impl From<Fault> for Unrepresentable {
    /// Only payloads that no decoder has seen are malformed; extensions have a name of their own.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Expected(Expected::Value) => Unrepresentable::Extension,
            fault => Unrepresentable::Malformed(fault),
        }
    }
}
