//! Call timeouts (wamp.md 2.2.3). The deadline of a call is kept on its caller's shard, which owns the one answer of the call:
//! whatever comes first there, answer or deadline, is it.

use crossring_codec::uri::well_known;

use super::{Call, Dealer, Withdrawal};
use crate::address::{CallAddress, CallKey};
use crate::lifecycle::NS_PER_MS;
use crate::outbox::Outbox;
use crate::shard::Shard;

/// When a call is over without an answer.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    /// `CALL.Options.timeout`; 0: there is none.
    timeout_ms: u64,
    /// When the time is over, whoever minds it. Monotonic.
    due_ns: Option<u64>,
    /// When the call is ended here; absent: the callee minds the timeout itself.
    at_ns: Option<u64>,
    /// Where the call's entry among the timers stands: not after `at_ns`, moved there when it is due.
    queued_ns: Option<u64>,
}

impl Shard {
    /// The call has been sent to a callee, which minds the timeout itself if `is_forwarded`.
    pub(super) fn start_timeout(&mut self, key: CallKey, timeout_ms: u64, is_forwarded: bool) {
        let now_ns = self.now.monotonic_ns;
        // The router's own sessions ask for others, who must not wait for ever.
        let caller = self.dealer.calls.get(key.index, key.generation).map(|call| call.caller);
        let is_forwarded = is_forwarded && !caller.is_some_and(|caller| self.is_trusted(caller));
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        let deadline = &mut call.rare_mut().deadline;
        deadline.timeout_ms = timeout_ms;
        let due_ns = *deadline.due_ns.get_or_insert(after(now_ns, timeout_ms));
        if is_forwarded {
            deadline.at_ns = None;
        } else if deadline.at_ns.is_none() {
            self.dealer.set_deadline(key, due_ns);
        }
    }

    /// The call goes on: its time starts again.
    pub(super) fn restart_timeout(&mut self, key: CallKey) {
        let now_ns = self.now.monotonic_ns;
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        let Some(deadline) = call.rare.as_mut().map(|rare| &mut rare.deadline) else { return };
        if deadline.timeout_ms > 0 && !call.is_killed {
            let due_ns = after(now_ns, deadline.timeout_ms);
            deadline.due_ns = Some(due_ns);
            if deadline.at_ns.is_some() {
                self.dealer.set_deadline(key, due_ns);
            }
        }
    }

    /// The callee has been interrupted and is to answer: not for ever.
    pub(super) fn guard_killed(&mut self, key: CallKey) {
        let guard_ns = after(self.now.monotonic_ns, u64::from(self.limits.kill_timeout_ms));
        let Some(call) = self.dealer.calls.get_mut(key.index, key.generation) else { return };
        let at_ns = call.rare_mut().deadline.at_ns.map_or(guard_ns, |at_ns| at_ns.min(guard_ns));
        self.dealer.set_deadline(key, at_ns);
    }

    /// Ends the calls whose time is over.
    pub(crate) fn expire_calls<O: Outbox>(&mut self, out: &mut O) {
        while let Some(key) = self.dealer.next_overdue(self.now.monotonic_ns) {
            let Some(call) = self.dealer.calls.get(key.index, key.generation) else { continue };
            let (error, reason) = if call.is_killed {
                (well_known::CANCELED, Withdrawal::Canceled)
            } else {
                (well_known::TIMEOUT, Withdrawal::TimedOut)
            };
            self.counters.calls_timed_out += 1;
            self.withdraw(key, reason, out);
            self.fail(CallAddress { shard: self.id, key }, error, out);
        }
    }
}

impl Dealer {
    /// The earliest deadline of a call, in monotonic nanoseconds; the call may be over already.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Moves the deadline of a call.
    fn set_deadline(&mut self, key: CallKey, at_ns: u64) {
        let Some(call) = self.calls.get_mut(key.index, key.generation) else { return };
        let deadline = &mut call.rare_mut().deadline;
        deadline.at_ns = Some(at_ns);
        if deadline.queued_ns.is_some_and(|queued_ns| queued_ns <= at_ns) {
            return;
        }
        let is_moved = deadline.queued_ns.replace(at_ns).is_some();
        self.timers.add(at_ns, key);
        if is_moved {
            self.give_up_timer();
        }
    }

    /// The call has been taken out of the table.
    pub(super) fn forget_deadline(&mut self, call: &Call) {
        if call.rare.as_ref().is_some_and(|rare| rare.deadline.queued_ns.is_some()) {
            self.give_up_timer();
        }
    }

    fn give_up_timer(&mut self) {
        let Dealer { timers, calls, .. } = self;
        timers.give_up(|at_ns, key| queued_ns(calls.get(key.index, key.generation)) == Some(at_ns));
    }

    fn next_overdue(&mut self, now_ns: u64) -> Option<CallKey> {
        loop {
            let Dealer { timers, calls, .. } = self;
            let is_live =
                |at_ns, key: CallKey| queued_ns(calls.get(key.index, key.generation)) == Some(at_ns);
            let (_, key) = timers.take_due(now_ns, is_live)?;
            let deadline = &mut calls.get_mut(key.index, key.generation)?.rare_mut().deadline;
            deadline.queued_ns = None;
            match deadline.at_ns {
                Some(at_ns) if at_ns > now_ns => self.set_deadline(key, at_ns),
                Some(_) => return Some(key),
                None => {}
            }
        }
    }
}

fn queued_ns(call: Option<&Call>) -> Option<u64> {
    call?.rare.as_ref()?.deadline.queued_ns
}

/// Peers may ask for any time.
fn after(now_ns: u64, timeout_ms: u64) -> u64 {
    now_ns.saturating_add(timeout_ms.saturating_mul(NS_PER_MS))
}
