//! Every EVENT that has to arrive does, once: a publication handled after SUBSCRIBED was sent is delivered, whatever the
//! shards of publisher and subscriber, unless the subscriber gives up first or the host has counted the drop.

use crossring_codec::id::SubscriptionId;
use crossring_codec::message::Message;

use crate::model::{Model, SessionIndex};
use crate::observation::{Observation, Peer};
use crate::tag::Tag;

/// Holds what has been given, by the tag of the publication. What is owed, the model knows.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    given: Vec<Vec<(SessionIndex, SubscriptionId)>>,
}

impl Delivery {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let (Observation::Emitted { peer, message } | Observation::Dropped { peer, message }) = observation
        else {
            return Ok(());
        };
        let Message::Event { subscription, payload, .. } = message else { return Ok(()) };
        match Tag::read(payload) {
            Some(tag) => self.deliver(model, *peer, tag.number, *subscription),
            None => Ok(()),
        }
    }

    /// Nothing is owed to those who have stayed.
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for (number, publication) in model.publications.iter().enumerate() {
            let Some(publication) = publication else { continue };
            if publication.is_testament && model.may_be_silent() {
                continue; // an order to end all sessions may have come before the news of this end
            }
            for owed in &publication.owed {
                let session = &model.sessions[owed.session];
                let stayed = session.subscription(owed.subscription);
                let stayed = session.live && stayed.is_some_and(|held| held.instance == owed.instance);
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

    fn deliver(
        &mut self,
        model: &Model,
        peer: Peer,
        number: usize,
        subscription: SubscriptionId,
    ) -> Result<(), String> {
        let Some(session) = model.peer(peer).and_then(|record| record.session) else { return Ok(()) };
        if self.given.len() <= number {
            self.given.resize_with(number + 1, Vec::new);
        }
        let given = &mut self.given[number];
        if given.contains(&(session, subscription)) {
            return Err(format!("publication #{number} reached p{} twice under {subscription}", peer.0));
        }
        given.push((session, subscription));
        Ok(())
    }
}
