//! Tracking cookies that outlive the process: stores, and the thread that writes them.
//!
//! The router core has all cookies in memory and says what has to be kept; a thread of its own writes that, so neither a data
//! shard nor the control shard ever waits for a disk. What the thread cannot take at once is not queued without end: the
//! store is then written anew as a whole. So it is after a failure, again and again until it works.

mod database;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossring_router::address::Now;
use crossring_router::control::Control;
use crossring_router::cookies::{ChangeKind, CookieRecord};

use crate::config::CookieStoreConfig;
use database::{DatabaseOptions, DatabaseStore};
use file::FileStore;

/// Pieces of work that wait for the thread; beyond, a store is written anew as a whole later.
const WORK_MAX: usize = 1_024;

/// Records appended before a store is written anew, beyond twice what it has to hold.
const APPENDED_MAX: usize = 1_024;

/// Nanoseconds between two attempts to write a store that has failed.
const RETRY_NS: u64 = 5_000_000_000;

/// Time between two complaints about a store.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Where cookies are kept.
pub trait CookieStore: Send {
    /// Keeps what has changed. On success it survives a loss of power.
    ///
    /// # Errors
    /// As the operating system says; what is kept is then undefined until [`CookieStore::rewrite`].
    fn apply(&mut self, changes: &[Change]) -> io::Result<()>;

    /// Keeps exactly these from now on.
    ///
    /// # Errors
    /// As the operating system says; what was kept before still is.
    fn rewrite(&mut self, records: &[CookieRecord]) -> io::Result<()>;
}

/// A change and when it happened, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// The cookie.
    pub record: CookieRecord,
    /// When.
    pub unix_ms: u64,
}

/// A store could not be opened.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie store {}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for OpenError {}

/// What a store is asked to do.
enum Work {
    Apply(u16, Vec<Change>),
    Rewrite(u16, Vec<CookieRecord>),
}

/// The stores of a node.
#[derive(Default)]
pub struct CookieKeeper {
    /// What was found in the stores, until it is loaded.
    found: Vec<(u16, Vec<CookieRecord>)>,
    writers: BTreeMap<u16, Writer>,
    work: Option<Sender<Work>>,
    /// Pieces of work that the thread has not done.
    pending: Arc<AtomicUsize>,
    /// When to look at stores that may have failed; on the monotonic clock.
    next_look_ns: Option<u64>,
    thread: Option<JoinHandle<()>>,
}

/// What is known here of a store that the thread has.
#[derive(Debug)]
struct Writer {
    /// Set by the thread: the store has to be written anew.
    has_failed: Arc<AtomicBool>,
    /// Changes were left out: the store has to be written anew.
    is_behind: bool,
    /// When that may be tried again; on the monotonic clock.
    retry_ns: u64,
    /// Records appended since it was written anew.
    appended: usize,
    /// What it held then.
    held: usize,
}

/// A store in the hands of the thread.
struct Opened {
    path: PathBuf,
    store: Box<dyn CookieStore>,
    has_failed: Arc<AtomicBool>,
    trouble: Option<Trouble>,
}

/// A store is not written since then.
struct Trouble {
    attempts: u32,
    /// When it was complained about.
    told: Instant,
}

impl CookieKeeper {
    /// Opens the stores, by number, and reads them.
    ///
    /// # Errors
    /// A store cannot be read, or nobody may write it.
    pub fn open(stores: &[CookieStoreConfig]) -> Result<Self, OpenError> {
        let (mut found, mut writers, mut opened) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (number, config) in stores.iter().enumerate() {
            let number = number as u16;
            let Some((path, read)) = open_store(config)? else { continue };
            let has_failed = Arc::new(AtomicBool::new(false));
            writers.insert(
                number,
                Writer {
                    has_failed: has_failed.clone(),
                    is_behind: false,
                    retry_ns: 0,
                    appended: 0,
                    held: read.records.len(),
                },
            );
            tracing::info!("cookie store {}: {} cookie(s)", path.display(), read.records.len());
            found.push((number, read.records));
            opened.insert(number, Opened { path, store: read.store, has_failed, trouble: None });
        }
        let mut keeper = Self { found, writers, ..Self::default() };
        if !opened.is_empty() {
            let (sender, receiver) = mpsc::channel();
            let pending = keeper.pending.clone();
            let work = move || write_all(&receiver, opened, &pending);
            let thread = thread::Builder::new().name("cookies".to_owned()).spawn(work);
            let thread = thread.map_err(|error| OpenError { path: PathBuf::new(), error })?;
            (keeper.work, keeper.thread) = (Some(sender), Some(thread));
        }
        Ok(keeper)
    }

    /// Hands over what was found in the stores.
    pub fn load(&mut self, now: Now, core: &mut Control) {
        for (store, records) in std::mem::take(&mut self.found) {
            core.load_cookies(now, store, records);
        }
    }

    /// Takes what has to be kept since the last time. Never waits.
    pub fn keep(&mut self, now: Now, core: &mut Control) {
        let mut changes: BTreeMap<u16, Vec<Change>> = BTreeMap::new();
        for change in core.take_cookie_changes() {
            let (kind, record, unix_ms) = (change.kind, change.record, now.unix_ms);
            changes.entry(change.store).or_default().push(Change { kind, record, unix_ms });
        }
        for (store, changes) in changes {
            self.keep_changes(store, changes, core);
        }
        self.catch_up(now.monotonic_ns, core);
    }

    /// When [`CookieKeeper::keep`] has to be called though nothing happens; on the monotonic clock.
    pub fn deadline(&self) -> Option<u64> {
        self.next_look_ns
    }

    fn keep_changes(&mut self, store: u16, changes: Vec<Change>, core: &Control) {
        let Some(writer) = self.writers.get_mut(&store) else { return };
        let has_room = self.pending.load(Ordering::Relaxed) < WORK_MAX;
        writer.appended += changes.len();
        writer.is_behind |= writer.has_failed.load(Ordering::Relaxed) || !has_room;
        if writer.is_behind {
            return;
        }
        if writer.appended > APPENDED_MAX + 2 * writer.held {
            self.rewrite(store, core);
        } else {
            self.send(Work::Apply(store, changes));
        }
    }

    /// Writes stores anew that are behind or have failed.
    fn catch_up(&mut self, now_ns: u64, core: &Control) {
        // Before the failures: whatever is no longer pending has said whether it failed.
        let pending = self.pending.load(Ordering::Acquire);
        let mut due = Vec::new();
        for (store, writer) in &mut self.writers {
            writer.is_behind |= writer.has_failed.swap(false, Ordering::Relaxed);
            if writer.is_behind && pending < WORK_MAX && now_ns >= writer.retry_ns {
                writer.retry_ns = now_ns.saturating_add(RETRY_NS);
                due.push(*store);
            }
        }
        let is_busy = pending > 0 || !due.is_empty();
        for store in due {
            self.rewrite(store, core);
        }
        let is_open = is_busy || self.writers.values().any(|writer| writer.is_behind);
        self.next_look_ns = is_open.then(|| now_ns.saturating_add(RETRY_NS));
    }

    fn rewrite(&mut self, store: u16, core: &Control) {
        let records: Vec<CookieRecord> = core.kept_cookies(store).cloned().collect();
        if let Some(writer) = self.writers.get_mut(&store) {
            (writer.is_behind, writer.appended, writer.held) = (false, 0, records.len());
        }
        self.send(Work::Rewrite(store, records));
    }

    fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            self.pending.fetch_add(1, Ordering::Relaxed);
            // The thread ends only when this end is gone.
            let _ = sender.send(work);
        }
    }

    /// Waits until everything is kept.
    pub fn finish(mut self, now: Now, core: &mut Control) {
        self.keep(now, core);
        let failed = |writer: &Writer| writer.is_behind || writer.has_failed.load(Ordering::Relaxed);
        let behind: Vec<u16> =
            self.writers.iter().filter(|(_, writer)| failed(writer)).map(|(store, _)| *store).collect();
        for store in behind {
            self.rewrite(store, core);
        }
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a store has kept, and the store.
pub(crate) struct Read {
    pub(crate) records: Vec<CookieRecord>,
    pub(crate) store: Box<dyn CookieStore>,
}

/// `None`: it is in memory only.
fn open_store(config: &CookieStoreConfig) -> Result<Option<(PathBuf, Read)>, OpenError> {
    let (path, read) = match config {
        CookieStoreConfig::Memory => return Ok(None),
        CookieStoreConfig::File { path, purge_on_startup } => {
            (path, FileStore::open(path, *purge_on_startup))
        }
        CookieStoreConfig::Database { path, purge_on_startup, is_readonly } => {
            let options = DatabaseOptions { purges: *purge_on_startup, is_readonly: *is_readonly };
            (path, DatabaseStore::open(path, options))
        }
    };
    match read {
        Ok(read) => Ok(Some((path.clone(), read))),
        Err(error) => Err(OpenError { path: path.clone(), error }),
    }
}

/// The thread: does all work until no more can come.
fn write_all(work: &Receiver<Work>, mut stores: BTreeMap<u16, Opened>, pending: &AtomicUsize) {
    while let Ok(first) = work.recv() {
        let (count, all) = gathered(first, work);
        for (store, work) in all {
            if let Some(opened) = stores.get_mut(&store) {
                opened.work(&work);
            }
        }
        pending.fetch_sub(count, Ordering::Release);
    }
}

impl Opened {
    fn work(&mut self, work: &Work) {
        let done = match work {
            // After a failure only a store that is written anew holds what it should.
            Work::Apply(..) if self.trouble.is_some() => return,
            Work::Apply(_, changes) => self.store.apply(changes),
            Work::Rewrite(_, records) => self.store.rewrite(records),
        };
        match done {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error),
        }
    }

    fn succeeded(&mut self) {
        if let Some(trouble) = self.trouble.take() {
            let attempts = trouble.attempts;
            tracing::info!("cookie store {}: written again, after {attempts} failures", self.path.display());
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.has_failed.store(true, Ordering::Relaxed);
        let path = self.path.display();
        match &mut self.trouble {
            None => {
                tracing::error!(
                    "cookie store {path}: {error}; cookies are kept in memory until it can be written"
                );
                self.trouble = Some(Trouble { attempts: 1, told: Instant::now() });
            }
            Some(trouble) => {
                trouble.attempts += 1;
                if trouble.told.elapsed() >= COMPLAINT_PERIOD {
                    trouble.told = Instant::now();
                    tracing::error!("cookie store {path}: {} failures by now: {error}", trouble.attempts);
                }
            }
        }
    }
}

/// The first piece of work and all that wait behind it: changes of one store in one piece, so that they are flushed once;
/// what a store was asked before it is to be written anew does not matter. With how many pieces there were.
fn gathered(first: Work, work: &Receiver<Work>) -> (usize, BTreeMap<u16, Work>) {
    let (mut count, mut all) = (0, BTreeMap::new());
    for work in std::iter::once(first).chain(work.try_iter()) {
        count += 1;
        let store = match &work {
            Work::Apply(store, _) | Work::Rewrite(store, _) => *store,
        };
        match (all.remove(&store), work) {
            (Some(Work::Apply(_, mut changes)), Work::Apply(_, more)) => {
                changes.extend(more);
                all.insert(store, Work::Apply(store, changes));
            }
            (Some(Work::Rewrite(_, records)), Work::Apply(_, changes)) => {
                let records = merged(records, changes);
                all.insert(store, Work::Rewrite(store, records));
            }
            (_, work) => drop(all.insert(store, work)),
        }
    }
    (count, all)
}

/// Records with changes.
fn merged(records: Vec<CookieRecord>, changes: Vec<Change>) -> Vec<CookieRecord> {
    let keyed = |record: CookieRecord| (record.value.expose().to_owned(), record);
    let mut all: BTreeMap<String, CookieRecord> = records.into_iter().map(keyed).collect();
    for Change { kind, record, .. } in changes {
        let (value, record) = keyed(record);
        match kind {
            ChangeKind::Created | ChangeKind::Modified => drop(all.insert(value, record)),
            ChangeKind::Deleted => drop(all.remove(&value)),
        }
    }
    all.into_values().collect()
}
