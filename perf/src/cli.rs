//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crossring_codec::serializer::Serializer;
use crossring_io::EngineKind;

use crate::{
    protocol::wamp::Wire,
    scenario::Scenario,
    target::{REALM_DEFAULT, Target},
};

/// Longest warm-up and longest window, seconds: no protocol here needs a keep-alive that soon.
const SECONDS_MAX: f64 = 60.0;

/// Load generator, floor pump and side-by-side comparison.
#[derive(Debug, Parser)]
#[command(name = "crossring-perf", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios against a server that is running already.
    Run(Run),
    /// Start the floor, crossring and every peer found here, and measure them side by side.
    Compare(Compare),
    /// Serve as the floor: a pump without a protocol, the least a router can cost.
    Floor(Floor),
    /// Become another program, pinned, of raised priority, and told to end when the parent ends. Used by `compare`.
    #[command(hide = true)]
    Exec(Exec),
}

/// Options of `floor`.
#[derive(Debug, Args)]
pub struct Floor {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// io_uring, epoll or auto.
    #[arg(long, default_value = "auto", value_parser = parse_engine)]
    pub engine: EngineKind,
    /// With TLS, and a certificate made for the occasion.
    #[arg(long)]
    pub tls: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Scenarios, e.g. fan-out-100-w64, mesh-8x8-w16, rpc-64, rate-500x10, idle-5000, join-16,
    /// join-16-scram, burst-500x10-200, handshakes-500x10-16, flood-1000x10, churn-20000, static-16;
    /// append -1024b for another payload than 128 bytes, or for the size of the file.
    #[arg(required = true)]
    pub scenarios: Vec<Scenario>,
    /// Server: floor://, nats://, nats+ws://, redis://, mqtt:// or rs:// (RawSocket) HOST:PORT, or
    /// unix:PATH instead of HOST:PORT; ws://HOST:PORT/PATH for WebSocket, ws+deflate:// compressed;
    /// http://HOST:PORT/PATH for static files; +tls after the scheme of floor, http, nats, rs and ws for TLS.
    #[arg(long)]
    pub target: Target,
    /// WAMP serializer: msgpack (default), cbor, ubjson, flatbuffers or json; on WebSocket also with .batched appended.
    #[arg(long, value_parser = parse_serializer)]
    pub serializer: Option<Serializer>,
    /// WAMP realm to join.
    #[arg(long, default_value = REALM_DEFAULT)]
    pub realm: String,
    /// Process id of the server, for processor time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Pin the generator to this processor.
    #[arg(long)]
    pub processor: Option<usize>,
    /// How long and where to.
    #[command(flatten)]
    pub output: Output,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The router to start.
    #[arg(long, value_name = "FILE", default_value = "target/release/crossring")]
    pub crossring: PathBuf,
    /// Python environment with Crossbar.io in it; also taken from CROSSBAR_VENV.
    #[arg(long, value_name = "DIRECTORY")]
    pub crossbar_venv: Option<PathBuf>,
    /// Scenarios instead of the canonical ones, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub scenarios: Vec<Scenario>,
    /// Only the few scenarios that show each regime once.
    #[arg(long, conflicts_with = "scenarios")]
    pub quick: bool,
    /// Only these systems, separated by commas, by the names the report uses.
    #[arg(long, value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Transport and serializer of the WAMP routers, separated by commas: rs (RawSocket) or ws
    /// (WebSocket), a dot, and the serializer; +deflate or +deflate-alone (WebSocket) and +tls may
    /// follow; e.g. rs.msgpack,ws.json,ws.cbor.batched,ws.json+deflate,ws.json+tls.
    #[arg(long, value_delimiter = ',', default_value = "rs.msgpack")]
    pub wires: Vec<Wire>,
    /// Also crossring on two shards.
    #[arg(long)]
    pub two_shards: bool,
    /// Also crossring and the floor on this engine.
    #[arg(long, value_parser = parse_engine)]
    pub engine: Option<EngineKind>,
    /// Already in the process that measures.
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// How long and where to.
    #[command(flatten)]
    pub output: Output,
}

/// Options common to everything that measures.
#[derive(Debug, Args)]
pub struct Output {
    /// Length of the measuring window, seconds.
    #[arg(long, default_value = "1.5", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Not measured before each window, seconds.
    #[arg(long, default_value = "0.5", value_parser = parse_seconds)]
    pub warm_up: Duration,
    /// Rounds; medians are shown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Show the progress line even when standard error is not a terminal.
    #[arg(long)]
    pub progress: bool,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as Markdown tables.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the report as one HTML page with charts.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Options of `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// Processors to run on.
    #[arg(long, value_delimiter = ',', required = true)]
    pub processors: Vec<usize>,
    /// Program and arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

fn parse_serializer(name: &str) -> Result<Serializer, String> {
    Serializer::from_name(name)
        .ok_or_else(|| "json, msgpack, cbor, ubjson or flatbuffers, or one of them .batched".to_owned())
}

fn parse_engine(name: &str) -> Result<EngineKind, String> {
    let kinds = [EngineKind::Auto, EngineKind::IoUring, EngineKind::Epoll];
    let known = kinds.into_iter().find(|kind| kind.to_string() == name);
    known.ok_or_else(|| "auto, io_uring or epoll".to_owned())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("not a number: {text:?}"))?;
    match (0.0..=SECONDS_MAX).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("must be 0 to {SECONDS_MAX}")),
    }
}
