//! Call re-routing (wamp.md 2.2.13): a callee that announced `call_reroute` answers `wamp.error.unavailable`, and another one of
//! the same registration gets the call. So its shard keeps the call until the callee has shown that it works on it.

use crossring_codec::id::RequestId;
use crossring_codec::uri::well_known;

use super::{Callee, Invocation};
use crate::address::SessionKey;
use crate::letter::{self, Declined};
use crate::outbox::Outbox;
use crate::shard::Shard;
use crate::table::IntegerMap;

/// Calls that a callee may pass on, by the ids of its invocations.
#[derive(Debug)]
pub(super) struct Kept {
    calls: IntegerMap<u64, Box<letter::Call>>,
    /// Of the payloads.
    octets: usize,
}

impl Shard {
    /// Keeps a call that its callee may pass on, unless too much is kept for that callee.
    pub(super) fn keep(&mut self, callee: SessionKey, request: RequestId, call: Box<letter::Call>) {
        let octets_max = self.limits.kept_octets_per_session_max as usize;
        let session = self.sessions.get_mut(callee);
        let Some(callee) = session.and_then(|session| session.callee.as_mut()) else { return };
        let integers = self.integers;
        let kept = callee.kept.get_or_insert_with(|| Box::new(Kept { calls: integers.map(), octets: 0 }));
        if kept.octets + call.parcel.size() <= octets_max {
            kept.octets += call.parcel.size();
            kept.calls.insert(request.get(), call);
        }
    }

    /// A callee has passed on a call.
    pub(super) fn pass_call_on<O: Outbox>(
        &mut self,
        invocation: &Invocation,
        kept: Option<Box<letter::Call>>,
        out: &mut O,
    ) {
        match kept {
            Some(call) => self.give_back(call, Declined::Unavailable, out),
            None => self.fail(invocation.origin, well_known::NO_AVAILABLE_CALLEE, out),
        }
    }
}

impl Callee {
    /// The call cannot be passed on any more, or is now.
    #[inline]
    pub(super) fn take_kept(&mut self, request: RequestId) -> Option<Box<letter::Call>> {
        let kept = self.kept.as_mut()?;
        let call = kept.calls.remove(&request.get())?;
        kept.octets -= call.parcel.size();
        if kept.calls.is_empty() {
            self.kept = None;
        }
        Some(call)
    }
}
