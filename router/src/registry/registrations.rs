//! Who is registered for what: conflicts, policies, and the order of callees.

use std::sync::Arc;

use crossring_codec::id::{RegistrationId, SessionId};
use crossring_codec::message::InvocationPolicy;
use crossring_codec::uri::well_known;

use super::{Callee, Queue, Registration, Registry, Subject, Wish, tell_all};
use crate::address::{Now, SessionAddress};
use crate::letter::{self, Letter};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Post;

impl Registry {
    pub(super) fn register<P: Post>(
        &mut self,
        now: Now,
        callee: letter::Callee,
        wish: &Wish<'_>,
        out: &mut P,
    ) {
        let address = callee.address;
        if self.session_mut(address).is_none() {
            return;
        }
        match self.find_place(now, address, wish, out) {
            Err(error) => {
                let (key, request) = (address.key, wish.request);
                let letter = Letter::RegisterRefused { key, request, error: error.into() };
                out.post(address.shard, letter);
            }
            Ok(id) => {
                self.spread_callee(id, &callee, wish, out);
                self.answer(id, address, wish, out);
            }
        }
    }

    /// The registration that the callee may join (wamp.md 2.2.9, 2.2.11); made if there is none.
    fn find_place<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        wish: &Wish<'_>,
        out: &mut P,
    ) -> Result<RegistrationId, &'static str> {
        let realm = self.realms.get_mut(usize::from(wish.realm.0)).ok_or(well_known::NO_SUCH_REALM)?;
        let known = realm.procedures.get(wish.uri, wish.match_policy).and_then(RegistrationId::new);
        let Some(id) = known else { return self.create(now, wish) };
        if wish.force_reregister {
            let queue = self.evict(id, out);
            let created = self.create(now, wish);
            match created.ok().and_then(|id| self.registrations.get_mut(id.get())) {
                Some(registration) => registration.queue = queue,
                None => self.dismiss(queue, out),
            }
            return created;
        }
        let registration = self.registrations.get_mut(id.get()).ok_or(well_known::UNAVAILABLE)?;
        if registration.invoke == InvocationPolicy::Single || registration.invoke != wish.invoke {
            return Err(well_known::PROCEDURE_ALREADY_EXISTS);
        }
        debug_assert!(!registration.callees.is_empty(), "{address:?} found a registration of nobody");
        Ok(id)
    }

    fn create(&mut self, now: Now, wish: &Wish<'_>) -> Result<RegistrationId, &'static str> {
        let id = self.registrations.next_id().and_then(RegistrationId::new).ok_or(LIMIT_EXCEEDED)?;
        let uri: Arc<str> = wish.uri.into();
        let procedures = &mut self.realms[usize::from(wish.realm.0)].procedures;
        procedures.insert(&uri, wish.match_policy, id.get());
        self.registrations.insert(Registration {
            realm: wish.realm,
            uri,
            match_policy: wish.match_policy,
            invoke: wish.invoke,
            created_ms: now.unix_ms,
            is_announced: false,
            callees: Vec::new(),
            queue: None,
        });
        Ok(id)
    }

    /// Removes all callees, who are told. The calls that wait are those of the next registration.
    fn evict<P: Post>(&mut self, id: RegistrationId, out: &mut P) -> Option<Box<Queue>> {
        let registration = self.registrations.get_mut(id.get())?;
        let queue = registration.queue.take();
        let callees: Vec<SessionAddress> = registration.callees.iter().map(|callee| callee.address).collect();
        for address in callees {
            self.unregister(address, id, Some(well_known::UNREGISTERED), out);
        }
        queue
    }

    /// Tells all shards of the callee, unless they were told.
    fn spread_callee<P: Post>(
        &mut self,
        id: RegistrationId,
        callee: &letter::Callee,
        wish: &Wish<'_>,
        out: &mut P,
    ) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        if registration.callees.iter().any(|known| known.address == callee.address) {
            return;
        }
        registration.callees.push(Callee::from(callee));
        let letter = |ticket| Letter::AddCallee {
            realm: wish.realm,
            registration: id,
            uri: wish.uri.into(),
            match_policy: wish.match_policy,
            invoke: wish.invoke,
            callee: Box::new(callee.clone()),
            ticket,
        };
        let ticket = self.broadcast(Subject::Callee(id, callee.address), letter, out);
        if let Some(known) = self.callee_mut(id, callee.address) {
            known.ticket = Some(ticket);
            known.added = ticket;
        }
        let integers = self.integers;
        if let Some(session) = self.session_mut(callee.address) {
            let held = session
                .registrations
                .get_or_insert_with(|| Box::new(hashbrown::HashSet::with_hasher(integers)));
            held.insert(id.get());
        }
    }

    /// REGISTERED, now or when all shards know the callee.
    fn answer<P: Post>(&mut self, id: RegistrationId, address: SessionAddress, wish: &Wish<'_>, out: &mut P) {
        let Some(callee) = self.callee_mut(id, address) else { return };
        if callee.ticket.is_some() {
            callee.waiting.push(wish.request);
        } else {
            let (key, request) = (address.key, wish.request);
            out.post(address.shard, Letter::Registered { key, request, registration: id });
        }
    }

    /// All shards know the callee.
    pub(super) fn callee_known<P: Post>(&mut self, id: RegistrationId, address: SessionAddress, out: &mut P) {
        let Some(callee) = self.callee_mut(id, address) else { return };
        callee.ticket = None;
        for request in std::mem::take(&mut callee.waiting) {
            out.post(address.shard, Letter::Registered { key: address.key, request, registration: id });
        }
        self.note_registered(address, id);
        self.callees_changed(id, out);
    }

    pub(crate) fn unregister<P: Post>(
        &mut self,
        address: SessionAddress,
        id: RegistrationId,
        revoked: Option<&str>,
        out: &mut P,
    ) {
        let Some(session) = self.session_mut(address) else { return };
        let Some(held) = &mut session.registrations else { return };
        if !held.remove(&id.get()) {
            return;
        }
        if held.is_empty() {
            session.registrations = None;
        }
        let told = self.session(address).and_then(|session| self.told_id(session));
        self.remove_callee(address, told, id, revoked, out);
    }

    /// Takes a callee out of a registration; one without callees is forgotten.
    pub(super) fn remove_callee<P: Post>(
        &mut self,
        address: SessionAddress,
        told: Option<SessionId>,
        id: RegistrationId,
        revoked: Option<&str>,
        out: &mut P,
    ) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        let Some(index) = registration.callees.iter().position(|callee| callee.address == address) else {
            return;
        };
        let callee = registration.callees.remove(index);
        if let Some(ticket) = callee.ticket {
            self.tickets.remove(&ticket);
        }
        let realm = registration.realm;
        let (uri, match_policy) = (Arc::clone(&registration.uri), registration.match_policy);
        let told = told.filter(|_| registration.is_announced);
        let is_last = registration.callees.is_empty();
        let mut queue = None;
        if is_last {
            queue = registration.queue.take();
            let procedures = &mut self.realms[usize::from(realm.0)].procedures;
            procedures.remove(&registration.uri, registration.match_policy);
            self.registrations.remove(id.get());
        }
        if let Some(session) = told.filter(|_| callee.ticket.is_none()) {
            self.note_unregistered(realm, session, id);
        }
        if let Some(session) = told.filter(|_| is_last) {
            self.note_registration_deleted(realm, session, id);
        }
        let waiting = if revoked.is_some() { callee.waiting } else { Vec::new() };
        let revoked = revoked.map(Box::from);
        let letter =
            Letter::RemoveCallee { realm, registration: id, uri, match_policy, callee: address, revoked };
        tell_all(self.shards, &letter, out);
        for request in waiting {
            let error = well_known::UNREGISTERED.into();
            out.post(address.shard, Letter::RegisterRefused { key: address.key, request, error });
        }
        self.dismiss(queue, out);
        self.callees_changed(id, out);
    }

    /// A callee has no transport: calls wait for others.
    pub(super) fn callee_away<P: Post>(&mut self, id: RegistrationId, address: SessionAddress, out: &mut P) {
        if let Some(callee) = self.callee_mut(id, address) {
            callee.is_away = true;
            self.callees_changed(id, out);
        }
    }

    /// A callee moves, as if it were added anew under `ticket`, but keeps its place. It takes no calls before it has arrived.
    pub(super) fn move_callee(
        &mut self,
        id: RegistrationId,
        from: SessionAddress,
        to: SessionAddress,
        ticket: u64,
    ) {
        if let Some(callee) = self.callee_mut(id, from) {
            (callee.address, callee.added) = (to, ticket);
            (callee.is_wanted, callee.is_away) = (false, true);
        }
    }

    /// A callee that moved may take calls again.
    pub(super) fn callee_arrived<P: Post>(
        &mut self,
        id: RegistrationId,
        address: SessionAddress,
        out: &mut P,
    ) {
        if let Some(callee) = self.callee_mut(id, address) {
            callee.is_away = false;
            self.callees_changed(id, out);
        }
    }

    fn callee_mut(&mut self, id: RegistrationId, address: SessionAddress) -> Option<&mut Callee> {
        let registration = self.registrations.get_mut(id.get())?;
        registration.callees.iter_mut().find(|callee| callee.address == address)
    }
}
