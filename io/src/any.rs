//! The engine chosen at run time.

use std::os::fd::OwnedFd;

use crate::buffer::Outgoing;
use crate::doorbell::Doorbell;
use crate::engine::{Engine, EngineCounters};
use crate::epoll::Epoll;
use crate::event::{AdoptError, Close, ConnectionId, EngineFault, Event, ListenerId, Monotonic};
use crate::event::{PeerAddress, Wait};
use crate::lease::BufferLease;
use crate::uring::Ring;

/// One of the kernel engines. Each call costs one predictable branch; a worker that wants none is
/// generic over [`Engine`] and matches once.
pub enum AnyEngine {
    /// The io_uring engine.
    IoUring(Box<Ring>),
    /// The epoll engine.
    Epoll(Box<Epoll>),
}

macro_rules! either {
    ($self:ident, $engine:ident => $call:expr) => {
        match $self {
            AnyEngine::IoUring($engine) => $call,
            AnyEngine::Epoll($engine) => $call,
        }
    };
}

impl Engine for AnyEngine {
    fn now(&self) -> Monotonic {
        either!(self, engine => engine.now())
    }

    fn poll(&mut self, events: &mut Vec<Event>, wait: Wait) -> Result<(), EngineFault> {
        either!(self, engine => engine.poll(events, wait))
    }

    fn bytes(&self, lease: &BufferLease) -> &[u8] {
        either!(self, engine => engine.bytes(lease))
    }

    fn release(&mut self, lease: BufferLease) {
        either!(self, engine => engine.release(lease))
    }

    fn send(&mut self, connection: ConnectionId, data: Outgoing) {
        either!(self, engine => engine.send(connection, data))
    }

    fn pause_receive(&mut self, connection: ConnectionId) {
        either!(self, engine => engine.pause_receive(connection))
    }

    fn resume_receive(&mut self, connection: ConnectionId) {
        either!(self, engine => engine.resume_receive(connection))
    }

    fn close(&mut self, connection: ConnectionId, how: Close) {
        either!(self, engine => engine.close(connection, how))
    }

    fn listen(&mut self, socket: OwnedFd) -> ListenerId {
        either!(self, engine => engine.listen(socket))
    }

    fn stop_listening(&mut self, listener: ListenerId) {
        either!(self, engine => engine.stop_listening(listener))
    }

    fn adopt(&mut self, stream: OwnedFd) -> Result<ConnectionId, AdoptError> {
        either!(self, engine => engine.adopt(stream))
    }

    fn peer(&self, connection: ConnectionId) -> PeerAddress {
        either!(self, engine => engine.peer(connection))
    }

    fn descriptor(&self, connection: ConnectionId) -> Option<i32> {
        either!(self, engine => engine.descriptor(connection))
    }

    fn doorbell(&self) -> Doorbell {
        either!(self, engine => engine.doorbell())
    }

    fn ring(&mut self, other: &Doorbell) {
        either!(self, engine => engine.ring(other))
    }

    fn trim(&mut self) {
        either!(self, engine => engine.trim());
    }

    fn counters(&self) -> &EngineCounters {
        either!(self, engine => engine.counters())
    }
}
