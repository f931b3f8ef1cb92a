//! The generator's runtime: monoio on one thread, io_uring with deferred task work.

use std::{future::Future, io};

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder, fs::File, time::TimeDriver};

/// Ring size: room for one operation of every connection of the largest usual scenario.
const RING_ENTRIES: u32 = 4096;

/// One runtime for the whole process: a task left over from a failed measurement keeps its
/// buffers alive, and it can only do that while the runtime lives.
pub enum Generator {
    /// io_uring, `SINGLE_ISSUER | DEFER_TASKRUN | COOP_TASKRUN`.
    Ring(Runtime<TimeDriver<IoUringDriver>>),
    /// epoll, because the host refused io_uring.
    Legacy(Runtime<TimeDriver<LegacyDriver>>),
}

impl Generator {
    /// Builds the runtime on the calling thread, which must be the one that uses it. Says on
    /// standard error when it has to fall back to epoll, because numbers of the two must not be
    /// compared.
    pub fn new() -> io::Result<Generator> {
        match build_ring() {
            Ok(runtime) => Ok(Generator::Ring(runtime)),
            Err(refusal) => {
                eprintln!("crossring-perf: io_uring refused ({refusal}); the generator uses epoll");
                build_legacy().map(Generator::Legacy)
            }
        }
    }

    /// epoll: each operation is a system call of its own. Whoever shares a processor with the server keeps it no longer than one of them takes.
    pub fn with_single_calls() -> io::Result<Generator> {
        build_legacy().map(Generator::Legacy)
    }

    /// How the generator does its I/O, for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Generator::Ring(_) => "monoio, io_uring, DEFER_TASKRUN, spinning",
            Generator::Legacy(_) => "monoio, epoll, spinning",
        }
    }

    /// Runs `future` to its end.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Generator::Ring(runtime) => runtime.block_on(future),
            Generator::Legacy(runtime) => runtime.block_on(future),
        }
    }

    /// Which kind of [`Spin`] fits this runtime.
    pub fn laps(&self) -> Laps {
        match self {
            Generator::Ring(_) => Laps::NullRead,
            Generator::Legacy(_) => Laps::Yield,
        }
    }
}

fn build_ring() -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut ring = io_uring_of_monoio::IoUring::builder();
    ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(ring)
        .enable_timer()
        .build()
}

fn build_legacy() -> io::Result<Runtime<TimeDriver<LegacyDriver>>> {
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()
}

/// Keeps the generator awake. A sleeping receiver is woken by the *sender's* core, several
/// microseconds of inter-processor interrupt in a virtual machine, which would be charged to the
/// server under test and would depend on how often the generator happens to sleep.
pub struct Spin {
    null: Option<File>,
}

/// What a lap of [`Spin`] is.
#[derive(Clone, Copy, Debug)]
pub enum Laps {
    /// A read that completes at once.
    NullRead,
    /// Back to the end of the run queue.
    Yield,
}

impl Spin {
    /// Must be called on the runtime.
    pub fn new(laps: Laps) -> io::Result<Spin> {
        let null = match laps {
            Laps::NullRead => Some(File::from_std(std::fs::File::open("/dev/null")?)?),
            Laps::Yield => None,
        };
        Ok(Spin { null })
    }

    /// Lets every ready task run, polls the kernel once, and comes back without sleeping.
    ///
    /// With `DEFER_TASKRUN` completions are only posted by an enter that waits, so the lap is a
    /// read of `/dev/null`: it completes inside that very enter.
    pub async fn lap(&self) {
        match &self.null {
            Some(null) => drop(null.read_at(Vec::with_capacity(1), 0).await),
            None => yield_once().await,
        }
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
