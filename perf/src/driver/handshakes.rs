//! TLS handshakes that begin and never end, beside publishers and subscribers that are there already.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use monoio::{task::JoinHandle, time::timeout};

use super::{
    Audience, BUFFER_BYTES_IDLE, Bench, JOIN_TIMEOUT, broadcast::Stage, broadcast::settle, buffer_bytes,
    join_many,
};
use crate::{
    fault::Fault,
    link::Link,
    protocol::{Protocol, Role},
    recorder::{Extra, Measurement, Tally},
    schedule::Pace,
};

/// A server that turns somebody away is not asked again at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(1);

/// The same load twice: alone, and beside `clients` that begin handshakes. The measurement returned is the second one;
/// the first is beside it as extra results.
pub(super) async fn measure<P: Protocol>(
    bench: &Bench<P>,
    per_second: u64,
    subscribers: usize,
    clients: usize,
) -> Result<Measurement, Fault> {
    let tally = Rc::new(Tally::new(1));
    let mut audience = Audience::new(&tally);
    let joined = join_many(bench, 0..subscribers, buffer_bytes(subscribers), |_| Role::Subscriber(0)).await?;
    joined.into_iter().for_each(|joined| audience.add(joined, bench.clock));
    let mut stage = Stage::join(bench, 1).await?;
    let pace = Pace::Open { start_ns: 0, per_second };
    let alone = stage.perform(bench, &tally, subscribers, pace.clone()).await?;
    settle(bench, &tally).await;

    let (score, begun) = (Rc::new(Score::default()), Instant::now());
    let knocking: Vec<_> = (0..clients).map(|_| spawn_client(bench, &score)).collect();
    let beside = stage.perform(bench, &tally, subscribers, pace).await?;
    let seconds = begun.elapsed().as_secs_f64();
    score.is_over.set(true);
    for client in knocking {
        client.await;
    }
    settle(bench, &tally).await;
    stage.leave(&mut audience);
    audience.leave().await;

    let mut extra = vec![
        Extra { name: "handshakes per second", value: score.answered.get() as f64 / seconds },
        Extra { name: "handshakes refused per second", value: score.refused.get() as f64 / seconds },
    ];
    if let Some(latency) = alone.latencies.summary() {
        extra.push(Extra { name: "p50 us without the handshakes", value: latency.p50_us });
        extra.push(Extra { name: "p99 us without the handshakes", value: latency.p99_us });
    }
    Ok(Measurement { extra, ..beside })
}

/// Shared by all that knock.
#[derive(Default)]
struct Score {
    is_over: Cell<bool>,
    answered: Cell<u64>,
    refused: Cell<u64>,
}

fn spawn_client<P: Protocol>(bench: &Bench<P>, score: &Rc<Score>) -> JoinHandle<()> {
    let (protocol, address, score) = (bench.protocol.clone(), bench.address.clone(), score.clone());
    monoio::spawn(async move {
        while !score.is_over.get() {
            let knocking = async {
                let mut link = Link::open(&address, BUFFER_BYTES_IDLE).await?;
                protocol.knock(&mut link).await
            };
            match timeout(JOIN_TIMEOUT, knocking).await {
                Ok(Ok(())) => score.answered.set(score.answered.get() + 1),
                _ => {
                    score.refused.set(score.refused.get() + 1);
                    monoio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
    })
}
