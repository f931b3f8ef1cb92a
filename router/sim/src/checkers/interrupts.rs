//! INTERRUPT: only with a cause, only of an invocation that was sent, and once; `killnowait` may overrule `kill`, nothing follows
//! `killnowait` unless hundreds of others lie between. Who resumes its session may be told again: what was on its way to the former transport is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crossring_codec::id::RequestId;
use crossring_codec::message::{CancelMode, Feature, Message};

use crate::model::{Model, SessionIndex};
use crate::observation::{Observation, Peer};

/// Remembers what was interrupted.
#[derive(Debug, Default)]
pub(super) struct Interrupts {
    killed: BTreeSet<(Peer, SessionIndex, RequestId)>,
    ended: BTreeMap<(Peer, SessionIndex), VecDeque<RequestId>>,
}

/// Invocations that the router remembers for each callee as interrupted.
const REMEMBERED: usize = 256;

impl Interrupts {
    pub(super) fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Emitted { peer, message } = observation else { return Ok(()) };
        let Message::Interrupt { request, options } = message else { return Ok(()) };
        let Some(index) = model.peer(*peer).and_then(|record| record.session) else { return Ok(()) };
        let about = |text: String| format!("INTERRUPT {request} for p{}: {text}", peer.0);
        let is_kill = options.mode == CancelMode::Kill;
        let ended = self.ended.entry((*peer, index)).or_default();
        if ended.contains(request) || is_kill && !self.killed.insert((*peer, index, *request)) {
            return Err(about("a second time".into()));
        }
        if !is_kill {
            ended.push_front(*request);
            ended.truncate(REMEMBERED);
        }
        interrupted(model, index, *request, options.mode).map_err(about)
    }
}

/// Somebody has to want it: the caller has cancelled or left, or the time is over. A callee whose invocation is over may
/// be told to stop sending progress.
fn interrupted(
    model: &Model,
    callee: SessionIndex,
    request: RequestId,
    mode: CancelMode,
) -> Result<(), String> {
    let session = &model.sessions[callee];
    if !session.callee_has(Feature::CallCanceling) {
        return Err("which the callee did not announce".into());
    }
    if request.get() > session.invocations_count {
        return Err("of an INVOCATION that was never sent".into());
    }
    let open = session.invocations.iter().find(|open| open.id == request.get());
    let Some(call) = open.and_then(|open| model.call(open.call)) else { return Ok(()) };
    let caller = &model.sessions[call.caller];
    let is_due = call.due_tick().is_some_and(|due| due <= model.tick);
    let cause = match mode {
        CancelMode::Kill => call.cancelled,
        CancelMode::KillNoWait => {
            call.cancelled
                || call.abandoned
                || caller.resumption.is_wanted
                || !caller.live
                || is_due
                || call.done
                || call.not_taken
                || !caller.honest
        }
        CancelMode::Skip => false,
    };
    if cause { Ok(()) } else { Err(format!("{} without a cause", mode.as_str())) }
}
