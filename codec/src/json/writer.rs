use base64::Engine as _;

use super::scan::plain_end;
use super::{BASE64, BINARY_PREFIX};
use crate::error::Unrepresentable;
use crate::wire::Writer;

/// Writes compact JSON. A comma is due unless the last octet opened something: no value ends in `[`, `{` or `:`.
pub(crate) struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where the first value starts; what stands before belongs to somebody else.
    start: usize,
}

impl<'o> JsonWriter<'o> {
    /// Appends to `out`.
    #[inline(always)]
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    #[inline(always)]
    fn separate(&mut self) {
        if self.out.len() > self.start && !matches!(self.out.last(), Some(b'[' | b'{' | b':')) {
            self.out.push(b',');
        }
    }

    #[inline(always)]
    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let octets = text.as_bytes();
        let plain = plain_end(octets, 0);
        self.out.extend_from_slice(&octets[..plain]);
        if plain < octets.len() {
            self.escaped(&octets[plain..]);
        }
        self.out.push(b'"');
    }

    #[inline]
    fn digits(&mut self, mut value: u64) {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[start..]);
    }

    fn escaped(&mut self, mut octets: &[u8]) {
        while let Some((&first, rest)) = octets.split_first() {
            self.escape(first);
            let plain = plain_end(rest, 0);
            self.out.extend_from_slice(&rest[..plain]);
            octets = &rest[plain..];
        }
    }

    fn escape(&mut self, octet: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let letter = match octet {
            b'"' | b'\\' => octet,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                let (high, low) = (HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]);
                self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', letter]);
    }
}

impl Writer for JsonWriter<'_> {
    const NUL_IS_BINARY: bool = true;
    const TEXT_KEYS: bool = true;
    const COUNTED: bool = false;

    fn size(&self) -> usize {
        self.out.len()
    }

    #[inline(always)]
    fn list(&mut self, _count: usize) {
        self.separate();
        self.out.push(b'[');
    }

    #[inline(always)]
    fn end_list(&mut self) {
        self.out.push(b']');
    }

    fn dict(&mut self, _count: usize) {
        self.separate();
        self.out.push(b'{');
    }

    fn end_dict(&mut self) {
        self.out.push(b'}');
    }

    #[inline(always)]
    fn open_fields(&mut self) -> usize {
        self.separate();
        self.out.push(b'{');
        0
    }

    #[inline(always)]
    fn close_fields(&mut self, _mark: usize, _count: usize) {
        self.out.push(b'}');
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        self.separate();
        self.string(key);
        self.out.push(b':');
    }

    fn null(&mut self) {
        self.separate();
        self.out.extend_from_slice(b"null");
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        self.separate();
        self.digits(value);
    }

    fn negative(&mut self, value: u64) {
        self.separate();
        self.out.push(b'-');
        match value.checked_add(1) {
            Some(magnitude) => self.digits(magnitude),
            None => self.out.extend_from_slice(b"18446744073709551616"),
        }
    }

    fn float(&mut self, value: f64) -> Result<(), Unrepresentable> {
        if !value.is_finite() {
            return Err(Unrepresentable::NonFiniteFloat);
        }
        self.separate();
        // `Debug` is the shortest form that reads back, and always has a point or an exponent.
        self.out.extend_from_slice(format!("{value:?}").as_bytes());
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self, value: &str) {
        self.separate();
        self.string(value);
    }

    fn binary(&mut self, value: &[u8]) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(BINARY_PREFIX.as_bytes());
        self.out.extend_from_slice(BASE64.encode(value).as_bytes());
        self.out.push(b'"');
    }

    #[inline(always)]
    fn raw(&mut self, octets: &[u8]) {
        self.separate();
        self.out.extend_from_slice(octets);
    }
}
