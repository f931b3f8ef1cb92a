//! Letters between threads.
//!
//! Every ordered pair of members has three lanes, each first in, first out, bounded, carrying batches:
//! a sender collects letters and hands over one batch per lane and turn. No lock is taken, no letter
//! is lost, a lane is never reordered. The receiver's doorbell rings only if it sleeps.
//!
//! A full lane keeps the sender's batch pending, in order; the receiver rings the sender when there is
//! room. [`Mailbox::credit`] tells a sender beforehand, so that it can slow its sources.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use crate::doorbell::Doorbell;

/// The lanes between two members, by falling priority.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Lane {
    /// Configuration, interest, queries.
    Control,
    /// Answers to what `Data` asked.
    Reply,
    /// Traffic of sessions.
    Data,
}

impl Lane {
    /// All lanes, by falling priority.
    pub const ALL: [Lane; 3] = [Lane::Control, Lane::Reply, Lane::Data];
}

/// Bounds of each lane.
#[derive(Copy, Clone, Debug)]
pub struct MailboxLimits {
    /// Batches in a lane not yet taken by its receiver. Costs 32 bytes per batch, lane and pair.
    pub batch_count_max: usize,
    /// Letters in a lane, pending ones included, at which its credit is used up.
    pub letter_count_max: usize,
}

impl Default for MailboxLimits {
    fn default() -> MailboxLimits {
        MailboxLimits { batch_count_max: 32, letter_count_max: 8192 }
    }
}

/// Makes one mailbox for each member; `doorbells[index]` wakes member `index`.
pub fn mesh<T>(doorbells: Vec<Doorbell>, limits: MailboxLimits) -> Vec<Mailbox<T>> {
    let count = doorbells.len();
    assert!(count <= MEMBER_COUNT_MAX);
    assert!(limits.batch_count_max > 0);
    let queues = (0..count * count * LANE_COUNT).map(|_| Queue::new(limits.batch_count_max)).collect();
    let members = doorbells.into_iter().map(|doorbell| CachePadded::new(Member::new(doorbell))).collect();
    let mesh = Arc::new(Mesh { count, queues, members, letter_count_max: limits.letter_count_max });
    (0..count).map(|own| Mailbox::new(mesh.clone(), own)).collect()
}

/// One member's end of the mesh: it posts to all members and receives from all.
pub struct Mailbox<T> {
    mesh: Arc<Mesh<T>>,
    own: usize,
    /// By member and lane: letters not yet handed over.
    pending: Vec<Vec<T>>,
    /// By member: whether any of its lanes has pending letters.
    unsent: Vec<bool>,
    /// Lanes whose credit the next sleep waits for.
    wanted: Vec<(usize, Lane)>,
    /// The sender to look at first; rotates, so that none is preferred.
    first: usize,
}

/// A batch on the receiver's side.
#[derive(Debug)]
pub struct Delivery<T> {
    /// The member that posted it.
    pub from: usize,
    /// The lane it came by.
    pub lane: Lane,
    /// The letters in order; leave it drained for `recycle`.
    pub letters: Vec<T>,
}

impl<T> Mailbox<T> {
    fn new(mesh: Arc<Mesh<T>>, own: usize) -> Mailbox<T> {
        let pending = (0..mesh.count * LANE_COUNT).map(|_| Vec::new()).collect();
        let unsent = vec![false; mesh.count];
        Mailbox { mesh, own, pending, unsent, wanted: Vec::new(), first: 0 }
    }

    /// This member's index.
    pub fn own_index(&self) -> usize {
        self.own
    }

    /// Number of members.
    pub fn member_count(&self) -> usize {
        self.mesh.count
    }

    /// Appends a letter to a lane; it leaves with the next [`Mailbox::flush`].
    #[inline]
    pub fn post(&mut self, to: usize, lane: Lane, letter: T) {
        self.pending[to * LANE_COUNT + lane as usize].push(letter);
        self.unsent[to] = true;
    }

    /// How many more letters the lane should take now. Zero asks the sender to hold back; posting
    /// nevertheless loses nothing.
    pub fn credit(&self, to: usize, lane: Lane) -> usize {
        let queued = self.mesh.queue(self.own, to, lane).letter_count.load(Ordering::Relaxed);
        let pending = self.pending_count(to, lane);
        self.mesh.letter_count_max.saturating_sub(queued + pending)
    }

    /// `credit` of the `Data` lane.
    pub fn data_credit(&self, to: usize) -> usize {
        self.credit(to, Lane::Data)
    }

    /// Letters posted and not yet handed over.
    pub fn pending_count(&self, to: usize, lane: Lane) -> usize {
        self.pending[to * LANE_COUNT + lane as usize].len()
    }

    /// Hands over all pending letters, one batch per lane, once per turn. `ring` wakes a sleeping
    /// receiver, as by `Engine::ring`. What a full lane refuses stays pending; the receiver then rings
    /// this member when there is room.
    pub fn flush(&mut self, mut ring: impl FnMut(&Doorbell)) {
        for to in 0..self.mesh.count {
            if self.unsent[to] {
                self.flush_to(to);
                if to != self.own {
                    self.mesh.members[to].wake(&mut ring);
                }
            }
        }
    }

    fn flush_to(&mut self, to: usize) {
        let mut unsent = false;
        for lane in Lane::ALL {
            let pending = &mut self.pending[to * LANE_COUNT + lane as usize];
            if !pending.is_empty() {
                self.mesh.queue(self.own, to, lane).hand_over(pending);
                unsent |= !pending.is_empty();
            }
        }
        self.unsent[to] = unsent;
    }

    /// The next batch: everything on `Control` before anything on `Reply` before anything on `Data`.
    /// `ring` wakes a sender that waits for room.
    pub fn take(&mut self, mut ring: impl FnMut(&Doorbell)) -> Option<Delivery<T>> {
        for lane in Lane::ALL {
            for turn in 0..self.mesh.count {
                let from = (self.first + turn) % self.mesh.count;
                let queue = self.mesh.queue(from, self.own, lane);
                let Some(letters) = queue.take() else { continue };
                if queue.has_waiting_sender() {
                    self.mesh.members[from].wake(&mut ring);
                }
                self.first = (from + 1) % self.mesh.count;
                return Some(Delivery { from, lane, letters });
            }
        }
        None
    }

    /// Gives the vector of a handled batch back to its sender.
    pub fn recycle(&mut self, mut delivery: Delivery<T>) {
        delivery.letters.clear();
        if delivery.letters.capacity() <= RECYCLED_CAPACITY_MAX {
            let queue = self.mesh.queue(delivery.from, self.own, delivery.lane);
            let _ = queue.spent.push(delivery.letters);
        }
    }

    /// Whether a batch waits to be taken.
    pub fn has_mail(&self) -> bool {
        let queues =
            (0..self.mesh.count).flat_map(|from| Lane::ALL.map(|lane| self.mesh.queue(from, self.own, lane)));
        queues.into_iter().any(|queue| !queue.batches.is_empty())
    }

    /// Lets the next sleep end when the lane has credit again, for one sleep. Pending letters need no
    /// such call: room for them always ends a sleep.
    pub fn wait_for_credit(&mut self, to: usize, lane: Lane) {
        if !self.wanted.contains(&(to, lane)) {
            self.wanted.push((to, lane));
        }
    }

    /// Announces sleep: from now on others ring. `false` if there is mail, room or credit to use
    /// already; then do not sleep. Call [`Mailbox::woke`] after either.
    pub fn prepare_sleep(&self) -> bool {
        for (to, lane) in self.blocked_lanes() {
            self.mesh.queue(self.own, to, lane).sender_waits.store(true, Ordering::Relaxed);
        }
        self.mesh.members[self.own].sleeping.store(true, Ordering::Relaxed);
        // Pairs with the fences in `Member::wake` and `Queue::has_waiting_sender`: either the other side
        // sees that we sleep, or we see the batch it queued or the room it made.
        fence(Ordering::SeqCst);
        !self.has_mail() && !self.blocked_lanes().any(|(to, lane)| self.can_proceed(to, lane))
    }

    /// Ends what `prepare_sleep` began: nobody needs to ring.
    pub fn woke(&mut self) {
        self.mesh.members[self.own].sleeping.store(false, Ordering::Relaxed);
        self.wanted.clear();
    }

    /// The lanes whose progress ends a sleep.
    fn blocked_lanes(&self) -> impl Iterator<Item = (usize, Lane)> {
        let unsent = (0..self.mesh.count).filter(|to| self.unsent[*to]);
        let pending = unsent
            .flat_map(|to| Lane::ALL.map(|lane| (to, lane)))
            .filter(|(to, lane)| self.pending_count(*to, *lane) > 0);
        pending.chain(self.wanted.iter().copied())
    }

    fn can_proceed(&self, to: usize, lane: Lane) -> bool {
        if self.pending_count(to, lane) > 0 {
            return !self.mesh.queue(self.own, to, lane).batches.is_full();
        }
        self.credit(to, lane) > 0
    }
}

struct Mesh<T> {
    count: usize,
    /// By receiver, sender, lane: what one receiver scans lies together.
    queues: Vec<Queue<T>>,
    members: Vec<CachePadded<Member>>,
    letter_count_max: usize,
}

impl<T> Mesh<T> {
    #[inline]
    fn queue(&self, from: usize, to: usize, lane: Lane) -> &Queue<T> {
        debug_assert!(from < self.count);
        &self.queues[(to * self.count + from) * LANE_COUNT + lane as usize]
    }
}

struct Member {
    sleeping: AtomicBool,
    doorbell: Doorbell,
}

impl Member {
    fn new(doorbell: Doorbell) -> Member {
        Member { sleeping: AtomicBool::new(false), doorbell }
    }

    /// Rings if the member sleeps and nobody rang since.
    fn wake(&self, ring: &mut impl FnMut(&Doorbell)) {
        // Pairs with the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            ring(&self.doorbell);
        }
    }
}

/// One lane of one pair.
struct Queue<T> {
    batches: ArrayQueue<Vec<T>>,
    /// Emptied vectors on their way back.
    spent: ArrayQueue<Vec<T>>,
    /// Letters in `batches`.
    letter_count: AtomicUsize,
    /// Whether the sender sleeps for want of room or credit.
    sender_waits: AtomicBool,
}

impl<T> Queue<T> {
    fn new(batch_count_max: usize) -> Queue<T> {
        Queue {
            batches: ArrayQueue::new(batch_count_max),
            spent: ArrayQueue::new(SPENT_COUNT_MAX),
            letter_count: AtomicUsize::new(0),
            sender_waits: AtomicBool::new(false),
        }
    }

    /// Moves `pending` into the queue and leaves an empty vector, or leaves it as it is.
    fn hand_over(&self, pending: &mut Vec<T>) {
        let letter_count = pending.len();
        self.letter_count.fetch_add(letter_count, Ordering::Relaxed);
        match self.batches.push(std::mem::take(pending)) {
            Ok(()) => *pending = self.spent.pop().unwrap_or_default(),
            Err(batch) => {
                self.letter_count.fetch_sub(letter_count, Ordering::Relaxed);
                *pending = batch;
            }
        }
    }

    #[inline]
    fn take(&self) -> Option<Vec<T>> {
        if self.batches.is_empty() {
            return None;
        }
        let letters = self.batches.pop()?;
        self.letter_count.fetch_sub(letters.len(), Ordering::Relaxed);
        Some(letters)
    }

    /// After a take: whether the sender wants to know.
    fn has_waiting_sender(&self) -> bool {
        // Pairs with the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);
        self.sender_waits.load(Ordering::Relaxed) && self.sender_waits.swap(false, Ordering::Relaxed)
    }
}

const LANE_COUNT: usize = Lane::ALL.len();
/// The mesh is quadratic in its members; more processors than this share shards.
const MEMBER_COUNT_MAX: usize = 128;
/// Emptied vectors kept per lane: a sender needs one each turn.
const SPENT_COUNT_MAX: usize = 4;
/// A vector that grew larger is freed rather than sent back.
const RECYCLED_CAPACITY_MAX: usize = 4096;

#[cfg(test)]
mod tests;
