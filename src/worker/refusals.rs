//! What peers are refused for: counted by reason, told once a period.

use std::net::IpAddr;

use crossring_codec::error::{DecodeError, Fault};
use crossring_io::Monotonic;
use crossring_router::counters::Counters;
use rustix::io::Errno;

/// Nanoseconds between two lines of the log.
const PERIOD_NS: u64 = 10_000_000_000;

/// Why a peer was turned away, was cut off, or did not get what it asked for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// So many others have not joined yet.
    Unjoined,
    /// Its listener has as many connections as it may.
    ListenerFull,
    /// Its address has as many connections as it may.
    AddressFull,
    /// Its listener gets new connections too fast.
    ListenerRate,
    /// Its address opens connections too fast.
    AddressRate,
    /// Its opening handshake, with that of TLS, took too long.
    HandshakeTimeout,
    /// It did not join in time.
    JoinTimeout,
    /// It did not answer a ping.
    Silence,
    /// It sent too much before it had joined.
    UnjoinedOctets,
    /// Its message, frame or HTTP head was too long.
    Size,
    /// Its message inflated to too much.
    Inflation,
    /// It broke the rules of TLS.
    Tls,
    /// It speaks MQTT.
    Mqtt,
    /// It broke the rules of its transport in another way.
    Transport,
    /// It sent what is no WAMP message, or none that may come.
    Message,
    /// Lists and dicts of its message were nested too deep.
    Nesting,
    /// Its session has as many subscriptions as it may.
    Subscriptions,
    /// Its session has as many registrations as it may.
    Registrations,
    /// Its session has as many calls pending as it may.
    Calls,
    /// Its payload was longer than sessions may send.
    Payload,
    /// The kernel could not hand out its connection. It waits for the next try.
    Unaccepted,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Refusal; 21] = [
        Refusal::Unjoined,
        Refusal::ListenerFull,
        Refusal::AddressFull,
        Refusal::ListenerRate,
        Refusal::AddressRate,
        Refusal::HandshakeTimeout,
        Refusal::JoinTimeout,
        Refusal::Silence,
        Refusal::UnjoinedOctets,
        Refusal::Size,
        Refusal::Inflation,
        Refusal::Tls,
        Refusal::Mqtt,
        Refusal::Transport,
        Refusal::Message,
        Refusal::Nesting,
        Refusal::Subscriptions,
        Refusal::Registrations,
        Refusal::Calls,
        Refusal::Payload,
        Refusal::Unaccepted,
    ];

    /// As what a message that is none is counted.
    pub(crate) fn of_message(error: &DecodeError) -> Refusal {
        if error.fault == Fault::TooDeep { Refusal::Nesting } else { Refusal::Message }
    }

    /// What the log says.
    pub const fn text(self) -> &'static str {
        match self {
            Refusal::Unjoined => "others have not joined yet",
            Refusal::ListenerFull => "too many connections of the transport",
            Refusal::AddressFull => "too many connections from one address",
            Refusal::ListenerRate => "new connections of the transport come too fast",
            Refusal::AddressRate => "new connections from one address come too fast",
            Refusal::HandshakeTimeout => "handshake not in time",
            Refusal::JoinTimeout => "not joined in time",
            Refusal::Silence => "no answer to a ping",
            Refusal::UnjoinedOctets => "too much sent before joining",
            Refusal::Size => "message too long",
            Refusal::Inflation => "message inflates to too much",
            Refusal::Tls => "not TLS as it must be",
            Refusal::Mqtt => "a client speaks MQTT, which is not supported",
            Refusal::Transport => "not the transport as it must be",
            Refusal::Message => "not a WAMP message, or none that may come",
            Refusal::Nesting => "message nested too deep",
            Refusal::Subscriptions => "too many subscriptions of a session",
            Refusal::Registrations => "too many registrations of a session",
            Refusal::Calls => "too many pending calls of a session",
            Refusal::Payload => "payload too long",
            Refusal::Unaccepted => "could not be accepted",
        }
    }
}

const _: () = assert!(Refusal::ALL.len() == Refusal::Unaccepted as usize + 1);

/// How often peers were refused, by reason, since the start.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct RefusalCounts([u64; Refusal::ALL.len()]);

impl RefusalCounts {
    /// How often for this reason.
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize]
    }

    /// How often for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that there were since `before`, with how often: `3 × handshake not in time, …`.
    fn text_since(&self, before: &RefusalCounts) -> String {
        let reasons =
            Refusal::ALL.into_iter().map(|refusal| (refusal, self.of(refusal) - before.of(refusal)));
        let texts = reasons.filter(|(_, count)| *count > 0);
        texts.map(|(refusal, count)| format!("{count} × {}", refusal.text())).collect::<Vec<_>>().join(", ")
    }
}

/// Counts, and knows which line of the log is due: the first at once, then at most one in a period, so that an attack cannot
/// fill the log.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: RefusalCounts,
    told: RefusalCounts,
    last_line: Option<Monotonic>,
    last_address: Option<IpAddr>,
    last_error: Option<Errno>,
}

impl Refusals {
    /// Counts one.
    pub(crate) fn add(&mut self, refusal: Refusal) {
        self.counts.0[refusal as usize] += 1;
    }

    /// Counts one of a peer at this address.
    pub(crate) fn add_of(&mut self, refusal: Refusal, address: Option<IpAddr>) {
        self.add(refusal);
        self.last_address = address.or(self.last_address);
    }

    /// Counts a connection that could not be accepted, for this reason of the kernel.
    pub(crate) fn add_unaccepted(&mut self, errno: i32) {
        self.add(Refusal::Unaccepted);
        self.last_error = Some(Errno::from_raw_os_error(errno));
    }

    /// Takes over what the core counts.
    pub(crate) fn take_over(&mut self, core: &Counters) {
        for (refusal, count) in [
            (Refusal::Subscriptions, core.subscriptions_refused),
            (Refusal::Registrations, core.registrations_refused),
            (Refusal::Calls, core.calls_refused),
            (Refusal::Payload, core.payloads_refused),
        ] {
            self.counts.0[refusal as usize] = count;
        }
    }

    pub(crate) fn counts(&self) -> RefusalCounts {
        self.counts
    }

    /// When the next line is due.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        (self.counts != self.told)
            .then(|| self.last_line.map_or(Monotonic::ZERO, |last| last.after_ns(PERIOD_NS)))
    }

    /// The line that is due, if any.
    pub(crate) fn line(&mut self, now: Monotonic) -> Option<String> {
        if self.deadline()? > now {
            return None;
        }
        self.last_line = Some(now);
        let told = std::mem::replace(&mut self.told, self.counts);
        let mut text = self.counts.text_since(&told);
        if let Some(address) = self.last_address.take() {
            text.push_str(&format!("; the last known address is {address}"));
        }
        if let Some(error) = self.last_error.take() {
            text.push_str(&format!("; accept: {error}{}", advice(error)));
        }
        Some(text)
    }

    /// All there were since the start; none if there were none.
    pub(crate) fn summary(&self) -> Option<String> {
        (self.counts.total() > 0).then(|| self.counts.text_since(&RefusalCounts::default()))
    }
}

/// What helps against a reason of the kernel.
fn advice(error: Errno) -> &'static str {
    match error {
        Errno::MFILE => {
            ". Raise LimitNOFILE of the service, or `ulimit -Hn`; or lower max_connections of the transports"
        }
        Errno::NFILE => ". Raise the kernel's fs.file-max",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_per_period() {
        let mut refusals = Refusals::default();
        assert_eq!((refusals.deadline(), refusals.line(Monotonic(5))), (None, None));
        refusals.add_of(Refusal::AddressFull, "10.0.0.1".parse().ok());
        let line = refusals.line(Monotonic(5)).expect("the first is told at once");
        assert_eq!(line, "1 × too many connections from one address; the last known address is 10.0.0.1");
        (0..1_000).for_each(|_| refusals.add(Refusal::AddressFull));
        (0..3).for_each(|_| refusals.add(Refusal::Tls));
        assert_eq!(refusals.line(Monotonic(6)), None);
        assert_eq!(refusals.deadline(), Some(Monotonic(5 + PERIOD_NS)));
        let line = refusals.line(Monotonic(5 + PERIOD_NS)).expect("a period later");
        assert_eq!(line, "1000 × too many connections from one address, 3 × not TLS as it must be");
        assert_eq!(refusals.deadline(), None);
        assert!(refusals.summary().is_some_and(|text| text.starts_with("1001 × ")));
        assert_eq!((refusals.counts().of(Refusal::Tls), refusals.counts().total()), (3, 1_004));
    }

    #[test]
    fn who_has_no_descriptor_left_is_told_what_helps_and_not_per_connection() {
        let mut refusals = Refusals::default();
        refusals.add_unaccepted(Errno::MFILE.raw_os_error());
        let line = refusals.line(Monotonic(5)).expect("the first is told at once");
        assert!(line.starts_with("1 × could not be accepted; accept: "), "{line}");
        assert!(line.contains("LimitNOFILE") && line.contains("max_connections"), "{line}");
        (0..1_000).for_each(|_| refusals.add_unaccepted(Errno::NOMEM.raw_os_error()));
        assert_eq!(refusals.line(Monotonic(6)), None);
        let line = refusals.line(Monotonic(5 + PERIOD_NS)).expect("a period later");
        assert!(line.starts_with("1000 × could not be accepted; accept: "), "{line}");
        assert!(!line.contains("LimitNOFILE"), "{line}");
    }

    #[test]
    fn reasons_have_the_numbers_of_their_places() {
        let numbers = Refusal::ALL.map(|refusal| refusal as usize);
        assert!(numbers.into_iter().enumerate().all(|(index, number)| index == number));
    }
}
