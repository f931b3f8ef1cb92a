//! The sockets that transports listen on: bound here, or inherited from who started the process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossring_io::listener::{self, Activated, TcpOptions, UnixOptions};

use crate::config::{
    Endpoint, InheritedEndpoint, NodeConfig, SocketOwner, TcpEndpoint, TransportConfig, UnixEndpoint,
};

/// The sockets of one endpoint, one for each shard, and where they are.
pub(super) struct Bound {
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) place: String,
}

/// Makes the sockets of `endpoint`. `inherited`: what the process has been started with.
fn bind(transport: &TransportConfig, shards: usize, inherited: &[Activated]) -> io::Result<Bound> {
    let endpoint = &transport.endpoint;
    match endpoint {
        Endpoint::Tcp(tcp) => bind_tcp(tcp, transport.kind.nodelay(), shards),
        Endpoint::Unix(unix) => {
            let sockets = shared(bind_unix(unix)?, shards)?;
            Ok(Bound { sockets, place: place(endpoint) })
        }
        Endpoint::Inherited(wanted) => {
            let socket = listener::inherited(listener::share(&find(wanted, inherited)?.socket)?)?;
            Ok(Bound { sockets: shared(socket, shards)?, place: place(endpoint) })
        }
        Endpoint::Within(_) => Ok(Bound { sockets: Vec::new(), place: place(endpoint) }),
    }
}

/// As [`bind`], and again for a while where the place is still in use: the kernel needs some milliseconds after the death of a process to give
/// back what its ring held, and whoever restarts a router that was killed is faster.
pub(super) fn bind_patiently(
    transport: &TransportConfig,
    shards: usize,
    inherited: &[Activated],
) -> io::Result<Bound> {
    const PATIENCE: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(10);
    let begun = Instant::now();
    loop {
        match bind(transport, shards, inherited) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => {
                #[expect(clippy::disallowed_methods, reason = "nobody tells when a port becomes free")]
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// What to do about a place that cannot be listened on.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has it: `ss -lptn` names it",
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this host has that address: `ip address` lists them"
        }
        io::ErrorKind::PermissionDenied => {
            "; low ports take the capability CAP_NET_BIND_SERVICE, or a socket from the service manager (`type: inherited`)"
        }
        _ => "",
    }
}

/// Where an endpoint is, as it is configured.
pub(super) fn place(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(TcpEndpoint { address, port, port_last, .. }) if port < port_last => {
            format!("{}..{port_last}", SocketAddr::new(*address, *port))
        }
        Endpoint::Tcp(tcp) => SocketAddr::new(tcp.address, tcp.port).to_string(),
        Endpoint::Unix(unix) => format!("unix:{}", unix.path.display()),
        Endpoint::Inherited(inherited) => inherited.to_string(),
        Endpoint::Within(index) => format!("transport {index}"),
    }
}

/// Takes away the files of Unix sockets that nobody listens on any more.
pub(super) fn remove_sockets(config: &NodeConfig) {
    for transport in &config.transports {
        if let Endpoint::Unix(unix) = &transport.endpoint
            && !listener::is_abstract(&unix.path)
        {
            let _ = fs::remove_file(&unix.path);
        }
    }
}

/// The first free port of the range.
fn bind_tcp(tcp: &TcpEndpoint, nodelay: bool, shards: usize) -> io::Result<Bound> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for port in tcp.port..=tcp.port_last {
        result = bind_port(tcp, port, nodelay, shards);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => break,
        }
    }
    result
}

fn bind_port(tcp: &TcpEndpoint, port: u16, nodelay: bool, shards: usize) -> io::Result<Bound> {
    let options = TcpOptions {
        backlog: tcp.backlog.into(),
        nodelay,
        user_timeout_ms: tcp.user_timeout_ms.into(),
        ..TcpOptions::default()
    };
    let address = SocketAddr::new(tcp.address, port);
    if !tcp.is_shared {
        // Shards share the port, and the kernel would let another process of this user share it too: the first socket
        // must get it for itself.
        drop(listener::tcp(address, &TcpOptions { shared_port: false, ..options.clone() })?);
    }
    let first = listener::tcp(address, &options)?;
    let address = listener::tcp_address(&first)?;
    let others = (1..shards).map(|_| listener::tcp(address, &options));
    let sockets = std::iter::once(Ok(first)).chain(others).collect::<io::Result<_>>()?;
    Ok(Bound { sockets, place: address.to_string() })
}

fn bind_unix(unix: &UnixEndpoint) -> io::Result<OwnedFd> {
    let options = UnixOptions {
        backlog: unix.backlog.into(),
        mode: unix.mode,
        user: unix.user.as_ref().map(|user| number(user, "/etc/passwd")).transpose()?,
        group: unix.group.as_ref().map(|group| number(group, "/etc/group")).transpose()?,
    };
    listener::unix(&unix.path, &options)
}

/// One socket of several shards: the kernel gives a connection to whoever accepts it first.
fn shared(first: OwnedFd, shards: usize) -> io::Result<Vec<OwnedFd>> {
    let mut sockets = (1..shards).map(|_| listener::share(&first)).collect::<io::Result<Vec<_>>>()?;
    sockets.push(first);
    Ok(sockets)
}

/// The number of a user or group: itself, or what the file of users or groups says of the name.
fn number(owner: &SocketOwner, file: &str) -> io::Result<u32> {
    match owner {
        SocketOwner::Number(number) => Ok(*number),
        SocketOwner::Name(name) => number_of(name, &fs::read_to_string(Path::new(file))?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name:?} is not in {file}"))),
    }
}

/// Lines are `name:password:number:…`.
fn number_of(name: &str, lines: &str) -> Option<u32> {
    let mut entries = lines.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

fn find<'a>(wanted: &InheritedEndpoint, inherited: &'a [Activated]) -> io::Result<&'a Activated> {
    let found = match wanted {
        InheritedEndpoint { name: Some(name), .. } => inherited.iter().find(|it| it.name == *name),
        InheritedEndpoint { index, .. } => inherited.get(usize::from(*index)),
    };
    found.ok_or_else(|| {
        let names = inherited.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = match inherited.len() {
            0 => "the process was started without sockets (LISTEN_FDS)".to_owned(),
            count => format!("the process was started with {count} socket(s): {names}"),
        };
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        let file = "root:x:0:0:root:/root:/bin/bash\nbroken\n\nwww-data:x:33:33::/var/www:/bin/false\n";
        assert_eq!(number_of("www-data", file), Some(33));
        assert_eq!(number_of("root", file), Some(0));
        assert_eq!(number_of("broken", file), None);
        assert_eq!(number_of("nobody", file), None);
    }
}
