//! The router service agent: the WAMP meta API of a realm (wamp.md 3).
//!
//! Procedures are plain functions on a [`Context`]; [`crate::control`] registers them for the service session of each realm and
//! turns INVOCATIONs into calls of them.

use crossring_codec::id::SessionId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use crate::address::{Now, RealmId};
use crate::outbox::Post;
use crate::registry::Registry;
use crate::store::RealmStore;

/// What a procedure works on.
#[allow(dead_code)] // procedures that use the rest follow
pub(crate) struct Context<'a> {
    pub(crate) registry: &'a mut Registry,
    pub(crate) store: &'a mut dyn RealmStore,
    /// The realm it was called in.
    pub(crate) realm: RealmId,
    /// Who called.
    pub(crate) caller: SessionId,
    pub(crate) now: Now,
    pub(crate) out: &'a mut dyn Post,
}

/// The result of a procedure.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) arguments: Vec<Value>,
    pub(crate) keywords: Dict,
}

/// The error of a procedure.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) error: Box<str>,
    pub(crate) arguments: Vec<Value>,
    pub(crate) keywords: Dict,
}

impl Failure {
    /// An error without arguments.
    pub(crate) fn new(error: &str) -> Self {
        Self { error: error.into(), arguments: Vec::new(), keywords: Dict::new() }
    }

    /// `wamp.error.invalid_argument` with a text.
    pub(crate) fn invalid_argument(text: &str) -> Self {
        Self { arguments: vec![text.into()], ..Self::new(well_known::INVALID_ARGUMENT) }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self { arguments: vec![value], keywords: Dict::new() }
    }
}

/// A procedure of the meta API.
pub(crate) struct Procedure {
    pub(crate) uri: &'static str,
    pub(crate) call: fn(&mut Context<'_>, &[Value], &Dict) -> Result<Reply, Failure>,
}

/// All procedures, in the order in which they are registered.
pub(crate) const PROCEDURES: &[Procedure] = &[Procedure { uri: "wamp.session.count", call: session_count }];

fn session_count(context: &mut Context<'_>, _: &[Value], _: &Dict) -> Result<Reply, Failure> {
    let realm = context.realm;
    let count = context.registry.inspect().sessions().filter(|member| member.realm == realm).count();
    Ok(Value::from(count as u64).into())
}
