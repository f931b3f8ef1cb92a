//! What the meta API says of subscriptions and registrations alike.

use crossring_codec::id::SessionId;
use crossring_codec::uri::{Match, is_restricted, well_known};
use crossring_codec::value::{Dict, Value};

use super::arguments::Question;
use super::{Context, Failure};
use crate::address::SessionAddress;
use crate::registry::{Entry, Session};
use crate::rfc3339;

/// Subscriptions or registrations, in errors.
#[derive(Copy, Clone, Debug)]
pub(super) enum Kind {
    Subscription,
    Registration,
}

impl Kind {
    /// No such entry.
    pub(super) fn unknown(self, id: i128) -> Failure {
        match self {
            Kind::Subscription => Failure::with_text(
                well_known::NO_SUCH_SUBSCRIPTION,
                format!("no subscription with ID {id} exists on this broker"),
            ),
            Kind::Registration => Failure::with_text(
                well_known::NO_SUCH_REGISTRATION,
                format!("no registration with ID {id} exists on this dealer"),
            ),
        }
    }

    /// The entry, if there is one and the caller may see it. `deed` is what the caller is about, for the error.
    pub(super) fn check<'a>(
        self,
        entry: Option<Entry<'a>>,
        id: i128,
        question: &Question<'_>,
        deed: &str,
    ) -> Result<Entry<'a>, Failure> {
        let entry = entry.ok_or_else(|| self.unknown(id))?;
        if is_visible(&entry, question) {
            return Ok(entry);
        }
        let noun = match self {
            Kind::Subscription => "subscription",
            Kind::Registration => "registration",
        };
        let text = match deed {
            "get" => format!("not authorized to get {noun} for protected URI \"{}\"", entry.uri),
            _ => format!("not authorized to {deed} for protected URI \"{}\"", entry.uri),
        };
        Err(Failure::with_message(well_known::NOT_AUTHORIZED, text))
    }
}

/// Whether the URI is one of the router's own, which only its own sessions see.
pub(super) fn is_protected(uri: &str) -> bool {
    is_restricted(uri)
}

pub(super) fn is_visible(entry: &Entry<'_>, question: &Question<'_>) -> bool {
    question.is_trusted || !is_protected(entry.uri)
}

/// `{id, created, uri, match}`, and `invoke` of a registration.
pub(crate) fn describe(entry: &Entry<'_>) -> Value {
    let mut details: Dict = vec![
        ("id".to_owned(), entry.id.into()),
        ("created".to_owned(), Value::String(rfc3339::format(entry.created_ms))),
        ("uri".to_owned(), entry.uri.into()),
        ("match".to_owned(), entry.match_policy.as_str().into()),
    ];
    if let Some(invoke) = entry.invoke {
        details.push(("invoke".to_owned(), invoke.as_str().into()));
    }
    Value::Dict(details)
}

/// `{exact, prefix, wildcard}`: the ids of what the caller may see.
pub(super) fn by_policy<'a>(entries: impl Iterator<Item = Entry<'a>>, question: &Question<'_>) -> Value {
    let (mut exact, mut prefix, mut wildcard) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries.filter(|entry| is_visible(entry, question)) {
        match entry.match_policy {
            Match::Exact => exact.push(Value::from(entry.id)),
            Match::Prefix => prefix.push(Value::from(entry.id)),
            Match::Wildcard => wildcard.push(Value::from(entry.id)),
        }
    }
    let list = |name: &str, ids| (name.to_owned(), Value::List(ids));
    Value::Dict(vec![list("exact", exact), list("prefix", prefix), list("wildcard", wildcard)])
}

/// Ids as a value.
pub(super) fn session_ids(ids: impl Iterator<Item = SessionId>) -> Value {
    Value::List(ids.map(|id| Value::from(id.get())).collect())
}

/// Number of something as a value.
pub(super) fn count(ids: impl Iterator<Item = SessionId>) -> Value {
    Value::Integer(ids.count() as i128)
}

/// A client's session of the realm.
pub(super) fn find_client<'a>(
    context: &'a Context<'_>,
    id: i128,
) -> Result<(SessionAddress, &'a Session), Failure> {
    let session = u64::try_from(id).ok().and_then(SessionId::new);
    let found = session.and_then(|session| context.registry.client_by_id(context.realm, session));
    found.ok_or_else(|| no_such_session(id))
}

pub(super) fn no_such_session(id: i128) -> Failure {
    let text = format!("no session with ID {id} exists on this router");
    Failure::with_text(well_known::NO_SUCH_SESSION, text)
}

/// A number as an id that tables may be asked for; out of every table's range if it cannot be one.
pub(super) fn as_id(number: i128) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
