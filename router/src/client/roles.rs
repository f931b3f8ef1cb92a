//! What a client announces (specification, "Feature Announcement"): under each role exactly what [`super::ClientSession`] does for it.

use crossring_codec::message::{ClientRoles, Feature, Features};

/// All four roles with what this client half can do. A driver that can do less announces less.
///
/// `call_timeout` is missing under the callee: it promises to mind `INVOCATION.timeout`, which takes a clock. A driver that has
/// one and registers with `forward_timeout` adds it.
pub const ROLES: ClientRoles = ClientRoles {
    publisher: Some(Features::of(PUBLISHER)),
    subscriber: Some(Features::of(SUBSCRIBER)),
    caller: Some(Features::of(CALLER)),
    callee: Some(Features::of(CALLEE)),
};

const PUBLISHER: &[Feature] = &[
    Feature::SubscriberBlackwhiteListing,
    Feature::PublisherExclusion,
    Feature::PublisherIdentification,
    Feature::ShardedSubscription,
    Feature::AcknowledgedEventDelivery,
    Feature::PayloadPassthruMode,
    Feature::PayloadTransparency,
];

const SUBSCRIBER: &[Feature] = &[
    Feature::PublisherIdentification,
    Feature::PublicationTrustlevels,
    Feature::PatternBasedSubscription,
    Feature::ShardedSubscription,
    Feature::SubscriptionRevocation,
    Feature::AcknowledgedEventDelivery,
    Feature::PayloadPassthruMode,
    Feature::PayloadTransparency,
];

const CALLER: &[Feature] = &[
    Feature::ProgressiveCallResults,
    Feature::ProgressiveCallInvocations,
    Feature::CallTimeout,
    Feature::CallCanceling,
    Feature::CallerIdentification,
    Feature::ShardedRegistration,
    Feature::PayloadPassthruMode,
    Feature::PayloadTransparency,
];

const CALLEE: &[Feature] = &[
    Feature::ProgressiveCallResults,
    Feature::ProgressiveCallInvocations,
    Feature::CallCanceling,
    Feature::CallerIdentification,
    Feature::CallTrustlevels,
    Feature::PatternBasedRegistration,
    Feature::SharedRegistration,
    Feature::ShardedRegistration,
    Feature::RegistrationRevocation,
    Feature::CallReroute,
    Feature::PayloadPassthruMode,
    Feature::PayloadTransparency,
];
