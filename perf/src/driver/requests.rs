//! Files over HTTP: connections that are kept, one request at a time each.

use std::{rc::Rc, time::Instant};

use monoio::time::timeout;

use super::{
    Bench, JOIN_TIMEOUT,
    sessions::{Counter, wait_until},
    watch::Snapshot,
};
use crate::{
    clock::Clock,
    fault::Fault,
    link::{Address, Link, head_bytes},
    protocol::decimal,
    recorder::Measurement,
};

/// Read buffer of a connection.
const BUFFER_BYTES: usize = 128 * 1024;

/// How files are asked for.
#[derive(Clone, Debug)]
pub struct Http {
    /// The path that the files are below, without a slash at the end.
    pub base: String,
    /// Size of the file, which is its name too: [`file_name`].
    pub file_bytes: usize,
    /// Whether connections are encrypted.
    pub is_secured: bool,
}

/// What the file of `bytes` is called.
pub fn file_name(bytes: usize) -> String {
    format!("{bytes}.bin")
}

/// `connections` ask for the file as long as the window lasts; the latency is that of a request, to its last octet.
pub async fn measure(bench: &Bench<Http>, connections: usize) -> Result<Measurement, Fault> {
    let counter = Rc::new(Counter::default());
    let mut links = Vec::with_capacity(connections);
    for _ in 0..connections {
        links.push(open(bench).await?);
    }
    let begun = Instant::now();
    let until = begun + bench.warm_up + bench.window;
    let spawn =
        |link| monoio::spawn(ask_until(bench.protocol.clone(), link, counter.clone(), bench.clock, until));
    let clients: Vec<_> = links.into_iter().map(spawn).collect();
    wait_until(bench, &counter, begun + bench.warm_up).await;
    let first = Snapshot::take(bench, counter.cycles.get())?;
    counter.latencies.take();
    wait_until(bench, &counter, until).await;
    let last = Snapshot::take(bench, counter.cycles.get())?;
    let latencies = counter.latencies.take();
    for client in clients {
        client.await?;
    }
    Ok(Measurement { latencies, ..last.since(&first) })
}

async fn open(bench: &Bench<Http>) -> Result<Link, Fault> {
    let address: &Address = &bench.address;
    let mut link = Link::open(address, BUFFER_BYTES).await?;
    if bench.protocol.is_secured {
        link.start_tls().await?;
    }
    Ok(link)
}

async fn ask_until(
    http: Http,
    mut link: Link,
    counter: Rc<Counter>,
    clock: Clock,
    until: Instant,
) -> Result<(), Fault> {
    let Http { base, file_bytes, .. } = http;
    let request = format!("GET {base}/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", file_name(file_bytes));
    let mut out = Vec::new();
    while Instant::now() < until {
        let begun_ns = clock.now_ns();
        out.extend_from_slice(request.as_bytes());
        let asking = async {
            let emptied = link.writer.send(out).await.map_err(Fault::io("GET"))?;
            receive(&mut link, file_bytes).await.map(|()| emptied)
        };
        out = timeout(JOIN_TIMEOUT, asking).await.unwrap_or(Err(Fault::TimedOut { during: "GET" }))?;
        counter.cycles.set(counter.cycles.get() + 1);
        counter.latencies.borrow_mut().add(clock.now_ns() - begun_ns);
    }
    link.writer.finish().await;
    Ok(())
}

/// Takes one response, which must have the whole file.
async fn receive(link: &mut Link, file_bytes: usize) -> Result<(), Fault> {
    let length = link.reader.expect("GET", |bytes| match head_bytes("HTTP", bytes)? {
        Some(head) => Ok(Some((head, content_length(&bytes[..head])?))),
        None => Ok(None),
    });
    let mut missing = length.await?;
    if missing != file_bytes {
        return Err(Fault::Setup(format!("GET: {missing} octets instead of {file_bytes}")));
    }
    loop {
        let arrived = missing.min(link.reader.bytes().len());
        link.reader.consume(arrived);
        missing -= arrived;
        if missing == 0 {
            return Ok(());
        }
        if link.reader.fill().await? == 0 {
            return Err(Fault::Closed { during: "GET" });
        }
    }
}

/// What the head of a successful response says.
fn content_length(head: &[u8]) -> Result<usize, Fault> {
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(Fault::refused("GET", head));
    }
    let mut lines = head.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii);
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(CONTENT_LENGTH.len())?;
        name.eq_ignore_ascii_case(CONTENT_LENGTH).then(|| value.trim_ascii())
    });
    value.and_then(decimal).ok_or_else(|| Fault::malformed("HTTP with a length", head))
}

const CONTENT_LENGTH: &[u8] = b"content-length:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_found() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 1024\r\n\r\n";
        assert_eq!(content_length(head).ok(), Some(1024));
        assert!(content_length(b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\n").is_err());
        assert!(content_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
