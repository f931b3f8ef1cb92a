//! Octets to messages. The readers of the tables check offsets, lengths and text; here it is checked what WAMP wants.

use std::borrow::Cow;

use crossring_flatbuffers as table;
use crossring_flatbuffers::{ErrorKind, ReadAsRoot as _};

use super::words;
use crate::cbor::{CborReader, CborWriter};
use crate::error::{DecodeError, Expected, Fault};
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::limits::OPTION_LIST_MAX;
use crate::message::{
    CallExtra, CallOptions, CancelMode, CancelOptions, ClientRoles, CloseDetails, ErrorDetails, EventDetails,
    EventExtra, Feature, Features, Forwarder, HelloDetails, InterruptOptions, InvocationDetails,
    InvocationExtra, Message, MessageType, Passthru, PublishExtra, PublishOptions, RegisterOptions,
    ResultDetails, Revocation, RouterRoles, SubscribeOptions, Text, WelcomeDetails,
};
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::value::{Dict, Value};
use crate::wire::{Kind, Reader as _, Writer as _};

/// Lists may refer to the same octets several times: all their texts together must not be longer than this many messages.
const SHARING_MAX: usize = 2;

/// Decodes one message that fills `octets` completely. Arguments and ArgumentsKw are nested at most `levels` deep.
pub(crate) fn decode(octets: &[u8], levels: usize) -> Result<Message<'_>, DecodeError> {
    let mut message = None;
    let budget = octets.len() * SHARING_MAX;
    let decoded = Decoder { octets, budget, levels }.message(&mut message);
    decoded.map_err(|Refusal { fault, offset, element }| {
        let offset = offset.min(octets.len());
        DecodeError { fault, offset, message, element, key: "" }
    })
}

/// What is wrong, and where.
struct Refusal {
    fault: Fault,
    offset: usize,
    element: &'static str,
}

impl From<table::ReadError> for Refusal {
    fn from(error: table::ReadError) -> Self {
        let fault = match error.error_kind {
            ErrorKind::InvalidUtf8 { .. } => Fault::InvalidUtf8,
            ErrorKind::InvalidOffset | ErrorKind::InvalidLength => Fault::Truncated,
            _ => Fault::InvalidSyntax,
        };
        Refusal { fault, offset: error.source_location.byte_offset, element: error.source_location.method }
    }
}

fn refusal(fault: Fault, element: &'static str) -> Refusal {
    Refusal { fault, offset: 0, element }
}

/// An element that must be there.
fn required<T>(value: Option<T>, element: &'static str) -> Result<T, Refusal> {
    value.ok_or(refusal(Fault::MissingElement, element))
}

/// An id that must be there.
fn id<Id>(value: u64, new: impl Fn(u64) -> Option<Id>, element: &'static str) -> Result<Id, Refusal> {
    new(value).ok_or(refusal(Fault::Expected(Expected::Id), element))
}

/// An id that is left out as 0.
fn optional_id<Id>(
    value: u64,
    new: impl Fn(u64) -> Option<Id>,
    element: &'static str,
) -> Result<Option<Id>, Refusal> {
    if value == 0 { Ok(None) } else { id(value, new, element).map(Some) }
}

fn request(value: u64) -> Result<RequestId, Refusal> {
    id(value, RequestId::new, "Request")
}

/// Text of the protocol, which must not start with U+0000: in JSON that would be binary.
fn text<'a>(text: Option<&'a str>, element: &'static str) -> Result<Option<Text<'a>>, Refusal> {
    match text {
        Some(text) if text.starts_with('\0') => Err(refusal(Fault::Expected(Expected::Text), element)),
        text => Ok(text.map(Cow::Borrowed)),
    }
}

fn required_text<'a>(value: Option<&'a str>, element: &'static str) -> Result<Text<'a>, Refusal> {
    text(Some(required(value, element)?), element)?.ok_or(refusal(Fault::MissingElement, element))
}

/// The entry of a list of words that has this number.
fn word<T: Clone>(list: &[T], number: u8, element: &'static str) -> Result<T, Refusal> {
    list.get(usize::from(number)).cloned().ok_or(refusal(Fault::UnlistedValue, element))
}

/// The same where 0 is no word.
fn optional_word<'a>(
    list: &'static [&'static str],
    number: u8,
    element: &'static str,
) -> Result<Option<Text<'a>>, Refusal> {
    let word = word(list, number, element)?;
    Ok((!word.is_empty()).then_some(Cow::Borrowed(word)))
}

fn extra(entry: Option<table::EntryRef<'_>>) -> Result<Dict, Refusal> {
    let Some(entry) = entry else { return Ok(Dict::new()) };
    match (entry.key()?, entry.value()?) {
        (Some(key), Some(value)) => Ok(vec![(key.to_owned(), Value::from(value))]),
        _ => Ok(Dict::new()),
    }
}

/// The features whose fields are set.
macro_rules! features {
    ($table:expr, { $($field:ident: $feature:expr,)+ }) => {
        match $table {
            None => None,
            Some(table) => {
                let mut features = Features::default();
                $(if table.$field()?
                    && let Some(feature) = $feature
                {
                    features.insert(feature);
                })+
                Some(features)
            }
        }
    };
}

/// The body of a message of this type.
macro_rules! body {
    ($decoder:ident, $message:ident) => {
        required(table::$message::read_as_root($decoder.octets)?.body()?, "body")?
    };
}

/// Passthru keys, as Autobahn reads them.
macro_rules! passthru {
    ($body:ident) => {
        Passthru {
            enc_algo: optional_word(words::ALGORITHMS, $body.ppt_scheme()?, "enc_algo")?,
            enc_serializer: optional_word(words::SERIALIZERS, $body.ppt_serializer()?, "enc_serializer")?,
            ppt_cipher: optional_word(words::CIPHERS, $body.ppt_cipher()?, "ppt_cipher")?,
            enc_key: text($body.ppt_keyid()?, "enc_key")?,
            ..Passthru::default()
        }
    };
}

macro_rules! payload {
    ($decoder:ident, $body:ident) => {
        payload($body.args()?, $body.kwargs()?, $body.payload()?, $decoder.levels)?
    };
}

struct Decoder<'a> {
    octets: &'a [u8],
    /// Octets of text that lists may still refer to.
    budget: usize,
    /// How deep Arguments and ArgumentsKw may be nested.
    levels: usize,
}

impl<'a> Decoder<'a> {
    fn message(&mut self, found: &mut Option<MessageType>) -> Result<Message<'a>, Refusal> {
        let code = table::MessageRef::read_as_root(self.octets)?.code()?;
        let unknown = refusal(Fault::UnknownMessageType, "Type");
        let message_type = MessageType::from_code(code.into()).ok_or(unknown)?;
        *found = Some(message_type);
        match message_type {
            MessageType::Hello => self.hello(),
            MessageType::Welcome => self.welcome(),
            MessageType::Abort => self.abort(),
            MessageType::Challenge => self.challenge(),
            MessageType::Authenticate => self.authenticate(),
            MessageType::Goodbye => self.goodbye(),
            MessageType::Error => self.error(),
            MessageType::Publish => self.publish(),
            MessageType::Event => self.event(),
            MessageType::Call => self.call(),
            MessageType::Cancel => self.cancel(),
            MessageType::Result => self.result(),
            MessageType::Invocation => self.invocation(),
            MessageType::Interrupt => self.interrupt(),
            MessageType::Yield => self.yielded(),
            _ => self.of_ids(message_type),
        }
    }

    /// Messages about subscriptions and registrations, and those of nothing but ids.
    fn of_ids(&mut self, message_type: MessageType) -> Result<Message<'a>, Refusal> {
        match message_type {
            MessageType::Published => self.published(),
            MessageType::EventReceived => self.event_received(),
            MessageType::Subscribe => self.subscribe(),
            MessageType::Subscribed => self.subscribed(),
            MessageType::Unsubscribe => self.unsubscribe(),
            MessageType::Unsubscribed => self.unsubscribed(),
            MessageType::Register => self.register(),
            MessageType::Registered => self.registered(),
            MessageType::Unregister => self.unregister(),
            MessageType::Unregistered => self.unregistered(),
            _ => Err(refusal(Fault::UnknownMessageType, "Type")),
        }
    }

    fn texts(
        &mut self,
        list: Option<table::Vector<'a, Result<&'a str, table::ReadError>>>,
        element: &'static str,
    ) -> Result<Option<Vec<Text<'a>>>, Refusal> {
        let Some(list) = list else { return Ok(None) };
        check_length(list.len(), element)?;
        let texts = list.iter().map(|entry| self.charged(required_text(Some(entry?), element)?, element));
        texts.collect::<Result<_, _>>().map(Some)
    }

    fn charged(&mut self, text: Text<'a>, element: &'static str) -> Result<Text<'a>, Refusal> {
        self.budget = self.budget.checked_sub(text.len()).ok_or(refusal(Fault::TooManyEntries, element))?;
        Ok(text)
    }

    fn forwarders(
        &mut self,
        hops: Option<table::Vector<'a, Result<table::PrincipalRef<'a>, table::ReadError>>>,
    ) -> Result<Option<Vec<Forwarder<'a>>>, Refusal> {
        const ELEMENT: &str = "forward_for";
        let Some(hops) = hops else { return Ok(None) };
        check_length(hops.len(), ELEMENT)?;
        let mut forwarders = Vec::new();
        for hop in hops.iter() {
            let hop = hop?;
            let session = id(hop.session()?, SessionId::new, ELEMENT)?;
            let authid = match text(hop.authid()?, ELEMENT)? {
                Some(authid) => Some(self.charged(authid, ELEMENT)?),
                None => None,
            };
            let authrole = self.charged(required_text(hop.authrole()?, ELEMENT)?, ELEMENT)?;
            forwarders.push(Forwarder { session, authid, authrole });
        }
        Ok(Some(forwarders))
    }
}

fn check_length(length: usize, element: &'static str) -> Result<(), Refusal> {
    if length > OPTION_LIST_MAX { Err(refusal(Fault::TooManyEntries, element)) } else { Ok(()) }
}

fn sessions(
    list: Option<table::Vector<'_, u64>>,
    element: &'static str,
) -> Result<Option<Vec<SessionId>>, Refusal> {
    let Some(list) = list else { return Ok(None) };
    check_length(list.len(), element)?;
    list.iter().map(|session| id(session, SessionId::new, element)).collect::<Result<_, _>>().map(Some)
}

/// Arguments and ArgumentsKw in CBOR, or octets in their place: beside others, none are as good as absent.
fn payload<'a>(
    arguments: Option<&'a [u8]>,
    keywords: Option<&'a [u8]>,
    transparent: Option<&[u8]>,
    levels: usize,
) -> Result<Payload<'a>, Refusal> {
    let is_alone = arguments.is_none() && keywords.is_none();
    if let Some(octets) = transparent.filter(|octets| is_alone || !octets.is_empty()) {
        let mut binary = Vec::with_capacity(octets.len() + 9);
        CborWriter(&mut binary).binary(octets);
        return Ok(of_cbor(Shape::Transparent, Cow::Owned(binary), None));
    }
    let checked = |octets, kind, element| checked(octets, kind, levels, element);
    let arguments = arguments.map_or(Ok(None), |octets| checked(octets, Kind::List, "Arguments"))?;
    let keywords = keywords.map_or(Ok(None), |octets| checked(octets, Kind::Dict, "ArgumentsKw"))?;
    Ok(match (arguments, keywords) {
        (None, None) => Payload::EMPTY,
        (Some(arguments), None) => of_cbor(Shape::Arguments, Cow::Borrowed(arguments), None),
        (arguments, Some(keywords)) => {
            let arguments = arguments.unwrap_or(EMPTY_LIST);
            let octets = Cow::Owned([arguments, keywords].concat());
            of_cbor(Shape::ArgumentsAndKeywords, octets, Some(arguments.len()))
        }
    })
}

fn of_cbor(shape: Shape, octets: Cow<'_, [u8]>, arguments_size: Option<usize>) -> Payload<'_> {
    let arguments_size = u32::try_from(arguments_size.unwrap_or(octets.len())).unwrap_or(u32::MAX);
    Payload { serializer: SerializerId::Cbor, shape, octets, arguments_size }
}

/// A list or dict in CBOR; none if it is empty.
fn checked<'a>(
    octets: &'a [u8],
    kind: Kind,
    levels: usize,
    element: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    if octets.len() <= 1 && kind_of_empty(octets).is_none_or(|found| found == kind) {
        return Ok(None);
    }
    let read = |reader: &mut CborReader<'a>| {
        if reader.kind()? != kind {
            let expected = if kind == Kind::List { Expected::List } else { Expected::Dict };
            return Err(Fault::Expected(expected));
        }
        reader.skip(levels)?;
        reader.end()
    };
    let mut reader = CborReader::new(octets).map_err(|(fault, offset)| Refusal { fault, offset, element })?;
    read(&mut reader).map_err(|fault| Refusal { fault, offset: reader.offset(), element })?;
    Ok(Some(octets))
}

/// The kind of a list or dict without entries; none of nothing.
fn kind_of_empty(octets: &[u8]) -> Option<Kind> {
    match octets {
        [0x80] => Some(Kind::List),
        [0xa0] => Some(Kind::Dict),
        [] => None,
        _ => Some(Kind::Other),
    }
}

const EMPTY_LIST: &[u8] = &[0x80];

/// Messages with a payload.
impl<'a> Decoder<'a> {
    fn publish(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, PublishMessageRef);
        let extra = PublishExtra {
            exclude: sessions(body.exclude()?, "exclude")?,
            exclude_authid: self.texts(body.exclude_authid()?, "exclude_authid")?,
            exclude_authrole: self.texts(body.exclude_authrole()?, "exclude_authrole")?,
            eligible: sessions(body.eligible()?, "eligible")?,
            eligible_authid: self.texts(body.eligible_authid()?, "eligible_authid")?,
            eligible_authrole: self.texts(body.eligible_authrole()?, "eligible_authrole")?,
            transaction_hash: text(body.transaction_hash()?, "transaction_hash")?,
            passthru: passthru!(body),
            forward_for: self.forwarders(body.forward_for()?)?,
            ..PublishExtra::default()
        };
        let options = PublishOptions {
            acknowledge: body.acknowledge()?,
            exclude_me: body.exclude_me()?,
            retain: body.retain()?,
            extra: boxed(extra),
            ..PublishOptions::default()
        };
        let topic = required_text(body.topic()?, "Topic")?;
        Ok(Message::Publish {
            request: request(body.request()?)?,
            options,
            topic,
            payload: payload!(self, body),
        })
    }

    fn event(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, EventMessageRef);
        let extra = EventExtra {
            passthru: passthru!(body),
            transaction_hash: text(body.transaction_hash()?, "transaction_hash")?,
            x_acknowledged_delivery: body.acknowledge()?,
            forward_for: self.forwarders(body.forward_for()?)?,
        };
        let details = EventDetails {
            topic: text(body.topic()?, "topic")?,
            publisher: optional_id(body.publisher()?, SessionId::new, "publisher")?,
            publisher_authid: text(body.publisher_authid()?, "publisher_authid")?,
            publisher_authrole: text(body.publisher_authrole()?, "publisher_authrole")?,
            retained: body.retained()?,
            extra: boxed(extra),
            ..EventDetails::default()
        };
        let subscription = id(body.subscription()?, SubscriptionId::new, "Subscription")?;
        let publication = id(body.publication()?, PublicationId::new, "Publication")?;
        Ok(Message::Event { subscription, publication, details, payload: payload!(self, body) })
    }

    fn call(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, CallMessageRef);
        let extra = CallExtra {
            passthru: passthru!(body),
            transaction_hash: text(body.transaction_hash()?, "transaction_hash")?,
            forward_for: self.forwarders(body.forward_for()?)?,
            caller: optional_id(body.caller()?, SessionId::new, "caller")?,
            caller_authid: text(body.caller_authid()?, "caller_authid")?,
            caller_authrole: text(body.caller_authrole()?, "caller_authrole")?,
            ..CallExtra::default()
        };
        let options = CallOptions {
            receive_progress: body.receive_progress()?,
            timeout_ms: body.timeout()?.into(),
            extra: boxed(extra),
            ..CallOptions::default()
        };
        let procedure = required_text(body.procedure()?, "Procedure")?;
        Ok(Message::Call {
            request: request(body.request()?)?,
            options,
            procedure,
            payload: payload!(self, body),
        })
    }

    fn invocation(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, InvocationMessageRef);
        let extra = InvocationExtra {
            passthru: passthru!(body),
            transaction_hash: text(body.transaction_hash()?, "transaction_hash")?,
            forward_for: self.forwarders(body.forward_for()?)?,
        };
        let details = InvocationDetails {
            procedure: text(body.procedure()?, "procedure")?,
            caller: optional_id(body.caller()?, SessionId::new, "caller")?,
            caller_authid: text(body.caller_authid()?, "caller_authid")?,
            caller_authrole: text(body.caller_authrole()?, "caller_authrole")?,
            receive_progress: body.receive_progress()?,
            timeout_ms: body.timeout()?.into(),
            extra: boxed(extra),
            ..InvocationDetails::default()
        };
        let registration = id(body.registration()?, RegistrationId::new, "Registration")?;
        let request = request(body.request()?)?;
        Ok(Message::Invocation { request, registration, details, payload: payload!(self, body) })
    }

    fn result(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, ResultMessageRef);
        let details = self.result_details(&body)?;
        Ok(Message::Result { request: request(body.request()?)?, details, payload: payload!(self, body) })
    }

    fn yielded(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, YieldMessageRef);
        let options = self.result_details(&body)?;
        Ok(Message::Yield { request: request(body.request()?)?, options, payload: payload!(self, body) })
    }

    fn result_details(&mut self, body: &table::ResultRef<'a>) -> Result<ResultDetails<'a>, Refusal> {
        Ok(ResultDetails {
            progress: body.progress()?,
            callee: optional_id(body.callee()?, SessionId::new, "callee")?,
            callee_authid: text(body.callee_authid()?, "callee_authid")?,
            callee_authrole: text(body.callee_authrole()?, "callee_authrole")?,
            passthru: boxed(passthru!(body)),
            forward_for: self.forwarders(body.forward_for()?)?,
        })
    }

    fn error(&mut self) -> Result<Message<'a>, Refusal> {
        use MessageType::{Call, Invocation, Publish, Register, Subscribe, Unregister, Unsubscribe};
        let body = body!(self, ErrorMessageRef);
        let request_type = match MessageType::from_code(body.request_type()?.into()) {
            Some(of @ (Subscribe | Unsubscribe | Publish | Register | Unregister | Call | Invocation)) => of,
            _ => return Err(refusal(Fault::UnlistedValue, "RequestType")),
        };
        let details = ErrorDetails {
            passthru: boxed(passthru!(body)),
            forward_for: self.forwarders(body.forward_for()?)?,
            ..ErrorDetails::default()
        };
        let error = required_text(body.error()?, "Error")?;
        let (request, payload) = (request(body.request()?)?, payload!(self, body));
        Ok(Message::Error { request_type, request, details, error, payload })
    }
}

/// Rare options hang off a box, if there are any.
fn boxed<T: Default + PartialEq>(extra: T) -> Option<Box<T>> {
    (extra != T::default()).then(|| Box::new(extra))
}

/// Messages that open and close sessions.
impl<'a> Decoder<'a> {
    fn hello(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, HelloMessageRef);
        let methods = body.authmethods()?.unwrap_or_default();
        check_length(methods.len(), "authmethods")?;
        let method = |&number: &u8| word(words::METHODS, number, "authmethods").map(Cow::Borrowed);
        let details = HelloDetails {
            roles: client_roles(body.roles()?)?,
            authmethods: methods.iter().map(method).collect::<Result<_, _>>()?,
            authid: text(body.authid()?, "authid")?,
            authrole: text(body.authrole()?, "authrole")?,
            authextra: extra(body.authextra()?)?,
            resumable: body.resumable()?,
            resume_session: optional_id(body.resume_session()?, SessionId::new, "resume_session")?,
            resume_token: text(body.resume_token()?, "resume_token")?,
            ..HelloDetails::default()
        };
        Ok(Message::Hello { realm: text(body.realm()?, "Realm")?, details: Box::new(details) })
    }

    fn welcome(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, WelcomeMessageRef);
        let details = WelcomeDetails {
            roles: router_roles(body.roles()?)?,
            realm: text(body.realm()?, "realm")?,
            authid: text(body.authid()?, "authid")?,
            authrole: text(body.authrole()?, "authrole")?,
            authmethod: Some(Cow::Borrowed(word(words::METHODS, body.authmethod()?, "authmethod")?)),
            authprovider: text(body.authprovider()?, "authprovider")?,
            authextra: extra(body.authextra()?)?,
            resumed: body.resumed()?,
            resumable: body.resumable()?,
            resume_token: text(body.resume_token()?, "resume_token")?,
            ..WelcomeDetails::default()
        };
        let session = id(body.session()?, SessionId::new, "Session")?;
        Ok(Message::Welcome { session, details: Box::new(details) })
    }

    fn abort(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, AbortMessageRef);
        let details = CloseDetails { message: text(body.message()?, "message")?, ..CloseDetails::default() };
        Ok(Message::Abort { details, reason: required_text(body.reason()?, "Reason")? })
    }

    fn goodbye(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, GoodbyeMessageRef);
        let (message, resumable) = (text(body.message()?, "message")?, body.resumable()?);
        let details = CloseDetails { message, resumable, ..CloseDetails::default() };
        Ok(Message::Goodbye { details, reason: required_text(body.reason()?, "Reason")? })
    }

    fn challenge(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, ChallengeMessageRef);
        let method = Cow::Borrowed(word(words::METHODS, body.method()?, "AuthMethod")?);
        Ok(Message::Challenge { method, extra: extra(body.extra()?)? })
    }

    fn authenticate(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, AuthenticateMessageRef);
        // Autobahn leaves an empty signature out.
        let signature = text(body.signature()?, "Signature")?.unwrap_or_default();
        Ok(Message::Authenticate { signature, extra: extra(body.extra()?)? })
    }
}

/// A client that says nothing of its roles, as Autobahn does, has them all, with all features that there are fields for.
fn client_roles(roles: Option<table::ClientRolesRef<'_>>) -> Result<ClientRoles, Refusal> {
    let Some(roles) = roles else { return Ok(super::UNTOLD_ROLES) };
    Ok(ClientRoles {
        publisher: super::publisher_features!(features, roles.publisher()?),
        subscriber: super::subscriber_features!(features, roles.subscriber()?),
        caller: super::caller_features!(features, roles.caller()?),
        callee: super::callee_features!(features, roles.callee()?),
    })
}

fn router_roles(roles: Option<table::RouterRolesRef<'_>>) -> Result<RouterRoles, Refusal> {
    let Some(roles) = roles else { return Ok(RouterRoles::default()) };
    Ok(RouterRoles {
        broker: super::broker_features!(features, roles.broker()?),
        dealer: super::dealer_features!(features, roles.dealer()?),
    })
}

/// Messages about subscriptions, registrations and their use.
impl<'a> Decoder<'a> {
    fn published(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, PublishedMessageRef);
        let publication = id(body.publication()?, PublicationId::new, "Publication")?;
        Ok(Message::Published { request: request(body.request()?)?, publication })
    }

    fn event_received(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, EventReceivedMessageRef);
        let publication = id(body.publication()?, PublicationId::new, "Publication")?;
        Ok(Message::EventReceived { publication })
    }

    fn subscribe(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, SubscribeMessageRef);
        let options = SubscribeOptions {
            match_policy: word(&words::MATCHES, body.match_()?, "match")?,
            get_retained: body.get_retained()?,
            ..SubscribeOptions::default()
        };
        let topic = required_text(Some(body.topic()?.unwrap_or_default()), "Topic")?;
        Ok(Message::Subscribe { request: request(body.request()?)?, options, topic })
    }

    fn subscribed(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, SubscribedMessageRef);
        let subscription = id(body.subscription()?, SubscriptionId::new, "Subscription")?;
        Ok(Message::Subscribed { request: request(body.request()?)?, subscription })
    }

    fn unsubscribe(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, UnsubscribeMessageRef);
        let subscription = id(body.subscription()?, SubscriptionId::new, "Subscription")?;
        Ok(Message::Unsubscribe { request: request(body.request()?)?, subscription })
    }

    fn unsubscribed(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, UnsubscribedMessageRef);
        let request = optional_id(body.request()?, RequestId::new, "Request")?;
        let of = optional_id(body.subscription()?, SubscriptionId::new, "subscription")?;
        let revocation = revocation(request, of, text(body.reason()?, "reason")?);
        Ok(Message::Unsubscribed { request, revocation })
    }

    fn register(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, RegisterMessageRef);
        let options = RegisterOptions {
            match_policy: word(&words::MATCHES, body.match_()?, "match")?,
            invoke: word(&words::POLICIES, body.invoke()?, "invoke")?,
            concurrency: Some(body.concurrency()?.into()).filter(|concurrency| *concurrency != 0),
            force_reregister: body.force_reregister()?,
            ..RegisterOptions::default()
        };
        let procedure = required_text(Some(body.procedure()?.unwrap_or_default()), "Procedure")?;
        Ok(Message::Register { request: request(body.request()?)?, options, procedure })
    }

    fn registered(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, RegisteredMessageRef);
        let registration = id(body.registration()?, RegistrationId::new, "Registration")?;
        Ok(Message::Registered { request: request(body.request()?)?, registration })
    }

    fn unregister(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, UnregisterMessageRef);
        let registration = id(body.registration()?, RegistrationId::new, "Registration")?;
        Ok(Message::Unregister { request: request(body.request()?)?, registration })
    }

    fn unregistered(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, UnregisteredMessageRef);
        let request = optional_id(body.request()?, RequestId::new, "Request")?;
        let of = optional_id(body.registration()?, RegistrationId::new, "registration")?;
        let revocation = revocation(request, of, text(body.reason()?, "reason")?);
        Ok(Message::Unregistered { request, revocation })
    }

    fn cancel(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, CancelMessageRef);
        let mode =
            body.mode()?.map_or(Ok(CancelMode::default()), |mode| word(&words::MODES, mode, "mode"))?;
        let options = CancelOptions { mode, forward_for: self.forwarders(body.forward_for()?)? };
        Ok(Message::Cancel { request: request(body.request()?)?, options })
    }

    fn interrupt(&mut self) -> Result<Message<'a>, Refusal> {
        let body = body!(self, InterruptMessageRef);
        let mode = match body.mode()? {
            None => CancelMode::default(),
            Some(0) => return Err(refusal(Fault::UnlistedValue, "mode")),
            Some(mode) => word(&words::MODES, mode, "mode")?,
        };
        let (reason, forward_for) = (text(body.reason()?, "reason")?, self.forwarders(body.forward_for()?)?);
        let options = InterruptOptions { mode, reason, forward_for };
        Ok(Message::Interrupt { request: request(body.request()?)?, options })
    }
}

fn revocation<'a, Id>(
    request: Option<RequestId>,
    id: Option<Id>,
    reason: Option<Text<'a>>,
) -> Option<Box<Revocation<'a, Id>>> {
    request.is_none().then(|| Box::new(Revocation { id, reason }))
}
