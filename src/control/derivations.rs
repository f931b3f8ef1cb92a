//! Threads that derive keys from passwords. They run when no other thread wants the processor, so that joining, which may
//! wait, delays no message of those who have joined.

use std::sync::mpsc as std_mpsc;
use std::thread;

use crossring_io::Monotonic;
use crossring_router::derivation::{Backlog, DerivedKey, Job};
use tokio::sync::mpsc;

/// Processors per thread: keys may use so large a part of the machine when nobody else wants it.
const PROCESSORS_PER_THREAD: usize = 4;

/// Nanoseconds after which a key is late. Deriving one takes milliseconds with the parameters that are common.
const LATE_NS: u64 = 1_000_000_000;

/// Nanoseconds between two lines of the log about late keys.
const LINE_PERIOD_NS: u64 = 10_000_000_000;

/// The threads, started with their first job. The core bounds how many jobs there are.
pub(super) struct Derivations {
    threads_max: usize,
    threads: Vec<Thread>,
    sender: mpsc::UnboundedSender<(usize, DerivedKey)>,
    results: mpsc::UnboundedReceiver<(usize, DerivedKey)>,
    lateness: Lateness,
}

struct Thread {
    jobs: std_mpsc::Sender<Job>,
    open: usize,
    /// When its latest result came, or a job while it had none.
    heard: Monotonic,
}

impl Derivations {
    /// No thread yet.
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let (sender, results) = mpsc::unbounded_channel();
        let threads_max = processors.div_ceil(PROCESSORS_PER_THREAD);
        Self { threads_max, threads: Vec::new(), sender, results, lateness: Lateness::default() }
    }

    /// Has a job run; its result comes by [`Derivations::next`].
    pub(super) fn submit(&mut self, job: Job) {
        let is_busy = self.threads.iter().all(|thread| thread.open > 0);
        if is_busy && self.threads.len() < self.threads_max {
            self.start_thread();
        }
        let idlest = self.threads.iter_mut().enumerate().min_by_key(|(_, thread)| thread.open);
        let now = Monotonic::read();
        let refused = match idlest {
            Some((_, thread)) => {
                if thread.open == 0 {
                    thread.heard = now;
                }
                self.lateness.look(now, thread.heard);
                thread.open += 1;
                thread.jobs.send(job).err().map(|unsent| unsent.0)
            }
            None => Some(job),
        };
        if let Some(job) = refused {
            // No thread can be had: better late than never.
            let _ = self.sender.send((usize::MAX, job.run()));
        }
    }

    /// The next key.
    pub(super) async fn next(&mut self) -> DerivedKey {
        match self.results.recv().await {
            Some((index, derived)) => {
                let now = Monotonic::read();
                if let Some(thread) = self.threads.get_mut(index) {
                    thread.open -= 1;
                    thread.heard = now;
                }
                self.lateness.look(now, Monotonic(derived.asked_ns()));
                derived
            }
            // Not as long as there is a sender here.
            None => std::future::pending().await,
        }
    }

    fn start_thread(&mut self) {
        let (jobs, taken) = std_mpsc::channel::<Job>();
        let (index, results) = (self.threads.len(), self.sender.clone());
        let work = move || {
            if let Err(error) = crossring_io::affinity::run_idle() {
                tracing::warn!("keys are derived at the priority of the router: {error}");
            }
            work_off(&taken, |derived| results.send((index, derived)).is_ok());
        };
        match thread::Builder::new().name(format!("derive-{index}")).spawn(work) {
            Ok(_) => self.threads.push(Thread { jobs, open: 0, heard: Monotonic::ZERO }),
            Err(error) => tracing::warn!("no thread to derive keys: {error}"),
        }
    }
}

/// Runs what comes, as long as results are taken.
fn work_off(taken: &std_mpsc::Receiver<Job>, mut give: impl FnMut(DerivedKey) -> bool) {
    let mut backlog = Backlog::default();
    loop {
        taken.try_iter().for_each(|job| backlog.add(job));
        match backlog.run_next(Monotonic::read().0) {
            Some(derived) => {
                if !give(derived) {
                    return;
                }
            }
            None => match taken.recv() {
                Ok(job) => backlog.add(job),
                Err(_) => return,
            },
        }
    }
}

/// Knows when to say that keys come late: at once, then at most once per period.
#[derive(Debug, Default)]
struct Lateness {
    told: Option<Monotonic>,
}

impl Lateness {
    /// Somebody waits since `since`, or has until now.
    fn look(&mut self, now: Monotonic, since: Monotonic) {
        if let Some(line) = self.line(now, since) {
            tracing::warn!("{line}");
        }
    }

    fn line(&mut self, now: Monotonic, since: Monotonic) -> Option<String> {
        let waited_ns = now.since_ns(since);
        let is_due = self.told.is_none_or(|told| now >= told.after_ns(LINE_PERIOD_NS));
        if waited_ns < LATE_NS || !is_due {
            return None;
        }
        self.told = Some(now);
        Some(format!(
            "somebody who logs in has waited for {}.{} s: no processor is free to derive keys from passwords, or too many log in \
             at once",
            waited_ns / 1_000_000_000,
            waited_ns / 100_000_000 % 10
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_keys_are_one_line_per_period() {
        let mut lateness = Lateness::default();
        let at = |ms: u64| Monotonic(ms * 1_000_000);
        assert_eq!(lateness.line(at(5_999), at(5_000)), None);
        let line = lateness.line(at(6_250), at(5_000)).expect("the first is told at once");
        assert!(line.contains("for 1.2 s: no processor is free"), "{line}");
        assert_eq!(lateness.line(at(16_249), at(5_000)), None);
        assert_eq!(lateness.line(at(16_250), at(16_000)), None, "in time again");
        assert!(lateness.line(at(17_000), at(16_000)).is_some());
    }
}
