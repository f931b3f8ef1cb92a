//! The report as tables to be pasted into a page.

use std::fmt::{self, Write};

use super::{
    Report, Row,
    text::{number, short},
};

/// Renders the whole report.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_report(report, &mut out);
    out
}

fn write_report(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "{}; generator: {}.\n", report.machine.describe(), report.generator)?;
    for system in &report.systems {
        writeln!(out, "* {}: {}", system.name, system.version)?;
    }
    for missing in &report.missing {
        writeln!(out, "* {} is missing: {}", missing.name, missing.reason)?;
    }
    for caveat in &report.caveats {
        writeln!(out, "* {caveat}")?;
    }
    report.rows.chunk_by(|a, b| a.scenario == b.scenario).try_for_each(|rows| write_scenario(rows, out))
}

fn write_scenario(rows: &[Row], out: &mut String) -> fmt::Result {
    let (scenario, unit, peer) = (&rows[0].scenario, rows[0].unit, rows[0].peer_title());
    writeln!(
        out,
        "\n| {scenario} | CPU-ns/{unit} (min) | x floor | {peer} | {unit}s/s | p50 µs | p99 µs | clean |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    rows.iter().try_for_each(|row| write_row(row, out))?;
    for row in rows {
        let extras = row.extra.iter().map(|extra| format!("{} {}", extra.name, number(extra.value)));
        let extras = extras.collect::<Vec<_>>().join("; ");
        if !extras.is_empty() {
            writeln!(out, "\n{}: {extras}.", row.system)?;
        }
        if let Some(fault) = &row.fault {
            writeln!(out, "\n{}: failed: {fault}", row.system)?;
        }
    }
    Ok(())
}

fn write_row(row: &Row, out: &mut String) -> fmt::Result {
    let cost = row.server_ns.map(|ns| format!("{} ({})", number(ns.median), number(ns.min)));
    let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}"));
    let latency =
        |pick: fn(&super::LatencySummary) -> f64| row.latency.as_ref().map(|l| format!("{:.1}", pick(l)));
    let cells = [
        cost,
        ratio(row.to_floor),
        ratio(row.to_peer),
        row.per_second.map(|rate| short(rate.median)),
        latency(|l| l.p50_us),
        latency(|l| l.p99_us),
    ];
    write!(out, "| {} |", row.system)?;
    cells.into_iter().try_for_each(|cell| write!(out, " {} |", cell.as_deref().unwrap_or("–")))?;
    writeln!(out, " {}/{} |", row.clean_rounds, row.rounds)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::report, *};

    #[test]
    fn every_row_has_every_column() {
        let text = render(&report());
        let table: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(table.len(), 5, "{text}");
        assert!(table.iter().all(|line| line.matches('|').count() == 9), "{text}");
        assert!(text.contains("| nats | 4,000 (2,000) | 2.00 | 1.00 |"), "{text}");
        assert!(text.contains("\nfloor: resident bytes per session 430.\n"), "{text}");
        assert!(text.contains("redis: failed: call"), "{text}");
    }
}
