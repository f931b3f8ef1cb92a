//! Who takes part: what is found on this machine, and how each is started.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crossring_io::EngineKind;

use super::{
    Programs,
    certificate::Certificate,
    launch::{Launch, free_address},
    node_config::{self, CrossringOptions},
};
use crate::{
    cli::Compare,
    fault::Fault,
    link::Address,
    placement::Placement,
    protocol::{
        nats::Wrapping,
        wamp::{Carrier, Wire},
    },
    report::{FLOOR, Missing, NATS},
    scenario::Scenario,
    target::{Dialect, Target},
};

/// Name of our router in reports.
const CROSSRING: &str = "crossring";
/// Name of Crossbar.io in reports.
const CROSSBAR: &str = "crossbar";
/// Where programs are looked for when they are not in `PATH`.
const SBIN: &str = "/usr/sbin";
const NATS_SERVER: &str = "nats-server";
const NGINX: &str = "nginx";

/// One system in the comparison.
pub(super) struct Contender {
    /// Name in the report.
    pub(super) name: String,
    /// As the program says itself.
    pub(super) version: String,
    /// Processors it is pinned to.
    pub(super) processors: Vec<usize>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Floor {
        engine: EngineKind,
        is_secured: bool,
    },
    Nats {
        program: PathBuf,
        wrapping: Wrapping,
    },
    Redis {
        program: PathBuf,
    },
    Mosquitto {
        program: PathBuf,
    },
    Crossring {
        program: PathBuf,
        wire: Wire,
        shards: usize,
        engine: EngineKind,
    },
    Crossbar {
        program: PathBuf,
        wire: Wire,
    },
    /// The static files of either router.
    Web {
        program: PathBuf,
        is_ours: bool,
        is_secured: bool,
    },
    Nginx {
        program: PathBuf,
        is_secured: bool,
    },
}

/// Everybody who can take part, and who cannot.
pub(super) struct Lineup {
    /// In the order of the report.
    pub(super) contenders: Vec<Contender>,
    /// Named in the report, so that nobody takes an absence for a result.
    pub(super) missing: Vec<Missing>,
}

impl Lineup {
    /// Looks around.
    pub(super) fn find(options: &Compare, programs: &Programs, placement: &Placement) -> Lineup {
        let mut lineup = Lineup { contenders: Vec::new(), missing: Vec::new() };
        let one = &placement.server;
        lineup.add_floors(options, one);
        lineup.look_for_crossring(options, programs, placement);
        lineup.look_for_nats(options, one);
        lineup.look_for("redis", "redis-server", "--version", one, |program| Kind::Redis { program });
        lineup.look_for("mosquitto", "mosquitto", "-h", one, |program| Kind::Mosquitto { program });
        lineup.look_for_crossbar(options, programs, one);
        lineup.look_for_web(options, programs, one);
        lineup.keep_only(&options.systems);
        lineup
    }

    fn add_floors(&mut self, options: &Compare, processors: &[usize]) {
        let version = format!("crossring-perf {}", env!("CARGO_PKG_VERSION"));
        self.add(
            FLOOR,
            version.clone(),
            processors,
            Kind::Floor { engine: EngineKind::Auto, is_secured: false },
        );
        if options.wires.iter().any(|wire| wire.is_secured) {
            let kind = Kind::Floor { engine: EngineKind::Auto, is_secured: true };
            self.add(&format!("{FLOOR}+tls"), version.clone(), processors, kind);
        }
        if let Some(engine) = options.engine {
            self.add(
                &format!("{FLOOR}-{engine}"),
                version,
                processors,
                Kind::Floor { engine, is_secured: false },
            );
        }
    }

    fn look_for_crossring(&mut self, options: &Compare, programs: &Programs, placement: &Placement) {
        let program = programs.crossring.canonicalize().unwrap_or_else(|_| programs.crossring.clone());
        if !program.is_file() {
            let reason = format!("{} is missing: build it, or name it with --crossring", program.display());
            return self.miss(CROSSRING, reason);
        }
        let version = version_of(&program, "version");
        let kind = |wire, shards, engine| Kind::Crossring { program: program.clone(), wire, shards, engine };
        for &wire in &options.wires {
            let name = named(CROSSRING, wire);
            self.add(&name, version.clone(), &placement.server, kind(wire, 1, EngineKind::Auto));
        }
        let wire = options.wires.first().copied().unwrap_or(Wire::DEFAULT);
        if options.two_shards {
            let kind = kind(wire, 2, EngineKind::Auto);
            self.add(&format!("{CROSSRING}-2-shards"), version.clone(), &placement.server_pair, kind);
        }
        if let Some(engine) = options.engine {
            let kind = kind(wire, 1, engine);
            self.add(&format!("{CROSSRING}-{engine}"), version, &placement.server, kind);
        }
    }

    fn look_for_crossbar(&mut self, options: &Compare, programs: &Programs, processors: &[usize]) {
        let program = programs.crossbar_venv.as_ref().map(|venv| venv.join("bin/crossbar"));
        match program {
            Some(program) if program.is_file() => {
                let version = crossbar_version(&program);
                for &wire in &options.wires {
                    let kind = Kind::Crossbar { program: program.clone(), wire };
                    self.add(&named(CROSSBAR, wire), version.clone(), processors, kind);
                }
            }
            Some(program) => self.miss(CROSSBAR, format!("{} is missing", program.display())),
            None => self.miss(CROSSBAR, "no --crossbar-venv and no CROSSBAR_VENV".to_owned()),
        }
    }

    /// Plain, and by whatever way the routers are measured.
    fn look_for_nats(&mut self, options: &Compare, processors: &[usize]) {
        let Some(program) = find_program(NATS_SERVER) else {
            return self.miss(NATS, format!("{NATS_SERVER} is neither in PATH nor in {SBIN}"));
        };
        let version = version_of(&program, "-v");
        let mut wrappings = vec![Wrapping::default()];
        wrappings.extend(options.wires.iter().map(|&wire| wrapping_like(wire)));
        let mut seen = Vec::new();
        for wrapping in wrappings {
            let name = nats_named(wrapping);
            if !seen.contains(&name) {
                let kind = Kind::Nats { program: program.clone(), wrapping };
                self.add(&name, version.clone(), processors, kind);
                seen.push(name);
            }
        }
    }

    /// Whoever serves files.
    fn look_for_web(&mut self, options: &Compare, programs: &Programs, processors: &[usize]) {
        let mut securities = vec![false];
        securities.extend(options.wires.iter().any(|wire| wire.is_secured).then_some(true));
        let crossbar = programs.crossbar_venv.as_ref().map(|venv| venv.join("bin/crossbar"));
        let nginx = find_program(NGINX);
        if nginx.is_none() && programs.needs_files {
            self.miss(NGINX, format!("{NGINX} is neither in PATH nor in {SBIN}"));
        }
        for is_secured in securities {
            let tls = if is_secured { "+tls" } else { "" };
            if let Ok(program) = programs.crossring.canonicalize() {
                let version = version_of(&program, "version");
                let kind = Kind::Web { program, is_ours: true, is_secured };
                self.add(&format!("{CROSSRING} web{tls}"), version, processors, kind);
            }
            if let Some(program) = crossbar.clone().filter(|program| program.is_file()) {
                let version = crossbar_version(&program);
                let kind = Kind::Web { program, is_ours: false, is_secured };
                self.add(&format!("{CROSSBAR} web{tls}"), version, processors, kind);
            }
            if let Some(program) = nginx.clone() {
                let version = version_of(&program, "-v");
                self.add(&format!("{NGINX}{tls}"), version, processors, Kind::Nginx { program, is_secured });
            }
        }
    }

    fn miss(&mut self, name: &str, reason: String) {
        self.missing.push(Missing { name: name.to_owned(), reason });
    }

    fn add(&mut self, name: &str, version: String, processors: &[usize], kind: Kind) {
        let (name, processors) = (name.to_owned(), processors.to_vec());
        self.contenders.push(Contender { name, version, processors, kind });
    }

    fn look_for(
        &mut self,
        name: &str,
        program: &str,
        version_option: &str,
        processors: &[usize],
        kind: fn(PathBuf) -> Kind,
    ) {
        match find_program(program) {
            Some(path) => self.add(name, version_of(&path, version_option), processors, kind(path)),
            None => {
                self.miss(name, format!("{program} is neither in PATH nor in {SBIN}"));
            }
        }
    }

    fn keep_only(&mut self, names: &[String]) {
        if !names.is_empty() {
            self.contenders.retain(|contender| names.contains(&contender.name));
            self.missing.retain(|missing| names.contains(&missing.name));
        }
    }
}

impl Contender {
    /// Whether the protocol has what the scenario needs.
    pub(super) fn can_take_part(&self, scenario: &Scenario) -> bool {
        self.kind.dialect().can_play(scenario)
    }

    /// The row that this one is to be compared with: NATS, for files nginx, reached in the same way.
    pub(super) fn peer(&self) -> String {
        match self.kind.dialect() {
            Dialect::Wamp(wire) => nats_named(wrapping_like(wire)),
            Dialect::Nats(wrapping) => nats_named(wrapping),
            Dialect::Floor { is_secured } => nats_named(Wrapping { is_websocket: false, is_secured }),
            Dialect::Redis | Dialect::Mqtt => NATS.to_owned(),
            Dialect::Http { is_secured } => format!("{NGINX}{}", if is_secured { "+tls" } else { "" }),
        }
    }

    /// Prepares a start in a directory of its own below `scratch`.
    pub(super) fn launch(&self, programs: &Programs, scratch: &Path) -> Result<Launch, Fault> {
        let directory = tempfile::tempdir_in(scratch).map_err(Fault::io("temporary directory"))?.keep();
        let address = free_address()?;
        let command = self.kind.command(&directory, address, programs)?;
        let resource = self.kind.resource().to_owned();
        let target = Target { dialect: self.kind.dialect(), address: Address::Tcp(address), resource };
        Ok(Launch { command, directory, processors: self.processors.clone(), target })
    }
}

impl Kind {
    fn dialect(&self) -> Dialect {
        match self {
            Kind::Floor { is_secured, .. } => Dialect::Floor { is_secured: *is_secured },
            Kind::Nats { wrapping, .. } => Dialect::Nats(*wrapping),
            Kind::Redis { .. } => Dialect::Redis,
            Kind::Mosquitto { .. } => Dialect::Mqtt,
            Kind::Crossring { wire, .. } | Kind::Crossbar { wire, .. } => Dialect::Wamp(*wire),
            Kind::Web { is_secured, .. } | Kind::Nginx { is_secured, .. } => {
                Dialect::Http { is_secured: *is_secured }
            }
        }
    }

    fn resource(&self) -> &'static str {
        match self.dialect() {
            Dialect::Wamp(Wire { carrier: Carrier::WebSocket, .. }) => "/ws",
            _ => "",
        }
    }

    fn command(
        &self,
        directory: &Path,
        address: std::net::SocketAddr,
        programs: &Programs,
    ) -> Result<Vec<OsString>, Fault> {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let words = |program: &Path, words: &[&str]| {
            std::iter::once(program.into()).chain(words.iter().map(OsString::from)).collect()
        };
        Ok(match self {
            Kind::Floor { engine, is_secured } => {
                let (address, engine) = (address.to_string(), engine.to_string());
                let tls: &[&str] = if *is_secured { &["--tls"] } else { &[] };
                words(&programs.own, &[&["floor", "--listen", &address, "--engine", &engine], tls].concat())
            }
            Kind::Nats { program, wrapping } => {
                let config = directory.join("nats.conf");
                write(&config, &nats_config(address, *wrapping, &programs.certificate))?;
                words(program, &["-c", &config.to_string_lossy()])
            }
            Kind::Redis { program } => words(
                program,
                &[
                    "--bind",
                    &host,
                    "--port",
                    &port,
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--maxclients",
                    "100000",
                ],
            ),
            Kind::Mosquitto { program } => {
                let config = directory.join("mosquitto.conf");
                write(&config, &format!("listener {port} {host}\n{MOSQUITTO_OPTIONS}"))?;
                words(program, &["-c", &config.to_string_lossy()])
            }
            Kind::Crossring { program, wire, shards, engine } => {
                let options = CrossringOptions { shards: *shards, engine: engine.to_string() };
                let transport = node_config::transport(address, *wire, &programs.certificate);
                let directory = node_directory(directory, transport, Some(options))?;
                words(program, &["start", "--cbdir", &directory, "--loglevel", "warn"])
            }
            Kind::Crossbar { program, wire } => {
                let transport = node_config::transport(address, *wire, &programs.certificate);
                let directory = node_directory(directory, transport, None)?;
                words(program, &["start", "--cbdir", &directory, "--loglevel", "warn"])
            }
            Kind::Web { program, is_ours, is_secured } => {
                let certificate = is_secured.then_some(&programs.certificate);
                let transport = node_config::web_transport(address, &programs.files, certificate);
                let options = CrossringOptions { shards: 1, engine: EngineKind::Auto.to_string() };
                let directory = node_directory(directory, transport, is_ours.then_some(options))?;
                words(program, &["start", "--cbdir", &directory, "--loglevel", "warn"])
            }
            Kind::Nginx { program, is_secured } => {
                let config = directory.join("nginx.conf");
                write(&config, &nginx_config(directory, address, *is_secured, programs))?;
                words(program, &["-c", &config.to_string_lossy(), "-e", "stderr"])
            }
        })
    }
}

/// Anonymous clients, unbounded queues (a closed loop must not lose events), no Nagle delay. It may
/// not change its user: that would make the kernel forget to end it when we end.
const MOSQUITTO_OPTIONS: &str =
    "user root\nallow_anonymous true\nmax_queued_messages 0\nmax_connections -1\nset_tcp_nodelay true\n";

/// Writes `.crossbar/config.json` and returns its directory.
fn node_directory(
    directory: &Path,
    transport: serde_json::Value,
    crossring: Option<CrossringOptions>,
) -> Result<String, Fault> {
    let config = node_config::node(transport, crossring);
    let node = directory.join(".crossbar");
    fs::create_dir(&node).map_err(Fault::io("node directory"))?;
    write(&node.join("config.json"), &config.to_string())?;
    Ok(node.to_string_lossy().into_owned())
}

/// The way to NATS that is like this way to a router.
fn wrapping_like(wire: Wire) -> Wrapping {
    Wrapping { is_websocket: wire.carrier == Carrier::WebSocket, is_secured: wire.is_secured }
}

fn nats_named(wrapping: Wrapping) -> String {
    format!("{NATS}{wrapping}")
}

/// Where it speaks WebSocket, its own protocol is on a port that nobody uses.
fn nats_config(address: std::net::SocketAddr, wrapping: Wrapping, files: &Certificate) -> String {
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", files.certificate, files.key);
    match wrapping {
        Wrapping { is_websocket: false, is_secured: false } => format!("listen: \"{address}\"\n"),
        Wrapping { is_websocket: false, is_secured: true } => format!("listen: \"{address}\"\n{tls}\n"),
        Wrapping { is_websocket: true, is_secured } => {
            let security = if is_secured { tls } else { "no_tls: true".to_owned() };
            let ip = address.ip();
            format!("listen: \"{ip}:-1\"\nwebsocket {{\n listen: \"{address}\"\n {security}\n}}\n")
        }
    }
}

/// One worker, as the routers have one processor; what is not said is as the program has it. It may not change its user:
/// that would make the kernel forget to end it when we end.
fn nginx_config(
    directory: &Path,
    address: std::net::SocketAddr,
    is_secured: bool,
    programs: &Programs,
) -> String {
    let Certificate { certificate, key } = &programs.certificate;
    let tls = format!(
        "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
        certificate.display(),
        key.display()
    );
    let (ssl, tls) = if is_secured { (" ssl", tls.as_str()) } else { ("", "") };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {}/{what};", directory.display()))
        .join(" ");
    format!(
        "daemon off; worker_processes 1; user root; pid {}/nginx.pid; error_log stderr warn;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; sendfile on; keepalive_requests 1000000000; {temporary}\n\
         server {{ listen {address}{ssl}; {tls} root {}; }} }}\n",
        directory.display(),
        programs.files.display()
    )
}

/// The plain name for the usual wire, and the wire behind it for any other.
fn named(system: &str, wire: Wire) -> String {
    match wire {
        Wire::DEFAULT => system.to_owned(),
        wire => format!("{system} {wire}"),
    }
}

/// Crossbar.io prints a coloured banner; its Python package says the version in plain words.
fn crossbar_version(program: &Path) -> String {
    const ASK: &str =
        "import crossbar,sys;print('Crossbar.io',crossbar.__version__,'on Python',sys.version.split()[0])";
    let python = program.with_file_name("python");
    let asked = Command::new(python).args(["-c", ASK]).output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn write(path: &Path, content: &str) -> Result<(), Fault> {
    fs::write(path, content).map_err(Fault::io("write a configuration"))
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from(SBIN)]);
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// First line of what a program says about itself.
fn version_of(program: &Path, option: &str) -> String {
    let Ok(output) = Command::new(program).arg(option).output() else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let first = String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_asked() {
        let shell = find_program("sh").expect("a shell");
        assert!(shell.is_absolute());
        assert_eq!(find_program("no-such-program-here"), None);
        assert_eq!(version_of(Path::new("/no/such/program"), "-v"), "unknown");
        assert_eq!(version_of(&find_program("echo").expect("echo"), "1.2"), "1.2");
    }
}
