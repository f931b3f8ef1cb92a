//! What a realm keeps: who was there, retained events, and the history of events.
//!
//! One [`RealmStore`] per realm, used by the control shard alone. It is asked and answers at once, with plain data of its
//! own: callers never see how it keeps them, so a store on disk can take the place of [`MemoryStore`]. A store is best
//! effort: what it has no room for, it declines, and every limit has a name.

use std::fmt::Debug;
use std::sync::Arc;

use crossring_codec::id::{PublicationId, SessionId};
use crossring_codec::uri::{Match, matches};
use crossring_codec::value::Dict;

use crate::broker::Filter;
use crate::letter::Publication;

mod events;
mod memory;
mod retained;

pub use events::{EventsFailure, get_events};
pub use memory::MemoryStore;

/// Events in one answer of `wamp.subscription.get_events`, whatever the caller asks for.
pub const EVENTS_PER_ANSWER_MAX: usize = 1_000;
/// Octets of payload in such an answer; its first event may be larger.
pub const EVENT_OCTETS_PER_ANSWER_MAX: usize = 1 << 20;
/// Retained events of one topic: restricted ones that are newer than the newest one for everybody.
pub const RETAINED_PER_TOPIC_MAX: usize = 16;
/// Retained events in answer to one SUBSCRIBE of a pattern; the oldest are left out.
pub const RETAINED_PER_ANSWER_MAX: usize = 1_000;

/// The store of one realm.
pub trait RealmStore: Debug + Send {
    /// A session has joined. Only asked where the realm has sessions remembered.
    fn session_joined(&mut self, session: SessionRecord);

    /// A session has left, at `left_unix_ms`.
    fn session_left(&mut self, session: SessionId, left_unix_ms: u64);

    /// A session, joined or left.
    fn session(&self, session: SessionId) -> Option<SessionRecord>;

    /// Sessions of an identity, joined or left, in the order in which they joined.
    fn sessions_by_authid(&self, authid: &str) -> Vec<SessionRecord>;

    /// Makes an event the retained one of its topic for everybody who may see it. `false`: it is not kept.
    fn retain(&mut self, event: &Arc<EventRecord>) -> bool;

    /// The newest retained event of each topic that matches and that the reader may see, in the order of publication.
    fn retained(&mut self, pattern: Pattern<'_>, reader: &Reader<'_>, unix_ms: u64) -> Vec<Arc<EventRecord>>;

    /// Appends an event to the history of a pattern, which keeps the latest `limit`.
    fn append_event(&mut self, pattern: Pattern<'_>, limit: u32, event: &Arc<EventRecord>);

    /// The events of a pattern's history that are asked for.
    ///
    /// # Errors
    /// A publication that bounds the query is not in the history.
    fn events(
        &self,
        pattern: Pattern<'_>,
        query: &EventsQuery,
        reader: &Reader<'_>,
    ) -> Result<EventsAnswer, UnknownPublication>;
}

/// A topic or pattern, and how it is read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Pattern<'a> {
    /// The topic or pattern.
    pub uri: &'a str,
    /// How it is read.
    pub match_policy: Match,
}

/// A session, as the store remembers it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// Its id.
    pub session: SessionId,
    /// Its identity.
    pub authid: Box<str>,
    /// Everything that `wamp.session.on_join` tells of it.
    pub details: Dict,
    /// When it joined, in milliseconds since 1970-01-01T00:00:00Z.
    pub joined_unix_ms: u64,
    /// When it left; absent: it is there.
    pub left_unix_ms: Option<u64>,
}

/// A publication, as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The publication with its lists; the subscriptions it names mean nothing here.
    pub publication: Publication,
    /// When it came here, in milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}

impl EventRecord {
    /// Octets counted against the limits of a store.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.publication.topic.len() + self.publication.parcel.size()
    }

    /// Whether the lists of the publication admit the reader (wamp.md 2.1.3).
    pub fn admits(&self, reader: &Reader<'_>) -> bool {
        let filter = self.filter();
        filter.is_none_or(|filter| filter.admits(reader.session, reader.authid, reader.authrole))
    }

    /// Whether any list restricts the receivers.
    pub fn has_lists(&self) -> bool {
        self.filter().is_some()
    }

    fn filter(&self) -> Option<Filter<'_>> {
        self.publication.extra.as_deref().and_then(Filter::new)
    }

    /// The publisher of a publication to be retained, when it is no receiver.
    fn excluded(&self) -> Option<SessionId> {
        self.publication.retention.and_then(|retention| retention.excluded)
    }
}

/// Who reads events.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Reader<'a> {
    /// The session.
    pub session: SessionId,
    /// Its identity.
    pub authid: &'a str,
    /// Its role.
    pub authrole: &'a str,
}

/// Which events of a history are wanted: those that meet every condition (wamp.md 2.1.8).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsQuery {
    /// From the newest to the oldest.
    pub reverse: bool,
    /// How many, counted in the order of the answer; absent: as many as one answer holds.
    pub limit: Option<usize>,
    /// When they were published, in nanoseconds since 1970-01-01T00:00:00Z.
    pub times: Bounds<i128>,
    /// Where they stand in the history, relative to publications in it.
    pub publications: Bounds<PublicationId>,
    /// The topic published to.
    pub topic: Option<Box<str>>,
}

/// Ends of a range, each of which may be open.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Bounds<T> {
    /// This and later.
    pub from: Option<T>,
    /// Later than this.
    pub after: Option<T>,
    /// Earlier than this.
    pub before: Option<T>,
    /// This and earlier.
    pub until: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { from: None, after: None, before: None, until: None }
    }
}

impl<T: Copy + Ord> Bounds<T> {
    /// Whether a value lies within all bounds.
    pub fn admit(&self, value: T) -> bool {
        self.from.is_none_or(|bound| value >= bound)
            && self.after.is_none_or(|bound| value > bound)
            && self.before.is_none_or(|bound| value < bound)
            && self.until.is_none_or(|bound| value <= bound)
    }

    /// The same bounds in other terms.
    ///
    /// # Errors
    /// The first that `translate` gives.
    pub fn translated<U, E>(&self, translate: impl Fn(T) -> Result<U, E>) -> Result<Bounds<U>, E> {
        Ok(Bounds {
            from: self.from.map(&translate).transpose()?,
            after: self.after.map(&translate).transpose()?,
            before: self.before.map(&translate).transpose()?,
            until: self.until.map(&translate).transpose()?,
        })
    }
}

/// What a query of the history finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsAnswer {
    /// The events, in the order asked for.
    pub events: Vec<Arc<EventRecord>>,
    /// There are more that meet the conditions.
    pub is_limit_reached: bool,
}

impl EventsAnswer {
    /// The events of a history, given from the oldest to the newest, that are asked for: what every store does with what it
    /// has kept.
    ///
    /// # Errors
    /// A publication that bounds the query is not in the history.
    pub fn select<'a>(
        history: impl DoubleEndedIterator<Item = &'a Arc<EventRecord>> + ExactSizeIterator + Clone,
        query: &EventsQuery,
        reader: &Reader<'_>,
    ) -> Result<Self, UnknownPublication> {
        let place = |publication| {
            let is_it = |event: &Arc<EventRecord>| event.publication.publication == publication;
            history.clone().position(is_it).ok_or(UnknownPublication(publication))
        };
        let places = query.publications.translated(place)?;
        let is_wanted = |(index, event): &(usize, &Arc<EventRecord>)| {
            places.admit(*index)
                && query.times.admit(i128::from(event.unix_ms) * 1_000_000)
                && query.topic.as_ref().is_none_or(|topic| *topic == event.publication.topic)
                && event.admits(reader)
        };
        let wanted = history.enumerate().filter(is_wanted).map(|(_, event)| event);
        let limit = query.limit.unwrap_or(EVENTS_PER_ANSWER_MAX).min(EVENTS_PER_ANSWER_MAX);
        Ok(if query.reverse { Self::first(wanted.rev(), limit) } else { Self::first(wanted, limit) })
    }

    fn first<'a>(wanted: impl Iterator<Item = &'a Arc<EventRecord>>, limit: usize) -> Self {
        let mut answer = Self::default();
        let mut octets = 0;
        for event in wanted {
            octets += event.publication.parcel.size();
            let has_room = octets <= EVENT_OCTETS_PER_ANSWER_MAX || answer.events.is_empty();
            if answer.events.len() == limit || !has_room {
                answer.is_limit_reached = true;
                break;
            }
            answer.events.push(Arc::clone(event));
        }
        answer
    }
}

/// A publication that is not in a history (any more).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct UnknownPublication(pub PublicationId);

impl<'a> Pattern<'a> {
    /// Whether a topic matches.
    pub fn covers(self, topic: &str) -> bool {
        matches(self.uri, self.match_policy, topic)
    }

    /// What every topic that matches starts with.
    pub fn literal_prefix(self) -> &'a str {
        match self.match_policy {
            Match::Exact | Match::Prefix => self.uri,
            Match::Wildcard if self.uri.starts_with('.') => "",
            Match::Wildcard => {
                self.uri.find("..").map_or(self.uri.trim_end_matches('.'), |end| &self.uri[..end])
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crossring_codec::payload::Payload;

    use super::*;
    use crate::address::RealmId;
    use crate::letter::Parcel;

    pub(crate) fn id(number: u64) -> SessionId {
        SessionId::new(number).expect("not 0")
    }

    pub(crate) fn publication(number: u64) -> PublicationId {
        PublicationId::new(number).expect("not 0")
    }

    pub(crate) fn reader(session: u64) -> Reader<'static> {
        Reader { session: id(session), authid: "ann", authrole: "user" }
    }

    /// A publication for everybody, published at `number` milliseconds.
    pub(crate) fn event(number: u64, topic: &str) -> Arc<EventRecord> {
        let publication = Publication {
            realm: RealmId(0),
            publication: publication(number),
            topic: topic.into(),
            subscriptions: Vec::new(),
            servers: Vec::new(),
            publisher: None,
            trustlevel: None,
            extra: None,
            retention: None,
            parcel: Parcel::pack(&Payload::EMPTY),
        };
        Arc::new(EventRecord { publication, unix_ms: number })
    }

    #[test]
    fn a_pattern_starts_like_its_topics() {
        let prefix = |uri, match_policy| Pattern { uri, match_policy }.literal_prefix().to_owned();
        assert_eq!(prefix("com.x", Match::Prefix), "com.x");
        assert_eq!(prefix("com.x", Match::Wildcard), "com.x");
        assert_eq!(prefix("com..x..y", Match::Wildcard), "com");
        assert_eq!(prefix("com.x.", Match::Wildcard), "com.x");
        assert_eq!(prefix(".x", Match::Wildcard), "");
    }
}
