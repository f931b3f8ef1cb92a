//! Octets to messages: one decoder for all serializers.
//!
//! The decoder notes where it is (message, element, key) before it reads, so that errors can tell without costing anything
//! where nothing is wrong.

use super::{Message, MessageType, Revocation, Text};
use crate::cbor::CborReader;
use crate::error::{DecodeError, Expected, Fault};
use crate::flatbuffers;
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::json::JsonReader;
use crate::limits::{NestingDepth, OPTION_LIST_MAX};
use crate::msgpack::MessagePackReader;
use crate::payload::Payload;
use crate::serializer::SerializerId;
use crate::ubjson::{BjdataReader, Draft12Reader};
use crate::value::Dict;
use crate::wire::value::read_dict_without_nulls;
use crate::wire::{Items, Kind, Reader};

mod options;
mod payload;

/// Decodes one message that fills `octets` completely.
///
/// The application payload is checked to be well formed but not decoded. Which direction a message may travel, and whether
/// URIs are valid, is for the session to decide.
///
/// # Errors
/// Undecodable octets and protocol violations (specification, "Messages"); both end the session with ABORT
/// `wamp.error.protocol_violation`.
pub fn decode(serializer: SerializerId, octets: &[u8]) -> Result<Message<'_>, DecodeError> {
    decode_within(serializer, octets, NestingDepth::MAX)
}

/// As [`decode`], for messages whose lists and dicts, options and payload alike, are nested no deeper than `nesting_max`.
///
/// The tables of WAMP-FlatBuffers do not count, what is in Arguments and ArgumentsKw does as in any other serializer.
///
/// # Errors
/// As [`decode`]; [`Fault::TooDeep`] if nested deeper.
pub fn decode_within(
    serializer: SerializerId,
    octets: &[u8],
    nesting_max: NestingDepth,
) -> Result<Message<'_>, DecodeError> {
    let levels = nesting_max.of_elements();
    match serializer {
        SerializerId::Json => Decoder::<JsonReader<'_>>::decode(serializer, octets, levels),
        SerializerId::MessagePack => Decoder::<MessagePackReader<'_>>::decode(serializer, octets, levels),
        SerializerId::Cbor => Decoder::<CborReader<'_>>::decode(serializer, octets, levels),
        SerializerId::Ubjson => Decoder::<Draft12Reader<'_>>::decode(serializer, octets, levels),
        SerializerId::Bjdata => Decoder::<BjdataReader<'_>>::decode(serializer, octets, levels),
        SerializerId::FlatBuffers => flatbuffers::decode(octets, levels),
    }
}

struct Decoder<R> {
    reader: R,
    serializer: SerializerId,
    /// Progress within the message.
    items: Items,
    /// How deep the next value may be nested.
    levels: usize,
    is_over: bool,
    message: Option<MessageType>,
    element: &'static str,
    key: &'static str,
}

/// Reads the entries of a dict: known keys by the expressions given (null counts as absent), the others by the last arm.
macro_rules! read_fields {
    ($decoder:ident, $key:ident, { $($name:literal $(| $alias:literal)* => $read:expr,)+ _ => $otherwise:expr $(,)? }) => {
        let mut entries = $decoder.dict()?;
        while let Some($key) = $decoder.reader.key(&mut entries)? {
            match &*$key {
                $($name $(| $alias)* => {
                    $decoder.key = $name;
                    if !$decoder.reader.null()? {
                        $read;
                    }
                })+
                _ => $otherwise,
            }
            $decoder.key = "";
        }
        $decoder.leave();
    };
}
use read_fields;

impl<'a, R: Reader<'a>> Decoder<R> {
    #[inline]
    fn decode(serializer: SerializerId, octets: &'a [u8], levels: usize) -> Result<Message<'a>, DecodeError> {
        let reader = R::new(octets).map_err(|(fault, offset)| DecodeError::without_context(fault, offset))?;
        let (items, is_over) = (Items(0), false);
        let mut decoder =
            Decoder { reader, serializer, items, levels, is_over, message: None, element: "", key: "" };
        match decoder.message_type() {
            Ok(message_type) => decoder.body(message_type),
            Err(fault) => Err(decoder.locate(fault)),
        }
    }

    /// The type code. The elements behind it are the business of [`Decoder::body`].
    #[inline(always)]
    fn message_type(&mut self) -> Result<MessageType, Fault> {
        self.items = self.reader.list()?;
        self.element("Type")?;
        let message_type =
            MessageType::from_code(self.reader.unsigned()?).ok_or(Fault::UnknownMessageType)?;
        self.message = Some(message_type);
        Ok(message_type)
    }

    /// Reads all elements behind the type code by `read` and checks that nothing follows.
    ///
    /// Only the elements pass through here: the message is put together by the caller at its final place, because moving a
    /// message (over 200 octets) costs as much as reading one.
    #[inline(always)]
    fn elements<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, DecodeError> {
        let elements = match read(self) {
            Ok(elements) => elements,
            Err(fault) => return Err(self.locate(fault)),
        };
        match self.nothing_more() {
            Ok(()) => Ok(elements),
            Err(fault) => Err(self.locate(fault)),
        }
    }

    #[inline(always)]
    fn nothing_more(&mut self) -> Result<(), Fault> {
        if self.more()? {
            return Err(Fault::ExcessElement);
        }
        self.element = "";
        self.reader.end()
    }

    #[cold]
    fn locate(&self, fault: Fault) -> DecodeError {
        let (message, element, key) = (self.message, self.element, self.key);
        DecodeError { fault, offset: self.reader.offset(), message, element, key }
    }

    #[inline(always)]
    fn body(&mut self, message_type: MessageType) -> Result<Message<'a>, DecodeError> {
        match message_type {
            MessageType::Publish => self.publish(),
            MessageType::Call => self.call(),
            MessageType::Yield => self.yielded(),
            MessageType::Event => self.event(),
            MessageType::Invocation => self.invocation(),
            MessageType::Result => self.result(),
            MessageType::Error => self.error(),
            MessageType::Hello => self.hello(),
            MessageType::Welcome => self.welcome(),
            MessageType::Abort => self.abort(),
            MessageType::Challenge => self.challenge(),
            MessageType::Authenticate => self.authenticate(),
            MessageType::Goodbye => self.goodbye(),
            MessageType::Published => self.published(),
            MessageType::Subscribe => self.subscribe(),
            MessageType::Subscribed => self.subscribed(),
            MessageType::Unsubscribe => self.unsubscribe(),
            MessageType::Unsubscribed => self.unsubscribed(),
            MessageType::EventReceived => self.event_received(),
            MessageType::Cancel => self.cancel(),
            MessageType::Register => self.register(),
            MessageType::Registered => self.registered(),
            MessageType::Unregister => self.unregister(),
            MessageType::Unregistered => self.unregistered(),
            MessageType::Interrupt => self.interrupt(),
        }
    }
}

/// Messages. The elements are read in the order in which the tuples name them.
impl<'a, R: Reader<'a>> Decoder<R> {
    fn publish(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options, topic, payload) =
            self.elements(|d| Ok((d.request()?, d.publish_options()?, d.text("Topic")?, d.payload()?)))?;
        Ok(Message::Publish { request, options, topic, payload })
    }

    fn call(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options, procedure, payload) =
            self.elements(|d| Ok((d.request()?, d.call_options()?, d.text("Procedure")?, d.payload()?)))?;
        Ok(Message::Call { request, options, procedure, payload })
    }

    fn yielded(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options, payload) =
            self.elements(|d| Ok((d.request()?, d.result_details("Options")?, d.payload()?)))?;
        Ok(Message::Yield { request, options, payload })
    }

    fn event(&mut self) -> Result<Message<'a>, DecodeError> {
        let (subscription, publication, details, payload) =
            self.elements(|d| Ok((d.subscription()?, d.publication()?, d.event_details()?, d.payload()?)))?;
        Ok(Message::Event { subscription, publication, details, payload })
    }

    fn invocation(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, registration, details, payload) =
            self.elements(|d| Ok((d.request()?, d.registration()?, d.invocation_details()?, d.payload()?)))?;
        Ok(Message::Invocation { request, registration, details, payload })
    }

    fn result(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, details, payload) =
            self.elements(|d| Ok((d.request()?, d.result_details("Details")?, d.payload()?)))?;
        Ok(Message::Result { request, details, payload })
    }

    fn error(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request_type, request, details, error, payload) = self.elements(|d| {
            Ok((d.request_type()?, d.request()?, d.error_details()?, d.text("Error")?, d.payload()?))
        })?;
        Ok(Message::Error { request_type, request, details, error, payload })
    }

    fn hello(&mut self) -> Result<Message<'a>, DecodeError> {
        let (realm, details) = self.elements(|d| Ok((d.realm()?, d.hello_details()?)))?;
        Ok(Message::Hello { realm, details })
    }

    fn welcome(&mut self) -> Result<Message<'a>, DecodeError> {
        let (session, details) = self.elements(|d| Ok((d.session_element()?, d.welcome_details()?)))?;
        Ok(Message::Welcome { session, details })
    }

    fn abort(&mut self) -> Result<Message<'a>, DecodeError> {
        let (details, reason, _arguments) =
            self.elements(|d| Ok((d.close_details()?, d.text("Reason")?, d.payload()?)))?;
        Ok(Message::Abort { details, reason })
    }

    fn challenge(&mut self) -> Result<Message<'a>, DecodeError> {
        let (method, extra) = self.elements(|d| Ok((d.text("AuthMethod")?, d.extra()?)))?;
        Ok(Message::Challenge { method, extra })
    }

    fn authenticate(&mut self) -> Result<Message<'a>, DecodeError> {
        let (signature, extra) = self.elements(|d| Ok((d.text("Signature")?, d.extra()?)))?;
        Ok(Message::Authenticate { signature, extra })
    }

    fn goodbye(&mut self) -> Result<Message<'a>, DecodeError> {
        let (details, reason) = self.elements(|d| Ok((d.close_details()?, d.text("Reason")?)))?;
        Ok(Message::Goodbye { details, reason })
    }

    fn published(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, publication) = self.elements(|d| Ok((d.request()?, d.publication()?)))?;
        Ok(Message::Published { request, publication })
    }

    fn event_received(&mut self) -> Result<Message<'a>, DecodeError> {
        let publication = self.elements(|d| d.publication())?;
        Ok(Message::EventReceived { publication })
    }

    fn subscribe(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options, topic) =
            self.elements(|d| Ok((d.request()?, d.subscribe_options()?, d.text("Topic")?)))?;
        Ok(Message::Subscribe { request, options, topic })
    }

    fn subscribed(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, subscription) = self.elements(|d| Ok((d.request()?, d.subscription()?)))?;
        Ok(Message::Subscribed { request, subscription })
    }

    fn unsubscribe(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, subscription, ()) =
            self.elements(|d| Ok((d.request()?, d.subscription()?, d.ignored_options()?)))?;
        Ok(Message::Unsubscribe { request, subscription })
    }

    fn cancel(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options) = self.elements(|d| Ok((d.request()?, d.cancel_options()?)))?;
        Ok(Message::Cancel { request, options })
    }

    fn register(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options, procedure) =
            self.elements(|d| Ok((d.request()?, d.register_options()?, d.text("Procedure")?)))?;
        Ok(Message::Register { request, options, procedure })
    }

    fn registered(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, registration) = self.elements(|d| Ok((d.request()?, d.registration()?)))?;
        Ok(Message::Registered { request, registration })
    }

    fn unregister(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, registration, ()) =
            self.elements(|d| Ok((d.request()?, d.registration()?, d.ignored_options()?)))?;
        Ok(Message::Unregister { request, registration })
    }

    fn interrupt(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, options) = self.elements(|d| Ok((d.request()?, d.interrupt_options()?)))?;
        Ok(Message::Interrupt { request, options })
    }

    fn unsubscribed(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, revocation) = self.elements(|d| {
            let request = d.request_or_zero()?;
            Ok((request, d.revocation(request, "subscription", SubscriptionId::new)?))
        })?;
        Ok(Message::Unsubscribed { request, revocation })
    }

    fn unregistered(&mut self) -> Result<Message<'a>, DecodeError> {
        let (request, revocation) = self.elements(|d| {
            let request = d.request_or_zero()?;
            Ok((request, d.revocation(request, "registration", RegistrationId::new)?))
        })?;
        Ok(Message::Unregistered { request, revocation })
    }
}

/// Elements.
impl<'a, R: Reader<'a>> Decoder<R> {
    /// Moves to an element that must be there.
    #[inline(always)]
    fn element(&mut self, name: &'static str) -> Result<(), Fault> {
        if self.optional_element(name)? { Ok(()) } else { Err(Fault::MissingElement) }
    }

    /// Moves to the next element; the end is read once only.
    #[inline(always)]
    fn more(&mut self) -> Result<bool, Fault> {
        self.is_over = self.is_over || !self.reader.next(&mut self.items)?;
        Ok(!self.is_over)
    }

    #[inline(always)]
    fn optional_element(&mut self, name: &'static str) -> Result<bool, Fault> {
        self.element = name;
        self.more()
    }

    #[inline(always)]
    fn text(&mut self, name: &'static str) -> Result<Text<'a>, Fault> {
        self.element(name)?;
        self.reader.text()
    }

    fn extra(&mut self) -> Result<Dict, Fault> {
        self.element("Extra")?;
        read_dict_without_nulls(&mut self.reader, self.levels)
    }

    #[inline(always)]
    fn request(&mut self) -> Result<RequestId, Fault> {
        self.element("Request")?;
        self.id(RequestId::new)
    }

    fn request_type(&mut self) -> Result<MessageType, Fault> {
        use MessageType::{Call, Invocation, Publish, Register, Subscribe, Unregister, Unsubscribe};
        self.element("RequestType")?;
        match MessageType::from_code(self.reader.unsigned()?) {
            Some(of @ (Subscribe | Unsubscribe | Publish | Register | Unregister | Call | Invocation)) => {
                Ok(of)
            }
            _ => Err(Fault::UnlistedValue),
        }
    }

    fn realm(&mut self) -> Result<Option<Text<'a>>, Fault> {
        self.element("Realm")?;
        if self.reader.null()? { Ok(None) } else { self.reader.text().map(Some) }
    }

    fn session_element(&mut self) -> Result<SessionId, Fault> {
        self.element("Session")?;
        self.session()
    }

    fn request_or_zero(&mut self) -> Result<Option<RequestId>, Fault> {
        self.element("Request")?;
        match self.reader.unsigned()? {
            0 => Ok(None),
            request => RequestId::new(request).map(Some).ok_or(Fault::Expected(Expected::Id)),
        }
    }

    #[inline(always)]
    fn subscription(&mut self) -> Result<SubscriptionId, Fault> {
        self.element("Subscription")?;
        self.id(SubscriptionId::new)
    }

    #[inline(always)]
    fn registration(&mut self) -> Result<RegistrationId, Fault> {
        self.element("Registration")?;
        self.id(RegistrationId::new)
    }

    #[inline(always)]
    fn publication(&mut self) -> Result<PublicationId, Fault> {
        self.element("Publication")?;
        self.id(PublicationId::new)
    }

    /// Autobahn's fourth element of UNSUBSCRIBE and UNREGISTER: must be a dict, says nothing to a router.
    fn ignored_options(&mut self) -> Result<(), Fault> {
        if !self.optional_element("Options")? || self.reader.null()? {
            return Ok(());
        }
        match self.reader.kind()? {
            Kind::Dict => self.skip(),
            _ => Err(Fault::Expected(Expected::Dict)),
        }
    }

    /// Details are due when the request is zero, and ignored otherwise.
    fn revocation<Id>(
        &mut self,
        request: Option<RequestId>,
        name: &'static str,
        new: impl Fn(u64) -> Option<Id>,
    ) -> Result<Option<Box<Revocation<'a, Id>>>, Fault> {
        if request.is_some() {
            self.ignored_details()?;
            return Ok(None);
        }
        self.element("Details")?;
        let mut revocation = Revocation { id: None, reason: None };
        let mut entries = self.dict()?;
        while let Some(key) = self.reader.key(&mut entries)? {
            let is_id = key == name;
            self.key = if is_id { name } else { "reason" };
            match &*key {
                _ if self.reader.null()? => {}
                _ if is_id => revocation.id = Some(self.id(&new)?),
                "reason" => revocation.reason = Some(self.reader.text()?),
                _ => self.skip()?,
            }
            self.key = "";
        }
        self.leave();
        Ok(Some(Box::new(revocation)))
    }

    fn ignored_details(&mut self) -> Result<(), Fault> {
        if self.optional_element("Details")? { self.skip() } else { Ok(()) }
    }
}

/// Values.
impl<'a, R: Reader<'a>> Decoder<R> {
    /// Passes over a value.
    #[inline(always)]
    fn skip(&mut self) -> Result<(), Fault> {
        self.reader.skip(self.levels)
    }

    /// Enters a dict; [`Decoder::leave`] is due behind it.
    #[inline(always)]
    fn dict(&mut self) -> Result<Items, Fault> {
        let items = self.reader.dict()?;
        self.enter()?;
        Ok(items)
    }

    /// What comes next is a level deeper.
    #[inline(always)]
    fn enter(&mut self) -> Result<(), Fault> {
        self.levels = self.levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        Ok(())
    }

    /// A list or dict is over.
    #[inline(always)]
    fn leave(&mut self) {
        self.levels += 1;
    }

    #[inline(always)]
    fn id<Id>(&mut self, new: impl Fn(u64) -> Option<Id>) -> Result<Id, Fault> {
        match self.reader.unsigned() {
            Ok(value) => new(value).ok_or(Fault::Expected(Expected::Id)),
            Err(Fault::Expected(_)) => Err(Fault::Expected(Expected::Id)),
            Err(fault) => Err(fault),
        }
    }

    fn session(&mut self) -> Result<SessionId, Fault> {
        self.id(SessionId::new)
    }

    fn positive(&mut self) -> Result<u64, Fault> {
        match self.reader.unsigned()? {
            0 => Err(Fault::Expected(Expected::PositiveInteger)),
            value => Ok(value),
        }
    }

    /// A word that must be one of a list.
    fn word<T>(&mut self, from_wire: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
        from_wire(&self.reader.text()?).ok_or(Fault::UnlistedValue)
    }

    /// A list, entry by entry.
    fn entries<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let mut items = self.reader.list()?;
        self.enter()?;
        let mut entries = Vec::new();
        while self.reader.next(&mut items)? {
            if entries.len() == OPTION_LIST_MAX {
                return Err(Fault::TooManyEntries);
            }
            entries.push(read(self)?);
        }
        self.leave();
        Ok(entries)
    }

    fn sessions(&mut self) -> Result<Vec<SessionId>, Fault> {
        self.entries(Self::session)
    }

    fn texts(&mut self) -> Result<Vec<Text<'a>>, Fault> {
        self.entries(|decoder| decoder.reader.text())
    }

    #[inline]
    fn payload(&mut self) -> Result<Payload<'a>, Fault> {
        payload::read(self)
    }
}
