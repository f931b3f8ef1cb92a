//! What is complained about in the log, so many times in a period, whatever clients do.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);

/// How often something may be complained about.
#[derive(Debug)]
pub(crate) struct Complaints {
    begun: Cell<Instant>,
    count: Cell<u32>,
    count_max: u32,
}

impl Complaints {
    /// `count_max`: in ten seconds.
    pub(crate) fn new(count_max: u32) -> Self {
        Self { begun: Cell::new(Instant::now()), count: Cell::new(0), count_max }
    }

    /// Whether there may be one more; counts it.
    pub(crate) fn permit(&self) -> bool {
        let now = Instant::now();
        if now - self.begun.get() >= PERIOD {
            self.begun.set(now);
            self.count.set(0);
        }
        self.count.set(self.count.get().saturating_add(1));
        self.count.get() <= self.count_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_period() {
        let complaints = Complaints::new(2);
        assert_eq!([(); 4].map(|()| complaints.permit()), [true, true, false, false]);
        complaints.begun.set(Instant::now() - PERIOD);
        assert!(complaints.permit());
    }
}
