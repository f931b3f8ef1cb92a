//! WAMP-FlatBuffers as Autobahn|Python 26 has it: typed tables instead of lists and dicts; Arguments and ArgumentsKw are CBOR.
//!
//! The tables are fixed, so options that they lack are left out when a message is written; what would change the meaning of a
//! payload (passthru keys that have no number) is refused instead. Autobahn itself leaves out the roles, authmethods and authextra of
//! HELLO and WELCOME and the extra of CHALLENGE and AUTHENTICATE; a client without roles counts as one with all of them.

use crate::message::{ClientRoles, Feature, Features};

/// The roles of a client that says nothing of them: all, with what Autobahn does of what there are fields for.
const UNTOLD_ROLES: ClientRoles = ClientRoles {
    publisher: Some(Features::of(&[
        Feature::PublisherIdentification,
        Feature::PublisherExclusion,
        Feature::SubscriberBlackwhiteListing,
        Feature::PayloadTransparency,
    ])),
    subscriber: Some(Features::of(&[
        Feature::PublisherIdentification,
        Feature::PatternBasedSubscription,
        Feature::PublicationTrustlevels,
        Feature::SubscriptionRevocation,
        Feature::PayloadTransparency,
    ])),
    caller: Some(Features::of(&[
        Feature::CallerIdentification,
        Feature::CallTimeout,
        Feature::CallCanceling,
        Feature::ProgressiveCallResults,
        Feature::PayloadTransparency,
    ])),
    callee: Some(Features::of(&[
        Feature::CallerIdentification,
        Feature::CallTrustlevels,
        Feature::CallTimeout,
        Feature::CallCanceling,
        Feature::ProgressiveCallResults,
        Feature::RegistrationRevocation,
        Feature::PatternBasedRegistration,
        Feature::SharedRegistration,
        Feature::PayloadTransparency,
    ])),
};

/// The fields of `PublisherFeatures` in their order, and what each announces.
macro_rules! publisher_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    publisher_identification: Some(Feature::PublisherIdentification),
                    publisher_exclusion: Some(Feature::PublisherExclusion),
                    subscriber_blackwhite_listing: Some(Feature::SubscriberBlackwhiteListing),
                    acknowledge_event_received: Some(Feature::AcknowledgedEventDelivery),
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use publisher_features;

/// The fields of `SubscriberFeatures` in their order, and what each announces.
macro_rules! subscriber_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    publisher_identification: Some(Feature::PublisherIdentification),
                    pattern_based_subscription: Some(Feature::PatternBasedSubscription),
                    publication_trustlevels: Some(Feature::PublicationTrustlevels),
                    subscription_revocation: Some(Feature::SubscriptionRevocation),
                    event_history: Some(Feature::EventHistory),
                    acknowledge_subscriber_received: None,
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use subscriber_features;

/// The fields of `CallerFeatures` in their order, and what each announces.
macro_rules! caller_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    caller_identification: Some(Feature::CallerIdentification),
                    call_timeout: Some(Feature::CallTimeout),
                    call_canceling: Some(Feature::CallCanceling),
                    progressive_call_results: Some(Feature::ProgressiveCallResults),
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use caller_features;

/// The fields of `CalleeFeatures` in their order, and what each announces.
macro_rules! callee_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    caller_identification: Some(Feature::CallerIdentification),
                    call_trustlevels: Some(Feature::CallTrustlevels),
                    call_timeout: Some(Feature::CallTimeout),
                    call_canceling: Some(Feature::CallCanceling),
                    progressive_call_results: Some(Feature::ProgressiveCallResults),
                    registration_revocation: Some(Feature::RegistrationRevocation),
                    pattern_based_registration: Some(Feature::PatternBasedRegistration),
                    shared_registration: Some(Feature::SharedRegistration),
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use callee_features;

/// The fields of `BrokerFeatures` in their order, and what each announces.
macro_rules! broker_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    publisher_identification: Some(Feature::PublisherIdentification),
                    publisher_exclusion: Some(Feature::PublisherExclusion),
                    subscriber_blackwhite_listing: Some(Feature::SubscriberBlackwhiteListing),
                    pattern_based_subscription: Some(Feature::PatternBasedSubscription),
                    publication_trustlevels: Some(Feature::PublicationTrustlevels),
                    subscription_revocation: Some(Feature::SubscriptionRevocation),
                    session_meta_api: Some(Feature::SessionMetaApi),
                    subscription_meta_api: Some(Feature::SubscriptionMetaApi),
                    event_retention: Some(Feature::EventRetention),
                    event_history: Some(Feature::EventHistory),
                    acknowledge_event_received: Some(Feature::AcknowledgedEventDelivery),
                    acknowledge_subscriber_received: None,
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use broker_features;

/// The fields of `DealerFeatures` in their order, and what each announces.
macro_rules! dealer_features {
    ($with:ident, $($argument:tt)*) => {
        $with!(
            $($argument)*,
            {
                    caller_identification: Some(Feature::CallerIdentification),
                    call_trustlevels: Some(Feature::CallTrustlevels),
                    call_timeout: Some(Feature::CallTimeout),
                    call_canceling: Some(Feature::CallCanceling),
                    progressive_call_results: Some(Feature::ProgressiveCallResults),
                    registration_revocation: Some(Feature::RegistrationRevocation),
                    pattern_based_registration: Some(Feature::PatternBasedRegistration),
                    shared_registration: Some(Feature::SharedRegistration),
                    session_meta_api: Some(Feature::SessionMetaApi),
                    registration_meta_api: Some(Feature::RegistrationMetaApi),
                    testament_meta_api: Some(Feature::TestamentMetaApi),
                    payload_transparency: Some(Feature::PayloadTransparency),
                    payload_encryption_cryptobox: Some(Feature::PayloadEncryptionCryptobox),
            }
        )
    };
}
use dealer_features;

mod read;
mod words;
mod write;

pub(crate) use read::decode;
pub(crate) use write::encode;
