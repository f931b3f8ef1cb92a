//! `crossring pub`, `sub`, `call` and `register`: one JSON line per thing that arrives.

use std::time::{Duration, Instant};

use crossring_codec::message::Passthru;
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use crossring_router::client::ClientEvent;
use crossring_router::client::types::{PassthruPayload, Testament, TestamentScope, flush_testaments};

use super::{Client, ClientError, Destination};

mod call;
mod line;
mod publish;
mod register;
mod stream;
mod subscribe;

pub use call::{Calling, call};
pub use publish::{Publishing, publish};
pub use register::{Answer, Registering, register};
pub use subscribe::{Subscribing, subscribe};

/// Arguments and keyword arguments of a publication, call or result.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Positional.
    pub positional: Vec<Value>,
    /// By name.
    pub keywords: Dict,
}

/// Payload passthru mode: how arguments are wrapped.
#[derive(Clone, Debug)]
pub struct Packing {
    /// `ppt_scheme`.
    pub scheme: String,
    /// `ppt_serializer`.
    pub serializer: SerializerId,
}

impl Arguments {
    fn payload(&self, serializer: SerializerId) -> Payload<'static> {
        Payload::from_values(serializer, &self.positional, &self.keywords)
    }

    /// The payload, and the keys that tell how it is packed.
    fn packed(
        &self,
        serializer: SerializerId,
        packing: Option<&Packing>,
    ) -> Result<(Payload<'static>, Option<Passthru<'static>>), ClientError> {
        let Some(packing) = packing else { return Ok((self.payload(serializer), None)) };
        let (scheme, inner) = (&packing.scheme, packing.serializer);
        let packed = PassthruPayload::pack(scheme, inner, &self.positional, &self.keywords)?;
        Ok((packed.to_payload(serializer), Some(packed.passthru())))
    }
}

/// Waits for the event that `wanted` takes; ERROR and revocations fail, others are passed over.
fn wait<T>(
    client: &mut Client,
    timeout: Duration,
    wanted: impl Fn(&ClientEvent<'_>) -> Option<T>,
) -> Result<T, ClientError> {
    let deadline = Instant::now() + timeout;
    loop {
        let event = client.next(Some(deadline.saturating_duration_since(Instant::now())))?;
        match wanted(&event) {
            Some(answer) => return Ok(answer),
            None => fail_on_error(event)?,
        }
    }
}

/// What goes wrong without being asked.
fn fail_on_error(event: ClientEvent<'_>) -> Result<(), ClientError> {
    let reason = |reason: Option<std::borrow::Cow<'_, str>>| reason.map(std::borrow::Cow::into_owned);
    match event {
        ClientEvent::Error { error, payload, details, .. } => {
            Err(ClientError::Error(error.into_owned(), line::of_error(&details, &payload)))
        }
        ClientEvent::SubscriptionRevoked { reason: why, .. } => {
            Err(ClientError::Revoked("subscription", reason(why)))
        }
        ClientEvent::RegistrationRevoked { reason: why, .. } => {
            Err(ClientError::Revoked("registration", reason(why)))
        }
        _ => Ok(()),
    }
}

/// Asks the router to publish an empty event on `topic` when the session ends, unless it ends by [`leave`].
fn add_testament(client: &mut Client, to: &Destination, topic: &str) -> Result<(), ClientError> {
    let testament = Testament { topic: topic.to_owned(), ..Testament::default() };
    let (procedure, payload) = testament.add(client.serializer());
    ask(client, to, procedure, payload)
}

/// Leaves in good order: a testament is not published.
fn leave(mut client: Client, to: &Destination, testament: Option<&str>) -> Result<(), ClientError> {
    if testament.is_some() {
        let (procedure, payload) = flush_testaments(TestamentScope::Destroyed, client.serializer());
        ask(&mut client, to, procedure, payload)?;
    }
    client.leave()
}

/// A call whose result does not matter.
fn ask(
    client: &mut Client,
    to: &Destination,
    procedure: &str,
    payload: Payload<'_>,
) -> Result<(), ClientError> {
    let request = client.session.call(procedure, Default::default(), payload)?;
    client.send(&request.message)?;
    let id = request.id;
    wait(client, to.timeout, |event| match event {
        ClientEvent::Result { request, .. } if *request == id => Some(()),
        _ => None,
    })
}
