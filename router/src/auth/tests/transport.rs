//! Methods that look at the transport: client certificates, channel bindings, proxies, cookies.

use super::*;
use crate::config::TlsPrincipal;
use crate::cookies::CookieLogin;
use crate::credentials::cryptosign::message;
use crate::credentials::scram::Binding;
use crate::details::{Peer, TransportExtra};

const SHA1: &str = "2E:3B:1F:44:6C:65:A6:5F:C5:A5:B6:6A:CE:B4:4F:8A:23:A4:CC:E1";
const SHA256: &str = "00:11";

/// A TLS transport whose peer has shown a certificate.
fn tls() -> TransportDetails {
    let extra = TransportExtra {
        channel_id: vec![("tls-exporter".into(), [7; 32].into())],
        peer_cert: vec![entry("sha1", SHA1), entry("sha256", SHA256)],
        ..TransportExtra::default()
    };
    TransportDetails { extra: Some(Box::new(extra)), ..TransportDetails::default() }
}

fn unix() -> TransportDetails {
    TransportDetails { peer: Peer::Unix, ..TransportDetails::default() }
}

fn methods(change: impl FnOnce(&mut TransportAuthentication)) -> RouterConfig {
    let mut config = config();
    change(&mut config.transports[0]);
    config
}

fn in_transport(
    config: &RouterConfig,
    channel: &TransportDetails,
    step: impl FnOnce(&mut Context<'_>) -> Step,
) -> Step {
    step(&mut Context {
        realms: config,
        channel,
        session: SessionId::from_random(SESSION),
        pseudonym: None,
        now: Now::default(),
        random: &mut SecretGenerator::new(11, ""),
    })
}

pub(super) fn hello_over(
    config: &RouterConfig,
    channel: &TransportDetails,
    method: &str,
    authextra: Dict,
) -> Step {
    let details = HelloDetails {
        authmethods: vec![method.to_owned().into()],
        authid: (method == "wamp-scram").then(|| "joe".into()),
        authextra,
        ..HelloDetails::default()
    };
    let hello = Hello { realm: Some("realm1"), details: &details };
    in_transport(config, channel, |context| super::super::hello(&config.transports[0], &hello, context))
}

fn certificate(sha1: Option<&str>, sha256: Option<&str>) -> RouterConfig {
    let principal = TlsPrincipal {
        authid: "joe".into(),
        sha1: sha1.map(Into::into),
        sha256: sha256.map(Into::into),
        role: "member".into(),
        realm: None,
    };
    methods(|methods| methods.tls = Some(Source::Static(Principals::new(vec![principal]))))
}

#[test]
fn a_certificate_is_known_by_its_fingerprints() {
    let given = [(Some(SHA1), None), (None, Some(SHA256)), (Some(SHA1), Some(SHA256))];
    for (sha1, sha256) in given {
        let identity = accepted(hello_over(&certificate(sha1, sha256), &tls(), "tls", Dict::new()));
        assert_eq!((&*identity.authid, identity.method.as_str()), ("joe", "tls"));
    }
    for (sha1, sha256) in [(None, None), (Some(SHA256), None), (Some(SHA1), Some(SHA1))] {
        let denial = denied(hello_over(&certificate(sha1, sha256), &tls(), "tls", Dict::new()));
        let text = format!("no principal with authid \"{SHA1}\" exists");
        assert_eq!((&*denial.reason, denial.message), (well_known::NOT_AUTHORIZED, text));
    }
}

#[test]
fn without_a_certificate_nobody_is_known() {
    let config = certificate(Some(""), None);
    let denial = denied(hello_over(&config, &unix(), "tls", Dict::new()));
    assert_eq!(denial.message, "client did not send a TLS client certificate");
}

#[test]
fn a_procedure_is_shown_the_certificate() {
    let authenticator = Authenticator { procedure: "com.check".into(), ..Authenticator::default() };
    let config = methods(|methods| methods.tls = Some(Source::Dynamic(authenticator)));
    match hello_over(&config, &tls(), "tls", Dict::new()) {
        Step::Ask(_, question) => {
            let certificate = question.arguments[2].get("client_cert").and_then(|it| it.get("sha1"));
            assert_eq!(certificate.and_then(Value::as_str), Some(SHA1));
        }
        other => panic!("not asked: {other:?}"),
    }
}

#[test]
fn cryptosign_signs_for_one_channel() {
    let (config, channel) = (config(), tls());
    let own = [3; 32];
    let authextra = || {
        vec![
            entry("pubkey", public_key(&[1; 32]).as_str()),
            entry("challenge", to_hex(&own).as_str()),
            entry("channel_binding", "tls-exporter"),
        ]
    };
    let challenged = || challenged(hello_over(&config, &channel, "cryptosign", authextra()));
    let (pending, extra) = challenged();
    assert_eq!(told(&extra, "channel_binding"), "tls-exporter");
    let router = octets(told(&extra, "pubkey")).expect("32 octets");
    assert_eq!(verify(&router, &message(&own, Some(&[7; 32])), told(&extra, "signature")), Ok(()));
    let challenge = octets(told(&extra, "challenge")).expect("32 octets");
    let bound = sign(&[1; 32], &message(&challenge, Some(&[7; 32])));
    accepted(in_transport(&config, &channel, |it| pending.authenticate(&bound, &Dict::new(), it)));
    for elsewhere in [None, Some(&[8; 32])] {
        let (pending, extra) = challenged();
        let challenge = octets(told(&extra, "challenge")).expect("32 octets");
        let signature = sign(&[1; 32], &message(&challenge, elsewhere));
        let step = in_transport(&config, &channel, |it| pending.authenticate(&signature, &Dict::new(), it));
        assert_eq!(denied(step).message, "message signed is bogus");
    }
}

#[test]
fn scram_proves_for_one_channel() {
    let (config, channel) = (config(), tls());
    let authextra = || vec![entry("nonce", "AAAA"), entry("channel_binding", "tls-exporter")];
    let salted = SaltedPassword::derive(Dialect::Specification, KDF, "password", b"0123456789");
    let salted = salted.expect("in bounds");
    let data = [7; 32];
    let answer = |binding: Option<&str>, bound: bool| {
        let (pending, extra) = challenged(hello_over(&config, &channel, "wamp-scram", authextra()));
        let exchange = Exchange {
            dialect: Dialect::Specification,
            authid: "joe",
            client_nonce: "AAAA",
            nonce: told(&extra, "nonce"),
            salt: told(&extra, "salt"),
            iterations: 10,
            binding: bound.then_some(Binding { name: "tls-exporter", data: &data }),
        };
        let mut answer = vec![entry("nonce", told(&extra, "nonce"))];
        answer.extend(binding.map(|name| entry("channel_binding", name)));
        answer.extend(binding.map(|_| entry("cbind_data", to_base64(&data).as_str())));
        let proof = salted.proof(&exchange.auth_message().expect("plain text"));
        in_transport(&config, &channel, |context| pending.authenticate(&proof, &answer, context))
    };
    accepted(answer(Some("tls-exporter"), true));
    for (binding, bound) in [(Some("tls-exporter"), false), (None, true), (Some("tls-unique"), true)] {
        assert_eq!(denied(answer(binding, bound)).message, "SCRAM authentication failed");
    }
}

#[test]
fn what_cannot_be_bound_is_refused() {
    let config = config();
    let key = public_key(&[1; 32]);
    for (method, binding, text) in [
        (
            "cryptosign",
            "tls-unique",
            "channel binding \"tls-unique\" requested, but the transport has no TLS channel ID",
        ),
        ("cryptosign", "smoke", "invalid channel binding type \"smoke\" requested"),
        ("scram", "tls-exporter", "channel bindings are for \"wamp-scram\" only"),
    ] {
        let authextra =
            vec![entry("pubkey", &*key), entry("nonce", "AAAA"), entry("channel_binding", binding)];
        let details = HelloDetails {
            authmethods: vec![method.to_owned().into()],
            authid: Some("joe".into()),
            authextra,
            ..HelloDetails::default()
        };
        let hello = Hello { realm: Some("realm1"), details: &details };
        let channel = tls();
        let step =
            in_transport(&config, &channel, |it| super::super::hello(&config.transports[0], &hello, it));
        assert_eq!(denied(step).message, text);
    }
}

fn client() -> Dict {
    vec![
        entry("proxy_realm", "realm2"),
        entry("proxy_authid", "ann"),
        entry("proxy_authrole", "member"),
        ("proxy_authextra".to_owned(), Value::Dict(vec![entry("a", 1_u64)])),
    ]
}

#[test]
fn a_proxy_speaks_for_its_client() {
    let config = methods(|methods| methods.anonymous_proxy = true);
    let identity = accepted(hello_over(&config, &unix(), "anonymous-proxy", client()));
    let found = (&*identity.authid, identity.realm, identity.method.as_str());
    assert_eq!(found, ("ann", RealmId(1), "anonymous-proxy"));
    assert_eq!(identity.authextra.as_deref(), Some(&vec![entry("a", 1_u64)]));
    for missing in ["proxy_realm", "proxy_authid", "proxy_authrole"] {
        let mut client = client();
        client.retain(|(name, _)| name != missing);
        let denial = denied(hello_over(&config, &unix(), "anonymous-proxy", client));
        assert_eq!(denial.message, format!("missing required attribute {missing}"));
    }
}

#[test]
fn nobody_is_a_proxy_over_the_network() {
    let config = methods(|methods| {
        methods.anonymous_proxy = true;
        methods.cryptosign_proxy = Some(Source::Static(KeyHolders::Principals(Principals::default())));
    });
    for method in ["anonymous-proxy", "cryptosign-proxy"] {
        let denial = denied(hello_over(&config, &tls(), method, client()));
        assert_eq!(denial.message, "a proxy must connect over a Unix socket");
        let mut king = client();
        king.retain(|(name, _)| name != "proxy_authrole");
        king.push(entry("proxy_authrole", "trusted"));
        king.push(entry("pubkey", public_key(&[1; 32]).as_str()));
        assert!(!matches!(hello_over(&config, &unix(), method, king), Step::Accept(_)));
    }
}

#[test]
fn a_proxy_with_a_key_has_to_prove_it() {
    let proxy = CryptosignPrincipal {
        authid: "proxy".into(),
        authorized_keys: vec![octets(&public_key(&[5; 32])).expect("32 octets")],
        role: "member".into(),
        realm: None,
    };
    let config = methods(|methods| {
        methods.cryptosign_proxy = Some(Source::Static(KeyHolders::Principals(Principals::new(vec![proxy]))))
    });
    let hello = |authextra| hello_over(&config, &unix(), "cryptosign-proxy", authextra);
    assert_eq!(denied(hello(Dict::new())).message, "missing required details.authextra");
    let denial = denied(hello(vec![entry("proxy_realm", "realm2")]));
    assert_eq!(denial.message, "missing required attribute proxy_authid in details.authextra");
    for (seed, is_right) in [([5; 32], true), ([6; 32], false)] {
        let mut authextra = client();
        authextra.push(entry("pubkey", public_key(&seed).as_str()));
        let (pending, extra) = challenged(hello(authextra));
        let signature = sign(&seed, &octets(told(&extra, "challenge")).expect("32 octets"));
        let step = in_transport(&config, &unix(), |it| pending.authenticate(&signature, &Dict::new(), it));
        if is_right {
            let identity = accepted(step);
            assert_eq!((&*identity.authid, identity.method.as_str()), ("ann", "cryptosign-proxy"));
        } else {
            assert_eq!(denied(step).message, "signed message has invalid signature");
        }
    }
}

#[test]
fn a_cookie_stands_for_the_login_of_its_time() {
    let config = config().with_trusted_role();
    let login = |realm: &str, role: &str, method: &str| CookieLogin {
        realm: realm.into(),
        authid: "joe".into(),
        authrole: role.into(),
        authmethod: method.into(),
        authextra: vec![entry("a", 1_u64)],
    };
    let step = cookie::accept(&config, &login("realm2", "member", "wamp-scram"));
    let identity = accepted(step.expect("a method"));
    let found = (&*identity.authid, identity.realm, identity.method, identity.provider);
    assert_eq!(found, ("joe", RealmId(1), Method::Scram, Provider::Cookie));
    for (realm, role) in [("realm2", "king"), ("limbo", "member"), ("realm1", "trusted")] {
        let denial = denied(cookie::accept(&config, &login(realm, role, "ticket")).expect("a method"));
        let text = format!(
            "session was previously authenticated (via transport), but role \"{role}\" no longer exists on realm \"{realm}\""
        );
        assert_eq!((&*denial.reason, denial.message), (well_known::NO_SUCH_ROLE, text));
    }
    for method in ["cookie", "smoke", "trusted"] {
        assert!(cookie::accept(&config, &login("realm1", "member", method)).is_none());
    }
}
