//! URIs and URI patterns (WAMP specification, "URIs" and "Pattern-based Subscriptions").
//!
//! On the hot path a URI is a plain `&str` borrowed from the received frame; [`is_valid`] decides by one scan whether
//! it may be used. No regular expression, no allocation.

/// Matching policy of a subscription or registration (`match` option).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Match {
    /// The URI itself.
    #[default]
    Exact,
    /// Every URI that starts with the pattern, byte by byte.
    Prefix,
    /// Every URI with as many components, where an empty component of the pattern stands for any one component.
    Wildcard,
}

impl Match {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Match::Exact => "exact",
            Match::Prefix => "prefix",
            Match::Wildcard => "wildcard",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        match word {
            "exact" => Some(Match::Exact),
            "prefix" => Some(Match::Prefix),
            "wildcard" => Some(Match::Wildcard),
            _ => None,
        }
    }
}

/// How strictly components are checked.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Strictness {
    /// A component is any text without white space, `.` and `#`.
    #[default]
    Loose,
    /// A component consists of `0-9`, `a-z` and `_`.
    Strict,
}

/// Whether `uri` is valid under the matching policy: where empty components may stand depends on it.
///
/// Exact: no empty component, not empty. Prefix: only the last component may be empty. Wildcard: any may be empty.
pub fn is_valid(uri: &str, policy: Match, strictness: Strictness) -> bool {
    let mut component_length = 0usize;
    for (position, byte) in uri.bytes().enumerate() {
        match byte {
            b'.' if component_length == 0 && policy != Match::Wildcard => return false,
            b'.' => component_length = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'_' => component_length += 1,
            _ if strictness == Strictness::Strict => return false,
            b'#' | b' ' | 0x09..=0x0d | 0x1c..=0x1f => return false,
            0x80.. if uri.is_char_boundary(position) && starts_with_white_space(&uri[position..]) => {
                return false;
            }
            _ => component_length += 1,
        }
    }
    component_length > 0 || policy != Match::Exact
}

fn starts_with_white_space(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_whitespace)
}

/// Whether `uri` lies in the name space that only routers may publish to and register in.
pub fn is_reserved(uri: &str) -> bool {
    uri.starts_with("wamp.") || uri == "wamp"
}

/// Whether `uri` lies where only the router's own sessions may publish and register: under `wamp.`, and under `crossbar.`, where
/// clients look for the management API.
pub fn is_restricted(uri: &str) -> bool {
    is_reserved(uri) || uri.starts_with("crossbar.") || uri == "crossbar"
}

/// Whether `uri` matches `pattern` under `policy`: the definition, used by the naive matcher and the checkers.
pub fn matches(pattern: &str, policy: Match, uri: &str) -> bool {
    match policy {
        Match::Exact => pattern == uri,
        Match::Prefix => uri.starts_with(pattern),
        Match::Wildcard => {
            let mut components = uri.split('.');
            let all = pattern.split('.').all(|wanted| {
                components
                    .next()
                    .is_some_and(|found| if wanted.is_empty() { !found.is_empty() } else { wanted == found })
            });
            all && components.next().is_none()
        }
    }
}

/// URIs that the specification or existing clients give a meaning to.
pub mod well_known {
    macro_rules! uris {
        ($($name:ident = $uri:literal),+ $(,)?) => {$(
            #[doc = concat!("`", $uri, "`")]
            pub const $name: &str = $uri;
        )+};
    }
    uris! {
        INVALID_URI = "wamp.error.invalid_uri",
        NO_SUCH_PROCEDURE = "wamp.error.no_such_procedure",
        PROCEDURE_ALREADY_EXISTS = "wamp.error.procedure_already_exists",
        NO_SUCH_REGISTRATION = "wamp.error.no_such_registration",
        NO_SUCH_SUBSCRIPTION = "wamp.error.no_such_subscription",
        NO_SUCH_SESSION = "wamp.error.no_such_session",
        INVALID_ARGUMENT = "wamp.error.invalid_argument",
        CANCELED = "wamp.error.canceled",
        TIMEOUT = "wamp.error.timeout",
        PAYLOAD_SIZE_EXCEEDED = "wamp.error.payload_size_exceeded",
        PROTOCOL_VIOLATION = "wamp.error.protocol_violation",
        NOT_AUTHORIZED = "wamp.error.not_authorized",
        AUTHORIZATION_FAILED = "wamp.error.authorization_failed",
        NO_SUCH_REALM = "wamp.error.no_such_realm",
        NO_SUCH_ROLE = "wamp.error.no_such_role",
        NO_SUCH_PRINCIPAL = "wamp.error.no_such_principal",
        NO_MATCHING_AUTH_METHOD = "wamp.error.no_matching_auth_method",
        AUTHENTICATION_DENIED = "wamp.error.authentication_denied",
        AUTHENTICATION_FAILED = "wamp.error.authentication_failed",
        AUTHENTICATION_REQUIRED = "wamp.error.authentication_required",
        FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported",
        OPTION_NOT_ALLOWED = "wamp.error.option_not_allowed",
        DISCLOSE_ME_DISALLOWED = "wamp.error.option_disallowed.disclose_me",
        NETWORK_FAILURE = "wamp.error.network_failure",
        UNAVAILABLE = "wamp.error.unavailable",
        NO_AVAILABLE_CALLEE = "wamp.error.no_available_callee",
        UNREGISTERED = "wamp.error.unregistered",
        MAX_CONCURRENCY_REACHED = "crossbar.error.max_concurrency_reached",
        SYSTEM_SHUTDOWN = "wamp.close.system_shutdown",
        CLOSE_REALM = "wamp.close.close_realm",
        GOODBYE_AND_OUT = "wamp.close.goodbye_and_out",
        CLOSE_LOGOUT = "wamp.close.logout",
        KILLED = "wamp.close.killed",
        NORMAL = "wamp.close.normal",
        RUNTIME_ERROR = "wamp.error.runtime_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_uris() {
        for good in ["a", "a.b", "com.my-app.Ünï", "a:b/c"] {
            assert!(is_valid(good, Match::Exact, Strictness::Loose), "{good:?}");
        }
        for bad in ["", ".a", "a.", "a..b", "a b", "a.#", "a\tb", "a\u{a0}b", "a\u{2003}b"] {
            assert!(!is_valid(bad, Match::Exact, Strictness::Loose), "{bad:?}");
        }
    }

    #[test]
    fn strict_uris() {
        assert!(is_valid("a_1.b2", Match::Exact, Strictness::Strict));
        for bad in ["A.b", "a-b", "ü"] {
            assert!(!is_valid(bad, Match::Exact, Strictness::Strict), "{bad:?}");
        }
    }

    #[test]
    fn empty_components_depend_on_the_policy() {
        for good in ["a..b", ".b", "a.", "..", ""] {
            assert!(is_valid(good, Match::Wildcard, Strictness::Strict), "{good:?}");
        }
        for good in ["a.", "a.b", ""] {
            assert!(is_valid(good, Match::Prefix, Strictness::Strict), "{good:?}");
        }
        assert!(!is_valid("a..b", Match::Prefix, Strictness::Loose));
    }

    #[test]
    fn matching_follows_the_specification() {
        let prefix = "com.myapp.topic.emergency";
        assert!(matches(prefix, Match::Prefix, "com.myapp.topic.emergency-low"));
        assert!(!matches(prefix, Match::Prefix, "com.myapp.topic.emerge"));
        let wildcard = "com.myapp..userevent";
        assert!(matches(wildcard, Match::Wildcard, "com.myapp.foo.userevent"));
        assert!(!matches(wildcard, Match::Wildcard, "com.myapp.foo.userevent.bar"));
        assert!(!matches(wildcard, Match::Wildcard, "com.myapp2.foo.userevent"));
        assert!(matches("", Match::Wildcard, "one"));
        assert!(!matches("", Match::Wildcard, "one.two"));
    }
}
