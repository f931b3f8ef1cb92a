//! The executable specification of [`super::PatternTable`]: a list, and the definition of matching.

use crossring_codec::uri::{Match, matches};

/// What a table must do, without its cleverness.
#[derive(Debug, Default)]
pub(crate) struct NaiveTable {
    entries: Vec<(String, Match, u32)>,
}

impl NaiveTable {
    pub(crate) fn insert(&mut self, uri: &str, policy: Match, value: u32) {
        self.remove(uri, policy);
        self.entries.push((uri.to_owned(), policy, value));
    }

    pub(crate) fn remove(&mut self, uri: &str, policy: Match) {
        self.entries.retain(|entry| !(entry.0 == uri && entry.1 == policy));
    }

    pub(crate) fn get(&self, uri: &str, policy: Match) -> Option<u32> {
        self.entries.iter().find(|entry| entry.0 == uri && entry.1 == policy).map(|entry| entry.2)
    }

    /// The values of all patterns that match, sorted.
    pub(crate) fn all(&self, uri: &str) -> Vec<u32> {
        let mut all: Vec<u32> = self
            .entries
            .iter()
            .filter(|(pattern, policy, _)| matches(pattern, *policy, uri))
            .map(|entry| entry.2)
            .collect();
        all.sort_unstable();
        all
    }

    /// Exact, else the longest prefix, else the wildcard whose literals come first; a prefix that ends inside a
    /// component comes last.
    pub(crate) fn best(&self, uri: &str) -> Option<u32> {
        let of = |wanted: Match| {
            let matching = move |(pattern, policy, _): &&(String, Match, u32)| {
                *policy == wanted && matches(pattern, *policy, uri)
            };
            self.entries.iter().filter(matching)
        };
        let exact = of(Match::Exact).next();
        let prefix = of(Match::Prefix).max_by_key(|entry| entry.0.len());
        let wildcard = of(Match::Wildcard)
            .min_by_key(|entry| entry.0.split('.').map(str::is_empty).collect::<Vec<bool>>());
        let whole = |entry: &&(String, Match, u32)| {
            let rest = &uri[entry.0.len()..];
            entry.0.is_empty() || entry.0.ends_with('.') || rest.is_empty() || rest.starts_with('.')
        };
        let best = exact.or(prefix.filter(whole)).or(wildcard).or(prefix);
        best.map(|entry| entry.2)
    }
}
