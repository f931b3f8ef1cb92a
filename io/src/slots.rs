//! A dense table with generations: connection ids ↔ connection state.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::ConnectionId;

/// Slot numbers fit into 28 bits, so that they share one completion token with the operation.
pub(crate) const SLOT_COUNT_MAX: u32 = 1 << 28;

/// Values by `ConnectionId`. The lowest vacant slot is taken first; leaving one bumps its generation.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: BinaryHeap<Reverse<u32>>,
    count_max: u32,
    /// What slots that are made anew begin with: more than any that was given up has had.
    generation_first: u32,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(crate) fn new(count_max: u32) -> Slots<T> {
        assert!(count_max <= SLOT_COUNT_MAX);
        Slots { slots: Vec::new(), vacant: BinaryHeap::new(), count_max, generation_first: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Stores `value`, or gives it back when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Result<ConnectionId, T> {
        if let Some(Reverse(slot)) = self.vacant.pop() {
            let entry = &mut self.slots[slot as usize];
            debug_assert!(entry.value.is_none());
            entry.value = Some(value);
            return Ok(ConnectionId { slot, generation: entry.generation });
        }
        let slot = self.slots.len() as u32;
        if slot >= self.count_max {
            return Err(value);
        }
        let generation = self.generation_first;
        self.slots.push(Slot { generation, value: Some(value) });
        Ok(ConnectionId { slot, generation })
    }

    #[inline]
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&T> {
        let entry = self.slots.get(id.slot as usize)?;
        if entry.generation == id.generation { entry.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation == id.generation { entry.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant.push(Reverse(id.slot));
        Some(value)
    }

    /// Gives up the vacant slots at the end, and their memory.
    pub(crate) fn trim(&mut self) {
        let count = self.slots.iter().rposition(|entry| entry.value.is_some()).map_or(0, |last| last + 1);
        for entry in self.slots.drain(count..) {
            self.generation_first = self.generation_first.max(entry.generation);
        }
        self.vacant.retain(|Reverse(slot)| (*slot as usize) < count);
        // Copying what is left is worth it where that is little.
        if self.slots.capacity() > 8 * count {
            self.slots.shrink_to(2 * count);
            self.vacant.shrink_to(2 * count);
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.value.is_some())
            .map(|(slot, entry)| ConnectionId { slot: slot as u32, generation: entry.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_slot_is_reused_with_a_new_generation() {
        let mut slots = Slots::new(3);
        let ids: Vec<_> = (0..3).map(|value| slots.insert(value).unwrap()).collect();
        assert_eq!(slots.insert(9), Err(9));
        slots.remove(ids[2]);
        slots.remove(ids[0]);
        let again = slots.insert(7).unwrap();
        assert_eq!(again, ConnectionId { slot: 0, generation: 1 });
        assert_eq!(slots.get(ids[0]), None);
        assert_eq!(slots.get_mut(ids[0]), None);
        assert_eq!(slots.remove(ids[0]), None);
        assert_eq!(slots.get(again), Some(&7));
        assert_eq!(slots.len(), 2);
        assert_eq!(slots.ids().map(|id| id.slot).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn slots_given_up_come_back_as_others() {
        let mut slots = Slots::new(100);
        let ids: Vec<_> = (0..100).map(|value| slots.insert(value).unwrap()).collect();
        ids.iter().skip(2).for_each(|id| assert!(slots.remove(*id).is_some()));
        slots.remove(ids[0]);
        slots.trim();
        assert_eq!((slots.slots.len(), slots.vacant.len(), slots.len()), (2, 1, 1));
        assert!(slots.slots.capacity() < 100);
        let again: Vec<_> = (0..99).map(|value| slots.insert(value).unwrap()).collect();
        assert_eq!(slots.insert(0), Err(0), "the table is as large as before");
        assert_eq!(again[0], ConnectionId { slot: 0, generation: 1 });
        assert!(again.iter().all(|id| !ids.contains(id)));
        assert!(ids.iter().filter(|id| id.slot != 1).all(|id| slots.get(*id).is_none()));
    }
}
