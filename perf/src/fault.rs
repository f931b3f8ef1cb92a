//! Why a measurement could not be made.

use std::{fmt, io};

/// Every way in which a run against a server fails. A fault ends one measurement, never the
/// whole comparison.
#[derive(Debug)]
pub enum Fault {
    /// A system call failed.
    Io {
        /// What was attempted.
        during: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The server ended the connection.
    Closed {
        /// What was awaited.
        during: &'static str,
    },
    /// The server answered, but refused.
    Refused {
        /// What was asked for.
        during: &'static str,
        /// The server's own words, shortened.
        answer: String,
    },
    /// The server sent something that is not its protocol, or not what was asked for.
    Malformed {
        /// Which protocol.
        protocol: &'static str,
        /// The first bytes of the offending frame, escaped.
        found: String,
    },
    /// Nothing came within the bounded time.
    TimedOut {
        /// What was awaited.
        during: &'static str,
    },
    /// This protocol has no such operation (Redis and MQTT have no calls).
    Unsupported {
        /// The missing operation.
        operation: &'static str,
    },
    /// The comparison could not start or prepare a system.
    Setup(String),
}

impl Fault {
    /// Wraps an I/O error with what was attempted.
    pub fn io(during: &'static str) -> impl FnOnce(io::Error) -> Fault {
        move |source| Fault::Io { during, source }
    }

    /// A frame that `protocol` does not allow; at most 80 bytes of it are kept.
    pub fn malformed(protocol: &'static str, frame: &[u8]) -> Fault {
        Fault::Malformed { protocol, found: excerpt(frame) }
    }

    /// The server's refusal in its own words.
    pub fn refused(during: &'static str, answer: &[u8]) -> Fault {
        Fault::Refused { during, answer: excerpt(answer) }
    }
}

fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io { during, source } => write!(f, "{during}: {source}"),
            Fault::Closed { during } => write!(f, "{during}: the server closed the connection"),
            Fault::Refused { during, answer } => write!(f, "{during}: refused: {answer}"),
            Fault::Malformed { protocol, found } => write!(f, "not {protocol}: {found}"),
            Fault::TimedOut { during } => write!(f, "{during}: no answer in time"),
            Fault::Unsupported { operation } => write!(f, "{operation}: not in this protocol"),
            Fault::Setup(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}
