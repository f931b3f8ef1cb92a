//! Dynamic authenticators: a procedure of a realm decides who somebody is.

use std::fmt;

use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use super::{
    Context, Denial, Grant, Hello, Method, PendingAuthentication, Provider, Step, entry, no_realm,
    text_or_null, value_of,
};
use crate::address::RealmId;
use crate::config::{Authenticator, TRUSTED};
use crate::inquiry::{Answer, Question, type_name};
use crate::limits::LIMIT_EXCEEDED;

/// What a procedure is asked about.
#[derive(Debug)]
pub(super) struct Asking {
    authenticator: Authenticator,
    method: Method,
    realm: Option<Box<str>>,
    /// What the peer calls itself, or what it is called if the procedure says nothing else.
    pub(super) authid: Option<Box<str>>,
    /// Empty once the procedure has been asked.
    authextra: Dict,
}

/// What a method does with what it is told.
pub(super) trait Finding: fmt::Debug + Send + 'static {
    /// The next step.
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial>;
}

/// What a procedure has told of somebody, secrets included.
pub(super) struct Told {
    /// Method of the attempt.
    pub(super) method: Method,
    /// Who it is, once there is a proof.
    pub(super) grant: Grant,
    /// `extra`: what the peer is told.
    pub(super) authextra: Dict,
    /// Everything.
    principal: Dict,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// There is nothing more to prove.
#[derive(Debug)]
pub(super) struct Join;

impl Finding for Join {
    fn found(self, told: Told, context: &mut Context<'_>) -> Result<Step, Denial> {
        told.grant.accept(told.method, told.authextra, context)
    }
}

impl Asking {
    /// What HELLO says.
    pub(super) fn new(authenticator: &Authenticator, method: Method, hello: &Hello<'_>) -> Self {
        Self {
            authenticator: authenticator.clone(),
            method,
            realm: hello.realm.map(Into::into),
            authid: hello.authid().map(Into::into),
            authextra: hello.details.authextra.clone(),
        }
    }

    /// `authenticator(realm, authid, details)`; `more` are details of the method. The answer goes to `finding`.
    pub(super) fn ask(
        mut self,
        more: Dict,
        finding: impl Finding,
        context: &Context<'_>,
    ) -> Result<Step, Denial> {
        let realm = self.place(context)?;
        let mut details = vec![
            entry("transport", Value::Dict(context.channel.to_dict())),
            entry("session", context.session.get()),
            entry("authmethod", self.method.as_str()),
            entry("authextra", Value::Dict(std::mem::take(&mut self.authextra))),
        ];
        details.extend(more);
        let arguments = vec![
            text_or_null(self.realm.as_deref()),
            text_or_null(self.authid.as_deref()),
            Value::Dict(details),
        ];
        let question = Question { realm, procedure: self.authenticator.procedure.clone(), arguments };
        Ok(Step::Ask(Box::new(Asked { asking: self, finding }), question))
    }

    /// As [`Self::ask`], with what HELLO asks for as details of the method.
    pub(super) fn ask_with_names(
        self,
        hello: &Hello<'_>,
        finding: impl Finding,
        context: &Context<'_>,
    ) -> Result<Step, Denial> {
        let authrole = hello.details.authrole.as_deref();
        let names = [("authid", hello.authid()), ("authrole", authrole)];
        self.ask(names.map(|(key, name)| entry(key, text_or_null(name))).into(), finding, context)
    }

    /// The realm on which the procedure is called.
    fn place(&self, context: &Context<'_>) -> Result<RealmId, Denial> {
        let realm = match (&self.authenticator.realm, &self.realm) {
            (Some(name), _) => context.realms.find_realm(name).ok_or_else(|| {
                let message =
                    format!("explicit realm <{name}> configured for dynamic authenticator does not exist");
                Denial::new(well_known::NO_SUCH_REALM, message)
            }),
            (None, Some(name)) => context.realms.find_realm(name).ok_or_else(|| no_realm(name)),
            (None, None) => Err(Denial::new(well_known::NO_SUCH_REALM, "no realm requested")),
        }?;
        let role = self.authenticator.role.as_deref().filter(|role| *role != TRUSTED);
        match role.filter(|role| context.realms.find_role(realm, role).is_none()) {
            None => Ok(realm),
            Some(role) => {
                let name = context.realms.realm_name(realm);
                let message = format!(
                    "explicit role <{role}> on realm <{name}> configured for dynamic authenticator does not exist"
                );
                Err(Denial::new(well_known::NO_SUCH_ROLE, message))
            }
        }
    }

    /// Reads the answer: a role, or the dict of a principal.
    fn read(self, answer: Answer) -> Result<Told, Denial> {
        let principal = match answer {
            Answer::Result(arguments, _) => arguments.into_iter().next().unwrap_or_default(),
            Answer::Error(reason, arguments) => return Err(denial(reason, arguments)),
        };
        let principal = match principal {
            Value::String(role) => vec![entry("role", role.as_str())],
            Value::Dict(principal) => principal,
            other => return Err(invalid_type(&other)),
        };
        let mut told = Told {
            method: self.method,
            grant: Grant { realm: None, authid: None, role: None, provider: Provider::Dynamic },
            authextra: Dict::new(),
            principal,
        };
        told.grant.realm = told.name("realm")?.or(self.realm);
        told.grant.authid = told.name("authid")?.or(self.authid);
        told.grant.role = told.name("role")?.or(self.authenticator.default_role);
        told.authextra = match told.value("extra") {
            None => Dict::new(),
            Some(Value::Dict(extra)) => extra.clone(),
            Some(_) => return Err(failed("\"extra\" is no dict")),
        };
        Ok(told)
    }
}

impl Told {
    /// An entry; null is as good as absent.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        value_of(&self.principal, key)
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Denial> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(failed(&format!("\"{key}\" is no string"))),
        }
    }

    /// A text that has to be there.
    pub(super) fn required(&self, key: &str) -> Result<&str, Denial> {
        self.text(key)?.ok_or_else(|| failed(&format!("\"{key}\" is missing")))
    }

    /// A whole number that is not negative.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>, Denial> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| failed(&format!("\"{key}\" is out of bounds")))
    }

    fn name(&self, key: &str) -> Result<Option<Box<str>>, Denial> {
        Ok(self.text(key)?.filter(|name| !name.is_empty()).map(Into::into))
    }
}

/// Waits for the answer of a procedure.
#[derive(Debug)]
struct Asked<F> {
    asking: Asking,
    finding: F,
}

impl<F: Finding> PendingAuthentication for Asked<F> {
    fn answered(self: Box<Self>, answer: Answer, context: &mut Context<'_>) -> Step {
        let Self { asking, finding } = *self;
        let step = asking.read(answer).and_then(|told| finding.found(told, context));
        step.unwrap_or_else(Step::Deny)
    }
}

/// Errors by which there is no answer: those of the router itself, and those of libraries whose handler has failed. Every other
/// error is the authenticator's *no*.
const OUTAGES: [&str; 13] = [
    well_known::CANCELED,
    well_known::FEATURE_NOT_SUPPORTED,
    well_known::INVALID_ARGUMENT,
    well_known::MAX_CONCURRENCY_REACHED,
    well_known::NETWORK_FAILURE,
    well_known::NO_AVAILABLE_CALLEE,
    well_known::NO_SUCH_PROCEDURE,
    well_known::PAYLOAD_SIZE_EXCEEDED,
    well_known::RUNTIME_ERROR,
    well_known::SYSTEM_SHUTDOWN,
    well_known::TIMEOUT,
    well_known::UNAVAILABLE,
    LIMIT_EXCEEDED,
];

/// What an error of the procedure is told as.
fn denial(reason: Box<str>, arguments: Vec<Value>) -> Denial {
    let message = match arguments.into_iter().next() {
        Some(Value::String(text)) => text,
        Some(other) => in_json(&other),
        None => "dynamic authenticator failed".to_owned(),
    };
    let is_failure = !OUTAGES.contains(&&*reason);
    Denial { reason: reason.into_string().into(), message, is_failure }
}

/// The authenticator has answered nonsense.
pub(super) fn failed(why: &str) -> Denial {
    Denial::new(well_known::AUTHENTICATION_FAILED, format!("dynamic authenticator failed: {why}"))
}

/// In Crossbar.io's words.
fn invalid_type(value: &Value) -> Denial {
    let name = type_name(value);
    let message = format!("got invalid return type \"<class '{name}'>\" from dynamic authenticator");
    Denial::new(well_known::AUTHENTICATION_FAILED, message)
}

fn in_json(value: &Value) -> String {
    let mut octets = Vec::new();
    let written = value.encode(SerializerId::Json, &mut octets);
    written.ok().and_then(|()| String::from_utf8(octets).ok()).unwrap_or_default()
}
