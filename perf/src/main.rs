//! Load generator, floor pump and side-by-side comparison.
#![forbid(unsafe_code)]

mod cli;
mod clock;
mod driver;
mod fault;
mod link;
mod machine;
mod placement;
mod progress;
mod protocol;
mod pump;
mod recorder;
mod report;
mod run;
mod runtime;
mod scenario;
mod schedule;
mod server_process;
mod target;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::Floor(options) => pump::serve(options.listen, options.engine),
        cli::Command::Run(options) => run::run(&options),
        cli::Command::Exec(options) => run::exec(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("crossring-perf: {fault}");
            ExitCode::FAILURE
        }
    }
}
