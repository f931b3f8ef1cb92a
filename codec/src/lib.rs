//! WAMP vocabulary, serializers and transport framings: bytes in, messages out.
//!
//! No I/O, no clock, no randomness of its own: the same input gives the same output, byte for byte.

#![forbid(unsafe_code)]

pub mod id;
pub mod limits;
pub mod message;
pub mod payload;
pub mod serializer;
pub mod transport;
pub mod uri;
pub mod value;
