//! Sessions that outlive their transport.

use super::*;

fn welcome_with(session: SessionId, resumed: bool, token: Option<&'static str>) -> Message<'static> {
    let details = WelcomeDetails {
        roles: router(),
        resumed,
        resumable: token.is_some(),
        resume_token: token.map(Into::into),
        ..WelcomeDetails::default()
    };
    Message::Welcome { session, details: Box::new(details) }
}

/// Holds a subscription and a registration, has a call outstanding, and has just lost its transport.
fn suspended() -> (ClientSession, RequestId) {
    let mut client = ClientSession::new();
    client.hello(None, HelloDetails { resumable: true, ..hello_details() }).expect("closed");
    client.receive(welcome_with(SESSION, false, Some("token1"))).expect("joining");
    let id = client.subscribe("com.topic", Default::default()).expect("joined").id;
    client.receive(Message::Subscribed { request: id, subscription: SUBSCRIPTION }).expect("awaited");
    let id = client.register("com.procedure", Default::default()).expect("joined").id;
    client.receive(Message::Registered { request: id, registration: REGISTRATION }).expect("awaited");
    client.receive(invocation(1, false, false)).expect("registered");
    let call = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    let lost = client.suspend();
    assert_eq!(lost, [(call, RequestKind::Call { cancelled: false, more: false })]);
    assert_eq!(client.state(), ClientState::Suspended);
    (client, call)
}

#[test]
fn a_resumed_session_holds_what_it_held() {
    let (mut client, call) = suspended();
    let closed = ClientRefusal::State(ClientState::Suspended);
    assert_eq!(client.call("a", CallOptions::default(), Payload::EMPTY), Err(closed));
    let hello = client.resume(hello_details()).expect("suspended");
    let Message::Hello { realm: None, details } = hello else { panic!("no HELLO") };
    assert_eq!((details.resumable, details.resume_session), (true, Some(SESSION)));
    assert_eq!(details.resume_token.as_deref(), Some("token1"));
    client.receive(welcome_with(SESSION, true, Some("token2"))).expect("joining");
    assert_eq!(client.session(), Some(SESSION));
    assert!(client.holds_subscription(SUBSCRIPTION) && client.holds_registration(REGISTRATION));
    assert!(matches!(client.receive(event(SUBSCRIPTION)), Ok(ClientEvent::Event { .. })));
    assert_eq!(client.receive(result(call, false)), Ok(ClientEvent::Ignored), "the call has failed");
    assert_eq!(client.receive(invocation(1, false, false)), Ok(ClientEvent::Ignored), "comes again");
    assert!(client.yield_result(request(1), YieldOptions::default(), Payload::EMPTY).is_ok());
    assert_eq!(client.receive(invocation(1, false, false)), Ok(ClientEvent::Ignored), "is answered");
    let next = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    assert_eq!(next, call.next(), "requests go on counting");
    client.suspend();
    let Ok(Message::Hello { details, .. }) = client.resume(hello_details()) else { panic!("no HELLO") };
    assert_eq!(details.resume_token.as_deref(), Some("token2"));
}

#[test]
fn what_the_lost_answers_told_of_is_no_violation() {
    let (mut client, call) = suspended();
    client.resume(hello_details()).expect("suspended");
    client.receive(welcome_with(SESSION, true, None)).expect("joining");
    assert!(!client.is_resumable());
    let never = SubscriptionId::from_random(1 << 20);
    assert_eq!(client.receive(event(never)), Ok(ClientEvent::Ignored));
    assert_eq!(client.receive(error(MessageType::Subscribe, request(1))), Ok(ClientEvent::Ignored));
    let unknown = ClientViolation::UnknownRequest { message: MessageType::Result, request: call.next() };
    assert_eq!(client.receive(result(call.next(), false)), Err(unknown), "never made");
}

#[test]
fn a_new_session_instead_of_the_old_one_holds_nothing() {
    let (mut client, _) = suspended();
    client.resume(hello_details()).expect("suspended");
    client.receive(welcome_with(SessionId::from_random(6), false, None)).expect("joining");
    assert!(!client.holds_subscription(SUBSCRIPTION));
    let first = client.call("a", CallOptions::default(), Payload::EMPTY).expect("joined").id;
    assert_eq!(first.get(), 1);
}

#[test]
fn a_refused_resumption_ends_the_session() {
    let (mut client, _) = suspended();
    client.resume(hello_details()).expect("suspended");
    let refused =
        Message::Abort { details: CloseDetails::default(), reason: "wamp.error.no_such_session".into() };
    assert!(matches!(client.receive(refused), Ok(ClientEvent::Aborted { .. })));
    assert_eq!(client.state(), ClientState::Closed);
    assert_eq!(client.subscriptions().count(), 0);
}

#[test]
fn what_cannot_be_resumed_is_over() {
    let mut client = subscribed();
    client.suspend();
    assert_eq!(client.state(), ClientState::Closed);
    let refused = client.resume(hello_details());
    assert_eq!(refused, Err(ClientRefusal::State(ClientState::Closed)));
}
