//! `crossring status`.

use clap::ValueEnum;

use super::{NodeDirectory, SUCCESS, UNAVAILABLE, process, say};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    directory: NodeDirectory,
    /// Fail with exit code 69 unless the node is in this state.
    #[arg(long)]
    assert: Option<State>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Running,
    Stopped,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Running => "RUNNING",
            State::Stopped => "STOPPED",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let state = match process::running(&arguments.directory.resolve()) {
        Some(_) => State::Running,
        None => State::Stopped,
    };
    let Some(wanted) = arguments.assert else {
        say!("Status is {}", state.name());
        return SUCCESS;
    };
    let (verdict, code) = if wanted == state { ("succeeded", SUCCESS) } else { ("failed", UNAVAILABLE) };
    say!("Assert status {} {verdict}: status is {}", wanted.name(), state.name());
    code
}
