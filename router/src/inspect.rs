//! Read-only views of shards and of the registry, for checkers, meta API and management.

use crossring_codec::id::{RegistrationId, SessionId, SubscriptionId};
use crossring_codec::message::InvocationPolicy;
use crossring_codec::uri::Match;

use crate::address::{RealmId, RoleId, SessionAddress, SessionKey, ShardSet};
use crate::registry::Registry;
use crate::session::{Session, State};
use crate::shard::Shard;

/// Sizes of a shard's tables. After the last transport has closed all of them are zero.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ShardSizes {
    /// Open transports.
    pub transports: usize,
    /// Sessions between WELCOME and their end.
    pub sessions: usize,
    /// Subscriptions known here, of any shard.
    pub subscriptions: usize,
    /// Local members of subscriptions.
    pub subscribers: usize,
    /// Registrations known here, of any shard.
    pub registrations: usize,
    /// Callees of registrations, of any shard.
    pub callees: usize,
    /// Calls of local callers that wait for an answer.
    pub calls: usize,
    /// Invocations of local callees that wait for an answer.
    pub invocations: usize,
    /// Deadlines of calls, those of calls already answered included: then at most twice as many as are meant, and some.
    pub call_deadlines: usize,
    /// Calls that wait until their callee has got REGISTERED.
    pub calls_waiting: usize,
    /// Sessions without transport, or on their way to a new one.
    pub parked: usize,
    /// What waits for the next turn.
    pub deferred: usize,
    /// SUBSCRIBE and REGISTER requests the registry has not answered.
    pub requests: usize,
    /// What is remembered for subscribers that want retained events.
    pub retaining: usize,
    /// Messages that wait for the answer of an authorizer, or behind one that does.
    pub messages_held: usize,
    /// Decisions of authorizers that are remembered.
    pub decisions: usize,
}

/// Sizes of the registry's tables. After the last session has left all of them are zero.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct RegistrySizes {
    /// Sessions admitted, without the router's own.
    pub sessions: usize,
    /// Sessions that still have to authenticate.
    pub pending_authentications: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Members of subscriptions.
    pub subscribers: usize,
    /// Registrations.
    pub registrations: usize,
    /// Callees of registrations.
    pub callees: usize,
    /// Calls that wait for a free slot of a callee.
    pub calls_queued: usize,
    /// Sessions without transport, or on their way to a new one; they are among the sessions too.
    pub parked: usize,
    /// Acknowledgements of shards that are awaited.
    pub tickets: usize,
}

/// A joined session.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SessionView<'a> {
    /// Where it lives.
    pub key: SessionKey,
    /// Its id.
    pub session: SessionId,
    /// Its realm.
    pub realm: RealmId,
    /// Its identity.
    pub authid: &'a str,
    /// Its role.
    pub authrole: &'a str,
    /// Calls that wait for an answer.
    pub calls: usize,
    /// Invocations that wait for its answer.
    pub invocations: usize,
}

/// A subscription on a shard.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct SubscriptionView<'a> {
    /// Its id.
    pub id: SubscriptionId,
    /// Its realm.
    pub realm: RealmId,
    /// The topic or pattern.
    pub uri: &'a str,
    /// How `uri` is read.
    pub match_policy: Match,
    /// Shards with members.
    pub interest: ShardSet,
    /// Members on this shard.
    pub members: &'a [SessionKey],
}

/// A registration on a shard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistrationView<'a> {
    /// Its id.
    pub id: RegistrationId,
    /// Its realm.
    pub realm: RealmId,
    /// The procedure or pattern.
    pub uri: &'a str,
    /// How `uri` is read.
    pub match_policy: Match,
    /// How a callee is chosen.
    pub invoke: InvocationPolicy,
    /// All callees, in the order of registration.
    pub callees: Vec<SessionAddress>,
}

/// A joined session at the registry.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct MemberView<'a> {
    /// Where it lives.
    pub address: SessionAddress,
    /// Its id.
    pub session: SessionId,
    /// Its realm.
    pub realm: RealmId,
    /// Its role.
    pub role: RoleId,
    /// Its identity.
    pub authid: &'a str,
    /// How it authenticated.
    pub authmethod: &'static str,
}

/// A shard, read-only.
#[derive(Copy, Clone, Debug)]
pub struct ShardView<'a> {
    shard: &'a Shard,
}

impl<'a> ShardView<'a> {
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { shard }
    }

    /// Sizes of all tables.
    pub fn sizes(&self) -> ShardSizes {
        let shard = self.shard;
        let sum = |count: fn(&Session) -> usize| joined(shard).map(|(_, session)| count(session)).sum();
        ShardSizes {
            transports: shard.sessions.transports,
            sessions: shard.sessions.joined,
            subscriptions: shard.broker.subscriptions.len(),
            subscribers: shard.broker.members,
            registrations: shard.dealer.registrations.len(),
            callees: shard.dealer.callees,
            calls: shard.dealer.calls.len(),
            call_deadlines: shard.dealer.deadlines(),
            invocations: sum(invocations),
            calls_waiting: sum(|session| session.callee.as_ref().map_or(0, |callee| callee.waiting.len())),
            parked: shard.broker.parked.len(),
            deferred: shard.deferred.len(),
            requests: sum(|session| session.requests_pending as usize),
            retaining: shard.broker.retaining.len(),
            messages_held: shard.sessions.iter().map(|(_, state)| messages_held(state)).sum(),
            decisions: shard.authorization.remembered(),
        }
    }

    /// The joined sessions, in the order of their slots.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'a>> {
        let shard = self.shard;
        joined(shard).map(move |(key, session)| Self { shard }.view(key, session))
    }

    /// The joined session of a transport, and the name of its realm.
    pub fn session(&self, key: SessionKey) -> Option<(SessionView<'a>, &'a str)> {
        let session = self.shard.sessions.get(key)?;
        let realm = &self.shard.config.realms[usize::from(session.realm.0)];
        Some((self.view(key, session), &realm.name))
    }

    fn view(&self, key: SessionKey, session: &'a Session) -> SessionView<'a> {
        SessionView {
            key,
            session: session.id,
            realm: session.realm,
            authid: &session.authid,
            authrole: self.shard.role_name(session),
            calls: session.caller.as_ref().map_or(0, |caller| caller.calls.len()),
            invocations: invocations(session),
        }
    }
}

impl<'a> ShardView<'a> {
    /// The subscriptions, in the order of their ids' indexes.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionView<'a>> {
        self.shard.broker.subscriptions.values().map(|known| SubscriptionView {
            id: known.id,
            realm: known.realm,
            uri: &known.uri,
            match_policy: known.match_policy,
            interest: known.interest,
            members: &known.members,
        })
    }

    /// The registrations, in the order of their ids' indexes.
    pub fn registrations(&self) -> impl Iterator<Item = RegistrationView<'a>> {
        self.shard.dealer.registrations.values().map(|known| RegistrationView {
            id: known.id,
            realm: known.realm,
            uri: &known.uri,
            match_policy: known.match_policy,
            invoke: known.invoke,
            callees: known.candidates.iter().map(|candidate| candidate.callee.address).collect(),
        })
    }
}

fn joined(shard: &Shard) -> impl Iterator<Item = (SessionKey, &Session)> {
    shard.sessions.iter().filter_map(|(key, state)| match state {
        State::Established(session) => Some((key, &**session)),
        State::Held(held) => Some((key, &*held.session)),
        _ => None,
    })
}

fn messages_held(state: &State) -> usize {
    match state {
        State::Held(held) => held.len(),
        _ => 0,
    }
}

fn invocations(session: &Session) -> usize {
    session.callee.as_ref().map_or(0, |callee| callee.invocations.len())
}

/// The registry, read-only.
#[derive(Copy, Clone, Debug)]
pub struct RegistryView<'a> {
    registry: &'a Registry,
}

impl<'a> RegistryView<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { registry }
    }

    /// Sizes of all tables.
    pub fn sizes(&self) -> RegistrySizes {
        let registry = self.registry;
        RegistrySizes {
            sessions: registry.members_joined(),
            pending_authentications: registry.members_pending(),
            subscriptions: registry.subscriptions.len(),
            subscribers: registry.subscriptions.values().map(|known| known.members()).sum(),
            registrations: registry.registrations.len(),
            callees: registry.registrations.values().map(|known| known.callees()).sum(),
            calls_queued: registry.registrations.values().map(|known| known.calls_queued()).sum(),
            parked: registry.sessions_parked(),
            tickets: registry.tickets.len(),
        }
    }

    /// The joined sessions, by shard and slot, without the router's own.
    pub fn sessions(&self) -> impl Iterator<Item = MemberView<'a>> {
        self.registry.sessions().map(|(address, session)| MemberView {
            address,
            session: session.id,
            realm: session.identity.realm,
            role: session.identity.role,
            authid: &session.identity.authid,
            authmethod: session.identity.method.as_str(),
        })
    }
}
