//! Nothing vanishes between router and client: what was sent to a transport was read, or is counted as unread or dropped.

use std::collections::BTreeMap;

use crate::observation::{Observation, Peer};

/// Counts messages by transport.
#[derive(Debug, Default)]
pub(super) struct Accounting {
    peers: BTreeMap<Peer, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    read: u64,
}

impl Accounting {
    pub(super) fn check(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Emitted { peer, .. } => self.peers.entry(*peer).or_default().sent += 1,
            Observation::Received { peer, .. } => self.peers.entry(*peer).or_default().read += 1,
            Observation::Closed { peer, unread } => {
                let counts = self.peers.remove(peer).unwrap_or_default();
                if counts.sent != counts.read + unread {
                    let Counts { sent, read } = counts;
                    return Err(format!("p{} was sent {sent}, read {read} and left {unread}", peer.0));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
