//! Rendezvous hashing: who of several nodes serves a resource key (`rkey`) of sharded registrations and subscriptions.
//!
//! Every shard of the router comes to the same answer. When a node comes or goes, only its own keys move.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;

/// The same on all shards. Who chooses keys that collide loads one node, which the same key would do as well.
const SEED: u64 = 0x7368_6172_6465_6421;

/// The hash of a resource key.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct ResourceKey(u64);

impl ResourceKey {
    pub(crate) fn new(rkey: &str) -> Self {
        Self(FixedState::with_seed(SEED).hash_one(rkey))
    }

    /// The node that serves the key; `None` when there are no nodes.
    pub(crate) fn server<N: Copy + Hash + Ord>(self, nodes: impl Iterator<Item = N>) -> Option<N> {
        let state = FixedState::with_seed(SEED);
        nodes.max_by_key(|node| (state.hash_one((self.0, node)), *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(nodes: &[&str]) -> Vec<String> {
        let server = |key: usize| ResourceKey::new(&format!("key{key}")).server(nodes.iter().copied());
        (0..900).map(|key| server(key).expect("there are nodes").to_owned()).collect()
    }

    #[test]
    fn all_nodes_get_their_share() {
        let servers = servers(&["a", "b", "c"]);
        for node in ["a", "b", "c"] {
            let share = servers.iter().filter(|server| *server == node).count();
            assert!((200..400).contains(&share), "{node} serves {share} of 900");
        }
    }

    #[test]
    fn only_the_keys_of_the_one_who_leaves_move() {
        let (before, after) = (servers(&["a", "b", "c"]), servers(&["c", "a"]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "b", "{before} → {after}");
        }
    }

    #[test]
    fn nobody_serves_without_nodes() {
        assert_eq!(ResourceKey::new("x").server(std::iter::empty::<&str>()), None);
    }
}
