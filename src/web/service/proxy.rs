//! `reverseproxy` and `websocket-reverseproxy`: another server answers.

use std::rc::Rc;
use std::time::Duration;

use crossring_codec::transport::WebSocketServerOptions;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri, Version};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::{Context, switching, text, upgrade_required};
use crate::web::tunnel::{Patience, Tunnel};
use crate::web::upstream::{Lease, Upstream, UpstreamError};
use crate::web::{Request, Response, Takeover, wants_websocket};

mod body;
mod headers;

pub(crate) use body::RequestBody;
pub(crate) use headers::Forwarded;
pub(super) use headers::remove_hop_by_hop;

use body::{Download, Progress};

/// How long a handshake may take where nothing is configured.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that answers for a path and everything below.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) backend: Backend,
    /// What the service's own path stands for on the server; without a slash at its end.
    pub(crate) path: String,
}

/// A server that WebSockets lead to.
#[derive(Debug)]
pub(crate) struct WebSocketProxy {
    pub(crate) backend: Backend,
    /// What its handshake asks for.
    pub(crate) target: PathAndQuery,
    /// Which pages may connect; nothing else of it counts.
    pub(crate) origins: WebSocketServerOptions,
}

/// The server, and how it is spoken to.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) upstream: Upstream,
    /// What it is called in requests.
    pub(crate) host: HeaderValue,
    pub(crate) forwarded: Forwarded,
    /// How long it may be silent.
    pub(crate) timeout: Duration,
    /// How long nothing may pass through a WebSocket.
    pub(crate) patience: Rc<Patience>,
}

/// Why a server has not answered.
enum Trouble {
    Upstream(UpstreamError),
    /// The server is silent.
    Timeout,
    /// The client does not send its request.
    ClientTimeout,
    /// What the server says is no answer, or it says nothing and closes.
    Broken(hyper::Error),
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Trouble::Upstream(error)
    }
}

impl Proxy {
    pub(super) async fn answer(&self, context: Context<'_>, request: Request) -> Response {
        let Some(target) = target(&self.path, context.rest, request.uri().query()) else {
            return text(StatusCode::BAD_REQUEST, "400: the path leads elsewhere");
        };
        if wants_websocket(&request) && request.version() == Version::HTTP_11 {
            return self.backend.tunnel(&context, request, target).await;
        }
        let mut response = self.backend.pass_on(&context, request, target).await;
        self.relocate(&context, &mut response);
        response
    }

    /// A redirection within the server has to be one within the service.
    fn relocate(&self, context: &Context<'_>, response: &mut Response) {
        let own = &context.path[..context.path.len() - context.rest.len()];
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let inside =
            location.and_then(|location| below(location, self.backend.host.to_str().ok()?, &self.path));
        if let Some(location) = inside.and_then(|rest| relocated(own, rest)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
}

impl WebSocketProxy {
    pub(super) async fn answer(&self, context: Context<'_>, request: Request) -> Response {
        if !wants_websocket(&request) {
            return upgrade_required();
        }
        let origin = request.headers().get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if origin.is_some_and(|origin| !self.origins.allows_origin(origin)) {
            return text(StatusCode::FORBIDDEN, "403: pages of this origin may not connect");
        }
        if request.version() != Version::HTTP_11 {
            return text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "505: WebSockets need HTTP/1.1");
        }
        self.backend.tunnel(&context, request, self.target.clone()).await
    }
}

impl Backend {
    async fn pass_on(&self, context: &Context<'_>, request: Request, target: PathAndQuery) -> Response {
        let (parts, body) = request.into_parts();
        let parts = self.parts(context, parts, target);
        match self.ask(parts, body).await {
            Ok((answer, lease)) => self.passed_back(answer, lease),
            Err(trouble) => self.apologize(&trouble),
        }
    }

    fn parts(&self, context: &Context<'_>, mut parts: Parts, target: PathAndQuery) -> Parts {
        parts.headers = headers::request_headers(&parts, context.peer, &self.forwarded, &self.host);
        parts.uri = Uri::from(target);
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        parts
    }

    async fn ask(&self, parts: Parts, body: Incoming) -> Result<(hyper::Response<Incoming>, Lease), Trouble> {
        let is_repeatable = hyper::body::Body::is_end_stream(&body)
            && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut lease = self.upstream.lease().await?;
        let asked = self.send(&mut lease, parts.clone(), Some(body)).await;
        match asked {
            // A server closes connections that are kept when it likes, perhaps just now.
            Err(Trouble::Broken(_)) if lease.is_used && is_repeatable => {
                drop(lease);
                let mut lease = self.upstream.lease_new().await?;
                let answer = self.send(&mut lease, parts, None).await?;
                Ok((answer, lease))
            }
            asked => Ok((asked?, lease)),
        }
    }

    /// Sends a request and waits for the head of the answer, as long as something moves.
    async fn send(
        &self,
        lease: &mut Lease,
        parts: Parts,
        body: Option<Incoming>,
    ) -> Result<hyper::Response<Incoming>, Trouble> {
        let progress = Progress::begin();
        let request = hyper::Request::from_parts(parts, RequestBody::new(body, Rc::clone(&progress)));
        let mut answer = std::pin::pin!(lease.sender.send_request(request));
        loop {
            let deadline = progress.last() + self.timeout;
            tokio::select! {
                answer = &mut answer => return answer.map_err(Trouble::Broken),
                () = tokio::time::sleep_until(deadline) => {}
            }
            if progress.last() + self.timeout <= Instant::now() {
                return Err(if progress.waits_for_client() {
                    Trouble::ClientTimeout
                } else {
                    Trouble::Timeout
                });
            }
        }
    }

    fn passed_back(&self, answer: hyper::Response<Incoming>, lease: Lease) -> Response {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.upstream.complain("it has switched protocols though nobody asked it to");
            return bad_gateway();
        }
        let (mut parts, body) = answer.into_parts();
        if parts.headers.contains_key(header::TRANSFER_ENCODING) {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        remove_hop_by_hop(&mut parts.headers);
        let (body, whole) = Download::new(body, self.timeout);
        lease.keep_after(whole);
        parts.extensions.clear();
        parts.version = Version::HTTP_11;
        hyper::Response::from_parts(parts, body.boxed_unsync())
    }

    /// Lets the server answer a WebSocket handshake; when it agrees, the connection is no HTTP any more.
    async fn tunnel(&self, context: &Context<'_>, request: Request, target: PathAndQuery) -> Response {
        let (parts, _) = request.into_parts();
        let mut parts = self.parts(context, parts, target);
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let asked = async {
            let mut lease = self.upstream.lease_new().await?;
            let answer = self.send(&mut lease, parts, None).await?;
            Ok((answer, lease))
        };
        let (answer, lease) = match asked.await {
            Ok(asked) => asked,
            Err(trouble) => return self.apologize(&trouble),
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.passed_back(answer, lease);
        }
        let head = switching_head(&answer);
        let upgraded = tokio::time::timeout(HANDSHAKE_TIMEOUT, hyper::upgrade::on(answer)).await;
        let Ok(Ok(server)) = upgraded else {
            self.upstream.complain("it has switched protocols and closed the connection");
            return bad_gateway();
        };
        let (slot, patience) = (lease.into_slot(), Rc::clone(&self.patience));
        context.handover.take(Takeover::Tunnel(Tunnel { head, server, slot, patience }));
        switching()
    }

    fn apologize(&self, trouble: &Trouble) -> Response {
        let timed_out =
            || text(StatusCode::GATEWAY_TIMEOUT, "504: the server behind this one does not answer");
        match trouble {
            Trouble::Upstream(UpstreamError::Busy) => {
                let mut response =
                    text(StatusCode::SERVICE_UNAVAILABLE, "503: too many requests at the same time");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
            Trouble::Upstream(UpstreamError::ConnectTimeout) => {
                self.upstream.complain("it cannot be connected to in time");
                timed_out()
            }
            Trouble::Upstream(UpstreamError::Unreachable(error)) => {
                self.upstream.complain(&format!("it cannot be connected to: {error}"));
                bad_gateway()
            }
            Trouble::Timeout => {
                self.upstream.complain("it does not answer");
                timed_out()
            }
            Trouble::ClientTimeout => text(StatusCode::REQUEST_TIMEOUT, "408: the request took too long"),
            Trouble::Broken(error) => {
                if !error.is_user() {
                    self.upstream.complain(&format!("its answer is none: {error}"));
                }
                bad_gateway()
            }
        }
    }
}

fn bad_gateway() -> Response {
    text(StatusCode::BAD_GATEWAY, "502: the server behind this one cannot be reached")
}

/// The server's answer as the client is to have it.
fn switching_head(answer: &hyper::Response<Incoming>) -> Vec<u8> {
    let mut headers = answer.headers().clone();
    remove_hop_by_hop(&mut headers);
    let mut head =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".to_vec();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What is asked of the server; none for a path that would lead out of what it stands for.
fn target(path: &str, rest: &str, query: Option<&str>) -> Option<PathAndQuery> {
    let decoded: Vec<u8> = percent_decode_str(rest).collect();
    let mut components = decoded.split(|octet| matches!(octet, b'/' | b'\\'));
    if components.any(|component| matches!(component, b"." | b"..")) {
        return None;
    }
    let whole = format!("{path}{rest}");
    let slash = if whole.starts_with('/') { "" } else { "/" };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    PathAndQuery::try_from(format!("{slash}{whole}{query}")).ok()
}

/// What of an absolute location is below a path of a host.
fn below<'a>(location: &'a str, host: &str, path: &str) -> Option<&'a str> {
    let location = location.strip_prefix("http://").or_else(|| location.strip_prefix("https://"))?;
    let rest = location.strip_prefix(host)?.strip_prefix(path)?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

fn relocated(own: &str, rest: &str) -> Option<HeaderValue> {
    let location = format!("{}{rest}", own.trim_end_matches('/'));
    HeaderValue::try_from(if location.starts_with('/') { location } else { format!("/{location}") }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_what_they_stand_for() {
        let check = |path: &str, rest: &str, query: Option<&str>, expected: Option<&str>| {
            let target = target(path, rest, query);
            assert_eq!(target.as_ref().map(PathAndQuery::as_str), expected, "{path} {rest}");
        };
        check("", "", None, Some("/"));
        check("", "/a%20b", Some("x=1&y"), Some("/a%20b?x=1&y"));
        check("/app", "", None, Some("/app"));
        check("/app", "/", Some(""), Some("/app/?"));
        check("app", "/x", None, Some("/app/x"));
        for rest in ["/..", "/%2e%2E/x", "/a/./b", "/a\\..\\b", "/a/.%2e", "/%2e%2e%2fx"] {
            check("/app", rest, None, None);
        }
    }

    #[test]
    fn redirections_of_the_server_lead_to_the_service() {
        let check = |location: &str, expected: Option<&str>| {
            let found = below(location, "inner:8000", "/app").and_then(|rest| relocated("/outer/", rest));
            assert_eq!(found, expected.map(|it| it.parse().expect("a value")), "{location}");
        };
        check("http://inner:8000/app/login?x", Some("/outer/login?x"));
        check("https://inner:8000/app", Some("/outer"));
        check("http://inner:8000/application", None);
        check("http://inner:80001/app", None);
        check("http://elsewhere/app", None);
        check("/app/login", None);
    }
}
