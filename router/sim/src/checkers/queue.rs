//! Calls that wait for a free slot: the first of each shard to wait is the first to be let through.

use std::collections::{BTreeMap, VecDeque};

use crossring_codec::id::RegistrationId;
use crossring_router::address::{CallKey, ShardId};
use crossring_router::letter::Letter;

use crate::observation::Observation;

/// Calls that wait, by shard and registration, in the order in which they began to.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<(ShardId, RegistrationId), VecDeque<CallKey>>,
}

impl Queue {
    pub(super) fn check(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Posted { from, to, letter } = observation else { return Ok(()) };
        match letter {
            Letter::Enqueue { registration, wait } => {
                let line = self.waiting.entry((*from, *registration)).or_default();
                line.retain(|call| *call != wait.call);
                // One that comes again has its place already, one with a resource key waits for one callee.
                if wait.arrival.is_none() && wait.rkey.is_none() {
                    line.push_back(wait.call);
                }
            }
            Letter::Dequeue { registration, call } => self.forget(*from, *registration, *call),
            Letter::Dismiss { call, .. } => self.dismissed(*to, *call),
            Letter::Grant { call, registration, .. } => return self.granted(*to, *registration, *call),
            _ => {}
        }
        Ok(())
    }

    fn forget(&mut self, shard: ShardId, registration: RegistrationId, call: CallKey) {
        if let Some(line) = self.waiting.get_mut(&(shard, registration)) {
            line.retain(|waiting| *waiting != call);
        }
    }

    fn dismissed(&mut self, shard: ShardId, call: CallKey) {
        let lines = self.waiting.iter_mut().filter(|((other, _), _)| *other == shard);
        lines.for_each(|(_, line)| line.retain(|waiting| *waiting != call));
    }

    fn granted(&mut self, shard: ShardId, registration: RegistrationId, call: CallKey) -> Result<(), String> {
        let Some(line) = self.waiting.get_mut(&(shard, registration)) else { return Ok(()) };
        match line.iter().position(|waiting| *waiting == call) {
            Some(0) => _ = line.pop_front(),
            Some(before) => {
                return Err(format!("{call:?} of shard {} passes {before} calls that wait", shard.0));
            }
            None => {}
        }
        Ok(())
    }
}
