//! REGISTER and UNREGISTER, and the callees of all shards as the registry tells them.

use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{
    Feature, InvocationPolicy, Message, MessageType, RegisterOptions, Revocation,
};
use crossring_codec::uri::{Match, is_reserved, well_known};

use super::{Callee, Candidate, Dealer, Held, Registration};
use crate::address::{RealmId, SessionAddress, SessionKey, ShardId};
use crate::letter::{self, Letter};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Outbox;
use crate::session::Session;
use crate::shard::{Deferred, Shard, Violation, refuse};

impl Shard {
    /// REGISTER (wamp.md 12.4): the registry decides.
    pub(crate) fn register<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        options: &RegisterOptions<'_>,
        procedure: &str,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        let realm = session.realm;
        if let Err(error) = self.may_register(key, procedure, options.match_policy) {
            refuse(&mut self.counters, key, MessageType::Register, request, error, out);
            return Ok(());
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.requests_pending += 1;
        }
        let callee = letter::Callee {
            address: SessionAddress { shard: self.id, key },
            disclose_caller: options.disclose_caller,
            forward_timeout: options.forward_timeout,
            concurrency: options.concurrency,
        };
        let letter = Letter::Register {
            realm,
            callee: Box::new(callee),
            request,
            uri: procedure.into(),
            match_policy: options.match_policy,
            invoke: options.invoke,
            force_reregister: options.force_reregister,
        };
        self.post(ShardId::CONTROL, letter, out);
        Ok(())
    }

    fn may_register(&self, key: SessionKey, procedure: &str, policy: Match) -> Result<(), &'static str> {
        let decision = self.check_pattern(key, procedure, policy)?;
        if is_reserved(procedure) {
            return Err(well_known::INVALID_URI);
        }
        if !decision.allow.register {
            return Err(well_known::NOT_AUTHORIZED);
        }
        let session = self.sessions.get(key).ok_or(well_known::NOT_AUTHORIZED)?;
        let held = session.callee.as_ref().map_or(0, |callee| callee.registrations_held());
        if session.requests_pending >= self.limits.requests_per_session_max
            || held + session.requests_pending as usize >= self.limits.registrations_per_session_max as usize
        {
            return Err(LIMIT_EXCEEDED);
        }
        Ok(())
    }

    /// The registry: all shards know the callee.
    pub(crate) fn registered<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        registration: RegistrationId,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.requests_pending = session.requests_pending.saturating_sub(1);
        let _ = out.send(key, &Message::Registered { request, registration });
        let Some(callee) = &mut session.callee else { return };
        if let Some(held) = callee.registrations.get_mut(&registration.get())
            && !held.is_confirmed
        {
            held.is_confirmed = true;
            callee.unconfirmed -= 1;
        }
        self.defer_waiting(key);
    }

    /// The registry: there will be no registration.
    pub(crate) fn register_refused<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        error: &str,
        out: &mut O,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.requests_pending = session.requests_pending.saturating_sub(1);
        refuse(&mut self.counters, key, MessageType::Register, request, error, out);
    }

    /// UNREGISTER (wamp.md 12.8). Invocations under way go on.
    pub(crate) fn unregister<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        registration: RegistrationId,
        out: &mut O,
    ) -> Result<(), Violation> {
        let session = self.sessions.get_mut(key).ok_or(Violation::NOT_JOINED)?;
        if !session.note_request(request, self.limits.strict_request_ids) {
            return Err(Violation::REQUEST_ID);
        }
        let realm = session.realm;
        if !take_held(session, registration, true) {
            let error = well_known::NO_SUCH_REGISTRATION;
            refuse(&mut self.counters, key, MessageType::Unregister, request, error, out);
            return Ok(());
        }
        self.dealer.remove_callee(registration, SessionAddress { shard: self.id, key });
        self.post(ShardId::CONTROL, Letter::Unregister { realm, key, registration }, out);
        let _ = out.send(key, &Message::Unregistered { request: Some(request), revocation: None });
        Ok(())
    }

    /// The registry: a callee joins a registration.
    pub(crate) fn add_callee<O: Outbox>(&mut self, added: AddedCallee<'_>, out: &mut O) {
        let (ticket, address) = (added.ticket, added.callee.address);
        self.ticket_seen = ticket;
        if self.hold_registration(&added) {
            self.dealer.add_callee(added, self.id);
        }
        if address.shard == self.id {
            self.defer_waiting(address.key);
        }
        self.post(ShardId::CONTROL, Letter::Acknowledge { ticket }, out);
    }

    /// Notes a registration at the session that asked for it; `false`: that session was of this shard, and has left.
    fn hold_registration(&mut self, added: &AddedCallee<'_>) -> bool {
        let address = added.callee.address;
        if address.shard != self.id {
            return true;
        }
        let Some(session) = self.sessions.get_mut(address.key) else { return false };
        let callee = session.callee.get_or_insert_with(|| Box::new(Callee::new(self.integers)));
        let held = Held { is_confirmed: false, is_limited: added.callee.concurrency.is_some() };
        if callee.registrations.insert(added.registration.get(), held).is_none() {
            callee.unconfirmed += 1;
        }
        true
    }

    /// The registry: a callee leaves a registration.
    pub(crate) fn remove_callee<O: Outbox>(
        &mut self,
        registration: RegistrationId,
        callee: SessionAddress,
        revoked: Option<&str>,
        out: &mut O,
    ) {
        self.dealer.remove_callee(registration, callee);
        if callee.shard != self.id {
            return;
        }
        let Some(session) = self.sessions.get_mut(callee.key) else { return };
        if !take_held(session, registration, false) {
            return;
        }
        if let (Some(reason), true) = (revoked, session.callee_has(Feature::RegistrationRevocation)) {
            let revocation = Revocation { id: Some(registration), reason: Some(reason.into()) };
            let message = Message::Unregistered { request: None, revocation: Some(Box::new(revocation)) };
            let _ = out.send(callee.key, &message);
        }
        self.defer_waiting(callee.key);
    }

    /// The registrations of a session that has left. The registry learns it by `Leave`.
    pub(crate) fn drop_registrations(&mut self, key: SessionKey, session: &Session) {
        let Some(callee) = &session.callee else { return };
        let mut held: Vec<u64> = callee.registrations.keys().copied().collect();
        held.sort_unstable();
        for id in held.into_iter().filter_map(RegistrationId::new) {
            self.dealer.remove_callee(id, SessionAddress { shard: self.id, key });
        }
    }

    /// Calls that waited for REGISTERED go on in the next turn.
    fn defer_waiting(&mut self, key: SessionKey) {
        let callee = self.sessions.get(key).and_then(|session| session.callee.as_ref());
        if callee.is_some_and(|callee| !callee.waiting.is_empty()) {
            self.deferred.push_back(Deferred::Waiting(key));
        }
    }
}

/// Takes a registration out of a session; `false`: it does not hold it.
fn take_held(session: &mut Session, registration: RegistrationId, only_confirmed: bool) -> bool {
    let Some(callee) = &mut session.callee else { return false };
    let Some(held) = callee.registrations.get(&registration.get()).copied() else { return false };
    if only_confirmed && !held.is_confirmed {
        return false;
    }
    callee.registrations.remove(&registration.get());
    callee.unconfirmed -= usize::from(!held.is_confirmed);
    true
}

/// The fields of [`Letter::AddCallee`].
#[derive(Debug)]
pub(crate) struct AddedCallee<'a> {
    pub(crate) realm: RealmId,
    pub(crate) registration: RegistrationId,
    pub(crate) uri: &'a str,
    pub(crate) match_policy: Match,
    pub(crate) invoke: InvocationPolicy,
    pub(crate) callee: letter::Callee,
    pub(crate) ticket: u64,
}

impl Dealer {
    fn add_callee(&mut self, added: AddedCallee<'_>, here: ShardId) {
        let Some(procedures) = self.realms.get_mut(usize::from(added.realm.0)) else { return };
        let id = added.registration;
        if self.registrations.get(id.get()).is_none() {
            let uri: Arc<str> = added.uri.into();
            procedures.patterns.insert(&uri, added.match_policy, id.get());
            procedures.version += 1;
            let registration = Registration {
                id,
                realm: added.realm,
                uri,
                match_policy: added.match_policy,
                invoke: added.invoke,
                candidates: Vec::new(),
                cursor: 0,
            };
            self.registrations.insert(id.get(), registration);
        }
        if let Some(registration) = self.registrations.get_mut(id.get()) {
            registration.candidates.push(Candidate {
                is_local: added.callee.address.shard == here,
                callee: added.callee,
                ticket: added.ticket,
                outstanding: 0,
            });
            self.callees += 1;
        }
    }

    /// Takes out a callee that has proved to be gone, before the registry says so: the next call must not find it.
    pub(crate) fn forget_callee(&mut self, id: RegistrationId, callee: SessionAddress, ticket: u64) {
        let known = self.registrations.get(id.get());
        let mut candidates = known.into_iter().flat_map(|known| &known.candidates);
        if candidates.any(|candidate| candidate.callee.address == callee && candidate.ticket == ticket) {
            self.remove_callee(id, callee);
        }
    }

    /// Takes a callee out; a registration without callees is forgotten.
    fn remove_callee(&mut self, id: RegistrationId, callee: SessionAddress) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        if registration.take_candidate(callee).is_none() {
            return;
        }
        self.callees -= 1;
        if registration.candidates.is_empty() {
            let procedures = &mut self.realms[usize::from(registration.realm.0)];
            procedures.patterns.remove(&registration.uri, registration.match_policy);
            procedures.version += 1;
            self.registrations.remove(id.get());
        }
    }
}
