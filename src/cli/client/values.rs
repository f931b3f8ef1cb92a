//! Values on the command line, each parsed to a type that cannot be wrong.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use crossring_codec::id::SessionId;
use crossring_codec::message::{CancelMode, InvocationPolicy};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri;
use crossring_codec::value::Value as WireValue;
use crossring_router::config::{PrivateKey, Secret};
use crossring_router::credentials::cryptosign::octets;
use serde_json::{Map, Value};

use crate::client::commands::{Arguments, Packing};

/// Largest number of events or calls that may be asked for, and longest time in milliseconds.
pub(super) const COUNT_MAX: u64 = 1 << 53;

/// Arguments of a publication or call.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Payload {
    /// Positional arguments, each JSON; what is no JSON counts as a string.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    pub args: Vec<JsonArgument>,
    /// Keyword arguments as a JSON object.
    #[arg(long, value_name = "OBJECT")]
    pub kwargs: Option<JsonObject>,
    /// Wrap the arguments (payload passthru mode), under this scheme: mqtt or x_...
    #[arg(long, value_name = "SCHEME")]
    pub ppt_scheme: Option<String>,
    /// Serializer of the wrapped arguments.
    #[arg(long, value_enum, default_value_t = Serializer::Cbor, requires = "ppt_scheme")]
    pub ppt_serializer: Serializer,
    /// Hash that the receiver is told, to know duplicates by.
    #[arg(long, value_name = "HASH")]
    pub transaction_hash: Option<String>,
}

impl Payload {
    pub(super) fn arguments(&self) -> Arguments {
        let keywords = self.kwargs.iter().flat_map(|kwargs| &kwargs.0);
        Arguments {
            positional: self.args.iter().map(|argument| wire_value(&argument.0)).collect(),
            keywords: keywords.map(|(key, value)| (key.clone(), wire_value(value))).collect(),
        }
    }

    pub(super) fn packing(&self) -> Option<Packing> {
        let scheme = self.ppt_scheme.clone()?;
        Some(Packing { scheme, serializer: self.ppt_serializer.into() })
    }
}

pub(super) fn wire_value(value: &Value) -> WireValue {
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

/// Serializers of the client commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Serializer {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// CBOR.
    Cbor,
    /// BJData or UBJSON, as the router answers.
    Ubjson,
    /// WAMP-FlatBuffers.
    Flatbuffers,
}

impl From<Serializer> for SerializerId {
    fn from(serializer: Serializer) -> Self {
        match serializer {
            Serializer::Json => SerializerId::Json,
            Serializer::Msgpack => SerializerId::MessagePack,
            Serializer::Cbor => SerializerId::Cbor,
            Serializer::Ubjson => SerializerId::Bjdata,
            Serializer::Flatbuffers => SerializerId::FlatBuffers,
        }
    }
}

/// Authentication methods of the client commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// No proof.
    Anonymous,
    /// A ticket, sent in clear.
    Ticket,
    /// WAMP-CRA: a secret or salted password, proven by challenge and response.
    Wampcra,
    /// WAMP-SCRAM as the specification has it.
    WampScram,
    /// WAMP-SCRAM as Autobahn and Crossbar.io speak it.
    Scram,
    /// WAMP-Cryptosign: an Ed25519 key.
    Cryptosign,
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

/// How a call is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The callee learns nothing.
    Skip,
    /// The callee is interrupted and answers.
    Kill,
    /// The callee is interrupted, nobody waits for it.
    Killnowait,
}

impl From<Mode> for CancelMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Skip => CancelMode::Skip,
            Mode::Kill => CancelMode::Kill,
            Mode::Killnowait => CancelMode::KillNoWait,
        }
    }
}

/// How a call is spread over callees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunMode {
    /// The callee that the resource key belongs to.
    Partition,
}

/// The id of a session: 1 to 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session(pub SessionId);

impl FromStr for Session {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().ok().and_then(SessionId::new);
        id.map(Session).ok_or("a session id is an integer from 1 to 9007199254740992")
    }
}

/// A ticket, secret or password: `Debug` shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretText(pub Secret);

impl FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(SecretText(Secret::new(text)))
    }
}

/// A file with an Ed25519 private key: 64 hexadecimal digits, or a `key.priv` as `crossring keys` and Crossbar.io write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(pub PrivateKey);

impl FromStr for KeyFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let tagged = text.lines().find_map(|line| line.strip_prefix("private-key-ed25519:"));
        let key = octets(tagged.unwrap_or(&text).trim());
        key.map(|seed| KeyFile(PrivateKey::new(seed)))
            .ok_or_else(|| format!("{path} holds no Ed25519 private key"))
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
