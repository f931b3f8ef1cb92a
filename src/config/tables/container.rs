//! Worker types `container` and `guest`, and components.

use serde_json::{Map, Value};

use super::super::schema::{Kind, Rule, Table, Union, Variant, choice, key, variant};
use super::super::syntax::{ANY_NAME, REALM};
use super::{TEXTS, router, transport, worker};

pub(super) static CONTAINER: Table = Table {
    name: "workers[], type container",
    keys: &[
        worker::WORKER_ID_KEY,
        key("options", &Kind::Object(&OPTIONS), "Settings of the worker.").default("{}"),
        worker::MANHOLE_KEY,
        key("components", &Kind::List(&COMPONENT), "Python components.").default("[]"),
        router::CONNECTIONS,
    ],
    rules: &[],
};

static OPTIONS: Table = Table {
    name: "workers[].options, type container",
    keys: &[
        worker::TITLE,
        worker::PYTHON,
        worker::PYTHONPATH,
        worker::CPU_AFFINITY,
        worker::ENV,
        worker::EXTRA,
        worker::EXPOSE_CONTROLLER,
        worker::EXPOSE_SHARED,
        worker::DISABLED,
        key("shutdown", &SHUTDOWN, "When the container ends.").default("shutdown-manual"),
        key("restart", &RESTART, "When a component is started again.").default("restart-never"),
    ],
    rules: &[Rule::Check("restart", restart_with_shutdown)],
};

static SHUTDOWN: Kind = Kind::Choice(&[
    choice("shutdown-manual"),
    choice("shutdown-on-last-component-stopped"),
    choice("shutdown-on-any-component-failed"),
    choice("shutdown-on-any-component-stopped"),
]);

static RESTART: Kind =
    Kind::Choice(&[choice("restart-always"), choice("restart-on-failed"), choice("restart-never")]);

fn restart_with_shutdown(options: &Map<String, Value>) -> Option<String> {
    let restart = options.get("restart")?.as_str()?;
    let shutdown = options.get("shutdown")?.as_str()?;
    let contradicts = match restart {
        "restart-always" => shutdown != "shutdown-manual",
        "restart-on-failed" => shutdown == "shutdown-on-any-component-failed",
        _ => false,
    };
    contradicts.then(|| format!("'{restart}' won't work with '{shutdown}'"))
}

static COMPONENT: Kind = Kind::Tagged(&Union {
    what: "a component",
    tag: "type",
    default: None,
    variants: &[variant("class", &CLASS), variant("function", &FUNCTION)],
});

static CLASS: Table = Table {
    name: "components[] of a container, type class",
    keys: &[
        key("id", &Kind::Text, "Name.").default("component001, ..."),
        key("realm", &Kind::Word(&REALM), "Realm it joins.").required(),
        key("transport", &transport::CONNECTING, "How it connects.").required(),
        key("classname", &Kind::Text, "Python class.").required(),
        key("extra", &Kind::Any, "Data for it."),
    ],
    rules: &[],
};

static FUNCTION: Table = Table {
    name: "components[] of a container, type function",
    keys: &[
        key("id", &Kind::Text, "Name.").default("component001, ..."),
        key("realm", &Kind::Word(&REALM), "Realm it joins.").required(),
        key("transport", &transport::CONNECTING, "How it connects.").required(),
        key("auth", &Kind::Map(&ANY_NAME, &Kind::Any), "How it logs in.").required(),
        key("callbacks", &Kind::Object(&CALLBACKS), "Python functions."),
        key("extra", &Kind::Any, "Data for them."),
    ],
    rules: &[],
};

static CALLBACKS: Table = Table {
    name: "components[].callbacks",
    keys: &[
        key("join", &Kind::Text, "Called after join."),
        key("leave", &Kind::Text, "Called after leave."),
        key("connect", &Kind::Text, "Called after connect."),
        key("disconnect", &Kind::Text, "Called after disconnect."),
    ],
    rules: &[],
};

pub(super) static ROUTER_COMPONENT: Kind =
    Kind::Tagged(&Union { what: "a component", tag: "type", default: None, variants: ROUTER_COMPONENTS });

const ROUTER_COMPONENTS: &[Variant] =
    &[variant("class", &ROUTER_CLASS), variant("function", &ROUTER_FUNCTION)];

static ROUTER_CLASS: Table = Table {
    name: "components[] of a router, type class",
    keys: &[
        key("id", &Kind::Text, "Name.").default("component001, ..."),
        key("realm", &Kind::Word(&REALM), "Realm it joins.").required(),
        key("role", &Kind::Text, "Its authrole.").default("anonymous"),
        key("references", &TEXTS, "Database connections it uses."),
        key("classname", &Kind::Text, "Python class.").required(),
        key("extra", &Kind::Any, "Data for it."),
    ],
    rules: &[],
};

static ROUTER_FUNCTION: Table = Table {
    name: "components[] of a router, type function",
    keys: &[
        key("id", &Kind::Text, "Name.").default("component001, ..."),
        key("realm", &Kind::Word(&REALM), "Realm it joins.").required(),
        key("role", &Kind::Text, "Its authrole.").default("anonymous"),
        key("references", &TEXTS, "Database connections it uses."),
        key("callbacks", &Kind::Object(&CALLBACKS), "Python functions."),
        key("extra", &Kind::Any, "Data for them."),
    ],
    rules: &[],
};

pub(super) static GUEST: Table = Table {
    name: "workers[], type guest",
    keys: &[
        worker::WORKER_ID_KEY,
        key("executable", &Kind::Text, "Program, looked up in the working directory and in $PATH.")
            .required(),
        key("arguments", &TEXTS, "Its arguments.").default("[]"),
        key("options", &Kind::Object(&GUEST_OPTIONS), "Settings of the process.").default("{}"),
    ],
    rules: &[],
};

static GUEST_OPTIONS: Table = Table {
    name: "workers[].options, type guest",
    keys: &[
        key("env", &Kind::Object(&worker::ENVIRONMENT), "Environment of the process."),
        key("workdir", &Kind::Text, "Working directory, relative to the node directory.")
            .default("the node directory"),
        key("stdin", &Kind::Either(&[&Kind::Choice(&[choice("close")]), &STDIN]), "What it reads.")
            .default("left open"),
        key("stdout", &OUTPUT, "What happens to its output.").default("log"),
        key("stderr", &OUTPUT, "What happens to its error output.").default("log"),
        key("watch", &Kind::Object(&WATCH), "Directories whose change stops it."),
    ],
    rules: &[],
};

static OUTPUT: Kind = Kind::Choice(&[choice("close"), choice("log"), choice("drop")]);

static STDIN: Kind = Kind::Tagged(&Union {
    what: "a guest's stdin",
    tag: "type",
    default: None,
    variants: &[variant("json", &STDIN_JSON)],
});

static STDIN_JSON: Table = Table {
    name: "workers[].options.stdin, type json",
    keys: &[
        key("value", &Kind::Any, "Written once, as JSON.").required(),
        key("close", &Kind::Flag, "Close it afterwards.").default("true"),
    ],
    rules: &[],
};

static WATCH: Table = Table {
    name: "workers[].options.watch",
    keys: &[
        key("directories", &TEXTS, "Directories.").required(),
        key("timeout", &Kind::Number, "Seconds between looks.").default("1"),
        key("action", &Kind::Choice(&[choice("restart")]), "What follows the stop."),
    ],
    rules: &[],
};
