//! Many sessions that join at the same moment, beside publishers and subscribers that are there already.

use std::{rc::Rc, time::Instant};

use monoio::task::JoinHandle;

use super::{
    Audience, BUFFER_BYTES_IDLE, Bench, Joined, broadcast::Stage, broadcast::settle, buffer_bytes, join,
    join_many,
};
use crate::{
    fault::Fault,
    protocol::{Protocol, Role},
    recorder::{Extra, Latencies, Measurement, Tally},
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

    let joining: Vec<_> = (0..joins).map(|_| spawn_join(bench)).collect();
    let beside = stage.perform(bench, &tally, subscribers, pace).await?;
    let mut times = Latencies::default();
    for session in joining {
        let (mut joined, took_ns) = session.await?;
        times.add(took_ns);
        joined.link.writer.finish().await;
    }
    settle(bench, &tally).await;
    stage.leave(&mut audience);
    audience.leave().await;

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

/// Begins when the warm-up is over.
fn spawn_join<P: Protocol>(bench: &Bench<P>) -> JoinHandle<Result<(Joined<P>, u64), Fault>> {
    let (protocol, address, clock) = (bench.protocol.clone(), bench.address.clone(), bench.clock);
    let begin = Instant::now() + bench.warm_up;
    monoio::spawn(async move {
        monoio::time::sleep_until(begin.into()).await;
        let begun_ns = clock.now_ns();
        let joined = join(protocol, &address, Role::Idle, BUFFER_BYTES_IDLE).await?;
        Ok((joined, clock.now_ns() - begun_ns))
    })
}
