//! Roles and the features that peers announce under them (WAMP specification, "Session Establishment").

macro_rules! features {
    ($($variant:ident = $name:literal $(| $alias:literal)*),+ $(,)?) => {
        /// A feature of the Advanced Profile, or of existing implementations.
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names are those on the wire
        pub enum Feature { $($variant),+ }

        impl Feature {
            /// All features, in the order in which they are announced.
            pub const ALL: &'static [Feature] = &[$(Feature::$variant),+];

            /// The name under which the feature is announced.
            pub const fn name(self) -> &'static str {
                match self { $(Feature::$variant => $name),+ }
            }

            /// Reads an announced name; older spellings included.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Feature::$variant),)+ _ => None }
            }
        }
    };
}

features! {
    ProgressiveCallResults = "progressive_call_results" | "progressive_calls",
    ProgressiveCallInvocations = "progressive_call_invocations",
    CallTimeout = "call_timeout",
    CallCanceling = "call_canceling" | "call_cancelling",
    CallerIdentification = "caller_identification",
    CallTrustlevels = "call_trustlevels",
    RegistrationMetaApi = "registration_meta_api",
    SessionMetaApi = "session_meta_api",
    TestamentMetaApi = "testament_meta_api" | "session_testament",
    PatternBasedRegistration = "pattern_based_registration",
    SharedRegistration = "shared_registration",
    ShardedRegistration = "sharded_registration",
    RegistrationRevocation = "registration_revocation",
    CallReroute = "call_reroute",
    PayloadPassthruMode = "payload_passthru_mode",
    SubscriberBlackwhiteListing = "subscriber_blackwhite_listing",
    PublisherExclusion = "publisher_exclusion",
    PublisherIdentification = "publisher_identification",
    PublicationTrustlevels = "publication_trustlevels",
    SubscriptionMetaApi = "subscription_meta_api",
    PatternBasedSubscription = "pattern_based_subscription",
    ShardedSubscription = "sharded_subscription" | "shareded_subscriptions",
    EventHistory = "event_history",
    EventRetention = "event_retention",
    SubscriptionRevocation = "subscription_revocation",
    AcknowledgedEventDelivery = "x_acknowledged_event_delivery" | "acknowledge_event_received",
    PayloadTransparency = "payload_transparency",
    PayloadEncryptionCryptobox = "payload_encryption_cryptobox",
}

const _: () = assert!(Feature::ALL.len() <= 32, "a set of features is one u32");

/// A set of features.
#[derive(Copy, Clone, Default, Eq, PartialEq)]
pub struct Features(u32);

impl Features {
    /// The set of the given features.
    pub const fn of(features: &[Feature]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < features.len() {
            bits |= 1 << features[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// Whether the feature is in the set.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }

    /// Adds a feature.
    pub const fn insert(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u32;
    }

    /// The features of the set, in the order of [`Feature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |feature| self.contains(*feature))
    }
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// `HELLO.Details.roles`: the roles a client announces (absent = not announced) with their features.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientRoles {
    /// Publisher role.
    pub publisher: Option<Features>,
    /// Subscriber role.
    pub subscriber: Option<Features>,
    /// Caller role.
    pub caller: Option<Features>,
    /// Callee role.
    pub callee: Option<Features>,
}

impl ClientRoles {
    /// All four roles with every feature in `features`.
    pub const fn all(features: Features) -> Self {
        Self {
            publisher: Some(features),
            subscriber: Some(features),
            caller: Some(features),
            callee: Some(features),
        }
    }

    /// Whether no role at all is announced (a violation in HELLO).
    pub const fn is_empty(&self) -> bool {
        self.publisher.is_none()
            && self.subscriber.is_none()
            && self.caller.is_none()
            && self.callee.is_none()
    }
}

/// `WELCOME.Details.roles`.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct RouterRoles {
    /// Broker role.
    pub broker: Option<Features>,
    /// Dealer role.
    pub dealer: Option<Features>,
}
