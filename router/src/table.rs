//! Small tables of the hot path: integer-keyed maps, and a slab with generations.

use std::hash::{BuildHasher, Hasher};

/// A map keyed by an integer. Its order is never shown: callers sort what they emit.
pub(crate) type IntegerMap<K, V> = hashbrown::HashMap<K, V, IntegerState>;

/// Hashes integers with one multiplication. Seeded, because peers choose request ids.
#[derive(Copy, Clone, Debug)]
pub(crate) struct IntegerState {
    seed: u64,
}

impl IntegerState {
    /// A state for tables of one shard.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// An empty map; allocates nothing yet.
    pub(crate) fn map<K, V>(self) -> IntegerMap<K, V> {
        IntegerMap::with_hasher(self)
    }
}

impl BuildHasher for IntegerState {
    type Hasher = IntegerHasher;

    #[inline]
    fn build_hasher(&self) -> IntegerHasher {
        IntegerHasher(self.seed)
    }
}

/// See [`IntegerState`].
#[derive(Debug)]
pub(crate) struct IntegerHasher(u64);

impl Hasher for IntegerHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;
        let wide = u128::from(self.0 ^ number) * MULTIPLIER;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
}

/// Values in re-used slots; the generation of a slot tells its successive values apart.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Stores a value; returns its slot and the slot's generation.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.1 = Some(value);
            return (index, entry.0);
        }
        self.entries.push((0, Some(value)));
        (self.entries.len() as u32 - 1, 0)
    }

    /// The value, if it is still the one of this generation.
    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        self.entries.get(index as usize).filter(|entry| entry.0 == generation)?.1.as_ref()
    }

    /// The value, if it is still the one of this generation.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize).filter(|entry| entry.0 == generation)?.1.as_mut()
    }

    /// Takes the value out, if it is still the one of this generation.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32, generation: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize).filter(|entry| entry.0 == generation)?;
        let value = entry.1.take()?;
        entry.0 = entry.0.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_forgets_its_former_value() {
        let mut slab = Slab::default();
        let (index, generation) = slab.insert("first");
        assert_eq!(slab.remove(index, generation), Some("first"));
        let (again, next) = slab.insert("second");
        assert_eq!((again, next), (index, generation + 1));
        assert_eq!(slab.get(index, generation), None);
        assert_eq!(slab.remove(index, generation), None);
        assert_eq!(slab.get(index, next), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }
}
