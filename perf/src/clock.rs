//! The generator's clock and the time stamps it puts into payloads.

use std::time::Instant;

/// Length of a stamp in a payload: a `u64` of nanoseconds as lower-case hex digits, so that it is
/// valid text in every serializer, JSON included.
pub const STAMP_BYTES: usize = 16;

/// Nanoseconds since the generator started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads 0 now.
    pub fn start() -> Self {
        Clock { origin: Instant::now() }
    }

    /// Nanoseconds since [`Clock::start`].
    pub fn now_ns(self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// Writes `stamp_ns` over the first [`STAMP_BYTES`] of `payload`.
///
/// # Panics
/// If `payload` is shorter: payload sizes are checked where options are parsed.
pub fn write_stamp(payload: &mut [u8], stamp_ns: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, digit) in payload[..STAMP_BYTES].iter_mut().enumerate() {
        *digit = DIGITS[(stamp_ns >> (60 - 4 * index)) as usize & 15];
    }
}

/// Reads the stamp at the start of `payload`; `None` when there is none.
pub fn read_stamp(payload: &[u8]) -> Option<u64> {
    let digits = payload.get(..STAMP_BYTES)?;
    let mut stamp_ns = 0u64;
    for &digit in digits {
        stamp_ns = stamp_ns << 4 | u64::from(hex_value(digit)?);
    }
    Some(stamp_ns)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip() {
        for stamp_ns in [0, 1, 0xdead_beef, u64::MAX] {
            let mut payload = [b'x'; 20];
            write_stamp(&mut payload, stamp_ns);
            assert_eq!(read_stamp(&payload), Some(stamp_ns));
            assert_eq!(&payload[16..], b"xxxx");
        }
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        assert_eq!(read_stamp(b"0123"), None);
        assert_eq!(read_stamp(b"0123456789abcdeg"), None);
        assert_eq!(read_stamp(b"0123456789ABCDEF"), None);
    }
}
