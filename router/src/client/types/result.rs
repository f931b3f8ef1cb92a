//! What a call brings.

use crossring_codec::error::DecodeError;
use crossring_codec::id::SessionId;
use crossring_codec::message::{Forwarder, ResultDetails, YieldOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

/// A result (`CallResult`; specification, "RESULT"): of a call, or what a callee answers with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallResult {
    /// `results`: positional values.
    pub results: Vec<Value>,
    /// `kwresults`: values by name.
    pub kwresults: Dict,
    /// `enc_algo`: how the payload is encoded; then there are no values, see [`super::EncodedPayload`].
    pub enc_algo: Option<String>,
    /// `callee`: the session that answered, if disclosed.
    pub callee: Option<SessionId>,
    /// `callee_authid`, if disclosed.
    pub callee_authid: Option<String>,
    /// `callee_authrole`, if disclosed.
    pub callee_authrole: Option<String>,
    /// `forward_for`: whom it was forwarded for.
    pub forward_for: Option<Vec<Forwarder<'static>>>,
    /// Whether more results of the call follow. Default: false. Autobahn has a callback instead.
    pub progress: bool,
}

impl CallResult {
    /// The parts of [`super::super::ClientEvent::Result`].
    ///
    /// # Errors
    /// Values that cannot be read: a MessagePack extension, or a dict key that is not text.
    pub fn read(details: &ResultDetails<'_>, payload: &Payload<'_>) -> Result<Self, DecodeError> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let passthru = details.passthru.as_deref();
        Ok(Self {
            results: payload.arguments()?,
            kwresults: payload.keywords()?,
            enc_algo: text(passthru.and_then(|keys| keys.enc_algo.as_deref())),
            callee: details.callee,
            callee_authid: text(details.callee_authid.as_deref()),
            callee_authrole: text(details.callee_authrole.as_deref()),
            forward_for: details.forward_for.as_deref().map(|hops| hops.iter().map(owned).collect()),
            progress: details.progress,
        })
    }

    /// What [`super::super::ClientSession::yield_result`] takes.
    pub fn to_answer(&self, serializer: SerializerId) -> (YieldOptions<'static>, Payload<'static>) {
        let options = YieldOptions {
            progress: self.progress,
            callee: self.callee,
            callee_authid: self.callee_authid.clone().map(Into::into),
            callee_authrole: self.callee_authrole.clone().map(Into::into),
            forward_for: self.forward_for.clone(),
            ..YieldOptions::default()
        };
        (options, Payload::from_values(serializer, &self.results, &self.kwresults))
    }
}

fn owned(hop: &Forwarder<'_>) -> Forwarder<'static> {
    Forwarder {
        session: hop.session,
        authid: hop.authid.as_deref().map(|authid| authid.to_owned().into()),
        authrole: hop.authrole.clone().into_owned().into(),
    }
}
