//! Dynamic authenticators: a procedure of a realm decides who somebody is.

use crossring_codec::id::SessionId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use super::{Attempt, Challenged, Denial, Grant, Method, entry, find_realm};
use crate::address::RealmId;
use crate::config::{Authenticator, RouterConfig};
use crate::details::TransportDetails;
use crate::inquiry::{Answer, Question};

/// What the procedure is asked about.
#[derive(Debug)]
pub(super) struct Asking {
    authenticator: Authenticator,
    method: Method,
    realm: Option<RealmId>,
    authid: Option<Box<str>>,
    authextra: Dict,
}

pub(super) fn begin(
    authenticator: &Authenticator,
    method: Method,
    realm: Option<RealmId>,
    attempt: &Attempt<'_>,
) -> Result<Challenged, Denial> {
    let asking = Asking {
        authenticator: authenticator.clone(),
        method,
        realm,
        authid: attempt.authid().map(Into::into),
        authextra: attempt.details.authextra.clone(),
    };
    Ok(Challenged { proof: super::Proof::DynamicTicket(asking), grant: None, extra: Dict::new() })
}

impl Asking {
    /// `authenticator(realm, authid, details)`; `more` are details of the method.
    pub(super) fn ask(
        &self,
        config: &RouterConfig,
        channel: &TransportDetails,
        session: SessionId,
        more: Dict,
    ) -> Result<Question, Denial> {
        let requested = self.realm.map(|realm| &*config.realms[usize::from(realm.0)].name);
        let realm = match &self.authenticator.realm {
            Some(name) => find_realm(config, name).map_err(|_| Denial {
                reason: well_known::NO_SUCH_REALM.into(),
                message: format!(
                    "explicit realm <{name}> configured for dynamic authenticator does not exist"
                ),
            })?,
            None => self.realm.ok_or_else(|| Denial {
                reason: well_known::NO_SUCH_REALM.into(),
                message: "no realm requested".to_owned(),
            })?,
        };
        let mut details = vec![
            entry("transport", Value::Dict(channel.to_dict())),
            entry("session", session.get()),
            entry("authmethod", self.method.as_str()),
            entry("authextra", Value::Dict(self.authextra.clone())),
        ];
        details.extend(more);
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let arguments = vec![text(requested), text(self.authid.as_deref()), Value::Dict(details)];
        Ok(Question { realm, procedure: self.authenticator.procedure.clone(), arguments })
    }

    /// Role, or dict of a principal.
    pub(super) fn read(&self, config: &RouterConfig, answer: Answer) -> Result<(Grant, Dict), Denial> {
        let principal = match answer {
            Answer::Result(arguments, _) => arguments.into_iter().next().unwrap_or_default(),
            Answer::Error(reason, arguments) => {
                let message = arguments.first().and_then(Value::as_str).unwrap_or_default().to_owned();
                return Err(Denial { reason: reason.into_string().into(), message });
            }
        };
        let principal = match principal {
            Value::String(role) => vec![entry("role", role.as_str())],
            Value::Dict(principal) => principal,
            _ => {
                let message = "got invalid return type from dynamic authenticator".to_owned();
                return Err(Denial { reason: well_known::AUTHENTICATION_FAILED.into(), message });
            }
        };
        let told = |key: &str| principal.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let text = |key: &str| told(key).and_then(Value::as_str).map(Box::<str>::from);
        let requested = self.realm.filter(|realm| usize::from(realm.0) < config.realms.len());
        let grant = Grant {
            authid: text("authid").or_else(|| self.authid.clone()).unwrap_or_default(),
            role: text("role").or_else(|| self.authenticator.default_role.clone()).unwrap_or_default(),
            requested,
            only: text("realm"),
        };
        let authextra = match told("extra") {
            Some(Value::Dict(extra)) => extra.clone(),
            _ => Dict::new(),
        };
        Ok((grant, authextra))
    }
}
