//! The router service agent: the WAMP meta API of a realm, as procedures on the registry and events from its notices.
//!
//! Nothing here knows that calls are routed: a procedure is given arguments and returns a result. [`crate::control`] registers
//! them for the service session of each realm, turns INVOCATIONs into calls of them and publishes what they leave.

use crossring_codec::id::SessionId;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use crate::address::{RealmId, RoleId};
use crate::authz::{Authorization, Ruling};
use crate::control::permissions::Wanted;
use crate::outbox::Post;
use crate::registry::Registry;
use crate::store::RealmStore;

mod arguments;
mod authorization;
mod entry;
mod registration;
mod schema;
mod session;
mod subscription;
pub(crate) mod testament;
#[cfg(test)]
mod tests;

use arguments::Question;
pub(crate) use entry::describe;
pub(crate) use schema::Schemas;
pub(crate) use session::details as session_details;

/// What meta procedures work on.
pub(crate) struct Context<'a> {
    /// Sessions, subscriptions, registrations.
    pub(crate) registry: &'a mut Registry,
    /// What the realm keeps.
    pub(crate) store: &'a mut dyn RealmStore,
    /// Who may publish what.
    pub(crate) authorization: &'a Authorization,
    /// What is defined on the realm.
    pub(crate) schemas: &'a mut Schemas,
    /// The realm of the caller.
    pub(crate) realm: RealmId,
    /// Letters to other shards.
    pub(crate) out: &'a mut dyn Post,
    /// What the agent has to publish because of the call: topics and arguments.
    pub(crate) events: Vec<(&'static str, Vec<Value>)>,
    /// What has to happen before the call is answered; what it has returned does not count then.
    pub(crate) open: Option<Open>,
}

/// What has to happen before a call is answered.
#[derive(Debug)]
pub(crate) enum Open {
    /// The authorizer of the caller's role has to be asked, with these options; the call is made again then.
    Permission(Wanted, Dict),
    /// All shards have to forget what authorizers have said of these roles.
    Voided(Vec<RoleId>),
}

impl Context<'_> {
    /// Whether a role of the realm may do something. `options` are for its authorizer.
    ///
    /// # Errors
    /// The authorizer has failed, or it has to be asked: then `open` says so.
    fn may(
        &mut self,
        realm: RealmId,
        role: RoleId,
        wanted: Wanted,
        options: impl FnOnce() -> Dict,
    ) -> Result<bool, Failure> {
        let Wanted { action, uri, match_policy } = &wanted;
        match self.authorization.decide(realm, role, *action, uri, *match_policy) {
            Some(Ruling::Lasting(decision) | Ruling::Once(decision)) => {
                Ok(decision.allow.has(action.alone()))
            }
            Some(Ruling::Failed { text, .. }) => {
                Err(Failure::with_text(well_known::AUTHORIZATION_FAILED, text.into_string()))
            }
            None => {
                self.open = Some(Open::Permission(wanted, options()));
                Err(Failure::new(well_known::AUTHORIZATION_FAILED))
            }
        }
    }
}

/// The result of a meta procedure.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reply {
    /// RESULT.Arguments
    pub(crate) arguments: Vec<Value>,
    /// RESULT.ArgumentsKw
    pub(crate) keywords: Dict,
}

impl Reply {
    fn one(value: impl Into<Value>) -> Answer {
        Ok(Self { arguments: vec![value.into()], keywords: Dict::new() })
    }

    fn none() -> Answer {
        Ok(Self::default())
    }
}

/// Why a meta procedure failed.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    /// The error's URI.
    pub(crate) error: &'static str,
    /// ERROR.Arguments
    pub(crate) arguments: Vec<Value>,
    /// ERROR.ArgumentsKw
    pub(crate) keywords: Dict,
}

impl Failure {
    /// An error without arguments.
    pub(crate) fn new(error: &'static str) -> Self {
        Self { error, arguments: Vec::new(), keywords: Dict::new() }
    }

    /// `wamp.error.invalid_argument` with a text.
    pub(crate) fn invalid_argument(text: String) -> Self {
        Self::with_text(well_known::INVALID_ARGUMENT, text)
    }

    fn with_text(error: &'static str, text: String) -> Self {
        Self { error, arguments: vec![Value::String(text)], keywords: Dict::new() }
    }

    /// The same error with its text in the keyword `message`.
    fn with_text_as_message(self) -> Self {
        let text = self.arguments.into_iter().next().unwrap_or_default();
        Self { arguments: Vec::new(), keywords: vec![("message".to_owned(), text)], ..self }
    }

    /// The text in the keyword `message`, where Crossbar.io has it for this error.
    fn with_message(error: &'static str, text: String) -> Self {
        let keywords = vec![("message".to_owned(), Value::String(text))];
        Self { error, arguments: Vec::new(), keywords }
    }
}

/// What calling a meta procedure gives.
pub(crate) type Answer = Result<Reply, Failure>;

type Handler = fn(&mut Context<'_>, &Question<'_>) -> Answer;

/// A meta procedure.
#[derive(Debug)]
pub(crate) struct Procedure {
    pub(crate) uri: &'static str,
    handler: Handler,
}

const fn procedure(uri: &'static str, handler: Handler) -> Procedure {
    Procedure { uri, handler }
}

/// Makes authorizers be asked anew. Registered where there are any.
pub(crate) const INVALIDATE: &str = "wamp.authorization.invalidate";

/// All meta procedures, in the order in which they are registered.
pub(crate) const PROCEDURES: &[Procedure] = &[
    procedure("wamp.session.count", session::count),
    procedure("wamp.session.list", session::list),
    procedure("wamp.session.get", session::get),
    procedure("wamp.session.kill", session::kill),
    procedure("wamp.session.kill_by_authid", session::kill_by_authid),
    procedure("wamp.session.kill_by_authrole", session::kill_by_authrole),
    procedure("wamp.session.kill_all", session::kill_all),
    procedure("wamp.session.modify_details", session::modify_details),
    procedure("wamp.session.add_testament", testament::add),
    procedure("wamp.session.flush_testaments", testament::flush),
    procedure("wamp.subscription.list", subscription::list),
    procedure("wamp.subscription.lookup", subscription::lookup),
    procedure("wamp.subscription.match", subscription::match_topic),
    procedure("wamp.subscription.get", subscription::get),
    procedure("wamp.subscription.list_subscribers", subscription::list_subscribers),
    procedure("wamp.subscription.count_subscribers", subscription::count_subscribers),
    procedure("wamp.subscription.remove_subscriber", subscription::remove_subscriber),
    procedure("wamp.subscription.get_events", subscription::get_events),
    procedure("wamp.registration.list", registration::list),
    procedure("wamp.registration.lookup", registration::lookup),
    procedure("wamp.registration.match", registration::match_procedure),
    procedure("wamp.registration.get", registration::get),
    procedure("wamp.registration.list_callees", registration::list_callees),
    procedure("wamp.registration.count_callees", registration::count_callees),
    procedure("wamp.registration.remove_callee", registration::remove_callee),
    procedure(INVALIDATE, authorization::invalidate),
    procedure("wamp.schema.define", schema::define),
    procedure("wamp.schema.describe", schema::describe),
    procedure("wamp.reflect.define", schema::define),
    procedure("wamp.reflect.describe", schema::describe),
    procedure("wamp.reflection.topic.list", schema::list_topics),
    procedure("wamp.reflection.topic.describe", schema::describe_topic),
    procedure("wamp.reflection.procedure.list", schema::list_procedures),
    procedure("wamp.reflection.procedure.describe", schema::describe_procedure),
    procedure("wamp.reflection.error.list", schema::list_errors),
    procedure("wamp.reflection.error.describe", schema::describe_error),
];

impl Procedure {
    /// Calls the procedure.
    ///
    /// # Errors
    /// As wamp.md 3.2 to 3.4 say for the procedure; `wamp.error.invalid_argument` for arguments that are missing or of a
    /// wrong type.
    pub(crate) fn call(
        &self,
        context: &mut Context<'_>,
        caller: SessionId,
        arguments: &[Value],
        keywords: &Dict,
    ) -> Answer {
        let asking = context.registry.session_by_id(caller);
        let is_trusted = asking.is_some_and(|(_, session)| context.registry.is_internal(session));
        (self.handler)(context, &Question::new(caller, is_trusted, arguments, keywords))
    }
}

/// The caller has left before it was heard.
pub(crate) fn no_caller() -> Failure {
    Failure::with_text(well_known::NO_SUCH_SESSION, "the caller has left".to_owned())
}

/// Octets a value takes, for limits.
fn octets(value: &Value) -> usize {
    let mut octets = Vec::new();
    match value.encode(SerializerId::Cbor, &mut octets) {
        Ok(()) => octets.len(),
        Err(_) => usize::MAX,
    }
}
