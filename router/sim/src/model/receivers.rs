//! Who gets the EVENTs of a publication.

use crossring_codec::message::{PublishExtra, Text};

use super::{Expected, Model, Owed, Publication, Session};

impl Model {
    /// Everybody whose SUBSCRIBED has been sent and who may get the EVENT. Nothing is owed for publications of clients
    /// that do not keep to the protocol: the router may end their session instead.
    pub(super) fn owed(&self, publication: &Publication) -> Vec<Owed> {
        let publisher = &self.sessions[publication.publisher];
        if !publisher.honest || publication.expected != Expected::Success {
            return Vec::new();
        }
        let mut owed = Vec::new();
        for index in &self.live {
            let session = &self.sessions[*index];
            if session.realm != publisher.realm || !self.is_receiver(publication, session) {
                continue;
            }
            for held in session.subscriptions.iter().filter(|held| !held.leaving) {
                if held.key.matches(&publication.topic) {
                    owed.push(Owed { session: *index, subscription: held.id, instance: held.instance });
                }
            }
        }
        owed
    }

    /// Whether the options of a publication allow a subscriber to get it.
    pub fn is_receiver(&self, publication: &Publication, session: &Session) -> bool {
        let own = self.sessions[publication.publisher].id == session.id;
        let lists = publication.extra.as_ref();
        !(own && publication.exclude_me) && lists.is_none_or(|extra| self.passes_lists(extra, session))
    }

    fn passes_lists(&self, extra: &PublishExtra<'_>, session: &Session) -> bool {
        let role = &*self.role(session).name;
        let is_authid = |authid: &Text<'_>| *authid == session.authid;
        let is_role = |authrole: &Text<'_>| *authrole == role;
        listed(extra.eligible.as_ref(), true, |id| *id == session.id)
            && listed(extra.eligible_authid.as_ref(), true, is_authid)
            && listed(extra.eligible_authrole.as_ref(), true, is_role)
            && !listed(extra.exclude.as_ref(), false, |id| *id == session.id)
            && !listed(extra.exclude_authid.as_ref(), false, is_authid)
            && !listed(extra.exclude_authrole.as_ref(), false, is_role)
    }
}

fn listed<T>(list: Option<&Vec<T>>, when_absent: bool, is_meant: impl Fn(&T) -> bool) -> bool {
    list.map_or(when_absent, |list| list.iter().any(is_meant))
}
