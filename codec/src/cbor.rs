//! CBOR (RFC 8949): definite and indefinite lengths, all widths of numbers, tags, simple values.
//!
//! Tags pass between peers of this serializer. For others they are dropped and their content kept, except bignums (tags 2
//! and 3), which become integers, or floats if longer than 64 bits; `undefined` and unassigned simple values become null.

mod reader;
mod writer;

pub(crate) use reader::CborReader;
pub(crate) use writer::CborWriter;

/// Major types.
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const LIST: u8 = 4;
    pub(super) const DICT: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

/// Initial octets of major type 7.
mod initial {
    pub(super) const FALSE: u8 = 0xf4;
    pub(super) const TRUE: u8 = 0xf5;
    pub(super) const NULL: u8 = 0xf6;
    pub(super) const UNDEFINED: u8 = 0xf7;
    pub(super) const SIMPLE: u8 = 0xf8;
    pub(super) const FLOAT_16: u8 = 0xf9;
    pub(super) const FLOAT_32: u8 = 0xfa;
    pub(super) const FLOAT_64: u8 = 0xfb;
    pub(super) const BREAK: u8 = 0xff;
}
