//! UBJSON (draft 12) and its successor BJData (draft 4), which share the name `ubjson` and the RawSocket id 4.
//!
//! | | UBJSON | BJData |
//! |---|---|---|
//! | numbers, lengths | big-endian | little-endian |
//! | further types | | `u` `m` `M` (unsigned of 16, 32, 64 bits), `h` (half precision), `B` (octet) |
//! | binary | `[$U#` | `[$B#`; `[$U#` is a list of numbers |
//! | arrays of several dimensions | | `[$d#[…]`: pass between peers of this dialect, have no form elsewhere |
//!
//! Autobahn|Python speaks BJData since 26.6 and UBJSON before. [`dialect`] tells which one a message is in.
//!
//! Typed lists whose entries take no octets (`[$T#…`) are read up to five entries, so that no message holds more values than
//! octets. BJData's structures of arrays (`[${…}#…`) are not read. High-precision numbers are integers where 64 bits and a
//! sign suffice, else floats.

pub(crate) mod dialect;
mod reader;
mod writer;

use reader::UbjsonReader;
use writer::UbjsonWriter;

pub(crate) type BjdataReader<'a> = UbjsonReader<'a, true>;
pub(crate) type BjdataWriter<'o> = UbjsonWriter<'o, true>;
pub(crate) type Draft12Reader<'a> = UbjsonReader<'a, false>;
pub(crate) type Draft12Writer<'o> = UbjsonWriter<'o, false>;

/// The octets that tell the type of a value.
mod marker {
    pub(super) const NULL: u8 = b'Z';
    pub(super) const NO_OPERATION: u8 = b'N';
    pub(super) const TRUE: u8 = b'T';
    pub(super) const FALSE: u8 = b'F';
    pub(super) const OCTET: u8 = b'B';
    pub(super) const SIGNED_8: u8 = b'i';
    pub(super) const UNSIGNED_8: u8 = b'U';
    pub(super) const SIGNED_16: u8 = b'I';
    pub(super) const UNSIGNED_16: u8 = b'u';
    pub(super) const SIGNED_32: u8 = b'l';
    pub(super) const UNSIGNED_32: u8 = b'm';
    pub(super) const SIGNED_64: u8 = b'L';
    pub(super) const UNSIGNED_64: u8 = b'M';
    pub(super) const FLOAT_16: u8 = b'h';
    pub(super) const FLOAT_32: u8 = b'd';
    pub(super) const FLOAT_64: u8 = b'D';
    pub(super) const HIGH_PRECISION: u8 = b'H';
    pub(super) const CHARACTER: u8 = b'C';
    pub(super) const TEXT: u8 = b'S';
    pub(super) const LIST: u8 = b'[';
    pub(super) const LIST_END: u8 = b']';
    pub(super) const DICT: u8 = b'{';
    pub(super) const DICT_END: u8 = b'}';
    pub(super) const TYPE: u8 = b'$';
    pub(super) const COUNT: u8 = b'#';
}

/// How binary starts in front of its length.
const fn binary_head(is_bjdata: bool) -> [u8; 4] {
    [marker::LIST, marker::TYPE, binary_type(is_bjdata), marker::COUNT]
}

/// The type of the entries that makes a list binary.
const fn binary_type(is_bjdata: bool) -> u8 {
    if is_bjdata { marker::OCTET } else { marker::UNSIGNED_8 }
}
