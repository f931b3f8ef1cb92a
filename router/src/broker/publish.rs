//! PUBLISH, and events from other shards.

use std::borrow::Cow;
use std::sync::Arc;

use crossring_codec::id::{PublicationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    EventDetails, EventExtra, Forwarder, Message, MessageType, PublishExtra, PublishOptions,
};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::uri::{Match, is_restricted, is_valid, well_known};

use super::filter::Filter;
use super::nodes::Share;
use super::parked::ForParked;
use super::{Broker, Subscription};
use crate::address::{RealmId, RoleId, SessionKey, ShardId, ShardSet};
use crate::authz::{Action, Ruling};
use crate::config::RouterConfig;
use crate::counters::Counters;
use crate::forwarding::{hops, origin};
use crate::letter::{Disclosure, Letter, Parcel, Publication, Retention};
use crate::outbox::Outbox;
use crate::owned;
use crate::passthru::Demands;
use crate::registry::reaches;
use crate::rendezvous::ResourceKey;
use crate::session::Sessions;
use crate::shard::{Detour, Shard, Violation};

/// Where a session's publications to one topic go. Saves the URI check, the authorization and the match of the next
/// publication to the same topic.
#[derive(Debug, Default)]
pub(crate) struct PublishRoute {
    topic: String,
    /// The version of the realm's tables this was made from; 0: never.
    version: u64,
    refusal: Option<&'static str>,
    disclose: bool,
    refuse_disclose_me: bool,
    subscriptions: Vec<u64>,
    /// Other shards with members of any of the subscriptions.
    shards: ShardSet,
}

/// In whose name something is published.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Publisher<'a> {
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    pub(crate) session: SessionId,
    pub(crate) authid: &'a str,
}

/// An event on its way to the members of this shard.
pub(super) struct Event<'a> {
    /// The publisher's shard.
    source: ShardId,
    publication: PublicationId,
    topic: &'a str,
    publisher: Option<(SessionId, &'a str, &'a str)>,
    trustlevel: Option<u64>,
    filter: Option<Filter<'a>>,
    extra: Option<EventExtra<'a>>,
    payload: &'a Payload<'a>,
    except: Option<SessionKey>,
    /// It is to be retained.
    retention: Option<&'a Retention>,
    /// It comes from the store.
    pub(super) is_retained: bool,
}

impl Shard {
    /// PUBLISH (wamp.md 12.3).
    pub(crate) fn publish<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &PublishOptions<'_>,
        topic: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<(), Violation> {
        let route = match self.publish_route(key, request, options, topic) {
            Ok(route) => route,
            Err(Detour::Violation(violation)) => return Err(violation),
            Err(_) if self.is_too_long(key, payload) => {
                self.refuse_publication(key, request, options, well_known::PAYLOAD_SIZE_EXCEEDED, topic, out);
                return Ok(());
            }
            Err(_) => {
                let (options, topic) = (options.clone(), topic.into());
                let message = Message::Publish { request, options, topic, payload: payload.borrowed() };
                self.ask_authorizer(key, message.into_owned(), out);
                return Ok(());
            }
        };
        let refusal = match self.is_too_long(key, payload) {
            true => Some(well_known::PAYLOAD_SIZE_EXCEEDED),
            false => route.refusal(options),
        };
        let outcome = match refusal {
            None => {
                self.route_publication(key, request, options, topic, payload, &route, out);
                None
            }
            refusal => refusal,
        };
        if let Some(session) = self.sessions.get_mut(key) {
            session.publish_route = Some(route);
        }
        if let Some(error) = outcome {
            self.refuse_publication(key, request, options, error, topic, out);
        }
        Ok(())
    }

    fn refuse_publication<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &PublishOptions<'_>,
        error: &'static str,
        topic: &str,
        out: &mut O,
    ) {
        if options.acknowledge {
            self.refuse_about(key, MessageType::Publish, request, error, topic, out);
        } else {
            self.counters.publications_refused += 1;
        }
    }

    /// Checks the message; takes the session's route out of it, made anew if it does not fit.
    fn publish_route(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &PublishOptions<'_>,
        topic: &str,
    ) -> Result<Box<PublishRoute>, Detour> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID.into());
        }
        if let Some(extra) = &options.extra {
            Demands::of(Some(&extra.passthru), Shape::Empty).check_sender(session)?;
        }
        let mut route = session.publish_route.take().unwrap_or_default();
        let version = self.broker.realms[usize::from(session.realm.0)].version;
        if route.version != version || route.topic != topic {
            let (realm, role) = (session.realm, session.role);
            self.fill_route(realm, role, topic, &mut route)?;
        }
        Ok(route)
    }

    /// Finds out where publications of a role to `topic` go. [`Detour::Ask`]: its authorizer has to be asked before.
    fn fill_route(
        &self,
        realm: RealmId,
        role: RoleId,
        topic: &str,
        route: &mut PublishRoute,
    ) -> Result<(), Detour> {
        let config = &self.config.realms[usize::from(realm.0)];
        let is_trusted = config.roles[usize::from(role.0)].is_trusted;
        route.topic.clear();
        route.topic.push_str(topic);
        route.version = self.broker.realms[usize::from(realm.0)].version;
        if topic.len() > self.limits.uri_size_max as usize
            || !is_valid(topic, Match::Exact, config.strictness)
            || (is_restricted(topic) && !is_trusted)
        {
            route.refusal = Some(well_known::INVALID_URI);
        } else {
            let ruling = self.authorization.decide(realm, role, Action::Publish, topic, Match::Exact);
            route.obey(&ruling.ok_or(Detour::Ask)?);
        }
        self.broker.match_topic(usize::from(realm.0), topic, route);
        route.shards.remove(self.id);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the elements of the message")]
    fn route_publication<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &PublishOptions<'_>,
        topic: &str,
        payload: &Payload<'_>,
        route: &PublishRoute,
        out: &mut O,
    ) {
        let publication = PublicationId::from_random(self.random.next_u64());
        self.counters.publications += 1;
        if options.acknowledge && !options.retain {
            let _ = out.send(key, &Message::Published { request, publication });
        }
        let Some(publisher) = self.sessions.get(key) else { return };
        let retention = options.retain.then(|| {
            let excluded = options.exclude_me.then_some(publisher.id);
            self.broker.retaining.next(self.id, excluded)
        });
        let role = &self.config.realms[usize::from(publisher.realm.0)].roles[usize::from(publisher.role.0)];
        let extra = options.extra.as_deref();
        let rkey = self.resource_key(publisher.realm, extra);
        let hops = extra
            .and_then(|extra| hops(extra.forward_for.as_deref()?, role, publisher.id, &publisher.authid));
        let origin = hops.as_deref().and_then(origin);
        let origin = origin.unwrap_or((publisher.id, &*publisher.authid, &*role.name));
        let event = Event {
            source: self.id,
            publication,
            topic,
            publisher: (options.disclose_me || route.disclose).then_some(origin),
            trustlevel: role.trustlevel,
            filter: extra.and_then(Filter::new),
            extra: extra.and_then(|extra| event_extra(extra, hops.clone())),
            payload,
            except: options.exclude_me.then_some(key),
            retention: retention.as_ref(),
            is_retained: false,
        };
        if !route.shards.is_empty() || retention.is_some() {
            let extra = extra.map(|extra| owned_extra(extra, hops.clone()));
            let letter = event.letter(publisher.realm, extra);
            if retention.is_some() {
                let publisher = options.acknowledge.then_some((key, request));
                self.broker.retain(route, &letter, publisher, &mut self.counters, out);
            }
            self.broker.post_to_shards(route, letter, rkey, &mut self.counters, out);
        }
        if let Some(rkey) = rkey {
            return self.broker.deliver_shares(route, &event, rkey, &self.sessions, &self.config, out);
        }
        for &subscription in &route.subscriptions {
            self.broker.deliver(subscription, &event, Share::All, &self.sessions, &self.config, out);
        }
    }

    /// A publication in the name of a session that is not (or no longer) here. No session is left out as its publisher.
    ///
    /// # Errors
    /// The URI of the error that PUBLISH would have been answered with; that of a failure while it is not known whether the role
    /// may do that.
    pub(crate) fn publish_as<O: Outbox>(
        &mut self,
        publisher: &Publisher<'_>,
        options: &PublishOptions<'_>,
        topic: &str,
        payload: &Payload<'_>,
        out: &mut O,
    ) -> Result<Publication, &'static str> {
        let Publisher { realm, role, session, authid } = *publisher;
        let mut route = PublishRoute::default();
        if self.fill_route(realm, role, topic, &mut route).is_err() {
            return Err(well_known::AUTHORIZATION_FAILED);
        }
        if let Some(refusal) = route.refusal(options) {
            return Err(refusal);
        }
        self.counters.publications += 1;
        let role = &self.config.realms[usize::from(realm.0)].roles[usize::from(role.0)];
        let mut publication = Publication {
            realm,
            publication: PublicationId::from_random(self.random.next_u64()),
            topic: topic.into(),
            subscriptions: Vec::new(),
            servers: Vec::new(),
            publisher: (options.disclose_me || route.disclose).then(|| Disclosure {
                session,
                authid: authid.into(),
                authrole: role.name.clone(),
            }),
            trustlevel: role.trustlevel,
            extra: options.extra.as_deref().map(|extra| owned_extra(extra, None)),
            retention: options.retain.then(|| self.broker.retaining.next(self.id, None)),
            parcel: Parcel::pack(payload),
        };
        if publication.retention.is_some() {
            self.broker.retain(&route, &publication, None, &mut self.counters, out);
        }
        let rkey = self.resource_key(realm, options.extra.as_deref());
        self.broker.post_to_shards(&route, publication.clone(), rkey, &mut self.counters, out);
        publication.servers = self.broker.servers(&route.subscriptions, rkey);
        publication.subscriptions = route.subscriptions.into_iter().filter_map(SubscriptionId::new).collect();
        self.take_publication(self.id, &publication, out);
        Ok(publication)
    }

    /// An event published on the shard `source`.
    pub(crate) fn take_publication<O: Outbox>(&mut self, source: ShardId, letter: &Publication, out: &mut O) {
        if letter.retention.is_some_and(|retention| retention.shard != self.id) {
            let is_remembered = self.broker.retaining.remember(letter);
            self.counters.retained_missed += u64::from(!is_remembered);
        }
        let payload = letter.parcel.payload();
        let event = Event::of(source, letter, &payload);
        let mut is_stale = true;
        for (index, subscription) in letter.subscriptions.iter().enumerate() {
            let id = subscription.get();
            let share = Share::of(letter.servers.get(index));
            is_stale &= !self.broker.deliver(id, &event, share, &self.sessions, &self.config, out);
        }
        self.counters.publications_stale += u64::from(is_stale);
    }
}

impl PublishRoute {
    /// Takes over what has been decided; the route is for one publication only, if the decision is.
    fn obey(&mut self, ruling: &Ruling) {
        let decision = match ruling {
            Ruling::Lasting(decision) => *decision,
            Ruling::Once(decision) => {
                self.version = 0;
                *decision
            }
            Ruling::Failed { .. } => {
                self.version = 0;
                self.refusal = Some(well_known::AUTHORIZATION_FAILED);
                return;
            }
        };
        self.disclose = decision.disclose_publisher;
        self.refuse_disclose_me = decision.refuse_disclose_me;
        self.refusal = (!decision.allow.publish).then_some(well_known::NOT_AUTHORIZED);
    }

    /// Why a publication is not performed.
    fn refusal(&self, options: &PublishOptions<'_>) -> Option<&'static str> {
        let is_refused = options.disclose_me && self.refuse_disclose_me;
        self.refusal.or(is_refused.then_some(well_known::DISCLOSE_ME_DISALLOWED))
    }
}

impl Broker {
    /// Fills in where publications to `topic` go.
    fn match_topic(&self, realm: usize, topic: &str, route: &mut PublishRoute) {
        route.subscriptions.clear();
        route.shards = ShardSet::EMPTY;
        if route.refusal.is_some() {
            return;
        }
        self.realms[realm].patterns.visit(topic, |id| {
            let known = self.subscriptions.get(id);
            if let Some(subscription) = known.filter(|known| reaches(&known.uri, topic)) {
                route.subscriptions.push(id);
                route.shards = route.shards.union(subscription.interest);
            }
        });
    }

    /// One letter for each interested shard, naming its subscriptions.
    fn post_to_shards<O: Outbox>(
        &self,
        route: &PublishRoute,
        letter: Publication,
        rkey: Option<ResourceKey>,
        counters: &mut Counters,
        out: &mut O,
    ) {
        for shard in route.shards.iter() {
            let interested =
                |id: &u64| self.subscriptions.get(*id).is_some_and(|known| known.interest.contains(shard));
            let ids: Vec<u64> = route.subscriptions.iter().copied().filter(interested).collect();
            let servers = self.servers(&ids, rkey);
            let subscriptions = ids.into_iter().filter_map(SubscriptionId::new).collect();
            let publication = Publication { subscriptions, servers, ..letter.clone() };
            counters.letters_sent += 1;
            out.post(shard, Letter::Publication(Box::new(publication)));
        }
    }

    /// A publication for the store; also remembered for the subscribers of this shard.
    fn retain<O: Outbox>(
        &mut self,
        route: &PublishRoute,
        publication: &Publication,
        publisher: Option<(SessionKey, RequestId)>,
        counters: &mut Counters,
        out: &mut O,
    ) {
        let subscriptions = route.subscriptions.iter().copied().filter_map(SubscriptionId::new).collect();
        let publication = Publication { subscriptions, ..publication.clone() };
        let is_remembered = self.retaining.remember(&publication);
        counters.retained_missed += u64::from(!is_remembered);
        counters.letters_sent += 1;
        out.post(ShardId::CONTROL, Letter::Retain { publication: Box::new(publication), publisher });
    }

    /// The node keys that serve a resource key, by subscription; nothing without one.
    fn servers(&self, subscriptions: &[u64], rkey: Option<ResourceKey>) -> Vec<Option<Arc<str>>> {
        let Some(rkey) = rkey else { return Vec::new() };
        subscriptions.iter().map(|id| self.server(*id, rkey)).collect()
    }

    /// The same as for all publications, for one with a resource key.
    #[cold]
    fn deliver_shares<O: Outbox>(
        &mut self,
        route: &PublishRoute,
        event: &Event<'_>,
        rkey: ResourceKey,
        sessions: &Sessions,
        config: &RouterConfig,
        out: &mut O,
    ) {
        for &subscription in &route.subscriptions {
            let server = Some(self.server(subscription, rkey));
            self.deliver(subscription, event, Share::of(server.as_ref()), sessions, config, out);
        }
    }

    /// One EVENT for the members of one subscription on this shard who share it; `false`: there are none.
    fn deliver<O: Outbox>(
        &mut self,
        id: u64,
        event: &Event<'_>,
        share: Share<'_>,
        sessions: &Sessions,
        config: &RouterConfig,
        out: &mut O,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get(id) else { return false };
        if let Some(parked) = &subscription.parked {
            let event = event.for_parked(subscription, share);
            parked.keep(&mut self.parked, event, config);
        }
        if subscription.members.is_empty() {
            return subscription.parked.is_some();
        }
        let message = event.message(subscription.id, subscription.match_policy);
        let covered =
            event.retention.map_or_else(Vec::new, |retention| self.retaining.covered(id, retention));
        let nodes = share.among(subscription.nodes.as_deref());
        if event.filter.is_none() && nodes.is_none() && covered.is_empty() {
            out.fan_out(&message, &subscription.members, event.except);
            return true;
        }
        let listed = |key: SessionKey, filter: &Filter<'_>| {
            sessions.get(key).is_some_and(|session| {
                let role = &config.realms[usize::from(session.realm.0)].roles[usize::from(session.role.0)];
                filter.admits(session.id, &session.authid, &role.name)
            })
        };
        let admitted = |key: &&SessionKey| {
            event.filter.as_ref().is_none_or(|filter| listed(**key, filter))
                && !covered.contains(key)
                && nodes.is_none_or(|(nodes, server)| nodes.admits(**key, server))
        };
        self.receivers.clear();
        self.receivers.extend(subscription.members.iter().filter(admitted));
        if !self.receivers.is_empty() {
            out.fan_out(&message, &self.receivers, event.except);
        }
        true
    }
}

impl<'a> Event<'a> {
    /// The event for other shards; which subscriptions it is for is filled in for each.
    fn letter(&self, realm: RealmId, extra: Option<Box<PublishExtra<'static>>>) -> Publication {
        Publication {
            realm,
            publication: self.publication,
            topic: self.topic.into(),
            subscriptions: Vec::new(),
            servers: Vec::new(),
            publisher: self.publisher.map(|(session, authid, authrole)| Disclosure {
                session,
                authid: authid.into(),
                authrole: authrole.into(),
            }),
            trustlevel: self.trustlevel,
            extra,
            retention: self.retention.copied(),
            parcel: Parcel::pack(self.payload),
        }
    }

    /// A publication that has come as a letter, or from the store.
    pub(super) fn of(source: ShardId, publication: &'a Publication, payload: &'a Payload<'a>) -> Self {
        let extra = publication.extra.as_deref();
        let publisher = publication.publisher.as_ref();
        Self {
            source,
            publication: publication.publication,
            topic: &publication.topic,
            publisher: publisher
                .map(|disclosed| (disclosed.session, &*disclosed.authid, &*disclosed.authrole)),
            trustlevel: publication.trustlevel,
            filter: extra.and_then(Filter::new),
            extra: extra.and_then(|extra| event_extra(extra, extra.forward_for.clone())),
            payload,
            except: None,
            retention: publication.retention.as_ref(),
            is_retained: false,
        }
    }

    pub(super) fn message(&self, subscription: SubscriptionId, policy: Match) -> Message<'_> {
        let (publisher, publisher_authid, publisher_authrole) = match self.publisher {
            Some((session, authid, authrole)) => (Some(session), Some(authid), Some(authrole)),
            None => (None, None, None),
        };
        let details = EventDetails {
            topic: (policy != Match::Exact).then_some(Cow::Borrowed(self.topic)),
            publisher,
            publisher_authid: publisher_authid.map(Cow::Borrowed),
            publisher_authrole: publisher_authrole.map(Cow::Borrowed),
            trustlevel: self.trustlevel,
            retained: self.is_retained,
            extra: self.extra.clone().map(Box::new),
        };
        Message::Event {
            subscription,
            publication: self.publication,
            details,
            payload: self.payload.borrowed(),
        }
    }

    fn for_parked<'s>(&'s self, subscription: &'s Subscription, share: Share<'s>) -> ForParked<'s> {
        let mut message = self.message(subscription.id, subscription.match_policy);
        if let Message::Event { payload, .. } = &mut message {
            *payload = Payload::EMPTY;
        }
        let nodes = share.among(subscription.nodes.as_deref());
        ForParked { source: self.source, message, payload: self.payload, filter: self.filter.as_ref(), nodes }
    }
}

/// The rare options, as other shards get them.
fn owned_extra(
    extra: &PublishExtra<'_>,
    forward_for: Option<Vec<Forwarder<'static>>>,
) -> Box<PublishExtra<'static>> {
    Box::new(PublishExtra { forward_for, ..owned::publish_extra(extra.clone()) })
}

/// What of the rare options reaches subscribers.
fn event_extra<'a>(
    extra: &PublishExtra<'a>,
    forward_for: Option<Vec<Forwarder<'a>>>,
) -> Option<EventExtra<'a>> {
    let copied = EventExtra {
        passthru: extra.passthru.clone(),
        transaction_hash: extra.transaction_hash.clone(),
        x_acknowledged_delivery: extra.x_acknowledged_delivery,
        forward_for,
    };
    (copied != EventExtra::default()).then_some(copied)
}
