//! Virtual time: it moves only when the simulation says so.

use crossring_router::address::Now;

/// Nanoseconds of virtual time in one tick.
pub const TICK_NS: u64 = 100_000;

/// Ticks in so many milliseconds.
pub const fn ticks(milliseconds: u64) -> u64 {
    milliseconds * 1_000_000 / TICK_NS
}

/// 2001-09-09T01:46:40Z: any fixed date will do.
const START_UNIX_MS: u64 = 1_000_000_000_000;

/// The second of its minute in which the clock starts; runs end within that minute.
const START_SECOND: u64 = 40;

/// Milliseconds of virtual time, as the router tells them.
pub const fn milliseconds(tick: u64) -> u64 {
    tick * TICK_NS / 1_000_000
}

/// A point in virtual time as text (RFC 3339).
pub fn rfc3339(milliseconds: u64) -> String {
    let (second, fraction) = (START_SECOND + milliseconds / 1_000, milliseconds % 1_000);
    format!("2001-09-09T01:46:{second:02}.{fraction:03}Z")
}

/// Reads what [`rfc3339`] writes.
pub fn from_rfc3339(text: &str) -> Option<u64> {
    let rest = text.strip_prefix("2001-09-09T01:46:")?.strip_suffix('Z')?;
    let (second, fraction) = rest.split_once('.')?;
    let second: u64 = second.parse().ok()?;
    let fraction: u64 = fraction.parse().ok()?;
    Some((second.checked_sub(START_SECOND)?) * 1_000 + fraction)
}

/// The clock of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    tick: u64,
}

impl Clock {
    /// Ticks since the start.
    pub const fn tick(&self) -> u64 {
        self.tick
    }

    /// Moves on by one tick.
    pub const fn advance(&mut self) {
        self.tick += 1;
    }

    /// The time as the router is told.
    pub const fn now(&self) -> Now {
        let monotonic_ns = self.tick * TICK_NS;
        Now { monotonic_ns, unix_ms: START_UNIX_MS + monotonic_ns / 1_000_000 }
    }
}
