//! What the meta API asks about subscriptions and registrations.

use crossring_codec::id::SessionId;
use crossring_codec::message::InvocationPolicy;
use crossring_codec::uri::{Match, is_reserved, is_restricted};

use super::{Registration, Registry, Subscription};
use crate::address::{RealmId, SessionAddress};
use crate::config::MANAGEMENT;

/// What a subscription and a registration have in common.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: u64,
    pub(crate) uri: &'a str,
    pub(crate) match_policy: Match,
    pub(crate) created_ms: u64,
    /// Of a registration.
    pub(crate) invoke: Option<InvocationPolicy>,
}

impl<'a> Entry<'a> {
    fn of_subscription(id: u64, known: &'a Subscription) -> Self {
        let Subscription { uri, match_policy, created_ms, .. } = known;
        Self { id, uri, match_policy: *match_policy, created_ms: *created_ms, invoke: None }
    }

    fn of_registration(id: u64, known: &'a Registration) -> Self {
        let Registration { uri, match_policy, created_ms, invoke, .. } = known;
        Self { id, uri, match_policy: *match_policy, created_ms: *created_ms, invoke: Some(*invoke) }
    }
}

impl Registry {
    /// A subscription of the realm.
    pub(crate) fn subscription_entry(&self, realm: RealmId, id: u64) -> Option<Entry<'_>> {
        let known = self.subscriptions.get(id).filter(|known| known.realm == realm)?;
        Some(Entry::of_subscription(id, known))
    }

    /// A registration of the realm.
    pub(crate) fn registration_entry(&self, realm: RealmId, id: u64) -> Option<Entry<'_>> {
        let known = self.registrations.get(id).filter(|known| known.realm == realm)?;
        Some(Entry::of_registration(id, known))
    }

    /// The subscriptions of the realm, in the order of their ids' indexes.
    pub(crate) fn subscription_entries(&self, realm: RealmId) -> impl Iterator<Item = Entry<'_>> {
        let all = self.subscriptions.iter().filter(move |(_, known)| known.realm == realm);
        all.map(|(id, known)| Entry::of_subscription(id, known))
    }

    /// The registrations of the realm, in the order of their ids' indexes.
    pub(crate) fn registration_entries(&self, realm: RealmId) -> impl Iterator<Item = Entry<'_>> {
        let all = self.registrations.iter().filter(move |(_, known)| known.realm == realm);
        all.map(|(id, known)| Entry::of_registration(id, known))
    }

    /// The subscription to exactly this.
    pub(crate) fn find_subscription(&self, realm: RealmId, uri: &str, policy: Match) -> Option<u64> {
        self.realms.get(usize::from(realm.0))?.topics.get(uri, policy)
    }

    /// The registration of exactly this.
    pub(crate) fn find_registration(&self, realm: RealmId, uri: &str, policy: Match) -> Option<u64> {
        self.realms.get(usize::from(realm.0))?.procedures.get(uri, policy)
    }

    /// The subscriptions that get what is published to `topic`: exact, prefixes from the shortest, wildcards.
    pub(crate) fn matching_subscriptions(&self, realm: RealmId, topic: &str) -> Vec<Entry<'_>> {
        let mut found = Vec::new();
        let Some(realm_tables) = self.realms.get(usize::from(realm.0)) else { return found };
        realm_tables.topics.visit(topic, |id| {
            let entry = self.subscription_entry(realm, id);
            found.extend(entry.filter(|entry| reaches(entry.uri, topic)));
        });
        found
    }

    /// Whether anybody gets what is published to `topic`.
    pub(crate) fn has_subscribers(&self, realm: RealmId, topic: &str) -> bool {
        !self.matching_subscriptions(realm, topic).is_empty()
    }

    /// Whether anybody gets the meta event `topic` of a realm, there or on the management realm.
    pub(crate) fn is_heard(&self, realm: RealmId, topic: &str) -> bool {
        self.has_subscribers(realm, topic)
            || self.bridge(realm).is_some_and(|(management, prefix)| {
                self.has_subscribers(management, &bridged_topic(prefix, topic))
            })
    }

    /// The management realm, and what the URIs of the realm's meta API begin with there.
    pub(crate) fn bridge(&self, realm: RealmId) -> Option<(RealmId, &str)> {
        let prefix = self.config.realms[usize::from(realm.0)].bridge.as_deref()?;
        let management = self.config.realms.iter().position(|realm| &*realm.name == MANAGEMENT)?;
        Some((RealmId(management as u16), prefix))
    }

    /// The registration that a CALL of `procedure` goes to.
    pub(crate) fn matching_registration(&self, realm: RealmId, procedure: &str) -> Option<Entry<'_>> {
        let best = self.realms.get(usize::from(realm.0))?.procedures.best(procedure)?;
        let entry = self.registration_entry(realm, best)?;
        (!is_restricted(procedure) || is_restricted(entry.uri)).then_some(entry)
    }

    /// Clients' sessions that are subscribed.
    pub(crate) fn subscribers(&self, id: u64) -> impl Iterator<Item = SessionId> {
        let interests = self.subscriptions.get(id).into_iter().flat_map(|known| &known.interests);
        let addresses = interests.flat_map(|interest| {
            interest.members.iter().map(|&key| SessionAddress { shard: interest.shard, key })
        });
        self.client_ids(addresses)
    }

    /// Clients' sessions that are callees, in the order of registration.
    pub(crate) fn callees(&self, id: u64) -> impl Iterator<Item = SessionId> {
        let callees = self.registrations.get(id).into_iter().flat_map(|known| &known.callees);
        self.client_ids(callees.map(|callee| callee.address))
    }

    fn client_ids(&self, addresses: impl Iterator<Item = SessionAddress>) -> impl Iterator<Item = SessionId> {
        let sessions = addresses.filter_map(|address| self.session(address));
        sessions.filter(|session| !self.is_internal(session)).map(|session| session.id)
    }
}

/// Whether a pattern that matches `topic` also receives it: what the router publishes under `wamp.` goes only to patterns
/// that say `wamp.`, so that a subscription to everything means everything of the application.
pub(crate) fn reaches(pattern: &str, topic: &str) -> bool {
    !is_reserved(topic) || is_reserved(pattern)
}

/// The topic of a meta event on the management realm, as Crossbar.io spells it.
pub(crate) fn bridged_topic(prefix: &str, topic: &str) -> String {
    prefix.to_owned() + &topic.replace('.', "-")
}
