//! Bounds of what peers may leave with the agent, and what is remembered of sessions. What a client sees of the meta API is
//! in the transcripts.

use std::sync::Arc;

use crossring_codec::id::SessionId;
use crossring_codec::message::{ClientRoles, Features, HelloDetails};
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use super::{Answer, Context, PROCEDURES, Schemas};
use crate::address::{Now, RealmId, SessionKey, ShardId, TransportId};
use crate::authz::Authorization;
use crate::config::{
    Allow, AnonymousConfig, Permission, RealmConfig, RoleConfig, RouterConfig, Source, StoreConfig,
    TransportAuthentication,
};
use crate::letter::Letter;
use crate::limits::{LIMIT_EXCEEDED, Limits};
use crate::outbox::Post;
use crate::registry::{Notice, Registry};
use crate::store::MemoryStore;

const SHARD: ShardId = ShardId(0);
const KEY: SessionKey = SessionKey { slot: 0, generation: 1 };

struct Fixture {
    registry: Registry,
    authorization: Authorization,
    store: MemoryStore,
    schemas: Schemas,
    letters: Letters,
    caller: SessionId,
}

#[derive(Default)]
struct Letters(Vec<Letter>);

impl Post for Letters {
    fn post(&mut self, _to: ShardId, letter: Letter) {
        self.0.push(letter);
    }
}

impl Fixture {
    fn new(limits: Limits, store: StoreConfig) -> Self {
        let config = Arc::new(config(store).with_trusted_role());
        let mut registry = Registry::new(1, Arc::clone(&config), limits, 1);
        let mut letters = Letters::default();
        registry.handle(Now::default(), SHARD, hello(), &mut letters);
        let Some(Letter::Admit { admission, .. }) = letters.0.pop() else { panic!("not admitted") };
        Self {
            registry,
            authorization: Authorization::new(&config, 0, 0),
            store: MemoryStore::new(&StoreConfig::default()),
            schemas: Schemas::default(),
            letters,
            caller: admission.session,
        }
    }

    fn call(&mut self, procedure: &str, arguments: &[Value]) -> Answer {
        let mut context = Context {
            registry: &mut self.registry,
            store: &mut self.store,
            authorization: &self.authorization,
            schemas: &mut self.schemas,
            realm: RealmId(0),
            out: &mut self.letters,
            events: Vec::new(),
            open: None,
        };
        let procedure = PROCEDURES.iter().find(|known| known.uri == procedure).expect("a procedure");
        procedure.call(&mut context, self.caller, arguments, &Dict::new())
    }

    #[track_caller]
    fn check_limit(&mut self, procedure: &str, arguments: &[Value]) {
        let failure = self.call(procedure, arguments).expect_err("beyond the limit");
        assert_eq!(failure.error, LIMIT_EXCEEDED);
    }
}

fn hello() -> Letter {
    Letter::Hello {
        key: KEY,
        transport: TransportId(0),
        transport_details: Arc::default(),
        realm: Some("realm1".into()),
        details: Box::new(HelloDetails {
            roles: ClientRoles::all(Features::default()),
            ..HelloDetails::default()
        }),
    }
}

fn config(store: StoreConfig) -> RouterConfig {
    let everything = Permission {
        uri: "".into(),
        match_policy: crossring_codec::uri::Match::Prefix,
        allow: Allow::ALL,
        ..Permission::default()
    };
    let secret = Permission { uri: "com.secret".into(), ..Permission::default() };
    let permissions = vec![everything, secret];
    let role = RoleConfig { name: "anonymous".into(), permissions, ..RoleConfig::default() };
    let anonymous =
        Some(Source::Static(AnonymousConfig { role: "anonymous".into(), authid: Some("ann".into()) }));
    RouterConfig {
        realms: vec![RealmConfig { roles: vec![role], store, ..RealmConfig::default() }],
        transports: vec![TransportAuthentication { anonymous, ..TransportAuthentication::default() }],
        ..RouterConfig::default()
    }
}

fn dict(name: &str, value: Value) -> Value {
    Value::Dict(vec![(name.to_owned(), value)])
}

fn testament(payload: &str) -> [Value; 3] {
    ["com.will".into(), Value::List(vec![payload.into()]), Value::Dict(Dict::new())]
}

#[test]
fn testaments_are_bounded_in_number_and_size() {
    let limits =
        Limits { testaments_per_session_max: 2, testament_octets_per_session_max: 100, ..Limits::default() };
    let mut fixture = Fixture::new(limits, StoreConfig::default());
    fixture.check_limit("wamp.session.add_testament", &testament(&"x".repeat(100)));
    for _ in 0..2 {
        fixture.call("wamp.session.add_testament", &testament("x")).expect("room");
    }
    fixture.check_limit("wamp.session.add_testament", &testament("x"));
    fixture.call("wamp.session.flush_testaments", &[]).expect("two");
    fixture.call("wamp.session.add_testament", &testament("x")).expect("room again");
}

#[test]
fn a_testament_is_a_publication_that_its_session_might_make() {
    let mut fixture = Fixture::new(Limits::default(), StoreConfig::default());
    let mut testament = testament("x");
    testament[0] = "com.secret".into();
    let failure = fixture.call("wamp.session.add_testament", &testament).expect_err("not allowed");
    assert_eq!(failure.error, well_known::NOT_AUTHORIZED);
}

#[test]
fn added_details_are_bounded() {
    let limits = Limits { detail_octets_per_session_max: 50, ..Limits::default() };
    let mut fixture = Fixture::new(limits, StoreConfig::default());
    let caller = Value::from(fixture.caller.get());
    let long = dict("a", "x".repeat(50).as_str().into());
    fixture.check_limit("wamp.session.modify_details", &[caller.clone(), long]);
    let short = dict("a", "x".repeat(30).as_str().into());
    fixture.call("wamp.session.modify_details", &[caller.clone(), short.clone()]).expect("room");
    fixture.call("wamp.session.modify_details", &[caller.clone(), short]).expect("in its own place");
    let other = dict("b", "x".repeat(30).as_str().into());
    fixture.check_limit("wamp.session.modify_details", &[caller.clone(), other.clone()]);
    fixture.call("wamp.session.modify_details", &[caller.clone(), dict("a", Value::Null)]).expect("less");
    fixture.call("wamp.session.modify_details", &[caller, other]).expect("room again");
}

#[test]
fn schemas_are_bounded_in_number_and_size() {
    let limits = Limits { schemas_per_realm_max: 2, schema_octets_per_realm_max: 100, ..Limits::default() };
    let mut fixture = Fixture::new(limits, StoreConfig::default());
    let schema = |length: usize| dict("a", "x".repeat(length).as_str().into());
    fixture.check_limit("wamp.schema.define", &["com.a".into(), schema(100)]);
    fixture.call("wamp.schema.define", &["com.a".into(), schema(70)]).expect("room");
    fixture.check_limit("wamp.schema.define", &["com.b".into(), schema(70)]);
    fixture.call("wamp.schema.define", &["com.a".into(), schema(60)]).expect("in its own place");
    fixture.call("wamp.schema.define", &["com.b".into(), schema(1)]).expect("room");
    fixture.check_limit("wamp.schema.define", &["com.c".into(), schema(1)]);
    fixture.call("wamp.schema.define", &["com.a".into(), Value::Null]).expect("undefined");
    fixture.call("wamp.schema.define", &["com.c".into(), schema(60)]).expect("room again");
}

#[test]
fn a_realm_that_remembers_sessions_is_told_of_them() {
    let store = StoreConfig { sessions_max: 1, ..StoreConfig::default() };
    let mut fixture = Fixture::new(Limits::default(), store);
    let joined = fixture.registry.take_notices();
    let is_joined = |notice: &Notice| matches!(notice, Notice::Joined { authid, .. } if &**authid == "ann");
    assert!(joined.len() == 1 && joined.iter().all(is_joined), "{joined:?}");
    fixture.registry.handle(Now::default(), SHARD, Letter::Leave { key: KEY }, &mut fixture.letters);
    let left = Notice::Left { realm: RealmId(0), session: fixture.caller };
    assert_eq!(fixture.registry.take_notices(), [left]);
}

#[test]
fn integers_may_come_as_floating_point_numbers() {
    let mut fixture = Fixture::new(Limits::default(), StoreConfig::default());
    let id = fixture.caller.get();
    fixture.call("wamp.session.get", &[Value::Float(id as f64)]).expect("the caller");
    fixture.call("wamp.session.get", &[Value::Float(1.5)]).map(drop).expect_err("no integer");
}
