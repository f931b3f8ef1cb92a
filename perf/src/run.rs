//! The commands `run` and `exec`, and writing reports.

use std::{os::unix::process::CommandExt, path::Path};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::{
    cli::{Exec, Output, Run},
    clock::Clock,
    fault::Fault,
    machine::Machine,
    placement::{pin, raise_descriptor_limit, raise_priority},
    progress::Progress,
    report::{Report, Results, SystemVersion, html, markdown, text},
    runtime::Generator,
    scenario::Scenario,
    server_process::ServerProcess,
    target::{self, Settings, Target},
};

/// Runs scenarios against one running server.
pub fn run(options: &Run) -> Result<(), Fault> {
    raise_descriptor_limit();
    if let Some(processor) = options.processor {
        pin(&[processor])?;
    }
    let mut generator = Generator::new().map_err(Fault::io("build the runtime"))?;
    let target = target(options)?;
    let (clock, name) = (Clock::start(), target.to_string());
    let mut results = Results::default();
    for round in 1..=options.output.rounds {
        for scenario in &options.scenarios {
            let settings = settings(options, scenario, round);
            let outcome = target::measure(&mut generator, clock, &target, scenario, settings);
            results.add(*scenario, &name, outcome);
        }
    }
    let report = Report {
        machine: Machine::read(),
        generator: generator.name().to_owned(),
        systems: vec![SystemVersion { name, version: "not asked".to_owned() }],
        missing: Vec::new(),
        caveats: Vec::new(),
        rows: results.rows(),
    };
    publish(&report, &options.output)
}

fn target(options: &Run) -> Result<Target, Fault> {
    let Some(serializer) = options.serializer else { return Ok(options.target.clone()) };
    let refused = || Fault::Setup(format!("{} does not speak {serializer}", options.target));
    options.target.clone().with_serializer(serializer).ok_or_else(refused)
}

fn settings(options: &Run, scenario: &Scenario, round: u32) -> Settings {
    let label = format!("{scenario}  {}  round {round}/{}", options.target, options.output.rounds);
    Settings {
        warm_up: options.output.warm_up,
        window: options.output.seconds,
        server: options.pid.map(ServerProcess::new),
        server_processors: Vec::new(),
        progress: Progress::new(options.output.progress, label),
        realm: options.realm.clone(),
    }
}

/// Prints the report and writes the files that were asked for.
pub fn publish(report: &Report, output: &Output) -> Result<(), Fault> {
    print!("{}", text::render(report));
    if let Some(path) = &output.json {
        let json = serde_json::to_string_pretty(report).map_err(|error| Fault::Setup(error.to_string()))?;
        write(path, json)?;
    }
    if let Some(path) = &output.markdown {
        write(path, markdown::render(report))?;
    }
    if let Some(path) = &output.html {
        write(path, html::render(report))?;
    }
    Ok(())
}

fn write(path: &Path, content: String) -> Result<(), Fault> {
    std::fs::write(path, content).map_err(|error| Fault::Setup(format!("{}: {error}", path.display())))
}

/// Becomes another program. The kernel ends it when our parent ends, however that ends: so no
/// server survives a comparison that was interrupted or killed.
pub fn exec(options: &Exec) -> Result<(), Fault> {
    pin(&options.processors)?;
    raise_priority();
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|errno| Fault::io("PR_SET_PDEATHSIG")(errno.into()))?;
    let (program, arguments) =
        options.command.split_first().ok_or_else(|| Fault::Setup("no program".to_owned()))?;
    Err(Fault::io("exec")(std::process::Command::new(program).args(arguments).exec()))
}
