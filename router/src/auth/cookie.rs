//! `cookie`: somebody who has logged in before comes back with the tracking cookie of that time. Decided before any other
//! method, whatever the order in which the client names them.

use crossring_codec::message::HelloDetails;
use crossring_codec::uri::well_known;

use super::{Denial, Identity, Method, Provider, Step};
use crate::address::{RealmId, RoleId, TransportId};
use crate::config::{RoleConfig, RouterConfig};
use crate::cookies::CookieLogin;
use crate::details::TransportDetails;

/// The method's name in `HELLO.Details.authmethods`.
const NAME: &str = "cookie";

/// Whether HELLO wants to be let in by the cookie.
pub(crate) fn is_offered(details: &HelloDetails<'_>) -> bool {
    details.authmethods.iter().any(|method| method == NAME)
}

/// Lets in who has logged in before, as who that was. `None`: that login means nothing any more.
pub(crate) fn accept(config: &RouterConfig, login: &CookieLogin) -> Option<Step> {
    let method = Method::from_wire(&login.authmethod).filter(|method| *method != Method::Cookie)?;
    let Some((realm, role)) = place(config, login) else {
        let message = format!(
            "session was previously authenticated (via transport), but role \"{}\" no longer exists on realm \"{}\"",
            login.authrole, login.realm
        );
        return Some(Step::Deny(Denial::new(well_known::NO_SUCH_ROLE, message)));
    };
    Some(Step::Accept(Identity {
        realm,
        role,
        authid: login.authid.clone(),
        method,
        provider: Provider::Cookie,
        authextra: (!login.authextra.is_empty()).then(|| Box::new(login.authextra.clone())),
    }))
}

/// The cookie as an identity, where nobody can log in with it.
pub(crate) fn pseudonym(
    config: &RouterConfig,
    transport: TransportId,
    channel: &TransportDetails,
) -> Option<Box<str>> {
    let tracking = config.tracking(transport)?;
    let is_told = tracking.names_anonymous && !config.is_secret(tracking);
    channel.cookie().filter(|_| is_told).map(|cookie| cookie.expose().into())
}

/// The realm and the role of that time. What a store says does not make anybody trusted.
fn place(config: &RouterConfig, login: &CookieLogin) -> Option<(RealmId, RoleId)> {
    let realm = config.realms.iter().position(|realm| realm.name == login.realm)?;
    let is_same = |role: &RoleConfig| role.name == login.authrole && !role.is_trusted;
    let role = config.realms[realm].roles.iter().position(is_same)?;
    Some((RealmId(realm as u16), RoleId(role as u16)))
}

/// What will let somebody in again.
pub(crate) fn login(config: &RouterConfig, identity: &Identity) -> CookieLogin {
    let realm = &config.realms[usize::from(identity.realm.0)];
    CookieLogin {
        realm: realm.name.clone(),
        authid: identity.authid.clone(),
        authrole: realm.roles[usize::from(identity.role.0)].name.clone(),
        authmethod: identity.method.as_str().into(),
        authextra: identity.authextra.as_deref().cloned().unwrap_or_default(),
    }
}
