//! Text of key files: a title, an empty line, then `tag: value` lines. Reading and writing of text only.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;

use super::hexadecimal;

/// Tags that a key file may carry; those of Ethereum are kept readable but never written.
const TAGS: [&str; 9] = [
    "creator",
    "created-at",
    "machine-id",
    "node-authid",
    "node-cluster-ip",
    "public-key-ed25519",
    "private-key-ed25519",
    "public-adr-eth",
    "private-key-eth",
];

/// What a key file says.
pub(super) struct KeyFile {
    pub(super) public_key: [u8; 32],
    pub(super) private_key: Option<[u8; 32]>,
    pub(super) origin: Origin,
}

/// Who made a key, where and when.
pub(super) struct Origin {
    creator: String,
    created_at: String,
    machine_id: String,
    node_authid: String,
    node_cluster_ip: String,
}

/// Why a text is no key file.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum ParseError {
    /// A line without a colon, or a tag that is not known.
    InvalidTag(String),
    /// A tag that occurs twice.
    DuplicateTag(String),
    /// A tag that must be there.
    Missing(&'static str),
    /// A key that is not 64 hexadecimal digits.
    InvalidKey(&'static str),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::InvalidTag(tag) => write!(f, "Invalid tag '{tag}'"),
            ParseError::DuplicateTag(tag) => write!(f, "Duplicate tag '{tag}'"),
            ParseError::Missing(tag) => write!(f, "{tag} tag not found"),
            ParseError::InvalidKey(tag) => write!(f, "{tag} is not 64 hexadecimal digits"),
        }
    }
}

/// Reads the lines after the first empty one.
pub(super) fn parse(text: &str) -> Result<KeyFile, ParseError> {
    let mut values: Vec<(&'static str, &str)> = Vec::new();
    for line in text.lines().skip_while(|line| !line.trim().is_empty()).filter(|line| !line.trim().is_empty())
    {
        let (written, value) =
            line.split_once(':').ok_or_else(|| ParseError::InvalidTag(line.trim().into()))?;
        let tag = TAGS.iter().find(|tag| tag.eq_ignore_ascii_case(written.trim()));
        let tag = *tag.ok_or_else(|| ParseError::InvalidTag(written.trim().into()))?;
        if values.iter().any(|(known, _)| *known == tag) {
            return Err(ParseError::DuplicateTag(tag.into()));
        }
        values.push((tag, value.trim()));
    }
    let value = |tag: &'static str| values.iter().find(|(known, _)| *known == tag).map(|(_, value)| *value);
    let mandatory = |tag| value(tag).ok_or(ParseError::Missing(tag));
    let text_of = |tag| value(tag).unwrap_or("unknown").to_string();
    Ok(KeyFile {
        public_key: key(mandatory("public-key-ed25519")?, "public-key-ed25519")?,
        private_key: value("private-key-ed25519").map(|text| key(text, "private-key-ed25519")).transpose()?,
        origin: Origin {
            creator: mandatory("creator")?.into(),
            created_at: mandatory("created-at")?.into(),
            machine_id: mandatory("machine-id")?.into(),
            node_authid: text_of("node-authid"),
            node_cluster_ip: text_of("node-cluster-ip"),
        },
    })
}

fn key(text: &str, tag: &'static str) -> Result<[u8; 32], ParseError> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(ParseError::InvalidKey(tag));
    }
    for (index, byte) in key.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).map_err(|_| ParseError::InvalidKey(tag))?;
    }
    Ok(key)
}

pub(super) fn private_text(key: &SigningKey, origin: &Origin) -> String {
    let title = "Crossring node private key - KEEP THIS SAFE!";
    common_text(title, key, origin) + &format!("private-key-ed25519: {}\n", hexadecimal(key.as_bytes()))
}

pub(super) fn public_text(key: &SigningKey, origin: &Origin) -> String {
    common_text("Crossring node public key", key, origin)
}

fn common_text(title: &str, key: &SigningKey, origin: &Origin) -> String {
    let lines = [
        ("creator", origin.creator.as_str()),
        ("created-at", &origin.created_at),
        ("machine-id", &origin.machine_id),
        ("node-authid", &origin.node_authid),
        ("node-cluster-ip", &origin.node_cluster_ip),
        ("public-key-ed25519", &hexadecimal(key.verifying_key().as_bytes())),
    ];
    let lines: String = lines.iter().map(|(tag, value)| format!("{tag}: {value}\n")).collect();
    format!("{title}\n\n{lines}")
}

impl Origin {
    /// The user, host and time of this call.
    pub(super) fn of_this_host() -> Origin {
        let host = first_line("/proc/sys/kernel/hostname");
        let user =
            ["USER", "LOGNAME"].iter().find_map(|name| variable(name)).unwrap_or_else(|| "unknown".into());
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Origin {
            creator: format!("{user}@{host}"),
            created_at: iso_8601(since_epoch.as_millis()),
            machine_id: first_line("/etc/machine-id"),
            node_authid: variable("CROSSBAR_NODE_ID").unwrap_or(host),
            node_cluster_ip: variable("CROSSBAR_NODE_CLUSTER_IP").unwrap_or_else(|| "127.0.0.1".into()),
        }
    }
}

/// A variable whose value fits on a line.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty() && !value.contains('\n'))
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().filter(|line| !line.is_empty()).unwrap_or("unknown").to_string()
}

/// UTC with milliseconds. The date is counted in eras of 400 years that begin on 1 March, so that leap days come last.
fn iso_8601(milliseconds: u128) -> String {
    let seconds = milliseconds / 1000;
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + later;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z",
        second % 60,
        milliseconds % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(iso_8601(milliseconds), expected);
        }
    }

    #[test]
    fn files_of_crossbar_are_read_and_wrong_ones_refused() {
        let key = "ab".repeat(32);
        let good = format!(
            "Crossbar.io node public key\n\ncreator: a@b\ncreated-at: x\nMachine-ID: y\npublic-key-ed25519: {key}\n\
             public-adr-eth: 0x00\n"
        );
        assert_eq!(parse(&good).ok().map(|file| file.public_key), Some([0xab; 32]));
        let cases = [
            (good.replace("machine-id", "x").replace("Machine-ID", "x"), ParseError::InvalidTag("x".into())),
            (good.replace("created-at", "creator"), ParseError::DuplicateTag("creator".into())),
            (good.replace("creator: a@b\n", ""), ParseError::Missing("creator")),
            (good.replace("abab", "zz"), ParseError::InvalidKey("public-key-ed25519")),
            (good.replace("ab", "é"), ParseError::InvalidKey("public-key-ed25519")),
            (String::new(), ParseError::Missing("public-key-ed25519")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text).err(), Some(expected), "{text}");
        }
    }
}
