//! What the router keeps of publications: which histories there are, and what belongs to them.

use super::holding::SLACK_TICKS;
use super::{Expected, Key, MetaCall, Model, Publication, Session};

/// A subscription of the router itself, for the sake of a history.
#[derive(Clone, Debug)]
pub struct History {
    /// Index of the realm.
    pub realm: usize,
    /// Its id.
    pub id: u64,
    /// What it is on.
    pub key: Key,
    /// Publications kept.
    pub limit: usize,
    /// Publications that may be in it, by tag, in the order in which they were handled.
    pub candidates: Vec<usize>,
}

impl Model {
    /// The router has subscribed for a history: the rule of the configuration decides how much is kept.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn begin_history(&mut self, realm: usize, id: u64, key: Key) -> Result<(), String> {
        let rules = &self.config.realms[realm].store.history;
        let rule = rules.iter().find(|rule| *rule.uri == *key.uri && rule.match_policy == key.policy);
        let Some(rule) = rule else { return Err(format!("a subscription on {key:?} without a rule")) };
        let limit = rule.limit as usize;
        self.histories.push(History { realm, id, key, limit, candidates: Vec::new() });
        Ok(())
    }

    /// Histories that the configuration asks for.
    pub fn histories_configured(&self) -> usize {
        self.config.realms.iter().map(|realm| realm.store.history.len()).sum()
    }

    /// The history with this subscription.
    pub fn history(&self, realm: usize, id: u64) -> Option<&History> {
        self.histories.iter().find(|history| history.realm == realm && history.id == id)
    }

    /// All histories of a realm.
    pub fn histories(&self, realm: usize) -> impl Iterator<Item = &History> {
        self.histories.iter().filter(move |history| history.realm == realm)
    }

    /// A publication belongs to the histories of what it matches, unless it is for certain sessions, or not for certain ones.
    pub(super) fn record(&mut self, number: usize) {
        let Some(publication) = self.publications.get(number).and_then(Option::as_ref) else { return };
        let lists = publication.extra.as_ref();
        let names_sessions = lists.is_some_and(|extra| extra.eligible.is_some() || extra.exclude.is_some());
        if names_sessions || matches!(publication.expected, Expected::Error(_)) {
            return;
        }
        let realm = self.sessions[publication.publisher].realm;
        for history in &mut self.histories {
            if history.realm == realm && history.key.matches(&publication.topic) {
                history.candidates.push(number);
            }
        }
    }

    /// Whether a publication, if it is one of a history at all, has come there before a call of the router is answered.
    pub fn has_arrived(&self, publication: &Publication, call: &MetaCall) -> bool {
        let publisher = &self.sessions[publication.publisher];
        if publication.expected != Expected::Success || !publisher.honest || !publication.is_certain {
            return false;
        }
        if publication.is_testament {
            return publication.tick + SLACK_TICKS < call.horizon;
        }
        let is_own = publication.publisher == call.caller
            && publication.order < call.order
            && publisher.resumption.resumed.is_none();
        is_own || publication.tick < call.horizon
    }

    /// Whether one publication has surely come to the control shard before another.
    pub fn precedes(&self, first: &Publication, second: &Publication) -> bool {
        if second.is_testament {
            return false; // when exactly it was published, nobody knows
        }
        if first.is_testament {
            return first.tick + SLACK_TICKS < second.horizon;
        }
        let publisher = &self.sessions[first.publisher];
        let same = first.publisher == second.publisher && publisher.resumption.resumed.is_none();
        same && first.order < second.order || first.tick < second.horizon
    }

    /// Whether the lists of a publication let a session read it later.
    pub fn may_read(&self, publication: &Publication, session: &Session) -> bool {
        publication.extra.as_ref().is_none_or(|extra| self.passes_lists(extra, session))
    }
}
