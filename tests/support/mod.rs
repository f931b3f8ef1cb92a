//! What tests of real processes share: a router on ports of its own, programs whose output is
//! read line by line, and waiting for conditions with a deadline.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to start, to answer or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at `condition` until it holds or [`PATIENCE`] is over; says which.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    const PAUSE: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
        thread::sleep(PAUSE);
    }
}

/// A port of the loopback address for a router that this test starts. Nobody else gets it while the test runs: it is below those
/// that the kernel gives to connections, and the UDP port of the same number, which nothing here uses, is taken as a token of it.
pub(crate) fn free_port() -> u16 {
    static TOKENS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    let begin = std::process::id() as u16 % COUNT;
    for offset in 0..COUNT {
        let port = FIRST + (begin + offset) % COUNT;
        let Ok(token) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            TOKENS.lock().expect("nobody panics with it").push(token);
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// Where a router listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    fn answers(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A running router, killed when dropped.
pub(crate) struct Router {
    child: Child,
    log: PathBuf,
}

impl Router {
    /// Runs `command`, its output going to `log`, and waits until every address accepts connections.
    pub(crate) fn start(mut command: Command, log: PathBuf, addresses: &[Address]) -> Self {
        let output = fs::File::create(&log).expect("the log file is writable");
        let errors = output.try_clone().expect("the log file can be shared");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut router = Self { child, log };
        let mut ended = false;
        let ready = wait_until(|| {
            ended = router.child.try_wait().expect("the child is ours").is_some();
            ended || addresses.iter().all(Address::answers)
        });
        assert!(ready && !ended, "{command:?} is not ready on {addresses:?}:\n{}", router.log());
        router
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(
            kill_process(Pid::from_child(&self.child), signal).is_ok(),
            "the router has ended:\n{}",
            self.log()
        );
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let sent = kill_process(Pid::from_child(&self.child), Signal::TERM);
        assert!(sent.is_ok(), "the router ended early:\n{}", self.log());
        let mut status = None;
        wait_until(|| {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("the router ignores SIGTERM:\n{}", self.log()))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running program whose standard output is read by lines; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
}

/// What a program left behind.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
    pub(crate) errors: String,
}

impl Program {
    /// Starts it with a standard input that stays open until [`Self::finish`].
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut errors = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, errors: Some(errors) }
    }

    /// The next line; panics with the program's errors when it ends or says nothing.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("no line from the program ({error}):\n{}", self.kill_and_read_errors()),
        }
    }

    /// Closes its standard input, reads all lines up to its end and waits for it.
    pub(crate) fn finish(mut self, limit: Duration) -> Ended {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + limit;
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let last = lines.last().cloned().unwrap_or_default();
                    panic!("not done after {limit:?}; last line: {last}\n{}", self.kill_and_read_errors());
                }
            }
        }
        let status = self.child.wait().expect("the child is ours");
        Ended { status, lines, errors: self.kill_and_read_errors() }
    }

    fn kill_and_read_errors(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.errors.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 40 KB that inflate to 6 MB: one code for 258 equal octets, again and again.
pub(crate) fn bomb() -> Vec<u8> {
    let mut out = Bits::default();
    out.put(0b010, 3, false); // more blocks follow; fixed codes
    out.put(0b0011_0000 + u32::from(b' '), 8, true);
    for _ in 0..25_000 {
        out.put(0b1100_0101, 8, true); // 258 octets
        out.put(0, 5, true); // as the one before
    }
    out.put(0, 7, true); // the end of the block
    out.put(0, 3, false); // an empty block follows, as at the end of each message
    out.octets
}

#[derive(Default)]
struct Bits {
    octets: Vec<u8>,
    used: usize,
}

impl Bits {
    /// Codes have their highest bit first, all else the lowest.
    fn put(&mut self, bits: u32, count: usize, is_code: bool) {
        for index in 0..count {
            let place = if is_code { count - 1 - index } else { index };
            if self.used.is_multiple_of(8) {
                self.octets.push(0);
            }
            let bit = (bits >> place & 1) as u8;
            *self.octets.last_mut().expect("pushed above") |= bit << (self.used % 8);
            self.used += 1;
        }
    }
}
