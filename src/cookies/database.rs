//! Cookies in a database: one entry for each, its value the line that a file would have.
//!
//! Crossbar.io keeps its own in LMDB, as FlatBuffers. Neither can be had here without `unsafe`; redb is the like of it in Rust.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crossring_router::cookies::{ChangeKind, CookieRecord, read_records, write_record};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Change, CookieStore, Read};

/// The file in the directory of the database.
const FILE_NAME: &str = "cookies.redb";

/// Crossbar.io's file there.
const CROSSBAR_FILE_NAME: &str = "data.mdb";

/// Whoever can read the file can log in as anybody in it.
const MODE: u32 = 0o600;

const TABLE: TableDefinition<'_, &str, &str> = TableDefinition::new("cookies");

/// Opens a database.
type Opener = Box<dyn Fn() -> io::Result<Database> + Send>;

/// A database of cookies.
pub(super) struct DatabaseStore {
    open: Opener,
    /// None after a failure: whatever it was, a database takes nothing more until it is opened again.
    database: Option<Database>,
    is_readonly: bool,
}

/// How a database is opened.
#[derive(Copy, Clone, Debug)]
pub(super) struct DatabaseOptions {
    pub(super) purges: bool,
    pub(super) is_readonly: bool,
}

impl DatabaseStore {
    /// Opens the database in a directory, both made if there are none, and reads it.
    pub(super) fn open(directory: &Path, options: DatabaseOptions) -> io::Result<Read> {
        let path = prepare(directory)?;
        let open = move || {
            let database = Database::create(&path).map_err(fault)?;
            fs::set_permissions(&path, Permissions::from_mode(MODE))?;
            Ok(database)
        };
        Self::open_with(Box::new(open), options)
    }

    fn open_with(open: Opener, options: DatabaseOptions) -> io::Result<Read> {
        let database = Some(open()?);
        let mut store = DatabaseStore { open, database, is_readonly: options.is_readonly };
        let mut records = Vec::new();
        if options.purges {
            store.rewrite(&[])?;
        } else {
            records = store.records()?;
        }
        Ok(Read { records, store: Box::new(store) })
    }

    fn database(&mut self) -> io::Result<&Database> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        Ok(self.database.insert(database))
    }

    fn records(&mut self) -> io::Result<Vec<CookieRecord>> {
        let reading = self.database()?.begin_read().map_err(fault)?;
        let table = match reading.open_table(TABLE) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(fault)?,
        };
        let mut lines = String::new();
        for entry in table.iter().map_err(fault)? {
            lines.push_str(entry.map_err(fault)?.1.value());
        }
        Ok(read_records(&lines).0)
    }

    /// Puts lines by their keys, takes keys away that have none: all or nothing.
    fn write<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a CookieRecord, Option<String>)>,
        clears: bool,
    ) -> io::Result<()> {
        if self.is_readonly {
            return Ok(());
        }
        let written = write(self.database()?, changes, clears);
        if written.is_err() {
            self.database = None;
        }
        written
    }
}

impl CookieStore for DatabaseStore {
    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let line = |it: &Change| write_record(it.kind, &it.record, it.unix_ms);
        let kept = |it: &Change| (it.kind != ChangeKind::Deleted).then(|| line(it));
        self.write(changes.iter().map(|it| (&it.record, kept(it))), false)
    }

    fn rewrite(&mut self, records: &[CookieRecord]) -> io::Result<()> {
        let line = |it: &CookieRecord| Some(write_record(ChangeKind::Modified, it, 0));
        self.write(records.iter().map(|it| (it, line(it))), true)
    }
}

fn write<'a>(
    database: &Database,
    changes: impl IntoIterator<Item = (&'a CookieRecord, Option<String>)>,
    clears: bool,
) -> io::Result<()> {
    let writing = database.begin_write().map_err(fault)?;
    {
        let mut table = writing.open_table(TABLE).map_err(fault)?;
        if clears {
            table.retain(|_, _| false).map_err(fault)?;
        }
        for (record, line) in changes {
            let key = record.value.expose();
            match line {
                Some(line) => drop(table.insert(key, &*line).map_err(fault)?),
                None => drop(table.remove(key).map_err(fault)?),
            }
        }
    }
    writing.commit().map_err(fault)
}

/// Makes the directory; says where the file is.
fn prepare(directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(FILE_NAME);
    if !path.exists() && directory.join(CROSSBAR_FILE_NAME).exists() {
        tracing::warn!("cookie store {}: that of Crossbar.io is left alone", directory.display());
    }
    Ok(path)
}

fn fault(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crossring_router::config::Secret;
    use crossring_router::cookies::CookieLogin;
    use redb::StorageBackend;
    use redb::backends::FileBackend;

    use super::*;

    /// A file on a disk that may be full.
    #[derive(Debug)]
    struct Disk(FileBackend, Arc<AtomicBool>);

    impl Disk {
        fn room(&self) -> io::Result<()> {
            let is_full = self.1.load(Ordering::Relaxed);
            if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, size: u64) -> io::Result<()> {
            self.room().and_then(|()| self.0.set_len(size))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.0.sync_data())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.0.write(offset, data))
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
    }

    fn record(value: &str) -> CookieRecord {
        let login = CookieLogin {
            realm: "realm1".into(),
            authid: "joe".into(),
            authrole: "member".into(),
            authmethod: "ticket".into(),
            authextra: Vec::new(),
        };
        let (created_unix_ms, modified_unix_ms) = (1_000, None);
        CookieRecord {
            value: Secret::new(value),
            created_unix_ms,
            modified_unix_ms,
            max_age_s: 10,
            login: Some(login),
        }
    }

    #[test]
    fn a_database_recovers_from_a_full_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        let is_full = Arc::new(AtomicBool::new(false));
        let disk = is_full.clone();
        let open = move || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let file = FileBackend::new(file).map_err(fault)?;
            Database::builder().create_with_backend(Disk(file, disk.clone())).map_err(fault)
        };
        let options = DatabaseOptions { purges: false, is_readonly: false };
        let mut store = DatabaseStore::open_with(Box::new(open), options).expect("opened").store;
        store.rewrite(&[record("one")]).expect("written");
        is_full.store(true, Ordering::Relaxed);
        assert!(store.rewrite(&[record("one"), record("two")]).is_err());
        assert!(store.rewrite(&[record("one"), record("two")]).is_err());
        is_full.store(false, Ordering::Relaxed);
        store.rewrite(&[record("one"), record("two")]).expect("written");
        drop(store);
        let read = DatabaseStore::open(directory.path(), options).expect("opened");
        assert_eq!(read.records, [record("one"), record("two")]);
    }
}
