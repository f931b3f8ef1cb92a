//! How a session ended.

use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use super::super::ClientEvent;

/// Why a session ended (`CloseDetails`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseDetails {
    /// `reason`: a URI for programs.
    pub reason: String,
    /// `message`: a text for people.
    pub message: Option<String>,
}

impl CloseDetails {
    /// `REASON_DEFAULT`: nobody gave another reason.
    pub const REASON_DEFAULT: &'static str = well_known::NORMAL;
    /// `REASON_TRANSPORT_LOST`: nobody said goodbye. Made by the client, never sent.
    pub const REASON_TRANSPORT_LOST: &'static str = "wamp.close.transport_lost";

    /// The end after a lost transport.
    pub fn transport_lost() -> Self {
        Self { reason: Self::REASON_TRANSPORT_LOST.to_owned(), message: None }
    }

    /// The end that an event tells of: GOODBYE or ABORT.
    pub fn from_event(event: &ClientEvent<'_>) -> Option<Self> {
        match event {
            ClientEvent::Goodbye { reason, message, .. } | ClientEvent::Aborted { reason, message } => {
                Some(Self {
                    reason: reason.clone().into_owned(),
                    message: message.as_deref().map(str::to_owned),
                })
            }
            _ => None,
        }
    }

    /// Autobahn's dict (`marshal()`).
    pub fn to_dict(&self) -> Dict {
        let message = self.message.as_deref().map_or(Value::Null, Value::from);
        vec![("reason".into(), self.reason.as_str().into()), ("message".into(), message)]
    }
}

impl Default for CloseDetails {
    fn default() -> Self {
        Self { reason: Self::REASON_DEFAULT.to_owned(), message: None }
    }
}

impl std::fmt::Display for CloseDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{} ({message})", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}
