//! Wakes a sleeping thread: an engine, or anything that can wait for an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes one receiver from any thread. Rings that arrive before it looks merge into one.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    /// An io_uring engine: other rings post to `ring`, foreign threads write to `eventfd`.
    Ring { ring: OwnedFd, eventfd: OwnedFd },
    /// An epoll engine, or a thread that reads the eventfd itself.
    Eventfd(OwnedFd),
    /// A simulated engine looks at the flag when it polls.
    Flag(AtomicBool),
}

impl Doorbell {
    /// A doorbell on an eventfd of its own, for a thread without an engine: it waits until `as_fd` is
    /// readable and calls [`Doorbell::answer`].
    pub fn eventfd() -> io::Result<Doorbell> {
        Ok(Doorbell(Arc::new(Kind::Eventfd(new_eventfd()?))))
    }

    /// A doorbell of a ring; `ring` is a duplicate of its descriptor.
    pub(crate) fn of_ring(ring: OwnedFd) -> io::Result<Doorbell> {
        Ok(Doorbell(Arc::new(Kind::Ring { ring, eventfd: new_eventfd()? })))
    }

    pub(crate) fn of_simulation() -> Doorbell {
        Doorbell(Arc::new(Kind::Flag(AtomicBool::new(false))))
    }

    /// Rings, from any thread. Never blocks.
    pub fn ring(&self) {
        match &*self.0 {
            Kind::Ring { eventfd, .. } | Kind::Eventfd(eventfd) => write_one(eventfd),
            Kind::Flag(rung) => rung.store(true, Ordering::Release),
        }
    }

    /// Takes back all rings so far; tells whether there were any. Never blocks.
    pub fn answer(&self) -> bool {
        match &*self.0 {
            Kind::Ring { eventfd, .. } | Kind::Eventfd(eventfd) => {
                rustix::io::read(eventfd, &mut [0_u8; 8]).is_ok()
            }
            Kind::Flag(rung) => rung.swap(false, Ordering::AcqRel),
        }
    }

    /// Whether a simulated engine's bell was rung and not answered.
    pub(crate) fn is_rung(&self) -> bool {
        matches!(&*self.0, Kind::Flag(rung) if rung.load(Ordering::Acquire))
    }

    /// The eventfd to wait for, `None` for a simulated engine.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &*self.0 {
            Kind::Ring { eventfd, .. } | Kind::Eventfd(eventfd) => Some(eventfd.as_fd()),
            Kind::Flag(_) => None,
        }
    }

    /// Where a ring can post a message, if the receiver is a ring.
    pub(crate) fn ring_fd(&self) -> Option<BorrowedFd<'_>> {
        match &*self.0 {
            Kind::Ring { ring, .. } => Some(ring.as_fd()),
            Kind::Eventfd(_) | Kind::Flag(_) => None,
        }
    }

    pub(crate) fn is_same(&self, other: &Doorbell) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn new_eventfd() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Fails only when the counter is full, and then the receiver is woken anyway.
fn write_one(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_merge_until_answered() {
        for doorbell in [Doorbell::eventfd().unwrap(), Doorbell::of_simulation()] {
            assert!(!doorbell.answer());
            let other = doorbell.clone();
            std::thread::spawn(move || (0..3).for_each(|_| other.ring())).join().unwrap();
            assert!(doorbell.answer());
            assert!(!doorbell.answer());
        }
    }
}
