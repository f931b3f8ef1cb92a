//! Timers of connections: few, coarse, never taken back. A timer that is no longer wanted finds that out when it fires.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crossring_io::Monotonic;
use crossring_router::address::SessionKey;

use crate::thrift::MOSTLY;

/// What a timer is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) enum TimerKind {
    /// The opening handshake must be over.
    Handshake,
    /// Everything queued before the end must have left.
    Drain,
    /// Time to look whether the peer is alive.
    Ping,
}

/// A timer of one connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Timer {
    pub(super) key: SessionKey,
    pub(super) kind: TimerKind,
}

/// The timers of a worker. At most three per connection ever are in it.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Timer)>>,
}

impl Timers {
    /// Fires `timer` this many milliseconds after `now`; 0 is never.
    pub(super) fn add(&mut self, now: Monotonic, after_ms: u32, timer: Timer) {
        if after_ms > 0 {
            self.add_at(now.after_ns(u64::from(after_ms) * 1_000_000), timer);
        }
    }

    /// Fires `timer` at `deadline`.
    pub(super) fn add_at(&mut self, deadline: Monotonic, timer: Timer) {
        self.heap.push(Reverse((deadline.0, timer)));
    }

    /// Forgets the timers of connections that are gone, if they are most: there are `connection_count`.
    pub(super) fn trim(&mut self, connection_count: u32, is_there: impl Fn(SessionKey) -> bool) {
        if self.heap.len() > MOSTLY * connection_count as usize {
            self.heap.retain(|Reverse((_, timer))| is_there(timer.key));
            self.heap.shrink_to(2 * self.heap.len());
        }
    }

    /// When the next timer fires, in monotonic nanoseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes a timer that is due.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<Timer> {
        if self.deadline()? > now.0 {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let timer = |slot| Timer { key: SessionKey { slot, generation: 0 }, kind: TimerKind::Ping };
        let mut timers = Timers::default();
        timers.add(Monotonic(0), 2, timer(2));
        timers.add(Monotonic(0), 1, timer(1));
        timers.add(Monotonic(0), 0, timer(0));
        assert_eq!(timers.deadline(), Some(1_000_000));
        assert_eq!(timers.pop_due(Monotonic(999_999)), None);
        assert_eq!(timers.pop_due(Monotonic(2_000_000)), Some(timer(1)));
        assert_eq!(timers.pop_due(Monotonic(2_000_000)), Some(timer(2)));
        assert_eq!(timers.pop_due(Monotonic(u64::MAX)), None);
        (0..9).for_each(|slot| timers.add(Monotonic(0), 1, timer(slot)));
        timers.trim(2, |_| panic!("it is not worth it"));
        timers.trim(1, |key| key.slot == 3);
        assert_eq!(timers.pop_due(Monotonic(u64::MAX)), Some(timer(3)));
        assert_eq!(timers.deadline(), None);
    }
}
