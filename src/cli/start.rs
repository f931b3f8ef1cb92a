//! `crossring start`: finds and checks the configuration, takes the node directory, and hands over to the node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossring_router::config::PrivateKey;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::disable_transparent_huge_pages;
use serde_json::json;

use super::{FAILURE, NodeDirectory, complain, directory, keys, process};
use crate::config::{self, Checked, EngineChoice, NodeConfig, TransportConfig};
use crate::logging::{self, Colour, LogFormat, LogLevel, LogTarget};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    directory: NodeDirectory,
    /// Configuration file, relative to the node directory [default: config.yaml, else config.json, else a node with realm1 on
    /// ports 8080 and 8081 of the loopback interface].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data threads; overrides controller.options.shards.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX))]
    shards: Option<u16>,
    /// Kernel interface for sockets; overrides controller.options.engine.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Least severe messages that are logged.
    #[arg(long, value_enum, default_value_t)]
    loglevel: LogLevel,
    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    logformat: LogFormat,
    /// Log to the file node.log instead of standard error.
    #[arg(long)]
    logtofile: bool,
    /// Directory of the log file, relative to the node directory [default: the node directory].
    #[arg(long, value_name = "DIRECTORY")]
    logdir: Option<PathBuf>,
    /// Colour log lines.
    #[arg(long, visible_alias = "colour", value_enum, default_value_t)]
    color: Colour,
    /// Stop after so many seconds, for tests.
    #[arg(long, value_name = "SECONDS")]
    shutdownafter: Option<u64>,
}

/// The log in a file.
const LOG_FILE_NAME: &str = "node.log";

const SHARDS_MAX: i64 = crossring_router::address::SHARDS_MAX as i64;

/// Spellings of [`EngineChoice`] on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Engine {
    Auto,
    #[value(name = "io_uring")]
    IoUring,
    Epoll,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let node_directory = arguments.directory.resolve();
    match start(arguments, &node_directory) {
        Ok(code) => code,
        Err(message) => {
            complain!("{message}");
            FAILURE
        }
    }
}

fn start(arguments: &Arguments, node_directory: &Path) -> Result<u8, String> {
    prepare_process();
    if let Some(pid) = process::running(node_directory) {
        let directory = node_directory.display();
        return Err(format!("crossring is already running from node directory {directory} (PID {pid})."));
    }
    let file = directory::configuration_file(node_directory, arguments.config.as_deref());
    if file.is_none() {
        directory::require_default(node_directory, arguments.directory.cbdir.as_deref())?;
    }
    let shown = file.as_deref().map_or_else(String::new, |file| format!(" {}", file.display()));
    let checked = directory::load(file.as_deref(), node_directory)
        .map_err(|error| format!("Invalid node configuration{shown}: {error}"))?;
    refuse_unsupported(&checked)?;
    directory::create(node_directory)?;
    let _pid_file = process::PidFile::create(node_directory, described(arguments, node_directory))?;
    let target = log_target(arguments, node_directory)?;
    logging::start(arguments.loglevel, arguments.logformat, arguments.color, &target)?;
    match &file {
        Some(file) => tracing::info!("node configuration: {}", file.display()),
        None => tracing::warn!(
            "no configuration in {}: the default node, where everybody on this host may do everything",
            node_directory.display()
        ),
    }
    log_remarks(&checked);
    let stop_after = arguments.shutdownafter.map(Duration::from_secs);
    let mut node = overridden(checked.node, arguments, node_directory);
    node.own_files = own_files(arguments, node_directory, file);
    node.node_key = node_key(&node, node_directory)?;
    let code = crate::node::run(&node, stop_after);
    if let (FAILURE, LogTarget::File(log)) = (code, &target) {
        complain!("crossring has failed; {} says why.", log.display());
    }
    Ok(code)
}

/// The key of the node, if it has one; made at the first start that needs one.
fn node_key(node: &NodeConfig, node_directory: &Path) -> Result<Option<PrivateKey>, String> {
    if let Some(found) = keys::find(node_directory).map_err(|error| error.to_string())? {
        found.remark.iter().for_each(|remark| tracing::warn!("{remark}"));
        return Ok(Some(PrivateKey::new(found.key.to_bytes())));
    }
    let proves_itself = |transport: &TransportConfig| {
        transport.auth.as_ref().is_some_and(|auth| auth.cryptosign.iter().next().is_some())
    };
    if !node.transports.iter().any(proves_itself) {
        return Ok(None);
    }
    let key = keys::load_or_create(node_directory).map_err(|error| error.to_string())?;
    Ok(Some(PrivateKey::new(key.to_bytes())))
}

/// Sets what is inherited from a shell but meant for other kinds of programs. What the system refuses stays as it was.
fn prepare_process() {
    // A connection is a descriptor: take as many as the administrator allows, not as many as a shell starts with.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    // Scripts get nothing that was left open around the router.
    let _ = crossring_io::descriptors::hide_from_programs();
    // Huge pages make small things resident in large pieces: the receive buffers and tables of an idle node took twice
    // the memory, and the hot part of a shard fits its caches anyway.
    let _ = disable_transparent_huge_pages(true);
}

/// Names everything that the configuration asks for beyond this version.
fn refuse_unsupported(checked: &Checked) -> Result<(), String> {
    let lines = checked.support.refused.iter().map(ToString::to_string);
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

fn log_remarks(checked: &Checked) {
    checked.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    checked
        .support
        .without_effect
        .iter()
        .for_each(|(path, why)| tracing::warn!("{path} has no effect: {why}"));
}

/// Where the log goes; creates the directory of the log file.
fn log_target(arguments: &Arguments, node_directory: &Path) -> Result<LogTarget, String> {
    if !arguments.logtofile {
        return Ok(LogTarget::StandardError);
    }
    let directory = node_directory.join(arguments.logdir.as_deref().unwrap_or(Path::new("")));
    std::fs::create_dir_all(&directory)
        .map_err(|error| format!("Could not create log directory {}: {error}", directory.display()))?;
    Ok(LogTarget::File(directory.join(LOG_FILE_NAME)))
}

/// What in the node directory is the node's own, whether it is there or not: a file that appears there may be its next one.
fn own_files(arguments: &Arguments, node_directory: &Path, configuration: Option<PathBuf>) -> Vec<PathBuf> {
    let names = config::FILE_NAMES.into_iter().chain(keys::FILE_NAMES).chain([process::FILE_NAME]);
    let log = node_directory.join(arguments.logdir.as_deref().unwrap_or(Path::new(""))).join(LOG_FILE_NAME);
    names.map(|name| node_directory.join(name)).chain([log]).chain(configuration).collect()
}

/// The configuration with what the command line says instead, and with paths that do not depend on the working directory.
fn overridden(mut node: NodeConfig, arguments: &Arguments, node_directory: &Path) -> NodeConfig {
    node.shards = arguments.shards.or(node.shards);
    node.engine = match arguments.engine {
        Some(Engine::Auto) => EngineChoice::Auto,
        Some(Engine::IoUring) => EngineChoice::IoUring,
        Some(Engine::Epoll) => EngineChoice::Epoll,
        None => node.engine,
    };
    node.resolve_paths(node_directory);
    node
}

/// The options as `node.pid` shows them to scripts.
fn described(arguments: &Arguments, node_directory: &Path) -> serde_json::Value {
    json!({
        "command": "start",
        "color": arguments.color.to_string(),
        "loglevel": arguments.loglevel.to_string(),
        "logformat": arguments.logformat.to_string(),
        "logdir": arguments.logdir,
        "logtofile": arguments.logtofile,
        "cbdir": node_directory,
        "config": arguments.config,
        "shutdownafter": arguments.shutdownafter,
    })
}
