//! Where a router listens, as users write it.

use std::path::PathBuf;
use std::str::FromStr;

/// Where a router listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterUrl {
    /// `ws://host[:port][/path]`, encrypted `wss://`.
    WebSocket {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 80 when absent, 443 when encrypted.
        port: u16,
        /// Request path, `/` when absent.
        path: String,
        /// Whether TLS is spoken.
        is_secure: bool,
    },
    /// `rs://host:port`, encrypted `rss://`.
    RawSocket {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 8081 when absent.
        port: u16,
        /// Whether TLS is spoken.
        is_secure: bool,
    },
    /// `rs+unix:/path` or `rs+unix:///path`; `rs+unix:@name` for an abstract name.
    RawSocketUnix {
        /// Path of the socket.
        path: PathBuf,
    },
}

impl FromStr for RouterUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("rs+unix:").map(|path| path.strip_prefix("//").unwrap_or(path))
        {
            return match path.is_empty() {
                true => Err("the path of the socket is missing".into()),
                false => Ok(RouterUrl::RawSocketUnix { path: path.into() }),
            };
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        match scheme {
            "ws" => websocket(rest, false),
            "wss" => websocket(rest, true),
            "rs" => rawsocket(rest, false),
            "rss" => rawsocket(rest, true),
            _ => {
                Err("expected ws://host:port/path, wss://…, rs://host:port, rss://… or rs+unix:/path".into())
            }
        }
    }
}

fn websocket(rest: &str, is_secure: bool) -> Result<RouterUrl, String> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = host_and_port(authority, if is_secure { 443 } else { 80 })?;
    let path = if path.is_empty() { "/" } else { path };
    Ok(RouterUrl::WebSocket { host, port, path: path.into(), is_secure })
}

fn rawsocket(rest: &str, is_secure: bool) -> Result<RouterUrl, String> {
    let (host, port) = host_and_port(rest.trim_end_matches('/'), 8081)?;
    Ok(RouterUrl::RawSocket { host, port, is_secure })
}

/// Splits `host`, `host:port` or `[address]:port`.
fn host_and_port(authority: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!("no host in {authority:?}"));
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| format!("no port in {authority:?}"))?,
        None => default_port,
    };
    Ok((host.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_apart() {
        let websocket = |host: &str, port, path: &str| RouterUrl::WebSocket {
            host: host.into(),
            port,
            path: path.into(),
            is_secure: false,
        };
        let rawsocket =
            |host: &str, port, is_secure| RouterUrl::RawSocket { host: host.into(), port, is_secure };
        let unix = |path: &str| RouterUrl::RawSocketUnix { path: path.into() };
        let good = [
            ("ws://a", websocket("a", 80, "/")),
            ("ws://[::1]:8080/ws?x", websocket("::1", 8080, "/ws?x")),
            ("rs://a:1", rawsocket("a", 1, false)),
            ("rs://a", rawsocket("a", 8081, false)),
            ("rss://a", rawsocket("a", 8081, true)),
            ("rs+unix:/run/s", unix("/run/s")),
            ("rs+unix:///run/s", unix("/run/s")),
            ("rs+unix:s", unix("s")),
        ];
        for (text, expected) in good {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let secure = RouterUrl::WebSocket { host: "a".into(), port: 443, path: "/b".into(), is_secure: true };
        assert_eq!("wss://a/b".parse(), Ok(secure));
        for text in ["", "http://a", "ws://", "ws://:1", "rs://a:b", "rs://a:70000", "rs+unix:", "ws://a b"] {
            assert!(text.parse::<RouterUrl>().is_err(), "{text}");
        }
    }
}
