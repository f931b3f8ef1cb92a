//! What the node of the transcripts is configured with.

use crossring_codec::uri::{Match, Strictness};
use crossring_router::address::TransportId;
use crossring_router::config::{
    Allow, AnonymousConfig, Authenticator, HistoryRule, Permission, Principals, QueueRule, RealmConfig,
    ResumptionConfig, RoleConfig, RouterConfig, Secret, Source, StatisticsConfig, StoreConfig,
    TicketPrincipal, TransportAuthentication,
};

/// How long sessions of the realm `advanced` survive the loss of their transport.
pub(crate) const RESUMPTION_MS: u64 = 3_000;

/// Anonymous peers may do anything; `joe` is limited. The realm `advanced` has everything that has to be configured.
pub(crate) fn config() -> RouterConfig {
    let realm = |name: &str, strictness| RealmConfig {
        name: name.into(),
        strictness,
        roles: roles(),
        ..RealmConfig::default()
    };
    RouterConfig {
        realms: vec![
            realm("realm1", Strictness::Loose),
            realm("strict", Strictness::Strict),
            advanced(),
            realm("crossbar", Strictness::Loose),
        ],
        transports: vec![known(), dynamic(None), dynamic(Some("advanced")), dynamic(Some("nowhere"))],
        agent: "crossring".into(),
        node: "node".into(),
        workers: vec!["worker001".into(); DOORS.len()],
        ..RouterConfig::default()
    }
}

/// The listening transports, by their names in transcripts.
const DOORS: [&str; 4] = ["static", "dynamic", "elsewhere", "nowhere"];

/// The listening transport of that name.
pub(crate) fn door(name: &str) -> TransportId {
    let index = DOORS.iter().position(|door| *door == name);
    TransportId(index.expect("scripts name listening transports that are there") as u16)
}

/// Everybody who may join is in the configuration.
fn known() -> TransportAuthentication {
    TransportAuthentication {
        anonymous: Some(Source::Static(AnonymousConfig { role: "anonymous".into(), authid: None })),
        ticket: Some(Source::Static(Principals::new(vec![
            principal("joe", "limited", None),
            principal("link", "link", Some("advanced")),
            principal("boss", "anonymous", None),
            principal("guest", "guest", None),
            principal("bound", "limited", Some("realm1")),
            principal("lost", "no_such_role", None),
            TicketPrincipal { ticket: None, ..principal("never", "limited", None) },
        ]))),
        ..TransportAuthentication::default()
    }
}

/// A procedure knows them. `elsewhere`: the realm it is called on, for tickets only, and then there is a role for whom it
/// gives none.
fn dynamic(elsewhere: Option<&str>) -> TransportAuthentication {
    let authenticator = Authenticator {
        procedure: "com.open.authenticate".into(),
        realm: elsewhere.map(Into::into),
        role: None,
        default_role: elsewhere.map(|_| "limited".into()),
    };
    let ticket = Some(Source::Dynamic(authenticator.clone()));
    if elsewhere.is_some() {
        return TransportAuthentication { ticket, ..TransportAuthentication::default() };
    }
    TransportAuthentication {
        ticket,
        anonymous: Some(Source::Dynamic(authenticator.clone())),
        cra: Some(Source::Dynamic(authenticator.clone())),
        scram: Some(Source::Dynamic(authenticator.clone())),
        cryptosign: Some(Source::Dynamic(authenticator)),
        ..TransportAuthentication::default()
    }
}

fn principal(authid: &str, role: &str, realm: Option<&str>) -> TicketPrincipal {
    TicketPrincipal {
        authid: authid.into(),
        ticket: Some(Secret::new("secret")),
        role: role.into(),
        realm: realm.map(Into::into),
    }
}

fn rule(uri: &str, match_policy: Match, allow: Allow) -> Permission {
    Permission {
        uri: uri.into(),
        match_policy,
        allow,
        disclose_caller: uri == "com.told.",
        disclose_publisher: uri == "com.told.",
        refuse_disclose_me: uri == "com.quiet.",
    }
}

fn roles() -> Vec<RoleConfig> {
    let only_subscribe = Allow { subscribe: true, ..Allow::default() };
    let role =
        |name: &str, permissions| RoleConfig { name: name.into(), permissions, ..RoleConfig::default() };
    vec![
        role("anonymous", vec![rule("", Match::Prefix, Allow::ALL)]),
        role(
            "limited",
            vec![
                rule("com.open.", Match::Prefix, Allow::ALL),
                rule("com.told.", Match::Prefix, Allow::ALL),
                rule("com.open.secret", Match::Exact, Allow::default()),
                rule("com..read", Match::Wildcard, only_subscribe),
            ],
        ),
    ]
}

fn advanced() -> RealmConfig {
    let mut roles = roles();
    roles[0].permissions.push(rule("com.quiet.", Match::Prefix, Allow::ALL));
    roles[1].trustlevel = Some(3);
    roles.push(RoleConfig { name: "link".into(), is_trusted: true, ..roles[0].clone() });
    let authorizer = Some("com.authorize".into());
    roles.push(RoleConfig { name: "guest".into(), authorizer, ..RoleConfig::default() });
    RealmConfig {
        name: "advanced".into(),
        strictness: Strictness::Loose,
        roles,
        sharding: true,
        bridge: Some("crossbar.worker.worker001.realm.advanced.root.".into()),
        // Reports that do not depend on the time.
        statistics: Some(StatisticsConfig {
            rated_size: 512,
            after_messages: None,
            after_ms: None,
            on_join: true,
            on_leave: true,
        }),
        store: store(),
        resumption: Some(ResumptionConfig {
            timeout_ms: RESUMPTION_MS as u32,
            events_max: 3,
            sessions_max: 2,
            ..ResumptionConfig::default()
        }),
        ..RealmConfig::default()
    }
}

fn store() -> StoreConfig {
    let history = |uri: &str, match_policy, limit| HistoryRule { uri: uri.into(), match_policy, limit };
    StoreConfig {
        history: vec![
            history("com.history.one", Match::Exact, 3),
            history("com.history.", Match::Prefix, 10),
            history("com..log", Match::Wildcard, 5),
            history("com.open.history", Match::Exact, 10),
            history("wamp.session.on_leave", Match::Exact, 1),
        ],
        retained_lifetime_ms: Some(10_000),
        call_queue: vec![QueueRule { uri: "com.queue.".into(), match_policy: Match::Prefix, limit: 3 }],
        ..StoreConfig::default()
    }
}
