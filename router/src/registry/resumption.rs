//! Sessions that outlive their transport (wamp.md 7.6), at the registry: who may resume them, until when, and the steps of a
//! move. What the shards do is described in `resumption`.
//!
//! Only the registry decides what becomes of a session without transport, so resumption, expiry and kill do not race: each
//! finds the session joined, frozen or moving. What comes while it moves waits until it has arrived. A token is used up
//! when WELCOME has been sent; an attempt that loses its transport before leaves it valid.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crossring_codec::id::{RegistrationId, SessionId, SubscriptionId};
use crossring_codec::message::{HelloDetails, WelcomeDetails};
use crossring_codec::uri::well_known;

use super::places::Member;
use super::{Channel, Registry, Session, Subject};
use crate::address::{Now, SessionAddress};
use crate::auth::{Denial, is_same_secret};
use crate::letter::{Holdings, Letter, Move};
use crate::lifecycle::NS_PER_MS;
use crate::outbox::Post;

/// What makes a session resumable.
#[derive(Debug)]
pub(super) struct Resumption {
    /// Proves the right to resume it.
    token: Token,
    stage: Stage,
    /// Waits to carry it on.
    successor: Option<Successor>,
    /// It has been resumed.
    is_resumed: bool,
    /// It has been killed: reason and message.
    doom: Option<(Box<str>, Option<Box<str>>)>,
}

#[derive(Debug)]
enum Stage {
    /// It has a transport, as far as is known.
    Joined,
    /// It has none, and ends then.
    Frozen { deadline_ns: u64 },
    /// It goes to the place where it is found now; it was a member of these subscriptions where it comes from. WELCOME
    /// tells the next token.
    Moving { from: SessionAddress, subscriptions: Vec<SubscriptionId>, next: Token, ticket: u64 },
}

/// A transport whose HELLO had the right token.
#[derive(Debug)]
struct Successor {
    address: SessionAddress,
    channel: Channel,
}

/// 16 random octets in base64.
struct Token(Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Registry {
    /// Lets the session be resumed, if its client wants that and its realm has it; tells so.
    pub(super) fn make_resumable(
        &mut self,
        session: &Session,
        details: &mut WelcomeDetails<'static>,
    ) -> Option<Box<Resumption>> {
        let realm = &self.config.realms[usize::from(session.identity.realm.0)];
        if !session.channel.wants_resumption || realm.resumption.is_none() || self.is_internal(session) {
            return None;
        }
        let token = self.new_token();
        token.tell(details);
        let stage = Stage::Joined;
        Some(Box::new(Resumption { token, stage, successor: None, is_resumed: false, doom: None }))
    }

    /// HELLO of a client that had a session.
    pub(super) fn resume<P: Post>(
        &mut self,
        address: SessionAddress,
        channel: Channel,
        realm: Option<&str>,
        details: &HelloDetails<'_>,
        out: &mut P,
    ) {
        match self.find_resumable(realm, details) {
            Some((home, id)) => {
                *self.places.make(address) = Member::Resuming(id);
                self.set_successor(home, Successor { address, channel }, out);
            }
            None => self.deny(address, "no session can be resumed with this token", out),
        }
    }

    /// The session that HELLO names, if the token is right. Whether there is such a session is not told.
    fn find_resumable(
        &self,
        realm: Option<&str>,
        details: &HelloDetails<'_>,
    ) -> Option<(SessionAddress, SessionId)> {
        let given = details.resume_token.as_deref().unwrap_or_default();
        let known = details.resume_session.and_then(|id| self.session_by_id(id));
        let token = known.and_then(|(_, session)| session.resumption.as_ref()).map(|known| &*known.token.0);
        let is_same = bool::from(is_same_secret(given.as_bytes(), token.unwrap_or_default().as_bytes()));
        let (home, session) = known.filter(|_| is_same && token.is_some())?;
        let name = &self.config.realms[usize::from(session.identity.realm.0)].name;
        realm.is_none_or(|realm| realm == &**name).then_some((home, session.id))
    }

    fn deny<P: Post>(&mut self, address: SessionAddress, message: &str, out: &mut P) {
        self.refuse(address, &Denial::new(well_known::AUTHENTICATION_DENIED, message), out);
    }

    /// The session goes on over another transport as soon as it can; an earlier attempt is refused.
    fn set_successor<P: Post>(&mut self, home: SessionAddress, successor: Successor, out: &mut P) {
        let Some(resumption) = self.resumption_mut(home) else { return };
        let earlier = resumption.successor.replace(successor);
        if matches!(resumption.stage, Stage::Frozen { .. }) {
            self.start_move(home, out);
        } else {
            out.post(home.shard, Letter::Freeze { key: home.key });
        }
        if let Some(earlier) = earlier {
            self.deny(earlier.address, "resumed over another transport", out);
        }
    }

    /// The transport that should have carried on a session is gone.
    pub(super) fn successor_left(&mut self, id: SessionId, address: SessionAddress) {
        let Some((home, _)) = self.session_by_id(id) else { return };
        if let Some(resumption) = self.resumption_mut(home)
            && resumption.successor.as_ref().is_some_and(|successor| successor.address == address)
        {
            resumption.successor = None;
        }
    }

    /// The session has ended while somebody waited to carry it on.
    pub(super) fn refuse_successor<P: Post>(&mut self, resumption: Resumption, out: &mut P) {
        if let Some(successor) = resumption.successor {
            self.deny(successor.address, "the session has ended", out);
        }
    }

    /// The shard: a session has lost its transport.
    pub(super) fn session_frozen<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        holdings: &Holdings,
        out: &mut P,
    ) {
        if self.session(address).is_none_or(|session| session.resumption.is_none()) {
            return;
        }
        self.forget_unconfirmed(address, holdings, out);
        self.note_detached(address);
        let Member::Joined(session) = self.places.take(address) else { return };
        let realm = usize::from(session.identity.realm.0);
        self.realms[realm].parked += 1;
        self.places.park(address, session);
        let per_realm = self.config.realms[realm].resumption.as_ref().map_or(0, |config| config.sessions_max);
        let has_room = self.realms[realm].parked <= per_realm
            && self.sessions_parked() <= self.limits.parked_sessions_max as usize;
        self.freeze(now, address, out);
        if !has_room {
            self.end_parked(address, out);
        }
    }

    /// Takes away what the client has asked for and was not told to have.
    fn forget_unconfirmed<P: Post>(&mut self, address: SessionAddress, holdings: &Holdings, out: &mut P) {
        let Some(session) = self.session(address) else { return };
        let (subscriptions, registrations) = (session.subscriptions_held(), session.registrations_held());
        for id in subscriptions.into_iter().filter_map(SubscriptionId::new) {
            if holdings.subscriptions.binary_search(&id).is_err() {
                self.detach(address, id, out);
            }
        }
        for id in registrations.into_iter().filter_map(RegistrationId::new) {
            if holdings.registrations.binary_search(&id).is_err() {
                self.unregister(address, id, None, out);
            }
        }
    }

    /// The time of a session without transport begins; unless it has been killed, or somebody waits to carry it on.
    fn freeze<P: Post>(&mut self, now: Now, address: SessionAddress, out: &mut P) {
        let Some(session) = self.session(address) else { return };
        let config = self.config.realms[usize::from(session.identity.realm.0)].resumption.as_ref();
        let timeout_ms = config.map_or(0, |config| config.timeout_ms);
        let deadline_ns = now.monotonic_ns + u64::from(timeout_ms) * NS_PER_MS;
        self.frozen.insert((deadline_ns, address));
        for id in self.registrations_of(address) {
            self.callee_away(id, address, out);
        }
        let Some(resumption) = self.resumption_mut(address) else { return };
        resumption.stage = Stage::Frozen { deadline_ns };
        if resumption.doom.is_some() {
            self.end_parked(address, out);
        } else if resumption.successor.is_some() {
            self.start_move(address, out);
        }
    }

    fn registrations_of(&self, address: SessionAddress) -> Vec<RegistrationId> {
        let held = self.session(address).map(Session::registrations_held).unwrap_or_default();
        held.into_iter().filter_map(RegistrationId::new).collect()
    }

    /// A frozen session has a new transport.
    fn start_move<P: Post>(&mut self, from: SessionAddress, out: &mut P) {
        let next = self.new_token();
        let Some(mut session) = self.places.take_parked(from) else { return };
        self.forget_cookie(&session);
        let Some(resumption) = &mut session.resumption else { return };
        let Some(Successor { address: to, channel }) = resumption.successor.take() else { return };
        if let Stage::Frozen { deadline_ns } = resumption.stage {
            self.frozen.remove(&(deadline_ns, from));
        }
        session.channel = channel;
        let mut admission = self.admission(&session);
        admission.details.resumed = true;
        next.tell(&mut admission.details);
        let holdings = session.holdings();
        session.subscriptions = None;
        let id = session.id;
        self.places.park(to, session);
        self.move_cookie(to);
        self.index.remove(id, from);
        self.index.insert(&self.places, id, to);
        for id in &holdings.subscriptions {
            self.add_home(*id, from, to, out);
        }
        let (subscriptions, registrations) = (holdings.subscriptions.clone(), holdings.registrations.clone());
        let node_key = |id: &SubscriptionId| Some((*id, self.node_key(*id, to)?));
        let node_keys = holdings.subscriptions.iter().filter_map(node_key).collect();
        let movement = Move { from, to, holdings, node_keys, admission };
        let letter = |ticket| Letter::Prepare { movement: Box::new(movement.clone()), ticket };
        let ticket = self.broadcast(Subject::Move(to), letter, out);
        for id in registrations {
            self.move_callee(id, from, to, ticket);
        }
        if let Some(resumption) = self.resumption_mut(to) {
            resumption.stage = Stage::Moving { from, subscriptions, next, ticket };
        }
    }

    /// All shards are prepared.
    pub(super) fn move_known<P: Post>(&mut self, to: SessionAddress, out: &mut P) {
        if let Some(Resumption { stage: Stage::Moving { from, .. }, .. }) = self.resumption_mut(to) {
            out.post(from.shard, Letter::Depart { from: *from, to });
        }
    }

    /// The shard: a move is done.
    pub(super) fn session_arrived<P: Post>(
        &mut self,
        now: Now,
        address: SessionAddress,
        is_joined: bool,
        out: &mut P,
    ) {
        let Some(resumption) = self.resumption_mut(address) else { return };
        let stage = std::mem::replace(&mut resumption.stage, Stage::Joined);
        let Stage::Moving { from, subscriptions, next, .. } = stage else {
            resumption.stage = stage;
            return;
        };
        let doom = resumption.doom.clone();
        if is_joined {
            resumption.token = next;
            resumption.is_resumed = true;
        }
        let told = self.session(address).and_then(|session| self.told_id(session));
        for id in subscriptions {
            self.remove_home(id, from, told, out);
        }
        if !is_joined {
            return self.freeze(now, address, out);
        }
        for id in self.registrations_of(address) {
            self.callee_arrived(id, address, out);
        }
        let Some(session) = self.places.take_parked(address) else { return };
        self.realms[usize::from(session.identity.realm.0)].parked -= 1;
        let id = session.id;
        *self.places.make(address) = Member::Joined(session);
        if let Some((reason, message)) = doom {
            out.post(address.shard, Letter::Kill { key: address.key, session: id, reason, message });
        }
    }

    /// Ends the sessions whose time is over.
    pub(super) fn expire_frozen<P: Post>(&mut self, now: Now, out: &mut P) {
        while let Some((_, address)) =
            self.frozen.first().copied().filter(|entry| entry.0 <= now.monotonic_ns)
        {
            self.end_parked(address, out);
        }
    }

    /// Takes note that a resumable session is killed; `true`: nobody can be told GOODBYE now. A frozen session ends at once,
    /// a moving one when it has arrived.
    pub(super) fn doom<P: Post>(
        &mut self,
        address: SessionAddress,
        reason: &str,
        message: Option<&str>,
        out: &mut P,
    ) -> bool {
        let Some(resumption) = self.resumption_mut(address) else { return false };
        resumption.doom = Some((reason.into(), message.map(Box::from)));
        match resumption.stage {
            Stage::Joined => return false,
            Stage::Frozen { .. } => self.end_parked(address, out),
            Stage::Moving { .. } => {}
        }
        true
    }

    /// The shard has ended a session without transport by itself: when it shuts down, or when GOODBYE came too late.
    pub(super) fn parked_left<P: Post>(&mut self, address: SessionAddress, out: &mut P) {
        let comes_from_there = |session: &Session| match session.resumption.as_deref() {
            Some(Resumption { stage: Stage::Moving { from, .. }, .. }) => *from == address,
            _ => false,
        };
        let is_meant =
            |(home, session): &(SessionAddress, &Session)| *home == address || comes_from_there(session);
        let home = self.places.all_parked().find(is_meant).map(|(home, _)| home);
        if let Some(home) = home {
            self.end_parked(home, out);
        }
    }

    /// The end of a session without transport: nothing of it stays.
    fn end_parked<P: Post>(&mut self, address: SessionAddress, out: &mut P) {
        let Some(session) = self.places.take_parked(address) else { return };
        self.realms[usize::from(session.identity.realm.0)].parked -= 1;
        match session.resumption.as_ref().map(|resumption| &resumption.stage) {
            Some(Stage::Frozen { deadline_ns }) => {
                self.frozen.remove(&(*deadline_ns, address));
                let (reason, message) = (well_known::KILLED.into(), None);
                let letter = Letter::Kill { key: address.key, session: session.id, reason, message };
                out.post(address.shard, letter);
            }
            Some(Stage::Moving { from, subscriptions, ticket, .. }) => {
                self.tickets.remove(ticket);
                let told = self.told_id(&session);
                for id in subscriptions {
                    self.remove_home(*id, *from, told, out);
                }
            }
            Some(Stage::Joined) | None => {}
        }
        self.bury(address, session, out);
    }

    /// Sessions without transport, or on their way to a new one.
    pub(crate) fn sessions_parked(&self) -> usize {
        self.realms.iter().map(|realm| realm.parked as usize).sum()
    }

    /// Whether a session without transport is kept at this place.
    pub(super) fn is_frozen_at(&self, address: SessionAddress) -> bool {
        self.places.parked(address).is_some() && !self.is_moving_to(address)
    }

    /// Whether the session is on its way to this place.
    pub(super) fn is_moving_to(&self, address: SessionAddress) -> bool {
        let resumption = self.places.parked(address).and_then(|session| session.resumption.as_deref());
        resumption.is_some_and(|resumption| matches!(resumption.stage, Stage::Moving { .. }))
    }

    fn resumption_mut(&mut self, address: SessionAddress) -> Option<&mut Resumption> {
        self.session_mut(address)?.resumption.as_deref_mut()
    }

    fn new_token(&mut self) -> Token {
        let words = [self.random.next_u64(), self.random.next_u64()];
        let octets: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        Token(BASE64_STANDARD.encode(octets).into())
    }
}

impl Token {
    fn tell(&self, details: &mut WelcomeDetails<'static>) {
        details.resumable = true;
        details.resume_token = Some(self.0.to_string().into());
    }
}

impl Session {
    /// Whether it survives the loss of its transport.
    pub(crate) fn is_resumable(&self) -> bool {
        self.resumption.is_some()
    }

    /// Whether it has been resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.is_resumed)
    }

    fn holdings(&self) -> Holdings {
        Holdings {
            subscriptions: self.subscriptions_held().into_iter().filter_map(SubscriptionId::new).collect(),
            registrations: self.registrations_held().into_iter().filter_map(RegistrationId::new).collect(),
        }
    }
}
