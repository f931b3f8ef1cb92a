//! Tracking cookies: which values have been given out, and who has logged in with them.
//!
//! The table of cookies is an index in memory. What has to outlive the process leaves it as [`CookieChange`]s, in their order,
//! and comes back as [`CookieRecord`]s: files and databases are the host's. A cookie that nobody has logged in with is not
//! worth keeping, so strangers cannot make the host write.

use std::collections::{BTreeMap, BTreeSet};

use crossring_codec::id::SessionId;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use sha2::{Digest as _, Sha256};

use crate::config::Secret;
use crate::rng::SecretGenerator;

mod record;
#[cfg(test)]
mod tests;

pub use record::{read_records, write_record};

/// Cookies of one store that nobody has logged in with; the one that expires first gives way. Protects the memory of the
/// router from handshakes without end.
pub const TRACKED_MAX: usize = 64 * 1024;

/// Cookies of one store that somebody has logged in with; anonymous ones give way first, then the one that expires first.
pub const LOGINS_MAX: usize = 100_000;

/// Octets of one stored login; who needs more has to log in again each time.
pub const LOGIN_SIZE_MAX: usize = 8 * 1024;

/// Shortest value of a cookie that logs somebody in, in characters of 6 random bits each.
pub const VALUE_LENGTH_MIN: usize = 6;

/// A cookie as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CookieRecord {
    /// Its value: whoever has it may log in.
    pub value: Secret,
    /// When it was set, in milliseconds since 1970-01-01T00:00:00Z.
    pub created_unix_ms: u64,
    /// When the login changed last.
    pub modified_unix_ms: Option<u64>,
    /// Seconds from its creation to its end.
    pub max_age_s: u32,
    /// Who has logged in with it.
    pub login: Option<CookieLogin>,
}

impl CookieRecord {
    /// When it ends, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn expires_unix_ms(&self) -> u64 {
        self.created_unix_ms.saturating_add(u64::from(self.max_age_s) * 1_000)
    }
}

/// The identity that a cookie stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct CookieLogin {
    /// The realm joined.
    pub realm: Box<str>,
    /// `authid`
    pub authid: Box<str>,
    /// `authrole`
    pub authrole: Box<str>,
    /// The method by which it was proved.
    pub authmethod: Box<str>,
    /// `authextra`, as told to the session that logged in.
    pub authextra: Dict,
}

impl CookieLogin {
    fn size(&self) -> usize {
        let mut octets = Vec::new();
        // MessagePack can carry every value.
        let _ = Value::Dict(self.authextra.clone()).encode(SerializerId::MessagePack, &mut octets);
        octets.len()
            + [&self.realm, &self.authid, &self.authrole].map(|text| text.len()).iter().sum::<usize>()
    }

    fn is_anonymous(&self) -> bool {
        &*self.authmethod == "anonymous"
    }
}

/// What became of a cookie.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It has to be kept from now on.
    Created,
    /// Its login has changed.
    Modified,
    /// It is to be forgotten.
    Deleted,
}

/// A cookie that has to be kept, or kept no more.
#[derive(Clone, Debug, PartialEq)]
pub struct CookieChange {
    /// Index of the store.
    pub store: u16,
    /// What has happened.
    pub kind: ChangeKind,
    /// The cookie afterwards; of a deleted one, before.
    pub record: CookieRecord,
}

/// Makes values that nobody can guess.
#[derive(Debug)]
pub struct CookieGenerator(SecretGenerator);

impl CookieGenerator {
    /// A generator for one shard. `entropy`: 32 random octets as text, other ones at each start of the node.
    pub fn new(shard: u8, entropy: &Secret) -> Self {
        let text = format!("cookies {}", entropy.expose());
        Self(SecretGenerator::new(shard.into(), &text))
    }

    /// A value of so many characters of base64.
    pub fn generate(&mut self, length: usize) -> Secret {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let character = |_| char::from(ALPHABET[self.0.below(64) as usize]);
        Secret::new((0..length.max(VALUE_LENGTH_MIN)).map(character).collect::<String>())
    }
}

/// The cookies of one store.
#[derive(Debug, Default)]
pub(crate) struct CookieTable {
    /// By the digest of the value: how far a guess is right does not show in the time of a search.
    cookies: BTreeMap<Digest, Cookie>,
    /// Who gives way first, and expires first.
    order: BTreeSet<(Rank, u64, Digest)>,
    logins: usize,
    changes: Vec<(ChangeKind, CookieRecord)>,
}

type Digest = [u8; 32];

/// What a cookie is worth.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Tracked,
    Anonymous,
    Proved,
}

const RANKS: [Rank; 3] = [Rank::Tracked, Rank::Anonymous, Rank::Proved];

#[derive(Debug)]
struct Cookie {
    record: CookieRecord,
    /// The host keeps it.
    is_kept: bool,
    /// Joined sessions of connections that have sent it.
    sessions: BTreeSet<SessionId>,
}

impl Cookie {
    fn rank(&self) -> Rank {
        match &self.record.login {
            None => Rank::Tracked,
            Some(login) if login.is_anonymous() => Rank::Anonymous,
            Some(_) => Rank::Proved,
        }
    }
}

impl CookieTable {
    /// Takes a value that has just been set.
    pub(crate) fn issue(&mut self, unix_ms: u64, value: Secret, max_age_s: u32) {
        self.drop_expired(unix_ms);
        let record =
            CookieRecord { value, created_unix_ms: unix_ms, modified_unix_ms: None, max_age_s, login: None };
        self.insert(record, false);
        self.make_room();
    }

    /// Takes what the host has kept.
    pub(crate) fn load(&mut self, unix_ms: u64, records: impl IntoIterator<Item = CookieRecord>) {
        for record in records {
            self.insert(record, true);
        }
        self.drop_expired(unix_ms);
        self.make_room();
    }

    /// Whether the value has been given out and is still good.
    pub(crate) fn is_known(&self, unix_ms: u64, value: &str) -> bool {
        self.find(unix_ms, value).is_some()
    }

    /// Who has logged in with the cookie.
    pub(crate) fn login(&self, unix_ms: u64, value: &str) -> Option<&CookieLogin> {
        self.find(unix_ms, value)?.record.login.as_ref()
    }

    /// Somebody has logged in with the cookie, or the login is revoked. A login that is too long counts as none.
    pub(crate) fn set_login(&mut self, unix_ms: u64, value: &str, login: Option<CookieLogin>) {
        self.drop_expired(unix_ms);
        let login = login.filter(|login| login.size() <= LOGIN_SIZE_MAX);
        let digest = digest(value);
        let is_changed = |cookie: &Cookie| cookie.record.login != login;
        if !self.cookies.get(&digest).is_some_and(is_changed) {
            return;
        }
        let Some(mut cookie) = self.take(digest) else { return };
        cookie.record.login = login;
        cookie.record.modified_unix_ms = Some(unix_ms);
        let kind = if cookie.is_kept { ChangeKind::Modified } else { ChangeKind::Created };
        cookie.is_kept = true;
        self.changes.push((kind, cookie.record.clone()));
        self.put(digest, cookie);
        self.make_room();
    }

    /// Forgets the cookie. Returns the joined sessions of connections that have sent it.
    pub(crate) fn delete(&mut self, value: &str) -> BTreeSet<SessionId> {
        let cookie = self.take(digest(value));
        cookie.map(|cookie| self.note_deleted(cookie)).unwrap_or_default()
    }

    /// A session has joined over a connection that has sent the cookie.
    pub(crate) fn session_joined(&mut self, value: &str, session: SessionId) {
        if let Some(cookie) = self.cookies.get_mut(&digest(value)) {
            cookie.sessions.insert(session);
        }
    }

    /// Such a session has left.
    pub(crate) fn session_left(&mut self, value: &str, session: SessionId) {
        if let Some(cookie) = self.cookies.get_mut(&digest(value)) {
            cookie.sessions.remove(&session);
        }
    }

    /// What has changed since the last time, for the host to keep.
    pub(crate) fn take_changes(&mut self) -> Vec<(ChangeKind, CookieRecord)> {
        std::mem::take(&mut self.changes)
    }

    /// Everything that the host has to keep.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &CookieRecord> {
        self.cookies.values().filter(|cookie| cookie.is_kept).map(|cookie| &cookie.record)
    }

    fn find(&self, unix_ms: u64, value: &str) -> Option<&Cookie> {
        self.cookies.get(&digest(value)).filter(|cookie| unix_ms < cookie.record.expires_unix_ms())
    }

    fn insert(&mut self, record: CookieRecord, is_kept: bool) {
        let digest = digest(record.value.expose());
        let earlier = self.take(digest);
        let sessions = earlier.map(|earlier| earlier.sessions).unwrap_or_default();
        self.put(digest, Cookie { record, is_kept, sessions });
    }

    fn put(&mut self, digest: Digest, cookie: Cookie) {
        self.order.insert((cookie.rank(), cookie.record.expires_unix_ms(), digest));
        self.logins += usize::from(cookie.rank() != Rank::Tracked);
        self.cookies.insert(digest, cookie);
    }

    fn take(&mut self, digest: Digest) -> Option<Cookie> {
        let cookie = self.cookies.remove(&digest)?;
        self.order.remove(&(cookie.rank(), cookie.record.expires_unix_ms(), digest));
        self.logins -= usize::from(cookie.rank() != Rank::Tracked);
        Some(cookie)
    }

    fn note_deleted(&mut self, cookie: Cookie) -> BTreeSet<SessionId> {
        if cookie.is_kept {
            self.changes.push((ChangeKind::Deleted, cookie.record));
        }
        cookie.sessions
    }

    fn drop_expired(&mut self, unix_ms: u64) {
        for rank in RANKS {
            while let Some((_, digest)) = self.next_of(rank).filter(|(expires, _)| *expires <= unix_ms) {
                self.evict(digest);
            }
        }
    }

    fn make_room(&mut self) {
        while self.cookies.len() - self.logins > TRACKED_MAX {
            let Some((_, digest)) = self.next_of(Rank::Tracked) else { return };
            self.evict(digest);
        }
        while self.logins > LOGINS_MAX {
            let next = self.next_of(Rank::Anonymous).or(self.next_of(Rank::Proved));
            let Some((_, digest)) = next else { return };
            self.evict(digest);
        }
    }

    /// The cookie of this rank that expires first, and when.
    fn next_of(&self, rank: Rank) -> Option<(u64, Digest)> {
        let next = self.order.range((rank, 0, [0; 32])..).next()?;
        (next.0 == rank).then_some((next.1, next.2))
    }

    fn evict(&mut self, digest: Digest) {
        if let Some(cookie) = self.take(digest) {
            self.note_deleted(cookie);
        }
    }
}

fn digest(value: &str) -> Digest {
    Sha256::digest(value).into()
}
