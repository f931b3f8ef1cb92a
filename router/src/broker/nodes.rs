//! Sharded subscriptions: members with a node key (`nkey`) share the publications that have a resource key (`rkey`).
//!
//! Among the distinct node keys of a subscription, of all shards, one serves a resource key. The publisher's shard decides
//! which, so that all shards agree while node keys come and go. Members without a node key get everything, publications
//! without a resource key go to everybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::PublishExtra;

use super::Broker;
use crate::address::{RealmId, SessionKey, ShardId};
use crate::letter::Letter;
use crate::outbox::Outbox;
use crate::rendezvous::ResourceKey;
use crate::shard::Shard;

/// The node keys of a subscription.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    /// Of all shards, distinct.
    keys: Vec<Arc<str>>,
    /// Of local members.
    members: BTreeMap<SessionKey, Arc<str>>,
}

/// Which members of a subscription get a publication.
#[derive(Copy, Clone, Debug)]
pub(super) enum Share<'a> {
    /// All: it has no resource key.
    All,
    /// Of those with a node key the ones with this; none, when there was no node key where and when it was published.
    Node(Option<&'a str>),
}

impl<'a> Share<'a> {
    /// The share of what has a resource key, which `server` serves.
    pub(super) fn of(server: Option<&'a Option<Arc<str>>>) -> Self {
        server.map_or(Share::All, |server| Share::Node(server.as_deref()))
    }

    /// Whose node keys decide, and which does; `None`: everybody gets the publication.
    pub(super) fn among(self, nodes: Option<&'a Nodes>) -> Option<(&'a Nodes, Option<&'a str>)> {
        match self {
            Share::All => None,
            Share::Node(server) => nodes.map(|nodes| (nodes, server)),
        }
    }
}

impl Nodes {
    /// The node key that serves a resource key.
    pub(super) fn server(&self, rkey: ResourceKey) -> Option<&Arc<str>> {
        let server = rkey.server(self.keys.iter().map(|nkey| &**nkey))?;
        self.keys.iter().find(|nkey| ***nkey == *server)
    }

    /// Whether a local member gets what `server` serves; those with a node key get nothing that nobody serves.
    pub(super) fn admits(&self, member: SessionKey, server: Option<&str>) -> bool {
        self.members.get(&member).is_none_or(|nkey| server == Some(&**nkey))
    }

    /// Gives a local member its node key.
    pub(super) fn attach(&mut self, member: SessionKey, nkey: Arc<str>) {
        self.members.insert(member, nkey);
    }

    /// The node key of a local member.
    pub(super) fn key_of(&self, member: SessionKey) -> Option<Arc<str>> {
        self.members.get(&member).cloned()
    }

    pub(super) fn detach(&mut self, member: SessionKey) {
        self.members.remove(&member);
    }
}

impl Shard {
    /// The resource key of a publication, where the realm minds it.
    pub(super) fn resource_key(
        &self,
        realm: RealmId,
        extra: Option<&PublishExtra<'_>>,
    ) -> Option<ResourceKey> {
        let rkey = extra?.rkey.as_deref()?;
        self.config.realms[usize::from(realm.0)].sharding.then(|| ResourceKey::new(rkey))
    }

    /// The registry: a subscription has members with a node key that is new.
    pub(crate) fn add_node<O: Outbox>(
        &mut self,
        id: SubscriptionId,
        nkey: Arc<str>,
        ticket: u64,
        out: &mut O,
    ) {
        self.ticket_seen = ticket;
        if let Some(subscription) = self.broker.subscriptions.get_mut(id.get()) {
            subscription.nodes.get_or_insert_default().keys.push(nkey);
        }
        self.post(ShardId::CONTROL, Letter::Acknowledge { ticket }, out);
    }
}

impl Broker {
    /// The node key that serves a resource key among the members of a subscription.
    pub(super) fn server(&self, id: u64, rkey: ResourceKey) -> Option<Arc<str>> {
        let nodes = self.subscriptions.get(id)?.nodes.as_deref()?;
        nodes.server(rkey).cloned()
    }

    /// A subscription has no members with this node key any more.
    pub(crate) fn remove_node(&mut self, id: SubscriptionId, nkey: &str) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        let Some(nodes) = &mut subscription.nodes else { return };
        nodes.keys.retain(|known| **known != *nkey);
        if nodes.keys.is_empty() {
            subscription.nodes = None;
        }
    }
}
