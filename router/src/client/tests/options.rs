//! What is refused before it is sent: values that no router takes, and features that this router has not.

use super::*;

/// A session with a router that has no feature of the Advanced Profile.
fn basic() -> ClientSession {
    let mut client = ClientSession::new();
    client.hello(None, hello_details()).expect("closed");
    let roles = RouterRoles { broker: Some(Features::default()), dealer: Some(Features::default()) };
    let details = Box::new(WelcomeDetails { roles, ..WelcomeDetails::default() });
    client.receive(Message::Welcome { session: SESSION, details }).expect("joining");
    client
}

fn fault<T: std::fmt::Debug>(outcome: Result<T, ClientRefusal>) -> &'static str {
    match outcome {
        Err(ClientRefusal::Option(fault)) => fault.option,
        other => panic!("{other:?}"),
    }
}

fn call(options: CallOptions<'_>) -> Result<(), ClientRefusal> {
    joined().call("a", options, Payload::EMPTY).map(drop)
}

fn with_extra(extra: CallExtra<'_>) -> CallOptions<'_> {
    CallOptions { extra: Some(Box::new(extra)), ..CallOptions::default() }
}

#[test]
fn options_have_ranges_and_words() {
    assert_eq!(call(CallOptions { timeout_ms: 1 << 53, ..CallOptions::default() }), Ok(()));
    assert_eq!(fault(call(CallOptions { timeout_ms: (1 << 53) + 1, ..CallOptions::default() })), "timeout");
    let runmode = |word: &'static str, rkey: Option<&'static str>| {
        with_extra(CallExtra {
            runmode: Some(word.into()),
            rkey: rkey.map(Into::into),
            ..CallExtra::default()
        })
    };
    assert_eq!(call(runmode("partition", Some("key"))), Ok(()));
    assert_eq!(fault(call(runmode("partition", None))), "rkey");
    assert_eq!(fault(call(runmode("some", None))), "runmode");
    let register = |concurrency| {
        let options = RegisterOptions { concurrency: Some(concurrency), ..RegisterOptions::default() };
        joined().register("a", options)
    };
    assert!(register(1).is_ok());
    assert_eq!(fault(register(0)), "concurrency");
}

#[test]
fn lists_have_an_end() {
    let mut options = PublishOptions::default();
    let longest = crossring_codec::limits::OPTION_LIST_MAX;
    options.extra_mut().exclude = Some(vec![SESSION; longest]);
    assert!(joined().publish("a", options.clone(), Payload::EMPTY).is_ok());
    options.extra_mut().exclude = Some(vec![SESSION; longest + 1]);
    assert_eq!(fault(joined().publish("a", options, Payload::EMPTY)), "exclude");
}

#[test]
fn keys_of_an_encoded_payload_come_with_one() {
    let encoded = EncodedPayload::new(vec![1], "cryptobox", None, None).expect("listed");
    let payload = encoded.to_payload(SerializerId::Json).expect("octets");
    let options = with_extra(CallExtra { passthru: encoded.passthru(), ..CallExtra::default() });
    assert!(joined().call("a", options.clone(), payload.clone()).is_ok());
    assert_eq!(fault(joined().call("a", options, Payload::EMPTY)), "enc_algo");
    assert_eq!(fault(joined().call("a", CallOptions::default(), payload.clone())), "enc_algo");
    let mut callee = registered();
    callee.receive(invocation(1, false, false)).expect("registered");
    assert_eq!(fault(callee.yield_result(request(1), YieldOptions::default(), payload)), "enc_algo");
    assert_eq!(callee.invocations(), 1, "an answer is still due");
    let both = Passthru { ppt_scheme: Some("x_mine".into()), ..encoded.passthru() };
    let options = with_extra(CallExtra { passthru: both, ..CallExtra::default() });
    assert_eq!(fault(joined().call("a", options, Payload::EMPTY)), "enc_algo");
}

#[test]
fn what_the_router_does_not_offer_is_not_asked_for() {
    let missing = |feature| Some(ClientRefusal::NotOffered(feature));
    let mut client = basic();
    let prefix = SubscribeOptions { match_policy: Match::Prefix, ..SubscribeOptions::default() };
    let refused = client.subscribe("a", prefix).err();
    assert_eq!(refused, missing(Feature::PatternBasedSubscription));
    let node = SubscribeOptions { nkey: Some("n".into()), ..SubscribeOptions::default() };
    assert_eq!(client.subscribe("a", node).err(), missing(Feature::ShardedSubscription));
    let wildcard = RegisterOptions { match_policy: Match::Wildcard, ..RegisterOptions::default() };
    assert_eq!(client.register("a", wildcard).err(), missing(Feature::PatternBasedRegistration));
    let parts = CallOptions { progress: true, ..CallOptions::default() };
    let refused = client.call("a", parts, Payload::EMPTY).err();
    assert_eq!(refused, missing(Feature::ProgressiveCallInvocations));
    let id = client.call("a", CallOptions::default(), Payload::EMPTY).expect("basic").id;
    assert_eq!(client.cancel(id, CancelMode::Skip).err(), missing(Feature::CallCanceling));
    let packed = PassthruPayload::pack("x_mine", SerializerId::Cbor, &[], &Vec::new()).expect("listed");
    let payload = packed.to_payload(SerializerId::Json);
    let mut options = PublishOptions::default();
    options.extra_mut().passthru = packed.passthru();
    let refused = client.publish("a", options, payload.borrowed()).err();
    assert_eq!(refused, missing(Feature::PayloadPassthruMode));
    let options = with_extra(CallExtra { passthru: packed.passthru(), ..CallExtra::default() });
    assert!(joined().call("a", options, payload).is_ok());
    assert_eq!(client.pending(), 1, "what is refused leaves no trace");
}
