use std::borrow::Cow;

use rmp::Marker;

use crate::error::{Expected, Fault};
use crate::wire::{DecodeStart, Items, Kind, LEVELS_MAX, Reader, Token, check_utf8, integral, utf8};

/// Reads MessagePack; [`Items`] holds the number of entries left.
#[derive(Clone)]
pub(crate) struct MessagePackReader<'a> {
    octets: &'a [u8],
    position: usize,
}

impl<'a> MessagePackReader<'a> {
    #[inline(always)]
    fn peek(&self) -> Result<Marker, Fault> {
        self.octets.get(self.position).map(|&octet| Marker::from_u8(octet)).ok_or(Fault::Truncated)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(Fault::Truncated)?;
        self.position += N;
        Ok(*array)
    }

    #[inline(always)]
    fn u8(&mut self) -> Result<usize, Fault> {
        self.array::<1>().map(|[octet]| usize::from(octet))
    }

    #[inline(always)]
    fn u16(&mut self) -> Result<usize, Fault> {
        self.array().map(|array| usize::from(u16::from_be_bytes(array)))
    }

    #[inline(always)]
    fn u32(&mut self) -> Result<usize, Fault> {
        self.array().map(|array| u32::from_be_bytes(array) as usize)
    }

    #[inline(always)]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(Fault::Truncated)?;
        self.position += count;
        Ok(taken)
    }

    #[inline(always)]
    fn text_of(&mut self, count: usize) -> Result<&'a str, Fault> {
        self.take(count).and_then(utf8)
    }

    #[inline(always)]
    fn signed(value: i64) -> Token<'a> {
        if value < 0 { Token::Negative(!value as u64) } else { Token::Unsigned(value as u64) }
    }

    #[inline(always)]
    fn list_count(&mut self, marker: Marker) -> Result<Option<usize>, Fault> {
        match marker {
            Marker::FixArray(count) => Ok(Some(usize::from(count))),
            Marker::Array16 => self.u16().map(Some),
            Marker::Array32 => self.u32().map(Some),
            _ => Ok(None),
        }
    }

    #[inline(always)]
    fn dict_count(&mut self, marker: Marker) -> Result<Option<usize>, Fault> {
        match marker {
            Marker::FixMap(count) => Ok(Some(usize::from(count))),
            Marker::Map16 => self.u16().map(Some),
            Marker::Map32 => self.u32().map(Some),
            _ => Ok(None),
        }
    }

    #[inline(always)]
    fn text_size(&mut self, marker: Marker) -> Result<Option<usize>, Fault> {
        match marker {
            Marker::FixStr(count) => Ok(Some(usize::from(count))),
            Marker::Str8 => self.u8().map(Some),
            Marker::Str16 => self.u16().map(Some),
            Marker::Str32 => self.u32().map(Some),
            _ => Ok(None),
        }
    }

    #[inline(always)]
    fn binary_size(&mut self, marker: Marker) -> Result<Option<usize>, Fault> {
        match marker {
            Marker::Bin8 => self.u8().map(Some),
            Marker::Bin16 => self.u16().map(Some),
            Marker::Bin32 => self.u32().map(Some),
            _ => Ok(None),
        }
    }

    /// The octets of an extension: its type and its data.
    fn extension_size(&mut self, marker: Marker) -> Result<Option<usize>, Fault> {
        Ok(Some(match marker {
            Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::FixExt4 => 5,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::Ext8 => self.u8()? + 1,
            Marker::Ext16 => self.u16()? + 1,
            Marker::Ext32 => self.u32()?.saturating_add(1),
            _ => return Ok(None),
        }))
    }

    /// Reads a head by `read`; on `None` the position is as before and `expected` the fault.
    #[inline(always)]
    fn head(
        &mut self,
        expected: Expected,
        read: impl FnOnce(&mut Self, Marker) -> Result<Option<usize>, Fault>,
    ) -> Result<usize, Fault> {
        let marker = self.peek()?;
        self.position += 1;
        match read(self, marker)? {
            Some(count) => Ok(count),
            None => {
                self.position -= 1;
                Err(Fault::Expected(expected))
            }
        }
    }

    /// Signed integers and floats that are neither negative nor broken.
    #[cold]
    fn unsigned_slow(&mut self) -> Result<u64, Fault> {
        match self.kind()? {
            Kind::Number => match self.token()? {
                Token::Unsigned(value) => Ok(value),
                Token::Float(value) => integral(value),
                _ => Err(Fault::Expected(Expected::Integer)),
            },
            _ => Err(Fault::Expected(Expected::Integer)),
        }
    }

    /// Passes over one value. Recursion ends with `levels`.
    fn skip_value(&mut self, levels: usize) -> Result<(), Fault> {
        let marker = self.peek()?;
        self.position += 1;
        let size = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => 0,
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let size = self.text_size(marker)?.unwrap_or_default();
                return self.take(size).and_then(check_utf8);
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                let count = self.list_count(marker)?.unwrap_or_default();
                return self.skip_values(count as u64, levels);
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                let count = self.dict_count(marker)?.unwrap_or_default();
                return self.skip_values(2 * count as u64, levels);
            }
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 => 2,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.binary_size(marker)?.unwrap_or_default(),
            Marker::Reserved => return Err(Fault::InvalidSyntax),
            _ => self.extension_size(marker)?.unwrap_or_default(),
        };
        self.take(size).map(drop)
    }

    fn skip_values(&mut self, count: u64, levels: usize) -> Result<(), Fault> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        (0..count).try_for_each(|_| self.skip_value(levels))
    }

    #[inline(always)]
    fn any_text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let size = self.head(Expected::Text, Self::text_size)?;
        self.text_of(size).map(Cow::Borrowed)
    }
}

impl<'a> Reader<'a> for MessagePackReader<'a> {
    const TEXT_KEYS: bool = false;

    #[inline(always)]
    fn new(octets: &'a [u8]) -> Result<Self, DecodeStart> {
        Ok(Self { octets, position: 0 })
    }

    #[inline(always)]
    fn offset(&self) -> usize {
        self.position
    }

    #[inline(always)]
    fn span(&self, start: usize, end: usize) -> &'a [u8] {
        &self.octets[start..end]
    }

    #[inline(always)]
    fn end(&mut self) -> Result<(), Fault> {
        if self.position == self.octets.len() { Ok(()) } else { Err(Fault::TrailingOctets) }
    }

    #[inline(always)]
    fn list(&mut self) -> Result<Items, Fault> {
        self.head(Expected::List, Self::list_count).map(|count| Items(count as u64))
    }

    fn count(&self, items: Items) -> Option<usize> {
        Some(items.0 as usize)
    }

    #[inline(always)]
    fn next(&mut self, items: &mut Items) -> Result<bool, Fault> {
        if items.0 == 0 {
            return Ok(false);
        }
        items.0 -= 1;
        Ok(true)
    }

    #[inline(always)]
    fn dict(&mut self) -> Result<Items, Fault> {
        self.head(Expected::Dict, Self::dict_count).map(|count| Items(count as u64))
    }

    #[inline(always)]
    fn key(&mut self, items: &mut Items) -> Result<Option<Cow<'a, str>>, Fault> {
        if self.next(items)? { self.any_text().map(Some) } else { Ok(None) }
    }

    fn next_entry(&mut self, items: &mut Items) -> Result<bool, Fault> {
        self.next(items)
    }

    fn token_of_key(&mut self) -> Result<Token<'a>, Fault> {
        self.token()
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        self.skip(LEVELS_MAX)
    }

    fn between_key_and_value(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    #[inline]
    fn kind(&mut self) -> Result<Kind, Fault> {
        Ok(match self.peek()? {
            Marker::Null => Kind::Null,
            Marker::True | Marker::False => Kind::Bool,
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => Kind::Text,
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => Kind::Binary,
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => Kind::List,
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => Kind::Dict,
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::F32 | Marker::F64 => Kind::Number,
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => Kind::Number,
            Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => Kind::Number,
            Marker::Reserved => return Err(Fault::InvalidSyntax),
            _ => Kind::Other,
        })
    }

    #[inline(always)]
    fn null(&mut self) -> Result<bool, Fault> {
        let is_null = self.octets.get(self.position) == Some(&Marker::Null.to_u8());
        self.position += usize::from(is_null);
        Ok(is_null)
    }

    #[inline(always)]
    fn boolean(&mut self) -> Result<bool, Fault> {
        let value = match self.peek()? {
            Marker::True => true,
            Marker::False => false,
            _ => return Err(Fault::Expected(Expected::Bool)),
        };
        self.position += 1;
        Ok(value)
    }

    #[inline]
    fn unsigned(&mut self) -> Result<u64, Fault> {
        let start = self.position;
        let marker = self.peek()?;
        self.position += 1;
        let unsigned = match marker {
            Marker::FixPos(value) => return Ok(value.into()),
            Marker::U8 => return self.u8().map(|value| value as u64),
            Marker::U16 => return self.u16().map(|value| value as u64),
            Marker::U32 => return self.u32().map(|value| value as u64),
            Marker::U64 => return self.array().map(u64::from_be_bytes),
            _ => {
                self.position = start;
                self.unsigned_slow()
            }
        };
        if unsigned.is_err() {
            self.position = start;
        }
        unsigned
    }

    #[inline(always)]
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.position;
        let text = self.any_text()?;
        if text.as_bytes().first() == Some(&0) {
            self.position = start;
            return Err(Fault::Expected(Expected::Text));
        }
        Ok(text)
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'a>, Fault> {
        let marker = self.peek()?;
        self.position += 1;
        Ok(match marker {
            Marker::FixPos(value) => Token::Unsigned(value.into()),
            Marker::FixNeg(value) => Self::signed(value.into()),
            Marker::FixStr(size) => Token::Text(Cow::Borrowed(self.text_of(size.into())?)),
            Marker::FixArray(count) => Token::List(Items(count.into())),
            Marker::FixMap(count) => Token::Dict(Items(count.into())),
            Marker::Null => Token::Null,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::U8 => Token::Unsigned(self.u8()? as u64),
            Marker::U16 => Token::Unsigned(self.u16()? as u64),
            Marker::U32 => Token::Unsigned(self.u32()? as u64),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Self::signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Self::signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Self::signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Self::signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let size = self.text_size(marker)?.unwrap_or_default();
                Token::Text(Cow::Borrowed(self.text_of(size)?))
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let size = self.binary_size(marker)?.unwrap_or_default();
                Token::Binary(Cow::Borrowed(self.take(size)?))
            }
            Marker::Array16 => Token::List(Items(self.u16()? as u64)),
            Marker::Array32 => Token::List(Items(self.u32()? as u64)),
            Marker::Map16 => Token::Dict(Items(self.u16()? as u64)),
            Marker::Map32 => Token::Dict(Items(self.u32()? as u64)),
            Marker::Reserved => return Err(Fault::InvalidSyntax),
            _ => {
                let size = self.extension_size(marker)?.unwrap_or_default();
                self.take(size)?;
                Token::Extension
            }
        })
    }

    #[inline]
    fn skip(&mut self, levels: usize) -> Result<(), Fault> {
        self.skip_value(levels)
    }
}
