//! What a client session reports to its driver.

use crossring_codec::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crossring_codec::message::{
    CancelMode, CloseDetails, ErrorDetails, EventDetails, Feature, InvocationDetails, Message, MessageType,
    ResultDetails, Text, WelcomeDetails,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use super::check::OptionFault;
use super::session::ClientState;

/// What one message of the router means. Text and payload borrow from the message.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent<'a> {
    /// WELCOME: requests may be made from now on.
    Welcome {
        /// This session.
        session: SessionId,
        /// Identity in force, roles of the router.
        details: Box<WelcomeDetails<'a>>,
    },
    /// CHALLENGE: answer with [`super::ClientSession::authenticate`], or give up with [`super::ClientSession::abort`].
    Challenged {
        /// The authentication method.
        method: Text<'a>,
        /// Specific to the method.
        extra: Dict,
    },
    /// ABORT: the session is over, or never began. No answer.
    Aborted {
        /// Why, for programs.
        reason: Text<'a>,
        /// Why, for people.
        message: Option<Text<'a>>,
    },
    /// SUBSCRIBED; also for a topic that was held already, with the same id.
    Subscribed {
        /// The SUBSCRIBE request.
        request: RequestId,
        /// Names the subscription in events.
        subscription: SubscriptionId,
    },
    /// UNSUBSCRIBED as asked for.
    Unsubscribed {
        /// The UNSUBSCRIBE request.
        request: RequestId,
        /// The subscription that is gone.
        subscription: SubscriptionId,
    },
    /// UNSUBSCRIBED by decision of the router.
    SubscriptionRevoked {
        /// The subscription that is gone.
        subscription: SubscriptionId,
        /// Why.
        reason: Option<Text<'a>>,
    },
    /// PUBLISHED.
    Published {
        /// The PUBLISH request.
        request: RequestId,
        /// The id of its events.
        publication: PublicationId,
    },
    /// EVENT.
    Event {
        /// The subscription that matched.
        subscription: SubscriptionId,
        /// The publication.
        publication: PublicationId,
        /// Topic (for patterns), publisher (if disclosed) and more.
        details: EventDetails<'a>,
        /// Arguments.
        payload: Payload<'a>,
    },
    /// REGISTERED.
    Registered {
        /// The REGISTER request.
        request: RequestId,
        /// Names the registration in invocations.
        registration: RegistrationId,
    },
    /// UNREGISTERED as asked for.
    Unregistered {
        /// The UNREGISTER request.
        request: RequestId,
        /// The registration that is gone.
        registration: RegistrationId,
    },
    /// UNREGISTERED by decision of the router.
    RegistrationRevoked {
        /// The registration that is gone.
        registration: RegistrationId,
        /// Why.
        reason: Option<Text<'a>>,
    },
    /// INVOCATION: answer with [`super::ClientSession::yield_result`] or [`super::ClientSession::yield_error`].
    Invocation {
        /// Names the invocation in the answer. Seen before: a further part of a progressive invocation.
        request: RequestId,
        /// The registration called.
        registration: RegistrationId,
        /// Procedure (for patterns), caller (if disclosed), wish for progress and more.
        details: InvocationDetails<'a>,
        /// Arguments.
        payload: Payload<'a>,
    },
    /// INTERRUPT of an invocation. With [`CancelMode::Kill`] it still has to be answered, otherwise it is forgotten.
    Interrupt {
        /// The invocation.
        request: RequestId,
        /// Whether an answer is awaited.
        mode: CancelMode,
        /// Why.
        reason: Option<Text<'a>>,
    },
    /// RESULT; further ones follow while `details.progress` is set.
    Result {
        /// The CALL request.
        request: RequestId,
        /// Progress and more.
        details: ResultDetails<'a>,
        /// Arguments.
        payload: Payload<'a>,
    },
    /// ERROR: the request has failed.
    Error {
        /// What kind of request.
        kind: MessageType,
        /// The request.
        request: RequestId,
        /// Text for people and more.
        details: ErrorDetails<'a>,
        /// Why, for programs.
        error: Text<'a>,
        /// Arguments.
        payload: Payload<'a>,
    },
    /// GOODBYE: the session is over. The transport may carry another one, if the router keeps it open.
    Goodbye {
        /// Why, for programs.
        reason: Text<'a>,
        /// Why, for people.
        message: Option<Text<'a>>,
        /// To be sent as answer; absent when this was the answer, or has crossed ours.
        reply: Option<Message<'static>>,
    },
    /// The message came late and means nothing any more (an EVENT after UNSUBSCRIBE, say).
    Ignored,
}

/// What the router must not send. The session is over; the driver sends [`ClientViolation::abort`] and closes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientViolation {
    /// A message that has no place in this state, or that only clients send.
    Unexpected {
        /// When.
        state: ClientState,
        /// What.
        message: MessageType,
    },
    /// An answer to a request that was never made, was of another kind, or is answered already.
    UnknownRequest {
        /// The kind of answer.
        message: MessageType,
        /// The request it names.
        request: RequestId,
    },
    /// ERROR for a kind of message that cannot fail so.
    ErrorOfNoRequest {
        /// The kind it names.
        kind: MessageType,
    },
    /// EVENT or revocation of a subscription that was never held.
    UnknownSubscription {
        /// The subscription it names; absent: none.
        subscription: Option<SubscriptionId>,
    },
    /// INVOCATION or revocation of a registration that was never held.
    UnknownRegistration {
        /// The registration it names; absent: none.
        registration: Option<RegistrationId>,
    },
    /// A second INVOCATION with the id of a running one that is not progressive.
    InvocationRunning {
        /// The invocation.
        request: RequestId,
    },
}

impl ClientViolation {
    /// The ABORT to send.
    pub fn abort(&self) -> Message<'static> {
        Message::Abort {
            details: CloseDetails::with_message(self.to_string()),
            reason: well_known::PROTOCOL_VIOLATION.into(),
        }
    }
}

impl std::fmt::Display for ClientViolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unexpected { state, message } => {
                write!(f, "{} while the session is {}", message.name(), state.as_str())
            }
            Self::UnknownRequest { message, request } => {
                write!(f, "{} for request {request}, which is not outstanding", message.name())
            }
            Self::ErrorOfNoRequest { kind } => write!(f, "ERROR of {}, which is no request", kind.name()),
            Self::UnknownSubscription { subscription: Some(id) } => write!(f, "unknown subscription {id}"),
            Self::UnknownSubscription { subscription: None } => f.write_str("UNSUBSCRIBED of nothing"),
            Self::UnknownRegistration { registration: Some(id) } => write!(f, "unknown registration {id}"),
            Self::UnknownRegistration { registration: None } => f.write_str("UNREGISTERED of nothing"),
            Self::InvocationRunning { request } => write!(f, "INVOCATION {request} is running already"),
        }
    }
}

impl std::error::Error for ClientViolation {}

/// Why a wish is not turned into a message.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientRefusal {
    /// Not in this state: HELLO needs a closed session, AUTHENTICATE a challenged one, all else a joined one.
    State(ClientState),
    /// As many requests are outstanding as [`super::PENDING_MAX`] allows; answers make room.
    TooManyRequests,
    /// Not a running invocation or outstanding call: over, interrupted or never there.
    NotOutstanding(RequestId),
    /// The subscription is not held.
    NotSubscribed(SubscriptionId),
    /// The registration is not held.
    NotRegistered(RegistrationId),
    /// The caller has not asked for progressive results.
    ProgressNotWanted(RequestId),
    /// The router has not announced the feature, so it would take the message for something else.
    NotOffered(Feature),
    /// An option has a value that it cannot have.
    Option(OptionFault),
}

impl From<OptionFault> for ClientRefusal {
    fn from(fault: OptionFault) -> Self {
        ClientRefusal::Option(fault)
    }
}

impl std::fmt::Display for ClientRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(state) => write!(f, "the session is {}", state.as_str()),
            Self::TooManyRequests => f.write_str("too many requests are outstanding"),
            Self::NotOutstanding(request) => write!(f, "request {request} is not outstanding"),
            Self::NotSubscribed(subscription) => write!(f, "subscription {subscription} is not held"),
            Self::NotRegistered(registration) => write!(f, "registration {registration} is not held"),
            Self::ProgressNotWanted(request) => {
                write!(f, "invocation {request} wants no progressive results")
            }
            Self::NotOffered(feature) => write!(f, "the router does not offer {}", feature.name()),
            Self::Option(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ClientRefusal {}
