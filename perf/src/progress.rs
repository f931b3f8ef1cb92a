//! One line on standard error that says what runs, while it runs.

use std::{
    cell::Cell,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often the line is renewed.
const INTERVAL: Duration = Duration::from_millis(250);

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    label: String,
    last: Cell<Option<(Instant, u64)>>,
}

impl Progress {
    /// Shown when standard error is a terminal, or always when `is_forced`.
    pub fn new(is_forced: bool, label: String) -> Progress {
        let is_shown = is_forced || std::io::stderr().is_terminal();
        Progress { is_shown, label, last: Cell::new(None) }
    }

    /// Renews the line if it is time.
    pub fn tick(&self, now: Instant, units: u64) {
        if !self.is_shown {
            return;
        }
        match self.last.get() {
            None => self.last.set(Some((now, units))),
            Some((then, before)) if now - then >= INTERVAL => {
                let per_second = units.saturating_sub(before) as f64 / (now - then).as_secs_f64();
                self.write(&format!("{}  {per_second:.0}/s  {units} in all", self.label));
                self.last.set(Some((now, units)));
            }
            Some(_) => (),
        }
    }

    fn write(&self, line: &str) {
        // A closed standard error is no reason to stop measuring.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            self.write("");
        }
    }
}
