//! When the next publish is due: in a closed loop when there is room, in an open loop when its
//! time has come, however late the generator is.

/// Decides how many publishes or calls to send now, and with which stamps.
#[derive(Clone, Debug)]
pub enum Pace {
    /// At most `window` in flight.
    Closed {
        /// Publishes or calls in flight at most.
        window: u64,
    },
    /// One every `1e9 / per_second` nanoseconds from `start_ns` on.
    Open {
        /// When the first one is due.
        start_ns: u64,
        /// How many a second.
        per_second: u64,
    },
}

/// Most frames written in one turn, so that a generator that fell far behind its schedule still
/// looks at its clock now and then.
pub const BURST_MAX: u64 = 4096;

impl Pace {
    /// Stamps of the frames to send at `now_ns`, after `sent` of them, `done` of which have come
    /// back.
    ///
    /// In the open loop a stamp is the *scheduled* time. What the server's or the generator's own
    /// lateness adds is therefore part of the latency, also for the frames that queued up behind a
    /// slow one: no coordinated omission.
    pub fn due(&self, now_ns: u64, sent: u64, done: u64) -> impl Iterator<Item = u64> + use<> {
        let pace = self.clone();
        let total = match pace {
            Pace::Closed { window } => done + window,
            Pace::Open { start_ns, per_second } => scheduled_until(now_ns, start_ns, per_second),
        };
        let end = total.clamp(sent, sent + BURST_MAX);
        (sent..end).map(move |index| match pace {
            Pace::Closed { .. } => now_ns,
            Pace::Open { start_ns, per_second } => scheduled_ns(index, start_ns, per_second),
        })
    }
}

/// How many are due up to and including `now_ns`.
fn scheduled_until(now_ns: u64, start_ns: u64, per_second: u64) -> u64 {
    match now_ns.checked_sub(start_ns) {
        Some(elapsed_ns) => (u128::from(elapsed_ns) * u128::from(per_second) / 1_000_000_000) as u64 + 1,
        None => 0,
    }
}

/// When number `index` is due, rounded up so that it is due exactly then.
fn scheduled_ns(index: u64, start_ns: u64, per_second: u64) -> u64 {
    start_ns + (u128::from(index) * 1_000_000_000).div_ceil(u128::from(per_second)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(pace: &Pace, now_ns: u64, sent: u64, done: u64) -> Vec<u64> {
        pace.due(now_ns, sent, done).collect()
    }

    #[test]
    fn the_closed_loop_fills_its_window() {
        let pace = Pace::Closed { window: 3 };
        assert_eq!(stamps(&pace, 7, 0, 0), [7, 7, 7]);
        assert_eq!(stamps(&pace, 8, 3, 1), [8]);
        assert!(stamps(&pace, 9, 4, 1).is_empty());
    }

    #[test]
    fn the_open_loop_keeps_scheduled_stamps_when_it_is_late() {
        let pace = Pace::Open { start_ns: 100, per_second: 1_000_000 };
        assert!(stamps(&pace, 99, 0, 0).is_empty());
        assert_eq!(stamps(&pace, 100, 0, 0), [100]);
        assert!(stamps(&pace, 1_099, 1, 0).is_empty());
        // A stall of five microseconds: all five are sent, each with the time it was due.
        assert_eq!(stamps(&pace, 5_100, 1, 0), [1_100, 2_100, 3_100, 4_100, 5_100]);
    }

    #[test]
    fn an_odd_rate_neither_drifts_nor_repeats() {
        let pace = Pace::Open { start_ns: 0, per_second: 7 };
        let (mut sent, mut all) = (0, Vec::new());
        for now_ns in (0..3_000_000_000).step_by(10_000_000) {
            let due = stamps(&pace, now_ns, sent, 0);
            sent += due.len() as u64;
            all.extend(due);
        }
        assert_eq!(all.len(), 21);
        assert!(all.is_sorted() && all[20] == 2_857_142_858);
    }

    #[test]
    fn one_turn_is_bounded() {
        let pace = Pace::Open { start_ns: 0, per_second: 1_000_000 };
        assert_eq!(stamps(&pace, 1_000_000_000, 0, 0).len() as u64, BURST_MAX);
    }
}
