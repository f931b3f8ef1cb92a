//! Octets to messages: one decoder for all serializers.
//!
//! The decoder notes where it is (message, element, key) before it reads, so that errors can tell without costing anything
//! where nothing is wrong.

use super::{CloseDetails, Message, MessageType, Revocation, Text};
use crate::cbor::CborReader;
use crate::error::{DecodeError, Expected, Fault};
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::json::JsonReader;
use crate::limits::OPTION_LIST_MAX;
use crate::msgpack::MessagePackReader;
use crate::payload::Payload;
use crate::serializer::SerializerId;
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
    match serializer {
        SerializerId::Json => Decoder::<JsonReader<'_>>::decode(serializer, octets),
        SerializerId::MessagePack => Decoder::<MessagePackReader<'_>>::decode(serializer, octets),
        SerializerId::Cbor => Decoder::<CborReader<'_>>::decode(serializer, octets),
    }
}

struct Decoder<R> {
    reader: R,
    serializer: SerializerId,
    /// Progress within the message.
    items: Items,
    is_over: bool,
    message: Option<MessageType>,
    element: &'static str,
    key: &'static str,
}

/// Reads the entries of a dict: known keys by the expressions given (null counts as absent), the others by the last arm.
macro_rules! read_fields {
    ($decoder:ident, $key:ident, { $($name:literal $(| $alias:literal)* => $read:expr,)+ _ => $otherwise:expr $(,)? }) => {
        let mut entries = $decoder.reader.dict()?;
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
    };
}
use read_fields;

impl<'a, R: Reader<'a>> Decoder<R> {
    #[inline]
    fn decode(serializer: SerializerId, octets: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let reader = R::new(octets).map_err(|(fault, offset)| DecodeError::without_context(fault, offset))?;
        let (items, is_over) = (Items(0), false);
        let mut decoder = Decoder { reader, serializer, items, is_over, message: None, element: "", key: "" };
        match decoder.message() {
            Ok(message) => Ok(message),
            Err(fault) => Err(decoder.locate(fault)),
        }
    }

    #[cold]
    fn locate(&self, fault: Fault) -> DecodeError {
        let (message, element, key) = (self.message, self.element, self.key);
        DecodeError { fault, offset: self.reader.offset(), message, element, key }
    }

    #[inline(always)]
    fn message(&mut self) -> Result<Message<'a>, Fault> {
        self.items = self.reader.list()?;
        self.element("Type")?;
        let message_type =
            MessageType::from_code(self.reader.unsigned()?).ok_or(Fault::UnknownMessageType)?;
        self.message = Some(message_type);
        let message = self.body(message_type)?;
        if self.more()? {
            return Err(Fault::ExcessElement);
        }
        self.element = "";
        self.reader.end()?;
        Ok(message)
    }

    #[inline(always)]
    fn body(&mut self, message_type: MessageType) -> Result<Message<'a>, Fault> {
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

    fn publish(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        let options = self.publish_options()?;
        let topic = self.text_element("Topic")?;
        Ok(Message::Publish { request, options, topic, payload: self.payload()? })
    }

    fn call(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        let options = self.call_options()?;
        let procedure = self.text_element("Procedure")?;
        Ok(Message::Call { request, options, procedure, payload: self.payload()? })
    }

    fn yielded(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        let options = self.result_details()?;
        Ok(Message::Yield { request, options, payload: self.payload()? })
    }

    fn event(&mut self) -> Result<Message<'a>, Fault> {
        let subscription = self.subscription()?;
        let publication = self.publication()?;
        self.element("Details")?;
        let details = self.event_details()?;
        Ok(Message::Event { subscription, publication, details, payload: self.payload()? })
    }

    fn invocation(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        let registration = self.registration()?;
        self.element("Details")?;
        let details = self.invocation_details()?;
        Ok(Message::Invocation { request, registration, details, payload: self.payload()? })
    }

    fn result(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Details")?;
        let details = self.result_details()?;
        Ok(Message::Result { request, details, payload: self.payload()? })
    }

    fn error(&mut self) -> Result<Message<'a>, Fault> {
        self.element("RequestType")?;
        let request_type = self.request_type()?;
        let request = self.request()?;
        self.element("Details")?;
        let details = self.error_details()?;
        let error = self.text_element("Error")?;
        Ok(Message::Error { request_type, request, details, error, payload: self.payload()? })
    }

    fn request_type(&mut self) -> Result<MessageType, Fault> {
        use MessageType::{Call, Invocation, Publish, Register, Subscribe, Unregister, Unsubscribe};
        match MessageType::from_code(self.reader.unsigned()?) {
            Some(of @ (Subscribe | Unsubscribe | Publish | Register | Unregister | Call | Invocation)) => {
                Ok(of)
            }
            _ => Err(Fault::UnlistedValue),
        }
    }

    fn hello(&mut self) -> Result<Message<'a>, Fault> {
        self.element("Realm")?;
        let realm = if self.reader.null()? { None } else { Some(self.reader.text()?) };
        self.element("Details")?;
        Ok(Message::Hello { realm, details: Box::new(self.hello_details()?) })
    }

    fn welcome(&mut self) -> Result<Message<'a>, Fault> {
        self.element("Session")?;
        let session = self.session()?;
        self.element("Details")?;
        Ok(Message::Welcome { session, details: Box::new(self.welcome_details()?) })
    }

    fn abort(&mut self) -> Result<Message<'a>, Fault> {
        let (details, reason) = self.close()?;
        self.payload()?;
        Ok(Message::Abort { details, reason })
    }

    fn goodbye(&mut self) -> Result<Message<'a>, Fault> {
        let (details, reason) = self.close()?;
        Ok(Message::Goodbye { details, reason })
    }

    fn close(&mut self) -> Result<(CloseDetails<'a>, Text<'a>), Fault> {
        self.element("Details")?;
        let details = self.close_details()?;
        Ok((details, self.text_element("Reason")?))
    }

    fn challenge(&mut self) -> Result<Message<'a>, Fault> {
        let method = self.text_element("AuthMethod")?;
        Ok(Message::Challenge { method, extra: self.extra_element()? })
    }

    fn authenticate(&mut self) -> Result<Message<'a>, Fault> {
        let signature = self.text_element("Signature")?;
        Ok(Message::Authenticate { signature, extra: self.extra_element()? })
    }

    fn published(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        Ok(Message::Published { request, publication: self.publication()? })
    }

    fn event_received(&mut self) -> Result<Message<'a>, Fault> {
        Ok(Message::EventReceived { publication: self.publication()? })
    }

    fn subscribe(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        let options = self.subscribe_options()?;
        Ok(Message::Subscribe { request, options, topic: self.text_element("Topic")? })
    }

    fn subscribed(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        Ok(Message::Subscribed { request, subscription: self.subscription()? })
    }

    fn unsubscribe(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        let subscription = self.subscription()?;
        self.ignored_options()?;
        Ok(Message::Unsubscribe { request, subscription })
    }

    fn unsubscribed(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request_or_zero()?;
        let revocation = self.revocation(request, "subscription", SubscriptionId::new)?;
        Ok(Message::Unsubscribed { request, revocation })
    }

    fn cancel(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        Ok(Message::Cancel { request, options: self.cancel_options()? })
    }

    fn register(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        let options = self.register_options()?;
        Ok(Message::Register { request, options, procedure: self.text_element("Procedure")? })
    }

    fn registered(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        Ok(Message::Registered { request, registration: self.registration()? })
    }

    fn unregister(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        let registration = self.registration()?;
        self.ignored_options()?;
        Ok(Message::Unregister { request, registration })
    }

    fn unregistered(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request_or_zero()?;
        let revocation = self.revocation(request, "registration", RegistrationId::new)?;
        Ok(Message::Unregistered { request, revocation })
    }

    fn interrupt(&mut self) -> Result<Message<'a>, Fault> {
        let request = self.request()?;
        self.element("Options")?;
        Ok(Message::Interrupt { request, options: self.interrupt_options()? })
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
    fn text_element(&mut self, name: &'static str) -> Result<Text<'a>, Fault> {
        self.element(name)?;
        self.reader.text()
    }

    fn extra_element(&mut self) -> Result<Dict, Fault> {
        self.element("Extra")?;
        read_dict_without_nulls(&mut self.reader)
    }

    #[inline(always)]
    fn request(&mut self) -> Result<RequestId, Fault> {
        self.element("Request")?;
        self.id(RequestId::new)
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
            Kind::Dict => self.reader.skip(),
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
        let mut entries = self.reader.dict()?;
        while let Some(key) = self.reader.key(&mut entries)? {
            let is_id = key == name;
            self.key = if is_id { name } else { "reason" };
            match &*key {
                _ if self.reader.null()? => {}
                _ if is_id => revocation.id = Some(self.id(&new)?),
                "reason" => revocation.reason = Some(self.reader.text()?),
                _ => self.reader.skip()?,
            }
            self.key = "";
        }
        Ok(Some(Box::new(revocation)))
    }

    fn ignored_details(&mut self) -> Result<(), Fault> {
        if self.optional_element("Details")? { self.reader.skip() } else { Ok(()) }
    }
}

/// Values.
impl<'a, R: Reader<'a>> Decoder<R> {
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
        let mut entries = Vec::new();
        while self.reader.next(&mut items)? {
            if entries.len() == OPTION_LIST_MAX {
                return Err(Fault::TooManyEntries);
            }
            entries.push(read(self)?);
        }
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
