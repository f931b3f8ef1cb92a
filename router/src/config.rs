//! What the router core is told about realms, roles and authentication: plain data, resolved and immutable.

use std::fmt;

use crossring_codec::uri::{Match, Strictness};

use crate::address::TransportId;
use crate::auth::is_same_secret;
use crate::credentials::certificates::Root;
use crate::credentials::cra::Derivation;
use crate::credentials::cryptosign::Octets32;
use crate::credentials::scram::{Dialect, Kdf, StoredKeys};

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
    /// Prefix, with its last dot, under which the realm [`MANAGEMENT`] has the same procedures and events; absent: none.
    pub bridge: Option<Box<str>>,
    /// Whether sharded registration and subscription (`rkey`, `nkey`, `runmode`) are announced and obeyed.
    pub sharding: bool,
    /// Whether sessions may survive a lost transport, and how much of them; absent: they may not.
    pub resumption: Option<ResumptionConfig>,
    /// What the realm keeps.
    pub store: StoreConfig,
    /// When the traffic of sessions is told as `wamp.session.on_stats`; absent: it is not even counted.
    pub statistics: Option<StatisticsConfig>,
}

impl Default for RealmConfig {
    fn default() -> Self {
        Self {
            name: "realm1".into(),
            strictness: Strictness::Loose,
            roles: Vec::new(),
            meta_api: true,
            bridge: None,
            sharding: false,
            resumption: None,
            store: StoreConfig::default(),
            statistics: None,
        }
    }
}

/// When the traffic of a session is reported. A session is reported at most once a second, first and last report aside.
#[derive(Clone, Debug, PartialEq)]
pub struct StatisticsConfig {
    /// Octets of a rated message: longer ones count as several.
    pub rated_size: u32,
    /// After so many rated messages.
    pub after_messages: Option<u64>,
    /// With the first message after so many milliseconds.
    pub after_ms: Option<u64>,
    /// When it joins.
    pub on_join: bool,
    /// When it leaves.
    pub on_leave: bool,
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
    /// Sessions of the realm without transport at a time; further ones end when they lose theirs.
    pub sessions_max: u32,
}

impl Default for ResumptionConfig {
    fn default() -> Self {
        Self { timeout_ms: 60_000, events_max: 1_000, octets_max: 1 << 20, sessions_max: 1_000 }
    }
}

/// What a realm keeps of its publications and calls.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Publications kept for `wamp.subscription.get_events`.
    pub history: Vec<HistoryRule>,
    /// Octets of all publications kept for that; an event counts once for each rule.
    pub history_octets_max: u64,
    /// Sessions remembered, joined or left, each with its details; the one that joined first gives way. 0: none.
    pub sessions_max: u32,
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
            sessions_max: 0,
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
    /// The procedure that decides instead of rules; absent: rules decide.
    pub authorizer: Option<Box<str>>,
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

    /// Whether all of `wanted` is allowed.
    pub(crate) const fn has(self, wanted: Allow) -> bool {
        (self.call || !wanted.call)
            && (self.register || !wanted.register)
            && (self.publish || !wanted.publish)
            && (self.subscribe || !wanted.subscribe)
    }
}

/// How clients of one listening transport authenticate: the methods in no order, the client's order decides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TransportAuthentication {
    /// `anonymous`
    pub anonymous: Option<Source<AnonymousConfig>>,
    /// `ticket`
    pub ticket: Option<Source<Principals<TicketPrincipal>>>,
    /// `wampcra`
    pub cra: Option<Source<Principals<CraPrincipal>>>,
    /// `wamp-scram` and Autobahn's `scram`
    pub scram: Option<Source<Principals<ScramPrincipal>>>,
    /// `cryptosign`
    pub cryptosign: Option<Source<KeyHolders>>,
    /// `tls`
    pub tls: Option<Source<Principals<TlsPrincipal>>>,
    /// `anonymous-proxy`: a proxy says who its clients are. Only over Unix sockets.
    pub anonymous_proxy: bool,
    /// `cryptosign-proxy`: a proxy that proves its own key says who its clients are. Only over Unix sockets.
    pub cryptosign_proxy: Option<Source<KeyHolders>>,
    /// `cookie`: who has logged in with the tracking cookie before is let in.
    pub cookie: bool,
    /// The tracking cookie of the transport's connections; absent: they have none.
    pub tracking: Option<CookieTracking>,
}

/// How the connections of a transport are told apart by a cookie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CookieTracking {
    /// Which cookies are known: those of all transports with this number.
    pub store: u16,
    /// Seconds that a cookie lasts.
    pub max_age_s: u32,
    /// An anonymous session gets the cookie as its `authid`, unless the cookie could log somebody in.
    pub names_anonymous: bool,
}

/// `anonymous` authentication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnonymousConfig {
    /// The role assigned.
    pub role: Box<str>,
    /// The identity assigned; absent: a random one for each session.
    pub authid: Option<Box<str>>,
}

/// A secret that no log ever shows, compared in a time that does not depend on where two differ.
#[derive(Clone, Default, Eq)]
pub struct Secret(Box<str>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        is_same_secret(self.0.as_bytes(), other.0.as_bytes()).into()
    }
}

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for proofs only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A private key that no log ever shows, compared like a [`Secret`].
#[derive(Clone, Eq)]
pub struct PrivateKey([u8; 32]);

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        is_same_secret(&self.0, &other.0).into()
    }
}

impl PrivateKey {
    /// Wraps the seed of an Ed25519 key.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The public key that belongs to it, in hexadecimal digits.
    pub fn public_key(&self) -> String {
        crate::credentials::cryptosign::public_key(&self.0)
    }

    /// The seed itself: for signatures only.
    pub(crate) const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Who knows the identities of a method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source<S> {
    /// The configuration.
    Static(S),
    /// A procedure.
    Dynamic(Authenticator),
}

/// A procedure that decides who may join.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Authenticator {
    /// Its URI.
    pub procedure: Box<str>,
    /// The realm it is called on; absent: the one asked for.
    pub realm: Option<Box<str>>,
    /// The role in which it is called; absent: that of the router's own sessions.
    pub role: Option<Box<str>>,
    /// The role of those to whom it gives none.
    pub default_role: Option<Box<str>>,
}

/// Identities of one method, found by `authid`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principals<P>(Vec<P>);

impl<P> Default for Principals<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P: Principal> Principals<P> {
    /// Sorts them. Of several with the same `authid` one counts.
    pub fn new(mut principals: Vec<P>) -> Self {
        principals.sort_by(|one, other| one.authid().cmp(other.authid()));
        Self(principals)
    }

    pub(crate) fn find(&self, authid: &str) -> Option<&P> {
        let index = self.0.binary_search_by(|principal| principal.authid().cmp(authid)).ok()?;
        self.0.get(index)
    }

    /// One of them, whatever the number.
    pub(crate) fn at(&self, number: usize) -> Option<&P> {
        self.0.get(number.checked_rem(self.0.len())?)
    }

    /// All of them, in the order of their `authid`.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.0.iter()
    }
}

/// An identity of the configuration.
pub trait Principal {
    /// The identity.
    fn authid(&self) -> &str;
    /// The role assigned.
    fn role(&self) -> &str;
    /// The realm it is put on, whatever it asks for; absent: the one it asks for.
    fn realm(&self) -> Option<&str>;
}

macro_rules! principals {
    ($($name:ident),+) => {$(
        impl Principal for $name {
            fn authid(&self) -> &str {
                &self.authid
            }
            fn role(&self) -> &str {
                &self.role
            }
            fn realm(&self) -> Option<&str> {
                self.realm.as_deref()
            }
        }
    )+};
}

principals!(TicketPrincipal, CraPrincipal, ScramPrincipal, CryptosignPrincipal, TlsPrincipal);

/// A principal of static `ticket` authentication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TicketPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// The secret; absent: can never log in (an environment variable was not set).
    pub ticket: Option<Secret>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one it asks for.
    pub realm: Option<Box<str>>,
}

/// A user of static `wampcra` authentication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CraPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// The key of the signature: the secret itself, or what `derivation` makes of it; absent: can never log in.
    pub key: Option<Secret>,
    /// How clients derive the key; absent: the secret is the key.
    pub derivation: Option<Derivation>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one it asks for.
    pub realm: Option<Box<str>>,
}

/// A principal of static SCRAM authentication. The password is not here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScramPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// How clients salt the password.
    pub kdf: Kdf,
    /// The salt.
    pub salt: Box<[u8]>,
    /// The keys for Autobahn's dialect.
    pub autobahn: Option<StoredKeys>,
    /// The keys for the specification's dialect.
    pub specification: Option<StoredKeys>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one it asks for.
    pub realm: Option<Box<str>>,
}

impl ScramPrincipal {
    pub(crate) const fn keys(&self, dialect: Dialect) -> Option<&StoredKeys> {
        match dialect {
            Dialect::Autobahn => self.autobahn.as_ref(),
            Dialect::Specification => self.specification.as_ref(),
        }
    }
}

/// A principal of static `tls` authentication. Fingerprints are octets in upper case hexadecimal digits, joined by colons;
/// all that are given count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// SHA-1 fingerprint of its certificate.
    pub sha1: Option<Box<str>>,
    /// SHA-256 fingerprint of its certificate.
    pub sha256: Option<Box<str>>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one it asks for.
    pub realm: Option<Box<str>>,
}

impl TlsPrincipal {
    /// Whether the certificate with these fingerprints is this principal's.
    pub(crate) fn is(&self, sha1: &str, sha256: &str) -> bool {
        let known = [(self.sha1.as_deref(), sha1), (self.sha256.as_deref(), sha256)];
        let mut given = known.into_iter().filter_map(|(expected, found)| Some(expected? == found)).peekable();
        given.peek().is_some() && given.all(|is_same| is_same)
    }
}

/// Whose keys static `cryptosign` authentication knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyHolders {
    /// Those that the configuration names.
    Principals(Principals<CryptosignPrincipal>),
    /// Those whom an authority has certified, by the realm that they ask for.
    Trustroots(Vec<Trustroot>),
}

/// An authority that certifies who may join a realm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trustroot {
    /// The realm asked for.
    pub requested_realm: Box<str>,
    /// Where chains of certificates have to lead.
    pub root: Root,
    /// The newest block of the Ethereum network, as far as the configuration knows; absent: certificates may be valid from any.
    pub block: Option<u64>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one asked for.
    pub realm: Option<Box<str>>,
}

/// A principal of static `cryptosign` authentication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CryptosignPrincipal {
    /// The identity (`authid`).
    pub authid: Box<str>,
    /// Its public keys.
    pub authorized_keys: Vec<Octets32>,
    /// The role assigned.
    pub role: Box<str>,
    /// The realm it is put on; absent: the one it asks for.
    pub realm: Option<Box<str>>,
}

impl CryptosignPrincipal {
    /// Whether the key is one of this principal's.
    pub(crate) fn has(&self, public_key: &Octets32) -> bool {
        self.authorized_keys.contains(public_key)
    }
}

impl RouterConfig {
    /// The cookies of a transport's connections, if it tracks them.
    pub(crate) fn tracking(&self, transport: TransportId) -> Option<&CookieTracking> {
        self.transports.get(usize::from(transport.0))?.tracking.as_ref()
    }

    /// Whether cookies of this store log somebody in at any transport: then nobody may see them.
    pub(crate) fn is_secret(&self, tracking: &CookieTracking) -> bool {
        let same = |other: &CookieTracking| other.store == tracking.store;
        self.transports
            .iter()
            .any(|transport| transport.cookie && transport.tracking.as_ref().is_some_and(same))
    }

    /// How many stores of cookies there are.
    pub(crate) fn cookie_stores(&self) -> usize {
        let stores = self.transports.iter().filter_map(|transport| transport.tracking.as_ref());
        stores.map(|tracking| usize::from(tracking.store) + 1).max().unwrap_or_default()
    }

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
                is_trusted: true,
                ..RoleConfig::default()
            });
        }
        self
    }
}

/// The realm on which other realms may show their meta API, if it is configured.
pub const MANAGEMENT: &str = "crossbar";

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
    /// The node's private key, with which it proves to clients who it is; absent: it cannot.
    pub node_key: Option<PrivateKey>,
    /// 32 random octets or more as text, other ones at each start of a node: what nobody may guess follows from them (session
    /// ids, nonces, what unknown identities are told).
    pub entropy: Secret,
}
