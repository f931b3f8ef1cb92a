//! The router's own procedures say what is so: no less than what was so all the time from CALL to answer, and no more than
//! what may have been so at some time in between.

use std::collections::BTreeSet;

use crossring_codec::id::RequestId;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::uri::{Match, is_reserved, is_valid, well_known};
use crossring_codec::value::Value;

use super::details;
use crate::model::authority::INVALIDATE;
use crate::model::holding::SLACK_TICKS;
use crate::model::{
    Expected, History, Holding, Key, Kind, MetaCall, Model, Outcome, PendingKind, Registration, Session,
};
use crate::observation::{Observation, Peer};
use crate::realm::{AUTHORIZER, Action};

/// Holds nothing: the model knows all.
#[derive(Debug, Default)]
pub(super) struct Meta;

impl Meta {
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn check(&self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Emitted { peer, message } = observation else { return Ok(()) };
        match message {
            Message::Result { request, payload, .. } => {
                let Some(number) = pending(model, *peer, *request) else { return Ok(()) };
                let arguments = payload.arguments().map_err(|error| error.to_string())?;
                answered(model, number, &arguments).map_err(|text| context(model, number, &text))
            }
            Message::Error { request_type: MessageType::Call, request, error, .. } => {
                let Some(number) = pending(model, *peer, *request) else { return Ok(()) };
                refused(model, number, error).map_err(|text| context(model, number, &text))
            }
            _ => Ok(()),
        }
    }

    /// What was asked for has been done.
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn rest(&self, model: &Model) -> Result<(), String> {
        for kill in &model.kills {
            let call = &model.meta_calls[kill.call];
            let victims = model.live.iter().map(|index| &model.sessions[*index]);
            let escaped = victims
                .filter(|session| session.since <= call.tick)
                .find(|session| call.outcome == Outcome::Done && model.is_victim(kill, session));
            if let Some(session) = escaped {
                let text = format!("p{} lives", session.peer.0);
                return Err(context(model, kill.call, &text));
            }
        }
        for (number, call) in model.meta_calls.iter().enumerate() {
            let is_removal = call.procedure.contains(".remove_") && call.outcome == Outcome::Done;
            if is_removal && is_still_held(model, call) {
                return Err(context(model, number, "it is still held"));
            }
        }
        Ok(())
    }
}

/// Whether what was to be taken away is there still, and not again.
fn is_still_held(model: &Model, call: &MetaCall) -> bool {
    let live = model.live.iter().map(|index| &model.sessions[*index]);
    let realm = model.sessions[call.caller].realm;
    let mut victims = live.filter(|known| known.realm == realm && known.id.get() == call.number(1));
    victims.any(|known| {
        let id = call.number(0);
        // What is held since then, another order may be about.
        let meant = |other: u64, instance: u64| other == id && instance < call.order;
        known.subscriptions.iter().any(|held| meant(held.id.get(), held.instance) && held.revoking)
            || known.registrations.iter().any(|held| meant(held.id.get(), held.instance) && held.revoking)
    })
}

/// The call of a procedure of the router that a message answers.
pub(super) fn answer_to(model: &Model, peer: Peer, message: &Message<'_>) -> Option<usize> {
    match message {
        Message::Result { request, .. } | Message::Error { request_type: MessageType::Call, request, .. } => {
            pending(model, peer, *request)
        }
        _ => None,
    }
}

fn pending(model: &Model, peer: Peer, request: RequestId) -> Option<usize> {
    let session = model.session_of(peer).filter(|session| session.honest)?;
    match session.pending(MessageType::Call, request)?.kind {
        PendingKind::Meta(number) => Some(number),
        _ => None,
    }
}

/// Says which call a fault is about.
pub(super) fn context(model: &Model, number: usize, text: &str) -> String {
    let call = &model.meta_calls[number];
    let peer = model.sessions[call.caller].peer.0;
    format!("{} {:?} {:?} by p{peer}: {text}", call.procedure, call.arguments, call.keywords)
}

/// A call with what its answer is held against.
struct Question<'a> {
    model: &'a Model,
    number: usize,
    call: &'a MetaCall,
    realm: usize,
}

fn answered(model: &Model, number: usize, arguments: &[Value]) -> Result<(), String> {
    let call = &model.meta_calls[number];
    let question = Question { model, number, call, realm: model.sessions[call.caller].realm };
    let answer = arguments.first().unwrap_or(&Value::Null);
    match call.procedure.as_str() {
        "wamp.session.count" | "wamp.session.kill_by_authrole" | "wamp.session.kill_all" => {
            question.session_count(answer)
        }
        "wamp.session.list" | "wamp.session.kill_by_authid" => question.session_list(answer),
        "wamp.session.get" => question.session_details(answer),
        "wamp.session.kill" | "wamp.session.modify_details" => question.may_be_alive(call.number(0)),
        "wamp.session.add_testament" => question.testament(None),
        INVALIDATE => Ok(()), // what follows, the model knows
        procedure => {
            let (kind, rest) = match procedure.split_once(".registration.") {
                Some((_, rest)) => (Kind::Registration, rest),
                None => (Kind::Subscription, procedure.trim_start_matches("wamp.subscription.")),
            };
            question.holdings(kind, rest, answer)
        }
    }
}

fn refused(model: &Model, number: usize, error: &str) -> Result<(), String> {
    let call = &model.meta_calls[number];
    let caller = &model.sessions[call.caller];
    let question = Question { model, number, call, realm: caller.realm };
    if HAVE_CHECKERS.contains(&call.procedure.as_str()) {
        return Ok(());
    }
    let key = Key { uri: call.procedure.clone(), policy: Match::Exact };
    if model.expected(caller, Action::Call, &key) != Expected::Success {
        return Ok(()); // the right one, says the checker of sessions
    }
    let is_kill = call.procedure.starts_with("wamp.session.kill");
    let excused = match error {
        well_known::CANCELED => call.cancelled,
        well_known::PAYLOAD_SIZE_EXCEEDED => true,
        well_known::INVALID_ARGUMENT if call.arguments.is_empty() => true,
        well_known::INVALID_URI if is_kill => {
            call.keyword("reason").is_some_and(|reason| !is_valid(reason, Match::Exact, LOOSE))
        }
        well_known::NO_SUCH_SESSION => {
            let id = if call.procedure.contains(".remove_") { call.number(1) } else { call.number(0) };
            !question.must_be_alive(id) || is_kill && id == caller.id.get()
        }
        well_known::NO_SUCH_REGISTRATION => !question.must_be_held(Kind::Registration),
        well_known::NO_SUCH_SUBSCRIPTION => !question.must_be_held(Kind::Subscription),
        well_known::NOT_AUTHORIZED if call.procedure.starts_with("wamp.subscription.") => {
            let reserved = |held: &Holding| held.id == call.number(0) && is_reserved(&held.key.uri);
            model.maybe_held(Kind::Subscription, question.realm, call.tick).any(reserved)
        }
        well_known::NOT_AUTHORIZED if call.procedure == INVALIDATE => !is_authorizer(caller, call.order),
        _ if details::is_excused(model, call, error) => true,
        _ if call.procedure == "wamp.session.add_testament" => return question.testament(Some(error)),
        _ => false,
    };
    if excused { Ok(()) } else { Err(format!("{error} without a reason")) }
}

/// Whether a session is surely an authorizer, since before something has happened.
fn is_authorizer(session: &Session, order: u64) -> bool {
    let decides = |held: &Registration| {
        held.key.uri == AUTHORIZER && held.instance < order && !held.leaving && !held.revoking
    };
    session.registrations.iter().any(decides)
}

/// Procedures whose answers have a checker of their own.
const HAVE_CHECKERS: [&str; 3] =
    ["wamp.subscription.get_events", "wamp.schema.define", "wamp.schema.describe"];

const LOOSE: crossring_codec::uri::Strictness = crossring_codec::uri::Strictness::Loose;

impl Question<'_> {
    /// Whether the call is about a session.
    fn is_asked_for(&self, session: &Session) -> bool {
        let kill = self.model.kills.iter().find(|kill| kill.call == self.number);
        match kill {
            Some(kill) => self.model.is_victim(kill, session),
            None => match self.call.arguments.first() {
                Some(Value::List(roles)) if !roles.is_empty() => {
                    let role = &*self.model.role(session).name;
                    roles.iter().any(|wanted| wanted.as_str() == Some(role))
                }
                _ => true,
            },
        }
    }

    fn is_certain(&self, session: &Session) -> bool {
        let killed =
            |kill: &crate::model::Kill| kill.call != self.number && self.model.is_victim(kill, session);
        session.realm == self.realm
            && !self.model.is_of_router(session)
            && session.live
            && session.since <= self.call.tick
            && !session.was_away(self.call.tick)
            && !self.model.kills.iter().any(killed)
    }

    fn is_possible(&self, session: &Session) -> bool {
        session.realm == self.realm
            && !self.model.is_of_router(session)
            && session.until.is_none_or(|until| until + SLACK_TICKS >= self.call.tick)
    }

    fn certain_sessions(&self) -> BTreeSet<u64> {
        let sessions = self.model.live.iter().map(|index| &self.model.sessions[*index]);
        let asked = sessions.filter(|session| self.is_certain(session) && self.is_asked_for(session));
        asked.map(|session| session.id.get()).collect()
    }

    /// Those that nobody knows yet are among them, whatever their role is.
    fn possible_sessions(&self) -> BTreeSet<u64> {
        let sessions = self.model.sessions.iter();
        let known = sessions.filter(|session| self.is_possible(session) && self.is_asked_for(session));
        let mut possible: BTreeSet<u64> = known.map(|session| session.id.get()).collect();
        possible.extend(self.unwelcome());
        possible
    }

    /// Sessions that have been admitted and not been told so.
    fn unwelcome(&self) -> impl Iterator<Item = u64> {
        let fresh =
            self.model.admitted.iter().filter(|(_, (realm, tick))| {
                *realm == self.realm && *tick + 2 * SLACK_TICKS >= self.call.tick
            });
        let unknown = |id: &u64| !self.model.sessions.iter().rev().any(|session| session.id.get() == *id);
        fresh.map(|(id, _)| *id).filter(unknown)
    }

    fn must_be_alive(&self, id: u64) -> bool {
        let sessions = self.model.live.iter().map(|index| &self.model.sessions[*index]);
        sessions.filter(|session| session.id.get() == id).any(|session| self.is_certain(session))
    }

    fn may_be_alive(&self, id: u64) -> Result<(), String> {
        let mut known = self.model.sessions.iter().filter(|session| session.id.get() == id);
        if known.any(|session| self.is_possible(session)) || self.unwelcome().any(|other| other == id) {
            Ok(())
        } else {
            Err("there is no such session".into())
        }
    }

    fn session_count(&self, answer: &Value) -> Result<(), String> {
        within(answer, self.certain_sessions().len(), self.possible_sessions().len())
    }

    fn session_list(&self, answer: &Value) -> Result<(), String> {
        between(&ids(answer)?, &self.certain_sessions(), &self.possible_sessions())
    }

    fn session_details(&self, answer: &Value) -> Result<(), String> {
        let id = self.call.number(0);
        self.may_be_alive(id)?;
        if answer.get("session").and_then(Value::as_integer) != Some(i128::from(id)) {
            return Err(format!("tells of {answer:?}"));
        }
        let Some(session) = self.model.sessions.iter().find(|session| session.id.get() == id) else {
            return Ok(());
        };
        let role = &*self.model.role(session).name;
        let told = [text(answer, "authid"), text(answer, "authrole")];
        if told == [&*session.authid, role] {
            Ok(())
        } else {
            Err(format!("tells of {told:?}, which is {:?}", [&*session.authid, role]))
        }
    }

    fn testament(&self, error: Option<&str>) -> Result<(), String> {
        let topic = Key { uri: self.call.text(0).to_owned(), policy: Match::Exact };
        let caller = &self.model.sessions[self.call.caller];
        match (self.model.expected(caller, Action::Publish, &topic), error) {
            (Expected::Either, _) | (Expected::Success, None) => Ok(()),
            (Expected::Error(wanted), Some(error)) if wanted == error => Ok(()),
            (wanted, error) => Err(format!("{error:?} instead of {wanted:?}")),
        }
    }

    /// The subscription of the router itself with this id.
    fn standing(&self, id: u64) -> Option<&History> {
        self.model.history(self.realm, id)
    }

    /// What the router itself is subscribed to.
    fn all_standing(&self, kind: Kind) -> impl Iterator<Item = &History> {
        self.model.histories(self.realm).filter(move |_| kind == Kind::Subscription)
    }

    fn certain_holdings(&self, kind: Kind) -> impl Iterator<Item = &Holding> {
        let certain = self.model.surely_held(kind, self.realm, self.call.tick);
        certain.filter(|held| !is_reserved(&held.key.uri))
    }

    /// Whether somebody holds what the call is about all the time.
    fn must_be_held(&self, kind: Kind) -> bool {
        let by = self.call.procedure.contains(".remove_").then(|| self.call.number(1));
        if by.is_none() && kind == Kind::Subscription && self.standing(self.call.number(0)).is_some() {
            return true;
        }
        self.certain_holdings(kind).any(|held| {
            held.id == self.call.number(0)
                && by.is_none_or(|by| self.model.sessions[held.session].id.get() == by)
                && !self.model.sessions[held.session].may_be_revoked(held.id)
        })
    }

    /// Whether there may be ids that nobody has been told.
    fn is_in_flux(&self, kind: Kind) -> bool {
        let since = self.call.tick.saturating_sub(SLACK_TICKS);
        let wanted = |pending: &PendingKind| match kind {
            Kind::Subscription => matches!(pending, PendingKind::Subscribe(_)),
            Kind::Registration => matches!(pending, PendingKind::Register(_)),
        };
        let unsettled = |session: &Session| {
            session.until.map_or_else(
                || session.requests.iter().any(|pending| wanted(&pending.kind)),
                |until| until >= since,
            )
        };
        let mut sessions = self.model.sessions.iter().filter(|session| session.realm == self.realm);
        sessions.any(unsettled) || self.model.is_in_transit(self.realm)
    }

    fn holdings(&self, kind: Kind, procedure: &str, answer: &Value) -> Result<(), String> {
        let id = self.call.number(0);
        match procedure {
            "list" => self.holding_list(kind, answer),
            "lookup" | "match" => self.holding_match(kind, procedure == "match", answer),
            "get" => {
                let key = self.known(kind, id)?;
                let policy = key.as_ref().map(|key| key.policy.as_str());
                let told = [text(answer, "uri"), text(answer, "match")];
                let wanted = key.as_ref().map(|key| [key.uri.as_str(), policy.unwrap_or_default()]);
                let is_right = wanted.is_none_or(|wanted| wanted == told);
                if is_right { Ok(()) } else { Err(format!("tells of {told:?} instead of {wanted:?}")) }
            }
            "list_callees" | "list_subscribers" => {
                let (certain, possible) = self.members(kind, id)?;
                let told = ids(answer)?;
                let known = told.iter().filter(|id| possible.contains(id)).copied().collect();
                let others = told.difference(&known).count();
                if others > 0 && !self.is_in_flux(kind) {
                    return Err(format!("{told:?}, of which {others} do not hold it"));
                }
                between(&known, &certain, &possible)
            }
            "count_callees" | "count_subscribers" => {
                let (certain, possible) = self.members(kind, id)?;
                let most = if self.is_in_flux(kind) { usize::MAX } else { possible.len() };
                within(answer, certain.len(), most)
            }
            _ => Ok(()),
        }
    }

    /// What an id stands for, if anybody has been told.
    fn known(&self, kind: Kind, id: u64) -> Result<Option<Key>, String> {
        if let Some(history) = self.standing(id).filter(|_| kind == Kind::Subscription) {
            return Ok(Some(history.key.clone()));
        }
        let mut possible = self.model.maybe_held(kind, self.realm, self.call.tick);
        match possible.find(|held| held.id == id) {
            Some(held) => Ok(Some(held.key.clone())),
            None if self.is_in_flux(kind) => Ok(None),
            None => Err(format!("nobody holds {id}")),
        }
    }

    fn members(&self, kind: Kind, id: u64) -> Result<(BTreeSet<u64>, BTreeSet<u64>), String> {
        self.known(kind, id)?;
        let session = |held: &Holding| self.model.sessions[held.session].id.get();
        let certain = self.certain_holdings(kind).filter(|held| held.id == id);
        let certain = certain.filter(|held| !self.model.sessions[held.session].may_be_revoked(id));
        let possible = self.model.maybe_held(kind, self.realm, self.call.tick);
        let possible = possible.filter(|held| !self.model.is_of_router(&self.model.sessions[held.session]));
        Ok((certain.map(session).collect(), possible.filter(|held| held.id == id).map(session).collect()))
    }

    fn holding_list(&self, kind: Kind, answer: &Value) -> Result<(), String> {
        let policies = [Match::Exact, Match::Prefix, Match::Wildcard];
        for policy in policies {
            let told = ids(answer.get(policy.as_str()).unwrap_or(&Value::Null))?;
            let certain = self.certain_holdings(kind).filter(|held| held.key.policy == policy);
            let certain = certain.filter(|held| !self.model.sessions[held.session].may_be_revoked(held.id));
            let standing = self.all_standing(kind).filter(|history| history.key.policy == policy);
            let standing: BTreeSet<u64> = standing.map(|history| history.id).collect();
            let mut certain: BTreeSet<u64> = certain.map(|held| held.id).collect();
            certain.extend(&standing);
            let possible = self.model.maybe_held(kind, self.realm, self.call.tick);
            let possible = possible.filter(|held| held.key.policy == policy && !is_reserved(&held.key.uri));
            let mut possible: BTreeSet<u64> = possible.map(|held| held.id).collect();
            possible.extend(&standing);
            if self.is_in_flux(kind) {
                possible.extend(&told);
            }
            between(&told, &certain, &possible)?;
        }
        Ok(())
    }

    /// The one or more that match; nothing only if nothing surely does.
    fn holding_match(&self, kind: Kind, by_pattern: bool, answer: &Value) -> Result<(), String> {
        let uri = self.call.text(0);
        let is_meant = |key: &Key| {
            if by_pattern { key.matches(uri) } else { key.uri == uri && key.policy == self.policy() }
        };
        let certain = self.certain_holdings(kind).filter(|held| is_meant(&held.key));
        let mut certain = certain.filter(|held| !self.model.sessions[held.session].may_be_revoked(held.id));
        let told = match answer {
            Value::Integer(id) => BTreeSet::from([*id as u64]),
            answer => ids(answer)?,
        };
        for id in &told {
            if let Some(key) = self.known(kind, *id)?.filter(|key| !is_meant(key)) {
                return Err(format!("{id} stands for {key:?}"));
            }
        }
        let all = kind == Kind::Subscription && by_pattern;
        let lacks = |id: u64| if all { !told.contains(&id) } else { told.is_empty() };
        let mut standing = self.all_standing(kind).filter(|history| is_meant(&history.key));
        let missing = certain.find(|held| lacks(held.id)).map(|held| &held.key);
        match missing.or(standing.find(|history| lacks(history.id)).map(|history| &history.key)) {
            Some(key) => Err(format!("{told:?} without {key:?}")),
            None => Ok(()),
        }
    }

    fn policy(&self) -> Match {
        let options = self.call.arguments.get(1).and_then(|options| options.get("match"));
        options.and_then(Value::as_str).and_then(Match::from_wire).unwrap_or_default()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list of ids without repetition; null is an empty one.
fn ids(value: &Value) -> Result<BTreeSet<u64>, String> {
    let values = match value {
        Value::List(values) => &values[..],
        Value::Null => &[],
        other => return Err(format!("{other:?} is no list")),
    };
    let ids: BTreeSet<u64> =
        values.iter().filter_map(Value::as_integer).map(|number| number as u64).collect();
    if ids.len() == values.len() { Ok(ids) } else { Err(format!("{value:?} repeats or lacks ids")) }
}

fn between(told: &BTreeSet<u64>, certain: &BTreeSet<u64>, possible: &BTreeSet<u64>) -> Result<(), String> {
    if let Some(missing) = certain.difference(told).next() {
        return Err(format!("{told:?} without {missing}"));
    }
    match told.difference(possible).next() {
        Some(wrong) => Err(format!("{told:?}, but {wrong} is none of them")),
        None => Ok(()),
    }
}

fn within(answer: &Value, least: usize, most: usize) -> Result<(), String> {
    let told = answer.as_integer().unwrap_or(-1);
    let fits = told >= least as i128 && (most == usize::MAX || told <= most as i128);
    if fits { Ok(()) } else { Err(format!("{told}, but there are {least} to {most}")) }
}
