//! What a measurement collects while it runs, and what it says afterwards.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{clock::read_stamp, fault::Fault};

/// Longest latency that is told apart, one minute; anything longer counts as one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant digits of the histogram.
const LATENCY_DIGITS: u8 = 3;

/// Shared by all tasks of one measurement; they all run on one thread.
#[derive(Debug)]
pub struct Tally {
    payloads: Cell<u64>,
    is_recording: Cell<bool>,
    latency: RefCell<Latencies>,
    fault: RefCell<Option<Fault>>,
    is_ending: Cell<bool>,
    /// Every how many payloads the stamp is read; a power of two.
    stamp_stride: u64,
}

impl Tally {
    /// Reads the stamp of every `stamp_stride`-th payload, which must be a power of two.
    pub fn new(stamp_stride: u64) -> Tally {
        assert!(stamp_stride.is_power_of_two());
        Tally {
            payloads: Cell::new(0),
            is_recording: Cell::new(false),
            latency: RefCell::new(Latencies::default()),
            fault: RefCell::new(None),
            is_ending: Cell::new(false),
            stamp_stride,
        }
    }

    /// Payloads seen so far.
    pub fn payloads(&self) -> u64 {
        self.payloads.get()
    }

    /// Latencies count from here on (warm-up is over), or no longer.
    pub fn record(&self, is_recording: bool) {
        self.is_recording.set(is_recording);
    }

    /// Everything received by one read at `now_ns` is added through this.
    pub fn batch(&self, now_ns: u64) -> Batch<'_> {
        Batch { tally: self, now_ns, payloads: self.payloads.get(), latency: self.latency.borrow_mut() }
    }

    /// Keeps the first fault; a task that ends by one would otherwise take it along.
    pub fn fail(&self, fault: Fault) {
        if !self.is_ending.get() {
            self.fault.borrow_mut().get_or_insert(fault);
        }
    }

    /// From here on sessions are being closed: their ends are no faults any more.
    pub fn end(&self) {
        self.is_ending.set(true);
    }

    /// The first fault of any task.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.borrow_mut().take()
    }

    /// The latencies recorded so far; recording starts anew.
    pub fn take_latencies(&self) -> Latencies {
        self.latency.take()
    }
}

/// Payloads of one read.
pub struct Batch<'a> {
    tally: &'a Tally,
    now_ns: u64,
    payloads: u64,
    latency: std::cell::RefMut<'a, Latencies>,
}

impl Batch<'_> {
    /// Counts one payload.
    #[inline]
    pub fn add(&mut self, payload: &[u8]) {
        self.payloads += 1;
        if self.payloads & (self.tally.stamp_stride - 1) == 0 {
            self.read(payload);
        }
    }

    fn read(&mut self, payload: &[u8]) {
        match read_stamp(payload) {
            Some(stamp_ns) if self.tally.is_recording.get() => {
                self.latency.add(self.now_ns.saturating_sub(stamp_ns));
            }
            Some(_) => (),
            None => self.tally.fail(Fault::malformed("a stamped payload", payload)),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.tally.payloads.set(self.payloads);
    }
}

/// A latency distribution.
#[derive(Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS);
        Latencies { histogram: histogram.expect("the bounds are constants that the crate accepts") }
    }
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// Adds all of `other`, for the same scenario of another round.
    pub fn merge(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// `None` when nothing was counted.
    pub fn summary(&self) -> Option<LatencySummary> {
        let at = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.histogram.is_empty()).then(|| LatencySummary {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.histogram.max() as f64 / 1000.0,
            count: self.histogram.len(),
        })
    }

    /// Points of the distribution's curve: quantile and microseconds, denser towards the tail.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        const QUANTILES: [f64; 13] =
            [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];
        let at = |quantile| (quantile, self.histogram.value_at_quantile(quantile) as f64 / 1000.0);
        match self.histogram.is_empty() {
            true => Vec::new(),
            false => QUANTILES.into_iter().map(at).collect(),
        }
    }
}

/// The usual quantiles, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencySummary {
    /// Half are at most this.
    pub p50_us: f64,
    /// 99 % are at most this.
    pub p99_us: f64,
    /// 99.9 % are at most this.
    pub p999_us: f64,
    /// The worst.
    pub max_us: f64,
    /// How many stamps were read.
    pub count: u64,
}

/// The outcome of one scenario against one server, once.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// Length of the measuring window.
    pub seconds: f64,
    /// Events delivered, calls answered, sessions joined or cycles completed in it.
    pub units: u64,
    /// Processor time of the server in it; `None` when its process is not known.
    pub server_ns: Option<u64>,
    /// Part of the window, in percent, that the server's processors worked for somebody else.
    pub foreign_percent: Option<f64>,
    /// Part of the window, in percent, that the generator had its processor.
    pub generator_percent: f64,
    /// Latencies, where the scenario has them.
    pub latencies: Latencies,
    /// Further results by name, e.g. bytes per session.
    pub extra: Vec<Extra>,
}

/// A result that only some scenarios have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extra {
    /// What, with its unit last.
    pub name: &'static str,
    /// How much.
    pub value: f64,
}

/// Above this the window was disturbed by others.
pub const FOREIGN_PERCENT_MAX: f64 = 8.0;
/// Below this the generator was starved.
pub const GENERATOR_PERCENT_MIN: f64 = 97.0;

impl Measurement {
    /// Units a second.
    pub fn per_second(&self) -> f64 {
        self.units as f64 / self.seconds
    }

    /// Server processor time per unit, nanoseconds.
    pub fn server_ns_per_unit(&self) -> Option<f64> {
        self.server_ns.map(|ns| ns as f64 / self.units.max(1) as f64)
    }

    /// Whether neither the server's nor the generator's processor was disturbed.
    pub fn is_clean(&self) -> bool {
        self.foreign_percent.is_none_or(|percent| percent <= FOREIGN_PERCENT_MAX)
            && self.generator_percent >= GENERATOR_PERCENT_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::write_stamp;

    fn stamped(stamp_ns: u64) -> [u8; 16] {
        let mut payload = [0; 16];
        write_stamp(&mut payload, stamp_ns);
        payload
    }

    #[test]
    fn only_payloads_after_warm_up_count_for_latency() {
        let tally = Tally::new(1);
        tally.batch(100).add(&stamped(40));
        tally.record(true);
        tally.batch(5000).add(&stamped(2000));
        assert_eq!(tally.payloads(), 2);
        let summary = tally.take_latencies().summary().expect("one");
        assert_eq!(summary.count, 1);
        assert!((summary.p50_us - 3.0).abs() < 0.01, "{summary:?}");
    }

    #[test]
    fn a_payload_without_stamp_is_a_fault() {
        let tally = Tally::new(1);
        tally.batch(1).add(b"not a stamp at all");
        assert!(matches!(tally.fault(), Some(Fault::Malformed { .. })));
    }

    #[test]
    fn merged_histograms_keep_every_count() {
        let (mut a, mut b) = (Latencies::default(), Latencies::default());
        (0..99).for_each(|_| a.add(1_000));
        b.add(1_000_000);
        a.merge(&b);
        let summary = a.summary().expect("not empty");
        assert_eq!(summary.count, 100);
        assert!((summary.p50_us - 1.0).abs() < 0.01 && (summary.max_us - 1000.0).abs() < 1.0, "{summary:?}");
    }

    #[test]
    fn latencies_beyond_a_minute_saturate() {
        let mut latencies = Latencies::default();
        latencies.add(u64::MAX);
        assert!(latencies.summary().is_some_and(|summary| summary.max_us >= 60_000_000.0));
    }
}
