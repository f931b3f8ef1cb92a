//! Listening and connecting endpoints, TLS.

use serde_json::{Map, Value};

use super::super::schema::{Key, Kind, Rule, Table, Union, choice, key, refused_variant, variant};
use super::super::syntax::{ACCOUNT, FILE_MODE, INTERFACE, PORT_REFERENCE};
use super::TEXTS;

pub(crate) static LISTENING: Union = Union {
    what: "a listening endpoint",
    tag: "type",
    default: None,
    variants: &[
        variant("tcp", &LISTENING_TCP),
        variant("unix", &LISTENING_UNIX),
        variant("inherited", &LISTENING_INHERITED),
        refused_variant(
            "twisted",
            &LISTENING_TWISTED,
            "say it with an endpoint of type tcp, unix or inherited",
        ),
        refused_variant(
            "onion",
            &ONION,
            "let Tor run by itself, with a HiddenServicePort that leads to an endpoint of type tcp on 127.0.0.1 or unix",
        ),
    ],
};

pub(super) static PORT: Kind = Kind::Integer(1, 65_535);
static PORT_OR_REFERENCE: Kind = Kind::Either(&[&PORT, &Kind::Word(&PORT_REFERENCE)]);
static INTERFACE_OR_REFERENCE: Kind = Kind::Either(&[&Kind::Word(&PORT_REFERENCE), &Kind::Word(&INTERFACE)]);
static IP_VERSION: Kind = Kind::IntegerOf(&[4, 6]);
static BACKLOG: Kind = Kind::Integer(1, 65_535);

static LISTENING_TCP: Table = Table {
    name: "endpoint (listening), type tcp",
    keys: &[
        key(
            "port",
            &PORT_OR_REFERENCE,
            "Port, or `$NAME` or `${NAME}` to take it from the environment. Mandatory unless `portrange` is given.",
        ),
        key("portrange", &Kind::PortRange, "First bindable port of a range; wins over `port`."),
        key("version", &IP_VERSION, "IP version.").default("4, or that of `interface`"),
        key(
            "interface",
            &INTERFACE_OR_REFERENCE,
            "Address of this host to listen on, or `$NAME` or `${NAME}` to take it from the environment.",
        )
        .default("all addresses"),
        key("backlog", &BACKLOG, "Connections the kernel holds until they are accepted.").default("1024"),
        key(
            "shared",
            &Kind::Flag,
            "Other processes of the same user may listen on the same port, as long as all do.",
        )
        .default("false"),
        key(
            "user_timeout",
            &Kind::Integer(0, 65_535),
            "TCP_USER_TIMEOUT in milliseconds: how long what was sent may stay unacknowledged; 0 = off.",
        )
        .default("0"),
        key("tls", &Kind::Object(&LISTENING_TLS), "Encryption.").default("none"),
    ],
    rules: &[Rule::OneOf(&["port", "portrange"])],
};

static LISTENING_UNIX: Table = Table {
    name: "endpoint (listening), type unix",
    keys: &[
        key("path", &Kind::Text, "Path of the socket, relative to the node directory; `$NAME` and `${NAME}` are expanded. A socket there that nobody listens on is replaced. `@name` is an abstract name, in no file system: extension of crossring.")
            .required(),
        key("backlog", &BACKLOG, "Connections the kernel holds until they are accepted.").default("1024"),
        key("mode", &Kind::Word(&FILE_MODE), "Permissions of the socket file, octal. Extension of crossring.")
            .default("by the umask"),
        key("user", &OWNER, "Owner of the socket file, name or number. Extension of crossring.")
            .default("that of the process"),
        key("group", &OWNER, "Group of the socket file, name or number. Extension of crossring.")
            .default("that of the process"),
    ],
    rules: &[Rule::Check("", abstract_has_no_file)],
};

static OWNER: Kind = Kind::Either(&[&Kind::Integer(0, 0xFFFF_FFFE), &Kind::Word(&ACCOUNT)]);

fn abstract_has_no_file(unix: &Map<String, Value>) -> Option<String> {
    let is_abstract = unix.get("path").and_then(Value::as_str).is_some_and(|path| path.starts_with('@'));
    let of_files = ["mode", "user", "group"].into_iter().find(|name| unix.contains_key(*name))?;
    is_abstract.then(|| format!("'{of_files}' is of files, and an abstract name is none"))
}

static LISTENING_INHERITED: Table = Table {
    name: "endpoint (listening), type inherited",
    keys: &[
        key("name", &Kind::Text, "Name of the socket: `FileDescriptorName` of a systemd socket unit."),
        key("index", &Kind::Integer(0, 1023), "Place of the socket in the order passed.").default("0"),
        key("tls", &Kind::Object(&LISTENING_TLS), "Encryption.").default("none"),
    ],
    rules: &[Rule::NotBoth("name", "index")],
};

static LISTENING_TWISTED: Table = Table {
    name: "endpoint (listening), type twisted",
    keys: &[key("server_string", &Kind::Text, "Endpoint string of Twisted.").required()],
    rules: &[],
};

static ONION: Table = Table {
    name: "endpoint (listening), type onion",
    keys: &[
        key("port", &PORT, "Public port.").required(),
        key("private_key_file", &Kind::Text, "Key of the onion service.").required(),
        key("tor_control_endpoint", &Kind::Tagged(&CONNECTING), "Control port of Tor.").required(),
        key("version", &Kind::IntegerOf(&[2, 3]), "Version of the onion service.").default("3"),
    ],
    rules: &[],
};

static LISTENING_TLS: Table = Table {
    name: "endpoint.tls (listening)",
    keys: &[
        key("key", &Kind::Text, "File of the private key, PEM, relative to the node directory.").required(),
        key("certificate", &Kind::Text, "File of the certificate, PEM; intermediate ones may follow in it.")
            .required(),
        key("chain_certificates", &TEXTS, "Files of intermediate certificates.").default("[]"),
        OCSP_RESPONSE,
        key("additional_certificates", &ADDITIONAL_CERTIFICATES, "Certificates for other host names. A client gets the first one that is for the name it asks for, else `certificate`. Extension of crossring.")
            .default("[]"),
        key(
            "ca_certificates",
            &TEXTS,
            "When given, clients must present a certificate signed by one of these.",
        ),
        key("client_certificates", &Kind::Choice(&[choice("required"), choice("optional")]), "Whether clients without certificate are turned away; needs `ca_certificates`. Extension of crossring.")
            .default("\"required\""),
        key("minimum_version", &Kind::Choice(&[choice("1.2"), choice("1.3")]), "The oldest version of TLS spoken. Extension of crossring.")
            .default("\"1.3\""),
        key("dhparam", &Kind::Text, "File of Diffie-Hellman parameters.")
            .no_effect("only elliptic curves are used"),
        key("ciphers", &Kind::Text, "OpenSSL cipher list.")
            .no_effect("only suites with forward secrecy and authenticated encryption are used"),
    ],
    rules: &[Rule::Check("", has_authorities)],
};

fn has_authorities(tls: &Map<String, Value>) -> Option<String> {
    match tls.get("ca_certificates") {
        None if tls.contains_key("client_certificates") => {
            Some("'client_certificates' needs 'ca_certificates'".to_string())
        }
        Some(Value::Array(list)) if list.is_empty() => {
            Some("an empty 'ca_certificates' would turn every client away".to_string())
        }
        _ => None,
    }
}

const OCSP_RESPONSE: Key = key("ocsp_response", &Kind::Text, "File of an OCSP response, DER, for clients that ask for one; keep it fresh from outside. Extension of crossring.")
    .default("none");

static ADDITIONAL_CERTIFICATES: Kind = Kind::List(&Kind::Object(&ADDITIONAL_CERTIFICATE));

static ADDITIONAL_CERTIFICATE: Table = Table {
    name: "endpoint.tls.additional_certificates[]",
    keys: &[
        key("key", &Kind::Text, "File of the private key, PEM.").required(),
        key("certificate", &Kind::Text, "File of the certificate, PEM.").required(),
        key("chain_certificates", &TEXTS, "Files of intermediate certificates.").default("[]"),
        OCSP_RESPONSE,
    ],
    rules: &[],
};

pub(crate) static CONNECTING: Union = Union {
    what: "a connecting endpoint",
    tag: "type",
    default: None,
    variants: &[
        variant("tcp", &CONNECTING_TCP),
        variant("unix", &CONNECTING_UNIX),
        refused_variant("twisted", &CONNECTING_TWISTED, "say it with an endpoint of type tcp or unix"),
        refused_variant(
            "tor",
            &TOR,
            "let a relay such as socat listen on 127.0.0.1 and pass on to the SOCKS port of Tor",
        ),
    ],
};

static TIMEOUT: Kind = Kind::Integer(0, 600);

static CONNECTING_TCP: Table = Table {
    name: "endpoint (connecting), type tcp",
    keys: &[
        key("host", &Kind::Text, "Host name or address.").required(),
        key("port", &PORT, "Port.").required(),
        key("version", &IP_VERSION, "IP version.").default("4"),
        key("timeout", &TIMEOUT, "Time to connect, in seconds.").default("10"),
        key("tls", &Kind::Object(&CONNECTING_TLS), "Encryption."),
    ],
    rules: &[],
};

static CONNECTING_UNIX: Table = Table {
    name: "endpoint (connecting), type unix",
    keys: &[
        key("path", &Kind::Text, "Path of the socket, relative to the node directory.").required(),
        key("timeout", &TIMEOUT, "Time to connect, in seconds.").default("10"),
    ],
    rules: &[],
};

static CONNECTING_TWISTED: Table = Table {
    name: "endpoint (connecting), type twisted",
    keys: &[
        key("client_string", &Kind::Text, "Endpoint string of Twisted.").required(),
        key("timeout", &TIMEOUT, "Time to connect, in seconds.").default("10"),
    ],
    rules: &[],
};

static TOR: Table = Table {
    name: "endpoint (connecting), type tor",
    keys: &[
        key("host", &Kind::Text, "Onion address.").required(),
        key("port", &PORT, "Port.").required(),
        key("tor_socks_port", &PORT, "SOCKS port of Tor.").required(),
        key("tls", &Kind::Object(&CONNECTING_TLS), "Encryption."),
    ],
    rules: &[],
};

pub(super) static CONNECTING_TLS: Table = Table {
    name: "endpoint.tls (connecting)",
    keys: &[
        key("hostname", &Kind::Text, "Name the server's certificate must carry.").required(),
        key("ca_certificates", &TEXTS, "Trusted certificates.").default("those of the platform"),
        key("certificate", &Kind::Text, "Own certificate."),
        key("key", &Kind::Text, "Key of the own certificate."),
    ],
    rules: &[Rule::Together("certificate", "key")],
};
