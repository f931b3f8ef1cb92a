use std::borrow::Cow;

use super::{initial, major};
use crate::error::{Expected, Fault};
use crate::limits::DEPTH_MAX;
use crate::wire::{DecodeStart, Items, Kind, LEVELS_MAX, Reader, Token, check_utf8, half, integral, utf8};

/// [`Items`] of a list or dict that ends with a break.
const INDEFINITE: u64 = u64::MAX;

/// Most tags in front of one value.
const TAGS_MAX: usize = DEPTH_MAX;

/// Tags of integers of any length: unsigned, and negative (-1 - n).
const TAG_BIGNUM: u64 = 2;
const TAG_NEGATIVE_BIGNUM: u64 = 3;

/// Reads CBOR; [`Items`] holds the number of entries left, or `INDEFINITE`.
#[derive(Clone)]
pub(crate) struct CborReader<'a> {
    octets: &'a [u8],
    position: usize,
}

impl<'a> CborReader<'a> {
    #[inline(always)]
    fn peek(&self) -> Result<u8, Fault> {
        self.octets.get(self.position).copied().ok_or(Fault::Truncated)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(Fault::Truncated)?;
        self.position += N;
        Ok(*array)
    }

    /// Reads the initial octet (already looked at) and its argument; `INDEFINITE` where the length is open.
    ///
    /// An explicit argument of 2^64-1 reads the same: as a length it is beyond any input, as a number callers ask
    /// [`CborReader::number_argument`].
    #[inline(always)]
    fn argument(&mut self, initial: u8) -> Result<u64, Fault> {
        self.position += 1;
        match initial & 0x1f {
            info @ 0..=23 => Ok(info.into()),
            24 => self.array::<1>().map(|[octet]| octet.into()),
            25 => self.array().map(|array| u16::from_be_bytes(array).into()),
            26 => self.array().map(|array| u32::from_be_bytes(array).into()),
            27 => self.array().map(u64::from_be_bytes),
            31 => Ok(INDEFINITE),
            _ => Err(Fault::InvalidSyntax),
        }
    }

    /// The argument of a major type that has no open length.
    #[inline(always)]
    fn number_argument(&mut self, initial: u8) -> Result<u64, Fault> {
        if initial & 0x1f == 31 {
            return Err(Fault::InvalidSyntax);
        }
        self.argument(initial)
    }

    /// The number of entries of a list or dict.
    #[inline(always)]
    fn entries(&mut self, initial: u8) -> Result<Items, Fault> {
        let count = self.argument(initial)?;
        // Every entry takes an octet at least: what cannot fit is refused before anybody relies on it.
        if initial & 0x1f != 31 && count > (self.octets.len() - self.position) as u64 {
            return Err(Fault::Truncated);
        }
        Ok(Items(count))
    }

    #[inline(always)]
    fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let count = usize::try_from(count).map_err(|_| Fault::Truncated)?;
        let taken = rest.get(..count).ok_or(Fault::Truncated)?;
        self.position += count;
        Ok(taken)
    }

    #[inline(always)]
    fn text_of(&mut self, size: u64) -> Result<&'a str, Fault> {
        self.take(size).and_then(utf8)
    }

    /// The chunks of a string of open length, whose head has been read.
    fn chunks(&mut self, major: u8, mut each: impl FnMut(&'a [u8])) -> Result<(), Fault> {
        loop {
            let initial = self.peek()?;
            if initial == initial::BREAK {
                self.position += 1;
                return Ok(());
            }
            if initial >> 5 != major {
                return Err(Fault::InvalidSyntax);
            }
            let size = self.number_argument(initial)?;
            each(if major == major::TEXT { self.text_of(size)?.as_bytes() } else { self.take(size)? });
        }
    }

    fn text_value(&mut self, initial: u8) -> Result<Cow<'a, str>, Fault> {
        if initial & 0x1f != 31 {
            let size = self.argument(initial)?;
            return self.text_of(size).map(Cow::Borrowed);
        }
        self.position += 1;
        let mut octets = Vec::new();
        self.chunks(major::TEXT, |chunk| octets.extend_from_slice(chunk))?;
        String::from_utf8(octets).map(Cow::Owned).map_err(|_| Fault::InvalidUtf8)
    }

    fn binary_value(&mut self, initial: u8) -> Result<Cow<'a, [u8]>, Fault> {
        if initial & 0x1f != 31 {
            let size = self.argument(initial)?;
            return self.take(size).map(Cow::Borrowed);
        }
        self.position += 1;
        let mut octets = Vec::new();
        self.chunks(major::BINARY, |chunk| octets.extend_from_slice(chunk))?;
        Ok(Cow::Owned(octets))
    }

    fn simple_value(&mut self, initial: u8) -> Result<Token<'a>, Fault> {
        self.position += 1;
        Ok(match initial {
            initial::FALSE => Token::Bool(false),
            initial::TRUE => Token::Bool(true),
            initial::FLOAT_16 => Token::Float(half(u16::from_be_bytes(self.array()?))),
            initial::FLOAT_32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            initial::FLOAT_64 => Token::Float(f64::from_be_bytes(self.array()?)),
            initial::SIMPLE if self.array::<1>()?[0] < 32 => return Err(Fault::InvalidSyntax),
            0xe0..=initial::SIMPLE => Token::Null,
            _ => return Err(Fault::InvalidSyntax),
        })
    }

    /// Passes over tags; returns the innermost.
    fn pass_tags(&mut self) -> Result<Option<u64>, Fault> {
        let mut innermost = None;
        for _ in 0..=TAGS_MAX {
            let initial = self.peek()?;
            if initial >> 5 != major::TAG {
                return Ok(innermost);
            }
            innermost = Some(self.number_argument(initial)?);
        }
        Err(Fault::TooDeep)
    }

    fn tagged(&mut self) -> Result<Token<'a>, Fault> {
        let tag = self.pass_tags()?;
        let initial = self.peek()?;
        match tag {
            Some(TAG_BIGNUM | TAG_NEGATIVE_BIGNUM) if initial >> 5 == major::BINARY => {
                let magnitude = self.binary_value(initial)?;
                Ok(bignum(&magnitude, tag == Some(TAG_NEGATIVE_BIGNUM)))
            }
            _ => self.token(),
        }
    }

    /// Passes over one value. Recursion ends with `levels`.
    fn skip_value(&mut self, levels: usize) -> Result<(), Fault> {
        let initial = self.peek()?;
        match initial >> 5 {
            major::UNSIGNED | major::NEGATIVE => self.number_argument(initial).map(drop),
            major::TEXT if initial & 0x1f != 31 => {
                let size = self.argument(initial)?;
                self.take(size).and_then(check_utf8)
            }
            major::BINARY if initial & 0x1f != 31 => {
                let size = self.argument(initial)?;
                self.take(size).map(drop)
            }
            major @ (major::TEXT | major::BINARY) => {
                self.position += 1;
                self.chunks(major, |_| ())
            }
            major::LIST => {
                let items = self.entries(initial)?;
                self.skip_values(items, 1, levels)
            }
            major::DICT => {
                let items = self.entries(initial)?;
                self.skip_values(items, 2, levels)
            }
            // A level of nesting, see `tags`: receivers may take it for one.
            major::TAG => {
                let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
                self.number_argument(initial)?;
                self.skip_value(levels)
            }
            _ => self.simple_value(initial).map(drop),
        }
    }

    /// Passes over entries of `width` values each.
    fn skip_values(&mut self, mut items: Items, width: u64, levels: usize) -> Result<(), Fault> {
        let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        if items.0 != INDEFINITE {
            return (0..items.0 * width).try_for_each(|_| self.skip_value(levels));
        }
        while self.next(&mut items)? {
            (0..width).try_for_each(|_| self.skip_value(levels))?;
        }
        Ok(())
    }

    #[inline(always)]
    fn any_text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let initial = self.peek()?;
        if initial >> 5 != major::TEXT {
            return Err(Fault::Expected(Expected::Text));
        }
        if initial & 0x1f < 24 {
            self.position += 1;
            return self.text_of((initial & 0x1f).into()).map(Cow::Borrowed);
        }
        self.text_value(initial)
    }
}

impl<'a> Reader<'a> for CborReader<'a> {
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
        let initial = self.peek()?;
        if initial >> 5 != major::LIST {
            return Err(Fault::Expected(Expected::List));
        }
        self.entries(initial)
    }

    fn count(&self, items: Items) -> Option<usize> {
        (items.0 != INDEFINITE).then_some(items.0 as usize)
    }

    #[inline(always)]
    fn next(&mut self, items: &mut Items) -> Result<bool, Fault> {
        if items.0 == INDEFINITE {
            let is_end = self.peek()? == initial::BREAK;
            self.position += usize::from(is_end);
            return Ok(!is_end);
        }
        if items.0 == 0 {
            return Ok(false);
        }
        items.0 -= 1;
        Ok(true)
    }

    #[inline(always)]
    fn dict(&mut self) -> Result<Items, Fault> {
        let initial = self.peek()?;
        if initial >> 5 != major::DICT {
            return Err(Fault::Expected(Expected::Dict));
        }
        self.entries(initial)
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
        let initial = self.peek()?;
        Ok(match initial >> 5 {
            major::UNSIGNED | major::NEGATIVE => Kind::Number,
            major::BINARY => Kind::Binary,
            major::TEXT => Kind::Text,
            major::LIST => Kind::List,
            major::DICT => Kind::Dict,
            major::TAG => Kind::Other,
            _ => match initial {
                initial::FALSE | initial::TRUE => Kind::Bool,
                initial::FLOAT_16 | initial::FLOAT_32 | initial::FLOAT_64 => Kind::Number,
                initial::NULL | initial::UNDEFINED => Kind::Null,
                _ => Kind::Other,
            },
        })
    }

    #[inline(always)]
    fn null(&mut self) -> Result<bool, Fault> {
        let initial = self.octets.get(self.position);
        let is_null = matches!(initial, Some(&(initial::NULL | initial::UNDEFINED)));
        self.position += usize::from(is_null);
        Ok(is_null)
    }

    #[inline(always)]
    fn boolean(&mut self) -> Result<bool, Fault> {
        let value = match self.peek()? {
            initial::TRUE => true,
            initial::FALSE => false,
            _ => return Err(Fault::Expected(Expected::Bool)),
        };
        self.position += 1;
        Ok(value)
    }

    #[inline]
    fn unsigned(&mut self) -> Result<u64, Fault> {
        let initial = self.peek()?;
        if initial >> 5 == major::UNSIGNED {
            return self.number_argument(initial);
        }
        let start = self.position;
        let unsigned = match initial {
            initial::FLOAT_16 | initial::FLOAT_32 | initial::FLOAT_64 => match self.simple_value(initial)? {
                Token::Float(float) => integral(float),
                _ => Err(Fault::Expected(Expected::Integer)),
            },
            _ => Err(Fault::Expected(Expected::Integer)),
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
    fn tags(&self) -> usize {
        let mut ahead = self.clone();
        let mut is_tag = || {
            let initial = ahead.peek()?;
            Ok::<_, Fault>(initial >> 5 == major::TAG && ahead.number_argument(initial).is_ok())
        };
        (0..=TAGS_MAX).take_while(|_| is_tag() == Ok(true)).count()
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'a>, Fault> {
        let initial = self.peek()?;
        Ok(match initial >> 5 {
            major::UNSIGNED => Token::Unsigned(self.number_argument(initial)?),
            major::NEGATIVE => Token::Negative(self.number_argument(initial)?),
            major::BINARY => Token::Binary(self.binary_value(initial)?),
            major::TEXT => Token::Text(self.text_value(initial)?),
            major::LIST => Token::List(self.entries(initial)?),
            major::DICT => Token::Dict(self.entries(initial)?),
            major::TAG => self.tagged()?,
            _ => self.simple_value(initial)?,
        })
    }

    #[inline]
    fn skip(&mut self, levels: usize) -> Result<(), Fault> {
        self.skip_value(levels)
    }
}

fn bignum<'a>(magnitude: &[u8], is_negative: bool) -> Token<'a> {
    let significant = magnitude.iter().position(|&octet| octet != 0).unwrap_or(magnitude.len());
    let magnitude = &magnitude[significant..];
    if magnitude.len() <= 8 {
        let value = magnitude.iter().fold(0, |value, &octet| value << 8 | u64::from(octet));
        return if is_negative { Token::Negative(value) } else { Token::Unsigned(value) };
    }
    let value = magnitude.iter().fold(0f64, |value, &octet| value * 256.0 + f64::from(octet));
    Token::Float(if is_negative { -1.0 - value } else { value })
}
