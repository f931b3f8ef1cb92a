//! The `crossring-perf` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use crossring_perf::{
    cli::{Cli, Command},
    compare::compare,
    pump, run,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Compare(options) => compare(&options),
        Command::Floor(options) => pump::serve(options.listen, options.engine, options.tls),
        Command::Run(options) => run::run(&options),
        Command::Exec(options) => run::exec(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("crossring-perf: {fault}");
            ExitCode::FAILURE
        }
    }
}
