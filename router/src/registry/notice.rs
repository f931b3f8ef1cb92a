//! What the registry has to tell the subscribers of a realm, in the order in which it happened.

use crossring_codec::id::SessionId;
use crossring_codec::message::PublishOptions;
use crossring_codec::value::Value;

use super::Registry;
use crate::address::{RealmId, RoleId};
use crate::letter::Parcel;

/// Something to be published by the service session of a realm.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// A meta event (wamp.md 3).
    Event { realm: RealmId, topic: &'static str, arguments: Vec<Value> },
    /// A testament of a session that has ended (wamp.md 2.3).
    #[allow(dead_code)] // the procedures that take testaments follow
    Testament(Box<Testament>),
}

/// A publication in the name of a session that is gone.
#[derive(Debug, PartialEq)]
pub(crate) struct Testament {
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    pub(crate) session: SessionId,
    pub(crate) authid: Box<str>,
    pub(crate) options: PublishOptions<'static>,
    pub(crate) topic: Box<str>,
    pub(crate) parcel: Parcel,
}

impl Registry {
    /// Takes note of a meta event, if the realm has them and anybody is subscribed.
    pub(super) fn note(
        &mut self,
        realm: RealmId,
        topic: &'static str,
        arguments: impl FnOnce() -> Vec<Value>,
    ) {
        if self.is_noted(realm, topic) {
            self.notices.push(Notice::Event { realm, topic, arguments: arguments() });
        }
    }

    /// Whether a meta event would reach anybody.
    pub(super) fn is_noted(&self, realm: RealmId, topic: &'static str) -> bool {
        let index = usize::from(realm.0);
        let mut is_wanted = false;
        if self.config.realms[index].meta_api {
            self.realms[index].topics.visit(topic, |_| is_wanted = true);
        }
        is_wanted
    }

    /// What has been noted since the last time.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}
