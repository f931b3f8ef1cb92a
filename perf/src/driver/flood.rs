//! One subscriber that never reads, beside others that do.

use std::rc::Rc;

use super::{
    Audience, BUFFER_BYTES_IDLE, Bench, broadcast::Stage, broadcast::settle, buffer_bytes, join, join_many,
};
use crate::{
    fault::Fault,
    protocol::{Protocol, Role},
    recorder::{Extra, Measurement, Tally},
    schedule::Pace,
};

/// The same load twice: without and with the stuck subscriber. The measurement returned is the
/// second one; the first is beside it as extra results.
pub(super) async fn measure<P: Protocol>(
    bench: &Bench<P>,
    per_second: u64,
    subscribers: usize,
) -> Result<Measurement, Fault> {
    let tally = Rc::new(Tally::new(1));
    let mut audience = Audience::new(&tally);
    let joined = join_many(bench, 0..subscribers, buffer_bytes(subscribers), |_| Role::Subscriber(0)).await?;
    joined.into_iter().for_each(|joined| audience.add(joined, bench.clock));
    let mut stage = Stage::join(bench, 1).await?;
    let pace = Pace::Open { start_ns: 0, per_second };
    let undisturbed = stage.perform(bench, &tally, subscribers, pace.clone()).await?;
    settle(bench, &tally).await;

    let resident = || bench.server.map_or(0, |server| server.resident_bytes()) as f64;
    let resident_before = resident();
    let mut stuck =
        join(bench.protocol.clone(), &bench.address, Role::Subscriber(0), BUFFER_BYTES_IDLE).await?;
    let flooded = stage.perform(bench, &tally, subscribers, pace).await?;
    let resident_after = resident();
    stuck.link.writer.finish().await;
    settle(bench, &tally).await;
    stage.leave(&mut audience);
    audience.leave().await;

    let mut extra = vec![
        Extra { name: "resident bytes before the flood", value: resident_before },
        Extra { name: "resident bytes after the flood", value: resident_after },
        Extra { name: "events per second without the flood", value: undisturbed.per_second() },
    ];
    if let Some(latency) = undisturbed.latencies.summary() {
        extra.push(Extra { name: "p50 us without the flood", value: latency.p50_us });
        extra.push(Extra { name: "p99 us without the flood", value: latency.p99_us });
    }
    Ok(Measurement { extra, ..flooded })
}
