use super::{binary_head, marker};
use crate::error::Unrepresentable;
use crate::wire::Writer;

/// Writes the shortest forms, lists and dicts without their number of entries, as Autobahn does.
pub(crate) struct UbjsonWriter<'o, const BJDATA: bool>(&'o mut Vec<u8>);

impl<'o, const BJDATA: bool> UbjsonWriter<'o, BJDATA> {
    /// Appends to `out`.
    #[inline(always)]
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self(out)
    }

    /// A number, given with its most significant octet first.
    #[inline(always)]
    fn number<const N: usize>(&mut self, marker: u8, mut octets: [u8; N]) {
        if BJDATA {
            octets.reverse();
        }
        self.0.push(marker);
        self.0.extend_from_slice(&octets);
    }

    /// An integer beyond the widest type.
    #[cold]
    fn high_precision(&mut self, value: i128) {
        let digits = value.to_string();
        self.0.push(marker::HIGH_PRECISION);
        self.sized(digits.as_bytes());
    }

    /// Octets behind their length.
    #[inline(always)]
    fn sized(&mut self, octets: &[u8]) {
        self.unsigned(octets.len() as u64);
        self.0.extend_from_slice(octets);
    }
}

impl<const BJDATA: bool> Writer for UbjsonWriter<'_, BJDATA> {
    const NUL_IS_BINARY: bool = false;
    const TEXT_KEYS: bool = true;
    const COUNTED: bool = false;

    fn size(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn list(&mut self, _count: usize) {
        self.0.push(marker::LIST);
    }

    #[inline(always)]
    fn end_list(&mut self) {
        self.0.push(marker::LIST_END);
    }

    fn dict(&mut self, _count: usize) {
        self.0.push(marker::DICT);
    }

    fn end_dict(&mut self) {
        self.0.push(marker::DICT_END);
    }

    #[inline(always)]
    fn open_fields(&mut self) -> usize {
        self.0.push(marker::DICT);
        0
    }

    #[inline(always)]
    fn close_fields(&mut self, _mark: usize, _count: usize) {
        self.0.push(marker::DICT_END);
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        self.sized(key.as_bytes());
    }

    fn null(&mut self) {
        self.0.push(marker::NULL);
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.0.push(if value { marker::TRUE } else { marker::FALSE });
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        match value {
            0..=0xff => self.number(marker::UNSIGNED_8, [value as u8]),
            0x100..=0x7fff if !BJDATA => self.number(marker::SIGNED_16, (value as u16).to_be_bytes()),
            0x100..=0xffff if BJDATA => self.number(marker::UNSIGNED_16, (value as u16).to_be_bytes()),
            0x8000..=0x7fff_ffff if !BJDATA => self.number(marker::SIGNED_32, (value as u32).to_be_bytes()),
            0x1_0000..=0xffff_ffff if BJDATA => {
                self.number(marker::UNSIGNED_32, (value as u32).to_be_bytes())
            }
            _ if BJDATA => self.number(marker::UNSIGNED_64, value.to_be_bytes()),
            0x8000_0000..=0x7fff_ffff_ffff_ffff => self.number(marker::SIGNED_64, value.to_be_bytes()),
            _ => self.high_precision(value.into()),
        }
    }

    fn negative(&mut self, value: u64) {
        match value {
            0..=0x7f => self.number(marker::SIGNED_8, [!value as u8]),
            0x80..=0x7fff => self.number(marker::SIGNED_16, (!value as i16).to_be_bytes()),
            0x8000..=0x7fff_ffff => self.number(marker::SIGNED_32, (!value as i32).to_be_bytes()),
            0x8000_0000..=0x7fff_ffff_ffff_ffff => self.number(marker::SIGNED_64, (!value).to_be_bytes()),
            _ => self.high_precision(-1 - i128::from(value)),
        }
    }

    fn float(&mut self, value: f64) -> Result<(), Unrepresentable> {
        self.number(marker::FLOAT_64, value.to_be_bytes());
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self, value: &str) {
        if let [octet] = value.as_bytes() {
            self.0.extend_from_slice(&[marker::CHARACTER, *octet]);
        } else {
            self.0.push(marker::TEXT);
            self.sized(value.as_bytes());
        }
    }

    fn binary(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&binary_head(BJDATA));
        self.sized(value);
    }

    #[inline(always)]
    fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }
}
