//! Messages to octets.

use crossring_flatbuffers as table;
use crossring_flatbuffers::{Builder, Offset};

use super::words;
use crate::error::{EncodeError, Unrepresentable};
use crate::id::{RequestId, SessionId};
use crate::message::{
    CancelMode, ClientRoles, ErrorDetails, EventDetails, Feature, Features, Forwarder, HelloDetails, Message,
    MessageType, Passthru, PublishOptions, ResultDetails, RouterRoles, Text, WelcomeDetails,
};
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::transcode::transcode;
use crate::value::{Dict, Value};

/// The value of `session` in every table: not used.
const NO_SESSION: u64 = 0;

/// What the tables of a message take, apart from its payload and long URIs.
const TABLES_SIZE_USUAL: usize = 256;

/// Appends the encoded message to `out`.
pub(crate) fn encode(message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let encoder = Encoder { builder: Builder::with_capacity(TABLES_SIZE_USUAL), out };
    encoder.message(message).map_err(EncodeError::Unrepresentable)
}

struct Encoder<'o> {
    builder: Builder,
    out: &'o mut Vec<u8>,
}

/// Puts the body into a message and the message into the output.
macro_rules! finish {
    ($encoder:ident, $kind:ident as $message:ident, $body:expr) => {{
        let body = $body;
        let root = table::$message::create(&mut $encoder.builder, code(MessageType::$kind), body);
        $encoder.out.extend_from_slice($encoder.builder.finish(root, None));
    }};
}

/// The code of a message: EVENT_RECEIVED has the one that is reserved for it.
fn code(message_type: MessageType) -> u8 {
    match message_type {
        MessageType::EventReceived => 37,
        message_type => message_type.code() as u8,
    }
}

/// Arguments and ArgumentsKw in CBOR, or octets in their place; what is empty is left out.
#[derive(Default)]
struct Parts {
    arguments: Vec<u8>,
    keywords: Vec<u8>,
    /// Absent is not empty: an empty payload is one too.
    transparent: Option<Vec<u8>>,
}

impl Parts {
    fn transparent(octets: Vec<u8>) -> Self {
        Self { transparent: Some(octets), ..Self::default() }
    }

    fn of(payload: &Payload<'_>) -> Result<Self, Unrepresentable> {
        match payload.shape {
            Shape::Empty => Ok(Parts::default()),
            Shape::Transparent => match payload.transparent() {
                Ok(Some(Value::Binary(transparent))) => Ok(Parts::transparent(transparent)),
                Ok(Some(Value::String(text))) => Ok(Parts::transparent(text.into_bytes())),
                _ => Err(Unrepresentable::Extension),
            },
            Shape::Arguments | Shape::ArgumentsAndKeywords => {
                let payload = transcode(payload, SerializerId::Cbor)?;
                let (arguments, keywords) = match payload.shape {
                    Shape::ArgumentsAndKeywords => (payload.arguments_octets(), payload.keywords_octets()),
                    _ => (payload.arguments_octets(), &[][..]),
                };
                let arguments = if arguments == [0x80] { &[] } else { arguments };
                Ok(Parts { arguments: arguments.to_vec(), keywords: keywords.to_vec(), ..Parts::default() })
            }
        }
    }
}

fn filled(octets: &[u8]) -> Option<&[u8]> {
    (!octets.is_empty()).then_some(octets)
}

/// Numbers of passthru keys.
#[derive(Default)]
struct Keys<'k> {
    scheme: u8,
    serializer: u8,
    cipher: u8,
    key: Option<&'k str>,
}

impl<'k> Keys<'k> {
    fn of(passthru: Option<&'k Passthru<'_>>) -> Result<Self, Unrepresentable> {
        let Some(passthru) = passthru else { return Ok(Self::default()) };
        if passthru.ppt_scheme.is_some() || passthru.ppt_serializer.is_some() || passthru.ppt_keyid.is_some()
        {
            return Err(Unrepresentable::PassthruKey);
        }
        Ok(Self {
            scheme: number(words::ALGORITHMS, passthru.enc_algo.as_deref())?,
            serializer: number(words::SERIALIZERS, passthru.enc_serializer.as_deref())?,
            cipher: number(words::CIPHERS, passthru.ppt_cipher.as_deref())?,
            key: passthru.enc_key.as_deref(),
        })
    }
}

fn number(list: &[&'static str], word: Option<&str>) -> Result<u8, Unrepresentable> {
    let Some(word) = word else { return Ok(0) };
    words::number(list, word).ok_or(Unrepresentable::PassthruKey)
}

fn texts<'t>(texts: Option<&'t [Text<'_>]>) -> Option<Vec<&'t str>> {
    texts.map(|texts| texts.iter().map(|text| &**text).collect())
}

fn sessions(sessions: Option<&[SessionId]>) -> Option<Vec<u64>> {
    sessions.map(|sessions| sessions.iter().map(|session| session.get()).collect())
}

fn session(session: Option<SessionId>) -> u64 {
    session.map_or(0, SessionId::get)
}

fn request(request: Option<RequestId>) -> u64 {
    request.map_or(0, RequestId::get)
}

/// Milliseconds in 32 bits, which last 49 days.
fn milliseconds(timeout_ms: u64) -> u32 {
    u32::try_from(timeout_ms).unwrap_or(u32::MAX)
}

/// A mode is told if it is not the usual one.
fn mode_told(mode: CancelMode) -> Option<u8> {
    if mode == CancelMode::default() { None } else { words::number(&words::MODES, &mode) }
}

type Principals = Option<Vec<Offset<table::Principal>>>;

impl Encoder<'_> {
    fn principals(&mut self, hops: Option<&[Forwarder<'_>]>) -> Principals {
        let hops = hops?;
        let principal = |hop: &Forwarder<'_>| {
            table::Principal::create(
                &mut self.builder,
                hop.session.get(),
                hop.authid.as_deref(),
                Some(&*hop.authrole),
            )
        };
        Some(hops.iter().map(principal).collect())
    }

    /// The only text of a dict that has no more: there is room for one.
    fn entry(&mut self, extra: &Dict) -> Option<Offset<table::Entry>> {
        match extra.as_slice() {
            [(key, Value::String(value))] => {
                Some(table::Entry::create(&mut self.builder, Some(key.as_str()), Some(value.as_str())))
            }
            _ => None,
        }
    }

    fn message(mut self, message: &Message<'_>) -> Result<(), Unrepresentable> {
        match message {
            Message::Event { subscription, publication, details, payload } => {
                self.event([subscription.get(), publication.get()], details, payload)
            }
            Message::Publish { request, options, topic, payload } => {
                self.publish(request.get(), options, topic, payload)
            }
            Message::Call { .. } => self.call(message),
            Message::Invocation { .. } => self.invocation(message),
            Message::Result { request, details, payload } => {
                let body = self.result(request.get(), details, payload)?;
                finish!(self, Result as ResultMessage, body);
                Ok(())
            }
            Message::Yield { request, options, payload } => {
                let body = self.result(request.get(), options, payload)?;
                finish!(self, Yield as YieldMessage, body);
                Ok(())
            }
            Message::Error { request_type, request, details, error, payload } => {
                self.error(*request_type, request.get(), details, error, payload)
            }
            _ => {
                self.without_payload(message);
                Ok(())
            }
        }
    }

    fn event(
        &mut self,
        [subscription, publication]: [u64; 2],
        details: &EventDetails<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), Unrepresentable> {
        let extra = details.extra.as_deref();
        let (parts, keys) = (Parts::of(payload)?, Keys::of(extra.map(|extra| &extra.passthru))?);
        let principals = self.principals(extra.and_then(|extra| extra.forward_for.as_deref()));
        let body = table::Event::create(
            &mut self.builder,
            NO_SESSION,
            subscription,
            publication,
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            session(details.publisher),
            details.publisher_authid.as_deref(),
            details.publisher_authrole.as_deref(),
            details.topic.as_deref(),
            details.retained,
            extra.and_then(|extra| extra.transaction_hash.as_deref()),
            extra.is_some_and(|extra| extra.x_acknowledged_delivery),
            principals,
        );
        finish!(self, Event as EventMessage, body);
        Ok(())
    }

    fn publish(
        &mut self,
        request: u64,
        options: &PublishOptions<'_>,
        topic: &str,
        payload: &Payload<'_>,
    ) -> Result<(), Unrepresentable> {
        let extra = options.extra.as_deref();
        let (parts, keys) = (Parts::of(payload)?, Keys::of(extra.map(|extra| &extra.passthru))?);
        let principals = self.principals(extra.and_then(|extra| extra.forward_for.as_deref()));
        let body = table::Publish::create(
            &mut self.builder,
            NO_SESSION,
            request,
            Some(topic),
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            options.acknowledge,
            options.exclude_me,
            sessions(extra.and_then(|extra| extra.exclude.as_deref())),
            texts(extra.and_then(|extra| extra.exclude_authid.as_deref())),
            texts(extra.and_then(|extra| extra.exclude_authrole.as_deref())),
            sessions(extra.and_then(|extra| extra.eligible.as_deref())),
            texts(extra.and_then(|extra| extra.eligible_authid.as_deref())),
            texts(extra.and_then(|extra| extra.eligible_authrole.as_deref())),
            options.retain,
            extra.and_then(|extra| extra.transaction_hash.as_deref()),
            principals,
        );
        finish!(self, Publish as PublishMessage, body);
        Ok(())
    }

    fn call(&mut self, message: &Message<'_>) -> Result<(), Unrepresentable> {
        let Message::Call { request, options, procedure, payload } = message else { return Ok(()) };
        let extra = options.extra.as_deref();
        let (parts, keys) = (Parts::of(payload)?, Keys::of(extra.map(|extra| &extra.passthru))?);
        let principals = self.principals(extra.and_then(|extra| extra.forward_for.as_deref()));
        let body = table::Call::create(
            &mut self.builder,
            NO_SESSION,
            request.get(),
            Some(&**procedure),
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            milliseconds(options.timeout_ms),
            options.receive_progress,
            extra.and_then(|extra| extra.transaction_hash.as_deref()),
            session(extra.and_then(|extra| extra.caller)),
            extra.and_then(|extra| extra.caller_authid.as_deref()),
            extra.and_then(|extra| extra.caller_authrole.as_deref()),
            principals,
        );
        finish!(self, Call as CallMessage, body);
        Ok(())
    }

    fn invocation(&mut self, message: &Message<'_>) -> Result<(), Unrepresentable> {
        let Message::Invocation { request, registration, details, payload } = message else { return Ok(()) };
        let extra = details.extra.as_deref();
        let (parts, keys) = (Parts::of(payload)?, Keys::of(extra.map(|extra| &extra.passthru))?);
        let principals = self.principals(extra.and_then(|extra| extra.forward_for.as_deref()));
        let body = table::Invocation::create(
            &mut self.builder,
            NO_SESSION,
            request.get(),
            registration.get(),
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            details.procedure.as_deref(),
            milliseconds(details.timeout_ms),
            details.receive_progress,
            extra.and_then(|extra| extra.transaction_hash.as_deref()),
            session(details.caller),
            details.caller_authid.as_deref(),
            details.caller_authrole.as_deref(),
            principals,
        );
        finish!(self, Invocation as InvocationMessage, body);
        Ok(())
    }

    fn result(
        &mut self,
        request: u64,
        details: &ResultDetails<'_>,
        payload: &Payload<'_>,
    ) -> Result<Offset<table::Result>, Unrepresentable> {
        let (parts, keys) = (Parts::of(payload)?, Keys::of(details.passthru.as_deref())?);
        let principals = self.principals(details.forward_for.as_deref());
        Ok(table::Result::create(
            &mut self.builder,
            NO_SESSION,
            request,
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            details.progress,
            session(details.callee),
            details.callee_authid.as_deref(),
            details.callee_authrole.as_deref(),
            principals,
        ))
    }

    fn error(
        &mut self,
        request_type: MessageType,
        request: u64,
        details: &ErrorDetails<'_>,
        error: &str,
        payload: &Payload<'_>,
    ) -> Result<(), Unrepresentable> {
        let (parts, keys) = (Parts::of(payload)?, Keys::of(details.passthru.as_deref())?);
        let principals = self.principals(details.forward_for.as_deref());
        let body = table::Error::create(
            &mut self.builder,
            NO_SESSION,
            request_type.code(),
            request,
            Some(error),
            filled(&parts.arguments),
            filled(&parts.keywords),
            parts.transparent.as_deref(),
            keys.scheme,
            keys.serializer,
            keys.cipher,
            keys.key,
            principals,
        );
        finish!(self, Error as ErrorMessage, body);
        Ok(())
    }

    fn without_payload(&mut self, message: &Message<'_>) {
        match message {
            Message::Hello { realm, details } => self.hello(realm.as_deref(), details),
            Message::Welcome { session, details } => self.welcome(session.get(), details),
            Message::Abort { details, reason } => {
                let message = details.message.as_deref();
                let body = table::Abort::create(&mut self.builder, NO_SESSION, Some(&**reason), message);
                finish!(self, Abort as AbortMessage, body);
            }
            Message::Goodbye { details, reason } => {
                let message = details.message.as_deref();
                let body = table::Goodbye::create(
                    &mut self.builder,
                    NO_SESSION,
                    Some(&**reason),
                    message,
                    details.resumable,
                );
                finish!(self, Goodbye as GoodbyeMessage, body);
            }
            Message::Challenge { method, extra } => {
                let extra = self.entry(extra);
                let method = words::number(words::METHODS, &**method).unwrap_or_default();
                let body = table::Challenge::create(&mut self.builder, NO_SESSION, method, extra);
                finish!(self, Challenge as ChallengeMessage, body);
            }
            Message::Authenticate { signature, extra } => {
                let extra = self.entry(extra);
                let body =
                    table::Authenticate::create(&mut self.builder, NO_SESSION, Some(&**signature), extra);
                finish!(self, Authenticate as AuthenticateMessage, body);
            }
            _ => self.with_options(message),
        }
    }

    fn with_options(&mut self, message: &Message<'_>) {
        match message {
            Message::Subscribe { request, options, topic } => {
                let matching = words::number(&words::MATCHES, &options.match_policy).unwrap_or_default();
                let body = table::Subscribe::create(
                    &mut self.builder,
                    NO_SESSION,
                    request.get(),
                    Some(&**topic),
                    matching,
                    options.get_retained,
                );
                finish!(self, Subscribe as SubscribeMessage, body);
            }
            Message::Register { request, options, procedure } => {
                let concurrency = options.concurrency.unwrap_or_default();
                let body = table::Register::create(
                    &mut self.builder,
                    NO_SESSION,
                    request.get(),
                    Some(&**procedure),
                    words::number(&words::MATCHES, &options.match_policy).unwrap_or_default(),
                    words::number(&words::POLICIES, &options.invoke).unwrap_or_default(),
                    u16::try_from(concurrency).unwrap_or(u16::MAX),
                    options.force_reregister,
                );
                finish!(self, Register as RegisterMessage, body);
            }
            Message::Cancel { request, options } => {
                let principals = self.principals(options.forward_for.as_deref());
                let mode = mode_told(options.mode);
                let body =
                    table::Cancel::create(&mut self.builder, NO_SESSION, request.get(), mode, principals);
                finish!(self, Cancel as CancelMessage, body);
            }
            Message::Interrupt { request, options } => {
                let principals = self.principals(options.forward_for.as_deref());
                let mode = mode_told(options.mode);
                let (request, reason) = (request.get(), options.reason.as_deref());
                let builder = &mut self.builder;
                let body = table::Interrupt::create(builder, NO_SESSION, request, mode, reason, principals);
                finish!(self, Interrupt as InterruptMessage, body);
            }
            _ => self.of_ids(message),
        }
    }

    fn of_ids(&mut self, message: &Message<'_>) {
        let builder = &mut self.builder;
        match message {
            Message::Published { request, publication } => {
                let body = table::Published::create(builder, NO_SESSION, request.get(), publication.get());
                finish!(self, Published as PublishedMessage, body);
            }
            Message::Subscribed { request, subscription } => {
                let body = table::Subscribed::create(builder, NO_SESSION, request.get(), subscription.get());
                finish!(self, Subscribed as SubscribedMessage, body);
            }
            Message::Unsubscribe { request, subscription } => {
                let body = table::Unsubscribe::create(builder, NO_SESSION, request.get(), subscription.get());
                finish!(self, Unsubscribe as UnsubscribeMessage, body);
            }
            Message::Registered { request, registration } => {
                let body = table::Registered::create(builder, NO_SESSION, request.get(), registration.get());
                finish!(self, Registered as RegisteredMessage, body);
            }
            Message::Unregister { request, registration } => {
                let body = table::Unregister::create(builder, NO_SESSION, request.get(), registration.get());
                finish!(self, Unregister as UnregisterMessage, body);
            }
            Message::EventReceived { publication } => {
                let body = table::EventReceived::create(builder, NO_SESSION, publication.get(), ());
                finish!(self, EventReceived as EventReceivedMessage, body);
            }
            Message::Unsubscribed { request: of, revocation } => {
                let revocation = revocation.as_deref();
                let id = revocation.and_then(|revocation| revocation.id).map_or(0, |id| id.get());
                let reason = revocation.and_then(|revocation| revocation.reason.as_deref());
                let body = table::Unsubscribed::create(builder, NO_SESSION, request(*of), id, reason);
                finish!(self, Unsubscribed as UnsubscribedMessage, body);
            }
            Message::Unregistered { request: of, revocation } => {
                let revocation = revocation.as_deref();
                let id = revocation.and_then(|revocation| revocation.id).map_or(0, |id| id.get());
                let reason = revocation.and_then(|revocation| revocation.reason.as_deref());
                let body = table::Unregistered::create(builder, NO_SESSION, request(*of), id, reason);
                finish!(self, Unregistered as UnregisteredMessage, body);
            }
            _ => unreachable!("every other message is encoded by the callers"),
        }
    }
}

/// The table of the features that are announced.
macro_rules! features {
    ($builder:expr, $table:ident, $features:expr, { $($field:ident: $feature:expr,)+ }) => {
        $features.map(|features: Features| {
            table::$table::create(
                $builder,
                $($feature.is_some_and(|feature: Feature| features.contains(feature)),)+
            )
        })
    };
}

/// Messages that open sessions.
impl Encoder<'_> {
    fn hello(&mut self, realm: Option<&str>, details: &HelloDetails<'_>) {
        let roles = self.client_roles(&details.roles);
        let authextra = self.entry(&details.authextra);
        let methods: Vec<u8> = details
            .authmethods
            .iter()
            .filter_map(|method| words::number(words::METHODS, &**method))
            .collect();
        let body = table::Hello::create(
            &mut self.builder,
            NO_SESSION,
            Some(roles),
            realm,
            filled(&methods),
            details.authid.as_deref(),
            details.authrole.as_deref(),
            authextra,
            details.resumable,
            session(details.resume_session),
            details.resume_token.as_deref(),
        );
        finish!(self, Hello as HelloMessage, body);
    }

    fn welcome(&mut self, session: u64, details: &WelcomeDetails<'_>) {
        let roles = self.router_roles(&details.roles);
        let authextra = self.entry(&details.authextra);
        let method = details.authmethod.as_deref().and_then(|method| words::number(words::METHODS, method));
        let body = table::Welcome::create(
            &mut self.builder,
            session,
            Some(roles),
            details.realm.as_deref(),
            details.authid.as_deref(),
            details.authrole.as_deref(),
            method.unwrap_or_default(),
            details.authprovider.as_deref(),
            authextra,
            details.resumed,
            details.resumable,
            details.resume_token.as_deref(),
        );
        finish!(self, Welcome as WelcomeMessage, body);
    }

    fn client_roles(&mut self, roles: &ClientRoles) -> Offset<table::ClientRoles> {
        let builder = &mut self.builder;
        let publisher = super::publisher_features!(features, builder, PublisherFeatures, roles.publisher);
        let subscriber = super::subscriber_features!(features, builder, SubscriberFeatures, roles.subscriber);
        let caller = super::caller_features!(features, builder, CallerFeatures, roles.caller);
        let callee = super::callee_features!(features, builder, CalleeFeatures, roles.callee);
        table::ClientRoles::create(builder, publisher, subscriber, caller, callee)
    }

    fn router_roles(&mut self, roles: &RouterRoles) -> Offset<table::RouterRoles> {
        let builder = &mut self.builder;
        let broker = super::broker_features!(features, builder, BrokerFeatures, roles.broker);
        let dealer = super::dealer_features!(features, builder, DealerFeatures, roles.dealer);
        table::RouterRoles::create(builder, broker, dealer)
    }
}
