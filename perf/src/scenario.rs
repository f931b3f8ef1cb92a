//! What is measured, and how a user names it: `fan-out-100-w64`, `mesh-8x8-w64`, `rpc-64`,
//! `rate-500x10`, `idle-5000`, `join-16`, `join-16-scram`, `burst-500x10-200`, `handshakes-500x10-16`, `flood-1000x10`,
//! `churn-20000`, `static-16`; `-1024b` appended sets the payload, or the size of the file.

use std::{fmt, str::FromStr};

use crate::{clock::STAMP_BYTES, identity::Method};

/// Payload used when a scenario does not name one.
pub const PAYLOAD_BYTES_DEFAULT: usize = 128;
/// Largest payload: 64 KiB, so that any frame fits twice into the smallest read buffer.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Largest file of a static server.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most publishes or calls in flight.
pub const WINDOW_MAX: u64 = 65_536;
/// Most connections of one scenario; both ends of each need a file descriptor on this machine.
pub const SESSIONS_MAX: usize = 100_000;

const _: () = assert!(PAYLOAD_BYTES_DEFAULT >= STAMP_BYTES);

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Who talks to whom.
    pub shape: Shape,
    /// Size of every payload, stamp included; of the file in [`Shape::Static`].
    pub payload_bytes: usize,
}

/// Who talks to whom, and at which pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `publishers` publish to one topic of `subscribers`; each keeps `window` publishes in
    /// flight, counted as the mean over the subscribers (closed loop).
    Broadcast {
        /// 1 is the fan-out, more is the mesh.
        publishers: usize,
        /// Receivers of every publish.
        subscribers: usize,
        /// Publishes in flight per publisher.
        window: u64,
    },
    /// One publisher, `per_second` publishes on a fixed schedule to `subscribers` (open loop).
    Rate {
        /// Publishes a second.
        per_second: u64,
        /// Receivers of every publish.
        subscribers: usize,
    },
    /// One caller keeps `outstanding` calls open to one callee that echoes.
    Rpc {
        /// Calls in flight.
        outstanding: u64,
    },
    /// Joined sessions that do nothing: memory per session.
    Idle {
        /// How many.
        sessions: usize,
        /// Whether each has one subscription, to a topic of its own.
        subscribed: bool,
    },
    /// Full connect, join, leave cycles by so many concurrent clients: cycles a second.
    Join {
        /// Clients at the same time.
        concurrency: usize,
        /// How they prove who they are.
        method: Method,
    },
    /// `joins` sessions that join by SCRAM at the same moment, beside `per_second` publishes to
    /// `subscribers`: the latency of those, beside the same load without.
    Burst {
        /// Publishes a second.
        per_second: u64,
        /// Receivers of every publish.
        subscribers: usize,
        /// Sessions that join.
        joins: usize,
    },
    /// `clients` that begin TLS handshakes, again and again, and leave as soon as the server has done its part; beside
    /// `per_second` publishes to `subscribers`: the latency of those, beside the same load without.
    Handshakes {
        /// Publishes a second.
        per_second: u64,
        /// Receivers of every publish.
        subscribers: usize,
        /// Handshakes at the same time.
        clients: usize,
    },
    /// So many connections that ask for one file, again and again, one request at a time each.
    Static {
        /// Connections.
        connections: usize,
    },
    /// A subscriber that never reads, beside `subscribers` that do, under `per_second` publishes:
    /// the others' latency and the server's memory, beside the same load without it.
    Flood {
        /// Publishes a second.
        per_second: u64,
        /// Subscribers that read.
        subscribers: usize,
    },
    /// So many connect, join, leave cycles, then memory and descriptors beside the start.
    Churn {
        /// Cycles.
        cycles: usize,
    },
}

impl Scenario {
    /// What the rate column counts.
    pub fn unit(&self) -> &'static str {
        match self.shape {
            Shape::Broadcast { .. }
            | Shape::Rate { .. }
            | Shape::Flood { .. }
            | Shape::Burst { .. }
            | Shape::Handshakes { .. } => "event",
            Shape::Static { .. } => "request",
            Shape::Rpc { .. } => "call",
            Shape::Idle { .. } => "session",
            Shape::Join { .. } | Shape::Churn { .. } => "cycle",
        }
    }

    /// How sessions that are neither publisher nor subscriber join.
    pub fn method(&self) -> Method {
        match self.shape {
            Shape::Join { method, .. } => method,
            Shape::Burst { .. } => Method::Scram,
            _ => Method::Anonymous,
        }
    }
}

/// Clients at the same time while churning.
pub const CHURN_CONCURRENCY: usize = 16;

/// The scenarios of a full comparison, in the order of the report.
pub const CANONICAL: &[&str] = &[
    "fan-out-1-w64",
    "fan-out-10-w64",
    "fan-out-100-w64",
    "fan-out-1000-w64",
    "fan-out-1-w1",
    "fan-out-10-w1",
    "fan-out-100-w1",
    "fan-out-1000-w1",
    "fan-out-10-w64-16b",
    "fan-out-10-w64-1024b",
    "fan-out-10-w8-16384b",
    "mesh-8x8-w16",
    "rpc-1",
    "rpc-64",
    "rate-500x10",
    "rate-100x100",
    "idle-5000",
    "join-16",
];

/// A few minutes' subset: one of each regime.
pub const QUICK: &[&str] =
    &["fan-out-1-w64", "fan-out-10-w64", "fan-out-100-w64", "fan-out-10-w1", "rpc-1", "rpc-64"];

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.fmt(f)?;
        match self.payload_bytes {
            PAYLOAD_BYTES_DEFAULT => Ok(()),
            bytes => write!(f, "-{bytes}b"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Shape::Broadcast { publishers: 1, subscribers, window } => {
                write!(f, "fan-out-{subscribers}-w{window}")
            }
            Shape::Broadcast { publishers, subscribers, window } => {
                write!(f, "mesh-{publishers}x{subscribers}-w{window}")
            }
            Shape::Rate { per_second, subscribers } => write!(f, "rate-{per_second}x{subscribers}"),
            Shape::Rpc { outstanding } => write!(f, "rpc-{outstanding}"),
            Shape::Idle { sessions, subscribed: false } => write!(f, "idle-{sessions}"),
            Shape::Idle { sessions, subscribed: true } => write!(f, "idle-{sessions}-subscribed"),
            Shape::Join { concurrency, method: Method::Anonymous } => write!(f, "join-{concurrency}"),
            Shape::Join { concurrency, method } => write!(f, "join-{concurrency}-{method}"),
            Shape::Burst { per_second, subscribers, joins } => {
                write!(f, "burst-{per_second}x{subscribers}-{joins}")
            }
            Shape::Handshakes { per_second, subscribers, clients } => {
                write!(f, "handshakes-{per_second}x{subscribers}-{clients}")
            }
            Shape::Static { connections } => write!(f, "static-{connections}"),
            Shape::Flood { per_second, subscribers } => write!(f, "flood-{per_second}x{subscribers}"),
            Shape::Churn { cycles } => write!(f, "churn-{cycles}"),
        }
    }
}

/// Why a scenario's name was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum ScenarioError {
    /// Not of a known form.
    Unknown(String),
    /// A number is 0 or above its limit.
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its limit.
        max: u64,
    },
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScenarioError::Unknown(name) => write!(
                f,
                "no such scenario: {name:?} (fan-out-N-wW, mesh-NxM-wW, rpc-K, rate-RxN, idle-N, \
                 idle-N-subscribed, join-C, join-C-METHOD, burst-RxN-J, handshakes-RxN-C, \
                 flood-RxN, churn-K, static-C, each with -BYTESb appended if wanted)"
            ),
            ScenarioError::OutOfRange { what, max } => write!(f, "{what} must be 1 to {max}"),
        }
    }
}

impl std::error::Error for ScenarioError {}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(name: &str) -> Result<Scenario, ScenarioError> {
        let (shape, payload_bytes) = split_payload(name);
        let shape = parse_shape(shape).ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?;
        let scenario = Scenario { shape, payload_bytes };
        check_limits(&scenario).map(|()| scenario)
    }
}

fn split_payload(name: &str) -> (&str, usize) {
    let payload = name.rsplit_once('-').and_then(|(shape, last)| {
        let bytes = last.strip_suffix('b')?.parse().ok()?;
        Some((shape, bytes))
    });
    payload.unwrap_or((name, PAYLOAD_BYTES_DEFAULT))
}

fn parse_shape(name: &str) -> Option<Shape> {
    let number = |text: &str| text.parse::<u64>().ok();
    let count = |text: &str| text.parse::<usize>().ok();
    let pair = |text: &str| text.split_once('x').and_then(|(a, b)| Some((number(a)?, count(b)?)));
    if let Some(rest) = name.strip_prefix("fan-out-") {
        let (subscribers, window) = rest.split_once("-w")?;
        let (subscribers, window) = (count(subscribers)?, number(window)?);
        return Some(Shape::Broadcast { publishers: 1, subscribers, window });
    }
    let (kind, rest) = name.split_once('-')?;
    Some(match kind {
        "mesh" => {
            let (sizes, window) = rest.split_once("-w")?;
            let (publishers, subscribers) = pair(sizes)?;
            Shape::Broadcast { publishers: publishers as usize, subscribers, window: number(window)? }
        }
        "rpc" => Shape::Rpc { outstanding: number(rest)? },
        "rate" => pair(rest).map(|(per_second, subscribers)| Shape::Rate { per_second, subscribers })?,
        "flood" => pair(rest).map(|(per_second, subscribers)| Shape::Flood { per_second, subscribers })?,
        "idle" => match rest.strip_suffix("-subscribed") {
            Some(sessions) => Shape::Idle { sessions: count(sessions)?, subscribed: true },
            None => Shape::Idle { sessions: count(rest)?, subscribed: false },
        },
        "join" => {
            let (concurrency, method) = rest.split_once('-').unwrap_or((rest, Method::Anonymous.as_str()));
            Shape::Join { concurrency: count(concurrency)?, method: method.parse().ok()? }
        }
        "burst" => {
            let (load, joins) = rest.split_once('-')?;
            let joins = count(joins)?;
            pair(load).map(|(per_second, subscribers)| Shape::Burst { per_second, subscribers, joins })?
        }
        "handshakes" => {
            let (load, clients) = rest.split_once('-')?;
            let clients = count(clients)?;
            let (per_second, subscribers) = pair(load)?;
            Shape::Handshakes { per_second, subscribers, clients }
        }
        "static" => Shape::Static { connections: count(rest)? },
        "churn" => Shape::Churn { cycles: count(rest)? },
        _ => return None,
    })
}

fn check_payload(scenario: &Scenario) -> Result<(), ScenarioError> {
    let (what, least, most) = match scenario.shape {
        Shape::Static { .. } => ("bytes of the file", 1, FILE_BYTES_MAX),
        _ => ("payload bytes (16 is the least)", STAMP_BYTES, PAYLOAD_BYTES_MAX),
    };
    match (least..=most).contains(&scenario.payload_bytes) {
        true => Ok(()),
        false => Err(ScenarioError::OutOfRange { what, max: most as u64 }),
    }
}

fn check_limits(scenario: &Scenario) -> Result<(), ScenarioError> {
    let within = |what, value: u64, max: u64| match (1..=max).contains(&value) {
        true => Ok(()),
        false => Err(ScenarioError::OutOfRange { what, max }),
    };
    check_payload(scenario)?;
    match scenario.shape {
        Shape::Broadcast { publishers, subscribers, window } => {
            within("publishers", publishers as u64, SESSIONS_MAX as u64)?;
            within("subscribers", subscribers as u64, SESSIONS_MAX as u64)?;
            within("the window", window, WINDOW_MAX)
        }
        Shape::Rate { per_second, subscribers } | Shape::Flood { per_second, subscribers } => {
            within("publishes a second", per_second, 10_000_000)?;
            within("subscribers", subscribers as u64, SESSIONS_MAX as u64)
        }
        Shape::Rpc { outstanding } => within("outstanding calls", outstanding, WINDOW_MAX),
        Shape::Idle { sessions, .. } => within("sessions", sessions as u64, SESSIONS_MAX as u64),
        Shape::Burst { per_second, subscribers, joins } => {
            within("publishes a second", per_second, 10_000_000)?;
            within("subscribers", subscribers as u64, SESSIONS_MAX as u64)?;
            within("joins", joins as u64, 10_000)
        }
        Shape::Handshakes { per_second, subscribers, clients } => {
            within("publishes a second", per_second, 10_000_000)?;
            within("subscribers", subscribers as u64, SESSIONS_MAX as u64)?;
            within("clients", clients as u64, 1024)
        }
        Shape::Static { connections } => within("connections", connections as u64, 10_000),
        Shape::Join { concurrency, .. } => within("concurrent clients", concurrency as u64, 1024),
        Shape::Churn { cycles } => within("cycles", cycles as u64, 10_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let more = [
            "join-16-wampcra",
            "burst-500x10-200",
            "handshakes-500x10-16",
            "static-16-102400b",
            "idle-10-subscribed",
            "flood-1000x10-4096b",
            "churn-20000",
        ];
        for name in CANONICAL.iter().chain(QUICK).chain(&more) {
            assert_eq!(name.parse::<Scenario>().map(|scenario| scenario.to_string()), Ok((*name).to_owned()));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "fan-out",
            "fan-out-0-w1",
            "fan-out-1-w0",
            "rpc-x",
            "rpc-1-8b",
            "rpc-1-65537b",
            "static-1-0b",
            "ring-3",
        ] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
