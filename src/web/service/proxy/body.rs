//! Bodies on their way through: each piece is passed on before the next is read.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::web::silence::Silence;

/// Octets that count as progress of a body: fewer within the time are a client that plays for time.
const PROGRESS_SIZE: usize = 1024;

/// When something was last heard of a request under way.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Cell<Instant>,
    octets: Cell<usize>,
    waits_for_client: Cell<bool>,
}

impl Progress {
    pub(crate) fn begin() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self { last: Cell::new(now), octets: Cell::default(), waits_for_client: Cell::default() })
    }

    /// Since when there has been none.
    pub(crate) fn last(&self) -> Instant {
        self.last.get()
    }

    /// Whether it is the client who has to go on.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.get()
    }

    fn polled(&self, frame: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) {
        self.waits_for_client.set(frame.is_pending());
        let came = match frame {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Buf::remaining),
            Poll::Ready(_) => PROGRESS_SIZE,
            Poll::Pending => 0,
        };
        let octets = self.octets.get().saturating_add(came);
        let is_progress = octets >= PROGRESS_SIZE;
        self.octets.set(if is_progress { 0 } else { octets });
        if is_progress {
            self.last.set(Instant::now());
        }
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    body: Option<Incoming>,
    progress: Rc<Progress>,
}

impl RequestBody {
    pub(crate) fn new(body: Option<Incoming>, progress: Rc<Progress>) -> Self {
        Self { body, progress }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        self.progress.polled(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of an answer. It ends with an error when its server is silent for too long while somebody wants more.
#[derive(Debug)]
pub(crate) struct Download {
    body: Incoming,
    /// Told when the body is over.
    whole: Option<oneshot::Sender<()>>,
    silence: Silence,
}

impl Download {
    /// The body, and what hears when it has been passed on in whole; when it has not, that is dropped.
    pub(crate) fn new(body: Incoming, timeout: Duration) -> (Self, oneshot::Receiver<()>) {
        let (sender, whole) = oneshot::channel();
        let mut download = Self { body, whole: Some(sender), silence: Silence::new(timeout) };
        if download.body.is_end_stream() {
            download.end();
        }
        (download, whole)
    }

    fn end(&mut self) {
        if let Some(whole) = self.whole.take() {
            // Whoever waits is never gone before.
            let _ = whole.send(());
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => self.silence.poll(context).map(|error| Some(Err(error))),
            Poll::Ready(frame) => {
                self.silence.end();
                if frame.is_none() || self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
