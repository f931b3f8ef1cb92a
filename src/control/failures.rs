//! Failed attempts to join, told to the operator: at once, then at most once per period, so that an attack cannot fill the log.

use crossring_io::Monotonic;
use crossring_router::control::FailureReport;

/// Nanoseconds between two lines.
const PERIOD_NS: u64 = 10_000_000_000;

/// What has not been told yet.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    pending: Option<FailureReport>,
    last: Option<Monotonic>,
}

impl FailureLog {
    /// Takes note of a report.
    pub(super) fn add(&mut self, report: FailureReport) {
        let before = self.pending.unwrap_or_default();
        self.pending = Some(FailureReport {
            failed: before.failed + report.failed,
            refused: before.refused + report.refused,
            address: report.address,
        });
    }

    /// When the next line is due.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.pending?;
        Some(self.last.map_or(Monotonic::ZERO, |last| last.after_ns(PERIOD_NS)))
    }

    /// The line that is due, if any. Without names: who mistypes may have put a password in their place.
    pub(super) fn line(&mut self, now: Monotonic) -> Option<String> {
        if self.deadline()? > now {
            return None;
        }
        let FailureReport { failed, refused, address } = self.pending.take()?;
        self.last = Some(now);
        let place = address.map_or("this host".to_owned(), |address| address.to_string());
        Some(format!(
            "attempts to join: {failed} failed, {refused} refused unseen because too many had failed; the last from {place}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_one_line_per_period() {
        let mut log = FailureLog::default();
        assert_eq!((log.deadline(), log.line(Monotonic(5))), (None, None));
        let report = FailureReport { failed: 1, refused: 2, address: "10.0.0.1".parse().ok() };
        log.add(report);
        let line = log.line(Monotonic(5)).expect("the first is told at once");
        assert!(line.contains("1 failed, 2 refused") && line.ends_with("10.0.0.1"), "{line}");
        (0..1_000).for_each(|_| log.add(report));
        assert_eq!(log.line(Monotonic(6)), None);
        assert_eq!(log.deadline(), Some(Monotonic(5 + PERIOD_NS)));
        let line = log.line(Monotonic(5 + PERIOD_NS)).expect("a period later");
        assert!(line.contains("1000 failed, 2000 refused"), "{line}");
        assert_eq!(log.deadline(), None);
    }
}
