//! Identifiers (WAMP specification, "IDs"): integers in `1..=2^53`, one type per scope so that they cannot be mixed up.

/// The largest identifier: 2^53, the last integer that every JSON implementation carries exactly.
pub const ID_MAX: u64 = 1 << 53;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Accepts an integer in `1..=2^53`; `None` for anything else.
            pub const fn new(value: u64) -> Option<Self> {
                if value >= 1 && value <= ID_MAX { Some(Self(value)) } else { None }
            }

            /// Maps any 64 random bits onto `1..=2^53`, uniformly.
            pub const fn from_random(bits: u64) -> Self {
                Self((bits >> 11) + 1)
            }

            /// The integer as it stands on the wire.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The identifier that follows in a session-scope sequence; wraps from 2^53 to 1.
            pub const fn next(self) -> Self {
                if self.0 >= ID_MAX { Self(1) } else { Self(self.0 + 1) }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

identifiers! {
    /// A session (global scope: uniformly random).
    SessionId,
    /// A publication (global scope: uniformly random).
    PublicationId,
    /// A subscription (router scope: chosen by the router).
    SubscriptionId,
    /// A registration (router scope: chosen by the router).
    RegistrationId,
    /// A request of a client, or an INVOCATION of a router (session scope: 1, 2, 3, … per session and direction).
    RequestId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_one_to_two_to_the_53() {
        assert_eq!(SessionId::new(0), None);
        assert_eq!(SessionId::new(ID_MAX + 1), None);
        assert_eq!(SessionId::new(ID_MAX).map(SessionId::get), Some(ID_MAX));
        assert_eq!(SessionId::from_random(0).get(), 1);
        assert_eq!(SessionId::from_random(u64::MAX).get(), ID_MAX);
    }

    #[test]
    fn a_sequence_wraps_to_one() {
        assert_eq!(RequestId::from_random(u64::MAX).next().get(), 1);
        assert_eq!(RequestId::from_random(0).next().get(), 2);
    }
}
