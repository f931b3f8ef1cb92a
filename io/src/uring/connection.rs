//! One connection of a ring.

use std::os::fd::OwnedFd;

use super::gather::{GatherIndex, Gathers};
use crate::buffer::Outgoing;
use crate::event::CloseReason;

pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) life: Life,
    pub(super) receive: Receive,
    /// Whether the worker wants bytes.
    pub(super) receive_wanted: bool,
    /// Whether the peer ended its side.
    pub(super) at_end: bool,
    /// Whether a send is with the kernel; then `sending` is untouchable.
    pub(super) send_armed: bool,
    pub(super) reason: CloseReason,
    pub(super) gather: Option<GatherIndex>,
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
    /// Waiting for the last completion.
    Closing,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Receive {
    Idle,
    Armed,
    /// Armed, with a cancellation on its way.
    Cancelling,
    /// In the queue for a buffer.
    Starving,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket,
            life: Life::Open,
            receive: Receive::Idle,
            receive_wanted: true,
            at_end: false,
            send_armed: false,
            reason: CloseReason::Local,
            gather: None,
            sending: None,
            sent: 0,
            send_total: 0,
        }
    }

    /// Whether the kernel holds nothing of this connection.
    pub(super) fn is_idle(&self) -> bool {
        !self.send_armed && !matches!(self.receive, Receive::Armed | Receive::Cancelling)
    }

    /// Takes back what was being sent.
    pub(super) fn end_send(&mut self, gathers: &mut Gathers) -> Option<Outgoing> {
        assert!(!self.send_armed);
        if let Some(gather) = self.gather.take() {
            gathers.give(gather);
        }
        (self.sent, self.send_total) = (0, 0);
        self.sending.take()
    }
}

/// Engine state of an idle connection; with its table entry it stays far below 200 bytes.
const _: () = assert!(size_of::<Connection>() <= 96);
