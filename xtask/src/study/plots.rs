//! Plots of the page: a dot with its interval over seeds per method, one panel per budget, as SVG.

use super::load::Study;
use super::stats::Estimate;
use super::summary::{Measure, methods};
use std::fmt::Write;

const LABELS: f64 = 190.0;
const PANEL: f64 = 230.0;
const GAP: f64 = 20.0;
const ROW: f64 = 16.0;
const TOP: f64 = 44.0;

/// One figure: a measure of all methods of a case.
pub struct Figure<'a> {
    pub title: &'a str,
    pub measure: Measure,
    /// A line that a reader compares with, where there is one.
    pub mark: Option<f64>,
}

/// The figure as a file of its own; `None` without runs. It brings its background, since pages may be dark.
pub fn draw(study: &Study, case: &str, budgets: &[u32], figure: &Figure) -> Option<String> {
    let panels: Vec<(u32, Vec<(&str, Estimate)>)> = budgets
        .iter()
        .map(|&b| {
            let dots = methods(study, case, b);
            (b, dots.iter().filter_map(|c| Some((c.method, c.estimate(figure.measure)?.map(|v| 100.0 * v)))).collect())
        })
        .filter(|(_, dots): &(u32, Vec<_>)| !dots.is_empty())
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for name in panels.iter().flat_map(|(_, dots)| dots.iter().map(|d| d.0)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let width = LABELS + panels.len() as f64 * (PANEL + GAP);
    let height = TOP + names.len() as f64 * ROW + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let text = |svg: &mut String, x: f64, y: f64, anchor: &str, words: &str| {
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{words}</text>").ok();
    };
    text(&mut svg, 8.0, 16.0, "start", &format!("{case}: {}", figure.title));
    for (i, name) in names.iter().enumerate() {
        let label = if *name == study.default { format!("default = {name}") } else { (*name).to_owned() };
        text(&mut svg, LABELS - 8.0, TOP + (i as f64 + 0.75) * ROW, "end", &label);
    }
    for (p, (budget, dots)) in panels.iter().enumerate() {
        let left = LABELS + p as f64 * (PANEL + GAP);
        let (lo, hi) = bounds(dots, figure.mark);
        let x = |v: f64| left + PANEL * (v.clamp(lo, hi) - lo) / (hi - lo);
        let bottom = TOP + names.len() as f64 * ROW;
        text(&mut svg, left + PANEL / 2.0, TOP - 8.0, "middle", &format!("{budget} % of the MACs"));
        for k in 0..=4 {
            let v = lo + (hi - lo) * f64::from(k) / 4.0;
            line(&mut svg, [x(v), TOP, x(v), bottom], "#ddd");
            text(&mut svg, x(v), bottom + 14.0, "middle", &format!("{v:.1}"));
        }
        figure.mark.iter().for_each(|&m| line(&mut svg, [x(100.0 * m), TOP, x(100.0 * m), bottom], "#c00"));
        for (name, e) in dots {
            let row = names.iter().position(|n| n == name).unwrap_or(0);
            let y = TOP + (row as f64 + 0.5) * ROW;
            let colour = if *name == study.default { "#0a6" } else { "#36c" };
            e.interval.iter().for_each(|[a, b]| line(&mut svg, [x(*a), y, x(*b), y], colour));
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>", x(e.mean)).ok();
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], colour: &str) {
    writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>").ok();
}

/// From the least to the largest mean with room for the usual interval; longer ones are cut at the panel's edge, or
/// a single method with few seeds would squeeze all others.
fn bounds(dots: &[(&str, Estimate)], mark: Option<f64>) -> (f64, f64) {
    let mut halves: Vec<f64> = dots.iter().filter_map(|d| d.1.interval).map(|[a, b]| (b - a) / 2.0).collect();
    halves.sort_by(f64::total_cmp);
    let room = halves.get(halves.len() * 3 / 4).copied().unwrap_or(0.0);
    let seen = || dots.iter().map(|d| d.1.mean).chain(mark.map(|m| 100.0 * m));
    let (lo, hi) = (seen().fold(f64::INFINITY, f64::min) - room, seen().fold(f64::NEG_INFINITY, f64::max) + room);
    let pad = (0.04 * (hi - lo)).max(0.1);
    (lo - pad, hi + pad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::summary::{EXCESS, WORST, sample_study};

    #[test]
    fn every_method_is_a_dot() {
        let figure = Figure { title: "worst group", measure: WORST, mark: None };
        let svg = draw(&sample_study(), "motionsense", &[50, 25], &figure).unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("default = kd") && svg.contains("25 % of the MACs") && !svg.contains("50 % of"));
        let figure = Figure { title: "excess drop", measure: EXCESS, mark: Some(0.02) };
        assert!(draw(&sample_study(), "motionsense", &[25], &figure).unwrap().contains("#c00"));
        assert!(draw(&sample_study(), "mitbih", &[25], &figure).is_none());
    }
}
