//! So many at a time of what is dear: connections to another server, processes.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long somebody waits for a slot.
const PATIENCE: Duration = Duration::from_secs(10);

/// Slots, and a bounded number of those who wait for one.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    waiting: Cell<usize>,
    waiting_max: usize,
}

/// Frees its slot when it is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Slots {
    /// As many may wait as there are slots.
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: Cell::new(0), waiting_max: count }
    }

    /// A slot; none when too many wait already, or it takes too long.
    pub(crate) async fn take(&self) -> Option<Slot> {
        self.take_within(PATIENCE).await
    }

    async fn take_within(&self, patience: Duration) -> Option<Slot> {
        if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot);
        }
        if self.waiting.get() >= self.waiting_max {
            return None;
        }
        let _waiting = Waiting::begin(&self.waiting);
        tokio::time::timeout(patience, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(future);
    }

    #[test]
    fn those_who_wait_are_served_in_turn_and_others_turned_away() {
        run(async {
            let slots = Slots::new(1);
            let first = slots.take().await.expect("a slot");
            let (second, third, ()) = tokio::join!(slots.take(), slots.take(), async {
                tokio::task::yield_now().await;
                drop(first);
            });
            assert!(second.is_some() && third.is_none());
            assert!(slots.take_within(Duration::ZERO).await.is_none(), "patience ends");
            drop(second);
            assert!(slots.take().await.is_some());
            assert_eq!(slots.waiting.get(), 0);
        });
    }
}
