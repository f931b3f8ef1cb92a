//! The table of features in the guide agrees with what WELCOME announces.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use crossring_codec::message::{ClientRoles, Feature, Features, HelloDetails, RouterRoles};
use crossring_codec::uri::Match;
use crossring_router::address::{Now, SessionKey, ShardId, TransportId};
use crossring_router::config::{
    AnonymousConfig, HistoryRule, QueueRule, RealmConfig, ResumptionConfig, RoleConfig, RouterConfig, Source,
    StoreConfig, TransportAuthentication,
};
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;
use crossring_router::outbox::Post;
use crossring_router::registry::Registry;

/// Remembers how a session was admitted.
#[derive(Default)]
struct Admitted(Option<RouterRoles>);

impl Post for Admitted {
    fn post(&mut self, _: ShardId, letter: Letter) {
        if let Letter::Admit { admission, .. } = letter {
            self.0 = Some(admission.details.roles);
        }
    }
}

/// A realm in which everything is on.
fn config() -> RouterConfig {
    let (uri, match_policy, limit) = ("com.x".into(), Match::Exact, 1);
    let history = vec![HistoryRule { uri, match_policy, limit }];
    let call_queue = vec![QueueRule { uri: "com.x".into(), match_policy, limit }];
    let realm = RealmConfig {
        roles: vec![RoleConfig { name: "anonymous".into(), ..RoleConfig::default() }],
        sharding: true,
        resumption: Some(ResumptionConfig::default()),
        store: StoreConfig { history, call_queue, ..StoreConfig::default() },
        ..RealmConfig::default()
    };
    let anonymous = Some(Source::Static(AnonymousConfig { role: "anonymous".into(), authid: None }));
    let transport = TransportAuthentication { anonymous, ..TransportAuthentication::default() };
    RouterConfig { realms: vec![realm], transports: vec![transport], ..RouterConfig::default() }
}

fn announced() -> Vec<Feature> {
    let mut registry = Registry::new(1, Arc::new(config()), Limits::default(), 1);
    let mut admitted = Admitted::default();
    let roles = ClientRoles::all(Features::default());
    let hello = Letter::Hello {
        key: SessionKey { slot: 0, generation: 1 },
        transport: TransportId(0),
        transport_details: Arc::default(),
        realm: Some("realm1".into()),
        details: Box::new(HelloDetails { roles, ..HelloDetails::default() }),
    };
    registry.handle(Now::default(), ShardId(0), hello, &mut admitted);
    let roles = admitted.0.expect("an anonymous session is admitted");
    let has = |features: Option<Features>, feature| features.is_some_and(|it| it.contains(feature));
    let is_announced = |feature: &&Feature| has(roles.broker, **feature) || has(roles.dealer, **feature);
    Feature::ALL.iter().filter(is_announced).copied().collect()
}

#[test]
fn the_table_says_of_each_flag_whether_it_is_announced() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/features.md");
    let page = std::fs::read_to_string(path).expect("the table of features");
    let announced = announced();
    for feature in Feature::ALL {
        let flag = format!("`{}`", feature.name());
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with('|') && line.contains(&flag)).collect();
        assert!(!rows.is_empty(), "no row has the flag {flag}");
        let is_missing = rows.iter().any(|row| row.contains("| no |"));
        assert_eq!(is_missing, !announced.contains(feature), "{flag}: the state in the table is out of date");
    }
}
