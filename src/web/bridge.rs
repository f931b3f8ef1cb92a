//! The WAMP session of a web service: a guest of the control shard that calls and publishes for HTTP clients.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crossring_codec::id::{PublicationId, RequestId};
use crossring_codec::message::{
    CallOptions, CancelMode, CancelOptions, ClientRoles, Features, HelloDetails, Message, PublishOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};
use crossring_router::address::{SessionKey, TransportId};
use crossring_router::control::GuestOutput;
use crossring_router::details::TransportDetails;
use tokio::sync::{mpsc, oneshot};

use super::{Demand, Demands};
use crate::worker;

/// Requests of one session that may wait for an answer.
const REQUESTS_MAX: usize = 10_000;

/// What the control shard is asked for by those who serve HTTP.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Open a guest of this transport; what comes for it goes to `outputs`.
    Open {
        transport: TransportId,
        details: Arc<TransportDetails>,
        outputs: mpsc::UnboundedSender<GuestOutput>,
        opened: oneshot::Sender<Option<SessionKey>>,
    },
    /// A message of a guest.
    Say(SessionKey, Message<'static>),
    /// A guest has broken the protocol, in these words.
    Violate(SessionKey, String),
    /// Somebody was refused, at this address if that is known.
    Count(worker::Refusal, Option<IpAddr>),
    /// Tell when everything wished for before has been done.
    Tell(oneshot::Sender<()>),
    /// A guest is done.
    Close(SessionKey),
}

/// Why a request has no result.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The error's URI.
    pub(crate) error: String,
    pub(crate) arguments: Vec<Value>,
    pub(crate) keywords: Dict,
}

impl Refusal {
    fn new(error: &str, text: &str) -> Self {
        Self { error: error.to_owned(), arguments: vec![Value::from(text)], keywords: Dict::new() }
    }
}

/// What answers a request.
#[derive(Debug)]
enum Answer {
    Result(Vec<Value>, Dict),
    Published(PublicationId),
}

type Reply = Result<Answer, Refusal>;

/// A session that is joined when it is first needed, and again when it has been ended.
#[derive(Debug)]
pub(crate) struct Bridge {
    transport: TransportId,
    realm: String,
    demands: Demands,
    session: tokio::sync::Mutex<Option<Rc<Session>>>,
}

#[derive(Debug)]
struct Session {
    key: SessionKey,
    demands: Demands,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    request_next: RequestId,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    is_over: bool,
}

impl Bridge {
    /// `transport`: one whose anonymous role is that of the service.
    pub(crate) fn new(transport: TransportId, realm: &str, demands: Demands) -> Self {
        Self { transport, realm: realm.to_owned(), demands, session: tokio::sync::Mutex::new(None) }
    }

    /// Calls a procedure. A caller that goes away cancels the call.
    pub(crate) async fn call(
        &self,
        procedure: String,
        arguments: &[Value],
        keywords: &Dict,
    ) -> Result<(Vec<Value>, Dict), Refusal> {
        let payload = Payload::from_values(SerializerId::Json, arguments, keywords);
        let message = |request| {
            let options = CallOptions::default();
            Message::Call { request, options, procedure: procedure.into(), payload }
        };
        match self.ask(message, true).await? {
            Answer::Result(arguments, keywords) => Ok((arguments, keywords)),
            Answer::Published(_) => Err(Refusal::new(well_known::CANCELED, "no result")),
        }
    }

    /// Publishes, and waits until the router has done so.
    pub(crate) async fn publish(
        &self,
        topic: String,
        options: PublishOptions<'static>,
        arguments: &[Value],
        keywords: &Dict,
    ) -> Result<PublicationId, Refusal> {
        let payload = Payload::from_values(SerializerId::Json, arguments, keywords);
        let options = PublishOptions { acknowledge: true, ..options };
        let message = |request| Message::Publish { request, options, topic: topic.into(), payload };
        match self.ask(message, false).await? {
            Answer::Published(publication) => Ok(publication),
            Answer::Result(..) => Err(Refusal::new(well_known::CANCELED, "not published")),
        }
    }

    async fn ask(&self, message: impl FnOnce(RequestId) -> Message<'static>, is_call: bool) -> Reply {
        let session = self.joined().await?;
        let (request, answer) = session.request()?;
        session.say(message(request));
        let _guard = Guard { session: &session, request, is_call };
        answer
            .await
            .unwrap_or_else(|_| Err(Refusal::new(well_known::CANCELED, "the session of the service ended")))
    }

    /// The session; joins it if there is none.
    async fn joined(&self) -> Result<Rc<Session>, Refusal> {
        let mut place = self.session.lock().await;
        if let Some(session) = place.as_ref().filter(|session| !session.state.borrow().is_over) {
            return Ok(Rc::clone(session));
        }
        let session = self.join().await.map_err(|text| Refusal::new(well_known::NOT_AUTHORIZED, &text))?;
        *place = Some(Rc::clone(&session));
        Ok(session)
    }

    async fn join(&self) -> Result<Rc<Session>, String> {
        let gone = "the router shuts down";
        let (outputs, mut incoming) = mpsc::unbounded_channel();
        let (opened, key) = oneshot::channel();
        let details = Arc::new(TransportDetails::in_process());
        let wish = Wish::Open { transport: self.transport, details, outputs, opened };
        self.demands.send(Demand::Guest(wish)).map_err(|_| gone)?;
        let key = key.await.map_err(|_| gone)?.ok_or("too many sessions of web services")?;
        let state =
            State { request_next: RequestId::from_random(0), waiting: HashMap::new(), is_over: false };
        let session = Rc::new(Session { key, demands: self.demands.clone(), state: RefCell::new(state) });
        let details =
            HelloDetails { roles: ClientRoles::all(Features::default()), ..HelloDetails::default() };
        session.say(Message::Hello { realm: Some(self.realm.clone().into()), details: Box::new(details) });
        match incoming.recv().await {
            Some(GuestOutput::Message(Message::Welcome { .. })) => {}
            Some(GuestOutput::Message(Message::Abort { reason, .. })) => {
                session.end();
                return Err(format!("the service cannot join realm {:?}: {reason}", self.realm));
            }
            _ => return Err(gone.to_owned()),
        }
        tokio::task::spawn_local(listen(Rc::clone(&session), incoming));
        Ok(session)
    }
}

/// Takes what comes for the session, to its end.
async fn listen(session: Rc<Session>, mut incoming: mpsc::UnboundedReceiver<GuestOutput>) {
    while let Some(GuestOutput::Message(message)) = incoming.recv().await {
        match message {
            Message::Result { request, payload, .. } => session.answered(request, result(&payload)),
            Message::Published { request, publication } => {
                session.answered(request, Ok(Answer::Published(publication)));
            }
            Message::Error { request, error, payload, .. } => {
                let refusal = Refusal {
                    error: error.to_string(),
                    arguments: payload.arguments().unwrap_or_default(),
                    keywords: payload.keywords().unwrap_or_default(),
                };
                session.answered(request, Err(refusal));
            }
            Message::Goodbye { .. } | Message::Abort { .. } => break,
            _ => {}
        }
    }
    session.end();
}

fn result(payload: &Payload<'_>) -> Reply {
    match (payload.arguments(), payload.keywords()) {
        (Ok(arguments), Ok(keywords)) => Ok(Answer::Result(arguments, keywords)),
        _ => Err(Refusal::new(well_known::INVALID_ARGUMENT, "the result cannot be told in JSON")),
    }
}

impl Session {
    fn say(&self, message: Message<'static>) {
        // Without a control shard nobody waits for an answer either.
        let _ = self.demands.send(Demand::Guest(Wish::Say(self.key, message)));
    }

    fn request(&self) -> Result<(RequestId, oneshot::Receiver<Reply>), Refusal> {
        let mut state = self.state.borrow_mut();
        if state.waiting.len() >= REQUESTS_MAX {
            return Err(Refusal::new("wamp.error.unavailable", "too many requests at the same time"));
        }
        let request = state.request_next;
        state.request_next = request.next();
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(request.get(), sender);
        Ok((request, receiver))
    }

    fn answered(&self, request: RequestId, reply: Reply) {
        let waiting = self.state.borrow_mut().waiting.remove(&request.get());
        if let Some(waiting) = waiting {
            // Whoever asked may be gone.
            let _ = waiting.send(reply);
        }
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        if !state.is_over {
            state.is_over = true;
            state.waiting.clear();
            let _ = self.demands.send(Demand::Guest(Wish::Close(self.key)));
        }
    }
}

impl Drop for Session {
    /// Also when whoever made it join went away before it had.
    fn drop(&mut self) {
        self.end();
    }
}

/// Forgets a request whose HTTP client is gone, and cancels its call.
struct Guard<'a> {
    session: &'a Session,
    request: RequestId,
    is_call: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let was_waiting = self.session.state.borrow_mut().waiting.remove(&self.request.get()).is_some();
        if was_waiting && self.is_call {
            let options = CancelOptions { mode: CancelMode::KillNoWait, ..CancelOptions::default() };
            self.session.say(Message::Cancel { request: self.request, options });
        }
    }
}

/// The guests of web services, on the side of the control shard.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    outputs: HashMap<SessionKey, mpsc::UnboundedSender<GuestOutput>>,
}

impl Guests {
    /// A guest has been opened.
    pub(crate) fn opened(&mut self, key: SessionKey, outputs: mpsc::UnboundedSender<GuestOutput>) {
        self.outputs.insert(key, outputs);
    }

    /// A guest is gone.
    pub(crate) fn closed(&mut self, key: SessionKey) {
        self.outputs.remove(&key);
    }

    /// Something has come for a guest.
    pub(crate) fn deliver(&mut self, key: SessionKey, output: GuestOutput) {
        if let Some(outputs) = self.outputs.get(&key) {
            let _ = outputs.send(output);
        }
    }
}
