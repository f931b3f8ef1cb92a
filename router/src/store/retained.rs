//! Retained events (wamp.md 2.1.7): for each topic the newest event, and what those need who may not see it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{EventRecord, Pattern, RETAINED_PER_ANSWER_MAX, RETAINED_PER_TOPIC_MAX, Reader};
use crate::config::StoreConfig;
use crossring_codec::uri::Match;

/// The retained events of a realm.
#[derive(Debug, Default)]
pub(super) struct RetainedEvents {
    /// All events, in the order in which they came.
    events: BTreeMap<u64, Arc<EventRecord>>,
    /// By topic those that somebody may need, oldest first.
    topics: BTreeMap<Box<str>, Vec<u64>>,
    sequence_last: u64,
    octets: usize,
}

impl RetainedEvents {
    /// Retains an event in the place of those that nobody needs any more. `false`: there is no room. Then the topic has
    /// no retained event left, because a stale one would pass for the newest.
    pub(super) fn retain(&mut self, event: &Arc<EventRecord>, limits: &StoreConfig) -> bool {
        self.expire(event.unix_ms, limits.retained_lifetime_ms);
        let topic = &*event.publication.topic;
        if !event.has_lists() && event.excluded().is_none() {
            self.forget(topic);
        }
        let is_full = self.octets + event.size() > limits.retained_octets_max as usize
            || (!self.topics.contains_key(topic) && self.topics.len() >= limits.retained_topics_max as usize);
        if is_full {
            self.forget(topic);
            return false;
        }
        self.sequence_last += 1;
        self.octets += event.size();
        self.events.insert(self.sequence_last, Arc::clone(event));
        self.topics.entry(topic.into()).or_default().push(self.sequence_last);
        self.prune(topic);
        true
    }

    /// The newest event of each topic that matches and that the reader may see.
    pub(super) fn find(&self, pattern: Pattern<'_>, reader: &Reader<'_>) -> Vec<Arc<EventRecord>> {
        let newest =
            |places: &Vec<u64>| places.iter().rev().copied().find(|place| self.is_for(*place, reader));
        let mut places: Vec<u64> = if pattern.match_policy == Match::Exact {
            self.topics.get(pattern.uri).and_then(newest).into_iter().collect()
        } else {
            self.matching(pattern).filter_map(newest).collect()
        };
        places.sort_unstable();
        let surplus = places.len().saturating_sub(RETAINED_PER_ANSWER_MAX);
        places[surplus..].iter().filter_map(|place| self.events.get(place)).map(Arc::clone).collect()
    }

    /// Forgets events that came `lifetime_ms` ago or earlier.
    pub(super) fn expire(&mut self, unix_ms: u64, lifetime_ms: Option<u64>) {
        let Some(lifetime_ms) = lifetime_ms else { return };
        while let Some((&place, event)) = self.events.first_key_value() {
            if event.unix_ms.saturating_add(lifetime_ms) > unix_ms {
                return;
            }
            let topic = event.publication.topic.clone();
            self.remove(&topic, place);
        }
    }

    fn is_for(&self, place: u64, reader: &Reader<'_>) -> bool {
        self.events.get(&place).is_some_and(|event| event.publication.is_for(reader))
    }

    fn matching(&self, pattern: Pattern<'_>) -> impl Iterator<Item = &Vec<u64>> {
        let start = pattern.literal_prefix();
        let range = (Bound::Included(start), Bound::Unbounded);
        self.topics
            .range::<str, _>(range)
            .take_while(move |(topic, _)| topic.starts_with(start))
            .filter(move |(topic, _)| pattern.covers(topic))
            .map(|(_, places)| places)
    }

    /// Forgets events of a topic that newer ones hide from everybody.
    ///
    /// An event without lists hides older ones from all but its publisher, if that is no receiver; so at most two such
    /// events are needed, of different publishers.
    fn prune(&mut self, topic: &str) {
        let Some(places) = self.topics.get(topic) else { return };
        let mut hidden = Vec::new();
        let mut needs_older: Option<Option<_>> = None; // the only session that does; at first everybody
        for (index, place) in places.iter().enumerate().rev() {
            let Some(event) = self.events.get(place) else { continue };
            let is_surplus = places.len() - index > RETAINED_PER_TOPIC_MAX;
            let is_hidden = match needs_older {
                Some(None) => true,
                Some(Some(session)) => !event.has_lists() && event.excluded() == Some(session),
                None => false,
            };
            if is_surplus || is_hidden {
                hidden.push(*place);
            } else if !event.has_lists() {
                needs_older = Some(event.excluded().filter(|_| needs_older.is_none()));
            }
        }
        for place in hidden {
            self.remove(topic, place);
        }
    }

    fn forget(&mut self, topic: &str) {
        for place in self.topics.remove(topic).unwrap_or_default() {
            self.release(place);
        }
    }

    fn remove(&mut self, topic: &str, place: u64) {
        if let Some(places) = self.topics.get_mut(topic) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.topics.remove(topic);
            }
        }
        self.release(place);
    }

    fn release(&mut self, place: u64) {
        if let Some(event) = self.events.remove(&place) {
            self.octets -= event.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::ShardId;
    use crate::letter::Retention;
    use crate::store::tests::{event, id, reader};

    fn limits() -> StoreConfig {
        StoreConfig::default()
    }

    fn find(events: &RetainedEvents, uri: &str, match_policy: Match, session: u64) -> Vec<u64> {
        let found = events.find(Pattern { uri, match_policy }, &reader(session));
        found.iter().map(|event| event.publication.publication.get()).collect()
    }

    #[test]
    fn the_newest_event_of_a_topic_is_retained() {
        let mut events = RetainedEvents::default();
        assert!(events.retain(&event(1, "com.x"), &limits()));
        assert!(events.retain(&event(2, "com.x"), &limits()));
        assert!(events.retain(&event(3, "com.y"), &limits()));
        assert_eq!(find(&events, "com.x", Match::Exact, 9), [2]);
        assert_eq!(find(&events, "com.", Match::Prefix, 9), [2, 3]);
        assert_eq!(find(&events, ".x", Match::Wildcard, 9), [2]);
        assert_eq!(find(&events, "com..", Match::Wildcard, 9), []);
        assert_eq!(events.events.len(), 2);
    }

    #[test]
    fn an_older_event_stays_for_those_who_may_not_see_the_newest() {
        let mut events = RetainedEvents::default();
        events.retain(&event(1, "com.x"), &limits());
        let mut only_for_5 = (*event(2, "com.x")).clone();
        only_for_5.publication.extra.get_or_insert_default().eligible = Some(vec![id(5)]);
        events.retain(&Arc::new(only_for_5), &limits());
        assert_eq!(find(&events, "com.x", Match::Exact, 5), [2]);
        assert_eq!(find(&events, "com.x", Match::Exact, 6), [1]);
        events.retain(&event(3, "com.x"), &limits());
        assert_eq!(find(&events, "com.x", Match::Exact, 5), [3]);
        assert_eq!(events.events.len(), 1);
    }

    #[test]
    fn publishers_that_are_no_receivers_find_the_event_of_another() {
        let mut events = RetainedEvents::default();
        let by = |publication, session| {
            let mut event = (*event(publication, "com.x")).clone();
            let excluded = Some(id(session));
            event.publication.retention =
                Some(Retention { shard: ShardId(0), sequence: publication, excluded });
            Arc::new(event)
        };
        for publication in 1..10 {
            events.retain(&by(publication, 1 + publication % 2), &limits());
        }
        events.retain(&by(10, 1), &limits());
        events.retain(&by(11, 1), &limits());
        assert_eq!(find(&events, "com.x", Match::Exact, 1), [9]);
        assert_eq!(find(&events, "com.x", Match::Exact, 2), [11]);
        assert_eq!(events.events.len(), 2);
    }

    #[test]
    fn restricted_events_are_bounded() {
        let mut events = RetainedEvents::default();
        for publication in 1..=100 {
            let mut restricted = (*event(publication, "com.x")).clone();
            restricted.publication.extra.get_or_insert_default().eligible = Some(vec![id(publication)]);
            events.retain(&Arc::new(restricted), &limits());
        }
        assert_eq!(events.events.len(), RETAINED_PER_TOPIC_MAX);
        assert_eq!(find(&events, "com.x", Match::Exact, 100), [100]);
        assert_eq!(find(&events, "com.x", Match::Exact, 1), []);
    }

    #[test]
    fn what_does_not_fit_leaves_no_stale_event() {
        let mut events = RetainedEvents::default();
        let few = StoreConfig { retained_topics_max: 1, ..limits() };
        assert!(events.retain(&event(1, "com.x"), &few));
        assert!(!events.retain(&event(2, "com.y"), &few));
        let small = StoreConfig { retained_octets_max: 1, ..limits() };
        assert!(!events.retain(&event(3, "com.x"), &small));
        assert!(events.events.is_empty() && events.topics.is_empty());
        assert_eq!(events.octets, 0);
    }

    #[test]
    fn events_end() {
        let mut events = RetainedEvents::default();
        let short = StoreConfig { retained_lifetime_ms: Some(10), ..limits() };
        let at = |publication, topic, unix_ms| {
            Arc::new(EventRecord { unix_ms, ..(*event(publication, topic)).clone() })
        };
        events.retain(&at(1, "com.x", 100), &short);
        events.retain(&at(2, "com.y", 105), &short);
        events.expire(109, Some(10));
        assert_eq!(find(&events, "com", Match::Prefix, 9), [1, 2]);
        events.expire(110, Some(10));
        assert_eq!(find(&events, "com", Match::Prefix, 9), [2]);
    }
}
