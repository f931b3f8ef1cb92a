//! Questions that the router asks procedures of a realm: who somebody is, what a session may do.
//!
//! Whoever asks leaves an [`Inquiry`]; [`crate::control`] makes it a CALL of the realm's service session, and gives the
//! [`Answer`] back to the [`Asker`]. There is always exactly one answer, unless the asker is gone by then.

use std::fmt;

use crossring_codec::id::SessionId;
use crossring_codec::value::{Dict, Value};

use crate::address::{RealmId, SessionAddress};
use crate::control::permissions::Permission;

/// A question and who asks it.
#[derive(Debug, PartialEq)]
pub(crate) struct Inquiry {
    pub(crate) asker: Asker,
    pub(crate) question: Question,
    /// Milliseconds until the answer is `wamp.error.timeout`.
    pub(crate) timeout_ms: u32,
}

/// Who is given the answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Asker {
    /// An attempt to join, under the id that its session will have.
    Attempt { address: SessionAddress, session: SessionId },
    /// Whoever wants to do something.
    Permission(Box<Permission>),
}

/// What is called. No log ever shows the arguments: a ticket may be among them.
#[derive(PartialEq)]
pub(crate) struct Question {
    pub(crate) realm: RealmId,
    pub(crate) procedure: Box<str>,
    pub(crate) arguments: Vec<Value>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, procedure, .. } = self;
        f.debug_struct("Question").field("realm", realm).field("procedure", procedure).finish_non_exhaustive()
    }
}

/// What the procedure has said. No log ever shows it: the secret of somebody may be in it.
#[derive(PartialEq)]
pub(crate) enum Answer {
    /// RESULT
    Result(Vec<Value>, Dict),
    /// ERROR, from the procedure or from the router.
    Error(Box<str>, Vec<Value>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Result(..) => f.write_str("Result(…)"),
            Answer::Error(error, _) => write!(f, "Error({error}, …)"),
        }
    }
}

/// The name of a value's type as those who write authenticators and authorizers know it from Crossbar.io, in Python's words.
pub(crate) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Integer(_) => "int",
        Value::Float(_) => "float",
        Value::String(_) => "str",
        Value::Binary(_) => "bytes",
        Value::List(_) => "list",
        Value::Dict(_) => "dict",
    }
}
