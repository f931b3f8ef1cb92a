//! The client state machine against a scripted router.

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CallExtra, CallOptions, CancelMode, CloseDetails, ErrorDetails, EventDetails, EventExtra, Feature,
    Features, HelloDetails, InterruptOptions, InvocationDetails, Message, MessageType, Passthru,
    PublishOptions, RegisterOptions, ResultDetails, Revocation, RouterRoles, SubscribeOptions,
    WelcomeDetails, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;

use super::types::{CallDetails, EncodedPayload, PassthruPayload};
use super::*;

mod options;
mod resumption;

const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_random(70 << 11);
const REGISTRATION: RegistrationId = RegistrationId::from_random(80 << 11);

fn request(number: u64) -> RequestId {
    RequestId::new(number).expect("in range")
}

const SESSION: SessionId = SessionId::from_random(5);

/// A router that has every feature.
fn router() -> RouterRoles {
    let features = Features::of(Feature::ALL);
    RouterRoles { broker: Some(features), dealer: Some(features) }
}

fn welcome() -> Message<'static> {
    let details = WelcomeDetails { roles: router(), ..WelcomeDetails::default() };
    Message::Welcome { session: SESSION, details: Box::new(details) }
}

fn hello_details() -> HelloDetails<'static> {
    HelloDetails { roles: ROLES, ..HelloDetails::default() }
}

fn joined() -> ClientSession {
    let mut client = ClientSession::new();
    client.hello(Some("realm1".into()), hello_details()).expect("closed");
    assert!(matches!(client.receive(welcome()), Ok(ClientEvent::Welcome { .. })));
    client
}

fn subscribed() -> ClientSession {
    let mut client = joined();
    let id = client.subscribe("com.topic", Default::default()).expect("joined").id;
    client.receive(Message::Subscribed { request: id, subscription: SUBSCRIPTION }).expect("awaited");
    client
}

fn registered() -> ClientSession {
    let mut client = joined();
    let id = client.register("com.procedure", Default::default()).expect("joined").id;
    client.receive(Message::Registered { request: id, registration: REGISTRATION }).expect("awaited");
    client
}

fn event(subscription: SubscriptionId) -> Message<'static> {
    let (publication, details) = (PublicationId::from_random(9), Default::default());
    Message::Event { subscription, publication, details, payload: Payload::EMPTY }
}

fn invocation(id: u64, receive_progress: bool, progress: bool) -> Message<'static> {
    let details = InvocationDetails { receive_progress, progress, ..Default::default() };
    Message::Invocation { request: request(id), registration: REGISTRATION, details, payload: Payload::EMPTY }
}

fn result(id: RequestId, progress: bool) -> Message<'static> {
    let details = ResultDetails { progress, ..Default::default() };
    Message::Result { request: id, details, payload: Payload::EMPTY }
}

fn error(request_type: MessageType, request: RequestId) -> Message<'static> {
    let (details, error) = (ErrorDetails::default(), "wamp.error.canceled".into());
    Message::Error { request_type, request, details, error, payload: Payload::EMPTY }
}

fn goodbye() -> Message<'static> {
    Message::Goodbye { details: CloseDetails::default(), reason: "wamp.close.normal".into() }
}

#[test]
fn a_ticket_is_asked_for_between_hello_and_welcome() {
    let mut client = ClientSession::new();
    client.hello(None, HelloDetails::default()).expect("closed");
    let challenge = Message::Challenge { method: "ticket".into(), extra: Vec::new() };
    assert!(matches!(client.receive(challenge), Ok(ClientEvent::Challenged { .. })));
    assert_eq!(client.state(), ClientState::Challenged);
    client.authenticate("secret", Vec::new()).expect("challenged");
    assert!(matches!(client.receive(welcome()), Ok(ClientEvent::Welcome { .. })));
    assert_eq!(client.session(), Some(SESSION));
}

#[test]
fn wishes_need_the_right_state() {
    let mut client = ClientSession::new();
    let closed = ClientRefusal::State(ClientState::Closed);
    assert_eq!(client.subscribe("a", Default::default()), Err(closed));
    assert_eq!(client.goodbye("wamp.close.normal"), Err(closed));
    let mut client = joined();
    let refused = client.hello(None, HelloDetails::default());
    assert_eq!(refused, Err(ClientRefusal::State(ClientState::Joined)));
}

#[test]
fn request_ids_count_from_one_and_restart_with_each_session() {
    let mut client = joined();
    let publish = |client: &mut ClientSession| {
        client.publish("a", PublishOptions::default(), Payload::EMPTY).expect("joined").id.get()
    };
    assert_eq!(publish(&mut client), 1);
    assert_eq!(client.subscribe("a", Default::default()).expect("joined").id.get(), 2);
    assert_eq!(publish(&mut client), 3);
    client.transport_lost();
    client.hello(None, HelloDetails::default()).expect("closed again");
    client.receive(welcome()).expect("joining");
    assert_eq!(publish(&mut client), 1);
}

#[test]
fn an_acknowledgement_answers_one_request_of_its_kind() {
    let mut client = joined();
    let id = client.subscribe("a", Default::default()).expect("joined").id;
    let wrong = Message::Registered { request: id, registration: REGISTRATION };
    let unknown = ClientViolation::UnknownRequest { message: MessageType::Registered, request: id };
    assert_eq!(client.receive(wrong), Err(unknown));
    assert_eq!(client.state(), ClientState::Closed, "a violation ends the session");
    assert!(matches!(unknown.abort(), Message::Abort { .. }));
}

#[test]
fn events_need_a_subscription_and_are_ignored_after_unsubscribe() {
    let mut client = subscribed();
    assert!(matches!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Event { .. })));
    let id = client.unsubscribe(SUBSCRIPTION).expect("held").id;
    assert_eq!(client.unsubscribe(SUBSCRIPTION), Err(ClientRefusal::NotSubscribed(SUBSCRIPTION)));
    assert_eq!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Ignored));
    let done = client.receive(Message::Unsubscribed { request: Some(id), revocation: None });
    assert_eq!(done, Ok(ClientEvent::Unsubscribed { request: id, subscription: SUBSCRIPTION }));
    assert_eq!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Ignored));
    let never = SubscriptionId::from_random(1 << 20);
    let unknown = ClientViolation::UnknownSubscription { subscription: Some(never) };
    assert_eq!(client.receive(event(never)), Err(unknown));
}

#[test]
fn a_revoked_registration_is_gone() {
    let mut client = registered();
    let revocation = Some(Box::new(Revocation { id: Some(REGISTRATION), reason: None }));
    let revoked = client.receive(Message::Unregistered { request: None, revocation });
    assert_eq!(revoked, Ok(ClientEvent::RegistrationRevoked { registration: REGISTRATION, reason: None }));
    assert_eq!(client.unregister(REGISTRATION), Err(ClientRefusal::NotRegistered(REGISTRATION)));
    assert!(client.receive(invocation(1, false, false)).is_ok(), "was on its way");
}

#[test]
fn a_call_has_partial_results_and_one_final_one() {
    let mut client = joined();
    let id = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    assert!(matches!(client.receive(result(id, true)), Ok(ClientEvent::Result { .. })));
    assert!(matches!(client.receive(result(id, false)), Ok(ClientEvent::Result { .. })));
    assert_eq!(client.pending(), 0);
    let unknown = ClientViolation::UnknownRequest { message: MessageType::Result, request: id };
    assert_eq!(client.receive(result(id, false)), Err(unknown));
}

#[test]
fn the_second_answer_to_a_cancelled_call_is_ignored() {
    let mut client = joined();
    let id = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    client.cancel(id, CancelMode::Skip).expect("outstanding");
    assert_eq!(client.cancel(id, CancelMode::Skip), Err(ClientRefusal::NotOutstanding(id)));
    let answer = client.receive(error(MessageType::Call, id));
    assert!(matches!(answer, Ok(ClientEvent::Error { .. })));
    assert_eq!(client.receive(result(id, false)), Ok(ClientEvent::Ignored));
    assert_eq!(client.receive(error(MessageType::Call, id)), Ok(ClientEvent::Ignored));
}

#[test]
fn an_error_names_a_request_type() {
    for kind in [MessageType::Cancel, MessageType::Invocation, MessageType::Event] {
        let violation = joined().receive(error(kind, request(1)));
        assert_eq!(violation, Err(ClientViolation::ErrorOfNoRequest { kind }));
    }
}

#[test]
fn an_invocation_is_answered_once_and_progress_only_if_wanted() {
    let mut client = registered();
    client.receive(invocation(1, false, false)).expect("registered");
    let id = request(1);
    let partial = YieldOptions { progress: true, ..Default::default() };
    let refused = client.yield_result(id, partial.clone(), Payload::EMPTY);
    assert_eq!(refused, Err(ClientRefusal::ProgressNotWanted(id)));
    assert!(client.yield_result(id, YieldOptions::default(), Payload::EMPTY).is_ok());
    let again = client.yield_error(id, "a.error", Payload::EMPTY);
    assert_eq!(again, Err(ClientRefusal::NotOutstanding(id)));
    client.receive(invocation(2, true, false)).expect("registered");
    assert!(client.yield_result(request(2), partial, Payload::EMPTY).is_ok());
    assert_eq!(client.invocations(), 1);
}

#[test]
fn continuations_of_an_answered_invocation_are_ignored() {
    let mut client = registered();
    client.receive(invocation(1, false, true)).expect("registered");
    assert!(matches!(client.receive(invocation(1, false, true)), Ok(ClientEvent::Invocation { .. })));
    client.yield_result(request(1), YieldOptions::default(), Payload::EMPTY).expect("running");
    assert_eq!(client.receive(invocation(1, false, true)), Ok(ClientEvent::Ignored));
    assert_eq!(client.receive(invocation(1, false, false)), Ok(ClientEvent::Ignored));
    assert_eq!(client.invocations(), 0, "nothing is kept of what is over");
    client.receive(invocation(2, false, false)).expect("registered");
    let running = ClientViolation::InvocationRunning { request: request(2) };
    assert_eq!(client.receive(invocation(2, false, false)), Err(running));
}

#[test]
fn an_interrupt_without_wait_ends_the_invocation() {
    let interrupt = |mode| Message::Interrupt {
        request: request(1),
        options: InterruptOptions { mode, ..Default::default() },
    };
    let mut client = registered();
    assert_eq!(client.receive(interrupt(CancelMode::Kill)), Ok(ClientEvent::Ignored), "unknown");
    client.receive(invocation(1, false, false)).expect("registered");
    assert!(matches!(client.receive(interrupt(CancelMode::Kill)), Ok(ClientEvent::Interrupt { .. })));
    assert_eq!(client.invocations(), 1, "still owed an answer");
    client.receive(interrupt(CancelMode::KillNoWait)).expect("running");
    assert_eq!(client.invocations(), 0);
}

#[test]
fn a_goodbye_of_the_router_is_answered_and_crossed_ones_are_not() {
    let mut client = joined();
    let Ok(ClientEvent::Goodbye { reply: Some(reply), .. }) = client.receive(goodbye()) else {
        panic!("no reply")
    };
    assert_eq!(reply.message_type(), MessageType::Goodbye);
    let mut client = subscribed();
    client.goodbye("wamp.close.normal").expect("joined");
    assert_eq!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Ignored), "was on its way");
    assert!(matches!(client.receive(goodbye()), Ok(ClientEvent::Goodbye { reply: None, .. })));
    assert!(client.hello(None, HelloDetails::default()).is_ok(), "the transport may be used again");
}

#[test]
fn a_lost_transport_names_the_requests_that_fail() {
    let mut client = joined();
    let call = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    let subscribe = client.subscribe("a", Default::default()).expect("joined").id;
    let lost = client.transport_lost();
    let kinds =
        [(call, RequestKind::Call { cancelled: false, more: false }), (subscribe, RequestKind::Subscribe)];
    assert_eq!(lost, kinds);
    assert_eq!(client.state(), ClientState::Closed);
}

#[test]
fn what_only_clients_send_is_a_violation_in_every_state() {
    let hello = || Message::Hello { realm: None, details: Box::default() };
    let mut leaving = joined();
    leaving.goodbye("wamp.close.normal").expect("joined");
    for (mut client, state) in [
        (ClientSession::new(), ClientState::Closed),
        (joined(), ClientState::Joined),
        (leaving, ClientState::Leaving),
    ] {
        let violation = ClientViolation::Unexpected { state, message: MessageType::Hello };
        assert_eq!(client.receive(hello()), Err(violation));
    }
    assert!(matches!(joined().receive(welcome()), Err(ClientViolation::Unexpected { .. })));
    assert!(matches!(ClientSession::new().receive(goodbye()), Err(ClientViolation::Unexpected { .. })));
}

#[test]
fn a_progressive_call_has_parts_until_the_last() {
    let mut client = joined();
    let options = CallOptions { progress: true, receive_progress: true, ..CallOptions::default() };
    let id = client.call("a", options, Payload::EMPTY).expect("offered").id;
    let more = |client: &mut ClientSession, progress| {
        client.call_more(id, "a", progress, Payload::EMPTY).map(|message| message.message_type())
    };
    assert_eq!(more(&mut client, true), Ok(MessageType::Call));
    assert!(matches!(client.receive(result(id, true)), Ok(ClientEvent::Result { .. })));
    assert_eq!(more(&mut client, false), Ok(MessageType::Call));
    assert_eq!(more(&mut client, false), Err(ClientRefusal::NotOutstanding(id)), "the last part is sent");
    assert!(matches!(client.receive(result(id, false)), Ok(ClientEvent::Result { .. })));
}

#[test]
fn a_progressive_call_that_is_answered_takes_no_more_parts() {
    let mut client = joined();
    let options = CallOptions { progress: true, ..CallOptions::default() };
    let id = client.call("a", options, Payload::EMPTY).expect("offered").id;
    client.receive(error(MessageType::Call, id)).expect("outstanding");
    let more = client.call_more(id, "a", false, Payload::EMPTY);
    assert_eq!(more, Err(ClientRefusal::NotOutstanding(id)));
}

#[test]
fn parts_of_an_invocation_that_was_interrupted_are_ignored() {
    let mut client = registered();
    client.receive(invocation(1, true, true)).expect("registered");
    let options = InterruptOptions { mode: CancelMode::KillNoWait, ..Default::default() };
    let interrupted = client.receive(Message::Interrupt { request: request(1), options });
    assert!(matches!(interrupted, Ok(ClientEvent::Interrupt { .. })));
    assert_eq!(client.receive(invocation(1, true, false)), Ok(ClientEvent::Ignored));
    let late = client.yield_result(request(1), YieldOptions::default(), Payload::EMPTY);
    assert_eq!(late, Err(ClientRefusal::NotOutstanding(request(1))));
}

#[test]
fn progress_is_sent_with_the_handle_of_the_call() {
    let mut client = registered();
    let Ok(ClientEvent::Invocation { request, registration, details, .. }) =
        client.receive(invocation(1, true, false))
    else {
        panic!("no invocation")
    };
    let handle = CallDetails::new(request, registration, details).progress.expect("wanted");
    let partial = client.progress(handle, Payload::EMPTY).expect("running");
    let options = YieldOptions { progress: true, ..YieldOptions::default() };
    assert_eq!(partial, Message::Yield { request, options, payload: Payload::EMPTY });
    client.yield_result(request, YieldOptions::default(), Payload::EMPTY).expect("running");
    assert_eq!(client.progress(handle, Payload::EMPTY), Err(ClientRefusal::NotOutstanding(request)));
}

#[test]
fn an_event_is_acknowledged_when_that_is_wanted_and_announced() {
    let wanted = EventDetails {
        extra: Some(Box::new(EventExtra { x_acknowledged_delivery: true, ..EventExtra::default() })),
        ..EventDetails::default()
    };
    let publication = PublicationId::from_random(9);
    let client = joined();
    let received = Some(Message::EventReceived { publication });
    assert_eq!(client.event_received(publication, &wanted), received);
    assert_eq!(client.event_received(publication, &EventDetails::default()), None);
    let mut silent = ClientSession::new();
    silent.hello(None, HelloDetails::default()).expect("closed");
    silent.receive(welcome()).expect("joining");
    assert_eq!(silent.event_received(publication, &wanted), None, "this client has not announced it");
    let mut alone = ClientSession::new();
    alone.hello(None, hello_details()).expect("closed");
    alone.receive(Message::Welcome { session: SESSION, details: Box::default() }).expect("joining");
    assert_eq!(alone.event_received(publication, &wanted), None, "this router has not announced it");
}

#[test]
fn a_subscription_is_revoked_once() {
    let mut client = subscribed();
    let revoked = |id| Message::Unsubscribed {
        request: None,
        revocation: Some(Box::new(Revocation { id, reason: Some("wamp.error.not_authorized".into()) })),
    };
    let told = client.receive(revoked(Some(SUBSCRIPTION)));
    assert!(matches!(told, Ok(ClientEvent::SubscriptionRevoked { subscription: SUBSCRIPTION, .. })));
    assert!(!client.holds_subscription(SUBSCRIPTION));
    assert_eq!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Ignored), "was on its way");
    assert_eq!(client.receive(revoked(Some(SUBSCRIPTION))), Ok(ClientEvent::Ignored));
    let nothing = ClientViolation::UnknownSubscription { subscription: None };
    assert_eq!(client.receive(revoked(None)), Err(nothing));
}
