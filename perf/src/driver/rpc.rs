//! Caller and callee, both here: call, invocation, yield, result.

use std::rc::Rc;

use monoio::time::timeout;

use super::{Audience, BUFFER_BYTES_FEW, Bench, Joined, broadcast::settle, join, watch::Watch};
use crate::{
    fault::Fault,
    link::{Link, Writer},
    protocol::{Incoming, Protocol, ReplyTo, Role},
    recorder::{Measurement, Tally},
    schedule::Pace,
};

/// Keeps `outstanding` calls in flight.
pub(super) async fn measure<P: Protocol>(bench: &Bench<P>, outstanding: u64) -> Result<Measurement, Fault> {
    let callee = join(bench.protocol.clone(), &bench.address, Role::Callee, BUFFER_BYTES_FEW).await?;
    let caller = join(bench.protocol.clone(), &bench.address, Role::Caller, BUFFER_BYTES_FEW).await?;
    let tally = Rc::new(Tally::new(1));
    let mut audience = Audience::new(&tally);
    let protocol = caller.protocol.clone();
    let writer = audience.listen(caller.protocol, caller.link, bench.clock);
    let mut caller = Caller { protocol, writer, out: Vec::new(), sent: 0 };
    let Joined { protocol, link: mut callee } = callee;
    let measured = monoio::select! {
        // The callee ends by a fault only; when the caller is done, its pending read is dropped.
        fault = answer_all(protocol, &mut callee) => Err(fault),
        measured = caller.perform(bench, &tally, outstanding) => measured,
    };
    audience.writers.extend([caller.writer, callee.writer]);
    audience.leave().await;
    measured
}

struct Caller<P> {
    protocol: P,
    writer: Writer,
    out: Vec<u8>,
    sent: u64,
}

impl<P: Protocol> Caller<P> {
    async fn perform(
        &mut self,
        bench: &Bench<P>,
        tally: &Tally,
        outstanding: u64,
    ) -> Result<Measurement, Fault> {
        let pace = Pace::Closed { window: outstanding };
        let mut watch = Watch::new(bench, tally);
        while watch.is_running()? {
            for stamp_ns in pace.due(bench.clock.now_ns(), self.sent, tally.payloads()) {
                self.protocol.call(stamp_ns, &mut self.out);
                self.sent += 1;
            }
            if !self.out.is_empty() {
                let sent = timeout(watch.patience(), self.writer.send(std::mem::take(&mut self.out))).await;
                self.out =
                    sent.map_err(|_| Fault::TimedOut { during: "call" })?.map_err(Fault::io("call"))?;
            } else {
                bench.spin.lap().await;
            }
        }
        settle(bench, tally).await;
        Ok(watch.finish())
    }
}

async fn answer_all<P: Protocol>(protocol: P, link: &mut Link) -> Fault {
    match try_answer_all(protocol, link).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn try_answer_all<P: Protocol>(
    protocol: P,
    link: &mut Link,
) -> Result<std::convert::Infallible, Fault> {
    let (mut incoming, mut outgoing, mut out) = (protocol.clone(), protocol, Vec::new());
    loop {
        if link.reader.fill().await? == 0 {
            return Err(Fault::Closed { during: "invocation" });
        }
        let consumed = incoming.skim(link.reader.bytes(), &mut |incoming| match incoming {
            Incoming::Payload(payload) => outgoing.answer(ReplyTo::Peer, payload, &mut out),
            Incoming::Request { reply_to, payload } => outgoing.answer(reply_to, payload, &mut out),
        })?;
        link.reader.consume(consumed);
        if !out.is_empty() {
            out = link.writer.send(out).await.map_err(Fault::io("yield"))?;
        }
    }
}
