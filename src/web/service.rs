//! What answers the requests of a path.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode, Version};

use super::{Body, Handover, Peer, Request, Response, Takeover, head_of, wants_websocket};

mod archive;
mod body;
mod cgi;
mod files;
mod fixed;
mod longpoll;
mod node_info;
mod proxy;
mod rest;
mod signature;
mod upload;

pub(crate) use archive::{Archive, ArchiveRules};
pub(crate) use cgi::Cgi;
pub(crate) use files::{Files, Tree};
pub(crate) use fixed::{Json, Redirect, allow_cross_origin, preflight};
pub(crate) use longpoll::{Bounds as PollBounds, Channels as PollChannels, LongPoll, PollAdmission};
pub(crate) use node_info::NodeInfo;
use proxy::remove_hop_by_hop;
pub(crate) use proxy::{Backend, Forwarded, Proxy, RequestBody, WebSocketProxy};
pub(crate) use rest::{Admission, Deed, Hook, Network, Rest};
pub(crate) use signature::Signatures;
pub(crate) use upload::{FieldNames, Store, StoreRules, Upload};

/// A service of a path.
#[derive(Debug)]
pub(crate) enum Service {
    /// WAMP over WebSocket: handed to a data shard; without an upgrade there is nothing to see.
    WebSocket,
    /// The files of a directory.
    Static(Files),
    /// A JSON document.
    Json(Json),
    /// Another place.
    Redirect(Redirect),
    /// What this node is.
    NodeInfo(NodeInfo),
    /// Calls and publications.
    Rest(Box<Rest>),
    /// The files in an archive.
    Archive(Box<Archive>),
    /// Files that browsers send.
    Upload(Box<Upload>),
    /// WAMP by requests.
    LongPoll(Box<LongPoll>),
    /// Another server.
    Proxy(Box<Proxy>),
    /// Another server, for WebSockets.
    WebSocketProxy(Box<WebSocketProxy>),
    /// Programs.
    Cgi(Box<Cgi>),
    /// Nothing.
    Nothing,
}

/// What a service may look at beside the request.
pub(crate) struct Context<'a> {
    pub(crate) peer: &'a Peer,
    /// The whole path.
    pub(crate) path: &'a str,
    /// What is below the service's own path: empty, or with a leading `/`.
    pub(crate) rest: &'a str,
    pub(crate) handover: &'a Handover,
}

impl Service {
    /// A path as logs may show it: the ids of long-poll transports are secrets of their clients.
    pub(super) fn loggable<'a>(&self, path: &'a str, rest: &str) -> Cow<'a, str> {
        let is_open = rest.trim_matches('/') == "open";
        match (self, path.strip_suffix(rest)) {
            (Service::LongPoll(_), Some(own)) if !is_open => {
                let operation = ["send", "receive", "close"].iter().find(|name| rest.ends_with(**name));
                Cow::Owned(format!("{own}/***/{}", operation.copied().unwrap_or_default()))
            }
            _ => Cow::Borrowed(path),
        }
    }

    pub(super) async fn answer(&self, context: Context<'_>, request: Request) -> Response {
        tracing::trace!(
            path = &*self.loggable(context.path, context.rest),
            secure = context.peer.is_secure(),
            "request"
        );
        match self {
            Service::WebSocket => websocket(&context, &request),
            Service::Static(files) => files.answer(context.rest, &request).await,
            Service::Json(json) => json.answer(&request),
            Service::Redirect(redirect) => redirect.answer(&request),
            Service::NodeInfo(info) => info.answer(&request),
            Service::Rest(rest) => rest.answer(context.peer, request).await,
            Service::Archive(archive) => archive.answer(context.rest, &request).await,
            Service::Upload(upload) => upload.answer(request).await,
            Service::LongPoll(service) => service.answer(context, request).await,
            Service::Proxy(proxy) => proxy.answer(context, request).await,
            Service::Cgi(cgi) => cgi.answer(context, request).await,
            Service::WebSocketProxy(proxy) => proxy.answer(context, request).await,
            Service::Nothing => not_found(),
        }
    }
}

/// A body that is there as a whole.
pub(crate) fn full(octets: impl Into<Bytes>) -> Body {
    Full::new(octets.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A short answer for people.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text: String = text.into();
    text.push('\n');
    with_type(status, "text/plain; charset=utf-8", text)
}

/// An answer of some type.
pub(crate) fn with_type(status: StatusCode, kind: &'static str, octets: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(octets));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// There is nothing at the path.
pub(crate) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404: nothing here")
}

/// The method is none of `allowed`.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("405: only {allowed}"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Whether the request only reads.
pub(crate) fn is_read(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Hands the connection to its shard.
fn websocket(context: &Context<'_>, request: &Request) -> Response {
    if !wants_websocket(request) {
        return upgrade_required();
    }
    if request.version() == Version::HTTP_2 {
        return text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "505: WebSockets need HTTP/1.1");
    }
    context.handover.take(Takeover::Shard(head_of(request)));
    switching()
}

/// The answer of who takes the connection away: for the log only.
fn switching() -> Response {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
}

fn upgrade_required() -> Response {
    let mut response = text(StatusCode::UPGRADE_REQUIRED, "426: this path speaks WebSocket only");
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}
