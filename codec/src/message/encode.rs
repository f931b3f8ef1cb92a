//! Messages to octets: one encoder for all serializers.
//!
//! Forms are the shortest, dicts have a fixed order, fields with their default value are left out.

use super::{Message, MessageType, Revocation};
use crate::cbor::CborWriter;
use crate::error::EncodeError;
use crate::flatbuffers;
use crate::id::RequestId;
use crate::json::JsonWriter;
use crate::limits::MESSAGE_SIZE_MAX;
use crate::msgpack::MessagePackWriter;
use crate::payload::{Payload, Shape};
use crate::serializer::SerializerId;
use crate::transcode::transcode_into;
use crate::ubjson::{BjdataWriter, Draft12Writer};
use crate::value::Dict;
use crate::wire::Writer;
use crate::wire::value::write_dict;

mod options;

use options::Fields;

/// What the elements before the payload take, apart from long URIs and options.
const HEADER_SIZE_USUAL: usize = 128;

/// Appends the encoded message to `out`.
///
/// A payload of another serializer is transcoded on the way.
///
/// # Errors
/// The payload (or the extra of HELLO, WELCOME, CHALLENGE, AUTHENTICATE) holds what the serializer lacks, or the message is
/// longer than [`MESSAGE_SIZE_MAX`]. `out` is then as it was.
pub fn encode(serializer: SerializerId, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.reserve(HEADER_SIZE_USUAL + payload_size(message));
    let written = match serializer {
        SerializerId::Json => Encoder { writer: JsonWriter::new(out), serializer }.message(message),
        SerializerId::MessagePack => Encoder { writer: MessagePackWriter(out), serializer }.message(message),
        SerializerId::Cbor => Encoder { writer: CborWriter(out), serializer }.message(message),
        SerializerId::Ubjson => Encoder { writer: Draft12Writer::new(out), serializer }.message(message),
        SerializerId::Bjdata => Encoder { writer: BjdataWriter::new(out), serializer }.message(message),
        SerializerId::FlatBuffers => flatbuffers::encode(message, out),
    };
    let checked = match written {
        Ok(()) if out.len() - start > MESSAGE_SIZE_MAX => Err(EncodeError::TooLarge),
        written => written,
    };
    if checked.is_err() {
        out.truncate(start);
    }
    checked
}

fn payload_size(message: &Message<'_>) -> usize {
    message.payload().map_or(0, |payload| payload.octets.len())
}

struct Encoder<W> {
    writer: W,
    serializer: SerializerId,
}

impl<W: Writer> Encoder<W> {
    #[inline(always)]
    fn message(mut self, message: &Message<'_>) -> Result<(), EncodeError> {
        match message {
            Message::Event { subscription, publication, details, payload } => {
                self.open(MessageType::Event, 4 + payload.element_count());
                self.writer.unsigned(subscription.get());
                self.writer.unsigned(publication.get());
                self.fields(|fields| fields.event_details(details));
                self.payload(payload)?;
            }
            Message::Invocation { request, registration, details, payload } => {
                self.open(MessageType::Invocation, 4 + payload.element_count());
                self.writer.unsigned(request.get());
                self.writer.unsigned(registration.get());
                self.fields(|fields| fields.invocation_details(details));
                self.payload(payload)?;
            }
            Message::Result { request, details, payload } => {
                self.open(MessageType::Result, 3 + payload.element_count());
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.result_details(details));
                self.payload(payload)?;
            }
            Message::Publish { request, options, topic, payload } => {
                self.open(MessageType::Publish, 4 + payload.element_count());
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.publish_options(options));
                self.writer.text(topic);
                self.payload(payload)?;
            }
            Message::Call { request, options, procedure, payload } => {
                self.open(MessageType::Call, 4 + payload.element_count());
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.call_options(options));
                self.writer.text(procedure);
                self.payload(payload)?;
            }
            Message::Yield { request, options, payload } => {
                self.open(MessageType::Yield, 3 + payload.element_count());
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.result_details(options));
                self.payload(payload)?;
            }
            Message::Error { request_type, request, details, error, payload } => {
                self.open(MessageType::Error, 5 + payload.element_count());
                self.writer.unsigned(request_type.code().into());
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.error_details(details));
                self.writer.text(error);
                self.payload(payload)?;
            }
            _ => self.without_payload(message)?,
        }
        self.writer.end_list();
        Ok(())
    }

    #[inline(never)]
    fn without_payload(&mut self, message: &Message<'_>) -> Result<(), EncodeError> {
        match message {
            Message::Published { request, publication } => {
                self.ids(MessageType::Published, &[request.get(), publication.get()]);
            }
            Message::Subscribed { request, subscription } => {
                self.ids(MessageType::Subscribed, &[request.get(), subscription.get()]);
            }
            Message::Registered { request, registration } => {
                self.ids(MessageType::Registered, &[request.get(), registration.get()]);
            }
            Message::Unsubscribe { request, subscription } => {
                self.ids(MessageType::Unsubscribe, &[request.get(), subscription.get()]);
            }
            Message::Unregister { request, registration } => {
                self.ids(MessageType::Unregister, &[request.get(), registration.get()]);
            }
            Message::EventReceived { publication } => {
                self.ids(MessageType::EventReceived, &[publication.get()]);
            }
            Message::Unsubscribed { request, revocation } => {
                self.revoked(
                    MessageType::Unsubscribed,
                    *request,
                    revocation.as_deref(),
                    |fields, revocation| {
                        fields.id("subscription", revocation.id.map(|id| id.get()));
                    },
                );
            }
            Message::Unregistered { request, revocation } => {
                self.revoked(
                    MessageType::Unregistered,
                    *request,
                    revocation.as_deref(),
                    |fields, revocation| {
                        fields.id("registration", revocation.id.map(|id| id.get()));
                    },
                );
            }
            _ => return self.with_options(message),
        }
        Ok(())
    }

    fn with_options(&mut self, message: &Message<'_>) -> Result<(), EncodeError> {
        match message {
            Message::Subscribe { request, options, topic } => {
                self.open(MessageType::Subscribe, 4);
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.subscribe_options(options));
                self.writer.text(topic);
            }
            Message::Register { request, options, procedure } => {
                self.open(MessageType::Register, 4);
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.register_options(options));
                self.writer.text(procedure);
            }
            Message::Cancel { request, options } => {
                self.open(MessageType::Cancel, 3);
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.cancel_options(options));
            }
            Message::Interrupt { request, options } => {
                self.open(MessageType::Interrupt, 3);
                self.writer.unsigned(request.get());
                self.fields(|fields| fields.interrupt_options(options));
            }
            _ => return self.of_session(message),
        }
        Ok(())
    }

    /// Messages that open and close sessions.
    fn of_session(&mut self, message: &Message<'_>) -> Result<(), EncodeError> {
        self.open(message.message_type(), 3);
        match message {
            Message::Hello { realm, details } => {
                match realm {
                    Some(realm) => self.writer.text(realm),
                    None => self.writer.null(),
                }
                self.try_fields(|fields| fields.hello_details(details))?;
            }
            Message::Welcome { session, details } => {
                self.writer.unsigned(session.get());
                self.try_fields(|fields| fields.welcome_details(details))?;
            }
            Message::Abort { details, reason } | Message::Goodbye { details, reason } => {
                self.fields(|fields| fields.close_details(details));
                self.writer.text(reason);
            }
            Message::Challenge { method: text, extra } | Message::Authenticate { signature: text, extra } => {
                self.writer.text(text);
                self.extra(extra)?;
            }
            _ => unreachable!("every other message is encoded by the callers"),
        }
        Ok(())
    }

    #[inline(always)]
    fn open(&mut self, message_type: MessageType, count: usize) {
        self.writer.list(count);
        self.writer.unsigned(message_type.code().into());
    }

    fn ids(&mut self, message_type: MessageType, ids: &[u64]) {
        self.open(message_type, 1 + ids.len());
        ids.iter().for_each(|id| self.writer.unsigned(*id));
    }

    fn revoked<Id>(
        &mut self,
        message_type: MessageType,
        request: Option<RequestId>,
        revocation: Option<&Revocation<'_, Id>>,
        id: impl FnOnce(&mut Fields<'_, W>, &Revocation<'_, Id>),
    ) {
        match (request, revocation) {
            (Some(request), _) => self.ids(message_type, &[request.get()]),
            (None, revocation) => {
                self.open(message_type, 3);
                self.writer.unsigned(0);
                self.fields(|fields| {
                    if let Some(revocation) = revocation {
                        id(fields, revocation);
                        fields.text("reason", revocation.reason.as_deref());
                    }
                });
            }
        }
    }

    #[inline(always)]
    fn fields(&mut self, write: impl FnOnce(&mut Fields<'_, W>)) {
        let mut fields = Fields::open(&mut self.writer);
        write(&mut fields);
        fields.close();
    }

    fn try_fields(
        &mut self,
        write: impl FnOnce(&mut Fields<'_, W>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut fields = Fields::open(&mut self.writer);
        write(&mut fields)?;
        fields.close();
        Ok(())
    }

    fn extra(&mut self, extra: &Dict) -> Result<(), EncodeError> {
        write_dict(&mut self.writer, extra).map_err(EncodeError::Unrepresentable)
    }

    #[inline(always)]
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), EncodeError> {
        if payload.shape == Shape::Empty {
            return Ok(());
        }
        if payload.serializer != self.serializer {
            return transcode_into(payload, &mut self.writer).map(drop).map_err(EncodeError::Unrepresentable);
        }
        self.writer.raw(&payload.octets);
        Ok(())
    }
}
