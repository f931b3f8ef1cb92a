//! Who held which subscription or registration, and when: what the meta API may say of them.

use super::{Key, Model, Pending, PendingKind, Session, SessionIndex};

/// Ticks for which the registry may not know what a shard has done: longer than letters and stalls last.
pub const SLACK_TICKS: u64 = 500;

/// What is held.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // the names are those of the things
pub enum Kind {
    Subscription,
    Registration,
}

/// That a session held something for a while.
#[derive(Clone, Debug)]
pub struct Holding {
    /// What.
    pub kind: Kind,
    /// Who.
    pub session: SessionIndex,
    /// Its id.
    pub id: u64,
    /// Index of the realm.
    pub realm: usize,
    /// What it is on.
    pub key: Key,
    /// When it was acknowledged.
    pub since: u64,
    /// When it may have ended.
    pub until: Option<u64>,
}

impl Model {
    pub(super) fn hold(&mut self, kind: Kind, session: SessionIndex, id: u64, key: Key) {
        let tick = self.tick;
        if self.holdings.len() > HOLDINGS_MAX {
            self.holdings.retain(|held| held.until.is_none_or(|until| until + 4 * SLACK_TICKS > tick));
        }
        let realm = self.sessions[session].realm;
        self.holdings.push(Holding { kind, session, id, realm, key, since: tick, until: None });
    }

    /// A session may not hold this any more; without `id`, nothing of it.
    pub(super) fn let_go(&mut self, session: SessionIndex, what: Option<(Kind, u64)>) {
        let tick = self.tick;
        let meant = |held: &&mut Holding| {
            held.session == session && what.is_none_or(|(kind, id)| held.kind == kind && held.id == id)
        };
        for held in self.holdings.iter_mut().filter(meant) {
            held.until.get_or_insert(tick);
        }
    }

    /// Whether a link has left that had asked for something and was not told that it has got it.
    pub fn was_wanted_by_link(&self, realm: usize, key: &Key) -> bool {
        let gone = |session: &&Session| !session.live && session.realm == realm && self.is_of_router(session);
        let wants = |pending: &Pending| match &pending.kind {
            PendingKind::Subscribe(wanted) => wanted == key,
            PendingKind::Register(wanted) => wanted.key == *key,
            _ => false,
        };
        self.sessions.iter().filter(gone).any(|session| session.requests.iter().any(wants))
    }

    /// What the registry surely knew from `tick` until now.
    pub fn surely_held(&self, kind: Kind, realm: usize, tick: u64) -> impl Iterator<Item = &Holding> {
        let slack = if kind == Kind::Subscription { SLACK_TICKS } else { 0 };
        self.holdings.iter().filter(move |held| {
            held.kind == kind
                && held.realm == realm
                && held.since + slack <= tick
                && held.until.is_none()
                && !self.is_of_router(&self.sessions[held.session])
                && !self.sessions[held.session].was_away(tick)
                && !self.may_be_killed(&self.sessions[held.session])
                && !(kind == Kind::Registration && self.may_be_evicted(realm, &held.key))
        })
    }

    /// What the registry may have known at some time from `tick` until now, beside what nobody has been told of.
    pub fn maybe_held(&self, kind: Kind, realm: usize, tick: u64) -> impl Iterator<Item = &Holding> {
        self.holdings.iter().filter(move |held| {
            held.kind == kind
                && held.realm == realm
                && held.until.is_none_or(|until| until + SLACK_TICKS >= tick)
        })
    }
}

/// Ended holdings are forgotten when there are more.
const HOLDINGS_MAX: usize = 256;
