//! Worker type `router`: realms, roles, permissions, stores, links, components.

use serde_json::{Map, Value};

use super::super::schema::{Choice, Key, Kind, Off, Rule, Table, Union, choice, key, later_variant, variant};
use super::super::syntax::{COUNT, PERMISSION_URI, REALM, ROLE, STRICT_URI};
use super::{TEXTS, container, transport, worker};

pub(super) static ROUTER: Table = Table {
    name: "workers[], type router",
    keys: &[
        worker::WORKER_ID_KEY,
        key("options", &worker::OPTIONS, "As for every worker.").default("{}"),
        worker::MANHOLE_KEY,
        key(
            "realms",
            &Kind::List(&REALM_KIND),
            "Realms. All router workers form one router: a realm name may occur once.",
        )
        .default("[]"),
        key("transports", &Kind::List(&transport::LISTENING), "Where clients connect.").default("[]"),
        key("components", &Kind::List(&container::ROUTER_COMPONENT), "Python components inside the router.")
            .default("[]")
            .refused_unless(
                Off::Empty,
                "there is no Python in this router: run the components as ordinary clients",
            ),
        CONNECTIONS,
    ],
    rules: &[],
};

pub(super) static CONNECTIONS: Key = key("connections", &Kind::Any, "Database connections for components.")
    .no_effect("no component uses them");

static REALM_KIND: Kind = Kind::Object(&REALM_TABLE);

static REALM_TABLE: Table = Table {
    name: "realms[]",
    keys: &[
        key("name", &Kind::Word(&REALM), "URI of the realm.").required(),
        key("id", &Kind::Text, "Name in the management API.").default("realm001, realm002, ..."),
        key("options", &Kind::Object(&OPTIONS), "Settings of the realm.").default("{}"),
        key("roles", &Kind::List(&Kind::Object(&ROLE_TABLE)), "What each role may do.").default("[]"),
        key("store", &Kind::Tagged(&STORE), "Event history, retained events and call queues.")
            .default("no history, no queues; retained events as in a memory store"),
        key("inventory", &Kind::Tagged(&INVENTORY), "Type catalogs for payload validation.").later(),
        key("stats", &Kind::Object(&STATS), "Traffic of sessions as events `wamp.session.on_stats`.")
            .default("not counted"),
        key("rlinks", &Kind::List(&Kind::Object(&RLINK)), "Links to realms of other routers.")
            .default("[]")
            .later_unless(Off::Empty),
    ],
    rules: &[],
};

static OPTIONS: Table = Table {
    name: "realms[].options",
    keys: &[
        key(
            "uri_check",
            &Kind::Choice(URI_CHECK),
            "Which URIs clients may use: `strict` allows a-z, 0-9 and _ only.",
        )
        .default("loose"),
        key("enable_meta_api", &Kind::Flag, "Procedures and events below `wamp.` that describe the realm.")
            .default("true"),
        key(
            "bridge_meta_api",
            &Kind::Flag,
            "The same on the realm `crossbar`, if that is configured, below `crossbar.worker.<worker>.realm.<realm>.root.`.",
        )
        .default("false"),
        key(
            "event_dispatching_chunk_size",
            &Kind::Either(&[&Kind::Integer(1, i64::MAX), &Kind::Word(&COUNT)]),
            "Receivers served before other work gets a turn.",
        )
        .default("100")
        .no_effect("an event is encoded once for all receivers and costs each a few nanoseconds, so nothing is gained by interrupting it"),
        key(
            "resumption",
            &Kind::Object(&RESUMPTION),
            "Sessions may survive the loss of their transport. Extension of crossring.",
        )
        .default("they end with it"),
        key(
            "sharding",
            &Kind::Flag,
            "Sharded registrations and subscriptions (`rkey`, `nkey`, `runmode`) are announced and obeyed. Extension of crossring.",
        )
        .default("false"),
    ],
    rules: &[],
};

static RESUMPTION: Table = Table {
    name: "realms[].options.resumption",
    keys: &[
        key(
            "timeout",
            &Kind::Integer(1, u32::MAX as i64),
            "Time from the loss of the transport to the end of the session, in milliseconds.",
        )
        .default("60000"),
        key(
            "max_events",
            &Kind::Integer(0, u32::MAX as i64),
            "Events kept for a session meanwhile; older ones give way and are counted.",
        )
        .default("1000"),
        key("max_bytes", &Kind::Integer(0, u32::MAX as i64), "Bytes of payload of those events.")
            .default("1048576"),
        key(
            "max_sessions",
            &Kind::Integer(0, u32::MAX as i64),
            "Sessions without transport at a time; further ones end when they lose theirs.",
        )
        .default("1000"),
    ],
    rules: &[],
};

const URI_CHECK: &[Choice] = &[choice("loose"), choice("strict")];

static ROLE_TABLE: Table = Table {
    name: "roles[]",
    keys: &[
        key("name", &Kind::Word(&ROLE), "The authrole. `trusted` is reserved.").required(),
        key("id", &Kind::Text, "Name in the management API.").default("role001, role002, ..."),
        key(
            "permissions",
            &Kind::List(&Kind::Object(&PERMISSION)),
            "Rules, see *Permissions*. An empty list denies everything.",
        ),
        key("authorizer", &Kind::Word(&STRICT_URI), "Procedure that decides instead of rules, see the guide to authorization."),
        key("allow-by-default", &Kind::Flag, "Without rules and without authorizer: allow everything.").default("false"),
        key(
            "trustlevel",
            &Kind::Integer(0, TRUSTLEVEL_MAX),
            "Trust level of the role's publications and calls, told to subscribers and callees. Extension of crossring.",
        )
        .default("none is told"),
    ],
    rules: &[Rule::NotBoth("authorizer", "permissions")],
};

/// The largest integer that every serializer carries exactly.
const TRUSTLEVEL_MAX: i64 = 1 << 53;

static PERMISSION: Table = Table {
    name: "permissions[]",
    keys: &[
        key(
            "uri",
            &Kind::Word(&PERMISSION_URI),
            "URI or pattern. Without `match`, a star at the end means prefix, stars elsewhere mean wildcard.",
        )
        .required(),
        key("match", &MATCH, "How `uri` is matched.").default("derived from stars"),
        key("allow", &Kind::Object(&ALLOW), "Permitted actions.").default("none"),
        key("disclose", &Kind::Object(&DISCLOSE), "Whose identity is shown to the other side.")
            .default("nobody's"),
        key("cache", &Kind::Flag, "Whether a decision may be remembered. Decisions of rules never change, so both values do the same.").default("false"),
        key("validate", &Kind::Object(&VALIDATE), "Payload types from the inventory.")
            .no_effect("without an inventory there are no types"),
    ],
    rules: &[],
};

static MATCH: Kind = Kind::Choice(&[choice("exact"), choice("prefix"), choice("wildcard")]);

static ALLOW: Table = Table {
    name: "permissions[].allow",
    keys: &[
        key("call", &Kind::Flag, "Call procedures.").default("false"),
        key("register", &Kind::Flag, "Register procedures.").default("false"),
        key("publish", &Kind::Flag, "Publish to topics.").default("false"),
        key("subscribe", &Kind::Flag, "Subscribe to topics.").default("false"),
    ],
    rules: &[],
};

static DISCLOSE: Table = Table {
    name: "permissions[].disclose",
    keys: &[
        key("caller", &Kind::Flag, "Callees see who calls.").default("false"),
        key("publisher", &Kind::Flag, "Subscribers see who publishes.").default("false"),
        key(
            "refuse",
            &Kind::Flag,
            "Calls and publications that ask for disclosure (`disclose_me`) are refused. Extension of crossring.",
        )
        .default("false"),
    ],
    rules: &[],
};

static VALIDATE: Table = Table {
    name: "permissions[].validate",
    keys: &[
        key("call", &Kind::Text, "Type of call arguments."),
        key("call_progress", &Kind::Text, "Type of progressive call arguments."),
        key("call_result", &Kind::Text, "Type of results."),
        key("call_result_progress", &Kind::Text, "Type of progressive results."),
        key("call_error", &Kind::Text, "Type of errors."),
        key("event", &Kind::Text, "Type of events."),
        key("event_result", &Kind::Text, "Type of event confirmations."),
        key("event_confirmation", &Kind::Text, "The same as `event_result`."),
        key("extra", &Kind::Map(&super::super::syntax::ANY_NAME, &Kind::Any), "Data for the validator."),
    ],
    rules: &[],
};

static STORE: Union = Union {
    what: "a realm store",
    tag: "type",
    default: None,
    variants: &[variant("memory", &MEMORY_STORE), later_variant("cfxdb", &CFXDB_STORE)],
};

static HISTORY: Key =
    key("event-history", &Kind::List(&Kind::Object(&STORE_ENTRY)), "Topics whose events are kept.");
static CALL_QUEUE: Key = key(
    "call-queue",
    &Kind::List(&Kind::Object(&STORE_ENTRY)),
    "Procedures whose calls wait for a free callee.",
);

static MEMORY_STORE: Table = Table {
    name: "realms[].store, type memory",
    keys: &[
        key("limit", &ENTRIES, "Entries kept where a rule has no limit of its own.").default("100"),
        HISTORY,
        CALL_QUEUE,
        key(
            "event-history-max-bytes",
            &Kind::Integer(1, i64::MAX),
            "Bytes of payload of all events kept for history; the oldest give way. Extension of crossring.",
        )
        .default("268435456"),
        key(
            "max-sessions",
            &Kind::Integer(0, u32::MAX as i64),
            "Sessions remembered, joined or left, with their details; the one that joined first gives way. Extension of \
             crossring.",
        )
        .default("0"),
        key("retained", &Kind::Object(&RETAINED), "Bounds of retained events. Extension of crossring.")
            .default("{}"),
    ],
    rules: &[],
};

static ENTRIES: Kind = Kind::Integer(1, u32::MAX as i64);

static RETAINED: Table = Table {
    name: "realms[].store.retained",
    keys: &[
        key("max-topics", &Kind::Integer(0, u32::MAX as i64), "Topics that may have a retained event.")
            .default("100000"),
        key("max-bytes", &Kind::Integer(0, u32::MAX as i64), "Bytes of payload of all retained events.")
            .default("268435456"),
        key(
            "lifetime",
            &Kind::Milliseconds,
            "Time that an event is retained, in milliseconds; 0 = for ever.",
        )
        .default("0"),
    ],
    rules: &[],
};

static CFXDB_STORE: Table = Table {
    name: "realms[].store, type cfxdb",
    keys: &[
        key("path", &Kind::Text, "Directory of the database.").required(),
        key("maxsize", &Kind::Integer(131_072, 137_438_953_472), "Size limit in bytes.").default("134217728"),
        key("readonly", &Kind::Flag, "Never write.").default("false"),
        key("sync", &Kind::Flag, "Flush to disk after each transaction.").default("true"),
        key("max-buffer", &Kind::Integer(1, i64::MAX), "Records buffered before a write.").default("10000"),
        key("buffer-flush", &Kind::Integer(1, i64::MAX), "Time between writes, in milliseconds.")
            .default("200"),
        key("limit", &Kind::Integer(1, i64::MAX), "Events kept per topic.").default("100"),
        HISTORY,
        CALL_QUEUE,
    ],
    rules: &[],
};

static STORE_ENTRY: Table = Table {
    name: "realms[].store.event-history[] and call-queue[]",
    keys: &[
        key("uri", &Kind::Word(&PERMISSION_URI), "Topic or procedure.").required(),
        key("match", &MATCH, "How `uri` is matched.").default("exact"),
        key("limit", &ENTRIES, "Entries kept: events, or calls waiting for one registration.")
            .default("the limit of the store"),
    ],
    rules: &[],
};

static INVENTORY: Union = Union {
    what: "an inventory",
    tag: "type",
    default: None,
    variants: &[variant("wamp.eth", &INVENTORY_TABLE)],
};

static INVENTORY_TABLE: Table = Table {
    name: "realms[].inventory, type wamp.eth",
    keys: &[key("catalogs", &Kind::List(&Kind::Object(&CATALOG)), "Catalogs of types.").required()],
    rules: &[],
};

static CATALOG: Table = Table {
    name: "realms[].inventory.catalogs[]",
    keys: &[
        key("name", &Kind::Text, "Name of the catalog."),
        key("bfbs", &Kind::Text, "File of a FlatBuffers schema in binary form."),
        key("archive", &Kind::Text, "ZIP file of schemas."),
        key("address", &Kind::Text, "Ethereum address of a catalog."),
    ],
    rules: &[Rule::OneOf(&["bfbs", "archive", "address"]), Rule::NotBoth("bfbs", "archive")],
};

static STATS: Table = Table {
    name: "realms[].stats",
    keys: &[
        key(
            "rated_message_size",
            &Kind::Integer(2, 1 << 30),
            "Bytes that count as one rated message; even.",
        )
        .default("512"),
        key(
            "trigger_after_rated_messages",
            &Kind::Integer(0, i64::MAX),
            "Rated messages, sent and received, after which to report; 0 = never. At most one report a second.",
        )
        .default("0"),
        key(
            "trigger_after_duration",
            &Kind::Integer(0, 31_536_000),
            "Seconds after which to report, with the next message; 0 = never.",
        )
        .default("0"),
        key("trigger_on_join", &Kind::Flag, "Report when the session joins.").default("false"),
        key("trigger_on_leave", &Kind::Flag, "Report when the session leaves.").default("true"),
    ],
    rules: &[
        Rule::Check("rated_message_size", rated_message_size),
        Rule::Check("", some_trigger),
    ],
};

fn some_trigger(stats: &Map<String, Value>) -> Option<String> {
    let counts = |name: &str| stats.get(name).is_some_and(|count| count.as_i64() != Some(0));
    let flag = |name: &str, default| stats.get(name).map_or(default, |flag| flag != &Value::Bool(false));
    let triggers = counts("trigger_after_rated_messages")
        || counts("trigger_after_duration")
        || flag("trigger_on_join", false)
        || flag("trigger_on_leave", true);
    (!triggers).then(|| "every trigger is off: no statistics would ever be told".into())
}

fn rated_message_size(stats: &Map<String, Value>) -> Option<String> {
    let size = stats.get("rated_message_size")?.as_i64()?;
    (size % 2 != 0).then(|| format!("expected an even number, got {size}"))
}

static RLINK: Table = Table {
    name: "realms[].rlinks[]",
    keys: &[
        key("id", &Kind::Text, "Name of the link.").default("rlink000, rlink001, ..."),
        key("realm", &Kind::Word(&REALM), "Realm on the other router.").required(),
        key("transport", &transport::CONNECTING, "How to reach the other router.").required(),
        key("authid", &Kind::Text, "authid of the local leg.").default("random"),
        key("exclude_authid", &TEXTS, "Sessions whose events are not forwarded.").default("[]"),
        key("forward_local_events", &Kind::Flag, "Forward events asked for here.").default("true"),
        key("forward_remote_events", &Kind::Flag, "Forward events asked for there.").default("true"),
        key("forward_local_invocations", &Kind::Flag, "Forward calls to procedures here.").default("true"),
        key("forward_remote_invocations", &Kind::Flag, "Forward calls to procedures there.").default("true"),
    ],
    rules: &[],
};
