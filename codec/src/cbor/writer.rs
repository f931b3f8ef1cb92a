use super::{initial, major};
use crate::error::Unrepresentable;
use crate::wire::Writer;

/// Most entries that the one-octet head of a dict can tell.
const SHORT_MAX: usize = 23;

/// Writes CBOR in the shortest forms, with definite lengths.
pub(crate) struct CborWriter<'o>(pub(crate) &'o mut Vec<u8>);

impl CborWriter<'_> {
    #[inline(always)]
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.0.push(major | argument as u8),
            24..=0xff => self.0.extend_from_slice(&[major | 24, argument as u8]),
            0x100..=0xffff => self.long_head(major | 25, (argument as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.long_head(major | 26, (argument as u32).to_be_bytes()),
            _ => self.long_head(major | 27, argument.to_be_bytes()),
        }
    }

    #[inline(always)]
    fn long_head<const N: usize>(&mut self, initial: u8, argument: [u8; N]) {
        self.0.push(initial);
        self.0.extend_from_slice(&argument);
    }
}

impl Writer for CborWriter<'_> {
    const NUL_IS_BINARY: bool = false;
    const TEXT_KEYS: bool = false;
    const COUNTED: bool = true;

    fn size(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn list(&mut self, count: usize) {
        self.head(major::LIST, count as u64);
    }

    #[inline(always)]
    fn end_list(&mut self) {}

    fn dict(&mut self, count: usize) {
        self.head(major::DICT, count as u64);
    }

    fn end_dict(&mut self) {}

    #[inline(always)]
    fn open_fields(&mut self) -> usize {
        self.0.push(major::DICT << 5);
        self.0.len() - 1
    }

    #[inline(always)]
    fn close_fields(&mut self, mark: usize, count: usize) {
        if count <= SHORT_MAX {
            self.0[mark] = major::DICT << 5 | count as u8;
        } else {
            let fields = self.0.split_off(mark + 1);
            self.0.truncate(mark);
            self.head(major::DICT, count as u64);
            self.0.extend_from_slice(&fields);
        }
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        self.text(key);
    }

    fn null(&mut self) {
        self.0.push(initial::NULL);
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.0.push(if value { initial::TRUE } else { initial::FALSE });
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        self.head(major::UNSIGNED, value);
    }

    fn negative(&mut self, value: u64) {
        self.head(major::NEGATIVE, value);
    }

    fn float(&mut self, value: f64) -> Result<(), Unrepresentable> {
        self.long_head(initial::FLOAT_64, value.to_be_bytes());
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self, value: &str) {
        self.head(major::TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn binary(&mut self, value: &[u8]) {
        self.head(major::BINARY, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    #[inline(always)]
    fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }
}
