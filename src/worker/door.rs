//! Turns new connections away while too many have no session, before they cost anything.

use crossring_io::Monotonic;

/// Nanoseconds between two lines of the log.
const PERIOD_NS: u64 = 10_000_000_000;

/// The door of one shard.
#[derive(Debug)]
pub(super) struct Door {
    unauthenticated_max: u32,
    /// Connections turned away, and those the log has not been told of.
    pub(super) refused: u64,
    untold: u64,
    told: Option<Monotonic>,
}

impl Door {
    /// Lets so many connections be without a session at once.
    pub(super) fn new(unauthenticated_max: u32) -> Self {
        Self { unauthenticated_max, refused: 0, untold: 0, told: None }
    }

    /// Whether a connection may come in beside those that have no session.
    pub(super) fn admits(&mut self, now: Monotonic, shard: u8, unauthenticated: u32) -> bool {
        if unauthenticated < self.unauthenticated_max {
            return true;
        }
        self.refused += 1;
        self.untold += 1;
        if self.told.is_none_or(|told| now >= told.after_ns(PERIOD_NS)) {
            self.told = Some(now);
            let refused = std::mem::take(&mut self.untold);
            tracing::warn!(
                shard,
                refused,
                "connections closed: {unauthenticated} others have not joined yet"
            );
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_turned_away_and_told_of_once_a_period() {
        let mut door = Door::new(2);
        assert!(door.admits(Monotonic(0), 0, 0) && door.admits(Monotonic(0), 0, 1));
        assert!((0..100).all(|_| !door.admits(Monotonic(0), 0, 2)));
        assert_eq!((door.refused, door.untold), (100, 99));
        assert!(!door.admits(Monotonic(PERIOD_NS), 0, 2));
        assert_eq!((door.refused, door.untold), (101, 0));
        assert!(door.admits(Monotonic(PERIOD_NS), 0, 1));
    }
}
