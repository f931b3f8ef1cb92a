//! Members of subscriptions without transport: their events are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::Message;
use crossring_codec::payload::Payload;

use super::filter::Filter;
use super::{Broker, Nodes};
use crate::address::{SessionKey, ShardId};
use crate::config::RouterConfig;
use crate::letter::{Kept, KeptEvent, Letter, NodeKeys, Parcel};
use crate::outbox::Outbox;
use crate::resumption::Parked;
use crate::session::Session;
use crate::shard::Shard;

/// Members of one subscription without transport.
#[derive(Debug, Default)]
pub(crate) struct ParkedMembers(Vec<SessionKey>);

/// An event for them.
pub(super) struct ForParked<'a> {
    /// The publisher's shard.
    pub(super) source: ShardId,
    /// The event without its arguments.
    pub(super) message: Message<'a>,
    pub(super) payload: &'a Payload<'a>,
    pub(super) filter: Option<&'a Filter<'a>>,
    /// Whose node keys decide, and which does.
    pub(super) nodes: Option<(&'a Nodes, Option<&'a str>)>,
}

impl ParkedMembers {
    /// Keeps an event for those it is for.
    #[cold]
    pub(super) fn keep(
        &self,
        sessions: &mut BTreeMap<SessionKey, Parked>,
        event: ForParked<'_>,
        config: &RouterConfig,
    ) {
        let ForParked { source, message, payload, filter, nodes } = event;
        let Message::Event { subscription, publication, details, .. } = message.into_owned() else { return };
        let kept = Arc::new(KeptEvent { subscription, publication, details, parcel: Parcel::pack(payload) });
        for key in &self.0 {
            let Some(parked) = sessions.get_mut(key).filter(|parked| parked.keeps_events_of(source)) else {
                continue;
            };
            let session = &parked.session;
            let role = &config.realms[usize::from(session.realm.0)].roles[usize::from(session.role.0)];
            let is_served = nodes.is_none_or(|(nodes, server)| nodes.admits(*key, server));
            if is_served && filter.is_none_or(|filter| filter.admits(session.id, &session.authid, &role.name))
            {
                parked.queue.push(Kept::Event(Arc::clone(&kept)));
            }
        }
    }
}

impl Shard {
    /// The registry: a subscription of a session without transport is revoked.
    pub(super) fn end_parked_membership<O: Outbox>(
        &mut self,
        key: SessionKey,
        id: SubscriptionId,
        message: Message<'static>,
        out: &mut O,
    ) {
        let Some(parked) = self.broker.parked.get_mut(&key) else { return };
        let realm = parked.session.realm;
        if parked.session.forget_subscription(id) {
            parked.queue.push(Kept::Revocation(Box::new(message)));
            self.broker.forget_parked_member(id, key);
            self.post(ShardId::CONTROL, Letter::Detach { realm, key, subscription: id }, out);
        }
    }
}

impl Broker {
    /// Keeps events for a session from now on. It must be a member of nothing.
    pub(crate) fn park(&mut self, key: SessionKey, parked: Parked, node_keys: NodeKeys) {
        for id in parked.subscriptions() {
            if let Some(subscription) = self.subscriptions.get_mut(id.get()) {
                subscription.parked.get_or_insert_default().0.push(key);
            }
        }
        for (id, nkey) in node_keys {
            if let Some(subscription) = self.subscriptions.get_mut(id.get()) {
                subscription.nodes.get_or_insert_default().attach(key, nkey);
            }
        }
        self.parked.insert(key, parked);
    }

    /// The node keys of a session's subscriptions.
    pub(crate) fn node_keys(&self, key: SessionKey, session: &Session) -> NodeKeys {
        let node_key = |id: SubscriptionId| {
            let nodes = self.subscriptions.get(id.get())?.nodes.as_ref()?;
            Some((id, nodes.key_of(key)?))
        };
        session.subscriptions_sorted().into_iter().filter_map(node_key).collect()
    }

    /// Takes a session out of those whose events are kept.
    pub(crate) fn unpark(&mut self, key: SessionKey) -> Option<Parked> {
        let parked = self.parked.remove(&key)?;
        for id in parked.subscriptions() {
            self.forget_parked_member(id, key);
        }
        Some(parked)
    }

    /// Takes a session without transport out of a subscription.
    fn forget_parked_member(&mut self, id: SubscriptionId, key: SessionKey) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        if let Some(nodes) = &mut subscription.nodes {
            nodes.detach(key);
        }
        let Some(members) = &mut subscription.parked else { return };
        members.0.retain(|member| *member != key);
        if members.0.is_empty() {
            subscription.parked = None;
        }
    }
}
