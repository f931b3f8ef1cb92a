//! What a script is told of its request, in variables (RFC 3875 §4.1). It gets nothing of the router's own environment.

use std::ffi::OsString;
use std::path::Path;

use hyper::Version;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::web::Peer;

/// Where scripts, and what runs them, look programs up.
pub(super) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Fields that are no variables: those with one of another name, those that hold secrets, and `Proxy`, which would be a setting
/// of libraries.
const UNTOLD: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::CONNECTION,
    HeaderName::from_static("proxy"),
];

/// `own`: the path up to the script; `below`: what is below it.
pub(super) fn environment(
    peer: &Peer,
    request: &Parts,
    script: &Path,
    own: &str,
    below: &str,
    body_size: usize,
) -> Vec<(String, OsString)> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: OsString| variables.push((name.to_owned(), value));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let authority = request.uri.authority().map(|it| it.as_str().to_owned());
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let (name, port) = divided(authority.as_deref().or(host).unwrap_or("localhost"));
    let address = peer.address().map(|address| address.to_string()).unwrap_or_default();
    set("GATEWAY_INTERFACE", "CGI/1.1".into());
    set("PATH", PATH.into());
    set("PATH_INFO", decoded(below).into());
    set("QUERY_STRING", request.uri.query().unwrap_or_default().into());
    set("REDIRECT_STATUS", "200".into());
    set("REMOTE_ADDR", address.clone().into());
    set("REMOTE_HOST", address.into());
    set("REQUEST_METHOD", request.method.as_str().into());
    set("REQUEST_URI", request.uri.path_and_query().map_or("/", |it| it.as_str()).into());
    set("SCRIPT_FILENAME", script.into());
    set("SCRIPT_NAME", decoded(own).into());
    set("SERVER_NAME", name.into());
    let default_port = if peer.is_secure() { "443" } else { "80" };
    set("SERVER_PORT", port.unwrap_or(default_port).into());
    set("SERVER_PROTOCOL", protocol(request.version).into());
    set("SERVER_SOFTWARE", concat!("crossring/", env!("CARGO_PKG_VERSION")).into());
    if peer.is_secure() {
        set("HTTPS", "on".into());
    }
    if body_size > 0 {
        set("CONTENT_LENGTH", body_size.to_string().into());
        if let Some(kind) = request.headers.get(header::CONTENT_TYPE) {
            set("CONTENT_TYPE", os_text(kind.as_bytes()));
        }
    }
    for name in request.headers.keys().filter(|name| !UNTOLD.contains(name)) {
        // `X_Y` and `X-Y` would be one variable, and one of them might be believed.
        if !name.as_str().contains('_') {
            let values: Vec<_> = request.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let glue: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
            let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
            set(&variable, os_text(&values.join(glue)));
        }
    }
    variables.retain(|(_, value)| !value.as_encoded_bytes().contains(&0));
    variables
}

fn os_text(octets: &[u8]) -> OsString {
    String::from_utf8_lossy(octets).into_owned().into()
}

/// A host with its port.
fn divided(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
