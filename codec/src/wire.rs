//! What the message decoder and encoder need of a serializer: a [`Reader`] of values and a [`Writer`] of values.
//!
//! A further serializer is one more of each; nothing else in the crate knows encodings. Errors are bare [`Fault`]s, two octets
//! wide, so that the hot path stays in registers: *where* something failed is [`Reader::offset`].

use std::borrow::Cow;

use crate::error::{Expected, Fault, Unrepresentable};
use crate::id::ID_MAX;
use crate::limits::DEPTH_MAX;

pub(crate) mod value;

/// How deep a value may be nested at most: the message itself is one level.
pub(crate) const LEVELS_MAX: usize = DEPTH_MAX - 1;

/// The type of the value that comes next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Binary,
    List,
    Dict,
    /// What only this serializer knows: tags, extension types.
    Other,
}

/// Progress within a list or dict. What the number means is the reader's business: entries left, or a mark.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Items(pub(crate) u64);

/// One value, or the head of a list or dict.
#[derive(Debug)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// The integer -1 - n.
    Negative(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    List(Items),
    Dict(Items),
    /// A MessagePack extension.
    Extension,
}

/// Reads values from octets, front to back.
///
/// A method that refuses the type of the next value leaves the position in front of it.
pub(crate) trait Reader<'a>: Sized + Clone {
    /// Whether every key is text; else any value may be one.
    const TEXT_KEYS: bool;

    /// A reader at the first value.
    fn new(octets: &'a [u8]) -> Result<Self, DecodeStart>;

    /// Octets read so far.
    fn offset(&self) -> usize;

    /// The octets from `start` to `end`.
    fn span(&self, start: usize, end: usize) -> &'a [u8];

    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), Fault>;

    /// Enters a list.
    fn list(&mut self) -> Result<Items, Fault>;

    /// The number of entries of a list or dict just entered, if the encoding tells.
    fn count(&self, items: Items) -> Option<usize>;

    /// Moves to the next entry of a list, or past the list.
    fn next(&mut self, items: &mut Items) -> Result<bool, Fault>;

    /// Enters a dict.
    fn dict(&mut self) -> Result<Items, Fault>;

    /// Moves to the next entry of a dict whose keys must be text, or past the dict.
    fn key(&mut self, items: &mut Items) -> Result<Option<Cow<'a, str>>, Fault>;

    /// Moves to the next entry of a dict with any keys, or past the dict. The key is the next value, [`Reader::token_of_key`].
    fn next_entry(&mut self, items: &mut Items) -> Result<bool, Fault>;

    /// Reads a key.
    fn token_of_key(&mut self) -> Result<Token<'a>, Fault>;

    /// Passes over a key.
    fn skip_key(&mut self) -> Result<(), Fault>;

    /// Reads what stands between a key and its value.
    fn between_key_and_value(&mut self) -> Result<(), Fault>;

    /// Looks at the next value.
    fn kind(&mut self) -> Result<Kind, Fault>;

    /// Reads a null if there is one.
    fn null(&mut self) -> Result<bool, Fault>;

    /// Reads a boolean.
    fn boolean(&mut self) -> Result<bool, Fault>;

    /// Reads an integer of at least 0; an integral float up to 2^53 counts as one.
    fn unsigned(&mut self) -> Result<u64, Fault>;

    /// Reads text of the protocol, which must not start with U+0000: in JSON that would be binary.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault>;

    /// Levels of nesting that the next value has in front of itself: in CBOR its tags.
    #[inline(always)]
    fn tags(&self) -> usize {
        0
    }

    /// Reads a value, or enters a list or dict, whatever its tags.
    fn token(&mut self) -> Result<Token<'a>, Fault>;

    /// Passes over a value nested at most `levels` deep, checking that it is well formed. `levels` is at most [`LEVELS_MAX`].
    fn skip(&mut self, levels: usize) -> Result<(), Fault>;
}

/// Why a reader cannot even start: the fault and its offset.
pub(crate) type DecodeStart = (Fault, usize);

/// Octets as text. Short ones are not worth the dispatch to vector code.
#[inline(always)]
pub(crate) fn utf8(octets: &[u8]) -> Result<&str, Fault> {
    const SHORT: usize = 64;
    if octets.len() < SHORT {
        return std::str::from_utf8(octets).map_err(|_| Fault::InvalidUtf8);
    }
    simdutf8::basic::from_utf8(octets).map_err(|_| Fault::InvalidUtf8)
}

/// Checks that octets are text.
#[inline(always)]
pub(crate) fn check_utf8(octets: &[u8]) -> Result<(), Fault> {
    if octets.is_ascii() { Ok(()) } else { utf8(octets).map(drop) }
}

/// Accepts a float where an unsigned integer is expected, if nothing is lost.
pub(crate) fn integral(float: f64) -> Result<u64, Fault> {
    if float >= 0.0 && float <= ID_MAX as f64 && float.trunc() == float {
        Ok(float as u64)
    } else {
        Err(Fault::Expected(Expected::Integer))
    }
}

/// Widens a half precision float (RFC 8949, appendix D).
pub(crate) fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// Appends values to octets.
///
/// Lists and dicts are opened with their number of entries and closed when all are written.
pub(crate) trait Writer {
    /// Whether text that starts with U+0000 would be taken for binary.
    const NUL_IS_BINARY: bool;

    /// Whether keys must be text.
    const TEXT_KEYS: bool;

    /// Whether the numbers given to `list` and `dict` matter.
    const COUNTED: bool;

    /// Octets before the next value.
    fn size(&self) -> usize;

    fn list(&mut self, count: usize);
    fn end_list(&mut self);
    fn dict(&mut self, count: usize);
    fn end_dict(&mut self);

    /// Opens a dict of fewer than 2^16 entries whose number is told at the end; returns a mark.
    fn open_fields(&mut self) -> usize;
    /// Closes what `open_fields` opened.
    fn close_fields(&mut self, mark: usize, count: usize);

    fn key(&mut self, key: &str);
    fn null(&mut self);
    fn boolean(&mut self, value: bool);
    fn unsigned(&mut self, value: u64);
    /// Writes the integer -1 - `value`.
    fn negative(&mut self, value: u64);
    fn float(&mut self, value: f64) -> Result<(), Unrepresentable>;
    fn text(&mut self, value: &str);
    fn binary(&mut self, value: &[u8]);

    /// Appends elements that are already encoded, `,` between JSON elements included.
    fn raw(&mut self, octets: &[u8]);

    /// Writes an integer; one beyond 64 bits becomes a float.
    fn integer(&mut self, value: i128) -> Result<(), Unrepresentable> {
        match (u64::try_from(value), u64::try_from(-1 - value)) {
            (Ok(value), _) => self.unsigned(value),
            (_, Ok(value)) => self.negative(value),
            _ => return self.float(value as f64),
        }
        Ok(())
    }
}
