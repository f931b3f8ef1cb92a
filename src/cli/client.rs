//! Definitions of the WAMP client commands `pub`, `sub`, `call` and `register`: arguments, parsed to types that cannot be wrong,
//! and handed to [`crate::client::commands`].

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use crossring_codec::message::InvocationPolicy;
use crossring_codec::serializer::{Serializer as WireSerializer, SerializerId};
use crossring_codec::uri;
use crossring_codec::value::Value as WireValue;
use serde_json::{Map, Value};

use super::{FAILURE, SUCCESS, complain};
use crate::client::commands::{self, Answer, Arguments, Registering};
use crate::client::{ClientError, Destination, RouterUrl};

/// Largest number of events or calls that `--count` may ask for.
const COUNT_MAX: u64 = 1 << 53;

/// The client commands.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum ClientCommand {
    /// Publish an event.
    Pub(Publish),
    /// Subscribe to a topic and print its events.
    Sub(Subscribe),
    /// Call a procedure and print its result.
    Call(Call),
    /// Register a procedure, print its calls and answer them.
    Register(Register),
}

impl ClientCommand {
    /// How to reach the router and join a realm.
    pub fn connection(&self) -> &Connection {
        match self {
            ClientCommand::Pub(command) => &command.connection,
            ClientCommand::Sub(command) => &command.connection,
            ClientCommand::Call(command) => &command.connection,
            ClientCommand::Register(command) => &command.connection,
        }
    }
}

/// How to reach the router and join a realm.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Connection {
    /// Router: ws://host:port/path, rs://host:port or rs+unix:/path.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ws")]
    pub url: RouterUrl,
    /// Realm to join.
    #[arg(long, default_value = "realm1")]
    pub realm: String,
    /// Serializer.
    #[arg(long, value_enum, default_value_t = Serializer::Json)]
    pub serializer: Serializer,
    /// Authentication method.
    #[arg(long, value_enum, default_value_t = AuthMethod::Anonymous)]
    pub authmethod: AuthMethod,
    /// authid to ask for.
    #[arg(long, required_if_eq("authmethod", "ticket"))]
    pub authid: Option<String>,
    /// Ticket; better given in the environment than on the command line, which others can see.
    #[arg(long, env = "CROSSRING_TICKET", hide_env_values = true, required_if_eq("authmethod", "ticket"))]
    pub ticket: Option<Ticket>,
    /// Seconds to wait for joining and for each answer of the router.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

impl Connection {
    fn destination(&self) -> Destination {
        let ticket = self.authid.clone().zip(self.ticket.as_ref().map(|ticket| ticket.0.clone()));
        Destination {
            url: self.url.clone(),
            realm: self.realm.clone(),
            serializer: WireSerializer::plain(match self.serializer {
                Serializer::Json => SerializerId::Json,
                Serializer::Msgpack => SerializerId::MessagePack,
                Serializer::Cbor => SerializerId::Cbor,
            }),
            ticket: ticket.filter(|_| self.authmethod == AuthMethod::Ticket),
            timeout: Duration::from_secs(self.timeout),
        }
    }
}

impl Payload {
    fn arguments(&self) -> Arguments {
        let keywords = self.kwargs.iter().flat_map(|kwargs| &kwargs.0);
        Arguments {
            positional: self.args.iter().map(|argument| wire_value(&argument.0)).collect(),
            keywords: keywords.map(|(key, value)| (key.clone(), wire_value(value))).collect(),
        }
    }
}

/// Carries out a client command.
pub(super) fn run(command: &ClientCommand) -> u8 {
    let to = command.connection().destination();
    match carry_out(command, &to) {
        Ok(()) => SUCCESS,
        Err(error) => {
            complain!("Error: {error}");
            FAILURE
        }
    }
}

fn carry_out(command: &ClientCommand, to: &Destination) -> Result<(), ClientError> {
    match command {
        ClientCommand::Pub(it) => {
            commands::publish(to, &it.topic, &it.payload.arguments(), it.acknowledge, it.count)
        }
        ClientCommand::Sub(it) => commands::subscribe(to, &it.topic, it.matching.into(), it.count),
        ClientCommand::Call(it) => {
            commands::call(to, &it.procedure, &it.payload.arguments(), it.progress, it.count)
        }
        ClientCommand::Register(it) => {
            let answer = match &it.result {
                Some(JsonArgument(value)) => {
                    Answer::Fixed(Arguments { positional: vec![wire_value(value)], keywords: Vec::new() })
                }
                None => Answer::Echo,
            };
            let how = Registering { match_policy: it.matching.into(), invoke: it.invoke.into(), answer };
            commands::register(to, &it.procedure, &how, it.count)
        }
    }
}

fn wire_value(value: &Value) -> WireValue {
    match value {
        Value::Null => WireValue::Null,
        Value::Bool(flag) => WireValue::Bool(*flag),
        Value::Number(number) => {
            let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            integer.map_or(WireValue::Float(number.as_f64().unwrap_or_default()), WireValue::Integer)
        }
        Value::String(text) => WireValue::String(text.clone()),
        Value::Array(items) => WireValue::List(items.iter().map(wire_value).collect()),
        Value::Object(entries) => {
            WireValue::Dict(entries.iter().map(|(key, value)| (key.clone(), wire_value(value))).collect())
        }
    }
}

/// Arguments of a publication or call.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Payload {
    /// Positional arguments, each JSON; what is no JSON counts as a string.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    pub args: Vec<JsonArgument>,
    /// Keyword arguments as a JSON object.
    #[arg(long, value_name = "OBJECT")]
    pub kwargs: Option<JsonObject>,
}

/// `crossring pub`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Publish {
    /// Topic.
    pub topic: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub payload: Payload,
    /// Wait until the router confirms each publication.
    #[arg(long)]
    pub acknowledge: bool,
    /// How many times to publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

/// `crossring sub`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Subscribe {
    /// Topic, prefix or pattern.
    pub topic: String,
    /// How the topic is matched.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    pub matching: Match,
    /// End after so many events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

/// `crossring call`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Call {
    /// Procedure.
    pub procedure: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub payload: Payload,
    /// Ask for progressive results, and print each.
    #[arg(long)]
    pub progress: bool,
    /// How many times to call, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

/// `crossring register`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Register {
    /// Procedure, prefix or pattern.
    pub procedure: String,
    /// How the procedure is matched.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    pub matching: Match,
    /// How calls are shared with other callees of the same procedure.
    #[arg(long, value_enum, default_value_t = Invoke::Single)]
    pub invoke: Invoke,
    /// What calls are answered with, as JSON; what is no JSON counts as a string [default: their own arguments].
    #[arg(long, value_name = "VALUE")]
    pub result: Option<JsonArgument>,
    /// End after so many calls.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX))]
    pub count: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub connection: Connection,
}

/// Serializers of the client commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Serializer {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// CBOR.
    Cbor,
}

/// Authentication methods of the client commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// No proof.
    Anonymous,
    /// A ticket.
    Ticket,
}

/// Matching policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Match {
    /// The URI itself.
    Exact,
    /// Every URI that begins with it.
    Prefix,
    /// Empty components match any component.
    Wildcard,
}

impl From<Match> for uri::Match {
    fn from(matching: Match) -> Self {
        match matching {
            Match::Exact => uri::Match::Exact,
            Match::Prefix => uri::Match::Prefix,
            Match::Wildcard => uri::Match::Wildcard,
        }
    }
}

/// Invocation policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Invoke {
    /// No other callee.
    Single,
    /// The earliest callee.
    First,
    /// The latest callee.
    Last,
    /// In turn.
    Roundrobin,
    /// By chance.
    Random,
}

impl From<Invoke> for InvocationPolicy {
    fn from(invoke: Invoke) -> Self {
        match invoke {
            Invoke::Single => InvocationPolicy::Single,
            Invoke::First => InvocationPolicy::First,
            Invoke::Last => InvocationPolicy::Last,
            Invoke::Roundrobin => InvocationPolicy::RoundRobin,
            Invoke::Random => InvocationPolicy::Random,
        }
    }
}

/// A ticket: `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    /// The ticket itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(..)")
    }
}

impl FromStr for Ticket {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Ticket(text.into()))
    }
}

/// One positional argument: JSON, or else the text itself.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonArgument(pub Value);

impl FromStr for JsonArgument {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(JsonArgument(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))))
    }
}

/// Keyword arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonObject(pub Map<String, Value>);

impl FromStr for JsonObject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(JsonObject).map_err(|error| format!("not a JSON object: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ClientCommand,
    }

    fn parse(line: &[&str]) -> Result<ClientCommand, clap::Error> {
        Line::try_parse_from([&["x"], line].concat()).map(|line| line.command)
    }

    #[test]
    fn arguments_are_json_or_text() {
        let line =
            ["pub", "com.topic", "1", "-2", "hello", "[true]", "--kwargs", "{\"a\":null}", "--acknowledge"];
        let Ok(ClientCommand::Pub(publish)) = parse(&line) else { panic!("a publication") };
        let args: Vec<_> = publish.payload.args.iter().map(|argument| argument.0.to_string()).collect();
        assert_eq!(args, ["1", "-2", "\"hello\"", "[true]"]);
        assert_eq!(publish.payload.kwargs.map(|kwargs| kwargs.0.len()), Some(1));
        assert!(publish.acknowledge && publish.count == 1);
        assert!(parse(&["call", "p", "--kwargs", "[]"]).is_err());
    }

    #[test]
    fn a_ticket_needs_an_authid_and_is_not_shown() {
        assert!(parse(&["call", "p", "--authmethod", "ticket", "--ticket", "s3cret"]).is_err());
        let line = [
            "sub",
            "t",
            "--authmethod",
            "ticket",
            "--authid",
            "joe",
            "--ticket",
            "s3cret",
            "--match",
            "prefix",
        ];
        let command = parse(&line).expect("valid");
        assert!(!format!("{command:?}").contains("s3cret"));
        assert_eq!(command.connection().ticket.as_ref().map(Ticket::expose), Some("s3cret"));
    }
}
