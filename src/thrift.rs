//! When a thread gives back memory that only a burst needed: seconds after the burst, in a calm moment.

use crossring_io::Monotonic;

/// Nanoseconds from the end of something to the look whether its memory can go.
const PERIOD_NS: u64 = 3_000_000_000;

/// The same for the control thread, which looks when the shards have.
const LATER_NS: u64 = 4_000_000_000;

/// Octets received and sent in such a time by a shard that is calm. A busy one would need the memory again at once.
const CALM_OCTETS: u64 = 1 << 20;

/// Letters and the like that the control thread handles in such a time when it is calm.
const CALM_LETTERS: u64 = 1000;

/// One in so many is few: a table that has so many times the room it needs is worth being copied.
pub(crate) const MOSTLY: usize = 8;

/// Items of a table that are not worth a look.
const FEW: usize = 64;

/// Octets of a buffer that is kept however calm it is.
pub(crate) const KEPT_SIZE_MAX: usize = 64 * 1024;

/// Knows when a thread shall give memory back: not while it is busy, and never twice within a period.
#[derive(Debug)]
pub(crate) struct Thrift {
    period_ns: u64,
    /// Work of a period in which the thread is calm, in the unit of its `work`.
    calm_max: u64,
    due: Option<Monotonic>,
    /// Work done when `due` was set.
    work: u64,
}

impl Thrift {
    /// Of a shard, whose work is octets received and sent.
    pub(crate) fn of_shard() -> Self {
        Self { period_ns: PERIOD_NS, calm_max: CALM_OCTETS, due: None, work: 0 }
    }

    /// Of the control thread, whose work is letters.
    pub(crate) fn of_control() -> Self {
        Self { period_ns: LATER_NS, calm_max: CALM_LETTERS, due: None, work: 0 }
    }

    /// Something has ended, or has taken much. `work`: all that was done so far.
    pub(crate) fn note(&mut self, now: Monotonic, work: u64) {
        if self.due.is_none() {
            self.set(now, work);
        }
    }

    fn set(&mut self, now: Monotonic, work: u64) {
        (self.due, self.work) = (Some(now.after_ns(self.period_ns)), work);
    }

    /// When to ask next.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        self.due
    }

    /// Whether it is time. A thread that was busy is asked again later.
    pub(crate) fn is_due(&mut self, now: Monotonic, work: u64) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let is_calm = work - self.work <= self.calm_max;
        match is_calm {
            true => self.due = None,
            false => self.set(now, work),
        }
        is_calm
    }
}

/// Gives up what is vacant at the end of a table by slots, and its memory.
pub(crate) fn trim_slots<T>(slots: &mut Vec<T>, is_used: impl Fn(&T) -> bool) {
    let count = slots.iter().rposition(is_used).map_or(0, |last| last + 1);
    slots.truncate(count);
    if slots.capacity() > MOSTLY * count.max(FEW) {
        slots.shrink_to(2 * count);
    }
}

/// Empties a buffer that has become large.
pub(crate) fn trim_buffer(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_SIZE_MAX {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_when_it_is_calm() {
        let mut thrift = Thrift::of_shard();
        assert!((thrift.deadline(), thrift.is_due(Monotonic(9), 0)) == (None, false));
        thrift.note(Monotonic(5), 100);
        thrift.note(Monotonic(6), 200);
        let due = Monotonic(5 + PERIOD_NS);
        assert_eq!(thrift.deadline(), Some(due));
        assert!(!thrift.is_due(Monotonic(due.0 - 1), 100));
        let work = 101 + CALM_OCTETS;
        assert!(!thrift.is_due(due, work), "it is busy");
        let later = due.after_ns(PERIOD_NS);
        assert_eq!(thrift.deadline(), Some(later));
        assert!(thrift.is_due(later, work + CALM_OCTETS));
        assert_eq!(thrift.deadline(), None);
    }

    #[test]
    fn tables_keep_what_is_used() {
        let mut slots: Vec<Option<u64>> = vec![None; 10_000];
        slots[2] = Some(7);
        trim_slots(&mut slots, Option::is_some);
        assert_eq!(slots, [None, None, Some(7)]);
        assert!(slots.capacity() <= MOSTLY * FEW);
        let mut buffer = Vec::with_capacity(KEPT_SIZE_MAX + 1);
        trim_buffer(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
    }
}
