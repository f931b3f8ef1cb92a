//! The store of a realm in memory: what it keeps ends with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossring_codec::id::SessionId;
use crossring_codec::uri::Match;

use super::retained::RetainedEvents;
use super::{
    EventRecord, EventsAnswer, EventsQuery, Pattern, Reader, RealmStore, SessionRecord, UnknownPublication,
};
use crate::config::StoreConfig;

/// Keeps everything in memory, within the limits of its configuration.
#[derive(Debug)]
pub struct MemoryStore {
    config: StoreConfig,
    sessions: Sessions,
    retained: RetainedEvents,
    /// By matching policy and pattern, from the oldest to the newest.
    history: BTreeMap<(Match, Box<str>), VecDeque<Arc<EventRecord>>>,
    /// Octets of all histories; an event counts in each.
    history_octets: usize,
}

/// The latest sessions.
#[derive(Debug, Default)]
struct Sessions {
    /// In the order in which they joined.
    records: BTreeMap<u64, SessionRecord>,
    by_id: BTreeMap<SessionId, u64>,
    by_authid: BTreeMap<Box<str>, Vec<u64>>,
    sequence_last: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(config: &StoreConfig) -> Self {
        Self {
            config: config.clone(),
            sessions: Sessions::default(),
            retained: RetainedEvents::default(),
            history: BTreeMap::new(),
            history_octets: 0,
        }
    }
}

impl RealmStore for MemoryStore {
    fn session_joined(&mut self, session: SessionRecord) {
        self.sessions.insert(session, self.config.sessions_max as usize);
    }

    fn session_left(&mut self, session: SessionId, left_unix_ms: u64) {
        let place = self.sessions.by_id.get(&session);
        if let Some(record) = place.and_then(|place| self.sessions.records.get_mut(place)) {
            record.left_unix_ms = Some(left_unix_ms);
        }
    }

    fn session(&self, session: SessionId) -> Option<SessionRecord> {
        self.sessions.records.get(self.sessions.by_id.get(&session)?).cloned()
    }

    fn sessions_by_authid(&self, authid: &str) -> Vec<SessionRecord> {
        let places = self.sessions.by_authid.get(authid).into_iter().flatten();
        places.filter_map(|place| self.sessions.records.get(place)).cloned().collect()
    }

    fn retain(&mut self, event: &Arc<EventRecord>) -> bool {
        self.retained.retain(event, &self.config)
    }

    fn retained(&mut self, pattern: Pattern<'_>, reader: &Reader<'_>, unix_ms: u64) -> Vec<Arc<EventRecord>> {
        self.retained.expire(unix_ms, self.config.retained_lifetime_ms);
        self.retained.find(pattern, reader)
    }

    fn append_event(&mut self, pattern: Pattern<'_>, limit: u32, event: &Arc<EventRecord>) {
        let history = self.history.entry((pattern.match_policy, pattern.uri.into())).or_default();
        history.push_back(Arc::clone(event));
        self.history_octets += event.size();
        while history.len() > limit as usize || self.history_octets > self.config.history_octets_max as usize
        {
            let Some(oldest) = history.pop_front() else { break };
            self.history_octets -= oldest.size();
        }
    }

    fn events(
        &self,
        pattern: Pattern<'_>,
        query: &EventsQuery,
        reader: &Reader<'_>,
    ) -> Result<EventsAnswer, UnknownPublication> {
        let none = VecDeque::new();
        let history = self.history.get(&(pattern.match_policy, pattern.uri.into())).unwrap_or(&none);
        EventsAnswer::select(history.iter(), query, reader)
    }
}

impl Sessions {
    fn insert(&mut self, record: SessionRecord, sessions_max: usize) {
        if sessions_max == 0 {
            return;
        }
        if self.records.len() >= sessions_max {
            self.remove_first();
        }
        self.sequence_last += 1;
        self.by_id.insert(record.session, self.sequence_last);
        self.by_authid.entry(record.authid.clone()).or_default().push(self.sequence_last);
        self.records.insert(self.sequence_last, record);
    }

    fn remove_first(&mut self) {
        let Some((place, record)) = self.records.pop_first() else { return };
        self.by_id.remove(&record.session);
        if let Some(places) = self.by_authid.get_mut(&record.authid) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.by_authid.remove(&record.authid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Bounds;
    use crate::store::tests::{event, id, publication, reader};

    const PATTERN: Pattern<'_> = Pattern { uri: "com.", match_policy: Match::Prefix };

    const SESSIONS_MAX: u32 = 10;

    fn store() -> MemoryStore {
        MemoryStore::new(&StoreConfig { sessions_max: SESSIONS_MAX, ..StoreConfig::default() })
    }

    fn session(number: u64, authid: &str) -> SessionRecord {
        SessionRecord {
            session: id(number),
            authid: authid.into(),
            details: Vec::new(),
            joined_unix_ms: number,
            left_unix_ms: None,
        }
    }

    fn numbers(store: &MemoryStore, query: &EventsQuery) -> Vec<u64> {
        let answer = store.events(PATTERN, query, &reader(9)).expect("known publications");
        answer.events.iter().map(|event| event.publication.publication.get()).collect()
    }

    #[test]
    fn sessions_are_found_by_id_and_by_identity() {
        let mut store = store();
        store.session_joined(session(1, "joe"));
        store.session_joined(session(2, "ann"));
        store.session_joined(session(3, "joe"));
        store.session_left(id(1), 7);
        assert_eq!(store.session(id(1)).and_then(|session| session.left_unix_ms), Some(7));
        assert_eq!(store.session(id(4)), None);
        let joes: Vec<SessionId> = store.sessions_by_authid("joe").iter().map(|joe| joe.session).collect();
        assert_eq!(joes, [id(1), id(3)]);
    }

    #[test]
    fn the_session_that_joined_first_gives_way() {
        let mut store = store();
        for number in 1..=u64::from(SESSIONS_MAX) + 1 {
            store.session_joined(session(number, "joe"));
        }
        assert_eq!(store.session(id(1)), None);
        assert_eq!(store.sessions_by_authid("joe").len(), SESSIONS_MAX as usize);
    }

    #[test]
    fn a_history_keeps_the_latest() {
        let mut store = store();
        for number in 1..=5 {
            store.append_event(PATTERN, 3, &event(number, "com.x"));
        }
        assert_eq!(numbers(&store, &EventsQuery::default()), [3, 4, 5]);
        let other = Pattern { match_policy: Match::Exact, ..PATTERN };
        assert!(store.events(other, &EventsQuery::default(), &reader(9)).expect("empty").events.is_empty());
    }

    #[test]
    fn a_history_has_a_size() {
        let size = event(1, "com.x").size() as u64;
        let mut store = MemoryStore::new(&StoreConfig { history_octets_max: size * 2, ..Default::default() });
        for number in 1..=5 {
            store.append_event(PATTERN, 100, &event(number, "com.x"));
        }
        assert_eq!(numbers(&store, &EventsQuery::default()), [4, 5]);
    }

    #[test]
    fn queries() {
        let mut store = store();
        for number in 1..=6 {
            store.append_event(
                PATTERN,
                10,
                &event(number, if number % 2 == 0 { "com.even" } else { "com.odd" }),
            );
        }
        let query = EventsQuery::default;
        let check = |query: EventsQuery, expected: &[u64]| assert_eq!(numbers(&store, &query), expected);
        check(EventsQuery { reverse: true, limit: Some(2), ..query() }, &[6, 5]);
        check(EventsQuery { limit: Some(2), ..query() }, &[1, 2]);
        check(EventsQuery { topic: Some("com.even".into()), ..query() }, &[2, 4, 6]);
        let ms = |ms: i128| Some(ms * 1_000_000);
        let times = |times| EventsQuery { times, ..query() };
        check(times(Bounds { from: ms(2), until: ms(4), ..Bounds::default() }), &[2, 3, 4]);
        check(times(Bounds { after: ms(2), before: ms(4), ..Bounds::default() }), &[3]);
        let places = |publications| EventsQuery { publications, ..query() };
        let at = |number| Some(publication(number));
        check(places(Bounds { from: at(2), until: at(4), ..Bounds::default() }), &[2, 3, 4]);
        check(places(Bounds { after: at(2), before: at(4), ..Bounds::default() }), &[3]);
        check(places(Bounds { after: at(4), before: at(2), ..Bounds::default() }), &[]);
        let gone = places(Bounds { after: at(77), ..Bounds::default() });
        assert_eq!(store.events(PATTERN, &gone, &reader(9)), Err(UnknownPublication(publication(77))));
    }

    #[test]
    fn an_answer_tells_that_there_is_more() {
        let mut store = store();
        for number in 1..=2 {
            store.append_event(PATTERN, 10, &event(number, "com.x"));
        }
        let more = |limit| {
            let query = EventsQuery { limit: Some(limit), ..EventsQuery::default() };
            store.events(PATTERN, &query, &reader(9)).expect("no bounds").is_limit_reached
        };
        assert!(more(1));
        assert!(!more(2));
    }

    #[test]
    fn readers_see_what_they_might_have_received() {
        let mut store = store();
        let mut restricted = (*event(1, "com.x")).clone();
        restricted.publication.extra.get_or_insert_default().exclude_authrole = Some(vec!["user".into()]);
        store.append_event(PATTERN, 10, &Arc::new(restricted));
        assert_eq!(numbers(&store, &EventsQuery::default()), []);
    }
}
