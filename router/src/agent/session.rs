//! `wamp.session.…` (wamp.md 3.2), testaments apart.

use crossring_codec::uri::{Match, Strictness, is_valid, well_known};
use crossring_codec::value::{Dict, Value};

use super::arguments::{Names, Question, SESSION};
use super::entry::{self, no_such_session};
use super::{Answer, Context, Failure, Reply};
use crate::address::SessionAddress;
use crate::details;
use crate::limits::LIMIT_EXCEEDED;
use crate::registry::{Registry, Session};

const FILTER: Names = &["filter_authroles"];
const DETAILS: Names = &["details", "delta"];

/// What a session is, and nobody may change by `wamp.session.modify_details`.
const IDENTITY: [&str; 6] = ["session", "realm", "authid", "authrole", "authmethod", "authprovider"];

/// What `wamp.session.on_join` and `wamp.session.get` tell of a session.
pub(crate) fn details(registry: &Registry, session: &Session) -> Dict {
    let mut details = details::session_details(registry.config(), session);
    let added = session.extras.iter().flat_map(|extras| &extras.details);
    for (name, value) in added {
        merge(&mut details, name, value);
    }
    details
}

/// How many sessions there are.
pub(super) fn count(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let filter = question.optional_texts(0, FILTER)?;
    let is_wanted = |role: &str| filter.as_ref().is_none_or(|filter| filter.contains(&role));
    Reply::one(context.registry.clients_joined(context.realm, is_wanted))
}

/// The ids of all sessions.
pub(super) fn list(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let filter = question.optional_texts(0, FILTER)?;
    let registry = &*context.registry;
    let is_wanted = |session: &Session| {
        filter.as_ref().is_none_or(|filter| filter.contains(&registry.role_name(session)))
    };
    let wanted = registry.clients(context.realm).filter(|(_, session)| is_wanted(session));
    Reply::one(entry::session_ids(wanted.map(|(_, session)| session.id)))
}

/// One session.
pub(super) fn get(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let (_, session) = entry::find_client(context, question.integer(0, SESSION)?)?;
    Reply::one(Value::Dict(details(context.registry, session)))
}

/// Ends one session.
pub(super) fn kill(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = question.integer(0, SESSION)?;
    let farewell = Farewell::read(context, question, 1)?;
    let (address, session) = entry::find_client(context, id)?;
    if session.id == question.caller {
        return Err(no_such_session(id));
    }
    farewell.say(context, address, false);
    Reply::none()
}

/// Ends the sessions of one identity; their ids.
pub(super) fn kill_by_authid(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let authid = question.text(0, &["authid"])?;
    let farewell = Farewell::read(context, question, 1)?;
    let killed =
        farewell.say_to_all(context, question, false, |_, session| &*session.identity.authid == authid);
    Reply::one(Value::List(killed))
}

/// Ends the sessions of one role; how many there were.
pub(super) fn kill_by_authrole(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let authrole = question.text(0, &["authrole"])?;
    let farewell = Farewell::read(context, question, 1)?;
    let has_role = |registry: &Registry, session: &Session| registry.role_name(session) == authrole;
    let killed = farewell.say_to_all(context, question, false, has_role);
    Reply::one(killed.len() as u64)
}

/// Ends all sessions; how many there were. Neither `on_leave` nor testaments are published.
pub(super) fn kill_all(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let farewell = Farewell::read(context, question, 0)?;
    let killed = farewell.say_to_all(context, question, true, |_, _| true);
    Reply::one(killed.len() as u64)
}

/// Changes what is told of a session: entries of a dict take the place of former ones, null removes them.
pub(super) fn modify_details(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = question.integer(0, SESSION)?;
    let delta = question.dict(1, DETAILS)?;
    if let Some((name, _)) = delta.iter().find(|(name, _)| IDENTITY.contains(&name.as_str())) {
        let text = format!("{name} of a session cannot be changed");
        return Err(Failure::with_text(well_known::INVALID_ARGUMENT, text));
    }
    let (address, session) = entry::find_client(context, id)?;
    let mut changed = session.extras.as_ref().map(|extras| extras.details.clone()).unwrap_or_default();
    for (name, value) in &delta {
        merge(&mut changed, name, value);
    }
    let changed = Value::Dict(changed);
    if super::octets(&changed) > context.registry.limits().detail_octets_per_session_max as usize {
        let text = "too many details of one session".to_owned();
        return Err(Failure::with_text(LIMIT_EXCEEDED, text));
    }
    if let (Some(session), Value::Dict(changed)) = (context.registry.session_mut(address), changed) {
        session.extras_mut().details = changed;
    }
    Reply::none()
}

/// Takes an entry over; null removes it.
fn merge(details: &mut Dict, name: &str, value: &Value) {
    let place = details.iter().position(|(known, _)| known == name);
    match (place, value) {
        (Some(index), Value::Null) => drop(details.remove(index)),
        (Some(index), value) => details[index].1 = value.clone(),
        (None, Value::Null) => {}
        (None, value) => details.push((name.to_owned(), value.clone())),
    }
}

/// Reason and message of GOODBYE.
struct Farewell<'a> {
    reason: &'a str,
    message: Option<&'a str>,
}

impl<'a> Farewell<'a> {
    /// Reads `reason` and `message`, which follow from `position`.
    fn read(context: &Context<'_>, question: &Question<'a>, position: usize) -> Result<Self, Failure> {
        let reason = question.optional_text(position, &["reason"])?.unwrap_or(well_known::KILLED);
        let message = question.optional_text(position + 1, &["message"])?;
        let is_too_long = reason.len() > context.registry.limits().uri_size_max as usize;
        if is_too_long || !is_valid(reason, Match::Exact, Strictness::Loose) {
            let text = "the reason is no valid URI".to_owned();
            return Err(Failure::with_text(well_known::INVALID_URI, text));
        }
        Ok(Self { reason, message })
    }

    fn say(&self, context: &mut Context<'_>, address: SessionAddress, silently: bool) {
        context.registry.kill(address, self.reason, self.message, silently, &mut context.out);
    }

    /// Ends all wanted sessions but the caller's; their ids.
    fn say_to_all(
        &self,
        context: &mut Context<'_>,
        question: &Question<'_>,
        silently: bool,
        is_wanted: impl Fn(&Registry, &Session) -> bool,
    ) -> Vec<Value> {
        let registry = &*context.registry;
        let wanted: Vec<(SessionAddress, u64)> = registry
            .clients(context.realm)
            .filter(|(_, session)| session.id != question.caller && is_wanted(registry, session))
            .map(|(address, session)| (address, session.id.get()))
            .collect();
        for (address, _) in &wanted {
            self.say(context, *address, silently);
        }
        wanted.into_iter().map(|(_, id)| id.into()).collect()
    }
}
