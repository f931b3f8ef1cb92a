//! Files that the kernel holds in memory: opened and read at once, on the thread that asks.
//!
//! Another thread costs several times what such a file does. Whatever would wait for a disk, is behind a link or is no plain
//! file is left to those who may wait: nothing here ever blocks, and nothing here decides what is not there.

use std::ffi::OsString;
use std::fs::File;
use std::io::IoSliceMut;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::ENCODINGS;

/// The plain file at `relative` below `root`, or one beside it in an accepted encoding; none if that cannot be told at once.
pub(super) fn open(
    root: &Path,
    relative: &Path,
    encodings: [bool; 2],
) -> Option<(File, Option<&'static str>)> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat2(CWD, root, directory, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let open = |path: &Path| {
        // A pipe must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let below = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&root, path, flags, Mode::empty(), below).map(File::from)
    };
    let is_plain = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
    let plain = open(relative).ok().filter(is_plain)?;
    for ((encoding, suffix), _) in ENCODINGS.iter().zip(encodings).filter(|(_, accepted)| *accepted) {
        match open(&beside(relative, suffix)) {
            Ok(file) if is_plain(&file) => return Some((file, Some(encoding))),
            Err(Errno::NOENT) => {}
            _ => return None,
        }
    }
    Some((plain, None))
}

/// `size` octets from `start` on, if all of them can be had at once.
pub(super) fn read(file: &File, start: u64, size: usize) -> Option<Bytes> {
    let mut octets = vec![0; size];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut octets)], start, ReadWriteFlags::NOWAIT);
    (read == Ok(size)).then(|| octets.into())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_told_at_once_is_right() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let root = fs::canonicalize(directory.path()).expect("a path").join("root");
        fs::create_dir_all(root.join("inner")).expect("a directory");
        for (name, content) in [("a", "plain"), ("a.gz", "zipped"), ("inner/b", "inner"), ("../c", "outside")]
        {
            fs::write(root.join(name), content).expect("a file");
        }
        symlink("../c", root.join("out")).expect("a link");
        symlink("a", root.join("in")).expect("a link");
        // Some file systems can tell nothing at once.
        let content = |name: &str, encodings| {
            let (mut file, encoding) = open(&root, Path::new(name), encodings)?;
            let mut content = String::new();
            file.read_to_string(&mut content).expect("a text");
            if let Some(octets) = read(&file, 1, 2) {
                assert_eq!(octets, &content.as_bytes()[1..3]);
            }
            assert_eq!(read(&file, 1, 100), None);
            Some((content, encoding))
        };
        let expect = |name, encodings, text: &str, encoding| {
            let told = content(name, encodings);
            assert!(told.is_none() || told == Some((text.to_owned(), encoding)), "{name}: {told:?}");
        };
        expect("a", [false; 2], "plain", None);
        expect("a", [true; 2], "zipped", Some("gzip"));
        expect("inner/b", [true; 2], "inner", None);
        for name in ["in", "out", "../c", "inner", "none", ""] {
            assert!(content(name, [true; 2]).is_none(), "{name}");
        }
    }
}
