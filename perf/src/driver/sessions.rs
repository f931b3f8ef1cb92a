//! Sessions as such: memory of idle ones, rate of joining, what is left when they are gone.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use monoio::time::timeout;

use super::{BUFFER_BYTES_IDLE, Bench, JOIN_TIMEOUT, Joined, join, join_many, watch::Snapshot};
use crate::{
    clock::Clock,
    fault::Fault,
    link::Address,
    protocol::{Protocol, Role},
    recorder::{Extra, Latencies, Measurement},
    scenario::CHURN_CONCURRENCY,
    server_process::ServerProcess,
};

/// How long a server may take to give back what closed sessions held, before it is looked at.
const SETTLE_MAX: Duration = Duration::from_secs(2);
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// Joins a tenth of `sessions`, then the rest, and compares the server's memory. What grows with the
/// first tenth is mostly what a server touches once: buffers, tables, the first page of everything.
pub(super) async fn idle<P: Protocol>(
    bench: &Bench<P>,
    sessions: usize,
    subscribed: bool,
) -> Result<Measurement, Fault> {
    let role = if subscribed { |index| Role::Subscriber(index as u32) } else { |_| Role::Idle };
    let server = bench.server.ok_or_else(process_needed)?;
    let before_bytes = server.resident_bytes();
    let mut joined = join_many(bench, 0..sessions / 10, BUFFER_BYTES_IDLE, role).await?;
    let tenth_bytes = settled_resident_bytes(server).await;
    let first = Snapshot::take(bench, joined.len() as u64)?;
    joined.extend(join_many(bench, sessions / 10..sessions, BUFFER_BYTES_IDLE, role).await?);
    let measured = Snapshot::take(bench, sessions as u64)?.since(&first);
    let all_bytes = settled_resident_bytes(server).await;
    leave_all(joined).await;
    let per_session = |bytes: u64, count: usize| bytes as f64 / count.max(1) as f64;
    let (grown, grown_in_all) =
        (all_bytes.saturating_sub(tenth_bytes), all_bytes.saturating_sub(before_bytes));
    let extra = vec![
        Extra { name: "resident bytes per session", value: per_session(grown, sessions - sessions / 10) },
        Extra {
            name: "resident bytes per session, first use included",
            value: per_session(grown_in_all, sessions),
        },
        Extra { name: "resident bytes before", value: before_bytes as f64 },
    ];
    Ok(Measurement { extra, ..measured })
}

async fn settled_resident_bytes(server: ServerProcess) -> u64 {
    monoio::time::sleep(SETTLE_STEP * 5).await;
    server.resident_bytes()
}

async fn leave_all<P: Protocol>(joined: Vec<Joined<P>>) {
    for mut session in joined {
        session.link.writer.finish().await;
    }
}

fn process_needed() -> Fault {
    Fault::Setup("this scenario looks at the server's process: its id must be known".to_owned())
}

/// Full cycles by `concurrency` clients for the whole window.
pub(super) async fn join_rate<P: Protocol>(
    bench: &Bench<P>,
    concurrency: usize,
) -> Result<Measurement, Fault> {
    let counter = Rc::new(Counter::default());
    let begun = Instant::now();
    let until = begun + bench.warm_up + bench.window;
    let clients: Vec<_> = (0..concurrency).map(|_| spawn_cycles(bench, &counter, until)).collect();
    wait_until(bench, &counter, begun + bench.warm_up).await;
    let first = Snapshot::take(bench, counter.cycles.get())?;
    counter.latencies.take();
    wait_until(bench, &counter, until).await;
    let last = Snapshot::take(bench, counter.cycles.get())?;
    let latencies = counter.latencies.take();
    for client in clients {
        client.await?;
    }
    Ok(Measurement { latencies, ..last.since(&first) })
}

pub(super) async fn wait_until<P>(bench: &Bench<P>, counter: &Counter, until: Instant) {
    while Instant::now() < until {
        bench.progress.tick(Instant::now(), counter.cycles.get());
        bench.spin.lap().await;
    }
}

/// Shared by concurrent clients.
#[derive(Default)]
pub(super) struct Counter {
    pub(super) cycles: Cell<u64>,
    pub(super) latencies: std::cell::RefCell<Latencies>,
}

fn spawn_cycles<P: Protocol>(
    bench: &Bench<P>,
    counter: &Rc<Counter>,
    until: Instant,
) -> monoio::task::JoinHandle<Result<(), Fault>> {
    let (protocol, address, clock) = (bench.protocol.clone(), bench.address.clone(), bench.clock);
    let counter = counter.clone();
    monoio::spawn(async move {
        while Instant::now() < until {
            counter.cycle(&protocol, &address, clock).await?;
        }
        Ok(())
    })
}

impl Counter {
    /// Connect, join, leave, and wait for the server to close, as a well-behaved client does.
    async fn cycle<P: Protocol>(&self, protocol: &P, address: &Address, clock: Clock) -> Result<(), Fault> {
        let begun_ns = clock.now_ns();
        let mut joined = join(protocol.clone(), address, Role::Idle, BUFFER_BYTES_IDLE).await?;
        let leaving = async {
            joined.protocol.leave(&mut joined.link).await?;
            joined.link.writer.finish().await;
            while joined.link.reader.fill().await.unwrap_or(0) > 0 {
                joined.link.reader.consume(joined.link.reader.bytes().len());
            }
            Ok(())
        };
        timeout(JOIN_TIMEOUT, leaving).await.unwrap_or(Err(Fault::TimedOut { during: "leave" }))?;
        self.cycles.set(self.cycles.get() + 1);
        self.latencies.borrow_mut().add(clock.now_ns() - begun_ns);
        Ok(())
    }
}

/// `cycles` cycles; memory and descriptors before, after a tenth, and after all of them. The tenth
/// separates what the server keeps once (caches, grown tables) from what it loses every time.
pub(super) async fn churn<P: Protocol>(bench: &Bench<P>, cycles: usize) -> Result<Measurement, Fault> {
    let server = bench.server.ok_or_else(process_needed)?;
    let counter = Rc::new(Counter::default());
    let before = Holdings::settled(server, None).await;
    run_cycles(bench, &counter, cycles / 10).await?;
    let after_tenth = Holdings::settled(server, Some(before)).await;
    let first = Snapshot::take(bench, counter.cycles.get())?;
    run_cycles(bench, &counter, cycles - cycles / 10).await?;
    let last = Snapshot::take(bench, counter.cycles.get())?;
    let after = Holdings::settled(server, Some(before)).await;
    let extra = [before.named(BEFORE), after_tenth.named(AFTER_TENTH), after.named(AFTER)].concat();
    Ok(Measurement { latencies: counter.latencies.take(), extra, ..last.since(&first) })
}

const BEFORE: [&str; 2] = ["resident bytes before", "descriptors before"];
const AFTER_TENTH: [&str; 2] = ["resident bytes after a tenth", "descriptors after a tenth"];
const AFTER: [&str; 2] = ["resident bytes after", "descriptors after"];

async fn run_cycles<P: Protocol>(
    bench: &Bench<P>,
    counter: &Rc<Counter>,
    cycles: usize,
) -> Result<(), Fault> {
    let left = Rc::new(Cell::new(cycles));
    let client = |_| {
        let (protocol, address, clock) = (bench.protocol.clone(), bench.address.clone(), bench.clock);
        let (counter, left) = (counter.clone(), left.clone());
        monoio::spawn(async move {
            while let Some(less) = left.get().checked_sub(1) {
                left.set(less);
                counter.cycle(&protocol, &address, clock).await?;
            }
            Ok::<_, Fault>(())
        })
    };
    let clients: Vec<_> = (0..CHURN_CONCURRENCY).map(client).collect();
    for client in clients {
        client.await?;
    }
    Ok(())
}

/// What a server holds at one moment.
#[derive(Clone, Copy)]
struct Holdings {
    resident_bytes: u64,
    descriptors: usize,
}

impl Holdings {
    /// Waits, bounded, until no more descriptors are open than at the start.
    async fn settled(server: ServerProcess, start: Option<Holdings>) -> Holdings {
        let begun = Instant::now();
        let most = start.map_or(usize::MAX, |start| start.descriptors);
        loop {
            let descriptors = server.descriptors();
            if descriptors <= most || begun.elapsed() > SETTLE_MAX {
                return Holdings { resident_bytes: server.resident_bytes(), descriptors };
            }
            monoio::time::sleep(SETTLE_STEP).await;
        }
    }

    fn named(self, names: [&'static str; 2]) -> Vec<Extra> {
        vec![
            Extra { name: names[0], value: self.resident_bytes as f64 },
            Extra { name: names[1], value: self.descriptors as f64 },
        ]
    }
}
