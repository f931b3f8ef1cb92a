//! Flow control: a transport that a shard wants to be read no further is not read, and is read again when its messages have
//! been acted upon.

use std::collections::BTreeSet;

use crate::model::Model;
use crate::observation::{Observation, Peer};

/// Messages that wait for an authorizer before a shard wants no more of them.
const KEPT_MAX: usize = 8;

/// Holds what is not read.
#[derive(Debug, Default)]
pub(super) struct Flow {
    paused: BTreeSet<Peer>,
}

impl Flow {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Arrived { peer, .. } if self.paused.contains(peer) => {
                Err(format!("p{} is read although its shard wants no more of it", peer.0))
            }
            Observation::Arrived { peer, .. } => {
                let record = model.peer(*peer);
                if record.and_then(|record| record.session).is_some_and(|index| model.is_asked(index)) {
                    return Ok(()); // its answer may be behind
                }
                let held = record.and_then(|record| record.held.as_ref());
                match held.map_or(0, |held| held.messages.len()) {
                    kept if kept > KEPT_MAX => {
                        Err(format!("p{} is read although {kept} messages wait", peer.0))
                    }
                    _ => Ok(()),
                }
            }
            Observation::Paused { peer } if !self.paused.insert(*peer) => {
                Err(format!("p{} is not to be read, which it is not", peer.0))
            }
            Observation::Unpaused { peer } if !self.paused.remove(peer) => {
                Err(format!("p{} is to be read, which it is", peer.0))
            }
            Observation::Closed { peer, .. } => {
                self.paused.remove(peer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Everything is read.
    pub(super) fn rest(&self) -> Result<(), String> {
        match self.paused.first() {
            Some(peer) => Err(format!("p{} is never read again", peer.0)),
            None => Ok(()),
        }
    }
}
