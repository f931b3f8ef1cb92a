//! Router-scope ids: dense, so that every replica finds an entry by indexing an array, never by hashing.
//!
//! An id is `index + 1` in its low [`INDEX_BITS`] bits and the generation of the index above. Early ids are small, hence
//! short on the wire. Only the registry assigns ids; replicas follow.

const INDEX_BITS: u32 = 24;

/// Most subscriptions, and most registrations, of a router.
pub(crate) const INDEX_COUNT_MAX: usize = (1 << INDEX_BITS) - 1;

/// Generations that fit below 2^53; an index that has used them all is retired.
const GENERATION_MAX: u64 = (1 << (53 - INDEX_BITS)) - 1;

/// The id of an index in one of its generations.
pub(crate) const fn compose(index: usize, generation: u64) -> u64 {
    (index as u64 + 1) | generation << INDEX_BITS
}

/// The index inside an id; out of every table's range for numbers that are no id.
#[inline]
pub(crate) const fn index_of(id: u64) -> usize {
    ((id & INDEX_COUNT_MAX as u64) as usize).wrapping_sub(1)
}

/// The registry's table: it assigns the ids.
#[derive(Debug)]
pub(crate) struct Assigner<T> {
    entries: Vec<(u64, Option<T>)>,
    free: Vec<u32>,
    retired: usize,
}

impl<T> Default for Assigner<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), retired: 0 }
    }
}

impl<T> Assigner<T> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.retired
    }

    /// The id that the next [`Assigner::insert`] will give; `None` when all indexes are in use.
    pub(crate) fn next_id(&self) -> Option<u64> {
        match self.free.last() {
            Some(&index) => Some(compose(index as usize, self.entries[index as usize].0)),
            None if self.entries.len() < INDEX_COUNT_MAX => Some(compose(self.entries.len(), 0)),
            None => None,
        }
    }

    /// Stores an entry under [`Assigner::next_id`], which must not be `None`.
    pub(crate) fn insert(&mut self, value: T) {
        match self.free.pop() {
            Some(index) => self.entries[index as usize].1 = Some(value),
            None => self.entries.push((0, Some(value))),
        }
    }

    /// The entry of an id.
    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        let entry = self.entries.get(index_of(id))?;
        if compose(index_of(id), entry.0) == id { entry.1.as_ref() } else { None }
    }

    /// The entry of an id.
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let entry = self.entries.get_mut(index_of(id))?;
        if compose(index_of(id), entry.0) == id { entry.1.as_mut() } else { None }
    }

    /// Takes an entry out; its id is never assigned again.
    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let index = index_of(id);
        let entry = self.entries.get_mut(index).filter(|entry| compose(index, entry.0) == id)?;
        let value = entry.1.take()?;
        entry.0 += 1;
        if entry.0 > GENERATION_MAX {
            self.retired += 1;
        } else {
            self.free.push(index as u32);
        }
        Some(value)
    }

    /// The entries, in the order of their indexes.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| entry.1.as_ref())
    }

    /// The entries and their ids, in the order of their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(index, entry)| Some((compose(index, entry.0), entry.1.as_ref()?)))
    }
}

/// A shard's table: it follows the registry.
#[derive(Debug)]
pub(crate) struct Replica<T> {
    entries: Vec<Option<(u64, T)>>,
    count: usize,
}

impl<T> Default for Replica<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), count: 0 }
    }
}

impl<T> Replica<T> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The entry of an id.
    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        self.entries.get(index_of(id))?.as_ref().filter(|entry| entry.0 == id).map(|entry| &entry.1)
    }

    /// The entry of an id.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.entries.get_mut(index_of(id))?.as_mut().filter(|entry| entry.0 == id).map(|entry| &mut entry.1)
    }

    /// Stores an entry in the place of a former one.
    pub(crate) fn insert(&mut self, id: u64, value: T) {
        let index = index_of(id);
        if index >= INDEX_COUNT_MAX {
            return;
        }
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.count += usize::from(self.entries[index].replace((id, value)).is_none());
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let place = self.entries.get_mut(index_of(id))?;
        let (_, value) = place.take_if(|entry| entry.0 == id)?;
        self.count -= 1;
        Some(value)
    }

    /// The entries, in the order of their indexes.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| entry.as_ref().map(|(_, value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_never_come_back() {
        let mut assigner = Assigner::default();
        let next = |value: &'static str, assigner: &mut Assigner<&'static str>| {
            let id = assigner.next_id();
            assigner.insert(value);
            id
        };
        assert_eq!(next("a", &mut assigner), Some(1));
        assert_eq!(next("b", &mut assigner), Some(2));
        assert_eq!(assigner.remove(1), Some("a"));
        let third = next("c", &mut assigner).unwrap_or_default();
        assert_eq!((third, index_of(third)), (1 + (1 << INDEX_BITS), 0));
        assert_eq!(assigner.get_mut(1), None);
        assert_eq!(assigner.get_mut(third), Some(&mut "c"));
        assert_eq!(assigner.len(), 2);
    }

    #[test]
    fn no_number_of_a_peer_reaches_beyond_a_table() {
        let mut replica = Replica::default();
        replica.insert(5, "e");
        for number in [0, 1, 4, 6, 5 + (1 << INDEX_BITS), 1 << INDEX_BITS, u64::MAX] {
            assert_eq!(replica.get(number), None, "{number}");
        }
        assert_eq!((replica.remove(5), replica.len()), (Some("e"), 0));
    }
}
