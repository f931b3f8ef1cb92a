//! What the authorizer of one role has said and said to be remembered.

use crossring_codec::uri::Match;
use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};

use super::{Action, Decision};

/// Decisions by (action, pattern). When there is no room for another one all are forgotten: asking again is always right.
#[derive(Debug)]
pub(super) struct Memory {
    decisions: HashMap<Subject<Box<str>>, Decision, FixedState>,
    octets: usize,
    octets_max: usize,
}

/// What a decision is about.
#[derive(Debug, Eq, PartialEq, Hash)]
struct Subject<U> {
    action: Action,
    policy: Match,
    uri: U,
}

impl Equivalent<Subject<Box<str>>> for Subject<&str> {
    fn equivalent(&self, key: &Subject<Box<str>>) -> bool {
        self.action == key.action && self.policy == key.policy && *self.uri == *key.uri
    }
}

/// Octets that a decision takes beside its URI.
const ENTRY_SIZE: usize = size_of::<(Subject<Box<str>>, Decision)>();

impl Memory {
    pub(super) fn new(octets_max: usize, seed: u64) -> Self {
        Self { decisions: HashMap::with_hasher(FixedState::with_seed(seed)), octets: 0, octets_max }
    }

    pub(super) fn get(&self, action: Action, policy: Match, uri: &str) -> Option<Decision> {
        self.decisions.get(&Subject { action, policy, uri }).copied()
    }

    pub(super) fn insert(&mut self, action: Action, policy: Match, uri: &str, decision: Decision) {
        let size = uri.len() + ENTRY_SIZE;
        if self.octets + size > self.octets_max {
            self.clear();
        }
        let is_new = self.decisions.insert(Subject { action, policy, uri: uri.into() }, decision).is_none();
        self.octets += if is_new { size } else { 0 };
    }

    pub(super) fn clear(&mut self) {
        self.decisions = HashMap::with_hasher(self.decisions.hasher().clone());
        self.octets = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.decisions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_found_by_action_policy_and_uri() {
        let mut memory = Memory::new(1 << 20, 7);
        let yes = Decision { allow: Action::Call.alone(), ..Decision::default() };
        memory.insert(Action::Call, Match::Exact, "com.a", yes);
        assert_eq!(memory.get(Action::Call, Match::Exact, "com.a"), Some(yes));
        for (action, policy, uri) in [
            (Action::Publish, Match::Exact, "com.a"),
            (Action::Call, Match::Prefix, "com.a"),
            (Action::Call, Match::Exact, "com.b"),
        ] {
            assert_eq!(memory.get(action, policy, uri), None);
        }
        memory.clear();
        assert_eq!((memory.get(Action::Call, Match::Exact, "com.a"), memory.len()), (None, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let most = 10;
        let mut memory = Memory::new(most * (ENTRY_SIZE + 8), 7);
        for round in 0..100 {
            for _ in 0..2 {
                let uri = format!("com.{round:04}");
                memory.insert(Action::Publish, Match::Exact, &uri, Decision::default());
                assert!((1..=most).contains(&memory.len()));
                assert!(memory.get(Action::Publish, Match::Exact, &uri).is_some());
            }
        }
    }
}
