//! `crossring register`.

use std::time::{Duration, Instant};

use crossring_codec::id::RequestId;
use crossring_codec::message::{
    CancelMode, ErrorDetails, InvocationDetails, Message, Passthru, RegisterOptions, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::uri::well_known;
use crossring_router::client::types::{CallDetails, ProgressHandle, Registration};
use crossring_router::client::{ClientEvent, ClientRefusal};

use super::line::Line;
use super::{Arguments, add_testament, fail_on_error, leave, wait};
use crate::client::{Client, ClientError, Destination};

/// What a registered procedure answers with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its own arguments, as they came.
    Echo,
    /// Always the same.
    Fixed(Arguments),
    /// ERROR with this URI and its own arguments.
    Error(String),
}

/// How a procedure is registered and answered.
#[derive(Clone, Debug)]
pub struct Registering {
    /// Options of REGISTER.
    pub options: RegisterOptions<'static>,
    /// What calls are answered with.
    pub answer: Answer,
    /// How many progressive results come before the final one, for callers who want them.
    pub progress: u64,
    /// How long a call takes.
    pub delay: Duration,
    /// End after so many calls; absent: never.
    pub count: Option<u64>,
    /// Topic of the session's testament.
    pub testament: Option<String>,
}

/// Registers a procedure, prints invocations and answers them.
pub fn register(to: &Destination, procedure: &str, how: &Registering) -> Result<(), ClientError> {
    let mut client = Client::join(to)?;
    let testament = how.testament.as_deref();
    if let Some(testament) = testament {
        add_testament(&mut client, to, testament)?;
    }
    let request = client.session.register(procedure, how.options.clone())?;
    client.send(&request.message)?;
    let id = request.id;
    let registration = wait(&mut client, to.timeout, |event| match event {
        ClientEvent::Registered { request, registration } if *request == id => Some(*registration),
        _ => None,
    })?;
    let registration = Registration { id: registration, procedure: procedure.to_owned() };
    let mut callee = Callee { registration, how, open: Vec::new(), answered: 0 };
    while how.count.is_none_or(|count| callee.answered < count) {
        callee.turn(&mut client)?;
    }
    leave(client, to, testament)
}

/// An invocation without its final answer.
struct Open {
    request: RequestId,
    progress: Option<ProgressHandle>,
    /// More parts follow.
    more: bool,
    due: Instant,
    /// The caller's patience ends before the answer is due.
    is_too_slow: bool,
    payload: Payload<'static>,
    passthru: Option<Box<Passthru<'static>>>,
}

struct Callee<'a> {
    registration: Registration,
    how: &'a Registering,
    open: Vec<Open>,
    answered: u64,
}

impl Callee<'_> {
    /// Answers what is due, then waits for something to come or to be due.
    fn turn(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let now = Instant::now();
        while let Some(index) = self.open.iter().position(|open| !open.more && open.due <= now) {
            let open = self.open.remove(index);
            self.answer(client, open)?;
        }
        if self.how.count.is_some_and(|count| self.answered >= count) {
            return Ok(());
        }
        let due = self.open.iter().filter(|open| !open.more).map(|open| open.due).min();
        match client.next(due.map(|due| due.saturating_duration_since(now))) {
            Ok(event) => self.take(client, event),
            Err(ClientError::Timeout) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, client: &mut Client, event: ClientEvent<'static>) -> Result<(), ClientError> {
        match event {
            ClientEvent::Invocation { request, registration, mut details, payload } => {
                let passthru = take_passthru(&mut details);
                let details = CallDetails::new(request, registration, details);
                self.print(&details, passthru.as_deref(), &payload)?;
                self.invoked(client, request, &details, payload, passthru)
            }
            ClientEvent::Interrupt { request, mode, reason } => {
                let reason = reason.unwrap_or_else(|| well_known::CANCELED.into());
                let line = Line::default().with("procedure", self.registration.procedure.as_str());
                line.with("interrupt", mode.as_str()).with("reason", &*reason).print()?;
                self.interrupted(client, request, mode)
            }
            event => fail_on_error(event),
        }
    }

    /// A new invocation, or a further part of one. Progress is sent at once: for each part that is not the last, and before
    /// the final result.
    fn invoked(
        &mut self,
        client: &mut Client,
        request: RequestId,
        details: &CallDetails<'_>,
        payload: Payload<'static>,
        passthru: Option<Box<Passthru<'static>>>,
    ) -> Result<(), ClientError> {
        let due = Instant::now() + self.how.delay;
        match self.open.iter_mut().find(|open| open.request == request) {
            Some(open) => {
                (open.more, open.due) = (details.more, due);
                open.payload = payload;
            }
            None => {
                let patience = Duration::from_millis(details.timeout_ms);
                let is_too_slow = !patience.is_zero() && patience < self.how.delay;
                let due = if is_too_slow { Instant::now() + patience } else { due };
                let (progress, more) = (details.progress, details.more);
                self.open.push(Open { request, progress, more, due, is_too_slow, payload, passthru });
            }
        }
        let open = self.open.iter().find(|open| open.request == request);
        let Some((open, handle)) = open.and_then(|open| Some((open, open.progress?))) else { return Ok(()) };
        let (payload, passthru) = self.content(client, open);
        let count = if open.more { 1 } else { self.how.progress };
        for _ in 0..count {
            send_progress(client, handle, passthru.clone(), payload.borrowed())?;
        }
        Ok(())
    }

    /// With `kill` the caller waits for our answer; otherwise the session has forgotten the invocation.
    fn interrupted(
        &mut self,
        client: &mut Client,
        request: RequestId,
        mode: CancelMode,
    ) -> Result<(), ClientError> {
        self.open.retain(|open| open.request != request);
        self.answered += 1;
        if mode != CancelMode::Kill {
            return Ok(());
        }
        let message = client.session.yield_error(request, well_known::CANCELED, Payload::EMPTY)?;
        client.send(&message)
    }

    fn answer(&mut self, client: &mut Client, open: Open) -> Result<(), ClientError> {
        self.answered += 1;
        if open.is_too_slow {
            let message = client.session.yield_error(open.request, well_known::TIMEOUT, Payload::EMPTY)?;
            return client.send(&message);
        }
        let (payload, passthru) = self.content(client, &open);
        let message = match &self.how.answer {
            Answer::Error(error) => {
                let details = ErrorDetails { passthru, ..ErrorDetails::default() };
                client.session.yield_error_with(open.request, error.as_str(), details, payload)
            }
            Answer::Echo | Answer::Fixed(_) => {
                let options = YieldOptions { passthru, ..YieldOptions::default() };
                client.session.yield_result(open.request, options, payload)
            }
        };
        let message: Message<'_> = match message {
            // A payload that says nothing of its encoding cannot be given back.
            Err(ClientRefusal::Option(_)) => {
                client.session.yield_error(open.request, well_known::INVALID_ARGUMENT, Payload::EMPTY)?
            }
            message => message?,
        };
        client.send(&message)
    }

    /// What an invocation is answered with.
    fn content(&self, client: &Client, open: &Open) -> (Payload<'static>, Option<Box<Passthru<'static>>>) {
        match &self.how.answer {
            Answer::Fixed(arguments) => (arguments.payload(client.serializer()), None),
            Answer::Echo | Answer::Error(_) => (open.payload.clone(), open.passthru.clone()),
        }
    }

    fn print(
        &self,
        details: &CallDetails<'_>,
        passthru: Option<&Passthru<'_>>,
        payload: &Payload<'_>,
    ) -> Result<(), ClientError> {
        Line::default()
            .with("procedure", self.registration.procedure_of(details))
            .session("caller", details.caller)
            .text("caller_authid", details.caller_authid.as_ref())
            .text("caller_authrole", details.caller_authrole.as_ref())
            .maybe("trustlevel", details.trustlevel)
            .maybe("timeout", Some(details.timeout_ms).filter(|timeout| *timeout > 0))
            .flag("more", details.more)
            .text("transaction_hash", details.transaction_hash.as_ref())
            .forwarders(details.forward_for.as_deref())
            .payload(passthru, payload)
            .print()
    }
}

fn take_passthru(details: &mut InvocationDetails<'static>) -> Option<Box<Passthru<'static>>> {
    let passthru = std::mem::take(&mut details.extra.as_mut()?.passthru);
    (passthru != Passthru::default()).then(|| Box::new(passthru))
}

fn send_progress(
    client: &mut Client,
    handle: ProgressHandle,
    passthru: Option<Box<Passthru<'static>>>,
    payload: Payload<'_>,
) -> Result<(), ClientError> {
    let options = YieldOptions { progress: true, passthru, ..YieldOptions::default() };
    match client.session.yield_result(handle.request(), options, payload) {
        // The final answer will say so.
        Err(ClientRefusal::Option(_)) => Ok(()),
        message => client.send(&message?),
    }
}
