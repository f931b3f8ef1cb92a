//! Collects measurements of several systems and rounds and says what they mean together.

pub mod chart;
pub mod html;
pub mod markdown;
pub mod text;

use serde::Serialize;

use crate::{
    fault::Fault,
    machine::Machine,
    recorder::{Extra, Latencies, LatencySummary, Measurement},
    scenario::Scenario,
};

/// Name of the system every other one is compared to as the least possible cost.
pub const FLOOR: &str = "floor";
/// Name of the peer that has a ratio column of its own.
pub const NATS: &str = "nats";

/// Everything a report shows.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// How the load was generated.
    pub generator: String,
    /// Program and version of every system, in the order of the rows.
    pub systems: Vec<SystemVersion>,
    /// Systems that could not take part, and why.
    pub missing: Vec<Missing>,
    /// What else a reader must know.
    pub caveats: Vec<String>,
    /// One per scenario and system.
    pub rows: Vec<Row>,
}

/// A measured system.
#[derive(Clone, Debug, Serialize)]
pub struct SystemVersion {
    /// Name used in rows.
    pub name: String,
    /// As the program says itself.
    pub version: String,
}

/// A system that was not measured.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why, and what would help.
    pub reason: String,
}

/// One system in one scenario, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Scenario by name.
    pub scenario: String,
    /// System by name.
    pub system: String,
    /// What is counted: event, call, session or cycle.
    pub unit: &'static str,
    /// Server processor time per unit.
    pub server_ns: Option<Spread>,
    /// Units a second.
    pub per_second: Option<Spread>,
    /// Latency over all counted rounds together.
    pub latency: Option<LatencySummary>,
    /// Quantile and microseconds, for charts.
    pub curve: Vec<(f64, f64)>,
    /// Server time per unit divided by the floor's.
    pub to_floor: Option<f64>,
    /// Server time per unit divided by that of NATS, for files of nginx, reached in the same way.
    pub to_peer: Option<f64>,
    /// Further results, medians.
    pub extra: Vec<Extra>,
    /// Rounds that nobody disturbed; only these count, if there are any.
    pub clean_rounds: usize,
    /// Rounds measured.
    pub rounds: usize,
    /// The last fault, if rounds failed.
    pub fault: Option<String>,
}

/// A number over several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Middle value; of two middle ones the mean.
    pub median: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Row {
    /// What the column of [`Row::to_peer`] is called.
    pub fn peer_title(&self) -> &'static str {
        if self.unit == "request" { "x nginx" } else { "x nats" }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { median: (lower + upper) / 2.0, min, max })
    }
}

/// All rounds of one system in one scenario.
#[derive(Debug)]
struct Cell {
    scenario: Scenario,
    system: String,
    rounds: Vec<Measurement>,
    fault: Option<String>,
}

/// Measurements as they come in.
#[derive(Debug, Default)]
pub struct Results {
    cells: Vec<Cell>,
    /// System, and the one that it is compared with.
    peers: Vec<(String, String)>,
}

impl Results {
    /// `system` is compared with `peer` instead of [`NATS`].
    pub fn compare_with(&mut self, system: &str, peer: String) {
        self.peers.push((system.to_owned(), peer));
    }

    fn peer_of(&self, system: &str) -> &str {
        let known = self.peers.iter().find(|(name, _)| name == system);
        known.map_or(NATS, |(_, peer)| peer)
    }

    /// Adds one round.
    pub fn add(&mut self, scenario: Scenario, system: &str, outcome: Result<Measurement, Fault>) {
        let cell = self.cell(scenario, system);
        match outcome {
            Ok(measurement) => cell.rounds.push(measurement),
            Err(fault) => cell.fault = Some(fault.to_string()),
        }
    }

    fn cell(&mut self, scenario: Scenario, system: &str) -> &mut Cell {
        let known = self.cells.iter().position(|cell| cell.scenario == scenario && cell.system == system);
        let index = known.unwrap_or_else(|| {
            self.cells.push(Cell { scenario, system: system.to_owned(), rounds: Vec::new(), fault: None });
            self.cells.len() - 1
        });
        &mut self.cells[index]
    }

    /// Rows grouped by scenario, in the order in which scenarios and systems first came in.
    pub fn rows(&self) -> Vec<Row> {
        let mut scenarios: Vec<Scenario> = Vec::new();
        for cell in &self.cells {
            if !scenarios.contains(&cell.scenario) {
                scenarios.push(cell.scenario);
            }
        }
        scenarios.into_iter().flat_map(|scenario| self.rows_of(scenario)).collect()
    }

    fn rows_of(&self, scenario: Scenario) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.cells.iter().filter(|cell| cell.scenario == scenario).map(Cell::row).collect();
        let server_ns = |rows: &[Row], name: &str| {
            rows.iter().find(|row| row.system == name).and_then(|row| row.server_ns).map(|ns| ns.median)
        };
        let floor = server_ns(&rows, FLOOR);
        let peers: Vec<_> = rows.iter().map(|row| server_ns(&rows, self.peer_of(&row.system))).collect();
        for (row, peer) in rows.iter_mut().zip(peers) {
            let ratio = |base: Option<f64>| Some(row.server_ns?.median / base.filter(|&base| base > 0.0)?);
            (row.to_floor, row.to_peer) = (ratio(floor), ratio(peer));
        }
        rows
    }
}

impl Cell {
    fn row(&self) -> Row {
        let clean: Vec<&Measurement> = self.rounds.iter().filter(|round| round.is_clean()).collect();
        let clean_rounds = clean.len();
        let counted = if clean.is_empty() { self.rounds.iter().collect() } else { clean };
        let mut latencies = Latencies::default();
        counted.iter().for_each(|round| latencies.merge(&round.latencies));
        Row {
            scenario: self.scenario.to_string(),
            system: self.system.clone(),
            unit: self.scenario.unit(),
            server_ns: Spread::of(counted.iter().filter_map(|round| round.server_ns_per_unit()).collect()),
            per_second: Spread::of(counted.iter().map(|round| round.per_second()).collect()),
            latency: latencies.summary(),
            curve: latencies.curve(),
            to_floor: None,
            to_peer: None,
            extra: median_extra(&counted),
            clean_rounds,
            rounds: self.rounds.len(),
            fault: self.fault.clone(),
        }
    }
}

fn median_extra(rounds: &[&Measurement]) -> Vec<Extra> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let value_of = |name| {
        let all = rounds.iter().flat_map(|round| &round.extra).filter(|extra| extra.name == name);
        Spread::of(all.map(|extra| extra.value).collect())
    };
    let median = |extra: &Extra| Some(Extra { name: extra.name, value: value_of(extra.name)?.median });
    first.extra.iter().filter_map(median).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    //! A small report with everything in it.

    use super::*;

    pub(crate) fn measurement(server_ns: u64, foreign_percent: f64) -> Measurement {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|us| latencies.add(us * 1000));
        Measurement {
            seconds: 1.0,
            units: 1000,
            server_ns: Some(server_ns),
            foreign_percent: Some(foreign_percent),
            generator_percent: 100.0,
            latencies,
            extra: vec![Extra { name: "resident bytes per session", value: 430.0 }],
        }
    }

    pub(crate) fn report() -> Report {
        let mut results = Results::default();
        let scenario: Scenario = "fan-out-10-w1".parse().expect("a name");
        for ns in [1_000_000, 2_000_000, 9_000_000] {
            results.add(scenario, FLOOR, Ok(measurement(ns, 0.0)));
            results.add(scenario, NATS, Ok(measurement(ns * 2, 0.0)));
        }
        results.add(scenario, "redis", Err(Fault::Unsupported { operation: "call" }));
        let name = |name: &str| SystemVersion { name: name.to_owned(), version: "1 <beta>".to_owned() };
        Report {
            machine: Machine::read(),
            generator: "test".to_owned(),
            systems: vec![name(FLOOR), name(NATS)],
            missing: vec![Missing { name: "mosquitto".to_owned(), reason: "not in PATH".to_owned() }],
            caveats: vec!["a caveat".to_owned()],
            rows: results.rows(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::*, *};

    #[test]
    fn rows_hold_medians_and_ratios() {
        let rows = report().rows;
        let nats = &rows[1];
        assert_eq!(nats.server_ns, Some(Spread { median: 4000.0, min: 2000.0, max: 18_000.0 }));
        assert_eq!((nats.to_floor, nats.to_peer), (Some(2.0), Some(1.0)));
        assert_eq!(nats.latency.map(|latency| latency.count), Some(300));
        assert!(rows[2].fault.is_some() && rows[2].server_ns.is_none());
    }

    #[test]
    fn peers_are_those_reached_alike() {
        let mut results = Results::default();
        results.compare_with("router+tls", "nats+tls".to_owned());
        for (system, ns) in [(NATS, 1_000_000), ("nats+tls", 4_000_000), ("router+tls", 2_000_000)] {
            results.add("rpc-1".parse().expect("a name"), system, Ok(measurement(ns, 0.0)));
        }
        let ratios: Vec<_> = results.rows().iter().map(|row| row.to_peer).collect();
        assert_eq!(ratios, [Some(1.0), Some(4.0), Some(0.5)]);
    }

    #[test]
    fn disturbed_rounds_do_not_count_beside_clean_ones() {
        let mut results = Results::default();
        let scenario: Scenario = "rpc-1".parse().expect("a name");
        results.add(scenario, FLOOR, Ok(measurement(1_000_000, 0.0)));
        results.add(scenario, FLOOR, Ok(measurement(5_000_000, 50.0)));
        let row = &results.rows()[0];
        assert_eq!((row.clean_rounds, row.rounds), (1, 2));
        assert_eq!(row.server_ns.map(|ns| ns.max), Some(1000.0));
    }

    #[test]
    fn disturbed_rounds_are_better_than_none() {
        let mut results = Results::default();
        results.add("rpc-1".parse().expect("a name"), FLOOR, Ok(measurement(5_000_000, 50.0)));
        assert!(results.rows()[0].server_ns.is_some());
    }
}
