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
    /// Whether the realm has the WAMP meta API: procedures and events under `wamp.`.
    pub meta_api: bool,
    /// Whether sharded registration and subscription (`rkey`, `nkey`, `runmode`) are announced and obeyed.
    pub sharding: bool,
    /// Whether sessions may survive a lost transport, and how much of them; absent: they may not.
    pub resumption: Option<ResumptionConfig>,
    /// What the realm keeps.
    pub store: StoreConfig,
}

impl Default for RealmConfig {
    fn default() -> Self {
        Self {
            name: "realm1".into(),
            strictness: Strictness::Loose,
            roles: Vec::new(),
            meta_api: true,
            sharding: false,
            resumption: None,
            store: StoreConfig::default(),
        }
    }
}

/// How long and how much of a session survives its transport.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumptionConfig {
    /// Milliseconds from the loss of the transport to the end of the session.
    pub timeout_ms: u32,
    /// Events kept for the session meanwhile; older ones give way, and are counted.
    pub events_max: u32,
    /// Octets of payload of all events kept for one session.
    pub octets_max: u32,
}

impl Default for ResumptionConfig {
    fn default() -> Self {
        Self { timeout_ms: 60_000, events_max: 1_000, octets_max: 1 << 20 }
    }
}

/// What a realm keeps of its publications and calls.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Publications kept for `wamp.subscription.get_events`.
    pub history: Vec<HistoryRule>,
    /// Octets of all publications kept for that; an event counts once for each rule.
    pub history_octets_max: u64,
    /// Procedures whose calls wait when all callees are at their concurrency limit.
    pub call_queue: Vec<QueueRule>,
    /// Topics that may have a retained event.
    pub retained_topics_max: u32,
    /// Octets of payload of all retained events of the realm.
    pub retained_octets_max: u32,
    /// Milliseconds that an event is retained; absent: for ever.
    pub retained_lifetime_ms: Option<u64>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            history: Vec::new(),
            history_octets_max: 256 << 20,
            call_queue: Vec::new(),
            retained_topics_max: 100_000,
            retained_octets_max: 256 << 20,
            retained_lifetime_ms: None,
        }
    }
}

/// Keeps the latest publications that match.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRule {
    /// The topic or pattern; it exists as a subscription from the start.
    pub uri: Box<str>,
    /// How `uri` is read.
    pub match_policy: Match,
    /// Publications kept.
    pub limit: u32,
}

/// Lets calls wait instead of refusing them.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRule {
    /// The procedure or pattern called.
    pub uri: Box<str>,
    /// How `uri` is read.
    pub match_policy: Match,
    /// Calls that may wait for one registration.
    pub limit: u32,
}

/// A role and what it may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleConfig {
    /// The role's name (`authrole`).
    pub name: Box<str>,
    /// Static rules; the most specific one that matches decides, no rule means no.
    pub permissions: Vec<Permission>,
    /// Trust level of the role's publications and calls, told to their receivers; 0 is the lowest, absent: none is told.
    pub trustlevel: Option<u64>,
    /// The role of the router's own sessions: may use URIs under `wamp.`, is always disclosed, sees protected URIs, may
    /// forward for others.
    pub is_trusted: bool,
}

/// One static rule.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// `disclose_me` is refused, for calls and publications alike.
    pub refuse_disclose_me: bool,
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

impl RouterConfig {
    /// Adds the role of the router's own sessions to each realm; every part of a node needs the same configuration.
    #[must_use]
    pub fn with_trusted_role(mut self) -> Self {
        for realm in &mut self.realms {
            let everything = Permission {
                uri: "".into(),
                match_policy: Match::Prefix,
                allow: Allow::ALL,
                disclose_caller: true,
                disclose_publisher: true,
                refuse_disclose_me: false,
            };
            realm.roles.push(RoleConfig {
                name: TRUSTED.into(),
                permissions: vec![everything],
                trustlevel: None,
                is_trusted: true,
            });
        }
        self
    }
}

/// The role of the router's own sessions. No configured role may have this name.
pub const TRUSTED: &str = "trusted";

/// Everything the core is configured with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterConfig {
    /// Realms; the index is the [`crate::address::RealmId`].
    pub realms: Vec<RealmConfig>,
    /// Authentication per listening transport; the index is the [`crate::address::TransportId`].
    pub transports: Vec<TransportAuthentication>,
    /// `WELCOME.Details.agent`.
    pub agent: Box<str>,
    /// `x_cb_node`: the node's name; empty: none is told.
    pub node: Box<str>,
    /// `x_cb_worker`: names of the configured workers, by listening transport; what is missing is not told.
    pub workers: Vec<Box<str>>,
}
