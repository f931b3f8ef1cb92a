//! Drives one engine through a test and waits for conditions, never for time alone.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crossring_io::*;

/// Runs `test` on each engine which this host allows.
pub(crate) fn on_every_engine(options: EngineOptions, test: impl Fn(&mut Harness)) {
    let _alone = DESCRIPTORS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        if let Some(mut harness) = Harness::open(kind, options.clone()) {
            test(&mut harness);
        }
    }
}

/// Tests count the descriptors of the process, so they run one after another.
static DESCRIPTORS: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub(crate) struct Harness {
    pub(crate) engine: AnyEngine,
    pub(crate) kind: EngineKind,
    events: VecDeque<Event>,
}

impl Harness {
    /// `None`, with the reason printed, if the host refuses the engine.
    pub(crate) fn open(kind: EngineKind, options: EngineOptions) -> Option<Harness> {
        match open(kind, options) {
            Ok((engine, _)) => Some(Harness { engine, kind, events: VecDeque::new() }),
            Err(error) => {
                println!("{kind} is not covered: {error}");
                None
            }
        }
    }

    /// Drops the engine, whatever it is doing, and opens another.
    pub(crate) fn replace_engine(&mut self) {
        self.events.clear();
        self.engine = open(self.kind, EngineOptions::default()).unwrap().0;
    }

    pub(crate) fn listen_tcp(&mut self) -> (SocketAddr, ListenerId) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = listener::tcp(loopback, &listener::TcpOptions::default()).unwrap();
        let address = listener::tcp_address(&socket).unwrap();
        (address, self.engine.listen(socket))
    }

    /// A connection made of a socket pair.
    pub(crate) fn pair(&mut self) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (self.engine.adopt(OwnedFd::from(ours)).unwrap(), theirs)
    }

    /// Polls without blocking; events wait for whoever asks.
    pub(crate) fn poll_once(&mut self) {
        let mut events = Vec::new();
        self.engine.poll(&mut events, Wait::NOW).unwrap();
        self.events.extend(events);
    }

    /// Polls for a few milliseconds, in which nothing may happen.
    pub(crate) fn poll_quietly(&mut self) {
        let mut events = Vec::new();
        self.engine.poll(&mut events, Wait::NOW).unwrap();
        let deadline = self.engine.now().after_ns(3_000_000);
        while self.engine.now() < deadline {
            self.engine.poll(&mut events, Wait::until(deadline)).unwrap();
        }
        assert!(events.is_empty(), "{events:?}");
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    /// Consumes events until `choose` is content; panics after ten seconds.
    pub(crate) fn poll_until<R>(&mut self, mut choose: impl FnMut(Event) -> Option<R>) -> R {
        let deadline = Monotonic::read().after_ns(10_000_000_000);
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(result) = choose(event) {
                    return result;
                }
            }
            assert!(Monotonic::read() < deadline, "waited in vain");
            let mut events = Vec::new();
            self.engine.poll(&mut events, Wait::until(deadline)).unwrap();
            self.events.extend(events);
        }
    }

    /// Like `poll_until`, but events which `choose` gives back stay for others.
    fn select<R>(&mut self, mut choose: impl FnMut(&mut AnyEngine, Event) -> Result<R, Event>) -> R {
        let deadline = Monotonic::read().after_ns(10_000_000_000);
        let mut passed = VecDeque::new();
        loop {
            while let Some(event) = self.events.pop_front() {
                match choose(&mut self.engine, event) {
                    Ok(result) => {
                        passed.append(&mut self.events);
                        self.events = passed;
                        return result;
                    }
                    Err(event) => passed.push_back(event),
                }
            }
            assert!(Monotonic::read() < deadline, "waited in vain; have {passed:?}");
            let mut events = Vec::new();
            self.engine.poll(&mut events, Wait::until(deadline)).unwrap();
            self.events.extend(events);
        }
    }

    pub(crate) fn accept_from(&mut self, wanted: ListenerId) -> ConnectionId {
        self.select(|_, event| match event {
            Event::Accepted { listener, connection } if listener == wanted => Ok(connection),
            event => Err(event),
        })
    }

    /// The next connection of any listener. Bytes that came meanwhile stay for `next_bytes`.
    pub(crate) fn accept_any(&mut self) -> ConnectionId {
        self.select(|_, event| match event {
            Event::Accepted { connection, .. } => Ok(connection),
            event => Err(event),
        })
    }

    pub(crate) fn await_sent(&mut self, wanted: ConnectionId) -> Outgoing {
        self.select(|_, event| match event {
            Event::Sent { connection, returned } if connection == wanted => Ok(returned),
            event => Err(event),
        })
    }

    /// Releases what the connection received before.
    pub(crate) fn await_closed(&mut self, wanted: ConnectionId) -> CloseReason {
        self.select(|engine, event| match event {
            Event::Closed { connection, reason } if connection == wanted => Ok(Some(reason)),
            Event::Received { connection, buffer } if connection == wanted => {
                engine.release(buffer);
                Ok(None)
            }
            Event::Sent { connection, .. } if connection == wanted => Ok(None),
            event => Err(event),
        })
        .unwrap_or_else(|| self.await_closed(wanted))
    }

    pub(crate) fn has_doorbell(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Doorbell))
    }

    pub(crate) fn await_doorbell(&mut self) {
        self.select(|_, event| if matches!(event, Event::Doorbell) { Ok(()) } else { Err(event) });
    }

    /// The next bytes of any connection.
    pub(crate) fn next_bytes(&mut self) -> (ConnectionId, Vec<u8>) {
        self.select(|engine, event| match event {
            Event::Received { connection, buffer } => {
                let bytes = engine.bytes(&buffer).to_vec();
                engine.release(buffer);
                Ok((connection, bytes))
            }
            event => Err(event),
        })
    }

    pub(crate) fn await_bytes(&mut self, wanted: ConnectionId, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < length {
            self.select(|engine, event| match event {
                Event::Received { connection, buffer } if connection == wanted => {
                    received.extend_from_slice(engine.bytes(&buffer));
                    engine.release(buffer);
                    Ok(())
                }
                event => Err(event),
            });
        }
        received
    }

    /// The client writes, the engine sends the same back.
    pub(crate) fn echo(&mut self, id: ConnectionId, client: &mut (impl Read + Write), size: usize) {
        let text = pattern(size);
        client.write_all(&text).unwrap();
        let received = self.await_bytes(id, size);
        assert!(received == text);
        self.engine.send(id, Outgoing::Owned(received));
        self.await_sent(id);
        let mut back = vec![0; size];
        client.read_exact(&mut back).unwrap();
        assert!(back == text);
    }

    pub(crate) fn release_all(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Received { buffer, .. } = event {
                self.engine.release(buffer);
            }
        }
    }
}

/// Bytes that show any loss, repetition or reordering.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

pub(crate) fn descriptor_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Closes with a reset instead of an orderly end.
pub(crate) fn reset(client: TcpStream) {
    let socket = rustix::fd::AsFd::as_fd(&client);
    rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO)).unwrap();
}

/// Lowers the limit of open files to what is open now, so that nothing further opens.
pub(crate) fn take_all_descriptors() -> Vec<std::fs::File> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
}
