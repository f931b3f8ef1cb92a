//! Publications, and who gets their EVENTs.

use crossring_codec::id::{PublicationId, RequestId, SubscriptionId};
use crossring_codec::message::{PublishExtra, PublishOptions, Text};
use crossring_codec::payload::Payload;
use crossring_codec::uri::Match;

use super::{Expected, Key, Model, PendingKind, Session, SessionIndex, put};
use crate::realm::Action;
use crate::tag::{Tag, size_of};

/// A PUBLISH that was handled.
#[derive(Debug)]
pub struct Publication {
    /// Who published.
    pub publisher: SessionIndex,
    /// When, beside other publications.
    pub order: u64,
    /// Where.
    pub topic: String,
    /// Whether it leads to EVENTs.
    pub expected: Expected,
    /// The publisher gets no EVENT.
    pub exclude_me: bool,
    /// The publisher is to be disclosed.
    pub disclosed: bool,
    /// It is to be retained.
    pub is_retained: bool,
    /// When it was handled.
    pub tick: u64,
    /// Published by the router because the publisher is gone.
    pub is_testament: bool,
    /// It is published for sure.
    pub is_certain: bool,
    /// What was posted to the control shard before this tick, it had handled then.
    pub horizon: u64,
    /// Receiver lists.
    pub extra: Option<Box<PublishExtra<'static>>>,
    /// Who has to get it, of those whose SUBSCRIBED was sent before.
    pub owed: Vec<Owed>,
    /// The same of those who share it with others by their node keys.
    pub shared: Vec<Owed>,
    /// The id the router gave it.
    pub id: Option<PublicationId>,
    /// Octets of its payload.
    pub size: usize,
}

/// A subscription that has to get an EVENT.
#[derive(Debug)]
pub struct Owed {
    /// Whose.
    pub session: SessionIndex,
    /// Which.
    pub subscription: SubscriptionId,
    /// Tells it from a later one with the same id.
    pub instance: u64,
}

impl Publication {
    /// Whether it has a resource key.
    pub fn is_shared(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.rkey.is_some())
    }
}

impl Model {
    pub(super) fn publish(
        &mut self,
        index: SessionIndex,
        request: RequestId,
        options: &PublishOptions<'static>,
        topic: &Text<'_>,
        payload: &Payload<'_>,
    ) {
        let Some(tag) = Tag::read(payload) else { return };
        let session = &self.sessions[index];
        let key = Key { uri: topic.to_string(), policy: Match::Exact };
        let expected = self.expected(session, Action::Publish, &key);
        let disclosed = options.disclose_me || self.forced_disclosure(session, Action::Publish, &key.uri);
        let mut publication = Publication {
            publisher: index,
            order: self.next_order(),
            topic: key.uri,
            expected,
            exclude_me: options.exclude_me,
            disclosed,
            is_retained: options.retain,
            tick: self.tick,
            is_testament: false,
            is_certain: true,
            horizon: self.horizon,
            extra: options.extra.as_ref().map(|extra| Box::new(PublishExtra::clone(extra))),
            owed: Vec::new(),
            shared: Vec::new(),
            id: None,
            size: size_of(payload),
        };
        let rkey = publication.extra.as_ref().and_then(|extra| extra.rkey.as_ref());
        let owed = self.owed(&publication);
        let shares = |owed: &Owed| rkey.is_some() && self.sessions[owed.session].nkey.is_some();
        (publication.shared, publication.owed) = owed.into_iter().partition(shares);
        put(&mut self.publications, tag.number, publication);
        self.record(tag.number);
        if options.acknowledge {
            self.wait(index, request, PendingKind::Publish(tag.number), expected);
        }
    }

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

    pub(super) fn passes_lists(&self, extra: &PublishExtra<'_>, session: &Session) -> bool {
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
