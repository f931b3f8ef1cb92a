//! The judge of a run: shows every observation to the checkers, keeps the model up to date and stops at the first fault.

use std::sync::Arc;

use crossring_router::config::RouterConfig;
use crossring_router::letter::Letter;
use crossring_router::limits::Limits;

use crate::checkers::Checkers;
use crate::model::Model;
use crate::model::held::Course;
use crate::observation::Observation;
use crate::trace::Trace;

/// A broken rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The checker that found it.
    pub checker: &'static str,
    /// When.
    pub tick: u64,
    /// What happened.
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tick {}: {}: {}", self.tick, self.checker, self.text)
    }
}

/// Watches a run.
#[derive(Debug)]
pub struct Judge {
    /// What may happen.
    pub model: Model,
    checkers: Checkers,
    trace: Trace,
    tick: u64,
    violation: Option<Violation>,
}

impl Judge {
    /// A judge who has seen nothing.
    pub fn new(config: Arc<RouterConfig>, limits: Limits, log: bool) -> Self {
        Self {
            model: Model::new(config, limits),
            checkers: Checkers::default(),
            trace: Trace::new(log),
            tick: 0,
            violation: None,
        }
    }

    /// Takes in what happened.
    pub fn observe(&mut self, tick: u64, observation: &Observation<'_>) {
        self.tick = tick;
        self.model.tick = tick;
        self.trace.record(tick, observation);
        if let Observation::Posted { letter: Letter::Authorize { petition, .. }, .. } = observation {
            let asked = self.model.asked(petition);
            self.note("authorization", asked);
        }
        self.settle();
        self.take_in(observation);
        let course = match observation {
            Observation::Arrived { peer, message } => self.model.arrived(*peer, message),
            Observation::TakenUp { peer, message } => match self.model.taken_up(*peer, message) {
                Ok(course) => course,
                Err(text) => return self.fail("authorization", text),
            },
            _ => return,
        };
        if let (
            Course::Now,
            Observation::Arrived { peer, message } | Observation::TakenUp { peer, message },
        ) = (course, observation)
        {
            self.take_in(&Observation::Handled { peer: *peer, message });
        }
    }

    /// The shard has done what it does with a message that has come: it did not ask anybody.
    pub fn settle(&mut self) {
        if let Some((peer, message)) = self.model.act_upon() {
            self.take_in(&Observation::Handled { peer, message: &message });
            self.model.has_acted();
        }
    }

    fn take_in(&mut self, observation: &Observation<'_>) {
        if self.violation.is_none()
            && let Err((checker, text)) = self.checkers.check(&self.model, observation)
        {
            self.fail(checker, text);
        }
        self.model.apply(observation);
    }

    /// Everything has come to rest: nothing may be owed any more.
    pub fn rest(&mut self, tick: u64) {
        self.tick = tick;
        if let Err((checker, text)) = self.checkers.rest(&self.model) {
            self.fail(checker, text);
        }
    }

    fn note(&mut self, checker: &'static str, result: Result<(), String>) {
        if let Err(text) = result {
            self.fail(checker, text);
        }
    }

    /// Notes a broken rule; the first one counts.
    pub fn fail(&mut self, checker: &'static str, text: String) {
        let tick = self.tick;
        self.violation.get_or_insert(Violation { checker, tick, text });
    }

    /// The first broken rule.
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The trace.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}
