//! Who joins and who is refused, told to the operator who wants to know (level debug). Never what proves an identity: who
//! mistypes may have put a password in the place of a name, so of those who are refused only names that the configuration
//! knows are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crossring_router::address::{SessionKey, ShardId};
use crossring_router::config::{KeyHolders, Principal, Principals, Source, TransportAuthentication};
use crossring_router::details::TransportDetails;
use crossring_router::letter::{Admission, Letter};
use crossring_router::outbox::Post;

use crate::worker::mail::PostOffice;

/// Attempts remembered; what is beyond is told without the words of its HELLO.
const ATTEMPTS_MAX: usize = 16 * 1024;

/// Characters of a client's own words in a line.
const WORD_CHARS_MAX: usize = 100;

/// The mail of the control shard, with an eye on those who want to join.
pub(super) struct Reception {
    office: PostOffice,
    /// `None`: nobody wants to know.
    visitors: Option<Visitors>,
}

/// Those who have said HELLO and have had no answer yet.
struct Visitors {
    attempts: BTreeMap<(ShardId, SessionKey), Visitor>,
    /// The `authid`s of the configuration.
    names: BTreeSet<Box<str>>,
}

/// What a HELLO says of its sender.
struct Visitor {
    details: Arc<TransportDetails>,
    realm: Option<String>,
    /// The first characters.
    authid: Option<String>,
    /// It is one of the configuration's.
    is_known: bool,
}

impl Reception {
    pub(super) fn new(office: PostOffice) -> Self {
        Self { office, visitors: None }
    }

    /// Has joins told from now on. `methods`: how clients of each transport authenticate.
    pub(super) fn tell_joins<'a>(&mut self, methods: impl Iterator<Item = &'a TransportAuthentication>) {
        let names = methods.flat_map(authids).map(Into::into).collect();
        self.visitors = Some(Visitors { attempts: BTreeMap::new(), names });
    }

    /// A letter has come from a data shard.
    #[inline]
    pub(super) fn seen(&mut self, from: ShardId, letter: &Letter) {
        if let Some(visitors) = &mut self.visitors {
            visitors.seen(from, letter);
        }
    }
}

impl Deref for Reception {
    type Target = PostOffice;

    fn deref(&self) -> &PostOffice {
        &self.office
    }
}

impl DerefMut for Reception {
    fn deref_mut(&mut self) -> &mut PostOffice {
        &mut self.office
    }
}

impl Post for Reception {
    fn post(&mut self, to: ShardId, letter: Letter) {
        if let Some(line) = self.visitors.as_mut().and_then(|visitors| visitors.answered(to, &letter)) {
            tracing::debug!("{line}");
        }
        self.office.post(to, letter);
    }
}

impl Visitors {
    fn seen(&mut self, from: ShardId, letter: &Letter) {
        match letter {
            Letter::Hello { key, transport_details, realm, details, .. }
                if self.attempts.len() < ATTEMPTS_MAX =>
            {
                let authid = details.authid.as_deref();
                let visitor = Visitor {
                    details: transport_details.clone(),
                    realm: realm.as_deref().map(clipped),
                    authid: authid.map(|authid| authid.chars().take(WORD_CHARS_MAX).collect()),
                    is_known: authid.is_some_and(|authid| self.names.contains(authid)),
                };
                self.attempts.insert((from, *key), visitor);
            }
            Letter::Leave { key } => {
                self.attempts.remove(&(from, *key));
            }
            _ => {}
        }
    }

    /// The line to be told when a letter is the answer to an attempt.
    fn answered(&mut self, to: ShardId, letter: &Letter) -> Option<String> {
        match letter {
            Letter::Admit { key, admission } => {
                let visitor = self.attempts.remove(&(to, *key));
                Some(joined(visitor.as_ref(), admission))
            }
            // Every shard is told of the move.
            Letter::Prepare { movement, .. } if movement.to.shard == to => {
                let visitor = self.attempts.remove(&(to, movement.to.key));
                Some(joined(visitor.as_ref(), &movement.admission))
            }
            Letter::Refuse { key, reason, message } => {
                let visitor = self.attempts.remove(&(to, *key));
                Some(refused(visitor.as_ref(), reason, message))
            }
            _ => None,
        }
    }
}

/// The names of a transport's principals.
fn authids(auth: &TransportAuthentication) -> Vec<&str> {
    let mut names = Vec::new();
    names_of(auth.ticket.as_ref(), &mut names);
    names_of(auth.cra.as_ref(), &mut names);
    names_of(auth.scram.as_ref(), &mut names);
    names_of(auth.tls.as_ref(), &mut names);
    if let Some(Source::Static(KeyHolders::Principals(principals))) = &auth.cryptosign {
        names.extend(principals.iter().map(Principal::authid));
    }
    names
}

fn names_of<'a, P: Principal>(source: Option<&'a Source<Principals<P>>>, names: &mut Vec<&'a str>) {
    if let Some(Source::Static(principals)) = source {
        names.extend(principals.iter().map(Principal::authid));
    }
}

fn joined(visitor: Option<&Visitor>, admission: &Admission) -> String {
    let details = &admission.details;
    let how = if details.resumed { "resumed in" } else { "joined" };
    format!(
        "session {} {how} realm {:?} as {:?}, role {:?}, by {}, peer {}",
        admission.session,
        details.realm.as_deref().unwrap_or_default(),
        clipped(details.authid.as_deref().unwrap_or_default()),
        details.authrole.as_deref().unwrap_or_default(),
        details.authmethod.as_deref().unwrap_or("resumption"),
        Peer(visitor),
    )
}

fn refused(visitor: Option<&Visitor>, reason: &str, message: &str) -> String {
    let hidden = visitor.filter(|it| !it.is_known).and_then(|it| it.authid.as_deref());
    let message = match hidden {
        Some(name) if message.contains(name) => String::new(),
        _ => format!(" ({})", clipped(message)),
    };
    let realm = visitor.and_then(|it| it.realm.as_ref()).map_or("none".into(), |realm| format!("{realm:?}"));
    let authid = match visitor.and_then(|it| it.authid.as_ref()) {
        None => "none".into(),
        Some(_) if hidden.is_some() => "not one of the configuration".into(),
        Some(authid) => format!("{authid:?}"),
    };
    format!("join refused: {reason}{message}, realm {realm}, authid {authid}, peer {}", Peer(visitor))
}

struct Peer<'a>(Option<&'a Visitor>);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(visitor) => f.write_str(&visitor.details.peer.to_text().unwrap_or_default()),
            None => f.write_str("unknown"),
        }
    }
}

/// Words of a client are as long as it likes, and may look like lines of the log.
fn clipped(text: &str) -> String {
    let mut characters = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    let mut clipped: String = characters.by_ref().take(WORD_CHARS_MAX).collect();
    if characters.next().is_some() {
        clipped.push_str("...");
    }
    clipped
}
