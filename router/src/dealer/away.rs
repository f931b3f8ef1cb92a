//! Callees without transport: they stay registered, take no calls, and go to other places.

use crossring_codec::id::RegistrationId;
use crossring_codec::message::{Message, Revocation};

use super::register::take_held;
use super::{Callee, Dealer, Held, Slots};
use crate::address::{RealmId, SessionAddress, SessionKey, ShardId};
use crate::letter::{self, Declined, Kept};
use crate::session::{Session, State};
use crate::shard::Shard;
use crate::table::IntegerState;

impl Callee {
    /// Forgets the registrations that the client does not know to have.
    pub(crate) fn forget_unconfirmed(&mut self) {
        self.registrations.retain(|_, held| held.is_confirmed);
        self.unconfirmed = 0;
    }

    /// Registrations held, lowest id first.
    pub(crate) fn registrations(&self) -> Vec<RegistrationId> {
        let mut ids: Vec<RegistrationId> =
            self.registrations.keys().filter_map(|id| RegistrationId::new(*id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Highest invocation id sent; 0 before the first.
    pub(crate) fn invocation_last(&self) -> u64 {
        self.invocation_last
    }
}

impl Session {
    /// Invocation ids go on where they were before the session moved.
    pub(crate) fn go_on_after(&mut self, invocation_last: u64, integers: IntegerState) {
        if invocation_last > 0 {
            let callee = self.callee.get_or_insert_with(|| Box::new(Callee::new(integers)));
            callee.invocation_last = invocation_last;
        }
    }
}

impl Dealer {
    /// A callee has another address from now on, and keeps its place.
    pub(crate) fn move_callee(
        &mut self,
        id: RegistrationId,
        from: SessionAddress,
        to: SessionAddress,
        ticket: u64,
        here: ShardId,
    ) {
        let Some(registration) = self.registrations.get_mut(id.get()) else { return };
        let mut candidates = registration.candidates.iter_mut();
        let Some(candidate) = candidates.find(|candidate| candidate.callee.address == from) else { return };
        candidate.callee.address = to;
        candidate.ticket = ticket;
        candidate.is_local = to.shard == here;
        candidate.outstanding = 0;
        candidate.slots = Slots::default();
    }

    /// What a session that moves here owns as a callee.
    pub(crate) fn callee_at(
        &self,
        address: SessionAddress,
        registrations: &[RegistrationId],
        integers: IntegerState,
    ) -> Option<Box<Callee>> {
        let mut callee = Callee::new(integers);
        for id in registrations {
            let Some(known) = self.registrations.get(id.get()) else { continue };
            let mut candidates = known.candidates.iter();
            let Some(candidate) = candidates.find(|candidate| candidate.callee.address == address) else {
                continue;
            };
            let held = Held { is_confirmed: true, ..Held::new(&candidate.callee) };
            callee.registrations.insert(id.get(), held);
        }
        (!callee.registrations.is_empty()).then(|| Box::new(callee))
    }
}

impl Shard {
    /// Why a callee that is not joined here takes no call.
    pub(super) fn absence(&self, registration: RegistrationId, callee: SessionKey, ticket: u64) -> Declined {
        let realm = self.dealer.registrations.get(registration.get()).map(|known| known.realm);
        let resumes = |realm: RealmId| self.config.realms[usize::from(realm.0)].resumption.is_some();
        let will_come = || {
            ticket > self.ticket_seen
                && matches!(self.sessions.state(callee), State::Joining(_))
                && realm.is_some_and(resumes)
        };
        if self.broker.parked.contains_key(&callee) || will_come() {
            Declined::Unavailable
        } else {
            Declined::Gone
        }
    }

    /// As [`Shard::absence`], for a call that is not to be sent any more: a slot reserved for it is free again.
    pub(super) fn decline_for(&mut self, call: &letter::Call) -> Declined {
        let why = self.absence(call.registration, call.callee, call.ticket);
        if why == Declined::Unavailable {
            self.unreserve(call);
        }
        why
    }

    /// The registry: a callee without transport leaves a registration. It is told when it is resumed.
    pub(super) fn remove_parked_callee(
        &mut self,
        key: SessionKey,
        registration: RegistrationId,
        revoked: Option<&str>,
    ) {
        let Some(parked) = self.broker.parked.get_mut(&key) else { return };
        let held = take_held(&mut parked.session, registration, false);
        if let (Some(reason), Some(Held { is_confirmed: true, .. })) = (revoked, held) {
            let revocation = Revocation { id: Some(registration), reason: Some(reason.to_owned().into()) };
            let message = Message::Unregistered { request: None, revocation: Some(Box::new(revocation)) };
            parked.queue.push(Kept::Revocation(Box::new(message)));
        }
    }
}
