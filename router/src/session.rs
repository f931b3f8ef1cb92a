//! Sessions of a shard: the slots the host gives to transports, and what a joined session owns.

use std::sync::Arc;

use crossring_codec::id::{RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{ClientRoles, Feature, Features, Message, RegisterOptions};
use crossring_codec::uri::Match;
use foldhash::fast::FixedState;

use crate::address::{RealmId, RoleId, SessionKey, TransportId};
use crate::broker::PublishRoute;
use crate::dealer::{CallRoute, Callee, Caller};
use crate::details::TransportDetails;
use crate::held::Held;
use crate::letter::Admission;
use crate::limits::{Limits, SessionLimits};
use crate::statistics::Statistics;
use crate::table::IntegerMap;

/// What a transport is in the middle of (wamp.md 7.1).
#[derive(Debug, Default)]
pub(crate) enum State {
    /// No transport.
    #[default]
    Vacant,
    /// HELLO must come before the deadline; `again`: a session has already been here and left.
    Opened { deadline_ns: u64, again: bool },
    /// The registry has the HELLO or the AUTHENTICATE.
    Joining(Box<ClientRoles>),
    /// AUTHENTICATE must come.
    Challenged(Box<ClientRoles>),
    /// Joined.
    Established(Box<Session>),
    /// Joined; a message waits for the answer of the role's authorizer, and the later ones behind it.
    Held(Box<Held>),
    /// Our GOODBYE is out: nothing else is sent, nothing but GOODBYE is minded.
    Closing { deadline_ns: u64 },
    /// The host was told to end the transport.
    Ended,
}

/// The place of a transport.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) transport: TransportId,
    /// What is known of the transport, while there is one.
    pub(crate) details: Option<Arc<TransportDetails>>,
    pub(crate) state: State,
}

/// Room for so many times the slots there are is given back.
const SPARE_MAX: usize = 8;

/// All slots of a shard.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Vec<Slot>,
    /// Open transports.
    pub(crate) transports: usize,
    /// Joined sessions.
    pub(crate) joined: usize,
}

impl Sessions {
    /// Gives a slot to a transport.
    pub(crate) fn open(
        &mut self,
        key: SessionKey,
        transport: TransportId,
        details: Arc<TransportDetails>,
        state: State,
    ) {
        let index = key.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index] = Slot { generation: key.generation, transport, details: Some(details), state };
        self.transports += 1;
    }

    /// The transport is gone: nothing of it stays.
    pub(crate) fn close(&mut self, key: SessionKey) {
        if let Some(slot) = self.slot_mut(key) {
            slot.details = None;
        }
        self.transports -= 1;
    }

    /// Gives up slots at the end that nobody has, and their memory where that is much.
    pub(crate) fn trim(&mut self) {
        let is_taken = |slot: &Slot| slot.details.is_some() || !matches!(slot.state, State::Vacant);
        let count = self.slots.iter().rposition(is_taken).map_or(0, |last| last + 1);
        self.slots.truncate(count);
        if self.slots.capacity() > SPARE_MAX * count.max(1) {
            self.slots.shrink_to(2 * count);
        }
    }

    /// The slot, if its transport is still this one.
    #[inline]
    pub(crate) fn slot_mut(&mut self, key: SessionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)
    }

    /// The state of a transport.
    #[inline]
    pub(crate) fn state(&self, key: SessionKey) -> &State {
        match self.slots.get(key.slot as usize) {
            Some(slot) if slot.generation == key.generation => &slot.state,
            _ => &State::Vacant,
        }
    }

    /// The messages of a session that wait, if any do.
    pub(crate) fn held_mut(&mut self, key: SessionKey) -> Option<&mut Held> {
        match &mut self.slot_mut(key)?.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// The joined session of a transport.
    #[inline]
    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        match self.state(key) {
            State::Established(session) => Some(session),
            State::Held(held) => Some(&held.session),
            _ => None,
        }
    }

    /// The joined session of a transport.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        match &mut self.slot_mut(key)?.state {
            State::Established(session) => Some(session),
            State::Held(held) => Some(&mut held.session),
            _ => None,
        }
    }

    /// Keys and states of all open transports, in the order of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionKey, &State)> {
        self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot.state, State::Vacant)).map(
            |(index, slot)| (SessionKey { slot: index as u32, generation: slot.generation }, &slot.state),
        )
    }
}

/// A joined session. An idle one owns its `authid` and nothing else on the heap.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) authid: Box<str>,
    pub(crate) realm: RealmId,
    pub(crate) role: RoleId,
    /// SUBSCRIBE and REGISTER requests that the registry has not answered.
    pub(crate) requests_pending: u32,
    pub(crate) roles: ClientRoles,
    /// It survives the loss of its transport.
    pub(crate) is_resumable: bool,
    /// It has survived one.
    pub(crate) is_resumed: bool,
    /// It is the router's, not a client's.
    pub(crate) is_own: bool,
    /// Highest request id received; 0 before the first.
    pub(crate) request_last: u64,
    /// Subscriptions (by id) and the session's place among their local members.
    pub(crate) subscriptions: Option<Box<IntegerMap<u64, u32>>>,
    /// SUBSCRIBE requests under way, by pattern.
    pub(crate) subscribing: Option<Box<UnderWay<RequestId>>>,
    /// REGISTER requests under way, by pattern: the first is at the registry.
    pub(crate) registering: Option<Box<UnderWay<Registering>>>,
    pub(crate) caller: Option<Box<Caller>>,
    pub(crate) callee: Option<Box<Callee>>,
    /// Where the last publication went.
    pub(crate) publish_route: Option<Box<PublishRoute>>,
    /// How far its traffic has been reported, where the realm asks for that.
    pub(crate) statistics: Option<Box<Statistics>>,
    /// Where the last call went.
    pub(crate) call_route: Option<Box<CallRoute>>,
}

/// Requests of one kind that wait for the same pattern, in their order.
pub(crate) type UnderWay<R> = hashbrown::HashMap<(Match, Arc<str>), Vec<R>, FixedState>;

/// A REGISTER under way.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) request: RequestId,
    pub(crate) options: RegisterOptions<'static>,
}

impl Session {
    /// A session just admitted.
    pub(crate) fn new(admission: &Admission, roles: ClientRoles) -> Self {
        Self {
            id: admission.session,
            authid: admission.details.authid.as_deref().unwrap_or_default().into(),
            realm: admission.realm,
            role: admission.role,
            requests_pending: 0,
            roles,
            is_resumable: admission.details.resumable,
            is_resumed: admission.details.resumed,
            is_own: false,
            request_last: 0,
            subscriptions: None,
            subscribing: None,
            registering: None,
            caller: None,
            callee: None,
            publish_route: None,
            statistics: None,
            call_route: None,
        }
    }

    /// Forgets what the peer has asked for and not been answered: its transport is lost.
    pub(crate) fn forget_requests(&mut self) {
        self.requests_pending = 0;
        self.subscribing = None;
        self.registering = None;
        self.publish_route = None;
        self.call_route = None;
        if let Some(callee) = &mut self.callee {
            callee.forget_unconfirmed();
        }
    }

    /// Undoes [`Session::note_request`] for a message that will be looked at again.
    pub(crate) fn forget_request(&mut self, request: RequestId, strict: bool) {
        if strict {
            self.request_last = request.get() - 1;
        }
    }

    /// What it may hold.
    pub(crate) fn limits<'a>(&self, all: &'a Limits) -> &'a SessionLimits {
        if self.is_own { &SessionLimits::OWN } else { &all.session }
    }

    /// Features announced as callee.
    pub(crate) fn callee_has(&self, feature: Feature) -> bool {
        self.roles.callee.is_some_and(|features| features.contains(feature))
    }

    /// Whether the peer takes messages that tell of a lost subscription or registration.
    pub(crate) fn is_told_of(&self, revocation: &Message<'_>) -> bool {
        match revocation {
            Message::Unregistered { .. } => self.callee_has(Feature::RegistrationRevocation),
            Message::Unsubscribed { .. } => self
                .roles
                .subscriber
                .is_some_and(|features| features.contains(Feature::SubscriptionRevocation)),
            _ => false,
        }
    }

    /// Whether any role announced the feature.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        let roles = [self.roles.publisher, self.roles.subscriber, self.roles.caller, self.roles.callee];
        roles.into_iter().flatten().any(|features: Features| features.contains(feature))
    }

    /// Subscriptions held, lowest id first.
    pub(crate) fn subscriptions_sorted(&self) -> Vec<SubscriptionId> {
        let held = self.subscriptions.iter().flat_map(|held| held.keys());
        let mut ids: Vec<SubscriptionId> = held.filter_map(|id| SubscriptionId::new(*id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Takes a subscription out; `false`: the session does not hold it.
    pub(crate) fn forget_subscription(&mut self, id: SubscriptionId) -> bool {
        let Some(held) = &mut self.subscriptions else { return false };
        let was_held = held.remove(&id.get()).is_some();
        if held.is_empty() {
            self.subscriptions = None;
        }
        was_held
    }

    /// Subscriptions held.
    pub(crate) fn subscriptions_held(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |held| held.len())
    }

    /// Takes note of a request id; `false`: the peer broke the rules.
    ///
    /// Strict: one more than the last; after a resumption any id is the first, for the client cannot know which of its last
    /// requests have arrived. Otherwise any id will do (old clients use random ones), and the highest is kept
    /// so that a CANCEL of a call that was never made is noticed.
    #[inline]
    pub(crate) fn note_request(&mut self, request: RequestId, strict: bool) -> bool {
        let expected = RequestId::new(self.request_last).map_or(1, |last| last.next().get());
        if strict {
            let is_first = self.request_last == 0 && self.is_resumed;
            self.request_last = request.get();
            return is_first || request.get() == expected;
        }
        self.request_last = self.request_last.max(request.get());
        true
    }
}

const _: () = assert!(size_of::<Slot>() <= 32, "one for each transport");
const _: () = assert!(
    size_of::<Slot>() + size_of::<Session>() + 32 <= 350,
    "an idle joined session, its authid included, has to stay small"
);
