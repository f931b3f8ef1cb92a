//! `ws:` and `wss:` URLs (RFC 6455 §3).

use std::fmt;

/// A WebSocket URL, taken apart. Holds nothing that could break out of a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketUrl {
    secure: bool,
    host: String,
    port: u16,
    resource: String,
}

/// Text that is not a WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl;

impl WebSocketUrl {
    /// Parses `ws://host[:port][/path][?query]`, or `wss:`. User names and fragments are refused.
    pub fn parse(text: &str) -> Result<WebSocketUrl, InvalidUrl> {
        if !text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#') {
            return Err(InvalidUrl);
        }
        let (secure, rest) = match text.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err(InvalidUrl),
        };
        let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => port.parse().map_err(|_| InvalidUrl)?,
            None if secure => 443,
            None => 80,
        };
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Ok(WebSocketUrl { secure, host: host.to_owned(), port, resource: format!("{slash}{resource}") })
    }

    /// Whether the scheme is `wss`: the connection is to be secured by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, at least `/`.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Host and port, as the `Host` header wants them.
    pub(crate) fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), InvalidUrl> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(InvalidUrl)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(InvalidUrl)?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains(['@', '[', ']']) || port.is_some_and(|port| port.contains('@')) {
        return Err(InvalidUrl);
    }
    Ok((host, port))
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a WebSocket URL (ws://host:port/path)")
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        for (text, secure, host, port, resource, authority) in [
            ("ws://localhost:8080/ws", false, "localhost", 8080, "/ws", "localhost:8080"),
            ("wss://example.com", true, "example.com", 443, "/", "example.com:443"),
            ("ws://[::1]:9000?x=1", false, "::1", 9000, "/?x=1", "[::1]:9000"),
            ("ws://[::1]", false, "::1", 80, "/", "[::1]:80"),
        ] {
            let url = WebSocketUrl::parse(text).unwrap();
            assert_eq!((url.is_secure(), url.host(), url.port()), (secure, host, port), "{text}");
            assert_eq!((url.resource(), url.authority().as_str()), (resource, authority), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "ws://",
            "http://host",
            "ws://host:x",
            "ws://host:70000",
            "ws://host/a b",
            "ws://host/\r\nX: y",
            "ws://user@host",
            "ws://host/#part",
            "ws://[::1",
            "ws://[::1]8080",
            "ws://h:1@host",
        ] {
            assert_eq!(WebSocketUrl::parse(text), Err(InvalidUrl), "{text}");
        }
    }
}
