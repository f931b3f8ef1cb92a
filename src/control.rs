//! The control shard: one thread that owns the truth of the node.
//!
//! It runs the registry (joining, authentication, interest, registrations), the router's own sessions, the signals and the
//! shut-down. The data path
//! never waits for it. It lives on a `tokio-uring` runtime; where the host refuses io_uring, on a plain tokio one.

use std::future::Future;
use std::io;
use std::time::Duration;

use crossring_io::{Doorbell, Monotonic};
use crossring_router::address::{Now, SessionKey, ShardId};
use crossring_router::config::TransportAuthentication;
use crossring_router::control::Control as Core;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::cookies::CookieKeeper;
use crate::logging;
use crate::thrift::Thrift;
use crate::web::{Demand, Guests, Web, Wish};
use crate::worker::Refusals;
use crate::worker::mail::{CookieMail, Mail, Order, PostOffice};

mod certificates;
mod derivations;
mod failures;
mod reception;

pub use certificates::Certificates;
use certificates::Renewal;
use derivations::Derivations;
use failures::FailureLog;
use reception::Reception;

/// What shards that were told to stop may take beyond the time to drain, in nanoseconds.
const EXIT_TIMEOUT_NS: u64 = 1_000_000_000;

/// A data shard's thread has ended.
#[derive(Debug)]
pub struct ShardExit {
    /// Which.
    pub shard: ShardId,
    /// What stopped it before it was told to.
    pub fault: Option<String>,
}

/// How the node ended.
#[derive(Debug, Eq, PartialEq)]
pub enum NodeEnd {
    /// Told to stop; every session was closed.
    Drained,
    /// A second signal, or the time to drain was over.
    Forced,
    /// A shard could not go on.
    Fault(String),
}

/// The control shard.
pub struct Control {
    core: Core,
    cookies: CookieKeeper,
    mail: Reception,
    doorbell: Doorbell,
    clock: Clock,
    shards: usize,
    drain_timeout: Duration,
    certificates: Certificates,
    derivations: Derivations,
    failures: FailureLog,
    /// Of long-poll clients: they are on no data shard.
    refusals: Refusals,
    web: Web,
    guests: Guests,
    thrift: Thrift,
    /// Letters and the like handled so far.
    letters: u64,
}

impl Control {
    /// A control shard over `shards` data shards; `doorbell` is the one its mail rings; sessions get `drain_timeout` to
    /// leave at shut-down. `certificates`: those that the transports serve; `web`: what answers HTTP.
    pub(crate) fn new(
        core: Core,
        mail: PostOffice,
        doorbell: Doorbell,
        shards: usize,
        drain_timeout: Duration,
        certificates: Certificates,
        web: Web,
    ) -> Self {
        Self {
            core,
            cookies: CookieKeeper::default(),
            mail: Reception::new(mail),
            doorbell,
            clock: Clock::new(),
            shards,
            drain_timeout,
            certificates,
            derivations: Derivations::new(),
            failures: FailureLog::default(),
            refusals: Refusals::default(),
            web,
            guests: Guests::default(),
            thrift: Thrift::of_control(),
            letters: 0,
        }
    }

    /// Keeps cookies beyond the process.
    #[must_use]
    pub fn with_cookies(self, cookies: CookieKeeper) -> Self {
        Self { cookies, ..self }
    }

    /// Has the log tell who joins and who is refused. `methods`: how clients of each transport authenticate.
    #[must_use]
    pub fn telling_joins<'a>(mut self, methods: impl Iterator<Item = &'a TransportAuthentication>) -> Self {
        self.mail.tell_joins(methods);
        self
    }

    /// Runs until the node has ended, stopping by itself after a time if one is given. Blocks the calling thread. `ready` is called once
    /// signals no longer end the process.
    pub fn run(
        self,
        stop_after: Option<Duration>,
        with_ring: bool,
        exits: mpsc::UnboundedReceiver<ShardExit>,
        ready: impl FnOnce(),
    ) -> io::Result<NodeEnd> {
        block_on(with_ring, self.serve(stop_after, exits, ready))?
    }

    async fn serve(
        mut self,
        stop_after: Option<Duration>,
        exits: mpsc::UnboundedReceiver<ShardExit>,
        ready: impl FnOnce(),
    ) -> io::Result<NodeEnd> {
        let signals = (StopSignals::new()?, RenewalSignals::new()?);
        ready();
        self.cookies.load(self.clock.now(Monotonic::read()), &mut self.core);
        let end = self.work(stop_after, exits, signals).await;
        self.cookies.finish(self.clock.now(Monotonic::read()), &mut self.core);
        if let Some(summary) = self.refusals.summary() {
            tracing::info!("refused over long-poll since the start: {summary}");
        }
        end
    }

    async fn work(
        &mut self,
        stop_after: Option<Duration>,
        mut exits: mpsc::UnboundedReceiver<ShardExit>,
        (mut stops, mut renewals): (StopSignals, RenewalSignals),
    ) -> io::Result<NodeEnd> {
        let descriptor = self.doorbell.as_fd().ok_or(io::ErrorKind::Unsupported)?.try_clone_to_owned()?;
        // Deprecated for descriptors that close behind tokio's back; an `OwnedFd` does not.
        #[allow(deprecated)]
        let bell = AsyncFd::new(descriptor)?;
        self.core.start(self.clock.now(Monotonic::read()), &mut self.mail);
        let mut stopping: Option<Monotonic> = None;
        let mut stop_at = stop_after.map(|after| Monotonic::read().after_ns(after.as_nanos() as u64));
        let mut running = self.shards;
        loop {
            self.turn();
            if running == 0 {
                return Ok(NodeEnd::Drained);
            }
            let has_credit = self.look_for_credit();
            let now = Monotonic::read();
            if stopping.is_some_and(|deadline| now >= deadline.after_ns(EXIT_TIMEOUT_NS)) {
                return Ok(NodeEnd::Forced);
            }
            if stop_at.take_if(|at| now >= *at).is_some() && stopping.is_none() {
                stopping = Some(self.begin_stop());
            }
            let deadline = self.deadline(now, [stopping.map(|at| at.after_ns(EXIT_TIMEOUT_NS)), stop_at]);
            tokio::select! {
                ready = bell.readable() => {
                    ready?.clear_ready();
                    self.doorbell.answer();
                }
                () = sleep_until(deadline) => {}
                derived = self.derivations.next() => {
                    let now = self.clock.now(Monotonic::read());
                    self.core.derived(now, derived, &mut self.mail);
                }
                renewal = renewals.next() => self.renew_by_signal(renewal),
                demand = self.web.next(), if has_credit => self.demanded(demand),
                name = stops.next() => {
                    if stopping.is_some() {
                        return Ok(NodeEnd::Forced);
                    }
                    tracing::info!("{name}: closing all sessions (again: stop at once)");
                    stopping = Some(self.begin_stop());
                }
                Some(exit) = exits.recv() => {
                    running -= 1;
                    if let Some(fault) = exit.fault {
                        return Ok(NodeEnd::Fault(fault));
                    }
                }
            }
            self.mail.woke();
        }
    }

    /// Whether those who speak HTTP are listened to: not while a data shard is behind.
    fn look_for_credit(&mut self) -> bool {
        let has_credit = self.mail.has_credit();
        if !has_credit {
            self.mail.wait_for_credit();
        }
        has_credit
    }

    /// When there is something to do that nobody rings for.
    fn deadline(&mut self, now: Monotonic, others: [Option<Monotonic>; 2]) -> Option<Monotonic> {
        let deadlines = [
            self.core.deadline().map(Monotonic),
            self.cookies.deadline().map(Monotonic),
            self.failures.deadline(),
            self.refusals.deadline(),
            self.certificates.deadline(),
            self.thrift.deadline(),
            (!self.mail.prepare_sleep()).then_some(now),
        ];
        deadlines.into_iter().chain(others).flatten().min()
    }

    /// Handles the mail that is there, then sends what it caused.
    fn turn(&mut self) {
        let now = self.clock.now(Monotonic::read());
        let letters_before = self.letters;
        while let Some((from, mut delivery)) = self.mail.take(Doorbell::ring) {
            self.letters += delivery.letters.len() as u64;
            for mail in delivery.letters.drain(..) {
                match mail {
                    Mail::Letter(letter) => {
                        self.mail.seen(from, &letter);
                        self.core.handle(now, from, letter, &mut self.mail);
                    }
                    Mail::Cookie(mail) => self.cookie(now, from, mail),
                    Mail::Relay(relay) => self.web.take(from, relay),
                    Mail::Order(_) => debug_assert!(false, "orders are for data shards"),
                }
            }
            self.mail.recycle(delivery);
        }
        if self.core.deadline().is_some_and(|deadline| deadline <= now.monotonic_ns) {
            self.core.expire(now, &mut self.mail);
        }
        for job in self.core.take_derivations() {
            self.derivations.submit(job);
        }
        if let Some(report) = self.core.take_failures() {
            self.failures.add(report);
        }
        if let Some(line) = self.failures.line(Monotonic(now.monotonic_ns)) {
            tracing::warn!("{line}");
        }
        self.refusals.take_over(self.core.counters());
        if let Some(line) = self.refusals.line(Monotonic(now.monotonic_ns)) {
            tracing::warn!("refused over long-poll: {line}");
        }
        self.cookies.keep(now, &mut self.core);
        let renewals = self.certificates.look(Monotonic(now.monotonic_ns));
        self.renew(renewals);
        while self.mail.has_credit()
            && let Some(demand) = self.web.take_demand()
        {
            self.demanded(demand);
        }
        for (key, output) in self.core.take_guest_outputs() {
            self.guests.deliver(key, output);
        }
        self.mail.deliver(Doorbell::ring);
        self.save(self.letters > letters_before, Monotonic(now.monotonic_ns));
    }

    /// Gives back memory that letters took which have been handled, and what shards have handed over, when nothing else is to be done.
    fn save(&mut self, is_busy: bool, now: Monotonic) {
        if is_busy {
            self.thrift.note(now, self.letters);
        } else if self.thrift.is_due(now, self.letters) {
            crossring_io::memory::give_back();
        }
    }

    /// A worker has set a cookie, or has been brought one.
    fn cookie(&mut self, now: Now, from: ShardId, mail: CookieMail) {
        match mail {
            CookieMail::Issued { transport, value } => self.core.cookie_issued(now, transport, value),
            CookieMail::Asked { key, transport, value } => {
                let is_known = self.core.is_known_cookie(now, transport, &value);
                self.mail.cookie(from, CookieMail::Answered { key, is_known });
            }
            CookieMail::Answered { .. } => {}
        }
    }

    /// Does what a signal asks for, and says what it does not.
    fn renew_by_signal(&mut self, signal: RenewalSignal) {
        if signal == RenewalSignal::User2 {
            return tracing::info!("SIGUSR2: nothing is to be done");
        }
        // First, so that what follows is in the new file.
        if let Err(error) = logging::reopen() {
            tracing::error!("{error}");
        }
        if signal == RenewalSignal::User1 {
            return tracing::info!("SIGUSR1: the log goes on");
        }
        tracing::info!("SIGHUP: certificates are read again; the configuration is read at the start only");
        let renewals = self.certificates.read_again();
        self.renew(renewals);
    }

    /// Hands new certificates to all shards; they leave with the mail.
    fn renew(&mut self, renewals: Vec<Renewal>) {
        for (transport, config) in renewals {
            for shard in 0..self.shards {
                let config = config.clone();
                self.mail.order(ShardId(shard as u8), Order::Secure { transport, config });
            }
        }
    }

    /// Does what those who serve HTTP ask for.
    fn demanded(&mut self, demand: Demand) {
        let now = self.clock.now(Monotonic::read());
        match demand {
            Demand::Relay(shard, relay) => {
                self.web.sends(shard, &relay);
                self.mail.relay(shard, relay);
            }
            Demand::Guest(Wish::Open { transport, details, outputs, opened }) => {
                let key = self.core.guest_open(now, transport, details, &mut self.mail);
                key.into_iter().for_each(|key| self.guests.opened(key, outputs.clone()));
                if let Err(Some(key)) = opened.send(key) {
                    self.close_guest(now, key);
                }
            }
            Demand::Guest(Wish::Say(key, message)) => {
                self.core.guest_message(now, key, message, &mut self.mail);
            }
            Demand::Guest(Wish::Violate(key, text)) => {
                self.core.guest_violation(now, key, &text, &mut self.mail);
            }
            Demand::Guest(Wish::Count(refusal, address)) => self.refusals.add_of(refusal, address),
            Demand::Guest(Wish::Tell(told)) => {
                // Whoever asked may be gone.
                let _ = told.send(());
            }
            Demand::Guest(Wish::Close(key)) => self.close_guest(now, key),
        }
    }

    fn close_guest(&mut self, now: Now, key: SessionKey) {
        self.guests.closed(key);
        self.core.guest_close(now, key, &mut self.mail);
    }

    fn begin_stop(&mut self) -> Monotonic {
        let now = Monotonic::read();
        let deadline = now.after_ns(self.drain_timeout.as_nanos() as u64);
        self.web.stop();
        self.core.shutdown(self.clock.now(now), &mut self.mail);
        for shard in 0..self.shards {
            self.mail.order(ShardId(shard as u8), Order::Stop { deadline });
        }
        self.mail.deliver(Doorbell::ring);
        deadline
    }
}

async fn sleep_until(deadline: Option<Monotonic>) {
    match deadline {
        Some(deadline) => {
            tokio::time::sleep(Duration::from_nanos(deadline.since_ns(Monotonic::read()))).await;
        }
        None => std::future::pending().await,
    }
}

/// Signals on which something is taken up anew.
struct RenewalSignals {
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RenewalSignal {
    HangUp,
    User1,
    User2,
}

impl RenewalSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> RenewalSignal {
        tokio::select! {
            _ = self.hang_up.recv() => RenewalSignal::HangUp,
            _ = self.user_1.recv() => RenewalSignal::User1,
            _ = self.user_2.recv() => RenewalSignal::User2,
        }
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs a future to its end on this thread. `with_ring`: the host was found to allow io_uring.
fn block_on<F: Future>(with_ring: bool, future: F) -> io::Result<F::Output> {
    if !with_ring {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return Ok(tokio::task::LocalSet::new().block_on(&runtime, future));
    }
    // Never DEFER_TASKRUN here: the runtime parks in epoll on the ring, which such a ring never wakes.
    let mut ring = tokio_uring::uring_builder();
    ring.setup_single_issuer().setup_coop_taskrun();
    Ok(tokio_uring::builder().entries(64).uring_builder(&ring).start(future))
}
