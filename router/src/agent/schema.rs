//! `wamp.schema.…`, and the same under the names of the specification's sketch of reflection (wamp.md 2.6).
//!
//! A schema is whatever was declared for a URI. The reflection names list and describe those whose `type` is `topic`,
//! `procedure` or `error`.

use std::collections::BTreeMap;

use crossring_codec::uri::{Match, is_valid, well_known};
use crossring_codec::value::Value;

use super::arguments::{Names, Question};
use super::{Answer, Context, Failure, Reply, entry};
use crate::limits::{LIMIT_EXCEEDED, Limits};

const URI: Names = &["uri"];
const SCHEMA: Names = &["schema"];

/// The schemas of a realm.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    by_uri: BTreeMap<Box<str>, Value>,
    octets: usize,
}

impl Schemas {
    fn remove(&mut self, uri: &str) -> bool {
        let Some((uri, schema)) = self.by_uri.remove_entry(uri) else { return false };
        self.octets -= size(&uri, &schema);
        true
    }

    /// `Ok(true)`: there was none.
    fn define(&mut self, uri: &str, schema: &Value, limits: &Limits) -> Result<bool, Failure> {
        let known = self.by_uri.get(uri);
        let former = known.map_or(0, |known| size(uri, known));
        let octets = self.octets - former + size(uri, schema);
        let count = self.by_uri.len() + usize::from(known.is_none());
        if octets > limits.schema_octets_per_realm_max as usize
            || count > limits.schemas_per_realm_max as usize
        {
            return Err(Failure::with_text(LIMIT_EXCEEDED, "too many schemas on the realm".to_owned()));
        }
        self.octets = octets;
        Ok(self.by_uri.insert(uri.into(), schema.clone()).is_none())
    }

    fn of_type(&self, wanted: &str) -> impl Iterator<Item = (&str, &Value)> {
        let is_wanted = move |schema: &Value| schema.get("type").and_then(Value::as_str) == Some(wanted);
        let all = self.by_uri.iter().filter(move |(_, schema)| is_wanted(schema));
        all.map(|(uri, schema)| (&**uri, schema))
    }
}

fn size(uri: &str, schema: &Value) -> usize {
    uri.len() + super::octets(schema)
}

/// Declares a schema: true if there was none, false if it replaced another, null if nothing changed. A schema of null
/// removes; the URI if there was one, null if not.
pub(super) fn define(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let uri = question.text(0, URI)?;
    check_uri(context, question, uri)?;
    let Some(schema) = question.optional(1, SCHEMA).filter(|schema| !is_nothing(schema)) else {
        return undefine(context, uri);
    };
    if context.schemas.by_uri.get(uri) == Some(schema) {
        return Reply::one(Value::Null);
    }
    let is_new = context.schemas.define(uri, schema, context.registry.limits())?;
    for topic in ["wamp.schema.on_define", "wamp.reflect.on_define"] {
        context.events.push((topic, vec![uri.into(), schema.clone(), is_new.into()]));
    }
    Reply::one(is_new)
}

fn undefine(context: &mut Context<'_>, uri: &str) -> Answer {
    if !context.schemas.remove(uri) {
        return Reply::one(Value::Null);
    }
    for topic in ["wamp.schema.on_undefine", "wamp.reflect.on_undefine"] {
        context.events.push((topic, vec![uri.into()]));
    }
    Reply::one(uri)
}

fn is_nothing(schema: &Value) -> bool {
    matches!(schema, Value::Dict(entries) if entries.is_empty())
}

fn check_uri(context: &Context<'_>, question: &Question<'_>, uri: &str) -> Result<(), Failure> {
    let is_too_long = uri.len() > context.registry.limits().uri_size_max as usize;
    if is_too_long || !is_valid(uri, Match::Exact, context.registry.strictness(context.realm)) {
        return Err(Failure::with_text(well_known::INVALID_URI, format!("invalid URI '{uri}'")));
    }
    if question.is_trusted || !entry::is_protected(uri) {
        return Ok(());
    }
    let text = format!("not authorized to define schema for protected URI \"{uri}\"");
    Err(Failure::with_message(well_known::NOT_AUTHORIZED, text))
}

/// The schema of a URI, or null; without a URI all of them.
pub(super) fn describe(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let known = &context.schemas.by_uri;
    Reply::one(match question.optional_text(0, URI)? {
        Some(uri) => known.get(uri).cloned().unwrap_or_default(),
        None => Value::Dict(known.iter().map(|(uri, schema)| (uri.to_string(), schema.clone())).collect()),
    })
}

fn list_type(context: &Context<'_>, wanted: &str) -> Answer {
    Reply::one(Value::List(context.schemas.of_type(wanted).map(|(uri, _)| uri.into()).collect()))
}

fn describe_type(context: &Context<'_>, question: &Question<'_>, wanted: &str) -> Answer {
    let uri = question.text(0, URI)?;
    let found = context.schemas.of_type(wanted).find(|(known, _)| *known == uri);
    Reply::one(found.map(|(_, schema)| schema.clone()).unwrap_or_default())
}

pub(super) fn list_topics(context: &mut Context<'_>, _question: &Question<'_>) -> Answer {
    list_type(context, "topic")
}

pub(super) fn describe_topic(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    describe_type(context, question, "topic")
}

pub(super) fn list_procedures(context: &mut Context<'_>, _question: &Question<'_>) -> Answer {
    list_type(context, "procedure")
}

pub(super) fn describe_procedure(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    describe_type(context, question, "procedure")
}

pub(super) fn list_errors(context: &mut Context<'_>, _question: &Question<'_>) -> Answer {
    list_type(context, "error")
}

pub(super) fn describe_error(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    describe_type(context, question, "error")
}
