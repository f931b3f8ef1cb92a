//! What a proxy passes on of the heads of requests and answers, and what it adds.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use crate::config::Scheme;
use crate::web::Peer;

/// Fields that are between two neighbours, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What servers are told of the client by others than this one. `x-forwarded-for` is a list, which is added to.
const TOLD_BY_PROXIES: [HeaderName; 5] =
    [FORWARDED_HOST, FORWARDED_PORT, FORWARDED_PROTO, REAL_IP, header::FORWARDED];

/// What is said of how the client came, where it is configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forwarded {
    pub(crate) port: Option<u16>,
    pub(crate) scheme: Option<Scheme>,
}

/// Takes away what is for a neighbour only.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The words of a field that is a list.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The fields of a request for a server that is known as `host`.
pub(crate) fn request_headers(
    request: &Parts,
    peer: &Peer,
    forwarded: &Forwarded,
    host: &HeaderValue,
) -> HeaderMap {
    let mut headers = request.headers.clone();
    let asked_host = asked_host(request);
    remove_hop_by_hop(&mut headers);
    // How long the body is, and whether to wait for it, is between neighbours too.
    for name in [header::CONTENT_LENGTH, header::EXPECT].iter().chain(&TOLD_BY_PROXIES) {
        headers.remove(name);
    }
    remove_doubles(&mut headers);
    join_cookies(&mut headers);
    headers.insert(header::HOST, host.clone());
    tell(&mut headers, peer, forwarded, asked_host);
    headers
}

fn tell(headers: &mut HeaderMap, peer: &Peer, forwarded: &Forwarded, asked_host: Option<HeaderValue>) {
    let scheme = forwarded.scheme.unwrap_or(if peer.is_secure() { Scheme::Https } else { Scheme::Http });
    let (name, default_port) = match scheme {
        Scheme::Http => ("http", 80),
        Scheme::Https => ("https", 443),
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(name));
    let port = forwarded.port.or_else(|| port_of(asked_host.as_ref()?)).unwrap_or(default_port);
    headers.insert(FORWARDED_PORT, port.into());
    if let Some(host) = asked_host {
        headers.insert(FORWARDED_HOST, host);
    }
    let Some(address) = peer.address().map(|address| address.to_string()) else { return };
    let before = tokens(headers, &FORWARDED_FOR).collect::<Vec<_>>().join(", ");
    let chain = if before.is_empty() { address.clone() } else { format!("{before}, {address}") };
    for (name, value) in [(FORWARDED_FOR, chain), (REAL_IP, address)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// The host that the client has asked for: with HTTP/2 it is in the address of the request.
fn asked_host(request: &Parts) -> Option<HeaderValue> {
    let authority = request.uri.authority().and_then(|it| HeaderValue::try_from(it.as_str()).ok());
    authority.or_else(|| request.headers.get(header::HOST).cloned())
}

fn port_of(host: &HeaderValue) -> Option<u16> {
    let (_, port) = host.to_str().ok()?.rsplit_once(':')?;
    port.parse().ok()
}

/// Servers that make variables of fields take `X_Real_Ip` for `X-Real-IP`.
fn remove_doubles(headers: &mut HeaderMap) {
    let is_double = |name: &HeaderName| {
        let dashed = name.as_str().replace('_', "-");
        name.as_str().contains('_')
            && TOLD_BY_PROXIES.iter().chain([&FORWARDED_FOR, &header::HOST]).any(|it| *it == *dashed)
    };
    let doubles: Vec<HeaderName> = headers.keys().filter(|name| is_double(name)).cloned().collect();
    for name in doubles {
        headers.remove(name);
    }
}

/// HTTP/2 may bring cookies one by one, HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use crossring_router::details::TransportDetails;

    use super::*;

    fn told(fields: &[(&'static str, &'static str)], forwarded: &Forwarded) -> HeaderMap {
        let mut request = hyper::Request::get("/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let peer = Peer { details: Rc::new(TransportDetails::in_process()) };
        request_headers(&parts, &peer, forwarded, &HeaderValue::from_static("inner:8000"))
    }

    #[test]
    fn what_is_for_neighbours_stays_here() {
        let headers = told(
            &[
                ("host", "outer"),
                ("connection", "close, x-mine"),
                ("x-mine", "1"),
                ("keep-alive", "5"),
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
                ("accept", "*/*"),
            ],
            &Forwarded::default(),
        );
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"]);
        assert_eq!(
            (&headers["host"], &headers["x-forwarded-host"]),
            (&"inner:8000".parse().unwrap(), &"outer".parse().unwrap())
        );
    }

    #[test]
    fn clients_cannot_say_who_they_are() {
        let headers = told(
            &[
                ("host", "outer:8080"),
                ("x-real-ip", "1.2.3.4"),
                ("x_real_ip", "1.2.3.4"),
                ("x_forwarded_for", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
                ("x-forwarded-proto", "https"),
            ],
            &Forwarded::default(),
        );
        assert!(!headers.values().any(|value| value.as_bytes().ends_with(b"1.2.3.4")), "{headers:?}");
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-port"]),
            (&"http".parse().unwrap(), &8080.into())
        );
        let configured = Forwarded { port: Some(443), scheme: Some(Scheme::Https) };
        let headers = told(&[("cookie", "a=1"), ("cookie", "b=2")], &configured);
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-port"]),
            (&"https".parse().unwrap(), &443.into())
        );
        assert_eq!(headers["cookie"], "a=1; b=2");
    }
}
