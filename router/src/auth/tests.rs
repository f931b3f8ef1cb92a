use crossring_codec::message::{ClientRoles, Features};

use super::*;
use crate::address::SessionKey;
use crate::config::{
    AnonymousConfig, Authenticator, CraPrincipal, CryptosignPrincipal, KeyHolders, Principals, PrivateKey,
    RealmConfig, RoleConfig, RouterConfig, ScramPrincipal, Secret, Source, TRUSTED, TicketPrincipal,
};
use crate::credentials::cra::{self, Derivation};
use crate::credentials::cryptosign::{octets, public_key, sign, verify};
use crate::credentials::scram::{Dialect, Exchange, Kdf, SaltedPassword};
use crate::credentials::{from_base64, to_base64, to_hex};
use crate::letter::Letter;

mod chains;
mod transport;

const KDF: Kdf = Kdf::Pbkdf2 { iterations: 10 };

fn config() -> RouterConfig {
    let salted =
        |dialect| SaltedPassword::derive(dialect, KDF, "password", b"0123456789").expect("in bounds");
    let derivation = Derivation { salt: "salt123".into(), iterations: 10, key_length: 16 };
    let cra = |authid: &str, key: &str, derivation: Option<Derivation>| CraPrincipal {
        authid: authid.into(),
        key: Some(Secret::new(key)),
        derivation,
        role: "member".into(),
        realm: None,
    };
    let key = octets(&public_key(&[1; 32])).expect("32 octets");
    let ticket = TicketPrincipal {
        authid: "joe".into(),
        ticket: Some(Secret::new("secret")),
        role: "member".into(),
        realm: Some("realm2".into()),
    };
    let derived = derivation.derive("password").expect("in bounds");
    let transport = TransportAuthentication {
        anonymous: None,
        ticket: Some(Source::Static(Principals::new(vec![ticket]))),
        cra: Some(Source::Static(Principals::new(vec![
            cra("joe", &derived, Some(derivation)),
            cra("plain", "secret", None),
        ]))),
        scram: Some(Source::Static(Principals::new(vec![ScramPrincipal {
            authid: "joe".into(),
            kdf: KDF,
            salt: b"0123456789"[..].into(),
            autobahn: Some(salted(Dialect::Autobahn).keys()),
            specification: Some(salted(Dialect::Specification).keys()),
            role: "member".into(),
            realm: None,
        }]))),
        cryptosign: Some(Source::Static(KeyHolders::Principals(Principals::new(vec![
            CryptosignPrincipal {
                authid: "joe".into(),
                authorized_keys: vec![key],
                role: "member".into(),
                realm: None,
            },
        ])))),
        ..TransportAuthentication::default()
    };
    let realm = |name: &str| RealmConfig {
        name: name.into(),
        roles: vec![RoleConfig { name: "member".into(), ..RoleConfig::default() }],
        ..RealmConfig::default()
    };
    RouterConfig {
        realms: vec![realm("realm1"), realm("realm2")],
        transports: vec![transport],
        node_key: Some(PrivateKey::new([9; 32])),
        entropy: Secret::new("random"),
        ..RouterConfig::default()
    }
}

/// HELLO with one method; what follows.
fn hello(config: &RouterConfig, method: &str, authid: Option<&str>, authextra: Dict, seed: u64) -> Step {
    let details = HelloDetails {
        roles: ClientRoles::all(Features::default()),
        authmethods: vec![method.to_owned().into()],
        authid: authid.map(|authid| authid.to_owned().into()),
        authextra,
        ..HelloDetails::default()
    };
    let hello = Hello { realm: Some("realm1"), details: &details };
    in_context(config, seed, |context| super::hello(&config.transports[0], &hello, context))
}

/// AUTHENTICATE; what follows.
fn authenticate(config: &RouterConfig, pending: Pending, signature: &str, extra: &Dict) -> Step {
    in_context(config, 0, |context| pending.authenticate(signature, extra, context))
}

const SESSION: u64 = 1 << 20;

fn in_context(config: &RouterConfig, seed: u64, step: impl FnOnce(&mut Context<'_>) -> Step) -> Step {
    step(&mut Context {
        realms: config,
        channel: &TransportDetails::default(),
        session: SessionId::from_random(SESSION),
        pseudonym: None,
        now: Now::default(),
        random: &mut SecretGenerator::new(seed, ""),
    })
}

#[track_caller]
fn challenged(step: Step) -> (Pending, Dict) {
    match step {
        Step::Challenge(pending, challenge) => (pending, challenge.extra),
        other => panic!("not challenged: {other:?}"),
    }
}

#[track_caller]
fn accepted(step: Step) -> Identity {
    match step {
        Step::Accept(identity) => identity,
        other => panic!("not accepted: {other:?}"),
    }
}

#[track_caller]
fn denied(step: Step) -> Denial {
    match step {
        Step::Deny(denial) => denial,
        other => panic!("not denied: {other:?}"),
    }
}

fn told<'a>(extra: &'a Dict, key: &str) -> &'a str {
    extra.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_str()).unwrap_or_default()
}

fn names(extra: &Dict) -> Vec<&str> {
    extra.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_ticket_puts_its_owner_on_the_realm_of_the_principal() {
    let config = config();
    let (pending, extra) = challenged(hello(&config, "ticket", Some("joe"), Dict::new(), 1));
    assert_eq!(extra, Dict::new());
    let identity = accepted(authenticate(&config, pending, "secret", &Dict::new()));
    assert_eq!((&*identity.authid, identity.realm, identity.method), ("joe", RealmId(1), Method::Ticket));
}

#[test]
fn unknown_identities_look_like_wrong_secrets() {
    let config = config();
    let nonce = vec![entry("nonce", "AAAA")];
    let key = vec![entry("pubkey", public_key(&[1; 32]).as_str())];
    let tries = [
        ("ticket", Dict::new(), "wrong".to_owned()),
        ("wampcra", Dict::new(), "wrong".to_owned()),
        ("wamp-scram", nonce.clone(), to_base64(&[0; 32])),
        ("scram", nonce, to_base64(&[0; 32])),
        ("cryptosign", key, sign(&[2; 32], &[0; 32])),
    ];
    for (method, authextra, proof) in tries {
        let answer = |authid: &str| {
            let step = hello(&config, method, Some(authid), authextra.clone(), 7);
            let (pending, extra) = challenged(step);
            let told = names(&extra).join(" ");
            let mut lengths: Vec<usize> =
                names(&extra).iter().map(|name| told_length(&extra, name, authid)).collect();
            lengths.sort_unstable();
            (told, lengths, denied(authenticate(&config, pending, &proof, &Dict::new())))
        };
        let somebody = if method == "wampcra" { vec!["joe", "plain"] } else { vec!["joe"] };
        let somebody: Vec<_> = somebody.into_iter().map(answer).collect();
        for nobody in ["nobody", "no one", "another", "jo", "joee", ""] {
            let answer = answer(nobody);
            assert_eq!(&*answer.2.reason, well_known::NOT_AUTHORIZED, "{method}");
            assert!(somebody.contains(&answer), "{method}: {answer:?} beside {somebody:?}");
        }
    }
}

#[test]
fn unknown_identities_look_like_all_principals_together() {
    let mut config = config();
    let user = |authid: &str, role: &str, iterations: u32| CraPrincipal {
        authid: authid.into(),
        key: Some(Secret::new("secret")),
        derivation: (iterations > 0).then(|| Derivation {
            salt: "c2FsdA==".into(),
            iterations,
            key_length: 16,
        }),
        role: role.into(),
        realm: None,
    };
    let users = vec![user("a", "admin", 1000), user("b", "user", 100), user("c", "user", 0)];
    config.transports[0].cra = Some(Source::Static(Principals::new(users)));
    let look = |authid: &str| {
        let (_, extra) = challenged(hello(&config, "wampcra", Some(authid), Dict::new(), 1));
        let role = told(&extra, "challenge").split("\"authrole\": ").nth(1).expect("a role")[..5].to_owned();
        let iterations = extra.iter().find(|(name, _)| name == "iterations").map(|(_, value)| value.clone());
        let salt = told(&extra, "salt").to_owned();
        (role, iterations, salt.len(), salt.ends_with("=="))
    };
    let principals = ["a", "b", "c"].map(look);
    let strangers: Vec<_> = (0..60).map(|index| look(&format!("stranger{index}"))).collect();
    assert!(strangers.iter().all(|stranger| principals.contains(stranger)));
    assert!(principals.iter().all(|principal| strangers.contains(principal)));
}

/// The realms of a node, and how often something was made up.
struct Counting<'a> {
    config: &'a RouterConfig,
    stand_ins: std::cell::Cell<u32>,
}

impl RealmContainer for Counting<'_> {
    fn find_realm(&self, name: &str) -> Option<RealmId> {
        self.config.find_realm(name)
    }

    fn realm_name(&self, realm: RealmId) -> &str {
        self.config.realm_name(realm)
    }

    fn find_role(&self, realm: RealmId, name: &str) -> Option<RoleId> {
        self.config.find_role(realm, name)
    }

    fn service_role(&self, realm: RealmId) -> Option<RoleId> {
        self.config.service_role(realm)
    }

    fn node_proof(&self, challenge: &[u8; 32]) -> Option<Dict> {
        self.config.node_proof(challenge)
    }

    fn stand_in(&self, text: &str) -> [u8; 32] {
        self.stand_ins.set(self.stand_ins.get() + 1);
        self.config.stand_in(text)
    }
}

#[test]
fn unknown_identities_take_the_same_work() {
    let mut config = config();
    let Some(Source::Static(users)) = &config.transports[0].cra else { panic!("users") };
    let salted = users.iter().filter(|user| user.derivation.is_some()).cloned().collect();
    config.transports[0].cra = Some(Source::Static(Principals::new(salted)));
    for (method, stand_ins) in [("wampcra", 2), ("wamp-scram", 2), ("scram", 2), ("ticket", 0)] {
        let work = |authid: &str| {
            let realms = Counting { config: &config, stand_ins: Default::default() };
            let mut random = SecretGenerator::new(1, "");
            let mut context = Context {
                realms: &realms,
                channel: &TransportDetails::default(),
                session: SessionId::from_random(SESSION),
                pseudonym: None,
                now: Now::default(),
                random: &mut random,
            };
            let details = HelloDetails {
                authmethods: vec![method.into()],
                authid: Some(authid.into()),
                authextra: vec![entry("nonce", "AAAA")],
                ..HelloDetails::default()
            };
            let hello = Hello { realm: Some("realm1"), details: &details };
            challenged(super::hello(&config.transports[0], &hello, &mut context));
            (realms.stand_ins.get(), random.next_u64())
        };
        assert_eq!(work("joe").0, stand_ins, "{method}");
        assert_eq!(work("joe"), work("eve"), "{method}");
    }
}

/// Length of an entry, the length of the name asked for left out.
fn told_length(extra: &Dict, key: &str, authid: &str) -> usize {
    told(extra, key).replace(authid, "").len()
}

#[test]
fn an_unknown_identity_always_gets_the_same_salt() {
    let config = config();
    let salt = |method: &str, authid: &str, seed| {
        let authextra = vec![entry("nonce", "AAAA")];
        let (_, extra) = challenged(hello(&config, method, Some(authid), authextra, seed));
        told(&extra, "salt").to_owned()
    };
    for method in ["wampcra", "wamp-scram"] {
        let names: Vec<String> = (0..20).map(|index| format!("nobody{index}")).collect();
        let salted = names.iter().map(|name| (salt(method, name, 1), salt(method, name, 2)));
        let mut salted: Vec<_> = salted.filter(|(one, _)| !one.is_empty()).collect();
        assert!(salted.iter().all(|(one, other)| one == other) && salted.len() > 1);
        let count = salted.len();
        salted.dedup();
        assert_eq!(salted.len(), count, "another name, another salt");
    }
}

#[test]
fn wampcra_signs_a_text_that_names_the_session() {
    let config = config();
    for (authid, key) in [("plain", "secret".to_owned()), ("joe", String::new())] {
        let (pending, extra) = challenged(hello(&config, "wampcra", Some(authid), Dict::new(), 3));
        let challenge = told(&extra, "challenge").to_owned();
        let start = format!(
            "{{\"authid\": \"{authid}\", \"authrole\": \"member\", \"authmethod\": \"wampcra\", \"authprovider\": \"static\", \"session\": {}, \"nonce\": \"",
            SessionId::from_random(SESSION)
        );
        assert!(challenge.starts_with(&start), "{challenge}");
        assert!(challenge.ends_with("\", \"timestamp\": \"1970-01-01T00:00:00.000Z\"}"), "{challenge}");
        let key = if key.is_empty() {
            let salt = told(&extra, "salt").into();
            Derivation { salt, iterations: 10, key_length: 16 }.derive("password").expect("in bounds")
        } else {
            key
        };
        let identity = accepted(authenticate(&config, pending, &cra::sign(&key, &challenge), &Dict::new()));
        assert_eq!((&*identity.authid, identity.realm), (authid, RealmId(0)));
    }
}

#[test]
fn wampcra_derives_a_key_only_for_who_answers() {
    let mut config = config();
    let authenticator = Authenticator { procedure: "com.auth".into(), ..Authenticator::default() };
    config.transports[0].cra = Some(Source::Dynamic(authenticator));
    for (password, passes) in [("password", true), ("other", false)] {
        let Step::Ask(pending, question) = hello(&config, "wampcra", Some("jim"), Dict::new(), 3) else {
            panic!("nobody is asked");
        };
        assert_eq!((question.realm, &*question.procedure), (RealmId(0), "com.auth"));
        let principal = Value::Dict(vec![
            entry("secret", password),
            entry("salt", "salt123"),
            entry("iterations", 10),
            entry("keylen", 16),
            entry("role", "member"),
        ]);
        let answer = Answer::Result(vec![principal], Dict::new());
        let (pending, extra) =
            challenged(in_context(&config, 3, |context| pending.answered(answer, context)));
        let derivation = Derivation { salt: "salt123".into(), iterations: 10, key_length: 16 };
        let key = derivation.derive("password").expect("in bounds");
        let signature = cra::sign(&key, told(&extra, "challenge"));
        let Step::Derive(pending, secret, asked) = authenticate(&config, pending, &signature, &Dict::new())
        else {
            panic!("nothing to derive");
        };
        assert_eq!((secret.expose(), &asked), (password, &derivation));
        let key = asked.derive(secret.expose()).map(Secret::new);
        let step = in_context(&config, 3, |context| pending.derived(key, context));
        assert_eq!(matches!(step, Step::Accept(_)), passes, "{step:?}");
    }
}

#[test]
fn names_are_quoted_in_the_challenge() {
    let config = config();
    let (_, extra) = challenged(hello(&config, "wampcra", Some("a\"b\\"), Dict::new(), 3));
    assert!(told(&extra, "challenge").starts_with(r#"{"authid": "a\"b\\", "#));
}

#[test]
fn scram_proves_both_sides() {
    let config = config();
    for (method, dialect, verifier) in [
        ("wamp-scram", Dialect::Specification, "verifier"),
        ("scram", Dialect::Autobahn, "scram_server_signature"),
    ] {
        let own = to_base64(b"a nonce of the client");
        let authextra = vec![entry("nonce", own.as_str()), ("channel_binding".to_owned(), Value::Null)];
        let (pending, extra) = challenged(hello(&config, method, Some("joe"), authextra, 5));
        let salted = {
            let salt = from_base64(told(&extra, "salt")).expect("base64");
            SaltedPassword::derive(dialect, KDF, "password", &salt).expect("in bounds")
        };
        let nonce = told(&extra, "nonce");
        assert!(dialect == Dialect::Autobahn || nonce.starts_with(&own));
        let exchange = Exchange {
            dialect,
            authid: "joe",
            client_nonce: &own,
            nonce,
            salt: told(&extra, "salt"),
            iterations: 10,
            binding: None,
        };
        let message = exchange.auth_message().expect("plain text");
        let answer = match dialect {
            Dialect::Specification => vec![entry("nonce", nonce)],
            Dialect::Autobahn => Dict::new(),
        };
        let identity = accepted(authenticate(&config, pending, &salted.proof(&message), &answer));
        let authextra = identity.authextra.expect("the router's proof");
        assert_eq!(told(&authextra, verifier), salted.keys().server_signature(&message));
    }
}

#[test]
fn scram_wants_a_nonce() {
    let config = config();
    for (authextra, text) in [
        (Dict::new(), "client must send a nonce"),
        (vec![entry("nonce", "?")], "client nonce must be base64"),
        (
            vec![entry("nonce", "AAAA"), entry("channel_binding", "tls-exporter")],
            "channel binding \"tls-exporter\" requested, but the transport has no TLS channel ID",
        ),
    ] {
        let denial = denied(hello(&config, "wamp-scram", Some("joe"), authextra, 1));
        assert_eq!((&*denial.reason, &*denial.message), (well_known::NOT_AUTHORIZED, text));
    }
}

#[test]
fn cryptosign_finds_the_identity_by_its_key_and_signs_back() {
    let config = config();
    let own_challenge = [3; 32];
    let authextra = vec![
        entry("pubkey", public_key(&[1; 32]).to_uppercase().as_str()),
        entry("challenge", to_hex(&own_challenge).as_str()),
        ("channel_binding".to_owned(), Value::Null),
    ];
    for authid in [None, Some("joe")] {
        let (pending, extra) = challenged(hello(&config, "cryptosign", authid, authextra.clone(), 9));
        let router_key = octets(told(&extra, "pubkey")).expect("32 octets");
        assert_eq!(verify(&router_key, &own_challenge, told(&extra, "signature")), Ok(()));
        let challenge = octets(told(&extra, "challenge")).expect("32 octets");
        let identity = accepted(authenticate(&config, pending, &sign(&[1; 32], &challenge), &Dict::new()));
        assert_eq!(&*identity.authid, "joe");
    }
}

#[test]
fn cryptosign_takes_no_replay() {
    let config = config();
    let authextra = vec![entry("pubkey", public_key(&[1; 32]).as_str())];
    let (_, extra) = challenged(hello(&config, "cryptosign", Some("joe"), authextra.clone(), 1));
    let old = sign(&[1; 32], &octets(told(&extra, "challenge")).expect("32 octets"));
    let (pending, _) = challenged(hello(&config, "cryptosign", Some("joe"), authextra, 2));
    assert_eq!(denied(authenticate(&config, pending, &old, &Dict::new())).message, "message signed is bogus");
}

#[test]
fn cryptosign_says_what_is_wrong_with_hello() {
    let config = config();
    let key = public_key(&[1; 32]);
    for (authextra, text) in [
        (Dict::new(), "cannot identify client: no authid requested and no extra.pubkey provided"),
        (vec![entry("pubkey", "ff")], "invalid extra.pubkey: 64 hexadecimal digits expected"),
        (
            vec![entry("pubkey", &*key), entry("channel_binding", "tls-unique")],
            "channel binding \"tls-unique\" requested, but the transport has no TLS channel ID",
        ),
        (
            vec![entry("pubkey", &*key), entry("channel_binding", "smoke")],
            "invalid channel binding type \"smoke\" requested",
        ),
        (
            vec![entry("pubkey", &*key), entry("challenge", "00")],
            "invalid extra.challenge: 64 hexadecimal digits expected",
        ),
    ] {
        let denial = denied(hello(&config, "cryptosign", None, authextra, 1));
        assert_eq!((&*denial.reason, &*denial.message), (well_known::NOT_AUTHORIZED, text));
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", config());
    for secret in ["\"secret\"", "\"random\"", "[9, 9", "[9,9"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn what_procedures_are_asked_and_answer_is_not_shown() {
    const SECRET: &str = "open sesame";
    let mut config = dynamic_config(None);
    let Some(Source::Dynamic(authenticator)) = config.transports[0].anonymous.clone() else { panic!("none") };
    config.transports[0].ticket = Some(Source::Dynamic(authenticator.clone()));
    config.transports[0].cra = Some(Source::Dynamic(authenticator));
    let (pending, _) = challenged(hello(&config, "ticket", Some("jim"), Dict::new(), 1));
    let key = SessionKey { slot: 0, generation: 1 };
    let letter = Letter::Authenticate { key, signature: Secret::new(SECRET), extra: Dict::new() };
    let asked_step = authenticate(&config, pending, SECRET, &Dict::new());
    let answered = Answer::Result(vec![Value::Dict(vec![entry("secret", SECRET)])], Dict::new());
    let shown = format!("{letter:?} {asked_step:?} {answered:?}");
    assert!(shown.contains("com.auth") && !shown.contains(SECRET), "{shown}");
    let pending = asked(hello(&config, "wampcra", Some("jim"), Dict::new(), 1));
    let shown = format!("{:?}", in_context(&config, 1, |context| pending.answered(answered, context)));
    assert!(shown.contains("Signature") && !shown.contains(SECRET), "{shown}");
}

/// A configuration in which a procedure decides about this method.
fn dynamic_config(role: Option<&str>) -> RouterConfig {
    let mut config = config().with_trusted_role();
    let authenticator = Authenticator {
        procedure: "com.auth".into(),
        role: role.map(Into::into),
        default_role: Some("member".into()),
        ..Authenticator::default()
    };
    let methods = &mut config.transports[0];
    methods.anonymous = Some(Source::Dynamic(authenticator.clone()));
    methods.scram = Some(Source::Dynamic(authenticator.clone()));
    methods.cryptosign = Some(Source::Dynamic(authenticator));
    config
}

#[track_caller]
fn asked(step: Step) -> Pending {
    match step {
        Step::Ask(pending, _) => pending,
        other => panic!("nobody is asked: {other:?}"),
    }
}

fn answer(config: &RouterConfig, pending: Pending, principal: Dict) -> Step {
    let answer = Answer::Result(vec![Value::Dict(principal)], Dict::new());
    in_context(config, 3, |context| pending.answered(answer, context))
}

#[test]
fn the_role_of_the_call_has_to_exist() {
    for (role, is_there) in [("member", true), (TRUSTED, true), ("boss", false)] {
        let step = hello(&dynamic_config(Some(role)), "anonymous", None, Dict::new(), 1);
        if is_there {
            asked(step);
        } else {
            let denial = denied(step);
            let message =
                "explicit role <boss> on realm <realm1> configured for dynamic authenticator does not exist";
            assert_eq!((&*denial.reason, &*denial.message), (well_known::NO_SUCH_ROLE, message));
        }
    }
}

#[test]
fn keys_of_scram_may_come_from_a_procedure() {
    let config = dynamic_config(None);
    let own = to_base64(b"a nonce of the client");
    let authextra = vec![entry("nonce", own.as_str())];
    let pending = asked(hello(&config, "scram", Some("jim"), authextra, 5));
    let salted =
        SaltedPassword::derive(Dialect::Autobahn, KDF, "password", b"0123456789").expect("in bounds");
    let keys = salted.keys();
    let principal = vec![
        entry("kdf", "pbkdf2"),
        entry("iterations", 10),
        entry("salt", to_hex(b"0123456789").as_str()),
        entry("stored-key", to_hex(&keys.stored).as_str()),
        entry("server-key", to_hex(&keys.server).as_str()),
        ("extra".to_owned(), Value::Dict(vec![entry("scram_server_signature", "forged"), entry("more", 1)])),
    ];
    let (pending, extra) = challenged(answer(&config, pending, principal));
    let exchange = Exchange {
        dialect: Dialect::Autobahn,
        authid: "jim",
        client_nonce: &own,
        nonce: told(&extra, "nonce"),
        salt: told(&extra, "salt"),
        iterations: 10,
        binding: None,
    };
    let message = exchange.auth_message().expect("plain text");
    let identity = accepted(authenticate(&config, pending, &salted.proof(&message), &Dict::new()));
    assert_eq!((&*identity.authid, identity.provider), ("jim", Provider::Dynamic));
    let authextra = identity.authextra.expect("the router's proof");
    assert_eq!(names(&authextra), ["more", "scram_server_signature"]);
    assert_eq!(told(&authextra, "scram_server_signature"), keys.server_signature(&message));
}

#[test]
fn keys_of_cryptosign_may_come_from_a_procedure() {
    let config = dynamic_config(None);
    let pending = asked(hello(&config, "cryptosign", Some("jim"), Dict::new(), 5));
    let principal = vec![entry("pubkey", public_key(&[1; 32]).as_str())];
    let (pending, extra) = challenged(answer(&config, pending, principal));
    let challenge = octets(told(&extra, "challenge")).expect("32 octets");
    let identity = accepted(authenticate(&config, pending, &sign(&[1; 32], &challenge), &Dict::new()));
    assert_eq!((&*identity.authid, identity.method), ("jim", Method::Cryptosign));
}

#[test]
fn nobody_is_given_the_role_of_the_router() {
    let config = dynamic_config(None);
    let pending = asked(hello(&config, "anonymous", None, Dict::new(), 1));
    let denial = denied(answer(&config, pending, vec![entry("role", TRUSTED)]));
    assert_eq!(&*denial.reason, well_known::NO_SUCH_ROLE);
    let mut config = config;
    let everybody = AnonymousConfig { role: TRUSTED.into(), authid: None };
    config.transports[0].anonymous = Some(Source::Static(everybody));
    let denial = denied(hello(&config, "anonymous", None, Dict::new(), 1));
    assert_eq!(&*denial.reason, well_known::NO_SUCH_ROLE);
}

#[test]
fn what_does_not_fit_is_denied() {
    let config = dynamic_config(None);
    let pending = asked(hello(&config, "anonymous", None, Dict::new(), 1));
    assert_eq!(denied(authenticate(&config, pending, "", &Dict::new())).message, "no pending authentication");
    let (pending, _) = challenged(hello(&config, "ticket", Some("joe"), Dict::new(), 1));
    assert_eq!(denied(answer(&config, pending, Dict::new())).message, "no pending authentication");
}
