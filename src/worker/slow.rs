//! Sessions that read too slowly, told to the operator: who, from when to when, and how many events it has cost them. So many
//! lines in a period, whatever subscribers do.

use std::collections::BTreeMap;

use crossring_io::{Engine, Monotonic};
use crossring_router::address::SessionKey;
use crossring_router::shard::Shard;

use super::Worker;
use super::details::Own;

/// Nanoseconds between two lines about one session.
const PERIOD_NS: u64 = 10_000_000_000;

/// Sessions followed at a time; others are only counted.
const READERS_MAX: usize = 16;

/// Lines about single sessions in one period.
const LINES_MAX: u32 = 32;

/// How a session keeps up with its events.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// Its queue has become full.
    Slow {
        /// Octets that wait.
        queued: u32,
    },
    /// It has taken what waited.
    Even {
        /// Events dropped for it in between.
        dropped: u64,
    },
    /// Its connection is gone, and it was slow.
    Gone {
        /// Events dropped for it since it was slow.
        dropped: u64,
    },
}

/// What is known of sessions that read too slowly, and which lines are due.
#[derive(Debug, Default)]
pub(super) struct SlowReaders {
    readers: BTreeMap<SessionKey, Reader>,
    /// Start of the period that `lines` is of.
    since: Option<Monotonic>,
    lines: u32,
    /// Times that somebody else became slow, and the events that others have lost, which have not been told.
    others: u64,
    others_dropped: u64,
}

/// A session that is followed.
#[derive(Debug)]
struct Reader {
    /// The session as the lines name it.
    name: String,
    is_slow: bool,
    /// What the last line says.
    is_told_slow: bool,
    last_line: Monotonic,
    /// Events that it has lost since a line told of some.
    dropped: u64,
}

impl SlowReaders {
    /// Takes note of a change; the line that is due for it. `name` is asked for when the session gets one.
    pub(super) fn note(
        &mut self,
        now: Monotonic,
        key: SessionKey,
        pace: Pace,
        name: impl FnOnce() -> String,
    ) -> Option<String> {
        match (self.readers.get_mut(&key), pace) {
            (Some(reader), Pace::Slow { .. }) => reader.is_slow = true,
            (Some(reader), Pace::Even { dropped }) => {
                reader.is_slow = false;
                reader.dropped += dropped;
            }
            (Some(_), Pace::Gone { dropped }) => return self.gone(now, key, dropped),
            (None, Pace::Slow { queued }) => return self.begin(now, key, queued, name),
            (None, Pace::Even { dropped } | Pace::Gone { dropped }) => self.others_dropped += dropped,
        }
        None
    }

    fn begin(
        &mut self,
        now: Monotonic,
        key: SessionKey,
        queued: u32,
        name: impl FnOnce() -> String,
    ) -> Option<String> {
        if self.readers.len() >= READERS_MAX || !self.may_tell(now) {
            self.others += 1;
            return None;
        }
        let name = name();
        let line = format!("{name} reads too slowly: its events are dropped ({queued} bytes wait)");
        let reader = Reader { name, is_slow: true, is_told_slow: true, last_line: now, dropped: 0 };
        self.readers.insert(key, reader);
        Some(line)
    }

    fn gone(&mut self, now: Monotonic, key: SessionKey, dropped: u64) -> Option<String> {
        let reader = self.readers.remove(&key)?;
        let dropped = reader.dropped + dropped;
        if !reader.is_told_slow && dropped == 0 {
            return None;
        }
        if !self.may_tell(now) {
            self.others_dropped += dropped;
            return None;
        }
        Some(format!("{} is gone: {dropped} events for it were dropped", reader.name))
    }

    /// Counts a line, if there may be one more.
    fn may_tell(&mut self, now: Monotonic) -> bool {
        if self.since.is_none_or(|since| now >= since.after_ns(PERIOD_NS)) {
            self.since = Some(now);
            self.lines = 0;
        }
        self.lines += 1;
        self.lines <= LINES_MAX
    }

    /// When [`SlowReaders::due`] has something to do.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let readers = self.readers.values().filter(|reader| !reader.is_settled_slow());
        let readers = readers.map(|reader| reader.last_line.after_ns(PERIOD_NS)).min();
        let others = (self.others + self.others_dropped > 0)
            .then(|| self.since.map_or(Monotonic::ZERO, |since| since.after_ns(PERIOD_NS)));
        readers.into_iter().chain(others).min()
    }

    /// The lines that are due by now.
    pub(super) fn due(&mut self, now: Monotonic) -> Vec<String> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        self.readers.retain(|_, reader| {
            if reader.is_settled_slow() || reader.last_line.after_ns(PERIOD_NS) > now {
                return true;
            }
            lines.extend(reader.line(now));
            reader.last_line == now
        });
        if self.since.is_none_or(|since| now >= since.after_ns(PERIOD_NS)) {
            lines.extend(self.line_of_others(now));
        }
        lines
    }

    fn line_of_others(&mut self, now: Monotonic) -> Option<String> {
        let (others, dropped) = (self.others, self.others_dropped);
        if others + dropped == 0 {
            return None;
        }
        (self.since, self.lines, self.others, self.others_dropped) = (Some(now), 0, 0, 0);
        Some(format!(
            "other sessions read too slowly, too: {others} times, and {dropped} events for them were dropped"
        ))
    }
}

impl Reader {
    /// Whether there is nothing to be said until it changes.
    fn is_settled_slow(&self) -> bool {
        self.is_slow && self.is_told_slow
    }

    /// What is to be said after a period; nothing when it has been well all the time.
    fn line(&mut self, now: Monotonic) -> Option<String> {
        let dropped = std::mem::take(&mut self.dropped);
        let line = match (self.is_slow, self.is_told_slow) {
            (false, false) if dropped == 0 => return None,
            (false, _) => format!("{} reads again: {dropped} events for it were dropped", self.name),
            (true, _) => {
                format!("{} reads too slowly again: {dropped} events for it were dropped", self.name)
            }
        };
        (self.is_told_slow, self.last_line) = (self.is_slow, now);
        Some(line)
    }
}

impl<E: Engine> Worker<E> {
    /// Writes who has become slow, or is not any more, to the log.
    pub(super) fn tell_paces(&mut self) {
        let now = self.engine.now();
        for (key, pace) in std::mem::take(&mut self.outbound.paces) {
            let name = || session_name(self.own, &self.engine, &self.shard, key);
            if let Some(line) = self.slow_readers.note(now, key, pace, name) {
                tracing::warn!(shard = self.id.0, "{line}");
            }
        }
        for line in self.slow_readers.due(now) {
            tracing::warn!(shard = self.id.0, "{line}");
        }
    }
}

/// What the log calls a session.
fn session_name<E: Engine>(own: Own, engine: &E, shard: &Shard, key: SessionKey) -> String {
    let peer = own.socket(engine, key).peer.to_text().unwrap_or_else(|| "unknown".to_owned());
    match shard.inspect().session(key) {
        Some((session, realm)) => format!(
            "session {} (realm {realm:?}, authid {:?}, role {:?}, peer {peer})",
            session.session, session.authid, session.authrole
        ),
        None => format!("a connection without session (peer {peer})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(5);

    fn key(slot: u32) -> SessionKey {
        SessionKey { slot, generation: 1 }
    }

    fn slow(readers: &mut SlowReaders, now: Monotonic, slot: u32) -> Option<String> {
        readers.note(now, key(slot), Pace::Slow { queued: 9 }, || format!("session {slot}"))
    }

    fn note(readers: &mut SlowReaders, now: Monotonic, slot: u32, pace: Pace) -> Option<String> {
        readers.note(now, key(slot), pace, || unreachable!("it has a name"))
    }

    #[test]
    fn one_session_gets_one_line_per_period() {
        let mut readers = SlowReaders::default();
        let line = slow(&mut readers, NOW, 1).expect("told at once");
        assert_eq!(line, "session 1 reads too slowly: its events are dropped (9 bytes wait)");
        assert_eq!((readers.deadline(), readers.due(NOW.after_ns(PERIOD_NS))), (None, Vec::new()));
        for _ in 0..3 {
            assert_eq!(note(&mut readers, NOW, 1, Pace::Even { dropped: 2 }), None);
            assert_eq!(slow(&mut readers, NOW, 1), None);
        }
        assert_eq!(note(&mut readers, NOW, 1, Pace::Even { dropped: 1 }), None);
        assert!(readers.due(Monotonic(6)).is_empty());
        let later = readers.deadline().expect("a line waits");
        assert_eq!(readers.due(later), ["session 1 reads again: 7 events for it were dropped"]);
        assert_eq!(slow(&mut readers, later, 1), None, "its line has just been written");
        let later = readers.deadline().expect("a line waits");
        assert_eq!(readers.due(later), ["session 1 reads too slowly again: 0 events for it were dropped"]);
        let line = note(&mut readers, later, 1, Pace::Gone { dropped: 3 });
        assert_eq!(line.as_deref(), Some("session 1 is gone: 3 events for it were dropped"));
        assert_eq!(readers.deadline(), None);
    }

    #[test]
    fn who_is_well_is_forgotten() {
        let mut readers = SlowReaders::default();
        assert!(slow(&mut readers, NOW, 1).is_some());
        note(&mut readers, NOW, 1, Pace::Even { dropped: 1 });
        for lines in [1, 0] {
            let later = readers.deadline().expect("it is followed");
            assert_eq!(readers.due(later).len(), lines);
        }
        assert!(readers.deadline().is_none() && readers.readers.is_empty());
    }

    #[test]
    fn many_sessions_get_a_bounded_number_of_lines() {
        let mut readers = SlowReaders::default();
        let mut lines = 0;
        for slot in 0..1_000 {
            lines += slow(&mut readers, NOW, slot).iter().len();
            let gone = readers.note(NOW, key(slot), Pace::Gone { dropped: 5 }, String::new);
            lines += gone.iter().len();
        }
        assert_eq!(lines, LINES_MAX as usize);
        let later = readers.deadline().expect("a line waits");
        let told = readers.due(later);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("other sessions read too slowly, too: "), "{told:?}");
        assert_eq!(readers.deadline(), None);
        let told = (0..100).filter_map(|slot| slow(&mut readers, later, slot)).count();
        assert_eq!(told, READERS_MAX);
    }
}
