//! The command line: Crossbar.io's command names, one module per command. Commands return exit codes; only `main`
//! leaves the process.

mod check;
pub mod client;
mod directory;
mod hash_secret;
mod init;
mod keys;
mod process;
mod reference;
mod start;
mod status;
mod stop;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use reference::{all_command_words, reference_markdown};

/// Exit code of success.
const SUCCESS: u8 = 0;
/// Exit code of any failure.
const FAILURE: u8 = 1;
/// Exit code when a node runs that should not, or does not that should (EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

/// A WAMP router for Linux.
#[derive(Parser)]
#[command(name = "crossring", version, infer_long_args = true, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a configuration and a node key to begin with.
    Init(init::Arguments),
    /// Run the node in the foreground.
    Start(start::Arguments),
    /// Stop the node that runs from a node directory.
    Stop(NodeDirectory),
    /// Say whether a node runs from a node directory.
    Status(status::Arguments),
    /// Check a configuration and name all its faults.
    Check(check::Arguments),
    /// Show the keys of the node; create them when there are none.
    Keys(keys::Arguments),
    /// Make an entry for the configuration from a password on standard input.
    HashSecret(hash_secret::Arguments),
    /// Show versions.
    Version,
    #[command(flatten)]
    Client(Box<client::ClientCommand>),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands.
    Man {
        /// Directory to write one page per command to, instead of printing the main page.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// The option that all commands on a node share.
#[derive(clap::Args)]
struct NodeDirectory {
    /// Node directory [default: $CROSSRING_DIR, else $CROSSBAR_DIR, else .crossring, else .crossbar].
    #[arg(long, value_name = "DIRECTORY")]
    cbdir: Option<PathBuf>,
}

/// Prints a line to standard output; a reader that went away is no failure of ours.
macro_rules! say {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arguments)*);
    }};
}

/// Prints a line to standard error.
macro_rules! complain {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}

use {complain, say};

/// Runs the command that the arguments of the process ask for. Wrong arguments end the process with code 2.
pub fn main() -> ExitCode {
    ExitCode::from(run(CommandLine::parse().command))
}

fn run(command: Command) -> u8 {
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Start(arguments) => start::run(&arguments),
        Command::Stop(arguments) => stop::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::HashSecret(arguments) => hash_secret::run(&arguments),
        Command::Version => version::run(),
        Command::Client(command) => client::run(&command),
        Command::Completions { shell } => completions(shell),
        Command::Man { dir } => manual(dir),
    }
}

fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "crossring", &mut script);
    print(&script);
    SUCCESS
}

fn manual(directory: Option<PathBuf>) -> u8 {
    let written = match directory {
        Some(directory) => std::fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(CommandLine::command(), directory)),
        None => main_page().map(|page| {
            print(&page);
        }),
    };
    outcome(written.map_err(|error| format!("cannot write manual pages: {error}")))
}

fn main_page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(CommandLine::command()).render(&mut page)?;
    Ok(page)
}

fn print(bytes: &[u8]) {
    use std::io::Write as _;
    // A pager that is closed early is no failure.
    let _ = std::io::stdout().write_all(bytes);
}

/// Success, or the message on standard error and failure.
fn outcome(result: Result<(), String>) -> u8 {
    match result {
        Ok(()) => SUCCESS,
        Err(message) => {
            complain!("Error: {message}");
            FAILURE
        }
    }
}
