//! `crossring init`: a node directory to begin with. Nothing that exists is ever overwritten.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::{NodeDirectory, directory, keys, outcome, say};

/// The configuration written: the node that also starts without any, spelled out.
const TEMPLATE: &str = include_str!("init/config.json");

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    directory: NodeDirectory,
    /// Application directory: the node directory is .crossring in it, unless --cbdir is given.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "cbdir")]
    appdir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let directory = match &arguments.appdir {
        Some(appdir) => NodeDirectory { cbdir: Some(appdir.join(".crossring")) }.resolve(),
        None => arguments.directory.resolve(),
    };
    outcome(initialize(&directory))
}

fn initialize(node_directory: &Path) -> Result<(), String> {
    say!("Initializing node directory {}", node_directory.display());
    directory::create(node_directory)?;
    write_template(&node_directory.join("config.json"))?;
    keys::load_or_create(node_directory).map_err(|error| error.to_string())?;
    say!("To start the node: crossring start --cbdir {}", node_directory.display());
    Ok(())
}

fn write_template(path: &Path) -> Result<(), String> {
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => say!("Created {}", path.display()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            say!("{} exists already and is left as it is", path.display());
        }
        Err(error) => return Err(format!("cannot write {}: {error}", path.display())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, Format, NodeConfig, load_text};

    #[test]
    fn the_template_spells_out_the_default_node() {
        let file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let nothing = Environment { variable: &|_| None, file: &file };
        let checked = load_text(super::TEMPLATE, Format::Json, nothing).expect("the template is valid");
        assert!(checked.support.refused.is_empty() && checked.support.without_effect.is_empty());
        assert_eq!(checked.node, NodeConfig::default_node());
    }
}
