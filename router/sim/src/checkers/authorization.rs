//! What authorizers decide: shards are told what has been said and nothing else, and a testament is published only if somebody
//! allows it. That decisions are kept to, the other checkers see: the model knows what each request is to get.

use crossring_codec::message::Message;
use crossring_codec::uri::Match;
use crossring_router::address::ShardId;
use crossring_router::letter::Letter;

use crate::model::authority::Wanted;
use crate::model::{Key, Model};
use crate::observation::Observation;
use crate::realm::Action;
use crate::tag::Tag;

/// Holds nothing: the model knows all.
#[derive(Debug, Default)]
pub(super) struct Authorization;

impl Authorization {
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn check(&self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Posted {
                from: ShardId::CONTROL,
                to,
                letter: Letter::Authorized { number, ruling, .. },
            } => match model.held_by(*to, *number) {
                Some((session, held)) => model
                    .check_ruling(session, held, ruling)
                    .map_err(|text| format!("p{}: {text}", session.peer.0)),
                None => Ok(()),
            },
            Observation::Emitted { message: Message::Event { payload, .. }, .. } => {
                testament(model, Tag::read(payload))
            }
            _ => Ok(()),
        }
    }

    /// Nothing waits.
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        let mut sessions = model.live.iter().map(|index| &model.sessions[*index]);
        let waits = |peer| model.peer(peer).is_some_and(|record| record.held.is_some());
        match sessions.find(|session| waits(session.peer)) {
            Some(session) => Err(format!("messages of p{} wait for ever", session.peer.0)),
            None => Ok(()),
        }
    }
}

fn testament(model: &Model, tag: Option<Tag>) -> Result<(), String> {
    let publication = tag.and_then(|tag| model.publication(tag.number));
    let Some(publication) = publication.filter(|publication| publication.is_testament) else { return Ok(()) };
    let publisher = &model.sessions[publication.publisher];
    if model.role(publisher).authorizer.is_none() {
        return Ok(());
    }
    let key = Key { uri: publication.topic.clone(), policy: Match::Exact };
    let wanted = Wanted { action: Action::Publish, key };
    if model.was_ever_allowed(publisher, &wanted) {
        Ok(())
    } else {
        Err(format!("testament of p{} on {}, which nobody has allowed", publisher.peer.0, publication.topic))
    }
}
