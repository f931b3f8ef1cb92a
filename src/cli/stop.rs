//! `crossring stop`: SIGTERM asks for a clean end, a second one for an end at once, SIGKILL takes it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::{FAILURE, NodeDirectory, SUCCESS, UNAVAILABLE, complain, process, say};

/// Signals sent in turn, each with the time the process gets, in seconds.
const STEPS: [(Signal, &str, i64); 3] =
    [(Signal::TERM, "SIGTERM", 15), (Signal::TERM, "SIGTERM", 5), (Signal::KILL, "SIGKILL", 5)];

pub(super) fn run(arguments: &NodeDirectory) -> u8 {
    let directory = arguments.resolve();
    let Some(pid) = process::running(&directory) else {
        say!("No crossring is currently running from node directory {}.", directory.display());
        return UNAVAILABLE;
    };
    say!("Stopping crossring currently running from node directory {} (PID {pid}) ...", directory.display());
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        say!("Process {pid} has exited already.");
        return SUCCESS;
    };
    for (signal, name, seconds) in STEPS {
        if let Err(error) = kill_process(pid, signal)
            && !has_exited(&handle, 0)
        {
            complain!("Error: cannot send {name} to process {pid}: {error}");
            return FAILURE;
        }
        say!("{name} sent to process {pid} .. waiting for exit ({seconds} seconds) ...");
        if has_exited(&handle, seconds) {
            return farewell(pid, signal);
        }
    }
    complain!("Error: process {pid} does not exit.");
    FAILURE
}

fn farewell(pid: Pid, signal: Signal) -> u8 {
    match signal {
        Signal::KILL => say!("Process {pid} has been killed."),
        _ => say!("Process {pid} has exited gracefully."),
    }
    SUCCESS
}

/// Waits until the process ends, at most so many seconds.
fn has_exited(handle: &OwnedFd, seconds: i64) -> bool {
    let mut handles = [PollFd::new(handle, PollFlags::IN)];
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    poll(&mut handles, Some(&time)).is_ok_and(|ready| ready > 0)
}
