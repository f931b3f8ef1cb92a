//! Retained events: only for those who ask, once for each time they ask, of each topic the newest that they may see.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::{Message, MessageType};

use crate::clock::ticks;
use crate::model::holding::SLACK_TICKS;
use crate::model::{Key, Model, PendingKind, Publication, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::Tag;

/// What subscribers have asked for and got.
#[derive(Debug, Default)]
pub(super) struct Retention {
    offers: BTreeMap<(SessionIndex, SubscriptionId), Offer>,
}

/// A SUBSCRIBE with `get_retained`.
#[derive(Debug)]
struct Offer {
    /// When it was handled.
    tick: u64,
    given: BTreeSet<usize>,
    /// Topics of which something has to come.
    due: Vec<String>,
}

impl Retention {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        let Some(index) = model.peer(*peer).and_then(|record| record.session) else { return Ok(()) };
        match message {
            Message::Subscribed { request, subscription } => {
                let pending = model.sessions[index].pending(MessageType::Subscribe, *request);
                let Some(pending) = pending.filter(|pending| pending.get_retained) else { return Ok(()) };
                let PendingKind::Subscribe(key) = &pending.kind else { return Ok(()) };
                let due = due_topics(model, index, key, pending.tick);
                let offer = Offer { tick: pending.tick, given: BTreeSet::new(), due };
                self.offers.insert((index, *subscription), offer);
                Ok(())
            }
            Message::Unsubscribed { request: None, revocation: Some(revocation) } => {
                let is_ended = |id: &SubscriptionId| Some(*id) == revocation.id;
                self.offers.retain(|(other, subscription), _| *other != index || !is_ended(subscription));
                Ok(())
            }
            Message::Unsubscribed { .. } => {
                self.offers.retain(|(other, subscription), _| {
                    *other != index
                        || model.sessions[index].subscription(*subscription).is_some_and(|held| !held.leaving)
                });
                Ok(())
            }
            Message::Event { subscription, details, payload, .. } => {
                let Some(number) = Tag::read(payload).map(|tag| tag.number) else { return Ok(()) };
                let Some(publication) = model.publication(number) else { return Ok(()) };
                let offer = self.offers.get_mut(&(index, *subscription));
                if details.retained {
                    offered(model, index, *peer, number, publication, offer)
                } else {
                    offer.into_iter().for_each(|offer| offer.settle(publication));
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Nobody waits for what is retained.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for ((index, subscription), offer) in &self.offers {
            let session = &model.sessions[*index];
            let held = session.subscription(*subscription).is_some_and(|held| !held.leaving);
            if session.live && held && !offer.due.is_empty() {
                let peer = session.peer.0;
                return Err(format!("p{peer} asked for what is retained of {:?} and got nothing", offer.due));
            }
        }
        Ok(())
    }
}

impl Offer {
    fn settle(&mut self, publication: &Publication) {
        self.due.retain(|topic| *topic != publication.topic);
    }
}

fn offered(
    model: &Model,
    index: SessionIndex,
    peer: Peer,
    number: usize,
    publication: &Publication,
    offer: Option<&mut Offer>,
) -> Result<(), String> {
    let context = || format!("publication #{number}, retained, for p{}", peer.0);
    let Some(offer) = offer else { return Err(format!("{}, which has not asked", context())) };
    if !publication.is_retained {
        return Err(format!("{}, which was not to be retained", context()));
    }
    if !offer.given.insert(number) {
        return Err(format!("{} a second time", context()));
    }
    offer.settle(publication);
    if is_expired(model, publication, offer.tick, SLACK_TICKS) {
        return Err(format!("{} after its time", context()));
    }
    let newer = newer(model, index, publication, offer.tick);
    newer.map_or(Ok(()), |newer| Err(format!("{} instead of that of tick {}", context(), newer.tick)))
}

/// Topics of which something has surely been retained, for long enough that every shard agrees.
fn due_topics(model: &Model, index: SessionIndex, key: &Key, tick: u64) -> Vec<String> {
    let session = &model.sessions[index];
    let mut topics: Vec<String> = retained(model, index)
        .filter(|publication| publication.tick + SLACK_TICKS < tick && key.matches(&publication.topic))
        .filter(|publication| !is_expired(model, publication, tick + SLACK_TICKS, 0))
        .map(|publication| publication.topic.clone())
        .collect();
    topics.sort_unstable();
    topics.dedup();
    // With a node key, the newest one may be for another node.
    let may_lack = model.realm(session).store.retained_topics_max < TOPICS_MAX || session.nkey.is_some();
    if may_lack { Vec::new() } else { topics }
}

/// Stores that take fewer topics may have none to give.
const TOPICS_MAX: u32 = 100;

/// One that has surely taken the place of this one.
fn newer<'a>(
    model: &'a Model,
    index: SessionIndex,
    than: &Publication,
    tick: u64,
) -> Option<&'a Publication> {
    retained(model, index).find(|publication| {
        publication.topic == than.topic
            && publication.tick > than.tick + SLACK_TICKS
            && publication.tick + SLACK_TICKS < tick
            && !is_expired(model, publication, tick + SLACK_TICKS, 0)
    })
}

/// All that were to be retained and that a session may see.
fn retained(model: &Model, index: SessionIndex) -> impl Iterator<Item = &Publication> {
    let session = &model.sessions[index];
    model.publications.iter().flatten().filter(move |publication| {
        let publisher = &model.sessions[publication.publisher];
        publication.is_retained
            && publisher.honest
            && !(session.nkey.is_some() && publication.is_shared())
            && publisher.realm == session.realm
            && publication.expected == crate::model::Expected::Success
            && model.is_receiver(publication, session)
    })
}

fn is_expired(model: &Model, publication: &Publication, tick: u64, slack: u64) -> bool {
    let publisher = &model.sessions[publication.publisher];
    let lifetime_ms = model.realm(publisher).store.retained_lifetime_ms;
    lifetime_ms.is_some_and(|lifetime_ms| publication.tick + ticks(lifetime_ms) + slack < tick)
}
