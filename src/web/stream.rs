//! One relayed connection as hyper sees it: a stream of octets with the socket on a data shard.
//!
//! Both directions have a window: so many octets may be on their way before the other side has taken some.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossring_router::address::{SessionKey, ShardId};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Instant;

use super::silence::Silence;
use super::{Demand, Demands};
use crate::worker::mail::{Relay, RelayPart, WINDOW_SIZE};

/// Written octets are handed over when there are as many, or at a flush.
const CHUNK_SIZE: usize = 32 * 1024;

/// How long a peer may take nothing of what is sent.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The half that mail fills.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    received: VecDeque<Vec<u8>>,
    /// Octets of the first element that have been read.
    read: usize,
    is_ended: bool,
    /// Octets that may be sent now.
    window: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When octets have last passed, in either direction.
    active: Option<Instant>,
}

impl Pipe {
    pub(crate) fn shared() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { window: WINDOW_SIZE, ..Self::default() }))
    }

    /// Octets of the peer.
    pub(crate) fn push(&mut self, octets: Vec<u8>) {
        self.active = Some(Instant::now());
        self.received.push_back(octets);
        self.wake();
    }

    /// The shard has sent so many octets.
    pub(crate) fn took(&mut self, count: usize) {
        self.window += count;
        self.active = Some(Instant::now());
        self.wake();
    }

    /// When octets have last passed, in either direction.
    pub(crate) fn active(&self) -> Option<Instant> {
        self.active
    }

    /// The connection is gone.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
        self.wake();
    }

    /// Everything received and not read.
    fn take_unread(&mut self) -> Vec<u8> {
        let mut octets: Vec<u8> = self.received.drain(..).flatten().collect();
        octets.drain(..std::mem::take(&mut self.read));
        octets
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// The first octets, once there are `count` or no more will come.
    fn begins_with(&self, expected: &[u8]) -> Option<bool> {
        let mut octets = self.received.iter().flatten();
        for octet in expected {
            match octets.next() {
                Some(found) if found == octet => {}
                Some(_) => return Some(false),
                None => return self.is_ended.then_some(false),
            }
        }
        Some(true)
    }
}

/// The stream.
pub(crate) struct Stream {
    shard: ShardId,
    key: SessionKey,
    pipe: Rc<RefCell<Pipe>>,
    demands: Demands,
    written: Vec<u8>,
    /// Its end need not be told any more.
    is_over: bool,
    /// Runs while the window is closed.
    stall: Silence,
}

impl Stream {
    pub(crate) fn new(shard: ShardId, key: SessionKey, pipe: Rc<RefCell<Pipe>>, demands: Demands) -> Self {
        let stall = Silence::new(STALL_TIMEOUT);
        Self { shard, key, pipe, demands, written: Vec::new(), is_over: false, stall }
    }

    /// What mail fills.
    pub(crate) fn pipe(&self) -> Rc<RefCell<Pipe>> {
        Rc::clone(&self.pipe)
    }

    /// Whether the peer begins with these octets.
    pub(crate) async fn begins_with(&self, expected: &[u8]) -> bool {
        std::future::poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            let verdict = pipe.begins_with(expected);
            if verdict.is_none() {
                pipe.reader = Some(context.waker().clone());
            }
            verdict.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Gives the connection back to its shard, with octets of the peer that have not been dealt with.
    pub(crate) fn hand_over(mut self, mut octets: Vec<u8>) {
        octets.append(&mut self.pipe.borrow_mut().take_unread());
        self.order(RelayPart::HandedOver(octets));
        self.is_over = true;
    }

    fn order(&self, part: RelayPart) {
        // A control shard that is gone needs no orders.
        let _ = self.demands.send(Demand::Relay(self.shard, Relay { key: self.key, part }));
    }

    fn hand_out(&mut self) {
        if !self.written.is_empty() {
            let written = std::mem::take(&mut self.written);
            self.order(RelayPart::Octets(written));
        }
    }

    fn end(&mut self) {
        self.hand_out();
        if !self.is_over {
            self.is_over = true;
            self.order(RelayPart::Ended);
        }
    }

    /// How many octets of `wanted` may be written.
    fn poll_window(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.is_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.window > 0 {
            let count = pipe.window.min(wanted);
            pipe.window -= count;
            self.stall.end();
            return Poll::Ready(Ok(count));
        }
        pipe.writer = Some(context.waker().clone());
        drop(pipe);
        self.stall.poll(context).map(Err)
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let mut pipe = stream.pipe.borrow_mut();
        let pipe = &mut *pipe;
        let Some(chunk) = pipe.received.front() else {
            if pipe.is_ended {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let rest = &chunk[pipe.read..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        pipe.read += count;
        if pipe.read == chunk.len() {
            pipe.read = 0;
            pipe.received.pop_front();
        }
        stream.order(RelayPart::Took(count as u32));
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        match stream.poll_window(context, octets.len()) {
            Poll::Ready(Ok(count)) => {
                stream.written.extend_from_slice(&octets[..count]);
                if stream.written.len() >= CHUNK_SIZE {
                    stream.hand_out();
                }
                Poll::Ready(Ok(count))
            }
            other => {
                stream.hand_out();
                other
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().hand_out();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}
