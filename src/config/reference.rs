//! The reference of all configuration keys, written from the tables: it cannot disagree with what is checked.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::schema::{Key, Kind, Off, Reachable, Status, Table, Union, expectation, tables_from};
use super::tables::controller::NODE;

/// Every key name and every `type` value that a configuration may contain, sorted, each once, as written in a file.
pub fn all_config_keys() -> Vec<String> {
    let mut names = BTreeSet::new();
    for (table, union) in tables(false) {
        names.extend(table.keys.iter().map(|key| key.name));
        names.extend(union.into_iter().flat_map(|union| union.variants).map(|variant| variant.name));
    }
    names.into_iter().map(str::to_string).collect()
}

/// One Markdown section per object, in the order in which they can be met.
pub fn reference_markdown() -> String {
    let live = tables(true);
    let mut text = String::new();
    for (table, union) in tables(false) {
        let is_live = live.iter().any(|(known, _)| std::ptr::eq(*known, table));
        section(&mut text, table, union, is_live);
    }
    text
}

fn tables(only_live: bool) -> Vec<Reachable> {
    let mut tables = Vec::new();
    tables_from(&NODE, only_live, &mut tables);
    tables
}

// Writing to a String cannot fail, so the results of `write!` are dropped here.
fn section(text: &mut String, table: &Table, union: Option<&Union>, is_live: bool) {
    let _ = writeln!(text, "### {}\n", table.name);
    if let Some(instead) = union.and_then(|union| alternative_to(table, union)) {
        let _ = writeln!(text, "Not supported: {instead}.\n");
    } else if !is_live {
        let _ = writeln!(text, "Checked, but part of something that does not work in this version.\n");
    }
    if table.keys.is_empty() && union.is_none() {
        let _ = writeln!(text, "No keys.\n");
        return;
    }
    let _ = writeln!(text, "| key | type | default | status | meaning |\n|---|---|---|---|---|");
    if let Some(union) = union {
        tag_row(text, table, union);
    }
    table.keys.iter().for_each(|key| key_row(text, key, is_live));
    text.push('\n');
}

/// What to do instead of using an object of this kind.
fn alternative_to(table: &Table, union: &Union) -> Option<&'static str> {
    let variant = union.variants.iter().find(|variant| std::ptr::eq(variant.table, table))?;
    match variant.status {
        Status::Refused(_, instead) => instead,
        _ => None,
    }
}

fn tag_row(text: &mut String, table: &Table, union: &Union) {
    let names: Vec<_> = union
        .variants
        .iter()
        .filter(|variant| std::ptr::eq(variant.table, table))
        .map(|variant| format!("`{}`", variant.name))
        .collect();
    let default = union.default.map_or_else(|| "required".to_string(), |name| format!("`{name}`"));
    let _ =
        writeln!(text, "| `{}` | {} | {default} | | Says what the object is. |", union.tag, names.join(", "));
}

fn key_row(text: &mut String, key: &Key, is_live: bool) {
    let default = match (key.is_required, key.default) {
        (true, _) => "required",
        (false, "") => "—",
        (false, default) => default,
    };
    let kind = type_text(key.kind).replace('|', "\\|");
    let status = if is_live { status_text(key) } else { "—".into() };
    let _ = writeln!(text, "| `{}` | {kind} | {default} | {status} | {} |", key.name, key.meaning);
}

/// The type of a key; choices are quoted as code and name what this version refuses.
fn type_text(kind: &Kind) -> String {
    match kind {
        Kind::Choice(list) => {
            let choices = list.iter().map(|choice| match choice.status {
                Status::Refused(..) => format!("`{}` (refused)", choice.text),
                _ => format!("`{}`", choice.text),
            });
            choices.collect::<Vec<_>>().join(", ")
        }
        Kind::List(item) => format!("list of {}", type_text(item)),
        Kind::Word(syntax) => format!("string: {}", syntax.rule),
        Kind::Tagged(union) => {
            let names: Vec<_> = union.variants.iter().map(|variant| format!("`{}`", variant.name)).collect();
            format!("object with `{}` {}", union.tag, names.join(", "))
        }
        Kind::Either(list) => list.iter().map(|kind| type_text(kind)).collect::<Vec<_>>().join(" or "),
        kind => expectation(kind),
    }
}

fn status_text(key: &Key) -> String {
    match key.status {
        Status::Works => "works".into(),
        Status::NoEffect(why) | Status::Fixed(_, why) => format!("no effect: {why}"),
        Status::Refused(off, instead) => {
            let unless = off_text(off).map(|off| format!(" unless {off}")).unwrap_or_default();
            let instead = instead.map(|instead| format!(": {instead}")).unwrap_or_default();
            format!("refused{unless}{instead}")
        }
    }
}

fn off_text(off: Off) -> Option<&'static str> {
    match off {
        Off::Never => None,
        Off::True => Some("`true`"),
        Off::False => Some("`false`"),
        Off::Empty => Some("empty"),
    }
}
