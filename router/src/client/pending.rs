//! The books of a client session: outstanding requests, held subscriptions and registrations, running invocations.

use std::hash::Hash;

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::MessageType;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Most requests a client has outstanding. Bounds its own memory when a router does not answer.
pub const PENDING_MAX: usize = 64 * 1024;

/// How many ended subscriptions, registrations and cancelled calls are remembered, so that what was on its way when they
/// ended is told from a violation.
pub const RECENT_MAX: usize = 64;

pub(super) type Table<Key, Entry> = HashMap<Key, Entry, FixedState>;

/// An outstanding request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum RequestKind {
    /// SUBSCRIBE
    Subscribe,
    /// UNSUBSCRIBE
    Unsubscribe(SubscriptionId),
    /// PUBLISH with `acknowledge`
    Publish,
    /// REGISTER
    Register,
    /// UNREGISTER
    Unregister(RegistrationId),
    /// CALL
    Call {
        /// CANCEL has been sent.
        cancelled: bool,
        /// Progressive invocation whose last part is not sent.
        more: bool,
    },
}

impl RequestKind {
    /// The type of the request message.
    pub const fn message_type(self) -> MessageType {
        match self {
            RequestKind::Subscribe => MessageType::Subscribe,
            RequestKind::Unsubscribe(_) => MessageType::Unsubscribe,
            RequestKind::Publish => MessageType::Publish,
            RequestKind::Register => MessageType::Register,
            RequestKind::Unregister(_) => MessageType::Unregister,
            RequestKind::Call { .. } => MessageType::Call,
        }
    }
}

/// A running invocation.
#[derive(Copy, Clone, Debug)]
pub(super) struct Invocation {
    /// The caller takes progressive results.
    pub(super) receive_progress: bool,
    /// More INVOCATIONs of the same id follow.
    pub(super) more: bool,
}

/// What is or was held under router-scope ids.
#[derive(Debug)]
pub(super) struct Held<Id> {
    /// Held, or being given up.
    current: Table<Id, Standing>,
    recent: Recent<Id>,
}

/// Whether something held is still wanted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Wanted,
    /// The request to end it is on its way.
    Leaving,
    /// Ended not long ago.
    Past,
}

impl<Id: Copy + Eq + Hash> Held<Id> {
    pub(super) fn new() -> Self {
        Self { current: Table::default(), recent: Recent::new() }
    }

    pub(super) fn standing(&self, id: Id) -> Option<Standing> {
        let past = || self.recent.contains(id).then_some(Standing::Past);
        self.current.get(&id).copied().or_else(past)
    }

    /// An acknowledgement that crosses the request to end it changes nothing.
    pub(super) fn want(&mut self, id: Id) {
        self.current.entry(id).or_insert(Standing::Wanted);
    }

    pub(super) fn leave(&mut self, id: Id) {
        self.current.insert(id, Standing::Leaving);
    }

    pub(super) fn end(&mut self, id: Id) {
        if self.current.remove(&id).is_some() {
            self.recent.remember(id);
        }
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = Id> {
        let wanted = self.current.iter().filter(|(_, standing)| **standing == Standing::Wanted);
        wanted.map(|(id, _)| *id)
    }

    pub(super) fn clear(&mut self) {
        self.current.clear();
        self.recent.clear();
    }
}

/// The last [`RECENT_MAX`] ids that ended.
#[derive(Debug)]
pub(super) struct Recent<Id> {
    ids: Vec<Id>,
    next: usize,
}

impl<Id: Copy + Eq> Recent<Id> {
    pub(super) const fn new() -> Self {
        Self { ids: Vec::new(), next: 0 }
    }

    pub(super) fn remember(&mut self, id: Id) {
        if self.ids.len() < RECENT_MAX {
            self.ids.push(id);
        } else {
            self.ids[self.next] = id;
        }
        self.next = (self.next + 1) % RECENT_MAX;
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.next = 0;
    }
}

/// Outstanding requests and the counter that names them.
#[derive(Debug)]
pub(super) struct Requests {
    pending: Table<RequestId, RequestKind>,
    next: RequestId,
    /// Calls that were cancelled and answered: another answer may have crossed the CANCEL.
    cancelled: Recent<RequestId>,
    /// Requests below it were made before the session was resumed; what has no answer yet has failed.
    lost_below: RequestId,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { pending: Table::default(), next: FIRST, cancelled: Recent::new(), lost_below: FIRST }
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// The id of the next request.
    pub(super) fn take(&mut self) -> RequestId {
        let request = self.next;
        self.next = request.next();
        request
    }

    pub(super) fn insert(&mut self, request: RequestId, kind: RequestKind) {
        self.pending.insert(request, kind);
    }

    pub(super) fn get(&self, request: RequestId) -> Option<RequestKind> {
        self.pending.get(&request).copied()
    }

    /// Takes an answered request off the books.
    pub(super) fn settle(&mut self, request: RequestId) {
        if let Some(RequestKind::Call { cancelled: true, .. }) = self.pending.remove(&request) {
            self.cancelled.remember(request);
        }
    }

    pub(super) fn was_cancelled(&self, request: RequestId) -> bool {
        self.cancelled.contains(request)
    }

    pub(super) fn drain(&mut self) -> Vec<(RequestId, RequestKind)> {
        let mut lost: Vec<_> = self.pending.drain().collect();
        lost.sort_unstable_by_key(|(request, _)| *request);
        lost
    }

    /// A new session counts from 1.
    pub(super) fn restart(&mut self) {
        self.next = FIRST;
        self.cancelled.clear();
        self.lost_below = FIRST;
    }

    /// The transport was lost: answers to what was outstanding may still come when the session is resumed.
    pub(super) fn expect_late_answers(&mut self) {
        self.lost_below = self.next;
    }

    /// Whether the request was made before the transport was lost.
    pub(super) fn was_lost(&self, request: RequestId) -> bool {
        request < self.lost_below
    }
}

const FIRST: RequestId = RequestId::from_random(0);
