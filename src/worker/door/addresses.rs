//! Who is connected from where, and how fast addresses come back.

use std::collections::HashMap;
use std::net::IpAddr;

use crossring_router::limits::network;

use crate::thrift::{MOSTLY, trim_slots};

use super::{BURST_S, Pace, SECOND_NS};

/// Addresses that are remembered although nobody is connected from them any more. Protects the memory of the shard: an address
/// beyond is forgotten with its last connection, and may come back as fast as it likes within the limit of its listener.
const REMEMBERED_MAX: usize = 64 * 1024;

/// A listener and where its peer is: an address as far as it counts.
type Place = (u16, IpAddr);

#[derive(Copy, Clone, Debug, Default)]
struct Visits {
    connection_count: u32,
    pace: Pace,
}

/// What an address does too much of.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Excess {
    Connections,
    Rate,
}

/// The addresses of one shard, each per listener.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    visits: HashMap<Place, Visits>,
    /// By slot of the connection.
    places: Vec<Option<Place>>,
    /// When those that had become idle were swept out last, in nanoseconds.
    swept_ns: u64,
}

impl Addresses {
    /// A connection comes in, unless its address has too many or opens them too fast. 0 is no limit.
    pub(super) fn enter(
        &mut self,
        now_ns: u64,
        slot: u32,
        listener: u16,
        address: IpAddr,
        connections_max: u32,
        rate_max: u32,
    ) -> Result<(), Excess> {
        let place = (listener, network(address));
        let mut visits = self.visits.get(&place).copied().unwrap_or_default();
        if connections_max > 0 && visits.connection_count >= connections_max {
            return Err(Excess::Connections);
        }
        if !visits.pace.admits(now_ns, rate_max) {
            return Err(Excess::Rate);
        }
        visits.connection_count += 1;
        self.sweep_if_due(now_ns);
        self.visits.insert(place, visits);
        let slot = slot as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = Some(place);
        Ok(())
    }

    /// The connection in this slot is gone.
    pub(super) fn leave(&mut self, now_ns: u64, slot: u32) {
        let Some(place) = self.places.get_mut(slot as usize).and_then(Option::take) else { return };
        let Some(visits) = self.visits.get_mut(&place) else { return };
        visits.connection_count -= 1;
        let is_over = visits.connection_count == 0 && visits.pace.is_idle(now_ns);
        if is_over || (visits.connection_count == 0 && self.visits.len() > REMEMBERED_MAX) {
            self.visits.remove(&place);
        }
    }

    /// Gives back memory that is not needed any more.
    pub(super) fn trim(&mut self, now_ns: u64) {
        self.sweep(now_ns);
        trim_slots(&mut self.places, Option::is_some);
        if self.visits.capacity() > MOSTLY * self.visits.len() {
            self.visits.shrink_to(2 * self.visits.len());
        }
    }

    /// Forgets who is gone and has been away long enough: not often, so that it costs little however many come.
    fn sweep_if_due(&mut self, now_ns: u64) {
        const KEPT_MIN: usize = 1_024;
        const PERIOD_NS: u64 = BURST_S * SECOND_NS;
        if self.visits.len() >= KEPT_MIN && now_ns >= self.swept_ns + PERIOD_NS {
            self.sweep(now_ns);
        }
    }

    fn sweep(&mut self, now_ns: u64) {
        self.visits.retain(|_, visits| visits.connection_count > 0 || !visits.pace.is_idle(now_ns));
        self.swept_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let mut addresses = Addresses::default();
        let mut enter = |slot, at: &str| addresses.enter(0, slot, 0, address(at), 2, 0);
        assert_eq!((enter(0, "10.0.0.1"), enter(1, "::ffff:10.0.0.1")), (Ok(()), Ok(())));
        assert_eq!(enter(2, "10.0.0.1"), Err(Excess::Connections));
        assert_eq!(enter(2, "10.0.0.2"), Ok(()));
        assert_eq!(addresses.enter(0, 3, 1, address("10.0.0.1"), 2, 0), Ok(()), "another listener");
        addresses.leave(0, 1);
        addresses.leave(0, 1);
        assert_eq!(addresses.enter(0, 4, 0, address("10.0.0.1"), 2, 0), Ok(()));
        assert_eq!(addresses.enter(0, 5, 0, address("10.0.0.1"), 2, 0), Err(Excess::Connections));
    }

    #[test]
    fn ipv6_counts_by_its_first_64_bits() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.enter(0, 0, 0, address("2001:db8::1"), 1, 0), Ok(()));
        assert_eq!(addresses.enter(0, 1, 0, address("2001:db8::2:1"), 1, 0), Err(Excess::Connections));
        assert_eq!(addresses.enter(0, 1, 0, address("2001:db8:0:1::1"), 1, 0), Ok(()));
    }

    #[test]
    fn an_address_that_comes_too_fast_has_to_wait() {
        let mut addresses = Addresses::default();
        let mut come = |now_ns| {
            let entered = addresses.enter(now_ns, 0, 0, address("10.0.0.1"), 0, 10);
            addresses.leave(now_ns, 0);
            entered
        };
        assert_eq!((0..100).filter(|_| come(0).is_ok()).count(), 50, "five seconds' worth");
        assert_eq!(come(SECOND_NS / 20), Err(Excess::Rate));
        assert_eq!((come(SECOND_NS / 10), come(SECOND_NS / 10)), (Ok(()), Err(Excess::Rate)));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut addresses = Addresses::default();
        let mut come = |now_ns, number: u32| {
            let at = IpAddr::from(number.to_be_bytes());
            assert_eq!(addresses.enter(now_ns, 0, 0, at, 1, 1), Ok(()));
            addresses.leave(now_ns, 0);
            addresses.visits.len()
        };
        assert!((0..200_000).all(|number| come(0, number) <= REMEMBERED_MAX + 1));
        // Who has been away long enough gives way.
        assert_eq!(come(60 * SECOND_NS, 0), 1);
    }

    #[test]
    fn nobody_has_to_come_for_those_who_are_gone_to_be_forgotten() {
        let mut addresses = Addresses::default();
        for number in 0..10_000_u32 {
            let at = IpAddr::from(number.to_be_bytes());
            assert_eq!(addresses.enter(0, number, 0, at, 1, 1), Ok(()));
        }
        (1..10_000).for_each(|slot| addresses.leave(0, slot));
        addresses.trim(SECOND_NS - 1);
        assert_eq!(addresses.visits.len(), 10_000, "they would come back too fast");
        addresses.trim(SECOND_NS);
        assert_eq!(addresses.visits.len(), 1, "who is still there");
        assert!(addresses.visits.capacity() < 100, "{}", addresses.visits.capacity());
    }
}
