//! `longpoll`: WAMP for clients that have nothing but HTTP requests.
//!
//! `POST open` begins a transport and names it; `POST <id>/send` brings messages, `POST <id>/receive` waits for some,
//! `POST <id>/close` ends it. Behind each transport is a guest of the service shard, so its session joins and is routed
//! like any other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crossring_codec::serializer::{Serializer, SerializerId, SerializerSet};
use crossring_router::address::TransportId;
use crossring_router::details::{ChannelType, TransportDetails, TransportExtra};
use crossring_router::limits::is_within;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::{self, BodyError};
use super::{Context, allow_cross_origin, full, method_not_allowed, not_found, preflight, text, with_type};
use crate::web::bridge::Wish;
use crate::web::{Demand, Demands, Peer, Request, Response};
use crate::worker::{Refusal, presentable};

mod channel;
mod tally;

pub(crate) use channel::Bounds;
use channel::{Channel, Places};
use tally::{Full, Tally};

/// Octets of the body of `open`.
const OPEN_SIZE_MAX: usize = 16 * 1024;

/// Transports of one service that have not joined a realm yet. Protects sessions of other services from a flood.
const JOINING_MAX: usize = 1024;

/// Random octets of a transport's id: who knows the id is its client.
const ID_SIZE: usize = 24;

/// The service of a path.
#[derive(Debug)]
pub(crate) struct LongPoll {
    /// Whose authentication clients go through.
    pub(crate) transport: TransportId,
    pub(crate) serializers: SerializerSet,
    pub(crate) bounds: Bounds,
    pub(crate) demands: Demands,
    pub(crate) channels: Rc<Channels>,
    pub(crate) admission: PollAdmission,
}

/// How many clients are let in.
#[derive(Debug)]
pub(crate) struct PollAdmission {
    /// Transports at the same time.
    pub(crate) channels_max: usize,
    /// The same of one address.
    pub(crate) channels_per_address_max: usize,
    /// Networks whose addresses are not told apart.
    pub(crate) exempt: Vec<(IpAddr, u8)>,
}

/// The open transports.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    by_id: RefCell<HashMap<String, Rc<Channel>>>,
    open: Tally,
    /// Those that have not joined yet.
    joining: Tally,
}

/// Why a request has no result: status and text.
#[derive(Debug)]
struct Fault(StatusCode, String);

impl Fault {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn gone() -> Self {
        Self(StatusCode::NOT_FOUND, "404: no such transport".to_owned())
    }

    fn full(text: &str) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong(_) => Self(StatusCode::PAYLOAD_TOO_LARGE, "413: too long".to_owned()),
            BodyError::Late => Self(StatusCode::REQUEST_TIMEOUT, "408: the body took too long".to_owned()),
            BodyError::Broken => Self::bad("400: the body broke off"),
            BodyError::Busy => Self::full("503: too many requests at the same time"),
        }
    }
}

impl LongPoll {
    pub(super) async fn answer(&self, context: Context<'_>, request: Request) -> Response {
        let asked = request.headers().clone();
        let answered = self.perform(context.peer, context.rest, request).await;
        let mut response = answered.unwrap_or_else(|Fault(status, told)| text(status, told));
        allow_cross_origin(&asked, &mut response);
        let headers = response.headers_mut();
        let never = HeaderValue::from_static("no-store,no-cache,must-revalidate,max-age=0");
        headers.insert(header::CACHE_CONTROL, never);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn perform(&self, peer: &Peer, rest: &str, request: Request) -> Result<Response, Fault> {
        let method = request.method().clone();
        if method == Method::OPTIONS {
            return Ok(preflight(request.headers(), "GET,POST,OPTIONS"));
        }
        let mut components = rest.split('/').filter(|component| !component.is_empty());
        let path = (components.next(), components.next(), components.next());
        match (method, path) {
            (Method::POST, (Some("open"), None, None)) => self.open(peer, request).await,
            (_, (Some("open"), None, None)) => Ok(method_not_allowed("POST")),
            (Method::GET, (Some(id), None, None)) => Ok(describe(id, &*self.channel(id)?)),
            (Method::POST, (Some(id), Some(operation), None)) => {
                self.operate(&self.channel(id)?, id, operation, request).await
            }
            (_, (Some(_), Some("send" | "receive" | "close"), None)) => Ok(method_not_allowed("POST")),
            _ => Ok(not_found()),
        }
    }

    fn channel(&self, id: &str) -> Result<Rc<Channel>, Fault> {
        self.channels.by_id.borrow().get(id).cloned().ok_or_else(Fault::gone)
    }

    async fn operate(
        &self,
        channel: &Rc<Channel>,
        id: &str,
        operation: &str,
        request: Request,
    ) -> Result<Response, Fault> {
        let _active = channel.active();
        match operation {
            "send" => channel.send(request.into_body()).await.map(|()| no_content()),
            "receive" => {
                let received = channel.receive().await?;
                Ok(received.map_or_else(no_content, |body| {
                    with_type(StatusCode::OK, media_type(channel.serializer()), body)
                }))
            }
            "close" => {
                self.channels.by_id.borrow_mut().remove(id);
                channel.close();
                Ok(no_content())
            }
            _ => Ok(not_found()),
        }
    }

    async fn open(&self, peer: &Peer, request: Request) -> Result<Response, Fault> {
        let details = details(peer, request.headers());
        let wanted = body::read(request.into_body(), OPEN_SIZE_MAX).await?;
        let serializer = self.agree(&wanted)?;
        let places = self.admit(peer)?;
        let details = TransportDetails { serializer: Some(serializer), ..details };
        let (outputs, incoming) = mpsc::unbounded_channel();
        let (opened, key) = oneshot::channel();
        let wish = Wish::Open { transport: self.transport, details: Arc::new(details), outputs, opened };
        let shuts_down = || Fault::full("503: the router shuts down");
        self.demands.send(Demand::Guest(wish)).map_err(|_| shuts_down())?;
        let key = key.await.map_err(|_| shuts_down())?;
        let key = key.ok_or_else(|| Fault::full("503: too many transports"))?;
        let demands = self.demands.clone();
        let channel = Channel::new(key, peer.address(), serializer, self.bounds, demands, places);
        let id = random_id().inspect_err(|_| channel.close())?;
        self.channels.by_id.borrow_mut().insert(id.clone(), Rc::clone(&channel));
        let told = serde_json::json!({"transport": id, "protocol": serializer.subprotocol()});
        let channels = Rc::clone(&self.channels);
        tokio::task::spawn_local(async move {
            channel.live(incoming).await;
            channels.by_id.borrow_mut().remove(&id);
        });
        Ok(json(&told))
    }

    /// The first protocol of the client that is spoken here.
    fn agree(&self, body: &[u8]) -> Result<Serializer, Fault> {
        let wanted: serde_json::Value = serde_json::from_slice(body)
            .map_err(|_| Fault::bad("could not parse WAMP session open request body"))?;
        let protocols = wanted.as_object().and_then(|wanted| wanted.get("protocols"));
        let protocols = protocols
            .and_then(serde_json::Value::as_array)
            .ok_or_else(|| Fault::bad("invalid type for WAMP session open request"))?;
        let mut names = protocols.iter().filter_map(serde_json::Value::as_str);
        names.find_map(|name| self.serializers.by_subprotocol(name)).ok_or_else(|| {
            let spoken = self.serializers.subprotocols().collect::<Vec<_>>();
            Fault::bad(format!("no common protocol to speak: only {}", spoken.join(", ")))
        })
    }

    /// Lets one more client in, if there is room. One address may take a quarter of it.
    fn admit(&self, peer: &Peer) -> Result<Places, Fault> {
        self.places(peer).map_err(|refusal| {
            // Without a control shard nobody counts either.
            let _ = self.demands.send(Demand::Guest(Wish::Count(refusal, peer.address())));
            Fault::full("503: too many transports")
        })
    }

    fn places(&self, peer: &Peer) -> Result<Places, Refusal> {
        let PollAdmission { channels_max, channels_per_address_max, exempt } = &self.admission;
        let address = peer.address().filter(|address| !is_within(exempt, *address));
        let open = self.channels.open.add(address, *channels_max, *channels_per_address_max);
        let open = open.map_err(|full| match full {
            Full::All => Refusal::ListenerFull,
            Full::Address => Refusal::AddressFull,
        })?;
        let joining = self.channels.joining.add(address, JOINING_MAX, JOINING_MAX / 4);
        joining.map(|joining| Places { open, joining }).map_err(|_| Refusal::Unjoined)
    }
}

/// What the session is told to have come by. There are many connections, so none of them can be bound to.
fn details(peer: &Peer, headers: &HeaderMap) -> TransportDetails {
    let text = |value: &HeaderValue| Box::from(&*String::from_utf8_lossy(value.as_bytes()));
    let headers = headers.iter().map(|(name, value)| (name.as_str().into(), text(value))).collect();
    let extra = TransportExtra { http_headers_received: presentable(headers), ..TransportExtra::default() };
    TransportDetails {
        channel_type: Some(if peer.is_secure() { ChannelType::Tls } else { ChannelType::Tcp }),
        is_server: true,
        peer: peer.details.peer.clone(),
        own_pid: peer.details.own_pid,
        extra: Some(Box::new(extra)),
        ..TransportDetails::default()
    }
}

fn describe(id: &str, channel: &Channel) -> Response {
    json(&serde_json::json!({"transport": id, "session": channel.session()}))
}

fn json(document: &serde_json::Value) -> Response {
    with_type(StatusCode::OK, media_type(Serializer::JSON), document.to_string())
}

fn no_content() -> Response {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Autobahn's media types.
fn media_type(serializer: Serializer) -> &'static str {
    match serializer.id {
        SerializerId::Json => "application/json; charset=utf-8",
        SerializerId::MessagePack => "application/x-msgpack",
        SerializerId::Cbor => "application/cbor",
        SerializerId::Ubjson | SerializerId::Bjdata => "application/ubjson",
        SerializerId::FlatBuffers => "application/x-flatbuffers",
    }
}

fn random_id() -> Result<String, Fault> {
    let mut octets = [0; ID_SIZE];
    getrandom::fill(&mut octets).map_err(|_| Fault::full("503: no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}
