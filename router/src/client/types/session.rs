//! What is known of an open session.

use crossring_codec::id::SessionId;
use crossring_codec::message::{Text, WelcomeDetails};
use crossring_codec::serializer::Serializer;
use crossring_codec::value::{Dict, Value};

use crate::details::TransportDetails;

/// Details of a session (`SessionDetails`; specification, "WELCOME"), also the result of `wamp.session.get`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionDetails {
    /// `realm`: the realm joined.
    pub realm: Option<String>,
    /// `session`: the session's id.
    pub session: Option<SessionId>,
    /// `authid`: the identity in force.
    pub authid: Option<String>,
    /// `authrole`: the role in force.
    pub authrole: Option<String>,
    /// `authmethod`: how the session has shown who it is.
    pub authmethod: Option<String>,
    /// `authprovider`: who vouched for it.
    pub authprovider: Option<String>,
    /// `authextra`: specific to the method.
    pub authextra: Option<Dict>,
    /// `serializer`: such as `json` or `cbor.batched`.
    pub serializer: Option<String>,
    /// `transport`: what carries the session.
    pub transport: Option<TransportDetails>,
    /// `resumed`: it goes on after a lost transport.
    pub resumed: Option<bool>,
    /// `resumable`: it can go on after a lost transport.
    pub resumable: Option<bool>,
    /// `resume_token`: with what; good once.
    pub resume_token: Option<String>,
}

/// An entry of a session's details with a value of another type.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SessionDetailsFault {
    /// The entry.
    pub key: &'static str,
    /// What its value has to be.
    pub expected: &'static str,
}

impl std::fmt::Display for SessionDetailsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} must be {}", self.key, self.expected)
    }
}

impl std::error::Error for SessionDetailsFault {}

impl SessionDetails {
    /// What WELCOME tells, and the serializer it came in.
    pub fn from_welcome(session: SessionId, details: &WelcomeDetails<'_>, serializer: Serializer) -> Self {
        let text = |text: &Option<Text<'_>>| text.as_deref().map(str::to_owned);
        Self {
            realm: text(&details.realm),
            session: Some(session),
            authid: text(&details.authid),
            authrole: text(&details.authrole),
            authmethod: text(&details.authmethod),
            authprovider: text(&details.authprovider),
            authextra: Some(details.authextra.clone()).filter(|extra| !extra.is_empty()),
            serializer: Some(serializer.name().to_owned()),
            transport: None,
            resumed: Some(details.resumed),
            resumable: Some(details.resumable),
            resume_token: text(&details.resume_token),
        }
    }

    /// Reads Autobahn's dict (`parse()`): absent and null entries are unknown.
    ///
    /// # Errors
    /// The first entry with a value of a wrong type.
    pub fn from_value(value: &Value) -> Result<Self, SessionDetailsFault> {
        let fault = |key, expected| SessionDetailsFault { key, expected };
        let entry = |key| value.get(key).filter(|entry| **entry != Value::Null);
        let text = |key| match entry(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(fault(key, "text")),
        };
        let flag = |key| match entry(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(fault(key, "a boolean")),
        };
        let dict = |key| match entry(key) {
            None => Ok(None),
            Some(Value::Dict(dict)) => Ok(Some(dict.clone())),
            Some(_) => Err(fault(key, "a dict")),
        };
        Ok(Self {
            realm: text("realm")?,
            session: entry("session").map(session_id).transpose()?,
            authid: text("authid")?,
            authrole: text("authrole")?,
            authmethod: text("authmethod")?,
            authprovider: text("authprovider")?,
            authextra: dict("authextra")?,
            serializer: text("serializer")?,
            transport: dict("transport")?.map(|dict| TransportDetails::from_value(&Value::Dict(dict))),
            resumed: flag("resumed")?,
            resumable: flag("resumable")?,
            resume_token: text("resume_token")?,
        })
    }

    /// Autobahn's dict (`marshal()`): what is unknown is null.
    pub fn to_dict(&self) -> Dict {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let flag = |flag: Option<bool>| flag.map_or(Value::Null, Value::from);
        let transport = self.transport.as_ref().map(TransportDetails::to_dict);
        let entries = [
            ("realm", text(&self.realm)),
            ("session", self.session.map_or(Value::Null, |session| session.get().into())),
            ("authid", text(&self.authid)),
            ("authrole", text(&self.authrole)),
            ("authmethod", text(&self.authmethod)),
            ("authprovider", text(&self.authprovider)),
            ("authextra", self.authextra.clone().map_or(Value::Null, Value::Dict)),
            ("serializer", text(&self.serializer)),
            ("transport", transport.map_or(Value::Null, Value::Dict)),
            ("resumed", flag(self.resumed)),
            ("resumable", flag(self.resumable)),
            ("resume_token", text(&self.resume_token)),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn session_id(value: &Value) -> Result<SessionId, SessionDetailsFault> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.and_then(SessionId::new).ok_or(SessionDetailsFault { key: "session", expected: "an id" })
}
