//! The command `compare`: starts every system found on the machine, drives all of them with the
//! same generator, interleaved over several rounds, and reports them side by side.

mod certificate;
mod contender;
mod launch;
mod node_config;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cli::Compare,
    clock::Clock,
    driver::requests::file_name,
    fault::Fault,
    machine::Machine,
    placement::{Placement, is_priority_raised, pin, raise_descriptor_limit, usable_processors},
    progress::Progress,
    recorder::Measurement,
    report::{Missing, Report, Results, SystemVersion},
    run::publish,
    runtime::Generator,
    scenario::{CANONICAL, QUICK, Scenario, Shape},
    server_process::ServerProcess,
    target::{self, REALM_DEFAULT, Settings},
};
use certificate::Certificate;
use contender::{Contender, Lineup};
use launch::Running;

/// What is known about this machine's peers and our own programs.
pub struct Programs {
    /// The router's binary.
    pub crossring: PathBuf,
    /// A Python environment with Crossbar.io in it.
    pub crossbar_venv: Option<PathBuf>,
    /// This very binary, for the floor and for pinned starts.
    pub own: PathBuf,
    /// For whoever speaks TLS.
    certificate: Certificate,
    /// What is served by whoever serves files.
    files: PathBuf,
    /// Whether anybody is asked for them.
    needs_files: bool,
}

/// Runs the comparison in a process of its own: what that process is given, its priority above all,
/// ends with it, and it ends with us.
pub fn compare(options: &Compare) -> Result<(), Fault> {
    let own = std::env::current_exe().map_err(Fault::io("find the own binary"))?;
    if options.supervised {
        return compare_here(options, own);
    }
    let processors: Vec<String> = usable_processors()?.iter().map(usize::to_string).collect();
    let status = Command::new(&own)
        .args(["exec", "--processors", &processors.join(","), "--"])
        .arg(&own)
        .args(std::env::args_os().skip(1))
        .arg("--supervised")
        .status()
        .map_err(Fault::io("start the comparison"))?;
    match status.success() {
        true => Ok(()),
        false => Err(Fault::Setup(format!("the comparison ended with {status}"))),
    }
}

fn compare_here(options: &Compare, own: PathBuf) -> Result<(), Fault> {
    raise_descriptor_limit();
    let placement = Placement::split(&usable_processors()?)
        .ok_or_else(|| Fault::Setup("no processor is usable".to_owned()))?;
    let venv = options.crossbar_venv.clone().or_else(|| std::env::var_os("CROSSBAR_VENV").map(Into::into));
    let scratch = tempfile::tempdir().map_err(Fault::io("temporary directory"))?;
    let scenarios = scenarios(options);
    let programs = Programs {
        crossring: options.crossring.clone(),
        crossbar_venv: venv,
        own,
        certificate: Certificate::make(scratch.path())?,
        files: make_files(scratch.path(), &scenarios)?,
        needs_files: scenarios.iter().any(is_about_files),
    };
    let mut lineup = Lineup::find(options, &programs, &placement);
    let is_needed =
        |contender: &Contender| scenarios.iter().any(|scenario| contender.can_take_part(scenario));
    lineup.contenders.retain(is_needed);
    pin(&[placement.generator])?;
    let mut generator = Generator::new().map_err(Fault::io("build the runtime"))?;
    let mut contest = Contest {
        options,
        programs: &programs,
        scratch: scratch.path(),
        clock: Clock::start(),
        results: Results::default(),
        missing: lineup.missing,
    };
    let field = contest.start_all(lineup.contenders);
    for (contender, _) in &field {
        contest.results.compare_with(&contender.name, contender.peer());
    }
    contest.run(&mut generator, &field, &scenarios);
    let report = Report {
        machine: Machine::read(),
        generator: generator.name().to_owned(),
        systems: field.iter().map(|(contender, _)| contender.version()).collect(),
        missing: contest.missing,
        caveats: caveats(options, &placement),
        rows: contest.results.rows(),
    };
    // Servers end before the report is printed: whoever reads it finds a quiet machine.
    drop(field);
    publish(&report, &options.output)
}

fn scenarios(options: &Compare) -> Vec<Scenario> {
    if !options.scenarios.is_empty() {
        return options.scenarios.clone();
    }
    let names = if options.quick { QUICK } else { CANONICAL };
    names.iter().map(|name| name.parse().expect("tested: canonical names parse")).collect()
}

fn is_about_files(scenario: &Scenario) -> bool {
    matches!(scenario.shape, Shape::Static { .. })
}

/// A directory with every file that is asked for.
fn make_files(scratch: &Path, scenarios: &[Scenario]) -> Result<PathBuf, Fault> {
    let directory = scratch.join("files");
    std::fs::create_dir(&directory).map_err(Fault::io("directory of files"))?;
    for scenario in scenarios.iter().filter(|scenario| is_about_files(scenario)) {
        let bytes = scenario.payload_bytes;
        std::fs::write(directory.join(file_name(bytes)), vec![b'x'; bytes])
            .map_err(Fault::io("write a file"))?;
    }
    Ok(directory)
}

fn caveats(options: &Compare, placement: &Placement) -> Vec<String> {
    let Placement { server, generator, .. } = placement;
    let priority = if is_priority_raised() { "raised" } else { "ordinary (raising it was not permitted)" };
    let method = format!(
        "servers on processor {server:?}, generator on processor {generator}, priority {priority}; \
         {} rounds of {:?} after {:?} warm-up; round by round, scenario by scenario, system after system",
        options.output.rounds, options.output.seconds, options.output.warm_up
    );
    let matters = options.two_shards || placement.server.contains(&placement.generator);
    let shared = placement.caveat().filter(|_| matters);
    std::iter::once(method).chain(shared.map(str::to_owned)).collect()
}

struct Contest<'a> {
    options: &'a Compare,
    programs: &'a Programs,
    scratch: &'a Path,
    clock: Clock,
    results: Results,
    missing: Vec<Missing>,
}

impl Contest<'_> {
    /// Starts everybody; who does not start is reported as missing.
    fn start_all(&mut self, contenders: Vec<Contender>) -> Vec<(Contender, Running)> {
        let mut field = Vec::new();
        for contender in contenders {
            match self.start(&contender) {
                Ok(server) => field.push((contender, server)),
                Err(fault) => {
                    self.missing.push(Missing { name: contender.name, reason: fault.to_string() });
                }
            }
        }
        field
    }

    /// Rounds outside, scenarios inside them, systems innermost: whatever disturbs the machine for
    /// some minutes disturbs all systems alike.
    fn run(&mut self, generator: &mut Generator, field: &[(Contender, Running)], scenarios: &[Scenario]) {
        let rounds = self.options.output.rounds;
        for round in 1..=rounds {
            for scenario in scenarios {
                let able = field.iter().filter(|(contender, _)| contender.can_take_part(scenario));
                for (contender, server) in able {
                    let label = format!("round {round}/{rounds}  {scenario}  {}", contender.name);
                    let outcome = self.measure(generator, contender, server, scenario, label);
                    self.results.add(*scenario, &contender.name, outcome);
                }
            }
        }
    }

    fn start(&self, contender: &Contender) -> Result<Running, Fault> {
        contender.launch(self.programs, self.scratch)?.start(&self.programs.own)
    }

    fn measure(
        &self,
        generator: &mut Generator,
        contender: &Contender,
        server: &Running,
        scenario: &Scenario,
        label: String,
    ) -> Result<Measurement, Fault> {
        // Memory is only comparable between processes that have done nothing yet.
        let fresh = if needs_fresh_server(scenario) { Some(self.start(contender)?) } else { None };
        let server = fresh.as_ref().unwrap_or(server);
        let settings = Settings {
            warm_up: self.options.output.warm_up,
            window: self.options.output.seconds,
            server: Some(ServerProcess::new(server.pid())),
            server_processors: contender.processors.clone(),
            progress: Progress::new(self.options.output.progress, label),
            realm: REALM_DEFAULT.to_owned(),
        };
        target::measure(generator, self.clock, &server.target, scenario, settings)
    }
}

fn needs_fresh_server(scenario: &Scenario) -> bool {
    matches!(scenario.shape, Shape::Idle { .. } | Shape::Churn { .. } | Shape::Flood { .. })
}

impl Contender {
    fn version(&self) -> SystemVersion {
        SystemVersion { name: self.name.clone(), version: self.version.clone() }
    }
}
