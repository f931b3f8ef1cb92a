//! Joining, seen by whoever decides on it: what HELLO asks for, and the three answers.

use crossring_codec::id::SessionId;
use crossring_codec::message::{self, ClientRoles, Message, RouterRoles, WelcomeDetails};
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

/// What a client asks for (`HelloDetails`; specification, "HELLO").
#[derive(Clone, Debug, PartialEq)]
pub struct HelloDetails {
    /// `realm`: the realm to join; absent: the router chooses.
    pub realm: Option<String>,
    /// `authmethods`: in the client's order of preference; none: `anonymous`.
    pub authmethods: Vec<String>,
    /// `authid`: the identity asked for.
    pub authid: Option<String>,
    /// `authrole`: the role asked for.
    pub authrole: Option<String>,
    /// `authextra`: specific to the methods.
    pub authextra: Dict,
    /// `session_roles`: roles and features announced.
    pub session_roles: ClientRoles,
    /// `pending_session`: the id that the session will get.
    pub pending_session: Option<SessionId>,
    /// `resumable`: the session shall survive a lost transport. Default: false.
    pub resumable: bool,
    /// `resume_session`: the session to go on with.
    pub resume_session: Option<SessionId>,
    /// `resume_token`: what proves the right to.
    pub resume_token: Option<String>,
}

impl HelloDetails {
    /// What a HELLO asks for; `None` for any other message.
    pub fn from_message(message: &Message<'_>, pending_session: Option<SessionId>) -> Option<Self> {
        let Message::Hello { realm, details } = message else { return None };
        let text = |text: &Option<message::Text<'_>>| text.as_deref().map(str::to_owned);
        Some(Self {
            realm: text(realm),
            authmethods: details.authmethods.iter().map(|method| method.clone().into_owned()).collect(),
            authid: text(&details.authid),
            authrole: text(&details.authrole),
            authextra: details.authextra.clone(),
            session_roles: details.roles,
            pending_session,
            resumable: details.resumable,
            resume_session: details.resume_session,
            resume_token: text(&details.resume_token),
        })
    }
}

/// The answer to HELLO or AUTHENTICATE (`HelloReturn`).
#[derive(Clone, Debug, PartialEq)]
pub enum HelloReturn {
    /// The client joins.
    Accept(Accept),
    /// The client has to prove who it is.
    Challenge(Challenge),
    /// The client does not join.
    Deny(Deny),
}

impl HelloReturn {
    /// WELCOME, CHALLENGE or ABORT.
    pub fn into_message(self, session: SessionId, roles: RouterRoles) -> Message<'static> {
        match self {
            HelloReturn::Accept(accept) => {
                Message::Welcome { session, details: Box::new(accept.into_details(roles)) }
            }
            HelloReturn::Challenge(Challenge { method, extra }) => {
                Message::Challenge { method: method.into(), extra }
            }
            HelloReturn::Deny(Deny { reason, message }) => {
                let message = message.map(Into::into);
                let details = message::CloseDetails { message, ..message::CloseDetails::default() };
                Message::Abort { details, reason: reason.into() }
            }
        }
    }
}

/// The client joins (`Accept`): the identity in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accept {
    /// `realm`: the realm joined.
    pub realm: Option<String>,
    /// `authid`: the identity.
    pub authid: Option<String>,
    /// `authrole`: the role.
    pub authrole: Option<String>,
    /// `authmethod`: how the client has shown who it is.
    pub authmethod: Option<String>,
    /// `authprovider`: who vouches for it.
    pub authprovider: Option<String>,
    /// `authextra`: told to the client.
    pub authextra: Dict,
}

impl Accept {
    fn into_details(self, roles: RouterRoles) -> WelcomeDetails<'static> {
        WelcomeDetails {
            roles,
            realm: self.realm.map(Into::into),
            authid: self.authid.map(Into::into),
            authrole: self.authrole.map(Into::into),
            authmethod: self.authmethod.map(Into::into),
            authprovider: self.authprovider.map(Into::into),
            authextra: self.authextra,
            ..WelcomeDetails::default()
        }
    }
}

/// The client has to prove who it is (`Challenge`; specification, "CHALLENGE").
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// `method`: the authentication method.
    pub method: String,
    /// `extra`: specific to the method. Default: empty.
    pub extra: Dict,
}

/// The client does not join (`Deny`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deny {
    /// `reason`: a URI for programs. Default: `wamp.error.not_authorized`.
    pub reason: String,
    /// `message`: a text for people.
    pub message: Option<String>,
}

impl Default for Deny {
    fn default() -> Self {
        Self { reason: well_known::NOT_AUTHORIZED.to_owned(), message: None }
    }
}
