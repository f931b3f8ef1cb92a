//! Files that are not complete yet, and those that are.
//!
//! What has come of a file lies in one hidden file, each chunk at its place. Which chunks those are is kept in memory
//! only: after a restart an upload begins anew.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossring_router::credentials::to_hex;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::time::Instant;

use crate::web::own::OwnFiles;

/// Chunks of a file.
const CHUNKS_MAX: u32 = 10_000;

/// Octets of a chunk; the last one of a file may have nearly twice as many.
const CHUNK_SIZE_MAX: u64 = 64 << 20;

/// Files of one service that are not complete.
const UNFINISHED_MAX: usize = 256;

/// How long nothing may come of a file before the rest of it is thrown away.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The same, where there are too many.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the last chunk waits for others that write to the same file.
const WRITERS_TIMEOUT: Duration = Duration::from_secs(30);

/// How what is not complete is called.
const HIDDEN_PREFIX: &str = ".upload-";
const HIDDEN_SUFFIX: &str = ".part";

/// What may be stored, and where.
#[derive(Clone, Debug)]
pub(crate) struct StoreRules {
    pub(crate) directory: PathBuf,
    /// Where files are until they are complete; on the same file system.
    pub(crate) temporary: PathBuf,
    /// Octets of a file; `None`: any.
    pub(crate) file_size_max: Option<u64>,
    /// Extensions that names may have; empty: any.
    pub(crate) extensions: Vec<String>,
    /// Permissions of complete files.
    pub(crate) mode: u32,
    /// What nobody may make, there or not.
    pub(crate) own: OwnFiles,
}

impl StoreRules {
    /// Where both directories really are: that of complete files, and that of others.
    ///
    /// # Errors
    /// A text that names a directory that cannot be used.
    pub(crate) fn open_directories(&self) -> Result<(PathBuf, PathBuf), String> {
        let directory = |path: &Path| -> io::Result<(PathBuf, u64)> {
            let path = fs::canonicalize(path)?;
            rustix::fs::access(&path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
            let device = fs::metadata(&path)?.dev();
            fs::read_dir(&path)?;
            Ok((path, device))
        };
        let open = |path: &Path| {
            directory(path).map_err(|error| format!("directory of uploads {}: {error}", path.display()))
        };
        let (final_path, final_device) = open(&self.directory)?;
        let (temporary_path, temporary_device) = open(&self.temporary)?;
        if final_device != temporary_device {
            let (one, other) = (final_path.display(), temporary_path.display());
            return Err(format!("{one} and {other} must be on the same file system"));
        }
        Ok((final_path, temporary_path))
    }
}

/// Why something is not stored.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file cannot be called that.
    Name,
    /// The numbers of the form contradict each other, or are beyond the bounds.
    Numbers,
    /// The chunk has another length than the form says.
    Incomplete,
    /// No file with such an extension is taken.
    Kind,
    TooLarge,
    Exists,
    /// Too many files are not complete.
    Full,
    Disk(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Name => "400: the file cannot have this name",
            Trouble::Numbers => "400: sizes and numbers of chunks contradict each other",
            Trouble::Incomplete => "400: the chunk has another size than announced",
            Trouble::Kind => "415: files of this type are not taken",
            Trouble::TooLarge => "413: the file is too large",
            Trouble::Exists => "409: there is a file of this name",
            Trouble::Full => "503: too many uploads at the same time",
            Trouble::Disk(_) => "500: the file cannot be stored",
        })
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Disk(error)
    }
}

/// One chunk of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) total_size: u64,
    /// From 1.
    pub(super) number: u32,
    pub(super) chunk_size: u64,
    pub(super) count: u32,
}

/// What tells one upload from another: name, size, size of chunks, number of chunks.
type Key = (String, u64, u64, u32);

impl Piece {
    /// The last component of what a browser says the name is; none where it may be no file's.
    pub(super) fn base_name(told: &str) -> Option<String> {
        let name = told.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        let is_wrong = name.is_empty() || name.starts_with('.') || name.len() > 255;
        (!is_wrong && !name.contains(char::is_control)).then(|| name.to_owned())
    }

    /// Whether its numbers agree. The octets beyond the last whole chunk are one of their own, or part of the last.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if !(1..=CHUNK_SIZE_MAX).contains(&self.chunk_size) || !(1..=self.count).contains(&self.number) {
            return Err(Trouble::Numbers);
        }
        let whole = (self.total_size / self.chunk_size).max(1);
        let all = self.total_size.div_ceil(self.chunk_size).max(1);
        let count = u64::from(self.count);
        let agrees = self.count <= CHUNKS_MAX && (count == whole || count == all);
        if agrees { Ok(()) } else { Err(Trouble::Numbers) }
    }

    fn offset(&self) -> u64 {
        u64::from(self.number - 1) * self.chunk_size
    }

    fn size(&self) -> u64 {
        if self.number < self.count { self.chunk_size } else { self.total_size - self.offset() }
    }

    /// Which share of the file is there when `remaining` octets are not.
    pub(super) fn share_without(&self, remaining: u64) -> f64 {
        match self.total_size {
            0 => 1.0,
            total => (total - remaining.min(total)) as f64 / total as f64,
        }
    }

    fn key(&self) -> Key {
        (self.name.clone(), self.total_size, self.chunk_size, self.count)
    }
}

/// What has become of a chunk.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Stored {
    /// Others are missing.
    Chunk,
    /// It was the last one: the file is complete.
    File,
}

/// Where files are stored.
#[derive(Debug)]
pub(crate) struct Store {
    rules: StoreRules,
    unfinished: RefCell<HashMap<Key, Rc<Unfinished>>>,
}

/// A file that is not complete.
#[derive(Debug)]
struct Unfinished {
    /// Whoever writes has a share.
    file: Arc<File>,
    path: PathBuf,
    progress: RefCell<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// By number of the chunk, from 0.
    received: Vec<bool>,
    missing: u32,
    remaining: u64,
    heard: Instant,
}

impl Unfinished {
    fn new(piece: &Piece, file: File, path: PathBuf) -> Self {
        let progress = Progress {
            received: vec![false; piece.count as usize],
            missing: piece.count,
            remaining: piece.total_size,
            heard: Instant::now(),
        };
        Self { file: Arc::new(file), path, progress: RefCell::new(progress) }
    }

    fn is_written_to(&self) -> bool {
        Arc::strong_count(&self.file) > 1
    }

    fn is_stale(&self, timeout: Duration) -> bool {
        !self.is_written_to() && self.progress.borrow().heard.elapsed() > timeout
    }

    fn has_chunks(&self) -> bool {
        let progress = self.progress.borrow();
        (progress.missing as usize) < progress.received.len()
    }

    /// Takes note of a chunk; how many are missing.
    fn received(&self, piece: &Piece) -> u32 {
        let mut progress = self.progress.borrow_mut();
        progress.heard = Instant::now();
        if !std::mem::replace(&mut progress.received[piece.number as usize - 1], true) {
            progress.missing -= 1;
            progress.remaining -= piece.size();
        }
        progress.missing
    }
}

/// A chunk on its way.
pub(super) struct Place<'a> {
    store: &'a Store,
    piece: &'a Piece,
    upload: Rc<Unfinished>,
    is_new: bool,
    /// Octets of the chunk that have been written.
    written: u64,
    /// Shows that the file is written to.
    share: Option<Arc<File>>,
}

impl Store {
    /// A store in a directory. What earlier processes have left unfinished is thrown away.
    pub(crate) fn open(mut rules: StoreRules) -> Result<Self, String> {
        (rules.directory, rules.temporary) = rules.open_directories()?;
        rules.own = rules.own.within(&rules.directory);
        sweep(&rules.temporary).map_err(|error| format!("{}: {error}", rules.temporary.display()))?;
        Ok(Self { rules, unfinished: RefCell::default() })
    }

    /// Octets of a chunk at most.
    pub(super) fn chunk_size_max(&self) -> u64 {
        2 * CHUNK_SIZE_MAX
    }

    /// Whether a chunk is there.
    pub(super) fn has(&self, piece: &Piece) -> bool {
        let unfinished = self.unfinished.borrow();
        unfinished
            .get(&piece.key())
            .is_some_and(|upload| upload.progress.borrow().received[piece.number as usize - 1])
    }

    /// Octets of a file that are missing.
    pub(super) fn remaining(&self, piece: &Piece) -> u64 {
        let unfinished = self.unfinished.borrow();
        unfinished.get(&piece.key()).map_or(0, |upload| upload.progress.borrow().remaining)
    }

    /// Makes room for a chunk.
    pub(super) async fn begin<'a>(&'a self, piece: &'a Piece) -> Result<Place<'a>, Trouble> {
        self.check(piece)?;
        let known = self.unfinished.borrow().get(&piece.key()).cloned();
        let (upload, is_new) = match known {
            Some(upload) => (upload, false),
            None => self.create(piece).await?,
        };
        upload.progress.borrow_mut().heard = Instant::now();
        let share = Arc::clone(&upload.file);
        Ok(Place { store: self, piece, upload, is_new, written: 0, share: Some(share) })
    }

    fn check(&self, piece: &Piece) -> Result<(), Trouble> {
        if self.rules.file_size_max.is_some_and(|most| piece.total_size > most) {
            return Err(Trouble::TooLarge);
        }
        if self.rules.own.claim(&self.rules.directory.join(&piece.name)) {
            return Err(Trouble::Name);
        }
        let extension = Path::new(&piece.name).extension().and_then(|extension| extension.to_str());
        let extension = extension.unwrap_or_default();
        let is_it = |known: &String| known.trim_start_matches('.').eq_ignore_ascii_case(extension);
        let is_taken = self.rules.extensions.is_empty() || self.rules.extensions.iter().any(is_it);
        if is_taken { Ok(()) } else { Err(Trouble::Kind) }
    }

    async fn create(&self, piece: &Piece) -> Result<(Rc<Unfinished>, bool), Trouble> {
        let is_crowded = self.unfinished.borrow().len() >= UNFINISHED_MAX;
        let stale = self.take_stale(if is_crowded { CROWDED_TIMEOUT } else { IDLE_TIMEOUT });
        if is_crowded && stale.is_empty() {
            return Err(Trouble::Full);
        }
        let (place, temporary) = (self.rules.directory.join(&piece.name), self.rules.temporary.clone());
        let work = move || -> Result<(File, PathBuf), Trouble> {
            stale.iter().for_each(|path| drop(fs::remove_file(path)));
            if fs::symlink_metadata(place).is_ok() {
                return Err(Trouble::Exists);
            }
            Ok(hidden_file(&temporary)?)
        };
        let (file, path) = on_disk(work).await?;
        let mut unfinished = self.unfinished.borrow_mut();
        if let Some(other) = unfinished.get(&piece.key()) {
            // Another chunk of it was faster.
            let _ = fs::remove_file(path);
            return Ok((Rc::clone(other), false));
        }
        let upload = Rc::new(Unfinished::new(piece, file, path));
        unfinished.insert(piece.key(), Rc::clone(&upload));
        Ok((upload, true))
    }

    /// Forgets uploads of which nothing has come for too long; where they are.
    fn take_stale(&self, timeout: Duration) -> Vec<PathBuf> {
        let mut stale = Vec::new();
        self.unfinished.borrow_mut().retain(|_, upload| {
            let is_stale = upload.is_stale(timeout);
            stale.extend(is_stale.then(|| upload.path.clone()));
            !is_stale
        });
        stale
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for upload in self.unfinished.borrow().values() {
            let _ = fs::remove_file(&upload.path);
        }
    }
}

impl Drop for Place<'_> {
    /// Forgets a file of which nothing has come.
    fn drop(&mut self) {
        // Shares: that of the store and this one.
        let is_used = Rc::strong_count(&self.upload) > 2 || self.upload.has_chunks();
        let mut unfinished = self.store.unfinished.borrow_mut();
        if !is_used && unfinished.remove(&self.piece.key()).is_some() {
            let _ = fs::remove_file(&self.upload.path);
        }
    }
}

impl Place<'_> {
    /// It is the first chunk of its file.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes the next octets of the chunk.
    pub(super) async fn write(&mut self, octets: Bytes) -> Result<(), Trouble> {
        let size = octets.len() as u64;
        if size > self.piece.size() - self.written {
            return Err(Trouble::Incomplete);
        }
        let (file, offset) = (Arc::clone(&self.upload.file), self.piece.offset() + self.written);
        self.written += size;
        on_disk(move || Ok(file.write_all_at(&octets, offset)?)).await
    }

    /// Takes note of the chunk, and puts the file where it belongs if it was the last.
    pub(super) async fn finish(mut self) -> Result<Stored, Trouble> {
        self.share = None;
        if self.written < self.piece.size() {
            return Err(Trouble::Incomplete);
        }
        if self.upload.received(self.piece) > 0 {
            return Ok(Stored::Chunk);
        }
        // Nobody may change the file once it is seen.
        let deadline = Instant::now() + WRITERS_TIMEOUT;
        while self.upload.is_written_to() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if self.upload.is_written_to() {
            return Err(Trouble::Full);
        }
        if self.store.unfinished.borrow_mut().remove(&self.piece.key()).is_none() {
            return Ok(Stored::Chunk);
        }
        let (file, path) = (Arc::clone(&self.upload.file), self.upload.path.clone());
        let (to, mode) = (self.store.rules.directory.join(&self.piece.name), self.store.rules.mode);
        let work = move || {
            let settled = settle(&file, &path, &to, mode);
            if settled.is_err() {
                let _ = fs::remove_file(&path);
            }
            settled
        };
        on_disk(work).await.map(|()| Stored::File)
    }
}

/// Makes a file seen, unless there is one of its name.
fn settle(file: &File, path: &Path, to: &Path, mode: u32) -> Result<(), Trouble> {
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    match renameat_with(CWD, path, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Trouble::Exists),
        Err(error) => Err(Trouble::Disk(error.into())),
    }
}

/// Does what may take its time where nobody waits for it.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn hidden_file(directory: &Path) -> io::Result<(File, PathBuf)> {
    let mut octets = [0; 12];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    let path = directory.join(format!("{HIDDEN_PREFIX}{}{HIDDEN_SUFFIX}", to_hex(&octets)));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((file, path))
}

/// Removes what is not complete.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(HIDDEN_PREFIX) && name.ends_with(HIDDEN_SUFFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (told, expected) in [
            ("a.txt", Some("a.txt")),
            ("../../a.txt", Some("a.txt")),
            ("C:\\dir\\a b.txt", Some("a b.txt")),
            ("..", None),
            ("/", None),
            (".bashrc", None),
            ("a\0b", None),
            ("a\nb", None),
        ] {
            assert_eq!(Piece::base_name(told).as_deref(), expected, "{told:?}");
        }
        assert_eq!(Piece::base_name(&"x".repeat(256)), None);
    }

    #[test]
    fn numbers_have_to_agree() {
        let check = |total_size, chunk_size, count, number| {
            let piece = Piece { name: "a".to_owned(), total_size, number, chunk_size, count };
            piece.check().is_ok().then(|| (piece.offset(), piece.size()))
        };
        assert_eq!(check(10, 4, 3, 3), Some((8, 2)));
        assert_eq!(check(10, 4, 2, 2), Some((4, 6)));
        assert_eq!(check(10, 4, 2, 1), Some((0, 4)));
        assert_eq!(check(8, 4, 2, 2), Some((4, 4)));
        assert_eq!(check(0, 4, 1, 1), Some((0, 0)));
        assert_eq!(check(3, 4, 1, 1), Some((0, 3)));
        for (total_size, chunk_size, count, number) in [
            (10, 4, 4, 1),
            (10, 4, 1, 1),
            (10, 4, 3, 0),
            (10, 4, 3, 4),
            (10, 0, 1, 1),
            (10, 4, 0, 0),
            (u64::MAX, CHUNK_SIZE_MAX, u32::MAX, 1),
            (u64::MAX, u64::MAX, 1, 1),
            (20_000, 1, 20_000, 1),
        ] {
            assert_eq!(check(total_size, chunk_size, count, number), None);
        }
    }
}
