use crossring_codec::message::CancelMode;
use crossring_codec::uri::well_known;

use super::super::fixture::Fixture;
use super::{LIMIT_EXCEEDED, Limits};

/// Calls that wait, and octets of those behind the first one.
fn waiting(fixture: &Fixture) -> (usize, usize) {
    let octets = fixture.control.undecided.values().map(|undecided| undecided.octets).sum();
    (fixture.control.services[0].waiting.len(), octets)
}

#[test]
fn calls_go_on_in_their_order() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.add_testament("com.b", 1);
    fixture.call("wamp.session.add_testament", &[], 0);
    fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.expect(&[]);
    fixture.decide("com.a", true);
    fixture.expect(&["RESULT 1 []"]);
    fixture.decide("com.b", false);
    fixture.expect(&[
        "ERROR 2 wamp.error.not_authorized",
        "ERROR 3 wamp.error.invalid_argument",
        "RESULT 4 [Integer(1)]",
    ]);
    assert_eq!(fixture.control.undecided(), 0);
}

#[test]
fn what_is_cancelled_is_forgotten_and_never_carried_out() {
    let mut fixture = Fixture::new(Limits::default());
    let first = fixture.add_testament("com.a", 1);
    for mode in [CancelMode::KillNoWait, CancelMode::Kill].repeat(50) {
        let request = fixture.add_testament("com.b", 1 << 20);
        assert!(waiting(&fixture) > (1, 1 << 20));
        fixture.cancel(request, mode);
        fixture.expect(&[&format!("ERROR {request} wamp.error.canceled")]);
        assert_eq!((waiting(&fixture), fixture.invocations()), ((1, 0), 1));
    }
    let last = fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.cancel(first, CancelMode::Kill);
    fixture.expect(&[&format!("ERROR {first} wamp.error.canceled")]);
    assert_eq!(fixture.invocations(), 1);
    fixture.decide("com.a", true);
    fixture.expect(&[&format!("RESULT {last} [Integer(0)]")]);
    assert_eq!((fixture.control.undecided(), fixture.invocations()), (0, 0));
}

#[test]
fn whose_time_is_over_is_forgotten() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.call("wamp.session.flush_testaments", &[], 5);
    assert_eq!(waiting(&fixture).0, 2);
    fixture.after_ms(5);
    fixture.expect(&["ERROR 2 wamp.error.timeout"]);
    assert_eq!((waiting(&fixture), fixture.invocations()), ((1, 0), 1));
}

#[test]
fn the_calls_of_who_has_left_are_forgotten() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1 << 20);
    fixture.add_testament("com.b", 1 << 20);
    fixture.leave();
    assert_eq!((waiting(&fixture), fixture.invocations()), ((0, 0), 0));
    fixture.decide("com.a", true);
    assert_eq!((fixture.control.undecided(), fixture.questions.len()), (0, 0));
}

#[test]
fn too_many_calls_are_refused() {
    let mut fixture = Fixture::new(Limits { meta_calls_per_session_max: 2, ..Limits::default() });
    fixture.add_testament("com.a", 1);
    let skipped = fixture.add_testament("com.b", 1);
    fixture.cancel(skipped, CancelMode::Skip);
    fixture.expect(&["ERROR 2 wamp.error.canceled"]);
    fixture.call("wamp.session.flush_testaments", &[], 0);
    fixture.call("wamp.session.count", &[], 0);
    fixture.expect(&[&format!("ERROR 4 {LIMIT_EXCEEDED}")]);
    assert_eq!(fixture.invocations(), 3);
    fixture.decide("com.a", true);
    fixture.decide("com.b", true);
    // nobody has told the router that the second one is not wanted
    fixture.expect(&["RESULT 1 []", "RESULT 3 [Integer(2)]"]);
    assert_eq!((fixture.control.undecided(), fixture.invocations()), (0, 0));
}

#[test]
fn calls_that_are_too_long_together_are_refused() {
    let limits = Limits { meta_call_octets_per_session_max: 3_000, ..Limits::default() };
    let mut fixture = Fixture::new(limits);
    fixture.add_testament("com.a", 10_000);
    fixture.add_testament("com.b", 2_000);
    fixture.add_testament("com.c", 1_000);
    fixture.add_testament("com.d", 500);
    fixture.expect(&[&format!("ERROR 3 {LIMIT_EXCEEDED}")]);
    fixture.decide("com.a", true);
    // the one that is asked about does not count any more
    fixture.add_testament("com.e", 2_000);
    fixture.expect(&["RESULT 1 []"]);
    assert!((2_500..3_000).contains(&waiting(&fixture).1));
    for topic in ["com.b", "com.d", "com.e"] {
        fixture.decide(topic, true);
    }
    fixture.expect(&["RESULT 2 []", "RESULT 4 []", "RESULT 5 []"]);
    assert_eq!(fixture.control.undecided(), 0);
}

#[test]
fn behind_a_silent_authorizer_the_time_that_was_waited_counts() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.after_ms(4_000);
    fixture.add_testament("com.b", 1);
    fixture.after_ms(6_000);
    fixture.expect(&["ERROR 1 wamp.error.authorization_failed"]);
    fixture.questions.remove(0);
    fixture.after_ms(3_999);
    fixture.expect(&[]);
    fixture.after_ms(1);
    fixture.expect(&["ERROR 2 wamp.error.authorization_failed"]);
    assert_eq!(fixture.control.undecided(), 0);
}

/// Whose own backend has not answered in time.
#[test]
fn an_authorizer_that_says_timeout_is_not_silent() {
    let mut fixture = Fixture::new(Limits::default());
    fixture.add_testament("com.a", 1);
    fixture.add_testament("com.b", 1);
    fixture.after_ms(3_000);
    fixture.fail("com.a", well_known::TIMEOUT);
    fixture.expect(&["ERROR 1 wamp.error.authorization_failed"]);
    fixture.after_ms(9_000);
    fixture.decide("com.b", true);
    fixture.expect(&["RESULT 2 []"]);
}
