//! JSON (RFC 8259). Binary values are text `"\0"` followed by base64; numbers beyond the range of a double read as infinite.

mod reader;
pub(crate) mod scan;
mod writer;

pub(crate) use reader::JsonReader;
pub(crate) use writer::JsonWriter;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Writes padded base64, reads it with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a binary value starts between the quotes.
const BINARY_PREFIX: &str = "\\u0000";
