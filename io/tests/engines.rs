//! One suite over every kernel engine, with real loopback sockets.

#[path = "engines/support.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use crossring_io::*;
use support::{Harness, on_every_engine, pattern};

#[test]
fn echoes_over_tcp_and_unix() {
    on_every_engine(EngineOptions::default(), |harness| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let unix = listener::unix(&path, &listener::UnixOptions::default()).unwrap();
        let (address, tcp_listener) = harness.listen_tcp();
        let unix_listener = harness.engine.listen(unix);
        for size in [1, 5, 4096, 100_000] {
            let mut client = TcpStream::connect(address).unwrap();
            let id = harness.accept_from(tcp_listener);
            assert!(matches!(harness.engine.peer(id), PeerAddress::Internet(peer)
                if peer == client.local_addr().unwrap()));
            harness.echo(id, &mut client, size);
            let mut client = UnixStream::connect(&path).unwrap();
            let id = harness.accept_from(unix_listener);
            assert!(matches!(harness.engine.peer(id), PeerAddress::Process { pid, .. }
                if pid == std::process::id()));
            harness.echo(id, &mut client, size);
        }
    });
}

#[test]
fn sends_many_segments_in_order() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        let text = pattern(60_000);
        let chunk = Chunk::from(text.clone());
        // More segments than one system call takes.
        let segments: Vec<Segment> =
            (0..3000).map(|index| chunk.segment(index * 20..index * 20 + 20)).collect();
        harness.engine.send(id, Outgoing::Many(segments));
        let reader = thread::spawn(move || {
            let mut received = vec![0; 60_000];
            client.read_exact(&mut received).unwrap();
            received
        });
        let returned = harness.await_sent(id);
        assert!(matches!(returned, Outgoing::Many(segments) if segments.len() == 3000));
        assert_eq!(reader.join().unwrap(), text);
    });
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        let text = pattern(8 << 20);
        let chunk = Chunk::from(text.clone());
        let (many, whole) = (vec![chunk.segment(0..100), chunk.segment(100..text.len())], chunk.whole());
        for outgoing in [Outgoing::One(whole), Outgoing::Many(many), Outgoing::Owned(text.clone())] {
            harness.engine.send(id, outgoing);
            let mut received = Vec::new();
            let mut piece = vec![0; 50_000];
            client.set_nonblocking(true).unwrap();
            while received.len() < text.len() {
                harness.poll_once();
                if let Ok(length) = client.read(&mut piece) {
                    received.extend_from_slice(&piece[..length]);
                }
            }
            assert!(received == text);
            harness.await_sent(id);
        }
    });
}

#[test]
fn many_connections_share_few_buffers() {
    let options =
        EngineOptions { receive_buffer_count: 4, receive_buffer_size: 64, ..EngineOptions::default() };
    on_every_engine(options, |harness| {
        let mut pairs: Vec<_> = (0..100).map(|_| harness.pair()).collect();
        let text = pattern(1000);
        for (_, client) in &mut pairs {
            client.write_all(&text).unwrap();
        }
        let mut received = vec![Vec::new(); pairs.len()];
        while received.iter().any(|bytes| bytes.len() < text.len()) {
            let (id, bytes) = harness.next_bytes();
            received[id.slot as usize].extend_from_slice(&bytes);
        }
        assert!(received.iter().all(|bytes| *bytes == text));
        for (id, client) in &mut pairs {
            harness.engine.send(*id, Outgoing::Owned(text.clone()));
            harness.await_sent(*id);
            let mut received = vec![0; text.len()];
            client.read_exact(&mut received).unwrap();
            assert_eq!(received, text);
        }
        assert!(harness.engine.counters().receive_buffers_exhausted > 0);
        assert_eq!(harness.engine.counters().leases_outstanding, 0);
    });
}

#[test]
fn held_leases_stall_receiving_and_release_resumes_it() {
    let options =
        EngineOptions { receive_buffer_count: 2, receive_buffer_size: 16, ..EngineOptions::default() };
    on_every_engine(options, |harness| {
        let (_id, mut client) = harness.pair();
        client.write_all(&pattern(64)).unwrap();
        let mut leases = Vec::new();
        harness.poll_until(|event| {
            if let Event::Received { buffer, .. } = event {
                leases.push(buffer);
            }
            (leases.len() == 2).then_some(())
        });
        harness.poll_quietly();
        let mut received = Vec::new();
        for lease in leases {
            received.extend_from_slice(harness.engine.bytes(&lease));
            harness.engine.release(lease);
        }
        while received.len() < 64 {
            received.extend_from_slice(&harness.next_bytes().1);
        }
        assert_eq!(received, pattern(64));
    });
}

#[test]
fn giving_memory_back_loses_nothing() {
    on_every_engine(EngineOptions::default(), |harness| {
        let text = pattern(10_000);
        let mut others: Vec<_> = (0..100).map(|_| harness.pair()).collect();
        let (id, mut client) = others.swap_remove(0);
        for _ in 0..10 {
            (0..3).for_each(|_| harness.echo(id, &mut client, 100_000));
            harness.engine.trim();
            client.write_all(&text).unwrap();
            harness.engine.trim();
            let mut received = Vec::new();
            while received.len() < text.len() {
                let (from, bytes) = harness.next_bytes();
                assert_eq!(from, id);
                harness.engine.trim();
                received.extend_from_slice(&bytes);
            }
            assert_eq!(received, text);
            others.truncate(others.len() / 2);
        }
    });
}

#[test]
fn a_paused_connection_receives_nothing_until_resumed() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        harness.engine.pause_receive(id);
        harness.poll_quietly();
        client.write_all(b"held back").unwrap();
        harness.poll_quietly();
        harness.engine.resume_receive(id);
        assert_eq!(harness.await_bytes(id, 9), b"held back");
        // Changing one's mind within a turn loses nothing.
        harness.engine.pause_receive(id);
        harness.engine.resume_receive(id);
        harness.engine.pause_receive(id);
        harness.engine.resume_receive(id);
        client.write_all(b"again").unwrap();
        assert_eq!(harness.await_bytes(id, 5), b"again");
    });
}

#[test]
fn the_end_of_the_stream_comes_after_its_bytes() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        let text = pattern(200_000);
        let expected = text.clone();
        let writer = thread::spawn(move || {
            client.write_all(&text).unwrap();
            drop(client);
        });
        assert!(harness.await_bytes(id, expected.len()) == expected);
        assert_eq!(harness.await_closed(id), CloseReason::EndOfStream);
        writer.join().unwrap();
    });
}

#[test]
fn a_half_closed_peer_gets_its_last_answer() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        let text = pattern(2 << 20);
        client.write_all(b"and?").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(harness.await_bytes(id, 4), b"and?");
        harness.engine.send(id, Outgoing::Owned(text.clone()));
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            received
        });
        harness.await_sent(id);
        assert_eq!(harness.await_closed(id), CloseReason::EndOfStream);
        assert!(reader.join().unwrap() == text);
    });
}

#[test]
fn a_reset_is_an_error_of_the_operation_it_hit() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (address, listener) = harness.listen_tcp();
        let client = TcpStream::connect(address).unwrap();
        let id = harness.accept_from(listener);
        support::reset(client);
        let reason = harness.await_closed(id);
        assert_eq!(reason, CloseReason::Error { operation: Operation::Receive, errno: libc_econnreset() });
        // The id is stale now, and every call on it is ignored.
        harness.engine.send(id, Outgoing::Owned(vec![1]));
        harness.engine.pause_receive(id);
        harness.engine.resume_receive(id);
        harness.engine.close(id, Close::Now);
        assert_eq!(harness.engine.peer(id), PeerAddress::Unknown);
        harness.poll_quietly();
    });
}

fn libc_econnreset() -> i32 {
    rustix::io::Errno::CONNRESET.raw_os_error()
}

#[test]
fn closing_now_cancels_a_stuck_send() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (id, mut client) = harness.pair();
        harness.engine.send(id, Outgoing::Owned(pattern(8 << 20)));
        harness.poll_once();
        harness.engine.close(id, Close::Now);
        harness.engine.close(id, Close::Now);
        assert_eq!(harness.await_closed(id), CloseReason::Local);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.len() < 8 << 20);
        harness.poll_quietly();
    });
}

#[test]
fn closing_after_the_send_delivers_all_of_it() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (address, listener) = harness.listen_tcp();
        let mut client = TcpStream::connect(address).unwrap();
        let id = harness.accept_from(listener);
        let text = pattern(3 << 20);
        harness.engine.send(id, Outgoing::Owned(text.clone()));
        harness.engine.close(id, Close::AfterSend);
        // Bytes nobody reads would turn the close into a reset that destroys what was sent.
        client.write_all(&pattern(10_000)).unwrap();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            received
        });
        harness.await_sent(id);
        assert_eq!(harness.await_closed(id), CloseReason::Local);
        assert!(reader.join().unwrap() == text);
    });
}

#[test]
fn a_peer_that_never_closes_is_left_behind() {
    let options = EngineOptions { linger_ns: 20_000_000, ..EngineOptions::default() };
    on_every_engine(options, |harness| {
        let (idle, _idle_client) = harness.pair();
        let (stuck, _stuck_client) = harness.pair();
        harness.engine.send(stuck, Outgoing::Owned(pattern(8 << 20)));
        harness.engine.close(idle, Close::AfterSend);
        harness.engine.close(stuck, Close::AfterSend);
        assert_eq!(harness.await_closed(idle), CloseReason::Local);
        assert_eq!(harness.await_closed(stuck), CloseReason::Local);
    });
}

#[test]
fn slots_are_reused_with_new_generations_and_no_descriptor_leaks() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (address, listener) = harness.listen_tcp();
        let before = support::descriptor_count();
        for round in 0..200 {
            let mut client = TcpStream::connect(address).unwrap();
            let id = harness.accept_from(listener);
            assert_eq!((id.slot, id.generation), (0, round));
            match round % 4 {
                0 => drop(client),
                1 => {
                    client.write_all(b"x").unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                }
                2 => harness.engine.close(id, Close::Now),
                _ => {
                    harness.engine.send(id, Outgoing::Owned(vec![1; 10]));
                    harness.engine.close(id, Close::Now);
                }
            }
            harness.await_closed(id);
        }
        assert_eq!(support::descriptor_count(), before);
        assert_eq!(harness.engine.counters().closed, 200);
    });
}

#[test]
fn a_flood_of_connections_is_accepted() {
    on_every_engine(EngineOptions::default(), accept_flood);
    // More completions at once than the queue holds.
    let options = EngineOptions {
        submission_count: 2,
        completion_count: 16,
        receive_buffer_count: 4,
        ..EngineOptions::default()
    };
    on_every_engine(options, accept_flood);
}

fn accept_flood(harness: &mut Harness) {
    const COUNT: usize = 300;
    let (address, _) = harness.listen_tcp();
    harness.poll_once();
    let mut clients: Vec<_> = (0..COUNT).map(|_| TcpStream::connect(address).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"first words").unwrap());
    let mut accepted = Vec::new();
    while accepted.len() < COUNT {
        accepted.push(harness.accept_any());
    }
    let slots: Vec<u32> = accepted.iter().map(|id| id.slot).collect();
    assert_eq!(slots, (0..COUNT as u32).collect::<Vec<_>>());
    let mut received = vec![0; COUNT];
    while received.iter().any(|length| *length < b"first words".len()) {
        let (id, bytes) = harness.next_bytes();
        received[id.slot as usize] += bytes.len();
    }
    drop(clients);
    for id in accepted {
        assert_eq!(harness.await_closed(id), CloseReason::EndOfStream);
    }
}

#[test]
fn engines_share_a_unix_listener() {
    on_every_engine(EngineOptions::default(), |harness| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = listener::unix(&path, &listener::UnixOptions::default()).unwrap();
        let mut other = Harness::open(harness.kind, EngineOptions::default()).unwrap();
        let shared = listener::share(&socket).unwrap();
        let ours = harness.engine.listen(socket);
        other.engine.listen(shared);
        let clients: Vec<_> = (0..50).map(|_| UnixStream::connect(&path).unwrap()).collect();
        while harness.engine.counters().accepted + other.engine.counters().accepted < 50 {
            harness.poll_once();
            other.poll_once();
        }
        // One that stops leaves all to the other.
        harness.engine.stop_listening(ours);
        harness.poll_once();
        let accepted = other.engine.counters().accepted;
        let _more: Vec<_> = (0..10).map(|_| UnixStream::connect(&path).unwrap()).collect();
        while other.engine.counters().accepted < accepted + 10 {
            harness.poll_once();
            other.poll_once();
        }
        drop(clients);
    });
}

#[test]
fn listens_on_ipv6() {
    let options = listener::TcpOptions { only_v6: true, ..listener::TcpOptions::default() };
    let socket = match listener::tcp("[::1]:0".parse().unwrap(), &options) {
        Ok(socket) => socket,
        Err(error) => return println!("IPv6 is not covered: {error}"),
    };
    on_every_engine(EngineOptions::default(), |harness| {
        let address = listener::tcp_address(&socket).unwrap();
        let id = harness.engine.listen(listener::share(&socket).unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        let connection = harness.accept_from(id);
        harness.echo(connection, &mut client, 10);
    });
}

#[test]
fn a_full_table_refuses_and_stopped_listeners_accept_nothing() {
    let options = EngineOptions { connections_max: 1, ..EngineOptions::default() };
    on_every_engine(options, |harness| {
        let (address, listener) = harness.listen_tcp();
        let first = TcpStream::connect(address).unwrap();
        let id = harness.accept_from(listener);
        let mut second = TcpStream::connect(address).unwrap();
        second.set_nonblocking(true).unwrap();
        while matches!(second.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {
            harness.poll_once();
        }
        assert_eq!(harness.engine.counters().refused, 1);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(harness.engine.adopt(OwnedFd::from(ours)), Err(AdoptError::Full));
        harness.engine.stop_listening(listener);
        while TcpStream::connect(address).is_ok() {
            harness.poll_once();
        }
        drop(first);
        harness.await_closed(id);
    });
}

#[test]
fn doorbells_wake_from_any_thread_and_any_engine() {
    on_every_engine(EngineOptions::default(), |harness| {
        let doorbell = harness.engine.doorbell();
        for _ in 0..3 {
            let foreign = doorbell.clone();
            let thread = thread::spawn(move || foreign.ring());
            harness.await_doorbell();
            thread.join().unwrap();
        }
        let kind = harness.kind;
        let (sender, receiver) = mpsc::channel();
        let other = thread::spawn(move || {
            let (mut engine, _) = open(kind, EngineOptions::default()).unwrap();
            sender.send(engine.doorbell()).unwrap();
            let mut events = Vec::new();
            while events.is_empty() {
                engine.poll(&mut events, Wait::FOREVER).unwrap();
            }
            assert!(matches!(events[..], [Event::Doorbell]));
            engine.ring(&doorbell);
            engine.poll(&mut events, Wait::NOW).unwrap();
        });
        let other_doorbell = receiver.recv().unwrap();
        harness.engine.ring(&other_doorbell);
        // A poll that never blocks must see it too.
        while !harness.has_doorbell() {
            harness.poll_once();
        }
        harness.await_doorbell();
        other.join().unwrap();
        harness.poll_quietly();
        // Ringing one that sleeps nowhere any more harms nobody.
        harness.engine.ring(&other_doorbell);
        harness.poll_once();
    });
}

#[test]
fn waits_end_in_time() {
    on_every_engine(EngineOptions::default(), |harness| {
        let mut events = Vec::new();
        harness.engine.poll(&mut events, Wait::NOW).unwrap();
        let deadline = harness.engine.now().after_ns(5_000_000);
        while harness.engine.now() < deadline {
            harness.engine.poll(&mut events, Wait::until(deadline)).unwrap();
        }
        let batch = Some(Batch { events: 100, for_ns: 1_000_000 });
        let deadline = deadline.after_ns(5_000_000);
        while harness.engine.now() < deadline {
            harness.engine.poll(&mut events, Wait { until: Some(deadline), batch }).unwrap();
        }
        assert!(events.is_empty());
        let (id, mut client) = harness.pair();
        client.write_all(b"one event is enough").unwrap();
        let wait = Wait { until: None, batch };
        while events.is_empty() {
            harness.engine.poll(&mut events, wait).unwrap();
        }
        assert!(matches!(&events[0], Event::Received { connection, .. } if *connection == id));
        harness.release_all(events);
    });
}

#[test]
fn engines_die_cleanly_with_operations_in_flight() {
    on_every_engine(EngineOptions::default(), |harness| {
        let (address, listener) = harness.listen_tcp();
        let client = TcpStream::connect(address).unwrap();
        let id = harness.accept_from(listener);
        let (other, other_client) = harness.pair();
        harness.engine.send(id, Outgoing::Owned(pattern(8 << 20)));
        let chunk = Chunk::from(pattern(8 << 20));
        harness.engine.send(other, Outgoing::Many(vec![chunk.whole(), chunk.whole()]));
        harness.poll_once();
        let descriptors = support::descriptor_count();
        harness.replace_engine();
        // The streams, the listener and, but for the new one, the engine are gone.
        assert_eq!(support::descriptor_count(), descriptors - 3);
        drop((client, other_client));
    });
}

/// Lives in a process of its own, because it takes all descriptors.
#[test]
fn running_out_of_descriptors_is_survived_without_spinning() {
    if let Ok(kind) = std::env::var(CHILD) {
        return starve_of_descriptors(&kind);
    }
    for kind in ["io_uring", "epoll"] {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["running_out_of_descriptors", "--nocapture"])
            .env(CHILD, kind)
            .status();
        assert!(status.unwrap().success(), "{kind}");
    }
}

const CHILD: &str = "CROSSRING_IO_TEST_CHILD";

fn starve_of_descriptors(kind: &str) {
    let options = EngineOptions { accept_pause_ns: 2_000_000, ..EngineOptions::default() };
    let wanted = if kind == "epoll" { EngineKind::Epoll } else { EngineKind::IoUring };
    let Some(mut harness) = Harness::open(wanted, options) else { return };
    let (address, listener) = harness.listen_tcp();
    let early = TcpStream::connect(address).unwrap();
    let first = harness.accept_from(listener);
    let client = TcpStream::connect(address).unwrap();
    let hoard = support::take_all_descriptors();
    let connected = harness.poll_until(|event| match event {
        Event::Accepted { connection, .. } => Some(Some(connection)),
        Event::AcceptFailed { .. } => Some(None),
        _ => None,
    });
    if let Some(id) = connected {
        // The ring had reserved a descriptor before; now there is none.
        harness.engine.close(id, Close::Now);
        harness.await_closed(id);
    }
    let polls_before = harness.engine.counters().polls;
    let deadline = harness.engine.now().after_ns(50_000_000);
    let mut events = Vec::new();
    while harness.engine.now() < deadline {
        harness.engine.poll(&mut events, Wait::until(deadline)).unwrap();
    }
    assert!(harness.engine.counters().polls - polls_before < 200);
    drop(hoard);
    drop(client);
    let again = TcpStream::connect(address).unwrap();
    harness.poll_until(|event| matches!(event, Event::Accepted { .. }).then_some(()));
    drop((early, again));
    harness.engine.close(first, Close::Now);
    harness.await_closed(first);
}
