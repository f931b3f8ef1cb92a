//! A call whose parts come line by line, while its results are printed as they come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::call::Running;
use super::{Arguments, Packing};
use crate::client::{Client, ClientError};

/// Longest line in octets. Protects the memory of this program.
const LINE_SIZE_MAX: usize = 1 << 20;

/// Lines of a descriptor, without waiting for more than there is.
pub(super) struct Source<'a> {
    descriptor: BorrowedFd<'a>,
    buffer: Vec<u8>,
    is_over: bool,
}

impl<'a> Source<'a> {
    pub(super) fn of(descriptor: BorrowedFd<'a>) -> Self {
        Source { descriptor, buffer: Vec::new(), is_over: false }
    }

    /// Reads what there is; waits if there is nothing.
    fn read(&mut self) -> Result<(), ClientError> {
        let mut octets = [0; 8192];
        let size = rustix::io::read(self.descriptor, &mut octets).map_err(io::Error::from)?;
        self.is_over = size == 0;
        self.buffer.extend_from_slice(&octets[..size]);
        if self.buffer.len() > LINE_SIZE_MAX && !self.buffer.contains(&b'\n') {
            return Err(ClientError::Socket(io::Error::other("a line of the input is too long")));
        }
        Ok(())
    }

    /// The next whole line; the last one needs no end.
    fn line(&mut self) -> Option<String> {
        let end = match self.buffer.iter().position(|octet| *octet == b'\n') {
            Some(end) => end + 1,
            None if self.is_over && !self.buffer.is_empty() => self.buffer.len(),
            None => return None,
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
    }
}

/// Sends every line as a part, and at the end of the input an empty last one. Returns early when the call is over.
pub(super) fn send(
    client: &mut Client,
    running: &mut Running<'_>,
    packing: Option<&Packing>,
    source: &mut Source<'_>,
) -> Result<(), ClientError> {
    while !running.is_over {
        running.cancel_in_time(client)?;
        while let Some(event) = client.next_ready()? {
            running.take(event)?;
        }
        while let Some(line) = source.line() {
            let (payload, _) = arguments(&line).packed(client.serializer(), packing)?;
            send_part(client, running, true, payload)?;
        }
        if source.is_over {
            let payload = last_part(client.serializer(), packing)?;
            return send_part(client, running, false, payload);
        }
        if !running.is_over {
            wait(client, running.until_cancel(), source)?;
        }
    }
    Ok(())
}

/// A call that was answered or cancelled takes no more parts, and that is no failure: its answer tells.
fn send_part(
    client: &mut Client,
    running: &Running<'_>,
    progress: bool,
    payload: Payload<'_>,
) -> Result<(), ClientError> {
    match client.session.call_more(running.id, running.procedure, progress, payload) {
        Ok(message) => client.send(&message),
        Err(_) => Ok(()),
    }
}

fn last_part(serializer: SerializerId, packing: Option<&Packing>) -> Result<Payload<'static>, ClientError> {
    Ok(Arguments::default().packed(serializer, packing)?.0)
}

/// Waits until the router or the input has something, and reads it.
fn wait(client: &mut Client, timeout: Option<Duration>, source: &mut Source<'_>) -> Result<(), ClientError> {
    let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
    let (router_is_ready, input_is_ready) = {
        let mut ready = [
            PollFd::new(&client, PollFlags::IN),
            PollFd::from_borrowed_fd(source.descriptor.as_fd(), PollFlags::IN),
        ];
        poll(&mut ready, timeout.as_ref()).map_err(io::Error::from)?;
        (!ready[0].revents().is_empty(), !ready[1].revents().is_empty())
    };
    if router_is_ready {
        client.receive()?;
    }
    if input_is_ready { source.read() } else { Ok(()) }
}

/// A JSON list is all arguments, a JSON object the keyword arguments, anything else one argument.
fn arguments(line: &str) -> Arguments {
    match Value::decode(SerializerId::Json, line.as_bytes()) {
        Ok(Value::List(positional)) => Arguments { positional, keywords: Dict::new() },
        Ok(Value::Dict(keywords)) => Arguments { positional: Vec::new(), keywords },
        Ok(value) => Arguments { positional: vec![value], keywords: Dict::new() },
        Err(_) => Arguments { positional: vec![line.into()], keywords: Dict::new() },
    }
}
