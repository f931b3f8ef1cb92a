//! SUBSCRIBE requests that want retained events, on their way to a snapshot of the store.
//!
//! A snapshot must have every publication that was made before the subscriber's shard began to mind it. Shards post what is to
//! be retained on the lane of their acknowledgements: so once all of them have acknowledged something that the registry has posted
//! after the request, the store has seen it all. The announcement of a new interest does; otherwise the requests that
//! have come while one question is out share the next one.

use crossring_codec::id::{RequestId, SubscriptionId};

use super::{Registry, Subject};
use crate::address::SessionAddress;
use crate::letter::Letter;
use crate::outbox::Post;

/// Requests by how far they have come.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Not covered by the question that is out.
    waiting: Vec<SnapshotWish>,
    /// Covered by it.
    asked: Vec<SnapshotWish>,
    is_asking: bool,
    /// To be answered.
    ready: Vec<SnapshotWish>,
}

/// A SUBSCRIBE to be answered with a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotWish {
    pub(crate) address: SessionAddress,
    pub(crate) subscription: SubscriptionId,
    pub(crate) request: RequestId,
}

impl Registry {
    /// Lets a request wait until the store has seen all that was published before.
    pub(super) fn await_snapshot<P: Post>(
        &mut self,
        subscription: SubscriptionId,
        address: SessionAddress,
        request: RequestId,
        out: &mut P,
    ) {
        self.snapshots.waiting.push(SnapshotWish { address, subscription, request });
        if !self.snapshots.is_asking {
            self.ask_for_snapshots(out);
        }
    }

    /// The store has seen all that a request is to be answered with.
    pub(super) fn make_snapshot(
        &mut self,
        subscription: SubscriptionId,
        address: SessionAddress,
        request: RequestId,
    ) {
        self.snapshots.ready.push(SnapshotWish { address, subscription, request });
    }

    /// All shards have answered the question.
    pub(super) fn snapshots_known<P: Post>(&mut self, out: &mut P) {
        let Snapshots { asked, ready, is_asking, .. } = &mut self.snapshots;
        ready.append(asked);
        *is_asking = false;
        if !self.snapshots.waiting.is_empty() {
            self.ask_for_snapshots(out);
        }
    }

    /// Requests to be answered now.
    pub(crate) fn take_snapshot_wishes(&mut self) -> Vec<SnapshotWish> {
        std::mem::take(&mut self.snapshots.ready)
    }

    /// A membership has ended, and with it what was asked for.
    pub(super) fn forget_snapshots(&mut self, subscription: SubscriptionId, address: SessionAddress) {
        let is_other = |wish: &SnapshotWish| wish.address != address || wish.subscription != subscription;
        self.snapshots.waiting.retain(is_other);
        self.snapshots.asked.retain(is_other);
    }

    fn ask_for_snapshots<P: Post>(&mut self, out: &mut P) {
        self.snapshots.asked = std::mem::take(&mut self.snapshots.waiting);
        self.snapshots.is_asking = true;
        self.broadcast(Subject::Snapshots, |ticket| Letter::Confirm { ticket }, out);
    }
}
