//! The TLS sessions of a worker. Connections without TLS have no part in this, not even memory.

use std::collections::VecDeque;
use std::sync::Arc;

use crossring_router::address::SessionKey;
use rustls::ServerConfig;

use crate::thrift::{trim_buffer, trim_slots};
use crate::tls::{Established, Session};

/// Steps of handshakes made in one turn. A step takes a tenth of a millisecond, with an RSA key up to a whole one; the
/// sessions that are served by the same thread must not feel a flood of connections. With one step a turn they wait a third
/// as long as with four, and no fewer handshakes are made.
const HANDSHAKE_STEPS_PER_TURN: u32 = 1;

/// Sessions by slot.
#[derive(Default)]
pub(super) struct Secured {
    slots: Vec<Option<Box<Slot>>>,
    /// Connections whose handshakes have to wait for a later turn, in the order of arrival.
    waiting: VecDeque<SessionKey>,
    steps_left: u32,
    scratch: Vec<u8>,
    /// Data of the connection that octets were last received from.
    plain: Vec<u8>,
}

struct Slot {
    generation: u32,
    is_waiting: bool,
    session: Session,
}

/// What received octets have led to, beside data.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Received {
    /// Nothing.
    Nothing,
    /// Octets have to be sent.
    Pending,
    /// The peer sends nothing more.
    PeerClosed,
    /// The session is over; what the peer is told has to be sent.
    Failed,
}

impl Secured {
    /// Starts a session for a connection; `false` if that cannot be done.
    pub(super) fn open(&mut self, key: SessionKey, config: &Arc<ServerConfig>) -> bool {
        let index = key.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let session = Session::accept(config.clone());
        let session = session.inspect_err(|error| tracing::error!("TLS: {error}")).ok();
        self.slots[index] =
            session.map(|session| Box::new(Slot { generation: key.generation, is_waiting: false, session }));
        self.slots[index].is_some()
    }

    /// Forgets the session of a connection that is gone.
    pub(super) fn close(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            *slot = None;
        }
    }

    /// Gives back memory that is not needed any more.
    pub(super) fn trim(&mut self) {
        trim_slots(&mut self.slots, Option::is_some);
        trim_buffer(&mut self.scratch);
        trim_buffer(&mut self.plain);
    }

    /// The session of a connection.
    pub(super) fn session(&mut self, slot: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|slot| &mut slot.session)
    }

    /// Whether a session has records of its own to send.
    pub(super) fn has_pending(&mut self, slot: u32) -> bool {
        self.session(slot).is_some_and(|session| session.has_pending())
    }

    /// Takes what the handshake of a connection has settled, once.
    pub(super) fn take_established(&mut self, key: SessionKey) -> Option<Box<Established>> {
        self.session(key.slot)?.take_established()
    }

    /// Whether handshakes wait for the next turn.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A new turn: there is time for handshakes again.
    pub(super) fn begin_turn(&mut self) {
        self.steps_left = HANDSHAKE_STEPS_PER_TURN;
    }

    /// A connection whose handshake may go on now.
    pub(super) fn pop_waiting(&mut self) -> Option<SessionKey> {
        while self.steps_left > 0 {
            let key = self.waiting.pop_front()?;
            if let Some(Some(slot)) = self.slots.get_mut(key.slot as usize)
                && slot.generation == key.generation
            {
                slot.is_waiting = false;
                return Some(key);
            }
        }
        None
    }

    /// Takes octets of a connection. The data in them is in [`Secured::take_plain`].
    pub(super) fn receive(&mut self, key: SessionKey, octets: &[u8]) -> Received {
        self.plain.clear();
        let Some(Some(slot)) = self.slots.get_mut(key.slot as usize) else { return Received::Nothing };
        if slot.session.is_over() {
            return Received::Nothing;
        }
        let result = if slot.session.is_handshaking() && (slot.is_waiting || self.steps_left == 0) {
            if !std::mem::replace(&mut slot.is_waiting, true) {
                self.waiting.push_back(key);
            }
            slot.session.hold(octets)
        } else {
            if slot.session.is_handshaking() {
                self.steps_left -= 1;
            }
            slot.session.receive(octets, &mut self.scratch, &mut self.plain)
        };
        match result {
            Err(failure) => {
                tracing::debug!(slot = key.slot, "TLS: {failure}");
                Received::Failed
            }
            Ok(()) if slot.session.peer_has_closed() => Received::PeerClosed,
            Ok(()) if slot.session.has_pending() => Received::Pending,
            Ok(()) => Received::Nothing,
        }
    }

    /// The data last received; give it back with [`Secured::recycle`].
    pub(super) fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }

    /// Gives the buffer of data back.
    pub(super) fn recycle(&mut self, plain: Vec<u8>) {
        /// A buffer of usual size is kept.
        const PLAIN_KEPT_MAX: usize = 256 * 1024;
        if plain.capacity() <= PLAIN_KEPT_MAX {
            self.plain = plain;
            self.plain.clear();
        }
    }
}
