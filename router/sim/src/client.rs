//! A simulated client: the real client session, and somebody with habits in front of it.

use std::rc::Rc;

use crossring_codec::id::{RegistrationId, RequestId, SubscriptionId};
use crossring_codec::message::{CancelMode, Feature, InvocationDetails, Message, RouterRoles};
use crossring_router::address::SessionKey;
use crossring_router::client::{ClientEvent, ClientSession, ClientState};

use crate::clock::ticks;
use crate::observation::{Observation, Peer};
use crate::tag::Tag;
use crate::workload::{self, Phase, Profile, World, authorize};

/// A client, with one transport at a time.
#[derive(Debug)]
pub struct SimClient {
    /// Its habits; drawn anew for each transport.
    pub profile: Profile,
    /// The session.
    pub session: ClientSession,
    /// The transport.
    pub link: Option<Link>,
    /// Subscriptions held.
    pub subscriptions: Vec<SubscriptionId>,
    /// Registrations held.
    pub registrations: Vec<RegistrationId>,
    /// Calls waiting for an answer.
    pub calls: Vec<RequestId>,
    /// Questions to this client as an authorizer or authenticator.
    pub questions: Vec<authorize::Question>,
    /// It has asked for an office.
    pub in_office: bool,
    /// Counts how often its mind has changed.
    pub opinion: u64,
    /// Progressive invocations under way.
    pub progressive: Vec<Progressive>,
    /// Invocations waiting for ours.
    pub invocations: Vec<OpenInvocation>,
    /// What the router announced.
    pub router: RouterRoles,
    /// Requests made behind the back of the session.
    pub requests_apart: Vec<RequestId>,
    /// Does not read before this tick.
    pub stuck_until: u64,
}

/// Where the transport of a client leads.
#[derive(Copy, Clone, Debug)]
pub struct Link {
    /// Its name.
    pub peer: Peer,
    /// Its shard.
    pub shard: usize,
    /// Its slot there.
    pub key: SessionKey,
}

/// An invocation that a client works on.
#[derive(Copy, Clone, Debug)]
pub struct OpenInvocation {
    /// Its id.
    pub request: RequestId,
    /// What it carries.
    pub tag: Option<Tag>,
    /// Progressive results given.
    pub parts: u32,
    /// Progressive results still to give.
    pub parts_left: u32,
    /// Octets that answers are made longer by.
    pub padding: usize,
    /// More INVOCATIONs are to come.
    pub more: bool,
    /// The caller's time for it, to be minded here.
    pub due_tick: Option<u64>,
}

/// A progressive invocation as its caller sees it.
#[derive(Copy, Clone, Debug)]
pub struct Progressive {
    /// The CALL.
    pub request: RequestId,
    /// What was called.
    pub procedure: &'static str,
    /// Its number.
    pub number: usize,
    /// CALLs sent.
    pub parts: u32,
}

impl Default for SimClient {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            session: ClientSession::new(),
            link: None,
            subscriptions: Vec::new(),
            registrations: Vec::new(),
            calls: Vec::new(),
            questions: Vec::new(),
            in_office: false,
            opinion: 0,
            progressive: Vec::new(),
            invocations: Vec::new(),
            router: RouterRoles::default(),
            requests_apart: Vec::new(),
            stuck_until: 0,
        }
    }
}

impl SimClient {
    /// Does what this client does in one tick.
    pub fn turn(&mut self, world: &mut World<'_>) {
        let Some(link) = self.link else {
            if self.session.state() == ClientState::Suspended {
                return workload::join::maybe_resume(self, world);
            }
            return workload::join::maybe_join(self, world);
        };
        self.read(link, world);
        if world.hosts[link.shard].is_closed(link.key) {
            self.lose_transport();
            return;
        }
        if self.link.is_some() && world.hosts[link.shard].takes_more(link.key) {
            workload::act(self, world);
        }
    }

    /// Whether nothing is under way for this client.
    pub fn is_settled(&self) -> bool {
        match (self.link, self.session.state()) {
            (None, ClientState::Suspended) => false,
            (None, _) => true,
            (Some(_), ClientState::Joined) => self.session.pending() == 0 && self.session.invocations() == 0,
            (Some(_), _) => false,
        }
    }

    /// Whether the router's dealer and this client have a feature.
    pub fn calls_with(&self, feature: Feature) -> bool {
        self.profile.features.contains(feature)
            && self.router.dealer.is_some_and(|features| features.contains(feature))
    }

    /// Whether the router's broker and this client have a feature.
    pub fn publishes_with(&self, feature: Feature) -> bool {
        self.profile.features.contains(feature)
            && self.router.broker.is_some_and(|features| features.contains(feature))
    }

    /// Sends a message.
    pub fn send(&self, world: &mut World<'_>, message: Message<'static>) {
        if let Some(link) = self.link {
            world.hosts[link.shard].send(link.key, message);
        }
    }

    /// Goes away without a word.
    pub fn hang_up(&mut self, world: &mut World<'_>, reset: bool) {
        if let Some(link) = self.link {
            world.hosts[link.shard].hang_up(link.key, reset);
        }
        self.lose_transport();
    }

    fn lose_transport(&mut self) {
        self.link = None;
        if self.profile.honest && self.session.is_resumable() {
            self.session.suspend();
            self.calls.clear();
            self.progressive.clear();
        } else {
            self.give_up();
        }
    }

    /// The session is over.
    pub fn give_up(&mut self) {
        self.session.transport_lost();
        self.forget_session();
    }

    fn forget_session(&mut self) {
        self.subscriptions.clear();
        self.registrations.clear();
        self.calls.clear();
        self.progressive.clear();
        self.invocations.clear();
        self.questions.clear();
        self.in_office = false;
        self.requests_apart.clear();
    }

    fn read(&mut self, link: Link, world: &mut World<'_>) {
        let count = self.profile.reads_per_tick(world, &mut self.stuck_until);
        for _ in 0..count {
            let Some(message) = world.hosts[link.shard].read(link.key) else { return };
            world.judge.observe(world.tick, &Observation::Received { peer: link.peer, message: &message });
            self.receive(Rc::unwrap_or_clone(message), world);
            if self.link.is_none() {
                return;
            }
        }
    }

    fn receive(&mut self, message: Message<'static>, world: &mut World<'_>) {
        if !self.profile.honest
            && answered_request(&message).is_some_and(|id| self.requests_apart.contains(&id))
        {
            return;
        }
        match self.session.receive(message) {
            Ok(event) => self.take(event, world),
            Err(violation) if self.profile.honest => {
                world.judge.fail("sessions", format!("a client takes this for a violation: {violation}"));
            }
            Err(violation) => {
                if world.rng.chance(200) {
                    self.send(world, violation.abort());
                }
            }
        }
    }

    fn take(&mut self, event: ClientEvent<'static>, world: &mut World<'_>) {
        match event {
            ClientEvent::Welcome { session, details } => {
                self.router = details.roles;
                if !details.resumed {
                    self.forget_session();
                }
                world.remember_session(session);
            }
            ClientEvent::Challenged { .. } => workload::join::answer_challenge(self, world),
            ClientEvent::Subscribed { subscription, .. } => {
                world.remember_subscription(subscription.get(), self.session.session());
                remember(&mut self.subscriptions, subscription);
            }
            ClientEvent::Registered { registration, .. } => {
                world.remember_registration(registration.get(), self.session.session());
                remember(&mut self.registrations, registration);
            }
            ClientEvent::SubscriptionRevoked { subscription, .. } => {
                self.subscriptions.retain(|held| *held != subscription);
            }
            ClientEvent::RegistrationRevoked { registration, .. } => {
                self.registrations.retain(|held| *held != registration);
            }
            ClientEvent::Invocation { request, details, payload, .. } => {
                match authorize::read(request, &payload, world) {
                    Some(question) => self.questions.push(question),
                    None => self.invoked(request, &details, Tag::read(&payload), world),
                }
            }
            ClientEvent::Interrupt { request, mode, .. } if mode != CancelMode::Kill => {
                self.invocations.retain(|open| open.request != request);
                self.questions.retain(|question| question.request != request);
            }
            ClientEvent::Published { publication, .. } => world.remember_publication(publication.get()),
            ClientEvent::Event { publication, details, .. } => {
                world.remember_publication(publication.get());
                if let Some(message) = self.session.event_received(publication, &details) {
                    self.send(world, message);
                }
            }
            ClientEvent::Result { request, details, .. } if !details.progress => self.call_ended(request),
            ClientEvent::Error { request, .. } => self.call_ended(request),
            ClientEvent::Goodbye { reply, .. } => self.session_ended(reply, world),
            ClientEvent::Aborted { .. } => {
                self.forget_session();
                self.hang_up(world, false);
            }
            _ => {}
        }
    }

    fn invoked(
        &mut self,
        request: RequestId,
        details: &InvocationDetails<'_>,
        tag: Option<Tag>,
        world: &mut World<'_>,
    ) {
        if let Some(open) = self.invocations.iter_mut().find(|open| open.request == request) {
            open.more = details.progress;
            return;
        }
        if self.session.invocations() == 0 {
            return; // a late part of one that is answered
        }
        let parts_left = if details.receive_progress { world.rng.below(4) as u32 } else { 0 };
        let due_tick = (details.timeout_ms > 0).then(|| world.tick + ticks(details.timeout_ms));
        let padding = workload::padding(world);
        let more = details.progress;
        self.invocations.push(OpenInvocation { request, tag, parts: 0, parts_left, padding, more, due_tick });
    }

    fn call_ended(&mut self, request: RequestId) {
        self.calls.retain(|call| *call != request);
        self.progressive.retain(|call| call.request != request);
    }

    /// Some clients use the transport again, others close it.
    fn session_ended(&mut self, reply: Option<Message<'static>>, world: &mut World<'_>) {
        self.forget_session();
        if let Some(reply) = reply {
            if world.phase == Phase::Safety && world.rng.chance(200) {
                return; // the router waits for the answer, but not for ever
            }
            self.send(world, reply);
        }
        if world.phase != Phase::Leave && world.rng.chance(300) {
            workload::join::say_hello(self, world);
        } else {
            self.hang_up(world, false);
        }
    }
}

/// The request that a message answers.
fn answered_request(message: &Message<'_>) -> Option<RequestId> {
    match message {
        Message::Subscribed { request, .. }
        | Message::Published { request, .. }
        | Message::Registered { request, .. }
        | Message::Result { request, .. }
        | Message::Error { request, .. } => Some(*request),
        Message::Unsubscribed { request, .. } | Message::Unregistered { request, .. } => *request,
        _ => None,
    }
}

fn remember<Id: Copy + PartialEq>(held: &mut Vec<Id>, id: Id) {
    if !held.contains(&id) {
        held.push(id);
    }
}
