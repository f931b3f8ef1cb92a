//! Passing over JSON values with full validation and without building anything.
//!
//! The octets are UTF-8 already (checked once for the whole message), so what remains is the grammar. Strings are scanned
//! eight octets at a time; open lists and dicts are one bit each, so that nesting costs no stack.

use crate::error::Fault;
use crate::limits::DEPTH_MAX;
use crate::wire::LEVELS_MAX;

const _: () = assert!(DEPTH_MAX <= 128, "open containers are bits of a u128");

/// Octet at `at`, or 0 (which no grammar rule accepts) past the end.
#[inline(always)]
pub(super) fn octet(octets: &[u8], at: usize) -> u8 {
    octets.get(at).copied().unwrap_or(0)
}

/// The fault at `at`: an octet that does not fit, or the end.
#[cold]
pub(super) fn fault_at(octets: &[u8], at: usize) -> Fault {
    if at >= octets.len() { Fault::Truncated } else { Fault::InvalidSyntax }
}

/// The first position from `at` that is not white space.
#[inline(always)]
pub(super) fn white_space(octets: &[u8], mut at: usize) -> usize {
    while matches!(octet(octets, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Marks (in the high bit) the octets of a word that may not stand in a string unescaped; exact up to the lowest mark.
#[inline(always)]
const fn stops(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let found = (quotes.wrapping_sub(ONES) & !quotes)
        | (backslashes.wrapping_sub(ONES) & !backslashes)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    found & HIGHS
}

#[inline(always)]
const fn is_stop(octet: u8) -> bool {
    octet == b'"' || octet == b'\\' || octet < 0x20
}

/// The first position from `at` whose octet may not stand in a string unescaped, or the end.
#[inline(always)]
pub(super) fn plain_end(octets: &[u8], mut at: usize) -> usize {
    for _ in 0..4 {
        let Some(word) = octets.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return plain_end_slow(octets, at);
        };
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    plain_end_long(octets, at)
}

/// Long strings: 32 octets at a time, in a form that the compiler turns into vector instructions.
#[inline(never)]
fn plain_end_long(octets: &[u8], mut at: usize) -> usize {
    while let Some(block) = octets.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        let any = block.iter().fold(0u8, |any, &octet| {
            any | u8::from(octet == b'"') | u8::from(octet == b'\\') | u8::from(octet < 0x20)
        });
        if any != 0 {
            break;
        }
        at += 32;
    }
    plain_end_slow(octets, at)
}

fn plain_end_slow(octets: &[u8], at: usize) -> usize {
    let rest = octets.get(at..).unwrap_or_default();
    at + rest.iter().position(|&octet| is_stop(octet)).unwrap_or(rest.len())
}

/// Passes over a string; `at` is behind its opening quote. Returns the position behind the closing one.
#[inline(always)]
pub(super) fn string(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    let end = plain_end(octets, at);
    if octet(octets, end) == b'"' { Ok(end + 1) } else { string_with_escapes(octets, end) }
}

#[inline(never)]
fn string_with_escapes(octets: &[u8], mut at: usize) -> Result<usize, (Fault, usize)> {
    loop {
        match octet(octets, at) {
            b'"' => return Ok(at + 1),
            b'\\' => at = escape(octets, at)?.1,
            _ => return Err((fault_at(octets, at), at)),
        }
        at = plain_end(octets, at);
    }
}

/// Reads the escape sequence at `at`, surrogate pairs as one. Returns the character and the position behind.
pub(super) fn escape(octets: &[u8], at: usize) -> Result<(char, usize), (Fault, usize)> {
    let character = match octet(octets, at + 1) {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(octets, at),
        _ if at + 1 >= octets.len() => return Err((Fault::Truncated, at + 1)),
        _ => return Err((Fault::InvalidEscape, at)),
    };
    Ok((character, at + 2))
}

fn unicode_escape(octets: &[u8], at: usize) -> Result<(char, usize), (Fault, usize)> {
    let high = hex(octets, at + 2)?;
    if let Some(character) = char::from_u32(high) {
        return Ok((character, at + 6));
    }
    if high >= 0xdc00 || octet(octets, at + 6) != b'\\' || octet(octets, at + 7) != b'u' {
        return Err((Fault::InvalidEscape, at));
    }
    let low = hex(octets, at + 8)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err((Fault::InvalidEscape, at + 6));
    }
    let scalar = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(scalar).map(|character| (character, at + 12)).ok_or((Fault::InvalidEscape, at))
}

fn hex(octets: &[u8], at: usize) -> Result<u32, (Fault, usize)> {
    let digits = octets.get(at..at + 4).ok_or((Fault::Truncated, octets.len()))?;
    digits.iter().try_fold(0, |value, &digit| {
        let digit = (digit as char).to_digit(16).ok_or((Fault::InvalidEscape, at))?;
        Ok(value << 4 | digit)
    })
}

/// Passes over a number. Returns the position behind, and whether it is written as an integer.
#[inline(always)]
pub(crate) fn number(octets: &[u8], start: usize) -> Result<(usize, bool), (Fault, usize)> {
    let mut at = start + usize::from(octet(octets, start) == b'-');
    match octet(octets, at) {
        b'0' => at += 1,
        b'1'..=b'9' => at = digits(octets, at + 1),
        _ => return Err((number_fault(octets, at), at)),
    }
    match octet(octets, at) {
        b'.' | b'e' | b'E' => Ok((fraction_and_exponent(octets, at)?, false)),
        _ => Ok((at, true)),
    }
}

#[inline(never)]
fn fraction_and_exponent(octets: &[u8], mut at: usize) -> Result<usize, (Fault, usize)> {
    if octet(octets, at) == b'.' {
        at = some_digits(octets, at + 1)?;
    }
    if matches!(octet(octets, at), b'e' | b'E') {
        at += 1 + usize::from(matches!(octet(octets, at + 1), b'+' | b'-'));
        at = some_digits(octets, at)?;
    }
    Ok(at)
}

fn some_digits(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    let end = digits(octets, at);
    if end > at { Ok(end) } else { Err((number_fault(octets, at), at)) }
}

#[inline(always)]
fn digits(octets: &[u8], mut at: usize) -> usize {
    while octet(octets, at).is_ascii_digit() {
        at += 1;
    }
    at
}

#[cold]
fn number_fault(octets: &[u8], at: usize) -> Fault {
    if at >= octets.len() { Fault::Truncated } else { Fault::InvalidNumber }
}

/// Passes over the literal at `at`.
pub(super) fn literal(octets: &[u8], at: usize, word: &[u8]) -> Result<usize, (Fault, usize)> {
    let rest = octets.get(at..).unwrap_or_default();
    if rest.starts_with(word) {
        return Ok(at + word.len());
    }
    let fault = if word.starts_with(rest) { Fault::Truncated } else { Fault::InvalidSyntax };
    Err((fault, at))
}

/// Passes over the value at `at` (no white space before it), nested at most `levels` deep. Returns the position behind.
pub(super) fn value(octets: &[u8], mut at: usize, levels: usize) -> Result<usize, (Fault, usize)> {
    debug_assert!(levels <= LEVELS_MAX, "open containers are bits of a u128");
    // One bit per open container, the innermost lowest: 1 is a dict.
    let mut open = 0u128;
    let mut depth = 0usize;
    loop {
        match octet(octets, at) {
            b'"' => at = text_or_binary(octets, at + 1)?,
            b'-' | b'0'..=b'9' => at = number(octets, at)?.0,
            b'{' => {
                at = white_space(octets, at + 1);
                if octet(octets, at) == b'}' && depth < levels {
                    at += 1;
                } else {
                    (open, depth) = (open << 1 | 1, enter(depth, levels, at)?);
                    at = key(octets, at)?;
                    continue;
                }
            }
            b'[' => {
                at = white_space(octets, at + 1);
                if octet(octets, at) == b']' && depth < levels {
                    at += 1;
                } else {
                    (open, depth) = (open << 1, enter(depth, levels, at)?);
                    continue;
                }
            }
            b't' => at = literal(octets, at, b"true")?,
            b'f' => at = literal(octets, at, b"false")?,
            b'n' => at = literal(octets, at, b"null")?,
            _ => return Err((fault_at(octets, at), at)),
        }
        // Behind a value: close what ends here, then move to the next value.
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = white_space(octets, at);
            match octet(octets, at) {
                b',' => {
                    at = white_space(octets, at + 1);
                    if open & 1 == 1 {
                        at = key(octets, at)?;
                    }
                    break;
                }
                b']' if open & 1 == 0 => {}
                b'}' if open & 1 == 1 => {}
                _ => return Err((fault_at(octets, at), at)),
            }
            (open, depth, at) = (open >> 1, depth - 1, at + 1);
        }
    }
}

#[inline(always)]
fn enter(depth: usize, levels: usize, at: usize) -> Result<usize, (Fault, usize)> {
    if depth < levels { Ok(depth + 1) } else { Err((Fault::TooDeep, at)) }
}

/// Passes over a key and its colon. Returns the position of the value.
#[inline(always)]
fn key(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    if octet(octets, at) != b'"' {
        return Err((fault_at(octets, at), at));
    }
    colon(octets, string(octets, at + 1)?)
}

/// Passes over a colon and the white space around it.
#[inline(always)]
pub(super) fn colon(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    let at = white_space(octets, at);
    if octet(octets, at) != b':' {
        return Err((fault_at(octets, at), at));
    }
    Ok(white_space(octets, at + 1))
}

#[inline(always)]
fn text_or_binary(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    let end = plain_end(octets, at);
    match octet(octets, end) {
        b'"' => Ok(end + 1),
        b'\\' if end == at && octets[at..].starts_with(super::BINARY_PREFIX.as_bytes()) => binary(octets, at),
        _ => string_with_escapes(octets, end),
    }
}

#[inline(never)]
fn binary(octets: &[u8], at: usize) -> Result<usize, (Fault, usize)> {
    let end = string_with_escapes(octets, at)?;
    super::reader::base64(&octets[at + super::BINARY_PREFIX.len()..end - 1]).map_err(|fault| (fault, at))?;
    Ok(end)
}
