//! Top level and `controller`.

use serde_json::{Map, Value};

use super::super::schema::{Choice, Key, Kind, Rule, Table, Union, choice, key, variant};
use super::super::syntax::NETWORK;
use super::{ID_KIND, NO_PROCESS, transport, worker};

pub(crate) static NODE: Kind = Kind::Object(&TOP_LEVEL);

pub(crate) static TOP_LEVEL: Table = Table {
    name: "top level",
    keys: &[
        key("$schema", &Kind::Any, "Reference to a schema, for editors.").no_effect("for editors only"),
        key("version", &Kind::Any, "Format of the file: the integer 2. Mandatory."),
        key("controller", &CONTROLLER_KIND, "The node as a whole.").default("{}"),
        key("workers", &WORKERS, "Parts of the node, in start order.").default("[]"),
    ],
    rules: &[Rule::Check("version", version)],
};

fn version(top_level: &Map<String, Value>) -> Option<String> {
    const TOO_OLD: &str = "Configuration too old: version 1, while current is 2";
    let Some(version) = top_level.get("version") else {
        return Some(format!("missing key 'version': write \"version\": 2 ({TOO_OLD})"));
    };
    match version.as_i64() {
        Some(2) => None,
        Some(1) => Some(format!("{TOO_OLD} - write \"version\": 2 and see what has changed")),
        _ => {
            let advice = if version == "2" { "write 2 without quotes" } else { "write 2, for 1 is too old" };
            Some(format!("Invalid configuration version '{version}' - must be 1..2: {advice}"))
        }
    }
}

static WORKERS: Kind = Kind::List(&worker::WORKER);
static CONTROLLER_KIND: Kind = Kind::Object(&CONTROLLER);

static CONTROLLER: Table = Table {
    name: "controller",
    keys: &[
        key("id", &ID_KIND, "Name of the node, told to clients as `x_cb_node`.")
            .default("host name and process id"),
        key("options", &Kind::Object(&OPTIONS), "Settings of the node.").default("{}"),
        worker::MANHOLE_KEY,
        key("connections", &Kind::Any, "Database connections of the controller.")
            .no_effect("unused by routers"),
        key("keyring", &Kind::Tagged(&KEYRING), "Where the node key is kept.")
            .no_effect("the node key is always key.priv in the node directory"),
        EDGE_DOCKER,
        key("fabric", &Kind::Any, "Uplink to a management node.").no_effect(EDGE_ONLY),
        key("blockchain", &Kind::Any, "Ethereum gateway.").no_effect(EDGE_ONLY),
    ],
    rules: &[],
};

const EDGE_ONLY: &str = "belongs to the edge edition of Crossbar.io";
static EDGE_DOCKER: Key =
    key("enable_docker", &Kind::Flag, "Control of Docker containers.").default("false").no_effect(EDGE_ONLY);

static OPTIONS: Table = Table {
    name: "controller.options",
    keys: &[
        key("shards", &Kind::Integer(1, SHARDS_MAX), "Data threads, one per core. Extension of crossring.")
            .default("all cores"),
        key("engine", &Kind::Choice(ENGINES), "Kernel interface for sockets. Extension of crossring.")
            .default("auto: io_uring, else epoll with one warning"),
        key("slow_consumer", &Kind::Choice(SLOW_CONSUMER), "What happens to a session that does not read: events are dropped and counted, or the session is closed. Extension of crossring.")
            .default("drop_events"),
        key("outbound_bytes_max", &Kind::Integer(65_536, 1 << 30), "Bytes that may wait for one session before `slow_consumer` applies. Extension of crossring.")
            .default("16777216"),
        key("auth_timeout", &Kind::Milliseconds, "Time from connect to WELCOME, in milliseconds; 0 = no limit. Extension of crossring.")
            .default("10000"),
        key("max_unauthenticated", &Kind::Integer(1, 16_777_216), "Connections without a session at once; more are closed at accept. Extension of crossring.")
            .default("10000"),
        key("max_unauthenticated_bytes", &Kind::Integer(1_024, 16_777_216), "Bytes that a connection may send before it has a session, handshake included; one that sends more is closed. Extension of crossring.")
            .default("65536"),
        key("session_limits", &Kind::Object(&SESSION_LIMITS), "What one session may hold. Extension of crossring.")
            .default("{}"),
        key("auth_failures", &Kind::Object(&AUTH_FAILURES), "How many logins may fail. Extension of crossring.")
            .default("{}"),
        key("authorizer_timeout", &Kind::Integer(1, u32::MAX as i64), "Time until an authorizer that has not answered has failed, in milliseconds. Extension of crossring.")
            .default("10000"),
        key("shutdown_timeout", &Kind::Milliseconds, "Time that sessions get to leave at shutdown, in milliseconds. Extension of crossring.")
            .default("5000"),
        key("strict_request_ids", &Kind::Flag, "Clients must number their requests 1, 2, 3, ...; otherwise any numbers do, as for Crossbar.io. Extension of crossring.")
            .default("false"),
        key("title", &Kind::Text, "Process title.").no_effect("the process keeps its name"),
        key("shutdown", &Kind::Either(&[&SHUTDOWN, &SHUTDOWN_LIST]), "Which worker exits end the node.")
            .no_effect(NO_PROCESS),
        key("enable_parallel_worker_start", &Kind::Flag, "Start workers at the same time.")
            .default("false")
            .no_effect(NO_PROCESS),
    ],
    rules: &[],
};

static SESSION_LIMITS: Table = Table {
    name: "controller.options.session_limits",
    keys: &[
        key("max_subscriptions", &HOLDING, "Subscriptions; one more is answered with ERROR `crossring.error.limit_exceeded`, as with all of these.")
            .default("65536"),
        key("max_registrations", &HOLDING, "Registrations.").default("65536"),
        key("max_calls", &HOLDING, "Calls it has made that are not answered yet.").default("65536"),
        key("max_invocations", &HOLDING, "Invocations it has not answered yet; calls beyond go to other callees, or wait where there is a queue.")
            .default("65536"),
        key("max_requests", &HOLDING, "SUBSCRIBE and REGISTER requests that are not answered yet.").default("4096"),
        key("max_payload", &Kind::Integer(0, 67_108_864), "Bytes of payload of one message; a longer CALL or PUBLISH is answered with ERROR `wamp.error.payload_size_exceeded`, and so is the caller of a longer YIELD. 0 = what the transport takes.")
            .default("0"),
    ],
    rules: &[],
};

static HOLDING: Kind = Kind::Integer(1, 16_777_216);

static AUTH_FAILURES: Table = Table {
    name: "controller.options.auth_failures",
    keys: &[
        key("max_per_client", &FAILURES, "Failures of one address with one authid before further logins are refused for a while, which doubles with each further failure; 0 = no limit.")
            .default("5"),
        key("max_per_address", &FAILURES, "The same for one address, whatever the authid; authids that have logged in from there are not refused.")
            .default("500"),
        key("max_per_authid", &FAILURES, "The same for one authid, whatever the address; addresses from which it has logged in are not refused.")
            .default("500"),
        key("window", &WINDOW, "Time after which half of the failures are forgiven, in milliseconds.")
            .default("3600000"),
        key("delay", &DELAY, "First refusal, in milliseconds.").default("1000"),
        key("max_delay", &DELAY, "Longest refusal, in milliseconds.").default("300000"),
        key("max_authid_delay", &DELAY, "Longest refusal of an authid whatever the address, in milliseconds: anybody can cause it.")
            .default("10000"),
        key("exempt", &Kind::List(&Kind::Word(&NETWORK)), "Addresses of trusted proxies, which stand for all their clients: only `max_per_authid` holds there. Connections over Unix sockets are always exempt.")
            .default("[\"127.0.0.0/8\", \"::1\"]"),
    ],
    rules: &[],
};

static FAILURES: Kind = Kind::Integer(0, 1_000_000_000);
static WINDOW: Kind = Kind::Integer(1_000, 86_400_000);
static DELAY: Kind = Kind::Integer(1, 86_400_000);

/// Most data threads of one node.
const SHARDS_MAX: i64 = crossring_router::address::SHARDS_MAX as i64;

const ENGINES: &[Choice] = &[choice("auto"), choice("io_uring"), choice("epoll")];
const SLOW_CONSUMER: &[Choice] = &[choice("drop_events"), choice("close_session")];

static SHUTDOWN: Kind = Kind::Choice(&[
    choice("shutdown_on_shutdown_requested"),
    choice("shutdown_on_worker_exit"),
    choice("shutdown_on_worker_exit_with_error"),
    choice("shutdown_on_last_worker_exit"),
]);
static SHUTDOWN_LIST: Kind = Kind::List(&SHUTDOWN);

static KEYRING: Union = Union {
    what: "a keyring",
    tag: "type",
    default: None,
    variants: &[variant("file", &KEYRING_FILE), variant("hsm", &KEYRING_HSM)],
};

static KEYRING_FILE: Table = Table {
    name: "controller.keyring, type file",
    keys: &[key("path", &Kind::Text, "File of the key.")],
    rules: &[],
};

static KEYRING_HSM: Table = Table {
    name: "controller.keyring, type hsm",
    keys: &[
        key("driver", &Kind::Text, "Driver of the security module."),
        key("port", &Kind::Any, "Port of the security module."),
    ],
    rules: &[],
};

pub(super) static MANHOLE: Table = Table {
    name: "manhole",
    keys: &[
        key("endpoint", &transport::LISTENING_ENDPOINT, "Where the console listens.").required(),
        key("users", &Kind::List(&Kind::Object(&MANHOLE_USER)), "Who may log in.").required(),
    ],
    rules: &[],
};

static MANHOLE_USER: Table = Table {
    name: "manhole.users[]",
    keys: &[
        key("user", &Kind::Text, "Name.").required(),
        key("password", &Kind::Secret, "Password.").required(),
    ],
    rules: &[],
};
