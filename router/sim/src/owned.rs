//! Messages of the router, detached from its buffers, so that they can wait in a queue for their reader.

use std::borrow::Cow;

use crossring_codec::message::{
    CloseDetails, ErrorDetails, EventDetails, InterruptOptions, InvocationDetails, Message, ResultDetails,
    Revocation, Text, WelcomeDetails,
};
use crossring_codec::payload::Payload;

/// A copy that borrows nothing. The rare keys that no simulated client uses (passthru, router links) are left out; messages
/// that routers never send become an ABORT that no checker accepts.
pub fn owned(message: &Message<'_>) -> Message<'static> {
    match message {
        Message::Event { subscription, publication, details, payload } => Message::Event {
            subscription: *subscription,
            publication: *publication,
            details: event_details(details),
            payload: octets(payload),
        },
        Message::Invocation { request, registration, details, payload } => Message::Invocation {
            request: *request,
            registration: *registration,
            details: invocation_details(details),
            payload: octets(payload),
        },
        Message::Result { request, details, payload } => {
            Message::Result { request: *request, details: result_details(details), payload: octets(payload) }
        }
        Message::Error { request_type, request, details, error, payload } => Message::Error {
            request_type: *request_type,
            request: *request,
            details: ErrorDetails { message: optional(&details.message), ..ErrorDetails::default() },
            error: text(error),
            payload: octets(payload),
        },
        Message::Published { request, publication } => {
            Message::Published { request: *request, publication: *publication }
        }
        Message::Subscribed { request, subscription } => {
            Message::Subscribed { request: *request, subscription: *subscription }
        }
        Message::Registered { request, registration } => {
            Message::Registered { request: *request, registration: *registration }
        }
        Message::Unsubscribed { request, revocation } => {
            Message::Unsubscribed { request: *request, revocation: revoked(revocation.as_deref()) }
        }
        Message::Unregistered { request, revocation } => {
            Message::Unregistered { request: *request, revocation: revoked(revocation.as_deref()) }
        }
        Message::Interrupt { request, options } => Message::Interrupt {
            request: *request,
            options: InterruptOptions {
                mode: options.mode,
                reason: optional(&options.reason),
                forward_for: None,
            },
        },
        other => owned_session_message(other),
    }
}

fn owned_session_message(message: &Message<'_>) -> Message<'static> {
    match message {
        Message::Welcome { session, details } => {
            Message::Welcome { session: *session, details: Box::new(welcome_details(details)) }
        }
        Message::Challenge { method, extra } => {
            Message::Challenge { method: text(method), extra: extra.clone() }
        }
        Message::Abort { details, reason } => {
            Message::Abort { details: close_details(details), reason: text(reason) }
        }
        Message::Goodbye { details, reason } => {
            Message::Goodbye { details: close_details(details), reason: text(reason) }
        }
        other => {
            let reason = format!("simulator.routers_do_not_send.{}", other.message_type().name());
            Message::Abort { details: CloseDetails::default(), reason: reason.into() }
        }
    }
}

fn text(text: &Text<'_>) -> Text<'static> {
    Cow::Owned(text.as_ref().to_owned())
}

fn optional(text_or_none: &Option<Text<'_>>) -> Option<Text<'static>> {
    text_or_none.as_ref().map(text)
}

fn octets(payload: &Payload<'_>) -> Payload<'static> {
    payload.borrowed().into_owned()
}

fn event_details(details: &EventDetails<'_>) -> EventDetails<'static> {
    EventDetails {
        topic: optional(&details.topic),
        publisher: details.publisher,
        publisher_authid: optional(&details.publisher_authid),
        publisher_authrole: optional(&details.publisher_authrole),
        trustlevel: details.trustlevel,
        retained: details.retained,
        extra: None,
    }
}

fn invocation_details(details: &InvocationDetails<'_>) -> InvocationDetails<'static> {
    InvocationDetails {
        procedure: optional(&details.procedure),
        caller: details.caller,
        caller_authid: optional(&details.caller_authid),
        caller_authrole: optional(&details.caller_authrole),
        trustlevel: details.trustlevel,
        receive_progress: details.receive_progress,
        progress: details.progress,
        timeout_ms: details.timeout_ms,
        extra: None,
    }
}

fn result_details(details: &ResultDetails<'_>) -> ResultDetails<'static> {
    ResultDetails { progress: details.progress, callee: details.callee, ..ResultDetails::default() }
}

fn close_details(details: &CloseDetails<'_>) -> CloseDetails<'static> {
    CloseDetails { message: optional(&details.message), resumable: details.resumable, scram: None }
}

fn welcome_details(details: &WelcomeDetails<'_>) -> WelcomeDetails<'static> {
    WelcomeDetails {
        roles: details.roles,
        realm: optional(&details.realm),
        authid: optional(&details.authid),
        authrole: optional(&details.authrole),
        authmethod: optional(&details.authmethod),
        authprovider: optional(&details.authprovider),
        agent: optional(&details.agent),
        ..WelcomeDetails::default()
    }
}

fn revoked<Id: Copy>(revocation: Option<&Revocation<'_, Id>>) -> Option<Box<Revocation<'static, Id>>> {
    revocation.map(|given| Box::new(Revocation { id: given.id, reason: optional(&given.reason) }))
}
