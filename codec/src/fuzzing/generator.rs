//! Messages made from octets: the same octets give the same message, short ones simple messages.

use std::borrow::Cow;

use crate::id::{ID_MAX, PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::message::{
    CallExtra, CallOptions, CancelMode, CancelOptions, ClientRoles, CloseDetails, ErrorDetails, EventDetails,
    EventExtra, Feature, Features, Forwarder, HelloDetails, InterruptOptions, InvocationDetails,
    InvocationExtra, InvocationPolicy, Message, MessageType, Passthru, PublishExtra, PublishOptions,
    RegisterOptions, ResultDetails, Revocation, RouterRoles, SubscribeOptions, Text, WelcomeDetails,
};
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::uri::Match;
use crate::value::{Dict, Value};

/// Texts that are hard to get right in some serializer.
const TEXTS: [&str; 12] = [
    "com.example.topic",
    "",
    "a",
    "\"quoted\" \\ back/slash",
    "line\nfeed\r\ttab\u{8}\u{c}\u{1}\u{1f}\u{7f}",
    "grüße, 世界, 𝄞",
    "\u{2028}\u{2029}\u{fffd}\u{ffff}\u{10ffff}",
    "exactly thirty-one octets long.",
    "exactly thirty-two octets long..",
    "a text that is longer than all of the short forms, with more than sixty-four octets in it",
    "null",
    "{\"not\":[\"a\",\"list\"]}",
];

/// Integers at the edges of encodings.
const INTEGERS: [i128; 16] = [
    0,
    1,
    23,
    24,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    4_294_967_295,
    4_294_967_296,
    9_007_199_254_740_993,
    9_223_372_036_854_775_807,
    9_223_372_036_854_775_808,
    18_446_744_073_709_551_615,
];

/// Floats at the edges of their forms.
const FLOATS: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    1e308,
    -1e308,
    5e-324,
    1e16,
    1e-7,
    9_007_199_254_740_992.0,
    0.333_333_333_333_333_3,
];

/// Makes messages from octets; when they are used up, everything is simple and absent.
pub struct Generator<'o> {
    octets: &'o [u8],
}

impl<'o> Generator<'o> {
    /// A generator that consumes `octets`.
    pub fn new(octets: &'o [u8]) -> Self {
        Self { octets }
    }

    /// A message of any type whose payload is encoded by `serializer`. It reads back equal.
    pub fn message(&mut self, serializer: SerializerId) -> Message<'static> {
        let request = self.request();
        match MessageType::ALL[self.below(MessageType::ALL.len())] {
            MessageType::Error => Message::Error {
                request_type: self.request_type(),
                request,
                details: self.error_details(),
                error: self.text(),
                payload: self.payload(serializer),
            },
            MessageType::Publish => Message::Publish {
                request,
                options: self.publish_options(),
                topic: self.text(),
                payload: self.payload(serializer),
            },
            MessageType::Published => Message::Published { request, publication: self.publication() },
            MessageType::Subscribe => {
                Message::Subscribe { request, options: self.subscribe_options(), topic: self.text() }
            }
            MessageType::Subscribed => Message::Subscribed { request, subscription: self.subscription() },
            MessageType::Unsubscribe => Message::Unsubscribe { request, subscription: self.subscription() },
            MessageType::Unsubscribed => {
                let revocation = self.revocation(Self::subscription);
                Message::Unsubscribed { request: revocation.is_none().then_some(request), revocation }
            }
            MessageType::Event => Message::Event {
                subscription: self.subscription(),
                publication: self.publication(),
                details: self.event_details(),
                payload: self.payload(serializer),
            },
            MessageType::EventReceived => Message::EventReceived { publication: self.publication() },
            MessageType::Call => Message::Call {
                request,
                options: self.call_options(),
                procedure: self.text(),
                payload: self.payload(serializer),
            },
            MessageType::Cancel => Message::Cancel { request, options: self.cancel_options() },
            MessageType::Result => {
                Message::Result { request, details: self.result_details(), payload: self.payload(serializer) }
            }
            MessageType::Register => {
                Message::Register { request, options: self.register_options(), procedure: self.text() }
            }
            MessageType::Registered => Message::Registered { request, registration: self.registration() },
            MessageType::Unregister => Message::Unregister { request, registration: self.registration() },
            MessageType::Unregistered => {
                let revocation = self.revocation(Self::registration);
                Message::Unregistered { request: revocation.is_none().then_some(request), revocation }
            }
            MessageType::Invocation => Message::Invocation {
                request,
                registration: self.registration(),
                details: self.invocation_details(),
                payload: self.payload(serializer),
            },
            MessageType::Interrupt => Message::Interrupt { request, options: self.interrupt_options() },
            MessageType::Yield => {
                Message::Yield { request, options: self.result_details(), payload: self.payload(serializer) }
            }
            session_message => self.session_message(session_message),
        }
    }

    /// A message that opens or closes a session.
    fn session_message(&mut self, message_type: MessageType) -> Message<'static> {
        match message_type {
            MessageType::Hello => {
                Message::Hello { realm: self.option(Self::text), details: Box::new(self.hello_details()) }
            }
            MessageType::Welcome => {
                Message::Welcome { session: self.session(), details: Box::new(self.welcome_details()) }
            }
            MessageType::Abort => Message::Abort { details: self.close_details(), reason: self.text() },
            MessageType::Challenge => Message::Challenge { method: self.text(), extra: self.extra() },
            MessageType::Authenticate => {
                Message::Authenticate { signature: self.text(), extra: self.extra() }
            }
            _ => Message::Goodbye { details: self.close_details(), reason: self.text() },
        }
    }

    /// A payload of any shape whose values every serializer has.
    pub fn payload(&mut self, serializer: SerializerId) -> Payload<'static> {
        if self.below(8) == 7 {
            return transparent(serializer, &Value::Binary(self.binary()));
        }
        let arguments: Vec<Value> = (0..self.below(4)).map(|_| self.value(4)).collect();
        let keywords = self.dict(4);
        Payload::from_values(serializer, &arguments, &keywords)
    }

    /// A value nested at most `levels` deep, at the edges of what serializers can carry.
    pub fn value(&mut self, levels: usize) -> Value {
        match self.below(if levels == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.boolean()),
            2 => Value::Integer(self.integer()),
            3 => Value::Float(self.float()),
            4 => Value::String(self.text().into_owned()),
            5 => Value::Binary(self.binary()),
            6 => {
                let count = if self.below(8) == 7 { 20 } else { self.below(4) };
                Value::List((0..count).map(|_| self.value(levels - 1)).collect())
            }
            _ => Value::Dict(self.dict(levels - 1)),
        }
    }
}

/// Plain values.
impl Generator<'_> {
    fn octet(&mut self) -> u8 {
        match self.octets.split_first() {
            Some((&first, rest)) => {
                self.octets = rest;
                first
            }
            None => 0,
        }
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.octet()))
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.octet()) % count
    }

    fn boolean(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(4) == 1).then(|| make(self))
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> Text<'static> {
        let octet = usize::from(self.octet());
        match TEXTS.get(octet % (TEXTS.len() + 1)) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned("é".repeat(octet)),
        }
    }

    fn integer(&mut self) -> i128 {
        match self.below(INTEGERS.len() + 2) {
            16 => i128::from(self.number()),
            17 => i128::from(self.number() as i64),
            index if self.boolean() && INTEGERS[index] <= 1 << 63 => -INTEGERS[index],
            index => INTEGERS[index],
        }
    }

    fn float(&mut self) -> f64 {
        let index = self.below(FLOATS.len() + 1);
        let float = FLOATS.get(index).copied().unwrap_or_else(|| f64::from_bits(self.number()));
        if float.is_finite() { float } else { 0.5 }
    }

    fn binary(&mut self) -> Vec<u8> {
        let count = self.below(40);
        (0..count).map(|_| self.octet()).collect()
    }

    fn dict(&mut self, levels: usize) -> Dict {
        let keys = ["key", "a \"b\"\n", "ключ", "_private"];
        let count = self.below(4);
        keys.into_iter().take(count).map(|key| (key.to_owned(), self.value(levels))).collect()
    }

    /// As [`Generator::dict`], without null: that would read as absent.
    fn extra(&mut self) -> Dict {
        self.dict(2).into_iter().filter(|(_, value)| *value != Value::Null).collect()
    }

    fn id(&mut self) -> u64 {
        [1, 127, 128, 65_536, 4_294_967_296, ID_MAX][self.below(6)]
    }

    fn request(&mut self) -> RequestId {
        RequestId::new(self.id()).expect("in range")
    }

    fn session(&mut self) -> SessionId {
        SessionId::new(self.id()).expect("in range")
    }

    fn publication(&mut self) -> PublicationId {
        PublicationId::from_random(self.number())
    }

    fn subscription(&mut self) -> SubscriptionId {
        SubscriptionId::new(self.id()).expect("in range")
    }

    fn registration(&mut self) -> RegistrationId {
        RegistrationId::new(self.id()).expect("in range")
    }

    fn request_type(&mut self) -> MessageType {
        use MessageType::{Call, Invocation, Publish, Register, Subscribe, Unregister, Unsubscribe};
        [Call, Invocation, Publish, Register, Subscribe, Unregister, Unsubscribe][self.below(7)]
    }

    fn match_policy(&mut self) -> Match {
        [Match::Exact, Match::Prefix, Match::Wildcard][self.below(3)]
    }

    fn features(&mut self) -> Features {
        let bits = self.number();
        let mut features = Features::default();
        let announced = Feature::ALL.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        announced.for_each(|(_, feature)| features.insert(*feature));
        features
    }
}

/// Options and details.
impl Generator<'_> {
    fn forward_for(&mut self) -> Option<Vec<Forwarder<'static>>> {
        self.option(|g| {
            g.list(|g| Forwarder { session: g.session(), authid: g.option(Self::text), authrole: g.text() })
        })
    }

    fn passthru(&mut self) -> Passthru<'static> {
        Passthru {
            ppt_scheme: self.option(Self::text),
            ppt_serializer: self.option(Self::text),
            ppt_cipher: self.option(Self::text),
            ppt_keyid: self.option(Self::text),
            enc_algo: self.option(|g| ["cryptobox", "mqtt", "xbr", "x_own"][g.below(4)].into()),
            enc_key: self.option(Self::text),
            enc_serializer: self.option(Self::text),
        }
    }

    fn hello_details(&mut self) -> HelloDetails<'static> {
        HelloDetails {
            roles: ClientRoles {
                publisher: self.option(Self::features),
                subscriber: self.option(Self::features),
                caller: self.option(Self::features),
                callee: self.option(Self::features),
            },
            agent: self.option(Self::text),
            authmethods: self.list(Self::text),
            authid: self.option(Self::text),
            authrole: self.option(Self::text),
            authextra: self.extra(),
            resumable: self.boolean(),
            resume_session: self.option(Self::session),
            resume_token: self.option(Self::text),
        }
    }

    fn welcome_details(&mut self) -> WelcomeDetails<'static> {
        WelcomeDetails {
            roles: RouterRoles { broker: self.option(Self::features), dealer: self.option(Self::features) },
            realm: self.option(Self::text),
            authid: self.option(Self::text),
            authrole: self.option(Self::text),
            authmethod: self.option(Self::text),
            authprovider: self.option(Self::text),
            authextra: self.extra(),
            agent: self.option(Self::text),
            resumed: self.boolean(),
            resumable: self.boolean(),
            resume_token: self.option(Self::text),
            custom: self.extra().into_iter().map(|(key, value)| (format!("x_{key}"), value)).collect(),
        }
    }

    fn close_details(&mut self) -> CloseDetails<'static> {
        CloseDetails {
            message: self.option(Self::text),
            resumable: self.boolean(),
            scram: self.option(Self::text),
        }
    }

    fn publish_options(&mut self) -> PublishOptions<'static> {
        PublishOptions {
            acknowledge: self.boolean(),
            exclude_me: self.boolean(),
            disclose_me: self.boolean(),
            retain: self.boolean(),
            extra: filled(PublishExtra {
                exclude: self.option(|g| g.list(Self::session)),
                exclude_authid: self.option(|g| g.list(Self::text)),
                exclude_authrole: self.option(|g| g.list(Self::text)),
                eligible: self.option(|g| g.list(Self::session)),
                eligible_authid: self.option(|g| g.list(Self::text)),
                eligible_authrole: self.option(|g| g.list(Self::text)),
                rkey: self.option(Self::text),
                passthru: self.passthru(),
                transaction_hash: self.option(Self::text),
                x_acknowledged_delivery: self.boolean(),
                forward_for: self.forward_for(),
            }),
        }
    }

    fn subscribe_options(&mut self) -> SubscribeOptions<'static> {
        SubscribeOptions {
            match_policy: self.match_policy(),
            get_retained: self.boolean(),
            nkey: self.option(Self::text),
            forward_for: self.forward_for(),
        }
    }

    fn event_details(&mut self) -> EventDetails<'static> {
        EventDetails {
            topic: self.option(Self::text),
            publisher: self.option(Self::session),
            publisher_authid: self.option(Self::text),
            publisher_authrole: self.option(Self::text),
            trustlevel: self.option(Self::number),
            retained: self.boolean(),
            extra: filled(EventExtra {
                passthru: self.passthru(),
                transaction_hash: self.option(Self::text),
                x_acknowledged_delivery: self.boolean(),
                forward_for: self.forward_for(),
            }),
        }
    }

    fn call_options(&mut self) -> CallOptions<'static> {
        CallOptions {
            receive_progress: self.boolean(),
            progress: self.boolean(),
            timeout_ms: self.number(),
            disclose_me: self.boolean(),
            extra: filled(CallExtra {
                rkey: self.option(Self::text),
                runmode: self.option(Self::text),
                passthru: self.passthru(),
                transaction_hash: self.option(Self::text),
                forward_for: self.forward_for(),
                caller: self.option(Self::session),
                caller_authid: self.option(Self::text),
                caller_authrole: self.option(Self::text),
            }),
        }
    }

    fn invocation_details(&mut self) -> InvocationDetails<'static> {
        InvocationDetails {
            procedure: self.option(Self::text),
            caller: self.option(Self::session),
            caller_authid: self.option(Self::text),
            caller_authrole: self.option(Self::text),
            trustlevel: self.option(Self::number),
            receive_progress: self.boolean(),
            progress: self.boolean(),
            timeout_ms: self.number(),
            extra: filled(InvocationExtra {
                passthru: self.passthru(),
                transaction_hash: self.option(Self::text),
                forward_for: self.forward_for(),
            }),
        }
    }

    fn result_details(&mut self) -> ResultDetails<'static> {
        ResultDetails {
            progress: self.boolean(),
            callee: self.option(Self::session),
            callee_authid: self.option(Self::text),
            callee_authrole: self.option(Self::text),
            passthru: filled(self.passthru()),
            forward_for: self.forward_for(),
        }
    }

    fn error_details(&mut self) -> ErrorDetails<'static> {
        ErrorDetails {
            message: self.option(Self::text),
            passthru: filled(self.passthru()),
            callee: self.option(Self::session),
            callee_authid: self.option(Self::text),
            callee_authrole: self.option(Self::text),
            forward_for: self.forward_for(),
        }
    }

    fn cancel_options(&mut self) -> CancelOptions<'static> {
        let mode = [CancelMode::KillNoWait, CancelMode::Kill, CancelMode::Skip][self.below(3)];
        CancelOptions { mode, forward_for: self.forward_for() }
    }

    fn interrupt_options(&mut self) -> InterruptOptions<'static> {
        let mode = [CancelMode::KillNoWait, CancelMode::Kill][self.below(2)];
        InterruptOptions { mode, reason: self.option(Self::text), forward_for: self.forward_for() }
    }

    fn register_options(&mut self) -> RegisterOptions<'static> {
        use InvocationPolicy::{First, Last, Random, RoundRobin, Single};
        RegisterOptions {
            match_policy: self.match_policy(),
            invoke: [Single, First, Last, RoundRobin, Random][self.below(5)],
            disclose_caller: self.boolean(),
            forward_timeout: self.boolean(),
            concurrency: self.option(Self::id),
            force_reregister: self.boolean(),
            forward_for: self.forward_for(),
        }
    }

    fn revocation<Id>(&mut self, id: impl FnOnce(&mut Self) -> Id) -> Option<Box<Revocation<'static, Id>>> {
        self.option(|g| Box::new(Revocation { id: g.option(id), reason: g.option(Self::text) }))
    }
}

/// What has nothing to say is absent, as it is after decoding.
fn filled<T: Default + PartialEq>(extra: T) -> Option<Box<T>> {
    (extra != T::default()).then(|| Box::new(extra))
}

fn transparent(serializer: SerializerId, value: &Value) -> Payload<'static> {
    let serializer = serializer.of_payloads();
    let mut octets = Vec::new();
    value.encode(serializer, &mut octets).expect("binary has a form everywhere");
    let arguments_size = octets.len() as u32;
    Payload { serializer, shape: Shape::Transparent, octets: Cow::Owned(octets), arguments_size }
}
