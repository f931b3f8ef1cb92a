//! What a value may be that several callers set: each at some time between its CALL and the answer.

use crossring_codec::value::Value;

use super::{MetaCall, Model, Outcome};

/// One call that sets a value.
#[derive(Copy, Clone, Debug)]
pub struct Write<'a> {
    /// Not before.
    pub from: u64,
    /// Not after; absent: nobody knows whether it is done.
    pub until: Option<u64>,
    /// The value; absent: it is taken away.
    pub value: Option<&'a Value>,
}

impl<'a> Write<'a> {
    /// The write of a call that has not been refused.
    pub fn of(call: &MetaCall, value: Option<&'a Value>) -> Self {
        Self { from: call.tick, until: call.answered_tick, value }
    }

    fn surely_follows(&self, other: Option<&Self>) -> bool {
        other.is_none_or(|other| other.until.is_some_and(|until| until < self.from))
    }
}

/// What somebody may find who looks at `tick` or later. At first there is nothing.
pub fn possible<'a>(writes: &[Write<'a>], tick: u64) -> Vec<Option<&'a Value>> {
    let is_over = |candidate: Option<&Write<'a>>| {
        writes
            .iter()
            .any(|write| write.until.is_some_and(|until| until < tick) && write.surely_follows(candidate))
    };
    let nothing = (!is_over(None)).then_some(None);
    let values = writes.iter().filter(|write| !is_over(Some(write))).map(|write| write.value);
    nothing.into_iter().chain(values).collect()
}

impl Model {
    /// Calls of a procedure in a realm that may have had an effect.
    pub fn effective_calls<'a>(
        &'a self,
        realm: usize,
        procedure: &'a str,
    ) -> impl Iterator<Item = (usize, &'a MetaCall)> {
        self.meta_calls.iter().enumerate().filter(move |(_, call)| {
            call.procedure == procedure
                && call.outcome != Outcome::Refused
                && self.sessions[call.caller].realm == realm
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_hides_what_was_before() {
        let (one, two, three) = (Value::from(1u64), Value::from(2u64), Value::from(3u64));
        let write = |from, until, value| Write { from, until, value };
        let writes = [
            write(1, Some(2), Some(&one)),
            write(3, Some(6), Some(&two)),
            write(5, Some(8), None),
            write(20, None, Some(&three)),
        ];
        assert_eq!(possible(&writes, 4), [Some(&one), Some(&two), None, Some(&three)]);
        assert_eq!(possible(&writes, 30), [Some(&two), None, Some(&three)]);
        assert_eq!(possible(&[], 1), [None]);
    }
}
