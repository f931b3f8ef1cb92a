//! The rules of the specification, each told apart so that a broken one is named.

mod accounting;
pub mod agreement;
mod authorization;
mod calls;
mod delivery;
mod details;
mod flow;
mod history;
mod interrupts;
mod invocations;
mod isolation;
mod meta;
mod notices;
mod ordering;
mod queue;
mod retention;
mod schemas;
mod sessions;
mod statistics;

use crate::model::Model;
use crate::observation::Observation;

/// A broken rule: the checker, and what happened.
pub type Fault = (&'static str, String);

/// All checkers that watch a run.
#[derive(Debug, Default)]
pub struct Checkers {
    sessions: sessions::Sessions,
    ordering: ordering::Ordering,
    isolation: isolation::Isolation,
    delivery: delivery::Delivery,
    calls: calls::Calls,
    invocations: invocations::Invocations,
    interrupts: interrupts::Interrupts,
    accounting: accounting::Accounting,
    meta: meta::Meta,
    notices: notices::Notices,
    queue: queue::Queue,
    retention: retention::Retention,
    histories: history::Histories,
    details: details::Details,
    schemas: schemas::Schemas,
    statistics: statistics::Statistics,
    authorization: authorization::Authorization,
    flow: flow::Flow,
}

impl Checkers {
    /// Shows what happened to every checker. The model does not know of it yet.
    pub fn check(&mut self, model: &Model, observation: &Observation<'_>) -> Result<(), Fault> {
        self.ordering.check(model, observation).map_err(|text| ("ordering", text))?;
        self.sessions.check(model, observation).map_err(|text| ("sessions", text))?;
        self.isolation.check(model, observation).map_err(|text| ("isolation", text))?;
        self.delivery.check(model, observation).map_err(|text| ("delivery", text))?;
        self.calls.check(model, observation).map_err(|text| ("calls", text))?;
        self.invocations.check(model, observation).map_err(|text| ("invocations", text))?;
        self.interrupts.check(model, observation).map_err(|text| ("interrupts", text))?;
        self.meta.check(model, observation).map_err(|text| ("meta", text))?;
        self.notices.check(model, observation).map_err(|text| ("notices", text))?;
        self.queue.check(observation).map_err(|text| ("queue", text))?;
        self.retention.check(model, observation).map_err(|text| ("retention", text))?;
        self.histories.check(model, observation).map_err(|text| ("history", text))?;
        self.details.check(model, observation).map_err(|text| ("details", text))?;
        self.schemas.check(model, observation).map_err(|text| ("schemas", text))?;
        self.statistics.check(model, observation).map_err(|text| ("statistics", text))?;
        self.authorization.check(model, observation).map_err(|text| ("authorization", text))?;
        self.flow.check(model, observation).map_err(|text| ("flow", text))?;
        self.accounting.check(observation).map_err(|text| ("accounting", text))
    }

    /// Everything has come to rest.
    pub fn rest(&self, model: &Model) -> Result<(), Fault> {
        self.delivery.rest(model).map_err(|text| ("delivery", text))?;
        self.calls.rest(model).map_err(|text| ("calls", text))?;
        self.meta.rest(model).map_err(|text| ("meta", text))?;
        self.notices.rest(model).map_err(|text| ("notices", text))?;
        self.schemas.rest(model).map_err(|text| ("schemas", text))?;
        self.statistics.rest(model).map_err(|text| ("statistics", text))?;
        self.retention.rest(model).map_err(|text| ("retention", text))?;
        self.authorization.rest(model).map_err(|text| ("authorization", text))?;
        self.flow.rest().map_err(|text| ("flow", text))?;
        self.sessions.rest(model).map_err(|text| ("sessions", text))
    }
}
