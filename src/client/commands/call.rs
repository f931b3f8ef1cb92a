//! `crossring call`.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossring_codec::id::RequestId;
use crossring_codec::message::{CallOptions, CancelMode, ResultDetails};
use crossring_codec::payload::Payload;
use crossring_router::client::ClientEvent;

use super::line::Line;
use super::stream::Source;
use super::{Arguments, Packing, fail_on_error, stream};
use crate::client::{Client, ClientError, Destination};

/// How a procedure is called.
#[derive(Clone, Debug)]
pub struct Calling {
    /// Options of every CALL.
    pub options: CallOptions<'static>,
    /// Passthru mode.
    pub packing: Option<Packing>,
    /// How often, one after the other.
    pub count: u64,
    /// When and how to cancel.
    pub cancel: Option<(Duration, CancelMode)>,
    /// Send each line of standard input as a further part of the call.
    pub stream: bool,
}

/// Calls and prints every result.
pub fn call(
    to: &Destination,
    procedure: &str,
    arguments: &Arguments,
    how: &Calling,
) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let (payload, passthru) = arguments.packed(client.serializer(), how.packing.as_ref())?;
    let mut options = CallOptions { progress: how.stream, ..how.options.clone() };
    if let Some(passthru) = passthru {
        options.extra_mut().passthru = passthru;
    }
    for _ in 0..how.count {
        let request = client.session.call(procedure, options.clone(), payload.borrowed())?;
        client.send(&request.message)?;
        let mut running = Running::new(request.id, procedure, to, how);
        if how.stream {
            let input = std::io::stdin();
            let mut source = Source::of(input.as_fd());
            stream::send(&mut client, &mut running, how.packing.as_ref(), &mut source)?;
        }
        while !running.is_over {
            running.wait(&mut client)?;
        }
    }
    client.leave()
}

/// A call without its final result.
pub(super) struct Running<'a> {
    pub(super) id: RequestId,
    pub(super) procedure: &'a str,
    pub(super) is_over: bool,
    /// For each result, or for the router to give up.
    patience: Duration,
    cancel: Option<(Instant, CancelMode)>,
}

impl<'a> Running<'a> {
    fn new(id: RequestId, procedure: &'a str, to: &Destination, how: &Calling) -> Self {
        let patience = to.timeout.saturating_add(Duration::from_millis(how.options.timeout_ms));
        let cancel = how.cancel.map(|(after, mode)| (Instant::now() + after, mode));
        Running { id, procedure, is_over: false, patience, cancel }
    }

    /// How long until CANCEL is due.
    pub(super) fn until_cancel(&self) -> Option<Duration> {
        self.cancel.map(|(due, _)| due.saturating_duration_since(Instant::now()))
    }

    /// Sends CANCEL when it is due.
    pub(super) fn cancel_in_time(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let Some((_, mode)) = self.cancel.take_if(|(due, _)| *due <= Instant::now()) else { return Ok(()) };
        let message = client.session.cancel(self.id, mode)?;
        client.send(&message)
    }

    /// Waits for a result or for the time to cancel, whichever is first.
    fn wait(&mut self, client: &mut Client) -> Result<(), ClientError> {
        self.cancel_in_time(client)?;
        match client.next(Some(self.until_cancel().unwrap_or(self.patience).min(self.patience))) {
            Ok(event) => self.take(event),
            Err(ClientError::Timeout) if self.until_cancel().is_some_and(|left| left.is_zero()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Prints a result.
    pub(super) fn take(&mut self, event: ClientEvent<'_>) -> Result<(), ClientError> {
        match event {
            ClientEvent::Result { request, details, payload } if request == self.id => {
                self.is_over = !details.progress;
                self.print(&details, &payload)
            }
            event => fail_on_error(event),
        }
    }

    fn print(&self, details: &ResultDetails<'_>, payload: &Payload<'_>) -> Result<(), ClientError> {
        Line::default()
            .with("procedure", self.procedure)
            .with("progress", details.progress)
            .maybe("callee", details.callee.map(|callee| callee.get()))
            .text("callee_authid", details.callee_authid.as_ref())
            .text("callee_authrole", details.callee_authrole.as_ref())
            .forwarders(details.forward_for.as_deref())
            .payload(details.passthru.as_deref(), payload)
            .print()
    }
}
