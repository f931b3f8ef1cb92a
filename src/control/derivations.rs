//! Threads that derive keys from passwords. They run when no other thread wants the processor, so that joining, which may
//! wait, delays no message of those who have joined.

use std::sync::mpsc as std_mpsc;
use std::thread;

use crossring_router::derivation::{DerivedKey, Job};
use tokio::sync::mpsc;

/// Processors per thread: keys may use so large a part of the machine when nobody else wants it.
const PROCESSORS_PER_THREAD: usize = 4;

/// The threads, started with their first job. The core bounds how many jobs there are.
pub(super) struct Derivations {
    threads_max: usize,
    threads: Vec<Thread>,
    sender: mpsc::UnboundedSender<(usize, DerivedKey)>,
    results: mpsc::UnboundedReceiver<(usize, DerivedKey)>,
}

struct Thread {
    jobs: std_mpsc::Sender<Job>,
    open: usize,
}

impl Derivations {
    /// No thread yet.
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let (sender, results) = mpsc::unbounded_channel();
        let threads_max = processors.div_ceil(PROCESSORS_PER_THREAD);
        Self { threads_max, threads: Vec::new(), sender, results }
    }

    /// Has a job run; its result comes by [`Derivations::next`].
    pub(super) fn submit(&mut self, job: Job) {
        let is_busy = self.threads.iter().all(|thread| thread.open > 0);
        if is_busy && self.threads.len() < self.threads_max {
            self.start_thread();
        }
        let idlest = self.threads.iter_mut().enumerate().min_by_key(|(_, thread)| thread.open);
        let refused = match idlest {
            Some((_, thread)) => {
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
                if let Some(thread) = self.threads.get_mut(index) {
                    thread.open -= 1;
                }
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
            for job in taken {
                let _ = results.send((index, job.run()));
            }
        };
        match thread::Builder::new().name(format!("derive-{index}")).spawn(work) {
            Ok(_) => self.threads.push(Thread { jobs, open: 0 }),
            Err(error) => tracing::warn!("no thread to derive keys: {error}"),
        }
    }
}
