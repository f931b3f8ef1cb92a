//! One connection of a simulated engine: our end of a stream.

use super::network::{SimPeer, World};
use crate::buffer::Outgoing;
use crate::event::CloseReason;

pub(super) struct Link {
    pub(super) peer: SimPeer,
    pub(super) life: Life,
    pub(super) receive_wanted: bool,
    pub(super) reason: CloseReason,
    pub(super) sending: Option<Outgoing>,
    pub(super) sent: usize,
    pub(super) send_total: usize,
}

/// `Open` → (`Draining` → `Lingering` →) `Closing`.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Life {
    Open,
    /// Finishing the last send.
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
            reason: CloseReason::Local,
            sending: None,
            sent: 0,
            send_total: 0,
        }
    }

    pub(super) fn has_work(&self, world: &World, buffer_is_free: bool) -> bool {
        let receives = self.receive_wanted && buffer_is_free && world.has_input(self.peer);
        let sends = self.sending.is_some() && world.takes_output(self.peer);
        self.life == Life::Closing || receives || sends
    }
}
