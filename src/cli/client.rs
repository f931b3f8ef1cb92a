//! Definitions of the WAMP client commands `pub`, `sub`, `call` and `register`: arguments, parsed to types that cannot be wrong,
//! and handed to [`crate::client::commands`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use crossring_codec::serializer::Serializer as WireSerializer;

use super::{FAILURE, SUCCESS, complain};
use crossring_router::client::Credentials;
use crossring_router::credentials::scram::Dialect;

use crate::client::{ClientError, Destination, RouterUrl, commands};
use crate::tls::ClientSettings;

mod call;
mod publish;
mod register;
mod subscribe;
mod values;

pub use call::Call;
pub use publish::Publish;
pub use register::Register;
pub use subscribe::Subscribe;
pub use values::{
    AuthMethod, Invoke, JsonArgument, JsonObject, KeyFile, Match, Mode, Payload, RunMode, SecretText,
    Serializer, Session,
};

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
    /// Router: ws://host:port/path, rs://host:port or rs+unix:/path; with TLS wss:// or rss://.
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
    /// authid to ask for. With cryptosign the router finds it by the key, too.
    #[arg(long, required_if_eq_any([
        ("authmethod", "ticket"), ("authmethod", "wampcra"), ("authmethod", "wamp-scram"), ("authmethod", "scram"),
    ]))]
    pub authid: Option<String>,
    /// Ticket; better given in the environment than on the command line, which others can see.
    #[arg(long, env = "CROSSRING_TICKET", hide_env_values = true, required_if_eq("authmethod", "ticket"))]
    pub ticket: Option<SecretText>,
    /// Secret or password of wampcra, wamp-scram and scram; better given in the environment.
    #[arg(long, env = "CROSSRING_SECRET", hide_env_values = true, required_if_eq_any([
        ("authmethod", "wampcra"), ("authmethod", "wamp-scram"), ("authmethod", "scram"),
    ]))]
    pub secret: Option<SecretText>,
    /// File with the private key of cryptosign: 64 hexadecimal digits, or a key.priv.
    #[arg(long, value_name = "FILE", required_if_eq("authmethod", "cryptosign"))]
    pub private_key: Option<KeyFile>,
    /// File with certificates to trust, PEM: of authorities or of the router itself; may be repeated. Without it the
    /// authorities of this system are trusted.
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// File with a certificate to show, PEM, with what chain it needs.
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub certificate: Option<PathBuf>,
    /// File with the key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
    /// Seconds to wait for joining and for each answer of the router.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

impl Connection {
    fn destination(&self) -> Destination {
        Destination {
            url: self.url.clone(),
            realm: self.realm.clone(),
            tls: ClientSettings {
                authorities: self.ca.clone(),
                certificate: self.certificate.clone().zip(self.certificate_key.clone()),
            },
            serializer: WireSerializer::plain(self.serializer.into()),
            identity: self.credentials().map(|credentials| (self.authid.clone(), credentials)),
            timeout: Duration::from_secs(self.timeout),
        }
    }

    /// What proves who we are; `None`: anonymous. The command line has been checked for what each method needs.
    fn credentials(&self) -> Option<Credentials> {
        let secret = || self.secret.as_ref().map(|secret| secret.0.clone());
        match self.authmethod {
            AuthMethod::Anonymous => None,
            AuthMethod::Ticket => self.ticket.as_ref().map(|ticket| Credentials::Ticket(ticket.0.clone())),
            AuthMethod::Wampcra => secret().map(Credentials::Cra),
            AuthMethod::WampScram => {
                secret().map(|secret| Credentials::Scram(Dialect::Specification, secret))
            }
            AuthMethod::Scram => secret().map(|secret| Credentials::Scram(Dialect::Autobahn, secret)),
            AuthMethod::Cryptosign => {
                self.private_key.as_ref().map(|key| Credentials::Cryptosign(key.0.clone()))
            }
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
        ClientCommand::Pub(it) => commands::publish(to, &it.topic, &it.payload.arguments(), &it.publishing()),
        ClientCommand::Sub(it) => commands::subscribe(to, &it.topic, &it.subscribing()),
        ClientCommand::Call(it) => commands::call(to, &it.procedure, &it.payload.arguments(), &it.calling()),
        ClientCommand::Register(it) => commands::register(to, &it.procedure, &it.registering()),
    }
}

#[cfg(test)]
mod tests;
