//! Faults of a configuration file: where and what. A check collects all of them; nothing here stops at the first.

use std::fmt;

use serde_json::Value;

/// One fault of a configuration, with the place it was found at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Place inside the document, such as `workers[0].transports[1].endpoint.port`; `(top level)` for the root.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Line and column (both from 1) in the source text, known for JSON only.
    pub position: Option<Position>,
}

/// Line and column in a source text, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match self.position {
            Some(at) => write!(f, " (line {}, column {})", at.line, at.column),
            None => Ok(()),
        }
    }
}

/// A place in the document while it is walked: a list of segments that lives on the stack of the walk.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, name: &'a str) -> Path<'a> {
        Path::Key(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("(top level)"),
            Path::Index(Path::Root, index) => write!(f, "[{index}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(Path::Root, name) => write_key(f, name),
            Path::Key(parent, name) => {
                write!(f, "{parent}")?;
                if is_plain(name) {
                    f.write_str(".")?;
                }
                write_key(f, name)
            }
        }
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    match is_plain(name) {
        true => f.write_str(name),
        false => write!(f, "[{name:?}]"),
    }
}

/// Keys that need no quotes in a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'))
}

/// Collects faults.
#[derive(Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, path: impl fmt::Display, message: impl Into<String>) {
        let path = path.to_string();
        self.list.push(Fault { path, message: message.into(), position: None });
    }

    pub(crate) fn into_vec(self) -> Vec<Fault> {
        self.list
    }
}

/// Describes a value in a message: its type and, where short, itself.
pub(crate) fn describe(value: &Value) -> String {
    const TEXT_CHARS_MAX: usize = 60;
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => format!("boolean {flag}"),
        Value::Number(number) if number.is_f64() => format!("number {number}"),
        Value::Number(number) => format!("integer {number}"),
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
            format!("string {:?}...", text.chars().take(TEXT_CHARS_MAX).collect::<String>())
        }
        Value::String(text) => format!("string {text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Describes only the type of a value, for places that hold secrets.
pub(crate) fn describe_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
