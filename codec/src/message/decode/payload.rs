//! Arguments and ArgumentsKw: a span of the frame, checked and left as it is.

use std::borrow::Cow;

use super::Decoder;
use crate::error::{Expected, Fault};
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::wire::{Kind, Reader};

/// Reads what is left of the message as payload.
///
/// An empty list of Arguments without ArgumentsKw, and empty ArgumentsKw, are left out: the specification wants neither sent.
#[inline]
pub(super) fn read<'a, R: Reader<'a>>(decoder: &mut Decoder<R>) -> Result<Payload<'a>, Fault> {
    if !decoder.optional_element("Arguments")? {
        return Ok(Payload::EMPTY);
    }
    let start = decoder.reader.offset();
    let kind = decoder.reader.kind()?;
    match kind {
        Kind::List | Kind::Null | Kind::Text | Kind::Binary => decoder.skip()?,
        _ => return Err(Fault::Expected(Expected::List)),
    }
    let end = decoder.reader.offset();
    if kind == Kind::Text || kind == Kind::Binary {
        return Ok(span(decoder, Shape::Transparent, start, end, end));
    }
    match keywords(decoder)? {
        None if kind == Kind::Null || is_empty(decoder.reader.span(start, end)) => Ok(Payload::EMPTY),
        None => Ok(span(decoder, Shape::Arguments, start, end, end)),
        Some((from, to)) if kind == Kind::Null => Ok(with_empty_arguments(decoder, from, to)),
        Some((_, to)) => Ok(span(decoder, Shape::ArgumentsAndKeywords, start, end, to)),
    }
}

/// Where ArgumentsKw stand, if there are any.
fn keywords<'a, R: Reader<'a>>(decoder: &mut Decoder<R>) -> Result<Option<(usize, usize)>, Fault> {
    if !decoder.optional_element("ArgumentsKw")? || decoder.reader.null()? {
        return Ok(None);
    }
    let start = decoder.reader.offset();
    if decoder.reader.kind()? != Kind::Dict {
        return Err(Fault::Expected(Expected::Dict));
    }
    decoder.skip()?;
    let end = decoder.reader.offset();
    Ok((!is_empty(decoder.reader.span(start, end))).then_some((start, end)))
}

/// Whether a list or dict has no entries, in its usual form.
#[inline(always)]
fn is_empty(octets: &[u8]) -> bool {
    octets.len() == 1 || octets == b"[]" || octets == b"{}"
}

#[inline(always)]
fn span<'a, R: Reader<'a>>(
    decoder: &Decoder<R>,
    shape: Shape,
    start: usize,
    arguments_end: usize,
    end: usize,
) -> Payload<'a> {
    Payload {
        serializer: decoder.serializer,
        shape,
        octets: Cow::Borrowed(decoder.reader.span(start, end)),
        // Frames are at most 16 MiB; a longer input saturates and is refused by the encoder.
        arguments_size: u32::try_from(arguments_end - start).unwrap_or(u32::MAX),
    }
}

/// Arguments of null (Autobahn) become an empty list.
#[cold]
fn with_empty_arguments<'a, R: Reader<'a>>(decoder: &Decoder<R>, start: usize, end: usize) -> Payload<'a> {
    let (before, arguments_size): (&[u8], u32) = match decoder.serializer {
        SerializerId::Json => (b"[],", 2),
        SerializerId::MessagePack => (&[0x90], 1),
        SerializerId::Cbor | SerializerId::FlatBuffers => (&[0x80], 1),
        SerializerId::Ubjson | SerializerId::Bjdata => (b"[]", 2),
    };
    let octets = Cow::Owned([before, decoder.reader.span(start, end)].concat());
    Payload { serializer: decoder.serializer, shape: Shape::ArgumentsAndKeywords, octets, arguments_size }
}
