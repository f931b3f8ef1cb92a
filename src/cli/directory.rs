//! The node directory and the configuration file in it.

use std::path::{Path, PathBuf};

use super::NodeDirectory;
use crate::config::{self, Checked, ConfigError, NodeConfig, Support};

/// Variables that name the node directory, in this order.
const VARIABLES: [&str; 2] = ["CROSSRING_DIR", "CROSSBAR_DIR"];
/// Directories looked for in the working directory, in this order; the first is created when there is none.
const NAMES: [&str; 2] = [".crossring", ".crossbar"];

impl NodeDirectory {
    /// The absolute node directory. It need not exist. A file stands for the directory it lies in.
    pub(super) fn resolve(&self) -> PathBuf {
        let variable = || {
            VARIABLES.iter().find_map(std::env::var_os).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let existing = || NAMES.iter().map(PathBuf::from).find(|path| path.is_dir());
        let directory =
            self.cbdir.clone().or_else(variable).or_else(existing).unwrap_or_else(|| NAMES[0].into());
        let directory = match directory.is_file() {
            true => directory.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            false => directory,
        };
        std::path::absolute(&directory).unwrap_or(directory)
    }
}

/// Refuses to take the default node for one that somebody means to have configured.
///
/// # Errors
/// The message for the user.
pub(super) fn require_default(directory: &Path, named: Option<&Path>) -> Result<(), String> {
    let shown = directory.display();
    if named.is_some() && !directory.is_dir() {
        return Err(format!(
            "Node directory {shown} does not exist; `crossring init` writes one to begin with."
        ));
    }
    match directory.join("config.yml").exists() {
        true => {
            Err(format!("{shown}/config.yml is not read: call it config.yaml, or name it with --config."))
        }
        false => Ok(()),
    }
}

/// Creates the node directory when it is missing.
///
/// # Errors
/// The message for the user.
pub(super) fn create(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("Could not create node directory {}: {error}", directory.display()))
}

/// The configuration file to read: the one asked for, relative to the node directory, else the one found there.
pub(super) fn configuration_file(directory: &Path, asked_for: Option<&Path>) -> Option<PathBuf> {
    match asked_for {
        Some(path) => Some(directory.join(path)),
        None => config::find(directory),
    }
}

/// Loads a configuration file; without one, the default node.
///
/// # Errors
/// As [`config::load`].
pub(super) fn load(file: Option<&Path>, node_directory: &Path) -> Result<Checked, ConfigError> {
    match file {
        Some(file) => config::load(file, node_directory),
        None => Ok(Checked {
            node: NodeConfig::default_node(),
            support: Support::default(),
            warnings: Vec::new(),
            requisites: Vec::new(),
        }),
    }
}
