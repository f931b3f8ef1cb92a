//! `wamp.subscription.…` (wamp.md 3.4).

use crossring_codec::id::SubscriptionId;
use crossring_codec::uri::{Match, well_known};
use crossring_codec::value::{Dict, Value};

use super::arguments::{Names, Question, SESSION};
use super::entry::{self, Kind};
use super::{Answer, Context, Failure, Reply, no_caller};
use crate::authz::Action;
use crate::control::permissions::Wanted;
use crate::registry::Entry;
use crate::store::{self, EventsFailure, Pattern, Reader};

const SUBSCRIPTION: Names = &["subscription_id", "subscription"];
const SUBSCRIBER: Names = &["subscriber_id", "session"];
const TOPIC: Names = &["topic"];
/// Why a subscription ended, when nobody says it better.
const UNSUBSCRIBED: &str = "wamp.error.unsubscribed";
const REASON: Names = &["reason"];

/// All subscriptions, or those of a session.
pub(super) fn list(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let (registry, realm) = (&*context.registry, context.realm);
    let Some(session) = question.optional_integer(0, SESSION)? else {
        return Reply::one(entry::by_policy(registry.subscription_entries(realm), question));
    };
    let held = entry::find_client(context, session)?.1.subscriptions_held();
    let entries = held.into_iter().filter_map(|id| registry.subscription_entry(realm, id));
    Reply::one(entry::by_policy(entries, question))
}

/// The subscription to exactly this.
pub(super) fn lookup(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let topic = question.text(0, TOPIC)?;
    let id = context.registry.find_subscription(context.realm, topic, question.match_option(1)?);
    let visible = id.filter(|_| question.is_trusted || !entry::is_protected(topic));
    Reply::one(visible.map_or(Value::Null, Value::from))
}

/// The subscriptions that get what is published to a topic.
pub(super) fn match_topic(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let entries = context.registry.matching_subscriptions(context.realm, question.text(0, TOPIC)?);
    let visible = entries.iter().filter(|entry| entry::is_visible(entry, question));
    let ids: Vec<Value> = visible.map(|entry| Value::from(entry.id)).collect();
    Reply::one(if ids.is_empty() { Value::Null } else { Value::List(ids) })
}

/// One subscription.
pub(super) fn get(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    Reply::one(entry::describe(&find(context, question, "get")?))
}

/// The sessions subscribed.
pub(super) fn list_subscribers(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = find(context, question, "list subscribers")?.id;
    Reply::one(entry::session_ids(context.registry.subscribers(id)))
}

/// How many sessions are subscribed.
pub(super) fn count_subscribers(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let id = find(context, question, "count subscribers")?.id;
    Reply::one(entry::count(context.registry.subscribers(id)))
}

/// Ends the subscription of one session.
pub(super) fn remove_subscriber(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let subscriber = question.integer(1, SUBSCRIBER)?;
    let reason = question.optional_text(2, REASON)?.unwrap_or(UNSUBSCRIBED);
    let id = find(context, question, "remove subscriber")?.id;
    let (address, _) = entry::find_client(context, subscriber).map_err(Failure::with_text_as_message)?;
    let subscription = SubscriptionId::new(id).ok_or_else(|| Kind::Subscription.unknown(id.into()))?;
    if context.registry.revoke_subscription(address, subscription, reason, &mut context.out) {
        return Reply::none();
    }
    let text = format!("session {subscriber} is not subscribed on subscription {id} on this broker");
    Err(Failure::with_text(well_known::NO_SUCH_SUBSCRIPTION, text))
}

/// The events that the history of the subscription keeps (wamp.md 2.1.8).
pub(super) fn get_events(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let entry = find(context, question, "get events")?;
    let (id, match_policy) = (entry.id, entry.match_policy);
    let uri = entry.uri.to_owned();
    let pattern = Pattern { uri: &uri, match_policy };
    let history = &context.registry.config().realms[usize::from(context.realm.0)].store.history;
    if !history.iter().any(|rule| *rule.uri == *uri && rule.match_policy == match_policy) {
        let given = if history.is_empty() { "" } else { " for the given subscription is" };
        let text = format!("event history{given} not available or enabled");
        return Err(Failure::with_message("wamp.error.history_unavailable", text));
    }
    let id = SubscriptionId::new(id).ok_or_else(|| Kind::Subscription.unknown(id.into()))?;
    let (_, session) = context.registry.session_by_id(question.caller).ok_or_else(no_caller)?;
    let (realm, role) = (session.identity.realm, session.identity.role);
    let wanted = Wanted { action: Action::Subscribe, uri: uri.as_str().into(), match_policy };
    if !context.may(realm, role, wanted, || match_option(match_policy))? {
        let text = format!("session not authorized to subscribe to topic '{uri}'");
        return Err(Failure::with_text(well_known::NOT_AUTHORIZED, text));
    }
    let (_, session) = context.registry.session_by_id(question.caller).ok_or_else(no_caller)?;
    let reader = Reader {
        session: session.id,
        authid: &session.identity.authid,
        authrole: context.registry.role_name(session),
    };
    let keywords = question.keywords_with(1, "limit");
    match store::get_events(context.store, &reader, id, pattern, &keywords) {
        Ok((arguments, keywords)) => Ok(Reply { arguments, keywords }),
        Err(EventsFailure::Argument(text)) => Err(Failure::invalid_argument(text)),
    }
}

fn find<'a>(context: &'a Context<'_>, question: &Question<'_>, deed: &str) -> Result<Entry<'a>, Failure> {
    let id = question.integer(0, SUBSCRIPTION)?;
    let known = context.registry.subscription_entry(context.realm, entry::as_id(id));
    Kind::Subscription.check(known, id, question, deed)
}

/// The option of a SUBSCRIBE.
fn match_option(match_policy: Match) -> Dict {
    let said = (match_policy != Match::Exact).then(|| match_policy.as_str().into());
    said.map(|policy| ("match".to_owned(), policy)).into_iter().collect()
}
