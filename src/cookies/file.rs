//! Cookies in a file of lines, to which changes are appended: Crossbar.io's format, so its files can be taken over.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crossring_router::cookies::{ChangeKind, CookieRecord, read_records, write_record};

use super::{Change, CookieStore, Read};

/// Largest file that is read, in octets. Protects the start from a file that has grown for years.
const FILE_SIZE_MAX: u64 = 256 << 20;

/// Whoever can read the file can log in as anybody in it.
const MODE: u32 = 0o600;

/// A file of cookies.
pub(super) struct FileStore {
    path: PathBuf,
    file: File,
}

impl FileStore {
    /// Opens the file, made if there is none, and reads it.
    pub(super) fn open(path: &Path, purges: bool) -> io::Result<Read> {
        let file = appending(path)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        let mut store = FileStore { path: path.to_owned(), file };
        let mut records = Vec::new();
        if !purges {
            let size = store.file.metadata()?.len();
            if size > FILE_SIZE_MAX {
                let text = format!("{size} bytes; {FILE_SIZE_MAX} can be read: purge it");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
            let text = fs::read(path)?;
            let bad;
            (records, bad) = read_records(&String::from_utf8_lossy(&text));
            if bad > 0 {
                tracing::warn!("cookie store {}: {bad} line(s) are no records", path.display());
            }
        }
        // A last line that a crash has cut short must not swallow the next one.
        store.rewrite(&records)?;
        Ok(Read { records, store: Box::new(store) })
    }

    /// The file under which the next one is made.
    fn next_path(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        self.path.with_file_name(name)
    }
}

impl CookieStore for FileStore {
    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let lines: String = changes.iter().map(|it| write_record(it.kind, &it.record, it.unix_ms)).collect();
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()
    }

    fn rewrite(&mut self, records: &[CookieRecord]) -> io::Result<()> {
        let kind = |record: &CookieRecord| match record.modified_unix_ms {
            Some(_) => ChangeKind::Modified,
            None => ChangeKind::Created,
        };
        let lines: String = records.iter().map(|it| write_record(kind(it), it, 0)).collect();
        let next = self.next_path();
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = appending(&next)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.file = file;
        Ok(())
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(MODE).open(path)
}
