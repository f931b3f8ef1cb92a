//! `cryptosign` by certificate chain.

use super::transport::hello_over;
use super::*;
use crate::config::Trustroot;
use crate::credentials::certificates::tests::{Example, ROOT, example};
use crate::credentials::certificates::{Authority, Root};
use crate::details::Peer;

/// The private key whose public key the good chains certify.
const SEED: &str = "53d1c94c83e7e78f607bb79e79e3c850b4a6f59cf27c9aba91b44346ea329893";

const OWN: &str = "root, authority, delegate";
const STRANGER: &str = "chain of a stranger";

/// `realm1` and `realm2` are for those whom the root of the examples certifies.
fn config(change: impl Fn(&mut Trustroot)) -> RouterConfig {
    let mut config = super::config();
    let root = Authority::root_from_file(ROOT).expect("a root certificate");
    let trustroot = |realm: &str| {
        let mut trustroot = Trustroot {
            requested_realm: realm.into(),
            root: Root::Certificate(Box::new(root.clone())),
            block: None,
            role: "member".into(),
            realm: None,
        };
        change(&mut trustroot);
        trustroot
    };
    let trustroots = KeyHolders::Trustroots(vec![trustroot("realm1"), trustroot("realm2")]);
    config.transports[0].cryptosign = Some(Source::Static(trustroots));
    config
}

fn authextra(example: &Example) -> Dict {
    vec![
        entry("pubkey", example.key.as_str()),
        entry("trustroot", example.trustroot.as_str()),
        ("certificates".to_owned(), example.certificates.clone()),
    ]
}

/// HELLO for a realm with a chain; what follows.
fn present(config: &RouterConfig, realm: Option<&str>, authextra: Dict) -> Step {
    let details = HelloDetails {
        roles: ClientRoles::all(Features::default()),
        authmethods: vec!["cryptosign".into()],
        authid: Some("whoever".into()),
        authextra,
        ..HelloDetails::default()
    };
    let hello = Hello { realm, details: &details };
    in_context(config, 1, |context| super::super::hello(&config.transports[0], &hello, context))
}

/// AUTHENTICATE with the key of the good chains; what follows.
fn prove(config: &RouterConfig, pending: Pending, extra: &Dict) -> Step {
    let seed = octets(SEED).expect("32 octets");
    let challenge = octets(told(extra, "challenge")).expect("32 octets");
    authenticate(config, pending, &sign(&seed, &challenge), &Dict::new())
}

#[track_caller]
fn joined(config: &RouterConfig, realm: &str, name: &str) -> Identity {
    let (pending, extra) = challenged(present(config, Some(realm), authextra(&example(name))));
    accepted(prove(config, pending, &extra))
}

#[test]
fn a_delegate_joins_by_its_chain() {
    let config = config(|_| {});
    for name in [OWN, "root, intermediate, authority, delegate"] {
        for (realm, id) in [("realm1", RealmId(0)), ("realm2", RealmId(1))] {
            let identity = joined(&config, realm, name);
            assert_eq!(&*identity.authid, "0xf5173a6111B2A6B3C20fceD53B2A8405EC142bF6");
            let found = (identity.realm, identity.role, identity.method, identity.provider);
            assert_eq!(found, (id, RoleId(0), Method::Cryptosign, Provider::Static));
        }
    }
}

#[test]
fn the_trustroot_may_put_its_delegates_on_another_realm() {
    let config = config(|trustroot| trustroot.realm = Some("realm2".into()));
    assert_eq!(joined(&config, "realm1", OWN).realm, RealmId(1));
}

#[test]
fn an_account_may_be_the_root() {
    let account = Authority::root_from_file(ROOT).expect("a root certificate").subject();
    let config = config(|trustroot| trustroot.root = Root::Account(account));
    joined(&config, "realm1", "another certificate of the same root");
    let step = present(&config, Some("realm1"), authextra(&example(STRANGER)));
    let (pending, extra) = challenged(step);
    denied(prove(&config, pending, &extra));
}

#[test]
fn whoever_has_only_the_chain_does_not_join() {
    let config = config(|_| {});
    let hello = || challenged(present(&config, Some("realm1"), authextra(&example(OWN))));
    let (pending, extra) = hello();
    let challenge = octets(told(&extra, "challenge")).expect("32 octets");
    let forged = sign(&[1; 32], &challenge);
    let denial = denied(authenticate(&config, pending, &forged, &Dict::new()));
    assert_eq!(denial.message, "signed message has invalid signature");
    let replayed = prove(&config, hello().0, &vec![entry("challenge", "00".repeat(32).as_str())]);
    assert_eq!(denied(replayed).message, "message signed is bogus");
}

/// Another root, another realm, a block that is not there yet: all are challenged, and then refused like a wrong signature.
#[test]
fn nobody_learns_which_roots_are_trusted() {
    let config = config(|trustroot| trustroot.block = Some(15_139_217));
    let cases = [
        (Some("realm1"), STRANGER),
        (Some("realm1"), OWN),
        (Some("realm1"), "another certificate of the same root"),
        (Some("limbo"), OWN),
        (None, OWN),
    ];
    for (realm, name) in cases {
        let (pending, extra) = challenged(present(&config, realm, authextra(&example(name))));
        assert_eq!(names(&extra), ["challenge"]);
        let expected = Denial::not_authorized("signed message has invalid signature");
        assert_eq!(denied(prove(&config, pending, &extra)), expected, "{realm:?} {name}");
    }
    let none = super::config();
    let mut none = RouterConfig { transports: none.transports.clone(), ..none };
    none.transports[0].cryptosign = Some(Source::Static(KeyHolders::Trustroots(Vec::new())));
    challenged(present(&none, Some("realm1"), authextra(&example(OWN))));
}

#[test]
fn what_cannot_be_read_is_told_at_once() {
    let config = config(|_| {});
    let without = |name: &str| {
        let mut extra = authextra(&example(OWN));
        extra.retain(|(known, _)| known != name);
        extra
    };
    let with = |name: &str, value: Value| [without(name), vec![(name.to_owned(), value)]].concat();
    let cases = [
        (without("pubkey"), "cannot identify client: no authid requested and no extra.pubkey provided"),
        (without("trustroot"), "cannot identify client: no extra.trustroot provided"),
        (without("certificates"), "cannot identify client: no extra.certificates provided"),
        (with("trustroot", "wamp-proto.eth".into()), "invalid client trustroot \"wamp-proto.eth\" provided"),
        (with("trustroot", "x".repeat(1 << 20).as_str().into()), "invalid client trustroot \"\" provided"),
        (with("certificates", Value::Null), "cannot identify client: no extra.certificates provided"),
        (
            with("certificates", Value::List(vec![Value::Null; 1000])),
            "invalid client certificates: a list of 2 to 4 certificates expected",
        ),
    ];
    for (authextra, message) in cases {
        // The same with and without the realm: nothing of this depends on the configuration.
        for realm in ["realm1", "limbo"] {
            let denial = denied(present(&config, Some(realm), authextra.clone()));
            assert_eq!((&*denial.reason, &*denial.message), (well_known::NOT_AUTHORIZED, message));
        }
    }
}

/// By then somebody has proved the key, and is counted if the chain is wrong.
#[test]
fn what_is_wrong_with_a_chain_is_told_after_the_challenge() {
    let config = config(|_| {});
    let mut stolen = authextra(&example(OWN));
    stolen.retain(|(name, _)| name != "pubkey");
    stolen.push(entry("pubkey", public_key(&[1; 32]).as_str()));
    let cases = [
        (authextra(&example("authority signed by a stranger")), SEED, "certificate 1: invalid signature"),
        (stolen, &to_hex(&[1; 32]), "certificate 0: csPubKey is not the public key of the client"),
    ];
    for (authextra, seed, fault) in cases {
        // The same with and without the realm: nothing of this depends on the configuration.
        for realm in ["realm1", "limbo"] {
            let (pending, extra) = challenged(present(&config, Some(realm), authextra.clone()));
            let challenge = octets(told(&extra, "challenge")).expect("32 octets");
            let signature = sign(&octets(seed).expect("32 octets"), &challenge);
            let denial = denied(authenticate(&config, pending, &signature, &Dict::new()));
            assert_eq!(denial, Denial::not_authorized(format!("invalid client certificates: {fault}")));
        }
    }
}

/// Neither `validFrom`, the number of a block, nor `bootedAt`, nanoseconds of the delegate's clock, is compared with the time.
#[test]
fn chains_do_not_depend_on_the_time() {
    let config = config(|_| {});
    let details = HelloDetails {
        authmethods: vec!["cryptosign".into()],
        authextra: authextra(&example(OWN)),
        ..HelloDetails::default()
    };
    let hello = Hello { realm: Some("realm1"), details: &details };
    for now in [Now::default(), Now { monotonic_ns: u64::MAX, unix_ms: u64::MAX }] {
        let step = in_context(&config, 1, |context| {
            context.now = now;
            super::super::hello(&config.transports[0], &hello, context)
        });
        challenged(step);
    }
}

#[test]
fn a_proxy_may_prove_its_key_by_a_chain() {
    let mut config = config(|_| {});
    config.transports[0].cryptosign_proxy = config.transports[0].cryptosign.clone();
    let unix = TransportDetails { peer: Peer::Unix, ..TransportDetails::default() };
    for (name, is_trusted) in [(OWN, true), (STRANGER, false)] {
        let client = [("proxy_realm", "realm2"), ("proxy_authid", "ann"), ("proxy_authrole", "member")];
        let client = client.map(|(key, text)| entry(key, text));
        let authextra = [&client[..], &authextra(&example(name))].concat();
        let (pending, extra) = challenged(hello_over(&config, &unix, "cryptosign-proxy", authextra));
        match prove(&config, pending, &extra) {
            Step::Accept(identity) if is_trusted => assert_eq!(&*identity.authid, "ann"),
            step => assert!(!is_trusted && matches!(step, Step::Deny(_))),
        }
    }
}
