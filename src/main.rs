//! Binary.
#![forbid(unsafe_code)]

fn main() {}
