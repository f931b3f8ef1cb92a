//! `forward_for`: the sessions that a message has been forwarded for, by trusted sessions only (wamp.md 2.5).

use std::borrow::Cow;

use crossring_codec::id::SessionId;
use crossring_codec::message::{CallOptions, Forwarder};

use crate::address::SessionKey;
use crate::config::RoleConfig;
use crate::owned;
use crate::shard::Shard;

impl Shard {
    /// `forward_for` of a session's message, as its receiver gets it.
    pub(crate) fn hops(&self, key: SessionKey, list: &[Forwarder<'_>]) -> Option<Vec<Forwarder<'static>>> {
        let session = self.sessions.get(key)?;
        let role = &self.config.realms[usize::from(session.realm.0)].roles[usize::from(session.role.0)];
        hops(list, role, session.id, &session.authid)
    }

    /// The options of a CALL with `forward_for` continued, or without it.
    pub(crate) fn continued<'o>(
        &self,
        key: SessionKey,
        options: &'o CallOptions<'o>,
    ) -> Cow<'o, CallOptions<'o>> {
        let list = options.extra.as_ref().and_then(|extra| extra.forward_for.as_deref());
        let Some(list) = list else { return Cow::Borrowed(options) };
        let mut options = options.clone();
        options.extra_mut().forward_for = self.hops(key, list);
        Cow::Owned(options)
    }
}

/// The list, continued by the session that has sent it; nothing from sessions that are not trusted.
pub(crate) fn hops(
    list: &[Forwarder<'_>],
    role: &RoleConfig,
    session: SessionId,
    authid: &str,
) -> Option<Vec<Forwarder<'static>>> {
    if !role.is_trusted || list.is_empty() {
        return None;
    }
    let (authid, authrole) = (Some(authid.to_owned().into()), role.name.to_string().into());
    let mut hops: Vec<_> = list.iter().cloned().map(owned::forwarder).collect();
    hops.push(Forwarder { session, authid, authrole });
    Some(hops)
}

/// The session for which a message has been forwarded first: id, `authid`, `authrole`.
pub(crate) fn origin<'a>(hops: &'a [Forwarder<'_>]) -> Option<(SessionId, &'a str, &'a str)> {
    let first = hops.first()?;
    Some((first.session, first.authid.as_deref().unwrap_or_default(), &first.authrole))
}
