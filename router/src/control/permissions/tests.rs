use crossring_codec::id::RequestId;
use crossring_codec::message::{CallOptions, Message, PublishOptions, RegisterOptions, YieldOptions};
use crossring_codec::payload::Payload;

use super::super::fixture::Fixture;
use crate::limits::Limits;

/// The client has left behind it one testament for each topic.
fn bereaved(topics: &[&str]) -> Fixture {
    let mut fixture = Fixture::new(Limits::default());
    for topic in topics {
        fixture.add_testament(topic, 1);
        fixture.decide(topic, true);
    }
    fixture.leave();
    fixture
}

#[test]
fn a_silent_authorizer_is_waited_for_once_for_all_testaments() {
    let mut fixture = bereaved(&["com.a"; 100]);
    fixture.after_ms(4_000);
    fixture.decide("com.a", true);
    fixture.after_ms(9_999);
    assert_eq!((fixture.published.len(), fixture.questions.len()), (1, 1));
    fixture.after_ms(1);
    assert_eq!((fixture.published.len(), fixture.questions.len()), (1, 1));
    assert_eq!(fixture.control.undecided(), 0);
}

#[test]
fn a_slow_authorizer_is_waited_for_with_each_testament() {
    let topics = ["com.a", "com.b", "com.c"];
    let mut fixture = bereaved(&topics);
    for (topic, allow) in topics.into_iter().zip([true, false, true]) {
        fixture.after_ms(9_000);
        fixture.decide(topic, allow);
    }
    assert_eq!(fixture.published, ["com.a", "com.c"]);
    assert_eq!(fixture.control.undecided(), 0);
}

/// Guests live on the shard of the router's own sessions.
#[test]
fn only_answers_to_the_router_overtake_what_waits() {
    let mut fixture = Fixture::new(Limits::default());
    let id = |request: u64| RequestId::new(request).expect("an id");
    let client = fixture.client;
    let options = RegisterOptions::default();
    fixture.send(client, Message::Register { request: id(1), options, procedure: "com.work".into() });
    fixture.decide("com.work", true);
    let (options, payload) = (PublishOptions { acknowledge: true, ..Default::default() }, Payload::EMPTY);
    fixture.send(client, Message::Publish { request: id(2), options, topic: "com.a".into(), payload });
    let (options, payload) = (CallOptions::default(), Payload::EMPTY);
    let call = Message::Call { request: id(3), options, procedure: "com.work".into(), payload };
    fixture.send(fixture.authorizer, call);
    fixture.expect(&["REGISTERED", "INVOCATION"]);
    let (options, payload) = (YieldOptions::default(), Payload::EMPTY);
    fixture.send(client, Message::Yield { request: id(1), options, payload });
    // messages that wait, and RESULTs, those of the authorizer among them
    let state = |fixture: &Fixture| {
        let shard = fixture.control.service_shard();
        (shard.inspect().sizes().messages_held, shard.counters().results)
    };
    assert_eq!(state(&fixture), (2, 1));
    fixture.decide("com.a", true);
    fixture.expect(&["PUBLISHED"]);
    assert_eq!(state(&fixture), (0, 3));
}
