//! `crossring pub`, `sub`, `call` and `register`: one JSON line per thing that arrives.

use std::io::Write;

use crossring_codec::message::{
    CallOptions, InvocationPolicy, Message, PublishOptions, RegisterOptions, SubscribeOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};
use crossring_router::client::ClientEvent;

use super::{Client, ClientError, Destination};

/// Arguments and keyword arguments of a publication, call or result.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Positional.
    pub positional: Vec<Value>,
    /// By name.
    pub keywords: Dict,
}

impl Arguments {
    fn payload(&self, serializer: SerializerId) -> Payload<'static> {
        Payload::from_values(serializer, &self.positional, &self.keywords)
    }
}

/// Publishes `count` times.
pub fn publish(
    to: &Destination,
    topic: &str,
    arguments: &Arguments,
    acknowledge: bool,
    count: u64,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let payload = arguments.payload(client.serializer());
    for _ in 0..count {
        let options = PublishOptions { acknowledge, ..PublishOptions::default() };
        let request = client.session.publish(topic, options, payload.borrowed())?;
        client.send(&request.message)?;
        if acknowledge {
            let (id, publication) = loop {
                match client.next(Some(to.timeout))? {
                    ClientEvent::Published { request, publication } => break (request, publication),
                    event => fail_on_error(event)?,
                }
            };
            print_line(&[("request", id.get().into()), ("publication", publication.get().into())])?;
        }
    }
    client.leave()
}

/// Subscribes and prints events, `count` of them or for ever.
pub fn subscribe(
    to: &Destination,
    topic: &str,
    match_policy: Match,
    count: Option<u64>,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let options = SubscribeOptions { match_policy, ..SubscribeOptions::default() };
    let request = client.session.subscribe(topic, options)?;
    client.send(&request.message)?;
    loop {
        match client.next(Some(to.timeout))? {
            ClientEvent::Subscribed { .. } => break,
            event => fail_on_error(event)?,
        }
    }
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        if let ClientEvent::Event { publication, details, payload, .. } = client.next(None)? {
            let topic = details.topic.as_deref().unwrap_or(topic);
            let publisher = details.publisher.map_or(Value::Null, |session| session.get().into());
            let mut line = vec![("topic", topic.into()), ("publication", publication.get().into())];
            line.push(("publisher", publisher));
            print_line(&with_payload(line, &payload)?)?;
            seen += 1;
        }
    }
    client.leave()
}

/// Calls `count` times, one after the other, and prints every result.
pub fn call(
    to: &Destination,
    procedure: &str,
    arguments: &Arguments,
    receive_progress: bool,
    count: u64,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let payload = arguments.payload(client.serializer());
    for _ in 0..count {
        let options = CallOptions { receive_progress, ..CallOptions::default() };
        let request = client.session.call(procedure, options, payload.borrowed())?;
        client.send(&request.message)?;
        while print_result(&mut client, to, procedure)? {}
    }
    client.leave()
}

/// Prints a result when it comes; tells whether more follow.
fn print_result(client: &mut Client, to: &Destination, procedure: &str) -> Result<bool, ClientError> {
    loop {
        match client.next(Some(to.timeout))? {
            ClientEvent::Result { details, payload, .. } => {
                let line = vec![("procedure", procedure.into()), ("progress", details.progress.into())];
                print_line(&with_payload(line, &payload)?)?;
                return Ok(details.progress);
            }
            event => fail_on_error(event)?,
        }
    }
}

/// What a registered procedure answers with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its own arguments.
    Echo,
    /// Always the same.
    Fixed(Arguments),
}

/// How a procedure is registered.
#[derive(Clone, Debug)]
pub struct Registering {
    /// Matching policy.
    pub match_policy: Match,
    /// Invocation policy.
    pub invoke: InvocationPolicy,
    /// What calls are answered with.
    pub answer: Answer,
}

/// Registers a procedure, prints invocations and answers them, `count` of them or for ever.
pub fn register(
    to: &Destination,
    procedure: &str,
    how: &Registering,
    count: Option<u64>,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let options =
        RegisterOptions { match_policy: how.match_policy, invoke: how.invoke, ..RegisterOptions::default() };
    let request = client.session.register(procedure, options)?;
    client.send(&request.message)?;
    loop {
        match client.next(Some(to.timeout))? {
            ClientEvent::Registered { .. } => break,
            event => fail_on_error(event)?,
        }
    }
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        if let ClientEvent::Invocation { request, details, payload, .. } = client.next(None)? {
            let called = details.procedure.as_deref().unwrap_or(procedure);
            let caller = details.caller.map_or(Value::Null, |session| session.get().into());
            print_line(&with_payload(vec![("procedure", called.into()), ("caller", caller)], &payload)?)?;
            let answer = match &how.answer {
                Answer::Echo => payload,
                Answer::Fixed(arguments) => arguments.payload(client.serializer()),
            };
            let message: Message<'_> =
                client.session.yield_result(request, YieldOptions::default(), answer)?;
            client.send(&message)?;
            seen += 1;
        }
    }
    client.leave()
}

fn fail_on_error(event: ClientEvent<'_>) -> Result<(), ClientError> {
    match event {
        ClientEvent::Error { error, payload, details, .. } => {
            let mut line = vec![];
            if let Some(message) = details.message {
                line.push(("message", message.as_ref().into()));
            }
            Err(ClientError::Error(error.into_owned(), to_json(&with_payload(line, &payload)?)))
        }
        _ => Ok(()),
    }
}

type Line = Vec<(&'static str, Value)>;

fn with_payload(mut line: Line, payload: &Payload<'_>) -> Result<Line, ClientError> {
    match payload.transparent()? {
        Some(value) => line.push(("payload", value)),
        None => {
            line.push(("args", Value::List(payload.arguments()?)));
            line.push(("kwargs", Value::Dict(payload.keywords()?)));
        }
    }
    Ok(line)
}

fn to_json(line: &[(&'static str, Value)]) -> String {
    let dict = line.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut octets = Vec::new();
    match Value::Dict(dict).encode(SerializerId::Json, &mut octets) {
        Ok(()) => String::from_utf8_lossy(&octets).into_owned(),
        Err(error) => format!("{{\"error\":\"not JSON: {error}\"}}"),
    }
}

fn print_line(line: &[(&'static str, Value)]) -> Result<(), ClientError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", to_json(line))?;
    Ok(out.flush()?)
}
