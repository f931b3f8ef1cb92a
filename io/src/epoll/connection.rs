//! One connection of the epoll engine.

use std::os::fd::OwnedFd;

use crate::buffer::Outgoing;
use crate::event::CloseReason;

pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) life: Life,
    /// Whether the worker wants bytes.
    pub(super) receive_wanted: bool,
    /// Whether the peer ended its side.
    pub(super) at_end: bool,
    /// Whether the kernel may have bytes: true from the edge until a read finds none.
    pub(super) readable: bool,
    /// Whether the stream's end was announced; then a short read says nothing.
    pub(super) ending: bool,
    /// Whether it stands in the queue of readable connections.
    pub(super) queued: bool,
    /// Whether the kernel takes no bytes until it says so.
    pub(super) blocked: bool,
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

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket,
            life: Life::Open,
            receive_wanted: true,
            at_end: false,
            readable: false,
            ending: false,
            queued: false,
            blocked: false,
            reason: CloseReason::Local,
            sending: None,
            sent: 0,
            send_total: 0,
        }
    }
}

const _: () = assert!(size_of::<Connection>() <= 96);
