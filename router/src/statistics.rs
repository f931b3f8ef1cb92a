//! Statistics of sessions: what each has sent and received, told as `wamp.session.on_stats` where the realm asks for it.
//!
//! The host counts, because it alone knows the octets; it counts nothing before it is told to. The home shard decides when
//! to report, the registry words the event.

use crate::address::{Now, SessionKey, ShardId};
use crate::config::StatisticsConfig;
use crate::letter::Letter;
use crate::lifecycle::NS_PER_MS;
use crate::outbox::Outbox;
use crate::session::{Session, State};
use crate::shard::Shard;

/// WAMP messages of one session, sent and received.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Octets of all messages, framing not included.
    pub octets: u64,
    /// Messages.
    pub messages: u64,
    /// Messages, a long one counted once for each begun rated size.
    pub rated_messages: u64,
}

impl Traffic {
    /// Counts one message of `size` octets.
    #[inline]
    pub fn add(&mut self, size: u64, rated_size: u32) {
        self.octets += size;
        self.messages += 1;
        self.rated_messages += size.div_ceil(u64::from(rated_size.max(1)));
    }

    fn since(self, earlier: Traffic) -> Traffic {
        Traffic {
            octets: self.octets.saturating_sub(earlier.octets),
            messages: self.messages.saturating_sub(earlier.messages),
            rated_messages: self.rated_messages.saturating_sub(earlier.rated_messages),
        }
    }
}

/// One report: the traffic of a session since the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Number of the report, from 1.
    pub cycle: u64,
    /// When its time began.
    pub since: Now,
    /// What was counted in it.
    pub traffic: Traffic,
    /// It is the session's first.
    pub is_first: bool,
    /// It is the session's last.
    pub is_last: bool,
}

/// How far a session has been reported.
#[derive(Debug)]
pub(crate) struct Statistics {
    cycle: u64,
    since: Now,
    reported: Traffic,
}

impl Statistics {
    fn report(&mut self, now: Now, total: Traffic, is_last: bool) -> Box<Report> {
        let traffic = total.since(self.reported);
        self.cycle += 1;
        self.reported = total;
        let since = std::mem::replace(&mut self.since, now);
        Box::new(Report { cycle: self.cycle, since, traffic, is_first: self.cycle == 1, is_last })
    }

    fn is_due(&self, now: Now, total: Traffic, config: &StatisticsConfig, pause_ms: u32) -> bool {
        let elapsed_ns = now.monotonic_ns.saturating_sub(self.since.monotonic_ns);
        let rated_messages = total.since(self.reported).rated_messages;
        elapsed_ns >= u64::from(pause_ms) * NS_PER_MS
            && (config.after_messages.is_some_and(|count| rated_messages >= count)
                || config.after_ms.is_some_and(|ms| elapsed_ns >= ms.saturating_mul(NS_PER_MS)))
    }
}

impl Shard {
    /// Has the messages of a session counted from now on, if its realm asks for that.
    pub(crate) fn begin_statistics<O: Outbox>(&mut self, now: Now, key: SessionKey, out: &mut O) {
        let Some(slot) = self.sessions.slot_mut(key) else { return };
        let State::Established(session) = &mut slot.state else { return };
        let realm = &self.config.realms[usize::from(session.realm.0)];
        let Some(config) = &realm.statistics else { return };
        if realm.roles[usize::from(session.role.0)].is_trusted {
            return;
        }
        out.count(key, config.rated_size);
        let mut statistics = Statistics { cycle: 0, since: now, reported: Traffic::default() };
        let report = config.on_join.then(|| statistics.report(now, Traffic::default(), false));
        session.statistics = Some(Box::new(statistics));
        if let Some(report) = report {
            self.post(ShardId::CONTROL, Letter::Statistics { key, report }, out);
        }
    }

    /// The host has counted messages of a session in this turn.
    pub(crate) fn counted<O: Outbox>(&mut self, now: Now, key: SessionKey, total: Traffic, out: &mut O) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(statistics) = &mut session.statistics else { return };
        let Some(config) = &self.config.realms[usize::from(session.realm.0)].statistics else { return };
        if statistics.is_due(now, total, config, self.limits.statistics_pause_ms) {
            let report = statistics.report(now, total, false);
            self.post(ShardId::CONTROL, Letter::Statistics { key, report }, out);
        }
    }

    /// The session leaves.
    pub(crate) fn end_statistics<O: Outbox>(&mut self, key: SessionKey, session: &mut Session, out: &mut O) {
        let Some(mut statistics) = session.statistics.take() else { return };
        let config = self.config.realms[usize::from(session.realm.0)].statistics.as_ref();
        if config.is_some_and(|config| config.on_leave) {
            let report = statistics.report(Now::default(), out.traffic(key), true);
            self.post(ShardId::CONTROL, Letter::Statistics { key, report }, out);
        }
    }
}

#[cfg(test)]
mod tests;
