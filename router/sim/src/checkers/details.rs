//! What `wamp.session.modify_details` has changed, `wamp.session.get` tells.

use crossring_codec::message::Message;
use crossring_codec::uri::well_known;
use crossring_codec::value::Value;
use crossring_router::limits::LIMIT_EXCEEDED;

use super::meta::{answer_to, context};
use crate::model::writes::{Write, possible};
use crate::model::{MetaCall, Model};
use crate::observation::Observation;
use crate::workload::meta::DETAILS;

const MODIFY: &str = "wamp.session.modify_details";

/// Keys that stay as they are.
const IDENTITY: [&str; 2] = ["authid", "authrole"];

/// Holds nothing: the model knows all.
#[derive(Debug, Default)]
pub(super) struct Details;

impl Details {
    #[expect(clippy::unused_self, reason = "all checkers look the same")]
    pub(super) fn check(&self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Emitted { peer, message } = observation else { return Ok(()) };
        let Some(number) = answer_to(model, *peer, message) else { return Ok(()) };
        let call = &model.meta_calls[number];
        let checked = match (call.procedure.as_str(), message) {
            (MODIFY, Message::Result { .. }) if names_identity(call) => Err("which nobody may change".into()),
            ("wamp.session.get", Message::Result { payload, .. }) => {
                let arguments = payload.arguments().map_err(|error| error.to_string())?;
                told(model, call, arguments.first().unwrap_or(&Value::Null))
            }
            _ => Ok(()),
        };
        checked.map_err(|text| context(model, number, &text))
    }
}

fn told(model: &Model, call: &MetaCall, details: &Value) -> Result<(), String> {
    let realm = model.sessions[call.caller].realm;
    for key in DETAILS {
        let changes = model
            .effective_calls(realm, MODIFY)
            .filter(|(_, change)| change.number(0) == call.number(0) && !names_identity(change));
        let writes: Vec<Write<'_>> = changes.filter_map(|(_, change)| write(change, key)).collect();
        let possible = possible(&writes, call.tick);
        let told = details.get(key);
        if !possible.contains(&told) {
            return Err(format!("{key} is {told:?}, none of {possible:?}"));
        }
    }
    Ok(())
}

/// What a call does to a key.
fn write<'a>(change: &'a MetaCall, key: &str) -> Option<Write<'a>> {
    let value = change.arguments.get(1)?.get(key)?;
    Some(Write::of(change, Some(value).filter(|value| **value != Value::Null)))
}

/// Whether a call would change who a session is.
fn names_identity(call: &MetaCall) -> bool {
    let details = call.arguments.get(1);
    details.is_some_and(|details| IDENTITY.iter().any(|key| details.get(key).is_some()))
}

/// Whether a change may be refused like this.
pub(super) fn is_excused(model: &Model, call: &MetaCall, error: &str) -> bool {
    call.procedure == MODIFY
        && match error {
            well_known::INVALID_ARGUMENT => names_identity(call) || call.arguments.len() < 2,
            LIMIT_EXCEEDED => model.limits.detail_octets_per_session_max < ROOM,
            _ => false,
        }
}

/// Octets that no session needs.
const ROOM: u32 = 1_000;
