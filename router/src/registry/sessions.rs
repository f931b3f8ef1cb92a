//! Joined sessions: found by address and by id, counted by role, ended by others.

use std::hash::BuildHasher;

use crossring_codec::id::{RegistrationId, SessionId};
use crossring_codec::uri::Strictness;
use crossring_codec::value::Dict;
use hashbrown::HashTable;

use super::{Channel, Member, Places, Registry, Session};
use crate::address::{RealmId, RoleId, SessionAddress};
use crate::agent::testament::Testaments;
use crate::auth::Identity;
use crate::config::RouterConfig;
use crate::letter::Letter;
use crate::limits::Limits;
use crate::outbox::Post;
use crate::table::IntegerState;

/// What few sessions have.
#[derive(Debug, Default)]
pub(crate) struct SessionExtras {
    /// Published when the session is gone.
    pub(crate) testaments: Testaments,
    /// Shown by `wamp.session.get` in the place of, or beside, what the router knows.
    pub(crate) details: Dict,
}

/// Addresses of joined sessions by id. The ids themselves stay with the sessions: an entry is 13 octets.
#[derive(Debug)]
pub(super) struct SessionIndex {
    addresses: HashTable<SessionAddress>,
    integers: IntegerState,
}

impl SessionIndex {
    pub(super) fn new(integers: IntegerState) -> Self {
        Self { addresses: HashTable::new(), integers }
    }

    fn find(&self, places: &Places, id: SessionId) -> Option<SessionAddress> {
        let is_same = |address: &SessionAddress| places.session(*address).is_some_and(|s| s.id == id);
        self.addresses.find(self.integers.hash_one(id.get()), is_same).copied()
    }

    pub(super) fn insert(&mut self, places: &Places, id: SessionId, address: SessionAddress) {
        let integers = self.integers;
        let hash = |address: &SessionAddress| {
            integers.hash_one(places.session(*address).map_or(0, |session| session.id.get()))
        };
        self.addresses.insert_unique(integers.hash_one(id.get()), address, hash);
    }

    pub(super) fn remove(&mut self, id: SessionId, address: SessionAddress) {
        let hash = self.integers.hash_one(id.get());
        if let Ok(entry) = self.addresses.find_entry(hash, |known| *known == address) {
            entry.remove();
        }
    }
}

impl Session {
    pub(super) fn new(id: SessionId, identity: Identity, channel: Channel) -> Self {
        Self {
            id,
            identity,
            channel,
            subscriptions: None,
            registrations: None,
            extras: None,
            resumption: None,
            is_silenced: false,
        }
    }

    /// The rare things, to be filled.
    pub(crate) fn extras_mut(&mut self) -> &mut SessionExtras {
        self.extras.get_or_insert_default()
    }

    /// Whether the session is a callee of the registration.
    pub(crate) fn is_callee(&self, registration: RegistrationId) -> bool {
        self.registrations.as_ref().is_some_and(|held| held.contains(&registration.get()))
    }

    /// Subscriptions held, lowest id first.
    pub(crate) fn subscriptions_held(&self) -> Vec<u64> {
        super::sorted(self.subscriptions.iter().flat_map(|held| held.keys().copied()))
    }

    /// Registrations held, lowest id first.
    pub(crate) fn registrations_held(&self) -> Vec<u64> {
        super::sorted(self.registrations.iter().flat_map(|held| held.iter().copied()))
    }
}

impl Registry {
    /// An id that no joined session has.
    pub(super) fn new_session_id(&mut self) -> SessionId {
        loop {
            let id = SessionId::from_random(self.random.next_u64());
            if self.index.find(&self.places, id).is_none() {
                return id;
            }
        }
    }

    /// Puts an admitted session into its place.
    pub(super) fn settle_in(&mut self, address: SessionAddress, session: Session) {
        let (id, realm, role) = (session.id, session.identity.realm, session.identity.role);
        *self.places.make(address) = Member::Joined(Box::new(session));
        self.index.insert(&self.places, id, address);
        self.realms[usize::from(realm.0)].joined[usize::from(role.0)] += 1;
    }

    /// Counts a session out that has been taken out of its place.
    pub(super) fn count_out(&mut self, address: SessionAddress, session: &Session) {
        let (realm, role) = (session.identity.realm, session.identity.role);
        self.index.remove(session.id, address);
        self.realms[usize::from(realm.0)].joined[usize::from(role.0)] -= 1;
    }

    /// Whether the session is one of the router's own.
    pub(crate) fn is_internal(&self, session: &Session) -> bool {
        let realm = &self.config.realms[usize::from(session.identity.realm.0)];
        realm.roles[usize::from(session.identity.role.0)].is_trusted
    }

    /// The name of the session's role.
    pub(crate) fn role_name(&self, session: &Session) -> &str {
        self.name_of_role(session.identity.realm, session.identity.role)
    }

    /// The name of a role.
    pub(crate) fn name_of_role(&self, realm: RealmId, role: RoleId) -> &str {
        &self.config.realms[usize::from(realm.0)].roles[usize::from(role.0)].name
    }

    /// How URIs of a realm are checked.
    pub(crate) fn strictness(&self, realm: RealmId) -> Strictness {
        self.config.realms[usize::from(realm.0)].strictness
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// The bounds in force.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The session at an address.
    pub(crate) fn session(&self, address: SessionAddress) -> Option<&Session> {
        self.places.session(address)
    }

    /// A session of any realm, the router's own included.
    pub(crate) fn session_by_id(&self, id: SessionId) -> Option<(SessionAddress, &Session)> {
        let address = self.index.find(&self.places, id)?;
        Some((address, self.session(address)?))
    }

    /// A client's session on the realm.
    pub(crate) fn client_by_id(&self, realm: RealmId, id: SessionId) -> Option<(SessionAddress, &Session)> {
        self.session_by_id(id)
            .filter(|(_, session)| session.identity.realm == realm && !self.is_internal(session))
    }

    /// The clients' sessions on the realm, by shard and slot.
    pub(crate) fn clients(&self, realm: RealmId) -> impl Iterator<Item = (SessionAddress, &Session)> {
        self.sessions()
            .filter(move |(_, session)| session.identity.realm == realm && !self.is_internal(session))
    }

    /// How many clients have joined the realm in roles that `wanted` accepts. Takes time in the number of roles.
    pub(crate) fn clients_joined(&self, realm: RealmId, wanted: impl Fn(&str) -> bool) -> u64 {
        let config = &self.config.realms[usize::from(realm.0)];
        let counted = config.roles.iter().zip(&self.realms[usize::from(realm.0)].joined);
        counted
            .filter(|(role, _)| !role.is_trusted && wanted(&role.name))
            .map(|(_, joined)| u64::from(*joined))
            .sum()
    }

    /// GOODBYE for a session. `silently`: its end is not told, its testaments are not published.
    pub(crate) fn kill<P: Post>(
        &mut self,
        address: SessionAddress,
        reason: &str,
        message: Option<&str>,
        silently: bool,
        out: &mut P,
    ) {
        let Some(session) = self.session_mut(address) else { return };
        session.is_silenced |= silently;
        let session = session.id;
        if self.doom(address, reason, message, out) {
            return;
        }
        let (reason, message) = (reason.into(), message.map(Box::from));
        out.post(address.shard, Letter::Kill { key: address.key, session, reason, message });
    }
}
