//! How many there are, in all and of each address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use crossring_router::limits::network;

/// Counts those that are alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Rc<RefCell<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why there is no room for one more.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Full {
    /// There are too many.
    All,
    /// There are too many of its address.
    Address,
}

/// One that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    tally: Tally,
    /// None where addresses are not told apart.
    address: Option<IpAddr>,
}

impl Tally {
    /// Counts one more, unless there are `all_max`, or of its address, if it has one, `address_max`.
    pub(super) fn add(
        &self,
        address: Option<IpAddr>,
        all_max: usize,
        address_max: usize,
    ) -> Result<Counted, Full> {
        let address = address.map(network);
        let mut counts = self.0.borrow_mut();
        let of_address = address.map_or(0, |address| counts.by_address.get(&address).copied().unwrap_or(0));
        if counts.all >= all_max {
            return Err(Full::All);
        }
        if of_address >= address_max {
            return Err(Full::Address);
        }
        counts.all += 1;
        if let Some(address) = address {
            *counts.by_address.entry(address).or_default() += 1;
        }
        drop(counts);
        Ok(Counted { tally: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.tally.0.borrow_mut();
        counts.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let tally = Tally::default();
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        let first = tally.add(one, 3, 1).expect("room");
        assert_eq!(tally.add(one, 3, 1).err(), Some(Full::Address));
        let _second = tally.add(other, 3, 1).expect("room");
        let _third = tally.add(None, 3, 1).expect("room");
        assert_eq!(tally.add(None, 3, 1).err(), Some(Full::All));
        let neighbours =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(network(neighbours[0]), network(neighbours[1]));
        drop(first);
        assert!(tally.add(one, 3, 1).is_ok());
        assert!(!tally.0.borrow().by_address.contains_key(&one.expect("an address")));
    }
}
