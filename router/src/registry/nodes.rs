//! Node keys (`nkey`) of sharded subscriptions: which there are, for all shards to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossring_codec::id::SubscriptionId;

use super::{Asked, Registry, Subject, tell_all};
use crate::address::SessionAddress;
use crate::letter::Letter;
use crate::outbox::Post;

/// The node keys of a subscription.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    keys: Vec<Node>,
    /// Members with a node key.
    members: BTreeMap<SessionAddress, Arc<str>>,
}

/// A node key.
#[derive(Debug)]
struct Node {
    nkey: Arc<str>,
    members: u32,
    /// Not all shards know of it yet.
    ticket: Option<u64>,
    /// Who waits for that.
    waiting: Vec<(SessionAddress, Asked)>,
}

impl Nodes {
    fn node_mut(&mut self, nkey: &str) -> Option<&mut Node> {
        self.keys.iter_mut().find(|node| *node.nkey == *nkey)
    }
}

impl Registry {
    /// Gives a new member its node key; all shards are told of one that is new.
    pub(super) fn join_node<P: Post>(
        &mut self,
        id: SubscriptionId,
        address: SessionAddress,
        nkey: &str,
        out: &mut P,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        let nodes = subscription.nodes.get_or_insert_default();
        if let Some(node) = nodes.node_mut(nkey) {
            node.members += 1;
            let nkey = Arc::clone(&node.nkey);
            nodes.members.insert(address, nkey);
            return;
        }
        let nkey: Arc<str> = nkey.into();
        nodes.members.insert(address, Arc::clone(&nkey));
        let letter = |ticket| Letter::AddNode { subscription: id, nkey: Arc::clone(&nkey), ticket };
        let ticket = Some(self.broadcast(Subject::Node(id), letter, out));
        if let Some(nodes) = self.nodes_mut(id) {
            nodes.keys.push(Node { nkey, members: 1, ticket, waiting: Vec::new() });
        }
    }

    /// Lets a request wait until all shards know the member's node key; `false`: they do, or will before they know the
    /// interest of its shard, which was announced later.
    pub(super) fn wait_for_node(
        &mut self,
        id: SubscriptionId,
        address: SessionAddress,
        asked: Asked,
    ) -> bool {
        let interest = self.interest_mut(id, address.shard).and_then(|interest| interest.ticket);
        let Some(nkey) = self.node_key(id, address) else { return false };
        let Some(node) = self.nodes_mut(id).and_then(|nodes| nodes.node_mut(&nkey)) else { return false };
        let waits = node.ticket > interest;
        if waits {
            node.waiting.push((address, asked));
        }
        waits
    }

    /// Whether a member waits for that.
    pub(super) fn is_waiting_for_node(&self, id: SubscriptionId, address: SessionAddress) -> bool {
        let nodes = self.subscriptions.get(id.get()).and_then(|subscription| subscription.nodes.as_ref());
        let is_it = |node: &Node| node.waiting.iter().any(|(waiting, _)| *waiting == address);
        nodes.is_some_and(|nodes| nodes.keys.iter().any(is_it))
    }

    /// All shards know the node key that was announced under `ticket`.
    pub(super) fn node_known<P: Post>(&mut self, id: SubscriptionId, ticket: u64, out: &mut P) {
        let Some(nodes) = self.nodes_mut(id) else { return };
        let Some(node) = nodes.keys.iter_mut().find(|node| node.ticket == Some(ticket)) else { return };
        node.ticket = None;
        // A session may have asked twice, and is told of once.
        let mut noted = Vec::new();
        for (address, asked) in std::mem::take(&mut node.waiting) {
            self.answer_subscriber(id, address, asked, out);
            if !noted.contains(&address) {
                noted.push(address);
                self.note_subscribed(address, id);
            }
        }
    }

    /// A member leaves; a node key without members is forgotten.
    pub(super) fn leave_node<P: Post>(&mut self, id: SubscriptionId, address: SessionAddress, out: &mut P) {
        let Some(subscription) = self.subscriptions.get_mut(id.get()) else { return };
        let Some(nodes) = &mut subscription.nodes else { return };
        let Some(nkey) = nodes.members.remove(&address) else { return };
        let Some(node) = nodes.node_mut(&nkey) else { return };
        node.waiting.retain(|(waiting, _)| *waiting != address);
        node.members -= 1;
        if node.members > 0 {
            return;
        }
        if let Some(ticket) = node.ticket {
            self.tickets.remove(&ticket);
        }
        nodes.keys.retain(|node| node.nkey != nkey);
        if nodes.keys.is_empty() {
            subscription.nodes = None;
        }
        tell_all(self.shards, &Letter::RemoveNode { subscription: id, nkey }, out);
    }

    /// A member has another address.
    pub(super) fn move_node(&mut self, id: SubscriptionId, from: SessionAddress, to: SessionAddress) {
        if let Some(nodes) = self.nodes_mut(id)
            && let Some(nkey) = nodes.members.remove(&from)
        {
            nodes.members.insert(to, nkey);
        }
    }

    /// The node key of a member.
    pub(crate) fn node_key(&self, id: SubscriptionId, address: SessionAddress) -> Option<Arc<str>> {
        let nodes = self.subscriptions.get(id.get())?.nodes.as_ref()?;
        nodes.members.get(&address).cloned()
    }

    fn nodes_mut(&mut self, id: SubscriptionId) -> Option<&mut Nodes> {
        self.subscriptions.get_mut(id.get())?.nodes.as_deref_mut()
    }
}
