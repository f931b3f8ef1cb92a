//! HTTP on the control shard.
//!
//! Data shards keep the sockets, with their TLS, and relay octets; WebSocket handshakes stay there. Each connection is a
//! task, each path is answered by a [`service`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossring_router::address::{SessionKey, ShardId, TransportId};
use crossring_router::details::TransportDetails;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use crate::config::Routes;
use crate::worker::mail::{Relay, RelayPart};
use service::Service;
use stream::{Pipe, Stream};
use tunnel::Tunnel;

mod bridge;
mod build;
mod complaints;
mod http2;
mod own;
mod service;
mod silence;
mod slots;
mod stream;
mod tunnel;
mod upstream;

pub(crate) use bridge::{Guests, Wish};
pub(crate) use build::{NodeFacts, sites, try_service};

pub(crate) use service::Context;

/// What requests come with.
pub(crate) type Request = hyper::Request<Incoming>;

/// What is sent: whole, or in pieces.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer.
pub(crate) type Response = hyper::Response<Body>;

/// Longest head of a request, in octets.
pub(crate) const HEAD_SIZE_MAX: usize = 16 * 1024;

/// Most header fields of a request.
const FIELDS_MAX: usize = 100;

/// How long a request's head may take, and a connection may be idle, where `client_timeout` says nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What a web transport serves.
pub(crate) struct Site {
    pub(crate) routes: Routes<Service>,
    /// `Strict-Transport-Security`
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) has_access_log: bool,
    /// How long a connection may be idle.
    pub(crate) client_timeout: Option<Duration>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) details: Rc<TransportDetails>,
}

impl Peer {
    /// Its address; none for a Unix socket.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.details.peer.address()
    }

    /// Whether it came by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.details.is_secure()
    }
}

/// What those who serve HTTP want of the control shard.
#[derive(Debug)]
pub(crate) enum Demand {
    /// Tell the shard that keeps the socket.
    Relay(ShardId, Relay),
    /// Of a session of a web service.
    Guest(Wish),
}

/// The way of demands.
pub(crate) type Demands = UnboundedSender<Demand>;

/// What web transports serve, by listening transport.
pub(crate) type Sites = HashMap<TransportId, Rc<Site>>;

/// The HTTP connections of all shards.
pub(crate) struct Web {
    sites: Sites,
    pipes: HashMap<(ShardId, SessionKey), Rc<RefCell<Pipe>>>,
    demands: Demands,
    wanted: UnboundedReceiver<Demand>,
    stopping: watch::Sender<bool>,
}

impl Web {
    /// `wanted` is the end of `demands`.
    pub(crate) fn new(sites: Sites, demands: Demands, wanted: UnboundedReceiver<Demand>) -> Self {
        Self { sites, pipes: HashMap::new(), demands, wanted, stopping: watch::Sender::new(false) }
    }

    /// Lets connections end with the requests they are at.
    pub(crate) fn stop(&mut self) {
        self.stopping.send_replace(true);
    }

    /// The next demand, once there is one.
    pub(crate) async fn next(&mut self) -> Demand {
        match self.wanted.recv().await {
            Some(demand) => demand,
            // Not before the end: `demands` is here too.
            None => std::future::pending().await,
        }
    }

    /// The next demand, if there is one.
    pub(crate) fn take_demand(&mut self) -> Option<Demand> {
        self.wanted.try_recv().ok()
    }

    /// A piece of a connection of a data shard.
    pub(crate) fn take(&mut self, shard: ShardId, relay: Relay) {
        let at = (shard, relay.key);
        match relay.part {
            RelayPart::Opened(transport, details) => self.open(at, transport, *details),
            RelayPart::Octets(octets) => self.with_pipe(at, |pipe| pipe.push(octets)),
            RelayPart::Took(count) => self.with_pipe(at, |pipe| pipe.took(count as usize)),
            RelayPart::Ended => {
                self.with_pipe(at, Pipe::end);
                self.pipes.remove(&at);
            }
            RelayPart::HandedOver(_) => debug_assert!(false, "only data shards are handed connections"),
        }
    }

    /// A piece leaves for a data shard. A connection that is handed over is not ours any more; of every other the shard
    /// tells the end.
    pub(crate) fn sends(&mut self, shard: ShardId, relay: &Relay) {
        if matches!(relay.part, RelayPart::HandedOver(_)) {
            self.pipes.remove(&(shard, relay.key));
        }
    }

    fn with_pipe(&self, at: (ShardId, SessionKey), act: impl FnOnce(&mut Pipe)) {
        if let Some(pipe) = self.pipes.get(&at) {
            act(&mut pipe.borrow_mut());
        }
    }

    fn open(&mut self, at: (ShardId, SessionKey), transport: TransportId, details: TransportDetails) {
        let pipe = Pipe::shared();
        let stream = Stream::new(at.0, at.1, Rc::clone(&pipe), self.demands.clone());
        // Without a site the stream is dropped here, which ends the connection.
        let Some(site) = self.sites.get(&transport).filter(|_| !*self.stopping.borrow()) else { return };
        self.pipes.insert(at, pipe);
        let peer = Peer { details: Rc::new(details) };
        let stopping = self.stopping.subscribe();
        tokio::task::spawn_local(serve(Rc::clone(site), peer, stream, stopping));
    }
}

/// Whether the node stops.
type Stopping = watch::Receiver<bool>;

/// Waits until the node stops.
async fn stopped(stopping: &mut Stopping) {
    if stopping.wait_for(|is_stopping| *is_stopping).await.is_err() {
        // The control shard is gone, and takes this task with it.
        std::future::pending().await
    }
}

/// Serves one connection to its end.
async fn serve(site: Rc<Site>, peer: Peer, stream: Stream, mut stopping: Stopping) {
    let begun = tokio::select! {
        begun = tokio::time::timeout(HEAD_TIMEOUT, stream.begins_with(b"PRI * HTTP/2.0")) => begun,
        () = stopped(&mut stopping) => return,
    };
    let Ok(is_http2) = begun else { return };
    let ended = match is_http2 {
        true => http2::serve(site, peer, stream, stopping).await,
        false => serve_http1(site, peer, stream, stopping).await,
    };
    if let Err(error) = ended {
        tracing::debug!("HTTP: {error}");
    }
}

async fn serve_http1(
    site: Rc<Site>,
    peer: Peer,
    stream: Stream,
    mut stopping: Stopping,
) -> Result<(), hyper::Error> {
    let (taker, mut taken) = oneshot::channel();
    let handover = Rc::new(Handover(RefCell::new(Some(taker))));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(site.client_timeout.unwrap_or(HEAD_TIMEOUT))
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_SIZE_MAX);
    let service = service_fn(move |request| {
        let (site, peer, handover) = (Rc::clone(&site), peer.clone(), Rc::clone(&handover));
        async move { answer(&site, &peer, &handover, request).await }
    });
    let mut connection = builder.serve_connection(stream, service);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = &mut connection => return ended,
            Ok(takeover) = &mut taken => {
                let parts = connection.into_parts();
                match takeover {
                    Takeover::Shard(mut octets) if !is_stopping => {
                        octets.extend_from_slice(&parts.read_buf);
                        parts.io.hand_over(octets);
                    }
                    Takeover::Shard(_) => {}
                    Takeover::Tunnel(tunnel) => tokio::select! {
                        () = tunnel.run(parts.io, &parts.read_buf) => {}
                        () = stopped(&mut stopping) => {}
                    },
                }
                return Ok(());
            }
            () = stopped(&mut stopping), if !is_stopping => is_stopping = true,
        }
        Pin::new(&mut connection).graceful_shutdown();
    }
}

/// What takes a connection away from HTTP.
pub(crate) enum Takeover {
    /// The shard of the connection: the head of a WebSocket handshake.
    Shard(Vec<u8>),
    /// Another server.
    Tunnel(Tunnel),
}

/// The way out of HTTP, which a connection takes once. HTTP/2 has none.
#[derive(Default)]
pub(crate) struct Handover(RefCell<Option<oneshot::Sender<Takeover>>>);

impl Handover {
    /// Takes the connection away. The answer to its request is not sent then.
    pub(crate) fn take(&self, takeover: Takeover) {
        if let Some(taker) = self.0.take() {
            // Whoever takes is there as long as the connection.
            let _ = taker.send(takeover);
        }
    }

    fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }
}

async fn answer(
    site: &Site,
    peer: &Peer,
    handover: &Handover,
    request: Request,
) -> Result<Response, std::convert::Infallible> {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let found = site.routes.find(&path);
    let line = site.has_access_log.then(|| {
        let shown = found.map_or(Cow::Borrowed(&*path), |(service, rest)| service.loggable(&path, rest));
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {shown}{query}", request.method())
    });
    let could_leave = handover.is_open();
    let mut response = match found {
        // Whoever asks for a tunnel takes this for a forward proxy.
        _ if request.method() == hyper::Method::CONNECT => service::method_not_allowed("GET, HEAD, POST"),
        Some((service, rest)) => {
            let context = Context { peer, path: &path, rest, handover };
            service.answer(context, request).await
        }
        None => service::not_found(),
    };
    let headers = response.headers_mut();
    headers.entry(header::SERVER).or_insert(HeaderValue::from_static("crossring"));
    if let Some(hsts) = &site.hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if let Some(line) = line {
        let (status, address) = (response.status().as_u16(), peer.details.peer.to_text().unwrap_or_default());
        let took_us = begun.elapsed().as_micros() as u64;
        tracing::info!(target: "crossring::access", peer = address, status, took_us, "{line}");
    }
    if could_leave && !handover.is_open() {
        // The connection is taken away before this answer is needed.
        return std::future::pending().await;
    }
    Ok(response)
}

/// Whether the request begins the handshake of a WebSocket.
pub(crate) fn wants_websocket(request: &Request) -> bool {
    let upgrade = request.headers().get_all(header::UPGRADE);
    let words = upgrade.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    request.method() == hyper::Method::GET
        && words.into_iter().any(|word| word.trim().eq_ignore_ascii_case("websocket"))
}

/// The request as it came, but for the order of its fields.
pub(crate) fn head_of(request: &Request) -> Vec<u8> {
    let mut head = format!("GET {} HTTP/1.1\r\n", request.uri()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_handed_over_is_forgotten() {
        let (demands, wanted) = tokio::sync::mpsc::unbounded_channel();
        let mut web = Web::new(HashMap::new(), demands, wanted);
        let key = SessionKey { slot: 7, generation: 1 };
        let other = SessionKey { slot: 8, generation: 1 };
        for key in [key, other] {
            web.pipes.insert((ShardId(0), key), Pipe::shared());
        }
        web.sends(ShardId(0), &Relay { key, part: RelayPart::HandedOver(Vec::new()) });
        web.sends(ShardId(0), &Relay { key: other, part: RelayPart::Ended });
        assert_eq!(web.pipes.len(), 1, "of the other the shard tells the end");
        web.take(ShardId(0), Relay { key: other, part: RelayPart::Ended });
        assert!(web.pipes.is_empty());
    }
}
