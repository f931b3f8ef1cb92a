//! What is printed: one JSON object a line. What is not known is left out, but for `publisher` and `caller`, which are null.

use std::io::Write;

use crossring_codec::error::DecodeError;
use crossring_codec::id::SessionId;
use crossring_codec::message::{ErrorDetails, Forwarder, Passthru, Text};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;
use crossring_router::client::types::PassthruPayload;

use super::ClientError;

/// A line in the making.
#[derive(Default)]
pub(super) struct Line(Vec<(String, Value)>);

impl Line {
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// Nothing is said of what is absent.
    pub(super) fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn text(self, key: &str, text: Option<&Text<'_>>) -> Self {
        self.maybe(key, text.map(|text| &**text))
    }

    /// Who it was; null if that is not disclosed.
    pub(super) fn session(self, key: &str, session: Option<SessionId>) -> Self {
        self.with(key, session.map_or(Value::Null, |session| session.get().into()))
    }

    /// Only said when it is so.
    pub(super) fn flag(self, key: &str, flag: bool) -> Self {
        if flag { self.with(key, true) } else { self }
    }

    pub(super) fn forwarders(self, hops: Option<&[Forwarder<'_>]>) -> Self {
        let hop = |hop: &Forwarder<'_>| Value::from(hop.session.get());
        self.maybe("forward_for", hops.map(|hops| Value::List(hops.iter().map(hop).collect())))
    }

    /// The arguments; those of passthru mode unpacked where that is possible, else as they came.
    pub(super) fn payload(self, keys: Option<&Passthru<'_>>, payload: &Payload<'_>) -> Self {
        let scheme = keys.and_then(|keys| keys.ppt_scheme.as_ref());
        let algorithm = keys.and_then(|keys| keys.enc_algo.as_ref());
        let line = self.text("ppt_scheme", scheme).text("enc_algo", algorithm);
        match payload.transparent() {
            Ok(Some(value)) => return line.with("payload", value),
            Ok(None) => {}
            Err(error) => return undecodable(line, &error),
        }
        let packed = keys.and_then(|keys| PassthruPayload::read(keys, payload).ok().flatten());
        let unpacked = packed.and_then(|packed| packed.unpack(payload.serializer).ok());
        let plain = || Ok((payload.arguments()?, payload.keywords()?));
        match unpacked.map_or_else(plain, Ok) {
            Ok((arguments, keywords)) => {
                line.with("args", Value::List(arguments)).with("kwargs", Value::Dict(keywords))
            }
            Err(error) => undecodable(line, &error),
        }
    }

    pub(super) fn print(self) -> Result<(), ClientError> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", self.into_json())?;
        Ok(out.flush()?)
    }

    fn into_json(self) -> String {
        let mut octets = Vec::new();
        match Value::Dict(self.0).encode(SerializerId::Json, &mut octets) {
            Ok(()) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) => format!("{{\"undecodable\":\"{error}\"}}"),
        }
    }
}

/// What a peer sends is no reason to fail.
fn undecodable(line: Line, error: &DecodeError) -> Line {
    line.with("undecodable", error.to_string().as_str())
}

/// What an ERROR says besides its URI.
pub(super) fn of_error(details: &ErrorDetails<'_>, payload: &Payload<'_>) -> String {
    let line = Line::default().text("message", details.message.as_ref());
    line.payload(details.passthru.as_deref(), payload).into_json()
}
