//! The tables of WAMP-FlatBuffers. Nothing here is written by hand: [planus](https://docs.rs/planus) generates all of it from
//! `wamp.fbs` in the build script, and its code has `unsafe` in it, which is why it has a crate of its own. Readers check every
//! offset, length and text against the received octets before use.

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/wamp.rs"));
}

pub use generated::wamp::*;
pub use planus::errors::{Error as ReadError, ErrorKind};
pub use planus::{Builder, Offset, ReadAsRoot, Vector};
