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
