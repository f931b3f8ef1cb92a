//! Turns new connections away while there are too many of their kind, before they cost anything.
//!
//! Each shard counts for itself and has a share of what the configuration allows: nothing is shared between shards.

mod addresses;

use std::net::IpAddr;

use crossring_io::Monotonic;
use crossring_router::limits::is_within;

use super::refusals::{Refusal, Refusals};
use addresses::{Addresses, Excess};

/// How many connections a listener takes, of one shard. 0 is no limit, but for `connections_max`.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Connections at once.
    pub connections_max: u32,
    /// Connections at once of one address.
    pub connections_per_address_max: u32,
    /// New connections in a second; [`BURST_S`] times as many at once.
    pub rate_max: u32,
    /// The same for one address.
    pub rate_per_address_max: u32,
    /// Networks whose addresses have no limits of their own.
    pub exempt: Vec<(IpAddr, u8)>,
    /// Milliseconds for the opening handshake, that of TLS included, where the protocol has no time of its own.
    pub handshake_timeout_ms: u32,
}

/// Seconds' worth of new connections that may come at once: a fleet that returns.
pub const BURST_S: u64 = 5;

const SECOND_NS: u64 = 1_000_000_000;

/// A connection that may come in.
pub(super) struct Arrival {
    pub(super) slot: u32,
    pub(super) listener: u16,
    /// Connections of the shard without a session.
    pub(super) unjoined: u32,
}

/// The door of one shard.
#[derive(Debug)]
pub(super) struct Door {
    unjoined_max: u32,
    paces: Vec<Pace>,
    addresses: Addresses,
    pub(super) refusals: Refusals,
}

impl Door {
    /// Lets so many connections be without a session at once.
    pub(super) fn new(unjoined_max: u32) -> Self {
        Self {
            unjoined_max,
            paces: Vec::new(),
            addresses: Addresses::default(),
            refusals: Refusals::default(),
        }
    }

    /// Whether a connection may come in; one that may not is counted. `address` is asked for only when it matters.
    pub(super) fn admits(
        &mut self,
        now: Monotonic,
        arrival: &Arrival,
        limits: &ListenerLimits,
        address: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        if arrival.unjoined >= self.unjoined_max {
            self.refusals.add(Refusal::Unjoined);
            return false;
        }
        let pace = self.pace(arrival.listener);
        if !pace.clone().admits(now.0, limits.rate_max) {
            self.refusals.add(Refusal::ListenerRate);
            return false;
        }
        if !self.admits_address(now, arrival, limits, address) {
            return false;
        }
        // Only who comes in uses up what the listener has for all.
        self.pace(arrival.listener).admits(now.0, limits.rate_max)
    }

    /// An admitted connection is gone.
    pub(super) fn left(&mut self, now: Monotonic, slot: u32) {
        self.addresses.leave(now.0, slot);
    }

    /// Gives back memory that is not needed any more.
    pub(super) fn trim(&mut self, now: Monotonic) {
        self.addresses.trim(now.0);
    }

    fn pace(&mut self, listener: u16) -> &mut Pace {
        let index = usize::from(listener);
        if self.paces.len() <= index {
            self.paces.resize(index + 1, Pace::default());
        }
        &mut self.paces[index]
    }

    fn admits_address(
        &mut self,
        now: Monotonic,
        arrival: &Arrival,
        limits: &ListenerLimits,
        address: impl FnOnce() -> Option<IpAddr>,
    ) -> bool {
        let (connections_max, rate_max) = (limits.connections_per_address_max, limits.rate_per_address_max);
        if connections_max == 0 && rate_max == 0 {
            return true;
        }
        // A Unix socket has no address.
        let Some(address) = address().filter(|address| !is_within(&limits.exempt, *address)) else {
            return true;
        };
        let Arrival { slot, listener, .. } = *arrival;
        let entered = self.addresses.enter(now.0, slot, listener, address, connections_max, rate_max);
        let refusal = match entered {
            Ok(()) => return true,
            Err(Excess::Connections) => Refusal::AddressFull,
            Err(Excess::Rate) => Refusal::AddressRate,
        };
        self.refusals.add_of(refusal, Some(address));
        false
    }
}

/// How fast something may come: at a rate, and after a pause [`BURST_S`] seconds' worth at once.
#[derive(Copy, Clone, Debug, Default)]
struct Pace {
    /// When everything that came so far would have come at the rate, in nanoseconds.
    due_ns: u64,
}

impl Pace {
    /// Whether one more may come now; it is counted. A rate of 0 is none.
    fn admits(&mut self, now_ns: u64, rate_max: u32) -> bool {
        let Some(one_ns) = SECOND_NS.checked_div(rate_max.into()) else { return true };
        let due_ns = self.due_ns.max(now_ns) + one_ns;
        let may = due_ns - now_ns <= BURST_S * SECOND_NS;
        if may {
            self.due_ns = due_ns;
        }
        may
    }

    /// Whether nothing of what came is remembered any more.
    fn is_idle(self, now_ns: u64) -> bool {
        self.due_ns <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ListenerLimits = ListenerLimits {
        connections_max: 10,
        connections_per_address_max: 0,
        rate_max: 0,
        rate_per_address_max: 0,
        exempt: Vec::new(),
        handshake_timeout_ms: 1,
    };

    fn arrival(slot: u32, unjoined: u32) -> Arrival {
        Arrival { slot, listener: 1, unjoined }
    }

    fn at(text: &str) -> impl FnOnce() -> Option<IpAddr> {
        let address = text.parse().ok();
        move || address
    }

    #[test]
    fn the_newest_are_turned_away() {
        let mut door = Door::new(2);
        let never = || panic!("nobody needs the address");
        for (unjoined, may) in [(0, true), (1, true), (2, false), (3, false), (1, true)] {
            assert_eq!(door.admits(Monotonic(0), &arrival(0, unjoined), &LIMITS, never), may);
        }
        assert_eq!(door.refusals.counts().of(Refusal::Unjoined), 2);
    }

    #[test]
    fn a_listener_that_gets_too_many_at_once_refuses_them_whoever_they_are() {
        let mut door = Door::new(100);
        let limits = ListenerLimits { rate_max: 2, ..LIMITS };
        let admitted = (0..100).filter(|_| door.admits(Monotonic(0), &arrival(0, 0), &limits, || None));
        assert_eq!(admitted.count() as u64, 2 * BURST_S);
        let other = Arrival { listener: 0, ..arrival(0, 0) };
        assert!(door.admits(Monotonic(0), &other, &limits, || None), "another listener");
        assert!(door.admits(Monotonic(500_000_000), &arrival(0, 0), &limits, || None));
        assert_eq!(door.refusals.counts().of(Refusal::ListenerRate), 90);
    }

    #[test]
    fn an_address_with_too_many_does_not_use_up_what_the_listener_has_for_all() {
        let mut door = Door::new(100);
        let limits = ListenerLimits { connections_per_address_max: 1, rate_max: 1, ..LIMITS };
        let now = Monotonic(0);
        let admitted = (0..100).filter(|slot| door.admits(now, &arrival(*slot, 0), &limits, at("10.0.0.1")));
        assert_eq!(admitted.count(), 1);
        assert_eq!(door.refusals.counts().of(Refusal::AddressFull), 99);
        assert!(door.admits(now, &arrival(1, 0), &limits, at("10.0.0.2")));
        door.left(now, 0);
        assert!(door.admits(now, &arrival(0, 0), &limits, at("10.0.0.1")));
    }

    #[test]
    fn exempt_addresses_have_no_limits_of_their_own() {
        let mut door = Door::new(100);
        let exempt = vec![("10.0.0.0".parse().expect("an address"), 8)];
        let limits = ListenerLimits { connections_per_address_max: 1, exempt, ..LIMITS };
        assert!((0..9).all(|slot| door.admits(Monotonic(0), &arrival(slot, 0), &limits, at("10.0.0.1"))));
        assert!((0..9).all(|slot| door.admits(Monotonic(0), &arrival(slot, 0), &limits, || None)));
    }
}
