//! The schema of the configuration as data: tables of keys with type, status and meaning, and the walks over them.
//!
//! One walk finds all faults of a document, one lists what this version does not build, one lists every key name. The
//! tables themselves (`tables/`) hold no code but predicates. The walks never stop at the first finding, never panic
//! on any JSON value, and never read anything but the document.

use serde_json::{Map, Value};

use super::fault::{Faults, Path, describe, describe_type};
use super::syntax::Syntax;

/// What this version does with a key, a variant or a choice.
#[derive(Clone, Copy)]
pub(crate) enum Status {
    /// Takes effect.
    Works,
    /// Checked, but refused at start unless its value switches the feature off. The text says what to do instead; without
    /// one the feature is planned.
    Refused(Off, Option<&'static str>),
    /// Accepted, without effect by design; the text says why.
    NoEffect(&'static str),
    /// The router always behaves as if this value were given; any other is accepted without effect, for the reason.
    Fixed(Off, &'static str),
}

/// The value of a key that asks for nothing beyond what is built, so that start need neither refuse nor mention it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    Never,
    True,
    False,
    Empty,
}

impl Off {
    fn is(self, value: &Value) -> bool {
        match self {
            Off::Never => false,
            Off::True => value == &Value::Bool(true),
            Off::False => value == &Value::Bool(false),
            Off::Empty => match value {
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            },
        }
    }
}

/// The type of one value.
pub(crate) enum Kind {
    Any,
    Null,
    Flag,
    Text,
    /// Text that must never be shown, whatever is wrong with it.
    Secret,
    Word(&'static Syntax),
    /// Bounds are inclusive.
    Integer(i64, i64),
    Number,
    /// An integer out of a list.
    IntegerOf(&'static [i64]),
    /// A time: 0 (off) or at least 1000, because smaller values are seconds by mistake.
    Milliseconds,
    Choice(&'static [Choice]),
    Object(&'static Table),
    List(&'static Kind),
    /// Exactly two ports, the second not below the first.
    PortRange,
    Map(&'static Syntax, &'static Kind),
    Tagged(&'static Union),
    /// The first alternative that fits by its JSON type, and a word by its syntax, decides.
    Either(&'static [&'static Kind]),
}

/// One permitted text of an enumeration.
pub(crate) struct Choice {
    pub(crate) text: &'static str,
    pub(crate) status: Status,
}

pub(crate) const fn choice(text: &'static str) -> Choice {
    Choice { text, status: Status::Works }
}

/// An object with a fixed set of keys.
pub(crate) struct Table {
    /// Where the object stands, such as `controller.options`; the heading in the reference.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) rules: &'static [Rule],
}

/// One key of an object.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static Kind,
    pub(crate) is_required: bool,
    pub(crate) status: Status,
    /// What holds when the key is absent, in words.
    pub(crate) default: &'static str,
    pub(crate) meaning: &'static str,
}

pub(crate) const fn key(name: &'static str, kind: &'static Kind, meaning: &'static str) -> Key {
    Key { name, kind, is_required: false, status: Status::Works, default: "", meaning }
}

impl Key {
    pub(crate) const fn required(self) -> Key {
        Key { is_required: true, ..self }
    }

    pub(crate) const fn default(self, default: &'static str) -> Key {
        Key { default, ..self }
    }

    pub(crate) const fn later(self) -> Key {
        self.later_unless(Off::Never)
    }

    pub(crate) const fn later_unless(self, off: Off) -> Key {
        Key { status: Status::Refused(off, None), ..self }
    }

    /// Not planned: `instead` is what to do.
    pub(crate) const fn refused(self, instead: &'static str) -> Key {
        self.refused_unless(Off::Never, instead)
    }

    pub(crate) const fn refused_unless(self, off: Off, instead: &'static str) -> Key {
        Key { status: Status::Refused(off, Some(instead)), ..self }
    }

    pub(crate) const fn fixed(self, value: Off, why: &'static str) -> Key {
        Key { status: Status::Fixed(value, why), ..self }
    }

    pub(crate) const fn no_effect(self, why: &'static str) -> Key {
        Key { status: Status::NoEffect(why), ..self }
    }
}

/// A rule over several keys of one object.
pub(crate) enum Rule {
    /// At least one of the keys.
    OneOf(&'static [&'static str]),
    /// At most one of the keys.
    NotBoth(&'static str, &'static str),
    /// All of the keys or none.
    Together(&'static str, &'static str),
    /// Anything else: returns the message of the fault, placed at the named key or, when empty, at the object.
    Check(&'static str, fn(&Map<String, Value>) -> Option<String>),
}

/// An object whose key `tag` decides which table holds.
pub(crate) struct Union {
    /// What the object is, with its article: `a worker`.
    pub(crate) what: &'static str,
    pub(crate) tag: &'static str,
    /// The variant taken when the tag is absent; without one the tag is mandatory.
    pub(crate) default: Option<&'static str>,
    pub(crate) variants: &'static [Variant],
}

/// One value of the tag and the table of the other keys.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) table: &'static Table,
    pub(crate) status: Status,
}

pub(crate) const fn variant(name: &'static str, table: &'static Table) -> Variant {
    Variant { name, table, status: Status::Works }
}

pub(crate) const fn later_variant(name: &'static str, table: &'static Table) -> Variant {
    Variant { name, table, status: Status::Refused(Off::Never, None) }
}

/// Not planned: `instead` is what to do.
pub(crate) const fn refused_variant(
    name: &'static str,
    table: &'static Table,
    instead: &'static str,
) -> Variant {
    Variant { name, table, status: Status::Refused(Off::Never, Some(instead)) }
}

impl Union {
    fn variant_of(&self, object: &Map<String, Value>) -> Option<&'static Variant> {
        let name = match object.get(self.tag) {
            Some(tag) => tag.as_str()?,
            None => self.default?,
        };
        self.variants.iter().find(|variant| variant.name == name)
    }
}

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Adds every fault of `value` against `kind` to `faults`.
pub(crate) fn check(kind: &Kind, value: &Value, path: &Path<'_>, faults: &mut Faults) {
    if !fits(kind, value) {
        // A secret may stand where an object belongs: `"joe": "ticket"` instead of `"joe": {"ticket": ...}`.
        let got = match kind {
            Kind::Secret | Kind::Object(_) | Kind::Map(..) | Kind::Tagged(_) | Kind::List(_) => {
                describe_type(value).to_string()
            }
            _ => describe(value),
        };
        let (expected, advice) = (expectation_in_words(kind), advice(kind, value));
        return faults.add(path, format!("expected {expected}, got {got}{advice}"));
    }
    match (kind, value) {
        (Kind::Word(syntax), Value::String(text)) => check_word(syntax, text, path, faults),
        (Kind::Milliseconds, value) => check_milliseconds(value, path, faults),
        (Kind::Object(table), Value::Object(object)) => check_object(table, None, object, path, faults),
        (Kind::Tagged(union), Value::Object(object)) => check_tagged(union, object, path, faults),
        (Kind::List(item), Value::Array(list)) => {
            list.iter().enumerate().for_each(|(index, value)| check(item, value, &path.index(index), faults))
        }
        (Kind::Map(syntax, item), Value::Object(map)) => {
            for (name, value) in map {
                check_word(syntax, name, &path.key(name), faults);
                check(item, value, &path.key(name), faults);
            }
        }
        (Kind::Either(alternatives), value) => {
            if let Some(kind) = alternative(alternatives, value) {
                check(kind, value, path, faults);
            }
        }
        _ => {}
    }
}

/// What a fault says was expected: what has to stand in an object, too.
fn expectation_in_words(kind: &Kind) -> String {
    let Kind::Object(table) = kind else { return expectation(kind) };
    let required = table.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect::<Vec<_>>();
    if required.is_empty() { expectation(kind) } else { format!("object with {}", quoted(&required)) }
}

/// What to do when only the quotes are wrong. Shows nothing that may be secret.
fn advice(kind: &Kind, value: &Value) -> String {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(bare @ (Value::Number(_) | Value::Bool(_))) if fits(kind, &bare) => {
                format!(": write {bare} without quotes")
            }
            _ => String::new(),
        },
        Value::Number(_) | Value::Bool(_) if suits(kind, &Value::String(value.to_string())) => {
            ": write it in quotes".into()
        }
        _ => String::new(),
    }
}

fn check_word(syntax: &Syntax, text: &str, path: &Path<'_>, faults: &mut Faults) {
    if (syntax.accepts)(text) {
        return;
    }
    let bare = text.trim_matches('/');
    let advice = match bare.len() < text.len() && (syntax.accepts)(bare) {
        true => format!(": write {bare:?}, without the slash"),
        false => String::new(),
    };
    faults.add(path, format!("invalid value {text:?}: expected {} ({}){advice}", syntax.name, syntax.rule));
}

fn check_milliseconds(value: &Value, path: &Path<'_>, faults: &mut Faults) {
    if let Some(time @ 1..1000) = value.as_i64() {
        faults.add(
            path,
            format!("the value is in milliseconds; {time} is too small (0 = off, else at least 1000)"),
        );
    }
}

fn check_object(
    table: &Table,
    tag: Option<&str>,
    object: &Map<String, Value>,
    path: &Path<'_>,
    faults: &mut Faults,
) {
    for (name, value) in object {
        match table.key(name) {
            Some(key) => check(key.kind, value, &path.key(name), faults),
            None if tag == Some(name) => {}
            None => faults.add(path.key(name), unknown_key(name, table, tag)),
        }
    }
    for key in table.keys.iter().filter(|key| key.is_required && !object.contains_key(key.name)) {
        faults.add(path, format!("missing mandatory key '{}'", key.name));
    }
    for rule in table.rules {
        match (rule, broken(rule, object)) {
            (_, None) => {}
            (Rule::Check(place, _), Some(message)) if !place.is_empty() => {
                faults.add(path.key(place), message)
            }
            (_, Some(message)) => faults.add(path, message),
        }
    }
}

fn check_tagged(union: &Union, object: &Map<String, Value>, path: &Path<'_>, faults: &mut Faults) {
    match (union.variant_of(object), object.get(union.tag)) {
        (Some(variant), _) => check_object(variant.table, Some(union.tag), object, path, faults),
        (None, None) => faults.add(path, format!("missing mandatory key '{}' of {}", union.tag, union.what)),
        (None, Some(value)) => {
            let message =
                format!("invalid type of {}: expected {}, got {}", union.what, names(union), describe(value));
            faults.add(path.key(union.tag), message);
        }
    }
}

/// The message of a rule that the object breaks.
fn broken(rule: &Rule, object: &Map<String, Value>) -> Option<String> {
    let has = |name: &str| object.contains_key(name);
    match rule {
        Rule::OneOf(keys) => (!keys.iter().any(|name| has(name)))
            .then(|| format!("missing mandatory key: one of {}", quoted(keys))),
        Rule::NotBoth(one, other) => {
            (has(one) && has(other)).then(|| format!("'{one}' and '{other}' cannot be given both at once"))
        }
        Rule::Together(one, other) => {
            (has(one) != has(other)).then(|| format!("'{one}' and '{other}' must be given together"))
        }
        Rule::Check(_, check) => check(object),
    }
}

/// Whether the JSON type of the value (and the range of a scalar) is right for `kind`.
fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Null => value.is_null(),
        Kind::Flag => value.is_boolean(),
        Kind::Text | Kind::Secret | Kind::Word(_) => value.is_string(),
        Kind::Integer(low, high) => value.as_i64().is_some_and(|number| (*low..=*high).contains(&number)),
        Kind::IntegerOf(list) => value.as_i64().is_some_and(|number| list.contains(&number)),
        Kind::Milliseconds => value.as_i64().is_some_and(|number| (0..=MILLISECONDS_MAX).contains(&number)),
        Kind::Number => value.is_number(),
        Kind::Choice(list) => {
            value.as_str().is_some_and(|text| list.iter().any(|choice| choice.text == text))
        }
        Kind::Object(_) | Kind::Map(..) | Kind::Tagged(_) => value.is_object(),
        Kind::List(_) => value.is_array(),
        Kind::PortRange => port_range(value).is_some(),
        Kind::Either(alternatives) => alternative(alternatives, value).is_some(),
    }
}

/// Longest time that may be configured: one year.
const MILLISECONDS_MAX: i64 = 365 * 24 * 3600 * 1000;

/// The pair of a port range.
pub(crate) fn port_range(value: &Value) -> Option<(u16, u16)> {
    let port =
        |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    match value.as_array()?.as_slice() {
        [first, last] => Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last),
        _ => None,
    }
}

fn alternative(alternatives: &'static [&'static Kind], value: &Value) -> Option<&'static Kind> {
    alternatives.iter().copied().find(|kind| suits(kind, value))
}

/// As [`fits`], and a word follows its syntax.
fn suits(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Word(syntax), Value::String(text)) => (syntax.accepts)(text),
        _ => fits(kind, value),
    }
}

/// What a kind expects, for messages and the reference.
pub(crate) fn expectation(kind: &Kind) -> String {
    match kind {
        Kind::Any => "any value".into(),
        Kind::Null => "null".into(),
        Kind::Flag => "boolean".into(),
        Kind::Text | Kind::Secret => "string".into(),
        Kind::Word(syntax) if syntax.rule.starts_with('$') => syntax.rule.into(),
        Kind::Word(syntax) => format!("string ({})", syntax.name),
        Kind::Integer(low, i64::MAX) => format!("integer from {low}"),
        Kind::Integer(low, high) => format!("integer {low}..{high}"),
        Kind::IntegerOf(list) => format!("integer, one of {}", joined(list)),
        Kind::Milliseconds => "integer (milliseconds, 0 or from 1000)".into(),
        Kind::Number => "number".into(),
        Kind::Choice(list) => {
            format!("one of {}", joined(&list.iter().map(|choice| quote(choice.text)).collect::<Vec<_>>()))
        }
        Kind::Object(_) | Kind::Tagged(_) => "object".into(),
        Kind::Map(syntax, item) => format!("object ({} → {})", bare(syntax.name), expectation(item)),
        Kind::List(item) => format!("list of {}", expectation(item)),
        Kind::PortRange => "pair of ports 1..65535 in ascending order".into(),
        Kind::Either(list) => list.iter().map(|kind| expectation(kind)).collect::<Vec<_>>().join(" or "),
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix("a ").or_else(|| name.strip_prefix("an ")).unwrap_or(name)
}

fn quote(text: &str) -> String {
    format!("\"{text}\"")
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn quoted(names: &[&str]) -> String {
    joined(&names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>())
}

fn names(union: &Union) -> String {
    let names = union.variants.iter().map(|variant| quote(variant.name)).collect::<Vec<_>>();
    format!("one of {}", joined(&names))
}

fn unknown_key(name: &str, table: &Table, tag: Option<&str>) -> String {
    let known = table.keys.iter().map(|key| key.name).chain(tag);
    match nearest(name, known) {
        Some(guess) => format!("unknown key '{name}' (did you mean '{guess}'?)"),
        None => format!("unknown key '{name}'"),
    }
}

/// The known name that `name` is most likely a misspelling of.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer keys come from hostile or foreign documents: no misspelling, and the distance is quadratic.
    const NAME_BYTES_MAX: usize = 64;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let distance_max = (name.chars().count() / 3).clamp(1, 3);
    let nearest = known.map(|known| (distance(name, known), known)).min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= distance_max).then_some(nearest.1)
}

/// Characters left out, put in, replaced or swapped with their neighbours; hyphens and underscores count as equal, and so
/// does case.
fn distance(one: &str, other: &str) -> usize {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let one: Vec<char> = one.chars().map(fold).collect();
    let other: Vec<char> = other.chars().map(fold).collect();
    // The two rows above the one that is made.
    let mut rows = [Vec::new(), (0..=other.len()).collect::<Vec<usize>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = rows[1][j] + usize::from(a != b);
            let is_swap = i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b && a != b;
            let swapped = if is_swap { rows[0][j - 1] + 1 } else { usize::MAX };
            row.push(replaced.min(swapped).min(rows[1][j + 1] + 1).min(row[j] + 1));
        }
        rows.swap(0, 1);
        rows[1] = row;
    }
    rows[1][other.len()]
}

/// What a valid document asks for beyond this version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Support {
    /// What this version refuses to start with.
    pub refused: Vec<Refusal>,
    /// Places that are accepted without effect, each with the reason: `(path, reason)`.
    pub without_effect: Vec<(String, &'static str)>,
}

/// Something that this version refuses to start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Such as `workers[0].transports[1].endpoint (type "onion")`.
    pub place: String,
    /// What to do instead; without it the feature is planned.
    pub instead: Option<&'static str>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.instead {
            Some(instead) => write!(f, "not supported: {}: {instead}", self.place),
            None => write!(f, "not supported yet: {}", self.place),
        }
    }
}

/// Lists everything in a valid document that is refused at start or has no effect.
pub(crate) fn survey(kind: &Kind, value: &Value, path: &Path<'_>, support: &mut Support) {
    match (kind, value) {
        (Kind::Object(table), Value::Object(object)) => survey_object(table, object, path, support),
        (Kind::Tagged(union), Value::Object(object)) => {
            let Some(variant) = union.variant_of(object) else { return };
            let detail = format!("{path} ({} {:?})", union.tag, variant.name);
            if admit(variant.status, value, &detail, support) {
                survey_object(variant.table, object, path, support);
            }
        }
        (Kind::Choice(list), Value::String(text)) => {
            if let Some(choice) = list.iter().find(|choice| choice.text == text) {
                admit(choice.status, value, &format!("{path} ({text:?})"), support);
            }
        }
        (Kind::List(item), Value::Array(list)) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| survey(item, value, &path.index(index), support)),
        (Kind::Map(_, item), Value::Object(map)) => {
            map.iter().for_each(|(name, value)| survey(item, value, &path.key(name), support))
        }
        (Kind::Either(alternatives), value) => {
            if let Some(kind) = alternative(alternatives, value) {
                survey(kind, value, path, support);
            }
        }
        _ => {}
    }
}

fn survey_object(table: &Table, object: &Map<String, Value>, path: &Path<'_>, support: &mut Support) {
    for (name, value) in object {
        let Some(key) = table.key(name) else { continue };
        let path = path.key(name);
        if admit(key.status, value, &path.to_string(), support) {
            survey(key.kind, value, &path, support);
        }
    }
}

/// Notes the status of one place; true when the walk should look inside.
fn admit(status: Status, value: &Value, place: &str, support: &mut Support) -> bool {
    match status {
        Status::Works => return true,
        Status::Refused(built_in, _) | Status::Fixed(built_in, _) if built_in.is(value) => {}
        Status::Refused(_, instead) => support.refused.push(Refusal { place: place.to_string(), instead }),
        Status::NoEffect(why) | Status::Fixed(_, why) => {
            support.without_effect.push((place.to_string(), why))
        }
    }
    false
}

/// Tables reachable from a kind, each once, in the order of the tables. With `only_live`, those reachable without
/// passing through anything that this version refuses or that has no effect.
pub(crate) fn tables_from(kind: &'static Kind, only_live: bool, tables: &mut Vec<Reachable>) {
    match kind {
        Kind::Object(table) => tables_from_table(table, None, only_live, tables),
        Kind::Tagged(union) => {
            for variant in union.variants.iter().filter(|variant| !only_live || is_live(variant.status)) {
                tables_from_table(variant.table, Some(union), only_live, tables);
            }
        }
        Kind::List(item) | Kind::Map(_, item) => tables_from(item, only_live, tables),
        Kind::Either(list) => list.iter().for_each(|kind| tables_from(kind, only_live, tables)),
        _ => {}
    }
}

/// A table and the union that it is a variant of.
pub(crate) type Reachable = (&'static Table, Option<&'static Union>);

fn is_live(status: Status) -> bool {
    matches!(status, Status::Works)
}

fn tables_from_table(
    table: &'static Table,
    union: Option<&'static Union>,
    only_live: bool,
    tables: &mut Vec<Reachable>,
) {
    if tables.iter().any(|(known, _)| std::ptr::eq(*known, table)) {
        return;
    }
    tables.push((table, union));
    for key in table.keys.iter().filter(|key| !only_live || is_live(key.status)) {
        tables_from(key.kind, only_live, tables);
    }
}
