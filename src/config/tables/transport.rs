//! Transports: listening (of routers and proxies) and connecting (of links, components and proxies).

use serde_json::Value;

use super::super::schema::{
    Choice, Key, Kind, Rule, Table, Union, choice, key, later_variant, refused_variant, variant,
};
use super::super::syntax::{ANY_NAME, NETWORK, RAWSOCKET_URL, REALM, WEBSOCKET_URL};
use super::{DEBUG_KEY, ID_KEY, auth, endpoint, web, websocket, worker};

pub(super) static LISTENING_ENDPOINT: Kind = Kind::Tagged(&endpoint::LISTENING);

pub(super) static LISTENING: Kind = Kind::Tagged(&Union {
    what: "a listening transport",
    tag: "type",
    default: None,
    variants: &[
        variant("websocket", &WEBSOCKET),
        variant("rawsocket", &RAWSOCKET),
        variant("web", &WEB),
        variant("universal", &UNIVERSAL),
        later_variant("mqtt", &MQTT),
        variant("websocket.testee", &WEBSOCKET_TESTEE),
        variant("stream.testee", &STREAM_TESTEE),
        refused_variant("flashpolicy", &FLASH_POLICY, "leave it out: Flash is gone from all browsers"),
    ],
});

/// The transport of a `websocket-testee` worker.
pub(super) static TESTEE_TRANSPORT: Kind = Kind::Tagged(&Union {
    what: "a testee transport",
    tag: "type",
    default: None,
    variants: &[variant("websocket", &WEBSOCKET), variant("websocket.testee", &WEBSOCKET_TESTEE)],
});

static ENDPOINT: Key = key("endpoint", &LISTENING_ENDPOINT, "Where to listen.").required();
static MAX_CONNECTIONS: Key = key(
    "max_connections",
    &Kind::Integer(1, i64::MAX),
    "Connections held at once; more are aborted at accept.",
)
.default("50000");
static LIMITS: Key = key(
    "limits",
    &Kind::Object(&CONNECTION_LIMITS),
    "How many connections one address may have, and how fast new ones may come. Extension of crossring.",
)
.default("{}");
static WEBSOCKET_LIMITS: Key = key(
    "limits",
    &Kind::Object(&WEBSOCKET_CONNECTION_LIMITS),
    "How many connections one address may have, and how fast new ones may come. Extension of crossring.",
)
.default("{}");
const MAX_PER_ADDRESS: Key = key(
    "max_per_address",
    &COUNT_OR_NONE,
    "Connections of one address at once; more are closed at accept. 0 = no limit. IPv6 addresses count by their first 64 bits.",
)
.default("10000");
const MAX_RATE: Key = key(
    "max_rate",
    &COUNT_OR_NONE,
    "New connections in a second, and after a pause five times as many at once; more are closed at accept. 0 = no limit.",
)
.default("10000");
const MAX_RATE_PER_ADDRESS: Key =
    key("max_rate_per_address", &COUNT_OR_NONE, "The same for one address.").default("1000");
const EXEMPT: Key = key(
    "exempt",
    &NETWORKS,
    "Addresses without limits of their own, such as those of proxies. Connections over Unix sockets have none either.",
)
.default("[\"127.0.0.0/8\", \"::1\"]");
const HANDSHAKE_TIMEOUT: Key = key(
    "handshake_timeout",
    &Kind::Milliseconds,
    "Time for the opening handshakes of TLS and RawSocket, or until the first line of HTTP, in milliseconds; 0 = off.",
)
.default("5000");
static NETWORKS: Kind = Kind::List(&Kind::Word(&NETWORK));
static COUNT_OR_NONE: Kind = Kind::Integer(0, 16_777_216);

static CONNECTION_LIMITS: Table = Table {
    name: "limits of a listening transport",
    keys: &[MAX_PER_ADDRESS, MAX_RATE, MAX_RATE_PER_ADDRESS, EXEMPT, HANDSHAKE_TIMEOUT],
    rules: &[],
};

/// `open_handshake_timeout` is among its options.
static WEBSOCKET_CONNECTION_LIMITS: Table = Table {
    name: "limits of a listening websocket transport",
    keys: &[MAX_PER_ADDRESS, MAX_RATE, MAX_RATE_PER_ADDRESS, EXEMPT],
    rules: &[],
};
pub(super) static URL: Key =
    key("url", &Kind::Word(&WEBSOCKET_URL), "URL clients use; for messages, any request path is accepted.");
pub(super) static SERIALIZERS: Key = key(
    "serializers",
    &Kind::List(&Kind::Choice(worker::SERIALIZERS)),
    "Serializers offered; each also in its batched form over WebSocket.",
)
.default("all");
const NO_SERIALIZER: Rule = Rule::Check("serializers", |transport| {
    let is_empty = transport.get("serializers")?.as_array()?.is_empty();
    is_empty.then(|| "no valid WAMP serializers specified: the list is empty".into())
});
pub(super) static WEBSOCKET_OPTIONS: Key =
    key("options", &websocket::OPTIONS, "Protocol settings.").default("{}");
pub(super) static AUTH: Key =
    key("auth", &auth::AUTH, "How clients prove who they are.").default("anyone joins with role `anonymous`");
pub(super) static COOKIE: Key =
    key("cookie", &websocket::COOKIE, "Recognise browsers by a cookie.").default("none is set");

/// Methods that believe what a proxy says: only over sockets that none but a file's owner can reach.
const PROXY_METHODS: [&str; 2] = ["anonymous-proxy", "cryptosign-proxy"];

const PROXIES_ON_UNIX: Rule = Rule::Check("auth", |transport| {
    let endpoint = transport.get("endpoint")?.get("type")?;
    let auth = transport.get("auth")?.as_object()?;
    let method = PROXY_METHODS.into_iter().find(|method| auth.contains_key(*method))?;
    (endpoint != "unix").then(|| {
        format!(
            "'{method}' believes whatever it is told: only on an endpoint of type \"unix\", not {endpoint}"
        )
    })
});

/// The same for the services of a web server, wherever they are in it.
const SERVICES_OF_PROXIES_ON_UNIX: Rule = Rule::Check("", |transport| {
    let endpoint = transport.get("endpoint")?.get("type")?;
    let method = transport.values().find_map(proxy_method).filter(|_| endpoint != "unix")?;
    Some(format!(
        "'{method}' believes whatever it is told: only on an endpoint of type \"unix\", not {endpoint}"
    ))
});

/// A method for proxies in any `auth` object of the value. Nesting is limited by the reader of the document.
fn proxy_method(value: &Value) -> Option<&'static str> {
    let members = value.as_object()?;
    let auth = members.get("auth").and_then(Value::as_object);
    let own = auth.and_then(|auth| PROXY_METHODS.into_iter().find(|method| auth.contains_key(*method)));
    own.or_else(|| members.values().find_map(proxy_method))
}

static WEBSOCKET: Table = Table {
    name: "transports[], type websocket",
    keys: &[
        ID_KEY,
        ENDPOINT,
        URL,
        SERIALIZERS,
        WEBSOCKET_OPTIONS,
        AUTH,
        COOKIE,
        DEBUG_KEY,
        MAX_CONNECTIONS,
        WEBSOCKET_LIMITS,
    ],
    rules: &[NO_SERIALIZER, PROXIES_ON_UNIX],
};

const RAWSOCKET_SERIALIZERS: &[Choice] = &[
    choice("json"),
    choice("msgpack"),
    choice("cbor"),
    choice("ubjson"),
    choice("ubjson-draft12"),
    choice("flatbuffers"),
];
static RAWSOCKET_SERIALIZERS_KEY: Key =
    key("serializers", &Kind::List(&Kind::Choice(RAWSOCKET_SERIALIZERS)), "Serializers taken.")
        .default("all");
static RAWSOCKET_OPTIONS_KEY: Key =
    key("options", &Kind::Object(&RAWSOCKET_OPTIONS), "Protocol settings.").default("{}");

static RAWSOCKET: Table = Table {
    name: "transports[], type rawsocket",
    keys: &[
        ID_KEY,
        ENDPOINT,
        RAWSOCKET_SERIALIZERS_KEY,
        RAWSOCKET_OPTIONS_KEY,
        AUTH,
        DEBUG_KEY,
        MAX_CONNECTIONS,
        LIMITS,
    ],
    rules: &[NO_SERIALIZER, PROXIES_ON_UNIX],
};

static RAWSOCKET_OPTIONS: Table = Table {
    name: "options of a rawsocket transport",
    keys: &[
        key(
            "max_message_size",
            &Kind::Integer(512, 16_777_216),
            "Largest message taken, in bytes; announced as the next power of two.",
        )
        .default("16777216"),
        MAX_NESTING_DEPTH,
    ],
    rules: &[],
};

/// Beside the greatest length of a message. Below the least, no client could join: its HELLO with roles and features is that deep.
pub(super) const MAX_NESTING_DEPTH: Key = key(
    "max_nesting_depth",
    &Kind::Integer(5, 128),
    "Deepest nesting of lists and dicts in a message, which itself is one level; in CBOR each tag is one too. Extension of crossring.",
)
.default("128");

static WEB: Table = Table {
    name: "transports[], type web",
    keys: &[ID_KEY, ENDPOINT, WEB_PATHS, WEB_OPTIONS_KEY, MAX_CONNECTIONS, LIMITS],
    rules: &[SERVICES_OF_PROXIES_ON_UNIX],
};

static WEB_PATHS: Key = key("paths", &web::PATHS, "Service per path component.").required();
static WEB_OPTIONS_KEY: Key =
    key("options", &Kind::Object(&WEB_OPTIONS), "Settings of the web server.").default("{}");

static WEB_OPTIONS: Table = Table {
    name: "options of a web transport",
    keys: &[
        key("access_log", &Kind::Flag, "Log each request.").default("false"),
        key("display_tracebacks", &Kind::Flag, "Show errors of services in detail.")
            .default("false")
            .no_effect("errors of services are logged, never shown"),
        key("hsts", &Kind::Flag, "Send Strict-Transport-Security.").default("false"),
        key("hsts_max_age", &Kind::Integer(0, i64::MAX), "Its age in seconds.").default("31536000"),
        key(
            "client_timeout",
            &Kind::Either(&[&Kind::Integer(1, 86_400), &Kind::Null]),
            "Idle time of a connection, in seconds.",
        )
        .default("no limit"),
    ],
    rules: &[],
};

static UNIVERSAL: Table = Table {
    name: "transports[], type universal",
    keys: &[
        ID_KEY,
        ENDPOINT,
        key("rawsocket", &Kind::Tagged(&UNIVERSAL_RAWSOCKET), "Clients that begin with the octet 7F."),
        key("websocket", &web::UNIVERSAL_WEBSOCKET, "WebSocket service per first path component."),
        key("mqtt", &Kind::Tagged(&UNIVERSAL_MQTT), "Clients that begin with an MQTT CONNECT.").later(),
        key("web", &Kind::Tagged(&UNIVERSAL_WEB), "All other HTTP requests."),
        MAX_CONNECTIONS,
        LIMITS,
    ],
    rules: &[SERVICES_OF_PROXIES_ON_UNIX],
};

static UNIVERSAL_RAWSOCKET: Union = Union {
    what: "a rawsocket item",
    tag: "type",
    default: Some("rawsocket"),
    variants: &[variant(
        "rawsocket",
        &Table {
            name: "rawsocket of a universal transport",
            keys: &[ID_KEY, RAWSOCKET_SERIALIZERS_KEY, RAWSOCKET_OPTIONS_KEY, AUTH, DEBUG_KEY],
            rules: &[NO_SERIALIZER],
        },
    )],
};

static UNIVERSAL_MQTT: Union = Union {
    what: "an mqtt item",
    tag: "type",
    default: Some("mqtt"),
    variants: &[variant(
        "mqtt",
        &Table { name: "mqtt of a universal transport", keys: &[ID_KEY, MQTT_OPTIONS_KEY], rules: &[] },
    )],
};

static UNIVERSAL_WEB: Union = Union {
    what: "a web item",
    tag: "type",
    default: Some("web"),
    variants: &[variant(
        "web",
        &Table {
            name: "web of a universal transport",
            keys: &[ID_KEY, WEB_PATHS, WEB_OPTIONS_KEY],
            rules: &[],
        },
    )],
};

static MQTT: Table = Table {
    name: "transports[], type mqtt",
    keys: &[ID_KEY, ENDPOINT, MQTT_OPTIONS_KEY, MAX_CONNECTIONS],
    rules: &[],
};

static MQTT_OPTIONS_KEY: Key = key("options", &Kind::Object(&MQTT_OPTIONS), "Settings of the bridge.");

static MQTT_OPTIONS: Table = Table {
    name: "options of an mqtt transport",
    keys: &[
        key("realm", &Kind::Word(&REALM), "Realm that MQTT clients join.").required(),
        key("role", &Kind::Text, "Role of MQTT clients.").no_effect("the role comes from auth"),
        key(
            "payload_mapping",
            &Kind::Map(&ANY_NAME, &Kind::Tagged(&PAYLOAD_MAPPING)),
            "Payload format per WAMP URI prefix.",
        )
        .default("{}"),
        AUTH,
    ],
    rules: &[],
};

static PAYLOAD_MAPPING: Union = Union {
    what: "a payload mapping",
    tag: "type",
    default: None,
    variants: &[
        variant("passthrough", &Table { name: "payload_mapping, type passthrough", keys: &[], rules: &[] }),
        variant(
            "native",
            &Table {
                name: "payload_mapping, type native",
                keys: &[key("serializer", &Kind::Choice(RAWSOCKET_SERIALIZERS), "Serializer of payloads.")
                    .required()],
                rules: &[],
            },
        ),
        variant(
            "dynamic",
            &Table {
                name: "payload_mapping, type dynamic",
                keys: &[
                    key("encoder", &Kind::Text, "Procedure that makes an MQTT payload.").required(),
                    key("decoder", &Kind::Text, "Procedure that reads an MQTT payload.").required(),
                    key("realm", &Kind::Word(&REALM), "Realm of both.").default("options.realm"),
                ],
                rules: &[],
            },
        ),
    ],
};

static WEBSOCKET_TESTEE: Table = Table {
    name: "transports[], type websocket.testee",
    keys: &[ID_KEY, ENDPOINT, URL, DEBUG_KEY, WEBSOCKET_OPTIONS],
    rules: &[],
};

static STREAM_TESTEE: Table =
    Table { name: "transports[], type stream.testee", keys: &[ID_KEY, ENDPOINT, DEBUG_KEY], rules: &[] };

static FLASH_POLICY: Table = Table {
    name: "transports[], type flashpolicy",
    keys: &[
        ID_KEY,
        ENDPOINT,
        key("allowed_domain", &Kind::Text, "Domain in the policy."),
        key("allowed_ports", &Kind::List(&endpoint::PORT), "Ports in the policy."),
        DEBUG_KEY,
    ],
    rules: &[],
};

pub(super) static CONNECTING: Kind = Kind::Tagged(&Union {
    what: "a connecting transport",
    tag: "type",
    default: None,
    variants: &[variant("websocket", &CONNECTING_WEBSOCKET), variant("rawsocket", &CONNECTING_RAWSOCKET)],
});

/// The backend of a `websocket-reverseproxy` service.
pub(super) static PROXIED_WEBSOCKET: Kind = Kind::Tagged(&Union {
    what: "a connecting websocket transport",
    tag: "type",
    default: None,
    variants: &[variant("websocket", &PROXIED_WEBSOCKET_TABLE)],
});

static PROXIED_WEBSOCKET_TABLE: Table = Table {
    name: "backend of a websocket-reverseproxy, type websocket",
    keys: &[
        ID_KEY,
        CONNECTING_ENDPOINT,
        key("url", &Kind::Word(&WEBSOCKET_URL), "What the handshake with the backend asks for.").required(),
        SERIALIZERS.no_effect(websocket::RELAYED),
        WEBSOCKET_OPTIONS.no_effect(websocket::RELAYED),
    ],
    rules: &[NO_SERIALIZER],
};

static CONNECTING_ENDPOINT: Key =
    key("endpoint", &Kind::Tagged(&endpoint::CONNECTING), "What to connect to.").required();

static CONNECTING_WEBSOCKET: Table = Table {
    name: "transport (connecting), type websocket",
    keys: &[
        ID_KEY,
        CONNECTING_ENDPOINT,
        key("url", &Kind::Word(&WEBSOCKET_URL), "URL of the router.").required(),
        SERIALIZERS,
        WEBSOCKET_OPTIONS,
    ],
    rules: &[NO_SERIALIZER],
};

static CONNECTING_RAWSOCKET: Table = Table {
    name: "transport (connecting), type rawsocket",
    keys: &[
        ID_KEY,
        CONNECTING_ENDPOINT,
        key("url", &Kind::Word(&RAWSOCKET_URL), "URL of the router."),
        key("serializer", &Kind::Choice(RAWSOCKET_SERIALIZERS), "Serializer.").required(),
        RAWSOCKET_OPTIONS_KEY,
        DEBUG_KEY,
    ],
    rules: &[],
};
