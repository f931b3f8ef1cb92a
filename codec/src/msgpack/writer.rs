use rmp::Marker;

use crate::error::Unrepresentable;
use crate::wire::Writer;

/// Most entries that the one-octet head of a dict can tell.
const FIX_MAP_MAX: usize = 15;

/// Writes MessagePack in the shortest forms.
pub(crate) struct MessagePackWriter<'o>(pub(crate) &'o mut Vec<u8>);

impl MessagePackWriter<'_> {
    #[inline(always)]
    fn marked<const N: usize>(&mut self, marker: Marker, octets: [u8; N]) {
        self.0.push(marker.to_u8());
        self.0.extend_from_slice(&octets);
    }

    /// The head of something whose size does not fit into the marker.
    fn long_head(&mut self, size: usize, of_16: Marker, of_32: Marker) {
        match u16::try_from(size) {
            Ok(size) => self.marked(of_16, size.to_be_bytes()),
            // Nothing longer than a message is ever written, and that is far below 2^32.
            Err(_) => self.marked(of_32, (size as u32).to_be_bytes()),
        }
    }
}

impl Writer for MessagePackWriter<'_> {
    const NUL_IS_BINARY: bool = false;
    const TEXT_KEYS: bool = false;
    const COUNTED: bool = true;

    fn size(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn list(&mut self, count: usize) {
        match count {
            0..=15 => self.0.push(Marker::FixArray(count as u8).to_u8()),
            _ => self.long_head(count, Marker::Array16, Marker::Array32),
        }
    }

    #[inline(always)]
    fn end_list(&mut self) {}

    fn dict(&mut self, count: usize) {
        match count {
            0..=FIX_MAP_MAX => self.0.push(Marker::FixMap(count as u8).to_u8()),
            _ => self.long_head(count, Marker::Map16, Marker::Map32),
        }
    }

    fn end_dict(&mut self) {}

    #[inline(always)]
    fn open_fields(&mut self) -> usize {
        self.0.push(Marker::FixMap(0).to_u8());
        self.0.len() - 1
    }

    #[inline(always)]
    fn close_fields(&mut self, mark: usize, count: usize) {
        if count <= FIX_MAP_MAX {
            self.0[mark] = Marker::FixMap(count as u8).to_u8();
        } else {
            let count = (count as u16).to_be_bytes();
            self.0.splice(mark..=mark, [Marker::Map16.to_u8(), count[0], count[1]]);
        }
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        self.text(key);
    }

    fn null(&mut self) {
        self.0.push(Marker::Null.to_u8());
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.0.push(if value { Marker::True } else { Marker::False }.to_u8());
    }

    #[inline]
    fn unsigned(&mut self, value: u64) {
        match value {
            0..=0x7f => self.0.push(value as u8),
            0x80..=0xff => self.marked(Marker::U8, [value as u8]),
            0x100..=0xffff => self.marked(Marker::U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(Marker::U32, (value as u32).to_be_bytes()),
            _ => self.marked(Marker::U64, value.to_be_bytes()),
        }
    }

    fn negative(&mut self, value: u64) {
        match value {
            0..=0x1f => self.0.push(!value as u8),
            0x20..=0x7f => self.marked(Marker::I8, [!value as u8]),
            0x80..=0x7fff => self.marked(Marker::I16, (!value as i16).to_be_bytes()),
            0x8000..=0x7fff_ffff => self.marked(Marker::I32, (!value as i32).to_be_bytes()),
            0x8000_0000..=0x7fff_ffff_ffff_ffff => self.marked(Marker::I64, (!value as i64).to_be_bytes()),
            // CBOR reaches down to -2^64: what MessagePack lacks becomes a float, as JSON's long integers do.
            _ => self.marked(Marker::F64, (-1.0 - value as f64).to_be_bytes()),
        }
    }

    fn float(&mut self, value: f64) -> Result<(), Unrepresentable> {
        self.marked(Marker::F64, value.to_be_bytes());
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self, value: &str) {
        match value.len() {
            size @ 0..=31 => self.0.push(Marker::FixStr(size as u8).to_u8()),
            size @ 32..=255 => self.marked(Marker::Str8, [size as u8]),
            size => self.long_head(size, Marker::Str16, Marker::Str32),
        }
        self.0.extend_from_slice(value.as_bytes());
    }

    fn binary(&mut self, value: &[u8]) {
        match value.len() {
            size @ 0..=255 => self.marked(Marker::Bin8, [size as u8]),
            size => self.long_head(size, Marker::Bin16, Marker::Bin32),
        }
        self.0.extend_from_slice(value);
    }

    #[inline(always)]
    fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }
}
