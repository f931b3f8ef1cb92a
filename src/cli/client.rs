//! Definitions of the WAMP client commands `pub`, `sub`, `call` and `register`: arguments, parsed to types that cannot be wrong.
//! Carrying them out is not this module's business.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

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
    /// Register a procedure that answers every call with its own arguments.
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
    /// Seconds that the whole command may take; 0 = no limit.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub timeout: u64,
}

impl Connection {
    /// The time that the whole command may take.
    pub fn time_limit(&self) -> Option<Duration> {
        (self.timeout > 0).then(|| Duration::from_secs(self.timeout))
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

/// Where a router listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterUrl {
    /// `ws://host[:port][/path]`.
    WebSocket {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 80 when absent.
        port: u16,
        /// Request path, `/` when absent.
        path: String,
    },
    /// `rs://host:port`.
    RawSocket {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 8081 when absent.
        port: u16,
    },
    /// `rs+unix:/path` or `rs+unix:///path`.
    RawSocketUnix {
        /// Path of the socket.
        path: PathBuf,
    },
}

impl FromStr for RouterUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("rs+unix:").map(|path| path.strip_prefix("//").unwrap_or(path))
        {
            return match path.is_empty() {
                true => Err("the path of the socket is missing".into()),
                false => Ok(RouterUrl::RawSocketUnix { path: path.into() }),
            };
        }
        if let Some(rest) = text.strip_prefix("ws://") {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let (host, port) = host_and_port(authority, 80)?;
            let path = if path.is_empty() { "/" } else { path };
            return Ok(RouterUrl::WebSocket { host, port, path: path.into() });
        }
        if let Some(rest) = text.strip_prefix("rs://") {
            let (host, port) = host_and_port(rest.trim_end_matches('/'), 8081)?;
            return Ok(RouterUrl::RawSocket { host, port });
        }
        Err("expected ws://host:port/path, rs://host:port or rs+unix:/path".into())
    }
}

/// Splits `host`, `host:port` or `[address]:port`.
fn host_and_port(authority: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!("no host in {authority:?}"));
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| format!("no port in {authority:?}"))?,
        None => default_port,
    };
    Ok((host.into(), port))
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
    fn urls_are_told_apart() {
        let websocket = |host: &str, port, path: &str| RouterUrl::WebSocket {
            host: host.into(),
            port,
            path: path.into(),
        };
        let rawsocket = |host: &str, port| RouterUrl::RawSocket { host: host.into(), port };
        let unix = |path: &str| RouterUrl::RawSocketUnix { path: path.into() };
        let good = [
            ("ws://a", websocket("a", 80, "/")),
            ("ws://[::1]:8080/ws?x", websocket("::1", 8080, "/ws?x")),
            ("rs://a:1", rawsocket("a", 1)),
            ("rs://a", rawsocket("a", 8081)),
            ("rs+unix:/run/s", unix("/run/s")),
            ("rs+unix:///run/s", unix("/run/s")),
            ("rs+unix:s", unix("s")),
        ];
        for (text, expected) in good {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "http://a", "ws://", "ws://:1", "rs://a:b", "rs://a:70000", "rs+unix:", "ws://a b"] {
            assert!(text.parse::<RouterUrl>().is_err(), "{text}");
        }
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
        assert_eq!(command.connection().time_limit(), None);
    }
}
