//! HTTP/2 connections: what one of them may hold, and when it has nothing more to wait for.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;

use super::stream::Stream;
use super::{Body, HEAD_SIZE_MAX, HEAD_TIMEOUT, Handover, Peer, Site, Stopping, answer, stopped};

/// Streams that one connection may have open.
const STREAMS_MAX: u32 = 100;

/// Octets of an answer that a stream holds while the client does not take them.
const SEND_BUFFER_SIZE: usize = 64 * 1024;

/// Octets of all requests of a connection that are held unread.
const REQUESTS_SIZE_MAX: u32 = 1 << 20;

/// Streams that a client may have opened and reset before they were looked at; with more, the connection is closed.
const RESET_STREAMS_MAX: usize = 20;

/// Streams that were reset for the client's faults; with more, the connection is closed.
const FAULTY_STREAMS_MAX: usize = 200;

/// How long a connection may take to close itself when it is told to.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves one connection to its end. It ends too when nothing has passed for as long as it may be idle, unless the client waits
/// for an answer.
pub(super) async fn serve(
    site: Rc<Site>,
    peer: Peer,
    stream: Stream,
    mut stopping: Stopping,
) -> Result<(), hyper::Error> {
    let mut builder = http2::Builder::new(LocalTasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_SIZE_MAX as u32)
        .max_send_buf_size(SEND_BUFFER_SIZE)
        .initial_connection_window_size(REQUESTS_SIZE_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(FAULTY_STREAMS_MAX);
    let patience = site.client_timeout.unwrap_or(HEAD_TIMEOUT);
    let (pipe, begun) = (stream.pipe(), Instant::now());
    let waits = Waits::default();
    let counted = waits.clone();
    let service = service_fn(move |request| {
        let (site, peer, waits) = (Rc::clone(&site), peer.clone(), counted.clone());
        async move {
            let _wait = waits.begin();
            let response = answer(&site, &peer, &Handover::default(), request).await?;
            Ok::<_, std::convert::Infallible>(response.map(|body| Watched::new(body, waits)))
        }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    loop {
        let now = Instant::now();
        let deadline = pipe.borrow().active().unwrap_or(begun) + patience;
        let is_late = deadline <= now;
        if is_late && waits.is_empty() {
            break;
        }
        tokio::select! {
            ended = &mut connection => return ended,
            () = tokio::time::sleep_until(if is_late { now + patience } else { deadline }) => {}
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                return connection.await;
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(FAREWELL_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

/// Runs what HTTP/2 does beside its connection: one task for each of its streams.
#[derive(Clone, Copy)]
struct LocalTasks;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// What the client of a connection waits for. Answers that it does not take are nothing of that.
#[derive(Clone, Default)]
struct Waits(Arc<AtomicUsize>);

/// One thing, until it is dropped.
struct Wait(Arc<AtomicUsize>);

impl Waits {
    fn begin(&self) -> Wait {
        self.0.fetch_add(1, Ordering::Relaxed);
        Wait(Arc::clone(&self.0))
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer that notes when its next piece is wanted and not there yet.
struct Watched {
    body: Body,
    waits: Waits,
    wait: Option<Wait>,
}

impl Watched {
    fn new(body: Body, waits: Waits) -> Self {
        Self { body, waits, wait: None }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.wait = match frame {
            Poll::Pending => self.wait.take().or_else(|| Some(self.waits.begin())),
            Poll::Ready(_) => None,
        };
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// Has a piece ready every second time.
    struct Hesitant(bool);

    impl HttpBody for Hesitant {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            self.0 = !self.0;
            if self.0 { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(Bytes::new())))) }
        }
    }

    #[test]
    fn clients_wait_for_pieces_that_are_not_there() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let waits = Waits::default();
        let mut watched = Watched::new(Hesitant(false).boxed_unsync(), waits.clone());
        assert!(waits.is_empty());
        for _ in 0..2 {
            assert!(Pin::new(&mut watched).poll_frame(&mut context).is_pending() && !waits.is_empty());
            assert!(Pin::new(&mut watched).poll_frame(&mut context).is_ready() && waits.is_empty());
        }
        assert!(Pin::new(&mut watched).poll_frame(&mut context).is_pending() && !waits.is_empty());
        drop(watched);
        assert!(waits.is_empty());
    }
}
