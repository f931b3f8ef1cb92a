//! Questions to authorizers: for messages of sessions, for testaments and for calls of meta procedures.
//!
//! An answer counts only if nothing has become void since the question was put: else it is put again. What is to be
//! remembered is remembered here too, so that other shards are answered without another question.

use std::collections::VecDeque;

use crossring_codec::id::SessionId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use super::Control;
use crate::address::{Now, RealmId, RoleId, SessionAddress};
use crate::agent::testament::Testament;
use crate::authz::{Action, InHand, Ruling, answer};
use crate::details;
use crate::inquiry::{Answer, Asker, Inquiry, Question};
use crate::letter::{Letter, Petition};
use crate::lifecycle::NS_PER_MS;
use crate::limits::AUTHORIZER_QUESTIONS_MAX;
use crate::outbox::Post;
use crate::registry::Departed;

#[cfg(test)]
mod tests;

/// A permission that an authorizer is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Permission {
    pub(super) whose: Whose,
    pub(super) realm: RealmId,
    pub(super) role: RoleId,
    pub(super) wanted: Wanted,
    /// Details of the session, and options of what it does.
    pub(super) session: Dict,
    pub(super) options: Dict,
    pub(super) asked: Asked,
}

/// How the question has been put.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Asked {
    deadline_ns: u64,
    /// Of the role's decisions when it was put last.
    generation: u64,
    /// How often it has been put.
    questions: u8,
    /// The authorizer takes none.
    without_options: bool,
}

/// An action and what it is done to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) action: Action,
    pub(crate) uri: Box<str>,
    pub(crate) match_policy: Match,
}

/// Who waits for the answer.
#[derive(Debug, PartialEq)]
pub(super) enum Whose {
    /// A message of a session, on its shard.
    Message { address: SessionAddress, session: SessionId, number: u64 },
    /// The first testament of a session that has left.
    Testament(SessionId),
    /// The first of a session's calls of meta procedures that wait.
    Caller(SessionId),
}

/// Testaments of a session that has left, in their order; the first one is asked about.
#[derive(Debug)]
pub(super) struct Will {
    departed: Departed,
    testaments: VecDeque<Due>,
}

/// A testament whose time has come.
#[derive(Debug)]
struct Due {
    testament: Testament,
    since_ns: u64,
}

impl Control {
    /// A session wants to do something that its authorizer has not been asked about.
    pub(super) fn take_petition<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        petition: Petition,
        out: &mut P,
    ) {
        let Some(session) = self.registry.session(address) else { return };
        let Petition { number, action, uri, match_policy, options, timeout_ms } = petition;
        let permission = Permission {
            whose: Whose::Message { address, session: session.id, number },
            realm: session.identity.realm,
            role: session.identity.role,
            wanted: Wanted { action, uri, match_policy },
            session: details::for_authorizer(&self.shard.config, session),
            options,
            asked: Asked::first(now.monotonic_ns, timeout_ms),
        };
        self.ask(now, permission, out);
    }

    pub(super) fn ask<P: Post>(&mut self, now: Now, mut permission: Permission, out: &mut P) {
        let Permission { realm, role, .. } = permission;
        let authorization = &self.shard.authorization;
        let Wanted { action, uri, match_policy } = &permission.wanted;
        let known = authorization.decide(realm, role, *action, uri, *match_policy);
        let procedure = authorization.authorizer(realm, role).map(Box::from);
        let left_ms = permission.asked.left_ms(now);
        let is_over = left_ms == 0 || permission.asked.questions >= AUTHORIZER_QUESTIONS_MAX;
        let (None, Some(procedure), false) = (known.as_ref(), procedure, is_over) else {
            let ruling = known.unwrap_or_else(|| match left_ms {
                0 => answer::silence(*action, uri),
                _ => answer::failed(*action, uri, OVERTAKEN),
            });
            return self.rule(now, permission, ruling, out);
        };
        permission.asked.generation = authorization.generation(realm, role);
        permission.asked.questions += 1;
        let question = Question { realm, procedure, arguments: permission.arguments() };
        let (asker, timeout_ms) = (Asker::Permission(Box::new(permission)), left_ms as u32);
        self.inquire(now, Inquiry { asker, question, timeout_ms }, out);
    }

    /// The authorizer has answered.
    pub(super) fn permission_answered<P: Post>(
        &mut self,
        now: Now,
        mut permission: Permission,
        said: &Answer,
        out: &mut P,
    ) {
        let Permission { realm, role, .. } = permission;
        if self.shard.authorization.generation(realm, role) != permission.asked.generation {
            return self.ask(now, permission, out);
        }
        if answer::wants_no_options(said) && !permission.asked.without_options {
            permission.asked.without_options = true;
            return self.ask(now, permission, out);
        }
        let Wanted { action, uri, match_policy } = &permission.wanted;
        let ruling = answer::read(said, *action, uri, permission.asked.left_ms(now) == 0);
        if let Ruling::Lasting(decision) = ruling {
            self.shard.authorization.remember(realm, role, *action, uri, *match_policy, decision);
        }
        self.rule(now, permission, ruling, out);
    }

    /// Tells whoever waits.
    fn rule<P: Post>(&mut self, now: Now, permission: Permission, ruling: Ruling, out: &mut P) {
        let Wanted { action, uri, match_policy } = permission.wanted;
        match permission.whose {
            Whose::Message { address, session, number } => {
                if self.registry.session(address).is_some_and(|joined| joined.id == session) {
                    let letter = Letter::Authorized { key: address.key, number, ruling };
                    self.emission(out).post(address.shard, letter);
                }
            }
            Whose::Testament(session) => {
                self.execute_first(now, session, InHand { action, uri, match_policy, ruling }, out);
            }
            Whose::Caller(caller) => {
                self.decided(now, caller, InHand { action, uri, match_policy, ruling }, out);
            }
        }
    }

    /// Publishes a testament, if its session may still do so: at once, or when the authorizer has been asked.
    pub(super) fn execute<P: Post>(
        &mut self,
        now: Now,
        departed: Departed,
        testament: Testament,
        out: &mut P,
    ) {
        if self.shard.authorization.authorizer(departed.realm, departed.role).is_none() {
            return self.publish_testament(now, &departed, &testament, out);
        }
        let session = departed.session;
        let will =
            self.wills.entry(session.get()).or_insert_with(|| Will { departed, testaments: VecDeque::new() });
        will.testaments.push_back(Due { testament, since_ns: now.monotonic_ns });
        if will.testaments.len() == 1 {
            self.ask_about_first(now, session, false, out);
        }
    }

    /// `is_behind_silence`: the authorizer has been silent about the one before, so the time counts from when this one was due.
    fn ask_about_first<P: Post>(
        &mut self,
        now: Now,
        session: SessionId,
        is_behind_silence: bool,
        out: &mut P,
    ) {
        let Some(will) = self.wills.get(&session.get()) else { return };
        let Some(Due { testament, since_ns }) = will.testaments.front() else { return };
        let uri = testament.topic.clone();
        let since_ns = if is_behind_silence { *since_ns } else { now.monotonic_ns };
        let permission = Permission {
            whose: Whose::Testament(session),
            realm: will.departed.realm,
            role: will.departed.role,
            wanted: Wanted { action: Action::Publish, uri, match_policy: Match::Exact },
            session: will.departed.details.as_deref().cloned().unwrap_or_default(),
            options: testament.wire_options(),
            asked: Asked::first(since_ns, self.shard.limits.authorizer_timeout_ms),
        };
        self.ask(now, permission, out);
    }

    fn execute_first<P: Post>(&mut self, now: Now, session: SessionId, in_hand: InHand, out: &mut P) {
        let Some(will) = self.wills.get_mut(&session.get()) else { return };
        let Some(Due { testament, .. }) = will.testaments.pop_front() else { return };
        let departed = will.departed.clone();
        let is_silent = matches!(in_hand.ruling, Ruling::Failed { is_silence: true, .. });
        self.shard.authorization.take_in_hand(Some(in_hand));
        self.publish_testament(now, &departed, &testament, out);
        self.shard.authorization.take_in_hand(None);
        if self.wills.get(&session.get()).is_some_and(|will| will.testaments.is_empty()) {
            self.wills.remove(&session.get());
        } else {
            self.ask_about_first(now, session, is_silent, out);
        }
    }
}

impl Permission {
    /// `authorizer(session, uri, action, options)`
    fn arguments(&self) -> Vec<Value> {
        let (session, uri) = (Value::Dict(self.session.clone()), Value::from(&*self.wanted.uri));
        let mut arguments = vec![session, uri, self.wanted.action.as_str().into()];
        if !self.asked.without_options {
            arguments.push(Value::Dict(self.options.clone()));
        }
        arguments
    }
}

impl Asked {
    pub(super) fn first(since_ns: u64, timeout_ms: u32) -> Self {
        let deadline_ns = since_ns + u64::from(timeout_ms) * NS_PER_MS;
        Self { deadline_ns, generation: 0, questions: 0, without_options: false }
    }

    /// Milliseconds that the answer may still take.
    fn left_ms(&self, now: Now) -> u64 {
        self.deadline_ns.saturating_sub(now.monotonic_ns) / NS_PER_MS
    }
}

/// Why there is no decision although the authorizer has answered.
const OVERTAKEN: &str = "its decisions have become void while it was asked";
