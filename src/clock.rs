//! Joins the two clocks that the core is told.

use std::time::{SystemTime, UNIX_EPOCH};

use crossring_io::Monotonic;
use crossring_router::address::Now;

/// The wall clock is read again after this many monotonic nanoseconds, so that adjustments of it are followed.
const SYNC_INTERVAL_NS: u64 = 1_000_000_000;

/// Tells the wall-clock time from the monotonic one without a system call per turn.
#[derive(Clone, Debug)]
pub struct Clock {
    synced: Monotonic,
    unix_ms: u64,
}

impl Clock {
    /// A clock that reads the wall clock now.
    pub fn new() -> Self {
        Self { synced: Monotonic::read(), unix_ms: wall_clock_ms() }
    }

    /// The time at `monotonic`.
    pub fn now(&mut self, monotonic: Monotonic) -> Now {
        let mut elapsed_ns = monotonic.since_ns(self.synced);
        if elapsed_ns > SYNC_INTERVAL_NS {
            *self = Self { synced: monotonic, unix_ms: wall_clock_ms() };
            elapsed_ns = 0;
        }
        Now { monotonic_ns: monotonic.0, unix_ms: self.unix_ms + elapsed_ns / 1_000_000 }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn wall_clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
