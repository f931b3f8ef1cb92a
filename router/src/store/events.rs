//! `wamp.subscription.get_events` (wamp.md 2.1.8): from its arguments to a query, from events to its result.

use crossring_codec::id::{PublicationId, SubscriptionId};
use crossring_codec::message::Passthru;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use super::{Bounds, EventRecord, EventsQuery, Pattern, Reader, RealmStore};
use crate::rfc3339;

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EventsFailure {
    /// `wamp.error.invalid_argument`, with a text.
    Argument(String),
}

/// The events of a subscription's history: arguments and keywords of the result.
///
/// The caller has found the subscription, and made sure that the reader may subscribe to its pattern.
///
/// # Errors
/// A keyword of the wrong type or out of range, or the name of a publication that is not in the history.
pub fn get_events(
    store: &dyn RealmStore,
    reader: &Reader<'_>,
    subscription: SubscriptionId,
    pattern: Pattern<'_>,
    keywords: &Dict,
) -> Result<(Vec<Value>, Dict), EventsFailure> {
    let query = EventsQuery::from_keywords(keywords)?;
    let answer = store.events(pattern, &query, reader).map_err(|unknown| {
        EventsFailure::Argument(format!("publication {} is not in the history", unknown.0))
    })?;
    let events = answer.events.iter().map(|event| event_value(event, subscription, pattern.match_policy));
    let is_limit_reached = ("is_limit_reached".to_owned(), answer.is_limit_reached.into());
    Ok((events.collect(), vec![is_limit_reached]))
}

impl EventsQuery {
    /// Reads the keywords of the call. Unknown ones are ignored, `null` counts as absent.
    ///
    /// # Errors
    /// A keyword of the wrong type or out of range.
    pub fn from_keywords(keywords: &Dict) -> Result<Self, EventsFailure> {
        let mut query = Self::default();
        for (name, value) in keywords.iter().filter(|(_, value)| *value != Value::Null) {
            let fault = |wanted: &str| EventsFailure::Argument(format!("'{name}' must be {wanted}"));
            let (times, publications) = (&mut query.times, &mut query.publications);
            match name.as_str() {
                "reverse" => query.reverse = boolean(value).ok_or_else(|| fault("a boolean"))?,
                "limit" => {
                    query.limit = Some(positive(value).ok_or_else(|| fault("an integer greater than 0"))?);
                }
                "topic" => query.topic = Some(value.as_str().ok_or_else(|| fault("a URI"))?.into()),
                _ => {
                    if let Some(bound) = bound_mut(times, name, "_time") {
                        *bound = Some(time(value).ok_or_else(|| fault("a time in RFC 3339"))?);
                    } else if let Some(bound) = bound_mut(publications, name, "_publication") {
                        *bound = Some(publication(value).ok_or_else(|| fault("a publication id"))?);
                    }
                }
            }
        }
        Ok(query)
    }
}

/// The bound that a keyword like `from_time` names.
fn bound_mut<'a, T>(bounds: &'a mut Bounds<T>, name: &str, kind: &str) -> Option<&'a mut Option<T>> {
    match name.strip_suffix(kind)? {
        "from" => Some(&mut bounds.from),
        "after" => Some(&mut bounds.after),
        "before" => Some(&mut bounds.before),
        "until" => Some(&mut bounds.until),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        _ => None,
    }
}

fn positive(value: &Value) -> Option<usize> {
    let number = value.as_integer().filter(|number| *number > 0)?;
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}

fn time(value: &Value) -> Option<i128> {
    rfc3339::parse(value.as_str()?)
}

fn publication(value: &Value) -> Option<PublicationId> {
    PublicationId::new(u64::try_from(value.as_integer()?).ok()?)
}

/// An event as the result tells it.
fn event_value(event: &EventRecord, subscription: SubscriptionId, policy: Match) -> Value {
    let mut fields = vec![
        ("timestamp".to_owned(), Value::String(rfc3339::format(event.unix_ms))),
        ("subscription".to_owned(), subscription.get().into()),
        ("publication".to_owned(), event.publication.publication.get().into()),
        ("details".to_owned(), Value::Dict(details(event, policy))),
    ];
    let parcel = event.publication.parcel.payload();
    // The decoder has validated the payload; what it lets pass and no tree can hold is left out.
    if let Ok(Some(transparent)) = parcel.transparent() {
        fields.push(("args".to_owned(), transparent));
    } else if let Some(arguments) = parcel.arguments().ok().filter(|arguments| !arguments.is_empty()) {
        fields.push(("args".to_owned(), Value::List(arguments)));
    }
    if let Some(keywords) = parcel.keywords().ok().filter(|keywords| !keywords.is_empty()) {
        fields.push(("kwargs".to_owned(), Value::Dict(keywords)));
    }
    Value::Dict(fields)
}

/// What `EVENT.Details` would say.
fn details(event: &EventRecord, policy: Match) -> Dict {
    let publication = &event.publication;
    let publisher = publication.publisher.as_ref();
    let session = publisher.map(|publisher| ("publisher".to_owned(), publisher.session.get().into()));
    let mut details: Dict = session.into_iter().collect();
    let mut text = |name: &str, value: Option<&str>| {
        details.extend(value.map(|value| (name.to_owned(), value.into())));
    };
    text("publisher_authid", publisher.map(|publisher| &*publisher.authid));
    text("publisher_authrole", publisher.map(|publisher| &*publisher.authrole));
    text("topic", Some(&*publication.topic).filter(|_| policy != Match::Exact));
    if let Some(extra) = publication.extra.as_deref() {
        text("transaction_hash", extra.transaction_hash.as_deref());
        for (name, value) in passthru_texts(&extra.passthru) {
            text(name, value);
        }
    }
    details.extend(publication.trustlevel.map(|level| ("trustlevel".to_owned(), level.into())));
    details
}

fn passthru_texts<'a>(keys: &'a Passthru<'_>) -> [(&'static str, Option<&'a str>); 7] {
    [
        ("ppt_scheme", keys.ppt_scheme.as_deref()),
        ("ppt_serializer", keys.ppt_serializer.as_deref()),
        ("ppt_cipher", keys.ppt_cipher.as_deref()),
        ("ppt_keyid", keys.ppt_keyid.as_deref()),
        ("enc_algo", keys.enc_algo.as_deref()),
        ("enc_key", keys.enc_key.as_deref()),
        ("enc_serializer", keys.enc_serializer.as_deref()),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossring_codec::payload::Payload;
    use crossring_codec::serializer::SerializerId;

    use super::*;
    use crate::config::StoreConfig;
    use crate::letter::{Disclosure, Parcel};
    use crate::store::MemoryStore;
    use crate::store::tests::{event, id, publication, reader};

    fn dict(json: &str) -> Dict {
        match Value::decode(SerializerId::Json, json.as_bytes()) {
            Ok(Value::Dict(entries)) => entries,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn all_keywords() {
        let keywords = dict(
            r#"{"reverse":true,"limit":5,"topic":"com.x","from_time":"1970-01-01T00:00:00.001Z","until_time":null,
            "after_publication":7,"until_publication":9,"unknown":[]}"#,
        );
        let expected = EventsQuery {
            reverse: true,
            limit: Some(5),
            times: Bounds { from: Some(1_000_000), ..Bounds::default() },
            publications: Bounds {
                after: Some(publication(7)),
                until: Some(publication(9)),
                ..Bounds::default()
            },
            topic: Some("com.x".into()),
        };
        assert_eq!(EventsQuery::from_keywords(&keywords), Ok(expected));
    }

    #[test]
    fn keywords_that_are_refused() {
        for json in [
            r#"{"limit":0}"#,
            r#"{"limit":"1"}"#,
            r#"{"limit":-3}"#,
            r#"{"reverse":1}"#,
            r#"{"from_time":"yesterday"}"#,
            r#"{"before_time":12}"#,
            r#"{"until_publication":0}"#,
            r#"{"from_publication":true}"#,
            r#"{"topic":1}"#,
        ] {
            assert!(EventsQuery::from_keywords(&dict(json)).is_err(), "{json}");
        }
    }

    #[test]
    fn a_result() {
        let mut told = (*event(1, "com.x")).clone();
        told.unix_ms = 1_767_323_045_678;
        let (authid, authrole) = ("joe".into(), "user".into());
        told.publication.publisher = Some(Disclosure { session: id(5), authid, authrole });
        let payload = Payload::from_values(SerializerId::Cbor, &[1.into()], &dict(r#"{"k":[]}"#));
        told.publication.parcel = Parcel::pack(&payload);
        let pattern = Pattern { uri: "com.", match_policy: Match::Prefix };
        let mut store = MemoryStore::new(&StoreConfig::default());
        store.append_event(pattern, 10, &Arc::new(told));
        let subscription = SubscriptionId::from_random(0);
        let (events, keywords) =
            get_events(&store, &reader(9), subscription, pattern, &Dict::new()).expect("all");
        let expected = dict(
            r#"{"timestamp":"2026-01-02T03:04:05.678Z","subscription":1,"publication":1,"details":{"publisher":5,
            "publisher_authid":"joe","publisher_authrole":"user","topic":"com.x"},"args":[1],"kwargs":{"k":[]}}"#,
        );
        assert_eq!(events, [Value::Dict(expected)]);
        assert_eq!(keywords, dict(r#"{"is_limit_reached":false}"#));
    }
}
