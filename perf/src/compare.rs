//! The command `compare`: starts every system found on the machine, drives all of them with the
//! same generator, interleaved over several rounds, and reports them side by side.

mod contender;
mod launch;
mod node_config;

use std::path::PathBuf;

use crate::{
    cli::Compare,
    clock::Clock,
    fault::Fault,
    machine::Machine,
    placement::{Placement, pin, raise_descriptor_limit},
    progress::Progress,
    report::{Report, Results, SystemVersion},
    run::publish,
    runtime::Generator,
    scenario::{CANONICAL, QUICK, Scenario, Shape},
    server_process::ServerProcess,
    target::{self, REALM_DEFAULT, Settings},
};
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
}

/// Runs the comparison.
pub fn compare(options: &Compare) -> Result<(), Fault> {
    raise_descriptor_limit();
    let placement = Placement::of_this_machine()?;
    let own = std::env::current_exe().map_err(Fault::io("find the own binary"))?;
    let venv = options.crossbar_venv.clone().or_else(|| std::env::var_os("CROSSBAR_VENV").map(Into::into));
    let programs = Programs { crossring: options.crossring.clone(), crossbar_venv: venv, own };
    let lineup = Lineup::find(options, &programs, &placement);
    let scratch = tempfile::tempdir().map_err(Fault::io("temporary directory"))?;
    pin(&[placement.generator])?;
    let mut generator = Generator::new().map_err(Fault::io("build the runtime"))?;
    let mut results = Results::default();
    let scenarios = scenarios(options);
    let mut contest = Contest {
        options,
        programs: &programs,
        scratch: scratch.path(),
        clock: Clock::start(),
        results: &mut results,
    };
    contest.run(&mut generator, &lineup, &scenarios)?;
    let report = Report {
        machine: Machine::read(),
        generator: generator.name().to_owned(),
        systems: lineup.contenders.iter().map(Contender::version).collect(),
        missing: lineup.missing,
        caveats: caveats(options, &placement),
        rows: results.rows(),
    };
    publish(&report, &options.output)
}

fn scenarios(options: &Compare) -> Vec<Scenario> {
    if !options.scenarios.is_empty() {
        return options.scenarios.clone();
    }
    let names = if options.quick { QUICK } else { CANONICAL };
    names.iter().map(|name| name.parse().expect("tested: canonical names parse")).collect()
}

fn caveats(options: &Compare, placement: &Placement) -> Vec<String> {
    let shared =
        placement.caveat().filter(|_| options.two_shards || placement.server.contains(&placement.generator));
    let Placement { server, generator, .. } = placement;
    let pinned = format!(
        "servers on processor {server:?}, generator on processor {generator}; {} rounds of {:?} after {:?} warm-up",
        options.output.rounds, options.output.seconds, options.output.warm_up
    );
    [Some(pinned), shared.map(str::to_owned)].into_iter().flatten().collect()
}

struct Contest<'a> {
    options: &'a Compare,
    programs: &'a Programs,
    scratch: &'a std::path::Path,
    clock: Clock,
    results: &'a mut Results,
}

impl Contest<'_> {
    /// Rounds outside, scenarios inside them, systems innermost: whatever disturbs the machine for
    /// some minutes disturbs all systems alike.
    fn run(
        &mut self,
        generator: &mut Generator,
        lineup: &Lineup,
        scenarios: &[Scenario],
    ) -> Result<(), Fault> {
        let servers: Vec<Result<Running, Fault>> =
            lineup.contenders.iter().map(|contender| self.start(contender)).collect();
        for round in 1..=self.options.output.rounds {
            for scenario in scenarios {
                for (contender, server) in lineup.contenders.iter().zip(&servers) {
                    if contender.can_take_part(scenario) {
                        let label = format!(
                            "round {round}/{}  {scenario}  {}",
                            self.options.output.rounds, contender.name
                        );
                        let outcome = self.measure(generator, contender, server, scenario, label);
                        self.results.add(*scenario, &contender.name, outcome);
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&self, contender: &Contender) -> Result<Running, Fault> {
        contender.launch(self.programs, self.scratch)?.start(&self.programs.own)
    }

    fn measure(
        &self,
        generator: &mut Generator,
        contender: &Contender,
        server: &Result<Running, Fault>,
        scenario: &Scenario,
        label: String,
    ) -> Result<crate::recorder::Measurement, Fault> {
        // Memory is only comparable between processes that have done nothing yet.
        let fresh = if needs_fresh_server(scenario) { Some(self.start(contender)?) } else { None };
        let server = match (&fresh, server) {
            (Some(fresh), _) | (None, Ok(fresh)) => fresh,
            (None, Err(fault)) => return Err(Fault::Setup(fault.to_string())),
        };
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
