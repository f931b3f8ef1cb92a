//! What serializers make of a message: a client with another one than JSON sends and gets everything through it.

use crossring_codec::message::Message;
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::serializer::SerializerId;

/// The serializers that clients may have.
pub const SERIALIZERS: [SerializerId; 6] = [
    SerializerId::Json,
    SerializerId::MessagePack,
    SerializerId::Cbor,
    SerializerId::Ubjson,
    SerializerId::Bjdata,
    SerializerId::FlatBuffers,
];

/// The serializer that has no place for some details. What is lost so, the router has sent nevertheless.
pub const LOSSY: SerializerId = SerializerId::FlatBuffers;

/// The message as its receiver decodes it.
///
/// # Errors
/// It cannot be encoded, or not be decoded.
pub fn carried(serializer: SerializerId, message: &Message<'_>) -> Result<Message<'static>, String> {
    let mut octets = Vec::new();
    encode(serializer, message, &mut octets).map_err(|error| format!("encoding: {error:?}"))?;
    let decoded = decode(serializer, &octets).map_err(|error| format!("decoding: {error:?}"))?;
    Ok(decoded.into_owned())
}
