//! What both kernel engines do to sockets.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, sockopt};

use crate::event::{AdoptError, PeerAddress};

/// Whether calls on a socket may block. io_uring arms a poll only for sockets that block; epoll needs
/// the opposite.
#[derive(Copy, Clone, Eq, PartialEq)]
pub(crate) enum Blocking {
    Yes,
    No,
}

/// Sets what accepted sockets inherit. Errors are ignored: the socket works without.
pub(crate) fn prepare_listener(socket: BorrowedFd<'_>, blocking: Blocking) {
    let _ = set_blocking(socket, blocking);
}

pub(crate) fn prepare_stream(socket: BorrowedFd<'_>, blocking: Blocking) -> Result<(), AdoptError> {
    let prepared = set_blocking(socket, blocking)
        .and_then(|()| if is_internet(socket) { sockopt::set_tcp_nodelay(socket, true) } else { Ok(()) });
    prepared.map_err(|errno| AdoptError::Socket { errno: errno.raw_os_error() })
}

fn set_blocking(socket: BorrowedFd<'_>, blocking: Blocking) -> Result<(), Errno> {
    let mut flags = fcntl_getfl(socket)?;
    flags.set(OFlags::NONBLOCK, blocking == Blocking::No);
    fcntl_setfl(socket, flags)
}

fn is_internet(socket: BorrowedFd<'_>) -> bool {
    matches!(sockopt::socket_domain(socket), Ok(AddressFamily::INET | AddressFamily::INET6))
}

/// Whether an accept failed only for the connection at hand, so that the next one may be taken at once.
pub(crate) fn accept_error_passes(errno: i32) -> bool {
    matches!(errno, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::EPROTO | libc::EPERM)
}

/// Ends our side of a stream; tells whether it was still connected.
pub(crate) fn end_sending(socket: BorrowedFd<'_>) -> bool {
    rustix::net::shutdown(socket, Shutdown::Write).is_ok()
}

pub(crate) fn end_both(socket: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

pub(crate) fn peer(socket: BorrowedFd<'_>) -> PeerAddress {
    if !is_internet(socket) {
        return peer_process(socket);
    }
    let address = rustix::net::getpeername(socket).ok().flatten();
    match address.and_then(|address| SocketAddr::try_from(address).ok()) {
        Some(address) => PeerAddress::Internet(address),
        None => PeerAddress::Unknown,
    }
}

fn peer_process(socket: BorrowedFd<'_>) -> PeerAddress {
    match sockopt::socket_peercred(socket) {
        Ok(credentials) => PeerAddress::Process {
            pid: credentials.pid.as_raw_nonzero().get().cast_unsigned(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        },
        Err(_) => PeerAddress::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::listener::{self, TcpOptions};

    #[test]
    fn accepted_sockets_inherit_nodelay_from_their_listener() {
        for nodelay in [true, false] {
            let options = TcpOptions { nodelay, ..TcpOptions::default() };
            let listener = TcpListener::from(listener::tcp(([127, 0, 0, 1], 0).into(), &options).unwrap());
            prepare_listener(listener.as_fd(), Blocking::Yes);
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().0.nodelay().unwrap(), nodelay);
        }
    }

    #[test]
    fn streams_of_any_kind_are_prepared() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        prepare_stream(ours.as_fd(), Blocking::No).unwrap();
        assert!(fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
        prepare_stream(ours.as_fd(), Blocking::Yes).unwrap();
        assert!(!fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
        let own = rustix::process::getuid().as_raw();
        assert!(matches!(peer(ours.as_fd()), PeerAddress::Process { uid, .. } if uid == own));
    }
}
