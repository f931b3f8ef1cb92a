//! SVG charts.

use plotters::prelude::*;

use super::Row;

const WIDTH: u32 = 760;
const BAR_HEIGHT: u32 = 26;
const CURVE_HEIGHT: u32 = 320;
/// Colours by position of the system; more systems than colours repeat them.
const COLOURS: [RGBColor; 8] = [
    RGBColor(120, 120, 120),
    RGBColor(214, 69, 65),
    RGBColor(37, 116, 169),
    RGBColor(30, 130, 76),
    RGBColor(243, 156, 18),
    RGBColor(142, 68, 173),
    RGBColor(22, 160, 133),
    RGBColor(52, 73, 94),
];

type Drawn = Result<String, Box<dyn std::error::Error>>;

/// Server time per unit, one bar per system, logarithmic: systems differ by powers of ten.
/// `None` when no system has a cost.
pub fn costs(rows: &[Row]) -> Option<String> {
    let bars: Vec<(&str, f64)> = rows
        .iter()
        .filter_map(|row| Some((row.system.as_str(), row.server_ns?.median)))
        .filter(|(_, cost)| *cost > 0.0)
        .collect();
    if bars.is_empty() {
        return None;
    }
    draw_costs(&bars, rows[0].unit).ok()
}

fn draw_costs(bars: &[(&str, f64)], unit: &str) -> Drawn {
    let mut svg = String::new();
    let count = bars.len() as i32;
    let least = bars.iter().map(|bar| bar.1).fold(f64::INFINITY, f64::min) / 2.0;
    let most = bars.iter().map(|bar| bar.1).fold(0.0, f64::max) * 2.0;
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, 70 + BAR_HEIGHT * bars.len() as u32))
            .into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .set_label_area_size(LabelAreaPosition::Left, 150)
            .set_label_area_size(LabelAreaPosition::Bottom, 42)
            .build_cartesian_2d((least..most).log_scale(), (0..count).into_segmented())?;
        let name = |place: &SegmentValue<i32>| match place {
            SegmentValue::CenterOf(index) => bars.get(*index as usize).map_or("", |bar| bar.0).to_owned(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(bars.len())
            .y_label_formatter(&name)
            .x_desc(format!("server CPU-ns per {unit}"))
            .x_label_formatter(&|value| super::text::short(*value))
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(index, &(_, cost))| {
            let corners =
                [(least, SegmentValue::Exact(index as i32)), (cost, SegmentValue::Exact(index as i32 + 1))];
            let mut bar = Rectangle::new(corners, COLOURS[index % COLOURS.len()].filled());
            bar.set_margin(3, 3, 0, 0);
            bar
        }))?;
        root.present()?;
    }
    Ok(svg)
}

/// Latency by quantile, the tail spread out. `None` when no system has latencies.
pub fn latencies(rows: &[Row]) -> Option<String> {
    let curves: Vec<(&str, &[(f64, f64)])> = rows
        .iter()
        .filter(|row| !row.curve.is_empty())
        .map(|row| (row.system.as_str(), row.curve.as_slice()))
        .collect();
    if curves.is_empty() {
        return None;
    }
    draw_latencies(&curves).ok()
}

/// Horizontal place of a quantile: each step to the right is ten times rarer; the maximum stands
/// at the right edge.
fn rarity(quantile: f64) -> f64 {
    (1.0 / (1.0 - quantile.min(0.99999))).log10()
}

fn draw_latencies(curves: &[(&str, &[(f64, f64)])]) -> Drawn {
    let all = || curves.iter().flat_map(|curve| curve.1).map(|point| point.1.max(0.1));
    let (least, most) = (all().fold(f64::INFINITY, f64::min) / 1.5, all().fold(0.0, f64::max) * 1.5);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, CURVE_HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .set_label_area_size(LabelAreaPosition::Left, 70)
            .set_label_area_size(LabelAreaPosition::Bottom, 42)
            .build_cartesian_2d(0.0..5.0, (least..most).log_scale())?;
        let percent = |place: &f64| match *place as u32 {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            3 => "99.9 %".to_owned(),
            4 => "99.99 %".to_owned(),
            _ => "max".to_owned(),
        };
        chart
            .configure_mesh()
            .x_labels(6)
            .x_label_formatter(&percent)
            .y_desc("latency, us")
            .y_label_formatter(&|value| super::text::short(*value))
            .draw()?;
        for (index, (name, curve)) in curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points = curve.iter().map(|&(quantile, us)| (rarity(quantile), us.max(0.1)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
