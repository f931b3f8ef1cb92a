//! What the control shard keeps of publications: retained events, and the history of events.

use std::sync::Arc;

use crossring_codec::id::RequestId;
use crossring_codec::message::{Message, SubscribeOptions};

use super::{Control, Emission};
use crate::address::{Now, RealmId, SessionAddress, SessionKey, ShardId};
use crate::input::Input;
use crate::letter::{Letter, Publication, Snapshot};
use crate::outbox::Post;
use crate::registry::SnapshotWish;
use crate::store::{EventRecord, Pattern, Reader};

impl Control {
    /// Subscribes to everything that a history is kept of, so that it comes here.
    pub(super) fn subscribe_to_histories<P: Post>(&mut self, now: Now, key: SessionKey, out: &mut P) {
        let config = Arc::clone(&self.shard.config);
        let realm = self.services[key.slot as usize].realm;
        for rule in &config.realms[usize::from(realm.0)].store.history {
            let request = self.next_request(key);
            self.services[key.slot as usize].history_requests.push(request);
            let options = SubscribeOptions { match_policy: rule.match_policy, ..SubscribeOptions::default() };
            let message = Message::Subscribe { request, options, topic: rule.uri.to_string().into() };
            self.input(now, Input::Message { key, message }, out);
        }
    }

    /// Appends a publication to the histories of the subscriptions that it names. One that is for certain sessions, or not for
    /// certain sessions, is in none (wamp.md 2.1.8).
    pub(super) fn record(&mut self, now: Now, publication: &Publication) {
        let realm = usize::from(publication.realm.0);
        let Some(service) = self.services.get(realm).filter(|service| !service.histories.is_empty()) else {
            return;
        };
        let extra = publication.extra.as_deref();
        if extra.is_some_and(|extra| extra.eligible.is_some() || extra.exclude.is_some()) {
            return;
        }
        let rules = &self.shard.config.realms[realm].store.history;
        let found = publication.subscriptions.iter().filter_map(|id| service.histories.get(&id.get()));
        let mut event = None;
        for rule in found.filter_map(|index| rules.get(*index)) {
            let event = event.get_or_insert_with(|| {
                Arc::new(EventRecord { publication: publication.clone(), unix_ms: now.unix_ms })
            });
            let pattern = Pattern { uri: &rule.uri, match_policy: rule.match_policy };
            self.stores[realm].append_event(pattern, rule.limit, event);
        }
    }

    /// Hands a publication to the store; tells its publisher, if that waits.
    pub(super) fn retain<P: Post>(
        &mut self,
        now: Now,
        from: ShardId,
        publication: Publication,
        publisher: Option<(SessionKey, RequestId)>,
        out: &mut P,
    ) {
        let (RealmId(realm), id) = (publication.realm, publication.publication);
        if let Some(retention) = publication.retention {
            self.retained_known[retention.shard.index()] = retention.sequence;
        }
        let event = Arc::new(EventRecord { publication, unix_ms: now.unix_ms });
        if !self.stores[usize::from(realm)].retain(&event) {
            self.retained_declined += 1;
        }
        let Some((key, request)) = publisher else { return };
        if self.registry.session(SessionAddress { shard: from, key }).is_some() {
            let letter = Letter::Retained { key, request, publication: id };
            let service_shard = self.shard.id();
            Emission { service_shard, exchange: &mut self.exchange, out }.post(from, letter);
        }
    }

    /// Answers a SUBSCRIBE with what the session may see of the retained events.
    pub(super) fn answer_with_snapshot<P: Post>(&mut self, now: Now, wish: &SnapshotWish, out: &mut P) {
        let SnapshotWish { address, subscription, request } = *wish;
        let Some(session) = self.registry.session(address) else { return };
        let realm = session.identity.realm;
        let Some(known) = self.registry.subscription_entry(realm, subscription.get()) else { return };
        let pattern = Pattern { uri: known.uri, match_policy: known.match_policy };
        let authrole = self.registry.role_name(session);
        let reader = Reader { session: session.id, authid: &session.identity.authid, authrole };
        let events = self.stores[usize::from(realm.0)].retained(pattern, &reader, now.unix_ms);
        let nkey = self.registry.node_key(subscription, address);
        let known = self.retained_known.clone();
        let snapshot = Box::new(Snapshot { request, subscription, nkey, events, known });
        let letter = Letter::SubscribedWithSnapshot { key: address.key, snapshot };
        let service_shard = self.shard.id();
        Emission { service_shard, exchange: &mut self.exchange, out }.post(address.shard, letter);
    }
}
