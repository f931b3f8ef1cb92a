//! Whether what a configuration names is there: what start would find, without starting anything.

use std::path::Path;

use crate::config::{Checked, Fault, Requisite};
use crate::tls::ServerSettings;
use crate::web;

/// What start would fail at because of files of this host, each with its place in the configuration.
pub fn unmet(checked: &Checked, node_directory: &Path) -> Vec<Fault> {
    let faults = checked.requisites.iter().filter_map(|(place, requisite)| {
        let mut requisite = requisite.clone();
        requisite.resolve_paths(node_directory);
        let message = attempt(&requisite).err()?;
        Some(Fault { path: place.clone(), message, position: None })
    });
    faults.collect()
}

fn attempt(requisite: &Requisite) -> Result<(), String> {
    match requisite {
        Requisite::Tls(tls) => ServerSettings::load(tls, &[], None).map(drop).map_err(|it| it.to_string()),
        Requisite::Service(service) => web::try_service(service),
    }
}
