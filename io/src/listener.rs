//! Listening sockets: made here, handed to `Engine::listen`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How a TCP listener is bound.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// `TCP_NODELAY` of the accepted connections.
    pub nodelay: bool,
    /// `SO_REUSEPORT`: every shard binds its own listener to one address and the kernel spreads.
    pub shared_port: bool,
    /// Milliseconds that what was sent may stay unacknowledged until a connection is given up; 0: as the kernel sees fit.
    pub user_timeout_ms: u32,
    /// An IPv6 listener refuses IPv4 peers.
    pub only_v6: bool,
    /// Size of the send buffer in bytes, `None` for the kernel's choice.
    pub send_buffer_size: Option<u32>,
    /// Size of the receive buffer in bytes, `None` for the kernel's choice.
    pub receive_buffer_size: Option<u32>,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            backlog: 4096,
            nodelay: true,
            shared_port: true,
            user_timeout_ms: 0,
            only_v6: false,
            send_buffer_size: None,
            receive_buffer_size: None,
        }
    }
}

/// Binds a TCP listener. Port 0 takes a free one: see [`tcp_address`].
pub fn tcp(address: SocketAddr, options: &TcpOptions) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(options.nodelay)?;
    if options.shared_port {
        socket.set_reuse_port(true)?;
    }
    if options.user_timeout_ms > 0 {
        // Accepted connections inherit it.
        let timeout = Duration::from_millis(options.user_timeout_ms.into());
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(options.only_v6)?;
    }
    if let Some(size) = options.send_buffer_size {
        socket.set_send_buffer_size(size as usize)?;
    }
    if let Some(size) = options.receive_buffer_size {
        socket.set_recv_buffer_size(size as usize)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog(options.backlog))?;
    Ok(socket.into())
}

/// The address a TCP listener is bound to.
pub fn tcp_address(listener: &OwnedFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(listener)?;
    Ok(SocketAddr::try_from(address)?)
}

/// How a Unix listener is bound.
#[derive(Clone, Debug)]
pub struct UnixOptions {
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// Permission bits of the socket file, `None` for the umask's.
    pub mode: Option<u32>,
    /// Owner of the socket file, `None` for this process's.
    pub user: Option<u32>,
    /// Group of the socket file, `None` for this process's.
    pub group: Option<u32>,
}

impl Default for UnixOptions {
    fn default() -> UnixOptions {
        UnixOptions { backlog: 4096, mode: None, user: None, group: None }
    }
}

/// Whether a path is an abstract name: `@name`, which is in no file system and gone with its last socket.
pub fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"@")
}

/// Binds a Unix listener. A socket file which nobody listens on any more is replaced; one in use, or
/// anything else at that path, is an error. Owner and mode are set before anybody can connect; abstract names
/// ([`is_abstract`]) have none.
///
/// One listener serves all shards: give each a [`share`].
pub fn unix(path: &Path, options: &UnixOptions) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if is_abstract(path) {
        let name = [b"\0", &path.as_os_str().as_bytes()[1..]].concat();
        socket.bind(&SockAddr::unix(OsStr::from_bytes(&name))?)?;
    } else {
        let address = SockAddr::unix(path)?;
        remove_stale(path, &address)?;
        socket.bind(&address)?;
        if options.user.is_some() || options.group.is_some() {
            chown(path, options.user, options.group)?;
        }
        if let Some(mode) = options.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
    }
    socket.listen(backlog(options.backlog))?;
    Ok(socket.into())
}

/// A second descriptor of the same listener, for another shard.
pub fn share(listener: &OwnedFd) -> io::Result<OwnedFd> {
    listener.try_clone()
}

/// A socket that the process was started with.
#[derive(Debug)]
pub struct Activated {
    /// Its name: `FileDescriptorName=` of a systemd socket unit, `unknown` if it has none.
    pub name: String,
    /// The socket; check it with [`inherited`].
    pub socket: OwnedFd,
}

/// First descriptor that a service manager passes.
const ACTIVATED_FIRST: i32 = 3;

/// Most descriptors taken; a service manager passes a handful.
const ACTIVATED_MAX: i32 = 1024;

/// The sockets that a service manager has passed by the protocol of systemd (`LISTEN_PID`, `LISTEN_FDS`,
/// `LISTEN_FDNAMES`), in order; none if they are for another process. The passed descriptors themselves stay open.
pub fn activated() -> io::Result<Vec<Activated>> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = variable("LISTEN_FDS").parse::<i32>().unwrap_or_default().clamp(0, ACTIVATED_MAX);
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':').filter(|name| !name.is_empty());
    (ACTIVATED_FIRST..ACTIVATED_FIRST + count)
        .map(|descriptor| {
            let name = names.next().unwrap_or("unknown").to_owned();
            // SAFETY: not -1. The descriptor is only duplicated: one that is not open gives an error.
            let passed = unsafe { BorrowedFd::borrow_raw(descriptor) };
            Ok(Activated { name, socket: passed.try_clone_to_owned()? })
        })
        .collect()
}

/// Checks a listener that was made elsewhere, as by a service manager.
pub fn inherited(socket: OwnedFd) -> io::Result<OwnedFd> {
    let socket = Socket::from(socket);
    let listens = socket.is_listener()?;
    let streams = socket.r#type()? == Type::STREAM;
    if !listens || !streams {
        let text = "the inherited descriptor is not a listening stream socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    socket.set_cloexec(true)?;
    // A Unix socket refuses; it has no small segments either.
    let _ = socket.set_tcp_nodelay(true);
    Ok(socket.into())
}

fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        let text = format!("{} exists and is not a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match Socket::new(Domain::UNIX, Type::STREAM, None)?.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => {
            let text = format!("{} is in use", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

fn backlog(length: u32) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn shards_share_a_port() {
        let first = tcp(loopback(), &TcpOptions::default()).unwrap();
        let address = tcp_address(&first).unwrap();
        let second = tcp(address, &TcpOptions::default()).unwrap();
        assert_eq!(tcp_address(&second).unwrap(), address);
        let alone = TcpOptions { shared_port: false, ..TcpOptions::default() };
        assert!(tcp(address, &alone).is_err());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let options = UnixOptions { mode: Some(0o600), ..UnixOptions::default() };
        let live = unix(&path, &options).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(unix(&path, &options).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        let again = unix(&path, &options).unwrap();
        inherited(share(&again).unwrap()).unwrap();
    }

    #[test]
    fn abstract_names_are_in_no_file_system() {
        let name = format!("@crossring-{}", std::process::id());
        let path = Path::new(&name);
        assert!(is_abstract(path) && !is_abstract(Path::new("/run/@x")));
        let _listener = unix(path, &UnixOptions::default()).unwrap();
        assert!(!path.exists());
        let name = SockAddr::unix(format!("\0{}", &name[1..])).unwrap();
        Socket::new(Domain::UNIX, Type::STREAM, None).unwrap().connect(&name).unwrap();
        assert_eq!(unix(path, &UnixOptions::default()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_inherit_the_user_timeout() {
        let options = TcpOptions { user_timeout_ms: 1_234, ..TcpOptions::default() };
        let listener = Socket::from(tcp(loopback(), &options).unwrap());
        let address = listener.local_addr().unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.connect(&address).unwrap();
        let accepted = listener.accept().unwrap().0;
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(Duration::from_millis(1_234)));
    }

    #[test]
    fn other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "text").unwrap();
        let error = unix(&path, &UnixOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        assert!(inherited(fs::File::open(&path).unwrap().into()).is_err());
    }
}
