//! How secrets become proofs: the computations of the authentication methods, the same for router and clients.
//!
//! Pure functions: no randomness, no time, no state. Which secret belongs to whom, and what follows from a proof, is decided
//! elsewhere. Everything secret is compared in constant time here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub mod certificates;
pub mod cra;
pub mod cryptosign;
pub mod scram;

/// Standard base64 with padding.
pub(crate) fn to_base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// The octets of standard base64 with padding.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Lower-case hexadecimal digits.
pub fn to_hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

/// The octets of hexadecimal digits, of either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Some(hex_digit(high)? << 4 | hex_digit(low)?),
            _ => None,
        })
        .collect()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        assert_eq!(to_hex(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(from_hex("009FfF"), Some(vec![0, 0x9f, 0xff]));
        for bad in ["0", "0g", "é0", " 0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
