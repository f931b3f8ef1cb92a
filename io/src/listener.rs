//! Listening sockets: made here, handed to `Engine::listen`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How a TCP listener is bound.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// `SO_REUSEPORT`: every shard binds its own listener to one address and the kernel spreads.
    pub shared_port: bool,
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
            shared_port: true,
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
    socket.set_tcp_nodelay(true)?;
    if options.shared_port {
        socket.set_reuse_port(true)?;
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
}

impl Default for UnixOptions {
    fn default() -> UnixOptions {
        UnixOptions { backlog: 4096, mode: None }
    }
}

/// Binds a Unix listener. A socket file which nobody listens on any more is replaced; one in use, or
/// anything else at that path, is an error.
///
/// One listener serves all shards: give each a [`share`].
pub fn unix(path: &Path, options: &UnixOptions) -> io::Result<OwnedFd> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    if let Some(mode) = options.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog(options.backlog))?;
    Ok(socket.into())
}

/// A second descriptor of the same listener, for another shard.
pub fn share(listener: &OwnedFd) -> io::Result<OwnedFd> {
    listener.try_clone()
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
