//! The tracking cookie (RFC 6265) of a WebSocket handshake.

use super::Fields;

/// The cookie that tells the peers of a WebSocket listener apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackingCookie {
    /// Its name.
    pub name: String,
    /// What follows the value in `Set-Cookie`, such as `;max-age=604800;Secure`.
    pub attributes: String,
}

impl TrackingCookie {
    /// Longest value that is taken from a peer, in characters.
    pub const VALUE_LENGTH_MAX: usize = 64;

    /// The value in the request: of several cookies of this name the first, which is the most specific one (RFC 6265
    /// section 5.4). What no router can have set counts as absent.
    pub(super) fn find(&self, fields: Fields<'_>) -> Option<Box<str>> {
        let pairs = fields.all("cookie").flat_map(|field| field.split(';'));
        let mut named = pairs
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| name.trim() == self.name)
            .map(|(_, value)| value.trim());
        let value = named.next()?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        is_value(value).then(|| value.into())
    }
}

/// Whether a text can be the value of a tracking cookie: characters of base64.
fn is_value(text: &str) -> bool {
    let is_digit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
    (1..=TrackingCookie::VALUE_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Option<&str>) {
        let cookie = TrackingCookie { name: "cbtid".to_owned(), attributes: String::new() };
        let headers: Vec<_> =
            fields.iter().map(|field| httparse::Header { name: "Cookie", value: field.as_bytes() }).collect();
        assert_eq!(cookie.find(Fields(&headers)).as_deref(), expected, "{fields:?}");
    }

    #[test]
    fn cookies_are_found_by_name() {
        check(&["cbtid=ab/+12"], Some("ab/+12"));
        check(&["a=b; cbtid=x; c=d"], Some("x"));
        check(&["a=b", "cbtid=\"x\""], Some("x"));
        check(&["cbtid=one; cbtid=two"], Some("one"));
        check(&["xcbtid=a; cbtid2=b; CBTID=c; cbtid"], None);
        check(&[], None);
    }

    #[test]
    fn what_no_router_sets_is_absent() {
        check(&["cbtid="], None);
        check(&["cbtid=a b"], None);
        check(&["cbtid=a\u{e4}"], None);
        check(&[&format!("cbtid={}", "x".repeat(64))], Some(&"x".repeat(64)));
        check(&[&format!("cbtid={}", "x".repeat(65))], None);
    }
}
