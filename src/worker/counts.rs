//! Counts the messages of the sessions that want it. Costs nothing, not even memory, as long as no session does.

use crossring_router::address::SessionKey;
use crossring_router::statistics::Traffic;

/// Traffic by session slot.
#[derive(Debug, Default)]
pub(super) struct Counts {
    slots: Vec<Count>,
    /// Slots counted in this turn.
    touched: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
struct Count {
    generation: u32,
    rated_size: u32,
    is_touched: bool,
    total: Traffic,
}

impl Counts {
    /// Whether any session has ever been counted.
    #[inline]
    pub(super) fn is_counting(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Counts a session from now on.
    pub(super) fn begin(&mut self, key: SessionKey, rated_size: u32) {
        let index = key.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Count::default);
        }
        let is_touched = self.slots[index].is_touched;
        self.slots[index] =
            Count { generation: key.generation, rated_size, is_touched, total: Traffic::default() };
    }

    /// Counts one message of `size` octets, if the session is counted.
    pub(super) fn add(&mut self, key: SessionKey, size: u64) {
        let Some(count) = self.slots.get_mut(key.slot as usize).filter(|count| count.is_of(key)) else {
            return;
        };
        count.total.add(size, count.rated_size);
        if !std::mem::replace(&mut count.is_touched, true) {
            self.touched.push(key.slot);
        }
    }

    /// Takes one of the sessions counted since it was last taken.
    pub(super) fn pop(&mut self) -> Option<(SessionKey, Traffic)> {
        let slot = self.touched.pop()?;
        let count = &mut self.slots[slot as usize];
        count.is_touched = false;
        Some((SessionKey { slot, generation: count.generation }, count.total))
    }

    /// All that has been counted of a session.
    pub(super) fn total(&self, key: SessionKey) -> Traffic {
        let count = self.slots.get(key.slot as usize).filter(|count| count.is_of(key));
        count.map(|count| count.total).unwrap_or_default()
    }
}

impl Count {
    fn is_of(&self, key: SessionKey) -> bool {
        self.rated_size > 0 && self.generation == key.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SessionKey = SessionKey { slot: 3, generation: 1 };

    #[test]
    fn only_sessions_that_ask_are_counted_and_each_once_a_turn() {
        let mut counts = Counts::default();
        counts.add(KEY, 100);
        assert!(!counts.is_counting() && counts.pop().is_none());
        counts.begin(KEY, 64);
        for size in [1, 64, 65] {
            counts.add(KEY, size);
        }
        counts.add(SessionKey { slot: 2, ..KEY }, 100);
        counts.add(SessionKey { generation: 2, ..KEY }, 100);
        let total = Traffic { octets: 130, messages: 3, rated_messages: 4 };
        assert_eq!(counts.pop(), Some((KEY, total)));
        assert_eq!(counts.pop(), None);
        assert_eq!(counts.total(KEY), total);
    }

    #[test]
    fn a_slot_begins_again_with_its_next_session() {
        let mut counts = Counts::default();
        counts.begin(KEY, 64);
        counts.add(KEY, 1);
        let next = SessionKey { generation: 2, ..KEY };
        counts.begin(next, 64);
        counts.add(next, 10);
        assert_eq!(counts.total(KEY), Traffic::default());
        assert_eq!(counts.pop().map(|(key, total)| (key, total.octets)), Some((next, 10)));
        assert_eq!(counts.pop(), None);
    }
}
