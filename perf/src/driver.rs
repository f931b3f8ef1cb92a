//! Drives one scenario against one server: the same code for every protocol.

mod broadcast;
mod burst;
mod flood;
mod handshakes;
pub mod requests;
mod rpc;
mod sessions;
mod watch;

use std::{ops::Range, rc::Rc, time::Duration};

use monoio::{task::JoinHandle, time::timeout};

use crate::{
    clock::Clock,
    fault::Fault,
    link::{Address, Link, Reader, Writer},
    progress::Progress,
    protocol::{Incoming, Protocol, Role},
    recorder::{Measurement, Tally},
    runtime::Spin,
    scenario::{Scenario, Shape},
    server_process::ServerProcess,
};

/// Longest wait for one join, and for one orderly leave.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the servers to close what we finished.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Joins under way at once when many sessions are opened.
const JOIN_LANES: usize = 32;
/// Read buffer of a receiving session, few and many of them; both hold the largest frame.
const BUFFER_BYTES_FEW: usize = 512 * 1024;
const BUFFER_BYTES_MANY: usize = 160 * 1024;
const FEW_SESSIONS: usize = 128;
/// Read buffer of a session that receives nothing but its acknowledgements.
const BUFFER_BYTES_IDLE: usize = 4096;

/// Everything one measurement needs to know besides the scenario.
pub struct Bench<P> {
    /// A session that has not joined yet; cloned per connection.
    pub protocol: P,
    /// Where the server listens.
    pub address: Address,
    /// Time for stamps.
    pub clock: Clock,
    /// Keeps the generator awake.
    pub spin: Spin,
    /// Not measured at the start.
    pub warm_up: Duration,
    /// The measuring window.
    pub window: Duration,
    /// The server's process, if it runs on this machine and is known.
    pub server: Option<ServerProcess>,
    /// The processors it is pinned to; empty when it is not.
    pub server_processors: Vec<usize>,
    /// Shows what happens.
    pub progress: Progress,
}

/// Runs `scenario` once.
pub async fn measure<P: Protocol>(bench: &Bench<P>, scenario: &Scenario) -> Result<Measurement, Fault> {
    match scenario.shape {
        Shape::Broadcast { publishers, subscribers, window } => {
            broadcast::closed(bench, publishers, subscribers, window).await
        }
        Shape::Rate { per_second, subscribers } => broadcast::open(bench, per_second, subscribers).await,
        Shape::Rpc { outstanding } => rpc::measure(bench, outstanding).await,
        Shape::Idle { sessions, subscribed } => sessions::idle(bench, sessions, subscribed).await,
        Shape::Join { concurrency, .. } => sessions::join_rate(bench, concurrency).await,
        Shape::Flood { per_second, subscribers } => flood::measure(bench, per_second, subscribers).await,
        Shape::Burst { per_second, subscribers, joins } => {
            burst::measure(bench, per_second, subscribers, joins).await
        }
        Shape::Handshakes { per_second, subscribers, clients } => {
            handshakes::measure(bench, per_second, subscribers, clients).await
        }
        Shape::Static { .. } => Err(Fault::Unsupported { operation: "GET" }),
        Shape::Churn { cycles } => sessions::churn(bench, cycles).await,
    }
}

/// A session that has joined.
struct Joined<P> {
    protocol: P,
    link: Link,
}

async fn join<P: Protocol>(
    mut protocol: P,
    address: &Address,
    role: Role,
    buffer_bytes: usize,
) -> Result<Joined<P>, Fault> {
    let joining = async {
        let mut link = Link::open(address, buffer_bytes).await?;
        protocol.join(&mut link, role).await?;
        Ok(Joined { protocol, link })
    };
    timeout(JOIN_TIMEOUT, joining).await.unwrap_or(Err(Fault::TimedOut { during: "join" }))
}

/// Opens a session for each number in `indices`, a few at a time, with the role `role(index)`.
async fn join_many<P: Protocol>(
    bench: &Bench<P>,
    indices: Range<usize>,
    buffer_bytes: usize,
    role: fn(usize) -> Role,
) -> Result<Vec<Joined<P>>, Fault> {
    let lane = |lane: usize| {
        let (protocol, address) = (bench.protocol.clone(), bench.address.clone());
        let mine = indices.clone().skip(lane).step_by(JOIN_LANES);
        monoio::spawn(async move {
            let mut joined = Vec::new();
            for index in mine {
                joined.push(join(protocol.clone(), &address, role(index), buffer_bytes).await?);
            }
            Ok::<_, Fault>(joined)
        })
    };
    let lanes: Vec<_> = (0..JOIN_LANES.min(indices.len())).map(lane).collect();
    let mut all = Vec::with_capacity(indices.len());
    for lane in lanes {
        all.extend(lane.await?);
    }
    Ok(all)
}

/// Buffer of each of `sessions` receivers.
fn buffer_bytes(sessions: usize) -> usize {
    if sessions <= FEW_SESSIONS { BUFFER_BYTES_FEW } else { BUFFER_BYTES_MANY }
}

/// Sessions whose incoming payloads go to a tally, each in a task of its own.
struct Audience {
    writers: Vec<Writer>,
    tasks: Vec<JoinHandle<()>>,
    tally: Rc<Tally>,
}

impl Audience {
    fn new(tally: &Rc<Tally>) -> Audience {
        Audience { writers: Vec::new(), tasks: Vec::new(), tally: tally.clone() }
    }

    /// Takes over both halves; the writing one only to end the session.
    fn add<P: Protocol>(&mut self, joined: Joined<P>, clock: Clock) {
        let writer = self.listen(joined.protocol, joined.link, clock);
        self.writers.push(writer);
    }

    /// Takes over the reading half only.
    fn listen<P: Protocol>(&mut self, protocol: P, link: Link, clock: Clock) -> Writer {
        self.tasks.push(monoio::spawn(drain(protocol, link.reader, self.tally.clone(), clock)));
        link.writer
    }

    /// Ends all sessions and waits, bounded, until the server has closed them.
    async fn leave(mut self) {
        self.tally.end();
        for writer in &mut self.writers {
            writer.finish().await;
        }
        let all_closed = async {
            for task in self.tasks {
                task.await;
            }
        };
        // Whoever is not closed by then keeps its task; it holds no more than its own buffer.
        let _ = timeout(LEAVE_TIMEOUT, all_closed).await;
    }
}

async fn drain<P: Protocol>(mut protocol: P, mut reader: Reader, tally: Rc<Tally>, clock: Clock) {
    loop {
        match reader.fill().await {
            Ok(0) => return tally.fail(Fault::Closed { during: "receive" }),
            Ok(_) => (),
            Err(fault) => return tally.fail(fault),
        }
        if let Err(fault) = skim(&mut protocol, &mut reader, &tally, clock.now_ns()) {
            return tally.fail(fault);
        }
    }
}

fn skim<P: Protocol>(protocol: &mut P, reader: &mut Reader, tally: &Tally, now_ns: u64) -> Result<(), Fault> {
    let mut batch = tally.batch(now_ns);
    let consumed = protocol.skim(reader.bytes(), &mut |incoming| match incoming {
        Incoming::Payload(payload) | Incoming::Request { payload, .. } => batch.add(payload),
    })?;
    drop(batch);
    reader.consume(consumed);
    match reader.is_full() {
        true => Err(Fault::malformed("a frame that fits the read buffer", reader.bytes())),
        false => Ok(()),
    }
}
