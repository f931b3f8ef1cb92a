//! Sessions that outlive their transport (wamp.md 7.6), as a shard sees them; the registry's half is
//! `registry/resumption.rs`.
//!
//! A resumable session whose transport is lost is *frozen*: it leaves its slot, which the host may use again, and is kept
//! under its key, which no other session ever has. What it had to answer or was waiting for is over; subscriptions and
//! registrations stay, events are kept in a bounded queue, and calls find it away.
//!
//! It is resumed over a new transport, on whatever shard, in these steps, which lose and double no event:
//!
//! 1. `Prepare`, to all shards: callees are replaced in their places, the new home expects the session and is interested in
//!    its subscriptions. All shards acknowledge.
//! 2. `Depart`, to the old home, and from there `Cut` to all shards, behind what the session itself has published and called: each
//!    one posts a `Fence` behind its publications, to the old home and to the new one. What comes from that shard before the
//!    fence is kept by the old home, what comes behind it by the new one.
//! 3. The old home has all fences: it posts what it has kept (`Handover`), and forgets the session.
//! 4. The new home has that and all fences: WELCOME, then the events. The registry learns it by `Arrived`. What the session does
//!    from here on overtakes nothing of before.
//!
//! Once prepared the move goes on even when the new transport is lost meanwhile: the session is frozen at its new home then.
//! So there is nothing to undo.

use crossring_codec::id::SubscriptionId;

use crate::address::{ShardId, ShardSet};
use crate::letter::{Admission, Handover};
use crate::session::Session;

mod freeze;
mod movement;
mod queue;

use queue::Queue;

/// A session without transport.
#[derive(Debug)]
pub(crate) struct Parked {
    /// Its subscriptions have no places.
    pub(crate) session: Box<Session>,
    pub(crate) queue: Queue,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Its transport is lost. Events of the shards in `cut` are the new home's.
    Frozen { cut: ShardSet },
    /// It comes from elsewhere, or from another slot. Only events of the shards in `opened` are this home's.
    Arriving { opened: ShardSet, admission: Box<Admission>, handover: Option<Box<Handover>> },
}

impl Parked {
    fn frozen(session: Box<Session>, queue: Queue) -> Self {
        Self { session, queue, phase: Phase::Frozen { cut: ShardSet::EMPTY } }
    }

    fn arriving(session: Box<Session>, queue: Queue, admission: Box<Admission>) -> Self {
        let phase = Phase::Arriving { opened: ShardSet::EMPTY, admission, handover: None };
        Self { session, queue, phase }
    }

    /// Whether events published on a shard are to be kept here.
    pub(crate) fn keeps_events_of(&self, source: ShardId) -> bool {
        match &self.phase {
            Phase::Frozen { cut } => !cut.contains(source),
            Phase::Arriving { opened, .. } => opened.contains(source),
        }
    }

    /// Subscriptions held, lowest id first.
    pub(crate) fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.session.subscriptions_sorted()
    }
}
