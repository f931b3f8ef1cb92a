//! Spellings of names in a configuration: identifiers, realm names, URIs, environment references. Pure predicates.

use std::net::IpAddr;

/// One rule for the text of a value.
pub(crate) struct Syntax {
    /// What the text is, with its article: `a realm name`.
    pub(crate) name: &'static str,
    /// The rule in words, for messages and the reference.
    pub(crate) rule: &'static str,
    pub(crate) accepts: fn(&str) -> bool,
}

pub(crate) static ANY_NAME: Syntax = Syntax { name: "a name", rule: "any text", accepts: |_| true };

pub(crate) static ID: Syntax = Syntax {
    name: "an id",
    rule: "a lower case letter, then 2..63 of a-z, 0-9, _",
    accepts: |text| {
        (3..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    },
};

pub(crate) static REALM: Syntax = Syntax {
    name: "a realm name",
    rule: "a letter, then 2..254 of letters, digits, _ - @ . (or 0x and 40 hexadecimal digits)",
    accepts: |text| is_realm_name(text) || is_hexadecimal_address(text),
};

fn is_realm_name(text: &str) -> bool {
    (3..=255).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'@' | b'.'))
}

fn is_hexadecimal_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| digits.len() == 40 && is_hexadecimal(digits))
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(crate) static HEXADECIMAL: Syntax = Syntax {
    name: "hexadecimal digits",
    rule: "0-9, a-f, an even count",
    accepts: |text| is_hexadecimal(text) && text.len() % 2 == 0,
};

pub(crate) static PUBLIC_KEY: Syntax = Syntax {
    name: "an Ed25519 public key",
    rule: "64 hexadecimal digits",
    accepts: |text| is_hexadecimal(text) && text.len() == 64,
};

pub(crate) static ETHEREUM_ADDRESS: Syntax = Syntax {
    name: "an Ethereum address",
    rule: "0x and 40 hexadecimal digits; looking up ENS names takes an Ethereum node, which this router does not ask",
    accepts: is_hexadecimal_address,
};

/// A URI of a permission: loose, empty components allowed, stars allowed.
pub(crate) static PERMISSION_URI: Syntax = Syntax {
    name: "a URI or URI pattern",
    rule: "no white space and no #; may be empty",
    accepts: |text| !text.contains(|c: char| c.is_whitespace() || c == '#'),
};

/// The URI of a procedure that the router itself calls: strict, lower case.
pub(crate) static STRICT_URI: Syntax = Syntax {
    name: "a strict URI",
    rule: "components of a-z, 0-9, _ joined by dots",
    accepts: |text| {
        text.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    },
};

/// An address, or a network as an address and the number of its leading bits.
pub(crate) static NETWORK: Syntax = Syntax {
    name: "a network",
    rule: "an IP address, with / and a number of leading bits if wanted",
    accepts: |text| network(text).is_some(),
};

/// The address and its leading bits that count.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok())?;
    (bits <= bits_max).then_some((address, bits))
}

/// A number written as text, which Crossbar.io takes in one place.
pub(crate) static COUNT: Syntax = Syntax {
    name: "a positive number",
    rule: "decimal digits",
    accepts: |text| {
        text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|number: u64| number > 0)
    },
};

/// The name of a role; the role `trusted` belongs to the router itself.
pub(crate) static ROLE: Syntax = Syntax {
    name: "a role name",
    rule: "not empty, no white space and no #; 'trusted' is reserved",
    accepts: |text| {
        !text.is_empty() && text != "trusted" && !text.contains(|c: char| c.is_whitespace() || c == '#')
    },
};

pub(crate) static WEB_PATH: Syntax = Syntax {
    name: "a path component",
    rule: "letters, digits, _ and -, or / alone",
    accepts: |text| {
        text == "/"
            || (!text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))
    },
};

pub(crate) static COOKIE_NAME: Syntax = Syntax {
    name: "a cookie name",
    rule: "a lower case letter, then at least one of a-z, 0-9, _",
    accepts: |text| {
        text.len() >= 2
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    },
};

/// `$NAME`, the form of an environment reference in `endpoint.port`.
pub(crate) static PORT_REFERENCE: Syntax = Syntax {
    name: "an environment reference",
    rule: "$NAME or ${NAME}",
    accepts: |text| reference(text).is_some(),
};

/// The variable that `$NAME` or `${NAME}` refers to, when the whole text has one of these forms.
pub(crate) fn reference(text: &str) -> Option<&str> {
    let name = braced_reference(text).or_else(|| text.strip_prefix('$'))?;
    is_variable_name(name).then_some(name)
}

/// `${NAME}`, the form of an environment reference in secrets and `disabled`.
pub(crate) static BRACED_REFERENCE: Syntax = Syntax {
    name: "an environment reference",
    rule: "${NAME}",
    accepts: |text| braced_reference(text).is_some(),
};

pub(crate) static WEBSOCKET_URL: Syntax = Syntax {
    name: "a WebSocket URL",
    rule: "ws://host[:port][/path] or wss://...",
    accepts: |text| has_authority(text, &["ws://", "wss://"]),
};

pub(crate) static RAWSOCKET_URL: Syntax = Syntax {
    name: "a RawSocket URL",
    rule: "rs://host[:port] or rss://..., or rs://unix:/path",
    accepts: |text| has_authority(text, &["rs://", "rss://"]),
};

pub(crate) static HTTP_URL: Syntax = Syntax {
    name: "an HTTP URL",
    rule: "http://... or https://...",
    accepts: |text| has_authority(text, &["http://", "https://"]),
};

/// File mode of a Unix socket as text, because JSON knows no octal numbers.
pub(crate) static FILE_MODE: Syntax = Syntax {
    name: "a file mode",
    rule: "three or four octal digits, such as \"0660\"",
    accepts: |text| {
        (3..=4).contains(&text.len()) && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o777)
    },
};

/// A user or group by its name.
pub(crate) static ACCOUNT: Syntax = Syntax {
    name: "the name of a user or group",
    rule: "not empty, no : and no white space",
    accepts: |text| !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_whitespace()),
};

pub(crate) static INTERFACE: Syntax = Syntax {
    name: "an IP address of this host",
    rule: "an IPv4 or IPv6 address, or localhost",
    accepts: |text| text == "localhost" || text.is_empty() || text.parse::<IpAddr>().is_ok(),
};

fn has_authority(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        !authority.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c == '#')
    })
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The variable that `${NAME}` refers to, when the whole text has that form.
pub(crate) fn braced_reference(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| !name.is_empty())
}

/// Replaces every `$NAME` and `${NAME}`; a reference to an unset variable stays as it is written.
pub(crate) fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        expanded.push_str(&rest[..start]);
        let reference = &rest[start..];
        let (name, length) = reference_at(reference);
        match name.and_then(environment) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&reference[..length]),
        }
        rest = &reference[length..];
    }
    expanded + rest
}

/// Name and length in bytes of the reference that `text` (which begins with `$`) begins with.
fn reference_at(text: &str) -> (Option<&str>, usize) {
    if let Some(inner) = text.strip_prefix("${") {
        return match inner.find('}') {
            Some(end) if is_variable_name(&inner[..end]) => (Some(&inner[..end]), end + 3),
            _ => (None, 2),
        };
    }
    let name = &text[1..];
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    match is_variable_name(&name[..end]) {
        true => (Some(&name[..end]), end + 1),
        false => (None, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_nonsense() {
        let cases: [(&Syntax, &[&str], &[&str]); 8] = [
            (&ID, &["abc", "node_1"], &["ab", "Abc", "1abc", "a-b-c", ""]),
            (
                &REALM,
                &["realm1", "com.example.x", &format!("0x{}", "a".repeat(40))],
                &["r1", "1realm", "a b c", ""],
            ),
            (&PERMISSION_URI, &["", "com.", "com.*.x", "a..b"], &["a b", "a#"]),
            (&STRICT_URI, &["com.example", "a"], &["Com.x", "a..b", ""]),
            (&WEB_PATH, &["/", "ws", "a-b"], &["", "a/b", "a.b"]),
            (&PORT_REFERENCE, &["$PORT", "$_a1", "${PORT}"], &["$", "PORT", "${}", "$1", "${PORT", "${1}"]),
            (&WEBSOCKET_URL, &["ws://a", "wss://a:1/x"], &["ws://", "http://a", "ws:///x", "ws://a b"]),
            (&FILE_MODE, &["0660", "600"], &["8", "0888", "-600", "10000"]),
        ];
        for (syntax, good, bad) in cases {
            for text in good {
                assert!((syntax.accepts)(text), "{} refuses {text:?}", syntax.name);
            }
            for text in bad {
                assert!(!(syntax.accepts)(text), "{} accepts {text:?}", syntax.name);
            }
        }
    }

    #[test]
    fn references_are_expanded_where_set() {
        let environment = |name: &str| (name == "DIR").then(|| "/run".to_string());
        let cases = [
            ("$DIR/s", "/run/s"),
            ("${DIR}x", "/runx"),
            ("$OTHER/${OTHER}", "$OTHER/${OTHER}"),
            ("$", "$"),
            ("a$$DIR", "a$/run"),
            ("${DIR", "${DIR"),
            ("${}ü$DIR", "${}ü/run"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &environment), expected);
        }
    }
}
