//! Records of cookies as text: one JSON object a line, as Crossbar.io keeps them in a file to which it only appends.

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::{ChangeKind, CookieLogin, CookieRecord};
use crate::config::Secret;
use crate::lifecycle::NS_PER_MS;
use crate::rfc3339;

/// One line, its end included. `unix_ms`: when it happened.
pub fn write_record(kind: ChangeKind, record: &CookieRecord, unix_ms: u64) -> String {
    let time = |unix_ms: u64| Value::String(rfc3339::format(unix_ms));
    let login = record.login.as_ref();
    let word = |word: Option<&Box<str>>| word.map_or(Value::Null, |word| Value::from(&**word));
    let status = match kind {
        ChangeKind::Created => "created",
        ChangeKind::Modified => "modified",
        ChangeKind::Deleted => "deleted",
    };
    let entries = [
        ("cbtid", Value::from(record.value.expose())),
        ("status", status.into()),
        ("created", time(record.created_unix_ms)),
        ("modified", record.modified_unix_ms.map_or(Value::Null, time)),
        ("deleted", if kind == ChangeKind::Deleted { time(unix_ms) } else { Value::Null }),
        ("max_age", u64::from(record.max_age_s).into()),
        ("authid", word(login.map(|login| &login.authid))),
        ("authrole", word(login.map(|login| &login.authrole))),
        ("authmethod", word(login.map(|login| &login.authmethod))),
        ("authrealm", word(login.map(|login| &login.realm))),
        ("authextra", login.map_or(Value::Null, |login| Value::Dict(login.authextra.clone()))),
    ];
    let line = Value::Dict(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let mut octets = Vec::new();
    // JSON lacks numbers that are none; without the extra a login is still one.
    if line.encode(SerializerId::Json, &mut octets).is_err() {
        let mut plain = record.clone();
        if let Some(login) = &mut plain.login {
            login.authextra = Dict::new();
        }
        return write_record(kind, &plain, unix_ms);
    }
    let mut line = String::from_utf8(octets).unwrap_or_default();
    line.push('\n');
    line
}

/// What remains of a file: the last record of each cookie that has not been deleted since, in the order in which they first
/// came. Lines that are no records are counted, not read: a crash may have cut the last one short.
pub fn read_records(text: &str) -> (Vec<CookieRecord>, usize) {
    let (mut records, mut bad) = (Vec::<Option<CookieRecord>>::new(), 0);
    let mut places = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((record, is_deleted)) = read_line(line) else {
            bad += 1;
            continue;
        };
        let place = *places.entry(record.value.expose().to_owned()).or_insert_with(|| {
            records.push(None);
            records.len() - 1
        });
        records[place] = (!is_deleted).then_some(record);
    }
    (records.into_iter().flatten().collect(), bad)
}

fn read_line(line: &str) -> Option<(CookieRecord, bool)> {
    let line = Value::decode(SerializerId::Json, line.as_bytes()).ok()?;
    let word = |name: &str| line.get(name).and_then(Value::as_str);
    let time = |name: &str| u64::try_from(rfc3339::parse(word(name)?)? / i128::from(NS_PER_MS)).ok();
    let authextra = match line.get("authextra") {
        Some(Value::Dict(extra)) => extra.clone(),
        _ => Dict::new(),
    };
    let login = || {
        Some(CookieLogin {
            realm: word("authrealm")?.into(),
            authid: word("authid")?.into(),
            authrole: word("authrole")?.into(),
            authmethod: word("authmethod")?.into(),
            authextra,
        })
    };
    let record = CookieRecord {
        value: Secret::new(word("cbtid").filter(|value| !value.is_empty())?),
        created_unix_ms: time("created")?,
        modified_unix_ms: time("modified"),
        max_age_s: u32::try_from(line.get("max_age")?.as_integer()?).ok()?,
        login: login(),
    };
    let is_deleted = line.get("deleted").is_some_and(|deleted| *deleted != Value::Null);
    Some((record, is_deleted))
}
