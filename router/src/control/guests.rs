//! Guests: sessions of the service shard whose peer is the host itself, not a transport of a data shard.
//!
//! Web services that call, publish or poll for clients are guests. They join by HELLO like any client, with the
//! authentication of the [`TransportId`] they are opened under, and are routed like any client.

use std::sync::Arc;

use crossring_codec::message::Message;

use super::{Control, Emission};
use crate::address::{Now, SessionKey, TransportId};
use crate::details::TransportDetails;
use crate::input::Input;
use crate::outbox::{EndCause, Post};

/// What comes for a guest.
#[derive(Debug)]
pub enum GuestOutput {
    /// A message of the router.
    Message(Message<'static>),
    /// The session is over; close the guest.
    End(EndCause),
}

/// The places of guests, behind those of the service sessions.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// The slot of the first one.
    first: u32,
    /// By place: the generation of who has it, or will have it next.
    generations: Vec<u32>,
    /// Places that are free.
    free: Vec<u32>,
    outputs: Vec<(SessionKey, GuestOutput)>,
}

impl Guests {
    pub(super) fn new(services: usize) -> Self {
        Self { first: services as u32, ..Self::default() }
    }

    pub(super) fn is_guest(&self, key: SessionKey) -> bool {
        key.slot >= self.first
    }

    pub(super) fn push(&mut self, key: SessionKey, output: GuestOutput) {
        self.outputs.push((key, output));
    }

    fn open(&mut self, guests_max: usize) -> Option<SessionKey> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.generations.len() >= guests_max => return None,
            None => {
                self.generations.push(1);
                self.generations.len() as u32 - 1
            }
        };
        Some(SessionKey { slot: self.first + place, generation: self.generations[place as usize] })
    }

    fn close(&mut self, key: SessionKey) -> bool {
        let place = key.slot.wrapping_sub(self.first);
        let generation = self.generations.get_mut(place as usize).filter(|known| **known == key.generation);
        let Some(generation) = generation else { return false };
        *generation = generation.wrapping_add(1);
        self.free.push(place);
        true
    }
}

impl Control {
    /// Opens a guest under the authentication of a transport of the configuration; none: there are too many. It has to say
    /// HELLO next.
    pub fn guest_open<P: Post>(
        &mut self,
        now: Now,
        transport: TransportId,
        details: Arc<TransportDetails>,
        out: &mut P,
    ) -> Option<SessionKey> {
        debug_assert!(transport != TransportId::SERVICE, "that is for the router's own sessions");
        let key = self.guests.open(self.shard.limits.guests_max as usize)?;
        self.input(now, Input::Opened { key, transport, details }, out);
        self.settle(now, out);
        Some(key)
    }

    /// A message of a guest.
    pub fn guest_message<P: Post>(&mut self, now: Now, key: SessionKey, message: Message<'_>, out: &mut P) {
        self.input(now, Input::Message { key, message }, out);
        self.settle(now, out);
    }

    /// A guest has broken the protocol: ABORT with this text.
    pub fn guest_violation<P: Post>(&mut self, now: Now, key: SessionKey, text: &str, out: &mut P) {
        self.input(now, Input::Violation { key, text }, out);
        self.settle(now, out);
    }

    /// A guest goes, whether its session is over or not.
    pub fn guest_close<P: Post>(&mut self, now: Now, key: SessionKey, out: &mut P) {
        if self.guests.close(key) {
            self.input(now, Input::Closed { key }, out);
            self.settle(now, out);
        }
    }

    /// What has come for guests since the last time, in order.
    pub fn take_guest_outputs(&mut self) -> Vec<(SessionKey, GuestOutput)> {
        std::mem::take(&mut self.guests.outputs)
    }
}

impl<P> Emission<'_, P> {
    /// An event, if it is for a guest.
    pub(super) fn keep_event(&mut self, message: &Message<'_>, key: SessionKey) {
        if key.slot >= self.exchange.guest_first {
            self.exchange.messages.push_back((key, message.clone().into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use crossring_codec::id::RequestId;
    use crossring_codec::message::{ClientRoles, Features, HelloDetails, PublishOptions, SubscribeOptions};
    use crossring_codec::payload::Payload;
    use crossring_codec::uri::Match;

    use super::*;
    use crate::address::ShardId;
    use crate::config::{
        Allow, AnonymousConfig, Permission, RealmConfig, RoleConfig, RouterConfig, Source,
        TransportAuthentication,
    };
    use crate::letter::Letter;
    use crate::limits::Limits;

    /// A node of nothing but the control shard.
    struct Nobody;

    impl Post for Nobody {
        fn post(&mut self, to: ShardId, letter: Letter) {
            panic!("{letter:?} for {to:?}");
        }
    }

    fn control() -> Control {
        let permission =
            Permission { match_policy: Match::Prefix, allow: Allow::ALL, ..Permission::default() };
        let role =
            RoleConfig { name: "guest".into(), permissions: vec![permission], ..RoleConfig::default() };
        let anonymous = AnonymousConfig { role: "guest".into(), authid: None };
        let config = RouterConfig {
            realms: vec![RealmConfig { roles: vec![role], ..RealmConfig::default() }],
            transports: vec![TransportAuthentication {
                anonymous: Some(Source::Static(anonymous)),
                ..TransportAuthentication::default()
            }],
            ..RouterConfig::default()
        };
        let limits = Limits { guests_max: 2, ..Limits::default() };
        let mut control = Control::new(0, Arc::new(config.with_trusted_role()), limits, 1);
        control.start(Now::default(), &mut Nobody);
        control
    }

    fn open(control: &mut Control) -> Option<SessionKey> {
        let details = Arc::new(TransportDetails::in_process());
        control.guest_open(Now::default(), TransportId(0), details, &mut Nobody)
    }

    fn say(control: &mut Control, key: SessionKey, message: Message<'_>) -> Vec<(SessionKey, GuestOutput)> {
        control.guest_message(Now::default(), key, message, &mut Nobody);
        control.take_guest_outputs()
    }

    fn join(control: &mut Control) -> SessionKey {
        let key = open(control).expect("a place");
        let details =
            HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
        let hello = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
        let outputs = say(control, key, hello);
        assert!(
            matches!(&outputs[..], [(to, GuestOutput::Message(Message::Welcome { .. }))] if *to == key),
            "{outputs:?}"
        );
        key
    }

    const REQUEST: RequestId = RequestId::from_random(0);

    #[test]
    fn an_event_goes_from_guest_to_guest() {
        let mut control = control();
        let (one, other) = (join(&mut control), join(&mut control));
        let options = SubscribeOptions::default();
        let subscribed =
            say(&mut control, one, Message::Subscribe { request: REQUEST, options, topic: "com.a".into() });
        assert!(
            matches!(&subscribed[..], [(to, GuestOutput::Message(Message::Subscribed { .. }))] if *to == one)
        );
        let options = PublishOptions::default();
        let publish =
            Message::Publish { request: REQUEST, options, topic: "com.a".into(), payload: Payload::EMPTY };
        let events = say(&mut control, other, publish);
        assert!(matches!(&events[..], [(to, GuestOutput::Message(Message::Event { .. }))] if *to == one));
    }

    #[test]
    fn a_place_is_used_again_under_another_key() {
        let mut control = control();
        let (one, _other) = (join(&mut control), join(&mut control));
        assert_eq!(open(&mut control), None);
        control.guest_close(Now::default(), one, &mut Nobody);
        control.guest_close(Now::default(), one, &mut Nobody);
        let again = join(&mut control);
        assert!(again.slot == one.slot && again.generation != one.generation);
        assert_eq!(open(&mut control), None);
    }

    #[test]
    fn a_guest_that_breaks_the_protocol_is_told_and_ended() {
        let mut control = control();
        let key = join(&mut control);
        control.guest_violation(Now::default(), key, "nonsense", &mut Nobody);
        let outputs = control.take_guest_outputs();
        assert!(matches!(
            &outputs[..],
            [(_, GuestOutput::Message(Message::Abort { .. })), (_, GuestOutput::End(EndCause::Aborted))]
        ));
    }
}
