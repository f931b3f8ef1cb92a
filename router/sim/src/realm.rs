//! The configuration every run uses, and the naive reading of it: who may join as what, and who may do what.

use crossring_codec::uri::{self, Match, Strictness};
use crossring_router::config::{
    Allow, AnonymousConfig, Authenticator, Permission, Principals, RealmConfig, RoleConfig, RouterConfig,
    Secret, Source, TicketPrincipal, TransportAuthentication,
};

use crate::options::RealmOptions;

/// Realms of the simulated node. The second checks URIs strictly.
pub const REALMS: [&str; 2] = ["realm1", "realm2"];

/// Everybody is `member`, without asking.
pub const TRANSPORT_MEMBERS: u16 = 0;
/// Everybody is `guest`, without asking.
pub const TRANSPORT_GUESTS: u16 = 1;
/// A ticket decides.
pub const TRANSPORT_TICKETS: u16 = 2;
/// Everybody is a link to another router: trusted, without asking.
pub const TRANSPORT_LINKS: u16 = 3;

/// Everybody is a clerk: an authorizer decides what he may do.
pub const TRANSPORT_CLERKS: u16 = 4;

/// The procedure that decides what clerks may do. No pattern that clients use matches it.
pub const AUTHORIZER: &str = "net.authorize.clerk";

/// An authenticator decides who somebody is, whatever ticket he has.
pub const TRANSPORT_STRANGERS: u16 = 5;

/// The procedure that decides who strangers are.
pub const AUTHENTICATOR: &str = "net.authenticate.stranger";

/// Whom strangers say they are.
pub const STRANGERS: [&str; 3] = ["dora", "emil", "fred"];

/// Who can log in with a ticket.
pub const PRINCIPALS: [Principal; 3] = [
    Principal { authid: "alice", ticket: "secret-of-alice", role: "member", realm: None },
    Principal { authid: "bob", ticket: "secret-of-bob", role: "guest", realm: Some("realm1") },
    Principal { authid: "carol", ticket: "secret-of-carol", role: "observer", realm: None },
];

/// A principal of the `ticket` transport.
#[derive(Copy, Clone, Debug)]
pub struct Principal {
    /// `authid`
    pub authid: &'static str,
    /// The secret.
    pub ticket: &'static str,
    /// `authrole`
    pub role: &'static str,
    /// The realm it is put on, whatever it asks for.
    pub realm: Option<&'static str>,
}

/// What a session may want to do with a URI.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // the names are those of the messages
pub enum Action {
    Publish,
    Subscribe,
    Call,
    Register,
}

impl Action {
    /// Reads the word by which authorizers are told.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "publish" => Some(Action::Publish),
            "subscribe" => Some(Action::Subscribe),
            "call" => Some(Action::Call),
            "register" => Some(Action::Register),
            _ => None,
        }
    }

    /// Whether it is among what is allowed.
    pub const fn is_in(self, allow: Allow) -> bool {
        match self {
            Action::Publish => allow.publish,
            Action::Subscribe => allow.subscribe,
            Action::Call => allow.call,
            Action::Register => allow.register,
        }
    }
}

/// Whether authorizers disclose who does something with a URI: all of them say the same, always.
pub fn authorizer_discloses(uri: &str) -> bool {
    uri.len().is_multiple_of(2)
}

/// What the naive reading of the rules says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Every router that follows the rules allows it.
    Allowed {
        /// The caller or publisher is disclosed without having asked for it.
        disclosed: bool,
    },
    /// Every router that follows the rules refuses it.
    Denied,
    /// The rules do not say: a pattern meets a rule that is narrower than itself, or prefix and wildcard rules disagree
    /// (their order is a matter of taste).
    Unclear,
}

/// The configuration.
pub fn router_config(options: &RealmOptions) -> RouterConfig {
    let strictness = [Strictness::Loose, Strictness::Strict];
    let realm = |(name, strictness): (&&str, _)| RealmConfig {
        bridge: None,
        name: (*name).into(),
        strictness,
        roles: roles(options.trustlevels),
        meta_api: options.meta_api,
        sharding: options.sharding,
        resumption: options.resumption.clone(),
        store: options.store.clone(),
        statistics: options.statistics.clone(),
    };
    RouterConfig {
        realms: REALMS.iter().zip(strictness).map(realm).collect(),
        transports: vec![
            anonymous("member"),
            anonymous("guest"),
            tickets(),
            anonymous("link"),
            anonymous("clerk"),
            strangers(),
        ],
        agent: "simulated".into(),
        ..RouterConfig::default()
    }
}

/// Whether a session of `role` may do `action` on `uri` under `policy` (patterns of SUBSCRIBE and REGISTER).
pub fn authorize(role: &RoleConfig, action: Action, uri: &str, policy: Match) -> Verdict {
    let about = |rule: &&Permission| uri::matches(&rule.uri, rule.match_policy, uri);
    let rules: Vec<&Permission> = role.permissions.iter().filter(about).collect();
    if policy != Match::Exact && rules.iter().any(|rule| rule.match_policy != Match::Prefix) {
        return Verdict::Unclear;
    }
    let best = |policy| {
        let matching = rules.iter().filter(move |rule| rule.match_policy == policy);
        matching.max_by_key(|rule| rule.uri.len()).map(|rule| verdict(rule, action))
    };
    match (best(Match::Exact), best(Match::Prefix), best(Match::Wildcard)) {
        (Some(exact), _, _) => exact,
        (None, Some(prefix), Some(wildcard)) if prefix != wildcard => Verdict::Unclear,
        (None, prefix, wildcard) => prefix.or(wildcard).unwrap_or(Verdict::Denied),
    }
}

fn verdict(rule: &Permission, action: Action) -> Verdict {
    if action.is_in(rule.allow) {
        Verdict::Allowed { disclosed: disclosed(rule, action) }
    } else {
        Verdict::Denied
    }
}

fn disclosed(rule: &Permission, action: Action) -> bool {
    match action {
        Action::Publish => rule.disclose_publisher,
        Action::Call => rule.disclose_caller,
        Action::Subscribe | Action::Register => false,
    }
}

fn roles(trustlevels: bool) -> Vec<RoleConfig> {
    let nothing = Allow::default();
    let role = |name: &str, trustlevel: u64, permissions| RoleConfig {
        name: name.into(),
        permissions,
        trustlevel: trustlevels.then_some(trustlevel),
        authorizer: None,
        is_trusted: false,
    };
    vec![
        role("member", 7, vec![rule("", Match::Prefix, Allow::ALL), disclosing("com.disclosed.")]),
        role(
            "guest",
            0,
            vec![
                rule("com.public.", Match::Prefix, Allow::ALL),
                rule("com.public.deep.", Match::Prefix, Allow { subscribe: true, call: true, ..nothing }),
                rule("com.public.secret", Match::Exact, Allow { subscribe: true, ..nothing }),
                rule("com..shared", Match::Wildcard, Allow { publish: true, call: true, ..nothing }),
            ],
        ),
        role("observer", 1, vec![rule("", Match::Prefix, Allow { subscribe: true, ..nothing })]),
        RoleConfig { is_trusted: true, ..role("link", 9, vec![rule("", Match::Prefix, Allow::ALL)]) },
        RoleConfig { authorizer: Some(AUTHORIZER.into()), ..role("clerk", 3, Vec::new()) },
    ]
}

fn rule(uri: &str, match_policy: Match, allow: Allow) -> Permission {
    Permission { uri: uri.into(), match_policy, allow, ..Permission::default() }
}

fn disclosing(prefix: &str) -> Permission {
    Permission { disclose_caller: true, disclose_publisher: true, ..rule(prefix, Match::Prefix, Allow::ALL) }
}

fn anonymous(role: &str) -> TransportAuthentication {
    let anonymous = Some(Source::Static(AnonymousConfig { role: role.into(), authid: None }));
    TransportAuthentication { anonymous, ..TransportAuthentication::default() }
}

fn strangers() -> TransportAuthentication {
    let authenticator = Authenticator { procedure: AUTHENTICATOR.into(), ..Authenticator::default() };
    TransportAuthentication {
        ticket: Some(Source::Dynamic(authenticator)),
        ..TransportAuthentication::default()
    }
}

fn tickets() -> TransportAuthentication {
    let principal = |known: &Principal| TicketPrincipal {
        authid: known.authid.into(),
        ticket: Some(Secret::new(known.ticket)),
        role: known.role.into(),
        realm: known.realm.map(Into::into),
    };
    let ticket = Some(Source::Static(Principals::new(PRINCIPALS.iter().map(principal).collect())));
    TransportAuthentication { ticket, ..TransportAuthentication::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_rule_decides() {
        let guest = &roles(true)[1];
        let check =
            |action, uri, policy, expected| assert_eq!(authorize(guest, action, uri, policy), expected);
        let allowed = Verdict::Allowed { disclosed: false };
        check(Action::Publish, "com.public.a", Match::Exact, allowed);
        check(Action::Publish, "com.public.deep.a", Match::Exact, Verdict::Denied);
        check(Action::Publish, "com.public.secret", Match::Exact, Verdict::Denied);
        check(Action::Publish, "com.x.shared", Match::Exact, allowed);
        check(Action::Register, "com.public.shared", Match::Exact, Verdict::Unclear);
        check(Action::Subscribe, "com.", Match::Prefix, Verdict::Denied);
        check(Action::Subscribe, "com..a", Match::Wildcard, Verdict::Denied);
        check(Action::Subscribe, "com.public.", Match::Prefix, allowed);
    }
}
