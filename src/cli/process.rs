//! The file `node.pid`: which process runs from a node directory.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use super::say;

/// Name of the file in the node directory.
pub(super) const FILE_NAME: &str = "node.pid";

/// The process that runs from the node directory. A file that points to no process, or is none of ours, is removed; one that
/// points to a foreign process is kept, because the foreign process may be anything.
pub(super) fn running(directory: &Path) -> Option<Pid> {
    let path = directory.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).ok()?;
    match parse(&text) {
        Some(pid) if pid.as_raw_nonzero().get() == std::process::id().cast_signed() => None,
        Some(pid) if test_kill_process(pid).is_ok_and(|()| !is_zombie(pid)) => {
            if is_node(pid) {
                return Some(pid);
            }
            say!("{} points to process {pid}, which is no crossring node", path.display());
            None
        }
        pid => {
            let pid = pid.map_or_else(String::new, |pid| {
                format!(" (pointing to non-existing process with PID {pid})")
            });
            say!("Stale crossring PID file{pid} {} removed", path.display());
            // Another command may have removed it first; then there is nothing left to do.
            let _ = std::fs::remove_file(&path);
            None
        }
    }
}

fn parse(text: &str) -> Option<Pid> {
    let document: Value = serde_json::from_str(text).ok()?;
    Pid::from_raw(i32::try_from(document.get("pid")?.as_i64()?).ok()?)
}

/// Whether the program name of a process is ours: process ids are reused.
fn is_node(pid: Pid) -> bool {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"crossring")
}

/// A process that ended but was not collected by its parent has no command line left.
fn is_zombie(pid: Pid) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text.is_empty())
}

/// The file of the running process; removed when dropped.
pub(super) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file for this process. `options` is what `start` was called with.
    ///
    /// # Errors
    /// When it cannot be written, or another process wrote it since [`running`] looked.
    pub(super) fn create(directory: &Path, options: Value) -> Result<PidFile, String> {
        let path = directory.join(FILE_NAME);
        let arguments: Vec<String> = std::env::args().collect();
        let document = json!({"pid": std::process::id(), "argv": arguments, "options": options});
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        // A file of an earlier process with our own process id is left over from before a restart of a container.
        if std::fs::read_to_string(&path)
            .ok()
            .as_deref()
            .and_then(parse)
            .map(|pid| pid.as_raw_nonzero().get())
            == Some(std::process::id().cast_signed())
        {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        let guard = PidFile { path: path.clone() };
        file.write_all(indented(&document).as_bytes()).map_err(failed)?;
        Ok(guard)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The directory may be gone already; nobody is left to care.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// JSON with an indent of four, as scripts know it, and a newline at the end.
fn indented(document: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Writing a Value to memory cannot fail.
    let _ = serde::Serialize::serialize(document, &mut serializer);
    String::from_utf8_lossy(&bytes).into_owned() + "\n"
}
