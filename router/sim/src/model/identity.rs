//! Who authenticators say somebody is.

use crossring_codec::id::{RegistrationId, RequestId, SessionId};
use crossring_codec::payload::Payload;
use crossring_codec::value::Value;

use super::{Model, SessionIndex};
use crate::observation::Peer;
use crate::realm::AUTHENTICATOR;

/// A question to an authenticator.
#[derive(Debug)]
pub(super) struct Attempt {
    callee: SessionIndex,
    invocation: u64,
    /// The id that the session will have.
    session: u64,
    asked_for: Identity,
    /// What was answered; of no use if it names no role.
    answer: Option<Identity>,
}

/// Who somebody is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// `realm`
    pub realm: Option<String>,
    /// `authid`
    pub authid: Option<String>,
    /// `authrole`
    pub role: Option<String>,
}

impl Attempt {
    /// Whether nobody has seen the answer of a session.
    pub(super) const fn is_open(&self, callee: SessionIndex) -> bool {
        self.callee == callee && self.answer.is_none()
    }

    /// Whether it is this INVOCATION.
    pub(super) const fn is(&self, callee: SessionIndex, invocation: u64) -> bool {
        self.callee == callee && self.invocation == invocation
    }
}

impl Model {
    /// INVOCATION: is it a question to an authenticator?
    pub(super) fn asked_who(
        &mut self,
        peer: Peer,
        request: RequestId,
        registration: RegistrationId,
        payload: &Payload<'_>,
    ) {
        let Some(callee) = self.peer(peer).and_then(|record| record.session) else { return };
        let held = self.sessions[callee].registration(registration);
        if held.is_none_or(|held| held.key.uri != AUTHENTICATOR) {
            return;
        }
        let arguments = payload.arguments().unwrap_or_default();
        let [realm, authid, details] = &arguments[..] else { return };
        let session = details.get("session").and_then(Value::as_integer).unwrap_or_default() as u64;
        let asked_for = Identity { realm: text(Some(realm)), authid: text(Some(authid)), role: None };
        let invocation = request.get();
        self.attempts.push(Attempt { callee, invocation, session, asked_for, answer: None });
    }

    /// The answer to an INVOCATION: is it one of an authenticator?
    pub(super) fn authenticator_answers(
        &mut self,
        callee: SessionIndex,
        request: RequestId,
        payload: Option<&Payload<'_>>,
    ) {
        let is_it = |attempt: &&mut Attempt| attempt.is(callee, request.get());
        let Some(attempt) = self.attempts.iter_mut().find(is_it) else { return };
        let arguments = payload.and_then(|payload| payload.arguments().ok()).unwrap_or_default();
        let asked_for = attempt.asked_for.clone();
        attempt.answer = match arguments.first() {
            Some(Value::String(role)) => Some(Identity { role: Some(role.clone()), ..asked_for }),
            Some(answer @ Value::Dict(_)) => Some(Identity {
                realm: text(answer.get("realm")).or(asked_for.realm),
                authid: text(answer.get("authid")).or(asked_for.authid),
                role: text(answer.get("role")),
            }),
            _ => None,
        };
    }

    /// Who an authenticator has said the session is.
    pub fn identified(&self, session: SessionId) -> Option<&Identity> {
        let attempt = self.attempts.iter().find(|attempt| attempt.session == session.get())?;
        attempt.answer.as_ref().filter(|identity| identity.role.is_some())
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}
