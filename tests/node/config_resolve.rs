//! What a document resolves to.

use std::time::Duration;

use crossring::config::{
    Allow, ConnectionLimits, CookieStoreConfig, Endpoint, EngineChoice, Match, Resumption, SerializerName,
    SlowConsumer, Stats, Store, StoreRule, TransportKind, UriCheck, WebSocketOptions,
};
use crossring_codec::limits::NestingDepth;
use crossring_codec::transport::DeflateOptions;
use crossring_router::config::{Authenticator, KeyHolders, Source};
use crossring_router::credentials::certificates::{Address, Root};
use crossring_router::limits::{FailureLimits, SessionLimits};

use super::{load_json, sample};

#[test]
fn the_controller_sets_engine_shards_and_limits() {
    let node = sample("router.json").node;
    assert_eq!(node.controller_id.as_deref(), Some("node_one"));
    assert_eq!((node.shards, node.engine), (Some(2), EngineChoice::Epoll));
    assert_eq!(node.limits.slow_consumer, SlowConsumer::CloseSession);
    assert_eq!(node.limits.outbound_bytes_max, 1 << 20);
    assert_eq!((node.limits.auth_timeout, node.limits.strict_request_ids), (None, true));
    assert_eq!(node.limits.shutdown_timeout, Duration::from_secs(2));
    assert_eq!(node.limits.unauthenticated_max, 500);
    let network = |address: &str, bits| (address.parse().expect("an address"), bits);
    let failures = FailureLimits {
        pair_max: 3,
        delay_ms_max: 60_000,
        exempt: vec![network("10.0.0.0", 8), network("::1", 128)],
        ..FailureLimits::default()
    };
    assert_eq!(node.limits.failures, failures);
    assert_eq!(node.limits.unauthenticated_bytes_max, 4_096);
    let session = SessionLimits {
        subscriptions_max: 10,
        calls_max: 20,
        payload_octets_max: 1_000,
        ..SessionLimits::default()
    };
    assert_eq!(node.limits.session, session);
}

#[test]
fn realms_of_all_routers_are_merged() {
    let node = sample("router.json").node;
    let realms: Vec<_> = node.realms.iter().map(|realm| (realm.id.as_str(), realm.name.as_str())).collect();
    assert_eq!(realms, [("realm_main", "com.example.main"), ("realm001", "realm1")]);
    assert_eq!(node.realms[0].options.uri_check, UriCheck::Strict);
    let roles: Vec<_> =
        node.realms[0].roles.iter().map(|role| (role.id.as_str(), role.name.as_str())).collect();
    assert_eq!(roles, [("role001", "backend"), ("role002", "frontend"), ("role003", "nobody")]);
    let rules = &node.realms[0].roles[1].permissions;
    let patterns: Vec<_> = rules.iter().map(|rule| (rule.uri.as_str(), rule.matching)).collect();
    assert_eq!(
        patterns,
        [("com.example.time", Match::Exact), ("com..news", Match::Wildcard), ("com.example.", Match::Prefix)]
    );
    let backend = &node.realms[0].roles[0].permissions[0];
    assert!(
        backend.allow == Allow::ALL && backend.disclose.caller && backend.disclose.publisher && backend.cache
    );
    assert!(!node.realms[0].roles[2].allow_by_default && node.realms[1].roles[0].allow_by_default);
}

#[test]
fn realms_get_options_and_stores() {
    let node = sample("router.json").node;
    let [main, other] = &node.realms[..] else { panic!("two realms") };
    let options = &main.options;
    assert!(!options.enable_meta_api && options.sharding);
    let resumption = Resumption {
        timeout: Duration::from_secs(30),
        events_max: 10,
        bytes_max: 1 << 20,
        ..Resumption::default()
    };
    assert_eq!(options.resumption, Some(resumption));
    let rules = |rules: &[StoreRule]| -> Vec<(String, Match, u32)> {
        rules.iter().map(|rule| (rule.uri.clone(), rule.matching, rule.limit)).collect()
    };
    let history = [
        ("com.example.news".into(), Match::Exact, 50),
        ("com..log".into(), Match::Wildcard, 7),
        (String::new(), Match::Prefix, 1),
    ];
    assert_eq!(rules(&main.store.event_history), history);
    assert_eq!(rules(&main.store.call_queue), [("com.example.slow".into(), Match::Prefix, 50)]);
    assert_eq!(main.store.event_history_bytes_max, 1 << 20);
    let retained = (main.store.retained_topics_max, main.store.retained_lifetime);
    assert_eq!(retained, (5, Some(Duration::from_secs(60))));
    assert_eq!((main.roles[1].trustlevel, main.roles[2].trustlevel), (None, Some(3)));
    let stats = Stats {
        rated_message_size: 512,
        after_rated_messages: Some(10),
        after_duration: Some(Duration::from_secs(60)),
        on_join: false,
        on_leave: true,
    };
    assert_eq!((&main.stats, &other.stats), (&Some(stats), &None));
    assert!(other.options.enable_meta_api && other.options.resumption.is_none());
    assert_eq!(other.store, Store::default());
}

#[test]
fn transports_get_their_settings() {
    let node = sample("router.json").node;
    let ids: Vec<_> = node.transports.iter().map(|transport| transport.id.as_str()).collect();
    assert_eq!(ids, ["public_ws", "transport001", "transport002"]);
    let [websocket, unix, tcp] = &node.transports[..] else { panic!("three transports") };
    let TransportKind::WebSocket(options) = &websocket.kind else { panic!("a WebSocket") };
    assert_eq!(options.allowed_origins, ["http://localhost:*"]);
    assert_eq!(options.max_message_size, 1 << 20);
    assert_eq!(options.open_handshake_timeout, Some(Duration::from_millis(2500)));
    assert_eq!((options.auto_ping_size, options.fail_by_drop), (16, true));
    assert_eq!(websocket.max_connections, 10);
    let exempt = vec![("10.0.0.0".parse().expect("an address"), 8)];
    let limits = ConnectionLimits { per_address_max: 5, rate_max: 0, exempt, ..ConnectionLimits::default() };
    assert_eq!(websocket.limits, limits);
    assert_eq!(unix.limits, ConnectionLimits::default());
    let expected = [SerializerName::Cbor, SerializerName::MsgPack, SerializerName::Json];
    assert_eq!(websocket.serializers.as_deref(), Some(&expected[..]));
    let Endpoint::Tcp(endpoint) = &websocket.endpoint else { panic!("TCP") };
    assert_eq!((endpoint.address.to_string().as_str(), endpoint.port, endpoint.backlog), ("::1", 8080, 1024));
    let TransportKind::RawSocket(options) = &unix.kind else { panic!("a RawSocket") };
    assert_eq!(options.max_message_size, 65_536);
    assert!(tcp.serializers.is_none() && tcp.auth.is_none());
}

#[test]
fn a_testee_worker_is_an_echo_server() {
    let checked = load_json(&serde_json::json!({
        "version": 2,
        "workers": [{"type": "websocket-testee", "transport": {
            "type": "websocket",
            "endpoint": {"type": "tcp", "port": 9003},
            "options": {"max_frame_size": 1000}
        }}]
    }))
    .expect("valid");
    let [transport] = &checked.node.transports[..] else { panic!("one transport") };
    let TransportKind::WebSocketTestee(options) = &transport.kind else { panic!("a testee") };
    assert_eq!(options.max_frame_size, Some(1000));
}

/// The options of a WebSocket transport, resolved.
fn websocket_options(options: serde_json::Value) -> WebSocketOptions {
    let document = serde_json::json!({"version": 2, "workers": [{"type": "router", "transports": [{
        "type": "websocket", "endpoint": {"type": "tcp", "port": 8080}, "options": options
    }]}]});
    let checked = load_json(&document).expect("valid");
    assert!(checked.support.refused.is_empty() && checked.warnings.is_empty());
    match &checked.node.transports[0].kind {
        TransportKind::WebSocket(options) => options.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn websocket_options_have_defaults_and_can_all_be_set() {
    let options = websocket_options;
    assert_eq!(options(serde_json::json!({})), WebSocketOptions::default());
    let changed = options(serde_json::json!({
        "allowed_origins": [], "allow_null_origin": false, "external_port": 443, "enable_hybi10": false,
        "enable_rfc6455": false, "open_handshake_timeout": 0, "close_handshake_timeout": 0, "enable_webstatus": false,
        "validate_utf8": false, "mask_server_frames": true, "require_masked_client_frames": false, "apply_mask": false,
        "max_frame_size": 1, "max_message_size": 0, "auto_fragment_size": 4096, "fail_by_drop": true,
        "echo_close_codereason": true, "tcp_nodelay": false, "auto_ping_interval": 0, "auto_ping_timeout": 0,
        "max_nesting_depth": 5, "auto_ping_size": 125, "auto_ping_restart_on_any_traffic": false, "require_websocket_subprotocol": false,
        "show_server_version": true, "max_header_size": 1000,
        "compression": {"deflate": {
            "request_no_context_takeover": true, "request_max_window_bits": 9, "no_context_takeover": true,
            "max_window_bits": 10, "memory_level": 1, "level": 9, "min_message_size": 0, "max_inflate_ratio": 7
        }}
    }));
    let deflate = DeflateOptions {
        no_context_takeover: true,
        window_bits_max: 10,
        peer_no_context_takeover: true,
        peer_window_bits_max: Some(9),
        level: 9,
        memory_level: 1,
        size_min: 0,
        inflate_ratio_max: 7,
    };
    let expected = WebSocketOptions {
        url: None,
        allowed_origins: Vec::new(),
        allow_null_origin: false,
        external_port: Some(443),
        enable_hybi10: false,
        enable_rfc6455: false,
        max_header_size: 1000,
        enable_webstatus: false,
        show_server_version: true,
        open_handshake_timeout: None,
        close_handshake_timeout: None,
        validate_utf8: false,
        mask_server_frames: true,
        require_masked_client_frames: false,
        apply_mask: false,
        max_frame_size: Some(1),
        max_message_size: 64 << 20,
        max_nesting_depth: NestingDepth::new(5).expect("a depth"),
        auto_fragment_size: 4096,
        deflate: Some(deflate),
        echo_close_codereason: true,
        tcp_nodelay: false,
        fail_by_drop: true,
        auto_ping_interval: None,
        auto_ping_timeout: None,
        auto_ping_size: 125,
        auto_ping_restart_on_any_traffic: false,
        require_websocket_subprotocol: false,
        cookie: None,
    };
    assert_eq!(changed, expected);
    let on = options(serde_json::json!({"compression": {"deflate": {}}}));
    assert_eq!(on.deflate, Some(DeflateOptions::default()));
    assert_eq!(options(serde_json::json!({"compression": {}})).deflate, None);
}

#[test]
fn environment_references_are_replaced() {
    let node = sample("router.json").node;
    let Endpoint::Unix(unix) = &node.transports[1].endpoint else { panic!("a Unix socket") };
    assert_eq!((unix.path.to_str(), unix.mode), (Some("/run/router/router.sock"), Some(0o660)));
    let Endpoint::Tcp(tcp) = &node.transports[2].endpoint else { panic!("TCP") };
    assert_eq!((tcp.address.to_string().as_str(), tcp.port), ("::", 9999));
}

#[test]
fn authenticators_are_called_as_configured() {
    let auth = sample("auth.json").node.transports[0].auth.clone().expect("authentication");
    let Some(Source::Dynamic(ticket)) = auth.ticket else { panic!("dynamic") };
    let expected = Authenticator {
        procedure: "com.example.authenticate".into(),
        realm: Some("realm1".into()),
        role: Some("trusted".into()),
        default_role: Some("r".into()),
    };
    assert_eq!(ticket, expected);
    let Some(Source::Dynamic(anonymous)) = auth.anonymous else { panic!("dynamic") };
    assert_eq!((anonymous.realm, anonymous.role, anonymous.default_role), (None, None, None));
}

#[test]
fn principals_get_tickets_and_roles() {
    let checked = sample("router.json");
    let auth = checked.node.transports[0].auth.as_ref().expect("authentication");
    let Some(Source::Static(anonymous)) = &auth.anonymous else { panic!("anonymous") };
    assert_eq!((&*anonymous.role, &anonymous.authid), ("nobody", &None));
    let Some(Source::Static(tickets)) = &auth.ticket else { panic!("tickets") };
    let found: Vec<_> = tickets
        .iter()
        .map(|principal| {
            let secret = principal.ticket.as_ref().map(|ticket| ticket.expose());
            (&*principal.authid, secret, &*principal.role)
        })
        .collect();
    let expected = [
        ("ann", Some("s3cret-of-ann"), "frontend"),
        ("eve", None, "frontend"),
        ("joe", Some("joes-t1cket"), "backend"),
    ];
    assert_eq!(found, expected);
    assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
}

#[test]
fn passwords_become_keys_and_hints() {
    let document = serde_json::json!({"version": 2, "workers": [{"type": "router", "transports": [{
        "type": "websocket", "endpoint": {"type": "tcp", "port": 8080},
        "auth": {"wampcra": {"type": "static", "users": {
            "plain": {"secret": "password", "role": "r"},
            "salted": {"secret": "password", "role": "r", "salt": "salt123", "iterations": 1000, "keylen": 32},
            "derived": {"secret": "prq7+YkJ1/KlW1X0YczMHw==", "role": "r", "salt": "salt123", "iterations": 100, "keylen": 16}
        }}}
    }]}]});
    let checked = load_json(&document).expect("valid");
    let auth = checked.node.transports[0].auth.as_ref().expect("authentication");
    let Some(Source::Static(users)) = &auth.cra else { panic!("users") };
    let key =
        |index: usize| users.iter().nth(index).and_then(|user| user.key.as_ref()).map(|key| key.expose());
    assert_eq!(key(1), Some("password"));
    assert_eq!(key(2), Some("XX9AIwVx2pYcnIAm+U69vjdUImcvNehHD5atN4rwDb0="));
    assert_eq!(
        checked.warnings,
        [
            "workers[0].transports[0].auth.wampcra.users.derived.secret: this looks like a derived key; the password itself is expected"
        ]
    );
}

#[test]
fn trustroots_are_read_and_get_roles() {
    let account = "0xf766dc789cf04cd18ae75af2c5faf2da6650ff57";
    let document = serde_json::json!({"version": 2, "workers": [{"type": "router", "transports": [{
        "type": "websocket", "endpoint": {"type": "tcp", "port": 8080},
        "auth": {"cryptosign": {"type": "static", "trustroots": {
            "realm1": {"certificate": "root.cbor", "trustroot": account, "role": "edge", "block": 15139218},
            "realm2": {"trustroot": account, "realm": "realm1"},
        }}}
    }]}]});
    let resolved = |document: &serde_json::Value| {
        let checked = load_json(document).expect("valid");
        assert!(checked.support.refused.is_empty());
        let auth = checked.node.transports[0].auth.clone().expect("authentication");
        let Some(Source::Static(KeyHolders::Trustroots(trustroots))) = auth.cryptosign else {
            panic!("trustroots")
        };
        trustroots
    };
    let [first, second] = &resolved(&document)[..] else { panic!("two trustroots") };
    let account = Address::parse(account).expect("an address");
    let Root::Certificate(certificate) = &first.root else { panic!("a certificate") };
    assert_eq!((certificate.subject(), &second.root), (account, &Root::Account(account)));
    assert_eq!((&*first.requested_realm, &*first.role, first.block), ("realm1", "edge", Some(15_139_218)));
    assert_eq!((&*second.requested_realm, second.realm.as_deref()), ("realm2", Some("realm1")));
    assert_eq!((&*second.role, second.block), ("user", None));
    let mut document = document;
    document["workers"][0]["transports"][0]["auth"]["cryptosign"]["default-role"] = "guest".into();
    assert_eq!(&*resolved(&document)[1].role, "guest");
}

#[test]
fn cookies_and_certificates_are_resolved() {
    let checked = sample("auth.json");
    let [web, proxies] = &checked.node.transports[..] else { panic!("two transports") };
    let TransportKind::WebSocket(options) = &web.kind else { panic!("WebSocket") };
    let cookie = options.cookie.as_ref().expect("a cookie");
    assert_eq!((cookie.name.as_str(), cookie.length, cookie.max_age), ("cbtid", 32, 604_800));
    let store = CookieStoreConfig::File { path: "cookies.json".into(), purge_on_startup: false };
    assert_eq!((&cookie.store, cookie.attributes().as_str()), (&store, ";max-age=604800;Secure"));
    let auth = web.auth.as_ref().expect("authentication");
    let Some(Source::Static(principals)) = &auth.tls else { panic!("principals") };
    let found: Vec<_> = principals.iter().map(|it| (&*it.authid, it.sha1.is_some(), &it.sha256)).collect();
    assert_eq!(found, [("joe", true, &None)]);
    assert!(auth.cookie && !auth.anonymous_proxy);
    assert!(proxies.auth.as_ref().is_some_and(|auth| auth.anonymous_proxy));
    let warned = checked.warnings.iter().any(|it| it.contains("auth.tls: has no effect without 'ca_cert"));
    assert!(warned, "{:?}", checked.warnings);
}

#[test]
fn roles_that_no_realm_has_are_remarked_on() {
    let endpoint = |port: u16| serde_json::json!({"type": "tcp", "port": port});
    let document = serde_json::json!({"version": 2, "workers": [{
        "type": "router",
        "realms": [
            {"name": "realm1", "roles": [{"name": "member"}]},
            {"name": "realm2", "roles": [{"name": "other"}]},
        ],
        "transports": [
            {"type": "rawsocket", "endpoint": endpoint(1)},
            {"type": "websocket", "endpoint": endpoint(2), "auth": {
                "anonymous": {"type": "static", "role": "guest"},
                "cryptosign": {"type": "static", "default-role": "guest", "principals": {
                    "a": {"authorized_keys": [], "role": "member"},
                    "b": {"authorized_keys": []},
                    "c": {"authorized_keys": [], "role": "other", "realm": "realm1"},
                    "d": {"authorized_keys": [], "role": "other", "realm": "realm3"},
                }},
                "ticket": {"type": "dynamic", "authenticator": "a", "default-role": "nobody"},
            }},
            {"type": "web", "endpoint": endpoint(3), "paths": {
                "/": {"type": "publisher", "realm": "realm2", "role": "member"},
            }},
        ],
    }]});
    let all = "(\"realm1\" has \"member\", \"realm2\" has \"other\")";
    let transports = "workers[0].transports";
    let expected = [
        format!(
            "{transports}[0] (without 'auth'): no realm has a role \"anonymous\": nobody can join by it {all}"
        ),
        format!(
            "{transports}[1].auth.anonymous.role (and 1 more): no realm has a role \"guest\": nobody can join by it {all}"
        ),
        format!(
            "{transports}[1].auth.cryptosign.principals.c.role: realm \"realm1\" has no role \"other\": nobody can join by \
             it (\"realm1\" has \"member\")"
        ),
        format!(
            "{transports}[2].paths[\"/\"].role: realm \"realm2\" has no role \"member\": nobody can join by it \
             (\"realm2\" has \"other\")"
        ),
        format!(
            "{transports}[1].auth.cryptosign.principals.d.role: there is no realm \"realm3\": nobody can join by it \
             (there is \"realm1\", \"realm2\")"
        ),
    ];
    assert_eq!(load_json(&document).expect("valid").warnings, expected);
}
