//! URIs and URI patterns as keys: what subscriptions, registrations and permissions are found by.

use std::hash::BuildHasher;
use std::sync::Arc;

use crossring_codec::uri::Match;
use foldhash::fast::FixedState;

#[cfg(test)]
pub(crate) mod naive;
mod prefix;
#[cfg(test)]
mod tests;
mod wildcard;

pub(crate) use prefix::PrefixTrie;
pub(crate) use wildcard::{COMPONENTS_MAX, WildcardTrie};

/// Values under (URI or pattern, matching policy); at most one each.
///
/// Lookups of a URI take time in its length, whatever the number of patterns, and allocate nothing.
#[derive(Debug)]
pub(crate) struct PatternTable<T> {
    exact: hashbrown::HashMap<Arc<str>, T, FixedState>,
    prefix: PrefixTrie<T>,
    wildcard: WildcardTrie<T>,
}

impl<T: Copy> PatternTable<T> {
    /// An empty table. `seed` keeps peers from choosing URIs that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            exact: hashbrown::HashMap::with_hasher(FixedState::with_seed(seed)),
            prefix: PrefixTrie::default(),
            wildcard: WildcardTrie::new(seed),
        }
    }

    /// The value under exactly this pattern.
    pub(crate) fn get(&self, uri: &str, policy: Match) -> Option<T> {
        match policy {
            Match::Exact => self.exact.get(uri).copied(),
            Match::Prefix => self.prefix.get(uri),
            Match::Wildcard => self.wildcard.get(uri),
        }
    }

    /// Stores a value in the place of a former one.
    pub(crate) fn insert(&mut self, uri: &Arc<str>, policy: Match, value: T) {
        match policy {
            Match::Exact => drop(self.exact.insert(Arc::clone(uri), value)),
            Match::Prefix => self.prefix.insert(uri, value),
            Match::Wildcard => self.wildcard.insert(uri, value),
        }
    }

    /// Forgets a pattern.
    pub(crate) fn remove(&mut self, uri: &str, policy: Match) {
        match policy {
            Match::Exact => drop(self.exact.remove(uri)),
            Match::Prefix => self.prefix.remove(uri),
            Match::Wildcard => self.wildcard.remove(uri),
        }
    }

    /// Shows every value whose pattern matches `uri`: exact, prefixes from the shortest, wildcards.
    pub(crate) fn visit(&self, uri: &str, mut visitor: impl FnMut(T)) {
        self.exact.get(uri).copied().into_iter().for_each(&mut visitor);
        self.prefix.visit(uri, &mut |value, _| visitor(value));
        self.wildcard.visit(uri, &mut visitor);
    }

    /// The one value that a call goes to: exact, else the longest prefix, else the best wildcard.
    ///
    /// A prefix that ends inside a component yields to a wildcard: the specification's example has prefix `a1.b2.c3` and
    /// wildcard `a1.b2.c33..e5` and sends `a1.b2.c33.d4.e5` to the latter, although prefixes match octet by octet.
    pub(crate) fn best(&self, uri: &str) -> Option<T> {
        if let Some(&value) = self.exact.get(uri) {
            return Some(value);
        }
        match self.prefix.longest(uri) {
            Some((value, length)) if ends_component(uri, length) => Some(value),
            prefix => self.wildcard.best(uri, false).or(prefix.map(|(value, _)| value)),
        }
    }
}

/// Whether the first `length` octets of `uri` are whole components.
fn ends_component(uri: &str, length: usize) -> bool {
    let octets = uri.as_bytes();
    length == 0 || octets[length - 1] == b'.' || octets.get(length).is_none_or(|octet| *octet == b'.')
}

/// Hash of a trie edge.
fn edge_hash(state: &FixedState, parent: u32, component: &str) -> u64 {
    state.hash_one((parent, component))
}
