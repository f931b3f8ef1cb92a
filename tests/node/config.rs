//! Configuration files of every kind: what is valid, what is refused, and that all faults are named at once.

#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod config_command_line;
mod config_resolve;

use std::path::PathBuf;

use crossring::config::{
    Checked, ConfigError, Environment, Fault, Format, NodeConfig, all_config_keys, format_of, fuzz,
    load_text, reference_markdown,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const VARIABLES: &[(&str, &str)] =
    &[("JOE_TICKET", "joes-t1cket"), ("SOCKETS", "/run/router"), ("RAW_PORT", "9999"), ("NO_CONTAINER", "1")];

/// Variables as above; files are those beside the vectors of certificate chains.
const ENVIRONMENT: Environment<'_> = Environment {
    variable: &|name| VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()),
    file: &|path| {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/router/tests/certificates");
        std::fs::read(PathBuf::from(directory).join(path))
    },
};

fn load_sample(name: &str) -> Result<Checked, ConfigError> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/configs")).join(name);
    let text = std::fs::read_to_string(&path).expect("the sample is readable");
    load_text(&text, format_of(&path).expect("a known extension"), ENVIRONMENT)
}

fn sample(name: &str) -> Checked {
    load_sample(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn load_json(document: &Value) -> Result<Checked, Vec<Fault>> {
    load_text(&document.to_string(), Format::Json, ENVIRONMENT).map_err(|error| match error {
        ConfigError::Faults(faults) => faults,
        ConfigError::Source(error) => panic!("{error}"),
    })
}

/// A node of one router worker with the given realms and transports.
fn router(realms: Value, transports: Value) -> Value {
    json!({"version": 2, "workers": [{"type": "router", "realms": realms, "transports": transports}]})
}

#[test]
fn samples_of_every_kind_are_valid_and_name_what_is_refused() {
    let cases: [(&str, &[&str]); 6] = [
        ("minimal.yaml", &[]),
        ("router.json", &[]),
        (
            "web.json",
            &[
                "workers[0].transports[0].paths.zip.download",
                "workers[0].transports[0].paths.app (type \"wsgi\")",
                "workers[0].transports[0].paths.py (type \"resource\")",
                "workers[0].transports[0].paths.wap (type \"wap\")",
                "workers[0].transports[0].paths.types (type \"catalog\")",
            ],
        ),
        (
            "universal.json",
            &[
                "workers[0].transports[0].mqtt",
                "workers[0].transports[1] (type \"mqtt\")",
                "workers[0].transports[3].endpoint (type \"twisted\")",
                "workers[0].transports[4] (type \"flashpolicy\")",
            ],
        ),
        (
            "processes.json",
            &[
                "workers[0].realms[0].inventory",
                "workers[0].realms[0].rlinks",
                "workers[0].components",
                "workers[1] (type \"container\")",
                "workers[2] (type \"guest\")",
                "workers[4] (type \"proxy\")",
            ],
        ),
        ("auth.json", &[]),
    ];
    for (name, refused) in cases {
        assert_eq!(places(&sample(name)), refused, "{name}");
    }
}

fn places(checked: &Checked) -> Vec<&str> {
    checked.support.refused.iter().map(|refusal| &*refusal.place).collect()
}

#[test]
fn what_will_never_work_is_refused_with_what_to_do_instead() {
    let function = json!({"type": "function", "create": "auth.create"});
    let listen = |endpoint: Value| with_transport("endpoint", endpoint);
    let onion = json!({"type": "onion", "port": 80, "private_key_file": "k", "tor_control_endpoint": {"type": "unix", "path": "c"}});
    let worker = |worker: Value| json!({"version": 2, "workers": [worker]});
    let endpoint = json!({"type": "tcp", "port": 1});
    let path = |service: Value| {
        let web = json!({"type": "web", "endpoint": endpoint, "paths": {"a": service}});
        router(json!([]), json!([web]))
    };
    let cases = [
        (with_transport("auth", json!({"wampcra": function})), "type dynamic"),
        (listen(json!({"type": "twisted", "server_string": "tcp:80"})), "type tcp"),
        (listen(onion), "HiddenServicePort"),
        (worker(json!({"type": "container"})), "ordinary clients"),
        (worker(json!({"type": "guest", "executable": "a"})), "service manager"),
        (path(json!({"type": "wsgi", "module": "a", "object": "b"})), "a reverseproxy"),
        (path(json!({"type": "resource", "classname": "a.B"})), "a reverseproxy"),
        (path(json!({"type": "catalog", "filename": "a"})), "a static service"),
        (
            path(
                json!({"type": "wap", "templates": "a", "routes": [], "wamp": {"realm": "realm1", "authrole": "a"}}),
            ),
            "a caller service",
        ),
        (path(json!({"type": "static", "package": "a", "resource": "b"})), "as directory"),
    ];
    for (document, instead) in cases {
        let refused = load_json(&document).expect("valid").support.refused;
        let text = refused.first().map(ToString::to_string).unwrap_or_default();
        assert!(
            text.starts_with("not supported: workers[0]") && text.contains(instead),
            "{document}: {text}"
        );
    }
}

#[test]
fn five_faults_are_reported_with_five_places() {
    let Err(ConfigError::Faults(faults)) = load_sample("five_faults.json") else {
        panic!("the sample has faults")
    };
    let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "controller.option: unknown key 'option' (did you mean 'options'?) (line 3, column 19)",
        "workers[0].realms[0].roles[0].permissions[0]: missing mandatory key 'uri' (line 8, column 78)",
        "workers[0].transports[0].endpoint.port: expected integer 1..65535 or $NAME or ${NAME}, got string \"x\" \
         (line 12, column 61)",
        "workers[0].transports[1].type: invalid type of a listening transport: expected one of \"websocket\", \
         \"rawsocket\", \"web\", \"universal\", \"mqtt\", \"websocket.testee\", \"stream.testee\", \"flashpolicy\", \
         got string \"websockets\" (line 13, column 11)",
        "workers[0].realms[1].name: realm \"realm1\" is already taken by workers[0].realms[0].name (line 9, column 11)",
    ];
    assert_eq!(found, expected);
}

fn with_transport(key: &str, value: Value) -> Value {
    let mut transport = json!({"type": "websocket", "endpoint": {"type": "tcp", "port": 8080}});
    transport[key] = value;
    router(json!([]), json!([transport]))
}

fn with_realm(key: &str, value: Value) -> Value {
    let mut realm = json!({"name": "realm1"});
    realm[key] = value;
    router(json!([realm]), json!([]))
}

/// Each document has exactly one fault, at the path, with a message that holds the text.
fn check_faults(cases: &[(Value, &str, &str)]) {
    for (document, path, message) in cases {
        let faults = load_json(document).expect_err("a fault");
        assert_eq!(faults.len(), 1, "{document}: {faults:?}");
        assert_eq!(faults[0].path, *path, "{document}");
        assert!(faults[0].message.contains(message), "{document}: {}", faults[0]);
    }
}

#[test]
fn faults_of_the_node_are_named_at_their_place() {
    check_faults(&[
        (json!([]), "(top level)", "expected object, got a list"),
        (
            json!({}),
            "version",
            "missing key 'version': write \"version\": 2 (Configuration too old: version 1",
        ),
        (json!({"version": 1}), "version", "Configuration too old: version 1, while current is 2"),
        (json!({"version": 3}), "version", "Invalid configuration version '3' - must be 1..2: write 2"),
        (
            json!({"version": "2"}),
            "version",
            "Invalid configuration version '\"2\"' - must be 1..2: write 2 without quotes",
        ),
        (json!({"version": 2, "workers": {}}), "workers", "expected list"),
        (json!({"version": 2, "workers": [{}]}), "workers[0]", "missing mandatory key 'type' of a worker"),
        (json!({"version": 2, "a b": 1}), "[\"a b\"]", "unknown key 'a b'"),
        (json!({"version": 2, "controller": {"id": "X"}}), "controller.id", "expected an id"),
    ]);
}

#[test]
fn faults_of_realms_are_named_at_their_place() {
    let (one, two) = ("workers[0].realms[0].roles[0]", "workers[0].realms[0].roles[1]");
    let two_ways = json!([{"name": "a", "permissions": [], "authorizer": "a"}]);
    check_faults(&[
        (with_realm("name", json!("1")), "workers[0].realms[0].name", "expected a realm name"),
        (with_realm("roles", json!([{"name": "trusted"}])), &format!("{one}.name"), "reserved"),
        (
            with_realm("roles", json!([{"name": "a"}, {"name": "a"}])),
            &format!("{two}.name"),
            "role \"a\" is already defined",
        ),
        (
            with_realm("roles", json!([{"name": "a", "trustlevel": -1}])),
            &format!("{one}.trustlevel"),
            "integer 0..",
        ),
        (with_realm("roles", two_ways), one, "'authorizer' and 'permissions' cannot be given both at once"),
    ]);
}

#[test]
fn faults_of_stores_and_realm_options_are_named_at_their_place() {
    let store = |key: &str, value: Value| {
        let mut store = json!({"type": "memory"});
        store[key] = value;
        with_realm("store", store)
    };
    let options = |key: &str, value: Value| with_realm("options", json!({key: value}));
    let twice = json!([{"uri": "a.b", "limit": 1}, {"uri": "a.b", "match": "exact"}]);
    let (at, at_options) = ("workers[0].realms[0].store", "workers[0].realms[0].options");
    check_faults(&[
        (with_realm("store", json!({})), at, "missing mandatory key 'type' of a realm store"),
        (with_realm("store", json!({"type": "redis"})), &format!("{at}.type"), "expected one of \"memory\""),
        (store("limit", json!(0)), &format!("{at}.limit"), "expected integer 1.."),
        (
            store("event-history", json!([{}])),
            &format!("{at}.event-history[0]"),
            "missing mandatory key 'uri'",
        ),
        (
            store("event-history", json!([{"uri": "a..b"}])),
            &format!("{at}.event-history[0].uri"),
            "matched exact",
        ),
        (store("event-history", twice.clone()), &format!("{at}.event-history[1]"), "in this list already"),
        (store("call-queue", twice), &format!("{at}.call-queue[1]"), "in this list already"),
        (store("retained", json!({"lifetime": 5})), &format!("{at}.retained.lifetime"), "in milliseconds"),
        (store("retain", json!({})), &format!("{at}.retain"), "did you mean 'retained'?"),
        (options("resumption", json!(true)), &format!("{at_options}.resumption"), "expected object"),
        (
            options("resumption", json!({"timeout": 0})),
            &format!("{at_options}.resumption.timeout"),
            "integer 1..",
        ),
        (options("sharding", json!(1)), &format!("{at_options}.sharding"), "expected boolean"),
        (
            options("event_dispatching_chunk_size", json!(0)),
            &format!("{at_options}.event_dispatching_chunk_size"),
            "integer from 1",
        ),
    ]);
    let silent = json!({"trigger_on_leave": false, "trigger_after_duration": 0});
    let nanoseconds = json!({"trigger_after_duration": 60_000_000_000_u64});
    let stats = "workers[0].realms[0].stats";
    check_faults(&[
        (with_realm("stats", silent), stats, "every trigger is off"),
        (
            with_realm("stats", json!({"rated_message_size": 511})),
            &format!("{stats}.rated_message_size"),
            "even",
        ),
        (with_realm("stats", nanoseconds), &format!("{stats}.trigger_after_duration"), "integer 0..31536000"),
    ]);
    let bridged = load_json(&options("bridge_meta_api", json!(true))).expect("valid").warnings;
    assert!(bridged.len() == 1 && bridged[0].contains("there is no realm \"crossbar\""), "{bridged:?}");
}

#[test]
fn faults_of_transports_are_named_at_their_place() {
    let proxies = json!({"cryptosign-proxy": {"type": "static", "principals": {}}});
    let paths = json!({"/": {"type": "nodeinfo"}, "ws": {"type": "websocket", "auth": proxies}});
    let web = json!([{"type": "web", "endpoint": {"type": "tcp", "port": 80}, "paths": paths}]);
    let web = router(json!([]), web);
    let certificate = json!({"tls": {"type": "static", "principals": {"joe": {"role": "r"}}}});
    let at = |key: &str| format!("workers[0].transports[0].{key}");
    let options = |key: &str| with_transport("options", json!({key: 5}));
    let nesting = |levels: u8| with_transport("options", json!({"max_nesting_depth": levels}));
    let ticket = json!({"ticket": {"type": "static", "principals": {"joe": {"ticket": 5}}}});
    let principals = json!({"joe": {"ticket": "x", "role": "trusted"}});
    let trusted = json!({"ticket": {"type": "static", "principals": principals}});
    let dynamic = |uri: &str| json!({"scram": {"type": "dynamic", "authenticator": uri}});
    check_faults(&[
        (with_transport("serializers", json!([])), &at("serializers"), "no valid WAMP serializers"),
        (with_transport("serializers", json!(["xml"])), &at("serializers[0]"), "expected one of \"json\""),
        (with_transport("url", json!("http://a")), &at("url"), "expected a WebSocket URL"),
        (options("auto_ping_size"), &at("options.auto_ping_size"), "12..125"),
        (options("auto_ping_timeout"), &at("options.auto_ping_timeout"), "in milliseconds; 5 is too small"),
        (nesting(4), &at("options.max_nesting_depth"), "expected integer 5..128"),
        (nesting(129), &at("options.max_nesting_depth"), "expected integer 5..128"),
        (with_transport("auth", json!({"tickets": {}})), &at("auth.tickets"), "did you mean 'ticket'?"),
        (
            with_transport("auth", ticket),
            &at("auth.ticket.principals.joe.ticket"),
            "a number: write it in quotes",
        ),
        (with_transport("auth", trusted), &at("auth.ticket.principals.joe.role"), "'trusted' is reserved"),
        (with_transport("auth", dynamic("com.Auth")), &at("auth.scram.authenticator"), "components of a-z"),
        (
            with_transport("auth", json!({"anonymous": {"type": "dynamic"}})),
            &at("auth.anonymous"),
            "missing mandatory key 'authenticator'",
        ),
        (
            with_transport("auth", json!({"anonymous-proxy": {"type": "static"}})),
            &at("auth"),
            "of type \"unix\"",
        ),
        (web, "workers[0].transports[0]", "'cryptosign-proxy' believes whatever it is told"),
        (with_transport("auth", certificate), &at("auth.tls.principals.joe"), "'certificate-sha1'"),
        (with_transport("cookie", json!({"length": 5})), &at("cookie.length"), "6..64"),
    ]);
}

#[test]
fn faults_of_trustroots_are_named_at_their_place() {
    let at = |key: &str| format!("workers[0].transports[0].auth.cryptosign.trustroots.realm1{key}");
    let chains = |trustroot: Value| {
        let method = json!({"type": "static", "trustroots": {"realm1": trustroot}});
        with_transport("auth", json!({"cryptosign": method}))
    };
    let delegate = "0xf5173a6111b2a6b3c20fced53b2a8405ec142bf6";
    check_faults(&[
        (chains(json!({"role": "r"})), &at(""), "one of 'certificate', 'trustroot'"),
        (
            chains(json!({"trustroot": "wamp-proto.eth"})),
            &at(".trustroot"),
            "ENS names takes an Ethereum node",
        ),
        (
            chains(json!({"certificate": "missing.cbor"})),
            &at(".certificate"),
            "cannot read root certificate \"missing.cbor\": No such file",
        ),
        (
            chains(json!({"certificate": "chains.json"})),
            &at(".certificate"),
            "no root certificate, \"chains.json\": invalid file",
        ),
        (
            chains(json!({"certificate": "root.cbor", "trustroot": delegate})),
            &at(".trustroot"),
            "that of 0xf766Dc789CF04CD18aE75af2c5fAf2DA6650Ff57",
        ),
    ]);
}

#[test]
fn faults_of_endpoints_are_named_at_their_place() {
    let at = "workers[0].transports[0].endpoint";
    let port = |port: &str| with_transport("endpoint", json!({"type": "tcp", "port": port}));
    let wrong_version = json!({"type": "tcp", "port": 1, "interface": "::1", "version": 4});
    check_faults(&[
        (port("$UNSET"), &format!("{at}.port"), "environment variable '$UNSET' not set"),
        (port("$SOCKETS"), &format!("{at}.port"), "expected integer 1..65535 in environment variable"),
        (
            with_transport("endpoint", wrong_version),
            &format!("{at}.interface"),
            "no address of the IP version",
        ),
        (with_transport("endpoint", json!({"type": "tcp"})), at, "one of 'port', 'portrange'"),
    ]);
}

#[test]
fn common_slips_are_named_with_what_to_write_instead() {
    let at = "workers[0].transports[0].endpoint";
    let endpoint = |key: &str, value: Value| {
        let mut endpoint = json!({"type": "tcp", "port": 8080});
        endpoint[key] = value;
        with_transport("endpoint", endpoint)
    };
    let service = json!({"type": "nodeinfo"});
    let web = json!({"type": "web", "endpoint": {"type": "tcp", "port": 1}, "paths": {"/": service, "/ws": service}});
    check_faults(&[
        (
            endpoint("port", json!("18080")),
            &format!("{at}.port"),
            "got string \"18080\": write 18080 without quotes",
        ),
        (endpoint("interface", json!(1)), &format!("{at}.interface"), "got integer 1"),
        (endpoint("prot", json!(1)), &format!("{at}.prot"), "unknown key 'prot' (did you mean 'port'?)"),
        (
            endpoint("tls", json!(true)),
            &format!("{at}.tls"),
            "expected object with 'key', 'certificate', got a boolean",
        ),
        (
            router(json!([]), json!([web])),
            "workers[0].transports[0].paths[\"/ws\"]",
            "letters, digits, _ and -, or / alone): write \"ws\", without the slash",
        ),
    ]);
}

#[test]
fn values_that_switch_a_missing_feature_off_are_not_refused() {
    let mut document = router(json!([]), json!([]));
    document["workers"][0]["components"] = json!([]);
    assert!(load_json(&document).expect("valid").support.refused.is_empty());
    document["workers"][0]["components"] =
        json!([{"type": "class", "classname": "a.B", "realm": "realm1", "role": "r"}]);
    let refused = load_json(&document).expect("valid").support.refused;
    let names: Vec<_> = refused.iter().filter_map(|refusal| refusal.place.rsplit('.').next()).collect();
    assert_eq!(names, ["components"]);
}

#[test]
fn secrets_are_not_shown() {
    let text = format!("{:?}", sample("router.json"));
    assert!(!text.contains("s3cret") && !text.contains("joes-t1cket"), "{text}");
}

#[test]
fn faults_do_not_show_secrets_in_the_wrong_place() {
    let principals = [json!({"joe": "s3cret"}), json!({"joe": {"ticket": ["s3cret"]}}), json!("s3cret")];
    for principals in principals {
        let auth = json!({"ticket": {"type": "static", "principals": principals}});
        let faults = load_json(&with_transport("auth", auth)).expect_err("a fault");
        assert!(faults.iter().all(|fault| !fault.to_string().contains("s3cret")), "{faults:?}");
    }
}

#[test]
fn unreadable_files_do_not_show_their_secrets() {
    for (text, format) in
        [("ticket: s3cret\n  x: [\n", Format::Yaml), ("{\"ticket\": \"s3cret\",,}", Format::Json)]
    {
        let error = load_text(text, format, ENVIRONMENT).expect_err("no document");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn the_default_node_listens_on_loopback_only() {
    let text = format!("{:?}", NodeConfig::default_node());
    assert!(text.contains("127.0.0.1") && !text.contains("0.0.0.0"), "{text}");
}

#[test]
fn unfit_files_are_told_from_faults() {
    let cases = [
        ("{", Format::Json, "does not seem to be proper JSON"),
        ("a: [", Format::Yaml, "does not seem to be proper YAML"),
        (&"[".repeat(100_000), Format::Json, "does not seem to be proper JSON"),
        (&"[".repeat(100_000), Format::Yaml, "does not seem to be proper YAML"),
    ];
    for (text, format, message) in cases {
        let error = load_text(text, format, ENVIRONMENT).expect_err("no document");
        assert!(matches!(error, ConfigError::Source(_)), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    assert!(format_of("config.toml".as_ref()).is_err());
}

#[test]
fn the_example_of_the_guide_works() {
    let guide = include_str!("../../docs/guide/configuration.md");
    let example =
        guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let variable = |name: &str| Some(if name == "PORT" { "8080" } else { "t1cket" }.to_string());
    let environment = Environment { variable: &variable, ..ENVIRONMENT };
    let checked = load_text(example, Format::Yaml, environment).expect("a valid example");
    assert!(checked.support.refused.is_empty() && checked.support.without_effect.is_empty());
    assert_eq!((checked.node.realms.len(), checked.node.transports.len()), (1, 2));
}

#[test]
fn equal_keys_count_once_in_json_and_never_in_yaml() {
    let json = "{\"version\": 1, \"version\": 2}";
    assert!(load_text(json, Format::Json, ENVIRONMENT).is_ok());
    let error = load_text("version: 1\nversion: 2\n", Format::Yaml, ENVIRONMENT).expect_err("no document");
    assert!(error.to_string().contains("proper YAML"), "{error}");
}

/// Run with `UPDATE_DOCS=1` after changing a table.
#[test]
fn the_guide_holds_the_reference_of_all_keys() {
    const BEGIN: &str = "<!-- reference: written from the tables in src/config/tables -->\n\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/configuration.md");
    let guide = std::fs::read_to_string(path).expect("the guide is readable");
    let (prose, written) = guide.split_once(BEGIN).expect("the guide has a reference");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{prose}{BEGIN}{}", reference_markdown()))
            .expect("the guide is writable");
    } else {
        assert!(
            written == reference_markdown(),
            "the reference is out of date: run this test with UPDATE_DOCS=1"
        );
    }
    for key in all_config_keys() {
        assert!(reference_markdown().contains(&format!("`{key}`")), "{key}");
    }
}

/// Any JSON value, made mostly of words of the schema, so that deep places are reached.
fn documents() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(
        [all_config_keys(), vec!["$A".into(), "${A}".into(), "*".into(), "".into()]].concat(),
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..5i64).prop_map(Value::from),
        words.clone().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A valid sample with one place replaced by something else.
fn mutated_samples() -> impl Strategy<Value = Value> {
    let names =
        ["router.json", "web.json", "universal.json", "processes.json", "auth.json", "five_faults.json"];
    (prop::sample::select(names.to_vec()), any::<prop::sample::Index>(), documents()).prop_map(
        |(name, place, value)| {
            let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/configs")).join(name);
            let text = std::fs::read_to_string(path).expect("the sample is readable");
            let mut document: Value = serde_json::from_str(&text).expect("the sample is JSON");
            let pointers = pointers(&document);
            if let Some(target) = document.pointer_mut(place.get::<String>(&pointers)) {
                *target = value;
            }
            document
        },
    )
}

/// All places of a document as JSON pointers.
fn pointers(document: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let members: Vec<(String, &Value)> = match document {
        Value::Object(map) => map.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in members {
        found.extend(pointers(value).into_iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_is_judged(document in documents()) {
        fuzz(&document.to_string(), Format::Json);
    }

    #[test]
    fn any_change_of_a_sample_is_judged(document in mutated_samples()) {
        fuzz(&document.to_string(), Format::Json);
        fuzz(&document.to_string(), Format::Yaml);
    }

    #[test]
    fn any_text_is_judged(text in ".*") {
        fuzz(&text, Format::Json);
        fuzz(&text, Format::Yaml);
    }

    #[test]
    fn faults_of_json_are_located(document in mutated_samples()) {
        let text = serde_json::to_string_pretty(&document).expect("JSON");
        if let Err(ConfigError::Faults(faults)) = load_text(&text, Format::Json, ENVIRONMENT) {
            // Only a key that is required but absent at the top level has no place in the text.
            let lost = faults.iter().find(|fault| fault.position.is_none() && fault.path != "version");
            prop_assert!(lost.is_none(), "{lost:?}");
        }
    }
}
