//! The report as plain text tables.

use std::fmt::{self, Write};

use super::{Report, Row};

/// Renders the whole report.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_report(report, &mut out);
    out
}

fn write_report(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "{}", report.machine.describe())?;
    writeln!(out, "generator: {}", report.generator)?;
    let width = name_width(report);
    for system in &report.systems {
        writeln!(out, "  {:<width$} {}", system.name, system.version)?;
    }
    for missing in &report.missing {
        writeln!(out, "  {:<width$} MISSING: {}", missing.name, missing.reason)?;
    }
    for caveat in &report.caveats {
        writeln!(out, "note: {caveat}")?;
    }
    for rows in report.rows.chunk_by(|a, b| a.scenario == b.scenario) {
        write_scenario(rows, width, out)?;
    }
    Ok(())
}

/// Of the column of names.
fn name_width(report: &Report) -> usize {
    let names = report.systems.iter().map(|system| system.name.len());
    names
        .chain(report.missing.iter().map(|missing| missing.name.len()))
        .max()
        .unwrap_or(0)
        .max(NAME_WIDTH_MIN)
}

const NAME_WIDTH_MIN: usize = 18;

fn write_scenario(rows: &[Row], width: usize, out: &mut String) -> fmt::Result {
    let unit = rows[0].unit;
    writeln!(out, "\n{}", rows[0].scenario)?;
    writeln!(
        out,
        "  {:<width$} {:>20} {:>8} {:>8} {:>20} {:>9} {:>9} {:>9} {:>9} {:>6}",
        "system",
        format!("CPU-ns/{unit} (min)"),
        "x floor",
        rows[0].peer_title(),
        format!("{unit}s/s (max)"),
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "clean"
    )?;
    rows.iter().try_for_each(|row| write_row(row, width, out))
}

fn write_row(row: &Row, width: usize, out: &mut String) -> fmt::Result {
    let cost = row.server_ns.map(|ns| format!("{} ({})", number(ns.median), number(ns.min)));
    let rate = row.per_second.map(|rate| format!("{} ({})", short(rate.median), short(rate.max)));
    let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}"));
    let latency =
        |pick: fn(&super::LatencySummary) -> f64| row.latency.as_ref().map(|l| format!("{:.1}", pick(l)));
    writeln!(
        out,
        "  {:<width$} {:>20} {:>8} {:>8} {:>20} {:>9} {:>9} {:>9} {:>9} {:>6}",
        row.system,
        or_dash(cost),
        or_dash(ratio(row.to_floor)),
        or_dash(ratio(row.to_peer)),
        or_dash(rate),
        or_dash(latency(|l| l.p50_us)),
        or_dash(latency(|l| l.p99_us)),
        or_dash(latency(|l| l.p999_us)),
        or_dash(latency(|l| l.max_us)),
        format!("{}/{}", row.clean_rounds, row.rounds)
    )?;
    for extra in &row.extra {
        writeln!(out, "  {:<width$}   {}: {}", "", extra.name, number(extra.value))?;
    }
    match &row.fault {
        Some(fault) => writeln!(out, "  {:<width$}   FAILED: {fault}", ""),
        None => Ok(()),
    }
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".to_owned())
}

/// Whole number with thousands separated.
pub fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value <= -0.5 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2.82M`, `147k`, `950`.
pub fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 1e3 => format!("{:.1}k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::report, *};

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(0.2), "0");
        assert_eq!(number(-1234.0), "-1,234");
        assert_eq!(
            [short(2_820_000.0), short(147_000.0), short(9_500.0), short(3.0)],
            ["2.82M", "147k", "9.5k", "3"]
        );
    }

    #[test]
    fn the_table_shows_every_system_and_what_is_missing() {
        let text = render(&report());
        for part in [
            "fan-out-10-w1",
            "4,000 (2,000)",
            "2.00",
            "MISSING: not in PATH",
            "FAILED: call",
            "note: a caveat",
        ] {
            assert!(text.contains(part), "{part} not in:\n{text}");
        }
    }
}
