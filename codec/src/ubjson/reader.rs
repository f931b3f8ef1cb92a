use std::borrow::Cow;
use std::mem;

use super::{binary_type, marker};
use crate::error::{Expected, Fault};
use crate::json::scan;
use crate::wire::{DecodeStart, Items, Kind, Reader, Token, check_utf8, half, integral, utf8};

/// Most entries of a typed list whose entries take no octets: as many as its shortest head has octets behind the `[`.
const ZERO_SIZED_MAX: usize = 5;

/// [`Items`] of a list or dict that does not tell its number of entries.
const OPEN: u64 = u64::MAX;

/// Reads UBJSON or BJData; [`Items`] holds the number of entries left above the type of the values (8 bits, 0 if each tells
/// its own), or `OPEN`.
#[derive(Clone)]
pub(crate) struct UbjsonReader<'a, const BJDATA: bool> {
    octets: &'a [u8],
    position: usize,
    /// The type of the next value if its list or dict has told it, else 0.
    told: u8,
    /// The same of the value behind the next key.
    told_behind_key: u8,
}

/// What can stand behind a `[`.
enum ListForm {
    Entries(Items),
    /// Binary of this size.
    Binary(usize),
    /// An array of several dimensions, of this many octets.
    Array(usize),
}

/// How many entries a list has.
enum Count {
    Open,
    Plain(usize),
    /// As a list of dimensions, which are this many.
    Dimensions(usize, usize),
}

impl<'a, const BJDATA: bool> UbjsonReader<'a, BJDATA> {
    #[inline(always)]
    fn octet(&self) -> Result<u8, Fault> {
        self.octets.get(self.position).copied().ok_or(Fault::Truncated)
    }

    /// The number of octets not read yet.
    #[inline(always)]
    fn left(&self) -> usize {
        self.octets.len() - self.position
    }

    #[inline(always)]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(Fault::Truncated)?;
        self.position += count;
        Ok(taken)
    }

    /// The octets of a number, the most significant first.
    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let mut array = *rest.first_chunk::<N>().ok_or(Fault::Truncated)?;
        self.position += N;
        if BJDATA {
            array.reverse();
        }
        Ok(array)
    }

    /// The type of the next value, without reading it.
    #[inline(always)]
    fn peek(&self) -> Result<u8, Fault> {
        if self.told != 0 { Ok(self.told) } else { self.octet() }
    }

    /// Reads the type of the next value.
    #[inline(always)]
    fn marker(&mut self) -> Result<u8, Fault> {
        if self.told != 0 {
            return Ok(mem::take(&mut self.told));
        }
        let marker = self.octet()?;
        self.position += 1;
        Ok(marker)
    }

    /// Reads an integer of this type.
    #[inline(always)]
    fn integer(&mut self, marker: u8) -> Result<Option<Token<'a>>, Fault> {
        let signed = match marker {
            marker::UNSIGNED_8 => return self.array().map(|[octet]| Some(Token::Unsigned(octet.into()))),
            marker::OCTET if BJDATA => {
                return self.array().map(|[octet]| Some(Token::Unsigned(octet.into())));
            }
            marker::UNSIGNED_16 if BJDATA => u16::from_be_bytes(self.array()?).into(),
            marker::UNSIGNED_32 if BJDATA => u32::from_be_bytes(self.array()?).into(),
            marker::UNSIGNED_64 if BJDATA => {
                return self.array().map(|array| Some(Token::Unsigned(u64::from_be_bytes(array))));
            }
            marker::SIGNED_8 => i8::from_be_bytes(self.array()?).into(),
            marker::SIGNED_16 => i16::from_be_bytes(self.array()?).into(),
            marker::SIGNED_32 => i32::from_be_bytes(self.array()?).into(),
            marker::SIGNED_64 => i64::from_be_bytes(self.array()?),
            _ => return Ok(None),
        };
        Ok(Some(if signed < 0 { Token::Negative(!signed as u64) } else { Token::Unsigned(signed as u64) }))
    }

    /// Reads a number of this type.
    fn number(&mut self, marker: u8) -> Result<Option<Token<'a>>, Fault> {
        let float = match marker {
            marker::FLOAT_16 if BJDATA => half(u16::from_be_bytes(self.array()?)),
            marker::FLOAT_32 => f32::from_be_bytes(self.array()?).into(),
            marker::FLOAT_64 => f64::from_be_bytes(self.array()?),
            marker::HIGH_PRECISION => return self.high_precision().map(Some),
            _ => return self.integer(marker),
        };
        Ok(Some(Token::Float(float)))
    }

    fn high_precision(&mut self) -> Result<Token<'a>, Fault> {
        let size = self.size()?;
        let start = self.position;
        let digits = self.take(size)?;
        decimal(digits).ok_or(Fault::InvalidNumber).inspect_err(|_| self.position = start)
    }

    /// A length or a number of entries.
    #[inline(always)]
    fn size(&mut self) -> Result<usize, Fault> {
        let marker = self.octet()?;
        self.position += 1;
        match self.integer(marker)? {
            Some(Token::Unsigned(size)) => usize::try_from(size).map_err(|_| Fault::Truncated),
            _ => Err(Fault::InvalidSyntax),
        }
    }

    #[inline(always)]
    fn sized_text(&mut self) -> Result<&'a str, Fault> {
        let size = self.size()?;
        self.take(size).and_then(utf8)
    }

    fn character(&mut self) -> Result<&'a str, Fault> {
        self.take(1).and_then(utf8)
    }

    /// The type of the entries behind `$`, 0 without one.
    fn entry_type(&mut self) -> Result<u8, Fault> {
        if self.octet()? != marker::TYPE {
            return Ok(0);
        }
        self.position += 1;
        let entry_type = self.octet()?;
        if kind_of::<BJDATA>(entry_type).is_none() {
            return Err(Fault::InvalidSyntax);
        }
        self.position += 1;
        if self.octet()? != marker::COUNT {
            return Err(Fault::InvalidSyntax);
        }
        Ok(entry_type)
    }

    fn entry_count(&mut self) -> Result<Count, Fault> {
        if self.octet()? != marker::COUNT {
            return Ok(Count::Open);
        }
        self.position += 1;
        if BJDATA && self.octet()? == marker::LIST {
            self.position += 1;
            return self.dimensions();
        }
        self.size().map(Count::Plain)
    }

    fn dimensions(&mut self) -> Result<Count, Fault> {
        let (mut dimensions, mut count) = (0, 1usize);
        while self.octet()? != marker::LIST_END {
            dimensions += 1;
            count = count.checked_mul(self.size()?).ok_or(Fault::Truncated)?;
        }
        self.position += 1;
        if dimensions == 0 { Err(Fault::InvalidSyntax) } else { Ok(Count::Dimensions(dimensions, count)) }
    }

    /// Reads what stands between `[` and the first entry.
    #[inline]
    fn list_head(&mut self) -> Result<ListForm, Fault> {
        let entry_type = self.entry_type()?;
        match self.entry_count()? {
            Count::Open => Ok(ListForm::Entries(Items(OPEN))),
            Count::Plain(count) if entry_type == binary_type(BJDATA) => Ok(ListForm::Binary(count)),
            Count::Plain(count) | Count::Dimensions(1, count) => {
                self.items(entry_type, count).map(ListForm::Entries)
            }
            Count::Dimensions(_, count) => match width::<BJDATA>(entry_type) {
                Some(width @ 1..) => count.checked_mul(width).map(ListForm::Array).ok_or(Fault::Truncated),
                _ => Err(Fault::InvalidSyntax),
            },
        }
    }

    /// Reads what stands between `{` and the first key.
    #[inline]
    fn dict_head(&mut self) -> Result<Items, Fault> {
        let entry_type = self.entry_type()?;
        match self.entry_count()? {
            Count::Open => Ok(Items(OPEN)),
            // A key takes an octet at least.
            Count::Plain(count) if count <= self.left() => {
                Ok(Items((count as u64) << 8 | u64::from(entry_type)))
            }
            Count::Plain(_) => Err(Fault::Truncated),
            Count::Dimensions(..) => Err(Fault::InvalidSyntax),
        }
    }

    /// The entries of a list: what cannot fit is refused before anybody relies on it.
    fn items(&self, entry_type: u8, count: usize) -> Result<Items, Fault> {
        match width::<BJDATA>(entry_type) {
            Some(0) if count > ZERO_SIZED_MAX => Err(Fault::InvalidSyntax),
            Some(0) => Ok(()),
            width if count > self.left() / width.unwrap_or(1) => Err(Fault::Truncated),
            _ => Ok(()),
        }?;
        Ok(Items((count as u64) << 8 | u64::from(entry_type)))
    }

    /// Passes over octets that say nothing.
    #[inline(always)]
    fn no_operations(&mut self) -> Result<u8, Fault> {
        loop {
            match self.octet()? {
                marker::NO_OPERATION => self.position += 1,
                octet => return Ok(octet),
            }
        }
    }

    /// Moves to the next entry; returns its type.
    #[inline(always)]
    fn advance(&mut self, items: &mut Items, end: u8) -> Result<Option<u8>, Fault> {
        if items.0 == OPEN {
            let is_end = self.no_operations()? == end;
            self.position += usize::from(is_end);
            return Ok((!is_end).then_some(0));
        }
        let Some(left) = items.0.checked_sub(1 << 8) else { return Ok(None) };
        *items = Items(left);
        let entry_type = left as u8;
        if entry_type == 0 {
            self.no_operations()?;
        }
        Ok(Some(entry_type))
    }

    /// Passes over one value. Recursion ends with `levels`.
    fn skip_value(&mut self, levels: usize) -> Result<(), Fault> {
        match self.marker()? {
            marker::TEXT => {
                let size = self.size()?;
                self.take(size).and_then(check_utf8)
            }
            marker::CHARACTER => self.character().map(drop),
            marker::HIGH_PRECISION => self.high_precision().map(drop),
            marker::LIST => match self.list_head()? {
                ListForm::Entries(items) => self.skip_list(items, levels),
                ListForm::Binary(size) | ListForm::Array(size) => self.take(size).map(drop),
            },
            marker::DICT => {
                let items = self.dict_head()?;
                self.skip_dict(items, levels)
            }
            marker => self.skip_width(marker, 1),
        }
    }

    /// Passes over values of a type of fixed width.
    fn skip_width(&mut self, marker: u8, count: usize) -> Result<(), Fault> {
        let width = width::<BJDATA>(marker).ok_or(Fault::InvalidSyntax)?;
        self.take(width * count).map(drop)
    }

    fn skip_list(&mut self, mut items: Items, levels: usize) -> Result<(), Fault> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        let entry_type = items.0 as u8;
        if items.0 != OPEN && entry_type != marker::CHARACTER && width::<BJDATA>(entry_type).is_some() {
            return self.skip_width(entry_type, (items.0 >> 8) as usize);
        }
        while self.next(&mut items)? {
            self.skip_value(levels)?;
        }
        Ok(())
    }

    fn skip_dict(&mut self, mut items: Items, levels: usize) -> Result<(), Fault> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        while self.next_entry(&mut items)? {
            self.skip_key()?;
            self.between_key_and_value()?;
            self.skip_value(levels)?;
        }
        Ok(())
    }

    /// Reads the next value by `read`; where that finds another type the position is as before and `expected` the fault.
    #[inline(always)]
    fn typed<T>(
        &mut self,
        expected: Expected,
        read: impl FnOnce(&mut Self, u8) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        let (position, told) = (self.position, self.told);
        let marker = self.marker()?;
        if let Some(value) = read(self, marker)? {
            return Ok(value);
        }
        (self.position, self.told) = (position, told);
        Err(Fault::Expected(expected))
    }
}

impl<'a, const BJDATA: bool> Reader<'a> for UbjsonReader<'a, BJDATA> {
    const TEXT_KEYS: bool = true;

    /// What says nothing in front of the first value is passed over.
    #[inline(always)]
    fn new(octets: &'a [u8]) -> Result<Self, DecodeStart> {
        let position = octets.iter().take_while(|&&octet| octet == marker::NO_OPERATION).count();
        Ok(Self { octets, position, told: 0, told_behind_key: 0 })
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
        if self.left() == 0 { Ok(()) } else { Err(Fault::TrailingOctets) }
    }

    #[inline(always)]
    fn list(&mut self) -> Result<Items, Fault> {
        self.typed(Expected::List, |reader, marker| {
            if marker != marker::LIST {
                return Ok(None);
            }
            Ok(match reader.list_head()? {
                ListForm::Entries(items) => Some(items),
                ListForm::Binary(_) | ListForm::Array(_) => None,
            })
        })
    }

    fn count(&self, items: Items) -> Option<usize> {
        (items.0 != OPEN).then_some((items.0 >> 8) as usize)
    }

    #[inline(always)]
    fn next(&mut self, items: &mut Items) -> Result<bool, Fault> {
        let entry_type = self.advance(items, marker::LIST_END)?;
        self.told = entry_type.unwrap_or_default();
        Ok(entry_type.is_some())
    }

    #[inline(always)]
    fn dict(&mut self) -> Result<Items, Fault> {
        self.typed(Expected::Dict, |reader, marker| match marker {
            marker::DICT => reader.dict_head().map(Some),
            _ => Ok(None),
        })
    }

    #[inline(always)]
    fn key(&mut self, items: &mut Items) -> Result<Option<Cow<'a, str>>, Fault> {
        if !self.next_entry(items)? {
            return Ok(None);
        }
        let key = self.sized_text()?;
        self.told = self.told_behind_key;
        Ok(Some(Cow::Borrowed(key)))
    }

    #[inline(always)]
    fn next_entry(&mut self, items: &mut Items) -> Result<bool, Fault> {
        let Some(entry_type) = self.advance(items, marker::DICT_END)? else { return Ok(false) };
        // In front of a key there may be such octets even where the type of the values is told.
        self.no_operations()?;
        self.told_behind_key = entry_type;
        Ok(true)
    }

    fn token_of_key(&mut self) -> Result<Token<'a>, Fault> {
        self.sized_text().map(|key| Token::Text(Cow::Borrowed(key)))
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        let size = self.size()?;
        self.take(size).and_then(check_utf8)
    }

    fn between_key_and_value(&mut self) -> Result<(), Fault> {
        self.told = self.told_behind_key;
        Ok(())
    }

    #[inline]
    fn kind(&mut self) -> Result<Kind, Fault> {
        let marker = self.peek()?;
        if marker == marker::LIST {
            let mut ahead = self.clone();
            ahead.marker()?;
            return Ok(match ahead.list_head()? {
                ListForm::Entries(_) => Kind::List,
                ListForm::Binary(_) => Kind::Binary,
                ListForm::Array(_) => Kind::Other,
            });
        }
        kind_of::<BJDATA>(marker).ok_or(Fault::InvalidSyntax)
    }

    #[inline(always)]
    fn null(&mut self) -> Result<bool, Fault> {
        let is_null = self.peek() == Ok(marker::NULL);
        if is_null {
            self.marker()?;
        }
        Ok(is_null)
    }

    #[inline(always)]
    fn boolean(&mut self) -> Result<bool, Fault> {
        self.typed(Expected::Bool, |_, marker| match marker {
            marker::TRUE => Ok(Some(true)),
            marker::FALSE => Ok(Some(false)),
            _ => Ok(None),
        })
    }

    #[inline]
    fn unsigned(&mut self) -> Result<u64, Fault> {
        self.typed(Expected::Integer, |reader, marker| match reader.number(marker)? {
            Some(Token::Unsigned(value)) => Ok(Some(value)),
            Some(Token::Float(value)) => Ok(integral(value).ok()),
            _ => Ok(None),
        })
    }

    #[inline(always)]
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.typed(Expected::Text, |reader, marker| {
            let text = match marker {
                marker::TEXT => reader.sized_text()?,
                marker::CHARACTER => reader.character()?,
                _ => return Ok(None),
            };
            Ok((text.as_bytes().first() != Some(&0)).then_some(Cow::Borrowed(text)))
        })
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'a>, Fault> {
        let marker = self.marker()?;
        Ok(match marker {
            marker::TEXT => Token::Text(Cow::Borrowed(self.sized_text()?)),
            marker::CHARACTER => Token::Text(Cow::Borrowed(self.character()?)),
            marker::LIST => match self.list_head()? {
                ListForm::Entries(items) => Token::List(items),
                ListForm::Binary(size) => Token::Binary(Cow::Borrowed(self.take(size)?)),
                ListForm::Array(size) => {
                    self.take(size)?;
                    Token::Extension
                }
            },
            marker::DICT => Token::Dict(self.dict_head()?),
            marker::NULL => Token::Null,
            marker::TRUE => Token::Bool(true),
            marker::FALSE => Token::Bool(false),
            _ => self.number(marker)?.ok_or(Fault::InvalidSyntax)?,
        })
    }

    #[inline]
    fn skip(&mut self, levels: usize) -> Result<(), Fault> {
        self.skip_value(levels)
    }
}

/// A number in decimal digits, as in JSON.
fn decimal<'a>(digits: &[u8]) -> Option<Token<'a>> {
    let (_, is_integer) = scan::number(digits, 0).ok().filter(|(end, _)| *end == digits.len())?;
    let digits = std::str::from_utf8(digits).ok()?;
    let integer = digits.parse::<i128>().ok().filter(|_| is_integer && digits != "-0");
    let Some(integer) = integer else { return digits.parse().ok().map(Token::Float) };
    match (u64::try_from(integer), u64::try_from(-1 - integer)) {
        (Ok(value), _) => Some(Token::Unsigned(value)),
        (_, Ok(value)) => Some(Token::Negative(value)),
        _ => Some(Token::Float(integer as f64)),
    }
}

/// The kind of values of this type; none if the dialect has no such type. A list may turn out to be binary.
fn kind_of<const BJDATA: bool>(marker: u8) -> Option<Kind> {
    Some(match marker {
        marker::NULL => Kind::Null,
        marker::TRUE | marker::FALSE => Kind::Bool,
        marker::CHARACTER | marker::TEXT => Kind::Text,
        marker::LIST => Kind::List,
        marker::DICT => Kind::Dict,
        marker::HIGH_PRECISION => Kind::Number,
        _ => width::<BJDATA>(marker).map(|_| Kind::Number)?,
    })
}

/// The octets that each value of this type takes behind its marker, if all take the same.
#[inline(always)]
const fn width<const BJDATA: bool>(marker: u8) -> Option<usize> {
    Some(match marker {
        marker::NULL | marker::TRUE | marker::FALSE => 0,
        marker::SIGNED_8 | marker::UNSIGNED_8 | marker::CHARACTER => 1,
        marker::SIGNED_16 => 2,
        marker::SIGNED_32 | marker::FLOAT_32 => 4,
        marker::SIGNED_64 | marker::FLOAT_64 => 8,
        marker::OCTET if BJDATA => 1,
        marker::UNSIGNED_16 | marker::FLOAT_16 if BJDATA => 2,
        marker::UNSIGNED_32 if BJDATA => 4,
        marker::UNSIGNED_64 if BJDATA => 8,
        _ => return None,
    })
}
