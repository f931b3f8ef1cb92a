//! Session resumption (Advanced Profile, draft): a lost transport does not end the session while the router keeps it.
//!
//! What survives: the session id, subscriptions, registrations, running invocations and the counters of requests and invocations.
//! Requests without an answer fail; what comes late of them, or again, is ignored.

use crossring_codec::id::{RequestId, SessionId};
use crossring_codec::message::{HelloDetails, Message, WelcomeDetails};

use super::event::ClientRefusal;
use super::pending::RequestKind;
use super::session::{ClientSession, ClientState};

/// With what a session can be resumed.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    /// The token of the last WELCOME, good for one attempt.
    token: Option<Box<str>>,
    /// The session that HELLO asks for.
    wanted: Option<SessionId>,
    /// The session was resumed: the router may hold what its answers never told of.
    pub(super) is_resumed: bool,
}

impl ClientSession {
    /// Whether a lost transport can be followed by [`ClientSession::resume`].
    pub fn is_resumable(&self) -> bool {
        self.resumption.token.is_some() && matches!(self.state, ClientState::Joined | ClientState::Suspended)
    }

    /// The transport is gone. A session that can be resumed is [`ClientState::Suspended`] from now on, any other one over.
    /// Returns the requests that will not be answered, oldest first.
    pub fn suspend(&mut self) -> Vec<(RequestId, RequestKind)> {
        if !self.is_resumable() {
            return self.transport_lost();
        }
        self.state = ClientState::Suspended;
        self.requests.expect_late_answers();
        self.requests.drain()
    }

    /// HELLO on a new transport, to go on with a suspended session. Answer: [`super::ClientEvent::Welcome`] with
    /// `details.resumed`, or without it: a new session that holds nothing; or [`super::ClientEvent::Aborted`].
    pub fn resume<'a>(&mut self, details: HelloDetails<'a>) -> Result<Message<'a>, ClientRefusal> {
        self.require(ClientState::Suspended)?;
        let Some((session, token)) = self.session.zip(self.resumption.token.take()) else {
            return Err(ClientRefusal::State(self.state));
        };
        self.state = ClientState::Joining;
        self.roles = details.roles;
        self.resumption.wanted = Some(session);
        let details = HelloDetails {
            resumable: true,
            resume_session: Some(session),
            resume_token: Some(String::from(token).into()),
            ..details
        };
        Ok(Message::Hello { realm: None, details: Box::new(details) })
    }

    /// WELCOME: keeps what is held if this is the session asked for.
    pub(super) fn begin(&mut self, session: SessionId, details: &WelcomeDetails<'_>) {
        let is_resumed = details.resumed && self.resumption.wanted == Some(session);
        if !is_resumed {
            self.forget();
        }
        self.state = ClientState::Joined;
        self.session = Some(session);
        self.router = details.roles;
        let token = details.resume_token.as_deref().filter(|_| details.resumable);
        self.resumption = Resumption { token: token.map(Box::from), wanted: None, is_resumed };
    }
}
