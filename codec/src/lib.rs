//! WAMP vocabulary, serializers and transport framings: bytes in, messages out.
//!
//! No I/O, no clock, no randomness of its own: the same input gives the same output, byte for byte.

#![forbid(unsafe_code)]

mod cbor;
pub mod error;
mod flatbuffers;
pub mod fuzzing;
pub mod id;
mod json;
pub mod limits;
pub mod message;
mod msgpack;
pub mod payload;
pub mod serializer;
pub mod transcode;
pub mod transport;
mod ubjson;
pub mod uri;
pub mod value;
mod wire;
