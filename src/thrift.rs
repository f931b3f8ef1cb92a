//! When a thread gives back memory that only a burst needed: seconds after the burst, in a calm moment.

use crossring_io::Monotonic;

/// Nanoseconds from the end of something to the look whether its memory can go.
const PERIOD_NS: u64 = 3_000_000_000;

/// Octets received in such a time by a thread that is calm. A busy one would need the memory again at once.
const CALM_OCTETS: u64 = 4 << 20;

/// One in so many is few: a table that has so many times the room it needs is worth being copied.
pub(crate) const MOSTLY: usize = 8;

/// Items of a table that are not worth a look.
const FEW: usize = 64;

/// Octets of a buffer that is kept however calm it is.
pub(crate) const KEPT_SIZE_MAX: usize = 64 * 1024;

/// Knows when a thread shall give memory back: not while it is busy, and never twice within [`PERIOD_NS`].
#[derive(Debug, Default)]
pub(crate) struct Thrift {
    due: Option<Monotonic>,
    /// Octets received when `due` was set.
    received: u64,
}

impl Thrift {
    /// Something has ended, or has taken much. `received`: octets received so far.
    pub(crate) fn note(&mut self, now: Monotonic, received: u64) {
        if self.due.is_none() {
            self.set(now, received);
        }
    }

    fn set(&mut self, now: Monotonic, received: u64) {
        (self.due, self.received) = (Some(now.after_ns(PERIOD_NS)), received);
    }

    /// When to ask next.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        self.due
    }

    /// Whether it is time. A thread that was busy is asked again later.
    pub(crate) fn is_due(&mut self, now: Monotonic, received: u64) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let is_calm = received - self.received <= CALM_OCTETS;
        match is_calm {
            true => self.due = None,
            false => self.set(now, received),
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
        let mut thrift = Thrift::default();
        assert!((thrift.deadline(), thrift.is_due(Monotonic(9), 0)) == (None, false));
        thrift.note(Monotonic(5), 100);
        thrift.note(Monotonic(6), 200);
        let due = Monotonic(5 + PERIOD_NS);
        assert_eq!(thrift.deadline(), Some(due));
        assert!(!thrift.is_due(Monotonic(due.0 - 1), 100));
        let received = 101 + CALM_OCTETS;
        assert!(!thrift.is_due(due, received), "it is busy");
        let later = due.after_ns(PERIOD_NS);
        assert_eq!(thrift.deadline(), Some(later));
        assert!(thrift.is_due(later, received + CALM_OCTETS));
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
