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
