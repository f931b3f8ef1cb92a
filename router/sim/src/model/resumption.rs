//! Sessions that outlive their transport: what they lose with it, and what they go on with.

use crossring_codec::id::SessionId;
use crossring_codec::message::WelcomeDetails;

use super::holding::SLACK_TICKS;
use super::{Call, Hello, Key, Model, Pending, Session, SessionIndex};
use crate::observation::Peer;

/// What makes a session resumable.
#[derive(Clone, Debug, Default)]
pub struct Resumption {
    /// What the last WELCOME told; absent: it ends with its transport.
    pub token: Option<String>,
    /// Without transport since then.
    pub away_since: Option<u64>,
    /// Somebody wants to resume it, and may take it away from its transport.
    pub is_wanted: bool,
    /// When it was last resumed.
    pub resumed: Option<u64>,
    /// It is to be ended.
    pub is_doomed: bool,
}

impl Session {
    /// Whether it has been without transport at some time since `tick`.
    pub fn was_away(&self, tick: u64) -> bool {
        self.resumption.is_wanted
            || self.resumption.away_since.is_some()
            || self.resumption.resumed.is_some_and(|resumed| resumed >= tick)
    }
}

impl Model {
    /// The transport is gone: the session stays, if it can be resumed.
    pub(super) fn transport_lost(&mut self, peer: Peer) {
        let index = self.peer(peer).and_then(|record| record.session);
        let Some(index) = index else { return };
        let resumption = &self.sessions[index].resumption;
        if resumption.token.is_none() || resumption.is_doomed || self.shut_down {
            if resumption.token.is_some() {
                self.sessions[index].resumption.away_since = Some(self.tick); // the order to end it finds it so
            }
            return self.end_session(peer);
        }
        self.peer_mut(peer, |record| (record.session, record.held) = (None, None));
        self.sessions[index].resumption.away_since = Some(self.tick);
        self.note_evictions(index);
        self.withdraw(index);
        self.publish_testaments(index, Some(true));
    }

    /// What may have been taken away by now, the session is told when it goes on.
    fn note_evictions(&mut self, index: SessionIndex) {
        let session = &self.sessions[index];
        let is_evicted = |key: &Key| self.may_be_evicted(session.realm, key);
        let evicted: Vec<u64> = session
            .registrations
            .iter()
            .filter(|held| is_evicted(&held.key))
            .map(|held| held.id.get())
            .collect();
        let session = &mut self.sessions[index];
        for held in session.registrations.iter_mut().filter(|held| evicted.contains(&held.id.get())) {
            held.revoking = true;
        }
        session.revocations.extend(evicted);
    }

    /// What a session asked for and had to answer is over with its transport.
    fn withdraw(&mut self, index: SessionIndex) {
        let session = &mut self.sessions[index];
        let realm = session.realm;
        let requests = std::mem::take(&mut session.requests);
        let wanted = requests.iter().filter_map(Pending::registration);
        let departing: Vec<(Key, bool)> = wanted.map(|held| (held.key.clone(), held.forced)).collect();
        let invocations = std::mem::take(&mut session.invocations);
        let (leaving_subscriptions, leaving_registrations): (Vec<_>, Vec<_>) = (
            session.subscriptions.iter().filter(|held| held.leaving).map(|held| held.id).collect(),
            session.registrations.iter().filter(|held| held.leaving).map(|held| held.id).collect(),
        );
        session.subscriptions.retain(|held| !leaving_subscriptions.contains(&held.id));
        session.registrations.retain(|held| !leaving_registrations.contains(&held.id));
        departing.into_iter().for_each(|(key, forced)| self.depart(realm, key, forced));
        for open in invocations {
            if let Some(call) = self.call_mut(open.call).filter(|call| !call.answered) {
                call.callee_left = true;
            }
        }
        let abandoned = |call: &&mut Call| call.caller == index && !call.done;
        self.calls.iter_mut().flatten().filter(abandoned).for_each(|call| call.abandoned = true);
    }

    /// The registry has decided that a session ends.
    pub(super) fn killed(&mut self, id: SessionId) {
        let live = self.live.iter().copied().find(|index| self.sessions[*index].id == id);
        let Some(index) = live else { return };
        self.sessions[index].resumption.is_doomed = true;
        if self.sessions[index].resumption.away_since.is_some() {
            self.end(index);
        }
    }

    /// WELCOME of a session that goes on. `None`: it is a new one.
    pub(super) fn resumed(
        &mut self,
        peer: Peer,
        id: SessionId,
        details: &WelcomeDetails<'_>,
        hello: Option<&Hello>,
    ) -> Option<SessionIndex> {
        let index = self.resumable(id).filter(|_| details.resumed)?;
        let former = self.sessions[index].peer;
        if self.sessions[index].resumption.away_since.is_none() {
            self.transport_lost(former);
        }
        let shard = self.peer(peer).map(|record| record.shard)?;
        let tick = self.tick;
        let session = &mut self.sessions[index];
        session.peer = peer;
        session.shard = shard;
        session.router = details.roles;
        if let Some(hello) = hello {
            session.client = hello.roles;
        }
        session.resumption.away_since = None;
        session.resumption.is_wanted = false;
        session.resumption.resumed = Some(tick);
        session.resumption.token = details.resume_token.as_ref().map(ToString::to_string);
        Some(index)
    }

    /// HELLO of somebody who wants to go on with a session.
    pub(super) fn wanted(&mut self, id: SessionId) {
        if let Some(index) = self.resumable(id) {
            self.sessions[index].resumption.is_wanted = true;
        }
    }

    /// A session that lives and can be resumed.
    pub fn resumable(&self, id: SessionId) -> Option<SessionIndex> {
        let is_it = |index: &SessionIndex| {
            let session = &self.sessions[*index];
            session.id == id && session.resumption.token.is_some()
        };
        self.live.iter().copied().find(is_it)
    }

    /// Whether a callee of the realm is, or was not long ago, without transport: calls do not find it then.
    pub fn is_somebody_away(&self, realm: usize) -> bool {
        let since = self.tick.saturating_sub(SLACK_TICKS);
        self.sessions.iter().any(|session| {
            let was_there = session.until.is_none_or(|until| until >= since);
            session.realm == realm && was_there && session.was_away(since)
        })
    }

    /// Whether events for the session may have given way to later ones while it had no transport.
    pub fn may_lose_events(&self, session: &Session) -> bool {
        let was_away = session.resumption.resumed.is_some() || session.resumption.away_since.is_some();
        let config = self.realm(session).resumption.as_ref();
        was_away && config.is_some_and(|config| config.events_max < EVENTS_MAX)
    }

    /// Sessions without transport that hold a registration, of which somebody takes the place.
    pub(super) fn evict_absent(&mut self, realm: usize, key: &Key) {
        for index in &self.live {
            let session = &mut self.sessions[*index];
            if session.realm != realm || session.resumption.token.is_none() {
                continue;
            }
            let evicted = session.registrations.iter_mut().filter(|held| held.key == *key);
            for held in evicted {
                held.revoking = true;
                session.revocations.push(held.id.get());
            }
        }
    }
}

/// More events than a run has for one session.
pub const EVENTS_MAX: u32 = 100_000;
