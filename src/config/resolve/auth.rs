//! Authentication methods that this version builds; the survey names the others.

use super::super::cursor::Cursor;
use super::super::node::{AnonymousAuth, AuthConfig, AuthMethod, Secret, TicketAuth, TicketPrincipal};
use super::super::syntax;
use super::Resolver;

/// `None` where nothing is configured: an absent or empty `auth` lets anybody in as `anonymous`.
pub(super) fn auth(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<AuthConfig> {
    let method = |(name, method): (&str, Cursor<'_>)| match name {
        "anonymous" => Some(AuthMethod::Anonymous(anonymous(&method))),
        "ticket" => Some(AuthMethod::Ticket(ticket(&method, resolver))),
        _ => None,
    };
    let methods: Vec<_> = written.members().filter_map(method).collect();
    (!methods.is_empty()).then_some(AuthConfig { methods })
}

fn anonymous(written: &Cursor<'_>) -> AnonymousAuth {
    AnonymousAuth {
        role: written.key("role").string().unwrap_or_else(|| "anonymous".into()),
        authid: written.key("authid").string(),
    }
}

fn ticket(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> TicketAuth {
    let default_role = written.key("default-role").string();
    let principals = written.key("principals");
    let principal = |(authid, principal): (&str, Cursor<'_>)| TicketPrincipal {
        authid: authid.to_string(),
        ticket: secret(&principal.key("ticket"), resolver),
        role: principal.key("role").string().or_else(|| default_role.clone()),
    };
    TicketAuth { principals: principals.members().map(principal).collect() }
}

/// A secret, or that of `${NAME}`. A variable that is not set leaves no secret, so no login can succeed.
fn secret(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Option<Secret> {
    let text = written.text()?;
    let Some(name) = syntax::braced_reference(text) else { return Some(Secret::new(text)) };
    let value = (resolver.environment)(name);
    if value.is_none() {
        resolver
            .warnings
            .push(format!("{}: environment variable '{name}' not set: no login can succeed", written.path));
    }
    value.map(Secret::new)
}
