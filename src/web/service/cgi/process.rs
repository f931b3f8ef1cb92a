//! A script that runs: when nobody wants its answer any more it is killed, and with it whatever it has started.

use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::process::{Child, ChildStderr};
use tokio::sync::oneshot;

use crate::web::complaints::Complaints;
use crate::web::slots::Slot;

/// Lines of a script's complaints that are logged.
const LINES_MAX: usize = 32;

/// Octets of a line.
const LINE_SIZE_MAX: u64 = 1024;

/// How long the complaints of a script that has ended are waited for: something that it has started may go on.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// A script that runs. Dropped before [`Process::leave`], it is killed.
pub(super) struct Process(oneshot::Sender<()>);

impl Process {
    /// `name`: in the log, as often as `permits` says; `timeout`: how long it may run on when its answer is there.
    pub(super) fn new(
        mut child: Child,
        name: String,
        permits: Rc<Complaints>,
        timeout: Duration,
        slot: Slot,
    ) -> Self {
        let (process, left) = oneshot::channel();
        let complaints = child.stderr.take();
        let group = Group(child);
        // Two tasks for each slot.
        let logging = complaints.map(|complaints| {
            tokio::task::spawn_local(async move { log(complaints, &name, &permits).await })
        });
        tokio::task::spawn_local(async move {
            keep(group, timeout, left).await;
            if let Some(mut logging) = logging
                && tokio::time::timeout(LAST_WORDS_TIMEOUT, &mut logging).await.is_err()
            {
                logging.abort();
            }
            drop(slot);
        });
        Self(process)
    }

    /// Its answer is there.
    pub(super) fn leave(self) {
        // Whoever hears that is there as long as the process.
        let _ = self.0.send(());
    }
}

/// A process with all that it has started.
struct Group(Child);

impl Group {
    fn kill(&self) {
        // Until it has been waited for, its number is nobody else's.
        if let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the end of a process, and brings it about when it is time.
async fn keep(mut group: Group, timeout: Duration, left: oneshot::Receiver<()>) {
    if left.await.is_ok() && tokio::time::timeout(timeout, group.0.wait()).await.is_ok() {
        return;
    }
    group.kill();
    let _ = group.0.wait().await;
}

/// Logs the first lines, and reads on so that the script is not held up.
async fn log(complaints: ChildStderr, name: &str, permits: &Complaints) {
    let mut reader = BufReader::new(complaints);
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        match (&mut reader).take(LINE_SIZE_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) if permits.permit() => {
                tracing::warn!("script {name}: {:?}", String::from_utf8_lossy(line.trim_ascii_end()))
            }
            Ok(1..) => {}
            _ => return,
        }
    }
    let _ = copy(&mut reader, &mut sink()).await;
}
