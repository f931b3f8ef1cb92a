//! The report as one self-contained HTML page.

use super::{
    Report, Row, Spread, chart,
    text::{number, short},
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}.fault{color:#b00}.note{color:#666}svg{display:block;margin:.6em 0}";

/// Renders the whole page: no scripts, nothing loaded from elsewhere.
pub fn render(report: &Report) -> String {
    let systems: String = report.systems.iter().map(|system| pair(&system.name, &system.version)).collect();
    let missing: String = report
        .missing
        .iter()
        .map(|system| pair(&system.name, &format!("missing: {}", system.reason)))
        .collect();
    let caveats: String =
        report.caveats.iter().map(|caveat| format!("<p class=note>{}</p>", escape(caveat))).collect();
    let scenarios: String =
        report.rows.chunk_by(|a, b| a.scenario == b.scenario).map(render_scenario).collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>crossring-perf</title><style>{STYLE}</style>\
         <h1>crossring-perf</h1><p>{}<br>generator: {}</p><table>{systems}{missing}</table>{caveats}{scenarios}\
         <p class=note>CPU-ns: processor time of the server, all threads. Median of the clean rounds, \
         the least in parentheses. Ratios are of medians.</p></html>\n",
        escape(&report.machine.describe()),
        escape(&report.generator),
    )
}

fn pair(name: &str, text: &str) -> String {
    format!("<tr><td>{}<td>{}", escape(name), escape(text))
}

fn render_scenario(rows: &[Row]) -> String {
    let (unit, peer) = (rows[0].unit, rows[0].peer_title());
    let table: String = rows.iter().map(render_row).collect();
    let faults: String = rows.iter().filter_map(render_fault).collect();
    let extra: String = rows.iter().flat_map(render_extra).collect();
    let charts = [chart::costs(rows), chart::latencies(rows)].into_iter().flatten().collect::<String>();
    format!(
        "<h2>{}</h2><table><tr><th>system<th>CPU-ns/{unit}<th>x floor<th>{peer}<th>{unit}s/s<th>p50 us<th>p99 us\
         <th>p99.9 us<th>max us<th>clean{table}</table>{extra}{faults}{charts}",
        escape(&rows[0].scenario),
    )
}

fn render_row(row: &Row) -> String {
    let spread = |spread: Option<Spread>, best: fn(Spread) -> f64, show: fn(f64) -> String| {
        spread.map(|spread| format!("{} ({})", show(spread.median), show(best(spread)))).unwrap_or_default()
    };
    let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let latency = row.latency.map(|l| [l.p50_us, l.p99_us, l.p999_us, l.max_us]);
    let cells = [
        escape(&row.system),
        spread(row.server_ns, |spread| spread.min, number),
        ratio(row.to_floor),
        ratio(row.to_peer),
        spread(row.per_second, |spread| spread.max, short),
    ];
    let quantiles = (0..4).map(|index| latency.map(|l| format!("{:.1}", l[index])).unwrap_or_default());
    let clean = format!("{}/{}", row.clean_rounds, row.rounds);
    let all = cells.into_iter().chain(quantiles).chain([clean]);
    format!("<tr>{}", all.map(|cell| format!("<td>{cell}")).collect::<String>())
}

fn render_fault(row: &Row) -> Option<String> {
    let fault = row.fault.as_ref()?;
    Some(format!("<p class=fault>{}: {}</p>", escape(&row.system), escape(fault)))
}

fn render_extra(row: &Row) -> Vec<String> {
    let line = |extra: &crate::recorder::Extra| {
        format!("<p>{}: {}: {}</p>", escape(&row.system), extra.name, number(extra.value))
    };
    row.extra.iter().map(line).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{super::testing::report, *};

    #[test]
    fn the_page_is_complete_and_self_contained() {
        let page = render(&report());
        assert_eq!(page.matches("<svg").count(), 2);
        for part in ["4,000 (2,000)", "1 &lt;beta&gt;", "missing: not in PATH", "call: not in this protocol"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script") && !page.contains("<link") && !page.contains("src="));
    }

    #[test]
    fn the_report_is_also_json() {
        let json = serde_json::to_value(report()).expect("plain data");
        assert_eq!(json["rows"][1]["to_floor"], 2.0);
        assert_eq!(json["missing"][0]["name"], "mosquitto");
    }
}
