//! Addresses of Ethereum accounts.

use core::fmt;

use super::typed_data::keccak256;
use crate::credentials::{from_hex, to_hex};

/// The address of an Ethereum account. Its text has the checksum of EIP-55 in the case of its digits.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Address([u8; 20]);

impl Address {
    /// Reads `0x` and 40 hexadecimal digits. Their case does not matter: Autobahn writes addresses with and without checksum.
    pub fn parse(text: &str) -> Option<Self> {
        let octets = from_hex(text.strip_prefix("0x")?)?;
        octets.try_into().ok().map(Self)
    }

    pub(super) fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    pub(super) const fn octets(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = to_hex(&self.0);
        let checksum = to_hex(&keccak256([digits.as_bytes()]));
        f.write_str("0x")?;
        for (digit, check) in digits.chars().zip(checksum.bytes()) {
            write!(f, "{}", if check >= b'8' { digit.to_ascii_uppercase() } else { digit })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of EIP-55.
    #[test]
    fn addresses_have_checksums() {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
        ] {
            let lower = text.to_ascii_lowercase();
            for written in [text, &lower] {
                assert_eq!(Address::parse(written).map(|address| address.to_string()), Some(text.into()));
            }
        }
    }

    #[test]
    fn what_is_no_address() {
        let digits = "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        for text in
            ["", "0x", digits, "wamp-proto.eth", &format!("0x{digits}0"), &format!("0x{}", &digits[2..])]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
