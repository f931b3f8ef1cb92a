//! Web path services. All of them are checked.

use serde_json::{Map, Value};

use super::super::schema::{
    Choice, Key, Kind, Off, Rule, Table, Union, choice, key, refused_variant, variant,
};
use super::super::syntax::{ANY_NAME, FILE_MODE, HEXADECIMAL, HTTP_URL, REALM, WEB_PATH};
use super::endpoint::PORT;
use super::transport::MAX_NESTING_DEPTH;
use super::{DEBUG_KEY, ID_KEY, TEXTS, endpoint, transport, websocket};

pub(super) static PATHS: Kind = Kind::Map(&WEB_PATH, &Kind::Tagged(&SERVICE));

/// `websocket` of a universal transport: the same map, with websocket services only.
pub(super) static UNIVERSAL_WEBSOCKET: Kind = Kind::Map(
    &WEB_PATH,
    &Kind::Tagged(&Union {
        what: "a websocket service",
        tag: "type",
        default: None,
        variants: &[variant("websocket", &WEBSOCKET)],
    }),
);

static SERVICE: Union = Union {
    what: "a Web service",
    tag: "type",
    default: None,
    variants: &[
        variant("none", &NO_KEYS),
        variant("path", &PATH),
        variant("redirect", &REDIRECT),
        refused_variant(
            "resource",
            &RESOURCE,
            "there is no Python in this router: run it in a web server of its own, and put a reverseproxy here",
        ),
        variant("reverseproxy", &REVERSE_PROXY),
        variant("nodeinfo", &NODE_INFO),
        variant("json", &JSON),
        variant("cgi", &CGI),
        refused_variant(
            "wsgi",
            &WSGI,
            "there is no Python in this router: run the application under a WSGI server, and put a reverseproxy here",
        ),
        variant("static", &STATIC),
        variant("websocket", &WEBSOCKET),
        variant("websocket-reverseproxy", &WEBSOCKET_REVERSE_PROXY),
        variant("longpoll", &LONG_POLL),
        variant("caller", &CALLER),
        variant("publisher", &PUBLISHER),
        variant("webhook", &WEBHOOK),
        variant("archive", &ARCHIVE),
        variant("upload", &UPLOAD),
        refused_variant(
            "wap",
            &WAP,
            "templates of Jinja need Python: let a page call procedures with AutobahnJS or by a caller service, or put a \
             reverseproxy to a web application here",
        ),
        refused_variant("catalog", &CATALOG, "publish the schemas as files with a static service"),
    ],
};

static NO_KEYS: Table = Table { name: "paths.*, type none", keys: &[ID_KEY], rules: &[] };
static NODE_INFO: Table = Table { name: "paths.*, type nodeinfo", keys: &[ID_KEY], rules: &[] };

static PATH: Table = Table {
    name: "paths.*, type path",
    keys: &[ID_KEY, key("paths", &PATHS, "Services below this component.").required()],
    rules: &[],
};

static REDIRECT: Table = Table {
    name: "paths.*, type redirect",
    keys: &[ID_KEY, key("url", &Kind::Text, "Target.").required()],
    rules: &[],
};

static RESOURCE: Table = Table {
    name: "paths.*, type resource",
    keys: &[
        ID_KEY,
        key("classname", &Kind::Text, "Python class.").required(),
        key("extra", &Kind::Any, "Data for it.").default("{}"),
    ],
    rules: &[],
};

const SCHEMES: &[Choice] = &[choice("http"), choice("https")];

static SECONDS: Kind = Kind::Integer(1, 86_400);

const MAX_UPSTREAM_CONNECTIONS: Key = key(
    "max_connections",
    &Kind::Integer(1, 65_535),
    "Connections to the backend at once; further requests wait a while, then get 503. Extension of crossring.",
)
.default("256");

const IDLE_TIMEOUT: Key = key(
    "idle_timeout",
    &Kind::Integer(0, 86_400),
    "How long nothing may pass through a WebSocket, in seconds, before it is closed; 0 = for ever. Extension of crossring.",
)
.default("600");

static REVERSE_PROXY: Table = Table {
    name: "paths.*, type reverseproxy",
    keys: &[
        ID_KEY,
        key("host", &Kind::Text, "Host of the backend.").required(),
        key("port", &PORT, "Port of the backend.").default("80"),
        key("path", &Kind::Text, "Path on the backend.").default("\"\""),
        key("forwarded_port", &PORT, "Port sent in X-Forwarded-Port.").default("the client's"),
        key("forwarded_proto", &Kind::Choice(SCHEMES), "Scheme sent in X-Forwarded-Proto.")
            .default("the client's"),
        key(
            "tls",
            &Kind::Object(&endpoint::CONNECTING_TLS),
            "Encryption to the backend. Extension of crossring.",
        )
        .default("none"),
        key("connect_timeout", &SECONDS, "Time to connect, in seconds. Extension of crossring.")
            .default("10"),
        key("timeout", &SECONDS, "How long the backend may be silent, in seconds. Extension of crossring.")
            .default("60"),
        MAX_UPSTREAM_CONNECTIONS,
        IDLE_TIMEOUT,
    ],
    rules: &[],
};

static JSON: Table = Table {
    name: "paths.*, type json",
    keys: &[
        ID_KEY,
        key("value", &Kind::Any, "The document served.").required(),
        key("options", &Kind::Object(&JSON_OPTIONS), "Form of the answer.").default("{}"),
    ],
    rules: &[],
};

static JSON_OPTIONS: Table = Table {
    name: "paths.*.options, type json",
    keys: &[
        key("prettify", &Kind::Flag, "Indent.").default("false"),
        key("allow_cross_origin", &Kind::Flag, "Let other sites read it.").default("true"),
        key("discourage_caching", &Kind::Flag, "Ask browsers not to cache.").default("false"),
    ],
    rules: &[],
};

static CGI: Table = Table {
    name: "paths.*, type cgi",
    keys: &[
        ID_KEY,
        key("directory", &Kind::Text, "Directory of scripts.").required(),
        key(
            "processor",
            &Kind::Text,
            "Interpreter: a path relative to the node directory, or a name that is looked up in /usr/local/bin, /usr/bin \
             and /bin.",
        )
        .required(),
        key("timeout", &SECONDS, "How long a script may be silent, in seconds. Extension of crossring.")
            .default("60"),
        key(
            "max_processes",
            &Kind::Integer(1, 1024),
            "Scripts that run at once; further requests wait a while, then get 503. Extension of crossring.",
        )
        .default("16"),
        key(
            "post_body_limit",
            &Kind::Integer(0, 67_108_864),
            "Largest request body, in bytes; 0 = 1 MiB. Extension of crossring.",
        )
        .default("0"),
    ],
    rules: &[],
};

static WSGI: Table = Table {
    name: "paths.*, type wsgi",
    keys: &[
        ID_KEY,
        key("module", &Kind::Text, "Python module.").required(),
        key("object", &Kind::Text, "Application in it.").required(),
        key("minthreads", &Kind::Integer(0, i64::MAX), "Least threads.").default("0"),
        key("maxthreads", &Kind::Integer(0, i64::MAX), "Most threads.").default("20"),
    ],
    rules: &[],
};

const NO_PACKAGE: &str =
    "there is no Python in this router: name the directory that the files are in as directory";

static STATIC: Table = Table {
    name: "paths.*, type static",
    keys: &[
        ID_KEY,
        key("directory", &Kind::Text, "Directory served, relative to the node directory."),
        key("package", &Kind::Text, "Python package with the files.").refused(NO_PACKAGE),
        key("resource", &Kind::Text, "Resource inside `package`.").refused(NO_PACKAGE),
        key("options", &Kind::Object(&STATIC_OPTIONS), "How files are served.").default("{}"),
    ],
    rules: &[
        Rule::OneOf(&["directory", "package"]),
        Rule::NotBoth("directory", "package"),
        Rule::Together("package", "resource"),
    ],
};

static MIME_TYPES: Key =
    key("mime_types", &Kind::Map(&ANY_NAME, &Kind::Text), "Content type per file extension.").default("{}");
static DEFAULT_FILE: Key = key("default_file", &Kind::Text, "Served for unknown paths.");

static STATIC_OPTIONS: Table = Table {
    name: "paths.*.options, type static",
    keys: &[
        key("enable_directory_listing", &Kind::Flag, "List directories.").default("false"),
        MIME_TYPES,
        key(
            "cache_timeout",
            &Kind::Either(&[&Kind::Integer(0, i64::MAX), &Kind::Null]),
            "Seconds that browsers may cache; null = nothing said.",
        )
        .default("43200"),
        DEFAULT_FILE,
    ],
    rules: &[],
};

static WEBSOCKET: Table = Table {
    name: "paths.*, type websocket",
    keys: &[
        ID_KEY,
        transport::URL,
        transport::SERIALIZERS,
        transport::COOKIE,
        transport::AUTH,
        transport::WEBSOCKET_OPTIONS,
        DEBUG_KEY,
    ],
    rules: &[],
};

static WEBSOCKET_REVERSE_PROXY: Table = Table {
    name: "paths.*, type websocket-reverseproxy",
    keys: &[
        ID_KEY,
        key("backend", &transport::PROXIED_WEBSOCKET, "The backend.").required(),
        transport::URL.no_effect("the handshake of the client may ask for any path below"),
        key("options", &websocket::PROXIED_OPTIONS, "Who may connect.").default("{}"),
        MAX_UPSTREAM_CONNECTIONS,
        IDLE_TIMEOUT,
    ],
    rules: &[],
};

static LONG_POLL: Table = Table {
    name: "paths.*, type longpoll",
    keys: &[
        ID_KEY,
        transport::SERIALIZERS,
        transport::AUTH,
        key("options", &Kind::Object(&LONG_POLL_OPTIONS), "Limits.").default("{}"),
    ],
    rules: &[],
};

static LONG_POLL_OPTIONS: Table = Table {
    name: "paths.*.options, type longpoll",
    keys: &[
        key("request_timeout", &Kind::Integer(0, i64::MAX), "Seconds that a receive request may hang.")
            .default("10"),
        key("session_timeout", &Kind::Integer(0, i64::MAX), "Seconds without request; 0 = never.")
            .default("30"),
        key(
            "queue_limit_bytes",
            &Kind::Integer(0, i64::MAX),
            "Octets that may wait for a client; events beyond are dropped.",
        )
        .default("131072"),
        key(
            "queue_limit_messages",
            &Kind::Integer(0, i64::MAX),
            "Messages that may wait for a client; events beyond are dropped.",
        )
        .default("100"),
        key("max_message_size", &Kind::Integer(1, 16 << 20), "Octets of the body of a send request.")
            .default("1048576"),
        MAX_NESTING_DEPTH,
        DEBUG_KEY,
        key("debug_transport_id", &Kind::Text, "Fixed transport id.")
            .no_effect("ids are never told beforehand"),
    ],
    rules: &[],
};

static SERVICE_REALM: Key = key("realm", &Kind::Word(&REALM), "Realm of the service.").required();
static SERVICE_ROLE: Key = key("role", &Kind::Text, "Role of the service.").required();
static REST_OPTIONS_KEY: Key = key("options", &Kind::Object(&REST_OPTIONS), "Who may use it.").default("{}");
static POST_BODY_LIMIT: Key =
    key("post_body_limit", &Kind::Integer(0, 1_048_576), "Largest request body; 0 = no limit of its own.")
        .default("0");

static CALLER: Table = Table {
    name: "paths.*, type caller",
    keys: &[ID_KEY, SERVICE_REALM, SERVICE_ROLE, REST_OPTIONS_KEY],
    rules: &[],
};

static PUBLISHER: Table = Table {
    name: "paths.*, type publisher",
    keys: &[ID_KEY, SERVICE_REALM, SERVICE_ROLE, REST_OPTIONS_KEY],
    rules: &[],
};

static REST_OPTIONS: Table = Table {
    name: "paths.*.options, types caller and publisher",
    keys: &[
        DEBUG_KEY,
        key("key", &Kind::Text, "Key name of signed requests."),
        key("secret", &Kind::Secret, "Secret of signed requests."),
        key("require_tls", &Kind::Flag, "Refuse plain HTTP.").default("false"),
        key("require_ip", &TEXTS, "Addresses or networks that may call.").default("any"),
        POST_BODY_LIMIT,
        key("timestamp_delta_limit", &Kind::Integer(0, 86_400), "Seconds a signed request may be old.")
            .default("300"),
    ],
    rules: &[],
};

static WEBHOOK: Table = Table {
    name: "paths.*, type webhook",
    keys: &[
        ID_KEY,
        SERVICE_REALM,
        SERVICE_ROLE,
        key("options", &Kind::Object(&WEBHOOK_OPTIONS), "What is published.").required(),
    ],
    rules: &[],
};

static WEBHOOK_OPTIONS: Table = Table {
    name: "paths.*.options, type webhook",
    keys: &[
        key("topic", &Kind::Text, "Topic of the event.").required(),
        key("success_response", &Kind::Text, "Body of the answer.").default("OK"),
        key("error_response", &Kind::Text, "Body of the answer at a failure.").default("NOT OK"),
        key("github_secret", &Kind::Secret, "Secret of GitHub's signature."),
        POST_BODY_LIMIT,
        DEBUG_KEY,
    ],
    rules: &[],
};

static ARCHIVE: Table = Table {
    name: "paths.*, type archive",
    keys: &[
        ID_KEY,
        key("archive", &Kind::Text, "ZIP file, relative to the node directory.").required(),
        key("origin", &Kind::Word(&HTTP_URL), "Where to fetch it.").no_effect("archives are not fetched"),
        key("download", &Kind::Flag, "Fetch it at start when missing.")
            .default("false")
            .later_unless(Off::False),
        key("cache", &Kind::Flag, "Keep decompressed files in memory.").default("false"),
        key("default_object", &Kind::Text, "Appended to paths that end in /."),
        key("object_prefix", &Kind::Text, "Directory inside the archive."),
        MIME_TYPES,
        key("hashes", &Kind::List(&Kind::Word(&HEXADECIMAL)), "Permitted SHA-256 fingerprints."),
        key("options", &Kind::Object(&ARCHIVE_OPTIONS), "How files are served.").default("{}"),
    ],
    rules: &[Rule::Check("", download_needs_origin)],
};

fn download_needs_origin(archive: &Map<String, Value>) -> Option<String> {
    let downloads = archive.get("download") == Some(&Value::Bool(true));
    (downloads && !archive.contains_key("origin")).then(|| "'download' needs the key 'origin'".into())
}

static ARCHIVE_OPTIONS: Table =
    Table { name: "paths.*.options, type archive", keys: &[DEFAULT_FILE], rules: &[] };

static UPLOAD: Table = Table {
    name: "paths.*, type upload",
    keys: &[
        ID_KEY,
        SERVICE_REALM,
        SERVICE_ROLE,
        key("directory", &Kind::Text, "Where files appear, relative to the node directory.").required(),
        key(
            "temp_directory",
            &Kind::Text,
            "Where they are until they are complete; on the same file system.",
        )
        .default("`directory`"),
        key("form_fields", &Kind::Object(&UPLOAD_FIELDS), "What the fields of the form are called.")
            .required(),
        key("options", &Kind::Object(&UPLOAD_OPTIONS), "Which files are taken.").default("{}"),
    ],
    rules: &[],
};

static UPLOAD_FIELDS: Table = Table {
    name: "paths.*.form_fields, type upload",
    keys: &[
        key("file_name", &Kind::Text, "Name of the file.").required(),
        key("mime_type", &Kind::Text, "Its media type.").required(),
        key("total_size", &Kind::Text, "Its size in octets.").required(),
        key("chunk_number", &Kind::Text, "Number of the chunk, from 1.").required(),
        key("chunk_size", &Kind::Text, "Octets of every chunk but the last.").required(),
        key("total_chunks", &Kind::Text, "How many chunks there are.").required(),
        key("content", &Kind::Text, "The chunk; it has to be the last field.").required(),
        key("on_progress", &Kind::Text, "Topic on which progress is published."),
        key("session", &Kind::Text, "The only session that may receive it."),
        key("chunk_extra", &Kind::Text, "Text published with each chunk."),
        key("finish_extra", &Kind::Text, "Text published with the end."),
    ],
    rules: &[],
};

static UPLOAD_OPTIONS: Table = Table {
    name: "paths.*.options, type upload",
    keys: &[
        key("max_file_size", &Kind::Integer(0, i64::MAX), "Octets of a file; 0 = any.").default("10485760"),
        key("file_types", &TEXTS, "Extensions of files that are taken.").default("any"),
        key("file_permissions", &Kind::Word(&FILE_MODE), "Permissions of complete files.")
            .default("\"0644\""),
    ],
    rules: &[],
};

static WAP: Table = Table {
    name: "paths.*, type wap",
    keys: &[
        ID_KEY,
        key(
            "templates",
            &Kind::Either(&[&Kind::Text, &Kind::Object(&WAP_TEMPLATES)]),
            "Directory of templates.",
        )
        .required(),
        key("sandbox", &Kind::Flag, "Run templates in a sandbox.").default("true"),
        key("routes", &Kind::List(&Kind::Object(&WAP_ROUTE)), "Procedure and template per path.").required(),
        key("wamp", &Kind::Object(&WAP_SESSION), "Session of the service.").required(),
        key("path", &Kind::Text, "Unused by Crossbar.io too.").no_effect("unused"),
    ],
    rules: &[],
};

static WAP_TEMPLATES: Table = Table {
    name: "paths.*.templates, type wap",
    keys: &[
        key("package", &Kind::Text, "Python package.").required(),
        key("resource", &Kind::Text, "Directory in it.").required(),
    ],
    rules: &[],
};

static WAP_ROUTE: Table = Table {
    name: "paths.*.routes[], type wap",
    keys: &[
        key("path", &Kind::Text, "URL path.").required(),
        key("method", &Kind::Text, "HTTP method.").required(),
        key("call", &Kind::Either(&[&Kind::Text, &Kind::Null]), "Procedure."),
        key("render", &Kind::Text, "Template.").required(),
    ],
    rules: &[],
};

static WAP_SESSION: Table = Table {
    name: "paths.*.wamp, type wap",
    keys: &[SERVICE_REALM, key("authrole", &Kind::Text, "Role.").required()],
    rules: &[],
};

static CATALOG: Table = Table {
    name: "paths.*, type catalog",
    keys: &[
        ID_KEY,
        key("filename", &Kind::Text, "File of the catalog.").required(),
        key("path", &Kind::Text, "URL path."),
    ],
    rules: &[],
};
