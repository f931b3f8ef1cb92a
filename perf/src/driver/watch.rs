//! The course of one measurement: warm-up, window, end; what it cost in between.

use std::time::{Duration, Instant};

use super::Bench;
use crate::{
    fault::Fault,
    recorder::{Measurement, Tally},
    server_process::{ProcessorTime, other_threads_ns, own_thread_ns, processors_busy_ns},
};

/// A closed loop without a single payload for this long has lost some, and would wait forever.
const STALL_MAX: Duration = Duration::from_secs(3);

/// Watches the clock for a scenario's loop.
pub(super) struct Watch<'a, P> {
    bench: &'a Bench<P>,
    tally: &'a Tally,
    begun: Instant,
    progressed: (Instant, u64),
    first: Option<Snapshot>,
    last: Option<Snapshot>,
}

impl<'a, P> Watch<'a, P> {
    /// Warm-up begins now.
    pub(super) fn new(bench: &'a Bench<P>, tally: &'a Tally) -> Self {
        let begun = Instant::now();
        let progressed = (begun, tally.payloads());
        Watch { bench, tally, begun, progressed, first: None, last: None }
    }

    /// To be called once a turn. `false` when the window is over; a fault of any task ends it.
    pub(super) fn is_running(&mut self) -> Result<bool, Fault> {
        if let Some(fault) = self.tally.fault() {
            return Err(fault);
        }
        let now = Instant::now();
        let units = self.tally.payloads();
        self.bench.progress.tick(now, units);
        self.check_stall(now, units)?;
        let elapsed = now - self.begun;
        if self.first.is_none() && elapsed >= self.bench.warm_up {
            self.first = Some(Snapshot::take(self.bench, units)?);
            self.tally.record(true);
        }
        if elapsed >= self.bench.warm_up + self.bench.window {
            self.tally.record(false);
            self.last = Some(Snapshot::take(self.bench, units)?);
            return Ok(false);
        }
        Ok(true)
    }

    /// Longest that a single send may take before it can no longer matter.
    pub(super) fn patience(&self) -> Duration {
        (self.bench.warm_up + self.bench.window).saturating_sub(self.begun.elapsed()) + STALL_MAX
    }

    /// What happened between the end of warm-up and the end of the window.
    pub(super) fn finish(self) -> Measurement {
        let (Some(first), Some(last)) = (self.first, self.last) else { return Measurement::default() };
        Measurement { latencies: self.tally.take_latencies(), ..last.since(&first) }
    }

    fn check_stall(&mut self, now: Instant, units: u64) -> Result<(), Fault> {
        if units != self.progressed.1 {
            self.progressed = (now, units);
        }
        match now - self.progressed.0 > STALL_MAX {
            true => Err(Fault::TimedOut { during: "anything to arrive (lost events stall a closed loop)" }),
            false => Ok(()),
        }
    }
}

/// All clocks and counters at one moment.
pub(super) struct Snapshot {
    at: Instant,
    units: u64,
    server: Option<ProcessorTime>,
    processors_busy_ns: u64,
    own_ns: u64,
    /// Of the generator's threads that run where the server does.
    helpers_ns: u64,
}

impl Snapshot {
    /// Reads them now; fails if the server is gone.
    pub(super) fn take<P>(bench: &Bench<P>, units: u64) -> Result<Snapshot, Fault> {
        let server = bench.server.map(|server| server.processor_time()).transpose();
        Ok(Snapshot {
            at: Instant::now(),
            units,
            server: server.map_err(Fault::io("processor time of the server"))?,
            processors_busy_ns: processors_busy_ns(&bench.server_processors),
            own_ns: own_thread_ns(),
            helpers_ns: other_threads_ns(&bench.server_processors),
        })
    }

    /// The difference; latencies are left empty.
    pub(super) fn since(&self, earlier: &Snapshot) -> Measurement {
        let elapsed = self.at - earlier.at;
        let elapsed_ns = elapsed.as_nanos() as f64;
        let server_ns = self.server.as_ref().zip(earlier.server.as_ref()).map(|(a, b)| a.since_ns(b));
        let busy_ns = self.processors_busy_ns.saturating_sub(earlier.processors_busy_ns);
        let is_pinned = busy_ns > 0;
        let helpers_ns = self.helpers_ns.saturating_sub(earlier.helpers_ns);
        let foreign = |ns| busy_ns.saturating_sub(ns + helpers_ns) as f64 * 100.0 / elapsed_ns;
        Measurement {
            seconds: elapsed.as_secs_f64(),
            units: self.units - earlier.units,
            server_ns,
            foreign_percent: server_ns.filter(|_| is_pinned).map(foreign),
            generator_percent: (self.own_ns - earlier.own_ns) as f64 * 100.0 / elapsed_ns,
            ..Measurement::default()
        }
    }
}
