//! A client whose role has an authorizer, on a node of nothing but the control shard: for tests.

use std::sync::Arc;

use crossring_codec::id::RequestId;
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, ClientRoles, ErrorDetails, Features, HelloDetails, Message,
    MessageType, RegisterOptions, SubscribeOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;
use crossring_codec::value::{Dict, Value};

use super::{Control, GuestOutput};
use crate::address::{Now, SessionKey, ShardId, TransportId};
use crate::config::{
    Allow, AnonymousConfig, Permission as Rule, RealmConfig, RoleConfig, RouterConfig, Source,
    TransportAuthentication,
};
use crate::details::TransportDetails;
use crate::letter::Letter;
use crate::limits::Limits;
use crate::outbox::Post;

/// A node of nothing but the control shard.
pub(super) struct Nobody;

impl Post for Nobody {
    fn post(&mut self, to: ShardId, letter: Letter) {
        panic!("{letter:?} for {to:?}");
    }
}

/// A client whose role has an authorizer, and the authorizer, which lets it call anything.
pub(super) struct Fixture {
    pub(super) control: Control,
    pub(super) now: Now,
    pub(super) client: SessionKey,
    request: RequestId,
    pub(super) authorizer: SessionKey,
    /// What the client has received.
    seen: Vec<String>,
    /// The topics of what the authorizer has received: it subscribes to what clients publish.
    pub(super) published: Vec<String>,
    /// Questions to the authorizer that it has not answered.
    pub(super) questions: Vec<(RequestId, String)>,
}

impl Fixture {
    pub(super) fn new(limits: Limits) -> Self {
        let rule = Rule { match_policy: Match::Prefix, allow: Allow::ALL, ..Rule::default() };
        let official =
            RoleConfig { name: "official".into(), permissions: vec![rule], ..RoleConfig::default() };
        let authorizer = Some("com.authorize".into());
        let guest = RoleConfig { name: "guest".into(), authorizer, ..RoleConfig::default() };
        let door = |role: &str| TransportAuthentication {
            anonymous: Some(Source::Static(AnonymousConfig { role: role.into(), authid: None })),
            ..TransportAuthentication::default()
        };
        let config = RouterConfig {
            realms: vec![RealmConfig { roles: vec![official, guest], ..RealmConfig::default() }],
            transports: vec![door("official"), door("guest")],
            ..RouterConfig::default()
        };
        let mut control = Control::new(0, Arc::new(config.with_trusted_role()), limits, 1);
        control.start(Now::default(), &mut Nobody);
        let mut open = |door: u16| {
            let details = Arc::new(TransportDetails::in_process());
            let key = control.guest_open(Now::default(), TransportId(door), details, &mut Nobody);
            key.expect("a place")
        };
        let (authorizer, client) = (open(0), open(1));
        let mut fixture = Self {
            control,
            now: Now::default(),
            client,
            request: FIRST,
            authorizer,
            seen: Vec::new(),
            published: Vec::new(),
            questions: Vec::new(),
        };
        for key in [authorizer, client] {
            let roles = ClientRoles::all(Features::default());
            let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
            fixture.send(key, Message::Hello { realm: Some("realm1".into()), details });
        }
        let options = RegisterOptions::default();
        fixture.send(
            authorizer,
            Message::Register { request: FIRST, options, procedure: "com.authorize".into() },
        );
        let options = SubscribeOptions { match_policy: Match::Prefix, ..SubscribeOptions::default() };
        fixture.send(authorizer, Message::Subscribe { request: FIRST.next(), options, topic: "com.".into() });
        fixture.expect(&["WELCOME"]);
        fixture
    }

    pub(super) fn send(&mut self, key: SessionKey, message: Message<'_>) {
        self.control.guest_message(self.now, key, message, &mut Nobody);
        self.look();
    }

    /// Sees what has come. What the client may call is decided here; the rest are questions.
    pub(super) fn look(&mut self) {
        for (key, output) in self.control.take_guest_outputs() {
            let GuestOutput::Message(message) = output else { continue };
            match message {
                Message::Invocation { request, payload, .. } if key == self.authorizer => {
                    let arguments = payload.arguments().expect("arguments");
                    let text = |index: usize| arguments[index].as_str().expect("text").to_owned();
                    if text(2) == "call" {
                        let lasting = [("allow", true), ("cache", true)];
                        let lasting = lasting.map(|(key, flag)| (key.to_owned(), flag.into()));
                        self.say(request, Value::Dict(lasting.into()));
                    } else {
                        self.questions.push((request, text(1)));
                    }
                }
                Message::Event { details, .. } => {
                    self.published.push(details.topic.expect("a topic").into_owned());
                }
                message if key == self.client => self.seen.push(match message {
                    Message::Result { request, payload, .. } => {
                        format!("RESULT {request} {:?}", payload.arguments().expect("arguments"))
                    }
                    Message::Error { request, error, .. } => format!("ERROR {request} {error}"),
                    other => other.message_type().name().to_owned(),
                }),
                _ => {}
            }
        }
    }

    fn say(&mut self, request: RequestId, answer: Value) {
        let payload = Payload::from_values(SerializerId::MessagePack, &[answer], &Dict::new());
        self.send(self.authorizer, Message::Yield { request, options: YieldOptions::default(), payload });
    }

    pub(super) fn call(
        &mut self,
        procedure: &'static str,
        arguments: &[Value],
        timeout_ms: u64,
    ) -> RequestId {
        let request = self.request;
        self.request = request.next();
        let options = CallOptions { timeout_ms, ..CallOptions::default() };
        let payload = Payload::from_values(SerializerId::MessagePack, arguments, &Dict::new());
        self.send(self.client, Message::Call { request, options, procedure: procedure.into(), payload });
        request
    }

    pub(super) fn add_testament(&mut self, topic: &str, size: usize) -> RequestId {
        let arguments = [topic.into(), Value::List(vec!["x".repeat(size).as_str().into()])];
        let arguments = [&arguments[..], &[Value::Dict(Dict::new())]].concat();
        self.call("wamp.session.add_testament", &arguments, 0)
    }

    pub(super) fn cancel(&mut self, request: RequestId, mode: CancelMode) {
        let options = CancelOptions { mode, ..CancelOptions::default() };
        self.send(self.client, Message::Cancel { request, options });
    }

    /// Answers the one question there is.
    #[track_caller]
    pub(super) fn decide(&mut self, topic: &str, allow: bool) {
        let questions = std::mem::take(&mut self.questions);
        let [(request, about)] = &questions[..] else { panic!("{questions:?}") };
        assert_eq!(about, topic);
        self.say(*request, allow.into());
    }

    /// The same, with an error.
    #[track_caller]
    pub(super) fn fail(&mut self, topic: &str, error: &'static str) {
        let questions = std::mem::take(&mut self.questions);
        let [(request, about)] = &questions[..] else { panic!("{questions:?}") };
        assert_eq!(about, topic);
        let (request_type, details) = (MessageType::Invocation, ErrorDetails::default());
        let (error, payload) = (error.into(), Payload::EMPTY);
        let message = Message::Error { request_type, request: *request, details, error, payload };
        self.send(self.authorizer, message);
    }

    pub(super) fn after_ms(&mut self, elapsed: u64) {
        self.now.monotonic_ns += elapsed * 1_000_000;
        self.control.expire(self.now, &mut Nobody);
        self.look();
    }

    /// The client leaves.
    pub(super) fn leave(&mut self) {
        self.control.guest_close(self.now, self.client, &mut Nobody);
        self.look();
    }

    #[track_caller]
    pub(super) fn expect(&mut self, seen: &[&str]) {
        assert_eq!(std::mem::take(&mut self.seen), seen);
    }

    /// Invocations of the service session that are not answered.
    pub(super) fn invocations(&self) -> usize {
        let view = self.control.service_shard().inspect();
        let service = view.sessions().find(|session| session.key == self.control.services[0].key);
        service.expect("joined").invocations
    }
}

const FIRST: RequestId = RequestId::from_random(0);
