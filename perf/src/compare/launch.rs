//! Starting a server, waiting for it, and being sure that it ends.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Seek, SeekFrom},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{fault::Fault, link::Address, target::Target};

/// Longest a server may take until it accepts connections (Crossbar.io needs several seconds).
const START_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is killed.
const STOP_MAX: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);
/// Of a server that failed to start, this much of its output is shown.
const OUTPUT_SHOWN_BYTES: i64 = 400;

/// A server about to be started.
pub(super) struct Launch {
    /// Program and arguments.
    pub(super) command: Vec<OsString>,
    /// Where it runs and what may be written there.
    pub(super) directory: PathBuf,
    /// Processors to pin it to.
    pub(super) processors: Vec<usize>,
    /// Where it will listen.
    pub(super) target: Target,
}

impl Launch {
    /// Starts it through our own `exec` command, which pins it and ties its life to ours, and waits
    /// until it accepts connections.
    pub(super) fn start(self, own: &Path) -> Result<Running, Fault> {
        let output = self.directory.join("output.log");
        let log = File::create(&output).map_err(Fault::io("create a log"))?;
        let errors = log.try_clone().map_err(Fault::io("create a log"))?;
        let processors: Vec<String> = self.processors.iter().map(usize::to_string).collect();
        let child = Command::new(own)
            .args(["exec", "--processors", &processors.join(","), "--"])
            .args(&self.command)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Fault::io("start a server"))?;
        let mut running = Running { child, target: self.target };
        running
            .wait_until_ready()
            .map_err(|what| Fault::Setup(format!("{what}: {:?}: {}", self.command, end_of(&output))))?;
        Ok(running)
    }
}

/// A server that accepts connections; it is stopped when this is dropped.
pub(super) struct Running {
    child: Child,
    /// Where it listens.
    pub(super) target: Target,
}

impl Running {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self) -> Result<(), &'static str> {
        let begun = Instant::now();
        while !accepts(&self.target.address) {
            if self.has_ended() {
                return Err("ended at once");
            }
            if begun.elapsed() > START_MAX {
                return Err("does not accept connections");
            }
            pause();
        }
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself; then there is nobody to tell.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while !self.has_ended() {
            if begun.elapsed() > STOP_MAX {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            pause();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a step of a bounded wait for another program, which tells nobody"
)]
fn pause() {
    std::thread::sleep(STEP);
}

fn accepts(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => TcpStream::connect_timeout(address, STEP).is_ok(),
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
    }
}

fn end_of(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        // A shorter file is read from its start.
        let _ = file.seek(SeekFrom::End(-OUTPUT_SHOWN_BYTES));
        let _ = file.read_to_string(&mut text);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A TCP address on the loopback that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Fault::io("find a free port"))?;
    listener.local_addr().map_err(Fault::io("find a free port"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Dialect;

    #[test]
    fn what_does_not_listen_is_not_ready() {
        let target = Target {
            dialect: Dialect::Floor { is_secured: false },
            address: Address::Tcp(free_address().expect("a port")),
            resource: String::new(),
        };
        assert!(!accepts(&target.address));
        let child = Command::new("true").spawn().expect("true");
        let mut running = Running { child, target };
        assert_eq!(running.wait_until_ready(), Err("ended at once"));
    }

    #[test]
    fn dropping_ends_the_process() {
        let child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let target = Target {
            dialect: Dialect::Floor { is_secured: false },
            address: Address::Tcp(free_address().expect("a port")),
            resource: String::new(),
        };
        let process = crate::server_process::ServerProcess::new(child.id());
        drop(Running { child, target });
        assert!(!process.is_alive());
    }
}
