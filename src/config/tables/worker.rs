//! `workers[]`: the worker types and what all native workers share.

use super::super::schema::{
    Choice, Key, Kind, Off, Table, Union, Variant, choice, key, later_variant, refused_variant, variant,
};
use super::super::syntax::{ANY_NAME, BRACED_REFERENCE};
use super::{ID_KIND, NO_PROCESS, TEXTS, container, controller, proxy, router, transport};

pub(crate) static WORKER: Kind =
    Kind::Tagged(&Union { what: "a worker", tag: "type", default: None, variants: WORKERS });

const WORKERS: &[Variant] = &[
    variant("router", &router::ROUTER),
    refused_variant(
        "container",
        &container::CONTAINER,
        "there is no Python in this router: run the components as ordinary clients, each by a service manager",
    ),
    later_variant("proxy", &proxy::PROXY),
    refused_variant(
        "guest",
        &container::GUEST,
        "other programs are no business of this router: let a service manager start and watch them",
    ),
    variant("websocket-testee", &TESTEE),
];

pub(super) static WORKER_ID_KEY: Key =
    key("id", &ID_KIND, "Name of the worker in logs and in the management API.")
        .default("worker001, worker002, ...");

pub(super) static MANHOLE_KEY: Key =
    key("manhole", &Kind::Object(&controller::MANHOLE), "SSH console of Crossbar.io.")
        .no_effect("never started: a shell inside the router is a risk");

pub(super) static OPTIONS: Kind = Kind::Object(&OPTIONS_TABLE);

static OPTIONS_TABLE: Table = Table {
    name: "workers[].options",
    keys: &[TITLE, PYTHON, PYTHONPATH, CPU_AFFINITY, ENV, EXTRA, EXPOSE_CONTROLLER, EXPOSE_SHARED, DISABLED],
    rules: &[],
};

pub(super) static TITLE: Key = key("title", &Kind::Text, "Process title.").no_effect(NO_PROCESS);
pub(super) static PYTHON: Key =
    key("python", &Kind::Text, "Python interpreter of the worker.").no_effect(NO_PROCESS);
pub(super) static PYTHONPATH: Key =
    key("pythonpath", &TEXTS, "Python module directories.").default("[]").no_effect(NO_PROCESS);
pub(super) static CPU_AFFINITY: Key =
    key("cpu_affinity", &Kind::List(&Kind::Integer(0, 65_535)), "Cores the worker may use.")
        .later_unless(Off::Empty);
pub(super) static ENV: Key =
    key("env", &Kind::Object(&ENVIRONMENT), "Environment of the worker process.").no_effect(NO_PROCESS);
pub(super) static EXTRA: Key = key("extra", &Kind::Any, "Data for the worker process.").no_effect(NO_PROCESS);
pub(super) static EXPOSE_CONTROLLER: Key =
    key("expose_controller", &Kind::Flag, "Management session for components.")
        .default("false")
        .no_effect("works only in the edge edition of Crossbar.io");
pub(super) static EXPOSE_SHARED: Key = key("expose_shared", &Kind::Flag, "Shared object for components.")
    .default("false")
    .no_effect("works only in the edge edition of Crossbar.io");
pub(super) static DISABLED: Key = key(
    "disabled",
    &Kind::Either(&[&Kind::Flag, &Kind::Word(&BRACED_REFERENCE)]),
    "Leave this worker out. `${NAME}` is true when the environment variable is set and not empty.",
)
.default("false");

pub(super) static ENVIRONMENT: Table = Table {
    name: "workers[].options.env",
    keys: &[
        key("inherit", &Kind::Either(&[&Kind::Flag, &TEXTS]), "Which variables the process inherits.")
            .default("true"),
        key("vars", &Kind::Map(&ANY_NAME, &Kind::Text), "Variables set for the process.").default("{}"),
    ],
    rules: &[],
};

/// Serializer names: those WAMP transports negotiate. Each stands for its batched form too.
pub(super) static SERIALIZERS: &[Choice] = &[
    choice("json"),
    choice("msgpack"),
    choice("cbor"),
    choice("ubjson"),
    choice("ubjson-draft12"),
    choice("flatbuffers"),
];

static TESTEE: Table = Table {
    name: "workers[], type websocket-testee",
    keys: &[
        WORKER_ID_KEY,
        key("options", &OPTIONS, "As for every worker.").default("{}"),
        key("transport", &transport::TESTEE_TRANSPORT, "Where the echo server listens.").required(),
    ],
    rules: &[],
};
