//! What the router core is told about realms, roles and authentication: plain data, resolved and immutable.

use crossring_codec::uri::{Match, Strictness};

/// A realm.
#[derive(Clone, Debug, PartialEq)]
pub struct RealmConfig {
    /// The realm's URI.
    pub name: Box<str>,
    /// How URIs of messages are checked.
    pub strictness: Strictness,
    /// Roles, in the order of the configuration.
    pub roles: Vec<RoleConfig>,
}

/// A role and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleConfig {
    /// The role's name (`authrole`).
    pub name: Box<str>,
    /// Static rules; the most specific one that matches decides, no rule means no.
    pub permissions: Vec<Permission>,
}

/// One static rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Permission {
    /// The URI or pattern it is about.
    pub uri: Box<str>,
    /// How `uri` is read.
    pub match_policy: Match,
    /// Allowed actions.
    pub allow: Allow,
    /// Forced disclosure of callers to callees.
    pub disclose_caller: bool,
    /// Forced disclosure of publishers to subscribers.
    pub disclose_publisher: bool,
}

/// Which actions a rule allows.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Allow {
    /// CALL
    pub call: bool,
    /// REGISTER
    pub register: bool,
    /// PUBLISH
    pub publish: bool,
    /// SUBSCRIBE
    pub subscribe: bool,
}

impl Allow {
    /// Every action.
    pub const ALL: Allow = Allow { call: true, register: true, publish: true, subscribe: true };
}

/// How clients of one listening transport authenticate: the methods in no order, the client's order decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransportAuthentication {
    /// `anonymous`: the role given to everybody who asks for nothing else.
    pub anonymous: Option<AnonymousConfig>,
    /// `ticket`: static principals.
    pub ticket: Vec<TicketPrincipal>,
}

/// `anonymous` authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct AnonymousConfig {
    /// The role assigned.
    pub role: Box<str>,
    /// The identity assigned; absent: a random one for each session.
    pub authid: Option<Box<str>>,
}

/// A principal of static `ticket` authentication.
#[derive(Clone, PartialEq)]
pub struct TicketPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// The secret; absent: can never log in (an environment variable was not set).
    pub ticket: Option<Box<str>>,
    /// The role assigned.
    pub role: Box<str>,
    /// The only realm the principal may join; absent: any.
    pub realm: Option<Box<str>>,
}

impl std::fmt::Debug for TicketPrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketPrincipal")
            .field("authid", &self.authid)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Everything the core is configured with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterConfig {
    /// Realms; the index is the [`crate::address::RealmId`].
    pub realms: Vec<RealmConfig>,
    /// Authentication per listening transport; the index is the [`crate::address::TransportId`].
    pub transports: Vec<TransportAuthentication>,
    /// `WELCOME.Details.agent`.
    pub agent: Box<str>,
}
