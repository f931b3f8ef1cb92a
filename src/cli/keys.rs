//! `crossring keys`: the Ed25519 key of the node, in the files `key.priv` and `key.pub` of Crossbar.io. An existing key is never
//! overwritten.

mod file;

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;

use self::file::{KeyFile, ParseError};
use super::{NodeDirectory, directory, outcome, say};

const PRIVATE: (&str, u32) = ("key.priv", 0o600);
const PUBLIC: (&str, u32) = ("key.pub", 0o644);

/// The files of a key in the node directory.
pub(super) const FILE_NAMES: [&str; 2] = [PRIVATE.0, PUBLIC.0];

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    directory: NodeDirectory,
    /// Show the private key too.
    #[arg(long)]
    private: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let node_directory = arguments.directory.resolve();
    outcome(directory::create(&node_directory).and_then(|()| show(&node_directory, arguments.private)))
}

fn show(node_directory: &Path, with_private: bool) -> Result<(), String> {
    let key = load_or_create(node_directory).map_err(|error| error.to_string())?;
    say!("Node key in {}", node_directory.display());
    say!("  public-key-ed25519: {}", hexadecimal(key.verifying_key().as_bytes()));
    if with_private {
        say!("  private-key-ed25519: {}", hexadecimal(key.as_bytes()));
    }
    Ok(())
}

/// Why there is no node key. All of these need the user: nothing is repaired by guessing.
#[derive(Debug)]
pub(super) enum KeyError {
    /// A file operation failed.
    Io(PathBuf, std::io::Error),
    /// `key.pub` exists without `key.priv`.
    PrivateMissing(PathBuf),
    /// A key file is not of the format.
    Corrupt(PathBuf, ParseError),
    /// The private key does not belong to the public key in the file.
    Inconsistent(PathBuf),
    /// The kernel gave no randomness.
    Randomness(getrandom::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Io(path, error) => write!(f, "key file {}: {error}", path.display()),
            KeyError::PrivateMissing(path) => {
                write!(f, "{} exists, but there is no {} beside it", path.display(), PRIVATE.0)
            }
            KeyError::Corrupt(path, error) => write!(f, "Corrupt node key file {} - {error}", path.display()),
            KeyError::Inconsistent(path) => write!(
                f,
                "Inconsistent node key file {} - public-key-ed25519 doesn't correspond to private-key-ed25519",
                path.display()
            ),
            KeyError::Randomness(error) => write!(f, "no randomness for a new key: {error}"),
        }
    }
}

/// The key of a node directory, which is left as it is; none if there is no private key.
///
/// # Errors
/// [`KeyError`].
pub(super) fn find(node_directory: &Path) -> Result<Option<Found>, KeyError> {
    let (private, public) = (node_directory.join(PRIVATE.0), node_directory.join(PUBLIC.0));
    if !private.exists() {
        return Ok(None);
    }
    let (key, _) = read_private(&private)?;
    if public.exists() {
        check_public(&public, &key)?;
    }
    Ok(Some(Found { key, remark: exposure(&private)? }))
}

/// A key that is there.
pub(super) struct Found {
    pub(super) key: SigningKey,
    /// What is wrong with its file, though it can be used.
    pub(super) remark: Option<String>,
}

/// What to say of a private key that others can read.
fn exposure(private: &Path) -> Result<Option<String>, KeyError> {
    let metadata = std::fs::metadata(private).map_err(|error| KeyError::Io(private.into(), error))?;
    let mode = metadata.permissions().mode() & 0o777;
    let said = || {
        let path = private.display();
        format!(
            "{path} has mode {mode:04o}: others than its owner can use the node's private key; chmod 600 {path}"
        )
    };
    Ok((mode & 0o077 != 0).then(said))
}

/// The key of a node directory; created when there is none, and `key.pub` written anew when only it is missing.
///
/// # Errors
/// [`KeyError`].
pub(super) fn load_or_create(node_directory: &Path) -> Result<SigningKey, KeyError> {
    let (private, public) = (node_directory.join(PRIVATE.0), node_directory.join(PUBLIC.0));
    match (private.exists(), public.exists()) {
        (true, is_complete) => load(&private, &public, is_complete),
        (false, true) => Err(KeyError::PrivateMissing(public)),
        (false, false) => create(&private, &public),
    }
}

fn load(private: &Path, public: &Path, is_complete: bool) -> Result<SigningKey, KeyError> {
    let (key, file) = read_private(private)?;
    fix_mode(private, PRIVATE.1)?;
    if is_complete {
        check_public(public, &key)?;
    } else {
        write_new(public, PUBLIC.1, &file::public_text(&key, &file.origin))?;
        say!("Created {} from the private key", public.display());
    }
    fix_mode(public, PUBLIC.1)?;
    Ok(key)
}

fn read_private(path: &Path) -> Result<(SigningKey, KeyFile), KeyError> {
    let file = read(path)?;
    let corrupt = |tag| KeyError::Corrupt(path.into(), ParseError::Missing(tag));
    let seed = file.private_key.ok_or_else(|| corrupt("private-key-ed25519"))?;
    let key = SigningKey::from_bytes(&seed);
    if belongs(&file, &key) { Ok((key, file)) } else { Err(KeyError::Inconsistent(path.into())) }
}

fn check_public(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    if belongs(&read(path)?, key) { Ok(()) } else { Err(KeyError::Inconsistent(path.into())) }
}

fn belongs(file: &KeyFile, key: &SigningKey) -> bool {
    file.public_key == *key.verifying_key().as_bytes()
}

fn read(path: &Path) -> Result<KeyFile, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|error| KeyError::Io(path.into(), error))?;
    file::parse(&text).map_err(|error| KeyError::Corrupt(path.into(), error))
}

fn create(private: &Path, public: &Path) -> Result<SigningKey, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyError::Randomness)?;
    let key = SigningKey::from_bytes(&seed);
    let origin = file::Origin::of_this_host();
    write_new(private, PRIVATE.1, &file::private_text(&key, &origin))?;
    write_new(public, PUBLIC.1, &file::public_text(&key, &origin))?;
    say!("Created node key: {} and {}", private.display(), public.display());
    Ok(key)
}

/// Writes a file that must not exist, and to the disk: a node key that vanishes in a crash locks the node out of its peers.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), KeyError> {
    let failed = |error| KeyError::Io(path.into(), error);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

fn fix_mode(path: &Path, mode: u32) -> Result<(), KeyError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => {
            KeyError::Io(path.into(), std::io::Error::other("wrong mode, and not ours to fix"))
        }
        _ => KeyError::Io(path.into(), error),
    };
    let permissions = std::fs::metadata(path).map_err(failed)?.permissions();
    if permissions.mode() & 0o777 != mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        say!("File permissions on {} fixed", path.display());
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let (private, public) = (directory.path().join("key.priv"), directory.path().join("key.pub"));
        let key = load_or_create(directory.path()).expect("a key");
        assert_eq!((mode(&private), mode(&public)), (0o600, 0o644));
        let text = std::fs::read_to_string(&public).expect("text");
        assert!(!text.contains(&hexadecimal(key.as_bytes())));

        let found = || find(directory.path()).expect("readable").expect("there");
        assert!(found().key.to_bytes() == key.to_bytes() && found().remark.is_none());
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).expect("mode");
        assert!(found().remark.is_some_and(|remark| remark.contains("mode 0644")));
        std::fs::remove_file(&public).expect("removed");
        assert_eq!(load_or_create(directory.path()).expect("the key").to_bytes(), key.to_bytes());
        assert_eq!(mode(&private), 0o600);
        assert_eq!(std::fs::read_to_string(&public).expect("text"), text);
    }

    #[test]
    fn a_lost_or_foreign_half_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let other = tempfile::tempdir().expect("a directory");
        load_or_create(directory.path()).expect("a key");
        load_or_create(other.path()).expect("a key");
        let public = directory.path().join("key.pub");
        std::fs::copy(other.path().join("key.pub"), &public).expect("copied");
        assert!(matches!(load_or_create(directory.path()), Err(KeyError::Inconsistent(_))));
        assert!(matches!(find(directory.path()), Err(KeyError::Inconsistent(_))));
        std::fs::remove_file(directory.path().join("key.priv")).expect("removed");
        assert!(matches!(load_or_create(directory.path()), Err(KeyError::PrivateMissing(_))));
        assert!(!directory.path().join("key.priv").exists());
    }
}
