//! Fuzz bodies: plain functions over any octets, which `cargo fuzz` drives by coverage and the tests by seeds.
//!
//! Each panics if what it claims does not hold. The bodies of the transports are in [`crate::transport::fuzzing`].

mod generator;

pub use generator::Generator;

use crate::cbor::CborReader;
use crate::error::{DecodeError, EncodeError, Unrepresentable};
use crate::json::JsonReader;
use crate::message::Message;
use crate::message::decode::decode;
use crate::message::encode::encode;
use crate::msgpack::MessagePackReader;
use crate::payload::Payload;
use crate::serializer::SerializerId;
use crate::transcode;
use crate::ubjson::{BjdataReader, Draft12Reader};
use crate::value::{Dict, Value};
use crate::wire::{Reader, Token};

/// Any octets as a JSON message: a message that reads back, or an error within the octets.
pub fn decode_json(octets: &[u8]) {
    decode_as(SerializerId::Json, octets);
}

/// Any octets as a CBOR message: a message that reads back, or an error within the octets.
pub fn decode_cbor(octets: &[u8]) {
    decode_as(SerializerId::Cbor, octets);
}

/// Any octets as a MessagePack message: a message that reads back, or an error within the octets.
pub fn decode_msgpack(octets: &[u8]) {
    decode_as(SerializerId::MessagePack, octets);
}

/// Any octets as a UBJSON and as a BJData message: messages that read back, or errors within the octets.
pub fn decode_ubjson(octets: &[u8]) {
    decode_as(SerializerId::Ubjson, octets);
    decode_as(SerializerId::Bjdata, octets);
}

/// Any octets as a WAMP-FlatBuffers message: a message that reads back, or an error within the octets.
pub fn decode_flatbuffers(octets: &[u8]) {
    match decode(SerializerId::FlatBuffers, octets) {
        Ok(message) => reads_back(&message),
        Err(error) => assert!(error.offset <= octets.len() && !error.to_string().is_empty()),
    }
}

/// The generated message loses what the tables lack, and then nothing more; its payload reads back. No part of it does harm.
pub fn roundtrip_flatbuffers(octets: &[u8]) {
    let message = Generator::new(octets).message(SerializerId::FlatBuffers);
    let mut encoded = Vec::new();
    if let Err(error) = encode(SerializerId::FlatBuffers, &message, &mut encoded) {
        assert_eq!(error, EncodeError::Unrepresentable(Unrepresentable::PassthruKey));
        assert!(encoded.is_empty());
        return;
    }
    let decoded = decode(SerializerId::FlatBuffers, &encoded).expect("what was encoded can be decoded");
    assert_eq!(decoded.message_type(), message.message_type());
    assert_eq!(decoded.payload().map(values), message.payload().map(values));
    reads_back(&decoded);
    for end in truncations(octets, encoded.len()) {
        decode_flatbuffers(&encoded[..end]);
    }
}

/// A message that was decoded is encoded to what reads back as the same.
fn reads_back(message: &Message<'_>) {
    let encoded = encoded(SerializerId::FlatBuffers, message);
    assert_eq!(decode(SerializerId::FlatBuffers, &encoded).as_ref(), Ok(message));
    transcode_if_possible(SerializerId::FlatBuffers, message);
}

/// The generated message reads back in every serializer, and no part of it is a message.
pub fn roundtrip(octets: &[u8]) {
    for serializer in SerializerId::ALL.into_iter().filter(|id| *id != SerializerId::FlatBuffers) {
        let message = Generator::new(octets).message(serializer);
        let encoded = encoded(serializer, &message);
        let decoded = decode(serializer, &encoded);
        assert_eq!(decoded.as_ref(), Ok(&message), "{serializer:?}");
        assert_eq!(decoded.map(Message::into_owned), Ok(message));
        for end in truncations(octets, encoded.len()) {
            assert!(decode(serializer, &encoded[..end]).is_err(), "{serializer:?} cut at {end}: {encoded:?}");
        }
        let longer = [&encoded[..], b"1"].concat();
        assert!(decode(serializer, &longer).is_err(), "{serializer:?} with an octet more: {longer:?}");
    }
}

/// The generated payload says the same in every serializer, there and back again.
pub fn transcode(octets: &[u8]) {
    for from in SerializerId::ALL {
        let payload = Generator::new(octets).payload(from);
        let values = values(&payload);
        for to in SerializerId::ALL {
            let there = transcode::transcode(&payload, to).expect("generated values have a form everywhere");
            assert_eq!(self::values(&there), values, "{from:?} to {to:?}");
            let back = transcode::transcode(&there, from).expect("what was expressed can be expressed");
            assert_eq!(back, payload, "{from:?} to {to:?} and back");
        }
    }
}

/// Passing over a value accepts what reading it accepts, and ends where that ends; transcoding then cannot find it malformed.
pub fn skim_agrees_with_decode(octets: &[u8]) {
    skim_agrees::<JsonReader<'_>>(octets);
    skim_agrees::<MessagePackReader<'_>>(octets);
    skim_agrees::<CborReader<'_>>(octets);
    skim_agrees::<Draft12Reader<'_>>(octets);
    skim_agrees::<BjdataReader<'_>>(octets);
}

fn decode_as(serializer: SerializerId, octets: &[u8]) {
    match decode(serializer, octets) {
        Ok(message) => {
            let mut again = Vec::new();
            if let Err(error) = encode(serializer, &message, &mut again) {
                // A JSON number beyond the range of a double reads as infinite.
                assert_eq!(error, EncodeError::Unrepresentable(Unrepresentable::NonFiniteFloat));
                assert_eq!(serializer, SerializerId::Json);
                return;
            }
            let owned = message.clone().into_owned();
            let decoded = decode(serializer, &again).expect("what was encoded can be decoded");
            assert_eq!(encoded(serializer, &decoded), again);
            assert_eq!(encoded(serializer, &owned), again);
            transcode_if_possible(serializer, &message);
        }
        Err(error) => {
            assert!(error.offset <= octets.len(), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Other serializers may lack a value; what they have reads back.
fn transcode_if_possible(from: SerializerId, message: &Message<'_>) {
    for to in SerializerId::ALL {
        let mut encoded = Vec::new();
        if encode(to, message, &mut encoded).is_ok() {
            let decoded = decode(to, &encoded).unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error}"));
            assert_eq!(decoded.message_type(), message.message_type());
        } else {
            assert!(encoded.is_empty());
        }
    }
}

fn encoded(serializer: SerializerId, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(serializer, message, &mut octets).expect("a decoded message can be encoded as it was");
    octets
}

fn values(payload: &Payload<'_>) -> (Vec<Value>, Dict, Option<Value>) {
    let all = || Ok((payload.arguments()?, payload.keywords()?, payload.transparent()?));
    all().unwrap_or_else(|error: DecodeError| panic!("{error}: {payload:?}"))
}

/// All lengths for short messages, some for long ones.
fn truncations(octets: &[u8], length: usize) -> Vec<usize> {
    const ALL: usize = 64;
    if length <= ALL {
        return (0..length).collect();
    }
    octets
        .windows(2)
        .take(ALL)
        .map(|pair| usize::from(pair[0]) * 256 + usize::from(pair[1]))
        .map(|at| at % length)
        .collect()
}

fn skim_agrees<'a, R: Reader<'a>>(octets: &'a [u8]) {
    let Ok(reader) = R::new(octets) else { return };
    let mut skimming = reader.clone();
    let mut reading = reader;
    let skimmed = skimming.skip(crate::wire::LEVELS_MAX);
    let read = read_levels(&mut reading, crate::wire::LEVELS_MAX);
    assert_eq!(skimmed.is_ok(), read.is_some(), "{skimmed:?}: {octets:?}");
    if skimmed.is_ok() {
        assert_eq!(skimming.offset(), reading.offset(), "{octets:?}");
    }
}

/// Reads a value with any keys and extensions.
fn read_levels<'a, R: Reader<'a>>(reader: &mut R, levels: usize) -> Option<()> {
    let levels = levels.checked_sub(reader.tags())?;
    let (mut items, is_dict) = match reader.token().ok()? {
        Token::List(items) => (items, false),
        Token::Dict(items) => (items, true),
        _ => return Some(()),
    };
    let levels = levels.checked_sub(1)?;
    while if is_dict { reader.next_entry(&mut items).ok()? } else { reader.next(&mut items).ok()? } {
        if is_dict {
            read_key(reader, levels)?;
            reader.between_key_and_value().ok()?;
        }
        read_levels(reader, levels)?;
    }
    Some(())
}

/// A key is text in JSON, and any value elsewhere.
fn read_key<'a, R: Reader<'a>>(reader: &mut R, levels: usize) -> Option<()> {
    levels.checked_sub(reader.tags())?;
    let before = reader.clone();
    match reader.token_of_key().ok()? {
        Token::List(..) | Token::Dict(..) => {
            *reader = before;
            read_levels(reader, levels)
        }
        _ => Some(()),
    }
}
