//! How long somebody may be silent whose turn it is to say something.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// Time that runs while somebody is waited for, and begins anew with whatever comes.
#[derive(Debug)]
pub(crate) struct Silence {
    timeout: Duration,
    /// While it runs.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None }
    }

    /// Nothing has come yet. Ready with an error once that has lasted too long.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        timer.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Something has come.
    pub(crate) fn end(&mut self) {
        self.timer = None;
    }
}
