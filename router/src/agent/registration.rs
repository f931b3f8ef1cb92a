//! `wamp.registration.…` (wamp.md 3.3).

use crossring_codec::id::RegistrationId;
use crossring_codec::uri::well_known;
use crossring_codec::value::Value;

use super::arguments::{Names, Question, SESSION};
use super::entry::{self, Kind};
use super::{Answer, Context, Failure, Reply};
use crate::registry::Entry;

const REGISTRATION: Names = &["registration_id", "registration"];
const CALLEE: Names = &["callee_id", "session"];
const PROCEDURE: Names = &["procedure"];
const REASON: Names = &["reason"];

/// All registrations, or those of a session.
pub(super) fn list(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let (registry, realm) = (&*context.registry, context.realm);
    let Some(session) = question.optional_integer(0, SESSION)? else {
        return Reply::one(entry::by_policy(registry.registration_entries(realm), question));
    };
    let held = entry::find_client(context, session)?.1.registrations_held();
    let entries = held.into_iter().filter_map(|id| registry.registration_entry(realm, id));
    Reply::one(entry::by_policy(entries, question))
}

/// The registration of exactly this.
pub(super) fn lookup(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let procedure = question.text(0, PROCEDURE)?;
    let id = context.registry.find_registration(context.realm, procedure, question.match_option(1)?);
    let visible = id.filter(|_| question.is_trusted || !entry::is_protected(procedure));
    Reply::one(visible.map_or(Value::Null, Value::from))
}

/// The registration that a call goes to.
pub(super) fn match_procedure(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let best = context.registry.matching_registration(context.realm, question.text(0, PROCEDURE)?);
    let visible = best.filter(|entry| entry::is_visible(entry, question));
    Reply::one(visible.map_or(Value::Null, |entry| Value::from(entry.id)))
}

/// One registration.
pub(super) fn get(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    Reply::one(entry::describe(&find(context, question, "get")?))
}

/// The callees.
pub(super) fn list_callees(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = find(context, question, "list callees")?.id;
    Reply::one(entry::session_ids(context.registry.callees(id)))
}

/// How many callees there are.
pub(super) fn count_callees(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = find(context, question, "count callees")?.id;
    Reply::one(entry::count(context.registry.callees(id)))
}

/// Revokes the registration of one callee.
pub(super) fn remove_callee(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let callee = question.integer(1, CALLEE)?;
    let reason = question.optional_text(2, REASON)?.unwrap_or(well_known::UNREGISTERED);
    let id = find(context, question, "remove callee")?.id;
    let (address, session) = entry::find_client(context, callee)?;
    let held = RegistrationId::new(id).filter(|id| session.is_callee(*id));
    let Some(registration) = held else {
        let text = format!("session {callee} is not registered on registration {id} on this dealer");
        return Err(Failure::with_text(well_known::NO_SUCH_REGISTRATION, text));
    };
    context.registry.unregister(address, registration, Some(reason), &mut context.out);
    Reply::none()
}

fn find<'a>(context: &'a Context<'_>, question: &Question<'_>, deed: &str) -> Result<Entry<'a>, Failure> {
    let id = question.integer(0, REGISTRATION)?;
    let known = context.registry.registration_entry(context.realm, entry::as_id(id));
    Kind::Registration.check(known, id, question, deed)
}
