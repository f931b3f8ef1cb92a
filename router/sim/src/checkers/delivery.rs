//! Every EVENT that has to arrive does, once: a publication handled after SUBSCRIBED was sent is delivered, whatever the
//! shards of publisher and subscriber, unless the subscriber gives up first or the host has counted the drop.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::Message;

use crate::model::{Model, Owed, Publication, Session, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::Tag;

/// Holds what has been given, by the tag of the publication. What is owed, the model knows.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    given: Vec<Vec<(SessionIndex, SubscriptionId)>>,
    /// How often SUBSCRIBED was sent.
    acknowledged: BTreeMap<(SessionIndex, SubscriptionId), u32>,
    /// Given because it was retained.
    retained: BTreeSet<(usize, SessionIndex, SubscriptionId)>,
}

impl Delivery {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        if let Message::Subscribed { subscription, .. } = message {
            let session = model.peer(*peer).and_then(|record| record.session);
            if let Some(session) = session {
                *self.acknowledged.entry((session, *subscription)).or_default() += 1;
            }
        }
        let Message::Event { subscription, payload, details, .. } = message else { return Ok(()) };
        match Tag::read(payload) {
            Some(tag) => self.deliver(model, *peer, tag.number, *subscription, details.retained),
            None => Ok(()),
        }
    }

    /// Nothing is owed to those who have stayed.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        self.shares(model)?;
        for (number, publication) in model.publications.iter().enumerate() {
            let Some(publication) = publication else { continue };
            if publication.is_testament && model.may_be_silent() {
                continue; // an order to end all sessions may have come before the news of this end
            }
            for owed in &publication.owed {
                let (session, stayed) = holder(model, owed);
                let given = self
                    .given
                    .get(number)
                    .is_some_and(|given| given.contains(&(owed.session, owed.subscription)));
                if stayed && !given {
                    return Err(format!(
                        "publication #{number} on {} never reached p{} under {}",
                        publication.topic, session.peer.0, owed.subscription
                    ));
                }
            }
        }
        Ok(())
    }

    /// Of those who share a publication by their node keys, one key has got it: all of its sessions.
    fn shares(&self, model: &Model) -> Result<(), String> {
        for (number, publication) in model.publications.iter().enumerate() {
            let Some(publication) = publication.as_ref().filter(|known| !known.shared.is_empty()) else {
                continue;
            };
            for owed in &publication.shared {
                let (session, stayed) = holder(model, owed);
                let given = self.given.get(number).map_or(&[][..], |given| given);
                let is_server = |(other, subscription): &(SessionIndex, SubscriptionId)| {
                    *subscription == owed.subscription
                        && !self.retained.contains(&(number, *other, *subscription))
                        && model.sessions[*other].nkey == session.nkey
                };
                let served = given.iter().any(is_server);
                if stayed && served && !given.contains(&(owed.session, owed.subscription)) {
                    return Err(format!(
                        "publication #{number} reached others of the node of p{}, not it",
                        session.peer.0
                    ));
                }
            }
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        model: &Model,
        peer: Peer,
        number: usize,
        subscription: SubscriptionId,
        is_retained: bool,
    ) -> Result<(), String> {
        let Some(session) = model.peer(peer).and_then(|record| record.session) else { return Ok(()) };
        if self.given.len() <= number {
            self.given.resize_with(number + 1, Vec::new);
        }
        let given = &mut self.given[number];
        // What is retained may have been seen before, by those who ask again, and may then come live.
        let held = model.sessions[session].subscription(subscription);
        let known = model.publication(number);
        let is_older = held.zip(known).is_some_and(|(held, known)| known.order < held.instance);
        // Who goes on with a session gets what was kept for it, whatever the answer to its question has brought.
        let goes_on = model.sessions[session].resumption.resumed.is_some();
        let is_new = is_older && !goes_on && self.acknowledged.get(&(session, subscription)) == Some(&1);
        let before = given.contains(&(session, subscription))
            && (is_new || !self.retained.contains(&(number, session, subscription)));
        if before && !is_retained {
            return Err(format!("publication #{number} reached p{} twice under {subscription}", peer.0));
        }
        if is_retained {
            self.retained.insert((number, session, subscription));
            given.push((session, subscription));
            return Ok(());
        }
        let nkey = &model.sessions[session].nkey;
        let is_shared = model.publication(number).is_some_and(Publication::is_shared);
        let was_retained = |other: SessionIndex| self.retained.contains(&(number, other, subscription));
        let others = given.iter().filter(|(_, other)| is_shared && *other == subscription);
        let others = others.filter(|(other, _)| !was_retained(*other));
        let mut others = others.map(|(other, _)| &model.sessions[*other].nkey);
        if nkey.is_some() && others.any(|other| other.is_some() && other != nkey) {
            return Err(format!("publication #{number} reached several nodes of {subscription}"));
        }
        given.push((session, subscription));
        Ok(())
    }
}

/// Who is owed, and whether it has stayed subscribed since.
fn holder<'a>(model: &'a Model, owed: &Owed) -> (&'a Session, bool) {
    let session = &model.sessions[owed.session];
    let held = session.subscription(owed.subscription);
    let lossy = model.may_lose_events(session);
    (session, !lossy && session.live && held.is_some_and(|held| held.instance == owed.instance))
}
