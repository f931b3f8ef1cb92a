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

/// A database of cookies.
pub(super) struct DatabaseStore {
    database: Database,
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
        let database = Database::create(&path).map_err(fault)?;
        fs::set_permissions(&path, Permissions::from_mode(MODE))?;
        let mut store = DatabaseStore { database, is_readonly: options.is_readonly };
        let mut records = Vec::new();
        if options.purges {
            store.rewrite(&[])?;
        } else {
            records = store.records()?;
        }
        Ok(Read { records, store: Box::new(store) })
    }

    fn records(&self) -> io::Result<Vec<CookieRecord>> {
        let reading = self.database.begin_read().map_err(fault)?;
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
        &self,
        changes: impl IntoIterator<Item = (&'a CookieRecord, Option<String>)>,
        clears: bool,
    ) -> io::Result<()> {
        if self.is_readonly {
            return Ok(());
        }
        let writing = self.database.begin_write().map_err(fault)?;
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
