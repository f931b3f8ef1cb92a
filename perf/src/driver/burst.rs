//! Many sessions that join at the same moment, beside publishers and subscribers that are there already.
//!
//! Whoever joins has proofs to make. A thread of its own does that, on the processors of the server, and gives way to everybody: on
//! the generator's thread what it reads meanwhile would seem late.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use crossring_io::affinity::run_idle;
use monoio::time::timeout;

use super::{
    Audience, BUFFER_BYTES_IDLE, Bench, Joined, LEAVE_TIMEOUT, broadcast::Stage, broadcast::settle,
    buffer_bytes, join, join_many,
};
use crate::{
    fault::Fault,
    link::Address,
    placement,
    protocol::{Protocol, Role},
    recorder::{Extra, Latencies, Measurement, Tally},
    runtime::{Generator, Spin},
    schedule::Pace,
};

/// The same load twice: alone, and with all joins beginning as the window does. The measurement returned is the
/// second one; the first is beside it as extra results.
pub(super) async fn measure<P: Protocol>(
    bench: &Bench<P>,
    per_second: u64,
    subscribers: usize,
    joins: usize,
) -> Result<Measurement, Fault> {
    let tally = Rc::new(Tally::new(1));
    let mut audience = Audience::new(&tally);
    let joined = join_many(bench, 0..subscribers, buffer_bytes(subscribers), |_| Role::Subscriber(0)).await?;
    joined.into_iter().for_each(|joined| audience.add(joined, bench.clock));
    let mut stage = Stage::join(bench, 1).await?;
    let pace = Pace::Open { start_ns: 0, per_second };
    let alone = stage.perform(bench, &tally, subscribers, pace.clone()).await?;
    settle(bench, &tally).await;

    let (measured, is_measured) = mpsc::channel();
    let joining = spawn_joins(bench, joins, is_measured);
    let beside = stage.perform(bench, &tally, subscribers, pace).await;
    drop(measured);
    // It ends whatever the server does: joins and leaving have their time-outs.
    let took = joining.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    settle(bench, &tally).await;
    stage.leave(&mut audience);
    audience.leave().await;
    let beside = beside?;
    let mut times = Latencies::default();
    took?.into_iter().for_each(|took_ns| times.add(took_ns));

    let mut extra = Vec::new();
    let summaries = [
        (alone.latencies.summary(), ["p50 us without the joins", "p99 us without the joins"]),
        (times.summary(), ["p50 us of a join", "p99 us of a join"]),
    ];
    for (summary, [p50, p99]) in summaries {
        let Some(summary) = summary else { continue };
        extra.push(Extra { name: p50, value: summary.p50_us });
        extra.push(Extra { name: p99, value: summary.p99_us });
    }
    Ok(Measurement { extra, ..beside })
}

/// Begins when the warm-up is over, leaves when `is_measured` hangs up. Returns how long each took, in nanoseconds.
fn spawn_joins<P: Protocol>(
    bench: &Bench<P>,
    joins: usize,
    is_measured: Receiver<()>,
) -> thread::JoinHandle<Result<Vec<u64>, Fault>> {
    let (protocol, address) = (bench.protocol.clone(), bench.address.clone());
    let (processors, begin) = (bench.server_processors.clone(), Instant::now() + bench.warm_up);
    thread::spawn(move || {
        if !processors.is_empty() {
            placement::pin(&processors)?;
        }
        run_idle().map_err(Fault::io("sched_setscheduler"))?;
        let mut generator = Generator::with_single_calls().map_err(Fault::io("runtime"))?;
        let laps = generator.laps();
        let joined = generator.block_on(async {
            let spin = Spin::new(laps).map_err(Fault::io("/dev/null"))?;
            monoio::time::sleep_until(begin.into()).await;
            join_all(&protocol, &address, joins, &spin).await
        })?;
        let _ = is_measured.recv();
        let took = joined.iter().map(|(_, took_ns)| *took_ns).collect();
        let leaving = async {
            for (mut joined, _) in joined {
                joined.link.writer.finish().await;
            }
        };
        // Who cannot say goodbye in time is gone with its connection.
        let _ = generator.block_on(async { timeout(LEAVE_TIMEOUT, leaving).await });
        Ok(took)
    })
}

/// Offers the processor to whoever wants it before each step of `future`. The class of scheduling alone does not: a thread that has waited
/// is owed some milliseconds, whatever its class.
async fn giving_way<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        thread::yield_now();
        future.as_mut().poll(context)
    })
    .await
}

async fn join_all<P: Protocol>(
    protocol: &P,
    address: &Address,
    joins: usize,
    spin: &Spin,
) -> Result<Vec<(Joined<P>, u64)>, Fault> {
    let begun = Instant::now();
    let mut joining = Vec::with_capacity(joins);
    for _ in 0..joins {
        let (protocol, address) = (protocol.clone(), address.clone());
        joining.push(monoio::spawn(giving_way(async move {
            let joined = join(protocol, &address, Role::Idle, BUFFER_BYTES_IDLE).await?;
            Ok::<_, Fault>((joined, begun.elapsed().as_nanos() as u64))
        })));
        // One connects after the other, not all before the first goes on.
        spin.lap().await;
    }
    let mut all = Vec::with_capacity(joins);
    for session in joining {
        all.push(session.await?);
    }
    Ok(all)
}
