//! Who a session is.

use crossring_codec::id::SessionId;
use crossring_codec::message::{Forwarder, Text};
use crossring_codec::value::{Dict, Value};

use super::{CallDetails, EventDetails};

/// Identification of a session (`SessionIdent`): the session, the subject behind it and the role that its permissions
/// are tied to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionIdent {
    /// `session`: the session's id; absent if it is not known.
    pub session: Option<SessionId>,
    /// `authid`: the subject; one subject may have many sessions.
    pub authid: Option<String>,
    /// `authrole`: the role.
    pub authrole: String,
}

impl SessionIdent {
    /// The caller of a call: over router links the first one it was forwarded for. None if it is not disclosed.
    pub fn from_call_details(details: &CallDetails<'_>) -> Option<Self> {
        let forwarder = details.forward_for.as_deref().and_then(<[_]>::first);
        forwarder.map(Self::from_forwarder).or_else(|| {
            Self::disclosed(details.caller, &details.caller_authid, details.caller_authrole.as_deref())
        })
    }

    /// The publisher of an event: over router links the first one it was forwarded for. None if it is not disclosed.
    pub fn from_event_details(details: &EventDetails<'_>) -> Option<Self> {
        let forwarder = details.forward_for.as_deref().and_then(<[_]>::first);
        forwarder.map(Self::from_forwarder).or_else(|| {
            let role = details.publisher_authrole.as_deref();
            Self::disclosed(details.publisher, &details.publisher_authid, role)
        })
    }

    /// Autobahn's dict (`marshal()`).
    pub fn to_dict(&self) -> Dict {
        let session = self.session.map_or(Value::Null, |session| session.get().into());
        let authid = self.authid.as_deref().map_or(Value::Null, Value::from);
        vec![
            ("session".into(), session),
            ("authid".into(), authid),
            ("authrole".into(), self.authrole.as_str().into()),
        ]
    }

    fn from_forwarder(forwarder: &Forwarder<'_>) -> Self {
        Self {
            session: Some(forwarder.session),
            authid: forwarder.authid.as_deref().map(str::to_owned),
            authrole: forwarder.authrole.clone().into_owned(),
        }
    }

    fn disclosed(
        session: Option<SessionId>,
        authid: &Option<Text<'_>>,
        authrole: Option<&str>,
    ) -> Option<Self> {
        let authid = authid.as_deref().map(str::to_owned);
        Some(Self { session, authid, authrole: authrole?.to_owned() })
    }
}
