//! The WAMP messages, one variant per type, with typed options and details.
//!
//! A decoded message borrows from the received octets: text as `Cow` (owned only where the serializer had to unescape it),
//! the application payload as a validated slice that is never decoded ([`Payload`]). Nothing is allocated for the options
//! that are common on the hot path; rare ones hang off a box.

use std::borrow::Cow;

use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::payload::Payload;
use crate::value::Dict;

pub mod decode;
pub mod encode;
mod features;
mod options;
mod owned;

pub use features::{ClientRoles, Feature, Features, RouterRoles};
pub use options::{
    CallExtra, CallOptions, CancelMode, CancelOptions, ErrorDetails, EventDetails, EventExtra, Forwarder,
    HelloDetails, InterruptOptions, InvocationDetails, InvocationExtra, InvocationPolicy, Passthru,
    PublishExtra, PublishOptions, RegisterOptions, ResultDetails, Revocation, SubscribeOptions,
    WelcomeDetails, YieldOptions,
};

/// Text that is borrowed from the frame where possible.
pub type Text<'a> = Cow<'a, str>;

/// A WAMP message. Field order and names follow the specification.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the fields are the elements of the layout above each variant
pub enum Message<'a> {
    /// `[1, Realm|uri, Details|dict]`; a realm of `null` asks the router to assign one.
    Hello { realm: Option<Text<'a>>, details: Box<HelloDetails<'a>> },
    /// `[2, Session|id, Details|dict]`
    Welcome { session: SessionId, details: Box<WelcomeDetails<'a>> },
    /// `[3, Details|dict, Reason|uri]`; Arguments of a peer are accepted and dropped.
    Abort { details: CloseDetails<'a>, reason: Text<'a> },
    /// `[4, AuthMethod|string, Extra|dict]`
    Challenge { method: Text<'a>, extra: Dict },
    /// `[5, Signature|string, Extra|dict]`
    Authenticate { signature: Text<'a>, extra: Dict },
    /// `[6, Details|dict, Reason|uri]`
    Goodbye { details: CloseDetails<'a>, reason: Text<'a> },
    /// `[8, REQUEST.Type|int, REQUEST.Request|id, Details|dict, Error|uri, Arguments?, ArgumentsKw?]`
    Error {
        request_type: MessageType,
        request: RequestId,
        details: ErrorDetails<'a>,
        error: Text<'a>,
        payload: Payload<'a>,
    },
    /// `[16, Request|id, Options|dict, Topic|uri, Arguments?, ArgumentsKw?]`
    Publish { request: RequestId, options: PublishOptions<'a>, topic: Text<'a>, payload: Payload<'a> },
    /// `[17, PUBLISH.Request|id, Publication|id]`
    Published { request: RequestId, publication: PublicationId },
    /// `[32, Request|id, Options|dict, Topic|uri]`
    Subscribe { request: RequestId, options: SubscribeOptions<'a>, topic: Text<'a> },
    /// `[33, SUBSCRIBE.Request|id, Subscription|id]`
    Subscribed { request: RequestId, subscription: SubscriptionId },
    /// `[34, Request|id, SUBSCRIBED.Subscription|id]`, a fourth element (options) is accepted.
    Unsubscribe { request: RequestId, subscription: SubscriptionId },
    /// `[35, UNSUBSCRIBE.Request|id]`, or with request `None` (0 on the wire) and details: revocation by the router.
    Unsubscribed { request: Option<RequestId>, revocation: Option<Box<Revocation<'a, SubscriptionId>>> },
    /// `[36, SUBSCRIBED.Subscription|id, PUBLISHED.Publication|id, Details|dict, Arguments?, ArgumentsKw?]`
    Event {
        subscription: SubscriptionId,
        publication: PublicationId,
        details: EventDetails<'a>,
        payload: Payload<'a>,
    },
    /// `[337, EVENT.Publication|id]`
    EventReceived { publication: PublicationId },
    /// `[48, Request|id, Options|dict, Procedure|uri, Arguments?, ArgumentsKw?]`
    Call { request: RequestId, options: CallOptions<'a>, procedure: Text<'a>, payload: Payload<'a> },
    /// `[49, CALL.Request|id, Options|dict]`
    Cancel { request: RequestId, options: CancelOptions<'a> },
    /// `[50, CALL.Request|id, Details|dict, Arguments?, ArgumentsKw?]`
    Result { request: RequestId, details: ResultDetails<'a>, payload: Payload<'a> },
    /// `[64, Request|id, Options|dict, Procedure|uri]`
    Register { request: RequestId, options: RegisterOptions<'a>, procedure: Text<'a> },
    /// `[65, REGISTER.Request|id, Registration|id]`
    Registered { request: RequestId, registration: RegistrationId },
    /// `[66, Request|id, REGISTERED.Registration|id]`, a fourth element (options) is accepted.
    Unregister { request: RequestId, registration: RegistrationId },
    /// `[67, UNREGISTER.Request|id]`, or with request `None` (0 on the wire) and details: revocation by the router.
    Unregistered { request: Option<RequestId>, revocation: Option<Box<Revocation<'a, RegistrationId>>> },
    /// `[68, Request|id, REGISTERED.Registration|id, Details|dict, Arguments?, ArgumentsKw?]`
    Invocation {
        request: RequestId,
        registration: RegistrationId,
        details: InvocationDetails<'a>,
        payload: Payload<'a>,
    },
    /// `[69, INVOCATION.Request|id, Options|dict]`
    Interrupt { request: RequestId, options: InterruptOptions<'a> },
    /// `[70, INVOCATION.Request|id, Options|dict, Arguments?, ArgumentsKw?]`
    Yield { request: RequestId, options: YieldOptions<'a>, payload: Payload<'a> },
}

/// `Details` of ABORT and GOODBYE.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloseDetails<'a> {
    /// Text for people.
    pub message: Option<Text<'a>>,
    /// GOODBYE: the session may be resumed.
    pub resumable: bool,
    /// ABORT: SCRAM server-error-value.
    pub scram: Option<Text<'a>>,
}

impl<'a> CloseDetails<'a> {
    /// Details that carry just a text.
    pub fn with_message(message: impl Into<Text<'a>>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }
}

/// The type code of a message, element 0 on the wire.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[repr(u16)]
#[allow(missing_docs)] // the names are those of the specification
pub enum MessageType {
    Hello = 1,
    Welcome = 2,
    Abort = 3,
    Challenge = 4,
    Authenticate = 5,
    Goodbye = 6,
    Error = 8,
    Publish = 16,
    Published = 17,
    Subscribe = 32,
    Subscribed = 33,
    Unsubscribe = 34,
    Unsubscribed = 35,
    Event = 36,
    EventReceived = 337,
    Call = 48,
    Cancel = 49,
    Result = 50,
    Register = 64,
    Registered = 65,
    Unregister = 66,
    Unregistered = 67,
    Invocation = 68,
    Interrupt = 69,
    Yield = 70,
}

impl MessageType {
    /// Every message type, in the order of the codes.
    pub const ALL: [MessageType; 25] = [
        MessageType::Hello,
        MessageType::Welcome,
        MessageType::Abort,
        MessageType::Challenge,
        MessageType::Authenticate,
        MessageType::Goodbye,
        MessageType::Error,
        MessageType::Publish,
        MessageType::Published,
        MessageType::Subscribe,
        MessageType::Subscribed,
        MessageType::Unsubscribe,
        MessageType::Unsubscribed,
        MessageType::Event,
        MessageType::Call,
        MessageType::Cancel,
        MessageType::Result,
        MessageType::Register,
        MessageType::Registered,
        MessageType::Unregister,
        MessageType::Unregistered,
        MessageType::Invocation,
        MessageType::Interrupt,
        MessageType::Yield,
        MessageType::EventReceived,
    ];

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Reads a code; 37 stands for EVENT_RECEIVED too (reserved for it on ratification).
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Abort,
            4 => Self::Challenge,
            5 => Self::Authenticate,
            6 => Self::Goodbye,
            8 => Self::Error,
            16 => Self::Publish,
            17 => Self::Published,
            32 => Self::Subscribe,
            33 => Self::Subscribed,
            34 => Self::Unsubscribe,
            35 => Self::Unsubscribed,
            36 => Self::Event,
            37 | 337 => Self::EventReceived,
            48 => Self::Call,
            49 => Self::Cancel,
            50 => Self::Result,
            64 => Self::Register,
            65 => Self::Registered,
            66 => Self::Unregister,
            67 => Self::Unregistered,
            68 => Self::Invocation,
            69 => Self::Interrupt,
            70 => Self::Yield,
            _ => return None,
        })
    }

    /// The name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::Abort => "ABORT",
            Self::Challenge => "CHALLENGE",
            Self::Authenticate => "AUTHENTICATE",
            Self::Goodbye => "GOODBYE",
            Self::Error => "ERROR",
            Self::Publish => "PUBLISH",
            Self::Published => "PUBLISHED",
            Self::Subscribe => "SUBSCRIBE",
            Self::Subscribed => "SUBSCRIBED",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::Event => "EVENT",
            Self::EventReceived => "EVENT_RECEIVED",
            Self::Call => "CALL",
            Self::Cancel => "CANCEL",
            Self::Result => "RESULT",
            Self::Register => "REGISTER",
            Self::Registered => "REGISTERED",
            Self::Unregister => "UNREGISTER",
            Self::Unregistered => "UNREGISTERED",
            Self::Invocation => "INVOCATION",
            Self::Interrupt => "INTERRUPT",
            Self::Yield => "YIELD",
        }
    }
}

impl<'a> Message<'a> {
    /// The payload, if messages of this type have one.
    #[inline]
    pub const fn payload(&self) -> Option<&Payload<'a>> {
        match self {
            Message::Publish { payload, .. }
            | Message::Event { payload, .. }
            | Message::Call { payload, .. }
            | Message::Invocation { payload, .. }
            | Message::Yield { payload, .. }
            | Message::Result { payload, .. }
            | Message::Error { payload, .. } => Some(payload),
            _ => None,
        }
    }
}

impl Message<'_> {
    /// The type of this message.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Message::Hello { .. } => MessageType::Hello,
            Message::Welcome { .. } => MessageType::Welcome,
            Message::Abort { .. } => MessageType::Abort,
            Message::Challenge { .. } => MessageType::Challenge,
            Message::Authenticate { .. } => MessageType::Authenticate,
            Message::Goodbye { .. } => MessageType::Goodbye,
            Message::Error { .. } => MessageType::Error,
            Message::Publish { .. } => MessageType::Publish,
            Message::Published { .. } => MessageType::Published,
            Message::Subscribe { .. } => MessageType::Subscribe,
            Message::Subscribed { .. } => MessageType::Subscribed,
            Message::Unsubscribe { .. } => MessageType::Unsubscribe,
            Message::Unsubscribed { .. } => MessageType::Unsubscribed,
            Message::Event { .. } => MessageType::Event,
            Message::EventReceived { .. } => MessageType::EventReceived,
            Message::Call { .. } => MessageType::Call,
            Message::Cancel { .. } => MessageType::Cancel,
            Message::Result { .. } => MessageType::Result,
            Message::Register { .. } => MessageType::Register,
            Message::Registered { .. } => MessageType::Registered,
            Message::Unregister { .. } => MessageType::Unregister,
            Message::Unregistered { .. } => MessageType::Unregistered,
            Message::Invocation { .. } => MessageType::Invocation,
            Message::Interrupt { .. } => MessageType::Interrupt,
            Message::Yield { .. } => MessageType::Yield,
        }
    }
}

const _: () = assert!(size_of::<Message<'static>>() <= 224, "messages are moved by value on the hot path");
