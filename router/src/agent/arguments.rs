//! Arguments of meta procedures: by position, or by the same name.

use crossring_codec::id::SessionId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use super::Failure;

/// The names under which an argument may come; the first is used in errors.
pub(super) type Names = &'static [&'static str];

pub(super) const SESSION: Names = &["session_id", "session"];

/// A call of a meta procedure.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Who asks.
    pub(super) caller: SessionId,
    /// A session of the router itself asks.
    pub(super) is_trusted: bool,
    arguments: &'a [Value],
    keywords: &'a Dict,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        caller: SessionId,
        is_trusted: bool,
        arguments: &'a [Value],
        keywords: &'a Dict,
    ) -> Self {
        Self { caller, is_trusted, arguments, keywords }
    }

    /// The argument, null included.
    fn given(&self, position: usize, names: Names) -> Option<&'a Value> {
        let named = || self.keywords.iter().find(|(name, _)| names.contains(&name.as_str()));
        self.arguments.get(position).or_else(|| named().map(|(_, value)| value))
    }

    /// The argument; absent when it is null.
    pub(super) fn optional(&self, position: usize, names: Names) -> Option<&'a Value> {
        let named = self.keywords.iter().find(|(name, _)| names.contains(&name.as_str()));
        let by_position = self.arguments.get(position).filter(|value| **value != Value::Null);
        by_position.or(named.map(|(_, value)| value)).filter(|value| **value != Value::Null)
    }

    /// The keywords, and the argument at `position` among them.
    pub(super) fn keywords_with(&self, position: usize, name: &str) -> Dict {
        let by_position = self.arguments.get(position).map(|value| (name.to_owned(), value.clone()));
        by_position.into_iter().chain(self.keywords.iter().cloned()).collect()
    }

    fn required(&self, position: usize, names: Names) -> Result<&'a Value, Failure> {
        self.optional(position, names).ok_or_else(|| Failure::argument(names, "is missing"))
    }

    /// An integer; floating point numbers without a fraction count, because some clients know no other.
    pub(super) fn integer(&self, position: usize, names: Names) -> Result<i128, Failure> {
        read_integer(self.required(position, names)?).ok_or_else(|| Failure::argument(names, "is no integer"))
    }

    pub(super) fn optional_integer(&self, position: usize, names: Names) -> Result<Option<i128>, Failure> {
        let read = |value| read_integer(value).ok_or_else(|| Failure::argument(names, "is no integer"));
        self.optional(position, names).map(read).transpose()
    }

    pub(super) fn text(&self, position: usize, names: Names) -> Result<&'a str, Failure> {
        read_text(self.required(position, names)?, names)
    }

    pub(super) fn optional_text(&self, position: usize, names: Names) -> Result<Option<&'a str>, Failure> {
        self.optional(position, names).map(|value| read_text(value, names)).transpose()
    }

    /// A list of texts; absent when it is null or empty.
    pub(super) fn optional_texts(
        &self,
        position: usize,
        names: Names,
    ) -> Result<Option<Vec<&'a str>>, Failure> {
        let Some(value) = self.optional(position, names) else { return Ok(None) };
        let Value::List(entries) = value else { return Err(Failure::argument(names, "is no list")) };
        let texts: Result<Vec<&str>, Failure> = entries.iter().map(|entry| read_text(entry, names)).collect();
        texts.map(|texts| Some(texts).filter(|texts| !texts.is_empty()))
    }

    /// A list that must be there; null counts as empty.
    pub(super) fn list(&self, position: usize, names: Names) -> Result<Vec<Value>, Failure> {
        match self.given(position, names) {
            Some(Value::List(entries)) => Ok(entries.clone()),
            Some(Value::Null) => Ok(Vec::new()),
            Some(_) => Err(Failure::argument(names, "is no list")),
            None => Err(Failure::argument(names, "is missing")),
        }
    }

    /// A dict that must be there; null counts as empty.
    pub(super) fn dict(&self, position: usize, names: Names) -> Result<Dict, Failure> {
        match self.given(position, names) {
            Some(Value::Dict(entries)) => Ok(entries.clone()),
            Some(Value::Null) => Ok(Dict::new()),
            Some(_) => Err(Failure::argument(names, "is no dict")),
            None => Err(Failure::argument(names, "is missing")),
        }
    }

    /// A dict; empty when it is absent.
    pub(super) fn optional_dict(&self, position: usize, names: Names) -> Result<Dict, Failure> {
        match self.optional(position, names) {
            None => Ok(Dict::new()),
            Some(_) => self.dict(position, names),
        }
    }

    /// `options.match`
    pub(super) fn match_option(&self, position: usize) -> Result<Match, Failure> {
        const OPTIONS: Names = &["options"];
        let options = Value::Dict(self.optional_dict(position, OPTIONS)?);
        match options.get("match") {
            None | Some(Value::Null) => Ok(Match::Exact),
            Some(word) => word
                .as_str()
                .and_then(Match::from_wire)
                .ok_or_else(|| Failure::argument(OPTIONS, "has an unknown match")),
        }
    }
}

fn read_integer(value: &Value) -> Option<i128> {
    const EXACT_MAX: f64 = (1u64 << 53) as f64;
    match value {
        Value::Integer(number) => Some(*number),
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => Some(*number as i128),
        _ => None,
    }
}

fn read_text(value: &Value, names: Names) -> Result<&str, Failure> {
    value.as_str().ok_or_else(|| Failure::argument(names, "is no text"))
}

impl Failure {
    /// `wamp.error.invalid_argument`
    fn argument(names: Names, fault: &str) -> Self {
        let name = names.first().copied().unwrap_or_default();
        Self::invalid_argument(format!("argument {name} {fault}"))
    }
}
