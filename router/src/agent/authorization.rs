//! `wamp.authorization.invalidate`: what authorizers have said and told to remember does not count any more.

use crossring_codec::uri::well_known;

use super::arguments::Question;
use super::{Answer, Context, Failure, INVALIDATE, Open, Reply};
use crate::address::RoleId;

/// An authorizer takes back what it has said; the router's own sessions may do so for all of them. Answered when no shard
/// remembers anything of it.
pub(super) fn invalidate(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let (registry, realm) = (&*context.registry, context.realm);
    let decides = |authorizer: &str| {
        let registration = registry.matching_registration(realm, authorizer);
        registration.is_some_and(|found| registry.callees(found.id).any(|callee| callee == question.caller))
    };
    let is_its = |authorizer: &str| question.is_trusted || decides(authorizer);
    let roles: Vec<RoleId> = context.authorization.roles_of(realm, is_its).collect();
    if roles.is_empty() {
        let text = format!("only an authorizer of the realm may call {INVALIDATE}");
        return Err(Failure::with_text(well_known::NOT_AUTHORIZED, text));
    }
    context.open = Some(Open::Voided(roles));
    Reply::none()
}
