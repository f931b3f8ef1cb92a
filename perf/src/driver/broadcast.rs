//! Publishers and subscribers of one topic: fan-out, mesh and fixed rate.

use std::rc::Rc;

use monoio::time::timeout;

use super::{Audience, BUFFER_BYTES_IDLE, Bench, buffer_bytes, join_many, watch::Watch};
use crate::{
    fault::Fault,
    link::Writer,
    protocol::{Protocol, Role},
    recorder::{Measurement, Tally},
    schedule::Pace,
};

/// Of a saturated stream every 16th stamp is read: enough for quantiles, and the generator stays
/// several times faster than any server.
const SATURATED_STAMP_STRIDE: u64 = 16;
/// After the window, as long as payloads still arrive; so many laps without any end it.
const QUIET_LAPS: u32 = 2_000;

/// Each publisher keeps `window` publishes in flight.
pub(super) async fn closed<P: Protocol>(
    bench: &Bench<P>,
    publishers: usize,
    subscribers: usize,
    window: u64,
) -> Result<Measurement, Fault> {
    let stride = if window == 1 { 1 } else { SATURATED_STAMP_STRIDE };
    run(bench, publishers, subscribers, stride, Pace::Closed { window }).await
}

/// One publisher on a fixed schedule.
pub(super) async fn open<P: Protocol>(
    bench: &Bench<P>,
    per_second: u64,
    subscribers: usize,
) -> Result<Measurement, Fault> {
    run(bench, 1, subscribers, 1, Pace::Open { start_ns: 0, per_second }).await
}

async fn run<P: Protocol>(
    bench: &Bench<P>,
    publishers: usize,
    subscribers: usize,
    stamp_stride: u64,
    pace: Pace,
) -> Result<Measurement, Fault> {
    let tally = Rc::new(Tally::new(stamp_stride));
    let mut audience = Audience::new(&tally);
    let joined = join_many(bench, 0..subscribers, buffer_bytes(subscribers), |_| Role::Subscriber(0)).await?;
    joined.into_iter().for_each(|joined| audience.add(joined, bench.clock));
    let mut stage = Stage::join(bench, publishers).await?;
    let measured = stage.perform(bench, &tally, subscribers, pace).await;
    settle(bench, &tally).await;
    stage.leave(&mut audience);
    audience.leave().await;
    measured
}

/// The publishers of one measurement.
pub(super) struct Stage<P> {
    publishers: Vec<Publisher<P>>,
    /// Their incoming bytes are read and skipped, so that replies to publishes (Redis) cannot
    /// fill a socket.
    replies: Audience,
}

struct Publisher<P> {
    protocol: P,
    writer: Writer,
    out: Vec<u8>,
    sent: u64,
}

impl<P: Protocol> Stage<P> {
    /// Joins `count` publishers.
    pub(super) async fn join(bench: &Bench<P>, count: usize) -> Result<Stage<P>, Fault> {
        let buffer = buffer_bytes(count).min(BUFFER_BYTES_IDLE * 16);
        let mut replies = Audience::new(&Rc::new(Tally::new(1)));
        let mut publishers = Vec::with_capacity(count);
        for joined in join_many(bench, 0..count, buffer, |_| Role::Publisher).await? {
            let protocol = joined.protocol.clone();
            let writer = replies.listen(joined.protocol, joined.link, bench.clock);
            publishers.push(Publisher { protocol, writer, out: Vec::new(), sent: 0 });
        }
        Ok(Stage { publishers, replies })
    }

    /// Publishes at `pace` through warm-up and window.
    pub(super) async fn perform(
        &mut self,
        bench: &Bench<P>,
        tally: &Tally,
        subscribers: usize,
        pace: Pace,
    ) -> Result<Measurement, Fault> {
        let pace = starting_now(pace, bench.clock.now_ns());
        let already = tally.payloads();
        self.publishers.iter_mut().for_each(|publisher| publisher.sent = 0);
        let mut watch = Watch::new(bench, tally);
        while watch.is_running()? {
            let received = tally.payloads() - already;
            let done = received / (subscribers * self.publishers.len()) as u64;
            let mut has_sent = false;
            for publisher in &mut self.publishers {
                has_sent |= publisher.send_due(&pace, bench.clock.now_ns(), done, &watch).await?;
            }
            // A send has been to the kernel already.
            if !has_sent {
                bench.spin.lap().await;
            }
        }
        Ok(watch.finish())
    }

    /// Gives the writers to `audience`, which ends them with its own.
    pub(super) fn leave(self, audience: &mut Audience) {
        audience.writers.extend(self.publishers.into_iter().map(|publisher| publisher.writer));
        self.replies.tally.end();
        audience.tasks.extend(self.replies.tasks);
    }
}

impl<P: Protocol> Publisher<P> {
    /// Whether there was anything to send.
    async fn send_due(
        &mut self,
        pace: &Pace,
        now_ns: u64,
        done: u64,
        watch: &Watch<'_, P>,
    ) -> Result<bool, Fault> {
        for stamp_ns in pace.due(now_ns, self.sent, done) {
            self.protocol.publish(stamp_ns, &mut self.out);
            self.sent += 1;
        }
        if self.out.is_empty() {
            return Ok(false);
        }
        let send = self.writer.send(std::mem::take(&mut self.out));
        let sent = timeout(watch.patience(), send).await;
        let sent = sent.map_err(|_| Fault::TimedOut { during: "publish" })?;
        self.out = sent.map_err(Fault::io("publish"))?;
        Ok(true)
    }
}

fn starting_now(pace: Pace, now_ns: u64) -> Pace {
    match pace {
        Pace::Open { per_second, .. } => Pace::Open { start_ns: now_ns, per_second },
        closed => closed,
    }
}

/// Waits until nothing arrives any more, so that the next measurement starts on a quiet server.
pub(super) async fn settle<P: Protocol>(bench: &Bench<P>, tally: &Tally) {
    let begun = std::time::Instant::now();
    let (mut seen, mut quiet) = (tally.payloads(), 0);
    while quiet < QUIET_LAPS && begun.elapsed() < super::LEAVE_TIMEOUT {
        bench.spin.lap().await;
        quiet = if tally.payloads() == seen { quiet + 1 } else { 0 };
        seen = tally.payloads();
    }
}
