use std::borrow::Cow;

use base64::Engine as _;

use super::scan::{self, octet, white_space};
use super::{BASE64, BINARY_PREFIX};
use crate::error::{Expected, Fault};
use crate::wire::{DecodeStart, Items, Kind, Reader, Token, integral};

/// Marks of [`Items`]: whether an entry was read already.
const FIRST: u64 = 0;
const FURTHER: u64 = 1;

/// Reads JSON. Between two calls the position is behind a value, or (in lists and dicts) in front of one.
#[derive(Clone)]
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> JsonReader<'a> {
    #[inline(always)]
    fn octets(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[inline(always)]
    fn octet(&self) -> u8 {
        octet(self.octets(), self.position)
    }

    #[inline(always)]
    fn skip_white_space(&mut self) {
        self.position = white_space(self.octets(), self.position);
    }

    #[inline(always)]
    fn move_to(&mut self, scanned: Result<usize, (Fault, usize)>) -> Result<(), Fault> {
        match scanned {
            Ok(position) => {
                self.position = position;
                Ok(())
            }
            Err((fault, position)) => {
                self.position = position;
                Err(fault)
            }
        }
    }

    /// The fault when the value here has none of the wanted types.
    #[cold]
    fn refusal(&self, expected: Expected) -> Fault {
        if self.position >= self.octets().len() { Fault::Truncated } else { Fault::Expected(expected) }
    }

    #[inline(always)]
    fn enter(&mut self, bracket: u8, expected: Expected) -> Result<Items, Fault> {
        if self.octet() != bracket {
            return Err(self.refusal(expected));
        }
        self.position += 1;
        Ok(Items(FIRST))
    }

    #[inline(always)]
    fn advance(&mut self, items: &mut Items, close: u8) -> Result<bool, Fault> {
        self.skip_white_space();
        let found = self.octet();
        if found == close {
            self.position += 1;
            return Ok(false);
        }
        if items.0 == FURTHER {
            if found != b',' {
                return Err(scan::fault_at(self.octets(), self.position));
            }
            self.position += 1;
            self.skip_white_space();
        }
        items.0 = FURTHER;
        Ok(true)
    }

    /// Reads the string whose opening quote is at the position; escapes are resolved.
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.position + 1;
        let end = scan::plain_end(self.octets(), start);
        if octet(self.octets(), end) == b'"' {
            self.position = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let scanned = scan::string(self.octets(), start);
        self.move_to(scanned)?;
        Ok(Cow::Owned(unescape(&self.text[start..self.position - 1])?))
    }

    #[inline(always)]
    fn is_binary(&self) -> bool {
        octet(self.octets(), self.position + 1) == b'\\'
            && self.octets()[self.position + 1..].starts_with(BINARY_PREFIX.as_bytes())
    }

    fn binary(&mut self) -> Result<Vec<u8>, Fault> {
        let start = self.position + 1;
        let scanned = scan::string(self.octets(), start);
        self.move_to(scanned)?;
        base64(&self.octets()[start + BINARY_PREFIX.len()..self.position - 1])
    }

    fn number(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.position;
        let (end, is_integer) = match scan::number(self.octets(), start) {
            Ok(number) => number,
            Err((fault, position)) => {
                self.position = position;
                return Err(fault);
            }
        };
        self.position = end;
        let digits = &self.text[start..end];
        if is_integer && let Some(integer) = integer(digits) {
            return Ok(integer);
        }
        digits.parse().map(Token::Float).map_err(|_| Fault::InvalidNumber)
    }

    #[cold]
    fn unsigned_slow(&mut self) -> Result<u64, Fault> {
        let start = self.position;
        let unsigned = match self.kind()? {
            Kind::Number => match self.number()? {
                Token::Unsigned(value) => return Ok(value),
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
}

impl<'a> Reader<'a> for JsonReader<'a> {
    const TEXT_KEYS: bool = true;

    #[inline]
    fn new(octets: &'a [u8]) -> Result<Self, DecodeStart> {
        let text = simdutf8::basic::from_utf8(octets).map_err(|_| not_utf8(octets))?;
        Ok(Self { text, position: white_space(octets, 0) })
    }

    #[inline(always)]
    fn offset(&self) -> usize {
        self.position
    }

    #[inline(always)]
    fn span(&self, start: usize, end: usize) -> &'a [u8] {
        &self.octets()[start..end]
    }

    #[inline]
    fn end(&mut self) -> Result<(), Fault> {
        self.skip_white_space();
        if self.position == self.octets().len() { Ok(()) } else { Err(Fault::TrailingOctets) }
    }

    #[inline(always)]
    fn list(&mut self) -> Result<Items, Fault> {
        self.enter(b'[', Expected::List)
    }

    fn count(&self, _items: Items) -> Option<usize> {
        None
    }

    #[inline(always)]
    fn next(&mut self, items: &mut Items) -> Result<bool, Fault> {
        self.advance(items, b']')
    }

    #[inline(always)]
    fn dict(&mut self) -> Result<Items, Fault> {
        self.enter(b'{', Expected::Dict)
    }

    #[inline(always)]
    fn key(&mut self, items: &mut Items) -> Result<Option<Cow<'a, str>>, Fault> {
        if !self.next_entry(items)? {
            return Ok(None);
        }
        let key = self.string()?;
        self.between_key_and_value()?;
        Ok(Some(key))
    }

    #[inline(always)]
    fn next_entry(&mut self, items: &mut Items) -> Result<bool, Fault> {
        let more = self.advance(items, b'}')?;
        if more && self.octet() != b'"' {
            return Err(scan::fault_at(self.octets(), self.position));
        }
        Ok(more)
    }

    fn token_of_key(&mut self) -> Result<Token<'a>, Fault> {
        self.string().map(Token::Text)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        self.move_to(scan::string(self.octets(), self.position + 1))
    }

    #[inline(always)]
    fn between_key_and_value(&mut self) -> Result<(), Fault> {
        self.move_to(scan::colon(self.octets(), self.position))
    }

    #[inline]
    fn kind(&mut self) -> Result<Kind, Fault> {
        Ok(match self.octet() {
            b'"' if self.is_binary() => Kind::Binary,
            b'"' => Kind::Text,
            b'[' => Kind::List,
            b'{' => Kind::Dict,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return Err(scan::fault_at(self.octets(), self.position)),
        })
    }

    #[inline(always)]
    fn null(&mut self) -> Result<bool, Fault> {
        if self.octet() != b'n' {
            return Ok(false);
        }
        self.move_to(scan::literal(self.octets(), self.position, b"null"))?;
        Ok(true)
    }

    #[inline]
    fn boolean(&mut self) -> Result<bool, Fault> {
        let value = self.octet() == b't';
        if !value && self.octet() != b'f' {
            return Err(self.refusal(Expected::Bool));
        }
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.move_to(scan::literal(self.octets(), self.position, word))?;
        Ok(value)
    }

    #[inline]
    fn unsigned(&mut self) -> Result<u64, Fault> {
        /// So many digits fit into an u64 whatever they are.
        const DIGITS_MAX: usize = 19;
        let octets = self.octets();
        let mut position = self.position;
        let mut value = 0u64;
        while octet(octets, position).is_ascii_digit() && position - self.position < DIGITS_MAX {
            value = value * 10 + u64::from(octets[position] - b'0');
            position += 1;
        }
        let has_leading_zero = self.octet() == b'0' && position - self.position > 1;
        let is_done = matches!(octet(octets, position), b',' | b']' | b'}');
        if position == self.position || has_leading_zero || !is_done {
            return self.unsigned_slow();
        }
        self.position = position;
        Ok(value)
    }

    #[inline(always)]
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.octet() != b'"' || self.is_binary() {
            return Err(self.refusal(Expected::Text));
        }
        self.string()
    }

    fn token(&mut self) -> Result<Token<'a>, Fault> {
        Ok(match self.kind()? {
            Kind::Null => {
                self.move_to(scan::literal(self.octets(), self.position, b"null"))?;
                Token::Null
            }
            Kind::Bool => Token::Bool(self.boolean()?),
            Kind::Number => self.number()?,
            Kind::Text => Token::Text(self.string()?),
            Kind::Binary => Token::Binary(Cow::Owned(self.binary()?)),
            Kind::List => Token::List(self.list()?),
            Kind::Dict => Token::Dict(self.dict()?),
            Kind::Other => return Err(Fault::InvalidSyntax),
        })
    }

    #[inline]
    fn skip(&mut self, levels: usize) -> Result<(), Fault> {
        self.move_to(scan::value(self.octets(), self.position, levels))
    }
}

#[cold]
fn not_utf8(octets: &[u8]) -> DecodeStart {
    let offset = std::str::from_utf8(octets).err().map_or(0, |error| error.valid_up_to());
    (Fault::InvalidUtf8, offset)
}

/// An integer that fits into 64 bits, signed or unsigned. Longer ones become floats, as in most implementations.
fn integer<'a>(digits: &str) -> Option<Token<'a>> {
    let Some(magnitude) = digits.strip_prefix('-') else {
        return digits.parse().ok().map(Token::Unsigned);
    };
    // "-0" is a float: integers have no negative zero.
    let below_zero = magnitude.parse::<u64>().ok()?.checked_sub(1)?;
    (below_zero <= i64::MAX as u64).then_some(Token::Negative(below_zero))
}

/// Resolves the escapes of a string that was scanned.
fn unescape(mut rest: &str) -> Result<String, Fault> {
    let mut text = String::with_capacity(rest.len());
    while let Some(position) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..position]);
        let (character, end) = scan::escape(rest.as_bytes(), position).map_err(|(fault, _)| fault)?;
        text.push(character);
        rest = &rest[end..];
    }
    text.push_str(rest);
    Ok(text)
}

/// Decodes the base64 of a binary value; `quoted` may hold escapes (`\/`).
pub(super) fn base64(quoted: &[u8]) -> Result<Vec<u8>, Fault> {
    let decoded = if quoted.contains(&b'\\') {
        let quoted = std::str::from_utf8(quoted).map_err(|_| Fault::InvalidUtf8)?;
        BASE64.decode(unescape(quoted)?)
    } else {
        BASE64.decode(quoted)
    };
    decoded.map_err(|_| Fault::InvalidBase64)
}
