//! Services whose answer is known beforehand.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::{full, is_read, method_not_allowed, with_type};
use crate::web::{Request, Response};

/// `json`: a document.
#[derive(Debug)]
pub(crate) struct Json {
    /// The document as text.
    pub(crate) document: Bytes,
    /// Other sites may read it.
    pub(crate) allows_cross_origin: bool,
    /// Browsers are asked not to keep it.
    pub(crate) discourages_caching: bool,
}

impl Json {
    pub(super) fn answer(&self, request: &Request) -> Response {
        if !is_read(request) {
            return method_not_allowed("GET, HEAD");
        }
        let mut response =
            with_type(StatusCode::OK, "application/json; charset=utf-8", self.document.clone());
        if self.allows_cross_origin {
            allow_cross_origin(request.headers(), &mut response);
        }
        if self.discourages_caching {
            let never = HeaderValue::from_static("no-store, no-cache, must-revalidate, max-age=0");
            response.headers_mut().insert(header::CACHE_CONTROL, never);
        }
        response
    }
}

/// Lets the page that asks read the answer, its credentials included.
pub(crate) fn allow_cross_origin(asked: &HeaderMap, response: &mut Response) {
    let origin = asked.get(header::ORIGIN).filter(|origin| *origin != "null");
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        origin.cloned().unwrap_or(HeaderValue::from_static("*")),
    );
    if origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// The answer to OPTIONS.
pub(crate) fn preflight(asked: &HeaderMap, methods: &'static str) -> Response {
    let mut response = Response::new(full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// `redirect`: 302 to another place, for the path and everything below.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) url: HeaderValue,
}

impl Redirect {
    pub(super) fn answer(&self, request: &Request) -> Response {
        if !is_read(request) {
            return method_not_allowed("GET, HEAD");
        }
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(header::LOCATION, self.url.clone());
        response
    }
}
