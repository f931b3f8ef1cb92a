//! Deadlines that are mostly given up before they are due, as those of calls are.
//!
//! A heap whose dead entries are swept out when they outnumber the others: adding and giving up cost an amortised constant
//! beside the heap's logarithm, and memory follows the number of live deadlines, however long these are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Deadlines in monotonic nanoseconds, each with a key. Which entries are still meant, their owner knows.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(u64, K)>>,
    /// Entries that nobody means any more.
    dead: usize,
}

/// Fewer dead entries than this are not worth a sweep while others live.
const DEAD_MIN: usize = 64;

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), dead: 0 }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Entries, dead ones included: none when all are dead, else at most twice the live ones and [`DEAD_MIN`].
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The earliest entry; it may be dead.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.0.0)
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, deadline_ns: u64, key: K) {
        self.heap.push(Reverse((deadline_ns, key)));
    }

    /// One entry is not meant any more: `is_live` is now `false` for it.
    pub(crate) fn give_up(&mut self, is_live: impl Fn(u64, K) -> bool) {
        self.dead += 1;
        if self.dead >= DEAD_MIN && self.dead * 2 > self.heap.len() {
            self.heap.retain(|entry| is_live(entry.0.0, entry.0.1));
            self.dead = 0;
        }
        self.clear_if_dead();
    }

    /// Takes out the earliest live entry, if it is due.
    pub(crate) fn take_due(&mut self, now_ns: u64, is_live: impl Fn(u64, K) -> bool) -> Option<(u64, K)> {
        while self.next().is_some_and(|deadline_ns| deadline_ns <= now_ns) {
            let Reverse((deadline_ns, key)) = self.heap.pop()?;
            if is_live(deadline_ns, key) {
                self.clear_if_dead();
                return Some((deadline_ns, key));
            }
            self.dead = self.dead.saturating_sub(1);
        }
        None
    }

    fn clear_if_dead(&mut self) {
        if self.dead >= self.heap.len() {
            self.heap.clear();
            self.dead = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_the_order_of_their_deadlines() {
        let mut timers = Timers::default();
        for (deadline, key) in [(30, 'c'), (10, 'a'), (20, 'b')] {
            timers.add(deadline, key);
        }
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.take_due(9, |_, _| true), None);
        timers.give_up(|_, key| key != 'a');
        assert_eq!(timers.take_due(25, |_, key| key != 'a'), Some((20, 'b')));
        assert_eq!(timers.take_due(25, |_, _| true), None);
        assert_eq!(timers.next(), Some(30));
    }

    #[test]
    fn dead_entries_never_outnumber_the_live_ones_by_much() {
        let mut timers = Timers::default();
        for key in 0..100 {
            timers.add(u64::MAX, key);
        }
        for key in 100..100_000 {
            timers.add(u64::MAX - key, key);
            timers.give_up(|_, other| other < 100);
            assert!(timers.len() <= 200 + DEAD_MIN);
        }
    }

    #[test]
    fn nothing_stays_when_everything_is_dead() {
        let mut timers = Timers::default();
        timers.add(1, ());
        timers.add(2, ());
        timers.give_up(|deadline, ()| deadline == 2);
        timers.give_up(|_, ()| false);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }
}
