//! Where sessions and attempts to join are: in the slots of the shards, or, without transport, beside them.

use std::collections::BTreeMap;

use crossring_codec::id::SessionId;

use super::{Attempt, Session};
use crate::address::{SessionAddress, SessionKey, ShardId};
use crate::auth::Pending;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    /// By shard and slot.
    slots: Vec<Vec<Slot>>,
    /// Sessions that are frozen or on the move, by the address that others know. Their slot may be used again.
    parked: BTreeMap<SessionAddress, Box<Session>>,
}

/// A slot of a shard.
#[derive(Debug, Default)]
pub(super) struct Slot {
    generation: u32,
    member: Member,
}

#[derive(Debug, Default)]
pub(super) enum Member {
    #[default]
    Nobody,
    /// Has to authenticate before the deadline.
    Pending(Box<Attempt>, Pending),
    /// Shall carry on a session that is elsewhere, or without transport.
    Resuming(SessionId),
    /// Joined.
    Joined(Box<Session>),
}

const _: () = assert!(
    size_of::<Slot>() + size_of::<Session>() + 32 <= 350,
    "an idle joined session, its authid included, has to stay small"
);

impl Places {
    pub(super) fn new(shards: usize) -> Self {
        Self { slots: (0..shards).map(|_| Vec::new()).collect(), parked: BTreeMap::new() }
    }

    /// The place of a transport; made if there is none. A new generation starts with nobody.
    pub(super) fn make(&mut self, address: SessionAddress) -> &mut Member {
        let slots = &mut self.slots[address.shard.index()];
        let index = address.key.slot as usize;
        if index >= slots.len() {
            slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut slots[index];
        if slot.generation != address.key.generation {
            *slot = Slot { generation: address.key.generation, member: Member::Nobody };
        }
        &mut slot.member
    }

    /// Who is at a transport; nobody, if the slot has another one by now.
    pub(super) fn member(&self, address: SessionAddress) -> &Member {
        match self.slots.get(address.shard.index()).and_then(|slots| slots.get(address.key.slot as usize)) {
            Some(slot) if slot.generation == address.key.generation => &slot.member,
            _ => &Member::Nobody,
        }
    }

    fn member_mut(&mut self, address: SessionAddress) -> Option<&mut Member> {
        let slot = self.slots.get_mut(address.shard.index())?.get_mut(address.key.slot as usize)?;
        (slot.generation == address.key.generation).then_some(&mut slot.member)
    }

    /// Takes out who is at a transport.
    pub(super) fn take(&mut self, address: SessionAddress) -> Member {
        self.member_mut(address).map(std::mem::take).unwrap_or_default()
    }

    /// The session at an address, with or without transport.
    pub(super) fn session(&self, address: SessionAddress) -> Option<&Session> {
        match self.member(address) {
            Member::Joined(session) => Some(session),
            _ => self.parked(address),
        }
    }

    /// The session at an address, with or without transport.
    pub(super) fn session_mut(&mut self, address: SessionAddress) -> Option<&mut Session> {
        if !matches!(self.member(address), Member::Joined(_)) {
            return self.parked.get_mut(&address).map(|session| &mut **session);
        }
        match self.member_mut(address) {
            Some(Member::Joined(session)) => Some(session),
            _ => None,
        }
    }

    /// The session without transport at an address.
    pub(super) fn parked(&self, address: SessionAddress) -> Option<&Session> {
        self.parked.get(&address).map(|session| &**session)
    }

    /// Puts a session beside the slots.
    pub(super) fn park(&mut self, address: SessionAddress, session: Box<Session>) {
        self.parked.insert(address, session);
    }

    /// Takes out a session without transport.
    pub(super) fn take_parked(&mut self, address: SessionAddress) -> Option<Box<Session>> {
        self.parked.remove(&address)
    }

    /// Sessions without transport, by address.
    pub(super) fn all_parked(&self) -> impl Iterator<Item = (SessionAddress, &Session)> {
        self.parked.iter().map(|(address, session)| (*address, &**session))
    }

    /// Joined sessions by shard and slot, then those without transport.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (SessionAddress, &Session)> {
        let joined = self.slots.iter().enumerate().flat_map(|(shard, slots)| {
            slots.iter().enumerate().filter_map(move |(index, slot)| match &slot.member {
                Member::Joined(session) => {
                    let key = SessionKey { slot: index as u32, generation: slot.generation };
                    Some((SessionAddress { shard: ShardId(shard as u8), key }, &**session))
                }
                Member::Nobody | Member::Pending(..) | Member::Resuming(_) => None,
            })
        });
        joined.chain(self.all_parked())
    }

    /// Attempts to authenticate.
    pub(super) fn pending(&self) -> usize {
        self.slots.iter().flatten().filter(|slot| matches!(slot.member, Member::Pending(..))).count()
    }
}
