//! What the registry has to tell the realm, in the order in which it happened.
//!
//! Creation comes before the first member, deletion after the last, and the end of a session after everything it held.
//! Nothing is told of URIs under `wamp.`, of the router's own sessions, of realms without meta API, while the router shuts
//! down, or where nobody would hear it.

use std::sync::Arc;

use crossring_codec::id::{RegistrationId, SessionId, SubscriptionId};
use crossring_codec::uri::is_reserved;
use crossring_codec::value::{Dict, Value};

use super::{Entry, Registry, Session};
use crate::address::{Now, RealmId, RoleId, SessionAddress};
use crate::agent::{
    self,
    testament::{Scope, Testament},
};
use crate::details;
use crate::lifecycle::NS_PER_MS;
use crate::statistics::Report;

const ON_STATS: &str = "wamp.session.on_stats";

/// Something to be published by the service session of a realm.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// A meta event (wamp.md 3).
    Event { realm: RealmId, topic: &'static str, arguments: Vec<Value> },
    /// A session that the realm's store remembers has joined.
    Joined { realm: RealmId, session: SessionId, authid: Box<str>, details: Dict },
    /// Such a session has left.
    Left { realm: RealmId, session: SessionId },
    /// A testament of a session that is gone (wamp.md 2.3).
    Testament { departed: Departed, testament: Box<Testament> },
}

/// In whose name a testament is published.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Departed {
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    pub(crate) session: SessionId,
    pub(crate) authid: Box<str>,
    /// What an authorizer is told of it, if its role has one.
    pub(crate) details: Option<Arc<Dict>>,
}

impl Registry {
    /// What has been noted since the last time.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The id under which meta events tell of the session; none: they do not.
    pub(super) fn told_id(&self, session: &Session) -> Option<SessionId> {
        let has_meta_api = self.config.realms[usize::from(session.identity.realm.0)].meta_api;
        (has_meta_api && !self.is_shutting_down && !self.is_internal(session)).then_some(session.id)
    }

    fn note(&mut self, realm: RealmId, topic: &'static str, arguments: impl FnOnce() -> Vec<Value>) {
        if self.is_heard(realm, topic) {
            self.notices.push(Notice::Event { realm, topic, arguments: arguments() });
        }
    }

    fn note_ids(&mut self, realm: RealmId, topic: &'static str, session: SessionId, id: u64) {
        self.note(realm, topic, || vec![session.get().into(), id.into()]);
    }

    /// A session has been admitted.
    pub(super) fn note_joined(&mut self, address: SessionAddress) {
        const TOPIC: &str = "wamp.session.on_join";
        let Some(session) = self.session(address) else { return };
        let (realm, id) = (session.identity.realm, session.id);
        let is_told = self.told_id(session).is_some() && self.is_heard(realm, TOPIC);
        let is_remembered = self.is_remembered(session);
        if !is_told && !is_remembered {
            return;
        }
        let details = agent::session_details(self, session);
        let authid = session.identity.authid.clone();
        if is_told {
            let arguments = vec![Value::Dict(details.clone())];
            self.notices.push(Notice::Event { realm, topic: TOPIC, arguments });
        }
        if is_remembered {
            self.notices.push(Notice::Joined { realm, session: id, authid, details });
        }
    }

    fn is_remembered(&self, session: &Session) -> bool {
        let realm = &self.config.realms[usize::from(session.identity.realm.0)];
        realm.store.sessions_max > 0 && !self.is_internal(session)
    }

    /// The session has lost its transport and is kept: detached testaments.
    pub(super) fn note_detached(&mut self, address: SessionAddress) {
        let Some(session) = self.session_mut(address).filter(|session| !session.is_silenced) else { return };
        let Some(extras) = &mut session.extras else { return };
        let testaments = extras.testaments.take(Scope::Detached);
        if let Some(departed) = self.session(address).and_then(|session| self.departed(session)) {
            self.note_testaments(&departed, testaments.into_iter());
        }
    }

    /// Testaments, then the end of the session; not if it was killed with all others.
    pub(super) fn note_left(&mut self, mut session: Session) {
        if self.is_remembered(&session) {
            self.notices.push(Notice::Left { realm: session.identity.realm, session: session.id });
        }
        let Some(departed) = self.departed(&session).filter(|_| !session.is_silenced) else { return };
        if let Some(extras) = &mut session.extras {
            self.note_testaments(&departed, std::mem::take(&mut extras.testaments).into_ordered());
        }
        let Departed { realm, role, session: id, .. } = departed;
        let authrole = self.name_of_role(realm, role).to_owned();
        self.note(realm, "wamp.session.on_leave", || {
            vec![id.get().into(), Value::String(session.identity.authid.into()), Value::String(authrole)]
        });
    }

    /// The traffic of a session.
    pub(super) fn note_statistics(&mut self, now: Now, address: SessionAddress, report: &Report) {
        let Some(session) = self.session(address) else { return };
        let realm = session.identity.realm;
        if self.told_id(session).is_none() || !self.is_heard(realm, ON_STATS) {
            return;
        }
        let identity = &session.identity;
        let whose = dict([
            ("realm", Value::from(&*self.config.realms[usize::from(realm.0)].name)),
            ("session", session.id.get().into()),
            ("authid", Value::from(&*identity.authid)),
            ("authrole", self.name_of_role(realm, identity.role).into()),
        ]);
        let serializer = session.channel.details.serializer.map_or(Value::Null, |it| it.name().into());
        let (traffic, since) = (report.traffic, report.since);
        let what = dict([
            ("cycle", report.cycle.into()),
            ("serializer", serializer),
            // In nanoseconds.
            ("timestamp", Value::Integer(i128::from(since.unix_ms) * i128::from(NS_PER_MS))),
            ("duration", now.monotonic_ns.saturating_sub(since.monotonic_ns).into()),
            ("bytes", traffic.octets.into()),
            ("messages", traffic.messages.into()),
            ("rated_messages", traffic.rated_messages.into()),
            ("first", report.is_first.into()),
            ("last", report.is_last.into()),
        ]);
        self.note(realm, ON_STATS, || vec![whose, what]);
    }

    /// In whose name testaments of a session are published; nobody's, if nothing is told of it.
    fn departed(&self, session: &Session) -> Option<Departed> {
        let id = self.told_id(session)?;
        let (realm, role) = (session.identity.realm, session.identity.role);
        let role_config = &self.config.realms[usize::from(realm.0)].roles[usize::from(role.0)];
        let details = role_config.authorizer.as_ref();
        let details = details.map(|_| Arc::new(details::for_authorizer(&self.config, session)));
        Some(Departed { realm, role, session: id, authid: session.identity.authid.clone(), details })
    }

    fn note_testaments(&mut self, departed: &Departed, testaments: impl Iterator<Item = Testament>) {
        self.notices.extend(testaments.map(|testament| {
            let (departed, testament) = (departed.clone(), Box::new(testament));
            Notice::Testament { departed, testament }
        }));
    }

    /// A session has got SUBSCRIBED.
    pub(super) fn note_subscribed(&mut self, address: SessionAddress, id: SubscriptionId) {
        let told = self.session(address).and_then(|session| self.told_id(session));
        let Some(known) = self.subscriptions.get_mut(id.get()).filter(|known| !is_reserved(&known.uri))
        else {
            return;
        };
        let is_new = !std::mem::replace(&mut known.is_announced, true);
        let (realm, uri) = (known.realm, Arc::clone(&known.uri));
        let (match_policy, created_ms) = (known.match_policy, known.created_ms);
        let Some(session) = told else { return };
        if is_new {
            let entry = Entry { id: id.get(), uri: &uri, match_policy, created_ms, invoke: None };
            self.note(realm, "wamp.subscription.on_create", || {
                vec![session.get().into(), agent::describe(&entry)]
            });
        }
        self.note_ids(realm, "wamp.subscription.on_subscribe", session, id.get());
    }

    /// A session is subscribed no more.
    pub(super) fn note_unsubscribed(&mut self, session: SessionId, id: SubscriptionId) {
        if let Some(known) = self.subscriptions.get(id.get()).filter(|known| known.is_announced) {
            self.note_ids(known.realm, "wamp.subscription.on_unsubscribe", session, id.get());
        }
    }

    /// The last session was unsubscribed.
    pub(super) fn note_subscription_deleted(
        &mut self,
        realm: RealmId,
        session: SessionId,
        id: SubscriptionId,
    ) {
        self.note_ids(realm, "wamp.subscription.on_delete", session, id.get());
    }

    /// A callee has got REGISTERED.
    pub(super) fn note_registered(&mut self, address: SessionAddress, id: RegistrationId) {
        let told = self.session(address).and_then(|session| self.told_id(session));
        let Some(known) = self.registrations.get_mut(id.get()).filter(|known| !is_reserved(&known.uri))
        else {
            return;
        };
        let is_new = !std::mem::replace(&mut known.is_announced, true);
        let (realm, uri, invoke) = (known.realm, Arc::clone(&known.uri), Some(known.invoke));
        let (match_policy, created_ms) = (known.match_policy, known.created_ms);
        let Some(session) = told else { return };
        if is_new {
            let entry = Entry { id: id.get(), uri: &uri, match_policy, created_ms, invoke };
            self.note(realm, "wamp.registration.on_create", || {
                vec![session.get().into(), agent::describe(&entry)]
            });
        }
        self.note_ids(realm, "wamp.registration.on_register", session, id.get());
    }

    /// A callee is registered no more.
    pub(super) fn note_unregistered(&mut self, realm: RealmId, session: SessionId, id: RegistrationId) {
        self.note_ids(realm, "wamp.registration.on_unregister", session, id.get());
    }

    /// The last callee was unregistered.
    pub(super) fn note_registration_deleted(
        &mut self,
        realm: RealmId,
        session: SessionId,
        id: RegistrationId,
    ) {
        self.note_ids(realm, "wamp.registration.on_delete", session, id.get());
    }
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dict(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
