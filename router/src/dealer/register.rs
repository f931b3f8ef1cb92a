//! REGISTER and UNREGISTER, and the callees of all shards as the registry tells them.

use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::{
    Feature, InvocationPolicy, Message, MessageType, RegisterOptions, Revocation,
};
use crossring_codec::uri::{Match, well_known};
use foldhash::fast::FixedState;

use super::{Callee, Candidate, Dealer, Held, Registration, Slots};
use crate::address::{RealmId, SessionAddress, SessionKey, ShardId};
use crate::authz::Action;
use crate::letter::{self, Letter};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Outbox;
use crate::session::{Registering, Session};
use crate::shard::{Deferred, Detour, Shard, Violation, refuse};

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
        match self.may_register(key, procedure, options.match_policy) {
            Ok(()) => {}
            Err(Detour::Ask) => {
                let (options, procedure) = (options.clone(), procedure.into());
                let message = Message::Register { request, options, procedure };
                self.ask_authorizer(key, message.into_owned(), out);
                return Ok(());
            }
            Err(Detour::Error(error)) => {
                self.counters.registrations_refused += u64::from(error == LIMIT_EXCEEDED);
                self.refuse_about(key, MessageType::Register, request, error, procedure, out);
                return Ok(());
            }
            Err(Detour::Violation(violation)) => return Err(violation),
        }
        let Some(session) = self.sessions.get_mut(key) else { return Ok(()) };
        session.requests_pending += 1;
        let pattern = (options.match_policy, Arc::from(procedure));
        let under_way = session.registering.get_or_insert_with(|| {
            Box::new(hashbrown::HashMap::with_hasher(FixedState::with_seed(self.hash_seed)))
        });
        let wishes = under_way.entry(pattern.clone()).or_default();
        wishes.push(Registering { request, options: RegisterOptions { forward_for: None, ..*options } });
        if wishes.len() == 1 {
            self.next_registering(key, &pattern, out);
        }
        Ok(())
    }

    /// Sees to the REGISTER requests for one pattern until one has to wait for the registry. One after the other: a
    /// session must not be told REGISTERED for what it has unregistered meanwhile.
    pub(crate) fn next_registering<O: Outbox>(
        &mut self,
        key: SessionKey,
        pattern: &(Match, Arc<str>),
        out: &mut O,
    ) {
        loop {
            let Some(session) = self.sessions.get(key) else { return };
            let wishes = session.registering.as_ref().and_then(|under_way| under_way.get(pattern));
            let Some(wish) = wishes.and_then(|wishes| wishes.first()) else { return };
            let request = wish.request;
            let held = self.dealer.find_held(session, pattern).filter(|_| !wish.options.force_reregister);
            let Some((registration, invoke)) = held else {
                let letter = self.register_letter(session.realm, key, pattern, wish);
                return self.post(ShardId::CONTROL, letter, out);
            };
            if invoke == wish.options.invoke && invoke != InvocationPolicy::Single {
                let _ = out.send(key, &Message::Registered { request, registration });
            } else {
                let error = well_known::PROCEDURE_ALREADY_EXISTS;
                refuse(&mut self.counters, key, MessageType::Register, request, error, out);
            }
            self.pop_registering(key, pattern);
        }
    }

    fn register_letter(
        &self,
        realm: RealmId,
        key: SessionKey,
        pattern: &(Match, Arc<str>),
        wish: &Registering,
    ) -> Letter {
        let session = self.sessions.get(key);
        let is_announced = session.is_some_and(|session| session.callee_has(Feature::CallTimeout));
        let callee = letter::Callee {
            address: SessionAddress { shard: self.id, key },
            disclose_caller: wish.options.disclose_caller,
            forward_timeout: wish.options.forward_timeout && is_announced,
            concurrency: wish.options.concurrency,
        };
        Letter::Register {
            realm,
            callee: Box::new(callee),
            request: wish.request,
            uri: (&*pattern.1).into(),
            match_policy: pattern.0,
            invoke: wish.options.invoke,
            force_reregister: wish.options.force_reregister,
        }
    }

    /// The first REGISTER for a pattern has been answered; are there more?
    fn pop_registering(&mut self, key: SessionKey, pattern: &(Match, Arc<str>)) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(under_way) = &mut session.registering else { return false };
        let Some(wishes) = under_way.get_mut(pattern) else { return false };
        wishes.remove(0);
        session.requests_pending -= 1;
        if !wishes.is_empty() {
            return true;
        }
        under_way.remove(pattern);
        if under_way.is_empty() {
            session.registering = None;
        }
        false
    }

    /// The registry has answered the REGISTER `request`: the next one for the same pattern.
    fn registering_answered(&mut self, key: SessionKey, request: RequestId) {
        let Some(session) = self.sessions.get(key) else { return };
        let id = session.id;
        let mut under_way = session.registering.iter().flat_map(|under_way| under_way.iter());
        let at = under_way.find(|(_, wishes)| wishes.first().is_some_and(|first| first.request == request));
        let Some(pattern) = at.map(|(pattern, _)| pattern.clone()) else { return };
        if self.pop_registering(key, &pattern) {
            self.deferred.push_back(Deferred::Registering { key, session: id, pattern });
        }
    }

    fn may_register(&self, key: SessionKey, procedure: &str, policy: Match) -> Result<(), Detour> {
        self.check_pattern(key, Action::Register, procedure, policy)?;
        let session = self.sessions.get(key).ok_or(well_known::NOT_AUTHORIZED)?;
        let held = session.callee.as_ref().map_or(0, |callee| callee.registrations_held());
        let limits = session.limits(&self.limits);
        if session.requests_pending >= limits.requests_max
            || held + session.requests_pending as usize >= limits.registrations_max as usize
        {
            return Err(LIMIT_EXCEEDED.into());
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
        let _ = out.send(key, &Message::Registered { request, registration });
        let Some(callee) = &mut session.callee else { return };
        if let Some(held) = callee.registrations.get_mut(&registration.get())
            && !held.is_confirmed
        {
            held.is_confirmed = true;
            callee.unconfirmed -= 1;
        }
        self.defer_waiting(key);
        self.registering_answered(key, request);
    }

    /// The registry: there will be no registration.
    pub(crate) fn register_refused<O: Outbox>(
        &mut self,
        key: SessionKey,
        request: RequestId,
        error: &str,
        out: &mut O,
    ) {
        if self.sessions.get(key).is_some() {
            refuse(&mut self.counters, key, MessageType::Register, request, error, out);
            self.registering_answered(key, request);
        }
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
        if take_held(session, registration, true).is_none() {
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
        self.authorizer_changed(added.realm, added.uri, added.match_policy);
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
        let held = Held::new(&added.callee);
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
        let Some(session) = self.sessions.get_mut(callee.key) else {
            return self.remove_parked_callee(callee.key, registration, revoked);
        };
        let Some(held) = take_held(session, registration, false) else { return };
        let is_told = held.is_confirmed && session.callee_has(Feature::RegistrationRevocation);
        if let (Some(reason), true) = (revoked, is_told) {
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

/// Takes a registration out of a session, if it holds it.
pub(super) fn take_held(
    session: &mut Session,
    registration: RegistrationId,
    only_confirmed: bool,
) -> Option<Held> {
    let callee = session.callee.as_mut()?;
    let held = callee.registrations.get(&registration.get()).copied()?;
    if only_confirmed && !held.is_confirmed {
        return None;
    }
    callee.registrations.remove(&registration.get());
    callee.unconfirmed -= usize::from(!held.is_confirmed);
    Some(held)
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
    /// Routes that sessions have kept are to be made anew.
    pub(crate) fn forget_routes(&mut self, realm: RealmId) {
        if let Some(procedures) = self.realms.get_mut(usize::from(realm.0)) {
            procedures.version += 1;
        }
    }

    /// The registration under a pattern, if the session holds it and knows.
    fn find_held(
        &self,
        session: &Session,
        pattern: &(Match, Arc<str>),
    ) -> Option<(RegistrationId, InvocationPolicy)> {
        let callee = session.callee.as_ref()?;
        let id = self.realms[usize::from(session.realm.0)].patterns.get(&pattern.1, pattern.0)?;
        callee.registrations.get(&id).filter(|held| held.is_confirmed)?;
        self.registrations.get(id).map(|known| (known.id, known.invoke))
    }

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
                queued: 0,
            };
            self.registrations.insert(id.get(), registration);
        }
        if let Some(registration) = self.registrations.get_mut(id.get()) {
            registration.candidates.push(Candidate {
                is_local: added.callee.address.shard == here,
                callee: added.callee,
                ticket: added.ticket,
                outstanding: 0,
                slots: Slots::default(),
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
