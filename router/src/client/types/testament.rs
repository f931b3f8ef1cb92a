//! Testaments: what the router publishes when a session ends. They are made by calls of the meta API.

use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

/// Procedure that adds a testament.
const ADD: &str = "wamp.session.add_testament";
/// Procedure that takes them back.
const FLUSH: &str = "wamp.session.flush_testaments";

/// When testaments are published (specification, "Session Testament").
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum TestamentScope {
    /// When the session is over. Also after GOODBYE: a client that leaves in good order takes its testaments back first.
    #[default]
    Destroyed,
    /// When the transport is lost, though the session may be resumed.
    Detached,
}

impl TestamentScope {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            TestamentScope::Destroyed => "destroyed",
            TestamentScope::Detached => "detached",
        }
    }
}

/// A publication after the session's end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Testament {
    /// The topic.
    pub topic: String,
    /// Arguments.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Dict,
    /// Options of PUBLISH; `acknowledge` and `exclude_me` mean nothing.
    pub publish_options: Dict,
    /// When. Default: `destroyed`.
    pub scope: TestamentScope,
}

impl Testament {
    /// Procedure and payload of the call that adds it.
    pub fn add(&self, serializer: SerializerId) -> (&'static str, Payload<'static>) {
        let arguments =
            [self.topic.as_str().into(), Value::List(self.args.clone()), Value::Dict(self.kwargs.clone())];
        let mut keywords = scope(self.scope);
        if !self.publish_options.is_empty() {
            keywords.push(("publish_options".into(), Value::Dict(self.publish_options.clone())));
        }
        (ADD, Payload::from_values(serializer, &arguments, &keywords))
    }
}

/// Procedure and payload of the call that takes the testaments of a scope back.
pub fn flush_testaments(of: TestamentScope, serializer: SerializerId) -> (&'static str, Payload<'static>) {
    (FLUSH, Payload::from_values(serializer, &[], &scope(of)))
}

fn scope(scope: TestamentScope) -> Dict {
    vec![("scope".into(), scope.as_str().into())]
}
