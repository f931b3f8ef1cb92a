//! Authorization: may a role do something to a URI?
//!
//! A role has static rules, or an authorizer: a procedure of the realm that is asked. What it says is remembered where it
//! says so, until its registration changes or it takes its word back.

use crossring_codec::uri::{Match, matches};

use crate::address::{RealmId, RoleId};
use crate::config::{Allow, RoleConfig, RouterConfig};

pub(crate) mod answer;
mod memory;
mod rules;

use memory::Memory;
use rules::Rules;

/// What a session does to a URI, as authorizers are told it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Action {
    /// CALL
    Call,
    /// REGISTER
    Register,
    /// PUBLISH
    Publish,
    /// SUBSCRIBE
    Subscribe,
}

impl Action {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Call => "call",
            Action::Register => "register",
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
        }
    }

    /// Exactly this one.
    pub(crate) const fn alone(self) -> Allow {
        Allow {
            call: matches!(self, Action::Call),
            register: matches!(self, Action::Register),
            publish: matches!(self, Action::Publish),
            subscribe: matches!(self, Action::Subscribe),
        }
    }
}

/// What a rule or an authorizer says about a URI.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Decision {
    /// Allowed actions. An authorizer tells of the one it was asked about.
    pub allow: Allow,
    /// Callers are disclosed.
    pub disclose_caller: bool,
    /// Publishers are disclosed.
    pub disclose_publisher: bool,
    /// `disclose_me` is refused.
    pub refuse_disclose_me: bool,
}

/// How long a decision counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ruling {
    /// Until rules change, or the authorizer takes it back.
    Lasting(Decision),
    /// For the message it was asked about.
    Once(Decision),
    /// There is none: the authorizer has failed.
    Failed {
        /// Why, for whoever asked.
        text: Box<str>,
        /// It has not answered in time.
        is_silence: bool,
    },
}

/// What may be done is known, or the authorizer is to be asked.
#[derive(Debug)]
enum Role {
    Static(Rules),
    Dynamic(Dynamic),
}

#[derive(Debug)]
struct Dynamic {
    authorizer: Box<str>,
    memory: Memory,
    /// Counts how often what it has said has become void.
    generation: u64,
}

/// The rules and remembered decisions of all roles of all realms.
#[derive(Debug)]
pub(crate) struct Authorization {
    realms: Vec<Vec<Role>>,
    /// What has been decided for the message in hand.
    in_hand: Option<InHand>,
}

/// A ruling and what it is about.
#[derive(Debug)]
pub(crate) struct InHand {
    pub(crate) action: Action,
    pub(crate) uri: Box<str>,
    pub(crate) match_policy: Match,
    pub(crate) ruling: Ruling,
}

impl Authorization {
    /// Compiles the rules of a configuration. `seed` is for hash tables, `octets_max` bounds what is remembered of each
    /// role.
    pub(crate) fn new(config: &RouterConfig, octets_max: u32, seed: u64) -> Self {
        let role = |role: &RoleConfig| match &role.authorizer {
            None => Role::Static(Rules::new(role, seed)),
            Some(authorizer) => Role::Dynamic(Dynamic {
                authorizer: authorizer.clone(),
                memory: Memory::new(octets_max as usize, seed),
                generation: 0,
            }),
        };
        let realms = config.realms.iter().map(|realm| realm.roles.iter().map(role).collect()).collect();
        Self { realms, in_hand: None }
    }

    /// What the role may do to `uri`, read as `policy` says. None: its authorizer has to be asked.
    pub(crate) fn decide(
        &self,
        realm: RealmId,
        role: RoleId,
        action: Action,
        uri: &str,
        policy: Match,
    ) -> Option<Ruling> {
        match self.role(realm, role) {
            Some(Role::Static(rules)) => Some(Ruling::Lasting(rules.decide(uri, policy))),
            Some(Role::Dynamic(dynamic)) => self.recall(dynamic, action, uri, policy),
            None => Some(Ruling::Lasting(Decision::default())),
        }
    }

    #[cold]
    fn recall(&self, dynamic: &Dynamic, action: Action, uri: &str, policy: Match) -> Option<Ruling> {
        let is_it = |it: &&InHand| it.action == action && *it.uri == *uri && it.match_policy == policy;
        if let Some(in_hand) = self.in_hand.as_ref().filter(is_it) {
            return Some(in_hand.ruling.clone());
        }
        dynamic.memory.get(action, policy, uri).map(Ruling::Lasting)
    }

    /// From here on to the next call of this, decisions about one message are known. Returns the former ones.
    pub(crate) fn take_in_hand(&mut self, in_hand: Option<InHand>) -> Option<InHand> {
        std::mem::replace(&mut self.in_hand, in_hand)
    }

    /// Why there is no decision about the message in hand.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.in_hand.as_ref()?.ruling {
            Ruling::Failed { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Remembers what the authorizer of a role has said.
    pub(crate) fn remember(
        &mut self,
        realm: RealmId,
        role: RoleId,
        action: Action,
        uri: &str,
        policy: Match,
        decision: Decision,
    ) {
        if let Some(Role::Dynamic(dynamic)) = self.role_mut(realm, role) {
            dynamic.memory.insert(action, policy, uri, decision);
        }
    }

    /// The procedure that decides for the role, if one does.
    pub(crate) fn authorizer(&self, realm: RealmId, role: RoleId) -> Option<&str> {
        match self.role(realm, role)? {
            Role::Static(_) => None,
            Role::Dynamic(dynamic) => Some(&dynamic.authorizer),
        }
    }

    /// The roles for which a procedure that matches decides.
    pub(crate) fn roles_of(
        &self,
        realm: RealmId,
        is_it: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = RoleId> {
        let roles = self.realms.get(usize::from(realm.0)).into_iter().flatten().enumerate();
        roles.filter_map(move |(index, role)| match role {
            Role::Dynamic(dynamic) if is_it(&dynamic.authorizer) => Some(RoleId(index as u16)),
            _ => None,
        })
    }

    /// The roles for which procedures under a pattern decide.
    pub(crate) fn roles_under(&self, realm: RealmId, pattern: &str, policy: Match) -> Vec<RoleId> {
        self.roles_of(realm, |authorizer| matches(pattern, policy, authorizer)).collect()
    }

    /// Changes whenever what the role's authorizer has said becomes void.
    pub(crate) fn generation(&self, realm: RealmId, role: RoleId) -> u64 {
        match self.role(realm, role) {
            Some(Role::Dynamic(dynamic)) => dynamic.generation,
            _ => 0,
        }
    }

    /// What the role's authorizer has said is void.
    pub(crate) fn forget(&mut self, realm: RealmId, role: RoleId) {
        if let Some(Role::Dynamic(dynamic)) = self.role_mut(realm, role) {
            dynamic.memory.clear();
            dynamic.generation += 1;
        }
    }

    /// Decisions remembered.
    pub(crate) fn remembered(&self) -> usize {
        let memories = self.realms.iter().flatten().map(|role| match role {
            Role::Static(_) => 0,
            Role::Dynamic(dynamic) => dynamic.memory.len(),
        });
        memories.sum()
    }

    fn role(&self, realm: RealmId, role: RoleId) -> Option<&Role> {
        self.realms.get(usize::from(realm.0))?.get(usize::from(role.0))
    }

    fn role_mut(&mut self, realm: RealmId, role: RoleId) -> Option<&mut Role> {
        self.realms.get_mut(usize::from(realm.0))?.get_mut(usize::from(role.0))
    }
}
