//! Types of the application: Autobahn's names, and its rules for values.

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    self, ClientRoles, EventExtra, Features, Message, ResultDetails, RouterRoles, YieldOptions,
};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::{Dict, Value};

use super::super::{ClientEvent, OptionFault, check};
use super::*;

const SESSION: SessionId = SessionId::from_random(7 << 11);
const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_random(70 << 11);
const REGISTRATION: RegistrationId = RegistrationId::from_random(80 << 11);
const REQUEST: RequestId = RequestId::from_random(0);

fn forwarder() -> Forwarder<'static> {
    Forwarder { session: SESSION, authid: Some("first".into()), authrole: "user".into() }
}

fn named(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

#[test]
fn call_details_give_a_progress_handle_to_those_who_are_asked_for_progress() {
    let wire = |receive_progress| message::InvocationDetails {
        receive_progress,
        progress: true,
        timeout_ms: 250,
        procedure: Some("com.example.add".into()),
        trustlevel: Some(3),
        ..message::InvocationDetails::default()
    };
    let details = CallDetails::new(REQUEST, REGISTRATION, wire(true));
    assert_eq!(details.progress.map(ProgressHandle::request), Some(REQUEST));
    assert_eq!((details.more, details.timeout_ms, details.trustlevel), (true, 250, Some(3)));
    assert_eq!(CallDetails::new(REQUEST, REGISTRATION, wire(false)).progress, None);
    let registration = Registration { id: REGISTRATION, procedure: "com.example.".into() };
    assert_eq!(registration.procedure_of(&details), "com.example.add");
}

#[test]
fn event_details_carry_the_rare_keys_too() {
    let extra = EventExtra {
        passthru: Passthru { enc_algo: Some("cryptobox".into()), ..Passthru::default() },
        transaction_hash: Some("hash".into()),
        ..EventExtra::default()
    };
    let wire = message::EventDetails { retained: true, extra: Some(Box::new(extra)), ..Default::default() };
    let details = EventDetails::new(SUBSCRIPTION, PublicationId::from_random(9), wire);
    assert!(details.retained);
    assert_eq!(details.enc_algo.as_deref(), Some("cryptobox"));
    assert_eq!(details.transaction_hash.as_deref(), Some("hash"));
    let subscription = Subscription { id: SUBSCRIPTION, topic: "com.example.topic".into() };
    assert_eq!(subscription.topic_of(&details), "com.example.topic", "an exact one is told no topic");
}

#[test]
fn a_session_is_identified_by_whom_it_was_forwarded_for_first() {
    let wire = message::InvocationDetails {
        caller: SessionId::new(8),
        caller_authid: Some("link".into()),
        caller_authrole: Some("rlink".into()),
        ..Default::default()
    };
    let mut details = CallDetails::new(REQUEST, REGISTRATION, wire);
    let direct = SessionIdent::from_call_details(&details).expect("disclosed");
    assert_eq!((direct.session, direct.authrole.as_str()), (SessionId::new(8), "rlink"));
    details.forward_for = Some(vec![forwarder()]);
    let forwarded = SessionIdent::from_call_details(&details).expect("disclosed");
    let expected = [named("session", 8), named("authid", "first"), named("authrole", "user")];
    assert_eq!(forwarded.to_dict(), expected);
    let event = EventDetails::new(SUBSCRIPTION, PublicationId::from_random(9), Default::default());
    assert_eq!(SessionIdent::from_event_details(&event), None, "nobody is disclosed");
}

#[test]
fn a_call_result_is_read_and_answered_with() {
    let answer = CallResult {
        results: vec![Value::Integer(1), "two".into()],
        kwresults: vec![named("three", 3)],
        progress: true,
        ..CallResult::default()
    };
    let (options, payload) = answer.to_answer(SerializerId::Cbor);
    assert_eq!(options, YieldOptions { progress: true, ..YieldOptions::default() });
    let details = ResultDetails { progress: true, ..ResultDetails::default() };
    assert_eq!(CallResult::read(&details, &payload), Ok(answer));
}

#[test]
fn close_details_have_defaults_and_tell_goodbye_from_abort_no_more() {
    assert_eq!(CloseDetails::default().reason, "wamp.close.normal");
    assert_eq!(CloseDetails::transport_lost().to_string(), "wamp.close.transport_lost");
    let aborted =
        ClientEvent::Aborted { reason: "wamp.error.no_such_realm".into(), message: Some("none".into()) };
    let details = CloseDetails::from_event(&aborted).expect("an end");
    assert_eq!(details.to_string(), "wamp.error.no_such_realm (none)");
    assert_eq!(details.to_dict(), [named("reason", "wamp.error.no_such_realm"), named("message", "none")]);
    assert_eq!(CloseDetails::from_event(&ClientEvent::Ignored), None);
}

#[test]
fn hello_is_answered_by_one_of_three() {
    let details = message::HelloDetails {
        roles: ClientRoles::all(Features::default()),
        authmethods: vec!["ticket".into()],
        authid: Some("joe".into()),
        resumable: true,
        ..Default::default()
    };
    let hello = Message::Hello { realm: Some("realm1".into()), details: Box::new(details) };
    let asked = HelloDetails::from_message(&hello, Some(SESSION)).expect("HELLO");
    assert_eq!(asked.realm.as_deref(), Some("realm1"));
    assert_eq!((asked.authmethods, asked.resumable), (vec!["ticket".to_owned()], true));
    let answer = |answer: HelloReturn| answer.into_message(SESSION, RouterRoles::default());
    let accept = Accept { authid: Some("joe".into()), ..Accept::default() };
    let Message::Welcome { session: SESSION, details } = answer(HelloReturn::Accept(accept)) else {
        panic!("no WELCOME")
    };
    assert_eq!(details.authid.as_deref(), Some("joe"));
    let challenge = Challenge { method: "ticket".into(), extra: Dict::new() };
    let expected = Message::Challenge { method: "ticket".into(), extra: Dict::new() };
    assert_eq!(answer(HelloReturn::Challenge(challenge)), expected);
    let Message::Abort { reason, .. } = answer(HelloReturn::Deny(Deny::default())) else {
        panic!("no ABORT")
    };
    assert_eq!(reason, "wamp.error.not_authorized");
}

#[test]
fn an_encoded_payload_is_octets_in_the_place_of_arguments() {
    for serializer in SerializerId::ALL {
        let encoded =
            EncodedPayload::new(vec![0, 1, 255], "x_mine", Some("cbor".into()), None).expect("listed");
        let payload = encoded.to_payload(serializer).expect("octets can be carried");
        assert_eq!(payload.shape, Shape::Transparent);
        assert_eq!(EncodedPayload::read(&encoded.passthru(), &payload), Ok(Some(encoded)));
    }
    let plain = Payload::from_values(SerializerId::Json, &[1.into()], &Dict::new());
    assert_eq!(EncodedPayload::read(&Passthru::default(), &plain), Ok(None));
    let keys = Passthru { enc_algo: Some("mqtt".into()), ..Passthru::default() };
    assert_eq!(EncodedPayload::read(&keys, &plain), Err(PayloadFault::Missing));
    let unlisted = EncodedPayload::new(Vec::new(), "rot13", None, None).map(drop);
    assert_eq!(unlisted.map_err(|fault| fault.option), Err("enc_algo"));
    let unlisted = EncodedPayload::new(Vec::new(), "mqtt", Some("xml".into()), None).map(drop);
    assert_eq!(unlisted.map_err(|fault| fault.option), Err("enc_serializer"));
}

#[test]
fn a_passthru_payload_holds_arguments_in_a_serialization_of_their_own() {
    let keywords = vec![named("b", true)];
    for session in SerializerId::ALL {
        // The older dialect of UBJSON has no name of its own there.
        for inner in SerializerId::ALL.into_iter().filter(|inner| *inner != SerializerId::Ubjson) {
            let packed = PassthruPayload::pack("x_mine", inner, &["a".into()], &keywords).expect("listed");
            let payload = packed.to_payload(session);
            let read =
                PassthruPayload::read(&packed.passthru(), &payload).expect("one binary").expect("passthru");
            assert_eq!(read, packed);
            assert_eq!(read.unpack(session), Ok((vec!["a".into()], keywords.clone())));
        }
    }
    let ciphered = Passthru {
        ppt_scheme: Some("wamp".into()),
        ppt_serializer: Some("cbor".into()),
        ppt_cipher: Some("aes256gcm".into()),
        ..Passthru::default()
    };
    let secret = PassthruPayload::new(vec![1], ciphered).expect("listed");
    assert_eq!(secret.unpack(SerializerId::Cbor), Err(PayloadFault::Unknown("aes256gcm".into())));
}

fn passthru(scheme: &str, serializer: &str, cipher: &str) -> Result<(), OptionFault> {
    let key = |text: &str| (!text.is_empty()).then(|| text.to_owned().into());
    let (ppt_scheme, ppt_serializer, ppt_cipher) = (key(scheme), key(serializer), key(cipher));
    check::passthru_mode(&Passthru { ppt_scheme, ppt_serializer, ppt_cipher, ..Passthru::default() })
}

#[test]
fn passthru_keys_have_listed_values_and_belong_together() {
    for (scheme, serializer, cipher) in
        [("wamp", "cbor", "xsalsa20poly1305"), ("mqtt", "", ""), ("x_mine", "native", "x_mine"), ("", "", "")]
    {
        assert_eq!(passthru(scheme, serializer, cipher), Ok(()), "{scheme} {serializer} {cipher}");
    }
    for (scheme, serializer, cipher, option) in [
        ("mine", "", "", "ppt_scheme"),
        ("x_", "", "", "ppt_scheme"),
        ("", "cbor", "", "ppt_scheme"),
        ("x_mine", "xml", "", "ppt_serializer"),
        ("x_mine", "", "rot13", "ppt_cipher"),
        ("wamp", "json", "", "ppt_serializer"),
        ("wamp", "", "", "ppt_serializer"),
        ("mqtt", "", "aes256gcm", "ppt_cipher"),
    ] {
        let fault = passthru(scheme, serializer, cipher).map_err(|fault| fault.option);
        assert_eq!(fault, Err(option), "{scheme} {serializer} {cipher}");
    }
}

#[test]
fn a_testament_is_a_call_of_the_meta_api() {
    let testament = Testament {
        topic: "com.example.gone".into(),
        args: vec![1.into()],
        scope: TestamentScope::Detached,
        ..Testament::default()
    };
    let (procedure, payload) = testament.add(SerializerId::Json);
    assert_eq!(procedure, "wamp.session.add_testament");
    assert_eq!(&*payload.octets, br#"["com.example.gone",[1],{}],{"scope":"detached"}"#);
    let (procedure, payload) = flush_testaments(TestamentScope::Destroyed, SerializerId::Json);
    assert_eq!(procedure, "wamp.session.flush_testaments");
    assert_eq!(&*payload.octets, br#"[],{"scope":"destroyed"}"#);
}

#[test]
fn session_details_are_read_and_written_as_autobahn_does() {
    let welcome = message::WelcomeDetails {
        realm: Some("realm1".into()),
        authid: Some("joe".into()),
        resumable: true,
        resume_token: Some("token".into()),
        ..Default::default()
    };
    let mut details = SessionDetails::from_welcome(SESSION, &welcome, Serializer::CBOR_BATCHED);
    assert_eq!(details.serializer.as_deref(), Some("cbor.batched"));
    assert_eq!((details.resumed, details.resumable), (Some(false), Some(true)));
    details.transport = Some(TransportDetails { is_server: true, own_pid: 7, ..TransportDetails::default() });
    assert_eq!(SessionDetails::from_value(&Value::Dict(details.to_dict())), Ok(details));
    let nothing = SessionDetails::from_value(&Value::Dict(vec![named("session", Value::Null)]));
    assert_eq!(nothing, Ok(SessionDetails::default()));
    for (key, value) in [
        ("realm", Value::Integer(1)),
        ("session", "7".into()),
        ("session", Value::Integer(0)),
        ("authextra", "extra".into()),
        ("transport", Value::List(Vec::new())),
        ("resumable", Value::Integer(1)),
    ] {
        let fault = SessionDetails::from_value(&Value::Dict(vec![named(key, value)]));
        assert_eq!(fault.map_err(|fault| fault.key), Err(key));
    }
}
