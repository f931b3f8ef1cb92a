//! One connection of a simulated engine: our end of a stream.

use super::network::{SimPeer, World};
use crate::buffer::Outgoing;
use crate::event::CloseReason;

pub(super) struct Link {
    pub(super) peer: SimPeer,
    pub(super) life: Life,
    pub(super) receive_wanted: bool,
    /// Whether the peer ended its side.
    pub(super) at_end: bool,
    pub(super) reason: CloseReason,
    pub(super) sending: Option<Outgoing>,
    pub(super) sent: usize,
    pub(super) send_total: usize,
}

/// `Open` → (`Draining` → `Lingering` →) `Closing`.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Life {
    Open,
    /// Finishing the last send, because the worker closed or the peer ended its side.
    Draining,
    /// Discarding what the peer still sends.
    Lingering,
    /// To be told and forgotten.
    Closing,
}

impl Link {
    pub(super) fn new(peer: SimPeer) -> Link {
        Link {
            peer,
            life: Life::Open,
            receive_wanted: true,
            at_end: false,
            reason: CloseReason::Local,
            sending: None,
            sent: 0,
            send_total: 0,
        }
    }

    pub(super) fn has_work(&self, world: &World, buffer_is_free: bool) -> bool {
        let receives = self.receive_wanted && !self.at_end && buffer_is_free && world.has_input(self.peer);
        let sends = self.sending.is_some() && world.takes_output(self.peer);
        let ends = self.life == Life::Closing || (self.life == Life::Open && self.at_end);
        ends || receives || sends
    }
}
