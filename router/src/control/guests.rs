//! Guests: sessions of the service shard whose peer is the host itself, not a transport of a data shard.
//!
//! Web services that call, publish or poll for clients are guests. They join by HELLO like any client, with the
//! authentication of the [`TransportId`] they are opened under, and are routed like any client.

use std::sync::Arc;

use crossring_codec::error::EncodeError;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::serializer::SerializerId;

use super::Control;
use crate::address::{Now, SessionKey, TransportId};
use crate::details::TransportDetails;
use crate::input::Input;
use crate::outbox::{EndCause, Post, Refused};

/// What comes for a guest.
#[derive(Debug)]
pub enum GuestOutput {
    /// A message of the router.
    Message(Message<'static>),
    /// A message of the router in the serializer of the guest's transport.
    Octets(MessageType, Vec<u8>),
    /// Give no more messages of the guest until `Resume`: what comes would only be kept.
    Pause,
    /// Ends what `Pause` began.
    Resume,
    /// The session is over; close the guest.
    End(EndCause),
}

/// The places of guests, behind those of the service sessions.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// The slot of the first one.
    first: u32,
    places: Vec<Place>,
    /// Places that are free.
    free: Vec<u32>,
    outputs: Vec<(SessionKey, GuestOutput)>,
}

#[derive(Debug)]
struct Place {
    /// Of who has it, or will have it next.
    generation: u32,
    /// What messages are given in; `None`: as they are.
    serializer: Option<SerializerId>,
}

impl Guests {
    pub(super) fn new(services: usize) -> Self {
        Self { first: services as u32, ..Self::default() }
    }

    pub(super) fn is_guest(&self, key: SessionKey) -> bool {
        key.slot >= self.first
    }

    /// Keeps what comes for a guest. Service sessions get nothing this way.
    pub(super) fn push(&mut self, key: SessionKey, output: GuestOutput) {
        if self.is_guest(key) {
            self.outputs.push((key, output));
        }
    }

    /// A message for a guest.
    pub(super) fn send(&mut self, key: SessionKey, message: &Message<'_>) -> Result<(), Refused> {
        let place = self.place(key).ok_or(Refused::Gone)?;
        let output = match place.serializer {
            None => GuestOutput::Message(message.clone().into_owned()),
            Some(serializer) => {
                let mut octets = Vec::new();
                encode(serializer, message, &mut octets).map_err(|error| match error {
                    EncodeError::TooLarge => Refused::TooLarge,
                    _ => Refused::Unrepresentable,
                })?;
                GuestOutput::Octets(message.message_type(), octets)
            }
        };
        self.outputs.push((key, output));
        Ok(())
    }

    fn place(&mut self, key: SessionKey) -> Option<&mut Place> {
        let place = self.places.get_mut(key.slot.wrapping_sub(self.first) as usize);
        place.filter(|place| place.generation == key.generation)
    }

    fn open(&mut self, serializer: Option<SerializerId>, guests_max: usize) -> Option<SessionKey> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.places.len() >= guests_max => return None,
            None => {
                self.places.push(Place { generation: 1, serializer: None });
                self.places.len() as u32 - 1
            }
        };
        let place = &mut self.places[index as usize];
        place.serializer = serializer;
        Some(SessionKey { slot: self.first + index, generation: place.generation })
    }

    fn close(&mut self, key: SessionKey) -> bool {
        let Some(place) = self.place(key) else { return false };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.slot - self.first);
        true
    }
}

impl Control {
    /// Opens a guest under the authentication of a transport of the configuration; none: there are too many, or the transport is
    /// that of the router's own sessions. It has to say HELLO next. With a serializer in `details` it gets its messages as octets.
    pub fn guest_open<P: Post>(
        &mut self,
        now: Now,
        transport: TransportId,
        details: Arc<TransportDetails>,
        out: &mut P,
    ) -> Option<SessionKey> {
        if transport == TransportId::SERVICE {
            return None;
        }
        let serializer = details.serializer.map(|serializer| serializer.id);
        let key = self.exchange.guests.open(serializer, self.shard.limits.guests_max as usize)?;
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
        if self.exchange.guests.close(key) {
            self.input(now, Input::Closed { key }, out);
            self.settle(now, out);
        }
    }

    /// What has come for guests since the last time, in order.
    pub fn take_guest_outputs(&mut self) -> Vec<(SessionKey, GuestOutput)> {
        std::mem::take(&mut self.exchange.guests.outputs)
    }
}

#[cfg(test)]
mod tests {
    use crossring_codec::id::RequestId;
    use crossring_codec::message::{
        CallOptions, ClientRoles, Features, HelloDetails, PublishOptions, SubscribeOptions,
    };
    use crossring_codec::payload::Payload;
    use crossring_codec::serializer::Serializer;
    use crossring_codec::uri::{Match, well_known};

    use super::*;
    use crate::address::ShardId;
    use crate::config::{
        Allow, AnonymousConfig, Permission, RealmConfig, RoleConfig, RouterConfig, Source,
        TransportAuthentication,
    };
    use crate::details::ChannelType;
    use crate::letter::Letter;
    use crate::limits::{LIMIT_EXCEEDED, Limits, SessionLimits};

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
        control_with(RoleConfig { permissions: vec![permission], ..RoleConfig::default() })
    }

    /// A node on which guests have this role.
    fn control_with(role: RoleConfig) -> Control {
        let role = RoleConfig { name: "guest".into(), ..role };
        let anonymous = AnonymousConfig { role: "guest".into(), authid: None };
        let config = RouterConfig {
            realms: vec![RealmConfig { roles: vec![role], ..RealmConfig::default() }],
            transports: vec![TransportAuthentication {
                anonymous: Some(Source::Static(anonymous)),
                ..TransportAuthentication::default()
            }],
            ..RouterConfig::default()
        };
        let session = SessionLimits { subscriptions_max: 1, payload_octets_max: 10, ..SessionLimits::OWN };
        let limits = Limits { guests_max: 2, session, ..Limits::default() };
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
        hello(control, key);
        key
    }

    fn hello(control: &mut Control, key: SessionKey) {
        let details =
            HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
        let hello = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
        let outputs = say(control, key, hello);
        assert!(
            matches!(&outputs[..], [(to, GuestOutput::Message(Message::Welcome { .. }))] if *to == key),
            "{outputs:?}"
        );
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
    fn only_guests_that_came_by_a_transport_are_limited() {
        let mut control = control();
        let client = client(&mut control);
        let service = join(&mut control);
        let limited = ["SUBSCRIBED", LIMIT_EXCEEDED, well_known::PAYLOAD_SIZE_EXCEEDED];
        for (key, expected) in [(client, limited), (service, ["SUBSCRIBED", "SUBSCRIBED", "PUBLISHED"])] {
            let mut subscribe = |request: RequestId, topic: &'static str| {
                let options = SubscribeOptions::default();
                answer(&mut control, key, Message::Subscribe { request, options, topic: topic.into() })
            };
            let subscribed = [subscribe(REQUEST, "com.a"), subscribe(REQUEST.next(), "com.b")];
            let published = answer(&mut control, key, long_publication());
            assert_eq!([&*subscribed[0], &*subscribed[1], &*published], expected);
        }
    }

    /// Somebody who came by a transport.
    fn client(control: &mut Control) -> SessionKey {
        let details =
            TransportDetails { channel_type: Some(ChannelType::Tcp), ..TransportDetails::in_process() };
        let key = control.guest_open(Now::default(), TransportId(0), Arc::new(details), &mut Nobody);
        let key = key.expect("a place");
        hello(control, key);
        key
    }

    /// What a guest is answered: the type of the message, or the error.
    fn answer(control: &mut Control, key: SessionKey, message: Message<'_>) -> String {
        match &say(control, key, message)[..] {
            [(_, GuestOutput::Message(Message::Error { error, .. }))] => error.to_string(),
            [(_, GuestOutput::Message(message))] => message.message_type().name().to_owned(),
            outputs => panic!("{outputs:?}"),
        }
    }

    fn long_payload() -> Payload<'static> {
        Payload::from_values(SerializerId::Json, &["x".repeat(10).as_str().into()], &Vec::new())
    }

    fn long_publication() -> Message<'static> {
        let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
        Message::Publish { request: REQUEST, options, topic: "com.c".into(), payload: long_payload() }
    }

    #[test]
    fn no_authorizer_is_asked_about_what_is_too_long() {
        let authorizer = Some("com.authorize".into());
        let mut control = control_with(RoleConfig { authorizer, ..RoleConfig::default() });
        let client = client(&mut control);
        let options = CallOptions::default();
        let call =
            Message::Call { request: REQUEST, options, procedure: "com.d".into(), payload: long_payload() };
        for message in [long_publication(), call] {
            assert_eq!(answer(&mut control, client, message), well_known::PAYLOAD_SIZE_EXCEEDED);
        }
        assert_eq!((control.counters().permissions_asked, control.counters().payloads_refused), (0, 2));
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
    fn a_guest_is_never_one_of_the_routers_own_sessions() {
        let details = Arc::new(TransportDetails::in_process());
        let key = control().guest_open(Now::default(), TransportId::SERVICE, details, &mut Nobody);
        assert_eq!(key, None);
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

    #[test]
    fn a_guest_with_a_serializer_gets_octets() {
        let mut control = control();
        let details = TransportDetails {
            serializer: Some(Serializer::plain(SerializerId::Json)),
            ..TransportDetails::in_process()
        };
        let key = control.guest_open(Now::default(), TransportId(0), Arc::new(details), &mut Nobody);
        let key = key.expect("a place");
        let details =
            HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
        let hello = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
        let outputs = say(&mut control, key, hello);
        let [(_, GuestOutput::Octets(MessageType::Welcome, octets))] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert!(octets.starts_with(b"[2,"));
    }
}
