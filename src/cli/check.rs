//! `crossring check`.

use std::path::PathBuf;

use super::{FAILURE, NodeDirectory, SUCCESS, complain, directory, say};
use crate::config::{Checked, ConfigError};
use crate::node;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    directory: NodeDirectory,
    /// Configuration file, relative to the node directory [default: config.yaml, else config.json].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let node_directory = arguments.directory.resolve();
    let Some(file) = directory::configuration_file(&node_directory, arguments.config.as_deref()) else {
        complain!("Error: no config.yaml or config.json in node directory {}", node_directory.display());
        return FAILURE;
    };
    say!("Checking local node configuration file: {}", file.display());
    match directory::load(Some(&file), &node_directory) {
        Ok(checked) => match node::unmet(&checked, &node_directory) {
            faults if faults.is_empty() => {
                report(&checked);
                SUCCESS
            }
            faults => fail(&ConfigError::Faults(faults)),
        },
        Err(error) => fail(&error),
    }
}

fn fail(error: &ConfigError) -> u8 {
    complain!("Error: {error}");
    FAILURE
}

fn report(checked: &Checked) {
    say!("Ok, node configuration looks good!");
    checked.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    checked.support.without_effect.iter().for_each(|(path, why)| say!("no effect: {path} ({why})"));
    if !checked.support.refused.is_empty() {
        say!("The configuration is valid, but this version refuses to start with it:");
        checked.support.refused.iter().for_each(|refusal| say!("{refusal}"));
    }
}
