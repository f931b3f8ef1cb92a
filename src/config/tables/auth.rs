//! `auth`: one object per authentication method.

use serde_json::{Map, Value};

use super::super::schema::{
    Key, Kind, Rule, Table, Union, Variant, choice, key, later_variant, refused_variant, variant,
};
use super::super::syntax::{self, ANY_NAME, ETHEREUM_ADDRESS, HEXADECIMAL, PUBLIC_KEY, REALM, STRICT_URI};

pub(super) static AUTH: Kind = Kind::Object(&METHODS);

static METHODS: Table = Table {
    name: "auth",
    keys: &[
        key("anonymous", &Kind::Tagged(&ANONYMOUS), "Anybody, without proof."),
        key("ticket", &Kind::Tagged(&TICKET), "A shared secret sent in clear."),
        key("wampcra", &Kind::Tagged(&WAMPCRA), "A shared secret, proven by challenge and response."),
        key(
            "scram",
            &Kind::Tagged(&SCRAM),
            "A password, proven with SCRAM: `scram` as Autobahn speaks it, and `wamp-scram`.",
        ),
        key("cryptosign", &Kind::Tagged(&CRYPTOSIGN), "An Ed25519 key."),
        key("tls", &Kind::Tagged(&TLS), "A TLS client certificate; the endpoint has to ask for one."),
        key(
            "cookie",
            &Kind::Object(&COOKIE),
            "The `cookie` of the transport, if somebody has logged in with it before.",
        ),
        key(
            "anonymous-proxy",
            &Kind::Tagged(&ANONYMOUS_PROXY),
            "A proxy on this host says who its clients are; over Unix sockets only.",
        ),
        key("cryptosign-proxy", &Kind::Tagged(&CRYPTOSIGN_PROXY), "The same by a proxy that proves its key."),
    ],
    rules: &[],
};

static ROLE: Key = key("role", &Kind::Word(&syntax::ROLE), "authrole of the session.");
static DEFAULT_ROLE: Key =
    key("default-role", &Kind::Word(&syntax::ROLE), "authrole of principals without `role`.");
static REALM_KEY: Key =
    key("realm", &Kind::Word(&REALM), "Realm the session is put on.").default("the requested one");

/// A procedure that decides.
static DYNAMIC: Table = Table {
    name: "auth.*, type dynamic",
    keys: &[
        key("authenticator", &Kind::Word(&STRICT_URI), "Procedure that decides.").required(),
        key("authenticator-realm", &Kind::Text, "Realm it is called on.").default("the requested one"),
        key(
            "authenticator-role",
            &Kind::Text,
            "Role that has to exist there; the call is that of a trusted session in any case.",
        )
        .default("trusted"),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

/// A Python function that decides.
static FUNCTION: Table = Table {
    name: "auth.*, type function",
    keys: &[
        key("create", &Kind::Text, "Python factory of the authenticator.").required(),
        key("config", &Kind::Any, "Data for it."),
        key("expose_controller", &Kind::Flag, "Hand it the controller.").default("false"),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

const BY_FUNCTION: Variant = refused_variant(
    "function",
    &FUNCTION,
    "there is no Python in this router: let a WAMP client register the authenticator as a procedure (docs/guide/examples/\
     function_authenticators.py does, as it is), and name that with type dynamic and authenticator",
);

const fn method(what: &'static str, variants: &'static [Variant]) -> Union {
    Union { what, tag: "type", default: None, variants }
}

static ANONYMOUS: Union = method(
    "WAMP-Anonymous configuration",
    &[variant("static", &ANONYMOUS_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static ANONYMOUS_STATIC: Table = Table {
    name: "auth.anonymous, type static",
    keys: &[
        ROLE.default("anonymous"),
        key("authid", &Kind::Text, "authid of every session.").default("random"),
        REALM_KEY.no_effect("the requested realm is used"),
    ],
    rules: &[],
};

static TICKET: Union = method(
    "WAMP-Ticket configuration",
    &[variant("static", &TICKET_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static TICKET_STATIC: Table = Table {
    name: "auth.ticket, type static",
    keys: &[
        key("principals", &Kind::Map(&ANY_NAME, &Kind::Object(&TICKET_PRINCIPAL)), "Principal per authid.")
            .required(),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

static TICKET_PRINCIPAL: Table = Table {
    name: "auth.ticket.principals.*",
    keys: &[
        key("ticket", &Kind::Secret, "The ticket, or `${NAME}` to take it from the environment.").required(),
        ROLE.default("`default-role`"),
    ],
    rules: &[],
};

static WAMPCRA: Union = method(
    "WAMP-CRA configuration",
    &[variant("static", &WAMPCRA_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static WAMPCRA_STATIC: Table = Table {
    name: "auth.wampcra, type static",
    keys: &[
        key("users", &Kind::Map(&ANY_NAME, &Kind::Object(&WAMPCRA_USER)), "User per authid.").required(),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

static WAMPCRA_USER: Table = Table {
    name: "auth.wampcra.users.*",
    keys: &[
        key("secret", &Kind::Secret, "The password, or `${NAME}` to take it from the environment.")
            .required(),
        ROLE,
        key("salt", &Kind::Text, "Salt of the derived key."),
        key("iterations", &Kind::Integer(1, 10_000_000), "Rounds of PBKDF2."),
        key("keylen", &Kind::Integer(1, 1024), "Bytes of the derived key."),
    ],
    rules: &[],
};

static SCRAM: Union = method(
    "WAMP-SCRAM configuration",
    &[variant("static", &SCRAM_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static SCRAM_STATIC: Table = Table {
    name: "auth.scram, type static",
    keys: &[
        key("principals", &Kind::Map(&ANY_NAME, &Kind::Object(&SCRAM_PRINCIPAL)), "Principal per authid.")
            .required(),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

static SCRAM_PRINCIPAL: Table = Table {
    name: "auth.scram.principals.*",
    keys: &[
        key("kdf", &Kind::Choice(&[choice("argon2id-13"), choice("pbkdf2")]), "Key derivation.").required(),
        key("iterations", &Kind::Integer(1, 10_000_000), "Rounds, or passes.").required(),
        key("memory", &Kind::Integer(0, 1_048_576), "Memory in KiB.").required(),
        key("salt", &Kind::Word(&HEXADECIMAL), "Salt.").required(),
        key(
            "stored-key",
            &Kind::Secret,
            "StoredKey of RFC 5802, 64 hexadecimal digits, in Autobahn's dialect.",
        )
        .required(),
        key(
            "server-key",
            &Kind::Secret,
            "ServerKey of RFC 5802, 64 hexadecimal digits, in Autobahn's dialect.",
        )
        .required(),
        key("wamp-scram-stored-key", &Kind::Secret, "StoredKey for `wamp-scram`, 64 hexadecimal digits.")
            .default("no `wamp-scram`"),
        key("wamp-scram-server-key", &Kind::Secret, "ServerKey for `wamp-scram`, 64 hexadecimal digits.")
            .default("no `wamp-scram`"),
        ROLE,
    ],
    rules: &[
        Rule::Check("stored-key", |principal| is_key(principal, "stored-key")),
        Rule::Check("server-key", |principal| is_key(principal, "server-key")),
        Rule::Check("wamp-scram-stored-key", |principal| is_key(principal, "wamp-scram-stored-key")),
        Rule::Check("wamp-scram-server-key", |principal| is_key(principal, "wamp-scram-server-key")),
    ],
};

fn is_key(principal: &Map<String, Value>, name: &str) -> Option<String> {
    let text = principal.get(name)?.as_str()?;
    (!(PUBLIC_KEY.accepts)(text)).then(|| "expected 64 hexadecimal digits".into())
}

static CRYPTOSIGN: Union = method(
    "WAMP-Cryptosign configuration",
    &[variant("static", &CRYPTOSIGN_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static CRYPTOSIGN_PROXY: Union = method(
    "cryptosign-proxy configuration",
    &[variant("static", &CRYPTOSIGN_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static CRYPTOSIGN_STATIC: Table = Table {
    name: "auth.cryptosign, type static",
    keys: &[
        key(
            "principals",
            &Kind::Map(&ANY_NAME, &Kind::Object(&CRYPTOSIGN_PRINCIPAL)),
            "Principal per authid.",
        ),
        key(
            "trustroots",
            &Kind::Map(&REALM, &Kind::Object(&TRUSTROOT)),
            "Per realm asked for, the authority to which certificate chains of clients have to lead.",
        ),
        DEFAULT_ROLE,
    ],
    rules: &[Rule::OneOf(&["principals", "trustroots"]), Rule::NotBoth("principals", "trustroots")],
};

static CRYPTOSIGN_PRINCIPAL: Table = Table {
    name: "auth.cryptosign.principals.*",
    keys: &[
        key("authorized_keys", &Kind::List(&Kind::Word(&PUBLIC_KEY)), "Public keys.").required(),
        ROLE,
        REALM_KEY,
    ],
    rules: &[],
};

static TRUSTROOT: Table = Table {
    name: "auth.cryptosign.trustroots.*",
    keys: &[
        key(
            "certificate",
            &Kind::Text,
            "File of the root certificate, as Autobahn's tools save it (CBOR), or the same in JSON.",
        ),
        key(
            "trustroot",
            &Kind::Word(&ETHEREUM_ADDRESS),
            "Address of the root authority; without `certificate` any root certificate that it has signed is good.",
        ),
        key(
            "block",
            &Kind::Integer(0, i64::MAX),
            "Newest block of the Ethereum network: chains that are valid from a later one are refused.",
        )
        .default("not checked: no Ethereum node is asked"),
        ROLE.default("`default-role`, else `user`"),
        REALM_KEY,
    ],
    rules: &[Rule::OneOf(&["certificate", "trustroot"])],
};

static TLS: Union = method(
    "WAMP-TLS configuration",
    &[variant("static", &TLS_STATIC), variant("dynamic", &DYNAMIC), BY_FUNCTION],
);

static TLS_STATIC: Table = Table {
    name: "auth.tls, type static",
    keys: &[
        key("principals", &Kind::Map(&ANY_NAME, &Kind::Object(&TLS_PRINCIPAL)), "Principal per authid.")
            .required(),
        DEFAULT_ROLE,
    ],
    rules: &[],
};

static TLS_PRINCIPAL: Table = Table {
    name: "auth.tls.principals.*",
    keys: &[
        key("certificate-sha1", &Kind::Text, "SHA-1 fingerprint, upper case, with colons."),
        key(
            "certificate-sha256",
            &Kind::Text,
            "SHA-256 fingerprint, likewise; if both are given, both count.",
        ),
        ROLE.default("`default-role`"),
        REALM_KEY,
    ],
    rules: &[
        Rule::OneOf(&["certificate-sha1", "certificate-sha256"]),
        Rule::Check("certificate-sha1", |principal| fingerprint(principal, "certificate-sha1", 20)),
        Rule::Check("certificate-sha256", |principal| fingerprint(principal, "certificate-sha256", 32)),
    ],
};

fn fingerprint(principal: &Map<String, Value>, name: &str, octets: usize) -> Option<String> {
    let text = principal.get(name)?.as_str()?;
    let is_octet = |part: &str| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    let is_fingerprint = text.split(':').count() == octets && text.split(':').all(is_octet);
    (!is_fingerprint).then(|| format!("expected {octets} octets in upper case hexadecimal, joined by colons"))
}

static COOKIE: Table = Table {
    name: "auth.cookie",
    keys: &[key("type", &Kind::Text, "Not needed.").no_effect("the method has no variants")],
    rules: &[],
};

static ANONYMOUS_PROXY: Union = method(
    "anonymous-proxy configuration",
    &[variant("static", &PROXY_STATIC), later_variant("dynamic", &DYNAMIC)],
);

static PROXY_STATIC: Table = Table { name: "auth.anonymous-proxy, type static", keys: &[], rules: &[] };
