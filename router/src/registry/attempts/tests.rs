use std::sync::Arc;

use crossring_codec::message::{ClientRoles, Features};
use crossring_codec::value::Value;

use super::*;
use crate::address::{SessionKey, ShardId};
use crate::config::{Authenticator, RealmConfig, RoleConfig, Secret, Source};
use crate::credentials::cra::{self, Derivation};
use crate::derivation::Backlog;
use crate::limits::Limits;

#[derive(Default)]
struct Posted(Vec<Letter>);

impl Post for Posted {
    fn post(&mut self, _: ShardId, letter: Letter) {
        self.0.push(letter);
    }
}

/// A registry whose sessions join by WAMP-CRA with salted passwords that a procedure knows.
fn registry(derivations_max: u32) -> Registry {
    let authenticator = Authenticator { procedure: "com.example.users".into(), ..Authenticator::default() };
    let roles = vec![RoleConfig { name: "member".into(), ..RoleConfig::default() }];
    let config = RouterConfig {
        realms: vec![RealmConfig { roles, ..RealmConfig::default() }],
        transports: vec![TransportAuthentication {
            cra: Some(Source::Dynamic(authenticator)),
            ..TransportAuthentication::default()
        }],
        ..RouterConfig::default()
    };
    let limits = Limits { derivations_max, ..Limits::default() };
    Registry::new(1, Arc::new(config.with_trusted_role()), limits, 1)
}

const ITERATIONS: u32 = 10;

/// HELLO: what waits now is the procedure's answer.
fn hello(registry: &mut Registry, slot: u32) -> SessionAddress {
    let key = SessionKey { slot, generation: 1 };
    let details = HelloDetails {
        roles: ClientRoles::all(Features::default()),
        authmethods: vec!["wampcra".into()],
        authid: Some(format!("user{slot}").into()),
        ..HelloDetails::default()
    };
    let hello = Letter::Hello {
        key,
        transport: TransportId(0),
        transport_details: Arc::default(),
        realm: Some("realm1".into()),
        details: Box::new(details),
    };
    registry.handle(Now::default(), ShardId(0), hello, &mut Posted::default());
    assert_eq!(registry.take_inquiries().len(), 1);
    SessionAddress { shard: ShardId(0), key }
}

/// The id that the session will have.
fn session(registry: &Registry, address: SessionAddress) -> SessionId {
    let Member::Pending(pending, _) = registry.places.member(address) else { panic!("not asked") };
    pending.session
}

/// HELLO, the procedure's answer, and the right AUTHENTICATE: what waits now is the key.
fn attempt(registry: &mut Registry, slot: u32) -> SessionAddress {
    let (mut posted, before) = (Posted::default(), registry.derivations.len());
    let address = hello(registry, slot);
    let (key, session) = (address.key, session(registry, address));
    let entry = |name: &str, value: Value| (name.to_owned(), value);
    let principal = vec![
        entry("secret", "password".into()),
        entry("role", "member".into()),
        entry("salt", "salt".into()),
        entry("iterations", u64::from(ITERATIONS).into()),
        entry("keylen", 32_u64.into()),
    ];
    let answer = Answer::Result(vec![Value::Dict(principal)], Dict::new());
    registry.attempt_answered(Now::default(), address, session, answer, &mut posted);
    let Some(Letter::Challenge { extra, .. }) = posted.0.pop() else { panic!("{:?}", posted.0) };
    let challenge = extra.iter().find(|(name, _)| name == "challenge").and_then(|(_, value)| value.as_str());
    let derivation = Derivation { salt: "salt".into(), iterations: ITERATIONS, key_length: 32 };
    let secret = derivation.derive("password").expect("in bounds");
    let signature = Secret::new(cra::sign(&secret, challenge.expect("a text")));
    assert_eq!(registry.derivations.len(), before, "nothing is derived for who has not answered");
    let letter = Letter::Authenticate { key, signature, extra: Dict::new() };
    registry.handle(Now::default(), ShardId(0), letter, &mut posted);
    if let Some(Letter::Refuse { reason, .. }) = posted.0.first() {
        assert_eq!(&**reason, well_known::AUTHENTICATION_FAILED);
    }
    address
}

#[test]
fn a_session_joins_when_its_key_has_been_derived() {
    let mut registry = registry(8);
    attempt(&mut registry, 0);
    let job = registry.take_derivations().pop().expect("a key to derive");
    assert!(!format!("{job:?}").contains("password"));
    let mut posted = Posted::default();
    registry.attempt_derived(Now::default(), job.run(), &mut posted);
    assert!(matches!(posted.0[..], [Letter::Admit { .. }]), "{:?}", posted.0);
}

#[test]
fn so_many_keys_wait_and_no_more() {
    let mut registry = registry(2);
    let addresses: Vec<SessionAddress> = (0..5).map(|slot| attempt(&mut registry, slot)).collect();
    let mut jobs = registry.take_derivations();
    assert_eq!(jobs.len(), 2);
    // Those whose key cannot wait are denied; it is no failure of theirs.
    assert!(addresses[2..].iter().all(|address| matches!(registry.places.member(*address), Member::Nobody)));
    assert_eq!(registry.take_failures(), None);
    // Who has gone meanwhile still makes room.
    let mut posted = Posted::default();
    registry.handle(Now::default(), ShardId(0), Letter::Leave { key: addresses[0].key }, &mut posted);
    registry.attempt_derived(Now::default(), jobs.remove(0).run(), &mut posted);
    assert!(posted.0.is_empty(), "{:?}", posted.0);
    attempt(&mut registry, 7);
    assert_eq!(registry.take_derivations().len(), 1);
}

#[test]
fn who_does_not_wait_for_the_verdict_has_failed() {
    let mut registry = registry(8);
    let leave = |registry: &mut Registry, address: SessionAddress| {
        let letter = Letter::Leave { key: address.key };
        registry.handle(Now::default(), ShardId(0), letter, &mut Posted::default());
    };
    let unanswered = hello(&mut registry, 0);
    leave(&mut registry, unanswered);
    assert_eq!(registry.take_failures(), None);
    let answered = attempt(&mut registry, 1);
    leave(&mut registry, answered);
    let report = registry.take_failures().expect("a failure");
    assert_eq!((report.failed, report.refused), (1, 0));
}

#[test]
fn only_the_places_of_service_sessions_are_trusted() {
    let mut registry = registry(8);
    for (slot, is_service) in [(0, true), (1, false)] {
        let details =
            HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
        let hello = Letter::Hello {
            key: SessionKey { slot, generation: 1 },
            transport: TransportId::SERVICE,
            transport_details: Arc::default(),
            realm: Some("realm1".into()),
            details: Box::new(details),
        };
        let mut posted = Posted::default();
        registry.handle(Now::default(), ShardId(0), hello, &mut posted);
        match posted.0.pop() {
            Some(Letter::Admit { .. }) => assert!(is_service),
            Some(Letter::Refuse { reason, .. }) => {
                assert_eq!((is_service, &*reason), (false, well_known::NO_MATCHING_AUTH_METHOD));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// How many failures follow from this answer of an authenticator.
fn failures_after(answer: Answer) -> u64 {
    let mut registry = registry(8);
    let (mut posted, address) = (Posted::default(), hello(&mut registry, 0));
    let session = session(&registry, address);
    registry.attempt_answered(Now::default(), address, session, answer, &mut posted);
    assert!(matches!(posted.0[..], [Letter::Refuse { .. }]), "{:?}", posted.0);
    registry.take_failures().map_or(0, |report| report.failed)
}

#[test]
fn an_authenticator_that_breaks_down_makes_no_failures() {
    for error in [
        well_known::RUNTIME_ERROR,
        well_known::INVALID_ARGUMENT,
        well_known::TIMEOUT,
        well_known::CANCELED,
        well_known::NO_SUCH_PROCEDURE,
        crate::limits::LIMIT_EXCEEDED,
    ] {
        assert_eq!(failures_after(Answer::Error(error.into(), Vec::new())), 0, "{error}");
    }
    let nonsense = [Value::from(42), Value::Null, Value::Dict(Dict::new()), "king".into()];
    for result in nonsense {
        let shown = format!("{result:?}");
        assert_eq!(failures_after(Answer::Result(vec![result], Dict::new())), 0, "{shown}");
    }
}

#[test]
fn the_no_of_an_authenticator_is_a_failure_whatever_its_words() {
    for error in [
        "com.example.denied",
        well_known::NOT_AUTHORIZED,
        well_known::AUTHENTICATION_FAILED,
        well_known::AUTHENTICATION_DENIED,
        well_known::NO_SUCH_ROLE,
        well_known::NO_SUCH_REALM,
        well_known::NO_SUCH_PRINCIPAL,
    ] {
        assert_eq!(failures_after(Answer::Error(error.into(), Vec::new())), 1, "{error}");
    }
}

#[test]
fn no_key_is_derived_for_who_is_too_late_and_the_newest_comes_first() {
    let mut registry = registry(8);
    let addresses: Vec<SessionAddress> = (0..3).map(|slot| attempt(&mut registry, slot)).collect();
    let mut backlog = Backlog::default();
    let mut jobs = registry.take_derivations();
    let deadline_ns = jobs[0].deadline_ns;
    jobs[1].deadline_ns += 1;
    jobs[2].deadline_ns += 1;
    jobs.into_iter().for_each(|job| backlog.add(job));
    let mut next = || backlog.run_next(deadline_ns).map(|derived| (derived.address, derived));
    let (address, late) = next().expect("a job");
    assert_eq!((address, matches!(late.outcome, Outcome::Late)), (addresses[0], true));
    for expected in [addresses[2], addresses[1]] {
        let (address, derived) = next().expect("a job");
        assert_eq!((address, matches!(derived.outcome, Outcome::Derived(_))), (expected, true));
    }
    assert!(next().is_none());

    // The attempt still ends as one that took too long, and nobody has failed.
    let mut posted = Posted::default();
    registry.attempt_derived(Now::default(), late, &mut posted);
    assert_eq!((posted.0.len(), registry.derivations_open), (0, 2));
    registry.expire_attempts(Now { monotonic_ns: deadline_ns, ..Now::default() }, &mut posted);
    let Some(Letter::Refuse { message, .. }) = posted.0.first() else { panic!("{:?}", posted.0) };
    assert_eq!((&**message, registry.take_failures()), ("authentication timeout", None));
}
