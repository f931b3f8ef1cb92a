//! Detaching a message from the octets it was decoded from.

use std::borrow::Cow;

use super::{
    CallExtra, CallOptions, CancelOptions, CloseDetails, ErrorDetails, EventDetails, EventExtra, Forwarder,
    HelloDetails, InterruptOptions, InvocationDetails, InvocationExtra, Message, Passthru, PublishExtra,
    PublishOptions, RegisterOptions, ResultDetails, Revocation, SubscribeOptions, Text, WelcomeDetails,
};
use crate::payload::Payload;

/// What can be copied out of the octets it borrows from.
trait Detach {
    type Owned;
    fn detach(self) -> Self::Owned;
}

impl Detach for Text<'_> {
    type Owned = Text<'static>;
    fn detach(self) -> Text<'static> {
        Cow::Owned(self.into_owned())
    }
}

impl Detach for Payload<'_> {
    type Owned = Payload<'static>;
    fn detach(self) -> Payload<'static> {
        self.into_owned()
    }
}

impl<T: Detach> Detach for Option<T> {
    type Owned = Option<T::Owned>;
    fn detach(self) -> Self::Owned {
        self.map(T::detach)
    }
}

impl<T: Detach> Detach for Vec<T> {
    type Owned = Vec<T::Owned>;
    fn detach(self) -> Self::Owned {
        self.into_iter().map(T::detach).collect()
    }
}

impl<T: Detach> Detach for Box<T> {
    type Owned = Box<T::Owned>;
    fn detach(self) -> Self::Owned {
        Box::new((*self).detach())
    }
}

impl<Id> Detach for Revocation<'_, Id> {
    type Owned = Revocation<'static, Id>;
    fn detach(self) -> Self::Owned {
        Revocation { id: self.id, reason: self.reason.detach() }
    }
}

/// Detaches structs: first the fields that borrow, then those that are kept as they are.
macro_rules! detach {
    ($($name:ident { $($borrowing:ident),* ; $($plain:ident),* })+) => {$(
        impl Detach for $name<'_> {
            type Owned = $name<'static>;
            fn detach(self) -> Self::Owned {
                $name { $($borrowing: self.$borrowing.detach(),)* $($plain: self.$plain,)* }
            }
        }
    )+};
}

detach! {
    CloseDetails { message, scram; resumable }
    HelloDetails { agent, authmethods, authid, authrole, resume_token; roles, authextra, resumable, resume_session }
    WelcomeDetails {
        realm, authid, authrole, authmethod, authprovider, agent, resume_token;
        roles, authextra, resumed, resumable, custom
    }
    Passthru { ppt_scheme, ppt_serializer, ppt_cipher, ppt_keyid, enc_algo, enc_key, enc_serializer; }
    Forwarder { authid, authrole; session }
    PublishOptions { extra; acknowledge, exclude_me, disclose_me, retain }
    PublishExtra {
        exclude_authid, exclude_authrole, eligible_authid, eligible_authrole, rkey, passthru, transaction_hash,
        forward_for; exclude, eligible, x_acknowledged_delivery
    }
    SubscribeOptions { nkey, forward_for; match_policy, get_retained }
    EventDetails { topic, publisher_authid, publisher_authrole, extra; publisher, trustlevel, retained }
    EventExtra { passthru, transaction_hash, forward_for; x_acknowledged_delivery }
    CallOptions { extra; receive_progress, progress, timeout_ms, disclose_me }
    CallExtra {
        rkey, runmode, passthru, transaction_hash, forward_for, caller_authid, caller_authrole; caller
    }
    InvocationDetails {
        procedure, caller_authid, caller_authrole, extra;
        caller, trustlevel, receive_progress, progress, timeout_ms
    }
    InvocationExtra { passthru, transaction_hash, forward_for; }
    CancelOptions { forward_for; mode }
    InterruptOptions { reason, forward_for; mode }
    ResultDetails { callee_authid, callee_authrole, passthru, forward_for; progress, callee }
    ErrorDetails { message, passthru, callee_authid, callee_authrole, forward_for; callee }
    RegisterOptions {
        forward_for; match_policy, invoke, disclose_caller, forward_timeout, concurrency, force_reregister
    }
}

/// Detaches variants: first the fields that borrow, then those that are kept as they are.
macro_rules! detach_message {
    ($message:expr; $($name:ident { $($borrowing:ident),* ; $($plain:ident),* })+) => {
        match $message {$(
            Message::$name { $($borrowing,)* $($plain,)* } => {
                Message::$name { $($borrowing: $borrowing.detach(),)* $($plain,)* }
            }
        )+}
    };
}

impl Message<'_> {
    /// Detaches the message from the octets it was decoded from, by copying them.
    pub fn into_owned(self) -> Message<'static> {
        detach_message! { self;
            Hello { realm, details; }
            Welcome { details; session }
            Abort { details, reason; }
            Challenge { method; extra }
            Authenticate { signature; extra }
            Goodbye { details, reason; }
            Error { details, error, payload; request_type, request }
            Publish { options, topic, payload; request }
            Published { ; request, publication }
            Subscribe { options, topic; request }
            Subscribed { ; request, subscription }
            Unsubscribe { ; request, subscription }
            Unsubscribed { revocation; request }
            Event { details, payload; subscription, publication }
            EventReceived { ; publication }
            Call { options, procedure, payload; request }
            Cancel { options; request }
            Result { details, payload; request }
            Register { options, procedure; request }
            Registered { ; request, registration }
            Unregister { ; request, registration }
            Unregistered { revocation; request }
            Invocation { details, payload; request, registration }
            Interrupt { options; request }
            Yield { options, payload; request }
        }
    }
}
