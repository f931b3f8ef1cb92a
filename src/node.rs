//! A whole node: binds the sockets, starts the shards, runs the control shard until the end.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use crossring_io::listener;
use crossring_io::{
    AnyEngine, Doorbell, Engine, EngineKind, EngineOptions, Monotonic, ProbeReport, affinity,
};
use crossring_router::address::{SHARDS_MAX, ShardId, TransportId};
use crossring_router::config::PrivateKey;
use crossring_router::control;
use crossring_router::credentials::to_hex;
use crossring_router::rfc3339;
use crossring_router::shard::Shard;
use rustls::ServerConfig;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::{Endpoint, EngineChoice, NodeConfig, TransportConfig};
use crate::control::{Certificates, Control, NodeEnd, ShardExit};
use crate::cookies::{CookieKeeper, OpenError};
use crate::tls::TlsError;
use crate::web::{self, NodeFacts, Web};
use crate::worker::mail::{PostOffice, post_offices};
use crate::worker::{Listener, Worker, WorkerLimits};

mod convert;
mod endpoints;
mod requisites;

pub(crate) use convert::{cookie_stores, outbound_limits, serializers};
pub use requisites::unmet;

/// The node ran and ended as it was told to.
pub const EXIT_OK: u8 = 0;
/// The node could not start, or had to stop.
pub const EXIT_FAILURE: u8 = 1;

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// More shards than a node can have, or none.
    ShardCount(usize),
    /// A transport could not listen.
    Listen {
        /// Its id.
        transport: String,
        /// Where.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// A transport's TLS cannot be set up.
    Tls {
        /// Its id.
        transport: String,
        /// Why.
        error: TlsError,
    },
    /// Cookies that have been kept cannot be read, or no more can be kept.
    Cookies(OpenError),
    /// No engine for the sockets.
    Engine(String),
    /// A web service cannot be offered.
    Site(String),
    /// The operating system refused something else.
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::ShardCount(count) => write!(f, "{count} shards: must be 1..={SHARDS_MAX}"),
            StartError::Listen { transport, place, error } => {
                write!(
                    f,
                    "transport {transport:?} cannot listen on {place}: {error}{}",
                    endpoints::advice(error)
                )
            }
            StartError::Tls { transport, error } => write!(f, "TLS of transport {transport:?}: {error}"),
            StartError::Cookies(error) => write!(f, "{error}"),
            StartError::Engine(text) | StartError::Site(text) => f.write_str(text),
            StartError::System(error) => write!(f, "start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        StartError::Cookies(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}

/// Runs a node until it is told to stop, or for a time; returns the exit code. Everything that happens is logged.
pub fn run(config: &NodeConfig, stop_after: Option<Duration>) -> u8 {
    match start(config, stop_after) {
        Ok(NodeEnd::Drained) => {
            tracing::info!("all sessions closed");
            EXIT_OK
        }
        Ok(NodeEnd::Forced) => {
            tracing::warn!("stopped before all sessions were closed");
            EXIT_FAILURE
        }
        Ok(NodeEnd::Fault(text)) => {
            tracing::error!("{text}");
            EXIT_FAILURE
        }
        Err(error) => {
            tracing::error!("{error}");
            EXIT_FAILURE
        }
    }
}

fn start(config: &NodeConfig, stop_after: Option<Duration>) -> Result<NodeEnd, StartError> {
    let cpus = affinity::allowed()?;
    let shards = shard_count(config, cpus.len())?;
    let report = probe(config.engine)?;
    let entropy = to_hex(&random_octets()?);
    let router_config = Arc::new(convert::router_config(config, &entropy).with_trusted_role());
    let limits = convert::limits(config);
    let (demander, demands) = mpsc::unbounded_channel();
    let sites = web::sites(config, &facts(config, shards), &demander).map_err(StartError::Site)?;
    let web = Web::new(sites, demander, demands);
    let mut certificates = Certificates::default();
    let (mut listeners, places) = listen(config, shards, &mut certificates)?;
    let seed = u64::from_ne_bytes(random_octets()?[..8].try_into().unwrap_or_default());

    let control_bell = Doorbell::eventfd()?;
    let (exit_sender, exits) = mpsc::unbounded_channel();
    let mut starts = Vec::new();
    for index in (0..shards).rev() {
        let (office_sender, office) = std_mpsc::channel();
        let (bell_sender, bell) = std_mpsc::channel();
        let plan = ShardPlan {
            id: ShardId(index as u8),
            cpu: (shards <= cpus.len()).then(|| cpus[index]),
            report: report.clone(),
            listeners: listeners.pop().unwrap_or_default(),
            shard: Shard::new(
                ShardId(index as u8),
                shards + 1,
                router_config.clone(),
                limits.clone(),
                seed.wrapping_add(1 + index as u64),
            ),
            limits: convert::worker_limits(config, shards),
            connections_max: convert::connections_max(config, shards),
        };
        let exit = exit_sender.clone();
        thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let shard = plan.id;
            let fault = plan.run(&bell_sender, &office).err();
            let _ = exit.send(ShardExit { shard, fault });
        })?;
        starts.push((bell, office_sender));
    }
    starts.reverse();
    let core = control::Control::new(shards, router_config, limits, seed);
    let cookies = CookieKeeper::open(&cookie_stores(config).0)?;
    let office = connect(starts, &control_bell)?;
    let drain_timeout = config.limits.shutdown_timeout;
    let mut control = Control::new(core, office, control_bell, shards, drain_timeout, certificates, web)
        .with_cookies(cookies);
    if tracing::enabled!(tracing::Level::DEBUG) {
        control = control.telling_joins(config.transports.iter().filter_map(|it| it.auth.as_ref()));
    }
    let end = control.run(stop_after, report.chosen == EngineKind::IoUring, exits, || {
        announce(config, shards, &report, &places);
    });
    endpoints::remove_sockets(config);
    Ok(end?)
}

/// What the web services of the node may tell of it.
fn facts(config: &NodeConfig, shards: usize) -> NodeFacts {
    NodeFacts {
        started: rfc3339::format(Clock::new().now(Monotonic::read()).unix_ms),
        name: convert::node_name(config),
        shards,
        public_key: config.node_key.as_ref().map(PrivateKey::public_key),
    }
}

/// A shard's start: its doorbell comes, its post office goes.
type ShardStart = (std_mpsc::Receiver<Result<Doorbell, String>>, std_mpsc::Sender<PostOffice>);

/// Waits until every shard has an engine, then hands out the post offices. Returns the control shard's.
fn connect(starts: Vec<ShardStart>, control: &Doorbell) -> Result<PostOffice, StartError> {
    let mut doorbells = Vec::new();
    for (bell, _) in &starts {
        let bell = bell.recv().unwrap_or_else(|_| Err("a shard ended while it was starting".to_owned()));
        doorbells.push(bell.map_err(StartError::Engine)?);
    }
    doorbells.push(control.clone());
    let mut offices = post_offices(doorbells);
    let own = offices.pop().ok_or(io::ErrorKind::Other).map_err(io::Error::from)?;
    for ((_, sender), office) in starts.into_iter().zip(offices) {
        // A shard that is gone has reported why.
        let _ = sender.send(office);
    }
    Ok(own)
}

/// Everything one data shard's thread is made of.
struct ShardPlan {
    id: ShardId,
    cpu: Option<usize>,
    report: ProbeReport,
    listeners: Vec<Listener>,
    shard: Shard,
    limits: WorkerLimits,
    connections_max: u32,
}

impl ShardPlan {
    /// Runs the shard on the calling thread until it is told to stop.
    fn run(
        self,
        bell: &std_mpsc::Sender<Result<Doorbell, String>>,
        office: &std_mpsc::Receiver<PostOffice>,
    ) -> Result<(), String> {
        if let Some(cpu) = self.cpu
            && let Err(error) = affinity::pin(cpu)
        {
            tracing::warn!("shard {} is not pinned to CPU {cpu}: {error}", self.id.0);
        }
        let engine = self.open_engine().inspect_err(|text| drop(bell.send(Err(text.clone()))))?;
        let _ = bell.send(Ok(engine.doorbell()));
        let Ok(office) = office.recv() else { return Ok(()) };
        let mut worker = Worker::new(engine, self.shard, self.listeners, office, self.limits);
        worker.run().map_err(|fault| format!("shard {}: {fault}", self.id.0))
    }

    fn open_engine(&self) -> Result<AnyEngine, String> {
        let options = EngineOptions { connections_max: self.connections_max, ..EngineOptions::default() };
        crossring_io::open_probed(&self.report, options).map_err(|error| error.to_string())
    }
}

fn shard_count(config: &NodeConfig, cpus: usize) -> Result<usize, StartError> {
    let count = config.shards.map_or(cpus.min(SHARDS_MAX), usize::from);
    if (1..=SHARDS_MAX).contains(&count) { Ok(count) } else { Err(StartError::ShardCount(count)) }
}

fn probe(engine: EngineChoice) -> Result<ProbeReport, StartError> {
    let wanted = match engine {
        EngineChoice::Auto => EngineKind::Auto,
        EngineChoice::IoUring => EngineKind::IoUring,
        EngineChoice::Epoll => EngineKind::Epoll,
    };
    let report = crossring_io::probe(wanted).map_err(|error| StartError::Engine(error.to_string()))?;
    match &report.refusal {
        Some(refusal) => tracing::warn!("io_uring is not used, epoll takes its place: {refusal}"),
        None => tracing::debug!("{report}"),
    }
    Ok(report)
}

/// The listening sockets of every shard, and where each transport listens.
fn listen(
    config: &NodeConfig,
    shards: usize,
    certificates: &mut Certificates,
) -> Result<(Vec<Vec<Listener>>, Vec<String>), StartError> {
    let mut all: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    let mut places = Vec::new();
    let inherited = listener::activated()?;
    for (index, transport) in config.transports.iter().enumerate() {
        if matches!(transport.endpoint, Endpoint::Within(_)) {
            continue;
        }
        let kind = convert::listener_kind(config, transport);
        let limits = convert::listener_limits(transport, shards);
        let id = TransportId(index as u16);
        let tls = tls_settings(id, transport, certificates)?;
        let bound = endpoints::bind_patiently(transport, shards, &inherited);
        let bound = bound.map_err(|error| StartError::Listen {
            transport: transport.id.clone(),
            place: endpoints::place(&transport.endpoint),
            error,
        })?;
        places.push(bound.place);
        for (listeners, socket) in all.iter_mut().zip(bound.sockets) {
            let (kind, tls, limits) = (kind.clone(), tls.clone(), limits.clone());
            listeners.push(Listener { socket, transport: id, kind, limits, tls });
        }
    }
    Ok((all, places))
}

/// Reads what a transport's TLS is made of.
fn tls_settings(
    id: TransportId,
    transport: &TransportConfig,
    certificates: &mut Certificates,
) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let Some(endpoint) = transport.endpoint.tls() else { return Ok(None) };
    let protocols = convert::application_protocols(transport);
    let config = certificates.add(id, &transport.id, endpoint, protocols);
    config.map(Some).map_err(|error| StartError::Tls { transport: transport.id.clone(), error })
}

/// Says what was started and how to try it.
fn announce(config: &NodeConfig, shards: usize, report: &ProbeReport, places: &[String]) {
    tracing::info!("crossring {} on {shards} shard(s), engine {}", env!("CARGO_PKG_VERSION"), report.chosen);
    let listening = config.transports.iter().filter(|it| !matches!(it.endpoint, Endpoint::Within(_)));
    for (transport, place) in listening.zip(places) {
        let tls = if transport.endpoint.tls().is_some() { " with TLS" } else { "" };
        tracing::info!("{}{tls} listening on {place}", convert::kind_name(transport));
    }
    if places.is_empty() {
        tracing::warn!("nobody can connect: the configuration has no transports");
    }
    let realms = config.realms.iter().map(|realm| realm.name.as_str()).collect::<Vec<_>>().join(", ");
    tracing::info!("realms: {realms}");
    if let Some(line) = convert::try_it(config) {
        tracing::info!("try it: {line}");
    }
}

/// A seed nobody can guess: session ids come from it.
fn random_octets() -> io::Result<[u8; 32]> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    Ok(octets)
}
