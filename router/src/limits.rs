//! Every bound of the router core, each with what it protects.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bounds of one shard and of the registry. All counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// What a session may hold that came by a transport. The router's own sessions serve all others, and have
    /// [`SessionLimits::OWN`].
    pub session: SessionLimits,
    /// Octets of payload of calls kept for one callee because it may pass them on to another. Protects the callee's shard;
    /// calls beyond cannot be passed on.
    pub kept_octets_per_session_max: u32,
    /// Octets of payload of calls of one caller that wait for a free slot. Protects the caller's shard; calls beyond are
    /// refused as if too many waited.
    pub queued_octets_per_session_max: u32,
    /// Testaments one session may have. Protects the registry.
    pub testaments_per_session_max: u32,
    /// Octets of all testaments of one session.
    pub testament_octets_per_session_max: u32,
    /// Octets of what `wamp.session.modify_details` has added to one session.
    pub detail_octets_per_session_max: u32,
    /// Schemas defined on one realm.
    pub schemas_per_realm_max: u32,
    /// Octets of all schemas of one realm.
    pub schema_octets_per_realm_max: u32,
    /// Sessions of the node without transport at a time; further ones end when they lose theirs. Protects the memory for
    /// their events.
    pub parked_sessions_max: u32,
    /// Questions to authenticators and authorizers of one realm that may be open; further ones are answered with an error at once.
    pub inquiries_per_realm_max: u32,
    /// Sessions of web services and of their clients on the control shard.
    pub guests_max: u32,
    /// Keys of attempts to join that may be waiting to be derived from passwords; further attempts are denied. Protects the
    /// processors.
    pub derivations_max: u32,
    /// Messages one session may have waiting for the answer of its authorizer. A host that minds
    /// [`crate::outbox::Outbox::pause_input`] never gets there; sessions beyond are aborted.
    pub held_messages_per_session_max: u32,
    /// Octets of these messages, the one that is decided about aside.
    pub held_octets_per_session_max: u32,
    /// Calls of meta procedures one session may have waiting behind one that its authorizer is asked about; further ones are
    /// answered with an error. Protects the control shard, and leaves others their part of the invocations there.
    pub meta_calls_per_session_max: u32,
    /// Octets of payload of these calls.
    pub meta_call_octets_per_session_max: u32,
    /// Octets of decisions of its authorizer that a shard remembers for one role; beyond, it forgets them and asks anew.
    pub decision_octets_per_role_max: u32,
    /// Milliseconds until an authorizer that has not answered has failed.
    pub authorizer_timeout_ms: u32,
    /// Longest URI in octets.
    pub uri_size_max: u32,
    /// Milliseconds from the opening of a transport (or GOODBYE on it) to HELLO, and from HELLO to the end of
    /// authentication.
    pub join_timeout_ms: u32,
    /// Milliseconds from CANCEL `kill` until the caller is answered without its callee.
    pub kill_timeout_ms: u32,
    /// Milliseconds from our GOODBYE to the peer's.
    pub goodbye_timeout_ms: u32,
    /// Milliseconds between two reports of a session's traffic at least, first and last aside. Protects everybody: reports are
    /// themselves messages to sessions that are counted, and could beget each other without end.
    pub statistics_pause_ms: u32,
    /// Request ids must be 1, 2, 3, … (`true`) or only fresh (`false`: old clients use random ones).
    pub strict_request_ids: bool,
    /// How many attempts to join may fail. Protects secrets from being guessed.
    pub failures: FailureLimits,
}

/// What one session may hold and send.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SessionLimits {
    /// Subscriptions held. Protects the tables of all shards (each holds a replica).
    pub subscriptions_max: u32,
    /// Registrations held. Protects the tables of all shards.
    pub registrations_max: u32,
    /// Calls outstanding as their caller. Protects the caller's shard.
    pub calls_max: u32,
    /// Invocations outstanding as their callee. Protects the callee's shard.
    pub invocations_max: u32,
    /// SUBSCRIBE and REGISTER requests under way. Protects the control lane.
    pub requests_max: u32,
    /// Octets of payload of one message. Protects receivers; a transport may take less.
    pub payload_octets_max: u32,
}

/// How many attempts to join may fail before further ones are refused unseen for a while, a while that doubles with each
/// further failure. Half of what was counted is forgiven with each window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailureLimits {
    /// Failures of one address with one authid. 0: no limit.
    pub pair_max: u32,
    /// Failures of one address, whatever the authid; not for authids that have joined from there. 0: no limit.
    pub address_max: u32,
    /// Failures of one authid, whatever the address; not for addresses from which it has joined. 0: no limit.
    pub authid_max: u32,
    /// Milliseconds of a window.
    pub window_ms: u32,
    /// Milliseconds of the first wait.
    pub delay_ms: u32,
    /// Milliseconds of the longest wait.
    pub delay_ms_max: u32,
    /// Milliseconds of the longest wait of an authid whatever its address.
    pub authid_delay_ms_max: u32,
    /// Networks whose peers are limited by authid only: each an address and the number of its leading bits that count. By
    /// default this host: a proxy may stand between it and its clients.
    pub exempt: Vec<(IpAddr, u8)>,
}

impl SessionLimits {
    /// Of the router's own sessions, whatever is configured for others.
    pub const OWN: Self = Self {
        subscriptions_max: 64 * 1024,
        registrations_max: 64 * 1024,
        calls_max: 64 * 1024,
        invocations_max: 64 * 1024,
        requests_max: 4 * 1024,
        payload_octets_max: u32::MAX,
    };
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self::OWN
    }
}

impl FailureLimits {
    /// Whether an address is in one of the exempt networks.
    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        is_within(&self.exempt, address)
    }
}

/// Whether an address is in one of the networks, each an address and the number of its leading bits that count.
pub fn is_within(networks: &[(IpAddr, u8)], address: IpAddr) -> bool {
    networks.iter().any(|(network, bits)| match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(*bits)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(*bits)
        }
        _ => false,
    })
}

/// Leading bits of an IPv6 address that count: what one customer of a provider gets.
const IPV6_PREFIX: u32 = 64;

/// What counts as one address: IPv6 addresses that begin with the same 64 bits are one client's.
pub fn network(address: IpAddr) -> IpAddr {
    const MASK: u128 = u128::MAX << (128 - IPV6_PREFIX);
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & MASK).into(),
    }
}

/// This host.
pub fn loopback() -> Vec<(IpAddr, u8)> {
    vec![(Ipv4Addr::new(127, 0, 0, 0).into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)]
}

impl Default for FailureLimits {
    fn default() -> Self {
        Self {
            pair_max: 5,
            address_max: 500,
            authid_max: 500,
            window_ms: 3_600_000,
            delay_ms: 1_000,
            delay_ms_max: 300_000,
            authid_delay_ms_max: 10_000,
            exempt: loopback(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session: SessionLimits::default(),
            kept_octets_per_session_max: 16 << 20,
            queued_octets_per_session_max: 32 << 20,
            testaments_per_session_max: 100,
            testament_octets_per_session_max: 64 * 1024,
            detail_octets_per_session_max: 16 * 1024,
            schemas_per_realm_max: 10_000,
            schema_octets_per_realm_max: 4 * 1024 * 1024,
            parked_sessions_max: 10_000,
            inquiries_per_realm_max: 16 * 1024,
            guests_max: 16 * 1024,
            derivations_max: 1_024,
            held_messages_per_session_max: 1_024,
            held_octets_per_session_max: 24 << 20,
            meta_calls_per_session_max: 1_024,
            meta_call_octets_per_session_max: 4 << 20,
            decision_octets_per_role_max: 4 << 20,
            authorizer_timeout_ms: 10_000,
            uri_size_max: 2 * 1024,
            join_timeout_ms: 10_000,
            kill_timeout_ms: 60_000,
            goodbye_timeout_ms: 5_000,
            statistics_pause_ms: 1_000,
            strict_request_ids: false,
            failures: FailureLimits::default(),
        }
    }
}

/// Publications to be retained that a shard remembers while snapshots are under way; the oldest give way, and are counted.
pub(crate) const RECENT_PUBLICATIONS_MAX: usize = 1_024;

/// Octets of payload of these.
pub(crate) const RECENT_OCTETS_MAX: usize = 16 << 20;

/// Members of a subscription that a shard remembers as having had a publication of another shard by a snapshot, until the next
/// publication of that shard; beyond, the oldest may get one twice.
pub(crate) const SNAPSHOT_MARKS_MAX: usize = 4_096;

/// ERROR of a request that would exceed a limit of its session or of the router.
pub const LIMIT_EXCEEDED: &str = "crossring.error.limit_exceeded";

/// Messages of a session that wait for its authorizer before the host is asked to read no more of them.
pub(crate) const HELD_MESSAGES_PAUSE: usize = 8;

/// Octets of these.
pub(crate) const HELD_OCTETS_PAUSE: usize = 64 << 10;

/// How often an authorizer is asked about one message, because what it said had become void before it was heard.
pub(crate) const AUTHORIZER_QUESTIONS_MAX: u8 = 4;
