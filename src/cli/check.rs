//! `crossring check`.

use std::path::{Path, PathBuf};

use super::{FAILURE, NodeDirectory, SUCCESS, complain, directory, keys, say};
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
    match judge(&file, &node_directory) {
        Ok(checked) => {
            report(&checked);
            SUCCESS
        }
        Err(message) => {
            complain!("Error: {message}");
            FAILURE
        }
    }
}

/// The configuration, if a node could start with it and with what it needs of this host.
fn judge(file: &Path, node_directory: &Path) -> Result<Checked, String> {
    let mut checked = directory::load(Some(file), node_directory).map_err(|error| error.to_string())?;
    let faults = node::unmet(&checked, node_directory);
    if !faults.is_empty() {
        return Err(ConfigError::Faults(faults).to_string());
    }
    let key = keys::find(node_directory).map_err(|error| error.to_string())?;
    checked.warnings.extend(key.and_then(|found| found.remark));
    Ok(checked)
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
