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
    launch::{Launch, free_address},
};
use crate::{
    cli::Compare,
    fault::Fault,
    link::Address,
    placement::Placement,
    report::{FLOOR, Missing, NATS},
    scenario::{Scenario, Shape},
    target::{Dialect, Target},
};

/// Where programs are looked for when they are not in `PATH`.
const SBIN: &str = "/usr/sbin";

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
    Floor { engine: EngineKind },
    Nats { program: PathBuf },
    Redis { program: PathBuf },
    Mosquitto { program: PathBuf },
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
    pub(super) fn find(options: &Compare, _programs: &Programs, placement: &Placement) -> Lineup {
        let mut lineup = Lineup { contenders: Vec::new(), missing: Vec::new() };
        let one = &placement.server;
        let own_version = format!("crossring-perf {}", env!("CARGO_PKG_VERSION"));
        lineup.add(FLOOR, own_version.clone(), one, Kind::Floor { engine: EngineKind::Auto });
        if let Some(engine) = options.engine {
            lineup.add(&format!("{FLOOR}-{engine}"), own_version, one, Kind::Floor { engine });
        }
        lineup.look_for(NATS, "nats-server", "-v", one, |program| Kind::Nats { program });
        lineup.look_for("redis", "redis-server", "--version", one, |program| Kind::Redis { program });
        lineup.look_for("mosquitto", "mosquitto", "-h", one, |program| Kind::Mosquitto { program });
        lineup.keep_only(&options.systems);
        lineup
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
                let reason = format!("{program} is neither in PATH nor in {SBIN}");
                self.missing.push(Missing { name: name.to_owned(), reason });
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
        let dialect = self.kind.dialect();
        match scenario.shape {
            Shape::Rpc { .. } => dialect.has_calls(),
            _ => true,
        }
    }

    /// Prepares a start in a directory of its own below `scratch`.
    pub(super) fn launch(&self, _programs: &Programs, scratch: &Path) -> Result<Launch, Fault> {
        let directory = tempfile::tempdir_in(scratch).map_err(Fault::io("temporary directory"))?.keep();
        let address = free_address()?;
        let command = self.kind.command(&directory, address, _programs)?;
        let target = Target { dialect: self.kind.dialect(), address: Address::Tcp(address) };
        Ok(Launch { command, directory, processors: self.processors.clone(), target })
    }
}

impl Kind {
    fn dialect(&self) -> Dialect {
        match self {
            Kind::Floor { .. } => Dialect::Floor,
            Kind::Nats { .. } => Dialect::Nats,
            Kind::Redis { .. } => Dialect::Redis,
            Kind::Mosquitto { .. } => Dialect::Mqtt,
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
            Kind::Floor { engine } => words(
                &programs.own,
                &["floor", "--listen", &address.to_string(), "--engine", &engine.to_string()],
            ),
            Kind::Nats { program } => words(program, &["-a", &host, "-p", &port]),
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
        })
    }
}

/// Anonymous clients, unbounded queues (a closed loop must not lose events), no Nagle delay.
const MOSQUITTO_OPTIONS: &str =
    "allow_anonymous true\nmax_queued_messages 0\nmax_connections -1\nset_tcp_nodelay true\n";

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
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
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
