//! Failed attempts to join, and who has to wait because of them.
//!
//! Only failures count: a wrong proof, whether or not somebody of that name exists, one that its sender does not wait for, and the *no* of an
//! authenticator. Three counts are kept, each with its own
//! limit: for an address together with an authid, for an address whatever the authid, and for an authid whatever the address.
//! Beyond a limit every further failure doubles the time in which attempts are refused unseen; half of a count is forgiven
//! with each window of time that passes.
//!
//! Nobody may lock out somebody else for long. An authid that has proved itself from an address waits only for failures of
//! that very pair, so what others do elsewhere, or behind the same address, does not touch it. And the wait for an authid
//! whatever the address is short. Peers on this host have no address here: a proxy may stand between them and their clients.
//!
//! Names are kept as digests that nobody outside can compute: a table takes the same room whatever peers send.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::uri::well_known;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Denial, Step};
use crate::config::Secret;
use crate::details::{Peer, TransportDetails};
use crate::lifecycle::NS_PER_MS;
use crate::limits::{FailureLimits, network};

/// Entries of one table. The one that was touched least recently gives way.
const ENTRIES_MAX: usize = 64 * 1024;

/// Who tries to join, as far as failures are concerned. What is absent is not limited.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Claimant {
    address: Option<IpAddr>,
    /// Digests.
    of_address: Option<u64>,
    of_authid: Option<u64>,
    of_pair: Option<u64>,
}

/// What has been denied since the last report.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct FailureReport {
    /// Attempts with a wrong proof.
    pub failed: u64,
    /// Attempts refused unseen because of earlier failures.
    pub refused: u64,
    /// Where the last of them came from; absent: this host.
    pub address: Option<IpAddr>,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct Failures {
    limits: FailureLimits,
    entropy: Secret,
    pairs: Recent<Count>,
    addresses: Recent<Count>,
    authids: Recent<Count>,
    /// Pairs that have joined.
    proved: Recent<()>,
    report: FailureReport,
}

impl Failures {
    /// Nobody has failed. `entropy`: what no peer knows.
    pub(crate) fn new(limits: FailureLimits, entropy: Secret) -> Self {
        Self {
            limits,
            entropy,
            pairs: Recent::default(),
            addresses: Recent::default(),
            authids: Recent::default(),
            proved: Recent::default(),
            report: FailureReport::default(),
        }
    }

    /// Who an attempt counts for.
    pub(crate) fn claimant(&self, transport: &TransportDetails, authid: Option<&str>) -> Claimant {
        let address = match transport.peer {
            Peer::Tcp(address, _) if !self.limits.is_exempt(address) => Some(network(address)),
            _ => None,
        };
        let digest = |address: Option<IpAddr>, authid: Option<&str>| self.digest(address, authid);
        Claimant {
            address,
            of_address: address.map(|address| digest(Some(address), None)),
            of_authid: authid.map(|authid| digest(None, Some(authid))),
            of_pair: address.zip(authid).map(|(address, authid)| digest(Some(address), Some(authid))),
        }
    }

    /// What follows from HELLO, given what would without earlier failures. Who joins without a proof is not limited; who is
    /// denied before it could show one has not guessed.
    pub(crate) fn after_hello(&mut self, now_ns: u64, claimant: &Claimant, step: Step) -> Step {
        match step {
            Step::Challenge(..) | Step::Ask(..) | Step::Derive(..) if self.refuses(now_ns, claimant) => {
                too_many()
            }
            step => step,
        }
    }

    /// What follows from a proof. `step` is not even taken if others have failed meanwhile: who tries many secrets at once
    /// learns no more than who tries one after the other.
    pub(crate) fn after_proof(
        &mut self,
        now_ns: u64,
        claimant: &Claimant,
        step: impl FnOnce() -> Step,
    ) -> Step {
        if self.refuses(now_ns, claimant) {
            return too_many();
        }
        let step = step();
        match &step {
            Step::Accept(_) => self.proved(now_ns, claimant),
            Step::Deny(denial) if denial.is_failure => self.failed(now_ns, claimant),
            _ => {}
        }
        step
    }

    /// Whether an attempt is refused unseen.
    fn refuses(&mut self, now_ns: u64, claimant: &Claimant) -> bool {
        let waits = |table: &Recent<Count>, key: Option<u64>| {
            key.and_then(|key| table.get(key)).is_some_and(|count| now_ns < count.until_ns)
        };
        let is_proved = claimant.of_pair.is_some_and(|pair| self.proved.get(pair).is_some());
        let others = waits(&self.addresses, claimant.of_address) || waits(&self.authids, claimant.of_authid);
        let refused = waits(&self.pairs, claimant.of_pair) || others && !is_proved;
        if refused {
            self.report.refused += 1;
            self.report.address = claimant.address;
        }
        refused
    }

    /// The proof was wrong.
    pub(crate) fn failed(&mut self, now_ns: u64, claimant: &Claimant) {
        self.report.failed += 1;
        self.report.address = claimant.address;
        let FailureLimits { pair_max, address_max, authid_max, delay_ms_max, authid_delay_ms_max, .. } =
            self.limits;
        let counts = [
            (&mut self.pairs, claimant.of_pair, pair_max, delay_ms_max),
            (&mut self.addresses, claimant.of_address, address_max, delay_ms_max),
            (&mut self.authids, claimant.of_authid, authid_max, authid_delay_ms_max),
        ];
        for (table, key, failures_max, delay_ms_max) in counts {
            let Some(key) = key.filter(|_| failures_max > 0) else { continue };
            let count = table.touch(now_ns, key);
            count.forgive(now_ns, self.limits.window_ms);
            count.failures = count.failures.saturating_add(1);
            if count.failures >= failures_max {
                let doublings = (count.failures - failures_max).min(31);
                let delay_ms = u64::from(self.limits.delay_ms) << doublings;
                count.until_ns = now_ns + delay_ms.min(u64::from(delay_ms_max)) * NS_PER_MS;
            }
        }
    }

    /// The proof was right.
    fn proved(&mut self, now_ns: u64, claimant: &Claimant) {
        if let Some(pair) = claimant.of_pair {
            self.pairs.remove(pair);
            self.proved.touch(now_ns, pair);
        }
    }

    /// What has been denied since this was last asked for; `None`: nothing.
    pub(crate) fn take_report(&mut self) -> Option<FailureReport> {
        let report = std::mem::take(&mut self.report);
        (report != FailureReport::default()).then_some(report)
    }

    fn digest(&self, address: Option<IpAddr>, authid: Option<&str>) -> u64 {
        let key = self.entropy.expose().as_bytes();
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length is a key");
        match address {
            Some(IpAddr::V4(address)) => mac.update(&[&[4][..], &address.octets()].concat()),
            Some(IpAddr::V6(address)) => mac.update(&[&[6][..], &address.octets()].concat()),
            None => mac.update(&[0]),
        }
        if let Some(authid) = authid {
            mac.update(&[1]);
            mac.update(authid.as_bytes());
        }
        mac.finalize().into_bytes().iter().take(8).fold(0, |digest, octet| digest << 8 | u64::from(*octet))
    }
}

/// The same whatever the failures were, and whether or not there is somebody of that name.
fn too_many() -> Step {
    let message = "too many failed attempts: try again later";
    Step::Deny(Denial::new(well_known::AUTHENTICATION_DENIED, message))
}

/// Failures of one sort.
#[derive(Debug, Default)]
struct Count {
    failures: u32,
    /// Up to here whole windows have been forgiven; 0: nothing has been counted yet.
    forgiven_ns: u64,
    /// Attempts are refused before.
    until_ns: u64,
}

impl Count {
    fn forgive(&mut self, now_ns: u64, window_ms: u32) {
        let window_ns = u64::from(window_ms).max(1) * NS_PER_MS;
        let windows = now_ns.saturating_sub(self.forgiven_ns) / window_ns;
        self.failures =
            u32::try_from(windows).ok().and_then(|halvings| self.failures.checked_shr(halvings)).unwrap_or(0);
        self.forgiven_ns = if self.failures == 0 { now_ns } else { self.forgiven_ns + windows * window_ns };
    }
}

/// A bounded table: the entry that was touched least recently gives way.
#[derive(Debug)]
struct Recent<V> {
    entries: BTreeMap<u64, (u64, V)>,
    /// By the time of the last touch.
    order: BTreeSet<(u64, u64)>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<V: Default> Recent<V> {
    fn get(&self, key: u64) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    /// The entry, made if there is none, as the one touched last.
    fn touch(&mut self, now_ns: u64, key: u64) -> &mut V {
        let former = self.entries.get(&key).map(|(touched_ns, _)| *touched_ns);
        match former {
            Some(touched_ns) => drop(self.order.remove(&(touched_ns, key))),
            None if self.entries.len() >= ENTRIES_MAX => self.drop_oldest(),
            None => {}
        }
        self.order.insert((now_ns, key));
        let (touched_ns, value) = self.entries.entry(key).or_default();
        *touched_ns = now_ns;
        value
    }

    fn remove(&mut self, key: u64) {
        if let Some((touched_ns, _)) = self.entries.remove(&key) {
            self.order.remove(&(touched_ns, key));
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000 * NS_PER_MS;

    fn failures() -> Failures {
        let limits = FailureLimits {
            pair_max: 3,
            address_max: 6,
            authid_max: 6,
            window_ms: 600_000,
            delay_ms: 1_000,
            delay_ms_max: 60_000,
            authid_delay_ms_max: 4_000,
            ..FailureLimits::default()
        };
        Failures::new(limits, Secret::new("entropy"))
    }

    fn peer(address: &str) -> TransportDetails {
        let peer = Peer::Tcp(address.parse().expect("an address"), 4000);
        TransportDetails { peer, ..TransportDetails::default() }
    }

    fn fail(failures: &mut Failures, now_ns: u64, address: &str, authid: &str, times: usize) -> Claimant {
        let claimant = failures.claimant(&peer(address), Some(authid));
        (0..times).for_each(|_| failures.failed(now_ns, &claimant));
        claimant
    }

    #[test]
    fn the_wait_doubles_with_each_failure_and_has_an_end() {
        let mut failures = failures();
        let joe = fail(&mut failures, 0, "10.0.0.1", "joe", 2);
        assert!(!failures.refuses(0, &joe));
        let mut now_ns = 0;
        for wait_s in [1, 2, 4, 8, 16, 32, 60, 60] {
            failures.failed(now_ns, &joe);
            assert!(failures.refuses(now_ns + wait_s * SECOND_NS - 1, &joe), "{wait_s}");
            now_ns += wait_s * SECOND_NS;
            assert!(!failures.refuses(now_ns, &joe), "{wait_s}");
        }
    }

    #[test]
    fn an_address_waits_for_all_its_authids_but_not_those_that_have_joined() {
        let mut failures = failures();
        let member = failures.claimant(&peer("10.0.0.1"), Some("member"));
        failures.proved(0, &member);
        for index in 0..6 {
            fail(&mut failures, 0, "10.0.0.1", &format!("guess{index}"), 1);
        }
        let stranger = failures.claimant(&peer("10.0.0.1"), Some("stranger"));
        let elsewhere = failures.claimant(&peer("10.0.0.2"), Some("stranger"));
        assert!(failures.refuses(1, &stranger));
        assert!(!failures.refuses(1, &member) && !failures.refuses(1, &elsewhere));
    }

    #[test]
    fn an_authid_is_never_locked_out_for_long_from_elsewhere() {
        let mut failures = failures();
        let home = failures.claimant(&peer("10.0.0.1"), Some("joe"));
        failures.proved(0, &home);
        for index in 0..200 {
            fail(&mut failures, 0, &format!("10.0.1.{index}"), "joe", 1);
        }
        assert!(!failures.refuses(1, &home), "it has joined from here");
        let hotel = failures.claimant(&peer("10.9.9.9"), Some("joe"));
        assert!(failures.refuses(1, &hotel));
        assert!(!failures.refuses(4 * SECOND_NS, &hotel), "the wait for an authid is short");
    }

    #[test]
    fn only_failures_count() {
        let mut failures = failures();
        for index in 0..1_000 {
            let device = failures.claimant(&peer("10.0.0.1"), Some(&format!("device{index}")));
            assert!(!failures.refuses(index, &device));
            failures.proved(index, &device);
        }
        assert_eq!(failures.take_report(), None);
    }

    #[test]
    fn a_success_forgives_the_pair_and_time_forgives_everything() {
        let mut failures = failures();
        let joe = fail(&mut failures, 0, "10.0.0.1", "joe", 2);
        failures.proved(0, &joe);
        fail(&mut failures, 0, "10.0.0.1", "joe", 2);
        assert!(!failures.refuses(0, &joe));
        // Two windows later a quarter of the four failures of the address is left: four more are allowed.
        let later_ns = 1_200 * SECOND_NS;
        for index in 0..4 {
            fail(&mut failures, later_ns, "10.0.0.1", &format!("guess{index}"), 1);
        }
        let stranger = failures.claimant(&peer("10.0.0.1"), Some("stranger"));
        assert!(!failures.refuses(later_ns, &stranger));
        fail(&mut failures, later_ns, "10.0.0.1", "guess", 1);
        assert!(failures.refuses(later_ns, &stranger));
    }

    #[test]
    fn peers_on_this_host_have_no_address() {
        let mut failures = failures();
        let unix = TransportDetails { peer: Peer::Unix, ..TransportDetails::default() };
        for details in [unix, peer("127.0.0.1"), peer("::1")] {
            let (joe, nobody) = (failures.claimant(&details, Some("joe")), failures.claimant(&details, None));
            assert_eq!((joe.of_address, joe.of_pair, nobody), (None, None, Claimant::default()));
        }
        let proxied = failures.claimant(&peer("127.0.0.1"), Some("joe"));
        (0..6).for_each(|_| failures.failed(0, &proxied));
        assert!(failures.refuses(1, &proxied), "the authid counts all the same");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let failures = failures();
        let claimant = |address: &str| failures.claimant(&peer(address), None);
        assert_eq!(claimant("2001:db8::1"), claimant("2001:db8::ffff:1"));
        assert_ne!(claimant("2001:db8::1"), claimant("2001:db8:0:1::1"));
    }

    #[test]
    fn what_was_denied_is_reported_once() {
        let mut failures = failures();
        let joe = fail(&mut failures, 0, "10.0.0.1", "joe", 3);
        assert!(failures.refuses(1, &joe));
        let report = FailureReport { failed: 3, refused: 1, address: "10.0.0.1".parse().ok() };
        assert_eq!(failures.take_report(), Some(report));
        assert_eq!(failures.take_report(), None);
    }

    #[test]
    fn tables_are_bounded_and_the_oldest_give_way() {
        let mut failures = failures();
        let first = fail(&mut failures, 0, "10.0.0.1", "joe", 3);
        for index in 1..=ENTRIES_MAX {
            let address = core::net::Ipv4Addr::from_bits(0x0b00_0000 + index as u32).to_string();
            fail(&mut failures, index as u64, &address, "other", 1);
        }
        assert_eq!((failures.pairs.entries.len(), failures.pairs.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert!(!failures.refuses(1, &first), "forgotten");
    }
}
